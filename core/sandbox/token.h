/*
 * Codes, access tokens, refresh tokens.  One authorization is a family; everything it ever gave ends with it.
 * Only hashes are stored.
 */
#ifndef MPS_SANDBOX_TOKEN_H
#define MPS_SANDBOX_TOKEN_H

#include <stdbool.h>
#include <stdint.h>

#include "core/io/db.h"
#include "core/sandbox/call.h"
#include "core/sandbox/store.h"

#define TOKEN_TEXT 64
#define CODE_LIFETIME_MS 60000

struct code_grant {		/* what the person allowed */
	const char *client, *redirect, *scope, *challenge;
	struct account_change account;
};
enum rc sandbox_code_new(struct cx *cx, struct db *db, const struct code_grant *grant, char ret[TOKEN_TEXT]);

struct token_request {
	const char *client;
	const char *code, *redirect, *verifier;	/* authorization_code */
	const char *refresh;			/* refresh_token */
};
struct token_answer {
	const char *refused;			/* OAuth error code, or NULL */
	const char *words;
	char access[TOKEN_TEXT], refresh[TOKEN_TEXT];	/* refresh "": none in this answer */
	char scope[200];
	int64_t expires_in;
};
enum rc sandbox_token_exchange(struct cx *cx, struct db *db, const struct token_request *request, struct token_answer *ret);
enum rc sandbox_token_refresh(struct cx *cx, struct db *db, const struct token_request *request, struct token_answer *ret);
enum rc sandbox_token_revoke(struct cx *cx, struct db *db, const char *token);
enum rc sandbox_token_page(struct cx *cx, struct db *db, const char *family, const char *page, char ret[TOKEN_TEXT]);

/* False with the error code in *ret_code: invalid_token, token_revoked (the person took the permission back). */
bool sandbox_token_check(struct db *db, const char *token, struct caller *ret, const char **ret_code);

/* Client id and secret (NULL: none given): the public client is "sandbox". */
bool sandbox_client_ok(struct db *db, const char *id, const char *secret);
bool sandbox_client_known(struct db *db, const char *id);

/* Inside a closure. why: "person" (tokens answer token_revoked), "client", "reuse". */
void sandbox_family_end(struct db_conn *c, const char *family, const char *why);

#endif
