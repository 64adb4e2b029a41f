/*
 * A client that proves itself by keys, for tests only: a metadata client (private_key_jwt), pushed authorization, DPoP,
 * signatures by handle, a publish that is never repeated, and two ways to connect.  See tests/plays/connect-proofs.mjs.
 */
#include "ease.h"

static const char descriptor[] = "{"
	"\"name\":\"Proved\","
	"\"operations\":[\"authorize\",\"exchange\",\"identify\",\"refresh\",\"publish\"],"
	"\"connect\":{\"method\":\"both\",\"client\":\"metadata\",\"dpop\":true,\"iss\":\"required\",\"scopes\":["
		"{\"scope\":\"atproto\",\"reason\":\"To know who you are\"},{\"scope\":\"write\",\"reason\":\"To publish posts for you\"}],"
		"\"fields\":["
		"{\"name\":\"handle\",\"way\":\"oauth2\",\"label\":\"Handle\",\"max\":100},"
		"{\"name\":\"name\",\"label\":\"Name\",\"required\":false},"
		"{\"name\":\"password\",\"way\":\"form\",\"label\":\"App password\",\"secret\":true}]},"
	"\"hosts\":[\"api.proved.test\"],\"user_hosts\":true,"
	"\"text\":{\"max\":1000,\"required\":true},"
	"\"capabilities\":{\"text\":true},"
	"\"dedupe\":{\"default\":{\"class\":\"none\",\"settle_s\":1}}}";

#define API "https://api.proved.test"

static mps_next refuse(mps_op *op)
{
	const char *error = mps_json(op, "error");
	int nonce = strstr(mps_header(op, "www-authenticate"), "use_dpop_nonce") != NULL || mps_is(error, "use_dpop_nonce");
	int auth = mps_status(op) == 401 && !nonce && !mps_is(mps_kind(op), "exchange");

	return mps_fail(op, auth ? MPS_AUTH : MPS_REJECTED, *error ? error : "refused", error, mps_json(op, "words"));
}

/* The authorization server is one that nobody listed: after the exchange only the fact auth_host opens it. */
static const char *server(mps_op *op, const char *path)
{
	return mps_concat(op, mps_input(op, "setting.auth"), path);
}

static const char *quoted(mps_op *op, const char *text)
{
	return mps_concat(op, mps_concat(op, "\"", text), "\"");
}

/* A request to the authorization server as the client that we are. */
static mps_req *as_client(mps_op *op, const char *url)
{
	mps_req *r = mps_post(op, url);
	const char *id = quoted(op, mps_input(op, "oauth.client_id")), *claims;

	mps_dpop(r);
	mps_form(r, "client_id", mps_handle(op, "client.id"));
	if (!mps_is(mps_input(op, "oauth.client_auth"), "private_key_jwt"))
		return r;
	claims = mps_concat(op, mps_concat(op, "{\"iss\":", id), mps_concat(op, ",\"sub\":", id));
	claims = mps_concat(op, mps_concat(op, claims, ",\"aud\":"), mps_concat(op, quoted(op, server(op, "")), "}"));
	mps_form(r, "client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
	mps_form(r, "client_assertion", mps_jwt(op, mps_handle(op, "client.key"), "ES256", claims, 60));
	return r;
}

static mps_next authorize_start(mps_op *op)
{
	mps_req *r = as_client(op, server(op, "/par"));

	mps_form(r, "response_type", "code");
	mps_form(r, "redirect_uri", mps_input(op, "oauth.redirect_uri"));
	mps_form(r, "scope", mps_input(op, "oauth.scope"));
	mps_form(r, "state", mps_input(op, "oauth.state"));
	mps_form(r, "code_challenge", mps_input(op, "oauth.code_challenge"));
	mps_form(r, "code_challenge_method", "S256");
	mps_form(r, "login_hint", mps_input(op, "field.handle"));
	return mps_send(op, r, MPS_ONCE, "pushed");
}

static mps_next authorize_pushed(mps_op *op)
{
	mps_req *r;

	if (mps_event(op) != MPS_ANSWER || mps_status(op) != 201)
		return refuse(op);
	mps_result(op, "grant.subject", mps_json(op, "subject"));
	mps_result(op, "account.host", "api.proved.test");
	mps_result(op, "grant.auth_host", "127.0.0.1");
	mps_result(op, "oauth.issuer", server(op, ""));
	r = mps_get_url(op, server(op, "/authorize"));
	mps_query(r, "client_id", mps_handle(op, "client.id"));
	mps_query(r, "request_uri", mps_json(op, "request_uri"));
	return mps_redirect(op, r);
}

static mps_next exchange_start(mps_op *op)
{
	mps_req *r = as_client(op, server(op, "/token"));

	mps_form(r, "grant_type", "authorization_code");
	mps_form(r, "code", mps_handle(op, "oauth.code"));
	mps_form(r, "redirect_uri", mps_input(op, "oauth.redirect_uri"));
	mps_form(r, "code_verifier", mps_handle(op, "oauth.code_verifier"));
	mps_form(r, "subject", mps_input(op, "grant.subject"));
	mps_form(r, "handle", mps_input(op, "field.handle"));
	mps_form(r, "host", mps_input(op, "account.host"));
	return mps_send(op, r, MPS_ONCE, "granted");
}

static mps_next granted(mps_op *op)
{
	if (mps_event(op) != MPS_ANSWER || mps_status(op) != 200)
		return refuse(op);
	mps_result(op, "grant.turns", mps_json(op, "turns"));
	return mps_done(op);
}

static mps_next identify_start(mps_op *op)
{
	mps_req *r = mps_get_url(op, API "/me?full=1");

	mps_dpop(r);
	mps_bearer(r);
	mps_req_header(r, "X-Turns", mps_input(op, "grant.turns"));
	return mps_send(op, r, MPS_SAFE, "named");
}

static mps_next identify_named(mps_op *op)
{
	if (mps_status(op) != 200)
		return refuse(op);
	mps_result(op, "account.id", mps_json(op, "id"));
	mps_result(op, "account.username", mps_input(op, "grant.subject"));
	return mps_done(op);
}

static mps_next refresh_start(mps_op *op)
{
	mps_req *r = as_client(op, server(op, "/token"));

	mps_form(r, "grant_type", "refresh_token");
	mps_form(r, "refresh_token", mps_handle(op, "token.refresh"));
	return mps_send(op, r, MPS_ONCE, "granted");
}

static mps_next publish_start(mps_op *op)
{
	mps_req *r = mps_post(op, API "/posts");
	const char *inner = mps_hmac(op, mps_handle(op, "token.access"), mps_input(op, "text"), "hex");

	mps_dpop(r);
	mps_bearer(r);
	mps_req_header(r, "X-Inner", inner);
	mps_req_header(r, "X-Proof", mps_hmac(op, inner, mps_handle(op, "token.access"), "base64url"));
	mps_json_object(r, "");
	mps_json_text(r, "text", mps_input(op, "text"));
	mps_json_close(r);
	return mps_send(op, r, MPS_ONCE, "published");
}

static mps_next publish_published(mps_op *op)
{
	if (mps_event(op) == MPS_LOST)
		return mps_unknown(op);
	if (mps_status(op) != 201)
		return refuse(op);
	mps_result(op, "remote_id", mps_json(op, "id"));
	return mps_done(op);
}

static const struct mps_phase authorize[] = { { "start", authorize_start }, { "pushed", authorize_pushed }, { NULL, NULL } };
static const struct mps_phase exchange[] = { { "start", exchange_start }, { "granted", granted }, { NULL, NULL } };
static const struct mps_phase identify[] = { { "start", identify_start }, { "named", identify_named }, { NULL, NULL } };
static const struct mps_phase refresh[] = { { "start", refresh_start }, { "granted", granted }, { NULL, NULL } };
static const struct mps_phase publish[] = { { "start", publish_start }, { "published", publish_published }, { NULL, NULL } };

static const struct mps_operation operations[] = {
	{ "authorize", authorize }, { "exchange", exchange }, { "identify", identify }, { "refresh", refresh }, { "publish", publish },
	{ NULL, NULL }
};

MPS_PROVIDER("proved", "1.0", descriptor, operations)
