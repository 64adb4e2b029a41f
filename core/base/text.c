/*
 * Counting text as platforms do, and the encodings of URLs, forms and pages.
 *
 * The one thing to know: libunistring 1.0 predates rule GB9c (Indic conjuncts are one cluster), so
 * text_graphemes joins what it separates there.
 */
#include "core/base/text.h"

#include <stdlib.h>
#include <string.h>
#include <unigbrk.h>

#include "core/base/utf8.h"

bool text_utf8(const char *s, size_t n)
{
	uint32_t c;
	for (size_t i = 0, len; i < n; i += len) {
		len = utf8_next(s + i, n - i, &c);
		if (len == 0 || c == 0)
			return false;
	}
	return true;
}

/* The next character; a byte that is not UTF-8 counts as one, as U+FFFD. */
static size_t next_point(const char *s, size_t n, uint32_t *ret)
{
	size_t len = utf8_next(s, n, ret);
	if (len > 0)
		return len;
	*ret = 0xFFFD;
	return 1;
}

size_t text_points(const char *s)
{
	size_t n = strlen(s), count = 0;
	uint32_t c;
	for (size_t i = 0; i < n; i += next_point(s + i, n - i, &c))
		count++;
	return count;
}

size_t text_utf16(const char *s)
{
	size_t n = strlen(s), count = 0;
	uint32_t c;
	for (size_t i = 0; i < n; count += c >= 0x10000 ? 2 : 1)
		i += next_point(s + i, n - i, &c);
	return count;
}

/* Indic_Conjunct_Break=Consonant: Devanagari, Bengali, Gujarati, Oriya, Telugu, Malayalam. */
static const struct { uint16_t first, last; } consonants[] = {
	{0x0915, 0x0939}, {0x0958, 0x095F}, {0x0978, 0x097F},
	{0x0995, 0x09A8}, {0x09AA, 0x09B0}, {0x09B2, 0x09B2}, {0x09B6, 0x09B9}, {0x09DC, 0x09DD}, {0x09DF, 0x09DF},
	{0x09F0, 0x09F1},
	{0x0A95, 0x0AA8}, {0x0AAA, 0x0AB0}, {0x0AB2, 0x0AB3}, {0x0AB5, 0x0AB9}, {0x0AF9, 0x0AF9},
	{0x0B15, 0x0B28}, {0x0B2A, 0x0B30}, {0x0B32, 0x0B33}, {0x0B35, 0x0B39}, {0x0B5C, 0x0B5D}, {0x0B5F, 0x0B5F},
	{0x0B71, 0x0B71},
	{0x0C15, 0x0C28}, {0x0C2A, 0x0C39}, {0x0C58, 0x0C5A},
	{0x0D15, 0x0D3A},
};

static bool is_consonant(uint32_t c)
{
	if (c < 0x0915 || c > 0x0D3A)
		return false;
	for (size_t i = 0; i < sizeof consonants / sizeof consonants[0]; i++)
		if (c >= consonants[i].first && c <= consonants[i].last)
			return true;
	return false;
}

static bool is_linker(uint32_t c)
{
	return c == 0x094D || c == 0x09CD || c == 0x0ACD || c == 0x0B4D || c == 0x0C4D || c == 0x0D4D;
}

static bool is_conjunct_extend(uint32_t c)
{
	int property = uc_graphemeclusterbreak_property(c);
	return property == GBP_ZWJ || (property == GBP_EXTEND && c != 0x200C);
}

enum conjunct { OUTSIDE, AFTER_CONSONANT, AFTER_LINKER };

/* GB9c: consonant, then extenders with at least one linker among them, joins the next consonant. */
static enum conjunct conjunct_step(enum conjunct before, uint32_t c)
{
	if (c < 0x300)
		return OUTSIDE;
	if (is_consonant(c))
		return AFTER_CONSONANT;
	if (before == OUTSIDE)
		return OUTSIDE;
	if (is_linker(c))
		return AFTER_LINKER;
	return is_conjunct_extend(c) ? before : OUTSIDE;
}

size_t text_graphemes(const char *s)
{
	size_t n = strlen(s), count = 0;
	enum conjunct state = OUTSIDE;
	char *breaks = malloc(n + 1);
	if (!breaks)
		return text_points(s);	/* never fewer than there are */
	u8_grapheme_breaks((const uint8_t *)s, n, breaks);
	for (size_t i = 0, len; i < n; i += len) {
		uint32_t c;
		len = next_point(s + i, n - i, &c);
		bool joined = state == AFTER_LINKER && is_consonant(c);
		count += breaks[i] && !joined;
		state = conjunct_step(state, c);
	}
	free(breaks);
	return count;
}

bool text_printable(const char *s)
{
	size_t n = strlen(s);
	uint32_t c;
	for (size_t i = 0, len; i < n; i += len) {
		len = utf8_next(s + i, n - i, &c);
		if (len == 0 || (c < 0x20 && c != '\t' && c != '\n' && c != '\r') || (c >= 0x7F && c < 0xA0))
			return false;
	}
	return true;
}

bool text_eq(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

bool text_starts(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

bool text_int(const char *s, int64_t *ret)
{
	bool minus = s[0] == '-';
	uint64_t value = 0, most = (uint64_t)INT64_MAX + minus;
	s += minus;
	if (*s == '\0')
		return false;
	for (; *s; s++) {
		if (*s < '0' || *s > '9')
			return false;
		unsigned digit = (unsigned)(*s - '0');
		if (value > (most - digit) / 10)
			return false;
		value = value * 10 + digit;
	}
	*ret = minus ? (int64_t)(0 - value) : (int64_t)value;
	return true;
}

/* Edit distance with one row of the table; both words have at most LONGEST bytes. */
#define LONGEST 64
static unsigned distance(const char *a, size_t n, const char *b, size_t m)
{
	unsigned row[LONGEST + 1];
	for (unsigned j = 0; j <= m; j++)
		row[j] = j;
	for (unsigned i = 1; i <= n; i++) {
		unsigned corner = row[0];
		row[0] = i;
		for (size_t j = 1; j <= m; j++) {
			unsigned change = corner + (a[i - 1] == b[j - 1] ? 0u : 1u);
			unsigned other = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
			corner = row[j];
			row[j] = change < other ? change : other;
		}
	}
	return row[m];
}

const char *text_nearest(const char *s, const char *const *words)
{
	size_t n = strlen(s), best = SIZE_MAX;
	const char *nearest = NULL;
	for (; *words && n <= LONGEST; words++) {
		size_t m = strlen(*words);
		if (m > LONGEST)
			continue;
		size_t d = distance(s, n, *words, m);
		if (d > (n > m ? n : m) / 3 || d >= best)
			continue;
		best = d;
		nearest = *words;
	}
	return nearest;
}
