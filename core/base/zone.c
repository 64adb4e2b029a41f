/*
 * Instants and wall times: what zone.h promises.
 *
 * The one thing to know: a wall time is looked up by trying each stretch of constant offset near it.  None
 * fits: the time lies in a gap.  Two fit: it happens twice.  So gaps of any cause and size (a day was skipped
 * in Samoa) need no special case.
 */
#include "core/base/zone.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/tzif.h"

#define CACHED 64
#define FILE_MOST (64 * 1024)
#define DAY 86400

/* ---- the cache ---- */

struct slot {
	char name[ZONE_NAME_MAX];
	struct tzif *tz;
	struct timespec changed;
	ino_t inode;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;	/* held while a zone is in use */
static struct slot slots[CACHED];
static size_t next_slot;
static char folder[256] = "/usr/share/zoneinfo";

void zone_folder(const char *path)
{
	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < CACHED; i++) {
		tzif_drop(slots[i].tz);
		slots[i] = (struct slot){0};
	}
	snprintf(folder, sizeof folder, "%s", path);
	pthread_mutex_unlock(&lock);
}

/* Names become paths: nothing but plain parts.  posix/ and right/ hold other readings of the same zones, the
 * three words are files that mean "whatever this machine is set to". */
static bool name_ok(const char *name)
{
	static const char *const refused[] = {"localtime", "posixrules", "Factory"};
	size_t n = strlen(name);
	if (n == 0 || n >= ZONE_NAME_MAX || name[0] == '/' || name[n - 1] == '/' || strstr(name, "//"))
		return false;
	if (strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_+-/") != n)
		return false;
	for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
		if (strcmp(name, refused[i]) == 0)
			return false;
	return strncmp(name, "posix/", 6) != 0 && strncmp(name, "right/", 6) != 0;
}

static struct tzif *file_load(const char *path, struct stat *ret_stat)
{
	struct tzif *tz = NULL;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return NULL;
	if (fstat(fd, ret_stat) == 0 && S_ISREG(ret_stat->st_mode) && ret_stat->st_size <= FILE_MOST) {
		char *bytes = malloc(FILE_MOST);
		ssize_t n = bytes ? read(fd, bytes, FILE_MOST) : -1;
		if (n > 0)
			tz = tzif_new(bytes, (size_t)n);
		free(bytes);
	}
	close(fd);
	return tz;
}

static struct slot *slot_find(const char *name)
{
	for (size_t i = 0; i < CACHED; i++)
		if (slots[i].tz && strcmp(slots[i].name, name) == 0)
			return &slots[i];
	return NULL;
}

static bool slot_fresh(const struct slot *s, const struct stat *st)
{
	return s->inode == st->st_ino && s->changed.tv_sec == st->st_mtim.tv_sec && s->changed.tv_nsec == st->st_mtim.tv_nsec;
}

/* The zone, with the lock held by the caller.  An update of tzdata is seen at once; a file that is gone or
 * broken in the middle of an update leaves the zone that was loaded before. */
static const struct tzif *zone_load(const char *name)
{
	char path[sizeof folder + ZONE_NAME_MAX + 1];
	struct stat st;
	if (!name_ok(name))
		return NULL;
	snprintf(path, sizeof path, "%s/%s", folder, name);
	struct slot *s = slot_find(name);
	if (s && (stat(path, &st) != 0 || slot_fresh(s, &st)))
		return s->tz;
	struct tzif *tz = file_load(path, &st);
	if (!tz)
		return s ? s->tz : NULL;
	if (!s)
		s = &slots[next_slot++ % CACHED];
	tzif_drop(s->tz);
	*s = (struct slot){.tz = tz, .changed = st.st_mtim, .inode = st.st_ino};
	snprintf(s->name, sizeof s->name, "%s", name);
	return tz;
}

bool zone_exists(const char *name)
{
	pthread_mutex_lock(&lock);
	bool exists = zone_load(name) != NULL;
	pthread_mutex_unlock(&lock);
	return exists;
}

static enum rc fail_zone(struct cx *cx, const char *name)
{
	return fail_code(cx, RC_INVALID, "field_invalid", "timezone",
		"\"%.80s\" is not a known time zone; give an IANA name such as Europe/Berlin.", name);
}

/* ---- writing ---- */

static int64_t floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

/* RFC 3339 knows offsets of whole minutes only: those before about 1972 are rounded, and the wall time with
 * them, so that the text still names the same instant. */
static void instant_text(int64_t ms, int32_t offset, char out[ZONE_TEXT])
{
	char utc[CLOCK_TEXT];
	int minutes = (int)floor_div(offset + 30, 60);
	int size = abs(minutes);
	clock_text(ms + minutes * 60000LL, utc);
	utc[CLOCK_TEXT - 2] = '\0';	/* the Z */
	snprintf(out, ZONE_TEXT, "%s%c%02d:%02d", utc, minutes < 0 ? '-' : '+', size / 60 % 100, size % 60);
}

enum rc zone_text(struct cx *cx, int64_t ms, const char *zone, char out[ZONE_TEXT])
{
	pthread_mutex_lock(&lock);
	const struct tzif *tz = zone_load(zone);
	int32_t offset = tz ? tzif_offset(tz, floor_div(ms, 1000)) : 0;
	pthread_mutex_unlock(&lock);
	if (!tz)
		return fail_zone(cx, zone);
	instant_text(ms, offset, out);
	return RC_OK;
}

/* ---- reading ---- */

struct wall {
	int64_t seconds;	/* since 1970, as if it were UTC */
	int millis;
	bool has_offset;
	int32_t offset;
};

/* n digits; -1 if they are not there */
static int read_digits(const char **at, int n)
{
	int value = 0;
	for (int i = 0; i < n; i++) {
		if ((*at)[i] < '0' || (*at)[i] > '9')
			return -1;
		value = value * 10 + ((*at)[i] - '0');
	}
	*at += n;
	return value;
}

static bool read_char(const char **at, const char *any)
{
	if (**at == '\0' || !strchr(any, **at))
		return false;
	++*at;
	return true;
}

static bool read_date(const char **at, int64_t *ret_days)
{
	int year = read_digits(at, 4);
	if (year < 0 || !read_char(at, "-"))
		return false;
	int month = read_digits(at, 2);
	if (month < 1 || month > 12 || !read_char(at, "-"))
		return false;
	int day = read_digits(at, 2);
	*ret_days = clock_days(year, month, day);
	struct clock_date back = clock_date(*ret_days);
	return day >= 1 && back.month == month && back.day == day;	/* no 31 April */
}

static bool read_time(const char **at, struct wall *w)
{
	int hour = read_digits(at, 2), second = 0;
	if (hour < 0 || hour > 23 || !read_char(at, ":"))
		return false;
	int minute = read_digits(at, 2);
	if (minute < 0 || minute > 59)
		return false;
	if (read_char(at, ":")) {
		second = read_digits(at, 2);
		if (second < 0 || second > 59)
			return false;
		if (read_char(at, ".")) {
			int scale = 100, digit = read_digits(at, 1);
			if (digit < 0)
				return false;
			for (; digit >= 0; digit = read_digits(at, 1), scale /= 10)
				w->millis += digit * scale;
		}
	}
	w->seconds += hour * 3600 + minute * 60 + second;
	return true;
}

static bool read_offset(const char **at, struct wall *w)
{
	if (**at == '\0')
		return true;
	w->has_offset = true;
	if (read_char(at, "Zz"))
		return true;
	bool west = **at == '-';
	if (!read_char(at, "+-"))
		return false;
	int hours = read_digits(at, 2);
	if (hours < 0 || hours > 23 || !read_char(at, ":"))
		return false;
	int minutes = read_digits(at, 2);
	if (minutes < 0 || minutes > 59)
		return false;
	w->offset = (hours * 3600 + minutes * 60) * (west ? -1 : 1);
	return true;
}

static bool read_text(const char *text, struct wall *ret)
{
	int64_t days;
	*ret = (struct wall){0};
	if (!read_date(&text, &days) || !read_char(&text, "Tt "))
		return false;
	ret->seconds = days * DAY;
	return read_time(&text, ret) && read_offset(&text, ret) && *text == '\0';
}

/* What a wall time means in a zone: the instants it names, and around a gap the change that made it. */
struct meaning {
	int count;
	int64_t at[2];
	int64_t gap;
	int32_t before, after;	/* offsets; of the two instants, or around the gap */
};

static struct meaning wall_meaning(const struct tzif *tz, int64_t wall)
{
	struct meaning m = {0};
	int64_t from = wall - 2 * DAY, to;
	while (from < wall + 2 * DAY) {
		int32_t offset = tzif_offset(tz, from);
		if (!tzif_next(tz, from, &to))
			to = INT64_MAX;
		int64_t at = wall - offset;
		if (at >= from && at < to && m.count < 2) {
			*(m.count ? &m.after : &m.before) = offset;
			m.at[m.count++] = at;
		}
		if (to != INT64_MAX && m.count == 0 && wall >= to + offset && wall < to + tzif_offset(tz, to)) {
			m.gap = to;
			m.before = offset;
			m.after = tzif_offset(tz, to);
		}
		from = to;
	}
	return m;
}

static enum rc fail_gap(struct cx *cx, const char *text, const char *zone, const struct meaning *m)
{
	char before[ZONE_TEXT], after[ZONE_TEXT];
	instant_text((m->gap - 60) * 1000, m->before, before);
	instant_text(m->gap * 1000, m->after, after);
	return fail_code(cx, RC_INVALID, "time_nonexistent", NULL,
		"%s does not exist in %s, because clocks jump over it; the nearest times are %s and %s.", text, zone, before, after);
}

static enum rc fail_twice(struct cx *cx, const char *text, const char *zone, const struct meaning *m)
{
	char first[ZONE_TEXT], second[ZONE_TEXT];
	instant_text(m->at[0] * 1000, m->before, first);
	instant_text(m->at[1] * 1000, m->after, second);
	return fail_code(cx, RC_INVALID, "time_ambiguous", NULL,
		"%s happens twice in %s, as %s and as %s; give one of them, or fold \"earlier\" or \"later\".",
		text, zone, first, second);
}

enum rc zone_parse(struct cx *cx, const char *text, const char *zone, const char *fold, int64_t *ret_ms)
{
	struct wall w;
	struct meaning m = {0};
	bool known = true;
	if (!read_text(text, &w))
		return fail_code(cx, RC_INVALID, "field_invalid", NULL,
			"\"%.60s\" is not a time; write it as 2026-11-23T18:20:30Z, or with an offset such as +01:00.", text);
	bool later = fold && strcmp(fold, "later") == 0;
	if (fold && !later && strcmp(fold, "earlier") != 0)
		return fail_code(cx, RC_INVALID, "field_invalid", "fold", "fold is \"%.40s\"; it must be earlier or later.", fold);
	if (!zone && !w.has_offset)
		return fail_code(cx, RC_INVALID, "time_offset_missing", NULL,
			"%s has no offset; add Z or one such as +01:00, or name a timezone.", text);
	if (zone) {
		pthread_mutex_lock(&lock);
		const struct tzif *tz = zone_load(zone);
		known = tz != NULL;
		if (tz && !w.has_offset)
			m = wall_meaning(tz, w.seconds);
		pthread_mutex_unlock(&lock);
	}
	if (!known)
		return fail_zone(cx, zone);
	if (w.has_offset)
		m = (struct meaning){.count = 1, .at = {w.seconds - w.offset}};
	if (m.count == 0)
		return fail_gap(cx, text, zone, &m);
	if (m.count == 2 && !fold)
		return fail_twice(cx, text, zone, &m);
	*ret_ms = m.at[m.count == 2 && later] * 1000 + w.millis;
	return RC_OK;
}
