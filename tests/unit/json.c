/*
 * The JSON reader: what RFC 8259 accepts and refuses, and how values are read.
 *
 * The one thing to know: both tables give lengths by sizeof, so a NUL byte inside a case counts.
 */
#include "core/base/json.h"

#include "core/base/buf.h"
#include "tests/unit/test.h"

struct sample { const char *name, *text; size_t n; };
#define S(name, text) {name, text, sizeof(text) - 1}
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const struct sample good[] = {
	S("array empty", "[]"), S("array blanks", " [ \t\n\r ] "), S("array nested", "[[[]],[]]"),
	S("array of one", "[\"a\"]"), S("array of mixed", "[null,1,\"1\",{},[],true,false]"),
	S("object empty", "{}"), S("object blanks", "{ \"a\" : 1 , \"b\" : 2 }"), S("object empty name", "{\"\":0}"),
	S("object escaped name", "{\"a\\u0062\":1,\"a\":2}"), S("object nested", "{\"a\":{\"a\":{\"a\":[]}}}"),
	S("object long", "{\"min\":-1.0e+28,\"max\":1.0e+28}"), S("names that differ in case", "{\"a\":1,\"A\":2}"),
	S("same name at two depths", "{\"a\":{\"a\":1},\"b\":{\"a\":1}}"),
	S("lone null", "null"), S("lone true", "true"), S("lone false", "false"), S("lone string", "\"\""),
	S("lone number", "42"), S("lone negative", "-0.1"), S("lone with blanks", "\n7\n"),
	S("zero", "0"), S("minus zero", "-0"), S("minus zero fraction", "-0.0"), S("fraction", "0.4"), S("exponent", "1e5"),
	S("exponent capital", "1E22"), S("exponent minus", "1e-2"), S("exponent plus", "1E+2"), S("zero exponent", "0e+1"),
	S("exponent zeros", "1e00"), S("huge exponent", "123.456e78"), S("too large for a double", "1e400"),
	S("many digits", "-123456789012345678901234567890.123456789"),
	S("string escapes", "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""), S("string unicode", "\"\\u0123\\uFFFF\\u00e4\""),
	S("string pair", "\"\\uD83D\\uDE00\""), S("string two pairs", "\"\\ud800\\udc00\\udbff\\udfff\""),
	S("string escaped control", "\"\\u0012\""), S("string utf-8", "\"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\""),
	S("string delete", "\"\x7f\""), S("string noncharacter", "\"\xEF\xBF\xBF\xF4\x8F\xBF\xBF\""),
	S("string line separator", "\"\xE2\x80\xA8\xE2\x80\xA9\""), S("string looks like comment", "\"/*//\""),
	S("string ends in backslash", "\"\\\\\""), S("string with mark inside", "\"\xEF\xBB\xBF\""),
	S("backslash before u", "\"\\\\u0000\""), S("brackets in string", "[\"]}\",\"[{\"]"),
	S("depth 32", "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]"),
};

static const struct sample bad[] = {
	S("nothing", ""), S("blank", " "), S("mark only", "\xEF\xBB\xBF"), S("mark before", "\xEF\xBB\xBF{}"),
	S("utf-16", "[\0\"\0\xE9\0\"\0]\0"), S("NUL after", "1\0"), S("NUL in array", "[1,\0]"), S("NUL in string", "\"a\0b\""),
	S("escaped NUL in string", "\"a\\u0000\""), S("escaped NUL in name", "{\"\\u0000\":1}"),
	S("array comma at end", "[1,]"), S("array two commas", "[1,,2]"), S("array comma first", "[,1]"), S("array comma", "[,]"),
	S("array colon", "[\"\":1]"), S("array no comma", "[1 2]"), S("array no comma strings", "[\"a\" \"b\"]"),
	S("array open", "["), S("array open value", "[1"), S("array open comma", "[1,\n1\n,1"), S("array closed twice", "[1]]"),
	S("array wrong end", "[1}"), S("array open inner", "[[]"), S("array then text", "[]x"), S("array then comma", "[],"),
	S("array inner no comma", "[3[4]]"), S("array star", "[*]"), S("array just minus", "[-]"), S("end before start", "]"),
	S("object comma at end", "{\"a\":1,}"), S("object two commas", "{\"a\":1,,\"b\":2}"), S("object comma first", "{,\"a\":1}"),
	S("object no comma", "{\"a\":1 \"b\":2}"), S("object no colon", "{\"a\" 1}"), S("object two colons", "{\"a\"::1}"),
	S("object comma for colon", "{\"a\",1}"), S("object no value", "{\"a\":}"), S("object name only", "{\"a\"}"),
	S("object bare name", "{a:1}"), S("object number name", "{1:1}"), S("object single quotes", "{'a':1}"),
	S("object null name", "{null:1}"), S("object open", "{"), S("object open name", "{\"a"), S("object open colon", "{\"a\":"),
	S("object open value", "{\"a\":1"), S("object wrong end", "{\"a\":1]"), S("object then object", "{} {}"),
	S("object then hash", "{}#"), S("object comment", "{\"a\":/*x*/1}"), S("object comment at end", "{}//"),
	S("object value without name", "{1}"), S("object end of brace", "}"), S("object emoji name", "{\xF0\x9F\x98\x80}"),
	S("same name twice", "{\"a\":1,\"a\":2}"), S("same name escaped", "{\"a\":1,\"b\":2,\"\\u0061\":3}"),
	S("same name deep", "[{\"x\":{\"k\":1,\"l\":2,\"k\":3}}]"), S("same empty name", "{\"\":1,\"\":2}"),
	S("word cut", "[tru]"), S("word long", "[truee]"), S("word capital", "[True]"), S("word nul", "[nul]"), S("word fals", "fals"),
	S("word undefined", "undefined"), S("word NaN", "[NaN]"), S("word Infinity", "[-Infinity]"), S("words together", "truefalse"),
	S("number leading zero", "[012]"), S("number minus leading zero", "[-012]"), S("number plus", "[+1]"),
	S("number two signs", "[--1]"), S("number dot end", "[1.]"), S("number dot start", "[.5]"), S("number minus dot", "[-.5]"),
	S("number dot exponent", "[1.e5]"), S("number no exponent", "[1e]"), S("number exponent sign", "[1e+]"),
	S("number two exponents", "[1e5e5]"), S("number two dots", "[1.2.3]"), S("number hex", "[0x1F]"), S("number letters", "[1a]"),
	S("number minus space", "[- 1]"), S("number full width", "[\xEF\xBC\x91]"), S("number exponent dot", "[1e1.5]"),
	S("number underline", "[1_000]"), S("number zero exponent cut", "0e"), S("number minus only", "-"),
	S("string open", "\""), S("string open text", "\"abc"), S("string open escape", "\"\\"), S("string escaped end", "\"\\\""),
	S("string newline", "\"a\nb\""), S("string tab", "\"\t\""), S("string control 1f", "\"\x1f\""), S("string escape x", "\"\\x41\""),
	S("string escape a", "\"\\a\""), S("string escape capital", "\"\\N\""), S("string escape space", "\"\\ \""),
	S("string escape NUL byte", "\"\\\0\""), S("string u cut", "\"\\u00\""), S("string u cut at end", "\"\\u00A"),
	S("string u bad digit", "\"\\u00g0\""), S("string u sign", "\"\\u+123\""), S("string u capital", "\"\\U0041\""),
	S("string high alone", "\"\\uD800\""), S("string low alone", "\"\\uDC00\""), S("string high high", "\"\\uD800\\uD800\""),
	S("string high then text", "\"\\uD800abc\""), S("string high then escape", "\"\\uD800\\n\""),
	S("string high cut", "\"\\uD800\\u\""), S("string high bad low", "\"\\uD83D\\uE000\""), S("string high at end", "\"\\uD800\\uDC0"),
	S("string single quotes", "['a']"), S("string backticks", "[`a`]"), S("string no quotes", "[a]"), S("string then text", "\"a\"x"),
	S("utf-8 bad start", "\"\xFF\""), S("utf-8 lone continuation", "\"\x81\""), S("utf-8 cut", "\"\xE2\x82\""),
	S("utf-8 cut at end", "\"\xE2"), S("utf-8 overlong slash", "\"\xC0\xAF\""), S("utf-8 overlong 3", "\"\xE0\x80\xAF\""),
	S("utf-8 overlong 4", "\"\xF0\x80\x80\xAF\""), S("utf-8 surrogate", "\"\xED\xA0\x80\""), S("utf-8 too high", "\"\xF4\x90\x80\x80\""),
	S("utf-8 f5", "\"\xF5\x80\x80\x80\""), S("utf-8 outside string", "[\xC3\xA9]"), S("latin-1", "\"\xE9\""),
	S("blank form feed", "[\f]"), S("blank no-break", "[\xC2\xA0]"), S("blank vertical tab", "\v1"), S("blank word joiner", "[\xE2\x81\xA0]"),
	S("angle brackets", "<.>"), S("two values", "1 2"), S("comma only", ","), S("colon only", ":"), S("parentheses", "(1)"),
	S("depth 33", "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]"),
	S("depth 33 objects", "{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":"
		"{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{}"
		"}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}"),
};

static struct cx cx;

/* Parses a copy of exactly n bytes, so that a sanitizer sees a read behind it. */
static enum rc parse(struct arena *a, const char *text, size_t n, struct jv *ret)
{
	char *copy = malloc(n ? n : 1);
	CHECK(copy != NULL);
	memcpy(copy, text, n);
	cx_init(&cx, "test");
	enum rc rc = json_parse(&cx, a, copy, n, ret);
	free(copy);
	return rc;
}

static struct jv parse_text(struct arena *a, const char *text)
{
	struct jv root = {0};
	CHECK_INT(parse(a, text, strlen(text), &root), RC_OK);
	return root;
}

TEST(accepts_what_is_json)
{
	for (size_t i = 0; i < COUNT(good); i++) {
		ARENA_AUTO struct arena a;
		struct jv root;
		arena_init(&a, 1 << 20);
		CHECK_SAY(parse(&a, good[i].text, good[i].n, &root) == RC_OK, "%s: %s", good[i].name, cx.words);
	}
}

TEST(refuses_what_is_not)
{
	for (size_t i = 0; i < COUNT(bad); i++) {
		ARENA_AUTO struct arena a;
		struct jv root = {0};
		arena_init(&a, 1 << 20);
		CHECK_SAY(parse(&a, bad[i].text, bad[i].n, &root) == RC_INVALID, "%s is accepted", bad[i].name);
		CHECK_STR(cx.code, "invalid_json");
		CHECK_SAY(!root.doc, "%s: a value is handed out", bad[i].name);
	}
}

TEST(every_beginning_is_refused)
{
	static const char text[] = "{\"a\":[1,{\"b\":\"\\uD83D\\uDE00\\n\xC3\xA4\"},true,null],\"c\":-1.5e3}";
	for (size_t n = 0; n < sizeof text - 1; n++) {
		ARENA_AUTO struct arena a;
		struct jv root;
		arena_init(&a, 1 << 16);
		CHECK_SAY(parse(&a, text, n, &root) == RC_INVALID, "the first %zu bytes are accepted", n);
	}
}

TEST(says_where)
{
	ARENA_AUTO struct arena a;
	struct jv root;
	arena_init(&a, 1 << 16);
	static const char text[] = "{\"a\":1,\n\"\xC3\xA4\":x}";
	CHECK_INT(parse(&a, text, sizeof text - 1, &root), RC_INVALID);
	CHECK_STR(cx.words, "The JSON is not valid at byte 13 (line 2, column 5): a value is expected here.");
	CHECK_INT(parse(&a, "{\"a\":1,\"b\":2,\"a\":3}", 19, &root), RC_INVALID);
	CHECK_SAY(strstr(cx.words, "byte 14 ") && strstr(cx.words, "twice"), "%s", cx.words);
}

TEST(reads_members)
{
	ARENA_AUTO struct arena a;
	arena_init(&a, 1 << 16);
	struct jv root = parse_text(&a, "{\"data\":[{\"id\":\"x\"},{\"id\":17}],\"a\\\"b\":true,\"n\":null,\"0\":\"zero\",\"e\":{}}");
	CHECK_INT(json_type(root), JSON_OBJECT);
	CHECK_INT(json_count(root), 5);
	CHECK_STR(json_text(json_path(root, "data.0.id")), "x");
	CHECK_STR(json_text(json_path(root, "data.1.id")), "17");
	CHECK_STR(json_text(json_path(root, "0")), "zero");
	CHECK_STR(json_text(json_get(root, "a\"b")), "true");
	CHECK_INT(json_type(json_get(root, "n")), JSON_NULL);
	CHECK(json_text(json_get(root, "n")) == NULL);
	CHECK(json_text(root) == NULL);
	static const char *const absent[] = {"data.2.id", "data.x", "data.-1", "data.", "n.x", "missing", "", "dat", "data.0.id.x",
		"data.99999999999999999999", "e.e"};
	for (size_t i = 0; i < COUNT(absent); i++)
		CHECK_SAY(json_type(json_path(root, absent[i])) == JSON_NONE, "%s is there", absent[i]);
	CHECK_STR(json_text_or(json_get(root, "missing"), "else"), "else");
	CHECK_INT(json_count(json_get(root, "missing")), 0);
}

TEST(nothing_reads_as_nothing)
{
	struct jv none = {0};
	int64_t n;
	bool b;
	size_t len = 1;
	const char *key;
	CHECK_INT(json_type(none), JSON_NONE);
	CHECK_INT(json_type(json_get(none, "a")), JSON_NONE);
	CHECK_INT(json_type(json_at(none, 0)), JSON_NONE);
	CHECK_INT(json_type(json_path(none, "a.0.b")), JSON_NONE);
	CHECK(!json_member(none, 0, &key, &none));
	CHECK(!json_int(none, &n) && !json_bool(none, &b) && !json_text(none) && !json_raw(none, &len));
	CHECK_INT(len, 0);
}

TEST(unescapes)
{
	ARENA_AUTO struct arena a;
	arena_init(&a, 1 << 16);
	struct jv root = parse_text(&a, "[\"\\\"\\\\\\/\\b\\f\\n\\r\\t\",\"\\u00e4\\u20AC\\uD83D\\uDE00!\",\"x\\u0041\\\\u0041\",\"\"]");
	CHECK_STR(json_text(json_at(root, 0)), "\"\\/\b\f\n\r\t");
	CHECK_STR(json_text(json_at(root, 1)), "\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80!");
	CHECK_STR(json_text(json_at(root, 2)), "xA\\u0041");
	CHECK_STR(json_text(json_at(root, 3)), "");
}

TEST(walks_in_text_order_and_out_of_it)
{
	ARENA_AUTO struct arena a;
	struct jv value;
	const char *key;
	arena_init(&a, 1 << 16);
	struct jv root = parse_text(&a, "{\"z\":[1,[2,3],4],\"y\":{\"q\":[5]},\"x\":6}");
	static const char *const names[] = {"z", "y", "x"};
	for (size_t i = 0; i < 3; i++) {
		CHECK(json_member(root, i, &key, &value));
		CHECK_STR(key, names[i]);
		CHECK_INT(json_count(value), i == 0 ? 3 : i == 1 ? 1 : 0);	/* another walk between two steps */
		CHECK_STR(json_text_or(json_at(json_get(root, "z"), 2), "?"), "4");
	}
	CHECK(!json_member(root, 3, &key, &value));
	for (size_t i = 3; i-- > 0; ) {
		CHECK(json_member(root, i, &key, &value));
		CHECK_STR(key, names[i]);
	}
	CHECK_STR(json_text(json_at(json_at(json_get(root, "z"), 1), 1)), "3");
	CHECK_INT(json_type(json_at(json_get(root, "z"), 3)), JSON_NONE);
}

TEST(gives_raw_bytes)
{
	ARENA_AUTO struct arena a;
	size_t n;
	arena_init(&a, 1 << 16);
	struct jv root = parse_text(&a, " {\"a\": [1, \"x\\n\"] ,\"s\":\"\\u0041\",\"n\":1.50} ");
	const char *raw = json_raw(json_get(root, "a"), &n);
	CHECK_STR(arena_dup(&a, raw, n), "[1, \"x\\n\"]");
	raw = json_raw(json_get(root, "s"), &n);
	CHECK_STR(arena_dup(&a, raw, n), "\"\\u0041\"");
	raw = json_raw(json_get(root, "n"), &n);
	CHECK_STR(arena_dup(&a, raw, n), "1.50");
	raw = json_raw(root, &n);
	CHECK_INT(raw[0], '{');
	CHECK_INT(raw[n - 1], '}');
}

static const struct { const char *text; bool ok; int64_t value; } integers[] = {
	{"0", true, 0}, {"-0", true, 0}, {"17", true, 17}, {"-17", true, -17},
	{"9007199254740991", true, 9007199254740991}, {"-9007199254740991", true, -9007199254740991},
	{"9007199254740992", false, 0}, {"-9007199254740992", false, 0}, {"9999999999999999", false, 0},
	{"18446744073709551617", false, 0}, {"1.0", false, 0}, {"1e3", false, 0}, {"\"1\"", false, 0}, {"true", false, 0},
	{"null", false, 0}, {"[]", false, 0},
};

TEST(reads_safe_integers_only)
{
	for (size_t i = 0; i < COUNT(integers); i++) {
		ARENA_AUTO struct arena a;
		arena_init(&a, 1 << 16);
		int64_t value = 77;
		bool ok = json_int(parse_text(&a, integers[i].text), &value);
		CHECK_SAY(ok == integers[i].ok, "%s", integers[i].text);
		CHECK_INT(value, ok ? integers[i].value : 77);
	}
}

TEST(numbers_stay_text)
{
	ARENA_AUTO struct arena a;
	bool b = false;
	arena_init(&a, 1 << 16);
	struct jv root = parse_text(&a, "[12345678901234567890,1.10,true,\"true\"]");
	CHECK_STR(json_text(json_at(root, 0)), "12345678901234567890");
	CHECK_STR(json_text(json_at(root, 1)), "1.10");
	CHECK(json_bool(json_at(root, 2), &b) && b);
	CHECK(!json_bool(json_at(root, 3), &b));
}

/* One object of a million bytes with equal lengths and one long common beginning: every step must stay far
 * below quadratic, or this test takes minutes. */
TEST(a_hostile_object_is_read_in_time)
{
	ARENA_AUTO struct arena a;
	BUF_AUTO struct buf b;
	struct jv root;
	arena_init(&a, 64 << 20);
	buf_init(&b, 8 << 20);
	buf_adds(&b, "{");
	for (int i = 0; i < 90000; i++)
		buf_addf(&b, "%s\"%05d\":%d", i ? "," : "", (i * 7919) % 90000, i);
	buf_adds(&b, "}");
	CHECK(buf_ok(&b));
	CHECK_INT(parse(&a, b.data, b.len, &root), RC_OK);
	CHECK_INT(json_count(root), 90000);
	buf_cut(&b, b.len - 1);
	buf_adds(&b, ",\"00000\":1}");
	CHECK_INT(parse(&a, b.data, b.len, &root), RC_INVALID);
}

TEST(a_long_array_is_walked_in_time)
{
	ARENA_AUTO struct arena a;
	BUF_AUTO struct buf b;
	arena_init(&a, 64 << 20);
	buf_init(&b, 8 << 20);
	buf_adds(&b, "[0");
	for (int i = 1; i < 200000; i++)
		buf_addf(&b, ",%d", i % 10);
	buf_adds(&b, "]");
	struct jv root = parse_text(&a, buf_text(&b));
	for (size_t i = 0; i < 200000; i++)
		CHECK_INT(json_text(json_at(root, i))[0], '0' + (int)(i % 10));
}

TEST(stays_below_the_promised_memory)
{
	BUF_AUTO struct buf b;
	buf_init(&b, 1 << 20);
	buf_adds(&b, "[1");
	for (int i = 0; i < 9999; i++)
		buf_adds(&b, ",1");
	buf_adds(&b, "]");
	for (size_t max = 0; max < b.len * 10 + 1024; max += 10007) {
		ARENA_AUTO struct arena a;
		struct jv root;
		arena_init(&a, max);
		CHECK_INT(parse(&a, b.data, b.len, &root), RC_TOO_LARGE);	/* refused, not aborted */
		if (max + 20014 > b.len * 10 + 1024)
			break;
	}
	ARENA_AUTO struct arena enough;
	struct jv root;
	arena_init(&enough, b.len * 10 + 1024);
	CHECK_INT(parse(&enough, b.data, b.len, &root), RC_OK);
}

TEST(too_many_values_are_refused)
{
	ARENA_AUTO struct arena a;
	BUF_AUTO struct buf b;
	struct jv root;
	arena_init(&a, 256 << 20);
	buf_init(&b, 2 << 20);
	buf_adds(&b, "[1");
	for (int i = 0; i < 300000; i++)
		buf_adds(&b, ",1");
	buf_adds(&b, "]");
	CHECK_INT(parse(&a, b.data, b.len, &root), RC_TOO_LARGE);
}
