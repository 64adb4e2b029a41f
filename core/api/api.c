/*
 * One request through the frame: a table of steps, then the handler, then the envelope or the answer.
 *
 * Each step refuses with one fault and nothing behind it runs.  The access log names the route, never the path
 * or the query: both may hold what nobody else should read.
 */
#include "core/api/api.h"

#include <string.h>
#include <strings.h>

#include "core/api/health.h"
#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/text.h"

#define BODY_MAX (1 << 20)
#define KEY_MAX 255
#define WAITING_MAX 500

static const struct field paged_fields[] = {
	{.name = "limit", .type = FIELD_INT, .min = 1, .max = 200, .help = "Rows of a page; 50 without it."},
	{.name = "cursor", .type = FIELD_TEXT, .max = 2048, .help = "nextCursor of the page before."},
	{0},
};
static const struct field polled_fields[] = {
	{.name = "wait", .type = FIELD_INT, .min = 0, .max = 30, .help = "Seconds to hold the answer until something ends."},
	{0},
};

/* ---- steps ------------------------------------------------------------------------------------------ */

static bool is_browser(const struct api_request *r)
{
	return r->route->flags & ROUTE_BROWSER;
}

static bool is_write(const struct api_request *r)
{
	return strcmp(r->route->method, "GET") != 0;
}

static enum rc step_route(struct api_request *r)
{
	const struct route *const *tables = r->api->routes ? r->api->routes : route_tables;

	route_match(r->arena, tables, r->web->method, r->web->path, &r->match);
	r->route = r->match.route;
	if (r->route)
		return RC_OK;
	if (!r->match.known_path)
		return fail_code(r->cx, RC_NOT_FOUND, "not_found", NULL, "There is nothing at this path.");
	web_header(r->answer, "Allow", "%s", r->match.allow);
	return fail_code(r->cx, RC_INVALID, "method_not_allowed", NULL, "%s is not a method of this path; it has %s.",
		strlen(r->web->method) < 20 ? r->web->method : "This", r->match.allow);
}

static enum rc step_draining(struct api_request *r)
{
	if (!r->api->draining || !strcmp(r->route->pattern, "/healthz"))
		return RC_OK;
	r->more.retry_after = 5;
	r->answer->close = true;
	return fail_code(r->cx, RC_UNAVAILABLE, "draining", NULL, "The server is stopping.");
}

static void rate_headers(struct api_request *r, const char *kind, const struct rate_left *left)
{
	if (!left->limit)
		return;
	web_header(r->answer, "RateLimit-Policy", "\"%s\";q=%d;w=60", kind, left->limit);
	web_header(r->answer, "RateLimit", "\"%s\";r=%d;t=%d", kind, left->remaining, left->reset);
	web_header(r->answer, "X-RateLimit-Limit", "%d", left->limit);
	web_header(r->answer, "X-RateLimit-Remaining", "%d", left->remaining);
	web_header(r->answer, "X-RateLimit-Reset", "%lld", (long long)(clock_now() / 1000 + left->reset));
}

static enum rc limited(struct api_request *r, const char *kind, const struct rate_left *left)
{
	metric_add(METRIC_LIMITED);
	rate_headers(r, kind, left);
	r->more.retry_after = left->retry_after;
	return fail_code(r->cx, RC_LIMITED, "rate_limited", NULL, "More than %d requests a minute by one %s.", left->limit,
		!strcmp(kind, "key") ? "key" : "address");
}

static enum rc step_address(struct api_request *r)
{
	struct rate_left left;

	if (!rate_take(r->api->rates, "address", r->address, r->api->address_per_minute, 1, &left))
		return limited(r, "address", &left);
	return RC_OK;
}

static const char *bearer(const struct web_request *web)
{
	const char *text = web_header_in(web, "Authorization");

	if (!text || strncasecmp(text, "Bearer ", 7))
		return NULL;
	text += 7 + strspn(text + 7, " ");
	return *text ? text : NULL;
}

static enum rc step_auth(struct api_request *r)
{
	const char *key = bearer(r->web);
	struct rate_left left;
	enum rc rc;

	if (is_browser(r) || (r->route->flags & ROUTE_NO_AUTH))
		return RC_OK;
	if (!key) {
		metric_add(METRIC_UNAUTHORIZED);
		return fail_code(r->cx, RC_UNAUTHORIZED, "api_key_missing", NULL, "This request has no API key.");
	}
	if (!rate_take(r->api->rates, "failed", r->address, r->api->failed_per_minute, 0, &left))
		return limited(r, "failed", &left);
	rc = r->api->authorize(r->cx, r->api, r->arena, key, r->address, &r->identity);
	if (rc == RC_UNAUTHORIZED) {
		metric_add(METRIC_UNAUTHORIZED);
		rate_take(r->api->rates, "failed", r->address, r->api->failed_per_minute, 1, &left);
	}
	if (rc)
		return rc;
	if (!rate_take(r->api->rates, "key", r->identity.key_id, r->api->key_per_minute, 1, &left))
		return limited(r, "key", &left);
	rate_headers(r, "key", &left);
	return r->route->scope ? api_scope(r, r->route->scope) : RC_OK;
}

static const struct field *query_field(const struct route *route, const char *name)
{
	const struct field *f = field_find(route->query, name);

	if (f && (f->flags & FIELD_HEADER))
		return NULL;
	if (!f && (route->flags & ROUTE_PAGED))
		f = field_find(paged_fields, name);
	if (!f && (route->flags & ROUTE_LONG_POLL))
		f = field_find(polled_fields, name);
	return f;
}

static void query_check(struct api_request *r, const char *name, const char *value, int index)
{
	const struct field *f = query_field(r->route, name);
	const char *first = NULL, *near;

	web_query(r->web, name, &first);
	if (!text_utf8(name, strlen(name)) || !text_printable(name)) {
		api_issue(r, "unknown_field", NULL, "A query parameter has a malformed name.");
	} else if (!f) {
		near = field_nearest(r->arena, r->route->query, r->route->flags & ROUTE_PAGED ? paged_fields : NULL, name);
		api_issue(r, "unknown_field", name, "%s is not a query parameter here%s%s%s", name, near ? "; did you mean " : ".",
			near ? near : "", near ? "?" : "");
	} else if (first != value) {
		api_issue(r, "field_invalid", name, "%s stands twice in the query (at %d).", name, index + 1);
	} else {
		field_check_text(&r->more, f, value);
	}
}

static enum rc step_query(struct api_request *r)
{
	const char *name, *value;

	if (is_browser(r))
		return RC_OK;
	for (int i = 0; web_query_at(r->web, i, &name, &value) && !error_full(&r->more); i++)
		query_check(r, name, value, i);
	for (const struct field *f = r->route->query; f && f->name; f++) {
		if ((f->flags & FIELD_REQUIRED) && !web_query(r->web, f->name, &value))
			api_issue(r, "field_required", f->name, "The query parameter %s is required.", f->name);
	}
	return api_issues(r);
}

static bool key_printable(const char *key)
{
	size_t n = strlen(key);

	for (size_t i = 0; i < n; i++) {
		if ((unsigned char)key[i] < 32 || (unsigned char)key[i] > 126)
			return false;
	}
	return n >= 1 && n <= KEY_MAX;
}

static enum rc step_idempotency(struct api_request *r)
{
	const char *a = web_header_in(r->web, "Idempotency-Key");
	const char *b = web_header_in(r->web, "X-Idempotency-Key");

	if (is_browser(r) || !is_write(r) || (!a && !b))
		return RC_OK;
	r->more.type = "invalid_request";
	if (a && b && strcmp(a, b))
		return fail_code(r->cx, RC_INVALID, "field_invalid", "Idempotency-Key", "Idempotency-Key and X-Idempotency-Key differ.");
	r->idempotency_key = a ? a : b;
	if (!key_printable(r->idempotency_key))
		return fail_code(r->cx, RC_INVALID, "field_invalid", "Idempotency-Key", "Idempotency-Key must be 1 to 255 printable ASCII characters.");
	r->more.type = NULL;
	return RC_OK;
}

static enum rc media_type(struct api_request *r)
{
	const char *type = web_header_in(r->web, "Content-Type");
	size_t n = type ? strcspn(type, "; \t") : 0;

	if (n == 16 && !strncasecmp(type, "application/json", 16))
		return RC_OK;
	if (n == 19 && !strncasecmp(type, "multipart/form-data", 19)) {
		r->more.remediation = arena_printf(r->arena, "curl -H 'Authorization: Bearer KEY' -H 'Content-Type: image/jpeg' "
			"-H 'X-Filename: photo.jpg' --data-binary @photo.jpg %s/v1/media", r->api->public_url);
		return fail_code(r->cx, RC_INVALID, "unsupported_media_type", NULL,
			"Multipart is not accepted: send JSON here, and a file as the raw body of POST /v1/media.");
	}
	r->more.remediation = arena_printf(r->arena, "curl -X %s -H 'Authorization: Bearer KEY' -H 'Content-Type: application/json' "
		"-d '{...}' %s%s", r->route->method, r->api->public_url, r->route->pattern);
	return fail_code(r->cx, RC_INVALID, "unsupported_media_type", NULL, "The body must be JSON: send Content-Type: application/json.");
}

static enum rc step_body(struct api_request *r)
{
	static const struct field none[] = {{0}};
	enum rc rc;

	if (is_browser(r) || (r->route->flags & ROUTE_RAW))
		return RC_OK;
	if (r->web->content_length > 0) {
		if (!is_write(r))
			return fail_code(r->cx, RC_INVALID, "invalid_request", NULL, "A GET has no body.");
		rc = media_type(r);
		if (!rc)
			rc = web_body(r->cx, r->web, BODY_MAX, &r->raw, &r->raw_len);
		if (!rc)
			rc = json_parse(r->cx, r->arena, r->raw, r->raw_len, &r->body);
		if (rc)
			return rc;
	}
	field_check(&r->more, r->route->fields ? r->route->fields : none, r->body);
	return api_issues(r);
}

static enum rc step_overload(struct api_request *r)
{
	if (is_browser(r) || !is_write(r) || db_waiting(r->api->db) <= WAITING_MAX)
		return RC_OK;
	metric_add(METRIC_OVERLOADED);
	r->more.retry_after = 1;
	return fail_code(r->cx, RC_UNAVAILABLE, "overloaded", NULL, "More than %d writes are waiting.", WAITING_MAX);
}

#define RESCUE_RETRY 60

/* A damaged store is only read; the pages that people see all write. */
static enum rc step_rescue(struct api_request *r)
{
	if (!db_rescue(r->api->db) || r->route->flags & (ROUTE_NO_AUTH | ROUTE_STORELESS))
		return RC_OK;
	if (!is_browser(r) && !is_write(r))
		return RC_OK;
	r->more.retry_after = RESCUE_RETRY;
	return fail_code(r->cx, RC_CORRUPT, "storage_damaged", NULL, "the store is damaged");
}

static enum rc (*const steps[])(struct api_request *r) = {
	step_route, step_draining, step_address, step_auth, step_query, step_idempotency, step_body, step_overload, step_rescue,
};

/* ---- one request ------------------------------------------------------------------------------------ */

/* Behind a proxy on this machine the client is the last address that the proxy named; some add a line of their own behind the client's. */
static const char *client_address(const struct web_request *web, struct arena *a)
{
	const char *list = web_header_last(web, "X-Forwarded-For");
	const char *last = list ? strrchr(list, ',') : NULL;

	if (!list || strncmp(web->address, "127.", 4))
		return web->address;
	last = last ? last + 1 : list;
	last += strspn(last, " ");
	return *last && strlen(last) < 64 ? arena_text(a, last) : web->address;
}

static void request_init(struct api_request *r, struct api *api, const struct web_request *web, struct web_answer *a)
{
	memset(r, 0, sizeof(*r));
	r->api = api;
	r->arena = web->arena;
	r->web = web;
	r->answer = a;
	r->now = clock_now();
	r->address = client_address(web, web->arena);
	error_more_init(&r->more, web->arena);
	if (*api->public_url)
		r->more.doc_url = arena_printf(web->arena, "%s/docs/errors/", api->public_url);
}

static void request_id(struct web_answer *a, struct arena *arena, const char **ret)
{
	char *id = arena_alloc(arena, ID_MAX);

	id_new(id, "req");
	web_header(a, "X-Request-Id", "%s", id);
	web_header(a, "Request-Id", "%s", id);
	*ret = id;
}

static void request_refused(struct api_request *r, enum rc rc)
{
	if (r->cx->rc == RC_OK)
		fail(r->cx, rc, "refused without words");
	if (!r->more.retry_after && !strcmp(error_of(r->cx)->type, "service_unavailable"))
		r->more.retry_after = 1;
	if (r->route && is_browser(r) && r->api->page_error)
		r->api->page_error(r);
	else
		error_write(r->cx, r->id, &r->more, r->answer);
}

/* "There is none" is no answer when the store could not be read; nor is half a list.  What was written stays told. */
static enum rc read_check(struct api_request *r, enum rc rc)
{
	if (db_read_fault() == RC_OK || (rc == RC_OK && r->wrote) || (rc != RC_OK && error_status(error_of(r->cx)->type) >= 500))
		return rc;
	cx_init(r->cx, r->id);
	return fail(r->cx, RC_UNAVAILABLE, "the store could not be read: ask again");
}

static void request_run(struct api_request *r)
{
	enum rc rc = RC_OK;
	size_t mark;

	(void)db_read_fault();
	for (size_t i = 0; !rc && i < sizeof(steps) / sizeof(*steps); i++)
		rc = steps[i](r);
	mark = r->answer->headers->len;
	if (!rc) {
		rc = r->route->handle(r);
		if (rc)
			buf_cut(r->answer->headers, mark);
	}
	rc = read_check(r, rc);
	if (rc) {
		request_refused(r, rc);
		return;
	}
	jsonw_end(r->w);
	if (r->status)
		r->answer->status = r->status;
	else if (!r->answer->status)
		r->answer->status = r->route->status ? r->route->status : 200;
}

void api_handle(void *arg, const struct web_request *web, struct web_answer *a)
{
	int64_t began = clock_mono();
	struct api_request r;
	struct jsonw w;
	struct cx cx;

	request_init(&r, arg, web, a);
	request_id(a, web->arena, &r.id);
	cx_init(&cx, r.id);
	jsonw_init(&w, a->body);
	r.cx = &cx;
	r.w = &w;
	request_run(&r);
	metric_status(a->status);
	log_info("api", "%s %s %d %lld ms %s", r.route ? r.route->method : "-", r.route ? r.route->pattern : "-", a->status,
		(long long)(clock_mono() - began), r.id);
}

void api_refuse(void *arg, int status, const char *words, struct web_answer *a)
{
	static const struct { int status; enum rc rc; const char *code; } table[] = {
		{400, RC_INVALID, "invalid_request"}, {408, RC_TIMEOUT, "request_timeout"}, {431, RC_TOO_LARGE, "headers_too_large"},
		{503, RC_UNAVAILABLE, "unavailable"}, {0, RC_BUG, "internal_error"},
	};
	struct api *api = arg;
	ARENA_AUTO struct arena arena;
	struct error_more more;
	const char *id;
	struct cx cx;
	int i = 0;

	while (table[i].status && table[i].status != status)
		i++;
	arena_init(&arena, 64 * 1024);
	error_more_init(&more, &arena);
	if (*api->public_url)
		more.doc_url = arena_printf(&arena, "%s/docs/errors/", api->public_url);
	more.retry_after = status == 503 ? 1 : 0;
	request_id(a, &arena, &id);
	cx_init(&cx, id);
	fail_code(&cx, table[i].rc, status == 503 && api->draining ? "draining" : table[i].code, NULL, "%s", words);
	error_write(&cx, id, &more, a);
	metric_status(a->status);
}

/* ---- open and close --------------------------------------------------------------------------------- */

static void limit_default(int *limit, int value)
{
	if (!*limit)
		*limit = value;
}

enum rc api_init(struct cx *cx, struct api *api)
{
	if (!api->db || !api->vault || !api->authorize)
		return fail(cx, RC_BUG, "the API lacks its store, its vault or its authorize function");
	limit_default(&api->key_per_minute, 6000);
	limit_default(&api->address_per_minute, 12000);
	limit_default(&api->failed_per_minute, 60);
	limit_default(&api->polls_max, 16);
	if (!api->public_url)
		api->public_url = "";
	api->rates = rate_new();
	api->started_at = clock_mono();
	return RC_OK;
}

void api_free(struct api *api)
{
	rate_drop(api->rates);
	api->rates = NULL;
}

void api_drain(struct api *api)
{
	api->draining = true;
	if (api->wake)
		api->wake(api->engine);
}
