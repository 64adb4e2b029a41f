/*
 * A store in a folder of its own for the tests of the store, with one table, and SQLite's unix VFS behind a
 * shim that counts syncs of the WAL and fails writes and syncs on demand.
 *
 * The one thing to know: the shim puts its own file header before the real file, and hands everything down
 * but xWrite and xSync; shared memory goes straight to the real file.
 */
#ifndef MPS_TESTS_UNIT_DB_STORE_H
#define MPS_TESTS_UNIT_DB_STORE_H

#include <errno.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/io/db.h"
#include "core/io/migrate.h"
#include "tests/unit/test.h"

#define UNUSED __attribute__((unused))
#define CHECK_SOFT(cond) do { if (!(cond)) { fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond); abort(); } } while (0)

/* ---- the shim -------------------------------------------------------------------------------------- */

struct shim_file { sqlite3_file base; const sqlite3_io_methods *real_methods; int wal; sqlite3_file real[]; };

static atomic_int shim_syncs;		/* of the WAL */
static atomic_int shim_fail_sync;	/* 1: every sync fails; 2: the WAL's only */
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
	if (wal)
		atomic_fetch_add(&shim_syncs, 1);
	if (fails == 1 || (fails == 2 && wal)) {
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
	shim_real = sqlite3_vfs_find(NULL);
	shim_vfs = *shim_real;
	shim_vfs.zName = "shim";
	shim_vfs.pNext = NULL;
	shim_vfs.szOsFile = (int)sizeof(struct shim_file) + shim_real->szOsFile;
	shim_vfs.xOpen = shim_open;
	sqlite3_vfs_register(&shim_vfs, 0);
	db_test_vfs("shim");
}

UNUSED static int store_commits(void) { return atomic_load(&shim_syncs); }

/* ---- the store ------------------------------------------------------------------------------------- */

struct store { struct cx cx; struct db *db; char folder[64]; };

static const struct embed store_files[] = {
	{"db/0001_item.sql", (const unsigned char *)"CREATE TABLE item (id INTEGER PRIMARY KEY, text TEXT NOT NULL);", 63},
	{NULL, NULL, 0}
};

static void store_again(struct store *st)
{
	int applied;
	shim_register();
	cx_init(&st->cx, "test");
	CHECK_SAY(db_open(&st->cx, &(struct db_config){.folder = st->folder}, &st->db) == RC_OK, "open: %s", st->cx.words);
	CHECK_SAY(migrate_files(&st->cx, st->db, store_files, &applied) == RC_OK, "migrate: %s", st->cx.words);
}

UNUSED static void store_open(struct store *st)
{
	snprintf(st->folder, sizeof st->folder, "/tmp/mps-db-XXXXXX");
	CHECK(mkdtemp(st->folder) != NULL);
	store_again(st);
}

static void store_remove(const char *folder)
{
	static const char *const names[] = {"mypostshare.db", "mypostshare.db-wal", "mypostshare.db-shm", "lock"};
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		char path[200];
		snprintf(path, sizeof path, "%s/%s", folder, names[i]);
		unlink(path);
	}
	rmdir(folder);
}

UNUSED static void store_shut(struct store *st) { db_close(st->db); }
UNUSED static void store_close(struct store *st) { db_close(st->db); store_remove(st->folder); }

struct store_row { int64_t id; const char *text; };

static enum rc store_insert(struct cx *cx, struct db_conn *c, void *arg)
{
	const struct store_row *row = arg;
	db_run(c, "INSERT INTO item (id, text) VALUES (?1, ?2)", "is", row->id, row->text);
	return db_fail(cx, c);
}

UNUSED static enum rc store_try(struct store *st, int64_t id)
{
	struct cx cx;
	struct store_row row = {id, "x"};
	cx_init(&cx, "test");
	return db_write(&cx, st->db, store_insert, &row);
}

UNUSED static void store_add(struct store *st, int64_t id) { CHECK_INT(store_try(st, id), RC_OK); }

UNUSED static int64_t store_count(struct db_conn *c) { return db_number(c, -1, "SELECT count(*) FROM item", ""); }

UNUSED static int64_t store_rows(struct store *st)
{
	struct db_conn *c = db_take(st->db);
	int64_t n = store_count(c);
	db_give(c);
	return n;
}

UNUSED static bool store_has(struct store *st, int64_t id)
{
	struct db_conn *c = db_take(st->db);
	bool has = db_number(c, 0, "SELECT count(*) FROM item WHERE id = ?1", "i", id) == 1;
	db_give(c);
	return has;
}

static enum rc store_sql(struct cx *cx, struct db_conn *c, void *arg)
{
	db_run(c, arg, "");
	return db_fail(cx, c);
}

/* A literal that writes. */
UNUSED static void store_say(struct store *st, const char *sql)
{
	CHECK_SAY(db_write(&st->cx, st->db, store_sql, (void *)(uintptr_t)sql) == RC_OK, "%s", st->cx.words);
}

/* Whether a text stands in the files.  Another process looks: closing the file in this one drops SQLite's locks. */
UNUSED static bool store_holds(struct store *st, const char *text)
{
	char command[300];
	snprintf(command, sizeof command, "grep -aq '%s' %s/*", text, st->folder);
	return system(command) == 0;
}

/* What SQLite's own check says.  Only while the store is shut: see db_file. */
UNUSED static bool store_sound(struct store *st)
{
	sqlite3 *raw = NULL;
	sqlite3_stmt *s = NULL;
	char path[200];
	bool sound = false;

	snprintf(path, sizeof path, "%s/mypostshare.db", st->folder);
	if (sqlite3_open_v2(path, &raw, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK
			&& sqlite3_prepare_v2(raw, "PRAGMA integrity_check", -1, &s, NULL) == SQLITE_OK && sqlite3_step(s) == SQLITE_ROW)
		sound = strcmp((const char *)sqlite3_column_text(s, 0), "ok") == 0;
	sqlite3_finalize(s);
	sqlite3_close(raw);
	return sound;
}

#endif
