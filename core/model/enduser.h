/*
 * End users: the people of a customer's product.  Each has a data key of its own, made in the same transaction;
 * destroying it makes their tokens unreadable for good.
 */
#ifndef MPS_MODEL_ENDUSER_H
#define MPS_MODEL_ENDUSER_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/id.h"
#include "core/io/db.h"
#include "core/io/vault.h"
#include "core/model/event.h"

struct enduser {
	const char *id, *external_id, *display_name, *email, *timezone, *metadata;
	int64_t connections, reauth, created_at, updated_at;
};

/* id is "eu_..." or "ext:" and the customer's own id. */
bool enduser_find(struct db_conn *c, const struct owner *o, const char *id, struct arena *a, struct enduser *ret);

/* Rows behind `after` in the order of ids; external_id NULL: all.  Read with enduser_row. */
struct stmt *enduser_list(struct db_conn *c, const struct owner *o, const char *external_id, const char *after, int limit);
void enduser_row(struct stmt *s, struct arena *a, struct enduser *ret);

/* What a call says about an end user: a field that was not given stays, one given as NULL is cleared. */
struct enduser_field { bool given; const char *value; };
struct enduser_change {
	const char *external_id;	/* of a new one; NULL keeps */
	struct enduser_field display_name, email, timezone, metadata;
};

/* Both inside a closure.  put finds by external id or makes one. */
enum rc enduser_put(struct cx *cx, struct db_conn *c, struct vault *v, const struct owner *o, const struct enduser_change *ch, int64_t now,
		    char ret_id[ID_MAX], bool *ret_created);
/* RC_CONFLICT if another end user has the new external id. */
enum rc enduser_patch(struct cx *cx, struct db_conn *c, const struct owner *o, const char *id, const struct enduser_change *ch,
		      int64_t now);

#endif
