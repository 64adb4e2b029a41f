/*
 * Refreshing tokens: single flight per grant.  An op that needs fresh tokens waits here; one refresh operation
 * runs; then every waiter reads the grant again.  The lease in the store (taken with the refresh's intent)
 * keeps a second process out, and tells a restart that the old token may be burnt.
 */
#include "core/engine/op.h"

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/text.h"

#define EARLY_MS (60 * 1000)
#define DUE_MAX 50

/* How long before its end a token is not used any more: a fifth of a short life, or it would be renewed at every use. */
static int64_t early(const struct grant *g)
{
	int64_t fifth = (g->expires_at - g->refreshed_at) / 5;

	return fifth >= 0 && fifth < EARLY_MS ? fifth : EARLY_MS;
}

bool refresh_needed(const struct op *op, int64_t now)
{
	static const char *const own[] = {"register", "authorize", "exchange", "refresh", NULL};

	for (int i = 0; own[i] != NULL; i++)
		if (text_eq(own[i], op->row.kind))
			return false;
	return op->has_grant && op->target == NULL && op->grant.refreshable && op->grant.expires_at > 0 &&
	       now > op->grant.expires_at - early(&op->grant);
}

static struct op *running(struct engine *e, const char *grant_id)
{
	for (struct op *op = e->ops.next; op != &e->ops; op = op->next)
		if (text_eq(op->row.kind, "refresh") && text_eq(op->grant.id, grant_id))
			return op;
	return NULL;
}

bool refresh_running(const struct op *op)
{
	return running(op->e, op->grant.id) != NULL;
}

static struct op *start(struct engine *e, struct db_conn *c, const char *grant_id)
{
	struct op *op = op_of_refresh(e, c, grant_id);

	if (op != NULL)
		op_step(op, "start");
	return op;
}

static bool start_alone(struct engine *e, const char *grant_id)
{
	DB_READ_AUTO struct db_conn *c = db_take(e->db);

	return start(e, c, grant_id) != NULL;
}

static bool is_over(const struct grant *g)
{
	return text_eq(g->status, "reauth_required") || text_eq(g->status, "revoked") || text_eq(g->status, "closed");
}

/* The last refresh failed, and it is not time for the next: who comes meanwhile learns that without a request. */
static bool cooling(const struct grant *g)
{
	return g->refresh_failures > 0 && g->refresh_at > clock_now();
}

/* Another may have renewed it, or learned that it is over, since this op read it: then nothing is asked again. */
void refresh_wait(struct op *op)
{
	int64_t version = op->grant.token_version;
	bool there;

	op->at = OP_REFRESHING;
	if (running(op->e, op->grant.id) != NULL)
		return;
	there = op_reload_grant(op) && !is_over(&op->grant);
	if (there && op->grant.token_version == version && !cooling(&op->grant) && start_alone(op->e, op->grant.id))
		return;
	op->at = OP_COMMITTING;
	op_refreshed(op, there && op->grant.token_version != version);
}

enum rc refresh_lease(struct cx *cx, struct db_conn *c, struct op *op, int64_t now)
{
	(void)cx;
	if (!grant_lease(c, &op->grant, op->id, now)) {	/* refreshed meanwhile, or being refreshed elsewhere: waiters read again */
		op->change.fenced_off = true;
		db_run(c, "DELETE FROM operation WHERE id = ?1 AND organization_id = ?2", "ss", op->id, op->grant.owner.organization_id);
	}
	return RC_OK;
}

void refresh_ended(struct engine *e, const char *grant_id, bool ok)
{
	struct op *op = e->ops.next, *next;

	for (; op != &e->ops; op = next) {
		next = op->next;
		if (op->at != OP_REFRESHING || !text_eq(op->grant.id, grant_id))
			continue;
		op->at = OP_COMMITTING;
		op_refreshed(op, op_reload_grant(op) && ok);
	}
}

void refresh_due(struct engine *e, struct db_conn *c, int64_t now)
{
	ARENA_AUTO struct arena a;
	const char *ids[DUE_MAX];
	int n = 0;

	arena_init(&a, 65536);
	{
		STMT_AUTO struct stmt *s = db_query(c, "SELECT id FROM auth_grant WHERE refresh_at <= ?1 AND refresh_operation_id IS NULL"
						    " AND status IN ('new', 'active') ORDER BY refresh_at LIMIT 50", "i", now);

		while (n < DUE_MAX && db_next(s))
			ids[n++] = db_dup(s, 0, &a);
	}
	for (int i = 0; i < n; i++)
		if (running(e, ids[i]) == NULL)
			start(e, c, ids[i]);
}
