/*
 * The growing byte buffer.
 *
 * The one thing to know: memory that is given back is overwritten first, also when the buffer moves to a
 * larger block, so that a secret written here leaves no copy in the heap.
 */
#include "core/base/buf.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/rc.h"

#define FIRST 64
#define SMALL (64 * 1024)

static void release(struct buf *b)
{
	if (b->data)
		explicit_bzero(b->data, b->cap);
	free(b->data);
	b->data = NULL;
	b->len = b->cap = 0;
}

static bool give_up(struct buf *b)
{
	release(b);
	b->failed = true;
	return false;
}

bool buf_enlarge(struct buf *b, size_t n)
{
	assert(b->max > 0);
	if (b->failed)
		return false;
	if (n > b->max - b->len)
		return give_up(b);
	size_t cap = b->cap ? b->cap : FIRST;
	while (cap <= b->len + n)
		cap *= 2;
	if (cap > b->max)
		cap = b->max + 1;
	char *data = malloc(cap);
	if (!data && cap <= SMALL)
		out_of_memory(__func__);
	if (!data)
		return give_up(b);
	if (b->data) {
		memcpy(data, b->data, b->len);
		explicit_bzero(b->data, b->cap);
		free(b->data);
	}
	b->data = data;
	b->cap = cap;
	b->data[b->len] = '\0';
	return true;
}

static bool grow(struct buf *b, size_t n)
{
	return buf_room(b, n) != NULL;
}

void buf_init(struct buf *b, size_t max)
{
	assert(max > 0 && max < SIZE_MAX / 4);
	*b = (struct buf){.max = max};
}

void buf_free(struct buf *b)
{
	release(b);
	b->failed = false;
}

void buf_wipe(struct buf *b)
{
	buf_free(b);
}

void buf_reset(struct buf *b)
{
	b->len = 0;
	b->failed = false;
	if (b->data)
		b->data[0] = '\0';
}

void buf_add(struct buf *b, const void *bytes, size_t n)
{
	if (!grow(b, n))
		return;
	if (n > 0)
		memcpy(b->data + b->len, bytes, n);
	buf_grew(b, n);
}

void buf_adds(struct buf *b, const char *text)
{
	buf_add(b, text, strlen(text));
}

/* Into the room that is there; only what does not fit is written a second time. */
void buf_addv(struct buf *b, const char *fmt, va_list ap)
{
	size_t room = b->cap - b->len;
	va_list again;
	va_copy(again, ap);
	int n = vsnprintf(room ? b->data + b->len : NULL, room, fmt, ap);
	if (room && (n < 0 || (size_t)n >= room))
		b->data[b->len] = '\0';
	if (n < 0) {
		give_up(b);
	} else if ((size_t)n < room) {
		buf_grew(b, (size_t)n);
	} else if (grow(b, (size_t)n)) {
		vsnprintf(b->data + b->len, (size_t)n + 1, fmt, again);
		buf_grew(b, (size_t)n);
	}
	va_end(again);
}

void buf_addf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	buf_addv(b, fmt, ap);
	va_end(ap);
}

void buf_drop(struct buf *b, size_t n)
{
	assert(b->failed || n <= b->len);
	if (b->failed || n == 0)
		return;
	memmove(b->data, b->data + n, b->len - n);
	b->len -= n;
	b->data[b->len] = '\0';
}

void buf_cut(struct buf *b, size_t len)
{
	assert(b->failed || len <= b->len);
	if (b->failed || !b->data)
		return;
	b->len = len;
	b->data[len] = '\0';
}

bool buf_ok(const struct buf *b)
{
	return !b->failed;
}

const char *buf_text(const struct buf *b)
{
	return b->data ? b->data : "";
}

char *buf_take(struct buf *b)
{
	if (!grow(b, 0))
		return NULL;
	char *data = b->data;
	b->data = NULL;
	b->len = b->cap = 0;
	return data;
}
