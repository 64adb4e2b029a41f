/* A provider whose constructor crashes, while it is being loaded. */
#include "ease.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static const struct mps_operation operations[] = { { NULL, NULL } };

static inline void write_failed(void) { abort(); }

__attribute__((constructor)) static void at_load(void)
{
	abort();
}

MPS_PROVIDER("constructor-crash", "1.0", "{\"name\":\"Constructor\"}", operations)
