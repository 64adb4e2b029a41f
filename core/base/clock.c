/*
 * The three clocks, and the calendar of an instant in UTC.
 *
 * The one thing to know: nothing here calls localtime or gmtime.  They read the TZ variable and files, which
 * a sandboxed host may not open.
 */
#include "core/base/clock.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/base/failpoint.h"

#define DAY_MS 86400000
#define FIRST_MS (-62167219200000)	/* 0000-01-01T00:00:00.000Z */
#define LAST_MS 253402300799999		/* 9999-12-31T23:59:59.999Z */

typedef int64_t (*clock_source)(void);
static _Atomic(clock_source) source;

static int64_t read_clock(clockid_t id)
{
	clock_source fake = atomic_load(&source);
	if (fake)
		return fake();
	struct timespec t;
	if (clock_gettime(id, &t) != 0)
		abort();
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000 + failpoint_ahead();
}

int64_t clock_now(void)
{
	return read_clock(CLOCK_REALTIME) + failpoint_set();
}

int64_t clock_boot(void)
{
	return read_clock(CLOCK_BOOTTIME);
}

int64_t clock_mono(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

int64_t clock_steady(void)
{
	static _Atomic int64_t first;		/* how far the wall was ahead of boot time; never 0 on a machine that can be used */
	int64_t none = 0;

	if (atomic_load(&source))
		return clock_now();
	if (atomic_load(&first) == 0)
		atomic_compare_exchange_strong(&first, &none, clock_now() - clock_boot());
	return clock_boot() + atomic_load(&first);
}

void clock_fake(int64_t (*now)(void))
{
	atomic_store(&source, now);
}

/* Both count in eras of 400 years that start on 1 March, so that the leap day is the last day of a year. */
int64_t clock_days(int64_t year, int month, int day)
{
	assert(month >= 1 && month <= 12);
	year -= month <= 2;
	int64_t era = (year >= 0 ? year : year - 399) / 400;
	int64_t of_era = year - era * 400;
	int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
	return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

struct clock_date clock_date(int64_t days)
{
	days += 719468;
	int64_t era = (days >= 0 ? days : days - 146096) / 146097;
	int64_t of_era = days - era * 146097;
	int64_t years = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
	int64_t of_year = of_era - (365 * years + years / 4 - years / 100);
	int64_t march = (5 * of_year + 2) / 153;
	int month = (int)(march < 10 ? march + 3 : march - 9);
	return (struct clock_date){
		.year = years + era * 400 + (month <= 2),
		.month = month,
		.day = (int)(of_year - (153 * march + 2) / 5 + 1),
	};
}

static void digits(char *out, int64_t n, int count)
{
	for (int i = count - 1; i >= 0; i--, n /= 10)
		out[i] = (char)('0' + n % 10);
}

/* By hand: a page of posts has hundreds of times in it. */
void clock_text(int64_t ms, char out[CLOCK_TEXT])
{
	ms = ms < FIRST_MS ? FIRST_MS : ms > LAST_MS ? LAST_MS : ms;
	int64_t days = ms / DAY_MS - (ms % DAY_MS < 0);
	int rest = (int)(ms - days * DAY_MS);
	struct clock_date d = clock_date(days);

	memcpy(out, "0000-00-00T00:00:00.000Z", CLOCK_TEXT);
	digits(out, d.year, 4);
	digits(out + 5, d.month, 2);
	digits(out + 8, d.day, 2);
	digits(out + 11, rest / 3600000, 2);
	digits(out + 14, rest / 60000 % 60, 2);
	digits(out + 17, rest / 1000 % 60, 2);
	digits(out + 20, rest % 1000, 3);
}
