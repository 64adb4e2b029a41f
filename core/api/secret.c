/* Secrets in kept answers: see secret.h. */
#include "core/api/secret.h"

#include <string.h>

void secret_fill(struct api_request *r, const char *text)
{
	struct buf *body = r->answer->body;
	const char *at = strstr(buf_text(body), SECRET_PLACE);
	char *rest;
	size_t n, tail;

	if (at == NULL)
		return;
	n = (size_t)(at - buf_text(body));
	tail = body->len - n - strlen(SECRET_PLACE);
	rest = arena_dup(r->arena, at + strlen(SECRET_PLACE), tail);
	buf_cut(body, n);
	buf_adds(body, text);
	buf_add(body, rest, tail);
}

void secret_append(struct api_request *r, const char *name, const char *text)
{
	struct buf *body = r->answer->body;

	if (r->replayed || body->len < 2 || buf_text(body)[body->len - 1] != '}')
		return;
	buf_cut(body, body->len - 1);
	buf_addf(body, ",\"%s\":\"%s\"}", name, text);
}
