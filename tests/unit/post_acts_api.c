/*
 * Posts that exist, over HTTP: reading, listing, editing, acts, deliveries, operations, events, platforms; and that
 * nobody else's object differs from one that never was.
 */
#include "tests/unit/post_http.h"

#include <pthread.h>

#include "core/model/operation.h"

/* ---- reading --------------------------------------------------------------------------------------------- */

TEST(a_post_is_read_with_its_deliveries_and_attempts)
{
	const char *id = created("");

	ask("GET", path_of("/v1/posts/", id, ""), NULL);
	CHECK_STATUS(200);
	CHECK_STR(at("id"), id);
	CHECK(json_type(json_path(reply.json, "deliveries.0.attempts")) == JSON_NONE);
	CHECK(strstr(reply.text, "ETag: \"v1\"") != NULL);
	ask("GET", path_of("/v1/posts/", id, "?include=attempts"), NULL);
	CHECK(json_type(json_path(reply.json, "deliveries.0.attempts")) == JSON_ARRAY);
	ask("GET", path_of("/v1/posts/", id, "/deliveries"), NULL);
	CHECK_INT(count_at("data"), 1);
	CHECK_STR(at("data.0.postId"), id);
}

TEST(an_error_of_a_delivery_is_an_envelope)
{
	const char *id = created("");

	put(id, "failed", "{\"code\":\"platform_rejected\",\"message\":\"no\",\"platformCode\":\"policy\",\"httpStatus\":422,\"retryable\":true}");
	ask("GET", path_of("/v1/posts/", id, ""), NULL);
	CHECK_STR(at("status"), "failed");
	CHECK_STR(at("deliveries.0.error.type"), "platform_error");
	CHECK_STR(at("deliveries.0.error.code"), "platform_rejected");
	CHECK_STR(at("deliveries.0.error.faultSource"), "platform");
	CHECK_STR(at("deliveries.0.error.platformError.httpStatus"), "422");
	CHECK_STR(at("deliveries.0.error.platformError.code"), "policy");
}

struct attempting { const char *delivery_id; };

static enum rc add_attempts(struct cx *cx, struct db_conn *c, void *arg)
{
	struct attempting *k = arg;
	struct owner o = {orgs[0].id, orgs[0].app_id, 1};
	struct attempt t = {.phase = "published", .class = "once", .method = "POST", .endpoint = "https://a.example/posts",
		.outcome = "answered", .words = "fine", .body = "{}", .status = 200, .sent_at = 1, .took_ms = 7};

	for (int i = 0; i < 5; i++)
		attempt_add(c, &o, "op_1", k->delivery_id, &t);
	return db_rc(c) == RC_OK ? RC_OK : db_fail(cx, c);
}

TEST(attempts_page)
{
	struct attempting k;
	struct cx cx;
	char delivery[ID_MAX], path[300];

	created("");
	snprintf(delivery, sizeof delivery, "%s", at("deliveries.0.id"));
	k.delivery_id = delivery;
	cx_init(&cx, "test");
	CHECK_SAY(db_write(&cx, store.db, add_attempts, &k) == RC_OK, "%s", cx.words);
	ask("GET", path_of("/v1/deliveries/", delivery, "/attempts?limit=3"), NULL);
	CHECK_STATUS(200);
	CHECK_INT(count_at("data"), 3);
	CHECK_STR(at("data.0.httpStatus"), "200");
	CHECK_STR(at("data.0.class"), "once");
	snprintf(path, sizeof path, "/v1/deliveries/%s/attempts?limit=3&cursor=%s", delivery, at("nextCursor"));
	ask("GET", path, NULL);
	CHECK_INT(count_at("data"), 2);
	CHECK_STR(at("hasMore"), "false");
}

/* ---- listing --------------------------------------------------------------------------------------------- */

static int listed(const char *query)
{
	char path[300];

	snprintf(path, sizeof path, "/v1/posts?%s", query);
	ask("GET", path, NULL);
	CHECK_SAY(reply.status == 200, "%s: %s", query, reply.text);
	return (int)count_at("data");
}

TEST(lists_are_filtered)
{
	const char *id = created("\"tags\":[\"launch\",\"x\"],\"externalPostId\":\"listed\",\"scheduledAt\":\"2026-12-20T10:00:00Z\","
		"\"onPast\":\"publish_now\"");
	char path[200];

	CHECK_INT(listed("externalPostId=listed"), 1);
	CHECK_STR(at("data.0.id"), id);
	CHECK_INT(listed("externalPostId=nope"), 0);
	CHECK_INT(listed("tag=launch"), 1);
	CHECK_INT(listed("tag=laun"), 0);
	CHECK_INT(listed("externalPostId=listed&externalUserId=alice"), 1);
	CHECK_INT(listed("externalPostId=listed&externalUserId=bob"), 0);
	CHECK_INT(listed("externalUserId=nobody"), 0);
	CHECK_INT(listed("externalPostId=listed&platform=plain&connectionId=con_plain"), 1);
	CHECK_INT(listed("externalPostId=listed&platform=wide"), 0);
	CHECK_INT(listed("externalPostId=listed&connectionId=con_wide"), 0);
	CHECK_INT(listed("externalPostId=listed&status=canceled"), 0);
	CHECK_INT(listed("externalPostId=listed&createdTo=2020-01-01T00:00:00Z"), 0);
	CHECK_INT(listed("externalPostId=listed&createdFrom=2020-01-01T00:00:00Z"), 1);
	snprintf(path, sizeof path, "%s", "/v1/posts?createdFrom=yesterday");
	ask("GET", path, NULL);
	CHECK_ERROR(422, "field_invalid", "createdFrom");
	ask("GET", "/v1/posts?status=gone", NULL);
	CHECK_ERROR(422, "field_invalid", "status");
}

TEST(lists_are_newest_first_and_page_to_the_end)
{
	char path[600] = "/v1/posts?limit=2&status=canceled", last[ID_MAX] = "~";
	const char *ids[5];
	int seen = 0;

	for (int i = 0; i < 5; i++) {
		ids[i] = created("");
		ask("POST", path_of("/v1/posts/", ids[i], "/cancel"), "{}");
		CHECK_STATUS(200);
	}
	do {
		ask("GET", path, NULL);
		CHECK_STATUS(200);
		for (size_t i = 0; i < count_at("data"); i++, seen++) {
			char key[32];

			snprintf(key, sizeof key, "data.%zu.id", i);
			CHECK(strcmp(at(key), last) < 0);
			snprintf(last, sizeof last, "%s", at(key));
		}
		if (at("nextCursor"))
			snprintf(path, sizeof path, "/v1/posts?limit=2&status=canceled&cursor=%s", at("nextCursor"));
	} while (text_eq(at("hasMore"), "true"));
	CHECK(seen >= 5);
}

static enum rc make_shared(struct cx *cx, struct db_conn *c, void *arg)
{
	(void)cx;
	db_run(c, "UPDATE post SET end_user_id = NULL WHERE id = ?1 AND organization_id = ?2", "ss", (const char *)arg, orgs[0].id);
	return db_rc(c);
}

#define TWIN "{\"connectionId\":\"con_twin2\"}"
#define ALLOWED "\"duplicatePolicy\":\"allow\""

/* Those of the connection's person and those of several persons, in one order; filters and pages hold for both. */
TEST(lists_of_a_connection_are_whole_and_in_order)
{
	char path[600] = "/v1/posts?limit=1&connectionId=con_twin2", ids[4][ID_MAX];
	struct cx cx;
	int seen = 0;

	cx_init(&cx, "test");
	for (int i = 0; i < 4; i++) {
		created("");
		ask("POST", "/v1/posts", i % 2 ? "{\"targets\":[" TWIN "],\"text\":\"odd\"," ALLOWED "}"
		    : "{\"targets\":[{\"connectionId\":\"con_plain\"}," TWIN "],\"text\":\"even\"," ALLOWED "}");
		CHECK_SAY(reply.status == 202, "%s", reply.text);
		snprintf(ids[i], ID_MAX, "%s", at("id"));
		if (i >= 2)
			continue;
		CHECK(db_write(&cx, store.db, make_shared, ids[i]) == RC_OK);
	}
	do {
		ask("GET", path, NULL);
		CHECK_STATUS(200);
		CHECK_STR(at("data.0.id"), ids[3 - seen]);
		seen++;
		if (at("nextCursor"))
			snprintf(path, sizeof path, "/v1/posts?limit=1&connectionId=con_twin2&cursor=%s", at("nextCursor"));
	} while (text_eq(at("hasMore"), "true"));
	CHECK_INT(seen, 4);
	CHECK_INT(listed("connectionId=con_twin2&externalUserId=alice"), 2);
	CHECK_INT(listed("connectionId=con_twin2&externalUserId=bob"), 0);
	CHECK_INT(listed("connectionId=con_twin2&status=canceled"), 0);
	CHECK_INT(listed("externalUserId=bob"), 0);
	CHECK(listed("externalUserId=alice&status=publishing") > 0);
}

/* ---- editing --------------------------------------------------------------------------------------------- */

#define LATER "\"scheduledAt\":\"2027-05-01T10:00:00Z\""

static int64_t in_2027(void) { return 1798761600000; }	/* 2027-01-01 */

static void edit_in_2027(const char *id, const char *head, const char *body)
{
	ask_as("live", "PATCH", path_of("/v1/posts/", id, ""), head, body);
}

TEST(an_edit_changes_what_it_names)
{
	start();
	clock_fake(in_2027);
	const char *id = created(LATER ",\"tags\":[\"a\"],\"options\":{\"plain\":{\"delay\":3}}");

	edit_in_2027(id, "If-Match: \"v1\"\r\n", "{\"text\":\"new\",\"tags\":null}");
	CHECK_STATUS(200);
	CHECK_STR(at("text"), "new");
	CHECK_INT(count_at("tags"), 0);
	CHECK_STR(at("scheduledAt"), "2027-05-01T10:00:00.000Z");
	CHECK_STR(at("status"), "scheduled");
	CHECK(strstr(reply.text, "ETag: \"v2\"") != NULL);
	edit_in_2027(id, "If-Match: \"v1\"\r\n", "{\"text\":\"newer\"}");
	CHECK_ERROR(412, "precondition_failed", "If-Match");
	edit_in_2027(id, "", "{\"scheduledAt\":\"2027-06-01T10:00:00\",\"timezone\":\"Europe/Berlin\"}");
	CHECK_STATUS(200);
	CHECK_STR(at("scheduledAt"), "2027-06-01T08:00:00.000Z");
	CHECK_STR(at("deliveries.0.scheduledAt"), "2027-06-01T08:00:00.000Z");
	CHECK_STR(at("text"), "new");
	clock_fake(NULL);
}

TEST(an_edit_is_judged_like_a_new_post)
{
	static const struct { const char *body; int status; const char *code, *param; } table[] = {
		{"{\"text\":\"0123456789A\"}", 422, "text_too_long", "text"},
		{"{\"targets\":[{\"connectionId\":\"con_plain\",\"text\":\"0123456789A\"}]}", 422, "text_too_long", "targets[0].text"},
		{"{\"text\":null}", 422, "text_required", "text"},
		{"{\"scheduledAt\":\"2026-05-01T10:00:00Z\"}", 422, "time_in_past", "scheduledAt"},
		{"{\"scheduledAt\":null}", 422, "field_required", "scheduledAt"},
		{"{\"targets\":[{\"connectionId\":\"con_wide\"}]}", 422, "field_invalid", "targets[0]"},
		{"{\"targets\":[{\"platform\":\"plain\"},{\"platform\":\"plain\"}]}", 422, "field_invalid", "targets[1]"},
		{"{\"mode\":\"draft\"}", 422, "field_invalid", "mode"},
		{"{\"media\":[{\"url\":\"https://a.example/x.png\"}]}", 422, "media_type_unsupported", "media[0]"},
		{"{\"externalUserId\":\"bob\"}", 422, "unknown_field", "externalUserId"},
	};

	start();
	clock_fake(in_2027);
	const char *id = created(LATER);
	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		edit_in_2027(id, "", table[i].body);
		CHECK_SAY(reply.status == table[i].status && text_eq(at("error.code"), table[i].code) &&
			  text_eq(at("error.param"), table[i].param), "%s: %s", table[i].body, reply.body);
	}
	ask("GET", path_of("/v1/posts/", id, ""), NULL);
	CHECK(strstr(reply.text, "ETag: \"v1\"") != NULL);
	edit_in_2027(id, "", "{\"targets\":[{\"platform\":\"plain\",\"text\":\"own\",\"options\":{\"delay\":2}}]}");
	CHECK_STATUS(200);
	clock_fake(NULL);
}

TEST(what_has_begun_is_not_edited)
{
	const char *id = created("");

	put(id, "processing", NULL);
	ask("PATCH", path_of("/v1/posts/", id, ""), "{\"text\":\"late\"}");
	CHECK_ERROR(409, "post_not_editable", NULL);
}

TEST(a_draft_gets_its_time_or_is_published)
{
	start();
	clock_fake(in_2027);
	const char *id = created("\"mode\":\"draft\"");

	edit_in_2027(id, "", "{\"text\":\"draft 2\"}");
	CHECK_STR(at("status"), "draft");
	edit_in_2027(id, "", "{\"mode\":\"schedule\"," LATER "}");
	CHECK_STATUS(200);
	CHECK_STR(at("status"), "scheduled");
	ask("POST", path_of("/v1/posts/", id, "/publish"), NULL);
	CHECK_STATUS(202);
	CHECK_STR(at("status"), "publishing");
	CHECK_STR(at("deliveries.0.status"), "queued");
	CHECK_STR(at("results.0.done"), "true");
	ask("POST", path_of("/v1/posts/", id, "/publish"), NULL);
	CHECK_ERROR(409, "post_not_editable", NULL);
	clock_fake(NULL);
}

static int64_t in_june(void) { return 1798761600000 + 151ll * 86400000; }

TEST(a_draft_whose_time_has_passed_is_not_scheduled_by_its_mode)
{
	start();
	clock_fake(in_2027);
	const char *id = created("\"mode\":\"draft\"," LATER);
	clock_fake(in_june);
	edit_in_2027(id, "", "{\"mode\":\"schedule\"}");
	CHECK_ERROR(422, "time_in_past", "scheduledAt");
	clock_fake(in_2027);
	edit_in_2027(id, "", "{\"mode\":\"schedule\"}");
	CHECK_STR(at("scheduledAt"), "2027-05-01T10:00:00.000Z");
	clock_fake(NULL);
}

/* ---- acts ------------------------------------------------------------------------------------------------ */

TEST(cancel_and_its_alias)
{
	const char *id = created(""), *other = created("");

	ask("DELETE", path_of("/v1/posts/", id, ""), NULL);
	CHECK_STATUS(200);
	CHECK_STR(at("status"), "canceled");
	CHECK_STR(at("results.0.done"), "true");
	ask("POST", path_of("/v1/posts/", id, "/cancel"), NULL);
	CHECK_ERROR(409, "post_not_cancelable", NULL);
	put(other, "committing", NULL);
	ask("POST", path_of("/v1/posts/", other, "/cancel"), NULL);
	CHECK_ERROR(409, "post_not_cancelable", NULL);
}

TEST(retry_of_what_failed)
{
	const char *id = created("");

	ask("POST", path_of("/v1/posts/", id, "/retry"), NULL);
	CHECK_ERROR(409, "nothing_to_retry", NULL);
	put(id, "unconfirmed", NULL);
	ask("POST", path_of("/v1/posts/", id, "/retry"), NULL);
	CHECK_ERROR(409, "nothing_to_retry", NULL);
	put(id, "failed", "{\"code\":\"platform_rejected\",\"message\":\"no\"}");
	ask("POST", path_of("/v1/posts/", id, "/retry"), "{\"deliveryIds\":[\"dlv_x\"]}");
	CHECK_ERROR(404, "delivery_not_found", "deliveryIds");
	ask("POST", path_of("/v1/posts/", id, "/retry"), NULL);
	CHECK_STATUS(202);
	CHECK_STR(at("deliveries.0.status"), "queued");
	CHECK(json_type(json_path(reply.json, "deliveries.0.error")) == JSON_NULL);
}

TEST(a_person_resolves_and_reconciles)
{
	const char *id = created("");
	char delivery[ID_MAX], operation[ID_MAX];

	snprintf(delivery, sizeof delivery, "%s", at("deliveries.0.id"));
	ask("POST", path_of("/v1/deliveries/", delivery, "/reconcile"), NULL);
	CHECK_ERROR(409, "delivery_not_unconfirmed", NULL);
	put(id, "unconfirmed", NULL);
	ask("POST", path_of("/v1/deliveries/", delivery, "/reconcile"), NULL);
	CHECK_STATUS(202);
	ask("POST", path_of("/v1/deliveries/", delivery, "/resolve"), "{}");
	CHECK_ERROR(422, "field_required", "outcome");
	ask("POST", path_of("/v1/deliveries/", delivery, "/resolve"), "{\"outcome\":\"not_published\",\"remotePostId\":\"1\"}");
	CHECK_ERROR(422, "field_invalid", "remotePostId");
	ask("POST", path_of("/v1/deliveries/", delivery, "/resolve"),
	    "{\"outcome\":\"published\",\"remotePostId\":\"r9\",\"remotePostUrl\":\"https://a.example/r9\"}");
	CHECK_STATUS(200);
	CHECK_STR(at("status"), "published");
	CHECK_STR(at("proof.kind"), "person");
	CHECK_STR(at("remotePostId"), "r9");
	ask("POST", path_of("/v1/deliveries/", delivery, "/resolve"), "{\"outcome\":\"not_published\"}");
	CHECK_ERROR(409, "delivery_not_unconfirmed", NULL);
	ask("PATCH", path_of("/v1/deliveries/", delivery, ""), "{\"text\":\"other words\"}");	/* its provider has no edit */
	CHECK_ERROR(422, "option_not_supported", NULL);
	ask("POST", path_of("/v1/deliveries/", delivery, "/unpublish"), NULL);
	CHECK_STATUS(202);
	CHECK_STR(at("kind"), "remove");
	CHECK_STR(at("status"), "running");
	snprintf(operation, sizeof operation, "%s", at("id"));
	ask("GET", path_of("/v1/operations/", operation, ""), NULL);
	CHECK_STATUS(200);
	CHECK_STR(at("deliveryId"), delivery);
	for (int i = 0; i < 2; i++) {
		ask_as(i ? "other" : "test", "GET", path_of("/v1/operations/", operation, ""), "", NULL);
		CHECK_ERROR(404, "operation_not_found", NULL);
	}
}

/* ---- waiting --------------------------------------------------------------------------------------------- */

static char waited[ID_MAX];

static void *publish_soon(void *arg)
{
	struct put p = {waited, "published", NULL, 5};
	struct cx cx;

	(void)arg;
	cx_init(&cx, "test");
	while (api.polls == 0)
		usleep(1000);
	db_write(&cx, store.db, put_run, &p);
	return NULL;
}

TEST(wait_holds_the_answer_until_it_is_over)
{
	pthread_t thread;

	snprintf(waited, sizeof waited, "%s", created(""));
	CHECK(pthread_create(&thread, NULL, publish_soon, NULL) == 0);
	ask("GET", path_of("/v1/posts/", waited, "?wait=30"), NULL);
	pthread_join(thread, NULL);
	CHECK_STR(at("status"), "published");
}

TEST(wait_does_not_hold_what_cannot_move)
{
	int64_t before = clock_mono();
	const char *draft = created("\"mode\":\"draft\"");

	ask("GET", path_of("/v1/posts/", draft, "?wait=30"), NULL);
	CHECK_STR(at("status"), "draft");
	put(draft, "unconfirmed", NULL);
	ask("GET", path_of("/v1/posts/", draft, "?wait=30"), NULL);
	ask("GET", path_of("/v1/posts/", "post_none", "?wait=30"), NULL);
	CHECK_STATUS(404);
	CHECK(clock_mono() - before < 25000);
}

/* ---- events ---------------------------------------------------------------------------------------------- */

TEST(the_feed_is_in_order_and_filtered)
{
	char path[200];
	const char *id = created("");
	int64_t last = 0, n;

	ask("GET", "/v1/events?limit=200", NULL);
	CHECK_STATUS(200);
	for (size_t i = 0; i < count_at("data"); i++) {
		CHECK(json_int(json_get(json_at(json_get(reply.json, "data"), i), "sequence"), &n) && n > last);
		last = n;
	}
	CHECK(json_int(json_get(reply.json, "nextAfter"), &n));
	CHECK_INT(n, last);
	snprintf(path, sizeof path, "/v1/events?after=%lld&types=post.*", (long long)last);
	ask("GET", path, NULL);
	CHECK_INT(count_at("data"), 0);
	ask("POST", path_of("/v1/posts/", id, "/cancel"), NULL);
	ask("GET", path, NULL);
	CHECK_INT(count_at("data"), 1);
	CHECK_STR(at("data.0.type"), "post.canceled");
	CHECK_STR(at("data.0.data.object.id"), id);
	CHECK_STR(at("data.0.data.previous.status"), "publishing");
	CHECK_STR(at("data.0.externalUserId"), "alice");
	snprintf(path, sizeof path, "/v1/events?after=%lld&types=delivery.failed,post.failed", (long long)last);
	ask("GET", path, NULL);
	CHECK_INT(count_at("data"), 0);
	CHECK(json_int(json_get(reply.json, "nextAfter"), &n) && n > last);
	ask("GET", "/v1/events?types=post.publishd", NULL);
	CHECK_ERROR(422, "field_invalid", "types");
	ask_as("other", "GET", "/v1/events?types=post.canceled", "", NULL);
	CHECK_INT(count_at("data"), 0);
	ask_as("test", "GET", "/v1/events", "", NULL);
	CHECK_INT(count_at("data"), 0);
}

TEST(the_feed_pages)
{
	int64_t n;

	created("");
	created("");
	ask("GET", "/v1/events?limit=1", NULL);
	CHECK_INT(count_at("data"), 1);
	CHECK_STR(at("hasMore"), "true");
	CHECK(json_int(json_get(reply.json, "nextAfter"), &n));
	ask("GET", path_of("/v1/events?limit=1&after=", at("nextCursor"), ""), NULL);
	CHECK(json_int(json_path(reply.json, "data.0.sequence"), &n));
}

/* ---- platforms ------------------------------------------------------------------------------------------- */

TEST(platforms_tell_their_limits)
{
	ask("GET", "/v1/platforms", NULL);
	CHECK_STATUS(200);
	CHECK_INT(count_at("data"), 4);
	CHECK_STR(at("data.1.id"), "plain");
	ask_as("test", "GET", "/v1/platforms", "", NULL);
	CHECK_INT(count_at("data"), 5);
	ask("GET", "/v1/platforms/plain", NULL);
	CHECK_STR(at("text.max"), "10");
	CHECK_STR(at("text.count"), "graphemes");
	CHECK_STR(at("capabilities.delete"), "true");
	CHECK_STR(at("capabilities.video"), "false");
	CHECK_STR(at("status"), "operational");
	ask("GET", "/v1/platforms/plain/schema", NULL);
	CHECK_STR(at("properties.visibility.enum.1"), "unlisted");
	CHECK_STR(at("properties.visibility.default"), "public");
	CHECK_STR(at("properties.delay.maximum"), "9");
	CHECK_STR(at("properties.until.format"), "date-time");
	ask("GET", "/v1/platforms/sandbox", NULL);
	CHECK_ERROR(404, "platform_unknown", NULL);
}

/* ---- nobody else's --------------------------------------------------------------------------------------- */

/* The body without its request id. */
static const char *body_without_id(void)
{
	static char ring[2][4096];
	static int next;
	char *id;

	next = !next;
	snprintf(ring[next], sizeof ring[next], "%s", reply.body);
	id = strstr(ring[next], "req_");
	if (id != NULL)
		memset(id, '-', 30);
	return ring[next];
}

TEST(another_ones_object_is_like_one_that_never_was)
{
	static const struct { const char *method, *before, *behind, *body; bool delivery; } table[] = {
		{"GET", "/v1/posts/", "", NULL, false}, {"GET", "/v1/posts/", "?wait=1", NULL, false},
		{"GET", "/v1/posts/", "/deliveries", NULL, false}, {"PATCH", "/v1/posts/", "", "{\"text\":\"x\"}", false},
		{"DELETE", "/v1/posts/", "", NULL, false}, {"POST", "/v1/posts/", "/cancel", NULL, false},
		{"POST", "/v1/posts/", "/publish", NULL, false}, {"POST", "/v1/posts/", "/retry", NULL, false},
		{"GET", "/v1/deliveries/", "", NULL, true}, {"GET", "/v1/deliveries/", "/attempts", NULL, true},
		{"POST", "/v1/deliveries/", "/resolve", "{\"outcome\":\"published\"}", true}, {"POST", "/v1/deliveries/", "/reconcile", NULL, true},
		{"POST", "/v1/deliveries/", "/unpublish", NULL, true}, {"PATCH", "/v1/deliveries/", "", "{\"text\":\"x\"}", true},
	};
	const char *post_id = created("");
	char delivery_id[ID_MAX];

	snprintf(delivery_id, sizeof delivery_id, "%s", at("deliveries.0.id"));
	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
		for (int k = 0; k < 2; k++) {
			const char *key = k ? "test" : "other", *mine = table[i].delivery ? delivery_id : post_id, *theirs;

			ask_as(key, table[i].method, path_of(table[i].before, mine, table[i].behind), "", table[i].body);
			CHECK_SAY(reply.status == 404, "%s %s: %s", table[i].method, table[i].before, reply.text);
			theirs = body_without_id();
			ask_as(key, table[i].method, path_of(table[i].before, table[i].delivery ? "dlv_0" : "post_0", table[i].behind), "", table[i].body);
			CHECK_STR(body_without_id(), theirs);
		}
	ask("GET", path_of("/v1/posts/", post_id, ""), NULL);
	CHECK_STR(at("status"), "publishing");
}

TEST(lists_show_nobody_elses)
{
	created("");
	ask_as("other", "GET", "/v1/posts?connectionId=con_plain", "", NULL);
	CHECK_STATUS(200);
	CHECK_INT(count_at("data"), 0);
	ask_as("test", "GET", "/v1/posts?connectionId=con_plain", "", NULL);
	CHECK_STATUS(200);
	CHECK_INT(count_at("data"), 0);
}
