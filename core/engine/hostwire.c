/*
 * The queue of a host, its socket, and what happens when its process ends.
 *
 * Steps are pure, so a step may be run again at will: when a process dies, all that it had not answered goes back
 * to the front of the queue, and the head, which alone can be the culprit, is tried by itself.  An operation that
 * crashes its host three times is parked; crashes by three different operations (or of an idle host) within a
 * minute pause the provider, so one poisoned post does not stop the others.
 */
#include "core/engine/hostwire.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/log.h"

/* --- queues -------------------------------------------------------------------------------------------------- */

void jobs_push(struct jobs *q, struct job *j)
{
	j->next = NULL;
	*(q->last ? &q->last->next : &q->first) = j;
	q->last = j;
	q->count++;
}

struct job *jobs_pop(struct jobs *q)
{
	struct job *j = q->first;

	if (!j)
		return NULL;
	q->first = j->next;
	if (!q->first)
		q->last = NULL;
	q->count--;
	j->next = NULL;
	return j;
}

/* All of back go to the front of q, in their order. */
static void jobs_return(struct jobs *q, struct jobs *back)
{
	if (!back->first)
		return;
	back->last->next = q->first;
	q->first = back->first;
	if (!q->last)
		q->last = back->last;
	q->count += back->count;
	*back = (struct jobs){ 0 };
}

void job_drop(struct job *j)
{
	buf_free(&j->frame);
	free(j);
}

static void job_end(struct job *j, enum host_outcome outcome, const char *action, size_t len, const char *words)
{
	j->done(j->arg, outcome, action, len, words);
	job_drop(j);
}

/* "publish/created" */
static void job_name(const struct job *j, char *out, size_t size)
{
	const char *data = j->frame.data + FRAME_HEAD;
	size_t len = j->frame.len - FRAME_HEAD;
	struct rec kind = { 0 }, phase = { 0 };

	(void)rec_find(data, len, REC_KIND, NULL, &kind);
	(void)rec_find(data, len, REC_PHASE, NULL, &phase);
	(void)snprintf(out, size, "%.*s/%.*s", (int)(kind.value_len & 0x3f), kind.value ? kind.value : "",
		(int)(phase.value_len & 0x7f), phase.value ? phase.value : "");
}

/* --- socket -------------------------------------------------------------------------------------------------- */

bool proc_read(struct proc *p)
{
	for (;;) {
		char *room = buf_room(&p->in, 64 * 1024);
		ssize_t n = room ? recv(p->sock, room, 64 * 1024, MSG_DONTWAIT) : -1;

		if (!room)
			return false;		/* more than two frames that nobody asked for */
		if (n > 0)
			buf_grew(&p->in, (size_t)n);
		else if (n == 0 || (errno != EAGAIN && errno != EINTR))
			return false;
		else if (errno == EAGAIN)
			return true;
		if (p->in.len > FRAME_OUT_MAX)
			return true;
	}
}

static void blame(struct proc *p, const char *cause)
{
	if (!p->cause[0])
		(void)snprintf(p->cause, sizeof p->cause, "%s", cause);
	proc_kill(p);
}

bool proc_frame(struct proc *p, struct frame_head *ret, const char **ret_records)
{
	int found = p->cause[0] || !buf_ok(&p->in) ? 0 : frame_peek(buf_text(&p->in), p->in.len, FRAME_OUT_MAX, ret);

	if (found < 0)
		blame(p, "it wrote bytes to its socket that are no frame");
	if (found > 0)
		*ret_records = p->in.data + FRAME_HEAD;
	return found > 0;
}

void proc_frame_done(struct proc *p, const struct frame_head *head)
{
	buf_drop(&p->in, FRAME_HEAD + head->length);
}

static void proc_write(struct proc *p)
{
	while (p->out.len > 0) {
		ssize_t n = send(p->sock, p->out.data, p->out.len, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n > 0)
			buf_drop(&p->out, (size_t)n);
		else if (n < 0 && errno == EINTR)
			continue;
		else
			return;		/* full: later; broken: its end is noticed by reading */
	}
}

void host_pump(struct hosts *hs, struct host *h, int64_t now)
{
	struct proc *p = h->proc;
	int most = h->alone ? 1 : HOST_OUTSTANDING;
	struct cx cx;

	cx_init(&cx, "hosts");
	if (!h->info.loaded || h->info.paused)
		return;
	if (!p && h->waiting.first && proc_spawn(&cx, hs->program, h->file, h->info.id, &h->proc) != RC_OK) {
		host_fault(h, cx.words);
		host_pause(h, now, cx.words);
		hs->news |= HOSTS_CHANGED;
	}
	if (!p || !p->described || p->cause[0])
		return;
	while (h->waiting.first && p->sent.count < most) {
		bool big = h->waiting.first->frame.len > HOST_BIG;

		if (big && p->big == HOST_BIG_OUTSTANDING)
			break;
		if (!p->sent.first)
			p->head_since = now;
		p->big += big;
		buf_add(&p->out, h->waiting.first->frame.data, h->waiting.first->frame.len);
		jobs_push(&p->sent, jobs_pop(&h->waiting));
	}
	proc_write(p);
}

/* --- the end of a process ------------------------------------------------------------------------------------ */

void host_pause(struct host *h, int64_t now, const char *words)
{
	char text[600];

	(void)snprintf(text, sizeof text, "%s; paused for %d s, `mypostshare reload %s` ends the pause", words, HOST_PAUSE_MS / 1000, h->info.id);
	h->info.paused = true;
	h->info.paused_until = clock_now() + HOST_PAUSE_MS;
	h->paused_until = now + HOST_PAUSE_MS;
	host_say(h, text);
	log_error("hosts", "provider %s: %s", h->info.id, text);
}

void host_clear(struct host *h, enum host_outcome outcome, const char *words)
{
	struct jobs all = h->waiting;

	h->waiting = (struct jobs){ 0 };	/* first: done may queue new steps */
	for (struct job *j; (j = jobs_pop(&all));)
		job_end(j, outcome, NULL, 0, words);
}

/* Counts a crash; true if three different culprits fell within the window. */
static bool crash_count(struct host *h, uint64_t operation, int64_t now)
{
	if (!(operation && h->crash_by[0] == operation && h->crash_at[0])) {
		memmove(h->crash_at + 1, h->crash_at, sizeof h->crash_at - sizeof *h->crash_at);
		memmove(h->crash_by + 1, h->crash_by, sizeof h->crash_by - sizeof *h->crash_by);
	}
	h->crash_at[0] = now;
	h->crash_by[0] = operation;
	h->info.crashes++;
	return h->crash_at[HOST_CRASHES - 1] && now - h->crash_at[HOST_CRASHES - 1] < HOST_CRASH_WINDOW_MS;
}

/* A process of the host has ended, for whatever reason; p is not usable any more. */
static void host_crashed(struct hosts *hs, struct host *h, struct proc *p, const char *how, int64_t now)
{
	struct job *head = p->sent.first;
	char where[200] = "idle", words[600];
	bool pause = crash_count(h, head ? head->operation : 0, now);

	if (head)
		job_name(head, where, sizeof where);
	(void)snprintf(words, sizeof words, "its host crashed in %s: %s", where, how);
	log_error("hosts", "provider %s: %s (crash %d); all it wrote: %s", h->info.id, words, h->info.crashes, buf_text(&p->words));
	host_fault(h, words);
	hs->news |= HOSTS_CHANGED;
	h->proc = NULL;
	jobs_return(&h->waiting, &p->sent);
	proc_drop(p);
	h->alone = head != NULL;
	if (head && ++head->crashes >= HOST_CRASHES) {
		head = jobs_pop(&h->waiting);
		h->alone = false;
		job_end(head, HOST_PARKED, NULL, 0, words);
	}
	if (pause)
		host_pause(h, now, words);
}

/* Waits a moment for the exit status that follows the end of its socket, so that the words are true. */
void proc_finish(struct proc *p)
{
	struct pollfd wait = { p->pidfd, POLLIN, 0 };

	if (poll(&wait, 1, p->cause[0] ? 1000 : 200) == 0) {
		blame(p, "it closed its socket and stayed");
		(void)poll(&wait, 1, 1000);
	}
}

/* --- turns --------------------------------------------------------------------------------------------------- */

static void answered(struct host *h, struct proc *p, const struct frame_head *head, const char *records, int64_t now)
{
	struct job *j = p->sent.first;
	const char *wrong = !j || j->operation != head->operation ? "an answer that nobody asked for" : action_check(records, head->length);
	char cause[160];

	if (wrong) {
		(void)snprintf(cause, sizeof cause, "it answered with %s", wrong);
		blame(p, cause);
		return;
	}
	(void)jobs_pop(&p->sent);
	p->big -= j->frame.len > HOST_BIG;
	p->head_since = now;
	h->alone = false;
	job_end(j, HOST_ACTION, records, head->length, "");
}

static void frame_read(struct host *h, struct proc *p, const struct frame_head *head, const char *records, int64_t now)
{
	struct rec r;
	char cause[160];

	switch (head->type) {
	case FRAME_HELLO: p->greeted = true; break;
	case FRAME_DESCRIBE:
		if (p->described)
			blame(p, "it described itself twice");
		p->described = p->greeted;
		break;
	case FRAME_ACTION: answered(h, p, head, records, now); break;
	default:
		if (!rec_find(records, head->length, REC_FAULT, NULL, &r))
			r.value_len = 0, r.value = "";
		(void)snprintf(cause, sizeof cause, "it refused: %.*s", (int)(r.value_len < 120 ? r.value_len : 120), r.value);
		blame(p, cause);
	}
}

static void check_clock(struct proc *p, int64_t now)
{
	if (p->sent.first && now - p->head_since >= HOST_STEP_MS)
		blame(p, "a step took longer than 2 s");
	else if (!p->described && now - p->born >= HOST_LOAD_MS)
		blame(p, "it did not describe itself within 5 s");
}

static void proc_turn(struct hosts *hs, struct host *h, struct proc *p, int64_t now)
{
	struct frame_head head;
	const char *records;
	char how[400] = "";
	bool alive = proc_read(p);

	proc_listen(p);
	while (proc_frame(p, &head, &records)) {
		frame_read(h, p, &head, records, now);
		proc_frame_done(p, &head);
	}
	check_clock(p, now);
	if (!alive || p->cause[0])
		proc_finish(p);
	if (proc_reap(p, how, sizeof how))
		host_crashed(hs, h, p, how, now);
}

/* The process that a reload replaced.  What it has not answered in time, or when it ends, is asked of the new one:
 * no fault of an operation or of the new provider. */
static void leaving_turn(struct host *h, int64_t now)
{
	struct proc *p = h->leaving;
	struct frame_head head;
	const char *records;
	bool alive;

	proc_write(p);
	alive = proc_read(p);
	while (!p->cause[0] && proc_frame(p, &head, &records)) {
		frame_read(h, p, &head, records, now);
		proc_frame_done(p, &head);
	}
	if (p->sent.first && alive && !p->cause[0] && now < p->leave_by)
		return;
	jobs_return(&h->waiting, &p->sent);
	proc_drop(p);
	h->leaving = NULL;
}

void host_turn(struct hosts *hs, struct host *h, int64_t now)
{
	if (h->leaving)
		leaving_turn(h, now);
	if (h->proc)
		proc_turn(hs, h, h->proc, now);
	if (h->start)
		start_turn(hs, h, now);
	if (h->info.paused && now >= h->paused_until) {
		h->info.paused = false;
		h->info.paused_until = 0;
		memset(h->crash_at, 0, sizeof h->crash_at);
		host_say(h, "");
		hs->news |= HOSTS_CHANGED | HOSTS_RESUMED;
	}
	if (h->info.paused || (!h->info.loaded && !h->start))
		host_clear(h, HOST_PAUSED, h->info.words);
	host_pump(hs, h, now);
}

int64_t host_deadline(const struct host *h)
{
	int64_t first = -1;
	const struct proc *both[] = { h->proc, h->leaving };

	if (h->waiting.first && (h->info.paused || (!h->info.loaded && !h->start)))
		return 0;
	if (h->start)
		first = h->start->by;
	if (h->info.paused && (first < 0 || h->paused_until < first))
		first = h->paused_until;	/* what waits for its end is not here, but in the store */
	for (int i = 0; i < 2; i++) {
		const struct proc *p = both[i];
		int64_t at = !p ? -1 : p->sent.first ? p->head_since + HOST_STEP_MS : !p->described ? p->born + HOST_LOAD_MS : -1;

		if (p && p->leave_by && (at < 0 || p->leave_by < at))
			at = p->leave_by;
		if (at >= 0 && (first < 0 || at < first))
			first = at;
	}
	return first;
}
