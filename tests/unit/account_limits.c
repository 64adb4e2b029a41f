/*
 * Limits of accounts, through the engine: read after connecting and every day, kept only when they are new, and in
 * nobody's way, however slow or dead an instance with many accounts is.
 */
#include "tests/unit/test.h"

#include <arpa/inet.h>
#include <sys/socket.h>

#include "core/base/clock.h"
#include "tests/rig/visit.h"

#define HOUR_MS (3600 * 1000ll)

static struct rig rig;
static char silent[32];		/* "127.0.0.1:PORT": takes connections and never answers */

static void silent_open(void)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof at;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&at, n) == 0 && listen(fd, 128) == 0);
	CHECK(getsockname(fd, (struct sockaddr *)&at, &n) == 0);
	snprintf(silent, sizeof silent, "127.0.0.1:%d", ntohs(at.sin_port));
}

static void setup(void)
{
	const char **allow;

	if (rig.engine != NULL)
		return;
	silent_open();
	rig_begin(&rig, "limits");
	rig_instances(&rig);
	allow = arena_array(&rig.conf.arena, const char *, 3);
	allow[0] = rig.conf.allow[0];
	allow[1] = silent;
	rig.conf.allow = allow;
	rig_open(&rig);
}

static int64_t number(const char *sql, const char *param)
{
	DB_READ_AUTO struct db_conn *c = db_take(rig.store.db);

	return db_number(c, -1, sql, "s", param);
}

struct sql { const char *text, *param; int64_t number; };

static enum rc sql_write(struct cx *cx, struct db_conn *c, void *arg)
{
	const struct sql *s = arg;

	db_run(c, s->text, "si", s->param, s->number);
	return db_fail(cx, c);
}

static void run(const char *text, const char *param, int64_t n)
{
	rig_write(&rig, sql_write, &(struct sql){text, param, n});
}

#define READ "SELECT json_extract(limits, '$.\"text.max\"') FROM connection WHERE id = ?1"
#define DUE "UPDATE connection SET limits_at = ?2 WHERE id = ?1"
#define RESTS "SELECT COUNT(*) FROM connection WHERE id = ?1 AND limits_at > 1000000"
#define VERSION "SELECT version FROM connection WHERE id = ?1"

static void read_is(const char *con, const char *wanted)
{
	char got[64];

	rig_wait(&rig, READ, con, wanted, got);
	CHECK_STR(got, wanted);
}

/* Due now, and read again. */
static void again(const char *con)
{
	char got[64];

	run(DUE, con, 1000);
	engine_wake(rig.engine);
	CHECK(rig_wait(&rig, RESTS, con, "1", got));
}

TEST(they_are_read_after_connecting_and_then_daily)
{
	char con[ID_MAX];
	int64_t at;

	setup();
	rig_visit_connect(&rig, "one", "ann", con);
	read_is(con, "500");
	CHECK_INT(number("SELECT json_extract(limits, '$.\"media.image.max_bytes\"') FROM connection WHERE id = ?1", con), 1000000);
	CHECK_INT(number(VERSION, con), 2);
	at = number("SELECT limits_at FROM connection WHERE id = ?1", con) - clock_now();
	CHECK_SAY(at > 23 * HOUR_MS && at < 31 * HOUR_MS, "again in %lld ms", (long long)at);
	CHECK_INT(number("SELECT COUNT(*) FROM operation WHERE kind = ?1", "limits"), 0);
	CHECK_INT(number("SELECT COUNT(*) FROM attempt WHERE endpoint LIKE ?1", "%/v1/instance"), 0);
}

TEST(a_version_is_new_only_if_they_are)
{
	char con[ID_MAX];

	setup();
	rig_visit_connect(&rig, "two", "ben", con);
	read_is(con, "500");
	again(con);
	CHECK_INT(number(VERSION, con), 2);
	rig_control(rig.sandbox_url, "/control/instance", "{\"text_max\":700}");
	again(con);
	read_is(con, "700");
	CHECK_INT(number(VERSION, con), 3);
	rig_control(rig.sandbox_url, "/control/instance", "{\"text_max\":500}");
}

TEST(what_fails_keeps_what_was_known_and_comes_back_later_and_later)
{
	char con[ID_MAX];
	int64_t first, second;

	setup();
	rig_visit_connect(&rig, "three", "cid", con);
	read_is(con, "500");
	rig_control(rig.sandbox_url, "/control/fail", "{\"route\":\"/v1/instance\",\"status\":503,\"count\":2}");
	again(con);
	first = number("SELECT limits_at FROM connection WHERE id = ?1", con) - clock_now();
	CHECK_INT(number("SELECT limits_failures FROM connection WHERE id = ?1", con), 1);
	again(con);
	second = number("SELECT limits_at FROM connection WHERE id = ?1", con) - clock_now();
	CHECK_SAY(first > 4 * 60000 && first < 7 * 60000 && second > 9 * 60000, "%lld, then %lld", (long long)first, (long long)second);
	read_is(con, "500");
	again(con);
	CHECK_INT(number("SELECT limits_failures FROM connection WHERE id = ?1", con), 0);
	CHECK_INT(number("SELECT COUNT(*) FROM operation WHERE kind = ?1", "limits"), 0);
}

/* What is paused or let go is left alone until it is back. */
TEST(only_accounts_in_use_are_asked_about)
{
	char con[ID_MAX], other[ID_MAX];
	int64_t asked;

	setup();
	rig_visit_connect(&rig, "four", "dan", con);
	rig_visit_connect(&rig, "four", "eve", other);
	read_is(con, "500");
	read_is(other, "500");
	run("UPDATE connection SET paused = 1, limits_at = ?2 WHERE id = ?1", con, 1000);
	asked = rig_stat(rig.sandbox_url, "requests.GET /v1/instance");
	again(other);
	CHECK_INT(rig_stat(rig.sandbox_url, "requests.GET /v1/instance") - asked, 1);
	run("UPDATE connection SET paused = 0 WHERE id = ?1 AND ?2 > 0", con, 1);
	engine_wake(rig.engine);
	CHECK_INT(number(RESTS, con), 0);
	read_is(con, "500");
}

/* 150 accounts of an instance that never answers stand before one of another. */
TEST(a_silent_instance_keeps_nobody_elses_from_being_read)
{
	char con[ID_MAX], other[ID_MAX], host[64];

	setup();
	rig_visit_connect(&rig, "five", "fay", con);
	rig_visit_connect(&rig, "six", "gus", other);
	read_is(con, "500");
	read_is(other, "500");
	snprintf(host, sizeof host, "quiet.localhost:%s", strchr(silent, ':') + 1);
	rig_clone(&rig, con, 150);
	run("UPDATE auth_grant SET account_host = ?1 WHERE id = (SELECT grant_id FROM connection WHERE limits_at IS NULL LIMIT 1) AND ?2 > 0",
	    host, 1);
	run("UPDATE connection SET limits_at = ?2 WHERE limits_at IS NULL AND ?1 IS NOT NULL", "", 1000);
	run("UPDATE connection SET limits = NULL, limits_at = ?2 WHERE id = ?1", other, 2000);
	engine_wake(rig.engine);
	read_is(other, "500");
	CHECK(number("SELECT COUNT(*) FROM connection WHERE limits_at = 1000 AND ?1 IS NOT NULL", "") > 0);
}
