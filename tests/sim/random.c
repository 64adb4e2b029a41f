/*
 * Chance: one stream for the world, one for the ids and nonces that the product draws by itself.  The second is
 * reached by standing in for getrandom, so that not one id differs when a seed is replayed.
 */
#include "tests/sim/sim.h"

#include <sys/random.h>

static uint64_t next(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15u);

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

uint64_t sim_random(void) { return next(&sim.random); }
int64_t sim_below(int64_t n) { return n <= 1 ? 0 : (int64_t)(sim_random() % (uint64_t)n); }
int64_t sim_between(int64_t least, int64_t most) { return least + sim_below(most - least + 1); }
bool sim_chance(int percent) { return sim_below(100) < percent; }

int64_t sim_delay(int64_t most)
{
	static const int parts[] = {1000, 1000, 100, 100, 10, 1};

	return sim_below(most / parts[sim_below(6)] + 1);
}

ssize_t getrandom(void *out, size_t n, unsigned flags)
{
	unsigned char *bytes = out;

	(void)flags;
	for (size_t i = 0; i < n; i++)
		bytes[i] = (unsigned char)(next(&sim.noise) >> 24);
	return (ssize_t)n;
}
