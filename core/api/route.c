/*
 * Matching a path against the route tables.
 *
 * The tables are short and the comparison is a few bytes per route, so they are walked in order; no tree.
 * The best pattern is found first, methods are looked at second: "/v1/posts/schedule" is never the post
 * named "schedule".
 */
#include "core/api/route.h"

#include <stdio.h>
#include <string.h>

#include "core/base/text.h"

#define SEGMENT_MAX 4096

struct segments { const char *text[ROUTE_SEGMENTS]; int n; };

static const char *segment_decode(struct arena *a, const char *text, size_t len)
{
	BUF_AUTO struct buf out;

	buf_init(&out, SEGMENT_MAX);
	if (!text_unpercent(&out, text, len, false) || !buf_ok(&out) || !out.len)
		return NULL;
	if (memchr(out.data, '/', out.len) || !strcmp(out.data, ".") || !strcmp(out.data, ".."))
		return NULL;
	if (!text_utf8(out.data, out.len) || !text_printable(out.data) || strpbrk(out.data, "\t\r\n"))
		return NULL;
	return arena_dup(a, out.data, out.len);
}

/* False when a segment is empty (a trailing or double slash), malformed or one too many. */
static bool path_split(struct arena *a, const char *path, struct segments *ret)
{
	ret->n = 0;
	while (*path == '/') {
		size_t n = strcspn(++path, "/");

		if (!n && !*path && !ret->n)
			return true;	/* "/" alone */
		if (ret->n == ROUTE_SEGMENTS)
			return false;
		ret->text[ret->n] = segment_decode(a, path, n);
		if (!ret->text[ret->n++])
			return false;
		path += n;
	}
	return !*path;
}

/* One bit per segment, the first highest: 1 where the pattern has the literal. -1: no match. */
static int pattern_score(const char *pattern, const struct segments *s)
{
	int score = 0, i = 0;

	if (!strcmp(pattern, "/"))
		return s->n ? -1 : 0;
	for (; *pattern == '/'; i++) {
		bool param = *++pattern == '{';
		const char *text;

		if (i >= s->n)
			return -1;
		text = s->text[i];
		if (param)
			pattern += strcspn(pattern, "/");
		else
			while (*pattern != '/' && *pattern != '\0' && *pattern == *text)
				pattern++, text++;
		if (!param && (*text != '\0' || (*pattern != '/' && *pattern != '\0')))
			return -1;
		score |= !param << (ROUTE_SEGMENTS - i);
	}
	return i == s->n ? score : -1;
}

/* "/api/v1/..." is "/v1/..."; a segment that is percent-encoded "api" is the same word. */
static void mount_strip(struct segments *s)
{
	if (s->n < 2 || strcmp(s->text[0], "api") || strcmp(s->text[1], "v1"))
		return;
	s->n--;
	memmove(s->text, s->text + 1, (size_t)s->n * sizeof(*s->text));
}

static void params_fill(struct arena *a, const char *pattern, const struct segments *s, struct route_match *m)
{
	for (int i = 0; *pattern == '/'; i++) {
		size_t n = strcspn(++pattern, "/");

		if (*pattern == '{' && m->params < ROUTE_PARAMS) {
			m->names[m->params] = arena_dup(a, pattern + 1, n - 2);
			m->values[m->params++] = s->text[i];
		}
		pattern += n;
	}
}

static void allow_add(struct route_match *m, const char *method)
{
	size_t n = strlen(m->allow);

	snprintf(m->allow + n, sizeof(m->allow) - n, "%s%s%s", n ? ", " : "", method, !strcmp(method, "GET") ? ", HEAD" : "");
}

static const char *best_pattern(const struct route *const *tables, const struct segments *s)
{
	const char *best = NULL;
	int most = -1;

	for (; *tables; tables++) {
		for (const struct route *r = *tables; r->method; r++) {
			int score = pattern_score(r->pattern, s);

			if (score > most) {
				most = score;
				best = r->pattern;
			}
		}
	}
	return best;
}

void route_match(struct arena *a, const struct route *const *tables, const char *method, const char *path, struct route_match *ret)
{
	struct segments s;
	const char *best, *wanted = !strcmp(method, "HEAD") ? "GET" : method;

	memset(ret, 0, sizeof(*ret));
	if (!path_split(a, path, &s))
		return;
	mount_strip(&s);
	best = best_pattern(tables, &s);
	for (; best && *tables; tables++) {
		for (const struct route *r = *tables; r->method; r++) {
			if (strcmp(r->pattern, best))
				continue;
			ret->known_path = true;
			allow_add(ret, r->method);
			if (!ret->route && !strcmp(r->method, wanted))
				ret->route = r;
		}
	}
	if (ret->route)
		params_fill(a, best, &s, ret);
}
