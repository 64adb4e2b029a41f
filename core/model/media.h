/*
 * Media items: a file inside DATA/media and the row that owns it.  The file is written first and named only by its
 * row; it goes only after the row is gone, so a crash leaves at worst a file that nobody names, which the next
 * sweep removes.
 *
 * An item is ready when the probe has told what it is.  A post holds its items: they do not expire while one of its
 * deliveries may still be sent.
 */
#ifndef MPS_MODEL_MEDIA_H
#define MPS_MODEL_MEDIA_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/id.h"
#include "core/io/db.h"
#include "core/model/event.h"

struct media {
	struct owner owner;
	const char *id, *status;		/* uploading | processing | ready | failed */
	const char *file, *filename, *source_url, *kind, *mime, *sha256, *codec, *alt, *error;
	int64_t bytes, width, height, duration_ms, frame_rate_milli, expires_at, created_at, updated_at;	/* 0: not known */
};

/* False if there is none of this owner. */
bool media_find(struct db_conn *c, const struct owner *o, const char *id, struct arena *a, struct media *ret);

/* The post holds the item until it can no longer be sent; in the transaction that stores the post. */
void media_hold(struct db_conn *c, const struct owner *o, const char *media_id, const char *post_id);
/* Before an edit writes what the post holds now. */
void media_release(struct db_conn *c, const struct owner *o, const char *post_id);

#endif
