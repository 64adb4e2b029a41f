/*
 * Operations: the durable step machines, and the attempts they made.  A publish has one operation per
 * delivery; the other kinds (authorize, exchange, identify, targets, refresh, check, remove, revoke) live by
 * themselves and are started by inserting a row that is due.
 */
#ifndef MPS_MODEL_OPERATION_H
#define MPS_MODEL_OPERATION_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/id.h"
#include "core/io/db.h"
#include "core/model/event.h"

struct operation {
	struct owner owner;
	const char *id, *kind, *platform, *provider, *delivery_id, *connection_id, *grant_id, *session_id;
	const char *status, *provider_version, *phase, *event, *intent_class, *input, *result, *error;
	const void *state, *secrets, *intent;
	size_t state_len, secrets_len, intent_len;
	int64_t state_version, retries, intent_at, intent_until, key_at, key_boot_at, key_number, resent, due_at, deadline_at, epoch;
	int64_t created_at, updated_at;
};

/* Exactly one of id and delivery_id (of its publish) is given. */
bool operation_load(struct db_conn *c, const char *id, const char *delivery_id, struct arena *a, struct operation *ret);

/* Inserts a row or replaces everything that can change.  0 rows: a newer owner has it. */
int64_t operation_save(struct db_conn *c, const struct operation *o, int64_t now);

/* Starts one: status running, phase start, due now.  id is an array of ID_MAX and is filled. */
void operation_start(struct db_conn *c, struct operation *o, char id[ID_MAX], int64_t lifetime_ms, int64_t now);
int64_t operation_lifetime(const char *kind);	/* milliseconds, from the table of kinds */

struct attempt {
	const char *phase, *class, *method, *endpoint, *outcome, *words, *body;
	int64_t status, curl_code, sent_at, took_ms;
	struct attempt *next;
};
void attempt_add(struct db_conn *c, const struct owner *o, const char *operation_id, const char *delivery_id, const struct attempt *t);

#endif
