/* End users: see enduser.h. */
#include "core/model/enduser.h"

#include <stdio.h>

#include "core/base/text.h"
#include "core/model/data_key.h"

#define COLUMNS "id, external_id, display_name, email, timezone, metadata, created_at, updated_at," \
	" (SELECT COUNT(*) FROM connection n WHERE n.app_id = e.app_id AND n.live = e.live AND n.end_user_id = e.id" \
	" AND n.organization_id = e.organization_id AND n.status <> 'disconnected')," \
	" (SELECT COUNT(*) FROM connection n WHERE n.app_id = e.app_id AND n.live = e.live AND n.end_user_id = e.id" \
	" AND n.organization_id = e.organization_id AND n.status IN ('reauth_required', 'revoked'))"

void enduser_row(struct stmt *s, struct arena *a, struct enduser *ret)
{
	*ret = (struct enduser){
		.id = db_dup(s, 0, a), .external_id = db_dup(s, 1, a), .display_name = db_dup(s, 2, a), .email = db_dup(s, 3, a),
		.timezone = db_dup(s, 4, a), .metadata = db_dup(s, 5, a), .created_at = db_int(s, 6), .updated_at = db_int(s, 7),
		.connections = db_int(s, 8), .reauth = db_int(s, 9),
	};
}

bool enduser_find(struct db_conn *c, const struct owner *o, const char *id, struct arena *a, struct enduser *ret)
{
	bool external = text_starts(id, "ext:");
	STMT_AUTO struct stmt *s = external
		? db_query(c, "SELECT " COLUMNS " FROM end_user e WHERE organization_id = ?1 AND app_id = ?2 AND live = ?3 AND external_id = ?4",
			   "ssis", o->organization_id, o->app_id, o->live, id + 4)
		: db_query(c, "SELECT " COLUMNS " FROM end_user e WHERE organization_id = ?1 AND app_id = ?2 AND live = ?3 AND id = ?4",
			   "ssis", o->organization_id, o->app_id, o->live, id);

	if (!db_next(s))
		return false;
	enduser_row(s, a, ret);
	return true;
}

struct stmt *enduser_list(struct db_conn *c, const struct owner *o, const char *external_id, const char *after, int limit)
{
	return db_query(c, "SELECT " COLUMNS " FROM end_user e WHERE organization_id = ?1 AND app_id = ?2 AND live = ?3 AND id > ?4"
			" AND (?5 IS NULL OR external_id = ?5) ORDER BY id LIMIT ?6", "ssissi", o->organization_id, o->app_id, o->live, after,
			external_id, (int64_t)limit);
}

static void update(struct db_conn *c, const struct owner *o, const char *id, const struct enduser_change *ch, int64_t now)
{
	db_run(c,
		"UPDATE end_user SET display_name = CASE WHEN ?4 = 1 THEN ?5 ELSE display_name END, email = CASE WHEN ?6 = 1 THEN ?7 ELSE email END,"
		" timezone = CASE WHEN ?8 = 1 THEN ?9 ELSE timezone END, metadata = CASE WHEN ?10 = 1 THEN ?11 ELSE metadata END,"
		" external_id = COALESCE(?12, external_id), updated_at = ?13"
		" WHERE id = ?1 AND organization_id = ?2 AND app_id = ?3",
		"sssisisisissi", id, o->organization_id, o->app_id, (int64_t)ch->display_name.given, ch->display_name.value,
		(int64_t)ch->email.given, ch->email.value, (int64_t)ch->timezone.given, ch->timezone.value, (int64_t)ch->metadata.given,
		ch->metadata.value, ch->external_id, now);
}

/* The id of the end user with this external id; "" if there is none. */
static void lookup(struct db_conn *c, const struct owner *o, const char *external_id, char ret_id[ID_MAX])
{
	STMT_AUTO struct stmt *s = db_query(c,
		"SELECT id FROM end_user WHERE app_id = ?1 AND live = ?2 AND external_id = ?3 AND organization_id = ?4", "siss", o->app_id, o->live,
		external_id, o->organization_id);

	snprintf(ret_id, ID_MAX, "%s", db_next(s) ? db_text_or(s, 0, "") : "");
}

enum rc enduser_put(struct cx *cx, struct db_conn *c, struct vault *v, const struct owner *o, const struct enduser_change *ch, int64_t now,
		    char ret_id[ID_MAX], bool *ret_created)
{
	enum rc rc = RC_OK;

	lookup(c, o, ch->external_id, ret_id);
	*ret_created = ret_id[0] == '\0';
	if (*ret_created) {
		id_new(ret_id, "eu");
		db_run(c, "INSERT INTO end_user (id, organization_id, app_id, live, external_id, created_at, updated_at)"
		       " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6)", "sssisi", ret_id, o->organization_id, o->app_id, o->live, ch->external_id, now);
		rc = data_key_create(cx, c, v, o->organization_id, ret_id);
	}
	update(c, o, ret_id, ch, now);
	return rc != RC_OK || db_rc(c) == RC_OK ? rc : db_fail(cx, c);
}

enum rc enduser_patch(struct cx *cx, struct db_conn *c, const struct owner *o, const char *id, const struct enduser_change *ch, int64_t now)
{
	char other[ID_MAX] = "";

	if (ch->external_id != NULL)
		lookup(c, o, ch->external_id, other);
	if (other[0] != '\0' && !text_eq(other, id))
		return fail_code(cx, RC_CONFLICT, "conflict", "externalUserId", "Another end user has this externalUserId.");
	update(c, o, id, ch, now);
	return db_rc(c) == RC_OK ? RC_OK : db_fail(cx, c);
}
