/*
 * Backups of a store with two people: what is in the folder, what a restore accepts, what it holds back.
 *
 * The one thing to know: the files are looked into from outside, by bytes; and whatever a restore refuses must leave
 * neither a store nor a part of one.
 */
#include "core/model/backup.h"

#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <sys/resource.h>
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
#include "tests/rig/shim.h"
#include "tests/unit/test.h"

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

static void up(void)
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
static void sql(const char *text)
{
	cx_init(&cx, "test");
	CHECK_SAY(db_write(&cx, store.db, sql_run, (void *)(uintptr_t)text) == RC_OK, "%s", cx.words);
}

static int64_t number(const char *text)
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

static void make(const char *name)
{
	struct backup_manifest m;

	CHECK_SAY(make_told(name, NULL, &m) == RC_OK, "%s", cx.words);
}

/* The store is gone; the master key and the backups are there. */
static void lose(void)
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

static struct backup_restored restore(const char *name, const char *keys, const char *tombstones)
{
	struct backup_restored r;

	CHECK_SAY(try_restore(name, keys, tombstones, &r) == RC_OK, "%s", cx.words);
	return r;
}

/* Neither a store nor a part of one. */
static bool nothing_there(void) { return !folder_has(AT_FDCWD, at("data/mypostshare.db")) && !folder_has(AT_FDCWD, at("data/restore")); }

static void refused(const char *name, const char *words)
{
	struct backup_restored r;

	CHECK_SAY(try_restore(name, NULL, NULL, &r) != RC_OK, "%s was accepted (%s)", name, words);
	CHECK_SAY(strstr(cx.words, words) != NULL, "\"%s\" does not say \"%s\"", cx.words, words);
	CHECK(nothing_there());
}

static void shell(const char *command, ...) __attribute__((format(printf, 1, 2)));
static void shell(const char *command, ...)
{
	char text[2000];
	va_list ap;

	va_start(ap, command);
	vsnprintf(text, sizeof text, command, ap);
	va_end(ap);
	CHECK_SAY(system(text) == 0, "%s", text);
}

static bool holds(const char *folder, const char *text)
{
	char command[400];

	snprintf(command, sizeof command, "grep -raqF '%s' %s", text, folder);
	return system(command) == 0;
}

static enum rc secret_of(const char *user)
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

/* ---- there and back -------------------------------------------------------------------------------- */

TEST(what_was_there_is_there_again)
{
	begin();
	struct backup_manifest m;
	CHECK_SAY(make_told("one", NULL, &m) == RC_OK, "%s", cx.words);
	CHECK_INT(m.media_count, 1);
	CHECK_INT(m.media_missing, 1);
	CHECK_INT(m.key_count, 4);
	lose();
	struct backup_restored r = restore("one", NULL, NULL);
	CHECK_INT(r.keys, 4);
	CHECK_INT(r.keys_missing, 0);
	up();
	CHECK_INT(number("SELECT COUNT(*) FROM end_user WHERE display_name = '" CONTENT "'"), 2);
	CHECK_INT(secret_of("eu_1"), RC_OK);
	CHECK_INT(secret_of("eu_2"), RC_OK);
	CHECK(holds(at("data/media/med_1"), "CANARY-of-a-"));
}

TEST(nothing_of_it_is_in_clear)
{
	begin();
	CHECK(holds(at("data"), CONTENT));		/* the test can fail */
	make("one");
	CHECK(!holds(at("one"), CONTENT) && !holds(at("one"), "CANARY"));
	CHECK(!holds(at("one"), "eu_1") && !holds(at("one"), org.live_key));
	CHECK(!folder_has(AT_FDCWD, at("one.part")) && !folder_has(AT_FDCWD, at("data/copy")));
}

/* Neither in rows nor in what rows have left. */
TEST(the_sealed_store_has_no_data_key)
{
	begin();
	uint8_t wrapped[VAULT_WRAPPED] = {0}, piece[70000];
	struct backup_manifest m;
	size_t n = 1;
	FILE *plain;
	CHECK_SAY(make_told("one", NULL, &m) == RC_OK, "%s", cx.words);
	{
		DB_READ_AUTO struct db_conn *c = db_take(store.db);
		STMT_AUTO struct stmt *s = db_query(c, "SELECT wrapped FROM data_key WHERE end_user_id = 'eu_1'", "");
		CHECK(db_next(s));
		memcpy(wrapped, db_blob(s, 0, &n), sizeof wrapped);
	}
	db_scrub(&cx, store.db);
	for (int live = 0; live < 2; live++) {
		SEALFILE_AUTO struct sealfile *f = NULL;
		static uint8_t all[8 << 20];
		size_t have = 0;
		int folder = open(at("one"), O_RDONLY | O_DIRECTORY);
		if (live) {
			shell("cp %s %s", at("data/mypostshare.db"), at("copied"));
			plain = fopen(at("copied"), "r");
			have = fread(all, 1, sizeof all, plain);
			fclose(plain);
		} else {
			CHECK_INT(sealfile_open(&cx, store.vault, folder, "store", backup_place(m.id, "store").text, &f), RC_OK);
			do {
				CHECK_INT(sealfile_read(&cx, f, piece, sizeof piece, &n, NULL), RC_OK);
				CHECK(have + n < sizeof all);
				memcpy(all + have, piece, n);
				have += n;
			} while (n > 0);
		}
		close(folder);
		CHECK(have > 100000 && memmem(all, have, CONTENT, strlen(CONTENT)) != NULL);
		CHECK_INT(memmem(all, have, wrapped + 24, sizeof wrapped - 24) != NULL, live);
	}
}

TEST(without_the_master_key_it_is_worth_nothing)
{
	begin();
	make("one");
	lose();
	char id[VAULT_KEY_ID_MAX] = "";
	shell("sed 's/.*\"masterKey\":\"\\([0-9a-f]*\\)\".*/\\1/' %s | tr -d '\\n' > %s", at("one/manifest.json"), at("id"));
	FILE *f = fopen(at("id"), "r");
	CHECK(f && fread(id, 1, 16, f) == 16 && fclose(f) == 0);
	CHECK(rename(key_file, at("kept.key")) == 0);
	refused("one", "master.key is missing");		/* and no new one is made */
	CHECK(access(key_file, F_OK) != 0);
	shell("umask 277; printf '%%064d\\n' 7 > %s", key_file);
	refused("one", id);
	CHECK(unlink(key_file) == 0 && rename(at("kept.key"), key_file) == 0);
	restore("one", NULL, NULL);
}

/* ---- files that are not what they should be ---------------------------------------------------------- */

static const char *const files[] = {"manifest.json", "store", "keys", "media.list", "media/med_1"};

TEST(a_changed_file_is_refused_by_its_name)
{
	begin();
	make("one");
	lose();
	for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
		struct stat st;
		char name[64], path[200];
		snprintf(name, sizeof name, "one/%s", files[i]);
		snprintf(path, sizeof path, "%s", at(name));
		CHECK(stat(path, &st) == 0);
		const char *word = strchr(files[i], '/') ? "med_1" : files[i];
		for (int k = 0; k < 12; k++) {
			off_t where = k == 11 ? st.st_size - 1 : (off_t)((double)st.st_size * k / 11);
			uint8_t byte, changed;
			int fd = open(path, O_RDWR);
			CHECK(pread(fd, &byte, 1, where) == 1);
			changed = i == 0 && byte == '\n' ? 'x' : byte ^ 1;
			CHECK(pwrite(fd, &changed, 1, where) == 1);
			refused("one", i == 0 ? "" : word);
			CHECK(pwrite(fd, &byte, 1, where) == 1);
			close(fd);
		}
	}
	restore("one", NULL, NULL);		/* all is as it was */
}

TEST(a_file_that_is_cut_off_missing_or_anothers_is_refused_by_its_name)
{
	begin();
	make("one");
	make("two");
	lose();
	for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
		const char *word = strchr(files[i], '/') ? "med_1" : files[i];
		for (int how = 0; how < 6; how++) {
			shell("rm -rf %s && cp -a %s %s", at("bad"), at("one"), at("bad"));
			char path[200];
			struct stat st;
			snprintf(path, sizeof path, "%s/%s", at("bad"), files[i]);
			CHECK(stat(path, &st) == 0);
			if (how < 4)
				CHECK(truncate(path, how == 0 ? 0 : how == 1 ? 17 : how == 2 ? st.st_size / 2 : st.st_size - 2) == 0);
			else if (how == 4)
				CHECK(unlink(path) == 0);
			else
				shell("cp %s/%s %s", at("two"), files[i], path);
			refused("bad", i == 0 && how == 5 ? "" : word);
		}
	}
}

TEST(what_is_no_backup_is_refused)
{
	begin();
	make("one");
	struct backup_restored r;
	CHECK_INT(try_restore("one", NULL, NULL, &r), RC_CONFLICT);		/* a server holds the store */
	CHECK(strstr(cx.words, "in use") != NULL);
	down();
	CHECK_INT(try_restore("one", NULL, NULL, &r), RC_CONFLICT);		/* there is one */
	CHECK(strstr(cx.words, "there is a store") != NULL && folder_has(AT_FDCWD, at("data/mypostshare.db")));
	up();
	lose();
	shell("cp -a %s %s", at("one"), at("one.part"));
	refused("one.part", "not finished");
	CHECK(mkdir(at("empty"), 0700) == 0);
	refused("empty", "no manifest.json");
	refused("nowhere", "nowhere");
	shell("ln -s %s %s", at("one"), at("linked"));
	refused("linked", "linked");
}

TEST(a_newer_program_s_backup_is_refused)
{
	begin();
	make("one");
	struct backup_manifest m;
	int folder = open(at("one"), O_RDONLY | O_DIRECTORY);
	CHECK_INT(backup_manifest_read(&cx, store.vault, at("one"), folder, &m), RC_OK);
	m.schema = 99;
	CHECK(unlink(at("one/manifest.json")) == 0);
	CHECK_INT(backup_manifest_write(&cx, store.vault, folder, &m), RC_OK);
	close(folder);
	lose();
	refused("one", "newer mypostshare (schema 99");
}

/* A restore that was killed: a start must not put an empty store in the place of the one that is wanted. */
TEST(no_empty_store_takes_its_place)
{
	begin();
	make("one");
	lose();
	CHECK(mkdir(at("data/restore"), 0700) == 0);
	cx_init(&cx, "test");
	CHECK_INT(installation_open(&cx, &conf, &store), RC_CONFLICT);
	CHECK(strstr(cx.words, "a restore was begun") != NULL);
	installation_close(&store);
	CHECK(!folder_has(AT_FDCWD, at("data/mypostshare.db")));
	restore("one", NULL, NULL);
	up();
	CHECK_INT(secret_of("eu_1"), RC_OK);
}

/* ---- data keys ------------------------------------------------------------------------------------- */

TEST(a_destroyed_data_key_shreds_its_owner_s_secrets_in_every_backup)
{
	begin();
	make("one");
	sql("DELETE FROM data_key WHERE end_user_id = 'eu_2'");
	make("two");
	lose();
	CHECK(unlink(at("one/keys")) == 0);		/* it had its week */
	refused("one", "keys is missing");
	struct backup_restored r = restore("one", "two", NULL);
	CHECK_INT(r.keys_missing, 1);
	up();
	CHECK_INT(secret_of("eu_1"), RC_OK);
	CHECK_INT(secret_of("eu_2"), RC_NOT_FOUND);
	CHECK_INT(number("SELECT COUNT(*) FROM end_user"), 2);
}

TEST(keys_of_people_who_came_later_are_left_out)
{
	begin();
	make("one");
	sql("DELETE FROM connection WHERE end_user_id = 'eu_2'");
	sql("INSERT INTO end_user (id, organization_id, app_id, live, external_id, created_at, updated_at)"
	    " SELECT 'eu_3', organization_id, app_id, 1, 'eu_3', 1, 1 FROM end_user WHERE id = 'eu_1'");
	sql("INSERT INTO data_key SELECT 'dk_3', organization_id, 'eu_3', wrapped, master_key_id, 1 FROM data_key WHERE end_user_id = 'eu_1'");
	make("two");
	lose();
	CHECK_INT(restore("one", "two", NULL).keys, 4);
	up();
	CHECK_INT(number("SELECT COUNT(*) FROM data_key WHERE end_user_id = 'eu_3'"), 0);
}

TEST(tombstones_are_replayed_before_the_store_has_its_name)
{
	begin();
	make("one");
	char id[ID_MAX] = "";
	{
		DB_READ_AUTO struct db_conn *c = db_take(store.db);
		STMT_AUTO struct stmt *s = db_query(c, "SELECT id FROM api_key WHERE live = 1", "");
		CHECK(db_next(s));
		snprintf(id, sizeof id, "%s", db_text_or(s, 0, ""));
	}
	lose();
	shell("printf '# ended since\\napi_key %s\\nend_user eu_2\\n' > %s; printf 'api_key\\n' > %s", id, at("tombs"), at("bad"));
	struct backup_restored r;
	CHECK_INT(try_restore("one", NULL, "bad", &r), RC_INVALID);
	CHECK(strstr(cx.words, "line 1") != NULL && nothing_there());
	r = restore("one", NULL, "tombs");
	CHECK_INT(r.tombstones, 2);
	CHECK_INT(r.keys_missing, 1);
	up();
	CHECK_INT(number("SELECT COUNT(*) FROM api_key WHERE revoked_at IS NOT NULL"), 1);
	CHECK_INT(secret_of("eu_1"), RC_OK);
	CHECK_INT(secret_of("eu_2"), RC_NOT_FOUND);
}

/* ---- while writes go on ------------------------------------------------------------------------------ */

static int told_rows, told_calls;
static enum rc told_rc;

/* On the backup's thread, between two turns: rows are written into pages that were copied already, and into new ones. */
static bool write_meanwhile(void *arg, int thousandths)
{
	struct cx x;

	(void)arg;
	cx_init(&x, "meanwhile");
	if (thousandths < 333 && told_rows < 40 && db_write(&x, store.db, sql_run, (void *)(uintptr_t)
			"INSERT INTO idempotency SELECT 'o', 'a', 1, 'k' || (SELECT COUNT(*) FROM idempotency), 'f', 202, hex(zeroblob(20000)), 'r', 1")
			== RC_OK)
		told_rows++;
	told_calls++;
	return true;
}

static void fill(int rows)
{
	for (int i = 0; i < rows; i++)
		sql("INSERT INTO idempotency SELECT 'o', 'a', 1, 'k' || (SELECT COUNT(*) FROM idempotency), 'f', 202, hex(zeroblob(20000)), 'r', 1");
}

TEST(what_is_written_meanwhile_leaves_the_copy_whole)
{
	begin();
	fill(200);
	struct backup_manifest m;
	told_rows = 0;
	CHECK_SAY(make_told("one", write_meanwhile, &m) == RC_OK, "%s", cx.words);
	CHECK_SAY(told_rows >= 5, "%d rows", told_rows);
	CHECK_INT(number("SELECT COUNT(*) FROM idempotency"), 200 + told_rows);
	lose();
	restore("one", NULL, NULL);		/* checks every page */
	up();
	int64_t rows = number("SELECT COUNT(*) FROM idempotency");
	CHECK_SAY(rows >= 200 && rows <= 200 + told_rows, "%d rows of 200 and %d", (int)rows, told_rows);
}

static bool enough(void *arg, int thousandths)
{
	(void)arg;
	return thousandths < told_rows;
}

TEST(a_backup_that_is_ended_leaves_nothing)
{
	begin();
	fill(100);
	struct backup_manifest m;
	for (told_rows = 1; told_rows < 1000; told_rows += 249) {
		CHECK_INT(make_told("one", enough, &m), RC_UNAVAILABLE);
		CHECK(!folder_has(AT_FDCWD, at("one")) && !folder_has(AT_FDCWD, at("one.part")) && !folder_has(AT_FDCWD, at("data/copy")));
	}
	sql("DELETE FROM idempotency");
	make("one");
	CHECK_INT(make_told("one", NULL, &m), RC_CONFLICT);		/* never over one */
	CHECK_INT(make_told("nowhere/one", NULL, &m), RC_NOT_FOUND);
}

/* What a kill -9 left is no obstacle. */
TEST(what_a_killed_backup_left_goes)
{
	begin();
	CHECK(mkdir(at("one.part"), 0700) == 0 && mkdir(at("one.part/media"), 0700) == 0 && mkdir(at("data/copy"), 0700) == 0);
	shell("echo x > %s; echo x > %s; echo x > %s", at("one.part/store"), at("one.part/media/med_1"), at("data/copy/mypostshare.db"));
	make("one");
	CHECK(mkdir(at("data/copy"), 0700) == 0);
	down();
	up();
	CHECK(!folder_has(AT_FDCWD, at("data/copy")));
	lose();
	restore("one", NULL, NULL);
}

static bool copy_again(void *arg, int64_t done, int64_t all)
{
	struct cx x;

	(void)arg, (void)done, (void)all;
	cx_init(&x, "again");
	if (told_calls++ == 0) {
		told_rc = db_copy(&x, store.db, at("second"), NULL, NULL);
		unlink(at("second"));
	}
	return true;
}

TEST(a_second_copy_at_once_is_refused)
{
	begin();
	fill(60);
	told_calls = 0;
	CHECK_SAY(db_copy(&cx, store.db, at("first"), copy_again, NULL) == RC_OK, "%s", cx.words);
	CHECK_INT(told_rc, RC_CONFLICT);
}

/* The writer's connection is closed after a failed sync, and the copy with it. */
static bool fail_once(void *arg, int64_t done, int64_t all)
{
	struct cx x;

	(void)arg, (void)done, (void)all;
	if (told_calls++ == 0) {
		cx_init(&x, "failing");
		atomic_store(&shim_fail_sync, 2);
		told_rc = db_write(&x, store.db, sql_run, (void *)(uintptr_t)"UPDATE organization SET name = 'x'");
		atomic_store(&shim_fail_sync, 0);
	}
	return true;
}

TEST(a_disk_that_fails_meanwhile_ends_the_copy_and_not_the_store)
{
	shim_register();
	begin();
	fill(60);
	told_calls = 0;
	CHECK(db_copy(&cx, store.db, at("first"), fail_once, NULL) != RC_OK);
	CHECK_INT(told_rc, RC_IO);
	for (int i = 0; i < 100; i++) {		/* it comes back after a second */
		cx_init(&cx, "test");
		if (db_write(&cx, store.db, sql_run, (void *)(uintptr_t)"UPDATE organization SET name = 'y'") == RC_OK)
			break;
		usleep(50000);
	}
	CHECK_INT(number("SELECT COUNT(*) FROM organization WHERE name = 'y'"), 1);
	make("one");
	db_test_vfs(NULL);
}

TEST(a_full_disk_ends_the_backup_and_leaves_nothing)
{
	begin();
	fill(100);		/* 4 MB */
	struct backup_manifest m;
	struct rlimit old, small;
	CHECK(getrlimit(RLIMIT_FSIZE, &old) == 0);
	signal(SIGXFSZ, SIG_IGN);
	for (int i = 0; i < 3; i++) {
		small = (struct rlimit){.rlim_cur = (rlim_t[]){300, 1 << 20, 3 << 20}[i], .rlim_max = old.rlim_max};
		CHECK(setrlimit(RLIMIT_FSIZE, &small) == 0);
		enum rc rc = make_told("one", NULL, &m);
		CHECK(setrlimit(RLIMIT_FSIZE, &old) == 0);
		CHECK_SAY(rc == RC_FULL, "%s: %s", rc_name(rc), cx.words);
		CHECK(!folder_has(AT_FDCWD, at("one")) && !folder_has(AT_FDCWD, at("one.part")) && !folder_has(AT_FDCWD, at("data/copy")));
		sql("UPDATE organization SET name = name");
	}
	make("one");
	lose();
	CHECK(setrlimit(RLIMIT_FSIZE, &small) == 0);
	struct backup_restored r;
	enum rc rc = try_restore("one", NULL, NULL, &r);
	CHECK(setrlimit(RLIMIT_FSIZE, &old) == 0);
	CHECK_SAY(rc == RC_FULL && nothing_there(), "%s", cx.words);
	restore("one", NULL, NULL);
}

/* ---- what is held back ------------------------------------------------------------------------------- */

/* Each as it is at the backup, and what it is after the restore.  due: hours from now, 0 none. */
static const struct state {
	const char *id, *state, *reason, *parent, *kind;	/* kind: of its operation: NULL none, "intent" being sent, "phase" begun */
	int due, claimed;
	const char *after, *after_reason;
	bool operation;		/* is kept, and looked with */
} table[] = {
	{"dlv_due", "queued", NULL, NULL, NULL, -1, 0, "unconfirmed", "restored", false},
	{"dlv_later", "queued", NULL, NULL, NULL, 5, 0, "blocked", "restored", false},
	{"dlv_backoff", "queued", NULL, NULL, "phase", 5, 1, "unconfirmed", "restored", false},
	{"dlv_limited", "queued", NULL, NULL, "intent", 5, 1, "unconfirmed", "restored", true},
	{"dlv_processing", "processing", NULL, NULL, "phase", 0, 1, "unconfirmed", "restored", false},
	{"dlv_committing", "committing", NULL, NULL, "intent", 0, 1, "unconfirmed", "restored", true},
	{"dlv_platform", "awaiting_platform", NULL, NULL, "phase", 1, 1, "unconfirmed", "restored", true},
	{"dlv_user", "awaiting_user", NULL, NULL, "phase", 1, 1, "awaiting_user", NULL, true},
	{"dlv_reauth", "blocked", "reauth", NULL, NULL, 0, 1, "unconfirmed", "restored", false},
	{"dlv_missed", "blocked", "missed", NULL, NULL, 0, 0, "unconfirmed", "restored", false},
	{"dlv_unknown", "unconfirmed", "outcome_unknown", NULL, "intent", 1, 1, "unconfirmed", "outcome_unknown", true},
	{"dlv_draft", "pending", NULL, NULL, NULL, 0, 0, "pending", NULL, false},
	{"dlv_published", "published", NULL, NULL, NULL, 0, 1, "published", NULL, false},
	{"dlv_failed", "failed", "rejected", NULL, NULL, 0, 1, "failed", "rejected", false},
	{"dlv_canceled", "canceled", "caller", NULL, NULL, 0, 0, "canceled", "caller", false},
	{"dlv_child", "pending", NULL, "dlv_due", NULL, 0, 0, "unconfirmed", "restored", false},
	{"dlv_grandchild", "pending", NULL, "dlv_child", NULL, 0, 0, "unconfirmed", "restored", false},
	{"dlv_child_later", "pending", NULL, "dlv_later", NULL, 0, 0, "pending", NULL, false},
	{"dlv_child_draft", "pending", NULL, "dlv_draft", NULL, 0, 0, "pending", NULL, false},
	{"dlv_child_live", "pending", NULL, "dlv_published", NULL, 0, 0, "unconfirmed", "restored", false},
};
#define STATES (sizeof table / sizeof table[0])

static enum rc put_states(struct cx *x, struct db_conn *c, void *arg)
{
	(void)arg;
	for (size_t i = 0; i < STATES; i++) {
		const struct state *t = &table[i];
		int64_t due = t->due ? now + t->due * 3600000ll : 0;
		db_run(c, "INSERT INTO post (id, organization_id, app_id, live, status, mode, body, max_late_ms, on_missed, created_at, updated_at)"
		       " VALUES ('post_' || ?1, ?2, ?3, 1, 'publishing', 'now', '{}', 1000, 'publish', 1, 1)", "sss", t->id, org.id, org.app_id);
		db_run(c, "INSERT INTO delivery (id, organization_id, app_id, live, post_id, parent_delivery_id, connection_id, platform, provider,"
		       " content, content_hash, state, reason, scheduled_at, due_at, claimed_at, on_missed, created_at, updated_at, claim) VALUES"
		       " (?1, ?2, ?3, 1, 'post_' || ?1, ?4, 'con_eu_1', 'sandbox', 'sandbox', '{}', '', ?5, ?6, ?7, ?7, ?8, 'publish', 1, 1, 3)",
		       "ssssssoo", t->id, org.id, org.app_id, t->parent, t->state, t->reason, due, (int64_t)t->claimed);
		if (t->kind)
			db_run(c, "INSERT INTO operation (id, organization_id, app_id, live, kind, platform, provider, delivery_id, status, phase, event,"
			       " intent, created_at, updated_at) VALUES ('op_' || ?1, ?2, ?3, 1, 'publish', 'sandbox', 'sandbox', ?1, 'running', 'made',"
			       " ?4, ?5, 1, 1)", "sssss", t->id, org.id, org.app_id, text_eq(t->kind, "intent") ? "lost" : "timer", NULL);
		if (t->kind && text_eq(t->kind, "intent"))
			db_run(c, "UPDATE operation SET intent = ?2 WHERE delivery_id = ?1", "sb", t->id, "x", (size_t)1);
	}
	return db_fail(x, c);
}

static void check_state(const struct state *t)
{
	ARENA_AUTO struct arena a;
	struct delivery d = {0};
	DB_READ_AUTO struct db_conn *c = db_take(store.db);

	arena_init(&a, 65536);
	CHECK_SAY(delivery_load(c, t->id, NULL, &a, &d), "%s", t->id);
	bool held = text_eq(t->after_reason, "restored"), moved = !text_eq(t->after, t->state) || held;
	CHECK_SAY(text_eq(delivery_state_name(d.state), t->after) && text_eq(d.reason, t->after_reason), "%s is %s (%s)", t->id,
		  delivery_state_name(d.state), d.reason ? d.reason : "-");
	CHECK_SAY(d.claim == (moved ? 4 : 3), "%s: claim %d", t->id, (int)d.claim);
	CHECK_SAY(db_number(c, 0, "SELECT COUNT(*) FROM operation WHERE delivery_id = ?1", "s", t->id) == t->operation, "operation of %s", t->id);
	CHECK_SAY(!held || (d.due_at > 0) == t->operation, "%s is due at %lld", t->id, (long long)d.due_at);
	CHECK_SAY(db_number(c, 0, "SELECT COUNT(*) FROM event WHERE type = ?1 AND data LIKE '%\"id\":\"' || ?2 || '\"%'", "ss",
			    text_eq(t->after, "blocked") ? "delivery.blocked" : "delivery.unconfirmed", t->id) == held, "event of %s", t->id);
}

TEST(what_may_have_been_sent_since_is_held_back)
{
	begin();
	CHECK_SAY(db_write(&cx, store.db, put_states, NULL) == RC_OK, "%s", cx.words);
	sql("INSERT INTO server VALUES ('engine', 7, 1, 1)");
	make("one");
	lose();
	struct backup_restored r = restore("one", NULL, NULL);
	int64_t unconfirmed = 0, blocked = 0;
	up();
	for (size_t i = 0; i < STATES; i++) {
		check_state(&table[i]);
		unconfirmed += text_eq(table[i].after, "unconfirmed") && text_eq(table[i].after_reason, "restored");
		blocked += text_eq(table[i].after, "blocked");
	}
	CHECK_INT(r.unconfirmed, unconfirmed);
	CHECK_INT(r.blocked, blocked);
	CHECK_INT(number("SELECT COUNT(*) FROM server WHERE epoch = 1007 AND stopped_at IS NULL"), 1);
	CHECK(number("SELECT MIN(sequence) FROM event") > now);		/* past every reader's place */
	CHECK_INT(number("SELECT COUNT(*) FROM post WHERE status = 'needs_attention' AND id = 'post_dlv_due'"), 1);
}

static enum rc release(struct cx *x, struct db_conn *c, void *arg)
{
	return backup_release(x, c, NULL, now, arg);
}

TEST(released_ones_go_at_their_time)
{
	begin();
	CHECK_SAY(db_write(&cx, store.db, put_states, NULL) == RC_OK, "%s", cx.words);
	make("one");
	lose();
	restore("one", NULL, NULL);
	up();
	int64_t n = 0;
	CHECK_SAY(db_write(&cx, store.db, release, &n) == RC_OK, "%s", cx.words);
	CHECK_INT(n, 1);
	CHECK_INT(number("SELECT COUNT(*) FROM delivery WHERE id = 'dlv_later' AND state = 'queued' AND due_at = scheduled_at"), 1);
	CHECK_INT(number("SELECT COUNT(*) FROM delivery WHERE state = 'queued'"), 1);
	CHECK_SAY(db_write(&cx, store.db, release, &n) == RC_OK && n == 0, "again");
}

TEST(a_restored_store_can_be_backed_up_and_restored_again)
{
	begin();
	CHECK_SAY(db_write(&cx, store.db, put_states, NULL) == RC_OK, "%s", cx.words);
	make("one");
	lose();
	struct backup_restored first = restore("one", NULL, NULL);
	up();
	make("two");
	lose();
	struct backup_restored second = restore("two", NULL, NULL);
	CHECK(first.unconfirmed > 0 && second.unconfirmed == 0 && second.blocked == 0);		/* they are held already */
	up();
	CHECK_INT(number("SELECT COUNT(*) FROM delivery WHERE id = 'dlv_later' AND state = 'blocked' AND reason = 'restored'"), 1);
}

TEST(people_who_were_connecting_and_edits_under_way_end)
{
	begin();
	CHECK_SAY(db_write(&cx, store.db, put_states, NULL) == RC_OK, "%s", cx.words);
	sql("INSERT INTO connect_session (id, organization_id, app_id, live, end_user_id, platform, provider, status, token_mac, state_mac,"
	    " redirect_url, credential_mode, expires_at, created_at) SELECT 'cs_1', organization_id, app_id, 1, 'eu_1', 'sandbox', 'sandbox',"
	    " 'authorizing', x'01', x'02', 'u', 'customer', 9000000000000, 1 FROM end_user WHERE id = 'eu_1'");
	sql("INSERT INTO operation (id, organization_id, app_id, live, kind, platform, provider, delivery_id, status, phase, created_at, updated_at)"
	    " SELECT 'op_edit', organization_id, app_id, 1, 'edit', 'sandbox', 'sandbox', 'dlv_published', 'running', 'start', 1, 1"
	    " FROM end_user WHERE id = 'eu_1'");
	make("one");
	lose();
	CHECK_INT(restore("one", NULL, NULL).sessions, 1);
	up();
	CHECK_INT(number("SELECT COUNT(*) FROM connect_session WHERE state_mac IS NULL AND expires_at < 9000000000000"), 1);
	CHECK_INT(number("SELECT COUNT(*) FROM operation WHERE id = 'op_edit' AND status = 'failed'"), 1);
	CHECK_INT(number("SELECT COUNT(*) FROM event WHERE type = 'delivery.edit_failed'"), 1);
}
