/*
 * Token buckets, by name: how soon the next request of a connection or a platform may leave.
 *
 * In memory only and of a fixed size: when all places are taken, the least recently used name is forgotten, and
 * one that is blocked only if nearly everything is.  A forgotten or new bucket is full.  Times are milliseconds of one clock
 * that does not jump (clock_mono).  Not for several threads.
 */
#ifndef MPS_ENGINE_LIMIT_H
#define MPS_ENGINE_LIMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LIMIT_KEY_MAX 95		/* longest name, in bytes */

struct limit;

struct limit *limit_new(size_t most);	/* NULL: out of memory; at most so many names are kept */
void limit_drop(struct limit *l);

/* Takes one token of key's bucket, which refills with rate_per_s up to burst (at least 1); a rate of 0 or less
 * means no bucket, only blocks.  False: nothing was taken, and *ret_wait_ms says after how long to ask again. */
bool limit_take(struct limit *l, const char *key, double rate_per_s, double burst, int64_t now_ms, int64_t *ret_wait_ms);

/* Gives back a token that was taken but not used (the next bucket on the way had none). */
void limit_give(struct limit *l, const char *key);

/* Nothing of key leaves before until_ms: Retry-After, or rate headers that report no remaining calls.  An
 * earlier block that lasts longer stays. */
void limit_block(struct limit *l, const char *key, int64_t until_ms);

size_t limit_count(const struct limit *l);	/* names kept */

#endif
