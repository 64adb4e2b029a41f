/*
 * The store of a moment in the past learns that time went by without it.
 *
 * The one thing to know: between the backup and its restore everything may have happened that this store once allowed,
 * and nobody can tell any more what did.  So whatever could have been sent since is not sent again by itself:
 *
 *   begun, due, or blocked until now    unconfirmed(restored): looked for where an intent tells what to look for, and
 *                                       published if it is found; absence proves nothing here, a person decides
 *   its time is yet to come             blocked(restored): only a caller's act could have sent, moved or canceled it;
 *                                       it goes on when the caller says so, or the operator for all (backup_release)
 *   children of what may be out         unconfirmed(restored) too, or a parent's confirmation would send them
 *   an edit under way                   failed: a later one may have followed
 *   people connecting                   their sessions have ended
 *   unconfirmed                         restored, too: two negative looks would send it again, and it may have been, under
 *                                       a key or with a container that this store does not know
 *   drafts, awaiting_user               as they are: nothing of them sends by itself
 *
 * Event numbers jump to the clock's milliseconds, so that a reader's place in the feed stays behind what comes.
 */
#include <stdio.h>
#include <string.h>

#include "core/base/arena.h"
#include "core/base/text.h"
#include "core/model/backup_parts.h"
#include "core/model/delivery.h"
#include "core/model/post.h"

#define BATCH 200
#define EPOCHS 1000		/* of the servers that ran since */
#define REASON "restored"
#define ERROR "{\"code\":\"platform_unavailable\",\"message\":\"The server was restored from a backup; whether this was published since" \
	" the backup is not known.\",\"retryable\":false}"

struct held { const char *id, *post_id, *organization_id, *state; };

/* A page of each, behind `last`: one pass over the table, however many there are. */
static struct stmt *may_be_out(struct db_conn *c, const char *last, int64_t now)
{
	return db_query(c, "SELECT id, post_id, organization_id, state FROM delivery WHERE id > ?1"
		" AND (state IN ('processing', 'committing', 'awaiting_platform')"
		" OR (state = 'queued' AND (claimed_at IS NOT NULL OR due_at <= ?2))"
		" OR (state = 'unconfirmed' AND COALESCE(reason, '') <> '" REASON "')"
		" OR (state = 'blocked' AND (COALESCE(reason, '') <> '" REASON "' OR scheduled_at <= ?2))) ORDER BY id LIMIT 200", "si", last, now);
}

static struct stmt *children(struct db_conn *c, const char *last, int64_t now)
{
	(void)now;
	return db_query(c, "SELECT d.id, d.post_id, d.organization_id, d.state FROM delivery d JOIN delivery p ON p.id = d.parent_delivery_id"
		" WHERE d.id > ?1 AND d.state = 'pending' AND p.state IN ('unconfirmed', 'published', 'awaiting_user') ORDER BY d.id LIMIT 200",
		"s", last);
}

static struct stmt *yet_to_come(struct db_conn *c, const char *last, int64_t now)
{
	(void)now;
	return db_query(c, "SELECT id, post_id, organization_id, state FROM delivery WHERE id > ?1 AND state = 'queued' ORDER BY id LIMIT 200",
			"s", last);
}

static int list(struct stmt *s, struct arena *a, struct held *ret)
{
	int n = 0;

	while (n < BATCH && db_next(s)) {
		ret[n] = (struct held){db_dup(s, 0, a), db_dup(s, 1, a), db_dup(s, 2, a), db_dup(s, 3, a)};
		n++;
	}
	db_end(s);
	return n;
}

/* What was being sent, or is processed by the platform, can be asked for; of the rest the step machine goes: what it
 * made is of the past, and a caller's retry begins anew. */
static void hold_unconfirmed(struct db_conn *c, const struct held *d, int64_t now)
{
	if (!text_eq(d->state, "awaiting_platform") && !text_eq(d->state, "unconfirmed"))
		db_run(c, "DELETE FROM operation WHERE delivery_id = ?1 AND organization_id = ?2 AND kind = 'publish'"
		       " AND (intent IS NULL OR event <> 'lost')", "ss", d->id, d->organization_id);
	db_run(c, "UPDATE operation SET resent = 1 WHERE delivery_id = ?1 AND organization_id = ?2 AND kind = 'publish'", "ss", d->id,
	       d->organization_id);
	db_run(c, "UPDATE delivery SET state = 'unconfirmed', reason = '" REASON "', deadline_at = ?4, overdue = 0, looks = 0, absents = 0,"
	       " unconfirmed_at = ?3, claim = claim + 1, error = ?5, version = version + 1, updated_at = ?3,"
	       " due_at = (SELECT MIN(?3 + 0) FROM operation o WHERE o.delivery_id = delivery.id AND o.kind = 'publish')"
	       " WHERE id = ?1 AND organization_id = ?2", "ssiis", d->id, d->organization_id, now,
	       delivery_deadline(DELIVERY_UNCONFIRMED, now), ERROR);
	delivery_announce(c, d->id, "delivery.unconfirmed", now);
}

static void hold_blocked(struct db_conn *c, const struct held *d, int64_t now)
{
	db_run(c, "UPDATE delivery SET state = 'blocked', reason = '" REASON "', due_at = NULL, deadline_at = ?4, overdue = 0, claim = claim + 1,"
	       " version = version + 1, updated_at = ?3 WHERE id = ?1 AND organization_id = ?2", "ssii", d->id, d->organization_id, now,
	       delivery_deadline(DELIVERY_BLOCKED, now));
	delivery_announce(c, d->id, "delivery.blocked", now);
}

/* In this order; each again until a pass finds none, for a child's own children. */
static const struct {
	struct stmt *(*find)(struct db_conn *c, const char *last, int64_t now);
	void (*hold)(struct db_conn *c, const struct held *d, int64_t now);
	bool blocked;
} rounds[] = {
	{may_be_out, hold_unconfirmed, false},
	{children, hold_unconfirmed, false},
	{yet_to_come, hold_blocked, true},
};

struct page { int which; int64_t now; char last[ID_MAX], next[ID_MAX]; int n; };

static enum rc page_write(struct cx *cx, struct db_conn *c, void *arg)
{
	ARENA_AUTO struct arena a;
	struct held found[BATCH];
	struct page *p = arg;

	arena_init(&a, 1u << 20);
	p->n = list(rounds[p->which].find(c, p->last, p->now), &a, found);
	for (int i = 0; i < p->n; i++) {
		rounds[p->which].hold(c, &found[i], p->now);
		post_derive_id(c, found[i].post_id, p->now);
		snprintf(p->next, sizeof p->next, "%s", found[i].id);
	}
	return db_fail(cx, c);
}

static enum rc pass(struct cx *cx, struct db *db, int which, int64_t now, int64_t *ret)
{
	struct page p = {.which = which, .now = now, .n = BATCH};
	enum rc rc = RC_OK;

	for (*ret = 0; rc == RC_OK && p.n == BATCH; *ret += p.n) {
		rc = db_write(cx, db, page_write, &p);
		memcpy(p.last, p.next, sizeof p.last);
	}
	return rc;
}

static enum rc deliveries(struct cx *cx, struct db *db, int64_t now, struct backup_restored *ret)
{
	enum rc rc = RC_OK;

	for (int which = 0; rc == RC_OK && which < (int)(sizeof rounds / sizeof rounds[0]); which++)
		for (int64_t n = 1; rc == RC_OK && n > 0;) {
			rc = pass(cx, db, which, now, &n);
			*(rounds[which].blocked ? &ret->blocked : &ret->unconfirmed) += n;
		}
	return rc;
}

/* ---- edits ----------------------------------------------------------------------------------------- */

#define EDIT_ERROR "{\"code\":\"edit_outcome_unknown\"," \
	"\"message\":\"The server was restored from a backup while the edit was under way.\",\"retryable\":true}"

static void edits(struct db_conn *c, int64_t now)
{
	ARENA_AUTO struct arena a;
	struct held found[BATCH];
	int n;

	arena_init(&a, 1u << 20);
	do {
		n = list(db_query(c, "UPDATE operation SET status = 'failed', error = ?1, intent = NULL, intent_class = NULL,"
			" due_at = NULL, updated_at = ?2 WHERE id IN (SELECT id FROM operation WHERE status = 'running' AND kind = 'edit' LIMIT 200)"
			" RETURNING delivery_id, id, organization_id, kind", "si", EDIT_ERROR, now), &a, found);
		for (int i = 0; i < n; i++)
			delivery_edit_failed(c, found[i].id, found[i].organization_id, EDIT_ERROR, true, now);
	} while (n == BATCH);
}

/* ---- the rest --------------------------------------------------------------------------------------- */

struct rest { int64_t now; struct backup_restored *done; };

static enum rc rest_write(struct cx *cx, struct db_conn *c, void *arg)
{
	struct rest *r = arg;

	db_sequence_jump(c, "event", r->now);
	edits(c, r->now);
	r->done->sessions = db_run(c, "UPDATE connect_session SET expires_at = ?1, state_mac = NULL"
				   " WHERE status IN ('pending', 'opened', 'authorizing', 'selecting') AND expires_at > ?1", "i", r->now);
	r->done->operations = db_run(c, "UPDATE operation SET status = 'failed', error = ?2, intent = NULL, intent_class = NULL,"
				     " due_at = NULL, updated_at = ?1 WHERE status = 'running' AND connect_session_id IS NOT NULL", "is", r->now, ERROR);
	db_run(c, "UPDATE server SET epoch = epoch + ?1, stopped_at = NULL WHERE id = 'engine'", "i", (int64_t)EPOCHS);
	return db_fail(cx, c);
}

enum rc restore_hold(struct cx *cx, struct db *db, int64_t now, struct backup_restored *ret)
{
	struct rest r = {.now = now, .done = ret};
	enum rc rc = db_write(cx, db, rest_write, &r);	/* first: the events of the others come after the jump */

	return rc == RC_OK ? deliveries(cx, db, now, ret) : rc;
}

/* ---- letting go ------------------------------------------------------------------------------------- */

enum rc backup_release(struct cx *cx, struct db_conn *c, const char *organization_id, int64_t now, int64_t *ret)
{
	ARENA_AUTO struct arena a;
	struct held found[BATCH];

	arena_init(&a, 4u << 20);
	int n = list(db_query(c, "SELECT id, post_id, organization_id, state FROM delivery WHERE state = 'blocked' AND reason = '" REASON "'"
			      " AND organization_id = COALESCE(?1, organization_id) LIMIT 200", "s", organization_id), &a, found);
	*ret = 0;
	for (int i = 0; i < n; i++) {
		struct delivery d = {0};
		if (!delivery_load(c, found[i].id, found[i].organization_id, &a, &d))
			continue;
		struct delivery_move m = {
			.id = d.id, .post_id = d.post_id, .owner = &d.owner, .from = DELIVERY_BLOCKED, .to = DELIVERY_QUEUED,
			.due_at = d.scheduled_at > 0 ? d.scheduled_at : now, .retries = d.retries,
		};
		*ret += delivery_move(c, &m, now) == 1;
	}
	return db_fail(cx, c);
}
