/*
 * Faults: the first one found is kept with its words, and logged once, where it was found.
 *
 * The one thing to know: a struct cx holds one fault.  A later fail() on the same cx changes nothing and
 * returns the code of the first, so code and words always belong together.
 */
#include "core/base/rc.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/log.h"

static const struct { const char *name; enum log_level level; } codes[] = {
	[RC_OK] = {"ok", LOG_DEBUG},
	[RC_INVALID] = {"invalid", LOG_INFO},
	[RC_UNAUTHORIZED] = {"unauthorized", LOG_INFO},
	[RC_DENIED] = {"denied", LOG_INFO},
	[RC_NOT_FOUND] = {"not_found", LOG_INFO},
	[RC_CONFLICT] = {"conflict", LOG_INFO},
	[RC_STALE] = {"stale", LOG_INFO},
	[RC_LIMITED] = {"limited", LOG_INFO},
	[RC_TOO_LARGE] = {"too_large", LOG_INFO},
	[RC_FULL] = {"full", LOG_ERROR},
	[RC_UNAVAILABLE] = {"unavailable", LOG_WARN},
	[RC_TIMEOUT] = {"timeout", LOG_WARN},
	[RC_PLATFORM] = {"platform", LOG_WARN},
	[RC_IO] = {"io", LOG_ERROR},
	[RC_CORRUPT] = {"corrupt", LOG_ERROR},
	[RC_NOMEM] = {"nomem", LOG_ERROR},
	[RC_BUG] = {"bug", LOG_ERROR},
};

#define CODES (sizeof codes / sizeof codes[0])

void out_of_memory(const char *where)
{
	char line[160];
	int n = snprintf(line, sizeof line, "out of memory in %.80s: the process ends\n", where);

	if (n > 0 && write(STDERR_FILENO, line, (size_t)n) < 0)
		abort();
	abort();
}

const char *rc_name(enum rc rc)
{
	return (unsigned)rc < CODES ? codes[rc].name : "unknown";
}

void cx_init(struct cx *cx, const char *who)
{
	memset(cx, 0, sizeof *cx);
	cx->who = who;
}

/* Shortens to the last whole UTF-8 character when the copy was cut. */
static void cut_whole(char *text, size_t size, int wanted)
{
	if (wanted < 0 || (size_t)wanted < size)
		return;
	size_t n = size - 1;
	while (n > 0 && ((unsigned char)text[n - 1] & 0xC0) == 0x80)
		n--;
	if (n > 0 && (unsigned char)text[n - 1] >= 0xC0)
		n--;
	else
		n = size - 1;
	text[n] = '\0';
}

static void copy(char *to, size_t size, const char *text)
{
	cut_whole(to, size, snprintf(to, size, "%s", text ? text : ""));
}

static enum rc fail_words(struct cx *cx, enum rc rc, const char *code, const char *param, const char *fmt, va_list ap)
	__attribute__((format(printf, 5, 0)));
static enum rc fail_words(struct cx *cx, enum rc rc, const char *code, const char *param, const char *fmt, va_list ap)
{
	assert(cx && rc > RC_OK && (unsigned)rc < CODES);
	if (cx->rc != RC_OK)
		return cx->rc;
	cx->rc = rc;
	copy(cx->code, sizeof cx->code, code);
	copy(cx->param, sizeof cx->param, param);
	cut_whole(cx->words, sizeof cx->words, vsnprintf(cx->words, sizeof cx->words, fmt, ap));
	log_line(codes[rc].level, cx->who, "%s%s%s: %s", cx->code[0] ? cx->code : codes[rc].name,
		cx->param[0] ? " " : "", cx->param, cx->words);
	return rc;
}

enum rc fail(struct cx *cx, enum rc rc, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	enum rc ret = fail_words(cx, rc, NULL, NULL, fmt, ap);
	va_end(ap);
	return ret;
}

enum rc fail_code(struct cx *cx, enum rc rc, const char *code, const char *param, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	enum rc ret = fail_words(cx, rc, code, param, fmt, ap);
	va_end(ap);
	return ret;
}
