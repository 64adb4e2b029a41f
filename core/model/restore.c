/*
 * Restoring a backup: see backup.h.  The store is unpacked and brought up to date in a folder of its own beside its
 * place; media files before it; its own name comes last, so that there is a whole store or none.
 *
 * The one thing to know: everything that must be true before a server may open it (its own check, the data keys, the
 * tombstones, what is held back) is done before it has its name.
 */
#include "core/model/backup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/embed.h"
#include "core/base/log.h"
#include "core/base/text.h"
#include "core/io/folder.h"
#include "core/io/mediafile.h"
#include "core/io/migrate.h"
#include "core/model/backup_parts.h"
#include "core/model/installation.h"

#define PIECE (64 * 1024)
#define BATCH 200

struct keyrow {
	char id[ID_MAX], organization[ID_MAX], end_user[ID_MAX], master[VAULT_KEY_ID_MAX];
	uint8_t wrapped[VAULT_WRAPPED];
	int64_t at;
};

struct restoring {
	const struct conf *conf;
	const struct backup_source *from;
	struct vault *vault;
	struct db *db;
	int lock, data, folder, media, part;	/* the two last: DATA/media, DATA/restore */
	char part_path[BACKUP_PATH];
	struct backup_restored *done;
	struct keyrow rows[BATCH];
	int n;
	char piece[PIECE];
};

/* ---- one file -------------------------------------------------------------------------------------- */

static enum rc write_all(struct cx *cx, int fd, const char *name, const char *bytes, size_t n)
{
	for (size_t at = 0; at < n;) {
		ssize_t done = write(fd, bytes + at, n - at);
		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return fail(cx, errno == ENOSPC || errno == EDQUOT || errno == EFBIG ? RC_FULL : RC_IO, "cannot write %s: %s", name,
				    strerror(errno));
		at += (size_t)done;
	}
	return RC_OK;
}

static enum rc pour(struct cx *cx, struct restoring *k, struct sealfile *f, int fd, const char *name, struct sealfile_facts *ret)
{
	size_t n = 1;
	enum rc rc = RC_OK;

	while (rc == RC_OK && n > 0) {
		rc = sealfile_read(cx, f, k->piece, sizeof k->piece, &n, ret);
		if (rc == RC_OK)
			rc = write_all(cx, fd, name, k->piece, n);
	}
	if (rc == RC_OK && fsync(fd) != 0)
		rc = fail(cx, RC_IO, "cannot write %s: %s", name, strerror(errno));
	return rc;
}

/* from_folder/from, sealed for the place `name`, becomes a plain new file; the facts are compared at its end. */
static enum rc unseal_one(struct cx *cx, struct restoring *k, int from_folder, const char *from, int to_folder, const char *to,
			  const struct sealfile_facts *want)
{
	SEALFILE_AUTO struct sealfile *f = NULL;
	struct backup_place place = backup_place(k->done->from.id, from);
	struct sealfile_facts got = {0};
	enum rc rc = sealfile_open(cx, k->vault, from_folder, from, place.text, &f);
	int fd;

	if (rc != RC_OK)
		return rc;
	fd = openat(to_folder, to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return fail(cx, RC_IO, "cannot make %s: %s", to, strerror(errno));
	rc = pour(cx, k, f, fd, to, &got);
	close(fd);
	if (rc == RC_OK && !backup_facts_equal(&got, want))
		rc = fail(cx, RC_CORRUPT, "%s is not the one that the backup names", from);
	return rc;
}

/* ---- before anything is written --------------------------------------------------------------------- */

static enum rc schema_check(struct cx *cx, const struct backup_manifest *m)
{
	int64_t known = 0;

	for (const struct embed *e = embed_files; e->name; e++)
		known += text_starts(e->name, "db/");
	if (m->schema > known)
		return fail(cx, RC_CONFLICT, "the backup is of a newer mypostshare (schema %lld, this program knows %lld): install that version",
			    (long long)m->schema, (long long)known);
	return RC_OK;
}

static enum rc target_check(struct cx *cx, const struct restoring *k)
{
	static const char *const names[] = {BACKUP_STORE, BACKUP_STORE "-wal", BACKUP_STORE "-shm"};

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		if (folder_has(k->data, names[i]))
			return fail(cx, RC_CONFLICT, "there is a store: a restore never writes over one.  Move it aside first:"
				    " mkdir %s/aside && mv %s/" BACKUP_STORE "* %s/aside/", k->conf->data_folder, k->conf->data_folder,
				    k->conf->data_folder);
	return RC_OK;
}

static enum rc open_all(struct cx *cx, struct restoring *k)
{
	enum rc rc = installation_owner(cx, k->conf);

	if (rc == RC_OK)
		rc = db_lock(cx, k->conf->data_folder, &k->lock);
	if (rc == RC_OK)
		rc = folder_open(cx, k->conf->data_folder, &k->data);
	if (rc == RC_OK)
		rc = target_check(cx, k);
	if (rc == RC_OK)
		rc = folder_open(cx, k->from->folder, &k->folder);
	if (rc == RC_OK)
		rc = vault_open(cx, k->conf->key_file, 0, &k->vault);
	if (rc == RC_OK)
		rc = backup_manifest_read(cx, k->vault, k->from->folder, k->folder, &k->done->from);
	return rc == RC_OK ? schema_check(cx, &k->done->from) : rc;
}

/* ---- the store ------------------------------------------------------------------------------------- */

static enum rc store_unpack(struct cx *cx, struct restoring *k)
{
	struct db_config config = {.folder = k->part_path, .readers = 1};
	int applied = 0;
	enum rc rc;

	folder_remove(k->data, BACKUP_RESTORE);
	rc = folder_new(cx, k->data, BACKUP_RESTORE, &k->part);
	if (rc == RC_OK)
		rc = unseal_one(cx, k, k->folder, "store", k->part, BACKUP_STORE, &k->done->from.store);
	if (rc == RC_OK)
		rc = db_open(cx, &config, &k->db);
	if (rc == RC_OK)
		rc = db_check(cx, k->db, false);
	return rc == RC_OK ? migrate_run(cx, k->db, &applied) : rc;
}

/* ---- data keys ------------------------------------------------------------------------------------- */

/* An owner whom the store does not know came after it, where the keys are of a later backup. */
static enum rc keys_write(struct cx *cx, struct db_conn *c, void *arg)
{
	struct restoring *k = arg;

	for (int i = 0; i < k->n; i++) {
		const struct keyrow *r = &k->rows[i];
		const char *org = r->organization[0] ? r->organization : NULL, *user = r->end_user[0] ? r->end_user : NULL;
		if (org && db_number(c, 0, "SELECT COUNT(*) FROM organization WHERE id = ?1", "s", org) == 0)
			continue;
		if (user && db_number(c, 0, "SELECT COUNT(*) FROM end_user WHERE id = ?1 AND organization_id = ?2", "ss", user, org) == 0)
			continue;
		db_run(c, "INSERT INTO data_key (id, organization_id, end_user_id, wrapped, master_key_id, created_at)"
		       " VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (id) DO NOTHING", "sssbsi", r->id, org, user, r->wrapped, sizeof r->wrapped,
		       r->master, r->at);
	}
	return db_fail(cx, c);
}

static enum rc keys_flush(struct cx *cx, struct restoring *k)
{
	enum rc rc = k->n > 0 ? db_write(cx, k->db, keys_write, k) : RC_OK;

	k->n = 0;
	return rc;
}

static enum rc key_take(struct cx *cx, struct jv line, void *arg)
{
	BUF_AUTO struct buf wrapped;
	struct restoring *k = arg;
	struct keyrow *r = &k->rows[k->n];
	const char *text = json_text_or(json_get(line, "wrapped"), "");

	*r = (struct keyrow){.at = 0};
	buf_init(&wrapped, 1024);
	snprintf(r->id, sizeof r->id, "%s", json_text_or(json_get(line, "id"), ""));
	snprintf(r->organization, sizeof r->organization, "%s", json_text_or(json_get(line, "organization"), ""));
	snprintf(r->end_user, sizeof r->end_user, "%s", json_text_or(json_get(line, "endUser"), ""));
	snprintf(r->master, sizeof r->master, "%s", json_text_or(json_get(line, "master"), ""));
	if (r->id[0] == '\0' || !json_int(json_get(line, "createdAt"), &r->at) || !text_unbase64url(&wrapped, text, strlen(text)) ||
	    wrapped.len != sizeof r->wrapped)
		return fail(cx, RC_CORRUPT, "keys holds a row that is no data key");
	memcpy(r->wrapped, wrapped.data, sizeof r->wrapped);
	return ++k->n == BATCH ? keys_flush(cx, k) : RC_OK;
}

static enum rc keys_of(struct cx *cx, struct restoring *k, int folder, const struct backup_manifest *m)
{
	struct backup_listed l = {.vault = k->vault, .folder = folder, .backup_id = m->id, .name = "keys", .facts = &m->keys};
	enum rc rc;

	if (!folder_has(folder, "keys"))
		return fail(cx, RC_NOT_FOUND, "keys is missing: it leaves a backup earlier than the rest; name a newer backup that has it:"
			    " --keys FOLDER");
	rc = backup_lines_read(cx, &l, key_take, k);
	return rc == RC_OK ? keys_flush(cx, k) : rc;
}

static enum rc keys_of_other(struct cx *cx, struct restoring *k)
{
	struct backup_manifest m;
	int folder = -1;
	enum rc rc = folder_open(cx, k->from->keys, &folder);

	if (rc == RC_OK)
		rc = backup_manifest_read(cx, k->vault, k->from->keys, folder, &m);
	if (rc == RC_OK)
		rc = keys_of(cx, k, folder, &m);
	if (folder >= 0)
		close(folder);
	k->done->later_keys = true;
	return rc;
}

/* How many owners have none: their secrets are gone, theirs alone. */
static enum rc keys_count(struct cx *cx, struct restoring *k)
{
	DB_READ_AUTO struct db_conn *c = db_take(k->db);

	k->done->keys = db_number(c, 0, "SELECT COUNT(*) FROM data_key", "");
	k->done->keys_missing = db_number(c, 0, "SELECT COUNT(*) FROM organization o WHERE NOT EXISTS (SELECT 1 FROM data_key k WHERE"
			" k.organization_id = o.id AND k.end_user_id IS NULL)", "") +
		db_number(c, 0, "SELECT COUNT(*) FROM end_user u WHERE NOT EXISTS (SELECT 1 FROM data_key k WHERE"
			" k.organization_id = u.organization_id AND k.end_user_id = u.id)", "");
	if (db_rc(c) == RC_OK && db_number(c, 0, "SELECT COUNT(*) FROM data_key WHERE organization_id IS NULL AND end_user_id IS NULL", "") == 0)
		return fail(cx, RC_CORRUPT, "keys lacks the installation's own data key: no API key would be known");
	return db_fail(cx, c);
}

/* ---- tombstones ------------------------------------------------------------------------------------ */

/* A line says what was ended after the backup: "api_key key_...", "data_key dk_...", "end_user eu_...", "organization org_..."
 * (the last two: the data keys of it). */
static const struct { const char *kind, *sql; } tombs[] = {
	{"api_key", "UPDATE api_key SET revoked_at = COALESCE(revoked_at, ?2) WHERE id = ?1"},
	{"data_key", "DELETE FROM data_key WHERE id = ?1 AND ?2 > 0"},
	{"end_user", "DELETE FROM data_key WHERE end_user_id = ?1 AND ?2 > 0"},
	{"organization", "DELETE FROM data_key WHERE organization_id = ?1 AND ?2 > 0"},
};

struct tombstones { struct restoring *k; const char *text; };

static enum rc tomb_apply(struct cx *cx, struct db_conn *c, char *line, int number, int64_t now)
{
	char *id = strchr(line, ' ');

	if (id)
		*id++ = '\0';
	for (size_t i = 0; i < sizeof tombs / sizeof tombs[0] && id && *id; i++)
		if (text_eq(tombs[i].kind, line)) {
			db_run(c, tombs[i].sql, "si", id, now);
			return db_fail(cx, c);
		}
	return fail(cx, RC_INVALID, "tombstones, line %d: expected api_key, data_key, end_user or organization, a blank, and an id", number);
}

static enum rc tombs_write(struct cx *cx, struct db_conn *c, void *arg)
{
	struct tombstones *t = arg;
	char *text = strdup(t->text), *rest = text, *line;
	int number = 0;
	enum rc rc = text ? RC_OK : fail(cx, RC_NOMEM, "no memory for the tombstones");

	t->k->done->tombstones = 0;
	while (rc == RC_OK && (line = strsep(&rest, "\n")) != NULL) {
		number++;
		if (line[0] == '\0' || line[0] == '#')
			continue;
		rc = tomb_apply(cx, c, line, number, clock_now());
		t->k->done->tombstones++;
	}
	free(text);
	return rc;
}

static enum rc tombs_replay(struct cx *cx, struct restoring *k)
{
	BUF_AUTO struct buf text;
	struct tombstones t = {.k = k};

	buf_init(&text, 64u << 20);
	if (k->from->tombstones == NULL)
		return RC_OK;
	enum rc rc = folder_read(cx, AT_FDCWD, k->from->tombstones, &text);
	if (rc != RC_OK)
		return rc;
	t.text = buf_text(&text);
	return db_write(cx, k->db, tombs_write, &t);
}

/* ---- media ----------------------------------------------------------------------------------------- */

/* Under another name first: a file of this name may be there, of the store that was moved aside, and is the same. */
static enum rc media_one(struct cx *cx, struct restoring *k, int from, const char *file, const struct sealfile_facts *facts)
{
	enum rc rc = unseal_one(cx, k, from, file, k->part, "medium", facts);

	if (rc == RC_OK && renameat(k->part, "medium", k->media, file) != 0)
		rc = fail(cx, RC_IO, "cannot put %s into media: %s", file, strerror(errno));
	return rc;
}

struct media_taking { struct restoring *k; int from; };

static enum rc media_take(struct cx *cx, struct jv line, void *arg)
{
	const struct media_taking *t = arg;
	const char *file = json_text_or(json_get(line, "file"), "");
	struct sealfile_facts facts = {0};

	snprintf(facts.sha256, sizeof facts.sha256, "%s", json_text_or(json_get(line, "sha256"), ""));
	if (file[0] == '\0' || file[0] == '.' || strchr(file, '/') || !json_int(json_get(line, "bytes"), &facts.bytes))
		return fail(cx, RC_CORRUPT, "media.list holds a line that is no file");
	return media_one(cx, t->k, t->from, file, &facts);
}

static enum rc media_unpack(struct cx *cx, struct restoring *k)
{
	const struct backup_manifest *m = &k->done->from;
	struct backup_listed l = {.vault = k->vault, .folder = k->folder, .backup_id = m->id, .name = "media.list", .facts = &m->list};
	struct media_taking t = {.k = k, .from = openat(k->folder, "media", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW)};
	enum rc rc = t.from < 0 ? fail(cx, RC_NOT_FOUND, "media is missing") : mediafile_folder(cx, k->conf->data_folder, &k->media);

	if (rc == RC_OK)
		rc = backup_lines_read(cx, &l, media_take, &t);
	if (t.from >= 0)
		close(t.from);
	return rc == RC_OK ? folder_sync(cx, k->media) : rc;
}

/* ---- the whole ------------------------------------------------------------------------------------- */

static enum rc store_ready(struct cx *cx, struct restoring *k)
{
	enum rc rc = store_unpack(cx, k);

	if (rc == RC_OK)
		rc = k->from->keys ? keys_of_other(cx, k) : keys_of(cx, k, k->folder, &k->done->from);
	if (rc == RC_OK)
		rc = tombs_replay(cx, k);
	if (rc == RC_OK)
		rc = keys_count(cx, k);
	if (rc == RC_OK)
		rc = restore_hold(cx, k->db, clock_now(), k->done);
	if (rc == RC_OK)
		rc = db_scrub(cx, k->db);
	db_close(k->db);
	k->db = NULL;
	return rc;
}

/* The file is durable (the checkpoint synced it); its name is, when this returns. */
static enum rc put_name(struct cx *cx, struct restoring *k)
{
	if (folder_has(k->part, BACKUP_STORE "-wal") || renameat(k->part, BACKUP_STORE, k->data, BACKUP_STORE) != 0)
		return fail(cx, RC_IO, "cannot put the store into its place: %s", strerror(errno));
	enum rc rc = folder_sync(cx, k->data);
	if (rc == RC_OK)
		folder_remove(k->data, BACKUP_RESTORE);
	return rc;
}

static void close_all(struct restoring *k, bool begun, bool whole)
{
	const int fds[] = {k->media, k->part, k->folder};

	db_close(k->db);
	if (begun && !whole)
		folder_remove(k->data, BACKUP_RESTORE);
	for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	vault_close(k->vault);
	if (k->data >= 0)
		close(k->data);
	if (k->lock >= 0)
		close(k->lock);
	free(k);
}

enum rc backup_restore(struct cx *cx, const struct conf *conf, const struct backup_source *from, struct backup_restored *ret)
{
	struct restoring *k = calloc(1, sizeof *k);
	bool begun;

	if (k == NULL)
		return fail(cx, RC_NOMEM, "no memory for a restore");
	*ret = (struct backup_restored){.unconfirmed = 0};
	k->conf = conf;
	k->from = from;
	k->done = ret;
	k->lock = k->data = k->folder = k->media = k->part = -1;
	enum rc rc = backup_path(cx, k->part_path, conf->data_folder, BACKUP_RESTORE);
	if (rc == RC_OK)
		rc = open_all(cx, k);
	begun = rc == RC_OK;
	if (rc == RC_OK)
		rc = store_ready(cx, k);
	if (rc == RC_OK)
		rc = media_unpack(cx, k);
	if (rc == RC_OK)
		rc = put_name(cx, k);
	close_all(k, begun, rc == RC_OK);
	return rc;
}
