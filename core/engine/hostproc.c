/*
 * The set of provider hosts, and telling about them.
 *
 * The one thing to know: a refused provider stays in the set with its reason, so that the operator sees it, and what
 * went wrong last stays told after it is over; a reload that fails changes nothing but the words.
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
#include "core/base/rc.h"
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
		out_of_memory(__func__);
	hs->program = high;
	*ret = hs;
	return RC_OK;
}

void host_info_free(struct host_info *i)
{
	const char *texts[] = { i->id, i->file, i->version, i->describe, i->sandbox, i->words, i->fault };

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
	struct cx cx = { .who = "hosts", .rc = RC_UNAVAILABLE, .words = "the server is stopping" };

	proc_drop(h->proc);
	proc_drop(h->leaving);
	if (h->start && h->start->spec.started)
		h->start->spec.started(&cx, h->info.id, RC_UNAVAILABLE, h->start->spec.arg);
	start_drop(h->start);
	jobs_drop(&h->waiting);
	if (h->file >= 0)
		(void)close(h->file);
	host_info_free(&h->info);
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
		out_of_memory(__func__);
	h->file = -1;
	h->info.id = host_words(spec->id);
	h->info.file = host_words(spec->file);
	h->info.words = host_words("");
	h->info.fault = host_words("");
	while (*at)
		at = &(*at)->next;
	return *at = h;
}

struct host *host_of(struct hosts *hs, const struct host_spec *spec)
{
	struct host *h = host_find(hs, spec->id);

	return h ? h : host_add(hs, spec);
}

/* --- words --------------------------------------------------------------------------------------------------- */

/* Whatever a provider had a hand in is shown on terminals and in JSON. */
char *host_words(const char *text)
{
	char *copy = strdup(text);
	bool utf8 = text_utf8(text, strlen(text));

	if (!copy)
		out_of_memory(__func__);
	for (char *c = copy; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f || (!utf8 && (unsigned char)*c >= 0x80))
			*c = '?';
	return copy;
}

void host_say(struct host *h, const char *words)
{
	free((char *)(uintptr_t)h->info.words);
	h->info.words = host_words(words);
}

void host_fault(struct host *h, const char *words)
{
	free((char *)(uintptr_t)h->info.fault);
	h->info.fault = host_words(words);
	h->info.fault_at = clock_now();
	h->info.faults++;
}

void host_refused(struct host *h, const char *words)
{
	host_say(h, words);
	host_fault(h, words);
}

void hosts_fault(struct hosts *hs, const char *id, const char *words)
{
	struct host *h = host_find(hs, id);

	if (!h)
		return;
	host_fault(h, words);
	hs->news |= HOSTS_CHANGED;
}

unsigned hosts_news(struct hosts *hs)
{
	unsigned news = hs->news;

	hs->news = 0;
	return news;
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
		out_of_memory(__func__);
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
	const struct http_wait all[] = { { p->sock, events, 0 }, { p->pidfd, POLLIN, 0 }, { p->err, POLLIN, 0 } };
	unsigned n = 0, most = p->err >= 0 ? 3 : 2;

	for (; n < most && n < max; n++)
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
		if (h->start)
			n += proc_waits(h->start->proc, waits + n, max - n);
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
