/*
 * What a transfer sends: the private copies of a request's headers and body, and reading them back in order.
 *
 * Everything copied here may hold a token, so http_out_free overwrites it.  libcurl keeps a pointer to the header
 * list and calls the body functions while the transfer runs: free only after the easy handle is gone.
 */
#ifndef MPS_IO_HTTP_OUT_H
#define MPS_IO_HTTP_OUT_H

#include <curl/curl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/io/http.h"
#include "core/io/http_guard.h"

struct http_piece;

struct http_out {
	const char *method;		/* of our table, not the caller's copy */
	bool has_body;			/* says its length even if it is 0 */
	struct curl_slist *headers;
	struct http_piece *pieces;
	size_t piece_count;
	int64_t total, at;		/* length of the body, and the next byte to hand out */
};

/* False: refused, words says why.  Call http_out_free in both cases. */
bool http_out_init(struct http_out *out, const struct http_request *request, char words[HTTP_WORDS_SIZE]);
void http_out_free(struct http_out *out);

/* Sets method, headers and body of an easy handle; 0, or a curl code. */
int http_out_setup(struct http_out *out, CURL *easy);

#endif
