/* A provider whose constructor ends the process, while it is being loaded. */
#include "ease.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static const struct mps_operation operations[] = { { NULL, NULL } };

static inline void write_failed(void) { abort(); }

__attribute__((constructor)) static void at_load(void)
{
	_exit(0);
}

MPS_PROVIDER("constructor-exit", "1.0", "{\"name\":\"Constructor\"}", operations)
