/*
 * SQLite's unix VFS behind a shim that counts syncs of the WAL and fails writes and syncs on demand.
 *
 * The one thing to know: the shim puts its own file header before the real file, and hands everything down
 * but xWrite and xSync; shared memory goes straight to the real file.
 */
#ifndef MPS_TESTS_SHIM_H
#define MPS_TESTS_SHIM_H

#include <errno.h>
#include <sqlite3.h>
#include <stdatomic.h>

#include "core/io/db_private.h"

struct shim_file { sqlite3_file base; const sqlite3_io_methods *real_methods; int wal; sqlite3_file real[]; };

static atomic_int shim_syncs;		/* of the WAL */
static atomic_int shim_fail_sync;	/* 1: every sync fails; 2: the WAL's only */
static atomic_int shim_fail_at;		/* this sync of the WAL alone fails, counted from 1; 0: none */
static atomic_long shim_room = -1;	/* files may not grow beyond this many bytes; -1: they may */
static sqlite3_vfs shim_vfs;
static sqlite3_vfs *shim_real;

static sqlite3_file *shim_down(sqlite3_file *f) { return ((struct shim_file *)f)->real; }

static int shim_close(sqlite3_file *f) { return shim_down(f)->pMethods->xClose(shim_down(f)); }
static int shim_read(sqlite3_file *f, void *p, int n, sqlite3_int64 at) { return shim_down(f)->pMethods->xRead(shim_down(f), p, n, at); }
static int shim_truncate(sqlite3_file *f, sqlite3_int64 n) { return shim_down(f)->pMethods->xTruncate(shim_down(f), n); }
static int shim_size(sqlite3_file *f, sqlite3_int64 *n) { return shim_down(f)->pMethods->xFileSize(shim_down(f), n); }
static int shim_lock(sqlite3_file *f, int l) { return shim_down(f)->pMethods->xLock(shim_down(f), l); }
static int shim_unlock(sqlite3_file *f, int l) { return shim_down(f)->pMethods->xUnlock(shim_down(f), l); }
static int shim_reserved(sqlite3_file *f, int *r) { return shim_down(f)->pMethods->xCheckReservedLock(shim_down(f), r); }
static int shim_control(sqlite3_file *f, int op, void *arg) { return shim_down(f)->pMethods->xFileControl(shim_down(f), op, arg); }
static int shim_sector(sqlite3_file *f) { return shim_down(f)->pMethods->xSectorSize(shim_down(f)); }
static int shim_traits(sqlite3_file *f) { return shim_down(f)->pMethods->xDeviceCharacteristics(shim_down(f)); }
static int shim_map(sqlite3_file *f, int page, int size, int extend, void volatile **pp)
{
	return shim_down(f)->pMethods->xShmMap(shim_down(f), page, size, extend, pp);
}
static int shim_shmlock(sqlite3_file *f, int at, int n, int flags) { return shim_down(f)->pMethods->xShmLock(shim_down(f), at, n, flags); }
static void shim_barrier(sqlite3_file *f) { shim_down(f)->pMethods->xShmBarrier(shim_down(f)); }
static int shim_unmap(sqlite3_file *f, int del) { return shim_down(f)->pMethods->xShmUnmap(shim_down(f), del); }

static int shim_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at)
{
	sqlite3_int64 size = 0;
	long room = atomic_load(&shim_room);
	if (room >= 0 && shim_size(f, &size) == SQLITE_OK && at + n > size && at + n > room)
		return SQLITE_FULL;
	return shim_down(f)->pMethods->xWrite(shim_down(f), p, n, at);
}

static int shim_sync(sqlite3_file *f, int flags)
{
	int wal = ((struct shim_file *)f)->wal, fails = atomic_load(&shim_fail_sync);
	int at = wal ? atomic_fetch_add(&shim_syncs, 1) + 1 : 0;
	if (fails == 1 || (fails == 2 && wal) || (at > 0 && at == atomic_load(&shim_fail_at))) {
		errno = EIO;
		return SQLITE_IOERR_FSYNC;
	}
	return shim_down(f)->pMethods->xSync(shim_down(f), flags);
}

static const sqlite3_io_methods shim_methods = {2, shim_close, shim_read, shim_write, shim_truncate, shim_sync, shim_size,
	shim_lock, shim_unlock, shim_reserved, shim_control, shim_sector, shim_traits, shim_map, shim_shmlock, shim_barrier,
	shim_unmap, NULL, NULL};

static int shim_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *f, int flags, int *ret_flags)
{
	struct shim_file *s = (struct shim_file *)f;
	(void)vfs;
	int rc = shim_real->xOpen(shim_real, name, s->real, flags, ret_flags);
	s->wal = (flags & SQLITE_OPEN_WAL) != 0;
	s->base.pMethods = rc == SQLITE_OK ? &shim_methods : NULL;
	return rc;
}

static void shim_register(void)
{
	if (shim_real)
		return;
	db_library();	/* before SQLite starts by itself: its log comes into ours */
	shim_real = sqlite3_vfs_find(NULL);
	shim_vfs = *shim_real;
	shim_vfs.zName = "shim";
	shim_vfs.pNext = NULL;
	shim_vfs.szOsFile = (int)sizeof(struct shim_file) + shim_real->szOsFile;
	shim_vfs.xOpen = shim_open;
	sqlite3_vfs_register(&shim_vfs, 0);
	db_test_vfs("shim");
}

#endif
