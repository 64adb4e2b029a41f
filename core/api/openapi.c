/*
 * /openapi.json: written from the route and field tables at each request, so it cannot differ from them.
 *
 * Paths are shown where they are mounted first ("/api/v1/..."); the alias "/v1/..." is told in the text.
 */
#include "core/api/openapi.h"

#include <stdio.h>
#include <string.h>

#include "core/api/api.h"
#include "core/api/routes.h"

#define LISTED_MAX 256

static bool shown(const struct route *r)
{
	return !(r->flags & (ROUTE_HIDDEN | ROUTE_BROWSER));
}

static const struct { const char *tag, *text; } tags[] = {
	{"end-users", "The people you publish for."},
	{"connect-sessions", "Hosted pages on which an end user connects an account."},
	{"connections", "Connected accounts."},
	{"posts", "What is published, now or later, on one account or many."},
	{"deliveries", "One post on one account: its state, attempts and outcome."},
	{"rules", "What a post must keep to, platform by platform."},
	{"media", "Images and videos."},
	{"events", "What happened, in order."},
	{"webhook-endpoints", "Where events are sent."},
	{"operations", "Work that takes longer than a request."},
	{"platforms", "What this server can publish to, and each platform's limits."},
	{"apps", "Apps, their keys, redirect URLs and provider credentials."},
	{"system", "Health and this document."},
};

/* ---- walking the tables: visit is called with every shown route, in order, until it returns false ------ */

typedef bool visit_fn(struct jsonw *w, const struct route *r, void *arg);

static void visit(struct jsonw *w, const struct route *const *tables, visit_fn *fn, void *arg)
{
	for (; *tables; tables++) {
		for (const struct route *r = *tables; r->method; r++) {
			if (shown(r) && !fn(w, r, arg))
				return;
		}
	}
}

static size_t tag_of(const struct route *r, const char **ret)
{
	if (strncmp(r->pattern, "/v1/", 4)) {
		*ret = "system";
		return 6;
	}
	*ret = r->pattern + 4;
	return strcspn(*ret, "/");
}

static const char *tag_text(const char *tag, size_t n)
{
	for (size_t i = 0; i < sizeof(tags) / sizeof(*tags); i++) {
		if (strlen(tags[i].tag) == n && !memcmp(tags[i].tag, tag, n))
			return tags[i].text;
	}
	return "More of the API.";
}

/* ---- one operation ------------------------------------------------------------------------------------ */

static void constant(struct jsonw *w, const char *key, const char *json)
{
	jsonw_raw(w, key, json, strlen(json));
}

static void ref_write(struct jsonw *w, const char *key, const char *kind, const char *name)
{
	char text[128];

	snprintf(text, sizeof(text), "#/components/%s/%s", kind, name);
	jsonw_object(w, key);
	jsonw_text(w, "$ref", text);
	jsonw_object_end(w);
}

static void path_params(struct jsonw *w, const char *pattern)
{
	while ((pattern = strchr(pattern, '{'))) {
		size_t n = strcspn(++pattern, "}");

		jsonw_object(w, NULL);
		jsonw_textn(w, "name", pattern, n);
		jsonw_text(w, "in", "path");
		jsonw_bool(w, "required", true);
		jsonw_object(w, "schema");
		jsonw_text(w, "type", "string");
		jsonw_object_end(w);
		jsonw_object_end(w);
	}
}

static void query_param(struct jsonw *w, const struct field *f)
{
	struct field bare = *f;

	bare.help = NULL;
	jsonw_object(w, NULL);
	jsonw_text(w, "name", f->name);
	jsonw_text(w, "in", f->flags & FIELD_HEADER ? "header" : "query");
	if (f->help)
		jsonw_text(w, "description", f->help);
	if (f->flags & FIELD_REQUIRED)
		jsonw_bool(w, "required", true);
	openapi_field(w, "schema", &bare, true);
	jsonw_object_end(w);
}

static void parameters_write(struct jsonw *w, const struct route *r)
{
	jsonw_array(w, "parameters");
	path_params(w, r->pattern);
	for (const struct field *f = r->query; f && f->name; f++)
		query_param(w, f);
	if (r->flags & ROUTE_PAGED) {
		ref_write(w, NULL, "parameters", "limit");
		ref_write(w, NULL, "parameters", "cursor");
	}
	if (r->flags & ROUTE_LONG_POLL)
		ref_write(w, NULL, "parameters", "wait");
	if (r->flags & ROUTE_IDEMPOTENT)
		ref_write(w, NULL, "parameters", "idempotencyKey");
	if (r->flags & ROUTE_IF_MATCH)
		ref_write(w, NULL, "parameters", "ifMatch");
	jsonw_array_end(w);
}

static void body_write(struct jsonw *w, const struct route *r)
{
	bool required = false;

	if (!r->fields && !(r->flags & ROUTE_RAW))
		return;
	for (const struct field *f = r->fields; f && f->name; f++)
		required |= f->flags & FIELD_REQUIRED;
	jsonw_object(w, "requestBody");
	jsonw_bool(w, "required", required || (r->flags & ROUTE_RAW));
	jsonw_object(w, "content");
	jsonw_object(w, r->flags & ROUTE_RAW ? "application/octet-stream" : "application/json");
	if (r->flags & ROUTE_RAW)
		constant(w, "schema", "{\"type\":\"string\",\"format\":\"binary\"}");
	else
		openapi_object(w, "schema", r->fields, true);
	jsonw_object_end(w);
	jsonw_object_end(w);
	jsonw_object_end(w);
}

static void list_schema(struct jsonw *w, const char *name)
{
	jsonw_object(w, "schema");
	jsonw_text(w, "type", "object");
	jsonw_object(w, "properties");
	jsonw_object(w, "data");
	jsonw_text(w, "type", "array");
	ref_write(w, "items", "schemas", name);
	jsonw_object_end(w);
	ref_write(w, "nextCursor", "schemas", "NextCursor");
	jsonw_object(w, "hasMore");
	jsonw_text(w, "type", "boolean");
	jsonw_object_end(w);
	jsonw_object_end(w);
	constant(w, "required", "[\"data\",\"nextCursor\",\"hasMore\"]");
	jsonw_object_end(w);
}

static void success_write(struct jsonw *w, const struct route *r, int number)
{
	char status[8];

	snprintf(status, sizeof(status), "%d", number);
	jsonw_object(w, status);
	jsonw_text(w, "description", r->summary);
	if (number != 204) {
		jsonw_object(w, "content");
		jsonw_object(w, "application/json");
		if (r->answer && (r->flags & (ROUTE_PAGED | ROUTE_LIST)))
			list_schema(w, r->answer->name);
		else if (r->answer)
			ref_write(w, "schema", "schemas", r->answer->name);
		else
			constant(w, "schema", "{\"type\":\"object\"}");
		jsonw_object_end(w);
		jsonw_object_end(w);
	}
	jsonw_object_end(w);
}

static void responses_write(struct jsonw *w, const struct route *r)
{
	static const struct { unsigned flag; int status; } others[] = {{ROUTE_OR_200, 200}, {ROUTE_OR_201, 201}, {ROUTE_OR_202, 202}};

	jsonw_object(w, "responses");
	success_write(w, r, r->status ? r->status : 200);
	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++)
		if (r->flags & others[i].flag)
			success_write(w, r, others[i].status);
	ref_write(w, "4XX", "responses", "Error");
	ref_write(w, "5XX", "responses", "Error");
	jsonw_object_end(w);
}

static void operation_write(struct jsonw *w, const struct route *r)
{
	char method[8], text[128];
	const char *tag;
	size_t n, tag_n = tag_of(r, &tag);

	for (n = 0; n < sizeof(method) - 1 && r->method[n]; n++)
		method[n] = (char)(r->method[n] | 32);
	method[n] = 0;
	jsonw_object(w, method);
	jsonw_text(w, "operationId", r->operation);
	jsonw_text(w, "summary", r->summary);
	if (r->scope) {
		snprintf(text, sizeof(text), "The key needs the scope `%s`.", r->scope);
		jsonw_text(w, "description", text);
	}
	jsonw_array(w, "tags");
	jsonw_textn(w, NULL, tag, tag_n);
	jsonw_array_end(w);
	if (r->flags & ROUTE_NO_AUTH)
		jsonw_raw(w, "security", "[]", 2);
	parameters_write(w, r);
	body_write(w, r);
	responses_write(w, r);
	jsonw_object_end(w);
}

/* ---- paths ------------------------------------------------------------------------------------------- */

struct paths { const struct route *const *tables; const struct route *of; bool first; };

static bool is_first(struct jsonw *w, const struct route *r, void *arg)
{
	struct paths *p = arg;

	(void)w;
	if (strcmp(r->pattern, p->of->pattern))
		return true;
	p->first = r == p->of;
	return false;
}

static bool same_path(struct jsonw *w, const struct route *r, void *arg)
{
	if (!strcmp(r->pattern, ((struct paths *)arg)->of->pattern))
		operation_write(w, r);
	return true;
}

static bool path_write(struct jsonw *w, const struct route *r, void *arg)
{
	struct paths *p = arg;
	char path[256];

	p->of = r;
	visit(w, p->tables, is_first, p);
	if (!p->first)
		return true;
	snprintf(path, sizeof(path), "%s%s", strncmp(r->pattern, "/v1/", 4) ? "" : "/api", r->pattern);
	jsonw_object(w, path);
	visit(w, p->tables, same_path, p);
	jsonw_object_end(w);
	return true;
}

/* ---- components and tags ------------------------------------------------------------------------------- */

struct listed { const char *text[LISTED_MAX]; size_t n[LISTED_MAX]; int count; };

static bool listed_new(struct listed *l, const char *text, size_t n)
{
	for (int i = 0; i < l->count; i++) {
		if (l->n[i] == n && !memcmp(l->text[i], text, n))
			return false;
	}
	if (l->count == LISTED_MAX)
		return false;
	l->text[l->count] = text;
	l->n[l->count++] = n;
	return true;
}

static bool tag_write(struct jsonw *w, const struct route *r, void *arg)
{
	const char *tag;
	size_t n = tag_of(r, &tag);

	if (listed_new(arg, tag, n)) {
		jsonw_object(w, NULL);
		jsonw_textn(w, "name", tag, n);
		jsonw_text(w, "description", tag_text(tag, n));
		jsonw_object_end(w);
	}
	return true;
}

static bool answer_write(struct jsonw *w, const struct route *r, void *arg)
{
	if (r->answer && listed_new(arg, r->answer->name, strlen(r->answer->name)))
		openapi_object(w, r->answer->name, r->answer->fields, false);
	return true;
}

static void codes_write(struct jsonw *w)
{
	int status;

	jsonw_object(w, "type");
	jsonw_text(w, "type", "string");
	jsonw_array(w, "enum");
	for (int i = 0; error_type_at(i, &status); i++)
		jsonw_text(w, NULL, error_type_at(i, &status));
	jsonw_array_end(w);
	jsonw_object_end(w);
	jsonw_object(w, "code");
	jsonw_text(w, "type", "string");
	jsonw_text(w, "description", "Stable. New codes may be added.");
	jsonw_array(w, "examples");
	for (int i = 0; error_at(i); i++)
		jsonw_text(w, NULL, error_at(i)->code);
	jsonw_array_end(w);
	jsonw_object_end(w);
}

static void error_schema(struct jsonw *w)
{
	static const char *const texts[] = {"param", "rule", "platform", "userMessage", "remediation", "docUrl"};

	jsonw_object(w, "Error");
	jsonw_text(w, "type", "object");
	jsonw_object(w, "properties");
	jsonw_object(w, "error");
	jsonw_text(w, "type", "object");
	jsonw_object(w, "properties");
	codes_write(w);
	constant(w, "message", "{\"type\":\"string\"}");
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
		constant(w, texts[i], "{\"type\":[\"string\",\"null\"]}");
	constant(w, "faultSource", "{\"type\":\"string\",\"enum\":[\"client\",\"end_user\",\"platform\",\"server\"]}");
	constant(w, "retryable", "{\"type\":\"boolean\"}");
	constant(w, "retryAfterSeconds", "{\"type\":[\"integer\",\"null\"]}");
	constant(w, "requestId", "{\"type\":\"string\"}");
	constant(w, "issues", "{\"type\":\"array\",\"items\":{\"type\":\"object\",\"properties\":{\"code\":{\"type\":\"string\"},"
		"\"param\":{\"type\":[\"string\",\"null\"]},\"rule\":{\"type\":[\"string\",\"null\"]},\"platform\":{\"type\":[\"string\",\"null\"]},"
		"\"severity\":{\"type\":\"string\",\"enum\":[\"error\",\"warning\"]},\"message\":{\"type\":\"string\"}}}}");
	constant(w, "platformError", "{\"type\":[\"object\",\"null\"]}");
	jsonw_object_end(w);
	constant(w, "required", "[\"type\",\"code\",\"message\",\"faultSource\",\"retryable\",\"requestId\",\"issues\"]");
	jsonw_object_end(w);
	jsonw_object_end(w);
	constant(w, "required", "[\"error\"]");
	jsonw_object_end(w);
}

static void components_write(struct jsonw *w, const struct route *const *tables, struct listed *l)
{
	jsonw_object(w, "components");
	constant(w, "securitySchemes", "{\"bearer\":{\"type\":\"http\",\"scheme\":\"bearer\",\"description\":\"mps_live_... or mps_test_...\"}}");
	constant(w, "parameters",
		"{\"limit\":{\"name\":\"limit\",\"in\":\"query\",\"description\":\"Rows of a page.\","
		"\"schema\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":200,\"default\":50}},"
		"\"cursor\":{\"name\":\"cursor\",\"in\":\"query\",\"description\":\"nextCursor of the page before; opaque.\","
		"\"schema\":{\"type\":\"string\"}},"
		"\"wait\":{\"name\":\"wait\",\"in\":\"query\",\"description\":\"Seconds to hold the answer until something ends.\","
		"\"schema\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":30,\"default\":0}},"
		"\"idempotencyKey\":{\"name\":\"Idempotency-Key\",\"in\":\"header\","
		"\"description\":\"Equal requests with the same key have one effect and one answer, for 48 hours.\","
		"\"schema\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":255}},"
		"\"ifMatch\":{\"name\":\"If-Match\",\"in\":\"header\","
		"\"description\":\"The ETag that was read: 412 if the object has changed since.\",\"schema\":{\"type\":\"string\"}}}");
	constant(w, "responses", "{\"Error\":{\"description\":\"Refused: the code says why, and docUrl leads to its page.\","
		"\"headers\":{\"X-Request-Id\":{\"schema\":{\"type\":\"string\"}}},"
		"\"content\":{\"application/json\":{\"schema\":{\"$ref\":\"#/components/schemas/Error\"}}}}}");
	jsonw_object(w, "schemas");
	error_schema(w);
	constant(w, "NextCursor", "{\"type\":[\"string\",\"null\"],\"description\":\"Opaque; null on the last page.\"}");
	visit(w, tables, answer_write, l);
	jsonw_object_end(w);
	jsonw_object_end(w);
}

void openapi_write(struct jsonw *w, const struct route *const *tables, const char *server_url)
{
	struct listed listed = {.count = 0};
	struct paths paths = {tables, NULL, false};

	jsonw_object(w, NULL);
	jsonw_text(w, "openapi", "3.1.0");
	jsonw_object(w, "info");
	jsonw_text(w, "title", "mypostshare");
	jsonw_text(w, "version", "1");
	jsonw_text(w, "description", "Publish to your users' social accounts. Every path below /api/v1 is also reached as /v1. "
		"Answers may get new fields and enums new values at any time; requests with unknown fields are refused.");
	jsonw_object_end(w);
	jsonw_array(w, "servers");
	jsonw_object(w, NULL);
	jsonw_text(w, "url", server_url && *server_url ? server_url : "/");
	jsonw_object_end(w);
	jsonw_array_end(w);
	constant(w, "security", "[{\"bearer\":[]}]");
	jsonw_array(w, "tags");
	visit(w, tables, tag_write, &listed);
	jsonw_array_end(w);
	listed.count = 0;
	jsonw_object(w, "paths");
	visit(w, tables, path_write, &paths);
	jsonw_object_end(w);
	components_write(w, tables, &listed);
	jsonw_object_end(w);
}

static enum rc openapi(struct api_request *r)
{
	openapi_write(r->w, r->api->routes ? r->api->routes : route_tables, r->api->public_url);
	web_header(r->answer, "Cache-Control", "public, max-age=300");
	return RC_OK;
}

const struct route openapi_routes[] = {
	{.method = "GET", .pattern = "/openapi.json", .flags = ROUTE_NO_AUTH, .handle = openapi, .operation = "getOpenapi",
	 .summary = "This document"},
	{0},
};
