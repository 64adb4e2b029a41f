/*
 * Media of a post that are given by address: fetched through the guard and kept, before the post is accepted.
 */
#ifndef MPS_API_MEDIA_H
#define MPS_API_MEDIA_H

#include "core/api/api.h"
#include "core/model/media.h"

/*
 * An item made from this address, ready: waits at most wait_ms for it.  Codes media_unreachable, media_unreadable,
 * media_too_large, media_not_ready (the copy goes on: the words name its id, to be used as mediaId later),
 * media_quota_reached.  The same address asked for again by the same owner within ten minutes is the same item.
 */
enum rc media_fetch(struct api_request *r, const char *url, int wait_ms, struct media *ret);

#endif
