/*
 * Provider hosts without processes: hostproc.h.  Steps wait a moment, as in a queue, and are answered in order;
 * now and then one is parked after crashes, or the provider is paused.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/engine/hostwire.h"
#include "tests/sim/provider.h"
#include "tests/sim/sim.h"

#define STEPS 128

struct waiting { struct buf frame; host_done_fn *done; void *arg; int64_t at; };

static struct hosts hosts;
static struct waiting steps[STEPS];
static int count;
static char describe[2048];
static struct host_info info = {
	.id = "sim", .file = "sim.so", .version = "1", .describe = describe, .sandbox = "none", .loaded = true, .words = "",
};

/* ---- loading -------------------------------------------------------------------------------------------------- */

static void describe_write(void)
{
	long long settle = sim.plan.settle / SECOND, lag = sim.plan.lag / SECOND, window = sim.plan.window / SECOND;

	snprintf(describe, sizeof describe,
		 "{\"name\":\"Sim\",\"operations\":[\"exchange\",\"identify\",\"refresh\",\"publish\",\"revoke\"],\"hosts\":[\"api.sim.invalid\"],"
		 "\"connect\":{\"method\":\"form\",\"client\":\"none\"},\"dedupe\":{"
		 "\"keyed\":{\"class\":\"keyed\",\"window_s\":%lld,\"settle_s\":%lld,\"search_lag_s\":%lld,\"atomic\":%s},"
		 "\"handle\":{\"class\":\"handle\",\"settle_s\":%lld},"
		 "\"search\":{\"class\":\"search\",\"settle_s\":%lld,\"search_lag_s\":%lld},\"none\":{\"class\":\"none\",\"settle_s\":%lld}},"
		 "\"state_versions\":[1,1]}", window, settle, lag,
		 sim.plan.atomic ? "true" : "false", settle, settle, lag, settle);
}

enum rc hosts_open(struct cx *cx, const char *program, struct hosts **ret)
{
	(void)cx;
	(void)program;
	*ret = &hosts;
	return RC_OK;
}

enum rc hosts_start(struct cx *cx, struct hosts *hs, const struct host_spec *spec)
{
	enum rc rc;

	(void)hs;
	describe_write();
	rc = spec->accept(cx, &info, spec->arg);
	if (rc == RC_OK)
		spec->started(cx, "sim", RC_OK, spec->arg);
	return rc;
}

void hosts_settle(struct hosts *hs) { (void)hs; }
unsigned hosts_news(struct hosts *hs) { (void)hs; return 0; }
void hosts_fault(struct hosts *hs, const char *id, const char *words) { (void)hs; (void)id; sim_note("fault: %s", words); }
int hosts_count(const struct hosts *hs) { (void)hs; return 1; }
const struct host_info *hosts_info(struct hosts *hs, int index) { (void)hs; (void)index; return &info; }

const struct host_info *hosts_find(struct hosts *hs, const char *id)
{
	(void)hs;
	return strcmp(id, "sim") == 0 ? &info : NULL;
}

void hosts_close(struct hosts *hs)
{
	(void)hs;
	while (count > 0)
		buf_free(&steps[--count].frame);
}

/* ---- stepping -------------------------------------------------------------------------------------------------- */

void hosts_step(struct hosts *hs, const char *id, uint64_t operation, const struct buf *frame, host_done_fn *done, void *arg)
{
	struct waiting *w = &steps[count];

	(void)hs;
	(void)id;
	(void)operation;
	if (!sim_effect())
		return;
	if (count == STEPS)
		abort();
	*w = (struct waiting){.done = done, .arg = arg, .at = sim.now + (sim_chance(5) ? sim_delay(10 * SECOND) : sim_below(2))};
	if (count > 0 && steps[count - 1].at > w->at)
		w->at = steps[count - 1].at;
	buf_init(&w->frame, FRAME_IN_MAX + FRAME_HEAD);
	buf_add(&w->frame, frame->data, frame->len);
	count++;
}

static void answer(struct waiting *w)
{
	struct buf action;
	const char *fault;

	buf_init(&action, FRAME_OUT_MAX);
	if (!sim.calm && sim_chance(sim.plan.bad_hosts)) {
		enum host_outcome outcome = sim_chance(50) ? HOST_PARKED : HOST_PAUSED;

		sim_note("host: %s", outcome == HOST_PARKED ? "crashed three times on this" : "paused");
		w->done(w->arg, outcome, NULL, 0, "the host crashed");
	} else if (!provider_step(&w->frame, &action)) {
		sim_violation("a phase that the provider does not have");
	} else {
		fault = action_check(action.data, action.len);
		if (fault != NULL)
			sim_violation("the simulator's provider is wrong: %s", fault);
		w->done(w->arg, HOST_ACTION, action.data, action.len, "");
	}
	buf_free(&action);
}

void hosts_turn(struct hosts *hs)
{
	(void)hs;
	while (count > 0 && steps[0].at <= sim.now && !sim.failed && sim_effect()) {
		struct waiting w = steps[0];

		memmove(steps, steps + 1, sizeof *steps * (size_t)--count);
		answer(&w);
		buf_free(&w.frame);
	}
}

int64_t host_next(void) { return count > 0 ? steps[0].at : NEVER; }

int hosts_timeout(struct hosts *hs)
{
	(void)hs;
	return -1;
}

unsigned hosts_waits(struct hosts *hs, struct http_wait *waits, unsigned max)
{
	(void)hs;
	(void)waits;
	(void)max;
	return 0;
}
