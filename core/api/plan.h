/*
 * From what a caller wrote to what is stored: recipients found, times read, texts and options judged by each
 * platform's rules.  Every problem becomes an issue of the request; nothing is written here.
 */
#ifndef MPS_API_PLAN_H
#define MPS_API_PLAN_H

#include "core/api/api.h"
#include "core/model/connection.h"
#include "core/model/media.h"
#include "core/model/post_check.h"
#include "core/model/post_write.h"

extern const struct field plan_fields[];		/* of a new post */
extern const struct field plan_edit_fields[];		/* of PATCH */

/* r->more holds every issue; RC_OK leaves warnings there.  scheduled: a time is required. */
enum rc plan_new(struct api_request *r, struct db_conn *c, bool scheduled, struct post_new *ret);

/* Media given by address: judged by plan_new and plan_edit, then copied, and planned once more.  Hold no reader of
 * the store meanwhile. */
bool plan_has_urls(struct api_request *r);
enum rc plan_fetch(struct api_request *r);		/* puts ids in their place: r->body is another one */

/* The request's body laid over a stored post. */
enum rc plan_edit(struct api_request *r, struct db_conn *c, const struct post *p, struct post_new *ret);

extern const struct field plan_delivery_fields[];	/* of PATCH /v1/deliveries/{id} */

/* The request's body laid over what is published: judged like a new post by the platform's and account's limits. */
enum rc plan_delivery(struct api_request *r, struct db_conn *c, const struct delivery *d, struct delivery_edit *ret);

/* ---- inside: one pass per file ------------------------------------------------------------------------- */

struct plan_to {
	struct jv own;			/* the target's object; JSON_NONE for the shorthand */
	const char *param;		/* "targets[1]", "platforms[0]" */
	const char *place;		/* where its content stands: "targets[1].", "" for the shorthand */
	struct connection n;		/* id NULL: not found */
	int64_t at;			/* 0: now */
};

struct plan_item {
	struct jv own;
	const char *param;		/* "targets[1].media[0]" */
	bool known;			/* m is set; else it is not there, or an address */
	struct media m, thumbnail;	/* thumbnail.id NULL: none */
	const char *alt;
};

struct plan_media {
	struct plan_media *next;
	struct jv list;
	const char *param;		/* where it stands */
	struct plan_item *items;
	int count;
	const char *digests;		/* for post_hash; NULL: no media */
};

/* A post, an item of a thread or a comment, as one platform is to take it. */
struct plan_part {
	const char *text, *text_param, *link, *link_param, *media_param;
	struct jv media;
	struct jv kept;			/* stored content whose media stay as they are; JSON_NONE: media is read */
	struct check_options options;
};

struct plan {
	struct api_request *r;
	struct db_conn *c;
	struct jv body;
	struct post_new *p;
	const struct post *old;		/* of an edit */
	const int *edited;		/* of an edit: which target of the request changes the i-th, -1: none */
	bool times;			/* times are read; an edit that names none keeps what is stored */
	const char *end_user_id;
	struct plan_to *to;
	int count;
	struct plan_media *media;	/* lists that were read */
	const char **held;		/* ids of all items, each once */
	int held_count, held_size;
};

bool plan_given(struct jv v);				/* neither absent nor null */
const char *plan_text(const struct plan *k, const char *name);	/* of the post */
struct jv plan_value(const struct plan *k, const struct plan_to *to, const char *name);	/* the target's own, or the post's */
const char *plan_param(const struct plan *k, const struct plan_to *to, const char *name);

void plan_later(const struct plan *k, struct jv object, const char *place);	/* what is not offered yet */
enum rc plan_who(struct plan *k);			/* end user, accounts */
void plan_mode(struct plan *k, bool scheduled);
void plan_when(struct plan *k);
void plan_what(struct plan *k);				/* p->targets */
void plan_report(void *arg, const struct check_issue *issue);	/* arg: the request */
const char *plan_part(struct plan *k, const struct check *check, const struct plan_part *part, const char **ret_digests);	/* its content */
void plan_children(struct plan *k, const struct plan_to *to, const struct check *check, struct post_target *t);
const struct plan_media *plan_media(struct plan *k, struct jv list, const char *param);
void plan_media_check(const struct plan_media *m, const struct check *check);
void plan_media_write(const struct plan_media *m, struct jsonw *w);
void plan_unknown_platform(struct plan *k, const char *platform, const char *param);

#endif
