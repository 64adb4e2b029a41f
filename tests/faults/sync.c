/*
 * A disk that cannot sync, for one process: loaded before the C library by a test (LD_PRELOAD).
 *
 * The one thing to know: while the file that MPS_SYNC_FAULT names exists, every fsync and fdatasync of a file whose
 * path ends with that file's text (empty: every file) fails with EIO and does nothing; each failure adds a byte to the
 * file of the same name with ".struck" behind it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool path_ends(int fd, const char *end)
{
	char link[64], path[4096];
	ssize_t n;

	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof path);
	return n >= (ssize_t)strlen(end) && memcmp(path + n - strlen(end), end, strlen(end)) == 0;
}

static void strike(const char *switch_file)
{
	char name[4096];
	int fd;

	snprintf(name, sizeof name, "%s.struck", switch_file);
	fd = open(name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (fd >= 0 && write(fd, "x", 1) == 1)
		close(fd);
}

static bool fails(int fd)
{
	const char *name = getenv("MPS_SYNC_FAULT");
	char end[64] = "";
	int at = name ? open(name, O_RDONLY | O_CLOEXEC) : -1;

	if (at < 0)
		return false;
	if (read(at, end, sizeof end - 1) < 0)
		end[0] = '\0';
	close(at);
	if (end[0] && !path_ends(fd, end))
		return false;
	strike(name);
	errno = EIO;
	return true;
}

int fsync(int fd)
{
	return fails(fd) ? -1 : (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
	return fails(fd) ? -1 : (int)syscall(SYS_fdatasync, fd);
}
