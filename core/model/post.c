/*
 * Post status: see post.h.  One query counts the deliveries, one table holds the rule: the first line that
 * holds names the status.
 */
#include "core/model/post.h"

#include <stdio.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/base/jsonw.h"
#include "core/base/text.h"
#include "core/model/event.h"

struct counts { int64_t all, attention, open, claimed, scheduled, published, failed, skipped, draft; };

/* The post and the states of its deliveries at one look; false if there is none. */
static bool look(struct db_conn *c, const char *post_id, struct arena *a, const char **ret_organization, const char **ret_status,
		 struct counts *ret)
{
	STMT_AUTO struct stmt *s = db_query(c,
		"SELECT MIN(p.organization_id), MIN(p.status), COUNT(d.id),"
		" COALESCE(SUM(CASE WHEN d.state IN ('unconfirmed', 'blocked', 'awaiting_user') THEN 1 ELSE 0 END), 0),"
		" COALESCE(SUM(CASE WHEN d.state IN ('pending', 'queued', 'processing', 'committing', 'awaiting_platform') THEN 1 ELSE 0 END), 0),"
		" COALESCE(SUM(CASE WHEN d.claimed_at IS NOT NULL THEN 1 ELSE 0 END), 0),"
		" COALESCE(SUM(CASE WHEN d.scheduled_at IS NOT NULL THEN 1 ELSE 0 END), 0),"
		" COALESCE(SUM(CASE WHEN d.state = 'published' THEN 1 ELSE 0 END), 0),"
		" COALESCE(SUM(CASE WHEN d.state = 'failed' THEN 1 ELSE 0 END), 0),"
		" COALESCE(SUM(CASE WHEN d.state = 'skipped' THEN 1 ELSE 0 END), 0),"
		" SUM(CASE WHEN p.mode = 'draft' THEN 1 ELSE 0 END)"
		" FROM post p LEFT JOIN delivery d ON d.post_id = p.id AND d.state <> 'canceled' WHERE p.id = ?1", "s", post_id);

	if (!db_next(s) || db_null(s, 0))
		return false;
	*ret_organization = db_dup(s, 0, a);
	*ret_status = db_dup(s, 1, a);
	*ret = (struct counts){db_int(s, 2), db_int(s, 3), db_int(s, 4), db_int(s, 5), db_int(s, 6), db_int(s, 7), db_int(s, 8), db_int(s, 9),
		db_int(s, 10)};
	return true;
}

static const char *status_of(const struct counts *n)
{
	const struct { bool holds; const char *status; } rule[] = {
		{n->all == 0, "canceled"},
		{n->draft > 0, "draft"},
		{n->attention > 0, "needs_attention"},
		{n->open > 0 && n->claimed == 0 && n->scheduled > 0, "scheduled"},
		{n->open > 0, "publishing"},
		{n->published == n->all, "published"},
		{n->published > 0, "partially_published"},
		{n->failed > 0, "failed"},
		{n->skipped > 0, "missed"},
		{true, "canceled"},
	};
	int i = 0;

	while (!rule[i].holds)
		i++;
	return rule[i].status;
}

/* Changes of status that are events; a post that was made or moved is announced by who did it. */
static const char *const announced[] = {
	"published", "partially_published", "failed", "missed", "needs_attention", "canceled", NULL
};

static bool is_announced(const char *status)
{
	for (int i = 0; announced[i] != NULL; i++)
		if (text_eq(announced[i], status))
			return true;
	return false;
}

/* ---- the event -------------------------------------------------------------------------------------- */

static void raw(struct jsonw *w, const char *key, const char *json)
{
	jsonw_raw(w, key, json, json ? strlen(json) : 0);
}

static void event_write(struct buf *out, const char *post_id, struct stmt *s, const char *before)
{
	struct jsonw w;

	jsonw_init(&w, out);
	jsonw_object(&w, "");
	jsonw_object(&w, "object");
	jsonw_text(&w, "id", post_id);
	jsonw_text(&w, "status", db_text(s, 4));
	jsonw_text(&w, "mode", db_text(s, 5));
	jsonw_text(&w, "externalPostId", db_text(s, 6));
	jsonw_time(&w, "scheduledAt", db_int(s, 7));
	raw(&w, "tags", db_text(s, 8));
	raw(&w, "metadata", db_text(s, 9));
	jsonw_object_end(&w);
	if (before != NULL) {
		jsonw_object(&w, "previous");
		jsonw_text(&w, "status", before);
		jsonw_object_end(&w);
	}
	jsonw_object_end(&w);
	jsonw_end(&w);
}

void post_announce(struct db_conn *c, const char *post_id, const char *type, const char *before, int64_t now)
{
	ARENA_AUTO struct arena a;
	BUF_AUTO struct buf data;
	struct owner o;
	const char *end_user;

	arena_init(&a, 65536);
	buf_init(&data, 1u << 20);
	{
		STMT_AUTO struct stmt *s = db_query(c,
			"SELECT organization_id, app_id, live, end_user_id, status, mode, external_post_id, scheduled_at, tags, metadata"
			" FROM post WHERE id = ?1", "s", post_id);

		if (!db_next(s))
			return;
		o = (struct owner){db_dup(s, 0, &a), db_dup(s, 1, &a), db_int(s, 2)};
		end_user = db_dup(s, 3, &a);
		event_write(&data, post_id, s, before);
	}
	event_add(c, &o, type, end_user, buf_text(&data), now);
}

/* ---- deriving --------------------------------------------------------------------------------------- */

void post_derive_id(struct db_conn *c, const char *post_id, int64_t now)
{
	const char *status, *before, *organization;
	ARENA_AUTO struct arena a;
	struct counts n;
	char type[64];

	arena_init(&a, 4096);
	if (!look(c, post_id, &a, &organization, &before, &n))
		return;
	status = status_of(&n);
	if (text_eq(before, status))
		return;
	db_run(c, "UPDATE post SET status = ?2, updated_at = ?3 WHERE id = ?1 AND organization_id = ?4", "ssis", post_id, status, now,
	       organization);
	snprintf(type, sizeof type, "post.%s", status);
	if (is_announced(status))
		post_announce(c, post_id, type, before, now);
}

static char *post_of(struct db_conn *c, const char *delivery_id, struct arena *a)
{
	STMT_AUTO struct stmt *s = db_query(c, "SELECT post_id FROM delivery WHERE id = ?1", "s", delivery_id);

	return db_next(s) ? db_dup(s, 0, a) : NULL;
}

void post_derive(struct db_conn *c, const char *delivery_id, int64_t now)
{
	struct arena a;
	char *post_id;

	arena_init(&a, 4096);
	post_id = post_of(c, delivery_id, &a);
	if (post_id != NULL)
		post_derive_id(c, post_id, now);
	arena_free(&a);
}
