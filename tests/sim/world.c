/*
 * The clock and the order of events.  Time jumps to the next moment at which anything can happen; what happens
 * there: the platform, the wire, the people, the writer, then a turn of the engine.
 *
 * A crash is a flag: from the effect before which the process died, nothing the engine does reaches store, wire or
 * host any more; when its turn returns it is thrown away.  That is what kill -9 looks like from outside.
 */
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/text.h"
#include "core/model/server.h"
#include "tests/rig/power.h"
#include "tests/sim/platform.h"

#define BEGIN 1800000000000ll
#define PATIENCE (20 * DAY)		/* after the storm: by then everything has an end */
#define TURNS_MAX 40000
#define SAME_MOMENT 300
#define SCAN_GAP 5			/* the engine's own */

struct sim sim;

static int64_t virtual_now(void) { return sim.now; }

/* ---- words ---------------------------------------------------------------------------------------------------- */

static void say(const char *fmt, va_list ap)
{
	int64_t ms = sim.now - sim.begin;

	printf("%3lldd %02lld:%02lld:%02lld.%03lld  ", (long long)(ms / DAY), (long long)(ms / HOUR % 24), (long long)(ms / MINUTE % 60),
	       (long long)(ms / SECOND % 60), (long long)(ms % 1000));
	for (char line[600], *p = line; vsnprintf(line, sizeof line, fmt, ap) >= 0 && *p; p = line + strlen(line)) {
		for (; *p; p++)
			if (*p == '\n')
				*p = '|';
		puts(line);
		break;
	}
}

void sim_note(const char *fmt, ...)
{
	va_list ap;

	if (!sim.tracing)
		return;
	va_start(ap, fmt);
	say(fmt, ap);
	va_end(ap);
}

/* What the engine held in its hands. */
static void note_ops(void)
{
	static const char *const places[] = {"stepping", "committing", "sending", "waiting", "refreshing"};

	if (sim.engine == NULL)
		return;
	for (const struct op *op = sim.engine->ops.next; op != &sim.engine->ops; op = op->next)
		sim_note("  op %s of %s: %s, phase %s, event %s, waits %lld s", op->row.kind, op->publish ? op->d.text : op->grant.id ? op->grant.id : "",
			 places[op->at], op->phase, op->event, op->at == OP_WAITING ? (long long)(op->wake_at - sim.now) / 1000 : 0);
}

void sim_violation(const char *fmt, ...)
{
	va_list ap;

	if (sim.failed)
		return;
	sim.failed = true;
	va_start(ap, fmt);
	vsnprintf(sim.words, sizeof sim.words, fmt, ap);
	va_end(ap);
	sim_note("VIOLATION: %s", sim.words);
	note_ops();
}

/* ---- the process ---------------------------------------------------------------------------------------------- */

bool sim_effect(void)
{
	if (!sim.dead && sim.crash_in > 0 && --sim.crash_in == 0) {
		sim.dead = true;
		sim_note("crash: the process dies here");
	}
	return !sim.dead;
}

void sim_crash_after(int effects)
{
	if (effects == 0)
		sim.dead = true;
	sim.crash_in = effects;
	sim_note("crash: planned after %d effects", effects);
}

void sim_stop(int64_t ms)
{
	sim.stopped_until = sim.now + ms;
	sim.stops++;
	sim_note("the process stands still for %lld ms", (long long)ms);
}

void sim_restart(void)
{
	if (sim.engine == NULL || sim.stopping)
		return;
	sim_note("restart: stopping");
	sim.stopping = true;
	sim.stop_by = sim.now + 8 * SECOND;
	sim.engine->running = false;
	sim.engine->stopping = true;
}

static void drop(void)
{
	engine_end(sim.engine);
	engine_drop(sim.engine);
	sim.engine = NULL;
	sim.stopping = false;
	wire_forget();
	write_forget();
}

/* Half of the time until the last moments in which the key may be used, by one rule or without it. */
static int64_t edge_down(void)
{
	const struct plan *p = &sim.plan;
	int64_t last = p->window - (sim_chance(50) ? p->timeout : p->settle), down = last - sim_below(p->settle + 3 * SECOND);

	return sim_chance(50) || down < 0 ? sim_below(p->window) : down;
}

static void crash(void)
{
	if (sim.engine != NULL)
		drop();
	if (sim.power && power_is_off()) {
		sim.power_cuts++;
		sim_note("the power was lost inside a commit");
		store_power_cut();
	}
	sim.dead = false;
	sim.crash_in = 0;
	sim.crashes++;
	sim.up_at = sim.now + (sim.plan.edge ? edge_down() : sim_chance(70) ? sim_delay(5 * MINUTE) : sim_delay(3 * HOUR));
	sim_note("crash: up again in %lld ms", (long long)(sim.up_at - sim.now));
}

/* What waits for the writer is done before the store is closed. */
static void stopped(void)
{
	int64_t epoch = sim.engine->epoch;

	if (!engine_quiet(sim.engine) && sim.now < sim.stop_by)
		return;
	if (sim.engine->out_running && !sim.engine->commit_done)
		return;
	drop();
	server_stop(sim.store.db, epoch);
	sim.up_at = sim.now + sim_delay(MINUTE);
	sim_note("restart: stopped");
}

static void come_up(void)
{
	struct engine_config config = {sim.store.db, sim.store.vault, sim.platforms, &sim.conf, NULL, NULL};
	struct cx cx;
	enum rc rc;

	cx_init(&cx, "sim");
	sim_note("start");
	sim.engine = engine_make(&config);
	rc = engine_begin(&cx, sim.engine);
	if (rc != RC_OK && !sim.dead)
		sim_violation("the engine does not start: %s", cx.words);
}

/* ---- reloading the providers: a call that another thread makes and waits in ------------------------------------ */

static void *reload_main(void *arg)
{
	struct buf out;
	struct cx cx;

	(void)arg;
	cx_init(&cx, "sim");
	buf_init(&out, 65536);
	(void)engine_reload(&cx, sim.engine, NULL, &out);
	buf_free(&out);
	return NULL;
}

void sim_reload(void)
{
	pthread_t thread;
	bool asked = false;

	if (sim.engine == NULL || sim.stopping || sim.stopped_until > sim.now)
		return;
	sim_note("user: providers reloaded");
	if (pthread_create(&thread, NULL, reload_main, NULL) != 0)
		abort();
	while (!asked) {
		pthread_mutex_lock(&sim.engine->lock);
		asked = sim.engine->reload != NULL;
		pthread_mutex_unlock(&sim.engine->lock);
		sched_yield();
	}
	engine_turn(sim.engine);
	pthread_join(thread, NULL);
}

/* ---- time ----------------------------------------------------------------------------------------------------- */

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

static int64_t op_next(const struct engine *e)
{
	int64_t next = NEVER;

	for (const struct op *op = e->ops.next; op != &e->ops; op = op->next)
		if (op->at == OP_WAITING)
			next = least(next, op->wake_at);
	return next;
}

/* The engine looks at the store by itself every few seconds; only those looks matter that find something. */
static int64_t engine_next(const struct engine *e)
{
	int64_t next = op_next(e), due;

	if (e->commit_done || (!sim.stopping && e->woken))
		return sim.now;
	if (!sim.stopping && e->scan_at == 0)
		next = least(next, e->scanned_at + SCAN_GAP > sim.now ? e->scanned_at + SCAN_GAP : sim.now);
	if (e->out_count == 0 && e->batch_count > 0)
		return sim.now;
	if (e->out_count > 0 && !e->out_running)
		next = least(next, e->commit_retry_at);
	if (sim.stopping)
		return sim.now < sim.stop_by ? least(next, sim.stop_by) : next > sim.now ? next : sim.now + 1;
	due = next > sim.now ? store_next_due() : NEVER;
	if (due <= sim.now)
		due = least(e->scan_at > sim.now ? e->scan_at : sim.now + 1, e->clean_at > sim.now ? e->clean_at : sim.now + 1);
	return least(next, due);
}

static int64_t next_moment(void)
{
	int64_t next = least(least(platform_next(), wire_next()), sim.turn_at);

	if (sim.stopped_until > sim.now)
		return least(next, sim.stopped_until);
	next = least(next, least(least(write_next(), host_next()), act_next()));
	if (sim.engine == NULL)
		return least(next, sim.up_at);
	return next <= sim.now ? next : least(next, engine_next(sim.engine));
}

/* ---- a moment --------------------------------------------------------------------------------------------------- */

static void engine_moment(void)
{
	if (sim.engine == NULL && sim.now >= sim.up_at)
		come_up();
	if (sim.engine == NULL || sim.dead)
		return;
	write_turn();
	sim.turns++;
	if (!engine_turn(sim.engine))
		sim_violation("the engine thinks that somebody else owns the store");
	if (sim.stopping && !sim.dead)
		stopped();
}

static void moment(void)
{
	platform_turn();
	wire_turn();
	if (sim.stopped_until > sim.now)
		return;
	act_turn();
	if (!sim.failed)
		engine_moment();
	if (sim.dead)
		crash();
}

static void advance(int *same)
{
	int64_t next = next_moment();

	*same = next <= sim.now ? *same + 1 : 0;
	if (next <= sim.now && *same > SAME_MOMENT)
		next = sim.now + 1;
	if (next > sim.now && next != NEVER)
		sim.now = next;
	else if (next == NEVER)
		sim.now += MINUTE;
}

static bool holds_a_delivery(const struct engine *e)
{
	for (const struct op *op = e->ops.next; op != &e->ops; op = op->next)
		if (op->publish)
			return true;
	return false;
}

/* An operation whose delivery somebody else has ended still finds that out: it must not stay in memory either. */
static bool at_rest(void)
{
	if (sim.engine == NULL || sim.stopping || write_waits() || wire_waits() || host_next() != NEVER || sim.stopped_until > sim.now ||
	    holds_a_delivery(sim.engine))
		return false;
	return store_open_count() == 0 && platform_next() == NEVER;
}

/* The end of the storm, then people who come every half day. */
static void calm_down(void)
{
	if (!sim.calm) {
		sim.calm = true;
		sim.crash_in = 0;
		if (sim.plan.token_life > 0)
			sim.plan.token_life = 30 * DAY;
		sim_note("---- calm ----");
	}
	if (sim.engine != NULL && sim.stopped_until <= sim.now && !sim.stopping) {
		act_settle(sim.now - sim.begin - sim.plan.storm);
		sim.turn_at = sim.now + 12 * HOUR;
	} else {
		sim.turn_at = sim.now + SECOND;
	}
}

static void live(void)
{
	int64_t storm_end = sim.begin + sim.plan.storm;
	int same = 0;

	sim.turn_at = storm_end;
	for (uint64_t turns = 0; !sim.failed; turns++) {
		moment();
		if (sim.now >= sim.turn_at && !sim.failed)
			calm_down();
		if (sim.failed || (sim.calm && at_rest()))
			break;
		if (sim.now > storm_end + PATIENCE || turns > TURNS_MAX)
			sim_violation("no rest after %llu turns and %lld hours: %s", (unsigned long long)turns,
				      (long long)((sim.now - storm_end) / HOUR), store_open_words());
		advance(&same);
	}
	if (!sim.failed)
		check_rest();
}

/* ---- one seed ---------------------------------------------------------------------------------------------------- */

static int rate(void)
{
	static const int rates[] = {0, 0, 0, 1, 3, 8, 20, 40};

	return rates[sim_below(8)];
}

/* Where keys are about to be forgotten: answers are lost, commits are slow, processes die for about a window. */
static void plan_edge(struct plan *p)
{
	p->edge = true;
	p->window = sim_between(30, 120) * SECOND;
	p->settle = sim_between(1, 20) * SECOND;
	p->storm = 20 * MINUTE;
	p->timeout = sim_chance(50) ? 60 * SECOND : sim_between(1, 5) * SECOND;
	p->fault[FAULT_LOST_AFTER] = 30;
	p->fault[FAULT_LATE] = sim_chance(50) ? 0 : 30;
	p->slow_writes = 30;
	p->token_life = 0;
}

static void make_plan(void)
{
	static const int64_t settles[] = {1, 5, 10, 60}, windows[] = {0, 120, 600, 3600}, lives[] = {0, 0, 300, 3600};
	struct plan *p = &sim.plan;

	*p = (struct plan){.atomic = sim.seed % 2 == 0};
	p->settle = settles[sim_below(4)] * SECOND;
	p->lag = sim_chance(50) ? 0 : sim_between(1, 30) * SECOND;
	p->window = windows[sim_below(4)] * SECOND;
	p->timeout = sim_chance(50) ? 60 * SECOND : 5 * SECOND;
	p->storm = sim_chance(50) ? 10 * MINUTE : sim_chance(70) ? 2 * HOUR : 40 * HOUR;
	for (int i = 0; i < FAULTS; i++)
		p->fault[i] = rate();
	p->fault[FAULT_REVOKE] = sim_chance(10) ? 5 : 0;
	p->refused = rate();
	p->slow_writes = sim_chance(30) ? rate() : 0;
	p->bad_writes = sim_chance(30) ? rate() / 2 : 0;
	p->bad_hosts = sim_chance(20) ? rate() / 4 : 0;
	p->skew = sim_chance(90) ? sim_between(-60, 60) * SECOND : sim_between(-1200, 1200) * SECOND;
	p->readback = sim_chance(30);
	p->container_once = sim_chance(30);
	p->token_life = lives[sim_below(4)] * SECOND;
	if (p->storm > DAY && p->token_life > 0)
		p->token_life = 4 * HOUR;
	if (sim_chance(15))
		plan_edge(p);
	sim.conf.request_timeout_ms = (int)p->timeout;
}

static void make_accounts(void)
{
	sim.account_count = (int)sim_between(1, ACCOUNTS);
	for (int i = 0; i < sim.account_count; i++)
		sim.accounts[i] = (struct account){
			.type = sim.plan.edge ? TYPE_KEYED : (enum type)sim_below(TYPES), .organization = sim_chance(70) ? 0 : 1,
		};
}

static void begin(uint64_t seed, bool tracing)
{
	sim.seed = seed;
	sim.random = seed * 0x2545f4914f6cdd1du + 1;
	sim.noise = seed + 77;
	sim.now = sim.begin = BEGIN;
	sim.tracing = tracing;
	sim.failed = sim.dropped = sim.calm = sim.dead = sim.stopping = false;
	sim.words[0] = '\0';
	sim.up_at = sim.stopped_until = sim.moves_seen = 0;
	sim.crash_in = sim.delivery_count = sim.post_count = sim.edits = 0;
	clock_fake(virtual_now);
	make_plan();
	make_accounts();
	platform_reset();
	store_reset();
	check_reset();
	act_plan();
	sim.platforms = platforms_new();
}

bool sim_run(uint64_t seed, bool tracing)
{
	begin(seed, tracing);
	live();
	if (sim.engine != NULL)
		drop();
	wire_end();
	platforms_drop(sim.platforms);
	return !sim.failed;
}
