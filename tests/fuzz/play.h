/*
 * Playing with a provider: see play.c.
 */
#ifndef MPS_TESTS_FUZZ_PLAY_H
#define MPS_TESTS_FUZZ_PLAY_H

#include "fuzz.h"
#include "sdk/provider.h"

void play(const uint8_t *data, size_t size);	/* with the provider that is linked in */

#define PLAY \
	int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) \
	{ \
		play(data, size); \
		return 0; \
	}

#endif
