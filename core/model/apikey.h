/*
 * API keys: found by the 8 characters of their key id, compared as a keyed hash of the whole text.  The text
 * is shown once, when the key is made, and is stored nowhere.
 */
#ifndef MPS_MODEL_APIKEY_H
#define MPS_MODEL_APIKEY_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/id.h"
#include "core/io/db.h"
#include "core/io/vault.h"
#include "core/model/event.h"

/* "all", then every scope, as "posts:read" and "posts:write"; NULL-terminated. */
extern const char *const apikey_scopes[];

struct apikey_new {
	const char *organization_id, *app_id, *name;
	const char *scopes;		/* space separated, or "all" */
	bool live;
	int64_t expires_at;		/* 0: never */
	char id[ID_MAX];		/* result */
	char text[VAULT_API_KEY_MAX];	/* result: shown once; the caller wipes it */
};

/* Inside a closure.  RC_INVALID for an unknown scope, naming the nearest. */
enum rc apikey_create(struct cx *cx, struct db_conn *c, struct vault *v, struct apikey_new *k, int64_t now);

struct apikey {
	const char *id, *organization_id, *app_id, *key_id, *scopes;
	bool live;
};

/* RC_UNAUTHORIZED with code api_key_invalid, api_key_revoked or api_key_expired.  A text whose checksum is
 * wrong is refused before the store is asked. */
enum rc apikey_check(struct cx *cx, struct db_conn *c, const struct vault *v, const char *text, int64_t now, struct arena *a,
		     struct apikey *ret);
bool apikey_may(const struct apikey *k, const char *scope);

/* When it was last used; times only grow. */
void apikey_used(struct db_conn *c, const char *organization_id, const char *id, int64_t at);

/* id is key_... or the 8 characters; organization_id NULL: the operator's view.  RC_NOT_FOUND if there is
 * none; revoking twice is no fault. */
enum rc apikey_revoke(struct cx *cx, struct db_conn *c, const char *organization_id, const char *id, int64_t now);

/* ---- as an app's keys are shown: to a live key all of them, to a test key the test keys ---- */

struct apikey_row {
	const char *id, *key_id, *name, *scopes;
	bool live;
	int64_t expires_at, revoked_at, used_at, created_at;	/* 0: never */
};

bool apikey_find(struct db_conn *c, const struct owner *o, const char *id, struct arena *a, struct apikey_row *ret);
struct stmt *apikey_page(struct db_conn *c, const struct owner *o, const char *after, int limit);
bool apikey_next(struct stmt *s, struct arena *a, struct apikey_row *ret);
const char *apikey_status(const struct apikey_row *k, int64_t now);	/* active, expired, revoked */

/* No later than at; what ends earlier stays. */
void apikey_expire(struct db_conn *c, const char *organization_id, const char *id, int64_t at);

/* The operator's view, of all, an organization's or an app's keys ("" for all): id, key id, organization,
 * app, mode, status, scopes, name. */
struct stmt *apikey_list(struct db_conn *c, const char *owner_id, int64_t now);

#endif
