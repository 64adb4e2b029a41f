/*
 * Refreshing tokens under crashes (delivery.md, "Tokens"): single flight, the new pair before its first use, an unknown
 * outcome tried once more and then given up aloud, a platform that is away waited for.  The sandbox rotates refresh
 * tokens and counts: the second use of a spent one ends the whole authorization, as many platforms do.
 */
#include "tests/unit/test.h"

#include <poll.h>

#include "tests/rig/stage.h"

static struct stage stage;

struct scene { const char *name; char con[ID_MAX]; struct driver d; int64_t asked, refreshed, replayed; };

static void stage_gone(void)
{
	stage_close(&stage);
}

static int64_t token_calls(void) { return rig_stat(stage.url, "requests.POST /oauth/token"); }

/* A store of its own with one account, and n more connections on the same grant; the driver has ended. */
static void scene_open(struct scene *s, const char *name, int clones)
{
	if (stage.sandbox == 0) {
		stage_open(&stage);
		atexit(stage_gone);
	}
	memset(s, 0, sizeof *s);
	s->name = name;
	CHECK(driver_start(&s->d, &stage, name, NULL) == CAME_LINE);
	driver_must(&s->d, "connect %s keyed", name);
	snprintf(s->con, sizeof s->con, "%s", driver_answer(&s->d));
	if (clones > 0)
		driver_must(&s->d, "clone %s %d", s->con, clones);
	driver_quit(&s->d);
	s->asked = token_calls();
	s->refreshed = rig_stat(stage.url, "refreshes");
	s->replayed = rig_stat(stage.url, "replayed_refreshes");
}

/* The platform lets its access tokens end; known: our side knows that it is time. */
static void expire(const struct scene *s, bool known)
{
	char json[80];

	snprintf(json, sizeof json, "{\"account\":\"%s\"}", s->name);
	rig_control(stage.url, "/control/expire", json);
	if (known)
		store_run(&stage, s->name, "UPDATE auth_grant SET expires_at = 1000");
}

static void post_everywhere(const struct scene *s)
{
	char con[ID_MAX], text[100], delivery[ID_MAX];
	int n = (int)store_int(&stage, s->name, "SELECT COUNT(*) FROM connection");

	for (int i = 0; i < n; i++) {
		store_text(&stage, s->name, con, sizeof con, "SELECT id FROM connection ORDER BY id LIMIT 1 OFFSET %d", i);
		snprintf(text, sizeof text, "%s %d.", s->name, i);
		store_post(&stage, s->name, con, text, delivery);
	}
}

static void judge(struct scene *s)
{
	const char *fault = stage_judge(&stage, s->name, s->name);

	CHECK_SAY(fault == NULL, "%s", fault);
	driver_kill(&s->d);
}

static int64_t count(const struct scene *s, const char *sql) { return store_int(&stage, s->name, sql); }

#define PUBLISHED "SELECT COUNT(*) FROM delivery WHERE state = 'published'"
#define BLOCKED "SELECT COUNT(*) FROM delivery WHERE state = 'blocked' AND reason = 'reauth'"
#define REAUTH_EVENTS "SELECT COUNT(*) FROM event WHERE type = 'connection.reauth_required'"

static void waits_for(const struct scene *s, const char *sql)
{
	for (int i = 0; i < 1000 && count(s, sql) <= 0; i++)
		poll(NULL, 0, 10);
	CHECK_SAY(count(s, sql) == 1, "%s", sql);
}

static void starts(struct scene *s, const char *failpoint, enum came came)
{
	enum came got = driver_start(&s->d, &stage, s->name, &(struct drive){.failpoint = failpoint});

	if (got == CAME_LINE)
		got = driver_say(&s->d, "rest 150000");
	CHECK_INT(got, came);
	if (came == CAME_LINE)
		CHECK_STR(s->d.line, "ok rest");
	else
		stage_settled(&stage);
}

/* ---- single flight ----------------------------------------------------------------------------------------- */

static void hundred(const char *name, bool known)
{
	struct scene s;

	scene_open(&s, name, 99);
	expire(&s, known);
	post_everywhere(&s);
	starts(&s, NULL, CAME_LINE);
	CHECK_INT(rig_stat(stage.url, "refreshes") - s.refreshed, 1);
	CHECK_INT(rig_stat(stage.url, "replayed_refreshes") - s.replayed, 0);
	CHECK_INT(count(&s, PUBLISHED), 100);
	judge(&s);
}

TEST(a_hundred_users_of_a_token_known_to_be_old_refresh_it_once) { hundred("hundred-known", true); }
TEST(a_hundred_users_of_a_token_that_is_refused_refresh_it_once) { hundred("hundred-refused", false); }

/* ---- crashes ----------------------------------------------------------------------------------------------- */

TEST(killed_before_the_request_it_is_sent_and_all_is_well)
{
	struct scene s;

	scene_open(&s, "killed-before", 0);
	expire(&s, true);
	post_everywhere(&s);
	starts(&s, "intent.committed:1:kill", CAME_DEATH);
	starts(&s, NULL, CAME_LINE);
	CHECK_INT(rig_stat(stage.url, "refreshes") - s.refreshed, 1);
	CHECK_INT(count(&s, PUBLISHED), 1);
	judge(&s);
}

/* The platform has rotated, and the new pair died with us: nothing can be done but to ask the person, once. */
static void gives_up(struct scene *s)
{
	CHECK_INT(count(s, BLOCKED), 1);
	CHECK_INT(count(s, REAUTH_EVENTS), 1);
	CHECK_INT(count(s, "SELECT COUNT(*) FROM connection WHERE status = 'reauth_required'"), 1);
	CHECK_INT(token_calls() - s->asked, 2);
	CHECK_INT(rig_stat(stage.url, "replayed_refreshes") - s->replayed, 1);
	for (int i = 0; i < 30; i++) {		/* never a loop: a day later nobody has asked again */
		driver_must(&s->d, "warp 3000000");
		driver_must(&s->d, "rest 1000");
	}
	CHECK_INT(token_calls() - s->asked, 2);
	CHECK_INT(count(s, REAUTH_EVENTS), 1);
	judge(s);
}

TEST(killed_before_the_answer_the_old_token_is_tried_once_more)
{
	struct scene s;

	scene_open(&s, "killed-after", 0);
	expire(&s, true);
	post_everywhere(&s);
	starts(&s, "send.done:1:kill", CAME_DEATH);
	starts(&s, NULL, CAME_LINE);
	gives_up(&s);
}

TEST(killed_twice_it_is_not_tried_a_third_time)
{
	struct scene s;

	scene_open(&s, "killed-twice", 0);
	expire(&s, true);
	post_everywhere(&s);
	starts(&s, "send.done:1:kill", CAME_DEATH);
	starts(&s, "send.done:1:kill", CAME_DEATH);
	starts(&s, NULL, CAME_LINE);
	gives_up(&s);
}

TEST(a_lost_answer_is_tried_once_more_without_a_crash)
{
	struct scene s;

	scene_open(&s, "lost-after", 0);
	expire(&s, true);
	post_everywhere(&s);
	rig_control(stage.url, "/control/fail", "{\"route\":\"/oauth/token\",\"mode\":\"lost_after\",\"count\":1}");
	starts(&s, NULL, CAME_LINE);
	gives_up(&s);
}

TEST(a_lost_request_costs_nothing)
{
	struct scene s;

	scene_open(&s, "lost-before", 0);
	expire(&s, true);
	post_everywhere(&s);
	rig_control(stage.url, "/control/fail", "{\"route\":\"/oauth/token\",\"mode\":\"lost_before\",\"count\":1}");
	starts(&s, NULL, CAME_LINE);
	CHECK_INT(rig_stat(stage.url, "refreshes") - s.refreshed, 1);
	CHECK_INT(count(&s, PUBLISHED), 1);
	judge(&s);
}

/* The new pair is stored before its first use: killed right after that commit, the next start uses it. */
TEST(killed_after_the_new_pair_is_stored_it_is_used)
{
	struct scene s;

	scene_open(&s, "stored", 0);
	expire(&s, true);
	post_everywhere(&s);
	starts(&s, "commit.done:2:kill", CAME_DEATH);	/* the first was its intent */
	CHECK_INT(rig_stat(stage.url, "refreshes") - s.refreshed, 1);
	starts(&s, NULL, CAME_LINE);
	CHECK_INT(count(&s, PUBLISHED), 1);
	CHECK_INT(rig_stat(stage.url, "replayed_refreshes") - s.replayed, 0);
	judge(&s);
}

/* ---- a platform that is away ------------------------------------------------------------------------------- */

TEST(while_the_platform_is_away_posts_wait_and_nobody_is_asked)
{
	struct scene s;

	scene_open(&s, "away", 2);
	expire(&s, true);
	post_everywhere(&s);
	rig_control(stage.url, "/control/fail", "{\"route\":\"/oauth/token\",\"status\":503,\"count\":3}");
	starts(&s, NULL, CAME_LINE);
	CHECK_INT(rig_stat(stage.url, "refreshes") - s.refreshed, 1);
	CHECK_INT(token_calls() - s.asked, 4);		/* however many wait, the next try is when it is due */
	CHECK_INT(count(&s, PUBLISHED), 3);
	CHECK_INT(count(&s, REAUTH_EVENTS), 0);
	judge(&s);
}

/* ---- the person took it back -------------------------------------------------------------------------------- */

TEST(a_withdrawn_permission_blocks_and_a_new_one_releases)
{
	struct scene s;

	scene_open(&s, "withdrawn", 0);
	rig_control(stage.url, "/control/withdraw", "{\"account\":\"withdrawn\"}");
	expire(&s, true);
	post_everywhere(&s);
	starts(&s, NULL, CAME_LINE);
	CHECK_INT(count(&s, BLOCKED), 1);
	CHECK_INT(count(&s, REAUTH_EVENTS), 1);
	CHECK_INT(token_calls() - s.asked, 1);
	driver_must(&s.d, "connect withdrawn keyed");
	driver_must(&s.d, "rest 20000");
	CHECK_INT(count(&s, PUBLISHED), 1);
	judge(&s);
}

/* Somebody else's lease on the grant (a connect that ended in between): waiters are not left behind. */
TEST(a_lease_that_cannot_be_had_leaves_nobody_waiting)
{
	struct scene s;

	scene_open(&s, "lease", 0);
	CHECK(driver_start(&s.d, &stage, s.name, NULL) == CAME_LINE);
	store_run(&stage, s.name, "UPDATE auth_grant SET refresh_operation_id = 'op_of_nobody', expires_at = 1000");
	post_everywhere(&s);
	driver_must(&s.d, "wake");
	driver_must(&s.d, "rest 20000");
	CHECK_INT(count(&s, PUBLISHED), 1);
	judge(&s);
}

/* Its token was renewed by another while it waited: it reads again, and does not renew a second time. */
TEST(who_wakes_with_an_old_token_reads_the_new_one)
{
	struct scene s;

	scene_open(&s, "waker", 1);
	rig_control(stage.url, "/control/accounts", "{\"name\":\"waker\",\"type\":\"handle\",\"processing_ms\":500}");
	store_run(&stage, s.name, "UPDATE connection SET account_type = 'handle'");
	CHECK(driver_start(&s.d, &stage, s.name, NULL) == CAME_LINE);
	driver_must(&s.d, "post %s waker first.", s.con);
	waits_for(&s, "SELECT COUNT(*) FROM operation WHERE kind = 'publish' AND event = 'timer'");
	expire(&s, false);
	post_everywhere(&s);
	driver_must(&s.d, "wake");
	driver_must(&s.d, "rest 20000");
	CHECK_INT(rig_stat(stage.url, "refreshes") - s.refreshed, 1);
	CHECK_INT(count(&s, PUBLISHED), 3);
	judge(&s);
}

/* A look for which there is no token any more is made when there is one again, not never. */
TEST(a_look_outlives_its_authorization)
{
	struct scene s;
	char delivery[ID_MAX];

	scene_open(&s, "looker", 0);
	store_run(&stage, s.name, "UPDATE connection SET account_type = 'search'");
	store_post(&stage, s.name, s.con, "looker [[reset:after]]", delivery);
	CHECK(driver_start(&s.d, &stage, s.name, NULL) == CAME_LINE);
	waits_for(&s, "SELECT COUNT(*) FROM delivery WHERE state = 'unconfirmed'");
	rig_control(stage.url, "/control/withdraw", "{\"account\":\"looker\"}");
	expire(&s, true);
	waits_for(&s, REAUTH_EVENTS);
	CHECK_INT(token_calls() - s.asked, 1);
	for (int i = 0; i < 20; i++) {		/* later looks do not ask again what was answered */
		driver_must(&s.d, "warp 600000");
		driver_say(&s.d, "rest 200");
	}
	CHECK(count(&s, "SELECT looks FROM delivery") > 1);
	CHECK_INT(token_calls() - s.asked, 1);
	driver_must(&s.d, "connect looker search");
	driver_must(&s.d, "warp 22000000");	/* past the next look, which is at most six hours away */
	waits_for(&s, PUBLISHED);
	judge(&s);
}
