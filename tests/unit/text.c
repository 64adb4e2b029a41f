/*
 * Counting and encoding text.
 */
#include "core/base/text.h"

#include "tests/unit/test.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* Checked against Intl.Segmenter. */
static const struct { const char *name, *text; size_t points, utf16, graphemes; } counts[] = {
	{"nothing", "", 0, 0, 0},
	{"letters", "abc", 3, 3, 3},
	{"umlaut", "\u00e4", 1, 1, 1},
	{"letter and accent", "e\u0301", 2, 2, 1},
	{"two accents", "a\u0308\u0323b", 4, 4, 2},
	{"cr lf", "a\r\nb", 4, 4, 3},
	{"emoji", "\U0001F600", 1, 2, 1},
	{"skin tone", "\U0001F44D\U0001F3FD", 2, 4, 1},
	{"family", "\U0001F468\u200D\U0001F469\u200D\U0001F467\u200D\U0001F466", 7, 11, 1},
	{"rainbow flag", "\U0001F3F3\uFE0F\u200D\U0001F308", 4, 6, 1},
	{"heart on fire twice", "\u2764\uFE0F\u200D\U0001F525\u2764\uFE0F\u200D\U0001F525", 8, 10, 2},
	{"flags", "\U0001F1E9\U0001F1EA\U0001F1EB\U0001F1F7", 4, 8, 2},
	{"odd flags", "\U0001F1E9\U0001F1EA\U0001F1EB", 3, 6, 2},
	{"keycap", "1\uFE0F\u20E3", 3, 3, 1},
	{"subdivision flag", "\U0001F3F4\U000E0067\U000E0062\U000E0073\U000E0063\U000E0074\U000E007F", 7, 14, 1},
	{"letter, joiner, emoji", "a\u200D\U0001F600", 3, 4, 2},
	{"hangul parts", "\u1100\u1161\u11A8", 3, 3, 1},
	{"hangul word", "\uD55C\uAE00", 2, 2, 2},
	{"thai", "\u0E01\u0E33", 2, 2, 1},
	{"tamil", "\u0BA8\u0BBF", 2, 2, 1},
	{"devanagari conjunct", "\u0915\u094D\u0937", 3, 3, 1},
	{"devanagari conjunct and sign", "\u0915\u094D\u0937\u093F", 4, 4, 1},
	{"devanagari three", "\u0938\u094D\u0924\u094D\u0930\u0940", 6, 6, 1},
	{"devanagari word", "\u0928\u092E\u0938\u094D\u0924\u0947", 6, 6, 3},
	{"devanagari nukta", "\u0915\u093C\u094D\u0937", 4, 4, 1},
	{"devanagari joiner", "\u0915\u094D\u200D\u0937", 4, 4, 1},
	{"devanagari non-joiner", "\u0915\u094D\u200C\u0937", 4, 4, 2},
	{"devanagari no linker", "\u0915\u0937", 2, 2, 2},
	{"devanagari linker first", "\u094D\u0937", 2, 2, 2},
	{"linker, then letter", "\u0915\u094Da", 3, 3, 2},
	{"letter, linker, consonant", "a\u094D\u0937", 3, 3, 2},
	{"linker before a vowel", "\u0915\u094D\u0905", 3, 3, 2},
	{"bengali conjunct", "\u0995\u09CD\u09B7", 3, 3, 1},
	{"gujarati conjunct", "\u0A95\u0ACD\u0AB7", 3, 3, 1},
	{"oriya conjunct", "\u0B15\u0B4D\u0B37", 3, 3, 1},
	{"telugu conjunct", "\u0C15\u0C4D\u0C37", 3, 3, 1},
	{"malayalam conjunct", "\u0D15\u0D4D\u0D37", 3, 3, 1},
	{"consonants of two scripts", "\u0915\u094D\u0995", 3, 3, 1},
	{"kannada has none", "\u0C95\u0CCD\u0CB7", 3, 3, 2},
};

TEST(text_counts)
{
	for (size_t i = 0; i < COUNT(counts); i++) {
		size_t got = text_graphemes(counts[i].text);
		CHECK_SAY(got == counts[i].graphemes, "%s: %zu graphemes", counts[i].name, got);
		CHECK_SAY(text_points(counts[i].text) == counts[i].points, "%s: points", counts[i].name);
		CHECK_SAY(text_utf16(counts[i].text) == counts[i].utf16, "%s: utf-16", counts[i].name);
	}
}

TEST(text_counts_survive_bad_bytes)
{
	CHECK_INT(text_points("\xFF\xFE" "a\xE2\x82"), 5);
	CHECK_INT(text_utf16("\xF0\x9F\x98"), 3);
	CHECK(text_graphemes("\xFF\xFE" "a\xE2\x82") >= 3);
}

static const struct { const char *text; size_t n; bool utf8; } utf8s[] = {
	{"", 0, true}, {"a", 1, true}, {"\xC3\xA4", 2, true}, {"\xF4\x8F\xBF\xBF", 4, true}, {"\xEE\x80\x80", 3, true},
	{"a\0b", 3, false}, {"\xC3", 1, false}, {"\xC0\x80", 2, false}, {"\xC1\xBF", 2, false}, {"\xE0\x9F\xBF", 3, false},
	{"\xED\xA0\x80", 3, false}, {"\xED\xBF\xBF", 3, false}, {"\xF0\x8F\xBF\xBF", 4, false}, {"\xF4\x90\x80\x80", 4, false},
	{"\xF5\x80\x80\x80", 4, false}, {"\x80", 1, false}, {"\xE2\x28\xA1", 3, false}, {"a\xFF", 2, false},
};

TEST(text_utf8_is_strict)
{
	for (size_t i = 0; i < COUNT(utf8s); i++)
		CHECK_SAY(text_utf8(utf8s[i].text, utf8s[i].n) == utf8s[i].utf8, "case %zu", i);
}

TEST(text_printable_refuses_controls)
{
	CHECK(text_printable("a\tb\r\n\u00e4\U0001F600"));
	CHECK(text_printable(""));
	static const char *const refused[] = {"\x01", "a\x1b[m", "\x7f", "\xC2\x85", "\xC2\x9B", "\xFF", "\x0b"};
	for (size_t i = 0; i < COUNT(refused); i++)
		CHECK_SAY(!text_printable(refused[i]), "case %zu", i);
}

TEST(text_eq_and_starts)
{
	CHECK(text_eq("a", "a") && text_eq(NULL, NULL));
	CHECK(!text_eq("a", "b") && !text_eq(NULL, "") && !text_eq("", NULL));
	CHECK(text_starts("abc", "ab") && text_starts("abc", ""));
	CHECK(!text_starts("ab", "abc") && !text_starts("xab", "ab"));
}

static const struct { const char *text; bool ok; int64_t value; } integers[] = {
	{"0", true, 0}, {"-0", true, 0}, {"007", true, 7}, {"-12", true, -12},
	{"9223372036854775807", true, INT64_MAX}, {"-9223372036854775808", true, INT64_MIN},
	{"9223372036854775808", false, 0}, {"-9223372036854775809", false, 0}, {"99999999999999999999999", false, 0},
	{"18446744073709551616", false, 0}, {"", false, 0}, {"-", false, 0}, {"+1", false, 0}, {" 1", false, 0}, {"1 ", false, 0},
	{"1a", false, 0}, {"--1", false, 0}, {"0x1", false, 0}, {"1.0", false, 0},
};

TEST(text_int_takes_whole_numbers)
{
	for (size_t i = 0; i < COUNT(integers); i++) {
		int64_t value = 77;
		CHECK_SAY(text_int(integers[i].text, &value) == integers[i].ok, "\"%s\"", integers[i].text);
		CHECK_INT(value, integers[i].ok ? integers[i].value : 77);
	}
}

TEST(text_percent_and_form)
{
	BUF_AUTO struct buf b;
	buf_init(&b, 1000);
	text_percent(&b, "aZ9-._~ /?&=+%\xC3\xA4\0", 17);
	CHECK_STR(buf_text(&b), "aZ9-._~%20%2F%3F%26%3D%2B%25%C3%A4%00");
	buf_reset(&b);
	text_form(&b, "a b+c", 5);
	CHECK_STR(buf_text(&b), "a+b%2Bc");
}

static const struct { const char *text; bool plus, ok; const char *want; } escapes[] = {
	{"a%20b", false, true, "a b"}, {"a+b", true, true, "a b"}, {"a+b", false, true, "a+b"}, {"%2b+", true, true, "+ "},
	{"%C3%a4", false, true, "\u00e4"}, {"", false, true, ""}, {"%2525", false, true, "%25"},
	{"%", false, false, ""}, {"%2", false, false, ""}, {"a%2g", false, false, ""}, {"%g2", false, false, ""},
	{"%00", false, false, ""}, {"a%0", true, false, ""}, {"%+1", false, false, ""}, {"%%20", false, false, ""},
};

TEST(text_unpercent_is_strict)
{
	for (size_t i = 0; i < COUNT(escapes); i++) {
		BUF_AUTO struct buf b;
		buf_init(&b, 1000);
		bool ok = text_unpercent(&b, escapes[i].text, strlen(escapes[i].text), escapes[i].plus);
		CHECK_SAY(ok == escapes[i].ok, "\"%s\"", escapes[i].text);
		if (ok)
			CHECK_STR(buf_text(&b), escapes[i].want);
	}
	BUF_AUTO struct buf b;
	buf_init(&b, 1000);
	CHECK(!text_unpercent(&b, "a\0b", 3, false));
	CHECK(!text_unpercent(&b, "%41", 2, false));
}

TEST(text_html_and_hex)
{
	BUF_AUTO struct buf b;
	buf_init(&b, 1000);
	text_html(&b, "<a href=\"x\" id='y'>&amp;\u00e4</a>");
	CHECK_STR(buf_text(&b), "&lt;a href=&quot;x&quot; id=&#39;y&#39;&gt;&amp;amp;\u00e4&lt;/a&gt;");
	buf_reset(&b);
	text_hex(&b, "\0\x1f\xff", 3);
	CHECK_STR(buf_text(&b), "001fff");
}

/* RFC 4648, section 10, and the two letters that differ. */
static const struct { const char *bytes; size_t n; const char *url, *std; } base64s[] = {
	{"", 0, "", ""}, {"f", 1, "Zg", "Zg=="}, {"fo", 2, "Zm8", "Zm8="}, {"foo", 3, "Zm9v", "Zm9v"},
	{"foob", 4, "Zm9vYg", "Zm9vYg=="}, {"fooba", 5, "Zm9vYmE", "Zm9vYmE="}, {"foobar", 6, "Zm9vYmFy", "Zm9vYmFy"},
	{"\xFB\xFF\xFE\0", 4, "-__-AA", "+//+AA=="},
};

TEST(text_base64_both_ways)
{
	for (size_t i = 0; i < COUNT(base64s); i++) {
		BUF_AUTO struct buf b;
		buf_init(&b, 1000);
		text_base64(&b, base64s[i].bytes, base64s[i].n);
		CHECK_STR(buf_text(&b), base64s[i].std);
		buf_reset(&b);
		text_base64url(&b, base64s[i].bytes, base64s[i].n);
		CHECK_STR(buf_text(&b), base64s[i].url);
		buf_reset(&b);
		CHECK(text_unbase64url(&b, base64s[i].url, strlen(base64s[i].url)));
		CHECK_INT(b.len, base64s[i].n);
		CHECK_INT(memcmp(buf_text(&b), base64s[i].bytes, b.len), 0);
	}
}

TEST(text_unbase64url_refuses)
{
	static const char *const refused[] = {"Z", "A", "Zm9vA", "Zg==", "Zm9vY", "Zh", "Zm9", "Zm+v", "Zm/v", "Zm v", "Zm9v\n", "Z-g="};
	for (size_t i = 0; i < COUNT(refused); i++) {
		BUF_AUTO struct buf b;
		buf_init(&b, 1000);
		CHECK_SAY(!text_unbase64url(&b, refused[i], strlen(refused[i])), "\"%s\"", refused[i]);
	}
	BUF_AUTO struct buf b;
	buf_init(&b, 1000);
	CHECK(!text_unbase64url(&b, "Zm\0v", 4));
}

TEST(text_nearest_word)
{
	static const char *const words[] = {"scheduledAt", "text", "media", "targets", "timezone", NULL};
	static const char *const none[] = {NULL};
	CHECK_STR(text_nearest("shceduledAt", words), "scheduledAt");
	CHECK_STR(text_nearest("schedule_at", words), "scheduledAt");
	CHECK_STR(text_nearest("tex", words), "text");
	CHECK_STR(text_nearest("timeZone", words), "timezone");
	CHECK_STR(text_nearest("target", words), "targets");
	CHECK(text_nearest("zzz", words) == NULL);
	CHECK(text_nearest("", words) == NULL);
	CHECK(text_nearest("text", none) == NULL);
	CHECK(text_nearest("a name that is far too long to be taken for any of the words in any list", words) == NULL);
}
