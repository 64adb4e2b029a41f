/*
 * WebP: a RIFF file of one picture, or of an extended header and the frames of an animation.
 */
#include "core/probe/probe.h"

#include <string.h>

#define CHUNKS_MAX 100000

struct webp { struct probed *p; int64_t frames, ms; bool extended, picture; };

static bool lossy(struct webp *w, const unsigned char *b)
{
	if (b == NULL || (b[0] & 1) != 0 || memcmp(b + 3, "\x9d\x01\x2a", 3) != 0)
		return false;
	w->picture = true;
	if (!w->extended) {
		w->p->width = le16(b + 6) & 0x3fff;
		w->p->height = le16(b + 8) & 0x3fff;
	}
	return true;
}

static bool lossless(struct webp *w, const unsigned char *b)
{
	if (b == NULL || b[0] != 0x2f)
		return false;
	w->picture = true;
	if (!w->extended) {
		w->p->width = (le32(b + 1) & 0x3fff) + 1;
		w->p->height = (le32(b + 1) >> 14 & 0x3fff) + 1;
	}
	return true;
}

static bool extended(struct webp *w, const unsigned char *b)
{
	if (b == NULL || w->extended || w->picture)
		return false;
	w->extended = true;
	w->p->width = le24(b + 4) + 1;
	w->p->height = le24(b + 7) + 1;
	return true;
}

static bool frame(struct webp *w, const unsigned char *b)
{
	if (b == NULL)
		return false;
	w->frames++;
	w->ms += le24(b + 12);
	w->picture = true;
	return w->extended;
}

static const struct { char type[5]; size_t least; bool (*read)(struct webp *w, const unsigned char *b); } chunks[] = {
	{"VP8 ", 10, lossy}, {"VP8L", 5, lossless}, {"VP8X", 10, extended}, {"ANMF", 16, frame},
};

static bool chunk(struct webp *w, struct input *in, const unsigned char *head, int64_t at, int64_t length)
{
	for (size_t i = 0; i < sizeof chunks / sizeof *chunks; i++)
		if (memcmp(head, chunks[i].type, 4) == 0)
			return length >= (int64_t)chunks[i].least && chunks[i].read(w, input_bytes(in, at, chunks[i].least));
	return true;
}

bool webp_read(struct input *in, struct probed *p)
{
	const unsigned char *b = input_bytes(in, 4, 4);
	int64_t at = 12, end = b != NULL ? (int64_t)le32(b) + 8 : 0;
	struct webp w = {.p = p};

	if (end > in->size)
		return unreadable(p, "this WebP file is cut off");
	for (int i = 0; i < CHUNKS_MAX && at + 8 <= end; i++) {
		unsigned char head[8];
		int64_t length;

		b = input_bytes(in, at, 8);
		if (b == NULL)
			break;
		memcpy(head, b, sizeof head);
		length = le32(head + 4);
		if (length > end - at - 8 || !chunk(&w, in, head, at + 8, length))
			return unreadable(p, "this WebP file is damaged");
		at += 8 + length + (length & 1);
	}
	if (!w.picture)
		return unreadable(p, "this WebP file holds no picture");
	if (w.frames < 2)
		return found(p, "image", "image/webp", "webp");
	p->duration_ms = w.ms;
	rate_set(p, w.frames, w.ms);
	return found(p, "gif", "image/webp", "webp");
}
