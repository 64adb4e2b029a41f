/*
 * Reading JSON: strict RFC 8259 (iterative check, depth limit, valid UTF-8, no duplicate keys, no lone
 * surrogates, no NUL in strings), then jsmn tokens that nobody outside this file sees.
 *
 * A struct jv is a small value to pass around; a missing member is a jv whose type is JSON_NONE, and every
 * reader accepts it.  Numbers stay text until asked for.  The document lives as long as its arena; the text
 * handed to json_parse is copied into it.  It takes at most ten times the length of the text, and 1 KiB; where the
 * arena has less left, json_parse refuses with RC_TOO_LARGE.  A document is read by one thread at a time.
 */
#ifndef MPS_BASE_JSON_H
#define MPS_BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/arena.h"
#include "core/base/rc.h"

enum json_type { JSON_NONE, JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

struct json_doc;
struct jv {
	const struct json_doc *doc;
	int32_t at;
};

#define JSON_DEPTH 32

/* RC_INVALID with byte offset, line and column in cx->words ("invalid_json" as code). */
enum rc json_parse(struct cx *cx, struct arena *a, const char *text, size_t len, struct jv *ret_root);

enum json_type json_type(struct jv v);
struct jv json_get(struct jv v, const char *key);	/* member of an object */
struct jv json_at(struct jv v, size_t index);		/* element of an array; O(1) amortised in order */
struct jv json_path(struct jv v, const char *path);	/* "data.0.id" */
size_t json_count(struct jv v);				/* elements or members */
bool json_member(struct jv v, size_t index, const char **ret_key, struct jv *ret_value);	/* in text order */

const char *json_text(struct jv v);	/* string, or number and bool as written, unescaped, in the document's
					   arena; NULL for anything else */
const char *json_text_or(struct jv v, const char *fallback);
bool json_int(struct jv v, int64_t *ret);	/* a safe integer (|n| < 2^53) without fraction or exponent */
bool json_bool(struct jv v, bool *ret);
const char *json_raw(struct jv v, size_t *ret_len);	/* the value's bytes as they stand in the document */

#endif
