/* Apps registered at instances: see instance.h. */
#include "core/model/instance.h"

#include "core/model/data_key.h"

#define COLUMNS "SELECT organization_id, app_id, live, platform, host, redirect_uri, scope, id, account_host, facts, created_at" \
	" FROM instance_client"

static void row(struct stmt *s, struct arena *a, struct instance *ret)
{
	const char **texts[] = {
		&ret->platform, &ret->host, &ret->redirect_uri, &ret->scope, &ret->id, &ret->account_host, &ret->facts,
	};

	ret->owner = (struct owner){db_dup(s, 0, a), db_dup(s, 1, a), db_int(s, 2)};
	ret->created_at = db_int(s, 10);
	for (int i = 0; i < (int)(sizeof texts / sizeof texts[0]); i++)
		*texts[i] = db_dup(s, 3 + i, a);
}

bool instance_find(struct db_conn *c, struct instance *i, struct arena *a)
{
	STMT_AUTO struct stmt *s = db_query(c,
		COLUMNS " WHERE organization_id = ?1 AND app_id = ?2 AND live = ?3 AND platform = ?4 AND host = ?5 AND redirect_uri = ?6"
		" AND scope = ?7 AND retired_at IS NULL", "ssissss", i->owner.organization_id, i->owner.app_id, i->owner.live, i->platform,
		i->host, i->redirect_uri, i->scope ? i->scope : "");

	if (!db_next(s))
		return false;
	row(s, a, i);
	return true;
}

bool instance_load(struct db_conn *c, const char *id, const char *organization_id, struct arena *a, struct instance *ret)
{
	STMT_AUTO struct stmt *s = db_query(c, COLUMNS " WHERE id = ?1 AND organization_id = ?2", "ss", id, organization_id);

	if (id == NULL || !db_next(s))
		return false;
	row(s, a, ret);
	return true;
}

/* ---- storing ----------------------------------------------------------------------------------------- */

static void copy_client(struct buf *to, const struct buf *from)
{
	static const char *const keys[] = {"client.id", "client.secret"};
	const char *value;
	size_t n;

	for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
		value = bag_find(from, keys[i], &n);
		if (value != NULL)
			bag_put_bytes(to, REC_STATE, keys[i], value, n);
	}
}

static enum rc seal(struct cx *cx, struct db_conn *c, struct vault *v, const struct instance *i, const char *id, const struct buf *bag,
		    struct buf *ret)
{
	DATA_KEY_AUTO struct data_key key = {0};
	struct buf plain;
	enum rc rc = data_key_open(cx, c, v, i->owner.organization_id, NULL, &key);

	if (rc != RC_OK)
		return rc;
	buf_init(&plain, BAG_MAX);
	copy_client(&plain, bag);
	rc = data_key_seal(cx, &key, i->owner.organization_id, "instance_client", "secrets", id, plain.data, plain.len, ret);
	buf_wipe(&plain);
	return rc;
}

/* Retired ones stay only as long as a grant can name them. */
static void clean(struct db_conn *c, const struct instance *i)
{
	db_run(c, "DELETE FROM instance_client WHERE organization_id = ?1 AND app_id = ?2 AND live = ?3 AND platform = ?4 AND host = ?5"
	       " AND retired_at IS NOT NULL AND NOT EXISTS (SELECT 1 FROM auth_grant g WHERE g.instance_client_id = instance_client.id"
	       " AND g.status <> 'closed')", "ssiss", i->owner.organization_id, i->owner.app_id, i->owner.live, i->platform, i->host);
}

enum rc instance_store(struct cx *cx, struct db_conn *c, struct vault *v, struct instance *i, const struct buf *bag, struct arena *a,
		       int64_t now)
{
	BUF_AUTO struct buf sealed;
	char id[ID_MAX];
	enum rc rc;

	id_new(id, "ic");
	buf_init(&sealed, BAG_MAX + 1024);
	rc = seal(cx, c, v, i, id, bag, &sealed);
	if (rc != RC_OK)
		return rc;
	clean(c, i);
	db_run(c,
		"INSERT INTO instance_client (id, organization_id, app_id, live, platform, host, redirect_uri, scope, account_host, secrets,"
		" facts, created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12) ON CONFLICT DO NOTHING", "sssisssssbsi", id,
		i->owner.organization_id, i->owner.app_id, i->owner.live, i->platform, i->host, i->redirect_uri, i->scope ? i->scope : "",
		i->account_host ? i->account_host : i->host, sealed.data, sealed.len, i->facts, now);
	if (instance_find(c, i, a))
		return RC_OK;
	return db_rc(c) != RC_OK ? db_fail(cx, c) : fail(cx, RC_BUG, "the app registered at %s was not stored", i->host);
}

enum rc instance_secrets(struct cx *cx, struct db_conn *c, struct vault *v, const char *id, const char *organization_id, struct buf *bag)
{
	DATA_KEY_AUTO struct data_key key = {0};
	STMT_AUTO struct stmt *s = db_query(c, "SELECT secrets FROM instance_client WHERE id = ?1 AND organization_id = ?2", "ss", id,
					    organization_id);
	struct buf plain;
	const void *sealed;
	size_t n;
	enum rc rc;

	if (!db_next(s))
		return fail(cx, RC_NOT_FOUND, "the app registered at the instance (%s) does not exist any more", id);
	rc = data_key_open(cx, c, v, organization_id, NULL, &key);
	if (rc != RC_OK)
		return rc;
	buf_init(&plain, BAG_MAX);
	sealed = db_blob(s, 0, &n);
	rc = data_key_unseal(cx, &key, organization_id, "instance_client", "secrets", id, sealed, n, &plain);
	if (rc == RC_OK)
		copy_client(bag, &plain);
	buf_wipe(&plain);
	return rc;
}

/* ---- forgetting -------------------------------------------------------------------------------------- */

void instance_forget(struct db_conn *c, const char *id, const char *organization_id, const char *grant_id, int64_t now)
{
	if (db_run(c, "DELETE FROM instance_client WHERE id = ?1 AND organization_id = ?2 AND NOT EXISTS (SELECT 1 FROM auth_grant g"
		   " WHERE g.instance_client_id = ?1 AND g.id <> ?3 AND g.status <> 'closed')", "sss", id, organization_id, grant_id) == 0)
		db_run(c, "UPDATE instance_client SET retired_at = ?3 WHERE id = ?1 AND organization_id = ?2 AND retired_at IS NULL", "ssi", id,
		       organization_id, now);
}
