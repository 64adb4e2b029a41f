/* The probe's line: see probed.h. */
#include "core/base/probed.h"

#include <stdio.h>
#include <string.h>

#define SIDE_MAX 1000000
#define TIME_MAX 1000000000000		/* 30 years of video */
#define RATE_MAX 10000000		/* 10,000 frames a second */

static const char *const kinds[] = {"image", "gif", "video", NULL};
static const char *const mimes[] = {
	"image/jpeg", "image/png", "image/gif", "image/webp", "video/mp4", "video/quicktime", "video/webm", NULL
};
static const char *const answers[] = {
	[PROBED_MEDIA] = "media", [PROBED_UNSUPPORTED] = "unsupported", [PROBED_UNREADABLE] = "unreadable", NULL
};

static int find(const char *const *list, const char *text, size_t n)
{
	for (int i = 0; list[i] != NULL; i++)
		if (strlen(list[i]) == n && memcmp(list[i], text, n) == 0)
			return i;
	return -1;
}

static const char *find_text(const char *const *list, const char *text)
{
	int i = find(list, text, strlen(text));

	return i < 0 ? NULL : list[i];
}

const char *probed_kind(const char *text) { return find_text(kinds, text); }
const char *probed_mime(const char *text) { return find_text(mimes, text); }

size_t probed_write(const struct probed *p, char out[PROBED_MAX])
{
	int n;

	if (p->answer == PROBED_MEDIA)
		n = snprintf(out, PROBED_MAX, "media %s %s %s %lld %lld %lld %lld\n", p->kind, p->mime, p->codec, (long long)p->width,
			(long long)p->height, (long long)p->duration_ms, (long long)p->frame_rate_milli);
	else
		n = snprintf(out, PROBED_MAX, "%s %s\n", answers[p->answer], p->words);
	return n > 0 && n < PROBED_MAX ? (size_t)n : 0;
}

/* ---- reading -------------------------------------------------------------------------------------------- */

struct words { const char *at, *end; };

/* The next word, which ends at one blank or at the end of the line. */
static size_t word_next(struct words *w, const char **ret)
{
	const char *blank = w->at < w->end ? memchr(w->at, ' ', (size_t)(w->end - w->at)) : NULL;
	size_t n;

	*ret = w->at;
	if (w->at >= w->end)
		return 0;
	n = (size_t)((blank ? blank : w->end) - w->at);
	w->at += n + (blank != NULL);
	return n;
}

static bool number_next(struct words *w, int64_t least, int64_t most, int64_t *ret)
{
	const char *text;
	size_t n = word_next(w, &text);
	int64_t value = 0;

	if (n < 1 || n > 15 || (n > 1 && text[0] == '0'))
		return false;
	for (size_t i = 0; i < n; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		value = value * 10 + (text[i] - '0');
	}
	*ret = value;
	return value >= least && value <= most;
}

static const char *listed_next(struct words *w, const char *const *list)
{
	const char *text;
	size_t n = word_next(w, &text);
	int i = find(list, text, n);

	return i < 0 ? NULL : list[i];
}

static bool codec_next(struct words *w, char out[16])
{
	const char *text;
	size_t n = word_next(w, &text);

	if (n < 1 || n > 15)
		return false;
	for (size_t i = 0; i < n; i++)
		if (!((text[i] >= 'a' && text[i] <= 'z') || (text[i] >= '0' && text[i] <= '9')))
			return false;
	memcpy(out, text, n);
	out[n] = '\0';
	return true;
}

static bool words_rest(struct words *w, char *out, size_t size)
{
	size_t n = (size_t)(w->end - w->at);

	if (n < 1 || n >= size)
		return false;
	for (size_t i = 0; i < n; i++)
		if (w->at[i] < ' ' || w->at[i] > '~')
			return false;
	memcpy(out, w->at, n);
	out[n] = '\0';
	return true;
}

bool probed_read(const char *line, size_t n, struct probed *ret)
{
	struct words w = {line, line + n - 1};
	struct probed p = {.answer = PROBED_MEDIA};
	const char *text;
	int answer;

	if (n < 2 || n >= PROBED_MAX || line[n - 1] != '\n')
		return false;
	answer = find(answers, line, word_next(&w, &text));
	if (answer < 0)
		return false;
	p.answer = (enum probed_answer)answer;
	if (p.answer != PROBED_MEDIA) {
		if (!words_rest(&w, p.words, sizeof p.words))
			return false;
	} else {
		p.kind = listed_next(&w, kinds);
		p.mime = p.kind ? listed_next(&w, mimes) : NULL;
		if (!p.mime || !codec_next(&w, p.codec) || !number_next(&w, 1, SIDE_MAX, &p.width) || !number_next(&w, 1, SIDE_MAX, &p.height) ||
		    !number_next(&w, 0, TIME_MAX, &p.duration_ms) || !number_next(&w, 0, RATE_MAX, &p.frame_rate_milli) || w.at != w.end ||
		    line[n - 2] == ' ')
			return false;
	}
	*ret = p;
	return true;
}
