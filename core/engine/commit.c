/*
 * Commits: what one turn learned goes to the writer as one closure, and only when it is durable do the ops go
 * on.  One commit is out while the next turn collects.
 *
 * A storage error keeps the whole batch for another try: nothing of it was sent, and nothing that was learned
 * is forgotten.  Any other error is hunted down one op at a time, so that it cannot stall the others.
 */
#include "core/engine/op.h"

#include <stdio.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/failpoint.h"
#include "core/base/log.h"
#include "core/base/text.h"
#include "core/model/data_key.h"
#include "core/model/post.h"

#define RETRY_MS 500

/* The store is damaged and takes no more writes: what the platform has told is at least in the log. */
static void tell_unwritten(const struct op *op)
{
	if (op->publish && op->change.move && op->change.to.to == DELIVERY_PUBLISHED)
		log_error("engine", "delivery %s is published at %s as %s, and that could not be written: the store is damaged", op->d.id,
			  op->row.platform, op->remote_id ? op->remote_id : "?");
}

void op_commit(struct op *op, enum after after)
{
	struct engine *e = op->e;

	op->change.after = after;
	op->at = OP_COMMITTING;
	e->batch[e->batch_count++] = op;
	if (db_rescue(e->db))
		tell_unwritten(op);
}

/* ---- inside the writer: may run more than once ------------------------------------------------------ */

/* The numbered handles alone: their records are copied as they lie in the bag, head (7 bytes) included. */
static enum rc seal_numbered(struct cx *cx, struct db_conn *c, struct op *op, struct buf *out)
{
	DATA_KEY_AUTO struct data_key key = {0};
	struct buf bag;
	size_t at = 0;
	struct rec r;
	enum rc rc;

	buf_init(&bag, BAG_MAX);
	while (rec_next(op->secrets.data, op->secrets.len, &at, &r, NULL))
		if (r.key_len > 4 && memcmp(r.key, "sec:", 4) == 0)
			buf_add(&bag, r.key - 7, 7 + (size_t)r.key_len + r.value_len);
	rc = bag.len == 0 ? RC_OK : data_key_open(cx, c, op->e->vault, op->row.owner.organization_id, op->grant.end_user_id, &key);
	if (rc == RC_OK && bag.len > 0)
		rc = data_key_seal(cx, &key, op->row.owner.organization_id, "operation", "secrets", op->id, bag.data, bag.len, out);
	buf_wipe(&bag);
	return rc;
}

static enum rc save_row(struct cx *cx, struct db_conn *c, struct op *op, int64_t now)
{
	BUF_AUTO struct buf sealed;
	struct operation row = op->row;
	enum rc rc = RC_OK;

	buf_init(&sealed, BAG_MAX);
	if (op->secret_touched && !op->change.reset)
		rc = seal_numbered(cx, c, op, &sealed);
	if (rc != RC_OK)
		return rc;
	row.state = op->saved.len > 0 ? op->saved.data : NULL;
	row.state_len = op->saved.len;
	row.intent = op->intent.len > 0 ? op->intent.data : NULL;
	row.intent_len = op->intent.len;
	if (op->secret_touched) {
		row.secrets = sealed.len > 0 ? sealed.data : NULL;
		row.secrets_len = sealed.len;
	}
	row.epoch = op->e->epoch;
	row.provider_version = op->platform ? op->platform->version : row.provider_version;
	row.state_version = op->platform ? op->platform->state_max : row.state_version;
	operation_save(c, &row, now);
	return RC_OK;
}

/* Whoever changed the connection since it was read has released the deliveries that it blocked, but not this one,
 * which was not blocked yet: it looks at the connection again. */
static bool cause_may_be_gone(struct db_conn *c, const struct op *op, const struct delivery_move *m)
{
	return m->to == DELIVERY_BLOCKED && op->connection_version > 0 &&
	       (text_eq(m->reason, "paused") || text_eq(m->reason, "disconnected") || text_eq(m->reason, "reauth")) &&
	       db_number(c, 0, "SELECT version FROM connection WHERE id = ?1 AND organization_id = ?2", "ss", op->d.connection_id,
			 op->d.owner.organization_id) != op->connection_version;
}

static bool move(struct db_conn *c, struct op *op, int64_t now)
{
	const struct delivery_move *m = &op->change.to;
	struct delivery_move again;
	int64_t n;

	/* what most have in common: the claimed row is about to be sent, and both are one change of it */
	if (op->change.claim && op->change.move && m->to == DELIVERY_COMMITTING)
		return delivery_claim_send(c, &op->d, m, now) > 0;
	if (op->change.claim && delivery_claim(c, &op->d, op->e->epoch, now, delivery_deadline(DELIVERY_PROCESSING, now)) <= 0)
		return false;
	if (!op->change.move) {
		if (op->change.claim)
			post_derive(c, op->d.id, now);
		return true;
	}
	if (cause_may_be_gone(c, op, m)) {
		again = *m;
		again.to = DELIVERY_QUEUED;
		again.reason = again.error = NULL;
		again.due_at = now;
		again.deadline_at = 0;
		m = &again;
	}
	n = delivery_move(c, m, now);
	if (n == 0 && m->to == DELIVERY_PUBLISHED)
		n = delivery_prove(c, m, now);
	return n > 0;
}

static enum rc grant_effects(struct cx *cx, struct db_conn *c, struct op *op, int64_t now)
{
	const struct change *ch = &op->change;

	if (ch->denied)
		db_run(c, "UPDATE auth_grant SET denied_at = ?3 WHERE id = ?1 AND organization_id = ?2 AND denied_at IS NULL", "ssi",
		       op->grant.id, op->grant.owner.organization_id, now);
	if (ch->dead_grant)
		grant_dead(c, &op->grant, ch->revoked, ch->reason, now);
	if (ch->tokens)
		return grant_tokens_save(cx, c, op->e->vault, &op->grant, &op->secrets, &op->tokens, now);
	return RC_OK;
}

/* After an I/O error in COMMIT the rows themselves tell whether this change is there already. */
static bool applied(struct db_conn *c, const struct op *op)
{
	const struct delivery_move *m = &op->change.to;
	int64_t claim = op->claim + (op->change.claim ? 1 : 0) + (m->advance ? 1 : 0);

	if (!op->e->uncertain)
		return false;
	if (op->publish)
		return db_number(c, 0, "SELECT COUNT(*) FROM delivery WHERE id = ?1 AND state = ?2 AND owner_epoch = ?3 AND claim = ?4"
				 " AND updated_at >= ?5 AND organization_id = ?6", "ssiiis", op->d.id,
				 op->change.move ? delivery_state_name(m->to) : "processing", op->e->epoch, claim, op->e->out_at,
				 op->row.owner.organization_id) > 0;
	return db_number(c, 0, "SELECT COUNT(*) FROM operation WHERE id = ?1 AND status = ?2 AND phase = ?3 AND updated_at >= ?4"
			 " AND organization_id = ?5", "sssis", op->id, op->row.status, op->row.phase, op->e->out_at, op->row.owner.organization_id) > 0;
}

static enum rc apply(struct cx *cx, struct db_conn *c, struct op *op, int64_t now)
{
	struct change *ch = &op->change;
	enum rc rc = RC_OK;
	bool over;		/* the grant was closed while its tokens were on their way: they are not kept */

	ch->fenced_off = false;
	if (applied(c, op))
		return db_rc(c);
	for (const struct attempt *t = op->attempts; t != NULL; t = t->next)
		attempt_add(c, &op->row.owner, op->id, op->row.delivery_id, t);
	if (op->publish && !move(c, op, now)) {
		ch->fenced_off = true;
		return db_rc(c);
	}
	over = ch->tokens && grant_closed(c, &op->grant);
	rc = over ? RC_OK : grant_effects(cx, c, op, now);
	if (rc == RC_OK && ch->save)
		rc = save_row(cx, c, op, now);
	if (rc == RC_OK && ch->effect != NULL && !over)
		rc = ch->effect(cx, c, op, now);
	return rc == RC_OK ? db_rc(c) : rc;
}

static enum rc run(struct cx *cx, struct db_conn *c, void *arg)
{
	struct engine *e = arg;
	int64_t now = clock_now();
	enum rc rc = RC_OK;

	failpoint("commit.run");
	for (int i = 0; i < e->out_count && rc == RC_OK; i++)
		rc = apply(cx, c, e->out[i], now);
	return rc;
}

static void done(enum rc rc, const char *words, void *arg)
{
	struct engine *e = arg;

	if (rc != RC_OK)
		log_error("engine", "commit of %d operations failed: %s", e->out_count, words ? words : rc_name(rc));
	pthread_mutex_lock(&e->lock);
	e->commit_done = true;
	e->commit_rc = rc;
	pthread_cond_broadcast(&e->ended);
	pthread_mutex_unlock(&e->lock);
	http_wakeup(e->http);
}

/* ---- on the engine's thread -------------------------------------------------------------------------- */

static void submit(struct engine *e)
{
	e->out_running = true;
	e->stats.commits++;
	db_write_async(e->db, run, done, e);
}

void commit_flush(struct engine *e)
{
	int take;

	if (e->out_running || db_rescue(e->db))
		return;
	if (e->out_count > 0) {		/* kept by an error */
		if (clock_mono() >= e->commit_retry_at)
			submit(e);
		return;
	}
	if (e->batch_count == 0) {
		e->solo = false;
		return;
	}
	take = e->solo ? 1 : e->batch_count < e->batch_size ? e->batch_count : e->batch_size;
	e->out_at = clock_now();
	e->uncertain = false;
	memcpy(e->out, e->batch, sizeof *e->out * (size_t)take);
	memmove(e->batch, e->batch + take, sizeof *e->batch * (size_t)(e->batch_count - take));
	e->batch_count -= take;
	e->out_count = take;
	submit(e);
}

static void committed(struct op *op)
{
	struct change *ch = &op->change;

	op->attempts = NULL;
	op->attempts_tail = &op->attempts;
	op->attempt_count = 0;
	if (ch->claim) {
		op->claimed = true;
		op->state = DELIVERY_PROCESSING;
		op->claim++;
	}
	if (ch->move)
		op->state = ch->to.to;
	if (ch->tokens)
		op->grant.token_version++;
}

static void count_end(struct op *op)
{
	struct engine_stats *s = &op->e->stats;

	if (op->state == DELIVERY_PUBLISHED)
		s->published++;
	else if (op->state == DELIVERY_FAILED)
		s->failed++;
	else if (op->state == DELIVERY_UNCONFIRMED)
		s->unconfirmed++;
}

/* Frees it.  Those who wait for a refresh go on with what the grant holds now, also when the refresh itself was
 * dropped; they go on after it is gone, because one of them may need another. */
static void leave(struct op *op, bool ok)
{
	struct engine *e = op->e;
	char grant_id[ID_MAX] = "";

	if (text_eq(op->row.kind, "refresh"))
		snprintf(grant_id, sizeof grant_id, "%s", op->grant.id);
	op_free(op);
	if (grant_id[0] != '\0')
		refresh_ended(e, grant_id, ok);
}

static void end(struct op *op)
{
	if (op->publish)
		count_end(op);
	op->e->scan_at = 0;		/* the next of this connection may be due */
	leave(op, text_eq(op->row.status, "done"));
}

static void go_on(struct op *op)
{
	if (op->change.fenced_off) {
		log_info("engine", "operation %s of %s: somebody else changed %s; dropped", op->id, op->row.platform,
			 op->row.delivery_id ? op->row.delivery_id : "it");
		leave(op, true);
		return;
	}
	committed(op);
	switch (op->change.after) {
	case AFTER_END: end(op); break;
	case AFTER_WAIT: op_waits(op); break;
	case AFTER_REFRESH: refresh_wait(op); break;
	case AFTER_BEGIN: edit_begun(op); break;
	case AFTER_SEND:
		failpoint("intent.committed");
		if (op_fresh_enough(op))
			op_send(op);
		else
			outcome_unsent(op, "it was held up for too long before it could be sent");
		break;
	}
}

static void keep(struct engine *e, enum rc rc)
{
	e->commit_retry_at = clock_mono() + RETRY_MS;
	e->uncertain = e->uncertain || rc == RC_IO;
	for (int i = 0; rc == RC_CORRUPT && i < e->out_count; i++)
		tell_unwritten(e->out[i]);
	if (rc == RC_FULL || rc == RC_IO || rc == RC_UNAVAILABLE || rc == RC_NOMEM || db_rescue(e->db))
		return;
	if (e->out_count == 1) {
		log_error("engine", "operation %s is dropped: its rows cannot be written", e->out[0]->id);
		e->out_count = 0;
		leave(e->out[0], true);
		return;
	}
	e->solo = true;			/* back to the front of the queue, one by one */
	memmove(e->batch + e->out_count, e->batch, sizeof *e->batch * (size_t)e->batch_count);
	memcpy(e->batch, e->out, sizeof *e->out * (size_t)e->out_count);
	e->batch_count += e->out_count;
	e->out_count = 0;
}

void commit_collect(struct engine *e)
{
	enum rc rc;
	bool ready;
	int n;

	pthread_mutex_lock(&e->lock);
	ready = e->commit_done;
	rc = e->commit_rc;
	e->commit_done = false;
	pthread_mutex_unlock(&e->lock);
	if (!ready)
		return;
	e->out_running = false;
	if (rc != RC_OK) {
		keep(e, rc);
		return;
	}
	n = e->out_count;
	e->out_count = 0;
	failpoint("commit.done");
	for (int i = 0; i < n; i++)
		go_on(e->out[i]);
	pthread_mutex_lock(&e->lock);
	e->ended_count++;
	pthread_cond_broadcast(&e->ended);
	pthread_mutex_unlock(&e->lock);
}
