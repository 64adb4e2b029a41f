/*
 * Publishing to the sandbox over real sockets: keys, containers, every magic text, pages, media.
 */
#include "tests/unit/test.h"

#include "tests/unit/sandbox_client.h"

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
