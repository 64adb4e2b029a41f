/*
 * A copy of the store while writes go on, and the check of a whole file.
 *
 * The one thing to know: the copy is made on the writer's own connection, a little between two groups.  SQLite carries
 * every page over that this connection writes meanwhile, so the copy is the store of one moment (that of the
 * last turn) and no commit makes it begin anew; and no second connection reads a WAL that is being reset.
 */
#include "core/io/db_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define TURN_PAGES 256		/* 1 MiB: one to two milliseconds */
#define FLUSH_TURNS 4		/* what waits for the disk stays small, or one sync of the WAL would pay for all of it */
#define BEGIN_AGAIN_MAX 8	/* a transaction that is rolled back begins the copy anew */

struct copy {
	sqlite3 *to;
	sqlite3_backup *backup;	/* NULL: not begun, or over */
	bool begun, done;
	int left, all;		/* pages */
};

/* ---- on the writer's thread ------------------------------------------------------------------------ */

static void end(struct db *db, struct copy *k)
{
	sqlite3_backup_finish(k->backup);
	k->backup = NULL;
	db->copy = NULL;
}

void copy_cut(struct db *db)
{
	if (db->copy)
		end(db, db->copy);
}

static enum rc begin(struct cx *cx, struct db *db, struct copy *k)
{
	if (db->copy)
		return fail(cx, RC_CONFLICT, "the store is being copied already");
	k->begun = true;
	k->backup = sqlite3_backup_init(k->to, "main", db->writer.raw, "main");
	if (k->backup == NULL)
		return fail(cx, RC_IO, "cannot begin to copy the store: %s", sqlite3_errmsg(k->to));
	db->copy = k;
	return RC_OK;
}

/* SQLite tells a full disk only where a write says ENOSPC. */
static enum rc target_rc(const struct copy *k, int code)
{
	int e = 0;

	sqlite3_file_control(k->to, "main", SQLITE_FCNTL_LAST_ERRNO, &e);
	return (code & 0xff) == SQLITE_IOERR && (e == EDQUOT || e == EFBIG || e == ENOSPC) ? RC_FULL : conn_rc(k->to, code);
}

static enum rc turn(struct cx *cx, struct db *db, void *arg)
{
	struct copy *k = arg;
	int code;

	if (writer_ready(cx, db) != RC_OK || (!k->begun && begin(cx, db, k) != RC_OK))
		return cx->rc;
	if (k->backup == NULL)
		return fail(cx, RC_IO, "the disk failed while the store was copied");
	code = sqlite3_backup_step(k->backup, TURN_PAGES);
	k->left = sqlite3_backup_remaining(k->backup);
	k->all = sqlite3_backup_pagecount(k->backup);
	if (code == SQLITE_OK || code == SQLITE_BUSY || code == SQLITE_LOCKED)
		return RC_OK;
	enum rc rc = code == SQLITE_DONE ? RC_OK : target_rc(k, code);
	if (rc != RC_OK)
		fail(cx, rc, "cannot copy the store: %s (%d)", sqlite3_errstr(code), code);
	end(db, k);
	k->done = true;
	return rc;
}

static enum rc give_up(struct cx *cx, struct db *db, void *arg)
{
	(void)cx, (void)arg;
	copy_cut(db);
	return RC_OK;
}

/* ---- on the caller's ------------------------------------------------------------------------------- */

static enum rc open_target(struct cx *cx, const char *path, struct copy *k, int *ret_fd)
{
	*ret_fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (*ret_fd < 0)
		return fail(cx, RC_IO, "cannot make %s: %s", path, strerror(errno));
	if (sqlite3_open_v2(path, &k->to, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, db_vfs()) != SQLITE_OK ||
	    sqlite3_exec(k->to, "PRAGMA synchronous=OFF", NULL, NULL, NULL) != SQLITE_OK ||
	    sqlite3_exec(k->to, "PRAGMA journal_mode=OFF", NULL, NULL, NULL) != SQLITE_OK)
		return fail(cx, RC_IO, "cannot open %s: %s", path, k->to ? sqlite3_errmsg(k->to) : "no memory");
	return RC_OK;
}

/* A whole rollback begins the copy anew, which a disk that keeps failing could do for ever. */
static bool endless(const struct copy *k, int64_t turns)
{
	return turns > BEGIN_AGAIN_MAX * (int64_t)(k->all / TURN_PAGES + 64);
}

/* The disk is the writer's as long as it was ours. */
static enum rc flush(struct cx *cx, int fd)
{
	int64_t begun = db_tick();

	if (fdatasync(fd) != 0)
		return fail(cx, errno == ENOSPC || errno == EDQUOT ? RC_FULL : RC_IO, "cannot copy the store: %s", strerror(errno));
	usleep((useconds_t)(db_tick() - begun) * 1000);
	return RC_OK;
}

static enum rc turns(struct cx *cx, struct db *db, struct copy *k, int fd, db_copy_fn *told, void *arg)
{
	enum rc rc = RC_OK;

	for (int64_t n = 1; rc == RC_OK && !k->done; n++) {
		rc = writer_turn(cx, db, turn, k);
		if (rc == RC_OK && n % FLUSH_TURNS == 0)
			rc = flush(cx, fd);
		if (rc == RC_OK && told && !told(arg, (int64_t)(k->all - k->left) * 4096, (int64_t)k->all * 4096))
			rc = fail(cx, RC_UNAVAILABLE, "the copy was ended before it was whole");
		if (rc == RC_OK && !k->done && endless(k, n))
			rc = fail(cx, RC_UNAVAILABLE, "the store does not stand still long enough to be copied: writes fail again and again");
	}
	return rc;
}

enum rc db_copy(struct cx *cx, struct db *db, const char *path, db_copy_fn *told, void *arg)
{
	struct copy k = {.to = NULL};
	int fd = -1;
	enum rc rc = open_target(cx, path, &k, &fd);

	if (rc == RC_OK)
		rc = turns(cx, db, &k, fd, told, arg);
	if (rc != RC_OK && k.begun && !k.done) {
		struct cx quiet;
		cx_init(&quiet, "db");
		(void)writer_turn(&quiet, db, give_up, NULL);
	}
	if (sqlite3_close(k.to) != SQLITE_OK && rc == RC_OK)
		rc = fail(cx, RC_IO, "cannot close %s", path);
	if (fd >= 0)
		close(fd);
	return rc;
}

/* ---- checking -------------------------------------------------------------------------------------- */

static enum rc check(struct cx *cx, struct db *db, void *arg)
{
	struct db_conn *c = &db->writer;
	const bool *quick = arg;
	char words[300];
	int code;

	c->own = true;
	code = damage_look(c, !*quick, words, sizeof words);
	c->own = false;
	if (code == SQLITE_OK)
		return RC_OK;
	return fail(cx, conn_rc(c->raw, code), (code & 0xff) == SQLITE_CORRUPT || (code & 0xff) == SQLITE_NOTADB
		    ? "%s is damaged: %s" : "%s cannot be checked: %s", db->file, words);
}

enum rc db_check(struct cx *cx, struct db *db, bool quick)
{
	return writer_turn(cx, db, check, &quick);
}
