/*
 * Ceilings: the same libraries doing nothing of the product's.  CivetWeb with a constant answer, as its own
 * process with as many threads as the product; curl_multi alone on one thread, each request on a fresh connection.
 */
#include "tests/bench/bench.h"

#include <curl/curl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/io/web.h"

/* ---- CivetWeb ------------------------------------------------------------------------------------------- */

struct constant { char *body; size_t n; };

static void answer(void *arg, const struct web_request *r, struct web_answer *a)
{
	const struct constant *k = arg;
	const char *body;
	size_t n;
	struct cx cx;

	cx_init(&cx, "ceiling");
	a->status = web_body(&cx, r, 1 << 20, &body, &n) == RC_OK ? 200 : 400;
	buf_add(a->body, k->body, k->n);
}

static void refuse(void *arg, int status, const char *words, struct web_answer *a)
{
	(void)arg, (void)words;
	a->status = status;
}

static void serve(int to, size_t n)
{
	struct constant k = {malloc(n), n};
	struct web_config config = {.listen = "127.0.0.1:0", .handle = answer, .refuse = refuse, .arg = &k};
	struct web *w;
	struct cx cx;
	int port;

	memset(k.body, 'x', n);
	cx_init(&cx, "ceiling");
	if (web_open(&cx, &config, &w) != RC_OK)
		die("%s", cx.words);
	port = web_port(w);
	if (write(to, &port, sizeof port) != sizeof port)
		die("the bench is gone");
	for (;;)
		pause();
}

double ceiling_web_per_s(const struct load *like, size_t body)
{
	struct load l = *like;
	struct load_seen seen;
	int ends[2];
	pid_t pid;

	if (pipe(ends) != 0)
		die("no pipe");
	pid = child_start();
	if (pid == 0)
		serve(ends[1], body > 0 ? body : 1);
	if (read(ends[0], &l.port, sizeof l.port) != sizeof l.port)
		die("CivetWeb did not start");
	load_run(&l, &seen);
	child_end(pid, SIGKILL);
	close(ends[0]);
	close(ends[1]);
	return seen.per_s;
}

/* ---- curl_multi ------------------------------------------------------------------------------------------- */

struct sending { CURLM *multi; struct curl_slist *plain; char url[64]; int next, all; };

static size_t swallow(char *data, size_t size, size_t n, void *arg)
{
	(void)data, (void)arg;
	return size * n;
}

static void send_next(struct sending *s)
{
	CURL *c = curl_easy_init();
	struct curl_slist *lines = NULL;
	char key[96], body[256];

	snprintf(key, sizeof key, "Idempotency-Key: %064d", s->next++);
	snprintf(body, sizeof body, "{\"text\":\"The weekly letter is out, number %d: what we learned, what we built and what comes next.\","
		 "\"marker\":\"0123456789abcdef0123456789abcdef\"}", s->next);
	lines = curl_slist_append(lines, "Content-Type: application/json");
	lines = curl_slist_append(lines, "Authorization: Bearer sbx_access_0123456789012345678901234567890123456789");
	lines = curl_slist_append(lines, key);
	curl_easy_setopt(c, CURLOPT_URL, s->url);
	curl_easy_setopt(c, CURLOPT_HTTPHEADER, lines);
	curl_easy_setopt(c, CURLOPT_PRIVATE, lines);
	curl_easy_setopt(c, CURLOPT_COPYPOSTFIELDS, body);
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, swallow);
	curl_easy_setopt(c, CURLOPT_FRESH_CONNECT, 1L);
	curl_easy_setopt(c, CURLOPT_FORBID_REUSE, 1L);
	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	curl_multi_add_handle(s->multi, c);
}

static void finish(struct sending *s, CURLMsg *m)
{
	CURL *c = m->easy_handle;
	struct curl_slist *lines = NULL;
	long status = 0;

	curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(c, CURLINFO_PRIVATE, (char **)&lines);
	if (m->data.result != CURLE_OK || status != 200)
		die("curl alone: %s, status %ld", curl_easy_strerror(m->data.result), status);
	curl_multi_remove_handle(s->multi, c);
	curl_easy_cleanup(c);
	curl_slist_free_all(lines);
	if (s->next < s->all)
		send_next(s);
}

static double send_all(const struct stub *stub, int requests, int in_flight)
{
	struct sending s = {.multi = curl_multi_init(), .all = requests};
	int64_t began = now_us();
	int running = 1, left;

	snprintf(s.url, sizeof s.url, "http://127.0.0.1:%d/v1/posts", stub->port);
	while (s.next < requests && s.next < in_flight)
		send_next(&s);
	while (running > 0) {
		curl_multi_perform(s.multi, &running);
		for (CURLMsg *m; (m = curl_multi_info_read(s.multi, &left)) != NULL;)
			if (m->msg == CURLMSG_DONE) {
				finish(&s, m);
				running = 1;
			}
		if (running > 0)
			curl_multi_poll(s.multi, NULL, 0, 100, NULL);
	}
	curl_multi_cleanup(s.multi);
	return (double)requests * 1e6 / (double)(now_us() - began);
}

/* In a child, so that the bench's own size and threads do not matter. */
double ceiling_curl_per_s(const struct stub *stub, int requests, int in_flight)
{
	double per_s = 0;
	int ends[2];
	pid_t pid;

	if (pipe(ends) != 0)
		die("no pipe");
	pid = child_start();
	if (pid == 0) {
		per_s = send_all(stub, requests, in_flight);
		_exit(write(ends[1], &per_s, sizeof per_s) != sizeof per_s);
	}
	close(ends[1]);
	if (read(ends[0], &per_s, sizeof per_s) != sizeof per_s)
		die("curl alone failed");
	child_end(pid, SIGKILL);
	close(ends[0]);
	return per_s;
}
