/*
 * Embedded web files at /assets/NAME.  An address with the right hash may be kept for a year.
 */
#ifndef MPS_API_ASSETS_H
#define MPS_API_ASSETS_H

#include "core/base/arena.h"

/* "/assets/app.css?v=HASH"; a name that is not embedded aborts. */
const char *asset_url(struct arena *a, const char *name);

#endif
