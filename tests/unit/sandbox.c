/*
 * The sandbox platform over real sockets: OAuth, idempotency, containers, every magic text, and a ledger that
 * survives kill -9.
 */
#include "tests/unit/test.h"

#include "tests/unit/sandbox_client.h"

/* ---- OAuth ----------------------------------------------------------------------------------------- */

TEST(the_consent_page_is_a_form_without_script)
{
	box_start(false);
	call("GET", "/oauth/authorize?response_type=code&client_id=sandbox&redirect_uri=http%3A%2F%2F127.0.0.1%3A9%2Fcallback"
	     "&state=%3C%22x&code_challenge=0123456789012345678901234567890123456789012&code_challenge_method=S256", "", NULL);
	CHECK_INT(got.status, 200);
	CHECK(strstr(got.body, "name=\"account\""));
	CHECK(strstr(got.body, "value=\"allow\""));
	CHECK(strstr(got.body, "value=\"deny\""));
	CHECK(strstr(got.body, "name=\"state\" value=\"&lt;&quot;x\""));
	CHECK(!strstr(got.body, "<script"));
	CHECK(strstr(header("Content-Security-Policy"), "form-action 'self' http://127.0.0.1:9"));
	call("GET", "/assets/tokens.css", "", NULL);
	CHECK_INT(got.status, 200);
	call("GET", "/assets/sandbox.c", "", NULL);
	CHECK_INT(got.status, 404);
	box_end(SIGKILL);
}

TEST(faulty_authorization_requests)
{
	static const struct { const char *query; int status; const char *error; } table[] = {
		{ "client_id=nobody&redirect_uri=https%3A%2F%2Fa.example%2F", 400, "" },
		{ "client_id=sandbox&redirect_uri=http%3A%2F%2Fa.example%2F", 400, "" },
		{ "client_id=sandbox&redirect_uri=http%3A%2F%2F127.0.0.1.a.example%2F", 400, "" },
		{ "client_id=sandbox&redirect_uri=https%3A%2F%2Fu%40a.example%2F", 400, "" },
		{ "client_id=sandbox&redirect_uri=javascript%3Aalert(1)", 400, "" },
		{ "client_id=sandbox", 400, "" },
		{ "client_id=sandbox&redirect_uri=https%3A%2F%2Fa.example%2F&response_type=token&state=s", 303, "error=unsupported_response_type" },
		{ "client_id=sandbox&redirect_uri=https%3A%2F%2Fa.example%2F&response_type=code&state=s", 303, "error=invalid_request" },
		{ "client_id=sandbox&redirect_uri=https%3A%2F%2Fa.example%2F&response_type=code&code_challenge=short&code_challenge_method=S256", 303, "error=invalid_request" },
		{ "client_id=sandbox&redirect_uri=https%3A%2F%2Fa.example%2F&response_type=code&code_challenge=0123456789012345678901234567890123456789012&code_challenge_method=plain", 303, "error=invalid_request" },
	};
	char target[600];

	box_start(false);
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		snprintf(target, sizeof target, "/oauth/authorize?%s", table[i].query);
		call("GET", target, "", NULL);
		CHECK_SAY(got.status == table[i].status, "%s answers %d", table[i].query, got.status);
		CHECK_SAY(strstr(header("Location"), table[i].error), "%s goes to %s", table[i].query, header("Location"));
		CHECK(got.status == 303 || !header("Location")[0]);
	}
	box_end(SIGKILL);
}

TEST(a_denial_goes_back_with_state_and_issuer)
{
	char issuer[80];

	box_start(false);
	CHECK_STR(consent("alice", "keyed", "deny"), "");
	CHECK_INT(got.status, 303);
	snprintf(issuer, sizeof issuer, "&iss=http%%3A%%2F%%2F127.0.0.1%%3A%d", box.port);
	CHECK(strstr(header("Location"), REDIRECT "?error=access_denied&state=st%2F1"));
	CHECK(strstr(header("Location"), issuer));
	box_end(SIGKILL);
}

TEST(the_code_needs_its_verifier_and_its_redirect)
{
	char code[128];

	box_start(false);
	snprintf(code, sizeof code, "%s", consent("alice", "keyed", "allow"));
	exchange(code, VERIFIER "x", REDIRECT);
	CHECK_INT(got.status, 400);
	CHECK_STR(field("error.code"), "invalid_grant");
	exchange(code, "", REDIRECT);
	CHECK_INT(got.status, 400);
	exchange(code, VERIFIER, REDIRECT "/");
	CHECK_INT(got.status, 400);
	exchange(code, VERIFIER, REDIRECT);
	CHECK_INT(got.status, 200);
	CHECK_INT(field_int("expires_in"), 3600);
	CHECK_STR(field("token_type"), "Bearer");
	me_take();
	get("/v1/me");
	CHECK_INT(got.status, 200);
	CHECK_STR(field("username"), "alice");
	CHECK_STR(field("type"), "keyed");
	box_end(SIGKILL);
}

TEST(a_code_works_once_and_its_second_use_revokes)
{
	char code[128];

	box_start(false);
	snprintf(code, sizeof code, "%s", consent("alice", "keyed", "allow"));
	exchange(code, VERIFIER, REDIRECT);
	me_take();
	exchange(code, VERIFIER, REDIRECT);
	CHECK_INT(got.status, 400);
	get("/v1/me");
	CHECK_INT(got.status, 401);
	refresh(me.refresh);
	CHECK_STR(field("error.code"), "invalid_grant");
	box_end(SIGKILL);
}

TEST(a_refresh_token_rotates_and_its_reuse_ends_the_family)
{
	struct session first;

	box_start(false);
	sign_in("alice", "keyed");
	first = me;
	refresh(me.refresh);
	CHECK_INT(got.status, 200);
	me_take();
	CHECK(strcmp(first.refresh, me.refresh) != 0);
	get("/v1/me");
	CHECK_INT(got.status, 200);
	refresh(first.refresh);
	CHECK_INT(got.status, 400);
	CHECK_STR(field("error.code"), "invalid_grant");
	get("/v1/me");
	CHECK_INT(got.status, 401);
	refresh(me.refresh);
	CHECK_STR(field("error.code"), "invalid_grant");
	call("GET", "/control/stats", "", NULL);
	CHECK_INT(field_int("token_exchanges"), 1);
	CHECK_INT(field_int("refreshes"), 1);
	CHECK_INT(field_int("replayed_refreshes"), 1);
	CHECK_INT(field_int("accounts.0.refreshes"), 1);
	box_end(SIGTERM);
}

TEST(accounts_without_rotation_and_without_refresh)
{
	box_start(false);
	control("/control/accounts", "{\"name\":\"fix\",\"refresh\":\"fixed\"}");
	sign_in("fix", "");
	refresh(me.refresh);
	CHECK_INT(got.status, 200);
	CHECK_STR(field("refresh_token"), "");
	refresh(me.refresh);
	CHECK_INT(got.status, 200);
	control("/control/accounts", "{\"name\":\"bare\",\"refresh\":\"none\"}");
	sign_in("bare", "");
	CHECK_STR(me.refresh, "");
	box_end(SIGKILL);
}

TEST(tokens_expire_are_revoked_and_withdrawn)
{
	box_start(false);
	control("/control/accounts", "{\"name\":\"short\",\"expires_in\":77}");
	sign_in("short", "");
	CHECK_INT(field_int("expires_in"), 77);
	control("/control/expire", "{\"account\":\"short\"}");
	CHECK_INT(field_int("changed"), 1);
	get("/v1/me");
	CHECK_INT(got.status, 401);
	CHECK_STR(field("error.code"), "invalid_token");
	refresh(me.refresh);
	me_take();
	get("/v1/me");
	CHECK_INT(got.status, 200);
	control("/control/withdraw", "{\"account\":\"short\"}");
	get("/v1/me");
	CHECK_STR(field("error.code"), "token_revoked");
	refresh(me.refresh);
	CHECK_STR(field("error.code"), "invalid_grant");
	sign_in("short", "");
	{
		struct buf b;

		buf_init(&b, 1024);
		form_add(&b, "client_id", "sandbox");
		form_add(&b, "token", me.access);
		form_post("/oauth/revoke", &b);
		CHECK_INT(got.status, 200);
	}
	get("/v1/me");
	CHECK_INT(got.status, 401);
	call("GET", "/v1/me", "", NULL);
	CHECK_INT(got.status, 401);
	box_end(SIGKILL);
}

TEST(a_confidential_client_proves_itself)
{
	struct buf b;

	box_start(false);
	control("/control/clients", "{\"client_id\":\"acme\",\"client_secret\":\"s3cret\"}");
	buf_init(&b, 1024);
	buf_adds(&b, "grant_type=refresh_token&refresh_token=x&client_id=acme&client_secret=wrong");
	form_post("/oauth/token", &b);
	CHECK_STR(field("error.code"), "invalid_client");
	buf_init(&b, 1024);
	buf_adds(&b, "grant_type=refresh_token&refresh_token=x&client_id=acme&client_secret=s3cret");
	form_post("/oauth/token", &b);
	CHECK_STR(field("error.code"), "invalid_grant");
	call("POST", "/oauth/token", "Authorization: Basic YWNtZTpzM2NyZXQ=\r\n"
	     "Content-Type: application/x-www-form-urlencoded\r\n", "grant_type=refresh_token&refresh_token=x");
	CHECK_STR(field("error.code"), "invalid_grant");
	call("POST", "/oauth/token", "Authorization: Basic YWNtZTp3cm9uZw==\r\n"
	     "Content-Type: application/x-www-form-urlencoded\r\n", "grant_type=refresh_token&refresh_token=x");
	CHECK_STR(field("error.code"), "invalid_client");
	box_end(SIGKILL);
}

/* ---- publishing ------------------------------------------------------------------------------------ */

TEST(a_key_makes_one_post_inside_its_window)
{
	char id[64];

	box_start(false);
	sign_in("alice", "keyed");
	post_key("once only", "k-1");
	CHECK_INT(got.status, 200);
	snprintf(id, sizeof id, "%s", field("id"));
	CHECK(!strncmp(id, "sbx_", 4));
	post_key("once only", "k-1");
	CHECK_INT(got.status, 200);
	CHECK_STR(field("id"), id);
	CHECK_INT(ledger("once only"), 1);
	CHECK_STR(field("data.0.key"), "k-1");
	CHECK_STR(field("data.0.post_id"), id);
	post_key("once only", "k-2");
	CHECK_INT(ledger("once only"), 2);
	control("/control/accounts", "{\"name\":\"alice\",\"window_s\":0}");
	post_key("once only", "k-1");
	CHECK(strcmp(field("id"), id) != 0);
	CHECK_INT(ledger("once only"), 3);
	box_end(SIGKILL);
}

TEST(other_accounts_ignore_the_key)
{
	box_start(false);
	sign_in("sam", "search");
	post_key("twice", "k");
	post_key("twice", "k");
	CHECK_INT(ledger("twice"), 2);
	box_end(SIGKILL);
}

TEST(a_key_in_ten_requests_at_once_makes_one_post)
{
	int fd[10];
	char id[64] = "";

	box_start(false);
	sign_in("alice", "keyed");
	for (int i = 0; i < 10; i++)
		fd[i] = post_begin("crowd", "Idempotency-Key: crowd\r\n");
	for (int i = 0; i < 10; i++) {
		answer_read(fd[i], DEADLINE);
		CHECK_INT(got.status, 200);
		if (id[0])
			CHECK_STR(field("id"), id);
		snprintf(id, sizeof id, "%s", field("id"));
	}
	CHECK_INT(ledger("crowd"), 1);
	box_end(SIGKILL);
}

static void container_make(const char *text, char id[64])
{
	char body[200];

	snprintf(body, sizeof body, "{\"text\":\"%s\"}", text);
	call("POST", "/v1/containers", bearer(""), body);
	CHECK_INT(got.status, 200);
	CHECK_STR(field("status"), "in_progress");
	snprintf(id, 64, "%s", field("id"));
}

static void container_is(const char *id, const char *status)
{
	char target[100];
	int64_t end = clock_mono() + DEADLINE;

	snprintf(target, sizeof target, "/v1/containers/%s", id);
	for (get(target); strcmp(field("status"), status); get(target)) {
		CHECK_SAY(clock_mono() < end, "the container stays %s", field("status"));
		usleep(20000);
	}
}

static void container_publish(const char *id)
{
	char target[100];

	snprintf(target, sizeof target, "/v1/containers/%s/publish", id);
	call("POST", target, bearer(""), "{}");
}

TEST(a_container_is_published_once)
{
	char id[64], post_id[64];

	box_start(false);
	control("/control/accounts", "{\"name\":\"hanna\",\"type\":\"handle\",\"processing_ms\":60000}");
	sign_in("hanna", "");
	container_make("too early", id);
	container_publish(id);
	CHECK_INT(got.status, 409);
	CHECK_STR(field("error.code"), "not_ready");
	control("/control/accounts", "{\"name\":\"hanna\",\"processing_ms\":50}");
	container_make("in a box", id);
	container_is(id, "finished");
	CHECK_INT(ledger("in a box"), 0);
	container_publish(id);
	CHECK_INT(got.status, 200);
	snprintf(post_id, sizeof post_id, "%s", field("id"));
	container_publish(id);
	CHECK_INT(got.status, 409);
	CHECK_STR(field("error.code"), "already_published");
	container_is(id, "published");
	CHECK_STR(field("post_id"), post_id);
	CHECK(strstr(field("post_url"), post_id));
	CHECK_INT(ledger("in a box"), 1);
	CHECK_STR(field("data.0.container_id"), id);
	container_make("[[container:error]]", id);
	container_is(id, "error");
	box_end(SIGKILL);
}

TEST(a_container_tells_what_a_lost_answer_did)
{
	char id[64];

	box_start(false);
	control("/control/accounts", "{\"name\":\"hanna\",\"type\":\"handle\",\"processing_ms\":0}");
	sign_in("hanna", "");
	container_make("lost box [[reset:after]]", id);
	container_publish(id);
	CHECK_INT(got.outcome, RESET);
	container_is(id, "published");
	container_publish(id);
	CHECK_INT(got.status, 409);
	CHECK_INT(ledger("lost box"), 1);
	container_make("never box [[reset:before]]", id);
	container_publish(id);
	CHECK_INT(got.outcome, RESET);
	container_is(id, "finished");
	CHECK_INT(ledger("never box"), 0);
	container_make("late box [[delayed:1s]]", id);
	container_publish(id);
	CHECK_INT(got.outcome, RESET);
	container_publish(id);
	CHECK_INT(got.status, 409);
	container_is(id, "published");
	CHECK_INT(ledger("late box"), 1);
	container_make("inbox box [[inbox]]", id);
	container_publish(id);
	CHECK_INT(got.status, 202);
	CHECK_STR(field("id"), id);
	container_is(id, "awaiting_user");
	{
		char target[100];

		snprintf(target, sizeof target, "/control/inbox/%s", id);
		control(target, "{}");
	}
	container_is(id, "published");
	CHECK_INT(ledger("inbox box"), 1);
	box_end(SIGKILL);
}

TEST(every_magic_text)
{
	static const struct { const char *text; enum outcome outcome; int status; const char *code; int rows; } table[] = {
		{ "m01 [[fail:rate_limited]]",  ANSWERED, 429, "rate_limited",  0 },
		{ "m02 [[fail:auth:always]]",   ANSWERED, 401, "invalid_token", 0 },
		{ "m03 [[fail:transient]]",     ANSWERED, 503, "unavailable",   0 },
		{ "m04 [[fail:gone]]",          ANSWERED, 410, "gone",          0 },
		{ "m05 [[reject:policy]]",      ANSWERED, 422, "policy",        0 },
		{ "m06 [[timeout]]",            SILENT,   0,   "",              1 },
		{ "m07 [[timeout:nothing]]",    SILENT,   0,   "",              0 },
		{ "m08 [[reset:after]]",        RESET,    0,   "",              1 },
		{ "m09 [[reset:before]]",       RESET,    0,   "",              0 },
		{ "m10 [[lie:reject]]",         ANSWERED, 422, "blocked",       1 },
		{ "m11 [[lie:503]]",            ANSWERED, 503, "unavailable",   1 },
		{ "m12 [[slow:50ms]]",          ANSWERED, 200, "",              1 },
		{ "m13 [[fail:typo]]",          ANSWERED, 422, "unknown_magic", 0 },
		{ "m14 [[wiki]] and [[timeout", ANSWERED, 200, "",              1 },
		{ "m15 [[fail:transient:0]]",   ANSWERED, 422, "unknown_magic", 0 },
	};
	char word[4];

	box_start(false);
	sign_in("alice", "keyed");
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		answer_read(post_begin(table[i].text, ""), table[i].outcome == SILENT ? 400 : DEADLINE);
		CHECK_SAY(got.outcome == table[i].outcome, "%s: outcome %d", table[i].text, got.outcome);
		CHECK_SAY(got.status == table[i].status, "%s: status %d", table[i].text, got.status);
		CHECK_STR(field("error.code"), table[i].code);
		CHECK_SAY(got.status != 429 || !strcmp(header("Retry-After"), "2"), "no Retry-After");
		snprintf(word, sizeof word, "%.3s", table[i].text);
		CHECK_SAY(ledger(word) == table[i].rows, "%s: %d rows", table[i].text, ledger(word));
	}
	post("m20 [[lie:200]]");
	CHECK_INT(got.status, 200);
	CHECK_INT(json_type(got.json), JSON_NONE);
	CHECK_INT(ledger("m20"), 1);
	post("m21 [[huge]]");
	CHECK_INT(got.status, 200);
	CHECK(got.len > 2 * 1024 * 1024);
	CHECK_INT(ledger("m21"), 1);
	box_end(SIGTERM);
}

TEST(magic_that_works_a_number_of_times)
{
	box_start(false);
	sign_in("alice", "search");
	post("o1 [[fail:rate_limited:once]]");
	CHECK_INT(got.status, 429);
	post("o1 [[fail:rate_limited:once]]");
	CHECK_INT(got.status, 200);
	CHECK_INT(ledger("o1"), 1);
	for (int i = 0; i < 3; i++) {
		post("o2 [[fail:transient:3]]");
		CHECK_INT(got.status, 503);
	}
	post("o2 [[fail:transient:3]]");
	CHECK_INT(got.status, 200);
	CHECK_INT(ledger("o2"), 1);
	post("o3 [[reset:before:once]]");
	CHECK_INT(got.outcome, RESET);
	post("o3 [[reset:before:once]]");
	CHECK_INT(got.status, 200);
	box_end(SIGKILL);
}

TEST(magic_that_hurts_the_token)
{
	box_start(false);
	sign_in("alice", "keyed");
	post("t1 [[fail:auth]]");
	CHECK_INT(got.status, 401);
	get("/v1/me");
	CHECK_INT(got.status, 401);
	refresh(me.refresh);
	CHECK_INT(got.status, 200);
	me_take();
	post("t1 [[fail:auth]]");
	CHECK_INT(got.status, 200);
	CHECK_INT(ledger("t1"), 1);
	post("t2 [[fail:revoked]]");
	CHECK_INT(got.status, 401);
	CHECK_STR(field("error.code"), "token_revoked");
	get("/v1/me");
	CHECK_STR(field("error.code"), "token_revoked");
	refresh(me.refresh);
	CHECK_STR(field("error.code"), "invalid_grant");
	CHECK_INT(ledger("t2"), 0);
	box_end(SIGKILL);
}

TEST(a_lost_keyed_post_is_found_by_its_key)
{
	box_start(false);
	sign_in("alice", "keyed");
	post_key("q1 [[reset:after]]", "q1");
	CHECK_INT(got.outcome, RESET);
	post_key("q1 [[reset:after]]", "q1");
	CHECK_INT(got.status, 200);
	CHECK_INT(ledger("q1"), 1);
	post_key("q2 [[delayed:1s]]", "q2");
	CHECK_INT(got.outcome, RESET);
	CHECK_INT(ledger("q2"), 0);
	post_key("q2 [[delayed:1s]]", "q2");
	CHECK_INT(got.status, 409);
	CHECK_STR(field("error.code"), "in_flight");
	ledger_reaches("q2", 1);
	post_key("q2 [[delayed:1s]]", "q2");
	CHECK_INT(got.status, 200);
	CHECK_INT(ledger("q2"), 1);
	box_end(SIGKILL);
}

TEST(an_inbox_post_waits_for_the_person)
{
	char id[64], target[100];

	box_start(false);
	sign_in("alice", "keyed");
	post_key("i1 [[inbox]]", "i1");
	CHECK_INT(got.status, 202);
	CHECK_STR(field("status"), "awaiting_user");
	snprintf(id, sizeof id, "%s", field("id"));
	post_key("i1 [[inbox]]", "i1");
	CHECK_INT(got.status, 202);
	CHECK_STR(field("id"), id);
	CHECK_INT(ledger("i1"), 0);
	snprintf(target, sizeof target, "/v1/posts/%s", id);
	get(target);
	CHECK_STR(field("status"), "awaiting_user");
	snprintf(target, sizeof target, "/control/inbox/%s", id);
	control(target, "{}");
	CHECK_INT(ledger("i1"), 1);
	call("POST", target, "", "{}");
	CHECK_INT(got.status, 404);
	box_end(SIGKILL);
}

TEST(posts_are_listed_read_and_deleted)
{
	char id[64], target[100];

	box_start(false);
	sign_in("alice", "search");
	post("l1 <b>first</b>");
	post("l2 second");
	snprintf(id, sizeof id, "%s", field("id"));
	get("/v1/posts?since=0");
	CHECK_INT(json_count(json_get(got.json, "data")), 2);
	CHECK_STR(field("data.0.text"), "l2 second");
	snprintf(target, sizeof target, "/v1/posts?since=%lld", (long long)clock_now() + 60000);
	get(target);
	CHECK_INT(json_count(json_get(got.json, "data")), 0);
	control("/control/accounts", "{\"name\":\"alice\",\"search_lag_ms\":60000}");
	get("/v1/posts?since=0");
	CHECK_INT(json_count(json_get(got.json, "data")), 0);
	snprintf(target, sizeof target, "/v1/posts/%s", id);
	get(target);
	CHECK_STR(field("text"), "l2 second");
	call("DELETE", target, bearer(""), NULL);
	CHECK_INT(got.status, 200);
	call("DELETE", target, bearer(""), NULL);
	CHECK_INT(got.status, 404);
	get(target);
	CHECK_INT(got.status, 404);
	CHECK_INT(ledger("l2"), 1);
	CHECK_INT(ledger("l1"), 1);
	snprintf(target, sizeof target, "/posts/%s", field("data.0.post_id"));
	call("GET", target, "", NULL);
	CHECK_INT(got.status, 200);
	CHECK(strstr(got.body, "&lt;b&gt;first"));
	box_end(SIGKILL);
}

TEST(pages_have_tokens_of_their_own)
{
	char page[64];
	struct session own;

	box_start(false);
	sign_in("alice", "keyed");
	get("/v1/pages");
	CHECK_INT(json_count(json_get(got.json, "data")), 0);
	sign_in("many-3", "keyed");
	get("/v1/pages");
	CHECK_INT(json_count(json_get(got.json, "data")), 3);
	CHECK(field("data.2.access_token")[0]);
	snprintf(page, sizeof page, "%s", field("data.1.id"));
	own = me;
	snprintf(me.access, sizeof me.access, "%s", field("data.1.access_token"));
	post("p1 by page token");
	CHECK_INT(got.status, 200);
	CHECK_INT(ledger("p1"), 1);
	CHECK_STR(field("data.0.page_id"), page);
	get("/v1/posts?since=0");
	CHECK_INT(json_count(json_get(got.json, "data")), 1);
	me = own;
	get("/v1/posts?since=0");
	CHECK_INT(json_count(json_get(got.json, "data")), 0);
	call("POST", "/v1/posts", bearer(""), "{\"text\":\"p2\",\"page_id\":\"page9_x\"}");
	CHECK_STR(field("error.code"), "page_not_found");
	CHECK_INT(ledger("p2"), 0);
	box_end(SIGKILL);
}

TEST(media_are_kept_and_named_in_the_ledger)
{
	char id[64], body[200], head[300];

	box_start(false);
	sign_in("alice", "keyed");
	snprintf(head, sizeof head, "Authorization: Bearer %s\r\nContent-Type: image/png\r\n", me.access);
	call("POST", "/v1/media", head, "not really a picture");
	CHECK_INT(got.status, 200);
	CHECK_STR(field("state"), "ready");
	snprintf(id, sizeof id, "%s", field("id"));
	snprintf(body, sizeof body, "{\"text\":\"g1\",\"media_ids\":[\"%s\"]}", id);
	call("POST", "/v1/posts", bearer(""), body);
	CHECK_INT(got.status, 200);
	CHECK_INT(ledger("g1"), 1);
	CHECK_STR(field("data.0.media_ids.0"), id);
	call("POST", "/v1/posts", bearer(""), "{\"text\":\"g2\",\"media_ids\":[\"med_none\"]}");
	CHECK_STR(field("error.code"), "invalid_media");
	box_end(SIGKILL);
}

/* ---- control and durability ------------------------------------------------------------------------ */

TEST(forced_faults_of_a_route)
{
	box_start(false);
	sign_in("alice", "keyed");
	control("/control/fail", "{\"route\":\"POST /v1/posts\",\"status\":503,\"count\":2}");
	post("f1");
	CHECK_INT(got.status, 503);
	get("/v1/posts?since=0");
	CHECK_INT(got.status, 200);
	post("f1");
	CHECK_INT(got.status, 503);
	post("f1");
	CHECK_INT(got.status, 200);
	CHECK_INT(ledger("f1"), 1);
	control("/control/fail", "{\"route\":\"/v1/posts\",\"mode\":\"lost_after\",\"count\":1}");
	post("f2");
	CHECK_INT(got.outcome, RESET);
	CHECK_INT(ledger("f2"), 1);
	control("/control/fail", "{\"route\":\"/v1/posts\",\"mode\":\"lost_before\",\"count\":1}");
	post("f3");
	CHECK_INT(got.outcome, RESET);
	CHECK_INT(ledger("f3"), 0);
	control("/control/fail", "{\"route\":\"/oauth/token\",\"mode\":\"lost_after\"}");
	refresh(me.refresh);
	CHECK_INT(got.outcome, RESET);
	refresh(me.refresh);
	CHECK_STR(field("error.code"), "invalid_grant");
	call("POST", "/control/fail", "", "{\"route\":\"/v1/nothing\",\"status\":503}");
	CHECK_INT(got.status, 400);
	box_end(SIGKILL);
}

TEST(control_is_for_programs_on_this_machine)
{
	static const char *const foreign[] = { "X-Forwarded-For: 10.0.0.1\r\n", "Origin: http://a.example\r\n",
					       "Sec-Fetch-Site: none\r\n", "Host: a.example\r\n" };

	box_start(false);
	for (int i = 0; i < 4; i++) {
		call("GET", "/control/ledger", foreign[i], NULL);
		CHECK_SAY(got.status == 403, "%s answers %d", foreign[i], got.status);
	}
	call("GET", "/control/ledger", "", NULL);
	CHECK_INT(got.status, 200);
	call("GET", "/control/nothing", "", NULL);
	CHECK_INT(got.status, 404);
	call("DELETE", "/control/ledger", "", NULL);
	CHECK_INT(got.status, 405);
	box_end(SIGKILL);
}

TEST(reset_forgets_accounts_and_hides_the_ledger)
{
	box_start(false);
	sign_in("alice", "keyed");
	post("r1");
	CHECK_INT(ledger("r1"), 1);
	control("/control/reset", "{}");
	CHECK_INT(ledger(""), 0);
	get("/v1/me");
	CHECK_INT(got.status, 401);
	sign_in("alice", "keyed");
	post("r2");
	CHECK_INT(ledger(""), 1);
	CHECK_INT(field_int("data.0.sequence"), 2);
	box_end(SIGKILL);
}

TEST(the_ledger_survives_kill_9)
{
	int fd;

	box_start(false);
	sign_in("alice", "search");
	post("d1 answered");
	CHECK_INT(got.status, 200);
	fd = post_begin("d2 unanswered [[timeout]]", "");
	ledger_reaches("d2", 1);
	post("d3 late [[delayed:1s]]");
	CHECK_INT(got.outcome, RESET);
	box_kill(SIGKILL);
	close(fd);
	box_start(true);
	CHECK_INT(ledger("d1"), 1);
	CHECK_INT(ledger("d2"), 1);
	ledger_reaches("d3", 1);
	get("/v1/me");
	CHECK_INT(got.status, 200);
	box_kill(SIGTERM);
	box_start(true);
	CHECK_INT(ledger("d"), 3);
	box_end(SIGKILL);
}

TEST(a_kill_at_any_moment_loses_no_answered_post)
{
	int answered = 0;

	box_start(false);
	sign_in("alice", "search");
	for (int round = 0; round < 4; round++) {
		int fd[6];

		for (int i = 0; i < 6; i++)
			fd[i] = post_begin("k9", "");
		answer_read(fd[0], DEADLINE);
		answered += got.status == 200;
		box_kill(SIGKILL);
		for (int i = 1; i < 6; i++) {
			answer_read(fd[i], DEADLINE);
			answered += got.status == 200;
		}
		box_start(true);
		CHECK_SAY(ledger("k9") >= answered, "%d answers, %d rows", answered, ledger("k9"));
	}
	CHECK(answered >= 4);
	box_end(SIGKILL);
}
