/*
 * A network without a centre, for tests of register and limits: every host the person names is an instance, and the
 * sandbox plays it.  An instance whose name begins with "once" takes registrations as ONCE; one that begins with "checks"
 * is asked whether it knows our app before anybody is sent there.
 */
#include "ease.h"

static const char descriptor[] = "{"
	"\"name\":\"Instances\","
	"\"operations\":[\"register\",\"authorize\",\"exchange\",\"identify\",\"refresh\",\"check\",\"limits\",\"revoke\"],"
	"\"connect\":{\"method\":\"oauth2\",\"client\":\"registered\","
		"\"scopes\":[{\"scope\":\"publish\",\"reason\":\"To publish\"},{\"scope\":\"read\",\"reason\":\"To read\"}],"
		"\"fields\":[{\"name\":\"server\",\"type\":\"host\",\"label\":\"Your server\"}]},"
	"\"hosts\":[],\"user_hosts\":true,"
	"\"secret_answers\":{\"registered\":[\"client_id\",\"client_secret\"]},"
	"\"text\":{\"max\":200},\"state_versions\":[1,1]}";

static mps_req *at_host(mps_op *op, const char *method, const char *host, const char *path)
{
	return mps_request(op, method, mps_concat(op, "http://", mps_concat(op, host, path)));
}

static mps_req *call(mps_op *op, const char *method, const char *path)
{
	return at_host(op, method, mps_input(op, "account.host"), path);
}

static mps_next failed(mps_op *op)
{
	const char *code = mps_json(op, "error.code");
	int32_t status = mps_status(op);

	if (mps_is(code, "invalid_client"))
		return mps_fail(op, MPS_REJECTED, "client_unknown", code, "The instance does not know our app.");
	if (status == 401)
		return mps_fail(op, MPS_AUTH, "token_invalid", code, "");
	return mps_fail(op, status >= 500 ? MPS_TRANSIENT : MPS_REJECTED, "platform_error", code, "");
}

static mps_next register_start(mps_op *op)
{
	const char *host = mps_input(op, "field.server");
	mps_req *r = at_host(op, "POST", host, "/v1/apps");

	mps_form(r, "client_name", mps_input(op, "app.name"));
	mps_form(r, "redirect_uris", mps_input(op, "oauth.redirect_uri"));
	mps_form(r, "scopes", mps_input(op, "oauth.scope"));
	return mps_send(op, r, strncmp(host, "once", 4) == 0 ? MPS_ONCE : MPS_SAFE, "registered");
}

static mps_next register_registered(mps_op *op)
{
	if (mps_event(op) == MPS_LOST || mps_status(op) != 200)
		return failed(op);
	mps_token(op, "client.id", mps_json(op, "client_id"), 0);
	mps_token(op, "client.secret", mps_json(op, "client_secret"), 0);
	mps_result(op, "account.host", mps_input(op, "field.server"));
	mps_result(op, "instance.known_as", mps_json(op, "name"));
	return mps_done(op);
}

static mps_next with_client(mps_op *op, mps_req *r, int32_t repeat, const char *next)
{
	mps_form(r, "client_id", mps_handle(op, "client.id"));
	mps_form(r, "client_secret", mps_handle(op, "client.secret"));
	return mps_send(op, r, repeat, next);
}

static mps_next authorize_go(mps_op *op)
{
	mps_req *r = call(op, "GET", "/oauth/authorize");

	mps_query(r, "response_type", "code");
	mps_query(r, "client_id", mps_handle(op, "client.id"));
	mps_query(r, "redirect_uri", mps_input(op, "oauth.redirect_uri"));
	mps_query(r, "scope", mps_input(op, "oauth.scope"));
	mps_query(r, "state", mps_input(op, "oauth.state"));
	mps_query(r, "code_challenge", mps_input(op, "oauth.code_challenge"));
	mps_query(r, "code_challenge_method", "S256");
	return mps_redirect(op, r);
}

static mps_next authorize_start(mps_op *op)
{
	mps_req *r;

	if (!*mps_input(op, "instance.known_as"))
		return mps_fail(op, MPS_REJECTED, "no_facts", "", "The facts of the instance are missing.");
	if (strncmp(mps_input(op, "account.host"), "checks", 6) != 0)
		return authorize_go(op);
	r = call(op, "POST", "/oauth/token");
	mps_form(r, "grant_type", "client_credentials");
	return with_client(op, r, MPS_SAFE, "checked");
}

/* The sandbox has no tokens for apps, but tells whether it knows them. */
static mps_next authorize_checked(mps_op *op) { return mps_status(op) == 400 ? authorize_go(op) : failed(op); }

static mps_next exchange_start(mps_op *op)
{
	mps_req *r = call(op, "POST", "/oauth/token");

	mps_form(r, "grant_type", "authorization_code");
	mps_form(r, "code", mps_handle(op, "oauth.code"));
	mps_form(r, "redirect_uri", mps_input(op, "oauth.redirect_uri"));
	mps_form(r, "code_verifier", mps_handle(op, "oauth.code_verifier"));
	return with_client(op, r, MPS_ONCE, "exchanged");
}

static mps_next refresh_start(mps_op *op)
{
	mps_req *r = call(op, "POST", "/oauth/token");

	mps_form(r, "grant_type", "refresh_token");
	mps_form(r, "refresh_token", mps_handle(op, "token.refresh"));
	return with_client(op, r, MPS_ONCE, "exchanged");
}

static mps_next revoke_start(mps_op *op)
{
	mps_req *r = call(op, "POST", "/oauth/revoke");

	mps_form(r, "token", mps_handle(op, "token.refresh"));
	return with_client(op, r, MPS_SAFE, "exchanged");
}

static mps_next exchanged(mps_op *op) { return mps_status(op) / 100 == 2 ? mps_done(op) : failed(op); }

static mps_next me_start(mps_op *op)
{
	mps_req *r = call(op, "GET", "/v1/me");

	mps_bearer(r);
	return mps_send(op, r, MPS_SAFE, "read");
}

static mps_next me_read(mps_op *op)
{
	if (mps_status(op) != 200)
		return failed(op);
	mps_result(op, "account.id", mps_json(op, "id"));
	mps_result(op, "account.username", mps_json(op, "username"));
	mps_result(op, "scopes", mps_json(op, "scopes"));
	return mps_done(op);
}

static mps_next limits_start(mps_op *op)
{
	return mps_send(op, call(op, "GET", "/v1/instance"), MPS_SAFE, "read");
}

static mps_next limits_read(mps_op *op)
{
	if (mps_status(op) != 200)
		return failed(op);
	mps_result(op, "limits.text.max", mps_json(op, "text_max"));
	mps_result(op, "limits.media.image.max_bytes", "1000000");
	return mps_done(op);
}

static const struct mps_phase registering[] = { { "start", register_start }, { "registered", register_registered }, { NULL, NULL } };
static const struct mps_phase authorize[] = { { "start", authorize_start }, { "checked", authorize_checked }, { NULL, NULL } };
static const struct mps_phase exchange[] = { { "start", exchange_start }, { "exchanged", exchanged }, { NULL, NULL } };
static const struct mps_phase refresh[] = { { "start", refresh_start }, { "exchanged", exchanged }, { NULL, NULL } };
static const struct mps_phase revoke[] = { { "start", revoke_start }, { "exchanged", exchanged }, { NULL, NULL } };
static const struct mps_phase identify[] = { { "start", me_start }, { "read", me_read }, { NULL, NULL } };
static const struct mps_phase limits[] = { { "start", limits_start }, { "read", limits_read }, { NULL, NULL } };

static const struct mps_operation operations[] = {
	{ "register", registering }, { "authorize", authorize }, { "exchange", exchange }, { "identify", identify }, { "check", identify },
	{ "refresh", refresh }, { "limits", limits }, { "revoke", revoke }, { NULL, NULL }
};

MPS_PROVIDER("instance", "1.0", descriptor, operations)
