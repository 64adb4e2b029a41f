/*
 * Turns of the engine: what one turn does, how long it would wait, when it stops, and what it makes of a clock that is set.
 */
#include <fcntl.h>

#include "core/model/server.h"
#include "tests/unit/op_rows.h"

/* As engine_begin leaves it, nothing due and nothing to sweep. */
static void ready(void)
{
	struct db_conn *c;

	begin();
	bench_run("UPDATE delivery SET due_at = NULL, state = 'published'");
	bench.e->checked_boot = bench.e->steady_since = bench.now;
	bench.e->lead = 0;
	bench.e->set_back = 0;
	bench.e->usurped = bench.e->stopping = bench.e->woken = false;
	bench.e->clean_at = bench.now + 3600000;
	bench.e->scan_at = bench.now + 3600000;
	bench.e->scanned_at = bench.now - 1000;
	bench.e->limits_at = 0;
	c = db_take(bench.store.db);
	bench.e->epoch = server_epoch(c);
	db_give(c);
}

/* Lets the writer answer what a turn has given it. */
static void settle(void)
{
	struct cx cx;

	cx_init(&cx, "test");
	CHECK_INT(db_write(&cx, bench.store.db, bench_write, (void *)(uintptr_t)"SELECT 1"), RC_OK);
}

static struct op *waiting(int64_t ms)
{
	struct op *op = bench_op(DELIVERY_PROCESSING, "keyed");

	op_wait(op, ms, false);
	return op;
}

TEST(a_turn_waits_no_longer_than_it_may)
{
	struct op *op;

	ready();
	CHECK(engine_turn(bench.e));
	CHECK_INT(bench.turn_ms, 1000);
	bench.hosts_ms = 5000;
	CHECK(engine_turn(bench.e));
	CHECK_INT(bench.turn_ms, 1000);
	bench.hosts_ms = 50;
	CHECK(engine_turn(bench.e));
	CHECK_INT(bench.turn_ms, 50);
	bench.hosts_ms = -1;
	op = waiting(300);
	CHECK(engine_turn(bench.e));
	CHECK_INT(bench.turn_ms, 300);
	CHECK_INT(op->at, OP_WAITING);
	bench.now += 300;
	CHECK(engine_turn(bench.e));
	CHECK_STR(bench.did, "step timer");
	bench_drop(op);
	bench.e->scan_at = bench.now + 200;
	CHECK(engine_turn(bench.e));
	CHECK_INT(bench.turn_ms, 200);
	bench.e->stopping = true;		/* nothing more is taken */
	CHECK(engine_turn(bench.e));
	CHECK_INT(bench.turn_ms, 1000);
	bench.e->stopping = false;
	bench.e->scan_at = 0;
	bench.e->scanned_at = bench.now - 2;	/* a scan has a rest */
	CHECK(engine_turn(bench.e));
	CHECK_INT(bench.turn_ms, 3);
	CHECK_INT(bench.e->scan_at, 0);
}

TEST(a_scan_waits_while_there_is_too_much)
{
	ready();
	bench.e->scan_at = 0;
	bench.e->active = 16384 - 512;
	CHECK(engine_turn(bench.e));
	CHECK_INT(bench.e->scan_at, 0);
	bench.e->active = 0;
	bench.e->out_count = 1;			/* kept by an error: it goes first */
	bench.e->commit_retry_at = bench.now + 60000;
	CHECK(engine_turn(bench.e));
	CHECK_INT(bench.e->scan_at, 0);
	CHECK_INT(bench.turn_ms, 0);
	bench.e->scan_at = bench.now + 3600000;
	CHECK(engine_turn(bench.e));
	CHECK_INT(bench.turn_ms, 100);
	bench.e->out_count = 0;
	bench.e->woken = true;			/* by another thread: it looks at once */
	CHECK(engine_turn(bench.e));
	CHECK(bench.e->scan_at > bench.now && bench.e->scanned_at == bench.now);
}

TEST(after_standing_still_the_epoch_is_read_again)
{
	ready();
	bench.now += 20000;
	CHECK(engine_turn(bench.e));
	CHECK_INT(bench.e->checked_boot, bench.now);
	bench.now += 20000;
	bench.e->epoch++;			/* not the one that the store tells */
	CHECK(!engine_turn(bench.e));
	bench.e->epoch--;
	CHECK(!engine_turn(bench.e));		/* never again */
}

TEST(a_wall_clock_that_is_set)
{
	ready();
	bench.set = -3600000;
	CHECK(engine_turn(bench.e));
	CHECK_INT(bench.e->lead, bench.set);
	CHECK_INT(bench.e->set_back, 0);	/* handed to the writer */
	CHECK(engine_turn(bench.e));
	settle();
	bench.now += 60000;
	bench.e->checked_boot = bench.now;
	bench.set = 0;
	CHECK(engine_turn(bench.e));
	CHECK_INT(bench.e->steady_since, bench.now);
	CHECK_INT(bench.e->set_back, 0);
	bench.set = -3600000;
	atomic_store(&bench.e->back.out, true);		/* the last one is still out: this one is kept */
	CHECK(engine_turn(bench.e));
	CHECK_INT(bench.e->set_back, 3600000);
	bench.set -= 100000;
	CHECK(engine_turn(bench.e));
	CHECK_INT(bench.e->set_back, 3700000);
	atomic_store(&bench.e->back.out, false);
	bench_hide("event");
	CHECK(engine_turn(bench.e));
	settle();
	CHECK(!atomic_load(&bench.e->back.out));
	bench_show("event");
	bench.set = 0;
}

TEST(sweeping_may_fail)
{
	ready();
	bench.e->clean_at = 0;
	CHECK(engine_turn(bench.e));
	CHECK(bench.e->clean_at > bench.now);
	settle();
	bench_hide("delivery");
	bench.e->clean_at = 0;
	CHECK(engine_turn(bench.e));
	settle();
	bench_show("delivery");
	CHECK(engine_turn(bench.e));
}

TEST(what_is_between_request_and_answer_is_waited_for)
{
	static const enum op_at places[] = {OP_SENDING, OP_STEPPING, OP_WAITING, OP_REFRESHING};
	struct op *op;

	ready();
	CHECK(engine_quiet(bench.e));
	for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
		op = bench_op(DELIVERY_PROCESSING, "keyed");
		op->at = places[i];
		CHECK_INT(engine_quiet(bench.e), i >= 2);
		bench_drop(op);
	}
	bench.e->batch_count = 1;
	CHECK(!engine_quiet(bench.e));
	bench.e->batch_count = 0;
	bench.e->out_count = 1;
	CHECK(!engine_quiet(bench.e));
	bench.e->out_count = 0;
	bench.e->out_running = true;
	CHECK(!engine_quiet(bench.e));
	bench.e->out_running = false;
}

/* ---- a damaged store --------------------------------------------------------------------------------------------------- */

TEST(over_a_damaged_store_nothing_is_begun)
{
	struct op *op;

	ready();
	op = waiting(-1);
	bench.rescue = true;
	bench.e->scan_at = bench.e->clean_at = 0;
	bench.e->batch_count = 1;
	bench.e->batch[0] = op;
	CHECK(engine_turn(bench.e));
	CHECK_INT(bench.turn_ms, 1000);
	CHECK_INT(op->at, OP_WAITING);
	CHECK_INT(bench.e->clean_at, 0);
	CHECK_INT(bench.e->scan_at, 0);
	CHECK(!bench.e->out_running && bench.e->batch_count == 1);
	CHECK(engine_quiet(bench.e));			/* what cannot be written holds no stop up */
	bench.rescue = false;
	bench.e->batch_count = 0;
	op_free(op);
}

/* What the log says while that runs. */
static const char *logged(void (*run)(void))
{
	static char text[2000];
	const char *path = arena_printf(&bench.conf.arena, "%s/log", bench.folder);
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600), saved = dup(2);
	ssize_t n;

	CHECK(fd >= 0 && saved >= 0);
	dup2(fd, 2);
	log_set(LOG_ERROR);
	run();
	log_set(LOG_ERROR + 1);
	dup2(saved, 2);
	close(saved);
	n = pread(fd, text, sizeof text - 1, 0);
	text[n > 0 ? n : 0] = '\0';
	close(fd);
	return text;
}

static void publish_over_damage(void)
{
	static const char *const ids[] = {"remote_7", NULL};

	for (int i = 0; i < 2; i++) {
		struct op *op = bench_op(DELIVERY_COMMITTING, "keyed");

		bench.rescue = true;
		op->remote_id = ids[i];
		outcome_published(op, "answer");
	}
	outcome_missed(bench_op(DELIVERY_QUEUED, "keyed"), "missed");
	bench.rescue = true;
	outcome_missed(bench_op(DELIVERY_QUEUED, "keyed"), "missed");
	bench.rescue = false;
}

static enum rc corrupt(struct cx *cx, struct db_conn *c, struct op *op, int64_t now)
{
	(void)c, (void)op, (void)now;
	return fail(cx, RC_CORRUPT, "the store is damaged");
}

/* It turns out in the middle of a commit: of the last one, and it is kept. */
static void commit_over_damage(void)
{
	struct op *op = of_delivery(delivery(connection("active", false), "committing", 0));

	op->remote_id = "remote_8";
	op->repeat = REPEAT_ONCE;
	outcome_published(op, "answer");
	op->change.effect = corrupt;
	commit_flush(bench.e);
	settle();
	bench.rescue = true;
	commit_collect(bench.e);
}

TEST(what_the_platform_has_told_is_in_the_log_at_least)
{
	const char *text;

	ready();
	text = logged(publish_over_damage);
	CHECK_SAY(strstr(text, "remote_7") && strstr(text, "as ?,"), "%s", text);
	bench.e->batch_count = 0;
	engine_end(bench.e);
	ready();
	text = logged(commit_over_damage);
	CHECK_SAY(strstr(text, "remote_8") && strstr(text, "could not be written"), "%s", text);
	CHECK_INT(bench.e->out_count, 1);
	CHECK(engine_turn(bench.e) && !bench.e->out_running);	/* kept, and not tried again */
	bench.e->out_count = 0;
	bench.rescue = false;
	engine_end(bench.e);
}

/* A commit that failed is tried again by itself, after a moment. */
TEST(what_was_kept_is_tried_again)
{
	ready();
	bench.e->out_count = 1;
	bench.e->out[0] = of_delivery(delivery(connection("active", false), "queued", bench.now));
	op_change(bench.e->out[0], "running")->claim = true;
	bench.e->commit_retry_at = bench.now + 500;
	bench.e->stopping = true;
	bench.hosts_ms = 20;
	CHECK(engine_turn(bench.e));
	CHECK_INT(bench.turn_ms, 20);
	CHECK(!bench.e->out_running);
	bench.now += 500;
	CHECK(engine_turn(bench.e));
	CHECK(bench.e->out_running);
	settle();
	CHECK(engine_turn(bench.e));
	CHECK(!bench.e->out_running && bench.e->out_count == 0);
	engine_end(bench.e);
}
