/*
 * One time zone out of a TZif file (RFC 8536, version 2 and up): offsets and their changes.  Seconds UTC.
 */
#ifndef MPS_BASE_TZIF_H
#define MPS_BASE_TZIF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tzif;

struct tzif *tzif_new(const char *bytes, size_t n);	/* NULL: not a file we can trust */
void tzif_drop(struct tzif *z);

int32_t tzif_offset(const struct tzif *z, int64_t at);			/* seconds east of UTC */
bool tzif_next(const struct tzif *z, int64_t after, int64_t *ret_at);	/* the next change behind an instant */

#endif
