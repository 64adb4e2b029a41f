/*
 * /v1/deliveries: one post on one account, its attempts, and what a person may decide about it.
 */
#include "core/api/api.h"
#include "core/api/operations.h"
#include "core/api/page.h"
#include "core/api/plan.h"
#include "core/api/post_read.h"
#include "core/api/routes.h"
#include "core/base/text.h"
#include "core/model/platform.h"

#define EDIT_TRIES 3

static void wake(const struct api_request *r)
{
	if (r->api->wake)
		r->api->wake(r->api->engine);
}

static enum rc find(struct cx *cx, struct db_conn *c, struct api_request *r, struct delivery *ret)
{
	return delivery_find(cx, c, api_param(r, "id"), &r->identity.owner, r->arena, ret);
}

/* ---- reading ---------------------------------------------------------------------------------------- */

static bool is_settled(struct api_request *r, void *arg)
{
	DB_READ_AUTO struct db_conn *c = db_take(r->api->db);

	(void)arg;
	return db_number(c, 0, "SELECT COUNT(*) FROM delivery WHERE id = ?1 AND organization_id = ?2"
			 " AND (state IN ('processing', 'committing', 'awaiting_platform') OR (state = 'queued' AND due_at <= ?3))", "ssi",
			 api_param(r, "id"), r->identity.owner.organization_id, r->now + api_query_int(r, "wait", 0) * 1000) == 0;
}

static enum rc get(struct api_request *r)
{
	struct delivery d;
	enum rc rc = api_wait(r, is_settled, NULL);

	if (rc != RC_OK)
		return rc;
	DB_READ_AUTO struct db_conn *c = db_take(r->api->db);
	rc = find(r->cx, c, r, &d);
	if (rc == RC_OK) {
		api_etag(r, d.version);
		post_read_one_delivery(c, r, d.id);
	}
	return rc != RC_OK ? rc : db_rc(c) == RC_OK ? RC_OK : db_fail(r->cx, c);
}

static enum rc attempts(struct api_request *r)
{
	DB_READ_AUTO struct db_conn *c = db_take(r->api->db);
	struct delivery d;
	struct page p;
	enum rc rc = page_read(r, &p);

	if (rc == RC_OK)
		rc = find(r->cx, c, r, &d);
	if (rc != RC_OK)
		return rc;
	STMT_AUTO struct stmt *s = post_read_attempt_list(c, r, d.id, p.after, p.limit + 1);
	page_begin(r);
	while (page_more(&p) && db_next(s)) {
		page_row(&p, db_text(s, 0));
		post_read_attempt_row(r, s);
	}
	page_end(r, &p, db_next(s));
	return db_rc(c) == RC_OK ? RC_OK : db_fail(r->cx, c);
}

/* ---- acts ------------------------------------------------------------------------------------------- */

/* What waits below it answers to the id, and would be skipped without one. */
static enum rc refuse_nameless(struct cx *cx, struct db_conn *c, const struct delivery *d, const struct delivery_verdict *v)
{
	int64_t n = v->published && v->remote_id == NULL
		? db_number(c, 0, "SELECT COUNT(*) FROM delivery WHERE parent_delivery_id = ?1 AND organization_id = ?2 AND state = 'pending'", "ss",
			    d->id, d->owner.organization_id) : 0;

	if (n == 0)
		return RC_OK;
	return fail_code(cx, RC_INVALID, "field_required", "remotePostId", "Parts of the thread wait to answer to this post: give its id,"
		" or cancel the post first if they shall not be sent.");
}

static enum rc resolve_write(struct cx *cx, struct db_conn *c, struct api_request *r, void *arg)
{
	struct delivery_verdict v = {
		.published = text_eq(field_text(r, "outcome"), "published"), .remote_id = field_text(r, "remotePostId"),
		.remote_url = field_text(r, "remotePostUrl"),
	};
	struct delivery d;
	enum rc rc = find(cx, c, r, &d);

	(void)arg;
	if (rc == RC_OK)
		rc = refuse_nameless(cx, c, &d, &v);
	if (rc == RC_OK)
		rc = delivery_resolve(cx, c, &d, &v, r->now);
	if (rc == RC_OK)
		post_read_one_delivery(c, r, d.id);
	return rc;
}

static enum rc resolve(struct api_request *r)
{
	const char *url = field_text(r, "remotePostUrl");
	enum rc rc;

	if (text_eq(field_text(r, "outcome"), "not_published") && (field_text(r, "remotePostId") || url))
		return fail_code(r->cx, RC_INVALID, "field_invalid", url ? "remotePostUrl" : "remotePostId",
				 "What was not published has no id and no address.");
	if (url != NULL && !text_starts(url, "https://") && !text_starts(url, "http://"))
		return fail_code(r->cx, RC_INVALID, "field_invalid", "remotePostUrl", "remotePostUrl begins with https:// or http://.");
	rc = api_write(r, resolve_write, NULL);
	if (rc == RC_OK)
		wake(r);		/* for what hangs below it */
	return rc;
}

static enum rc reconcile_write(struct cx *cx, struct db_conn *c, struct api_request *r, void *arg)
{
	struct delivery d;
	enum rc rc = find(cx, c, r, &d);

	(void)arg;
	if (rc == RC_OK)
		rc = delivery_reconcile(cx, c, &d, r->now);
	if (rc == RC_OK)
		post_read_one_delivery(c, r, d.id);
	return rc;
}

static enum rc reconcile(struct api_request *r)
{
	enum rc rc = api_write(r, reconcile_write, NULL);

	if (rc == RC_OK)
		wake(r);
	return rc;
}

static enum rc unpublish_write(struct cx *cx, struct db_conn *c, struct api_request *r, void *arg)
{
	char *id = arg;
	struct delivery d;
	enum rc rc = find(cx, c, r, &d);

	if (rc == RC_OK)
		rc = delivery_unpublish(cx, c, &d, id, r->now);
	return rc == RC_OK ? operations_write(cx, c, r, id) : rc;
}

/* The provider is asked, not the platform: in test mode it is the sandbox that removes and edits. */
static enum rc refuse_unable(struct api_request *r, const struct delivery *d, const char *kind, const char *capability, const char *done)
{
	PLATFORM_AUTO const struct platform *p = platforms_take(r->api->platforms, d->provider);

	if (p == NULL || !platform_has(p, kind) || !platform_can(p, capability))
		return fail_code(r->cx, RC_INVALID, "option_not_supported", NULL, "Posts on %s cannot be %s from here.", d->platform, done);
	return RC_OK;
}

static enum rc removable(struct api_request *r)
{
	DB_READ_AUTO struct db_conn *c = db_take(r->api->db);
	struct delivery d;
	enum rc rc = find(r->cx, c, r, &d);

	return rc == RC_OK ? refuse_unable(r, &d, "remove", "delete", "removed") : rc;
}

static enum rc unpublish(struct api_request *r)
{
	char id[ID_MAX] = "";
	enum rc rc = removable(r);

	if (rc == RC_OK)
		rc = api_write(r, unpublish_write, id);
	if (rc == RC_OK) {
		wake(r);
		operations_wait(r, r->replayed ? "" : id);
	}
	return rc;
}

/* ---- editing ---------------------------------------------------------------------------------------- */

static enum rc edit_write(struct cx *cx, struct db_conn *c, struct api_request *r, void *arg)
{
	struct delivery_edit *e = arg;
	struct delivery d;
	enum rc rc = find(cx, c, r, &d);

	if (rc == RC_OK)
		rc = api_if_match(cx, r, d.version);
	if (rc == RC_OK)
		rc = delivery_edit(cx, c, &d, e, r->now);
	return rc == RC_OK ? operations_write(cx, c, r, e->operation_id) : rc;
}

static enum rc edit_plan(struct api_request *r, struct delivery_edit *e)
{
	DB_READ_AUTO struct db_conn *c = db_take(r->api->db);
	struct delivery d;
	enum rc rc = find(r->cx, c, r, &d);

	if (rc == RC_OK)
		rc = api_if_match(r->cx, r, d.version);
	if (rc == RC_OK)
		rc = refuse_unable(r, &d, "edit", "edit", "edited");
	if (rc == RC_OK)
		rc = delivery_editable(r->cx, &d);
	return rc == RC_OK ? plan_delivery(r, c, &d, e) : rc;
}

static enum rc edit_once(struct api_request *r, struct delivery_edit *e)
{
	enum rc rc = edit_plan(r, e);

	if (rc == RC_OK && plan_has_urls(r)) {
		rc = plan_fetch(r);
		if (rc == RC_OK)
			rc = edit_plan(r, e);
	}
	return rc == RC_OK ? api_write(r, edit_write, e) : rc;
}

/* An edit that ended in between: planned again upon it, unless the caller named the version he means. */
static enum rc edit(struct api_request *r)
{
	struct delivery_edit e = {.operation_id = ""};
	bool kept;
	enum rc rc = api_kept(r, &kept);

	if (rc != RC_OK || kept)
		return rc;
	rc = edit_once(r, &e);
	for (int i = 1; i < EDIT_TRIES && rc == RC_STALE && web_header_in(r->web, "If-Match") == NULL; i++) {
		const char *doc_url = r->more.doc_url;

		cx_init(r->cx, r->id);
		error_more_init(&r->more, r->arena);
		r->more.doc_url = doc_url;
		rc = edit_once(r, &e);
	}
	if (rc == RC_OK) {
		wake(r);
		operations_wait(r, r->replayed ? "" : e.operation_id);
	}
	return rc;
}

/* ---- the table -------------------------------------------------------------------------------------- */

static const char *const outcomes[] = {"published", "not_published", NULL};
static const struct field resolve_fields[] = {
	{.name = "outcome", .type = FIELD_ENUM, .flags = FIELD_REQUIRED, .words = outcomes, .help = "what a person saw on the platform."},
	{.name = "remotePostId", .type = FIELD_TEXT, .min = 1, .max = 500, .help = "The platform's id of the post."},
	{.name = "remotePostUrl", .type = FIELD_TEXT, .min = 1, .max = 2048, .help = "Where it can be seen."},
	{0},
};

const struct route delivery_routes[] = {
	{"GET", "/v1/deliveries/{id}", "posts:read", ROUTE_LONG_POLL, get, "getDelivery", "A delivery", NULL, NULL, &post_read_delivery, 0},
	{"GET", "/v1/deliveries/{id}/attempts", "posts:read", ROUTE_PAGED, attempts, "listAttempts", "Each request to the platform", NULL, NULL,
	 &post_read_attempt, 0},
	{"POST", "/v1/deliveries/{id}/resolve", "posts:write", ROUTE_IDEMPOTENT, resolve, "resolveDelivery", "Decide an unconfirmed delivery",
	 resolve_fields, NULL, &post_read_delivery, 0},
	{"POST", "/v1/deliveries/{id}/reconcile", "posts:write", ROUTE_IDEMPOTENT, reconcile, "reconcileDelivery",
	 "Look for an unconfirmed delivery on the platform now", NULL, NULL, &post_read_delivery, 202},
	{"PATCH", "/v1/deliveries/{id}", "posts:write", ROUTE_IDEMPOTENT | ROUTE_LONG_POLL | ROUTE_IF_MATCH, edit, "editDelivery",
	 "Change what is published, on its platform", plan_delivery_fields, NULL, &operations_answer, 202},
	{"POST", "/v1/deliveries/{id}/unpublish", "posts:write", ROUTE_IDEMPOTENT | ROUTE_LONG_POLL, unpublish,
	 "unpublishDelivery", "Remove it from the platform", NULL, NULL, &operations_answer, 202},
	{0},
};
