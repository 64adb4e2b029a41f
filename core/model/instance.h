/*
 * Apps registered at instances (connect.client "registered"): one row per app, mode, host, callback address and
 * scopes, with the client's id and secret sealed by the organization's key.
 *
 * The one thing to know: the first row that is stored wins.  Of two sessions that register at the same time one has
 * made a spare app at the instance, which is harmless, and both go on with the row that is there.
 */
#ifndef MPS_MODEL_INSTANCE_H
#define MPS_MODEL_INSTANCE_H

#include "core/base/id.h"
#include "core/io/db.h"
#include "core/io/vault.h"
#include "core/model/bag.h"
#include "core/model/event.h"

struct instance {
	struct owner owner;
	const char *platform, *host, *redirect_uri, *scope;	/* what it is found by; scope NULL: none asked for */
	const char *id, *account_host, *facts;			/* facts: JSON of names and values, or NULL */
	int64_t created_at;
};

/* The one in force for what it is found by; fills the rest. */
bool instance_find(struct db_conn *c, struct instance *i, struct arena *a);
bool instance_load(struct db_conn *c, const char *id, const char *organization_id, struct arena *a, struct instance *ret);

/* Stores it with client.id and client.secret of the bag unless there is one; then i is the one in force.  Inside a closure. */
enum rc instance_store(struct cx *cx, struct db_conn *c, struct vault *v, struct instance *i, const struct buf *bag, struct arena *a,
		       int64_t now);

/* client.id, client.secret in clear, into a bag that the caller wipes. */
enum rc instance_secrets(struct cx *cx, struct db_conn *c, struct vault *v, const char *id, const char *organization_id, struct buf *bag);

/* The instance does not know it any more, as a grant (which is over) has learned: the next connect registers anew.
 * Other grants keep it as long as they live. */
void instance_forget(struct db_conn *c, const char *id, const char *organization_id, const char *grant_id, int64_t now);

#endif
