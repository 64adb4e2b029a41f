/*
 * The store in bad days: a full disk, failing syncs, a group that loses its transaction, kill -9.
 *
 * The one thing to know: what is compared is always the answers that callers got with the rows that are there
 * after the store was opened again, by another connection than the one that wrote them.
 */
#include "core/io/db.h"

#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/id.h"
#include "tests/unit/db_store.h"
#include "tests/unit/test.h"

#define WAIT_MS 10000

/* ---- a group made by hand -------------------------------------------------------------------------- */

struct member {
	db_write_fn *fn;
	int64_t id;
	enum rc rc;
	int runs;
	pthread_t thread;
	struct store *st;
};

static sem_t gate_reached, gate_open;

static enum rc gate(struct cx *cx, struct db_conn *c, void *arg)
{
	(void)cx, (void)c, (void)arg;
	sem_post(&gate_reached);
	sem_wait(&gate_open);
	return RC_OK;
}

static void *member_write(void *arg)
{
	struct member *m = arg;
	struct cx cx;
	cx_init(&cx, "member");
	m->rc = db_write(&cx, m->st->db, m->fn, m);
	return NULL;
}

/* The members queue up, in order, behind a closure that is held in the writer: so they are one group. */
static void group_together(struct store *st, struct member *m, int n)
{
	sem_init(&gate_reached, 0, 0);
	sem_init(&gate_open, 0, 0);
	db_write_async(st->db, gate, NULL, NULL);
	sem_wait(&gate_reached);
	for (int i = 0; i < n; i++) {
		int before = db_waiting(st->db);
		m[i].st = st;
		pthread_create(&m[i].thread, NULL, member_write, &m[i]);
		while (db_waiting(st->db) == before)
			sched_yield();
	}
	sem_post(&gate_open);
	for (int i = 0; i < n; i++)
		pthread_join(m[i].thread, NULL);
}

static enum rc member_add(struct cx *cx, struct db_conn *c, void *arg)
{
	struct member *m = arg;
	m->runs++;
	db_run(c, "INSERT INTO item (id, text) VALUES (?1, 'x')", "i", m->id);
	return db_fail(cx, c);
}

/* Tells what it saw of a row that another member of its group wrote. */
static enum rc member_sees_2(struct cx *cx, struct db_conn *c, void *arg)
{
	struct member *m = arg;
	m->runs++;
	if (db_number(c, 0, "SELECT count(*) FROM item WHERE id = 2", "") == 1)
		return fail(cx, RC_CONFLICT, "2 is there already");
	return member_add(cx, c, arg);
}

static enum rc member_takes_all_down(struct cx *cx, struct db_conn *c, void *arg)
{
	struct member *m = arg;
	m->runs++;
	db_run(c, "INSERT INTO item (id, text) VALUES (?1, 'x')", "i", m->id);
	db_run(c, "INSERT OR ROLLBACK INTO item (id, text) VALUES (?1, 'x')", "i", m->id);
	(void)cx;
	return RC_OK;
}

TEST(a_member_that_ends_the_transaction_harms_only_itself)
{
	struct store st;
	struct member m[] = {{.fn = member_add, .id = 1}, {.fn = member_takes_all_down, .id = 2}, {.fn = member_sees_2, .id = 3}};
	store_open(&st);
	group_together(&st, m, 3);
	db_abandon(st.db);
	store_again(&st);
	CHECK_INT(m[0].rc, RC_OK);
	CHECK_INT(m[0].runs, 2);	/* else the group was not one */
	CHECK_INT(m[1].rc, RC_CONFLICT);
	CHECK_INT(m[2].rc, RC_OK);
	CHECK(store_has(&st, 1) && !store_has(&st, 2) && store_has(&st, 3));
	CHECK_INT(store_rows(&st), 2);
	store_close(&st);
}

static enum rc member_orphan(struct cx *cx, struct db_conn *c, void *arg)
{
	struct member *m = arg;
	m->runs++;
	db_run(c, "INSERT INTO item (id, text) VALUES (?1, 'x')", "i", m->id);
	db_run(c, "INSERT INTO child (id, parent) VALUES (?1, 999)", "i", m->id);
	return db_fail(cx, c);
}

TEST(a_member_that_makes_commit_fail_harms_only_itself)
{
	struct store st;
	struct member m[] = {{.fn = member_add, .id = 1}, {.fn = member_orphan, .id = 2}, {.fn = member_sees_2, .id = 3}};
	store_open(&st);
	store_say(&st, "CREATE TABLE child (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES item(id) DEFERRABLE INITIALLY DEFERRED) STRICT");
	group_together(&st, m, 3);
	db_abandon(st.db);
	store_again(&st);
	CHECK_INT(m[0].rc, RC_OK);
	CHECK_INT(m[0].runs, 2);
	CHECK_INT(m[1].rc, RC_CONFLICT);
	CHECK_INT(m[2].rc, RC_OK);	/* its first verdict rested on a row that never was */
	CHECK_INT(store_rows(&st), 2);
	store_close(&st);
}

static enum rc member_huge(struct cx *cx, struct db_conn *c, void *arg)
{
	struct member *m = arg;
	m->runs++;
	for (int i = 0; i < 24; i++)	/* more than the page cache holds: it must be written before COMMIT */
		db_run(c, "INSERT INTO item (id, text) VALUES (?1, hex(zeroblob(524288)))", "i", m->id + i);
	return db_fail(cx, c);
}

TEST(a_closure_too_big_for_the_disk_harms_only_itself)
{
	struct store st;
	struct member m[] = {{.fn = member_add, .id = 1}, {.fn = member_huge, .id = 100}, {.fn = member_add, .id = 2}};
	store_open(&st);
	shim_room = 4 << 20;
	group_together(&st, m, 3);
	CHECK_INT(m[0].rc, RC_OK);
	CHECK_INT(m[1].rc, RC_FULL);
	CHECK_INT(m[2].rc, RC_OK);
	CHECK_INT(store_rows(&st), 2);
	shim_room = -1;
	db_abandon(st.db);
	store_again(&st);
	CHECK_INT(store_rows(&st), 2);
	store_close(&st);
}

/* ---- a full disk ----------------------------------------------------------------------------------- */

#define FLOODERS 16
#define FLOOD_EACH 60

struct flood { struct store *st; int64_t first; enum rc answer[FLOOD_EACH]; pthread_t thread; };

static char flood_text[24001];

static void *flood_run(void *arg)
{
	struct flood *f = arg;
	for (int64_t i = 0; i < FLOOD_EACH; i++) {
		struct store_row row = {f->first + i, flood_text + (i % 3) * 11000};
		struct cx cx;
		cx_init(&cx, "flood");
		f->answer[i] = db_write(&cx, f->st->db, store_insert, &row);
	}
	return NULL;
}

/* NULL, or what does not fit: a row without its OK, an OK without its row, a wrong refusal. */
static const char *flood_compare(struct store *st, struct flood *floods, int *ok, int *refused)
{
	*ok = *refused = 0;
	for (int t = 0; t < FLOODERS; t++) {
		for (int i = 0; i < FLOOD_EACH; i++) {
			enum rc rc = floods[t].answer[i];
			bool has = store_has(st, floods[t].first + i);
			*ok += rc == RC_OK;
			*refused += rc != RC_OK;
			if (rc == RC_OK && !has)
				return "an OK without its row";
			if (rc != RC_OK && has)
				return "a row without its OK";
			if (rc != RC_OK && rc != RC_FULL && rc != RC_UNAVAILABLE)
				return rc_name(rc);
		}
	}
	return NULL;
}

static bool write_until_ok(struct store *st, int64_t id)
{
	int64_t end = clock_mono() + WAIT_MS;
	while (clock_mono() < end) {
		if (store_try(st, id) == RC_OK)
			return true;
		usleep(10000);
	}
	return false;
}

/* The disk fills up under 16 callers; give_room makes it large again.  NULL, or what went wrong. */
static const char *flood(struct store *st, void (*give_room)(void))
{
	static struct flood floods[FLOODERS];
	const char *wrong;
	int ok, refused;

	memset(flood_text, 'x', sizeof flood_text - 1);
	for (int t = 0; t < FLOODERS; t++) {
		floods[t] = (struct flood){.st = st, .first = 1000 * (t + 1)};
		pthread_create(&floods[t].thread, NULL, flood_run, &floods[t]);
	}
	for (int t = 0; t < FLOODERS; t++)
		pthread_join(floods[t].thread, NULL);
	if ((wrong = flood_compare(st, floods, &ok, &refused)))	/* reads go on */
		return wrong;
	if (ok == 0 || refused == 0)
		return ok ? "the disk was never full" : "the disk was full from the start";
	give_room();
	if (!write_until_ok(st, 7))
		return "no write went through after space returned";
	db_abandon(st->db);
	store_again(st);
	if (!store_has(st, 7))
		return "the write after space returned is not there";
	return flood_compare(st, floods, &ok, &refused);
}

static void shim_grow(void)
{
	shim_room = -1;
}

TEST(a_full_disk_refuses_and_recovers)
{
	struct store st;
	store_open(&st);
	shim_room = 3 << 20;
	const char *wrong = flood(&st, shim_grow);
	shim_room = -1;
	CHECK_SAY(wrong == NULL, "%s", wrong);
	store_close(&st);
}

TEST(on_a_full_disk_the_wal_is_used_again)
{
	struct store st;
	store_open(&st);
	store_add(&st, 1);
	shim_room = 1 << 20;
	for (int i = 0; i < 600; i++)	/* more than a MiB of pages, but fewer than an idle checkpoint waits for */
		store_say(&st, "UPDATE item SET text = text || 'x' WHERE id = 1");
	shim_room = -1;
	CHECK_INT(store_rows(&st), 1);
	store_close(&st);
}

static char ballast[100];

static void ballast_drop(void)
{
	unlink(ballast);
}

static int tmpfs_child(struct store *st)
{
	char bytes[4096] = {1};
	const char *wrong;

	if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0
			|| mount("tmpfs", st->folder, "tmpfs", 0, "size=10m,mode=0700") != 0)
		return 77;	/* not allowed here: the shim's test stands for it */
	snprintf(ballast, sizeof ballast, "%s/ballast", st->folder);
	FILE *f = fopen(ballast, "w");
	for (int i = 0; i < 1280; i++)
		fwrite(bytes, 1, sizeof bytes, f);
	fclose(f);
	store_again(st);
	wrong = flood(st, ballast_drop);
	if (wrong)
		fprintf(stderr, "tmpfs: %s\n", wrong);
	db_close(st->db);
	return wrong ? 1 : 0;
}

TEST(a_real_full_disk_refuses_and_recovers)
{
	struct store st = {0};
	int status;
	snprintf(st.folder, sizeof st.folder, "/tmp/mps-db-XXXXXX");
	CHECK(mkdtemp(st.folder) != NULL);
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		alarm(60);
		_exit(tmpfs_child(&st));
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	store_remove(st.folder);
	CHECK(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		printf("(no right to mount a tmpfs) ");
	else
		CHECK_INT(WEXITSTATUS(status), 0);
}

/* ---- failing syncs --------------------------------------------------------------------------------- */

#define SYNCERS 8

struct syncer { struct store *st; int64_t first; enum rc answer[2000]; int n; atomic_bool *stop; pthread_t thread; };

static void *syncer_run(void *arg)
{
	struct syncer *s = arg;
	while (!*s->stop && s->n < 2000) {
		s->answer[s->n] = store_try(s->st, s->first + s->n);
		if (s->answer[s->n++] != RC_OK)
			usleep(20000);
	}
	return NULL;
}

TEST(a_failed_sync_never_says_ok)
{
	static struct syncer syncers[SYNCERS];
	struct store st;
	atomic_bool stop = false;
	int io = 0, ok = 0;
	store_open(&st);
	int begin = store_commits();
	for (int i = 0; i < SYNCERS; i++) {
		syncers[i] = (struct syncer){.st = &st, .first = 10000 * (i + 1), .stop = &stop};
		pthread_create(&syncers[i].thread, NULL, syncer_run, &syncers[i]);
	}
	while (store_commits() < begin + 20)
		sched_yield();
	shim_fail_sync = 2;
	int64_t end = clock_mono() + WAIT_MS;
	while (store_try(&st, 1) != RC_IO && store_try(&st, 1) != RC_UNAVAILABLE && clock_mono() < end)
		sched_yield();
	CHECK_INT(store_try(&st, 2), RC_UNAVAILABLE);	/* refused while it is paused */
	CHECK(store_rows(&st) > 0);			/* reads go on */
	shim_fail_sync = 0;
	CHECK(write_until_ok(&st, 3));
	stop = true;
	for (int i = 0; i < SYNCERS; i++)
		pthread_join(syncers[i].thread, NULL);
	db_abandon(st.db);
	store_again(&st);
	CHECK(store_has(&st, 3));
	for (int i = 0; i < SYNCERS; i++) {
		for (int k = 0; k < syncers[i].n; k++) {
			enum rc rc = syncers[i].answer[k];
			io += rc == RC_IO;
			ok += rc == RC_OK;
			CHECK_SAY((rc == RC_OK) == store_has(&st, syncers[i].first + k), "answer %s, row %d", rc_name(rc), rc != RC_OK);
		}
	}
	CHECK(ok > 0 && io > 0);
	store_close(&st);
}

TEST(what_a_failed_sync_left_in_the_wal_does_not_come_back)
{
	struct store st;
	store_open(&st);
	store_add(&st, 1);
	shim_fail_sync = 2;
	CHECK_INT(store_try(&st, 2), RC_IO);
	shim_fail_sync = 0;
	int before = store_commits();
	int64_t end = clock_mono() + WAIT_MS;
	while (store_commits() == before && clock_mono() < end)	/* the writer's own probe, after its pause */
		usleep(10000);
	while (store_try(&st, 1) != RC_CONFLICT && clock_mono() < end)	/* 1 is there: this changes nothing */
		usleep(10000);
	db_abandon(st.db);	/* as a crash would: the next one reads the WAL file alone */
	store_again(&st);
	CHECK(store_has(&st, 1));
	CHECK(!store_has(&st, 2));
	store_close(&st);
}

TEST(a_checkpoint_that_fails_loses_nothing)
{
	struct store st;
	store_open(&st);
	store_add(&st, 1);
	shim_fail_sync = 1;
	CHECK(db_scrub(&st.cx, st.db) != RC_OK);
	shim_fail_sync = 0;
	cx_init(&st.cx, "test");
	store_add(&st, 2);
	CHECK_INT(db_scrub(&st.cx, st.db), RC_OK);
	db_abandon(st.db);
	store_again(&st);
	CHECK_INT(store_rows(&st), 2);
	store_close(&st);
}

/* ---- kill -9 --------------------------------------------------------------------------------------- */

#define KILL_ROUNDS 20
#define KILL_THREADS 6

struct victim { struct store *st; int64_t first; int out; };

static void *victim_run(void *arg)
{
	struct victim *v = arg;
	for (int64_t id = v->first; ; id++) {
		if (store_try(v->st, id) == RC_OK && write(v->out, &id, sizeof id) != (ssize_t)sizeof id)
			_exit(3);
	}
	return NULL;
}

static void victim_main(struct store *st, int round, int out)
{
	static struct victim victims[KILL_THREADS];
	pthread_t thread;
	store_again(st);
	for (int i = 0; i < KILL_THREADS; i++) {
		victims[i] = (struct victim){st, (round * 100 + i) * INT64_C(100000), out};
		pthread_create(&thread, NULL, victim_run, &victims[i]);
	}
	pause();
}

/* Reads acknowledged ids; kills after some of them; takes what was still in the pipe too. */
static int acknowledged(pid_t pid, int in, int64_t *ids, int max)
{
	unsigned random;
	int n = 0;
	id_random(&random, sizeof random);
	int limit = 1 + (int)(random % 300);
	while (n < max && read(in, &ids[n], sizeof *ids) == (ssize_t)sizeof *ids)
		if (++n == limit)
			kill(pid, SIGKILL);
	return n;
}

TEST(kill_9_loses_nothing_that_was_acknowledged)
{
	static int64_t ids[20000];
	struct store st;
	shim_register();
	store_open(&st);
	store_shut(&st);
	for (int round = 1; round <= KILL_ROUNDS; round++) {
		int ends[2], n;
		CHECK(pipe(ends) == 0);
		fflush(stdout);
		pid_t pid = fork();
		if (pid == 0) {
			close(ends[0]);
			victim_main(&st, round, ends[1]);
			_exit(4);
		}
		close(ends[1]);
		n = acknowledged(pid, ends[0], ids, 20000);
		close(ends[0]);
		CHECK(waitpid(pid, NULL, 0) == pid);
		CHECK(n > 0);
		store_again(&st);
		for (int i = 0; i < n; i++)
			CHECK_SAY(store_has(&st, ids[i]), "round %d: %lld was acknowledged and is not there", round, (long long)ids[i]);
		store_shut(&st);
		CHECK(store_sound(&st));
	}
	store_remove(st.folder);
}

/* ---- damage ---------------------------------------------------------------------------------------- */

TEST(a_file_that_is_no_store_is_refused)
{
	struct store st;
	char path[200];
	store_open(&st);
	store_shut(&st);
	snprintf(path, sizeof path, "%s/mypostshare.db", st.folder);
	FILE *f = fopen(path, "w");
	for (int i = 0; i < 1000; i++)
		fputs("this is no database. ", f);
	fclose(f);
	st.db = NULL;
	CHECK_INT(db_open(&st.cx, &(struct db_config){.folder = st.folder}, &st.db), RC_CORRUPT);
	CHECK(st.db == NULL);
	CHECK(strstr(st.cx.words, path) != NULL);
	store_remove(st.folder);
}

#ifdef MPS_FAILPOINTS
TEST(a_lost_answer_to_commit_is_not_an_ok)
{
	struct store st;
	setenv("MPS_FAILPOINT", "db.after_commit:4:once,db.before_commit:6:once", 1);
	store_open(&st);	/* two commits: bootstrap and one migration */
	store_add(&st, 1);
	CHECK_INT(store_try(&st, 2), RC_IO);	/* stored, but nobody knows */
	CHECK(write_until_ok(&st, 3));		/* after the probe, the 5th; or the 6th fails and a second pause follows */
	db_abandon(st.db);
	store_again(&st);
	CHECK(store_has(&st, 1) && store_has(&st, 3));
	store_close(&st);
}
#endif
