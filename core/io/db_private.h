/*
 * What the files of the store share; nobody else includes it.
 *
 *   db.c         the folder, its lock, opening and closing, the pool of readers
 *   db_conn.c    one connection: its settings, its transaction statements, its sticky error
 *   db_damage.c  a damaged file: noticing it, remembering it, the check
 *   db_stmt.c    statements: cache, binding, stepping, columns
 *   db_writer.c  the writer thread: queue, group commit, checkpoints
 *   db_copy.c    a copy while writes go on; checking a whole file
 *
 * A connection belongs to one thread at a time: the writer's to the writer thread, a reader's to whoever took
 * it.  Only the queue, the pool and the counters of struct db are shared, under its mutex.
 */
#ifndef MPS_IO_DB_PRIVATE_H
#define MPS_IO_DB_PRIVATE_H

#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>

#include "core/io/db.h"

#define CONN_BUCKETS 256
#define DB_READERS 8
#define DB_READ_MS 1000			/* longer, and the WAL could not be reused */

struct stmt {
	sqlite3_stmt *raw;
	struct db_conn *conn;
	const char *sql;		/* the literal: its address is the key */
	struct stmt *next;		/* in the bucket */
	bool busy;			/* handed out and not ended yet */
	bool writes;
};

/* The statements that frame a transaction; nobody outside these files may run their like. */
enum conn_own { OWN_BEGIN_READ, OWN_BEGIN, OWN_COMMIT, OWN_ROLLBACK, OWN_SAVEPOINT, OWN_RELEASE, OWN_ROLLBACK_TO, OWN_PROBE, OWN_COUNT };

struct db_conn {
	struct db *db;
	sqlite3 *raw;			/* NULL: the writer's connection after an I/O error */
	bool writer, taken;
	bool own;			/* the authorizer lets our own transaction statements pass */
	sqlite3_stmt *owned[OWN_COUNT];
	struct stmt *bucket[CONN_BUCKETS];
	int busy;			/* statements handed out */
	int64_t deadline;		/* of a reader, in db_tick's time; 0: none */
	enum rc rc;			/* the sticky error */
	int code;			/* SQLite's extended code of it */
	char words[400];
	int wal_pages;			/* of the writer: in the WAL after the last commit */
	int wal_done;			/* of these, already copied into the main file */
};

struct job;
struct copy;
struct db {
	char *folder, *file;
	int lock, file_lock;		/* the flocked descriptors: FOLDER/lock, and the main file itself */
	pthread_mutex_t mutex;		/* queue and pool */
	pthread_cond_t work, free, given;

	struct job *first, *last;	/* the queue */
	atomic_int waiting;
	bool closing;
	pthread_t thread;
	bool started;
	struct db_conn writer;
	int64_t paused_until;		/* after an I/O error in COMMIT; writer thread only */
	atomic_bool corrupt;		/* the file is: no more writes */
	atomic_int wal_pages;		/* in the WAL after the last commit: for the check, which gives way */
	int64_t checkpoint_after, restart_after;	/* a failed checkpoint is not repeated at once */
	struct copy *copy;		/* that is being made; writer thread only */

	int readers, idle;
	bool held;			/* nobody takes one: a checkpoint waits for them all */
	struct db_conn **pool;		/* [idle] of them are free */
	struct db_conn *reader;
};

/* Milliseconds of the real monotonic clock.  Not clock_mono(): a test's virtual clock that jumps would cut
 * reads, and one that stands still would never end a pause. */
int64_t db_tick(void);

void db_library(void);			/* once per process: SQLite's log goes into ours */
const char *db_vfs(void);
/* SQLite waits for a place in its list of readers, where the next one may sit already: under readers without a pause a WAL
 * would never begin anew.  So those who ask for one wait until release, and hold returns when all are back, or after a
 * little more than the longest read. */
void db_readers_hold(struct db *db);
void db_readers_release(struct db *db);
void db_readers_refresh(struct db *db);	/* after the schema changed; nobody may hold a reader for long */

/* ---- db_conn.c ------------------------------------------------------------------------------------- */

enum rc conn_open(struct cx *cx, struct db *db, struct db_conn *c, bool writer);
void conn_close(struct db_conn *c, bool checkpoint);
int conn_own(struct db_conn *c, enum conn_own which);	/* SQLite's code; the words are conn_note's */
const char *conn_code(enum rc rc);			/* of the API, where it is more than the default of rc */
enum rc conn_rc(sqlite3 *raw, int code);		/* how a code of SQLite is called here */
void conn_note(struct db_conn *c, int code);		/* makes it the sticky error, with SQLite's words of now */
void conn_set(struct db_conn *c, enum rc rc, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void conn_clear(struct db_conn *c);			/* ends its statements, forgets the sticky error */
bool conn_open_transaction(const struct db_conn *c);
int conn_checkpoint(struct db_conn *c, int mode);

/* ---- db_damage.c ----------------------------------------------------------------------------------- */

void db_damaged(struct db *db, const char *words);	/* from now on in rescue */
/* SQLite's own check, on a connection whose `own` is set: SQLITE_OK, SQLITE_CORRUPT with the first thing that is wrong, or
 * the code with which it could not even look, with its words. */
int damage_look(struct db_conn *c, bool whole, char *first, size_t size);
enum rc damage_open(struct cx *cx, struct db *db);	/* what an earlier process found */

/* ---- db_stmt.c ------------------------------------------------------------------------------------- */

void stmt_end_all(struct db_conn *c);
void stmt_drop_all(struct db_conn *c);
void stmt_exec(struct db_conn *c, const char *sql);	/* one statement that is not a literal (migrations) */
bool stmt_complete(const char *sql);			/* ends with the semicolon of a whole statement */

/* ---- db_writer.c ----------------------------------------------------------------------------------- */

enum rc writer_start(struct cx *cx, struct db *db);
void writer_stop(struct db *db);

/* Something that is no closure, between two groups and outside of any transaction. */
typedef enum rc writer_turn_fn(struct cx *cx, struct db *db, void *arg);
enum rc writer_turn(struct cx *cx, struct db *db, writer_turn_fn *turn, void *arg);
enum rc writer_ready(struct cx *cx, const struct db *db);	/* a turn asks: the file may be damaged, the disk have failed */

/* ---- db_copy.c ------------------------------------------------------------------------------------- */

void copy_cut(struct db *db);		/* the writer's connection is about to be closed */

#endif
