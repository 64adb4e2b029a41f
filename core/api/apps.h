/*
 * The app that a path names.
 */
#ifndef MPS_API_APPS_H
#define MPS_API_APPS_H

#include "core/api/api.h"
#include "core/model/app.h"

/* The app {id} of the caller's organization.  Any other is RC_NOT_FOUND, and is answered like one that never was. */
enum rc app_named(struct cx *cx, struct db_conn *c, struct api_request *r, struct app *ret);

#endif
