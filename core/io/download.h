/*
 * Fetching an address that a person gave, into whatever takes its bytes.
 *
 * One call is one download on the caller's thread, with a libcurl handle of its own that nobody shares.  The guard
 * judges every hop, its text and the address of its socket, as class "user": https, port 443, public; redirects are
 * followed here, at most three.
 */
#ifndef MPS_IO_DOWNLOAD_H
#define MPS_IO_DOWNLOAD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/rc.h"

/* Takes the next bytes of the body; another rc than OK ends the download with it. */
typedef enum rc download_take_fn(struct cx *cx, void *arg, const void *bytes, size_t n);

struct download {
	const char *const *allow;	/* [egress] allow */
	const char *ca_file;		/* NULL: the system's */
	int64_t bytes_max;
	int total_s, stall_s;		/* all hops together; without 1 KiB a second for so long */
	download_take_fn *take;
	void *arg;
	const atomic_bool *stop;	/* true: end at once; may be NULL */
};

/* Codes media_unreachable, media_too_large, and what take failed with. */
enum rc download_run(struct cx *cx, const struct download *d, const char *url);

#endif
