/*
 * The bytes of an answer: security headers, length, one buffer for one write.
 *
 * Every answer, refusals of the library included, is built here, so a header that must stand on every
 * response stands in one table.
 */
#include "core/io/web_conn.h"

#include <string.h>
#include <strings.h>
#include <time.h>

#include "core/base/clock.h"
#include "core/base/log.h"

#define ANSWER_MAX ((size_t)8 << 20)
#define HEAD_MAX ((size_t)64 << 10)

/* Sent with every answer unless the handler set one of the same name. */
static const struct web_field defaults[] = {
	{"X-Content-Type-Options", "nosniff"},
	{"Referrer-Policy", "no-referrer"},
	{"Cache-Control", "no-store"},
	{"Cross-Origin-Opener-Policy", "same-origin"},
	{"Cross-Origin-Resource-Policy", "same-origin"},
	{"Content-Security-Policy", "default-src 'none'; base-uri 'none'; frame-ancestors 'none'"},
};

/* Written where it will stand; what may not stand there fails the whole answer. */
void web_header(struct web_answer *a, const char *name, const char *fmt, ...)
{
	struct buf *out = a->headers;
	size_t from;
	va_list ap;
	bool good;

	buf_adds(out, name);
	buf_adds(out, ": ");
	from = out->len;
	va_start(ap, fmt);
	buf_addv(out, fmt, ap);
	va_end(ap);
	good = buf_ok(out) && out->len - from <= HEAD_MAX / 4;
	for (size_t i = from; good && i < out->len; i++)
		good = (unsigned char)out->data[i] >= 32 && out->data[i] != 127;
	if (!good) {
		log_error("web", "header %s is refused: it is too long or has a control character", name);
		out->failed = true;
		return;
	}
	buf_adds(out, "\r\n");
}

void web_abort(struct web_answer *a)
{
	a->abort = true;
}

static bool has_header(const struct buf *headers, const char *name)
{
	const char *line = buf_text(headers);
	size_t n = strlen(name);

	while (*line) {
		const char *next = strstr(line, "\r\n");

		if (!strncasecmp(line, name, n) && line[n] == ':')
			return true;
		line = next ? next + 2 : "";
	}
	return false;
}

static bool bodiless(int status)
{
	return status < 200 || status == 204 || status == 304;
}

static void head_write(struct buf *out, const struct web_answer *a, const char *reason)
{
	time_t now = (time_t)(clock_now() / 1000);
	struct tm tm;
	char date[40];

	gmtime_r(&now, &tm);
	strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", &tm);
	buf_addf(out, "HTTP/1.1 %d %s\r\nDate: %s\r\n", a->status, reason, date);
	if (!bodiless(a->status))
		buf_addf(out, "Content-Type: %s\r\nContent-Length: %zu\r\n",
			a->type ? a->type : "application/json; charset=utf-8", a->body->len);
	for (size_t i = 0; i < sizeof(defaults) / sizeof(*defaults); i++) {
		if (has_header(a->headers, defaults[i].name))
			continue;
		buf_adds(out, defaults[i].name);
		buf_adds(out, ": ");
		buf_adds(out, defaults[i].value);
		buf_adds(out, "\r\n");
	}
	buf_add(out, buf_text(a->headers), a->headers->len);
	buf_addf(out, "Connection: %s\r\n\r\n", a->close ? "close" : "keep-alive");
}

void web_answer_build(struct buf *out, const struct web_answer *a, const char *reason, bool head_only)
{
	buf_init(out, ANSWER_MAX + HEAD_MAX * 2);
	head_write(out, a, reason);
	if (!head_only && !bodiless(a->status))
		buf_add(out, buf_text(a->body), a->body->len);
}

void web_answer_init(struct web_answer *a, struct buf *body, struct buf *headers)
{
	memset(a, 0, sizeof(*a));
	buf_init(body, ANSWER_MAX);
	buf_init(headers, HEAD_MAX);
	a->body = body;
	a->headers = headers;
}
