/*
 * Claiming: which due rows become operations now.
 *
 * Fair: organizations are taken in the order of their last claim, each gets a share, what is left is filled.
 * Ordered: a delivery waits while its connection has one in processing or committing.  Nothing here writes; the
 * claim itself is part of the first commit, under the row's claim number and content version.
 */
#include "core/engine/op.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/rc.h"
#include "core/base/text.h"

#define PAGE 200
#define SCAN_AGAIN_MS 500
#define SCAN_MS 5000		/* look at least this often: the wall clock may have been set */
#define SET_SIZE 16384		/* ids in work; a power of two over four times the ops */

struct scan {
	struct engine *e;
	struct db_conn *c;
	int64_t now, next;	/* next: the earliest time at which something becomes due */
	int room;
	const char *set[SET_SIZE];
};

/* ---- ids in work --------------------------------------------------------------------------------------- */

static size_t slot_of(const struct scan *s, const char *id)
{
	uint32_t h = 2166136261u;

	for (const char *p = id; *p != '\0'; p++)
		h = (h ^ (unsigned char)*p) * 16777619u;
	h &= SET_SIZE - 1;
	while (s->set[h] != NULL && !text_eq(s->set[h], id))
		h = (h + 1) & (SET_SIZE - 1);
	return h;
}

static void in_work(struct scan *s, const char *id)
{
	s->set[slot_of(s, id)] = id;
}

static bool is_in_work(const struct scan *s, const char *id)
{
	return s->set[slot_of(s, id)] != NULL;
}

/* An op that only reads (looking, polling) does not hold its connection. */
static void note_op(struct scan *s, const struct op *op)
{
	in_work(s, op->id);
	if (!op->publish)
		return;
	in_work(s, op->d.id);
	if (!op->looking && (!op->accepted || op->state == DELIVERY_COMMITTING))
		in_work(s, op->d.connection_id);
}

/* What only waits for the commit of its end holds no place: the next one goes out meanwhile. */
static bool is_ending(const struct op *op)
{
	return op->at == OP_COMMITTING && op->change.after == AFTER_END;
}

/* ---- one delivery -------------------------------------------------------------------------------------- */

static bool too_late(const struct op *op, int64_t now)
{
	return op->state == DELIVERY_QUEUED && op->d.late_after > 0 && now > op->d.late_after && op->d.claimed_at == 0 &&
	       !text_eq(op->d.on_missed, "publish");
}

/* partialPolicy stop_on_first_failure: what was not begun when a sibling failed is not begun any more. */
static bool stopped_by_sibling(const struct scan *s, const struct op *op)
{
	return op->state == DELIVERY_QUEUED && op->d.claimed_at == 0 &&
	       db_number(s->c, 0, "SELECT COUNT(*) FROM post p JOIN delivery d ON d.post_id = p.id WHERE p.id = ?1 AND p.organization_id = ?2"
			 " AND p.stop_on_failure = 1 AND d.state = 'failed'", "ss", op->d.post_id, op->row.owner.organization_id) > 0;
}

static bool within_rate(struct op *op, int64_t *ret_wait)
{
	double rate = op->platform ? op->platform->publish_per_s : 0;

	*ret_wait = 0;
	return op->looking || op->accepted ||
	       limit_take(op->e->limit, op->d.connection_id, rate > 0 ? rate : 1000, rate > 0 ? op->platform->publish_burst : 1000,
			  clock_mono(), ret_wait);
}

static void start(const struct scan *s, struct op *op)
{
	int64_t wait, now = s->now;

	if (op->looking && text_eq(op->phase, "start") && text_eq(op->event, "start"))
		outcome_look(op, false);	/* held back by a restore: of what may have been sent there is nothing to look with */
	else if (op->blocked != NULL && op->state == DELIVERY_QUEUED)
		outcome_block(op, op->blocked);
	else if (too_late(op, now))
		outcome_missed(op, "missed");
	else if (stopped_by_sibling(s, op))
		outcome_missed(op, "sibling_failed");
	else if (!within_rate(op, &wait))
		outcome_later(op, wait);
	else if (refresh_needed(op, now))
		refresh_wait(op);
	else
		outcome_resume(op);
}

static void admit(struct scan *s, const char *delivery_id)
{
	struct op *op = op_of_delivery(s->e, s->c, delivery_id);

	if (op == NULL) {
		s->next = s->now + SCAN_AGAIN_MS;
		return;
	}
	s->room--;
	note_op(s, op);
	start(s, op);
}

/* ---- one organization ---------------------------------------------------------------------------------- */

/* Admits up to share rows of an organization; returns how many.  Rows in work still stand there until their
 * claim is committed. */
static int claim_org(struct scan *s, const char *state, const char *org, int share)
{
	bool ordered = text_eq(state, "queued");
	char id[ID_MAX];
	int taken = 0;
	STMT_AUTO struct stmt *q = db_query(s->c,
		CLAIM_DUE,
		"ssi", state, org, s->now);

	while (taken < share && s->room > 0 && db_next(q)) {
		snprintf(id, sizeof id, "%s", db_text_or(q, 0, ""));
		if (is_in_work(s, id) || (ordered && is_in_work(s, db_text_or(q, 1, ""))))
			continue;
		admit(s, id);
		taken++;
	}
	return taken;
}

/* ---- all organizations --------------------------------------------------------------------------------- */

static uint64_t claimed_before(const struct engine *e, const char *id)
{
	int low = 0, high = e->org_count;

	while (low < high) {
		int middle = (low + high) / 2, d = strcmp(e->orgs[middle].id, id);

		if (d == 0)
			return e->orgs[middle].claimed;
		if (d < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return 0;
}

/* One index seek per organization that has rows in this state: its earliest due time. */
static int list_orgs(struct scan *s, const char *state, struct org_due **ret)
{
	struct org_due *orgs = NULL;
	char last[ID_MAX] = "";
	int n = 0, size = 0;

	for (;;) {
		STMT_AUTO struct stmt *q = db_query(s->c,
			CLAIM_NEXT_ORGANIZATION, "ss", state, last);

		if (!db_next(q))
			break;
		if (n == size) {
			size = size ? size * 2 : 64;
			orgs = realloc(orgs, sizeof *orgs * (size_t)size);
			if (orgs == NULL)
				out_of_memory(__func__);
		}
		snprintf(orgs[n].id, ID_MAX, "%s", db_text_or(q, 0, ""));
		orgs[n].due_at = db_int(q, 1);
		orgs[n].claimed = claimed_before(s->e, orgs[n].id);
		memcpy(last, orgs[n++].id, ID_MAX);
	}
	*ret = orgs;
	return n;
}

static int by_claim(const void *a, const void *b)
{
	const struct org_due *x = a, *y = b;

	return x->claimed < y->claimed ? -1 : x->claimed > y->claimed;
}

static int by_id(const void *a, const void *b)
{
	const struct org_due *x = a, *y = b;

	return strcmp(x->id, y->id);
}

static void claim_state(struct scan *s, const char *state)
{
	struct org_due *orgs;
	int n = list_orgs(s, state, &orgs), due = 0, share;

	if (n == 0)
		return;
	for (int i = 0; i < n; i++) {
		if (orgs[i].due_at > s->now && orgs[i].due_at < s->next)
			s->next = orgs[i].due_at;
		due += orgs[i].due_at <= s->now;
	}
	share = due > 0 ? s->room / due : 0;
	qsort(orgs, (size_t)n, sizeof *orgs, by_claim);
	for (int round = 0; round < 2 && due > 0; round++)
		for (int i = 0; i < n && s->room > 0; i++)
			if (orgs[i].due_at <= s->now && claim_org(s, state, orgs[i].id, round == 0 ? (share > 0 ? share : 1) : s->room) > 0)
				orgs[i].claimed = ++s->e->claim_number;
	if (text_eq(state, "queued")) {
		qsort(orgs, (size_t)n, sizeof *orgs, by_id);
		free(s->e->orgs);
		s->e->orgs = orgs;
		s->e->org_count = n;
	} else {
		free(orgs);
	}
}

/* ---- operations of other kinds --------------------------------------------------------------------------- */

static void start_operation(struct scan *s, const char *id)
{
	struct op *op = op_of_operation(s->e, s->c, id);

	if (op == NULL) {
		s->next = s->now + SCAN_AGAIN_MS;
		return;
	}
	note_op(s, op);
	if (edit_is(op))
		edit_begin(op);
	else if (text_eq(op->event, "lost"))
		connect_lost(op);
	else if (refresh_needed(op, s->now) || (text_eq(op->row.kind, "revoke") && refresh_running(op)))
		refresh_wait(op);	/* what is to be taken back is what the refresh brings */
	else
		op_step(op, op->event);
}

static void claim_operations(struct scan *s)
{
	char ids[PAGE][ID_MAX];
	int n = 0;
	int64_t next;

	{
		STMT_AUTO struct stmt *q = db_query(s->c,
			"SELECT id FROM operation o WHERE status = 'running' AND kind <> 'publish' AND due_at <= ?1 AND NOT (kind = 'remove' AND EXISTS"
			" (SELECT 1 FROM operation e WHERE e.delivery_id = o.delivery_id AND e.status = 'running' AND e.kind <> 'publish'"
			" AND e.kind = 'edit')) ORDER BY due_at LIMIT 200", "i", s->now);	/* an edit must not bring back what was removed */

		while (n < PAGE && db_next(q))
			snprintf(ids[n++], ID_MAX, "%s", db_text_or(q, 0, ""));
	}
	for (int i = 0; i < n; i++)
		if (!is_in_work(s, ids[i]))
			start_operation(s, ids[i]);
	next = db_number(s->c, 0, "SELECT MIN(due_at) FROM operation WHERE status = 'running' AND kind <> 'publish' AND due_at > ?1", "i", s->now);
	if (next > 0 && next < s->next)
		s->next = next;
}

void claim_due(struct engine *e)
{
	static const char *const states[] = {"unconfirmed", "awaiting_platform", "awaiting_user", "queued"};
	struct scan *s = calloc(1, sizeof *s);
	int limit = e->config.conf->in_flight > 0 ? e->config.conf->in_flight : 1000, open = 0;
	int64_t limits;
	int batch = e->config.conf->claim_batch > 0 ? e->config.conf->claim_batch : 200;

	if (s == NULL)
		out_of_memory(__func__);
	s->e = e;
	s->now = clock_now();
	s->next = s->now + SCAN_MS;
	s->c = db_take(e->db);
	for (const struct op *op = e->ops.next; op != &e->ops; op = op->next) {
		note_op(s, op);
		open += !is_ending(op);
	}
	s->room = limit - open < batch ? limit - open : batch;
	claim_operations(s);
	refresh_due(e, s->c, s->now);
	limits = limits_due(e, s->c, s->now);
	if (limits > 0 && limits < s->next)
		s->next = limits;
	for (size_t i = 0; i < sizeof states / sizeof states[0] && s->room > 0; i++)
		claim_state(s, states[i]);
	if (db_rc(s->c) != RC_OK)	/* what is due was not seen */
		s->next = s->now + SCAN_AGAIN_MS;
	db_give(s->c);
	e->scan_at = s->room > 0 ? s->next : 0;	/* full: come back as soon as this batch is out */
	e->scanned_at = clock_mono();
	free(s);
}
