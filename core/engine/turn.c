/*
 * Turns: the engine without its thread.  A turn collects finished commits, timers, transfers and answers of
 * hosts, admits what is due, and hands what it learned to the writer as one closure.
 *
 * The one thing to know: nothing here waits but http_turn, so whoever brings clock, hosts and transfers of his
 * own (the simulator) can drive an engine step by step.
 */
#include "core/engine/op.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/engine/provide.h"
#include "core/model/server.h"
#include "core/model/sweep.h"

#define GAP_MS 20000		/* a process that stood still for longer asks whether it is still the owner */
#define STEP_MS 1000		/* a wall clock that runs off by less was not set */
#define CLEAN_MS 10000
#define SCAN_GAP_MS 5		/* under load every turn ends something; a scan looks at every op in work */
#define IDLE_MS 1000
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
	if (clock_mono() < e->clean_at || db_rescue(e->db))
		return;
	e->clean_at = clock_mono() + CLEAN_MS;
	db_write_async(e->db, sweep, swept, e);
}

/* ---- the wall clock, when it is set ----------------------------------------------------------------------- */

static enum rc set_back(struct cx *cx, struct db_conn *c, void *arg)
{
	const struct set_back *b = arg;

	(void)cx;
	sweep_set_back(c, b->ms, clock_now());
	return db_rc(c);
}

static void was_set_back(enum rc rc, const char *words, void *arg)
{
	swept(rc, words, NULL);
	atomic_store(&((struct set_back *)arg)->out, false);
}

static void set_back_turn(struct engine *e)
{
	if (e->set_back == 0 || atomic_load(&e->back.out))
		return;
	e->back.ms = e->set_back;
	e->set_back = 0;
	atomic_store(&e->back.out, true);
	db_write_async(e->db, set_back, was_set_back, &e->back);
}

/* Against boot time, which nobody sets.  What is concluded from a time that has passed by the wall clock alone is not
 * believed until the clock has stood by it for as long. */
static void watch_clock(struct engine *e)
{
	int64_t boot = clock_boot(), lead = clock_now() - boot, step = lead - e->lead;

	if (step > -STEP_MS && step < STEP_MS)
		return;
	if (boot - e->steady_since > GAP_MS)
		log_warn("engine", "the clock was set by %lld ms", (long long)step);
	e->lead = lead;
	e->steady_since = boot;
	e->scan_at = 0;
	if (step < 0)
		e->set_back -= step;
}

/* ---- one turn -------------------------------------------------------------------------------------------- */

void op_waits(struct op *op)
{
	op->at = OP_WAITING;
	if (op->wake_at < op->e->wake_next)
		op->e->wake_next = op->wake_at;
}

/* Most ops wait for an answer, not for a time: they are looked through when the first of those times has come. */
static void timers(struct engine *e)
{
	int64_t now = clock_mono();
	struct op *op = e->ops.next, *next;

	if (now < e->wake_next || db_rescue(e->db))
		return;
	e->wake_next = INT64_MAX;
	for (; op != &e->ops && !db_rescue(e->db); op = next) {
		next = op->next;
		if (op->at == OP_WAITING && op->wake_at <= now) {
			op->at = OP_STEPPING;
			op_timer(op);
		} else if (op->at == OP_WAITING && op->wake_at < e->wake_next) {
			e->wake_next = op->wake_at;
		}
	}
}

static int until_timer(const struct engine *e, int most)
{
	int64_t left = e->wake_next - clock_mono();

	return left < 0 ? 0 : left < most ? (int)left : most;
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

/* It may have stood still at any place, also between a turn's beginning and the connection's. */
static bool may_send(void *arg)
{
	struct engine *e = arg;

	e->usurped = e->usurped || !still_owner(e);
	return !e->usurped;
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
	int ms = db_rescue(e->db) ? IDLE_MS : until_timer(e, IDLE_MS), hosts = hosts_timeout(e->hosts);
	int64_t due = e->scan_at - clock_now(), rest = e->scanned_at + SCAN_GAP_MS - clock_mono();

	if (hosts >= 0 && hosts < ms)
		ms = hosts;
	if (e->out_count > 0 && !e->out_running && ms > 100)
		ms = 100;
	if (due < rest)
		due = rest;
	if (!e->stopping && !db_rescue(e->db) && due < ms)
		ms = due > 0 ? (int)due : 0;
	return ms;
}

static bool scan_due(const struct engine *e)
{
	return !e->stopping && !db_rescue(e->db) &&
	       clock_now() >= e->scan_at && clock_mono() >= e->scanned_at + SCAN_GAP_MS && e->active < OPS_MAX - 512 &&
	       (e->out_count == 0 || e->out_running);
}

/* What other threads see: as of the moment before the engine waits, and after what it waited for. */
static void stats_tell(struct engine *e)
{
	e->stats.active = e->active;
	e->stats.sending = http_running(e->http);
	pthread_mutex_lock(&e->lock);
	e->told = e->stats;
	pthread_mutex_unlock(&e->lock);
}

bool engine_turn(struct engine *e)
{
	struct http_wait waits[512];
	unsigned count;

	if (!may_send(e))
		return false;
	e->stats.turns++;
	watch_clock(e);
	commit_collect(e);
	timers(e);
	provide_turn(e);
	if (woken(e))
		e->scan_at = 0;
	if (scan_due(e))
		claim_due(e);
	set_back_turn(e);
	clean_turn(e);
	commit_flush(e);
	count = hosts_waits(e->hosts, waits, sizeof waits / sizeof waits[0]);
	stats_tell(e);
	http_turn(e->http, waits, count, turn_ms(e));
	hosts_turn(e->hosts);
	stats_tell(e);
	return true;
}

/* Waiting ops are in the store as they are; only what is between request and answer is worth waiting for. */
bool engine_quiet(const struct engine *e)
{
	if (e->out_running || (!db_rescue(e->db) && (e->out_count > 0 || e->batch_count > 0)))
		return false;
	for (const struct op *op = e->ops.next; op != &e->ops; op = op->next)
		if (op->at == OP_SENDING || op->at == OP_STEPPING)
			return false;
	return true;
}

/* ---- beginning and ending ------------------------------------------------------------------------------------ */

struct engine *engine_make(const struct engine_config *config)
{
	struct engine *e = calloc(1, sizeof *e);
	pthread_condattr_t attr;

	if (e == NULL)
		out_of_memory(__func__);
	e->config = *config;
	e->db = config->db;
	e->vault = config->vault;
	e->ops.next = e->ops.prev = &e->ops;
	e->running = true;
	e->batch_size = config->conf->claim_batch > 0 ? config->conf->claim_batch : 200;
	e->batch = calloc(OPS_MAX, sizeof *e->batch);
	e->out = calloc(OPS_MAX, sizeof *e->out);
	e->limit = limit_new(8192);
	e->nonces = dpop_nonces_new();
	if (e->batch == NULL || e->out == NULL || e->limit == NULL)
		out_of_memory(__func__);
	buf_init(&e->providers_json, 1u << 20);
	pthread_mutex_init(&e->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&e->ended, &attr);
	pthread_condattr_destroy(&attr);
	return e;
}

/* Over a damaged store it only shows its providers: nothing is claimed, and nothing is sent. */
static enum rc watch(struct engine *e)
{
	DB_READ_AUTO struct db_conn *c = db_take(e->db);

	e->epoch = server_epoch(c);
	return RC_OK;
}

enum rc engine_begin(struct cx *cx, struct engine *e)
{
	const struct conf *conf = e->config.conf;
	const char *own = e->config.sandbox_url ? strstr(e->config.sandbox_url, "://") : NULL;
	struct http_config http = {.allow = (const char *const *)conf->allow, .own = own ? own + 3 : NULL, .ca_file = conf->ca_file,
				   .may_send = may_send, .arg = e};
	bool unclean = false;
	enum rc rc;

	e->checked_boot = e->steady_since = clock_boot();
	e->lead = clock_steady() - e->steady_since;
	rc = db_rescue(e->db) ? watch(e) : server_start(cx, e->db, &e->epoch, &unclean);
	if (rc == RC_OK)
		rc = http_open(cx, &http, &e->http);
	if (rc == RC_OK)
		rc = hosts_open(cx, conf->host_program, &e->hosts);
	if (rc != RC_OK)
		return rc;
	if (unclean)
		log_warn("engine", "the last server did not stop cleanly");
	e->stats.epoch = e->epoch;
	stats_tell(e);
	provide_load(e);
	return db_rescue(e->db) ? RC_OK : recover(cx, e);
}

void engine_end(struct engine *e)
{
	while (e->ops.next != &e->ops)
		op_free(e->ops.next);
	if (e->hosts != NULL)
		hosts_close(e->hosts);
	e->hosts = NULL;
}

void engine_drop(struct engine *e)
{
	http_close(e->http);
	limit_drop(e->limit);
	dpop_nonces_drop(e->nonces);
	for (int i = 0; i < 64; i++)
		free(e->redirects[i].url);
	buf_free(&e->providers_json);
	provide_end(e);
	free(e->later);
	free(e->orgs);
	free(e->batch);
	free(e->out);
	pthread_cond_destroy(&e->ended);
	pthread_mutex_destroy(&e->lock);
	free(e);
}
