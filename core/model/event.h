/*
 * The event log: what webhooks and the event feed read.  Numbered by the writer inside the transaction, so
 * the order of sequence numbers is the order of commits.
 */
#ifndef MPS_MODEL_EVENT_H
#define MPS_MODEL_EVENT_H

#include <stdint.h>

#include "core/io/db.h"

struct owner {			/* to whom a row belongs: stands in every organization table */
	const char *organization_id, *app_id;
	int64_t live;
};

/* Every type there is; NULL-terminated.  Another one would be written, and told in the log: add it here. */
extern const char *const event_types[];

/* data is JSON {"object": ...}; end_user_id may be NULL. */
void event_add(struct db_conn *c, const struct owner *o, const char *type, const char *end_user_id, const char *data, int64_t now);

#endif
