/*
 * Token buckets in memory: one per key and one per address.  They forget at a restart, which is generous.
 */
#ifndef MPS_API_RATE_H
#define MPS_API_RATE_H

#include <stdbool.h>
#include <stdint.h>

struct rate;

struct rate_left {
	int limit;		/* of a minute */
	int remaining;
	int reset;		/* seconds until the bucket is full */
	int retry_after;	/* seconds until one token is there; 0 if there is */
};

struct rate *rate_new(void);
void rate_drop(struct rate *r);

/* Takes n tokens (0 only looks) of a bucket that refills per_minute and holds as many; false: not enough. */
bool rate_take(struct rate *r, const char *kind, const char *who, int per_minute, int n, struct rate_left *ret);

#endif
