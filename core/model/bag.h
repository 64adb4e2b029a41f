/*
 * A bag: keys and values as a list of records (core/base/frame.h).  The saved state of an operation, its
 * inputs and the sealed secrets of a grant are bags.  Values are text without NUL.
 */
#ifndef MPS_MODEL_BAG_H
#define MPS_MODEL_BAG_H

#include <stddef.h>

#include "core/base/arena.h"
#include "core/base/buf.h"
#include "core/base/frame.h"

#define BAG_MAX (512u * 1024u)

/* Sets a key; an empty or NULL value removes it.  kind is the record kind of the whole bag. */
void bag_put(struct buf *bag, enum frame_kind kind, const char *key, const char *value);
/* NULL if absent; a copy in the arena otherwise. */
const char *bag_get(const struct buf *bag, const char *key, struct arena *a);
/* The value inside the bag, until it changes. */
const char *bag_find(const struct buf *bag, const char *key, size_t *ret_len);
void bag_put_bytes(struct buf *bag, enum frame_kind kind, const char *key, const void *value, size_t n);
bool bag_has(const struct buf *bag, const char *key);

#endif
