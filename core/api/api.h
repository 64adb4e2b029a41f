/*
 * The frame of the HTTP API: what every request gets before and after its handler.
 *
 * A handler is `static enum rc post_create(struct api_request *r)`.  When it runs, the key is checked, the
 * scope is there, the body was parsed and judged against route->fields, the query against route->query.  It
 * returns the rc of fail_code(r->cx, ...) or writes its JSON with r->w, sets r->status (0: the route's) and
 * returns RC_OK.  Reads take a connection with db_take(r->api->db); writes go through api_write.
 */
#ifndef MPS_API_API_H
#define MPS_API_API_H

#include <stdatomic.h>

#include "core/api/error.h"
#include "core/api/rate.h"
#include "core/api/route.h"
#include "core/base/id.h"
#include "core/base/jsonw.h"
#include "core/engine/engine.h"
#include "core/engine/intake.h"
#include "core/io/conf.h"
#include "core/io/db.h"
#include "core/io/vault.h"
#include "core/io/web.h"
#include "core/model/event.h"

struct api;

/* Whose key it is.  The owner is what model functions and organization tables want. */
struct identity {
	struct owner owner;		/* organization_id, app_id, live; in the request's arena */
	const char *key_id;		/* "key_..." */
	const char *scopes;		/* space separated, "all" for every scope */
};

/* Finds the identity of a key text (codes api_key_invalid, _revoked, _expired); address is the client's. */
typedef enum rc api_authorize_fn(struct cx *cx, struct api *api, struct arena *a, const char *key, const char *address,
				 struct identity *ret);

struct api {
	/* Set by main before web_open. */
	struct db *db;
	struct vault *vault;
	const struct conf *conf;
	const char *public_url;			/* "https://host", without a slash at the end */
	const struct route *const *routes;	/* NULL: route_tables */
	api_authorize_fn *authorize;
	struct platforms *platforms;
	struct engine *engine;
	struct intake *intake;			/* NULL: no media is taken */
	void (*wake)(struct engine *engine);
	uint64_t (*wait)(struct engine *engine, uint64_t seen, int ms);	/* as engine_wait */
	void (*metrics)(struct engine *engine, struct buf *out);	/* more lines for /metrics; may be NULL */
	void *server;
	void (*server_metrics)(void *server, struct buf *out);		/* and these */
	void (*page_error)(struct api_request *r);		/* shows a fault of a ROUTE_BROWSER route; may be NULL: JSON */
	int key_per_minute, address_per_minute, failed_per_minute;	/* 0: 6000, 12000, 60; negative: no limit */
	int polls_max;				/* long polls at once; 0: 16, a quarter of the workers */

	/* Owned by the frame. */
	struct rate *rates;
	atomic_int polls;
	atomic_bool draining;			/* new work is refused, long polls end */
	int64_t started_at;
};

struct api_request {
	struct api *api;
	struct cx *cx;
	struct arena *arena;
	const struct web_request *web;
	struct web_answer *answer;
	const struct route *route;
	const char *id;				/* "req_..." */
	const char *address;			/* of the client: the proxy's word when the peer is loopback */
	struct identity identity;		/* empty on ROUTE_NO_AUTH */
	struct jv body;				/* JSON_NONE when empty */
	const char *raw;			/* the body's bytes */
	size_t raw_len;
	const char *idempotency_key;		/* NULL: none */
	bool wrote;				/* api_write has committed */
	bool replayed;				/* api_write gave a kept answer: nothing was done */
	struct jsonw *w;			/* on the answer's body */
	int status;
	int64_t now;
	struct error_more more;			/* issues, retry_after, ... of a refusal */
	struct route_match match;
};

enum rc api_init(struct cx *cx, struct api *api);	/* after the fields above were set */
void api_free(struct api *api);
void api_drain(struct api *api);			/* before web_close: long polls end, new requests get 503 draining */

/* For struct web_config: arg is the struct api. */
void api_handle(void *arg, const struct web_request *web, struct web_answer *a);
void api_refuse(void *arg, int status, const char *words, struct web_answer *a);

/* ---- for handlers ----------------------------------------------------------------------------------- */

const char *api_param(const struct api_request *r, const char *name);	/* of the path; NULL is a bug of the caller */
const char *api_query(const struct api_request *r, const char *name);	/* NULL if absent */
int64_t api_query_int(const struct api_request *r, const char *name, int64_t fallback);

/* Members of the body's object.  Absent and null give NULL or the fallback; tell them apart by the first two. */
bool field_has(const struct api_request *r, const char *name);		/* present, also as null */
bool field_null(const struct api_request *r, const char *name);
const char *field_text(const struct api_request *r, const char *name);
int64_t field_int(const struct api_request *r, const char *name, int64_t fallback);
bool field_bool(const struct api_request *r, const char *name, bool fallback);
struct jv field_value(const struct api_request *r, const char *name);
const char *field_json(const struct api_request *r, const char *name);	/* as written, in the arena; NULL if absent or null */

/* One more problem; `return api_issues(r)` when all were looked for. */
#define api_issue(r, ...) error_issue(&(r)->more, __VA_ARGS__)
enum rc api_issues(struct api_request *r);

/* Unless the key has the scope: RC_DENIED, scope_missing.  The frame did it for route->scope. */
enum rc api_scope(struct api_request *r, const char *scope);

/* ETag: "v<version>" on the answer; If-Match compared with it (in a closure, cx is the closure's). */
void api_etag(struct api_request *r, int64_t version);
enum rc api_if_match(struct cx *cx, const struct api_request *r, int64_t version);

/* Waits until ready() says so, at most ?wait= seconds (0 without it) and no longer than the server lives.
 * RC_UNAVAILABLE (overloaded) when too many wait.  ready looks at the store each time it is called. */
typedef bool api_ready_fn(struct api_request *r, void *arg);
enum rc api_wait(struct api_request *r, api_ready_fn *ready, void *arg);
/* Around a wait of another kind: it counts among those that wait at once.  overloaded: do not wait, do not end. */
enum rc api_poll_begin(struct api_request *r);
void api_poll_end(struct api_request *r);

/* Whether an equal request was answered before: its answer is the one of this request, and nothing is to be done.
 * For handlers that take long before their write, or may refuse what was accepted once. */
enum rc api_kept(struct api_request *r, bool *ret_kept);

/*
 * One write.  fn runs in the writer's transaction: it does its effect through c, then writes the answer with
 * r->w and sets r->status; it may run more than once, so it sets all its results anew and has no effect
 * outside the store.  With an Idempotency-Key the answer is stored in the same transaction, and an equal
 * request gets the stored one without fn being called: do what follows a commit (waking the engine) always,
 * it is harmless.  The writer's cx, not r->cx, is for faults inside fn.
 */
typedef enum rc api_write_fn(struct cx *cx, struct db_conn *c, struct api_request *r, void *arg);
enum rc api_write(struct api_request *r, api_write_fn *fn, void *arg);

#endif
