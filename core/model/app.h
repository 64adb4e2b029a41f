/*
 * Apps: what an organization's keys, redirect URLs and provider credentials belong to.
 *
 * The redirect secret signs final redirects (HMAC-SHA256, hex).  An app has none until it asks for one; it lies
 * sealed by the organization's key.
 */
#ifndef MPS_MODEL_APP_H
#define MPS_MODEL_APP_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/buf.h"
#include "core/io/db.h"
#include "core/io/vault.h"

struct app {
	const char *id, *organization_id, *name, *credential_mode;
	bool signs;			/* has a redirect secret */
	int64_t created_at;
};

/* false if the organization has no such app. */
bool app_find(struct db_conn *c, const char *organization_id, const char *id, struct arena *a, struct app *ret);
/* By id, behind after ("" from the first on); its rows are read with app_next. */
struct stmt *app_list(struct db_conn *c, const char *organization_id, const char *after, int limit);
bool app_next(struct stmt *s, struct arena *a, struct app *ret);

/* A new secret in place of the old one, inside a closure. */
enum rc app_secret_renew(struct cx *cx, struct db_conn *c, struct vault *v, const struct app *app);
/* The secret's text appended to a buffer that the caller wipes; nothing if the app has none. */
enum rc app_secret(struct cx *cx, struct db_conn *c, struct vault *v, const char *organization_id, const char *id, struct buf *ret);

#endif
