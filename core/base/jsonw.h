/*
 * Writing JSON into a buffer.  Keys are given with the value ("" or NULL inside an array).  Text that is not
 * valid UTF-8 is written with U+FFFD in place of the bad bytes.  Depth is asserted to balance in jsonw_end.
 */
#ifndef MPS_BASE_JSONW_H
#define MPS_BASE_JSONW_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/buf.h"

struct jsonw {
	struct buf *out;
	uint32_t depth;
	uint64_t filled;	/* bit per depth: something stands there already */
	uint64_t objects;	/* bit per depth: an object is open, not an array */
};

void jsonw_init(struct jsonw *w, struct buf *out);
void jsonw_end(const struct jsonw *w);		/* asserts that everything is closed */

void jsonw_object(struct jsonw *w, const char *key);
void jsonw_object_end(struct jsonw *w);
void jsonw_array(struct jsonw *w, const char *key);
void jsonw_array_end(struct jsonw *w);

void jsonw_text(struct jsonw *w, const char *key, const char *text);	/* NULL text writes null */
void jsonw_textn(struct jsonw *w, const char *key, const char *text, size_t len);
void jsonw_int(struct jsonw *w, const char *key, int64_t value);
void jsonw_bool(struct jsonw *w, const char *key, bool value);
void jsonw_null(struct jsonw *w, const char *key);
void jsonw_time(struct jsonw *w, const char *key, int64_t ms);	/* RFC 3339 UTC with ms and Z; 0 or less writes null */
void jsonw_raw(struct jsonw *w, const char *key, const char *json, size_t len);	/* a value known to be valid; len 0 writes null */

#endif
