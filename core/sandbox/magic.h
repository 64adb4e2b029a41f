/*
 * Magic words in a post's text, as [[fail:rate_limited]]: what the sandbox does instead of publishing and
 * answering.
 */
#ifndef MPS_SANDBOX_MAGIC_H
#define MPS_SANDBOX_MAGIC_H

#include <stdbool.h>
#include <stdint.h>

enum magic_act {		/* what happens to the post */
	MAGIC_COMMIT,		/* it is published */
	MAGIC_REFUSE,		/* it is not */
	MAGIC_LATE,		/* it is published after ms, when nobody looks any more */
	MAGIC_PERSON		/* it waits until the person publishes it */
};

enum magic_answer {		/* what the caller hears */
	ANSWER_TRUTH,
	ANSWER_ERROR,		/* status and code, true or not */
	ANSWER_HOLD,		/* nothing, the connection stays open */
	ANSWER_RESET,		/* nothing, the connection is reset */
	ANSWER_GARBAGE,		/* 200 and no JSON */
	ANSWER_SLOW,		/* the truth after ms */
	ANSWER_HUGE		/* the truth and 2 MiB of padding */
};

enum magic_token { TOKEN_STAYS, TOKEN_REFUSED, TOKEN_FAMILY_ENDS };

struct magic {
	const char *name;
	enum magic_act act;
	enum magic_answer answer;
	int status;
	const char *code;
	int retry_after;
	enum magic_token token;
	int times;		/* works that often per account and text, then the text is ordinary; 0: always */
	int64_t ms;		/* the default of MAGIC_LATE and ANSWER_SLOW */
};

enum magic_found { MAGIC_NONE, MAGIC_FOUND, MAGIC_UNKNOWN };

/* The first magic of the text, its ":once", ":N" or duration applied.  MAGIC_UNKNOWN: it begins like one of
 * ours and is none; a test with a misspelt magic must not pass. */
enum magic_found sandbox_magic_find(const char *text, struct magic *ret);
bool sandbox_magic_has(const char *text, const char *name);

#endif
