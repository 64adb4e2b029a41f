/*
 * Failpoints: named places where tests stop, kill or fail the process.  Compiled in only with FAIL=1.
 * MPS_FAILPOINT="name:count:action" acts at the count-th pass; action is kill (SIGKILL to ourselves), stop
 * (SIGSTOP), error (failpoint() returns 1 from then on) or once (returns 1 that one time).  Several are
 * separated by commas.
 */
#ifndef MPS_BASE_FAILPOINT_H
#define MPS_BASE_FAILPOINT_H

#ifdef MPS_FAILPOINTS
int failpoint(const char *name);
#else
static inline int failpoint(const char *name) { (void)name; return 0; }
#endif

#endif
