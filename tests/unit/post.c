/*
 * Posts: creating, the derived status line by line, editing against a claim.
 */
#include "tests/unit/post_rows.h"

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
