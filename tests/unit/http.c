/*
 * Transfers over plain HTTP/1.1: what counts as answered, unsent and lost, that a request which must not be
 * repeated is not, bodies out of files, ceilings, deadlines, waiting.
 */
#include "core/io/http.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>

#include "tests/unit/farside.h"

static atomic_bool resolver_held;

/* Stands in for the C library's: no test asks a name server. */
int getaddrinfo(const char *restrict node, const char *restrict service, const struct addrinfo *restrict hints,
		struct addrinfo **restrict ret)
{
	while (node != NULL && strcmp(node, "slow.example.com") == 0 && atomic_load(&resolver_held))
		usleep(1000);
	(void)service, (void)hints, (void)ret;
	return EAI_NONAME;
}

static struct http_request post(const char *url, const struct http_part *part)
{
	return (struct http_request){ .method = "POST", .url = url, .parts = part, .part_count = part != NULL, .fresh = true };
}

static struct http_request get(const char *url)
{
	return (struct http_request){ .method = "GET", .url = url };
}

static const struct http_part hello = { .bytes = "hello", .n = 5 };

TEST(an_answer_is_whole)
{
	struct far *far = far_start();
	struct http *h = far_open((struct http_config){ 0 }, (int[]){ far->port, 0 });
	struct seen s = far_send(h, post(far_url("http", far->port, "/ok"), &hello));

	CHECK_INT(s.answer.outcome, HTTP_ANSWERED);
	CHECK_INT(s.answer.status, 200);
	CHECK_STR(s.body, "ok");
	CHECK_STR(s.headers, "content-length: 2\nx-thing: A b\n");
	CHECK_INT(s.answer.sent_bytes, atomic_load(&far->bytes));
	CHECK(strcasestr(far->last, "\r\nExpect:") == NULL);
	CHECK(strcasestr(far->last, "\r\nContent-Type:") == NULL);
	CHECK(strcasestr(far->last, "\r\nContent-Length: 5\r\n") != NULL);
	http_close(h);
	far_stop(far);
}

TEST(methods_and_headers_arrive)
{
	static const char *const headers[] = { "Authorization: Bearer abc", "X-Empty:", "User-Agent: other/1", NULL };
	static const struct { const char *method; bool body; const char *length; } cases[] = {
		{ "GET", false, NULL }, { "DELETE", false, NULL }, { "DELETE", true, "Content-Length: 5" },
		{ "PUT", false, "Content-Length: 0" }, { "PATCH", true, "Content-Length: 5" },
		{ "POST", false, "Content-Length: 0" }, { "OPTIONS", false, NULL },
	};
	struct far *far = far_start();
	struct http *h = far_open((struct http_config){ 0 }, (int[]){ far->port, 0 });

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct http_request r = post(far_url("http", far->port, "/ok"), cases[i].body ? &hello : NULL);

		r.method = cases[i].method;
		r.headers = headers;
		CHECK_INT(far_send(h, r).answer.status, 200);
		CHECK_SAY(strncmp(far->last, r.method, strlen(r.method)) == 0, "%s came as %.8s", r.method, far->last);
		CHECK(strstr(far->last, "\r\nAuthorization: Bearer abc\r\n") != NULL);
		CHECK(strstr(far->last, "\r\nX-Empty:\r\n") != NULL);
		CHECK(strstr(far->last, "\r\nUser-Agent: other/1\r\n") != NULL);
		CHECK_SAY(cases[i].length != NULL ? strstr(far->last, cases[i].length) != NULL :
			  strcasestr(far->last, "content-length") == NULL, "length of %s: %s", r.method, far->last);
	}
	http_close(h);
	far_stop(far);
}

TEST(bad_requests_are_refused_before_anything_is_sent)
{
	static const char *const bad[] = {
		"X-A: b\r\nX-B: c", "X-A: b\n", "X A: b", "no colon", ": b", "Content-Length: 3", "transfer-encoding: chunked",
		"Host: other", "Expect: 100-continue", "Connection: close", "X-A: \x01", "",
	};
	struct far *far = far_start();
	struct http *h = far_open((struct http_config){ 0 }, (int[]){ far->port, 0 });
	struct http_request r = post(far_url("http", far->port, "/ok"), &hello);

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		const char *headers[] = { bad[i], NULL };

		r.headers = headers;
		CHECK_SAY(far_send(h, r).answer.outcome == HTTP_REFUSED, "'%s' was not refused", bad[i]);
	}
	r.headers = NULL;
	r.method = "CONNECT";
	CHECK_INT(far_send(h, r).answer.outcome, HTTP_REFUSED);
	CHECK_INT(atomic_load(&far->connections), 0);
	http_close(h);
	far_stop(far);
}

/* GET leaves a kept-alive connection behind; the far side closes it after the next request, answering nothing. */
static int posts_after_kill(bool fresh, const char *path, const struct http_part *part, struct seen *ret)
{
	struct far *far = far_start();
	struct http *h = far_open((struct http_config){ 0 }, (int[]){ far->port, 0 });
	struct http_request r = post(far_url("http", far->port, path), part);
	int posts;

	r.fresh = fresh;
	CHECK_INT(far_send(h, get(far_url("http", far->port, "/ok"))).answer.status, 200);
	*ret = far_send(h, r);
	posts = atomic_load(&far->posts);
	http_close(h);
	far_stop(far);
	return posts;
}

TEST(killed_connection_posts_once)
{
	struct seen s;

	CHECK_INT(posts_after_kill(true, "/kill", &hello, &s), 1);
	CHECK_INT(s.answer.outcome, HTTP_LOST);
	CHECK_INT(posts_after_kill(true, "/reset", &hello, &s), 1);
	CHECK_INT(s.answer.outcome, HTTP_LOST);
	CHECK_INT(posts_after_kill(true, "/kill", NULL, &s), 1);	/* SIZE_UPLOAD is 0 here */
	CHECK_INT(s.answer.outcome, HTTP_LOST);
}

/* Without the rule libcurl repeats the post by itself; should this ever change, the rule may be thought over. */
TEST(control_without_fresh_libcurl_posts_twice)
{
	struct seen s;

	CHECK_INT(posts_after_kill(false, "/kill", &hello, &s), 2);
	CHECK_INT(s.answer.outcome, HTTP_LOST);
}

TEST(only_safe_requests_reuse_a_connection)
{
	struct far *far = far_start();
	struct http *h = far_open((struct http_config){ 0 }, (int[]){ far->port, 0 });
	struct http_request r = get(far_url("http", far->port, "/ok"));

	for (int i = 0; i < 3; i++)
		far_send(h, r);
	CHECK_INT(atomic_load(&far->connections), 1);
	r.egress = HTTP_USER;
	for (int i = 0; i < 3; i++)
		far_send(h, r);
	CHECK_INT(atomic_load(&far->connections), 4);
	r.egress = HTTP_PROVIDER;
	r.fresh = true;
	for (int i = 0; i < 3; i++)
		far_send(h, r);
	CHECK_INT(atomic_load(&far->connections), 7);
	http_close(h);
	far_stop(far);
}

TEST(unsent_is_unsent)
{
	struct far *far = far_start(), *mute = far_start();
	int closed_port, fd = far_listen(&closed_port);
	struct http *h = far_open((struct http_config){ .connect_ms = 300 },
				  (int[]){ far->port, mute->port, closed_port, 0 });
	static const char missing[] = "https://missing.example.com/", slow[] = "https://slow.example.com/";
	const struct { const char *url; int code; } cases[] = {
		{ far_url("http", closed_port, "/ok"), 7 }, { far_url("https", far->port, "/ok"), 0 },
		{ far_url("https", mute->port, "/ok"), 28 }, { missing, 6 }, { slow, 28 },
	};

	close(fd);
	mute->mute = true;
	atomic_store(&resolver_held, true);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct seen s = far_send(h, post(cases[i].url, &hello));

		CHECK_SAY(s.answer.outcome == HTTP_UNSENT, "%s: outcome %d, %s", cases[i].url, (int)s.answer.outcome, s.words);
		CHECK_INT(s.answer.sent_bytes, 0);
		CHECK_SAY(cases[i].code == 0 || cases[i].code == s.answer.curl_code, "%s: %s", cases[i].url, s.words);
	}
	http_close(h);			/* not held up by the resolver either */
	CHECK(atomic_load(&resolver_held));
	atomic_store(&resolver_held, false);
	CHECK_INT(atomic_load(&far->posts), 0);
	far_stop(far);
	far_stop(mute);
}

TEST(lost_is_lost)
{
	static const struct { const char *path; bool too_large; int code; } cases[] = {
		{ "/kill", false, 0 }, { "/reset", false, 0 }, { "/cut", false, 18 }, { "/cuthead", false, 0 },
		{ "/big", true, 0 }, { "/bighead", true, 0 }, { "/hang", false, 28 },
	};
	struct far *far = far_start();
	struct http *h = far_open((struct http_config){ .answer_max = 2000, .total_ms = 500 }, (int[]){ far->port, 0 });

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		for (int body = 0; body < 2; body++) {
			struct seen s = far_send(h, post(far_url("http", far->port, cases[i].path), body ? &hello : NULL));

			CHECK_SAY(s.answer.outcome == HTTP_LOST, "%s: outcome %d, %s", cases[i].path, (int)s.answer.outcome, s.words);
			CHECK_SAY(s.answer.too_large == cases[i].too_large, "%s: too large is %d", cases[i].path, s.answer.too_large);
			CHECK(s.answer.sent_bytes > 0);
			CHECK(s.body_length <= 2000);
			CHECK_SAY(cases[i].code == 0 || cases[i].code == s.answer.curl_code, "%s: %s", cases[i].path, s.words);
		}
	CHECK_INT(atomic_load(&far->posts), 2 * (int)(sizeof(cases) / sizeof(cases[0])));
	CHECK_INT(far_send(h, post(far_url("http", far->port, "/full"), NULL)).answer.outcome, HTTP_ANSWERED);
	http_close(h);
	far_stop(far);
}

TEST(a_stalled_transfer_ends_before_its_total_time)
{
	struct far *far = far_start();
	struct http *h = far_open((struct http_config){ .stall_s = 1, .total_ms = 600000 }, (int[]){ far->port, 0 });
	struct seen s = far_send(h, post(far_url("http", far->port, "/hang"), &hello));

	CHECK_INT(s.answer.outcome, HTTP_LOST);
	CHECK_INT(s.answer.curl_code, 28);
	http_close(h);
	far_stop(far);
}

TEST(only_the_last_head_counts)
{
	struct far *far = far_start();
	struct http *h = far_open((struct http_config){ 0 }, (int[]){ far->port, 0 });

	CHECK_STR(far_send(h, get(far_url("http", far->port, "/early"))).headers, "content-length: 2\nx-thing: A b\n");
	CHECK(strstr(far_send(h, get(far_url("http", far->port, "/trailer"))).headers, "x-late") == NULL);
	CHECK_INT(far_send(h, get(far_url("http", far->port, "/moved"))).answer.status, 302);	/* not followed */
	CHECK_INT(atomic_load(&far->requests), 3);
	http_close(h);
	far_stop(far);
}

static int file_make(size_t size)
{
	int fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	char line[64];

	CHECK(fd >= 0);
	for (size_t at = 0, n; at < size; at += n) {
		n = (size_t)snprintf(line, sizeof(line), "line at %zu\n", at);
		n = n < size - at ? n : size - at;
		CHECK_INT(write(fd, line, n), n);
	}
	return fd;
}

TEST(a_body_is_made_of_memory_and_file_ranges)
{
	enum { SIZE = 300000 };
	int fd = file_make(SIZE);
	struct http_part parts[] = {
		{ .bytes = "head", .n = 4 }, { .range = { fd, 100, 200001 }, .is_range = true }, { .bytes = "", .n = 0 },
		{ .bytes = "-", .n = 1 }, { .range = { fd, SIZE - 7, 7 }, .is_range = true }, { .bytes = "tail", .n = 4 },
	};
	struct far *far = far_start();
	struct http *h = far_open((struct http_config){ 0 }, (int[]){ far->port, 0 });
	struct http_request r = post(far_url("http", far->port, "/echo"), parts);
	char *want = malloc(SIZE);
	struct seen s;

	r.part_count = 6;
	memcpy(want, "head", 4);
	CHECK_INT(pread(fd, want + 4, 200001, 100), 200001);
	want[200005] = '-';
	CHECK_INT(pread(fd, want + 200006, 7, SIZE - 7), 7);
	memcpy(want + 200013, "tail", 4);
	s = far_send(h, r);
	CHECK_INT(s.answer.outcome, HTTP_ANSWERED);
	CHECK_INT(s.body_length, 200017);
	CHECK(memcmp(s.body, want, 200017) == 0);
	CHECK_INT(s.answer.sent_bytes, atomic_load(&far->bytes));

	/* A request of the repeatable kind is rewound by seek: what libcurl sends again is the same. */
	r.url = far_url("http", far->port, "/kill");
	r.fresh = false;
	far_send(h, get(far_url("http", far->port, "/ok")));
	far_send(h, r);
	CHECK_INT(atomic_load(&far->posts), 3);
	CHECK_INT(far->last_length - far->last_head, 200017);
	CHECK(memcmp(far->last + far->last_head, want, 200017) == 0);
	http_close(h);
	far_stop(far);
	free(want);
	close(fd);
}

TEST(a_large_body_waits_for_no_permission)
{
	int fd = file_make(1500000);
	struct http_part part = { .range = { fd, 0, 1500000 }, .is_range = true };
	struct far *far = far_start();
	struct http *h = far_open((struct http_config){ 0 }, (int[]){ far->port, 0 });

	CHECK_INT(far_send(h, post(far_url("http", far->port, "/ok"), &part)).answer.status, 200);
	CHECK_INT(far->last_length - far->last_head, 1500000);
	CHECK(strcasestr(far->last, "\r\nExpect:") == NULL);
	http_close(h);
	far_stop(far);
	close(fd);
}

TEST(a_range_behind_the_file_is_refused)
{
	int fd = file_make(100);
	struct http_range ranges[] = { { fd, 0, 101 }, { fd, 100, 1 }, { fd, -1, 5 }, { fd, 5, -1 }, { fd, INT64_MAX, 5 }, { -1, 0, 1 } };
	struct far *far = far_start();
	struct http *h = far_open((struct http_config){ 0 }, (int[]){ far->port, 0 });

	for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
		struct http_part part = { .range = ranges[i], .is_range = true };

		CHECK_SAY(far_send(h, post(far_url("http", far->port, "/ok"), &part)).answer.outcome == HTTP_REFUSED, "range %zu", i);
	}
	CHECK_INT(atomic_load(&far->connections), 0);
	http_close(h);
	far_stop(far);
	close(fd);
}

static void *wake(void *arg)
{
	http_wakeup(arg);
	return NULL;
}

TEST(another_thread_wakes_the_turn)
{
	struct http *h = far_open((struct http_config){ 0 }, (int[]){ 0 });
	int64_t start = clock_mono();
	pthread_t thread;

	CHECK(pthread_create(&thread, NULL, wake, h) == 0);
	http_turn(h, NULL, 0, 60000);
	pthread_join(thread, NULL);
	CHECK(clock_mono() - start < 50000);
	http_close(h);
}

TEST(a_turn_tells_readable_and_hung_up_descriptors)
{
	struct http *h = far_open((struct http_config){ 0 }, (int[]){ 0 });
	int a[2], b[2], c[2];
	struct http_wait waits[4];

	CHECK(pipe(a) == 0 && pipe(b) == 0 && pipe(c) == 0);
	waits[0] = (struct http_wait){ a[0], POLLIN, 0 };
	waits[1] = (struct http_wait){ b[0], POLLIN, 0 };
	waits[2] = (struct http_wait){ c[1], POLLOUT, 0 };
	waits[3] = (struct http_wait){ -1, POLLIN, 0 };
	close(a[1]);
	http_turn(h, waits, 1, 60000);
	CHECK(waits[0].revents & POLLHUP);
	CHECK_INT(write(b[1], "x", 1), 1);
	http_turn(h, waits + 1, 3, 60000);
	CHECK(waits[1].revents & POLLIN);
	CHECK(waits[2].revents & POLLOUT);
	CHECK_INT(waits[3].revents, 0);
	close(a[0]), close(b[0]), close(b[1]), close(c[0]), close(c[1]);
	http_close(h);
}

struct chain { struct http *h; struct http_request request; struct seen seen; int left; };

static void send_next(void *arg, const struct http_answer *answer)
{
	struct chain *c = arg;

	seen_take(&c->seen, answer);
	if (c->left-- > 0)
		http_send(c->h, &c->request, send_next, c);
}

TEST(a_done_function_may_send_again)
{
	struct far *far = far_start();
	struct chain c = { .h = far_open((struct http_config){ 0 }, (int[]){ far->port, 0 }), .left = 2 };

	c.request = post(far_url("http", far->port, "/ok"), &hello);
	http_send(c.h, &c.request, send_next, &c);
	far_turns(c.h);
	CHECK_INT(c.seen.count, 3);
	c.left = 2;
	c.request.url = "https://10.0.0.1/";
	http_send(c.h, &c.request, send_next, &c);
	http_turn(c.h, NULL, 0, 0);
	CHECK_INT(c.seen.count, 4);		/* one refusal a turn: no endless turn */
	far_turns(c.h);
	CHECK_INT(c.seen.count, 6);
	CHECK_INT(atomic_load(&far->posts), 3);
	free(c.seen.body);
	http_close(c.h);
	far_stop(far);
}

TEST(closing_cancels_without_calling)
{
	struct far *far = far_start();
	struct http *h = far_open((struct http_config){ 0 }, (int[]){ far->port, 0 });
	struct http_request r = get(far_url("http", far->port, "/hang"));
	struct seen s = { 0 };

	http_send(h, &r, seen_take, &s);
	r.url = "https://10.0.0.1/";
	http_send(h, &r, seen_take, &s);
	CHECK_INT(http_running(h), 2);
	http_close(h);
	CHECK_INT(s.count, 0);
	far_stop(far);
}

#ifdef MPS_FAILPOINTS
/* Runs in a process of its own, because failpoints are read once. */
TEST(child_loses_the_second_answer)
{
	struct far *far = far_start();
	struct http *h = far_open((struct http_config){ 0 }, (int[]){ far->port, 0 });
	bool set = getenv("MPS_FAILPOINT") != NULL;

	for (int i = 0; i < 3; i++) {
		struct seen s = far_send(h, post(far_url("http", far->port, "/ok"), &hello));

		CHECK_INT(s.answer.outcome, set && i == 1 ? HTTP_LOST : HTTP_ANSWERED);
		CHECK_INT(s.answer.status, set && i == 1 ? 0 : 200);
		CHECK_STR(s.body, set && i == 1 ? "" : "ok");
	}
	http_close(h);
	far_stop(far);
}

TEST(an_answer_is_lost_at_its_failpoint)
{
	const char *argv[] = { "http", "child_loses_the_second_answer", NULL };
	const char *env[] = { "MPS_FAILPOINT=http.lost:2:once", NULL };
	int status = -1;
	pid_t pid;

	CHECK_INT(posix_spawn(&pid, "/proc/self/exe", NULL, NULL, (char *const *)argv, (char *const *)env), 0);
	CHECK_INT(waitpid(pid, &status, 0), pid);
	CHECK_INT(status, 0);
}
#endif
