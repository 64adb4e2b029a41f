/*
 * The strict check of a request head.
 *
 * CivetWeb accepts bare line feeds, blanks before a colon, folded lines, two Hosts, two lengths, and hands all
 * of them over as clean strings.  What it did shows in the geometry: it cuts its one buffer in place, so
 * every pointer must stand exactly where RFC 9112 puts it behind the one before: one NUL after a word, one
 * after a name, then blanks only, two (CR and LF) after a value, and "\r" NUL after the last.  Anything else
 * was written in another grammar than nginx's, and two grammars are a smuggled request.
 */
#include "core/io/web_conn.h"

#include <string.h>
#include <strings.h>

#define DIGITS_MAX 15
#define HEAD_MAX 16384		/* the library's own limit is twice that, and its refusal cannot be told from others */

/* Fields of which a second one would let two readers see two requests. */
static const char *const single[] = {
	"Host", "Content-Length", "Content-Type", "Authorization", "Idempotency-Key", "X-Idempotency-Key",
	"If-Match", "Expect", "Origin", "Range", "X-Filename",
};

static bool token_char(unsigned char c)
{
	return c > 32 && c < 127 && !strchr("\"(),/:;<=>?@[\\]{}", c);
}

static bool token(const char *s)
{
	if (!*s)
		return false;
	for (; *s; s++) {
		if (!token_char((unsigned char)*s))
			return false;
	}
	return true;
}

static int count_of(const struct web_head *h, const char *name)
{
	int n = 0;

	for (int i = 0; i < h->count; i++)
		n += !strcasecmp(h->fields[i].name, name);
	return n;
}

static const char *value_of(const struct web_head *h, const char *name)
{
	for (int i = 0; i < h->count; i++) {
		if (!strcasecmp(h->fields[i].name, name))
			return h->fields[i].value;
	}
	return NULL;
}

/* The request line: each word starts one byte behind the end of the one before. */
static const char *line_geometry(const struct web_head *h)
{
	const char *end = h->query ? h->query : h->uri;

	if (!h->method || !h->uri || !h->version || !token(h->method))
		return "The request line is malformed.";
	if (h->uri != h->method + strlen(h->method) + 1)
		return "The request line has more than one blank after the method.";
	if (h->query && h->query != h->uri + strlen(h->uri) + 1)
		return "The request line is malformed.";
	if (h->version - 5 != end + strlen(end) + 1)
		return "The request line has more than one blank before the version.";
	return NULL;
}

static const char *field_geometry(const struct web_field *f, const char *at)
{
	const char *end = f->name + strlen(f->name);

	if (f->name != at)
		return "A header line does not end with CR LF, or is folded.";
	if (!token(f->name))
		return "A header name has a character that is not allowed.";
	for (const char *p = end + 1; p < f->value; p++) {
		if (*p != ' ' && *p != '\t')
			return "A header has a blank before its colon.";
	}
	return NULL;
}

static const char *geometry(const struct web_head *h, size_t *ret_size)
{
	const char *words = line_geometry(h);
	const char *at;

	if (words)
		return words;
	at = h->version + strlen(h->version);
	for (int i = 0; i < h->count; i++) {
		if (at[0] || at[1])
			return "A line does not end with CR LF.";
		words = field_geometry(&h->fields[i], at + 2);
		if (words)
			return words;
		at = h->fields[i].value + strlen(h->fields[i].value);
	}
	if (at[0] || at[1] || at[2] != '\r' || at[3])
		return "A header line is folded, malformed or does not end with CR LF.";
	*ret_size = (size_t)(at + 4 - h->method);
	return NULL;
}

static const char *target_check(const char *uri)
{
	if (uri[0] != '/')
		return "The request target must start with '/'.";
	for (; *uri; uri++) {
		if ((unsigned char)*uri <= 32 || (unsigned char)*uri >= 127 || *uri == '#' || *uri == '\\')
			return "The request target has a character that must be percent-encoded.";
	}
	return NULL;
}

static const char *length_check(const char *value)
{
	size_t n = strspn(value, "0123456789");

	if (!n || value[n] || n > DIGITS_MAX)
		return "Content-Length must be decimal digits.";
	return NULL;
}

static const char *host_check(const char *host)
{
	if (!host)
		return "A Host header is required.";
	if (!*host || strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:[]") != strlen(host))
		return "The Host header is malformed.";
	return NULL;
}

static const char *fields_check(const struct web_head *h)
{
	const char *length = value_of(h, "Content-Length");

	for (size_t i = 0; i < sizeof(single) / sizeof(*single); i++) {
		if (count_of(h, single[i]) > 1)
			return "A header that may stand only once stands twice.";
	}
	if (value_of(h, "Transfer-Encoding"))
		return "Transfer-Encoding is not accepted: send the body with a Content-Length.";
	if (length && length_check(length))
		return length_check(length);
	return host_check(value_of(h, "Host"));
}

int web_head_check(const struct web_head *h, const char **ret_words)
{
	const char *words;
	size_t size = 0;

	if (h->count >= WEB_FIELDS_MAX) {
		*ret_words = "The request has too many headers: send fewer than 64.";
		return 431;
	}
	words = h->count < 0 ? "The request head is malformed." : geometry(h, &size);
	if (size > HEAD_MAX) {
		*ret_words = "The request head is larger than 16 KiB.";
		return 431;
	}
	if (!words)
		words = target_check(h->uri);
	if (words)
		*ret_words = words;
	return words ? 400 : 0;
}

int web_fields_check(const struct web_field *fields, int count, const char **ret_words)
{
	struct web_head h = {.fields = fields, .count = count};
	const char *expect = value_of(&h, "Expect");
	const char *words = fields_check(&h);

	if (!words && expect && strcasecmp(expect, "100-continue"))
		words = "Expect knows only 100-continue.";
	if (words)
		*ret_words = words;
	return words ? 400 : 0;
}
