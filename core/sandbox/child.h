/*
 * The sandbox as a child of the server: started, watched, started again when it ends.
 */
#ifndef MPS_SANDBOX_CHILD_H
#define MPS_SANDBOX_CHILD_H

#include "core/base/rc.h"

#define CHILD_URL_MAX 64

struct child;

struct child_config {
	const char *listen, *folder;
	const char *public_url;		/* NULL: its own loopback address */
};

/* Waits at most 10 s until it listens.  Call from the main thread: the child ends when that thread does. */
enum rc child_open(struct cx *cx, const struct child_config *config, struct child **ret);
void child_close(struct child *c);		/* SIGTERM, and SIGKILL after 5 s; NULL is nothing */
const char *child_url(const struct child *c);	/* "http://127.0.0.1:8081": with the port that was picked */

/* Looks whether it has ended and starts it again, at most once a second.  Call about once a second. */
void child_tend(struct child *c);

#endif
