/*
 * What is missing of the permissions that were asked for.
 */
#include "tests/unit/test.h"

#include "core/model/scope.h"

static const struct { const char *asked, *granted, *missing; } rows[] = {
	{"a b", "a b", "[]"},
	{"a b", "b", "[\"a\"]"},
	{"a b", "", "[\"a\",\"b\"]"},
	{"a b", NULL, "[]"},			/* it does not say */
	{NULL, "a", "[]"},
	{"write:media write", "write:media", "[\"write\"]"},	/* no word is a part of another */
	{"a,b c", "c,a", "[\"b\"]"},
	{"  a  ", ",a,", "[]"},
};

TEST(words_are_compared_whole)
{
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		BUF_AUTO struct buf out;

		buf_init(&out, 4096);
		scope_missing(&out, rows[i].asked, rows[i].granted);
		CHECK_STR(buf_text(&out), rows[i].missing);
	}
}
