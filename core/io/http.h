/*
 * Outgoing HTTP: one curl_multi on the engine's thread.
 *
 * Only http_wakeup may be called from other threads.  No redirects, no proxy, no cookies.  A transfer whose
 * request must not be repeated (fresh) never reuses a connection, because libcurl repeats a request by itself
 * when a reused connection dies before the first answer byte.
 */
#ifndef MPS_IO_HTTP_H
#define MPS_IO_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/buf.h"
#include "core/base/rc.h"

/* Who chose the host: the descriptor (https, public address), a person (https, public, port 443), or us: the
 * sandbox's own address and nothing else. */
enum http_egress { HTTP_PROVIDER, HTTP_USER, HTTP_OWN };

struct http_config {
	const char *const *allow;	/* "127.0.0.1:PORT", NULL-terminated: [egress] allow; for both classes, also plain http */
	const char *own;		/* "127.0.0.1:PORT" of the sandbox, or NULL */
	const char *ca_file;		/* NULL: the system's */
	int connect_ms, total_ms;	/* 0: 10,000 and 60,000 */
	int stall_s;			/* without a byte either way for so long: ended; 0: 60 */
	size_t answer_max;		/* 0: 1 MiB */
	bool (*may_send)(void *arg);	/* asked right before a request's first byte; NULL: always.  false: it ends unsent */
	void *arg;
};

struct http_range {			/* a body part streamed from a file */
	int fd;				/* owned by the caller until the transfer has ended */
	int64_t offset, length;
};

struct http_part { const void *bytes; size_t n; struct http_range range; bool is_range; };

struct http_request {
	const char *method, *url;
	const char *const *headers;	/* "Name: value", NULL-terminated; no CR, LF */
	const struct http_part *parts;	/* body; the sum is the Content-Length */
	size_t part_count;
	enum http_egress egress;
	bool fresh;			/* ONCE and KEYED */
	int total_ms;			/* 0: the config's */
};

enum http_outcome {
	HTTP_ANSWERED,		/* a whole answer */
	HTTP_UNSENT,		/* proven that no byte of the request left */
	HTTP_LOST,		/* it may have arrived; no whole answer was seen */
	HTTP_REFUSED		/* the guard refused before anything was sent: words tell; never LOST */
};

struct http_answer {
	enum http_outcome outcome;
	long status;			/* 0 without an answer */
	int curl_code;
	const char *words;		/* curl's or the guard's sentence, never with path or query */
	const struct buf *headers;	/* "name: value\n" lines, names in lower case */
	const struct buf *body;
	int64_t sent_bytes, took_ms;	/* bytes of head and body as written, before TLS */
	bool too_large;			/* cut at answer_max: outcome is LOST */
};

struct http;
struct http_transfer;

typedef void http_done_fn(void *arg, const struct http_answer *answer);

enum rc http_open(struct cx *cx, const struct http_config *config, struct http **ret);
void http_close(struct http *h);		/* cancels what runs; done is not called */

/* Copies everything it needs but file descriptors, and wipes its copies of headers, URL and body at the end.
 * done is called from http_turn, also for a refusal. */
void http_send(struct http *h, const struct http_request *request, http_done_fn *done, void *arg);
int http_running(const struct http *h);

struct http_wait { int fd; short events, revents; };
/* Waits at most ms for transfers, the given descriptors or a wakeup, then finishes what is finished. */
void http_turn(struct http *h, struct http_wait *waits, unsigned count, int ms);
void http_wakeup(struct http *h);		/* any thread */

/* The guard on a URL text alone, before anything else: scheme, user info, host, port.  Used when a URL is
 * accepted from a person. */
enum rc http_url_check(struct cx *cx, const struct http_config *config, enum http_egress egress, const char *url);

/* Host (lower case, without port) and origin of a URL, by the same parser that sends it. */
enum rc http_url_host(struct cx *cx, const char *url, char *host, size_t host_size);
int http_url_port(const char *url);	/* 0: it cannot be read */

/* An HTTP date ("Mon, 23 Nov 2026 19:21:01 GMT") in milliseconds; 0: it is none. */
int64_t http_date(const char *text);

#endif
