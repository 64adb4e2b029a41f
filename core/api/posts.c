/*
 * /v1/posts: what customers publish.
 *
 * The one thing to know: planning reads through a read connection, so that the writer only writes; what must
 * hold in the moment of the write (external ids, duplicates, versions) is looked at again inside the closure.
 */
#include <string.h>

#include "core/api/api.h"
#include "core/api/plan.h"
#include "core/api/post_read.h"
#include "core/api/routes.h"
#include "core/base/text.h"

#define EDIT_TRIES 3

static void wake(const struct api_request *r)
{
	if (r->api->wake)
		r->api->wake(r->api->engine);
}

/* ---- waiting ---------------------------------------------------------------------------------------- */

/* Nothing of the post moves within the wait: ended, waiting for a person, or for a later time. */
static bool is_settled(struct api_request *r, void *arg)
{
	DB_READ_AUTO struct db_conn *c = db_take(r->api->db);
	int64_t horizon = r->now + api_query_int(r, "wait", 0) * 1000;

	return db_number(c, 0, "SELECT COUNT(*) FROM delivery WHERE post_id = ?1 AND organization_id = ?2"
			 " AND (state IN ('processing', 'committing', 'awaiting_platform') OR (state = 'queued' AND due_at <= ?3))", "ssi",
			 (const char *)arg, r->identity.owner.organization_id, horizon) == 0;
}

/* After a write: the answer as it stands when the wait is over.  The write has happened: no fault from here on. */
static void wait_and_show(struct api_request *r, char id[ID_MAX], const struct post_read *extra)
{
	int status = r->status;
	struct cx cx;

	if (api_query_int(r, "wait", 0) == 0 || api_wait(r, is_settled, id) != RC_OK)
		return;
	DB_READ_AUTO struct db_conn *c = db_take(r->api->db);
	struct post p;

	cx_init(&cx, r->id);
	if (post_load(&cx, c, id, &r->identity.owner, r->arena, &p) != RC_OK)
		return;
	buf_reset(r->answer->body);
	jsonw_init(r->w, r->answer->body);
	post_read_write(&cx, c, r, &p, extra);
	r->status = status;
}

/* ---- create ----------------------------------------------------------------------------------------- */

struct creating { struct post_new p; char id[ID_MAX]; };

static enum rc create_write(struct cx *cx, struct db_conn *c, struct api_request *r, void *arg)
{
	struct creating *k = arg;
	struct post_read extra = {.warnings = true};
	enum rc rc = post_create(cx, c, &k->p, r->now);

	if (rc != RC_OK)
		return rc;
	memcpy(k->id, k->p.id, ID_MAX);
	r->status = text_eq(k->p.mode, "draft") ? 201 : 202;
	return post_read_find(cx, c, r, k->id, &extra);
}

static enum rc name_existing(struct api_request *r, enum rc rc, const struct post_new *p)
{
	if (rc == RC_CONFLICT && p->existing_id[0] != '\0')
		r->more.remediation = arena_printf(r->arena, "The post in the way: GET /v1/posts/%s", p->existing_id);
	return rc;
}

static enum rc plan(struct api_request *r, bool scheduled, struct post_new *ret)
{
	DB_READ_AUTO struct db_conn *c = db_take(r->api->db);

	return plan_new(r, c, scheduled, ret);
}

/* Everything else is judged before anything is fetched. */
static enum rc plan_whole(struct api_request *r, bool scheduled, struct post_new *ret)
{
	enum rc rc = plan(r, scheduled, ret);

	if (rc == RC_OK && plan_has_urls(r)) {
		rc = plan_fetch(r);
		if (rc == RC_OK)
			rc = plan(r, scheduled, ret);
	}
	return rc;
}

static enum rc create(struct api_request *r, bool scheduled)
{
	struct creating k = {.id = ""};
	struct post_read extra = {.warnings = true};
	bool kept;
	enum rc rc = api_kept(r, &kept);

	if (rc != RC_OK || kept)
		return rc;
	rc = plan_whole(r, scheduled, &k.p);
	if (rc == RC_OK)
		rc = name_existing(r, api_write(r, create_write, &k), &k.p);
	if (rc != RC_OK)
		return rc;
	wake(r);
	if (k.id[0] != '\0')
		wait_and_show(r, k.id, &extra);
	return RC_OK;
}

static enum rc post_post(struct api_request *r) { return create(r, false); }
static enum rc post_schedule(struct api_request *r) { return create(r, true); }

static void show_target(struct api_request *r, const struct post_target *t)
{
	jsonw_object(r->w, NULL);
	jsonw_text(r->w, "param", t->param);
	jsonw_text(r->w, "connectionId", t->connection_id);
	jsonw_text(r->w, "platform", t->platform);
	jsonw_time(r->w, "scheduledAt", t->scheduled_at);
	jsonw_object_end(r->w);
}

/* The answer of a refusal is the one that the real call would get. */
static enum rc post_validate(struct api_request *r)
{
	DB_READ_AUTO struct db_conn *c = db_take(r->api->db);
	struct post_new p;
	enum rc rc = plan_new(r, c, false, &p);

	if (rc == RC_OK)
		rc = name_existing(r, post_conflicts(r->cx, c, &p, r->now), &p);
	if (rc != RC_OK)
		return rc;
	jsonw_object(r->w, NULL);
	jsonw_bool(r->w, "valid", true);
	jsonw_text(r->w, "mode", p.mode);
	jsonw_array(r->w, "targets");
	for (int i = 0; i < p.target_count; i++)
		show_target(r, &p.targets[i]);
	jsonw_array_end(r->w);
	post_read_warnings(r);
	jsonw_object_end(r->w);
	return RC_OK;
}

/* ---- read ------------------------------------------------------------------------------------------- */

static enum rc post_get(struct api_request *r)
{
	const char *id = api_param(r, "id");
	struct post_read extra = {.attempts = text_eq(api_query(r, "include"), "attempts")};
	enum rc rc = api_wait(r, is_settled, (void *)(uintptr_t)id);

	if (rc != RC_OK)
		return rc;
	DB_READ_AUTO struct db_conn *c = db_take(r->api->db);
	return post_read_find(r->cx, c, r, id, &extra);
}

static enum rc post_deliveries(struct api_request *r)
{
	DB_READ_AUTO struct db_conn *c = db_take(r->api->db);
	struct post p;
	enum rc rc = post_load(r->cx, c, api_param(r, "id"), &r->identity.owner, r->arena, &p);

	if (rc != RC_OK)
		return rc;
	jsonw_object(r->w, NULL);
	jsonw_array(r->w, "data");
	post_read_deliveries(c, r, p.id, false);
	jsonw_array_end(r->w);
	jsonw_null(r->w, "nextCursor");
	jsonw_bool(r->w, "hasMore", false);
	jsonw_object_end(r->w);
	return RC_OK;
}

/* ---- edit ------------------------------------------------------------------------------------------- */

struct editing { struct post_new p; struct post old; char id[ID_MAX]; };

static enum rc edit_write(struct cx *cx, struct db_conn *c, struct api_request *r, void *arg)
{
	struct editing *k = arg;
	struct post_read extra = {.warnings = true};
	enum rc rc = post_edit(cx, c, &k->p, k->old.content_version, r->now);

	return rc == RC_OK ? post_read_find(cx, c, r, k->old.id, &extra) : rc;
}

static enum rc edit_plan(struct api_request *r, struct editing *k)
{
	DB_READ_AUTO struct db_conn *c = db_take(r->api->db);
	enum rc rc = post_load(r->cx, c, api_param(r, "id"), &r->identity.owner, r->arena, &k->old);

	if (rc == RC_OK)
		rc = api_if_match(r->cx, r, k->old.content_version);
	return rc == RC_OK ? plan_edit(r, c, &k->old, &k->p) : rc;
}

static enum rc edit_once(struct api_request *r)
{
	struct editing k = {.id = ""};
	enum rc rc = edit_plan(r, &k);

	if (rc == RC_OK && plan_has_urls(r)) {
		rc = plan_fetch(r);
		if (rc == RC_OK)
			rc = edit_plan(r, &k);
	}
	return rc == RC_OK ? name_existing(r, api_write(r, edit_write, &k), &k.p) : rc;
}

/* Somebody else's edit in between: plan again upon it, unless the caller named the version he means. */
static enum rc post_patch(struct api_request *r)
{
	bool kept;
	enum rc rc = api_kept(r, &kept);

	if (rc != RC_OK || kept)
		return rc;
	rc = edit_once(r);
	for (int i = 1; i < EDIT_TRIES && rc == RC_STALE && web_header_in(r->web, "If-Match") == NULL; i++) {
		const char *doc_url = r->more.doc_url;

		cx_init(r->cx, r->id);
		error_more_init(&r->more, r->arena);
		r->more.doc_url = doc_url;
		rc = edit_once(r);
	}
	if (rc == RC_OK)
		wake(r);
	return rc;
}

/* ---- acts ------------------------------------------------------------------------------------------- */

typedef enum rc act_fn(struct cx *cx, struct db_conn *c, struct post_act *act, int64_t now);
struct acting { act_fn *fn; struct post_act act; };

static enum rc act_write(struct cx *cx, struct db_conn *c, struct api_request *r, void *arg)
{
	struct acting *k = arg;
	struct post_read extra = {.act = &k->act};
	struct post p;
	enum rc rc = post_load(cx, c, k->act.id, &r->identity.owner, r->arena, &p);

	if (rc == RC_OK)
		rc = api_if_match(cx, r, p.content_version);
	if (rc == RC_OK)
		rc = k->fn(cx, c, &k->act, r->now);
	return rc == RC_OK ? post_read_find(cx, c, r, k->act.id, &extra) : rc;
}

static enum rc act(struct api_request *r, struct acting *k)
{
	enum rc rc;

	k->act.id = api_param(r, "id");
	k->act.owner = &r->identity.owner;
	k->act.arena = r->arena;
	rc = api_write(r, act_write, k);
	if (rc == RC_OK)
		wake(r);
	return rc;
}

static enum rc publish(struct api_request *r) { return act(r, &(struct acting){.fn = post_publish}); }
static enum rc cancel(struct api_request *r) { return act(r, &(struct acting){.fn = post_cancel}); }

static enum rc retry(struct api_request *r)
{
	struct acting k = {.fn = post_retry};
	struct jv ids = field_value(r, "deliveryIds");
	int n = (int)json_count(ids);
	const char **list_of = arena_array(r->arena, const char *, n + 1);

	for (int i = 0; i < n; i++)
		list_of[i] = json_text(json_at(ids, (size_t)i));
	k.act.delivery_ids = json_type(ids) == JSON_ARRAY ? list_of : NULL;
	k.act.id_count = n;
	return act(r, &k);
}

/* ---- the table -------------------------------------------------------------------------------------- */

static const char *const includes[] = {"attempts", NULL};

static const struct field get_query[] = {
	{.name = "include", .type = FIELD_ENUM, .words = includes, .help = "attempts of each delivery"},
	{0},
};
static const struct field id_items[] = {{.name = "", .type = FIELD_TEXT, .min = 1, .max = 64}, {0}};
static const struct field retry_fields[] = {
	{.name = "deliveryIds", .type = FIELD_ARRAY, .min = 1, .max = 50, .fields = id_items, .help = "Only these; else every failed one."},
	{0},
};
static const struct field valid_fields[] = {
	{.name = "valid", .type = FIELD_BOOL, .help = "Always true: a refusal is the one that POST /v1/posts would get."},
	{.name = "mode", .type = FIELD_TEXT},
	{.name = "targets", .type = FIELD_ARRAY},
	{.name = "warnings", .type = FIELD_ARRAY},
	{0},
};
static const struct answer valid_answer = {"PostValidation", valid_fields};

#define WRITE "posts:write", ROUTE_IDEMPOTENT
#define READ "posts:read"
#define POST &post_read_post

const struct route post_routes[] = {
	{"POST", "/v1/posts", WRITE | ROUTE_LONG_POLL | ROUTE_OR_201, post_post, "createPost", "Publish now, schedule, or keep as a draft (201)",
	 plan_fields, NULL, POST, 202},
	{"POST", "/v1/posts/schedule", WRITE | ROUTE_LONG_POLL, post_schedule, "schedulePost", "The same with a time", plan_fields, NULL, POST,
	 202},
	{"POST", "/v1/posts/validate", READ, 0, post_validate, "validatePost", "The same without writing", plan_fields, NULL, &valid_answer, 0},
	{"GET", "/v1/posts", READ, ROUTE_PAGED, post_list, "listPosts", "The newest first", NULL, post_list_query, POST, 0},
	{"GET", "/v1/posts/{id}", READ, ROUTE_LONG_POLL, post_get, "getPost", "A post with its deliveries", NULL, get_query, POST, 0},
	{"PATCH", "/v1/posts/{id}", WRITE | ROUTE_IF_MATCH, post_patch, "updatePost", "Change what nobody has begun to publish",
	 plan_edit_fields, NULL, POST, 0},
	{"DELETE", "/v1/posts/{id}", WRITE | ROUTE_IF_MATCH, cancel, "deletePost", "The same as cancel", NULL, NULL, POST, 0},
	{"POST", "/v1/posts/{id}/cancel", WRITE | ROUTE_IF_MATCH, cancel, "cancelPost", "Stop what is not being sent yet", NULL, NULL, POST, 0},
	{"POST", "/v1/posts/{id}/publish", WRITE | ROUTE_IF_MATCH, publish, "publishPost", "A draft or a scheduled post: now", NULL,
	 NULL, POST, 202},
	{"POST", "/v1/posts/{id}/retry", WRITE | ROUTE_IF_MATCH, retry, "retryPost", "Failed deliveries once more", retry_fields, NULL, POST, 202},
	{"GET", "/v1/posts/{id}/deliveries", READ, ROUTE_LIST, post_deliveries, "listPostDeliveries", "The deliveries of a post", NULL, NULL,
	 &post_read_delivery, 0},
	{0},
};
