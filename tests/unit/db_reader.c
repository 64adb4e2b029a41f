/*
 * F9: readers that would read for ever, two of them overlapping so that one is always there, beside callers that write
 * without a pause: each read is cut after its second, and the WAL stays under 256 MiB however much is written.
 *
 * 10 s and at least 600 MiB; an hour with TEST_LONG=1.
 */
#include "core/io/db.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "tests/unit/db_store.h"

#define WRITERS 4
#define READERS 2
#define ROW (128 * 1024)
#define LEAST (600ll << 20)
#define WAL_MOST (256ll << 20)

static atomic_bool stop;
static atomic_llong written, cut, uncut, slowest;

struct hand { struct store *st; int64_t n; pthread_t thread; };

static enum rc rewrite(struct cx *cx, struct db_conn *c, void *arg)
{
	const struct hand *h = arg;
	db_run(c, "UPDATE item SET text = hex(randomblob(65500)) WHERE id = ?1", "i", h->n);	/* equal pages would not be written */
	return db_fail(cx, c);
}

static void *write_on(void *arg)
{
	struct hand *h = arg;
	struct cx cx;

	while (!stop) {
		cx_init(&cx, "writer");
		if (db_write(&cx, h->st->db, rewrite, h) == RC_OK)
			atomic_fetch_add(&written, ROW);
	}
	return NULL;
}

static void *read_on(void *arg)
{
	struct hand *h = arg;

	usleep((useconds_t)h->n * 500000);	/* so that they overlap */
	while (!stop) {
		struct db_conn *c = db_take(h->st->db);
		int64_t begun = clock_mono(), took;
		(void)db_number(c, 0, "SELECT COUNT(*) FROM item a, item b, item c, item d, item e, item f, item g, item h, item i WHERE a.text"
				" < b.text || c.text", "");
		atomic_fetch_add(db_rc(c) == RC_TIMEOUT ? &cut : &uncut, 1);
		db_give(c);
		took = clock_mono() - begun;
		if (took > slowest)
			slowest = took;
	}
	return NULL;
}

TEST(F9_long_readers_are_cut_and_the_wal_stays_small)
{
	struct store st;
	struct hand writers[WRITERS], readers[READERS];
	long long most = 0;
	struct stat s;
	char wal[200];
	int64_t begun = clock_mono(), ms = getenv("TEST_LONG") ? 3600000 : 10000;

	shim_register();
	snprintf(st.folder, sizeof st.folder, "%s/mps-db-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	CHECK(mkdtemp(st.folder) != NULL);
	store_again(&st);
	for (int64_t i = 0; i < 40; i++)
		store_add(&st, i);
	snprintf(wal, sizeof wal, "%s-wal", db_file(st.db));
	for (int i = 0; i < WRITERS; i++) {
		writers[i] = (struct hand){.st = &st, .n = i};
		CHECK(pthread_create(&writers[i].thread, NULL, write_on, &writers[i]) == 0);
	}
	for (int i = 0; i < READERS; i++) {
		readers[i] = (struct hand){.st = &st, .n = i};
		CHECK(pthread_create(&readers[i].thread, NULL, read_on, &readers[i]) == 0);
	}
	while (clock_mono() - begun < ms || (written < LEAST && clock_mono() - begun < 120000)) {
		if (stat(wal, &s) == 0 && s.st_size > most)
			most = s.st_size;
		usleep(5000);
	}
	stop = true;
	for (int i = 0; i < WRITERS; i++)
		pthread_join(writers[i].thread, NULL);
	for (int i = 0; i < READERS; i++)
		pthread_join(readers[i].thread, NULL);
	printf("# %lld MiB written, the WAL had %lld MiB at most, %lld reads were cut, the longest took %lld ms\n", written >> 20, most >> 20,
	       cut, slowest);
	CHECK_SAY(written >= LEAST, "only %lld MiB were written", written >> 20);
	CHECK_SAY(most < WAL_MOST, "the WAL had %lld MiB", most >> 20);
	CHECK_INT(uncut, 0);
	CHECK(cut >= 10);
	CHECK_SAY(slowest < 5000, "a read took %lld ms", slowest);
	store_close(&st);
}
