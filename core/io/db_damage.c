/*
 * A damaged store: noticing it, remembering it, and the check that looks for it.
 *
 * From the first sign of damage on, whoever saw it (a statement, a checkpoint, the check), the store is in rescue:
 * every write is refused with RC_CORRUPT, no checkpoint touches the main file, reads go on as far as they can.  The
 * sign is kept in FOLDER/damaged.  The one thing to know: while that file stands, opening the store reads the whole of
 * it first (seconds per GB) before anything is written; only a store that is found sound, as a restored backup is,
 * leaves rescue, and the file with it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/io/db_private.h"

#define WAL_LONG 24000		/* pages: the check gives way before the writer must begin the WAL anew */
#define LINES 10		/* of what the check says go into the log */
#define WHAT_TO_DO "nothing is written or sent any more; stop the server, restore a backup, start it again"

bool db_rescue(const struct db *db)
{
	return atomic_load(&db->corrupt);
}

static void sign_path(const struct db *db, char *out, size_t n)
{
	snprintf(out, n, "%s/damaged", db->folder);
}

/* Best effort: a disk that is full as well forbids it, and the next start finds the damage by itself. */
static void sign_write(const struct db *db, const char *words)
{
	char path[4096], text[600], now[CLOCK_TEXT];
	int fd, n;

	sign_path(db, path, sizeof path);
	clock_text(clock_now(), now);
	n = snprintf(text, sizeof text, "%s: %.400s\n", now, words);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 || write(fd, text, (size_t)n) != n || fsync(fd) != 0)
		log_error("db", "%s cannot be written: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
}

void db_damaged(struct db *db, const char *words)
{
	if (atomic_exchange(&db->corrupt, true))
		return;
	log_error("db", "%s is damaged (%s): " WHAT_TO_DO, db->file, words);
	sign_write(db, words);
}

/* ---- the check ------------------------------------------------------------------------------------- */

struct check { const struct db *db; struct db_conn *c; atomic_bool *stop; bool whole; bool gave_way; };

/* A check holds one moment of the store, and the WAL grows meanwhile. */
static int cut(void *arg)
{
	struct check *k = arg;

	if (k->stop && atomic_load(k->stop))
		return 1;
	k->gave_way = !k->whole && atomic_load(&k->db->wal_pages) > WAL_LONG;
	return k->gave_way;
}

int damage_look(struct db_conn *c, bool whole, char *first, size_t size)
{
	sqlite3_stmt *s = NULL;
	int code, lines = 0;

	first[0] = '\0';
	code = sqlite3_prepare_v2(c->raw, whole ? "PRAGMA integrity_check(10)" : "PRAGMA quick_check(10)", -1, &s, NULL);
	while (code == SQLITE_OK && (code = sqlite3_step(s)) == SQLITE_ROW) {
		const char *text = (const char *)sqlite3_column_text(s, 0);
		code = SQLITE_OK;
		if (text == NULL || strcmp(text, "ok") == 0)
			continue;
		if (lines++ == 0)
			snprintf(first, size, "%s", text);
		if (lines <= LINES)
			log_error("db", "the check found: %s", text);
	}
	if (code != SQLITE_DONE && first[0] == '\0')
		snprintf(first, size, "%s", sqlite3_errmsg(c->raw));
	sqlite3_finalize(s);
	return lines > 0 ? SQLITE_CORRUPT : code == SQLITE_DONE ? SQLITE_OK : code;
}

static enum rc judge(struct cx *cx, struct db *db, struct check *k)
{
	char words[300];
	int code = damage_look(k->c, k->whole, words, sizeof words);

	if (code == SQLITE_OK)
		return RC_OK;
	if ((code & 0xff) == SQLITE_INTERRUPT)
		return fail(cx, RC_UNAVAILABLE, k->gave_way ? "the check of the store gave way to writes" : "the check of the store was stopped");
	if ((code & 0xff) == SQLITE_CORRUPT || (code & 0xff) == SQLITE_NOTADB) {
		db_damaged(db, words);
		return fail(cx, RC_CORRUPT, "%s is damaged: %s", db->file, words);
	}
	return fail(cx, conn_rc(k->c->raw, code), "the store cannot be checked: %s", words);
}

enum rc db_checkup(struct cx *cx, struct db *db, bool whole, atomic_bool *stop)
{
	struct check k = {.db = db, .stop = stop, .whole = whole, .c = calloc(1, sizeof *k.c)};
	enum rc rc;

	if (k.c == NULL)
		return fail(cx, RC_NOMEM, "no memory for a check");
	rc = conn_open(cx, db, k.c, false);
	if (rc == RC_OK) {
		k.c->own = true;		/* for its PRAGMA */
		sqlite3_progress_handler(k.c->raw, 1000, cut, &k);
		rc = judge(cx, db, &k);
		conn_close(k.c, false);
	}
	free(k.c);
	return rc;
}

/* ---- opening --------------------------------------------------------------------------------------- */

enum rc damage_open(struct cx *cx, struct db *db)
{
	char path[4096];
	struct cx own;
	enum rc rc;

	sign_path(db, path, sizeof path);
	if (access(path, F_OK) != 0)
		return RC_OK;
	log_warn("db", "%s stands: the store was found damaged; reading the whole of it before anything is written", path);
	cx_init(&own, "db");
	rc = db_checkup(&own, db, true, NULL);
	if (rc == RC_CORRUPT)
		return RC_OK;			/* in rescue */
	if (rc != RC_OK)
		return fail(cx, rc, "%s", own.words);
	if (unlink(path) != 0)
		return fail(cx, RC_IO, "cannot remove %s: %s", path, strerror(errno));
	log_info("db", "the store is sound: %s was removed", path);
	return RC_OK;
}
