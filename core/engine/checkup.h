/*
 * The checkup of the store: SQLite's quick_check in the background, soon after a start that follows an unclean stop,
 * and once a week.  What it finds puts the store into rescue (db.h).
 */
#ifndef MPS_ENGINE_CHECKUP_H
#define MPS_ENGINE_CHECKUP_H

#include "core/io/db.h"

struct checkup;

/* Before the engine takes its epoch: that row tells how the last server stopped. */
enum rc checkup_open(struct cx *cx, struct db *db, struct checkup **ret);
void checkup_close(struct checkup *k);		/* cuts a check that runs; NULL is nothing */

#endif
