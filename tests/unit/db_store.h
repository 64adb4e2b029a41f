/*
 * A store in a folder of its own for the tests of the store, with one table, behind the shim of tests/rig/shim.h.
 */
#ifndef MPS_TESTS_UNIT_DB_STORE_H
#define MPS_TESTS_UNIT_DB_STORE_H

#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/io/db.h"
#include "core/io/migrate.h"
#include "tests/rig/shim.h"
#include "tests/unit/test.h"

#define UNUSED __attribute__((unused))
#define CHECK_SOFT(cond) do { if (!(cond)) { fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond); abort(); } } while (0)

UNUSED static int store_commits(void) { return atomic_load(&shim_syncs); }

/* ---- the store ------------------------------------------------------------------------------------- */

struct store { struct cx cx; struct db *db; char folder[64]; };

static const struct embed store_files[] = {
	{"db/0001_item.sql", (const unsigned char *)"CREATE TABLE item (id INTEGER PRIMARY KEY, text TEXT NOT NULL);", 63},
	{NULL, NULL, 0}
};

static void store_again(struct store *st)
{
	int applied;
	shim_register();
	cx_init(&st->cx, "test");
	CHECK_SAY(db_open(&st->cx, &(struct db_config){.folder = st->folder}, &st->db) == RC_OK, "open: %s", st->cx.words);
	CHECK_SAY(migrate_files(&st->cx, st->db, store_files, &applied) == RC_OK, "migrate: %s", st->cx.words);
}

UNUSED static void store_open(struct store *st)
{
	snprintf(st->folder, sizeof st->folder, "/tmp/mps-db-XXXXXX");
	CHECK(mkdtemp(st->folder) != NULL);
	store_again(st);
}

static void store_remove(const char *folder)
{
	static const char *const names[] = {"mypostshare.db", "mypostshare.db-wal", "mypostshare.db-shm", "lock"};
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		char path[200];
		snprintf(path, sizeof path, "%s/%s", folder, names[i]);
		unlink(path);
	}
	rmdir(folder);
}

UNUSED static void store_shut(struct store *st) { db_close(st->db); }
UNUSED static void store_close(struct store *st) { db_close(st->db); store_remove(st->folder); }

struct store_row { int64_t id; const char *text; };

static enum rc store_insert(struct cx *cx, struct db_conn *c, void *arg)
{
	const struct store_row *row = arg;
	db_run(c, "INSERT INTO item (id, text) VALUES (?1, ?2)", "is", row->id, row->text);
	return db_fail(cx, c);
}

UNUSED static enum rc store_try(struct store *st, int64_t id)
{
	struct cx cx;
	struct store_row row = {id, "x"};
	cx_init(&cx, "test");
	return db_write(&cx, st->db, store_insert, &row);
}

UNUSED static void store_add(struct store *st, int64_t id) { CHECK_INT(store_try(st, id), RC_OK); }

UNUSED static int64_t store_count(struct db_conn *c) { return db_number(c, -1, "SELECT count(*) FROM item", ""); }

UNUSED static int64_t store_rows(struct store *st)
{
	struct db_conn *c = db_take(st->db);
	int64_t n = store_count(c);
	db_give(c);
	return n;
}

UNUSED static bool store_has(struct store *st, int64_t id)
{
	struct db_conn *c = db_take(st->db);
	bool has = db_number(c, 0, "SELECT count(*) FROM item WHERE id = ?1", "i", id) == 1;
	db_give(c);
	return has;
}

static enum rc store_sql(struct cx *cx, struct db_conn *c, void *arg)
{
	db_run(c, arg, "");
	return db_fail(cx, c);
}

/* A literal that writes. */
UNUSED static void store_say(struct store *st, const char *sql)
{
	CHECK_SAY(db_write(&st->cx, st->db, store_sql, (void *)(uintptr_t)sql) == RC_OK, "%s", st->cx.words);
}

/* Whether a text stands in the files.  Another process looks: closing the file in this one drops SQLite's locks. */
UNUSED static bool store_holds(struct store *st, const char *text)
{
	char command[300];
	snprintf(command, sizeof command, "grep -aq '%s' %s/*", text, st->folder);
	return system(command) == 0;
}

/* What SQLite's own check says.  Only while the store is shut: see db_file. */
UNUSED static bool store_sound(struct store *st)
{
	sqlite3 *raw = NULL;
	sqlite3_stmt *s = NULL;
	char path[200];
	bool sound = false;

	snprintf(path, sizeof path, "%s/mypostshare.db", st->folder);
	if (sqlite3_open_v2(path, &raw, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK
			&& sqlite3_prepare_v2(raw, "PRAGMA integrity_check", -1, &s, NULL) == SQLITE_OK && sqlite3_step(s) == SQLITE_ROW)
		sound = strcmp((const char *)sqlite3_column_text(s, 0), "ok") == 0;
	sqlite3_finalize(s);
	sqlite3_close(raw);
	return sound;
}

#endif
