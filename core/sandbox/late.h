/*
 * Commits that come after their request was given up: one thread, the table `late`.
 */
#ifndef MPS_SANDBOX_LATE_H
#define MPS_SANDBOX_LATE_H

#include "core/sandbox/call.h"

enum rc sandbox_late_start(struct cx *cx, struct sandbox *s);
void sandbox_late_wake(struct sandbox *s);	/* a row was added, or the sandbox closes */
void sandbox_late_stop(struct sandbox *s);

#endif
