/*
 * Files embedded in the binary by tools/embed: migrations and web files, sorted by name.
 */
#ifndef MPS_BASE_EMBED_H
#define MPS_BASE_EMBED_H

#include <stddef.h>

struct embed { const char *name; const unsigned char *bytes; size_t n; };	/* bytes are followed by a NUL */
extern const struct embed embed_files[];	/* ends with a NULL name */

const struct embed *embed_find(const char *name);	/* "db/0001_core.sql", "core/dashboard/app.css" */

#endif
