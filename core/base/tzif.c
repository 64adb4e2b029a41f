/*
 * The reader of TZif files.
 *
 * The one thing to know: a file lists changes up to some year only; what follows is the POSIX rule in its
 * footer ("CET-1CEST,M3.5.0,M10.5.0/3"), which is computed here for any year.  Files with leap seconds are
 * refused: their seconds are not ours.
 */
#include "core/base/tzif.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"

#define HEAD 44
#define CHANGES_MAX 4096
#define TYPES_MAX 256
#define FOOTER_MAX 128
#define DAY 86400
#define OFFSET_MOST (26 * 3600)		/* the range RFC 8536 gives */

struct day_rule { char form; int month, week, day; int32_t time; };	/* form: M, J or 0 */

struct tzif {
	size_t changes, types;
	int64_t *at;
	uint8_t *type;
	int32_t offset[TYPES_MAX];
	bool ruled, has_dst;
	int32_t std, dst;
	struct day_rule start, end;
};

/* ---- the footer rule ---- */

struct scan { const char *s; bool bad; };

static int32_t scan_number(struct scan *in, int32_t most)
{
	int32_t value = 0;
	if (*in->s < '0' || *in->s > '9')
		in->bad = true;
	for (; *in->s >= '0' && *in->s <= '9' && value <= most; in->s++)
		value = value * 10 + (*in->s - '0');
	if (value > most)
		in->bad = true;
	return value;
}

static bool scan_char(struct scan *in, char c)
{
	if (*in->s != c)
		return false;
	in->s++;
	return true;
}

static void scan_name(struct scan *in)
{
	bool quoted = scan_char(in, '<');
	size_t n = strspn(in->s, quoted ? "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+-"
		: "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz");
	in->s += n;
	if (n < 3 || (quoted && !scan_char(in, '>')))
		in->bad = true;
}

/* [+-]h[:m[:s]] in seconds */
static int32_t scan_time(struct scan *in, int32_t most_hours)
{
	bool minus = scan_char(in, '-');
	if (!minus)
		scan_char(in, '+');
	int32_t value = scan_number(in, most_hours) * 3600;
	if (scan_char(in, ':')) {
		value += scan_number(in, 59) * 60;
		if (scan_char(in, ':'))
			value += scan_number(in, 59);
	}
	return minus ? -value : value;
}

static struct day_rule scan_rule(struct scan *in)
{
	struct day_rule r = {.form = '0', .time = 2 * 3600};
	if (!scan_char(in, ','))
		in->bad = true;
	if (scan_char(in, 'M')) {
		r.form = 'M';
		r.month = scan_number(in, 12);
		in->bad |= !scan_char(in, '.') || r.month < 1;
		r.week = scan_number(in, 5);
		in->bad |= !scan_char(in, '.') || r.week < 1;
		r.day = scan_number(in, 6);
	} else if (scan_char(in, 'J')) {
		r.form = 'J';
		r.day = scan_number(in, 365);
		in->bad |= r.day < 1;
	} else {
		r.day = scan_number(in, 365);
	}
	if (scan_char(in, '/'))
		r.time = scan_time(in, 167);
	return r;
}

static bool read_footer(struct tzif *z, const char *text)
{
	struct scan in = {.s = text};
	if (*text == '\0')
		return true;
	scan_name(&in);
	z->std = -scan_time(&in, 24);
	if (*in.s) {
		z->has_dst = true;
		scan_name(&in);
		z->dst = *in.s && *in.s != ',' ? -scan_time(&in, 24) : z->std + 3600;
		z->start = scan_rule(&in);
		z->end = scan_rule(&in);
	}
	z->ruled = true;
	return !in.bad && *in.s == '\0';
}

static bool is_leap(int64_t year)
{
	return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

/* The wall time, as seconds since 1970, at which a rule strikes in a year. */
static int64_t rule_at(const struct day_rule *r, int64_t year)
{
	int64_t days;
	if (r->form == 'M') {
		static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
		int length = lengths[r->month - 1] + (r->month == 2 && is_leap(year));
		days = clock_days(year, r->month, 1);
		int weekday = (int)(((days + 4) % 7 + 7) % 7);	/* 1970-01-01 was a Thursday */
		int day = (r->day - weekday + 7) % 7 + 7 * (r->week - 1);
		days += day < length ? day : day - 7;
	} else {
		days = clock_days(year, 1, 1) + r->day;
		if (r->form == 'J')	/* 1 to 365; 29 February is never counted */
			days += (is_leap(year) && r->day >= 60) - 1;
	}
	return days * DAY + r->time;
}

struct change { int64_t at; int32_t offset; };

/* The rule's changes of the years around an instant, ends before starts, so that a start at the very moment
 * of an end wins: that is how a zone says that it keeps summer time all year. */
static void rule_changes(const struct tzif *z, int64_t around, struct change out[8])
{
	int64_t year = clock_date(around / DAY - (around % DAY < 0)).year;
	for (int i = 0; i < 4; i++) {
		out[i] = (struct change){rule_at(&z->end, year - 1 + i) - z->dst, z->std};
		out[i + 4] = (struct change){rule_at(&z->start, year - 1 + i) - z->std, z->dst};
	}
}

static int32_t rule_offset(const struct tzif *z, int64_t at)
{
	struct change all[8];
	int64_t latest = INT64_MIN;
	int32_t offset = z->std;
	if (!z->has_dst)
		return z->std;
	rule_changes(z, at, all);
	for (int i = 0; i < 8; i++) {
		if (all[i].at > at || all[i].at < latest)
			continue;
		latest = all[i].at;
		offset = all[i].offset;
	}
	return offset;
}

static bool rule_next(const struct tzif *z, int64_t after, int64_t *ret_at)
{
	struct change all[8];
	int64_t next = INT64_MAX;
	if (!z->has_dst)
		return false;
	rule_changes(z, after, all);
	for (int i = 0; i < 8; i++)
		if (all[i].at > after && all[i].at < next)
			next = all[i].at;
	*ret_at = next;
	return next != INT64_MAX;
}

/* ---- the file ---- */

static int64_t get_be(const char *p, int n)
{
	uint64_t value = (unsigned char)p[0] & 0x80 ? UINT64_MAX : 0;
	for (int i = 0; i < n; i++)
		value = value << 8 | (unsigned char)p[i];
	return (int64_t)value;
}

struct counts { size_t isut, isstd, leap, time, type, chars; };

static bool read_head(const char *p, size_t n, struct counts *ret)
{
	if (n < HEAD || memcmp(p, "TZif", 4) != 0 || p[4] < '2')
		return false;
	size_t *fields[] = {&ret->isut, &ret->isstd, &ret->leap, &ret->time, &ret->type, &ret->chars};
	for (int i = 0; i < 6; i++) {
		int64_t value = get_be(p + 20 + 4 * i, 4);
		if (value < 0 || value > CHANGES_MAX)
			return false;
		*fields[i] = (size_t)value;
	}
	return true;
}

static size_t block_size(const struct counts *c, size_t time_size)
{
	return c->time * (time_size + 1) + c->type * 6 + c->chars + c->leap * (time_size + 4) + c->isstd + c->isut;
}

static bool read_block(struct tzif *z, const char *p, const struct counts *c)
{
	const char *indices = p + c->time * 8, *types = indices + c->time;
	z->changes = c->time;
	z->types = c->type;
	for (size_t i = 0; i < c->time; i++) {
		z->at[i] = get_be(p + 8 * i, 8);
		z->type[i] = (uint8_t)indices[i];
		if (z->type[i] >= c->type || (i > 0 && z->at[i] <= z->at[i - 1]))
			return false;
	}
	for (size_t i = 0; i < c->type; i++) {
		z->offset[i] = (int32_t)get_be(types + 6 * i, 4);
		if (z->offset[i] < -OFFSET_MOST || z->offset[i] > OFFSET_MOST)
			return false;
	}
	return true;
}

static bool read_file(struct tzif *z, const char *p, size_t n)
{
	struct counts c;
	char footer[FOOTER_MAX];
	if (!read_head(p, n, &c) || block_size(&c, 4) > n - HEAD)
		return false;
	size_t first = HEAD + block_size(&c, 4);
	p += first;
	n -= first;
	if (!read_head(p, n, &c) || c.leap > 0 || c.type < 1 || c.type > TYPES_MAX || block_size(&c, 8) > n - HEAD)
		return false;
	z->at = calloc(c.time + 1, sizeof *z->at);
	z->type = calloc(c.time + 1, sizeof *z->type);
	if (!z->at || !z->type || !read_block(z, p + HEAD, &c))
		return false;
	p += HEAD + block_size(&c, 8);
	n -= HEAD + block_size(&c, 8);
	const char *end = n >= 2 && p[0] == '\n' ? memchr(p + 1, '\n', n - 1) : NULL;
	if (!end || (size_t)(end - p) > sizeof footer)
		return false;
	memcpy(footer, p + 1, (size_t)(end - p - 1));
	footer[end - p - 1] = '\0';
	return strlen(footer) == (size_t)(end - p - 1) && read_footer(z, footer);
}

struct tzif *tzif_new(const char *bytes, size_t n)
{
	struct tzif *z = calloc(1, sizeof *z);
	if (z && !read_file(z, bytes, n)) {
		tzif_drop(z);
		z = NULL;
	}
	return z;
}

void tzif_drop(struct tzif *z)
{
	if (!z)
		return;
	free(z->at);
	free(z->type);
	free(z);
}

/* How many of the listed changes have happened at an instant. */
static size_t changes_until(const struct tzif *z, int64_t at)
{
	size_t low = 0, high = z->changes;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (z->at[middle] <= at)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

int32_t tzif_offset(const struct tzif *z, int64_t at)
{
	size_t n = changes_until(z, at);
	if (n == z->changes && z->ruled)
		return rule_offset(z, at);
	return z->offset[n > 0 ? z->type[n - 1] : 0];
}

bool tzif_next(const struct tzif *z, int64_t after, int64_t *ret_at)
{
	size_t n = changes_until(z, after);
	if (n == z->changes)
		return z->ruled && rule_next(z, after, ret_at);
	*ret_at = z->at[n];
	return true;
}
