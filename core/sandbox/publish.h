/*
 * The one irreversible thing the sandbox does, for direct posts, containers, late commits and people's drafts.
 */
#ifndef MPS_SANDBOX_PUBLISH_H
#define MPS_SANDBOX_PUBLISH_H

#include "core/sandbox/call.h"
#include "core/sandbox/magic.h"

struct draft {
	const char *text, *media, *marker, *page;	/* media: a JSON array as text; marker may be NULL */
	const char *parent;		/* the post it answers to, or NULL */
	const char *key;		/* NULL: no idempotency */
	const char *container;		/* NULL: a direct post */
};

/* Publishes the draft of c->who as its magic wants, and answers. */
void sandbox_publish(struct call *c, const struct draft *draft);

/* Inside a closure: a post that waits (late, awaiting_user) becomes published, with its ledger row. False if
 * there is none that waits, or its container was published by another call. */
bool sandbox_publish_waiting(struct db_conn *c, const char *post);

/* Inside a closure: counts one use of a magic that works only so often; true while it still works. */
bool sandbox_magic_works(struct db_conn *c, const char *account, const char *text, const struct magic *m);

/* An answer that is no truth: an error, silence, garbage.  False: the caller answers (after a while, or at length). */
bool sandbox_answer_false(struct call *c, const struct magic *m);

/* {"id","url"} and so on of one post row; 404 if it is not there. */
void sandbox_post_url(const struct sandbox *s, const char *id, struct buf *out);

#endif
