/*
 * The operator's socket: var/control.sock, 0600, peer credentials checked (root or our own uid).  One line of
 * JSON in ({"argv":["org","create","Acme"]}), one line out ({"exit":0,"out":"...","err":"..."}).
 */
#ifndef MPS_IO_CONTROL_H
#define MPS_IO_CONTROL_H

#include "core/base/buf.h"
#include "core/base/rc.h"

struct control;
typedef int control_fn(void *arg, int argc, char **argv, struct buf *out, struct buf *err);	/* exit status */

enum rc control_open(struct cx *cx, const char *path, control_fn *run, void *arg, struct control **ret);
void control_close(struct control *c);

/* Client side: RC_NOT_FOUND if nobody listens. */
enum rc control_call(struct cx *cx, const char *path, int argc, char **argv, struct buf *out, struct buf *err, int *ret_exit);

#endif
