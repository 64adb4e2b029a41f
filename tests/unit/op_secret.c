/*
 * Secrets of an operation: what a handle means, how its value is written into a request, and what is taken out of an
 * answer before anybody else sees it.
 */
#include "tests/unit/op_bench.h"

static struct op *with_secrets(const char *kind)
{
	static const char *const pairs[][2] = {
		{"access", "AAA"}, {"refresh", "RRR"}, {"code", "CCC"}, {"code_verifier", "VVV"}, {"client.id", "id"}, {"client.secret", "s&c"},
		{"client.key", "KEY"}, {"dpop", "KEY"}, {"targets.p1", "PPP"}, {"quoted", "a\"b"}, {"sec:5", "old"},
	};
	struct op *op = bench_op(DELIVERY_PROCESSING, "keyed");

	op->row.kind = kind;
	for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
		bag_put(&op->secrets, REC_STATE, pairs[i][0], pairs[i][1]);
	return op;
}

TEST(what_a_handle_means_and_how_it_is_written)
{
	static const struct { const char *encoding, *handle, *wanted; } rows[] = {
		{"raw", "token.access", "AAA"}, {"raw", "token.refresh", "RRR"}, {"raw", "oauth.code", "CCC"},
		{"raw", "oauth.code_verifier", "VVV"}, {"raw", "client.id", "id"}, {"raw", "sec:5", "old"},
		{"raw", "targets.p1.token", "PPP"}, {"raw", "targets.p2.token", NULL}, {"raw", "targets.p1.name", NULL},
		{"raw", ".token", NULL}, {"raw", "targets.0123456789012345678901234567890123456789012345678901234567890123456789012.token", NULL},
		{"raw", "made:1", "MMM"}, {"raw", "made:2", NULL}, {"raw", "nothing", NULL}, {"raw", "client.key", NULL}, {"raw", "dpop", NULL},
		{"percent", "client.secret", "s%26c"}, {"form", "client.secret", "s%26c"}, {"json", "quoted", "a\\\"b"},
		{"basic", "client.id:client.secret", "aWQ6cyZj"}, {"basic", "client.id:=x%3Ay", "aWQ6eDp5"}, {"basic", "=u:client.id", "dTppZA=="},
		{"basic", ":", NULL}, {"basic", "client.id", NULL}, {"basic", "client.id:nothing", NULL}, {"basic", "nothing:client.id", NULL},
		{"basic", "client.key:client.id", NULL}, {"basic", "client.id:dpop", NULL}, {"basic", "client%2Eid:=", "aWQ6"},
		{"basic", "client%2:=", NULL}, {"basic", "=a%2:=", NULL}, {"basic", "=:=%4", NULL},
	};
	struct op *op = with_secrets("publish");
	size_t n;

	bag_put(&op->made, REC_STATE, "made:1", "MMM");
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		BUF_AUTO struct buf out;
		bool known;

		buf_init(&out, 4096);
		known = secret_write(op, rows[i].encoding, rows[i].handle, &out);
		CHECK_SAY(known == (rows[i].wanted != NULL), "%s %s: known is %d", rows[i].encoding, rows[i].handle, known);
		CHECK_SAY(!known || strcmp(buf_text(&out), rows[i].wanted) == 0, "%s %s: %s", rows[i].encoding, rows[i].handle, buf_text(&out));
	}
	op->target = "targets.p1";		/* a page of the account has a token of its own */
	CHECK(strncmp(secret_find(op, "token.access", &n), "PPP", 3) == 0 && n == 3);
	bench_drop(op);
}

/* ---- answers ----------------------------------------------------------------------------------------------------- */

static const char describe[] = "{\"name\":\"Net\",\"operations\":[\"exchange\",\"refresh\",\"publish\"],\"hosts\":[\"api.net.example\"],"
	"\"connect\":{\"method\":\"oauth2\",\"client\":\"secret\"%s},"
	"\"secret_answers\":{\"opened\":[\"upload.url\",\"pages.*.token\",\"header:x-upload\",\"header:x-none\"],\"plain\":[\"header:x-upload\"]},"
	"\"dedupe\":{\"default\":{\"class\":\"none\"}},\"state_versions\":[1,1]}";

static void platform_with(const char *token_answer, bool dpop)
{
	char text[2000], more[400];

	snprintf(more, sizeof more, "%s%s%s", dpop ? ",\"dpop\":true" : "", token_answer[0] ? "},\"token_answer\":{\"refresh\":{" : "",
		 token_answer);
	if (token_answer[0])
		snprintf(more + strlen(more), sizeof more - strlen(more), "}");
	snprintf(text, sizeof text, describe, more);
	bench_open();
	bench_platform(text);
}

static struct op *answered(const char *kind, const char *phase, int status, const char *body)
{
	struct op *op = with_secrets(kind);

	op->phase = phase;
	op->status = status;
	buf_adds(&op->headers, "content-type: application/json\nx-upload: SECRET-1\nx-other: 1\n");
	buf_adds(&op->body, body);
	return op;
}

static const char *kept(const struct op *op, const char *key)
{
	static char out[8][200];
	static int next;
	size_t n;
	const char *value = bag_find(&op->secrets, key, &n);

	next = (next + 1) % 8;
	snprintf(out[next], sizeof out[next], "%.*s", value ? (int)n : 6, value ? value : "(none)");
	return out[next];
}

TEST(secrets_of_an_answer_become_handles)
{
	struct op *op;
	char handle[40];

	platform_with("", false);
	op = answered("publish", "opened", 200, "{\"upload\":{\"url\":\"SECRET-2\"},\"pages\":[{\"token\":\"SECRET-3\",\"name\":\"one\"},"
		      "{\"token\":\"SECRET-4\",\"name\":\"SECRET?\"}],\"uploads\":\"no\",\"pages2\":[[\"x\"]],\"n\":9007199254740993,\"token\":\"t\"}");
	secret_answer(op);
	CHECK_SAY(strstr(buf_text(&op->body), "SECRET-") == NULL, "%s", buf_text(&op->body));
	CHECK_SAY(strstr(buf_text(&op->headers), "SECRET-") == NULL, "%s", buf_text(&op->headers));
	CHECK(strstr(buf_text(&op->body), "9007199254740993") != NULL && strstr(buf_text(&op->body), "SECRET?") != NULL);
	CHECK(strstr(buf_text(&op->headers), "x-other: 1\n") != NULL);
	CHECK(op->secret_touched);
	op_answer_header(op, "x-upload", handle, sizeof handle);
	CHECK_SAY(text_starts(handle, "sec:"), "%s", handle);
	CHECK_STR(kept(op, handle), "SECRET-1");
	bench_drop(op);

	op = answered("publish", "plain", 200, "{\"upload\":{\"url\":\"SECRET-2\"}}");	/* named for another phase */
	secret_answer(op);
	CHECK(strstr(buf_text(&op->body), "SECRET-2") != NULL && strstr(buf_text(&op->headers), "SECRET-1") == NULL);
	bench_drop(op);
	op = answered("publish", "silent", 200, "{\"upload\":{\"url\":\"SECRET-2\"}}");
	secret_answer(op);
	CHECK(!op->secret_touched);
	bench_drop(op);
}

/* What cannot be read may hold what could not be taken out. */
TEST(an_answer_that_cannot_be_read_is_dropped)
{
	static const struct { int status; const char *body, *wanted; } rows[] = {
		{200, "SECRET", ""}, {500, "<html>", "<html>"}, {101, "odd", "odd"}, {200, "", ""},
	};

	platform_with("", false);
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct op *op = answered("publish", "opened", rows[i].status, rows[i].body);

		buf_cut(&op->headers, op->headers.len - 1);		/* and a last line without an end */
		secret_answer(op);
		CHECK_STR(buf_text(&op->body), rows[i].wanted);
		bench_drop(op);
	}
}

TEST(tokens_of_an_answer)
{
	static const struct {
		const char *kind, *rule;
		int status;
		const char *type, *body, *access, *refresh, *fault;
		int64_t expires_s;
	} rows[] = {
		{"exchange", "", 200, "application/json", "{\"access_token\":\"N\",\"refresh_token\":\"M\",\"expires_in\":60,\"scope\":\"a b\","
			"\"token_type\":\"Bearer\",\"id_token\":\"SECRET\"}", "N", "M", NULL, 60},
		{"refresh", "", 201, "text/javascript", "{\"access_token\":\"N\"}", "N", "RRR", NULL, 0},
		{"refresh", "", 200, "", "{\"access_token\":\"N\",\"refresh_token\":\"\",\"expires_in\":-5,\"scope\":\"\"}", "N", "RRR", NULL, 0},
		{"refresh", "", 200, "application/json", "{\"access_token\":\"\"}", "AAA", "RRR", NULL, 0},
		{"refresh", "", 200, "application/json", "{}", "AAA", "RRR", NULL, 0},
		{"refresh", "", 400, "application/json", "{\"access_token\":\"N\"}", "AAA", "RRR", NULL, 0},
		{"refresh", "", 199, "application/json", "{\"access_token\":\"N\"}", "AAA", "RRR", NULL, 0},
		{"publish", "", 200, "application/json", "{\"access_token\":\"N\"}", "AAA", "RRR", NULL, 0},
		{"refresh", "", 200, "text/html", "{\"access_token\":\"N\"}", "AAA", "RRR", "no JSON", 0},
		{"refresh", "", 200, "application/json", "{\"access_token\":\"N\",\"token_type\":\"mac\"}", "AAA", "RRR", "of type mac", 0},
		{"refresh", "dpop", 200, "application/json", "{\"access_token\":\"N\",\"token_type\":\"Bearer\"}", "AAA", "RRR", "not DPoP", 0},
		{"refresh", "dpop", 200, "application/json", "{\"access_token\":\"N\",\"token_type\":\"dpop\"}", "N", "RRR", NULL, 0},
		{"refresh", "\"token_type\":\"odd\"", 200, "application/json", "{\"access_token\":\"N\",\"token_type\":\"odd\"}", "N", "RRR", NULL, 0},
		{"refresh", "\"expires_in\":\"jwt\"", 200, "application/json", "{\"access_token\":\"x.eyJleHAiOjE4MDAwMDAwNjB9.y\"}",
			"x.eyJleHAiOjE4MDAwMDAwNjB9.y", "RRR", NULL, 60},
		{"refresh", "\"expires_in\":\"jwt\"", 200, "application/json", "{\"access_token\":\"plain\"}", "plain", "RRR", NULL, 0},
		{"refresh", "\"expires_in\":\"jwt\"", 200, "application/json", "{\"access_token\":\"a.b\"}", "a.b", "RRR", NULL, 0},
		{"refresh", "\"expires_in\":\"jwt\"", 200, "application/json", "{\"access_token\":\"a.!.b\"}", "a.!.b", "RRR", NULL, 0},
		{"refresh", "\"expires_in\":\"jwt\"", 200, "application/json", "{\"access_token\":\"a.YQ.b\"}", "a.YQ.b", "RRR", NULL, 0},
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		bool dpop = strcmp(rows[i].rule, "dpop") == 0;
		struct op *op;

		platform_with(dpop ? "" : rows[i].rule, dpop);
		op = answered(rows[i].kind, "start", rows[i].status, rows[i].body);
		buf_reset(&op->headers);
		if (rows[i].type[0])
			buf_addf(&op->headers, "content-type: %s\n", rows[i].type);
		secret_answer(op);
		CHECK_SAY(strcmp(kept(op, "access"), rows[i].access) == 0, "row %zu: access %s", i, kept(op, "access"));
		CHECK_SAY(strcmp(kept(op, "refresh"), rows[i].refresh) == 0, "row %zu: refresh %s", i, kept(op, "refresh"));
		CHECK_SAY((op->token_fault != NULL) == (rows[i].fault != NULL) && (!rows[i].fault || strstr(op->token_fault, rows[i].fault)),
			  "row %zu: %s", i, op->token_fault ? op->token_fault : "no fault");
		CHECK_INT(op->tokens.expires_at, rows[i].expires_s ? bench.now + rows[i].expires_s * 1000 : 0);
		CHECK_SAY(strcmp(rows[i].kind, "publish") == 0 || strstr(buf_text(&op->body), "\"N\"") == NULL, "row %zu: %s", i,
			  buf_text(&op->body));
		CHECK(strstr(buf_text(&op->body), "SECRET") == NULL);
		bench_drop(op);
	}
}

TEST(an_answer_with_tokens_has_a_size)
{
	struct op *op;

	platform_with("", false);
	op = answered("refresh", "start", 200, "{\"access_token\":\"N\",\"x\":\"");
	for (int i = 0; i < 70000; i++)
		buf_addc(&op->body, 'x');
	buf_adds(&op->body, "\"}");
	secret_answer(op);
	CHECK(op->token_fault != NULL && !op->have_tokens);
	bench_drop(op);
	op = answered("refresh", "start", 200, "{}");		/* no provider any more: nothing is known to be secret */
	platform_give(op->platform);
	op->platform = NULL;
	secret_answer(op);
	CHECK_STR(buf_text(&op->body), "{}");
	bench_drop(op);
}

/* More than forty names of secrets: those that count are ours. */
TEST(names_of_secrets_have_a_number)
{
	char text[3000] = "{\"name\":\"Net\",\"operations\":[\"publish\"],\"hosts\":[\"api.net.example\"],\"connect\":{\"method\":\"form\","
		"\"client\":\"none\"},\"dedupe\":{\"default\":{\"class\":\"none\"}},\"state_versions\":[1,1],\"secret_answers\":{\"opened\":[\"s0\"";
	struct op *op;

	bench_open();
	for (int i = 1; i < 60; i++)
		snprintf(text + strlen(text), sizeof text - strlen(text), ",\"s%d\"", i);
	snprintf(text + strlen(text), sizeof text - strlen(text), "]}}");
	bench_platform(text);
	op = answered("publish", "opened", 200, "{\"s0\":\"SECRET-0\",\"s35\":\"SECRET-35\",\"list\":{\"s0\":1}}");
	secret_answer(op);
	CHECK_SAY(strstr(buf_text(&op->body), "SECRET-") == NULL, "%s", buf_text(&op->body));
	bench_drop(op);
}

/* ---- loading ----------------------------------------------------------------------------------------------------- */

static const char *file_of(const char *text)
{
	const char *path = arena_printf(&bench.conf.arena, "%s/secret", bench.folder);
	FILE *f = fopen(path, "w");

	CHECK(f != NULL);
	fputs(text, f);
	fclose(f);
	return path;
}

TEST(the_clients_secret_comes_from_the_ini_when_nobody_has_set_it)
{
	static const struct { const char *id, *text, *secret; bool file; } rows[] = {
		{"ini-id", "from the file\r\n\n", "from the file", true}, {"ini-id", "bare", "bare", true}, {"ini-id", "", "(none)", true},
		{"ini-id", "\n", "(none)", true}, {NULL, "x", "x", true}, {"ini-id", NULL, "(none)", true}, {"ini-id", NULL, "(none)", false},
	};

	bench_open();
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct conf_provider p = {.id = "net", .client_id = (char *)(uintptr_t)rows[i].id};
		struct op *op = with_secrets("publish");
		struct db_conn *c = db_take(bench.store.db);

		p.client_secret_file = !rows[i].file ? NULL : (char *)(uintptr_t)(rows[i].text ? file_of(rows[i].text) : "/nowhere/at all");
		bench.conf.providers = &p;
		bench.conf.provider_count = 1;
		op->has_grant = true;
		op->grant.id = "grt_none";
		op->grant.owner = op->row.owner;
		secret_load(op, c);
		db_give(c);
		CHECK_STR(kept(op, "client.secret"), rows[i].secret);
		CHECK_STR(kept(op, "client.id"), rows[i].id ? rows[i].id : "(none)");
		CHECK_STR(kept(op, "sec:5"), "old");		/* numbered ones stay, the rest is of the rows */
		CHECK_STR(kept(op, "access"), "(none)");
		bench.conf.provider_count = 0;
		bench_drop(op);
	}
}
