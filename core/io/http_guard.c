/*
 * Which URLs and addresses may be reached from here.
 *
 * The one thing to know: the address table is judged on the socket address itself, in CURLOPT_OPENSOCKETFUNCTION.
 * The checks on the URL's text come first because they give a person a sentence at once, and because only the
 * text can tell that a URL means an address of [egress] allow and not a name that happens to resolve to it.
 */
#include "core/io/http_guard.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/text.h"

#define URL_MAX 8192

struct range { int family; unsigned bits; uint8_t net[16]; const char *what; };

/* First match wins.  IANA's special-purpose registries, and what clouds keep for themselves. */
static const struct range refused[] = {
	{ AF_INET, 8, { 0 }, "this network (0.0.0.0/8)" },
	{ AF_INET, 8, { 10 }, "private (10.0.0.0/8)" },
	{ AF_INET, 10, { 100, 64 }, "carrier-grade NAT (100.64.0.0/10)" },
	{ AF_INET, 8, { 127 }, "loopback (127.0.0.0/8)" },
	{ AF_INET, 32, { 168, 63, 129, 16 }, "a cloud's own service (168.63.129.16)" },
	{ AF_INET, 16, { 169, 254 }, "link-local (169.254.0.0/16)" },
	{ AF_INET, 12, { 172, 16 }, "private (172.16.0.0/12)" },
	{ AF_INET, 24, { 192, 0, 0 }, "protocol assignments (192.0.0.0/24)" },
	{ AF_INET, 24, { 192, 0, 2 }, "documentation (192.0.2.0/24)" },
	{ AF_INET, 24, { 192, 88, 99 }, "6to4 relay (192.88.99.0/24)" },
	{ AF_INET, 16, { 192, 168 }, "private (192.168.0.0/16)" },
	{ AF_INET, 15, { 198, 18 }, "benchmarks (198.18.0.0/15)" },
	{ AF_INET, 24, { 198, 51, 100 }, "documentation (198.51.100.0/24)" },
	{ AF_INET, 24, { 203, 0, 113 }, "documentation (203.0.113.0/24)" },
	{ AF_INET, 4, { 224 }, "multicast (224.0.0.0/4)" },
	{ AF_INET, 4, { 240 }, "reserved (240.0.0.0/4)" },
	{ AF_INET6, 128, { 0 }, "unspecified (::)" },
	{ AF_INET6, 128, { [15] = 1 }, "loopback (::1)" },
	{ AF_INET6, 96, { [10] = 0xff, [11] = 0xff }, "IPv4-mapped (::ffff:0:0/96)" },
	{ AF_INET6, 96, { 0 }, "IPv4-compatible (::/96)" },
	{ AF_INET6, 96, { 0x00, 0x64, 0xff, 0x9b }, "NAT64 (64:ff9b::/96)" },
	{ AF_INET6, 48, { 0x00, 0x64, 0xff, 0x9b, 0x00, 0x01 }, "local NAT64 (64:ff9b:1::/48)" },
	{ AF_INET6, 64, { 0x01 }, "discard-only (100::/64)" },
	{ AF_INET6, 32, { 0x20, 0x01 }, "Teredo (2001::/32)" },
	{ AF_INET6, 23, { 0x20, 0x01 }, "protocol assignments (2001::/23)" },
	{ AF_INET6, 32, { 0x20, 0x01, 0x0d, 0xb8 }, "documentation (2001:db8::/32)" },
	{ AF_INET6, 16, { 0x20, 0x02 }, "6to4 (2002::/16)" },
	{ AF_INET6, 20, { 0x3f, 0xff }, "documentation (3fff::/20)" },
	{ AF_INET6, 7, { 0xfc }, "unique local (fc00::/7)" },
	{ AF_INET6, 10, { 0xfe, 0x80 }, "link-local (fe80::/10)" },
	{ AF_INET6, 10, { 0xfe, 0xc0 }, "site-local (fec0::/10)" },
	{ AF_INET6, 8, { 0xff }, "multicast (ff00::/8)" },
};
static const struct range global_unicast = { AF_INET6, 3, { 0x20 }, "" };

/* Names that never lead to a public host. */
static const char *const local_suffixes[] = {
	"localhost", "local", "localdomain", "internal", "intranet", "lan", "home.arpa", "onion", NULL
};

static bool in_range(const struct range *r, const struct http_address *a)
{
	unsigned whole = r->bits / 8, rest = r->bits % 8;

	if (r->family != a->family || memcmp(r->net, a->ip, whole) != 0)
		return false;
	return rest == 0 || (r->net[whole] ^ a->ip[whole]) >> (8 - rest) == 0;
}

/* NULL: a public address. */
static const char *address_fault(const struct http_address *a)
{
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		if (in_range(&refused[i], a))
			return refused[i].what;
	if (a->family == AF_INET6 && !in_range(&global_unicast, a))
		return "no global unicast address";
	return NULL;
}

static bool address_same(const struct http_address *a, const struct http_address *b)
{
	return a->family == b->family && a->port == b->port &&
	       memcmp(a->ip, b->ip, a->family == AF_INET ? 4 : 16) == 0;
}

static bool is_loopback(const struct http_address *a)
{
	static const uint8_t one[16] = { [15] = 1 };

	return a->family == AF_INET ? a->ip[0] == 127 : memcmp(a->ip, one, sizeof(one)) == 0;
}

/* host as in a URL: "127.0.0.1" or "[::1]". */
static bool address_parse(const char *host, struct http_address *ret)
{
	char inner[INET6_ADDRSTRLEN];
	size_t n = strlen(host);

	if (inet_pton(AF_INET, host, ret->ip) == 1) {
		ret->family = AF_INET;
		return true;
	}
	if (n < 4 || n - 2 >= sizeof(inner) || host[0] != '[' || host[n - 1] != ']')
		return false;
	memcpy(inner, host + 1, n - 2);
	inner[n - 2] = '\0';
	if (inet_pton(AF_INET6, inner, ret->ip) != 1)
		return false;
	ret->family = AF_INET6;
	return true;
}

/* "127.0.0.1:8080", "[::1]:8080" or "localhost:8080". */
static enum rc endpoint_parse(struct cx *cx, const char *text, struct http_address *ret)
{
	const char *colon = strrchr(text, ':');
	struct http_address a = { 0 };
	char host[HTTP_HOST_SIZE];
	int64_t port = 0;

	if (colon == NULL || (size_t)(colon - text) >= sizeof(host) || !text_int(colon + 1, &port) ||
	    port < 1 || port > 65535)
		return fail(cx, RC_INVALID, "egress address '%s': write 127.0.0.1:PORT", text);
	memcpy(host, text, (size_t)(colon - text));
	host[colon - text] = '\0';
	if (!address_parse(strcmp(host, "localhost") == 0 ? "127.0.0.1" : host, &a))
		return fail(cx, RC_INVALID, "egress address '%s': an address is wanted, not a name", text);
	a.port = (uint16_t)port;
	*ret = a;
	return RC_OK;
}

enum rc http_guard_init(struct cx *cx, struct http_guard *guard, const struct http_config *config)
{
	enum rc rc = RC_OK;
	size_t n = 0;

	memset(guard, 0, sizeof(*guard));
	while (config->allow != NULL && config->allow[n] != NULL)
		n++;
	guard->allow = calloc(n + 1, sizeof(*guard->allow));
	if (guard->allow == NULL)
		return fail(cx, RC_NOMEM, "out of memory");
	for (size_t i = 0; rc == RC_OK && i < n; i++)
		rc = endpoint_parse(cx, config->allow[i], &guard->allow[guard->allow_count++]);
	if (rc == RC_OK && config->own != NULL)
		rc = endpoint_parse(cx, config->own, &guard->own);
	if (rc != RC_OK)
		http_guard_free(guard);
	return rc;
}

void http_guard_free(struct http_guard *guard)
{
	free(guard->allow);
	memset(guard, 0, sizeof(*guard));
}

static bool refuse(char words[HTTP_WORDS_SIZE], const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static bool refuse(char words[HTTP_WORDS_SIZE], const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(words, HTTP_WORDS_SIZE, fmt, ap);
	va_end(ap);
	return false;
}

/* What no parser may be asked to interpret: parsers disagree about exactly these. */
static bool raw_check(const char *url, char words[HTTP_WORDS_SIZE])
{
	const char *authority = url + strcspn(url, ":/?#");	/* not a later "://": libcurl also takes https:/host */
	size_t n = strnlen(url, URL_MAX + 1);

	if (n > URL_MAX)
		return refuse(words, "the URL is longer than %d bytes", URL_MAX);
	for (size_t i = 0; i < n; i++)
		if (url[i] <= ' ' || url[i] > '~' || url[i] == '\\')
			return refuse(words, "the URL has a control character, blank, backslash or non-ASCII byte: percent-encode it");
	if (strncmp(authority, "://", 3) != 0)
		return refuse(words, "the URL must begin with https://");
	authority += 3;
	n = strcspn(authority, "/?#");
	if (n == 0)
		return refuse(words, "the URL has no host");
	if (memchr(authority, '@', n) != NULL)
		return refuse(words, "the URL must not carry a user name or password");
	if (memchr(authority, '%', n) != NULL)
		return refuse(words, "the URL's host must not be percent-encoded");
	return true;
}

struct parsed { CURLU *url; char scheme[8]; char host[HTTP_HOST_SIZE]; unsigned port; };

static bool part_get(CURLU *u, CURLUPart part, char *out, size_t size)
{
	char *text = NULL;
	size_t n = 0;

	if (curl_url_get(u, part, &text, CURLU_DEFAULT_PORT) != CURLUE_OK)
		return false;
	for (n = 0; text[n] != '\0' && n + 1 < size; n++)
		out[n] = (char)tolower((unsigned char)text[n]);
	out[n] = '\0';
	curl_free(text);
	return n + 1 < size;
}

/* On success the caller frees p->url. */
static bool url_parse(const char *url, struct parsed *p, char words[HTTP_WORDS_SIZE])
{
	char port[8] = "";
	int64_t number = 0;
	CURLUcode code;

	if (!raw_check(url, words))
		return false;
	p->url = curl_url();
	if (p->url == NULL)
		return refuse(words, "out of memory");
	code = curl_url_set(p->url, CURLUPART_URL, url, CURLU_DISALLOW_USER);
	if (code == CURLUE_OK && part_get(p->url, CURLUPART_SCHEME, p->scheme, sizeof(p->scheme)) &&
	    part_get(p->url, CURLUPART_HOST, p->host, sizeof(p->host)) &&
	    part_get(p->url, CURLUPART_PORT, port, sizeof(port)) && text_int(port, &number) &&
	    number >= 1 && number <= 65535 && text_starts(p->scheme, "http")) {
		p->port = (unsigned)number;
		return true;
	}
	curl_url_cleanup(p->url);
	p->url = NULL;
	return refuse(words, "the URL cannot be read: %s", code != CURLUE_OK ? curl_url_strerror(code) : "bad scheme, host or port");
}

static bool has_suffix(const char *host, const char *suffix)
{
	size_t n = strlen(host), m = strlen(suffix);

	return n >= m && strcmp(host + n - m, suffix) == 0 && (n == m || host[n - m - 1] == '.');
}

static bool name_check(const char *host, char words[HTTP_WORDS_SIZE])
{
	const char *last = strrchr(host, '.');
	size_t n = strlen(host);

	if (n > 253 || strspn(host, "abcdefghijklmnopqrstuvwxyz0123456789-_.") != n)
		return refuse(words, "the URL's host is no valid name");
	if (host[0] == '.' || host[n - 1] == '.' || strstr(host, "..") != NULL)
		return refuse(words, "the host '%.100s' has an empty label", host);
	if (last == NULL)
		return refuse(words, "the host '%.100s' is a local name: a public host is wanted", host);
	if (isdigit((unsigned char)last[1]) && strspn(last + 1, "0123456789abcdefx") == strlen(last + 1))
		return refuse(words, "the host '%.100s' is neither a name nor an address", host);
	for (size_t i = 0; local_suffixes[i] != NULL; i++)
		if (has_suffix(host, local_suffixes[i]))
			return refuse(words, "the host '%.100s' is a local name: a public host is wanted", host);
	return true;
}

/* The configured address that this text names, or NULL. */
static const struct http_address *pin_find(const struct http_guard *g, enum http_egress egress,
					   const char *host, const struct http_address *a)
{
	if (egress == HTTP_OWN)
		return g->own.family != 0 && address_same(&g->own, a) ? &g->own : NULL;
	for (size_t i = 0; i < g->allow_count; i++) {
		struct http_address *entry = &g->allow[i];

		if (address_same(entry, a) ||
		    (a->family == 0 && entry->port == a->port && is_loopback(entry) && has_suffix(host, "localhost")))
			return entry;
	}
	return NULL;
}

static bool class_check(const struct parsed *p, enum http_egress egress, const struct http_address *a,
			char words[HTTP_WORDS_SIZE])
{
	const char *fault = a->family != 0 ? address_fault(a) : NULL;

	if (egress == HTTP_OWN)
		return refuse(words, "'%.100s' port %u is not the sandbox's address", p->host, p->port);
	if (strcmp(p->scheme, "https") != 0)
		return refuse(words, "the URL must begin with https://");
	if (egress == HTTP_USER && p->port != 443)
		return refuse(words, "port %u is not open to URLs that people give: only 443 is", p->port);
	if (fault != NULL)
		return refuse(words, "the address %.60s is not public: %s", p->host, fault);
	return a->family != 0 || name_check(p->host, words);
}

bool http_guard_url(const struct http_guard *guard, enum http_egress egress, const char *url,
		    struct http_target *ret_target, char words[HTTP_WORDS_SIZE])
{
	const struct http_address *pin;
	struct http_address a = { 0 };
	struct parsed p = { 0 };

	if (!url_parse(url, &p, words))
		return false;
	(void)address_parse(p.host, &a);
	a.port = (uint16_t)p.port;
	pin = pin_find(guard, egress, p.host, &a);
	if (pin != NULL || class_check(&p, egress, &a, words)) {
		ret_target->url = p.url;
		memcpy(ret_target->host, p.host, sizeof(p.host));
		ret_target->pinned = pin != NULL ? *pin : (struct http_address){ 0 };
		return true;
	}
	curl_url_cleanup(p.url);
	return false;
}

void http_target_free(struct http_target *target)
{
	curl_url_cleanup(target->url);
	target->url = NULL;
}

static bool address_read(const struct sockaddr *address, socklen_t length, struct http_address *ret)
{
	struct sockaddr_in6 six;
	struct sockaddr_in four;

	ret->family = address->sa_family;
	if (ret->family == AF_INET && length >= sizeof(four)) {
		memcpy(&four, address, sizeof(four));
		memcpy(ret->ip, &four.sin_addr, 4);
		ret->port = ntohs(four.sin_port);
		return true;
	}
	if (ret->family == AF_INET6 && length >= sizeof(six)) {
		memcpy(&six, address, sizeof(six));
		memcpy(ret->ip, &six.sin6_addr, 16);
		ret->port = ntohs(six.sin6_port);
		return true;
	}
	return false;
}

bool http_guard_address(const struct http_target *target, const struct sockaddr *address, socklen_t length,
			char words[HTTP_WORDS_SIZE])
{
	char text[INET6_ADDRSTRLEN] = "?";
	struct http_address a = { 0 };
	const char *fault;

	if (!address_read(address, length, &a))
		return refuse(words, "'%.100s' has an address of an unknown kind", target->host);
	inet_ntop(a.family, a.ip, text, sizeof(text));
	fault = target->pinned.family == 0 ? address_fault(&a) : NULL;
	if (fault != NULL)
		return refuse(words, "'%.100s' leads to %s, which is not public: %s", target->host, text, fault);
	if (target->pinned.family != 0 && !address_same(&target->pinned, &a))
		return refuse(words, "'%.100s' leads to %s, which the configuration does not name", target->host, text);
	return true;
}

enum rc http_url_check(struct cx *cx, const struct http_config *config, enum http_egress egress, const char *url)
{
	char words[HTTP_WORDS_SIZE] = "";
	struct http_target target = { 0 };
	struct http_guard guard;
	enum rc rc = http_guard_init(cx, &guard, config);

	if (rc != RC_OK)
		return rc;
	if (http_guard_url(&guard, egress, url, &target, words))
		http_target_free(&target);
	else
		rc = fail(cx, RC_INVALID, "%s", words);
	http_guard_free(&guard);
	return rc;
}

enum rc http_url_host(struct cx *cx, const char *url, char *host, size_t host_size)
{
	char words[HTTP_WORDS_SIZE] = "";
	struct parsed p = { 0 };

	if (!url_parse(url, &p, words))
		return fail(cx, RC_INVALID, "%s", words);
	curl_url_cleanup(p.url);
	if (strlen(p.host) >= host_size)
		return fail(cx, RC_TOO_LARGE, "the URL's host is longer than %zu bytes", host_size - 1);
	snprintf(host, host_size, "%s", p.host);
	return RC_OK;
}

int http_url_port(const char *url)
{
	char words[HTTP_WORDS_SIZE];
	struct parsed p = { 0 };

	if (!url_parse(url, &p, words))
		return 0;
	curl_url_cleanup(p.url);
	return (int)p.port;
}
