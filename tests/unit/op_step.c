/*
 * Steps: what a provider is told of an operation, and what it may say.
 */
#include "tests/unit/op_bench.h"

static struct op *stepped(const char *kind, enum host_outcome outcome)
{
	struct op *op = bench_op(DELIVERY_PROCESSING, "keyed");

	op->publish = strcmp(kind, "publish") == 0;
	op->row.kind = kind;
	bag_put(&op->secrets, REC_STATE, "sec:7", "SEVEN");
	bag_put(&op->secrets, REC_STATE, "sec:", "odd");
	bag_put(&op->secrets, REC_STATE, "access", "AAA");
	bench.host = outcome;
	return op;
}

static const char *secret_of(const struct op *op, const char *key)
{
	static char out[100];
	size_t n;
	const char *value = bag_find(&op->secrets, key, &n);

	snprintf(out, sizeof out, "%.*s", value ? (int)n : 6, value ? value : "(none)");
	return out;
}

TEST(what_a_step_is_told)
{
	struct op *op = stepped("publish", HOST_ACTION);
	struct rec r;

	buf_adds(&op->headers, "content-type: text/plain\nno colon\nempty:\nx: 1\n");
	for (int i = 0; i < 201; i++)
		buf_addc(&op->headers, 'n');
	buf_adds(&op->headers, ": far too long a name\n");
	op->status = 204;
	op_step(op, "answer");
	CHECK(rec_find(bench.frame.data, bench.frame.len, REC_HEADER, "content-type", &r) && rec_is(&r, "text/plain"));
	CHECK(rec_find(bench.frame.data, bench.frame.len, REC_HEADER, "x", &r) && rec_is(&r, "1"));
	CHECK(rec_find(bench.frame.data, bench.frame.len, REC_HEADER, "empty", &r) && rec_is(&r, ""));
	CHECK(memmem(bench.frame.data, bench.frame.len, "far too long", 12) == NULL);
	CHECK(memmem(bench.frame.data, bench.frame.len, "no colon", 8) == NULL);
	CHECK(rec_find(bench.frame.data, bench.frame.len, REC_STATUS, NULL, &r) && rec_is(&r, "204"));
	CHECK(rec_find(bench.frame.data, bench.frame.len, REC_INPUT, "handle.sec:7", &r));
	CHECK(memmem(bench.frame.data, bench.frame.len, "SEVEN", 5) == NULL && memmem(bench.frame.data, bench.frame.len, "AAA", 3) == NULL);
	CHECK(!rec_find(bench.frame.data, bench.frame.len, REC_INPUT, "looking", &r));
	op->looking = true;
	op_step(op, "timer");
	CHECK(rec_find(bench.frame.data, bench.frame.len, REC_INPUT, "looking", &r));
	CHECK(!rec_find(bench.frame.data, bench.frame.len, REC_STATUS, NULL, &r));
	op->accepted = true;
	op_step(op, "timer");
	CHECK(!rec_find(bench.frame.data, bench.frame.len, REC_INPUT, "looking", &r));
	bench_drop(op);
}

TEST(what_a_step_may_say)
{
	struct op *op = stepped("publish", HOST_ACTION);

	op->state = DELIVERY_COMMITTING;
	op->answered = true;
	rec_text(&bench.answer, REC_STATE, "kept", "1");
	rec_text(&bench.answer, REC_RESULT, "remote_id", "remote_1");
	rec_text(&bench.answer, REC_RESULT, "remote_url", "https://net.example/1");
	rec_text(&bench.answer, REC_RESULT, "scopes", "a b");
	rec_text(&bench.answer, REC_RESULT, "account.host", "me.example");
	rec_text(&bench.answer, REC_WARNING, "one", "first");
	rec_text(&bench.answer, REC_WARNING, "two", "second");
	rec_text(&bench.answer, REC_BODY, "", "no part of an action");
	rec_text(&bench.answer, REC_VERB, "", "done");
	op_step(op, "start");
	CHECK_STR(told(op), "step start, published");
	CHECK_STR(op->tokens.scopes, "a b");
	CHECK_STR(op->tokens.account_host, "me.example");
	CHECK_STR(op->change.to.warnings, "[{\"code\":\"one\",\"message\":\"first\"},{\"code\":\"two\",\"message\":\"second\"}]");
	CHECK(strstr(op->change.to.result, "\"remote_url\":\"https://net.example/1\"") != NULL);
	bench_drop(op);

	op = stepped("publish", HOST_ACTION);
	rec_text(&bench.answer, REC_SECONDS, "retry_after", "9");
	rec_text(&bench.answer, REC_CLASS, "busy", "limit");
	rec_text(&bench.answer, REC_MESSAGE, "E1", "too fast");
	rec_text(&bench.answer, REC_VERB, "", "fail");
	op_step(op, "start");
	CHECK_STR(told(op), "step start, queued +9 s: platform_rate_limited");
	bench_drop(op);
	op = stepped("publish", HOST_ACTION);
	rec_text(&bench.answer, REC_FAULT, "bug", "it says so itself");
	rec_text(&bench.answer, REC_VERB, "", "bug");
	op_step(op, "start");
	CHECK(strstr(op->change.to.error, "it says so itself") != NULL && bench.faults == 1);
	bench_drop(op);
	for (int i = 0; i < 3; i++) {
		op = stepped("publish", HOST_ACTION);
		rec_text(&bench.answer, REC_SECONDS, "", i == 0 ? "x" : i == 1 ? "-4" : "4");
		rec_text(&bench.answer, REC_PHASE, "", "next");
		rec_text(&bench.answer, REC_VERB, "", "wait");
		op_step(op, "start");
		CHECK_INT(op->wake_at, bench.now + (i == 2 ? 4000 : 1000));
		bench_drop(op);
	}
	for (int i = 0; i < 3; i++) {
		static const char *const repeats[] = {"safe", "keyed", "once"};

		op = stepped("publish", HOST_ACTION);
		rec_text(&bench.answer, REC_PHASE, "", "next");
		rec_text(&bench.answer, REC_METHOD, "POST", repeats[i]);
		rec_text(&bench.answer, REC_URL, "", "https://api.net.example/x");
		rec_text(&bench.answer, REC_VERB, "", "send");
		op_step(op, "start");
		CHECK_STR(told(op), i == 0 ? "step start, send POST" : "step start, committing then send");
		CHECK_INT(op->repeat, i);
		bench_drop(op);
	}
}

/* A post has an id only after a request that could create one was answered, or when it was looked for. */
TEST(ids_that_come_too_early)
{
	static const struct { enum delivery_state state; bool answered, accepted, early; } rows[] = {
		{DELIVERY_PROCESSING, false, false, true}, {DELIVERY_PROCESSING, true, false, true}, {DELIVERY_COMMITTING, false, false, true},
		{DELIVERY_COMMITTING, true, false, false}, {DELIVERY_COMMITTING, false, true, false}, {DELIVERY_UNCONFIRMED, false, false, false},
		{DELIVERY_AWAITING_PLATFORM, false, false, false}, {DELIVERY_AWAITING_USER, false, false, false},
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct op *op = stepped("publish", HOST_ACTION);

		op->state = rows[i].state;
		op->looking = op->state == DELIVERY_UNCONFIRMED;
		op->answered = rows[i].answered;
		op->accepted = rows[i].accepted;
		rec_text(&bench.answer, REC_RESULT, "remote_id", "remote_1");
		rec_text(&bench.answer, REC_VERB, "", "done");
		op_step(op, "start");
		CHECK_SAY((op->remote_id == NULL) == rows[i].early && bench.faults == rows[i].early, "row %zu: %s", i, told(op));
		bench_drop(op);
	}
}

/* They become links on pages. */
TEST(addresses_among_the_results)
{
	static char longer[9000] = "https://net.example/";
	static const struct { const char *value; bool good; } rows[] = {
		{"https://net.example/1", true}, {"http://net.example/1", true}, {"", true}, {"javascript:alert(1)", false}, {"//net.example", false},
		{"https://net.example/\"x", false}, {"https://net.example/ x", false}, {"https://net.example/\n", false},
		{"https://net.example/\x01", false}, {longer, false},
	};

	memset(longer + strlen(longer), 'x', sizeof longer - strlen(longer) - 1);
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct op *op = stepped("publish", HOST_ACTION);

		op->state = DELIVERY_COMMITTING;
		op->answered = true;
		rec_text(&bench.answer, REC_RESULT, "remote_id", "remote_1");
		rec_text(&bench.answer, REC_RESULT, "remote_url", rows[i].value);
		rec_text(&bench.answer, REC_RESULT, "url", "javascript:no link");
		rec_text(&bench.answer, REC_VERB, "", "done");
		op_step(op, "start");
		CHECK_SAY((op->change.to.warnings == NULL) == rows[i].good && bench.faults == !rows[i].good, "row %zu: %s", i, told(op));
		CHECK((op->remote_url != NULL) == rows[i].good);
		CHECK_STR(told(op), "step start, published");
		bench_drop(op);
	}
}

TEST(hosts_that_do_not_answer)
{
	struct op *op = stepped("publish", HOST_PARKED);

	op_step(op, "start");
	CHECK_STR(told(op), "step start, blocked provider: platform_unavailable");
	bench_drop(op);
	op = stepped("publish", HOST_PAUSED);
	op_step(op, "start");
	CHECK_STR(told(op), "step start, blocked platform_paused: platform_unavailable");
	bench_drop(op);
}

TEST(tokens_that_a_step_stores)
{
	static const struct { const char *kind, *name, *value, *key, *wanted; int64_t expires_s; bool refreshable; } rows[] = {
		{"exchange", "access", "sec:7", "access", "SEVEN", 0, false}, {"exchange", "access", "sec:7 60", "access", "SEVEN", 60, false},
		{"exchange", "access", "sec:7 0", "access", "SEVEN", 0, false}, {"exchange", "access", "sec:7 x", "access", "SEVEN", 0, false},
		{"exchange", "refresh", "sec:7", "refresh", "SEVEN", 0, true}, {"exchange", "client.id", "sec:7", "client.id", "(none)", 0, false},
		{"exchange", "access", "sec:8", "access", "AAA", 0, false}, {"register", "client.id", "sec:7", "client.id", "SEVEN", 0, false},
		{"register", "client.secret", "sec:7", "client.secret", "SEVEN", 0, false}, {"register", "access", "sec:7", "access", "AAA", 0, false},
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct op *op = stepped(rows[i].kind, HOST_ACTION);

		rec_text(&bench.answer, REC_TOKEN, rows[i].name, rows[i].value);
		rec_text(&bench.answer, REC_VERB, "", "no_phase");
		op_step(op, "start");
		CHECK_SAY(strcmp(secret_of(op, rows[i].key), rows[i].wanted) == 0, "row %zu: %s", i, secret_of(op, rows[i].key));
		CHECK_INT(op->tokens.expires_at, rows[i].expires_s ? bench.now + rows[i].expires_s * 1000 : 0);
		CHECK_INT(op->tokens.refreshable, rows[i].refreshable);
		bench_drop(op);
	}
}

TEST(steps_have_an_end)
{
	static char big[70000];
	struct op *op = stepped("publish", HOST_ACTION);

	memset(big, 'x', sizeof big - 1);
	rec_text(&bench.answer, REC_STATE, "kept", big);
	rec_text(&bench.answer, REC_VERB, "", "done");
	op_step(op, "start");
	CHECK_STR(told(op), "step start, blocked provider: platform_unavailable");
	bench_drop(op);
	op = stepped("publish", HOST_ACTION);
	buf_free(&op->result);
	buf_init(&op->result, 100);
	rec_text(&bench.answer, REC_RESULT, "remote_id", big);
	rec_text(&bench.answer, REC_VERB, "", "done");
	op_step(op, "start");
	CHECK_STR(told(op), "step start, blocked provider: platform_unavailable");
	bench_drop(op);
	op = stepped("publish", HOST_ACTION);
	buf_free(&op->saved);
	buf_init(&op->saved, 10);
	rec_text(&bench.answer, REC_STATE, "kept", "more than ten bytes");
	rec_text(&bench.answer, REC_VERB, "", "done");
	op_step(op, "start");
	CHECK_STR(told(op), "step start, blocked provider: platform_unavailable");
	bench_drop(op);
	op = stepped("publish", HOST_ACTION);
	op->steps = 10000;
	op_step(op, "start");
	CHECK_STR(told(op), "blocked provider: platform_unavailable");
	bench_drop(op);
	op = stepped("publish", HOST_ACTION);
	op->row.deadline_at = bench.now - 1;
	op_step(op, "start");
	CHECK_STR(told(op), "blocked provider: platform_unavailable");
	bench.e->batch_count = 0;
	op->state = DELIVERY_AWAITING_USER;		/* as long as its own deadline lets it */
	op_step(op, "timer");
	CHECK_STR(told(op), "step timer");
	op->state = DELIVERY_UNCONFIRMED;
	op->looking = true;
	op_step(op, "timer");
	CHECK_STR(told(op), "step timer, step timer");
	bench_drop(op);
	op = stepped("publish", HOST_ACTION);
	buf_free(&op->inputs);
	buf_init(&op->inputs, 4u << 20);
	for (int i = 0; i < 20; i++)
		rec_text(&op->inputs, REC_INPUT, "text", big);
	op_step(op, "start");
	CHECK_STR(told(op), "blocked provider: platform_unavailable");
	bench_drop(op);
}
