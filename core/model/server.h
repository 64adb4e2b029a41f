/*
 * The epoch: which process owns the engine.  Taken once at start, under the store's flock, which proves that
 * every older epoch is dead.
 */
#ifndef MPS_MODEL_SERVER_H
#define MPS_MODEL_SERVER_H

#include <stdbool.h>

#include "core/io/db.h"

enum rc server_start(struct cx *cx, struct db *db, int64_t *ret_epoch, bool *ret_unclean);
void server_stop(struct db *db, int64_t epoch);
int64_t server_epoch(struct db_conn *c);	/* the newest, as stored */
bool server_unclean(struct db_conn *c);		/* the last one did not stop, or this one runs */

/* When the store was last found sound; 0: never. */
int64_t server_checked(struct db_conn *c);
enum rc server_checked_now(struct cx *cx, struct db *db);

#endif
