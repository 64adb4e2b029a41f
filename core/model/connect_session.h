/*
 * Connect sessions: one visit of one person to connect one account.
 *
 * The path token of the hosted page is a keyed hash of the session's id: whoever has the vault's key can make it
 * again, so it is stored nowhere, and the row keeps only a second hash of it to be found by.  The OAuth state is
 * random and says in itself when it ends; the row keeps its hash until it is used.
 */
#ifndef MPS_MODEL_CONNECT_SESSION_H
#define MPS_MODEL_CONNECT_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/id.h"
#include "core/io/db.h"
#include "core/io/vault.h"
#include "core/model/event.h"

#define CONNECT_TOKEN_MAX 44		/* 32 bytes as base64url, NUL */
#define CONNECT_STATE_MAX 55		/* 40 bytes */
#define CONNECT_MAC 32

struct connect_session {
	struct owner owner;
	const char *id, *end_user_id, *external_id, *app_name, *platform, *provider, *status, *issuer, *grant_id, *operation_id, *redirect_url,
		*client_state, *reconnect_id, *credential_mode, *permissions, *branding, *platform_options, *tags, *metadata, *locale, *account,
		*choices, *connection_ids, *error;
	int64_t allow_change, bind_browser, single_use, open_count, opened_at, completed_at, expires_at, created_at;
	const void *browser_mac;	/* NULL: nobody has begun */
	bool awaits;			/* a state is out: the platform has the person */
};

void connect_token(const struct vault *v, const char *session_id, char ret[CONNECT_TOKEN_MAX]);

/* organization_id NULL: whoever's it is (the page, which has only the token or the state). */
bool connect_session_find(struct db_conn *c, const struct owner *o, const char *id, struct arena *a, struct connect_session *ret);
bool connect_session_by_token(struct db_conn *c, const struct vault *v, const char *token, struct arena *a, struct connect_session *ret);
bool connect_session_by_state(struct db_conn *c, const struct vault *v, const char *state, struct arena *a, struct connect_session *ret);

struct connect_filter { const char *end_user_id, *platform, *status; };	/* NULL: any */
struct stmt *connect_session_list(struct db_conn *c, const struct owner *o, const struct connect_filter *f, const char *after, int limit,
				  int64_t now);
void connect_session_row(struct stmt *q, struct arena *a, struct connect_session *ret);

/* Stores a new one: everything that a caller chooses is in s; id is filled.  Inside a closure. */
enum rc connect_session_add(struct cx *cx, struct db_conn *c, const struct vault *v, struct connect_session *s, char id[ID_MAX],
			   int64_t now);

/* Ends it on its app's behalf.  Codes connect_session_completed, connect_session_expired. */
enum rc connect_session_cancel(struct cx *cx, struct db_conn *c, const struct connect_session *s, int64_t now);

/* The status as everybody sees it: a session whose time is over is expired, also before the sweep. */
const char *connect_session_status(const struct connect_session *s, int64_t now);
bool connect_session_ended(const struct connect_session *s, int64_t now);

/* A new OAuth state and its hash.  alive: made by us and not older than ten minutes. */
void connect_state_new(const struct vault *v, int64_t now, char ret[CONNECT_STATE_MAX], uint8_t ret_mac[CONNECT_MAC]);
bool connect_state_alive(const char *state, int64_t now);

/* The hash under which the browser's cookie is kept. */
void connect_browser_mac(const struct vault *v, const char *session_id, const char *cookie, uint8_t ret_mac[CONNECT_MAC]);

#endif
