/*
 * Operations as answers: work that takes longer than a request.
 */
#ifndef MPS_API_OPERATIONS_H
#define MPS_API_OPERATIONS_H

#include "core/api/api.h"

extern const struct answer operations_answer;

/* Writes one, by id; RC_NOT_FOUND (operation_not_found) also for another organization's, app's or mode's. */
enum rc operations_write(struct cx *cx, struct db_conn *c, struct api_request *r, const char *id);

/* After the write that started it: its answer anew when it is over, or ?wait= seconds are. */
void operations_wait(struct api_request *r, const char *id);

#endif
