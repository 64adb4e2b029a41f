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

void bag_put_bytes(struct buf *bag, enum frame_kind kind, const char *key, const void *value, size_t n)
{
	remove_key(bag, key);
	if (n > 0)
		rec_add(bag, kind, key, value, n);
}

void bag_put(struct buf *bag, enum frame_kind kind, const char *key, const char *value)
{
	bag_put_bytes(bag, kind, key, value, value == NULL ? 0 : strlen(value));
}

const char *bag_find(const struct buf *bag, const char *key, size_t *ret_len)
{
	size_t at = 0;
	struct rec r;

	while (rec_next(bag->data, bag->len, &at, &r, NULL))
		if (key_is(&r, key)) {
			*ret_len = r.value_len;
			return r.value;
		}
	return NULL;
}

const char *bag_get(const struct buf *bag, const char *key, struct arena *a)
{
	size_t n;
	const char *value = bag_find(bag, key, &n);

	return value == NULL ? NULL : arena_dup(a, value, n);
}

bool bag_has(const struct buf *bag, const char *key)
{
	size_t n;

	return bag_find(bag, key, &n) != NULL;
}
