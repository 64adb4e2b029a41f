/*
 * core/io/web over raw sockets: what a client may send, and what must never reach the handler.
 *
 * The handler counts its calls, so that a smuggled second request shows as a call too many.
 */
#include "core/io/web.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "test.h"

static struct web *web;
static atomic_int calls, holding;
static atomic_bool hold;
static char seen_path[512];

static void echo(const struct web_request *r, struct web_answer *a)
{
	struct cx cx;
	const char *body = "";
	size_t n = 0;

	cx_init(&cx, "test");
	if (web_body(&cx, r, 1 << 20, &body, &n)) {
		a->status = cx.rc == RC_TOO_LARGE ? 413 : cx.rc == RC_TIMEOUT ? 408 : 400;
		buf_addf(a->body, "code=%s", cx.code);
		return;
	}
	buf_addf(a->body, "%s %s %zu:", r->method, r->path, n);
	buf_add(a->body, body, n < 64 ? n : 64);
}

static void query_answer(const struct web_request *r, struct web_answer *a)
{
	const char *name, *value = "none";

	web_query(r, "a", &value);
	buf_addf(a->body, "n=%d a=%s", web_query_count(r), value);
	if (web_query_at(r, 1, &name, &value))
		buf_addf(a->body, " %s=%s", name, value);
	value = web_cookie(r, "two");
	buf_addf(a->body, " cookie=%s x=%s", value ? value : "none", web_header_in(r, "x-blank") ? web_header_in(r, "x-blank") : "none");
}

static void on_request(void *arg, const struct web_request *r, struct web_answer *a)
{
	(void)arg;
	calls++;
	a->status = 200;
	a->type = "text/plain";
	snprintf(seen_path, sizeof(seen_path), "%s", r->path);
	if (!strcmp(r->path, "/query"))
		query_answer(r, a);
	else if (!strcmp(r->path, "/unread"))
		buf_adds(a->body, "not read");
	else if (!strcmp(r->path, "/split"))
		web_header(a, "Location", "%s", "/a\r\nSet-Cookie: x=1");
	else if (!strcmp(r->path, "/own"))
		web_header(a, "Cache-Control", "max-age=%d", 60);
	else if (!strcmp(r->path, "/hold")) {
		holding++;
		while (hold)
			usleep(2000);
		buf_adds(a->body, "held to the end");
	} else
		echo(r, a);
}

static void on_refuse(void *arg, int status, const char *words, struct web_answer *a)
{
	(void)arg;
	a->status = status;
	buf_addf(a->body, "refused %d %s", status, words);
}

static struct web *server(int threads, int per_address)
{
	struct web_config config = {"127.0.0.1:0", threads, per_address, on_request, on_refuse, NULL};
	struct web *w = NULL;
	struct cx cx;

	cx_init(&cx, "test");
	CHECK_SAY(web_open(&cx, &config, &w) == RC_OK, "%s", cx.words);
	CHECK(web_port(w) > 0);
	return w;
}

static void start(void)
{
	if (!web)
		web = server(16, 0);
	calls = 0;
	seen_path[0] = 0;
}

static int dial(struct web *w)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)web_port(w))};
	struct timeval wait = {20, 0};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	inet_pton(AF_INET, "127.0.0.1", &a.sin_addr);
	CHECK(connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	return fd;
}

static void put(int fd, const char *text, size_t n)
{
	while (n) {
		ssize_t part = send(fd, text, n, MSG_NOSIGNAL);

		if (part <= 0)
			return;
		text += part;
		n -= (size_t)part;
	}
}

static void say(int fd, const char *text)
{
	put(fd, text, strlen(text));
}

/* Everything until the server closes. */
static char *all(int fd)
{
	static char text[65536];
	size_t n = 0;
	ssize_t part;

	while ((part = recv(fd, text + n, sizeof(text) - 1 - n, 0)) > 0)
		n += (size_t)part;
	text[n] = 0;
	close(fd);
	return text;
}

/* Reads until the text holds the words. */
static char *until(int fd, const char *words)
{
	static char text[65536];
	size_t n = 0;
	ssize_t part;

	text[0] = 0;
	while (!strstr(text, words) && (part = recv(fd, text + n, sizeof(text) - 1 - n, 0)) > 0) {
		n += (size_t)part;
		text[n] = 0;
	}
	CHECK_SAY(strstr(text, words), "no \"%s\" in \"%s\"", words, text);
	return text;
}

static char *ask(const char *text, size_t n)
{
	int fd = dial(web);

	put(fd, text, n);
	return all(fd);
}
#define ASK(text) ask(text, sizeof(text) - 1)

TEST(answers_with_every_security_header)
{
	const char *t;

	start();
	t = ASK("GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
	CHECK_SAY(!strncmp(t, "HTTP/1.1 200 OK\r\n", 17), "%s", t);
	CHECK(strstr(t, "\r\nX-Content-Type-Options: nosniff\r\n"));
	CHECK(strstr(t, "\r\nReferrer-Policy: no-referrer\r\n"));
	CHECK(strstr(t, "\r\nCache-Control: no-store\r\n"));
	CHECK(strstr(t, "\r\nCross-Origin-Opener-Policy: same-origin\r\n"));
	CHECK(strstr(t, "\r\nCross-Origin-Resource-Policy: same-origin\r\n"));
	CHECK(strstr(t, "\r\nContent-Security-Policy: default-src 'none'; base-uri 'none'; frame-ancestors 'none'\r\n"));
	CHECK(strstr(t, "\r\nDate: "));
	CHECK(strstr(t, "\r\n\r\nGET /x 0:"));
}

TEST(a_handler_replaces_a_default_header)
{
	const char *t;

	start();
	t = ASK("GET /own HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
	CHECK(strstr(t, "\r\nCache-Control: max-age=60\r\n"));
	CHECK(!strstr(t, "no-store"));
}

TEST(a_header_with_a_line_break_never_leaves)
{
	const char *t;

	start();
	log_set(LOG_ERROR + 1);
	t = ASK("GET /split HTTP/1.1\r\nHost: a\r\n\r\n");
	log_set(LOG_ERROR);
	CHECK_SAY(!strncmp(t, "HTTP/1.1 500 ", 13), "%s", t);
	CHECK(!strstr(t, "Set-Cookie"));
	CHECK(strstr(t, "nosniff"));
}

#define H "Host: a\r\n"
#define SMUGGLED "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
#define CASE(name, text) {name, text, sizeof(text) - 1}

static const struct { const char *name, *text; size_t n; } bad_heads[] = {
	CASE("length and chunked", "POST / HTTP/1.1\r\n" H "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" SMUGGLED),
	CASE("chunked and length", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" SMUGGLED),
	CASE("chunked", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" SMUGGLED),
	CASE("xchunked", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: xchunked\r\n\r\n" SMUGGLED),
	CASE("identity", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: identity\r\nContent-Length: 3\r\n\r\nabc" SMUGGLED),
	CASE("blank before colon of encoding", "POST / HTTP/1.1\r\n" H "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" SMUGGLED),
	CASE("two lengths", "POST / HTTP/1.1\r\n" H "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc" SMUGGLED),
	CASE("two equal lengths", "POST / HTTP/1.1\r\n" H "Content-Length: 3\r\ncontent-length: 3\r\n\r\nabc" SMUGGLED),
	CASE("length 5abc", "POST / HTTP/1.1\r\n" H "Content-Length: 5abc\r\n\r\nabcde" SMUGGLED),
	CASE("length +5", "POST / HTTP/1.1\r\n" H "Content-Length: +5\r\n\r\nabcde" SMUGGLED),
	CASE("length 0x5", "POST / HTTP/1.1\r\n" H "Content-Length: 0x5\r\n\r\nabcde" SMUGGLED),
	CASE("length list", "POST / HTTP/1.1\r\n" H "Content-Length: 5, 5\r\n\r\nabcde" SMUGGLED),
	CASE("length empty", "POST / HTTP/1.1\r\n" H "Content-Length:\r\n\r\n" SMUGGLED),
	CASE("length negative", "POST / HTTP/1.1\r\n" H "Content-Length: -1\r\n\r\n" SMUGGLED),
	CASE("length beyond 64 bits", "POST / HTTP/1.1\r\n" H "Content-Length: 18446744073709551621\r\n\r\nabcde" SMUGGLED),
	CASE("no host", "GET / HTTP/1.1\r\nX: y\r\n\r\n" SMUGGLED),
	CASE("no header at all", "GET / HTTP/1.1\r\n\r\n" SMUGGLED),
	CASE("two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n" SMUGGLED),
	CASE("empty host", "GET / HTTP/1.1\r\nHost:\r\n\r\n" SMUGGLED),
	CASE("host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n" SMUGGLED),
	CASE("two authorizations", "GET / HTTP/1.1\r\n" H "Authorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n" SMUGGLED),
	CASE("bare LF after the request line", "GET / HTTP/1.1\nHost: a\r\n\r\n" SMUGGLED),
	CASE("bare LF after a header", "GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n" SMUGGLED),
	CASE("bare LF at the end", "GET / HTTP/1.1\r\nHost: a\r\nX: y\n\r\n" SMUGGLED),
	CASE("bare LF everywhere", "GET / HTTP/1.1\nHost: a\n\n" SMUGGLED),
	CASE("LF LF after CR LF", "GET / HTTP/1.1\r\nHost: a\n\n" SMUGGLED),
	CASE("bare CR", "GET / HTTP/1.1\r\nHost: a\rX: y\r\n\r\n" SMUGGLED),
	CASE("blank before the colon", "GET / HTTP/1.1\r\nHost : a\r\n\r\n" SMUGGLED),
	CASE("blanks before the colon", "GET / HTTP/1.1\r\nHost: a\r\nX  : a\r\n\r\n" SMUGGLED),
	CASE("folded with a blank", "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n" SMUGGLED),
	CASE("folded with a tab", "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\tz\r\n\r\n" SMUGGLED),
	CASE("folded in the middle", "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\nContent-Length: 40\r\n\r\n" SMUGGLED),
	CASE("an empty line first", "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n" SMUGGLED),
	CASE("two empty lines first", "\r\n\r\nPOST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc" SMUGGLED),
	CASE("sixteen blanks first", "                GET / HTTP/1.1\r\nHost: a\r\n\r\n" SMUGGLED),
	CASE("folded first header", "GET / HTTP/1.1\r\n Host: a\r\n\r\n" SMUGGLED),
	CASE("line without a colon", "GET / HTTP/1.1\r\nHost: a\r\nnothing\r\n\r\n" SMUGGLED),
	CASE("line that starts with a colon", "GET / HTTP/1.1\r\nHost: a\r\n: x\r\nContent-Length: 40\r\n\r\n" SMUGGLED),
	CASE("name with a bracket", "GET / HTTP/1.1\r\nHost: a\r\nX(y: z\r\n\r\n" SMUGGLED),
	CASE("name beyond ASCII", "GET / HTTP/1.1\r\nHost: a\r\nX\xc3\xa9: z\r\n\r\n" SMUGGLED),
	CASE("NUL in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n" SMUGGLED),
	CASE("NUL in the target", "GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n" SMUGGLED),
	CASE("two blanks after the method", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n" SMUGGLED),
	CASE("two blanks before the version", "GET /  HTTP/1.1\r\nHost: a\r\n\r\n" SMUGGLED),
	CASE("two blanks behind a query", "GET /?a  HTTP/1.1\r\nHost: a\r\n\r\n" SMUGGLED),
	CASE("a line break in the request line", "GET /\r\n HTTP/1.1\r\nHost: a\r\n\r\n" SMUGGLED),
	CASE("no version", "GET /\r\nHost: a\r\n\r\n" SMUGGLED),
	CASE("version 2.0", "GET / HTTP/2.0\r\nHost: a\r\n\r\n" SMUGGLED),
	CASE("version 1.10", "GET / HTTP/1.10\r\nHost: a\r\n\r\n" SMUGGLED),
	CASE("unknown method", "BREW / HTTP/1.1\r\nHost: a\r\n\r\n" SMUGGLED),
	CASE("trace", "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n" SMUGGLED),
	CASE("absolute target", "GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n" SMUGGLED),
	CASE("connect", "CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n" SMUGGLED),
	CASE("fragment", "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n" SMUGGLED),
	CASE("backslash", "GET /a\\b HTTP/1.1\r\nHost: a\r\n\r\n" SMUGGLED),
	CASE("expect something else", "POST / HTTP/1.1\r\nHost: a\r\nExpect: miracles\r\nContent-Length: 0\r\n\r\n" SMUGGLED),
	CASE("NUL in the query", "GET /?a=%00 HTTP/1.1\r\nHost: a\r\n\r\n" SMUGGLED),
	CASE("bad escape in the query", "GET /?a=%zz HTTP/1.1\r\nHost: a\r\n\r\n" SMUGGLED),
	CASE("TLS hello", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n" SMUGGLED),
};

TEST(malformed_heads_are_refused_and_the_connection_ends)
{
	start();
	for (size_t i = 0; i < sizeof(bad_heads) / sizeof(*bad_heads); i++) {
		const char *t = ask(bad_heads[i].text, bad_heads[i].n);

		CHECK_SAY(calls == 0, "%s reached the handler: %s", bad_heads[i].name, seen_path);
		CHECK_SAY(!strncmp(t, "HTTP/1.1 400 ", 13) || !*t, "%s: %s", bad_heads[i].name, t);
		CHECK_SAY(!*t || strstr(t, "\r\nConnection: close\r\n"), "%s: %s", bad_heads[i].name, t);
		CHECK_SAY(!*t || strstr(t, "nosniff"), "%s: %s", bad_heads[i].name, t);
		CHECK_SAY(!*t || strstr(t, "refused 400"), "%s: %s", bad_heads[i].name, t);
	}
}

TEST(the_refusals_are_said_not_only_closed)
{
	int silent = 0;

	start();
	for (size_t i = 0; i < sizeof(bad_heads) / sizeof(*bad_heads); i++)
		silent += !*ask(bad_heads[i].text, bad_heads[i].n);
	CHECK_SAY(silent <= 1, "%d of the refusals had no answer", silent);
}

TEST(good_heads_of_odd_looks_pass)
{
	static const char *const good[] = {
		"GET / HTTP/1.1\r\nHost: a\r\nX:\r\nConnection: close\r\n\r\n",
		"GET / HTTP/1.1\r\nHost:a:80\r\nConnection: close\r\n\r\n",
		"GET /?a=b HTTP/1.1\r\nHost:    a\r\nConnection: close\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: [::1]:80\r\nconnection: close\r\n\r\n",
		"GET / HTTP/1.1\r\nConnection: close\r\nHost: a\r\nX-Name: \xc3\xa9\r\n\r\n",
		"GET /? HTTP/1.1\r\nHost: a \r\nConnection: close\r\n\r\n",
		"GET / HTTP/1.0\r\nHost: a\r\n\r\n",
	};

	start();
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		const char *t = ask(good[i], strlen(good[i]));

		CHECK_SAY(!strncmp(t, "HTTP/1.1 200 ", 13), "%zu: %s", i, t);
	}
}

TEST(keep_alive_answers_pipelined_requests_in_order)
{
	const char *t;

	start();
	t = ASK("POST /one HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
		"GET /two HTTP/1.1\r\nHost: a\r\n\r\nGET /three HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
	CHECK_INT(calls, 3);
	CHECK(strstr(t, "Connection: keep-alive\r\n\r\nPOST /one 3:abcHTTP/1.1 200 OK"));
	CHECK(strstr(t, "GET /two 0:HTTP/1.1 200 OK"));
	CHECK(strstr(t, "GET /three 0:"));
}

TEST(head_answers_without_a_body)
{
	const char *t;

	start();
	t = ASK("HEAD /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
	CHECK(strstr(t, "\r\nContent-Length: 10\r\n"));
	CHECK_STR(strstr(t, "\r\n\r\n"), "\r\n\r\n");
}

TEST(sixty_four_headers_are_too_many)
{
	static char text[8192];
	const char *t;

	start();
	for (int extra = 61; extra <= 80; extra += extra == 62 ? 18 : 1) {	/* Host and Connection make 63, 64, 82 */
		size_t n = (size_t)snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n");

		for (int i = 0; i < extra; i++)
			n += (size_t)snprintf(text + n, sizeof(text) - n, "X-%d: y\r\n", i);
		n += (size_t)snprintf(text + n, sizeof(text) - n, "\r\n");
		t = ask(text, n);
		CHECK_SAY(!strncmp(t, extra == 61 ? "HTTP/1.1 200" : "HTTP/1.1 431", 12), "%d: %s", extra, t);
	}
	CHECK_INT(calls, 1);
}

TEST(a_head_over_16_kib_is_too_large)
{
	static char text[70000];
	static const struct { size_t fill; const char *status; } table[] = {
		{16000, "HTTP/1.1 200"}, {16384, "HTTP/1.1 431"}, {32000, "HTTP/1.1 431"}, {60000, "HTTP/1.1 400"},
	};

	start();
	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		size_t n = (size_t)snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX: ");
		const char *t;

		memset(text + n, 'x', table[i].fill);
		memcpy(text + n + table[i].fill, "\r\n\r\n", 5);
		t = ask(text, strlen(text));
		CHECK_SAY(!*t || !strncmp(t, table[i].status, 12), "%zu: %s", table[i].fill, t);
		CHECK(*t || table[i].fill > 32768);
	}
	CHECK_INT(calls, 1);
}

TEST(a_short_body_is_told_apart_from_a_whole_one)
{
	int fd;
	const char *t;

	start();
	fd = dial(web);
	say(fd, "POST /s HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabcde");
	shutdown(fd, SHUT_WR);
	t = all(fd);
	CHECK_SAY(!strncmp(t, "HTTP/1.1 400 ", 13), "%s", t);
	CHECK(strstr(t, "code=invalid_request"));
	CHECK(strstr(t, "Connection: close"));
}

static atomic_llong clock_ahead;
static int64_t clock_moved(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000LL + t.tv_nsec / 1000000 + clock_ahead;
}

static void *trickle(void *arg)
{
	int fd = *(int *)arg;

	for (int i = 0; i < 200; i++) {
		if (send(fd, "x", 1, MSG_NOSIGNAL) != 1)
			break;
		clock_ahead += 1000;
		usleep(1000);
	}
	return NULL;
}

TEST(a_trickled_body_ends_at_the_deadline)
{
	pthread_t thread;
	int fd;
	const char *t;

	start();
	clock_ahead = 0;
	clock_fake(clock_moved);
	fd = dial(web);
	say(fd, "POST /t HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\n");
	pthread_create(&thread, NULL, trickle, &fd);
	t = until(fd, "code=");
	CHECK_SAY(!strncmp(t, "HTTP/1.1 408 ", 13), "%s", t);
	CHECK(strstr(t, "code=request_timeout"));
	shutdown(fd, SHUT_RDWR);
	pthread_join(thread, NULL);
	close(fd);
	clock_fake(NULL);
}

TEST(a_body_of_one_mebibyte_arrives_whole)
{
	static char text[1 << 20];
	int fd;
	const char *t;

	start();
	memset(text, 'x', sizeof(text));
	memcpy(text, "begin", 5);
	fd = dial(web);
	say(fd, "POST /b HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 1048576\r\n\r\n");
	put(fd, text, sizeof(text));
	t = all(fd);
	CHECK_SAY(strstr(t, "POST /b 1048576:beginxxx"), "%s", t);
}

TEST(a_body_over_the_limit_is_refused_unread)
{
	int fd;
	const char *t;

	start();
	fd = dial(web);
	say(fd, "POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 1048577\r\n\r\nsome");
	t = until(fd, "code=");
	CHECK_SAY(!strncmp(t, "HTTP/1.1 413 ", 13), "%s", t);
	CHECK(strstr(t, "Connection: close"));
	CHECK(strstr(t, "code=payload_too_large"));
	close(fd);
}

TEST(an_unread_body_is_never_taken_for_a_request)
{
	const char *t;

	start();
	t = ASK("POST /unread HTTP/1.1\r\nHost: a\r\nContent-Length: 35\r\n\r\n" SMUGGLED SMUGGLED);
	CHECK_INT(calls, 1);
	CHECK(strstr(t, "Connection: close"));
	CHECK(strstr(t, "not read"));
}

TEST(expect_100_continue_is_answered_before_the_body)
{
	int fd;
	const char *t;

	start();
	fd = dial(web);
	say(fd, "POST /e HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nConnection: close\r\nContent-Length: 3\r\n\r\n");
	t = until(fd, "\r\n\r\n");
	CHECK_STR(t, "HTTP/1.1 100 Continue\r\n\r\n");
	say(fd, "abc");
	CHECK(strstr(all(fd), "POST /e 3:abc"));
}

TEST(paths_arrive_raw)
{
	start();
	ASK("GET /a%2Fb%00/..%2f/../x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
	CHECK_STR(seen_path, "/a%2Fb%00/..%2f/../x");
}

TEST(query_cookie_and_trimmed_headers)
{
	start();
	CHECK(strstr(ASK("GET /query?a=1%262&b=x+y&&c HTTP/1.1\r\nHost: a\r\nCookie: one=1; two=zwei; three=3\r\n"
		"X-Blank: v  \r\nConnection: close\r\n\r\n"), "n=3 a=1&2 b=x y cookie=zwei x=v"));
}

TEST(preflights_get_no_cors_headers)
{
	const char *t;

	start();
	t = ASK("OPTIONS /x HTTP/1.1\r\nHost: a\r\nOrigin: https://evil.example\r\nAccess-Control-Request-Method: POST\r\n"
		"Connection: close\r\n\r\n");
	CHECK_INT(calls, 1);
	CHECK(!strstr(t, "Access-Control"));
}

TEST(connections_over_the_cap_of_an_address_are_refused)
{
	struct web *w = server(8, 2);
	int fds[2], fd;
	const char *t;

	for (int i = 0; i < 2; i++) {
		fds[i] = dial(w);
		say(fds[i], "GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
		until(fds[i], "GET /x 0:");
	}
	fd = dial(w);
	say(fd, "GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
	t = all(fd);
	CHECK_SAY(!strncmp(t, "HTTP/1.1 503 ", 13), "%s", t);
	say(fds[0], "GET /y HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
	t = all(fds[0]);
	CHECK_SAY(strstr(t, "GET /y 0:"), "%s", t);
	close(fds[1]);
	web_close(w);
}

static void *closer(void *arg)
{
	web_close(arg);
	return NULL;
}

TEST(closing_finishes_the_running_requests)
{
	struct web *w = server(4, 0);
	pthread_t thread;
	int fd;

	hold = true;
	holding = 0;
	fd = dial(w);
	say(fd, "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
	for (int i = 0; i < 5000 && !holding; i++)
		usleep(2000);
	CHECK_INT(holding, 1);
	pthread_create(&thread, NULL, closer, w);
	usleep(50000);
	hold = false;
	CHECK(strstr(all(fd), "held to the end"));
	pthread_join(thread, NULL);
}

TEST(a_taken_port_is_refused_with_a_sentence)
{
	struct web_config config = {NULL, 2, 0, on_request, on_refuse, NULL};
	struct web *w = NULL;
	char listen[32];
	struct cx cx;

	start();
	snprintf(listen, sizeof(listen), "127.0.0.1:%d", web_port(web));
	config.listen = listen;
	cx_init(&cx, "test");
	log_set(LOG_ERROR + 1);
	CHECK(web_open(&cx, &config, &w) != RC_OK);
	log_set(LOG_ERROR);
	CHECK(strstr(cx.words, listen));
}
