/* Folders that are written whole: see folder.h. */
#include "core/io/folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "core/base/log.h"

#define FLOORS 3

static enum rc io_fail(struct cx *cx, const char *path, int why)
{
	bool full = why == ENOSPC || why == EDQUOT || why == EFBIG;

	return fail(cx, full ? RC_FULL : why == ENOENT ? RC_NOT_FOUND : RC_IO, "%s: %s", path, strerror(why));
}

static int open_at(int at, const char *path)
{
	return openat(at, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
}

enum rc folder_new(struct cx *cx, int at, const char *path, int *ret)
{
	int fd;

	if (mkdirat(at, path, 0700) != 0 || (fd = open_at(at, path)) < 0)
		return io_fail(cx, path, errno);
	*ret = fd;
	return RC_OK;
}

enum rc folder_open(struct cx *cx, const char *path, int *ret)
{
	int fd = open_at(AT_FDCWD, path);

	if (fd < 0)
		return io_fail(cx, path, errno);
	*ret = fd;
	return RC_OK;
}

bool folder_has(int at, const char *path)
{
	struct stat st;

	return fstatat(at, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static void remove_all(int at, const char *name, int floors)
{
	int fd = floors > 0 ? open_at(at, name) : -1;
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *e;

	while (d && (e = readdir(d)) != NULL)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			remove_all(dirfd(d), e->d_name, floors - 1);
	if (d)
		closedir(d);
	if (unlinkat(at, name, fd >= 0 ? AT_REMOVEDIR : 0) != 0 && errno != ENOENT)
		log_warn("folder", "%s cannot be removed: %s", name, strerror(errno));
}

void folder_remove(int at, const char *path)
{
	if (folder_has(at, path))
		remove_all(at, path, FLOORS);
}

enum rc folder_sync(struct cx *cx, int fd)
{
	return fsync(fd) == 0 ? RC_OK : io_fail(cx, "fsync of a folder", errno);
}

enum rc folder_sync_parent(struct cx *cx, const char *path)
{
	const char *slash = strrchr(path, '/');
	char *parent = slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : strdup(".");
	int fd = -1;

	if (parent == NULL)
		return fail(cx, RC_NOMEM, "no memory for a path");
	enum rc rc = folder_open(cx, parent, &fd);
	if (rc == RC_OK)
		rc = folder_sync(cx, fd);
	if (fd >= 0)
		close(fd);
	free(parent);
	return rc;
}

enum rc folder_room(struct cx *cx, int fd, int64_t bytes)
{
	struct statvfs st;

	if (fstatvfs(fd, &st) != 0)
		return io_fail(cx, "fstatvfs", errno);
	if ((uint64_t)bytes / st.f_frsize > st.f_bavail)
		return fail(cx, RC_FULL, "the disk has less than %lld MiB left", (long long)(bytes >> 20));
	return RC_OK;
}

bool folder_same_disk(int a, int b)
{
	struct stat x, y;

	return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_dev == y.st_dev;
}

enum rc folder_write(struct cx *cx, int at, const char *name, const void *bytes, size_t n)
{
	int fd = openat(at, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600), why = 0;

	if (fd < 0)
		return io_fail(cx, name, errno);
	errno = ENOSPC;		/* of a write that is only short */
	if (write(fd, bytes, n) != (ssize_t)n || fsync(fd) != 0)
		why = errno;
	close(fd);
	return why ? io_fail(cx, name, why) : RC_OK;
}

enum rc folder_read(struct cx *cx, int at, const char *name, struct buf *ret)
{
	int fd = openat(at, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	ssize_t got = -1;
	void *room;

	if (fd < 0)
		return errno == ENOENT ? fail(cx, RC_NOT_FOUND, "%s is missing", name) : io_fail(cx, name, errno);
	while ((room = buf_room(ret, 4096)) != NULL && (got = read(fd, room, 4096)) > 0)
		buf_grew(ret, (size_t)got);
	int why = got < 0 ? errno : 0;
	close(fd);
	if (!buf_ok(ret))
		return fail(cx, RC_TOO_LARGE, "%s is too long", name);
	return why ? io_fail(cx, name, why) : RC_OK;
}
