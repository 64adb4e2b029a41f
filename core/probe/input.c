/*
 * The window on the file, and what readers share.
 */
#include "core/probe/probe.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

bool input_open(struct input *in, int fd)
{
	in->fd = fd;
	in->at = 0;
	in->have = 0;
	in->size = lseek(fd, 0, SEEK_END);
	return in->size >= 0;
}

static void fill(struct input *in, int64_t offset)
{
	in->at = offset;
	in->have = 0;
	while (in->have < INPUT_WINDOW) {
		ssize_t n = pread(in->fd, in->window + in->have, INPUT_WINDOW - in->have, offset + (int64_t)in->have);

		if (n <= 0)
			break;
		in->have += (size_t)n;
	}
}

const unsigned char *input_bytes(struct input *in, int64_t offset, size_t n)
{
	if (n > INPUT_PIECE || offset < 0 || offset > in->size || (int64_t)n > in->size - offset)
		return NULL;
	if (offset < in->at || offset + (int64_t)n > in->at + (int64_t)in->have)
		fill(in, offset);
	return offset - in->at + (int64_t)n <= (int64_t)in->have ? in->window + (offset - in->at) : NULL;
}

static bool refuse(struct probed *p, enum probed_answer answer, const char *words)
{
	memset(p, 0, sizeof *p);
	p->answer = answer;
	snprintf(p->words, sizeof p->words, "%s", words);
	return false;
}

bool unreadable(struct probed *p, const char *words) { return refuse(p, PROBED_UNREADABLE, words); }
bool unsupported(struct probed *p, const char *words) { return refuse(p, PROBED_UNSUPPORTED, words); }

bool found(struct probed *p, const char *kind, const char *mime, const char *codec)
{
	if (p->width < 1 || p->height < 1 || p->width > 100000 || p->height > 100000)
		return unreadable(p, "its width or height is 0, or more than 100,000");
	p->answer = PROBED_MEDIA;
	p->kind = probed_kind(kind);
	p->mime = probed_mime(mime);
	snprintf(p->codec, sizeof p->codec, "%s", codec);
	return true;
}

void rate_set(struct probed *p, int64_t frames, int64_t ms)
{
	if (frames > 0 && ms > 0 && frames < INT64_MAX / 1000000 && frames * 1000000 / ms <= 1000000)
		p->frame_rate_milli = frames * 1000000 / ms;
}

/* ---- telling formats apart ------------------------------------------------------------------------------ */

static bool starts(const unsigned char *b, size_t at, const char *magic, size_t n)
{
	return memcmp(b + at, magic, n) == 0;
}

static bool is_jpeg(const unsigned char *b) { return starts(b, 0, "\xff\xd8\xff", 3); }
static bool is_png(const unsigned char *b) { return starts(b, 0, "\x89PNG\r\n\x1a\n", 8); }
static bool is_gif(const unsigned char *b) { return starts(b, 0, "GIF87a", 6) || starts(b, 0, "GIF89a", 6); }
static bool is_webp(const unsigned char *b) { return starts(b, 0, "RIFF", 4) && starts(b, 8, "WEBP", 4); }
static bool is_webm(const unsigned char *b) { return starts(b, 0, "\x1a\x45\xdf\xa3", 4); }

/* QuickTime files of old have no ftyp and may begin with any of these. */
static bool is_mp4(const unsigned char *b)
{
	static const char types[][5] = {"ftyp", "moov", "mdat", "wide", "free", "skip", "pnot"};

	for (size_t i = 0; i < sizeof types / sizeof *types; i++)
		if (starts(b, 4, types[i], 4))
			return true;
	return false;
}

static const struct { bool (*is)(const unsigned char *b); bool (*read)(struct input *in, struct probed *p); } formats[] = {
	{is_jpeg, jpeg_read}, {is_png, png_read}, {is_gif, gif_read}, {is_webp, webp_read}, {is_webm, webm_read}, {is_mp4, mp4_read},
};

void probe_read(struct input *in, struct probed *p)
{
	const unsigned char *b = input_bytes(in, 0, 16);
	unsigned char first[16];

	memset(p, 0, sizeof *p);
	if (b == NULL) {
		unreadable(p, "it is shorter than any image or video");
		return;
	}
	memcpy(first, b, sizeof first);
	for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
		if (formats[i].is(first)) {
			formats[i].read(in, p);
			return;
		}
	unsupported(p, "it is no JPEG, PNG, GIF, WebP, MP4, QuickTime or WebM file");
}
