/*
 * Token buckets in a table of fixed size.
 *
 * A bucket that is full again may be forgotten, so where eight neighbours are taken the one that was used
 * longest ago makes room; its owner starts with a full bucket again.
 */
#include "core/api/rate.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/rc.h"
#include "core/base/id.h"

#define BUCKETS 8192
#define NEIGHBOURS 8
#define UNIT 1000000	/* a token */

struct bucket {
	uint64_t who;		/* 0: free */
	int64_t units;		/* millionths of a token at `at` */
	int64_t at;
};

struct rate {
	pthread_mutex_t lock;
	uint64_t seed;
	struct bucket buckets[BUCKETS];
};

struct rate *rate_new(void)
{
	struct rate *r = calloc(1, sizeof(*r));

	if (!r)
		out_of_memory(__func__);
	pthread_mutex_init(&r->lock, NULL);
	id_random(&r->seed, sizeof(r->seed));
	return r;
}

void rate_drop(struct rate *r)
{
	if (r)
		pthread_mutex_destroy(&r->lock);
	free(r);
}

/* FNV-1a with a seed: who shares a bucket with whom cannot be chosen from outside. */
static uint64_t hash(uint64_t h, const char *text)
{
	for (; *text; text++)
		h = (h ^ (unsigned char)*text) * 0x100000001b3u;
	h ^= h >> 29;
	return h * 0xbf58476d1ce4e5b9u;
}

static void bucket_refill(struct bucket *b, int per_minute, int64_t now)
{
	int64_t full = (int64_t)per_minute * UNIT;

	if (now - b->at >= 60000)
		b->units = full;
	else if (now > b->at)
		b->units += (now - b->at) * per_minute * UNIT / 60000;
	if (b->units > full)
		b->units = full;
	b->at = now;
}

/* The bucket of `who`, or a free one, or the least recently used of the neighbourhood. */
static struct bucket *bucket_find(struct rate *r, uint64_t who, int per_minute, int64_t now)
{
	struct bucket *pick = NULL;

	for (unsigned i = 0; i < NEIGHBOURS; i++) {
		struct bucket *b = &r->buckets[(who + i) % BUCKETS];

		if (b->who == who)
			return b;
		if (!pick || (pick->who && (!b->who || b->at < pick->at)))
			pick = b;
	}
	*pick = (struct bucket){who, (int64_t)per_minute * UNIT, now};
	return pick;
}

bool rate_take(struct rate *r, const char *kind, const char *who, int per_minute, int n, struct rate_left *ret)
{
	int64_t now = clock_mono(), lacking;
	uint64_t name = hash(hash(r->seed, kind), who) | 1;
	struct bucket *b;
	bool there;

	memset(ret, 0, sizeof(*ret));
	if (per_minute <= 0)
		return true;
	pthread_mutex_lock(&r->lock);
	b = bucket_find(r, name, per_minute, now);
	bucket_refill(b, per_minute, now);
	there = b->units >= (int64_t)(n ? n : 1) * UNIT;
	if (there)
		b->units -= (int64_t)n * UNIT;
	lacking = (int64_t)per_minute * UNIT - b->units;
	ret->limit = per_minute;
	ret->remaining = (int)(b->units / UNIT);
	ret->reset = (int)((lacking * 60 / per_minute + UNIT - 1) / UNIT);
	ret->retry_after = there ? 0 : (int)(((int64_t)(n ? n : 1) * UNIT - b->units) * 60 / per_minute / UNIT) + 1;
	pthread_mutex_unlock(&r->lock);
	return there;
}
