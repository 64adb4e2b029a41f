/*
 * Apps at instances, through the engine: registered once per app, host and scopes, whoever comes at the same moment;
 * refused, lost and forgotten ones.  The instances are names below localhost that the sandbox plays.
 */
#include "tests/unit/test.h"

#include "core/base/clock.h"
#include "core/model/connection.h"
#include "tests/rig/visit.h"

static struct rig rig;

static void setup(void)
{
	if (rig.engine != NULL)
		return;
	rig_begin(&rig, "instance");
	rig_instances(&rig);
	rig_open(&rig);
}

static int64_t apps(void) { return rig_stat(rig.sandbox_url, "requests.POST /v1/apps"); }

static int64_t number(const char *sql, const char *param)
{
	DB_READ_AUTO struct db_conn *c = db_take(rig.store.db);

	return db_number(c, -1, sql, "s", param);
}

#define ROWS "SELECT COUNT(*) FROM instance_client WHERE host LIKE ?1 || '.%'"

static void fails(const struct rig_visit *v, const char *code)
{
	char got[64];

	CHECK(rig_wait(&rig, "SELECT status FROM connect_session WHERE id = ?1", v->session, "failed", got));
	rig_wait(&rig, "SELECT json_extract(error, '$.code') FROM connect_session WHERE id = ?1", v->session, code, got);
	CHECK_STR(got, code);
}

TEST(the_first_registers_and_the_next_do_not)
{
	char con[ID_MAX], second[ID_MAX];
	int64_t before;

	setup();
	before = apps();
	rig_visit_connect(&rig, "one", "ann", con);
	rig_visit_connect(&rig, "one", "ben", second);
	CHECK_INT(apps() - before, 1);
	CHECK_INT(number(ROWS, "one"), 1);
	CHECK_INT(number("SELECT COUNT(*) FROM connection n JOIN auth_grant g ON g.id = n.grant_id JOIN instance_client i ON"
			 " i.id = g.instance_client_id WHERE n.id = ?1 AND g.account_host = i.host AND n.status = 'active'", con), 1);
	CHECK_INT(number("SELECT COUNT(*) FROM instance_client WHERE json_extract(facts, '$.known_as') = ?1", "Acme"), 1);
}

/* Neither id nor secret of the client rests in clear, and the state went on with authorize. */
TEST(what_register_learned_rests_sealed)
{
	char con[ID_MAX];

	setup();
	rig_visit_connect(&rig, "sealed", "sam", con);
	CHECK_INT(number("SELECT COUNT(*) FROM operation WHERE kind = ?1 AND (secrets IS NOT NULL OR input IS NOT NULL)", "register"), 0);
	CHECK_INT(number("SELECT COUNT(*) FROM attempt WHERE instr(body, 'sec_') > 0 OR instr(body, ?1) > 0", "app_"), 0);
	CHECK_INT(number("SELECT COUNT(*) FROM instance_client WHERE instr(secrets, ?1) > 0 OR instr(secrets, 'sec_') > 0", "app_"), 0);
}

struct two { struct rig_visit a, b; };

static enum rc two_write(struct cx *cx, struct db_conn *c, void *arg)
{
	struct two *t = arg;
	enum rc rc = rig_visit_write(cx, c, &t->a);

	return rc == RC_OK ? rig_visit_write(cx, c, &t->b) : rc;
}

TEST(two_that_register_at_once_go_on_with_one_client)
{
	struct two t = {{.r = &rig, .host = "two"}, {.r = &rig, .host = "two"}};
	char status[64], *a, *b;
	int64_t before;

	setup();
	before = apps();
	rig_write(&rig, two_write, &t);
	engine_wake(rig.engine);
	a = rig_visit_redirect(&t.a);
	b = rig_visit_redirect(&t.b);
	CHECK(a != NULL && b != NULL);
	CHECK_INT(apps() - before, 2);
	CHECK_INT(number(ROWS, "two"), 1);
	CHECK(strncmp(strstr(a, "client_id="), strstr(b, "client_id="), 40) == 0);
	rig_visit_return(&t.a, a, "tom", status);
	CHECK_STR(status, "completed");
	rig_visit_return(&t.b, b, "tim", status);
	CHECK_STR(status, "completed");
	free(a);
	free(b);
}

TEST(who_asks_for_other_scopes_registers_anew)
{
	struct rig_visit v = {.r = &rig, .host = "scopes", .scope = "publish"};
	char con[ID_MAX], *url;

	setup();
	rig_visit_connect(&rig, "scopes", "sue", con);
	rig_write(&rig, rig_visit_write, &v);
	engine_wake(rig.engine);
	url = rig_visit_redirect(&v);
	CHECK(url != NULL && strstr(url, "scope=publish&") != NULL);
	free(url);
	CHECK_INT(number(ROWS, "scopes"), 2);
}

TEST(another_organization_has_its_own)
{
	char con[ID_MAX];

	setup();
	rig_visit_connect(&rig, "shared", "una", con);
	rig_organization(&rig, "Else");
	rig_visit_connect(&rig, "shared", "una", con);
	CHECK_INT(number(ROWS, "shared"), 2);
	CHECK_INT(number("SELECT COUNT(*) FROM auth_grant g JOIN instance_client i ON i.id = g.instance_client_id"
			 " WHERE i.organization_id <> g.organization_id AND ?1 IS NOT NULL", ""), 0);
}

/* ---- what goes wrong --------------------------------------------------------------------------------------- */

TEST(a_refusal_ends_the_session_and_leaves_nothing)
{
	struct rig_visit v;

	setup();
	rig_control(rig.sandbox_url, "/control/fail", "{\"route\":\"/v1/apps\",\"status\":422,\"count\":1}");
	rig_visit_begin(&rig, "refuses", &v);
	CHECK(rig_visit_redirect(&v) == NULL);
	fails(&v, "platform_rejected");
	CHECK_INT(number(ROWS, "refuses"), 0);
}

TEST(a_lost_answer_ends_the_session_and_the_next_registers)
{
	struct rig_visit v;
	char con[ID_MAX];
	int64_t before;

	setup();
	before = apps();
	rig_control(rig.sandbox_url, "/control/fail", "{\"route\":\"/v1/apps\",\"mode\":\"lost_after\",\"count\":1}");
	rig_visit_begin(&rig, "once", &v);
	CHECK(rig_visit_redirect(&v) == NULL);
	fails(&v, "connect_interrupted");
	CHECK_INT(number(ROWS, "once"), 0);
	rig_visit_connect(&rig, "once", "oda", con);
	CHECK_INT(apps() - before, 2);
	CHECK_INT(number(ROWS, "once"), 1);
}

/* The instance answers to another secret from now on. */
static void forget(char *url)
{
	char json[200], *id = strstr(url, "client_id=") + 10;

	snprintf(json, sizeof json, "{\"client_id\":\"%.*s\",\"client_secret\":\"another\"}", (int)strcspn(id, "&"), id);
	rig_control(rig.sandbox_url, "/control/clients", json);
}

TEST(an_app_that_the_instance_forgot_is_registered_anew)
{
	struct rig_visit v;
	char con[ID_MAX], status[64], *url;
	int64_t before;

	setup();
	before = apps();
	rig_visit_begin(&rig, "forgets", &v);
	url = rig_visit_redirect(&v);
	forget(url);
	rig_visit_return(&v, url, "flo", status);
	free(url);
	fails(&v, "connect_interrupted");
	CHECK_INT(number(ROWS, "forgets"), 0);
	rig_visit_connect(&rig, "forgets", "flo", con);
	CHECK_INT(apps() - before, 2);
}

/* A grant that is in use keeps the old one, and still the next session registers. */
TEST(a_forgotten_app_stays_with_the_grants_that_name_it)
{
	struct rig_visit v;
	char con[ID_MAX], second[ID_MAX], status[64], *url;

	setup();
	rig_visit_connect(&rig, "keeps", "kay", con);
	rig_visit_begin(&rig, "keeps", &v);
	url = rig_visit_redirect(&v);
	forget(url);
	rig_visit_return(&v, url, "kim", status);
	free(url);
	fails(&v, "connect_interrupted");
	CHECK_INT(number(ROWS " AND retired_at IS NOT NULL", "keeps"), 1);
	rig_visit_connect(&rig, "keeps", "kim", second);
	CHECK_INT(number(ROWS, "keeps"), 2);
	CHECK_INT(number("SELECT COUNT(*) FROM connection n JOIN auth_grant g ON g.id = n.grant_id JOIN instance_client i ON"
			 " i.id = g.instance_client_id WHERE n.id = ?1 AND i.retired_at IS NOT NULL", con), 1);
}

/* Withdrawn while it was registered: nothing goes on, but the app is of use to the next. */
static enum rc cancel_write(struct cx *cx, struct db_conn *c, void *arg)
{
	db_run(c, "UPDATE connect_session SET status = 'canceled' WHERE id = ?1", "s", (const char *)arg);
	return db_fail(cx, c);
}

TEST(a_session_that_was_withdrawn_meanwhile_does_not_go_on)
{
	struct rig_visit v;
	char con[ID_MAX], got[64];
	int64_t before;

	setup();
	before = apps();
	rig_control(rig.sandbox_url, "/control/fail", "{\"route\":\"/v1/apps\",\"status\":503,\"count\":1}");
	rig_visit_begin(&rig, "withdrawn", &v);
	rig_write(&rig, cancel_write, v.session);
	CHECK(rig_wait(&rig, "SELECT status FROM operation WHERE connect_session_id = ?1 AND kind = 'register'", v.session, "done", got));
	CHECK_INT(number("SELECT COUNT(*) FROM operation WHERE connect_session_id = ?1 AND kind = 'authorize'", v.session), 0);
	rig_visit_connect(&rig, "withdrawn", "wim", con);
	CHECK_INT(apps() - before, 2);		/* one 503, one that was made */
}

static enum rc refresh_write(struct cx *cx, struct db_conn *c, void *arg)
{
	db_run(c, "UPDATE auth_grant SET expires_at = 1000, refresh_at = 1000 WHERE id = (SELECT grant_id FROM connect_session"
	       " WHERE id = ?1)", "s", (const char *)arg);
	return db_fail(cx, c);
}

/* Its tokens cannot be renewed by anybody any more: the person is asked once, and connects by a new app. */
TEST(a_refresh_by_a_forgotten_app_asks_the_person)
{
	struct rig_visit v;
	char status[64], *url;

	setup();
	rig_visit_begin(&rig, "stale", &v);
	url = rig_visit_redirect(&v);
	rig_visit_return(&v, url, "sol", status);
	CHECK_STR(status, "completed");
	forget(url);
	free(url);
	rig_write(&rig, refresh_write, v.session);
	engine_wake(rig.engine);
	CHECK(rig_wait(&rig, "SELECT n.status FROM connection n JOIN connect_session s ON s.grant_id = n.grant_id WHERE s.id = ?1", v.session,
		       "reauth_required", status));
	CHECK_INT(number(ROWS, "stale"), 0);
}

static enum rc old_write(struct cx *cx, struct db_conn *c, void *arg)
{
	db_run(c, "UPDATE instance_client SET created_at = 1000 WHERE host LIKE ?1 || '.%'", "s", (const char *)arg);
	return db_fail(cx, c);
}

static void visit_at_forgetful(const char *host, const char *name, bool old, const char *expected)
{
	struct rig_visit v;
	char con[ID_MAX], status[64] = "failed", *url;

	rig_visit_connect(&rig, host, name, con);
	rig_visit_begin(&rig, host, &v);
	url = rig_visit_redirect(&v);
	forget(url);
	free(url);
	if (old)
		rig_write(&rig, old_write, (char *)(uintptr_t)host);
	rig_visit_begin(&rig, host, &v);
	url = rig_visit_redirect(&v);
	if (url != NULL)
		rig_visit_return(&v, url, name, status);
	free(url);
	CHECK_STR(status, expected);
}

/* Found out before the person was sent there: the session goes on by a new app. */
TEST(an_app_found_forgotten_by_authorize_is_registered_anew_in_the_same_session)
{
	int64_t before;

	setup();
	before = apps();
	visit_at_forgetful("checks", "uma", true, "completed");
	CHECK_INT(apps() - before, 2);
	CHECK_INT(number("SELECT COUNT(*) FROM operation WHERE kind = ?1 AND input IS NOT NULL AND status = 'failed'", "authorize"), 0);
}

TEST(an_instance_that_forgets_at_once_is_not_asked_for_ever)
{
	int64_t before;

	setup();
	before = apps();
	visit_at_forgetful("checksagain", "vic", false, "failed");
	CHECK_INT(apps() - before, 1);
	CHECK_INT(number(ROWS " AND retired_at IS NULL", "checksagain"), 0);	/* and the next session registers */
}

/* ---- letting go -------------------------------------------------------------------------------------------- */

static enum rc let_go_write(struct cx *cx, struct db_conn *c, void *arg)
{
	struct owner owner = {rig.organization, rig.app, 0};
	struct connection n;
	struct arena a;

	arena_init(&a, 1u << 20);
	if (connection_find(c, &owner, arg, &a, &n))
		connection_let_go(c, rig.platforms, &n, clock_now());
	arena_free(&a);
	return db_fail(cx, c);
}

TEST(what_is_let_go_is_taken_back_by_the_app_that_got_it)
{
	char con[ID_MAX], got[64];

	setup();
	rig_visit_connect(&rig, "revokes", "rex", con);
	rig_write(&rig, let_go_write, con);
	engine_wake(rig.engine);
	CHECK(rig_wait(&rig, "SELECT o.status FROM operation o JOIN connection n ON n.grant_id = o.grant_id WHERE n.id = ?1"
		       " AND o.kind = 'revoke'", con, "done", got));
}

/* ---- descriptors ------------------------------------------------------------------------------------------- */

TEST(registered_needs_a_server_to_register_at)
{
	static const char *const bad[] = {
		"{\"name\":\"X\",\"operations\":[\"authorize\"],\"hosts\":[],\"connect\":{\"method\":\"oauth2\",\"client\":\"registered\","
			"\"fields\":[{\"name\":\"server\",\"type\":\"host\"}]}}",
		"{\"name\":\"X\",\"operations\":[\"register\"],\"hosts\":[],\"connect\":{\"method\":\"oauth2\",\"client\":\"registered\"}}",
		"{\"name\":\"X\",\"operations\":[\"register\"],\"hosts\":[],\"connect\":{\"method\":\"oauth2\",\"client\":\"registered\","
			"\"fields\":[{\"name\":\"server\",\"type\":\"host\",\"required\":false}]}}",
	};
	struct platform *p;
	struct cx cx;

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		cx_init(&cx, "test");
		CHECK_INT(platform_read(&cx, "x", "1", bad[i], &p), RC_INVALID);
		CHECK_SAY(strstr(cx.words, "connect.client") != NULL, "%s", cx.words);
	}
}

/* ---- permissions ------------------------------------------------------------------------------------------- */

#define SHOWN "SELECT scopes || ' ' || missing || ' ' || version FROM connection WHERE grant_id = (SELECT grant_id FROM connect_session" \
	" WHERE id = ?1)"

static enum rc forget_scopes_write(struct cx *cx, struct db_conn *c, void *arg)
{
	db_run(c, "UPDATE connection SET scopes = 'publish read', missing = '[]' WHERE grant_id = (SELECT grant_id FROM connect_session"
	       " WHERE id = ?1)", "s", (const char *)arg);
	return refresh_write(cx, c, arg);
}

TEST(what_is_missing_is_what_was_asked_for_and_not_granted)
{
	struct rig_visit v;
	char got[64], *url, *scope;

	setup();
	rig_visit_begin(&rig, "fewer", &v);
	url = rig_visit_redirect(&v);
	scope = strstr(url, "publish%20read");
	CHECK(scope != NULL);
	memmove(scope + 7, scope + 14, strlen(scope + 14) + 1);		/* the person allows one of the two */
	rig_visit_return(&v, url, "fay", got);
	free(url);
	CHECK_STR(got, "completed");
	CHECK(rig_wait(&rig, SHOWN, v.session, "publish [\"read\"] 2", got));	/* 2: its limits were read */
	rig_write(&rig, forget_scopes_write, v.session);
	engine_wake(rig.engine);
	CHECK_SAY(rig_wait(&rig, SHOWN, v.session, "publish [\"read\"] 3", got), "%s", got);
}
