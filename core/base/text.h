/*
 * Text as platforms count it, and the encodings of URLs and forms.
 */
#ifndef MPS_BASE_TEXT_H
#define MPS_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/buf.h"

bool text_utf8(const char *s, size_t n);	/* valid, without NUL */
size_t text_points(const char *s);		/* code points */
size_t text_utf16(const char *s);		/* UTF-16 units */
size_t text_graphemes(const char *s);		/* extended grapheme clusters, with GB9c */
bool text_printable(const char *s);		/* no control characters but tab, newline, carriage return */
bool text_eq(const char *a, const char *b);	/* NULL equals NULL only */
bool text_starts(const char *s, const char *prefix);
bool text_int(const char *s, int64_t *ret);	/* whole text, decimal, no sign but '-', no overflow */

/* percent-encoding of everything but unreserved characters; form: space is '+' */
void text_percent(struct buf *out, const char *s, size_t n);
void text_form(struct buf *out, const char *s, size_t n);
bool text_unpercent(struct buf *out, const char *s, size_t n, bool plus_is_space);	/* false: bad escape or NUL */

void text_html(struct buf *out, const char *s);	/* & < > " ' */
void text_base64url(struct buf *out, const void *bytes, size_t n);	/* without padding */
void text_base64(struct buf *out, const void *bytes, size_t n);		/* with padding */
bool text_unbase64url(struct buf *out, const char *s, size_t n);	/* strict; padding refused */
void text_hex(struct buf *out, const void *bytes, size_t n);

/* The word of a NULL-terminated list nearest to s (edit distance at most a third of its length), or NULL. */
const char *text_nearest(const char *s, const char *const *words);

#endif
