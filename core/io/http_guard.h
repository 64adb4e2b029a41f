/*
 * The egress guard of core/io/http.c: what a URL may say and which address a socket may be opened to.
 *
 * A URL is judged twice.  Its text decides the class rules (scheme, port, user info, host) and whether it names
 * an address that the configuration lets through; such a target is pinned to exactly that address.  Every other
 * target must come out at a public address, judged when the socket is opened, so a name that resolves
 * differently the second time gains nothing.
 */
#ifndef MPS_IO_HTTP_GUARD_H
#define MPS_IO_HTTP_GUARD_H

#include <curl/curl.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "core/io/http.h"

#define HTTP_HOST_SIZE 262		/* a name of 253 bytes, or an address in brackets, and its NUL */
#define HTTP_WORDS_SIZE CURL_ERROR_SIZE

struct http_address {
	int family;			/* AF_INET, AF_INET6; 0: none */
	uint16_t port;
	uint8_t ip[16];			/* network order; IPv4 uses the first four */
};

struct http_guard {
	struct http_address own;
	struct http_address *allow;
	size_t allow_count;
};

struct http_target {
	CURLU *url;			/* what is sent; freed by http_target_free */
	char host[HTTP_HOST_SIZE];	/* lower case */
	struct http_address pinned;	/* family 0: any public address */
};

enum rc http_start(struct cx *cx);	/* libcurl itself, once; before any of its handles */

enum rc http_guard_init(struct cx *cx, struct http_guard *guard, const struct http_config *config);
void http_guard_free(struct http_guard *guard);

/* False: refused, and words says why without repeating path or query. */
bool http_guard_url(const struct http_guard *guard, enum http_egress egress, const char *url,
		    struct http_target *ret_target, char words[HTTP_WORDS_SIZE]);
void http_target_free(struct http_target *target);

/* The same for the address that a socket is about to be opened to. */
bool http_guard_address(const struct http_target *target, const struct sockaddr *address, socklen_t length,
			char words[HTTP_WORDS_SIZE]);

#endif
