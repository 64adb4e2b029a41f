/*
 * WebM: EBML elements.  Only the head is read: document type, information and tracks, up to the first cluster that
 * follows them.
 */
#include "core/probe/probe.h"

#include <string.h>

#define ELEMENTS_MAX 100000
#define DEPTH_MAX 6
#define UNKNOWN (-1)

enum {
	EBML = 0x1a45dfa3, DOCTYPE = 0x4282, SEGMENT = 0x18538067, INFO = 0x1549a966, SCALE = 0x2ad7b1, DURATION = 0x4489,
	TRACKS = 0x1654ae6b, ENTRY = 0xae, TYPE = 0x83, CODEC = 0x86, FRAME = 0x23e383, VIDEO = 0xe0, WIDTH = 0xb0, HEIGHT = 0xba,
	CLUSTER = 0x1f43b675
};

struct webm {
	struct input *in;
	int elements;
	bool webm, tracks, ended, picture;
	uint64_t scale, frame_ns, type, width, height;	/* of the track that is read */
	double duration;
	char codec[16];
	struct probed *p;
	uint64_t best_frame_ns;
	char best_codec[16];
};

static bool walk(struct webm *w, int64_t at, int64_t end, int depth);

/* A variable-length number: with its marker bit for ids, without for sizes.  Bytes used, 0 if there is none. */
static int vint(struct input *in, int64_t at, int max, bool marker, uint64_t *ret)
{
	const unsigned char *b = input_bytes(in, at, 1);
	int n = 1;
	uint64_t value;

	if (b == NULL || b[0] == 0)
		return 0;
	while (!(b[0] & (0x80 >> (n - 1))))
		n++;
	if (n > max || (b = input_bytes(in, at, (size_t)n)) == NULL)
		return 0;
	value = marker ? b[0] : b[0] & (0xffu >> n);
	for (int i = 1; i < n; i++)
		value = value << 8 | b[i];
	*ret = value;
	return n;
}

static uint64_t number(struct webm *w, int64_t at, int64_t n)
{
	const unsigned char *b = n > 0 && n <= 8 ? input_bytes(w->in, at, (size_t)n) : NULL;
	uint64_t value = 0;

	for (int64_t i = 0; b != NULL && i < n; i++)
		value = value << 8 | b[i];
	return value;
}

static double real(struct webm *w, int64_t at, int64_t n)
{
	uint64_t bits = number(w, at, n);
	uint32_t half = (uint32_t)bits;
	double value = 0;
	float small = 0;

	if (n == 8) {
		memcpy(&value, &bits, sizeof value);
	} else if (n == 4) {
		memcpy(&small, &half, sizeof small);
		value = (double)small;
	}
	return value > 0 && value < 1e15 ? value : 0;	/* no number, and infinity, fail both */
}

static void codec(struct webm *w, int64_t at, int64_t n)
{
	static const struct { const char *id; char name[6]; } table[] = {{"V_VP8", "vp8"}, {"V_VP9", "vp9"}, {"V_AV1", "av1"}};
	const unsigned char *b = n == 5 ? input_bytes(w->in, at, 5) : NULL;

	for (size_t i = 0; b != NULL && i < sizeof table / sizeof *table; i++)
		if (memcmp(b, table[i].id, 5) == 0)
			memcpy(w->codec, table[i].name, sizeof table[i].name);
}

static bool entry(struct webm *w, int64_t at, int64_t end, int depth)
{
	w->type = w->width = w->height = w->frame_ns = 0;
	w->codec[0] = '\0';
	if (!walk(w, at, end, depth))
		return false;
	if (w->type != 1 || w->picture)
		return true;
	w->picture = true;
	w->p->width = w->width < 1000000 ? (int64_t)w->width : 0;
	w->p->height = w->height < 1000000 ? (int64_t)w->height : 0;
	w->best_frame_ns = w->frame_ns;
	memcpy(w->best_codec, w->codec, sizeof w->codec);
	return true;
}

static void doctype(struct webm *w, int64_t at, int64_t n)
{
	const unsigned char *b = n >= 4 && n <= 16 ? input_bytes(w->in, at, (size_t)n) : NULL;

	w->webm = b != NULL && memcmp(b, "webm", 4) == 0 && (n == 4 || b[4] == 0);
}

static bool element(struct webm *w, uint64_t id, int64_t at, int64_t end, int depth)
{
	int64_t n = end - at;

	switch (id) {
	case EBML: case SEGMENT: case INFO: case VIDEO: return walk(w, at, end, depth + 1);
	case TRACKS: w->tracks = true; return walk(w, at, end, depth + 1);
	case ENTRY: return entry(w, at, end, depth + 1);
	case CLUSTER: w->ended = w->tracks; return true;
	case DOCTYPE: doctype(w, at, n); return true;
	case SCALE: w->scale = number(w, at, n); return true;
	case DURATION: w->duration = real(w, at, n); return true;
	case TYPE: w->type = number(w, at, n); return true;
	case CODEC: codec(w, at, n); return true;
	case FRAME: w->frame_ns = number(w, at, n); return true;
	case WIDTH: w->width = number(w, at, n); return true;
	case HEIGHT: w->height = number(w, at, n); return true;
	default: return true;
	}
}

static bool walk(struct webm *w, int64_t at, int64_t end, int depth)
{
	while (at < end && !w->ended) {
		uint64_t id, size;
		int id_n = vint(w->in, at, 4, true, &id);
		int size_n = id_n > 0 ? vint(w->in, at + id_n, 8, false, &size) : 0;
		int64_t from = at + id_n + size_n, n;

		if (size_n == 0 || from > end || w->elements++ > ELEMENTS_MAX || depth > DEPTH_MAX)
			return false;
		if (size == (1ull << (7 * size_n)) - 1) {	/* unknown: a segment or a cluster that was streamed */
			if (id != SEGMENT && id != CLUSTER)
				return false;
			n = end - from;
		} else if (size > (uint64_t)(end - from)) {
			return false;
		} else {
			n = (int64_t)size;
		}
		if (!element(w, id, from, from + n, depth))
			return false;
		at = from + n;
	}
	return true;
}

bool webm_read(struct input *in, struct probed *p)
{
	struct webm w = {.in = in, .p = p, .scale = 1000000};
	bool whole = walk(&w, 0, in->size, 0);

	if (!w.webm)
		return unsupported(p, "it is a Matroska file, not WebM");
	if (!whole)
		return unreadable(p, "this WebM file is damaged or cut off");
	if (!w.picture || w.best_codec[0] == '\0')
		return unsupported(p, "it holds no video of WebM's codecs");
	if (w.scale > 0 && w.scale < 1000000000000ull) {
		double ms = w.duration * (double)w.scale / 1e6;

		p->duration_ms = ms < 1e12 ? (int64_t)ms : 0;
	}
	if (w.best_frame_ns >= 1000 && w.best_frame_ns < 1000000000000ull)
		p->frame_rate_milli = (int64_t)(1000000000000ull / w.best_frame_ns);
	if (p->frame_rate_milli > 1000000)
		p->frame_rate_milli = 0;
	return found(p, "video", "video/webm", w.best_codec);
}
