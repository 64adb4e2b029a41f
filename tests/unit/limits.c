/*
 * Limits of platforms: read from descriptors, laid over by an account's own, shown as rules.
 */
#include "core/model/limits.h"

#include "core/base/text.h"
#include "core/model/platform.h"
#include "tests/unit/test.h"

static struct arena arena;
static struct cx cx;

static enum rc read(const char *text, const char *media, struct limits *l)
{
	struct jv t = {NULL, 0}, m = {NULL, 0};

	arena_free(&arena);
	arena_init(&arena, 1u << 20);
	cx_init(&cx, "test");
	if (text != NULL)
		CHECK_INT(json_parse(&cx, &arena, text, strlen(text), &t), RC_OK);
	if (media != NULL)
		CHECK_INT(json_parse(&cx, &arena, media, strlen(media), &m), RC_OK);
	return limits_read(&cx, &arena, t, m, l);
}

#define TEXT "{\"max\":500,\"count\":\"graphemes\",\"max_bytes\":3000,\"required\":true,\"url_length\":23,\"mentions\":\"local\"," \
	"\"with\":[\"spoiler_text\"]}"
#define MEDIA "{\"min_items\":1,\"max_items\":4,\"max_images\":4,\"max_videos\":1,\"mixed\":false,\"required\":true,\"public_url\":true," \
	"\"alt_max\":1500,\"image\":{\"mime\":[\"image/png\",\"image/jpeg\"],\"max_bytes\":100,\"min_width\":2,\"min_height\":3,\"max_width\":4," \
	"\"max_height\":5,\"max_pixels\":6,\"min_ratio\":0.8,\"max_ratio\":1.91},\"video\":{\"min_duration_ms\":1000,\"max_duration_ms\":9000," \
	"\"max_frame_rate\":59.94}}"

TEST(every_key_of_a_descriptor_is_read)
{
	struct limits l;

	CHECK_SAY(read(TEXT, MEDIA, &l) == RC_OK, "%s", cx.words);
	CHECK(l.text_max == 500 && l.text_max_bytes == 3000 && l.url_length == 23 && l.text_required && l.mentions_local);
	CHECK_STR(l.text_count, "graphemes");
	CHECK_STR(l.text_with[0], "spoiler_text");
	CHECK(l.text_with[1] == NULL);
	CHECK(l.min_items == 1 && l.max_items == 4 && l.max_images == 4 && l.max_videos == 1 && l.alt_max == 1500);
	CHECK(!l.mixed && l.media_required && l.public_url);
	CHECK(l.types[LIMITS_IMAGE] && !l.types[LIMITS_GIF] && l.types[LIMITS_VIDEO]);
	CHECK_STR(l.media[LIMITS_IMAGE].mime[1], "image/jpeg");
	CHECK(l.media[LIMITS_IMAGE].max_bytes == 100 && l.media[LIMITS_IMAGE].max_pixels == 6 && l.media[LIMITS_IMAGE].max_height == 5);
	CHECK(l.media[LIMITS_IMAGE].min_ratio > 0.79 && l.media[LIMITS_IMAGE].max_ratio < 1.92);
	CHECK(l.media[LIMITS_VIDEO].max_duration_ms == 9000 && l.media[LIMITS_VIDEO].max_frame_rate > 59.9);
	CHECK(l.media[LIMITS_VIDEO].mime == NULL);
}

TEST(nothing_declared_is_no_limit_and_no_media)
{
	struct limits l;

	CHECK_INT(read(NULL, NULL, &l), RC_OK);
	CHECK_STR(l.text_count, "points");
	CHECK(l.text_max == 0 && l.max_items == 0 && !l.types[LIMITS_IMAGE] && !l.types[LIMITS_GIF] && !l.types[LIMITS_VIDEO]);
}

static const struct { const char *text, *media, *words; } refused[] = {
	{"{\"max\":\"5\"}", NULL, "\"text.max\" must be a whole number"},
	{"{\"max\":-5}", NULL, "\"text.max\" must be a whole number"},
	{"{\"max\":1.5}", NULL, "\"text.max\" must be a whole number"},
	{"{\"count\":\"letters\"}", NULL, "\"text.count\" must be points"},
	{"{\"mentions\":true}", NULL, "\"text.mentions\" must be local"},
	{"{\"with\":\"a\"}", NULL, "\"text.with\" must be a list"},
	{"[]", NULL, "\"text\" must be an object"},
	{NULL, "{\"mixed\":1}", "\"media.mixed\" must be true or false"},
	{NULL, "{\"image\":{\"max_ratio\":\"wide\"}}", "\"media.image.max_ratio\" must be a number"},
	{NULL, "{\"image\":{\"mime\":[1]}}", "\"media.image.mime\" must be a list"},
	{NULL, "{\"image\":true}", "\"media.image\" must be an object"},
};

TEST(what_is_misspelt_is_refused_by_name)
{
	for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
		struct limits l = {.text_max = 77};

		CHECK_SAY(read(refused[i].text, refused[i].media, &l) == RC_INVALID, "%s %s", refused[i].text, refused[i].media);
		CHECK_SAY(strstr(cx.words, refused[i].words) != NULL, "%s", cx.words);
		CHECK_INT(l.text_max, 77);
	}
}

TEST(a_provider_whose_limits_are_misspelt_is_refused)
{
	static const char describe[] = "{\"name\":\"A\",\"operations\":[],\"connect\":{\"method\":\"form\"},\"hosts\":[],"
		"\"media\":{\"max_item\":1}}";
	struct platform *p;

	cx_init(&cx, "test");
	CHECK_INT(platform_read(&cx, "a", "1", describe, &p), RC_INVALID);
	CHECK_SAY(strstr(cx.words, "provider a: descriptor key \"media.max_item\"") != NULL, "%s", cx.words);
}

TEST(an_accounts_own_limits_replace_those_of_their_path)
{
	struct limits l;

	CHECK_INT(read(TEXT, MEDIA, &l), RC_OK);
	limits_overlay(&l, "{\"text.max\":\"5000\",\"text.url_length\":\"30\",\"media.max_items\":\"8\",\"media.image.max_bytes\":\"16777216\","
		       "\"media.image.mime\":\"image/png\\nimage/webp\",\"media.image.max_ratio\":\"3.5\",\"media.required\":\"false\"}", &arena);
	CHECK(l.text_max == 5000 && l.url_length == 30 && l.max_items == 8 && l.media[LIMITS_IMAGE].max_bytes == 16777216);
	CHECK(!l.media_required && l.media[LIMITS_IMAGE].max_ratio > 3.4);
	CHECK_STR(l.media[LIMITS_IMAGE].mime[1], "image/webp");
	CHECK(l.media[LIMITS_IMAGE].mime[2] == NULL);
	CHECK(l.text_max_bytes == 3000 && l.max_images == 4);
}

static const char *const vain[] = {
	NULL, "", "nonsense", "[]", "{\"text.max\":\"many\"}", "{\"text.max\":\"-1\"}", "{\"text.maximum\":\"1\"}",
	"{\"max\":\"1\"}", "{\"text.\":\"1\"}",
	"{\"media.image.max\":\"1\"}", "{\"media.gif.max_bytes\":\"1\"}", "{\"media.imag.max_bytes\":\"1\"}",
	"{\"media.image.x.max_bytes\":\"1\"}",
	"{\"text.count\":\"letters\"}", "{\"text.max\":{}}", "{\"media.video.max_frame_rate\":\"1e99\"}",
};

TEST(what_an_account_names_in_vain_changes_nothing)
{
	for (size_t i = 0; i < sizeof vain / sizeof vain[0]; i++) {
		struct limits l, before;

		CHECK_INT(read(TEXT, MEDIA, &l), RC_OK);
		before = l;
		limits_overlay(&l, vain[i], &arena);
		CHECK_SAY(memcmp(&l, &before, sizeof l) == 0, "%s", vain[i]);
	}
}

TEST(null_is_nothing)
{
	struct limits l;

	CHECK_INT(read("{\"max\":5,\"required\":null}", "{\"image\":{\"max_width\":null},\"gif\":null}", &l), RC_OK);
	CHECK(l.text_max == 5 && l.types[LIMITS_IMAGE] && !l.types[LIMITS_GIF]);
}

static int shown;
static const char *found;

static void look(void *arg, const struct limits_entry *e)
{
	shown++;
	if (text_eq(e->rule, arg))
		found = e->json;
}

TEST(every_limit_is_shown_with_its_rule)
{
	struct limits l;

	CHECK_INT(read(TEXT, MEDIA, &l), RC_OK);
	shown = 0;
	limits_each(&l, &arena, look, (void *)(uintptr_t)"text.max_graphemes");
	CHECK_STR(found, "500");
	CHECK_INT(shown, 7 + 1 + 8 + 9 + 3);
	limits_each(&l, &arena, look, (void *)(uintptr_t)"media.image.max_ratio");
	CHECK_STR(found, "1.91");
	limits_each(&l, &arena, look, (void *)(uintptr_t)"media.image.mime");
	CHECK_STR(found, "[\"image/png\",\"image/jpeg\"]");
	limits_each(&l, &arena, look, (void *)(uintptr_t)"media.mixed");
	CHECK_STR(found, "false");
	limits_each(&l, &arena, look, (void *)(uintptr_t)"media.type");
	CHECK_STR(found, "[\"image\",\"video\"]");
}
