/*
 * Who is here, with which session, and where the visit ends.
 *
 * The browser is known by a cookie of its own for each session (two tabs do not meet), of which the row keeps a
 * keyed hash.  Addresses are made from public_url and never from what a client sends.
 */
#include "core/api/connect_html.h"

#include <stdio.h>
#include <string.h>

#include "core/base/json.h"
#include "core/base/text.h"

#define COOKIE_BYTES 32
#define QUERY_MAX (64 * 1024)

/* ---- the cookie -------------------------------------------------------------------------------------- */

static bool secure(const struct api *api)
{
	return text_starts(api->public_url, "https://");
}

const char *connect_cookie_name(const struct api *api, struct arena *a, const char *session_id)
{
	return arena_printf(a, "%sconnect_%s", secure(api) ? "__Host-" : "", session_id + 3);
}

static bool cookie_ok(const char *text)
{
	return text != NULL && strlen(text) == 43
		&& strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") == 43;
}

void connect_cookie_set(struct connect_view *v)
{
	BUF_AUTO struct buf value = {0};
	uint8_t bytes[COOKIE_BYTES];
	int64_t left = (v->s.expires_at - v->r->now) / 1000 + 600;

	if (v->cookie != NULL)
		return;
	buf_init(&value, 64);
	id_random(bytes, sizeof bytes);
	text_base64url(&value, bytes, sizeof bytes);
	v->cookie = arena_text(v->r->arena, buf_text(&value));
	web_header(v->r->answer, "Set-Cookie", "%s=%s; Path=/; HttpOnly; SameSite=Lax; Max-Age=%lld%s",
		   connect_cookie_name(v->r->api, v->r->arena, v->s.id), v->cookie, (long long)left, secure(v->r->api) ? "; Secure" : "");
}

static void browser_read(struct connect_view *v)
{
	const char *cookie = web_cookie(v->r->web, connect_cookie_name(v->r->api, v->r->arena, v->s.id));
	uint8_t mac[CONNECT_MAC];

	if (!cookie_ok(cookie))
		return;
	v->cookie = cookie;
	connect_browser_mac(v->r->api->vault, v->s.id, cookie, mac);
	v->bound = v->s.browser_mac != NULL && vault_equal(v->s.browser_mac, mac, CONNECT_MAC);
}

/* ---- the view ---------------------------------------------------------------------------------------- */

static void branding_read(struct connect_view *v)
{
	struct jv root;
	struct cx cx;
	bool hide = false;

	cx_init(&cx, v->r->id);
	v->app = v->s.app_name;
	if (v->s.branding == NULL || json_parse(&cx, v->r->arena, v->s.branding, strlen(v->s.branding), &root) != RC_OK)
		return;
	v->app = json_text_or(json_get(root, "name"), v->app);
	v->logo = json_text(json_get(root, "logoUrl"));
	v->accent = json_text(json_get(root, "accentColor"));
	v->powered = !(json_bool(json_get(root, "hidePoweredBy"), &hide) && hide);
}

static void view_init(struct connect_view *v, struct api_request *r)
{
	*v = (struct connect_view){.r = r, .b = r->answer->body, .app = "the app you came from", .platform = "the platform", .powered = true};
}

static void view_fill(struct connect_view *v, const char *token)
{
	char made[CONNECT_TOKEN_MAX];

	if (token == NULL) {
		connect_token(v->r->api->vault, v->s.id, made);
		token = arena_text(v->r->arena, made);
	}
	v->known = true;
	v->token = token;
	branding_read(v);
	v->p = platforms_take(v->r->api->platforms, v->s.platform);
	v->provider = platforms_take(v->r->api->platforms, v->s.provider);
	v->platform = v->p ? v->p->name : v->s.platform;
	browser_read(v);
}

bool connect_view_token(struct connect_view *v, struct api_request *r, const char *token)
{
	DB_READ_AUTO struct db_conn *c = db_take(r->api->db);

	view_init(v, r);
	if (strlen(token) != CONNECT_TOKEN_MAX - 1 || !connect_session_by_token(c, r->api->vault, token, r->arena, &v->s))
		return false;
	view_fill(v, token);
	return true;
}

bool connect_view_state(struct connect_view *v, struct api_request *r, const char *state)
{
	DB_READ_AUTO struct db_conn *c = db_take(r->api->db);

	view_init(v, r);
	if (state == NULL || strlen(state) >= CONNECT_STATE_MAX || !connect_session_by_state(c, r->api->vault, state, r->arena, &v->s))
		return false;
	view_fill(v, NULL);
	return true;
}

void connect_view_end(struct connect_view *v)
{
	platform_give(v->p);
	platform_give(v->provider);
	v->p = v->provider = NULL;
}

const char *connect_path(const struct connect_view *v, const char *end)
{
	return arena_printf(v->r->arena, "/connect/%s%s", v->token, end);
}

/* ---- going elsewhere --------------------------------------------------------------------------------- */

void connect_redirect(struct connect_view *v, const char *url)
{
	struct api_request *r = v->r;

	buf_reset(r->answer->body);
	r->answer->type = "text/plain; charset=utf-8";
	web_header(r->answer, "Location", "%s%s", url[0] == '/' ? r->api->public_url : "", url);
	web_header(r->answer, "Referrer-Policy", "no-referrer");
	r->status = 303;
}

static void param(struct buf *q, const char *name, const char *value)
{
	if (value == NULL || value[0] == '\0')
		return;
	buf_addf(q, "%s%s=", q->len > 0 ? "&" : "", name);
	text_percent(q, value, strlen(value));
}

static void params_connections(struct connect_view *v, struct buf *q)
{
	struct jv list;
	struct cx cx;

	cx_init(&cx, v->r->id);
	if (v->s.connection_ids == NULL || json_parse(&cx, v->r->arena, v->s.connection_ids, strlen(v->s.connection_ids), &list) != RC_OK)
		return;
	for (size_t i = 0; i < json_count(list); i++)
		param(q, "connectionId", json_text(json_at(list, i)));
}

/* The signature is over the query as it stands here: names in order, values percent-encoded. */
static void sign(struct connect_view *v, struct buf *q)
{
	DB_READ_AUTO struct db_conn *c = db_take(v->r->api->db);
	struct buf secret;
	struct cx cx;
	uint8_t mac[32];

	cx_init(&cx, v->r->id);
	buf_init(&secret, 1024);
	if (app_secret(&cx, c, v->r->api->vault, v->s.owner.organization_id, v->s.owner.app_id, &secret) == RC_OK && secret.len > 0) {
		param(q, "ts", arena_printf(v->r->arena, "%lld", (long long)(v->r->now / 1000)));
		vault_hmac_sha256(secret.data, secret.len, buf_text(q), q->len, mac);
		buf_adds(q, "&sig=");
		text_hex(q, mac, sizeof mac);
	}
	buf_wipe(&secret);
}

const char *connect_final_url(struct connect_view *v, const char *status, const char *code)
{
	BUF_AUTO struct buf q;
	const char *url = v->s.redirect_url;

	buf_init(&q, QUERY_MAX);
	param(&q, "connectSessionId", v->s.id);		/* in the order of ASCII */
	if (text_eq(status, "success"))
		params_connections(v, &q);
	param(&q, "errorCode", code);
	param(&q, "externalUserId", v->s.external_id);
	param(&q, "platform", v->s.platform);
	param(&q, "state", v->s.client_state);
	param(&q, "status", status);
	sign(v, &q);
	return arena_printf(v->r->arena, "%s%c%s", url, strchr(url, '?') ? '&' : '?', buf_text(&q));
}
