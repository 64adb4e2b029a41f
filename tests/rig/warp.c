/* The clock that can be put forward: see warp.h. */
#include "tests/rig/warp.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "tests/rig/rig.h"

static _Atomic int64_t *ahead;

void warp_map(const char *file)
{
	int fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	void *at;

	MUST(fd >= 0 && ftruncate(fd, sizeof *ahead) == 0);
	if (ahead != NULL)
		munmap((void *)ahead, sizeof *ahead);
	at = mmap(NULL, sizeof *ahead, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	MUST(at != MAP_FAILED);
	ahead = at;
	close(fd);
}

static int64_t warped(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000 + atomic_load(ahead);
}

void warp_use(void)
{
	MUST(ahead != NULL);
	clock_fake(warped);
}

void warp_add(int64_t ms)
{
	atomic_fetch_add(ahead, ms);
}

void warp_set(int64_t ms)
{
	atomic_store(ahead, ms);
}
