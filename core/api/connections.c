/*
 * /v1/connections: connected accounts.
 *
 * The one thing to know: what an account can do (capabilities) is worked out from the provider's descriptor each
 * time it is shown, so it follows a new version of the provider.
 */
#include "core/api/connect.h"

#include <string.h>

#include "core/api/page.h"
#include "core/api/routes.h"
#include "core/base/clock.h"
#include "core/base/text.h"
#include "core/model/connection.h"
#include "core/model/enduser.h"
#include "core/model/operation.h"
#include "core/model/scope.h"

#define CHECK_WAIT_MS 8000

/* ---- what goes over the wire ------------------------------------------------------------------------ */

static const char *const statuses[] = {"active", "expiring", "reauth_required", "revoked", "paused", "disconnected", NULL};
static const struct field tag_fields[] = {{.name = "", .type = FIELD_TEXT, .min = 1, .max = 50}, {0}};
static const struct field text_fields[] = {{.name = "", .type = FIELD_TEXT}, {0}};
static const struct field fields_patch[] = {
	{.name = "label", .type = FIELD_TEXT, .flags = FIELD_NULLABLE, .max = 200, .help = "Your own name of this account."},
	{.name = "tags", .type = FIELD_ARRAY, .flags = FIELD_NULLABLE, .max = 20, .fields = tag_fields},
	{.name = "metadata", .type = FIELD_MAP, .flags = FIELD_NULLABLE},
	{.name = "paused", .type = FIELD_BOOL, .help = "Posts wait until it is false again."},
	{0},
};
static const struct field query_list[] = {
	{.name = "externalUserId", .type = FIELD_TEXT, .min = 1, .max = 191},
	{.name = "endUserId", .type = FIELD_TEXT, .min = 1, .max = 200},
	{.name = "platform", .type = FIELD_TEXT, .min = 1, .max = 32},
	{.name = "status", .type = FIELD_ENUM, .words = statuses},
	{.name = "tag", .type = FIELD_TEXT, .min = 1, .max = 50},
	{0},
};
static const struct field answer_fields[] = {
	{.name = "id", .type = FIELD_TEXT},
	{.name = "endUserId", .type = FIELD_TEXT},
	{.name = "externalUserId", .type = FIELD_TEXT},
	{.name = "platform", .type = FIELD_TEXT},
	{.name = "livemode", .type = FIELD_BOOL},
	{.name = "remoteAccountId", .type = FIELD_TEXT},
	{.name = "username", .type = FIELD_TEXT, .flags = FIELD_NULLABLE},
	{.name = "displayName", .type = FIELD_TEXT, .flags = FIELD_NULLABLE},
	{.name = "avatarUrl", .type = FIELD_TEXT, .flags = FIELD_NULLABLE},
	{.name = "accountType", .type = FIELD_TEXT, .flags = FIELD_NULLABLE},
	{.name = "label", .type = FIELD_TEXT, .flags = FIELD_NULLABLE},
	{.name = "status", .type = FIELD_ENUM, .words = statuses},
	{.name = "statusReason", .type = FIELD_TEXT, .flags = FIELD_NULLABLE},
	{.name = "grantedScopes", .type = FIELD_ARRAY, .fields = text_fields},
	{.name = "missingPermissions", .type = FIELD_ARRAY, .fields = text_fields},
	{.name = "capabilities", .type = FIELD_OPEN, .help = "Name to true, of what this account can do."},
	{.name = "limits", .type = FIELD_OPEN, .help = "Path to value, where this account or its server has limits of its own, as text.max."},
	{.name = "credentialMode", .type = FIELD_TEXT},
	{.name = "tokenExpiresAt", .type = FIELD_TIME, .flags = FIELD_NULLABLE},
	{.name = "refreshable", .type = FIELD_BOOL},
	{.name = "lastRefreshedAt", .type = FIELD_TIME, .flags = FIELD_NULLABLE},
	{.name = "nextRefreshAt", .type = FIELD_TIME, .flags = FIELD_NULLABLE},
	{.name = "refreshFailureCount", .type = FIELD_INT},
	{.name = "lastCheckedAt", .type = FIELD_TIME, .flags = FIELD_NULLABLE},
	{.name = "lastPublishedAt", .type = FIELD_TIME, .flags = FIELD_NULLABLE},
	{.name = "tags", .type = FIELD_ARRAY, .fields = tag_fields},
	{.name = "metadata", .type = FIELD_MAP},
	{.name = "createdAt", .type = FIELD_TIME},
	{.name = "updatedAt", .type = FIELD_TIME},
	{0},
};
static const struct answer answer = {"Connection", answer_fields};

static const struct field check_fields[] = {
	{.name = "status", .type = FIELD_TEXT, .help = "Of the connection, after the look."},
	{.name = "checkedAt", .type = FIELD_TIME, .flags = FIELD_NULLABLE},
	{.name = "missingPermissions", .type = FIELD_ARRAY, .fields = text_fields},
	{.name = "operationId", .type = FIELD_TEXT},
	{.name = "operationStatus", .type = FIELD_TEXT, .help = "running (with 202), done, failed or parked."},
	{0},
};
static const struct answer check_answer = {"ConnectionCheck", check_fields};

static void raw(struct jsonw *w, const char *key, const char *json, const char *fallback)
{
	jsonw_raw(w, key, json ? json : fallback, strlen(json ? json : fallback));
}

static void scopes_write(struct jsonw *w, const char *scopes)
{
	size_t len;

	jsonw_array(w, "grantedScopes");
	for (const char *at = scope_next(scopes ? scopes : "", &len); len > 0; at = scope_next(at + len, &len))
		jsonw_textn(w, NULL, at, len);
	jsonw_array_end(w);
}

/* A limit as it is in the descriptor: a number where it is one, a list where it can have several lines. */
static void limit_write(struct jsonw *w, const char *path, const char *text)
{
	const char *last = strrchr(path, '.');
	int64_t n;

	if (text_int(text, &n)) {
		jsonw_int(w, path, n);
		return;
	}
	if (strchr(text, '\n') == NULL && !text_eq(last, ".mime")) {
		jsonw_text(w, path, text);
		return;
	}
	jsonw_array(w, path);
	for (size_t len; *text != '\0'; text += len + (text[len] == '\n')) {
		len = strcspn(text, "\n");
		jsonw_textn(w, NULL, text, len);
	}
	jsonw_array_end(w);
}

static void limits_write(struct api_request *r, const struct connection *n)
{
	struct jv root, value;
	const char *path;
	struct cx cx;

	cx_init(&cx, r->id);
	jsonw_object(r->w, "limits");
	if (n->limits != NULL && json_parse(&cx, r->arena, n->limits, strlen(n->limits), &root) == RC_OK)
		for (size_t i = 0; json_member(root, i, &path, &value); i++)
			limit_write(r->w, path, json_text_or(value, ""));
	jsonw_object_end(r->w);
}

static void capabilities_write(struct jsonw *w, const struct platform *p)
{
	jsonw_object(w, "capabilities");
	for (const char *const *k = p ? p->capabilities : NULL; k != NULL && *k != NULL; k++)
		jsonw_bool(w, text_eq(*k, "first_comment") ? "firstComment" : text_eq(*k, "alt_text") ? "altText" : *k, true);
	jsonw_object_end(w);
}

static void account_write(struct jsonw *w, const struct connection *n)
{
	jsonw_text(w, "id", n->id);
	jsonw_text(w, "endUserId", n->end_user_id);
	jsonw_text(w, "externalUserId", n->external_id);
	jsonw_text(w, "platform", n->platform);
	jsonw_bool(w, "livemode", n->owner.live != 0);
	jsonw_text(w, "remoteAccountId", n->remote_id);
	jsonw_text(w, "username", n->username);
	jsonw_text(w, "displayName", n->display_name);
	jsonw_text(w, "avatarUrl", n->avatar_url);
	jsonw_text(w, "accountType", n->account_type);
	jsonw_text(w, "label", n->label);
	jsonw_text(w, "status", connection_status(n));
	jsonw_text(w, "statusReason", n->reason);
}

static void token_write(struct jsonw *w, const struct connection *n)
{
	jsonw_text(w, "credentialMode", n->credential_id ? "customer" : "managed");
	jsonw_time(w, "tokenExpiresAt", n->expires_at);
	jsonw_bool(w, "refreshable", n->refreshable != 0);
	jsonw_time(w, "lastRefreshedAt", n->refreshed_at);
	jsonw_time(w, "nextRefreshAt", n->refresh_at);
	jsonw_int(w, "refreshFailureCount", n->refresh_failures);
}

static void connection_write(struct api_request *r, const struct connection *n)
{
	PLATFORM_AUTO const struct platform *p = platforms_take(r->api->platforms, n->provider);
	struct jsonw *w = r->w;

	jsonw_object(w, NULL);
	account_write(w, n);
	scopes_write(w, n->scopes);
	raw(w, "missingPermissions", n->missing, "[]");
	capabilities_write(w, p);
	limits_write(r, n);
	token_write(w, n);
	jsonw_time(w, "lastCheckedAt", n->checked_at);
	jsonw_time(w, "lastPublishedAt", n->published_at);
	raw(w, "tags", n->tags, "[]");
	raw(w, "metadata", n->metadata, "{}");
	jsonw_time(w, "createdAt", n->created_at);
	jsonw_time(w, "updatedAt", n->updated_at);
	jsonw_object_end(w);
}

/* ---- reading ----------------------------------------------------------------------------------------- */

static enum rc find(struct cx *cx, struct db_conn *c, struct api_request *r, struct connection *ret)
{
	if (connection_find(c, &r->identity.owner, api_param(r, "id"), r->arena, ret))
		return RC_OK;
	return db_rc(c) != RC_OK ? db_fail(cx, c) : fail_code(cx, RC_NOT_FOUND, "connection_not_found", NULL, "There is no such connection.");
}

static enum rc answer_now(struct cx *cx, struct db_conn *c, struct api_request *r)
{
	struct connection n;
	enum rc rc = find(cx, c, r, &n);

	if (rc != RC_OK)
		return rc;
	api_etag(r, n.version);
	connection_write(r, &n);
	return RC_OK;
}

static enum rc read(struct api_request *r)
{
	DB_READ_AUTO struct db_conn *c = db_take(r->api->db);

	return answer_now(r->cx, c, r);
}

static bool tagged(struct api_request *r, const struct connection *n, const char *tag)
{
	struct jv list;
	struct cx cx;

	cx_init(&cx, r->id);
	if (tag == NULL)
		return true;
	if (n->tags == NULL || json_parse(&cx, r->arena, n->tags, strlen(n->tags), &list) != RC_OK)
		return false;
	for (size_t i = 0; i < json_count(list); i++)
		if (text_eq(json_text(json_at(list, i)), tag))
			return true;
	return false;
}

static bool filter_read(struct db_conn *c, struct api_request *r, struct connection_filter *f)
{
	const char *external = api_query(r, "externalUserId"), *id = api_query(r, "endUserId");
	struct enduser u = {.id = ""};

	*f = (struct connection_filter){.platform = api_query(r, "platform"), .status = api_query(r, "status")};
	if (external == NULL && id == NULL)
		return true;
	enduser_find(c, &r->identity.owner, external ? arena_printf(r->arena, "ext:%s", external) : id, r->arena, &u);
	f->end_user_id = u.id;
	return external == NULL || id == NULL || text_eq(u.id, id);
}

/* A tag is looked for row by row; a list without one asks for a page and one row more. */
static enum rc list(struct api_request *r)
{
	DB_READ_AUTO struct db_conn *c = db_take(r->api->db);
	const char *tag = api_query(r, "tag");
	struct connection_filter f;
	struct connection n;
	struct stmt *s;
	struct page p;
	bool more = false;
	enum rc rc = page_read(r, &p);

	if (rc != RC_OK)
		return rc;
	s = filter_read(c, r, &f) ? connection_list(c, &r->identity.owner, &f, p.after, tag ? 100000 : p.limit + 1) : NULL;
	page_begin(r);
	while (!more && db_next(s)) {
		connection_row(s, r->arena, &n);
		if (!tagged(r, &n, tag))
			continue;
		more = !page_more(&p);
		if (more)
			break;
		page_row(&p, n.id);
		connection_write(r, &n);
	}
	page_end(r, &p, more);
	db_end(s);
	return db_rc(c) == RC_OK ? RC_OK : db_fail(r->cx, c);
}

/* ---- changing ---------------------------------------------------------------------------------------- */

static enum rc patch_write(struct cx *cx, struct db_conn *c, struct api_request *r, void *arg)
{
	const struct connection_change ch = {
		.label = {field_has(r, "label"), field_text(r, "label")}, .tags = {field_has(r, "tags"), field_json(r, "tags")},
		.metadata = {field_has(r, "metadata"), field_json(r, "metadata")}, .paused_given = field_has(r, "paused"),
		.paused = field_bool(r, "paused", false),
	};
	struct connection n;
	enum rc rc = find(cx, c, r, &n);

	(void)arg;
	if (rc == RC_OK)
		rc = api_if_match(cx, r, n.version);
	if (rc != RC_OK)
		return rc;
	connection_patch(c, &n, &ch, r->now);
	return answer_now(cx, c, r);
}

static enum rc patch(struct api_request *r)
{
	enum rc rc = api_write(r, patch_write, NULL);

	connect_wake(r);
	return rc;
}

static enum rc delete_write(struct cx *cx, struct db_conn *c, struct api_request *r, void *arg)
{
	struct connection n;
	enum rc rc = find(cx, c, r, &n);

	(void)arg;
	if (rc == RC_OK)
		rc = api_if_match(cx, r, n.version);
	if (rc != RC_OK)
		return rc;
	connection_let_go(c, r->api->platforms, &n, r->now);
	return answer_now(cx, c, r);
}

static enum rc delete(struct api_request *r)
{
	enum rc rc = api_write(r, delete_write, NULL);

	connect_wake(r);
	return rc;
}

/* ---- looking at the account --------------------------------------------------------------------------- */

static enum rc check_write(struct cx *cx, struct db_conn *c, struct api_request *r, void *arg)
{
	struct connection n;
	enum rc rc = find(cx, c, r, &n);

	if (rc != RC_OK)
		return rc;
	PLATFORM_AUTO const struct platform *p = platforms_take(r->api->platforms, n.provider);
	if (text_eq(n.status, "disconnected"))
		return fail_code(cx, RC_CONFLICT, "connection_reauth_required", NULL, "The connection is disconnected.");
	if (p == NULL || !platform_has(p, "check"))
		return fail_code(cx, RC_INVALID, "option_not_supported", NULL, "Accounts of this platform cannot be checked.");
	connection_check(c, &n, arg, r->now);
	return db_rc(c) == RC_OK ? RC_OK : db_fail(cx, c);
}

/* "running", "done", ... of an operation that we started; NULL if it cannot be read. */
static const char *operation_status(struct api_request *r, const char *id)
{
	static const char *const names[] = {"running", "done", "failed", "parked"};
	DB_READ_AUTO struct db_conn *c = db_take(r->api->db);
	STMT_AUTO struct stmt *s = db_query(c, "SELECT status FROM operation WHERE id = ?1 AND organization_id = ?2", "ss", id,
					    r->identity.owner.organization_id);

	if (db_next(s))
		for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
			if (text_eq(db_text(s, 0), names[i]))
				return names[i];
	return "failed";
}

static enum rc check_answer_write(struct api_request *r, const char *operation_id, const char *status)
{
	DB_READ_AUTO struct db_conn *c = db_take(r->api->db);
	struct connection n;
	enum rc rc = find(r->cx, c, r, &n);

	if (rc != RC_OK)
		return rc;
	jsonw_object(r->w, NULL);
	jsonw_text(r->w, "status", connection_status(&n));
	jsonw_time(r->w, "checkedAt", n.checked_at);
	raw(r->w, "missingPermissions", n.missing, "[]");
	jsonw_text(r->w, "operationId", operation_id);
	jsonw_text(r->w, "operationStatus", status);
	jsonw_object_end(r->w);
	r->status = text_eq(status, "running") ? 202 : 200;
	return RC_OK;
}

/* Not kept for replays: a look is harmless, and its answer is of its moment. */
static enum rc check(struct api_request *r)
{
	char id[ID_MAX];
	struct connect_wait w;
	const char *status;
	enum rc rc = connect_write(r, check_write, id);

	if (rc != RC_OK)
		return rc;
	connect_wake(r);
	connect_wait_begin(r, &w, CHECK_WAIT_MS);
	do
		status = operation_status(r, id);
	while (text_eq(status, "running") && connect_wait_more(r, &w));
	connect_wait_end(r, &w);
	return check_answer_write(r, id, status);
}

/* ---- renewing ---------------------------------------------------------------------------------------- */

static enum rc reconnect(struct api_request *r)
{
	struct db_conn *c = db_take(r->api->db);
	struct connection n;
	enum rc rc = find(r->cx, c, r, &n);

	db_give(c);
	if (rc != RC_OK)
		return rc;
	struct connect_new session = {
		.s = {.platform = n.platform, .reconnect_id = n.id, .end_user_id = n.end_user_id}, .wanted_mode = "app_default",
	};
	return connect_session_create(r, &session);
}

const struct route connection_routes[] = {
	{.method = "GET", .pattern = "/v1/connections", .scope = "connections:read", .flags = ROUTE_PAGED, .handle = list,
		.operation = "listConnections", .summary = "Connected accounts, oldest first", .query = query_list, .answer = &answer},
	{.method = "GET", .pattern = "/v1/connections/{id}", .scope = "connections:read", .handle = read, .operation = "getConnection",
		.summary = "One connected account", .answer = &answer},
	{.method = "PATCH", .pattern = "/v1/connections/{id}", .scope = "connections:write", .flags = ROUTE_IDEMPOTENT | ROUTE_IF_MATCH,
		.handle = patch, .operation = "updateConnection", .summary = "Name, tag or pause it", .fields = fields_patch, .answer = &answer},
	{.method = "DELETE", .pattern = "/v1/connections/{id}", .scope = "connections:write", .flags = ROUTE_IDEMPOTENT | ROUTE_IF_MATCH,
		.handle = delete, .operation = "deleteConnection", .summary = "Let go of the account; its posts wait until it is connected again",
		.answer = &answer},
	{.method = "POST", .pattern = "/v1/connections/{id}/check", .scope = "connections:write", .flags = ROUTE_OR_202, .handle = check,
		.operation = "checkConnection", .summary = "Look at the account now", .answer = &check_answer},
	{.method = "POST", .pattern = "/v1/connections/{id}/reconnect", .scope = "connect_sessions:write", .flags = ROUTE_IDEMPOTENT,
		.handle = reconnect, .operation = "reconnectConnection", .summary = "Make a link that renews this connection",
		.fields = connect_reconnect_fields, .answer = &connect_session_answer, .status = 201},
	{0},
};
