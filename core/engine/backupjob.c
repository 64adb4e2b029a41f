/*
 * The backup of a running server: see backupjob.h.  The control socket serves one client at a time, so a command that
 * takes minutes may not stand in it: it starts the thread and comes back to ask.
 */
#include "core/engine/backupjob.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/clock.h"
#include "core/base/log.h"

struct backupjob {
	struct db *db;
	struct vault *vault;
	const char *data_folder;
	pthread_mutex_t mutex;
	pthread_t thread;
	bool joinable, running, stop;
	struct backupjob_state last;
	int64_t done, failed, done_at;
};

struct backupjob *backupjob_open(struct db *db, struct vault *vault, const char *data_folder)
{
	struct backupjob *j = calloc(1, sizeof *j);

	if (j == NULL)
		out_of_memory(__func__);
	j->db = db;
	j->vault = vault;
	j->data_folder = data_folder;
	j->last.state = "none";
	pthread_mutex_init(&j->mutex, NULL);
	return j;
}

static bool told(void *arg, int thousandths)
{
	struct backupjob *j = arg;

	pthread_mutex_lock(&j->mutex);
	j->last.thousandths = thousandths;
	bool go_on = !j->stop;
	pthread_mutex_unlock(&j->mutex);
	return go_on;
}

static void ended(struct backupjob *j, const struct cx *cx, enum rc rc, const struct backup_manifest *made)
{
	pthread_mutex_lock(&j->mutex);
	j->running = false;
	j->last.ended_at = clock_now();
	j->last.state = rc == RC_OK ? "done" : "failed";
	snprintf(j->last.words, sizeof j->last.words, "%s", rc == RC_OK ? "" : cx->words);
	*(rc == RC_OK ? &j->done : &j->failed) += 1;
	if (rc == RC_OK) {
		j->last.made = *made;
		j->done_at = j->last.ended_at;
	}
	pthread_mutex_unlock(&j->mutex);
}

static void *run(void *arg)
{
	struct backupjob *j = arg;
	struct backup_job job = {
		.db = j->db, .vault = j->vault, .data_folder = j->data_folder, .folder = j->last.folder, .told = told, .arg = j,
	};
	struct backup_manifest made = {.schema = 0};
	struct cx cx;

	cx_init(&cx, "backup");
	log_info("backup", "begins in %s", job.folder);
	enum rc rc = backup_make(&cx, &job, &made);
	if (rc == RC_OK) {
		log_info("backup", "%s is whole: %lld bytes of store, %lld of %lld media files, in %lld ms", job.folder,
			 (long long)made.store_bytes, (long long)made.media_bytes, (long long)made.media_count,
			 (long long)(clock_now() - j->last.begun_at));
	} else {
		log_error("backup", "%s failed, nothing is left of it: %s", job.folder, cx.words);
	}
	ended(j, &cx, rc, &made);
	return NULL;
}

enum rc backupjob_start(struct cx *cx, struct backupjob *j, const char *folder)
{
	enum rc rc = RC_OK;

	pthread_mutex_lock(&j->mutex);
	if (j->running) {
		rc = fail(cx, RC_CONFLICT, "a backup is running already, into %s", j->last.folder);
	} else {
		if (j->joinable)
			pthread_join(j->thread, NULL);
		j->last = (struct backupjob_state){.state = "running", .begun_at = clock_now()};
		snprintf(j->last.folder, sizeof j->last.folder, "%s", folder);
		j->running = j->joinable = pthread_create(&j->thread, NULL, run, j) == 0;
		if (!j->running) {
			j->last.state = "failed";
			rc = fail(cx, RC_NOMEM, "no thread for a backup");
		}
	}
	pthread_mutex_unlock(&j->mutex);
	return rc;
}

void backupjob_state(struct backupjob *j, struct backupjob_state *ret)
{
	pthread_mutex_lock(&j->mutex);
	*ret = j->last;
	pthread_mutex_unlock(&j->mutex);
}

void backupjob_close(struct backupjob *j)
{
	if (j == NULL)
		return;
	pthread_mutex_lock(&j->mutex);
	j->stop = true;
	pthread_mutex_unlock(&j->mutex);
	if (j->joinable)
		pthread_join(j->thread, NULL);
	pthread_mutex_destroy(&j->mutex);
	free(j);
}

void backupjob_metrics(struct backupjob *j, struct buf *out)
{
	if (j == NULL)
		return;
	pthread_mutex_lock(&j->mutex);
	buf_addf(out, "# HELP mypostshare_backups_total Backups that ended, since start\n# TYPE mypostshare_backups_total counter\n"
		"mypostshare_backups_total{result=\"done\"} %" PRId64 "\nmypostshare_backups_total{result=\"failed\"} %" PRId64 "\n", j->done, j->failed);
	buf_addf(out, "# HELP mypostshare_backup_running A backup is being made\n# TYPE mypostshare_backup_running gauge\n"
		"mypostshare_backup_running %d\n", j->running);
	buf_addf(out, "# HELP mypostshare_backup_done_timestamp_seconds End of the last whole backup; 0: none since start\n"
		"# TYPE mypostshare_backup_done_timestamp_seconds gauge\nmypostshare_backup_done_timestamp_seconds %" PRId64 "\n", j->done_at / 1000);
	pthread_mutex_unlock(&j->mutex);
}
