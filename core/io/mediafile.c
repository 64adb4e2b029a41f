/* Files of the media folder: see mediafile.h. */
#include "core/io/mediafile.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "core/base/failpoint.h"
#include "core/base/log.h"

#define NAME_SIZE 64

struct mediafile {
	int folder, fd;
	char name[NAME_SIZE];
	int64_t bytes;
	crypto_hash_sha256_state hash;
};

static enum rc io_fail(struct cx *cx, const char *what, int why)
{
	bool full = why == ENOSPC || why == EDQUOT || why == EFBIG;

	return fail(cx, full ? RC_FULL : RC_IO, "media folder: %s: %s", what, strerror(why));
}

enum rc mediafile_folder(struct cx *cx, const char *data_folder, int *ret)
{
	char path[4096];
	int fd;

	if (snprintf(path, sizeof path, "%s/media", data_folder) >= (int)sizeof path)
		return fail(cx, RC_INVALID, "the data folder's path is too long");
	if (mkdir(path, 0700) != 0 && errno != EEXIST)
		return fail(cx, RC_IO, "%s: %s", path, strerror(errno));
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return fail(cx, RC_IO, "%s: %s", path, strerror(errno));
	*ret = fd;
	return RC_OK;
}

enum rc mediafile_room(struct cx *cx, int folder, int64_t bytes)
{
	struct statvfs st;

	if (fstatvfs(folder, &st) != 0)
		return io_fail(cx, "fstatvfs", errno);
	if (st.f_bavail < (uint64_t)(bytes + MEDIAFILE_SPARE) / st.f_frsize)
		return fail(cx, RC_FULL, "media folder: no room for %lld bytes", (long long)bytes);
	return RC_OK;
}

enum rc mediafile_new(struct cx *cx, int folder, const char *name, struct mediafile **ret)
{
	struct mediafile *f = calloc(1, sizeof *f);

	if (f == NULL)
		return fail(cx, RC_NOMEM, "out of memory");
	f->folder = folder;
	snprintf(f->name, sizeof f->name, "%s", name);
	f->fd = openat(folder, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (f->fd < 0) {
		free(f);
		return io_fail(cx, "open", errno);
	}
	crypto_hash_sha256_init(&f->hash);
	*ret = f;
	return RC_OK;
}

enum rc mediafile_add(struct cx *cx, struct mediafile *f, const void *bytes, size_t n)
{
	if (failpoint("media.full"))
		return io_fail(cx, "write", ENOSPC);
	for (size_t at = 0; at < n;) {
		ssize_t done = write(f->fd, (const char *)bytes + at, n - at);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return io_fail(cx, "write", errno);
		at += (size_t)done;
	}
	crypto_hash_sha256_update(&f->hash, bytes, n);
	f->bytes += (int64_t)n;
	return RC_OK;
}

int64_t mediafile_bytes(const struct mediafile *f)
{
	return f->bytes;
}

enum rc mediafile_finish(struct cx *cx, struct mediafile *f, char sha256[65], int *ret_fd)
{
	unsigned char sum[crypto_hash_sha256_BYTES];

	crypto_hash_sha256_final(&f->hash, sum);
	sodium_bin2hex(sha256, 65, sum, sizeof sum);
	if (fsync(f->fd) != 0 || fsync(f->folder) != 0)
		return io_fail(cx, "fsync", errno);
	*ret_fd = f->fd;
	return RC_OK;
}

void mediafile_drop(struct mediafile *f, bool keep)
{
	if (f == NULL)
		return;
	close(f->fd);
	if (!keep)
		mediafile_remove(f->folder, f->name);
	free(f);
}

void mediafile_remove(int folder, const char *name)
{
	if (unlinkat(folder, name, 0) != 0 && errno != ENOENT)
		log_warn("media", "%s cannot be removed: %s", name, strerror(errno));
}

static bool is_old(int folder, const char *name, int64_t older_ms, int64_t now)
{
	struct stat st;

	return fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
	       (int64_t)st.st_mtim.tv_sec * 1000 <= now - older_ms;
}

void mediafile_each(int folder, int64_t older_ms, int64_t now, void (*fn)(void *arg, const char *name), void *arg)
{
	int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *e;

	if (d == NULL && fd >= 0)
		close(fd);
	while (d != NULL && (e = readdir(d)) != NULL)
		if (e->d_name[0] != '.' && is_old(folder, e->d_name, older_ms, now))
			fn(arg, e->d_name);
	if (d != NULL)
		closedir(d);
}
