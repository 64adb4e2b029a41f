/*
 * Steps through one provider host: the two steps of a plain publish in turns (from the start to a request, from
 * its answer to the result), as many under way as the engine allows, on one thread as the engine does it.
 */
#include "tests/bench/bench.h"

#include <poll.h>
#include <stdio.h>

#include "core/base/clock.h"
#include "core/base/frame.h"
#include "core/engine/hostproc.h"

#define UNDER_WAY 64

struct stepping { struct hosts *hs; struct buf frames[2]; uint64_t asked, answered; bool last; };

static void frame_make(struct buf *f, const char *phase, const char *event, bool answer)
{
	size_t begin;

	buf_init(f, FRAME_IN_MAX);
	begin = frame_begin(f, FRAME_STEP, 0);
	rec_text(f, REC_KIND, "", "publish");
	rec_text(f, REC_PHASE, "", phase);
	rec_text(f, REC_EVENT, "", event);
	rec_int(f, REC_NOW, "", clock_now());
	rec_text(f, REC_SEED, "", "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef");
	rec_text(f, REC_INPUT, "account.id", "acc_1");
	rec_text(f, REC_INPUT, "account.username", "robin");
	rec_text(f, REC_INPUT, "account.type", "keyed");
	rec_text(f, REC_INPUT, "text", "The weekly letter is out, number 1: what we learned, what we built and what comes next.");
	rec_text(f, REC_INPUT, "media.count", "0");
	rec_text(f, REC_INPUT, "delivery.id", "dlv_01j00000000000000000000000");
	if (answer) {
		static const char body[] = "{\"id\":\"post_1\",\"url\":\"http://stub.invalid/p/1\"}";

		rec_int(f, REC_STATUS, "", 200);
		rec_text(f, REC_HEADER, "content-type", "application/json");
		rec_add(f, REC_BODY, "", body, sizeof body - 1);
	}
	frame_end(f, begin);
}

static void done(void *arg, enum host_outcome outcome, const char *action, size_t len, const char *words)
{
	struct stepping *s = arg;
	struct rec verb;

	if (outcome != HOST_ACTION || !rec_find(action, len, REC_VERB, NULL, &verb) || !(rec_is(&verb, "send") || rec_is(&verb, "done")))
		die("a step failed: %s", words);
	s->answered++;
}

static void turn(struct stepping *s)
{
	struct http_wait waits[16];
	struct pollfd fds[16];
	unsigned n;

	for (; !s->last && s->asked - s->answered < UNDER_WAY; s->asked++) {
		struct buf *f = &s->frames[s->asked % 2];
		uint64_t number = s->asked + 1;

		for (int i = 0; i < 8; i++)	/* the operation in the frame's head, little endian */
			f->data[8 + i] = (char)(number >> 8 * i & 0xff);
		hosts_step(s->hs, "sandbox", number, f, done, s);
	}
	n = hosts_waits(s->hs, waits, 16);
	for (unsigned i = 0; i < n; i++)
		fds[i] = (struct pollfd){waits[i].fd, waits[i].events, 0};
	(void)poll(fds, n, 1000);
	hosts_turn(s->hs);
}

void bench_step(const struct bench *b)
{
	char program[1200], file[1200];
	struct stepping s = {.asked = 0};
	struct cx cx;
	int64_t began;
	double took;
	uint64_t from;

	cx_init(&cx, "bench");
	snprintf(program, sizeof program, "%s/libexec/mypostshare-host", b->build);
	snprintf(file, sizeof file, "%s/plugins/sandbox.so", b->build);
	if (hosts_open(&cx, program, &s.hs) != RC_OK || hosts_load(&cx, s.hs, &(struct host_spec){.id = "sandbox", .file = file}) != RC_OK)
		die("%s", cx.words);
	frame_make(&s.frames[0], "start", "start", false);
	frame_make(&s.frames[1], "posted", "answer", true);
	while (s.answered < 1000)
		turn(&s);
	from = s.answered;
	began = now_us();
	while (now_us() - began < (int64_t)pick(b, 5e6, 1.5e6, 1e5))
		turn(&s);
	took = (double)(now_us() - began) / 1e6;
	report_row(&(struct row){"steps_per_s", "steps a second through one provider host", "/s", (double)(s.answered - from) / took, 0, NULL,
		NULL});
	s.last = true;
	while (s.answered < s.asked)
		turn(&s);
	hosts_close(s.hs);
	buf_free(&s.frames[0]);
	buf_free(&s.frames[1]);
}
