/*
 * Frames and records, written and read byte by byte.
 *
 * The one thing to know: the reader never adds lengths before it has compared each with what is left, so no
 * length from the other side can wrap around.
 */
#include "core/base/frame.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define REC_HEAD 7

static void put_le(unsigned char *out, uint64_t value, int n)
{
	for (int i = 0; i < n; i++, value >>= 8)
		out[i] = (unsigned char)(value & 0xFF);
}

static uint64_t get_le(const char *data, int n)
{
	uint64_t value = 0;
	while (n-- > 0)
		value = value << 8 | (unsigned char)data[n];
	return value;
}

static void spoil(struct buf *b)
{
	buf_room(b, SIZE_MAX);	/* no ceiling allows it: the buffer's own sticky failure */
}

size_t frame_begin(struct buf *b, enum frame_type type, uint64_t operation)
{
	unsigned char head[FRAME_HEAD] = {0};
	size_t begin = b->len;
	put_le(head + 4, (uint64_t)type, 4);
	put_le(head + 8, operation, 8);
	buf_add(b, head, sizeof head);
	return begin;
}

void frame_end(struct buf *b, size_t begin)
{
	if (!buf_ok(b))
		return;
	assert(b->len >= begin + FRAME_HEAD);
	size_t length = b->len - begin - FRAME_HEAD;
	if (length > UINT32_MAX)
		spoil(b);
	else
		put_le((unsigned char *)b->data + begin, length, 4);
}

void rec_add(struct buf *b, enum frame_kind kind, const char *key, const void *value, size_t n)
{
	unsigned char head[REC_HEAD];
	size_t key_len = key ? strlen(key) : 0;
	if (key_len > UINT16_MAX || n > UINT32_MAX) {
		spoil(b);
		return;
	}
	put_le(head, (uint64_t)kind, 1);
	put_le(head + 1, key_len, 2);
	put_le(head + 3, n, 4);
	buf_add(b, head, sizeof head);
	buf_add(b, key, key_len);
	buf_add(b, value, n);
}

void rec_text(struct buf *b, enum frame_kind kind, const char *key, const char *value)
{
	rec_add(b, kind, key, value, value ? strlen(value) : 0);
}

void rec_int(struct buf *b, enum frame_kind kind, const char *key, int64_t value)
{
	char text[24];
	int n = snprintf(text, sizeof text, "%lld", (long long)value);
	rec_add(b, kind, key, text, (size_t)n);
}

int frame_peek(const char *data, size_t len, size_t max, struct frame_head *ret_head)
{
	if (len < FRAME_HEAD)
		return 0;
	struct frame_head head = {
		.length = (uint32_t)get_le(data, 4),
		.type = (uint32_t)get_le(data + 4, 4),
		.operation = get_le(data + 8, 8),
	};
	if (max < FRAME_HEAD || head.length > max - FRAME_HEAD || head.type < FRAME_HELLO || head.type > FRAME_FAULT)
		return -1;
	if (head.length > len - FRAME_HEAD)
		return 0;
	*ret_head = head;
	return 1;
}

bool rec_next(const char *data, size_t len, size_t *at, struct rec *ret, bool *ret_bad)
{
	bool ignored = false;
	bool *bad = ret_bad ? ret_bad : &ignored;
	*bad = false;
	if (*at == len)
		return false;
	*bad = true;
	if (*at > len || len - *at < REC_HEAD)
		return false;
	const char *head = data + *at;
	size_t left = len - *at - REC_HEAD;
	uint16_t key_len = (uint16_t)get_le(head + 1, 2);
	uint32_t value_len = (uint32_t)get_le(head + 3, 4);
	if (head[0] == 0 || key_len > left || value_len > left - key_len)
		return false;
	*bad = false;
	*ret = (struct rec){
		.kind = (uint8_t)head[0],
		.key = head + REC_HEAD,
		.value = head + REC_HEAD + key_len,
		.key_len = key_len,
		.value_len = value_len,
	};
	*at += REC_HEAD + (size_t)key_len + value_len;
	return true;
}

bool rec_find(const char *data, size_t len, enum frame_kind kind, const char *key, struct rec *ret)
{
	size_t at = 0;
	struct rec r;
	while (rec_next(data, len, &at, &r, NULL)) {
		if (r.kind != kind || (key && (strlen(key) != r.key_len || memcmp(key, r.key, r.key_len) != 0)))
			continue;
		*ret = r;
		return true;
	}
	return false;
}

bool rec_is(const struct rec *r, const char *value)
{
	return strlen(value) == r->value_len && memcmp(value, r->value, r->value_len) == 0;
}
