/*
 * Ids: prefix, underscore, 26 characters of lower-case Crockford base32: 48 bits of milliseconds, 80 random
 * bits.  Time-ordered, so that index pages fill in order.  An id is never a secret.
 */
#ifndef MPS_BASE_ID_H
#define MPS_BASE_ID_H

#include <stdbool.h>
#include <stddef.h>

#define ID_MAX 32		/* prefix of up to 4, underscore, 26, NUL */

void id_new(char out[ID_MAX], const char *prefix);
bool id_valid(const char *id, const char *prefix);
void id_random(void *out, size_t n);	/* getrandom(2); aborts if the kernel has none */

#endif
