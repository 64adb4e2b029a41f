/*
 * The wire layer: every name that a request or an answer carries stands in a table of fields.
 *
 * From the tables come the check of a request (all problems at once, nothing dropped silently, nothing
 * guessed), the getters' types and the OpenAPI document.  A table ends with {NULL}.
 */
#ifndef MPS_API_FIELD_H
#define MPS_API_FIELD_H

#include <stdint.h>

#include "core/api/error.h"
#include "core/base/json.h"

enum field_type {
	FIELD_TEXT,		/* min, max: characters (code points) */
	FIELD_INT,		/* min, max: the value; a safe integer without fraction */
	FIELD_BOOL,
	FIELD_TIME,		/* text that zone_parse reads; the handler parses it */
	FIELD_ENUM,		/* one of words */
	FIELD_OBJECT,		/* has fields */
	FIELD_ARRAY,		/* min, max: elements; fields: of each element.  A table whose first name is "" describes
				   elements that are not objects: [] of words is {{.name = "", .type = FIELD_ENUM, ...}, {0}} */
	FIELD_MAP,		/* an object with free keys (1-40) and text values; min: ignored, max: keys (0: 50), values to 500 */
	FIELD_TEXT_OR_OBJECT,	/* text by min and max, or an object that has fields */
	FIELD_OPEN		/* any value: the handler checks it; control characters are still refused */
};

enum field_flag {
	FIELD_REQUIRED = 1,
	FIELD_NULLABLE = 2,	/* null is a value: "clear it" in requests, "none" in answers */
	FIELD_HEADER = 4	/* in a table of the query: a header of the request, which the handler reads; for the document */
};

struct field {
	const char *name;
	enum field_type type;
	unsigned flags;
	int64_t min, max;		/* max 0: no limit but the body's; for FIELD_INT both 0: any */
	const char *const *words;	/* FIELD_ENUM, NULL-terminated */
	const struct field *fields;
	const char *help;		/* one sentence for the reference */
};

/* Checks a body (JSON_NONE: an empty one) against a table; problems become issues of m. */
void field_check(struct error_more *m, const struct field *table, struct jv body);

/* The same for one value given as text, as in a query. */
void field_check_text(struct error_more *m, const struct field *f, const char *value);

const struct field *field_find(const struct field *table, const char *name);	/* NULL if none */

/* The nearest name of a table (and of a second, which may be NULL), or NULL. */
const char *field_nearest(struct arena *a, const struct field *table, const struct field *more, const char *name);

#endif
