/*
 * /v1/connect-sessions: a link for one person to connect one account.
 *
 * The one thing to know: connectUrl is in the answer of the call that made the session and nowhere else.  What is
 * kept for replays of that call has a place instead of its token (secret.h).
 */
#include "core/api/connect.h"

#include <string.h>

#include "core/api/page.h"
#include "core/api/routes.h"
#include "core/api/secret.h"
#include "core/base/clock.h"
#include "core/base/text.h"
#include "core/model/connection.h"
#include "core/model/enduser.h"
#include "core/model/redirect.h"

#define EXPIRES_DEFAULT 1800

/* ---- what goes over the wire ------------------------------------------------------------------------ */

static const char *const credential_modes[] = {"app_default", "customer", "managed", NULL};
static const char *const permissions[] = {"publish", "analytics", "engage", NULL};
static const char *const statuses[] = {
	"pending", "opened", "authorizing", "selecting", "completed", "failed", "expired", "canceled", "denied", NULL
};
static const struct field permission_fields[] = {{.name = "", .type = FIELD_ENUM, .words = permissions}, {0}};
static const struct field tag_fields[] = {{.name = "", .type = FIELD_TEXT, .min = 1, .max = 50}, {0}};
static const struct field branding_fields[] = {
	{.name = "name", .type = FIELD_TEXT, .min = 1, .max = 60, .help = "Of your product, as the person knows it."},
	{.name = "logoUrl", .type = FIELD_TEXT, .min = 9, .max = 1000, .help = "https."},
	{.name = "accentColor", .type = FIELD_TEXT, .min = 7, .max = 7, .help = "As #0b6e5f; made darker or lighter where it could not be read."},
	{.name = "hidePoweredBy", .type = FIELD_BOOL},
	{0},
};

/* Of both calls that make a session. */
#define FIELDS_COMMON \
	{.name = "redirectUrl", .type = FIELD_TEXT, .flags = FIELD_REQUIRED, .min = 1, .max = REDIRECT_MAX, \
		.help = "Where the browser goes at the end; must be on the app's list."}, \
	{.name = "state", .type = FIELD_TEXT, .max = 512, .help = "Echoed in the final redirect."}, \
	{.name = "allowAccountChange", .type = FIELD_BOOL, .help = "A renewal may end with another account."}, \
	{.name = "expiresInSeconds", .type = FIELD_INT, .min = 300, .max = 172800, .help = "Default 1800."}, \
	{.name = "singleUse", .type = FIELD_BOOL, .help = "Default true: the link ends with the first account connected."}, \
	{.name = "bindBrowser", .type = FIELD_BOOL, .help = "Default true: who begins in one browser ends in it."}, \
	{.name = "permissions", .type = FIELD_ARRAY, .max = 3, .fields = permission_fields}, \
	{.name = "locale", .type = FIELD_TEXT, .min = 2, .max = 35, .help = "BCP 47. The page is in English today."}, \
	{.name = "branding", .type = FIELD_OBJECT, .fields = branding_fields}, \
	{.name = "platformOptions", .type = FIELD_OPEN, .help = "By platform, as {\"mastodon\": {\"instanceUrl\": \"...\"}}."}, \
	{.name = "tags", .type = FIELD_ARRAY, .max = 20, .fields = tag_fields, .help = "Copied to the connection."}, \
	{.name = "metadata", .type = FIELD_MAP, .help = "Copied to the connection."}

static const struct field fields_new[] = {
	{.name = "externalUserId", .type = FIELD_TEXT, .min = 1, .max = 191, .help = "Whose account it is; or endUserId."},
	{.name = "endUserId", .type = FIELD_TEXT, .min = 1, .max = 200},
	{.name = "platform", .type = FIELD_TEXT, .flags = FIELD_REQUIRED, .min = 1, .max = 32, .help = "One per session."},
	{.name = "reconnectConnectionId", .type = FIELD_TEXT, .min = 1, .max = 40, .help = "The connection to be renewed."},
	{.name = "credentialMode", .type = FIELD_ENUM, .words = credential_modes, .help = "Default app_default."},
	FIELDS_COMMON,
	{0},
};
const struct field connect_reconnect_fields[] = {
	FIELDS_COMMON,
	{0},
};
static const struct field query_list[] = {
	{.name = "externalUserId", .type = FIELD_TEXT, .min = 1, .max = 191},
	{.name = "platform", .type = FIELD_TEXT, .min = 1, .max = 32},
	{.name = "status", .type = FIELD_ENUM, .words = statuses},
	{0},
};
static const struct field error_fields[] = {
	{.name = "code", .type = FIELD_TEXT},
	{.name = "message", .type = FIELD_TEXT},
	{0},
};
static const struct field id_fields[] = {{.name = "", .type = FIELD_TEXT}, {0}};
static const struct field answer_fields[] = {
	{.name = "id", .type = FIELD_TEXT},
	{.name = "status", .type = FIELD_ENUM, .words = statuses},
	{.name = "connectUrl", .type = FIELD_TEXT, .help = "Only in the answer of the call that made it."},
	{.name = "platform", .type = FIELD_TEXT},
	{.name = "endUserId", .type = FIELD_TEXT},
	{.name = "externalUserId", .type = FIELD_TEXT},
	{.name = "redirectUrl", .type = FIELD_TEXT},
	{.name = "reconnectConnectionId", .type = FIELD_TEXT, .flags = FIELD_NULLABLE},
	{.name = "credentialMode", .type = FIELD_TEXT},
	{.name = "permissions", .type = FIELD_ARRAY, .fields = permission_fields},
	{.name = "openCount", .type = FIELD_INT},
	{.name = "firstOpenedAt", .type = FIELD_TIME, .flags = FIELD_NULLABLE},
	{.name = "completedAt", .type = FIELD_TIME, .flags = FIELD_NULLABLE, .help = "When it ended, however it did."},
	{.name = "connectionIds", .type = FIELD_ARRAY, .fields = id_fields},
	{.name = "error", .type = FIELD_OBJECT, .flags = FIELD_NULLABLE, .fields = error_fields},
	{.name = "tags", .type = FIELD_ARRAY, .fields = tag_fields},
	{.name = "metadata", .type = FIELD_MAP},
	{.name = "expiresAt", .type = FIELD_TIME},
	{.name = "createdAt", .type = FIELD_TIME},
	{0},
};
const struct answer connect_session_answer = {"ConnectSession", answer_fields};

static void raw(struct jsonw *w, const char *key, const char *json, const char *fallback)
{
	const char *text = json ? json : fallback;

	jsonw_raw(w, key, text, text ? strlen(text) : 0);
}

static void session_write(struct api_request *r, const struct connect_session *s, bool fresh)
{
	struct jsonw *w = r->w;

	jsonw_object(w, NULL);
	jsonw_text(w, "id", s->id);
	jsonw_text(w, "status", connect_session_status(s, r->now));
	if (fresh)
		jsonw_text(w, "connectUrl", arena_printf(r->arena, "%s/connect/%s", r->api->public_url, SECRET_PLACE));
	jsonw_text(w, "platform", s->platform);
	jsonw_text(w, "endUserId", s->end_user_id);
	jsonw_text(w, "externalUserId", s->external_id);
	jsonw_text(w, "redirectUrl", s->redirect_url);
	jsonw_text(w, "reconnectConnectionId", s->reconnect_id);
	jsonw_text(w, "credentialMode", s->credential_mode);
	raw(w, "permissions", s->permissions, "[]");
	jsonw_int(w, "openCount", s->open_count);
	jsonw_time(w, "firstOpenedAt", s->opened_at);
	jsonw_time(w, "completedAt", s->completed_at);
	raw(w, "connectionIds", s->connection_ids, "[]");
	raw(w, "error", s->error, NULL);
	raw(w, "tags", s->tags, "[]");
	raw(w, "metadata", s->metadata, "{}");
	jsonw_time(w, "expiresAt", s->expires_at);
	jsonw_time(w, "createdAt", s->created_at);
	jsonw_object_end(w);
}

static enum rc not_found(struct cx *cx)
{
	return fail_code(cx, RC_NOT_FOUND, "connect_session_not_found", NULL, "There is no such connect session.");
}

/* ---- making one -------------------------------------------------------------------------------------- */

static bool colour(const char *text)
{
	return text == NULL || (text[0] == '#' && strlen(text) == 7 && strspn(text + 1, "0123456789abcdefABCDEF") == 6);
}

static void branding_check(struct api_request *r)
{
	const char *logo = json_text(json_path(r->body, "branding.logoUrl"));

	if (!colour(json_text(json_path(r->body, "branding.accentColor"))))
		api_issue(r, "field_invalid", "branding.accentColor", "A colour is written as #0b6e5f.");
	if (logo != NULL && (!text_starts(logo, "https://") || strpbrk(logo, " \"'<>\\\t\r\n")))
		api_issue(r, "field_invalid", "branding.logoUrl", "The logo must have an https URL.");
}

/* Where an instance is asked for, its address is the one thing that an app can say beforehand. */
static void option_check(struct api_request *r, const char *platform, const char *key, struct jv value)
{
	PLATFORM_AUTO const struct platform *p = platforms_take(r->api->platforms, platform);
	const char *at = arena_printf(r->arena, "platformOptions.%s.%s", platform, key);

	if (p != NULL && p->host_field != NULL && !text_eq(key, "instanceUrl"))
		api_issue(r, "unknown_field", at, "%s is not a field here; did you mean instanceUrl?", key);
	else if (json_text(value) == NULL || strlen(json_text(value)) > 2000)
		api_issue(r, "field_invalid", at, "%s must be a text, a number or a flag.", key);
}

/* Texts, numbers and flags of the session's own platform, and nothing else. */
static void options_check(struct api_request *r, const char *platform)
{
	struct jv all = field_value(r, "platformOptions"), own, value;
	const char *key;

	if (json_type(all) == JSON_NONE || json_type(all) == JSON_NULL)
		return;
	if (json_type(all) != JSON_OBJECT) {
		api_issue(r, "field_invalid", "platformOptions", "platformOptions must be an object.");
		return;
	}
	for (size_t i = 0; json_member(all, i, &key, &own); i++) {
		if (!text_eq(key, platform) || json_type(own) != JSON_OBJECT) {
			api_issue(r, "field_invalid", "platformOptions", "platformOptions holds one object, named %s.", platform);
			continue;
		}
		for (size_t j = 0; json_member(own, j, &key, &value); j++)
			option_check(r, platform, key, value);
	}
}

static void session_fields(struct api_request *r, struct connect_session *s)
{
	s->owner = r->identity.owner;
	s->redirect_url = field_text(r, "redirectUrl");
	s->client_state = field_text(r, "state");
	s->allow_change = field_bool(r, "allowAccountChange", false);
	s->bind_browser = field_bool(r, "bindBrowser", true);
	s->single_use = field_bool(r, "singleUse", true);
	s->permissions = field_json(r, "permissions");
	s->branding = field_json(r, "branding");
	s->platform_options = field_json(r, "platformOptions");
	s->tags = field_json(r, "tags");
	s->metadata = field_json(r, "metadata");
	s->locale = field_text(r, "locale");
	s->expires_at = r->now + field_int(r, "expiresInSeconds", EXPIRES_DEFAULT) * 1000;
}

static enum rc owner_of(struct cx *cx, struct db_conn *c, struct api_request *r, struct connect_new *n)
{
	struct enduser u;
	struct connection con;

	if (!enduser_find(c, &r->identity.owner, n->end_user ? n->end_user : n->s.end_user_id, r->arena, &u))
		return db_rc(c) != RC_OK ? db_fail(cx, c)
			: fail_code(cx, RC_NOT_FOUND, "end_user_not_found", "externalUserId", "There is no such end user.");
	n->s.end_user_id = u.id;
	n->s.external_id = u.external_id;
	if (n->s.reconnect_id == NULL)
		return RC_OK;
	if (!connection_find(c, &r->identity.owner, n->s.reconnect_id, r->arena, &con) || !text_eq(con.end_user_id, u.id)
	    || !text_eq(con.platform, n->s.platform))
		return db_rc(c) != RC_OK ? db_fail(cx, c)
			: fail_code(cx, RC_NOT_FOUND, "connection_not_found", "reconnectConnectionId", "There is no such connection.");
	return RC_OK;
}

static enum rc create_write(struct cx *cx, struct db_conn *c, struct api_request *r, void *arg)
{
	struct connect_new *n = arg;
	struct connect_session s;
	const char *client;
	char id[ID_MAX];
	PLATFORM_AUTO const struct platform *p = connect_platform(cx, r->api, r->identity.owner.live, n->s.platform, &n->s.provider);
	enum rc rc = p == NULL ? cx->rc : owner_of(cx, c, r, n);

	if (rc == RC_OK && !redirect_allowed(c, r->identity.owner.organization_id, r->identity.owner.app_id, n->s.redirect_url))
		rc = fail_code(cx, RC_INVALID, "redirect_url_not_allowed", "redirectUrl", "This URL is not on the app's list of redirect URLs.");
	if (rc == RC_OK)
		rc = connect_client(cx, c, r->api, &r->identity.owner, p, n->s.provider, n->wanted_mode, r->arena, &client, &n->s.credential_mode);
	if (rc == RC_OK)
		rc = connect_session_add(cx, c, r->api->vault, &n->s, id, r->now);
	if (rc != RC_OK)
		return rc;
	if (!connect_session_find(c, &r->identity.owner, id, r->arena, &s))
		return db_rc(c) != RC_OK ? db_fail(cx, c) : not_found(cx);
	session_write(r, &s, true);
	r->status = 201;
	return RC_OK;
}

/* The id is the first member of the answer, stored or new. */
static void token_fill(struct api_request *r)
{
	char token[CONNECT_TOKEN_MAX], id[ID_MAX];
	const char *at = strstr(buf_text(r->answer->body), "\"cs_");

	if (at == NULL)
		return;
	memset(id, 0, sizeof id);
	for (size_t i = 0; i + 1 < sizeof id && at[i + 1] != '"'; i++)
		id[i] = at[i + 1];
	connect_token(r->api->vault, id, token);
	secret_fill(r, token);
	explicit_bzero(token, sizeof token);
}

enum rc connect_session_create(struct api_request *r, struct connect_new *n)
{
	enum rc rc;

	branding_check(r);
	options_check(r, n->s.platform);
	if (api_issues(r) != RC_OK)
		return r->cx->rc;
	session_fields(r, &n->s);
	/* what is found in the sandbox is what its own address says */
	if (!r->identity.owner.live && r->api->conf->sandbox_public_url != NULL)
		n->s.issuer = r->api->conf->sandbox_public_url;
	rc = api_write(r, create_write, n);
	if (rc == RC_OK)
		token_fill(r);
	return rc;
}

static enum rc create(struct api_request *r)
{
	const char *external = field_text(r, "externalUserId"), *id = field_text(r, "endUserId"), *mode = field_text(r, "credentialMode");
	struct connect_new n = {
		.s = {.platform = field_text(r, "platform"), .reconnect_id = field_text(r, "reconnectConnectionId")},
		.end_user = external ? arena_printf(r->arena, "ext:%s", external) : id, .wanted_mode = mode ? mode : "app_default",
	};

	if ((external == NULL) == (id == NULL))
		api_issue(r, external ? "field_invalid" : "field_required", "externalUserId", "One of externalUserId and endUserId is needed.");
	return connect_session_create(r, &n);
}

/* ---- reading and ending ------------------------------------------------------------------------------ */

/* Looked at again whenever anything ends: with memory of its own. */
static bool ended(struct api_request *r, void *arg)
{
	ARENA_AUTO struct arena a;
	DB_READ_AUTO struct db_conn *c = db_take(r->api->db);
	struct connect_session s;

	(void)arg;
	arena_init(&a, 4u << 20);
	return !connect_session_find(c, &r->identity.owner, api_param(r, "id"), &a, &s) || connect_session_ended(&s, clock_now());
}

static enum rc read(struct api_request *r)
{
	struct connect_session s;
	enum rc rc = ended(r, NULL) ? RC_OK : api_wait(r, ended, NULL);
	struct db_conn *c;

	if (rc != RC_OK)
		return rc;
	r->now = clock_now();
	c = db_take(r->api->db);
	if (connect_session_find(c, &r->identity.owner, api_param(r, "id"), r->arena, &s))
		session_write(r, &s, false);
	else
		rc = db_rc(c) != RC_OK ? db_fail(r->cx, c) : not_found(r->cx);
	db_give(c);
	return rc;
}

static enum rc list(struct api_request *r)
{
	DB_READ_AUTO struct db_conn *c = db_take(r->api->db);
	struct connect_filter f = {.platform = api_query(r, "platform"), .status = api_query(r, "status")};
	const char *external = api_query(r, "externalUserId");
	struct enduser u = {.id = ""};
	struct connect_session s;
	struct stmt *q;
	struct page p;
	enum rc rc = page_read(r, &p);

	if (rc != RC_OK)
		return rc;
	if (external != NULL) {
		enduser_find(c, &r->identity.owner, arena_printf(r->arena, "ext:%s", external), r->arena, &u);
		f.end_user_id = u.id;
	}
	q = connect_session_list(c, &r->identity.owner, &f, p.after, p.limit + 1, r->now);
	page_begin(r);
	while (page_more(&p) && db_next(q)) {
		connect_session_row(q, r->arena, &s);
		page_row(&p, s.id);
		session_write(r, &s, false);
	}
	page_end(r, &p, !page_more(&p) && db_next(q));
	db_end(q);
	return db_rc(c) == RC_OK ? RC_OK : db_fail(r->cx, c);
}

static enum rc cancel_write(struct cx *cx, struct db_conn *c, struct api_request *r, void *arg)
{
	struct connect_session s;
	enum rc rc;

	(void)arg;
	if (!connect_session_find(c, &r->identity.owner, api_param(r, "id"), r->arena, &s))
		return db_rc(c) != RC_OK ? db_fail(cx, c) : not_found(cx);
	rc = connect_session_cancel(cx, c, &s, r->now);
	if (rc != RC_OK)
		return rc;
	connect_session_find(c, &r->identity.owner, s.id, r->arena, &s);
	session_write(r, &s, false);
	return RC_OK;
}

static enum rc cancel(struct api_request *r)
{
	return api_write(r, cancel_write, NULL);
}

const struct route connect_session_routes[] = {
	{.method = "POST", .pattern = "/v1/connect-sessions", .scope = "connect_sessions:write", .flags = ROUTE_IDEMPOTENT, .handle = create,
		.operation = "createConnectSession", .summary = "Make a link for an end user to connect an account", .fields = fields_new,
		.answer = &connect_session_answer, .status = 201},
	{.method = "GET", .pattern = "/v1/connect-sessions", .scope = "connect_sessions:read", .flags = ROUTE_PAGED, .handle = list,
		.operation = "listConnectSessions", .summary = "Connect sessions, oldest first", .query = query_list,
		.answer = &connect_session_answer},
	{.method = "GET", .pattern = "/v1/connect-sessions/{id}", .scope = "connect_sessions:read", .flags = ROUTE_LONG_POLL, .handle = read,
		.operation = "getConnectSession", .summary = "One connect session; wait holds the answer until it has ended",
		.answer = &connect_session_answer},
	{.method = "POST", .pattern = "/v1/connect-sessions/{id}/cancel", .scope = "connect_sessions:write", .flags = ROUTE_IDEMPOTENT,
		.handle = cancel, .operation = "cancelConnectSession", .summary = "Withdraw the link", .answer = &connect_session_answer},
	{0},
};
