/*
 * Pure functions for providers: digests, encodings, numbers and times.
 */
#include "core/host/host.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/text.h"

static void sha256(mps_op *op, const void *bytes, uint32_t length, uint8_t *out)
{
	if (!out || (!bytes && length))
		op_bug(op, "sha256: NULL");
	else
		crypto_hash_sha256(out, bytes, length);
}

static void *alloc(mps_op *op, uint32_t length)
{
	if (length > HOST_ALLOC_MAX - op->allocated) {
		op_bug(op, "alloc: more than %d bytes in one step", HOST_ALLOC_MAX);
		return NULL;
	}
	op->allocated += length;
	return arena_alloc(&op->arena, length);
}

static const char *base64url(mps_op *op, const void *bytes, uint32_t length)
{
	struct buf out BUF_AUTO;

	buf_init(&out, 2 * HOST_ALLOC_MAX);
	if (bytes && length <= HOST_ALLOC_MAX - op->allocated) {
		op->allocated += length;
		text_base64url(&out, bytes, length);
	} else {
		op_bug(op, "base64url: NULL or too long");
	}
	return arena_text(&op->arena, buf_text(&out));
}

static uint32_t graphemes(const char *text)
{
	return text ? (uint32_t)text_graphemes(text) : 0;
}

static const char *concat(mps_op *op, const char *a, const char *b)
{
	size_t n, m;
	char *both;

	if (!a || !b || op_handle_of(op, a) || op_handle_of(op, b)) {
		op_bug(op, "concat: NULL or a handle; handles cannot be joined");
		return "";
	}
	n = strlen(a), m = strlen(b);
	both = n + m < HOST_ALLOC_MAX ? alloc(op, (uint32_t)(n + m + 1)) : NULL;
	if (!both) {
		op_bug(op, "concat: more than %d bytes in one step", HOST_ALLOC_MAX);
		return "";
	}
	memcpy(both, a, n);
	memcpy(both + n, b, m);
	return both;
}

static const char *number(mps_op *op, int64_t value)
{
	return arena_printf(&op->arena, "%lld", (long long)value);
}

static const char *time_iso(mps_op *op, int64_t ms)
{
	char text[CLOCK_TEXT];

	if (ms < 0 || ms > 253402300799999) {
		op_bug(op, "time_iso: %lld ms are not in the years 1970 to 9999", (long long)ms);
		return "";
	}
	clock_text(ms, text);
	return arena_text(&op->arena, text);
}

/* Days from 1970-01-01 of a date of the Gregorian calendar (Howard Hinnant's civil-from-days, turned around). */
static int64_t days(int64_t y, int64_t m, int64_t d)
{
	y -= m <= 2;
	int64_t era = (y >= 0 ? y : y - 399) / 400, yoe = y - era * 400;
	int64_t doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1, doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;

	return era * 146097 + doe - 719468;
}

static bool two(const char *s, int64_t max, int64_t *ret)
{
	if (s[0] < '0' || s[0] > '9' || s[1] < '0' || s[1] > '9')
		return false;
	*ret = (s[0] - '0') * 10 + (s[1] - '0');
	return *ret <= max;
}

/* "Z", "+01:00" or "+0100" in ms; false if it is none. */
static bool offset_read(const char *s, int64_t *ret_ms)
{
	int64_t h, m;

	*ret_ms = 0;
	if ((*s == 'Z' || *s == 'z') && !s[1])
		return true;
	if ((*s != '+' && *s != '-') || !two(s + 1, 23, &h) || !two(s + (s[3] == ':' ? 4 : 3), 59, &m) || s[s[3] == ':' ? 6 : 5])
		return false;
	*ret_ms = (h * 60 + m) * 60000 * (*s == '-' ? -1 : 1);
	return true;
}

static int64_t time_ms(const char *s)
{
	static const char month_days[] = { 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	int64_t century, year, month, day, h, m, sec, fraction = 0, unit = 100, offset;

	if (!s || strnlen(s, 19) < 19 || s[4] != '-' || s[7] != '-' || !strchr("Tt ", s[10]) || s[13] != ':' || s[16] != ':')
		return -1;
	if (!two(s, 99, &century) || !two(s + 2, 99, &year) || !two(s + 5, 12, &month) || !two(s + 8, 31, &day) ||
	    !two(s + 11, 23, &h) || !two(s + 14, 59, &m) || !two(s + 17, 60, &sec) || month < 1 || day < 1 ||
	    day > month_days[month - 1])
		return -1;
	s += 19;
	if (*s == '.')
		for (s++; *s >= '0' && *s <= '9'; s++, unit /= 10)
			fraction += (*s - '0') * unit;
	if (!offset_read(s, &offset))
		return -1;
	int64_t ms = (((days(century * 100 + year, month, day) * 24 + h) * 60 + m) * 60 + sec) * 1000 + fraction - offset;
	return ms < 0 ? -1 : ms;
}

void pure_fill(struct mps_host *t)
{
	t->sha256 = sha256, t->base64url = base64url, t->graphemes = graphemes, t->concat = concat, t->number = number;
	t->time_iso = time_iso, t->time_ms = time_ms, t->alloc = alloc;
}
