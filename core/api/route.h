/*
 * The routes: one table per resource, from which requests are matched, scopes checked, bodies and queries
 * judged and the OpenAPI document written.
 *
 * A pattern that begins with "/v1/" is also reached as "/api/v1/..."; any other stands as written.  Segments
 * are decoded one by one; "{name}" takes one non-empty segment.  A literal segment wins over a parameter.
 */
#ifndef MPS_API_ROUTE_H
#define MPS_API_ROUTE_H

#include "core/api/field.h"

struct api_request;
typedef enum rc route_fn(struct api_request *r);

enum route_flag {
	ROUTE_NO_AUTH = 1,	/* no key is asked for */
	ROUTE_IDEMPOTENT = 2,	/* documents Idempotency-Key: the handler writes through api_write */
	ROUTE_LONG_POLL = 4,	/* takes ?wait=0..30: api_wait */
	ROUTE_PAGED = 8,	/* takes ?limit and ?cursor: page.h; the answer is a list of route.answer */
	ROUTE_RAW = 16,		/* the frame leaves the body alone: media */
	ROUTE_BROWSER = 32,	/* a page: no key, no body check, any query; a failure is shown by api->page_error */
	ROUTE_HIDDEN = 64,	/* not in the OpenAPI document */
	ROUTE_LIST = 128,	/* the answer is a whole list of route.answer, which is not paged */
	ROUTE_OR_200 = 256,	/* other statuses of success, with the same answer: for the document */
	ROUTE_OR_201 = 512,
	ROUTE_OR_202 = 1024,
	ROUTE_IF_MATCH = 2048,	/* documents If-Match: the handler asks api_if_match */
	ROUTE_STORELESS = 4096	/* reads and writes no row: answered over a damaged store, too */
};

/* The shape of an answer, for the OpenAPI document: name "Post", fields of the object. */
struct answer { const char *name; const struct field *fields; };

struct route {
	const char *method, *pattern;	/* "POST", "/v1/posts/{id}/cancel" */
	const char *scope;		/* "posts:write"; NULL: any key */
	unsigned flags;
	route_fn *handle;
	const char *operation;		/* operationId: "cancelPost" */
	const char *summary;		/* one line */
	const struct field *fields;	/* of the body; NULL: none */
	const struct field *query;	/* besides limit, cursor and wait; FIELD_HEADER: a header */
	const struct answer *answer;	/* NULL: an object that is not described */
	int status;			/* of success: 0 is 200 */
};

#define ROUTE_PARAMS 4
#define ROUTE_SEGMENTS 12

struct route_match {
	const struct route *route;	/* NULL: none */
	bool known_path;		/* the path exists with other methods: 405 */
	char allow[64];			/* for 405, "GET, HEAD, POST" */
	const char *names[ROUTE_PARAMS], *values[ROUTE_PARAMS];	/* decoded */
	int params;
};

/* tables: NULL-terminated list of tables that end with {NULL}.  HEAD is matched as GET.  With ret->route NULL
 * and known_path false the path is nobody's: also for malformed segments. */
void route_match(struct arena *a, const struct route *const *tables, const char *method, const char *path, struct route_match *ret);

extern const struct route *const route_tables[];	/* routes.c: every table of the product */

#endif
