/*
 * The thread of late commits.  Its rows are durable: what was promised to appear five seconds later appears
 * even if the sandbox was killed and started again meanwhile.
 */
#include "core/sandbox/late.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/sandbox/publish.h"

#define IDLE_MS 60000
#define RETRY_MS 500

static enum rc commit_due(struct cx *cx, struct db_conn *c, void *arg)
{
	char post[ID_MAX];

	(void)arg;
	for (;;) {
		STMT_AUTO struct stmt *q = db_query(c, "SELECT post_id FROM late WHERE due_at <= ?1 ORDER BY due_at LIMIT 1", "i", clock_now());

		if (!db_next(q))
			break;
		snprintf(post, sizeof post, "%s", db_text(q, 0));
		db_end(q);
		q = NULL;
		sandbox_publish_waiting(c, post);
		if (db_run(c, "DELETE FROM late WHERE post_id = ?1", "s", post) != 1)
			break;
	}
	return db_fail(cx, c);
}

/* How long until the next row is due. */
static int64_t next_ms(struct sandbox *s)
{
	DB_READ_AUTO struct db_conn *c = db_take(s->db);
	int64_t due = db_number(c, INT64_MAX, "SELECT min(due_at) FROM late WHERE due_at > 0", "");
	int64_t now = clock_now();

	if (due == INT64_MAX || due == 0 || due - now > IDLE_MS)
		return IDLE_MS;
	return due > now ? due - now : 0;
}

static void sleep_until(struct sandbox *s, int64_t ms)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	at.tv_sec += ms / 1000;
	at.tv_nsec += (ms % 1000) * 1000000;
	if (at.tv_nsec >= 1000000000) {
		at.tv_sec++;
		at.tv_nsec -= 1000000000;
	}
	pthread_mutex_lock(&s->lock);
	while (!s->due_new && !atomic_load(&s->closing))
		if (pthread_cond_timedwait(&s->due, &s->lock, &at) != 0)
			break;
	s->due_new = false;
	pthread_mutex_unlock(&s->lock);
}

static void *run(void *arg)
{
	struct sandbox *s = arg;

	while (!atomic_load(&s->closing)) {
		int64_t ms = next_ms(s);
		struct cx cx;

		cx_init(&cx, "sandbox late");
		if (!ms && db_write(&cx, s->db, commit_due, NULL) != RC_OK)
			ms = RETRY_MS;
		if (ms)
			sleep_until(s, ms);
	}
	return NULL;
}

enum rc sandbox_late_start(struct cx *cx, struct sandbox *s)
{
	int e = pthread_create(&s->late, NULL, run, s);

	if (e)
		return fail(cx, RC_IO, "cannot start the sandbox's thread of late commits: %s", strerror(e));
	s->late_runs = true;
	return RC_OK;
}

void sandbox_late_wake(struct sandbox *s)
{
	pthread_mutex_lock(&s->lock);
	s->due_new = true;
	pthread_cond_signal(&s->due);
	pthread_mutex_unlock(&s->lock);
}

void sandbox_late_stop(struct sandbox *s)
{
	if (!s->late_runs)
		return;
	sandbox_late_wake(s);
	pthread_join(s->late, NULL);
	s->late_runs = false;
}
