/*
 * Token buckets in a table of fixed size: chained hash, and a list in the order of last use.
 *
 * The one thing to know: all memory is taken by limit_new, so asking cannot fail; the price is that names beyond
 * `most` push out the oldest.  A block is a promise to a platform, so blocked names are pushed out last.
 */
#include "core/engine/limit.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define WAIT_MAX 1e12
#define LOOK_BACK 64			/* places looked at for one that is not blocked */

struct bucket {
	struct bucket *chain;
	struct bucket *newer, *older;
	int64_t filled_at, blocked_until;
	double tokens;			/* below 0: never used, full at the first take */
	char key[LIMIT_KEY_MAX + 1];
};

struct limit {
	struct bucket *places, **table;
	struct bucket *newest, *oldest;
	size_t most, used, mask;
	int64_t now;			/* the last that a caller told */
};

struct limit *limit_new(size_t most)
{
	struct limit *l = calloc(1, sizeof(*l));
	size_t slots = 16;

	assert(most > 0 && most < (1u << 24));
	while (slots < most)
		slots *= 2;
	if (l == NULL)
		return NULL;
	l->most = most;
	l->mask = slots - 1;
	l->places = calloc(most, sizeof(*l->places));
	l->table = calloc(slots, sizeof(struct bucket *));
	if (l->places != NULL && l->table != NULL)
		return l;
	limit_drop(l);
	return NULL;
}

void limit_drop(struct limit *l)
{
	if (l == NULL)
		return;
	free(l->places);
	free(l->table);
	free(l);
}

size_t limit_count(const struct limit *l)
{
	return l->used;
}

static struct bucket **slot_of(struct limit *l, const char *key)
{
	uint64_t hash = 14695981039346656037u;	/* FNV-1a; the names are ours, nobody picks them to collide */

	for (const char *c = key; *c != '\0'; c++)
		hash = (hash ^ (unsigned char)*c) * 1099511628211u;
	return &l->table[(hash ^ hash >> 32) & l->mask];
}

static void list_remove(struct limit *l, struct bucket *b)
{
	*(b->newer != NULL ? &b->newer->older : &l->newest) = b->older;
	*(b->older != NULL ? &b->older->newer : &l->oldest) = b->newer;
}

static void list_push(struct limit *l, struct bucket *b)
{
	b->newer = NULL;
	b->older = l->newest;
	*(l->newest != NULL ? &l->newest->newer : &l->oldest) = b;
	l->newest = b;
}

static struct bucket *find(struct limit *l, const char *key)
{
	struct bucket *b = *slot_of(l, key);

	while (b != NULL && strcmp(b->key, key) != 0)
		b = b->chain;
	return b;
}

/* The oldest that is not blocked, or of the oldest ones that whose block ends first. */
static struct bucket *victim_find(const struct limit *l)
{
	struct bucket *best = l->oldest, *b = l->oldest;

	for (int i = 0; i < LOOK_BACK && b != NULL; i++, b = b->newer) {
		if (b->blocked_until <= l->now)
			return b;
		if (b->blocked_until < best->blocked_until)
			best = b;
	}
	return best;
}

static struct bucket *place_take(struct limit *l)
{
	struct bucket *b, **link;

	if (l->used < l->most)
		return &l->places[l->used++];
	b = victim_find(l);
	link = slot_of(l, b->key);
	while (*link != b)
		link = &(*link)->chain;
	*link = b->chain;
	list_remove(l, b);
	return b;
}

static struct bucket *use(struct limit *l, const char *key)
{
	struct bucket *b = find(l, key);
	size_t n = strlen(key);

	assert(n <= LIMIT_KEY_MAX);
	if (b != NULL)
		list_remove(l, b);
	else {
		struct bucket **slot = slot_of(l, key);

		b = place_take(l);
		*b = (struct bucket){ .chain = *slot, .tokens = -1 };
		memcpy(b->key, key, n + 1);
		*slot = b;
	}
	list_push(l, b);
	return b;
}

static void refill(struct bucket *b, double rate_per_s, double burst, int64_t now_ms)
{
	int64_t passed = now_ms > b->filled_at ? now_ms - b->filled_at : 0;

	b->tokens = b->tokens < 0 ? burst : b->tokens + (double)passed * rate_per_s / 1000;
	if (b->tokens > burst)
		b->tokens = burst;
	b->filled_at = now_ms;
}

/* Whole milliseconds until there is a token, rounded up.  A billionth short is rounding, not debt. */
static int64_t token_wait(const struct bucket *b, double rate_per_s)
{
	double ms = (1 - b->tokens) * 1000 / rate_per_s;
	int64_t whole;

	if (b->tokens >= 1 - 1e-9)
		return 0;
	whole = ms < WAIT_MAX ? (int64_t)ms : (int64_t)WAIT_MAX;
	return whole + ((double)whole < ms);
}

bool limit_take(struct limit *l, const char *key, double rate_per_s, double burst, int64_t now_ms, int64_t *ret_wait_ms)
{
	struct bucket *b = use(l, key);
	int64_t wait = 0, until_token;

	l->now = now_ms;
	if (b->blocked_until > now_ms)
		wait = b->blocked_until - now_ms;
	if (rate_per_s > 0) {
		refill(b, rate_per_s, burst > 1 ? burst : 1, now_ms);
		until_token = token_wait(b, rate_per_s);
		wait = until_token > wait ? until_token : wait;
	}
	*ret_wait_ms = wait;
	if (wait > 0)
		return false;
	if (rate_per_s > 0)
		b->tokens = b->tokens > 1 ? b->tokens - 1 : 0;
	return true;
}

void limit_give(struct limit *l, const char *key)
{
	struct bucket *b = find(l, key);

	if (b != NULL && b->tokens >= 0)
		b->tokens += 1;		/* the next refill cuts it to the burst */
}

void limit_block(struct limit *l, const char *key, int64_t until_ms)
{
	struct bucket *b = use(l, key);

	if (until_ms > b->blocked_until)
		b->blocked_until = until_ms;
}
