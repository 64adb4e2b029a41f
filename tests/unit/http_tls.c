/*
 * Transfers over TLS, HTTP/1.1 and HTTP/2, against Node's servers (tests/lib/h2server.mjs): a request that must
 * not be repeated arrives once however the connection or the stream ends, and certificates are verified.
 *
 * Node is the program named by NODE, or tests/node_modules/.bin/node; without it these tests fail.  Run from the
 * root of the source tree.
 */
#include "core/io/http.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

#include "tests/unit/farside.h"

extern char **environ;

static struct {
	pid_t pid;
	int input, ports[2];		/* HTTP/2, HTTP/1.1 */
	char folder[40], key[60], certificate[60];
} node;

static const char *const protocol[2] = { "HTTP/2", "HTTP/1.1" };

static int run(const char *const argv[])
{
	posix_spawn_file_actions_t files;
	int status = -1;
	pid_t pid;

	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_addopen(&files, 2, "/dev/null", O_WRONLY, 0);
	if (posix_spawnp(&pid, argv[0], &files, NULL, (char *const *)argv, environ) == 0)
		waitpid(pid, &status, 0);
	posix_spawn_file_actions_destroy(&files);
	return status;
}

static void certificate_make(void)
{
	const char *argv[] = { "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
		"-days", "2", "-subj", "/CN=far side", "-addext", "subjectAltName=IP:127.0.0.1",
		"-keyout", node.key, "-out", node.certificate, NULL };

	snprintf(node.folder, sizeof(node.folder), "/tmp/mps-http-XXXXXX");
	CHECK(mkdtemp(node.folder) != NULL);
	snprintf(node.key, sizeof(node.key), "%s/key", node.folder);
	snprintf(node.certificate, sizeof(node.certificate), "%s/certificate", node.folder);
	CHECK_SAY(run(argv) == 0, "openssl makes no certificate");
}

static void node_stop(void)
{
	if (node.pid > 0) {
		close(node.input);
		for (int i = 0; i < 2000 && waitpid(node.pid, NULL, WNOHANG) == 0; i++) {
			if (i == 1900)
				kill(node.pid, SIGKILL);
			usleep(1000);
		}
	}
	unlink(node.key);
	unlink(node.certificate);
	rmdir(node.folder);
}

static void node_start(void)
{
	const char *program = getenv("NODE") != NULL ? getenv("NODE") : "tests/node_modules/.bin/node";
	const char *argv[] = { program, "tests/lib/h2server.mjs", node.key, node.certificate, NULL };
	posix_spawn_file_actions_t files;
	int in[2], out[2], error;
	char line[40] = "";

	if (node.ports[1] != 0)
		return;
	CHECK(pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0);
	if (node.folder[0] == '\0') {
		atexit(node_stop);
		certificate_make();
	}
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_adddup2(&files, in[0], 0);
	posix_spawn_file_actions_adddup2(&files, out[1], 1);
	error = posix_spawnp(&node.pid, program, &files, NULL, (char *const *)argv, environ);
	posix_spawn_file_actions_destroy(&files);
	close(in[0]);
	close(out[1]);
	node.input = in[1];
	CHECK_SAY(error == 0, "%s does not start: %s", program, strerror(error));
	for (size_t n = 0; strchr(line, '\n') == NULL && n + 1 < sizeof(line); n++)
		CHECK_SAY(read(out[0], line + n, 1) == 1, "%s says no ports", program);
	close(out[0]);
	CHECK_INT(sscanf(line, "%d %d", &node.ports[0], &node.ports[1]), 2);
}

static struct http *client(struct http_config config)
{
	node_start();
	if (config.ca_file == NULL)
		config.ca_file = node.certificate;
	return far_open(config, (int[]){ node.ports[0], node.ports[1], 0 });
}

static struct http_request get(const char *url)
{
	return (struct http_request){ .method = "GET", .url = url };
}

static const struct http_part hello = { .bytes = "hello", .n = 5 };

static struct http_request post(const char *url, bool body)
{
	return (struct http_request){ .method = "POST", .url = url, .parts = &hello, .part_count = body, .fresh = true };
}

/* Asked through a client of its own. */
static int ask(const char *path)
{
	struct http *h = client((struct http_config){ 0 });
	struct seen s = far_send(h, get(far_url("https", node.ports[1], path)));
	int n = s.answer.outcome == HTTP_ANSWERED ? (int)strtol(s.body, NULL, 10) : -1;

	http_close(h);
	return n;
}

TEST(both_protocols_are_spoken_and_reused)
{
	static const char *const versions[2] = { "2.0", "1.1" };

	for (int p = 0; p < 2; p++) {
		struct http *h = client((struct http_config){ 0 });
		int before = ask("/connections");

		for (int i = 0; i < 3; i++)
			CHECK_STR(far_send(h, get(far_url("https", node.ports[p], "/version"))).body, versions[p]);
		CHECK_INT(ask("/connections") - before, 2);	/* one for the three, one that asks */
		http_close(h);
	}
}

/* However the far side ends it after the post: it came once, and is lost. */
TEST(a_fresh_post_arrives_once)
{
	static const char *const ends[] = { "kill", "refuse", "goaway", "downgrade", "abort", "cut" };

	for (int p = 0; p < 2; p++)
		for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
			for (int body = 0; body < 2; body++) {
				struct http *h = client((struct http_config){ 0 });
				char path[40], count[40];
				struct seen s;
				int before;

				snprintf(path, sizeof(path), "/%s", ends[i]);
				snprintf(count, sizeof(count), "/posts/%s", ends[i]);
				before = ask(count);
				CHECK_INT(far_send(h, get(far_url("https", node.ports[p], "/ok"))).answer.status, 200);
				s = far_send(h, post(far_url("https", node.ports[p], path), body != 0));
				CHECK_SAY(s.answer.outcome == HTTP_LOST, "%s %s: outcome %d, %s", protocol[p], path,
					  (int)s.answer.outcome, s.words);
				CHECK_SAY(ask(count) - before == 1, "%s %s: %d posts", protocol[p], path, ask(count) - before);
				CHECK(s.answer.sent_bytes > 0);
				http_close(h);
			}
}

/* The next transfer must not share the connection of a request that may not be repeated: libcurl would take the
 * connection for a reused one and repeat both. */
TEST(nobody_joins_the_connection_of_a_fresh_post)
{
	struct http *h = client((struct http_config){ 0 });
	int posts = ask("/posts/hold"), connections = ask("/connections");
	struct http_request hold = post(far_url("https", node.ports[0], "/hold"), true);
	struct seen held = { 0 }, other = { 0 };
	int64_t deadline = clock_mono() + 20000;
	struct http_request ok = get(far_url("https", node.ports[0], "/ok"));

	http_send(h, &hold, seen_take, &held);
	while (ask("/posts/hold") == posts && clock_mono() < deadline) {
		connections++;				/* the one that asked */
		http_turn(h, NULL, 0, 20);
	}
	http_send(h, &ok, seen_take, &other);
	while (other.count == 0 && clock_mono() < deadline)
		http_turn(h, NULL, 0, 1000);
	CHECK_INT(other.answer.outcome, HTTP_ANSWERED);
	CHECK_INT(ask("/connections") - connections, 4);	/* hold, ok, two that asked */
	CHECK_INT(ask("/drop"), 0);
	far_turns(h);
	CHECK_INT(held.answer.outcome, HTTP_LOST);
	CHECK_INT(ask("/posts/hold") - posts, 1);
	free(held.body);
	free(other.body);
	http_close(h);
}

TEST(a_certificate_must_be_trusted_and_fit_the_host)
{
	struct http *trusting = client((struct http_config){ 0 });
	struct http *system = client((struct http_config){ .ca_file = "/dev/null" });
	char url[100];

	for (int p = 0; p < 2; p++) {
		int before = ask("/posts/ok");
		struct seen s = far_send(system, post(far_url("https", node.ports[p], "/ok"), true));

		CHECK_SAY(s.answer.outcome == HTTP_UNSENT, "%s: outcome %d, %s", protocol[p], (int)s.answer.outcome, s.words);
		snprintf(url, sizeof(url), "https://localhost:%d/ok", node.ports[p]);
		s = far_send(trusting, post(url, true));
		CHECK_SAY(s.answer.outcome == HTTP_UNSENT, "%s: outcome %d, %s", protocol[p], (int)s.answer.outcome, s.words);
		CHECK_INT(s.answer.curl_code, 60);
		CHECK_INT(s.answer.sent_bytes, 0);
		CHECK_INT(ask("/posts/ok"), before);
	}
	http_close(trusting);
	http_close(system);
}

TEST(plain_http_to_a_tls_port_and_back)
{
	struct http *h = client((struct http_config){ .total_ms = 2000 });

	for (int p = 0; p < 2; p++)
		CHECK(far_send(h, post(far_url("http", node.ports[p], "/ok"), true)).answer.outcome != HTTP_UNSENT);
	http_close(h);
}

TEST(file_ranges_go_out_over_both)
{
	enum { SIZE = 300000 };
	int fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	char *bytes = malloc(SIZE);
	struct http_part parts[] = {
		{ .bytes = "head", .n = 4 }, { .range = { fd, 10, SIZE - 20 }, .is_range = true }, { .bytes = "tail", .n = 4 },
	};
	struct http *h = client((struct http_config){ 0 });

	for (int i = 0; i < SIZE; i++)
		bytes[i] = (char)('a' + i % 23);
	CHECK_INT(write(fd, bytes, SIZE), SIZE);
	for (int p = 0; p < 2; p++) {
		struct http_request r = post(far_url("https", node.ports[p], "/echo"), true);
		struct seen s;

		r.parts = parts;
		r.part_count = 3;
		s = far_send(h, r);
		CHECK_INT(s.answer.outcome, HTTP_ANSWERED);
		CHECK_INT(s.body_length, SIZE - 20 + 8);
		CHECK(memcmp(s.body, "head", 4) == 0 && memcmp(s.body + 4, bytes + 10, SIZE - 20) == 0);
		CHECK(memcmp(s.body + SIZE - 16, "tail", 4) == 0);
		CHECK(s.answer.sent_bytes > SIZE - 12);
	}
	http_close(h);
	free(bytes);
	close(fd);
}
