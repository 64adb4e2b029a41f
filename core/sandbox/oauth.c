/*
 * OAuth 2.0 with PKCE: authorize, consent, token, revoke.
 *
 * A fault of client_id or redirect_uri is shown to the person and never redirected; every other fault goes
 * back to the app by the redirect, with state and iss.
 */
#include <string.h>

#include "core/base/text.h"
#include "core/sandbox/handlers.h"
#include "core/sandbox/page.h"
#include "core/sandbox/token.h"

#define SCOPE_DEFAULT "publish read"

static bool redirect_ok(const char *url)
{
	static const char *const loopback[] = { "http://127.0.0.1", "http://localhost", "http://[::1]", NULL };
	size_t n = strlen(url);

	if (n > 2000 || strchr(url, '#') || strchr(url, '@') || strspn(url, " ") || !text_printable(url) || strpbrk(url, "\r\n\t"))
		return false;
	if (text_starts(url, "https://"))
		return url[8] && url[8] != '/';
	for (int i = 0; loopback[i]; i++) {
		size_t len = strlen(loopback[i]);

		if (text_starts(url, loopback[i]) && strchr(":/?", url[len]))
			return true;
	}
	return false;
}

static void back(struct call *c, const struct consent *asked, const char *name, const char *value)
{
	BUF_AUTO struct buf url;

	buf_init(&url, 16384);
	buf_adds(&url, asked->redirect_uri);
	buf_addf(&url, "%c%s=", strchr(asked->redirect_uri, '?') ? '&' : '?', name);
	text_percent(&url, value, strlen(value));
	if (asked->state) {
		buf_adds(&url, "&state=");
		text_percent(&url, asked->state, strlen(asked->state));
	}
	buf_adds(&url, "&iss=");
	text_percent(&url, c->s->public_url, strlen(c->s->public_url));
	c->a->status = 303;
	web_header(c->a, "Location", "%s", buf_text(&url));
}

/* Answers and gives false if the request cannot go on. */
static bool asked_ok(struct call *c, const struct consent *a)
{
	if (!a->client_id || !a->client_id[0] || !sandbox_client_known(c->s->db, a->client_id)) {
		sandbox_page_error(c, 400, "Unknown app", "No app is registered under this client_id.");
		return false;
	}
	if (!a->redirect_uri || !redirect_ok(a->redirect_uri)) {
		sandbox_page_error(c, 400, "This link is not safe", "redirect_uri must be https, or http on loopback, without a fragment.");
		return false;
	}
	if (!text_eq(a->response_type, "code"))
		back(c, a, "error", "unsupported_response_type");
	else if (text_eq(a->client_id, "sandbox") && !a->challenge)
		back(c, a, "error", "invalid_request");
	else if (a->challenge && (strlen(a->challenge) != 43 || !text_eq(a->method, "S256")))
		back(c, a, "error", "invalid_request");
	else if (a->scope && strlen(a->scope) > 190)
		back(c, a, "error", "invalid_scope");
	else
		return true;
	return false;
}

void sandbox_oauth_authorize(struct call *c)
{
	struct consent a = { 0 };

	web_query(c->r, "response_type", &a.response_type);
	web_query(c->r, "client_id", &a.client_id);
	web_query(c->r, "redirect_uri", &a.redirect_uri);
	web_query(c->r, "scope", &a.scope);
	web_query(c->r, "state", &a.state);
	web_query(c->r, "code_challenge", &a.challenge);
	web_query(c->r, "code_challenge_method", &a.method);
	if (asked_ok(c, &a))
		sandbox_page_consent(c, &a, NULL);
}

struct form { const char *text; size_t len; };

static bool form_read(struct call *c, struct form *ret)
{
	return web_body(&c->cx, c->r, 65536, &ret->text, &ret->len) == RC_OK;
}

static const char *field(struct call *c, const struct form *f, const char *name)
{
	return web_form(c->r, f->text, f->len, name);
}

static void allow(struct call *c, const struct consent *a, const struct form *f)
{
	const char *type = field(c, f, "type");
	struct code_grant grant = { a->client_id, a->redirect_uri, a->scope && a->scope[0] ? a->scope : SCOPE_DEFAULT,
				    a->challenge ? a->challenge : "",
				    { .expires_in = ACCOUNT_UNSET, .window_s = ACCOUNT_UNSET, .search_lag_ms = ACCOUNT_UNSET,
				      .processing_ms = ACCOUNT_UNSET } };
	char code[TOKEN_TEXT];

	grant.account.name = field(c, f, "account");
	if (!grant.account.name || !sandbox_account_name_ok(grant.account.name)) {
		sandbox_page_consent(c, a, "A name has a to z, 0 to 9, '-', '_' and '.'.");
		return;
	}
	if (type && type[0]) {
		if (!sandbox_account_type_ok(type)) {
			sandbox_page_error(c, 400, "Unknown account type", "It is keyed, handle, search or none.");
			return;
		}
		grant.account.type = type;
	}
	if (sandbox_code_new(&c->cx, c->s->db, &grant, code) == RC_OK)
		back(c, a, "code", code);
	else
		back(c, a, "error", "server_error");
}

void sandbox_oauth_consent(struct call *c)
{
	struct form f;
	struct consent a;

	if (!form_read(c, &f)) {
		call_failed(c);
		return;
	}
	a = (struct consent){ field(c, &f, "response_type"), field(c, &f, "client_id"), field(c, &f, "redirect_uri"),
			      field(c, &f, "scope"), field(c, &f, "state"), field(c, &f, "code_challenge"),
			      field(c, &f, "code_challenge_method") };
	if (!a.response_type)
		a.response_type = "code";
	if (!asked_ok(c, &a))
		return;
	if (text_eq(field(c, &f, "decision"), "allow"))
		allow(c, &a, &f);
	else
		back(c, &a, "error", "access_denied");
}

/* ---- token and revoke ----------------------------------------------------------------------------- */

/* client_secret_basic: both parts are form-encoded, joined by a colon, base64.  False: malformed. */
static bool basic(struct call *c, const char *header, const char **ret_id, const char **ret_secret)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t n = strlen(header);
	char *plain = arena_alloc(c->r->arena, n + 1);
	char *colon;
	uint32_t bits = 0;
	size_t len = 0;
	int have = 0;
	BUF_AUTO struct buf b = {0};

	for (size_t i = 0; i < n && header[i] != '='; i++) {
		const char *at = strchr(digits, header[i]);

		if (!at)
			return false;
		bits = (bits << 6 | (uint32_t)(at - digits)) & 0xffffff;
		have += 6;
		if (have < 8)
			continue;
		have -= 8;
		plain[len++] = (char)(bits >> have & 0xff);
	}
	colon = strchr(plain, ':');
	if (!colon)
		return false;
	buf_init(&b, 4096);
	if (!text_unpercent(&b, plain, (size_t)(colon - plain), true))
		return false;
	*ret_id = arena_text(c->r->arena, buf_text(&b));
	buf_reset(&b);
	if (!text_unpercent(&b, colon + 1, strlen(colon + 1), true))
		return false;
	*ret_secret = arena_text(c->r->arena, buf_text(&b));
	return true;
}

/* Reads the form and checks the client; answers and gives false otherwise. */
static bool client_ok(struct call *c, struct form *f, const char **ret_client)
{
	const char *header = web_header_in(c->r, "Authorization");
	const char *id, *secret;

	if (!form_read(c, f)) {
		call_failed(c);
		return false;
	}
	id = field(c, f, "client_id");
	secret = field(c, f, "client_secret");
	if (header && text_starts(header, "Basic ") && !basic(c, header + 6, &id, &secret))
		id = NULL;
	if (!id || !sandbox_client_ok(c->s->db, id, secret)) {
		call_error(c, 401, "invalid_client", "client_id and client_secret do not match.");
		return false;
	}
	*ret_client = id;
	return true;
}

static void token_answer(struct call *c, enum rc rc, const struct token_answer *t)
{
	struct jsonw *w;

	if (rc != RC_OK) {
		call_failed(c);
		return;
	}
	if (t->refused) {
		call_error(c, 400, t->refused, "%s", t->words);
		return;
	}
	w = call_json(c, 200);
	jsonw_text(w, "access_token", t->access);
	if (t->refresh[0])
		jsonw_text(w, "refresh_token", t->refresh);
	jsonw_text(w, "token_type", "Bearer");
	jsonw_int(w, "expires_in", t->expires_in);
	jsonw_text(w, "scope", t->scope);
	call_done(c);
}

void sandbox_oauth_token(struct call *c)
{
	struct token_request r = { 0 };
	struct token_answer t = { 0 };
	struct form f;
	const char *grant;

	if (!client_ok(c, &f, &r.client))
		return;
	grant = field(c, &f, "grant_type");
	r.code = field(c, &f, "code");
	r.redirect = field(c, &f, "redirect_uri");
	r.verifier = field(c, &f, "code_verifier");
	r.refresh = field(c, &f, "refresh_token");
	if (text_eq(grant, "authorization_code") && r.code && r.redirect)
		token_answer(c, sandbox_token_exchange(&c->cx, c->s->db, &r, &t), &t);
	else if (text_eq(grant, "refresh_token") && r.refresh)
		token_answer(c, sandbox_token_refresh(&c->cx, c->s->db, &r, &t), &t);
	else if (text_eq(grant, "authorization_code") || text_eq(grant, "refresh_token"))
		call_error(c, 400, "invalid_request", "code and redirect_uri, or refresh_token, are missing.");
	else
		call_error(c, 400, "unsupported_grant_type", "grant_type is authorization_code or refresh_token.");
}

void sandbox_oauth_revoke(struct call *c)
{
	const char *client, *token;
	struct form f;

	if (!client_ok(c, &f, &client))
		return;
	token = field(c, &f, "token");
	if (token && sandbox_token_revoke(&c->cx, c->s->db, token) != RC_OK) {
		call_failed(c);
		return;
	}
	call_json(c, 200);
	call_done(c);
}
