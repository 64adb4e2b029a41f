/*
 * One connection to the store.
 *
 * Every setting that safety rests on is read back after it was set: a misspelt or ignored PRAGMA says
 * nothing.  The one thing to know: the authorizer refuses BEGIN, COMMIT, SAVEPOINT, PRAGMA and ATTACH to
 * everybody, so no closure can end the group it runs in; our own statements pass by the flag `own`, which the
 * authorizer reads (installing it anew would prepare every cached statement again).
 */
#include "core/io/db_private.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/base/log.h"

#define BUSY_MS 1500			/* a little over the longest read */
#define WAL_LIMIT "134217728"		/* 128 MiB: 32,000 pages, where the writer restarts the WAL */

static const char *const own_sql[OWN_COUNT] = {
	[OWN_BEGIN_READ] = "BEGIN",
	[OWN_BEGIN] = "BEGIN IMMEDIATE",
	[OWN_COMMIT] = "COMMIT",
	[OWN_ROLLBACK] = "ROLLBACK",
	[OWN_SAVEPOINT] = "SAVEPOINT member",
	[OWN_RELEASE] = "RELEASE member",
	[OWN_ROLLBACK_TO] = "ROLLBACK TO member",
	[OWN_PROBE] = "PRAGMA user_version = 1",
};

/* ---- errors ---------------------------------------------------------------------------------------- */

static const struct { int code; enum rc rc; } names[] = {
	{SQLITE_OK, RC_OK},
	{SQLITE_FULL, RC_FULL},
	{SQLITE_CONSTRAINT, RC_CONFLICT},
	{SQLITE_IOERR, RC_IO},
	{SQLITE_CANTOPEN, RC_IO},
	{SQLITE_READONLY, RC_IO},
	{SQLITE_PERM, RC_IO},
	{SQLITE_CORRUPT, RC_CORRUPT},
	{SQLITE_NOTADB, RC_CORRUPT},
	{SQLITE_NOMEM, RC_NOMEM},
	{SQLITE_BUSY, RC_UNAVAILABLE},
	{SQLITE_LOCKED, RC_UNAVAILABLE},
	{SQLITE_INTERRUPT, RC_TIMEOUT},
	{SQLITE_TOOBIG, RC_TOO_LARGE},
};

enum rc conn_rc(sqlite3 *raw, int code)
{
	if ((code & 0xff) == SQLITE_IOERR && raw) {	/* only ENOSPC of a write() is SQLITE_FULL by itself */
		int e = sqlite3_system_errno(raw);
		if (e == ENOSPC || e == EDQUOT || e == EFBIG)
			return RC_FULL;
	}
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (names[i].code == (code & 0xff))
			return names[i].rc;
	return RC_BUG;
}

/* Of this thread's readers, for those who took an answer of no rows for the truth. */
static _Thread_local enum rc read_fault;

enum rc db_read_fault(void)
{
	enum rc rc = read_fault;

	read_fault = RC_OK;
	return rc;
}

void conn_set(struct db_conn *c, enum rc rc, const char *fmt, ...)
{
	if (!c->writer && read_fault == RC_OK)
		read_fault = rc;
	va_list ap;

	if (c->rc != RC_OK)	/* the first one is the cause */
		return;
	c->rc = rc;
	va_start(ap, fmt);
	vsnprintf(c->words, sizeof c->words, fmt, ap);
	va_end(ap);
}

void conn_note(struct db_conn *c, int code)
{
	if (c->rc != RC_OK)
		return;
	c->code = code;
	if ((code & 0xff) == SQLITE_CORRUPT || (code & 0xff) == SQLITE_NOTADB)
		db_damaged(c->db, c->raw ? sqlite3_errmsg(c->raw) : sqlite3_errstr(code));
	if ((code & 0xff) == SQLITE_INTERRUPT)
		conn_set(c, RC_TIMEOUT, "the read took longer than %d ms and was cut", DB_READ_MS);
	else
		conn_set(c, conn_rc(c->raw, code), "the store says: %s (%d)", c->raw ? sqlite3_errmsg(c->raw) : sqlite3_errstr(code), code);
}

void conn_clear(struct db_conn *c)
{
	stmt_end_all(c);
	c->rc = RC_OK;
	c->code = SQLITE_OK;
	c->words[0] = '\0';
}

enum rc db_rc(const struct db_conn *c)
{
	return c->rc;
}

const char *db_words(const struct db_conn *c)
{
	return c->words;
}

const char *conn_code(enum rc rc)
{
	return rc == RC_FULL ? "storage_full" : rc == RC_CORRUPT ? "storage_damaged" : NULL;
}

enum rc db_fail(struct cx *cx, const struct db_conn *c)
{
	if (c->rc == RC_OK)
		return RC_OK;
	return fail_code(cx, c->rc, conn_code(c->rc), NULL, "%s", c->words);
}

/* ---- opening --------------------------------------------------------------------------------------- */

static int authorize(void *arg, int action, const char *a, const char *b, const char *database, const char *trigger)
{
	const struct db_conn *c = arg;

	(void)a, (void)b, (void)database, (void)trigger;
	switch (action) {
	case SQLITE_TRANSACTION:
	case SQLITE_SAVEPOINT:
	case SQLITE_PRAGMA:
	case SQLITE_ATTACH:
	case SQLITE_DETACH:
		return c->own ? SQLITE_OK : SQLITE_DENY;
	default:
		return SQLITE_OK;
	}
}

static int past_deadline(void *arg)
{
	const struct db_conn *c = arg;
	return c->deadline && db_tick() > c->deadline;
}

static int committed(void *arg, sqlite3 *raw, const char *database, int pages)
{
	struct db_conn *c = arg;

	(void)raw, (void)database;
	if (pages < c->wal_pages)	/* the WAL began anew */
		c->wal_done = 0;
	c->wal_pages = pages;
	atomic_store(&c->db->wal_pages, pages);
	return SQLITE_OK;
}

/* The value a PRAGMA has: an integer, or 1 if its text is `want`. */
static int pragma(struct db_conn *c, const char *sql, const char *want)
{
	sqlite3_stmt *s = NULL;
	int value = -1;

	if (sqlite3_prepare_v2(c->raw, sql, -1, &s, NULL) == SQLITE_OK && sqlite3_step(s) == SQLITE_ROW) {
		const char *text = (const char *)sqlite3_column_text(s, 0);
		value = want ? text && strcmp(text, want) == 0 : sqlite3_column_int(s, 0);
	}
	sqlite3_finalize(s);
	return value;
}

enum { FOR_WRITER = 1, FOR_READER = 2, FOR_BOTH = 3 };
static const struct { int who; const char *set, *get; int want; } settings[] = {
	{FOR_BOTH, "PRAGMA secure_delete=ON", "PRAGMA secure_delete", 1},
	{FOR_BOTH, "PRAGMA synchronous=FULL", "PRAGMA synchronous", 2},	/* NORMAL may lose an intent: a double post */
	{FOR_BOTH, "PRAGMA foreign_keys=ON", "PRAGMA foreign_keys", 1},
	{FOR_BOTH, "PRAGMA mmap_size=0", NULL, 0},
	{FOR_BOTH, "PRAGMA temp_store=MEMORY", "PRAGMA temp_store", 2},
	{FOR_BOTH, "PRAGMA cell_size_check=ON", "PRAGMA cell_size_check", 1},
	{FOR_BOTH, "PRAGMA trusted_schema=OFF", "PRAGMA trusted_schema", 0},
	{FOR_BOTH, "PRAGMA wal_autocheckpoint=0", "PRAGMA wal_autocheckpoint", 0},
	{FOR_BOTH, "PRAGMA journal_size_limit=" WAL_LIMIT, NULL, 0},
	{FOR_WRITER, "PRAGMA cache_size=-16000", NULL, 0},		/* a group of 64 should not spill */
	{FOR_READER, "PRAGMA query_only=ON", "PRAGMA query_only", 1},
};

static bool configure(struct db_conn *c)
{
	static const struct { int op, on; } config[] = {
		{SQLITE_DBCONFIG_ENABLE_FKEY, 1}, {SQLITE_DBCONFIG_DEFENSIVE, 1}, {SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0},
		{SQLITE_DBCONFIG_DQS_DDL, 0}, {SQLITE_DBCONFIG_DQS_DML, 0}, {SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0},
		{SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER, 0}, {SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1},
	};
	int who = c->writer ? FOR_WRITER : FOR_READER, is;

	for (size_t i = 0; i < sizeof config / sizeof *config; i++)
		if (sqlite3_db_config(c->raw, config[i].op, config[i].on, &is) != SQLITE_OK || is != config[i].on)
			return false;
	sqlite3_limit(c->raw, SQLITE_LIMIT_ATTACHED, 0);
	if (pragma(c, c->writer ? "PRAGMA journal_mode=WAL" : "PRAGMA journal_mode", "wal") != 1)
		return false;
	for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
		if (!(settings[i].who & who))
			continue;
		pragma(c, settings[i].set, NULL);
		if (settings[i].get && pragma(c, settings[i].get, NULL) != settings[i].want)
			return false;
	}
	return true;
}

static bool own_prepare(struct db_conn *c)
{
	for (int i = 0; i < OWN_COUNT; i++)
		if (sqlite3_prepare_v3(c->raw, own_sql[i], -1, SQLITE_PREPARE_PERSISTENT, &c->owned[i], NULL) != SQLITE_OK)
			return false;
	return true;
}

enum rc conn_open(struct cx *cx, struct db *db, struct db_conn *c, bool writer)
{
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
	enum rc rc;

	c->db = db;
	c->writer = writer;
	c->wal_pages = c->wal_done = 0;
	if (sqlite3_open_v2(db->file, &c->raw, flags, db_vfs()) == SQLITE_OK) {
		sqlite3_busy_timeout(c->raw, BUSY_MS);
		if (configure(c) && own_prepare(c)) {
			sqlite3_set_authorizer(c->raw, authorize, c);
			if (writer)
				sqlite3_wal_hook(c->raw, committed, c);
			else
				sqlite3_progress_handler(c->raw, 1000, past_deadline, c);
			return RC_OK;
		}
	}
	int e = c->raw ? sqlite3_system_errno(c->raw) : ENOMEM;
	rc = c->raw ? conn_rc(c->raw, sqlite3_extended_errcode(c->raw)) : RC_NOMEM;
	rc = fail(cx, rc == RC_OK ? RC_IO : rc, "cannot open the store %s: %s%s%s", db->file, c->raw ? sqlite3_errmsg(c->raw) : "no memory",
		  rc == RC_CORRUPT ? ": it is damaged; restore a backup" : e ? ": " : "", rc != RC_CORRUPT && e ? strerror(e) : "");
	conn_close(c, false);
	return rc;
}

void conn_close(struct db_conn *c, bool checkpoint)
{
	if (c->raw == NULL)
		return;
	conn_clear(c);
	if (c->writer)
		copy_cut(c->db);
	stmt_drop_all(c);
	for (int i = 0; i < OWN_COUNT; i++) {
		sqlite3_finalize(c->owned[i]);
		c->owned[i] = NULL;
	}
	if (checkpoint)
		sqlite3_db_config(c->raw, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL);
	if (sqlite3_close(c->raw) != SQLITE_OK)
		log_error("db", "a connection could not be closed: %s", sqlite3_errmsg(c->raw));
	c->raw = NULL;
}

/* ---- transactions ---------------------------------------------------------------------------------- */

int conn_own(struct db_conn *c, enum conn_own which)
{
	int code;

	c->own = true;		/* also while stepping: a schema change prepares it again */
	code = sqlite3_step(c->owned[which]);
	if (code == SQLITE_DONE || code == SQLITE_ROW)
		code = SQLITE_OK;
	else
		conn_note(c, code);	/* before the reset: the words may be gone after it */
	sqlite3_reset(c->owned[which]);
	c->own = false;
	return code;
}

bool conn_open_transaction(const struct db_conn *c)
{
	return c->raw && !sqlite3_get_autocommit(c->raw);
}

int conn_checkpoint(struct db_conn *c, int mode)
{
	int pages = 0, done = 0;
	int code = sqlite3_wal_checkpoint_v2(c->raw, NULL, mode, &pages, &done);

	if (pages >= 0 && done >= 0) {
		c->wal_pages = pages;
		c->wal_done = done;
	}
	return code;
}
