/*
 * Acts upon posts: cancel in every state, retry, a person's word, removing, other owners.
 */
#include "tests/unit/post_rows.h"

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
