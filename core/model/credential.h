/*
 * Provider credentials: an app's own OAuth client at a platform.  Rows are versions: a grant remembers the one
 * that issued its tokens, and a change makes a new row.  The secret is sealed by the organization's key.
 * (Reading one for use: credential_secrets in grant.h.)
 */
#ifndef MPS_MODEL_CREDENTIAL_H
#define MPS_MODEL_CREDENTIAL_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/id.h"
#include "core/io/db.h"
#include "core/io/vault.h"
#include "core/model/app.h"

struct credential {
	const char *id, *platform, *mode, *client_id, *scopes, *extra;
	bool secret;
	int64_t version, verified_at, created_at, updated_at;
};

/* The version in force; false if there is none. */
bool credential_find(struct db_conn *c, const char *organization_id, const char *app_id, const char *platform, struct arena *a,
		     struct credential *ret);
/* Versions in force of all platforms, behind `after` (a platform).  Read with credential_row. */
struct stmt *credential_list(struct db_conn *c, const char *organization_id, const char *app_id, const char *after, int limit);
void credential_row(struct stmt *s, struct arena *a, struct credential *ret);

struct credential_new {
	const char *organization_id, *app_id, *platform, *mode, *client_id, *scopes, *extra;
	bool secret_given;		/* else the secret of the version in force stays */
	const char *secret;		/* NULL: none */
};
enum rc credential_put(struct cx *cx, struct db_conn *c, struct vault *v, const struct credential_new *n, int64_t now);

/* No new session may use it.  Its secret goes too, unless tokens that it issued are still in use. */
bool credential_remove(struct db_conn *c, const char *organization_id, const char *app_id, const char *platform, int64_t now);

/*
 * Which client a session uses: wanted is app_default, customer or managed; managed tells whether the
 * installation has a client of its own.  ret_mode is customer or managed, ret_id NULL for managed.
 * RC_CONFLICT platform_not_configured.
 */
enum rc credential_choose(struct cx *cx, struct db_conn *c, const struct app *app, const char *platform, const char *wanted, bool managed,
			  struct arena *a, const char **ret_id, const char **ret_mode);

#endif
