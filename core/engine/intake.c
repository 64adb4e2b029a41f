/*
 * The intake of media: see intake.h.  This file is its opening and closing, and one file on its way in.
 *
 * The one thing to know: the quota counts what rows say and what is on its way; the second part lives in memory,
 * because a file that is not finished has no row, and both are looked at under one lock.
 */
#include "core/engine/intake.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/base/text.h"
#include "core/engine/intake_private.h"

#define MIB ((int64_t)1 << 20)
#define RESERVE MIB			/* by which a reservation grows where the length is not known */

int64_t intake_bytes_max(const struct intake *in) { return in->conf->media_upload_mb * MIB; }
int64_t intake_quota(const struct intake *in) { return in->conf->media_quota_mb * MIB; }
int64_t intake_keep_ms(const struct intake *in) { return in->conf->media_keep_days * 86400000ll; }

/* ---- open and close ------------------------------------------------------------------------------------- */

static void conditions_init(struct intake *in)
{
	pthread_condattr_t attr;

	pthread_mutex_init(&in->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&in->work, &attr);
	pthread_cond_init(&in->settled, &attr);
	pthread_condattr_destroy(&attr);
}

void intake_nap(struct intake *in, pthread_cond_t *what, int ms)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += ms / 1000;
	t.tv_nsec += ms % 1000 * 1000000l;
	if (t.tv_nsec >= 1000000000l) {
		t.tv_sec++;
		t.tv_nsec -= 1000000000l;
	}
	pthread_cond_timedwait(what, &in->lock, &t);
}

static enum rc threads_start(struct cx *cx, struct intake *in)
{
	in->sweeps = pthread_create(&in->sweeper, NULL, intake_sweeper, in) == 0;
	while (in->sweeps && in->fetcher_count < INTAKE_FETCHERS &&
	       pthread_create(&in->fetchers[in->fetcher_count], NULL, intake_fetcher, in) == 0)
		in->fetcher_count++;
	return in->fetcher_count == INTAKE_FETCHERS ? RC_OK : fail(cx, RC_UNAVAILABLE, "no threads for media");
}

enum rc intake_open(struct cx *cx, struct db *db, const struct conf *conf, struct intake **ret)
{
	struct intake *in = calloc(1, sizeof *in);
	enum rc rc;

	if (in == NULL)
		return fail(cx, RC_NOMEM, "out of memory");
	in->db = db;
	in->conf = conf;
	in->folder = -1;
	conditions_init(in);
	rc = mediafile_folder(cx, conf->data_folder, &in->folder);
	if (rc == RC_OK)
		rc = probe_open(cx, conf->probe_program, &in->probe);
	if (rc == RC_OK) {
		intake_sweep_start(in);
		rc = threads_start(cx, in);
	}
	if (rc == RC_OK)
		*ret = in;
	else
		intake_close(in);
	return rc;
}

void intake_close(struct intake *in)
{
	if (in == NULL)
		return;
	pthread_mutex_lock(&in->lock);
	in->stop = true;
	pthread_cond_broadcast(&in->work);
	pthread_cond_broadcast(&in->settled);
	pthread_mutex_unlock(&in->lock);
	for (int i = 0; i < in->fetcher_count; i++)
		pthread_join(in->fetchers[i], NULL);
	if (in->sweeps)
		pthread_join(in->sweeper, NULL);
	probe_close(in->probe);
	if (in->folder >= 0)
		close(in->folder);
	pthread_cond_destroy(&in->work);
	pthread_cond_destroy(&in->settled);
	pthread_mutex_destroy(&in->lock);
	free(in);
}

/* ---- the quota ------------------------------------------------------------------------------------------ */

static enum rc too_large(struct cx *cx, const struct intake *in)
{
	return fail_code(cx, RC_TOO_LARGE, "media_too_large", NULL, "The file has more than the %d MiB that this server takes.",
		in->conf->media_upload_mb);
}

/* Under the lock: this much more on the account of the upload, if the organization has it. */
static bool reserve(struct upload *u, int64_t more)
{
	int64_t sum = u->before + more;

	for (const struct upload *other = u->in->uploads; other != NULL; other = other->next)
		if (text_eq(other->organization_id, u->organization_id))
			sum += other->reserved;
	if (sum > intake_quota(u->in))
		return false;
	u->reserved += more;
	return true;
}

static enum rc reserve_more(struct cx *cx, struct upload *u, int64_t more)
{
	bool good;

	pthread_mutex_lock(&u->in->lock);
	good = reserve(u, more);
	pthread_mutex_unlock(&u->in->lock);
	if (good)
		return RC_OK;
	return fail_code(cx, RC_LIMITED, "media_quota_reached", NULL,
		"The organization's media would take more than the %d MiB that it may have.",
		u->in->conf->media_quota_mb);
}

/* ---- one file ------------------------------------------------------------------------------------------- */

static enum rc enter(struct cx *cx, struct upload *u)
{
	struct intake *in = u->in;
	bool fits;

	pthread_mutex_lock(&in->lock);
	fits = in->upload_count < INTAKE_FETCHERS + in->conf->threads / 2;
	if (fits) {
		in->upload_count++;
		u->next = in->uploads;
		u->back = &in->uploads;
		if (u->next != NULL)
			u->next->back = &u->next;
		in->uploads = u;
	}
	pthread_mutex_unlock(&in->lock);
	return fits ? RC_OK : fail_code(cx, RC_UNAVAILABLE, "overloaded", NULL, "Too many files arrive at once.");
}

static void leave(struct upload *u)
{
	struct intake *in = u->in;

	pthread_mutex_lock(&in->lock);
	if (u->back != NULL) {
		in->upload_count--;
		*u->back = u->next;
		if (u->next != NULL)
			u->next->back = u->back;
	}
	pthread_mutex_unlock(&in->lock);
}

static int64_t bytes_of(struct intake *in, const char *organization_id)
{
	DB_READ_AUTO struct db_conn *c = db_take(in->db);

	return media_bytes(c, organization_id);
}

enum rc intake_begin_as(struct cx *cx, struct intake *in, const struct owner *o, const char *id, int64_t expected, struct upload **ret)
{
	struct upload *u;
	enum rc rc;

	if (expected > intake_bytes_max(in))
		return too_large(cx, in);
	u = calloc(1, sizeof *u);
	if (u == NULL)
		return fail(cx, RC_NOMEM, "out of memory");
	u->in = in;
	snprintf(u->id, sizeof u->id, "%s", id);
	snprintf(u->organization_id, sizeof u->organization_id, "%s", o->organization_id);
	rc = enter(cx, u);
	if (rc == RC_OK) {
		u->before = bytes_of(in, o->organization_id);
		rc = reserve_more(cx, u, expected);
	}
	if (rc == RC_OK)
		rc = mediafile_room(cx, in->folder, expected);
	if (rc == RC_OK)
		rc = mediafile_new(cx, in->folder, u->id, &u->file);
	if (rc == RC_OK)
		*ret = u;
	else
		intake_drop(u, false);
	return rc;
}

enum rc intake_begin(struct cx *cx, struct intake *in, const struct owner *o, int64_t expected, struct upload **ret)
{
	char id[ID_MAX];

	id_new(id, "med");
	return intake_begin_as(cx, in, o, id, expected, ret);
}

enum rc intake_add(struct cx *cx, struct upload *u, const void *bytes, size_t n)
{
	int64_t total = mediafile_bytes(u->file) + (int64_t)n;
	enum rc rc = RC_OK;

	if (total > intake_bytes_max(u->in))
		return too_large(cx, u->in);
	if (total > u->reserved) {
		rc = reserve_more(cx, u, total - u->reserved + RESERVE);
		if (rc == RC_OK)
			rc = mediafile_room(cx, u->in->folder, RESERVE);
	}
	return rc == RC_OK ? mediafile_add(cx, u->file, bytes, n) : rc;
}

enum rc intake_end(struct cx *cx, struct upload *u, struct arena *a, struct media *ret)
{
	char sha256[65];
	struct probed p;
	int fd = -1;
	enum rc rc = mediafile_finish(cx, u->file, sha256, &fd);

	if (rc == RC_OK)
		rc = probe_file(cx, u->in->probe, fd, &p);
	if (rc != RC_OK)
		return rc;
	ret->id = ret->file = arena_text(a, u->id);
	ret->bytes = mediafile_bytes(u->file);
	ret->sha256 = arena_text(a, sha256);
	ret->kind = p.kind;
	ret->mime = p.mime;
	ret->codec = arena_text(a, p.codec);
	ret->width = p.width;
	ret->height = p.height;
	ret->duration_ms = p.duration_ms;
	ret->frame_rate_milli = p.frame_rate_milli;
	return RC_OK;
}

void intake_drop(struct upload *u, bool keep)
{
	if (u == NULL)
		return;
	mediafile_drop(u->file, keep);
	leave(u);
	free(u);
}

void intake_forget(struct intake *in, const char *file)
{
	mediafile_remove(in->folder, file);
}
