/*
 * Posts: creating, the derived status, editing against a claim, cancel in every state, retry, a person's word.
 * Real rows in a store of its own; the engine's part is played by the moves that the engine makes.
 */
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

static enum rc do_create(struct call *k, struct cx *cx, struct db_conn *c) { return post_create(cx, c, k->p, now); }
static enum rc do_edit(struct call *k, struct cx *cx, struct db_conn *c) { return post_edit(cx, c, k->p, k->version, now); }
static enum rc do_publish(struct call *k, struct cx *cx, struct db_conn *c) { return post_publish(cx, c, k->id, &k->owner, &arena, &k->act, now); }
static enum rc do_cancel(struct call *k, struct cx *cx, struct db_conn *c) { return post_cancel(cx, c, k->id, &k->owner, &arena, &k->act, now); }
static enum rc do_retry(struct call *k, struct cx *cx, struct db_conn *c) { return post_retry(cx, c, k->id, &k->owner, &arena, &k->act, now); }

static enum rc do_resolve(struct call *k, struct cx *cx, struct db_conn *c)
{
	struct delivery d;
	enum rc rc = delivery_find(cx, c, k->id, &k->owner, &arena, &d);

	return rc == RC_OK ? delivery_resolve(cx, c, &d, &k->verdict, now) : rc;
}

static enum rc do_reconcile(struct call *k, struct cx *cx, struct db_conn *c)
{
	struct delivery d;
	enum rc rc = delivery_find(cx, c, k->id, &k->owner, &arena, &d);

	return rc == RC_OK ? delivery_reconcile(cx, c, &d, now) : rc;
}

static enum rc do_unpublish(struct call *k, struct cx *cx, struct db_conn *c)
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

static void put(const char *id, const char *state, int64_t claimed_at, int64_t scheduled_at, const char *reason)
{
	struct put p = {id, state, claimed_at, scheduled_at, reason};
	struct cx cx;

	cx_init(&cx, "test");
	CHECK_SAY(db_write(&cx, store.db, put_run, &p) == RC_OK, "%s", cx.words);
}

/* ---- reading ------------------------------------------------------------------------------------------- */

static struct delivery delivery(const char *id)
{
	struct delivery d = {0};
	struct db_conn *c = db_take(store.db);
	bool found = delivery_load(c, id, owner.organization_id, &arena, &d);

	db_give(c);
	CHECK_SAY(found, "no delivery %s", id);
	return d;
}

static struct post post(const char *id)
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

static const char *nth(const char *post_id, int ordinal)
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

static int events(const char *type, const char *id)
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

static const char *create(const char *mode, int64_t scheduled_at, int targets)
{
	struct call k = {.run = do_create, .p = fresh(mode, scheduled_at, targets)};

	CHECK_SAY(call(&k) == RC_OK, "%s", k.cx.words);
	return k.p->id;
}

/* ---- create ------------------------------------------------------------------------------------------------ */

TEST(a_post_for_now_is_due_at_once)
{
	begin();
	const char *id = create("now", 0, 2);
	struct delivery d = delivery(nth(id, 0));

	CHECK_STR(post(id).status, "publishing");
	CHECK_INT(d.state, DELIVERY_QUEUED);
	CHECK_INT(d.due_at, now);
	CHECK_INT(d.scheduled_at, 0);
	CHECK_INT(d.late_after, now + POST_MAX_LATE_MS);
	CHECK_STR(d.connection_id, "con_a");
	CHECK_STR(delivery(nth(id, 1)).connection_id, "con_b");
	CHECK_INT(events("post.created", id), 1);
	CHECK_INT(events("post.scheduled", id), 0);
}

TEST(a_scheduled_post_waits_for_its_row)
{
	begin();
	const char *id = create("schedule", now + HOUR, 1);
	struct delivery d = delivery(nth(id, 0));

	CHECK_STR(post(id).status, "scheduled");
	CHECK_INT(d.due_at, now + HOUR);
	CHECK_INT(d.scheduled_at, now + HOUR);
	CHECK_INT(d.late_after, now + HOUR + POST_MAX_LATE_MS);
	CHECK_INT(events("post.scheduled", id), 1);
	CHECK_INT(events("post.created", id), 0);
}

TEST(a_draft_is_never_due)
{
	begin();
	const char *id = create("draft", 0, 1);
	struct delivery d = delivery(nth(id, 0));

	CHECK_STR(post(id).status, "draft");
	CHECK_INT(d.state, DELIVERY_PENDING);
	CHECK_INT(d.due_at, 0);
}

TEST(an_external_id_is_taken_once_per_mode)
{
	begin();
	struct call k = {.run = do_create, .p = fresh("now", 0, 1)}, again = {.run = do_create, .p = fresh("now", 0, 1)};

	k.p->external_post_id = again.p->external_post_id = "mine";
	CHECK_INT(call(&k), RC_OK);
	CHECK_INT(call(&again), RC_CONFLICT);
	CHECK_STR(again.cx.code, "external_post_id_taken");
	CHECK_STR(again.p->existing_id, k.p->id);
	again.p->owner.live = 0;
	CHECK_INT(call(&again), RC_OK);
}

TEST(the_same_content_is_refused_for_a_day)
{
	begin();
	struct call k = {.run = do_create, .p = fresh("now", 0, 1)}, again = {.run = do_create, .p = fresh("now", 0, 1)};

	k.p->targets[0].text = "Good  morning\r\nall";
	again.p->targets[0].text = " Good morning all\n";
	post_hash(&k.p->targets[0], NULL, NULL);
	post_hash(&again.p->targets[0], NULL, NULL);
	CHECK_INT(call(&k), RC_OK);
	CHECK_INT(call(&again), RC_CONFLICT);
	CHECK_STR(again.cx.code, "duplicate_content");
	CHECK_STR(again.cx.param, "targets[0]");
	CHECK_STR(again.p->existing_id, k.p->id);
	again.p->allow_duplicate = true;
	CHECK_INT(call(&again), RC_OK);
	again.p->allow_duplicate = false;
	put(nth(again.p->id, 0), "canceled", 0, 0, NULL);
	put(nth(k.p->id, 0), "failed", 0, 0, NULL);
	CHECK_INT(call(&again), RC_OK);
	now += 25 * HOUR;
	CHECK_INT(call(&again), RC_OK);
}

TEST(other_content_accounts_and_targets_are_no_duplicates)
{
	begin();
	struct call k = {.run = do_create, .p = fresh("now", 0, 1)}, again = {.run = do_create, .p = fresh("now", 0, 1)};
	struct post_target *t = &again.p->targets[0];

	CHECK_INT(call(&k), RC_OK);
	t->text = k.p->text;
	t->connection_id = "con_b";
	post_hash(t, NULL, NULL);
	CHECK_INT(call(&again), RC_OK);
	t->connection_id = "con_a";
	post_hash(t, "https://a.example/", NULL);
	CHECK_INT(call(&again), RC_OK);
	t->target_id = "board";
	post_hash(t, NULL, NULL);
	CHECK_INT(call(&again), RC_OK);
	t->target_id = NULL;
	post_hash(t, NULL, NULL);
	CHECK_INT(call(&again), RC_CONFLICT);
}

TEST(one_post_may_not_name_the_same_thing_twice)
{
	begin();
	struct call k = {.run = do_create, .p = fresh("now", 0, 2)};

	k.p->targets[1].connection_id = "con_a";
	CHECK_INT(call(&k), RC_CONFLICT);
	CHECK_STR(k.cx.code, "duplicate_content");
	CHECK_STR(k.cx.param, "targets[1]");
}

/* ---- the derived status, line by line ------------------------------------------------------------------------- */

static const struct { const char *states[3]; int claimed, scheduled; const char *status; } rule[] = {
	{{"canceled", "canceled", "canceled"}, 1, 0, "canceled"},
	{{"unconfirmed", "published", "queued"}, 1, 0, "needs_attention"},
	{{"blocked", "published", "failed"}, 1, 0, "needs_attention"},
	{{"awaiting_user", "processing", "canceled"}, 1, 0, "needs_attention"},
	{{"queued", "queued", "queued"}, 0, 1, "scheduled"},
	{{"queued", "queued", "canceled"}, 0, 1, "scheduled"},
	{{"queued", "queued", "queued"}, 1, 1, "publishing"},
	{{"queued", "queued", "queued"}, 0, 0, "publishing"},
	{{"pending", "published", "published"}, 1, 0, "publishing"},
	{{"processing", "failed", "published"}, 1, 0, "publishing"},
	{{"committing", "failed", "published"}, 1, 0, "publishing"},
	{{"awaiting_platform", "failed", "published"}, 1, 0, "publishing"},
	{{"published", "published", "published"}, 1, 0, "published"},
	{{"published", "canceled", "canceled"}, 1, 0, "published"},
	{{"published", "failed", "skipped"}, 1, 0, "partially_published"},
	{{"published", "skipped", "canceled"}, 1, 0, "partially_published"},
	{{"failed", "skipped", "canceled"}, 1, 0, "failed"},
	{{"skipped", "skipped", "canceled"}, 1, 0, "missed"},
};

TEST(every_line_of_the_status_rule)
{
	begin();
	const char *id = create("schedule", now + HOUR, 3);

	for (size_t i = 0; i < sizeof rule / sizeof rule[0]; i++) {
		for (int k = 0; k < 3; k++)
			put(nth(id, k), rule[i].states[k], rule[i].claimed ? now : 0, rule[i].scheduled ? now + HOUR : 0, NULL);
		CHECK_SAY(text_eq(post(id).status, rule[i].status), "%s, %s, %s is %s, not %s", rule[i].states[0], rule[i].states[1],
			  rule[i].states[2], post(id).status, rule[i].status);
	}
}

TEST(a_change_of_status_is_told_once)
{
	begin();
	const char *id = create("now", 0, 2);

	put(nth(id, 0), "published", now, 0, NULL);
	CHECK_INT(events("post.published", id), 0);
	put(nth(id, 1), "published", now, 0, NULL);
	put(nth(id, 1), "published", now, 0, NULL);
	CHECK_INT(events("post.published", id), 1);
}

/* ---- cancel ---------------------------------------------------------------------------------------------------- */

static const struct { const char *state; bool may; } cancels[] = {
	{"pending", true}, {"queued", true}, {"processing", true}, {"committing", false}, {"awaiting_platform", false},
	{"awaiting_user", false}, {"blocked", true}, {"unconfirmed", false}, {"published", false}, {"failed", false},
	{"canceled", false}, {"skipped", false},
};

TEST(cancel_reaches_each_state_as_the_table_says)
{
	begin();
	for (size_t i = 0; i < sizeof cancels / sizeof cancels[0]; i++) {
		struct call k = {.run = do_cancel, .id = create("now", 0, 1)};
		const char *id = nth(k.id, 0);
		int64_t claim = delivery(id).claim;

		put(id, cancels[i].state, now, 0, NULL);
		CHECK_SAY((call(&k) == RC_OK) == cancels[i].may, "%s: %s", cancels[i].state, k.cx.words);
		CHECK_INT(delivery(id).claim, claim + cancels[i].may);
		if (!cancels[i].may)
			CHECK_STR(k.cx.code, "post_not_cancelable");
		else
			CHECK_STR(post(k.id).status, "canceled");
	}
}

TEST(cancel_tells_each_delivery_what_became_of_it)
{
	begin();
	struct call k = {.run = do_cancel, .id = create("now", 0, 3)};

	put(nth(k.id, 0), "committing", now, 0, NULL);
	put(nth(k.id, 1), "published", now, 0, NULL);
	CHECK_INT(call(&k), RC_OK);
	CHECK_INT(k.act.count, 3);
	CHECK_INT(k.act.done, 1);
	CHECK(!k.act.list[0].done && !k.act.list[1].done && k.act.list[2].done);
	CHECK_STR(k.act.list[0].status, "committing");
	CHECK_STR(k.act.list[2].status, "canceled");
	CHECK_STR(post(k.id).status, "publishing");
}

TEST(a_canceled_draft_is_canceled)
{
	begin();
	struct call k = {.run = do_cancel, .id = create("draft", 0, 2)};

	CHECK_INT(call(&k), RC_OK);
	CHECK_STR(post(k.id).status, "canceled");
	CHECK_INT(events("post.canceled", k.id), 1);
}

static enum rc claim_old(struct cx *cx, struct db_conn *c, void *arg)
{
	struct delivery *d = arg;

	(void)cx;
	d->reason = delivery_claim(c, d, 1, now, 0) > 0 ? "claimed" : "fenced";
	return db_rc(c) == RC_OK ? RC_OK : db_fail(cx, c);
}

static bool claims(struct delivery *d)
{
	struct cx cx;

	cx_init(&cx, "test");
	CHECK_INT(db_write(&cx, store.db, claim_old, d), RC_OK);
	return text_eq(d->reason, "claimed");
}

static enum rc commit_old(struct cx *cx, struct db_conn *c, void *arg)
{
	struct delivery *d = arg;
	struct delivery_move m = {.id = d->id, .owner = &d->owner, .from = DELIVERY_PROCESSING, .to = DELIVERY_COMMITTING, .fence = true,
		.epoch = 1, .claim = d->claim + 1};

	d->reason = delivery_move(c, &m, now) > 0 ? "sent" : "fenced";
	return db_rc(c) == RC_OK ? RC_OK : db_fail(cx, c);
}

TEST(a_cancel_fences_off_the_claim_that_was_made_before)
{
	begin();
	struct call k = {.run = do_cancel, .id = create("now", 0, 1)};
	struct delivery d = delivery(nth(k.id, 0)), stale = d;
	struct cx cx;

	CHECK(claims(&d));
	CHECK_INT(call(&k), RC_OK);
	CHECK_INT(delivery(stale.id).state, DELIVERY_CANCELED);
	cx_init(&cx, "test");
	CHECK_INT(db_write(&cx, store.db, commit_old, &stale), RC_OK);
	CHECK_STR(stale.reason, "fenced");
}

/* ---- edit ------------------------------------------------------------------------------------------------------ */

static struct call edit_of(const char *id, int64_t scheduled_at, int targets)
{
	struct post_new *p = fresh(scheduled_at ? "schedule" : "now", scheduled_at, targets);

	snprintf(p->id, ID_MAX, "%s", id);
	return (struct call){.run = do_edit, .p = p, .version = post(id).content_version};
}

TEST(an_edit_moves_the_one_due_row)
{
	begin();
	const char *id = create("schedule", now + HOUR, 2);
	struct delivery before = delivery(nth(id, 1));
	struct call k = edit_of(id, now + 3 * HOUR, 2);

	k.p->targets[1].target_id = "board";
	CHECK_SAY(call(&k) == RC_OK, "%s", k.cx.words);
	struct delivery after = delivery(before.id);
	CHECK_INT(after.due_at, now + 3 * HOUR);
	CHECK_INT(after.scheduled_at, now + 3 * HOUR);
	CHECK_INT(after.late_after, now + 3 * HOUR + POST_MAX_LATE_MS);
	CHECK_INT(after.content_version, before.content_version + 1);
	CHECK_INT(after.claim, before.claim + 1);
	CHECK_STR(after.text, k.p->text);
	CHECK_STR(after.target_id, "board");
	CHECK_INT(post(id).content_version, 2);
	CHECK_INT(post(id).scheduled_at, now + 3 * HOUR);
	CHECK_INT(events("post.updated", id), 1);
}

TEST(a_claim_of_the_old_content_never_fires)
{
	begin();
	const char *id = create("now", 0, 1);
	struct delivery stale = delivery(nth(id, 0)), fresh_row;
	struct call k = edit_of(id, 0, 1);

	CHECK_SAY(call(&k) == RC_OK, "%s", k.cx.words);
	CHECK(!claims(&stale));
	fresh_row = delivery(stale.id);
	CHECK(claims(&fresh_row));
}

TEST(nothing_is_edited_once_one_delivery_was_claimed)
{
	begin();
	const char *id = create("now", 0, 2);
	struct delivery d = delivery(nth(id, 1));
	struct call k = edit_of(id, 0, 2);

	CHECK(claims(&d));
	CHECK_INT(call(&k), RC_CONFLICT);
	CHECK_STR(k.cx.code, "post_not_editable");
	CHECK_INT(delivery(nth(id, 0)).content_version, 1);
	put(d.id, "queued", now, 0, "backoff");
	CHECK_INT(call(&k), RC_CONFLICT);
	put(d.id, "published", 0, 0, NULL);
	CHECK_INT(call(&k), RC_CONFLICT);
}

TEST(an_edit_of_an_older_version_is_stale)
{
	begin();
	const char *id = create("schedule", now + HOUR, 1);
	struct call a = edit_of(id, now + HOUR, 1), b = edit_of(id, now + 2 * HOUR, 1);

	CHECK_INT(call(&a), RC_OK);
	CHECK_INT(call(&b), RC_STALE);
	CHECK_INT(delivery(nth(id, 0)).due_at, now + HOUR);
}

TEST(an_edit_may_not_become_a_duplicate)
{
	begin();
	const char *first = create("schedule", now + HOUR, 1), *second = create("schedule", now + HOUR, 1);
	struct call k = edit_of(second, now + HOUR, 1), same = edit_of(second, now + 2 * HOUR, 1);

	k.p->targets[0].text = delivery(nth(first, 0)).text;
	post_hash(&k.p->targets[0], NULL, NULL);
	CHECK_INT(call(&k), RC_CONFLICT);
	CHECK_STR(k.cx.code, "duplicate_content");
	same.p->targets[0].text = delivery(nth(second, 0)).text;
	post_hash(&same.p->targets[0], NULL, NULL);
	CHECK_INT(call(&same), RC_OK);
}

TEST(a_draft_is_edited_scheduled_and_published)
{
	begin();
	const char *id = create("draft", 0, 1);
	struct call k = edit_of(id, 0, 1), schedule, now_call = {.run = do_publish, .id = id};

	k.p->mode = "draft";
	CHECK_INT(call(&k), RC_OK);
	CHECK_STR(post(id).status, "draft");
	CHECK_INT(delivery(nth(id, 0)).due_at, 0);
	schedule = edit_of(id, now + HOUR, 1);
	CHECK_INT(call(&schedule), RC_OK);
	CHECK_STR(post(id).status, "scheduled");
	CHECK_INT(delivery(nth(id, 0)).due_at, now + HOUR);
	now += HOUR / 2;
	CHECK_INT(call(&now_call), RC_OK);
	CHECK_STR(post(id).status, "publishing");
	CHECK_INT(delivery(nth(id, 0)).due_at, now);
	CHECK_INT(delivery(nth(id, 0)).scheduled_at, 0);
	CHECK_INT(delivery(nth(id, 0)).late_after, now + POST_MAX_LATE_MS);
	CHECK_INT(call(&now_call), RC_CONFLICT);
	CHECK_STR(now_call.cx.code, "post_not_editable");
}

TEST(publish_now_releases_what_was_held_as_missed)
{
	begin();
	const char *id = create("schedule", now + HOUR, 2);
	struct call k = {.run = do_publish, .id = id};

	put(nth(id, 0), "blocked", now, now - HOUR, "missed");
	put(nth(id, 1), "blocked", now, now - HOUR, "reauth");
	CHECK_INT(call(&k), RC_OK);
	CHECK_INT(delivery(nth(id, 0)).state, DELIVERY_QUEUED);
	CHECK_INT(delivery(nth(id, 1)).state, DELIVERY_BLOCKED);
}

/* ---- retry, resolve, reconcile, unpublish ---------------------------------------------------------------------- */

static enum rc add_operation(struct cx *cx, struct db_conn *c, void *arg)
{
	char id[ID_MAX];
	struct operation o = {.owner = owner, .kind = "publish", .platform = "sandbox", .provider = "sandbox", .delivery_id = arg};

	operation_start(c, &o, id, HOUR, now);
	return db_rc(c) == RC_OK ? RC_OK : db_fail(cx, c);
}

static int operations(const char *delivery_id)
{
	struct db_conn *c = db_take(store.db);
	int n = (int)db_number(c, -1, "SELECT COUNT(*) FROM operation WHERE delivery_id = ?1", "s", delivery_id);

	db_give(c);
	return n;
}

TEST(a_retry_begins_a_new_round_without_the_old_machine)
{
	begin();
	const char *id = create("now", 0, 2), *failed = nth(id, 0);
	struct call k = {.run = do_retry, .id = id};
	struct cx cx;

	cx_init(&cx, "test");
	CHECK_INT(db_write(&cx, store.db, add_operation, (void *)(uintptr_t)failed), RC_OK);
	put(failed, "failed", now, 0, NULL);
	put(nth(id, 1), "unconfirmed", now, 0, NULL);
	CHECK_INT(call(&k), RC_OK);
	CHECK_INT(k.act.done, 1);
	CHECK_INT(delivery(failed).state, DELIVERY_QUEUED);
	CHECK_INT(delivery(failed).round, 2);
	CHECK_INT(delivery(failed).due_at, now);
	CHECK_INT(operations(failed), 0);
	CHECK_INT(delivery(nth(id, 1)).state, DELIVERY_UNCONFIRMED);
	CHECK_INT(call(&k), RC_CONFLICT);
	CHECK_STR(k.cx.code, "nothing_to_retry");
}

TEST(a_retry_of_named_deliveries_touches_no_other)
{
	begin();
	const char *id = create("now", 0, 2), *ids[] = {nth(id, 1)}, *stranger[] = {"dlv_x"};
	struct call k = {.run = do_retry, .id = id, .act = {.delivery_ids = ids, .id_count = 1}};

	put(nth(id, 0), "failed", now, 0, NULL);
	put(nth(id, 1), "failed", now, 0, NULL);
	CHECK_INT(call(&k), RC_OK);
	CHECK_INT(delivery(nth(id, 0)).state, DELIVERY_FAILED);
	CHECK_INT(delivery(nth(id, 1)).state, DELIVERY_QUEUED);
	k.act.delivery_ids = stranger;
	CHECK_INT(call(&k), RC_NOT_FOUND);
	CHECK_STR(k.cx.code, "delivery_not_found");
}

TEST(a_person_decides_what_is_unconfirmed)
{
	begin();
	const char *id = create("now", 0, 2);
	struct call yes = {.run = do_resolve, .id = nth(id, 0), .verdict = {true, "r1", "https://p.example/r1"}};
	struct call no = {.run = do_resolve, .id = nth(id, 1)};

	CHECK_INT(call(&yes), RC_CONFLICT);
	CHECK_STR(yes.cx.code, "delivery_not_unconfirmed");
	put(yes.id, "unconfirmed", now, 0, NULL);
	put(no.id, "unconfirmed", now, 0, NULL);
	CHECK_INT(call(&yes), RC_OK);
	CHECK_INT(call(&no), RC_OK);
	CHECK_STR(delivery(yes.id).remote_id, "r1");
	CHECK_INT(delivery(yes.id).state, DELIVERY_PUBLISHED);
	CHECK_INT(delivery(no.id).state, DELIVERY_FAILED);
	CHECK_STR(delivery(no.id).reason, "resolved_absent");
	CHECK_STR(post(id).status, "partially_published");
	CHECK_INT(call(&no), RC_CONFLICT);
}

TEST(reconcile_makes_the_next_look_due)
{
	begin();
	struct call k = {.run = do_reconcile, .id = nth(create("now", 0, 1), 0)};

	CHECK_INT(call(&k), RC_CONFLICT);
	put(k.id, "unconfirmed", now, 0, NULL);
	now += HOUR;
	CHECK_INT(call(&k), RC_OK);
	CHECK_INT(delivery(k.id).due_at, now);
	CHECK_INT(delivery(k.id).state, DELIVERY_UNCONFIRMED);
}

TEST(unpublish_starts_one_operation)
{
	begin();
	struct call k = {.run = do_unpublish, .id = nth(create("now", 0, 1), 0)};
	struct call seen = {.run = do_resolve, .id = k.id, .verdict = {true, "r2", NULL}};
	char first[ID_MAX];

	CHECK_INT(call(&k), RC_CONFLICT);
	put(k.id, "unconfirmed", now, 0, NULL);
	CHECK_INT(call(&seen), RC_OK);
	CHECK_SAY(call(&k) == RC_OK, "%s", k.cx.words);
	memcpy(first, k.operation_id, ID_MAX);
	CHECK_INT(call(&k), RC_OK);
	CHECK_STR(k.operation_id, first);
	put(k.id, "published", now, 0, "unpublished");
	CHECK_INT(call(&k), RC_CONFLICT);
}

/* ---- a failure that stops the rest, children ------------------------------------------------------------------- */

struct fail_call { const char *id; int64_t moved; };

static enum rc fail_run(struct cx *cx, struct db_conn *c, void *arg)
{
	struct fail_call *f = arg;
	struct delivery d = {0};
	struct delivery_move m;

	delivery_load(c, f->id, owner.organization_id, &arena, &d);
	m = (struct delivery_move){.id = d.id, .owner = &d.owner, .from = DELIVERY_PROCESSING, .to = DELIVERY_FAILED, .reason = "rejected"};
	f->moved = delivery_move(c, &m, now);
	return db_rc(c) == RC_OK ? RC_OK : db_fail(cx, c);
}

TEST(stop_on_first_failure_skips_what_has_not_begun)
{
	begin();
	for (int stop = 0; stop < 2; stop++) {
		struct call k = {.run = do_create, .p = fresh("now", 0, 3)};
		struct fail_call f;
		struct cx cx;

		k.p->stop_on_failure = stop;
		CHECK_INT(call(&k), RC_OK);
		f.id = nth(k.p->id, 0);
		put(f.id, "processing", now, 0, NULL);
		put(nth(k.p->id, 1), "processing", now, 0, NULL);
		cx_init(&cx, "test");
		CHECK_INT(db_write(&cx, store.db, fail_run, &f), RC_OK);
		CHECK_INT(f.moved, 1);
		CHECK_INT(delivery(nth(k.p->id, 1)).state, DELIVERY_PROCESSING);
		CHECK_INT(delivery(nth(k.p->id, 2)).state, stop ? DELIVERY_SKIPPED : DELIVERY_QUEUED);
	}
}

/* ---- nobody else's ------------------------------------------------------------------------------------------------ */

TEST(other_owners_find_nothing)
{
	begin();
	const char *id = create("schedule", now + HOUR, 1);
	const struct owner others[] = {{"org_other", org.app_id, 1}, {org.id, "app_other", 1}, {org.id, org.app_id, 0}};
	enum rc (*const acts[])(struct call *, struct cx *, struct db_conn *) = {do_publish, do_cancel, do_retry};
	enum rc (*const delivery_acts[])(struct call *, struct cx *, struct db_conn *) = {do_resolve, do_reconcile, do_unpublish};

	for (size_t o = 0; o < 3; o++)
		for (size_t i = 0; i < 3; i++) {
			struct call k = {.run = acts[i], .id = id, .owner = others[o]};
			struct call d = {.run = delivery_acts[i], .id = nth(id, 0), .owner = others[o]};

			CHECK_INT(call(&k), RC_NOT_FOUND);
			CHECK_STR(k.cx.code, "post_not_found");
			CHECK_INT(call(&d), RC_NOT_FOUND);
			CHECK_STR(d.cx.code, "delivery_not_found");
		}
	CHECK_STR(post(id).status, "scheduled");
}
