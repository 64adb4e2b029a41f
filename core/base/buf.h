/*
 * A growing byte buffer with a ceiling.  Out of memory for what is large is a failure like being over the ceiling; for what
 * is small (64 KiB) it ends the process, as in an arena: a decoded word that is lost looks like one that was never right.
 *
 * data is always NUL-terminated at data[len] once anything was added; buf_text() is never NULL.  The first
 * failure (out of memory, over the ceiling) empties the buffer and sticks: later calls do nothing, and
 * buf_ok() tells at the end.  A zeroed struct is not valid: call buf_init; but it may be freed, so where a function
 * may return before that, a BUF_AUTO one begins as {0}.
 */
#ifndef MPS_BASE_BUF_H
#define MPS_BASE_BUF_H

#include <assert.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
	char *data;
	size_t len, cap, max;
	bool failed;
};

void buf_init(struct buf *b, size_t max);
void buf_free(struct buf *b);			/* also after a failure; leaves it as after buf_init */
void buf_wipe(struct buf *b);			/* buf_free that overwrites the bytes first */
void buf_reset(struct buf *b);			/* empty, keeps the memory, forgets a failure */

void buf_add(struct buf *b, const void *bytes, size_t n);
void buf_adds(struct buf *b, const char *text);
void buf_addf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_addv(struct buf *b, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
void buf_drop(struct buf *b, size_t n);		/* removes n bytes from the front */
void buf_cut(struct buf *b, size_t len);	/* shortens to len */

bool buf_enlarge(struct buf *b, size_t n);	/* for what follows: moves to a larger block */

/* n writable bytes at the end, NULL on failure; then buf_grew.  A buffer that failed has no room. */
static inline void *buf_room(struct buf *b, size_t n)
{
	return n < b->cap - b->len || buf_enlarge(b, n) ? b->data + b->len : NULL;
}

static inline void buf_grew(struct buf *b, size_t n)
{
	if (b->failed)
		return;
	assert(n == 0 || b->len + n < b->cap);
	b->len += n;
	if (b->data)
		b->data[b->len] = '\0';
}

static inline void buf_addc(struct buf *b, char c)
{
	char *to = buf_room(b, 1);

	if (to != NULL) {
		*to = c;
		buf_grew(b, 1);
	}
}

bool buf_ok(const struct buf *b);
const char *buf_text(const struct buf *b);
char *buf_take(struct buf *b);			/* the caller frees; NULL after a failure */

#define BUF_AUTO __attribute__((cleanup(buf_free)))

#endif
