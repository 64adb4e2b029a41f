/*
 * Incoming HTTP: CivetWeb behind one catch-all handler.
 *
 * The strict checks (double Host or Content-Length, chunked with length, bare LF, folded lines, blanks
 * before a colon, 64 headers or more, NUL) are done here; a request that reaches the handler is clean.
 * One handler call is one thread; answers leave in one write.  Nothing is logged by the library: the
 * handler logs the route, never the query.
 */
#ifndef MPS_IO_WEB_H
#define MPS_IO_WEB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/arena.h"
#include "core/base/buf.h"
#include "core/base/rc.h"

struct web;
struct web_conn;		/* opaque to the handler: body reading and the early close */

struct web_request {
	struct arena *arena;	/* freed after the answer has left */
	struct web_conn *conn;
	const char *method;
	const char *path;	/* raw, starts with '/', without query */
	const char *query;	/* raw, "" if none */
	const char *address;	/* of the peer */
	int64_t content_length;	/* -1 if none */
};

struct web_answer {
	int status;
	const char *type;		/* Content-Type; NULL: application/json; charset=utf-8 */
	struct buf *body;		/* initialised by web, ceiling 8 MiB */
	struct buf *headers;		/* "Name: value\r\n" lines added by web_header; initialised by web */
	bool close;			/* end the connection after it */
	bool abort;			/* web_abort was called */
};

const char *web_header_in(const struct web_request *r, const char *name);	/* NULL if absent; the first of a name */
const char *web_header_last(const struct web_request *r, const char *name);
bool web_query(const struct web_request *r, const char *name, const char **ret);	/* decoded, in the arena; first of a name */
int web_query_count(const struct web_request *r);
bool web_query_at(const struct web_request *r, int index, const char **ret_name, const char **ret_value);
const char *web_cookie(const struct web_request *r, const char *name);
/* Reads the whole body (ceiling, deadline for the whole of it, length compared).  Codes payload_too_large,
 * invalid_request, request_timeout. */
enum rc web_body(struct cx *cx, const struct web_request *r, size_t max, const char **ret, size_t *ret_len);
/* The next piece of the body, for bodies that are streamed: at most n bytes, *ret_len 0 at the end.  The same
 * codes; the deadline grows with what was read (at least 16 KiB a second after the first 30 s). */
enum rc web_read(struct cx *cx, const struct web_request *r, void *bytes, size_t n, size_t *ret_len);
/* Fields of an application/x-www-form-urlencoded body; NULL if absent. */
const char *web_form(const struct web_request *r, const char *body, size_t len, const char *name);

void web_header(struct web_answer *a, const char *name, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Waits at most ms for the peer to go away; true if it did.  For handlers that hold an answer back. */
bool web_gone(const struct web_request *r, int ms);
/* No answer: the connection is reset when the handler returns. */
void web_abort(struct web_answer *a);

typedef void web_handler_fn(void *arg, const struct web_request *r, struct web_answer *a);
/* For refusals of the library itself: fills a with the error envelope for this status. */
typedef void web_refuse_fn(void *arg, int status, const char *words, struct web_answer *a);

struct web_config {
	const char *listen;	/* "127.0.0.1:8080"; port 0 picks one */
	int threads;		/* 0: 64 */
	int per_address;	/* 0: 256 connections from one address that have sent a request */
	web_handler_fn *handle;
	web_refuse_fn *refuse;
	void *arg;
};

enum rc web_open(struct cx *cx, const struct web_config *config, struct web **ret);
int web_port(const struct web *w);
void web_close(struct web *w);		/* finishes running requests */

#endif
