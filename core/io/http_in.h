/*
 * What a transfer receives: the head and the body of the answer, each under a ceiling.
 */
#ifndef MPS_IO_HTTP_IN_H
#define MPS_IO_HTTP_IN_H

#include <curl/curl.h>
#include <stdbool.h>
#include <stddef.h>

#include "core/base/buf.h"

struct http_in {
	bool head_seen;			/* a status line came */
	bool head_done;			/* and the blank line behind the last head */
	bool too_large;
	struct buf headers, body;
};

void http_in_init(struct http_in *in, size_t answer_max);
void http_in_wipe(struct http_in *in);	/* overwrites what came; the flags stay */

/* Lets an easy handle write into in; 0, or a curl code. */
int http_in_setup(struct http_in *in, CURL *easy);

#endif
