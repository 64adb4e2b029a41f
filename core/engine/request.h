/*
 * A stored request made ready to send: secrets put in, media opened.  Lives only from here to http_send.
 */
#ifndef MPS_ENGINE_REQUEST_H
#define MPS_ENGINE_REQUEST_H

#include "core/base/buf.h"
#include "core/io/http.h"

struct op;

#define REQUEST_HEADERS 64
#define REQUEST_PARTS 32

struct request {
	struct op *op;
	const char *method;
	struct buf url, shown;		/* shown: without query and secrets */
	struct buf headers;		/* lines, each ended by NUL */
	struct buf body;		/* literal bytes of all parts */
	struct http_part parts[REQUEST_PARTS];
	size_t starts[REQUEST_PARTS];	/* where a literal part begins in body */
	int part_count;
	const char *fault, *code;	/* why it cannot be sent, and the error's code; fault NULL: it can */
	bool in_header, dpop;
	bool misuse;			/* the fault is one that no honest provider makes */
};

/* records: those of an action or of an intent.  Look at fault, then use, then request_free. */
void request_build(struct request *r, struct op *op, const struct buf *records);
/* Header lines as http_send wants them; valid until request_free. */
void request_lines(const struct request *r, const char *lines[REQUEST_HEADERS + 1]);
/* Media files stay open while they are sent: ownership of their descriptors moves to the op, which closes
 * them with request_close. */
void request_hand_over(struct request *r);
void request_close(struct op *op);
void request_free(struct request *r);

#endif
