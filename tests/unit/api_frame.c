/*
 * The API frame over HTTP, with routes of its own: errors, fields, matching, keys, pages, idempotency, limits.
 */
#include "core/api/api.h"

#include <arpa/inet.h>
#include <ftw.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "core/api/openapi.h"
#include "core/api/page.h"
#include "core/api/routes.h"
#include "core/base/clock.h"
#include "core/base/text.h"
#include "core/model/installation.h"
#include "test.h"

/* ---- routes ------------------------------------------------------------------------------------------- */

static const char *const colors[] = {"red", "green", NULL};
static const struct field media_fields[] = {
	{.name = "url", .type = FIELD_TEXT, .flags = FIELD_REQUIRED, .max = 20},
	{.name = "altText", .type = FIELD_TEXT},
	{0},
};
static const struct field words_fields[] = {{.name = "", .type = FIELD_TEXT, .min = 1, .max = 5}, {0}};
static const struct field thing_fields[] = {
	{.name = "externalUserId", .type = FIELD_TEXT, .flags = FIELD_REQUIRED, .min = 1, .max = 10, .help = "Your user's id."},
	{.name = "displayName", .type = FIELD_TEXT, .flags = FIELD_NULLABLE},
	{.name = "color", .type = FIELD_ENUM, .words = colors},
	{.name = "count", .type = FIELD_INT, .min = 1, .max = 5},
	{.name = "loud", .type = FIELD_BOOL},
	{.name = "media", .type = FIELD_ARRAY, .max = 2, .fields = media_fields},
	{.name = "tags", .type = FIELD_ARRAY, .max = 3, .fields = words_fields},
	{.name = "metadata", .type = FIELD_MAP, .max = 2},
	{.name = "options", .type = FIELD_OPEN},
	{0},
};
static const struct field list_query[] = {{.name = "color", .type = FIELD_ENUM, .words = colors}, {0}};
static const struct answer thing_answer = {"Thing", thing_fields};

static atomic_int effects, writes_failed;

static enum rc thing_list(struct api_request *r)
{
	struct page p;
	enum rc rc = page_read(r, &p);
	int at = 1;

	if (rc)
		return rc;
	if (*p.after)
		at = (int)strtol(p.after, NULL, 10) + 1;
	page_begin(r);
	for (; page_more(&p) && at <= 120; at++) {
		char key[16];

		snprintf(key, sizeof(key), "%d", at);
		page_row(&p, key);
		jsonw_int(r->w, NULL, at);
	}
	page_end(r, &p, at <= 120);
	return RC_OK;
}

static enum rc thing_insert(struct cx *cx, struct db_conn *c, struct api_request *r, void *arg)
{
	char id[ID_MAX];

	(void)arg;
	id_new(id, "org");
	db_run(c, "INSERT INTO organization (id, name, created_at) VALUES (?1, ?2, ?3)", "ssi", id, field_text(r, "externalUserId"), r->now);
	if (text_eq(field_text(r, "displayName"), "fail") && !writes_failed++)
		return fail_code(cx, RC_CONFLICT, "conflict", NULL, "once");
	effects++;
	jsonw_object(r->w, NULL);
	jsonw_text(r->w, "id", id);
	jsonw_object_end(r->w);
	r->status = 201;
	return RC_OK;
}

static enum rc thing_create(struct api_request *r)
{
	return api_write(r, thing_insert, NULL);
}

static enum rc thing_get(struct api_request *r)
{
	jsonw_object(r->w, NULL);
	jsonw_text(r->w, "id", api_param(r, "id"));
	jsonw_text(r->w, "organization", r->identity.owner.organization_id);
	jsonw_object_end(r->w);
	api_etag(r, 3);
	return RC_OK;
}

static enum rc thing_patch(struct api_request *r)
{
	enum rc rc = api_if_match(r->cx, r, 3);

	if (rc)
		return rc;
	jsonw_object(r->w, NULL);
	jsonw_bool(r->w, "cleared", field_null(r, "displayName"));
	jsonw_bool(r->w, "absent", !field_has(r, "displayName"));
	jsonw_object_end(r->w);
	return RC_OK;
}

static enum rc special(struct api_request *r)
{
	jsonw_object(r->w, NULL);
	jsonw_text(r->w, "id", "the literal");
	jsonw_object_end(r->w);
	return RC_OK;
}

static enum rc boom(struct api_request *r)
{
	web_header(r->answer, "ETag", "left over");
	jsonw_object(r->w, NULL);
	return fail(r->cx, RC_BUG, "secret words about /var/lib/file");
}

static atomic_int polls_ready;
static bool poll_ready(struct api_request *r, void *arg)
{
	(void)r, (void)arg;
	return polls_ready > 0;
}

static enum rc poll(struct api_request *r)
{
	enum rc rc = api_wait(r, poll_ready, NULL);

	if (rc)
		return rc;
	jsonw_object(r->w, NULL);
	jsonw_bool(r->w, "ready", polls_ready > 0);
	jsonw_object_end(r->w);
	return RC_OK;
}

static const struct route thing_routes[] = {
	{.method = "GET", .pattern = "/v1/things", .scope = "things:read", .flags = ROUTE_PAGED, .handle = thing_list, .operation = "listThings",
	 .summary = "List", .query = list_query, .answer = &thing_answer},
	{.method = "POST", .pattern = "/v1/things", .scope = "things:write", .flags = ROUTE_IDEMPOTENT, .handle = thing_create,
	 .operation = "createThing", .summary = "Create", .fields = thing_fields, .answer = &thing_answer, .status = 201},
	{.method = "GET", .pattern = "/v1/things/{id}", .handle = thing_get, .operation = "getThing", .summary = "Get"},
	{.method = "PATCH", .pattern = "/v1/things/{id}", .handle = thing_patch, .operation = "patchThing", .summary = "Change",
	 .fields = thing_fields + 1},
	{.method = "POST", .pattern = "/v1/things/special", .handle = special, .operation = "special", .summary = "Special"},
	{.method = "GET", .pattern = "/v1/boom", .handle = boom, .operation = "boom", .summary = "Boom"},
	{.method = "GET", .pattern = "/v1/poll", .flags = ROUTE_LONG_POLL, .handle = poll, .operation = "poll", .summary = "Poll"},
	{0},
};
static const struct route *const tables[] = {thing_routes, health_routes, openapi_routes, NULL};

/* ---- the server ----------------------------------------------------------------------------------------- */

static struct api api;
static struct web *web;
static struct installation installation;
static char folder[64];

static enum rc authorize(struct cx *cx, struct api *a, struct arena *arena, const char *key, const char *address, struct identity *ret)
{
	(void)a, (void)arena, (void)address;
	if (strcmp(key, "good") && strcmp(key, "other") && strcmp(key, "reader") && strcmp(key, "busy"))
		return fail_code(cx, RC_UNAUTHORIZED, "api_key_invalid", NULL, "This is no key.");
	ret->owner = (struct owner){strcmp(key, "other") ? "org_1" : "org_2", "app_1", 1};
	ret->key_id = key[0] == 'g' ? "key_good" : key[0] == 'o' ? "key_other" : key[0] == 'b' ? "key_busy" : "key_reader";
	ret->scopes = strcmp(key, "reader") ? "all" : "posts:read things:read";
	return RC_OK;
}

static uint64_t engine_tick(void *engine, uint64_t seen, int ms)
{
	(void)engine, (void)ms;
	usleep(1000);
	return seen + 1;
}

static void start(void)
{
	struct web_config config = {"127.0.0.1:0", 64, 0, api_handle, api_refuse, &api};
	char key_file[96];
	struct conf conf = {0};
	struct cx cx;

	if (web)
		return;
	cx_init(&cx, "test");
	snprintf(folder, sizeof(folder), "/tmp/mps-frame-XXXXXX");
	CHECK(mkdtemp(folder));
	snprintf(key_file, sizeof(key_file), "%s/master.key", folder);
	conf.data_folder = folder;
	conf.key_file = key_file;
	conf.create_key = 1;
	CHECK_SAY(!installation_open(&cx, &conf, &installation), "%s", cx.words);
	api.db = installation.db;
	api.vault = installation.vault;
	api.public_url = "https://post.example";
	api.routes = tables;
	api.authorize = authorize;
	api.wait = engine_tick;
	api.address_per_minute = -1;
	api.polls_max = 2;
	CHECK(!api_init(&cx, &api));
	CHECK_SAY(!web_open(&cx, &config, &web), "%s", cx.words);
}

struct reply { int status; char text[65536]; const char *body; struct arena arena; struct jv json; };

static void ask_raw(const char *text, size_t n, struct reply *ret)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)web_port(web))};
	struct timeval wait = {30, 0};
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	size_t got = 0;
	ssize_t part;

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	ret->text[0] = 0;
	if (!connect(fd, (struct sockaddr *)&a, sizeof(a)) && send(fd, text, n, MSG_NOSIGNAL) == (ssize_t)n) {
		while ((part = recv(fd, ret->text + got, sizeof(ret->text) - 1 - got, 0)) > 0)
			got += (size_t)part;
		ret->text[got] = 0;
	}
	close(fd);
	ret->status = strlen(ret->text) > 12 ? atoi(ret->text + 9) : 0;
	ret->body = strstr(ret->text, "\r\n\r\n") ? strstr(ret->text, "\r\n\r\n") + 4 : "";
}

static struct reply reply;

/* head: further header lines, each with CR LF; body may be NULL. */
static void ask_as(const char *key, const char *method, const char *path, const char *head, const char *body)
{
	static char text[65536];
	struct cx cx;
	size_t n;

	start();
	n = (size_t)snprintf(text, sizeof(text), "%s %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n%s%s%s%s", method, path,
		key ? "Authorization: Bearer " : "", key ? key : "", key ? "\r\n" : "", head);
	if (body && !strstr(head, "Content-Type"))
		n += (size_t)snprintf(text + n, sizeof(text) - n, "Content-Type: application/json\r\n");
	if (body)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "Content-Length: %zu\r\n", strlen(body));
	n += (size_t)snprintf(text + n, sizeof(text) - n, "\r\n%s", body ? body : "");
	arena_free(&reply.arena);
	arena_init(&reply.arena, 1 << 24);
	ask_raw(text, n, &reply);
	cx_init(&cx, "test");
	reply.json = (struct jv){NULL, 0};
	if (*reply.body)
		json_parse(&cx, &reply.arena, reply.body, strlen(reply.body), &reply.json);
}

static void ask(const char *method, const char *path, const char *body)
{
	ask_as("good", method, path, "", body);
}

static const char *at(const char *path)
{
	return json_text(json_path(reply.json, path));
}

#define CHECK_ERROR(want_status, want_code) do { \
	CHECK_SAY(reply.status == (want_status), "%d is not %d: %s", reply.status, (want_status), reply.text); \
	CHECK_STR(at("error.code"), (want_code)); \
} while (0)

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
	static const char *const paths[] = {"/v1/things/", "/v1//things", "/v1/things/a/b", "/", "/v2/things", "/api/healthz", "/api/api/v1/things",
		"/v1/things/%2e%2e", "/v1/things/..", "/v1/things/a%2Fb", "/v1/things/a%00", "/v1/things/%zz", "/v1/things/%01", "/v1/things/%ff",
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
	ask("POST", "/v1/things", "{\"externalUserId\":\"\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\",\"displayName\":null,"
		"\"color\":\"red\",\"count\":5,\"loud\":false,\"media\":[{\"url\":\"u\"}],\"tags\":[\"a\"],\"metadata\":{\"a\":\"\"},\"options\":{\"x\":{\"y\":[1,null]}}}");
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

/* ---- queries and pages ------------------------------------------------------------------------------------ */

TEST(query_parameters_are_strict)
{
	static const struct { const char *path, *code, *param; } table[] = {
		{"/v1/things?colour=red", "unknown_field", "colour"}, {"/v1/things?color=blue", "field_invalid", "color"},
		{"/v1/things?limit=0", "field_invalid", "limit"}, {"/v1/things?limit=201", "field_invalid", "limit"},
		{"/v1/things?limit=ten", "field_invalid", "limit"}, {"/v1/things?limit=1&limit=2", "field_invalid", "limit"},
		{"/v1/things/x?limit=1", "unknown_field", "limit"}, {"/v1/poll?wait=31", "field_invalid", "wait"},
		{"/v1/things?color=red%01", "field_invalid", "color"},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		ask("GET", table[i].path, NULL);
		CHECK_SAY(reply.status == 422, "%s: %s", table[i].path, reply.text);
		CHECK_STR(at("error.code"), table[i].code);
		CHECK_STR(at("error.param"), table[i].param);
	}
	ask("GET", "/v1/things?colour=red", NULL);
	CHECK(strstr(at("error.message"), "did you mean color?"));
}

TEST(pages_follow_their_cursor)
{
	char path[512];
	int64_t first = 0;
	size_t rows = 0;
	int pages = 0;

	snprintf(path, sizeof(path), "/v1/things?limit=50&color=red");
	do {
		ask("GET", path, NULL);
		CHECK_SAY(reply.status == 200, "%s", reply.text);
		CHECK(json_int(json_path(reply.json, "data.0"), &first));
		CHECK_INT(first, rows + 1);
		rows += json_count(json_get(reply.json, "data"));
		if (at("nextCursor"))
			snprintf(path, sizeof(path), "/v1/things?color=red&limit=50&cursor=%s", at("nextCursor"));
		pages++;
	} while (!strcmp(at("hasMore"), "true"));
	CHECK_INT(rows, 120);
	CHECK_INT(pages, 3);
	CHECK(json_type(json_get(reply.json, "nextCursor")) == JSON_NULL);
}

TEST(cursors_of_others_or_edited_are_refused)
{
	char cursor[256], path[512];

	ask("GET", "/v1/things?limit=7", NULL);
	snprintf(cursor, sizeof(cursor), "%s", at("nextCursor"));
	snprintf(path, sizeof(path), "/v1/things?cursor=%s", cursor);
	ask("GET", path, NULL);
	CHECK_INT(reply.status, 200);
	ask_as("other", "GET", path, "", NULL);
	CHECK_ERROR(400, "field_invalid");
	CHECK_STR(at("error.param"), "cursor");
	snprintf(path, sizeof(path), "/v1/things?color=red&cursor=%s", cursor);
	ask("GET", path, NULL);
	CHECK_ERROR(400, "field_invalid");
	for (size_t i = 0; i < strlen(cursor); i++) {
		snprintf(path, sizeof(path), "/v1/things?cursor=%s", cursor);
		path[strlen("/v1/things?cursor=") + i] ^= 1;
		ask("GET", path, NULL);
		CHECK_SAY(reply.status == 400 || reply.status == 422, "%s: %d", path, reply.status);
	}
	ask("GET", "/v1/things?cursor=", NULL);
	CHECK_ERROR(400, "field_invalid");
}

/* ---- writes ----------------------------------------------------------------------------------------------- */

#define KEY "Idempotency-Key: "

TEST(an_equal_request_is_replayed)
{
	char first[1024], id[64];

	effects = 0;
	ask_as("good", "POST", "/v1/things", KEY "one\r\n", "{\"externalUserId\":\"x\"}");
	CHECK_INT(reply.status, 201);
	CHECK(!strstr(reply.text, "Idempotent-Replayed"));
	snprintf(first, sizeof(first), "%s", reply.body);
	snprintf(id, sizeof(id), "%.30s", strstr(reply.text, "X-Request-Id: ") + 14);
	ask_as("good", "POST", "/api/v1/things", "X-" KEY "one\r\n", "{\"externalUserId\":\"x\"}");
	CHECK_INT(reply.status, 201);
	CHECK_STR(reply.body, first);
	CHECK(strstr(reply.text, "\r\nIdempotent-Replayed: true\r\n"));
	CHECK(!strncmp(strstr(reply.text, "Original-Request-Id: ") + 21, id, 30));
	CHECK_INT(effects, 1);
}

TEST(another_request_under_the_same_key_is_refused)
{
	effects = 0;
	ask_as("good", "POST", "/v1/things", KEY "two\r\n", "{\"externalUserId\":\"x\"}");
	CHECK_INT(reply.status, 201);
	ask_as("good", "POST", "/v1/things", KEY "two\r\n", "{\"externalUserId\":\"y\"}");
	CHECK_ERROR(409, "idempotency_key_reused");
	CHECK_INT(effects, 1);
	ask_as("other", "POST", "/v1/things", KEY "two\r\n", "{\"externalUserId\":\"y\"}");
	CHECK_INT(reply.status, 201);
	CHECK_INT(effects, 2);
}

TEST(refusals_are_not_kept_and_leave_nothing)
{
	start();
	effects = 0;
	writes_failed = 0;
	ask_as("good", "POST", "/v1/things", KEY "three\r\n", "{\"externalUserId\":\"\"}");
	CHECK_ERROR(422, "field_invalid");
	ask_as("good", "POST", "/v1/things", KEY "three\r\n", "{\"externalUserId\":\"rolled\",\"displayName\":\"fail\"}");
	CHECK_ERROR(409, "conflict");
	struct db_conn *c = db_take(api.db);
	int64_t rows = db_number(c, -1, "SELECT count(*) FROM organization WHERE name = 'rolled'", "");
	db_give(c);
	CHECK_INT(rows, 0);
	ask_as("good", "POST", "/v1/things", KEY "three\r\n", "{\"externalUserId\":\"rolled\",\"displayName\":\"fail\"}");
	CHECK_INT(reply.status, 201);
	CHECK_INT(effects, 1);
}

TEST(malformed_idempotency_keys)
{
	static char text[400];

	ask_as("good", "POST", "/v1/things", KEY "\r\n", "{\"externalUserId\":\"x\"}");
	CHECK_ERROR(400, "field_invalid");
	ask_as("good", "POST", "/v1/things", KEY "\xc3\xa9\r\n", "{\"externalUserId\":\"x\"}");
	CHECK_ERROR(400, "field_invalid");
	ask_as("good", "POST", "/v1/things", KEY "a\r\nX-" KEY "b\r\n", "{\"externalUserId\":\"x\"}");
	CHECK_ERROR(400, "field_invalid");
	snprintf(text, sizeof(text), KEY "%0256d\r\n", 1);
	ask_as("good", "POST", "/v1/things", text, "{\"externalUserId\":\"x\"}");
	CHECK_ERROR(400, "field_invalid");
}

static int64_t later(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return t.tv_sec * 1000LL + 49 * 3600 * 1000LL;
}

TEST(a_key_is_free_again_after_48_hours)
{
	effects = 0;
	ask_as("good", "POST", "/v1/things", KEY "old\r\n", "{\"externalUserId\":\"x\"}");
	CHECK_INT(reply.status, 201);
	clock_fake(later);
	ask_as("good", "POST", "/v1/things", KEY "old\r\n", "{\"externalUserId\":\"y\"}");
	clock_fake(NULL);
	CHECK_SAY(reply.status == 201, "%s", reply.text);
	CHECK_INT(effects, 2);
}

#define PARALLEL 50
static struct reply replies[PARALLEL];

static void *create(void *arg)
{
	static const char text[] = "POST /v1/things HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer good\r\n"
		KEY "parallel\r\nContent-Type: application/json\r\nContent-Length: 22\r\n\r\n{\"externalUserId\":\"x\"}";

	ask_raw(text, sizeof(text) - 1, arg);
	return NULL;
}

TEST(fifty_equal_requests_at_once_have_one_effect)
{
	pthread_t threads[PARALLEL];
	int replayed = 0;

	start();
	effects = 0;
	for (int i = 0; i < PARALLEL; i++)
		pthread_create(&threads[i], NULL, create, &replies[i]);
	for (int i = 0; i < PARALLEL; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < PARALLEL; i++) {
		CHECK_SAY(replies[i].status == 201, "%d: %s", i, replies[i].text);
		CHECK_STR(replies[i].body, replies[0].body);
		replayed += strstr(replies[i].text, "Idempotent-Replayed: true") != NULL;
	}
	CHECK_INT(effects, 1);
	CHECK_INT(replayed, PARALLEL - 1);
}

/* ---- long polls, health, OpenAPI ----------------------------------------------------------------------------- */

static void *poll_once(void *arg)
{
	static const char text[] = "GET /v1/poll?wait=20 HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer good\r\n\r\n";

	ask_raw(text, sizeof(text) - 1, arg);
	return NULL;
}

TEST(only_so_many_wait_at_once)
{
	pthread_t threads[2];

	start();
	polls_ready = 0;
	for (int i = 0; i < 2; i++)
		pthread_create(&threads[i], NULL, poll_once, &replies[i]);
	for (int i = 0; i < 5000 && api.polls < 2; i++)
		usleep(1000);
	ask("GET", "/v1/poll?wait=5", NULL);
	polls_ready = 1;
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	CHECK_ERROR(503, "overloaded");
	CHECK(strstr(reply.text, "\r\nRetry-After: "));
	CHECK(strstr(replies[0].body, "\"ready\":true") && strstr(replies[1].body, "\"ready\":true"));
	CHECK_INT(api.polls, 0);
}

TEST(health_and_metrics)
{
	ask_as(NULL, "GET", "/readyz", "", NULL);
	CHECK_STR(at("status"), "ready");
	ask_as(NULL, "GET", "/metrics", "", NULL);
	CHECK(strstr(reply.body, "mypostshare_http_requests_total{class=\"2xx\"} "));
	CHECK(strstr(reply.text, "Content-Type: text/plain"));
}

TEST(the_openapi_document_parses_and_names_every_operation)
{
	struct arena a;
	struct buf out;
	struct jsonw w;
	struct jv doc, post;
	struct cx cx;

	arena_init(&a, 1 << 26);
	buf_init(&out, 1 << 22);
	jsonw_init(&w, &out);
	openapi_write(&w, tables, "https://post.example");
	jsonw_end(&w);
	cx_init(&cx, "test");
	CHECK_SAY(!json_parse(&cx, &a, buf_text(&out), out.len, &doc), "%s", cx.words);
	CHECK_STR(json_text(json_get(doc, "openapi")), "3.1.0");
	post = json_get(json_get(json_get(doc, "paths"), "/api/v1/things"), "post");
	CHECK_STR(json_text(json_get(post, "operationId")), "createThing");
	CHECK(json_type(json_path(post, "responses.201")) == JSON_OBJECT);
	CHECK_STR(json_text(json_path(post, "requestBody.content.application/json.schema.properties.media.items.required.0")), "url");
	CHECK_STR(json_text(json_path(post, "requestBody.content.application/json.schema.properties.displayName.type.1")), "null");
	CHECK_STR(json_text(json_path(json_get(json_get(doc, "paths"), "/api/v1/things/{id}"), "get.parameters.0.name")), "id");
	CHECK(json_type(json_get(json_get(doc, "paths"), "/metrics")) == JSON_NONE);
	CHECK(json_type(json_path(doc, "components.schemas.Thing.properties.color")) == JSON_OBJECT);
	if (getenv("OPENAPI_OUT")) {
		FILE *f = fopen(getenv("OPENAPI_OUT"), "w");

		fwrite(buf_text(&out), 1, out.len, f);
		fclose(f);
	}
	buf_free(&out);
	arena_free(&a);
	ask_as(NULL, "GET", "/openapi.json", "", NULL);
	CHECK_INT(reply.status, 200);
}

TEST(the_products_own_routes_fit_the_rules)
{
	for (const struct route *const *t = route_tables; *t; t++) {
		for (const struct route *r = *t; r->method; r++) {
			CHECK_SAY(r->handle && r->operation && r->summary, "%s %s", r->method, r->pattern);
			CHECK_SAY(r->pattern[0] == '/' && (r->pattern[1] == 0 || r->pattern[strlen(r->pattern) - 1] != '/'), "%s", r->pattern);
			CHECK_SAY(!(r->flags & ROUTE_PAGED) || r->answer || (r->flags & ROUTE_HIDDEN), "%s lists what?", r->pattern);
			for (const struct route *const *u = route_tables; *u; u++) {
				for (const struct route *s = *u; s->method; s++) {
					CHECK_SAY(r == s || strcmp(r->operation, s->operation), "%s stands twice", r->operation);
					CHECK_SAY(r == s || strcmp(r->method, s->method) || strcmp(r->pattern, s->pattern), "%s %s stands twice", r->method, r->pattern);
				}
			}
		}
	}
}

static int file_remove(const char *path, const struct stat *st, int kind, struct FTW *at_)
{
	(void)st, (void)kind, (void)at_;
	return remove(path);
}

TEST(draining_refuses_new_work)
{
	start();
	api_drain(&api);
	ask("GET", "/v1/things", NULL);
	CHECK_ERROR(503, "draining");
	CHECK(strstr(reply.text, "\r\nConnection: close\r\n"));
	ask_as(NULL, "GET", "/healthz", "", NULL);
	CHECK_INT(reply.status, 200);
	web_close(web);
	installation_close(&installation);
	api_free(&api);
	web = NULL;
	nftw(folder, file_remove, 8, FTW_DEPTH | FTW_PHYS);
}
