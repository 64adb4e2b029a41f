/*
 * What platforms take: texts as they count them, media by every bound, options of threads.  Each row is one post and
 * the rule it breaks; a row without one is accepted.
 */
#include "core/model/post_check.h"

#include "core/base/text.h"
#include "tests/unit/test.h"

static struct arena arena;
static struct platform *platform;
static struct { int count; char code[48], param[64], rule[80], message[200]; bool warning; } got;

static void note(void *arg, const struct check_issue *i)
{
	(void)arg;
	if (got.count++ > 0)
		return;
	snprintf(got.code, sizeof got.code, "%s", i->code);
	snprintf(got.param, sizeof got.param, "%s", i->param);
	snprintf(got.rule, sizeof got.rule, "%s", i->rule);
	snprintf(got.message, sizeof got.message, "%s", i->message);
	got.warning = i->warning;
}

static struct check begin(const char *text, const char *media, const char *options)
{
	struct cx cx;
	char describe[3000];

	platform_give(platform);
	arena_free(&arena);
	arena_init(&arena, 4u << 20);
	cx_init(&cx, "test");
	snprintf(describe, sizeof describe, "{\"name\":\"Net\",\"operations\":[],\"connect\":{\"method\":\"form\"},\"hosts\":[],\"text\":%s,"
		 "\"media\":%s,\"capabilities\":{},\"options\":%s}", text, media, options);
	CHECK_SAY(platform_read(&cx, "net", "1", describe, &platform) == RC_OK, "%s", cx.words);
	memset(&got, 0, sizeof got);
	return (struct check){.platform = platform, .arena = &arena, .report = note};
}

/* ---- counting -------------------------------------------------------------------------------------- */

#define URL "https://example.com/a/very/long/path/of/a/page"
static const struct { const char *limits, *text; size_t n; } counts[] = {
	{"{}", "abc", 3},
	{"{\"url_length\":23}", URL, 23},
	{"{\"url_length\":23}", "see " URL ".", 4 + 23 + 1},
	{"{\"url_length\":23}", "(" URL ") " URL, 1 + 23 + 1 + 1 + 23},
	{"{\"url_length\":23}", "http://a.b", 23},
	{"{\"url_length\":23}", "nohttp://a.b", 12},
	{"{\"url_length\":23,\"count\":\"bytes\"}", URL, 23},
	{"{}", URL, sizeof URL - 1},
	{"{\"count\":\"weighted\"}", URL, 23},
	{"{\"mentions\":\"local\"}", "@ann@example.social hi", 7},
	{"{\"mentions\":\"local\"}", "(@ann@example.social), @bob", 6 + 2 + 4},
	{"{\"mentions\":\"local\"}", "@ann@example.social.", 5},
	{"{\"mentions\":\"local\"}", "mail ann@example.social", 23},
	{"{\"mentions\":\"local\"}", "@ @@ a@", 7},
	{"{}", "@ann@example.social", 19},
	{"{\"mentions\":\"local\",\"url_length\":5}", "https://example.com/@ann@example.social", 5},
	{"{\"url_length\":5,\"count\":\"graphemes\"}", "\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x91\xa9 " URL, 7},
};

TEST(text_counts_as_the_platform_counts)
{
	for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
		struct check k = begin(counts[i].limits, "{}", "[]");
		size_t n = check_count(&k.platform->limits, counts[i].text);

		CHECK_SAY(n == counts[i].n, "%s of %s: %zu, not %zu", counts[i].text, counts[i].limits, n, counts[i].n);
	}
}

#define WITH "{\"max\":10,\"with\":[\"spoiler\"]}"
static const struct { const char *limits, *text, *beside; bool link, media; const char *rule; bool warning; } texts[] = {
	{"{\"max\":5}", "12345", NULL, false, false, NULL, false},
	{"{\"max\":5}", "123456", NULL, false, false, "net.text.max_points", false},
	{"{\"max\":5,\"count\":\"graphemes\"}", "123456", NULL, false, false, "net.text.max_graphemes", false},
	{"{\"max\":5,\"count\":\"graphemes\"}", "12345\xc3\xa9", NULL, false, false, "net.text.max_graphemes", true},
	{"{\"max\":5,\"count\":\"bytes\"}", "123456", NULL, false, false, "net.text.max_bytes", false},
	{"{\"max_bytes\":5}", "1234\xc3\xa9", NULL, false, false, "net.text.max_bytes", false},
	{"{}", "", NULL, false, false, "net.text.required", false},
	{"{}", NULL, NULL, false, false, "net.text.required", false},
	{"{}", " \n", NULL, false, false, "net.text.required", false},
	{"{}", "", NULL, true, false, NULL, false},
	{"{\"required\":true}", "", NULL, true, false, "net.text.required", false},
	{"{\"required\":true}", "", NULL, false, true, NULL, false},
	{WITH, "12345", "12345", false, false, NULL, false},
	{WITH, "12345", "123456", false, false, "net.text.max_points", false},
	{WITH, "", "12345678901", false, true, "net.text.max_points", false},
};

TEST(texts_are_judged)
{
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
		struct check k = begin(texts[i].limits, "{}", "[]");

		check_text(&k, &(struct check_text){texts[i].text, "text", texts[i].beside, texts[i].link, texts[i].media});
		CHECK_SAY(got.count == (texts[i].rule != NULL), "row %zu: %d issues, %s", i, got.count, got.rule);
		CHECK_STR(got.rule, texts[i].rule ? texts[i].rule : "");
		CHECK_INT(got.warning, texts[i].warning);
	}
}

TEST(an_accounts_own_limit_counts)
{
	struct check k = begin("{\"max\":5}", "{}", "[]");
	struct limits own = k.platform->limits;

	limits_overlay(&own, "{\"text.max\":\"8\"}", &arena);
	k.limits = &own;
	check_text(&k, &(struct check_text){.text = "12345678", .param = "text"});
	CHECK_INT(got.count, 0);
	check_text(&k, &(struct check_text){.text = "123456789", .param = "targets[1].text"});
	CHECK_STR(got.rule, "net.text.max_points");
	CHECK_STR(got.param, "targets[1].text");
	CHECK_STR(got.message, "Text is 9 characters; Net allows 8.");
}

/* ---- media ----------------------------------------------------------------------------------------- */

#define NET "{\"max_items\":4,\"max_images\":3,\"max_videos\":1,\"alt_max\":5," \
	"\"image\":{\"mime\":[\"image/png\",\"image/jpeg\"],\"max_bytes\":1000," \
	"\"min_width\":10,\"min_height\":8,\"max_width\":4000,\"max_height\":3000,\"max_pixels\":9000000,\"min_ratio\":0.8,\"max_ratio\":1.91}," \
	"\"video\":{\"mime\":[\"video/mp4\"],\"max_bytes\":5000,\"min_duration_ms\":1000,\"max_duration_ms\":60000,\"max_frame_rate\":60}}"
#define WEBP "{\"max_videos\":1,\"image\":{\"mime\":[\"image/png\",\"image/webp\"]},\"gif\":{\"mime\":[\"image/gif\"]}}"
#define STILL "{\"image\":{\"mime\":[\"image/gif\",\"image/png\"]}}"
#define MOVES "{\"max_videos\":1,\"image\":{},\"gif\":{},\"video\":{}}"
#define MIXED "{\"mixed\":true,\"image\":{},\"gif\":{},\"video\":{}}"
#define IMAGE(mime, alt, bytes, width, height) {"image", mime, alt, bytes, width, height, 0, 0, NULL}
#define IMG(bytes) IMAGE("image/png", NULL, bytes, 100, 100)
#define SIZED(width, height) IMAGE("image/png", NULL, 500, width, height)
#define VID(bytes, ms, frames) {"video", "video/mp4", NULL, bytes, 0, 0, ms, frames, NULL}
#define GIF {"gif", "image/gif", NULL, 500, 0, 0, 0, 0, NULL}
#define MOVING_WEBP {"gif", "image/webp", NULL, 500, 0, 0, 0, 0, NULL}
#define HIDDEN {NULL, NULL, NULL, 0, 0, 0, 0, 0, NULL}

static const struct { const char *media; struct check_media items[6]; int n; const char *code, *rule, *param, *says; } medias[] = {
	{NET, {IMAGE("image/png", "12345", 500, 100, 100)}, 1, NULL, NULL, NULL, NULL},
	{NET, {SIZED(0, 0), IMG(0)}, 2, NULL, NULL, NULL, NULL},
	{NET, {VID(500, 5000, 60000)}, 1, NULL, NULL, NULL, NULL},
	{NET, {HIDDEN}, 1, NULL, NULL, NULL, NULL},
	{"{}", {IMG(1)}, 1, "media_type_unsupported", "net.media.type", "media[0]", "Net takes no media"},
	{"{}", {HIDDEN}, 1, "media_type_unsupported", "net.media.type", "media[0]", "Net takes no media"},
	{NET, {GIF}, 1, "media_type_unsupported", "net.media.type", "media[0]", "type gif; Net takes image, video"},
	{NET, {IMAGE("image/webp", NULL, 500, 100, 100)}, 1, "media_type_unsupported", "net.media.image.mime", "media[0]",
		"image/png, image/jpeg"},
	{NET, {IMG(500), IMG(1001)}, 2, "media_too_large", "net.media.image.max_bytes", "media[1]", "1001 bytes; Net allows at most 1000"},
	{NET, {SIZED(9, 9)}, 1, "media_dimensions", "net.media.image.min_width", "media[0]", "9 pixels; Net allows no less than 10"},
	{NET, {SIZED(4001, 2200)}, 1, "media_dimensions", "net.media.image.max_width", "media[0]", "4001"},
	{NET, {SIZED(12, 7)}, 1, "media_dimensions", "net.media.image.min_height", "media[0]", "7 pixels"},
	{NET, {SIZED(2700, 3001)}, 1, "media_dimensions", "net.media.image.max_height", "media[0]", "3001"},
	{NET, {SIZED(3500, 2900)}, 1, "media_dimensions", "net.media.image.max_pixels", "media[0]", "10150000"},
	{NET, {SIZED(100, 200)}, 1, "media_dimensions", "net.media.image.min_ratio", "media[0]", "0.500; Net allows no less than 0.800"},
	{NET, {SIZED(1080, 1351)}, 1, NULL, NULL, NULL, NULL},
	{NET, {SIZED(200, 100)}, 1, "media_dimensions", "net.media.image.max_ratio", "media[0]", "2.000"},
	{NET, {VID(5001, 5000, 0)}, 1, "media_too_large", "net.media.video.max_bytes", "media[0]", "5001"},
	{NET, {VID(500, 999, 0)}, 1, "media_duration", "net.media.video.min_duration_ms", "media[0]", "999 ms"},
	{NET, {VID(500, 60001, 0)}, 1, "media_duration", "net.media.video.max_duration_ms", "media[0]", "60001 ms; Net allows at most 60000"},
	{NET, {VID(500, 5000, 120000)}, 1, "media_frame_rate", "net.media.video.max_frame_rate", "media[0]", "120.000"},
	{NET, {IMAGE("image/png", "123456", 500, 100, 100)}, 1, "text_too_long", "net.media.alt_max", "media[0].altText",
		"6 characters; Net allows 5"},
	{NET, {IMG(1), IMG(1), IMG(1), IMG(1)}, 4, "media_too_many", "net.media.max_images", "media[3]",
		"4 images; Net allows 3"},
	{NET, {VID(1, 5000, 0), VID(1, 5000, 0)}, 2, "media_too_many", "net.media.max_videos", "media[1]", "2 videos; Net allows 1"},
	{NET, {IMG(1), IMG(1), IMG(1), HIDDEN, HIDDEN}, 5, "media_too_many", "net.media.max_items",
		"media[4]", "5 media items; Net allows 4"},
	{NET, {IMG(1), IMG(1), VID(1, 5000, 0)}, 3, "media_mixed", "net.media.mixed", "media[2]", "2 images and 1 videos"},
	{MIXED, {IMG(1), VID(1, 5000, 0), GIF}, 3, NULL, NULL, NULL, NULL},
	{STILL, {GIF, GIF, IMG(1)}, 3, NULL, NULL, NULL, NULL},
	{STILL, {MOVING_WEBP}, 1, "media_type_unsupported", "net.media.type", "media[0]", "type gif; Net takes image"},
	{WEBP, {MOVING_WEBP, MOVING_WEBP}, 2, NULL, NULL, NULL, NULL},
	{WEBP, {GIF, GIF}, 2, "media_too_many", "net.media.max_videos", "media[1]", NULL},
	{"{\"gif\":{\"mime\":[\"image/gif\"]}}", {MOVING_WEBP}, 1, "media_type_unsupported", "net.media.gif.mime", "media[0]", "image/webp"},
	{MOVES, {GIF, GIF}, 2, "media_too_many", "net.media.max_videos", "media[1]", NULL},
	{MOVES, {IMG(1), GIF}, 2, "media_mixed", "net.media.mixed", "media[1]", NULL},
	{"{\"required\":true,\"image\":{}}", {IMG(1)}, 0, "media_required", "net.media.required", "media", "Net needs media"},
	{"{\"min_items\":2,\"image\":{}}", {IMG(1)}, 1, "media_required", "net.media.min_items", "media", "1 media items; Net needs 2"},
	{"{\"min_items\":2,\"image\":{}}", {IMG(1)}, 0, NULL, NULL, NULL, NULL},
};

TEST(media_are_judged_by_every_bound)
{
	static const char *const params[] = {"media[0]", "media[1]", "media[2]", "media[3]", "media[4]", "media[5]"};

	for (size_t i = 0; i < sizeof medias / sizeof medias[0]; i++) {
		struct check k = begin("{}", medias[i].media, "[]");
		struct check_media items[6];

		memcpy(items, medias[i].items, sizeof items);
		for (int m = 0; m < 6; m++)
			items[m].param = params[m];
		check_media(&k, items, medias[i].n, "media");
		CHECK_SAY(got.count == (medias[i].rule != NULL), "row %zu: %d issues, %s: %s", i, got.count, got.rule, got.message);
		CHECK_STR(got.rule, medias[i].rule ? medias[i].rule : "");
		CHECK_STR(got.code, medias[i].code ? medias[i].code : "");
		CHECK_STR(got.param, medias[i].param ? medias[i].param : "");
		CHECK_SAY(medias[i].says == NULL || strstr(got.message, medias[i].says) != NULL, "row %zu: %s", i, got.message);
	}
}

/* ---- options --------------------------------------------------------------------------------------- */

#define OPTIONS "[{\"name\":\"visibility\",\"type\":\"enum\",\"values\":[\"public\",\"private\"]}," \
	"{\"name\":\"poll\",\"type\":\"list\",\"once\":true}," \
	"{\"name\":\"title\",\"type\":\"text\",\"required\":true,\"once\":true},{\"name\":\"lang\",\"type\":\"text\",\"default\":\"en\"}]"

static const struct { bool child; const char *layers[3], *wanted; int issues; } layered[] = {
	{false, {"{\"title\":\"T\",\"visibility\":\"private\"}", NULL, NULL},
		"{\"visibility\":\"private\",\"title\":\"T\",\"lang\":\"en\"}", 0},
	{false, {"{\"title\":\"T\"}", "{\"visibility\":\"private\",\"title\":\"U\"}", NULL},
		"{\"visibility\":\"private\",\"title\":\"T\",\"lang\":\"en\"}", 0},
	{false, {NULL, "{\"visibility\":\"private\"}", NULL}, "{\"visibility\":\"private\",\"lang\":\"en\"}", 1},
	{false, {NULL, "{\"visibility\":\"secret\",\"title\":\"T\",\"color\":1}", NULL}, "{\"title\":\"T\",\"lang\":\"en\"}", 2},
	/* a child has what its post has, but for what is meant once, and says nothing twice */
	{true, {NULL, "{\"visibility\":\"private\",\"title\":\"T\",\"poll\":[\"a\"]}", "{\"lang\":\"de\"}"},
		"{\"visibility\":\"private\",\"lang\":\"de\"}", 0},
	{true, {"{\"poll\":[\"b\"]}", "{\"poll\":[\"a\"]}", NULL}, "{\"poll\":\"b\",\"lang\":\"en\"}", 0},
	{true, {"{\"visibility\":\"public\"}", "{\"visibility\":\"private\"}", NULL}, "{\"visibility\":\"public\",\"lang\":\"en\"}", 0},
	{true, {NULL, "{\"visibility\":\"secret\",\"color\":1}", NULL}, "{\"lang\":\"en\"}", 0},
	{true, {"{\"color\":1,\"visibility\":\"secret\"}", NULL, NULL}, "{\"lang\":\"en\"}", 2},
};

TEST(options_of_a_post_and_of_its_children)
{
	for (size_t i = 0; i < sizeof layered / sizeof layered[0]; i++) {
		struct check k = begin("{}", "{}", OPTIONS);
		struct check_options o = {.child = layered[i].child};
		struct jsonw w;
		struct buf out;
		struct cx cx;

		cx_init(&cx, "test");
		for (int l = 0; l < CHECK_LAYERS; l++) {
			o.param[l] = "options";
			if (layered[i].layers[l] != NULL)
				CHECK_INT(json_parse(&cx, &arena, layered[i].layers[l], strlen(layered[i].layers[l]), &o.layer[l]), RC_OK);
		}
		buf_init(&out, 4096);
		jsonw_init(&w, &out);
		jsonw_object(&w, "");
		check_options(&k, &o, &w);
		jsonw_object_end(&w);
		CHECK_SAY(strstr(buf_text(&out), layered[i].wanted) != NULL, "row %zu: %s", i, buf_text(&out));
		CHECK_SAY(got.count == layered[i].issues, "row %zu: %d issues, %s", i, got.count, got.message);
		buf_free(&out);
	}
}
