/*
 * Builders of the head of a request: URL, headers, authorization.
 *
 * Everything is encoded for the place it goes to, and a handle is written as a record of its own, so that the
 * core can put the secret there at send time.  The first mistake sticks and send() reports it.
 */
#include "core/host/request.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "core/base/text.h"

static const char *const methods[] = { "GET", "POST", "PUT", "PATCH", "DELETE", NULL };

/* Headers that belong to the core or to the connection. */
static const char *const core_headers[] = {
	"host", "content-length", "transfer-encoding", "connection", "keep-alive", "te", "trailer", "upgrade", "expect",
	"proxy-authorization", "proxy-connection", "cookie", "dpop", NULL
};

void req_bug(struct mps_req *r, const char *fmt, ...)
{
	char words[300];
	va_list ap;

	if (r->bug)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(words, sizeof words, fmt, ap);
	va_end(ap);
	r->bug = arena_text(&r->op->arena, words);
}

void pieces_flush(struct pieces *p)
{
	if (p->lit.len > 0)
		rec_add(&p->recs, p->literal, "", p->lit.data, p->lit.len);
	if (!buf_ok(&p->lit))
		(void)buf_room(&p->recs, SIZE_MAX / 8);		/* over the ceiling: the failure must not get lost */
	buf_reset(&p->lit);
}

void pieces_handle(struct pieces *p, const char *encoding, const char *name)
{
	pieces_flush(p);
	rec_text(&p->recs, p->handle, encoding, name);
}

void req_put(struct mps_req *r, struct pieces *p, const char *encoding, const char *value)
{
	const char *name = value ? op_handle_of(r->op, value) : NULL;
	size_t n = value ? strlen(value) : 0;

	if (!value)
		req_bug(r, "a value is NULL");
	else if (name)
		pieces_handle(p, encoding, name);
	else if (strcmp(encoding, "percent") == 0)
		text_percent(&p->lit, value, n);
	else if (strcmp(encoding, "form") == 0)
		text_form(&p->lit, value, n);
	else
		buf_add(&p->lit, value, n);
}

/* --- URL ----------------------------------------------------------------------------------------------------- */

static bool url_ok(const char *url)
{
	if (!text_starts(url, "https://") && !text_starts(url, "http://"))
		return false;
	for (const char *c = url; *c; c++)
		if (*c <= ' ' || *c >= 0x7f || strchr("\"<>\\^`{|}#", *c))
			return false;
	return true;
}

static struct mps_req *req_new(struct mps_op *op)
{
	struct mps_req *r = arena_new(&op->arena, struct mps_req);

	r->op = op;
	r->next = op->open;
	op->open = r;
	buf_init(&r->url.recs, FRAME_OUT_MAX);
	buf_init(&r->url.lit, FRAME_OUT_MAX);
	buf_init(&r->headers, FRAME_OUT_MAX);
	buf_init(&r->body.recs, FRAME_OUT_MAX);
	buf_init(&r->body.lit, FRAME_OUT_MAX);
	r->url.literal = REC_URL, r->url.handle = REC_URL_HANDLE;
	r->body.literal = REC_REQ_BODY, r->body.handle = REC_REQ_BODY_HANDLE;
	jsonw_init(&r->json, &r->body.lit);
	return r;
}

static mps_req *request(mps_op *op, const char *method, const char *url)
{
	struct mps_req *r = req_new(op);

	r->method = "GET";
	for (int i = 0; methods[i]; i++)
		if (method && strcmp(method, methods[i]) == 0)
			r->method = methods[i];
	if (!method || strcmp(r->method, method) != 0)
		req_bug(r, "request: there is no method \"%.20s\"", method ? method : "NULL");
	if (++op->requests > 16)
		op_bug(op, "request: more than 16 requests in one step");
	if (!url || !url[0])
		req_bug(r, "request: the URL is empty");
	else if (!op_handle_of(op, url) && !url_ok(url))
		req_bug(r, "request: \"%.100s\" is not an encoded http(s) URL", url);
	else
		req_put(r, &r->url, "raw", url);
	if (!r->bug && !op_handle_of(op, url)) {
		r->has_query = strchr(url, '?') != NULL;
		r->slash = url[strlen(url) - 1] == '/';
	}
	return r;
}

static void path(mps_req *r, const char *segment)
{
	if (!segment || !segment[0] || strcmp(segment, ".") == 0 || strcmp(segment, "..") == 0)
		req_bug(r, "path: \"%s\" is no path segment", segment ? segment : "NULL");
	else if (r->has_query)
		req_bug(r, "path: \"%.80s\" comes after the query", segment);
	else {
		if (!r->slash)
			buf_addc(&r->url.lit, '/');
		r->slash = false;
		req_put(r, &r->url, "percent", segment);
	}
}

static void query(mps_req *r, const char *key, const char *value)
{
	if (!key || !key[0])
		req_bug(r, "query: the key is empty");
	else {
		buf_addc(&r->url.lit, r->has_query ? '&' : '?');
		r->has_query = true;
		req_put(r, &r->url, "percent", key);
		buf_addc(&r->url.lit, '=');
		req_put(r, &r->url, "percent", value);
	}
}

/* --- headers ------------------------------------------------------------------------------------------------- */

bool header_value_ok(const char *s)
{
	for (; *s; s++)
		if (((unsigned char)*s < ' ' && *s != '\t') || *s == 0x7f)
			return false;
	return true;
}

static bool header_name_ok(const char *name)
{
	if (!name || !name[0] || strlen(name) > 64)
		return false;
	for (const char *c = name; *c; c++)
		if (!isalnum((unsigned char)*c) && !strchr("-_", *c))
			return false;
	for (int i = 0; core_headers[i]; i++)
		if (strcasecmp(name, core_headers[i]) == 0)
			return false;
	return true;
}

/* Starts a header; a handle follows the empty literal that names it. */
static void header_begin(struct mps_req *r, const char *name, const char *value)
{
	const char *held = op_handle_of(r->op, value);

	rec_text(&r->headers, REC_REQ_HEADER, name, held ? "" : value);
	if (held)
		rec_text(&r->headers, REC_REQ_HEADER_HANDLE, "raw", held);
	r->header_open = true;
}

static void req_header(mps_req *r, const char *name, const char *value)
{
	bool type = name && strcasecmp(name, "content-type") == 0;
	bool auth = name && strcasecmp(name, "authorization") == 0;

	if (!header_name_ok(name))
		req_bug(r, "header: the name \"%.60s\" is not allowed", name ? name : "NULL");
	else if (!value || (!op_handle_of(r->op, value) && !header_value_ok(value)))
		req_bug(r, "header: the value of %s holds control characters", name);
	else if ((type && r->type_set) || (auth && r->authorized))
		req_bug(r, "header: %s is there already", name);
	else {
		r->type_set |= type;
		r->authorized |= auth;
		header_begin(r, name, value);
	}
}

static void req_header_more(mps_req *r, const char *value)
{
	const char *held = value ? op_handle_of(r->op, value) : NULL;

	if (!r->header_open || !value || (!held && !header_value_ok(value)))
		req_bug(r, "header_more: no header before it, or control characters in the value");
	else if (held)
		rec_text(&r->headers, REC_REQ_HEADER_HANDLE, "raw", held);
	else
		rec_text(&r->headers, REC_REQ_HEADER, "", value);
}

static void bearer(mps_req *r, const char *token)
{
	const char *held = op_handle_of(r->op, token ? token : op_handle(r->op, "token.access"));

	if (!held)
		req_bug(r, "bearer: the token is not a handle");
	else if (r->authorized)
		req_bug(r, "bearer: Authorization is there already");
	else {
		rec_text(&r->headers, REC_REQ_HEADER, "Authorization", r->dpop ? "DPoP " : "Bearer ");
		rec_text(&r->headers, REC_REQ_HEADER_HANDLE, "raw", held);
		r->authorized = r->header_open = true;
	}
}

/* One side of "basic": a handle's name, or "=" and literal text; percent-encoded, so that the one colon parts them. */
static void basic_side(struct mps_req *r, struct buf *out, const char *text)
{
	const char *held = op_handle_of(r->op, text);

	if (!held)
		buf_addc(out, '=');
	if (!held && (strchr(text, ':') || !header_value_ok(text)))
		req_bug(r, "basic: user or password hold a colon or control characters");
	text_percent(out, text, strlen(text));
}

static void basic(mps_req *r, const char *user, const char *password)
{
	struct buf both BUF_AUTO;

	buf_init(&both, HOST_VALUE_MAX);
	if (!user || !password || r->authorized)
		req_bug(r, "basic: NULL, or Authorization is there already");
	else {
		basic_side(r, &both, user);
		buf_addc(&both, ':');
		basic_side(r, &both, password);
		rec_text(&r->headers, REC_REQ_HEADER, "Authorization", "Basic ");
		rec_text(&r->headers, REC_REQ_HEADER_HANDLE, "basic", buf_text(&both));
		r->authorized = r->header_open = true;
	}
}

static void dpop(mps_req *r)
{
	if (r->authorized)
		req_bug(r, "dpop: comes after bearer");
	r->dpop = true;
}

/* --- the end ------------------------------------------------------------------------------------------------- */

const char *req_method(const struct mps_req *r) { return r->method; }
bool req_has_body(const struct mps_req *r) { return r->kind != BODY_NONE; }

bool req_write(struct mps_req *r, const char *repeat, struct buf *out)
{
	if (r->kind == BODY_JSON && !r->json_ended)
		req_bug(r, "the JSON body is not finished: %u open bracket(s)", (unsigned)r->depth);
	if (r->kind == BODY_MULTIPART)
		buf_addf(&r->body.lit, "--%s--\r\n", r->boundary);
	pieces_flush(&r->url);
	pieces_flush(&r->body);
	if (!r->bug && !(buf_ok(&r->url.recs) && buf_ok(&r->headers) && buf_ok(&r->body.recs)))
		req_bug(r, "the request is larger than %d bytes", FRAME_OUT_MAX);
	if (r->bug) {
		op_bug(r->op, "%s", r->bug);
		return false;
	}
	if (!buf_ok(&r->op->makes))
		op_bug(r->op, "the signatures of one step are larger than %d bytes", FRAME_OUT_MAX);
	buf_add(out, r->op->makes.data, r->op->makes.len);
	rec_text(out, REC_METHOD, r->method, repeat);
	buf_add(out, r->url.recs.data, r->url.recs.len);
	buf_add(out, r->headers.data, r->headers.len);
	if (r->dpop)
		rec_text(out, REC_DPOP, "", "");
	buf_add(out, r->body.recs.data, r->body.recs.len);
	return true;
}

void req_free(struct mps_req *r)
{
	for (; r; r = r->next) {
		buf_free(&r->url.recs);
		buf_free(&r->url.lit);
		buf_free(&r->headers);
		buf_free(&r->body.recs);
		buf_free(&r->body.lit);
	}
}

void req_fill(struct mps_host *t)
{
	t->request = request, t->path = path, t->query = query;
	t->req_header = req_header, t->req_header_more = req_header_more;
	t->bearer = bearer, t->basic = basic, t->dpop = dpop;
}
