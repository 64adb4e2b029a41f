/*
 * A client of any strict OAuth 2.1 server, for tests only: the flows of core against tests/counterparts/oidc.mjs.
 *
 * The one thing to know: it does what a careful provider does and no more, so that what a test sees of PKCE, states,
 * issuers, leases and tokens is the core's doing.  oidc-dpop.c is the same with keys of its own (RFC 9449).
 */
#include "ease.h"

#ifndef OIDC_ID
#define OIDC_ID "oidc"
#define OIDC_DPOP 0
#endif
#if OIDC_DPOP
#define CONNECT_MORE "\"dpop\":true,"
#else
#define CONNECT_MORE ""
#endif

static const char descriptor[] = "{"
	"\"name\":\"Strict\","
	"\"operations\":[\"authorize\",\"exchange\",\"identify\",\"refresh\",\"check\",\"publish\",\"revoke\"],"
	"\"connect\":{\"method\":\"oauth2\",\"client\":\"secret\",\"iss\":\"required\"," CONNECT_MORE "\"scopes\":["
		"{\"scope\":\"openid\",\"reason\":\"To know who you are\"},"
		"{\"scope\":\"offline_access\",\"reason\":\"To publish while you are away\"},"
		"{\"scope\":\"posts:write\",\"reason\":\"To publish posts for you\"}],"
		"\"fields\":[{\"name\":\"server\",\"label\":\"Server\",\"type\":\"host\",\"required\":false,\"default\":\"as.oidc.test\"}]},"
	"\"hosts\":[\"*.oidc.test\"],"
	"\"text\":{\"max\":1000,\"required\":true},"
	"\"capabilities\":{\"text\":true},"
	"\"dedupe\":{\"default\":{\"class\":\"keyed\",\"window_s\":3600,\"settle_s\":1}},"
	"\"state_versions\":[1,1]}";

#define SCOPE "openid offline_access posts:write"

/* ---- requests and errors ------------------------------------------------------------------------------ */

static const char *server(mps_op *op)
{
	const char *known = mps_input(op, "grant.server"), *asked = mps_input(op, "field.server");

	return *known ? known : *asked ? asked : "as.oidc.test";
}

static const char *address(mps_op *op, const char *path)
{
	return mps_concat(op, mps_concat(op, "https://", server(op)), path);
}

static void prove(mps_req *r)
{
	if (OIDC_DPOP)
		mps_dpop(r);
}

static mps_req *as_client(mps_op *op, const char *path)
{
	mps_req *r = mps_post(op, address(op, path));

	prove(r);
	mps_basic(r, mps_handle(op, "client.id"), mps_handle(op, "client.secret"));
	return r;
}

static mps_req *as_user(mps_op *op, const char *method, const char *path)
{
	mps_req *r = mps_request(op, method, address(op, path));

	prove(r);
	mps_bearer(r);
	return r;
}

static const struct error { const char *code; int32_t failure; const char *reason; } errors[] = {
	{ "invalid_grant", MPS_REVOKED, "invalid_grant" },
	{ "invalid_token", MPS_AUTH, "invalid_token" },
	{ "invalid_client", MPS_REJECTED, "credential_invalid" },
	{ "insufficient_scope", MPS_REJECTED, "connection_scope_missing" },
	{ "invalid_request", MPS_REJECTED, "invalid_request" },
	{ "invalid_scope", MPS_REJECTED, "connection_scope_missing" },
	{ "use_dpop_nonce", MPS_REJECTED, "platform_error" },	/* the core has repeated it already */
	{ "temporarily_unavailable", MPS_TRANSIENT, "platform_unavailable" },
	{ NULL, MPS_UNKNOWN, "platform_error" }
};

static mps_next failed(mps_op *op)
{
	const char *code = mps_json(op, "error");
	const struct error *e = errors;

	while (e->code != NULL && !mps_is(e->code, code))
		e++;
	if (mps_status(op) == 429) {
		mps_retry_after(op, mps_retry_header(op, 30));
		return mps_fail(op, MPS_LIMIT, "rate_limited", code, "");
	}
	if (mps_status(op) >= 500)
		return mps_fail(op, MPS_TRANSIENT, "platform_unavailable", code, "The server is not available.");
	return mps_fail(op, e->failure, e->reason, code, mps_json(op, "error_description"));
}

/* ---- connecting --------------------------------------------------------------------------------------- */

static mps_next authorize_start(mps_op *op)
{
	int pushed = mps_is(mps_input(op, "setting.par"), "yes");
	void (*add)(mps_req *, const char *, const char *) = pushed ? mps_form : mps_query;
	mps_req *r = pushed ? as_client(op, "/request") : mps_get_url(op, address(op, "/auth"));

	mps_result(op, "grant.server", server(op));
	mps_result(op, "oauth.issuer", mps_concat(op, "https://", server(op)));
	add(r, "client_id", mps_handle(op, "client.id"));
	add(r, "response_type", "code");
	add(r, "redirect_uri", mps_input(op, "oauth.redirect_uri"));
	add(r, "scope", SCOPE);
	add(r, "prompt", "consent");
	add(r, "state", mps_input(op, "oauth.state"));
	add(r, "code_challenge", mps_input(op, "oauth.code_challenge"));
	add(r, "code_challenge_method", "S256");
	return pushed ? mps_send(op, r, MPS_SAFE, "pushed") : mps_redirect(op, r);
}

static mps_next authorize_pushed(mps_op *op)
{
	mps_req *r = mps_get_url(op, address(op, "/auth"));

	if (mps_status(op) != 201)
		return failed(op);
	mps_query(r, "client_id", mps_handle(op, "client.id"));
	mps_query(r, "request_uri", mps_json(op, "request_uri"));
	return mps_redirect(op, r);
}

static mps_next exchange_start(mps_op *op)
{
	mps_req *r = as_client(op, "/token");

	mps_form(r, "grant_type", "authorization_code");
	mps_form(r, "code", mps_handle(op, "oauth.code"));
	mps_form(r, "redirect_uri", mps_input(op, "oauth.redirect_uri"));
	mps_form(r, "code_verifier", mps_handle(op, "oauth.code_verifier"));
	return mps_send(op, r, MPS_ONCE, "exchanged");
}

static mps_next done_if_good(mps_op *op)
{
	return mps_status(op) / 100 == 2 ? mps_done(op) : failed(op);
}

static mps_next identify_start(mps_op *op)
{
	return mps_send(op, as_user(op, "GET", "/me"), MPS_SAFE, "identified");
}

static mps_next identify_read(mps_op *op)
{
	if (mps_status(op) != 200)
		return failed(op);
	mps_result(op, "account.id", mps_json(op, "sub"));
	mps_result(op, "account.username", mps_json(op, "preferred_username"));
	mps_result(op, "account.name", mps_json(op, "name"));
	return mps_done(op);
}

static mps_next refresh_start(mps_op *op)
{
	mps_req *r = as_client(op, "/token");

	mps_form(r, "grant_type", "refresh_token");
	mps_form(r, "refresh_token", mps_handle(op, "token.refresh"));
	return mps_send(op, r, MPS_ONCE, "refreshed");
}

static mps_next revoke_start(mps_op *op)
{
	mps_req *r = as_client(op, "/token/revocation");

	mps_form(r, "token", mps_handle(op, "token.refresh"));
	mps_form(r, "token_type_hint", "refresh_token");
	return mps_send(op, r, MPS_SAFE, "revoked");
}

/* ---- publishing --------------------------------------------------------------------------------------- */

static mps_next publish_start(mps_op *op)
{
	mps_req *r = as_user(op, "POST", "/api/posts");

	mps_json_object(r, "");
	mps_json_text(r, "text", mps_input(op, "text"));
	mps_json_text(r, "key", mps_seed(op));
	mps_json_close(r);
	return mps_send(op, r, MPS_KEYED, "posted");
}

static mps_next publish_posted(mps_op *op)
{
	mps_req *r;

	if (mps_event(op) == MPS_LOST) {
		r = as_user(op, "GET", "/api/posts");
		mps_query(r, "key", mps_seed(op));
		return mps_send(op, r, MPS_SAFE, "looked");
	}
	if (mps_status(op) != 200)
		return failed(op);
	mps_result(op, "remote_id", mps_json(op, "id"));
	mps_result(op, "remote_url", mps_json(op, "url"));
	return mps_done(op);
}

static mps_next publish_looked(mps_op *op)
{
	if (mps_status(op) == 401)
		return failed(op);
	if (mps_status(op) != 200 || mps_json_type(op, "posts") != MPS_JSON_ARRAY)
		return mps_unknown(op);
	if (mps_json_count(op, "posts") == 0)
		return mps_absent(op);
	mps_result(op, "remote_id", mps_json(op, "posts.0.id"));
	return mps_found(op);
}

/* ---- tables ------------------------------------------------------------------------------------------- */

static const struct mps_phase authorize[] = { { "start", authorize_start }, { "pushed", authorize_pushed }, { NULL, NULL } };
static const struct mps_phase exchange[] = { { "start", exchange_start }, { "exchanged", done_if_good }, { NULL, NULL } };
static const struct mps_phase identify[] = { { "start", identify_start }, { "identified", identify_read }, { NULL, NULL } };
static const struct mps_phase refresh[] = { { "start", refresh_start }, { "refreshed", done_if_good }, { NULL, NULL } };
static const struct mps_phase revoke[] = { { "start", revoke_start }, { "revoked", done_if_good }, { NULL, NULL } };
static const struct mps_phase publish[] = {
	{ "start", publish_start }, { "posted", publish_posted }, { "looked", publish_looked }, { NULL, NULL }
};
static const struct mps_operation operations[] = {
	{ "authorize", authorize }, { "exchange", exchange }, { "identify", identify }, { "check", identify }, { "refresh", refresh },
	{ "publish", publish }, { "revoke", revoke }, { NULL, NULL }
};

MPS_PROVIDER(OIDC_ID, "1.0", descriptor, operations)
