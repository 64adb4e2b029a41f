/*
 * Acts upon posts that exist: publish now, cancel, retry, and a person's word on one delivery.  See post_write.h.
 *
 * Which delivery an act reaches is asked of the state table, never of a list kept here.
 */
#include "core/model/post_write.h"

#include <stdio.h>
#include <string.h>

#include "core/base/text.h"
#include "core/model/operation.h"
#include "core/model/post.h"

/* ---- the deliveries of a post ----------------------------------------------------------------------- */

struct acting {
	struct cx *cx;
	struct db_conn *c;
	struct post_act *act;
	int64_t now;
};

struct listed { const char *id; bool child; };

/* As they are shown: each root, then what hangs below it. */
static struct listed *list_all(const struct acting *g, int *ret_count)
{
	int64_t size = db_number(g->c, 0, "SELECT COUNT(*) FROM delivery WHERE post_id = ?1 AND organization_id = ?2", "ss", g->act->id,
				 g->act->owner->organization_id);
	struct listed *list = arena_array(g->act->arena, struct listed, size + 1);
	int n = 0;
	STMT_AUTO struct stmt *s = db_query(g->c, POST_TREE " SELECT delivery, level FROM tree ORDER BY " POST_TREE_ORDER, "ss", g->act->id,
					    g->act->owner->organization_id);

	while (n < size && db_next(s)) {
		list[n].id = db_dup(s, 0, g->act->arena);
		list[n++].child = db_int(s, 1) > 0;
	}
	*ret_count = n;
	return list;
}

typedef bool act_fn(struct acting *g, struct delivery *d);

/* True: it was moved. */
static bool act_one(struct acting *g, act_fn *fn, const char *id)
{
	struct delivery d = {0};

	return delivery_load(g->c, id, g->act->owner->organization_id, g->act->arena, &d) && fn(g, &d);
}

/* What lies deepest first: an act upon a parent moves what waits below it, and that has been asked by then. */
static void act_each(struct acting *g, act_fn *fn, const struct listed *list, int n, bool children)
{
	for (int i = children ? n - 1 : 0; i >= 0 && i < n; i += children ? -1 : 1)
		if (list[i].child == children)
			g->act->list[i].done = act_one(g, fn, list[i].id);
}

static enum rc act_all(struct acting *g, act_fn *fn)
{
	struct post_act *act = g->act;
	int n;
	const struct listed *list = list_all(g, &n);

	act->list = arena_array(g->act->arena, struct post_acted, n + 1);
	act->count = n;
	act->done = 0;
	act_each(g, fn, list, n, true);
	act_each(g, fn, list, n, false);
	for (int i = 0; i < n; i++) {
		struct delivery d = {0};

		delivery_load(g->c, list[i].id, act->owner->organization_id, act->arena, &d);
		act->list[i].delivery_id = list[i].id;
		act->list[i].status = delivery_state_name(d.state);
		act->done += act->list[i].done;
	}
	return db_rc(g->c) == RC_OK ? RC_OK : db_fail(g->cx, g->c);
}

/* Without the counters and the deadline of what was before. */
static bool move(struct acting *g, const struct delivery *d, enum delivery_state to, const char *reason, int64_t due_at, bool new_round)
{
	struct delivery_move m = {
		.id = d->id, .owner = &d->owner, .from = d->state, .to = to, .reason = reason, .due_at = due_at,
		.deadline_at = delivery_deadline(to, g->now), .new_round = new_round,
	};

	return delivery_move(g->c, &m, g->now) == 1;
}

/* ---- publish now ------------------------------------------------------------------------------------ */

static bool waits(const struct delivery *d)
{
	return (d->state == DELIVERY_PENDING && d->parent_id == NULL) ||
	       (d->state == DELIVERY_QUEUED && d->scheduled_at > 0 && d->claimed_at == 0) ||
	       (d->state == DELIVERY_BLOCKED && (text_eq(d->reason, "missed") || text_eq(d->reason, "restored")));
}

static bool publish_one(struct acting *g, struct delivery *d)
{
	if (!waits(d))
		return false;
	db_run(g->c, "UPDATE delivery SET scheduled_at = NULL, late_after = ?3 + (SELECT max_late_ms FROM post WHERE id = delivery.post_id)"
	       " WHERE id = ?1 AND organization_id = ?2", "ssi", d->id, g->act->owner->organization_id, g->now);
	return move(g, d, DELIVERY_QUEUED, NULL, g->now, false);
}

enum rc post_publish(struct cx *cx, struct db_conn *c, struct post_act *act, int64_t now)
{
	struct acting g = {cx, c, act, now};
	struct post p;
	enum rc rc = post_load(cx, c, act->id, act->owner, act->arena, &p);

	if (rc != RC_OK)
		return rc;
	db_run(c, "UPDATE post SET mode = 'now', scheduled_at = NULL, wall_text = NULL, content_version = content_version + 1, updated_at = ?3"
	       " WHERE id = ?1 AND organization_id = ?2", "ssi", act->id, act->owner->organization_id, now);
	rc = act_all(&g, publish_one);
	if (rc == RC_OK && act->done == 0)
		return fail_code(cx, RC_CONFLICT, "post_not_editable", NULL, "No delivery of this post waits for its time.");
	post_announce(c, act->id, "post.updated", NULL, now);
	return rc;
}

/* ---- cancel ----------------------------------------------------------------------------------------- */

static bool cancel_one(struct acting *g, struct delivery *d)
{
	return delivery_may(d->state, DELIVERY_CANCELED) && move(g, d, DELIVERY_CANCELED, "caller", 0, false);
}

enum rc post_cancel(struct cx *cx, struct db_conn *c, struct post_act *act, int64_t now)
{
	struct acting g = {cx, c, act, now};
	struct post p;
	enum rc rc = post_load(cx, c, act->id, act->owner, act->arena, &p);

	if (rc == RC_OK)
		rc = act_all(&g, cancel_one);
	if (rc == RC_OK && act->done == 0)
		return fail_code(cx, RC_CONFLICT, "post_not_cancelable", NULL, "Every delivery of this post has been sent or has ended.");
	return rc;
}

/* ---- retry ------------------------------------------------------------------------------------------ */

static bool is_asked(const struct post_act *act, const char *id)
{
	for (int i = 0; i < act->id_count; i++)
		if (text_eq(act->delivery_ids[i], id))
			return true;
	return act->delivery_ids == NULL;
}

/* The old step machine goes: the new round begins at start and has a publish key of its own. */
static bool retry_one(struct acting *g, struct delivery *d)
{
	if (d->state != DELIVERY_FAILED || !is_asked(g->act, d->id))
		return false;
	db_run(g->c, "DELETE FROM operation WHERE delivery_id = ?1 AND kind = 'publish' AND organization_id = ?2", "ss", d->id,
	       g->act->owner->organization_id);
	db_run(g->c, "UPDATE delivery SET scheduled_at = NULL WHERE id = ?1 AND organization_id = ?2", "ss", d->id,
	       g->act->owner->organization_id);
	return move(g, d, DELIVERY_QUEUED, NULL, g->now, true);
}

static enum rc refuse_strangers(const struct acting *g)
{
	for (int i = 0; i < g->act->id_count; i++)
		if (db_number(g->c, 0, "SELECT COUNT(*) FROM delivery WHERE id = ?1 AND post_id = ?2 AND organization_id = ?3", "sss",
			      g->act->delivery_ids[i], g->act->id, g->act->owner->organization_id) == 0)
			return fail_code(g->cx, RC_NOT_FOUND, "delivery_not_found", "deliveryIds", "This post has no delivery %.40s.",
					 g->act->delivery_ids[i]);
	return RC_OK;
}

enum rc post_retry(struct cx *cx, struct db_conn *c, struct post_act *act, int64_t now)
{
	struct acting g = {cx, c, act, now};
	struct post p;
	enum rc rc = post_load(cx, c, act->id, act->owner, act->arena, &p);

	if (rc == RC_OK)
		rc = refuse_strangers(&g);
	if (rc == RC_OK)
		rc = act_all(&g, retry_one);
	if (rc == RC_OK && act->done == 0)
		return fail_code(cx, RC_CONFLICT, "nothing_to_retry", NULL, "No delivery that was asked for has failed.");
	return rc;
}

/* ---- one delivery ----------------------------------------------------------------------------------- */

enum rc delivery_find(struct cx *cx, struct db_conn *c, const char *id, const struct owner *o, struct arena *a, struct delivery *ret)
{
	*ret = (struct delivery){0};
	if (delivery_load(c, id, o->organization_id, a, ret) && text_eq(ret->owner.app_id, o->app_id) && ret->owner.live == o->live)
		return RC_OK;
	return db_rc(c) != RC_OK ? db_fail(cx, c) : fail_code(cx, RC_NOT_FOUND, "delivery_not_found", NULL, "There is no such delivery.");
}

static enum rc refuse_confirmed(struct cx *cx, const struct delivery *d)
{
	if (d->state == DELIVERY_UNCONFIRMED)
		return RC_OK;
	return fail_code(cx, RC_CONFLICT, "delivery_not_unconfirmed", NULL, "This delivery is %s; only one that is unconfirmed can be decided.",
			 delivery_state_name(d->state));
}

#define ABSENT "{\"code\":\"platform_unavailable\",\"message\":\"The outcome was unknown; a person found that it was not published.\"," \
	"\"retryable\":true}"

enum rc delivery_resolve(struct cx *cx, struct db_conn *c, const struct delivery *d, const struct delivery_verdict *v, int64_t now)
{
	struct delivery_move m = {
		.id = d->id, .owner = &d->owner, .from = d->state, .to = v->published ? DELIVERY_PUBLISHED : DELIVERY_FAILED,
		.reason = v->published ? NULL : "resolved_absent", .remote_id = v->remote_id, .remote_url = v->remote_url,
		.proof = v->published ? "person" : NULL,
		.error = v->published ? NULL : ABSENT,
	};
	enum rc rc = refuse_confirmed(cx, d);

	if (rc != RC_OK)
		return rc;
	db_run(c, "UPDATE operation SET status = ?3, intent = NULL, intent_class = NULL, due_at = NULL, updated_at = ?4"
	       " WHERE delivery_id = ?1 AND organization_id = ?2 AND kind = 'publish'", "sssi", d->id, d->owner.organization_id,
	       v->published ? "done" : "failed", now);
	delivery_move(c, &m, now);
	return db_rc(c) == RC_OK ? RC_OK : db_fail(cx, c);
}

enum rc delivery_reconcile(struct cx *cx, struct db_conn *c, const struct delivery *d, int64_t now)
{
	enum rc rc = refuse_confirmed(cx, d);

	if (rc != RC_OK)
		return rc;
	db_run(c, "UPDATE delivery SET due_at = ?3, version = version + 1, updated_at = ?3 WHERE id = ?1 AND organization_id = ?2"
	       " AND state = 'unconfirmed'", "ssi", d->id, d->owner.organization_id, now);
	return db_rc(c) == RC_OK ? RC_OK : db_fail(cx, c);
}

enum rc delivery_unpublish(struct cx *cx, struct db_conn *c, const struct delivery *d, char ret_operation_id[ID_MAX], int64_t now)
{
	struct operation op = {
		.owner = d->owner, .kind = "remove", .platform = d->platform, .provider = d->provider, .delivery_id = d->id,
		.connection_id = d->connection_id,
	};

	if (d->state != DELIVERY_PUBLISHED || d->remote_id == NULL)
		return fail_code(cx, RC_CONFLICT, "conflict", NULL, "Only a published delivery whose remote id is known can be removed; this one is %s.",
				 delivery_state_name(d->state));
	if (text_eq(d->reason, "unpublished"))
		return fail_code(cx, RC_CONFLICT, "conflict", NULL, "This delivery was removed from the platform already.");
	if (!delivery_running(c, d, "remove", ret_operation_id))
		operation_start(c, &op, ret_operation_id, operation_lifetime("remove"), now);
	return db_rc(c) == RC_OK ? RC_OK : db_fail(cx, c);
}
