/*
 * The end of a connect session: accounts become connections of the session's grant.  Used by the engine when
 * there is nothing to choose, and by the picker's handler when there is.
 */
#ifndef MPS_MODEL_CONNECT_H
#define MPS_MODEL_CONNECT_H

#include "core/io/db.h"

struct connect_account {
	const char *remote_id, *username, *name, *avatar_url, *type;
	const char *target;		/* "targets.N": its own token in the grant's bag; NULL: the grant's */
};

/*
 * Makes or renews one connection per account, releases deliveries that waited for it, completes the session.
 * Code connect_account_mismatch if the session renews a connection of another account: the session fails,
 * which is committed (RC_OK) and told in *ret_failed.
 */
enum rc connect_complete(struct cx *cx, struct db_conn *c, const char *session_id, const struct connect_account *accounts, int count,
			 const char *scopes, int *ret_failed, int64_t now);

/* Ends an open session: status failed, denied or canceled, with an error that its page and GET show.  Its grant
 * is closed unless a connection uses it. */
void connect_end(struct db_conn *c, const char *session_id, const char *status, const char *code, const char *message, int64_t now);
/* The same with status failed: code as in the API's list. */
void connect_fail(struct db_conn *c, const char *session_id, const char *code, const char *message, int64_t now);

/* The event of a session as it stands now: "connect_session.opened". */
void connect_announce(struct db_conn *c, const char *session_id, const char *type, const char *error, int64_t now);

/* The session as it stands, as an event of this type ("connect_session.expired"); error: its code, or NULL. */
void connect_announce(struct db_conn *c, const char *session_id, const char *type, const char *error, int64_t now);

/* The connection can be used again: deliveries that were blocked by its state (reauth, disconnected, paused) are
 * queued, due now or at their time. */
void connect_release(struct db_conn *c, const char *connection_id, int64_t now);

#endif
