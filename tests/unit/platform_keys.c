/*
 * Descriptors: which keys they may have, at every depth, and what their values must be.
 */
#include "core/model/platform.h"

#include <string.h>

#include "core/base/log.h"
#include "sdk/provider.h"
#include "tests/unit/test.h"

#define BARE "{\"name\":\"X\",\"operations\":[\"check\"],\"hosts\":[\"api.example.com\"],"
#define HEAD BARE "\"connect\":{\"method\":\"form\"},"

static const char *refusal(const char *describe, uint32_t abi_minor)
{
	static char words[1000];
	struct platform *p = NULL;
	struct cx cx;

	cx_init(&cx, "test");
	words[0] = '\0';
	if (platform_read_built(&cx, "x", "1", abi_minor, describe, &p) == RC_OK)
		platform_give(p);
	else
		snprintf(words, sizeof words, "%s", cx.words);
	return words;
}

TEST(what_may_be_declared)
{
	static const char *const good[] = {
		BARE "\"connect\":{\"method\":\"both\",\"client\":\"metadata\",\"dpop\":true,\"iss\":\"required\","
			"\"scopes\":[{\"scope\":\"a\",\"reason\":\"b\"}],"
			"\"fields\":[{\"name\":\"a\",\"way\":\"form\",\"type\":\"host\",\"secret\":true,\"max\":5,\"default\":\"x\"}]}}",
		HEAD "\"media\":{\"max_items\":4,\"image\":{\"mime\":[\"image/png\"],\"min_ratio\":0.8},\"video\":{\"max_frame_rate\":29.97}}}",
		HEAD "\"token_answer\":{\"exchange\":null,\"refresh\":{\"access\":\"a.b\"}},\"secret_answers\":{\"a phase\":[\"b.*.c\"]}}",
		HEAD "\"dedupe\":{\"default\":{\"class\":\"none\"},\"any type\":{\"class\":\"keyed\",\"window_s\":0}},\"state_versions\":[1,2]}",
		HEAD "\"poll\":{\"poll\":{\"first_s\":1,\"max_s\":60}},\"options\":[{\"name\":\"a\",\"type\":\"list\",\"max\":3}]}",
	};

	for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
		CHECK_STR(refusal(good[i], MPS_ABI_MINOR), "");
}

TEST(a_misspelt_key_is_named_at_every_depth)
{
	static const struct { const char *more, *key; } cases[] = {
		{ "\"conect\":{}}", "\"conect\"" }, { "\"text\":{\"maximum\":1}}", "\"text.maximum\"" },
		{ "\"connect\":{\"fields\":[{\"name\":\"a\"},{\"nmae\":\"b\"}]}}", "\"connect.fields[].nmae\"" },
		{ "\"media\":{\"image\":{\"mimes\":[]}}}", "\"media.image.mimes\"" }, { "\"media\":{\"audio\":{}}}", "\"media.audio\"" },
		{ "\"media\":{\"max\":{\"mime\":[]}}}", "\"media.max\"" }, { "\"capabilities\":{\"thread\":true}}", "\"capabilities.thread\"" },
		{ "\"token_answer\":{\"authorize\":{}}}", "\"token_answer.authorize\"" },
		{ "\"dedupe\":{\"default\":{\"clas\":\"none\"}}}", "\"dedupe.default.clas\"" },
		{ "\"options\":[{\"names\":\"a\"}]}", "\"options[].names\"" },
		{ "\"poll\":{\"poll\":{\"first\":1}}}", "\"poll.poll.first\"" }, { "\"rate\":{\"publish_per_week\":1}}", "\"rate.publish_per_week\"" },
	};

	log_set(LOG_ERROR);
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		char text[500];
		const char *words;

		snprintf(text, sizeof text, "%s%s", strstr(cases[i].more, "\"connect\"") ? BARE : HEAD, cases[i].more);
		words = refusal(text, MPS_ABI_MINOR);
		CHECK_SAY(strstr(words, cases[i].key) && strstr(words, "is not known"), "%s: %s", cases[i].more, words);
		CHECK_STR(refusal(text, MPS_ABI_MINOR + 1), "");	/* of a newer header: ignored */
	}
}

TEST(a_value_of_the_wrong_type_is_named)
{
	static const struct { const char *more, *words; } cases[] = {
		{ "\"text\":{\"max\":\"300\"}}", "\"text.max\": must be a whole number of 0 to 1,000" },
		{ "\"text\":{\"max\":-1}}", "\"text.max\": must be a whole number of 0 to 1,000" },
		{ "\"text\":[]}", "\"text\": must be an object" }, { "\"connect\":{\"fields\":{}}}", "\"connect.fields\": must be a list of objects" },
		{ "\"connect\":{\"fields\":[\"a\"]}}", "must be a list of objects" },
		{ "\"media\":{\"image\":{\"mime\":\"image/png\"}}}", "must be a list of texts" },
		{ "\"user_hosts\":1}", "\"user_hosts\": must be true or false" }, { "\"capabilities\":{\"text\":\"yes\"}}", "must be true or false" },
		{ "\"answer_hosts\":[1]}", "must be a list of texts" }, { "\"targets\":{}}", "\"targets\": must be text" },
		{ "\"connect\":{\"method\":\"magic\"}}", "must be oauth2, form or both" },
		{ "\"dedupe\":{\"default\":{\"class\":\"maybe\"}}}", "must be keyed, handle, search, weak or none" },
	};

	log_set(LOG_ERROR);
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		char text[500];

		snprintf(text, sizeof text, "%s%s", strstr(cases[i].more, "\"connect\"") ? BARE : HEAD, cases[i].more);
		CHECK_SAY(strstr(refusal(text, MPS_ABI_MINOR), cases[i].words), "%s: %s", cases[i].more, refusal(text, MPS_ABI_MINOR));
	}
	CHECK(strstr(refusal("[]", MPS_ABI_MINOR), "must be a JSON object"));
}

/* A descriptor is hostile input as well: what it may make us reach, draw, link to or count with. */
TEST(values_that_no_provider_may_declare)
{
	static const struct { const char *key; const char *values[14]; } cases[] = {
		{ "answer_hosts", { "[\"127.0.0.1\"]", "[\"localhost\"]", "[\"*\"]", "[\"*.com\"]", "[\"[::1]\"]", "[\"a.example\",\"\"]",
			"[\"https://a.example\"]", "[\"a..example\"]", "[\"a.example.\"]", "[\"a.example:0\"]", "[\"a.example:99999\"]",
			"[\"A.example\"]", "[\"169.254.169.254\"]" } },
		{ "docs", { "\"javascript:alert(1)\"", "\"http://a.example\"", "\"https://a.example/\\\" onclick=\\\"x\"", "1" } },
		{ "icon", { "\"<svg onload=alert(1)>\"", "\"<svg><script>1</script></svg>\"", "\"<svg><a href='x'/></svg>\"", "\"text\"",
			"\"<svg><use xlink:href='x'/></svg>\"", "\"<svg style='background:url(x)'/>\"", "{}" } },
		{ "state_versions", { "[0,1]", "[2,1]", "[1]", "[1,2,3]", "[-1,1]", "[1,99999999999999999999]", "\"1\"" } },
		{ "text", { "{\"max\":1e9}", "{\"max\":1.5}", "{\"max\":9223372036854775807}", "{\"max\":99999999999999999999999}" } },
		{ "rate", { "{\"publish_per_day\":9223372036854775807}", "{\"publish_per_minute\":-5}" } },
		{ "capabilities", { "{\"root\":true}", "{\"text\":1}" } },
	};

	log_set(LOG_ERROR);
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		for (size_t k = 0; k < 14 && cases[i].values[k]; k++) {
			char text[500];

			snprintf(text, sizeof text, "%s\"%s\":%s}", HEAD, cases[i].key, cases[i].values[k]);
			CHECK_SAY(strstr(refusal(text, MPS_ABI_MINOR), cases[i].key), "%s: \"%s\"", text, refusal(text, MPS_ABI_MINOR));
		}
	CHECK_STR(refusal(HEAD "\"answer_hosts\":[\"a.example\",\"*.b.example:8443\",\"x1.y-z.example\"],\"state_versions\":[1,3],"
		"\"icon\":\"<svg viewBox='0 0 1 1'><path d='M0 0'/></svg>\",\"docs\":\"https://a.example/x?y=1\"}", MPS_ABI_MINOR), "");
}

TEST(a_key_that_must_be_there_is_missed)
{
	static const char *const members[][2] = {
		{ "name", "\"X\"" }, { "operations", "[\"publish\"]" }, { "connect", "{\"method\":\"form\"}" }, { "hosts", "[\"a.example\"]" },
		{ "dedupe", "{\"default\":{\"class\":\"none\"}}" },
	};
	int n = (int)(sizeof members / sizeof members[0]);

	log_set(LOG_ERROR);
	for (int without = 0; without <= n; without++) {
		char text[400] = "{\"docs\":\"\"", words[60] = "";

		for (int i = 0; i < n; i++)
			if (i != without)
				snprintf(text + strlen(text), sizeof text - strlen(text), ",\"%s\":%s", members[i][0], members[i][1]);
		snprintf(text + strlen(text), sizeof text - strlen(text), "}");
		if (without < n)
			snprintf(words, sizeof words, "\"%s\": is missing", members[without][0]);
		CHECK_SAY(strstr(refusal(text, MPS_ABI_MINOR), words) && !*words == !*refusal(text, MPS_ABI_MINOR), "%s: %s", text,
			  refusal(text, MPS_ABI_MINOR));
	}
}
