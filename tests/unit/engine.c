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
