/*
 * The set of provider hosts: loading, reloading, telling about them.
 *
 * The one thing to know: a refused provider stays in the set with its reason, so that the operator sees it; a
 * reload that fails changes nothing but the words.
 */
#include "core/engine/hostproc.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/json.h"
#include "core/base/log.h"
#include "core/base/text.h"
#include "core/engine/hostwire.h"

enum rc hosts_open(struct cx *cx, const char *program, struct hosts **ret)
{
	int fd = open(program, O_RDONLY | O_CLOEXEC), high = -1;
	struct hosts *hs;

	if (fd >= 0) {
		high = fcntl(fd, F_DUPFD_CLOEXEC, 10);
		(void)close(fd);
	}
	if (high < 0)
		return fail(cx, RC_NOT_FOUND, "host program %s: %s: set [providers] host_program", program, strerror(errno));
	hs = calloc(1, sizeof *hs);
	if (!hs)
		abort();
	hs->program = high;
	*ret = hs;
	return RC_OK;
}

static void info_free(struct host_info *i)
{
	const char *texts[] = { i->id, i->file, i->version, i->describe, i->sandbox, i->words };

	for (size_t n = 0; n < sizeof texts / sizeof *texts; n++)
		free((char *)(uintptr_t)texts[n]);
	*i = (struct host_info){ 0 };
}

static void jobs_drop(struct jobs *q)
{
	for (struct job *j; (j = jobs_pop(q));)
		job_drop(j);
}

static void host_drop(struct host *h)
{
	proc_drop(h->proc);
	proc_drop(h->leaving);
	jobs_drop(&h->waiting);
	if (h->file >= 0)
		(void)close(h->file);
	info_free(&h->info);
	free(h);
}

void hosts_close(struct hosts *hs)
{
	if (!hs)
		return;
	for (struct host *h = hs->first, *next; h; h = next) {
		next = h->next;
		host_drop(h);
	}
	jobs_drop(&hs->lost);
	(void)close(hs->program);
	free(hs);
}

static struct host *host_find(const struct hosts *hs, const char *id)
{
	for (struct host *h = hs->first; h; h = h->next)
		if (strcmp(h->info.id, id) == 0)
			return h;
	return NULL;
}

static struct host *host_add(struct hosts *hs, const struct host_spec *spec)
{
	struct host *h = calloc(1, sizeof *h), **at = &hs->first;

	if (!h)
		abort();
	h->file = -1;
	h->info.id = strdup(spec->id);
	h->info.file = strdup(spec->file);
	h->info.words = strdup("");
	while (*at)
		at = &(*at)->next;
	return *at = h;
}

/* --- starting ------------------------------------------------------------------------------------------------ */

static char *rec_dup(const char *data, size_t len, enum frame_kind kind, const char *key)
{
	struct rec r;

	return rec_find(data, len, kind, key, &r) ? strndup(r.value, r.value_len) : strdup("");
}

static enum rc hello_check(struct cx *cx, const struct host_spec *spec, const char *data, size_t len)
{
	struct rec r;
	char want[12];

	(void)snprintf(want, sizeof want, "%d", FRAME_BUILD);
	if (rec_find(data, len, REC_BUILD, NULL, &r) && rec_is(&r, want))
		return RC_OK;
	return fail(cx, RC_INVALID,
		"provider %s: the host program is of another build than this server (wanted %s): install both from one build", spec->id, want);
}

static enum rc describe_read(struct cx *cx, const struct host_spec *spec, const char *data, size_t len, struct host_info *ret)
{
	char *minor = rec_dup(data, len, REC_ABI, "abi_minor");
	int64_t n = 0;

	(void)text_int(minor, &n);
	free(minor);
	*ret = (struct host_info){ .id = rec_dup(data, len, REC_ID, NULL), .file = strdup(spec->file),
		.version = rec_dup(data, len, REC_VERSION, NULL),
		.describe = rec_dup(data, len, REC_DESCRIBE, NULL), .sandbox = rec_dup(data, len, REC_SANDBOX, NULL), .words = strdup(""),
		.abi_minor = (uint32_t)n, .loaded = true };
	if (strcmp(ret->id, spec->id) == 0 && text_utf8(ret->describe, strlen(ret->describe)))
		return RC_OK;
	fail(cx, RC_INVALID,
		"provider file %s: its id is \"%.40s\", wanted \"%s\": rename the file to %.40s.so, or name it in [provider.%.40s] file",
		spec->file, ret->id, spec->id, ret->id, ret->id);
	info_free(ret);
	return cx->rc;
}

static enum rc fault_read(struct cx *cx, const struct host_spec *spec, const char *data, size_t len)
{
	char *words = rec_dup(data, len, REC_FAULT, NULL);

	fail(cx, RC_INVALID, "provider file %s (%s) is refused: %.500s", spec->file, spec->id, words);
	free(words);
	return cx->rc;
}

/* Handles the frames that are there; *ret_ready once the description is read. */
static enum rc start_frames(struct cx *cx, const struct host_spec *spec, struct proc *p, struct host_info *ret, bool *ret_ready)
{
	struct frame_head head;
	const char *records;
	enum rc rc = RC_OK;

	while (rc == RC_OK && !*ret_ready && proc_frame(p, &head, &records)) {
		if (head.type == FRAME_FAULT)
			rc = fault_read(cx, spec, records, head.length);
		else if (head.type == FRAME_HELLO && !p->greeted)
			rc = hello_check(cx, spec, records, head.length);
		else if (head.type == FRAME_DESCRIBE && p->greeted)
			rc = describe_read(cx, spec, records, head.length, ret);
		else
			rc = fail(cx, RC_INVALID, "provider %s: its host wrote a frame out of turn while loading", spec->id);
		p->greeted |= head.type == FRAME_HELLO;
		*ret_ready = p->described = rc == RC_OK && head.type == FRAME_DESCRIBE;
		proc_frame_done(p, &head);
	}
	return rc;
}

static enum rc start_ended(struct cx *cx, const struct host_spec *spec, struct proc *p)
{
	struct pollfd wait = { p->pidfd, POLLIN, 0 };
	char how[400] = "its process hangs";

	if (poll(&wait, 1, 200) == 0)
		proc_kill(p);
	(void)poll(&wait, 1, 1000);
	(void)proc_reap(p, how, sizeof how);
	return fail(cx, RC_INVALID, "provider file %s (%s) is refused: while loading %s", spec->file, spec->id, how);
}

/* Waits for hello and description. */
static enum rc start_wait(struct cx *cx, const struct host_spec *spec, struct proc *p, struct host_info *ret)
{
	bool ready = false;

	for (int64_t end = clock_mono() + HOST_LOAD_MS; !ready;) {
		struct pollfd wait[] = { { p->sock, POLLIN, 0 }, { p->err, POLLIN, 0 } };
		int64_t left = end - clock_mono();
		bool alive;
		enum rc rc;

		if (left <= 0)
			return fail(cx, RC_TIMEOUT, "provider file %s (%s) is refused: it did not load within %d s", spec->file, spec->id, HOST_LOAD_MS / 1000);
		(void)poll(wait, 2, (int)left);
		proc_listen(p);
		alive = proc_read(p);
		rc = start_frames(cx, spec, p, ret, &ready);
		if (rc != RC_OK)
			return rc;
		if (p->cause[0] || (!alive && !ready))
			return start_ended(cx, spec, p);
	}
	return RC_OK;
}

static enum rc start(struct cx *cx, struct hosts *hs, const struct host_spec *spec, int *ret_file, struct proc **ret_proc,
	struct host_info *ret)
{
	struct proc *p = NULL;
	int file = -1;
	enum rc rc = host_file_open(cx, spec, &file);

	if (rc == RC_OK)
		rc = proc_spawn(cx, hs->program, file, spec->id, &p);
	if (rc == RC_OK)
		rc = start_wait(cx, spec, p, ret);
	if (rc != RC_OK) {
		proc_drop(p);
		if (file >= 0)
			(void)close(file);
		return rc;
	}
	ret->pid = p->pid;
	*ret_file = file, *ret_proc = p;
	return RC_OK;
}

/* --- loading and reloading ----------------------------------------------------------------------------------- */

static void words_set(struct host *h, const char *words)
{
	free((char *)(uintptr_t)h->info.words);
	h->info.words = strdup(words);
}

/* The least (0) or greatest (1) state version of a descriptor. */
static int64_t state_version(const char *describe, size_t which)
{
	struct arena a ARENA_AUTO;
	struct cx cx;
	struct jv root;
	int64_t n = 1;

	arena_init(&a, 8 * 1024 * 1024);
	cx_init(&cx, "hosts");
	if (json_parse(&cx, &a, describe, strlen(describe), &root) == RC_OK)
		(void)json_int(json_at(json_get(root, "state_versions"), which), &n);
	return n;
}

static enum rc versions_check(struct cx *cx, const struct host *h, const struct host_info *new)
{
	int64_t old_max = h->info.loaded ? state_version(h->info.describe, 1) : 0;

	if (!h->info.loaded || (state_version(new->describe, 0) <= old_max && old_max <= state_version(new->describe, 1)))
		return RC_OK;
	return fail(cx, RC_CONFLICT,
		"provider %s %s does not understand state version %lld of operations under way (state_versions of %s): let them finish first",
		h->info.id, new->version, (long long)old_max, h->info.version);
}

static enum rc new_check(struct cx *cx, const struct host *h, const struct host_spec *spec, const struct host_info *new)
{
	enum rc rc = versions_check(cx, h, new);

	return rc == RC_OK && spec->accept ? spec->accept(cx, new, spec->arg) : rc;
}

/* The new process serves from now on; the old one answers what it was asked. */
static void swap(struct host *h, int file, struct proc *p, struct host_info *new)
{
	int crashes = h->info.crashes;

	proc_drop(h->leaving);
	h->leaving = h->proc;
	if (h->leaving)
		h->leaving->leave_by = clock_mono() + HOST_LEAVE_MS;
	h->proc = p;
	if (h->file >= 0)
		(void)close(h->file);
	h->file = file;
	info_free(&h->info);
	h->info = *new;
	h->info.crashes = crashes;
	h->alone = false;
	memset(h->crash_at, 0, sizeof h->crash_at);
}

enum rc hosts_reload(struct cx *cx, struct hosts *hs, const struct host_spec *spec)
{
	struct host *h = host_find(hs, spec->id);
	struct host_info new = { 0 };
	struct proc *p = NULL;
	int file = -1;
	enum rc rc;

	if (!h)
		h = host_add(hs, spec);
	if (h->leaving) {		/* of a reload a moment ago: its steps are run again by whoever serves next */
		while (h->leaving->sent.first)
			jobs_push(&h->waiting, jobs_pop(&h->leaving->sent));
		proc_drop(h->leaving);
		h->leaving = NULL;
	}
	rc = start(cx, hs, spec, &file, &p, &new);
	if (rc == RC_OK && (rc = new_check(cx, h, spec, &new)) != RC_OK) {
		proc_drop(p);
		(void)close(file);
		info_free(&new);
	}
	if (rc != RC_OK) {
		words_set(h, cx->words);
		return rc;
	}
	swap(h, file, p, &new);
	log_info("hosts", "provider %s %s is loaded (%s)", h->info.id, h->info.version, h->info.sandbox);
	return RC_OK;
}

enum rc hosts_load(struct cx *cx, struct hosts *hs, const struct host_spec *spec)
{
	if (host_find(hs, spec->id) && host_find(hs, spec->id)->info.loaded)
		return fail(cx, RC_CONFLICT, "provider file %s: a provider with id %s is loaded already", spec->file, spec->id);
	return hosts_reload(cx, hs, spec);
}

/* --- telling ------------------------------------------------------------------------------------------------- */

int hosts_count(const struct hosts *hs)
{
	int n = 0;

	for (struct host *h = hs->first; h; h = h->next)
		n++;
	return n;
}

static int64_t rss_kb(int pid)
{
	char path[40], line[80];
	long total = 0, resident = 0;
	FILE *f;

	(void)snprintf(path, sizeof path, "/proc/%d/statm", pid);
	f = fopen(path, "re");
	if (!f)
		return 0;
	if (fgets(line, sizeof line, f))
		(void)sscanf(line, "%ld %ld", &total, &resident);
	(void)fclose(f);
	return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

static const struct host_info *info_fresh(struct host *h)
{
	h->info.pid = h->proc ? h->proc->pid : 0;
	h->info.rss_kb = h->proc ? rss_kb(h->proc->pid) : 0;
	return &h->info;
}

const struct host_info *hosts_info(struct hosts *hs, int index)
{
	struct host *h = hs->first;

	while (h && index-- > 0)
		h = h->next;
	return h ? info_fresh(h) : NULL;
}

const struct host_info *hosts_find(struct hosts *hs, const char *id)
{
	struct host *h = host_find(hs, id);

	return h ? info_fresh(h) : NULL;
}

/* --- steps and turns ----------------------------------------------------------------------------------------- */

void hosts_step(struct hosts *hs, const char *id, uint64_t operation, const struct buf *frame, host_done_fn *done, void *arg)
{
	struct host *h = host_find(hs, id);
	struct job *j = calloc(1, sizeof *j);

	if (!j)
		abort();
	j->operation = operation, j->done = done, j->arg = arg;
	buf_init(&j->frame, FRAME_IN_MAX);
	buf_add(&j->frame, frame->data, frame->len);
	jobs_push(h && buf_ok(&j->frame) && frame->len >= FRAME_HEAD ? &h->waiting : &hs->lost, j);
	if (h)
		host_pump(hs, h, clock_mono());
}

static unsigned proc_waits(const struct proc *p, struct http_wait *waits, unsigned max)
{
	short events = (short)(POLLIN | (p->out.len ? POLLOUT : 0));
	const struct http_wait all[] = { { p->sock, events, 0 }, { p->err, POLLIN, 0 }, { p->pidfd, POLLIN, 0 } };
	unsigned n = 0;

	for (; n < 3 && n < max; n++)
		waits[n] = all[n];
	return n;
}

unsigned hosts_waits(struct hosts *hs, struct http_wait *waits, unsigned max)
{
	unsigned n = 0;

	for (struct host *h = hs->first; h; h = h->next) {
		if (h->proc)
			n += proc_waits(h->proc, waits + n, max - n);
		if (h->leaving)
			n += proc_waits(h->leaving, waits + n, max - n);
	}
	return n;
}

int hosts_timeout(struct hosts *hs)
{
	int64_t now = clock_mono(), first = hs->lost.first ? now : -1;

	for (struct host *h = hs->first; h; h = h->next) {
		int64_t at = host_deadline(h);

		if (at >= 0 && (first < 0 || at < first))
			first = at;
	}
	return first < 0 ? -1 : first <= now ? 0 : (int)(first - now);
}

void hosts_turn(struct hosts *hs)
{
	int64_t now = clock_mono();
	struct jobs lost = hs->lost;

	hs->lost = (struct jobs){ 0 };
	for (struct job *j; (j = jobs_pop(&lost)); job_drop(j))
		j->done(j->arg, HOST_PAUSED, NULL, 0, "the provider is not loaded, or the step is larger than 1 MiB");
	for (struct host *h = hs->first; h; h = h->next)
		host_turn(hs, h, now);
}
