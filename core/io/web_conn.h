/*
 * Private to io/web*.c: what one request carries besides its public view.
 *
 * web.c alone speaks with CivetWeb; web_head.c judges the head, web_field.c reads query, cookies and forms.
 */
#ifndef MPS_IO_WEB_CONN_H
#define MPS_IO_WEB_CONN_H

#include <stdbool.h>
#include <stdint.h>

#include "core/io/web.h"

#define WEB_FIELDS_MAX 64	/* CivetWeb keeps this many and drops the rest silently */

struct web_field { const char *name, *value; };

/* A head as CivetWeb left it in its own buffer: the pointers are evidence, do not copy before the check. */
struct web_head {
	const char *method, *uri, *query, *version;	/* query NULL if none; version "1.1" */
	const struct web_field *fields;
	int count;
};

/* 0 when the head is strict; else the HTTP status of the refusal, with a sentence. */
int web_head_check(const struct web_head *head, const char **ret_words);
/* The same for what the fields say, after trailing blanks were trimmed. */
int web_fields_check(const struct web_field *fields, int count, const char **ret_words);

struct mg_connection;
struct web_conn {
	struct mg_connection *mg;
	struct web_field fields[WEB_FIELDS_MAX];	/* values without trailing blanks */
	int count;
	struct web_field *query;
	int query_count;
	int64_t length, taken;		/* of the body */
	int64_t deadline;		/* of the body, 0 before the first read */
	int singles;			/* bytes to be taken a few at a time before the kernel is asked again */
	bool quick;			/* the last of them did not wait */
	bool expects;			/* waits for "100 Continue" */
	bool broken;			/* nothing more can be read */
	int socket;			/* -2 not looked for, -1 not found */
};

/* Splits and decodes a query or form; false on a bad escape or a NUL. */
bool web_fields_parse(struct arena *a, const char *text, size_t len, struct web_field **ret, int *ret_count);

void web_answer_init(struct web_answer *a, struct buf *body, struct buf *headers);
/* Initialises out and fills it with the whole answer. */
void web_answer_build(struct buf *out, const struct web_answer *a, const char *reason, bool head_only);

#endif
