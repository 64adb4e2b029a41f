/*
 * Visits at an instance: connecting by the provider of tests/plugins/instance.c, whose instances are names below
 * localhost that the sandbox plays.  A visit is what a browser does: begin, be sent to the instance, come back.
 */
#ifndef MPS_TESTS_VISIT_H
#define MPS_TESTS_VISIT_H

#include "tests/rig/rig.h"

/* After rig_conf and before rig_open: a folder of providers that has both, and loopback is allowed. */
void rig_instances(struct rig *r);
void rig_loopback(struct rig *r);	/* the second alone */

struct rig_visit {
	struct rig *r;
	const char *host;		/* "one": one.localhost and the sandbox's port */
	const char *scope;		/* NULL: "publish read" */
	char session[ID_MAX];
};
enum rc rig_visit_write(struct cx *cx, struct db_conn *c, void *arg);	/* a closure: makes the session and begins */
void rig_visit_begin(struct rig *r, const char *host, struct rig_visit *ret);

/* Waits until the browser is sent on; NULL: the session has ended before.  The caller frees. */
char *rig_visit_redirect(const struct rig_visit *v);
/* The person allows it as `name`, and the browser comes back; the session's status then. */
void rig_visit_return(const struct rig_visit *v, const char *url, const char *name, char ret_status[64]);
/* Both; must end completed.  The connection's id into out. */
void rig_visit_connect(struct rig *r, const char *host, const char *name, char out[ID_MAX]);

#endif
