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
	op->row.key_at = r->flags & OLD_KEY ? bench.now - 7200000 : 0;
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

	log_set(LOG_ERROR + 1);
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
	log_set(LOG_ERROR);
	CHECK_INT(wrong, 0);
}
