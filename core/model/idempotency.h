/*
 * Answers kept under the client's Idempotency-Key, written in the same transaction as their effect.
 */
#ifndef MPS_MODEL_IDEMPOTENCY_H
#define MPS_MODEL_IDEMPOTENCY_H

#include "core/base/arena.h"
#include "core/model/event.h"

#define IDEMPOTENCY_KEPT_MS (48 * 3600 * 1000LL)

struct idempotency {
	const char *key, *fingerprint;	/* fingerprint: of method, route and body */
	int status;
	const char *answer, *request_id;
};

/* An answer kept for this key, in the arena; its fingerprint may be another.  False: none, or too old. */
bool idempotency_find(struct db_conn *c, const struct owner *o, const char *key, int64_t now, struct arena *a, struct idempotency *ret);

/* Only inside a closure in which idempotency_find found nothing.  Also lets go of a few that are too old. */
void idempotency_add(struct db_conn *c, const struct owner *o, const struct idempotency *kept, int64_t now);

#endif
