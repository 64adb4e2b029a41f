/*
 * A machine whose power fails: a VFS before SQLite's own that knows what of each file is on the disk for certain.
 *
 *   power_on();                 once; every store is opened through it from now on
 *   power_arm(n);               the n-th write, sync or cut of a file from now on is the last one: the power is off
 *   ...                         everything fails from then on; the store is abandoned
 *   power_cut(seed);            the files become what a disk could have kept; the power is on again
 *
 * Kept is all that was synced, and of what was not each sector of 512 bytes by chance: writes may be torn, come in any
 * order, and files be cut or not.  A file that was never synced may be missing.
 */
#ifndef MPS_TESTS_POWER_H
#define MPS_TESTS_POWER_H

#include <stdbool.h>
#include <stdint.h>

void power_on(void);
void power_arm(int64_t n);	/* 0: never */
bool power_is_off(void);
void power_cut(uint64_t seed);
int64_t power_steps(void);	/* so far, since power_arm */
void power_forget(void);	/* files are as they are: after others changed them */
extern bool power_lies;		/* syncs do nothing and say they did: what no store survives, to see the test fail */

#endif
