/* The provider of the virtual platform: a pure function from a step's frame to an action's records. */
#ifndef MPS_TESTS_SIM_PROVIDER_H
#define MPS_TESTS_SIM_PROVIDER_H

#include <stdbool.h>

#include "core/base/buf.h"

bool provider_step(const struct buf *frame, struct buf *out);	/* false: no such phase */

#endif
