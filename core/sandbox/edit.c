/*
 * Editing a post: its text and media are put in the place of what was there.  What it was at first stands in the
 * ledger, what it became in the table edit; the magic words of the new text work as in a publish.
 */
#include <string.h>

#include "core/base/clock.h"
#include "core/base/text.h"
#include "core/sandbox/handlers.h"
#include "core/sandbox/publish.h"
#include "core/sandbox/token.h"

struct job {
	const struct caller *who;
	const char *id, *text, *media, *key;	/* media NULL: it stays; key NULL: none */
	const struct magic *magic;		/* NULL: none */
	bool there, plain;
	int64_t edits;
};

static bool key_used(struct db_conn *c, const struct job *j)
{
	return j->key != NULL && db_number(c, 0, "SELECT count(*) FROM edit WHERE post_id = ?1 AND key = ?2", "ss", j->id, j->key) > 0;
}

static void take(struct db_conn *c, const struct job *j)
{
	db_run(c, "UPDATE post SET text = ?2, media_ids = coalesce(?3, media_ids) WHERE id = ?1", "sss", j->id, j->text, j->media);
	db_run(c, "INSERT INTO edit (sequence, at, post_id, text, media_ids, key)"
	       " SELECT (SELECT coalesce(max(sequence), 0) + 1 FROM edit), ?2, id, text, media_ids, ?3 FROM post WHERE id = ?1", "sis", j->id,
	       clock_now(), j->key);
}

static enum rc decide(struct cx *cx, struct db_conn *c, void *arg)
{
	struct job *j = arg;

	j->there = db_number(c, 0, "SELECT count(*) FROM post WHERE id = ?1 AND account_id = ?2 AND status = 'published'"
			     " AND deleted_at IS NULL", "ss", j->id, j->who->account) > 0;
	j->plain = key_used(c, j);
	if (j->there && !j->plain) {
		j->plain = !sandbox_magic_works(c, j->who->account, j->text, j->magic);
		if (j->plain || j->magic->act == MAGIC_COMMIT)
			take(c, j);
		else if (j->magic->token == TOKEN_REFUSED)
			db_run(c, "UPDATE token SET spent = 1 WHERE hash = ?1", "b", (const void *)j->who->token, sizeof j->who->token);
		else if (j->magic->token == TOKEN_FAMILY_ENDS)
			sandbox_family_end(c, j->who->family, "person");
	}
	j->edits = db_number(c, 0, "SELECT count(*) FROM edit WHERE post_id = ?1", "s", j->id);
	return db_fail(cx, c);
}

static void answer(struct call *c, const struct job *j)
{
	BUF_AUTO struct buf url = {0};
	struct jsonw *w;

	if (!j->there) {
		call_error(c, 404, "not_found", "No such post.");
		return;
	}
	if (!j->plain && sandbox_answer_false(c, j->magic))
		return;
	buf_init(&url, 512);
	sandbox_post_url(c->s, j->id, &url);
	w = call_json(c, 200);
	jsonw_text(w, "id", j->id);
	jsonw_text(w, "url", buf_text(&url));
	jsonw_int(w, "edits", j->edits);
	call_done(c);
}

/* {"text", "media_ids"?}; without media_ids they stay. */
void sandbox_posts_edit(struct call *c)
{
	struct draft d;
	struct magic magic;
	struct job j = {.who = &c->who, .id = c->id};
	enum magic_found found;
	struct jv body;

	if (!call_body(c, &body) || !sandbox_draft_of(c, body, &d))
		return;
	found = sandbox_magic_find(d.text, &magic);
	if (found == MAGIC_UNKNOWN) {
		call_error(c, 422, "unknown_magic", "The text has a magic word that the sandbox does not know.");
		return;
	}
	if (found == MAGIC_FOUND && magic.act == MAGIC_LATE) {	/* it takes effect when the caller has long given up */
		call_wait(c, magic.ms);
		magic.act = MAGIC_COMMIT;
	}
	j.text = d.text;
	j.media = json_type(json_get(body, "media_ids")) == JSON_ARRAY ? d.media : NULL;
	j.key = text_eq(c->who.type, "keyed") ? web_header_in(c->r, "Idempotency-Key") : NULL;
	j.magic = found == MAGIC_FOUND ? &magic : NULL;
	if (db_write(&c->cx, c->s->db, decide, &j) != RC_OK)
		call_failed(c);
	else
		answer(c, &j);
}
