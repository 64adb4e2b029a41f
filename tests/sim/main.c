/*
 * sim SEED            one seed, with its trace
 * SIM_POWER=1 sim ... processes die by power loss too, inside a commit
 * sim FIRST COUNT     many; stops at the first that breaks an invariant, and prints its trace
 */
#include <inttypes.h>
#include <stdio.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/log.h"
#include "tests/rig/power.h"
#include "tests/sim/sim.h"

static void replay(uint64_t seed)
{
	char words[sizeof sim.words];

	snprintf(words, sizeof words, "%s", sim.words);
	printf("seed %" PRIu64 ":\n", seed);
	(void)sim_run(seed, true);
	if (strcmp(words, sim.words) != 0)
		printf("replayed differently: %s\n", words);
	printf("not ok seed %" PRIu64 ": %s\n", seed, words);
}

/* An assertion of the product's own is a finding too. */
static void aborted(int signal)
{
	(void)signal;
	dprintf(1, "not ok seed %" PRIu64 ": aborted\n", sim.seed);
	_exit(1);
}

int main(int argc, char **argv)
{
	uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 10) : 1, count = argc > 2 ? strtoull(argv[2], NULL, 10) : 1, seed;
	bool tracing = argc <= 2;

	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGABRT, aborted);
	signal(SIGSEGV, aborted);
	log_set(getenv("TEST_LOG") ? LOG_DEBUG : LOG_ERROR + 1);
	sim.power = getenv("SIM_POWER") != NULL;
	if (sim.power) {
		power_lies = getenv("POWER_LIES") != NULL;
		power_on();
	}
	store_open();
	for (seed = first; seed < first + count && sim_run(seed, tracing); seed++)
		;
	if (seed < first + count && !tracing)
		replay(seed);
	else if (seed < first + count)
		printf("not ok seed %" PRIu64 ": %s\n", seed, sim.words);
	else
		printf("ok seeds %" PRIu64 " to %" PRIu64 ": %" PRIu64 " turns, %" PRIu64 " requests, %" PRIu64 " acts, %" PRIu64 " crashes, %" PRIu64
		       " stops, %" PRIu64
		       " power losses, %" PRIu64 " verdicts\n", first, first + count - 1, sim.turns, sim.sends, sim.acts, sim.crashes, sim.stops,
		       sim.power_cuts, sim.resolved);
	store_close();
	return seed < first + count;
}
