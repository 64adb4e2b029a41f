/*
 * The rules of delivery.md one by one, each in the situation that it exists for.  The number stands at the test; what
 * breaks when the rule is taken out of the code stands with it.  The others (2, 3 and the epochs) are in matrix.c.
 */
#include "tests/unit/test.h"

#include <poll.h>
#include <signal.h>

#include "core/base/clock.h"
#include "tests/rig/stage.h"
#include "tests/rig/warp.h"

static struct stage stage;

struct scene { const char *name; char con[ID_MAX], dlv[ID_MAX]; struct driver d; };

static void stage_gone(void)
{
	stage_close(&stage);
}

/* A store of its own with one account of a type, whose token outlives the test; the driver runs. */
static void scene_open(struct scene *s, const char *name, const char *type)
{
	char json[120];

	if (stage.sandbox == 0) {
		stage_open(&stage);
		atexit(stage_gone);
	}
	memset(s, 0, sizeof *s);
	s->name = name;
	snprintf(json, sizeof json, "{\"name\":\"%s\",\"type\":\"%s\",\"expires_in\":500000000}", name, type);
	rig_control(stage.url, "/control/accounts", json);
	CHECK(driver_start(&s->d, &stage, name, NULL) == CAME_LINE);
	driver_must(&s->d, "connect %s %s", name, type);
	snprintf(s->con, sizeof s->con, "%s", driver_answer(&s->d));
}

static void again(struct scene *s, const char *failpoint)
{
	driver_kill(&s->d);
	stage_settled(&stage);
	CHECK(driver_start(&s->d, &stage, s->name, &(struct drive){.failpoint = failpoint}) == CAME_LINE);
}

static void settings(const struct scene *s, const char *type, const char *more)
{
	char json[200];

	snprintf(json, sizeof json, "{\"name\":\"%s\",\"type\":\"%s\"%s}", s->name, type, more);
	rig_control(stage.url, "/control/accounts", json);
}

static void post(struct scene *s, const char *words)
{
	driver_must(&s->d, "post %s %s %s", s->con, s->name, words);
	snprintf(s->dlv, sizeof s->dlv, "%s", driver_answer(&s->d));
}

/* A post whose driver dies at a place, and a driver that starts some time later. */
static void dies_at(struct scene *s, const char *place, int64_t ms)
{
	driver_kill(&s->d);
	CHECK(driver_start(&s->d, &stage, s->name, &(struct drive){.failpoint = place}) == CAME_LINE);
	driver_tell(&s->d, "post %s %s x", s->con, s->name);
	while (s->d.pid > 0 && driver_await(&s->d, 20000) == CAME_LINE)
		;
	CHECK_INT(s->d.pid, 0);
	store_text(&stage, s->name, s->dlv, sizeof s->dlv, "SELECT id FROM delivery");
	driver_warp(&s->d, ms);
	again(s, NULL);
}

static int64_t count(const struct scene *s, const char *sql) { return store_int(&stage, s->name, sql); }
static int ledger(const struct scene *s) { return rig_ledger(stage.url, s->name, NULL, 0); }

static void waits_for(const struct scene *s, const char *sql)
{
	for (int i = 0; i < 1500 && count(s, sql) <= 0; i++)
		poll(NULL, 0, 10);
	CHECK_SAY(count(s, sql) > 0, "%s", sql);
}

/* A container is being made; the engine waits in memory. */
#define PROCESSING "SELECT COUNT(*) FROM delivery d JOIN operation o ON o.delivery_id = d.id WHERE d.state = 'processing'" \
	" AND o.event = 'timer'"

static int64_t engine_active(struct scene *s)
{
	int64_t n = -1;

	driver_must(&s->d, "stats");
	CHECK_INT(sscanf(driver_answer(&s->d), "%*s %*s %*s %" SCNd64, &n), 1);
	return n;
}

static void waits_for_state(const struct scene *s, const char *state)
{
	char sql[100];

	snprintf(sql, sizeof sql, "SELECT COUNT(*) FROM delivery WHERE state = '%s'", state);
	waits_for(s, sql);
}

static void is(const struct scene *s, const char *state)
{
	char got[32];

	store_text(&stage, s->name, got, sizeof got, "SELECT state FROM delivery WHERE id = %Q", s->dlv);
	CHECK_STR(got, state);
}

static void judge(struct scene *s)
{
	const char *fault = stage_judge(&stage, s->name, s->name);

	CHECK_SAY(fault == NULL, "%s", fault);
	driver_kill(&s->d);
}

static void rest(struct scene *s)
{
	driver_must(&s->d, "rest 150000");
}

/* ---- 1: the fence ------------------------------------------------------------------------------------------- */

/* The row as another owner would leave it: in the same state, claimed anew.  Without epoch and claim in
 * delivery_move the op in memory goes on and sends. */
TEST(rule_1_a_row_that_was_claimed_by_another_is_left_alone)
{
	struct scene s;

	scene_open(&s, "fence", "handle");
	settings(&s, "handle", ",\"processing_ms\":400");
	post(&s, "x");
	waits_for(&s, PROCESSING);
	store_run(&stage, s.name, "UPDATE delivery SET claim = claim + 1, owner_epoch = owner_epoch + 1");
	driver_must(&s.d, "warp 5000");
	for (int i = 0; i < 1500 && engine_active(&s) > 0; i++)
		poll(NULL, 0, 10);
	CHECK_INT(engine_active(&s), 0);
	CHECK_INT(ledger(&s), 0);
	is(&s, "processing");
	again(&s, NULL);
	rest(&s);
	is(&s, "published");
	judge(&s);
}

/* ---- 7: cancel -------------------------------------------------------------------------------- */

/* While the container is being made.  Without the fence in delivery_move the op in memory publishes all the same. */
TEST(rule_7_canceled_while_processing_it_is_never_sent)
{
	struct scene s;

	scene_open(&s, "cancel-processing", "handle");
	settings(&s, "handle", ",\"processing_ms\":400");
	post(&s, "x");
	waits_for(&s, PROCESSING);
	driver_must(&s.d, "cancel %s", s.dlv);
	CHECK_STR(driver_answer(&s.d), "canceled");
	driver_must(&s.d, "warp 5000");
	poll(NULL, 0, 600);
	rest(&s);
	CHECK_INT(ledger(&s), 0);
	judge(&s);
}

TEST(rule_7_what_may_be_live_cannot_be_canceled)
{
	struct scene s;

	scene_open(&s, "cancel-committing", "none");
	post(&s, "[[slow:800ms]]");
	waits_for_state(&s, "committing");
	driver_must(&s.d, "cancel %s", s.dlv);
	CHECK_STR(driver_answer(&s.d), "committing");
	rest(&s);
	is(&s, "published");
	judge(&s);
}

/* 200 posts, canceled as fast as possible while they are claimed and sent, and a kill -9 in the midst of it. */
TEST(rule_7_cancel_races_have_one_winner)
{
	struct scene s;
	char id[ID_MAX], text[40];
	int64_t canceled = 0;

	scene_open(&s, "cancel-race", "search");
	driver_must(&s.d, "clone %s 9", s.con);
	for (int i = 0; i < 200; i++) {
		store_text(&stage, s.name, s.con, sizeof s.con, "SELECT id FROM connection ORDER BY id LIMIT 1 OFFSET %d", i % 10);
		snprintf(text, sizeof text, "number %d.", i);
		post(&s, text);
		store_text(&stage, s.name, id, sizeof id, "SELECT id FROM delivery ORDER BY created_at DESC LIMIT 1 OFFSET %d", i % 7);
		driver_must(&s.d, "cancel %s", id);
		canceled += strcmp(driver_answer(&s.d), "canceled") == 0;
		if (i == 120)
			again(&s, NULL);
	}
	rest(&s);
	CHECK(canceled > 0);
	CHECK_INT(count(&s, "SELECT COUNT(*) FROM delivery WHERE state NOT IN ('canceled', 'published')"), 0);
	CHECK(count(&s, "SELECT COUNT(*) FROM delivery WHERE state = 'published'") > 0);
	judge(&s);
}

/* ---- 12: old content never fires --------------------------------------------------------------------------- */

static void signal_hosts(const struct scene *s, int number)
{
	CHECK(driver_signal_hosts(&s->d, number) > 0);
}

/* The op holds the old text while its host stands still; the edit comes; then the host answers.  Without claim and
 * content version in the claim's condition the old text is sent. */
TEST(rule_12_an_edit_between_load_and_claim_wins)
{
	struct scene s;
	struct rig_entry e[2];

	scene_open(&s, "edit-claim", "keyed");
	signal_hosts(&s, SIGSTOP);
	post(&s, "old.");
	for (int i = 0; i < 200; i++) {		/* until the engine waits for the step */
		driver_must(&s.d, "stats");
		poll(NULL, 0, 1);
	}
	driver_must(&s.d, "edit %s edit-claim new.", s.dlv);
	signal_hosts(&s, SIGCONT);
	rest(&s);
	CHECK_INT(rig_ledger(stage.url, s.name, e, 2), 1);
	CHECK_STR(e[0].text, "edit-claim new.");
	judge(&s);
}

TEST(rule_12_edits_race_with_claims)
{
	struct scene s;
	char text[60], old[60];
	int won = 0;

	scene_open(&s, "edit-race", "keyed");
	driver_must(&s.d, "clone %s 9", s.con);
	for (int i = 0; i < 100; i++) {
		store_text(&stage, s.name, s.con, sizeof s.con, "SELECT id FROM connection ORDER BY id LIMIT 1 OFFSET %d", i % 10);
		snprintf(text, sizeof text, "old %d.", i);
		post(&s, text);
		poll(NULL, 0, i % 4);
		driver_tell(&s.d, "edit %s edit-race new %d.", s.dlv, i);
		CHECK(driver_await(&s.d, 20000) == CAME_LINE);
		if (strcmp(s.d.line, "ok") == 0) {
			won++;
			snprintf(old, sizeof old, "edit-race old %d.", i);
			CHECK_INT(rig_ledger(stage.url, old, NULL, 0), 0);
		}
	}
	rest(&s);
	CHECK(won > 0);
	CHECK_INT(count(&s, "SELECT COUNT(*) FROM delivery WHERE state <> 'published'"), 0);
	CHECK_INT(ledger(&s), 100);
	judge(&s);
}

/* ---- 3: a refusal of what was sent again proves nothing ----------------------------------------------------- */

/* Its first request took effect and its answer was lost; the second is refused by a limit; then the key's hour is
 * over.  Taken at its word the refusal would put it back into the schedule, and a fresh key would publish it twice. */
TEST(rule_3_a_refusal_after_a_lost_answer_proves_nothing)
{
	struct scene s;
	int64_t before;

	scene_open(&s, "refused-again", "keyed");
	again(&s, "http.lost:1:once");
	before = rig_stat(stage.url, "requests.POST /v1/posts");
	post(&s, "x");
	for (int i = 0; i < 1500 && ledger(&s) == 0; i++)
		poll(NULL, 0, 5);
	rig_control(stage.url, "/control/fail", "{\"route\":\"POST /v1/posts\",\"status\":429,\"count\":1}");
	for (int i = 0; i < 1500 && rig_stat(stage.url, "requests.POST /v1/posts") < before + 2; i++)
		poll(NULL, 0, 5);
	poll(NULL, 0, 100);
	driver_must(&s.d, "warp 3700000");
	rest(&s);
	CHECK_INT(ledger(&s), 1);
	is(&s, "published");
	judge(&s);
}

/* Down for longer than a state may last, but not for longer than the key lives: sent again with the same key. */
TEST(rule_3_a_living_key_is_used_after_a_long_stop)
{
	struct scene s;

	scene_open(&s, "long-stop", "keyed");
	dies_at(&s, "intent.committed:1:kill", 1200000);
	rest(&s);
	is(&s, "published");
	CHECK_INT(count(&s, "SELECT key_number FROM operation WHERE kind = 'publish'"), 1);
	CHECK_INT(count(&s, "SELECT COUNT(*) FROM event WHERE type IN ('delivery.overdue', 'delivery.unconfirmed')"), 0);
	judge(&s);
}

/* ---- 4, 5: settle ------------------------------------------------------------------------------------------ */

/* It takes effect four seconds after its connection was cut, and is found after the six that platform and search may
 * take.  Looked for any earlier it would be called absent and sent a second time.  Real time: nothing jumps. */
TEST(rule_5_what_takes_effect_late_is_waited_for)
{
	static const char *const types[] = {"keyed", "handle", "search", "none"};
	static const char *const texts[] = {"[[delayed:500ms]]", "[[delayed:500ms]]", "[[delayed:4s]]", "[[delayed:500ms]]"};
	struct scene s;

	scene_open(&s, "late-0", "keyed");
	for (int i = 0; i < 4; i++) {
		char text[60];

		driver_must(&s.d, "connect late-%d %s", i, types[i]);
		snprintf(s.con, sizeof s.con, "%s", driver_answer(&s.d));
		snprintf(text, sizeof text, "%s %s", types[i], texts[i]);
		post(&s, text);
	}
	waits_for(&s, "SELECT COUNT(*) = 3 FROM delivery WHERE state = 'published'");
	s.name = "late-0";
	rest(&s);
	CHECK_INT(rig_ledger(stage.url, "late-0 ", NULL, 0), 4);
	judge(&s);
}

/* The platform's search lags longer than it says: the first look after the settle time does not see the post, the
 * second does. */
TEST(rule_5_one_look_is_not_enough)
{
	struct scene s;

	scene_open(&s, "lagging", "search");
	settings(&s, "search", ",\"search_lag_ms\":9000");
	post(&s, "[[reset:after]]");
	rest(&s);
	CHECK_INT(ledger(&s), 1);
	is(&s, "published");
	judge(&s);
}

/* ---- 6: the key's window ----------------------------------------------------------------------------------- */

/* Killed with a keyed request under way, started again more than its hour later: the platform has forgotten the key. */
static void window(const char *name, const char *place, int sent)
{
	struct scene s;

	scene_open(&s, name, "keyed");
	dies_at(&s, place, 3700000);
	CHECK_INT(ledger(&s), sent);
	rest(&s);
	CHECK_INT(ledger(&s), 1);
	is(&s, "published");
	judge(&s);
}

TEST(rule_6_an_old_key_is_not_used_after_a_send) { window("window-sent", "send.done:1:kill", 1); }
TEST(rule_6_an_old_key_is_not_used_before_a_send) { window("window-unsent", "intent.committed:1:kill", 0); }

/* The same, and meanwhile somebody set our clock, and ours alone: by that clock the key is young, or from the future.
 * Told the age of a key by the wall clock, the engine sends it again, and the platform publishes a second time. */
static void window_set(const char *name, int64_t ms, int64_t set_ms)
{
	struct scene s;

	scene_open(&s, name, "keyed");
	driver_kill(&s.d);
	CHECK(driver_start(&s.d, &stage, s.name, &(struct drive){.own_clock = true, .failpoint = "send.done:1:kill"}) == CAME_LINE);
	driver_tell(&s.d, "post %s %s x", s.con, s.name);
	while (s.d.pid > 0 && driver_await(&s.d, 20000) == CAME_LINE)
		;
	CHECK_INT(ledger(&s), 1);
	store_text(&stage, s.name, s.dlv, sizeof s.dlv, "SELECT id FROM delivery");
	warp_map(stage.clock);
	warp_add(ms);
	warp_map(s.d.clock);
	warp_add(ms);
	warp_set(set_ms);
	CHECK(driver_start(&s.d, &stage, s.name, &(struct drive){.own_clock = true}) == CAME_LINE);
	rest(&s);
	CHECK_INT(ledger(&s), 1);
	is(&s, "published");
	judge(&s);
}

TEST(rule_6_a_clock_set_back_makes_no_key_young) { window_set("set-back", 3700000, -3000000); }
TEST(rule_6_a_clock_set_back_a_day_makes_no_key_young) { window_set("set-back-a-day", 3700000, -86400000); }
TEST(rule_6_a_clock_set_ahead_a_day) { window_set("set-ahead", 60000, 86400000); }

/* ---- 8: transient errors before the commit ------------------------------------------------------------------ */

TEST(rule_8_a_container_that_cannot_be_made_now_is_made_later)
{
	struct scene s;

	scene_open(&s, "transient", "handle");
	rig_control(stage.url, "/control/fail", "{\"route\":\"/v1/containers\",\"status\":503,\"count\":5}");
	post(&s, "x");
	rest(&s);
	is(&s, "published");
	CHECK(count(&s, "SELECT COUNT(*) FROM attempt WHERE status = 503") == 5);
	judge(&s);
}

TEST(rule_8_after_many_tries_it_fails_aloud)
{
	struct scene s;

	scene_open(&s, "given-up", "handle");
	rig_control(stage.url, "/control/fail", "{\"route\":\"/v1/containers\",\"status\":503,\"count\":100}");
	post(&s, "x");
	rest(&s);
	is(&s, "failed");
	CHECK_INT(count(&s, "SELECT COUNT(*) FROM event WHERE type = 'delivery.failed'"), 1);
	rig_control(stage.url, "/control/reset", "{}");
	judge(&s);
}

/* ---- 9: fairness ------------------------------------------------------------------------------------------- */

TEST(rule_9_a_busy_organization_does_not_starve_another)
{
	struct scene s;
	static struct rig_entry e[2100];
	int n, last = 0;

	scene_open(&s, "busy", "keyed");
	driver_kill(&s.d);
	setenv("RIG_ROOM", "8", 1);
	CHECK(driver_start(&s.d, &stage, s.name, NULL) == CAME_LINE);
	unsetenv("RIG_ROOM");
	driver_must(&s.d, "clone %s 19", s.con);
	for (int i = 0; i < 20; i++) {
		store_text(&stage, s.name, s.con, sizeof s.con, "SELECT id FROM connection ORDER BY id LIMIT 1 OFFSET %d", i);
		driver_must(&s.d, "many %s 100 busy fair %d:", s.con, i);
	}
	driver_must(&s.d, "organization Small");
	driver_must(&s.d, "connect small keyed");
	snprintf(s.con, sizeof s.con, "%s", driver_answer(&s.d));
	driver_must(&s.d, "many %s 5 small fair", s.con);
	rest(&s);
	n = rig_ledger(stage.url, " fair ", e, 2100);
	CHECK_INT(n, 2005);
	for (int i = 0; i < n; i++)
		if (strncmp(e[i].text, "small", 5) == 0)
			last = i;
	CHECK_SAY(last < n / 2, "the small one's last post is number %d of %d", last, n);
	CHECK_INT(count(&s, "SELECT COUNT(*) FROM delivery WHERE state <> 'published'"), 0);
	driver_kill(&s.d);
}

/* Ten that hang until they time out; the others are published meanwhile. */
TEST(rule_9_those_that_hang_do_not_hold_the_others)
{
	struct scene s;
	int64_t first_hung, last_quick;

	scene_open(&s, "hangs", "none");
	driver_must(&s.d, "clone %s 19", s.con);
	for (int i = 0; i < 20; i++) {
		store_text(&stage, s.name, s.con, sizeof s.con, "SELECT id FROM connection ORDER BY id LIMIT 1 OFFSET %d", i);
		driver_must(&s.d, "post %s hangs %d %s", s.con, i, i < 10 ? "[[timeout]]" : "");
	}
	rest(&s);
	first_hung = count(&s, "SELECT MIN(unconfirmed_at) FROM delivery WHERE unconfirmed_at IS NOT NULL");
	last_quick = count(&s, "SELECT MAX(published_at) FROM delivery");
	CHECK_INT(count(&s, "SELECT COUNT(*) FROM delivery WHERE state = 'published'"), 10);
	CHECK(last_quick < first_hung);
	judge(&s);
}

/* ---- 10: order --------------------------------------------------------------------------------------------- */

/* Killed twice in the midst of it, and still in order. */
TEST(rule_10_posts_of_one_account_keep_their_order)
{
	struct scene s;
	static struct rig_entry e[40];
	char text[40];

	scene_open(&s, "order", "keyed");
	driver_must(&s.d, "many %s 40 order", s.con);
	for (int i = 0; i < 2; i++) {
		again(&s, "send.done:9:kill");
		while (s.d.pid > 0 && driver_await(&s.d, 20000) == CAME_LINE)
			;
		CHECK(driver_start(&s.d, &stage, s.name, NULL) == CAME_LINE);
	}
	rest(&s);
	CHECK_INT(rig_ledger(stage.url, "order ", e, 40), 40);
	for (int i = 0; i < 40; i++) {
		snprintf(text, sizeof text, "order %d.", i);
		CHECK_STR(e[i].text, text);
	}
	judge(&s);
}

/* ---- 13: late policies ------------------------------------------------------------------------------------- */

TEST(rule_13_what_was_missed_is_published_skipped_or_held)
{
	static const char *const ends[][2] = {{"publish", "published"}, {"skip", "skipped"}, {"hold", "blocked"}};
	struct scene s;
	char text[40], state[32];

	scene_open(&s, "missed", "keyed");
	driver_kill(&s.d);
	for (int i = 0; i < 3; i++) {
		snprintf(text, sizeof text, "missed %s.", ends[i][0]);
		store_post(&stage, s.name, s.con, text, s.dlv);
		store_run(&stage, s.name, "UPDATE delivery SET on_missed = %Q, scheduled_at = due_at, late_after = due_at + 21600000 WHERE id = %Q",
			  ends[i][0], s.dlv);
	}
	driver_warp(&s.d, 7 * 3600 * 1000);
	again(&s, NULL);
	rest(&s);
	for (int i = 0; i < 3; i++) {
		store_text(&stage, s.name, state, sizeof state, "SELECT state FROM delivery WHERE on_missed = %Q", ends[i][0]);
		CHECK_STR(state, ends[i][1]);
	}
	judge(&s);
}

/* What was begun is not late, however long the server was down: its container is there, its time had come. */
TEST(rule_13_what_was_begun_is_not_missed)
{
	struct scene s;

	scene_open(&s, "begun", "handle");
	driver_kill(&s.d);
	store_post(&stage, s.name, s.con, "begun x", s.dlv);
	store_run(&stage, s.name, "UPDATE delivery SET on_missed = 'skip', scheduled_at = due_at, late_after = due_at + 21600000");
	(void)driver_start(&s.d, &stage, s.name, &(struct drive){.failpoint = "send.done:2:kill"});
	while (s.d.pid > 0 && driver_await(&s.d, 20000) == CAME_LINE)
		;
	is(&s, "processing");
	driver_warp(&s.d, 7 * 3600 * 1000);
	again(&s, NULL);
	rest(&s);
	is(&s, "published");
	judge(&s);
}

/* ---- reloads, clocks --------------------------------------------------------------------------------------- */

TEST(a_provider_is_reloaded_while_it_works)
{
	struct scene s;

	scene_open(&s, "reload", "handle");
	driver_must(&s.d, "clone %s 9", s.con);
	for (int i = 0; i < 10; i++) {
		store_text(&stage, s.name, s.con, sizeof s.con, "SELECT id FROM connection ORDER BY id LIMIT 1 OFFSET %d", i);
		driver_must(&s.d, "many %s 10 reload %d:", s.con, i);
	}
	for (int i = 0; i < 15; i++)
		driver_must(&s.d, "reload");
	rest(&s);
	CHECK_INT(count(&s, "SELECT COUNT(*) FROM delivery WHERE state = 'published'"), 100);
	judge(&s);
}

/* A server whose clock is wrong by an hour, either way: a post whose answer is lost is found or left to a person. */
static void wrong_clock(const char *name, int64_t ms)
{
	struct scene s;

	scene_open(&s, name, "search");
	driver_kill(&s.d);
	CHECK(driver_start(&s.d, &stage, s.name, &(struct drive){.own_clock = true}) == CAME_LINE);
	driver_warp(&s.d, ms);
	driver_must(&s.d, "wake");
	post(&s, "[[reset:after]]");
	rest(&s);
	CHECK_INT(ledger(&s), 1);
	judge(&s);
}

TEST(a_clock_an_hour_ahead_publishes_nothing_twice) { wrong_clock("ahead", 3600000); }
TEST(a_clock_an_hour_behind_publishes_nothing_twice) { wrong_clock("behind", -3600000); }
