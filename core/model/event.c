/* Events: see event.h. */
#include "core/model/event.h"

#include "core/base/id.h"

void event_add(struct db_conn *c, const struct owner *o, const char *type, const char *end_user_id, const char *data, int64_t now)
{
	char id[ID_MAX];

	id_new(id, "evt");
	db_run(c, "INSERT INTO event (sequence, id, organization_id, app_id, live, type, end_user_id, external_user_id, data, created_at)"
	       " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7,"
	       " (SELECT external_id FROM end_user WHERE id = ?7 AND organization_id = ?3), ?8, ?9)",
	       "isssisssi", db_sequence(c, "event"), id, o->organization_id, o->app_id, o->live, type, end_user_id, data, now);
}
