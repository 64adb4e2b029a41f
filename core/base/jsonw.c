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

static void quote(struct buf *out, const char *s, size_t n)
{
	static const char hex[] = "0123456789abcdef";
	static const char shorts[32] = {['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r'};
	size_t plain = 0, len;
	buf_addc(out, '"');
	for (size_t i = 0; i < n; i += len) {
		uint32_t c = 0;
		len = utf8_next(s + i, n - i, &c);
		if (len > 0 && c >= 0x20 && c != '"' && c != '\\')
			continue;
		buf_add(out, s + plain, i - plain);
		if (len == 0) {
			buf_adds(out, "\xEF\xBF\xBD");
			len = 1;
		} else if (c >= 0x20 || shorts[c]) {
			buf_add(out, (char[]){'\\', c >= 0x20 ? (char)c : shorts[c]}, 2);
		} else {
			buf_add(out, (char[]){'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]}, 6);
		}
		plain = i + len;
	}
	buf_add(out, s + plain, n - plain);
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
	lead(w, key);
	buf_addf(w->out, "%lld", (long long)value);
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
	jsonw_text(w, key, text);
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
