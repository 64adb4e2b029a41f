/*
 * Loading and reloading a provider: a new process beside the old one, its greeting and description, the swap.
 *
 * The one thing to know: nothing here waits.  hosts_start spawns and returns; what the new process says is read in
 * hosts_turn with everything else, so a provider that hangs while it is loaded holds up nobody but itself, and the old
 * one serves until the new one has passed.
 */
#include "core/engine/hostwire.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/json.h"
#include "core/base/log.h"
#include "core/base/rc.h"
#include "core/base/text.h"

#define VERSION_MAX 32

/* ---- what the new process says ------------------------------------------------------------------------------ */

static char *rec_dup(const char *data, size_t len, enum frame_kind kind, const char *key)
{
	struct rec r;
	char *copy = rec_find(data, len, kind, key, &r) ? strndup(r.value, r.value_len) : strdup("");

	if (!copy)
		out_of_memory(__func__);
	return copy;
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

/* The host has checked it; but a constructor can write to the socket as well as the host can. */
static bool version_ok(const char *version)
{
	size_t n = strlen(version);

	return n > 0 && n <= VERSION_MAX &&
	       strspn(version, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.+-") == n;
}

static enum rc describe_read(struct cx *cx, const struct host_spec *spec, const char *data, size_t len, struct host_info *ret)
{
	char *minor = rec_dup(data, len, REC_ABI, "abi_minor"), *id = rec_dup(data, len, REC_ID, NULL);
	int64_t n = 0;

	(void)text_int(minor, &n);
	free(minor);
	*ret = (struct host_info){ .id = id, .file = host_words(spec->file), .version = rec_dup(data, len, REC_VERSION, NULL),
		.describe = rec_dup(data, len, REC_DESCRIBE, NULL), .sandbox = rec_dup(data, len, REC_SANDBOX, NULL),
		.words = host_words(""), .fault = host_words(""), .abi_minor = (uint32_t)n, .loaded = true };
	if (strcmp(id, spec->id) != 0)
		fail(cx, RC_INVALID,
			"provider file %s: its id is \"%.40s\", wanted \"%s\": rename the file to %.40s.so, or name it in [provider.%.40s] file",
			spec->file, id, spec->id, id, id);
	else if (!text_utf8(ret->describe, strlen(ret->describe)) || !version_ok(ret->version) || !text_printable(ret->sandbox) ||
		 strlen(ret->sandbox) > 200)
		fail(cx, RC_INVALID, "provider file %s (%s) is refused: its version or description is not what a host writes", spec->file, spec->id);
	if (cx->rc != RC_OK)
		host_info_free(ret);
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

/* The end of its socket was seen: its exit status follows in a moment. */
static enum rc start_ended(struct cx *cx, const struct host_spec *spec, struct proc *p)
{
	char how[400] = "its process hangs";

	proc_finish(p);
	(void)proc_reap(p, how, sizeof how);
	return fail(cx, RC_INVALID, "provider file %s (%s) is refused: while loading %s", spec->file, spec->id, how);
}

/* One look at the new process: RC_OK with *ret_ready false means later. */
static enum rc start_look(struct cx *cx, struct start *s, int64_t now, struct host_info *ret, bool *ret_ready)
{
	struct proc *p = s->proc;
	bool alive;
	enum rc rc;

	proc_listen(p);
	alive = proc_read(p);
	rc = start_frames(cx, &s->spec, p, ret, ret_ready);
	if (rc != RC_OK || *ret_ready)
		return rc;
	if (p->cause[0] || !alive)
		return start_ended(cx, &s->spec, p);
	if (now < s->by)
		return RC_OK;
	return fail(cx, RC_TIMEOUT, "provider file %s (%s) is refused: it did not load within %d s", s->spec.file, s->spec.id,
		HOST_LOAD_MS / 1000);
}

/* ---- whether it may serve ------------------------------------------------------------------------------------- */

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

/* ---- the swap --------------------------------------------------------------------------------------------------- */

/* Of a reload a moment ago: its steps are run again by whoever serves next. */
static void leaving_drop(struct host *h)
{
	if (!h->leaving)
		return;
	while (h->leaving->sent.first)
		jobs_push(&h->waiting, jobs_pop(&h->leaving->sent));
	proc_drop(h->leaving);
	h->leaving = NULL;
}

/* The new process serves from now on; the old one answers what it was asked.  What went wrong before stays told. */
static void swap(struct host *h, struct start *s, struct host_info *new)
{
	struct host_info old = h->info;

	leaving_drop(h);
	h->leaving = h->proc;
	if (h->leaving)
		h->leaving->leave_by = clock_mono() + HOST_LEAVE_MS;
	h->proc = s->proc;
	if (h->file >= 0)
		(void)close(h->file);
	h->file = s->file;
	s->proc = NULL;
	s->file = -1;
	free((char *)(uintptr_t)new->fault);
	new->fault = old.fault;
	new->crashes = old.crashes, new->faults = old.faults, new->fault_at = old.fault_at;
	old.fault = NULL;
	h->info = *new;
	host_info_free(&old);
	h->alone = false;
	memset(h->crash_at, 0, sizeof h->crash_at);
}

void start_drop(struct start *s)
{
	if (!s)
		return;
	proc_drop(s->proc);
	if (s->file >= 0)
		(void)close(s->file);
	free((char *)(uintptr_t)s->spec.id);
	free((char *)(uintptr_t)s->spec.file);
	free(s);
}

static void start_end(struct hosts *hs, struct host *h, struct cx *cx, enum rc rc, struct host_info *new)
{
	struct start *s = h->start;

	h->start = NULL;
	h->info.starting = false;
	hs->news |= HOSTS_CHANGED;
	if (rc == RC_OK) {
		swap(h, s, new);
		log_info("hosts", "provider %s %s is loaded (%s)", h->info.id, h->info.version, h->info.sandbox);
	} else
		host_refused(h, cx->words);
	if (s->spec.started)
		s->spec.started(cx, h->info.id, rc, s->spec.arg);
	start_drop(s);
}

void start_turn(struct hosts *hs, struct host *h, int64_t now)
{
	struct host_info new = { 0 };
	bool ready = false;
	struct cx cx;
	enum rc rc;

	cx_init(&cx, "hosts");
	rc = start_look(&cx, h->start, now, &new, &ready);
	if (rc == RC_OK && !ready)
		return;
	if (rc == RC_OK && (rc = new_check(&cx, h, &h->start->spec, &new)) != RC_OK)
		host_info_free(&new);
	start_end(hs, h, &cx, rc, &new);
}

/* ---- asked for ---------------------------------------------------------------------------------------------------- */

static struct start *start_new(const struct host_spec *spec)
{
	struct start *s = calloc(1, sizeof *s);

	if (!s)
		out_of_memory(__func__);
	s->spec = *spec;
	s->spec.id = host_words(spec->id);
	s->spec.file = host_words(spec->file);
	s->spec.sha256 = NULL;		/* checked before anything is kept */
	s->file = -1;
	s->by = clock_mono() + HOST_LOAD_MS;
	return s;
}

enum rc hosts_start(struct cx *cx, struct hosts *hs, const struct host_spec *spec)
{
	struct host *h = host_of(hs, spec);
	struct start *s;
	enum rc rc;

	if (h->start)
		return fail(cx, RC_CONFLICT, "provider %s is being loaded already", spec->id);
	hs->news |= HOSTS_CHANGED;
	s = start_new(spec);
	rc = host_file_open(cx, spec, &s->file);
	if (rc == RC_OK)
		rc = proc_spawn(cx, hs->program, s->file, spec->id, &s->proc);
	if (rc != RC_OK) {
		host_refused(h, cx->words);
		start_drop(s);
		return rc;
	}
	h->start = s;
	h->info.starting = true;
	return RC_OK;
}

/* Waits for those that are starting, and does nothing else meanwhile. */
void hosts_settle(struct hosts *hs)
{
	for (;;) {
		struct pollfd wait[64];
		nfds_t n = 0;
		int64_t now = clock_mono(), until = now + HOST_LOAD_MS;

		for (struct host *h = hs->first; h; h = h->next)
			if (h->start && h->start->by < until)
				until = h->start->by;
		for (struct host *h = hs->first; h && n + 2 <= sizeof wait / sizeof *wait; h = h->next)
			if (h->start) {
				wait[n++] = (struct pollfd){ h->start->proc->sock, POLLIN, 0 };
				wait[n++] = (struct pollfd){ h->start->proc->err, POLLIN, 0 };
			}
		if (n == 0)
			return;
		(void)poll(wait, n, until > now ? (int)(until - now) : 0);
		for (struct host *h = hs->first; h; h = h->next)
			if (h->start)
				start_turn(hs, h, clock_mono());
	}
}

struct awaited { const struct host_spec *spec; struct cx *cx; enum rc rc; };

static enum rc awaited_accept(struct cx *cx, const struct host_info *info, void *arg)
{
	const struct awaited *a = arg;

	return a->spec->accept ? a->spec->accept(cx, info, a->spec->arg) : RC_OK;
}

static void awaited_started(struct cx *cx, const char *id, enum rc rc, void *arg)
{
	struct awaited *a = arg;

	(void)id;
	a->rc = rc;
	if (rc != RC_OK && a->cx->rc == RC_OK) {
		const char *who = a->cx->who;

		*a->cx = *cx;
		a->cx->who = who;
	}
}

enum rc hosts_reload(struct cx *cx, struct hosts *hs, const struct host_spec *spec)
{
	struct awaited a = { spec, cx, RC_OK };
	struct host_spec ours = *spec;
	enum rc rc;

	ours.accept = awaited_accept;
	ours.started = awaited_started;
	ours.arg = &a;
	rc = hosts_start(cx, hs, &ours);
	if (rc == RC_OK)
		hosts_settle(hs);
	return rc == RC_OK ? a.rc : rc;
}

enum rc hosts_load(struct cx *cx, struct hosts *hs, const struct host_spec *spec)
{
	const struct host_info *known = hosts_find(hs, spec->id);

	if (known && known->loaded)
		return fail(cx, RC_CONFLICT, "provider file %s: a provider with id %s is loaded already", spec->file, spec->id);
	return hosts_reload(cx, hs, spec);
}
