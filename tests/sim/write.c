/*
 * The engine's way to the store.  Its closures run on the real writer, but when they run and when their end is
 * told is decided here: a crash between the two is a commit that nobody heard of.
 *
 * db_write_async and db_write are wrapped by the linker; the simulator's own writes use the real ones.
 */
#include "tests/rig/power.h"
#include "tests/sim/sim.h"

#include <stdlib.h>
#include <string.h>

#define JOBS 64
#define POWER_PERCENT 4
#define POWER_STEPS 40		/* writes and syncs of a commit, and more */

struct job { db_write_fn *fn; db_done_fn *done; void *arg; int64_t run_at, tell_at; bool ran; enum rc rc; };

static struct job jobs[JOBS];		/* in the order of their coming: the writer has one queue */
static int count;
static int64_t refused_until;		/* after an I/O error the writer refuses for a second */

enum rc __real_db_write(struct cx *cx, struct db *db, db_write_fn *fn, void *arg);
enum rc __wrap_db_write(struct cx *cx, struct db *db, db_write_fn *fn, void *arg);
void __wrap_db_write_async(struct db *db, db_write_fn *fn, db_done_fn *done, void *arg);

enum rc __wrap_db_write(struct cx *cx, struct db *db, db_write_fn *fn, void *arg)
{
	enum rc rc;

	if (!sim_effect())
		return fail(cx, RC_UNAVAILABLE, "the process is dead");
	rc = __real_db_write(cx, db, fn, arg);
	check_all();
	return rc;
}

void __wrap_db_write_async(struct db *db, db_write_fn *fn, db_done_fn *done, void *arg)
{
	int64_t after = count > 0 ? jobs[count - 1].run_at : sim.now;

	(void)db;
	if (!sim_effect())
		return;
	if (count == JOBS)
		abort();
	if (after < sim.now)
		after = sim.now;
	jobs[count] = (struct job){.fn = fn, .done = done, .arg = arg};
	jobs[count].run_at = after + (sim_chance(sim.plan.slow_writes) ? sim_delay(40 * SECOND) : sim_below(4));
	jobs[count].tell_at = jobs[count].run_at + (sim_chance(sim.plan.slow_writes) ? sim_delay(40 * SECOND) : sim_below(3));
	count++;
}

void write_now(db_write_fn *fn, void *arg)
{
	struct cx cx;

	cx_init(&cx, "sim");
	if (__real_db_write(&cx, sim.store.db, fn, arg) != RC_OK)
		sim_violation("the simulator's own write failed: %s", cx.words);
	check_all();
}

bool write_try(db_write_fn *fn, void *arg)
{
	struct cx cx;
	enum rc rc;

	if (sim.now < refused_until)
		return false;
	cx_init(&cx, "sim");
	rc = __real_db_write(&cx, sim.store.db, fn, arg);
	if (rc == RC_BUG || rc == RC_IO)
		sim_violation("a user's write failed: %s", cx.words);
	check_all();
	return rc == RC_OK;
}

static bool stored_badly(struct job *j)
{
	static const struct { enum rc rc; bool stored; } ways[] = {
		{RC_IO, false}, {RC_IO, true}, {RC_FULL, false}, {RC_UNAVAILABLE, false}, {RC_BUG, false},
	};
	size_t way = (size_t)sim_below(sizeof ways / sizeof ways[0]);
	struct cx cx;

	if (sim.now < refused_until) {
		j->rc = RC_UNAVAILABLE;
		return true;
	}
	if (!sim_chance(sim.plan.bad_writes) || sim.calm)
		return false;
	cx_init(&cx, "sim");
	j->rc = ways[way].rc;
	sim.dropped = sim.dropped || j->rc == RC_BUG;
	if (ways[way].stored)
		(void)__real_db_write(&cx, sim.store.db, j->fn, j->arg);
	if (j->rc == RC_IO)
		refused_until = sim.now + SECOND;
	sim_note("store: write fails with %s%s", rc_name(j->rc), ways[way].stored ? ", but is there" : "");
	return true;
}

static void run(struct job *j)
{
	struct cx cx;

	cx_init(&cx, "sim");
	j->ran = true;
	if (sim.power && !sim.calm && sim_chance(POWER_PERCENT))
		power_arm(1 + sim_below(POWER_STEPS));
	if (!stored_badly(j))
		j->rc = __real_db_write(&cx, sim.store.db, j->fn, j->arg);
	if (sim.power && power_is_off()) {
		sim.dead = true;
		return;
	}
	power_arm(0);
	check_all();
}

void write_turn(void)
{
	for (int i = 0; i < count && !sim.failed && !(sim.power && sim.dead); i++)
		if (!jobs[i].ran && jobs[i].run_at <= sim.now)
			run(&jobs[i]);
	while (count > 0 && !(sim.power && sim.dead) && jobs[0].ran && jobs[0].tell_at <= sim.now && sim.stopped_until <= sim.now && !sim.failed) {
		struct job j = jobs[0];

		memmove(jobs, jobs + 1, sizeof *jobs * (size_t)--count);
		if (j.done != NULL)
			j.done(j.rc, "simulated", j.arg);
	}
}

int64_t write_next(void)
{
	int64_t next = NEVER;

	for (int i = 0; i < count; i++) {
		int64_t at = !jobs[i].ran ? jobs[i].run_at : i == 0 ? jobs[i].tell_at : NEVER;	/* told in their order */

		if (at < next)
			next = at;
	}
	return next;
}

bool write_waits(void) { return count > 0; }

void write_forget(void)
{
	count = 0;
	refused_until = 0;
}
