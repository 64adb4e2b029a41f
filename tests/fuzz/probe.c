/*
 * Media files: what a hostile image or video makes of the probe's readers, in process and without its cage.
 *
 * What is found out must survive the one line on which it travels, word for word.
 */
#include "fuzz.h"

#include <sys/mman.h>
#include <unistd.h>

#include "core/probe/probe.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct input in;
	static int fd = -1;
	struct probed p, back;
	char line[PROBED_MAX];
	size_t n;

	if (fd < 0)
		fd = memfd_create("probe", MFD_CLOEXEC);
	MUST(ftruncate(fd, 0) == 0 && pwrite(fd, data, size, 0) == (ssize_t)size);
	MUST(input_open(&in, fd));
	probe_read(&in, &p);
	n = probed_write(&p, line);
	MUST_SAY(n > 0, "an answer that cannot be told");
	MUST_SAY(probed_read(line, n, &back), "the core would not take: %.*s", (int)n, line);
	MUST(back.answer == p.answer);
	if (p.answer == PROBED_MEDIA)
		MUST(back.kind == p.kind && back.mime == p.mime && strcmp(back.codec, p.codec) == 0 && back.width == p.width &&
		     back.height == p.height && back.duration_ms == p.duration_ms && back.frame_rate_milli == p.frame_rate_milli);
	else
		MUST(strcmp(back.words, p.words) == 0);
	(void)probed_read((const char *)data, size < PROBED_MAX ? size : PROBED_MAX, &back);
	return 0;
}
