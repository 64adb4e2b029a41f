/*
 * What becomes of an operation: every verb, class of failure and loss in every situation that is told apart, one row each.
 *
 * The oracle is delivery.md as the table states it, read from left to right: so it stands, this happens, so it goes on.
 */
#include "tests/unit/op_bench.h"

enum {
	ACCEPTED = 1, RESENT = 2, GRANT = 4, REFRESHABLE = 8, TRIED = 16, DENIED_LONG_AGO = 32, ID = 64, UNREADABLE = 128, NO_PLATFORM = 256,
	STOPPING = 512, WAS_SENT = 1024, OLD_KEY = 2048, INTENT = 4096, LATE = 8192, NOT_LOOKING = 16384, STALE = 32768, ANSWERED = 65536,
	DENIED_NOW = 131072, EMPTY_ID = 1 << 18, SAME_PHASE = 1 << 19,
};

struct row {
	const char *name;
	enum delivery_state state;
	const char *type;		/* of the account: what finds a post again */
	unsigned flags;
	enum repeat repeat;
	const char *verb, *class, *phase;
	int64_t seconds;
	const char *wanted;
};
#define Q DELIVERY_QUEUED
#define P DELIVERY_PROCESSING
#define C DELIVERY_COMMITTING
#define U DELIVERY_UNCONFIRMED
#define AP DELIVERY_AWAITING_PLATFORM
#define AU DELIVERY_AWAITING_USER

static const struct row rows[] = {
#include "tests/unit/op_outcome_rows.h"
};

static void prepare(struct op *op, const struct row *r)
{
	op->accepted = r->flags & ACCEPTED;
	op->row.resent = r->flags & RESENT ? 1 : 0;
	op->has_grant = r->flags & (GRANT | REFRESHABLE);
	op->grant.id = "grt_1";
	op->grant.refreshable = r->flags & REFRESHABLE ? 1 : 0;
	op->auth_tried = r->flags & TRIED;
	op->grant.denied_at = r->flags & DENIED_LONG_AGO ? bench.now - 3600000 : r->flags & DENIED_NOW ? bench.now - 1000 : 0;
	op->remote_id = r->flags & ID ? "remote_1" : r->flags & EMPTY_ID ? "" : NULL;
	op->unreadable = r->flags & UNREADABLE;
	op->method = r->flags & WAS_SENT ? "POST" : NULL;
	op->answered = r->flags & ANSWERED;
	op->row.key_at = op->row.key_boot_at = r->flags & OLD_KEY ? bench.now - 7200000 : 0;
	op->d.late_after = r->flags & LATE ? bench.now - 1 : 0;
	op->d.unconfirmed_at = bench.now - 3600000;
	op->repeat = r->repeat;
	op->intent_boot = bench.now - (r->flags & STALE ? 100000 : 0);
	bench.e->stopping = r->flags & STOPPING;
	if (r->flags & SAME_PHASE) {
		op->row.phase = r->phase;
		op->row.event = "timer";
	}
	if (r->flags & INTENT)
		rec_text(&op->intent, REC_METHOD, "POST", "keyed");
	if (r->flags & NOT_LOOKING)
		op->looking = false;
	if (r->flags & NO_PLATFORM) {
		platform_give(op->platform);
		op->platform = NULL;
	}
}

static void act(struct op *op, const struct row *r)
{
	struct action a = {.verb = r->verb, .class = r->class ? r->class : "unknown", .phase = r->phase, .seconds = r->seconds,
		.repeat = r->repeat, .reason = "some_reason", .message = "words", .platform_code = ""};

	if (text_eq(r->verb, "lost!"))
		outcome_lost(op, "words");
	else if (text_eq(r->verb, "unsent!"))
		outcome_unsent(op, "words");
	else if (text_eq(r->verb, "refused!"))
		outcome_refused(op, "platform_not_configured", "words");
	else if (text_eq(r->verb, "parked!"))
		op_park(op, "provider", "words");
	else if (text_eq(r->verb, "recovered!"))
		outcome_recover(op);
	else if (text_eq(r->verb, "resumed!"))
		outcome_resume(op);
	else if (text_eq(r->verb, "renewed!") || text_eq(r->verb, "not renewed!")) {
		op->blocked = r->class;
		op_refreshed(op, r->verb[0] == 'r');
	} else if (text_eq(r->verb, "timer!") || text_eq(r->verb, "timer again!")) {
		op->again = strstr(r->verb, "again") != NULL;
		op_timer(op);
	} else if (text_eq(r->verb, "blocked!"))
		outcome_block(op, r->class);
	else if (text_eq(r->verb, "missed!"))
		outcome_missed(op, r->class);
	else
		outcome_action(op, &a);
}

TEST(every_situation_goes_on_as_the_table_says)
{
	int wrong = 0;

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct op *op = bench_op(rows[i].state, rows[i].type);

		rec_text(&op->action, REC_METHOD, "GET", "safe");
		rec_text(&op->action, REC_URL, "", "https://api.net.example/x");
		prepare(op, &rows[i]);
		act(op, &rows[i]);
		if (strcmp(told(op), rows[i].wanted) != 0) {
			printf("# %s: \"%s\", not \"%s\"\n", rows[i].name, told(op), rows[i].wanted);
			wrong++;
		}
		bench.e->stopping = false;
		bench_drop(op);
	}
	CHECK_INT(wrong, 0);
}

/* ---- what takes more than one look to tell ------------------------------------------------------------------- */

static void is_told(struct op *op, const char *wanted)
{
	CHECK_STR(told(op), wanted);
	bench_drop(op);
}

static struct op *looking_since(const char *type, int64_t ms, int absents, int looks)
{
	struct op *op = bench_op(U, type);

	op->d.unconfirmed_at = bench.now - ms;
	op->d.absents = absents;
	op->d.looks = looks;
	rec_text(&op->saved, REC_STATE, "kept", "of the attempt before");
	buf_adds(&op->headers, "date: Fri, 15 Jan 2027 08:00:00 GMT\n");	/* the bench's own time */
	return op;
}

static void look(struct op *op, const char *verb)
{
	struct action a = {.verb = verb, .class = "unknown", .reason = "", .message = "", .platform_code = ""};

	outcome_action(op, &a);
}

TEST(two_looks_after_the_settle_time_prove_absence)
{
	struct op *op = looking_since("search", 3600000, 1, 1);

	look(op, "absent");
	CHECK_INT(op->row.key_number, 2);
	CHECK_INT(op->saved.len, 0);
	is_told(op, "queued proven_absent +0 s anew");

	op = looking_since("search", 10000, 1, 1);		/* what it sent may still take effect */
	look(op, "absent");
	is_told(op, "unconfirmed +360 s");
	op = looking_since("search", 3600000, 1, 1);
	look(op, "unknown");
	CHECK_INT(op->change.to.absents, 0);
	is_told(op, "unconfirmed +360 s");
	op = looking_since("search", 3600000, 1, 1);		/* four keys are enough: a person decides */
	op->row.key_number = 4;
	look(op, "absent");
	is_told(op, "unconfirmed +360 s");
}

TEST(a_clock_that_disagrees_proves_nothing_but_for_a_handle)
{
	static const char *const dates[] = {"date: Fri, 15 Jan 2027 08:06:00 GMT\n", "date: Fri, 15 Jan 2027 07:54:00 GMT\n", ""};
	struct op *op;

	for (size_t i = 0; i < sizeof dates / sizeof *dates; i++) {
		op = looking_since("search", 3600000, 1, 1);
		buf_reset(&op->headers);
		buf_adds(&op->headers, dates[i]);
		look(op, "absent");
		is_told(op, "unconfirmed +360 s");
	}
	op = looking_since("handle", 3600000, 1, 1);
	buf_reset(&op->headers);
	look(op, "absent");
	is_told(op, "queued proven_absent +0 s anew");
}

TEST(looks_become_rare_but_not_without_end)
{
	struct op *op = looking_since("search", 3600000, 0, 30);

	look(op, "unknown");
	is_told(op, "unconfirmed +21600 s");
	op = looking_since("search", 3600000, 0, 0);
	op->polls = 40;
	outcome_action(op, &(struct action){.verb = "wait", .phase = "next", .seconds = 5, .class = "", .reason = "", .message = ""});
	CHECK_INT(op->wake_at, bench.now + 300000);
	is_told(op, "waits");
}

/* Where only words tell posts apart, what a look finds may be another delivery's. */
TEST(what_another_delivery_has_is_not_found_again)
{
	struct op *op = looking_since("search", 3600000, 0, 1), *other = bench_op(C, "search");

	op->remote_id = "remote_9";
	look(op, "found");
	CHECK_STR(told(op), "unconfirmed +360 s");
	bench.e->batch_count = 0;
	other->d.text = "other words";		/* not told apart from ours by its words: ours is ours */
	look(op, "found");
	CHECK_STR(told(op), "published");
	bench.e->batch_count = 0;
	other->d.text = "words";
	other->d.connection_id = "con_2";
	look(op, "found");
	CHECK_STR(told(op), "published");
	bench.e->batch_count = 0;
	other->d.connection_id = "con_1";
	other->looking = true;			/* it may be the one that is looked for by both */
	look(op, "found");
	CHECK_STR(told(op), "published");
	bench.e->batch_count = 0;
	other->looking = false;
	other->state = P;
	look(op, "found");
	CHECK_STR(told(op), "published");
	bench.e->batch_count = 0;
	other->publish = false;
	look(op, "found");
	CHECK_STR(told(op), "published");
	bench_drop(other);
	bench.e->batch_count = 0;
	bench_drop(op);
}

TEST(tries_end)
{
	struct action a = {.verb = "fail", .class = "transient", .reason = "", .message = "words", .platform_code = "busy", .retry_after = 100};
	struct op *op = bench_op(P, "keyed");

	op->d.retries = 11;
	outcome_action(op, &a);		/* the platform's own time is heeded where it is longer than ours */
	CHECK_SAY(strstr(op->change.to.error, "\"platformCode\":\"busy\"") != NULL, "%s", op->change.to.error);
	is_told(op, "queued +900 s: platform_unavailable");
	op = bench_op(P, "keyed");
	op->d.retries = 12;
	outcome_action(op, &a);
	is_told(op, "failed gave_up: platform_unavailable");
	op = bench_op(P, "keyed");
	outcome_action(op, &a);
	is_told(op, "queued +100 s: platform_unavailable");
	op = bench_op(C, "keyed");
	op->repeat = REPEAT_KEYED;
	op->resends = 3;
	outcome_lost(op, "words");
	is_told(op, "unconfirmed outcome_unknown +60 s: platform_unavailable");
	op = bench_op(AP, "handle");
	op->accepted = true;
	a.retry_after = 7;
	outcome_action(op, &a);
	is_told(op, "awaiting_platform +7 s");
	op = bench_op(P, "keyed");
	a.class = "limit";
	op->status = 429;
	outcome_action(op, &a);
	CHECK_SAY(strstr(op->change.to.error, "\"httpStatus\":429") != NULL, "%s", op->change.to.error);
	is_told(op, "queued +7 s: platform_rate_limited");
	op = bench_op(P, "keyed");
	a.class = "rejected";
	outcome_action(op, &a);
	CHECK_SAY(strstr(op->change.to.error, "\"platformCode\":\"busy\"") != NULL, "%s", op->change.to.error);
	is_told(op, "failed rejected: platform_rejected");
}

TEST(what_failed_after_the_post_was_there_is_a_warning)
{
	struct action a = {.verb = "fail", .class = "rejected", .reason = "comment_failed", .message = "", .platform_code = ""};
	struct op *op = bench_op(C, "keyed");

	op->remote_id = "remote_1";
	outcome_action(op, &a);
	CHECK_SAY(strstr(op->change.to.warnings, "comment_failed") && strstr(op->change.to.warnings, "the post is there"), "%s",
		  op->change.to.warnings);
	is_told(op, "published");
}

/* Held by its own wish where it was missed, and only then. */
TEST(missed_posts)
{
	struct op *op = bench_op(Q, "keyed");

	op->d.on_missed = "hold";
	outcome_missed(op, "missed");
	is_told(op, "blocked missed");
	op = bench_op(Q, "keyed");
	op->d.on_missed = "hold";
	outcome_missed(op, "late");
	is_told(op, "skipped late");
	op = bench_op(Q, "keyed");
	outcome_later(op, 3000);
	is_told(op, "queued rate_limited +3 s");
}

TEST(a_key_in_its_window)
{
	struct op *op = bench_op(C, "keyed");

	CHECK(key_alive(op, 0));		/* not used yet */
	op->row.key_at = op->row.key_boot_at = bench.now;
	CHECK(key_alive(op, 3600000 - 60000 - 30000 - 1));
	CHECK(!key_alive(op, 3600000 - 60000 - 30000));
	op->account_type = "atomic";			/* no window */
	CHECK(key_alive(op, 1000 * 3600000ll));
	op->account_type = "search";
	CHECK(!key_alive(op, 0));
	op->account_type = "keyed";
	for (int i = 0; i < 4; i++) {			/* a clock was set: nobody knows how old it is */
		op->row.key_at = bench.now + (i == 0 ? 1 : i == 1 ? 0 : -1000);
		op->row.key_boot_at = bench.now + (i == 1 ? 1 : i == 2 ? -302000 : 0);
		CHECK_INT(key_alive(op, 0), i == 3);
	}
	op->row.key_at = bench.now - 302000;
	CHECK(!key_alive(op, 0));
	op->repeat = REPEAT_KEYED;
	op->row.resent = 1;
	op->row.key_at = op->row.key_boot_at = bench.now - 1000;
	CHECK(op_fresh_enough(op));
	op->row.key_at = op->row.key_boot_at = bench.now - 3600000;
	CHECK(!op_fresh_enough(op));
	op->row.resent = 0;				/* the first use is free of it */
	CHECK(op_fresh_enough(op));
	op->intent_boot = bench.now - 30000;
	CHECK(!op_fresh_enough(op));
	op->repeat = REPEAT_SAFE;
	CHECK(op_fresh_enough(op));
	op->repeat = REPEAT_ONCE;
	op->intent_boot = bench.now;
	CHECK(op_fresh_enough(op));
	bench_drop(op);
}

/* ---- operations that publish nothing --------------------------------------------------------------------------- */

static struct op *other_op(const char *kind)
{
	struct op *op = bench_op(Q, NULL);

	op->publish = false;
	op->claimed = true;
	op->row.kind = kind;
	op->row.delivery_id = NULL;
	return op;
}

TEST(operations_that_publish_nothing)
{
	struct action a = {.verb = "wait", .phase = "next", .seconds = 5, .class = "unknown", .reason = "", .message = "words",
		.platform_code = ""};
	struct op *op = other_op("identify");

	outcome_action(op, &a);
	CHECK_INT(op->row.due_at, bench.now + 5000);
	is_told(op, "running then wait");
	op = other_op("identify");
	a.verb = "wait_user";
	outcome_action(op, &a);
	is_told(op, "failed: platform_rejected");
	op = other_op("identify");
	a.verb = "redirect";
	outcome_action(op, &a);
	is_told(op, "parked: platform_unavailable");
	op = other_op("refresh");
	a.verb = "send";
	a.repeat = REPEAT_ONCE;
	outcome_action(op, &a);
	CHECK(op->change.effect == refresh_lease);
	is_told(op, "running then send");
	op = other_op("exchange");
	outcome_action(op, &a);
	CHECK(op->change.effect == NULL);
	is_told(op, "running then send");
	op = other_op("identify");
	op->unreadable = true;
	outcome_refused(op, "platform_not_configured", "words");
	is_told(op, "failed: tokens_unreadable dead");
	op = other_op("identify");
	outcome_refused(op, "platform_not_configured", "words");
	is_told(op, "failed: platform_not_configured");
	op = other_op("identify");
	outcome_unsent(op, "words");
	is_told(op, "waits to send again");
	op = other_op("exchange");
	op->repeat = REPEAT_ONCE;
	outcome_lost(op, "words");
	is_told(op, "failed: connect_interrupted");
	op = other_op("limits");
	op_park(op, "provider", "words");
	is_told(op, "parked: platform_unavailable");
	op = other_op("revoke");
	op_refreshed(op, false);
	is_told(op, "step start");
	op = other_op("revoke");
	op->method = "POST";
	op_refreshed(op, false);
	is_told(op, "failed: platform_auth_failed");
	op = other_op("edit");
	op->look_again = true;
	op_timer(op);
	is_told(op, "step lost");
}

/* The sandbox settles as its ini says; a publish without a platform has no way to find it again. */
TEST(the_sandbox_settles_as_the_ini_says)
{
	struct op *op = bench_op(C, "handle");
	struct platform copy = *op->platform;
	const struct platform *real = op->platform;

	copy.sandbox = true;
	op->platform = &copy;
	op->repeat = REPEAT_ONCE;
	CHECK_INT(op_dedupe(op).settle_ms, 5000);
	outcome_lost(op, "words");
	op->platform = real;
	is_told(op, "unconfirmed outcome_unknown +5 s: platform_unavailable");
	op = bench_op(C, "handle");
	platform_give(op->platform);
	op->platform = NULL;
	CHECK_INT(op_dedupe(op).class, DEDUPE_NONE);
	bench_drop(op);
}
