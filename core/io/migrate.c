/*
 * Migrations: one append-only list of SQL files, embedded in the binary.
 *
 * A file is written in the subset that SQLite and PostgreSQL share, so it cannot say STRICT; this file adds it
 * to every CREATE TABLE (INTEGER and BLOB stay as they are on SQLite).  The one thing to know: what was applied
 * is compared first, in full, and any difference refuses the store before anything is changed.
 */
#include "core/io/migrate.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/base/clock.h"
#include "core/base/failpoint.h"
#include "core/base/log.h"
#include "core/base/text.h"
#include "core/io/db_private.h"
#include "core/io/vault.h"

#define SCRIPT_MAX (1024 * 1024)
#define HASH_TEXT 65

/* ---- STRICT ---------------------------------------------------------------------------------------- */

/* The end of what starts at p: a quoted text, a comment, a word, or one character. */
static const char *piece_end(const char *p)
{
	const char *end;

	if (*p == '\'' || *p == '"' || *p == '`') {
		end = strchr(p + 1, *p);	/* a doubled quote is two texts side by side: as good */
		return end ? end + 1 : p + strlen(p);
	}
	if (p[0] == '-' && p[1] == '-')
		return p + strcspn(p, "\n");
	if (p[0] == '/' && p[1] == '*') {
		end = strstr(p + 2, "*/");
		return end ? end + 2 : p + strlen(p);
	}
	if (!isalnum((unsigned char)*p) && *p != '_')
		return p + 1;
	while (isalnum((unsigned char)*p) || *p == '_')
		p++;
	return p;
}

static bool is_word(const char *p, const char *end, const char *word)
{
	return (size_t)(end - p) == strlen(word) && strncasecmp(p, word, strlen(word)) == 0;
}

static bool is_space(const char *p, const char *end)
{
	return isspace((unsigned char)*p) || (end - p >= 2 && (strncmp(p, "--", 2) == 0 || strncmp(p, "/*", 2) == 0));
}

static const char *skip_space(const char *p)
{
	for (const char *end; *p && is_space(p, end = piece_end(p)); p = end)
		;
	return p;
}

struct table_shape {
	bool table;		/* CREATE TABLE */
	bool strict, select;	/* says STRICT, is made from a SELECT */
	const char *close;	/* after the bracket that ends the columns */
};

static struct table_shape shape_of(const char *sql)
{
	struct table_shape shape = {0};
	int words = 0, depth = 0;

	for (const char *p = sql, *end; *p; p = end) {
		end = piece_end(p);
		if (is_space(p, end))
			continue;
		if (words == 0 && !is_word(p, end, "CREATE"))
			return shape;
		if (words == 1 && !(shape.table = is_word(p, end, "TABLE")))
			return shape;
		words++;
		depth += *p == '(' ? 1 : *p == ')' ? -1 : 0;
		if (*p == ')' && depth == 0)
			shape.close = end;
		if (depth == 0 && words > 2) {
			shape.strict |= shape.close && is_word(p, end, "STRICT");
			shape.select |= is_word(p, end, "AS");
		}
	}
	return shape;
}

/* One statement as SQLite is to see it. */
static enum rc statement_for_sqlite(struct cx *cx, const char *name, const char *sql, struct buf *ret)
{
	struct table_shape shape = shape_of(sql);
	const char *rest = shape.close;

	if (shape.table && (shape.select || shape.close == NULL))
		return fail(cx, RC_INVALID, "%s: a table needs its columns written out", name);
	if (!shape.table || shape.strict) {
		buf_adds(ret, sql);
	} else {
		buf_add(ret, sql, (size_t)(rest - sql));
		buf_adds(ret, *skip_space(rest) == ';' ? " STRICT" : " STRICT,");
		buf_adds(ret, rest);
	}
	return buf_ok(ret) ? RC_OK : fail(cx, RC_TOO_LARGE, "%s: a statement is too long", name);
}

/* ---- one file -------------------------------------------------------------------------------------- */

struct migration {
	const struct embed *file;
	int number;
	const char *name;	/* "db/0001_core.sql" */
	char sha256[HASH_TEXT];
};

struct migrations { struct migration *list; int n; };

static enum rc statement_run(struct cx *cx, struct db_conn *c, const char *name, const char *sql)
{
	BUF_AUTO struct buf strict;
	enum rc rc;

	buf_init(&strict, SCRIPT_MAX);
	if ((rc = statement_for_sqlite(cx, name, sql, &strict)) != RC_OK)
		return rc;
	failpoint("migrate.statement");
	stmt_exec(c, buf_text(&strict));
	if (db_rc(c) == RC_OK || db_rc(c) == RC_FULL || db_rc(c) == RC_IO)
		return db_fail(cx, c);
	return fail(cx, RC_BUG, "%s: %s, in: %.200s", name, db_words(c), sql);
}

/* Cuts the text at each semicolon that ends a whole statement (a trigger's body has others). */
static enum rc script_run(struct cx *cx, struct db_conn *c, const struct migration *m)
{
	BUF_AUTO struct buf one;
	enum rc rc;

	buf_init(&one, SCRIPT_MAX);
	for (const char *p = (const char *)m->file->bytes, *end; *p; p = end) {
		end = piece_end(p);
		buf_add(&one, p, (size_t)(end - p));
		if (*p != ';' || !stmt_complete(buf_text(&one)))
			continue;
		if ((rc = statement_run(cx, c, m->name, buf_text(&one))) != RC_OK)
			return rc;
		buf_reset(&one);
	}
	if (!buf_ok(&one))
		return fail(cx, RC_TOO_LARGE, "%s: a statement is too long", m->name);
	if (*skip_space(buf_text(&one)))
		return fail(cx, RC_INVALID, "%s: the last statement lacks its semicolon", m->name);
	return RC_OK;
}

static enum rc apply(struct cx *cx, struct db_conn *c, void *arg)
{
	const struct migration *m = arg;
	enum rc rc = script_run(cx, c, m);

	if (rc != RC_OK)
		return rc;
	db_run(c, "INSERT INTO migration (number, name, sha256, applied_at) VALUES (?1, ?2, ?3, ?4)", "issi",
		(int64_t)m->number, m->name, m->sha256, clock_now());
	return db_fail(cx, c);
}

/* ---- the list -------------------------------------------------------------------------------------- */

/* "db/0007_credits.sql" -> 7; 0: no migration. */
static int number_of(const char *name)
{
	int n = 0;

	if (!text_starts(name, "db/"))
		return 0;
	name += 3;
	for (int i = 0; i < 4; i++) {
		if (name[i] < '0' || name[i] > '9')
			return 0;
		n = n * 10 + (name[i] - '0');
	}
	size_t len = strlen(name);
	return name[4] == '_' && len > 9 && strcmp(name + len - 4, ".sql") == 0 ? n : 0;
}

static void hash_text(const struct embed *file, char out[HASH_TEXT])
{
	uint8_t hash[32];

	vault_sha256(file->bytes, file->n, hash);
	for (size_t i = 0; i < sizeof hash; i++)
		snprintf(out + 2 * i, 3, "%02x", hash[i]);
}

static enum rc list_make(struct cx *cx, const struct embed *files, struct migrations *all)
{
	int n = 0;

	while (files[n].name)
		n++;
	all->list = calloc((size_t)n + 1, sizeof *all->list);
	if (all->list == NULL)
		return fail(cx, RC_NOMEM, "no memory for the list of migrations");
	for (; files->name; files++) {
		struct migration *m = &all->list[all->n];
		if ((m->number = number_of(files->name)) == 0)
			continue;
		if (m->number != all->n + 1)
			return fail(cx, RC_BUG, "%s: migrations are numbered 0001, 0002 ... without a gap", files->name);
		m->file = files;
		m->name = files->name;
		hash_text(files, m->sha256);
		all->n++;
	}
	return RC_OK;
}

/* ---- comparing and applying ------------------------------------------------------------------------ */

struct store { const struct migrations *all; int have; };

/* What the store says it has must be what the program has, from the first on. */
static enum rc compare(struct cx *cx, struct db_conn *c, const struct migrations *all, int *ret_have)
{
	STMT_AUTO struct stmt *s = db_query(c, "SELECT number, name, sha256 FROM migration ORDER BY number", "");
	int have = 0;

	while (db_next(s)) {
		int64_t number = db_int(s, 0);
		if (number > all->n)
			return fail(cx, RC_CONFLICT, "the store has %s, which this program does not know: it was written by a newer mypostshare;"
				" install that version or restore a backup", db_text_or(s, 1, "?"));
		if (number != have + 1)
			return fail(cx, RC_CORRUPT, "the store has %s, but not %s before it", db_text_or(s, 1, "?"), all->list[have].name);
		if (!text_eq(db_text(s, 1), all->list[have].name) || !text_eq(db_text(s, 2), all->list[have].sha256))
			return fail(cx, RC_CONFLICT, "%s is not the text that was applied to this store: a landed migration is never edited;"
				" write a new one", all->list[have].name);
		have++;
	}
	*ret_have = have;
	return db_fail(cx, c);
}

/* On the writer, which alone knows the two tables as soon as they are there; a refused store is left as it was. */
static enum rc bootstrap(struct cx *cx, struct db_conn *c, void *arg)
{
	struct store *store = arg;

	db_run(c, "CREATE TABLE IF NOT EXISTS migration (number INTEGER PRIMARY KEY, name TEXT NOT NULL,"
		" sha256 TEXT NOT NULL, applied_at INTEGER NOT NULL) STRICT", "");
	db_run(c, "CREATE TABLE IF NOT EXISTS sequence (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT", "");
	return db_rc(c) == RC_OK ? compare(cx, c, store->all, &store->have) : db_fail(cx, c);
}

static enum rc compare_and_apply(struct cx *cx, struct db *db, const struct migrations *all, int *ret_applied)
{
	struct store store = {.all = all};
	enum rc rc = db_write(cx, db, bootstrap, &store);

	for (int i = store.have; i < all->n && rc == RC_OK; i++) {
		rc = db_write(cx, db, apply, &all->list[i]);
		if (rc == RC_OK)
			log_info("migrate", "applied %s", all->list[i].name);
	}
	db_readers_refresh(db);
	if (rc == RC_OK)
		*ret_applied = all->n - store.have;
	return rc;
}

/* A damaged store is left as it is, and is of use only to the program that wrote it. */
static enum rc compare_only(struct cx *cx, struct db *db, const struct migrations *all, int *ret_applied)
{
	DB_READ_AUTO struct db_conn *c = db_take(db);
	int have = 0;
	enum rc rc = compare(cx, c, all, &have);

	if (rc == RC_OK && have < all->n)
		rc = fail(cx, RC_CORRUPT, "the store is damaged and lacks %s: restore a backup", all->list[have].name);
	if (rc == RC_OK)
		*ret_applied = 0;
	return rc;
}

enum rc migrate_files(struct cx *cx, struct db *db, const struct embed *files, int *ret_applied)
{
	struct migrations all = {0};
	enum rc rc = list_make(cx, files, &all);

	if (rc == RC_OK)
		rc = db_rescue(db) ? compare_only(cx, db, &all, ret_applied) : compare_and_apply(cx, db, &all, ret_applied);
	free(all.list);
	return rc;
}

enum rc migrate_run(struct cx *cx, struct db *db, int *ret_applied)
{
	return migrate_files(cx, db, embed_files, ret_applied);
}

int64_t migrate_newest(struct db_conn *c)
{
	return db_number(c, 0, "SELECT MAX(number) FROM migration", "");
}
