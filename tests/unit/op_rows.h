/*
 * Rows for an operation on the bench: a person with a grant, connections, deliveries, operations.
 */
#ifndef MPS_TESTS_UNIT_OP_ROWS_H
#define MPS_TESTS_UNIT_OP_ROWS_H

#include "core/model/data_key.h"
#include "core/model/grant.h"
#include "tests/unit/op_bench.h"

static char end_user[ID_MAX], grant_id[ID_MAX];
static int numbers;

static enum rc make_grant(struct cx *cx, struct db_conn *c, void *arg)
{
	struct grant g = {.owner = {bench.organization, bench.app, 0}, .end_user_id = end_user, .platform = "net", .provider = "net"};
	enum rc rc = data_key_create(cx, c, bench.store.vault, bench.organization, end_user);
	struct buf bag;

	(void)arg;
	buf_init(&bag, BAG_MAX);
	bag_put(&bag, REC_STATE, "access", "AAA");
	bag_put(&bag, REC_STATE, "oauth.state", "STATE");
	bag_put(&bag, REC_STATE, "client.id", "id");
	if (rc == RC_OK)
		rc = grant_create(cx, c, bench.store.vault, &g, grant_id, &bag, bench.now);
	buf_free(&bag);
	return rc;
}

/* The engine and its store with a person and one grant; ends what an earlier test left. */
static void begin(void)
{
	struct cx cx;

	bench_open();
	bench.conf.in_flight = bench.conf.claim_batch = 0;
	bench.e->epoch = 1;
	bench.e->batch_count = 0;
	engine_end(bench.e);
	if (grant_id[0] != '\0')
		return;
	snprintf(end_user, sizeof end_user, "eu_%d", ++numbers);
	bench_run("INSERT INTO end_user (id, organization_id, app_id, live, external_id, created_at, updated_at)"
		  " SELECT '%s', organization_id, id, 0, '%s', 1, 1 FROM app LIMIT 1", end_user, end_user);
	cx_init(&cx, "test");
	CHECK_SAY(db_write(&cx, bench.store.db, make_grant, NULL) == RC_OK, "%s", cx.words);
	bench_run("UPDATE auth_grant SET status = 'active', expires_at = NULL");
}

UNUSED static const char *connection(const char *status, bool paused)
{
	static char ids[16][ID_MAX];
	char *id = ids[++numbers % 16];

	snprintf(id, ID_MAX, "con_%d", numbers);
	bench_run("INSERT INTO connection (id, organization_id, app_id, live, end_user_id, grant_id, platform, provider, remote_id, account_type,"
		  " status, paused, created_at, updated_at) SELECT '%s', organization_id, id, 0, '%s', '%s', 'net', 'net', '%s', 'keyed', '%s',"
		  " %d, 1, 1 FROM app LIMIT 1", id, end_user, grant_id, id, status, paused);
	return id;
}

/* A delivery of a post of its own. */
UNUSED static const char *delivery(const char *con, const char *state, int64_t due_at)
{
	static char ids[16][ID_MAX];
	char *id = ids[++numbers % 16];

	snprintf(id, ID_MAX, "dlv_%d", numbers);
	bench_run("INSERT INTO post (id, organization_id, app_id, live, status, mode, body, max_late_ms, on_missed, created_at, updated_at)"
		  " SELECT 'post_%d', organization_id, id, 0, 'scheduled', 'now', '{}', 0, 'publish', 1, 1 FROM app LIMIT 1", numbers);
	bench_run("INSERT INTO delivery (id, organization_id, app_id, live, post_id, connection_id, platform, provider, text, content,"
		  " content_hash, state, due_at, on_missed, owner_epoch, created_at, updated_at) SELECT '%s', organization_id, id, 0, 'post_%d',"
		  " '%s', 'net', 'net', 'words', '{}', 'h', '%s', %lld, 'publish', 1, 1, 1 FROM app LIMIT 1", id, numbers, con, state,
		  (long long)due_at);
	return id;
}

UNUSED static const char *operation(const char *kind, const char *con, int64_t due_at)
{
	static char ids[16][ID_MAX];
	char *id = ids[++numbers % 16];

	snprintf(id, ID_MAX, "op_%d", numbers);
	bench_run("INSERT INTO operation (id, organization_id, app_id, live, kind, platform, provider, connection_id, status, phase, due_at,"
		  " deadline_at, created_at, updated_at) SELECT '%s', organization_id, id, 0, '%s', 'net', 'net', %s%s%s, 'running', 'start',"
		  " %lld, %lld, 1, 1 FROM app LIMIT 1", id, kind, con ? "'" : "", con ? con : "NULL", con ? "'" : "", (long long)due_at,
		  (long long)bench.now + 600000);
	return id;
}

UNUSED static struct op *of_delivery(const char *id)
{
	struct db_conn *c = db_take(bench.store.db);
	struct op *op = op_of_delivery(bench.e, c, id);

	db_give(c);
	return op;
}

UNUSED static struct op *of_operation(const char *id)
{
	struct db_conn *c = db_take(bench.store.db);
	struct op *op = op_of_operation(bench.e, c, id);

	db_give(c);
	return op;
}

#endif
