/*
 * Time: milliseconds UTC as int64_t.  Three clocks: the wall (may lie), boot time (counts through suspend:
 * leases and epochs), and monotonic (deadlines inside the process).  Tests may replace all three.
 */
#ifndef MPS_BASE_CLOCK_H
#define MPS_BASE_CLOCK_H

#include <stdint.h>

int64_t clock_now(void);	/* CLOCK_REALTIME */
int64_t clock_boot(void);	/* CLOCK_BOOTTIME */
int64_t clock_mono(void);	/* CLOCK_MONOTONIC */
int64_t clock_steady(void);	/* the wall's time when this was first asked, and boot time since: does not follow a clock that is set */

void clock_fake(int64_t (*now)(void));	/* all three read this source; NULL: the real ones again */

#define CLOCK_TEXT 25		/* "2026-11-23T18:20:30.123Z" and its NUL */
void clock_text(int64_t ms, char out[CLOCK_TEXT]);

/* The proleptic Gregorian calendar; days count from 1970-01-01. */
struct clock_date { int64_t year; int month, day; };
int64_t clock_days(int64_t year, int month, int day);
struct clock_date clock_date(int64_t days);

#endif
