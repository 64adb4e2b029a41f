/*
 * What a post, a delivery and an attempt look like: see post_read.h.
 *
 * The one thing to know: a queued delivery that nobody has claimed and whose time lies ahead is shown as
 * pending; in the store it is the schedule itself.
 */
#include "core/api/post_read.h"

#include <string.h>

#include "core/base/text.h"
#include "core/base/zone.h"
#include "core/model/post.h"

static void raw(struct jsonw *w, const char *key, const char *json)
{
	jsonw_raw(w, key, json, json ? strlen(json) : 0);
}

static void list(struct jsonw *w, const char *key, const char *json)
{
	raw(w, key, json ? json : "[]");
}

/* ---- errors ----------------------------------------------------------------------------------------- */

static void platform_error(struct jsonw *w, struct jv e)
{
	int64_t status = 0;

	if (json_text(json_get(e, "platformCode")) == NULL && !json_int(json_get(e, "httpStatus"), &status)) {
		jsonw_null(w, "platformError");
		return;
	}
	json_int(json_get(e, "httpStatus"), &status);
	jsonw_object(w, "platformError");
	if (status > 0)
		jsonw_int(w, "httpStatus", status);
	else
		jsonw_null(w, "httpStatus");
	jsonw_text(w, "code", json_text(json_get(e, "platformCode")));
	jsonw_text(w, "message", json_text(json_get(e, "message")));
	jsonw_object_end(w);
}

static void error_members(struct api_request *r, struct jv e, const char *platform)
{
	const char *code = json_text_or(json_get(e, "code"), "internal_error");
	const struct error_code *known = error_find(code);
	bool retryable = known != NULL && known->retryable;

	json_bool(json_get(e, "retryable"), &retryable);
	jsonw_text(r->w, "type", known ? known->type : "platform_error");
	jsonw_text(r->w, "code", code);
	jsonw_text(r->w, "message", json_text(json_get(e, "message")));
	jsonw_null(r->w, "param");
	jsonw_null(r->w, "rule");
	jsonw_text(r->w, "platform", platform);
	jsonw_text(r->w, "faultSource", known ? known->source : "platform");
	jsonw_bool(r->w, "retryable", retryable);
	jsonw_null(r->w, "retryAfterSeconds");
	jsonw_null(r->w, "userMessage");
	jsonw_text(r->w, "remediation", known ? known->remedy : NULL);
	jsonw_text(r->w, "docUrl", r->more.doc_url ? arena_printf(r->arena, "%s%s", r->more.doc_url, code) : NULL);
	jsonw_null(r->w, "requestId");
	jsonw_array(r->w, "issues");
	jsonw_array_end(r->w);
	platform_error(r->w, e);
}

void post_read_error(struct api_request *r, const char *key, const char *json, const char *platform)
{
	struct cx cx;
	struct jv e;

	cx_init(&cx, r->id);
	if (json == NULL || json_parse(&cx, r->arena, json, strlen(json), &e) != RC_OK) {
		jsonw_null(r->w, key);
		return;
	}
	jsonw_object(r->w, key);
	error_members(r, e, platform);
	jsonw_object_end(r->w);
}

/* ---- attempts --------------------------------------------------------------------------------------- */

struct stmt *post_read_attempt_list(struct db_conn *c, struct api_request *r, const char *delivery_id, const char *after, int limit)
{
	return db_query(c,
		"SELECT id, operation_id, delivery_id, number, phase, class, method, endpoint, outcome, status, curl_code, words, body, sent_at,"
		" took_ms FROM attempt WHERE delivery_id = ?1 AND organization_id = ?2 AND id > ?3 ORDER BY id LIMIT ?4", "sssi", delivery_id,
		r->identity.owner.organization_id, after, (int64_t)limit);
}

void post_read_attempt_row(struct api_request *r, struct stmt *s)
{
	jsonw_object(r->w, NULL);
	jsonw_text(r->w, "id", db_text(s, 0));
	jsonw_text(r->w, "operationId", db_text(s, 1));
	jsonw_text(r->w, "deliveryId", db_text(s, 2));
	jsonw_int(r->w, "number", db_int(s, 3));
	jsonw_text(r->w, "phase", db_text(s, 4));
	jsonw_text(r->w, "class", db_text(s, 5));
	jsonw_text(r->w, "method", db_text(s, 6));
	jsonw_text(r->w, "endpoint", db_text(s, 7));
	jsonw_text(r->w, "outcome", db_text(s, 8));
	if (db_null(s, 9))
		jsonw_null(r->w, "httpStatus");
	else
		jsonw_int(r->w, "httpStatus", db_int(s, 9));
	jsonw_int(r->w, "transportCode", db_int(s, 10));
	jsonw_text(r->w, "message", db_text(s, 11));
	jsonw_text(r->w, "responseBody", db_text(s, 12));
	jsonw_time(r->w, "sentAt", db_int(s, 13));
	jsonw_int(r->w, "durationMs", db_int(s, 14));
	jsonw_object_end(r->w);
}

#define ATTEMPTS_SHOWN 200

static void attempts_of(struct db_conn *c, struct api_request *r, const char *delivery_id)
{
	STMT_AUTO struct stmt *s = post_read_attempt_list(c, r, delivery_id, "", ATTEMPTS_SHOWN);

	jsonw_array(r->w, "attempts");
	while (db_next(s))
		post_read_attempt_row(r, s);
	jsonw_array_end(r->w);
}

/* ---- deliveries ------------------------------------------------------------------------------------- */

#define DELIVERY " SELECT id, post_id, parent_delivery_id, ordinal, kind, connection_id, platform, target_id, live, state, reason," \
	" scheduled_at, claimed_at, deadline_at, published_at, remote_id, remote_url, proof, proof_at, attempt_count, due_at, error," \
	" warnings, created_at, updated_at, text FROM delivery"

static const char *status_of(struct stmt *s, int64_t now)
{
	return text_eq(db_text(s, 9), "queued") && db_null(s, 12) && db_int(s, 11) > now ? "pending" : db_text(s, 9);
}

static void times(struct api_request *r, struct stmt *s)
{
	bool again = text_eq(db_text(s, 9), "queued") && !db_null(s, 12);

	jsonw_time(r->w, "scheduledAt", db_int(s, 11));
	jsonw_time(r->w, "claimedAt", db_int(s, 12));
	jsonw_time(r->w, "deadlineAt", db_int(s, 13));
	jsonw_time(r->w, "publishedAt", db_int(s, 14));
	jsonw_time(r->w, "nextAttemptAt", again ? db_int(s, 20) : 0);
}

static void proof(struct api_request *r, struct stmt *s)
{
	if (db_null(s, 17)) {
		jsonw_null(r->w, "proof");
		return;
	}
	jsonw_object(r->w, "proof");
	jsonw_text(r->w, "kind", db_text(s, 17));
	jsonw_time(r->w, "verifiedAt", db_int(s, 18));
	jsonw_object_end(r->w);
}

static void delivery_row(struct db_conn *c, struct api_request *r, struct stmt *s, bool attempts)
{
	jsonw_object(r->w, NULL);
	jsonw_text(r->w, "id", db_text(s, 0));
	jsonw_text(r->w, "postId", db_text(s, 1));
	jsonw_text(r->w, "parentDeliveryId", db_text(s, 2));
	jsonw_int(r->w, "ordinal", db_int(s, 3));
	jsonw_text(r->w, "kind", db_text(s, 4));
	jsonw_text(r->w, "connectionId", db_text(s, 5));
	jsonw_text(r->w, "platform", db_text(s, 6));
	jsonw_text(r->w, "targetId", db_text(s, 7));
	jsonw_bool(r->w, "livemode", db_int(s, 8) == 1);
	jsonw_text(r->w, "text", db_text(s, 25));
	jsonw_text(r->w, "status", status_of(s, r->now));
	jsonw_text(r->w, "statusReason", db_text(s, 10));
	times(r, s);
	jsonw_text(r->w, "remotePostId", db_text(s, 15));
	jsonw_text(r->w, "remotePostUrl", db_text(s, 16));
	proof(r, s);
	jsonw_int(r->w, "attemptCount", db_int(s, 19));
	post_read_error(r, "error", db_text(s, 21), db_text(s, 6));
	list(r->w, "warnings", db_text(s, 22));
	jsonw_null(r->w, "credits");
	jsonw_time(r->w, "createdAt", db_int(s, 23));
	jsonw_time(r->w, "updatedAt", db_int(s, 24));
	if (attempts)
		attempts_of(c, r, db_text(s, 0));
	jsonw_object_end(r->w);
}

/* False if one of them has children: these stand in an order of their own.  Most posts have none. */
static bool write_roots(struct db_conn *c, struct api_request *r, const char *post_id, bool attempts)
{
	STMT_AUTO struct stmt *s = db_query(c, DELIVERY " WHERE post_id = ?1 AND organization_id = ?2 ORDER BY ordinal", "ss", post_id,
					    r->identity.owner.organization_id);

	while (db_next(s)) {
		if (!db_null(s, 2))
			return false;
		delivery_row(c, r, s, attempts);
	}
	return true;
}

void post_read_deliveries(struct db_conn *c, struct api_request *r, const char *post_id, bool attempts)
{
	struct jsonw before = *r->w;
	size_t mark = r->w->out->len;

	if (write_roots(c, r, post_id, attempts))
		return;
	buf_cut(r->w->out, mark);
	*r->w = before;
	STMT_AUTO struct stmt *s = db_query(c, POST_TREE DELIVERY " JOIN tree ON tree.delivery = delivery.id WHERE organization_id = ?2"
					    " ORDER BY " POST_TREE_ORDER, "ss", post_id, r->identity.owner.organization_id);

	while (db_next(s))
		delivery_row(c, r, s, attempts);
}

void post_read_one_delivery(struct db_conn *c, struct api_request *r, const char *id)
{
	STMT_AUTO struct stmt *s = db_query(c, DELIVERY " WHERE id = ?1 AND organization_id = ?2", "ss", id, r->identity.owner.organization_id);

	if (db_next(s))
		delivery_row(c, r, s, false);
}

/* ---- posts ------------------------------------------------------------------------------------------ */

static void local_time(struct api_request *r, const struct post *p)
{
	char text[ZONE_TEXT];
	struct cx cx;

	cx_init(&cx, r->id);
	jsonw_time(r->w, "scheduledAt", p->scheduled_at);
	if (p->scheduled_at > 0 && p->zone != NULL && zone_text(&cx, p->scheduled_at, p->zone, text) == RC_OK)
		jsonw_text(r->w, "localScheduledAt", text);
	else
		jsonw_null(r->w, "localScheduledAt");
	jsonw_text(r->w, "timezone", p->zone);
}

static void warnings(struct api_request *r, bool wanted)
{
	jsonw_array(r->w, "warnings");
	for (const struct error_issue *i = wanted ? r->more.issues : NULL; i; i = i->next) {
		jsonw_object(r->w, NULL);
		jsonw_text(r->w, "code", i->code);
		jsonw_text(r->w, "param", i->param);
		jsonw_text(r->w, "rule", i->rule);
		jsonw_text(r->w, "platform", i->platform);
		jsonw_text(r->w, "severity", i->severity);
		jsonw_text(r->w, "message", i->message);
		jsonw_object_end(r->w);
	}
	jsonw_array_end(r->w);
}

void post_read_warnings(struct api_request *r) { warnings(r, true); }

static void results(struct api_request *r, const struct post_act *act)
{
	jsonw_array(r->w, "results");
	for (int i = 0; i < act->count; i++) {
		jsonw_object(r->w, NULL);
		jsonw_text(r->w, "deliveryId", act->list[i].delivery_id);
		jsonw_bool(r->w, "done", act->list[i].done);
		jsonw_text(r->w, "status", act->list[i].status);
		jsonw_object_end(r->w);
	}
	jsonw_array_end(r->w);
}

static const char *const content_names[] = {"link", "media", "thread", "firstComment", NULL};

/* False is certain: a name stands as it is or with an escape. */
static bool may_have_content(const char *body)
{
	for (int i = 0; content_names[i] != NULL; i++)
		if (strstr(body, content_names[i]) != NULL)
			return true;
	return strchr(body, '\\') != NULL;
}

/* As it was asked for, with ids in the place of addresses. */
static void content_members(struct api_request *r, const struct post *p)
{
	const char *const *names = content_names;
	struct jv body = {0};
	struct cx cx;
	size_t n;

	cx_init(&cx, r->id);
	if (may_have_content(p->body))
		json_parse(&cx, r->arena, p->body, strlen(p->body), &body);
	for (int i = 0; names[i] != NULL; i++) {
		const char *value = json_raw(json_get(body, names[i]), &n);

		jsonw_raw(r->w, names[i], value, value ? n : 0);
	}
}

static void post_members(struct api_request *r, const struct post *p)
{
	jsonw_text(r->w, "id", p->id);
	jsonw_text(r->w, "status", p->status);
	jsonw_text(r->w, "mode", p->mode);
	jsonw_bool(r->w, "livemode", p->owner.live == 1);
	jsonw_text(r->w, "externalPostId", p->external_post_id);
	jsonw_text(r->w, "endUserId", p->end_user_id);
	jsonw_text(r->w, "externalUserId", p->external_user_id);
	jsonw_text(r->w, "text", p->text);
	content_members(r, p);
	local_time(r, p);
	jsonw_int(r->w, "maxLateSeconds", p->max_late_ms / 1000);
	jsonw_text(r->w, "onMissed", p->on_missed);
	jsonw_text(r->w, "partialPolicy", p->stop_on_failure ? "stop_on_first_failure" : "independent");
	list(r->w, "tags", p->tags);
	raw(r->w, "metadata", p->metadata ? p->metadata : "{}");
}

enum rc post_read_write(struct cx *cx, struct db_conn *c, struct api_request *r, const struct post *p, const struct post_read *extra)
{
	jsonw_object(r->w, NULL);
	post_members(r, p);
	jsonw_array(r->w, "deliveries");
	post_read_deliveries(c, r, p->id, extra && extra->attempts);
	jsonw_array_end(r->w);
	warnings(r, extra && extra->warnings);
	jsonw_null(r->w, "credits");
	jsonw_time(r->w, "createdAt", p->created_at);
	jsonw_time(r->w, "updatedAt", p->updated_at);
	if (extra && extra->act)
		results(r, extra->act);
	jsonw_object_end(r->w);
	return db_rc(c) == RC_OK ? RC_OK : db_fail(cx, c);
}

enum rc post_read_find(struct cx *cx, struct db_conn *c, struct api_request *r, const char *id, const struct post_read *extra)
{
	struct post p;
	enum rc rc = post_load(cx, c, id, &r->identity.owner, r->arena, &p);

	if (rc != RC_OK)
		return rc;
	api_etag(r, p.content_version);
	return post_read_write(cx, c, r, &p, extra);
}
