/*
 * How the API says no: one table of codes, one envelope.
 *
 * A fault is found once with fail_code(); here its code gets a type, an HTTP status, whose fault it is and
 * whether trying again may help.  What the envelope says beyond struct cx stands in struct error_more.
 */
#ifndef MPS_API_ERROR_H
#define MPS_API_ERROR_H

#include <stdbool.h>

#include "core/base/arena.h"
#include "core/base/jsonw.h"
#include "core/base/rc.h"
#include "core/io/web.h"

struct error_code {
	const char *code, *type, *source;	/* source: client, end_user, platform, server */
	bool retryable;
	const char *remedy;			/* default of "remediation", may be NULL */
};

struct error_issue {
	struct error_issue *next;
	const char *code, *param, *rule, *platform;
	const char *severity;			/* "error", or "warning", which refuses nothing */
	const char *message;
};

struct error_more {
	struct arena *arena;
	struct error_issue *issues, *last;	/* in the order found */
	int issue_count;
	int retry_after;			/* seconds; 0: null */
	const char *type;			/* replaces the type of the code, and so the status */
	const char *user_message, *remediation;
	const char *platform_error;		/* JSON, or NULL */
	const char *doc_url;			/* "https://host/docs/errors/": the code is appended; NULL: null */
};

void error_more_init(struct error_more *m, struct arena *arena);

/* One problem among several.  The caller may fill rule, platform and severity of what it returns. */
struct error_issue *error_issue(struct error_more *m, const char *code, const char *param, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

bool error_full(const struct error_more *m);	/* further issues are dropped: stop looking */

/* RC_OK when nothing of severity "error" was found; else the first one becomes the fault of cx. */
enum rc error_issues(struct cx *cx, const struct error_more *m);

const struct error_code *error_find(const char *code);		/* NULL if the table has no such code */
const struct error_code *error_of(const struct cx *cx);		/* never NULL */
const struct error_code *error_at(int index);			/* NULL behind the last: for docs and OpenAPI */
int error_status(const char *type);				/* HTTP status; 500 for an unknown type */
const char *error_type_at(int index, int *ret_status);

/* Replaces the answer by the envelope with all its keys and sets the status; more may be NULL. */
void error_write(const struct cx *cx, const char *request_id, const struct error_more *more, struct web_answer *a);

#endif
