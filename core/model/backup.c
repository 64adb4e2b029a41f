/*
 * Making a backup: see backup.h.  First a copy of the store in the data folder, on which everything else works, so that
 * whatever takes long does not touch the server; then the sealed files; the manifest last; then the name.
 *
 * The one thing to know: the copy is as much worth as the store, so it lies where the store lies, is never part of the
 * backup, and is gone when this returns; what a kill -9 leaves, backup_tidy removes.
 */
#include "core/model/backup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/jsonw.h"
#include "core/base/text.h"
#include "core/io/folder.h"
#include "core/io/migrate.h"
#include "core/model/backup_parts.h"

#define SPARE ((int64_t)64 << 20)	/* left to the store, where it shares the disk */
#define PAGE 500
#define PIECE (64 * 1024)
#define PASS_NS 2000000		/* of a piece that took longer, a sync was a part */

struct making {
	const struct backup_job *job;
	struct db *copy;		/* the copy, opened as a store */
	int data, part, media, links;	/* folders: data, FOLDER.part, its media, hard links to media files beside the copy */
	char part_path[BACKUP_PATH], copy_path[BACKUP_PATH];
	bool shared;			/* the backup lies on the store's disk */
	bool no_room;			/* copying would have filled that disk */
	int64_t done, all;		/* bytes read of store and media, for telling */
	struct backup_manifest m;
	char piece[PIECE];
};

/* ---- going on or not ------------------------------------------------------------------------------- */

/* Copying is the first third of the way. */
static bool tell(struct making *k, int64_t thousandths)
{
	return k->job->told == NULL || k->job->told(k->job->arg, (int)thousandths);
}

static bool copied(void *arg, int64_t done, int64_t all)
{
	struct making *k = arg;
	struct cx cx;

	cx_init(&cx, "backup");
	k->no_room = folder_room(&cx, k->data, SPARE) != RC_OK;
	return tell(k, all > 0 ? done * 333 / all : 0) && !k->no_room;
}

static enum rc sealed_piece(struct cx *cx, struct making *k, size_t n)
{
	k->done += (int64_t)n;
	if (!tell(k, 333 + (k->all > 0 ? k->done * 666 / k->all : 0)))
		return fail(cx, RC_UNAVAILABLE, "the backup was ended before it was whole");
	return k->shared ? folder_room(cx, k->part, SPARE) : RC_OK;
}

/* ---- one file -------------------------------------------------------------------------------------- */

static enum rc file_new(struct cx *cx, struct making *k, int folder, const char *name, struct sealfile **ret)
{
	struct backup_place place = backup_place(k->m.id, name);

	return sealfile_new(cx, k->job->vault, folder, name, place.text, ret);
}

/* The disk is the server's as long as it was ours: whoever waits there for us is let pass. */
static void let_pass(const struct timespec *since)
{
	struct timespec now;
	int64_t ns;

	clock_gettime(CLOCK_MONOTONIC, &now);
	ns = (int64_t)(now.tv_sec - since->tv_sec) * 1000000000 + now.tv_nsec - since->tv_nsec;
	if (ns > PASS_NS)
		nanosleep(&(struct timespec){.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000}, NULL);
}

static enum rc pour(struct cx *cx, struct making *k, int fd, struct sealfile *f, int64_t *ret_bytes)
{
	struct timespec begun;
	ssize_t n;
	enum rc rc = RC_OK;

	*ret_bytes = 0;
	while (rc == RC_OK && (n = read(fd, k->piece, sizeof k->piece)) != 0) {
		if (n < 0)
			return fail(cx, RC_IO, "cannot read what is to be backed up: %s", strerror(errno));
		clock_gettime(CLOCK_MONOTONIC, &begun);
		rc = sealfile_add(cx, f, k->piece, (size_t)n);
		let_pass(&begun);
		*ret_bytes += n;
		if (rc == RC_OK)
			rc = sealed_piece(cx, k, (size_t)n);
	}
	return rc;
}

static enum rc seal_one(struct cx *cx, struct making *k, int from, const char *from_name, int to, const char *name, int64_t *ret_plain,
			struct sealfile_facts *ret)
{
	SEALFILE_AUTO struct sealfile *f = NULL;
	int fd = openat(from, from_name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	enum rc rc;

	if (fd < 0)
		return fail(cx, RC_IO, "cannot open %s: %s", from_name, strerror(errno));
	rc = file_new(cx, k, to, name, &f);
	if (rc == RC_OK)
		rc = pour(cx, k, fd, f, ret_plain);
	close(fd);
	return rc == RC_OK ? sealfile_finish(cx, f, ret) : rc;
}

/* ---- data keys ------------------------------------------------------------------------------------- */

static void key_line(struct buf *line, struct stmt *s)
{
	BUF_AUTO struct buf wrapped;
	struct jsonw w;
	size_t n;
	const void *bytes = db_blob(s, 3, &n);

	buf_init(&wrapped, 1024);
	text_base64url(&wrapped, bytes, n);
	jsonw_init(&w, line);
	jsonw_object(&w, NULL);
	jsonw_text(&w, "id", db_text(s, 0));
	jsonw_text(&w, "organization", db_text(s, 1));
	jsonw_text(&w, "endUser", db_text(s, 2));
	jsonw_text(&w, "wrapped", buf_text(&wrapped));
	jsonw_text(&w, "master", db_text(s, 4));
	jsonw_int(&w, "createdAt", db_int(s, 5));
	jsonw_object_end(&w);
	jsonw_end(&w);
}

/* A page at a time: a reader has a second. */
static enum rc keys_page(struct cx *cx, struct making *k, struct sealfile *f, char last[ID_MAX], int *ret_n)
{
	DB_READ_AUTO struct db_conn *c = db_take(k->copy);
	STMT_AUTO struct stmt *s = db_query(c, "SELECT id, organization_id, end_user_id, wrapped, master_key_id, created_at FROM data_key"
					    " WHERE id > ?1 ORDER BY id LIMIT 500", "s", last);
	BUF_AUTO struct buf line;
	enum rc rc = RC_OK;

	buf_init(&line, 8192);
	for (*ret_n = 0; rc == RC_OK && db_next(s); ++*ret_n) {
		buf_reset(&line);
		key_line(&line, s);
		snprintf(last, ID_MAX, "%s", db_text_or(s, 0, ""));
		rc = backup_line_add(cx, f, &line);
	}
	return rc == RC_OK ? db_fail(cx, c) : rc;
}

static enum rc keys_seal(struct cx *cx, struct making *k)
{
	SEALFILE_AUTO struct sealfile *f = NULL;
	char last[ID_MAX] = "";
	int n = PAGE;
	enum rc rc = file_new(cx, k, k->part, "keys", &f);

	while (rc == RC_OK && n == PAGE) {
		rc = keys_page(cx, k, f, last, &n);
		k->m.key_count += n;
	}
	return rc == RC_OK ? sealfile_finish(cx, f, &k->m.keys) : rc;
}

static enum rc keys_forget(struct cx *cx, struct db_conn *c, void *arg)
{
	(void)arg;
	db_run(c, "DELETE FROM data_key", "");
	return db_fail(cx, c);
}

/* ---- the store ------------------------------------------------------------------------------------- */

/* The copy needs as much again as the store has, and a full disk would stop the server. */
static enum rc copy_room(struct cx *cx, struct making *k)
{
	struct stat st;
	int64_t need = SPARE;
	struct cx quiet;

	if (fstatat(k->data, BACKUP_STORE, &st, AT_SYMLINK_NOFOLLOW) == 0)
		need += st.st_size;
	cx_init(&quiet, "backup");
	if (!k->no_room && folder_room(&quiet, k->data, need) == RC_OK)
		return RC_OK;
	cx_init(cx, cx->who);		/* whatever ended for want of room: this is the cause */
	return fail(cx, RC_FULL, "the disk of the data folder has no room for a copy of the store (%lld MiB, %lld of them for the server)",
		    (long long)(need >> 20), (long long)(SPARE >> 20));
}

static enum rc copy_make(struct cx *cx, struct making *k)
{
	char path[BACKUP_PATH];
	int copy = -1;
	enum rc rc = copy_room(cx, k);

	if (rc == RC_OK)
		rc = folder_new(cx, k->data, BACKUP_COPY, &copy);
	if (rc == RC_OK)
		rc = folder_new(cx, copy, "media", &k->links);
	if (copy >= 0)
		close(copy);
	if (rc == RC_OK)
		rc = backup_path(cx, path, k->copy_path, BACKUP_STORE);
	k->m.begun_at = clock_now();
	if (rc == RC_OK && (rc = db_copy(cx, k->job->db, path, copied, k)) != RC_OK && k->no_room)
		rc = copy_room(cx, k);
	k->m.taken_at = clock_now();
	return rc == RC_OK ? db_open(cx, &(struct db_config){.folder = k->copy_path, .readers = 1}, &k->copy) : rc;
}

/* After it the file has nothing of the keys: rows are overwritten when they go, and the WAL is cut off. */
static enum rc copy_strip(struct cx *cx, struct making *k)
{
	DB_READ_AUTO struct db_conn *c = db_take(k->copy);

	k->m.schema = migrate_newest(c);
	db_give(c);
	c = NULL;
	enum rc rc = keys_seal(cx, k);
	if (rc == RC_OK)
		rc = db_write(cx, k->copy, keys_forget, NULL);
	if (rc == RC_OK)
		rc = db_scrub(cx, k->copy);
	return rc == RC_OK ? db_check(cx, k->copy, true) : rc;
}

static enum rc store_seal(struct cx *cx, struct making *k)
{
	char from[64] = BACKUP_COPY "/" BACKUP_STORE;

	return seal_one(cx, k, k->data, from, k->part, "store", &k->m.store_bytes, &k->m.store);
}

/* ---- media ----------------------------------------------------------------------------------------- */

/* At once for all, so that none is gone before it was read.  One that the live store has removed since the copy is
 * counted as missing, and so is one that was lost before. */
static enum rc media_link(struct cx *cx, struct making *k, char last[ID_MAX], int *ret_n)
{
	DB_READ_AUTO struct db_conn *c = db_take(k->copy);
	STMT_AUTO struct stmt *s = db_query(c, "SELECT id, file, bytes FROM media WHERE id > ?1 AND status IN ('processing', 'ready')"
					    " ORDER BY id LIMIT 500", "s", last);
	char from[BACKUP_PATH];

	for (*ret_n = 0; db_next(s); ++*ret_n) {
		const char *file = db_text_or(s, 1, "");
		snprintf(last, ID_MAX, "%s", db_text_or(s, 0, ""));
		if (strchr(file, '/') || file[0] == '.' || strlen(file) > 100 || snprintf(from, sizeof from, "media/%s", file) < 7)
			return fail(cx, RC_CORRUPT, "a media item has the file name %.60s", file);
		if (linkat(k->data, from, k->links, file, 0) == 0)
			k->all += db_int(s, 2);
		else if (errno == ENOENT)
			k->m.media_missing++;
		else
			return fail(cx, RC_IO, "cannot link %s: %s", from, strerror(errno));
	}
	return db_fail(cx, c);
}

static enum rc media_seal_one(struct cx *cx, struct making *k, struct sealfile *list, const char *file)
{
	BUF_AUTO struct buf line;
	struct sealfile_facts facts;
	struct jsonw w;
	int64_t plain;
	enum rc rc = seal_one(cx, k, k->links, file, k->media, file, &plain, &facts);

	if (rc != RC_OK)
		return rc;
	buf_init(&line, 1024);
	jsonw_init(&w, &line);
	jsonw_object(&w, NULL);
	jsonw_text(&w, "file", file);
	jsonw_int(&w, "bytes", facts.bytes);
	jsonw_text(&w, "sha256", facts.sha256);
	jsonw_object_end(&w);
	jsonw_end(&w);
	k->m.media_count++;
	k->m.media_bytes += plain;
	return backup_line_add(cx, list, &line);
}

static enum rc media_page(struct cx *cx, struct making *k, struct sealfile *list, char last[ID_MAX], int *ret_n)
{
	ARENA_AUTO struct arena a;
	const char *names[PAGE];
	enum rc rc = RC_OK;

	arena_init(&a, 1u << 20);
	*ret_n = 0;
	{
		DB_READ_AUTO struct db_conn *c = db_take(k->copy);
		STMT_AUTO struct stmt *s = db_query(c, "SELECT id, file FROM media WHERE id > ?1 AND status IN ('processing', 'ready')"
						    " ORDER BY id LIMIT 500", "s", last);

		while (*ret_n < PAGE && db_next(s)) {
			snprintf(last, ID_MAX, "%s", db_text_or(s, 0, ""));
			names[(*ret_n)++] = db_dup(s, 1, &a);
		}
		rc = db_fail(cx, c);
	}
	for (int i = 0; i < *ret_n && rc == RC_OK; i++)
		if (folder_has(k->links, names[i]))
			rc = media_seal_one(cx, k, list, names[i]);
	return rc;
}

static enum rc media_seal(struct cx *cx, struct making *k)
{
	SEALFILE_AUTO struct sealfile *list = NULL;
	char last[ID_MAX] = "";
	int n = PAGE;
	enum rc rc = folder_new(cx, k->part, "media", &k->media);

	if (rc == RC_OK)
		rc = file_new(cx, k, k->part, "media.list", &list);
	while (rc == RC_OK && n == PAGE)
		rc = media_page(cx, k, list, last, &n);
	if (rc == RC_OK)
		rc = sealfile_finish(cx, list, &k->m.list);
	return rc == RC_OK ? folder_sync(cx, k->media) : rc;
}

static enum rc media_hold(struct cx *cx, struct making *k)
{
	char last[ID_MAX] = "";
	int n = PAGE;
	enum rc rc = RC_OK;

	while (rc == RC_OK && n == PAGE)
		rc = media_link(cx, k, last, &n);
	return rc;
}

/* ---- the whole ------------------------------------------------------------------------------------- */

/* The folder of an earlier try goes, unless somebody is at it. */
static enum rc part_make(struct cx *cx, struct making *k)
{
	int left = open(k->part_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	if (left >= 0 && flock(left, LOCK_EX | LOCK_NB) != 0) {
		close(left);
		return fail(cx, RC_CONFLICT, "another backup is being written to %s", k->part_path);
	}
	folder_remove(AT_FDCWD, k->part_path);
	if (left >= 0)
		close(left);
	enum rc rc = folder_new(cx, AT_FDCWD, k->part_path, &k->part);
	if (rc == RC_OK && flock(k->part, LOCK_EX | LOCK_NB) != 0)
		rc = fail(cx, RC_CONFLICT, "another backup is being written to %s", k->part_path);
	return rc;
}

static enum rc open_all(struct cx *cx, struct making *k)
{
	const char *folder = k->job->folder;
	enum rc rc;

	if (folder[0] != '/' || strlen(folder) < 2 || folder[strlen(folder) - 1] == '/')
		return fail(cx, RC_INVALID, "a backup needs the whole path of a new folder");
	if (folder_has(AT_FDCWD, folder))
		return fail(cx, RC_CONFLICT, "%s is there already: a backup is made in a new folder", folder);
	if (snprintf(k->part_path, sizeof k->part_path, "%s.part", folder) >= BACKUP_PATH)
		return fail(cx, RC_INVALID, "the path of the backup is too long");
	rc = backup_path(cx, k->copy_path, k->job->data_folder, BACKUP_COPY);
	if (rc == RC_OK)
		rc = folder_open(cx, k->job->data_folder, &k->data);
	if (rc == RC_OK)
		rc = part_make(cx, k);
	if (rc == RC_OK)
		k->shared = folder_same_disk(k->data, k->part);
	folder_remove(k->data, BACKUP_COPY);
	return rc;
}

static enum rc seal_all(struct cx *cx, struct making *k)
{
	enum rc rc = copy_make(cx, k);

	if (rc == RC_OK)
		rc = media_hold(cx, k);
	if (rc == RC_OK)
		rc = copy_strip(cx, k);
	if (rc == RC_OK)
		rc = media_seal(cx, k);
	db_close(k->copy);		/* the file is whole by itself now */
	k->copy = NULL;
	return rc == RC_OK ? store_seal(cx, k) : rc;
}

static enum rc put_name(struct cx *cx, struct making *k)
{
	enum rc rc = backup_manifest_write(cx, k->job->vault, k->part, &k->m);

	if (rc == RC_OK)
		rc = folder_sync(cx, k->part);
	if (rc == RC_OK && rename(k->part_path, k->job->folder) != 0)
		rc = fail(cx, RC_IO, "cannot rename %s: %s", k->part_path, strerror(errno));
	return rc == RC_OK ? folder_sync_parent(cx, k->job->folder) : rc;
}

static void close_all(struct making *k, bool whole)
{
	const int fds[] = {k->media, k->links, k->part};

	if (k->data >= 0) {
		folder_remove(k->data, BACKUP_COPY);
		close(k->data);
	}
	if (!whole && k->part >= 0)
		folder_remove(AT_FDCWD, k->part_path);
	for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	free(k);
}

enum rc backup_make(struct cx *cx, const struct backup_job *job, struct backup_manifest *ret)
{
	struct making *k = calloc(1, sizeof *k);

	if (k == NULL)
		return fail(cx, RC_NOMEM, "no memory for a backup");
	k->job = job;
	k->data = k->part = k->media = k->links = -1;
	id_new(k->m.id, "bak");
	snprintf(k->m.master, sizeof k->m.master, "%s", vault_master_id(job->vault));
	enum rc rc = open_all(cx, k);
	if (rc == RC_OK)
		rc = seal_all(cx, k);
	if (rc == RC_OK)
		rc = put_name(cx, k);
	if (rc == RC_OK)
		*ret = k->m;
	close_all(k, rc == RC_OK);
	return rc;
}

enum rc backup_unfinished(struct cx *cx, const char *data_folder)
{
	char store[BACKUP_PATH], restore[BACKUP_PATH];
	enum rc rc = backup_path(cx, store, data_folder, BACKUP_STORE);

	if (rc == RC_OK)
		rc = backup_path(cx, restore, data_folder, BACKUP_RESTORE);
	if (rc == RC_OK && folder_has(AT_FDCWD, restore) && !folder_has(AT_FDCWD, store))
		rc = fail(cx, RC_CONFLICT, "a restore was begun and did not end: run it again, or remove %s to begin with an empty store", restore);
	return rc;
}

void backup_tidy(const char *data_folder)
{
	static const char *const names[] = {BACKUP_COPY, BACKUP_RESTORE};
	struct cx cx;
	char path[BACKUP_PATH];

	cx_init(&cx, "backup");
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		if (backup_path(&cx, path, data_folder, names[i]) == RC_OK)
			folder_remove(AT_FDCWD, path);
}
