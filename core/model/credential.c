/* Provider credentials: see credential.h. */
#include "core/model/credential.h"

#include <string.h>

#include "core/base/text.h"
#include "core/model/bag.h"
#include "core/model/data_key.h"
#include "core/model/grant.h"

#define SECRET_MAX 65536

#define COLUMNS "id, platform, mode, client_id, scopes, extra, client_secret IS NOT NULL, version, verified_at, created_at, updated_at"
#define IN_FORCE " AND version = (SELECT MAX(version) FROM credential l WHERE l.app_id = k.app_id AND l.platform = k.platform" \
	" AND l.organization_id = k.organization_id) AND status = 'active'"

void credential_row(struct stmt *s, struct arena *a, struct credential *ret)
{
	*ret = (struct credential){
		.id = db_dup(s, 0, a), .platform = db_dup(s, 1, a), .mode = db_dup(s, 2, a), .client_id = db_dup(s, 3, a),
		.scopes = db_dup(s, 4, a), .extra = db_dup(s, 5, a), .secret = db_int(s, 6) != 0, .version = db_int(s, 7),
		.verified_at = db_int(s, 8), .created_at = db_int(s, 9), .updated_at = db_int(s, 10),
	};
}

bool credential_find(struct db_conn *c, const char *organization_id, const char *app_id, const char *platform, struct arena *a,
		     struct credential *ret)
{
	STMT_AUTO struct stmt *s = db_query(c, "SELECT " COLUMNS " FROM credential k WHERE organization_id = ?1 AND app_id = ?2"
					    " AND platform = ?3" IN_FORCE, "sss", organization_id, app_id, platform);

	if (!db_next(s))
		return false;
	credential_row(s, a, ret);
	return true;
}

struct stmt *credential_list(struct db_conn *c, const char *organization_id, const char *app_id, const char *after, int limit)
{
	return db_query(c, "SELECT " COLUMNS " FROM credential k WHERE organization_id = ?1 AND app_id = ?2 AND platform > ?3" IN_FORCE
			" ORDER BY platform LIMIT ?4", "sssi", organization_id, app_id, after, (int64_t)limit);
}

/* The secret of the version in force, for the next one: a ciphertext is bound to its row. */
static enum rc secret_keep(struct cx *cx, struct db_conn *c, struct vault *v, const char *old_id, struct buf *ret)
{
	struct buf bag;
	const char *value;
	size_t n;
	enum rc rc;

	buf_init(&bag, BAG_MAX);
	rc = credential_secrets(cx, c, v, old_id, &bag);
	value = rc == RC_OK ? bag_find(&bag, "client.secret", &n) : NULL;
	if (value != NULL)
		buf_add(ret, value, n);
	buf_wipe(&bag);
	return rc;
}

static enum rc seal(struct cx *cx, struct db_conn *c, struct vault *v, const char *organization_id, const char *id, const struct buf *plain,
		    struct buf *ret)
{
	DATA_KEY_AUTO struct data_key key = {.key = NULL};
	enum rc rc = plain->len == 0 ? RC_OK : data_key_open(cx, c, v, organization_id, NULL, &key);

	if (rc != RC_OK || plain->len == 0)
		return rc;
	return data_key_seal(cx, &key, organization_id, "credential", "client_secret", id, plain->data, plain->len, ret);
}

static enum rc insert(struct cx *cx, struct db_conn *c, struct vault *v, const struct credential_new *n, const struct buf *plain,
		      int64_t now)
{
	BUF_AUTO struct buf sealed;
	char id[ID_MAX];
	enum rc rc;

	id_new(id, "cred");
	buf_init(&sealed, SECRET_MAX + 256);
	rc = seal(cx, c, v, n->organization_id, id, plain, &sealed);
	if (rc != RC_OK)
		return rc;
	db_run(c,
		"INSERT INTO credential (id, organization_id, app_id, platform, version, mode, client_id, client_secret, scopes, extra,"
		" created_at, updated_at) VALUES (?1, ?2, ?3, ?4, (SELECT COALESCE(MAX(version), 0) + 1 FROM credential WHERE app_id = ?3"
		" AND platform = ?4 AND organization_id = ?2), ?5, ?6, ?7, ?8, ?9, ?10, ?10)",
		"ssssssbssi", id, n->organization_id, n->app_id, n->platform, n->mode, n->client_id, sealed.len ? sealed.data : NULL, sealed.len,
		n->scopes, n->extra, now);
	return db_rc(c) == RC_OK ? RC_OK : db_fail(cx, c);
}

enum rc credential_put(struct cx *cx, struct db_conn *c, struct vault *v, const struct credential_new *n, int64_t now)
{
	ARENA_AUTO struct arena a;
	struct credential old;
	struct buf plain;
	enum rc rc = RC_OK;

	arena_init(&a, 256 * 1024);
	buf_init(&plain, SECRET_MAX);
	if (n->secret_given)
		buf_adds(&plain, n->secret ? n->secret : "");
	else if (credential_find(c, n->organization_id, n->app_id, n->platform, &a, &old) && text_eq(old.client_id, n->client_id))
		rc = secret_keep(cx, c, v, old.id, &plain);
	if (rc == RC_OK)
		rc = insert(cx, c, v, n, &plain, now);
	buf_wipe(&plain);
	return rc;
}

bool credential_remove(struct db_conn *c, const char *organization_id, const char *app_id, const char *platform, int64_t now)
{
	return db_run(c,
		"UPDATE credential SET status = 'deleted', updated_at = ?4, client_secret = CASE WHEN EXISTS (SELECT 1 FROM auth_grant g"
		" WHERE g.credential_id = credential.id AND g.organization_id = ?1 AND g.status <> 'closed') THEN client_secret END"
		" WHERE organization_id = ?1 AND app_id = ?2 AND platform = ?3 AND status = 'active'", "sssi", organization_id, app_id, platform,
		now) > 0;
}

enum rc credential_choose(struct cx *cx, struct db_conn *c, const struct app *app, const char *platform, const char *wanted, bool managed,
			  struct arena *a, const char **ret_id, const char **ret_mode)
{
	struct credential own;
	bool has = credential_find(c, app->organization_id, app->id, platform, a, &own);
	bool customer = has && text_eq(own.mode, "customer");
	bool allowed = managed && (text_eq(app->credential_mode, "managed") || (has && text_eq(own.mode, "managed")));

	if (customer && !text_eq(wanted, "managed")) {
		*ret_id = own.id;
		*ret_mode = "customer";
		return RC_OK;
	}
	if (allowed && !text_eq(wanted, "customer")) {
		*ret_id = NULL;
		*ret_mode = "managed";
		return RC_OK;
	}
	return fail_code(cx, RC_CONFLICT, "platform_not_configured", "platform", "This app has no credentials for %s.", platform);
}
