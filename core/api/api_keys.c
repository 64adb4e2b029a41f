/*
 * /v1/apps/{id}/api-keys: making keys, changing them over, taking them back.
 *
 * The one thing to know: the text of a key stands in the answer that made it and nowhere else, not even in the
 * answer that is kept for its Idempotency-Key: a replay shows the object without `key`.  Who lost the answer
 * revokes that key and makes another.
 *
 * No key makes one that can do more than itself: not with other scopes, and a test key knows test keys only.
 */
#include "core/api/apps.h"

#include <string.h>

#include "core/api/page.h"
#include "core/api/routes.h"
#include "core/api/secret.h"
#include "core/base/text.h"
#include "core/base/zone.h"
#include "core/model/apikey.h"

#define OVERLAP_MAX (7 * 24 * 3600)

static const char *const modes[] = {"live", "test", NULL};
static const char *const statuses[] = {"active", "expired", "revoked", NULL};
static const struct field scope_words[] = {{.name = "", .type = FIELD_ENUM, .words = apikey_scopes}, {0}};

static const struct field fields_new[] = {
	{.name = "name", .type = FIELD_TEXT, .flags = FIELD_REQUIRED, .min = 1, .max = 100, .help = "For people: where the key is used."},
	{.name = "mode", .type = FIELD_ENUM, .flags = FIELD_REQUIRED, .words = modes, .help = "A test key makes test keys only."},
	{.name = "scopes", .type = FIELD_ARRAY, .flags = FIELD_REQUIRED, .min = 1, .max = 32, .fields = scope_words,
		.help = "To write is to read; all, alone, is every scope. Only scopes that the calling key has itself."},
	{.name = "expiresAt", .type = FIELD_TIME, .flags = FIELD_NULLABLE, .help = "From then on the key is refused; without it, never."},
	{0},
};
static const struct field fields_rotate[] = {
	{.name = "overlapSeconds", .type = FIELD_INT, .min = 0, .max = OVERLAP_MAX,
		.help = "How long the old key stays good beside the new one; 0, also without it: it ends at once."},
	{0},
};

#define KEY_FIELDS \
	{.name = "id", .type = FIELD_TEXT}, \
	{.name = "appId", .type = FIELD_TEXT}, \
	{.name = "name", .type = FIELD_TEXT}, \
	{.name = "prefix", .type = FIELD_TEXT, .help = "How the key's text begins."}, \
	{.name = "mode", .type = FIELD_ENUM, .words = modes}, \
	{.name = "livemode", .type = FIELD_BOOL}, \
	{.name = "scopes", .type = FIELD_ARRAY, .fields = scope_words}, \
	{.name = "status", .type = FIELD_ENUM, .words = statuses}, \
	{.name = "expiresAt", .type = FIELD_TIME, .flags = FIELD_NULLABLE}, \
	{.name = "revokedAt", .type = FIELD_TIME, .flags = FIELD_NULLABLE}, \
	{.name = "lastUsedAt", .type = FIELD_TIME, .flags = FIELD_NULLABLE, .help = "To the minute."}, \
	{.name = "createdAt", .type = FIELD_TIME}

#define KEY_TEXT {.name = "key", .type = FIELD_TEXT, .help = "The text of the key, shown here only: a replayed answer lacks it."}

static const struct field answer_fields[] = {KEY_FIELDS, {0}};
static const struct answer answer = {"ApiKey", answer_fields};

static const struct field made_fields[] = {KEY_FIELDS, KEY_TEXT, {0}};
static const struct answer made_answer = {"NewApiKey", made_fields};

static const struct field replaced_fields[] = {
	{.name = "id", .type = FIELD_TEXT},
	{.name = "expiresAt", .type = FIELD_TIME, .help = "The end of the old key."},
	{0},
};
static const struct field rotated_fields[] = {
	KEY_FIELDS, {.name = "replaces", .type = FIELD_OBJECT, .fields = replaced_fields}, KEY_TEXT, {0},
};
static const struct answer rotated_answer = {"RotatedApiKey", rotated_fields};

/* ---- what is shown ------------------------------------------------------------------------------------ */

static void scopes_write(struct jsonw *w, const char *list)
{
	jsonw_array(w, "scopes");
	for (size_t n; *list; list += n, list += strspn(list, " ")) {
		n = strcspn(list, " ");
		jsonw_textn(w, NULL, list, n);
	}
	jsonw_array_end(w);
}

/* The members; the object is the caller's. */
static void key_members(struct api_request *r, const char *app_id, const struct apikey_row *k)
{
	struct jsonw *w = r->w;

	jsonw_text(w, "id", k->id);
	jsonw_text(w, "appId", app_id);
	jsonw_text(w, "name", k->name);
	jsonw_text(w, "prefix", arena_printf(r->arena, "mps_%s_%s", k->live ? "live" : "test", k->key_id));
	jsonw_text(w, "mode", k->live ? "live" : "test");
	jsonw_bool(w, "livemode", k->live);
	scopes_write(w, k->scopes);
	jsonw_text(w, "status", apikey_status(k, r->now));
	jsonw_time(w, "expiresAt", k->expires_at);
	jsonw_time(w, "revokedAt", k->revoked_at);
	jsonw_time(w, "lastUsedAt", k->used_at);
	jsonw_time(w, "createdAt", k->created_at);
}

/* Whose keys the path and the caller's own key let be seen. */
static struct owner owner_of(const struct api_request *r, const struct app *app)
{
	return (struct owner){.organization_id = app->organization_id, .app_id = app->id, .live = r->identity.owner.live};
}

static enum rc key_find(struct cx *cx, struct db_conn *c, struct api_request *r, const struct owner *o, const char *id,
			struct apikey_row *ret)
{
	if (apikey_find(c, o, id, r->arena, ret))
		return RC_OK;
	return db_rc(c) != RC_OK ? db_fail(cx, c) : fail_code(cx, RC_NOT_FOUND, "not_found", NULL, "There is no such API key.");
}

/* The key that the path names, of the app that it names. */
static enum rc key_named(struct cx *cx, struct db_conn *c, struct api_request *r, struct owner *ret_owner, struct apikey_row *ret)
{
	struct app app;
	enum rc rc = app_named(cx, c, r, &app);

	if (rc != RC_OK)
		return rc;
	*ret_owner = owner_of(r, &app);
	return key_find(cx, c, r, ret_owner, api_param(r, "key"), ret);
}

static enum rc list(struct api_request *r)
{
	DB_READ_AUTO struct db_conn *c = db_take(r->api->db);
	struct apikey_row k;
	struct owner o;
	struct stmt *s;
	struct app app;
	struct page p;
	enum rc rc = page_read(r, &p);

	if (rc == RC_OK)
		rc = app_named(r->cx, c, r, &app);
	if (rc != RC_OK)
		return rc;
	o = owner_of(r, &app);
	s = apikey_page(c, &o, p.after, p.limit + 1);
	page_begin(r);
	while (page_more(&p) && apikey_next(s, r->arena, &k)) {
		page_row(&p, k.id);
		jsonw_object(r->w, NULL);
		key_members(r, app.id, &k);
		jsonw_object_end(r->w);
	}
	page_end(r, &p, !page_more(&p) && db_next(s));
	db_end(s);
	return db_rc(c) == RC_OK ? RC_OK : db_fail(r->cx, c);
}

/* ---- one more ----------------------------------------------------------------------------------------- */

/* What a handler knows before its closure, and the key that the closure made; the text is wiped by the handler. */
struct making { struct apikey_new k; int64_t overlap; };

/* A list of scopes that the caller's key has not may not go to another key. */
static enum rc scopes_may(struct cx *cx, const struct api_request *r, const char *list)
{
	const struct apikey own = {.scopes = r->identity.scopes};

	for (size_t n; *list; list += n, list += strspn(list, " ")) {
		const char *scope = arena_dup(r->arena, list, n = strcspn(list, " "));
		if (!apikey_may(&own, scope))
			return fail_code(cx, RC_DENIED, "scope_missing", "scopes",
				"This key has no scope %s, so it cannot give it to another key.", scope);
	}
	return RC_OK;
}

/* Writes the new key behind an open object. */
static enum rc make(struct cx *cx, struct db_conn *c, struct api_request *r, const struct owner *o, struct making *m)
{
	struct apikey_row made;
	enum rc rc = scopes_may(cx, r, m->k.scopes);

	m->k.organization_id = o->organization_id;
	m->k.app_id = o->app_id;
	if (rc == RC_OK)
		rc = apikey_create(cx, c, r->api->vault, &m->k, r->now);
	if (rc == RC_OK)
		rc = key_find(cx, c, r, o, m->k.id, &made);
	if (rc == RC_OK)
		key_members(r, o->app_id, &made);
	return rc;
}

static enum rc create_write(struct cx *cx, struct db_conn *c, struct api_request *r, void *arg)
{
	struct owner o;
	struct app app;
	enum rc rc = app_named(cx, c, r, &app);

	if (rc != RC_OK)
		return rc;
	o = owner_of(r, &app);
	jsonw_object(r->w, NULL);
	rc = make(cx, c, r, &o, arg);
	jsonw_object_end(r->w);
	return rc;
}

/* As the store has them, "posts:read media:write"; reports what stands twice. */
static const char *scopes_read(struct api_request *r)
{
	struct jv list = field_value(r, "scopes");
	BUF_AUTO struct buf text;

	buf_init(&text, 4096);
	for (size_t i = 0; i < json_count(list); i++) {
		const char *scope = json_text(json_at(list, i));

		for (size_t j = 0; j < i; j++)
			if (text_eq(scope, json_text(json_at(list, j))))
				api_issue(r, "field_invalid", arena_printf(r->arena, "scopes[%zu]", i), "%s stands twice.", scope);
		buf_addf(&text, "%s%s", i ? " " : "", scope);
	}
	return arena_text(r->arena, buf_text(&text));
}

static int64_t expiry_read(struct api_request *r)
{
	const char *text = field_text(r, "expiresAt");
	struct cx cx;
	int64_t at = 0;

	if (text == NULL)
		return 0;
	cx_init(&cx, r->id);
	if (zone_parse(&cx, text, NULL, NULL, &at) != RC_OK)
		api_issue(r, arena_text(r->arena, cx.code), "expiresAt", "%s", cx.words);
	else if (at <= r->now)
		api_issue(r, "time_in_past", "expiresAt", "%s has passed: the key would be of no use.", text);
	return at;
}

/* The text goes out behind the commit, and into nothing else. */
static enum rc make_run(struct api_request *r, api_write_fn *fn, struct making *m)
{
	enum rc rc = api_write(r, fn, m);

	if (rc == RC_OK)
		secret_append(r, "key", m->k.text);
	explicit_bzero(m->k.text, sizeof m->k.text);
	return rc;
}

static enum rc create(struct api_request *r)
{
	struct making m = {.k = {.name = field_text(r, "name"), .live = text_eq(field_text(r, "mode"), "live")}};
	enum rc rc;

	m.k.scopes = scopes_read(r);
	m.k.expires_at = expiry_read(r);
	rc = api_issues(r);
	if (rc != RC_OK)
		return rc;
	if (m.k.live && !r->identity.owner.live)
		return fail_code(r->cx, RC_DENIED, "permission_denied", "mode", "A test key makes test keys only.");
	return make_run(r, create_write, &m);
}

/* ---- changing over ------------------------------------------------------------------------------------- */

/* A key that has an end keeps it: a change of keys makes no right last longer. */
static enum rc rotate_write(struct cx *cx, struct db_conn *c, struct api_request *r, void *arg)
{
	struct making *m = arg;
	struct apikey_row old;
	struct owner o;
	enum rc rc = key_named(cx, c, r, &o, &old);

	if (rc != RC_OK)
		return rc;
	if (!text_eq(apikey_status(&old, r->now), "active"))
		return fail_code(cx, RC_CONFLICT, "conflict", NULL, "This key is %s already: make a new one.", apikey_status(&old, r->now));
	m->k.name = old.name;
	m->k.scopes = old.scopes;
	m->k.live = old.live;
	m->k.expires_at = old.expires_at;
	jsonw_object(r->w, NULL);
	rc = make(cx, c, r, &o, m);
	if (rc == RC_OK) {
		apikey_expire(c, o.organization_id, old.id, r->now + m->overlap);
		rc = key_find(cx, c, r, &o, old.id, &old);
	}
	jsonw_object(r->w, "replaces");
	jsonw_text(r->w, "id", old.id);
	jsonw_time(r->w, "expiresAt", old.expires_at);
	jsonw_object_end(r->w);
	jsonw_object_end(r->w);
	return rc;
}

static enum rc rotate(struct api_request *r)
{
	struct making m = {.overlap = field_int(r, "overlapSeconds", 0) * 1000};

	return make_run(r, rotate_write, &m);
}

/* ---- taking back --------------------------------------------------------------------------------------- */

static enum rc revoke_write(struct cx *cx, struct db_conn *c, struct api_request *r, void *arg)
{
	struct apikey_row k;
	struct owner o;
	enum rc rc = key_named(cx, c, r, &o, &k);

	(void)arg;
	if (rc == RC_OK)
		rc = apikey_revoke(cx, c, o.organization_id, k.id, r->now);
	if (rc == RC_OK)
		rc = key_find(cx, c, r, &o, k.id, &k);
	if (rc != RC_OK)
		return rc;
	jsonw_object(r->w, NULL);
	key_members(r, o.app_id, &k);
	jsonw_object_end(r->w);
	return RC_OK;
}

static enum rc revoke(struct api_request *r)
{
	return api_write(r, revoke_write, NULL);
}

const struct route api_key_routes[] = {
	{.method = "GET", .pattern = "/v1/apps/{id}/api-keys", .scope = "admin:read", .flags = ROUTE_PAGED, .handle = list,
		.operation = "listApiKeys", .summary = "The keys of an app", .answer = &answer},
	{.method = "POST", .pattern = "/v1/apps/{id}/api-keys", .scope = "admin:write", .flags = ROUTE_IDEMPOTENT, .handle = create,
		.operation = "createApiKey", .summary = "Make a key; its text is shown in this answer only", .fields = fields_new,
		.answer = &made_answer, .status = 201},
	{.method = "POST", .pattern = "/v1/apps/{id}/api-keys/{key}/rotate", .scope = "admin:write", .flags = ROUTE_IDEMPOTENT,
		.handle = rotate, .operation = "rotateApiKey",
		.summary = "Make a key like this one, with its end if it has one, and let this one end after the overlap",
		.fields = fields_rotate, .answer = &rotated_answer, .status = 201},
	{.method = "DELETE", .pattern = "/v1/apps/{id}/api-keys/{key}", .scope = "admin:write", .flags = ROUTE_IDEMPOTENT,
		.handle = revoke, .operation = "revokeApiKey", .summary = "Refuse the key from the next request on", .answer = &answer},
	{0},
};
