/* Connections: see connection.h. */
#include "core/model/connection.h"

#include "core/base/buf.h"
#include "core/base/jsonw.h"
#include "core/base/text.h"
#include "core/model/delivery.h"
#include "core/model/operation.h"
#include "core/model/post.h"

#define SELECT "SELECT n.organization_id, n.app_id, n.live, n.id, n.end_user_id, u.external_id, n.grant_id, n.platform, n.provider," \
	" n.remote_id, n.username, n.display_name, n.avatar_url, n.account_type, n.status, n.status_reason, n.scopes, n.missing, n.label," \
	" n.tags," \
	" n.metadata, n.limits," \
	" g.credential_id, n.paused, g.expires_at, g.refreshable, g.refreshed_at, g.refresh_at, g.refresh_failures, n.checked_at," \
	" n.published_at, n.version, n.created_at, n.updated_at FROM connection n" \
	" JOIN end_user u ON u.id = n.end_user_id AND u.organization_id = n.organization_id" \
	" JOIN auth_grant g ON g.id = n.grant_id AND g.organization_id = n.organization_id"

void connection_row(struct stmt *s, struct arena *a, struct connection *n)
{
	const char **texts[] = {
		&n->id, &n->end_user_id, &n->external_id, &n->grant_id, &n->platform, &n->provider, &n->remote_id, &n->username,
		&n->display_name, &n->avatar_url, &n->account_type, &n->status, &n->reason, &n->scopes, &n->missing, &n->label, &n->tags, &n->metadata,
		&n->limits, &n->credential_id,
	};
	int64_t *numbers[] = {
		&n->paused, &n->expires_at, &n->refreshable, &n->refreshed_at, &n->refresh_at, &n->refresh_failures, &n->checked_at,
		&n->published_at, &n->version, &n->created_at, &n->updated_at,
	};
	int column = 3;

	n->owner = (struct owner){db_dup(s, 0, a), db_dup(s, 1, a), db_int(s, 2)};
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
		*texts[i] = db_dup(s, column++, a);
	for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
		*numbers[i] = db_int(s, column++);
}

bool connection_find(struct db_conn *c, const struct owner *o, const char *id, struct arena *a, struct connection *ret)
{
	STMT_AUTO struct stmt *s = db_query(c, SELECT " WHERE n.id = ?1 AND n.organization_id = ?2 AND n.app_id = ?3 AND n.live = ?4", "sssi",
					    id, o->organization_id, o->app_id, o->live);

	if (!db_next(s))
		return false;
	connection_row(s, a, ret);
	return true;
}

struct stmt *connection_list(struct db_conn *c, const struct owner *o, const struct connection_filter *f, const char *after, int limit)
{
	return db_query(c,
		SELECT " WHERE n.organization_id = ?1 AND n.app_id = ?2 AND n.live = ?3 AND n.id > ?4 AND (?5 IS NULL OR n.end_user_id = ?5)"
		" AND (?6 IS NULL OR n.platform = ?6) AND (?7 IS NULL OR ?7 = CASE WHEN n.paused = 1 AND n.status IN ('active', 'expiring')"
		" THEN 'paused' ELSE n.status END) ORDER BY n.id LIMIT ?8", "ssissssi", o->organization_id, o->app_id, o->live, after,
		f->end_user_id, f->platform, f->status, (int64_t)limit);
}

const char *connection_status(const struct connection *n)
{
	return n->paused && (text_eq(n->status, "active") || text_eq(n->status, "expiring")) ? "paused" : n->status;
}

/* ---- changes ----------------------------------------------------------------------------------------- */

static void announce(struct db_conn *c, const struct connection *n, const char *type, const char *status, int64_t now)
{
	BUF_AUTO struct buf data;
	struct jsonw w;

	buf_init(&data, 16384);
	jsonw_init(&w, &data);
	jsonw_object(&w, "");
	jsonw_object(&w, "object");
	jsonw_text(&w, "id", n->id);
	jsonw_text(&w, "platform", n->platform);
	jsonw_text(&w, "remoteAccountId", n->remote_id);
	jsonw_text(&w, "username", n->username);
	jsonw_text(&w, "status", status);
	jsonw_object_end(&w);
	jsonw_object_end(&w);
	jsonw_end(&w);
	event_add(c, &n->owner, type, n->end_user_id, buf_text(&data), now);
}

struct waiting { const char *id, *post_id; int64_t scheduled_at; };

/* Deliveries of the connection in a state, for a reason (NULL: any); at most max. */
static int waiting_read(struct db_conn *c, const struct connection *n, enum delivery_state state, const char *reason, struct arena *a,
			struct waiting *list, int max)
{
	int count = 0;
	STMT_AUTO struct stmt *s = db_query(c,
		"SELECT id, post_id, scheduled_at FROM delivery WHERE connection_id = ?1 AND organization_id = ?2 AND state = ?3"
		" AND (?4 IS NULL OR reason = ?4) LIMIT ?5", "ssssi", n->id, n->owner.organization_id, delivery_state_name(state), reason,
		(int64_t)max);

	while (db_next(s))
		list[count++] = (struct waiting){db_dup(s, 0, a), db_dup(s, 1, a), db_int(s, 2)};
	return count;
}

#define WAITING_MAX 500

/* Moves them through the state table, each with its event, until none is left. */
static void move_all(struct db_conn *c, const struct connection *n, enum delivery_state from, const char *from_reason,
		     enum delivery_state to, const char *reason, int64_t now)
{
	int count;

	do {
		ARENA_AUTO struct arena a;
		struct waiting *list;

		arena_init(&a, 1u << 20);
		list = arena_array(&a, struct waiting, WAITING_MAX);
		count = waiting_read(c, n, from, from_reason, &a, list, WAITING_MAX);
		for (int i = 0; i < count; i++) {
			struct delivery_move m = {
				.id = list[i].id, .owner = &n->owner, .from = from, .to = to, .advance = true, .reason = reason,
				.due_at = to != DELIVERY_QUEUED ? 0 : list[i].scheduled_at > now ? list[i].scheduled_at : now,
				.deadline_at = delivery_deadline(to, now),
			};

			delivery_move(c, &m, now);
		}
	} while (count == WAITING_MAX && db_rc(c) == RC_OK);
}

void connection_patch(struct db_conn *c, const struct connection *n, const struct connection_change *ch, int64_t now)
{
	bool unpaused = ch->paused_given && !ch->paused && n->paused;

	db_run(c,
		"UPDATE connection SET label = CASE WHEN ?3 = 1 THEN ?4 ELSE label END, tags = CASE WHEN ?5 = 1 THEN ?6 ELSE tags END,"
		" metadata = CASE WHEN ?7 = 1 THEN ?8 ELSE metadata END, paused = CASE WHEN ?9 = 1 THEN ?10 ELSE paused END,"
		" version = version + 1, updated_at = ?11 WHERE id = ?1 AND organization_id = ?2", "ssisisisiii", n->id, n->owner.organization_id,
		(int64_t)ch->label.given, ch->label.value, (int64_t)ch->tags.given, ch->tags.value, (int64_t)ch->metadata.given,
		ch->metadata.value, (int64_t)ch->paused_given, (int64_t)ch->paused, now);
	if (unpaused)
		move_all(c, n, DELIVERY_BLOCKED, "paused", DELIVERY_QUEUED, NULL, now);
	announce(c, n, "connection.updated", ch->paused_given && ch->paused ? "paused" : n->status, now);
}

static bool disconnect(struct db_conn *c, const struct connection *n, int64_t now)
{
	if (text_eq(n->status, "disconnected"))
		return false;
	db_run(c, "UPDATE connection SET status = 'disconnected', status_reason = NULL, disconnected_at = ?3, version = version + 1,"
	       " updated_at = ?3 WHERE id = ?1 AND organization_id = ?2", "ssi", n->id, n->owner.organization_id, now);
	move_all(c, n, DELIVERY_QUEUED, NULL, DELIVERY_BLOCKED, "disconnected", now);
	announce(c, n, "connection.disconnected", "disconnected", now);
	return db_number(c, 1, "SELECT COUNT(*) FROM connection WHERE grant_id = ?1 AND organization_id = ?2 AND status <> 'disconnected'", "ss",
			 n->grant_id, n->owner.organization_id) == 0;
}

static void close_grant(struct db_conn *c, const struct connection *n, int64_t now)
{
	db_run(c, "UPDATE auth_grant SET status = 'closed', secrets = NULL, facts = NULL, refresh_at = NULL, updated_at = ?3 WHERE id = ?1"
	       " AND organization_id = ?2", "ssi", n->grant_id, n->owner.organization_id, now);
}

static void revoke(struct db_conn *c, const struct connection *n, int64_t now)
{
	char id[ID_MAX];
	struct operation o = {
		.owner = n->owner, .kind = "revoke", .platform = n->platform, .provider = n->provider, .grant_id = n->grant_id,
	};

	db_run(c, "UPDATE auth_grant SET refresh_at = NULL, updated_at = ?3 WHERE id = ?1 AND organization_id = ?2", "ssi", n->grant_id,
	       n->owner.organization_id, now);
	operation_start(c, &o, id, operation_lifetime("revoke"), now);
}

void connection_let_go(struct db_conn *c, struct platforms *platforms, const struct connection *n, int64_t now)
{
	PLATFORM_AUTO const struct platform *p = platforms_take(platforms, n->provider);

	if (!disconnect(c, n, now))
		return;
	if (p != NULL && platform_has(p, "revoke"))
		revoke(c, n, now);
	else
		close_grant(c, n, now);
}

void connection_check(struct db_conn *c, const struct connection *n, char operation_id[ID_MAX], int64_t now)
{
	struct operation o = {
		.owner = n->owner, .kind = "check", .platform = n->platform, .provider = n->provider, .connection_id = n->id,
		.grant_id = n->grant_id,
	};

	operation_start(c, &o, operation_id, operation_lifetime("check"), now);
}

/* ---- limits ------------------------------------------------------------------------------------------ */

/* As the index connection_limits says it. */
#define READABLE "n.limits_at IS NOT NULL AND n.status IN ('active', 'expiring') AND n.paused = 0"

struct stmt *connection_limits_due(struct db_conn *c, int64_t now, int limit)
{
	return db_query(c,
		"SELECT n.id, n.provider, g.account_host FROM connection n JOIN auth_grant g ON g.id = n.grant_id AND g.organization_id ="
		" n.organization_id WHERE " READABLE " AND n.limits_at <= ?1 ORDER BY n.limits_at LIMIT ?2", "ii", now, (int64_t)limit);
}

int64_t connection_limits_next(struct db_conn *c, int64_t now)
{
	return db_number(c, 0, "SELECT MIN(n.limits_at) FROM connection n WHERE " READABLE " AND n.limits_at > ?1", "i", now);
}

void connection_limits_keep(struct db_conn *c, const char *id, const char *organization_id, const char *grant_id, const char *limits,
			    int64_t again_at, int64_t now)
{
	db_run(c, "UPDATE connection SET version = version + (limits IS NOT ?4), updated_at = CASE WHEN limits IS NOT ?4 THEN ?6 ELSE updated_at"
	       " END, limits = ?4, limits_at = ?5, limits_failures = 0 WHERE id = ?1 AND organization_id = ?2 AND grant_id = ?3", "ssssii", id,
	       organization_id, grant_id, limits, again_at, now);
}

void connection_limits_failed(struct db_conn *c, const char *id, const char *organization_id, int64_t again_at)
{
	db_run(c, "UPDATE connection SET limits_at = ?3, limits_failures = limits_failures + 1 WHERE id = ?1 AND organization_id = ?2", "ssi", id,
	       organization_id, again_at);
}

void connection_limits_later(struct db_conn *c, const char *id, int64_t again_at)
{
	db_run(c, "UPDATE connection SET limits_at = ?2 WHERE id = ?1 AND limits_at < ?2", "si", id, again_at);
}
