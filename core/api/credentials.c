/*
 * /v1/apps/{id}/provider-credentials/{platform}: an app's own OAuth client at a platform.
 *
 * The one thing to know: a platform without credentials is shown too, because its callbackUrl has to be entered
 * in the platform's console before there can be any.  The secret goes in and never comes out.
 */
#include "core/api/apps.h"

#include <string.h>

#include "core/api/connect.h"
#include "core/api/page.h"
#include "core/api/routes.h"
#include "core/base/text.h"
#include "core/model/credential.h"

static const char *const modes[] = {"customer", "managed", NULL};
static const struct field scope_fields[] = {{.name = "", .type = FIELD_TEXT, .min = 1, .max = 200}, {0}};
static const struct field fields_put[] = {
	{.name = "mode", .type = FIELD_ENUM, .words = modes, .help = "customer: your own client (default); managed: this installation's."},
	{.name = "clientId", .type = FIELD_TEXT, .min = 1, .max = 512, .help = "As the platform's console shows it."},
	{.name = "clientSecret", .type = FIELD_TEXT, .flags = FIELD_NULLABLE, .min = 1, .max = 4096,
		.help = "Written only. Absent keeps the one that is stored for this clientId; null removes it."},
	{.name = "scopes", .type = FIELD_ARRAY, .flags = FIELD_NULLABLE, .max = 50, .fields = scope_fields,
		.help = "Instead of the scopes that the platform's provider asks for."},
	{.name = "extra", .type = FIELD_MAP, .flags = FIELD_NULLABLE, .help = "What else the platform wants of an app."},
	{0},
};
static const struct field answer_fields[] = {
	{.name = "platform", .type = FIELD_TEXT},
	{.name = "mode", .type = FIELD_TEXT, .flags = FIELD_NULLABLE},
	{.name = "status", .type = FIELD_TEXT, .help = "active or not_configured."},
	{.name = "clientId", .type = FIELD_TEXT, .flags = FIELD_NULLABLE, .help = "Masked."},
	{.name = "hasSecret", .type = FIELD_BOOL},
	{.name = "scopes", .type = FIELD_ARRAY, .flags = FIELD_NULLABLE, .fields = scope_fields},
	{.name = "extra", .type = FIELD_MAP},
	{.name = "callbackUrl", .type = FIELD_TEXT, .help = "To be registered at the platform, byte for byte."},
	{.name = "version", .type = FIELD_INT},
	{.name = "lastVerifiedAt", .type = FIELD_TIME, .flags = FIELD_NULLABLE},
	{.name = "createdAt", .type = FIELD_TIME, .flags = FIELD_NULLABLE},
	{.name = "updatedAt", .type = FIELD_TIME, .flags = FIELD_NULLABLE},
	{0},
};
static const struct answer answer = {"ProviderCredential", answer_fields};

/* "abcd…wxyz"; short ones show their first two characters.  Ids are ASCII in practice; others show nothing. */
static const char *masked(struct arena *a, const char *id)
{
	size_t n = id ? strlen(id) : 0;

	if (n == 0)
		return NULL;
	if (text_points(id) != n)
		return "\xE2\x80\xA6";
	return n < 12 ? arena_printf(a, "%.2s\xE2\x80\xA6", id) : arena_printf(a, "%.4s\xE2\x80\xA6%s", id, id + n - 4);
}

static void credential_write(struct api_request *r, const char *platform, const struct credential *k)
{
	struct jsonw *w = r->w;

	jsonw_object(w, NULL);
	jsonw_text(w, "platform", platform);
	jsonw_text(w, "mode", k ? k->mode : NULL);
	jsonw_text(w, "status", k ? "active" : "not_configured");
	jsonw_text(w, "clientId", k ? masked(r->arena, k->client_id) : NULL);
	jsonw_bool(w, "hasSecret", k && k->secret);
	jsonw_raw(w, "scopes", k ? k->scopes : NULL, k && k->scopes ? strlen(k->scopes) : 0);
	jsonw_raw(w, "extra", k && k->extra ? k->extra : "{}", k && k->extra ? strlen(k->extra) : 2);
	jsonw_text(w, "callbackUrl", connect_callback_url(r->api, r->arena, platform));
	jsonw_int(w, "version", k ? k->version : 0);
	jsonw_time(w, "lastVerifiedAt", k ? k->verified_at : 0);
	jsonw_time(w, "createdAt", k ? k->created_at : 0);
	jsonw_time(w, "updatedAt", k ? k->updated_at : 0);
	jsonw_object_end(w);
}

/* The app of the path, and whether its platform is one that can have credentials. */
static enum rc place(struct cx *cx, struct db_conn *c, struct api_request *r, struct app *ret)
{
	const char *id = api_param(r, "platform");
	PLATFORM_AUTO const struct platform *p = id ? platforms_take(r->api->platforms, id) : NULL;
	enum rc rc = app_named(cx, c, r, ret);

	if (rc != RC_OK)
		return rc;
	if (id != NULL && (p == NULL || p->sandbox))
		return fail_code(cx, RC_INVALID, "platform_unknown", "platform", "This server has no platform %s.", id);
	return RC_OK;
}

static enum rc list(struct api_request *r)
{
	DB_READ_AUTO struct db_conn *c = db_take(r->api->db);
	struct credential k;
	struct stmt *s;
	struct app app;
	struct page p;
	enum rc rc = page_read(r, &p);

	if (rc == RC_OK)
		rc = place(r->cx, c, r, &app);
	if (rc != RC_OK)
		return rc;
	s = credential_list(c, app.organization_id, app.id, p.after, p.limit + 1);
	page_begin(r);
	while (page_more(&p) && db_next(s)) {
		credential_row(s, r->arena, &k);
		page_row(&p, k.platform);
		credential_write(r, k.platform, &k);
	}
	page_end(r, &p, !page_more(&p) && db_next(s));
	db_end(s);
	return db_rc(c) == RC_OK ? RC_OK : db_fail(r->cx, c);
}

static enum rc answer_now(struct cx *cx, struct db_conn *c, struct api_request *r, const struct app *app)
{
	const char *platform = api_param(r, "platform");
	struct credential k;
	bool has = credential_find(c, app->organization_id, app->id, platform, r->arena, &k);

	api_etag(r, has ? k.version : 0);
	credential_write(r, platform, has ? &k : NULL);
	return db_rc(c) == RC_OK ? RC_OK : db_fail(cx, c);
}

static enum rc read(struct api_request *r)
{
	DB_READ_AUTO struct db_conn *c = db_take(r->api->db);
	struct app app;
	enum rc rc = place(r->cx, c, r, &app);

	return rc != RC_OK ? rc : answer_now(r->cx, c, r, &app);
}

/* The version that If-Match speaks of, and its match. */
static enum rc match(struct cx *cx, struct db_conn *c, struct api_request *r, const struct app *app)
{
	struct credential k = {.version = 0};

	credential_find(c, app->organization_id, app->id, api_param(r, "platform"), r->arena, &k);
	return api_if_match(cx, r, k.version);
}

static enum rc put_write(struct cx *cx, struct db_conn *c, struct api_request *r, void *arg)
{
	struct credential_new *n = arg;
	struct app app;
	enum rc rc = place(cx, c, r, &app);

	if (rc == RC_OK)
		rc = match(cx, c, r, &app);
	if (rc != RC_OK)
		return rc;
	n->organization_id = app.organization_id;
	n->app_id = app.id;
	rc = credential_put(cx, c, r->api->vault, n, r->now);
	return rc != RC_OK ? rc : answer_now(cx, c, r, &app);
}

static enum rc put(struct api_request *r)
{
	const char *mode = field_text(r, "mode"), *client = field_text(r, "clientId"), *secret = field_text(r, "clientSecret");
	struct credential_new n = {
		.platform = api_param(r, "platform"), .mode = mode ? mode : "customer", .client_id = client, .scopes = field_json(r, "scopes"),
		.extra = field_json(r, "extra"), .secret_given = field_has(r, "clientSecret"), .secret = secret,
	};

	if (text_eq(n.mode, "customer") && client == NULL)
		api_issue(r, "field_required", "clientId", "clientId is required for a client of your own.");
	if (text_eq(n.mode, "managed") && (client != NULL || secret != NULL))
		api_issue(r, "field_invalid", "clientId", "A managed client has no clientId or clientSecret of yours.");
	if (api_issues(r) != RC_OK)
		return r->cx->rc;
	n.secret_given = n.secret_given || text_eq(n.mode, "managed");
	return api_write(r, put_write, &n);
}

static enum rc remove_write(struct cx *cx, struct db_conn *c, struct api_request *r, void *arg)
{
	struct app app;
	enum rc rc = place(cx, c, r, &app);

	(void)arg;
	if (rc == RC_OK)
		rc = match(cx, c, r, &app);
	if (rc != RC_OK)
		return rc;
	if (!credential_remove(c, app.organization_id, app.id, api_param(r, "platform"), r->now))
		return db_rc(c) != RC_OK ? db_fail(cx, c) : fail_code(cx, RC_NOT_FOUND, "not_found", NULL, "There are no such credentials.");
	return answer_now(cx, c, r, &app);
}

static enum rc remove_(struct api_request *r)
{
	return api_write(r, remove_write, NULL);
}

const struct route credential_routes[] = {
	{.method = "GET", .pattern = "/v1/apps/{id}/provider-credentials", .scope = "admin:read", .flags = ROUTE_PAGED, .handle = list,
		.operation = "listProviderCredentials", .summary = "An app's own clients at platforms", .answer = &answer},
	{.method = "GET", .pattern = "/v1/apps/{id}/provider-credentials/{platform}", .scope = "admin:read", .handle = read,
		.operation = "getProviderCredential", .summary = "An app's client at one platform, without its secret", .answer = &answer},
	{.method = "PUT", .pattern = "/v1/apps/{id}/provider-credentials/{platform}", .scope = "admin:write",
		.flags = ROUTE_IDEMPOTENT | ROUTE_IF_MATCH, .handle = put,
		.operation = "putProviderCredential", .summary = "Set it; tokens remember the version that issued them",
		.fields = fields_put, .answer = &answer},
	{.method = "DELETE", .pattern = "/v1/apps/{id}/provider-credentials/{platform}", .scope = "admin:write",
		.flags = ROUTE_IDEMPOTENT | ROUTE_IF_MATCH, .handle = remove_,
		.operation = "deleteProviderCredential", .summary = "Let no new session use it", .answer = &answer},
	{0},
};
