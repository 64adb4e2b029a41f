/*
 * The types of configuration values.  Each is one row: its name, what to say when a value does not fit, and
 * the function that knows.  Nothing is repaired or guessed: "1" is not a flag, a URL ends without a slash.
 */
#include "core/io/confvalue.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <string.h>

#include "core/base/text.h"

#define HEX "0123456789abcdef"

/* "127.0.0.1:8080" */
static bool address_ok(const char *value)
{
	char host[INET_ADDRSTRLEN];
	struct in_addr in;
	int64_t port;
	const char *colon = strchr(value, ':');
	size_t n = colon ? (size_t)(colon - value) : 0;

	if (n == 0 || n >= sizeof host)
		return false;
	memcpy(host, value, n);
	host[n] = '\0';
	return inet_pton(AF_INET, host, &in) == 1 && text_int(colon + 1, &port) && port >= 0 && port <= 65535;
}

const char **conf_list(struct arena *a, const char *text)
{
	static const char between[] = " \t,";
	size_t count = 0;
	const char **list = arena_array(a, const char *, strlen(text) / 2 + 2);

	for (text += strspn(text, between); *text; text += strspn(text, between)) {
		size_t n = strcspn(text, between);
		list[count++] = arena_dup(a, text, n);
		text += n;
	}
	return list;
}

static bool addresses_ok(const char *value)
{
	ARENA_AUTO struct arena a;
	arena_init(&a, 64 * 1024);
	const char **list = conf_list(&a, value);
	if (*list == NULL)
		return false;
	for (; *list; list++)
		if (!address_ok(*list))
			return false;
	return true;
}

/* Length of "host" or "[v6]" at the start of an authority. */
static size_t host_length(const char *s)
{
	if (*s == '[')
		return strcspn(s, "]") + (strchr(s, ']') != NULL);
	return strcspn(s, ":/");
}

int conf_loopback(const char *host)
{
	static const char local[] = "localhost", below[] = ".localhost";
	size_t n = host_length(host), tail = sizeof below - 1;

	if (host[n] != '\0' && host[n] != ':')
		return 0;
	if (strncmp(host, "127.", 4) == 0)
		return strspn(host, "0123456789.") == n;
	if (n == 5 && strncmp(host, "[::1]", 5) == 0)
		return 1;
	if (n == sizeof local - 1 && strncmp(host, local, n) == 0)
		return 1;
	return n > tail && strncmp(host + n - tail, below, tail) == 0;
}

/* scheme://host[:port] and what follows; NULL if it is none. */
static const char *url_rest(const char *value)
{
	static const char plain[] = "http://", tls[] = "https://";
	const char *at = text_starts(value, tls) ? value + sizeof tls - 1
		: text_starts(value, plain) ? value + sizeof plain - 1 : NULL;
	if (at == NULL || strpbrk(value, " \t\"<>\\^`{|}@?#"))
		return NULL;
	size_t n = host_length(at);
	if (n == 0 || (*at != '[' && strspn(at, "abcdefghijklmnopqrstuvwxyz0123456789-.") != n))
		return NULL;
	if (*at == '[' && (at[n - 1] != ']' || strspn(at + 1, "0123456789abcdef:.") != n - 2))
		return NULL;
	at += n;
	if (*at == ':') {
		size_t digits = strspn(at + 1, "0123456789");
		if (digits == 0 || digits > 5)
			return NULL;
		at += 1 + digits;
	}
	return *at == '\0' || *at == '/' ? at : NULL;
}

static bool url_ok(const char *value)
{
	const char *rest = url_rest(value);
	return rest && value[strlen(value) - 1] != '/' && strstr(rest, "..") == NULL;
}

/* Cookies and callbacks are bound to it, so it has no path, and beyond this machine it needs TLS. */
static bool origin_ok(const char *value)
{
	const char *rest = url_rest(value);
	return rest && *rest == '\0' && (text_starts(value, "https://") || conf_loopback(value + strlen("http://")));
}

static bool text_ok(const char *value) { return value[0] != '\0'; }
static bool flag_ok(const char *value) { return text_eq(value, "yes") || text_eq(value, "no"); }
static bool sha256_ok(const char *value) { return strlen(value) == 64 && strspn(value, HEX) == 64; }
static bool level_ok(const char *value)
{
	return text_eq(value, "debug") || text_eq(value, "info") || text_eq(value, "warn") || text_eq(value, "error");
}

static const struct {
	const char *name, *rule;
	bool (*ok)(const char *value);
} types[TYPE_COUNT] = {
	[TYPE_TEXT] = {"text", "must not be empty", text_ok},
	[TYPE_PATH] = {"path", "must be a path", text_ok},
	[TYPE_SOCKET] = {"path", "must be a path", text_ok},
	[TYPE_FLAG] = {"yes or no", "must be yes or no", flag_ok},
	[TYPE_NUMBER] = {"number", "must be a number", text_ok},
	[TYPE_ADDRESS] = {"address:port", "must be an IPv4 address, a colon and a port", address_ok},
	[TYPE_ADDRESSES] = {"addresses", "must be IPv4 addresses with a port, separated by blanks or commas", addresses_ok},
	[TYPE_ORIGIN] = {"URL", "must be https://HOST or https://HOST:PORT in small letters, without path or slash at the end "
		"(http only for a loopback host)", origin_ok},
	[TYPE_URL] = {"URL", "must be http:// or https://, a host in small letters, and a path without slash at the end, or none", url_ok},
	[TYPE_SHA256] = {"64 hex characters", "must be 64 hex characters in small letters", sha256_ok},
	[TYPE_LEVEL] = {"level", "must be debug, info, warn or error", level_ok},
	[TYPE_PAIR] = {"text", "must not be empty", text_ok},
	[TYPE_URL_PAIR] = {"URL", "must be http:// or https://, a host in small letters, and a path without slash at the end, or none", url_ok},
};

enum rc conf_value_check(struct cx *cx, const struct conf_at *at, enum conf_type type, int min, int max)
{
	int64_t number;
	if (!types[type].ok(at->value))
		return fail(cx, RC_INVALID, "%s:%d: [%s] %s %s", at->file, at->line, at->section, at->key, types[type].rule);
	if (type == TYPE_NUMBER && (!text_int(at->value, &number) || number < min || number > max))
		return fail(cx, RC_INVALID, "%s:%d: [%s] %s must be a number from %d to %d", at->file, at->line,
			at->section, at->key, min, max);
	return RC_OK;
}

const char *conf_type_name(enum conf_type type)
{
	return types[type].name;
}
