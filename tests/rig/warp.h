/*
 * A clock that tests can put forward: real time plus milliseconds that lie in a small file, mapped by whoever
 * takes part.  All three clocks of a program that calls warp_use read it, as if the machine had been suspended.
 */
#ifndef MPS_TESTS_WARP_H
#define MPS_TESTS_WARP_H

#include <stdint.h>

void warp_map(const char *file);	/* made if it is not there, at zero */
void warp_use(void);			/* clock_now, clock_boot and clock_mono of this program */
void warp_add(int64_t ms);
void warp_set(int64_t ms);

#endif
