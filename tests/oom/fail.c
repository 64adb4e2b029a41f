/*
 * A library for LD_PRELOAD that lets one allocation of a process fail: ours, SQLite's, libcurl's, CivetWeb's, libsodium's.
 *
 * The file that MPS_OOM names is shared with the test: it counts allocations there, and takes from there which one shall
 * fail.  The one thing to know: after the one failure everything is given again, so what is tested is each single check
 * of a result, not a machine without memory.  Who asked in vain is written to standard error, as offsets for addr2line.
 */
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);
void *__libc_memalign(size_t align, size_t n);

struct control { _Atomic int64_t count, countdown, failed; };

static struct control nobody, *control = &nobody;
static void *(*real_mmap)(void *, size_t, int, int, int, off_t);
static _Thread_local int inside;

__attribute__((constructor)) static void open_control(void)
{
	const char *path = getenv("MPS_OOM");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *found = dlsym(RTLD_NEXT, "mmap"), *frames[2], *at;

	memcpy(&real_mmap, &found, sizeof real_mmap);
	(void)backtrace(frames, 2);	/* it allocates at its first call */
	at = fd < 0 ? MAP_FAILED : real_mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (fd >= 0)
		close(fd);
	if (at != MAP_FAILED)
		control = at;
}

static void tell(size_t n)
{
	static const char words[] = "oom: an allocation fails here:\n";
	void *frames[16];
	int depth;

	inside = 1;
	depth = backtrace(frames, 16);
	if (write(STDERR_FILENO, words, sizeof words - 1) > 0)
		backtrace_symbols_fd(frames + 2, depth - 2, STDERR_FILENO);
	inside = 0;
	(void)n;
}

static int fails(size_t n)
{
	if (inside)
		return 0;
	atomic_fetch_add(&control->count, 1);
	if (atomic_load(&control->countdown) <= 0 || atomic_fetch_sub(&control->countdown, 1) != 1)
		return 0;
	atomic_fetch_add(&control->failed, 1);
	tell(n);
	errno = ENOMEM;
	return 1;
}

void *malloc(size_t n) { return fails(n) ? NULL : __libc_malloc(n); }
void *calloc(size_t n, size_t size) { return fails(n * size) ? NULL : __libc_calloc(n, size); }
void *realloc(void *p, size_t n) { return n > 0 && fails(n) ? NULL : __libc_realloc(p, n); }
void *aligned_alloc(size_t align, size_t n) { return fails(n) ? NULL : __libc_memalign(align, n); }

int posix_memalign(void **ret, size_t align, size_t n)
{
	void *p = fails(n) ? NULL : __libc_memalign(align, n);

	if (p == NULL)
		return ENOMEM;
	*ret = p;
	return 0;
}

void *mmap(void *at, size_t n, int protect, int flags, int fd, off_t offset)
{
	return fails(n) ? MAP_FAILED : real_mmap(at, n, protect, flags, fd, offset);
}
