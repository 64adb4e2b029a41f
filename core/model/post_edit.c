/*
 * New content for a delivery that is published: see delivery_edit in post_write.h.
 *
 * The one thing to know: the delivery's row keeps what is published until the platform has the new content; until
 * then that lies in the operation's input.  One edit at a time, so that two cannot pass each other on their way.
 */
#include "core/model/post_write.h"

#include <stdio.h>

#include "core/base/text.h"
#include "core/model/media.h"
#include "core/model/operation.h"

bool delivery_running(struct db_conn *c, const struct delivery *d, const char *kind, char ret_operation_id[ID_MAX])
{
	STMT_AUTO struct stmt *s = db_query(c,
		"SELECT id FROM operation WHERE status = 'running' AND kind <> 'publish' AND kind = ?3 AND delivery_id = ?1"
		" AND organization_id = ?2", "sss", d->id, d->owner.organization_id, kind);

	if (!db_next(s))
		return false;
	snprintf(ret_operation_id, ID_MAX, "%s", db_text_or(s, 0, ""));
	return true;
}

enum rc delivery_editable(struct cx *cx, const struct delivery *d)
{
	if (d->state != DELIVERY_PUBLISHED || d->remote_id == NULL)
		return fail_code(cx, RC_CONFLICT, "post_not_editable", NULL,
				 "Only a published delivery whose remote id is known can be edited on its platform; this one is %s.",
				 delivery_state_name(d->state));
	if (text_eq(d->reason, "unpublished"))
		return fail_code(cx, RC_CONFLICT, "post_not_editable", NULL, "This delivery was removed from the platform.");
	return RC_OK;
}

static enum rc refuse_connection(struct cx *cx, struct db_conn *c, const struct delivery *d)
{
	STMT_AUTO struct stmt *s = db_query(c, "SELECT status, paused FROM connection WHERE id = ?1 AND organization_id = ?2", "ss",
					    d->connection_id, d->owner.organization_id);
	const char *status = db_next(s) ? db_text_or(s, 0, "") : "disconnected";

	if (text_eq(status, "disconnected"))
		return fail_code(cx, RC_NOT_FOUND, "connection_not_found", NULL, "The account of this delivery was disconnected.");
	if (!text_eq(status, "active") && !text_eq(status, "expiring"))
		return fail_code(cx, RC_CONFLICT, "connection_reauth_required", NULL, "Connection %s is %s.", d->connection_id, status);
	if (db_int(s, 1) != 0)
		return fail_code(cx, RC_CONFLICT, "conflict", NULL, "Connection %s is paused.", d->connection_id);
	return RC_OK;
}

static bool is_equal(struct db_conn *c, const struct delivery *d, const struct delivery_edit *e)
{
	return db_number(c, 0, "SELECT COUNT(*) FROM operation WHERE id = ?1 AND organization_id = ?2 AND input = ?3", "sss", e->operation_id,
			 d->owner.organization_id, e->input) > 0;
}

static enum rc hold_media(struct cx *cx, struct db_conn *c, const struct delivery *d, const struct delivery_edit *e)
{
	for (int i = 0; i < e->media_count; i++)
		if (!media_hold(c, &d->owner, e->media_ids[i], d->post_id))
			return fail_code(cx, RC_NOT_FOUND, "media_not_found", "media", "The media item %s is gone.", e->media_ids[i]);
	return RC_OK;
}

enum rc delivery_edit(struct cx *cx, struct db_conn *c, const struct delivery *d, struct delivery_edit *e, int64_t now)
{
	struct operation op = {
		.owner = d->owner, .kind = "edit", .platform = d->platform, .provider = d->provider, .delivery_id = d->id,
		.connection_id = d->connection_id, .input = e->input,
	};
	char removing[ID_MAX];
	enum rc rc = delivery_editable(cx, d);

	if (rc == RC_OK && d->version != e->version)
		return fail_code(cx, RC_STALE, "precondition_failed", NULL, "The delivery was changed by somebody else meanwhile.");
	if (rc == RC_OK && delivery_running(c, d, "remove", removing))
		return fail_code(cx, RC_CONFLICT, "conflict", NULL, "This delivery is being removed from the platform (%s).", removing);
	if (rc == RC_OK && delivery_running(c, d, "edit", e->operation_id))
		return is_equal(c, d, e) ? RC_OK
			: fail_code(cx, RC_CONFLICT, "conflict", NULL, "Another edit of this delivery is under way (%s).", e->operation_id);
	if (rc == RC_OK)
		rc = refuse_connection(cx, c, d);
	if (rc == RC_OK)
		rc = hold_media(cx, c, d, e);
	if (rc != RC_OK)
		return rc;
	operation_start(c, &op, e->operation_id, operation_lifetime("edit"), now);
	return db_rc(c) == RC_OK ? RC_OK : db_fail(cx, c);
}
