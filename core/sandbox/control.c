/*
 * The control routes: for tests, the demo and the operator, never for the network.  sandbox.c lets them be
 * called only from loopback, by loopback's name, and by nothing that a proxy or a browser sent.
 */
#include <stdio.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/text.h"
#include "core/io/vault.h"
#include "core/sandbox/fault.h"
#include "core/sandbox/handlers.h"
#include "core/sandbox/publish.h"
#include "core/sandbox/store.h"
#include "core/sandbox/token.h"

#define LEDGER_MAX 20000

static void fine(struct call *c)
{
	jsonw_bool(call_json(c, 200), "ok", true);
	call_done(c);
}

/* An optional integer member between 0 and max; answers and gives false if it is none. */
static bool number(struct call *c, struct jv body, const char *key, int64_t max, int64_t *ret)
{
	struct jv v = json_get(body, key);

	if (json_type(v) == JSON_NONE || (json_int(v, ret) && *ret >= 0 && *ret <= max))
		return true;
	call_error(c, 400, "invalid_request", "%s must be a whole number from 0 to %lld.", key, (long long)max);
	return false;
}

/* ---- the ledger ----------------------------------------------------------------------------------- */

static void versions(struct db_conn *db, struct jsonw *w, const char *post)
{
	STMT_AUTO struct stmt *q = db_query(db, "SELECT at, text, media_ids, key FROM edit WHERE post_id = ?1 ORDER BY sequence", "s", post);

	jsonw_array(w, "edits");
	while (db_next(q)) {
		jsonw_object(w, NULL);
		jsonw_int(w, "at", db_int(q, 0));
		jsonw_text(w, "text", db_text(q, 1));
		jsonw_raw(w, "media_ids", db_text(q, 2), strlen(db_text(q, 2)));
		jsonw_text(w, "key", db_text(q, 3));
		jsonw_object_end(w);
	}
	jsonw_array_end(w);
}

static void ledger_row(struct db_conn *db, struct jsonw *w, struct stmt *q)
{
	jsonw_object(w, NULL);
	jsonw_int(w, "sequence", db_int(q, 0));
	jsonw_int(w, "at", db_int(q, 1));
	jsonw_text(w, "post_id", db_text(q, 2));
	jsonw_text(w, "account_id", db_text(q, 3));
	jsonw_text(w, "page_id", db_text(q, 4));
	jsonw_text(w, "text", db_text(q, 5));
	jsonw_raw(w, "media_ids", db_text(q, 6), strlen(db_text(q, 6)));
	jsonw_text(w, "key", db_text(q, 7));
	jsonw_text(w, "container_id", db_text(q, 8));
	jsonw_text(w, "token_family", db_text(q, 9));
	jsonw_text(w, "ip_connection", db_text(q, 10));
	jsonw_text(w, "account", db_text(q, 11));
	jsonw_text(w, "parent_id", db_text(q, 12));
	versions(db, w, db_text(q, 2));
	jsonw_object_end(w);
}

/* ?text=SUBSTRING&account=NAME&after=SEQUENCE; oldest first. */
void sandbox_control_ledger(struct call *c)
{
	const char *text = "", *account = NULL, *after = "0";
	struct jsonw *w;
	int64_t from = 0;
	DB_READ_AUTO struct db_conn *db = NULL;
	STMT_AUTO struct stmt *q = NULL;

	web_query(c->r, "text", &text);
	web_query(c->r, "account", &account);
	web_query(c->r, "after", &after);
	if (!text_int(after, &from)) {
		call_error(c, 400, "invalid_request", "after is a sequence number.");
		return;
	}
	db = db_take(c->s->db);
	q = db_query(db, "SELECT l.sequence, l.at, l.post_id, l.account_id, l.page_id, l.text, l.media_ids, l.key, l.container_id,"
		     " l.token_family, l.ip_connection, a.name,"
		     " (SELECT parent_id FROM reply r WHERE r.id = l.post_id) FROM ledger l LEFT JOIN account a ON a.id = l.account_id"
		     " WHERE l.sequence > ?1 AND l.sequence > coalesce((SELECT value FROM mark WHERE name = 'ledger'), 0)"
		     " AND (?2 = '' OR instr(l.text, ?2) > 0) AND (?3 IS NULL OR a.name = ?3) ORDER BY l.sequence LIMIT ?4",
		     "issi", from, text, account, (int64_t)LEDGER_MAX);
	w = call_json(c, 200);
	jsonw_array(w, "data");
	while (db_next(q))
		ledger_row(db, w, q);
	q = NULL;
	jsonw_array_end(w);
	call_done(c);
	if (db_fail(&c->cx, db) != RC_OK)
		call_failed(c);
}

/* ---- accounts and clients ------------------------------------------------------------------------- */

static void account_row(struct jsonw *w, struct stmt *q)
{
	static const char *const numbers[] = { "expires_in", "window_s", "search_lag_ms", "processing_ms", "exchanges",
					       "refreshes", "replays" };

	jsonw_text(w, "id", db_text(q, 0));
	jsonw_text(w, "name", db_text(q, 1));
	jsonw_text(w, "type", db_text(q, 2));
	jsonw_text(w, "refresh", db_text(q, 3));
	for (int i = 0; i < 7; i++)
		jsonw_int(w, numbers[i], db_int(q, 4 + i));
}

static void accounts_write(struct call *c, struct jsonw *w, const char *name)
{
	DB_READ_AUTO struct db_conn *db = db_take(c->s->db);
	STMT_AUTO struct stmt *q = db_query(db, "SELECT id, name, type, refresh, expires_in, window_s, search_lag_ms, processing_ms,"
					    " exchanges, refreshes, replays FROM account WHERE ?1 IS NULL OR name = ?1 ORDER BY name",
					    "s", name);

	while (db_next(q)) {
		if (!name)
			jsonw_object(w, NULL);
		account_row(w, q);
		if (!name)
			jsonw_object_end(w);
	}
	q = NULL;
}

static void accounts_list(struct call *c, struct jsonw *w, const char *key)
{
	jsonw_array(w, key);
	accounts_write(c, w, NULL);
	jsonw_array_end(w);
}

void sandbox_control_accounts(struct call *c)
{
	accounts_list(c, call_json(c, 200), "data");
	call_done(c);
}

struct account_job { const struct account_change *change; char id[ID_MAX]; };

static enum rc account_write(struct cx *cx, struct db_conn *db, void *arg)
{
	struct account_job *j = arg;

	return sandbox_account_put(cx, db, j->change, j->id);
}

static bool change_ok(struct call *c, const struct account_change *a)
{
	if (!a->name || !sandbox_account_name_ok(a->name))
		call_error(c, 400, "invalid_request", "name has a to z, 0 to 9, '-', '_' and '.', at most %d.", ACCOUNT_NAME_MAX);
	else if (a->type && !sandbox_account_type_ok(a->type))
		call_error(c, 400, "invalid_request", "type is keyed, handle, search or none.");
	else if (a->refresh && !sandbox_account_refresh_ok(a->refresh))
		call_error(c, 400, "invalid_request", "refresh is rotating, fixed or none.");
	else
		return true;
	return false;
}

void sandbox_control_account(struct call *c)
{
	struct account_change a = { .expires_in = ACCOUNT_UNSET, .window_s = ACCOUNT_UNSET, .search_lag_ms = ACCOUNT_UNSET,
				    .processing_ms = ACCOUNT_UNSET };
	struct account_job j = { .change = &a };
	struct jv body;

	if (!call_body(c, &body) || !call_text(c, body, "name", 63, &a.name) || !call_text(c, body, "type", 16, &a.type) ||
	    !call_text(c, body, "refresh", 16, &a.refresh) || !number(c, body, "expires_in", 1000000000, &a.expires_in) ||
	    !number(c, body, "window_s", 1000000000, &a.window_s) ||
	    !number(c, body, "search_lag_ms", 1000000000, &a.search_lag_ms) ||
	    !number(c, body, "processing_ms", 1000000000, &a.processing_ms) || !change_ok(c, &a))
		return;
	if (db_write(&c->cx, c->s->db, account_write, &j) != RC_OK) {
		call_failed(c);
		return;
	}
	accounts_write(c, call_json(c, 200), a.name);
	call_done(c);
}

struct client_job { const char *id; uint8_t hash[32]; };

static enum rc client_write(struct cx *cx, struct db_conn *db, void *arg)
{
	struct client_job *j = arg;

	db_run(db, "INSERT INTO client (id, secret) VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE SET secret = excluded.secret", "sb",
	       j->id, (const void *)j->hash, sizeof j->hash);
	return db_fail(cx, db);
}

void sandbox_control_client(struct call *c)
{
	struct client_job j = { 0 };
	const char *secret = NULL;
	struct jv body;

	if (!call_body(c, &body) || !call_text(c, body, "client_id", 100, &j.id) || !call_text(c, body, "client_secret", 200, &secret))
		return;
	if (!j.id || !j.id[0] || !secret || !secret[0] || text_eq(j.id, "sandbox")) {
		call_error(c, 400, "invalid_request", "client_id (not sandbox) and client_secret are needed.");
		return;
	}
	vault_sha256(secret, strlen(secret), j.hash);
	if (db_write(&c->cx, c->s->db, client_write, &j) != RC_OK)
		call_failed(c);
	else
		fine(c);
}

/* ---- tokens, drafts, faults ----------------------------------------------------------------------- */

struct name_job { const char *name; int64_t changed; bool done; };

static enum rc expire_write(struct cx *cx, struct db_conn *db, void *arg)
{
	struct name_job *j = arg;

	j->changed = db_run(db, "UPDATE token SET expires_at = 0 WHERE kind = 'access' AND expires_at > 0 AND family IN (SELECT f.id"
			    " FROM family f JOIN account a ON a.id = f.account_id WHERE a.name = ?1)", "s", j->name);
	return db_fail(cx, db);
}

static enum rc withdraw_write(struct cx *cx, struct db_conn *db, void *arg)
{
	struct name_job *j = arg;

	j->changed = db_run(db, "UPDATE family SET ended = 'person' WHERE ended IS NULL AND account_id IN (SELECT id FROM account"
			    " WHERE name = ?1)", "s", j->name);
	return db_fail(cx, db);
}

static void by_account(struct call *c, db_write_fn *fn)
{
	struct name_job j = { 0 };
	struct jv body;

	if (!call_body(c, &body) || !call_text(c, body, "account", 63, &j.name))
		return;
	if (!j.name) {
		call_error(c, 400, "invalid_request", "account is needed.");
		return;
	}
	if (db_write(&c->cx, c->s->db, fn, &j) != RC_OK) {
		call_failed(c);
		return;
	}
	jsonw_int(call_json(c, 200), "changed", j.changed);
	call_done(c);
}

void sandbox_control_expire(struct call *c)
{
	by_account(c, expire_write);
}

/* The person takes the app's permission back in the platform's own settings. */
void sandbox_control_withdraw(struct call *c)
{
	by_account(c, withdraw_write);
}

static enum rc inbox_write(struct cx *cx, struct db_conn *db, void *arg)
{
	struct name_job *j = arg;
	char post[ID_MAX] = "";
	STMT_AUTO struct stmt *q = db_query(db, "SELECT id FROM post WHERE (id = ?1 OR container_id = ?1) AND status = 'awaiting_user'",
					    "s", j->name);

	if (db_next(q))
		snprintf(post, sizeof post, "%s", db_text(q, 0));
	j->done = post[0] && sandbox_publish_waiting(db, post);
	return db_fail(cx, db);
}

void sandbox_control_inbox(struct call *c)
{
	struct name_job j = { .name = c->id };

	if (db_write(&c->cx, c->s->db, inbox_write, &j) != RC_OK)
		call_failed(c);
	else if (!j.done)
		call_error(c, 404, "not_found", "No post or container with this id waits for the person.");
	else
		fine(c);
}

void sandbox_control_fail(struct call *c)
{
	const char *route = NULL, *mode = NULL;
	int64_t status = 0, count = 1;
	struct jv body;

	if (!call_body(c, &body) || !call_text(c, body, "route", 63, &route) || !call_text(c, body, "mode", 20, &mode) ||
	    !number(c, body, "status", 599, &status) || !number(c, body, "count", 1000000, &count))
		return;
	if (sandbox_fault_add(c->s, route, mode, (int)status, (int)count))
		fine(c);
	else
		call_error(c, 400, "invalid_request", "route is one of ours, with status (400 to 599) or mode (lost_before, lost_after,"
			   " hang_before, hang_after); at most %d at once.", SANDBOX_FAULTS);
}

static enum rc reset_write(struct cx *cx, struct db_conn *db, void *arg)
{
	(void)arg;
	return sandbox_store_reset(cx, db);
}

void sandbox_control_reset(struct call *c)
{
	if (db_write(&c->cx, c->s->db, reset_write, NULL) != RC_OK) {
		call_failed(c);
		return;
	}
	sandbox_fault_clear(c->s);
	for (int i = 0; i < SANDBOX_ROUTES; i++)
		atomic_store(&c->s->counts[i], 0);
	fine(c);
}

/* ---- statistics ----------------------------------------------------------------------------------- */

void sandbox_control_stats(struct call *c)
{
	struct jsonw *w = call_json(c, 200);
	const char *name;

	jsonw_object(w, "requests");
	for (int i = 0; (name = sandbox_route_name(i)); i++)
		jsonw_int(w, name, atomic_load(&c->s->counts[i]));
	jsonw_object_end(w);
	{
		DB_READ_AUTO struct db_conn *db = db_take(c->s->db);

		jsonw_int(w, "token_exchanges", db_number(db, 0, "SELECT coalesce(sum(exchanges), 0) FROM account", ""));
		jsonw_int(w, "refreshes", db_number(db, 0, "SELECT coalesce(sum(refreshes), 0) FROM account", ""));
		jsonw_int(w, "replayed_refreshes", db_number(db, 0, "SELECT coalesce(sum(replays), 0) FROM account", ""));
	}
	accounts_list(c, w, "accounts");
	call_done(c);
}
