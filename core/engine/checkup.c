/*
 * The checkup's thread: see checkup.h.
 *
 * The one thing to know: a check holds one moment of the store, so it gives way while much is written and is tried
 * again later; only one that came to its end is written down as done.
 */
#include "core/engine/checkup.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/model/server.h"

#define FIRST_MS 1000		/* a start has better things to do */
#define AGAIN_MS 60000		/* after it gave way */
#define LOOK_MS 600000
#define WEEK_MS (7 * 86400000ll)

struct checkup {
	struct db *db;
	bool unclean;			/* and not checked since */
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t end;
	atomic_bool stop;
};

/* A time to come is no time: the clock was wrong then, or is now. */
static bool is_due(struct checkup *k)
{
	DB_READ_AUTO struct db_conn *c = db_take(k->db);
	int64_t last = server_checked(c), now = clock_now();

	return k->unclean || last > now || now - last >= WEEK_MS;
}

/* How long until the next look. */
static int look(struct checkup *k)
{
	int64_t begun = clock_mono();
	struct cx cx;
	enum rc rc;

	if (db_rescue(k->db) || !is_due(k))
		return LOOK_MS;
	cx_init(&cx, "checkup");
	rc = db_checkup(&cx, k->db, false, &k->stop);
	if (rc == RC_OK)
		rc = server_checked_now(&cx, k->db);
	if (rc != RC_OK)
		return AGAIN_MS;
	k->unclean = false;
	log_info("checkup", "the store is sound (%lld ms)", (long long)(clock_mono() - begun));
	return LOOK_MS;
}

/* False: it is to end. */
static bool nap(struct checkup *k, int ms)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += ms / 1000;
	pthread_mutex_lock(&k->lock);
	while (!k->stop && pthread_cond_timedwait(&k->end, &k->lock, &t) == 0)
		;
	pthread_mutex_unlock(&k->lock);
	return !k->stop;
}

static void *run(void *arg)
{
	struct checkup *k = arg;

	for (int ms = FIRST_MS; nap(k, ms); ms = look(k))
		;
	return NULL;
}

enum rc checkup_open(struct cx *cx, struct db *db, struct checkup **ret)
{
	struct checkup *k = calloc(1, sizeof *k);
	pthread_condattr_t attr;
	int e;

	if (k == NULL)
		return fail(cx, RC_NOMEM, "no memory for the checkup");
	k->db = db;
	{
		DB_READ_AUTO struct db_conn *c = db_take(db);
		k->unclean = server_unclean(c);
	}
	pthread_mutex_init(&k->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&k->end, &attr);
	pthread_condattr_destroy(&attr);
	e = pthread_create(&k->thread, NULL, run, k);
	if (e == 0) {
		*ret = k;
		return RC_OK;
	}
	pthread_cond_destroy(&k->end);
	pthread_mutex_destroy(&k->lock);
	free(k);
	return fail(cx, RC_UNAVAILABLE, "no thread for the checkup: %s", strerror(e));
}

void checkup_close(struct checkup *k)
{
	if (k == NULL)
		return;
	pthread_mutex_lock(&k->lock);
	k->stop = true;
	pthread_cond_signal(&k->end);
	pthread_mutex_unlock(&k->lock);
	pthread_join(k->thread, NULL);
	pthread_cond_destroy(&k->end);
	pthread_mutex_destroy(&k->lock);
	free(k);
}
