/*
 * PNG: the first chunk tells width and height; the others are walked to the end, so that a file that was cut off
 * is noticed.
 */
#include "core/probe/probe.h"

#include <string.h>

#define CHUNKS_MAX 1000000

bool png_read(struct input *in, struct probed *p)
{
	bool animated = false, picture = false;
	int64_t at = 8;

	for (int i = 0; i < CHUNKS_MAX; i++) {
		const unsigned char *b = input_bytes(in, at, 8);
		int64_t length = b != NULL ? be32(b) : 0;

		if (b == NULL || length > in->size - at - 12)
			return unreadable(p, "this PNG file is damaged or cut off");
		if ((i == 0) != (memcmp(b + 4, "IHDR", 4) == 0) || (i == 0 && length != 13))
			return unreadable(p, "this PNG file has no proper header");
		animated = animated || (!picture && memcmp(b + 4, "acTL", 4) == 0);
		picture = picture || memcmp(b + 4, "IDAT", 4) == 0;
		if (memcmp(b + 4, "IEND", 4) == 0)
			return picture ? found(p, "image", "image/png", animated ? "apng" : "png") : unreadable(p, "this PNG file holds no picture");
		if (i == 0 && (b = input_bytes(in, at + 8, 8)) != NULL) {
			p->width = be32(b);
			p->height = be32(b + 4);
		}
		at += 12 + length;
	}
	return unreadable(p, "this PNG file has too many chunks");
}
