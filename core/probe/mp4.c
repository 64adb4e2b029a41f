/*
 * MP4 and QuickTime: boxes in boxes.  The movie header tells the duration, the first picture track its size, turn,
 * codec and frames.
 *
 * The one thing to know: a box that reaches behind its parent or the file's end is a damaged or cut file; boxes are
 * counted, so that the work is bounded whatever the sizes say.
 */
#include "core/probe/probe.h"

#include <string.h>

#define BOXES_MAX 100000
#define DEPTH_MAX 8
#define ENTRIES_MAX 2000000
#define TICKS_MAX (INT64_MAX / 2000)

struct track {
	bool picture;
	int64_t width, height, coded_width, coded_height, timescale, duration, samples, ticks;
	char codec[16];
};

struct movie {
	struct input *in;
	int boxes;
	bool seen, data, quicktime, still;
	int64_t timescale, duration, fragments;
	struct track now, best;
};

static bool walk(struct movie *m, int64_t at, int64_t end, int depth);

/* ---- boxes with numbers: [at, end) is the payload -------------------------------------------------------- */

static bool ftyp(struct movie *m, int64_t at, int64_t end)
{
	static const char stills[][5] = {"heic", "heix", "heim", "heis", "mif1", "msf1", "avif", "avis", "crx ", "jpeg"};
	const unsigned char *b = end - at >= 4 ? input_bytes(m->in, at, 4) : NULL;

	if (b == NULL)
		return false;
	m->quicktime = memcmp(b, "qt  ", 4) == 0;
	for (size_t i = 0; i < sizeof stills / sizeof *stills; i++)
		m->still = m->still || memcmp(b, stills[i], 4) == 0;
	return true;
}

/* mvhd and mdhd begin alike. */
static bool times(struct movie *m, int64_t at, int64_t end, int64_t *timescale, int64_t *duration)
{
	const unsigned char *b = end - at >= 20 ? input_bytes(m->in, at, 20) : NULL;
	uint64_t long_duration;

	if (b == NULL)
		return false;
	if (b[0] == 0) {
		*timescale = be32(b + 12);
		*duration = be32(b + 16) == UINT32_MAX ? 0 : be32(b + 16);
		return true;
	}
	b = end - at >= 32 ? input_bytes(m->in, at, 32) : NULL;
	if (b == NULL)
		return false;
	long_duration = be64(b + 24);
	*timescale = be32(b + 20);
	*duration = long_duration > INT64_MAX / 1000000 ? 0 : (int64_t)long_duration;
	return true;
}

static bool mvhd(struct movie *m, int64_t at, int64_t end) { return times(m, at, end, &m->timescale, &m->duration); }
static bool mdhd(struct movie *m, int64_t at, int64_t end) { return times(m, at, end, &m->now.timescale, &m->now.duration); }

static bool mehd(struct movie *m, int64_t at, int64_t end)
{
	const unsigned char *b = end - at >= 8 ? input_bytes(m->in, at, 8) : NULL;

	if (b != NULL && b[0] == 0) {
		m->fragments = be32(b + 4);
	} else if (b != NULL && end - at >= 12 && (b = input_bytes(m->in, at, 12)) != NULL) {
		uint64_t n = be64(b + 4);

		m->fragments = n > INT64_MAX / 1000000 ? 0 : (int64_t)n;
	}
	return b != NULL;
}

static bool tkhd(struct movie *m, int64_t at, int64_t end)
{
	const unsigned char *b = end - at >= 84 ? input_bytes(m->in, at, 84) : NULL;
	const unsigned char *matrix;
	bool turned;

	if (b != NULL && b[0] == 1)
		b = end - at >= 96 ? input_bytes(m->in, at, 96) : NULL;
	if (b == NULL)
		return false;
	matrix = b + (b[0] == 1 ? 52 : 40);
	turned = be32(matrix) == 0 && be32(matrix + 16) == 0 && be32(matrix + 4) != 0 && be32(matrix + 12) != 0;
	m->now.width = be32(matrix + (turned ? 40 : 36)) >> 16;
	m->now.height = be32(matrix + (turned ? 36 : 40)) >> 16;
	return true;
}

static bool hdlr(struct movie *m, int64_t at, int64_t end)
{
	const unsigned char *b = end - at >= 12 ? input_bytes(m->in, at, 12) : NULL;

	if (b != NULL && memcmp(b + 8, "vide", 4) == 0)
		m->now.picture = true;
	return b != NULL;
}

static void codec_name(char out[16], const unsigned char *type)
{
	static const struct { char type[5], name[8]; } table[] = {
		{"avc1", "h264"}, {"avc3", "h264"}, {"hvc1", "hevc"}, {"hev1", "hevc"}, {"av01", "av1"}, {"vp08", "vp8"}, {"vp09", "vp9"},
		{"mp4v", "mpeg4"}, {"apcn", "prores"}, {"apch", "prores"}, {"apcs", "prores"}, {"apco", "prores"}, {"ap4h", "prores"},
	};
	size_t n = 0;

	for (size_t i = 0; i < sizeof table / sizeof *table; i++)
		if (memcmp(type, table[i].type, 4) == 0) {
			memcpy(out, table[i].name, sizeof table[i].name);
			return;
		}
	for (size_t i = 0; i < 4; i++) {
		unsigned char c = type[i] >= 'A' && type[i] <= 'Z' ? (unsigned char)(type[i] | 32) : type[i];

		if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))
			out[n++] = (char)c;
	}
	out[n] = '\0';
}

static bool stsd(struct movie *m, int64_t at, int64_t end)
{
	const unsigned char *b = end - at >= 16 ? input_bytes(m->in, at, 16) : NULL;

	if (b == NULL)
		return false;
	if (m->now.codec[0] == '\0')
		codec_name(m->now.codec, b + 12);
	b = end - at >= 44 ? input_bytes(m->in, at, 44) : NULL;
	if (b != NULL) {
		m->now.coded_width = be16(b + 40);
		m->now.coded_height = be16(b + 42);
	}
	return true;
}

static bool stts(struct movie *m, int64_t at, int64_t end)
{
	const unsigned char *b = end - at >= 8 ? input_bytes(m->in, at, 8) : NULL;
	int64_t n = b != NULL ? be32(b + 4) : 0;

	if (b == NULL || n > (end - at - 8) / 8)
		return false;
	for (int64_t i = 0; i < n && i < ENTRIES_MAX; i++) {
		uint64_t ticks;

		b = input_bytes(m->in, at + 8 + 8 * i, 8);
		if (b == NULL)
			return false;
		ticks = (uint64_t)be32(b) * be32(b + 4);
		if (ticks > TICKS_MAX || m->now.ticks > TICKS_MAX)
			return true;		/* no such video: the frame rate stays unknown */
		m->now.samples += be32(b);
		m->now.ticks += (int64_t)ticks;
	}
	return true;
}

/* ---- boxes with boxes ------------------------------------------------------------------------------------ */

/* The first track with pictures counts. */
static bool trak(struct movie *m, int64_t at, int64_t end, int depth)
{
	memset(&m->now, 0, sizeof m->now);
	if (!walk(m, at, end, depth))
		return false;
	if (m->now.picture && !m->best.picture)
		m->best = m->now;
	return true;
}

static const struct { char type[5]; bool (*read)(struct movie *m, int64_t at, int64_t end); } leaves[] = {
	{"ftyp", ftyp}, {"mvhd", mvhd}, {"mehd", mehd}, {"tkhd", tkhd}, {"mdhd", mdhd}, {"hdlr", hdlr}, {"stsd", stsd}, {"stts", stts},
};
static const char branches[][5] = {"moov", "mdia", "minf", "stbl", "mvex"};

static bool box(struct movie *m, const char type[4], int64_t at, int64_t end, int depth)
{
	for (size_t i = 0; i < sizeof leaves / sizeof *leaves; i++)
		if (memcmp(type, leaves[i].type, 4) == 0)
			return leaves[i].read(m, at, end);
	if (memcmp(type, "trak", 4) == 0)
		return trak(m, at, end, depth + 1);
	m->data = m->data || memcmp(type, "mdat", 4) == 0;
	m->seen = m->seen || memcmp(type, "moov", 4) == 0;
	for (size_t i = 0; i < sizeof branches / sizeof *branches; i++)
		if (memcmp(type, branches[i], 4) == 0)
			return walk(m, at, end, depth + 1);
	return true;
}

static bool walk(struct movie *m, int64_t at, int64_t end, int depth)
{
	while (at + 8 <= end) {
		const unsigned char *b = input_bytes(m->in, at, 8);
		int64_t head = 8, size = b != NULL ? be32(b) : 0;
		char type[4];

		if (b == NULL || m->boxes++ > BOXES_MAX || depth > DEPTH_MAX)
			return false;
		memcpy(type, b + 4, 4);
		if (size == 1) {
			b = input_bytes(m->in, at, 16);
			head = 16;
			size = b != NULL && be64(b + 8) <= INT64_MAX ? (int64_t)be64(b + 8) : 0;
		} else if (size == 0 && depth == 0) {
			size = end - at;
		} else if (size == 0 && end - at <= 12) {
			return true;		/* QuickTime ends some lists with four zero bytes */
		}
		if (size < head || size > end - at || !box(m, type, at + head, at + size, depth))
			return false;
		at += size;
	}
	return true;
}

static void tell(const struct movie *m, struct probed *p)
{
	const struct track *t = &m->best;
	int64_t total = m->duration > 0 ? m->duration : m->fragments;

	p->width = t->width > 0 ? t->width : t->coded_width;
	p->height = t->height > 0 ? t->height : t->coded_height;
	if (total > 0 && m->timescale > 0 && total < INT64_MAX / 1000)
		p->duration_ms = total * 1000 / m->timescale;
	else if (t->duration > 0 && t->timescale > 0 && t->duration < INT64_MAX / 1000)
		p->duration_ms = t->duration * 1000 / t->timescale;
	if (p->duration_ms > 1000000000000)
		p->duration_ms = 0;
	if (t->timescale > 0 && t->ticks > 0 && t->ticks <= TICKS_MAX)
		rate_set(p, t->samples, t->ticks * 1000 / t->timescale);
}

bool mp4_read(struct input *in, struct probed *p)
{
	struct movie m = {.in = in};

	if (!walk(&m, 0, in->size, 0))
		return m.still ? unsupported(p, "it is a still picture of a kind that is not taken")
			: unreadable(p, "this video file is damaged or cut off");
	if (m.still)
		return unsupported(p, "it is a still picture of a kind that is not taken; send JPEG, PNG or WebP");
	if (!m.seen || !m.data)
		return unreadable(p, "this video file lacks its header or its data: it was not finished, or is cut off");
	if (!m.best.picture || m.best.codec[0] == '\0')
		return unsupported(p, "it holds no video");
	tell(&m, p);
	return found(p, "video", m.quicktime ? "video/quicktime" : "video/mp4", m.best.codec);
}
