/*
 * The egress guard: URLs as text, addresses at the socket, and a listener on loopback that must see nobody.
 *
 * The URLs are those of tests/lib/ssrf.json, as in tests/plays/ssrf.mjs; every name resolves here to what that file
 * says, so a name that leads inside is tried for real.
 */
#include "core/io/http_guard.h"

#include <dlfcn.h>
#include <netdb.h>

#include "core/base/json.h"
#include "tests/unit/farside.h"

static struct jv named, hostile;	/* of tests/lib/ssrf.json */

/* Run from the root of the source tree. */
static void table_read(void)
{
	static struct arena a;
	static struct buf text;
	FILE *f = fopen("tests/lib/ssrf.json", "r");
	char some[4096];
	struct jv root;
	struct cx cx;

	if (json_type(hostile) != JSON_NONE)
		return;
	arena_init(&a, 4u << 20);
	buf_init(&text, 1u << 20);
	CHECK_SAY(f != NULL, "tests/lib/ssrf.json is not there");
	for (size_t n; (n = fread(some, 1, sizeof(some), f)) > 0;)
		buf_add(&text, some, n);
	fclose(f);
	cx_init(&cx, "test");
	CHECK_SAY(json_parse(&cx, &a, buf_text(&text), text.len, &root) == RC_OK, "%s", cx.words);
	named = json_get(root, "names");
	hostile = json_get(root, "urls");
}

/* Any name that is not in the table is 127.0.0.1. */
int getaddrinfo(const char *restrict node, const char *restrict service, const struct addrinfo *restrict hints,
		struct addrinfo **restrict ret)
{
	int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
	struct addrinfo any = { .ai_socktype = SOCK_STREAM };
	const char *address = "127.0.0.1";

	*(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
	(void)hints;
	if (json_type(json_get(named, node)) == JSON_STRING)
		address = json_text(json_get(named, node));
	return real(address, service, &any, ret);
}

/* Every {} becomes the port. */
static void url_fill(struct buf *out, const char *pattern, int port)
{
	buf_reset(out);
	for (const char *hole; (hole = strstr(pattern, "{}")) != NULL; pattern = hole + 2)
		buf_addf(out, "%.*s%d", (int)(hole - pattern), pattern, port);
	buf_adds(out, pattern);
}

static void nobody_answers(struct http *h, const char *url)
{
	for (int egress = HTTP_PROVIDER; egress <= HTTP_OWN; egress++) {
		struct http_request r = { .method = "GET", .url = url, .egress = (enum http_egress)egress };
		struct seen s = far_send(h, r);

		CHECK_SAY(s.answer.outcome == HTTP_REFUSED && s.words[0] != '\0', "'%s' class %d: outcome %d, %s", url, egress,
			  (int)s.answer.outcome, s.words);
	}
}

/* No answer may come from any of these, in any class. */
TEST(no_url_reaches_the_inside)
{
	struct far *far = far_start(), *allowed = far_start();
	struct http *h = far_open((struct http_config){ .connect_ms = 2000 }, (int[]){ allowed->port, 0 });
	BUF_AUTO struct buf url;
	const char *what;
	struct jv group;
	size_t n = 0;

	table_read();
	buf_init(&url, 4096);
	for (size_t i = 0; json_member(hostile, i, &what, &group); i++)
		for (size_t k = 0; k < json_count(group); k++, n++) {
			url_fill(&url, json_text(json_at(group, k)), far->port);
			nobody_answers(h, buf_text(&url));
		}
	CHECK_SAY(n >= 60, "only %zu", n);
	CHECK_INT(atomic_load(&far->connections), 0);
	CHECK_INT(atomic_load(&allowed->connections), 0);
	http_close(h);
	far_stop(far);
	far_stop(allowed);
}

TEST(a_name_that_resolves_to_an_allowed_address_is_not_allowed)
{
	struct far *far = far_start();
	struct http *h = far_open((struct http_config){ 0 }, (int[]){ far->port, 0 });
	char url[100];
	struct http_request r = { .method = "GET", .url = url };

	snprintf(url, sizeof(url), "https://rebound.example.com:%d/ok", far->port);
	CHECK_INT(far_send(h, r).answer.outcome, HTTP_REFUSED);
	CHECK_INT(atomic_load(&far->connections), 0);
	http_close(h);
	far_stop(far);
}

TEST(configured_addresses_are_reached_by_their_classes_only)
{
	struct far *far = far_start(), *own = far_start();
	char own_address[40];
	struct http *h;
	struct { const char *host; struct far *far; enum http_egress egress; bool reached; } cases[] = {
		{ "127.0.0.1", far, HTTP_PROVIDER, true }, { "127.0.0.1", far, HTTP_USER, true },
		{ "localhost", far, HTTP_PROVIDER, true }, { "a.LocalHost", far, HTTP_USER, true },
		{ "0x7f.1", far, HTTP_PROVIDER, true }, { "127.0.0.2", far, HTTP_PROVIDER, false },
		{ "[::ffff:127.0.0.1]", far, HTTP_PROVIDER, false }, { "127.0.0.1", far, HTTP_OWN, false },
		{ "127.0.0.1", own, HTTP_OWN, true }, { "127.0.0.1", own, HTTP_PROVIDER, false },
		{ "127.0.0.1", own, HTTP_USER, false }, { "localhost", own, HTTP_OWN, false },
	};

	snprintf(own_address, sizeof(own_address), "127.0.0.1:%d", own->port);
	h = far_open((struct http_config){ .own = own_address }, (int[]){ far->port, 0 });
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char url[100];
		struct http_request r = { .method = "GET", .url = url, .egress = cases[i].egress };
		int before = atomic_load(&cases[i].far->requests);
		struct seen s;

		snprintf(url, sizeof(url), "http://%s:%d/ok", cases[i].host, cases[i].far->port);
		s = far_send(h, r);
		CHECK_SAY(s.answer.outcome == (cases[i].reached ? HTTP_ANSWERED : HTTP_REFUSED), "%s class %d: %s", url,
			  (int)r.egress, s.words);
		CHECK_INT(atomic_load(&cases[i].far->requests) - before, cases[i].reached);
	}
	http_close(h);
	far_stop(far);
	far_stop(own);
}

TEST(the_first_and_last_address_of_each_range)
{
	static const struct { const char *address; bool open; } cases[] = {
		{ "0.0.0.0", false }, { "0.255.255.255", false }, { "1.0.0.0", true }, { "9.255.255.255", true },
		{ "10.0.0.0", false }, { "10.255.255.255", false }, { "11.0.0.0", true }, { "100.63.255.255", true },
		{ "100.64.0.0", false }, { "100.127.255.255", false }, { "100.128.0.0", true }, { "126.255.255.255", true },
		{ "127.0.0.0", false }, { "127.255.255.255", false }, { "128.0.0.0", true }, { "168.63.129.15", true },
		{ "168.63.129.16", false }, { "168.63.129.17", true }, { "169.253.255.255", true }, { "169.254.0.0", false },
		{ "169.254.255.255", false }, { "169.255.0.0", true }, { "172.15.255.255", true }, { "172.16.0.0", false },
		{ "172.31.255.255", false }, { "172.32.0.0", true }, { "191.255.255.255", true }, { "192.0.0.0", false },
		{ "192.0.0.255", false }, { "192.0.1.0", true }, { "192.0.2.0", false }, { "192.0.2.255", false },
		{ "192.0.3.0", true }, { "192.88.98.255", true }, { "192.88.99.0", false }, { "192.88.100.0", true },
		{ "192.167.255.255", true }, { "192.168.0.0", false }, { "192.168.255.255", false }, { "192.169.0.0", true },
		{ "198.17.255.255", true }, { "198.18.0.0", false }, { "198.19.255.255", false }, { "198.20.0.0", true },
		{ "198.51.99.255", true }, { "198.51.100.0", false }, { "198.51.101.0", true }, { "203.0.112.255", true },
		{ "203.0.113.0", false }, { "203.0.114.0", true }, { "223.255.255.255", true }, { "224.0.0.0", false },
		{ "239.255.255.255", false }, { "240.0.0.0", false }, { "255.255.255.255", false },
		{ "::", false }, { "::1", false }, { "::2", false }, { "::8.8.8.8", false }, { "::ffff:8.8.8.8", false },
		{ "64:ff9b::", false }, { "64:ff9b::ffff:ffff", false }, { "64:ff9b:1::", false }, { "100::1", false },
		{ "1fff:ffff::", false }, { "2000::1", true }, { "2000:ffff::", true }, { "2001::", false },
		{ "2001:0:ffff::", false }, { "2001:1ff:ffff::", false }, { "2001:200::", true }, { "2001:db7:ffff::", true },
		{ "2001:db8::", false }, { "2001:db8:ffff::", false }, { "2001:db9::", true }, { "2001:ffff::", true },
		{ "2002::", false }, { "2002:ffff::", false }, { "2003::", true }, { "2606:4700::1111", true },
		{ "3ffe::1", true }, { "3fff::", false }, { "3fff:fff::", false }, { "3fff:1000::", true }, { "4000::", false },
		{ "5f00::1", false }, { "fbff::", false }, { "fc00::", false }, { "fdff:ffff::", false }, { "fe80::", false },
		{ "febf:ffff::", false }, { "fec0::", false }, { "ff00::", false }, { "ffff::", false },
	};
	struct http_target target = { .host = "x.example.com" };

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sockaddr_in four = { .sin_family = AF_INET };
		struct sockaddr_in6 six = { .sin6_family = AF_INET6 };
		char words[HTTP_WORDS_SIZE] = "";
		bool open;

		if (inet_pton(AF_INET, cases[i].address, &four.sin_addr) == 1)
			open = http_guard_address(&target, (struct sockaddr *)&four, sizeof(four), words);
		else {
			CHECK_INT(inet_pton(AF_INET6, cases[i].address, &six.sin6_addr), 1);
			open = http_guard_address(&target, (struct sockaddr *)&six, sizeof(six), words);
		}
		CHECK_SAY(open == cases[i].open, "%s: open is %d, %s", cases[i].address, open, words);
		CHECK_SAY(open || strstr(words, "not public") != NULL, "%s: no words", cases[i].address);
	}
}

TEST(other_kinds_of_addresses_are_refused)
{
	struct http_target target = { .host = "x.example.com" };
	struct sockaddr local = { .sa_family = AF_UNIX };
	struct sockaddr_in cut = { .sin_family = AF_INET };
	char words[HTTP_WORDS_SIZE];

	inet_pton(AF_INET, "8.8.8.8", &cut.sin_addr);
	CHECK(http_guard_address(&target, (struct sockaddr *)&cut, sizeof(cut), words));
	CHECK(!http_guard_address(&target, (struct sockaddr *)&cut, 4, words));
	CHECK(!http_guard_address(&target, (struct sockaddr *)&(struct sockaddr_in6){ .sin6_family = AF_INET6 }, sizeof(cut), words));
	CHECK(!http_guard_address(&target, &local, sizeof(local), words));
}

/* What the text named is what the socket must go to, not another address of the list and not a public one. */
TEST(a_pinned_target_reaches_its_address_only)
{
	static const char *const allow[] = { "127.0.0.1:3000", "127.0.0.1:3001", "[::1]:3001", NULL };
	static const struct { const char *address; int port; bool open; } cases[] = {
		{ "127.0.0.1", 3000, true }, { "127.0.0.1", 3001, false }, { "127.0.0.2", 3000, false }, { "8.8.8.8", 3000, false },
	};
	struct http_config config = { .allow = allow };
	struct http_target target;
	struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons(3000), .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	struct http_guard guard;
	char words[HTTP_WORDS_SIZE];
	struct cx cx;

	cx_init(&cx, "test");
	CHECK_INT(http_guard_init(&cx, &guard, &config), RC_OK);
	CHECK(http_guard_url(&guard, HTTP_PROVIDER, "http://localhost:3000/", &target, words));
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = htons((uint16_t)cases[i].port) };

		inet_pton(AF_INET, cases[i].address, &four.sin_addr);
		CHECK_SAY(http_guard_address(&target, (struct sockaddr *)&four, sizeof(four), words) == cases[i].open, "%s:%d",
			  cases[i].address, cases[i].port);
	}
	CHECK(!http_guard_address(&target, (struct sockaddr *)&six, sizeof(six), words));
	http_target_free(&target);
	http_guard_free(&guard);
}

TEST(urls_that_people_may_give)
{
	static const char *const allow[] = { "127.0.0.1:3000", "localhost:3001", "[::1]:3002", "8.8.8.8:3004", NULL };
	static const struct { const char *url; bool provider, user; } cases[] = {
		{ "http://localhost:3004/", false, false }, { "http://8.8.8.8:3004/", true, true },	/* a name of loopback only */
		{ "https://example.notlocal/", true, true }, { "https://example.1zz/", true, true },
		{ "https://example.1/", false, false }, { "https://example.com:0/", false, false },
		{ "gophers://example.com/", false, false }, { "file://localhost/etc/passwd", false, false },
		{ "ftp://example.com/", false, false }, { "no-such-scheme://example.com/", false, false },
		{ "https://example.com/?", true, true }, { "https://?", false, false },
		{ "https://example.com/", true, true }, { "https://example.com", true, true },
		{ "https://EXAMPLE.com:443/a%20b?c=d@e", true, true }, { "https://example.com:8443/", true, false },
		{ "https://8.8.8.8/", true, true }, { "https://[2606:4700::1111]/", true, true },
		{ "https://xn--bcher-kva.example/", true, true }, { "http://example.com/", false, false },
		{ "http://127.0.0.1:3000/", true, true }, { "https://127.0.0.1:3000/", true, true },
		{ "http://localhost:3001/", true, true }, { "http://[::1]:3002/", true, true },
		{ "http://localhost:3002/", true, true }, { "http://127.0.0.1:3003/", false, false },
		{ "https://localhost/", false, false }, { "https://%65xample.com/", false, false },
		{ "https://user@example.com/", false, false }, { "https://@example.com/", false, false },
		{ "https:/example.com/", false, false }, { "https:///example.com/", false, false },
		{ "https:/other.example.com/://example.com/", false, false },
		{ "https://example.com./", false, false }, { "https://example.com\\.evil.com/", false, false },
	};
	struct http_config config = { .allow = allow };
	struct cx cx;

	log_set(LOG_ERROR);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cx_init(&cx, "test");
		CHECK_SAY((http_url_check(&cx, &config, HTTP_PROVIDER, cases[i].url) == RC_OK) == cases[i].provider, "%s: %s",
			  cases[i].url, cx.words);
		cx_init(&cx, "test");
		CHECK_SAY((http_url_check(&cx, &config, HTTP_USER, cases[i].url) == RC_OK) == cases[i].user, "%s: %s",
			  cases[i].url, cx.words);
	}
}

/* A URL as long as may be, and a byte more; hosts likewise. */
TEST(urls_that_are_too_long)
{
	static const struct { size_t host, whole; bool good; } cases[] = {
		{ 20, 8192, true }, { 20, 8193, false }, { 253, 300, true }, { 254, 300, false }, { 300, 400, false }, { 4000, 5000, false },
	};
	struct http_config config = { 0 };
	char url[8200];
	struct cx cx;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t at = strlen("https://");

		memset(url, 'a', sizeof(url));
		memcpy(url, "https://", at);
		for (size_t k = 3; k < cases[i].host; k += 60)
			url[at + cases[i].host - k] = '.';
		url[at + cases[i].host] = '/';
		url[cases[i].whole] = '\0';
		cx_init(&cx, "test");
		CHECK_SAY((http_url_check(&cx, &config, HTTP_USER, url) == RC_OK) == cases[i].good, "host of %zu, %zu in all: %s",
			  cases[i].host, cases[i].whole, cx.words);
	}
}

TEST(the_host_of_a_url)
{
	char host[20] = "untouched";
	struct cx cx;

	cx_init(&cx, "test");
	CHECK_INT(http_url_host(&cx, "https://Api.Example.COM:8443/x?y", host, sizeof(host)), RC_OK);
	CHECK_STR(host, "api.example.com");
	CHECK_INT(http_url_host(&cx, "https://[2001:DB8::1]/", host, sizeof(host)), RC_OK);
	CHECK_STR(host, "[2001:db8::1]");
	CHECK_INT(http_url_host(&cx, "https://a-host-of-twenty-one.com/", host, sizeof(host)), RC_TOO_LARGE);
	cx_init(&cx, "test");
	CHECK_INT(http_url_host(&cx, "https://a@example.com/", host, sizeof(host)), RC_INVALID);
	CHECK_STR(host, "[2001:db8::1]");
	CHECK_INT(http_url_port("https://example.com:8443/x"), 8443);
	CHECK_INT(http_url_port("https://example.com/x"), 443);
	CHECK_INT(http_url_port("https://example.com:99999/"), 0);
}

TEST(refusals_do_not_repeat_secrets)
{
	static const char *const urls[] = {
		"https://10.0.0.1/bot123:SECRET/x?k=SECRET", "https://u:SECRET@example.com/", "http://example.com/SECRET",
		"https://rebound.example.com/SECRET", "https://example.com/SECRET\n",
	};
	struct http *h = far_open((struct http_config){ 0 }, (int[]){ 0 });

	for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
		struct seen s = far_send(h, (struct http_request){ .method = "GET", .url = urls[i] });

		CHECK_INT(s.answer.outcome, HTTP_REFUSED);
		CHECK_SAY(strstr(s.words, "SECRET") == NULL, "%s", s.words);
	}
	http_close(h);
}

TEST(bad_configured_addresses_are_refused)
{
	static char longer[1200];
	static const char *const bad[] = {
		"[::1:80", "[zzzz]:80", "::1]:80", "[]:80", longer, "127.0.0.1", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536",
		"example.com:80", ":80", "",
	};

	memset(longer, '1', sizeof(longer) - 1);
	memcpy(longer + sizeof(longer) - 4, ":80", 3);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		const char *allow[] = { bad[i], NULL };
		struct http *h = NULL;
		struct cx cx;

		cx_init(&cx, "test");
		CHECK_SAY(http_open(&cx, &(struct http_config){ .allow = allow }, &h) == RC_INVALID, "'%s'", bad[i]);
		cx_init(&cx, "test");
		CHECK_SAY(http_open(&cx, &(struct http_config){ .own = bad[i] }, &h) == RC_INVALID, "own '%s'", bad[i]);
		cx_init(&cx, "test");
		CHECK_INT(http_url_check(&cx, &(struct http_config){ .allow = allow }, HTTP_USER, "https://example.com/"), RC_INVALID);
		CHECK(h == NULL);
	}
}
