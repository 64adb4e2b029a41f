/*
 * Keys and what they open: API keys as they are made, judged and ended, that their use is noted, and data keys; also where
 * the store fails.
 */
#include <ftw.h>
#include <unistd.h>

#include "core/api/auth.h"
#include "core/base/clock.h"
#include "core/io/db_private.h"
#include "core/model/apikey.h"
#include "core/model/data_key.h"
#include "core/model/installation.h"
#include "core/model/organization.h"
#include "tests/unit/test.h"

static char folder[64];
static struct conf conf;
static struct installation store;
static struct arena arena;
static struct organization_new org = {.name = "Acme"};
static int64_t now = 1800000000000;
static struct cx cx;

static int64_t fake_now(void) { return now; }

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *at)
{
	(void)st, (void)flag, (void)at;
	return remove(path);
}

static void clean(void)
{
	installation_close(&store);
	arena_free(&conf.arena);
	arena_free(&arena);
	nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static enum rc make_org(struct cx *k, struct db_conn *c, void *arg)
{
	(void)arg;
	return organization_create(k, c, store.vault, &org, now);
}

static void begin(void)
{
	cx_init(&cx, "test");
	if (store.db != NULL)
		return;
	log_set(LOG_ERROR + 1);
	clock_fake(fake_now);
	snprintf(folder, sizeof folder, "/tmp/mps-keys-XXXXXX");
	CHECK(mkdtemp(folder) != NULL);
	arena_init(&arena, 8u << 20);
	arena_init(&conf.arena, 1u << 20);
	conf.data_folder = folder;
	conf.key_file = arena_printf(&conf.arena, "%s/master.key", folder);
	conf.create_key = 1;
	atexit(clean);
	CHECK_SAY(installation_open(&cx, &conf, &store) == RC_OK, "%s", cx.words);
	CHECK_INT(db_write(&cx, store.db, make_org, NULL), RC_OK);
}

/* ---- one call in a closure ------------------------------------------------------------------------------------------- */

struct call { const char *sql; struct apikey_new key; const char *organization, *id, *user; int64_t revoked; bool data_key, rewrap; };

static enum rc run(struct cx *k, struct db_conn *c, void *arg)
{
	struct data_key_round round;
	struct call *call = arg;

	if (call->sql != NULL)
		stmt_exec(c, call->sql);
	else if (call->rewrap) {
		enum rc rc = data_key_rewrap(k, c, store.vault, call->id, &round);

		call->revoked = round.found * 1000 + round.failed;
		return rc;
	} else if (call->data_key)
		return data_key_create(k, c, store.vault, call->organization, call->user);
	else if (call->id != NULL)
		return apikey_revoke(k, c, call->organization, call->id, now);
	else
		return apikey_create(k, c, store.vault, &call->key, now);
	return db_fail(k, c);
}

static enum rc do_call(struct call *call)
{
	cx_init(&cx, "test");
	return db_write(&cx, store.db, run, call);
}

static void sql(const char *text)
{
	CHECK_SAY(do_call(&(struct call){.sql = text}) == RC_OK, "%s: %s", text, cx.words);
}

static struct apikey_new key_of(const char *scopes, int64_t expires_at)
{
	struct call call = {.key = {.organization_id = org.id, .app_id = org.app_id, .name = "k", .scopes = scopes, .live = true,
		.expires_at = expires_at}};

	CHECK_SAY(do_call(&call) == RC_OK, "%s", cx.words);
	return call.key;
}

static enum rc check(const char *text)
{
	struct db_conn *c = db_take(store.db);
	struct apikey k;
	enum rc rc;

	cx_init(&cx, "test");
	rc = apikey_check(&cx, c, store.vault, text, now, &arena, &k);
	db_give(c);
	return rc;
}

/* ---- API keys -------------------------------------------------------------------------------------------------------- */

TEST(scopes_of_a_new_key)
{
	static char longer[200];
	static const struct { const char *scopes, *words; } rows[] = {
		{"all", NULL}, {"posts:read", NULL}, {" posts:read  posts:write ", NULL}, {"", "at least one scope"}, {"   ", "at least one scope"},
		{"posts:read all", "stands alone"}, {"post:read", "did you mean posts:read"}, {"zzzzzzzzzzzzzzzzzzzzzz", "unknown scope zzzz"},
		{longer, "unknown scope yyyy"},
	};

	begin();
	memset(longer, 'y', sizeof longer - 1);
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct call call = {.key = {.organization_id = org.id, .app_id = org.app_id, .name = "k", .scopes = rows[i].scopes, .live = true}};
		enum rc rc = do_call(&call);

		CHECK_SAY((rc == RC_OK) == (rows[i].words == NULL), "'%s': %s", rows[i].scopes, cx.words);
		CHECK_SAY(rc == RC_OK || strstr(cx.words, rows[i].words) != NULL, "'%s': %s", rows[i].scopes, cx.words);
		CHECK(rc == RC_OK || (rc == RC_INVALID && strcmp(cx.param, "scopes") == 0));
	}
}

TEST(what_a_scope_lets_do)
{
	static const struct { const char *scopes, *asked; bool may; } rows[] = {
		{"all", "posts:write", true}, {"posts:read", "posts:read", true}, {"posts:write", "posts:read", true},
		{"posts:read", "posts:write", false}, {"posts:write", "post:read", false}, {"media:read", "posts:read", false},
		{"posts:write", "posts", false}, {"x:write", "a_family_with_a_name_that_is_longer_than_any_of_ours:read", false},
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct apikey k = {.scopes = rows[i].scopes};

		CHECK_SAY(apikey_may(&k, rows[i].asked) == rows[i].may, "%s to %s", rows[i].scopes, rows[i].asked);
	}
}

TEST(rows_of_keys_that_were_changed)
{
	struct apikey_new k;

	begin();
	k = key_of("all", 0);
	CHECK_INT(check(k.text), RC_OK);
	sql("UPDATE api_key SET live = 0");
	CHECK_INT(check(k.text), RC_UNAUTHORIZED);		/* a test key that says it is a live one */
	sql("UPDATE api_key SET live = 1, mac = zeroblob(32)");
	CHECK_INT(check(k.text), RC_UNAUTHORIZED);
	sql("UPDATE api_key SET mac = zeroblob(31)");
	CHECK_INT(check(k.text), RC_UNAUTHORIZED);
	CHECK_STR(cx.code, "api_key_invalid");
	sql("DELETE FROM api_key");
	CHECK_INT(check(k.text), RC_UNAUTHORIZED);
	CHECK_INT(check("mps_live_no key"), RC_UNAUTHORIZED);
}

TEST(keys_end)
{
	struct apikey_new k, other;
	struct apikey_row row = {0};
	struct owner o = {org.id, org.app_id, 1};
	struct db_conn *c;

	begin();
	k = key_of("all", now + 1000);
	other = key_of("all", 0);
	o = (struct owner){org.id, org.app_id, 1};
	CHECK_INT(check(k.text), RC_OK);
	now += 1000;
	CHECK_INT(check(k.text), RC_UNAUTHORIZED);
	CHECK_STR(cx.code, "api_key_expired");
	CHECK_INT(do_call(&(struct call){.organization = "org_none", .id = other.id}), RC_NOT_FOUND);
	CHECK_INT(check(other.text), RC_OK);
	CHECK_INT(do_call(&(struct call){.organization = org.id, .id = other.id}), RC_OK);
	CHECK_INT(check(other.text), RC_UNAUTHORIZED);
	CHECK_STR(cx.code, "api_key_revoked");
	CHECK_INT(do_call(&(struct call){.id = k.id}), RC_OK);		/* the operator's view, and twice is no fault */
	CHECK_INT(do_call(&(struct call){.id = k.id}), RC_OK);
	c = db_take(store.db);
	CHECK(!apikey_find(c, &o, "key_none", &arena, &row));
	CHECK(apikey_find(c, &o, k.id, &arena, &row));
	CHECK_STR(apikey_status(&row, now), "revoked");
	row.revoked_at = 0;
	CHECK_STR(apikey_status(&row, now), "expired");
	CHECK_STR(apikey_status(&row, now - 1), "active");
	row.expires_at = 0;
	CHECK_STR(apikey_status(&row, now), "active");
	db_give(c);
}

TEST(a_store_that_fails_lets_nobody_in)
{
	struct apikey_new k;
	struct call call = {.key = {.organization_id = org.id, .app_id = org.app_id, .name = "k", .scopes = "all"}};

	begin();
	k = key_of("all", 0);
	sql("ALTER TABLE api_key RENAME TO hidden");
	CHECK(check(k.text) != RC_OK);
	CHECK_SAY(cx.rc != RC_UNAUTHORIZED, "a fault of ours is told as the caller's: %s", cx.words);
	CHECK(do_call(&call) != RC_OK);
	CHECK(do_call(&(struct call){.id = k.id}) != RC_OK && cx.rc != RC_NOT_FOUND);
	sql("ALTER TABLE hidden RENAME TO api_key");
	CHECK_INT(check(k.text), RC_OK);
}

/* ---- that they were used --------------------------------------------------------------------------------------------- */

static int64_t used_at(const char *id)
{
	struct db_conn *c;
	int64_t at;

	CHECK_INT(do_call(&(struct call){.sql = "SELECT 1"}), RC_OK);		/* behind what was queued before */
	c = db_take(store.db);
	at = db_number(c, 0, "SELECT last_used_at FROM api_key WHERE id = ?1", "s", id);
	db_give(c);
	return at;
}

static enum rc enter(const char *text)
{
	struct api api = {.db = store.db, .vault = store.vault};
	struct identity who = {0};
	enum rc rc;

	cx_init(&cx, "test");
	rc = auth_key(&cx, &api, &arena, text, "127.0.0.1", &who);
	CHECK(rc != RC_OK || (strcmp(who.owner.organization_id, org.id) == 0 && who.owner.live && who.key_id != NULL));
	return rc;
}

TEST(the_use_of_a_key_is_noted_once_a_minute)
{
	struct apikey_new k, other;
	int64_t first;

	begin();
	k = key_of("all", 0);
	other = key_of("posts:read", 0);
	first = now;
	CHECK_INT(enter("mps_live_no key"), RC_UNAUTHORIZED);
	CHECK_INT(enter(k.text), RC_OK);
	CHECK_INT(used_at(k.id), first);
	CHECK_INT(used_at(other.id), 0);
	now += 59999;
	CHECK_INT(enter(k.text), RC_OK);
	CHECK_INT(used_at(k.id), first);
	now++;
	CHECK_INT(enter(k.text), RC_OK);
	CHECK_INT(used_at(k.id), now);
	first = now;
	now -= 10000;			/* the clock was set back: times only grow */
	CHECK_INT(enter(k.text), RC_OK);
	CHECK_INT(used_at(k.id), first);
	now += 100000;
	sql("CREATE TRIGGER full BEFORE UPDATE ON api_key BEGIN SELECT RAISE(ABORT, 'full'); END");
	CHECK_INT(enter(k.text), RC_OK);		/* who may enter does not depend on it */
	CHECK_INT(used_at(k.id), first);
	sql("DROP TRIGGER full");
}

/* ---- data keys ------------------------------------------------------------------------------------------------------- */

static enum rc open_key(const char *organization, const char *user)
{
	struct db_conn *c = db_take(store.db);
	struct data_key k = {{0}, NULL};
	enum rc rc;

	cx_init(&cx, "test");
	rc = data_key_open(&cx, c, store.vault, organization, user, &k);
	CHECK((rc == RC_OK) == (k.key != NULL));
	data_key_close(&k);
	data_key_close(&k);
	db_give(c);
	return rc;
}

TEST(data_keys_of_each_kind_of_owner)
{
	begin();
	CHECK_INT(open_key(NULL, NULL), RC_OK);
	CHECK_INT(open_key(org.id, NULL), RC_OK);
	CHECK_INT(open_key(org.id, "eu_none"), RC_NOT_FOUND);
	CHECK_SAY(strstr(cx.words, org.id) && strstr(cx.words, "eu_none"), "%s", cx.words);
	CHECK_INT(open_key("org_none", NULL), RC_NOT_FOUND);
	CHECK_SAY(strstr(cx.words, "end user -"), "%s", cx.words);
	CHECK(do_call(&(struct call){.data_key = true, .organization = "org_none"}) != RC_OK);		/* of nobody */
	sql("ALTER TABLE data_key RENAME TO hidden");
	CHECK(open_key(NULL, NULL) != RC_OK && cx.rc != RC_NOT_FOUND);
	CHECK(do_call(&(struct call){.data_key = true, .organization = org.id}) != RC_OK);
	CHECK(do_call(&(struct call){.rewrap = true, .id = ""}) != RC_OK);
	sql("ALTER TABLE hidden RENAME TO data_key");
	sql("UPDATE data_key SET master_key_id = 'another' WHERE organization_id IS NULL");
	CHECK_INT(open_key(NULL, NULL), RC_INVALID);
}

/* A value of the installation has no organization in its place. */
TEST(values_of_the_installation)
{
	BUF_AUTO struct buf sealed, plain;
	struct data_key k;
	struct db_conn *c;

	begin();
	sql("UPDATE data_key SET master_key_id = (SELECT master_key_id FROM data_key WHERE organization_id IS NOT NULL LIMIT 1)");
	c = db_take(store.db);
	CHECK_INT(data_key_open(&cx, c, store.vault, NULL, NULL, &k), RC_OK);
	db_give(c);
	buf_init(&sealed, 1000);
	buf_init(&plain, 1000);
	CHECK_INT(data_key_seal(&cx, &k, NULL, "t", "c", "r", "canary", 6, &sealed), RC_OK);
	CHECK_INT(data_key_unseal(&cx, &k, org.id, "t", "c", "r", sealed.data, sealed.len, &plain), RC_CORRUPT);
	cx_init(&cx, "test");
	CHECK_INT(data_key_unseal(&cx, &k, NULL, "t", "c", "r", sealed.data, sealed.len, &plain), RC_OK);
	CHECK_STR(buf_text(&plain), "canary");
	data_key_close(&k);
}

/* Those of a master key that is gone are counted and named, by the round. */
TEST(what_cannot_be_wrapped_anew_is_counted)
{
	struct call call = {.rewrap = true, .id = ""};

	begin();
	sql("INSERT INTO data_key (id, organization_id, wrapped, master_key_id, created_at) WITH RECURSIVE n(i) AS (SELECT 100 UNION ALL SELECT"
	    " i + 1 FROM n WHERE i < 305) SELECT 'dk_z' || i, (SELECT id FROM organization LIMIT 1), zeroblob(72), 'gone', 1 FROM n");
	CHECK_INT(do_call(&call), RC_OK);
	CHECK_INT(call.revoked, 200200);
	call.id = "dk_zz";
	CHECK_INT(do_call(&call), RC_OK);
	CHECK_INT(call.revoked, 0);
	sql("DELETE FROM data_key WHERE id LIKE 'dk_z%' OR organization_id IS NULL");
	CHECK_INT(open_key(NULL, NULL), RC_NOT_FOUND);
	CHECK_SAY(strstr(cx.words, "organization -") != NULL, "%s", cx.words);
}
