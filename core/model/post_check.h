/*
 * Whether a platform would take a post: text and options against what its provider declares.  No provider code
 * runs.  Every problem is reported, each with a rule id that stays: "bluesky.text.max_graphemes".
 */
#ifndef MPS_MODEL_POST_CHECK_H
#define MPS_MODEL_POST_CHECK_H

#include <stdbool.h>
#include <stddef.h>

#include "core/base/json.h"
#include "core/base/jsonw.h"
#include "core/model/platform.h"

struct check_issue {
	const char *code, *param, *rule, *platform;
	bool warning;				/* it refuses nothing */
	const char *message, *remedy;		/* remedy may be NULL */
};

struct check {
	const struct platform *platform;
	const struct limits *limits;		/* the platform's with the account's laid over them; NULL: the platform's */
	struct arena *arena;
	void (*report)(void *arg, const struct check_issue *issue);
	void *arg;
};

/* What a text stands with. */
struct check_text {
	const char *text, *param;		/* param: where it stands in the request */
	const char *beside;			/* text of options that counts along; may be NULL */
	bool link, media;			/* there is more than the text */
};
void check_text(const struct check *k, const struct check_text *t);
void check_link(const struct check *k, const char *link, const char *param);

/* A media item as far as it is known; 0 and NULL: not known, and not judged. */
struct check_media {
	const char *type, *mime, *alt;		/* type: image | gif | video; NULL: nothing is known yet but its place */
	int64_t bytes, width, height, duration_ms, frame_rate_milli;
	const char *param;			/* as "targets[1].media[2]" */
};
/* param: where media would stand. */
void check_media(const struct check *k, const struct check_media *items, int n, const char *param);

/*
 * The options of one target into a JSON object: what layers say, the most specific first (an item of a thread, its
 * target, all targets on this platform); each may be JSON_NONE.  Values are written as texts, as providers read them;
 * a list joined by newlines; defaults filled in.  A child (an item of a thread, a comment) has what its post has, but
 * for options that are meant once, and reports nothing that its post has reported.
 *
 * Two arrays and not one of structs: gcc 12 under -ftrivial-auto-var-init=zero clears the padding that follows an array
 * of padded structs over 64 bytes at the front of the struct that holds it, over what was just stored there.
 */
#define CHECK_LAYERS 3
struct check_options { struct jv layer[CHECK_LAYERS]; const char *param[CHECK_LAYERS]; bool child; };
void check_options(const struct check *k, const struct check_options *o, struct jsonw *w);

/* What is written for an option, or "": what counts along with the text. */
const char *check_option_text(const struct check *k, const struct check_options *o, const char *name);

/* As the platform counts: URLs and mentions by its rules. */
size_t check_count(const struct limits *l, const char *text);

/* inside: post_check.c and post_check_media.c */
void check_report(const struct check *k, const char *code, const char *param, const char *rule, const char *message);

#endif
