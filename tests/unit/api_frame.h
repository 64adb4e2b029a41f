/*
 * A server with routes of its own for the tests of the API frame: things that are listed, created and changed.
 *
 * ask() sends one request as the key "good" and leaves the answer in reply; at("error.code") reads its JSON.
 */
#ifndef MPS_TESTS_UNIT_API_FRAME_H
#define MPS_TESTS_UNIT_API_FRAME_H

#include <arpa/inet.h>
#include <ftw.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "core/api/api.h"
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

static uint64_t engine_tick(struct engine *engine, uint64_t seen, int ms)
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
	ret->status = strlen(ret->text) > 12 ? (int)strtol(ret->text + 9, NULL, 10) : 0;
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

static int file_remove(const char *path, const struct stat *st, int kind, struct FTW *at_)
{
	(void)st, (void)kind, (void)at_;
	return remove(path);
}

/* At the end of a program: nothing of it stays. */
static void stop(void)
{
	web_close(web);
	installation_close(&installation);
	api_free(&api);
	web = NULL;
	nftw(folder, file_remove, 8, FTW_DEPTH | FTW_PHYS);
}

#endif
