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
#include "core/base/jsonw.h"
#include "core/io/db.h"
#include "core/model/event.h"

struct media {
	struct owner owner;
	const char *id, *status;		/* uploading | processing | ready | failed */
	const char *file, *filename, *source_url, *kind, *mime, *sha256, *codec, *alt, *error;
	int64_t bytes, width, height, duration_ms, frame_rate_milli, expires_at, created_at, updated_at;	/* 0: not known */
};

/* ---- what posts need -------------------------------------------------------------------------------- */

/* False if there is none of this owner. */
bool media_find(struct db_conn *c, const struct owner *o, const char *id, struct arena *a, struct media *ret);

/* The post holds the item until it can no longer be sent; in the transaction that stores the post.  False: the
 * item went meanwhile. */
bool media_hold(struct db_conn *c, const struct owner *o, const char *media_id, const char *post_id);
/* Before an edit writes what the post holds now. */
void media_release(struct db_conn *c, const struct owner *o, const char *post_id);

/* ---- rows ------------------------------------------------------------------------------------------- */

/* Rows behind `after` in the order of ids.  Read with media_row. */
struct stmt *media_list(struct db_conn *c, const struct owner *o, const char *after, int limit);
void media_row(struct stmt *s, struct arena *a, struct media *ret);

/* A row as m says; a ready one is told in the event log.  RC_LIMITED (media_quota_reached) when the organization
 * has more than quota bytes with it. */
enum rc media_add(struct cx *cx, struct db_conn *c, const struct media *m, int64_t quota, int64_t now);

/* How an item ended that was uploading or processing: m has status ready with what the probe told, or failed with
 * an error, and its event is written.  *ret_settled is false if the row is gone, or was settled before. */
enum rc media_settle(struct cx *cx, struct db_conn *c, const struct media *m, int64_t quota, int64_t now, bool *ret_settled);

/* {"code", "message"} as media.error has it. */
const char *media_error(struct arena *a, const char *code, const char *message);

/* The newest item that this owner made from this address since then and that did not fail. */
bool media_recent(struct db_conn *c, const struct owner *o, const char *url, int64_t since, struct arena *a, struct media *ret);

void media_describe(struct db_conn *c, const struct owner *o, const char *id, const char *alt, int64_t now);

/* The row goes; the file is the caller's to remove after the commit.  Codes media_not_found, media_in_use. */
enum rc media_remove(struct cx *cx, struct db_conn *c, const struct owner *o, const char *id, struct arena *a, const char **ret_file);

int64_t media_bytes(struct db_conn *c, const char *organization_id);	/* of all its items, live and test */

/* The object as events show it, and its members. */
void media_members(struct jsonw *w, const struct media *m);
void media_write(struct jsonw *w, const char *key, const struct media *m);

/* ---- time ------------------------------------------------------------------------------------------- */

/* Items that are past their time and held by nobody: their rows go, at most max; their files into ret_files. */
int media_expire(struct db_conn *c, int64_t now, struct arena *a, const char **ret_files, int max);

/* Items that were uploading or processing and were not touched since `before`: at most max, read by media_row. */
struct stmt *media_unsettled(struct db_conn *c, int64_t before, int max);

/* Whether a row names this file.  A failed item has none any more. */
bool media_names(struct db_conn *c, const char *file);

#endif
