/*
 * Containers: made first, published by a second call, their state can be read at any time.  A container is
 * published at most once.
 */
#include <string.h>

#include "core/base/clock.h"
#include "core/base/text.h"
#include "core/sandbox/handlers.h"
#include "core/sandbox/publish.h"
#include "core/sandbox/store.h"

struct job { const struct draft *draft; const struct caller *who; const char *status; char id[ID_MAX]; int64_t ready_at; };

static enum rc add(struct cx *cx, struct db_conn *db, void *arg)
{
	struct job *j = arg;
	const struct draft *d = j->draft;

	db_run(db, "INSERT INTO container (id, account_id, page_id, text, media_ids, marker, status, ready_at)"
	       " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)", "sssssssi", j->id, j->who->account, d->page, d->text, d->media,
	       d->marker, j->status, j->ready_at);
	sandbox_reply_add(db, j->id, d->parent);
	return db_fail(cx, db);
}

void sandbox_containers_create(struct call *c)
{
	struct draft d;
	struct job j = { .draft = &d, .who = &c->who, .status = "in_progress" };
	struct jsonw *w;

	if (!sandbox_draft_read(c, &d))
		return;
	if (sandbox_magic_has(d.text, "container:error"))
		j.status = "error";
	id_new(j.id, "ctr");
	j.ready_at = clock_now() + c->who.processing_ms;
	if (db_write(&c->cx, c->s->db, add, &j) != RC_OK) {
		call_failed(c);
		return;
	}
	w = call_json(c, 200);
	jsonw_text(w, "id", j.id);
	jsonw_text(w, "status", "in_progress");
	call_done(c);
}

static void not_found(struct call *c)
{
	call_error(c, 404, "not_found", "No such container.");
}

void sandbox_containers_get(struct call *c)
{
	DB_READ_AUTO struct db_conn *db = db_take(c->s->db);
	STMT_AUTO struct stmt *q = db_query(db, "SELECT status, ready_at, post_id FROM container WHERE id = ?1 AND account_id = ?2", "ss",
					    c->id, c->who.account);
	struct jsonw *w;
	bool made;

	if (!db_next(q)) {
		not_found(c);
		return;
	}
	made = db_int(q, 1) <= clock_now();
	w = call_json(c, 200);
	jsonw_text(w, "id", c->id);
	if (!made)
		jsonw_text(w, "status", "in_progress");
	else
		jsonw_text(w, "status", text_eq(db_text(q, 0), "in_progress") ? "finished" : db_text(q, 0));
	if (text_eq(db_text(q, 0), "published")) {
		BUF_AUTO struct buf url;

		buf_init(&url, 512);
		sandbox_post_url(c->s, db_text(q, 2), &url);
		jsonw_text(w, "post_id", db_text(q, 2));
		jsonw_text(w, "post_url", buf_text(&url));
	}
	call_done(c);
}

void sandbox_containers_publish(struct call *c)
{
	struct draft d = { .container = c->id };

	{
		DB_READ_AUTO struct db_conn *db = db_take(c->s->db);
		STMT_AUTO struct stmt *q = db_query(db, "SELECT text, media_ids, marker, page_id,"
						    " (SELECT parent_id FROM reply WHERE reply.id = container.id) FROM container WHERE id = ?1"
						    " AND account_id = ?2", "ss", c->id, c->who.account);

		if (db_next(q)) {
			d.text = db_dup(q, 0, c->r->arena);
			d.media = db_dup(q, 1, c->r->arena);
			d.marker = db_dup(q, 2, c->r->arena);
			d.page = db_dup(q, 3, c->r->arena);
			d.parent = db_dup(q, 4, c->r->arena);
		}
	}
	if (d.text)
		sandbox_publish(c, &d);
	else
		not_found(c);
}
