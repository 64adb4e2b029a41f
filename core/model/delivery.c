/*
 * Deliveries: see delivery.h.  The statement of delivery_move is the only place that writes the state column
 * of one row; its WHERE is the fence.
 */
#include "core/model/delivery.h"

#include <assert.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/base/jsonw.h"
#include "core/base/text.h"
#include "core/model/post.h"
#include "core/model/post_child.h"

#define BIT(s) (1u << (s))

static const struct { const char *name; unsigned leaves_to; const char *event; } states[DELIVERY_STATES] = {
	[DELIVERY_PENDING] = {"pending", BIT(DELIVERY_QUEUED) | BIT(DELIVERY_CANCELED) | BIT(DELIVERY_SKIPPED), NULL},
	[DELIVERY_QUEUED] = {"queued", BIT(DELIVERY_QUEUED) | BIT(DELIVERY_PROCESSING) | BIT(DELIVERY_COMMITTING) | BIT(DELIVERY_CANCELED) |
		BIT(DELIVERY_SKIPPED) | BIT(DELIVERY_BLOCKED), NULL},
	[DELIVERY_PROCESSING] = {"processing", BIT(DELIVERY_PROCESSING) | BIT(DELIVERY_COMMITTING) | BIT(DELIVERY_QUEUED) |
		BIT(DELIVERY_BLOCKED) | BIT(DELIVERY_FAILED) | BIT(DELIVERY_CANCELED) |
		BIT(DELIVERY_SKIPPED), NULL},
	[DELIVERY_COMMITTING] = {"committing", BIT(DELIVERY_COMMITTING) | BIT(DELIVERY_PUBLISHED) | BIT(DELIVERY_AWAITING_PLATFORM) |
		BIT(DELIVERY_AWAITING_USER) | BIT(DELIVERY_FAILED) | BIT(DELIVERY_QUEUED) | BIT(DELIVERY_PROCESSING) |
		BIT(DELIVERY_BLOCKED) | BIT(DELIVERY_UNCONFIRMED), NULL},
	[DELIVERY_AWAITING_PLATFORM] = {"awaiting_platform", BIT(DELIVERY_AWAITING_PLATFORM) | BIT(DELIVERY_PUBLISHED) |
		BIT(DELIVERY_FAILED) | BIT(DELIVERY_AWAITING_USER) | BIT(DELIVERY_COMMITTING) | BIT(DELIVERY_UNCONFIRMED), NULL},
	[DELIVERY_AWAITING_USER] = {"awaiting_user", BIT(DELIVERY_AWAITING_USER) | BIT(DELIVERY_PUBLISHED) | BIT(DELIVERY_FAILED),
		"delivery.awaiting_user"},
	[DELIVERY_BLOCKED] = {"blocked", BIT(DELIVERY_QUEUED) | BIT(DELIVERY_CANCELED) | BIT(DELIVERY_SKIPPED) | BIT(DELIVERY_BLOCKED),
		"delivery.blocked"},
	[DELIVERY_UNCONFIRMED] = {"unconfirmed", BIT(DELIVERY_UNCONFIRMED) | BIT(DELIVERY_PUBLISHED) | BIT(DELIVERY_FAILED) |
		BIT(DELIVERY_QUEUED), "delivery.unconfirmed"},
	[DELIVERY_PUBLISHED] = {"published", 0, "delivery.published"},
	[DELIVERY_FAILED] = {"failed", BIT(DELIVERY_QUEUED), "delivery.failed"},
	[DELIVERY_CANCELED] = {"canceled", 0, NULL},
	[DELIVERY_SKIPPED] = {"skipped", BIT(DELIVERY_PENDING), NULL},	/* a child, when its parent is tried again */
};

const char *delivery_state_name(enum delivery_state s) { return states[s].name; }
bool delivery_may(enum delivery_state from, enum delivery_state to) { return (states[from].leaves_to & BIT(to)) != 0; }
bool delivery_final(enum delivery_state s) { return s >= DELIVERY_PUBLISHED; }

bool delivery_state_read(const char *name, enum delivery_state *ret)
{
	for (int s = 0; s < DELIVERY_STATES; s++)
		if (text_eq(states[s].name, name)) {
			*ret = (enum delivery_state)s;
			return true;
		}
	return false;
}

int64_t delivery_deadline(enum delivery_state s, int64_t now)
{
	static const int64_t ms[DELIVERY_STATES] = {
		[DELIVERY_PROCESSING] = DELIVERY_PROCESSING_MS,
		[DELIVERY_COMMITTING] = DELIVERY_COMMITTING_MS,
		[DELIVERY_AWAITING_PLATFORM] = DELIVERY_AWAITING_MS,
		[DELIVERY_AWAITING_USER] = DELIVERY_REST_MS,
		[DELIVERY_BLOCKED] = DELIVERY_REST_MS,
		[DELIVERY_UNCONFIRMED] = DELIVERY_REST_MS,
	};

	return ms[s] > 0 ? now + ms[s] : 0;
}

bool delivery_load(struct db_conn *c, const char *id, const char *organization_id, struct arena *a, struct delivery *ret)
{
	STMT_AUTO struct stmt *s = db_query(c,
		"SELECT organization_id, app_id, live, id, post_id, parent_delivery_id, kind, connection_id, platform, provider, target_id,"
		" text, content, reason, remote_id, remote_url, result, error, warnings, on_missed, state,"
		" ordinal, content_version, scheduled_at, due_at, late_after, owner_epoch, claim, round, retries, looks, absents,"
		" unconfirmed_at, attempt_count, claimed_at, published_at, created_at, updated_at, version"
		" FROM delivery WHERE id = ?1 AND organization_id = COALESCE(?2, organization_id)", "ss", id, organization_id);
	const char **texts[] = {
		&ret->id, &ret->post_id, &ret->parent_id, &ret->kind, &ret->connection_id, &ret->platform, &ret->provider, &ret->target_id,
		&ret->text, &ret->content, &ret->reason, &ret->remote_id, &ret->remote_url, &ret->result, &ret->error, &ret->warnings,
		&ret->on_missed,
	};
	int64_t *numbers[] = {
		&ret->ordinal, &ret->content_version, &ret->scheduled_at, &ret->due_at, &ret->late_after, &ret->epoch, &ret->claim,
		&ret->round, &ret->retries, &ret->looks, &ret->absents, &ret->unconfirmed_at, &ret->attempt_count, &ret->claimed_at,
		&ret->published_at, &ret->created_at, &ret->updated_at, &ret->version,
	};
	int column = 3;

	if (!db_next(s))
		return false;
	ret->owner = (struct owner){db_dup(s, 0, a), db_dup(s, 1, a), db_int(s, 2)};
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
		*texts[i] = db_dup(s, column++, a);
	if (!delivery_state_read(db_text_or(s, column++, ""), &ret->state))
		return false;
	for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
		*numbers[i] = db_int(s, column++);
	return true;
}

static void event_write(struct buf *out, struct stmt *s, const char *error)
{
	static const char *const names[] = {"id", "postId", "parentDeliveryId", "kind", "connectionId", "platform", "status", "statusReason",
		"remotePostId", "remotePostUrl"};
	struct jsonw w;

	jsonw_init(&w, out);
	jsonw_object(&w, "");
	jsonw_object(&w, "object");
	for (int i = 0; i < (int)(sizeof names / sizeof names[0]); i++)
		jsonw_text(&w, names[i], db_text(s, i + 3));
	jsonw_raw(&w, "error", error, error ? strlen(error) : 0);
	jsonw_object_end(&w);
	jsonw_object_end(&w);
	jsonw_end(&w);
}

/* The event of the state reached: the delivery as it stands now, without content.  error: NULL for its own. */
static void announce_with(struct db_conn *c, const char *id, const char *type, const char *error, int64_t now)
{
	BUF_AUTO struct buf data;
	STMT_AUTO struct stmt *s = db_query(c,
		"SELECT organization_id, app_id, live, id, post_id, parent_delivery_id, kind, connection_id, platform, state, reason,"
		" remote_id, remote_url, error"
		" FROM delivery WHERE id = ?1", "s", id);

	buf_init(&data, 1u << 20);
	if (!db_next(s))
		return;
	event_write(&data, s, error ? error : db_text(s, 13));
	event_add(c, &(struct owner){db_text(s, 0), db_text(s, 1), db_int(s, 2)}, type, NULL, buf_text(&data), now);
}

void delivery_announce(struct db_conn *c, const char *id, const char *type, int64_t now) { announce_with(c, id, type, NULL, now); }

static void followed(struct db_conn *c, const struct delivery_move *m, int64_t now)
{
	if (states[m->to].event != NULL && m->from != m->to)
		delivery_announce(c, m->id, states[m->to].event, now);
	if (m->to == DELIVERY_PUBLISHED)
		db_run(c, "UPDATE connection SET published_at = ?1 WHERE id = (SELECT connection_id FROM delivery WHERE id = ?2)"
		       " AND organization_id = ?3", "iss", now, m->id, m->owner->organization_id);
	if (m->to == DELIVERY_PUBLISHED)
		post_child_queue(c, m->id, m->owner->organization_id, now);
	else if (delivery_final(m->to))
		post_child_skip(c, m->id, m->owner->organization_id, now);
	else if (m->from == DELIVERY_FAILED)
		post_child_restore(c, m->id, m->owner->organization_id, now);
	/* last: it counts what the lines above have moved */
	if (m->post_id != NULL)
		post_derive_id(c, m->post_id, now);
	else
		post_derive(c, m->id, now);
}

int64_t delivery_move(struct db_conn *c, const struct delivery_move *m, int64_t now)
{
	int64_t n;

	assert(delivery_may(m->from, m->to));
	n = db_run(c,
		"UPDATE delivery SET state = ?3, reason = ?4, due_at = ?5, deadline_at = ?6, overdue = 0, retries = ?7, looks = ?8, absents = ?9,"
		" error = CASE WHEN ?10 IS NOT NULL THEN ?10 WHEN ?3 IN ('published', 'queued') THEN NULL ELSE error END,"
		" remote_id = COALESCE(?11, remote_id), remote_url = COALESCE(?12, remote_url), proof = COALESCE(?13, proof),"
		" proof_at = CASE WHEN ?13 IS NULL THEN proof_at ELSE ?14 END, result = COALESCE(?15, result),"
		" warnings = COALESCE(?16, warnings), unconfirmed_at = COALESCE(?17, unconfirmed_at),"
		" published_at = CASE WHEN ?3 = 'published' THEN ?14 ELSE published_at END,"
		" attempt_count = attempt_count + ?18, claim = claim + ?19, round = round + ?20, version = version + 1, updated_at = ?14"
		" WHERE id = ?1 AND state = ?2 AND (?21 = 0 OR (owner_epoch = ?22 AND claim = ?23)) AND organization_id = ?24",
		"ssssooiiissssissoiiiiiis",
		m->id, delivery_state_name(m->from), delivery_state_name(m->to), m->reason, m->due_at, m->deadline_at,
		m->retries, m->looks, m->absents, m->error, m->remote_id, m->remote_url, m->proof, now, m->result, m->warnings,
		m->unconfirmed_at, m->attempts, (int64_t)(m->advance || !m->fence), (int64_t)m->new_round,
		(int64_t)m->fence, m->epoch, m->claim, m->owner->organization_id);
	if (n > 0)
		followed(c, m, now);
	return n;
}

int64_t delivery_claim_send(struct db_conn *c, const struct delivery *d, const struct delivery_move *m, int64_t now)
{
	int64_t n = db_run(c,
		"UPDATE delivery SET state = 'committing', reason = NULL, due_at = NULL, deadline_at = ?2, overdue = 0, owner_epoch = ?3,"
		" claim = claim + 1, claimed_at = COALESCE(claimed_at, ?4), retries = ?5, looks = ?6, absents = ?7,"
		" attempt_count = attempt_count + ?8, version = version + 1, updated_at = ?4"
		" WHERE id = ?1 AND state = 'queued' AND due_at <= ?4 AND claim = ?9 AND content_version = ?10 AND organization_id = ?11",
		"siiiiiiiiis", m->id, m->deadline_at, m->epoch, now, m->retries, m->looks, m->absents, m->attempts, d->claim, d->content_version,
		d->owner.organization_id);

	assert(m->from == DELIVERY_PROCESSING && m->to == DELIVERY_COMMITTING && m->fence && !m->advance && !m->new_round && m->reason == NULL &&
	       m->error == NULL);
	if (n > 0)
		followed(c, m, now);
	return n;
}

int64_t delivery_prove(struct db_conn *c, const struct delivery_move *m, int64_t now)
{
	struct delivery_move proof = *m;
	int64_t n = db_run(c,
		"UPDATE delivery SET state = 'published', reason = NULL, due_at = NULL, deadline_at = NULL, overdue = 0, error = NULL,"
		" remote_id = ?2, remote_url = ?3, proof = ?4, proof_at = ?5, published_at = ?5, result = COALESCE(?6, result),"
		" claim = claim + 1, version = version + 1, updated_at = ?5"
		" WHERE id = ?1 AND state IN ('queued', 'processing', 'committing', 'unconfirmed') AND organization_id = ?7",
		"ssssiss", m->id, m->remote_id, m->remote_url, m->proof, now, m->result, m->owner->organization_id);

	proof.from = DELIVERY_UNCONFIRMED;
	proof.to = DELIVERY_PUBLISHED;
	if (n > 0)
		followed(c, &proof, now);
	return n;
}

int64_t delivery_claim(struct db_conn *c, const struct delivery *d, int64_t epoch, int64_t now, int64_t deadline)
{
	return db_run(c,
		"UPDATE delivery SET state = 'processing', reason = NULL, owner_epoch = ?2, claim = claim + 1, due_at = NULL, deadline_at = ?3,"
		" overdue = 0, claimed_at = COALESCE(claimed_at, ?4), version = version + 1, updated_at = ?4"
		" WHERE id = ?1 AND state = 'queued' AND due_at <= ?5 AND claim = ?6 AND content_version = ?7 AND organization_id = ?8",
		"siiiiiis", d->id, epoch, deadline, now, now, d->claim, d->content_version, d->owner.organization_id);
}

bool delivery_removed(struct db_conn *c, const char *id, const char *organization_id, int64_t now)
{
	int64_t n = db_run(c, "UPDATE delivery SET reason = 'unpublished', version = version + 1, updated_at = ?3 WHERE id = ?1"
			   " AND organization_id = ?2 AND state = 'published' AND (reason IS NULL OR reason <> 'unpublished')", "ssi", id,
			   organization_id, now);

	if (n > 0)
		delivery_announce(c, id, "delivery.unpublished", now);
	return n > 0;
}

/* What was warned of before was said of the content that is gone. */
bool delivery_edited(struct db_conn *c, const struct delivery_content *k, int64_t now)
{
	int64_t n = db_run(c, "UPDATE delivery SET text = ?3, content = ?4, content_hash = COALESCE(?5, content_hash),"
			   " remote_url = COALESCE(?6, remote_url), result = COALESCE(?7, result), warnings = ?8, version = version + 1,"
			   " updated_at = ?9 WHERE id = ?1 AND organization_id = ?2 AND state = 'published'"
			   " AND (reason IS NULL OR reason <> 'unpublished')", "ssssssssi", k->id, k->organization_id, k->text, k->content, k->hash,
			   k->remote_url, k->result, k->warnings, now);

	if (n > 0)
		delivery_announce(c, k->id, "delivery.edited", now);
	return n > 0;
}

void delivery_edit_failed(struct db_conn *c, const char *id, const char *organization_id, const char *error, bool unknown, int64_t now)
{
	if (unknown)
		db_run(c, "UPDATE delivery SET warnings = CASE WHEN warnings IS NULL OR warnings = '[]' THEN '[' || ?3 || ']'"
		       " ELSE substr(warnings, 1, length(warnings) - 1) || ',' || ?3 || ']' END, version = version + 1, updated_at = ?4"
		       " WHERE id = ?1 AND organization_id = ?2", "sssi", id, organization_id, error, now);
	announce_with(c, id, "delivery.edit_failed", error, now);
}
