/*
 * JPEG: the frame header tells width and height, the Exif segment how the picture is turned.
 */
#include "core/probe/probe.h"

#include <string.h>

#define MARKERS_MAX 10000
#define ENTRIES_MAX 1000

struct exif { struct input *in; int64_t at, end; bool little; };

static uint32_t two(const struct exif *e, const unsigned char *b) { return e->little ? le16(b) : be16(b); }
static uint32_t four(const struct exif *e, const unsigned char *b) { return e->little ? le32(b) : be32(b); }

/* n bytes of the Exif block at an offset of its own; NULL outside of it. */
static const unsigned char *block(const struct exif *e, int64_t offset, size_t n)
{
	return offset >= 0 && offset + (int64_t)n <= e->end - e->at ? input_bytes(e->in, e->at + offset, n) : NULL;
}

/* 1 to 8; 1 if it does not say. */
static int orientation(struct input *in, int64_t at, int64_t end)
{
	struct exif e = {in, at, end, false};
	const unsigned char *b = block(&e, 0, 8);
	int64_t ifd;
	uint32_t n;

	if (b == NULL || (memcmp(b, "II*\0", 4) != 0 && memcmp(b, "MM\0*", 4) != 0))
		return 1;
	e.little = b[0] == 'I';
	ifd = four(&e, b + 4);
	b = block(&e, ifd, 2);
	n = b != NULL ? two(&e, b) : 0;
	for (uint32_t i = 0; i < n && i < ENTRIES_MAX; i++) {
		b = block(&e, ifd + 2 + 12 * (int64_t)i, 12);
		if (b == NULL)
			break;
		if (two(&e, b) == 0x0112 && two(&e, b + 2) == 3 && two(&e, b + 8) >= 1 && two(&e, b + 8) <= 8)
			return (int)two(&e, b + 8);
	}
	return 1;
}

static bool is_frame(unsigned marker)
{
	return marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc;
}

/* One segment with a length; its payload is [at, end). */
static void segment(struct input *in, unsigned marker, int64_t at, int64_t end, struct probed *p, int *turned)
{
	const unsigned char *b;

	if (is_frame(marker) && p->width == 0 && end - at >= 5 && (b = input_bytes(in, at, 5)) != NULL) {
		p->height = be16(b + 1);
		p->width = be16(b + 3);
	} else if (marker == 0xe1 && *turned == 1 && end - at > 6 && (b = input_bytes(in, at, 6)) != NULL && memcmp(b, "Exif\0\0", 6) == 0) {
		*turned = orientation(in, at + 6, end);
	}
}

static bool done(struct probed *p, int turned)
{
	int64_t width = p->width;

	if (turned >= 5) {
		p->width = p->height;
		p->height = width;
	}
	return found(p, "image", "image/jpeg", "jpeg");
}

bool jpeg_read(struct input *in, struct probed *p)
{
	int64_t at = 2;
	int turned = 1;

	for (int i = 0; i < MARKERS_MAX; i++) {
		const unsigned char *b = input_bytes(in, at, 4);
		int64_t length;
		unsigned marker;

		if (b == NULL || b[0] != 0xff)
			return unreadable(p, "this JPEG file is damaged or cut off");
		marker = b[1];
		if (marker == 0xff) {		/* a fill byte */
			at++;
			continue;
		}
		length = be16(b + 2);
		if (marker < 0xc0 || (marker >= 0xd0 && marker <= 0xd9) || length < 2 || length > in->size - at - 2)
			return unreadable(p, "this JPEG file is damaged or cut off");
		segment(in, marker, at + 4, at + 2 + length, p, &turned);
		at += 2 + length;
		if (marker == 0xda)
			return p->width > 0 && at < in->size ? done(p, turned) : unreadable(p, "this JPEG file holds no picture");
	}
	return unreadable(p, "this JPEG file has too many segments");
}
