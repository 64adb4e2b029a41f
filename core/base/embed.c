/*
 * Looks up an embedded file.
 *
 * The one thing to know: the table itself is generated at build time and linked into the server only; the
 * provider host has neither.
 */
#include "core/base/embed.h"

#include <string.h>

const struct embed *embed_find(const char *name)
{
	for (const struct embed *e = embed_files; e->name; e++)
		if (strcmp(e->name, name) == 0)
			return e;
	return NULL;
}
