/* Stores of the crash tests, seen from outside through SQLite alone.  See stage.h. */
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "tests/rig/stage.h"

void store_path(const struct stage *s, const char *store, char *out, size_t n)
{
	snprintf(out, n, "%s/%s", s->folder, store);
}

void store_copy(const struct stage *s, const char *from, const char *to)
{
	char command[500];

	snprintf(command, sizeof command, "cp -r '%s/%s' '%s/%s'", s->folder, from, s->folder, to);
	MUST(system(command) == 0);
}

void store_drop(const struct stage *s, const char *store)
{
	char command[500];

	snprintf(command, sizeof command, "rm -rf '%s/%s'", s->folder, store);
	MUST(system(command) == 0);
}

static sqlite3 *raw_open(const struct stage *s, const char *store)
{
	char path[300];
	sqlite3 *raw = NULL;

	snprintf(path, sizeof path, "%s/%s/data/mypostshare.db", s->folder, store);
	if (sqlite3_open_v2(path, &raw, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK)
		rig_die(__FILE__, __LINE__, "%s: %s", path, sqlite3_errmsg(raw));
	sqlite3_busy_timeout(raw, 10000);
	return raw;
}

static void ask(const struct stage *s, const char *store, const char *sql, va_list args, char *out, size_t n)
{
	sqlite3 *raw = raw_open(s, store);
	char *text = sqlite3_vmprintf(sql, args);
	sqlite3_stmt *q = NULL;
	int code;

	if (sqlite3_prepare_v2(raw, text, -1, &q, NULL) != SQLITE_OK)
		rig_die(__FILE__, __LINE__, "%s: %s", text, sqlite3_errmsg(raw));
	code = sqlite3_step(q);
	if (code != SQLITE_ROW && code != SQLITE_DONE)
		rig_die(__FILE__, __LINE__, "%s: %s", text, sqlite3_errmsg(raw));
	if (code == SQLITE_ROW && sqlite3_column_type(q, 0) != SQLITE_NULL)
		snprintf(out, n, "%s", (const char *)sqlite3_column_text(q, 0));
	sqlite3_finalize(q);
	sqlite3_free(text);
	sqlite3_close(raw);
}

int64_t store_int(const struct stage *s, const char *store, const char *sql, ...)
{
	char out[64] = "-1";
	va_list args;

	va_start(args, sql);
	ask(s, store, sql, args, out, sizeof out);
	va_end(args);
	return strtoll(out, NULL, 10);
}

void store_text(const struct stage *s, const char *store, char *out, size_t n, const char *sql, ...)
{
	va_list args;

	out[0] = '\0';
	va_start(args, sql);
	ask(s, store, sql, args, out, n);
	va_end(args);
}

void store_run(const struct stage *s, const char *store, const char *sql, ...)
{
	char out[64] = "";
	va_list args;

	va_start(args, sql);
	ask(s, store, sql, args, out, sizeof out);
	va_end(args);
}

bool store_sound(const struct stage *s, const char *store)
{
	char out[64];

	store_text(s, store, out, sizeof out, "PRAGMA integrity_check");
	return strcmp(out, "ok") == 0;
}

void store_post(const struct stage *s, const char *store, const char *connection, const char *text, char delivery[ID_MAX])
{
	long long now = (long long)clock_now();
	char post[ID_MAX];

	id_new(post, "post");
	id_new(delivery, "dlv");
	store_run(s, store, "INSERT INTO post (id, organization_id, app_id, live, status, mode, text, body, max_late_ms, on_missed, created_at,"
		  " updated_at) SELECT %Q, organization_id, app_id, live, 'publishing', 'now', %Q, '{}', 21600000, 'publish', %lld, %lld"
		  " FROM connection WHERE id = %Q", post, text, now, now, connection);
	store_run(s, store, "INSERT INTO delivery (id, organization_id, app_id, live, post_id, connection_id, platform, provider, text, content,"
		  " content_hash, state, due_at, on_missed, created_at, updated_at) SELECT %Q, organization_id, app_id, live, %Q, id, platform,"
		  " provider, %Q, '{\"options\":{},\"media\":[]}', 'h', 'queued', %lld, 'publish', %lld, %lld FROM connection WHERE id = %Q",
		  delivery, post, text, now, now, now, connection);
}

/* ---- the judge --------------------------------------------------------------------------------------------- */

struct ledger { struct rig_entry *rows; int n; };

static int by_text(const void *a, const void *b)
{
	return strcmp(((const struct rig_entry *)a)->text, ((const struct rig_entry *)b)->text);
}

/* How often the far side has a text; the id of one of them. */
static int in_ledger(const struct ledger *l, const char *text, const char **ret_id)
{
	struct rig_entry key, *at;
	int n = 0;

	snprintf(key.text, sizeof key.text, "%s", text);
	at = bsearch(&key, l->rows, (size_t)l->n, sizeof key, by_text);
	*ret_id = "";
	if (at == NULL)
		return 0;
	while (at > l->rows && strcmp(at[-1].text, text) == 0)
		at--;
	*ret_id = at->post_id;
	for (; at < l->rows + l->n && strcmp(at->text, text) == 0; at++)
		n++;
	return n;
}

/* What a state allows at the far side, and what its post may be called. */
static const struct { const char *state; int least, most; const char *post; } truths[] = {
	{"published", 1, 1, "published"},
	{"unconfirmed", 0, 1, "needs_attention"},
	{"blocked", 0, 0, "needs_attention"},
	{"awaiting_user", 0, 1, "needs_attention"},
	{"failed", 0, 0, "failed"},
	{"canceled", 0, 0, "canceled"},
	{"skipped", 0, 0, "missed"},
	{"pending", 0, 0, NULL},
};

static bool row_fits(const struct ledger *l, sqlite3_stmt *q, char *words, size_t size)
{
	const char *state = (const char *)sqlite3_column_text(q, 0), *text = (const char *)sqlite3_column_text(q, 1);
	const char *remote = sqlite3_column_type(q, 2) == SQLITE_NULL ? "" : (const char *)sqlite3_column_text(q, 2);
	const char *post = (const char *)sqlite3_column_text(q, 3), *there;
	int n = in_ledger(l, text, &there);
	size_t i = 0;

	while (i < sizeof truths / sizeof truths[0] && strcmp(truths[i].state, state) != 0)
		i++;
	if (i == sizeof truths / sizeof truths[0])
		snprintf(words, size, "\"%s\" is stuck in %s", text, state);
	else if (n < truths[i].least || n > truths[i].most)
		snprintf(words, size, "\"%s\" is %s, and the far side has it %d times", text, state, n);
	else if (strcmp(state, "published") == 0 && strcmp(remote, there) != 0)
		snprintf(words, size, "\"%s\" is published as %s, not as %s", text, there, remote);
	else if (truths[i].post != NULL && strcmp(truths[i].post, post) != 0)
		snprintf(words, size, "the post of \"%s\" (%s) is called %s", text, state, post);
	else if (strcmp(state, "published") == 0 && sqlite3_column_int(q, 4) != 1)
		snprintf(words, size, "\"%s\" was announced %d times", text, sqlite3_column_int(q, 4));
	else
		return true;
	return false;
}

/*
 * Rows and ledger agree: every delivery rests, the far side has each text exactly as often as its state says, the
 * published ones under the id that our row holds, with one event each; each post is called as its delivery says.
 * Texts must be unique, and each post has one delivery.
 */
const char *stage_judge(const struct stage *s, const char *store, const char *mark)
{
	static char words[700];
	struct ledger l = {calloc(20000, sizeof *l.rows), 0};
	sqlite3 *raw = raw_open(s, store);
	sqlite3_stmt *q = NULL;
	bool fits = true;
	int rows = 0;

	MUST(l.rows != NULL);
	l.n = rig_ledger(s->url, mark, l.rows, 20000);
	MUST(l.n < 20000);
	qsort(l.rows, (size_t)l.n, sizeof *l.rows, by_text);
	MUST(sqlite3_prepare_v2(raw, "SELECT d.state, d.text, d.remote_id, p.status, (SELECT COUNT(*) FROM event WHERE type = 'delivery.published'"
		" AND json_extract(data, '$.object.id') = d.id) FROM delivery d JOIN post p ON p.id = d.post_id", -1, &q, NULL) == SQLITE_OK);
	while (fits && sqlite3_step(q) == SQLITE_ROW) {
		rows++;
		fits = row_fits(&l, q, words, sizeof words);
	}
	sqlite3_finalize(q);
	sqlite3_close(raw);
	free(l.rows);
	if (fits && rows == 0)
		return "there is no delivery at all";
	return fits ? NULL : words;
}
