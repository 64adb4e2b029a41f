/*
 * One UTF-8 character, strictly: no overlong forms, no surrogates, nothing above U+10FFFF.
 *
 * Inline, because the JSON reader, the JSON writer, the log and text.c run it over every byte.
 */
#ifndef MPS_BASE_UTF8_H
#define MPS_BASE_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* The length of the character at s (n bytes are there), 0 if it is not valid; *ret_point is its code point. */
static inline size_t utf8_next(const char *s, size_t n, uint32_t *ret_point)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	if (n == 0)
		return 0;
	uint32_t c = (unsigned char)s[0];
	if (c < 0x80) {
		*ret_point = c;
		return 1;
	}
	size_t len = c >= 0xF5 ? 0 : c >= 0xF0 ? 4 : c >= 0xE0 ? 3 : c >= 0xC2 ? 2 : 0;
	if (len == 0 || len > n)
		return 0;
	c &= 0x7Fu >> len;
	for (size_t i = 1; i < len; i++) {
		uint32_t next = (unsigned char)s[i];
		if ((next & 0xC0) != 0x80)
			return 0;
		c = c << 6 | (next & 0x3F);
	}
	if (c < least[len] || c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF))
		return 0;
	*ret_point = c;
	return len;
}

/* Writes a code point that is known to be valid; returns its length, at most 4. */
static inline size_t utf8_put(char *out, uint32_t c)
{
	if (c < 0x80) {
		out[0] = (char)c;
		return 1;
	}
	size_t len = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
	for (size_t i = len - 1; i > 0; i--, c >>= 6)
		out[i] = (char)(0x80 | (c & 0x3F));
	out[0] = (char)((0xF00u >> len & 0xF0) | c);
	return len;
}

#endif
