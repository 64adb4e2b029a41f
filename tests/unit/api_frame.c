/*
 * The API frame over HTTP: the envelope, matching of routes, keys and limits, bodies and their fields.
 */
#include "api_frame.h"

/* ---- errors --------------------------------------------------------------------------------------------- */

TEST(the_envelope_has_all_its_keys)
{
	static const char *const keys[] = {"type", "code", "message", "param", "rule", "platform", "faultSource", "retryable",
		"retryAfterSeconds", "userMessage", "remediation", "docUrl", "requestId", "issues", "platformError"};

	ask("POST", "/v1/things", "{\"color\":\"blue\"}");
	CHECK_ERROR(422, "field_invalid");
	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++)
		CHECK_SAY(json_type(json_get(json_get(reply.json, "error"), keys[i])) != JSON_NONE, "no %s", keys[i]);
	CHECK_STR(at("error.type"), "validation_error");
	CHECK_STR(at("error.param"), "color");
	CHECK_STR(at("error.faultSource"), "client");
	CHECK_STR(at("error.docUrl"), "https://post.example/docs/errors/field_invalid");
	CHECK(id_valid(at("error.requestId"), "req"));
	CHECK(strstr(reply.text, "X-Request-Id: req_") && strstr(reply.text, "\r\nRequest-Id: req_"));
	CHECK(strstr(reply.text, at("error.requestId")) < reply.body);
	CHECK_INT(json_count(json_path(reply.json, "error.issues")), 2);
}

TEST(every_code_has_a_known_type_and_every_type_a_status)
{
	int status;

	for (int i = 0; error_at(i); i++) {
		CHECK_SAY(error_status(error_at(i)->type) != 500 || !strcmp(error_at(i)->type, "internal_error"), "%s", error_at(i)->code);
		CHECK_SAY(error_find(error_at(i)->code) == error_at(i), "%s stands twice", error_at(i)->code);
	}
	for (int rc = RC_OK; rc <= RC_BUG; rc++) {
		struct cx cx = {.rc = (enum rc)rc};

		CHECK(error_of(&cx));
		CHECK_SAY(rc == RC_OK || rc == RC_NOMEM || rc == RC_BUG || strcmp(error_of(&cx)->code, "internal_error"), "rc %d", rc);
	}
	CHECK(error_type_at(0, &status) && status == 400);
}

TEST(our_own_faults_tell_no_internals)
{
	log_set(LOG_ERROR + 1);
	ask("GET", "/v1/boom", NULL);
	log_set(LOG_ERROR);
	CHECK_ERROR(500, "internal_error");
	CHECK(!strstr(reply.text, "secret"));
	CHECK(!strstr(reply.text, "left over"));
	CHECK_STR(at("error.faultSource"), "server");
}

TEST(refusals_of_the_library_wear_the_envelope)
{
	struct cx cx;

	start();
	arena_free(&reply.arena);
	arena_init(&reply.arena, 1 << 24);
	ask_raw("GET / HTTP/1.1\r\nHost : a\r\n\r\n", 28, &reply);
	cx_init(&cx, "test");
	CHECK(!json_parse(&cx, &reply.arena, reply.body, strlen(reply.body), &reply.json));
	CHECK_ERROR(400, "invalid_request");
	CHECK(id_valid(at("error.requestId"), "req"));
	CHECK(strstr(reply.text, "X-Request-Id: req_"));
}

/* ---- routes --------------------------------------------------------------------------------------------- */

TEST(both_mounts_reach_the_route)
{
	ask("GET", "/v1/things/a%20b", NULL);
	CHECK_INT(reply.status, 200);
	CHECK_STR(at("id"), "a b");
	ask("GET", "/api/v1/things/x", NULL);
	CHECK_INT(reply.status, 200);
	CHECK_STR(at("id"), "x");
}

TEST(paths_that_are_nobodys)
{
	static const char *const paths[] = {"/v1/things/", "/v1//things", "/v1/things/a/b", "/",
		"/v2/things", "/api/healthz", "/api/api/v1/things",
		"/v1/things/%2e%2e", "/v1/things/..", "/v1/things/a%2Fb", "/v1/things/a%00", "/v1/things/%zz", "/v1/things/%01",
		"/v1/things/%ff",
		"/V1/things", "/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15"};

	for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
		ask("GET", paths[i], NULL);
		CHECK_SAY(reply.status == 404, "%s: %d", paths[i], reply.status);
		CHECK_STR(at("error.code"), "not_found");
	}
}

TEST(methods_that_a_path_lacks)
{
	ask("DELETE", "/v1/things", NULL);
	CHECK_ERROR(405, "method_not_allowed");
	CHECK(strstr(reply.text, "\r\nAllow: GET, HEAD, POST\r\n"));
	ask("GET", "/v1/things/special", NULL);
	CHECK_ERROR(405, "method_not_allowed");
	CHECK(strstr(reply.text, "\r\nAllow: POST\r\n"));
	ask("OPTIONS", "/v1/things", NULL);
	CHECK_ERROR(405, "method_not_allowed");
}

TEST(head_is_get_without_its_body)
{
	ask("HEAD", "/v1/things/x", NULL);
	CHECK_INT(reply.status, 200);
	CHECK_STR(reply.body, "");
	CHECK(!strstr(reply.text, "Content-Length: 0\r\n"));
}

/* ---- keys ----------------------------------------------------------------------------------------------- */

TEST(keys_and_scopes)
{
	ask_as(NULL, "GET", "/v1/things", "", NULL);
	CHECK_ERROR(401, "api_key_missing");
	CHECK(strstr(reply.text, "\r\nWWW-Authenticate: Bearer\r\n"));
	ask_as(NULL, "GET", "/v1/things", "Authorization: Basic Z29vZA==\r\n", NULL);
	CHECK_ERROR(401, "api_key_missing");
	ask_as("wrong", "GET", "/v1/things", "", NULL);
	CHECK_ERROR(401, "api_key_invalid");
	ask_as("reader", "GET", "/v1/things", "", NULL);
	CHECK_INT(reply.status, 200);
	ask_as("reader", "POST", "/v1/things", "", "{\"externalUserId\":\"x\"}");
	CHECK_ERROR(403, "scope_missing");
	ask_as(NULL, "GET", "/healthz", "", NULL);
	CHECK_INT(reply.status, 200);
}

TEST(too_many_requests_of_a_key)
{

	start();
	api.key_per_minute = 3;
	for (int i = 0; i < 3; i++) {
		ask_as("busy", "GET", "/v1/things/x", "", NULL);
		CHECK_INT(reply.status, 200);
		CHECK(strstr(reply.text, "\r\nX-RateLimit-Limit: 3\r\n"));
		CHECK(strstr(reply.text, "\r\nRateLimit-Policy: \"key\";q=3;w=60\r\n"));
	}
	ask_as("busy", "GET", "/v1/things/x", "", NULL);
	api.key_per_minute = 6000;
	CHECK_ERROR(429, "rate_limited");
	CHECK(strstr(reply.text, "\r\nRetry-After: "));
	CHECK(strstr(reply.text, "\r\nRateLimit: \"key\";r=0;t="));
	CHECK(json_type(json_path(reply.json, "error.retryAfterSeconds")) == JSON_NUMBER);
}

TEST(addresses_behind_the_proxy_are_told_apart)
{
	start();
	api.address_per_minute = 2;
	for (int i = 0; i < 2; i++) {
		ask_as("good", "GET", "/v1/things/x", "X-Forwarded-For: 6.6.6.6, 198.51.100.1\r\n", NULL);
		CHECK_INT(reply.status, 200);
	}
	ask_as("good", "GET", "/v1/things/x", "X-Forwarded-For: 9.9.9.9, 198.51.100.1\r\n", NULL);
	CHECK_ERROR(429, "rate_limited");
	ask_as("good", "GET", "/v1/things/x", "X-Forwarded-For: 9.9.9.9\r\nX-Forwarded-For: 198.51.100.1\r\n", NULL);
	CHECK_ERROR(429, "rate_limited");
	ask_as("good", "GET", "/v1/things/x", "X-Forwarded-For: 198.51.100.1, 198.51.100.2\r\n", NULL);
	CHECK_INT(reply.status, 200);
	api.address_per_minute = -1;
}

TEST(guessing_keys_is_slowed_down)
{
	start();
	api.failed_per_minute = 2;
	for (int i = 0; i < 2; i++) {
		ask_as("guess", "GET", "/v1/things", "X-Forwarded-For: 198.51.100.9\r\n", NULL);
		CHECK_ERROR(401, "api_key_invalid");
	}
	ask_as("good", "GET", "/v1/things", "X-Forwarded-For: 198.51.100.9\r\n", NULL);
	CHECK_ERROR(429, "rate_limited");
	ask_as("good", "GET", "/v1/things", "", NULL);
	CHECK_INT(reply.status, 200);
	api.failed_per_minute = 60;
}

/* ---- bodies --------------------------------------------------------------------------------------------- */

TEST(media_types)
{
	ask_as("good", "POST", "/v1/things", "Content-Type: multipart/form-data; boundary=x\r\n", "--x--");
	CHECK_ERROR(415, "unsupported_media_type");
	CHECK(strstr(at("error.remediation"), "--data-binary @photo.jpg https://post.example/v1/media"));
	ask_as("good", "POST", "/v1/things", "Content-Type: text/plain\r\n", "{\"externalUserId\":\"x\"}");
	CHECK_ERROR(415, "unsupported_media_type");
	ask_as("good", "POST", "/v1/things", "Content-Type: application/jsonp\r\n", "{\"externalUserId\":\"x\"}");
	CHECK_ERROR(415, "unsupported_media_type");
	ask_as("good", "POST", "/v1/things", "Content-Type: Application/JSON ; charset=utf-8\r\n", "{\"externalUserId\":\"x\"}");
	CHECK_INT(reply.status, 201);
	ask("POST", "/v1/things/special", NULL);
	CHECK_INT(reply.status, 200);
	ask("POST", "/v1/things/special", "{\"x\":1}");
	CHECK_ERROR(422, "unknown_field");
	ask("GET", "/v1/things", "{}");
	CHECK_ERROR(400, "invalid_request");
}

TEST(malformed_json)
{
	static const char *const bodies[] = {"{", "{\"a\":1 \"b\":2}", "{\"a\":1,\"a\":2}", "[1,,2]", "nul", "{}{}", "\xff"};

	for (size_t i = 0; i < sizeof(bodies) / sizeof(*bodies); i++) {
		ask("POST", "/v1/things", bodies[i]);
		CHECK_ERROR(400, "invalid_json");
	}
}

static const struct { const char *body, *code, *param; } bad_fields[] = {
	{"{}", "field_required", "externalUserId"},
	{"[]", "field_invalid", NULL},
	{"{\"externalUserId\":\"\"}", "field_invalid", "externalUserId"},
	{"{\"externalUserId\":null}", "field_invalid", "externalUserId"},
	{"{\"externalUserId\":5}", "field_invalid", "externalUserId"},
	{"{\"externalUserId\":\"12345678901\"}", "field_invalid", "externalUserId"},
	{"{\"externalUserId\":\"x\\u0001\"}", "field_invalid", "externalUserId"},
	{"{\"externalUserId\":\"x\",\"options\":{\"a\":[\"\\u0002\"]}}", "field_invalid", "options.a[0]"},
	{"{\"externalUserId\":\"x\",\"options\":{\"a\\u0001\":1}}", "field_invalid", "options.a key"},
	{"{\"externalUserId\":\"x\",\"color\":\"blue\"}", "field_invalid", "color"},
	{"{\"externalUserId\":\"x\",\"count\":0}", "field_invalid", "count"},
	{"{\"externalUserId\":\"x\",\"count\":6}", "field_invalid", "count"},
	{"{\"externalUserId\":\"x\",\"count\":1.5}", "field_invalid", "count"},
	{"{\"externalUserId\":\"x\",\"count\":\"1\"}", "field_invalid", "count"},
	{"{\"externalUserId\":\"x\",\"count\":1e0}", "field_invalid", "count"},
	{"{\"externalUserId\":\"x\",\"loud\":\"true\"}", "field_invalid", "loud"},
	{"{\"externalUserId\":\"x\",\"media\":{}}", "field_invalid", "media"},
	{"{\"externalUserId\":\"x\",\"media\":[1]}", "field_invalid", "media[0]"},
	{"{\"externalUserId\":\"x\",\"media\":[{\"url\":\"u\"},{}]}", "field_required", "media[1].url"},
	{"{\"externalUserId\":\"x\",\"media\":[{\"url\":\"u\"},{\"url\":\"u\"},{\"url\":\"u\"}]}", "field_invalid", "media"},
	{"{\"externalUserId\":\"x\",\"media\":[{\"url\":\"u\",\"alt\":\"\"}]}", "unknown_field", "media[0].alt"},
	{"{\"externalUserId\":\"x\",\"tags\":[\"ok\",\"\"]}", "field_invalid", "tags[1]"},
	{"{\"externalUserId\":\"x\",\"tags\":[{}]}", "field_invalid", "tags[0]"},
	{"{\"externalUserId\":\"x\",\"metadata\":{\"a\":1}}", "field_invalid", "metadata.a"},
	{"{\"externalUserId\":\"x\",\"metadata\":{\"a\":\"\",\"b\":\"\",\"c\":\"\"}}", "field_invalid", "metadata"},
	{"{\"externalUserId\":\"x\",\"metadata\":{\"\":\"\"}}", "field_invalid", "metadata"},
	{"{\"externalUserId\":\"x\",\"nothingLikeIt\":1}", "unknown_field", "nothingLikeIt"},
};

TEST(fields_are_judged_one_by_one)
{
	for (size_t i = 0; i < sizeof(bad_fields) / sizeof(*bad_fields); i++) {
		ask("POST", "/v1/things", bad_fields[i].body);
		CHECK_SAY(reply.status == 422, "%s: %s", bad_fields[i].body, reply.text);
		CHECK_STR(at("error.code"), bad_fields[i].code);
		CHECK_STR(at("error.param"), bad_fields[i].param);
	}
	ask("POST", "/v1/things", "{\"externalUserId\":\"\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\","
		"\"displayName\":null,\"color\":\"red\",\"count\":5,\"loud\":false,\"media\":[{\"url\":\"u\"}],\"tags\":[\"a\"],"
		"\"metadata\":{\"a\":\"\"},\"options\":{\"x\":{\"y\":[1,null]}}}");
	CHECK_SAY(reply.status == 201, "%s", reply.text);
}

TEST(unknown_names_get_a_hint)
{
	ask("POST", "/v1/things", "{\"externalUserID\":\"x\",\"altText\":\"y\"}");
	CHECK_ERROR(422, "unknown_field");
	CHECK_INT(json_count(json_path(reply.json, "error.issues")), 3);
	CHECK(strstr(at("error.issues.0.message"), "did you mean externalUserId?"));
	CHECK(strstr(at("error.issues.1.message"), "it belongs to media[].altText"));
	CHECK_STR(at("error.issues.2.code"), "field_required");
}

TEST(a_thousand_problems_are_told_as_fifty)
{
	static char body[40000];
	size_t n = 1;

	body[0] = '{';
	for (int i = 0; i < 1000; i++)
		n += (size_t)snprintf(body + n, sizeof(body) - n, "%s\"unknown%d\":1", i ? "," : "", i);
	snprintf(body + n, sizeof(body) - n, "}");
	ask("POST", "/v1/things", body);
	CHECK_INT(reply.status, 422);
	CHECK_INT(json_count(json_path(reply.json, "error.issues")), 50);
}

TEST(absent_null_and_versions)
{
	ask("PATCH", "/v1/things/x", "{\"displayName\":null}");
	CHECK_STR(at("cleared"), "true");
	ask("PATCH", "/v1/things/x", "{}");
	CHECK_STR(at("absent"), "true");
	ask_as("good", "PATCH", "/v1/things/x", "If-Match: \"v2\"\r\n", "{}");
	CHECK_ERROR(412, "precondition_failed");
	ask_as("good", "PATCH", "/v1/things/x", "If-Match: W/\"v3\"\r\n", "{}");
	CHECK_ERROR(412, "precondition_failed");
	ask_as("good", "PATCH", "/v1/things/x", "If-Match: \"v1\", \"v3\"\r\n", "{}");
	CHECK_INT(reply.status, 200);
	ask("GET", "/v1/things/x", NULL);
	CHECK(strstr(reply.text, "\r\nETag: \"v3\"\r\n"));
}

TEST(the_server_stops)
{
	start();
	stop();
	CHECK(access(folder, F_OK) != 0);
}
