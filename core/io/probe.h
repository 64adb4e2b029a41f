/*
 * Asking the probe what a file is: one confined process for each file, one line of answer, a deadline.
 *
 * A probe that crashes, hangs or says anything else than its line is told as media_unreadable: the file made it so.
 */
#ifndef MPS_IO_PROBE_H
#define MPS_IO_PROBE_H

#include "core/base/probed.h"
#include "core/base/rc.h"

struct probe;

/* path: the program; opened now, so that replacing it on disk does not change what runs. */
enum rc probe_open(struct cx *cx, const char *path, struct probe **ret);
void probe_close(struct probe *p);		/* NULL is nothing */

/* fd: of the file, readable; its position is not used.  Any thread; at most 4 run at once, the others wait.
 * Codes media_type_unsupported, media_unreadable; RC_UNAVAILABLE when no process can be had. */
enum rc probe_file(struct cx *cx, struct probe *p, int fd, struct probed *ret);

#endif
