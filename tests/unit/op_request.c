/*
 * From an action to bytes and back: where a request may go, and what is kept of its answer.
 */
#include <fcntl.h>
#include <sys/stat.h>

#include "core/engine/request.h"
#include "tests/unit/op_bench.h"

/* ---- requests from records ---------------------------------------------------------------------------------------- */

static struct op *with_media(const char *bytes)
{
	struct op *op = bench_op(DELIVERY_PROCESSING, "keyed");
	const char *path = arena_printf(&op->arena, "%s/media", bench.folder);
	FILE *f = fopen(path, "w");

	CHECK(f != NULL);
	fputs(bytes, f);
	fclose(f);
	op->media_files = arena_array(&op->arena, const char *, 3);
	op->media_files[0] = path;
	op->media_files[1] = NULL;
	op->media_files[2] = "/nowhere/at/all";
	op->media_count = 3;
	bag_put(&op->secrets, REC_STATE, "access", "AAA");
	rec_text(&op->action, REC_METHOD, "POST", "safe");
	rec_text(&op->action, REC_URL, "", "https://api.net.example/x?key=");
	return op;
}

TEST(a_request_of_every_kind_of_record)
{
	struct op *op = with_media("0123456789");

	rec_text(&op->action, REC_URL_HANDLE, "percent", "token.access");
	rec_text(&op->action, REC_REQ_HEADER, "Authorization", "Bearer ");
	rec_text(&op->action, REC_REQ_HEADER_HANDLE, "raw", "token.access");
	rec_text(&op->action, REC_REQ_HEADER, "X-One", "1");
	rec_text(&op->action, REC_REQ_HEADER, "", "2");		/* goes on */
	rec_text(&op->action, REC_REQ_BODY, "", "<");
	rec_text(&op->action, REC_REQ_BODY, "", "token=");
	rec_text(&op->action, REC_REQ_BODY_HANDLE, "form", "token.access");
	rec_text(&op->action, REC_REQ_MEDIA, "0", "2 5");
	rec_text(&op->action, REC_REQ_MEDIA, "0", "0 10");
	rec_text(&op->action, REC_REQ_BODY, "", ">");
	rec_text(&op->action, REC_WARNING, "", "no part of it");
	op_send(op);
	CHECK_STR(bench.url, "https://api.net.example/x?key=AAA");
	CHECK_STR(bench.headers, "Authorization: Bearer AAA\nX-One: 12\n");
	CHECK_STR(bench.body, "<token=AAA<file><file>>");
	CHECK_STR(op->endpoint, "https://api.net.example/x");		/* in the attempt's row: no query, no secret */
	CHECK_INT(op->open_count, 2);
	CHECK_STR(told(op), "send POST");
	request_close(op);
	bench_drop(op);
}

TEST(media_that_the_post_does_not_have)
{
	static const struct { const char *index, *range, *code; } rows[] = {
		{"x", "0 1", "platform_not_configured"}, {"-1", "0 1", "platform_not_configured"}, {"3", "0 1", "platform_not_configured"},
		{"0", "01", "platform_not_configured"}, {"0", "x 1", "platform_not_configured"}, {"0", "0 x", "platform_not_configured"},
		{"1", "0 1", "media_unreadable"}, {"2", "0 1", "media_unreadable"}, {"0", "-1 1", "media_unreadable"},
		{"0", "0 -1", "media_unreadable"}, {"0", "11 0", "media_unreadable"}, {"0", "5 6", "media_unreadable"},
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct op *op = with_media("0123456789");
		char wanted[80];

		rec_text(&op->action, REC_REQ_MEDIA, rows[i].index, rows[i].range);
		op_send(op);
		snprintf(wanted, sizeof wanted, "failed gave_up: %s", rows[i].code);
		CHECK_SAY(strcmp(told(op), wanted) == 0, "%s of %s: %s", rows[i].range, rows[i].index, told(op));
		bench_drop(op);
	}
}

TEST(requests_that_are_too_much)
{
	struct op *op = with_media("0123456789");

	for (int i = 0; i < 32; i++)
		rec_text(&op->action, REC_REQ_MEDIA, "0", "0 1");
	op_send(op);
	CHECK_STR(told(op), "send POST");
	request_close(op);
	bench.did[0] = '\0';
	rec_text(&op->action, REC_REQ_MEDIA, "0", "0 1");
	op_send(op);
	CHECK_STR(told(op), "failed gave_up: platform_not_configured");
	bench_drop(op);

	for (int part = 0; part < 3; part++) {
		static const enum frame_kind kinds[] = {REC_URL, REC_REQ_HEADER, REC_REQ_BODY};
		static char many[70000];

		op = with_media("0123456789");
		buf_free(&op->action);
		buf_init(&op->action, 8u << 20);
		rec_text(&op->action, REC_URL, "", "https://api.net.example/");
		memset(many, 'x', sizeof many - 1);
		for (int i = 0; i < (part == 2 ? 31 : 1); i++)
			rec_text(&op->action, kinds[part], part == 1 ? "X-Long" : "", many);
		op_send(op);
		CHECK_STR(told(op), "failed gave_up: platform_not_configured");
		bench_drop(op);
	}
	op = with_media("");
	for (int i = 0; i < REQUEST_HEADERS + 3; i++)
		rec_text(&op->action, REC_REQ_HEADER, "X-One", "1");
	op_send(op);
	CHECK_INT(strlen(bench.headers), REQUEST_HEADERS * strlen("X-One: 1\n"));
	bench_drop(op);
}

TEST(a_value_that_is_not_there)
{
	static const struct { const char *handle, *words; } rows[] = {
		{"client.secret", "set the app's credentials"}, {"made:1", "set the app's credentials"},
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct op *op = with_media("");

		rec_text(&op->action, REC_REQ_HEADER, "X-Key", "");
		if (i == 1)
			rec_text(&op->action, REC_MADE, "made:1", "hmac hex\nclient.secret\n=words");
		rec_text(&op->action, REC_REQ_HEADER_HANDLE, "raw", rows[i].handle);
		op_send(op);
		CHECK_SAY(strstr(op->change.to.error, rows[i].words) != NULL, "%s", op->change.to.error);
		bench_drop(op);
	}
}

/* ---- where it may go ------------------------------------------------------------------------------------------------ */

TEST(hosts_that_a_request_may_reach)
{
	static const struct { const char *url, *account, *auth, *kind; bool roam, open; enum http_egress egress; } rows[] = {
		{"https://api.net.example/", NULL, NULL, "publish", false, true, HTTP_PROVIDER},
		{"https://api.net.example:444/", NULL, NULL, "publish", false, false, 0},
		{"https://xapi.net.example/", NULL, NULL, "publish", false, false, 0},
		{"https://a.cdn.example/", NULL, NULL, "publish", false, true, HTTP_PROVIDER},
		{"https://cdn.example/", NULL, NULL, "publish", false, false, 0},
		{"https://acdn.example/", NULL, NULL, "publish", false, false, 0},
		{"https://alt.example:8443/", NULL, NULL, "publish", false, true, HTTP_PROVIDER},
		{"https://alt.example/", NULL, NULL, "publish", false, false, 0},
		{"https://up.example/", NULL, NULL, "publish", false, true, HTTP_PROVIDER},
		{"https://me.example/", "https://me.example:443/x", NULL, "publish", false, true, HTTP_PROVIDER},
		{"https://me.example/", "me.example", NULL, "publish", true, true, HTTP_USER},
		{"https://me.example/", "you.example", NULL, "publish", true, false, 0},
		{"https://auth.example/", "me.example", "https://auth.example", "publish", true, true, HTTP_USER},
		{"https://auth.example/", "me.example", "other.example", "publish", true, false, 0},
		{"https://me.example/", "", "", "identify", true, true, HTTP_USER},
		{"https://me.example/", NULL, NULL, "identify", false, false, 0},
		{"https://me.example/", NULL, NULL, "revoke", true, false, 0},
		{"no url", NULL, NULL, "identify", true, false, 0},
	};

	bench_open();
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct op *op = bench_op(DELIVERY_PROCESSING, "keyed");
		struct platform copy = *op->platform;
		const struct platform *real = op->platform;

		copy.user_hosts = rows[i].roam;
		op->platform = &copy;
		op->publish = strcmp(rows[i].kind, "publish") == 0;
		op->row.kind = rows[i].kind;
		op->account_host = rows[i].account;
		op->auth_host = rows[i].auth;
		rec_text(&op->action, REC_METHOD, "GET", "safe");
		rec_text(&op->action, REC_URL, "", rows[i].url);
		op_send(op);
		CHECK_SAY((strcmp(bench.did, "send GET") == 0) == rows[i].open, "%zu %s: %s", i, rows[i].url, told(op));
		CHECK_SAY(!rows[i].open || bench.egress == rows[i].egress, "%zu %s: class %d", i, rows[i].url, (int)bench.egress);
		op->platform = real;
		bench_drop(op);
	}
}

/* The ini may put another server in the place of a host: for browsers another one still. */
TEST(stand_ins)
{
	struct conf_pair own[] = {
		{.key = "api.net.example", .value = "http://127.0.0.1:4000"}, {.key = "me.example", .value = "http://127.0.0.1:4001"},
	};
	struct conf_pair browser[] = {{.key = "api.net.example", .value = "https://login.example"}};
	struct conf_provider p = {.id = "net", .base_urls = {.list = own, .count = 2}, .browser_urls = {.list = browser, .count = 1}};
	struct op *op = bench_op(DELIVERY_PROCESSING, "keyed");
	struct platform copy = *op->platform;
	const struct platform *real = op->platform;
	const char *fault;
	char *url;

	bench.conf.providers = &p;
	bench.conf.provider_count = 1;
	copy.user_hosts = true;
	op->platform = &copy;
	op->account_host = "me.example";
	rec_text(&op->action, REC_METHOD, "GET", "safe");
	rec_text(&op->action, REC_URL, "", "https://api.net.example/x?y");
	op_send(op);
	CHECK_STR(bench.url, "http://127.0.0.1:4000/x?y");
	url = send_redirect(op, &fault);
	CHECK_STR(url, "https://login.example/x?y");
	free(url);
	browser[0].key = "elsewhere.example";
	url = send_redirect(op, &fault);
	CHECK_STR(url, "http://127.0.0.1:4000/x?y");
	free(url);
	buf_reset(&op->action);
	rec_text(&op->action, REC_URL, "", "https://me.example");
	op_send(op);
	CHECK_STR(bench.url, "http://127.0.0.1:4001");
	CHECK_INT(bench.egress, HTTP_PROVIDER);		/* no longer what a person named */
	bench.conf.provider_count = 0;
	url = send_redirect(op, &fault);
	CHECK_STR(url, "https://me.example");
	free(url);
	buf_reset(&op->action);
	rec_text(&op->action, REC_URL, "", "no url");
	CHECK(send_redirect(op, &fault) == NULL && fault != NULL);
	rec_text(&op->action, REC_URL_HANDLE, "raw", "nothing");
	CHECK(send_redirect(op, &fault) == NULL && fault != NULL);
	copy.sandbox = true;
	buf_reset(&op->action);
	rec_text(&op->action, REC_URL, "", "https://api.net.example/x");
	bench.e->config.sandbox_url = "http://127.0.0.1:8081";
	op_send(op);
	CHECK_STR(bench.url, "http://127.0.0.1:8081/x");
	CHECK_INT(bench.egress, HTTP_OWN);
	bench.e->config.sandbox_url = NULL;
	op->platform = real;
	bench_drop(op);
}

/* Who we are may stand in an address for the browser, never what only we may know. */
TEST(addresses_for_the_browser)
{
	static const struct { const char *handle; bool good; } rows[] = {
		{"client.id", true}, {"oauth.state", true}, {"sec:7", true}, {"made:1", true}, {"sec:", false}, {"client.secret", false},
		{"token.access", false},
	};
	static const char *const names[] = {"client.id", "oauth.state", "sec:7", "sec:", "client.secret", "access"};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct op *op = bench_op(DELIVERY_PROCESSING, "keyed");
		const char *fault = NULL;
		char *url;

		for (size_t k = 0; k < sizeof names / sizeof *names; k++)
			bag_put(&op->secrets, REC_STATE, names[k], "VALUE");
		rec_text(&op->action, REC_MADE, "made:1", "hmac hex\nclient.secret\n=words");
		rec_text(&op->action, REC_URL, "", "https://api.net.example/authorize?x=");
		rec_text(&op->action, REC_URL_HANDLE, "percent", rows[i].handle);
		url = send_redirect(op, &fault);
		CHECK_SAY((url != NULL) == rows[i].good && (fault == NULL) == rows[i].good, "%s: %s", rows[i].handle, fault ? fault : url);
		CHECK_INT(bench.faults > 0, !rows[i].good);
		free(url);
		bench_drop(op);
	}
}

TEST(a_secret_is_no_part_of_a_host)
{
	static const struct { const char *before; bool good; } rows[] = {
		{"https://", false}, {"https://api.net.example", false}, {"https", false}, {"https://api.net.example/", true},
		{"https://api.net.example?x=", true}, {"", true},
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct op *op = bench_op(DELIVERY_PROCESSING, "keyed");

		bag_put(&op->secrets, REC_STATE, "access", "https://api.net.example/a");
		if (rows[i].before[0])
			rec_text(&op->action, REC_URL, "", rows[i].before);
		rec_text(&op->action, REC_URL_HANDLE, "raw", "token.access");
		op_send(op);
		CHECK_SAY((strcmp(told(op), "send GET") == 0) == rows[i].good, "'%s': %s", rows[i].before, told(op));
		CHECK_INT(bench.faults > 0, !rows[i].good);
		bench_drop(op);
	}
}

/* ---- what came back --------------------------------------------------------------------------------------------------- */

static struct op *answered_by(const char *headers, const char *body, size_t n, enum http_outcome outcome)
{
	static struct buf h, b;
	static struct http_answer a;
	struct op *op = bench_op(DELIVERY_PROCESSING, "keyed");

	buf_free(&h);
	buf_free(&b);
	buf_init(&h, 4096);
	buf_init(&b, 8192);
	buf_adds(&h, headers);
	buf_add(&b, body, n);
	a = (struct http_answer){.outcome = outcome, .status = outcome == HTTP_ANSWERED ? 200 : 0, .words = outcome == HTTP_ANSWERED ? NULL : "w",
		.headers = outcome == HTTP_ANSWERED ? &h : NULL, .body = outcome == HTTP_ANSWERED ? &b : NULL};
	bench.http = &a;
	rec_text(&op->action, REC_METHOD, "GET", "safe");
	rec_text(&op->action, REC_URL, "", "https://api.net.example/x");
	return op;
}

TEST(how_a_request_ends)
{
	static const struct { enum http_outcome outcome; const char *wanted; } rows[] = {
		{HTTP_ANSWERED, "send GET, step answer"}, {HTTP_UNSENT, "send GET, queued +1 s: platform_unavailable"},
		{HTTP_LOST, "send GET, queued +1 s: platform_unavailable"}, {HTTP_REFUSED, "send GET, failed gave_up: platform_not_configured"},
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct op *op = answered_by("retry-after: 3x\n", "body", 4, rows[i].outcome);

		op_send(op);
		CHECK_STR(told(op), rows[i].wanted);
		CHECK_INT(op->attempt_count, 1);
		CHECK_INT(op->retry_after_ms, rows[i].outcome == HTTP_ANSWERED ? 3000 : 0);
		bench_drop(op);
	}
}

/* The same request once more with the nonce that its server wants, and no third time. */
TEST(a_nonce_is_heeded_once)
{
	struct op *op = answered_by("", "body", 4, HTTP_ANSWERED);

	bench.nonces = 1;
	op_send(op);
	CHECK_STR(told(op), "send GET, send GET, step answer");
	CHECK_INT(op->attempt_count, 2);
	bench_drop(op);
	op = answered_by("", "body", 4, HTTP_ANSWERED);
	bench.nonces = 2;
	op_send(op);
	CHECK_STR(told(op), "send GET, send GET, step answer");
	bench_drop(op);
	op = answered_by("", "body", 4, HTTP_ANSWERED);		/* its intent is too old to leave: it is stored anew */
	bench.nonces = 1;
	op->repeat = REPEAT_ONCE;
	op->intent_boot = bench.now - 60000;
	buf_add(&op->intent, op->action.data, op->action.len);
	op_send(op);
	CHECK_STR(told(op), "send GET, committing then send");
	bench_drop(op);
}

/* The attempt's row keeps the beginning of a body: whole characters, and text alone. */
TEST(what_an_attempt_keeps_of_the_body)
{
	static char body[4000];
	struct op *op;

	memset(body, 'x', sizeof body);
	memcpy(body + 2047, "\xc3\xa4", 2);
	op = answered_by("", body, sizeof body, HTTP_ANSWERED);
	op_send(op);
	CHECK_INT(strlen(op->attempts->body), 2047);
	bench_drop(op);
	memset(body, '\x80', sizeof body);
	op = answered_by("", body, sizeof body, HTTP_ANSWERED);
	op_send(op);
	CHECK(op->attempts->body == NULL);
	bench_drop(op);
	op = answered_by("", "\xff", 1, HTTP_ANSWERED);
	op_send(op);
	CHECK(op->attempts->body == NULL);
	bench_drop(op);
	op = answered_by("", "body", 4, HTTP_ANSWERED);
	op->row.kind = "limits";
	op_send(op);
	CHECK_INT(op->attempt_count, 0);
	bench_drop(op);
}

static int64_t waits_for(const char *connection)
{
	int64_t wait = 0;

	(void)limit_take(bench.e->limit, connection, 1000, 1000, clock_mono(), &wait);
	return wait;
}

TEST(what_the_platform_says_about_its_own_count)
{
	static const struct { const char *reset, *headers; int64_t wait_s; } rows[] = {
		{"seconds", "x-left: 0\nx-reset: 90\n", 90}, {"seconds", "x-left: 1\nx-reset: 90\n", 0}, {"seconds", "x-reset: 90\n", 0},
		{"seconds", "x-left: 0\n", 0}, {"seconds", "x-left: 0\nx-reset: soon\n", 0}, {"seconds", "x-left: 0\nx-reset: 999999999\n", 86400},
		{"seconds", "x-left: 0\nx-reset: 9223372036854775807\n", 0}, {"seconds", "x-left: 0\nx-reset: 99999999999999999999999\n", 0},
		{"unix", "x-left: 0\nx-reset: 1800000030\n", 30}, {"unix", "x-left: 0\nx-reset: 1700000000\n", 0},
		{"iso", "x-left: 0\nx-reset: 2027-01-15T08:02:00Z\n", 120}, {"iso", "x-left: 0\nx-reset: noon\n", 0},
	};

	bench_open();
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		char id[20], describe[600];
		struct op *op;

		snprintf(describe, sizeof describe, "{\"name\":\"Net\",\"operations\":[\"publish\"],\"hosts\":[\"api.net.example\"],"
			 "\"connect\":{\"method\":\"form\",\"client\":\"none\"},\"dedupe\":{\"default\":{\"class\":\"none\"}},"
			 "\"rate\":{\"header_remaining\":\"X-Left\",\"header_reset\":\"X-Reset\",\"reset\":\"%s\"},\"state_versions\":[1,1]}", rows[i].reset);
		bench_platform(describe);
		snprintf(id, sizeof id, "con_rate%zu", i);
		op = answered_by(rows[i].headers, "", 0, HTTP_ANSWERED);
		op->d.connection_id = id;
		op_send(op);
		CHECK_SAY(waits_for(id) == rows[i].wait_s * 1000, "%s %s: not %lld s", rows[i].reset,
			  rows[i].headers, (long long)rows[i].wait_s);
		bench_drop(op);
	}
	bench_platform(bench_descriptor);
}
