/*
 * Posts with media, threads and first comments over HTTP: what is stored for each part, and every refusal at its place.
 */
#include "tests/unit/post_http.h"

/* ---- media items ---------------------------------------------------------------------------------------- */

struct item { const char *id, *status, *kind, *mime; int64_t bytes, width; const char *alt; int org, live; };

static const struct item stock[] = {
	{"med_png", "ready", "image", "image/png", 500, 100, "a cat", 0, 1},
	{"med_png2", "ready", "image", "image/png", 600, 90, NULL, 0, 1},
	{"med_big", "ready", "image", "image/png", 2000, 100, NULL, 0, 1},
	{"med_wide", "ready", "image", "image/png", 500, 101, NULL, 0, 1},
	{"med_gif", "ready", "gif", "image/gif", 500, 100, NULL, 0, 1},
	{"med_mp4", "ready", "video", "video/mp4", 500, 100, NULL, 0, 1},
	{"med_new", "processing", NULL, NULL, 0, 0, NULL, 0, 1},
	{"med_bad", "failed", NULL, NULL, 0, 0, NULL, 0, 1},
	{"med_test", "ready", "image", "image/png", 500, 100, NULL, 0, 0},
	{"med_other", "ready", "image", "image/png", 500, 100, NULL, 1, 1},
};

static enum rc stock_write(struct cx *cx, struct db_conn *c, void *arg)
{
	(void)arg;
	for (size_t i = 0; i < sizeof stock / sizeof stock[0]; i++) {
		const struct item *m = &stock[i];

		db_run(c, "INSERT INTO media (id, organization_id, app_id, live, status, file, kind, mime, bytes, width, height, alt, sha256, filename,"
		       " expires_at, created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?5, ?1, ?6, ?7, ?8, ?9, ?9, ?10, 'sha-' || ?1, 'x.png', 1, 1, 1)"
		       " ON CONFLICT DO NOTHING", "sssisssios", m->id, orgs[m->org].id, orgs[m->org].app_id, (int64_t)m->live, m->status, m->kind,
		       m->mime, m->bytes, m->width, m->alt);
	}
	return db_rc(c) == RC_OK ? RC_OK : db_fail(cx, c);
}

static void begin(void)
{
	struct cx cx;

	start();
	cx_init(&cx, "test");
	CHECK_SAY(db_write(&cx, store.db, stock_write, NULL) == RC_OK, "%s", cx.words);
}

/* One text of the store, in a ring of four. */
static const char *stored(const char *sql, const char *id)
{
	static char ring[4][2000];
	static int next;
	struct db_conn *c = db_take(store.db);

	next = (next + 1) % 4;
	{
		STMT_AUTO struct stmt *s = db_query(c, sql, "s", id);

		snprintf(ring[next], sizeof ring[next], "%s", db_next(s) ? db_text_or(s, 0, "(null)") : "(none)");
	}
	db_give(c);
	return ring[next];
}

#define NET "\"targets\":[{\"connectionId\":\"con_net\"}]"
#define OF_POST(column) "SELECT " column " FROM delivery WHERE post_id = ?1 AND parent_delivery_id IS NULL"

/* ---- accepted -------------------------------------------------------------------------------------------- */

TEST(what_is_stored_of_an_item)
{
	begin();
	ask("POST", "/v1/posts", "{" NET ",\"text\":\"\",\"media\":[{\"mediaId\":\"med_png\",\"focus\":\"0.5,-1\"},{\"mediaId\":\"med_png2\","
	    "\"altText\":\"mine\",\"title\":\"T\",\"thumbnailMediaId\":\"med_gif\"}]}");
	CHECK_ERROR(422, "media_type_unsupported", "media[1].thumbnailMediaId");
	ask("POST", "/v1/posts", "{" NET ",\"text\":\"\",\"media\":[{\"mediaId\":\"med_png\",\"focus\":\"0.5,-1\"},{\"mediaId\":\"med_png2\","
	    "\"altText\":\"mine\",\"title\":\"T\",\"thumbnailMediaId\":\"med_png\"}]}");
	CHECK_STATUS(202);
	CHECK_STR(stored(OF_POST("content"), at("id")), "{\"options\":{\"visibility\":\"public\"},\"media\":["
		  "{\"id\":\"med_png\",\"file\":\"med_png\",\"type\":\"image\",\"mime\":\"image/png\",\"bytes\":500,\"width\":100,\"height\":100,"
		  "\"filename\":\"x.png\",\"alt\":\"a cat\",\"focus\":\"0.5,-1\"},"
		  "{\"id\":\"med_png2\",\"file\":\"med_png2\",\"type\":\"image\",\"mime\":\"image/png\",\"bytes\":600,\"width\":90,\"height\":90,"
		  "\"filename\":\"x.png\",\"alt\":\"mine\",\"title\":\"T\",\"thumbnail\":2}],"
		  "\"thumbnails\":[{\"id\":\"med_png\",\"file\":\"med_png\",\"type\":\"image\",\"mime\":\"image/png\",\"bytes\":500,\"width\":100,"
		  "\"height\":100,\"filename\":\"x.png\"}]}");
	CHECK_STR(stored("SELECT GROUP_CONCAT(media_id) FROM (SELECT media_id FROM media_use WHERE post_id = ?1 ORDER BY 1)", at("id")),
		  "med_png,med_png2");
}

TEST(a_thread_and_a_comment_are_stored_with_their_post)
{
	begin();
	ask("POST", "/v1/posts", "{" NET ",\"text\":\"one\",\"thread\":[{\"text\":\"two\",\"media\":[{\"mediaId\":\"med_png\"}]},"
	    "{\"text\":\"three\",\"options\":{\"net\":{\"visibility\":\"public\"}}}],\"firstComment\":\"hi\","
	    "\"options\":{\"net\":{\"visibility\":\"unlisted\","
	    "\"poll\":[\"a\"]}}}");
	CHECK_STATUS(202);
	CHECK_INT(count_at("deliveries"), 4);
	CHECK_STR(at("deliveries.0.kind"), "post");
	CHECK_STR(at("deliveries.0.status"), "queued");
	CHECK_STR(at("deliveries.1.kind"), "thread");
	CHECK_STR(at("deliveries.1.status"), "pending");
	CHECK_STR(at("deliveries.1.ordinal"), "1");
	CHECK_STR(at("deliveries.1.parentDeliveryId"), at("deliveries.0.id"));
	CHECK_STR(at("deliveries.2.parentDeliveryId"), at("deliveries.1.id"));
	CHECK_STR(at("deliveries.3.kind"), "first_comment");
	CHECK_STR(at("deliveries.3.parentDeliveryId"), at("deliveries.0.id"));
	CHECK_STR(stored("SELECT content FROM delivery WHERE post_id = ?1 AND parent_delivery_id IS NULL", at("id")),
		  "{\"options\":{\"visibility\":\"unlisted\",\"poll\":\"a\"},\"media\":[]}");
	CHECK(strstr(stored("SELECT content FROM delivery WHERE post_id = ?1 AND ordinal = 1", at("id")),
		     "{\"options\":{\"visibility\":\"unlisted\"},\"media\":[{\"id\":\"med_png\"") != NULL);
	CHECK_STR(stored("SELECT content FROM delivery WHERE post_id = ?1 AND ordinal = 2", at("id")),
		  "{\"options\":{\"visibility\":\"public\"},\"media\":[]}");
	CHECK_STR(stored("SELECT text FROM delivery WHERE post_id = ?1 AND kind = 'first_comment'", at("id")), "hi");
	CHECK_STR(stored("SELECT media_id FROM media_use WHERE post_id = ?1", at("id")), "med_png");
}

TEST(a_target_has_media_and_a_thread_of_its_own)
{
	begin();
	ask("POST", "/v1/posts", "{\"text\":\"own\",\"media\":[{\"mediaId\":\"med_big\"}],\"thread\":[{\"text\":\"a\"}],\"firstComment\":\"b\","
	    "\"targets\":[{\"connectionId\":\"con_net\",\"media\":[{\"mediaId\":\"med_png\"}],"
	    "\"thread\":[{\"text\":\"c\",\"options\":{\"visibility\":\"unlisted\"}}],\"firstComment\":null},"
	    "{\"connectionId\":\"con_plain\",\"media\":[],\"thread\":[],\"firstComment\":null}]}");
	CHECK_STATUS(202);
	CHECK_INT(count_at("deliveries"), 3);
	CHECK_STR(at("deliveries.1.kind"), "thread");
	CHECK_STR(at("deliveries.2.connectionId"), "con_plain");
	CHECK_STR(stored("SELECT content FROM delivery WHERE post_id = ?1 AND kind = 'thread'", at("id")),
		  "{\"options\":{\"visibility\":\"unlisted\"},\"media\":[]}");
}

TEST(an_edit_gives_a_post_other_media_and_another_thread)
{
	char id[ID_MAX];

	begin();
	ask("POST", "/v1/posts", "{" NET ",\"mode\":\"draft\",\"text\":\"to edit\",\"media\":[{\"mediaId\":\"med_png\"}],"
	    "\"thread\":[{\"text\":\"a\"}]}");
	CHECK_STATUS(201);
	snprintf(id, sizeof id, "%s", at("id"));
	ask("PATCH", path_of("/v1/posts/", id, ""), "{\"text\":\"edited\"}");
	CHECK_STATUS(200);
	CHECK_INT(count_at("deliveries"), 2);
	CHECK_STR(stored("SELECT media_id FROM media_use WHERE post_id = ?1", id), "med_png");
	ask("PATCH", path_of("/v1/posts/", id, ""), "{\"media\":[{\"mediaId\":\"med_png2\"}],\"thread\":[{\"text\":\"a\"},{\"text\":\"b\"}],"
	    "\"firstComment\":{\"text\":\"c\"}}");
	CHECK_STATUS(200);
	CHECK_INT(count_at("deliveries"), 4);
	CHECK_STR(stored("SELECT media_id FROM media_use WHERE post_id = ?1", id), "med_png2");
	ask("PATCH", path_of("/v1/posts/", id, ""), "{\"media\":null,\"thread\":null,\"firstComment\":null}");
	CHECK_STATUS(200);
	CHECK_INT(count_at("deliveries"), 1);
	CHECK_STR(stored("SELECT media_id FROM media_use WHERE post_id = ?1", id), "(none)");
	CHECK_STR(stored(OF_POST("text"), id), "edited");
	ask("PATCH", path_of("/v1/posts/", id, ""), "{\"targets\":[{\"platform\":\"net\",\"thread\":[{\"text\":\"own\"}]}]}");
	CHECK_STATUS(200);
	CHECK_INT(count_at("deliveries"), 2);
}

static enum rc own_limits(struct cx *cx, struct db_conn *c, void *arg)
{
	db_run(c, "UPDATE connection SET limits = ?1 WHERE id = 'con_net'", "s", arg);
	return db_rc(c) == RC_OK ? RC_OK : db_fail(cx, c);
}

TEST(the_accounts_own_limits_rule)
{
	struct cx cx;

	begin();
	ask("POST", "/v1/posts/validate", "{" NET ",\"text\":\"123456789012345678901\"}");
	CHECK_ERROR(422, "text_too_long", "targets[0].text");
	cx_init(&cx, "test");
	CHECK_INT(db_write(&cx, store.db, own_limits, (void *)(uintptr_t)"{\"text.max\":\"21\",\"media.image.max_bytes\":\"400\"}"), RC_OK);
	ask("POST", "/v1/posts/validate", "{" NET ",\"text\":\"123456789012345678901\"}");
	CHECK_STATUS(200);
	ask("POST", "/v1/posts/validate", "{" NET ",\"media\":[{\"mediaId\":\"med_png\"}]}");
	CHECK_ERROR(422, "media_too_large", "media[0]");
	CHECK_STR(at("error.rule"), "net.media.image.max_bytes");
	CHECK_INT(db_write(&cx, store.db, own_limits, NULL), RC_OK);
}

/* ---- refused --------------------------------------------------------------------------------------------- */

#define POST(rest) "{" NET "," rest "}"
static const struct { const char *body; int status; const char *code, *param, *rule; } refused[] = {
	{POST("\"media\":[{\"mediaId\":\"med_none\"}]"), 404, "media_not_found", "media[0].mediaId", NULL},
	{POST("\"media\":[{\"mediaId\":\"med_other\"}]"), 404, "media_not_found", "media[0].mediaId", NULL},
	{POST("\"media\":[{\"mediaId\":\"med_test\"}]"), 404, "media_not_found", "media[0].mediaId", NULL},
	{POST("\"media\":[{\"mediaId\":\"med_new\"}]"), 409, "media_not_ready", "media[0].mediaId", NULL},
	{POST("\"media\":[{\"mediaId\":\"med_bad\"}]"), 422, "media_unreadable", "media[0].mediaId", NULL},
	{POST("\"media\":[{\"mediaId\":\"med_png\"},{}]"), 422, "field_required", "media[1].mediaId", NULL},
	{POST("\"media\":[{\"mediaId\":\"med_png\",\"url\":\"https://a.example/\"}]"), 422, "field_required", "media[0].mediaId", NULL},
	{POST("\"media\":[{\"mediaId\":\"med_png\",\"type\":\"video\"}]"), 422, "field_invalid", "media[0].type", NULL},
	{POST("\"media\":[{\"mediaId\":\"med_png\",\"focus\":\"2,0\"}]"), 422, "field_invalid", "media[0].focus", NULL},
	{POST("\"media\":[{\"mediaId\":\"med_png\",\"focus\":\"0.1\"}]"), 422, "field_invalid", "media[0].focus", NULL},
	{POST("\"media\":[{\"mediaId\":\"med_png\",\"focus\":\"0,0,0\"}]"), 422, "field_invalid", "media[0].focus", NULL},
	{POST("\"media\":[{\"mediaId\":\"med_png\",\"alt\":\"x\"}]"), 422, "unknown_field", "media[0].alt", NULL},
	{POST("\"media\":{\"mediaId\":\"med_png\"}"), 422, "field_invalid", "media", NULL},
	{POST("\"media\":[\"med_png\"]"), 422, "field_invalid", "media[0]", NULL},
	{POST("\"media\":[{\"mediaId\":\"med_png\"},{\"mediaId\":\"med_big\"}]"), 422, "media_too_large", "media[1]",
	 "net.media.image.max_bytes"},
	{POST("\"media\":[{\"mediaId\":\"med_wide\"}]"), 422, "media_dimensions", "media[0]", "net.media.image.max_width"},
	{POST("\"media\":[{\"mediaId\":\"med_gif\"}]"), 422, "media_type_unsupported", "media[0]", "net.media.type"},
	{POST("\"media\":[{\"mediaId\":\"med_png\"},{\"mediaId\":\"med_mp4\"}]"), 422, "media_mixed", "media[1]", "net.media.mixed"},
	{POST("\"media\":[{\"mediaId\":\"med_png\"},{\"mediaId\":\"med_png\"},{\"mediaId\":\"med_png2\"}]"), 422, "media_too_many", "media[2]",
	 "net.media.max_items"},
	{POST("\"media\":[{\"mediaId\":\"med_png\",\"altText\":\"12345678901\"}]"), 422, "text_too_long", "media[0].altText", "net.media.alt_max"},
	{POST("\"media\":[{\"url\":\"http://127.0.0.1/x.png\"}]"), 422, "media_unreachable", "media[0].url", NULL},
	{POST("\"media\":[{\"url\":\"file:///etc/passwd\"}]"), 422, "media_unreachable", "media[0].url", NULL},
	{POST("\"text\":\"\",\"media\":[]"), 422, "text_required", "targets[0].text", "net.text.required"},
	{"{\"text\":\"x\",\"targets\":[{\"connectionId\":\"con_net\"},"
	 "{\"connectionId\":\"con_net\",\"text\":\"y\",\"media\":[{\"mediaId\":\"med_png\"},"
	 "{\"mediaId\":\"med_big\"}]}]}", 422, "media_too_large", "targets[1].media[1]", "net.media.image.max_bytes"},
	{"{\"text\":\"x\",\"targets\":[{\"connectionId\":\"con_plain\"}],\"media\":[{\"mediaId\":\"med_png\"}]}", 422, "media_type_unsupported",
	 "media[0]", "plain.media.type"},
	/* threads */
	{"{\"text\":\"x\",\"targets\":[{\"connectionId\":\"con_plain\"}],\"thread\":[{\"text\":\"y\"}]}", 422, "option_not_supported", "thread",
	 "plain.threads"},
	{"{\"text\":\"x\",\"targets\":[{\"connectionId\":\"con_plain\",\"firstComment\":\"y\"}]}", 422, "option_not_supported",
	 "targets[0].firstComment", "plain.first_comment"},
	{POST("\"text\":\"x\",\"thread\":[{\"text\":\"ok\"},{\"text\":\"123456789012345678901\"}]"), 422, "text_too_long", "thread[1].text",
	 "net.text.max_points"},
	{POST("\"text\":\"x\",\"thread\":[{\"text\":\"\"}]"), 422, "text_required", "thread[0].text", "net.text.required"},
	{POST("\"text\":\"x\",\"thread\":[{}]"), 422, "text_required", "thread[0].text", "net.text.required"},
	{POST("\"text\":\"x\",\"thread\":[{\"media\":[{\"mediaId\":\"med_png\"},{\"mediaId\":\"med_big\"}]}]"), 422, "media_too_large",
	 "thread[0].media[1]", "net.media.image.max_bytes"},
	{POST("\"text\":\"x\",\"thread\":[{\"text\":\"y\",\"options\":{\"net\":{\"visibility\":\"secret\"}}}]"), 422, "field_invalid",
	 "thread[0].options.net.visibility", "net.options.visibility.values"},
	{POST("\"text\":\"x\",\"thread\":[{\"text\":\"y\",\"options\":{\"wide\":{}}}]"), 422, "unknown_field", "thread[0].options.wide", NULL},
	{POST("\"text\":\"x\",\"thread\":[{\"text\":\"y\",\"link\":\"z\"}]"), 422, "unknown_field", "thread[0].link", NULL},
	{POST("\"text\":\"x\",\"thread\":\"y\""), 422, "field_invalid", "thread", NULL},
	{POST("\"text\":\"x\",\"firstComment\":\"123456789012345678901\""), 422, "text_too_long", "firstComment", "net.text.max_points"},
	{POST("\"text\":\"x\",\"firstComment\":{\"text\":\"123456789012345678901\"}"), 422, "text_too_long", "firstComment.text",
	 "net.text.max_points"},
	{POST("\"text\":\"x\",\"firstComment\":{\"text\":\"y\",\"media\":[{\"mediaId\":\"med_big\"}]}"), 422, "media_too_large",
	 "firstComment.media[0]", "net.media.image.max_bytes"},
	{POST("\"text\":\"x\",\"firstComment\":[\"y\"]"), 422, "field_invalid", "firstComment", NULL},
	{POST("\"text\":\"x\",\"firstComment\":\"\""), 422, "field_invalid", "firstComment", NULL},
	{POST("\"text\":\"1234567890123456\",\"options\":{\"net\":{\"spoiler\":\"12345\"}}"), 422, "text_too_long", "targets[0].text",
	 "net.text.max_points"},
	/* what a post has counts along in its thread */
	{POST("\"text\":\"x\",\"options\":{\"net\":{\"spoiler\":\"12345\"}},\"thread\":[{\"text\":\"1234567890123456\"}]"), 422, "text_too_long",
	 "thread[0].text", "net.text.max_points"},
	{"{\"text\":\"x\",\"targets\":[{\"connectionId\":\"con_net\",\"thread\":[{\"text\":\"y\",\"options\":{\"net\":{}}}]}]}", 422,
	 "option_not_supported", "targets[0].thread[0].options.net", "net.options.unknown"},
};

TEST(each_refusal_names_the_item)
{
	begin();
	for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
		ask("POST", "/v1/posts", refused[i].body);
		CHECK_SAY(reply.status == refused[i].status, "%s: %d: %s", refused[i].body, reply.status, reply.body);
		CHECK_SAY(text_eq(at("error.code"), refused[i].code) && text_eq(at("error.param"), refused[i].param) &&
			  text_eq(at("error.rule"), refused[i].rule), "%s: %s", refused[i].body, reply.body);
	}
}

TEST(an_item_that_two_targets_share_is_missed_once)
{
	begin();
	ask("POST", "/v1/posts", "{\"text\":\"x\",\"targets\":[{\"connectionId\":\"con_net\"},{\"connectionId\":\"con_net\",\"text\":\"y\"}],"
	    "\"media\":[{\"mediaId\":\"med_none\"}]}");
	CHECK_ERROR(404, "media_not_found", "media[0].mediaId");
	CHECK_INT(count_at("error.issues"), 1);
}

TEST(an_address_is_judged_by_itself_where_nothing_is_written)
{
	begin();
	ask("POST", "/v1/posts/validate", "{" NET ",\"media\":[{\"url\":\"https://a.example/x.png\"},{\"url\":\"https://a.example/y.png\"}]}");
	CHECK_STATUS(200);
	CHECK_STR(at("warnings.0.code"), "media_unchecked");
	CHECK_STR(at("warnings.1.param"), "media[1].url");
	ask("POST", "/v1/posts/validate", "{" NET ",\"media\":[{\"url\":\"https://a.example/x.png\",\"altText\":\"12345678901\"}]}");
	CHECK_ERROR(422, "text_too_long", "media[0].altText");
	ask("POST", "/v1/posts/validate", "{" NET ",\"media\":[{\"url\":\"https://a.example/x\"},{\"url\":\"https://a.example/y\"},"
	    "{\"url\":\"https://a.example/z\"}]}");
	CHECK_ERROR(422, "media_too_many", "media[2]");
}

TEST(an_equal_request_is_answered_as_before_whatever_has_changed)
{
	static const char body[] = "{" NET ",\"text\":\"kept\",\"media\":[{\"mediaId\":\"med_png2\"}]}";
	char id[ID_MAX];
	struct cx cx;

	begin();
	ask_as("live", "POST", "/v1/posts", "Idempotency-Key: media-1\r\n", body);
	CHECK_STATUS(202);
	snprintf(id, sizeof id, "%s", at("id"));
	cx_init(&cx, "test");
	CHECK_INT(db_write(&cx, store.db, own_limits, (void *)(uintptr_t)"{\"text.max\":\"1\"}"), RC_OK);
	ask_as("live", "POST", "/v1/posts", "Idempotency-Key: media-1\r\n", body);
	CHECK_STATUS(202);
	CHECK_STR(at("id"), id);
	CHECK(strstr(reply.text, "Idempotent-Replayed: true") != NULL);
	ask_as("live", "POST", "/v1/posts", "Idempotency-Key: media-1\r\n", "{" NET ",\"text\":\"other\"}");
	CHECK_ERROR(409, "idempotency_key_reused", "Idempotency-Key");
	CHECK_INT(db_write(&cx, store.db, own_limits, NULL), RC_OK);
}

/* ---- what platforms take ---------------------------------------------------------------------------------- */

TEST(platforms_show_their_limits_and_abilities)
{
	ask("GET", "/v1/platforms/net", NULL);
	CHECK_STATUS(200);
	CHECK_STR(at("text.max"), "20");
	CHECK_STR(at("text.with.0"), "spoiler");
	CHECK_STR(at("media.types.1"), "video");
	CHECK_STR(at("media.maxItems"), "2");
	CHECK_STR(at("media.image.maxBytes"), "1000");
	CHECK_STR(at("media.image.mime.0"), "image/png");
	CHECK_STR(at("capabilities.threads"), "true");
	CHECK_STR(at("capabilities.firstComment"), "true");
	ask("GET", "/v1/platforms/plain", NULL);
	CHECK_INT(json_type(json_get(reply.json, "media")), JSON_NULL);
	ask("GET", "/v1/platforms/net/schema", NULL);
	CHECK_STR(at("properties.visibility.type"), "string");
	CHECK_STR(at("$defs.post.properties.text.maxLength"), "20");
	CHECK_STR(at("$defs.post.properties.media.maxItems"), "2");
	CHECK_STR(at("$defs.post.properties.thread.items.$ref"), "#/$defs/item");
	CHECK_STR(at("$defs.media.properties.altText.maxLength"), "10");
}

static const char *limit_of(const char *id)
{
	struct jv data = json_get(reply.json, "data");
	size_t n;

	for (size_t i = 0; i < json_count(data); i++)
		if (text_eq(json_text(json_get(json_at(data, i), "id")), id)) {
			const char *raw = json_raw(json_get(json_at(data, i), "limit"), &n);

			return arena_dup(&reply.arena, raw, n);
		}
	return NULL;
}

/* Whatever an issue names stands in the catalogue. */
TEST(every_rule_that_is_broken_stands_in_the_catalogue)
{
	begin();
	ask("GET", "/v1/rules?platform=net", NULL);
	CHECK_STATUS(200);
	CHECK_STR(limit_of("net.text.max_points"), "20");
	CHECK_STR(limit_of("net.media.image.max_bytes"), "1000");
	CHECK_STR(limit_of("net.media.mixed"), "false");
	CHECK_STR(limit_of("net.media.type"), "[\"image\",\"video\"]");
	CHECK_STR(limit_of("net.threads"), "true");
	CHECK_STR(limit_of("net.options.visibility.values"), "[\"public\",\"unlisted\"]");
	CHECK(limit_of("plain.threads") == NULL);
	ask("GET", "/v1/rules", NULL);
	CHECK_STR(limit_of("plain.text.max_graphemes"), "10");
	for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
		CHECK_SAY(refused[i].rule == NULL || limit_of(refused[i].rule) != NULL, "%s is not in the catalogue", refused[i].rule);
}
