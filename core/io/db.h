/*
 * The store.  SQLite 3.40 today; the SQL is written once in the subset that PostgreSQL 15 shares (numbered
 * parameters ?1, TEXT INTEGER BLOB, ON CONFLICT, RETURNING, partial indices; no rowid, no SQLite functions).
 *
 * One writer thread does every write and every checkpoint, committing in groups with synchronous=FULL.
 * A write is a closure that runs inside the writer's transaction in a savepoint of its own; it may run more
 * than once (after a full disk the members of a group are run again one by one), so it must have no effect
 * outside the store but its own result fields, which it sets anew each time.  A caller is answered only
 * after COMMIT returned OK.  Reads take one of 8 read-only connections.
 *
 * Statements are prepared once per connection, keyed by the address of the SQL literal.  Errors stick to the
 * connection: db_query and db_run may be called after one and do nothing; the closure's end looks once.
 */
#ifndef MPS_IO_DB_H
#define MPS_IO_DB_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/arena.h"
#include "core/base/rc.h"

struct db;		/* the open store */
struct db_conn;		/* the writer's connection inside a closure, or a taken reader */
struct stmt;		/* a running query */

struct db_config {
	const char *folder;	/* holds mypostshare.db, its -wal, lock */
	int readers;		/* 0: 8 */
};

/* Takes the flock of the folder first: a second process is refused at once, naming the folder and the pid. */
enum rc db_open(struct cx *cx, const struct db_config *config, struct db **ret);
void db_close(struct db *db);		/* commits what waits, checkpoints, closes; NULL is nothing */

/* ---- writing -------------------------------------------------------------------------------------- */

typedef enum rc db_write_fn(struct cx *cx, struct db_conn *c, void *arg);

/* Runs fn in the writer and waits for the COMMIT.  fn's rc other than OK rolls back its savepoint only. */
enum rc db_write(struct cx *cx, struct db *db, db_write_fn *fn, void *arg);

/* The same without waiting: done is called on the writer thread after the COMMIT (or failure) with the rc.
 * Used by the engine, which must not block; fn may change up to 200 rows. cx inside fn is the writer's. */
typedef void db_done_fn(enum rc rc, const char *words, void *arg);
void db_write_async(struct db *db, db_write_fn *fn, db_done_fn *done, void *arg);

/* After it returned OK nothing of a deleted row is left in the files (erasure): a truncating checkpoint.
 * RC_UNAVAILABLE when a reader was in the way: to be tried again. */
enum rc db_scrub(struct cx *cx, struct db *db);

/* ---- the whole file --------------------------------------------------------------------------------- */

/*
 * A copy in a new file at path (0600) of the store as it is at one moment after the call: what was committed before is in
 * it.  Writes go on: the writer copies 1 MiB between two groups.  told is called on the caller's thread after
 * each of these; false from it ends the copy, RC_UNAVAILABLE.  After a fault the file may be there.
 */
typedef bool db_copy_fn(void *arg, int64_t done_bytes, int64_t all_bytes);
enum rc db_copy(struct cx *cx, struct db *db, const char *path, db_copy_fn *told, void *arg);

/* SQLite's own check of every page, index and constraint (quick: not of what the indices hold).  Writes wait meanwhile:
 * for a store that nobody serves.  RC_CORRUPT with the first thing that is wrong. */
enum rc db_check(struct cx *cx, struct db *db, bool quick);

/* Makes the folder if it is missing and takes its lock, as db_open does; close *ret_fd to give it back. */
enum rc db_lock(struct cx *cx, const char *folder, int *ret_fd);

/* ---- damage ------------------------------------------------------------------------------------------ */

/* The file is damaged: every write is refused with RC_CORRUPT, reads go on as far as they can.  Nothing may be sent
 * any more, because no intent can be kept.  It ends with a restart on a sound file. */
bool db_rescue(const struct db *db);

/* Reads the whole file on a connection of its own, seconds per GB; whole: also whether tables and indices agree, and
 * without giving way.  RC_CORRUPT: damaged, in rescue from now on.  RC_UNAVAILABLE: *stop was set (it may be NULL), or
 * it gave way to writes, to be tried again. */
enum rc db_checkup(struct cx *cx, struct db *db, bool whole, atomic_bool *stop);

int db_waiting(const struct db *db);	/* write jobs queued: over 500 the API answers 503 */

/* ---- reading -------------------------------------------------------------------------------------- */

struct db_conn *db_take(struct db *db);		/* waits for a free reader */
void db_give(struct db_conn *c);		/* ends its read transaction; NULL is nothing */
void db_give_auto(struct db_conn **c);
/* The first fault of a reader of this thread since this was last called: a read that failed looks like one without rows to
 * whoever does not ask db_rc. */
enum rc db_read_fault(void);
#define DB_READ_AUTO __attribute__((cleanup(db_give_auto)))

/* ---- statements: sql must be a string literal (its address is the cache key) ------------------------ */

/*
 * types has one letter per parameter: 's' const char * (NULL binds NULL), 'i' int64_t (cast it!),
 * 'b' const void * and size_t, 'o' int64_t where 0 binds NULL.
 */
struct stmt *db_query(struct db_conn *c, const char *sql, const char *types, ...);
bool db_next(struct stmt *s);			/* false at the end or on error; resets by itself then */
void db_end(struct stmt *s);			/* ends early (a RETURNING is stepped to its end first) */
void db_end_auto(struct stmt **s);
#define STMT_AUTO __attribute__((cleanup(db_end_auto)))

const char *db_text(struct stmt *s, int column);	/* NULL for NULL; valid until the next db_next */
const char *db_text_or(struct stmt *s, int column, const char *fallback);
int64_t db_int(struct stmt *s, int column);		/* 0 for NULL */
bool db_null(struct stmt *s, int column);
const void *db_blob(struct stmt *s, int column, size_t *ret_len);
char *db_dup(struct stmt *s, int column, struct arena *a);	/* NULL stays NULL */

/* A statement without rows to read: runs it to its end, gives the number of changed rows (-1 on error). */
int64_t db_run(struct db_conn *c, const char *sql, const char *types, ...);

/* One integer: the first column of the first row, or fallback. */
int64_t db_number(struct db_conn *c, int64_t fallback, const char *sql, const char *types, ...);

enum rc db_rc(const struct db_conn *c);			/* the sticky error: RC_FULL, RC_CONFLICT (unique), RC_IO ... */
const char *db_words(const struct db_conn *c);
enum rc db_fail(struct cx *cx, const struct db_conn *c);	/* puts the sticky error into cx and returns it */

/* Next number of the one sequence for events (and later ledger, audit): only inside a closure. */
int64_t db_sequence(struct db_conn *c, const char *name);
/* The next number is over `past`, and a million over the last one: for a store that has forgotten some. */
void db_sequence_jump(struct db_conn *c, const char *name, int64_t past);

/* Only for tests: the path of the main file; closing every connection without a checkpoint; opening from now
 * on through a VFS that the test registered.  Nobody else may open the main file in this process: closing any
 * descriptor of it drops SQLite's POSIX locks. */
const char *db_file(const struct db *db);
void db_abandon(struct db *db);
void db_test_vfs(const char *name);

#endif
