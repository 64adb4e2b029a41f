/*
 * Master key files as they lie on disk: which are accepted, and how a missing one is made.
 */
#ifndef MPS_IO_KEYFILE_H
#define MPS_IO_KEYFILE_H

#include <stdint.h>

#include "core/base/rc.h"

#define KEYFILE_BYTES 32

/* bytes are wiped after the call. */
typedef enum rc keyfile_take_fn(struct cx *cx, void *arg, const uint8_t bytes[KEYFILE_BYTES]);

/* Hands path's key to take, then that of each path.old-* in the order of their names.  With create, a missing
 * path is made (0400, random).  RC_NOT_FOUND if it is missing, RC_DENIED and RC_INVALID for a wrong file. */
enum rc keyfile_load(struct cx *cx, const char *path, int create, keyfile_take_fn *take, void *arg);

#endif
