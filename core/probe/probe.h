/*
 * Inside of the probe: a window on the file, and one reader per format.
 *
 * Every byte of the file is hostile.  A reader asks input_bytes for what it needs and gives up when it gets NULL;
 * it never computes an offset that it has not compared with the file's end, keeps nothing of the file but numbers,
 * and visits each place of the file at most a bounded number of times.
 */
#ifndef MPS_PROBE_PROBE_H
#define MPS_PROBE_PROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/probed.h"

#define INPUT_WINDOW 16384
#define INPUT_PIECE 1024		/* the most that is asked for at once */

struct input {
	int fd;
	int64_t size;
	int64_t at;			/* of the window in the file */
	size_t have;
	unsigned char window[INPUT_WINDOW];
};

bool input_open(struct input *in, int fd);
/* n bytes at offset, valid until the next call; NULL if the file does not have them. */
const unsigned char *input_bytes(struct input *in, int64_t offset, size_t n);

static inline uint32_t be16(const unsigned char *p) { return (uint32_t)p[0] << 8 | p[1]; }
static inline uint32_t be32(const unsigned char *p) { return be16(p) << 16 | be16(p + 2); }
static inline uint64_t be64(const unsigned char *p) { return (uint64_t)be32(p) << 32 | be32(p + 4); }
static inline uint32_t le16(const unsigned char *p) { return (uint32_t)p[1] << 8 | p[0]; }
static inline uint32_t le24(const unsigned char *p) { return (uint32_t)p[2] << 16 | le16(p); }
static inline uint32_t le32(const unsigned char *p) { return le16(p + 2) << 16 | le16(p); }

/* Both return false, so that a reader can say `return unreadable(p, "...")`. */
bool unreadable(struct probed *p, const char *words);
bool unsupported(struct probed *p, const char *words);
/* Of a known format: true. */
bool found(struct probed *p, const char *kind, const char *mime, const char *codec);
/* frames in ms: a rate, where both are known and it is one. */
void rate_set(struct probed *p, int64_t frames, int64_t ms);

/* Readers: called when the first bytes are theirs; false after unreadable or unsupported. */
bool jpeg_read(struct input *in, struct probed *p);
bool png_read(struct input *in, struct probed *p);
bool gif_read(struct input *in, struct probed *p);
bool webp_read(struct input *in, struct probed *p);
bool mp4_read(struct input *in, struct probed *p);
bool webm_read(struct input *in, struct probed *p);

/* What the file is; fills p in every case. */
void probe_read(struct input *in, struct probed *p);

/* From here on: reading descriptor 0, writing descriptor 1, and the end.  False: it cannot be had. */
bool probe_confine(void);

#endif
