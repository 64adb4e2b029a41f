/*
 * Which rows are taken when, what a new owner makes of those that the last one left, and the moves of a delivery that stand
 * by themselves.
 */
#include "tests/unit/op_rows.h"

#define CHECK_SOFT(cond) do { if (!(cond)) { fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond); abort(); } } while (0)

/* ---- taking ---------------------------------------------------------------------------------------------------------- */

static int taken(void)
{
	int n = 0;

	bench.e->limits_at = 0;		/* what the last scan put off */
	claim_due(bench.e);
	for (const struct op *op = bench.e->ops.next; op != &bench.e->ops; op = op->next)
		n++;
	bench.did[0] = '\0';
	return n;
}

static void nothing_due(void)
{
	begin();
	bench_run("UPDATE delivery SET due_at = NULL, state = 'published'");
	bench_run("UPDATE operation SET status = 'done'");
}

static void drop_all(void)
{
	bench.e->batch_count = 0;
	engine_end(bench.e);
}

TEST(no_more_are_taken_than_there_is_room_for)
{
	const char *con;

	nothing_due();
	bench.conf.in_flight = 3;
	for (int i = 0; i < 5; i++) {
		con = connection("active", false);
		delivery(con, i == 0 ? "awaiting_platform" : "queued", bench.now - 10 + i);
		delivery(con, "queued", bench.now);		/* one of a connection at a time */
	}
	CHECK_INT(taken(), 3);
	CHECK_INT(bench.e->scan_at, 0);		/* come back as soon as these are out */
	CHECK_INT(taken(), 3);
	drop_all();
	bench.conf.in_flight = 1000;
	bench.conf.claim_batch = 2;
	CHECK_INT(taken(), 2);
	drop_all();
	bench.conf.claim_batch = 100;
	CHECK_INT(taken(), 6);
	CHECK(bench.e->scan_at > bench.now);
	drop_all();
}

TEST(rows_that_cannot_be_read_are_left)
{
	nothing_due();
	delivery(connection("active", false), "queued", bench.now);
	operation("identify", connection("active", false), bench.now);
	bench_hide("auth_grant");
	CHECK_INT(taken(), 0);
	bench_show("auth_grant");
	CHECK_INT(taken(), 2);
	drop_all();
}

TEST(operations_are_taken_by_the_page_and_looked_for_when_they_are_due)
{
	nothing_due();
	for (int i = 0; i < 205; i++)
		operation("check", NULL, bench.now);
	CHECK_INT(taken(), 200);
	drop_all();
	nothing_due();
	operation("check", NULL, bench.now + 2000);
	CHECK_INT(taken(), 0);
	CHECK_INT(bench.e->scan_at, bench.now + 2000);
	operation("check", NULL, bench.now + 60000);
	bench_run("UPDATE operation SET due_at = due_at + 60000 WHERE status = 'running'");
	CHECK_INT(taken(), 0);
	CHECK_INT(bench.e->scan_at, bench.now + 5000);
}

TEST(many_organizations)
{
	nothing_due();
	for (int i = 0; i < 70; i++) {
		bench_run("INSERT INTO organization (id, name, created_at) VALUES ('org_m%03d', 'M', 1)", i);
		bench_run("INSERT INTO post (id, organization_id, app_id, live, status, mode, body, max_late_ms, on_missed, created_at, updated_at)"
			  " SELECT 'post_m%03d', 'org_m%03d', id, 0, 'scheduled', 'now', '{}', 0, 'publish', 1, 1 FROM app LIMIT 1", i, i);
		bench_run("INSERT INTO delivery (id, organization_id, app_id, live, post_id, connection_id, platform, provider, text, content,"
			  " content_hash, state, due_at, on_missed, created_at, updated_at) SELECT 'dlv_m%03d', 'org_m%03d', id, 0, 'post_m%03d',"
			  " (SELECT id FROM connection LIMIT 1), 'net', 'net', 't', '{}', 'h', 'awaiting_user', %lld, 'publish', 1, 1 FROM app LIMIT 1",
			  i, i, i, (long long)bench.now);
	}
	CHECK_INT(taken(), 70);
	drop_all();
	bench.conf.claim_batch = 10;
	CHECK_INT(taken(), 10);
	drop_all();
	bench_run("UPDATE delivery SET due_at = NULL");
}

TEST(a_platform_with_a_rate)
{
	const char *describe = "{\"name\":\"Net\",\"operations\":[\"publish\"],\"hosts\":[\"api.net.example\"],"
		"\"rate\":{\"publish_per_minute\":1},\"connect\":{\"method\":\"form\",\"client\":\"none\"},"
		"\"dedupe\":{\"default\":{\"class\":\"none\"}},\"state_versions\":[1,1]}";
	const char *con;
	struct op *op;

	nothing_due();
	bench_platform(describe);
	con = connection("active", false);
	delivery(con, "queued", bench.now);
	CHECK_INT(taken(), 1);
	CHECK_INT(bench.e->batch_count, 0);
	drop_all();
	CHECK_INT(taken(), 1);		/* its bucket is empty now */
	op = bench.e->ops.next;
	CHECK_STR(told(op), "queued rate_limited +60 s");
	drop_all();
	bench_platform(bench_descriptor);
}

/* ---- recovering -------------------------------------------------------------------------------------------------------- */

TEST(what_was_between_request_and_answer_is_decided)
{
	const char *con;
	struct cx cx;
	int n = 0;

	nothing_due();
	con = connection("active", false);
	for (int i = 0; i < 260; i++)
		delivery(con, "committing", 0);
	delivery(con, "processing", 0);
	cx_init(&cx, "test");
	bench.e->epoch = 2;
	CHECK_INT(recover(&cx, bench.e), RC_OK);
	for (const struct op *op = bench.e->ops.next; op != &bench.e->ops; op = op->next, n++)
		CHECK_INT(op->change.to.to, DELIVERY_UNCONFIRMED);
	CHECK_INT(n, 260);
	drop_all();
	bench_hide("auth_grant");
	cx_init(&cx, "test");
	CHECK(recover(&cx, bench.e) != RC_OK);		/* what is not taken over is not worked on */
	bench_show("auth_grant");
	bench_hide("connection");
	cx_init(&cx, "test");
	(void)recover(&cx, bench.e);		/* whether it says so or not: nothing is begun */
	CHECK_INT(bench.e->active, 0);
	bench_show("connection");
	bench.e->epoch = 1;
	nothing_due();
}

/* A clock that was set back while nobody worked: what waits is put back with it. */
TEST(a_clock_that_was_set_back_meanwhile)
{
	const char *id;
	struct cx cx;

	nothing_due();
	id = delivery(connection("active", false), "awaiting_user", bench.now + 3600000 + 5000);
	bench_run("INSERT INTO event (id, organization_id, app_id, live, sequence, type, data, created_at) SELECT 'evt_late', organization_id, id,"
		  " 0, 1000000, 'x', '{}', %lld FROM app LIMIT 1", (long long)bench.now + 3600000);
	cx_init(&cx, "test");
	CHECK_SAY(recover(&cx, bench.e) == RC_OK, "%s", cx.words);
	bench_run("DELETE FROM event WHERE id = 'evt_late'");
	drop_all();
	bench.now += 10000;
	CHECK_SAY(taken() >= 1, "%s is not due", id);
	drop_all();
	nothing_due();
}

/* ---- moves of the model ------------------------------------------------------------------------------------------------ */

static enum rc in_closure(struct cx *cx, struct db_conn *c, void *arg)
{
	const char *id = arg;
	struct owner o = {bench.organization, "app", 0};
	struct delivery_move m = {.id = id, .owner = &o, .remote_id = "R", .remote_url = "u", .proof = "answer"};
	struct delivery_content k = {.id = id, .organization_id = bench.organization, .text = "t", .content = "{}"};

	CHECK_SOFT(delivery_prove(c, &m, bench.now) == 1);
	CHECK_SOFT(delivery_prove(c, &m, bench.now) == 0);
	CHECK_SOFT(delivery_edited(c, &k, bench.now));
	delivery_edit_failed(c, id, bench.organization, "{\"code\":\"x\"}", true, bench.now);
	delivery_edit_failed(c, id, bench.organization, "{\"code\":\"x\"}", false, bench.now);
	delivery_edit_failed(c, "dlv_gone", bench.organization, "{\"code\":\"x\"}", false, bench.now);
	CHECK_SOFT(delivery_removed(c, id, bench.organization, bench.now));
	CHECK_SOFT(!delivery_removed(c, id, bench.organization, bench.now));
	CHECK_SOFT(!delivery_edited(c, &k, bench.now));
	return db_fail(cx, c);
}

TEST(proof_edit_and_removal_of_a_delivery)
{
	enum delivery_state s;
	const char *id;
	struct cx cx;

	nothing_due();
	cx_init(&cx, "test");
	id = delivery(connection("active", false), "unconfirmed", 0);
	CHECK_SAY(db_write(&cx, bench.store.db, in_closure, (void *)(uintptr_t)id) == RC_OK, "%s", cx.words);
	CHECK(!delivery_state_read("odd", &s));
	CHECK_INT(operation_lifetime("odd"), 120000);
	CHECK_INT(delivery_deadline(DELIVERY_QUEUED, bench.now), 0);
}
