/*
 * POST /v1/posts over HTTP: who, when, what; every problem at once and where it stands.
 */
#include "tests/unit/post_http.h"

#include <time.h>

#define TO "\"targets\":[{\"connectionId\":\"con_plain\"}],"

/* ---- accepted -------------------------------------------------------------------------------------------- */

TEST(a_post_for_now)
{
	int before = wakes;

	ask("POST", "/v1/posts", "{\"externalUserId\":\"alice\",\"platforms\":[\"plain\",\"wide\"],\"text\":\"hello\",\"tags\":[\"a\"],"
	    "\"metadata\":{\"k\":\"v\"},\"externalPostId\":\"p-1\"}");
	CHECK_STATUS(202);
	CHECK(id_valid(at("id"), "post"));
	CHECK_STR(at("status"), "publishing");
	CHECK_STR(at("mode"), "now");
	CHECK_STR(at("externalUserId"), "alice");
	CHECK_STR(at("endUserId"), "eu_alice");
	CHECK_INT(count_at("deliveries"), 2);
	CHECK_STR(at("deliveries.0.connectionId"), "con_plain");
	CHECK_STR(at("deliveries.0.status"), "queued");
	CHECK_STR(at("deliveries.1.platform"), "wide");
	CHECK_STR(at("metadata.k"), "v");
	CHECK_STR(at("tags.0"), "a");
	CHECK_STR(at("livemode"), "true");
	CHECK(strstr(reply.text, "\r\nETag: \"v1\"") != NULL);
	CHECK_INT(wakes, before + 1);
}

TEST(wall_time_and_zone_give_the_instant)
{
	char body[300];
	time_t day = time(NULL) + 100 * 86400;
	struct tm tm;

	gmtime_r(&day, &tm);
	snprintf(body, sizeof body, "{" TO "\"text\":\"later\",\"scheduledAt\":\"%04d-%02d-%02dT12:00:00\",\"timezone\":\"Asia/Tokyo\"}",
		 tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday);
	ask("POST", "/v1/posts", body);
	CHECK_STATUS(202);
	CHECK_STR(at("status"), "scheduled");
	CHECK_STR(at("mode"), "schedule");
	CHECK_STR(at("scheduledAt") + 10, "T03:00:00.000Z");
	CHECK_STR(at("localScheduledAt") + 10, "T12:00:00.000+09:00");
	CHECK_STR(at("timezone"), "Asia/Tokyo");
	CHECK_STR(at("deliveries.0.status"), "pending");
	CHECK_STR(at("deliveries.0.scheduledAt") + 10, "T03:00:00.000Z");
}

TEST(drafts_answer_201_and_are_never_due)
{
	created("\"mode\":\"draft\"");
	CHECK_STATUS(201);
	CHECK_STR(at("status"), "draft");
	CHECK_STR(at("deliveries.0.status"), "pending");
}

TEST(targets_have_texts_and_options_of_their_own)
{
	struct db_conn *c;
	char id[ID_MAX];

	ask("POST", "/v1/posts", "{\"text\":\"far too long for plain\",\"options\":{\"plain\":{\"delay\":3,\"sensitive\":true}},\"targets\":["
	    "{\"connectionId\":\"con_plain\",\"text\":\"short\",\"options\":{\"delay\":4,"
	    "\"langs\":[\"en\",\"de\"],\"until\":\"2030-01-01T00:00:00Z\"}},"
	    "{\"connectionId\":\"con_wide\",\"link\":\"https://a.example/x\"}]}");
	CHECK_STATUS(202);
	snprintf(id, sizeof id, "%s", at("id"));
	c = db_take(store.db);
	{
		STMT_AUTO struct stmt *s = db_query(c, "SELECT text, content FROM delivery WHERE post_id = ?1 ORDER BY ordinal", "s", id);

		CHECK(db_next(s));
		CHECK_STR(db_text(s, 0), "short");
		CHECK_STR(db_text(s, 1), "{\"options\":{\"visibility\":\"public\",\"sensitive\":\"true\",\"delay\":\"4\",\"langs\":\"en\\nde\","
			  "\"until\":\"1893456000000\"},\"media\":[]}");
		CHECK(db_next(s));
		CHECK_STR(db_text(s, 0), "far too long for plain");
		CHECK_STR(db_text(s, 1), "{\"link\":\"https://a.example/x\",\"options\":{},\"media\":[]}");
	}
	db_give(c);
}

/* ---- refused --------------------------------------------------------------------------------------------- */

static const struct { const char *body; int status; const char *code, *param, *rule; } refused[] = {
	/* who */
	{"{\"text\":\"x\"}", 422, "field_required", "targets", NULL},
	{"{\"text\":\"x\",\"platforms\":[\"plain\"]}", 422, "field_required", "externalUserId", NULL},
	{"{\"text\":\"x\",\"platforms\":[\"plain\"],\"externalUserId\":\"nobody\"}", 404, "end_user_not_found", "externalUserId", NULL},
	{"{\"text\":\"x\",\"platforms\":[\"plain\"],\"endUserId\":\"eu_other\"}", 404, "end_user_not_found", "endUserId", NULL},
	{"{\"text\":\"x\",\"platforms\":[\"plain\"],\"endUserId\":\"eu_bob\",\"externalUserId\":\"alice\"}",
	 422, "field_invalid", "endUserId", NULL},
	{"{\"text\":\"x\",\"platforms\":[\"plian\"],\"externalUserId\":\"alice\"}", 422, "platform_unknown", "platforms[0]", NULL},
	{"{\"text\":\"x\",\"platforms\":[\"sandbox\"],\"externalUserId\":\"alice\"}", 422, "platform_unknown", "platforms[0]", NULL},
	{"{\"text\":\"x\",\"platforms\":[\"twin\"],\"externalUserId\":\"alice\"}", 409, "connection_ambiguous", "platforms[0]", NULL},
	{"{\"text\":\"x\",\"platforms\":[\"wide\"],\"externalUserId\":\"bob\"}", 404, "connection_not_found", "platforms[0]", NULL},
	{"{\"text\":\"x\",\"platforms\":[\"plain\"],\"externalUserId\":\"bob\"}", 409, "connection_reauth_required", "platforms[0]", NULL},
	{"{\"text\":\"x\",\"targets\":[{\"connectionId\":\"con_other\"}]}", 404, "connection_not_found", "targets[0].connectionId", NULL},
	{"{\"text\":\"x\",\"targets\":[{\"connectionId\":\"con_test\"}]}", 404, "connection_not_found", "targets[0].connectionId", NULL},
	{"{\"text\":\"x\",\"externalUserId\":\"bob\",\"targets\":[{\"connectionId\":\"con_plain\"}]}", 404, "connection_not_found",
	 "targets[0].connectionId", NULL},
	{"{\"text\":\"x\",\"targets\":[{}]}", 422, "field_required", "targets[0].connectionId", NULL},
	{"{\"text\":\"x\",\"targets\":[{\"connectionId\":\"con_plain\",\"platform\":\"wide\"}]}",
	 422, "field_invalid", "targets[0].platform", NULL},
	{"{\"text\":\"x\",\"targets\":[{\"connectionId\":\"con_plain\"},{\"connectionId\":\"con_plain\"}]}",
	 422, "field_invalid", "targets[1]", NULL},
	/* when */
	{"{" TO "\"text\":\"x\",\"scheduledAt\":\"2030-01-01T00:00:00\"}", 422, "time_offset_missing", "scheduledAt", NULL},
	{"{" TO "\"text\":\"x\",\"scheduledAt\":\"soon\"}", 422, "field_invalid", "scheduledAt", NULL},
	{"{" TO "\"text\":\"x\",\"scheduledAt\":\"2020-01-01T00:00:00Z\"}", 422, "time_in_past", "scheduledAt", NULL},
	{"{" TO "\"text\":\"x\",\"scheduledAt\":\"2999-01-01T00:00:00Z\"}", 422, "schedule_too_far", "scheduledAt", NULL},
	{"{" TO "\"text\":\"x\",\"scheduledAt\":\"2030-03-31T02:30:00\",\"timezone\":\"Europe/Berlin\"}",
	 422, "time_nonexistent", "scheduledAt", NULL},
	{"{" TO "\"text\":\"x\",\"scheduledAt\":\"2030-10-27T02:30:00\",\"timezone\":\"Europe/Berlin\"}",
	 422, "time_ambiguous", "scheduledAt", NULL},
	{"{" TO "\"text\":\"x\",\"scheduledAt\":\"2030-01-01T00:00:00\",\"timezone\":\"Mars/Base\"}", 422, "field_invalid", "timezone", NULL},
	{"{" TO "\"text\":\"x\",\"mode\":\"schedule\"}", 422, "field_required", "targets[0].scheduledAt", NULL},
	{"{" TO "\"text\":\"x\",\"mode\":\"now\",\"scheduledAt\":\"2030-01-01T00:00:00Z\"}", 422, "field_invalid", "mode", NULL},
	{"{\"text\":\"x\",\"targets\":[{\"connectionId\":\"con_plain\",\"scheduledAt\":\"2020-01-01T00:00:00Z\"}]}", 422, "time_in_past",
	 "targets[0].scheduledAt", NULL},
	/* what */
	{"{" TO "\"text\":\"0123456789A\"}", 422, "text_too_long", "targets[0].text", "plain.text.max_graphemes"},
	{"{\"externalUserId\":\"alice\",\"platforms\":[\"plain\"],\"text\":\"0123456789A\"}",
	 422, "text_too_long", "text", "plain.text.max_graphemes"},
	{"{" TO "\"text\":\"\"}", 422, "text_required", "targets[0].text", "plain.text.required"},
	{"{" TO "\"text\":\" \\n\"}", 422, "text_required", "targets[0].text", "plain.text.required"},
	{"{" TO "\"text\":\"x\",\"link\":\"https://a.example/\"}", 422, "option_not_supported", "targets[0].link", "plain.link"},
	{"{\"text\":\"x\",\"targets\":[{\"connectionId\":\"con_wide\",\"link\":\"ftp://a\"}]}",
	 422, "field_invalid", "targets[0].link", "wide.link"},
	{"{" TO "\"text\":\"x\",\"media\":[{\"mediaId\":\"med_1\"}]}", 404, "media_not_found", "media[0].mediaId", NULL},
	{"{" TO "\"text\":\"x\",\"thread\":[{\"text\":\"y\"}]}", 422, "option_not_supported", "thread", "plain.threads"},
	{"{\"text\":\"x\",\"targets\":[{\"connectionId\":\"con_plain\",\"firstComment\":\"y\"}]}", 422, "option_not_supported",
	 "targets[0].firstComment", "plain.first_comment"},
	{"{" TO "\"text\":\"x\",\"approval\":{\"required\":true}}", 422, "option_not_supported", "approval", NULL},
	{"{" TO "\"text\":\"x\",\"options\":{\"wide\":{}}}", 422, "unknown_field", "options.wide", NULL},
	{"{" TO "\"text\":\"x\",\"options\":[]}", 422, "field_invalid", "options", NULL},
	{"{" TO "\"text\":\"x\",\"options\":{\"plain\":{\"visibilty\":\"public\"}}}", 422, "option_not_supported", "options.plain.visibilty",
	 "plain.options.unknown"},
	{"{" TO "\"text\":\"x\",\"options\":{\"plain\":{\"visibility\":\"secret\"}}}", 422, "field_invalid", "options.plain.visibility",
	 "plain.options.visibility.values"},
	{"{\"text\":\"x\",\"targets\":[{\"connectionId\":\"con_plain\",\"options\":{\"sensitive\":\"true\"}}]}", 422, "field_invalid",
	 "targets[0].options.sensitive", "plain.options.sensitive.type"},
	{"{\"text\":\"x\",\"targets\":[{\"connectionId\":\"con_plain\",\"options\":{\"delay\":10}}]}", 422, "field_invalid",
	 "targets[0].options.delay", "plain.options.delay.max"},
	{"{\"text\":\"x\",\"targets\":[{\"connectionId\":\"con_plain\",\"options\":{\"spoiler\":\"longer\"}}]}", 422, "field_invalid",
	 "targets[0].options.spoiler", "plain.options.spoiler.max"},
	{"{\"text\":\"x\",\"targets\":[{\"connectionId\":\"con_plain\",\"options\":{\"langs\":[\"a\",\"b\",\"c\"]}}]}", 422, "field_invalid",
	 "targets[0].options.langs", "plain.options.langs.max"},
	{"{\"text\":\"x\",\"targets\":[{\"connectionId\":\"con_plain\",\"options\":{\"until\":\"2030-01-01T00:00:00\"}}]}", 422,
	 "time_offset_missing", "targets[0].options.until", "plain.options.until.type"},
	/* the frame's part */
	{"{" TO "\"txt\":\"x\"}", 422, "unknown_field", "txt", NULL},
	{"{" TO "\"text\":\"x\",\"altText\":\"y\"}", 422, "unknown_field", "altText", NULL},
	{"{" TO "\"text\":\"x\",\"onMissed\":\"never\"}", 422, "field_invalid", "onMissed", NULL},
	{"{" TO "\"text\":\"x\",\"maxLateSeconds\":1}", 422, "field_invalid", "maxLateSeconds", NULL},
};

static int64_t fake_now(void) { return 1893000000000 - 86400000; }	/* late in 2029 */

static int rows(const char *table)
{
	struct db_conn *c = db_take(store.db);
	int n = (int)(table[0] == 'p' ? db_number(c, -1, "SELECT COUNT(*) FROM post", "") : db_number(c, -1, "SELECT COUNT(*) FROM event", ""));

	db_give(c);
	return n;
}

TEST(each_refusal_names_its_place_and_writes_nothing)
{
	start();
	int posts = rows("posts"), events = rows("events");

	clock_fake(fake_now);
	for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
		ask("POST", "/v1/posts", refused[i].body);
		CHECK_SAY(reply.status == refused[i].status && text_eq(at("error.code"), refused[i].code) &&
			  text_eq(at("error.param"), refused[i].param) && text_eq(at("error.rule"), refused[i].rule), "%s: %s", refused[i].body, reply.body);
		ask("POST", "/v1/posts/validate", refused[i].body);
		CHECK_SAY(text_eq(at("error.code"), refused[i].code) && text_eq(at("error.param"), refused[i].param), "validate %s: %s",
			  refused[i].body, reply.body);
	}
	clock_fake(NULL);
	CHECK_INT(rows("posts"), posts);
	CHECK_INT(rows("events"), events);
}

TEST(all_problems_are_told_at_once)
{
	ask("POST", "/v1/posts", "{\"externalUserId\":\"alice\",\"text\":\"0123456789A\",\"scheduledAt\":\"2020-01-01T00:00:00Z\",\"targets\":["
	    "{\"connectionId\":\"con_plain\"},{\"platform\":\"twin\"},{\"connectionId\":\"con_x\",\"options\":{}}]}");
	CHECK_STATUS(409);
	CHECK_INT(count_at("error.issues"), 4);
	CHECK_STR(at("error.issues.0.code"), "connection_ambiguous");
	CHECK_STR(at("error.issues.1.code"), "connection_not_found");
	CHECK_STR(at("error.issues.2.code"), "time_in_past");
	CHECK_STR(at("error.issues.3.code"), "text_too_long");
	CHECK_STR(at("error.issues.3.param"), "targets[0].text");
	CHECK_STR(at("error.issues.3.platform"), "plain");
}

TEST(the_message_says_how_much_too_long)
{
	ask("POST", "/v1/posts", "{" TO "\"text\":\"0123456789ABC\"}");
	CHECK_STR(at("error.message"), "Text is 13 graphemes; Plain allows 10.");
	CHECK(strstr(at("error.remediation"), "3 graphemes") != NULL);
	CHECK_STR(at("error.platform"), "plain");
	ask("POST", "/v1/posts", "{" TO "\"text\":\"x\",\"options\":{\"plain\":{\"visibilty\":\"public\"}}}");
	CHECK(strstr(at("error.message"), "did you mean visibility?") != NULL);
	ask("POST", "/v1/posts", "{\"text\":\"x\",\"platforms\":[\"plainn\"],\"externalUserId\":\"alice\"}");
	CHECK(strstr(at("error.message"), "did you mean plain?") != NULL);
}

/* Where our count may differ from the platform's, two too many are the platform's to judge. */
TEST(a_little_too_long_beyond_ascii_is_a_warning)
{
	ask("POST", "/v1/posts", "{" TO "\"text\":\"\xc3\xa9" "12345678901\"}");
	CHECK_STATUS(202);
	CHECK_STR(at("warnings.0.code"), "text_too_long");
	CHECK_STR(at("warnings.0.severity"), "warning");
	ask("POST", "/v1/posts", "{" TO "\"text\":\"\xc3\xa9" "123456789012\"}");
	CHECK_ERROR(422, "text_too_long", "targets[0].text");
}

TEST(a_past_time_may_mean_now)
{
	ask("POST", "/v1/posts", "{" TO "\"text\":\"past\",\"scheduledAt\":\"2020-01-01T00:00:00Z\",\"onPast\":\"publish_now\"}");
	CHECK_STATUS(202);
	CHECK_STR(at("status"), "publishing");
	CHECK_STR(at("deliveries.0.status"), "queued");
}

TEST(schedule_wants_a_time)
{
	ask("POST", "/v1/posts/schedule", "{" TO "\"text\":\"x\"}");
	CHECK_ERROR(422, "field_required", "targets[0].scheduledAt");
	ask("POST", "/v1/posts/schedule", "{" TO "\"text\":\"x\",\"mode\":\"now\"}");
	CHECK_ERROR(422, "field_invalid", "mode");
}

/* ---- conflicts ------------------------------------------------------------------------------------------- */

TEST(an_external_id_is_taken_and_the_post_named)
{
	const char *id = created("\"externalPostId\":\"mine\"");

	ask("POST", "/v1/posts", "{" TO "\"text\":\"other\",\"externalPostId\":\"mine\"}");
	CHECK_ERROR(409, "external_post_id_taken", "externalPostId");
	CHECK(strstr(at("error.message"), id) != NULL);
	CHECK(strstr(at("error.remediation"), id) != NULL);
	ask("POST", "/v1/posts/validate", "{" TO "\"text\":\"other\",\"externalPostId\":\"mine\"}");
	CHECK_ERROR(409, "external_post_id_taken", "externalPostId");
	ask_as("other", "POST", "/v1/posts", "", "{\"targets\":[{\"connectionId\":\"con_other\"}],\"text\":\"x\",\"externalPostId\":\"mine\"}");
	CHECK_STATUS(202);
}

TEST(duplicates_are_refused_unless_allowed)
{
	ask("POST", "/v1/posts", "{" TO "\"text\":\"twice\"}");
	CHECK_STATUS(202);
	ask("POST", "/v1/posts", "{" TO "\"text\":\" twice \"}");
	CHECK_ERROR(409, "duplicate_content", "targets[0]");
	ask("POST", "/v1/posts/validate", "{" TO "\"text\":\" twice \"}");
	CHECK_ERROR(409, "duplicate_content", "targets[0]");
	ask("POST", "/v1/posts", "{" TO "\"text\":\" twice \",\"duplicatePolicy\":\"allow\"}");
	CHECK_STATUS(202);
}

TEST(an_equal_request_with_its_key_is_one_post)
{
	char first[ID_MAX];

	ask_as("live", "POST", "/v1/posts", "Idempotency-Key: k1\r\n", "{" TO "\"text\":\"keyed\"}");
	CHECK_STATUS(202);
	snprintf(first, sizeof first, "%s", at("id"));
	ask_as("live", "POST", "/v1/posts", "Idempotency-Key: k1\r\n", "{" TO "\"text\":\"keyed\"}");
	CHECK_STATUS(202);
	CHECK_STR(at("id"), first);
	CHECK(strstr(reply.text, "Idempotent-Replayed: true") != NULL);
}

TEST(validate_answers_what_would_be_done)
{
	start();
	int posts = rows("posts");

	ask("POST", "/v1/posts/validate", "{\"externalUserId\":\"alice\",\"platforms\":[\"plain\"],\"text\":\"fine\"}");
	CHECK_STATUS(200);
	CHECK_STR(at("valid"), "true");
	CHECK_STR(at("targets.0.connectionId"), "con_plain");
	CHECK_INT(rows("posts"), posts);
}

TEST(a_reader_writes_nothing)
{
	ask_as("reader", "POST", "/v1/posts", "", "{" TO "\"text\":\"x\"}");
	CHECK_ERROR(403, "scope_missing", NULL);
}
