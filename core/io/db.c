/*
 * The store's folder: its lock, opening and closing, the pool of readers.
 *
 * The one thing to know: SQLite before 3.51.3 can corrupt a file when two connections write or checkpoint at
 * the same moment.  Ours is such a version, so three locks stand before it: flock on FOLDER/lock keeps a
 * second process out, one writer thread owns the only connection that writes and checkpoints, and readers are
 * query_only, never checkpoint (not even when closed) and may not prepare a statement that writes.
 */
#include "core/io/db.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/io/db_private.h"

#define SQLITE_LEAST 3037000	/* STRICT tables, RETURNING */

static const char *test_vfs;

void db_test_vfs(const char *name)
{
	test_vfs = name;
}

const char *db_vfs(void)
{
	return test_vfs;
}

int64_t db_tick(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- the library ----------------------------------------------------------------------------------- */

/* Refusals that are somebody's answer (a constraint, a cut read, a schema that changed) are no news. */
static void library_log(void *arg, int code, const char *words)
{
	(void)arg;
	switch (code & 0xff) {
	case SQLITE_CONSTRAINT:
	case SQLITE_SCHEMA:
	case SQLITE_INTERRUPT:
		log_debug("sqlite", "%s (%d)", words, code);
		break;
	case SQLITE_NOTICE:
		log_info("sqlite", "%s (%d)", words, code);
		break;
	default:
		log_warn("sqlite", "%s (%d)", words, code);
	}
}

static void library_start(void)
{
	sqlite3_config(SQLITE_CONFIG_LOG, library_log, NULL);
	sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);	/* its mutex would be shared by all connections */
	sqlite3_initialize();
}

void db_library(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	pthread_once(&once, library_start);
}

/* ---- the folder ------------------------------------------------------------------------------------ */

static char *join(const char *folder, const char *name)
{
	char *path;
	if (asprintf(&path, "%s/%s", folder, name) < 0)
		out_of_memory(__func__);
	return path;
}

static enum rc folder_make(struct cx *cx, const char *folder)
{
	struct stat st;

	if (mkdir(folder, 0700) != 0 && errno != EEXIST)
		return fail(cx, RC_IO, "cannot make the folder %s: %s", folder, strerror(errno));
	if (stat(folder, &st) != 0 || !S_ISDIR(st.st_mode))
		return fail(cx, RC_INVALID, "%s is not a folder", folder);
	if (st.st_mode & 077)
		log_warn("db", "the folder %s is open to others (mode %04o): chmod 700 it", folder, (unsigned)st.st_mode & 07777);
	return RC_OK;
}

static enum rc lock_refused(struct cx *cx, const char *path, int fd, int error)
{
	char pid[16] = "";
	ssize_t n = pread(fd, pid, sizeof pid - 1, 0);

	pid[n > 0 ? strspn(pid, "0123456789") : 0] = '\0';
	if (error != EWOULDBLOCK)
		return fail(cx, RC_IO, "cannot lock %s: %s", path, strerror(error));
	return fail(cx, RC_CONFLICT, "the store is in use by process %s, which holds %s: stop it first", pid[0] ? pid : "(unknown)", path);
}

static enum rc lock_take(struct cx *cx, const char *folder, int *ret)
{
	char *path = join(folder, "lock"), pid[16];
	int n = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0) {
		enum rc rc = fail(cx, RC_IO, "cannot open the lock %s: %s", path, strerror(errno));
		free(path);
		return rc;
	}
	*ret = fd;
	if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		enum rc rc = lock_refused(cx, path, fd, errno);
		free(path);
		return rc;
	}
	free(path);
	if (ftruncate(fd, 0) != 0 || pwrite(fd, pid, (size_t)n, 0) != n)	/* only words for the next one: a full disk may forbid it */
		log_warn("db", "cannot write the pid into the lock of %s: %s", folder, strerror(errno));
	return RC_OK;
}

enum rc db_lock(struct cx *cx, const char *folder, int *ret_fd)
{
	enum rc rc = folder_make(cx, folder);

	return rc == RC_OK ? lock_take(cx, folder, ret_fd) : rc;
}

/* Made by us, so that it and what SQLite puts beside it (same mode) is never open to others.  Locked as well: under
 * another name (a hard link), or after somebody removed FOLDER/lock, it is still one file, and two of us with a WAL
 * each would ruin it.  Its descriptor stays open till the end, because closing it drops SQLite's own locks. */
static enum rc file_make(struct cx *cx, struct db *db)
{
	int folder, e = 0;
	struct stat st;

	db->file_lock = open(db->file, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (db->file_lock < 0)
		return fail(cx, RC_IO, "cannot open %s: %s", db->file, strerror(errno));
	if (flock(db->file_lock, LOCK_EX | LOCK_NB) != 0)
		return errno == EWOULDBLOCK ? fail(cx, RC_CONFLICT, "the store %s is in use by another process: stop it first", db->file)
			: fail(cx, RC_IO, "cannot lock %s: %s", db->file, strerror(errno));
	if (fstat(db->file_lock, &st) != 0 || !S_ISREG(st.st_mode))
		e = EINVAL;
	else if ((st.st_mode & 077) && fchmod(db->file_lock, 0600) != 0)
		e = errno;
	folder = open(db->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (e == 0 && (folder < 0 || fsync(folder) != 0))
		e = errno;
	if (folder >= 0)
		close(folder);
	return e ? fail(cx, RC_IO, "cannot prepare %s: %s", db->file, strerror(e)) : RC_OK;
}

/* SQLite takes an empty main file for a new store and throws the WAL away: what was accepted would be gone in silence. */
static enum rc file_check(struct cx *cx, const struct db *db)
{
	char *wal;
	struct stat main, st;
	bool lost;

	if (asprintf(&wal, "%s-wal", db->file) < 0)
		abort();
	lost = fstat(db->file_lock, &main) == 0 && main.st_size == 0 && stat(wal, &st) == 0 && st.st_size > 0;
	free(wal);
	return lost ? fail(cx, RC_CORRUPT, "%s is empty or was missing, although its -wal file is not: restore a backup", db->file) : RC_OK;
}

/* ---- opening and closing --------------------------------------------------------------------------- */

static struct db *blank(const struct db_config *config)
{
	struct db *db = calloc(1, sizeof *db);
	pthread_condattr_t attr;

	if (db == NULL)
		out_of_memory(__func__);
	db->lock = db->file_lock = -1;
	db->folder = strdup(config->folder);
	db->file = join(config->folder, "mypostshare.db");
	db->readers = config->readers > 0 ? config->readers : DB_READERS;
	db->reader = calloc((size_t)db->readers, sizeof *db->reader);
	db->pool = calloc((size_t)db->readers, sizeof *db->pool);
	if (db->folder == NULL || db->reader == NULL || db->pool == NULL)
		out_of_memory(__func__);
	pthread_mutex_init(&db->mutex, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&db->work, &attr);
	pthread_cond_init(&db->given, &attr);
	pthread_cond_init(&db->free, NULL);
	pthread_condattr_destroy(&attr);
	return db;
}

static enum rc connect_all(struct cx *cx, struct db *db)
{
	enum rc rc = conn_open(cx, db, &db->writer, true);	/* first: it recovers the WAL */

	for (int i = 0; i < db->readers && rc == RC_OK; i++) {
		rc = conn_open(cx, db, &db->reader[i], false);
		if (rc == RC_OK)
			db->pool[db->idle++] = &db->reader[i];
	}
	return rc == RC_OK ? writer_start(cx, db) : rc;
}

enum rc db_open(struct cx *cx, const struct db_config *config, struct db **ret)
{
	struct db *db;
	enum rc rc;

	db_library();
	if (sqlite3_libversion_number() < SQLITE_LEAST || !sqlite3_threadsafe())
		return fail(cx, RC_BUG, "SQLite %s is too old or without threads", sqlite3_libversion());
	if ((rc = folder_make(cx, config->folder)) != RC_OK)
		return rc;
	db = blank(config);
	rc = lock_take(cx, db->folder, &db->lock);
	if (rc == RC_OK)
		rc = file_make(cx, db);
	if (rc == RC_OK)
		rc = file_check(cx, db);
	if (rc == RC_OK)
		rc = connect_all(cx, db);
	if (rc == RC_OK)
		rc = damage_open(cx, db);
	if (rc != RC_OK)
		db_abandon(db);
	else
		*ret = db;
	return rc;
}

/* The writer's connection is the last one, so that only it can checkpoint. */
static void take_down(struct db *db, bool checkpoint)
{
	int opened = db->idle;

	if (db->started)
		opened = db->readers;
	writer_stop(db);
	pthread_mutex_lock(&db->mutex);
	while (db->idle < opened)
		pthread_cond_wait(&db->free, &db->mutex);
	pthread_mutex_unlock(&db->mutex);
	for (int i = 0; i < db->readers; i++)
		conn_close(&db->reader[i], false);
	conn_close(&db->writer, checkpoint && !db_rescue(db));
	if (db->file_lock >= 0)
		close(db->file_lock);
	if (db->lock >= 0)
		close(db->lock);	/* the last thing: now the next process may come */
	pthread_cond_destroy(&db->free);
	pthread_cond_destroy(&db->work);
	pthread_cond_destroy(&db->given);
	pthread_mutex_destroy(&db->mutex);
	free(db->pool);
	free(db->reader);
	free(db->file);
	free(db->folder);
	free(db);
}

void db_close(struct db *db)
{
	if (db)
		take_down(db, true);
}

void db_abandon(struct db *db)
{
	if (db)
		take_down(db, false);
}

const char *db_file(const struct db *db)
{
	return db->file;
}

/* ---- the pool of readers --------------------------------------------------------------------------- */

struct db_conn *db_take(struct db *db)
{
	struct db_conn *c;

	pthread_mutex_lock(&db->mutex);
	while (db->idle == 0 || db->held)
		pthread_cond_wait(&db->free, &db->mutex);
	c = db->pool[--db->idle];	/* the last given: its pages are the warmest */
	pthread_mutex_unlock(&db->mutex);
	assert(!c->taken && !c->writer);
	c->taken = true;
	c->deadline = db_tick() + DB_READ_MS;
	return c;
}

/* A holder that computes instead of reading cannot be cut, so at least it is named. */
static void complain_if_late(const struct db_conn *c)
{
	int64_t late = db_tick() - c->deadline;
	if (late > 0)
		log_warn("db", "a reader was held for %lld ms: the WAL grows meanwhile", (long long)(late + DB_READ_MS));
}

void db_give(struct db_conn *c)
{
	struct db *db;

	if (c == NULL)
		return;
	assert(c->taken);
	db = c->db;
	conn_clear(c);
	if (conn_open_transaction(c) && conn_own(c, OWN_COMMIT) != SQLITE_OK)
		conn_own(c, OWN_ROLLBACK);
	complain_if_late(c);
	conn_clear(c);
	c->deadline = 0;
	c->taken = false;
	pthread_mutex_lock(&db->mutex);
	db->pool[db->idle++] = c;
	pthread_cond_signal(db->held ? &db->given : &db->free);
	pthread_mutex_unlock(&db->mutex);
}

void db_readers_hold(struct db *db)
{
	int64_t until = db_tick() + DB_READ_MS * 3 / 2;
	struct timespec at = {until / 1000, until % 1000 * 1000000};

	pthread_mutex_lock(&db->mutex);
	db->held = true;
	while (db->idle < db->readers && pthread_cond_timedwait(&db->given, &db->mutex, &at) == 0)
		;
	pthread_mutex_unlock(&db->mutex);
}

void db_readers_release(struct db *db)
{
	pthread_mutex_lock(&db->mutex);
	db->held = false;
	pthread_cond_broadcast(&db->free);
	pthread_mutex_unlock(&db->mutex);
}

void db_give_auto(struct db_conn **c)
{
	db_give(*c);
}

/* SQLite compares a reader's schema with the file's when a statement runs, not when it is prepared: a statement on
 * what the reader does not know yet is reported as a fault before it is prepared again and works. */
void db_readers_refresh(struct db *db)
{
	struct db_conn **all = calloc((size_t)db->readers, sizeof *all);

	if (all == NULL)
		out_of_memory(__func__);
	for (int i = 0; i < db->readers; i++) {
		all[i] = db_take(db);
		(void)db_number(all[i], 0, "SELECT COUNT(*) FROM sqlite_schema", "");
	}
	for (int i = 0; i < db->readers; i++)
		db_give(all[i]);
	free(all);
}
