/*
 * /v1/apps: what keys, redirect URLs and provider credentials belong to.
 *
 * The one thing to know: a key sees every app of its organization.  What is live and what is test is told apart by
 * keys, not by apps.
 */
#include "core/api/apps.h"

#include "core/api/page.h"
#include "core/api/routes.h"

static const char *const credential_modes[] = {"customer", "managed", NULL};

static const struct field answer_fields[] = {
	{.name = "id", .type = FIELD_TEXT},
	{.name = "name", .type = FIELD_TEXT},
	{.name = "credentialMode", .type = FIELD_ENUM, .words = credential_modes,
		.help = "Whose access to a platform its connect sessions use when they do not say."},
	{.name = "signsRedirects", .type = FIELD_BOOL, .help = "Whether final redirects carry ts and sig: the app has a redirect secret."},
	{.name = "createdAt", .type = FIELD_TIME},
	{0},
};
static const struct answer answer = {"App", answer_fields};

enum rc app_named(struct cx *cx, struct db_conn *c, struct api_request *r, struct app *ret)
{
	if (app_find(c, r->identity.owner.organization_id, api_param(r, "id"), r->arena, ret))
		return RC_OK;
	return db_rc(c) != RC_OK ? db_fail(cx, c) : fail_code(cx, RC_NOT_FOUND, "not_found", NULL, "There is no such app.");
}

static void app_write(struct jsonw *w, const struct app *app)
{
	jsonw_object(w, NULL);
	jsonw_text(w, "id", app->id);
	jsonw_text(w, "name", app->name);
	jsonw_text(w, "credentialMode", app->credential_mode);
	jsonw_bool(w, "signsRedirects", app->signs);
	jsonw_time(w, "createdAt", app->created_at);
	jsonw_object_end(w);
}

static enum rc list(struct api_request *r)
{
	DB_READ_AUTO struct db_conn *c = db_take(r->api->db);
	struct stmt *s;
	struct app app;
	struct page p;
	enum rc rc = page_read(r, &p);

	if (rc != RC_OK)
		return rc;
	s = app_list(c, r->identity.owner.organization_id, p.after, p.limit + 1);
	page_begin(r);
	while (page_more(&p) && app_next(s, r->arena, &app)) {
		page_row(&p, app.id);
		app_write(r->w, &app);
	}
	page_end(r, &p, !page_more(&p) && db_next(s));
	db_end(s);
	return db_rc(c) == RC_OK ? RC_OK : db_fail(r->cx, c);
}

static enum rc get(struct api_request *r)
{
	DB_READ_AUTO struct db_conn *c = db_take(r->api->db);
	struct app app;
	enum rc rc = app_named(r->cx, c, r, &app);

	if (rc == RC_OK)
		app_write(r->w, &app);
	return rc;
}

const struct route app_routes[] = {
	{.method = "GET", .pattern = "/v1/apps", .scope = "admin:read", .flags = ROUTE_PAGED, .handle = list,
		.operation = "listApps", .summary = "The apps of the organization", .answer = &answer},
	{.method = "GET", .pattern = "/v1/apps/{id}", .scope = "admin:read", .handle = get,
		.operation = "getApp", .summary = "One app", .answer = &answer},
	{0},
};
