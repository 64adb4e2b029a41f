/*
 * Answers in the sandbox's own dress (snake_case, {"error":{"code","message","subcode"}}), the bearer check,
 * and the two ways of not answering.
 */
#include "core/sandbox/call.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/text.h"
#include "core/sandbox/token.h"

void call_error(struct call *c, int status, const char *code, const char *fmt, ...)
{
	va_list ap;
	char *words = arena_alloc(c->r->arena, 512);
	struct jsonw *w;

	va_start(ap, fmt);
	vsnprintf(words, 512, fmt, ap);
	va_end(ap);
	buf_reset(c->a->body);
	w = call_json(c, status);
	jsonw_object(w, "error");
	jsonw_text(w, "code", code);
	jsonw_text(w, "message", words);
	jsonw_int(w, "subcode", status * 10 + 1);
	jsonw_object_end(w);
	call_done(c);
}

static int status_of(enum rc rc)
{
	static const struct { enum rc rc; int status; } table[] = {
		{ RC_INVALID, 400 }, { RC_TOO_LARGE, 413 }, { RC_TIMEOUT, 408 }, { RC_FULL, 503 },
		{ RC_UNAVAILABLE, 503 }, { RC_NOT_FOUND, 404 }, { RC_CONFLICT, 409 },
	};

	for (size_t i = 0; i < sizeof table / sizeof *table; i++)
		if (table[i].rc == rc)
			return table[i].status;
	return 500;
}

void call_failed(struct call *c)
{
	const char *code = c->cx.code[0] ? c->cx.code : rc_name(c->cx.rc);

	call_error(c, status_of(c->cx.rc), code, "%s", c->cx.words);
}

struct jsonw *call_json(struct call *c, int status)
{
	c->a->status = status;
	jsonw_init(&c->json, c->a->body);
	jsonw_object(&c->json, NULL);
	return &c->json;
}

void call_done(struct call *c)
{
	jsonw_object_end(&c->json);
	jsonw_end(&c->json);
}

bool call_bearer(struct call *c)
{
	const char *header = web_header_in(c->r, "Authorization");
	const char *code = "invalid_token";

	if (header && text_starts(header, "Bearer ") && sandbox_token_check(c->s->db, header + 7, &c->who, &code))
		return true;
	web_header(c->a, "WWW-Authenticate", "Bearer error=\"%s\"", code);
	call_error(c, 401, code, header ? "The access token is not valid any more." : "A bearer token is needed.");
	return false;
}

bool call_body(struct call *c, struct jv *ret)
{
	const char *text;
	size_t len;

	if (web_body(&c->cx, c->r, SANDBOX_BODY_MAX, &text, &len) != RC_OK ||
	    json_parse(&c->cx, c->r->arena, text, len, ret) != RC_OK) {
		call_failed(c);
		return false;
	}
	if (json_type(*ret) == JSON_OBJECT)
		return true;
	call_error(c, 400, "invalid_request", "The body must be a JSON object.");
	return false;
}

bool call_text(struct call *c, struct jv body, const char *key, size_t max, const char **ret)
{
	struct jv v = json_get(body, key);

	if (json_type(v) == JSON_NONE || json_type(v) == JSON_NULL)
		return true;
	if (json_type(v) != JSON_STRING || strlen(json_text(v)) > max) {
		call_error(c, 400, "invalid_request", "%s must be a text of at most %zu bytes.", key, max);
		return false;
	}
	*ret = json_text(v);
	return true;
}

bool call_wait(struct call *c, int64_t ms)
{
	int64_t end = clock_mono() + ms;

	for (;;) {
		int64_t left = end - clock_mono();

		if (atomic_load(&c->s->closing))
			return true;
		if (left <= 0)
			return false;
		if (web_gone(c->r, left < 200 ? (int)left : 200))
			return true;
	}
}

void call_hold(struct call *c)
{
	call_wait(c, SANDBOX_HOLD_MS);
	call_reset(c);
}

void call_reset(struct call *c)
{
	web_abort(c->a);
}
