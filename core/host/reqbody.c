/*
 * Builders of a request's body: form, multipart, raw bytes, media, JSON.
 *
 * A request has one kind of body; the first builder decides which and sets Content-Type.  A multipart boundary
 * is made from the seed, so a KEYED request that is sent again is the same to the byte.
 */
#include "core/host/request.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "core/base/jsoncheck.h"
#include "core/base/text.h"

bool req_body_is(struct mps_req *r, enum body_kind kind, const char *type)
{
	static const char *const names[] = { "no", "a form", "a multipart", "a raw", "a JSON" };

	if (r->kind != BODY_NONE) {
		if (r->kind != kind)
			req_bug(r, "%s body cannot be added to %s body", names[kind], names[r->kind]);
		return r->kind == kind;
	}
	r->kind = kind;
	if (r->type_set && kind == BODY_MULTIPART)
		req_bug(r, "Content-Type of a multipart body is set by the core");
	if (!r->type_set) {
		if (!type[0] || !header_value_ok(type))
			req_bug(r, "the body has no valid type");
		rec_text(&r->headers, REC_REQ_HEADER, "Content-Type", type);
		r->type_set = true;
		r->header_open = false;
	}
	return true;
}

static void form(mps_req *r, const char *key, const char *value)
{
	bool first = r->kind == BODY_NONE;

	if (!key || !key[0])
		req_bug(r, "form: the key is empty");
	else if (req_body_is(r, BODY_FORM, "application/x-www-form-urlencoded")) {
		if (!first)
			buf_addc(&r->body.lit, '&');
		req_put(r, &r->body, "form", key);
		buf_addc(&r->body.lit, '=');
		req_put(r, &r->body, "form", value);
	}
}

/* --- multipart ----------------------------------------------------------------------------------------------- */

static bool part_begin(struct mps_req *r, const char *name)
{
	char type[96];
	unsigned char hash[crypto_hash_sha256_BYTES];
	char hex[33];
	struct buf text BUF_AUTO;

	buf_init(&text, 1024);
	if (!name || !name[0] || !header_value_ok(name) || strchr(name, '"')) {
		req_bug(r, "multipart: \"%.60s\" is no name of a part", name ? name : "NULL");
		return false;
	}
	if (r->kind == BODY_NONE) {
		buf_addf(&text, "boundary %.100s", r->op->seed);
		crypto_hash_sha256(hash, (const unsigned char *)buf_text(&text), text.len);
		sodium_bin2hex(hex, sizeof hex, hash, 16);
		(void)snprintf(r->boundary, sizeof r->boundary, "mps%s", hex);
	}
	(void)snprintf(type, sizeof type, "multipart/form-data; boundary=%s", r->boundary);
	if (!req_body_is(r, BODY_MULTIPART, type))
		return false;
	buf_addf(&r->body.lit, "--%s\r\nContent-Disposition: form-data; name=\"%s\"", r->boundary, name);
	return true;
}

static void multipart(mps_req *r, const char *name, const char *value)
{
	if (!part_begin(r, name))
		return;
	buf_adds(&r->body.lit, "\r\n\r\n");
	req_put(r, &r->body, "raw", value);
	buf_adds(&r->body.lit, "\r\n");
}

/* A range of a media item as a record; false after a mistake. */
static bool media_put(struct mps_req *r, int32_t index, int64_t offset, int64_t length)
{
	int64_t count = 0, bytes = 0;
	char key[48], range[48];

	(void)text_int(op_input(r->op, "media.count"), &count);
	(void)snprintf(key, sizeof key, "media.%d.bytes", index);
	(void)text_int(op_input(r->op, key), &bytes);
	if (index < 0 || index >= count) {
		req_bug(r, "there is no media item %d", index);
		return false;
	}
	if (length < 0)
		length = bytes - offset;
	if (offset < 0 || length < 0 || offset > bytes || length > bytes - offset) {
		req_bug(r, "bytes %lld to %lld are not in media item %d of %lld bytes", (long long)offset,
			(long long)(offset + length), index, (long long)bytes);
		return false;
	}
	pieces_flush(&r->body);
	(void)snprintf(key, sizeof key, "%d", index);
	(void)snprintf(range, sizeof range, "%lld %lld", (long long)offset, (long long)length);
	rec_text(&r->body.recs, REC_REQ_MEDIA, key, range);
	return true;
}

static const char *media_mime(struct mps_req *r, int32_t index)
{
	char key[48];
	const char *mime;

	(void)snprintf(key, sizeof key, "media.%d.mime", index);
	mime = op_input(r->op, key);
	return mime[0] ? mime : "application/octet-stream";
}

static void multipart_media(mps_req *r, const char *name, const char *filename, int32_t index)
{
	if (!filename || !header_value_ok(filename) || strpbrk(filename, "\"\\")) {
		req_bug(r, "multipart_media: the file name holds quotes or control characters");
		return;
	}
	if (!part_begin(r, name))
		return;
	buf_addf(&r->body.lit, "; filename=\"%s\"\r\nContent-Type: %s\r\n\r\n", filename, media_mime(r, index));
	(void)media_put(r, index, 0, -1);
	buf_adds(&r->body.lit, "\r\n");
}

/* --- raw ----------------------------------------------------------------------------------------------------- */

static void req_body(mps_req *r, const char *type, const void *bytes, uint32_t length)
{
	if (!type || (!bytes && length))
		req_bug(r, "req_body: NULL");
	else if (req_body_is(r, BODY_RAW, type))
		buf_add(&r->body.lit, bytes, length);
}

static void body_media(mps_req *r, int32_t index, int64_t offset, int64_t length)
{
	if (req_body_is(r, BODY_RAW, media_mime(r, index)))
		(void)media_put(r, index, offset, length);
}

/* --- JSON ---------------------------------------------------------------------------------------------------- */

/* Whether a value may stand here under this key; writes nothing. */
static bool json_place(struct mps_req *r, const char *key, bool opens)
{
	char in = r->depth > 0 ? r->brackets[r->depth - 1] : '\0';

	if (r->kind == BODY_NONE && !opens)
		req_bug(r, "json: the body begins with json_open");
	else if (!key)
		req_bug(r, "json: the key is NULL");
	else if (r->json_ended)
		req_bug(r, "json: \"%.60s\" comes after the end of the document", key);
	else if (in == '{' && !key[0])
		req_bug(r, "json: a value inside an object has no key");
	else if (in != '{' && key[0])
		req_bug(r, "json: the key \"%.60s\" stands outside of an object", key);
	else
		return req_body_is(r, BODY_JSON, "application/json");
	return false;
}

static void json_open(mps_req *r, const char *key, int32_t bracket)
{
	if (bracket != '{' && bracket != '[')
		req_bug(r, "json_open: the bracket is neither { nor [");
	else if (r->depth >= JSON_DEPTH)
		req_bug(r, "json_open: deeper than %d", JSON_DEPTH);
	else if (json_place(r, key, true)) {
		if (bracket == '{')
			jsonw_object(&r->json, key);
		else
			jsonw_array(&r->json, key);
		r->brackets[r->depth++] = (char)bracket;
	}
}

static void json_close(mps_req *r)
{
	if (r->depth == 0) {
		req_bug(r, "json_close: nothing is open");
		return;
	}
	if (r->brackets[--r->depth] == '{')
		jsonw_object_end(&r->json);
	else
		jsonw_array_end(&r->json);
	r->json_ended = r->depth == 0;
}

static void json_text_put(mps_req *r, const char *key, const char *value)
{
	const char *held = value ? op_handle_of(r->op, value) : NULL;

	if (!value)
		req_bug(r, "json_text: the value of \"%.60s\" is NULL", key ? key : "NULL");
	else if (!json_place(r, key, false))
		return;
	else if (!held)
		jsonw_text(&r->json, key, value);
	else {
		jsonw_raw(&r->json, key, "\"", 1);
		pieces_handle(&r->body, "json", held);
		buf_addc(&r->body.lit, '"');
	}
}

static void json_int_put(mps_req *r, const char *key, int64_t value)
{
	if (json_place(r, key, false))
		jsonw_int(&r->json, key, value);
}

static void json_bool_put(mps_req *r, const char *key, int32_t value)
{
	if (json_place(r, key, false))
		jsonw_bool(&r->json, key, value != 0);
}

static void json_null(mps_req *r, const char *key)
{
	if (json_place(r, key, false))
		jsonw_null(&r->json, key);
}

static void json_raw_put(mps_req *r, const char *key, const char *json)
{
	struct json_fault fault;

	if (!json || json_check(json, strlen(json), &fault) == 0)
		req_bug(r, "json_raw: the value of \"%.60s\" is not one JSON value", key ? key : "NULL");
	else if (json_place(r, key, false))
		jsonw_raw(&r->json, key, json, strlen(json));
}

void reqbody_fill(struct mps_host *t)
{
	t->form = form, t->multipart = multipart, t->multipart_media = multipart_media;
	t->req_body = req_body, t->body_media = body_media;
	t->json_open = json_open, t->json_close = json_close, t->json_text = json_text_put, t->json_int = json_int_put;
	t->json_bool = json_bool_put, t->json_null = json_null, t->json_raw = json_raw_put;
}
