/* Events: see event.h. */
#include "core/model/event.h"

#include "core/base/id.h"
#include "core/base/log.h"
#include "core/base/text.h"

const char *const event_types[] = {
	"connect_session.opened", "connect_session.completed", "connect_session.failed", "connect_session.expired",
	"connection.created", "connection.updated", "connection.expiring", "connection.reauth_required", "connection.restored",
	"connection.disconnected",
	"post.created", "post.scheduled", "post.updated", "post.canceled", "post.approved", "post.rejected", "post.published",
	"post.partially_published", "post.failed", "post.missed", "post.needs_attention",
	"delivery.published", "delivery.failed", "delivery.unconfirmed", "delivery.blocked", "delivery.awaiting_user", "delivery.overdue",
	"delivery.unpublished", "delivery.edited", "delivery.edit_failed",
	"media.ready", "media.failed", "credits.low", "credits.exhausted", "platform.status_changed", "webhook_endpoint.disabled",
	"end_user.erased", "webhook.test", NULL
};

static bool is_type(const char *type)
{
	for (int i = 0; event_types[i] != NULL; i++)
		if (text_eq(event_types[i], type))
			return true;
	return false;
}

void event_add(struct db_conn *c, const struct owner *o, const char *type, const char *end_user_id, const char *data, int64_t now)
{
	char id[ID_MAX];

	if (!is_type(type))
		log_error("event", "the type %s is not in the list of event types", type);
	id_new(id, "evt");
	db_run(c, "INSERT INTO event (sequence, id, organization_id, app_id, live, type, end_user_id, external_user_id, data, created_at)"
	       " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7,"
	       " (SELECT external_id FROM end_user WHERE id = ?7 AND organization_id = ?3), ?8, ?9)",
	       "isssisssi", db_sequence(c, "event"), id, o->organization_id, o->app_id, o->live, type, end_user_id, data, now);
}
