/*
 * The strict check that stands before jsmn: see jsoncheck.c.
 */
#ifndef MPS_BASE_JSONCHECK_H
#define MPS_BASE_JSONCHECK_H

#include <stddef.h>

struct json_fault {
	size_t at;		/* byte offset */
	const char *words;	/* what is wrong there */
};

/* Returns the number of tokens jsmn will need, or 0 with *ret_fault filled in. */
size_t json_check(const char *text, size_t len, struct json_fault *ret_fault);

#endif
