/*
 * What a handler asks its request: parameters, fields, scopes, versions, and the long poll.
 */
#include "core/api/api.h"

#include <stdio.h>
#include <string.h>

#include "core/api/health.h"
#include "core/base/clock.h"
#include "core/base/text.h"
#include "core/model/apikey.h"

#define WAIT_MAX 30
#define WAIT_SLICE 1000		/* the store is looked at again at least this often, in milliseconds */

const char *api_param(const struct api_request *r, const char *name)
{
	for (int i = 0; i < r->match.params; i++) {
		if (!strcmp(r->match.names[i], name))
			return r->match.values[i];
	}
	return NULL;
}

const char *api_query(const struct api_request *r, const char *name)
{
	const char *value = NULL;

	return web_query(r->web, name, &value) ? value : NULL;
}

int64_t api_query_int(const struct api_request *r, const char *name, int64_t fallback)
{
	const char *text = api_query(r, name);
	int64_t value;

	return text && text_int(text, &value) ? value : fallback;
}

struct jv field_value(const struct api_request *r, const char *name)
{
	return json_get(r->body, name);
}

bool field_has(const struct api_request *r, const char *name)
{
	return json_type(field_value(r, name)) != JSON_NONE;
}

bool field_null(const struct api_request *r, const char *name)
{
	return json_type(field_value(r, name)) == JSON_NULL;
}

const char *field_text(const struct api_request *r, const char *name)
{
	struct jv v = field_value(r, name);

	return json_type(v) == JSON_STRING ? json_text(v) : NULL;
}

int64_t field_int(const struct api_request *r, const char *name, int64_t fallback)
{
	int64_t value;

	return json_int(field_value(r, name), &value) ? value : fallback;
}

bool field_bool(const struct api_request *r, const char *name, bool fallback)
{
	bool value;

	return json_bool(field_value(r, name), &value) ? value : fallback;
}

const char *field_json(const struct api_request *r, const char *name)
{
	struct jv v = field_value(r, name);
	const char *raw;
	size_t n;

	if (json_type(v) == JSON_NONE || json_type(v) == JSON_NULL)
		return NULL;
	raw = json_raw(v, &n);
	return raw ? arena_dup(r->arena, raw, n) : NULL;
}

enum rc api_issues(struct api_request *r)
{
	return error_issues(r->cx, &r->more);
}

enum rc api_scope(struct api_request *r, const char *scope)
{
	const struct apikey key = {.scopes = r->identity.scopes};

	if (key.scopes != NULL && apikey_may(&key, scope))
		return RC_OK;
	return fail_code(r->cx, RC_DENIED, "scope_missing", NULL, "This key has no scope %s.", scope);
}

/* ---- versions --------------------------------------------------------------------------------------- */

void api_etag(struct api_request *r, int64_t version)
{
	web_header(r->answer, "ETag", "\"v%lld\"", (long long)version);
}

enum rc api_if_match(struct cx *cx, const struct api_request *r, int64_t version)
{
	const char *list = web_header_in(r->web, "If-Match");
	char tag[32];
	size_t n = (size_t)snprintf(tag, sizeof(tag), "\"v%lld\"", (long long)version);

	if (!list || !strcmp(list, "*"))
		return RC_OK;
	while (*list) {
		size_t word;

		list += strspn(list, " ,");
		word = strcspn(list, " ,");
		if (word == n && !memcmp(list, tag, n))
			return RC_OK;
		list += word;
	}
	return fail_code(cx, RC_STALE, "precondition_failed", "If-Match", "The object has changed: its ETag is %s.", tag);
}

/* ---- long polls ------------------------------------------------------------------------------------- */

enum rc api_poll_begin(struct api_request *r)
{
	if (++r->api->polls <= r->api->polls_max)
		return RC_OK;
	r->api->polls--;
	metric_add(METRIC_OVERLOADED);
	r->more.retry_after = 2;
	return fail_code(r->cx, RC_UNAVAILABLE, "overloaded", "wait", "Too many requests wait at once; ask again without wait, or later.");
}

void api_poll_end(struct api_request *r)
{
	r->api->polls--;
}

enum rc api_wait(struct api_request *r, api_ready_fn *ready, void *arg)
{
	int64_t seconds = api_query_int(r, "wait", 0);
	int64_t end = clock_mono() + (seconds < WAIT_MAX ? seconds : WAIT_MAX) * 1000;
	uint64_t seen = 0;
	enum rc rc;

	if (seconds <= 0 || !r->api->wait)
		return RC_OK;
	rc = api_poll_begin(r);
	if (rc)
		return rc;
	while (!r->api->draining && !ready(r, arg)) {
		int64_t left = end - clock_mono();

		if (left <= 0)
			break;
		seen = r->api->wait(r->api->engine, seen, (int)(left < WAIT_SLICE ? left : WAIT_SLICE));
	}
	api_poll_end(r);
	return RC_OK;
}
