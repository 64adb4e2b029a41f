/* API keys: see apikey.h. */
#include "core/model/apikey.h"

#include <stdio.h>
#include <string.h>

#include "core/base/text.h"

#define MAC_BYTES 32

const char *const apikey_scopes[] = {
	"all", "end_users:read", "end_users:write", "connections:read", "connections:write", "connect_sessions:read", "connect_sessions:write",
	"posts:read", "posts:write", "media:read", "media:write", "webhooks:read", "webhooks:write", "usage:read", "usage:write",
	"logs:read", "logs:write", "admin:read", "admin:write", NULL
};

/* Whether the word of n bytes stands in a space separated list. */
static bool listed(const char *list, const char *word, size_t n)
{
	for (list += strspn(list, " "); *list; list += strspn(list, " ")) {
		size_t here = strcspn(list, " ");
		if (here == n && memcmp(list, word, n) == 0)
			return true;
		list += here;
	}
	return false;
}

static enum rc scopes_check(struct cx *cx, const char *scopes)
{
	if (text_eq(scopes, "all"))
		return RC_OK;
	if (listed(scopes, "all", 3))
		return fail_code(cx, RC_INVALID, "field_invalid", "scopes", "the scope all holds every other: it stands alone");
	const char *at = scopes + strspn(scopes, " ");
	if (*at == '\0')
		return fail_code(cx, RC_INVALID, "field_required", "scopes", "a key needs at least one scope, or all");
	for (size_t n; *at; at += n, at += strspn(at, " ")) {
		char word[64];
		n = strcspn(at, " ");
		snprintf(word, sizeof word, "%.*s", (int)(n < sizeof word ? n : sizeof word - 1), at);
		bool known = false;
		for (const char *const *s = apikey_scopes; *s && !known; s++)
			known = strcmp(*s, word) == 0;
		const char *near = known ? NULL : text_nearest(word, apikey_scopes);
		if (!known)
			return fail_code(cx, RC_INVALID, "field_invalid", "scopes", "unknown scope %s%s%s", word,
					 near ? "; did you mean " : "", near ? near : "");
	}
	return RC_OK;
}

enum rc apikey_create(struct cx *cx, struct db_conn *c, struct vault *v, struct apikey_new *k, int64_t now)
{
	uint8_t mac[MAC_BYTES];
	char key_id[9];
	enum rc rc = scopes_check(cx, k->scopes);

	if (rc != RC_OK)
		return rc;
	id_new(k->id, "key");
	vault_api_key_new(k->live, k->text, key_id);
	vault_mac(v, "api_key", k->text, strlen(k->text), mac);
	db_run(c, "INSERT INTO api_key (id, organization_id, app_id, live, key_id, mac, name, scopes, expires_at, created_at)"
	       " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)", "sssisbssoi",
	       k->id, k->organization_id, k->app_id, (int64_t)k->live, key_id, mac, sizeof mac, k->name, k->scopes, k->expires_at, now);
	return db_rc(c) == RC_OK ? RC_OK : db_fail(cx, c);
}

static enum rc invalid(struct cx *cx)
{
	return fail_code(cx, RC_UNAUTHORIZED, "api_key_invalid", NULL, "This API key is not known.");
}

enum rc apikey_check(struct cx *cx, struct db_conn *c, const struct vault *v, const char *text, int64_t now, struct arena *a,
		     struct apikey *ret)
{
	uint8_t mac[MAC_BYTES];
	char key_id[9];
	int live;
	size_t n;

	if (!vault_api_key_read(text, &live, key_id))
		return invalid(cx);
	STMT_AUTO struct stmt *s = db_query(c, "SELECT id, organization_id, app_id, scopes, live, mac, expires_at, revoked_at"
					    " FROM api_key WHERE key_id = ?1", "s", key_id);
	if (!db_next(s))
		return db_rc(c) != RC_OK ? db_fail(cx, c) : invalid(cx);
	vault_mac(v, "api_key", text, strlen(text), mac);
	const void *stored = db_blob(s, 5, &n);
	if (n != sizeof mac || !vault_equal(stored, mac, n) || db_int(s, 4) != live)
		return invalid(cx);
	if (!db_null(s, 7))
		return fail_code(cx, RC_UNAUTHORIZED, "api_key_revoked", NULL, "This API key was revoked.");
	if (!db_null(s, 6) && db_int(s, 6) <= now)
		return fail_code(cx, RC_UNAUTHORIZED, "api_key_expired", NULL, "This API key has expired.");
	*ret = (struct apikey){db_dup(s, 0, a), db_dup(s, 1, a), db_dup(s, 2, a), arena_text(a, key_id), db_dup(s, 3, a), live};
	return RC_OK;
}

/* To write is to read. */
bool apikey_may(const struct apikey *k, const char *scope)
{
	size_t n = strlen(scope), family = strcspn(scope, ":");
	char wider[64];

	if (text_eq(k->scopes, "all") || listed(k->scopes, scope, n))
		return true;
	if (!text_eq(scope + family, ":read") || family > 40)
		return false;
	int length = snprintf(wider, sizeof wider, "%.*s:write", (int)family, scope);
	return listed(k->scopes, wider, (size_t)length);
}

void apikey_used(struct db_conn *c, const char *organization_id, const char *id, int64_t at)
{
	db_run(c, "UPDATE api_key SET last_used_at = ?3 WHERE id = ?1 AND organization_id = ?2 AND COALESCE(last_used_at, 0) < ?3", "ssi", id,
	       organization_id, at);
}

enum rc apikey_revoke(struct cx *cx, struct db_conn *c, const char *organization_id, const char *id, int64_t now)
{
	int64_t rows = organization_id
		? db_run(c, "UPDATE api_key SET revoked_at = COALESCE(revoked_at, ?1) WHERE (id = ?2 OR key_id = ?2) AND organization_id = ?3",
			 "iss", now, id, organization_id)
		: db_run(c, "UPDATE api_key SET revoked_at = COALESCE(revoked_at, ?1) WHERE id = ?2 OR key_id = ?2", "is", now, id);

	if (rows < 0)
		return db_fail(cx, c);
	return rows > 0 ? RC_OK : fail(cx, RC_NOT_FOUND, "no API key %s", id);
}

/* ---- as an app's keys are shown ----------------------------------------------------------------------- */

bool apikey_next(struct stmt *s, struct arena *a, struct apikey_row *ret)
{
	if (!db_next(s))
		return false;
	*ret = (struct apikey_row){
		.id = db_dup(s, 0, a), .key_id = db_dup(s, 1, a), .name = db_dup(s, 2, a), .scopes = db_dup(s, 3, a), .live = db_int(s, 4) != 0,
		.expires_at = db_int(s, 5), .revoked_at = db_int(s, 6), .used_at = db_int(s, 7), .created_at = db_int(s, 8),
	};
	return true;
}

bool apikey_find(struct db_conn *c, const struct owner *o, const char *id, struct arena *a, struct apikey_row *ret)
{
	STMT_AUTO struct stmt *s = db_query(c, "SELECT id, key_id, name, scopes, live, expires_at, revoked_at, last_used_at, created_at"
		" FROM api_key WHERE id = ?1 AND organization_id = ?2 AND app_id = ?3 AND live <= ?4", "sssi", id, o->organization_id,
		o->app_id, (int64_t)o->live);

	return apikey_next(s, a, ret);
}

struct stmt *apikey_page(struct db_conn *c, const struct owner *o, const char *after, int limit)
{
	return db_query(c, "SELECT id, key_id, name, scopes, live, expires_at, revoked_at, last_used_at, created_at FROM api_key"
		" WHERE organization_id = ?1 AND app_id = ?2 AND live <= ?3 AND id > ?4 ORDER BY id LIMIT ?5", "ssisi", o->organization_id,
		o->app_id, (int64_t)o->live, after, (int64_t)limit);
}

const char *apikey_status(const struct apikey_row *k, int64_t now)
{
	return k->revoked_at > 0 ? "revoked" : k->expires_at > 0 && k->expires_at <= now ? "expired" : "active";
}

void apikey_expire(struct db_conn *c, const char *organization_id, const char *id, int64_t at)
{
	db_run(c, "UPDATE api_key SET expires_at = ?3 WHERE id = ?1 AND organization_id = ?2 AND (expires_at IS NULL OR expires_at > ?3)",
	       "ssi", id, organization_id, at);
}

struct stmt *apikey_list(struct db_conn *c, const char *owner_id, int64_t now)
{
	return db_query(c, "SELECT id, key_id, organization_id, app_id, CASE live WHEN 1 THEN 'live' ELSE 'test' END,"
			" CASE WHEN revoked_at IS NOT NULL THEN 'revoked' WHEN expires_at <= ?2 THEN 'expired' ELSE 'active' END, scopes, name"
			" FROM api_key WHERE organization_id = ?1 OR app_id = ?1 OR ?1 = '' ORDER BY organization_id, id", "si", owner_id, now);
}
