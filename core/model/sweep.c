/*
 * Sweeping: see sweep.h.  An overdue move advances the claim, so that whoever still holds the delivery in
 * memory is fenced off.
 */
#include "core/model/sweep.h"

#include "core/base/buf.h"
#include "core/base/clock.h"
#include "core/base/jsonw.h"
#include "core/model/connect.h"
#include "core/model/event.h"
#include "core/model/post.h"
#include "core/model/post_child.h"

#define ROUND 200
#define SETTLE_MS 60000
#define IDEMPOTENCY_MS (48ll * 3600 * 1000)
#define EVENT_MS (30ll * 24 * 3600 * 1000)
#define DISCONNECTED_MS (30ll * 24 * 3600 * 1000)

struct late { const char *id, *post_id, *state; struct owner owner; };

static void announce(struct db_conn *c, const struct late *l, int64_t now)
{
	BUF_AUTO struct buf data;
	struct jsonw w;

	buf_init(&data, 4096);
	jsonw_init(&w, &data);
	jsonw_object(&w, "");
	jsonw_object(&w, "object");
	jsonw_text(&w, "id", l->id);
	jsonw_text(&w, "postId", l->post_id);
	jsonw_text(&w, "status", l->state);
	jsonw_object_end(&w);
	jsonw_object_end(&w);
	jsonw_end(&w);
	event_add(c, &l->owner, "delivery.overdue", NULL, buf_text(&data), now);
}

static int overdue(struct db_conn *c, int64_t now)
{
	ARENA_AUTO struct arena a;
	struct late late[ROUND];
	int n = 0;

	arena_init(&a, 1u << 20);
	{
		STMT_AUTO struct stmt *s = db_query(c,
			"UPDATE delivery SET overdue = 1, claim = claim + 1, version = version + 1, updated_at = ?1,"
			" reason = CASE WHEN state IN ('committing', 'awaiting_platform') THEN 'overdue' ELSE reason END,"
			" unconfirmed_at = CASE WHEN state IN ('committing', 'awaiting_platform') THEN ?1 ELSE unconfirmed_at END,"
			" due_at = CASE WHEN state = 'processing' THEN ?1 WHEN state IN ('committing', 'awaiting_platform') THEN ?2 ELSE due_at END,"
			" deadline_at = CASE WHEN state IN ('committing', 'awaiting_platform') THEN ?3 ELSE NULL END,"
			" state = CASE WHEN state = 'processing' THEN 'queued'"
			" WHEN state IN ('committing', 'awaiting_platform') THEN 'unconfirmed' ELSE state END"
			" WHERE id IN (SELECT id FROM delivery WHERE deadline_at <= ?1 ORDER BY deadline_at LIMIT 200)"
			" RETURNING id, post_id, state, organization_id, app_id, live",
			"iii", now, now + SETTLE_MS, now + 7ll * 24 * 3600 * 1000);

		while (db_next(s))
			if (n < ROUND)
				late[n++] = (struct late){db_dup(s, 0, &a), db_dup(s, 1, &a), db_dup(s, 2, &a),
							  {db_dup(s, 3, &a), db_dup(s, 4, &a), db_int(s, 5)}};
	}
	for (int i = 0; i < n; i++) {
		announce(c, &late[i], now);
		post_derive_id(c, late[i].post_id, now);
	}
	return n;
}

static void expire_sessions(struct db_conn *c, int64_t now)
{
	ARENA_AUTO struct arena a;
	const char *ids[ROUND];
	int n = 0;

	arena_init(&a, 65536);
	db_run(c, "UPDATE auth_grant SET status = 'closed', secrets = NULL, facts = NULL, refresh_at = NULL, updated_at = ?1 WHERE id IN"
	       " (SELECT grant_id FROM connect_session WHERE status IN ('pending', 'opened', 'authorizing', 'selecting') AND expires_at <= ?1)"
	       " AND NOT EXISTS (SELECT 1 FROM connection WHERE grant_id = auth_grant.id)", "i", now);
	{
		STMT_AUTO struct stmt *s = db_query(c,
			"UPDATE connect_session SET status = 'expired', state_mac = NULL, completed_at = ?1 WHERE id IN (SELECT id FROM connect_session"
			" WHERE status IN ('pending', 'opened', 'authorizing', 'selecting') AND expires_at <= ?1 LIMIT 200) RETURNING id", "i", now);

		while (db_next(s))
			if (n < ROUND)
				ids[n++] = db_dup(s, 0, &a);
	}
	for (int i = 0; i < n; i++)
		connect_announce(c, ids[i], "connect_session.expired", "connect_session_expired", now);
}

/* An account that stayed disconnected for 30 days does not come back to old posts. */
static void cancel_disconnected(struct db_conn *c, int64_t now)
{
	ARENA_AUTO struct arena a;
	struct late gone[ROUND];
	int n = 0;

	arena_init(&a, 1u << 20);
	{
		STMT_AUTO struct stmt *s = db_query(c,
			"UPDATE delivery SET state = 'canceled', due_at = NULL, deadline_at = NULL, claim = claim + 1, version = version + 1,"
			" updated_at = ?1 WHERE id IN (SELECT d.id FROM connection n JOIN delivery d ON d.connection_id = n.id WHERE"
			" n.status = 'disconnected' AND n.disconnected_at <= ?2 AND d.state = 'blocked' AND d.reason = 'disconnected' LIMIT 200)"
			" RETURNING id, post_id, organization_id", "ii", now, now - DISCONNECTED_MS);

		while (db_next(s))
			if (n < ROUND)
				gone[n++] = (struct late){.id = db_dup(s, 0, &a), .post_id = db_dup(s, 1, &a), .owner = {db_dup(s, 2, &a), NULL, 0}};
	}
	for (int i = 0; i < n; i++) {
		post_child_skip(c, gone[i].id, gone[i].owner.organization_id, now);
		post_derive_id(c, gone[i].post_id, now);
	}
}

/* Operations that nobody has in hand any more (their rows could once not be written): what they meant to do may
 * have been sent.  One that is in hand is not taken up twice. */
static void rescue_operations(struct db_conn *c, int64_t now)
{
	db_run(c, "UPDATE operation SET due_at = ?1 WHERE status = 'running' AND kind <> 'publish' AND due_at IS NULL AND deadline_at <= ?1",
	       "i", now);
}

/* Posts of which nothing was begun keep their time, which a person chose; backoffs, looks and polls are ours. */
void sweep_set_back(struct db_conn *c, int64_t ms, int64_t now)
{
	db_run(c, "UPDATE delivery SET due_at = CASE WHEN due_at - ?1 > ?2 THEN due_at - ?1 ELSE ?2 END WHERE due_at > ?2 AND"
	       " (state IN ('awaiting_platform', 'awaiting_user', 'unconfirmed') OR (state = 'queued' AND claimed_at IS NOT NULL))", "ii",
	       ms, now);
	db_run(c, "UPDATE delivery SET unconfirmed_at = ?1 WHERE state = 'unconfirmed' AND unconfirmed_at > ?1", "i", now);
	for (int s = 0; s < DELIVERY_STATES; s++)
		if (delivery_deadline(s, now) > 0)
			db_run(c, "UPDATE delivery SET deadline_at = ?2 WHERE state = ?1 AND deadline_at > ?2", "si", delivery_state_name(s),
			       delivery_deadline(s, now));
	db_run(c, "UPDATE operation SET due_at = CASE WHEN due_at - ?1 > ?2 THEN due_at - ?1 ELSE ?2 END"
	       " WHERE status = 'running' AND kind <> 'publish' AND due_at > ?2", "ii", ms, now);
	db_run(c, "UPDATE auth_grant SET refresh_at = ?1 WHERE refresh_failures > 0 AND refresh_at > ?1", "i", now);
}

/* What was kept long enough goes by a clock that nobody sets: one day under a wrong date must not take it all. */
static void forget(struct db_conn *c)
{
	int64_t now = clock_steady();

	db_run(c, "DELETE FROM idempotency WHERE created_at < ?1", "i", now - IDEMPOTENCY_MS);
	db_run(c, "DELETE FROM event WHERE created_at < ?1 AND sequence IN (SELECT sequence FROM event ORDER BY sequence LIMIT 1000)", "i",
	       now - EVENT_MS);
}

void sweep_run(struct db_conn *c, int64_t now, int *ret_more)
{
	int n = overdue(c, now);

	expire_sessions(c, now);
	cancel_disconnected(c, now);
	rescue_operations(c, now);
	forget(c);
	*ret_more = n == ROUND;
}
