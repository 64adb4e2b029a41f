/*
 * The store in good days: statements, reads, the group commit, the lock, what a closure may not do.
 * Bad days (full disks, failing syncs, kills) are in db_fault.c.
 */
#include "core/io/db.h"

#include <pthread.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "tests/unit/db_store.h"
#include "tests/unit/test.h"

/* ---- statements ------------------------------------------------------------------------------------ */

static enum rc write_kinds(struct cx *cx, struct db_conn *c, void *arg)
{
	(void)arg;
	db_run(c, "CREATE TABLE kind (id INTEGER PRIMARY KEY, t TEXT, b BLOB, o INTEGER) STRICT", "");
	db_run(c, "INSERT INTO kind VALUES (?1, ?2, ?3, ?4)", "isbo", (int64_t)1, "text", (const void *)"\0\1", (size_t)2, (int64_t)0);
	CHECK_SOFT(db_run(c, "CREATE INDEX kind_t ON kind (t)", "") == 0);	/* not the 1 of the INSERT before */
	CHECK_SOFT(db_run(c, "UPDATE kind SET o = NULL", "") == 1);
	db_run(c, "INSERT INTO kind VALUES (?1, ?2, ?3, ?4)", "isbo", INT64_MAX, (const char *)NULL, (const void *)"", (size_t)0, (int64_t)7);
	return db_fail(cx, c);
}

TEST(values_come_back_as_they_went_in)
{
	struct store st;
	size_t n;
	store_open(&st);
	CHECK_INT(db_write(&st.cx, st.db, write_kinds, NULL), RC_OK);
	struct db_conn *c = db_take(st.db);
	struct stmt *s = db_query(c, "SELECT id, t, b, o FROM kind ORDER BY id", "");
	CHECK(db_next(s));
	CHECK_INT(db_int(s, 0), 1);
	CHECK_STR(db_text(s, 1), "text");
	const char *b = db_blob(s, 2, &n);
	CHECK(n == 2 && b[0] == 0 && b[1] == 1);
	CHECK(db_null(s, 3));
	CHECK(db_next(s));
	CHECK(db_int(s, 0) == INT64_MAX);
	CHECK(db_text(s, 1) == NULL);
	CHECK_STR(db_text_or(s, 1, "none"), "none");
	CHECK(db_blob(s, 2, &n) != NULL && n == 0);
	CHECK_INT(db_int(s, 3), 7);
	CHECK(!db_next(s));
	CHECK(!db_next(s));	/* ended by itself, and stays so */
	CHECK_INT(db_number(c, -5, "SELECT max(o) FROM kind WHERE id = ?1", "i", (int64_t)1), -5);
	CHECK_INT(db_rc(c), RC_OK);
	db_give(c);
	store_close(&st);
}

static int64_t depth_sum(struct db_conn *c, int64_t depth)
{
	STMT_AUTO struct stmt *s = db_query(c, "SELECT value FROM (SELECT 1 AS value UNION SELECT 2) WHERE ?1 > 0", "i", depth);
	int64_t sum = 0;
	while (db_next(s))
		sum += db_int(s, 0) + depth_sum(c, depth - 1);
	return sum;
}

TEST(one_literal_may_run_inside_itself)
{
	struct store st;
	store_open(&st);
	struct db_conn *c = db_take(st.db);
	CHECK_INT(depth_sum(c, 3), 3 + 2 * (3 + 2 * 3));
	db_give(c);
	store_close(&st);
}

TEST(a_text_that_is_no_literal_is_refused)
{
	struct store st;
	char sql[64] = "SELECT 1";
	store_open(&st);
	struct db_conn *c = db_take(st.db);
	CHECK_INT(db_number(c, 0, sql, ""), 1);
	memcpy(sql, "SELECT 2", 9);
	CHECK_INT(db_number(c, 0, sql, ""), 0);
	CHECK_INT(db_rc(c), RC_BUG);
	db_give(c);
	store_close(&st);
}

TEST(errors_stick_until_the_reader_is_given_back)
{
	struct store st;
	store_open(&st);
	for (int i = 0; i < 9; i++) {
		struct db_conn *c = db_take(st.db);
		CHECK_INT(db_rc(c), RC_OK);
		CHECK(db_query(c, "SELECT id FROM nowhere", "") == NULL);
		CHECK_INT(db_rc(c), RC_BUG);
		CHECK(strstr(db_words(c), "nowhere") != NULL);
		CHECK_INT(db_number(c, -1, "SELECT 1", ""), -1);
		CHECK_INT(db_run(c, "DELETE FROM item", ""), -1);
		CHECK(strstr(db_words(c), "nowhere") != NULL);
		db_give(c);
	}
	store_close(&st);
}

TEST(a_reader_cannot_write_or_leave_its_transaction)
{
	static const char *const forbidden[] = {"INSERT INTO item VALUES (1, 'x')", "COMMIT", "PRAGMA query_only = OFF",
		"ATTACH 'other.db' AS other", "SELECT \"no such column\" FROM item", "SELECT 1; SELECT 2"};
	struct store st;
	store_open(&st);
	for (size_t i = 0; i < sizeof forbidden / sizeof *forbidden; i++) {
		struct db_conn *c = db_take(st.db);
		db_run(c, forbidden[i], "");
		CHECK_SAY(db_rc(c) == RC_BUG, "%s was answered with %s", forbidden[i], rc_name(db_rc(c)));
		db_give(c);
	}
	store_close(&st);
}

TEST(a_reader_sees_one_moment)
{
	struct store st;
	store_open(&st);
	store_add(&st, 1);
	struct db_conn *c = db_take(st.db);
	CHECK_INT(store_count(c), 1);
	store_add(&st, 2);
	CHECK_INT(store_count(c), 1);
	db_give(c);
	CHECK_INT(store_rows(&st), 2);
	store_close(&st);
}

TEST(a_statement_left_open_ends_with_its_reader)
{
	struct store st;
	store_open(&st);
	store_add(&st, 1);
	store_add(&st, 2);
	struct db_conn *c = db_take(st.db);
	CHECK(db_next(db_query(c, "SELECT id FROM item", "")));
	db_give(c);
	store_add(&st, 3);
	CHECK_INT(store_rows(&st), 3);	/* the same reader, a new moment */
	CHECK_INT(db_scrub(&st.cx, st.db), RC_OK);
	store_close(&st);
}

TEST(a_read_over_its_second_is_cut)
{
	struct store st;
	store_open(&st);
	struct db_conn *c = db_take(st.db);
	int64_t begin = clock_mono();
	CHECK_INT(db_number(c, -1, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n WHERE i < 0", ""), -1);
	CHECK_INT(db_rc(c), RC_TIMEOUT);
	CHECK(clock_mono() - begin >= 1000);
	CHECK_INT(db_number(c, -1, "SELECT 1", ""), -1);	/* nor may it begin another */
	db_give(c);
	store_add(&st, 1);
	CHECK_INT(store_rows(&st), 1);
	store_close(&st);
}

/* ---- closures -------------------------------------------------------------------------------------- */

static enum rc own_verdict(struct cx *cx, struct db_conn *c, void *arg)
{
	(void)arg;
	db_run(c, "INSERT INTO item (id, text) VALUES (50, 'gone')", "");
	return fail_code(cx, RC_DENIED, "not_today", "id", "not today");
}

static enum rc taken_id(struct cx *cx, struct db_conn *c, void *arg)
{
	(void)cx, (void)arg;
	db_run(c, "INSERT INTO item (id, text) VALUES (51, 'gone too')", "");
	db_run(c, "INSERT INTO item (id, text) VALUES (1, 'taken')", "");
	return RC_OK;	/* forgot to look */
}

TEST(a_failed_closure_leaves_nothing_and_says_why)
{
	struct store st;
	store_open(&st);
	store_add(&st, 1);
	CHECK_INT(db_write(&st.cx, st.db, own_verdict, NULL), RC_DENIED);
	CHECK_STR(st.cx.code, "not_today");
	CHECK_STR(st.cx.param, "id");
	cx_init(&st.cx, "test");
	CHECK_INT(db_write(&st.cx, st.db, taken_id, NULL), RC_CONFLICT);
	CHECK_SAY(strstr(st.cx.words, "UNIQUE") != NULL, "words: %s", st.cx.words);
	CHECK_INT(store_rows(&st), 1);
	store_close(&st);
}

static enum rc returning_forgotten(struct cx *cx, struct db_conn *c, void *arg)
{
	(void)arg;
	struct stmt *s = db_query(c, "INSERT INTO item (id, text) VALUES (1, 'a'), (2, 'b'), (3, 'c') RETURNING id", "");
	CHECK_SOFT(db_next(s));
	return db_fail(cx, c);	/* neither stepped to its end nor ended */
}

TEST(a_returning_not_read_to_its_end_keeps_no_lock)
{
	struct store st;
	store_open(&st);
	CHECK_INT(db_write(&st.cx, st.db, returning_forgotten, NULL), RC_OK);
	CHECK_INT(store_rows(&st), 3);
	store_add(&st, 4);
	store_shut(&st);
	store_again(&st);
	CHECK_INT(store_rows(&st), 4);
	store_close(&st);
}

static enum rc orphan(struct cx *cx, struct db_conn *c, void *arg)
{
	(void)cx, (void)arg;
	STMT_AUTO struct stmt *s = db_query(c, "INSERT INTO child (id, parent) VALUES (2, 1), (3, 999) RETURNING id", "");
	db_next(s);
	return RC_OK;
}

TEST(foreign_keys_are_kept)
{
	struct store st;
	store_open(&st);
	store_add(&st, 1);
	store_say(&st, "CREATE TABLE child (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES item(id)) STRICT");
	CHECK_INT(db_write(&st.cx, st.db, orphan, NULL), RC_CONFLICT);
	store_close(&st);
}

static enum rc meddle(struct cx *cx, struct db_conn *c, void *arg)
{
	db_run(c, "INSERT INTO item (id, text) VALUES (60, 'x')", "");
	db_run(c, arg, "");
	return db_fail(cx, c);
}

TEST(a_closure_cannot_end_its_group)
{
	static const char *const forbidden[] = {"COMMIT", "ROLLBACK", "RELEASE member", "SAVEPOINT mine", "PRAGMA synchronous = OFF"};
	struct store st;
	store_open(&st);
	for (size_t i = 0; i < sizeof forbidden / sizeof *forbidden; i++) {
		cx_init(&st.cx, "test");
		CHECK_INT(db_write(&st.cx, st.db, meddle, (void *)(uintptr_t)forbidden[i]), RC_BUG);
	}
	CHECK_INT(store_rows(&st), 0);
	store_close(&st);
}

static enum rc write_inside(struct cx *cx, struct db_conn *c, void *arg)
{
	struct store *st = arg;
	(void)c;
	return db_write(cx, st->db, own_verdict, NULL);
}

TEST(a_write_inside_a_write_is_refused_not_a_deadlock)
{
	struct store st;
	store_open(&st);
	CHECK_INT(db_write(&st.cx, st.db, write_inside, &st), RC_BUG);
	store_close(&st);
}

static enum rc next_number(struct cx *cx, struct db_conn *c, void *arg)
{
	int64_t *ret = arg;
	*ret = db_sequence(c, "event");
	return db_fail(cx, c);
}

TEST(a_sequence_has_no_gap_after_a_rollback)
{
	struct store st;
	int64_t a = 0, b = 0;
	store_open(&st);
	CHECK_INT(db_write(&st.cx, st.db, next_number, &a), RC_OK);
	CHECK_INT(db_write(&st.cx, st.db, own_verdict, NULL), RC_DENIED);
	CHECK_INT(db_write(&st.cx, st.db, next_number, &b), RC_OK);
	CHECK_INT(a, 1);
	CHECK_INT(b, 2);
	struct db_conn *c = db_take(st.db);
	db_sequence(c, "event");
	CHECK_INT(db_rc(c), RC_BUG);
	db_give(c);
	store_close(&st);
}

/* ---- groups ---------------------------------------------------------------------------------------- */

#define THREADS 32
#define EACH 40

struct caller { struct store *st; int64_t first; int ok; pthread_t thread; };

static void *call_often(void *arg)
{
	struct caller *me = arg;
	for (int64_t i = 0; i < EACH; i++)
		me->ok += store_try(me->st, me->first + i) == RC_OK;
	return NULL;
}

TEST(thirty_two_callers_each_find_what_was_acknowledged)
{
	struct store st;
	struct caller callers[THREADS];
	store_open(&st);
	int commits = store_commits();
	for (int i = 0; i < THREADS; i++) {
		callers[i] = (struct caller){.st = &st, .first = i * 1000};
		CHECK(pthread_create(&callers[i].thread, NULL, call_often, &callers[i]) == 0);
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(callers[i].thread, NULL);
	commits = store_commits() - commits;
	db_abandon(st.db);
	store_again(&st);
	struct db_conn *c = db_take(st.db);
	for (int i = 0; i < THREADS; i++) {
		CHECK_INT(callers[i].ok, EACH);
		CHECK_INT(db_number(c, 0, "SELECT count(*) FROM item WHERE id >= ?1 AND id < ?1 + 1000", "i", callers[i].first), EACH);
	}
	db_give(c);
	CHECK_SAY(commits < THREADS * EACH / 2, "%d syncs for %d writes: no group", commits, THREADS * EACH);
	store_close(&st);
}

struct async { pthread_mutex_t mutex; pthread_cond_t cond; int done, ok; char words[64]; };

static void async_done(enum rc rc, const char *words, void *arg)
{
	struct async *a = arg;
	pthread_mutex_lock(&a->mutex);
	a->done++;
	a->ok += rc == RC_OK;
	if (rc != RC_OK)
		snprintf(a->words, sizeof a->words, "%s", words);
	pthread_cond_signal(&a->cond);
	pthread_mutex_unlock(&a->mutex);
}

static enum rc async_add(struct cx *cx, struct db_conn *c, void *arg)
{
	(void)arg;
	db_run(c, "INSERT INTO item (id, text) SELECT coalesce(max(id), 0) + 1, 'async' FROM item", "");
	return db_fail(cx, c);
}

TEST(asynchronous_writes_are_answered_once_each_also_while_closing)
{
	struct store st;
	struct async a = {.mutex = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};
	store_open(&st);
	for (int i = 0; i < 200; i++)
		db_write_async(st.db, i % 10 ? async_add : own_verdict, async_done, &a);
	db_close(st.db);	/* commits what waits */
	CHECK_INT(a.done, 200);
	CHECK_INT(a.ok, 180);
	CHECK_STR(a.words, "not today");
	store_again(&st);
	CHECK_INT(store_rows(&st), 180);
	store_close(&st);
}

/* ---- the folder ------------------------------------------------------------------------------------ */

TEST(the_files_are_ours_alone)
{
	static const char *const names[] = {"", "/mypostshare.db", "/mypostshare.db-wal", "/mypostshare.db-shm", "/lock"};
	struct store st;
	struct stat s;
	store_open(&st);
	store_add(&st, 1);
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		char path[200];
		snprintf(path, sizeof path, "%s%s", st.folder, names[i]);
		CHECK_SAY(stat(path, &s) == 0, "%s is not there", path);
		CHECK_SAY((s.st_mode & 077) == 0, "%s has mode %o", path, s.st_mode);
	}
	store_close(&st);
}

TEST(a_second_process_is_refused_and_told_by_whom)
{
	struct store st;
	int status;
	store_open(&st);
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		struct db *db = NULL;
		struct cx cx;
		char owner[32];
		log_set(LOG_ERROR);
		cx_init(&cx, "second");
		snprintf(owner, sizeof owner, "process %ld", (long)getppid());
		alarm(5);
		enum rc rc = db_open(&cx, &(struct db_config){.folder = st.folder}, &db);
		_exit(rc == RC_CONFLICT && db == NULL && strstr(cx.words, owner) && strstr(cx.words, st.folder) ? 0 : 1);
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK_INT(status, 0);
	store_add(&st, 1);
	store_shut(&st);
	store_again(&st);	/* free again */
	store_close(&st);
}

TEST(a_scrub_leaves_nothing_of_a_deleted_row)
{
	struct store st;
	store_open(&st);
	store_say(&st, "INSERT INTO item (id, text) VALUES (1, 'canary-' || 'a7f3')");
	CHECK(store_holds(&st, "canary-a7f3"));
	store_say(&st, "DELETE FROM item");
	CHECK_INT(db_scrub(&st.cx, st.db), RC_OK);
	CHECK(!store_holds(&st, "canary-a7f3"));
	store_close(&st);
}

TEST(the_wal_is_copied_when_it_is_long)
{
	struct store st;
	struct stat s;
	char wal[200];
	store_open(&st);
	for (int i = 0; i < 60; i++)	/* 60 x 260 pages are 64 MB */
		store_say(&st, "INSERT INTO item (id, text) SELECT coalesce(max(id), 0) + 1, hex(zeroblob(524288)) FROM item");
	snprintf(wal, sizeof wal, "%s-wal", db_file(st.db));
	CHECK(stat(wal, &s) == 0);
	CHECK_SAY(s.st_size < 32 << 20, "the WAL has %lld bytes", (long long)s.st_size);
	store_close(&st);
}
