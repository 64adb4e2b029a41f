/* Scopes: see scope.h. */
#include "core/model/scope.h"

#include <string.h>

#include "core/base/jsonw.h"

const char *scope_next(const char *at, size_t *ret_len)
{
	at += strspn(at, " ,");
	*ret_len = strcspn(at, " ,");
	return at;
}

bool scope_in(const char *scopes, const char *word, size_t n)
{
	size_t len;

	for (const char *at = scope_next(scopes, &len); len > 0; at = scope_next(at + len, &len))
		if (len == n && memcmp(at, word, n) == 0)
			return true;
	return false;
}

void scope_missing(struct buf *out, const char *asked, const char *granted)
{
	struct jsonw w;
	size_t len;

	jsonw_init(&w, out);
	jsonw_array(&w, "");
	for (const char *at = scope_next(asked && granted ? asked : "", &len); len > 0; at = scope_next(at + len, &len))
		if (!scope_in(granted, at, len))
			jsonw_textn(&w, "", at, len);
	jsonw_array_end(&w);
	jsonw_end(&w);
}
