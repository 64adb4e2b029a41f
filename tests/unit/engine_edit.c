/*
 * The engine changes what is published, on the sandbox platform: by each repeat class, through lost and lying
 * answers, two at once, and against a removal.  The oracle is what the sandbox's ledger tells of a post's edits.
 */
#include "tests/unit/test.h"

#include "core/base/clock.h"
#include "core/model/post_write.h"
#include "tests/rig/rig.h"

static struct rig rig;
static const char *const types[] = {"keyed", "handle", "search", "none"};
static char accounts[4][ID_MAX];

static const char *account(int i)
{
	if (rig.engine == NULL) {
		rig_begin(&rig, "edit");
		rig_open(&rig);
	}
	if (accounts[i][0] == '\0')
		rig_connect(&rig, types[i], types[i], accounts[i]);
	return accounts[i];
}

static struct rig_post published(int i, const char *text)
{
	struct rig_post w;
	char got[64];

	rig_post(&rig, account(i), text, &w);
	CHECK_SAY(rig_wait(&rig, "SELECT state FROM delivery WHERE id = ?1", w.delivery, "published", got), "%s: %s", text, got);
	return w;
}

static void begin(const struct rig_post *w, const char *text, struct rig_edit *e)
{
	*e = (struct rig_edit){.delivery = w->delivery, .text = text};
	rig_write(&rig, rig_edit_write, e);
	engine_wake(rig.engine);
}

static void read_text(const char *sql, const char *id, char got[64])
{
	DB_READ_AUTO struct db_conn *c = db_take(rig.store.db);
	STMT_AUTO struct stmt *s = db_query(c, sql, "s", id);

	snprintf(got, 64, "%s", db_next(s) ? db_text_or(s, 0, "") : "");
}

#define ENDED "SELECT CASE status WHEN 'running' THEN 'running' ELSE 'over' END FROM operation WHERE id = ?1"
#define STATUS "SELECT status || COALESCE(substr(error, 1, 55), '') FROM operation WHERE id = ?1"

static void ends(const struct rig_edit *e, const char *status)
{
	char got[64];

	CHECK_SAY(rig_wait(&rig, ENDED, e->operation, "over", got), "%s is still running", e->text);
	read_text(STATUS, e->operation, got);
	CHECK_SAY(strncmp(got, status, strlen(status)) == 0, "%s: %s, not %s", e->text, got, status);
}

#define CODE "SELECT COALESCE(json_extract(error, '$.code'), '') FROM operation WHERE id = ?1"

static void has(const char *sql, const char *id, const char *wanted)
{
	char got[64];

	CHECK_SAY(rig_wait(&rig, sql, id, wanted, got), "%s is %s, not %s", sql, got, wanted);
}

/* ---- tests --------------------------------------------------------------------------------------------- */

TEST(edits_by_each_type)
{
	char before[80], after[80], text[512];

	for (int i = 0; i < 4; i++) {
		struct rig_post w;
		struct rig_edit e;

		snprintf(before, sizeof before, "first words by %s", types[i]);
		snprintf(after, sizeof after, "second words by %s", types[i]);
		w = published(i, before);
		begin(&w, after, &e);
		ends(&e, "done");
		CHECK_INT(rig_edits(rig.sandbox_url, before, text), 1);
		CHECK_STR(text, after);
		CHECK_INT(rig_ledger(rig.sandbox_url, before, NULL, 0), 1);
		has("SELECT text FROM delivery WHERE id = ?1", w.delivery, after);
		has("SELECT content_version || state FROM delivery WHERE id = ?1", w.delivery, "1published");
		has("SELECT json_extract(result, '$.\"extra.edits\"') FROM delivery WHERE id = ?1", w.delivery, "1");
		has("SELECT COUNT(json_extract(result, '$.remote_id')) FROM delivery WHERE id = ?1", w.delivery, "1");
		has("SELECT COUNT(*) FROM event WHERE type = 'delivery.edited' AND data LIKE '%' || ?1 || '%'", w.delivery, "1");
	}
}

#define MANY 2		/* at least: SAFE requests are repeated by us and by the HTTP client */

/* What each type's edit becomes after each kind of bad answer: its code ("" done), and whether the far side has it. */
static const struct { const char *magic, *code[4]; int edits[4]; } fates[] = {
	{"[[reset:after]]", {"", "edit_outcome_unknown", "", "edit_outcome_unknown"}, {1, MANY, 1, 1}},
	{"[[timeout:once]]", {"", "", "", "edit_outcome_unknown"}, {1, MANY, 1, 1}},
	{"[[reset:before]]", {"platform_unavailable", "edit_outcome_unknown", "platform_unavailable", "edit_outcome_unknown"}, {0, 0, 0, 0}},
	{"[[lie:503]]", {"", "edit_outcome_unknown", "", "edit_outcome_unknown"}, {1, MANY, 1, 1}},
	{"[[lie:200]]", {"", "edit_outcome_unknown", "", "edit_outcome_unknown"}, {1, MANY, 1, 1}},
	{"[[reject:policy]]", {"platform_rejected", "platform_rejected", "platform_rejected", "platform_rejected"}, {0, 0, 0, 0}},
	{"[[fail:rate_limited:once]]", {"", "", "", ""}, {1, 1, 1, 1}},
	{"[[fail:auth]]", {"", "", "", ""}, {1, 1, 1, 1}},
};

TEST(meets_each_bad_answer)
{
	enum { N = sizeof fates / sizeof fates[0] };
	static struct rig_post w[N][4];
	static struct rig_edit e[N][4];
	static char before[N][4][96], after[N][4][96];
	char text[512];

	for (int f = 0; f < N; f++)
		for (int i = 0; i < 4; i++) {
			snprintf(before[f][i], sizeof before[f][i], "before fate %d of %s.", f, types[i]);
			snprintf(after[f][i], sizeof after[f][i], "after fate %d of %s %s", f, types[i], fates[f].magic);
			w[f][i] = published(i, before[f][i]);
			begin(&w[f][i], after[f][i], &e[f][i]);
		}
	for (int f = 0; f < N; f++)
		for (int i = 0; i < 4; i++) {
			const char *code = fates[f].code[i];
			bool done = code[0] == '\0';
			int edits, wanted = fates[f].edits[i];

			ends(&e[f][i], done ? "done" : "failed");
			has(CODE, e[f][i].operation, code);
			edits = rig_edits(rig.sandbox_url, before[f][i], text);
			CHECK_SAY(edits == wanted || (wanted == MANY && edits >= MANY), "%s: %d edits", after[f][i], edits);
			has("SELECT text FROM delivery WHERE id = ?1", w[f][i].delivery, done ? after[f][i] : before[f][i]);
			has("SELECT COUNT(*) FROM event WHERE type = 'delivery.edit_failed' AND data LIKE '%' || ?1 || '%'", w[f][i].delivery,
			    done ? "0" : "1");
			has("SELECT COUNT(warnings) FROM delivery WHERE id = ?1", w[f][i].delivery,
			    strcmp(code, "edit_outcome_unknown") == 0 ? "1" : "0");
		}
}

TEST(an_edit_after_an_unknown_one_clears_the_doubt)
{
	struct rig_post w = published(3, "doubtful words");
	struct rig_edit e, again;

	begin(&w, "doubtful words, new [[reset:after]]", &e);
	ends(&e, "failed");
	has("SELECT json_extract(warnings, '$[0].code') FROM delivery WHERE id = ?1", w.delivery, "edit_outcome_unknown");
	begin(&w, "doubtful words, newer", &again);
	ends(&again, "done");
	has("SELECT COUNT(warnings) FROM delivery WHERE id = ?1", w.delivery, "0");
}

/* The first looks find the old words, and the request is still on its way. */
TEST(an_edit_that_comes_late_is_not_told_as_absent)
{
	struct rig_post w = published(2, "before the late one");
	struct rig_edit e;
	char text[512];

	begin(&w, "of a late one [[delayed:2500ms]]", &e);
	ends(&e, "done");
	CHECK_INT(rig_edits(rig.sandbox_url, "before the late one", text), 1);
}

TEST(one_edit_at_a_time)
{
	struct rig_post w = published(0, "edited by two");
	struct rig_edit first, same = {.delivery = w.delivery}, other = {.delivery = w.delivery, .text = "of the other"};

	begin(&w, "of the first [[slow:700ms]]", &first);
	same.text = first.text;
	CHECK(rig_try(&rig, rig_edit_write, &same));
	CHECK_STR(same.operation, first.operation);
	CHECK(!rig_try(&rig, rig_edit_write, &other));
	ends(&first, "done");
	begin(&w, "of the other", &other);
	ends(&other, "done");
	has("SELECT text FROM delivery WHERE id = ?1", w.delivery, "of the other");
}

static enum rc remove_write(struct cx *cx, struct db_conn *c, void *arg)
{
	struct rig_edit *k = arg;
	struct delivery d = {0};
	struct arena a ARENA_AUTO;

	arena_init(&a, 1u << 20);
	delivery_load(c, k->delivery, NULL, &a, &d);
	return delivery_unpublish(cx, c, &d, k->operation, clock_now());
}

TEST(a_removal_waits_for_the_edit_and_takes_what_it_left)
{
	struct rig_post w = published(1, "edited and removed");
	struct rig_edit e, gone = {.delivery = w.delivery, .text = "removal"}, late = {.delivery = w.delivery, .text = "too late"};

	begin(&w, "edited, then removed [[slow:700ms]]", &e);
	rig_write(&rig, remove_write, &gone);
	engine_wake(rig.engine);
	ends(&gone, "done");
	has("SELECT status FROM operation WHERE id = ?1", e.operation, "done");
	has("SELECT text || reason FROM delivery WHERE id = ?1", w.delivery, "edited, then removed [[slow:700ms]]unpublished");
	CHECK(!rig_try(&rig, rig_edit_write, &late));
}

struct pausing { const char *connection; int64_t paused; };

static enum rc pause_write(struct cx *cx, struct db_conn *c, void *arg)
{
	struct pausing *p = arg;

	db_run(c, "UPDATE connection SET paused = ?2, version = version + 1 WHERE id = ?1", "si", p->connection, p->paused);
	return db_fail(cx, c);
}

TEST(a_connection_that_cannot_be_used_refuses)
{
	struct rig_post w = published(0, "of a paused account");
	struct rig_edit e = {.delivery = w.delivery, .text = "while it is paused"};
	struct pausing p = {account(0), 1};

	rig_write(&rig, pause_write, &p);
	CHECK(!rig_try(&rig, rig_edit_write, &e));
	p.paused = 0;
	rig_write(&rig, pause_write, &p);
	begin(&w, "when it works again", &e);
	ends(&e, "done");
}

TEST(a_post_that_is_gone_at_the_platform_fails_clearly)
{
	struct rig_post w = published(1, "gone elsewhere");
	struct rig_edit e;

	begin(&w, "to a post that is gone [[fail:gone]]", &e);
	ends(&e, "failed");
	has(CODE, e.operation, "platform_rejected");
}
