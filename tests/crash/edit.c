/*
 * Edits under kill -9: at every commit and every send of an edit, by each repeat behaviour, then a restart that works
 * until everything rests.  The far side's own ledger says how often the post was edited; what our rows say must agree:
 * done means that it has the new content, and "not edited" may be said only of one that has it not.
 */
#include "tests/unit/test.h"

#include "tests/rig/stage.h"

enum { KEYED, HANDLE, SEARCH, NONE, TYPES };
static const char *const types[TYPES] = {"keyed", "handle", "search", "none"};
static const char *const points[] = {"commit.run", "db.after_commit", "commit.done", "intent.committed", "send.done"};
#define PASSES_MAX 12
#define REST "rest 150000"

static struct stage stage;
static char connections[TYPES][ID_MAX];

static void stage_gone(void)
{
	stage_close(&stage);
}

static void begin(void)
{
	struct driver d;

	if (stage.sandbox != 0)
		return;
	stage_open(&stage);
	atexit(stage_gone);
	CHECK(driver_start(&d, &stage, "template", NULL) == CAME_LINE);
	for (int i = 0; i < TYPES; i++) {
		driver_must(&d, "connect %s %s", types[i], types[i]);
		snprintf(connections[i], ID_MAX, "%s", driver_answer(&d));
	}
	driver_quit(&d);
}

struct cell { char store[40], before[60], after[60], delivery[ID_MAX]; int type; struct driver d; };

static void cell_open(struct cell *c, int type, const char *where, int n)
{
	static int number;

	memset(c, 0, sizeof *c);
	c->type = type;
	snprintf(c->store, sizeof c->store, "edit-%d", number++);
	snprintf(c->before, sizeof c->before, "before, %s %d, cell %s.", where, n, c->store);
	snprintf(c->after, sizeof c->after, "after, %s.", c->store);
	store_copy(&stage, "template", c->store);
	CHECK(driver_start(&c->d, &stage, c->store, NULL) == CAME_LINE);
	driver_must(&c->d, "post %s %s", connections[type], c->before);
	snprintf(c->delivery, sizeof c->delivery, "%s", driver_answer(&c->d));
	driver_must(&c->d, REST);
	driver_quit(&c->d);
}

/* The edit under a failpoint.  True: it struck. */
static bool cell_strike(struct cell *c, const char *failpoint)
{
	enum came came = driver_start(&c->d, &stage, c->store, &(struct drive){.failpoint = failpoint});

	if (came == CAME_LINE)
		came = driver_say(&c->d, "change %s %s", c->delivery, c->after);
	if (came == CAME_LINE)
		came = driver_say(&c->d, REST);
	if (came != CAME_DEATH)
		driver_kill(&c->d);
	return came == CAME_DEATH;
}

static void cell_judge(struct cell *c, const char *where, int n)
{
	char last[512], status[32], code[64], text[128];
	int edits = rig_edits(stage.url, c->before, last);
	bool unknown;

	store_text(&stage, c->store, status, sizeof status, "SELECT status FROM operation WHERE kind = 'edit' AND delivery_id = %Q", c->delivery);
	store_text(&stage, c->store, code, sizeof code, "SELECT COALESCE(json_extract(error, '$.code'), '') FROM operation WHERE kind = 'edit'"
		   " AND delivery_id = %Q", c->delivery);
	store_text(&stage, c->store, text, sizeof text, "SELECT text FROM delivery WHERE id = %Q", c->delivery);
	unknown = strcmp(code, "edit_outcome_unknown") == 0;
	CHECK_INT(rig_ledger(stage.url, c->before, NULL, 0), 1);
	CHECK_SAY(c->type == HANDLE || edits <= 1, "%s: %d edits", c->before, edits);
	if (status[0] == '\0') {	/* killed before it was accepted */
		CHECK_INT(edits, 0);
		return;
	}
	if (strcmp(status, "done") == 0) {
		CHECK_SAY(edits >= 1 && strcmp(last, c->after) == 0 && strcmp(text, c->after) == 0, "%s %s %d: done, and it has %s, we %s",
			  types[c->type], where, n, last, text);
	} else {
		CHECK_STR(status, "failed");
		CHECK_SAY(unknown || edits == 0, "%s %s %d: %s, and it was edited", types[c->type], where, n, code);
		CHECK_SAY(unknown ? c->type == NONE : c->type == SEARCH, "%s %s %d: %s", types[c->type], where, n, code);
		CHECK_STR(text, c->before);
		CHECK_INT(store_int(&stage, c->store, "SELECT COUNT(*) FROM event WHERE type = 'delivery.edit_failed'"), 1);
	}
}

static void strike_everywhere(int type)
{
	int struck = 0;

	begin();
	for (size_t p = 0; p < sizeof points / sizeof points[0]; p++)
		for (int n = 1; n <= PASSES_MAX; n++) {
			struct cell c;
			char fail[80];
			bool hit;

			snprintf(fail, sizeof fail, "%s:%d:kill", points[p], n);
			cell_open(&c, type, points[p], n);
			hit = cell_strike(&c, fail);
			stage_settled(&stage);
			CHECK(driver_start(&c.d, &stage, c.store, NULL) == CAME_LINE);
			driver_must(&c.d, REST);
			driver_kill(&c.d);
			cell_judge(&c, points[p], n);
			store_drop(&stage, c.store);
			struck += hit;
			if (!hit)
				break;
		}
	CHECK_SAY(struck >= 4, "only %d places struck", struck);
}

/* It had begun: the restart cannot go on, and must not say that nothing was changed. */
TEST(a_restart_that_cannot_go_on_tells_the_doubt)
{
	static const struct { const char *fail, *code; } ends[] = {
		{"send.done:1:kill", "edit_outcome_unknown"}, {"commit.run:1:kill", "conflict"},
	};

	begin();
	for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
		struct cell c;
		char code[64];

		cell_open(&c, HANDLE, "doubt", (int)i);
		CHECK(cell_strike(&c, ends[i].fail));
		stage_settled(&stage);
		store_run(&stage, c.store, "UPDATE connection SET paused = 1");
		CHECK(driver_start(&c.d, &stage, c.store, NULL) == CAME_LINE);
		driver_must(&c.d, REST);
		driver_kill(&c.d);
		store_text(&stage, c.store, code, sizeof code, "SELECT json_extract(error, '$.code') FROM operation WHERE kind = 'edit'"
			   " AND delivery_id = %Q", c.delivery);
		CHECK_STR(code, ends[i].code);
	}
}

TEST(a_keyed_edit_is_made_once) { strike_everywhere(KEYED); }
TEST(a_safe_edit_is_repeated_until_it_is_there) { strike_everywhere(HANDLE); }
TEST(an_edit_sent_once_is_looked_for) { strike_everywhere(SEARCH); }
TEST(an_edit_nobody_can_look_for_is_told_as_unknown) { strike_everywhere(NONE); }
