/*
 * The JSON writer.
 *
 * The one thing to know: inside an object every value needs a key (which may be ""), inside an array the key
 * is ignored; a bit per depth remembers which of the two is open.
 */
#include "core/base/jsonw.h"

#include <assert.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/utf8.h"

#define DEPTH_MAX 63

void jsonw_init(struct jsonw *w, struct buf *out)
{
	*w = (struct jsonw){.out = out};
}

void jsonw_end(const struct jsonw *w)
{
	assert(w->depth == 0);
}

#define EACH(byte) (UINT64_C(0x0101010101010101) * (byte))
#define HAS_ZERO(v) (((v) - EACH(0x01)) & ~(v) & EACH(0x80))

/* False is certain for one of these eight: control characters, what is not ASCII, the quote, the backslash. */
static inline bool are_plain(uint64_t v)
{
	return ((v & EACH(0x80)) | ((v - EACH(0x20)) & ~v & EACH(0x80)) | HAS_ZERO(v ^ EACH('"')) | HAS_ZERO(v ^ EACH('\\'))) == 0;
}

static inline bool is_plain(char c)
{
	return c >= 0x20 && c != '"' && c != '\\';	/* char is signed: what is not ASCII is below 0 */
}

/* Copies what needs no escape, up to the first byte that does; returns how much.  Nearly every text is plain. */
static size_t copy_plain(char *to, const char *s, size_t n)
{
	size_t i = 0;
	for (uint64_t v; i + 8 <= n; i += 8) {
		memcpy(&v, s + i, 8);
		if (!are_plain(v))
			break;
		memcpy(to + i, &v, 8);
	}
	for (; i < n && is_plain(s[i]); i++)
		to[i] = s[i];
	return i;
}

/* One character that is not plain; returns its length. */
static size_t add_special(struct buf *out, const char *s, size_t n)
{
	static const char hex[] = "0123456789abcdef";
	static const char shorts[32] = {['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r'};
	uint32_t c = 0;
	size_t len = utf8_next(s, n, &c);
	if (len == 0) {
		buf_adds(out, "\xEF\xBF\xBD");
		return 1;
	}
	if (len > 1)
		buf_add(out, s, len);
	else if (c >= 0x20 || shorts[c])
		buf_add(out, (char[]){'\\', c >= 0x20 ? (char)c : shorts[c]}, 2);
	else
		buf_add(out, (char[]){'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]}, 6);
	return len;
}

static void quote(struct buf *out, const char *s, size_t n)
{
	char *to = buf_room(out, n + 2);
	size_t i = 0, plain;
	if (!to)
		return;
	*to++ = '"';
	buf_grew(out, 1);
	for (;;) {
		plain = copy_plain(to, s + i, n - i);
		buf_grew(out, plain);
		i += plain;
		if (i == n)
			break;
		i += add_special(out, s + i, n - i);
		to = buf_room(out, n - i + 1);
		if (!to)
			return;
	}
	buf_addc(out, '"');
}

/* What stands before a value: the comma and the key. */
static void lead(struct jsonw *w, const char *key)
{
	uint64_t bit = 1ull << w->depth;
	assert(w->depth > 0 || !(w->filled & bit));
	if (w->filled & bit)
		buf_addc(w->out, ',');
	w->filled |= bit;
	if (!(w->objects & bit))
		return;
	assert(key);
	quote(w->out, key, strlen(key));
	buf_addc(w->out, ':');
}

static void nest(struct jsonw *w, const char *key, char c)
{
	lead(w, key);
	assert(w->depth < DEPTH_MAX);
	w->depth++;
	uint64_t bit = 1ull << w->depth;
	w->filled &= ~bit;
	w->objects = c == '{' ? w->objects | bit : w->objects & ~bit;
	buf_addc(w->out, c);
}

static void unnest(struct jsonw *w, char c)
{
	assert(w->depth > 0 && (w->objects >> w->depth & 1) == (c == '}'));
	w->depth--;
	buf_addc(w->out, c);
}

void jsonw_object(struct jsonw *w, const char *key)
{
	nest(w, key, '{');
}

void jsonw_object_end(struct jsonw *w)
{
	unnest(w, '}');
}

void jsonw_array(struct jsonw *w, const char *key)
{
	nest(w, key, '[');
}

void jsonw_array_end(struct jsonw *w)
{
	unnest(w, ']');
}

void jsonw_textn(struct jsonw *w, const char *key, const char *text, size_t len)
{
	lead(w, key);
	quote(w->out, text, len);
}

void jsonw_text(struct jsonw *w, const char *key, const char *text)
{
	if (text)
		jsonw_textn(w, key, text, strlen(text));
	else
		jsonw_null(w, key);
}

void jsonw_int(struct jsonw *w, const char *key, int64_t value)
{
	char digits[20], *at = digits + sizeof digits;
	uint64_t left = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
	do
		*--at = (char)('0' + left % 10);
	while ((left /= 10) > 0);
	lead(w, key);
	if (value < 0)
		buf_addc(w->out, '-');
	buf_add(w->out, at, (size_t)(digits + sizeof digits - at));
}

void jsonw_bool(struct jsonw *w, const char *key, bool value)
{
	lead(w, key);
	buf_adds(w->out, value ? "true" : "false");
}

void jsonw_null(struct jsonw *w, const char *key)
{
	lead(w, key);
	buf_adds(w->out, "null");
}

void jsonw_time(struct jsonw *w, const char *key, int64_t ms)
{
	char text[CLOCK_TEXT];
	if (ms <= 0) {
		jsonw_null(w, key);
		return;
	}
	clock_text(ms, text);
	jsonw_textn(w, key, text, CLOCK_TEXT - 1);
}

void jsonw_raw(struct jsonw *w, const char *key, const char *json, size_t len)
{
	if (len == 0) {
		jsonw_null(w, key);
		return;
	}
	lead(w, key);
	buf_add(w->out, json, len);
}
