/*
 * The sandbox platform over real sockets: OAuth, its control routes, and a ledger that survives kill -9.
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
		{ "client_id=sandbox&redirect_uri=https%3A%2F%2Fa.example%2F&response_type=code&code_challenge=short"
		  "&code_challenge_method=S256", 303, "error=invalid_request" },
		{ "client_id=sandbox&redirect_uri=https%3A%2F%2Fa.example%2F&response_type=code"
		  "&code_challenge=0123456789012345678901234567890123456789012&code_challenge_method=plain", 303, "error=invalid_request" },
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
