/*
 * HTTP without sockets.  A request leaves, arrives, is answered, each at its own moment; the engine hears of it in
 * http_turn.  Nothing leaves from a process that is dead or stands still, and nothing after the request's timeout,
 * but what has left arrives whatever becomes of us.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/text.h"
#include "tests/sim/platform.h"

#define TRANSFERS 64

struct transfer {
	bool used, left, arrived, ended;	/* ended: the outcome is known at answer_at */
	bool orphan;				/* its engine is gone */
	char method[8], path[256], token[64], key[80];
	struct buf body, answer, headers;
	http_done_fn *done;
	void *arg;
	int64_t leave_at, arrive_at, answer_at, deadline, left_at;
	enum http_outcome outcome;
	long status;
};

struct http { int unused; };

static struct http wire;
static struct transfer transfers[TRANSFERS];

/* ---- http.h ---------------------------------------------------------------------------------------------- */

enum rc http_open(struct cx *cx, const struct http_config *config, struct http **ret)
{
	(void)cx;
	(void)config;
	*ret = &wire;
	return RC_OK;
}

void http_close(struct http *h) { (void)h; }
void http_wakeup(struct http *h) { (void)h; }

int http_running(const struct http *h)
{
	int n = 0;

	(void)h;
	for (int i = 0; i < TRANSFERS; i++)
		n += transfers[i].used && !transfers[i].orphan;
	return n;
}

static void read_line(const char *line, const char *name, char *out, size_t size)
{
	if (text_starts(line, name))
		snprintf(out, size, "%s", line + strlen(name));
}

static void read_request(struct transfer *t, const struct http_request *r)
{
	const char *path = strstr(r->url, "://");

	path = path ? strchr(path + 3, '/') : NULL;
	snprintf(t->method, sizeof t->method, "%s", r->method);
	snprintf(t->path, sizeof t->path, "%s", path ? path : "/");
	for (int i = 0; r->headers[i] != NULL; i++) {
		read_line(r->headers[i], "Authorization: Bearer ", t->token, sizeof t->token);
		read_line(r->headers[i], "Idempotency-Key: ", t->key, sizeof t->key);
	}
	buf_init(&t->body, 4096);
	buf_init(&t->answer, 4096);
	buf_init(&t->headers, 4096);
	for (size_t i = 0; i < r->part_count; i++)
		buf_add(&t->body, r->parts[i].bytes, r->parts[i].n);
}

/* From its leaving to its last effect a request has the settle time; half of it may pass on the way. */
static void plan_ways(struct transfer *t)
{
	t->leave_at = sim.now + (sim.calm || sim_chance(sim.plan.edge ? 50 : 80) ? sim_below(20) :
				 sim.plan.edge ? sim_below(sim.plan.timeout + SECOND) : sim_delay(sim.plan.timeout + SECOND));
	t->arrive_at = NEVER;
	t->answer_at = t->deadline;
	t->outcome = HTTP_LOST;
	if (!sim.calm && sim_chance(sim.plan.refused)) {
		t->leave_at = NEVER;
		t->answer_at = sim.now + sim_delay(sim.plan.timeout);
		t->outcome = HTTP_UNSENT;
	}
}

void http_send(struct http *h, const struct http_request *request, http_done_fn *done, void *arg)
{
	struct transfer *t = transfers;

	(void)h;
	if (!sim_effect())
		return;
	while (t < transfers + TRANSFERS && t->used)
		t++;
	if (t == transfers + TRANSFERS)
		abort();
	*t = (struct transfer){.used = true, .done = done, .arg = arg, .deadline = sim.now + request->total_ms};
	read_request(t, request);
	plan_ways(t);
	sim.sends++;
	if (text_eq(t->path, "/token"))
		platform_sent_refresh(platform_account_of(buf_text(&t->body)));
	sim_note("wire: %s %s%s%s handed over", t->method, t->path, t->body.len > 0 ? " " : "", buf_text(&t->body));
}

static void transfer_free(struct transfer *t)
{
	buf_free(&t->body);
	buf_free(&t->answer);
	buf_free(&t->headers);
	t->used = false;
}

static void deliver(struct transfer *t)
{
	struct transfer told = *t;
	struct http_answer answer = {
		.outcome = told.outcome, .status = told.outcome == HTTP_ANSWERED ? told.status : 0, .words = "simulated",
		.headers = &told.headers, .body = &told.answer, .took_ms = 1,
	};

	t->used = false;
	sim_note("wire: %s %s: %s %ld %s", told.method, told.path,
		 told.outcome == HTTP_ANSWERED ? "answered" : told.outcome == HTTP_UNSENT ? "unsent" : "lost", told.status,
		 told.outcome == HTTP_ANSWERED ? buf_text(&told.answer) : "");
	if (told.outcome != HTTP_ANSWERED) {
		answer.headers = answer.body = NULL;
		answer.curl_code = 28;
	}
	told.done(told.arg, &answer);
	buf_free(&told.body);
	buf_free(&told.answer);
	buf_free(&told.headers);
}

/* After standing still, curl looks at its timeouts before it looks at the socket, or has read it just before. */
static void look_at_timeout(struct transfer *t)
{
	if (sim.now <= t->deadline || (t->arrived && t->answer_at <= t->deadline && sim_chance(50)))
		return;
	t->outcome = t->left ? HTTP_LOST : HTTP_UNSENT;
	t->answer_at = t->deadline;
}

void http_turn(struct http *h, struct http_wait *waits, unsigned count, int ms)
{
	(void)h;
	(void)waits;
	(void)count;
	(void)ms;
	for (int i = 0; i < TRANSFERS && !sim.failed; i++) {
		struct transfer *t = &transfers[i];

		if (!t->used || t->orphan)
			continue;
		look_at_timeout(t);
		if (t->answer_at <= sim.now) {
			if (!sim_effect())
				return;
			deliver(t);
		}
	}
}

/* ---- on the way ------------------------------------------------------------------------------------------- */

static void leave(struct transfer *t)
{
	int64_t half = sim.plan.settle / 2;

	t->left = true;
	t->left_at = sim.now;
	t->arrive_at = sim.now + (sim_chance(80) ? sim_below(20) : sim_delay(half < 5 * SECOND ? half : 5 * SECOND));
}

static void add_date(struct buf *headers)
{
	static const char *const weekdays[] = {"Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"};
	static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	int64_t at = sim.now + sim.plan.skew, days = at / DAY;
	struct clock_date d = clock_date(days);

	buf_addf(headers, "date: %s, %02d %s %04d %02d:%02d:%02d GMT\n", weekdays[days % 7], d.day, months[d.month - 1], (int)d.year,
		 (int)(at / HOUR % 24), (int)(at / MINUTE % 60), (int)(at / SECOND % 60));
}

static void arrive(struct transfer *t)
{
	struct request_in in = {t->method, t->path, t->token, t->key, buf_text(&t->body), t->left_at};
	struct answer_out out = {.lost = false};

	buf_init(&out.body, 4096);
	t->arrived = true;
	platform_request(&in, &out);
	t->status = out.status;
	t->outcome = out.lost ? HTTP_LOST : HTTP_ANSWERED;
	t->answer_at = out.lost && sim_chance(50) ? t->deadline : sim.now + sim_delay(sim.calm ? SECOND : 20 * SECOND);
	if (t->answer_at > t->deadline) {
		t->outcome = HTTP_LOST;
		t->answer_at = t->deadline;
	}
	add_date(&t->headers);
	if (out.retry_after > 0)
		buf_addf(&t->headers, "retry-after: %lld\n", (long long)out.retry_after);
	buf_add(&t->answer, out.body.data, out.body.len);
	buf_free(&out.body);
	if (t->orphan)
		transfer_free(t);
}

static int64_t next_of(const struct transfer *t)
{
	int64_t heard = t->orphan ? NEVER : t->answer_at;

	if (t->left && !t->arrived)
		return t->arrive_at;
	if (sim.stopped_until > sim.now)
		return NEVER;
	if (!t->left && !t->orphan && t->leave_at < heard && t->leave_at <= t->deadline)
		return t->leave_at;
	return heard;
}

void wire_turn(void)
{
	for (int i = 0; i < TRANSFERS && !sim.failed; i++) {
		struct transfer *t = &transfers[i];

		if (t->used && !t->left && !t->orphan && t->leave_at <= sim.now && sim.now <= t->deadline && sim.stopped_until <= sim.now)
			leave(t);
		if (t->used && t->left && !t->arrived && t->arrive_at <= sim.now)
			arrive(t);
	}
}

int64_t wire_next(void)
{
	int64_t next = NEVER;

	for (int i = 0; i < TRANSFERS; i++)
		if (transfers[i].used && next_of(&transfers[i]) < next)
			next = next_of(&transfers[i]);
	return next;
}

bool wire_waits(void) { return http_running(&wire) > 0; }

void wire_forget(void)
{
	for (int i = 0; i < ACCOUNTS; i++)
		platform_sent_refresh(i);	/* one may have been meant to be sent: nobody can tell */
	for (int i = 0; i < TRANSFERS; i++) {
		struct transfer *t = &transfers[i];

		if (t->used && (!t->left || t->arrived))
			transfer_free(t);
		t->orphan = true;
	}
}

void wire_end(void)
{
	for (int i = 0; i < TRANSFERS; i++)
		if (transfers[i].used)
			transfer_free(&transfers[i]);
}
