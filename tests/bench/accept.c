/*
 * Accepting posts, and reading them back: POST /v1/posts with three targets, a page of GET /v1/posts, and
 * GET /v1/posts/{id}.
 *
 * The one thing to know: the posts are scheduled for tomorrow, so that accepting is measured and not, at the same
 * time, delivering.  Every request has an Idempotency-Key and a text of its own.
 */
#include "tests/bench/bench.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CONNECTIONS 64
#define USERS 100
#define TARGETS 3
#define WARM(run_s) ((run_s) < 1 ? 0.1 : 0.5)
#define IDS 1000

struct asking { const struct people *p; int64_t run; char tomorrow[32]; char (*ids)[ID_MAX]; };

static void ask_post(void *arg, uint64_t n, struct buf *out)
{
	const struct asking *a = arg;
	const struct person *p = &a->p->at[n % USERS * TARGETS];
	char body[1024];
	int len = snprintf(body, sizeof body,
		"{\"text\":\"The weekly letter %lld is out, number %llu: what we learned, what we built and what comes next.\","
		"\"scheduledAt\":\"%s\",\"targets\":[{\"connectionId\":\"%s\"},{\"connectionId\":\"%s\"},{\"connectionId\":\"%s\"}]}",
		(long long)a->run, (unsigned long long)n, a->tomorrow, p[0].connection, p[1].connection, p[2].connection);

	buf_addf(out, "POST /v1/posts HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\n"
		 "Idempotency-Key: bench-%lld-%llu\r\nContent-Length: %d\r\n\r\n%s", a->p->org[0].key, (long long)a->run, (unsigned long long)n, len,
		 body);
}

static void ask_page(void *arg, uint64_t n, struct buf *out)
{
	const struct asking *a = arg;

	(void)n;
	buf_addf(out, "GET /v1/posts?limit=50 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n\r\n", a->p->org[0].key);
}

static void ask_one(void *arg, uint64_t n, struct buf *out)
{
	const struct asking *a = arg;

	buf_addf(out, "GET /v1/posts/%s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n\r\n", a->ids[n * 7919 % IDS],
		 a->p->org[0].key);
}

typedef void ask_fn(void *arg, uint64_t n, struct buf *out);

static void asking_new(struct asking *a)
{
	time_t at = time(NULL) + 24 * 3600;
	struct tm t;

	a->run++;
	gmtime_r(&at, &t);
	strftime(a->tomorrow, sizeof a->tomorrow, "%Y-%m-%dT%H:%M:%SZ", &t);
}

static struct load_seen measure(const struct place *p, struct asking *a, ask_fn *ask, double rate, double run_s)
{
	struct load l = {.port = p->port, .connections = CONNECTIONS, .rate = rate, .warm_s = WARM(run_s), .run_s = run_s, .ask = ask, .arg = a};
	struct load_seen seen;
	double cpu = place_cpu_s(p);

	asking_new(a);
	load_run(&l, &seen);
	seen.cpu_us = seen.asked > 0 ? (place_cpu_s(p) - cpu) * 1e6 / (double)seen.asked : 0;
	return seen;
}

struct load_seen accept_measure(const struct place *p, const struct people *people, double rate, double run_s)
{
	struct asking a = {.p = people, .run = wall_ms()};

	return measure(p, &a, ask_post, rate, run_s);
}

static double web_ceiling(struct asking *a, ask_fn *ask, size_t body, double run_s)
{
	struct load l = {.connections = CONNECTIONS, .warm_s = WARM(run_s), .run_s = run_s, .ask = ask, .arg = a};

	return ceiling_web_per_s(&l, body);
}

static void accept_rows(const struct load_seen *closed, const struct load_seen *open, double rows, double web)
{
	report_row(&(struct row){"accept_posts_per_s", "posts accepted a second (3 targets, 64 connections)", "/s", closed->per_s, rows,
		"the same rows, no product", "3000, 70 %"});
	report_row(&(struct row){"accept_p50_busy_ms", "  time of each at that load, p50", "ms", closed->p50_ms, 0, NULL, NULL});
	report_row(&(struct row){"accept_p99_busy_ms", "  time of each at that load, p99", "ms", closed->p99_ms, 0, NULL, NULL});
	report_row(&(struct row){"accept_cpu_us", "  the server's CPU time for each", "us", closed->cpu_us, 0, NULL, NULL});
	report_row(&(struct row){"accept_ceiling_per_s", "  ceiling: the same rows through the same writer", "/s", rows, 0, NULL, NULL});
	report_row(&(struct row){"web_ceiling_per_s", "  ceiling: CivetWeb, constant answer, same requests", "/s", web, 0, NULL, NULL});
	report_row(&(struct row){"accept_p50_ms", "time to accept at 1,000/s on a schedule, p50", "ms", open->p50_ms, 0, NULL, NULL});
	report_row(&(struct row){"accept_p99_ms", "time to accept at 1,000/s on a schedule, p99", "ms", open->p99_ms, 0, NULL, "< 35"});
	report_row(&(struct row){"accept_max_ms", "time to accept at 1,000/s on a schedule, longest", "ms", open->max_ms, 0, NULL, NULL});
}

void bench_accept(const struct bench *b)
{
	struct asking a = {.run = wall_ms()};
	double run_s = pick(b, 20, 3, 0.3), ceiling_s = pick(b, 10, 2, 0.3);
	struct load_seen closed, open;
	struct people people;
	struct store *s;
	struct place p;
	double rows;

	place_make(b, &p, "accept", 0);
	s = store_open(&p);
	store_people(s, &people, USERS * TARGETS, TARGETS, 1);
	store_close(s);
	a.p = &people;
	place_serve(b, &p);
	open = measure(&p, &a, ask_post, 1000, run_s);
	closed = measure(&p, &a, ask_post, 0, run_s);
	place_stop(&p, SIGKILL);
	s = store_open(&p);
	rows = store_rows_per_s(s, CONNECTIONS, ceiling_s);
	store_close(s);
	accept_rows(&closed, &open, rows, web_ceiling(&a, ask_post, closed.body, ceiling_s));
	free(people.at);
}

/* ---- many posts ------------------------------------------------------------------------------------------ */

static void list_rows(int64_t count, const struct load_seen *page, double page_most, const struct load_seen *one, double one_most)
{
	static char words[2][80];

	snprintf(words[0], sizeof words[0], "pages of 50 posts a second, of %lld posts", (long long)count);
	snprintf(words[1], sizeof words[1], "single posts read a second, of %lld posts", (long long)count);
	report_row(&(struct row){"list_per_s", words[0], "/s", page->per_s, page_most, "CivetWeb, same size", "70 %"});
	report_row(&(struct row){"list_p99_ms", "  time of each, p99", "ms", page->p99_ms, 0, NULL, NULL});
	report_row(&(struct row){"list_cpu_us", "  the server's CPU time for each", "us", page->cpu_us, 0, NULL, NULL});
	report_row(&(struct row){"get_per_s", words[1], "/s", one->per_s, one_most, "CivetWeb, same size", "70 %"});
	report_row(&(struct row){"get_p99_ms", "  time of each, p99", "ms", one->p99_ms, 0, NULL, NULL});
	report_row(&(struct row){"get_cpu_us", "  the server's CPU time for each", "us", one->cpu_us, 0, NULL, NULL});
}

void bench_list(const struct bench *b)
{
	int64_t count = (int64_t)pick(b, 1000000, 50000, 2000);
	double run_s = pick(b, 10, 2, 0.3);
	struct posts posts = {.count = count, .due_at = wall_ms() - 1000 * count, .step_ms = 1000, .state = "published", .id_count = IDS};
	struct asking a = {.run = wall_ms()};
	struct load_seen page, one, accept;
	struct people people;
	struct store *s;
	struct place p;

	posts.ids = a.ids = calloc(IDS, ID_MAX);
	place_make(b, &p, "list", 0);
	s = store_open(&p);
	store_people(s, &people, USERS * TARGETS, TARGETS, 1);
	store_posts(s, &people, &posts);
	store_close(s);
	a.p = &people;
	place_serve(b, &p);
	page = measure(&p, &a, ask_page, 0, run_s);
	one = measure(&p, &a, ask_one, 0, run_s);
	accept = measure(&p, &a, ask_post, 0, run_s);
	place_stop(&p, SIGKILL);
	list_rows(count, &page, web_ceiling(&a, ask_page, page.body, run_s), &one, web_ceiling(&a, ask_one, one.body, run_s));
	report_row(&(struct row){"accept_many_per_s", "posts accepted a second in that store", "/s", accept.per_s, 0, NULL, NULL});
	free(people.at);
	free(a.ids);
}
