/*
 * The other kinds: connecting an account (authorize, exchange, identify, targets), refreshing, checking,
 * removing, revoking.  What each does at its end is one row of a table; how they fail is the same for all.
 */
#include "core/engine/op.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include "core/model/connect.h"
#include "core/model/instance.h"

#define TRIES_MAX 4
#define TARGETS_MAX 500

/* Parsed once: a list of 500 pages is asked for many keys. */
static const char *result_text(struct op *op, const char *key)
{
	if (op->row.result == NULL)
		return NULL;
	if (op->results_of != op->row.result) {
		op->results_of = op->row.result;
		if (json_parse(&op->cx, &op->arena, op->row.result, strlen(op->row.result), &op->results) != RC_OK)
			op->results = (struct jv){NULL, 0};
	}
	return op->results.doc == NULL ? NULL : json_text(json_get(op->results, key));
}

struct jv op_json(struct op *op, const char *text)
{
	struct jv root = {NULL, 0};

	if (text != NULL && json_parse(&op->cx, &op->arena, text, strlen(text), &root) != RC_OK)
		root = (struct jv){NULL, 0};
	return root;
}

void op_results_write(struct op *op, const char *prefix, bool dotted, struct jsonw *w)
{
	struct jv root = op_json(op, op->row.result), value;
	const char *key;

	for (size_t i = 0; root.doc != NULL && json_member(root, i, &key, &value); i++)
		if (text_starts(key, prefix) && (dotted || strchr(key + strlen(prefix), '.') == NULL))
			jsonw_text(w, key + strlen(prefix), json_text_or(value, ""));
}

/* ---- effects: inside the writer, repeatable ---------------------------------------------------------- */

/* The next link of the chain, under the same session and grant. */
void connect_chain(struct db_conn *c, struct op *op, const char *kind, int64_t now)
{
	char id[ID_MAX];
	struct operation next = {
		.owner = op->row.owner, .kind = kind, .platform = op->row.platform, .provider = op->row.provider,
		.grant_id = op->row.grant_id, .session_id = op->row.session_id, .input = op->row.input, .epoch = op->e->epoch,
	};

	operation_start(c, &next, id, operation_lifetime(kind), now);
	db_run(c, "UPDATE connect_session SET operation_id = ?2 WHERE id = ?1 AND organization_id = ?3", "sss", op->row.session_id, id,
	       op->row.owner.organization_id);
}

static enum rc authorize_effect(struct cx *cx, struct db_conn *c, struct op *op, int64_t now)
{
	(void)cx, (void)now;
	facts_keep(c, op);
	facts_issuer(c, op, result_text(op, "oauth.issuer"));
	return RC_OK;
}

/* What the platform says is granted now; a person may take permissions back one by one. */
static void granted(struct db_conn *c, struct op *op, int64_t now)
{
	if (op->tokens.scopes == NULL || op->target != NULL)
		return;
	db_run(c, "UPDATE auth_grant SET scopes = ?3 WHERE id = ?1 AND organization_id = ?2", "sss", op->grant.id,
	       op->row.owner.organization_id, op->tokens.scopes);
	grant_scopes(c, &op->grant, op->tokens.scopes, now);
}

static enum rc refresh_effect(struct cx *cx, struct db_conn *c, struct op *op, int64_t now)
{
	(void)cx;
	granted(c, op, now);
	facts_keep(c, op);
	return RC_OK;
}

static enum rc exchange_effect(struct cx *cx, struct db_conn *c, struct op *op, int64_t now)
{
	(void)cx;
	facts_keep(c, op);
	connect_chain(c, op, "identify", now);
	return RC_OK;
}

static struct connect_account account_of(struct op *op)
{
	return (struct connect_account){
		.remote_id = result_text(op, "account.id"), .username = result_text(op, "account.username"),
		.name = result_text(op, "account.name"), .avatar_url = result_text(op, "account.avatar_url"),
		.type = result_text(op, "account.type"),
	};
}

static enum rc complete(struct cx *cx, struct db_conn *c, struct op *op, const struct connect_account *account, int64_t now)
{
	int bad = 0;

	db_run(c, "UPDATE auth_grant SET account_host = COALESCE(?3, account_host), scopes = COALESCE(?4, scopes) WHERE id = ?1"
	       " AND organization_id = ?2", "ssss", op->row.grant_id, op->row.owner.organization_id, op->tokens.account_host, op->tokens.scopes);
	return connect_complete(cx, c, op->row.session_id, account, 1, op->tokens.scopes ? op->tokens.scopes : op->grant.scopes, &bad, now);
}

static enum rc identify_effect(struct cx *cx, struct db_conn *c, struct op *op, int64_t now)
{
	struct connect_account account = account_of(op);

	facts_keep(c, op);
	if (op->platform != NULL && op->platform->targets_connections) {
		db_run(c, "UPDATE connect_session SET account = ?2 WHERE id = ?1 AND organization_id = ?3", "sss", op->row.session_id,
		       op->row.result, op->row.owner.organization_id);
		connect_chain(c, op, "targets", now);
		return RC_OK;
	}
	return complete(cx, c, op, &account, now);
}

/* No page to choose: the account itself is what was connected. */
static enum rc own_account(struct cx *cx, struct db_conn *c, struct op *op, int64_t now)
{
	STMT_AUTO struct stmt *s = db_query(c, "SELECT account FROM connect_session WHERE id = ?1 AND organization_id = ?2", "ss",
					    op->row.session_id, op->row.owner.organization_id);
	struct connect_account account;

	if (!db_next(s) || db_null(s, 0))
		return fail(cx, RC_BUG, "connect session %s has no account", op->row.session_id);
	op->row.result = db_dup(s, 0, &op->arena);
	db_end(s);
	account = account_of(op);
	return complete(cx, c, op, &account, now);
}

static enum rc targets_effect(struct cx *cx, struct db_conn *c, struct op *op, int64_t now)
{
	if (result_text(op, "targets.0.id") == NULL)
		return own_account(cx, c, op, now);
	db_run(c, "UPDATE connect_session SET status = 'selecting', choices = ?2 WHERE id = ?1 AND organization_id = ?3"
	       " AND status IN ('opened', 'authorizing')", "sss", op->row.session_id, op->row.result, op->row.owner.organization_id);
	return grant_secrets_save(cx, c, op->e->vault, &op->grant, &op->secrets);
}

static enum rc check_effect(struct cx *cx, struct db_conn *c, struct op *op, int64_t now)
{
	(void)cx;
	granted(c, op, now);
	db_run(c, "UPDATE connection SET checked_at = ?3, username = COALESCE(?4, username), display_name = COALESCE(?5, display_name),"
	       " avatar_url = COALESCE(?6, avatar_url), version = version + 1, updated_at = ?3 WHERE id = ?1 AND organization_id = ?2", "ssisss",
	       op->row.connection_id, op->row.owner.organization_id, now, result_text(op, "account.username"),
	       result_text(op, "account.name"), result_text(op, "account.avatar_url"));
	return RC_OK;
}

static enum rc revoke_effect(struct cx *cx, struct db_conn *c, struct op *op, int64_t now)
{
	(void)cx;
	db_run(c, "UPDATE auth_grant SET status = 'closed', secrets = NULL, facts = NULL, refresh_at = NULL, updated_at = ?3 WHERE id = ?1"
	       " AND organization_id = ?2 AND NOT EXISTS (SELECT 1 FROM connection WHERE grant_id = auth_grant.id AND status <> 'disconnected')",
	       "ssi", op->row.grant_id, op->row.owner.organization_id, now);
	return RC_OK;
}

static enum rc remove_effect(struct cx *cx, struct db_conn *c, struct op *op, int64_t now)
{
	(void)cx;
	delivery_removed(c, op->row.delivery_id, op->row.owner.organization_id, now);
	return RC_OK;
}

static const struct kind {
	const char *kind;
	bool tokens;		/* must bring new tokens */
	const char *needs;	/* result without which it is not done */
	bool session;		/* its failure ends the connect session */
	enum rc (*effect)(struct cx *, struct db_conn *, struct op *, int64_t);
} kinds[] = {
	{"register", false, NULL, true, register_effect},
	{"authorize", false, NULL, true, authorize_effect},
	{"exchange", true, NULL, true, exchange_effect},
	{"identify", false, "account.id", true, identify_effect},
	{"targets", false, NULL, true, targets_effect},
	{"refresh", true, NULL, false, refresh_effect},
	{"check", false, NULL, false, check_effect},
	{"limits", false, NULL, false, limits_effect},
	{"revoke", false, NULL, false, revoke_effect},
	{"remove", false, NULL, false, remove_effect},
	{"edit", false, NULL, false, edit_effect},
	{NULL, false, NULL, false, NULL}
};

static const struct kind *kind_of(const struct op *op)
{
	const struct kind *k = kinds;

	while (k->kind != NULL && !text_eq(k->kind, op->row.kind))
		k++;
	return k;
}

/* ---- done -------------------------------------------------------------------------------------------- */

/* Tokens of chosen places: a result "targets.N.token" names the handle; the bag keeps the value as "targets.N". */
static void keep_target_tokens(struct op *op)
{
	char key[40];
	const char *handle, *value;
	struct buf copied;
	size_t n;

	for (int i = 0; i < TARGETS_MAX; i++) {
		snprintf(key, sizeof key, "targets.%d.token", i);
		handle = result_text(op, key);
		value = handle ? secret_find(op, handle, &n) : NULL;
		if (value == NULL)
			continue;
		snprintf(key, sizeof key, "targets.%d", i);
		buf_init(&copied, BAG_MAX);
		buf_add(&copied, value, n);
		bag_put_bytes(&op->secrets, REC_STATE, key, copied.data, copied.len);
		buf_wipe(&copied);
	}
}

static void drop_spent(struct op *op)
{
	static const char *const spent[] = {
		"code", "code_verifier", "oauth.state", "client.id", "client.secret", "client.key", "client.kid",
	};
	size_t at = 0;
	struct rec r;

	for (size_t i = 0; i < sizeof spent / sizeof spent[0]; i++)
		bag_put(&op->secrets, REC_STATE, spent[i], NULL);
	while (rec_next(op->secrets.data, op->secrets.len, &at, &r, NULL))
		if ((r.key_len > 4 && memcmp(r.key, "sec:", 4) == 0) || (r.key_len > 6 && memcmp(r.key, "field.", 6) == 0)) {
			bag_put(&op->secrets, REC_STATE, arena_dup(&op->arena, r.key, r.key_len), NULL);
			at = 0;
		}
}

/* Why not, or NULL. */
static const char *keep_redirect(struct op *op)
{
	struct engine *e = op->e;
	const char *fault;
	char *url = send_redirect(op, &fault);
	int slot = 0;

	if (url == NULL)
		return fault ? fault : "the address for the browser could not be made";
	pthread_mutex_lock(&e->lock);
	for (int i = 0; i < 64; i++)
		if (e->redirects[i].until < e->redirects[slot].until)
			slot = i;
	free(e->redirects[slot].url);
	snprintf(e->redirects[slot].operation_id, ID_MAX, "%s", op->id);
	e->redirects[slot].url = url;
	e->redirects[slot].until = clock_mono() + 10 * 60 * 1000;
	pthread_mutex_unlock(&e->lock);
	return NULL;
}

void connect_outcome(struct op *op, const struct action *a)
{
	const struct kind *k = kind_of(op);
	const char *fault = text_eq(a->verb, "redirect") ? keep_redirect(op) : NULL;
	struct change *ch;

	if (fault != NULL) {
		connect_failed(op, "platform_not_configured", fault, false, false);
		return;
	}
	if ((k->tokens && !op->have_tokens) || (k->needs != NULL && result_text(op, k->needs) == NULL)) {
		connect_failed(op, "platform_rejected", op->token_fault ? op->token_fault : arena_printf(&op->arena,
			       "the platform's answer to %s holds no %s", op->row.kind, k->tokens ? "access token" : k->needs), false, false);
		return;
	}
	if (text_eq(op->row.kind, "register") && !register_complete(op)) {
		connect_failed(op, "platform_rejected", "the instance gave us no client", false, false);
		return;
	}
	ch = op_change(op, "done");
	ch->effect = k->effect;
	ch->tokens = k->tokens;
	op->row.due_at = 0;
	buf_reset(&op->intent);
	if (text_eq(op->row.kind, "targets"))
		keep_target_tokens(op);
	if (k->tokens || text_eq(op->row.kind, "targets")) {
		drop_spent(op);
		op->secret_touched = false;
		op->tokens.refreshable = bag_has(&op->secrets, "refresh") && platform_has(op->platform, "refresh");
	}
	op_commit(op, AFTER_END);
}

/* ---- failed ------------------------------------------------------------------------------------------ */

/* A session that was begun anew waits for another operation: the old one's end is nothing to it. */
static bool awaited(struct db_conn *c, struct op *op)
{
	return op->row.session_id != NULL && db_number(c, 0, "SELECT COUNT(*) FROM connect_session WHERE id = ?1 AND organization_id = ?2"
		" AND (operation_id IS NULL OR operation_id = ?3)", "sss", op->row.session_id, op->row.owner.organization_id, op->id) == 1;
}

static enum rc failed_effect(struct cx *cx, struct db_conn *c, struct op *op, int64_t now)
{
	if (text_eq(op->row.kind, "revoke"))	/* the tokens are of no use to us all the same */
		return revoke_effect(cx, c, op, now);
	if (op->change.client_gone && register_again(c, op, now))
		return RC_OK;
	if (kind_of(op)->session && awaited(c, op))
		connect_fail(c, op->row.session_id, op->change.reason, op->cx.words, now);
	if (text_eq(op->row.kind, "limits"))
		limits_failed(c, op, now);
	if (edit_is(op))
		edit_failed_effect(c, op, now);
	if (op->change.client_gone)
		instance_forget(c, op->grant.instance_id, op->row.owner.organization_id, op->grant.id, now);
	if (text_eq(op->row.kind, "refresh"))
		grant_lease_end(c, op->grant.id, op->id, true,
				op->change.dead_grant ? 0 : now + backoff_ms(op->grant.refresh_failures + 1), now);
	return RC_OK;
}

void connect_failed(struct op *op, const char *code, const char *message, bool dead, bool revoked)
{
	bool parked = text_eq(op->row.status, "parked");
	struct change *ch = op_change(op, parked ? "parked" : "failed");

	if (edit_is(op))
		code = edit_code(op, code, &message);
	snprintf(op->cx.words, sizeof op->cx.words, "%s", message);
	op->row.error = op_error(op, code, message, NULL, edit_is(op) ? edit_retryable(code) : !dead);
	op->row.due_at = 0;
	buf_reset(&op->intent);
	ch->reason = code;
	ch->dead_grant = dead;
	ch->revoked = revoked;
	ch->effect = failed_effect;
	op_commit(op, AFTER_END);
}

void connect_lost(struct op *op)
{
	if (text_eq(op->row.kind, "refresh") && (!op->row.resent || op->platform->refresh_repeat_safe) && op->resends < TRIES_MAX) {
		op->row.resent = 1;
		op->resends++;
		op_wait(op, backoff_ms(1), true);
	} else if (text_eq(op->row.kind, "refresh")) {
		connect_failed(op, "refresh_outcome_unknown", "two refreshes in a row were sent and never answered", true, false);
	} else if (text_eq(op->row.kind, "exchange") || text_eq(op->row.kind, "register")) {
		connect_failed(op, "connect_interrupted", "the platform did not answer while the account was being connected", false, false);
	} else {
		connect_failed(op, "platform_unavailable", "the platform did not answer", false, false);
	}
}

/* A provider's reason that is a code of the API's list is told as such: it says to the person what to do. */
static const char *rejected_code(const char *reason)
{
	static const char *const told[] = {"credential_invalid", "connection_scope_missing", "connect_denied"};

	for (size_t i = 0; i < sizeof told / sizeof told[0]; i++)
		if (text_eq(reason, told[i]))
			return told[i];
	return "platform_rejected";
}

static bool transient(const char *class)
{
	return text_eq(class, "transient") || text_eq(class, "unknown") || text_eq(class, "limit");
}

/* Registered anew by the next session; with a token that cannot be renewed, only the person can go on. */
static bool client_gone(struct op *op, const struct action *a)
{
	bool refresh = text_eq(op->row.kind, "refresh");

	if (!text_eq(a->reason, "client_unknown") || op->grant.instance_id == NULL || transient(a->class))
		return false;
	connect_failed(op, refresh ? "platform_auth_failed" : kind_of(op)->session ? "connect_interrupted" : "platform_rejected", a->message,
		       refresh, false);
	op->change.client_gone = true;
	return true;
}

/* At an instance a person waits, and its name may be mistyped; limits come back by themselves. */
static int tries_of(const struct op *op)
{
	return text_eq(op->row.kind, "register") ? 1 : text_eq(op->row.kind, "limits") ? 0 : TRIES_MAX;
}

void connect_fail_class(struct op *op, const struct action *a)
{
	bool refresh = text_eq(op->row.kind, "refresh"), at_instance = text_eq(op->row.kind, "register");
	bool exchange = text_eq(op->row.kind, "exchange") || (at_instance && text_eq(a->reason, "lost"));
	bool safe = op->repeat == REPEAT_SAFE || text_eq(a->reason, "unsent");

	if (client_gone(op, a) || (edit_is(op) && edit_failed(op, a)))
		return;
	if (transient(a->class) && safe && op->row.retries < tries_of(op)) {
		op->row.retries++;
		op_wait(op, op->retry_after_ms > 0 && op->retry_after_ms < 60000 ? op->retry_after_ms : backoff_ms(op->row.retries), true);
	} else if (transient(a->class)) {
		connect_failed(op, exchange ? "connect_interrupted" : "platform_unavailable", a->message, false, false);
	} else if (text_eq(a->class, "rejected")) {
		connect_failed(op, rejected_code(a->reason), a->message, false, false);
	} else if (text_eq(a->class, "auth") && !refresh && op->has_grant && op->grant.refreshable && !op->auth_tried) {
		op->auth_tried = true;
		refresh_wait(op);
	} else {
		connect_failed(op, "platform_auth_failed", a->message, refresh || (op->row.connection_id != NULL && text_eq(a->class, "revoked")),
			       !refresh && text_eq(a->class, "revoked"));
	}
}
