/* Bags: see bag.h.  A put rewrites the list without the old record; bags are small. */
#include "core/model/bag.h"

#include <string.h>

static bool key_is(const struct rec *r, const char *key)
{
	return strlen(key) == r->key_len && memcmp(r->key, key, r->key_len) == 0;
}

static void remove_key(struct buf *bag, const char *key)
{
	size_t at = 0, start = 0;
	struct rec r;

	while (rec_next(bag->data, bag->len, &at, &r, NULL)) {
		if (key_is(&r, key)) {
			memmove(bag->data + start, bag->data + at, bag->len - at);
			buf_cut(bag, bag->len - (at - start));
			return;
		}
		start = at;
	}
}

void bag_put(struct buf *bag, enum frame_kind kind, const char *key, const char *value)
{
	remove_key(bag, key);
	if (value != NULL && value[0] != '\0')
		rec_text(bag, kind, key, value);
}

const char *bag_get(const struct buf *bag, const char *key, struct arena *a)
{
	size_t at = 0;
	struct rec r;

	while (rec_next(bag->data, bag->len, &at, &r, NULL))
		if (key_is(&r, key))
			return arena_dup(a, r.value, r.value_len);
	return NULL;
}

bool bag_has(const struct buf *bag, const char *key)
{
	size_t at = 0;
	struct rec r;

	while (rec_next(bag->data, bag->len, &at, &r, NULL))
		if (key_is(&r, key))
			return true;
	return false;
}
