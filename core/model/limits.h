/*
 * What a platform takes: the limits of its descriptor with those of an account or its instance laid over them.
 * Every limit has a path ("media.image.max_bytes"), which is its name in the descriptor, in an account's own limits
 * and, behind the platform's id, the rule that a broken one names.
 */
#ifndef MPS_MODEL_LIMITS_H
#define MPS_MODEL_LIMITS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/arena.h"
#include "core/base/json.h"

struct limits_media {			/* of one type; 0 and NULL: no limit */
	const char *const *mime;
	int64_t max_bytes, min_width, min_height, max_width, max_height, max_pixels, min_duration_ms, max_duration_ms;
	double min_ratio, max_ratio, max_frame_rate;
};

enum limits_type { LIMITS_IMAGE, LIMITS_GIF, LIMITS_VIDEO, LIMITS_TYPES };

struct limits {
	int64_t text_max, text_max_bytes, url_length;
	const char *text_count;			/* graphemes points utf16 bytes weighted */
	bool text_required, mentions_local;
	const char *const *text_with;		/* options whose text counts along */
	bool media_required, mixed, public_url;
	int64_t min_items, max_items, max_images, max_videos, alt_max;
	bool types[LIMITS_TYPES];		/* which the platform takes at all */
	struct limits_media media[LIMITS_TYPES];
};

/* From a descriptor's "text" and "media"; words name the key at fault. */
enum rc limits_read(struct cx *cx, struct arena *a, struct jv text, struct jv media, struct limits *ret);

/* account: JSON object of paths and values as texts, or NULL.  What it names in vain is left as it was. */
void limits_overlay(struct limits *l, const char *account, struct arena *a);

/* One limit that is set, as those who show it need it. */
struct limits_entry {
	const char *path;			/* "media.image.max_bytes" */
	const char *rule;			/* behind the platform's id and a dot: "text.max_graphemes" */
	const char *code;			/* of the error; NULL: the limit breaks nothing by itself (how text is counted) */
	const char *words;			/* what it says, for people */
	const char *json;			/* its value */
};

/* Calls back for every limit that is set, in the order of the descriptor's page; texts lie in the arena. */
void limits_each(const struct limits *l, struct arena *a, void (*each)(void *arg, const struct limits_entry *e), void *arg);

extern const char *const limits_types[LIMITS_TYPES + 1];	/* "image", "gif", "video" */

#endif
