/*
 * The arena: a list of blocks, the newest first, each handed out from its start to its end.
 *
 * The one thing to know: blocks are overwritten before they are freed, because documents parsed into an
 * arena may hold tokens.
 */
#include "core/base/arena.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ALIGN 16
#define BLOCK_FIRST 4096
#define BLOCK_MOST (256 * 1024)

struct arena_block {
	struct arena_block *next;
	size_t size, used;
	_Alignas(ALIGN) char bytes[];
};

static void die(const char *what, size_t n, size_t max)
{
	char line[160];
	int len = snprintf(line, sizeof line, "arena: %s: %zu bytes asked, ceiling %zu\n", what, n, max);
	if (len > 0 && write(STDERR_FILENO, line, (size_t)len) < 0)
		abort();
	abort();
}

void arena_init(struct arena *a, size_t max)
{
	*a = (struct arena){.max = max};
}

void arena_free(struct arena *a)
{
	while (a->head) {
		struct arena_block *next = a->head->next;
		explicit_bzero(a->head->bytes, a->head->used);
		free(a->head);
		a->head = next;
	}
	a->used = 0;
}

/* A large piece gets a block of its own behind the head, so that the head's free room is not lost. */
static struct arena_block *block_add(struct arena *a, size_t n)
{
	struct arena_block *head = a->head;
	size_t size = head ? head->size * 2 : BLOCK_FIRST;
	if (size > BLOCK_MOST)
		size = BLOCK_MOST;
	bool own = n > size / 2;
	if (own)
		size = n;
	struct arena_block *block = calloc(1, sizeof *block + size);
	if (!block)
		die("out of memory", n, a->max);
	block->size = size;
	if (own && head) {
		block->next = head->next;
		head->next = block;
	} else {
		block->next = head;
		a->head = block;
	}
	return block;
}

void *arena_alloc(struct arena *a, size_t n)
{
	if (n > a->max || a->used > a->max - n)
		die("over its ceiling", n, a->max);
	n = n ? (n + ALIGN - 1) & ~(size_t)(ALIGN - 1) : ALIGN;
	struct arena_block *block = a->head;
	if (!block || block->size - block->used < n)
		block = block_add(a, n);
	void *ret = block->bytes + block->used;
	block->used += n;
	a->used += n;
	return ret;
}

void *arena_dup(struct arena *a, const void *bytes, size_t n)
{
	char *copy = arena_alloc(a, n + 1);
	if (n > 0)
		memcpy(copy, bytes, n);
	return copy;
}

char *arena_text(struct arena *a, const char *text)
{
	return text ? arena_dup(a, text, strlen(text)) : NULL;
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list ap, again;
	va_start(ap, fmt);
	va_copy(again, ap);
	int n = vsnprintf(NULL, 0, fmt, ap);
	if (n < 0)
		die("bad format", 0, a->max);
	char *text = arena_alloc(a, (size_t)n + 1);
	vsnprintf(text, (size_t)n + 1, fmt, again);
	va_end(again);
	va_end(ap);
	return text;
}
