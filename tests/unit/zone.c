/*
 * Time zones, against date(1): both read the same tzdata by different code.
 */
#include "core/base/zone.h"

#include <sys/stat.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/tzif.h"
#include "tests/unit/test.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static struct cx cx;

static enum rc parse(const char *text, const char *zone, const char *fold, int64_t *ret)
{
	cx_init(&cx, "test");
	return zone_parse(&cx, text, zone, fold, ret);
}

/* ---- what date(1) says ---- */

static const char *const zones[] = {
	"UTC", "Europe/Berlin", "Europe/London", "Europe/Dublin", "Europe/Moscow", "Europe/Istanbul", "Europe/Lisbon",
	"America/New_York", "America/Chicago", "America/Denver", "America/Phoenix", "America/Los_Angeles", "America/Anchorage",
	"America/St_Johns", "America/Sao_Paulo", "America/Santiago", "America/Havana", "America/Asuncion", "America/Mexico_City",
	"America/Nuuk", "Africa/Cairo", "Africa/Casablanca", "Africa/Lagos", "Africa/Johannesburg", "Asia/Kolkata",
	"Asia/Kathmandu", "Asia/Tehran", "Asia/Jerusalem", "Asia/Gaza", "Asia/Tokyo", "Asia/Shanghai", "Asia/Pyongyang",
	"Australia/Sydney", "Australia/Adelaide", "Australia/Lord_Howe", "Pacific/Auckland", "Pacific/Chatham", "Pacific/Apia",
	"Pacific/Kiritimati", "Antarctica/Troll",
};
#define PER_ZONE 50

static uint64_t seed = 20261123;

static int64_t random_below(int64_t n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (int64_t)(seed % (uint64_t)n);
}

/* Half of the instants lie within two hours of a change, where mistakes live; from 1975 (offsets of whole
 * minutes) to 2120 (far beyond the changes that files list). */
static int64_t random_instant(const struct tzif *z)
{
	int64_t first = 5 * 365 * 86400LL, last = 150 * 365 * 86400LL, change;
	int64_t at = first + random_below(last - first);
	if (random_below(2) && tzif_next(z, at, &change) && change < last + 366 * 86400LL)
		at = change - 7200 + random_below(14400);
	return at;
}

static struct tzif *load(const char *name)
{
	char path[200], bytes[8000];
	snprintf(path, sizeof path, "/usr/share/zoneinfo/%s", name);
	FILE *f = fopen(path, "rb");
	CHECK_SAY(f != NULL, "%s is not installed", path);
	size_t n = fread(bytes, 1, sizeof bytes, f);
	fclose(f);
	struct tzif *z = tzif_new(bytes, n);
	CHECK_SAY(z != NULL, "%s cannot be read", path);
	return z;
}

/* One date(1) per zone reads all its instants; its answers come back line by line. */
static void check_zone(const char *name)
{
	char file[] = "/tmp/zone-test-XXXXXX", command[300], want[100], got[ZONE_TEXT];
	int64_t at[PER_ZONE];
	struct tzif *z = load(name);
	int fd = mkstemp(file);
	CHECK(fd >= 0);
	for (size_t i = 0; i < PER_ZONE; i++) {
		at[i] = random_instant(z);
		dprintf(fd, "@%lld\n", (long long)at[i]);
	}
	tzif_drop(z);
	close(fd);
	snprintf(command, sizeof command, "TZ=%s date -f %s +%%Y-%%m-%%dT%%H:%%M:%%S.000%%:z", name, file);
	FILE *answers = popen(command, "r");
	CHECK(answers != NULL);
	for (size_t i = 0; i < PER_ZONE; i++) {
		int64_t back = 0, later = 0;
		CHECK(fgets(want, sizeof want, answers) != NULL);
		want[strcspn(want, "\n")] = '\0';
		if (strcmp(want + 23, "-00:00") == 0)	/* "nobody lived there yet"; for us it is UTC */
			want[23] = '+';
		cx_init(&cx, "test");
		CHECK_INT(zone_text(&cx, at[i] * 1000, name, got), RC_OK);
		CHECK_SAY(strcmp(got, want) == 0, "%s @%lld: %s, date says %s", name, (long long)at[i], got, want);
		got[23] = '\0';		/* the wall time alone leads back to the instant, in one of its two folds */
		CHECK_INT(parse(got, name, "earlier", &back), RC_OK);
		CHECK_INT(parse(got, name, "later", &later), RC_OK);
		CHECK_SAY(back == at[i] * 1000 || later == at[i] * 1000, "%s %s does not lead back", name, got);
		CHECK((parse(got, name, NULL, &back) == RC_OK) == (back == later));
	}
	pclose(answers);
	unlink(file);
}

TEST(agrees_with_date)
{
	CHECK_INT(COUNT(zones), 40);
	for (size_t i = 0; i < COUNT(zones); i++)
		check_zone(zones[i]);
}

/* ---- what a text means ---- */

static const struct { const char *text, *zone, *fold, *want; } means[] = {
	{"2026-11-23T18:20:30Z", NULL, NULL, "2026-11-23T18:20:30.000Z"},
	{"2026-11-23t18:20:30z", NULL, NULL, "2026-11-23T18:20:30.000Z"},
	{"2026-11-23 18:20Z", NULL, NULL, "2026-11-23T18:20:00.000Z"},
	{"2026-11-23T18:20:30.5+01:00", NULL, NULL, "2026-11-23T17:20:30.500Z"},
	{"2026-11-23T18:20:30.123999-09:30", NULL, NULL, "2026-11-24T03:50:30.123Z"},
	{"1969-12-31T23:59:59.250Z", NULL, NULL, "1969-12-31T23:59:59.250Z"},
	{"0001-01-01T00:00-00:00", NULL, NULL, "0001-01-01T00:00:00.000Z"},
	{"2024-02-29T12:00Z", NULL, NULL, "2024-02-29T12:00:00.000Z"},
	{"2000-02-29T12:00Z", NULL, NULL, "2000-02-29T12:00:00.000Z"},
	{"2026-07-01T12:00", "Europe/Berlin", NULL, "2026-07-01T10:00:00.000Z"},
	{"2026-07-01T12:00+05:00", "Europe/Berlin", NULL, "2026-07-01T07:00:00.000Z"},
	{"2026-12-01T12:00:00.75", "Europe/Berlin", "later", "2026-12-01T11:00:00.750Z"},
	{"2026-10-25T02:30", "Europe/Berlin", "earlier", "2026-10-25T00:30:00.000Z"},
	{"2026-10-25T02:30", "Europe/Berlin", "later", "2026-10-25T01:30:00.000Z"},
	{"2026-10-25T01:59:59", "Europe/Berlin", NULL, "2026-10-24T23:59:59.000Z"},
	{"2026-10-25T03:00", "Europe/Berlin", NULL, "2026-10-25T02:00:00.000Z"},
	{"2026-03-29T01:59:59.999", "Europe/Berlin", NULL, "2026-03-29T00:59:59.999Z"},
	{"2026-03-29T03:00", "Europe/Berlin", NULL, "2026-03-29T01:00:00.000Z"},
	{"2087-10-26T02:30", "Europe/Berlin", "later", "2087-10-26T01:30:00.000Z"},
	{"2026-04-05T01:45", "Australia/Lord_Howe", "later", "2026-04-04T15:15:00.000Z"},
	{"2011-12-31T00:00", "Pacific/Apia", NULL, "2011-12-30T10:00:00.000Z"},
	{"2026-07-01T12:00", "Etc/GMT+5", NULL, "2026-07-01T17:00:00.000Z"},
	{"2026-07-01T12:00", "America/Argentina/Buenos_Aires", NULL, "2026-07-01T15:00:00.000Z"},
};

TEST(reads_times)
{
	for (size_t i = 0; i < COUNT(means); i++) {
		int64_t ms = 0;
		char text[CLOCK_TEXT];
		CHECK_SAY(parse(means[i].text, means[i].zone, means[i].fold, &ms) == RC_OK, "%s: %s", means[i].text, cx.words);
		clock_text(ms, text);
		CHECK_STR(text, means[i].want);
	}
}

static const struct { const char *text, *zone, *fold, *code, *words; } refusals[] = {
	{"2026-11-23T18:20:30", NULL, NULL, "time_offset_missing", NULL},
	{"2026-03-29T02:30", "Europe/Berlin", "later", "time_nonexistent",
		"nearest times are 2026-03-29T01:59:00.000+01:00 and 2026-03-29T03:00:00.000+02:00"},
	{"2026-03-29T02:00", "Europe/Berlin", NULL, "time_nonexistent", "T01:59:00.000+01:00"},
	{"2026-03-29T02:59:59.999", "Europe/Berlin", NULL, "time_nonexistent", "T03:00:00.000+02:00"},
	{"2087-03-30T02:30", "Europe/Berlin", NULL, "time_nonexistent", NULL},
	{"2011-12-30T12:00", "Pacific/Apia", NULL, "time_nonexistent",
		"2011-12-29T23:59:00.000-10:00 and 2011-12-31T00:00:00.000+14:00"},
	{"2026-10-25T02:00", "Europe/Berlin", NULL, "time_ambiguous", "2026-10-25T02:00:00.000+02:00 and as 2026-10-25T02:00:00.000+01:00"},
	{"2026-10-25T02:59:59", "Europe/Berlin", NULL, "time_ambiguous", NULL},
	{"2026-04-05T01:45", "Australia/Lord_Howe", NULL, "time_ambiguous", NULL},
	{"2026-07-01T12:00", "Europe/Berlin", "first", "field_invalid", "fold"},
	{"2026-07-01T12:00", "Europe/Atlantis", NULL, "field_invalid", "Atlantis"},
	{"2026-07-01T12:00Z", "Europe/Atlantis", NULL, "field_invalid", "Atlantis"},
	{"", NULL, NULL, "field_invalid", NULL}, {"now", NULL, NULL, "field_invalid", NULL},
	{"2026-11-23", "UTC", NULL, "field_invalid", NULL}, {"2026-11-23T", "UTC", NULL, "field_invalid", NULL},
	{"2026-11-23T18", "UTC", NULL, "field_invalid", NULL}, {"2026-11-23T18Z", NULL, NULL, "field_invalid", NULL},
	{"2026-1-23T18:00Z", NULL, NULL, "field_invalid", NULL}, {"26-11-23T18:00Z", NULL, NULL, "field_invalid", NULL},
	{"+2026-11-23T18:00Z", NULL, NULL, "field_invalid", NULL}, {"20261123T180000Z", NULL, NULL, "field_invalid", NULL},
	{"2026-13-01T18:00Z", NULL, NULL, "field_invalid", NULL}, {"2026-00-01T18:00Z", NULL, NULL, "field_invalid", NULL},
	{"2026-02-29T18:00Z", NULL, NULL, "field_invalid", NULL}, {"1900-02-29T18:00Z", NULL, NULL, "field_invalid", NULL},
	{"2026-04-31T18:00Z", NULL, NULL, "field_invalid", NULL}, {"2026-04-00T18:00Z", NULL, NULL, "field_invalid", NULL},
	{"2026-11-23T24:00Z", NULL, NULL, "field_invalid", NULL}, {"2026-11-23T18:60Z", NULL, NULL, "field_invalid", NULL},
	{"2026-11-23T18:20:60Z", NULL, NULL, "field_invalid", NULL}, {"2026-11-23T18:20:30.Z", NULL, NULL, "field_invalid", NULL},
	{"2026-11-23T18:20.5Z", NULL, NULL, "field_invalid", NULL}, {"2026-11-23T18:20:30,5Z", NULL, NULL, "field_invalid", NULL},
	{"2026-11-23T18:20:30ZZ", NULL, NULL, "field_invalid", NULL}, {"2026-11-23T18:20:30 Z", NULL, NULL, "field_invalid", NULL},
	{"2026-11-23T18:20:30+1:00", NULL, NULL, "field_invalid", NULL}, {"2026-11-23T18:20:30+0100", NULL, NULL, "field_invalid", NULL},
	{"2026-11-23T18:20:30+24:00", NULL, NULL, "field_invalid", NULL}, {"2026-11-23T18:20:30+01:60", NULL, NULL, "field_invalid", NULL},
	{"2026-11-23T18:20:30+01", NULL, NULL, "field_invalid", NULL}, {" 2026-11-23T18:20:30Z", NULL, NULL, "field_invalid", NULL},
	{"2026-11-23T-1:20Z", NULL, NULL, "field_invalid", NULL}, {"2026-11-23_18:20Z", NULL, NULL, "field_invalid", NULL},
};

TEST(refuses_times)
{
	for (size_t i = 0; i < COUNT(refusals); i++) {
		int64_t ms = 77;
		enum rc rc = parse(refusals[i].text, refusals[i].zone, refusals[i].fold, &ms);
		CHECK_SAY(rc == RC_INVALID, "\"%s\" is accepted", refusals[i].text);
		CHECK_SAY(strcmp(cx.code, refusals[i].code) == 0, "\"%s\": %s", refusals[i].text, cx.code);
		CHECK_SAY(!refusals[i].words || strstr(cx.words, refusals[i].words), "\"%s\": %s", refusals[i].text, cx.words);
		CHECK_INT(ms, 77);
	}
}

TEST(zone_names_are_checked)
{
	static const char *const good[] = {"UTC", "Etc/GMT-14", "Europe/Berlin", "America/Port-au-Prince", "EST5EDT", "US/Pacific"};
	static const char *const bad[] = {
		"", "/etc/localtime", "../zoneinfo/UTC", "Europe/../UTC", "Europe/", "/UTC", "Europe//Berlin", "Europe", "./UTC",
		"UTC ", "europe/berlin", "zone.tab", "tzdata.zi", "right/UTC", "posix/UTC", "localtime", "posixrules", "Factory",
		"UTC\n", "A/very/long/name/that/goes/on/and/on/and/on/and/on/and/on/and/on/and/on",
	};
	for (size_t i = 0; i < COUNT(good); i++)
		CHECK_SAY(zone_exists(good[i]), "%s", good[i]);
	for (size_t i = 0; i < COUNT(bad); i++)
		CHECK_SAY(!zone_exists(bad[i]), "%s", bad[i]);
}

TEST(old_offsets_keep_the_instant)
{
	char text[ZONE_TEXT];
	int64_t back = 0;
	cx_init(&cx, "test");
	CHECK_INT(zone_text(&cx, -3000000000000, "Europe/Berlin", text), RC_OK);	/* +00:53:28 */
	CHECK_STR(text + 23, "+00:53");
	CHECK_INT(parse(text, NULL, NULL, &back), RC_OK);
	CHECK_INT(back, -3000000000000);
	CHECK_INT(zone_text(&cx, -3000000000000, "America/New_York", text), RC_OK);	/* -04:56:02 */
	CHECK_STR(text + 23, "-04:56");
}

TEST(more_zones_than_the_cache_holds)
{
	char text[ZONE_TEXT], name[20];
	for (int round = 0; round < 3; round++) {
		for (int i = 1; i <= 12; i++) {
			snprintf(name, sizeof name, "Etc/GMT+%d", i);
			CHECK(zone_exists(name));
			snprintf(name, sizeof name, "Etc/GMT-%d", i);
			CHECK(zone_exists(name));
		}
		for (size_t i = 0; i < COUNT(zones); i++)
			CHECK(zone_exists(zones[i]));
		CHECK_INT(zone_text(&cx, 0, "Etc/GMT-3", text), RC_OK);
		CHECK_STR(text, "1970-01-01T03:00:00.000+03:00");
	}
}

/* ---- the file format ---- */

static size_t make_file(char *out, const char *footer)
{
	static const char head[] = "TZif2\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0" "\0\0\0\0" "\0\0\0\0" "\0\0\0\0" "\0\0\0\0" "\0\0\0\1" "\0\0\0\4";
	static const char body[] = "\0\0\x0e\x10\0\0" "CET";	/* +3600, no DST, name 0 */
	size_t n = 0;
	for (int i = 0; i < 2; i++) {
		memcpy(out + n, head, 44);
		memcpy(out + n + 44, body, 10);
		n += 54;
	}
	return n + (size_t)snprintf(out + n, 200, "\n%s\n", footer);
}

TEST(footer_rules)
{
	static const struct { const char *footer; bool ok; int64_t at; int32_t offset; } cases[] = {
		{"", true, 0, 3600}, {"UTC0", true, 0, 0}, {"<+0330>-3:30", true, 0, 12600}, {"EST+5", true, 0, -18000},
		{"EST5EDT,M3.2.0,M11.1.0", true, 1793505599, -14400},		/* 2026-11-01 05:59:59Z */
		{"EST5EDT,M3.2.0,M11.1.0", true, 1793512800, -18000},
		{"XXX3YYY,J60/0,J365/0", true, 1709251200 + 10800, -7200},	/* J60 is 1 March, in a leap year too */
		{"XXX3YYY,J60/0,J365/0", true, 1709251200 + 10799, -10800},
		{"XXX3YYY,59/0,364/0", true, 1709164800 + 10800, -7200},	/* day 59 is 29 February in 2024 */
		{"XXX3EDT4,0/0,J365/23", true, 1767236400, -14400},		/* summer time all year */
		{"XXX3EDT4,0/0,J365/23", true, 1784000000, -14400},
		{"<-02>2<-01>,M3.5.0/-1,M10.5.0/0", true, 1774745999, -7200},	/* one hour before Sunday begins */
		{"<-02>2<-01>,M3.5.0/-1,M10.5.0/0", true, 1774746000, -3600},
		{"E", false, 0, 0}, {"UTC", false, 0, 0}, {"UTC0,M3.2.0", false, 0, 0}, {"EST5EDT", false, 0, 0},
		{"EST5EDT,M13.2.0,M11.1.0", false, 0, 0}, {"EST5EDT,M0.2.0,M11.1.0", false, 0, 0}, {"EST5EDT,M3.6.0,M11.1.0", false, 0, 0},
		{"EST5EDT,M3.0.0,M11.1.0", false, 0, 0}, {"EST5EDT,M3.2.7,M11.1.0", false, 0, 0}, {"EST5EDT,J0,J1", false, 0, 0},
		{"EST5EDT,366,1", false, 0, 0}, {"EST5EDT,M3.2.0,M11.1.0x", false, 0, 0}, {"<EST5", false, 0, 0}, {"EST25", false, 0, 0},
		{"EST5EDT,M3.2.0/168,M11.1.0", false, 0, 0}, {"EST99999999999", false, 0, 0}, {"EST5:60", false, 0, 0},
	};
	for (size_t i = 0; i < COUNT(cases); i++) {
		char file[400];
		size_t n = make_file(file, cases[i].footer);
		struct tzif *z = tzif_new(file, n);
		CHECK_SAY((z != NULL) == cases[i].ok, "\"%s\"", cases[i].footer);
		int32_t offset = z ? tzif_offset(z, cases[i].at) : cases[i].offset;
		tzif_drop(z);
		CHECK_SAY(offset == cases[i].offset, "\"%s\" (case %zu): %d", cases[i].footer, i, offset);
	}
}

/* A file with two changes and a leap second or none, to be damaged. */
struct odd { int64_t first, second; char type; char leaps; };

static struct tzif *odd_file(struct odd o)
{
	static const char first[44] = "TZif2", types[] = "\0\0\x0e\x10\0\0\0\0\x1c\x20\0\0" "CET";
	char file[400] = {0}, *at = file + 44;
	memcpy(file, first, 44);
	memcpy(at, first, 44);
	at[31] = o.leaps;
	at[35] = 2;	/* changes */
	at[39] = 2;	/* types */
	at[43] = 4;	/* characters */
	at += 44;
	for (int i = 0; i < 8; i++) {
		at[i] = (char)((uint64_t)o.first >> (56 - 8 * i) & 0xFF);
		at[8 + i] = (char)((uint64_t)o.second >> (56 - 8 * i) & 0xFF);
	}
	at[16] = o.type;
	memcpy(at + 18, types, sizeof types);
	at += 18 + sizeof types + 12 * (size_t)o.leaps;
	memcpy(at, "\n\n", 2);
	return tzif_new(file, (size_t)(at - file) + 2);
}

TEST(odd_files_are_refused)
{
	static const struct odd refused[] = {{200, 100, 1, 0}, {100, 100, 1, 0}, {100, 200, 2, 0}, {100, 200, 1, 1}};
	struct tzif *z = odd_file((struct odd){100, 200, 1, 0});
	CHECK(z != NULL);
	int32_t before = tzif_offset(z, 99), between = tzif_offset(z, 100), after = tzif_offset(z, 200);
	tzif_drop(z);
	CHECK_INT(before, 3600);
	CHECK_INT(between, 7200);
	CHECK_INT(after, 3600);
	for (size_t i = 0; i < COUNT(refused); i++) {
		z = odd_file(refused[i]);
		CHECK_SAY(z == NULL, "case %zu is accepted", i);
	}
}

TEST(damaged_files_are_survived)
{
	char bytes[8000];
	FILE *f = fopen("/usr/share/zoneinfo/Europe/Berlin", "rb");
	CHECK(f != NULL);
	size_t n = fread(bytes, 1, sizeof bytes, f), refused = 0;
	fclose(f);
	for (size_t cut = 0; cut < n; cut += 7) {
		char *copy = malloc(cut + 1);
		CHECK(copy != NULL);
		memcpy(copy, bytes, cut);
		struct tzif *z = tzif_new(copy, cut);
		CHECK_SAY(z == NULL, "the first %zu bytes are accepted", cut);
		free(copy);
	}
	for (int round = 0; round < 3000; round++) {
		char copy[8000];
		int64_t next = 0;
		memcpy(copy, bytes, n);
		for (int i = 0; i < 3; i++)
			copy[random_below((int64_t)n)] = (char)random_below(256);
		struct tzif *z = tzif_new(copy, n);
		refused += z == NULL;
		for (int64_t at = -5000000000; z && at < 9000000000; at += 1000000007)
			tzif_next(z, at + tzif_offset(z, at), &next);
		tzif_drop(z);
	}
	CHECK(refused > 0);
}

TEST(an_update_of_tzdata_is_seen)
{
	char folder[] = "/tmp/zones-XXXXXX", path[100], next[100], file[400], text[ZONE_TEXT];
	static const char *const footers[] = {"AAA-1", "BBB-2"};
	CHECK(mkdtemp(folder) != NULL);
	snprintf(path, sizeof path, "%s/Test", folder);
	snprintf(next, sizeof next, "%s/next", folder);
	zone_folder(folder);
	for (int i = 0; i < 2; i++) {
		FILE *f = fopen(next, "wb");
		CHECK(f != NULL);
		fwrite(file, 1, make_file(file, footers[i]), f);
		fclose(f);
		CHECK_INT(rename(next, path), 0);
		cx_init(&cx, "test");
		CHECK_INT(zone_text(&cx, 0, "Test", text), RC_OK);
		CHECK_STR(text + 23, i ? "+02:00" : "+01:00");
	}
	FILE *f = fopen(path, "wb");
	CHECK(f != NULL);
	fclose(f);
	CHECK(zone_exists("Test"));	/* broken, and then gone: */
	unlink(path);
	CHECK(zone_exists("Test"));	/* in the middle of an update */
	CHECK(!zone_exists("UTC"));
	rmdir(folder);
	zone_folder("/usr/share/zoneinfo");
	CHECK(zone_exists("UTC") && !zone_exists("Test"));
}
