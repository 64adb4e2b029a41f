/*
 * The two stages of a host's sandbox; see sandbox.c.
 */
#ifndef MPS_HOST_SANDBOX_H
#define MPS_HOST_SANDBOX_H

#include <stdbool.h>

#define SANDBOX_FILE "/proc/self/fd/0"	/* the one path that can be opened while loading: descriptor 0 again */
#define SANDBOX_EXIT 119		/* exit status after a refused system call */

bool sandbox_before(void);		/* before dlopen; false: not even seccomp can be had */
bool sandbox_after(void);		/* after it */
const char *sandbox_level(void);	/* in words */
const char *sandbox_denied(void);	/* the first other path that somebody tried to open while loading, or "" */

#endif
