/*
 * Memory that is freed as a whole: one arena per request, turn or document.
 *
 * Allocations are zeroed and aligned to 16.  Running out of memory, or over the ceiling, aborts the process
 * with a sentence: ceilings are set so that no input that passed its size limits reaches them.
 */
#ifndef MPS_BASE_ARENA_H
#define MPS_BASE_ARENA_H

#include <stddef.h>
#include <stdarg.h>

struct arena_block;
struct arena {
	struct arena_block *head;
	size_t used, max;
};

void arena_init(struct arena *a, size_t max);
void arena_free(struct arena *a);		/* leaves it as after arena_init */
void *arena_alloc(struct arena *a, size_t n);
void *arena_dup(struct arena *a, const void *bytes, size_t n);	/* adds a NUL after the copy */
char *arena_text(struct arena *a, const char *text);		/* copy; NULL stays NULL */
char *arena_printf(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define ARENA_AUTO __attribute__((cleanup(arena_free)))
#define arena_new(a, type) ((type *)arena_alloc((a), sizeof(type)))
#define arena_array(a, type, n) ((type *)arena_alloc((a), sizeof(type) * (size_t)(n)))

#endif
