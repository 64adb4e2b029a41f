/*
 * RFC 8259, strictly and without recursion.
 *
 * The one thing to know: json.c relies on every rule kept here.  jsmn accepts missing commas, half words, bad
 * UTF-8 and lone surrogates, and is slow on deep nesting; it only ever sees text that passed this check.
 */
#include "core/base/jsoncheck.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "core/base/json.h"
#include "core/base/utf8.h"

struct scan {
	const char *text;
	size_t at, len, tokens, depth;
	const char *words;
	char open[JSON_DEPTH];	/* the closing bracket each level waits for */
};

static bool wrong(struct scan *s, const char *words)
{
	s->words = words;
	return false;
}

static int peek(const struct scan *s)
{
	return s->at < s->len ? (unsigned char)s->text[s->at] : -1;
}

static void skip_blanks(struct scan *s)
{
	for (int c = peek(s); c == ' ' || c == '\t' || c == '\n' || c == '\r'; c = peek(s))
		s->at++;
}

static bool is_digit(int c)
{
	return c >= '0' && c <= '9';
}

static bool skip_digits(struct scan *s)
{
	if (!is_digit(peek(s)))
		return wrong(s, "a digit is expected here");
	while (is_digit(peek(s)))
		s->at++;
	return true;
}

static bool check_number(struct scan *s)
{
	if (peek(s) == '-')
		s->at++;
	if (peek(s) == '0') {
		s->at++;
		if (is_digit(peek(s)))
			return wrong(s, "a number must not start with 0");
	} else if (!skip_digits(s)) {
		return false;
	}
	if (peek(s) == '.') {
		s->at++;
		if (!skip_digits(s))
			return false;
	}
	if (peek(s) == 'e' || peek(s) == 'E') {
		s->at++;
		if (peek(s) == '+' || peek(s) == '-')
			s->at++;
		return skip_digits(s);
	}
	return true;
}

static bool check_word(struct scan *s)
{
	static const char *const words[] = {"true", "false", "null"};
	for (size_t i = 0; i < 3; i++) {
		size_t n = strlen(words[i]);
		if (s->len - s->at >= n && memcmp(s->text + s->at, words[i], n) == 0) {
			s->at += n;
			return true;
		}
	}
	return wrong(s, s->at < s->len ? "a value is expected here" : "the text ends where a value is expected");
}

/* The four digits of \uXXXX, with `at` on the first of them; -1 if they are not there. */
static int hex4(const struct scan *s, size_t at)
{
	int value = 0;
	if (s->len < 4 || at > s->len - 4)
		return -1;
	for (size_t i = at; i < at + 4; i++) {
		char c = s->text[i];
		int digit = is_digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
		if (digit < 0)
			return -1;
		value = value << 4 | digit;
	}
	return value;
}

static bool check_unicode(struct scan *s)
{
	int first = hex4(s, s->at + 2);
	if (first < 0)
		return wrong(s, "\\u needs four hexadecimal digits");
	if (first == 0)
		return wrong(s, "a string must not hold a NUL character");
	if (first >= 0xDC00 && first <= 0xDFFF)
		return wrong(s, "this escape is half of a surrogate pair");
	if (first >= 0xD800 && first <= 0xDBFF) {
		size_t next = s->at + 6;
		bool escape = s->len - s->at >= 8 && s->text[next] == '\\' && s->text[next + 1] == 'u';
		int second = escape ? hex4(s, next + 2) : -1;
		if (second < 0xDC00 || second > 0xDFFF)
			return wrong(s, "this escape is half of a surrogate pair");
		s->at = next;
	}
	s->at += 6;
	return true;
}

static bool check_escape(struct scan *s)
{
	char c = s->len - s->at >= 2 ? s->text[s->at + 1] : '\0';
	if (c == 'u')
		return check_unicode(s);
	if (c == '\0' || !strchr("\"\\/bfnrt", c))
		return wrong(s, "this escape does not exist in JSON");
	s->at += 2;
	return true;
}

static bool check_string(struct scan *s)
{
	size_t start = s->at++;
	for (int c = peek(s); c != '"'; c = peek(s)) {
		uint32_t point;
		if (c < 0) {
			s->at = start;
			return wrong(s, "this string does not end");
		}
		if (c < 0x20)
			return wrong(s, "a control character must be escaped");
		if (c == '\\') {
			if (!check_escape(s))
				return false;
			continue;
		}
		size_t n = utf8_next(s->text + s->at, s->len - s->at, &point);
		if (n == 0)
			return wrong(s, "this is not valid UTF-8");
		s->at += n;
	}
	s->at++;
	return true;
}

static bool check_key(struct scan *s)
{
	if (peek(s) != '"')
		return wrong(s, "a member name in double quotes is expected here");
	if (!check_string(s))
		return false;
	s->tokens++;
	skip_blanks(s);
	if (peek(s) != ':')
		return wrong(s, "a colon is expected here");
	s->at++;
	return true;
}

/* One value; of an object or array only its beginning, and whether it ended at once. */
static bool check_value(struct scan *s, bool *ret_opened)
{
	int c = peek(s);
	*ret_opened = false;
	s->tokens++;
	if (c == '"')
		return check_string(s);
	if (c == '-' || is_digit(c))
		return check_number(s);
	if (c != '{' && c != '[')
		return check_word(s);
	if (s->depth == JSON_DEPTH)
		return wrong(s, "the nesting is deeper than 32 levels");
	char end = c == '{' ? '}' : ']';
	s->at++;
	skip_blanks(s);
	if (peek(s) == end) {
		s->at++;
		return true;
	}
	s->open[s->depth++] = end;
	*ret_opened = true;
	return true;
}

/* After a value: closes what ends here, and takes the comma if another value follows. */
static bool check_after(struct scan *s)
{
	while (s->depth > 0) {
		skip_blanks(s);
		char end = s->open[s->depth - 1];
		if (peek(s) == ',') {
			s->at++;
			return true;
		}
		if (peek(s) != end)
			return wrong(s, end == '}' ? "a comma or } is expected here" : "a comma or ] is expected here");
		s->at++;
		s->depth--;
	}
	return true;
}

static bool check_text(struct scan *s)
{
	bool opened;
	do {
		skip_blanks(s);
		if (s->depth > 0 && s->open[s->depth - 1] == '}' && !check_key(s))
			return false;
		skip_blanks(s);
		if (!check_value(s, &opened) || (!opened && !check_after(s)))
			return false;
	} while (s->depth > 0);
	skip_blanks(s);
	return s->at == s->len || wrong(s, "nothing may follow the value");
}

size_t json_check(const char *text, size_t len, struct json_fault *ret_fault)
{
	struct scan s = {.text = text, .len = len};
	if (check_text(&s))
		return s.tokens;
	*ret_fault = (struct json_fault){.at = s.at, .words = s.words};
	return 0;
}
