/*
 * Connections: a person's account at a platform, as posts use it.  Made and renewed by connect.h.
 */
#ifndef MPS_MODEL_CONNECTION_H
#define MPS_MODEL_CONNECTION_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/id.h"
#include "core/io/db.h"
#include "core/model/event.h"
#include "core/model/platform.h"

struct connection {
	struct owner owner;
	const char *id, *end_user_id, *external_id, *grant_id, *platform, *provider, *remote_id, *username, *display_name, *avatar_url,
		*account_type, *status, *reason, *scopes, *missing, *label, *tags, *metadata,
		*limits;		/* JSON: the account's own, see core/model/limits.h; NULL: none */
	/* of its grant */
	const char *credential_id;
	int64_t paused, expires_at, refreshable, refreshed_at, refresh_at, refresh_failures, checked_at, published_at, version, created_at,
		updated_at;
};

bool connection_find(struct db_conn *c, const struct owner *o, const char *id, struct arena *a, struct connection *ret);

struct connection_filter { const char *end_user_id, *platform, *status; };	/* NULL: any; status as on the wire */
struct stmt *connection_list(struct db_conn *c, const struct owner *o, const struct connection_filter *f, const char *after, int limit);
void connection_row(struct stmt *s, struct arena *a, struct connection *ret);

/* As everybody sees it: paused stands before active and expiring. */
const char *connection_status(const struct connection *n);

/* Inside closures.  A field that is not given stays. */
struct connection_field { bool given; const char *value; };
struct connection_change { struct connection_field label, tags, metadata; bool paused_given, paused; };
void connection_patch(struct db_conn *c, const struct connection *n, const struct connection_change *ch, int64_t now);

/*
 * The account is let go: its deliveries that wait are blocked(disconnected).  If it was the grant's last one,
 * the tokens are taken back at the platform (an operation: wake the engine) where its provider can, and
 * destroyed.  Nothing happens if it is disconnected already.
 */
void connection_let_go(struct db_conn *c, struct platforms *platforms, const struct connection *n, int64_t now);

/*
 * The account's own limits (JSON of paths and texts).  due: id, provider and host of those to be read, of all
 * organizations, longest due first; next: when the next one will be due, 0 if none.
 */
struct stmt *connection_limits_due(struct db_conn *c, int64_t now, int limit);
int64_t connection_limits_next(struct db_conn *c, int64_t now);
/* What was read with this grant; nothing if it was connected anew meanwhile.  A new version only if it is new. */
void connection_limits_keep(struct db_conn *c, const char *id, const char *organization_id, const char *grant_id, const char *limits,
			    int64_t again_at, int64_t now);
void connection_limits_failed(struct db_conn *c, const char *id, const char *organization_id, int64_t again_at);
void connection_limits_later(struct db_conn *c, const char *id, int64_t again_at);

/* A live look at the account: the operation that does it. */
void connection_check(struct db_conn *c, const struct connection *n, char operation_id[ID_MAX], int64_t now);

#endif
