/*
 * Fetching what rows name by address: a queue in memory and four threads.
 *
 * The one thing to know: the row is committed before the fetch is queued.  If the process ends in between, or while
 * the bytes come, the row says uploading, and the next start fails it: nobody waits for ever.
 */
#include "core/engine/intake_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/failpoint.h"
#include "core/base/log.h"
#include "core/base/text.h"
#include "core/io/download.h"
#include "core/io/http.h"

#define WAITING_MAX 500
#define WAITING_OF_ONE 100		/* of one organization */
#define AT_ONCE_OF_ONE 2
#define STALL_S 30

/* ---- asking --------------------------------------------------------------------------------------------- */

enum rc intake_check(struct cx *cx, const struct intake *in, const char *url)
{
	struct http_config config = {.allow = in->conf->allow};
	struct cx own;

	cx_init(&own, cx->who);
	if (http_url_check(&own, &config, HTTP_USER, url) == RC_OK)
		return RC_OK;
	return fail_code(cx, RC_INVALID, "media_unreachable", "url", "The address may not be fetched: %s.", own.words);
}

enum rc intake_room(struct cx *cx, struct intake *in, const struct owner *o)
{
	int all = 0, own = 0;

	pthread_mutex_lock(&in->lock);
	for (const struct fetch *f = in->fetches; f != NULL; f = f->next, all++)
		own += text_eq(f->organization_id, o->organization_id);
	pthread_mutex_unlock(&in->lock);
	if (own >= WAITING_OF_ONE)
		return fail_code(cx, RC_LIMITED, "rate_limited", NULL, "%d files of this organization wait to be fetched.", own);
	return all < WAITING_MAX ? RC_OK : fail_code(cx, RC_UNAVAILABLE, "overloaded", NULL, "Too many files wait to be fetched.");
}

void intake_fetch(struct intake *in, const struct media *m)
{
	struct fetch *f = calloc(1, sizeof *f), **end;

	if (f == NULL || (f->url = strdup(m->source_url)) == NULL) {
		log_error("media", "out of memory");
		abort();
	}
	snprintf(f->id, sizeof f->id, "%s", m->id);
	snprintf(f->organization_id, sizeof f->organization_id, "%s", m->owner.organization_id);
	snprintf(f->app_id, sizeof f->app_id, "%s", m->owner.app_id);
	f->live = m->owner.live;
	pthread_mutex_lock(&in->lock);
	for (end = &in->fetches; *end != NULL; end = &(*end)->next)
		;
	*end = f;
	pthread_cond_broadcast(&in->work);
	pthread_mutex_unlock(&in->lock);
}

uint64_t intake_wait(struct intake *in, uint64_t seen, int ms)
{
	uint64_t now;

	pthread_mutex_lock(&in->lock);
	if (in->settles == seen && !in->stop)
		intake_nap(in, &in->settled, ms);
	now = in->settles;
	pthread_mutex_unlock(&in->lock);
	return now;
}

bool intake_has(struct intake *in, const char *id)
{
	bool has = false;

	pthread_mutex_lock(&in->lock);
	for (const struct fetch *f = in->fetches; f != NULL && !has; f = f->next)
		has = text_eq(f->id, id);
	for (const struct upload *u = in->uploads; u != NULL && !has; u = u->next)
		has = text_eq(u->id, id);
	pthread_mutex_unlock(&in->lock);
	return has;
}

/* ---- settling ------------------------------------------------------------------------------------------- */

struct settling { const struct media *m; int64_t quota; bool settled; };

static enum rc settle_write(struct cx *cx, struct db_conn *c, void *arg)
{
	struct settling *s = arg;

	return media_settle(cx, c, s->m, s->quota, clock_now(), &s->settled);
}

static void settled(struct intake *in)
{
	pthread_mutex_lock(&in->lock);
	in->settles++;
	pthread_cond_broadcast(&in->settled);
	pthread_mutex_unlock(&in->lock);
}

bool intake_fail(struct intake *in, const struct media *m, const char *code, const char *message)
{
	ARENA_AUTO struct arena a;
	struct media bad = {.owner = m->owner, .id = m->id, .status = "failed"};
	struct settling s = {&bad, INT64_MAX, false};
	struct cx cx;

	arena_init(&a, 1u << 20);
	cx_init(&cx, "media");
	bad.error = media_error(&a, code, message);
	if (db_write(&cx, in->db, settle_write, &s) != RC_OK || !s.settled)
		return false;
	settled(in);
	return true;
}

/* ---- one fetch ------------------------------------------------------------------------------------------ */

static enum rc take(struct cx *cx, void *arg, const void *bytes, size_t n)
{
	return intake_add(cx, arg, bytes, n);
}

static enum rc bring(struct cx *cx, struct intake *in, const struct fetch *f, struct upload *u, struct arena *a, struct media *m)
{
	struct download d = {
		.allow = in->conf->allow, .ca_file = in->conf->ca_file, .bytes_max = intake_bytes_max(in),
		.total_s = in->conf->media_fetch_seconds, .stall_s = STALL_S, .take = take, .arg = u, .stop = &in->stop,
	};
	struct settling s = {m, intake_quota(in), false};
	enum rc rc = download_run(cx, &d, f->url);

	if (rc == RC_OK)
		rc = intake_end(cx, u, a, m);
	m->status = "ready";
	if (rc == RC_OK)
		rc = db_write(cx, in->db, settle_write, &s);
	/* After a fault of the disk nobody knows whether the row is ready: the sweep will. */
	intake_drop(u, rc == RC_OK ? s.settled : rc == RC_IO);
	return rc;
}

/* What a caller may read: faults of ours are told without their words. */
static void tell_failed(struct intake *in, const struct media *m, const struct cx *cx)
{
	if (in->stop)
		intake_fail(in, m, "media_unreachable", "The server stopped while the file was fetched. Ask for it again.");
	else if (cx->rc == RC_FULL)
		intake_fail(in, m, "storage_full", "The server has no space left to store this.");
	else if (cx->code[0] != '\0')
		intake_fail(in, m, cx->code, cx->words);
	else
		intake_fail(in, m, "internal_error", "Something failed on our side.");
}

static void fetch_run(struct intake *in, const struct fetch *f)
{
	ARENA_AUTO struct arena a;
	struct media m = {.owner = {f->organization_id, f->app_id, f->live}, .id = f->id, .file = f->id};
	struct upload *u = NULL;
	struct cx cx;
	enum rc rc;

	arena_init(&a, 1u << 20);
	cx_init(&cx, "media");
	if (in->stop || db_rescue(in->db))
		rc = fail(&cx, RC_UNAVAILABLE, "the server stops, or its store is damaged");
	else
		rc = intake_begin_as(&cx, in, &m.owner, f->id, 0, &u);
	if (rc == RC_OK)
		rc = bring(&cx, in, f, u, &a, &m);
	if (rc == RC_OK)
		settled(in);
	else
		tell_failed(in, &m, &cx);
}

static int taken_of(const struct intake *in, const char *organization_id)
{
	int n = 0;

	for (const struct fetch *f = in->fetches; f != NULL; f = f->next)
		n += f->taken && text_eq(f->organization_id, organization_id);
	return n;
}

/* The oldest whose organization does not keep the threads busy already. */
static struct fetch *oldest(const struct intake *in)
{
	struct fetch *f = in->fetches;

	while (f != NULL && (f->taken || taken_of(in, f->organization_id) >= AT_ONCE_OF_ONE))
		f = f->next;
	return f;
}

/* The next one, or NULL at the end; when the server stops, what waits is failed like what runs. */
static struct fetch *fetch_take(struct intake *in)
{
	struct fetch *f;

	pthread_mutex_lock(&in->lock);
	while ((f = oldest(in)) == NULL && !(in->stop && in->fetches == NULL))
		pthread_cond_wait(&in->work, &in->lock);
	if (f != NULL)
		f->taken = true;
	pthread_mutex_unlock(&in->lock);
	return f;
}

static void fetch_drop(struct intake *in, struct fetch *f)
{
	struct fetch **at = &in->fetches;

	pthread_mutex_lock(&in->lock);
	while (*at != f)
		at = &(*at)->next;
	*at = f->next;
	pthread_cond_broadcast(&in->work);
	pthread_mutex_unlock(&in->lock);
	free(f->url);
	free(f);
}

void *intake_fetcher(void *arg)
{
	struct intake *in = arg;
	struct fetch *f;

	while ((f = fetch_take(in)) != NULL) {
		fetch_run(in, f);
		fetch_drop(in, f);
	}
	return NULL;
}
