/*
 * Failpoints: named places where tests stop, kill or fail the process.  Compiled in only with FAIL=1.
 * MPS_FAILPOINT="name:count:action" acts at the count-th pass; action is kill (SIGKILL to ourselves), stop
 * (SIGSTOP), error (failpoint() returns 1 from then on) or once (returns 1 that one time).  Several are
 * separated by commas.  MPS_CLOCK=FILE: all clocks of the process are ahead by the milliseconds in that file, an
 * int64_t that others may change meanwhile; a second one behind it is added to the wall clock alone, as if it were set.
 */
#ifndef MPS_BASE_FAILPOINT_H
#define MPS_BASE_FAILPOINT_H

#include <stdint.h>

#ifdef MPS_FAILPOINTS
int failpoint(const char *name);
int64_t failpoint_ahead(void);
int64_t failpoint_set(void);
#else
static inline int failpoint(const char *name) { (void)name; return 0; }
static inline int64_t failpoint_ahead(void) { return 0; }
static inline int64_t failpoint_set(void) { return 0; }
#endif

#endif
