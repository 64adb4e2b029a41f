/*
 * The types of configuration values: what each accepts, and its name in the reference.
 */
#ifndef MPS_IO_CONFVALUE_H
#define MPS_IO_CONFVALUE_H

#include "core/base/arena.h"
#include "core/base/rc.h"

enum conf_type {
	TYPE_TEXT, TYPE_PATH, TYPE_SOCKET, TYPE_FLAG, TYPE_NUMBER, TYPE_ADDRESS, TYPE_ADDRESSES, TYPE_ORIGIN, TYPE_URL,
	TYPE_SHA256, TYPE_LEVEL, TYPE_PAIR, TYPE_URL_PAIR, TYPE_COUNT
};

struct conf_at { const char *file; int line; const char *section, *key, *value; };

/* The fault names file, line, section, key and what the type asks for. */
enum rc conf_value_check(struct cx *cx, const struct conf_at *at, enum conf_type type, int min, int max);
const char *conf_type_name(enum conf_type type);

const char **conf_list(struct arena *a, const char *text);	/* split at blanks and commas, NULL-terminated */
int conf_loopback(const char *host);	/* "127.0.0.1:80", "localhost", "[::1]:80": whether it can be reached from here only */

#endif
