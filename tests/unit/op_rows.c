/*
 * Operations and their rows: what is read into an operation, what is written of a change, and what becomes of it where rows
 * are missing, damaged, or cannot be read or written at all.
 */
#include "tests/unit/op_rows.h"

static const char *input(const struct op *op, const char *key)
{
	static char out[4][200];
	static int next;
	size_t n;
	const char *value = bag_find(&op->inputs, key, &n);

	next = (next + 1) % 4;
	snprintf(out[next], sizeof out[next], "%.*s", value ? (int)n : 6, value ? value : "(none)");
	return out[next];
}

/* ---- reading ------------------------------------------------------------------------------------------------------- */

TEST(what_a_post_gives_its_steps)
{
	struct conf_pair settings[] = {{.key = "region", .value = "eu"}};
	struct conf_provider p = {.id = "net", .settings = {.list = settings, .count = 1}};
	const char *id;
	struct op *op;

	begin();
	id = delivery(connection("active", false), "queued", bench.now);
	bench_run("UPDATE delivery SET content = '{\"link\":\"https://a.example\",\"options\":{\"a\":{\"b\":\"c\"},\"d\":\"\"},\"media\":["
		  "{\"file\":\"one.png\",\"id\":\"med_1\",\"alt\":\"words\"},{\"file\":\"../two\"},{\"file\":\".three\"},{\"alt\":\"none\"}],"
		  "\"thumbnails\":[{\"file\":\"t.png\"}]}' WHERE id = '%s'", id);
	bench.conf.providers = &p;
	bench.conf.provider_count = 1;
	op = of_delivery(id);
	bench.conf.provider_count = 0;
	CHECK(op != NULL);
	CHECK_STR(input(op, "options.a.b"), "c");
	CHECK_STR(input(op, "options.d"), "(none)");
	CHECK_STR(input(op, "setting.region"), "eu");
	CHECK_STR(input(op, "link"), "https://a.example");
	CHECK_STR(input(op, "media.count"), "4");
	CHECK_STR(input(op, "media.0.alt"), "words");
	CHECK_STR(input(op, "media.0.id"), "(none)");		/* ours alone */
	CHECK_STR(input(op, "media.0.file"), "(none)");
	CHECK_INT(op->media_count, 5);
	CHECK(op->media_files[0] != NULL && op->media_files[4] != NULL);
	CHECK(op->media_files[1] == NULL && op->media_files[2] == NULL && op->media_files[3] == NULL);
	op_free(op);
	bench_run("UPDATE delivery SET content = 'no JSON' WHERE id = '%s'", id);
	op = of_delivery(id);
	CHECK(op != NULL);
	CHECK_STR(input(op, "text"), "(none)");
	op_free(op);
}

TEST(what_a_family_gives)
{
	const char *con, *root, *middle, *leaf;
	struct op *op;

	begin();
	con = connection("active", false);
	root = delivery(con, "published", 0);
	middle = delivery(con, "published", 0);
	leaf = delivery(con, "queued", bench.now);
	bench_run("UPDATE delivery SET remote_id = 'R', result = '{\"remote_id\":\"R\",\"remote_url\":\"u\",\"cid\":\"C\"}'"
		  " WHERE id = '%s'", root);
	bench_run("UPDATE delivery SET remote_id = 'M', result = 'no JSON', parent_delivery_id = '%s' WHERE id = '%s'", root, middle);
	bench_run("UPDATE delivery SET parent_delivery_id = '%s', kind = 'thread' WHERE id = '%s'", middle, leaf);
	op = of_delivery(leaf);
	CHECK_STR(input(op, "post.kind"), "thread");
	CHECK_STR(input(op, "parent.remote_id"), "M");
	CHECK_STR(input(op, "root.remote_id"), "R");
	CHECK_STR(input(op, "root.cid"), "C");
	CHECK_STR(input(op, "parent.cid"), "(none)");
	op_free(op);
	bench_run("UPDATE delivery SET parent_delivery_id = 'dlv_gone' WHERE id = '%s'", middle);
	op = of_delivery(leaf);
	CHECK_STR(input(op, "root.remote_id"), "(none)");
	op_free(op);
	bench_run("UPDATE delivery SET parent_delivery_id = '%s' WHERE id = '%s'", middle, middle);	/* a ring has an end */
	op = of_delivery(leaf);
	CHECK(op != NULL);
	op_free(op);
}

TEST(connections_that_cannot_be_used)
{
	static const struct { const char *status; bool paused; const char *wanted; } rows[] = {
		{"active", false, NULL}, {"active", true, "paused"}, {"disconnected", false, "disconnected"}, {"reauth_required", true, "reauth"},
		{"revoked", false, "reauth"},
	};
	const char *id;
	struct op *op;

	begin();
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		op = of_delivery(delivery(connection(rows[i].status, rows[i].paused), "queued", bench.now));
		CHECK_STR(op->blocked, rows[i].wanted);
		op_free(op);
	}
	id = operation("identify", "con_gone", bench.now);
	op = of_operation(id);
	CHECK_STR(op->blocked, "disconnected");
	CHECK(!op->has_grant);
	op_free(op);
}

/* After a refresh: the account may have been let go of meanwhile. */
TEST(a_grant_read_again)
{
	const char *con;
	struct op *op;

	begin();
	con = connection("active", false);
	op = of_delivery(delivery(con, "queued", bench.now));
	CHECK(op_reload_grant(op) && op->blocked == NULL);
	bench_run("UPDATE connection SET paused = 1 WHERE id = '%s'", con);
	CHECK(op_reload_grant(op));
	CHECK_STR(op->blocked, "paused");
	op->row.connection_id = "con_gone";
	op->blocked = NULL;
	CHECK(op_reload_grant(op) && op->blocked == NULL);
	bench_run("UPDATE auth_grant SET status = 'reauth_required'");
	CHECK(op_reload_grant(op));
	CHECK_STR(op->blocked, "reauth");
	bench_run("UPDATE auth_grant SET status = 'revoked'");
	op->blocked = NULL;
	op->row.connection_id = NULL;
	CHECK(op_reload_grant(op));
	CHECK_STR(op->blocked, "reauth");
	op->grant.id = "grt_gone";
	CHECK(!op_reload_grant(op));
	op_free(op);
	bench_run("UPDATE auth_grant SET status = 'active'");
}

TEST(tokens_that_do_not_open)
{
	const char *id;
	struct op *op;

	begin();
	id = delivery(connection("active", false), "queued", bench.now);
	bench_run("UPDATE auth_grant SET secrets = zeroblob(80)");
	op = of_delivery(id);
	CHECK(op->unreadable);
	CHECK_STR(op->blocked, "reauth");
	outcome_block(op, op->blocked);
	CHECK_STR(told(op), "blocked reauth: connection_reauth_required dead");
	bench.e->batch_count = 0;
	op_free(op);
	grant_id[0] = '\0';		/* the next test makes another */
}

TEST(operations_and_what_they_were_given)
{
	const char *con, *dlv, *id;
	struct op *op;

	begin();
	con = connection("active", false);
	dlv = delivery(con, "published", 0);
	id = operation("authorize", con, bench.now);
	bench_run("UPDATE operation SET input = '{\"field\":{\"server\":\"me.example\"}}', delivery_id = '%s', event = 'lost', deadline_at = 1"
		  " WHERE id = '%s'", dlv, id);
	bench_run("UPDATE delivery SET remote_id = 'R', result = '{\"cid\":\"C\"}' WHERE id = '%s'", dlv);
	op = of_operation(id);
	CHECK_STR(input(op, "field.server"), "me.example");
	CHECK_STR(input(op, "oauth.state"), "STATE");
	CHECK_STR(input(op, "remote_id"), "R");
	CHECK_STR(input(op, "published.cid"), "C");
	CHECK(op->row.deadline_at > bench.now);		/* the answer to what is sent once more must be read */
	op_free(op);
	bench_run("UPDATE operation SET input = 'no JSON', kind = 'identify' WHERE id = '%s'", id);
	bench_run("UPDATE delivery SET result = 'no JSON' WHERE id = '%s'", dlv);
	op = of_operation(id);
	CHECK_STR(input(op, "field.server"), "(none)");
	CHECK_STR(input(op, "oauth.state"), "(none)");
	CHECK_STR(input(op, "published.cid"), "(none)");
	op_free(op);
	bench_run("UPDATE delivery SET result = NULL WHERE id = '%s'", dlv);
	op = of_operation(id);
	CHECK_STR(input(op, "remote_id"), "R");
	op_free(op);
	bench_run("UPDATE operation SET delivery_id = 'dlv_gone' WHERE id = '%s'", id);
	op = of_operation(id);
	CHECK_STR(input(op, "remote_id"), "(none)");
	op_free(op);
}

TEST(edits_and_what_they_were_given)
{
	const char *con, *dlv, *id;
	struct op *op;

	begin();
	con = connection("active", false);
	dlv = delivery(con, "published", 0);
	id = operation("edit", con, bench.now);
	bench_run("UPDATE operation SET delivery_id = '%s', input = '{\"text\":\"new\",\"content\":{\"link\":\"l\"},\"mediaKept\":true}'"
		  " WHERE id = '%s'", dlv, id);
	op = of_operation(id);
	CHECK_STR(input(op, "text"), "new");
	CHECK_STR(input(op, "link"), "l");
	CHECK_STR(input(op, "media.kept"), "1");
	CHECK_INT(op->row.resent, 0);
	op_free(op);
	bench_run("UPDATE operation SET owner_epoch = 1, input = '{\"text\":\"new\"}' WHERE id = '%s'", id);
	op = of_operation(id);
	CHECK_STR(input(op, "text"), "new");
	CHECK_STR(input(op, "media.kept"), "(none)");
	CHECK_INT(op->row.resent, 1);			/* begun by a server that stopped */
	op_free(op);
	for (int i = 0; i < 3; i++) {
		bench_run("UPDATE operation SET input = %s, delivery_id = '%s' WHERE id = '%s'", i == 0 ? "NULL" : i == 1 ? "'no JSON'"
			  : "'{\"text\":\"new\"}'", i == 2 ? "dlv_gone" : dlv, id);
		op = of_operation(id);
		CHECK_STR(input(op, "text"), "(none)");
		op_free(op);
	}
}

TEST(what_is_not_there_is_not_loaded)
{
	const char *con, *dlv, *id;
	struct db_conn *c;
	struct op *op;

	begin();
	con = connection("active", false);
	dlv = delivery(con, "queued", bench.now);
	id = operation("identify", con, bench.now);
	CHECK(of_delivery("dlv_gone") == NULL && of_operation("op_gone") == NULL);
	c = db_take(bench.store.db);
	CHECK(op_of_refresh(bench.e, c, "grt_gone") == NULL);
	CHECK(op_of_limits(bench.e, c, "con_gone") == NULL);
	CHECK((op = op_of_limits(bench.e, c, con)) != NULL);
	op_free(op);
	CHECK((op = op_of_refresh(bench.e, c, grant_id)) != NULL);
	op_free(op);
	db_give(c);
	bench_hide("connection");
	CHECK(of_delivery(dlv) == NULL && of_operation(id) == NULL);
	bench_show("connection");
	bench_hide("auth_grant");
	c = db_take(bench.store.db);
	CHECK(op_of_limits(bench.e, c, con) == NULL);
	db_give(c);
	bench_show("auth_grant");
	CHECK_INT(bench.e->active, 0);
}

/* ---- writing --------------------------------------------------------------------------------------------------------- */

/* Lets the writer work on what the turn has collected, until it has answered. */
static void commit(void)
{
	int64_t end = 20000;

	commit_flush(bench.e);
	for (; bench.e->out_running && end > 0; end--) {
		commit_collect(bench.e);
		if (bench.e->out_running)
			usleep(1000);
	}
	CHECK(!bench.e->out_running);
}

static int64_t number(const char *sql, const char *id)
{
	struct db_conn *c = db_take(bench.store.db);
	int64_t n = 0;

	stmt_exec(c, "SELECT 1");
	n = strcmp(sql, "sealed") == 0 ? db_number(c, -1, "SELECT LENGTH(secrets) FROM operation WHERE delivery_id = ?1", "s", id)
		: strcmp(sql, "processing") == 0 ? db_number(c, -1, "SELECT COUNT(*) FROM delivery WHERE id = ?1 AND state = 'processing'", "s", id)
		: strcmp(sql, "queued") == 0 ? db_number(c, -1, "SELECT COUNT(*) FROM delivery WHERE id = ?1 AND state = 'queued'", "s", id)
		: db_number(c, -1, "SELECT COUNT(*) FROM operation WHERE id = ?1 AND status = 'running'", "s", id);
	db_give(c);
	return n;
}

static void wait_in(struct op *op, const char *phase)
{
	struct action a = {.verb = "wait", .phase = phase, .seconds = 5, .class = "", .reason = "", .message = "", .platform_code = ""};

	outcome_action(op, &a);
}

TEST(numbered_secrets_rest_sealed_and_come_back)
{
	const char *id;
	struct op *op;
	size_t n;

	begin();
	id = delivery(connection("active", false), "queued", bench.now);
	op = of_delivery(id);
	bag_put(&op->secrets, REC_STATE, "sec:12", "TWELVE");
	bag_put(&op->secrets, REC_STATE, "other", "kept elsewhere");
	bag_put(&op->secrets, REC_STATE, "abc", "kept elsewhere");
	op->secret_touched = true;
	wait_in(op, "next");
	commit();
	CHECK_INT(number("processing", id), 1);
	CHECK(number("sealed", id) > 10);
	op_free(op);
	op = of_delivery(id);
	CHECK(bag_find(&op->secrets, "sec:12", &n) != NULL && n == 6);
	op->secret_touched = true;		/* none is left: nothing rests */
	buf_reset(&op->secrets);
	wait_in(op, "after");
	commit();
	CHECK_INT(number("sealed", id), -1);
	op_free(op);
	bench_run("UPDATE operation SET secrets = zeroblob(60) WHERE delivery_id = '%s'", id);
	op = of_delivery(id);			/* changed: it does not open, and nothing comes of it */
	CHECK(bag_find(&op->secrets, "sec:12", &n) == NULL);
	op_free(op);
	for (int i = 0; i < 2; i++) {		/* without a grant there is no key to open it with */
		id = operation("check", NULL, bench.now);
		bench_run("UPDATE operation SET secrets = zeroblob(60), grant_id = %s WHERE id = '%s'", i == 0 ? "NULL" : "'gr_gone'", id);
		op = of_operation(id);
		CHECK(op != NULL && !op->has_grant && bag_find(&op->secrets, "sec:12", &n) == NULL);
		op_free(op);
	}
}

/* Secrets that cannot be sealed: the change is not written without them, and the op is given up with a line in the log. */
TEST(what_cannot_be_sealed_is_not_written)
{
	const char *id;
	struct op *op;

	begin();
	id = delivery(connection("active", false), "queued", bench.now);
	op = of_delivery(id);
	bag_put(&op->secrets, REC_STATE, "sec:12", "TWELVE");
	op->secret_touched = true;
	op->grant.end_user_id = "eu_gone";
	wait_in(op, "next");
	commit();
	CHECK_INT(number("queued", id), 1);
	CHECK_INT(bench.e->active, 0);
}

/* Of several changes one cannot be written: the others are, one by one. */
TEST(one_that_fails_holds_no_other)
{
	const char *ids[3];
	struct op *ops[3];

	begin();
	for (int i = 0; i < 3; i++) {
		ids[i] = delivery(connection("active", false), "queued", bench.now);
		ops[i] = of_delivery(ids[i]);
		wait_in(ops[i], "next");
	}
	bag_put(&ops[1]->secrets, REC_STATE, "sec:12", "TWELVE");
	ops[1]->secret_touched = true;
	ops[1]->grant.end_user_id = "eu_gone";
	for (int i = 0; i < 5; i++)
		commit();
	CHECK_INT(number("processing", ids[0]), 1);
	CHECK_INT(number("queued", ids[1]), 1);
	CHECK_INT(number("processing", ids[2]), 1);
	CHECK_INT(bench.e->active, 2);
	engine_end(bench.e);
}

/* Somebody else was there: the change is dropped, the row stays as it is. */
TEST(a_row_that_somebody_changed_is_left_alone)
{
	const char *id;
	struct op *op;

	begin();
	id = delivery(connection("active", false), "queued", bench.now);
	op = of_delivery(id);
	bench_run("UPDATE delivery SET content_version = 2 WHERE id = '%s'", id);
	wait_in(op, "next");
	commit();
	CHECK_INT(number("queued", id), 1);
	CHECK_INT(bench.e->active, 0);
	op = of_delivery(id);
	op->connection_version++;	/* the connection was changed since: what blocks may be gone */
	outcome_block(op, "paused");
	op->change.claim = false;
	op->change.to.from = DELIVERY_QUEUED;
	op->change.to.fence = false;
	commit();
	CHECK_INT(number("queued", id), 1);
	CHECK_INT(bench.e->active, 0);
}

/* The same for what is in work already, and for a connection that was read before it had a version. */
TEST(a_row_in_work_that_somebody_changed)
{
	const char *id;
	struct op *op;

	begin();
	id = delivery(connection("active", false), "queued", bench.now);
	op = of_delivery(id);
	op->connection_version = 0;
	outcome_block(op, "paused");
	commit();
	CHECK_INT(number("queued", id), 0);
	CHECK_INT(bench.e->active, 0);
	id = delivery(connection("active", false), "processing", 0);
	op = of_delivery(id);
	bench_run("UPDATE delivery SET claim = claim + 1 WHERE id = '%s'", id);
	wait_in(op, "next");
	commit();
	CHECK_INT(number("processing", id), 1);
	CHECK_INT(bench.e->active, 0);
}

/* A new attempt begins without the secrets of the one before. */
TEST(what_begins_anew_keeps_no_secrets)
{
	const char *id;
	struct op *op;

	begin();
	id = delivery(connection("active", false), "unconfirmed", bench.now);
	op = of_delivery(id);
	bag_put(&op->secrets, REC_STATE, "sec:12", "TWELVE");
	op->secret_touched = true;
	op->account_type = "handle";
	op->d.absents = 1;
	op->d.unconfirmed_at = bench.now - 3600000;
	outcome_look(op, true);
	CHECK_STR(told(op), "queued proven_absent +0 s anew");
	commit();
	CHECK_INT(number("queued", id), 1);
	CHECK_INT(number("sealed", id), -1);
}

static enum rc no_effect(struct cx *cx, struct db_conn *c, struct op *op, int64_t now)
{
	(void)cx, (void)c, (void)op, (void)now;
	numbers++;
	return RC_OK;
}

/* Tokens are not kept for a grant that was closed meanwhile, and not written at all where they cannot be sealed. */
TEST(tokens_on_their_way)
{
	static const char *const statuses[] = {"active", "closed", "active"};
	struct op *op;

	for (int i = 0; i < 3; i++) {
		int before;

		begin();
		op = of_operation(operation("exchange", connection("active", false), bench.now));
		bench_run("UPDATE auth_grant SET status = '%s'", statuses[i]);
		op_change(op, "done")->tokens = true;
		op->change.effect = no_effect;
		if (i == 2)
			op->grant.end_user_id = "eu_gone";
		before = numbers;
		op_commit(op, AFTER_END);
		commit();
		CHECK_INT(numbers - before, i == 0);
		CHECK_INT(bench.e->active, 0);
		bench_run("UPDATE auth_grant SET status = 'active'");
	}
}

/* An operation without its provider keeps the version that it was begun with. */
TEST(a_row_without_its_provider)
{
	const char *id;
	struct op *op;

	begin();
	id = operation("identify", connection("active", false), bench.now);
	op = of_operation(id);
	platform_give(op->platform);
	op->platform = NULL;
	wait_in(op, "next");
	commit();
	CHECK_INT(op->at, OP_WAITING);
	CHECK_INT(number("running", id), 1);
	op_free(op);
}
