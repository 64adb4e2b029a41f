/* Grants: see grant.h. */
#include "core/model/grant.h"

#include <string.h>

#include "core/base/clock.h"
#include "core/base/id.h"
#include "core/base/jsonw.h"
#include "core/base/text.h"
#include "core/model/data_key.h"
#include "core/model/scope.h"

bool grant_load(struct db_conn *c, const char *id, struct arena *a, struct grant *g)
{
	STMT_AUTO struct stmt *s = db_query(c,
		"SELECT organization_id, app_id, live, id, end_user_id, platform, provider, credential_id, account_host, scopes, status,"
		" refresh_operation_id, asked, instance_client_id, facts,"
		" expires_at, refreshable, token_version, refresh_at, refresh_failures, refreshed_at, denied_at, created_at"
		" FROM auth_grant WHERE id = ?1", "s", id);
	const char **texts[] = {
		&g->id, &g->end_user_id, &g->platform, &g->provider, &g->credential_id, &g->account_host, &g->scopes, &g->status,
		&g->refresh_operation_id, &g->asked, &g->instance_id, &g->facts,
	};
	int64_t *numbers[] = {
		&g->expires_at, &g->refreshable, &g->token_version, &g->refresh_at, &g->refresh_failures, &g->refreshed_at, &g->denied_at,
		&g->created_at,
	};
	int column = 3;

	if (id == NULL || !db_next(s))
		return false;
	g->owner = (struct owner){db_dup(s, 0, a), db_dup(s, 1, a), db_int(s, 2)};
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
		*texts[i] = db_dup(s, column++, a);
	for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
		*numbers[i] = db_int(s, column++);
	return true;
}

enum rc grant_secrets(struct cx *cx, struct db_conn *c, struct vault *v, const struct grant *g, struct buf *ret_bag)
{
	DATA_KEY_AUTO struct data_key key = {0};
	STMT_AUTO struct stmt *s = db_query(c, "SELECT secrets FROM auth_grant WHERE id = ?1 AND organization_id = ?2", "ss", g->id,
					    g->owner.organization_id);
	const void *sealed;
	size_t n;
	enum rc rc;

	if (!db_next(s) || db_null(s, 0))
		return db_rc(c) == RC_OK ? RC_OK : db_fail(cx, c);
	rc = data_key_open(cx, c, v, g->owner.organization_id, g->end_user_id, &key);
	if (rc != RC_OK)
		return rc;
	sealed = db_blob(s, 0, &n);
	return data_key_unseal(cx, &key, g->owner.organization_id, "auth_grant", "secrets", g->id, sealed, n, ret_bag);
}

static enum rc seal(struct cx *cx, struct db_conn *c, struct vault *v, const struct grant *g, const struct buf *bag, struct buf *ret)
{
	DATA_KEY_AUTO struct data_key key = {0};
	enum rc rc = data_key_open(cx, c, v, g->owner.organization_id, g->end_user_id, &key);

	if (rc != RC_OK)
		return rc;
	return data_key_seal(cx, &key, g->owner.organization_id, "auth_grant", "secrets", g->id, bag->data, bag->len, ret);
}

enum rc grant_secrets_save(struct cx *cx, struct db_conn *c, struct vault *v, const struct grant *g, const struct buf *bag)
{
	BUF_AUTO struct buf sealed;
	enum rc rc;

	buf_init(&sealed, BAG_MAX);
	rc = seal(cx, c, v, g, bag, &sealed);
	if (rc != RC_OK)
		return rc;
	db_run(c, "UPDATE auth_grant SET secrets = ?3 WHERE id = ?1 AND organization_id = ?2", "ssb", g->id, g->owner.organization_id,
	       sealed.data, sealed.len);
	return db_rc(c) == RC_OK ? RC_OK : db_fail(cx, c);
}

enum rc grant_create(struct cx *cx, struct db_conn *c, struct vault *v, struct grant *g, char id[32], const struct buf *bag, int64_t now)
{
	id_new(id, "gr");
	g->id = id;
	db_run(c,
		"INSERT INTO auth_grant (id, organization_id, app_id, live, end_user_id, platform, provider, credential_id, account_host,"
		" asked, instance_client_id, facts, status, created_at, updated_at)"
		" VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, 'new', ?13, ?13)",
		"sssissssssssi", id, g->owner.organization_id, g->owner.app_id, g->owner.live, g->end_user_id, g->platform, g->provider,
		g->credential_id, g->account_host, g->asked, g->instance_id, g->facts, now);
	return grant_secrets_save(cx, c, v, g, bag);
}

static int64_t plan_refresh(int64_t expires_at, int64_t now)
{
	int64_t life = expires_at - now, ahead = life / 5;
	uint16_t jitter;

	if (ahead > 15 * 60 * 1000)
		ahead = 15 * 60 * 1000;
	id_random(&jitter, sizeof jitter);
	return expires_at - ahead - (int64_t)jitter * (ahead / 4) / 65536;
}

bool grant_closed(struct db_conn *c, const struct grant *g)
{
	return db_number(c, 0, "SELECT COUNT(*) FROM auth_grant WHERE id = ?1 AND organization_id = ?2 AND status = 'closed'", "ss", g->id,
			 g->owner.organization_id) == 1;
}

enum rc grant_tokens_save(struct cx *cx, struct db_conn *c, struct vault *v, const struct grant *g, const struct buf *bag,
			  const struct grant_tokens *t, int64_t now)
{
	BUF_AUTO struct buf sealed;
	int64_t refresh_at = t->refreshable && t->expires_at > now ? plan_refresh(t->expires_at, now) : 0, n;
	enum rc rc;

	buf_init(&sealed, BAG_MAX);
	rc = seal(cx, c, v, g, bag, &sealed);
	if (rc != RC_OK)
		return rc;
	n = db_run(c,
		"UPDATE auth_grant SET secrets = ?3, expires_at = ?4, refreshable = ?5, scopes = COALESCE(?6, scopes),"
		" account_host = COALESCE(?7, account_host), token_version = token_version + 1, refresh_at = ?8, refresh_operation_id = NULL,"
		" refresh_failures = 0, refreshed_at = ?9, denied_at = NULL, updated_at = ?9,"
		" status = CASE WHEN status IN ('reauth_required', 'revoked') THEN 'active' ELSE status END"
		" WHERE id = ?1 AND organization_id = ?2 AND token_version = ?10 AND status <> 'closed'",
		"ssboissoii", g->id, g->owner.organization_id, sealed.data, sealed.len, t->expires_at, (int64_t)t->refreshable, t->scopes,
		t->account_host, refresh_at, now, g->token_version);
	if (n == 0)
		return fail(cx, RC_STALE, "grant %s: its tokens were changed by somebody else", g->id);
	return db_rc(c) == RC_OK ? RC_OK : db_fail(cx, c);
}

bool grant_lease(struct db_conn *c, const struct grant *g, const char *operation_id, int64_t now)
{
	return db_run(c,
		"UPDATE auth_grant SET refresh_operation_id = ?3, refresh_at = NULL, updated_at = ?5"
		" WHERE id = ?1 AND organization_id = ?2 AND token_version = ?4"
		" AND (refresh_operation_id IS NULL OR refresh_operation_id = ?3)",
		"sssii", g->id, g->owner.organization_id, operation_id, g->token_version, now) == 1;
}

void grant_lease_end(struct db_conn *c, const char *grant_id, const char *operation_id, bool failed, int64_t retry_at, int64_t now)
{
	db_run(c,
		"UPDATE auth_grant SET refresh_operation_id = NULL, refresh_failures = refresh_failures + ?3, refresh_at = ?4, updated_at = ?5"
		" WHERE id = ?1 AND refresh_operation_id = ?2",
		"ssioi", grant_id, operation_id, (int64_t)failed, retry_at, now);
}

static void announce(struct db_conn *c, const struct grant *g, const char *type, const char *connection_id, const char *status,
		     const char *reason, int64_t now)
{
	BUF_AUTO struct buf data;
	struct jsonw w;

	buf_init(&data, 8192);
	jsonw_init(&w, &data);
	jsonw_object(&w, "");
	jsonw_object(&w, "object");
	jsonw_text(&w, "id", connection_id);
	jsonw_text(&w, "platform", g->platform);
	jsonw_text(&w, "status", status);
	jsonw_text(&w, "statusReason", reason);
	jsonw_object_end(&w);
	jsonw_object_end(&w);
	jsonw_end(&w);
	event_add(c, &g->owner, type, g->end_user_id, buf_text(&data), now);
}

static void connections_dead(struct db_conn *c, const struct grant *g, const char *status, const char *reason, int64_t now)
{
	struct arena a;
	const char *ids[256];
	int n = 0;

	arena_init(&a, 65536);
	{
		STMT_AUTO struct stmt *s = db_query(c,
			"UPDATE connection SET status = ?3, status_reason = ?4, version = version + 1, updated_at = ?5"
			" WHERE grant_id = ?1 AND organization_id = ?2 AND status IN ('active', 'expiring') RETURNING id",
			"ssssi", g->id, g->owner.organization_id, status, reason, now);

		while (db_next(s))
			if (n < 256)
				ids[n++] = db_dup(s, 0, &a);
	}
	for (int i = 0; i < n; i++)
		announce(c, g, "connection.reauth_required", ids[i], status, reason, now);
	arena_free(&a);
}

void grant_scopes(struct db_conn *c, const struct grant *g, const char *scopes, int64_t now)
{
	ARENA_AUTO struct arena a;
	BUF_AUTO struct buf missing;
	struct changed { const char *id, *status; } changed[256];
	int n = 0;

	arena_init(&a, 65536);
	buf_init(&missing, 16384);
	scope_missing(&missing, g->asked, scopes);
	{
		STMT_AUTO struct stmt *s = db_query(c,
			"UPDATE connection SET scopes = ?3, missing = ?5, version = version + 1, updated_at = ?4 WHERE grant_id = ?1"
			" AND organization_id = ?2 AND status <> 'disconnected' AND (scopes IS NOT ?3 OR missing IS NOT ?5) RETURNING id, status",
			"sssis", g->id, g->owner.organization_id, scopes, now, buf_text(&missing));

		while (db_next(s))
			if (n < 256)
				changed[n++] = (struct changed){db_dup(s, 0, &a), db_dup(s, 1, &a)};
	}
	for (int i = 0; i < n; i++)
		announce(c, g, "connection.updated", changed[i].id, changed[i].status, NULL, now);
}

void grant_dead(struct db_conn *c, const struct grant *g, bool revoked, const char *reason, int64_t now)
{
	const char *status = revoked ? "revoked" : "reauth_required";

	db_run(c, "UPDATE auth_grant SET status = ?3, status_reason = ?4, refresh_at = NULL, updated_at = ?5 WHERE id = ?1"
	       " AND organization_id = ?2 AND status <> 'closed'", "ssssi", g->id, g->owner.organization_id, status, reason, now);
	connections_dead(c, g, status, reason, now);
}

enum rc credential_secrets(struct cx *cx, struct db_conn *c, struct vault *v, const char *credential_id, struct buf *bag)
{
	DATA_KEY_AUTO struct data_key key = {0};
	struct buf plain;
	const char *organization;
	const void *sealed;
	size_t n;
	enum rc rc;
	STMT_AUTO struct stmt *s = db_query(c, "SELECT organization_id, client_id, client_secret FROM credential WHERE id = ?1", "s",
					    credential_id);

	if (!db_next(s))
		return fail(cx, RC_NOT_FOUND, "credential %s does not exist any more", credential_id);
	organization = db_text_or(s, 0, "");
	bag_put(bag, REC_STATE, "client.id", db_text(s, 1));
	if (db_null(s, 2))
		return RC_OK;
	sealed = db_blob(s, 2, &n);
	buf_init(&plain, 65536);
	rc = data_key_open(cx, c, v, organization, NULL, &key);
	if (rc == RC_OK)
		rc = data_key_unseal(cx, &key, organization, "credential", "client_secret", credential_id, sealed, n, &plain);
	if (rc == RC_OK)
		bag_put_bytes(bag, REC_STATE, "client.secret", plain.data, plain.len);
	buf_wipe(&plain);
	return rc;
}
