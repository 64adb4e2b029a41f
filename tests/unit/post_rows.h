/*
 * A store with an organization and three connections for the tests of posts, and each act upon a post as one
 * call.  The engine's part is played by the moves that the engine makes.
 */
#ifndef MPS_TESTS_UNIT_POST_ROWS_H
#define MPS_TESTS_UNIT_POST_ROWS_H

#include "core/model/post_write.h"

#include <ftw.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/text.h"
#include "core/model/installation.h"
#include "core/model/operation.h"
#include "core/model/organization.h"
#include "core/model/post.h"
#include "tests/unit/test.h"

#define UNUSED __attribute__((unused))
#define HOUR 3600000ll

static char folder[64], key_file[96];
static struct installation store;
static struct organization_new org = {.name = "Acme"};
static struct owner owner;
static struct arena arena;
static int64_t now = 1800000000000;

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *at)
{
	(void)st, (void)flag, (void)at;
	return remove(path);
}

static void clean(void)
{
	installation_close(&store);
	arena_free(&arena);
	nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static enum rc make_org(struct cx *cx, struct db_conn *c, void *arg)
{
	static const char *const connections[] = {"con_a", "con_b", "con_c"};
	enum rc rc = organization_create(cx, c, store.vault, &org, now);

	(void)arg;
	db_run(c, "INSERT INTO end_user (id, organization_id, app_id, live, external_id, created_at, updated_at)"
	       " VALUES ('eu_1', ?1, ?2, 1, 'u1', 1, 1)", "ss", org.id, org.app_id);
	db_run(c, "INSERT INTO auth_grant (id, organization_id, app_id, live, end_user_id, platform, provider, status, created_at, updated_at)"
	       " VALUES ('gr_1', ?1, ?2, 1, 'eu_1', 'sandbox', 'sandbox', 'active', 1, 1)", "ss", org.id, org.app_id);
	for (size_t i = 0; i < 3; i++)
		db_run(c, "INSERT INTO connection (id, organization_id, app_id, live, end_user_id, grant_id, platform, provider, remote_id, status,"
		       " created_at, updated_at) VALUES (?1, ?2, ?3, 1, 'eu_1', 'gr_1', 'sandbox', 'sandbox', ?1, 'active', 1, 1)", "sss",
		       connections[i], org.id, org.app_id);
	return rc != RC_OK ? rc : db_rc(c) == RC_OK ? RC_OK : db_fail(cx, c);
}

static int64_t fake_now(void) { return now; }

static void begin(void)
{
	struct cx cx;
	struct conf conf = {.data_folder = folder, .key_file = key_file, .create_key = 1};

	cx_init(&cx, "test");
	if (store.db == NULL) {
		clock_fake(fake_now);
		arena_init(&arena, 64u << 20);
		snprintf(folder, sizeof folder, "/tmp/mps-post-XXXXXX");
		CHECK(mkdtemp(folder) != NULL);
		snprintf(key_file, sizeof key_file, "%s/master.key", folder);
		atexit(clean);
		CHECK_SAY(installation_open(&cx, &conf, &store) == RC_OK, "%s", cx.words);
		CHECK_SAY(db_write(&cx, store.db, make_org, NULL) == RC_OK, "%s", cx.words);
		owner = (struct owner){org.id, org.app_id, 1};
	}
	now += 100 * HOUR;
}

/* ---- closures ------------------------------------------------------------------------------------------ */

struct call {
	enum rc (*run)(struct call *k, struct cx *cx, struct db_conn *c);
	struct post_new *p;
	struct post_act act;
	const char *id;
	struct owner owner;
	struct delivery_verdict verdict;
	int64_t version;
	char operation_id[ID_MAX];
	struct cx cx;
};

static enum rc call_run(struct cx *cx, struct db_conn *c, void *arg)
{
	struct call *k = arg;

	return k->run(k, cx, c);
}

static enum rc call(struct call *k)
{
	if (k->owner.organization_id == NULL)
		k->owner = owner;
	cx_init(&k->cx, "test");
	return db_write(&k->cx, store.db, call_run, k);
}

UNUSED static enum rc do_create(struct call *k, struct cx *cx, struct db_conn *c) { return post_create(cx, c, k->p, now); }
UNUSED static enum rc do_edit(struct call *k, struct cx *cx, struct db_conn *c) { return post_edit(cx, c, k->p, k->version, now); }

static struct post_act *act_of(struct call *k)
{
	k->act.id = k->id;
	k->act.owner = &k->owner;
	k->act.arena = &arena;
	return &k->act;
}

UNUSED static enum rc do_publish(struct call *k, struct cx *cx, struct db_conn *c) { return post_publish(cx, c, act_of(k), now); }
UNUSED static enum rc do_cancel(struct call *k, struct cx *cx, struct db_conn *c) { return post_cancel(cx, c, act_of(k), now); }
UNUSED static enum rc do_retry(struct call *k, struct cx *cx, struct db_conn *c) { return post_retry(cx, c, act_of(k), now); }

UNUSED static enum rc do_resolve(struct call *k, struct cx *cx, struct db_conn *c)
{
	struct delivery d;
	enum rc rc = delivery_find(cx, c, k->id, &k->owner, &arena, &d);

	return rc == RC_OK ? delivery_resolve(cx, c, &d, &k->verdict, now) : rc;
}

UNUSED static enum rc do_reconcile(struct call *k, struct cx *cx, struct db_conn *c)
{
	struct delivery d;
	enum rc rc = delivery_find(cx, c, k->id, &k->owner, &arena, &d);

	return rc == RC_OK ? delivery_reconcile(cx, c, &d, now) : rc;
}

UNUSED static enum rc do_unpublish(struct call *k, struct cx *cx, struct db_conn *c)
{
	struct delivery d;
	enum rc rc = delivery_find(cx, c, k->id, &k->owner, &arena, &d);

	return rc == RC_OK ? delivery_unpublish(cx, c, &d, k->operation_id, now) : rc;
}

/* The state as a row, past the table: where a test begins. */
struct put { const char *id, *state; int64_t claimed_at, scheduled_at; const char *reason; };

static enum rc put_run(struct cx *cx, struct db_conn *c, void *arg)
{
	struct put *p = arg;

	db_run(c, "UPDATE delivery SET state = ?2, claimed_at = ?3, scheduled_at = ?4, reason = ?5, due_at = ?6 WHERE id = ?1", "ssoosi", p->id,
	       p->state, p->claimed_at, p->scheduled_at, p->reason, now);
	post_derive(c, p->id, now);
	return db_rc(c) == RC_OK ? RC_OK : db_fail(cx, c);
}

UNUSED static void put(const char *id, const char *state, int64_t claimed_at, int64_t scheduled_at, const char *reason)
{
	struct put p = {id, state, claimed_at, scheduled_at, reason};
	struct cx cx;

	cx_init(&cx, "test");
	CHECK_SAY(db_write(&cx, store.db, put_run, &p) == RC_OK, "%s", cx.words);
}

/* ---- reading ------------------------------------------------------------------------------------------- */

UNUSED static struct delivery delivery(const char *id)
{
	struct delivery d = {0};
	struct db_conn *c = db_take(store.db);
	bool found = delivery_load(c, id, owner.organization_id, &arena, &d);

	db_give(c);
	CHECK_SAY(found, "no delivery %s", id);
	return d;
}

UNUSED static struct post post(const char *id)
{
	struct post p = {0};
	struct cx cx;
	struct db_conn *c = db_take(store.db);
	enum rc rc;

	cx_init(&cx, "test");
	rc = post_load(&cx, c, id, &owner, &arena, &p);
	db_give(c);
	CHECK_SAY(rc == RC_OK, "%s", cx.words);
	return p;
}

UNUSED static const char *nth(const char *post_id, int ordinal)
{
	struct db_conn *c = db_take(store.db);
	const char *id;

	{
		STMT_AUTO struct stmt *s = db_query(c, "SELECT id FROM delivery WHERE post_id = ?1 AND ordinal = ?2", "si", post_id, (int64_t)ordinal);

		id = db_next(s) ? db_dup(s, 0, &arena) : NULL;
	}
	db_give(c);
	CHECK(id != NULL);
	return id;
}

UNUSED static int events(const char *type, const char *id)
{
	struct db_conn *c = db_take(store.db);
	int n = (int)db_number(c, -1, "SELECT COUNT(*) FROM event WHERE type = ?1 AND data LIKE '%' || ?2 || '%'", "ss", type, id);

	db_give(c);
	return n;
}

/* ---- posts to begin with ---------------------------------------------------------------------------------- */

static int next_text;

/* A new text each time: nothing is a duplicate by accident. */
static struct post_new *fresh(const char *mode, int64_t scheduled_at, int targets)
{
	static const char *const connections[] = {"con_a", "con_b", "con_c"};
	struct post_new *p = arena_new(&arena, struct post_new);

	*p = (struct post_new){.owner = owner, .end_user_id = "eu_1", .mode = mode, .body = "{}", .on_missed = "publish",
		.scheduled_at = scheduled_at, .max_late_ms = POST_MAX_LATE_MS, .target_count = targets};
	p->text = arena_printf(&arena, "text %d", next_text++);
	p->targets = arena_array(&arena, struct post_target, targets);
	for (int i = 0; i < targets; i++) {
		p->targets[i] = (struct post_target){.connection_id = connections[i], .platform = "sandbox", .provider = "sandbox", .text = p->text,
			.content = "{\"options\":{},\"media\":[]}", .scheduled_at = scheduled_at, .param = arena_printf(&arena, "targets[%d]", i)};
		post_hash(&p->targets[i], NULL, NULL);
	}
	return p;
}

UNUSED static const char *create(const char *mode, int64_t scheduled_at, int targets)
{
	struct call k = {.run = do_create, .p = fresh(mode, scheduled_at, targets)};

	CHECK_SAY(call(&k) == RC_OK, "%s", k.cx.words);
	return k.p->id;
}

/* ---- the engine's claim ------------------------------------------------------------------------------------- */

static enum rc claim_old(struct cx *cx, struct db_conn *c, void *arg)
{
	struct delivery *d = arg;

	(void)cx;
	d->reason = delivery_claim(c, d, 1, now, 0) > 0 ? "claimed" : "fenced";
	return db_rc(c) == RC_OK ? RC_OK : db_fail(cx, c);
}

UNUSED static bool claims(struct delivery *d)
{
	struct cx cx;

	cx_init(&cx, "test");
	CHECK_INT(db_write(&cx, store.db, claim_old, d), RC_OK);
	return text_eq(d->reason, "claimed");
}

#endif
