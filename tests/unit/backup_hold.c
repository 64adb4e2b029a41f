/*
 * What a restore holds back: a delivery in each state as it is at the backup, and what it is afterwards.
 */
#include "tests/unit/backup_store.h"

/* Each as it is at the backup, and what it is after the restore.  due: hours from now, 0 none. */
static const struct state {
	const char *id, *state, *reason, *parent, *kind;	/* kind: of its operation: NULL none, "intent" being sent, "phase" begun */
	int due, claimed;
	const char *after, *after_reason;
	bool operation;		/* is kept, and looked with */
} table[] = {
	{"dlv_due", "queued", NULL, NULL, NULL, -1, 0, "unconfirmed", "restored", false},
	{"dlv_later", "queued", NULL, NULL, NULL, 5, 0, "blocked", "restored", false},
	{"dlv_backoff", "queued", NULL, NULL, "phase", 5, 1, "unconfirmed", "restored", false},
	{"dlv_limited", "queued", NULL, NULL, "intent", 5, 1, "unconfirmed", "restored", true},
	{"dlv_processing", "processing", NULL, NULL, "phase", 0, 1, "unconfirmed", "restored", false},
	{"dlv_committing", "committing", NULL, NULL, "intent", 0, 1, "unconfirmed", "restored", true},
	{"dlv_platform", "awaiting_platform", NULL, NULL, "phase", 1, 1, "unconfirmed", "restored", true},
	{"dlv_user", "awaiting_user", NULL, NULL, "phase", 1, 1, "awaiting_user", NULL, true},
	{"dlv_reauth", "blocked", "reauth", NULL, NULL, 0, 1, "unconfirmed", "restored", false},
	{"dlv_missed", "blocked", "missed", NULL, NULL, 0, 0, "unconfirmed", "restored", false},
	{"dlv_unknown", "unconfirmed", "outcome_unknown", NULL, "intent", 1, 1, "unconfirmed", "restored", true},
	{"dlv_overdue", "unconfirmed", "overdue", NULL, "phase", 1, 1, "unconfirmed", "restored", true},
	{"dlv_draft", "pending", NULL, NULL, NULL, 0, 0, "pending", NULL, false},
	{"dlv_published", "published", NULL, NULL, NULL, 0, 1, "published", NULL, false},
	{"dlv_failed", "failed", "rejected", NULL, NULL, 0, 1, "failed", "rejected", false},
	{"dlv_canceled", "canceled", "caller", NULL, NULL, 0, 0, "canceled", "caller", false},
	{"dlv_child", "pending", NULL, "dlv_due", NULL, 0, 0, "unconfirmed", "restored", false},
	{"dlv_grandchild", "pending", NULL, "dlv_child", NULL, 0, 0, "unconfirmed", "restored", false},
	{"dlv_child_later", "pending", NULL, "dlv_later", NULL, 0, 0, "pending", NULL, false},
	{"dlv_child_draft", "pending", NULL, "dlv_draft", NULL, 0, 0, "pending", NULL, false},
	{"dlv_child_live", "pending", NULL, "dlv_published", NULL, 0, 0, "unconfirmed", "restored", false},
};
#define STATES (sizeof table / sizeof table[0])

static enum rc put_states(struct cx *x, struct db_conn *c, void *arg)
{
	(void)arg;
	for (size_t i = 0; i < STATES; i++) {
		const struct state *t = &table[i];
		int64_t due = t->due ? now + t->due * 3600000ll : 0;
		db_run(c, "INSERT INTO post (id, organization_id, app_id, live, status, mode, body, max_late_ms, on_missed, created_at, updated_at)"
		       " VALUES ('post_' || ?1, ?2, ?3, 1, 'publishing', 'now', '{}', 1000, 'publish', 1, 1)", "sss", t->id, org.id, org.app_id);
		db_run(c, "INSERT INTO delivery (id, organization_id, app_id, live, post_id, parent_delivery_id, connection_id, platform, provider,"
		       " content, content_hash, state, reason, scheduled_at, due_at, claimed_at, on_missed, created_at, updated_at, claim) VALUES"
		       " (?1, ?2, ?3, 1, 'post_' || ?1, ?4, 'con_eu_1', 'sandbox', 'sandbox', '{}', '', ?5, ?6, ?7, ?7, ?8, 'publish', 1, 1, 3)",
		       "ssssssoo", t->id, org.id, org.app_id, t->parent, t->state, t->reason, due, (int64_t)t->claimed);
		if (t->kind)
			db_run(c, "INSERT INTO operation (id, organization_id, app_id, live, kind, platform, provider, delivery_id, status, phase, event,"
			       " intent, created_at, updated_at) VALUES ('op_' || ?1, ?2, ?3, 1, 'publish', 'sandbox', 'sandbox', ?1, 'running', 'made',"
			       " ?4, ?5, 1, 1)", "sssss", t->id, org.id, org.app_id, text_eq(t->kind, "intent") ? "lost" : "timer", NULL);
		if (t->kind && text_eq(t->kind, "intent"))
			db_run(c, "UPDATE operation SET intent = ?2 WHERE delivery_id = ?1", "sb", t->id, "x", (size_t)1);
	}
	return db_fail(x, c);
}

struct seen { struct delivery d; int64_t operations, events; bool there; };

/* Read first, compared afterwards: a check that fails must not keep the reader. */
static struct seen see(const struct state *t, struct arena *a)
{
	struct seen e = {.there = false};
	DB_READ_AUTO struct db_conn *c = db_take(store.db);

	e.there = delivery_load(c, t->id, NULL, a, &e.d);
	e.operations = db_number(c, 0, "SELECT COUNT(*) FROM operation WHERE delivery_id = ?1", "s", t->id);
	e.events = db_number(c, 0, "SELECT COUNT(*) FROM event WHERE type = ?1 AND data LIKE '%\"id\":\"' || ?2 || '\"%'", "ss",
			     text_eq(t->after, "blocked") ? "delivery.blocked" : "delivery.unconfirmed", t->id);
	return e;
}

static void check_state(const struct state *t)
{
	ARENA_AUTO struct arena a;

	arena_init(&a, 65536);
	struct seen e = see(t, &a);
	bool held = text_eq(t->after_reason, "restored");
	CHECK_SAY(e.there && text_eq(delivery_state_name(e.d.state), t->after) && text_eq(e.d.reason, t->after_reason), "%s is %s (%s)", t->id,
		  delivery_state_name(e.d.state), e.d.reason ? e.d.reason : "-");
	CHECK_SAY(e.d.claim == (held ? 4 : 3), "%s: claim %d", t->id, (int)e.d.claim);
	CHECK_SAY(e.operations == t->operation, "operation of %s", t->id);
	CHECK_SAY(!held || (e.d.due_at > 0) == t->operation, "%s is due at %lld", t->id, (long long)e.d.due_at);
	CHECK_SAY(e.events == held, "event of %s", t->id);
}

TEST(what_may_have_been_sent_since_is_held_back)
{
	begin();
	CHECK_SAY(db_write(&cx, store.db, put_states, NULL) == RC_OK, "%s", cx.words);
	sql("INSERT INTO server VALUES ('engine', 7, 1, 1)");
	make("one");
	lose();
	struct backup_restored r = restore("one", NULL, NULL);
	int64_t unconfirmed = 0, blocked = 0;
	up();
	for (size_t i = 0; i < STATES; i++) {
		check_state(&table[i]);
		unconfirmed += text_eq(table[i].after, "unconfirmed") && text_eq(table[i].after_reason, "restored");
		blocked += text_eq(table[i].after, "blocked");
	}
	CHECK_INT(r.unconfirmed, unconfirmed);
	CHECK_INT(r.blocked, blocked);
	CHECK_INT(number("SELECT COUNT(*) FROM server WHERE epoch = 1007 AND stopped_at IS NULL"), 1);
	CHECK(number("SELECT MIN(sequence) FROM event") > now);		/* past every reader's place */
	CHECK_INT(number("SELECT COUNT(*) FROM post WHERE status = 'needs_attention' AND id = 'post_dlv_due'"), 1);
}

static enum rc release(struct cx *x, struct db_conn *c, void *arg)
{
	return backup_release(x, c, NULL, now, arg);
}

TEST(released_ones_go_at_their_time)
{
	begin();
	CHECK_SAY(db_write(&cx, store.db, put_states, NULL) == RC_OK, "%s", cx.words);
	make("one");
	lose();
	restore("one", NULL, NULL);
	up();
	int64_t n = 0;
	CHECK_SAY(db_write(&cx, store.db, release, &n) == RC_OK, "%s", cx.words);
	CHECK_INT(n, 1);
	CHECK_INT(number("SELECT COUNT(*) FROM delivery WHERE id = 'dlv_later' AND state = 'queued' AND due_at = scheduled_at"), 1);
	CHECK_INT(number("SELECT COUNT(*) FROM delivery WHERE state = 'queued'"), 1);
	CHECK_SAY(db_write(&cx, store.db, release, &n) == RC_OK && n == 0, "again");
}

TEST(a_restored_store_can_be_backed_up_and_restored_again)
{
	begin();
	CHECK_SAY(db_write(&cx, store.db, put_states, NULL) == RC_OK, "%s", cx.words);
	make("one");
	lose();
	struct backup_restored first = restore("one", NULL, NULL);
	up();
	make("two");
	lose();
	struct backup_restored second = restore("two", NULL, NULL);
	CHECK(first.unconfirmed > 0 && second.unconfirmed == 0 && second.blocked == 0);		/* they are held already */
	up();
	CHECK_INT(number("SELECT COUNT(*) FROM delivery WHERE id = 'dlv_later' AND state = 'blocked' AND reason = 'restored'"), 1);
}

TEST(people_who_were_connecting_and_edits_under_way_end)
{
	begin();
	CHECK_SAY(db_write(&cx, store.db, put_states, NULL) == RC_OK, "%s", cx.words);
	sql("INSERT INTO connect_session (id, organization_id, app_id, live, end_user_id, platform, provider, status, token_mac, state_mac,"
	    " redirect_url, credential_mode, expires_at, created_at) SELECT 'cs_1', organization_id, app_id, 1, 'eu_1', 'sandbox', 'sandbox',"
	    " 'authorizing', x'01', x'02', 'u', 'customer', 9000000000000, 1 FROM end_user WHERE id = 'eu_1'");
	sql("INSERT INTO operation (id, organization_id, app_id, live, kind, platform, provider, delivery_id, status, phase, created_at,"
	    " updated_at)"
	    " SELECT 'op_edit', organization_id, app_id, 1, 'edit', 'sandbox', 'sandbox', 'dlv_published', 'running', 'start', 1, 1"
	    " FROM end_user WHERE id = 'eu_1'");
	make("one");
	lose();
	CHECK_INT(restore("one", NULL, NULL).sessions, 1);
	up();
	CHECK_INT(number("SELECT COUNT(*) FROM connect_session WHERE state_mac IS NULL AND expires_at < 9000000000000"), 1);
	CHECK_INT(number("SELECT COUNT(*) FROM operation WHERE id = 'op_edit' AND status = 'failed'"), 1);
	CHECK_INT(number("SELECT COUNT(*) FROM event WHERE type = 'delivery.edit_failed'"), 1);
}

TEST(none_is_forgotten_among_many)
{
	begin();
	CHECK_SAY(db_write(&cx, store.db, put_states, NULL) == RC_OK, "%s", cx.words);
	sql("WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)"
	    " INSERT INTO delivery (id, organization_id, app_id, live, post_id,"
	    " connection_id, platform, provider, content, content_hash, state, due_at, on_missed, created_at, updated_at)"
	    " SELECT 'dlv_' || (1000000 + i), d.organization_id, d.app_id, 1, d.post_id, d.connection_id, 'sandbox', 'sandbox', '{}', '',"
	    " 'queued', CASE WHEN i % 2 = 0 THEN 1 ELSE 9000000000000 END, 'publish', 1, 1 FROM n JOIN delivery d ON d.id = 'dlv_published'");
	make("one");
	lose();
	struct backup_restored r = restore("one", NULL, NULL);
	CHECK(r.unconfirmed > 500 && r.blocked == 501);
	up();
	CHECK_INT(number("SELECT COUNT(*) FROM delivery WHERE state = 'queued'"), 0);
	int64_t n = 1, all = 0;
	for (; n > 0; all += n)
		CHECK_SAY(db_write(&cx, store.db, release, &n) == RC_OK, "%s", cx.words);
	CHECK_INT(all, 501);
}
