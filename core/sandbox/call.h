/*
 * One call to the sandbox: the request, the answer, who asks, and what the parts of the sandbox share.
 *
 * Private to core/sandbox.  A handler fills the answer by call_json/call_error and returns; withholding an
 * answer is call_hold and call_reset.
 */
#ifndef MPS_SANDBOX_CALL_H
#define MPS_SANDBOX_CALL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/base/id.h"
#include "core/base/json.h"
#include "core/base/jsonw.h"
#include "core/io/db.h"
#include "core/io/web.h"

#define SANDBOX_ROUTES 40
#define SANDBOX_FAULTS 16
#define SANDBOX_HOLD_MS 120000
#define SANDBOX_BODY_MAX (1024 * 1024)
#define SANDBOX_MEDIA_MAX (128 * 1024 * 1024)

/* POST /control/fail: what the next calls of a route suffer. */
enum fault_mode { FAULT_STATUS, FAULT_LOST_BEFORE, FAULT_LOST_AFTER, FAULT_HANG_BEFORE, FAULT_HANG_AFTER };
struct fault {
	char route[64];
	enum fault_mode mode;
	int status, left;
};

struct sandbox {
	struct db *db;
	struct web *web;
	char *public_url;
	atomic_bool ready, closing;	/* ready: its address is known; calls may come in before */

	pthread_mutex_t lock;		/* faults and the late thread's condition */
	pthread_cond_t due;
	bool due_new;			/* a delayed commit was written since the late thread looked */
	pthread_t late;
	bool late_runs;
	struct fault faults[SANDBOX_FAULTS];

	atomic_llong counts[SANDBOX_ROUTES];
	atomic_llong limited;		/* calls that the rate headers count */
};

/* Who a bearer token speaks for. */
struct caller {
	char account[ID_MAX], family[ID_MAX], page[64];
	char name[64], type[16], scope[200];
	int64_t window_ms, search_lag_ms, processing_ms;
	uint8_t token[32];		/* hash of the token */
};

struct call {
	struct sandbox *s;
	const struct web_request *r;
	struct web_answer *a;
	const char *id;			/* the {id} of the route's pattern, or NULL */
	struct cx cx;
	struct caller who;
	struct jsonw json;
};

void call_error(struct call *c, int status, const char *code, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
void call_failed(struct call *c);		/* answers what stands in c->cx */
struct jsonw *call_json(struct call *c, int status);	/* begins an object; call_done closes it */
void call_done(struct call *c);

bool call_bearer(struct call *c);		/* fills c->who, or answers 401 */
bool call_body(struct call *c, struct jv *ret);	/* a JSON object, or answers 400 */
bool call_text(struct call *c, struct jv body, const char *key, size_t max, const char **ret);	/* optional text member */

/* True if the peer went away, or the sandbox closes, within ms. */
bool call_wait(struct call *c, int64_t ms);
void call_hold(struct call *c);			/* no answer: until the peer goes or SANDBOX_HOLD_MS, then a reset */
void call_reset(struct call *c);		/* no answer: a reset at once */

#endif
