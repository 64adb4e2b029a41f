/*
 * Samples of every format that the probe knows, made byte by byte, and files that hold them.
 */
#ifndef MPS_TESTS_UNIT_MEDIA_SAMPLES_H
#define MPS_TESTS_UNIT_MEDIA_SAMPLES_H

#include <stdarg.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "tests/unit/test.h"

#define UNUSED __attribute__((unused))

static void be(struct buf *b, int n, uint64_t value)
{
	while (n-- > 0)
		buf_addc(b, (char)(value >> (8 * n) & 0xff));
}

static void le(struct buf *b, int n, uint64_t value)
{
	for (int i = 0; i < n; i++)
		buf_addc(b, (char)(value >> (8 * i) & 0xff));
}

static void zeros(struct buf *b, int n) { be(b, n, 0); }

static void zeros_long(struct buf *b, int n)
{
	while (n-- > 0)
		buf_addc(b, 0);
}

/* ---- pictures ------------------------------------------------------------------------------------------- */

static void make_jpeg(struct buf *b, int width, int height, int orientation)
{
	buf_add(b, "\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\0\0\1\0\1\0\0", 20);
	if (orientation > 0) {
		buf_add(b, "\xff\xe1\0\x22" "Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01", 28);
		be(b, 2, (uint64_t)orientation);
		zeros(b, 6);
	}
	buf_add(b, "\xff\xc0\0\x0b\x08", 5);
	be(b, 2, (uint64_t)height);
	be(b, 2, (uint64_t)width);
	buf_add(b, "\x01\x01\x11\0", 4);
	buf_add(b, "\xff\xda\0\x08\x01\x01\0\0\x3f\0\x55\x55\xff\xd9", 14);
}

static void chunk(struct buf *b, const char *type, const void *bytes, size_t n)
{
	be(b, 4, n);
	buf_add(b, type, 4);
	buf_add(b, bytes, n);
	be(b, 4, 0x12345678);
}

static void make_png(struct buf *b, int width, int height, bool animated)
{
	static const unsigned char nothing[64];
	struct buf head BUF_AUTO;

	buf_init(&head, 64);
	be(&head, 4, (uint64_t)width);
	be(&head, 4, (uint64_t)height);
	buf_add(&head, "\x08\x02\0\0\0", 5);
	buf_add(b, "\x89PNG\r\n\x1a\n", 8);
	chunk(b, "IHDR", head.data, head.len);
	if (animated)
		chunk(b, "acTL", nothing, 8);
	chunk(b, "tEXt", nothing, 20);
	chunk(b, "IDAT", nothing, 64);
	chunk(b, "IEND", nothing, 0);
}

static void make_gif(struct buf *b, int width, int height, int frames)
{
	buf_add(b, "GIF89a", 6);
	le(b, 2, (uint64_t)width);
	le(b, 2, (uint64_t)height);
	buf_add(b, "\x80\0\0\0\0\0\xff\xff\xff", 9);
	for (int i = 0; i < frames; i++) {
		buf_add(b, "\x21\xf9\x04\0\x0a\0\0\0", 8);		/* a tenth of a second */
		buf_add(b, "\x2c\0\0\0\0\x01\0\x01\0\0\x02\x02\x44\x01\0", 15);
	}
	buf_addc(b, 0x3b);
}

static void riff(struct buf *b, const struct buf *chunks)
{
	buf_add(b, "RIFF", 4);
	le(b, 4, chunks->len + 4);
	buf_add(b, "WEBP", 4);
	buf_add(b, chunks->data, chunks->len);
}

static void make_webp(struct buf *b, int width, int height, int kind)		/* 0 lossy, 1 lossless, 2 or more: frames */
{
	struct buf c BUF_AUTO;

	buf_init(&c, 4096);
	if (kind == 0) {
		buf_add(&c, "VP8 \x0c\0\0\0\x10\x02\0\x9d\x01\x2a", 14);
		le(&c, 2, (uint64_t)width);
		le(&c, 2, (uint64_t)height);
		zeros(&c, 2);
	} else if (kind == 1) {
		buf_add(&c, "VP8L\x06\0\0\0\x2f", 9);
		le(&c, 4, (uint64_t)(width - 1) | (uint64_t)(height - 1) << 14);
		zeros(&c, 1);
	} else {
		buf_add(&c, "VP8X\x0a\0\0\0\x02\0\0\0", 12);
		le(&c, 3, (uint64_t)(width - 1));
		le(&c, 3, (uint64_t)(height - 1));
		buf_add(&c, "ANIM\x06\0\0\0\0\0\0\0\0\0", 14);
		for (int i = 0; i < kind; i++) {
			buf_add(&c, "ANMF\x10\0\0\0", 8);
			zeros_long(&c, 12);
			le(&c, 3, 250);
			zeros(&c, 1);
		}
	}
	riff(b, &c);
}

/* ---- MP4 ------------------------------------------------------------------------------------------------ */

static size_t box_begin(struct buf *b, const char *type)
{
	be(b, 4, 0);
	buf_add(b, type, 4);
	return b->len - 8;
}

static void box_end(struct buf *b, size_t at)
{
	for (int i = 0; i < 4; i++)
		b->data[at + (size_t)i] = (char)((b->len - at) >> (8 * (3 - i)) & 0xff);
}

struct movie_sample { const char *brand, *handler, *codec; int width, height, seconds, fps, version; bool turned; };

static void times_make(struct buf *b, const struct movie_sample *m, int scale)
{
	be(b, 4, (uint64_t)m->version << 24);
	zeros_long(b, m->version ? 16 : 8);
	be(b, 4, (uint64_t)scale);
	be(b, m->version ? 8 : 4, (uint64_t)(m->seconds * scale));
}

static void tkhd_make(struct buf *b, const struct movie_sample *m)
{
	static const uint32_t plain[] = {0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000};
	static const uint32_t turned[] = {0, 0x10000, 0, 0xffff0000, 0, 0, 0, 0, 0x40000000};
	size_t at = box_begin(b, "tkhd");

	be(b, 4, (uint64_t)m->version << 24 | 3);
	zeros_long(b, m->version ? 32 : 20);
	zeros_long(b, 16);
	for (int i = 0; i < 9; i++)
		be(b, 4, m->turned ? turned[i] : plain[i]);
	be(b, 4, (uint64_t)m->width << 16);
	be(b, 4, (uint64_t)m->height << 16);
	box_end(b, at);
}

static void stbl_make(struct buf *b, const struct movie_sample *m)
{
	size_t stbl = box_begin(b, "stbl"), stsd = box_begin(b, "stsd"), entry, stts;

	be(b, 8, 1);
	entry = box_begin(b, m->codec);
	zeros_long(b, 24);
	be(b, 2, (uint64_t)m->width);
	be(b, 2, (uint64_t)m->height);
	zeros_long(b, 50);
	box_end(b, entry);
	box_end(b, stsd);
	stts = box_begin(b, "stts");
	be(b, 8, 1);
	be(b, 4, (uint64_t)(m->seconds * m->fps));
	be(b, 4, 1000);
	box_end(b, stts);
	box_end(b, stbl);
}

static void make_mp4(struct buf *b, const struct movie_sample *m)
{
	size_t at = box_begin(b, "ftyp"), moov, trak, mdia, minf, inner;

	buf_add(b, m->brand, 4);
	zeros(b, 4);
	box_end(b, at);
	moov = box_begin(b, "moov");
	inner = box_begin(b, "mvhd");
	times_make(b, m, 1000);
	zeros_long(b, 80);
	box_end(b, inner);
	trak = box_begin(b, "trak");
	tkhd_make(b, m);
	mdia = box_begin(b, "mdia");
	inner = box_begin(b, "mdhd");
	times_make(b, m, m->fps * 1000);
	zeros(b, 4);
	box_end(b, inner);
	inner = box_begin(b, "hdlr");
	zeros_long(b, 8);
	buf_add(b, m->handler, 4);
	zeros_long(b, 13);
	box_end(b, inner);
	minf = box_begin(b, "minf");
	stbl_make(b, m);
	box_end(b, minf);
	box_end(b, mdia);
	box_end(b, trak);
	box_end(b, moov);
	at = box_begin(b, "mdat");
	zeros_long(b, 100);
	box_end(b, at);
}

/* ---- WebM ----------------------------------------------------------------------------------------------- */

static void element(struct buf *b, int id_n, uint64_t id, const struct buf *inner)
{
	be(b, id_n, id);
	be(b, 2, 0x4000 | inner->len);
	buf_add(b, inner->data, inner->len);
}

static void number(struct buf *b, int id_n, uint64_t id, int n, uint64_t value)
{
	be(b, id_n, id);
	be(b, 1, 0x80 | (uint64_t)n);
	be(b, n, value);
}

static void text(struct buf *b, int id_n, uint64_t id, const char *value)
{
	be(b, id_n, id);
	be(b, 1, 0x80 | strlen(value));
	buf_adds(b, value);
}

static void make_webm(struct buf *b, const char *doctype, int width, int height, double ms)
{
	struct buf in[4];
	uint64_t bits;

	memcpy(&bits, &ms, sizeof bits);
	for (int i = 0; i < 4; i++)
		buf_init(&in[i], 4096);
	text(&in[0], 2, 0x4282, doctype);
	element(b, 4, 0x1a45dfa3, &in[0]);
	buf_reset(&in[0]);
	number(&in[0], 3, 0x2ad7b1, 4, 1000000);
	number(&in[0], 2, 0x4489, 8, bits);
	element(&in[3], 4, 0x1549a966, &in[0]);
	buf_reset(&in[0]);
	number(&in[0], 1, 0xb0, 2, (uint64_t)width);
	number(&in[0], 1, 0xba, 2, (uint64_t)height);
	number(&in[1], 1, 0x83, 1, 1);
	text(&in[1], 1, 0x86, "V_VP9");
	number(&in[1], 3, 0x23e383, 4, 40000000);
	element(&in[1], 1, 0xe0, &in[0]);
	element(&in[2], 1, 0xae, &in[1]);
	element(&in[3], 4, 0x1654ae6b, &in[2]);
	buf_reset(&in[0]);
	zeros_long(&in[0], 50);
	element(&in[3], 4, 0x1f43b675, &in[0]);
	be(b, 4, 0x18538067);
	be(b, 8, 0x01ffffffffffffff);		/* of unknown length, as a recorder writes it */
	buf_add(b, in[3].data, in[3].len);
	for (int i = 0; i < 4; i++)
		buf_free(&in[i]);
}

/* ---- files ---------------------------------------------------------------------------------------------- */

UNUSED static int file_of(const void *bytes, size_t n)
{
	int fd = memfd_create("sample", MFD_CLOEXEC);

	CHECK(fd >= 0 && write(fd, bytes, n) == (ssize_t)n && lseek(fd, 0, SEEK_SET) == 0);
	return fd;
}

#define SAMPLES 12

UNUSED static void sample_make(int i, struct buf *b)
{
	static const struct movie_sample movies[] = {
		{"isom", "vide", "avc1", 640, 360, 2, 25, 0, false}, {"qt  ", "vide", "hvc1", 1920, 1080, 3, 30, 1, true},
	};

	buf_init(b, 1u << 20);
	switch (i) {
	case 0: make_jpeg(b, 40, 30, 0); break;
	case 1: make_jpeg(b, 40, 30, 6); break;
	case 2: make_png(b, 64, 48, false); break;
	case 3: make_png(b, 64, 48, true); break;
	case 4: make_gif(b, 20, 10, 1); break;
	case 5: make_gif(b, 20, 10, 3); break;
	case 6: make_webp(b, 300, 200, 0); break;
	case 7: make_webp(b, 300, 200, 1); break;
	case 8: make_webp(b, 300, 200, 4); break;
	case 9: make_mp4(b, &movies[0]); break;
	case 10: make_mp4(b, &movies[1]); break;
	default: make_webm(b, "webm", 854, 480, 5000); break;
	}
	CHECK(buf_ok(b));
}

#endif
