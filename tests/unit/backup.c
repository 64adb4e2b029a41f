/*
 * Backups of a store with two people: what is in the folder, what a restore accepts.
 *
 * The one thing to know: the files are looked into from outside, by bytes; and whatever a restore refuses must leave
 * neither a store nor a part of one.
 */
#include "tests/unit/backup_store.h"

#include <signal.h>
#include <sys/resource.h>

#include "tests/rig/shim.h"

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
			test_shell("cp %s %s", at("data/mypostshare.db"), at("copied"));
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
	test_shell("sed 's/.*\"masterKey\":\"\\([0-9a-f]*\\)\".*/\\1/' %s | tr -d '\\n' > %s", at("one/manifest.json"), at("id"));
	FILE *f = fopen(at("id"), "r");
	CHECK(f && fread(id, 1, 16, f) == 16 && fclose(f) == 0);
	CHECK(rename(key_file, at("kept.key")) == 0);
	refused("one", "master.key is missing");		/* and no new one is made */
	CHECK(access(key_file, F_OK) != 0);
	test_shell("umask 277; printf '%%064d\\n' 7 > %s", key_file);
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
			test_shell("rm -rf %s && cp -a %s %s", at("bad"), at("one"), at("bad"));
			char path[200];
			struct stat st;
			snprintf(path, sizeof path, "%s/%s", at("bad"), files[i]);
			CHECK(stat(path, &st) == 0);
			if (how < 4)
				CHECK(truncate(path, how == 0 ? 0 : how == 1 ? 17 : how == 2 ? st.st_size / 2 : st.st_size - 2) == 0);
			else if (how == 4)
				CHECK(unlink(path) == 0);
			else
				test_shell("cp %s/%s %s", at("two"), files[i], path);
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
	test_shell("cp -a %s %s", at("one"), at("one.part"));
	refused("one.part", "not finished");
	CHECK(mkdir(at("empty"), 0700) == 0);
	refused("empty", "no manifest.json");
	refused("nowhere", "nowhere");
	test_shell("ln -s %s %s", at("one"), at("linked"));
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
	test_shell("printf '# ended since\\napi_key %s\\nend_user eu_2\\n' > %s; printf 'api_key\\n' > %s", id, at("tombs"), at("bad"));
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
	test_shell("echo x > %s; echo x > %s; echo x > %s", at("one.part/store"), at("one.part/media/med_1"), at("data/copy/mypostshare.db"));
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
