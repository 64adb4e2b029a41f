/*
 * The log: one line of JSON and one write() per event, so that lines of threads and processes never mix.
 *
 * The one thing to know: nothing is allocated and no lock is taken, so logging works when memory is gone and
 * right after a fork.  A message over LINE_BYTES is cut and says so.
 */
#include "core/base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/utf8.h"

#define MESSAGE_MAX 2048
#define LINE_BYTES 4096
#define TAIL 16			/* room for the marks of a cut line, the closing quote and brace, the newline */

struct line { char bytes[LINE_BYTES]; size_t len; };

static _Atomic int least_level = LOG_INFO;
static const char *const level_names[] = {"debug", "info", "warn", "error"};

void log_set(enum log_level least)
{
	atomic_store(&least_level, (int)least);
}

static void put(struct line *l, const char *bytes, size_t n)
{
	memcpy(l->bytes + l->len, bytes, n);
	l->len += n;
}

static void puts_line(struct line *l, const char *text)
{
	put(l, text, strlen(text));
}

/* One character as it stands inside a JSON string; bytes that are not UTF-8 become U+FFFD. */
static size_t escape(char out[8], const char *s, size_t n, size_t *ret_used)
{
	uint32_t c = 0;
	size_t len = utf8_next(s, n, &c);
	*ret_used = len ? len : 1;
	if (len == 0)
		return utf8_put(out, 0xFFFD);
	if (c == '"' || c == '\\') {
		out[0] = '\\';
		out[1] = (char)c;
		return 2;
	}
	if (c < 0x20 || (c >= 0x7F && c < 0xA0) || c == 0x2028 || c == 0x2029)
		return (size_t)snprintf(out, 8, "\\u%04x", (unsigned)c & 0xFFFF);
	memcpy(out, s, len);
	return len;
}

static void put_escaped(struct line *l, const char *text, size_t max)
{
	size_t n = strnlen(text, MESSAGE_MAX), used;
	for (size_t i = 0; i < n; i += used) {
		char one[8];
		size_t len = escape(one, text + i, n - i, &used);
		if (l->len + len > max) {
			puts_line(l, "\xE2\x80\xA6");
			return;
		}
		put(l, one, len);
	}
}

static void write_line(const char *bytes, size_t n)
{
	while (n > 0) {
		ssize_t done = write(STDERR_FILENO, bytes, n);
		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return;
		bytes += done;
		n -= (size_t)done;
	}
}

void log_line(enum log_level level, const char *who, const char *fmt, ...)
{
	if ((int)level < atomic_load(&least_level))
		return;
	int saved = errno;
	char time[CLOCK_TEXT], message[MESSAGE_MAX];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(message, sizeof message, fmt, ap);
	va_end(ap);
	clock_text(clock_now(), time);

	struct line l;
	l.len = 0;
	puts_line(&l, "{\"time\":\"");
	puts_line(&l, time);
	puts_line(&l, "\",\"level\":\"");
	puts_line(&l, level_names[level & 3]);
	puts_line(&l, "\",\"who\":\"");
	put_escaped(&l, who ? who : "", 512);
	puts_line(&l, "\",\"msg\":\"");
	put_escaped(&l, message, sizeof l.bytes - TAIL);
	puts_line(&l, "\"}\n");
	write_line(l.bytes, l.len);
	errno = saved;
}
