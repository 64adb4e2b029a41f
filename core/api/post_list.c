/*
 * GET /v1/posts: the newest first, by filters.
 */
#include <string.h>

#include "core/api/page.h"
#include "core/api/post_read.h"
#include "core/base/text.h"
#include "core/base/zone.h"
#include "core/model/enduser.h"
#include "core/model/post_write.h"

#define LIST_BYTES (4u << 20)		/* a page ends early before the answer's ceiling of 8 MiB is near */

struct filter {
	const char *end_user_id, *platform, *connection_id, *status, *external_post_id, *tag, *before;
	int64_t scheduled_from, scheduled_to, created_from, created_to;	/* 0: open */
	bool nothing;			/* an end user that does not exist has no posts */
};

/*
 * A plus keeps an index out: SQLite has no counts, and by itself it would read all deliveries of the connection for each
 * post, or all posts of the organization for those of one person.
 */
#define ALL_POSTS "SELECT " POST_COLUMNS " FROM post WHERE organization_id = ?1 AND app_id = ?2 AND live = ?3 AND id < ?4"
#define FEW_POSTS "SELECT " POST_COLUMNS " FROM post WHERE +organization_id = ?1 AND +app_id = ?2 AND +live = ?3 AND id < ?4"
#define FILTER " AND (?5 IS NULL OR end_user_id = ?5) AND (?6 IS NULL OR scheduled_at >= ?6) AND (?7 IS NULL OR scheduled_at < ?7)" \
	" AND (?8 IS NULL OR created_at >= ?8) AND (?9 IS NULL OR created_at < ?9)" \
	" AND (?10 IS NULL OR EXISTS (SELECT 1 FROM delivery d WHERE d.post_id = post.id AND d.platform = ?10))" \
	" AND (?11 IS NULL OR EXISTS (SELECT 1 FROM delivery d WHERE d.post_id = post.id AND +d.connection_id = ?11))"
#define TAGS 10		/* of POST_COLUMNS */
#define LIST_TYPES "ssissoooossss"

/* The posts of the person who has the connection, and those of several persons at once, merged in their order. */
#define OF_CONNECTION FEW_POSTS FILTER " AND ?12 IS NULL AND (?13 IS NULL OR status = ?13)" \
	" AND end_user_id = (SELECT end_user_id FROM connection WHERE id = ?11 AND organization_id = ?1) UNION ALL " \
	ALL_POSTS FILTER " AND (?13 IS NULL OR status = ?13) AND end_user_id IS NULL ORDER BY id DESC"

/* The newest first.  Each has an index of its own. */
static struct stmt *list(struct db_conn *c, const struct owner *o, const struct filter *f)
{
	const char *sql = f->external_post_id ? ALL_POSTS FILTER " AND external_post_id = ?12 AND (?13 IS NULL OR status = ?13) ORDER BY id DESC"
		: f->connection_id ? OF_CONNECTION
		: f->end_user_id ? FEW_POSTS FILTER " AND ?12 IS NULL AND (?13 IS NULL OR status = ?13) AND end_user_id = ?5 ORDER BY id DESC"
		: f->status ? ALL_POSTS FILTER " AND ?12 IS NULL AND status = ?13 ORDER BY id DESC"
		: ALL_POSTS FILTER " AND ?12 IS NULL AND ?13 IS NULL ORDER BY id DESC";

	return db_query(c, sql, LIST_TYPES, o->organization_id, o->app_id, o->live, f->before, f->end_user_id, f->scheduled_from,
			f->scheduled_to, f->created_from, f->created_to, f->platform, f->connection_id, f->external_post_id, f->status);
}

static void read_bound(struct api_request *r, const char *name, int64_t *ret)
{
	const char *text = api_query(r, name);
	struct cx cx;

	*ret = 0;
	cx_init(&cx, r->id);
	if (text != NULL && zone_parse(&cx, text, NULL, NULL, ret) != RC_OK)
		api_issue(r, arena_text(r->arena, cx.code), name, "%s", cx.words);
}

static void read_filter(struct api_request *r, struct db_conn *c, const struct page *p, struct filter *f)
{
	const char *external = api_query(r, "externalUserId");
	struct enduser u = {0};

	*f = (struct filter){
		.end_user_id = api_query(r, "endUserId"), .platform = api_query(r, "platform"), .connection_id = api_query(r, "connectionId"),
		.status = api_query(r, "status"), .external_post_id = api_query(r, "externalPostId"), .tag = api_query(r, "tag"),
		.before = p->after[0] ? p->after : "~",
	};
	read_bound(r, "scheduledFrom", &f->scheduled_from);
	read_bound(r, "scheduledTo", &f->scheduled_to);
	read_bound(r, "createdFrom", &f->created_from);
	read_bound(r, "createdTo", &f->created_to);
	if (external != NULL) {
		f->nothing = !enduser_find(c, &r->identity.owner, arena_printf(r->arena, "ext:%s", external), r->arena, &u);
		f->end_user_id = u.id;
	}
}

static bool has_tag(struct api_request *r, const char *tags, const char *tag)
{
	struct jv list_of;
	struct cx cx;

	cx_init(&cx, r->id);
	if (tags == NULL || json_parse(&cx, r->arena, tags, strlen(tags), &list_of) != RC_OK)
		return false;
	for (size_t i = 0; i < json_count(list_of); i++)
		if (text_eq(json_text(json_at(list_of, i)), tag))
			return true;
	return false;
}

/* The next row with the tag; false at the end. */
static bool next_row(struct api_request *r, struct stmt *s, const struct filter *f)
{
	while (!f->nothing && db_next(s))
		if (f->tag == NULL || has_tag(r, db_text(s, TAGS), f->tag))
			return true;
	return false;
}

enum rc post_list(struct api_request *r)
{
	DB_READ_AUTO struct db_conn *c = db_take(r->api->db);
	struct filter f;
	struct page p;
	struct post row;
	enum rc rc = page_read(r, &p);

	if (rc != RC_OK)
		return rc;
	read_filter(r, c, &p, &f);
	rc = api_issues(r);
	if (rc != RC_OK)
		return rc;
	STMT_AUTO struct stmt *s = list(c, &r->identity.owner, &f);
	page_begin(r);
	while (rc == RC_OK && page_more(&p) && r->answer->body->len < LIST_BYTES && next_row(r, s, &f)) {
		post_row(s, &r->identity.owner, &row);
		page_row(&p, row.id);
		rc = post_read_write(r->cx, c, r, &row, NULL);
	}
	if (rc != RC_OK)
		return rc;
	page_end(r, &p, next_row(r, s, &f));
	return db_rc(c) == RC_OK ? RC_OK : db_fail(r->cx, c);
}

static const char *const statuses[] = {"draft", "pending_approval", "scheduled", "publishing", "published", "partially_published", "failed",
	"canceled", "missed", "needs_attention", NULL};
const struct field post_list_query[] = {
	{.name = "status", .type = FIELD_ENUM, .words = statuses},
	{.name = "externalUserId", .type = FIELD_TEXT, .min = 1},
	{.name = "endUserId", .type = FIELD_TEXT, .min = 1},
	{.name = "platform", .type = FIELD_TEXT, .min = 1},
	{.name = "connectionId", .type = FIELD_TEXT, .min = 1},
	{.name = "externalPostId", .type = FIELD_TEXT, .min = 1},
	{.name = "scheduledFrom", .type = FIELD_TIME, .help = "Inclusive."},
	{.name = "scheduledTo", .type = FIELD_TIME, .help = "Exclusive."},
	{.name = "createdFrom", .type = FIELD_TIME, .help = "Inclusive."},
	{.name = "createdTo", .type = FIELD_TIME, .help = "Exclusive."},
	{.name = "tag", .type = FIELD_TEXT, .min = 1},
	{0},
};
