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
	struct arena *arena;
	void (*report)(void *arg, const struct check_issue *issue);
	void *arg;
};

/* param: where the text stands in the request; alone: there is nothing but the text. */
void check_text(const struct check *k, const char *text, bool alone, const char *param);
void check_link(const struct check *k, const char *link, const char *param);

/*
 * The options of one target into a JSON object: own first (those of the target), then common (of the platform, for
 * all targets); both may be JSON_NONE.  Values are written as texts, as providers read them; a list joined by
 * newlines; defaults filled in.
 */
struct check_options { struct jv own, common; const char *own_param, *common_param; };
void check_options(const struct check *k, const struct check_options *o, struct jsonw *w);

/* As the platform counts: its descriptor's text.count. */
size_t check_count(const char *count, const char *text);

#endif
