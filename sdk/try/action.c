/*
 * An action as JSON: what people compare by.
 *
 * Pieces of URL, headers and body are joined again; a handle stands as {name}, a media range as {media 0 0 100}.
 * A body that is JSON is shown as JSON.
 */
#include "sdk/try/try.h"

#include <string.h>

#include "core/base/frame.h"
#include "core/base/jsoncheck.h"
#include "core/base/jsonw.h"

struct request { struct buf url, header, body; struct jsonw *w; bool any_header; };

static void named(struct buf *out, const struct rec *r)
{
	buf_addf(out, "{%.*s}", (int)r->value_len, r->value);
}

static void header_end(struct request *q)
{
	const char *text = buf_text(&q->header), *colon = strchr(text, ':');
	char name[80];

	if (!colon || colon - text >= (int)sizeof name)
		return;
	memcpy(name, text, (size_t)(colon - text));
	name[colon - text] = '\0';
	jsonw_text(q->w, name, colon + 1);
	buf_reset(&q->header);
}

static void request_record(struct request *q, const struct rec *r)
{
	switch (r->kind) {
	case REC_URL: buf_add(&q->url, r->value, r->value_len); break;
	case REC_URL_HANDLE: named(&q->url, r); break;
	case REC_REQ_HEADER:
		if (r->key_len > 0) {
			header_end(q);
			buf_addf(&q->header, "%.*s:", (int)r->key_len, r->key);
		}
		buf_add(&q->header, r->value, r->value_len);
		break;
	case REC_REQ_HEADER_HANDLE: named(&q->header, r); break;
	case REC_DPOP:
		header_end(q);
		buf_adds(&q->header, "DPoP:{proof}");
		break;
	case REC_REQ_BODY: buf_add(&q->body, r->value, r->value_len); break;
	case REC_REQ_BODY_HANDLE: named(&q->body, r); break;
	case REC_REQ_MEDIA: buf_addf(&q->body, "{media %.*s %.*s}", (int)r->key_len, r->key, (int)r->value_len, r->value); break;
	default: break;
	}
}

static void request_write(const char *records, size_t len, struct jsonw *w)
{
	struct request q = { .w = w };
	struct json_fault fault;
	size_t at = 0;
	struct rec r;

	buf_init(&q.url, FRAME_OUT_MAX);
	buf_init(&q.header, FRAME_OUT_MAX);
	buf_init(&q.body, FRAME_OUT_MAX);
	jsonw_object(w, "headers");
	while (rec_next(records, len, &at, &r, NULL))
		request_record(&q, &r);
	header_end(&q);
	jsonw_object_end(w);
	jsonw_text(w, "url", buf_text(&q.url));
	if (q.body.len > 0 && strchr("{[", q.body.data[0]) && json_check(q.body.data, q.body.len, &fault) != 0)
		jsonw_raw(w, "body", q.body.data, q.body.len);
	else
		jsonw_textn(w, "body", buf_text(&q.body), q.body.len);
	buf_free(&q.url);
	buf_free(&q.header);
	buf_free(&q.body);
}

/* Members that are one record each: which of key and value goes under which name. */
static const struct plain { enum frame_kind kind; const char *key, *value, *want_key; } plain[] = {
	{ REC_VERB, NULL, "verb", NULL }, { REC_PHASE, NULL, "next", NULL }, { REC_CLASS, "reason", "class", NULL },
	{ REC_MESSAGE, "code", "message", NULL }, { REC_FAULT, NULL, "bug", NULL }, { REC_METHOD, "method", "repeat", NULL },
	{ REC_SECONDS, NULL, "seconds", "" }, { REC_SECONDS, NULL, "retry_after", "retry_after" },
};

static const struct { enum frame_kind kind; const char *name; } lists[] = {
	{ REC_RESULT, "results" }, { REC_STATE, "state" }, { REC_TOKEN, "tokens" }, { REC_WARNING, "warnings" }, { REC_MADE, "made" },
};

static void plain_write(const char *records, size_t len, const struct plain *p, struct jsonw *w)
{
	bool number = p->kind == REC_SECONDS;
	struct rec r;

	if (!rec_find(records, len, p->kind, p->want_key, &r))
		return;
	if (p->key)
		jsonw_textn(w, p->key, r.key, r.key_len);
	if (number)
		jsonw_raw(w, p->value, r.value, r.value_len);
	else
		jsonw_textn(w, p->value, r.value, r.value_len);
}

static void list_write(const char *records, size_t len, enum frame_kind kind, const char *name, struct jsonw *w)
{
	size_t at = 0;
	struct rec r;
	char key[200];

	jsonw_object(w, name);
	while (rec_next(records, len, &at, &r, NULL)) {
		size_t n = r.key_len < sizeof key ? r.key_len : sizeof key - 1;

		if (r.kind != kind)
			continue;
		memcpy(key, r.key, n);
		key[n] = '\0';
		jsonw_textn(w, key, r.value, r.value_len);
	}
	jsonw_object_end(w);
}

void action_json(const char *records, size_t len, struct buf *out)
{
	struct jsonw w;
	struct rec r;

	jsonw_init(&w, out);
	jsonw_object(&w, "");
	for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
		plain_write(records, len, &plain[i], &w);
	if (rec_find(records, len, REC_METHOD, NULL, &r))
		request_write(records, len, &w);
	for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
		list_write(records, len, lists[i].kind, lists[i].name, &w);
	jsonw_object_end(&w);
	jsonw_end(&w);
}
