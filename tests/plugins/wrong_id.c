/* A provider whose id is not what its file is called. */
#include "ease.h"

static const struct mps_operation operations[] = { { NULL, NULL } };

MPS_PROVIDER("somebody-else", "1.0", "{\"name\":\"Wrong\"}", operations)
