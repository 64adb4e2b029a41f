/*
 * The intake of media: from bytes or an address to a file that the probe has judged, and the keeping of the folder.
 *
 * It owns the media folder, the probe, four threads that fetch addresses and one that sweeps.  Rows are written by
 * whoever calls, in his transaction; only what was fetched, and what time ends, is written from here.
 *
 *	rc = intake_begin(cx, in, &owner, content_length, &u);
 *	... intake_add(cx, u, bytes, n) ...
 *	rc = intake_end(cx, u, arena, &m);	m has id, file, bytes, sha256 and what the probe told
 *	... commit the row; then intake_drop(u, true), or false where it was not committed ...
 */
#ifndef MPS_ENGINE_INTAKE_H
#define MPS_ENGINE_INTAKE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/io/conf.h"
#include "core/io/db.h"
#include "core/model/media.h"

struct intake;
struct upload;

/* conf outlives it.  Items that an older server left unfinished are failed before this returns. */
enum rc intake_open(struct cx *cx, struct db *db, const struct conf *conf, struct intake **ret);
void intake_close(struct intake *in);		/* cancels what is fetched: it fails; NULL is nothing */

int64_t intake_bytes_max(const struct intake *in);	/* of one file */
int64_t intake_quota(const struct intake *in);		/* of one organization */
int64_t intake_keep_ms(const struct intake *in);

/* ---- one file ---------------------------------------------------------------------------------------- */

/* expected: bytes that are announced; 0: not known.  Codes media_too_large, media_quota_reached, storage_full,
 * overloaded. */
enum rc intake_begin(struct cx *cx, struct intake *in, const struct owner *o, int64_t expected, struct upload **ret);
/* The same codes. */
enum rc intake_add(struct cx *cx, struct upload *u, const void *bytes, size_t n);
/* Fills id, file, bytes, sha256, kind, mime, codec and numbers.  Codes media_unreadable, media_type_unsupported. */
enum rc intake_end(struct cx *cx, struct upload *u, struct arena *a, struct media *ret);
void intake_drop(struct upload *u, bool keep);	/* NULL is nothing */

/* The file of a row that is gone; after the commit. */
void intake_forget(struct intake *in, const char *file);

/* ---- by address --------------------------------------------------------------------------------------- */

/* Whether this text may be fetched at all.  Code media_unreachable. */
enum rc intake_check(struct cx *cx, const struct intake *in, const char *url);
/* Whether one more may wait.  Code overloaded, rate_limited. */
enum rc intake_room(struct cx *cx, struct intake *in, const struct owner *o);
/* m is a row with status uploading that was committed; it is settled later. */
void intake_fetch(struct intake *in, const struct media *m);
/* Waits until any item was settled since `seen` (0 at first), at most ms; the number to pass next time. */
uint64_t intake_wait(struct intake *in, uint64_t seen, int ms);

#endif
