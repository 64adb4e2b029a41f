/*
 * /oauth/{platform}/callback: the browser comes back from a platform.
 *
 * The one thing to know: nothing is believed before the state, the browser's cookie, the platform of the path and
 * the issuer fit together, and the state is used up in the same transaction that starts the exchange.  The answer
 * is a 303 to an address without code or state.
 */
#include "core/api/connect_html.h"

#include <string.h>

#include "core/api/routes.h"
#include "core/base/text.h"
#include "core/model/connect_flow.h"

#define CODE_MAX 8192
#define PARAMS_MAX 16
#define NAME_BYTES "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"

/* What a platform's error means for the person; its description is never looked at. */
static const struct { const char *error, *status, *code, *message; } errors[] = {
	{"access_denied", "denied", "connect_denied", "The person did not allow it."},
	{"user_denied", "denied", "connect_denied", "The person did not allow it."},
	{"user_cancelled_login", "denied", "connect_denied", "The person did not sign in."},
	{"user_cancelled_authorize", "denied", "connect_denied", "The person did not allow it."},
	{"consent_required", "denied", "connect_denied", "The person did not allow it."},
	{"invalid_scope", "failed", "connection_scope_missing", "The platform does not give the permissions that were asked for."},
	{"server_error", "failed", "platform_unavailable", "The platform failed while the person signed in."},
	{"temporarily_unavailable", "failed", "platform_unavailable", "The platform is not available at the moment."},
	{NULL, "failed", "platform_rejected", "The platform refused the sign-in."},
};

static const char *query(struct api_request *r, const char *name)
{
	const char *value = NULL;

	return web_query(r->web, name, &value) ? value : NULL;
}

static bool text_ok(const char *text, size_t max)
{
	return strlen(text) <= max && text_utf8(text, strlen(text)) && text_printable(text);
}

/* What else came, for providers that need it; neither code nor state. */
static const char *params(struct api_request *r)
{
	static const char *const ours[] = {"code", "state", "iss", "error", "error_description", "error_uri", NULL};
	BUF_AUTO struct buf out;
	const char *name, *value;
	struct jsonw w;
	int n = 0;

	buf_init(&out, 64 * 1024);
	jsonw_init(&w, &out);
	jsonw_object(&w, NULL);
	for (int i = 0; web_query_at(r->web, i, &name, &value) && n < PARAMS_MAX; i++) {
		const char *const *o = ours;
		const char *first = query(r, name);
		size_t len = strlen(name);

		while (*o && !text_eq(*o, name))
			o++;
		if (*o || first != value || len == 0 || len > 40 || strspn(name, NAME_BYTES) != len || !text_ok(value, 2000))
			continue;
		jsonw_text(&w, name, value);
		n++;
	}
	jsonw_object_end(&w);
	jsonw_end(&w);
	return arena_text(r->arena, buf_text(&out));
}

static void answer_no(struct connect_answer *a, const char *error)
{
	int i = 0;

	while (errors[i].error != NULL && !text_eq(errors[i].error, error))
		i++;
	a->status = errors[i].status;
	a->error_code = errors[i].code;
	a->message = errors[i].message;
}

/* RFC 9207: an answer that names another server than the one that was asked is nobody's. */
static bool issuer_ok(const struct connect_view *v)
{
	const char *iss = query(v->r, "iss");

	if (v->provider != NULL && v->provider->iss_required)
		return v->s.issuer != NULL && iss != NULL && text_eq(iss, v->s.issuer);
	return v->s.issuer == NULL || iss == NULL || text_eq(iss, v->s.issuer);
}

static void answer_read(struct connect_view *v, struct connect_answer *a)
{
	const char *code = query(v->r, "code"), *error = query(v->r, "error");

	*a = (struct connect_answer){
		.vault = v->r->api->vault, .session_id = v->s.id, .state = query(v->r, "state"), .params = params(v->r),
		.redirect_uri = client_redirect_uri(v->r->api, v->r->arena, v->provider, v->s.platform),
	};
	if (error == NULL && code != NULL && code[0] != '\0' && text_ok(code, CODE_MAX) && issuer_ok(v))
		a->code = code;
	else
		answer_no(a, error ? error : "");
}

static enum rc answered_write(struct cx *cx, struct db_conn *c, struct api_request *r, void *arg)
{
	return connect_answered(cx, c, arg, r->now);
}

/* The development client comes back to 127.0.0.1; our cookie is that of localhost. */
static bool elsewhere(const struct api_request *r)
{
	const char *host = web_header_in(r->web, "Host");

	return text_starts(r->api->public_url, "http://localhost") && host != NULL && text_starts(host, "127.0.0.1");
}

static enum rc callback(struct api_request *r)
{
	VIEW_AUTO struct connect_view v;
	struct connect_answer a;
	enum rc rc;

	if (!connect_view_state(&v, r, query(r, "state")))
		return connect_page_cause(&v, "connect_session_over");
	if (!v.bound && elsewhere(r)) {
		connect_redirect(&v, arena_printf(r->arena, "%s?%s", r->web->path, r->web->query));
		return RC_OK;
	}
	if (!v.bound)
		return connect_page_cause(&(struct connect_view){.r = r, .b = v.b, .app = v.app, .platform = v.platform, .powered = true},
					  "wrong_browser_callback");
	if (!text_eq(api_param(r, "platform"), v.s.platform) || !connect_state_alive(query(r, "state"), r->now))
		return connect_page_cause(&v, "connect_session_over");
	if (connect_over(&v) != NULL)
		return connect_page_cause(&v, connect_over(&v));
	answer_read(&v, &a);
	rc = connect_write(r, answered_write, &a);
	if (rc == RC_CONFLICT)
		return connect_page_cause(&v, "connect_session_over");
	if (rc != RC_OK)
		return rc;
	connect_wake(r);
	connect_redirect(&v, connect_path(&v, "/wait"));
	return RC_OK;
}

const struct route callback_routes[] = {
	CONNECT_PAGE("GET", "/oauth/{platform}/callback", callback, "oauthCallback"),
	{0},
};
