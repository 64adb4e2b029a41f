/*
 * Threads under kill -9: a post with a further item and a comment, killed at every pass of every place between its
 * parts; after a restart without faults each part is there once, below the one it belongs to.
 *
 * The place that matters most is the commit in which a parent is published and its children are queued: they are one
 * transaction, so there is no moment in which one has happened without the other.
 */
#include "tests/unit/test.h"

#include "tests/rig/stage.h"

#define PASSES_MAX 60
#define PARTS 3

enum { KEYED, HANDLE, SEARCH, TYPES };
static const char *const types[TYPES] = {"keyed", "handle", "search"};

static struct stage stage;
static char connections[TYPES][ID_MAX];

static void stage_gone(void) { stage_close(&stage); }

static void begin(void)
{
	struct driver d;
	char json[120];

	if (stage.sandbox != 0)
		return;
	stage_open(&stage);
	atexit(stage_gone);
	CHECK(driver_start(&d, &stage, "template", NULL) == CAME_LINE);
	for (int i = 0; i < TYPES; i++) {
		snprintf(json, sizeof json, "{\"name\":\"%s\",\"type\":\"%s\",\"expires_in\":500000000}", types[i], types[i]);
		rig_control(stage.url, "/control/accounts", json);
		driver_must(&d, "connect %s %s", types[i], types[i]);
		snprintf(connections[i], ID_MAX, "%s", driver_answer(&d));
	}
	driver_quit(&d);
}

/* The text of a part; 0: the post. */
static const char *part_of(const char *text, int part)
{
	static char ring[4][100];
	static int next;
	static const char *const behind[PARTS] = {"", " 2", " c"};

	next = (next + 1) % 4;
	snprintf(ring[next], sizeof ring[next], "%s%s", text, behind[part]);
	return ring[next];
}

static const struct rig_entry *row(const struct rig_entry *rows, int n, const char *text)
{
	const struct rig_entry *found = NULL;

	for (int i = 0; i < n; i++) {
		if (strcmp(rows[i].text, text) != 0)
			continue;
		CHECK_SAY(found == NULL, "\"%s\" is there twice", text);
		found = &rows[i];
	}
	CHECK_SAY(found != NULL, "\"%s\" is not there", text);
	return found;
}

static void check_far_side(const char *text)
{
	static struct rig_entry rows[50];
	int n = rig_ledger(stage.url, text, rows, 50);
	const char *root;

	CHECK_SAY(n == PARTS, "%s: %d posts, not %d", text, n, PARTS);
	root = row(rows, n, part_of(text, 0))->post_id;
	CHECK_STR(row(rows, n, part_of(text, 1))->parent_id, root);
	CHECK_STR(row(rows, n, part_of(text, 2))->parent_id, root);
}

/* Killed at the n-th pass of a place; false: it has fewer. */
static bool cell(int type, const char *where, int n)
{
	static int number;
	char store[40], text[60], fail[80];
	const char *fault;
	struct driver d;
	enum came came;

	snprintf(store, sizeof store, "thread-%d", ++number);
	snprintf(text, sizeof text, "%s %s %d.", types[type], where, n);
	snprintf(fail, sizeof fail, "%s:%d:kill", where, n);
	store_copy(&stage, "template", store);
	CHECK(driver_start(&d, &stage, store, NULL) == CAME_LINE);
	driver_must(&d, "thread %s 1 %s", connections[type], text);
	driver_kill(&d);
	stage_settled(&stage);
	came = driver_start(&d, &stage, store, &(struct drive){.failpoint = fail});
	if (came == CAME_LINE)
		came = driver_say(&d, "rest 150000");
	if (d.pid == 0) {
		stage_settled(&stage);
		CHECK(driver_start(&d, &stage, store, NULL) == CAME_LINE);
		driver_must(&d, "rest 150000");
	}
	driver_kill(&d);
	fault = stage_judge(&stage, store, text);
	CHECK_SAY(fault == NULL, "%s: %s", text, fault);
	CHECK_INT(store_int(&stage, store, "SELECT COUNT(*) FROM delivery WHERE state = 'published'"), PARTS);
	check_far_side(text);
	store_drop(&stage, store);
	return came == CAME_DEATH;
}

static void series(const char *where, int least)
{
	begin();
	for (int type = 0; type < TYPES; type++) {
		int n = 1;

		while (n < PASSES_MAX && cell(type, where, n))
			n++;
		CHECK_SAY(n - 1 >= least, "%s of %s is passed %d times only", where, types[type], n - 1);
	}
}

TEST(killed_before_a_commit) { series("db.before_commit", 5); }
TEST(killed_after_a_commit) { series("db.after_commit", 5); }
TEST(killed_when_a_commit_was_told) { series("commit.done", 5); }
TEST(killed_after_a_send) { series("send.done", 3); }
