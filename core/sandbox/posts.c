/*
 * Posts: create, list, read, delete, and the page that a post's url shows to people.
 */
#include <string.h>

#include "core/base/clock.h"
#include "core/base/text.h"
#include "core/sandbox/handlers.h"
#include "core/sandbox/page.h"
#include "core/sandbox/publish.h"

#define TEXT_MAX 20000
#define MEDIA_IDS_MAX 20
#define LIST_MAX 200
#define ROW "SELECT id, text, created_at, marker, status, media_ids, (SELECT parent_id FROM reply WHERE reply.id = post.id) FROM post"

static bool media_ready(struct call *c, const char *id)
{
	DB_READ_AUTO struct db_conn *db = db_take(c->s->db);

	return db_number(db, 0, "SELECT count(*) FROM media WHERE id = ?1 AND account_id = ?2 AND ready_at <= ?3", "ssi", id,
			 c->who.account, clock_now()) > 0;
}

static bool media_read(struct call *c, struct jv body, const char **ret)
{
	struct jv list = json_get(body, "media_ids");
	size_t len;

	*ret = "[]";
	if (json_type(list) == JSON_NONE || json_type(list) == JSON_NULL)
		return true;
	if (json_type(list) != JSON_ARRAY || json_count(list) > MEDIA_IDS_MAX) {
		call_error(c, 400, "invalid_request", "media_ids must be an array of at most %d ids.", MEDIA_IDS_MAX);
		return false;
	}
	for (size_t i = 0; i < json_count(list); i++) {
		struct jv id = json_at(list, i);

		if (json_type(id) == JSON_STRING && media_ready(c, json_text(id)))
			continue;
		call_error(c, 400, "invalid_media", "media_ids[%zu] is unknown or not ready.", i);
		return false;
	}
	*ret = json_raw(list, &len);
	*ret = arena_dup(c->r->arena, *ret, len);
	return true;
}

/* A post of this account that is published and not deleted. */
static bool parent_is_there(struct call *c, const char *id)
{
	DB_READ_AUTO struct db_conn *db = db_take(c->s->db);

	if (id == NULL || db_number(db, 0, "SELECT count(*) FROM post WHERE id = ?1 AND account_id = ?2 AND status = 'published'"
				    " AND deleted_at IS NULL", "ss", id, c->who.account) > 0)
		return true;
	call_error(c, 404, "parent_not_found", "The post this answers to is not there.");
	return false;
}

bool sandbox_draft_read(struct call *c, struct draft *ret)
{
	struct jv body;

	return call_body(c, &body) && sandbox_draft_of(c, body, ret);
}

bool sandbox_draft_of(struct call *c, struct jv body, struct draft *ret)
{
	struct draft d = { .page = c->who.page };

	if (!call_text(c, body, "text", TEXT_MAX, &d.text) ||
	    !call_text(c, body, "marker", 255, &d.marker) ||
	    !call_text(c, body, "parent_id", 63, &d.parent) || !call_text(c, body, "page_id", 63, &d.page) ||
	    !media_read(c, body, &d.media))
		return false;
	if (!d.text && text_eq(d.media, "[]")) {
		call_error(c, 400, "invalid_request", "A post needs text or media.");
		return false;
	}
	if (!d.text)
		d.text = "";
	if (!sandbox_page_ok(&c->who, d.page)) {
		call_error(c, 404, "page_not_found", "This token has no such page.");
		return false;
	}
	if (!parent_is_there(c, d.parent))
		return false;
	*ret = d;
	return true;
}

void sandbox_posts_create(struct call *c)
{
	const char *key = web_header_in(c->r, "Idempotency-Key");
	struct draft d;

	if (!sandbox_draft_read(c, &d))
		return;
	if (key && (!key[0] || strlen(key) > 255)) {
		call_error(c, 400, "invalid_request", "Idempotency-Key has 1 to 255 characters.");
		return;
	}
	d.key = text_eq(c->who.type, "keyed") ? key : NULL;
	sandbox_publish(c, &d);
}

static void row_write(struct call *c, struct jsonw *w, struct stmt *q)
{
	BUF_AUTO struct buf url;

	buf_init(&url, 512);
	sandbox_post_url(c->s, db_text(q, 0), &url);
	jsonw_text(w, "id", db_text(q, 0));
	jsonw_text(w, "text", db_text(q, 1));
	jsonw_int(w, "created_at", db_int(q, 2));
	jsonw_text(w, "url", buf_text(&url));
	jsonw_text(w, "marker", db_text(q, 3));
	jsonw_text(w, "status", db_text(q, 4));
	jsonw_text(w, "parent_id", db_text(q, 6));
	jsonw_raw(w, "media_ids", db_text(q, 5), strlen(db_text(q, 5)));
}

void sandbox_posts_list(struct call *c)
{
	const char *since_text = "0", *page = c->who.page;
	struct jsonw *w;
	int64_t since;
	DB_READ_AUTO struct db_conn *db = NULL;
	STMT_AUTO struct stmt *q = NULL;

	web_query(c->r, "since", &since_text);
	web_query(c->r, "page_id", &page);
	if (!text_int(since_text, &since) || !sandbox_page_ok(&c->who, page)) {
		call_error(c, 400, "invalid_request", "since is a time in milliseconds, page_id a page of yours.");
		return;
	}
	db = db_take(c->s->db);
	q = db_query(db, ROW " WHERE account_id = ?1 AND page_id = ?2"
		     " AND created_at >= ?3 AND created_at <= ?4 AND status = 'published' AND deleted_at IS NULL"
		     " ORDER BY sequence DESC LIMIT ?5", "ssiii", c->who.account, page, since,
		     clock_now() - c->who.search_lag_ms, (int64_t)LIST_MAX);
	w = call_json(c, 200);
	jsonw_array(w, "data");
	while (db_next(q)) {
		jsonw_object(w, NULL);
		row_write(c, w, q);
		jsonw_object_end(w);
	}
	q = NULL;
	jsonw_array_end(w);
	call_done(c);
	if (db_fail(&c->cx, db) != RC_OK)
		call_failed(c);
}

static void not_found(struct call *c)
{
	call_error(c, 404, "not_found", "No such post.");
}

void sandbox_posts_get(struct call *c)
{
	DB_READ_AUTO struct db_conn *db = db_take(c->s->db);
	STMT_AUTO struct stmt *q = db_query(db, ROW " WHERE id = ?1"
					    " AND account_id = ?2 AND status <> 'late' AND deleted_at IS NULL", "ss", c->id,
					    c->who.account);

	if (!db_next(q)) {
		not_found(c);
		return;
	}
	call_json(c, 200);
	row_write(c, &c->json, q);
	call_done(c);
}

struct delete_job { const char *id, *account; int64_t deleted; };

static enum rc delete_write(struct cx *cx, struct db_conn *db, void *arg)
{
	struct delete_job *j = arg;

	j->deleted = db_run(db, "UPDATE post SET deleted_at = ?3 WHERE id = ?1 AND account_id = ?2 AND status <> 'late'"
			    " AND deleted_at IS NULL", "ssi", j->id, j->account, clock_now());
	return db_fail(cx, db);
}

void sandbox_posts_delete(struct call *c)
{
	struct delete_job j = { .id = c->id, .account = c->who.account };

	if (db_write(&c->cx, c->s->db, delete_write, &j) != RC_OK) {
		call_failed(c);
	} else if (!j.deleted) {
		not_found(c);
	} else {
		struct jsonw *w = call_json(c, 200);

		jsonw_text(w, "id", c->id);
		jsonw_bool(w, "deleted", true);
		call_done(c);
	}
}

void sandbox_posts_page(struct call *c)
{
	DB_READ_AUTO struct db_conn *db = db_take(c->s->db);
	STMT_AUTO struct stmt *q = db_query(db, "SELECT a.name, p.text, p.created_at FROM post p JOIN account a ON a.id = p.account_id"
					    " WHERE p.id = ?1 AND p.status = 'published' AND p.deleted_at IS NULL", "s", c->id);

	if (db_next(q))
		sandbox_page_post(c, db_text(q, 0), db_text(q, 1), db_int(q, 2));
	else
		sandbox_page_error(c, 404, "This post is not here", "It was deleted, or it never was.");
}
