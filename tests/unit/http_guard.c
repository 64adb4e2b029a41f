/*
 * The egress guard: URLs as text, addresses at the socket, and a listener on loopback that must see nobody.
 *
 * Every name resolves here to what `names` says, so a name that leads inside is tried for real.
 */
#include "core/io/http_guard.h"

#include <dlfcn.h>
#include <netdb.h>

#include "tests/unit/farside.h"

static const struct { const char *name, *address; } names[] = {
	{ "mapped.example.com", "::ffff:127.0.0.1" }, { "six.example.com", "::1" }, { "private.example.com", "10.0.0.1" },
	{ "metadata.example.com", "169.254.169.254" }, { "nat64.example.com", "64:ff9b::7f00:1" },
};

/* Any name that is not in the table is 127.0.0.1. */
int getaddrinfo(const char *restrict node, const char *restrict service, const struct addrinfo *restrict hints,
		struct addrinfo **restrict ret)
{
	int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
	struct addrinfo any = { .ai_socktype = SOCK_STREAM };
	const char *address = "127.0.0.1";

	*(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
	(void)hints;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(node, names[i].name) == 0)
			address = names[i].address;
	return real(address, service, &any, ret);
}

/* {} is the listener's port.  No answer may come from any of these, in either class. */
static const char *const inside[] = {
	"https://127.0.0.1:{}/", "https://127.1:{}/", "https://127.0.1:{}/", "https://2130706433:{}/",
	"https://0x7f000001:{}/", "https://0x7f.0.0.1:{}/", "https://0177.0.0.1:{}/", "https://017700000001:{}/",
	"https://0x7f.1:{}/", "https://127.0.0.1.:{}/", "https://0:{}/", "https://0.0.0.0:{}/", "https://00000:{}/",
	"https://127.255.255.254:{}/", "https://[::1]:{}/", "https://[::]:{}/", "https://[0:0:0:0:0:0:0:1]:{}/",
	"https://[::ffff:127.0.0.1]:{}/", "https://[::ffff:7f00:1]:{}/", "https://[::127.0.0.1]:{}/",
	"https://[::ffff:10.0.0.1]:{}/", "https://[64:ff9b::7f00:1]:{}/", "https://[64:ff9b:1::7f00:1]:{}/",
	"https://[2002:7f00:1::]:{}/", "https://[2001:0:7f00:1::]:{}/", "https://[fe80::1]:{}/",
	"https://[fe80::1%25lo]:{}/", "https://[fc00::1]:{}/", "https://[fd00:ec2::254]:{}/", "https://[fec0::1]:{}/",
	"https://[ff02::1]:{}/", "https://[100::1]:{}/", "https://[2001:db8::1]:{}/", "https://[4000::1]:{}/",
	"https://10.0.0.1:{}/", "https://172.16.0.1:{}/", "https://192.168.1.1:{}/", "https://100.64.0.1:{}/",
	"https://169.254.169.254:{}/latest/meta-data/", "https://192.0.0.192:{}/", "https://168.63.129.16:{}/",
	"https://198.18.0.1:{}/", "https://224.0.0.1:{}/", "https://240.0.0.1:{}/", "https://255.255.255.255:{}/",
	"https://192.0.2.1:{}/", "https://192.88.99.1:{}/",
	"https://localhost:{}/", "https://LOCALHOST:{}/", "https://localhost.:{}/", "https://a.localhost:{}/",
	"https://metadata:{}/", "https://metadata.google.internal:{}/", "https://printer.local:{}/",
	"https://router.lan:{}/", "https://nas.home.arpa:{}/", "https://ip6-localhost:{}/",
	"https://rebound.example.com:{}/", "https://mapped.example.com:{}/", "https://six.example.com:{}/",
	"https://private.example.com:{}/", "https://metadata.example.com:{}/", "https://nat64.example.com:{}/",
	"https://xn--nxasmq6b.example.com:{}/",
	"http://127.0.0.1:{}/", "http://rebound.example.com:{}/", "HTTP://rebound.example.com:{}/",
	"https://user@127.0.0.1:{}/", "https://user:pw@rebound.example.com:{}/", "https://@127.0.0.1:{}/",
	"https://example.com@127.0.0.1:{}/", "https://127.0.0.1:{}@example.com/", "https://example.com\\@127.0.0.1:{}/",
	"https://127.0.0.1:{}#@example.com/", "https://example.com:80@127.0.0.1:{}/",
	"https://127.0.0.1%00.example.com:{}/", "https://127%2e0.0.1:{}/", "https://%31%32%37.0.0.1:{}/",
	"https://127.0.0.1:{}\r\nX: y/", "https://127.0.0.1:{}/\r\nHost: x", "https://127.0.0.1:{}/a b", "https://127.0.0.1\t:{}/",
	"https://\xe2\x91\xa0\xe2\x91\xa1\xe2\x91\xa6.0.0.1:{}/", "https://127\xe3\x80\x82" "0.0.1:{}/", "https://ex\xc3\xa4mple.com:{}/",
	"https:///127.0.0.1:{}/", "https:/127.0.0.1:{}/", "https:127.0.0.1:{}/", "//127.0.0.1:{}/", "127.0.0.1:{}", "",
	"gopher://127.0.0.1:{}/_GET", "file:///etc/passwd", "file://127.0.0.1:{}/etc/passwd", "dict://127.0.0.1:{}/d:x",
	"ftp://127.0.0.1:{}/", "ldap://127.0.0.1:{}/", "smtp://127.0.0.1:{}/", "telnet://127.0.0.1:{}/", "ws://127.0.0.1:{}/",
	"javascript://127.0.0.1:{}/", "https://127.0.0.1:99999/", "https://127.0.0.1:0/", "https://127.0.0.1:-1/",
	"https://1.2.3.4.5:{}/", "https://127.0.0.1.08:{}/", "https://a..example.com:{}/", "https://.example.com:{}/",
	"https://[::1:{}/", "https://[v1.a]:{}/", "https://[127.0.0.1]:{}/",
};

static void url_fill(char *out, size_t size, const char *pattern, int port)
{
	const char *hole = strstr(pattern, "{}");

	if (hole == NULL)
		snprintf(out, size, "%s", pattern);
	else
		snprintf(out, size, "%.*s%d%s", (int)(hole - pattern), pattern, port, hole + 2);
}

TEST(no_url_reaches_the_inside)
{
	struct far *far = far_start(), *allowed = far_start();
	struct http *h = far_open((struct http_config){ .connect_ms = 2000 }, (int[]){ allowed->port, 0 });
	size_t n = sizeof(inside) / sizeof(inside[0]);
	char url[300];

	CHECK(n >= 60);
	for (size_t i = 0; i < n; i++)
		for (int egress = HTTP_PROVIDER; egress <= HTTP_OWN; egress++) {
			struct http_request r = { .method = "GET", .url = url, .egress = (enum http_egress)egress };
			struct seen s;

			url_fill(url, sizeof(url), inside[i], far->port);
			s = far_send(h, r);
			CHECK_SAY(s.answer.outcome == HTTP_REFUSED && s.words[0] != '\0', "'%s' class %d: outcome %d, %s",
				  url, egress, (int)s.answer.outcome, s.words);
		}
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
	static const char *const allow[] = { "127.0.0.1:3000", "localhost:3001", "[::1]:3002", NULL };
	static const struct { const char *url; bool provider, user; } cases[] = {
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
	static const char *const bad[] = { "127.0.0.1", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536", "example.com:80", ":80", "" };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		const char *allow[] = { bad[i], NULL };
		struct http *h = NULL;
		struct cx cx;

		cx_init(&cx, "test");
		CHECK_SAY(http_open(&cx, &(struct http_config){ .allow = allow }, &h) == RC_INVALID, "'%s'", bad[i]);
		cx_init(&cx, "test");
		CHECK_SAY(http_open(&cx, &(struct http_config){ .own = bad[i] }, &h) == RC_INVALID, "own '%s'", bad[i]);
		CHECK(h == NULL);
	}
}
