/*
 * mypostshare-probe: tells what one file is, and nothing else.
 *
 * Descriptor 0 is the file, 1 takes the answer's one line.  It confines itself before it reads the first byte, so
 * whatever a hostile file makes of it can end at worst in a wrong line, which the core takes apart strictly.
 */
#include <unistd.h>

#include "core/probe/probe.h"

#if defined(__SANITIZE_ADDRESS__)
const char *__asan_default_options(void);
const char *__asan_default_options(void) { return "handle_segv=0:handle_sigbus=0:detect_leaks=0"; }
#endif

int main(void)
{
	static struct input in;
	static struct probed p;
	char line[PROBED_MAX];
	size_t n;

	if (!probe_confine())
		_exit(3);
	if (input_open(&in, 0))
		probe_read(&in, &p);
	else
		unreadable(&p, "it cannot be read");
	n = probed_write(&p, line);
	_exit(n > 0 && write(1, line, n) == (ssize_t)n ? 0 : 2);
}
