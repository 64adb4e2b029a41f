/*
 * What the browser does to a connect session: opens it, begins, comes back from the platform, chooses.  All of
 * these run inside a closure and read the session again: what the page saw may be over.
 */
#ifndef MPS_MODEL_CONNECT_FLOW_H
#define MPS_MODEL_CONNECT_FLOW_H

#include "core/model/connect_session.h"

void connect_open(struct db_conn *c, const struct connect_session *s, int64_t now);

struct connect_value { const char *name, *value; bool secret; };

/*
 * Begins, for the first time or anew: binds the browser, makes the grant and starts the operation (authorize
 * when oauth, else exchange; register before it at an instance where there is no app of ours yet).  Codes
 * wrong_browser, connect_session_expired, _used, _canceled,
 * connect_session_busy: an account is being connected at this moment, or the person has to choose.
 */
struct connect_start {
	struct vault *vault;
	const char *session_id, *cookie, *credential_id, *redirect_uri;
	bool oauth, dpop;			/* dpop: the grant gets a key of its own */
	const char *client_id, *client_auth;	/* connect.client metadata: who we are; else NULL */
	const char *scope;			/* asked for, space separated; NULL: none */
	const char *instance;			/* host at which an app of ours must be registered; NULL: it needs none */
	const struct connect_value *values;	/* of the form */
	int value_count;
	const char *state;			/* while it runs: sealed with the grant, never in a row in clear */
	bool unregistered;			/* result: register comes first */
	char operation_id[ID_MAX];		/* result */
};
enum rc connect_start(struct cx *cx, struct db_conn *c, struct connect_start *p, int64_t now);

/* The platform's answer.  The state is used up in any case; RC_CONFLICT connect_session_used if it was. */
struct connect_answer {
	struct vault *vault;
	const char *session_id, *state, *redirect_uri;
	const char *code;			/* NULL: it said no, for the reason below */
	const char *params;			/* JSON object of the other parameters */
	const char *status, *error_code, *message;
};
enum rc connect_answered(struct cx *cx, struct db_conn *c, const struct connect_answer *p, int64_t now);

/* The places chosen in the picker, as indices of the session's choices. */
enum rc connect_select(struct cx *cx, struct db_conn *c, const char *session_id, const int *chosen, int count, int64_t now);

/* The address of an authorize operation was handed to the browser: its state must not rest in the store. */
void connect_forget_input(struct db_conn *c, const char *operation_id, const char *organization_id);

#endif
