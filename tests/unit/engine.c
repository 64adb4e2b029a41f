/*
 * The engine against the sandbox platform: connect, publish by each dedupe behaviour, lost and lying answers.
 * The oracle is the sandbox's ledger.  The program starts its own sandbox and engine in one folder.
 */
#include "tests/unit/test.h"

#include "tests/rig/rig.h"

static struct rig rig;

static void setup(void)
{
	if (rig.engine != NULL)
		return;
	rig_begin(&rig, "engine");
	rig_open(&rig);
}

static void post(const char *connection, const char *text, struct rig_post *w)
{
	rig_post(&rig, connection, text, w);
}

static int ledger(const char *text)
{
	return rig_ledger(rig.sandbox_url, text, NULL, 0);
}

static void ends(const struct rig_post *w, const char *state)
{
	char got[64];

	rig_wait(&rig, "SELECT state FROM delivery WHERE id = ?1", w->delivery, state, got);
	CHECK_STR(got, state);
}

/* ---- tests --------------------------------------------------------------------------------------------- */

static const char *const types[] = {"keyed", "handle", "search", "none"};
static char accounts[4][ID_MAX];

static const char *account(int i)
{
	setup();
	if (accounts[i][0] == '\0')
		rig_connect(&rig, types[i], types[i], accounts[i]);
	return accounts[i];
}

TEST(publishes_by_each_type)
{
	struct rig_post w;
	char text[64];

	for (int i = 0; i < 4; i++) {
		snprintf(text, sizeof text, "plain words %s", types[i]);
		post(account(i), text, &w);
		ends(&w, "published");
		CHECK_INT(ledger(text), 1);
	}
}

/* What each type becomes after each kind of bad answer, and how often the far side has it. */
static const struct { const char *magic; const char *state[4]; int posts[4]; } fates[] = {
	{"[[reset:after]]", {"published", "published", "published", "unconfirmed"}, {1, 1, 1, 1}},
	{"[[timeout]]", {"published", "published", "published", "unconfirmed"}, {1, 1, 1, 1}},
	{"[[lie:503]]", {"published", "published", "published", "unconfirmed"}, {1, 1, 1, 1}},
	{"[[lie:200]]", {"published", "published", "published", "unconfirmed"}, {1, 1, 1, 1}},
	{"[[lie:reject]]", {"published", "published", "published", "unconfirmed"}, {1, 1, 1, 1}},
	{"[[reject:policy]]", {"failed", "failed", "failed", "failed"}, {0, 0, 0, 0}},
	{"[[fail:rate_limited:once]]", {"published", "published", "published", "published"}, {1, 1, 1, 1}},
	{"[[fail:auth]]", {"published", "published", "published", "published"}, {1, 1, 1, 1}},
};

TEST(meets_each_bad_answer)
{
	enum { N = sizeof fates / sizeof fates[0] };
	static struct rig_post w[N][4];
	static char text[N][4][96];

	for (int f = 0; f < N; f++)
		for (int i = 0; i < 4; i++) {
			snprintf(text[f][i], sizeof text[f][i], "fate %d of %s %s", f, types[i], fates[f].magic);
			post(account(i), text[f][i], &w[f][i]);
		}
	for (int f = 0; f < N; f++)
		for (int i = 0; i < 4; i++) {
			ends(&w[f][i], fates[f].state[i]);
			CHECK_INT(ledger(text[f][i]), fates[f].posts[i]);
		}
}

/* What is sent again must be the request, not what the provider said to its answer. */
TEST(repeats_a_request_that_may_be_repeated)
{
	struct rig_post w;
	char other[ID_MAX];

	account(1);
	rig_control(rig.sandbox_url, "/control/expire", "{\"account\":\"handle\"}");
	post(account(1), "with a token that has ended", &w);
	ends(&w, "published");
	CHECK_INT(ledger("with a token that has ended"), 1);
	rig_control(rig.sandbox_url, "/control/fail", "{\"route\":\"/v1/me\",\"status\":503,\"count\":1}");
	rig_connect(&rig, "other", "keyed", other);
}

/* ---- whose post it is ---------------------------------------------------------------------------------- */

struct claimed { const struct rig_post *of; const char *remote_id; };

static enum rc taken_write(struct cx *cx, struct db_conn *c, void *arg)
{
	const struct claimed *k = arg;

	db_run(c, "UPDATE delivery SET state = 'published', remote_id = ?2, due_at = NULL WHERE id = ?1", "ss", k->of->delivery, k->remote_id);
	return db_fail(cx, c);
}

static enum rc look_write(struct cx *cx, struct db_conn *c, void *arg)
{
	db_run(c, "UPDATE delivery SET due_at = 1 WHERE id = ?1 AND state = 'unconfirmed'", "s", ((const struct rig_post *)arg)->delivery);
	return db_fail(cx, c);
}

static void look_now(struct rig_post *w)
{
	rig_write(&rig, look_write, w);
	engine_wake(rig.engine);
}

TEST(what_another_delivery_has_is_not_found)
{
	const char *text = "the same words [[reset:after]]";
	struct rig_post lost, other = {.due = INT64_MAX / 2};
	struct rig_entry e;
	struct claimed k = {&other, e.post_id};
	char got[64];

	other.connection = account(2);
	other.text = text;
	rig_write(&rig, rig_post_write, &other);
	post(account(2), text, &lost);
	ends(&lost, "unconfirmed");
	CHECK_INT(rig_ledger(rig.sandbox_url, text, &e, 1), 1);
	rig_write(&rig, taken_write, &k);
	look_now(&lost);
	rig_wait(&rig, "SELECT CASE WHEN looks > 0 OR state <> 'unconfirmed' THEN state END FROM delivery WHERE id = ?1", lost.delivery,
		 "unconfirmed", got);
	CHECK_STR(got, "unconfirmed");
	k.remote_id = "another";
	rig_write(&rig, taken_write, &k);
	look_now(&lost);
	ends(&lost, "published");
}

/* ---- how soon ------------------------------------------------------------------------------------------ */

/* A platform may know a key only when it is done with what came with it. */
TEST(a_key_is_sent_again_when_the_first_request_can_have_no_effect_any_more)
{
	struct rig_post w;
	char got[64];
	int before;

	account(0);
	before = rig.conf.sandbox_settle_ms;
	rig.conf.sandbox_settle_ms = 6000;
	post(account(0), "slow there [[reset:before:once]]", &w);
	ends(&w, "published");
	rig.conf.sandbox_settle_ms = before;
	rig_wait(&rig, "SELECT CASE WHEN COUNT(*) = 2 AND MAX(sent_at) - MIN(sent_at) >= 6000 THEN 'waited' ELSE COUNT(*) || ' in '"
		 " || (MAX(sent_at) - MIN(sent_at)) END FROM attempt WHERE delivery_id = ?1", w.delivery, "waited", got);
	CHECK_STR(got, "waited");
}
