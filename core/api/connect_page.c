/*
 * The hosted page: /connect/{token} and what follows it.
 *
 * The one thing to know: opening the link changes nothing, because previews and mail scanners open links too.
 * Only the form begins, binds the browser and asks the platform; it must come from our own page, with the cookie
 * that the page gave.
 */
#include "core/api/connect_html.h"

#include <stdlib.h>
#include <string.h>

#include "core/api/routes.h"
#include "core/base/clock.h"
#include "core/base/text.h"
#include "core/engine/engine.h"
#include "core/model/connect_flow.h"
#include "core/model/operation.h"

#define WAIT_MS 8000

/* ---- what stands in the way --------------------------------------------------------------------------- */

/* The page's cause that ends this visit at once, or NULL. */
const char *connect_over(const struct connect_view *v)
{
	const char *status = connect_session_status(&v->s, v->r->now);

	if (text_eq(status, "canceled"))
		return "connect_session_canceled";
	if (text_eq(status, "completed") && v->s.single_use)
		return "connect_session_used";
	if (text_eq(status, "expired") || v->s.expires_at <= v->r->now)
		return "connect_session_expired";
	return NULL;
}

/* The code of the session's stored error. */
static const char *error_code(struct connect_view *v)
{
	const char *code;
	struct jv root;
	struct cx cx;

	cx_init(&cx, v->r->id);
	if (v->s.error == NULL || json_parse(&cx, v->r->arena, v->s.error, strlen(v->s.error), &root) != RC_OK)
		return "internal_error";
	code = json_text_or(json_get(root, "code"), "internal_error");
	/* the guard of outgoing requests refused the server that the person named */
	if (text_eq(code, "platform_not_configured") && v->provider != NULL && v->provider->user_hosts)
		return "host_unreachable";
	if (text_eq(code, "platform_unavailable") && v->provider != NULL && v->provider->user_hosts)
		return "host_unreachable";
	/* nothing was entered here: it is the customer's own access that the platform refused */
	if (text_eq(code, "credential_invalid") && (v->provider == NULL || (!v->provider->form && v->provider->field_count == 0)))
		return "platform_not_configured";
	return code;
}

/* ---- the first page ---------------------------------------------------------------------------------- */

static enum rc open_write(struct cx *cx, struct db_conn *c, struct api_request *r, void *arg)
{
	const struct connect_view *v = arg;

	(void)cx;
	connect_open(c, &v->s, r->now);
	return RC_OK;
}

static enum rc show(struct api_request *r)
{
	VIEW_AUTO struct connect_view v;
	struct connect_fields fields;
	const char *cause;
	enum rc rc;

	if (!connect_view_token(&v, r, api_param(r, "token")))
		return connect_page_cause(&v, "connect_session_not_found");
	cause = connect_over(&v);
	if (cause == NULL && v.s.browser_mac != NULL && v.s.bind_browser && !v.bound)
		cause = "wrong_browser";
	if (cause == NULL && v.provider == NULL)
		cause = "platform_unknown";
	if (cause != NULL)
		return connect_page_cause(&v, cause);
	if (v.bound && text_eq(v.s.status, "selecting")) {
		connect_redirect(&v, connect_path(&v, "/select"));
		return RC_OK;
	}
	rc = text_eq(r->web->method, "HEAD") ? RC_OK : connect_write(r, open_write, &v);
	if (rc != RC_OK)
		return rc;
	connect_cookie_set(&v);
	connect_entries(&v, v.provider->oauth, &fields);
	connect_page_start(&v, &fields);
	return RC_OK;
}

/* ---- beginning --------------------------------------------------------------------------------------- */

struct beginning { struct connect_view *v; struct connect_start start; };

static enum rc start_write(struct cx *cx, struct db_conn *c, struct api_request *r, void *arg)
{
	struct beginning *b = arg;
	struct connect_view *v = b->v;
	const char *mode;
	enum rc rc = connect_client(cx, c, r->api, &v->s.owner, v->p ? v->p : v->provider, v->s.provider,
				    v->s.credential_mode, r->arena, &b->start.credential_id, &mode);

	b->start.scope = connect_scope(c, &v->s.owner, v->provider, b->start.credential_id, r->arena);
	return rc != RC_OK ? rc : connect_start(cx, c, &b->start, r->now);
}

static struct connect_value *values_of(struct connect_view *v, const struct connect_fields *f, int *ret_count)
{
	struct connect_value *list = arena_array(v->r->arena, struct connect_value, f->count + 1);
	const struct connect_entry *e = f->list;
	int n = 0;

	for (int i = 0; i < f->count; i++)
		if (e[i].value[0] != '\0')
			list[n++] = (struct connect_value){e[i].field->name, e[i].value, e[i].field->secret};
	*ret_count = n;
	return list;
}

/* The host of the instance: the field is always filled in. */
static const char *instance_of(struct connect_view *v, const struct connect_start *p)
{
	for (int i = 0; i < p->value_count; i++)
		if (text_eq(p->values[i].name, v->provider->host_field))
			return p->values[i].value;
	return "";
}

static enum rc forget_write(struct cx *cx, struct db_conn *c, struct api_request *r, void *arg)
{
	const struct connect_view *v = arg;

	(void)cx, (void)r;
	connect_forget_input(c, v->s.operation_id, v->s.owner.organization_id);
	return RC_OK;
}

/* The platform's address, once; false if there is none (yet). */
static bool go_to_platform(struct connect_view *v)
{
	char *url = v->s.operation_id ? engine_redirect_take(v->r->api->engine, v->s.operation_id) : NULL;

	if (url == NULL)
		return false;
	(void)connect_write(v->r, forget_write, v);
	connect_redirect(v, url);
	explicit_bzero(url, strlen(url));
	free(url);
	return true;
}

static enum rc begin(struct connect_view *v, const struct connect_fields *fields)
{
	struct beginning b = {.v = v, .start = {
		.vault = v->r->api->vault, .session_id = v->s.id, .cookie = v->cookie, .oauth = fields->oauth, .dpop = v->provider->dpop,
	}};
	struct client client;
	enum rc rc;

	client_read(v->r->api, v->r->arena, v->provider, v->s.platform, &client);
	b.start.redirect_uri = client.redirect_uri;
	b.start.client_id = fields->oauth ? client.id : NULL;
	b.start.client_auth = fields->oauth ? client.auth : NULL;
	b.start.values = values_of(v, fields, &b.start.value_count);
	if (fields->oauth && v->provider->registered)
		b.start.instance = instance_of(v, &b.start);
	rc = connect_write(v->r, start_write, &b);
	if (rc != RC_OK && text_eq(v->r->cx->code, "connect_session_busy")) {
		connect_redirect(v, connect_path(v, "/wait"));
		return RC_OK;
	}
	if (rc == RC_CONFLICT || rc == RC_DENIED)
		return connect_page_cause(v, v->r->cx->code);
	if (rc != RC_OK)
		return rc;
	connect_wake(v->r);
	v->bound = true;
	if (b.start.oauth)
		return connect_go_on(v);
	connect_redirect(v, connect_path(v, "/wait"));
	return RC_OK;
}

static enum rc start(struct api_request *r)
{
	VIEW_AUTO struct connect_view v;
	struct connect_fields fields;
	const char *form, *cause;
	size_t len;
	enum rc rc;

	if (!connect_view_token(&v, r, api_param(r, "token")))
		return connect_page_cause(&v, "connect_session_not_found");
	rc = connect_form_read(&v, &form, &len, &cause);
	if (rc != RC_OK)
		return rc;
	if (cause == NULL)
		cause = connect_over(&v);
	if (cause == NULL && v.provider == NULL)
		cause = "platform_unknown";
	if (cause != NULL)
		return connect_page_cause(&v, cause);
	connect_entries(&v, v.provider->oauth && (!connect_both(&v) || web_form(r->web, form, len, "way") == NULL), &fields);
	if (!connect_entries_read(&v, form, len, &fields)) {
		connect_page_start(&v, &fields);
		return RC_OK;
	}
	return begin(&v, &fields);
}

/* ---- the wait ---------------------------------------------------------------------------------------- */

/* True while the engine is at work for this session; reads what it has become. */
static bool at_work(struct connect_view *v)
{
	ARENA_AUTO struct arena a;
	DB_READ_AUTO struct db_conn *c = db_take(v->r->api->db);
	struct connect_session s;

	arena_init(&a, 4u << 20);
	if (!connect_session_find(c, &v->s.owner, v->s.id, &a, &s) || !text_eq(s.status, "authorizing"))
		return false;
	return s.operation_id != NULL && db_number(c, 0, "SELECT COUNT(*) FROM operation WHERE id = ?1 AND organization_id = ?2"
		" AND status = 'running'", "ss", s.operation_id, s.owner.organization_id) == 1;
}

static void read_again(struct connect_view *v)
{
	DB_READ_AUTO struct db_conn *c = db_take(v->r->api->db);

	connect_session_find(c, &v->s.owner, v->s.id, v->r->arena, &v->s);
	v->r->now = clock_now();
}

/* What was entered and is no secret stands in the input of the operation that brought it to the platform. */
static struct jv entered(struct connect_view *v, bool *ret_oauth)
{
	DB_READ_AUTO struct db_conn *c = db_take(v->r->api->db);
	struct operation o;
	struct jv root;
	struct cx cx;

	*ret_oauth = !v->provider->form;
	cx_init(&cx, v->r->id);
	if (v->s.operation_id == NULL || !operation_load(c, v->s.operation_id, NULL, v->r->arena, &o) || o.input == NULL
	    || json_parse(&cx, v->r->arena, o.input, strlen(o.input), &root) != RC_OK)
		return (struct jv){NULL, 0};
	*ret_oauth = json_type(json_get(root, "oauth")) == JSON_OBJECT;
	return json_get(root, "field");
}

/* Before a sign-in elsewhere only a name is asked for: one that leads nowhere, or to a server of another kind. */
static const char *refused_words(const struct connect_entry *e, bool oauth)
{
	if (oauth && e->given)
		return "This is not a {platform} server. Go back to {app} and name another one there.";
	if (oauth && text_eq(e->field->type, "host"))
		return "This is not a {platform} server. Check the name and try again.";
	return oauth ? "{platform} knows no account of this name. Check how it is written and try again."
		     : "{platform} did not accept this. Check it, enter it once more and try again.";
}

/* The form again, with the fault where it is entered once more; the session may begin anew. */
static enum rc page_refused(struct connect_view *v)
{
	struct connect_fields f;
	bool oauth;
	int at = 0;
	struct jv values = entered(v, &oauth);

	connect_entries(v, oauth, &f);
	for (int i = 0; i < f.count; i++) {
		if (!f.list[i].field->secret && !f.list[i].given && values.doc != NULL)
			f.list[i].value = json_text(json_get(values, f.list[i].field->name));
		if (f.list[i].field->secret)
			at = i;
	}
	if (f.count == 0)
		return connect_page_cause(v, "platform_not_configured");
	f.list[at].fault = refused_words(&f.list[at], oauth);
	connect_page_start(v, &f);
	return RC_OK;
}

static enum rc page_failed(struct connect_view *v)
{
	const char *code = error_code(v);

	return text_eq(code, "credential_invalid") && connect_over(v) == NULL ? page_refused(v) : connect_page_cause(v, code);
}

/* Waits for the engine and goes where the session stands then. */
enum rc connect_go_on(struct connect_view *v)
{
	struct connect_wait w;
	const char *status;
	bool busy;

	connect_wait_begin(v->r, &w, WAIT_MS);
	do
		busy = at_work(v);
	while (busy && connect_wait_more(v->r, &w));
	connect_wait_end(v->r, &w);
	read_again(v);
	status = connect_session_status(&v->s, v->r->now);
	if (text_eq(status, "completed"))
		connect_redirect(v, connect_final_url(v, "success", NULL));
	else if (text_eq(status, "failed") || text_eq(status, "denied"))
		return page_failed(v);
	else if (connect_over(v) != NULL)
		return connect_page_cause(v, connect_over(v));
	else if (text_eq(status, "selecting"))
		connect_redirect(v, connect_path(v, "/select"));
	else if (busy)
		connect_page_wait(v, 2);
	else if (!go_to_platform(v))
		connect_redirect(v, connect_path(v, ""));
	return RC_OK;
}

static enum rc wait_(struct api_request *r)
{
	const char *site = web_header_in(r->web, "Sec-Fetch-Site");
	VIEW_AUTO struct connect_view v;

	if (!connect_view_token(&v, r, api_param(r, "token")))
		return connect_page_cause(&v, "connect_session_not_found");
	if (!v.bound)
		return connect_page_cause(&v, "wrong_browser");
	/* A browser holds every redirect after a form against the policy of the form's page, which at a platform knows
	 * us and not the customer: the last step must begin at a page of ours. */
	if (text_eq(site, "cross-site") || text_eq(site, "same-site")) {
		connect_page_wait(&v, 0);
		return RC_OK;
	}
	return connect_go_on(&v);
}

/* ---- the customer's colour ---------------------------------------------------------------------------- */

static enum rc brand(struct api_request *r)
{
	VIEW_AUTO struct connect_view v;

	if (!connect_view_token(&v, r, api_param(r, "token")))
		return fail_code(r->cx, RC_NOT_FOUND, "not_found", NULL, "There is nothing at this path.");
	r->answer->type = "text/css; charset=utf-8";
	connect_brand_css(r->answer->body, v.accent);
	return RC_OK;
}

const struct route connect_page_routes[] = {
	CONNECT_PAGE("GET", "/connect/{token}", show, "showConnect"),
	CONNECT_PAGE("POST", "/connect/{token}/start", start, "startConnect"),
	CONNECT_PAGE("GET", "/connect/{token}/wait", wait_, "waitConnect"),
	CONNECT_PAGE("GET", "/connect/{token}/brand.css", brand, "getConnectBrand"),
	{0},
};
