/*
 * A store with two people, a medium and an API key for the tests of backups, and making, losing, restoring it.
 */
#ifndef MPS_TESTS_UNIT_BACKUP_STORE_H
#define MPS_TESTS_UNIT_BACKUP_STORE_H

#include "core/model/backup.h"

#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/text.h"
#include "core/io/folder.h"
#include "core/model/backup_parts.h"
#include "core/model/data_key.h"
#include "core/model/delivery.h"
#include "core/model/installation.h"
#include "core/model/organization.h"
#include "tests/unit/test.h"

#define UNUSED __attribute__((unused))
#define CANARY "CANARY-of-a-token"
#define CONTENT "CANARY-of-a-name"

static char base[64], data[96], key_file[96];
static struct installation store;
static struct organization_new org = {.name = "Acme"};
static struct cx cx;
static int64_t now;
static struct conf conf;

/* ---- the store ------------------------------------------------------------------------------------- */

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *at)
{
	(void)st, (void)flag, (void)at;
	return remove(path);
}

static void clean(void)
{
	installation_close(&store);
	nftw(base, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static const char *at(const char *name)
{
	static char path[8][200];
	static int n;
	char *p = path[n++ % 8];

	snprintf(p, sizeof path[0], "%s/%s", base, name);
	return p;
}

UNUSED static void up(void)
{
	cx_init(&cx, "test");
	CHECK_SAY(installation_open(&cx, &conf, &store) == RC_OK, "%s", cx.words);
}

static void down(void) { installation_close(&store); }

static enum rc user_make(struct cx *x, struct db_conn *c, const char *id)
{
	DATA_KEY_AUTO struct data_key k = {.key = NULL};
	BUF_AUTO struct buf sealed;
	char grant[40], secret[64];
	enum rc rc;

	buf_init(&sealed, 1024);
	snprintf(grant, sizeof grant, "gr_%s", id);
	snprintf(secret, sizeof secret, CANARY " %s", id);
	db_run(c, "INSERT INTO end_user (id, organization_id, app_id, live, external_id, display_name, created_at, updated_at)"
	       " VALUES (?1, ?2, ?3, 1, ?1, '" CONTENT "', 1, 1)", "sss", id, org.id, org.app_id);
	rc = data_key_create(x, c, store.vault, org.id, id);
	if (rc == RC_OK)
		rc = data_key_open(x, c, store.vault, org.id, id, &k);
	if (rc == RC_OK)
		rc = data_key_seal(x, &k, org.id, "auth_grant", "secrets", grant, secret, strlen(secret), &sealed);
	db_run(c, "INSERT INTO auth_grant (id, organization_id, app_id, live, end_user_id, platform, provider, secrets, status, created_at,"
	       " updated_at) VALUES (?1, ?2, ?3, 1, ?4, 'sandbox', 'sandbox', ?5, 'active', 1, 1)", "ssssb", grant, org.id, org.app_id, id,
	       sealed.data, sealed.len);
	db_run(c, "INSERT INTO connection (id, organization_id, app_id, live, end_user_id, grant_id, platform, provider, remote_id, status,"
	       " created_at, updated_at) VALUES ('con_' || ?4, ?2, ?3, 1, ?4, ?1, 'sandbox', 'sandbox', ?1, 'active', 1, 1)", "ssss", grant,
	       org.id, org.app_id, id);
	return rc == RC_OK ? db_fail(x, c) : rc;
}

static enum rc seed(struct cx *x, struct db_conn *c, void *arg)
{
	enum rc rc = organization_create(x, c, store.vault, &org, now);

	(void)arg;
	if (rc == RC_OK)
		rc = user_make(x, c, "eu_1");
	if (rc == RC_OK)
		rc = user_make(x, c, "eu_2");
	db_run(c, "INSERT INTO media (id, organization_id, app_id, live, status, file, bytes, expires_at, created_at, updated_at)"
	       " VALUES ('med_1', ?1, ?2, 1, 'ready', 'med_1', 12, 1, 1, 1), ('med_2', ?1, ?2, 1, 'ready', 'med_2', 12, 1, 1, 1)", "ss", org.id,
	       org.app_id);
	return rc == RC_OK ? db_fail(x, c) : rc;
}

static enum rc sql_run(struct cx *x, struct db_conn *c, void *arg)
{
	db_run(c, arg, "");
	return db_fail(x, c);
}

/* A literal. */
UNUSED static void sql(const char *text)
{
	cx_init(&cx, "test");
	CHECK_SAY(db_write(&cx, store.db, sql_run, (void *)(uintptr_t)text) == RC_OK, "%s", cx.words);
}

UNUSED static int64_t number(const char *text)
{
	DB_READ_AUTO struct db_conn *c = db_take(store.db);
	return db_number(c, -1, text, "");
}

/* A store of its own for each test; the last one's goes. */
static void begin(void)
{
	static bool ever;
	int fd;

	if (ever)
		clean();
	else
		atexit(clean);
	ever = true;
	now = clock_now();
	snprintf(base, sizeof base, "/tmp/mps-backup-XXXXXX");
	CHECK(mkdtemp(base) != NULL);
	snprintf(data, sizeof data, "%s/data", base);
	snprintf(key_file, sizeof key_file, "%s/master.key", base);
	conf = (struct conf){.data_folder = data, .key_file = key_file, .create_key = 1};
	up();
	CHECK(mkdir(at("data/media"), 0700) == 0);
	fd = open(at("data/media/med_1"), O_WRONLY | O_CREAT | O_EXCL, 0600);	/* med_2 was lost */
	CHECK(write(fd, CONTENT, 12) == 12 && close(fd) == 0);
	CHECK_SAY(db_write(&cx, store.db, seed, NULL) == RC_OK, "%s", cx.words);
}

static enum rc make_told(const char *name, backup_fn *told, struct backup_manifest *ret)
{
	struct backup_job job = {.db = store.db, .vault = store.vault, .data_folder = data, .folder = at(name), .told = told};

	cx_init(&cx, "test");
	return backup_make(&cx, &job, ret);
}

UNUSED static void make(const char *name)
{
	struct backup_manifest m;

	CHECK_SAY(make_told(name, NULL, &m) == RC_OK, "%s", cx.words);
}

/* The store is gone; the master key and the backups are there. */
UNUSED static void lose(void)
{
	down();
	CHECK(nftw(data, remove_one, 8, FTW_DEPTH | FTW_PHYS) == 0);
	CHECK(mkdir(data, 0700) == 0);
}

static enum rc try_restore(const char *name, const char *keys, const char *tombstones, struct backup_restored *ret)
{
	struct backup_source from = {.folder = at(name), .keys = keys ? at(keys) : NULL, .tombstones = tombstones ? at(tombstones) : NULL};

	cx_init(&cx, "test");
	return backup_restore(&cx, &conf, &from, ret);
}

UNUSED static struct backup_restored restore(const char *name, const char *keys, const char *tombstones)
{
	struct backup_restored r;

	CHECK_SAY(try_restore(name, keys, tombstones, &r) == RC_OK, "%s", cx.words);
	return r;
}

/* Neither a store nor a part of one. */
static bool nothing_there(void) { return !folder_has(AT_FDCWD, at("data/mypostshare.db")) && !folder_has(AT_FDCWD, at("data/restore")); }

UNUSED static void refused(const char *name, const char *words)
{
	struct backup_restored r;

	CHECK_SAY(try_restore(name, NULL, NULL, &r) != RC_OK, "%s was accepted (%s)", name, words);
	CHECK_SAY(strstr(cx.words, words) != NULL, "\"%s\" does not say \"%s\"", cx.words, words);
	CHECK(nothing_there());
}

UNUSED static bool holds(const char *folder, const char *text)
{
	char command[400];

	snprintf(command, sizeof command, "grep -raqF '%s' %s", text, folder);
	return system(command) == 0;
}

UNUSED static enum rc secret_of(const char *user)
{
	DB_READ_AUTO struct db_conn *c = db_take(store.db);
	DATA_KEY_AUTO struct data_key k = {.key = NULL};
	BUF_AUTO struct buf plain;
	char grant[40];
	size_t n;

	cx_init(&cx, "test");
	snprintf(grant, sizeof grant, "gr_%s", user);
	buf_init(&plain, 1024);
	if (data_key_open(&cx, c, store.vault, org.id, user, &k) != RC_OK)
		return cx.rc;
	STMT_AUTO struct stmt *s = db_query(c, "SELECT secrets FROM auth_grant WHERE id = ?1", "s", grant);
	CHECK(db_next(s));
	const void *sealed = db_blob(s, 0, &n);
	if (data_key_unseal(&cx, &k, org.id, "auth_grant", "secrets", grant, sealed, n, &plain) != RC_OK)
		return cx.rc;
	return text_starts(buf_text(&plain), CANARY) ? RC_OK : RC_CORRUPT;
}

#endif
