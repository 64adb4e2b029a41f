/*
 * Scale: the same questions to a store of 10,000 posts and to one of 10,000,000 (QUICK: 200,000), each with one
 * delivery: claiming, delivering, first page, deep page, filtered pages, one post, accepting.
 *
 * The one thing to know: it takes ten gigabytes and a quarter of an hour, so it runs only when it is named.  Rows are
 * made by SQL, in the order of their ids; the index that is in no order (delivery_content) is made anew at the end.
 */
#include "tests/bench/bench.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "core/engine/op.h"

#define SMALL 10000
#define LARGE 10000000
#define LARGE_QUICK 200000
#define USERS 100
#define TARGETS 3
#define DUE 1500
#define DEEP 20			/* pages of 200 before the deep one */
#define BYTES_EACH 1400		/* of the store for one post, the WAL included */

static const struct { const char *key, *what; } measures[] = {
	{"claim_orgs_us", "claim: which organizations have due rows"},
	{"claim_due_us", "claim: the due rows of one"},
	{"deliver_cpu_us", "the core's CPU time for a delivery"},
	{"list_first_cpu_us", "first page of 50"},
	{"list_deep_cpu_us", "page of 50 behind 4,000 others"},
	{"list_status_cpu_us", "page of 50 by status"},
	{"list_user_cpu_us", "page of 50 by end user"},
	{"list_connection_cpu_us", "page of 50 by connection"},
	{"get_cpu_us", "one post"},
	{"accept_cpu_us", "accepting a post with 3 targets"},
	{"accept_p50_ms", "time to accept at 1,000/s, p50"},
	{"accept_p99_ms", "time to accept at 1,000/s, p99"},
};

enum { CLAIM_ORGS, CLAIM_DUE_ROWS, DELIVER, FIRST, DEEP_PAGE, STATUS, USER, CONNECTION, GET, ACCEPT, ACCEPT_P50, ACCEPT_P99, MEASURES };
_Static_assert(MEASURES == sizeof measures / sizeof measures[0], "each has its words");

/* ---- pages ---------------------------------------------------------------------------------------------- */

struct asking { const char *key; char path[3000]; };

static void ask(void *arg, uint64_t n, struct buf *out)
{
	const struct asking *a = arg;

	(void)n;
	buf_addf(out, "GET %s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n\r\n", a->path, a->key);
}

static double cpu_each(const struct place *p, struct asking *a, double run_s)
{
	struct load l = {.port = p->port, .connections = 8, .warm_s = run_s < 1 ? 0.1 : 0.5, .run_s = run_s, .ask = ask, .arg = a};
	struct load_seen seen;
	double cpu = place_cpu_s(p);

	load_run(&l, &seen);
	return seen.asked > 0 ? (place_cpu_s(p) - cpu) * 1e6 / (double)seen.asked : 0;
}

/* A member of the answer's text, whatever stands before it. */
static void member(const struct buf *body, const char *name, char *out, size_t size)
{
	char start[64];
	const char *at;

	snprintf(start, sizeof start, "\"%s\":\"", name);
	at = strstr(buf_text(body), start);
	if (at == NULL)
		die("an answer without %s: %.300s", name, buf_text(body));
	at += strlen(start);
	snprintf(out, size, "%.*s", (int)strcspn(at, "\""), at);
}

static void page_read(const struct place *p, struct asking *a, struct buf *body)
{
	BUF_AUTO struct buf head;

	buf_init(&head, 8192);
	ask(a, 0, &head);
	buf_reset(body);
	if (load_call(p->port, buf_text(&head), body) != 200)
		die("%s is refused: %.300s", a->path, buf_text(body));
}

/* The way of a client: from page to page. */
static void go_deep(const struct place *p, struct asking *a)
{
	BUF_AUTO struct buf body;
	char cursor[2100] = "";

	buf_init(&body, 8u << 20);
	for (int i = 0; i < DEEP; i++) {
		snprintf(a->path, sizeof a->path, "/v1/posts?limit=200%s%s", i > 0 ? "&cursor=" : "", cursor);
		page_read(p, a, &body);
		member(&body, "nextCursor", cursor, sizeof cursor);
	}
	snprintf(a->path, sizeof a->path, "/v1/posts?limit=50&cursor=%s", cursor);
}

static void pages(const struct place *p, const struct people *people, double run_s, double *out)
{
	struct asking a = {.key = people->org[0].key};
	BUF_AUTO struct buf body;
	char id[ID_MAX];

	buf_init(&body, 8u << 20);
	snprintf(a.path, sizeof a.path, "/v1/posts?limit=50");
	out[FIRST] = cpu_each(p, &a, run_s);
	page_read(p, &a, &body);
	member(&body, "id", id, sizeof id);
	go_deep(p, &a);
	out[DEEP_PAGE] = cpu_each(p, &a, run_s);
	snprintf(a.path, sizeof a.path, "/v1/posts?limit=50&status=scheduled");
	out[STATUS] = cpu_each(p, &a, run_s);
	snprintf(a.path, sizeof a.path, "/v1/posts?limit=50&endUserId=%s", people->at[0].user);
	out[USER] = cpu_each(p, &a, run_s);
	snprintf(a.path, sizeof a.path, "/v1/posts?limit=50&connectionId=%s", people->at[0].connection);
	out[CONNECTION] = cpu_each(p, &a, run_s);
	snprintf(a.path, sizeof a.path, "/v1/posts/%s", id);
	out[GET] = cpu_each(p, &a, run_s);
}

/* ---- one size ------------------------------------------------------------------------------------------- */

static void wait_delivered(const struct place *p, int64_t count)
{
	int64_t until = wall_ms() + 120000;

	while (place_metric(p, "mypostshare_engine_published_total") < count) {
		if (wall_ms() > until)
			die("not every due delivery was published");
		usleep(20000);
	}
}

static void size_run(const struct bench *b, int64_t count, const char *name, double *out)
{
	double run_s = pick(b, 4, 1, 0.3), cpu;
	struct posts due = {.count = (int64_t)pick(b, DUE, DUE, 100), .due_at = wall_ms(), .state = "queued"};
	struct load_seen open, closed;
	struct people people;
	struct stub stub;
	struct store *s;
	struct place p;
	int64_t began = now_us();

	stub_start(&stub, 20);
	place_make(b, &p, name, stub.port);
	s = store_open(&p);
	store_people(s, &people, USERS * TARGETS, TARGETS, 1);
	store_fill(s, &people, count);
	store_posts(s, &people, &due);
	progress("scale: %lld posts made in %.0f s", (long long)count, (double)(now_us() - began) / 1e6);
	store_claim_us(s, &people, &out[CLAIM_ORGS], &out[CLAIM_DUE_ROWS]);
	store_close(s);
	place_serve(b, &p);
	cpu = place_cpu_s(&p);
	wait_delivered(&p, due.count);
	out[DELIVER] = (place_cpu_s(&p) - cpu) * 1e6 / (double)due.count;
	pages(&p, &people, run_s, out);
	open = accept_measure(&p, &people, 1000, run_s);
	closed = accept_measure(&p, &people, 0, run_s);
	out[ACCEPT] = closed.cpu_us;
	out[ACCEPT_P50] = open.p50_ms;
	out[ACCEPT_P99] = open.p99_ms;
	place_stop(&p, SIGKILL);
	place_remove(&p);
	stub_stop(&stub);
	free(people.at);
}

static void room_check(const struct bench *b, int64_t count)
{
	struct statvfs v;

	if (statvfs(b->build, &v) != 0 || (double)v.f_bavail * (double)v.f_frsize < (double)count * BYTES_EACH * 1.5)
		die("scale: not enough room on the disk for %lld posts", (long long)count);
}

void bench_scale(const struct bench *b)
{
	static char words[MEASURES][100], keys[MEASURES][2][64];
	int64_t large = (int64_t)pick(b, LARGE, LARGE_QUICK, SMALL);
	double small_value[MEASURES], large_value[MEASURES];

	room_check(b, large);
	size_run(b, SMALL, "small", small_value);
	size_run(b, large, "large", large_value);
	for (int i = 0; i < MEASURES; i++) {
		snprintf(words[i], sizeof words[i], "%lld to %d: %s", (long long)large, SMALL, measures[i].what);
		snprintf(keys[i][0], sizeof keys[i][0], "scale_large_%s", measures[i].key);
		snprintf(keys[i][1], sizeof keys[i][1], "scale_small_%s", measures[i].key);
		report_row(&(struct row){keys[i][0], words[i], i >= ACCEPT_P50 ? "ms" : "us", large_value[i], small_value[i], "the small store",
			"130 %"});
		report_row(&(struct row){keys[i][1], "  the small store", i >= ACCEPT_P50 ? "ms" : "us", small_value[i], 0, NULL, NULL});
	}
}
