/*
 * Token families.  The rule that matters: a refresh token works once.  The second use of a spent one, or of a
 * code, ends the whole family, because one of its two users must be a thief.
 */
#include "core/sandbox/token.h"

#include <stdio.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/text.h"
#include "core/io/vault.h"

struct job {
	const struct token_request *request;
	struct token_answer *ret;
	uint8_t access[32], refresh[32];	/* hashes of the new pair */
	char family[ID_MAX];
	char account[ID_MAX];
};

static void secret_new(char out[TOKEN_TEXT], const char *prefix)
{
	uint8_t bytes[32];
	BUF_AUTO struct buf b;

	buf_init(&b, TOKEN_TEXT);
	id_random(bytes, sizeof bytes);
	buf_adds(&b, prefix);
	text_base64url(&b, bytes, sizeof bytes);
	snprintf(out, TOKEN_TEXT, "%s", buf_text(&b));
}

static void hash(const char *text, uint8_t out[32])
{
	vault_sha256(text, strlen(text), out);
}

static enum rc refuse(struct job *j, const char *code, const char *words)
{
	j->ret->refused = code;
	j->ret->words = words;
	return RC_OK;
}

/* ---- codes --------------------------------------------------------------------------------------- */

struct code_job { const struct code_grant *grant; uint8_t hash[32]; };

static enum rc code_write(struct cx *cx, struct db_conn *c, void *arg)
{
	struct code_job *j = arg;
	char account[ID_MAX] = "";
	enum rc rc = sandbox_account_put(cx, c, &j->grant->account, account);

	if (rc != RC_OK)
		return rc;
	db_run(c, "INSERT INTO code (hash, client_id, redirect_uri, account_id, scope, challenge, created_at)"
	       " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)", "bsssssi", (const void *)j->hash, sizeof j->hash, j->grant->client,
	       j->grant->redirect, account, j->grant->scope, j->grant->challenge, clock_now());
	return db_fail(cx, c);
}

enum rc sandbox_code_new(struct cx *cx, struct db *db, const struct code_grant *grant, char ret[TOKEN_TEXT])
{
	struct code_job j = { .grant = grant };
	char text[TOKEN_TEXT];
	enum rc rc;

	secret_new(text, "sbxc_");
	hash(text, j.hash);
	rc = db_write(cx, db, code_write, &j);
	if (rc == RC_OK)
		memcpy(ret, text, TOKEN_TEXT);
	return rc;
}

/* ---- issuing ------------------------------------------------------------------------------------- */

static void token_add(struct db_conn *c, const uint8_t *h, const char *family, const char *kind, const char *page, int64_t expires)
{
	db_run(c, "INSERT INTO token (hash, family, kind, page_id, expires_at) VALUES (?1, ?2, ?3, ?4, ?5)",
	       "bsssi", (const void *)h, (size_t)32, family, kind, page, expires);
}

/* A new access token, and a refresh token where the account gives one (first: at the exchange). */
static void issue(struct db_conn *c, struct job *j, bool first)
{
	STMT_AUTO struct stmt *q = db_query(c, "SELECT a.expires_in, a.refresh, f.scope FROM account a JOIN family f"
					    " ON f.account_id = a.id WHERE f.id = ?1", "s", j->family);
	bool again;

	if (!db_next(q))
		return;
	j->ret->expires_in = db_int(q, 0);
	again = text_eq(db_text(q, 1), "rotating") || (first && text_eq(db_text(q, 1), "fixed"));
	snprintf(j->ret->scope, sizeof j->ret->scope, "%s", db_text(q, 2));
	token_add(c, j->access, j->family, "access", "", clock_now() + j->ret->expires_in * 1000);
	if (again)
		token_add(c, j->refresh, j->family, "refresh", "", INT64_MAX);
	else
		j->ret->refresh[0] = '\0';
}

static bool verifier_ok(const char *verifier, const char *challenge)
{
	uint8_t h[32];
	BUF_AUTO struct buf b = {0};

	if (!challenge[0])
		return !verifier || !verifier[0];
	if (!verifier || strlen(verifier) < 43 || strlen(verifier) > 128)
		return false;
	buf_init(&b, 64);
	hash(verifier, h);
	text_base64url(&b, h, sizeof h);
	return text_eq(buf_text(&b), challenge);
}

/* Everything about the code but its single use.  Gives the words of the refusal, or NULL. */
static const char *code_fault(struct stmt *q, const struct token_request *r)
{
	if (!text_eq(db_text(q, 0), r->client))
		return "The code was given to another client.";
	if (!text_eq(db_text(q, 1), r->redirect))
		return "redirect_uri is not the one of the authorization request.";
	if (clock_now() - db_int(q, 5) > CODE_LIFETIME_MS)
		return "The code has expired.";
	if (!verifier_ok(r->verifier, db_text(q, 4)))
		return "code_verifier does not match code_challenge.";
	return NULL;
}

static enum rc exchange_write(struct cx *cx, struct db_conn *c, void *arg)
{
	struct job *j = arg;
	uint8_t h[32];
	const char *fault;
	STMT_AUTO struct stmt *q = NULL;

	hash(j->request->code, h);
	q = db_query(c, "SELECT client_id, redirect_uri, account_id, scope, challenge, created_at, family FROM code"
		     " WHERE hash = ?1", "b", (const void *)h, sizeof h);
	if (!db_next(q))
		return db_rc(c) == RC_OK ? refuse(j, "invalid_grant", "The code is unknown.") : db_fail(cx, c);
	if (!db_null(q, 6)) {
		sandbox_family_end(c, db_text(q, 6), "reuse");
		return refuse(j, "invalid_grant", "The code was used before; its tokens are revoked.");
	}
	fault = code_fault(q, j->request);
	if (fault)
		return refuse(j, "invalid_grant", fault);
	db_run(c, "INSERT INTO family (id, account_id, client_id, scope) VALUES (?1, ?2, ?3, ?4)", "ssss", j->family,
	       db_text(q, 2), j->request->client, db_text(q, 3));
	db_run(c, "UPDATE code SET family = ?2 WHERE hash = ?1", "bs", (const void *)h, sizeof h, j->family);
	db_run(c, "UPDATE account SET exchanges = exchanges + 1 WHERE id = ?1", "s", db_text(q, 2));
	issue(c, j, true);
	return db_fail(cx, c);
}

static enum rc refresh_spent(struct cx *cx, struct db_conn *c, struct job *j)
{
	sandbox_family_end(c, j->family, "reuse");
	db_run(c, "UPDATE account SET replays = replays + 1 WHERE id = ?1", "s", j->account);
	refuse(j, "invalid_grant", "The refresh token was used before; the authorization is revoked.");
	return db_fail(cx, c);
}

static enum rc refresh_write(struct cx *cx, struct db_conn *c, void *arg)
{
	struct job *j = arg;
	uint8_t h[32];
	bool spent, fixed;
	STMT_AUTO struct stmt *q = NULL;

	hash(j->request->refresh, h);
	q = db_query(c, "SELECT t.family, f.client_id, f.ended, t.spent, a.id, a.refresh FROM token t JOIN family f"
		     " ON f.id = t.family JOIN account a ON a.id = f.account_id WHERE t.hash = ?1 AND t.kind = 'refresh'",
		     "b", (const void *)h, sizeof h);
	if (!db_next(q))
		return db_rc(c) == RC_OK ? refuse(j, "invalid_grant", "The refresh token is unknown.") : db_fail(cx, c);
	snprintf(j->family, sizeof j->family, "%s", db_text(q, 0));
	snprintf(j->account, sizeof j->account, "%s", db_text(q, 4));
	if (!text_eq(db_text(q, 1), j->request->client))
		return refuse(j, "invalid_grant", "The refresh token belongs to another client.");
	if (!db_null(q, 2) && !db_int(q, 3))
		return refuse(j, "invalid_grant", "The authorization has ended.");
	spent = db_int(q, 3) != 0;
	fixed = text_eq(db_text(q, 5), "fixed");
	if (spent)
		return refresh_spent(cx, c, j);
	if (!fixed)
		db_run(c, "UPDATE token SET spent = 1 WHERE hash = ?1", "b", (const void *)h, sizeof h);
	db_run(c, "UPDATE account SET refreshes = refreshes + 1 WHERE id = ?1", "s", j->account);
	issue(c, j, false);
	return db_fail(cx, c);
}

/* Runs one of the two closures with a fresh pair at hand.  A closure may run again, so ret starts anew in it. */
static enum rc pair(struct cx *cx, struct db *db, db_write_fn *fn, struct job *j)
{
	char access[TOKEN_TEXT], refresh[TOKEN_TEXT];
	enum rc rc;

	memset(j->ret, 0, sizeof *j->ret);
	secret_new(access, "sbxa_");
	secret_new(refresh, "sbxr_");
	hash(access, j->access);
	hash(refresh, j->refresh);
	memcpy(j->ret->access, access, TOKEN_TEXT);
	memcpy(j->ret->refresh, refresh, TOKEN_TEXT);
	rc = db_write(cx, db, fn, j);
	if (rc == RC_OK && !j->ret->refused)
		return RC_OK;
	memset(j->ret->access, 0, TOKEN_TEXT);
	memset(j->ret->refresh, 0, TOKEN_TEXT);
	return rc;
}

enum rc sandbox_token_exchange(struct cx *cx, struct db *db, const struct token_request *request, struct token_answer *ret)
{
	struct job j = { .request = request, .ret = ret };

	id_new(j.family, "fam");
	return pair(cx, db, exchange_write, &j);
}

enum rc sandbox_token_refresh(struct cx *cx, struct db *db, const struct token_request *request, struct token_answer *ret)
{
	struct job j = { .request = request, .ret = ret };

	return pair(cx, db, refresh_write, &j);
}

/* ---- the rest ------------------------------------------------------------------------------------ */

void sandbox_family_end(struct db_conn *c, const char *family, const char *why)
{
	db_run(c, "UPDATE family SET ended = ?2 WHERE id = ?1 AND ended IS NULL", "ss", family, why);
}

static enum rc revoke_write(struct cx *cx, struct db_conn *c, void *arg)
{
	uint8_t h[32];
	STMT_AUTO struct stmt *q = NULL;

	hash(arg, h);
	q = db_query(c, "SELECT family FROM token WHERE hash = ?1", "b", (const void *)h, sizeof h);
	if (db_next(q))
		sandbox_family_end(c, db_text(q, 0), "client");
	return db_fail(cx, c);
}

enum rc sandbox_token_revoke(struct cx *cx, struct db *db, const char *token)
{
	return db_write(cx, db, revoke_write, (void *)(uintptr_t)token);
}

struct page_job { const char *family, *page; uint8_t hash[32]; };

static enum rc page_write(struct cx *cx, struct db_conn *c, void *arg)
{
	struct page_job *j = arg;

	token_add(c, j->hash, j->family, "access", j->page, INT64_MAX);
	return db_fail(cx, c);
}

enum rc sandbox_token_page(struct cx *cx, struct db *db, const char *family, const char *page, char ret[TOKEN_TEXT])
{
	struct page_job j = { .family = family, .page = page };

	secret_new(ret, "sbxp_");
	hash(ret, j.hash);
	return db_write(cx, db, page_write, &j);
}

static void caller_fill(struct stmt *q, struct caller *who)
{
	const struct { char *to; size_t size; } texts[] = {
		{ who->family, sizeof who->family }, { who->page, sizeof who->page }, { who->account, sizeof who->account },
		{ who->name, sizeof who->name }, { who->type, sizeof who->type }, { who->scope, sizeof who->scope },
	};

	for (int i = 0; i < 6; i++)
		snprintf(texts[i].to, texts[i].size, "%s", db_text(q, i));
	who->window_ms = db_int(q, 6) * 1000;
	who->search_lag_ms = db_int(q, 7);
	who->processing_ms = db_int(q, 8);
}

bool sandbox_token_check(struct db *db, const char *token, struct caller *ret, const char **ret_code)
{
	DB_READ_AUTO struct db_conn *c = db_take(db);
	STMT_AUTO struct stmt *q = NULL;

	hash(token, ret->token);
	q = db_query(c, "SELECT t.family, t.page_id, a.id, a.name, a.type, f.scope, a.window_s, a.search_lag_ms,"
		     " a.processing_ms, t.expires_at, t.spent, f.ended FROM token t JOIN family f ON f.id = t.family"
		     " JOIN account a ON a.id = f.account_id WHERE t.hash = ?1 AND t.kind = 'access'",
		     "b", (const void *)ret->token, sizeof ret->token);
	*ret_code = "invalid_token";
	if (!db_next(q))
		return false;
	if (text_eq(db_text(q, 11), "person"))
		*ret_code = "token_revoked";
	if (!db_null(q, 11) || db_int(q, 10) || db_int(q, 9) <= clock_now())
		return false;
	caller_fill(q, ret);
	return true;
}

bool sandbox_client_known(struct db *db, const char *id)
{
	DB_READ_AUTO struct db_conn *c = db_take(db);

	return text_eq(id, "sandbox") || db_number(c, 0, "SELECT count(*) FROM client WHERE id = ?1", "s", id) > 0;
}

bool sandbox_client_ok(struct db *db, const char *id, const char *secret)
{
	DB_READ_AUTO struct db_conn *c = db_take(db);
	uint8_t h[32];

	if (text_eq(id, "sandbox"))
		return true;
	if (!id || !secret)
		return false;
	hash(secret, h);
	return db_number(c, 0, "SELECT count(*) FROM client WHERE id = ?1 AND secret = ?2", "sb", id, (const void *)h, sizeof h) > 0;
}
