/*
 * The engine's thread: one turn after another.  A turn collects finished commits, timers, transfers and
 * answers of hosts, admits what is due, and hands what it learned to the writer as one closure.
 */
#include "core/engine/op.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/text.h"
#include "core/engine/provide.h"
#include "core/model/server.h"
#include "core/model/sweep.h"

#define GAP_MS 20000		/* a process that stood still for longer asks whether it is still the owner */
#define CLEAN_MS 10000
#define IDLE_MS 1000
#define CLOSE_MS 8000
#define OPS_MAX 16384

/* ---- sweeping -------------------------------------------------------------------------------------------- */

static enum rc sweep(struct cx *cx, struct db_conn *c, void *arg)
{
	int more;

	(void)cx;
	(void)arg;
	sweep_run(c, clock_now(), &more);
	return db_rc(c);
}

static void swept(enum rc rc, const char *words, void *arg)
{
	(void)arg;
	if (rc != RC_OK)
		log_warn("engine", "sweep: %s", words ? words : rc_name(rc));
}

static void clean_turn(struct engine *e)
{
	if (clock_mono() < e->clean_at)
		return;
	e->clean_at = clock_mono() + CLEAN_MS;
	db_write_async(e->db, sweep, swept, e);
}

/* ---- one turn -------------------------------------------------------------------------------------------- */

static void timers(struct engine *e)
{
	int64_t now = clock_mono();
	struct op *op = e->ops.next, *next;

	for (; op != &e->ops; op = next) {
		next = op->next;
		if (op->at == OP_WAITING && op->wake_at <= now) {
			op->at = OP_STEPPING;
			op_timer(op);
		}
	}
}

static int until_timer(const struct engine *e, int most)
{
	int64_t now = clock_mono();

	for (const struct op *op = e->ops.next; op != &e->ops; op = op->next)
		if (op->at == OP_WAITING && op->wake_at - now < most)
			most = op->wake_at > now ? (int)(op->wake_at - now) : 0;
	return most;
}

/* After standing still: has another process taken the store over?  Then nothing of ours may be sent. */
static bool still_owner(struct engine *e)
{
	int64_t boot = clock_boot(), epoch;
	struct db_conn *c;

	if (boot - e->checked_boot < GAP_MS) {
		e->checked_boot = boot;
		return true;
	}
	log_warn("engine", "stood still for %lld ms: reading the epoch again", (long long)(boot - e->checked_boot));
	c = db_take(e->db);
	epoch = server_epoch(c);
	db_give(c);
	e->checked_boot = clock_boot();
	if (epoch == e->epoch)
		return true;
	log_error("engine", "epoch %lld is over (now %lld): another server owns the store; stopping", (long long)e->epoch, (long long)epoch);
	return false;
}

static bool woken(struct engine *e)
{
	bool was;

	pthread_mutex_lock(&e->lock);
	was = e->woken;
	e->woken = false;
	pthread_mutex_unlock(&e->lock);
	return was;
}

static int turn_ms(struct engine *e)
{
	int ms = until_timer(e, IDLE_MS), hosts = hosts_timeout(e->hosts);
	int64_t due = e->scan_at - clock_now();

	if (hosts >= 0 && hosts < ms)
		ms = hosts;
	if (e->out_count > 0 && !e->out_running && ms > 100)
		ms = 100;
	if (!e->stopping && due < ms)
		ms = due > 0 ? (int)due : 0;
	return ms;
}

static void turn(struct engine *e)
{
	struct http_wait waits[512];
	unsigned count;

	e->stats.turns++;
	commit_collect(e);
	timers(e);
	provide_turn(e);
	if (woken(e))
		e->scan_at = 0;
	if (!e->stopping && clock_now() >= e->scan_at && e->active < OPS_MAX - 512 && (e->out_count == 0 || e->out_running))
		claim_due(e);
	clean_turn(e);
	commit_flush(e);
	count = hosts_waits(e->hosts, waits, sizeof waits / sizeof waits[0]);
	http_turn(e->http, waits, count, turn_ms(e));
	hosts_turn(e->hosts);
	e->stats.active = e->active;
	e->stats.sending = http_running(e->http);
}

/* Waiting ops are in the store as they are; only what is between request and answer is worth waiting for. */
static bool quiet(const struct engine *e)
{
	if (e->out_running || e->out_count > 0 || e->batch_count > 0)
		return false;
	for (const struct op *op = e->ops.next; op != &e->ops; op = op->next)
		if (op->at == OP_SENDING || op->at == OP_STEPPING)
			return false;
	return true;
}

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
		if (!still_owner(e))
			abort();	/* the supervisor starts a new one, which waits for the lock */
		if (stop_asked(e)) {
			e->stopping = true;
			deadline = deadline ? deadline : clock_mono() + CLOSE_MS;
			if (quiet(e) || clock_mono() > deadline)
				return;
		}
		turn(e);
	}
}

/* ---- the thread ------------------------------------------------------------------------------------------- */

struct opening { struct engine *e; struct cx *cx; enum rc rc; bool ready; };

static enum rc open_here(struct cx *cx, struct engine *e)
{
	const struct conf *conf = e->config.conf;
	const char *own = e->config.sandbox_url ? strstr(e->config.sandbox_url, "://") : NULL;
	struct http_config http = {.allow = (const char *const *)conf->allow, .own = own ? own + 3 : NULL, .ca_file = conf->ca_file};
	bool unclean = false;
	enum rc rc = server_start(cx, e->db, &e->epoch, &unclean);

	if (rc == RC_OK)
		rc = http_open(cx, &http, &e->http);
	if (rc == RC_OK)
		rc = hosts_open(cx, conf->host_program, &e->hosts);
	if (rc != RC_OK)
		return rc;
	if (unclean)
		log_warn("engine", "the last server did not stop cleanly");
	e->stats.epoch = e->epoch;
	provide_load(e);
	return recover(cx, e);
}

static void *thread_main(void *arg)
{
	struct opening *o = arg;
	struct engine *e = o->e;
	enum rc rc;

	e->checked_boot = clock_boot();
	rc = open_here(o->cx, e);
	pthread_mutex_lock(&e->lock);
	o->rc = rc;
	o->ready = true;
	pthread_cond_broadcast(&e->ended);
	pthread_mutex_unlock(&e->lock);
	if (rc == RC_OK)
		run(e);
	while (e->ops.next != &e->ops)
		op_free(e->ops.next);
	hosts_close(e->hosts);
	return NULL;
}

static void dispose(struct engine *e)
{
	http_close(e->http);
	limit_drop(e->limit);
	for (int i = 0; i < 64; i++)
		free(e->redirects[i].url);
	buf_free(&e->providers_json);
	free(e->orgs);
	free(e->batch);
	free(e->out);
	pthread_cond_destroy(&e->ended);
	pthread_mutex_destroy(&e->lock);
	free(e);
}

enum rc engine_open(struct cx *cx, const struct engine_config *config, struct engine **ret)
{
	struct engine *e = calloc(1, sizeof *e);
	struct opening o = {e, cx, RC_OK, false};
	pthread_condattr_t attr;

	if (e == NULL)
		return fail(cx, RC_NOMEM, "no memory for the engine");
	e->config = *config;
	e->db = config->db;
	e->vault = config->vault;
	e->ops.next = e->ops.prev = &e->ops;
	e->running = true;
	e->batch_size = config->conf->claim_batch > 0 ? config->conf->claim_batch : 200;
	e->batch = calloc(OPS_MAX, sizeof *e->batch);
	e->out = calloc(OPS_MAX, sizeof *e->out);
	e->limit = limit_new(8192);
	buf_init(&e->providers_json, 1u << 20);
	pthread_mutex_init(&e->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&e->ended, &attr);
	pthread_condattr_destroy(&attr);
	if (e->batch == NULL || e->out == NULL || pthread_create(&e->thread, NULL, thread_main, &o) != 0)
		abort();
	pthread_mutex_lock(&e->lock);
	while (!o.ready)
		pthread_cond_wait(&e->ended, &e->lock);
	pthread_mutex_unlock(&e->lock);
	if (o.rc != RC_OK) {
		pthread_join(e->thread, NULL);
		dispose(e);
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
	pthread_mutex_unlock(&e->lock);
	http_wakeup(e->http);
	pthread_join(e->thread, NULL);
	server_stop(e->db, e->epoch);
	dispose(e);
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
	*ret = e->stats;
}
