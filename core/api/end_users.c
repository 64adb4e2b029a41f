/*
 * /v1/end-users: the people of a customer's product.
 *
 * The one thing to know: wherever a path takes an end user's id, "ext:" and the customer's own id does as well.
 */
#include "core/api/api.h"

#include <string.h>

#include "core/api/page.h"
#include "core/api/routes.h"
#include "core/base/text.h"
#include "core/base/zone.h"
#include "core/model/connection.h"
#include "core/model/enduser.h"

/* ---- what goes over the wire ------------------------------------------------------------------------ */

static const struct field fields_new[] = {
	{.name = "externalUserId", .type = FIELD_TEXT, .flags = FIELD_REQUIRED, .min = 1, .max = 191, .help = "Your own id of this person."},
	{.name = "displayName", .type = FIELD_TEXT, .flags = FIELD_NULLABLE, .max = 200, .help = "Shown in the dashboard."},
	{.name = "email", .type = FIELD_TEXT, .flags = FIELD_NULLABLE, .min = 3, .max = 254, .help = "Nothing is sent to it."},
	{.name = "timezone", .type = FIELD_TEXT, .flags = FIELD_NULLABLE, .min = 1, .max = 63, .help = "IANA name of a time zone."},
	{.name = "metadata", .type = FIELD_MAP, .flags = FIELD_NULLABLE, .help = "Echoed as it is."},
	{0},
};
static const struct field fields_patch[] = {
	{.name = "externalUserId", .type = FIELD_TEXT, .min = 1, .max = 191, .help = "Your own id of this person."},
	{.name = "displayName", .type = FIELD_TEXT, .flags = FIELD_NULLABLE, .max = 200, .help = "Shown in the dashboard."},
	{.name = "email", .type = FIELD_TEXT, .flags = FIELD_NULLABLE, .min = 3, .max = 254, .help = "Nothing is sent to it."},
	{.name = "timezone", .type = FIELD_TEXT, .flags = FIELD_NULLABLE, .min = 1, .max = 63, .help = "IANA name of a time zone."},
	{.name = "metadata", .type = FIELD_MAP, .flags = FIELD_NULLABLE, .help = "Echoed as it is."},
	{0},
};
static const struct field query_list[] = {
	{.name = "externalUserId", .type = FIELD_TEXT, .min = 1, .max = 191, .help = "Only this one."},
	{0},
};
static const char *const modes[] = {"disconnect", "erase", NULL};
static const struct field query_delete[] = {
	{.name = "mode", .type = FIELD_ENUM, .flags = FIELD_REQUIRED, .words = modes,
		.help = "disconnect lets go of all accounts and keeps the end user."},
	{0},
};
static const struct field answer_fields[] = {
	{.name = "id", .type = FIELD_TEXT},
	{.name = "externalUserId", .type = FIELD_TEXT},
	{.name = "displayName", .type = FIELD_TEXT, .flags = FIELD_NULLABLE},
	{.name = "email", .type = FIELD_TEXT, .flags = FIELD_NULLABLE},
	{.name = "timezone", .type = FIELD_TEXT, .flags = FIELD_NULLABLE},
	{.name = "metadata", .type = FIELD_MAP},
	{.name = "connectionCount", .type = FIELD_INT, .help = "Accounts that are not disconnected."},
	{.name = "reauthRequiredCount", .type = FIELD_INT, .help = "Of them, those that must be connected again."},
	{.name = "createdAt", .type = FIELD_TIME},
	{.name = "updatedAt", .type = FIELD_TIME},
	{0},
};
static const struct answer answer = {"EndUser", answer_fields};

static const struct field deleted_fields[] = {
	{.name = "jobId", .type = FIELD_TEXT, .flags = FIELD_NULLABLE, .help = "Null when it was done at once."},
	{.name = "status", .type = FIELD_TEXT},
	{.name = "disconnected", .type = FIELD_INT, .help = "Accounts that were let go."},
	{0},
};
static const struct answer deleted = {"EndUserDeletion", deleted_fields};

static void end_user_write(struct jsonw *w, const struct enduser *u)
{
	jsonw_object(w, NULL);
	jsonw_text(w, "id", u->id);
	jsonw_text(w, "externalUserId", u->external_id);
	jsonw_text(w, "displayName", u->display_name);
	jsonw_text(w, "email", u->email);
	jsonw_text(w, "timezone", u->timezone);
	jsonw_raw(w, "metadata", u->metadata ? u->metadata : "{}", u->metadata ? strlen(u->metadata) : 2);
	jsonw_int(w, "connectionCount", u->connections);
	jsonw_int(w, "reauthRequiredCount", u->reauth);
	jsonw_time(w, "createdAt", u->created_at);
	jsonw_time(w, "updatedAt", u->updated_at);
	jsonw_object_end(w);
}

static enum rc not_found(struct cx *cx)
{
	return fail_code(cx, RC_NOT_FOUND, "end_user_not_found", NULL, "There is no such end user.");
}

/* ---- reading ----------------------------------------------------------------------------------------- */

static enum rc list(struct api_request *r)
{
	DB_READ_AUTO struct db_conn *c = db_take(r->api->db);
	struct enduser u;
	struct stmt *s;
	struct page p;
	enum rc rc = page_read(r, &p);

	if (rc != RC_OK)
		return rc;
	s = enduser_list(c, &r->identity.owner, api_query(r, "externalUserId"), p.after, p.limit + 1);
	page_begin(r);
	while (page_more(&p) && db_next(s)) {
		enduser_row(s, r->arena, &u);
		page_row(&p, u.id);
		end_user_write(r->w, &u);
	}
	page_end(r, &p, !page_more(&p) && db_next(s));
	db_end(s);
	return db_rc(c) == RC_OK ? RC_OK : db_fail(r->cx, c);
}

static enum rc read(struct api_request *r)
{
	DB_READ_AUTO struct db_conn *c = db_take(r->api->db);
	struct enduser u;

	if (!enduser_find(c, &r->identity.owner, api_param(r, "id"), r->arena, &u))
		return db_rc(c) != RC_OK ? db_fail(r->cx, c) : not_found(r->cx);
	end_user_write(r->w, &u);
	return RC_OK;
}

/* ---- writing ----------------------------------------------------------------------------------------- */

static struct enduser_field given(const struct api_request *r, const char *name)
{
	return (struct enduser_field){field_has(r, name), field_text(r, name)};
}

static enum rc change_read(struct api_request *r, struct enduser_change *ch)
{
	const char *zone = field_text(r, "timezone"), *email = field_text(r, "email"), *at = email ? strchr(email, '@') : NULL;

	if (zone != NULL && !zone_exists(zone))
		api_issue(r, "field_invalid", "timezone", "%s is not the name of a time zone, as Europe/Berlin is.", zone);
	if (email != NULL && (at == NULL || at == email || at[1] == '\0' || strpbrk(email, " \t\r\n<>")))
		api_issue(r, "field_invalid", "email", "This is not an e-mail address.");
	*ch = (struct enduser_change){
		.external_id = field_text(r, "externalUserId"), .display_name = given(r, "displayName"), .email = given(r, "email"),
		.timezone = given(r, "timezone"), .metadata = {field_has(r, "metadata"), field_json(r, "metadata")},
	};
	return api_issues(r);
}

static enum rc answer_by_id(struct cx *cx, struct db_conn *c, struct api_request *r, const char *id)
{
	struct enduser u;

	if (!enduser_find(c, &r->identity.owner, id, r->arena, &u))
		return db_rc(c) != RC_OK ? db_fail(cx, c) : not_found(cx);
	end_user_write(r->w, &u);
	return RC_OK;
}

static enum rc put_write(struct cx *cx, struct db_conn *c, struct api_request *r, void *arg)
{
	const struct enduser_change *ch = arg;
	char id[ID_MAX];
	bool created;
	enum rc rc = enduser_put(cx, c, r->api->vault, &r->identity.owner, ch, r->now, id, &created);

	if (rc != RC_OK)
		return rc;
	r->status = created ? 201 : 200;
	return answer_by_id(cx, c, r, id);
}

static enum rc put(struct api_request *r)
{
	struct enduser_change ch;
	enum rc rc = change_read(r, &ch);

	return rc != RC_OK ? rc : api_write(r, put_write, &ch);
}

static enum rc patch_write(struct cx *cx, struct db_conn *c, struct api_request *r, void *arg)
{
	const struct enduser_change *ch = arg;
	struct enduser u;
	enum rc rc;

	if (!enduser_find(c, &r->identity.owner, api_param(r, "id"), r->arena, &u))
		return db_rc(c) != RC_OK ? db_fail(cx, c) : not_found(cx);
	rc = enduser_patch(cx, c, &r->identity.owner, u.id, ch, r->now);
	return rc != RC_OK ? rc : answer_by_id(cx, c, r, u.id);
}

static enum rc patch(struct api_request *r)
{
	struct enduser_change ch;
	enum rc rc = change_read(r, &ch);

	return rc != RC_OK ? rc : api_write(r, patch_write, &ch);
}

/* ---- letting go -------------------------------------------------------------------------------------- */

static int connections_of(struct db_conn *c, const struct api_request *r, const char *end_user_id, struct arena *a,
			  struct connection *ret, int max)
{
	struct connection_filter f = {.end_user_id = end_user_id};
	struct stmt *s = connection_list(c, &r->identity.owner, &f, "", max);
	int n = 0;

	while (n < max && db_next(s))
		connection_row(s, a, &ret[n++]);
	db_end(s);
	return n;
}

static enum rc disconnect_write(struct cx *cx, struct db_conn *c, struct api_request *r, void *arg)
{
	ARENA_AUTO struct arena a;
	struct connection *n;
	struct enduser u;
	int count, gone = 0;

	(void)arg;
	arena_init(&a, 8u << 20);
	if (!enduser_find(c, &r->identity.owner, api_param(r, "id"), &a, &u))
		return db_rc(c) != RC_OK ? db_fail(cx, c) : not_found(cx);
	n = arena_array(&a, struct connection, 1000);
	count = connections_of(c, r, u.id, &a, n, 1000);
	for (int i = 0; i < count; i++) {
		gone += !text_eq(n[i].status, "disconnected");
		connection_let_go(c, r->api->platforms, &n[i], r->now);
	}
	jsonw_object(r->w, NULL);
	jsonw_null(r->w, "jobId");
	jsonw_text(r->w, "status", "done");
	jsonw_int(r->w, "disconnected", gone);
	jsonw_object_end(r->w);
	return db_rc(c) == RC_OK ? RC_OK : db_fail(cx, c);
}

static enum rc delete(struct api_request *r)
{
	enum rc rc;

	if (!text_eq(api_query(r, "mode"), "disconnect"))
		return fail_code(r->cx, RC_INVALID, "option_not_supported", "mode", "mode=erase is not available on this server yet.");
	rc = api_write(r, disconnect_write, NULL);
	if (rc == RC_OK)
		r->api->wake(r->api->engine);
	return rc;
}

const struct route end_user_routes[] = {
	{.method = "POST", .pattern = "/v1/end-users", .scope = "end_users:write", .flags = ROUTE_IDEMPOTENT | ROUTE_OR_200, .handle = put,
		.operation = "upsertEndUser", .summary = "Make an end user, or change the one with this externalUserId", .fields = fields_new,
		.answer = &answer, .status = 201},
	{.method = "GET", .pattern = "/v1/end-users", .scope = "end_users:read", .flags = ROUTE_PAGED, .handle = list,
		.operation = "listEndUsers", .summary = "End users, oldest first", .query = query_list, .answer = &answer},
	{.method = "GET", .pattern = "/v1/end-users/{id}", .scope = "end_users:read", .handle = read, .operation = "getEndUser",
		.summary = "One end user", .answer = &answer},
	{.method = "PATCH", .pattern = "/v1/end-users/{id}", .scope = "end_users:write", .flags = ROUTE_IDEMPOTENT, .handle = patch,
		.operation = "updateEndUser", .summary = "Change an end user", .fields = fields_patch, .answer = &answer},
	{.method = "DELETE", .pattern = "/v1/end-users/{id}", .scope = "end_users:write", .flags = ROUTE_IDEMPOTENT, .handle = delete,
		.operation = "deleteEndUser", .summary = "Let go of everything of an end user", .query = query_delete, .answer = &deleted,
		.status = 202},
	{0},
};
