/*
 * The API over HTTP with two platforms, two organizations and no engine: what the tests of posts ask, and how.
 *
 * Keys: "live" and "test" of the first organization, "other" of the second, "reader" may only read.  Platform
 * plain counts 10 graphemes and has options, wide has a link; alice has one account on each and two on twin.
 */
#ifndef MPS_TESTS_UNIT_POST_HTTP_H
#define MPS_TESTS_UNIT_POST_HTTP_H

#include "core/api/api.h"

#include <arpa/inet.h>
#include <ftw.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/text.h"
#include "core/model/installation.h"
#include "core/model/organization.h"
#include "core/model/post.h"
#include "tests/unit/test.h"

#define UNUSED __attribute__((unused))

static struct api api;
static struct web *web;
static struct installation store;
static char folder[64];
static struct organization_new orgs[2] = {{.name = "Acme"}, {.name = "Other"}};
static int wakes;

/* ---- rows ------------------------------------------------------------------------------------------------ */

static void add_connection(struct db_conn *c, const struct organization_new *o, const char *id, const char *user, const char *platform,
			   int64_t live, const char *status)
{
	db_run(c, "INSERT INTO connection (id, organization_id, app_id, live, end_user_id, grant_id, platform, provider, remote_id, status,"
	       " created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?5, 'gr_' || ?5, ?6, ?6, ?1, ?7, 1, 1)", "sssisss", id, o->id, o->app_id, live,
	       user, platform, status);
}

static void add_user(struct db_conn *c, const struct organization_new *o, const char *id, const char *external, int64_t live)
{
	db_run(c, "INSERT INTO end_user (id, organization_id, app_id, live, external_id, created_at, updated_at)"
	       " VALUES (?1, ?2, ?3, ?4, ?5, 1, 1)", "sssis", id, o->id, o->app_id, live, external);
	db_run(c, "INSERT INTO auth_grant (id, organization_id, app_id, live, end_user_id, platform, provider, status, created_at, updated_at)"
	       " VALUES ('gr_' || ?1, ?2, ?3, ?4, ?1, 'plain', 'plain', 'active', 1, 1)", "sssi", id, o->id, o->app_id, live);
}

static enum rc make_rows(struct cx *cx, struct db_conn *c, void *arg)
{
	(void)arg;
	for (int i = 0; i < 2; i++)
		if (organization_create(cx, c, store.vault, &orgs[i], clock_now()) != RC_OK)
			return cx->rc;
	add_user(c, &orgs[0], "eu_alice", "alice", 1);
	add_user(c, &orgs[0], "eu_bob", "bob", 1);
	add_user(c, &orgs[0], "eu_test", "alice", 0);
	add_user(c, &orgs[1], "eu_other", "alice", 1);
	add_connection(c, &orgs[0], "con_plain", "eu_alice", "plain", 1, "active");
	add_connection(c, &orgs[0], "con_wide", "eu_alice", "wide", 1, "active");
	add_connection(c, &orgs[0], "con_twin1", "eu_alice", "twin", 1, "active");
	add_connection(c, &orgs[0], "con_twin2", "eu_alice", "twin", 1, "expiring");
	add_connection(c, &orgs[0], "con_net", "eu_alice", "net", 1, "active");
	add_connection(c, &orgs[0], "con_bob", "eu_bob", "plain", 1, "reauth_required");
	add_connection(c, &orgs[0], "con_test", "eu_test", "plain", 0, "active");
	add_connection(c, &orgs[1], "con_other", "eu_other", "plain", 1, "active");
	return db_rc(c) == RC_OK ? RC_OK : db_fail(cx, c);
}

/* ---- platforms ------------------------------------------------------------------------------------------- */

#define DESCRIBE(name, text, rest) "{\"name\":\"" name "\",\"operations\":[\"publish\",\"remove\"],\"connect\":{\"method\":\"form\"}," \
	"\"hosts\":[\"a.example\"],\"dedupe\":{\"default\":{\"class\":\"none\"}},\"text\":" text "," rest "}"

static const struct { const char *id, *describe; } descriptors[] = {
	{"plain", DESCRIBE("Plain", "{\"max\":10,\"count\":\"graphemes\",\"max_bytes\":60,\"required\":true}",
		"\"capabilities\":{\"text\":true,\"delete\":true},\"options\":["
		"{\"name\":\"visibility\",\"type\":\"enum\",\"values\":[\"public\",\"unlisted\"],\"default\":\"public\"},"
		"{\"name\":\"sensitive\",\"type\":\"bool\"},{\"name\":\"delay\",\"type\":\"int\",\"min\":1,\"max\":9},"
		"{\"name\":\"spoiler\",\"type\":\"text\",\"max\":5},{\"name\":\"langs\",\"type\":\"list\",\"max\":2},"
		"{\"name\":\"until\",\"type\":\"time\"}]")},
	{"wide", DESCRIBE("Wide", "{\"max\":100,\"count\":\"weighted\"}", "\"capabilities\":{\"text\":true,\"link\":true}")},
	{"twin", DESCRIBE("Twin", "{\"max\":100}", "\"capabilities\":{\"text\":true}")},
	{"net", DESCRIBE("Net", "{\"max\":20,\"with\":[\"spoiler\"]}",
		"\"media\":{\"max_items\":2,\"alt_max\":10,\"image\":{\"mime\":[\"image/png\"],\"max_bytes\":1000,\"max_width\":100},\"video\":{}},"
		"\"capabilities\":{\"text\":true,\"images\":true,\"threads\":true,\"first_comment\":true},\"options\":["
		"{\"name\":\"visibility\",\"type\":\"enum\",\"values\":[\"public\",\"unlisted\"],\"default\":\"public\"},"
		"{\"name\":\"spoiler\",\"type\":\"text\"},{\"name\":\"poll\",\"type\":\"list\",\"once\":true}]")},
	{"sandbox", DESCRIBE("Sandbox", "{\"max\":100}", "\"capabilities\":{\"text\":true}")},
};

static void load_platforms(void)
{
	struct platform *p;
	struct cx cx;

	api.platforms = platforms_new();
	for (size_t i = 0; i < sizeof descriptors / sizeof descriptors[0]; i++) {
		cx_init(&cx, "test");
		CHECK_SAY(platform_read(&cx, descriptors[i].id, "1", descriptors[i].describe, &p) == RC_OK, "%s", cx.words);
		platforms_put(api.platforms, p);
	}
}

/* ---- the server ------------------------------------------------------------------------------------------ */

static enum rc authorize(struct cx *cx, struct api *a, struct arena *arena, const char *key, const char *address, struct identity *ret)
{
	int other = text_eq(key, "other");

	(void)a, (void)arena, (void)address;
	if (!other && !text_eq(key, "live") && !text_eq(key, "test") && !text_eq(key, "reader"))
		return fail_code(cx, RC_UNAUTHORIZED, "api_key_invalid", NULL, "This is no key.");
	ret->owner = (struct owner){orgs[other].id, orgs[other].app_id, !text_eq(key, "test")};
	ret->key_id = "key_1";
	ret->scopes = text_eq(key, "reader") ? "posts:read" : "all";
	return RC_OK;
}

static void count_wake(struct engine *engine) { (void)engine; wakes++; }

static uint64_t tick(struct engine *engine, uint64_t seen, int ms)
{
	(void)engine;
	usleep(ms > 20 ? 20000 : 1000);
	return seen + 1;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	(void)st, (void)kind, (void)at;
	return remove(path);
}

static void stop(void)
{
	web_close(web);
	api_free(&api);
	platforms_drop(api.platforms);
	installation_close(&store);
	nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void start(void)
{
	struct web_config config = {"127.0.0.1:0", 16, 0, api_handle, api_refuse, &api};
	char key_file[96];
	struct cx cx;

	if (web != NULL)
		return;
	cx_init(&cx, "test");
	snprintf(folder, sizeof folder, "/tmp/mps-posts-XXXXXX");
	CHECK(mkdtemp(folder) != NULL);
	snprintf(key_file, sizeof key_file, "%s/master.key", folder);
	struct conf conf = {.data_folder = folder, .key_file = key_file, .create_key = 1};
	CHECK_SAY(installation_open(&cx, &conf, &store) == RC_OK, "%s", cx.words);
	CHECK_SAY(db_write(&cx, store.db, make_rows, NULL) == RC_OK, "%s", cx.words);
	api = (struct api){.db = store.db, .vault = store.vault, .public_url = "https://post.example", .authorize = authorize,
		.wake = count_wake, .wait = tick, .address_per_minute = -1, .key_per_minute = -1};
	load_platforms();
	CHECK(api_init(&cx, &api) == RC_OK);
	CHECK_SAY(web_open(&cx, &config, &web) == RC_OK, "%s", cx.words);
	atexit(stop);
}

/* ---- asking ---------------------------------------------------------------------------------------------- */

static struct { int status; char *text; const char *body; struct arena arena; struct jv json; } reply;

static void ask_raw(const char *text, size_t n)
{
	static char answer[1 << 20];
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)web_port(web))};
	struct timeval wait = {40, 0};
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	size_t got = 0;
	ssize_t part;

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
	if (connect(fd, (struct sockaddr *)&a, sizeof a) == 0 && send(fd, text, n, MSG_NOSIGNAL) == (ssize_t)n)
		while ((part = recv(fd, answer + got, sizeof answer - 1 - got, 0)) > 0)
			got += (size_t)part;
	close(fd);
	answer[got] = '\0';
	reply.text = answer;
	reply.status = got > 12 ? (int)strtol(answer + 9, NULL, 10) : 0;
	reply.body = strstr(answer, "\r\n\r\n") ? strstr(answer, "\r\n\r\n") + 4 : "";
}

/* head: further header lines, each with CR LF. */
static void ask_as(const char *key, const char *method, const char *path, const char *head, const char *body)
{
	struct buf text;
	struct cx cx;

	start();
	buf_init(&text, 1 << 20);
	buf_addf(&text, "%s %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer %s\r\n%s", method, path, key, head);
	if (body != NULL)
		buf_addf(&text, "Content-Type: application/json\r\nContent-Length: %zu\r\n", strlen(body));
	buf_addf(&text, "\r\n%s", body ? body : "");
	arena_free(&reply.arena);
	arena_init(&reply.arena, 64u << 20);
	ask_raw(buf_text(&text), text.len);
	buf_free(&text);
	cx_init(&cx, "test");
	reply.json = (struct jv){NULL, 0};
	if (*reply.body != '\0')
		json_parse(&cx, &reply.arena, reply.body, strlen(reply.body), &reply.json);
}

UNUSED static void ask(const char *method, const char *path, const char *body) { ask_as("live", method, path, "", body); }

UNUSED static const char *at(const char *path) { return json_text(json_path(reply.json, path)); }
UNUSED static size_t count_at(const char *path) { return json_count(json_path(reply.json, path)); }

/* "/v1/posts/", an id, "/cancel": in a ring of eight. */
UNUSED static const char *path_of(const char *before, const char *id, const char *behind)
{
	static char ring[8][256];
	static int next;

	next = (next + 1) % 8;
	snprintf(ring[next], sizeof ring[next], "%s%s%s", before, id, behind);
	return ring[next];
}

#define CHECK_STATUS(want) CHECK_SAY(reply.status == (want), "%d is not %d: %s", reply.status, (want), reply.text)
#define CHECK_ERROR(want_status, want_code, want_param) do { \
	CHECK_STATUS(want_status); \
	CHECK_STR(at("error.code"), (want_code)); \
	CHECK_STR(at("error.param"), (want_param)); \
} while (0)

/* A post for now on con_plain with a text of its own; its id, in a ring of eight. */
UNUSED static const char *created(const char *more)
{
	static char ring[8][ID_MAX];
	static int next, number;
	char body[2000];

	next = (next + 1) % 8;
	snprintf(body, sizeof body, "{\"targets\":[{\"connectionId\":\"con_plain\"}],\"text\":\"t%d\"%s%s}", number++, more[0] ? "," : "", more);
	ask("POST", "/v1/posts", body);
	CHECK_SAY(reply.status == 202 || reply.status == 201, "%s", reply.text);
	snprintf(ring[next], ID_MAX, "%s", at("id"));
	return ring[next];
}

/* ---- the engine's part ----------------------------------------------------------------------------------- */

struct put { const char *id, *state, *error; int64_t claimed_at; };

static enum rc put_run(struct cx *cx, struct db_conn *c, void *arg)
{
	struct put *p = arg;

	db_run(c, "UPDATE delivery SET state = ?2, claimed_at = ?3, error = ?4 WHERE post_id = ?1", "ssos", p->id, p->state, p->claimed_at,
	       p->error);
	post_derive_id(c, p->id, clock_now());
	return db_rc(c) == RC_OK ? RC_OK : db_fail(cx, c);
}

/* Every delivery of the post. */
UNUSED static void put(const char *post_id, const char *state, const char *error)
{
	struct put p = {post_id, state, error, clock_now()};
	struct cx cx;

	cx_init(&cx, "test");
	CHECK_SAY(db_write(&cx, store.db, put_run, &p) == RC_OK, "%s", cx.words);
}

#endif
