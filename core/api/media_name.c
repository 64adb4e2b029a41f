/*
 * Names of files as people send them, made harmless: no folders, no control characters, nothing that turns the
 * direction of writing, no leading dot, at most 120 bytes with the ending kept.
 */
#include "core/api/media.h"

#include <string.h>
#include <strings.h>

#include "core/base/text.h"
#include "core/base/utf8.h"

#define NAME_MAX_BYTES 120
#define RAW_MAX 4096

static bool is_bad(uint32_t c)
{
	if (c < ' ' || c == 0x7f || (c >= 0x80 && c < 0xa0) || c == 0xfeff)
		return true;
	if ((c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f))
		return true;
	return c < 0x80 && strchr("\"*:<>?|", (int)c) != NULL;
}

/* Cuts the middle, at whole characters. */
static void shorten(struct buf *name)
{
	const char *text = buf_text(name), *dot = strrchr(text, '.');
	size_t tail = dot != NULL && strlen(dot) <= 12 ? strlen(dot) : 0, keep = NAME_MAX_BYTES - tail;
	char ending[16] = "";

	if (name->len <= NAME_MAX_BYTES)
		return;
	memcpy(ending, text + name->len - tail, tail);
	while (keep > 0 && ((unsigned char)text[keep] & 0xc0) == 0x80)
		keep--;
	buf_cut(name, keep);
	buf_add(name, ending, tail);
}

static const char *clean(struct arena *a, const char *text, size_t n)
{
	BUF_AUTO struct buf out;

	buf_init(&out, RAW_MAX);
	for (size_t at = 0; at < n;) {
		uint32_t c = 0;
		size_t len = utf8_next(text + at, n - at, &c);

		if (len > 0 && (c == '/' || c == '\\'))
			buf_reset(&out);		/* what stood before was a folder */
		else if (len > 0 && !is_bad(c) && !(out.len == 0 && (c == '.' || c == ' ')))
			buf_add(&out, text + at, len);
		at += len > 0 ? len : 1;
	}
	while (out.len > 0 && (out.data[out.len - 1] == ' ' || out.data[out.len - 1] == '.'))
		buf_cut(&out, out.len - 1);
	shorten(&out);
	return out.len > 0 ? arena_text(a, buf_text(&out)) : NULL;
}

static const char *clean_percent(struct arena *a, const char *text, size_t n)
{
	BUF_AUTO struct buf plain;

	buf_init(&plain, RAW_MAX);
	if (n < RAW_MAX && text_unpercent(&plain, text, n, false) && buf_ok(&plain) && text_utf8(buf_text(&plain), plain.len))
		return clean(a, buf_text(&plain), plain.len);
	return clean(a, text, n < RAW_MAX ? n : RAW_MAX - 1);
}

const char *media_filename(struct arena *a, const char *text)
{
	if (text == NULL)
		return NULL;
	if (strncasecmp(text, "utf-8''", 7) == 0)
		text += 7;
	return clean_percent(a, text, strlen(text));
}

const char *media_filename_of_url(struct arena *a, const char *url)
{
	const char *host = strstr(url, "://"), *path = host != NULL ? strchr(host + 3, '/') : NULL, *last;
	size_t n;

	if (path == NULL)
		return NULL;
	n = strcspn(path, "?#");
	last = path + n;
	while (last > path && last[-1] != '/')
		last--;
	return clean_percent(a, last, (size_t)(path + n - last));
}
