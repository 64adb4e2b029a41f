/*
 * GET /v1/operations/{id}: how far a piece of work has come.
 *
 * Only kinds that a caller starts show a result: what the connecting kinds learn belongs to their session.
 */
#include "core/api/operations.h"

#include <string.h>

#include "core/api/post_read.h"
#include "core/api/routes.h"
#include "core/base/text.h"
#include "core/model/operation.h"

static const struct { const char *kind, *scope; bool result; } kinds[] = {
	{"publish", "posts:read", false}, {"remove", "posts:read", true}, {"edit", "posts:read", true},
	{"check", "connections:read", true}, {"limits", "connections:read", true},
};

static const char *scope_of(const char *kind, bool *ret_result)
{
	*ret_result = false;
	for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
		if (text_eq(kinds[i].kind, kind)) {
			*ret_result = kinds[i].result;
			return kinds[i].scope;
		}
	return "connections:read";
}

static enum rc find(struct cx *cx, struct db_conn *c, struct api_request *r, const char *id, struct operation *ret)
{
	const struct owner *o = &r->identity.owner;

	*ret = (struct operation){.id = NULL};
	if (operation_load(c, id, NULL, r->arena, ret) && text_eq(ret->owner.organization_id, o->organization_id) &&
	    text_eq(ret->owner.app_id, o->app_id) && ret->owner.live == o->live)
		return RC_OK;
	return db_rc(c) != RC_OK ? db_fail(cx, c) : fail_code(cx, RC_NOT_FOUND, "operation_not_found", NULL, "There is no such operation.");
}

enum rc operations_write(struct cx *cx, struct db_conn *c, struct api_request *r, const char *id)
{
	struct operation o;
	bool result;
	enum rc rc = find(cx, c, r, id, &o);

	if (rc != RC_OK)
		return rc;
	scope_of(o.kind, &result);
	jsonw_object(r->w, NULL);
	jsonw_text(r->w, "id", o.id);
	jsonw_text(r->w, "kind", o.kind);
	jsonw_text(r->w, "status", o.status);
	jsonw_text(r->w, "platform", o.platform);
	jsonw_text(r->w, "connectionId", o.connection_id);
	jsonw_text(r->w, "deliveryId", o.delivery_id);
	jsonw_raw(r->w, "result", o.result, result && o.result ? strlen(o.result) : 0);
	post_read_error(r, "error", o.error, o.platform);
	jsonw_time(r->w, "createdAt", o.created_at);
	jsonw_time(r->w, "updatedAt", o.updated_at);
	jsonw_object_end(r->w);
	return RC_OK;
}

static bool is_over(struct api_request *r, void *arg)
{
	DB_READ_AUTO struct db_conn *c = db_take(r->api->db);

	return db_number(c, 0, "SELECT COUNT(*) FROM operation WHERE id = ?1 AND organization_id = ?2 AND status = 'running'", "ss",
			 (const char *)arg, r->identity.owner.organization_id) == 0;
}

/* The write has happened: no fault from here on. */
void operations_wait(struct api_request *r, const char *id)
{
	int status = r->status;
	struct cx cx;

	if (id[0] == '\0' || api_query_int(r, "wait", 0) == 0 || api_wait(r, is_over, (void *)(uintptr_t)id) != RC_OK)
		return;
	DB_READ_AUTO struct db_conn *c = db_take(r->api->db);
	cx_init(&cx, r->id);
	buf_reset(r->answer->body);
	jsonw_init(r->w, r->answer->body);
	operations_write(&cx, c, r, id);
	r->status = status;
}

static enum rc get(struct api_request *r)
{
	const char *id = api_param(r, "id");
	struct operation o;
	bool result;
	enum rc rc = api_wait(r, is_over, (void *)(uintptr_t)id);

	if (rc != RC_OK)
		return rc;
	DB_READ_AUTO struct db_conn *c = db_take(r->api->db);
	rc = find(r->cx, c, r, id, &o);
	if (rc == RC_OK)
		rc = api_scope(r, scope_of(o.kind, &result));
	return rc == RC_OK ? operations_write(r->cx, c, r, id) : rc;
}

static const char *const statuses[] = {"running", "done", "failed", "parked", NULL};
static const struct field fields[] = {
	{.name = "id", .type = FIELD_TEXT},
	{.name = "kind", .type = FIELD_TEXT, .help = "check, remove, edit, ..."},
	{.name = "status", .type = FIELD_ENUM, .words = statuses},
	{.name = "platform", .type = FIELD_TEXT},
	{.name = "connectionId", .type = FIELD_TEXT, .flags = FIELD_NULLABLE},
	{.name = "deliveryId", .type = FIELD_TEXT, .flags = FIELD_NULLABLE},
	{.name = "result", .type = FIELD_OPEN, .flags = FIELD_NULLABLE},
	{.name = "error", .type = FIELD_OPEN, .flags = FIELD_NULLABLE, .help = "As the error of an answer."},
	{.name = "createdAt", .type = FIELD_TIME},
	{.name = "updatedAt", .type = FIELD_TIME},
	{0},
};
const struct answer operations_answer = {"Operation", fields};

const struct route operation_routes[] = {
	{.method = "GET", .pattern = "/v1/operations/{id}", .flags = ROUTE_LONG_POLL, .handle = get, .operation = "getOperation",
	 .summary = "How far a piece of work has come", .answer = &operations_answer},
	{0},
};
