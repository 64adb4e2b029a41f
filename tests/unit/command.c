/*
 * The operator's commands on a real store: what org create makes, which API keys are accepted afterwards, and
 * that they still are when the master key was rotated.
 */
#include "core/api/command.h"

#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/json.h"
#include "core/io/migrate.h"
#include "core/model/data_key.h"
#include "core/model/installation.h"
#include "core/model/organization.h"
#include "tests/unit/test.h"

static char folder[64], key_file[96];
static struct cx cx;
static struct installation store;
static struct buf out, err;

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *at)
{
	(void)st, (void)flag, (void)at;
	return remove(path);
}

static void clean(void)
{
	installation_close(&store);
	buf_free(&out);
	buf_free(&err);
	nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static enum rc store_open(int create)
{
	struct conf conf = {.data_folder = folder, .key_file = key_file, .create_key = create};
	cx_init(&cx, "test");
	return installation_open(&cx, &conf, &store);
}

/* One store for all tests of this file. */
static void begin(void)
{
	if (!*folder) {
		snprintf(folder, sizeof folder, "/tmp/mps-command-XXXXXX");
		CHECK(mkdtemp(folder) != NULL);
		snprintf(key_file, sizeof key_file, "%s/master.key", folder);
		buf_init(&out, 1024 * 1024);
		buf_init(&err, 1024 * 1024);
		atexit(clean);
		CHECK_SAY(store_open(1) == RC_OK, "%s", cx.words);
	}
}

static int run(int argc, const char **words)
{
	char *argv[16];
	struct command_env env = {.db = store.db, .vault = store.vault};
	memcpy(argv, words, sizeof *argv * (size_t)argc);
	buf_reset(&out);
	buf_reset(&err);
	return command_run(&env, argc, argv, &out, &err);
}

#define RUN(...) run((int)(sizeof (const char *[]){__VA_ARGS__} / sizeof (const char *)), (const char *[]){__VA_ARGS__})

/* A member of the JSON object in out. */
static const char *member(const char *name)
{
	static struct arena a;
	struct jv root;
	arena_free(&a);
	arena_init(&a, 1024 * 1024);
	cx_init(&cx, "test");
	CHECK_SAY(json_parse(&cx, &a, buf_text(&out), out.len, &root) == RC_OK, "%s", cx.words);
	const char *text = json_text(json_get(root, name));
	CHECK_SAY(text != NULL, "no %s in %s", name, buf_text(&out));
	static char kept[8][128];
	static int next;
	next = (next + 1) % 8;
	snprintf(kept[next], sizeof kept[next], "%s", text);
	arena_free(&a);
	return kept[next];
}

static enum rc check(const char *key, int64_t now, bool *ret_live)
{
	ARENA_AUTO struct arena a;
	DB_READ_AUTO struct db_conn *c = db_take(store.db);
	struct apikey k;
	arena_init(&a, 64 * 1024);
	cx_init(&cx, "test");
	enum rc rc = apikey_check(&cx, c, store.vault, key, now, &a, &k);
	if (rc == RC_OK && ret_live)
		*ret_live = k.live;
	return rc;
}

TEST(org_create_makes_working_keys)
{
	bool live = false;
	begin();
	CHECK_SAY(RUN("org", "create", "Acme \"Ltd\" \xC3\xA4", "--json") == 0, "%s", buf_text(&err));
	const char *live_key = member("live_key"), *test_key = member("test_key"), *id = member("organization");
	CHECK(strncmp(member("app"), "app_", 4) == 0 && strncmp(id, "org_", 4) == 0);
	CHECK_INT(check(live_key, clock_now(), &live), RC_OK);
	CHECK(live);
	CHECK_INT(check(test_key, clock_now(), &live), RC_OK);
	CHECK(!live);

	DATA_KEY_AUTO struct data_key k = {.key = NULL};
	DB_READ_AUTO struct db_conn *c = db_take(store.db);
	cx_init(&cx, "test");
	CHECK_SAY(data_key_open(&cx, c, store.vault, id, NULL, &k) == RC_OK, "%s", cx.words);
	CHECK_INT(RUN("org", "list"), 0);
	CHECK(strstr(buf_text(&out), id) && strstr(buf_text(&out), "Acme \"Ltd\""));
}

TEST(lines_without_json)
{
	begin();
	CHECK_INT(RUN("org", "create", "Plain"), 0);
	CHECK(strstr(buf_text(&out), "organization org_") == buf_text(&out));
	CHECK(strstr(buf_text(&out), "\nlive_key mps_live_") && strstr(buf_text(&out), "\ntest_key mps_test_"));
}

TEST(bad_names_are_refused)
{
	static const char *const bad[] = {"", "  ", "a\nb", "a\tb", "a\033b", "\xFF",
		"12345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901"};
	begin();
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		CHECK_SAY(RUN("org", "create", bad[i]) == 1, "\"%s\" is accepted", bad[i]);
		CHECK(out.len == 0 && strstr(buf_text(&err), "name") != NULL);
	}
}

TEST(what_is_not_understood_shows_usage)
{
	begin();
	CHECK_INT(RUN("org"), 2);
	CHECK_INT(RUN("org", "destroy"), 2);
	CHECK_INT(RUN("org", "create"), 2);
	CHECK_INT(RUN("org", "create", "a", "b"), 2);
	CHECK_INT(RUN("org", "create", "a", "--test"), 2);
	CHECK_INT(RUN("org", "list", "--json", "x"), 2);
	CHECK_INT(RUN("key", "create", "app_x", "--days"), 2);
	CHECK_INT(RUN("key", "create", "app_x", "--test", "--test"), 2);
	CHECK_INT(RUN("nothing"), 2);
	CHECK(strstr(buf_text(&err), "usage") != NULL);
	CHECK_INT(RUN("providers"), 1);
	CHECK(strstr(buf_text(&err), "running server") != NULL);
}

static void some_providers(void *server, struct buf *list)
{
	(void)server;
	buf_adds(list, "[{\"id\":\"good\",\"version\":\"1.0\",\"state\":\"serving\",\"pausedUntil\":null,\"failures\":0,\"lastFailure\":\"\","
		"\"lastFailureAt\":null,\"words\":\"\"},{\"id\":\"looper\",\"version\":\"2.10\",\"state\":\"paused\",\"pausedUntil\":"
		"\"2026-11-23T18:25:30.123Z\",\"failures\":3,\"lastFailure\":\"it loops\",\"lastFailureAt\":\"2026-11-23T18:20:30.123Z\","
		"\"words\":\"it loops; paused\"},{\"id\":\"bad\",\"version\":null,\"state\":\"refused\",\"words\":\"no\"},"
		"{\"id\":\"kept\",\"version\":\"1\",\"state\":\"serving\",\"words\":\"gone\"},"
		"{\"id\":\"crashed\",\"version\":\"1\",\"state\":\"serving\",\"failures\":1,\"lastFailure\":\"it crashed\",\"words\":\"\"}]");
}

TEST(providers_as_a_table_and_as_json)
{
	struct command_env env = {.server = &env, .providers = some_providers};
	char *plain[] = {(char[]){"providers"}, NULL}, *json[] = {(char[]){"providers"}, (char[]){"--json"}, NULL};
	begin();
	CHECK_INT(command_run(&env, 1, plain, &out, &err), 0);
	CHECK_STR(buf_text(&out),
		"PROVIDER  VERSION  STATE                              FAILURES  LAST FAILURE          CAUSE\n"
		"good      1.0      serving                            0         -                     -\n"
		"looper    2.10     paused until 2026-11-23T18:25:30Z  3         2026-11-23T18:20:30Z  it loops; paused\n"
		"bad       -        refused                            0         -                     no\n"
		"kept      1        serving                            0         -                     goes on as it was, its reload was refused: gone\n"
		"crashed   1        serving                            1         -                     it crashed\n");
	buf_reset(&out);
	CHECK_INT(command_run(&env, 2, json, &out, &err), 0);
	CHECK(strncmp(buf_text(&out), "[{\"id\":\"good\"", 13) == 0);
}

struct rename_ids { const char *from, *to; };

static enum rc key_id_change(struct cx *c_cx, struct db_conn *c, void *arg)
{
	const struct rename_ids *r = arg;
	return db_run(c, "UPDATE api_key SET key_id = ?2 WHERE key_id = ?1", "ss", r->from, r->to) == 1 ? RC_OK : db_fail(c_cx, c);
}

TEST(a_forged_key_is_refused)
{
	char forged[VAULT_API_KEY_MAX], id[9], key_id[9];
	int live;
	begin();
	CHECK_INT(RUN("org", "create", "Forged", "--json"), 0);
	CHECK_INT(check("mps_live_", clock_now(), NULL), RC_UNAUTHORIZED);
	vault_api_key_new(1, forged, id);			/* right checksum, unknown id */
	CHECK_INT(check(forged, clock_now(), NULL), RC_UNAUTHORIZED);
	CHECK_STR(cx.code, "api_key_invalid");

	/* The same text once a row has its id: only the keyed hash can tell. */
	CHECK(vault_api_key_read(member("live_key"), &live, key_id));
	cx_init(&cx, "test");
	CHECK_INT(db_write(&cx, store.db, key_id_change, &(struct rename_ids){key_id, id}), RC_OK);
	CHECK_INT(check(forged, clock_now(), NULL), RC_UNAUTHORIZED);
	CHECK_STR(cx.code, "api_key_invalid");
}

TEST(keys_end)
{
	begin();
	CHECK_INT(RUN("org", "create", "Ends", "--json"), 0);
	const char *app = member("app");
	CHECK_SAY(RUN("key", "create", app, "--test", "--days", "2", "--scopes", "posts:read media:write", "--json") == 0, "%s", buf_text(&err));
	const char *key = member("test_key"), *id = member("id");
	CHECK_INT(check(key, clock_now(), NULL), RC_OK);
	CHECK_INT(check(key, clock_now() + 49 * 3600 * 1000, NULL), RC_UNAUTHORIZED);
	CHECK_STR(cx.code, "api_key_expired");
	CHECK_INT(RUN("key", "revoke", id), 0);
	CHECK_INT(check(key, clock_now(), NULL), RC_UNAUTHORIZED);
	CHECK_STR(cx.code, "api_key_revoked");
	CHECK_INT(RUN("key", "revoke", id), 0);
	CHECK_INT(RUN("key", "revoke", "key_none"), 1);
	CHECK_INT(RUN("key", "list", app), 0);
	CHECK(strstr(buf_text(&out), "revoked") && strstr(buf_text(&out), "posts:read media:write"));
	CHECK(strstr(buf_text(&out), key) == NULL);
}

TEST(key_create_checks_its_words)
{
	begin();
	CHECK_INT(RUN("org", "create", "Words", "--json"), 0);
	const char *app = member("app");
	CHECK_INT(RUN("key", "create", "app_none"), 1);
	CHECK(strstr(buf_text(&err), "app_none") != NULL);
	CHECK_INT(RUN("key", "create", app, "--scopes", "posts:reed"), 1);
	CHECK_SAY(strstr(buf_text(&err), "posts:read") != NULL, "%s", buf_text(&err));
	CHECK_INT(RUN("key", "create", app, "--scopes", " "), 1);
	CHECK_INT(RUN("key", "create", app, "--scopes", "all posts:read"), 1);
	CHECK_INT(RUN("key", "create", app, "--days", "0"), 1);
	CHECK_INT(RUN("key", "create", app, "--days", "3651"), 1);
	CHECK_INT(RUN("key", "create", app, "--name", "a\nb"), 1);
}

TEST(scopes)
{
	struct apikey k = {.scopes = "posts:write media:read"};
	CHECK(apikey_may(&k, "posts:write") && apikey_may(&k, "posts:read") && apikey_may(&k, "media:read"));
	CHECK(!apikey_may(&k, "media:write") && !apikey_may(&k, "usage:read") && !apikey_may(&k, "post:read") && !apikey_may(&k, "posts"));
	k.scopes = "all";
	CHECK(apikey_may(&k, "admin:write"));
	k.scopes = "";
	CHECK(!apikey_may(&k, "posts:read"));
}

static char rotated[ID_MAX];		/* the organization with many data keys */

static enum rc each_key(struct cx *c, struct db_conn *conn, enum rc (*one)(struct cx *c, struct db_conn *conn, const char *end_user))
{
	enum rc rc = RC_OK;

	for (int i = 0; i < 450 && rc == RC_OK; i++) {
		char end_user[32];

		snprintf(end_user, sizeof end_user, "eu_%d", i);
		rc = one(c, conn, end_user);
	}
	return rc;
}

static enum rc key_make(struct cx *c, struct db_conn *conn, const char *end_user)
{
	return data_key_create(c, conn, store.vault, rotated, end_user);
}

static enum rc key_open(struct cx *c, struct db_conn *conn, const char *end_user)
{
	DATA_KEY_AUTO struct data_key k = {0};

	return data_key_open(c, conn, store.vault, rotated, end_user, &k);
}

static enum rc many_keys(struct cx *c, struct db_conn *conn, void *arg)
{
	(void)arg;
	return each_key(c, conn, key_make);
}

static enum rc all_open(struct cx *c, struct db_conn *conn, void *arg)
{
	(void)arg;
	return each_key(c, conn, key_open);
}

static enum rc one_round(struct cx *c, struct db_conn *conn, void *arg)
{
	struct data_key_round round;
	enum rc rc = data_key_rewrap(c, conn, store.vault, "", &round);

	(void)arg;
	CHECK_INT(round.found, 200);
	CHECK_INT(round.failed, 0);
	return rc;
}

static enum rc spoil_one(struct cx *c, struct db_conn *conn, void *arg)
{
	(void)c, (void)arg;
	db_run(conn, "UPDATE data_key SET master_key_id = 'lost' WHERE organization_id = ?1 AND end_user_id = 'eu_7'", "s", rotated);
	return db_rc(conn);
}

/* The last test: it opens the store anew. */
TEST(z_keys_survive_a_new_master_key)
{
	char old[128], aside[128], key[VAULT_API_KEY_MAX];
	begin();
	CHECK_INT(RUN("org", "create", "Rotated", "--json"), 0);
	snprintf(key, sizeof key, "%s", member("live_key"));
	snprintf(rotated, sizeof rotated, "%s", member("organization"));
	CHECK_SAY(db_write(&cx, store.db, many_keys, NULL) == RC_OK, "%s", cx.words);
	installation_close(&store);
	snprintf(old, sizeof old, "%s.old-1", key_file);
	snprintf(aside, sizeof aside, "%s.aside", key_file);
	CHECK(rename(key_file, old) == 0);
	CHECK_INT(store_open(0), RC_NOT_FOUND);
	installation_close(&store);
	CHECK_SAY(store_open(1) == RC_OK, "%s", cx.words);
	CHECK_INT(check(key, clock_now(), NULL), RC_OK);

	installation_close(&store);		/* without the old key: refused by name, nothing is made anew */
	CHECK(rename(old, aside) == 0);
	CHECK_INT(store_open(0), RC_INVALID);
	CHECK_SAY(strstr(cx.words, "needs master key") != NULL, "%s", cx.words);
	installation_close(&store);

	CHECK(rename(aside, old) == 0);		/* wrapped anew in rounds; ended after the first one and begun again */
	CHECK_INT(store_open(0), RC_OK);
	CHECK_INT(db_write(&cx, store.db, one_round, NULL), RC_OK);
	installation_close(&store);
	CHECK_INT(store_open(0), RC_OK);
	CHECK_INT(RUN("vault", "rewrap", "--json"), 0);
	CHECK_SAY(strtol(member("wrapped_anew"), NULL, 10) > 200, "%s", buf_text(&out));
	CHECK_INT(RUN("vault", "rewrap", "--json"), 0);
	CHECK_STR(member("wrapped_anew"), "0");
	installation_close(&store);
	CHECK(unlink(old) == 0);
	CHECK_SAY(store_open(0) == RC_OK, "%s", cx.words);
	CHECK_INT(check(key, clock_now(), NULL), RC_OK);
	CHECK_INT(db_write(&cx, store.db, all_open, NULL), RC_OK);
	CHECK_INT(db_write(&cx, store.db, spoil_one, NULL), RC_OK);
	log_set(LOG_ERROR + 1);
	CHECK_INT(RUN("vault", "rewrap"), 1);	/* what does not open is said, and stays */
	CHECK_SAY(strstr(buf_text(&err), "1 of 1 data keys could not be opened") != NULL, "%s", buf_text(&err));
	installation_close(&store);
}
