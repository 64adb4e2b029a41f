/*
 * Zone files and wall times: the first line is a time as a client writes it, the rest is the zone's file.
 *
 * A file that is taken must give offsets that hold until the change it names, and a time that is read must be
 * written as the same instant.
 */
#include "fuzz.h"

#include <fcntl.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/base/tzif.h"
#include "core/base/zone.h"

#define STEPS 40
#define FAR 4000000000000ll		/* seconds: farther than any date that can be written */

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	log_set(LOG_ERROR + 1);
	fuzz_file_make("Zone");
	return 0;
}

/* From one change to the next: time moves on, and nothing changes in between. */
static void walk(const struct tzif *z, int64_t at)
{
	int64_t next;

	for (int i = 0; i < STEPS && at > -FAR && at < FAR; i++) {
		int32_t offset = tzif_offset(z, at);

		MUST(offset >= -26 * 3600 && offset <= 26 * 3600);
		if (!tzif_next(z, at, &next) || next > FAR)
			return;
		MUST_SAY(next > at, "the change behind %lld is at %lld", (long long)at, (long long)next);
		MUST(tzif_offset(z, next - 1) == offset);
		at = next;
	}
}

static void file_walk(const uint8_t *bytes, size_t n)
{
	static const int64_t from[] = {-FAR + 1, -62135596800, -2208988800, 0, 1700000000, 2147483647, 4102444800, 253402300799};
	char *copy = malloc(n ? n : 1);
	struct tzif *z;

	memcpy(copy, bytes, n);
	z = tzif_new(copy, n);
	free(copy);
	for (size_t i = 0; z != NULL && i < sizeof from / sizeof *from; i++)
		walk(z, from[i]);
	tzif_drop(z);
}

/* An instant that was read is the same one when it is written and read again. */
static void time_check(const char *text, const char *fold)
{
	char out[ZONE_TEXT];
	int64_t ms, again;
	struct cx cx;

	cx_init(&cx, NULL);
	if (zone_parse(&cx, text, "Zone", fold, &ms) == RC_OK) {
		if (zone_text(&cx, ms, "Zone", out) == RC_OK && strlen(out) == strlen("2026-11-23T19:20:30.123+01:00") && strchr("0123456789", out[0])) {
			MUST_SAY(zone_parse(&cx, out, NULL, NULL, &again) == RC_OK, "%s cannot be read: %s", out, cx.words);
			MUST_SAY(again / 60000 == ms / 60000 || strchr(out + 20, ':') == NULL, "%s became %s", text, out);
		}
	} else {
		MUST(cx.words[0] != '\0');
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *end = size ? memchr(data, '\n', size) : NULL;
	size_t n = end ? (size_t)(end - data) : 0;
	char *text;
	int fd;

	if (end == NULL)
		return 0;
	file_walk(end + 1, size - n - 1);
	text = fuzz_text(data, n);
	fd = open(fuzz_file, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	MUST(fd >= 0 && write(fd, end + 1, size - n - 1) >= 0);
	close(fd);
	zone_folder(fuzz_folder);		/* forgets what it has read */
	time_check(text, NULL);
	time_check(text, "earlier");
	time_check(text, "later");
	free(text);
	return 0;
}
