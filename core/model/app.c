/* Apps: see app.h. */
#include "core/model/app.h"

#include <string.h>

#include "core/base/id.h"
#include "core/base/text.h"
#include "core/model/data_key.h"

#define SECRET_BYTES 32
#define SECRET_MAX 256

bool app_next(struct stmt *s, struct arena *a, struct app *ret)
{
	if (!db_next(s))
		return false;
	*ret = (struct app){db_dup(s, 0, a), db_dup(s, 1, a), db_dup(s, 2, a), db_dup(s, 3, a), db_int(s, 4) != 0, db_int(s, 5)};
	return true;
}

bool app_find(struct db_conn *c, const char *organization_id, const char *id, struct arena *a, struct app *ret)
{
	STMT_AUTO struct stmt *s = db_query(c,
		"SELECT id, organization_id, name, credential_mode, redirect_secret IS NOT NULL, created_at FROM app"
		" WHERE id = ?1 AND organization_id = ?2", "ss", id, organization_id);

	return app_next(s, a, ret);
}

struct stmt *app_list(struct db_conn *c, const char *organization_id, const char *after, int limit)
{
	return db_query(c, "SELECT id, organization_id, name, credential_mode, redirect_secret IS NOT NULL, created_at FROM app"
			" WHERE organization_id = ?1 AND id > ?2 ORDER BY id LIMIT ?3", "ssi", organization_id, after, (int64_t)limit);
}

enum rc app_secret_renew(struct cx *cx, struct db_conn *c, struct vault *v, const struct app *app)
{
	DATA_KEY_AUTO struct data_key key = {.key = NULL};
	BUF_AUTO struct buf sealed = {0};
	struct buf text;
	uint8_t bytes[SECRET_BYTES];
	enum rc rc = data_key_open(cx, c, v, app->organization_id, NULL, &key);

	if (rc != RC_OK)
		return rc;
	buf_init(&sealed, SECRET_MAX);
	buf_init(&text, SECRET_MAX);
	id_random(bytes, sizeof bytes);
	buf_adds(&text, "rds_");
	text_base64url(&text, bytes, sizeof bytes);
	explicit_bzero(bytes, sizeof bytes);
	rc = data_key_seal(cx, &key, app->organization_id, "app", "redirect_secret", app->id, text.data, text.len, &sealed);
	buf_wipe(&text);
	if (rc != RC_OK)
		return rc;
	db_run(c, "UPDATE app SET redirect_secret = ?3 WHERE id = ?1 AND organization_id = ?2", "ssb", app->id, app->organization_id,
	       sealed.data, sealed.len);
	return db_rc(c) == RC_OK ? RC_OK : db_fail(cx, c);
}

enum rc app_secret(struct cx *cx, struct db_conn *c, struct vault *v, const char *organization_id, const char *id, struct buf *ret)
{
	DATA_KEY_AUTO struct data_key key = {.key = NULL};
	STMT_AUTO struct stmt *s = db_query(c, "SELECT redirect_secret FROM app WHERE id = ?1 AND organization_id = ?2", "ss", id,
					    organization_id);
	const void *sealed;
	size_t n;
	enum rc rc;

	if (!db_next(s) || db_null(s, 0))
		return db_rc(c) == RC_OK ? RC_OK : db_fail(cx, c);
	sealed = db_blob(s, 0, &n);
	rc = data_key_open(cx, c, v, organization_id, NULL, &key);
	return rc != RC_OK ? rc : data_key_unseal(cx, &key, organization_id, "app", "redirect_secret", id, sealed, n, ret);
}
