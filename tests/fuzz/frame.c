/*
 * What a host whose heap was overwritten can still write to its socket.
 *
 * The first byte says how large the pieces are in which the rest arrives.  Three steps wait for answers: each must
 * be answered once and in order, with nothing but bytes of the stream that are a well-formed action.  What then
 * becomes a request must be one: no line breaks in headers, no blanks in the URL, and no private key anywhere.
 */
#include "fuzz.h"

#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/base/text.h"
#include "core/engine/hostwire.h"
#include "core/engine/op.h"
#include "core/engine/request.h"

#define STEPS 3
#define KEY "PRIVATE-KEY-that-signs-and-never-travels"

static const uint8_t *stream;
static size_t stream_size;
static int answered;
static bool ended;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	log_set(LOG_ERROR + 1);
	return 0;
}

/* ---- in place of processes (--wrap) ----------------------------------------------------------------------- */

enum rc __wrap_proc_spawn(struct cx *cx, int program, int file, const char *id, struct proc **ret);
bool __wrap_proc_reap(struct proc *p, char *out, size_t size);
void __wrap_proc_kill(struct proc *p);
void __wrap_proc_drop(struct proc *p);
void __wrap_proc_listen(struct proc *p);

enum rc __wrap_proc_spawn(struct cx *cx, int program, int file, const char *id, struct proc **ret)
{
	(void)program, (void)file, (void)id, (void)ret;
	return fail(cx, RC_UNAVAILABLE, "no second host");
}

void __wrap_proc_kill(struct proc *p) { (void)p; ended = true; }
void __wrap_proc_listen(struct proc *p) { (void)p; }

bool __wrap_proc_reap(struct proc *p, char *out, size_t size)
{
	p->dead = ended;
	snprintf(out, size, "%s", p->cause);
	return ended;
}

void __wrap_proc_drop(struct proc *p)
{
	if (p == NULL)
		return;
	close(p->sock);
	close(p->pidfd);
	buf_free(&p->in);
	buf_free(&p->out);
	buf_free(&p->words);
	for (struct job *j; (j = jobs_pop(&p->sent));)
		job_drop(j);
	free(p);
}

/* ---- what becomes of an action ---------------------------------------------------------------------------- */

static void built_check(const struct request *q)
{
	const char *lines[REQUEST_HEADERS + 1];

	MUST(memmem(buf_text(&q->url), q->url.len, KEY, strlen(KEY)) == NULL);
	MUST(memmem(buf_text(&q->headers), q->headers.len, KEY, strlen(KEY)) == NULL);
	MUST(memmem(buf_text(&q->body), q->body.len, KEY, strlen(KEY)) == NULL);
	MUST(strlen(buf_text(&q->url)) == q->url.len);
	for (size_t i = 0; i < q->url.len; i++)
		MUST(q->url.data[i] > ' ' && q->url.data[i] < 0x7f);
	request_lines(q, lines);
	for (int i = 0; lines[i] != NULL; i++)
		MUST_SAY(strpbrk(lines[i], "\r\n") == NULL && strchr(lines[i], ':') != NULL, "a header line: %s", lines[i]);
	MUST(strcspn(buf_text(&q->shown), "?#") == q->shown.len);
}

static void request_try(const char *records, size_t len)
{
	struct engine e = {0};
	struct op op = {.e = &e};
	struct request q;
	struct buf action;
	struct rec r;

	if (!rec_find(records, len, REC_METHOD, NULL, &r) || rec_find(records, len, REC_DPOP, NULL, &r))
		return;			/* proofs need a grant */
	arena_init(&op.arena, 64u << 20);
	cx_init(&op.cx, NULL);
	buf_init(&op.secrets, BAG_MAX);
	buf_init(&op.made, BAG_MAX);
	buf_init(&action, FRAME_OUT_MAX);
	buf_add(&action, records, len);
	bag_put(&op.secrets, REC_STATE, "access", "T0ken");
	bag_put(&op.secrets, REC_STATE, "client.id", "us");
	bag_put(&op.secrets, REC_STATE, "client.secret", "S3cret");
	bag_put(&op.secrets, REC_STATE, "client.key", KEY);
	bag_put(&op.secrets, REC_STATE, "dpop", KEY);
	request_build(&q, &op, &action);
	if (q.fault == NULL)
		built_check(&q);
	request_free(&q);
	buf_free(&action);
	buf_free(&op.secrets);
	buf_free(&op.made);
	arena_free(&op.arena);
}

static void done(void *arg, enum host_outcome outcome, const char *action, size_t len, const char *words)
{
	struct rec r;
	size_t at = 0;
	bool bad;
	struct buf again BUF_AUTO;
	char key[1024];

	buf_init(&again, FRAME_IN_MAX);
	MUST_SAY((size_t)(uintptr_t)arg == (size_t)answered, "step %d is answered before step %d", (int)(uintptr_t)arg, answered);
	answered++;
	if (outcome != HOST_ACTION) {
		MUST(words[0] != '\0');
		return;
	}
	MUST(action_check(action, len) == NULL && memmem(stream, stream_size, action, len) != NULL);
	while (rec_next(action, len, &at, &r, &bad)) {
		snprintf(key, sizeof key, "%.*s", (int)r.key_len, r.key);
		rec_add(&again, (enum frame_kind)r.kind, key, r.value, r.value_len);
	}
	MUST(!bad && again.len == len && memcmp(buf_text(&again), action, len) == 0);
	request_try(action, len);
}

/* Every frame once more from memory that is exactly as long as it, so that the first byte behind it is seen. */
static void walk(const char *data, size_t size)
{
	struct frame_head head;

	for (size_t begin = 0; frame_peek(data + begin, size - begin, FRAME_OUT_MAX, &head) == 1; begin += FRAME_HEAD + head.length) {
		char *alone = malloc(head.length ? head.length : 1);
		unsigned sum = 0;
		size_t at = 0;
		struct rec r;

		memcpy(alone, data + begin + FRAME_HEAD, head.length);
		while (rec_next(alone, head.length, &at, &r, NULL)) {
			for (size_t i = 0; i < r.key_len; i++)
				sum += (unsigned char)r.key[i];
			for (size_t i = 0; i < r.value_len; i++)
				sum += (unsigned char)r.value[i];
		}
		MUST(at <= head.length && sum < UINT32_MAX);
		(void)action_check(alone, head.length);
		free(alone);
	}
}

/* ---- the play ----------------------------------------------------------------------------------------------- */

static struct proc *proc_begin(int ends[2])
{
	struct proc *p = calloc(1, sizeof *p);

	MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
	p->sock = ends[0];
	p->pidfd = eventfd(1, EFD_CLOEXEC);	/* always readable: its end is never waited for */
	p->greeted = p->described = true;
	buf_init(&p->in, 2 * FRAME_OUT_MAX);
	buf_init(&p->out, 1u << 20);
	buf_init(&p->words, HOST_WORDS);
	return p;
}

static void queue(struct host *h, uint64_t operation)
{
	struct job *j = calloc(1, sizeof *j);
	size_t begin;

	j->operation = operation;
	j->done = done;
	j->arg = (void *)(uintptr_t)(operation - 1);
	buf_init(&j->frame, FRAME_IN_MAX);
	begin = frame_begin(&j->frame, FRAME_STEP, operation);
	rec_text(&j->frame, REC_KIND, "", "publish");
	rec_text(&j->frame, REC_PHASE, "", "start");
	frame_end(&j->frame, begin);
	jobs_push(&h->waiting, j);
}

static void feed(struct hosts *hs, struct host *h, int far, size_t piece)
{
	char steps[4096];

	for (size_t at = 0; at < stream_size && h->proc != NULL; at += piece) {
		size_t n = stream_size - at < piece ? stream_size - at : piece;

		if (send(far, stream + at, n, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
			break;
		host_turn(hs, h, 1000);
		while (recv(far, steps, sizeof steps, MSG_DONTWAIT) > 0)
			;
	}
	close(far);
	for (int i = 0; i < 8 && (h->proc != NULL || h->waiting.first != NULL); i++) {
		ended = true;
		host_turn(hs, h, 1000);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct hosts hs = {.program = -1};
	struct host h = {.file = -1};
	size_t piece = size ? data[0] + 1u : 1;
	int ends[2];

	stream = size ? data + 1 : data;
	stream_size = size ? size - 1 : 0;
	answered = 0;
	ended = false;
	walk((const char *)stream, stream_size);
	h.info = (struct host_info){.id = strdup("x"), .file = strdup("x.so"), .loaded = true, .words = strdup(""), .fault = strdup("")};
	hs.first = &h;
	h.proc = proc_begin(ends);
	for (uint64_t i = 1; i <= STEPS; i++)
		queue(&h, i);
	host_pump(&hs, &h, 1000);
	feed(&hs, &h, ends[1], piece);
	host_clear(&h, HOST_PAUSED, "the end");
	MUST_SAY(h.proc == NULL && answered == STEPS, "%d of %d steps were answered", answered, STEPS);
	host_info_free(&h.info);
	return 0;
}
