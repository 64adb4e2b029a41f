/*
 * /v1/apps/{id}/redirect-urls: where connect sessions may send browsers, byte for byte; and the secret with which
 * an app can tell that a final redirect came from us.
 */
#include "core/api/apps.h"

#include "core/api/page.h"
#include "core/api/routes.h"
#include "core/api/secret.h"
#include "core/model/redirect.h"

static const struct field fields_new[] = {
	{.name = "url", .type = FIELD_TEXT, .flags = FIELD_REQUIRED, .min = 1, .max = REDIRECT_MAX,
		.help = "https, or http on a loopback address, or the scheme of an app; compared as it stands."},
	{0},
};
static const struct field answer_fields[] = {
	{.name = "id", .type = FIELD_TEXT},
	{.name = "url", .type = FIELD_TEXT},
	{.name = "createdAt", .type = FIELD_TIME},
	{0},
};
static const struct answer answer = {"RedirectUrl", answer_fields};

static const struct field secret_fields[] = {
	{.name = "appId", .type = FIELD_TEXT},
	{.name = "secret", .type = FIELD_TEXT, .help = "Key of the HMAC-SHA256 in the parameter sig; shown here only."},
	{0},
};
static const struct answer secret_answer = {"RedirectSecret", secret_fields};

static void redirect_write(struct jsonw *w, struct stmt *s)
{
	jsonw_object(w, NULL);
	jsonw_text(w, "id", db_text(s, 0));
	jsonw_text(w, "url", db_text(s, 1));
	jsonw_time(w, "createdAt", db_int(s, 2));
	jsonw_object_end(w);
}

static enum rc list(struct api_request *r)
{
	DB_READ_AUTO struct db_conn *c = db_take(r->api->db);
	struct stmt *s;
	struct app app;
	struct page p;
	enum rc rc = page_read(r, &p);

	if (rc == RC_OK)
		rc = app_named(r->cx, c, r, &app);
	if (rc != RC_OK)
		return rc;
	s = redirect_list(c, app.organization_id, app.id, p.after, p.limit + 1);
	page_begin(r);
	while (page_more(&p) && db_next(s)) {
		page_row(&p, db_text_or(s, 0, ""));
		redirect_write(r->w, s);
	}
	page_end(r, &p, !page_more(&p) && db_next(s));
	db_end(s);
	return db_rc(c) == RC_OK ? RC_OK : db_fail(r->cx, c);
}

static enum rc add_write(struct cx *cx, struct db_conn *c, struct api_request *r, void *arg)
{
	struct app app;
	struct stmt *s;
	char id[ID_MAX];
	bool created = false;
	enum rc rc = app_named(cx, c, r, &app);

	(void)arg;
	if (rc == RC_OK)
		rc = redirect_add(cx, c, app.organization_id, app.id, field_text(r, "url"), r->now, id, &created);
	if (rc != RC_OK)
		return rc;
	s = redirect_find(c, app.organization_id, app.id, id);
	if (db_next(s))
		redirect_write(r->w, s);
	db_end(s);
	r->status = created ? 201 : 200;
	return db_rc(c) == RC_OK ? RC_OK : db_fail(cx, c);
}

static enum rc add(struct api_request *r)
{
	const char *fault = redirect_fault(field_text(r, "url"));

	if (fault != NULL)
		return fail_code(r->cx, RC_INVALID, "field_invalid", "url", "This URL cannot be a redirect URL: %s.", fault);
	return api_write(r, add_write, NULL);
}

static enum rc remove_write(struct cx *cx, struct db_conn *c, struct api_request *r, void *arg)
{
	struct app app;
	enum rc rc = app_named(cx, c, r, &app);

	(void)arg;
	if (rc != RC_OK)
		return rc;
	if (!redirect_remove(c, app.organization_id, app.id, api_param(r, "redirect")))
		return db_rc(c) != RC_OK ? db_fail(cx, c) : fail_code(cx, RC_NOT_FOUND, "not_found", NULL, "There is no such redirect URL.");
	jsonw_object(r->w, NULL);
	jsonw_text(r->w, "id", api_param(r, "redirect"));
	jsonw_bool(r->w, "deleted", true);
	jsonw_object_end(r->w);
	return RC_OK;
}

static enum rc remove_(struct api_request *r)
{
	return api_write(r, remove_write, NULL);
}

/* ---- the secret of final redirects -------------------------------------------------------------------- */

static enum rc secret_write(struct cx *cx, struct db_conn *c, struct api_request *r, void *arg)
{
	struct app app;
	enum rc rc = app_named(cx, c, r, &app);

	(void)arg;
	if (rc == RC_OK)
		rc = app_secret_renew(cx, c, r->api->vault, &app);
	if (rc != RC_OK)
		return rc;
	jsonw_object(r->w, NULL);
	jsonw_text(r->w, "appId", app.id);
	jsonw_text(r->w, "secret", SECRET_PLACE);
	jsonw_object_end(r->w);
	return RC_OK;
}

/* What rests for replays has a place instead of the secret. */
static enum rc secret_renew(struct api_request *r)
{
	enum rc rc = api_write(r, secret_write, NULL);
	struct db_conn *c;
	struct buf text;

	if (rc != RC_OK)
		return rc;
	buf_init(&text, 1024);
	c = db_take(r->api->db);
	rc = app_secret(r->cx, c, r->api->vault, r->identity.owner.organization_id, api_param(r, "id"), &text);
	db_give(c);
	if (rc == RC_OK)
		secret_fill(r, buf_text(&text));
	buf_wipe(&text);
	return rc;
}

const struct route redirect_routes[] = {
	{.method = "GET", .pattern = "/v1/apps/{id}/redirect-urls", .scope = "admin:read", .flags = ROUTE_PAGED, .handle = list,
		.operation = "listRedirectUrls", .summary = "Where connect sessions of an app may end", .answer = &answer},
	{.method = "POST", .pattern = "/v1/apps/{id}/redirect-urls", .scope = "admin:write", .flags = ROUTE_IDEMPOTENT | ROUTE_OR_200,
		.handle = add, .operation = "addRedirectUrl", .summary = "Allow one more", .fields = fields_new, .answer = &answer, .status = 201},
	{.method = "DELETE", .pattern = "/v1/apps/{id}/redirect-urls/{redirect}", .scope = "admin:write", .flags = ROUTE_IDEMPOTENT,
		.handle = remove_, .operation = "removeRedirectUrl", .summary = "Allow it no more"},
	{.method = "POST", .pattern = "/v1/apps/{id}/redirect-secret", .scope = "admin:write", .flags = ROUTE_IDEMPOTENT,
		.handle = secret_renew, .operation = "renewRedirectSecret",
		.summary = "A new secret that signs final redirects from now on, in place of the old one", .answer = &secret_answer},
	{0},
};
