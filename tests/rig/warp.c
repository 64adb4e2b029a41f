/* The clock that can be put forward: see warp.h. */
#include "tests/rig/warp.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/rig/rig.h"

static _Atomic int64_t *ahead;

void warp_map(const char *file)
{
	int fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	void *at;

	MUST(fd >= 0 && ftruncate(fd, 2 * sizeof *ahead) == 0);
	if (ahead != NULL)
		munmap((void *)ahead, 2 * sizeof *ahead);
	at = mmap(NULL, 2 * sizeof *ahead, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	MUST(at != MAP_FAILED);
	ahead = at;
	close(fd);
}

void warp_add(int64_t ms)
{
	atomic_fetch_add(ahead, ms);
}

void warp_set(int64_t ms)
{
	atomic_fetch_add(ahead + 1, ms);
}
