/*
 * What time does to rows: overdue deliveries, sessions that ran out, records past their keeping time.
 */
#ifndef MPS_MODEL_SWEEP_H
#define MPS_MODEL_SWEEP_H

#include "core/io/db.h"

/* One bounded round; repeatable.  Returns through *ret_more whether another round has work. */
void sweep_run(struct db_conn *c, int64_t now, int *ret_more);

/* The wall clock was set back by ms: what waits for a time that was counted before it waits no longer for that. */
void sweep_set_back(struct db_conn *c, int64_t ms, int64_t now);

#endif
