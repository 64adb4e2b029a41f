/*
 * The engine's thread, and what other threads may ask of it.  What the thread does, turn after turn: turn.c.
 */
#include "core/engine/op.h"

#include <stdlib.h>
#include <time.h>

#include "core/base/clock.h"
#include "core/base/text.h"
#include "core/model/server.h"

#define CLOSE_MS 8000

static bool stop_asked(struct engine *e)
{
	bool asked;

	pthread_mutex_lock(&e->lock);
	asked = !e->running;
	pthread_mutex_unlock(&e->lock);
	return asked;
}

static void run(struct engine *e)
{
	int64_t deadline = 0;

	for (;;) {
		if (stop_asked(e)) {
			e->stopping = true;
			deadline = deadline ? deadline : clock_mono() + CLOSE_MS;
			if (engine_quiet(e) || clock_mono() > deadline)
				return;
		}
		if (!engine_turn(e))
			abort();	/* the supervisor starts a new one, which waits for the lock */
	}
}

/* ---- the thread ------------------------------------------------------------------------------------------- */

struct opening { struct engine *e; struct cx *cx; enum rc rc; bool ready; };

/* The writer still holds the ops of the commit that is out: it answers, however slow the disk. */
static void await_commit(struct engine *e)
{
	pthread_mutex_lock(&e->lock);
	while (e->out_running && !e->commit_done)
		pthread_cond_wait(&e->ended, &e->lock);
	pthread_mutex_unlock(&e->lock);
}

static void *thread_main(void *arg)
{
	struct opening *o = arg;
	struct engine *e = o->e;
	enum rc rc;

	rc = engine_begin(o->cx, e);
	pthread_mutex_lock(&e->lock);
	o->rc = rc;
	o->ready = true;
	pthread_cond_broadcast(&e->ended);
	pthread_mutex_unlock(&e->lock);
	if (rc == RC_OK)
		run(e);
	await_commit(e);
	engine_end(e);
	return NULL;
}

enum rc engine_open(struct cx *cx, const struct engine_config *config, struct engine **ret)
{
	struct engine *e = engine_make(config);
	struct opening o = {e, cx, RC_OK, false};

	if (pthread_create(&e->thread, NULL, thread_main, &o) != 0)
		abort();
	pthread_mutex_lock(&e->lock);
	while (!o.ready)
		pthread_cond_wait(&e->ended, &e->lock);
	pthread_mutex_unlock(&e->lock);
	if (o.rc != RC_OK) {
		pthread_join(e->thread, NULL);
		engine_drop(e);
		return o.rc;
	}
	*ret = e;
	return RC_OK;
}

void engine_close(struct engine *e)
{
	if (e == NULL)
		return;
	pthread_mutex_lock(&e->lock);
	e->running = false;
	pthread_cond_broadcast(&e->ended);
	pthread_mutex_unlock(&e->lock);
	http_wakeup(e->http);
	pthread_join(e->thread, NULL);
	server_stop(e->db, e->epoch);
	engine_drop(e);
}

/* ---- other threads ----------------------------------------------------------------------------------------- */

void engine_wake(struct engine *e)
{
	pthread_mutex_lock(&e->lock);
	e->woken = true;
	pthread_mutex_unlock(&e->lock);
	http_wakeup(e->http);
}

uint64_t engine_wait(struct engine *e, uint64_t seen, int ms)
{
	struct timespec until;
	uint64_t now;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += ms / 1000;
	until.tv_nsec += (long)(ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	pthread_mutex_lock(&e->lock);
	while (e->ended_count == seen && e->running && pthread_cond_timedwait(&e->ended, &e->lock, &until) == 0)
		;
	now = e->ended_count;
	pthread_mutex_unlock(&e->lock);
	return now;
}

char *engine_redirect_take(struct engine *e, const char *operation_id)
{
	char *url = NULL;

	pthread_mutex_lock(&e->lock);
	for (int i = 0; i < 64 && url == NULL; i++)
		if (text_eq(e->redirects[i].operation_id, operation_id)) {
			url = e->redirects[i].url;
			e->redirects[i] = (struct redirect){.url = NULL};
		}
	pthread_mutex_unlock(&e->lock);
	return url;
}

void engine_stats(struct engine *e, struct engine_stats *ret)
{
	pthread_mutex_lock(&e->lock);
	*ret = e->told;
	pthread_mutex_unlock(&e->lock);
}
