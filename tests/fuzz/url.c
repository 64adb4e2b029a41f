/*
 * The guard of outgoing URLs against libcurl itself.
 *
 * What the guard lets through is handed to libcurl twice, as the parsed URL that the product sends and as the text;
 * what libcurl then asks the resolver for, or opens a socket to, must be the very host and port that was judged.
 * Nothing is resolved and nothing connected: both are answered here.
 */
#include "fuzz.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <netdb.h>
#include <strings.h>

#include "core/base/log.h"
#include "core/io/http_guard.h"

static struct http_guard guard;
static struct http_target *judged;
static char asked[300], service[16], opened[80];

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static const char *allow[] = {"127.0.0.1:8443", "[::1]:9443", NULL};
	struct http_config config = {.own = "127.0.0.1:8081", .allow = allow};
	struct cx cx;

	(void)argc, (void)argv;
	log_set(LOG_ERROR + 1);
	curl_global_init(CURL_GLOBAL_ALL);
	cx_init(&cx, NULL);
	MUST(http_guard_init(&cx, &guard, &config) == RC_OK);
	return 0;
}

/* ---- libcurl's way out ---------------------------------------------------------------------------------- */

/* In place of the C library's: remembers the question, knows nobody. */
int getaddrinfo(const char *node, const char *port, const struct addrinfo *hints, struct addrinfo **ret)
{
	(void)hints, (void)ret;
	snprintf(asked, sizeof asked, "%s", node ? node : "");
	snprintf(service, sizeof service, "%s", port ? port : "");
	return EAI_NONAME;
}

static bool is_localhost(const char *host)
{
	static const char name[] = "localhost";
	size_t n = strlen(host), m = sizeof name - 1;

	return n >= m && strcmp(host + n - m, name) == 0 && (n == m || host[n - m - 1] == '.');
}

static curl_socket_t refuse_open(void *arg, curlsocktype purpose, struct curl_sockaddr *at)
{
	char words[HTTP_WORDS_SIZE], text[INET6_ADDRSTRLEN] = "";
	struct sockaddr_in6 six;
	struct sockaddr_in four;

	(void)arg, (void)purpose;
	if (judged != NULL && !http_guard_address(judged, &at->addr, at->addrlen, words)) {
		MUST_SAY(is_localhost(judged->host), "let through by its text, refused at the socket: %s", words);
		return CURL_SOCKET_BAD;		/* libcurl knows two addresses for this name, of which one is allowed */
	}
	if (at->family == AF_INET) {
		memcpy(&four, &at->addr, sizeof four);
		inet_ntop(AF_INET, &four.sin_addr, text, sizeof text);
		snprintf(opened, sizeof opened, "%s:%u", text, ntohs(four.sin_port));
	} else if (at->family == AF_INET6) {
		memcpy(&six, &at->addr, sizeof six);
		inet_ntop(AF_INET6, &six.sin6_addr, text, sizeof text);
		snprintf(opened, sizeof opened, "[%s]:%u", text, ntohs(six.sin6_port));
	}
	return CURL_SOCKET_BAD;
}

/* Where libcurl would go: "name:port" or an address with port; "" if nowhere. */
static void follow(CURLU *parsed, const char *text, char *out, size_t size)
{
	CURL *easy = curl_easy_init();

	asked[0] = service[0] = opened[0] = '\0';
	if (parsed != NULL)
		curl_easy_setopt(easy, CURLOPT_CURLU, parsed);
	else
		curl_easy_setopt(easy, CURLOPT_URL, text);
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(easy, CURLOPT_PROXY, "");
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, refuse_open);
	curl_easy_perform(easy);
	curl_easy_cleanup(easy);
	if (opened[0] != '\0')
		snprintf(out, size, "%s", opened);
	else
		snprintf(out, size, "%s:%s", asked, service);
}

/* ---- what was judged ------------------------------------------------------------------------------------ */

/* The authority by the plainest reading there is; false where it has no such reading. */
static bool plain_authority(const char *url, char *host, size_t size, unsigned *port)
{
	const char *at = strstr(url, "://"), *colon;
	size_t n;

	at = at ? at + 3 : url;
	n = strcspn(at, "/?#");
	colon = at[0] == '[' ? memchr(at, ']', n) : memchr(at, ':', n);
	if (at[0] == '[' && colon != NULL)
		colon = colon[1] == ':' ? colon + 1 : NULL;
	*port = strncasecmp(url, "https", 5) == 0 ? 443 : 80;
	if (colon != NULL && colon < at + n && colon + 1 < at + n)
		*port = (unsigned)strtoul(colon + 1, NULL, 10);
	if (colon != NULL && colon < at + n)
		n = (size_t)(colon - at);
	if (n >= size)
		return false;
	for (size_t i = 0; i < n; i++)
		host[i] = (char)(at[i] >= 'A' && at[i] <= 'Z' ? at[i] + 32 : at[i]);
	host[n] = '\0';
	return true;
}

/* Addresses have many spellings; libcurl's one is what the guard judged. */
static bool is_address(const char *host)
{
	uint8_t ip[16];

	return inet_pton(AF_INET, host, ip) == 1 || host[0] == '[';
}

static void judge(const char *url, enum http_egress egress)
{
	char words[HTTP_WORDS_SIZE] = "", want[320], got[320], host[HTTP_HOST_SIZE], six[INET6_ADDRSTRLEN];
	struct http_target target = {0};
	struct cx cx;
	unsigned port;
	uint8_t ip[16];
	size_t n;

	if (!http_guard_url(&guard, egress, url, &target, words)) {
		MUST(words[0] != '\0');
		return;
	}
	MUST(plain_authority(url, host, sizeof host, &port));
	MUST_SAY(is_address(target.host) || strcmp(host, target.host) == 0, "judged as %s, written as %s", target.host, host);
	MUST(http_url_port(url) == (int)port);
	cx_init(&cx, NULL);
	MUST(http_url_host(&cx, url, host, sizeof host) == RC_OK && strcmp(host, target.host) == 0);
	if (target.pinned.family == 0) {
		MUST(egress != HTTP_OWN && strncasecmp(url, "https://", 8) == 0);
		MUST(egress != HTTP_USER || port == 443);
		MUST(strpbrk(host, "@%\\ ") == NULL && (host[0] == '[' || strchr(host, '.') != NULL));
	}
	n = strlen(host);
	if (is_localhost(host))
		snprintf(host, sizeof host, "%s", target.pinned.family == AF_INET ? "127.0.0.1" : "[::1]");
	else if (host[0] == '[') {		/* as the system writes it */
		host[n - 1] = '\0';
		MUST(inet_pton(AF_INET6, host + 1, ip) == 1 && inet_ntop(AF_INET6, ip, six, sizeof six) != NULL);
		snprintf(host, sizeof host, "[%s]", six);
	}
	snprintf(want, sizeof want, "%s:%u", host, port);
	judged = &target;
	follow(target.url, NULL, got, sizeof got);
	MUST_SAY(strcasecmp(got, want) == 0, "judged %s, sent to %s: %s", want, got, url);
	follow(NULL, url, got, sizeof got);
	MUST_SAY(strcasecmp(got, want) == 0, "judged %s, as a text it leads to %s: %s", want, got, url);
	judged = NULL;
	http_target_free(&target);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *url = fuzz_text(data, size);

	judge(url, HTTP_PROVIDER);
	judge(url, HTTP_USER);
	judge(url, HTTP_OWN);
	free(url);
	return 0;
}
