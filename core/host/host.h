/*
 * Inside of the host program: one operation during one step.
 *
 * op.c reads a STEP frame into a struct mps_op, the provider's step runs on it, verb.c writes the ACTION.  The
 * same functions run in build/try, without sandbox or socket.  The first mistake of the provider is kept in
 * op->bug; everything after it is without effect.
 */
#ifndef MPS_HOST_HOST_H
#define MPS_HOST_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/arena.h"
#include "core/base/buf.h"
#include "core/base/frame.h"
#include "core/base/json.h"
#include "sdk/provider.h"

#define HOST_STATE_MAX (64 * 1024)
#define HOST_ALLOC_MAX (1024 * 1024)
#define HOST_VALUE_MAX (8 * 1024)
#define HOST_DESCRIBE_MAX (64 * 1024)

struct pair {
	struct pair *next;
	const char *key, *value;
	bool changed;
};

struct pairs { struct pair *first, *last; };

/* A handle is known by its address: the name lies at the start of this struct. */
struct handle {
	char name[72];
	struct handle *next;
};

struct mps_op {
	struct arena arena;
	uint64_t operation;
	const char *kind, *phase, *seed, *body;
	uint32_t body_len;
	int32_t event, status;
	int64_t now;
	bool looking;
	struct pairs inputs, state, headers, results;
	struct handle *handles;
	bool body_read;
	struct jv root;
	size_t allocated;
	int requests;
	struct mps_req *open;		/* all requests, for freeing their buffers */
	int32_t verb;			/* MPS_NEXT_ of the verb called, 0 none yet */
	struct buf action;		/* records of the verb */
	struct buf notes;		/* REC_WARNING, REC_TOKEN, retry_after */
	struct buf makes;		/* REC_MADE */
	int made;
	char bug[400];
};

/* Reads the records of a STEP.  False: malformed. */
bool op_init(struct mps_op *op, uint64_t operation, const char *data, size_t len);
void op_free(struct mps_op *op);

/* Keeps the first mistake. */
void op_bug(struct mps_op *op, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

const char *pairs_get(const struct pairs *p, const char *key);	/* "" if absent */
struct pair *pairs_put(struct mps_op *op, struct pairs *p, const char *key, const char *value);

/* The name if text is (by address) a handle of this operation, else NULL. */
const char *op_handle_of(const struct mps_op *op, const char *text);
const char *op_handle(struct mps_op *op, const char *name);

const char *op_input(struct mps_op *op, const char *key);
bool name_ok(const char *s, size_t max, const char *more);	/* 1..max of a-z 0-9 _ and more */

/* Records of a finished request appended to out; false after a mistake, which is then the operation's. */
bool req_write(struct mps_req *r, const char *repeat, struct buf *out);
const char *req_method(const struct mps_req *r);
bool req_has_body(const struct mps_req *r);
void req_free(struct mps_req *r);

/* The host table, for which every file fills in its part. */
const struct mps_host *host_table(void);
void op_fill(struct mps_host *t);
void req_fill(struct mps_host *t);
void reqbody_fill(struct mps_host *t);
void verb_fill(struct mps_host *t);
void pure_fill(struct mps_host *t);
void made_fill(struct mps_host *t);

/* A handle that is a signature still to be made: of no use after this step. */
bool op_is_made(const char *handle);

/* Runs one step: a whole ACTION frame is appended to out. */
void step_run(const struct mps_provider *p, uint64_t operation, const char *data, size_t len, struct buf *out);

/* Copies what a provider gave into *ret, or says in words why it is refused. */
bool provider_check(const struct mps_provider *theirs, struct mps_provider *ret, struct buf *words);

#endif
