/* Our own signing keys: see client_key.h. */
#include "core/model/client_key.h"

#include <string.h>

#include "core/base/id.h"
#include "core/io/sign.h"
#include "core/model/bag.h"
#include "core/model/data_key.h"

bool client_key_find(struct db_conn *c, const char *platform, struct arena *a, struct client_key *ret)
{
	STMT_AUTO struct stmt *s = db_query(c, "SELECT id, public FROM client_key WHERE platform = ?1", "s", platform);

	if (!db_next(s))
		return false;
	*ret = (struct client_key){db_dup(s, 0, a), db_dup(s, 1, a)};
	return true;
}

static enum rc insert(struct cx *cx, struct db_conn *c, struct vault *v, const char *platform, const struct sign_key *k, int64_t now)
{
	DATA_KEY_AUTO struct data_key key = {.key = NULL};
	BUF_AUTO struct buf sealed, jwk;
	char id[ID_MAX], text[SIGN_KEY_TEXT];
	enum rc rc = data_key_open(cx, c, v, NULL, NULL, &key);

	id_new(id, "ck");
	buf_init(&sealed, 1024);
	buf_init(&jwk, 1024);
	sign_key_text(k, text);
	sign_jwk(k, &jwk);
	if (rc == RC_OK)
		rc = data_key_seal(cx, &key, NULL, "client_key", "private", id, text, sizeof text - 1, &sealed);
	explicit_bzero(text, sizeof text);
	if (rc != RC_OK)
		return rc;
	db_run(c, "INSERT INTO client_key (id, platform, private, public, created_at) VALUES (?1, ?2, ?3, ?4, ?5)", "ssbsi", id, platform,
	       sealed.data, sealed.len, buf_text(&jwk), now);
	return db_rc(c) == RC_OK ? RC_OK : db_fail(cx, c);
}

enum rc client_key_need(struct cx *cx, struct db_conn *c, struct vault *v, const char *platform, int64_t now)
{
	SIGN_KEY_AUTO struct sign_key k;
	enum rc rc;

	if (db_number(c, 0, "SELECT COUNT(*) FROM client_key WHERE platform = ?1", "s", platform) > 0)
		return RC_OK;
	rc = db_rc(c) == RC_OK ? sign_key_new(cx, &k) : db_fail(cx, c);
	return rc == RC_OK ? insert(cx, c, v, platform, &k, now) : rc;
}

enum rc client_key_secrets(struct cx *cx, struct db_conn *c, struct vault *v, const char *platform, struct buf *bag)
{
	DATA_KEY_AUTO struct data_key key = {.key = NULL};
	STMT_AUTO struct stmt *s = db_query(c, "SELECT id, private FROM client_key WHERE platform = ?1", "s", platform);
	struct buf plain;
	const void *sealed;
	size_t n;
	enum rc rc;

	if (!db_next(s))
		return db_rc(c) != RC_OK ? db_fail(cx, c) : fail(cx, RC_NOT_FOUND, "there is no client key for %s", platform);
	rc = data_key_open(cx, c, v, NULL, NULL, &key);
	if (rc != RC_OK)
		return rc;
	sealed = db_blob(s, 1, &n);
	buf_init(&plain, 1024);
	rc = data_key_unseal(cx, &key, NULL, "client_key", "private", db_text_or(s, 0, ""), sealed, n, &plain);
	if (rc == RC_OK) {
		bag_put_bytes(bag, REC_STATE, "client.key", plain.data, plain.len);
		bag_put(bag, REC_STATE, "client.kid", db_text(s, 0));
	}
	buf_wipe(&plain);
	return rc;
}
