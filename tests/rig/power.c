/*
 * The VFS that loses power: see power.h.
 *
 * The one thing to know: writes go to the real file at once, as they go to the page cache, so that reads see them; beside
 * it an image in memory holds what a sync has made durable, and a list what was done since.  Cutting rebuilds the real
 * file from the image and a part of the list.  The index of the WAL (shared memory) is no file of a disk: it is lost.
 */
#include "tests/rig/power.h"

#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/io/db_private.h"

#define MUST(cond) do { if (!(cond)) { fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond); abort(); } } while (0)
#define FILES_MAX 64
#define SECTOR 512

struct pending { struct pending *next; int64_t at, n; unsigned char *bytes; };	/* bytes NULL: cut to `at` */

struct disk_file {
	char path[300];
	unsigned char *image;		/* what is durable */
	int64_t size, room;
	bool there;			/* its name is durable too */
	struct pending *first, **last;
};

static struct disk_file files[FILES_MAX];
static int file_count;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int64_t steps, last_step;
static bool off;
bool power_lies;

/* ---- the disk -------------------------------------------------------------------------------------- */

static void image_size(struct disk_file *f, int64_t size)
{
	if (size > f->room) {
		f->room = size * 2;
		f->image = realloc(f->image, (size_t)f->room);
		MUST(f->image != NULL);
	}
	if (size > f->size)
		memset(f->image + f->size, 0, (size_t)(size - f->size));
	f->size = size;
}

static void image_write(struct disk_file *f, int64_t at, int64_t n, const unsigned char *bytes)
{
	if (at + n > f->size)
		image_size(f, at + n);
	memcpy(f->image + at, bytes, (size_t)n);
}

/* What stands in the real file now is durable. */
static void image_read(struct disk_file *f)
{
	int fd = open(f->path, O_RDONLY | O_CLOEXEC);
	struct stat st;

	f->there = fd >= 0;
	f->last = &f->first;
	if (fd < 0)
		return;
	MUST(fstat(fd, &st) == 0);
	image_size(f, st.st_size);
	MUST(pread(fd, f->image, (size_t)st.st_size, 0) == st.st_size);
	close(fd);	/* before SQLite opens it: its locks are not ours to drop */
}

static struct disk_file *file_of(const char *path)
{
	struct disk_file *f = files;

	while (f < files + file_count && strcmp(f->path, path) != 0)
		f++;
	if (f < files + file_count)
		return f;
	MUST(file_count < FILES_MAX);
	file_count++;
	*f = (struct disk_file){.there = false};
	snprintf(f->path, sizeof f->path, "%s", path);
	image_read(f);
	return f;
}

static void pending_add(struct disk_file *f, const void *bytes, int64_t n, int64_t at)
{
	struct pending *p = calloc(1, sizeof *p);

	MUST(p != NULL);
	p->at = at;
	p->n = n;
	if (bytes != NULL) {
		p->bytes = malloc((size_t)n);
		MUST(p->bytes != NULL);
		memcpy(p->bytes, bytes, (size_t)n);
	}
	*f->last = p;
	f->last = &p->next;
}

static void pending_drop(struct disk_file *f)
{
	for (struct pending *p = f->first, *next; p != NULL; p = next) {
		next = p->next;
		free(p->bytes);
		free(p);
	}
	f->first = NULL;
	f->last = &f->first;
}

static void make_durable(struct disk_file *f)
{
	for (const struct pending *p = f->first; p != NULL; p = p->next)
		if (p->bytes != NULL)
			image_write(f, p->at, p->n, p->bytes);
		else
			image_size(f, p->at);
	f->there = true;
	pending_drop(f);
}

/* Counted under the lock.  False: the power is off, and nothing happens. */
static bool step(void)
{
	if (!off && last_step > 0 && ++steps >= last_step)
		off = true;
	return !off;
}

/* ---- cutting --------------------------------------------------------------------------------------- */

static uint64_t draw(uint64_t *seed, uint64_t below)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed % below;
}

/* Of 10, how many sectors this cut keeps: all, none, or some. */
static void keep_some(struct disk_file *f, uint64_t *seed)
{
	uint64_t kept = (uint64_t[]){0, 10, 5, 9, 1}[draw(seed, 5)];

	for (const struct pending *p = f->first; p != NULL; p = p->next) {
		if (p->bytes == NULL && draw(seed, 10) < kept)
			image_size(f, p->at);
		for (int64_t i = 0; p->bytes != NULL && i < p->n; ) {
			int64_t n = SECTOR - (p->at + i) % SECTOR;

			if (n > p->n - i)
				n = p->n - i;
			if (draw(seed, 10) < kept)
				image_write(f, p->at + i, n, p->bytes + i);
			i += n;
		}
	}
	f->there = f->there || draw(seed, 2);
	pending_drop(f);
}

static void file_write(const struct disk_file *f)
{
	int fd;

	if (!f->there) {
		unlink(f->path);
		return;
	}
	fd = open(f->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	MUST(fd >= 0 && write(fd, f->image, (size_t)f->size) == f->size);
	close(fd);
}

void power_cut(uint64_t seed)
{
	char shm[310];

	seed |= 1;
	for (int i = 0; i < file_count; i++) {
		struct disk_file *f = &files[i];

		keep_some(f, &seed);
		file_write(f);
		snprintf(shm, sizeof shm, "%.300s-shm", f->path);
		unlink(shm);
	}
	power_forget();
	off = false;
	last_step = steps = 0;
}

void power_forget(void)
{
	for (int i = 0; i < file_count; i++) {
		pending_drop(&files[i]);
		free(files[i].image);
	}
	file_count = 0;
}

void power_arm(int64_t n)
{
	pthread_mutex_lock(&lock);
	last_step = n;
	steps = 0;
	pthread_mutex_unlock(&lock);
}

bool power_is_off(void)
{
	pthread_mutex_lock(&lock);
	bool is = off;
	pthread_mutex_unlock(&lock);
	return is;
}

int64_t power_steps(void)
{
	return steps;
}

/* ---- the VFS --------------------------------------------------------------------------------------- */

struct power_file { sqlite3_file base; struct disk_file *disk; sqlite3_file real[]; };

static sqlite3_vfs vfs;
static sqlite3_vfs *real_vfs;

static sqlite3_file *down(sqlite3_file *f) { return ((struct power_file *)f)->real; }
static struct disk_file *disk(sqlite3_file *f) { return ((struct power_file *)f)->disk; }

static int vf_close(sqlite3_file *f) { return down(f)->pMethods->xClose(down(f)); }
static int vf_read(sqlite3_file *f, void *p, int n, sqlite3_int64 at) { return down(f)->pMethods->xRead(down(f), p, n, at); }
static int vf_size(sqlite3_file *f, sqlite3_int64 *n) { return down(f)->pMethods->xFileSize(down(f), n); }
static int vf_lock(sqlite3_file *f, int l) { return down(f)->pMethods->xLock(down(f), l); }
static int vf_unlock(sqlite3_file *f, int l) { return down(f)->pMethods->xUnlock(down(f), l); }
static int vf_reserved(sqlite3_file *f, int *r) { return down(f)->pMethods->xCheckReservedLock(down(f), r); }
static int vf_control(sqlite3_file *f, int op, void *arg) { return down(f)->pMethods->xFileControl(down(f), op, arg); }
static int vf_sector(sqlite3_file *f) { return (void)f, SECTOR; }
static int vf_traits(sqlite3_file *f) { return (void)f, 0; }	/* no promise of whole sectors */
static int vf_map(sqlite3_file *f, int page, int size, int extend, void volatile **pp)
{
	return down(f)->pMethods->xShmMap(down(f), page, size, extend, pp);
}
static int vf_shmlock(sqlite3_file *f, int at, int n, int flags) { return down(f)->pMethods->xShmLock(down(f), at, n, flags); }
static void vf_barrier(sqlite3_file *f) { down(f)->pMethods->xShmBarrier(down(f)); }
static int vf_unmap(sqlite3_file *f, int del) { return down(f)->pMethods->xShmUnmap(down(f), del); }

static int vf_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at)
{
	int code = SQLITE_IOERR_WRITE;

	pthread_mutex_lock(&lock);
	if (disk(f) == NULL) {
		code = down(f)->pMethods->xWrite(down(f), p, n, at);
	} else if (!off) {
		pending_add(disk(f), p, n, at);		/* also the last one, which may be kept or not */
		code = step() ? down(f)->pMethods->xWrite(down(f), p, n, at) : SQLITE_IOERR_WRITE;
	}
	pthread_mutex_unlock(&lock);
	return code;
}

static int vf_truncate(sqlite3_file *f, sqlite3_int64 n)
{
	int code = SQLITE_IOERR_TRUNCATE;

	pthread_mutex_lock(&lock);
	if (disk(f) == NULL) {
		code = down(f)->pMethods->xTruncate(down(f), n);
	} else if (!off) {
		pending_add(disk(f), NULL, 0, n);
		code = step() ? down(f)->pMethods->xTruncate(down(f), n) : SQLITE_IOERR_TRUNCATE;
	}
	pthread_mutex_unlock(&lock);
	return code;
}

/* The real file needs no sync: the machine below does not fail. */
static int vf_sync(sqlite3_file *f, int flags)
{
	int code = SQLITE_IOERR_FSYNC;

	(void)flags;
	pthread_mutex_lock(&lock);
	if (!off && step()) {
		if (disk(f) != NULL && !power_lies)
			make_durable(disk(f));
		code = SQLITE_OK;
	}
	pthread_mutex_unlock(&lock);
	return code;
}

static const sqlite3_io_methods methods = {2, vf_close, vf_read, vf_write, vf_truncate, vf_sync, vf_size, vf_lock, vf_unlock,
	vf_reserved, vf_control, vf_sector, vf_traits, vf_map, vf_shmlock, vf_barrier, vf_unmap, NULL, NULL};

static int vf_open(sqlite3_vfs *v, const char *name, sqlite3_file *f, int flags, int *ret_flags)
{
	struct power_file *p = (struct power_file *)f;
	int code;

	(void)v;
	pthread_mutex_lock(&lock);
	p->disk = name != NULL ? file_of(name) : NULL;
	code = off ? SQLITE_CANTOPEN : real_vfs->xOpen(real_vfs, name, p->real, flags, ret_flags);
	p->base.pMethods = code == SQLITE_OK ? &methods : NULL;
	pthread_mutex_unlock(&lock);
	return code;
}

/* A file that is removed may come back, which only a journal or a WAL that is over could: it is not what is tested. */
static int vf_delete(sqlite3_vfs *v, const char *name, int sync)
{
	int code = SQLITE_IOERR_DELETE;

	(void)v;
	pthread_mutex_lock(&lock);
	if (!off && step()) {
		struct disk_file *f = file_of(name);

		pending_drop(f);
		image_size(f, 0);
		f->there = false;
		code = real_vfs->xDelete(real_vfs, name, sync);
	}
	pthread_mutex_unlock(&lock);
	return code;
}

void power_on(void)
{
	if (real_vfs != NULL)
		return;
	db_library();
	real_vfs = sqlite3_vfs_find(NULL);
	vfs = *real_vfs;
	vfs.zName = "power";
	vfs.pNext = NULL;
	vfs.szOsFile = (int)sizeof(struct power_file) + real_vfs->szOsFile;
	vfs.xOpen = vf_open;
	vfs.xDelete = vf_delete;
	sqlite3_vfs_register(&vfs, 0);
	db_test_vfs("power");
}
