/*
 * Posts, deliveries and attempts as answers: one place for their shape.
 */
#ifndef MPS_API_POST_READ_H
#define MPS_API_POST_READ_H

#include "core/api/api.h"
#include "core/model/post_write.h"

extern const struct answer post_read_post, post_read_delivery, post_read_attempt;

struct post_read {
	bool attempts;				/* those of each delivery too */
	bool warnings;				/* the issues of this request */
	const struct post_act *act;		/* results of an act; may be NULL */
};

/* The object of a post whose owner was checked; NULL is no extras. */
enum rc post_read_write(struct cx *cx, struct db_conn *c, struct api_request *r, const struct post *p, const struct post_read *extra);
/* By id, from inside a closure or a read: looks it up first.  The ETag too. */
enum rc post_read_find(struct cx *cx, struct db_conn *c, struct api_request *r, const char *id, const struct post_read *extra);

void post_read_warnings(struct api_request *r);		/* "warnings": what was found in this request and refuses nothing */

/* The deliveries of a post, in their order, as members of an array that is open. */
void post_read_deliveries(struct db_conn *c, struct api_request *r, const char *post_id, bool attempts);
/* One, whose owner was checked. */
void post_read_one_delivery(struct db_conn *c, struct api_request *r, const char *id);
/* The attempts of a delivery behind the id `after`, the oldest first; column 0 is the id. */
struct stmt *post_read_attempt_list(struct db_conn *c, struct api_request *r, const char *delivery_id, const char *after, int limit);
void post_read_attempt_row(struct api_request *r, struct stmt *s);

route_fn post_list;					/* GET /v1/posts */
extern const struct field post_list_query[];

/* An error as its row keeps it, {"code","message",...}, as the envelope of an error; NULL writes null. */
void post_read_error(struct api_request *r, const char *key, const char *json, const char *platform);

#endif
