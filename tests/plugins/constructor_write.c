/* A provider whose constructor writes on the socket, while it is being loaded. */
#include "ease.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static const struct mps_operation operations[] = { { NULL, NULL } };

static inline void write_failed(void) { abort(); }

__attribute__((constructor)) static void at_load(void)
{
	if (write(3, "what nobody asked for, in many words", 36) < 0) write_failed();
}

MPS_PROVIDER("constructor-write", "1.0", "{\"name\":\"Constructor\"}", operations)
