/*
 * The API frame over HTTP: queries, pages, idempotent writes, long polls, health, the OpenAPI document.
 */
#include "api_frame.h"

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

TEST(draining_refuses_new_work)
{
	start();
	api_drain(&api);
	ask("GET", "/v1/things", NULL);
	CHECK_ERROR(503, "draining");
	CHECK(strstr(reply.text, "\r\nConnection: close\r\n"));
	ask_as(NULL, "GET", "/healthz", "", NULL);
	CHECK_INT(reply.status, 200);
	stop();
}
