/*
 * Tables of the sandbox, made at start.  ledger is append-only: reset moves a mark and deletes nothing there,
 * so a duplicate can never be swept away by the thing that made it.
 */
#include "core/sandbox/store.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "core/base/clock.h"
#include "core/base/text.h"

static const char *const schema[] = {
	"CREATE TABLE IF NOT EXISTS account (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, type TEXT NOT NULL,"
	" refresh TEXT NOT NULL, expires_in INTEGER NOT NULL, window_s INTEGER NOT NULL, search_lag_ms INTEGER NOT NULL,"
	" processing_ms INTEGER NOT NULL, exchanges INTEGER NOT NULL DEFAULT 0, refreshes INTEGER NOT NULL DEFAULT 0,"
	" replays INTEGER NOT NULL DEFAULT 0, created_at INTEGER NOT NULL) STRICT",

	"CREATE TABLE IF NOT EXISTS client (id TEXT PRIMARY KEY, secret BLOB NOT NULL) STRICT",

	"CREATE TABLE IF NOT EXISTS code (hash BLOB PRIMARY KEY, client_id TEXT NOT NULL, redirect_uri TEXT NOT NULL,"
	" account_id TEXT NOT NULL, scope TEXT NOT NULL, challenge TEXT NOT NULL, created_at INTEGER NOT NULL,"
	" family TEXT) STRICT",

	"CREATE TABLE IF NOT EXISTS family (id TEXT PRIMARY KEY, account_id TEXT NOT NULL, client_id TEXT NOT NULL,"
	" scope TEXT NOT NULL, ended TEXT) STRICT",
	"CREATE INDEX IF NOT EXISTS family_account ON family (account_id)",

	"CREATE TABLE IF NOT EXISTS token (hash BLOB PRIMARY KEY, family TEXT NOT NULL, kind TEXT NOT NULL,"
	" page_id TEXT NOT NULL, expires_at INTEGER NOT NULL, spent INTEGER NOT NULL DEFAULT 0) STRICT",
	"CREATE INDEX IF NOT EXISTS token_family ON token (family)",

	"CREATE TABLE IF NOT EXISTS post (id TEXT PRIMARY KEY, account_id TEXT NOT NULL, page_id TEXT NOT NULL,"
	" text TEXT NOT NULL, media_ids TEXT NOT NULL, marker TEXT, status TEXT NOT NULL, key TEXT, container_id TEXT,"
	" family TEXT NOT NULL, address TEXT NOT NULL, created_at INTEGER NOT NULL, deleted_at INTEGER,"
	" sequence INTEGER NOT NULL DEFAULT 0) STRICT",
	"CREATE INDEX IF NOT EXISTS post_account ON post (account_id, page_id, sequence)",

	/* post_id NULL: a request with this key is on its way */
	"CREATE TABLE IF NOT EXISTS key_use (account_id TEXT NOT NULL, key TEXT NOT NULL, post_id TEXT,"
	" created_at INTEGER NOT NULL, PRIMARY KEY (account_id, key)) STRICT",

	"CREATE TABLE IF NOT EXISTS media (id TEXT PRIMARY KEY, account_id TEXT NOT NULL, type TEXT NOT NULL,"
	" bytes INTEGER NOT NULL, sha256 TEXT NOT NULL, ready_at INTEGER NOT NULL) STRICT",

	"CREATE TABLE IF NOT EXISTS container (id TEXT PRIMARY KEY, account_id TEXT NOT NULL, page_id TEXT NOT NULL,"
	" text TEXT NOT NULL, media_ids TEXT NOT NULL, marker TEXT, status TEXT NOT NULL, post_id TEXT,"
	" ready_at INTEGER NOT NULL) STRICT",

	/* what a post or a container answers to; none of those that stand alone */
	"CREATE TABLE IF NOT EXISTS reply (id TEXT PRIMARY KEY, parent_id TEXT NOT NULL) STRICT",

	/* what a post became by its edits; the ledger has what it was at first */
	"CREATE TABLE IF NOT EXISTS edit (sequence INTEGER PRIMARY KEY, at INTEGER NOT NULL, post_id TEXT NOT NULL, text TEXT NOT NULL,"
	" media_ids TEXT NOT NULL, key TEXT) STRICT",
	"CREATE INDEX IF NOT EXISTS edit_post ON edit (post_id)",

	/* commits that happen later than their request: see late.c */
	"CREATE TABLE IF NOT EXISTS late (post_id TEXT PRIMARY KEY, due_at INTEGER NOT NULL) STRICT",
	"CREATE INDEX IF NOT EXISTS late_due ON late (due_at)",

	/* how often a magic text has worked for this account and text: see magic.c */
	"CREATE TABLE IF NOT EXISTS magic_use (account_id TEXT NOT NULL, text TEXT NOT NULL, times INTEGER NOT NULL,"
	" PRIMARY KEY (account_id, text)) STRICT",

	"CREATE TABLE IF NOT EXISTS ledger (sequence INTEGER PRIMARY KEY, at INTEGER NOT NULL, post_id TEXT NOT NULL,"
	" account_id TEXT NOT NULL, page_id TEXT NOT NULL, text TEXT NOT NULL, media_ids TEXT NOT NULL, key TEXT,"
	" container_id TEXT, token_family TEXT NOT NULL, ip_connection TEXT NOT NULL) STRICT",
	"CREATE TABLE IF NOT EXISTS mark (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT",
};

static enum rc make(struct cx *cx, struct db_conn *c, void *arg)
{
	(void)arg;
	for (size_t i = 0; i < sizeof schema / sizeof *schema; i++)
		db_run(c, schema[i], "");
	return db_fail(cx, c);
}

enum rc sandbox_store_open(struct cx *cx, const char *folder, struct db **ret)
{
	struct db_config config = { .folder = folder };
	bool fresh = mkdir(folder, 0700) == 0;
	struct db *db;
	enum rc rc;

	if (!fresh && errno != EEXIST)
		return fail(cx, RC_IO, "cannot make the sandbox's folder %s: %s", folder, strerror(errno));
	rc = db_open(cx, &config, &db);
	if (rc != RC_OK)
		return rc;
	rc = db_write(cx, db, make, NULL);
	if (rc != RC_OK) {
		db_close(db);
		return rc;
	}
	if (fresh) {			/* the readers have seen an empty schema */
		db_close(db);
		return db_open(cx, &config, ret);
	}
	*ret = db;
	return RC_OK;
}

bool sandbox_account_name_ok(const char *name)
{
	size_t n = strlen(name);

	if (!n || n > ACCOUNT_NAME_MAX)
		return false;
	return strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-_.") == n;
}

static bool word_in(const char *word, const char *const *list)
{
	for (; *list; list++)
		if (text_eq(word, *list))
			return true;
	return false;
}

bool sandbox_account_type_ok(const char *type)
{
	return word_in(type, (const char *const[]){ "keyed", "handle", "search", "none", NULL });
}

bool sandbox_account_refresh_ok(const char *refresh)
{
	return word_in(refresh, (const char *const[]){ "rotating", "fixed", "none", NULL });
}

enum rc sandbox_account_put(struct cx *cx, struct db_conn *c, const struct account_change *change, char ret_id[ID_MAX])
{
	char fresh[ID_MAX];

	id_new(fresh, "acc");
	db_run(c, "INSERT INTO account (id, name, type, refresh, expires_in, window_s, search_lag_ms, processing_ms, created_at)"
	       " VALUES (?1, ?2, 'keyed', 'rotating', 3600, 3600, 0, 300, ?3) ON CONFLICT (name) DO NOTHING",
	       "ssi", fresh, change->name, clock_now());
	db_run(c, "UPDATE account SET type = coalesce(?2, type), refresh = coalesce(?3, refresh),"
	       " expires_in = CASE WHEN ?4 >= 0 THEN ?4 ELSE expires_in END,"
	       " window_s = CASE WHEN ?5 >= 0 THEN ?5 ELSE window_s END,"
	       " search_lag_ms = CASE WHEN ?6 >= 0 THEN ?6 ELSE search_lag_ms END,"
	       " processing_ms = CASE WHEN ?7 >= 0 THEN ?7 ELSE processing_ms END WHERE name = ?1",
	       "sssiiii", change->name, change->type, change->refresh, change->expires_in, change->window_s,
	       change->search_lag_ms, change->processing_ms);

	STMT_AUTO struct stmt *q = db_query(c, "SELECT id FROM account WHERE name = ?1", "s", change->name);
	if (db_next(q))
		snprintf(ret_id, ID_MAX, "%s", db_text(q, 0));
	return db_fail(cx, c);
}

void sandbox_reply_add(struct db_conn *c, const char *id, const char *parent)
{
	if (parent != NULL)
		db_run(c, "INSERT INTO reply (id, parent_id) VALUES (?1, ?2)", "ss", id, parent);
}

void sandbox_ledger_add(struct db_conn *c, const struct ledger_entry *e)
{
	db_run(c, "INSERT INTO ledger (sequence, at, post_id, account_id, page_id, text, media_ids, key, container_id,"
	       " token_family, ip_connection)"
	       " VALUES ((SELECT coalesce(max(sequence), 0) + 1 FROM ledger), ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
	       "isssssssss", e->at, e->post, e->account, e->page, e->text, e->media, e->key, e->container, e->family,
	       e->address);
	db_run(c, "UPDATE post SET sequence = (SELECT max(sequence) FROM ledger) WHERE id = ?1", "s", e->post);
}

enum rc sandbox_store_reset(struct cx *cx, struct db_conn *c)
{
	static const char *const forget[] = {
		"DELETE FROM account", "DELETE FROM client", "DELETE FROM code", "DELETE FROM family", "DELETE FROM token",
		"DELETE FROM post", "DELETE FROM edit", "DELETE FROM key_use", "DELETE FROM media", "DELETE FROM container",
		"DELETE FROM late", "DELETE FROM magic_use", "DELETE FROM mark WHERE name <> 'ledger'",
		("INSERT INTO mark (name, value) SELECT 'ledger', coalesce(max(sequence), 0) FROM ledger WHERE true"
		" ON CONFLICT (name) DO UPDATE SET value = excluded.value"),
	};

	for (size_t i = 0; i < sizeof forget / sizeof *forget; i++)
		db_run(c, forget[i], "");
	return db_fail(cx, c);
}
