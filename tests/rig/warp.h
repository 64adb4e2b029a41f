/*
 * The clock that tests can put forward: a small file with milliseconds, which every process of a build with
 * failpoints that was given MPS_CLOCK adds to its clocks, as if the machine had been suspended.
 */
#ifndef MPS_TESTS_WARP_H
#define MPS_TESTS_WARP_H

#include <stdint.h>

void warp_map(const char *file);	/* made if it is not there, at zero; instead of the one before */
void warp_add(int64_t ms);
void warp_set(int64_t ms);		/* the wall clock alone, as if somebody set it by so much */

#endif
