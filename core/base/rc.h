/*
 * Return codes and the words that go with them.
 *
 * Every function that can fail returns an enum rc; 0 is OK.  The words, and what the HTTP API needs to say
 * about a refusal, are kept in a struct cx that the caller owns (one per request, turn or command).  fail()
 * is called once, where the fault is found; callers pass the code up unchanged.
 */
#ifndef MPS_BASE_RC_H
#define MPS_BASE_RC_H

enum rc {
	RC_OK,
	RC_INVALID,		/* the input breaks a rule that its sender can see */
	RC_UNAUTHORIZED,	/* no valid key */
	RC_DENIED,		/* a valid key that may not do this */
	RC_NOT_FOUND,
	RC_CONFLICT,		/* the state of the object forbids it */
	RC_STALE,		/* If-Match did not match */
	RC_LIMITED,		/* too many calls */
	RC_TOO_LARGE,
	RC_FULL,		/* no space left to store it */
	RC_UNAVAILABLE,		/* try again later */
	RC_TIMEOUT,
	RC_PLATFORM,		/* the platform refused or failed */
	RC_IO,
	RC_CORRUPT,
	RC_NOMEM,
	RC_BUG			/* ours */
};

struct cx {
	const char *who;	/* request id, "engine", "cli": stands in the log line; may be NULL */
	enum rc rc;
	char code[48];		/* stable API error code, or "" for the default of rc */
	char param[128];	/* the field at fault, as "targets[1].text" */
	char rule[80];		/* stable rule id, as "bluesky.text.max_graphemes" */
	char platform[33];
	char words[768];	/* what, where, what to do */
};

void cx_init(struct cx *cx, const char *who);

/* Sets code and words, logs them once, returns rc.  A fault that is already set stays: the first one is the cause. */
enum rc fail(struct cx *cx, enum rc rc, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* The same with the API error code and the field at fault (either may be NULL). */
enum rc fail_code(struct cx *cx, enum rc rc, const char *code, const char *param, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));

const char *rc_name(enum rc rc);

/* Where nothing can be undone and nobody told: a sentence on standard error, and the end, as by kill -9.  The supervisor
 * starts a new server, which finds in the store what was meant. */
void out_of_memory(const char *where) __attribute__((noreturn));

#endif
