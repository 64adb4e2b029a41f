/*
 * Threads and first comments: children written with their post, released, skipped and brought back with their parent,
 * edited, canceled, retried.
 */
#include "tests/unit/post_rows.h"

#include "core/model/post_child.h"
#include "core/model/sweep.h"

static const struct post_child family[] = {
	{"thread", "two", "{\"options\":{},\"media\":[]}", NULL},
	{"thread", "three", "{\"options\":{},\"media\":[]}", NULL},
	{"first_comment", "comment", "{\"options\":{},\"media\":[]}", NULL},
};

/* A post of a thread of three with a comment; drafts and later ones too. */
static struct post_new *with_family(const char *mode, int64_t at, int children)
{
	struct post_new *p = fresh(mode, at, 1);

	p->targets[0].children = family + 3 - children;
	if (children == 2)
		p->targets[0].children = family;
	p->targets[0].child_count = children;
	post_hash(&p->targets[0], NULL, NULL);
	return p;
}

static const char *made(struct post_new *p)
{
	struct call k = {.run = do_create, .p = p};

	CHECK_SAY(call(&k) == RC_OK, "%s", k.cx.words);
	return p->id;
}

/* "root", "two", "three", "comment" of a post. */
static const char *member(const char *post_id, const char *text)
{
	struct db_conn *c = db_take(store.db);
	const char *id;

	{
		STMT_AUTO struct stmt *s = db_query(c, "SELECT id FROM delivery WHERE post_id = ?1 AND CASE WHEN ?2 = 'root'"
						    " THEN parent_delivery_id IS NULL ELSE text = ?2 END", "ss", post_id, text);

		id = db_next(s) ? db_dup(s, 0, &arena) : NULL;
	}
	db_give(c);
	CHECK_SAY(id != NULL, "no %s", text);
	return id;
}

static const char *state_of(const char *post_id, const char *text) { return delivery_state_name(delivery(member(post_id, text)).state); }

static int children_of(const char *post_id)
{
	struct db_conn *c = db_take(store.db);
	int n = (int)db_number(c, -1, "SELECT COUNT(*) FROM delivery WHERE post_id = ?1 AND parent_delivery_id IS NOT NULL", "s", post_id);

	db_give(c);
	return n;
}

/* The engine's part: one move of the state machine. */
struct step { const char *id, *remote_id; enum delivery_state to; };

static enum rc step_run(struct cx *cx, struct db_conn *c, void *arg)
{
	const struct step *k = arg;
	struct delivery d = delivery(k->id);
	struct delivery_move m = {.id = d.id, .owner = &d.owner, .from = d.state, .to = k->to, .remote_id = k->remote_id, .reason = NULL,
		.due_at = k->to == DELIVERY_QUEUED ? now : 0};

	CHECK(delivery_may(m.from, m.to));
	CHECK_INT(delivery_move(c, &m, now), 1);
	return db_rc(c) == RC_OK ? RC_OK : db_fail(cx, c);
}

static void go(const char *id, enum delivery_state to, const char *remote_id)
{
	struct step k = {id, remote_id, to};
	struct cx cx;

	cx_init(&cx, "test");
	CHECK_SAY(db_write(&cx, store.db, step_run, &k) == RC_OK, "%s", cx.words);
}

static void publish(const char *id, const char *remote_id)
{
	go(id, DELIVERY_PROCESSING, NULL);
	go(id, DELIVERY_COMMITTING, NULL);
	go(id, DELIVERY_PUBLISHED, remote_id);
}

static void fail_it(const char *id)
{
	go(id, DELIVERY_PROCESSING, NULL);
	go(id, DELIVERY_FAILED, NULL);
}

#define STATES(post, root, two, three, comment) do { \
	CHECK_STR(state_of(post, "root"), root); \
	CHECK_STR(state_of(post, "two"), two); \
	CHECK_STR(state_of(post, "three"), three); \
	CHECK_STR(state_of(post, "comment"), comment); \
} while (0)

/* ---- accept ------------------------------------------------------------------------------------------- */

TEST(children_are_written_with_their_post_and_wait)
{
	begin();
	const char *id = made(with_family("now", 0, 3));
	struct delivery root = delivery(member(id, "root")), two = delivery(member(id, "two"));
	struct delivery three = delivery(member(id, "three")), comment = delivery(member(id, "comment"));

	STATES(id, "queued", "pending", "pending", "pending");
	CHECK_STR(two.parent_id, root.id);
	CHECK_STR(three.parent_id, two.id);
	CHECK_STR(comment.parent_id, root.id);
	CHECK(two.ordinal == 1 && three.ordinal == 2 && comment.ordinal == 3);
	CHECK_STR(two.kind, "thread");
	CHECK_STR(comment.kind, "first_comment");
	CHECK(two.due_at == 0 && two.late_after == 0 && comment.due_at == 0);
	CHECK_STR(post(id).status, "publishing");
	CHECK_STR(post(made(with_family("schedule", now + HOUR, 3))).status, "scheduled");
	CHECK_STR(post(made(with_family("draft", 0, 3))).status, "draft");
}

TEST(the_same_post_with_another_thread_is_no_duplicate)
{
	begin();
	struct post_new *p = with_family("now", 0, 3), *q = with_family("now", 0, 3), *r = with_family("now", 0, 2);
	struct call k = {.run = do_create, .p = q};

	q->targets[0].text = r->targets[0].text = p->targets[0].text;
	post_hash(&q->targets[0], NULL, NULL);
	post_hash(&r->targets[0], NULL, NULL);
	made(p);
	CHECK_INT(call(&k), RC_CONFLICT);
	CHECK_STR(k.cx.code, "duplicate_content");
	made(r);
}

/* A post whose text is that of another one's child is no duplicate: children have no hash. */
TEST(children_are_nobodys_duplicates)
{
	begin();
	struct post_new *p = fresh("now", 0, 1);

	made(with_family("now", 0, 3));
	made(with_family("now", 0, 3));
	p->targets[0].text = "two";
	post_hash(&p->targets[0], NULL, NULL);
	made(p);
}

/* ---- with their parent ------------------------------------------------------------------------------ */

TEST(each_part_is_released_by_the_one_before)
{
	begin();
	const char *id = made(with_family("now", 0, 3));

	publish(member(id, "root"), "r1");
	STATES(id, "published", "queued", "pending", "queued");
	CHECK_INT(delivery(member(id, "two")).due_at, now);
	CHECK_INT(delivery(member(id, "two")).late_after, now + POST_MAX_LATE_MS);
	CHECK_STR(post(id).status, "publishing");
	now += HOUR;
	publish(member(id, "two"), "r2");
	STATES(id, "published", "published", "queued", "queued");
	CHECK_INT(delivery(member(id, "three")).late_after, now + POST_MAX_LATE_MS);
	publish(member(id, "three"), "r3");
	publish(member(id, "comment"), "r4");
	CHECK_STR(post(id).status, "published");
}

TEST(a_thread_that_is_cut_off_tells_the_truth_about_each_part)
{
	begin();
	const char *id = made(with_family("now", 0, 3));

	publish(member(id, "root"), "r1");
	fail_it(member(id, "two"));
	STATES(id, "published", "failed", "skipped", "queued");
	CHECK_STR(delivery(member(id, "three")).reason, "parent");
	publish(member(id, "comment"), "r4");
	CHECK_STR(post(id).status, "partially_published");
	CHECK_INT(events("post.partially_published", id), 1);
}

TEST(a_parent_that_is_not_published_takes_all_below_with_it)
{
	begin();
	const char *failed = made(with_family("now", 0, 3)), *missed = made(with_family("now", 0, 3));

	fail_it(member(failed, "root"));
	STATES(failed, "failed", "skipped", "skipped", "skipped");
	CHECK_STR(post(failed).status, "failed");
	go(member(missed, "root"), DELIVERY_SKIPPED, NULL);
	STATES(missed, "skipped", "skipped", "skipped", "skipped");
	CHECK_STR(post(missed).status, "missed");
}

TEST(children_wait_while_nobody_knows_of_their_parent)
{
	begin();
	const char *id = made(with_family("now", 0, 3)), *root = member(id, "root");
	struct call yes = {.run = do_resolve, .id = root, .verdict = {true, "r1", NULL}};

	go(root, DELIVERY_PROCESSING, NULL);
	go(root, DELIVERY_COMMITTING, NULL);
	go(root, DELIVERY_UNCONFIRMED, NULL);
	STATES(id, "unconfirmed", "pending", "pending", "pending");
	CHECK_INT(call(&yes), RC_OK);
	STATES(id, "published", "queued", "pending", "queued");
}

TEST(a_verdict_of_absence_ends_the_thread)
{
	begin();
	const char *id = made(with_family("now", 0, 3));
	struct call no = {.run = do_resolve, .id = member(id, "root")};

	put(no.id, "unconfirmed", now, 0, NULL);
	CHECK_INT(call(&no), RC_OK);
	STATES(id, "failed", "skipped", "skipped", "skipped");
}

TEST(a_parent_without_a_remote_id_has_nothing_to_answer_to)
{
	begin();
	const char *id = made(with_family("now", 0, 3));
	struct call yes = {.run = do_resolve, .id = member(id, "root"), .verdict = {true, NULL, NULL}};

	put(yes.id, "unconfirmed", now, 0, NULL);
	CHECK_INT(call(&yes), RC_OK);
	STATES(id, "published", "skipped", "skipped", "skipped");
	CHECK_STR(post(id).status, "partially_published");
}

static enum rc sweep(struct cx *cx, struct db_conn *c, void *arg)
{
	int more;

	db_run(c, "UPDATE connection SET status = 'disconnected', disconnected_at = ?1 WHERE id = 'con_a'", "i", now - 31 * 24 * HOUR);
	sweep_run(c, now, &more);
	db_run(c, "UPDATE connection SET status = 'active', disconnected_at = NULL WHERE id = 'con_a'", "");
	(void)arg;
	return db_rc(c) == RC_OK ? RC_OK : db_fail(cx, c);
}

TEST(an_account_that_stays_away_leaves_no_child_waiting)
{
	begin();
	const char *id = made(with_family("now", 0, 3));
	struct cx cx;

	put(member(id, "root"), "blocked", 0, 0, "disconnected");
	cx_init(&cx, "test");
	CHECK_SAY(db_write(&cx, store.db, sweep, NULL) == RC_OK, "%s", cx.words);
	STATES(id, "canceled", "skipped", "skipped", "skipped");
}

/* ---- acts ---------------------------------------------------------------------------------------------- */

TEST(a_retry_brings_back_what_was_skipped_for_it)
{
	begin();
	const char *id = made(with_family("now", 0, 3));
	struct call k = {.run = do_retry, .id = id};

	fail_it(member(id, "root"));
	CHECK_INT(call(&k), RC_OK);
	CHECK_INT(k.act.done, 1);
	CHECK_INT(k.act.count, 4);
	STATES(id, "queued", "pending", "pending", "pending");
	CHECK_STR(k.act.list[1].status, "pending");
	publish(member(id, "root"), "r1");
	fail_it(member(id, "two"));
	STATES(id, "published", "failed", "skipped", "queued");
	CHECK_INT(call(&k), RC_OK);
	STATES(id, "published", "queued", "pending", "queued");
	publish(member(id, "two"), "r2");
	CHECK_STR(state_of(id, "three"), "queued");
}

TEST(a_retry_of_one_thread_leaves_the_other_alone)
{
	begin();
	struct post_new *p = with_family("now", 0, 3);
	const char *id, *other;

	id = made(p);
	other = made(with_family("now", 0, 3));
	struct call k = {.run = do_retry, .id = id};

	fail_it(member(id, "root"));
	fail_it(member(other, "root"));
	CHECK_INT(call(&k), RC_OK);
	STATES(other, "failed", "skipped", "skipped", "skipped");
}

TEST(a_cancel_reaches_every_part_that_is_not_under_way)
{
	begin();
	const char *id = made(with_family("now", 0, 3)), *begun = made(with_family("now", 0, 3));
	struct call k = {.run = do_cancel, .id = id}, half = {.run = do_cancel, .id = begun};

	CHECK_INT(call(&k), RC_OK);
	CHECK_INT(k.act.done, 4);
	STATES(id, "canceled", "canceled", "canceled", "canceled");
	CHECK_STR(delivery(member(id, "three")).reason, "caller");
	CHECK_STR(k.act.list[0].delivery_id, member(id, "root"));
	CHECK_STR(k.act.list[3].delivery_id, member(id, "comment"));
	CHECK_STR(post(id).status, "canceled");
	put(member(begun, "root"), "committing", now, 0, NULL);
	CHECK_INT(call(&half), RC_OK);
	CHECK_INT(half.act.done, 3);
	STATES(begun, "committing", "canceled", "canceled", "canceled");
	go(member(begun, "root"), DELIVERY_PUBLISHED, "r1");
	STATES(begun, "published", "canceled", "canceled", "canceled");
	CHECK_STR(post(begun).status, "published");
}

TEST(publishing_a_draft_releases_the_post_and_not_its_thread)
{
	begin();
	const char *id = made(with_family("draft", 0, 3));
	struct call k = {.run = do_publish, .id = id};

	CHECK_INT(call(&k), RC_OK);
	CHECK_INT(k.act.done, 1);
	STATES(id, "queued", "pending", "pending", "pending");
}

/* ---- edits --------------------------------------------------------------------------------------------- */

static void edit(const char *id, struct post_new *p)
{
	struct call k = {.run = do_edit, .p = p, .version = post(id).content_version};

	snprintf(p->id, ID_MAX, "%s", id);
	CHECK_SAY(call(&k) == RC_OK, "%s", k.cx.words);
}

TEST(an_edit_changes_items_and_keeps_their_ids)
{
	begin();
	static const struct post_child newer[] = {{"thread", "TWO", "{}", NULL}, {"thread", "THREE", "{}", NULL}, {"thread", "FOUR", "{}", NULL}};
	const char *id = made(with_family("schedule", now + HOUR, 3)), *two = member(id, "two"), *three = member(id, "three");
	struct post_new *p = with_family("schedule", now + 2 * HOUR, 3);

	p->targets[0].children = newer;
	edit(id, p);
	CHECK_INT(children_of(id), 3);
	CHECK_STR(member(id, "TWO"), two);
	CHECK_STR(member(id, "THREE"), three);
	CHECK_STR(delivery(member(id, "FOUR")).parent_id, three);
	p = with_family("schedule", now + 2 * HOUR, 1);
	edit(id, p);
	CHECK_INT(children_of(id), 1);
	CHECK_STR(delivery(member(id, "comment")).parent_id, member(id, "root"));
	p = fresh("schedule", now + 2 * HOUR, 1);
	edit(id, p);
	CHECK_INT(children_of(id), 0);
	edit(id, with_family("schedule", now + 2 * HOUR, 3));
	STATES(id, "queued", "pending", "pending", "pending");
	publish(member(id, "root"), "r1");
	STATES(id, "published", "queued", "pending", "queued");
}

TEST(nothing_is_edited_once_the_post_has_begun)
{
	begin();
	const char *id = made(with_family("now", 0, 3));
	struct call k = {.run = do_edit, .p = with_family("now", 0, 3), .version = 1};

	publish(member(id, "root"), "r1");
	snprintf(k.p->id, ID_MAX, "%s", id);
	CHECK_INT(call(&k), RC_CONFLICT);
	CHECK_STR(k.cx.code, "post_not_editable");
}

/* ---- media ---------------------------------------------------------------------------------------------- */

static enum rc add_media(struct cx *cx, struct db_conn *c, void *arg)
{
	db_run(c, "INSERT INTO media (id, organization_id, app_id, live, status, file, expires_at, created_at, updated_at)"
	       " VALUES (?1, ?2, ?3, 1, 'ready', ?1, 1, 1, 1)", "sss", arg, owner.organization_id, owner.app_id);
	return db_rc(c) == RC_OK ? RC_OK : db_fail(cx, c);
}

static int held(const char *post_id, const char *media_id)
{
	struct db_conn *c = db_take(store.db);
	int n = (int)db_number(c, -1, "SELECT COUNT(*) FROM media_use WHERE post_id = ?1 AND media_id = ?2", "ss", post_id, media_id);

	db_give(c);
	return n;
}

TEST(a_post_holds_its_media)
{
	begin();
	static const char *const one[] = {"med_1"}, *const two[] = {"med_2"}, *const gone[] = {"med_2", "med_gone"};
	struct post_new *p = with_family("schedule", now + HOUR, 3);
	struct call k = {.run = do_create, .p = fresh("now", 0, 1)};
	struct cx cx;

	cx_init(&cx, "test");
	CHECK_INT(db_write(&cx, store.db, add_media, (void *)(uintptr_t)"med_1"), RC_OK);
	CHECK_INT(db_write(&cx, store.db, add_media, (void *)(uintptr_t)"med_2"), RC_OK);
	p->media_ids = one;
	p->media_count = 1;
	made(p);
	CHECK_INT(held(p->id, "med_1"), 1);
	struct post_new *q = with_family("schedule", now + HOUR, 3);
	q->media_ids = two;
	q->media_count = 1;
	edit(p->id, q);
	CHECK_INT(held(p->id, "med_1"), 0);
	CHECK_INT(held(p->id, "med_2"), 1);
	k.p->media_ids = gone;
	k.p->media_count = 2;
	CHECK_INT(call(&k), RC_NOT_FOUND);
	CHECK_STR(k.cx.code, "media_not_found");
	CHECK_INT(held(k.p->id, "med_2"), 0);
}
