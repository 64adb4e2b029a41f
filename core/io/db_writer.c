/*
 * The writer thread: every write and every checkpoint, on one connection.
 *
 * Whatever queued up during the last COMMIT (at most 64 closures) becomes one group: BEGIN IMMEDIATE, each
 * closure in a savepoint, one COMMIT with its one fsync.  Nobody waits for company, and nobody is answered
 * before COMMIT returned OK.  The rules of failure:
 *
 *   a closure fails by itself     its savepoint is rolled back, the others go on
 *   the transaction is gone       (a full disk rolls back everything, savepoints included, and only
 *                                 sqlite3_get_autocommit tells) the members run again, one by one
 *   COMMIT fails, but not by I/O  nothing was stored: rolled back, and again one by one
 *   COMMIT fails by I/O           uncertain: the commit record may be in the WAL file without being synced, and a
 *                                 crash before it is overwritten would bring it back.  Everybody gets RC_IO, the
 *                                 connection is closed, writes are refused (RC_UNAVAILABLE, nothing changed) for
 *                                 one second, then a new connection commits a probe of its own, which overwrites
 *                                 that record, before anybody else's work is taken.
 *   the file is damaged           the group that saw it is rolled back; no more writes or checkpoints until a restart;
 *                                 reads go on as far as they can (db_damage.c)
 *
 * A verdict of one member may rest on rows of another, so a group whose COMMIT failed keeps no verdict.
 */
#include "core/io/db_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/base/failpoint.h"
#include "core/base/log.h"

#define GROUP_MAX 64
#define PAUSE_MS 1000
#define STACK (1024 * 1024)
#define CHECKPOINT_IDLE 1000		/* pages that wait for the main file: copied when nothing else is to do */
#define CHECKPOINT_BUSY 4000		/* copied in any case */
#define CHECKPOINT_RESTART 32000	/* pages in the WAL: wait for the readers and begin it anew */

struct job {
	struct job *next;
	db_write_fn *fn;		/* NULL: no closure but a turn of its own */
	writer_turn_fn *turn;
	void *arg;
	bool waited_for;		/* its owner stands in db_write; else it is ours to free */
	db_done_fn *done;
	enum rc rc;
	struct cx cx;
	bool over;
	pthread_cond_t answered;
};

struct group {
	struct job *jobs[GROUP_MAX];
	int n;
	int code;		/* why it has to run again, one by one */
};

/* ---- running a group ------------------------------------------------------------------------------- */

static void job_fail(struct job *j, enum rc rc, const char *words)
{
	cx_init(&j->cx, j->cx.who);
	j->rc = fail_code(&j->cx, rc, conn_code(rc), NULL, "%s", words);
}

static void group_fail(struct group *g, enum rc rc, const char *words)
{
	for (int i = 0; i < g->n; i++)
		job_fail(g->jobs[i], rc, words);
}

/* Runs one closure in its savepoint.  False: the transaction is gone, and with it what others did. */
static bool job_run(struct db_conn *c, struct job *j)
{
	cx_init(&j->cx, j->cx.who);
	conn_clear(c);
	conn_own(c, OWN_SAVEPOINT);
	j->rc = j->fn(&j->cx, c, j->arg);
	stmt_end_all(c);
	if (!conn_open_transaction(c)) {
		if (c->rc == RC_OK)
			conn_set(c, RC_IO, "the store gave up the transaction");
		job_fail(j, c->rc, c->words);
		return false;
	}
	if (j->rc == RC_OK && c->rc == RC_OK && conn_own(c, OWN_RELEASE) == SQLITE_OK)
		return true;
	if (j->rc == RC_OK)
		j->rc = db_fail(&j->cx, c);
	else if (j->cx.rc == RC_OK)
		db_fail(&j->cx, c);
	/* if half of its work might stay, nobody's may */
	return conn_own(c, OWN_ROLLBACK_TO) == SQLITE_OK && conn_own(c, OWN_RELEASE) == SQLITE_OK && conn_open_transaction(c);
}

static void pause_writes(struct db *db)
{
	conn_close(&db->writer, false);
	db->paused_until = db_tick() + PAUSE_MS;
	log_error("db", "I/O error while committing: writes are refused for %d ms, then tried again", PAUSE_MS);
}

static void roll_back(struct db_conn *c)
{
	if (conn_open_transaction(c))
		conn_own(c, OWN_ROLLBACK);
}

/* Nothing was stored.  Worth another try: the members of a group, and anybody once more room was made. */
static bool once_more(struct group *g, int code, bool last)
{
	g->code = code & 0xff;
	return !last && (g->n > 1 || g->code == SQLITE_FULL);
}

/* True: everybody has an answer.  False: to be run again, one by one. */
static bool commit_failed(struct db *db, struct group *g, int code, bool last)
{
	struct db_conn *c = &db->writer;
	enum rc rc = conn_rc(c->raw, code);

	log_error("db", "COMMIT of %d failed: %s (%d)", g->n, c->words, code);
	roll_back(c);
	if ((code & 0xff) == SQLITE_IOERR || (code & 0xff) == SQLITE_CANTOPEN) {
		group_fail(g, rc, "the disk failed while this was stored; whether it is there shows after a second");
		pause_writes(db);
		return true;
	}
	if (once_more(g, code, last))
		return false;
	group_fail(g, rc, c->words);
	return true;
}

static int commit(struct db_conn *c)
{
	int code;

	conn_clear(c);
	if (failpoint("db.before_commit")) {
		conn_note(c, SQLITE_IOERR);
		return SQLITE_IOERR;
	}
	code = conn_own(c, OWN_COMMIT);
	if (code == SQLITE_OK && failpoint("db.after_commit"))
		code = SQLITE_IOERR;
	return code;
}

enum rc writer_ready(struct cx *cx, const struct db *db)
{
	if (db_rescue(db))
		return fail_code(cx, RC_CORRUPT, conn_code(RC_CORRUPT), NULL,
				 "the store is damaged: only reads are possible; restore a backup and restart");
	if (db->writer.raw == NULL)
		return fail(cx, RC_UNAVAILABLE, "the disk failed a moment ago; nothing was changed, try again");
	return RC_OK;
}

static bool refused(struct db *db, struct group *g)
{
	struct cx cx;

	cx_init(&cx, "db");
	if (writer_ready(&cx, db) == RC_OK)
		return false;
	group_fail(g, cx.rc, cx.words);
	return true;
}

/* As commit_failed: false when the members are to be run again, which the last try never asks for. */
static bool group_run(struct db *db, struct group *g, bool last)
{
	struct db_conn *c = &db->writer;
	int code;

	conn_clear(c);
	if (conn_own(c, OWN_BEGIN) != SQLITE_OK) {
		group_fail(g, c->rc, c->words);
		return true;
	}
	for (int i = 0; i < g->n; i++) {
		if (job_run(c, g->jobs[i]))
			continue;
		roll_back(c);
		return !once_more(g, c->code, last);	/* alone, it has its answer already */
	}
	if (db_rescue(db)) {
		roll_back(c);
		(void)refused(db, g);
		return true;
	}
	code = commit(c);
	return code == SQLITE_OK || commit_failed(db, g, code, last);
}

/* ---- answering ------------------------------------------------------------------------------------- */

static void job_answer(struct db *db, struct job *j)
{
	if (!j->waited_for) {
		if (j->done)
			j->done(j->rc, j->cx.words, j->arg);
		free(j);
		return;
	}
	pthread_mutex_lock(&db->mutex);
	j->over = true;
	pthread_cond_signal(&j->answered);	/* under the mutex: the job is gone once its owner runs */
	pthread_mutex_unlock(&db->mutex);
}

static void group_answer(struct db *db, struct group *g)
{
	for (int i = 0; i < g->n; i++)
		job_answer(db, g->jobs[i]);
	g->n = 0;
}

/* ---- checkpoints ----------------------------------------------------------------------------------- */

static int checkpoint_due(const struct db *db, bool quiet)
{
	const struct db_conn *c = &db->writer;
	int wait = c->wal_pages - c->wal_done;

	if (c->raw == NULL || db_rescue(db))
		return -1;
	if (c->wal_pages >= CHECKPOINT_RESTART && db_tick() >= db->restart_after)
		return SQLITE_CHECKPOINT_RESTART;
	if (db_tick() < db->checkpoint_after)
		return -1;
	return wait >= (quiet ? CHECKPOINT_IDLE : CHECKPOINT_BUSY) ? SQLITE_CHECKPOINT_PASSIVE : -1;
}

/* The copying goes on beside readers; only the WAL's new beginning needs them away. */
static int checkpoint(struct db *db, int mode)
{
	int code = conn_checkpoint(&db->writer, SQLITE_CHECKPOINT_PASSIVE);

	if (mode == SQLITE_CHECKPOINT_PASSIVE || (code != SQLITE_OK && code != SQLITE_BUSY))
		return code;
	db_readers_hold(db);
	code = conn_checkpoint(&db->writer, mode);
	db_readers_release(db);
	return code;
}

/* A reader may keep pages back for up to its second: what could not be done is not tried at every commit. */
static int checkpoint_run(struct db *db, int mode)
{
	struct db_conn *c = &db->writer;
	int code = checkpoint(db, mode);

	if (code != SQLITE_OK && code != SQLITE_BUSY)
		log_error("db", "checkpoint failed: %s (%d)", sqlite3_errstr(code), code);
	if ((code & 0xff) == SQLITE_CORRUPT || (code & 0xff) == SQLITE_NOTADB)
		db_damaged(db, sqlite3_errstr(code));
	if (code != SQLITE_OK && mode != SQLITE_CHECKPOINT_PASSIVE)
		db->restart_after = db_tick() + DB_READ_MS / 2;
	db->checkpoint_after = code != SQLITE_OK || c->wal_done < c->wal_pages ? db_tick() + DB_READ_MS / 2 : 0;
	if (code == SQLITE_OK && mode != SQLITE_CHECKPOINT_PASSIVE)
		c->wal_pages = c->wal_done = 0;
	return code;
}

static enum rc scrub(struct cx *cx, struct db *db, void *arg)
{
	int code;

	(void)arg;
	if (writer_ready(cx, db) != RC_OK)
		return cx->rc;
	code = checkpoint_run(db, SQLITE_CHECKPOINT_TRUNCATE);
	return code == SQLITE_OK ? RC_OK : fail(cx, conn_rc(db->writer.raw, code), "%s", sqlite3_errstr(code));
}

/* ---- what is done with a group --------------------------------------------------------------------- */

/* On a full disk the WAL may still have room inside, once it was copied and begins anew. */
static void one_by_one(struct db *db, struct group *g)
{
	if (g->code == SQLITE_FULL)
		checkpoint_run(db, SQLITE_CHECKPOINT_RESTART);
	for (int i = 0; i < g->n; i++) {
		struct group one = {.jobs = {g->jobs[i]}, .n = 1};
		if (!refused(db, &one))
			group_run(db, &one, true);
		group_answer(db, &one);
	}
	g->n = 0;
}

static void group_do(struct db *db, struct group *g)
{
	if (g->jobs[0]->fn == NULL) {
		g->jobs[0]->rc = g->jobs[0]->turn(&g->jobs[0]->cx, db, g->jobs[0]->arg);
		group_answer(db, g);
	} else if (refused(db, g)) {
		group_answer(db, g);
	} else if (group_run(db, g, false)) {
		group_answer(db, g);
	} else {
		one_by_one(db, g);
	}
}

/* ---- after an I/O error ---------------------------------------------------------------------------- */

static void resume_writes(struct db *db)
{
	struct cx cx;

	cx_init(&cx, "db");
	if (conn_open(&cx, db, &db->writer, true) == RC_OK) {
		struct db_conn *c = &db->writer;
		if (conn_own(c, OWN_BEGIN) == SQLITE_OK && conn_own(c, OWN_PROBE) == SQLITE_OK && commit(c) == SQLITE_OK) {
			db->paused_until = 0;
			log_info("db", "the disk takes writes again");
			return;
		}
	}
	pause_writes(db);
}

/* ---- the thread ------------------------------------------------------------------------------------ */

static void wait_for_work(struct db *db, int64_t ms)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += ms / 1000;
	t.tv_nsec += ms % 1000 * 1000000;
	if (t.tv_nsec >= 1000000000) {
		t.tv_sec++;
		t.tv_nsec -= 1000000000;
	}
	pthread_cond_timedwait(&db->work, &db->mutex, &t);
}

/* Takes up to 64 closures, or one turn alone. */
static void group_take(struct db *db, struct group *g)
{
	for (g->n = 0; db->first && g->n < GROUP_MAX; g->n++) {
		if (g->n > 0 && (db->first->fn == NULL || g->jobs[0]->fn == NULL))
			break;
		g->jobs[g->n] = db->first;
		db->first = db->first->next;
		if (db->first == NULL)
			db->last = NULL;
	}
	atomic_fetch_sub(&db->waiting, g->n);
}

static bool round_trip(struct db *db, struct group *g)
{
	bool quiet, end;
	int mode;

	pthread_mutex_lock(&db->mutex);
	if (db->first == NULL && !db->closing) {
		if (db->writer.raw == NULL && !db_rescue(db))
			wait_for_work(db, db->paused_until - db_tick() > 0 ? db->paused_until - db_tick() : 0);
		else if (checkpoint_due(db, true) < 0)
			wait_for_work(db, db_tick() < db->checkpoint_after ? DB_READ_MS / 2 : 60000);
	}
	group_take(db, g);
	quiet = g->n == 0;
	end = quiet && db->closing;
	pthread_mutex_unlock(&db->mutex);

	if (end)
		return false;
	if (db->writer.raw == NULL && db_tick() >= db->paused_until && !db_rescue(db))
		resume_writes(db);
	if (!quiet)
		group_do(db, g);
	if ((mode = checkpoint_due(db, quiet)) >= 0)
		checkpoint_run(db, mode);
	return true;
}

static void *writer_main(void *arg)
{
	struct db *db = arg;
	struct group g = {.n = 0};

	while (round_trip(db, &g))
		;
	return NULL;
}

enum rc writer_start(struct cx *cx, struct db *db)
{
	pthread_attr_t attr;
	int e;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK);
	/* under the mutex, so that db->thread is set before the thread looks at it */
	pthread_mutex_lock(&db->mutex);
	e = pthread_create(&db->thread, &attr, writer_main, db);
	pthread_mutex_unlock(&db->mutex);
	pthread_attr_destroy(&attr);
	if (e)
		return fail(cx, RC_NOMEM, "cannot start the writer thread: %s", strerror(e));
	db->started = true;
	return RC_OK;
}

void writer_stop(struct db *db)
{
	if (!db->started)
		return;
	pthread_mutex_lock(&db->mutex);
	db->closing = true;
	pthread_cond_signal(&db->work);
	pthread_mutex_unlock(&db->mutex);
	pthread_join(db->thread, NULL);
	db->started = false;
}

/* ---- the queue ------------------------------------------------------------------------------------- */

static void enqueue(struct db *db, struct job *j)	/* the mutex is held */
{
	if (db->last)
		db->last->next = j;
	else
		db->first = j;
	db->last = j;
	atomic_fetch_add(&db->waiting, 1);
	pthread_cond_signal(&db->work);
}

static enum rc run_and_wait(struct cx *cx, struct db *db, db_write_fn *fn, writer_turn_fn *turn, void *arg)
{
	struct job j = {.fn = fn, .turn = turn, .arg = arg, .waited_for = true};

	if (pthread_equal(pthread_self(), db->thread))
		return fail(cx, RC_BUG, "a closure or its done called db_write: the writer would wait for itself");
	cx_init(&j.cx, cx->who);
	pthread_cond_init(&j.answered, NULL);
	pthread_mutex_lock(&db->mutex);
	enqueue(db, &j);
	while (!j.over)
		pthread_cond_wait(&j.answered, &db->mutex);
	pthread_mutex_unlock(&db->mutex);
	pthread_cond_destroy(&j.answered);
	if (j.rc != RC_OK && cx->rc == RC_OK)	/* it was logged on the writer's side */
		*cx = j.cx;
	return j.rc;
}

enum rc db_write(struct cx *cx, struct db *db, db_write_fn *fn, void *arg)
{
	return run_and_wait(cx, db, fn, NULL, arg);
}

enum rc writer_turn(struct cx *cx, struct db *db, writer_turn_fn *turn, void *arg)
{
	return run_and_wait(cx, db, NULL, turn, arg);
}

enum rc db_scrub(struct cx *cx, struct db *db)
{
	return writer_turn(cx, db, scrub, NULL);
}

void db_write_async(struct db *db, db_write_fn *fn, db_done_fn *done, void *arg)
{
	struct job *j = calloc(1, sizeof *j);

	if (j == NULL) {
		log_error("db", "no memory for a write");
		abort();
	}
	j->fn = fn;
	j->arg = arg;
	j->done = done;
	cx_init(&j->cx, "engine");
	pthread_mutex_lock(&db->mutex);
	enqueue(db, j);
	pthread_mutex_unlock(&db->mutex);
}

int db_waiting(const struct db *db)
{
	return atomic_load(&db->waiting);
}
