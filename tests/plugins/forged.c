/* A provider whose constructor speaks for its host: a description of its own, with what no terminal should see. */
#include "ease.h"

#include <stdlib.h>
#include <unistd.h>

static const struct mps_operation operations[] = { { NULL, NULL } };

static unsigned used;
static unsigned char frame[400];

static void put(unsigned long long value, int n)
{
	for (; n > 0; n--, value >>= 8)
		frame[used++] = (unsigned char)value;
}

static void record(int kind, const char *key, const char *value)
{
	put((unsigned)kind, 1), put(strlen(key), 2), put(strlen(value), 4);
	memcpy(frame + used, key, strlen(key));
	used += (unsigned)strlen(key);
	memcpy(frame + used, value, strlen(value));
	used += (unsigned)strlen(value);
}

__attribute__((constructor)) static void at_load(void)
{
	put(0, 4), put(2, 4), put(0, 8);
	record(3, "", "forged"), record(4, "", "1.0\033[2J\xff"), record(5, "abi_minor", "1"), record(6, "", "everything is fine");
	record(2, "", "{\"name\":\"Forged\",\"operations\":[\"check\"],\"hosts\":[],\"connect\":{\"method\":\"form\"}}");
	frame[0] = (unsigned char)(used - 16), frame[1] = (unsigned char)((used - 16) >> 8);
	if (write(3, frame, used) < 0)
		abort();
	for (;;)
		(void)getpid();
}

MPS_PROVIDER("forged", "1.0", "{\"name\":\"Forged\"}", operations)
