/*
 * Bluesky: connecting by AT Protocol OAuth, which begins with finding out who the person is.
 *
 *	handle -> DID -> its document, which must claim the handle -> the account's server -> its authorization server
 *
 * The one thing to know: everybody may run a server, so nothing that one says is believed by itself.  The document must
 * claim the handle back, the issuer must name itself, and after the exchange the token's subject must be the DID that
 * was looked up; where the person gave a server's name instead, the subject's own document must lead to this issuer.
 *
 * Keys, proofs, nonces, state and PKCE are the core's.  Requests after the redirect go to the issuer's host alone.
 */
#define DIRECTORY "https://plc.directory"
#define RESOLVER "public.api.bsky.app"

static mps_next refuse(mps_op *op, const char *reason, const char *words)
{
	return mps_fail(op, MPS_REJECTED, reason, mps_json(op, "error"), words);
}

/* The answer to a question that can be asked again is nobody's fault: asked again, or told as the server's trouble. */
static mps_next refuse_or_later(mps_op *op, const char *reason, const char *words)
{
	int32_t status = mps_status(op);

	if (status == 429 || status == 408 || status >= 500)
		return fail_with(op);
	return refuse(op, reason, words);
}

/* "ada.example is not an account" with the name that the person gave. */
static const char *about(mps_op *op, const char *words)
{
	return mps_concat(op, mps_get(op, "name"), words);
}

/* The host of an https address without path; "" if it is anything else. */
static const char *origin_host(mps_op *op, const char *url)
{
	size_t n = begins(url, "https://") ? strcspn(url + 8, "/") : 0;

	if (!n || (url[8 + n] && url[9 + n]) || strcspn(url + 8, "?#@ \"\\") < n)
		return "";
	return lowered(op, url + 8, n);
}

static int same_host(mps_op *op, const char *url, const char *host)
{
	size_t n = begins(url, "https://") ? strcspn(url + 8, "/?#") : 0;

	return n && mps_is(lowered(op, url + 8, n), host);
}

static mps_req *well_known(mps_op *op, const char *host, const char *name)
{
	mps_req *r = mps_get_url(op, mps_concat(op, "https://", host));

	mps_path(r, ".well-known");
	mps_path(r, name);
	return r;
}

/* --- who: the name that was entered --------------------------------------------------------------------------------- */

/* As people copy it: with an at sign, in capitals, as an address of a profile. */
static const char *entered_name(mps_op *op, const char *s, int *ret_server)
{
	static const char profile[] = "https://bsky.app/profile/";
	int is_profile;

	s += strspn(s, " \t");
	is_profile = begins(s, profile);
	*ret_server = !is_profile && begins(s, "https://");
	s += is_profile ? sizeof profile - 1 : *ret_server ? 8 : begins(s, "at://") ? 5 : 0;
	s += *s == '@';
	return strncmp(s, "did:", 4) == 0 ? part(op, s, strcspn(s, " /?#")) : lowered(op, s, strcspn(s, " \t/?#"));
}

static mps_next document_ask(mps_op *op, const char *did, const char *next)
{
	mps_req *r;

	if (strncmp(did, "did:plc:", 8) == 0 && strspn(did + 8, "abcdefghijklmnopqrstuvwxyz234567") == strlen(did + 8) && did[8]) {
		r = mps_get_url(op, DIRECTORY);
		mps_path(r, did);
	} else if (strncmp(did, "did:web:", 8) == 0 && handle_length(did + 8) == strlen(did + 8) && did[8]) {
		r = well_known(op, did + 8, "did.json");
	} else {
		return refuse(op, "credential_invalid", about(op, " leads to an account of a kind that is not known"));
	}
	mps_set(op, "did", did);
	mps_req_header(r, "Accept", "application/json");
	return mps_send(op, r, MPS_SAFE, next);
}

static mps_next resource_ask(mps_op *op, const char *host)
{
	mps_set(op, "host", host);
	return mps_send(op, well_known(op, host, "oauth-protected-resource"), MPS_SAFE, "resource");
}

static mps_next server_ask(mps_op *op, const char *host)
{
	if (handle_length(host) != strcspn(host, ":"))
		return refuse(op, "credential_invalid", "Enter a handle as name.bsky.social, or the name of your server.");
	mps_set(op, "server", "1");
	return resource_ask(op, host);
}

static mps_next authorize_start(mps_op *op)
{
	const char *service = mps_input(op, "field.service"), *name;
	int server;
	mps_req *r;

	name = entered_name(op, mps_input(op, "field.identifier"), &server);
	mps_set(op, "name", name);
	if (strncmp(name, "did:", 4) == 0)
		return document_ask(op, name, "document");
	if (server)
		return server_ask(op, name);
	if (!*name || handle_length(name) != strlen(name))
		return refuse(op, "credential_invalid", "Enter your handle, as name.bsky.social; an e-mail address cannot be used here.");
	r = xrpc(op, "GET", *service ? service : RESOLVER, "com.atproto.identity.resolveHandle");
	mps_query(r, "handle", name);
	return mps_send(op, r, MPS_SAFE, "resolved");
}

/* Who is not known to the resolver may say it at the handle itself; below bsky.social nobody else could. */
static mps_next authorize_resolved(mps_op *op)
{
	const char *did = mps_json(op, "did"), *name = mps_get(op, "name"), *dot = strchr(name, '.');

	if (mps_status(op) == 200 && *did)
		return document_ask(op, did, "document");
	if (dot && mps_is(dot, ".bsky.social"))
		return refuse_or_later(op, "credential_invalid", about(op, " is nobody's handle"));
	return mps_send(op, well_known(op, name, "atproto-did"), MPS_SAFE, "claimed");
}

static mps_next authorize_claimed(mps_op *op)
{
	const char *did = mps_body(op, NULL);

	if (mps_status(op) == 200 && strncmp(did, "did:", 4) == 0)
		return document_ask(op, part(op, did, strcspn(did, " \t\r\n")), "document");
	return server_ask(op, mps_get(op, "name"));
}

/* --- where: its document, its server, its authorization server ------------------------------------------------------- */

static int claims_handle(mps_op *op, const char *handle)
{
	int32_t n = mps_json_count(op, "alsoKnownAs");

	for (int32_t i = 0; i < n; i++) {
		const char *name = mps_json(op, mps_at(op, "alsoKnownAs.", i, ""));

		if (strncmp(name, "at://", 5) == 0 && mps_is(lowered(op, name + 5, strlen(name + 5)), handle))
			return 1;
	}
	return 0;
}

/* The host of the account's own server in a DID document that lies at path; "" if there is none. */
static const char *server_of(mps_op *op, const char *path)
{
	const char *list = mps_concat(op, path, "service");
	int32_t n = mps_json_count(op, list);

	for (int32_t i = 0; i < n; i++) {
		const char *entry = mps_at(op, mps_concat(op, list, "."), i, "");
		const char *mark = strchr(mps_json(op, mps_concat(op, entry, ".id")), '#');

		if (mark && mps_is(mark, "#atproto_pds"))
			return origin_host(op, mps_json(op, mps_concat(op, entry, ".serviceEndpoint")));
	}
	return "";
}

/* False, and *ret_next is the failure, if the document is not that of the DID that was asked for. */
static int document_ok(mps_op *op, mps_next *ret_next)
{
	if (mps_status(op) == 200 && mps_is(mps_json(op, "id"), mps_get(op, "did")) && *server_of(op, ""))
		return 1;
	*ret_next = refuse_or_later(op, "credential_invalid", about(op, " leads to no account, or to one without a server"));
	return 0;
}

static mps_next authorize_document(mps_op *op)
{
	const char *name = mps_get(op, "name");
	mps_next refused;

	if (!document_ok(op, &refused))
		return refused;
	if (strncmp(name, "did:", 4) != 0 && !claims_handle(op, name))
		return refuse(op, "credential_invalid", about(op, " leads to an account that does not have this handle"));
	return resource_ask(op, server_of(op, ""));
}

static mps_next metadata_ask(mps_op *op, const char *host)
{
	mps_set(op, "auth_host", host);
	return mps_send(op, well_known(op, host, "oauth-authorization-server"), MPS_SAFE, "metadata");
}

/* A name that a person gave may be an alias, or that of the authorization server itself, which is no one's resource: who
 * signed in there is looked up afterwards. */
static mps_next authorize_resource(mps_op *op)
{
	const char *host = origin_host(op, mps_json(op, "authorization_servers.0")), *of = origin_host(op, mps_json(op, "resource"));

	if (mps_status(op) == 200 && *host && (*mps_get(op, "server") || mps_is(of, mps_get(op, "host"))))
		return metadata_ask(op, host);
	if (*mps_get(op, "server"))
		return metadata_ask(op, mps_get(op, "host"));
	return refuse_or_later(op, "server_unsupported", "The account's server does not offer this way to sign in; use an app password.");
}

static int lists(mps_op *op, const char *key, const char *word)
{
	int32_t n = mps_json_count(op, key);

	for (int32_t i = 0; i < n; i++)
		if (mps_is(mps_json(op, mps_at(op, mps_concat(op, key, "."), i, "")), word))
			return 1;
	return 0;
}

static int is_true(mps_op *op, const char *key) { return mps_is(mps_json(op, key), "true"); }

/* What the protocol's profile asks of a server; each of these keeps somebody else's server out. */
static int metadata_ok(mps_op *op, const char *host)
{
	const char *auth = mps_input(op, "oauth.client_auth");

	return mps_status(op) == 200 && mps_is(mps_json(op, "issuer"), mps_concat(op, "https://", host)) &&
		is_true(op, "require_pushed_authorization_requests") && is_true(op, "authorization_response_iss_parameter_supported") &&
		is_true(op, "client_id_metadata_document_supported") && lists(op, "code_challenge_methods_supported", "S256") &&
		lists(op, "dpop_signing_alg_values_supported", "ES256") && lists(op, "scopes_supported", "atproto") &&
		lists(op, "token_endpoint_auth_methods_supported", *auth ? auth : "none") &&
		same_host(op, mps_json(op, "pushed_authorization_request_endpoint"), host) &&
		same_host(op, mps_json(op, "token_endpoint"), host) && begins(mps_json(op, "authorization_endpoint"), "https://");
}

/* Adds who we are: the client's address, and where it has a key the proof that it is ours. */
static void client_form(mps_op *op, mps_req *r, const char *issuer)
{
	const char *id = mps_input(op, "oauth.client_id"), *claims;

	mps_form(r, "client_id", id);
	if (!mps_is(mps_input(op, "oauth.client_auth"), "private_key_jwt"))
		return;
	claims = mps_concat(op, mps_concat(op, "{\"iss\":\"", id), "\",\"sub\":\"");
	claims = mps_concat(op, mps_concat(op, claims, id), "\",\"aud\":\"");
	claims = mps_concat(op, mps_concat(op, claims, issuer), "\"}");
	mps_form(r, "client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
	mps_form(r, "client_assertion", mps_jwt(op, mps_handle(op, "client.key"), "ES256", claims, 60));
}

static mps_next push(mps_op *op)
{
	mps_req *r = mps_post(op, mps_json(op, "pushed_authorization_request_endpoint"));

	mps_dpop(r);
	mps_form(r, "response_type", "code");
	mps_form(r, "redirect_uri", mps_input(op, "oauth.redirect_uri"));
	mps_form(r, "scope", mps_input(op, "oauth.scope"));
	mps_form(r, "state", mps_input(op, "oauth.state"));
	mps_form(r, "code_challenge", mps_input(op, "oauth.code_challenge"));
	mps_form(r, "code_challenge_method", "S256");
	if (!*mps_get(op, "server"))
		mps_form(r, "login_hint", mps_get(op, "name"));
	client_form(op, r, mps_json(op, "issuer"));
	return mps_send(op, r, MPS_SAFE, "pushed");
}

static void grant_results(mps_op *op, const char *host)
{
	const char *revocation = mps_json(op, "revocation_endpoint");

	mps_result(op, "oauth.issuer", mps_json(op, "issuer"));
	mps_result(op, "grant.way", "oauth");
	mps_result(op, "grant.issuer", mps_json(op, "issuer"));
	mps_result(op, "grant.auth_host", host);
	mps_result(op, "grant.token_endpoint", mps_json(op, "token_endpoint"));
	if (same_host(op, revocation, host))
		mps_result(op, "grant.revocation_endpoint", revocation);
	if (!*mps_get(op, "server")) {
		mps_result(op, "grant.did", mps_get(op, "did"));
		mps_result(op, "grant.host", mps_get(op, "host"));
	}
}

static mps_next authorize_metadata(mps_op *op)
{
	const char *host = mps_get(op, "auth_host");

	if (mps_status(op) != 200 && *mps_get(op, "server"))
		return refuse_or_later(op, "credential_invalid", about(op, " is neither a handle nor a server of this network"));
	if (!metadata_ok(op, host))
		return refuse_or_later(op, "server_unsupported", mps_concat(op, host, " does not sign in as this network asks for"));
	grant_results(op, host);
	mps_set(op, "authorization_endpoint", mps_json(op, "authorization_endpoint"));
	return push(op);
}

static mps_next authorize_pushed(mps_op *op)
{
	const char *request = mps_json(op, "request_uri"), *words = mps_json(op, "error_description");
	mps_req *r;

	if (mps_status(op) / 100 != 2 || !*request)
		return mps_is(mps_json(op, "error"), "use_dpop_nonce") ? fail_as(op, MPS_TRANSIENT, "nonce_refused") :
			refuse_or_later(op, "client_refused", *words ? words : "The server did not accept this application.");
	r = mps_get_url(op, mps_get(op, "authorization_endpoint"));
	mps_query(r, "client_id", mps_input(op, "oauth.client_id"));
	mps_query(r, "request_uri", request);
	return mps_redirect(op, r);
}

/* --- the token -------------------------------------------------------------------------------------------------------- */

static mps_req *token_request(mps_op *op, const char *grant_type)
{
	mps_req *r = mps_post(op, mps_input(op, "grant.token_endpoint"));

	mps_dpop(r);
	mps_form(r, "grant_type", grant_type);
	client_form(op, r, mps_input(op, "grant.issuer"));
	return r;
}

static mps_next exchange_code(mps_op *op)
{
	mps_req *r = token_request(op, "authorization_code");

	mps_form(r, "code", mps_handle(op, "oauth.code"));
	mps_form(r, "redirect_uri", mps_input(op, "oauth.redirect_uri"));
	mps_form(r, "code_verifier", mps_handle(op, "oauth.code_verifier"));
	return mps_send(op, r, MPS_ONCE, "tokened");
}

/* Whether a list of words separated by spaces has this one. */
static int has_word(const char *list, const char *word)
{
	size_t n = strlen(word);

	for (; *list; list += strcspn(list, " "), list += *list == ' ')
		if (strcspn(list, " ") == n && memcmp(list, word, n) == 0)
			return 1;
	return 0;
}

static int token_ok(mps_op *op)
{
	const char *type = mps_json(op, "token_type");

	return mps_is(lowered(op, type, strlen(type)), "dpop") && has_word(mps_json(op, "scope"), "atproto") &&
		*mps_json(op, "access_token");
}

/* The access token's lifetime is that of the pair: the refresh token lives longer than anyone waits. */
static void token_keep(mps_op *op)
{
	mps_token(op, "access", mps_json(op, "access_token"), mps_int(mps_json(op, "expires_in"), 0));
	if (*mps_json(op, "refresh_token"))
		mps_token(op, "refresh", mps_json(op, "refresh_token"), 0);
	mps_result(op, "scopes", mps_json(op, "scope"));
}

static mps_next exchange_tokened(mps_op *op)
{
	const char *sub = mps_json(op, "sub"), *did = mps_input(op, "grant.did"), *words = mps_json(op, "error_description");

	if (mps_status(op) != 200)
		return refuse_or_later(op, "sign_in_refused", *words ? words : "The server did not complete the sign-in.");
	if (!token_ok(op))
		return refuse(op, "sign_in_refused", "The server's token is not of the kind that this network asks for.");
	if (*did && !mps_is(sub, did))
		return refuse(op, "account_mismatch", "The sign-in was for another account than the one that was entered.");
	token_keep(op);
	mps_set(op, "name", sub);
	if (!*did)
		return document_ask(op, sub, "document");
	mps_result(op, "account.id", sub);
	mps_result(op, "account.host", mps_input(op, "grant.host"));
	return mps_done(op);
}

static mps_next exchange_document(mps_op *op)
{
	mps_next refused;

	return document_ok(op, &refused) ? resource_ask(op, server_of(op, "")) : refused;
}

/* The server that was named signed somebody in: is it the one that may speak for this account? */
static mps_next exchange_resource(mps_op *op)
{
	const char *host = origin_host(op, mps_json(op, "authorization_servers.0")), *issuer = mps_concat(op, "https://", host);

	if (mps_status(op) != 200 || !mps_is(issuer, mps_input(op, "grant.issuer")))
		return refuse_or_later(op, "account_mismatch", "The account that signed in does not belong to this server.");
	mps_result(op, "account.id", mps_get(op, "did"));
	mps_result(op, "account.host", mps_get(op, "host"));
	mps_result(op, "grant.did", mps_get(op, "did"));
	return mps_done(op);
}

static mps_next refresh_token(mps_op *op)
{
	mps_req *r = token_request(op, "refresh_token");

	mps_form(r, "refresh_token", mps_handle(op, "token.refresh"));
	return mps_send(op, r, MPS_ONCE, "renewed");
}

static mps_next refresh_renewed(mps_op *op)
{
	const char *code = mps_json(op, "error"), *words = mps_json(op, "error_description");
	int32_t status = mps_status(op);

	if (status == 200 && token_ok(op) && mps_is(mps_json(op, "sub"), mps_input(op, "grant.did"))) {
		token_keep(op);
		return mps_done(op);
	}
	if (status == 200)
		return mps_fail(op, MPS_REVOKED, "account_mismatch", "", "The server renewed the sign-in of another account.");
	if (mps_is(code, "invalid_grant"))
		return mps_fail(op, MPS_REVOKED, "session_ended", code, words);
	return status == 429 ? fail_with(op) : mps_fail(op, MPS_TRANSIENT, "platform_unavailable", code, words);
}

/* With its refresh token the whole session ends. */
static mps_next revoke_token(mps_op *op)
{
	const char *endpoint = mps_input(op, "grant.revocation_endpoint");
	mps_req *r;

	if (!*endpoint)
		return mps_done(op);
	r = mps_post(op, endpoint);
	mps_dpop(r);
	mps_form(r, "token", mps_handle(op, "token.refresh"));
	client_form(op, r, mps_input(op, "grant.issuer"));
	return mps_send(op, r, MPS_SAFE, "ended");
}

static mps_next revoke_ended(mps_op *op)
{
	int32_t status = mps_status(op);

	return status / 100 == 2 || mps_is(mps_json(op, "error"), "invalid_token") || mps_is(mps_json(op, "error"), "invalid_grant") ?
		mps_done(op) : fail_with(op);
}
