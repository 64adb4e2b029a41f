/* The end of a connect session: see connect.h. */
#include "core/model/connect.h"

#include <stdio.h>

#include "core/base/buf.h"
#include "core/base/id.h"
#include "core/base/jsonw.h"
#include "core/base/text.h"
#include "core/model/event.h"
#include "core/model/post.h"
#include "core/model/scope.h"

struct session {
	struct owner owner;
	const char *id, *end_user_id, *platform, *provider, *grant_id, *reconnect_id, *tags, *metadata;
	int64_t allow_change;
};

static bool session_read(struct db_conn *c, const char *id, struct arena *a, struct session *ret)
{
	STMT_AUTO struct stmt *s = db_query(c,
		"SELECT organization_id, app_id, live, id, end_user_id, platform, provider, grant_id, reconnect_connection_id, tags, metadata,"
		" allow_account_change FROM connect_session WHERE id = ?1"
		" AND status IN ('pending', 'opened', 'authorizing', 'selecting')", "s", id);

	if (!db_next(s))
		return false;
	*ret = (struct session){
		{db_dup(s, 0, a), db_dup(s, 1, a), db_int(s, 2)}, db_dup(s, 3, a), db_dup(s, 4, a), db_dup(s, 5, a), db_dup(s, 6, a),
		db_dup(s, 7, a), db_dup(s, 8, a), db_dup(s, 9, a), db_dup(s, 10, a), db_int(s, 11),
	};
	return true;
}

void connect_announce(struct db_conn *c, const char *id, const char *type, const char *error, int64_t now)
{
	BUF_AUTO struct buf data;
	struct jsonw w;
	struct arena a;

	arena_init(&a, 65536);
	buf_init(&data, 65536);
	STMT_AUTO struct stmt *s = db_query(c,
		"SELECT organization_id, app_id, live, end_user_id, platform, status, connection_ids FROM connect_session WHERE id = ?1", "s", id);
	if (db_next(s)) {
		struct owner o = {db_dup(s, 0, &a), db_dup(s, 1, &a), db_int(s, 2)};
		const char *end_user = db_dup(s, 3, &a), *ids = db_dup(s, 6, &a);

		jsonw_init(&w, &data);
		jsonw_object(&w, "");
		jsonw_object(&w, "object");
		jsonw_text(&w, "id", id);
		jsonw_text(&w, "platform", db_text(s, 4));
		jsonw_text(&w, "status", db_text(s, 5));
		jsonw_raw(&w, "connectionIds", ids ? ids : "[]", ids ? __builtin_strlen(ids) : 2);
		jsonw_text(&w, "errorCode", error);
		jsonw_object_end(&w);
		jsonw_object_end(&w);
		jsonw_end(&w);
		db_end(s);
		event_add(c, &o, type, end_user, buf_text(&data), now);
	}
	arena_free(&a);
}

void connect_end(struct db_conn *c, const char *session_id, const char *status, const char *code, const char *message, int64_t now)
{
	BUF_AUTO struct buf error;
	struct jsonw w;

	buf_init(&error, 8192);
	jsonw_init(&w, &error);
	jsonw_object(&w, "");
	jsonw_text(&w, "code", code);
	jsonw_text(&w, "message", message);
	jsonw_object_end(&w);
	jsonw_end(&w);
	if (db_run(c, "UPDATE connect_session SET status = ?4, error = ?2, state_mac = NULL, completed_at = ?3 WHERE id = ?1"
		   " AND status IN ('pending', 'opened', 'authorizing', 'selecting')", "ssis", session_id, buf_text(&error), now, status) > 0) {
		db_run(c, "UPDATE auth_grant SET status = 'closed', secrets = NULL, facts = NULL, refresh_at = NULL, updated_at = ?2"
		       " WHERE id = (SELECT grant_id FROM connect_session WHERE id = ?1)"
		       " AND NOT EXISTS (SELECT 1 FROM connection WHERE grant_id = auth_grant.id)", "si", session_id, now);
		connect_announce(c, session_id, "connect_session.failed", code, now);
	}
}

void connect_fail(struct db_conn *c, const char *session_id, const char *code, const char *message, int64_t now)
{
	connect_end(c, session_id, "failed", code, message, now);
}

void connect_release(struct db_conn *c, const char *connection_id, int64_t now)
{
	struct arena a;
	const char *posts[512];
	int n = 0;

	arena_init(&a, 65536);
	{
		STMT_AUTO struct stmt *s = db_query(c,
			"UPDATE delivery SET state = 'queued', reason = NULL, due_at = CASE WHEN scheduled_at > ?2 THEN scheduled_at ELSE ?2 END,"
			" deadline_at = NULL, claim = claim + 1, version = version + 1, updated_at = ?2 WHERE connection_id = ?1 AND state = 'blocked'"
			" AND reason IN ('reauth', 'disconnected', 'paused') RETURNING post_id", "si", connection_id, now);

		while (db_next(s))
			if (n < 512)
				posts[n++] = db_dup(s, 0, &a);
	}
	for (int i = 0; i < n; i++)
		post_derive_id(c, posts[i], now);
	arena_free(&a);
}

/* A grant that no connection uses any more keeps no secret. */
static void close_unused_grants(struct db_conn *c, const struct session *s, int64_t now)
{
	db_run(c, "UPDATE auth_grant SET status = 'closed', secrets = NULL, facts = NULL, refresh_at = NULL, updated_at = ?3"
	       " WHERE end_user_id = ?1"
	       " AND organization_id = ?2 AND id <> ?4 AND status NOT IN ('closed', 'new') AND NOT EXISTS (SELECT 1 FROM connection"
	       " WHERE grant_id = auth_grant.id)", "ssis", s->end_user_id, s->owner.organization_id, now, s->grant_id);
}

static void announce_connection(struct db_conn *c, const struct session *s, const char *id, const struct connect_account *a, bool created,
				int64_t now)
{
	BUF_AUTO struct buf data;
	struct jsonw w;

	buf_init(&data, 65536);
	jsonw_init(&w, &data);
	jsonw_object(&w, "");
	jsonw_object(&w, "object");
	jsonw_text(&w, "id", id);
	jsonw_text(&w, "platform", s->platform);
	jsonw_text(&w, "remoteAccountId", a->remote_id);
	jsonw_text(&w, "username", a->username);
	jsonw_text(&w, "status", "active");
	jsonw_object_end(&w);
	jsonw_object_end(&w);
	jsonw_end(&w);
	event_add(c, &s->owner, created ? "connection.created" : "connection.restored", s->end_user_id, buf_text(&data), now);
}

static void upsert(struct db_conn *c, const struct session *s, const struct connect_account *a, const char *scopes, int64_t now,
		   char ret_id[ID_MAX])
{
	char fresh[ID_MAX];
	bool created;

	id_new(fresh, "con");
	{
		STMT_AUTO struct stmt *q = db_query(c,
			"INSERT INTO connection (id, organization_id, app_id, live, end_user_id, grant_id, platform, provider, remote_id, target,"
			" username, display_name, avatar_url, account_type, status, scopes, tags, metadata, checked_at, limits_at, created_at,"
			" updated_at)"
			" VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, 'active', ?15, ?16, ?17, ?18, ?18, ?18, ?18)"
			" ON CONFLICT (app_id, live, end_user_id, platform, remote_id) DO UPDATE SET grant_id = ?6, provider = ?8, target = ?10,"
			" username = ?11, display_name = ?12, avatar_url = ?13, account_type = ?14, status = 'active', status_reason = NULL,"
			" scopes = ?15, disconnected_at = NULL, checked_at = ?18, limits_at = ?18, limits_failures = 0,"
			" version = connection.version + 1, updated_at = ?18 RETURNING id",
			"sssisssssssssssssi", fresh, s->owner.organization_id, s->owner.app_id, s->owner.live, s->end_user_id, s->grant_id,
			s->platform, s->provider, a->remote_id, a->target, a->username, a->name, a->avatar_url, a->type, scopes, s->tags,
			s->metadata, now);

		snprintf(ret_id, ID_MAX, "%s", db_next(q) ? db_text_or(q, 0, "") : "");
	}
	created = text_eq(ret_id, fresh);
	announce_connection(c, s, ret_id, a, created, now);
	if (!created)
		connect_release(c, ret_id, now);
}

static bool wrong_account(struct db_conn *c, const struct session *s, const struct connect_account *accounts, int count)
{
	STMT_AUTO struct stmt *q = db_query(c, "SELECT remote_id FROM connection WHERE id = ?1 AND organization_id = ?2", "ss",
					    s->reconnect_id, s->owner.organization_id);

	if (s->reconnect_id == NULL || s->allow_change || !db_next(q))
		return false;
	for (int i = 0; i < count; i++)
		if (text_eq(accounts[i].remote_id, db_text(q, 0)))
			return false;
	return true;
}

/* For the page that says which account it was. */
static void keep_account(struct db_conn *c, const struct session *s, const struct connect_account *account)
{
	BUF_AUTO struct buf text;
	struct jsonw w;

	buf_init(&text, 65536);
	jsonw_init(&w, &text);
	jsonw_object(&w, "");
	jsonw_text(&w, "account.username", account->username);
	jsonw_text(&w, "account.name", account->name);
	jsonw_object_end(&w);
	jsonw_end(&w);
	db_run(c, "UPDATE connect_session SET account = ?3 WHERE id = ?1 AND organization_id = ?2", "sss", s->id, s->owner.organization_id,
	       buf_text(&text));
}

static void note_missing(struct db_conn *c, const struct session *s, const char *scopes)
{
	BUF_AUTO struct buf missing;
	STMT_AUTO struct stmt *q = db_query(c, "SELECT asked FROM auth_grant WHERE id = ?1 AND organization_id = ?2", "ss", s->grant_id,
					    s->owner.organization_id);

	buf_init(&missing, 16384);
	scope_missing(&missing, db_next(q) ? db_text(q, 0) : NULL, scopes);
	db_run(c, "UPDATE connection SET missing = ?3 WHERE grant_id = ?1 AND organization_id = ?2", "sss", s->grant_id,
	       s->owner.organization_id, buf_text(&missing));
}

enum rc connect_complete(struct cx *cx, struct db_conn *c, const char *session_id, const struct connect_account *accounts, int count,
			 const char *scopes, int *ret_failed, int64_t now)
{
	ARENA_AUTO struct arena a;
	BUF_AUTO struct buf ids;
	struct session s;
	struct jsonw w;
	char id[ID_MAX];

	arena_init(&a, 65536);
	buf_init(&ids, 65536);
	*ret_failed = 0;
	if (!session_read(c, session_id, &a, &s))
		return db_rc(c) != RC_OK ? db_fail(cx, c)
			: fail_code(cx, RC_CONFLICT, "connect_session_used", NULL, "connect session %s has ended already", session_id);
	if (wrong_account(c, &s, accounts, count)) {
		*ret_failed = 1;
		keep_account(c, &s, &accounts[0]);
		connect_fail(c, session_id, "connect_account_mismatch",
			     "The account that was signed in is not the one to be renewed.", now);
		return db_rc(c) == RC_OK ? RC_OK : db_fail(cx, c);
	}
	db_run(c, "UPDATE auth_grant SET status = 'active', updated_at = ?3 WHERE id = ?1 AND organization_id = ?2", "ssi", s.grant_id,
	       s.owner.organization_id, now);
	jsonw_init(&w, &ids);
	jsonw_array(&w, "");
	for (int i = 0; i < count; i++) {
		upsert(c, &s, &accounts[i], scopes, now, id);
		jsonw_text(&w, "", id);
	}
	jsonw_array_end(&w);
	jsonw_end(&w);
	note_missing(c, &s, scopes);
	db_run(c, "UPDATE connect_session SET status = 'completed', connection_ids = ?2, completed_at = ?3, state_mac = NULL WHERE id = ?1",
	       "ssi", session_id, buf_text(&ids), now);
	close_unused_grants(c, &s, now);
	connect_announce(c, session_id, "connect_session.completed", NULL, now);
	return db_rc(c) == RC_OK ? RC_OK : db_fail(cx, c);
}
