/*
 * Media of a post that are given by address: fetched through the guard and kept, before the post is accepted.
 */
#ifndef MPS_API_MEDIA_H
#define MPS_API_MEDIA_H

#include "core/api/api.h"
#include "core/model/media.h"

/*
 * An item made from this address, ready: waits at most wait_ms for it.  Codes media_unreachable, media_unreadable,
 * media_type_unsupported, media_too_large, media_not_ready (the copy goes on: the words name its id, to be used as
 * mediaId later), media_quota_reached.  The same address asked for again by the same owner within ten minutes is the
 * same item.  Hold no reader of the store meanwhile (db_take): whoever fetches needs one.
 */
enum rc media_fetch(struct api_request *r, const char *url, int wait_ms, struct media *ret);

/* The same in two steps, so that several are fetched at a time: the item, ready or not, and then the wait for it. */
enum rc media_fetch_start(struct api_request *r, const char *url, struct media *ret);
enum rc media_fetch_wait(struct api_request *r, const struct media *started, int wait_ms, struct media *ret);

/* The object as the API shows it: with what each platform would say to it. */
void media_show(struct api_request *r, const struct media *m);

/* A file's name that hurts nobody who shows it or saves under it; NULL if nothing is left.  Also of RFC 5987's form
 * (UTF-8''na%C3%AFve.png) and with percent escapes. */
const char *media_filename(struct arena *a, const char *text);
const char *media_filename_of_url(struct arena *a, const char *url);

enum rc media_fetch_post(struct api_request *r);	/* POST /v1/media/from-url */

#endif
