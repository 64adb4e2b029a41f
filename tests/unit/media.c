/*
 * Media items in the store: who sees them, who holds them, what expires, the quota, and how a fetch ends.
 */
#include "post_rows.h"

#include "core/api/media.h"
#include "core/engine/intake_private.h"

struct step {
	enum rc (*run)(struct step *k, struct cx *cx, struct db_conn *c);
	struct media m;
	const char *id, *post_id, *file;
	struct owner owner;
	int64_t quota, at;
	bool good;
	int n;
	const char *files[10];
	struct cx cx;
};

static enum rc step_run(struct cx *cx, struct db_conn *c, void *arg)
{
	struct step *k = arg;
	enum rc rc = k->run(k, cx, c);

	return rc != RC_OK || db_rc(c) == RC_OK ? rc : db_fail(cx, c);
}

static enum rc step(struct step *k)
{
	if (k->owner.organization_id == NULL)
		k->owner = owner;
	cx_init(&k->cx, "test");
	return db_write(&k->cx, store.db, step_run, k);
}

static enum rc do_add(struct step *k, struct cx *cx, struct db_conn *c) { return media_add(cx, c, &k->m, k->quota, now); }
static enum rc do_remove(struct step *k, struct cx *cx, struct db_conn *c)
{
	return media_remove(cx, c, &k->owner, k->id, &arena, &k->file);
}
static enum rc do_hold(struct step *k, struct cx *cx, struct db_conn *c)
{
	(void)cx;
	k->good = media_hold(c, &k->owner, k->id, k->post_id);
	return RC_OK;
}
static enum rc do_release(struct step *k, struct cx *cx, struct db_conn *c)
{
	(void)cx;
	media_release(c, &k->owner, k->post_id);
	return RC_OK;
}
static enum rc do_expire(struct step *k, struct cx *cx, struct db_conn *c)
{
	(void)cx;
	k->n = media_expire(c, k->at, &arena, k->files, 10);
	return RC_OK;
}
static enum rc do_settle(struct step *k, struct cx *cx, struct db_conn *c)
{
	return media_settle(cx, c, &k->m, k->quota, now, &k->good);
}

static struct media item(const char *status)
{
	char *id = arena_alloc(&arena, ID_MAX);

	id_new(id, "med");
	return (struct media){.owner = owner, .id = id, .file = id, .status = status, .kind = "image", .mime = "image/png", .codec = "png",
		.sha256 = "00", .bytes = 100, .width = 3, .height = 2, .expires_at = now + HOUR};
}

static const char *made(const char *status)
{
	struct step k = {.run = do_add, .m = item(status), .quota = 1 << 30};

	CHECK_SAY(step(&k) == RC_OK, "%s", k.cx.words);
	return k.m.id;
}

static bool is_there(const struct owner *o, const char *id)
{
	struct db_conn *c = db_take(store.db);
	struct media m;
	bool found = media_find(c, o, id, &arena, &m);

	db_give(c);
	return found;
}

static enum rc remove_as(const struct owner *o, const char *id, const char *code)
{
	struct step k = {.run = do_remove, .id = id, .owner = *o};
	enum rc rc = step(&k);

	CHECK_STR(k.cx.code, code);
	return rc;
}

static bool hold(const char *id, const char *post_id)
{
	struct step k = {.run = do_hold, .id = id, .post_id = post_id};

	CHECK_INT(step(&k), RC_OK);
	return k.good;
}

static bool expires(const char *id, int64_t at)
{
	struct step k = {.run = do_expire, .at = at};

	CHECK_INT(step(&k), RC_OK);
	for (int i = 0; i < k.n; i++)
		if (text_eq(k.files[i], id))
			return true;
	return false;
}

/* ---- owners --------------------------------------------------------------------------------------------- */

TEST(an_item_is_seen_by_its_owner_alone)
{
	begin();
	const char *id = made("ready");
	struct owner test = owner, app = owner, other = owner;

	test.live = 0;
	app.app_id = "app_other";
	other.organization_id = "org_other";
	CHECK(is_there(&owner, id));
	CHECK(!is_there(&test, id) && !is_there(&app, id) && !is_there(&other, id));
	CHECK_INT(remove_as(&test, id, "media_not_found"), RC_NOT_FOUND);
	CHECK_INT(remove_as(&other, id, "media_not_found"), RC_NOT_FOUND);
	struct step k = {.run = do_hold, .id = id, .post_id = create("draft", 0, 1), .owner = test};
	CHECK_INT(step(&k), RC_OK);
	CHECK(!k.good);
	CHECK_INT(events("media.ready", id), 1);
	CHECK_INT(remove_as(&owner, id, ""), RC_OK);
	CHECK(!is_there(&owner, id));
	CHECK_INT(remove_as(&owner, id, "media_not_found"), RC_NOT_FOUND);
}

/* ---- holding -------------------------------------------------------------------------------------------- */

TEST(a_post_holds_its_items_as_long_as_it_may_be_sent)
{
	static const struct { const char *state; bool held, kept; } table[] = {
		{"pending", true, true}, {"queued", true, true}, {"processing", true, true}, {"committing", true, true},
		{"awaiting_platform", true, true}, {"awaiting_user", true, true}, {"blocked", true, true}, {"unconfirmed", true, true},
		{"published", false, false}, {"failed", false, true}, {"canceled", false, false}, {"skipped", false, false},
	};

	begin();
	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		const char *id = made("ready"), *post_id = create("now", 0, 2);

		CHECK(hold(id, post_id));
		put(nth(post_id, 0), "published", now, 0, NULL);
		put(nth(post_id, 1), table[i].state, now, 0, NULL);
		CHECK_SAY(expires(id, now + 2 * HOUR) == !table[i].kept, "%s", table[i].state);
		if (!table[i].kept)
			continue;
		CHECK_SAY(remove_as(&owner, id, table[i].held ? "media_in_use" : "") == (table[i].held ? RC_CONFLICT : RC_OK), "%s",
			  table[i].state);
	}
}

TEST(a_failed_delivery_keeps_its_items_for_a_week)
{
	begin();
	const char *id = made("ready"), *post_id = create("now", 0, 1);

	CHECK(hold(id, post_id));
	put(nth(post_id, 0), "failed", now, 0, NULL);
	CHECK(!expires(id, now + 6 * 24 * HOUR));
	CHECK(expires(id, now + 400 * 24 * HOUR));
}

TEST(an_edit_lets_go)
{
	begin();
	const char *id = made("ready"), *post_id = create("draft", 0, 1);

	CHECK(hold(id, post_id) && hold(id, post_id));
	CHECK_INT(remove_as(&owner, id, "media_in_use"), RC_CONFLICT);
	struct step k = {.run = do_release, .post_id = post_id};
	CHECK_INT(step(&k), RC_OK);
	CHECK_INT(remove_as(&owner, id, ""), RC_OK);
	CHECK(!hold(id, post_id));
}

/* ---- time ----------------------------------------------------------------------------------------------- */

TEST(only_what_is_past_its_time_expires)
{
	begin();
	const char *id = made("ready"), *unfinished = made("uploading");

	CHECK(!expires(id, now + HOUR - 1));
	CHECK(is_there(&owner, id));
	CHECK(expires(id, now + HOUR));
	CHECK(!is_there(&owner, id));
	CHECK(is_there(&owner, unfinished));
}

/* ---- the quota ------------------------------------------------------------------------------------------ */

TEST(the_quota_counts_both_modes_and_no_failure)
{
	begin();
	struct db_conn *c = db_take(store.db);
	int64_t have = media_bytes(c, owner.organization_id);

	db_give(c);
	struct step k = {.run = do_add, .m = item("ready"), .quota = have + 99};
	CHECK_INT(step(&k), RC_LIMITED);
	CHECK_STR(k.cx.code, "media_quota_reached");
	CHECK(!is_there(&owner, k.m.id));
	k.quota = have + 100;
	CHECK_INT(step(&k), RC_OK);
	k.m = item("ready");
	k.m.owner.live = 0;
	CHECK_INT(step(&k), RC_LIMITED);
	k.m = item("failed");
	k.m.bytes = 0;
	CHECK_INT(step(&k), RC_OK);
}

/* ---- fetching ------------------------------------------------------------------------------------------- */

TEST(a_fetch_is_settled_once)
{
	begin();
	struct step k = {.run = do_settle, .m = item("ready"), .quota = 1 << 30};

	k.m.id = made("uploading");
	CHECK_INT(step(&k), RC_OK);
	CHECK(k.good);
	CHECK_INT(events("media.ready", k.m.id), 1);
	k.m.status = "failed";
	k.m.error = media_error(&arena, "media_unreachable", "late");
	CHECK_INT(step(&k), RC_OK);
	CHECK(!k.good);
	CHECK_INT(events("media.failed", k.m.id), 0);
	k.m.id = made("uploading");
	CHECK_INT(step(&k), RC_OK);
	CHECK(k.good);
	CHECK_INT(events("media.failed", k.m.id), 1);
	k.m.status = "ready";
	k.m.id = made("uploading");
	k.m.bytes = 1 << 20;
	k.quota = 1 << 20;
	CHECK_INT(step(&k), RC_LIMITED);
	CHECK_INT(events("media.ready", k.m.id), 0);
}

/* Who takes away what was left unfinished may come a moment too late: the file is the item's then. */
TEST(a_failure_that_comes_too_late_is_none)
{
	begin();
	struct intake in = {.db = store.db, .lock = PTHREAD_MUTEX_INITIALIZER, .settled = PTHREAD_COND_INITIALIZER};
	struct media m = item("uploading");

	m.id = made("ready");
	CHECK(!intake_fail(&in, &m, "media_unreachable", "The server stopped."));
	CHECK_INT(events("media.failed", m.id), 0);
	m.id = made("uploading");
	CHECK(intake_fail(&in, &m, "media_unreachable", "The server stopped."));
	CHECK_INT(events("media.failed", m.id), 1);
}

TEST(the_same_address_is_the_same_item_for_a_while)
{
	begin();
	struct step k = {.run = do_add, .m = item("uploading"), .quota = 1 << 30};
	struct owner test = owner;
	struct media m;

	test.live = 0;
	k.m.source_url = "https://a.example/x.png";
	CHECK_INT(step(&k), RC_OK);
	struct db_conn *c = db_take(store.db);
	bool found = media_recent(c, &owner, k.m.source_url, now - HOUR, &arena, &m);
	bool later = media_recent(c, &owner, k.m.source_url, now + 1, &arena, &m);
	bool others = media_recent(c, &test, k.m.source_url, now - HOUR, &arena, &m);
	bool another = media_recent(c, &owner, "https://a.example/y.png", now - HOUR, &arena, &m);
	db_give(c);
	CHECK(found && !later && !others && !another);
	struct step end = {.run = do_settle, .m = k.m, .quota = 1 << 30};
	end.m.status = "failed";
	CHECK_INT(step(&end), RC_OK);
	c = db_take(store.db);
	found = media_recent(c, &owner, k.m.source_url, now - HOUR, &arena, &m);
	db_give(c);
	CHECK(!found);
}

/* ---- names ---------------------------------------------------------------------------------------------- */

TEST(names_of_files_are_made_harmless)
{
	static const struct { const char *raw, *name; } table[] = {
		{"photo.jpg", "photo.jpg"}, {"../../etc/passwd", "passwd"}, {"C:\\fotos\\bild.png", "bild.png"}, {"..", NULL}, {"", NULL},
		{".htaccess", "htaccess"}, {"a/b/", NULL}, {"na\xc3\xafve.png", "na\xc3\xafve.png"}, {"na%C3%AFve.png", "na\xc3\xafve.png"},
		{"UTF-8''%e2%82%ac%20rates.png", "\xe2\x82\xac rates.png"}, {"100%.png", "100%.png"}, {"a%2Fb.png", "b.png"},
		{"x\x1b[2J.png", "x[2J.png"}, {"evil\xe2\x80\xae" "gnp.exe", "evilgnp.exe"}, {"bad\xff\xfe.gif", "bad.gif"}, {"a\"b<c>.gif", "abc.gif"},
		{"  spaces .png. ", "spaces .png"}, {"%00.png", "%00.png"}, {"%E2%82", "%E2%82"},
	};
	char raw[400];
	const char *name;

	begin();
	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
		CHECK_STR(media_filename(&arena, table[i].raw), table[i].name);
	memset(raw, 'n', sizeof raw);
	snprintf(raw + 300, sizeof raw - 300, ".jpeg");
	name = media_filename(&arena, raw);
	CHECK_INT(strlen(name), 120);
	CHECK_STR(name + 115, ".jpeg");
	CHECK(media_filename(&arena, NULL) == NULL);
	CHECK_STR(media_filename_of_url(&arena, "https://a.example/x/y%20z.png?size=3/4#f"), "y z.png");
	CHECK(media_filename_of_url(&arena, "https://a.example/") == NULL);
	CHECK(media_filename_of_url(&arena, "https://a.example") == NULL);
}
