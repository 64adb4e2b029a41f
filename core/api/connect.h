/*
 * What the calls and the pages of connecting share.
 */
#ifndef MPS_API_CONNECT_H
#define MPS_API_CONNECT_H

#include "core/api/api.h"
#include "core/model/connect_session.h"
#include "core/model/credential.h"
#include "core/model/platform.h"

/* The one address at which a platform's answers arrive, the same for every app. */
const char *connect_callback_url(const struct api *api, struct arena *a, const char *platform);

/*
 * A platform that may be connected in the key's mode.  ret_provider is what does the work: the sandbox for test
 * keys.  platform_give what is returned; NULL with platform_unknown in cx.
 */
const struct platform *connect_platform(struct cx *cx, const struct api *api, bool live, const char *id, const char **ret_provider);

/* The client that a session of this platform uses: NULL id for none, the installation's, or the sandbox's. */
enum rc connect_client(struct cx *cx, struct db_conn *c, const struct api *api, const struct owner *o, const struct platform *p,
		       const char *provider, const char *wanted, struct arena *a, const char **ret_id, const char **ret_mode);

/* What is asked for in such a session, separated by spaces: the scopes of the app's own credential, or those of the
 * descriptor of what does the work (p).  NULL: none. */
const char *connect_scope(struct db_conn *c, const struct owner *o, const struct platform *p, const char *credential_id, struct arena *a);

/* Who we are to this provider's authorization servers (client.c): id and auth are NULL unless the client is known by
 * its address; where the browser comes back in any case. */
struct client { const char *id, *auth, *redirect_uri; };
void client_read(const struct api *api, struct arena *a, const struct platform *p, const char *platform, struct client *ret);
const char *client_redirect_uri(const struct api *api, struct arena *a, const struct platform *p, const char *platform);

/* A new session's answer, and everything that is checked before: also of POST .../reconnect.  defaults is
 * the session as the caller knows it so far. */
struct connect_new {
	struct connect_session s;
	const char *end_user;			/* "eu_..." or "ext:..."; NULL: s.end_user_id is set */
	const char *wanted_mode;
};
enum rc connect_session_create(struct api_request *r, struct connect_new *n);
extern const struct field connect_reconnect_fields[];
extern const struct answer connect_session_answer;

/* A write whose answer is not kept for replays. */
enum rc connect_write(struct api_request *r, api_write_fn *fn, void *arg);

void connect_wake(const struct api_request *r);
/* Waits for something to end; false when the time is over, or too many wait already. */
struct connect_wait { int64_t until; uint64_t seen; bool waits; };
void connect_wait_begin(struct api_request *r, struct connect_wait *w, int ms);
bool connect_wait_more(struct api_request *r, struct connect_wait *w);
void connect_wait_end(struct api_request *r, struct connect_wait *w);

/* Pages for faults of browser routes: struct api's page_error. */
void connect_page_error(struct api_request *r);

#endif
