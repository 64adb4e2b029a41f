/*
 * Statements: prepared once per connection and found by the address of their literal.
 *
 * A statement goes back to the cache when it ends, by itself at its last row.  The one thing to know: a
 * statement that writes and gives rows (RETURNING) keeps the write lock until it was stepped to its end, so
 * ending it early steps through the rest first; a closure or a reader that forgot one is tidied up by
 * stmt_end_all.
 */
#include "core/io/db_private.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the cache ------------------------------------------------------------------------------------- */

static struct stmt **bucket_of(struct db_conn *c, const char *sql)
{
	uint64_t h = (uint64_t)(uintptr_t)sql * UINT64_C(0x9E3779B97F4A7C15);
	return &c->bucket[h >> 56];
}

/* A changed text at the same address was no literal, and would run another statement than the one meant. */
static bool same_text(const struct stmt *s)
{
	const char *text = sqlite3_sql(s->raw);
	return strncmp(text, s->sql, strlen(text)) == 0;
}

static bool only_blanks(const char *tail)
{
	return tail[strspn(tail, " \t\n;")] == '\0';
}

static sqlite3_stmt *prepare(struct db_conn *c, const char *sql, unsigned flags)
{
	sqlite3_stmt *raw = NULL;
	const char *tail = "";
	int code = sqlite3_prepare_v3(c->raw, sql, -1, flags, &raw, &tail);

	if ((code & 0xff) == SQLITE_ERROR || code == SQLITE_AUTH)
		conn_set(c, RC_BUG, "the store says: %s, in: %.160s", sqlite3_errmsg(c->raw), sql);
	else if (code != SQLITE_OK)
		conn_note(c, code);
	else if (raw == NULL || !only_blanks(tail))
		conn_set(c, RC_BUG, "not one statement: %.80s", sql);
	else if (!c->writer && !sqlite3_stmt_readonly(raw))
		conn_set(c, RC_BUG, "a reader was asked to write: %.80s", sql);
	else
		return raw;
	sqlite3_finalize(raw);
	return NULL;
}

static struct stmt *add(struct db_conn *c, const char *sql)
{
	struct stmt **bucket = bucket_of(c, sql), *s;
	sqlite3_stmt *raw = prepare(c, sql, SQLITE_PREPARE_PERSISTENT);

	if (raw == NULL)
		return NULL;
	s = calloc(1, sizeof *s);
	if (s == NULL) {
		sqlite3_finalize(raw);
		conn_set(c, RC_NOMEM, "no memory for a statement");
		return NULL;
	}
	s->raw = raw;
	s->conn = c;
	s->sql = sql;
	s->writes = !sqlite3_stmt_readonly(raw);
	s->next = *bucket;
	*bucket = s;
	return s;
}

/* A second user of one literal at the same time (recursion) gets a statement of its own. */
static struct stmt *find(struct db_conn *c, const char *sql)
{
	struct stmt *s = *bucket_of(c, sql);

	while (s && (s->sql != sql || s->busy))
		s = s->next;
	if (s == NULL)
		return add(c, sql);
	if (!same_text(s)) {
		conn_set(c, RC_BUG, "SQL that is not a literal: %.80s", sql);
		return NULL;
	}
	return s;
}

/* False after an error, past a reader's second, and on a thread that does not own the writer. */
static bool usable(struct db_conn *c)
{
	if (c->rc == RC_OK && c->raw == NULL)
		conn_set(c, RC_IO, "the store is closed after an I/O error");
	if (c->rc == RC_OK && c->deadline && db_tick() > c->deadline)
		conn_note(c, SQLITE_INTERRUPT);
	if (c->rc == RC_OK && c->writer && !pthread_equal(pthread_self(), c->db->thread))
		conn_set(c, RC_BUG, "the writer's connection is used on another thread");
	if (c->rc == RC_OK && !c->writer && !conn_open_transaction(c))
		conn_own(c, OWN_BEGIN_READ);
	return c->rc == RC_OK;
}

static void release(struct stmt *s)
{
	sqlite3_reset(s->raw);
	sqlite3_clear_bindings(s->raw);
	s->busy = false;
	s->conn->busy--;
}

void stmt_end_all(struct db_conn *c)
{
	for (size_t i = 0; c->busy > 0 && i < CONN_BUCKETS; i++)
		for (struct stmt *s = c->bucket[i]; s; s = s->next)
			db_end(s);
}

void stmt_drop_all(struct db_conn *c)
{
	for (size_t i = 0; i < CONN_BUCKETS; i++) {
		while (c->bucket[i]) {
			struct stmt *s = c->bucket[i];
			c->bucket[i] = s->next;
			sqlite3_finalize(s->raw);
			free(s);
		}
	}
}

/* ---- binding --------------------------------------------------------------------------------------- */

static int bind_one(sqlite3_stmt *raw, int at, char type, va_list *ap)
{
	switch (type) {
	case 's':
		return sqlite3_bind_text(raw, at, va_arg(*ap, const char *), -1, SQLITE_TRANSIENT);
	case 'i':
		return sqlite3_bind_int64(raw, at, va_arg(*ap, int64_t));
	case 'o': {
		int64_t value = va_arg(*ap, int64_t);
		return value ? sqlite3_bind_int64(raw, at, value) : sqlite3_bind_null(raw, at);
	}
	case 'b': {
		const void *bytes = va_arg(*ap, const void *);
		size_t n = va_arg(*ap, size_t);
		return sqlite3_bind_blob64(raw, at, bytes, n, SQLITE_TRANSIENT);
	}
	default:
		return SQLITE_MISUSE;
	}
}

static struct stmt *start(struct db_conn *c, const char *sql, const char *types, va_list *ap)
{
	struct stmt *s;
	int code = SQLITE_OK, n = (int)strlen(types);

	if (!usable(c) || (s = find(c, sql)) == NULL)
		return NULL;
	if (n != sqlite3_bind_parameter_count(s->raw)) {
		conn_set(c, RC_BUG, "%d parameters given, %d wanted: %.80s", n, sqlite3_bind_parameter_count(s->raw), sql);
		return NULL;
	}
	s->busy = true;
	c->busy++;
	for (int i = 0; i < n && code == SQLITE_OK; i++)
		code = bind_one(s->raw, i + 1, types[i], ap);
	if (code == SQLITE_OK)
		return s;
	conn_note(c, code);
	release(s);
	return NULL;
}

struct stmt *db_query(struct db_conn *c, const char *sql, const char *types, ...)
{
	struct stmt *s;
	va_list ap;

	va_start(ap, types);
	s = start(c, sql, types, &ap);
	va_end(ap);
	return s;
}

/* ---- stepping -------------------------------------------------------------------------------------- */

bool db_next(struct stmt *s)
{
	int code;

	if (s == NULL || !s->busy)
		return false;
	if (s->conn->rc != RC_OK) {
		release(s);
		return false;
	}
	code = sqlite3_step(s->raw);
	if (code == SQLITE_ROW)
		return true;
	if (code != SQLITE_DONE)
		conn_note(s->conn, code);	/* now: the words are gone after the reset */
	release(s);
	return false;
}

void db_end(struct stmt *s)
{
	if (s == NULL || !s->busy)
		return;
	if (s->writes && sqlite3_stmt_busy(s->raw))
		while (db_next(s))
			;
	if (s->busy)
		release(s);
}

void db_end_auto(struct stmt **s)
{
	db_end(*s);
}

int64_t db_run(struct db_conn *c, const char *sql, const char *types, ...)
{
	int64_t before = c->raw ? sqlite3_total_changes64(c->raw) : 0;
	struct stmt *s;
	va_list ap;

	va_start(ap, types);
	s = start(c, sql, types, &ap);
	va_end(ap);
	while (db_next(s))
		;
	if (c->rc != RC_OK)
		return -1;
	/* sqlite3_changes keeps the number of an earlier statement when this one changed nothing it counts */
	return sqlite3_total_changes64(c->raw) == before ? 0 : sqlite3_changes64(c->raw);
}

int64_t db_number(struct db_conn *c, int64_t fallback, const char *sql, const char *types, ...)
{
	int64_t value = fallback;
	struct stmt *s;
	va_list ap;

	va_start(ap, types);
	s = start(c, sql, types, &ap);
	va_end(ap);
	if (db_next(s) && !db_null(s, 0))
		value = db_int(s, 0);
	db_end(s);
	return c->rc == RC_OK ? value : fallback;
}

void stmt_exec(struct db_conn *c, const char *sql)
{
	sqlite3_stmt *raw;
	int code;

	if (!usable(c) || (raw = prepare(c, sql, 0)) == NULL)
		return;
	while ((code = sqlite3_step(raw)) == SQLITE_ROW)
		;
	if (code != SQLITE_DONE)
		conn_note(c, code);
	sqlite3_finalize(raw);
}

bool stmt_complete(const char *sql)
{
	return sqlite3_complete(sql) != 0;
}

int64_t db_sequence(struct db_conn *c, const char *name)
{
	if (!c->writer)
		conn_set(c, RC_BUG, "a sequence outside a closure");
	return db_number(c, 0, "INSERT INTO sequence (name, value) VALUES (?1, 1)"
		" ON CONFLICT (name) DO UPDATE SET value = sequence.value + 1 RETURNING value", "s", name);
}

void db_sequence_jump(struct db_conn *c, const char *name, int64_t past)
{
	db_run(c, "INSERT INTO sequence (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value ="
	       " CASE WHEN sequence.value + 1000000 > ?2 THEN sequence.value + 1000000 ELSE ?2 END", "si", name, past);
}

/* ---- columns --------------------------------------------------------------------------------------- */

/* False where there is no value: no row, NULL, or (an error that must not look like NULL) no memory. */
static bool present(struct stmt *s, int column, const void *value)
{
	if (value)
		return true;
	if (s && s->busy && sqlite3_column_type(s->raw, column) != SQLITE_NULL && sqlite3_errcode(s->conn->raw) == SQLITE_NOMEM)
		conn_note(s->conn, SQLITE_NOMEM);
	return false;
}

const char *db_text(struct stmt *s, int column)
{
	const char *text = s && s->busy ? (const char *)sqlite3_column_text(s->raw, column) : NULL;
	return present(s, column, text) ? text : NULL;
}

const char *db_text_or(struct stmt *s, int column, const char *fallback)
{
	const char *text = db_text(s, column);
	return text ? text : fallback;
}

int64_t db_int(struct stmt *s, int column)
{
	return s && s->busy ? sqlite3_column_int64(s->raw, column) : 0;
}

bool db_null(struct stmt *s, int column)
{
	return s == NULL || !s->busy || sqlite3_column_type(s->raw, column) == SQLITE_NULL;
}

const void *db_blob(struct stmt *s, int column, size_t *ret_len)
{
	const void *bytes = s && s->busy ? sqlite3_column_blob(s->raw, column) : NULL;

	*ret_len = s && s->busy ? (size_t)sqlite3_column_bytes(s->raw, column) : 0;
	if (present(s, column, bytes))
		return bytes;
	return db_null(s, column) ? NULL : "";	/* a blob of length 0 is not NULL */
}

char *db_dup(struct stmt *s, int column, struct arena *a)
{
	return arena_text(a, db_text(s, column));
}
