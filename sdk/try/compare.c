/*
 * Differences between two JSON values, named by path.
 */
#include "sdk/try/try.h"

#include <stdio.h>
#include <string.h>

#define PATH_MAX_LEN 400

static bool differ(struct jv want, struct jv got, const char *path, struct buf *out)
{
	size_t n = 0, m = 0;
	const char *a = json_type(want) == JSON_NONE ? "nothing" : json_raw(want, &n);
	const char *b = json_type(got) == JSON_NONE ? "nothing" : json_raw(got, &m);

	buf_addf(out, "    %s\n      wanted %.*s\n      got    %.*s\n", path, n ? (int)n : 7, a, m ? (int)m : 7, b);
	return false;
}

static bool same(struct jv want, struct jv got, const char *path, bool subset, struct buf *out);

static bool same_object(struct jv want, struct jv got, const char *path, bool subset, struct buf *out)
{
	bool ok = true;
	const char *key;
	struct jv value;
	char below[PATH_MAX_LEN];

	for (size_t i = 0; json_member(want, i, &key, &value); i++) {
		(void)snprintf(below, sizeof below, "%s%s%s", path, *path ? "." : "", key);
		ok &= same(value, json_get(got, key), below, !*path && strcmp(key, "headers") == 0, out);
	}
	for (size_t i = 0; !subset && json_member(got, i, &key, &value); i++) {
		(void)snprintf(below, sizeof below, "%s%s%s", path, *path ? "." : "", key);
		if (json_type(json_get(want, key)) == JSON_NONE)
			ok = differ(json_get(want, key), value, below, out);
	}
	return ok;
}

static bool same_array(struct jv want, struct jv got, const char *path, struct buf *out)
{
	size_t n = json_count(want) > json_count(got) ? json_count(want) : json_count(got);
	bool ok = true;
	char below[PATH_MAX_LEN];

	for (size_t i = 0; i < n; i++) {
		(void)snprintf(below, sizeof below, "%s.%zu", path, i);
		ok &= same(json_at(want, i), json_at(got, i), below, false, out);
	}
	return ok;
}

static bool same(struct jv want, struct jv got, const char *path, bool subset, struct buf *out)
{
	if (json_type(want) != json_type(got))
		return differ(want, got, path, out);
	switch (json_type(want)) {
	case JSON_OBJECT: return same_object(want, got, path, subset, out);
	case JSON_ARRAY: return same_array(want, got, path, out);
	case JSON_NONE:
	case JSON_NULL: return true;
	case JSON_BOOL:
	case JSON_NUMBER:
	case JSON_STRING: break;
	}
	return strcmp(json_text(want), json_text(got)) == 0 || differ(want, got, path, out);
}

bool compare_action(struct jv want, struct jv got, struct buf *out)
{
	return same(want, got, "", true, out);
}
