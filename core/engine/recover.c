/*
 * Taking over from a dead owner.  The flock on the store proves that no older process lives, so every older
 * epoch is dead and nothing of it can still send.
 *
 *   processing   nothing irreversible was sent: queued again, from the phase last committed
 *   committing   keyed and inside its window: sent again with the same key; everything else: unconfirmed
 *   waiting ones are adopted as they are
 */
#include "core/engine/op.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/model/sweep.h"

/* Stands in the index of what is neither waiting for its time nor over; a start must not read every delivery. */
#define OPEN "state IN ('processing', 'committing', 'awaiting_platform', 'awaiting_user', 'blocked', 'unconfirmed')"

static enum rc adopt(struct cx *cx, struct db_conn *c, void *arg)
{
	struct engine *e = arg;
	int64_t now = clock_now(), last;

	last = db_number(c, 0, "SELECT created_at FROM event ORDER BY sequence DESC LIMIT 1", "");
	if (last > now)			/* the clock was set back while nobody worked */
		sweep_set_back(c, last - now, now);
	db_run(c, "UPDATE delivery SET state = 'queued', due_at = ?2, deadline_at = NULL, owner_epoch = ?1, claim = claim + 1, updated_at = ?2"
	       " WHERE " OPEN " AND state = 'processing'", "ii", e->epoch, now);
	db_run(c, "UPDATE delivery SET owner_epoch = ?1, claim = claim + 1"
	       " WHERE " OPEN " AND state IN ('committing', 'awaiting_platform', 'awaiting_user', 'unconfirmed')", "i", e->epoch);
	/* nobody worked while the server was down: what is decided below is not overdue before it was tried */
	db_run(c, "UPDATE delivery SET deadline_at = ?1 WHERE " OPEN " AND state = 'committing'", "i",
	       delivery_deadline(DELIVERY_COMMITTING, now));
	db_run(c, "UPDATE operation SET due_at = ?1, owner_epoch = ?2 WHERE status = 'running' AND kind <> 'publish' AND due_at IS NULL", "ii",
	       now, e->epoch);
	db_run(c, "UPDATE auth_grant SET refresh_operation_id = NULL, refresh_at = ?1 WHERE refresh_operation_id IS NOT NULL AND NOT EXISTS"
	       " (SELECT 1 FROM operation WHERE id = auth_grant.refresh_operation_id AND status = 'running')", "i", now);
	return db_rc(c) == RC_OK ? RC_OK : db_fail(cx, c);
}

static int list_committing(struct db_conn *c, char (**ret)[ID_MAX])
{
	char (*ids)[ID_MAX] = NULL;
	int n = 0, size = 0;
	STMT_AUTO struct stmt *s = db_query(c, "SELECT id FROM delivery WHERE " OPEN " AND state = 'committing'", "");

	while (db_next(s)) {
		if (n == size) {
			size = size ? size * 2 : 256;
			ids = realloc(ids, sizeof *ids * (size_t)size);
			if (ids == NULL)
				out_of_memory(__func__);
		}
		snprintf(ids[n++], ID_MAX, "%s", db_text_or(s, 0, ""));
	}
	*ret = ids;
	return n;
}

enum rc recover(struct cx *cx, struct engine *e)
{
	enum rc rc = db_write(cx, e->db, adopt, e);
	char (*ids)[ID_MAX];
	struct db_conn *c;
	int n;

	if (rc != RC_OK)
		return rc;
	c = db_take(e->db);
	n = list_committing(c, &ids);
	for (int i = 0; i < n; i++) {
		struct op *op = op_of_delivery(e, c, ids[i]);

		if (op != NULL)
			outcome_recover(op);
	}
	rc = db_rc(c) == RC_OK ? RC_OK : db_fail(cx, c);	/* nobody may be left out: the supervisor tries again */
	db_give(c);
	free(ids);
	if (n > 0)
		log_info("engine", "%d deliveries were between request and answer when the last server stopped", n);
	return rc;
}
