/*
 * The JSON writer: commas, escapes, bad bytes; all of it is read back by the reader.
 */
#include "core/base/jsonw.h"

#include "core/base/json.h"
#include "tests/unit/test.h"

TEST(writes_a_document)
{
	BUF_AUTO struct buf b;
	struct jsonw w;
	buf_init(&b, 4096);
	jsonw_init(&w, &b);
	jsonw_object(&w, NULL);
	jsonw_text(&w, "a", "x");
	jsonw_text(&w, "", NULL);
	jsonw_array(&w, "list");
	jsonw_int(&w, NULL, -9007199254740991);
	jsonw_bool(&w, "", true);
	jsonw_object(&w, "");
	jsonw_object_end(&w);
	jsonw_array(&w, NULL);
	jsonw_array_end(&w);
	jsonw_null(&w, NULL);
	jsonw_array_end(&w);
	jsonw_object(&w, "o");
	jsonw_bool(&w, "f", false);
	jsonw_object_end(&w);
	jsonw_time(&w, "t", 1795803630123);
	jsonw_time(&w, "never", 0);
	jsonw_raw(&w, "raw", "[1]", 3);
	jsonw_raw(&w, "none", NULL, 0);
	jsonw_object_end(&w);
	jsonw_end(&w);
	CHECK_STR(buf_text(&b), "{\"a\":\"x\",\"\":null,\"list\":[-9007199254740991,true,{},[],null],\"o\":{\"f\":false},"
		"\"t\":\"2026-11-27T18:20:30.123Z\",\"never\":null,\"raw\":[1],\"none\":null}");
}

static const struct { const char *text; size_t n; const char *json; } escapes[] = {
	{"", 0, "\"\""},
	{"plain", 5, "\"plain\""},
	{"\"\\/", 3, "\"\\\"\\\\/\""},
	{"\b\f\n\r\t", 5, "\"\\b\\f\\n\\r\\t\""},
	{"\0\1\x1f\x7f", 4, "\"\\u0000\\u0001\\u001f\x7f\""},
	{"\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80", 9, "\"\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80\""},
	{"a\xFFz", 3, "\"a\xEF\xBF\xBDz\""},
	{"\xC3", 1, "\"\xEF\xBF\xBD\""},
	{"\xC0\x80", 2, "\"\xEF\xBF\xBD\xEF\xBF\xBD\""},
	{"\xED\xA0\x80", 3, "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\""},
	{"\xF4\x90\x80\x80", 4, "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\""},
};

TEST(escapes_text)
{
	BUF_AUTO struct buf b;
	buf_init(&b, 4096);
	for (size_t i = 0; i < sizeof escapes / sizeof escapes[0]; i++) {
		struct jsonw w;
		buf_reset(&b);
		jsonw_init(&w, &b);
		jsonw_textn(&w, NULL, escapes[i].text, escapes[i].n);
		jsonw_end(&w);
		CHECK_STR(buf_text(&b), escapes[i].json);
	}
}

TEST(every_byte_comes_back_through_the_reader)
{
	for (int first = 1; first < 256; first++) {
		BUF_AUTO struct buf b;
		ARENA_AUTO struct arena a;
		struct jsonw w;
		struct cx cx;
		struct jv root, value;
		const char *key;
		char text[] = {(char)first, 'x', (char)first, '\0'};
		buf_init(&b, 4096);
		arena_init(&a, 1 << 16);
		cx_init(&cx, "test");
		jsonw_init(&w, &b);
		jsonw_object(&w, NULL);
		jsonw_text(&w, text, text);
		jsonw_object_end(&w);
		jsonw_end(&w);
		CHECK_INT(json_parse(&cx, &a, b.data, b.len, &root), RC_OK);
		CHECK(json_member(root, 0, &key, &value));
		CHECK_STR(key, first < 0x80 ? text : "\xEF\xBF\xBDx\xEF\xBF\xBD");
		CHECK_STR(json_text(value), key);
	}
}

/* One byte of every kind at every place of texts around the eight bytes that are looked at together. */
TEST(finds_what_is_to_be_escaped_at_every_place)
{
	static const struct { char c; const char *json; } kinds[] = {
		{'"', "\\\""}, {'\\', "\\\\"}, {'\n', "\\n"}, {'\x1f', "\\u001f"}, {'\0', "\\u0000"}, {'\xFF', "\xEF\xBF\xBD"}, {'\x7f', "\x7f"},
		{' ', " "}, {'!', "!"}, {'#', "#"}, {'[', "["}, {']', "]"},
	};
	BUF_AUTO struct buf b;
	char text[32], want[64];
	struct jsonw w;

	buf_init(&b, 4096);
	for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++)
		for (size_t n = 1; n < 20; n++)
			for (size_t at = 0; at < n; at++) {
				memset(text, 'x', n);
				text[at] = kinds[k].c;
				snprintf(want, sizeof want, "\"%.*s%s%.*s\"", (int)at, "xxxxxxxxxxxxxxxxxxxx", kinds[k].json, (int)(n - at - 1),
					 "xxxxxxxxxxxxxxxxxxxx");
				buf_reset(&b);
				jsonw_init(&w, &b);
				jsonw_textn(&w, NULL, text, n);
				CHECK_STR(buf_text(&b), want);
			}
}

TEST(writes_every_integer)
{
	static const struct { int64_t n; const char *json; } all[] = {
		{0, "0"}, {9, "9"}, {10, "10"}, {-1, "-1"}, {INT64_MAX, "9223372036854775807"}, {INT64_MIN, "-9223372036854775808"},
	};
	BUF_AUTO struct buf b;
	struct jsonw w;

	buf_init(&b, 4096);
	for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
		buf_reset(&b);
		jsonw_init(&w, &b);
		jsonw_int(&w, NULL, all[i].n);
		CHECK_STR(buf_text(&b), all[i].json);
	}
}

TEST(a_full_buffer_is_told_by_the_buffer)
{
	BUF_AUTO struct buf b;
	struct jsonw w;
	buf_init(&b, 10);
	jsonw_init(&w, &b);
	jsonw_array(&w, NULL);
	jsonw_text(&w, NULL, "longer than ten");
	jsonw_array_end(&w);
	jsonw_end(&w);
	CHECK(!buf_ok(&b));
}
