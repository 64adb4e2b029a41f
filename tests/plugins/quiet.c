/* A provider whose constructor closes the descriptor for its words. */
#include "ease.h"

#include <unistd.h>

static const struct mps_operation operations[] = { { NULL, NULL } };

__attribute__((constructor)) static void at_load(void)
{
	(void)close(2);
}

MPS_PROVIDER("quiet", "1.0", "{\"name\":\"Quiet\"}", operations)
