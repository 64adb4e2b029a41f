/*
 * The encodings of text.h: percent, form, HTML, base64, hex.
 *
 * The one thing to know: decoders are strict, because two texts that decode to the same bytes are two names
 * for one thing.
 */
#include "core/base/text.h"

#include <string.h>

static const char base64_std[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char base64_url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static bool is_unreserved(unsigned char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')
		|| c == '-' || c == '.' || c == '_' || c == '~';
}

static void percent(struct buf *out, const char *s, size_t n, bool plus)
{
	static const char hex[] = "0123456789ABCDEF";
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)s[i];
		if (is_unreserved(c))
			buf_addc(out, (char)c);
		else if (plus && c == ' ')
			buf_addc(out, '+');
		else
			buf_add(out, (char[]){'%', hex[c >> 4], hex[c & 15]}, 3);
	}
}

void text_percent(struct buf *out, const char *s, size_t n)
{
	percent(out, s, n, false);
}

void text_form(struct buf *out, const char *s, size_t n)
{
	percent(out, s, n, true);
}

static int hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool text_unpercent(struct buf *out, const char *s, size_t n, bool plus_is_space)
{
	for (size_t i = 0; i < n; i++) {
		char c = s[i];
		if (c == '%') {
			int high = n - i > 2 ? hex_digit(s[i + 1]) : -1;
			int low = n - i > 2 ? hex_digit(s[i + 2]) : -1;
			if (high < 0 || low < 0)
				return false;
			c = (char)(high << 4 | low);
			i += 2;
		} else if (c == '+' && plus_is_space) {
			c = ' ';
		}
		if (c == '\0')
			return false;
		buf_addc(out, c);
	}
	return true;
}

void text_html(struct buf *out, const char *s)
{
	static const char *const names[128] = {
		['&'] = "&amp;", ['<'] = "&lt;", ['>'] = "&gt;", ['"'] = "&quot;", ['\''] = "&#39;",
	};
	for (; *s; s++) {
		const char *name = (unsigned char)*s < 128 ? names[(unsigned char)*s] : NULL;
		if (name)
			buf_adds(out, name);
		else
			buf_addc(out, *s);
	}
}

static void base64(struct buf *out, const unsigned char *p, size_t n, const char *alphabet, bool pad)
{
	for (size_t i = 0; i < n; i += 3) {
		size_t have = n - i < 3 ? n - i : 3;
		unsigned bits = (unsigned)p[i] << 16 | (have > 1 ? (unsigned)p[i + 1] << 8 : 0) | (have > 2 ? p[i + 2] : 0u);
		char quad[] = {alphabet[bits >> 18], alphabet[bits >> 12 & 63], alphabet[bits >> 6 & 63], alphabet[bits & 63]};
		buf_add(out, quad, have + 1);
		if (pad)
			buf_add(out, "==", 3 - have);
	}
}

void text_base64url(struct buf *out, const void *bytes, size_t n)
{
	base64(out, bytes, n, base64_url, false);
}

void text_base64(struct buf *out, const void *bytes, size_t n)
{
	base64(out, bytes, n, base64_std, true);
}

bool text_unbase64url(struct buf *out, const char *s, size_t n)
{
	unsigned bits = 0, have = 0;
	if (n % 4 == 1)
		return false;
	for (size_t i = 0; i < n; i++) {
		const char *p = s[i] ? strchr(base64_url, s[i]) : NULL;
		if (!p)
			return false;
		bits = (bits << 6 | (unsigned)(p - base64_url)) & 0xFFFF;
		have += 6;
		if (have >= 8) {
			have -= 8;
			buf_addc(out, (char)(bits >> have & 0xFF));
		}
	}
	return (bits & ((1u << have) - 1)) == 0;	/* left-over bits would be a second spelling */
}

void text_hex(struct buf *out, const void *bytes, size_t n)
{
	static const char hex[] = "0123456789abcdef";
	const unsigned char *p = bytes;
	for (size_t i = 0; i < n; i++)
		buf_add(out, (char[]){hex[p[i] >> 4], hex[p[i] & 15]}, 2);
}
