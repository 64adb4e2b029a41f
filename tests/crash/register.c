/*
 * Apps at instances and limits under crashes: a client is stored before it is used, whoever dies between the
 * instance's answer and our commit leaves a spare app there and nothing else, and limits are read again each day.
 */
#include "tests/unit/test.h"

#include <poll.h>

#include "tests/rig/stage.h"

static struct stage stage;

static void stage_gone(void)
{
	stage_close(&stage);
}

/* A store of its own, with nothing in it but an organization. */
static void opens(struct driver *d, const char *name, const char *failpoint)
{
	if (stage.sandbox == 0) {
		stage_open(&stage);
		atexit(stage_gone);
	}
	CHECK_INT(driver_start(d, &stage, name, &(struct drive){.failpoint = failpoint}), CAME_LINE);
}

static int64_t apps(void) { return rig_stat(stage.url, "requests.POST /v1/apps"); }

#define ROWS "SELECT COUNT(*) FROM instance_client"
#define SESSION "SELECT status FROM connect_session ORDER BY created_at, id LIMIT 1"

/* Killed at a point of the registration; gives how often apps were made there and what became of the session. */
static void killed(const char *name, const char *failpoint, const char *host, int64_t rows, int64_t made, const char *status)
{
	struct driver d;
	char got[64];
	int64_t before;

	opens(&d, name, failpoint);
	before = apps();
	CHECK_INT(driver_say(&d, "visit %s ann", host), CAME_DEATH);
	stage_settled(&stage);
	CHECK(store_sound(&stage, name));
	CHECK_INT(store_int(&stage, name, ROWS), rows);
	CHECK_INT(driver_start(&d, &stage, name, NULL), CAME_LINE);
	driver_must(&d, "rest 30000");
	store_text(&stage, name, got, sizeof got, SESSION);
	CHECK_STR(got, status);
	driver_must(&d, "visit %s ann", host);	/* whatever it was, the next goes well */
	CHECK_INT(store_int(&stage, name, ROWS), 1);
	CHECK_INT(apps() - before, made);
	CHECK_INT(store_int(&stage, name, "SELECT COUNT(*) FROM connection WHERE status = 'active'"), 1);
	driver_quit(&d);
}

/* SAFE: it is asked for again after the restart, and the session goes on to the instance. */
TEST(killed_between_answer_and_commit_it_registers_again)
{
	killed("safe", "send.done:1:kill", "safe", 0, 2, "authorizing");
}

/* ONCE: what was sent is not sent again; the person is told, and the next session registers. */
TEST(killed_with_a_registration_that_is_not_repeated_the_session_says_so)
{
	killed("once", "send.done:1:kill", "once", 0, 2, "failed");
}

TEST(killed_before_a_registration_was_sent_the_session_says_so)
{
	killed("unsent", "intent.committed:1:kill", "oncemore", 0, 1, "failed");
}

/* The client is stored with the end of its registration: the first commit of a SAFE one. */
TEST(killed_after_the_client_is_stored_it_is_used)
{
	killed("stored", "commit.done:1:kill", "stored", 1, 1, "authorizing");
}

/* ---- limits ------------------------------------------------------------------------------------------------ */

static int64_t asked(void) { return rig_stat(stage.url, "requests.GET /v1/instance"); }

static bool reads(int64_t before, int64_t n)
{
	for (int i = 0; i < 1000 && asked() - before < n; i++)
		poll(NULL, 0, 10);
	return asked() - before == n;
}

TEST(limits_are_read_each_day_and_no_more)
{
	struct driver d;
	int64_t before;

	opens(&d, "daily", NULL);
	before = asked();
	driver_must(&d, "visit daily ann");
	CHECK(reads(before, 1));
	for (int day = 1; day <= 3; day++) {
		driver_must(&d, "rest 20000");
		driver_must(&d, "warp %lld", 20 * 3600 * 1000ll);
		driver_must(&d, "rest 20000");
		CHECK_INT(asked() - before, day);
		driver_must(&d, "warp %lld", 11 * 3600 * 1000ll);	/* a day and a quarter of it */
		CHECK(reads(before, day + 1));
	}
	CHECK_INT(store_int(&stage, "daily", "SELECT version FROM connection"), 2);
	driver_quit(&d);
}

TEST(killed_while_limits_are_read_they_are_read_again)
{
	struct driver d;
	int64_t before;

	opens(&d, "killed", NULL);
	before = asked();
	driver_must(&d, "visit killed ann");
	CHECK(reads(before, 1));
	driver_must(&d, "rest 20000");
	driver_quit(&d);
	store_run(&stage, "killed", "UPDATE connection SET limits_at = 1000, limits = NULL");
	CHECK_INT(driver_start(&d, &stage, "killed", &(struct drive){.failpoint = "send.done:1:kill"}), CAME_LINE);
	CHECK_INT(driver_await(&d, 20000), CAME_DEATH);
	CHECK_INT(store_int(&stage, "killed", "SELECT COUNT(*) FROM connection WHERE limits IS NULL"), 1);
	CHECK_INT(driver_start(&d, &stage, "killed", NULL), CAME_LINE);
	CHECK(reads(before, 3));
	driver_must(&d, "rest 20000");
	CHECK_INT(store_int(&stage, "killed", "SELECT COUNT(*) FROM connection WHERE limits IS NOT NULL"), 1);
	driver_quit(&d);
}
