/*
 * Delivering: many posts due in the same moment, then posts due one after the other, to a far side that answers
 * each after 200 ms.
 *
 * The one thing to know: the far side counts, not the product.  A post that came twice or not at all ends the
 * bench.
 */
#include "tests/bench/bench.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DELAY_MS 200
#define IN_FLIGHT 1000		/* the default of [engine] in_flight */
#define AHEAD_MS 1500		/* what is due at once is due that long after the server is ready */

static int64_t published(const struct place *p)
{
	return place_metric(p, "mypostshare_engine_published_total");
}

static void wait_published(const struct place *p, int64_t count, int64_t until_ms)
{
	while (published(p) < count) {
		if (wall_ms() > until_ms)
			die("only %lld of %lld were published in time", (long long)published(p), (long long)count);
		usleep(5000);
	}
}

static void check(const struct stub *stub, int64_t count)
{
	if (stub->seen->duplicates != 0 || stub->seen->requests != (uint64_t)count)
		die("the far side saw %llu posts of %lld, %llu of them twice", (unsigned long long)stub->seen->requests, (long long)count,
		    (unsigned long long)stub->seen->duplicates);
}

static double late_ms(const struct stub *stub, double p)
{
	size_t n = stub->seen->late_count;
	uint32_t *us = malloc(n * sizeof *us + 1);
	double ms;

	memcpy(us, (const void *)(uintptr_t)stub->seen->late_us, n * sizeof *us);
	ms = percentile_ms(us, n, p);
	free(us);
	return ms;
}

struct round { struct bench const *b; struct stub *stub; const char *name; int count, step_ms, connections; double cpu_us; };

/* One store, one server, one set of posts; seconds from the first due time to the last commit. */
static double run(struct round *r)
{
	struct posts posts = {.count = r->count, .step_ms = r->step_ms, .state = "queued"};
	struct people people;
	struct store *s;
	struct place p;
	double took, cpu;

	place_make(r->b, &p, r->name, r->stub->port);
	s = store_open(&p);
	store_people(s, &people, r->connections, 1, 20);
	posts.due_at = wall_ms() + (int64_t)pick(r->b, AHEAD_MS, AHEAD_MS, 3 * AHEAD_MS) + r->count / 5;	/* the rows themselves take a while */
	store_posts(s, &people, &posts);
	store_close(s);
	stub_clear(r->stub);
	place_serve(r->b, &p);
	if (wall_ms() > posts.due_at - 300)
		die("the rows took so long to make that they were due before the server was ready");
	cpu = place_cpu_s(&p);
	while (wall_ms() < posts.due_at)
		usleep(1000);
	wait_published(&p, r->count, posts.due_at + (int64_t)r->count * r->step_ms + 60000);
	took = (double)(wall_ms() - posts.due_at) / 1000;
	r->cpu_us = (place_cpu_s(&p) - cpu) * 1e6 / r->count;
	place_stop(&p, SIGKILL);
	check(r->stub, r->count);
	free(people.at);
	return took;
}

void bench_deliver(const struct bench *b)
{
	int count = (int)pick(b, 5000, 2000, 100), paced = (int)pick(b, 10000, 1500, 100);
	struct stub stub;
	struct round burst = {b, &stub, "deliver", count, 0, count, 0}, even = {b, &stub, "paced", paced, 2, 1000, 0};
	double took, ceiling;
	uint32_t most;

	stub_start(&stub, DELAY_MS);
	took = run(&burst);
	most = stub.seen->waiting_max;
	ceiling = ceiling_curl_per_s(&stub, count, IN_FLIGHT);
	report_row(&(struct row){"deliveries_per_s", "deliveries a second, all due at once, answers after 200 ms", "/s", count / took, ceiling,
		"curl_multi alone", "4000, 70 %"});
	report_row(&(struct row){"deliveries_in_flight", "  most at once at the far side", "", most, IN_FLIGHT, "[engine] in_flight", NULL});
	report_row(&(struct row){"delivery_cpu_us", "  the core's CPU time for each", "us", burst.cpu_us, 0, NULL, NULL});
	report_row(&(struct row){"deliveries_ceiling_per_s", "  ceiling: curl_multi, fresh connections, 1,000 at once", "/s", ceiling, 0, NULL,
		NULL});
	run(&even);
	report_row(&(struct row){"due_lateness_p50_ms", "lateness at the far side at 500/s, p50", "ms", late_ms(&stub, 0.5), 0, NULL, NULL});
	report_row(&(struct row){"due_lateness_p99_ms", "lateness at the far side at 500/s, p99", "ms", late_ms(&stub, 0.99), 0, NULL, NULL});
	stub_stop(&stub);
}
