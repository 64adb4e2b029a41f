/*
 * Threads and first comments through the engine: each part answers to the one before it at the platform, by every
 * type of account; a thread that is cut off stays cut off; what waits for an unknown parent goes on when it is found.
 * The oracle is the sandbox's ledger.
 */
#include "tests/unit/test.h"

#include "core/base/arena.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include "tests/rig/rig.h"

static struct rig rig;
static const char *const types[] = {"keyed", "handle", "search", "none"};
static char accounts[4][ID_MAX];

static void setup(void)
{
	if (rig.engine != NULL)
		return;
	rig_begin(&rig, "thread");
	rig_open(&rig);
	for (int i = 0; i < 4; i++)
		rig_connect(&rig, types[i], types[i], accounts[i]);
}

static void thread(int type, const char *text, int items, bool comment, struct rig_thread *ret)
{
	setup();
	*ret = (struct rig_thread){.connection = accounts[type], .text = text, .items = items, .comment = comment};
	rig_write(&rig, rig_thread_write, ret);
	engine_wake(rig.engine);
}

static void post_is(const struct rig_thread *t, const char *status)
{
	char got[64];

	rig_wait(&rig, "SELECT status FROM post WHERE id = ?1", t->post, status, got);
	CHECK_STR(got, status);
}

/* The parts in their order, as "published published skipped". */
static void parts_are(const struct rig_thread *t, const char *wanted)
{
	char got[64];

	rig_wait(&rig, "SELECT (SELECT GROUP_CONCAT(state, ' ') FROM (SELECT state FROM delivery WHERE post_id = p.id"
		 " ORDER BY parent_delivery_id IS NOT NULL, ordinal)) FROM post p WHERE p.id = ?1", t->post, wanted, got);
	CHECK_STR(got, wanted);
}

/* ---- the far side ------------------------------------------------------------------------------------- */

struct row { char id[ID_MAX], parent[ID_MAX]; int count; };

static struct row row(const char *text)
{
	struct row r = {.count = 0};
	struct arena a;
	struct buf out;
	struct jv data;
	struct cx cx;

	cx_init(&cx, "test");
	arena_init(&a, 16u << 20);
	buf_init(&out, 1u << 20);
	CHECK_INT(rig_call(rig.sandbox_url, "/control/ledger", NULL, &out, NULL, 0), 200);
	CHECK_INT(json_parse(&cx, &a, out.data, out.len, &data), RC_OK);
	data = json_get(data, "data");
	for (size_t i = 0; i < json_count(data); i++) {
		struct jv e = json_at(data, i);

		if (!text_eq(json_text(json_get(e, "text")), text))
			continue;
		r.count++;
		snprintf(r.id, ID_MAX, "%s", json_text(json_get(e, "post_id")));
		snprintf(r.parent, ID_MAX, "%s", json_text_or(json_get(e, "parent_id"), ""));
	}
	buf_free(&out);
	arena_free(&a);
	return r;
}

static struct row once(const char *text)
{
	struct row r = row(text);

	CHECK_SAY(r.count == 1, "\"%s\" is there %d times", text, r.count);
	return r;
}

/* ---- tests -------------------------------------------------------------------------------------------- */

TEST(each_part_answers_to_the_one_before)
{
	static struct rig_thread t[4];
	static char text[4][40];
	char part[200];

	for (int i = 0; i < 4; i++) {
		snprintf(text[i], sizeof text[i], "whole of %s", types[i]);
		thread(i, text[i], 2, true, &t[i]);
	}
	for (int i = 0; i < 4; i++) {
		struct row root, two, three;

		post_is(&t[i], "published");
		root = once(text[i]);
		CHECK_STR(root.parent, "");
		snprintf(part, sizeof part, "%s 2", text[i]);
		two = once(part);
		CHECK_STR(two.parent, root.id);
		snprintf(part, sizeof part, "%s 3", text[i]);
		three = once(part);
		CHECK_STR(three.parent, two.id);
		snprintf(part, sizeof part, "%s c", text[i]);
		CHECK_STR(once(part).parent, root.id);
	}
}

static enum rc spoil_write(struct cx *cx, struct db_conn *c, void *arg)
{
	const char *const *k = arg;

	db_run(c, "UPDATE delivery SET text = text || ?3 WHERE post_id = ?1 AND ordinal = CAST(?2 AS INTEGER) AND (?2 = '0') ="
	       " (parent_delivery_id IS NULL)", "sss", k[0], k[1], k[2]);
	return db_fail(cx, c);
}

/* A thread one of whose parts (0: the post) has further words. */
struct spoilt { struct rig_thread t; const char *part, *words; };

static enum rc spoilt_write(struct cx *cx, struct db_conn *c, void *arg)
{
	struct spoilt *k = arg;
	enum rc rc = rig_thread_write(cx, c, &k->t);
	const char *what[] = {k->t.post, k->part, k->words};

	return rc == RC_OK ? spoil_write(cx, c, what) : rc;
}

static void spoilt(int type, const char *text, const char *part, const char *words, struct rig_thread *ret)
{
	struct spoilt k = {{.connection = accounts[type], .text = text, .items = 2, .comment = true}, part, words};

	setup();
	rig_write(&rig, spoilt_write, &k);
	engine_wake(rig.engine);
	*ret = k.t;
}

TEST(a_thread_that_is_cut_off_tells_the_truth_about_each_part)
{
	struct rig_thread t;

	setup();
	spoilt(0, "cut off", "1", " [[reject:policy]]", &t);
	post_is(&t, "partially_published");
	parts_are(&t, "published failed skipped published");
	once("cut off");
	once("cut off c");
	CHECK_INT(row("cut off 3").count, 0);
}

TEST(a_thread_whose_post_fails_sends_nothing)
{
	struct rig_thread t;

	setup();
	spoilt(1, "stillborn", "0", " [[reject:policy]]", &t);
	post_is(&t, "failed");
	parts_are(&t, "failed skipped skipped skipped");
	CHECK_INT(rig_ledger(rig.sandbox_url, "stillborn", NULL, 0), 0);
}

TEST(a_parent_that_was_lost_and_found_releases_its_children)
{
	static struct rig_thread t[3];
	static const char *const texts[] = {"lost a", "lost b", "lost c"};

	setup();
	for (int i = 0; i < 3; i++)
		spoilt(i, texts[i], "0", " [[reset:after]]", &t[i]);
	for (int i = 0; i < 3; i++) {
		char part[200];
		struct row root;

		post_is(&t[i], "published");
		snprintf(part, sizeof part, "%s [[reset:after]]", texts[i]);
		root = once(part);
		snprintf(part, sizeof part, "%s 2", texts[i]);
		CHECK_STR(once(part).parent, root.id);
	}
}

TEST(children_wait_as_long_as_nobody_knows)
{
	struct rig_thread t;

	setup();
	spoilt(3, "unknown", "0", " [[reset:after]]", &t);
	post_is(&t, "needs_attention");
	parts_are(&t, "unconfirmed pending pending pending");
	CHECK_INT(rig_ledger(rig.sandbox_url, "unknown", NULL, 0), 1);
}

TEST(an_item_that_was_lost_and_found_goes_on_with_the_next)
{
	struct rig_thread t;
	struct row two;

	setup();
	spoilt(2, "middle", "1", " [[reset:after]]", &t);
	post_is(&t, "published");
	two = once("middle 2 [[reset:after]]");
	CHECK_STR(once("middle 3").parent, two.id);
}
