/*
 * Ids and random bytes.
 *
 * The one thing to know: 128 bits in 26 characters leave two bits unused at the front, so the first character
 * is at most 7, and text order is time order.
 */
#include "core/base/id.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "core/base/clock.h"

#define ID_CHARS 26
#define PREFIX_MAX 4

static const char alphabet[] = "0123456789abcdefghjkmnpqrstvwxyz";

void id_random(void *out, size_t n)
{
	unsigned char *at = out;
	while (n > 0) {
		ssize_t got = getrandom(at, n, 0);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			abort();
		at += got;
		n -= (size_t)got;
	}
}

void id_new(char out[ID_MAX], const char *prefix)
{
	unsigned char bits[16];
	size_t n = strlen(prefix);
	assert(n >= 1 && n <= PREFIX_MAX);
	id_random(bits + 6, sizeof bits - 6);
	uint64_t ms = (uint64_t)clock_now();
	for (int i = 5; i >= 0; i--, ms >>= 8)
		bits[i] = (unsigned char)(ms & 0xFF);

	memcpy(out, prefix, n);
	out[n++] = '_';
	unsigned carry = 0, have = 2;	/* the two bits that fill up 26 characters */
	for (size_t i = 0; i < sizeof bits; i++) {
		carry = carry << 8 | bits[i];
		have += 8;
		for (; have >= 5; have -= 5)
			out[n++] = alphabet[carry >> (have - 5) & 31];
		carry &= (1u << have) - 1;
	}
	out[n] = '\0';
}

bool id_valid(const char *id, const char *prefix)
{
	size_t n = strlen(prefix);
	if (!id || strncmp(id, prefix, n) != 0 || id[n] != '_')
		return false;
	const char *code = id + n + 1;
	return strlen(code) == ID_CHARS && strspn(code, alphabet) == ID_CHARS && code[0] <= '7';
}
