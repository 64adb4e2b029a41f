/*
 * Who we are to authorization servers that know clients by an address: the document at that address and our public
 * key.  Both are public and may be cached.
 *
 * The one thing to know: on a loopback address no server could read the document.  There we are the localhost
 * development client of AT Protocol, a public client whose browser comes back to 127.0.0.1.
 */
#include "core/api/connect.h"

#include <string.h>

#include "core/api/routes.h"
#include "core/base/text.h"
#include "core/io/confvalue.h"
#include "core/model/client_key.h"

static const char *host_of(const struct api *api)
{
	const char *at = strstr(api->public_url, "://");

	return at ? at + 3 : api->public_url;
}

static bool loopback(const struct api *api)
{
	return conf_loopback(host_of(api));
}

static bool by_address(const struct platform *p)
{
	return text_eq(p->client, "metadata");
}

static const char *scopes_of(struct arena *a, const struct platform *p)
{
	BUF_AUTO struct buf out;

	buf_init(&out, 65536);
	for (int i = 0; i < p->scope_count; i++)
		buf_addf(&out, "%s%s", i > 0 ? " " : "", p->scopes[i].scope);
	return arena_text(a, buf_text(&out));
}

static const char *address_of(const struct api *api, struct arena *a, const struct platform *p)
{
	return arena_printf(a, "%s/oauth/%s/client-metadata.json", api->public_url, p->id);
}

/* ---- the client -------------------------------------------------------------------------------------- */

/* The development client may only come back to an address, never to the name localhost. */
const char *client_redirect_uri(const struct api *api, struct arena *a, const struct platform *p, const char *platform)
{
	const char *host = host_of(api);

	if (p == NULL || !by_address(p) || !text_starts(host, "localhost") || (host[9] != ':' && host[9] != '\0'))
		return connect_callback_url(api, a, platform);
	return arena_printf(a, "http://127.0.0.1%s/oauth/%s/callback", host + strlen("localhost"), platform);
}

static const char *development_id(struct arena *a, const char *redirect_uri, const char *scopes)
{
	BUF_AUTO struct buf out;

	buf_init(&out, 65536);
	buf_adds(&out, "http://localhost?redirect_uri=");
	text_percent(&out, redirect_uri, strlen(redirect_uri));
	buf_adds(&out, "&scope=");
	text_percent(&out, scopes, strlen(scopes));
	return arena_text(a, buf_text(&out));
}

void client_read(const struct api *api, struct arena *a, const struct platform *p, const char *platform, struct client *ret)
{
	*ret = (struct client){.redirect_uri = client_redirect_uri(api, a, p, platform)};
	if (p == NULL || !by_address(p))
		return;
	ret->auth = loopback(api) ? "none" : "private_key_jwt";
	ret->id = loopback(api) ? development_id(a, ret->redirect_uri, scopes_of(a, p)) : address_of(api, a, p);
}

/* ---- its documents ----------------------------------------------------------------------------------- */

static enum rc not_found(struct api_request *r)
{
	return fail_code(r->cx, RC_NOT_FOUND, "not_found", NULL, "There is nothing at this path.");
}

static void public_json(struct api_request *r, const char *cache)
{
	r->answer->type = "application/json";
	web_header(r->answer, "Cache-Control", "%s", cache);
	web_header(r->answer, "Access-Control-Allow-Origin", "*");
}

static const char *setting(const struct api *api, const char *provider, const char *name)
{
	const struct conf_provider *c = conf_provider(api->conf, provider);

	for (int i = 0; c != NULL && i < c->settings.count; i++)
		if (text_eq(c->settings.list[i].key, name))
			return c->settings.list[i].value;
	return NULL;
}

static void list(struct jsonw *w, const char *key, const char *a, const char *b)
{
	jsonw_array(w, key);
	jsonw_text(w, "", a);
	if (b != NULL)
		jsonw_text(w, "", b);
	jsonw_array_end(w);
}

static void write_people(struct api_request *r, const struct platform *p)
{
	static const char *const links[] = {"logo_uri", "tos_uri", "policy_uri", NULL};
	const char *name = setting(r->api, p->id, "client_name");

	jsonw_text(r->w, "client_name", name ? name : host_of(r->api));
	jsonw_text(r->w, "client_uri", r->api->public_url);
	for (int i = 0; links[i] != NULL; i++)
		if (setting(r->api, p->id, links[i]) != NULL)
			jsonw_text(r->w, links[i], setting(r->api, p->id, links[i]));
}

static void write_metadata(struct api_request *r, const struct platform *p)
{
	struct jsonw *w = r->w;

	jsonw_object(w, NULL);
	jsonw_text(w, "client_id", address_of(r->api, r->arena, p));
	jsonw_text(w, "application_type", "web");
	write_people(r, p);
	list(w, "grant_types", "authorization_code", "refresh_token");
	list(w, "response_types", "code", NULL);
	list(w, "redirect_uris", client_redirect_uri(r->api, r->arena, p, p->id), NULL);
	jsonw_text(w, "scope", scopes_of(r->arena, p));
	jsonw_bool(w, "dpop_bound_access_tokens", p->dpop);
	jsonw_text(w, "token_endpoint_auth_method", "private_key_jwt");
	jsonw_text(w, "token_endpoint_auth_signing_alg", "ES256");
	jsonw_text(w, "jwks_uri", arena_printf(r->arena, "%s/oauth/%s/jwks.json", r->api->public_url, p->id));
	jsonw_object_end(w);
}

/* A platform that knows clients by their address, when ours can be read from outside; else NULL. */
static const struct platform *known(struct api_request *r)
{
	const struct platform *p = loopback(r->api) ? NULL : platforms_take(r->api->platforms, api_param(r, "platform"));

	if (p != NULL && by_address(p))
		return p;
	platform_give(p);
	return NULL;
}

static enum rc metadata(struct api_request *r)
{
	PLATFORM_AUTO const struct platform *p = known(r);

	if (p == NULL)
		return not_found(r);
	public_json(r, "public, max-age=300");
	write_metadata(r, p);
	return RC_OK;
}

static enum rc need_write(struct cx *cx, struct db_conn *c, struct api_request *r, void *arg)
{
	(void)arg;
	return client_key_need(cx, c, r->api->vault, api_param(r, "platform"), r->now);
}

static bool key_of(struct api_request *r, struct client_key *ret)
{
	DB_READ_AUTO struct db_conn *c = db_take(r->api->db);

	return client_key_find(c, api_param(r, "platform"), r->arena, ret);
}

/* The JWK with what a verifier looks for. */
static void write_key(struct api_request *r, const struct client_key *k)
{
	struct jv root, value;
	const char *key, *raw;
	size_t n;

	jsonw_object(r->w, NULL);
	if (json_parse(r->cx, r->arena, k->jwk, strlen(k->jwk), &root) == RC_OK)
		for (size_t i = 0; json_member(root, i, &key, &value); i++) {
			raw = json_raw(value, &n);
			jsonw_raw(r->w, key, raw, n);
		}
	jsonw_text(r->w, "kid", k->kid);
	jsonw_text(r->w, "alg", "ES256");
	jsonw_text(r->w, "use", "sig");
	jsonw_object_end(r->w);
}

static enum rc jwks(struct api_request *r)
{
	PLATFORM_AUTO const struct platform *p = known(r);
	struct client_key k;
	enum rc rc = RC_OK;

	if (p == NULL)
		return not_found(r);
	if (!key_of(r, &k)) {
		rc = connect_write(r, need_write, NULL);
		if (rc != RC_OK || !key_of(r, &k))
			return rc != RC_OK ? rc : not_found(r);
	}
	public_json(r, "public, max-age=300");
	jsonw_object(r->w, NULL);
	jsonw_array(r->w, "keys");
	write_key(r, &k);
	jsonw_array_end(r->w);
	jsonw_object_end(r->w);
	return RC_OK;
}

const struct route client_routes[] = {
	{.method = "GET", .pattern = "/oauth/{platform}/client-metadata.json", .flags = ROUTE_NO_AUTH | ROUTE_HIDDEN, .handle = metadata,
		.operation = "getClientMetadata", .summary = "This server as an OAuth client"},
	{.method = "GET", .pattern = "/oauth/{platform}/jwks.json", .flags = ROUTE_NO_AUTH | ROUTE_HIDDEN, .handle = jwks,
		.operation = "getClientKeys", .summary = "The public key of this server as an OAuth client"},
	{0},
};
