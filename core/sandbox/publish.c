/*
 * Publishing: one transaction decides everything (key, container, magic, post, ledger), then the answer is
 * given, withheld or falsified.  The ledger row and the post are one commit, and the commit comes before the
 * first byte of any answer.
 */
#include "core/sandbox/publish.h"

#include <stdio.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/text.h"
#include "core/sandbox/late.h"
#include "core/sandbox/store.h"
#include "core/sandbox/token.h"

enum verdict { PUBLISHED, REPLAYED, WAITING, NOT_PUBLISHED, KEY_BUSY, CONTAINER_BUSY, CONTAINER_DONE, CONTAINER_NOT_READY };

struct job {
	const struct caller *who;
	const struct draft *draft;
	const char *address;
	const struct magic *magic;	/* NULL: none */
	enum verdict verdict;
	bool plain;			/* the magic has worked as often as it should: an ordinary post */
	char post[ID_MAX];
};

/* ---- inside the transaction ----------------------------------------------------------------------- */

/* True if the key decides: an earlier request holds it. */
static bool key_holds(struct db_conn *c, struct job *j, int64_t now)
{
	STMT_AUTO struct stmt *q = NULL;

	if (!j->draft->key)
		return false;
	q = db_query(c, "SELECT k.post_id, k.created_at, p.status FROM key_use k LEFT JOIN post p ON p.id = k.post_id"
		     " WHERE k.account_id = ?1 AND k.key = ?2", "ss", j->who->account, j->draft->key);
	if (!db_next(q) || now - db_int(q, 1) >= j->who->window_ms)
		return false;
	j->verdict = db_null(q, 0) ? KEY_BUSY : text_eq(db_text(q, 2), "awaiting_user") ? WAITING : REPLAYED;
	j->plain = true;
	snprintf(j->post, sizeof j->post, "%s", db_text_or(q, 0, ""));
	return true;
}

static void key_take(struct db_conn *c, const struct job *j, const char *post, int64_t now)
{
	if (j->draft->key)
		db_run(c, "INSERT INTO key_use (account_id, key, post_id, created_at) VALUES (?1, ?2, ?3, ?4)"
		       " ON CONFLICT (account_id, key) DO UPDATE SET post_id = excluded.post_id, created_at = excluded.created_at",
		       "sssi", j->who->account, j->draft->key, post, now);
}

/* True if the container decides: published, on its way, or not ready. */
static bool container_holds(struct db_conn *c, struct job *j)
{
	STMT_AUTO struct stmt *q = NULL;
	const char *status;

	if (!j->draft->container)
		return false;
	q = db_query(c, "SELECT status, ready_at, post_id FROM container WHERE id = ?1", "s", j->draft->container);
	if (!db_next(q))
		return false;
	status = db_text(q, 0);
	if (text_eq(status, "published") || text_eq(status, "awaiting_user"))
		j->verdict = CONTAINER_DONE;
	else if (!db_null(q, 2))
		j->verdict = CONTAINER_BUSY;
	else if (text_eq(status, "error") || db_int(q, 1) > clock_now())
		j->verdict = CONTAINER_NOT_READY;
	else
		return false;
	return true;
}

bool sandbox_magic_works(struct db_conn *c, const char *account, const char *text, const struct magic *m)
{
	int64_t used;

	if (!m)
		return false;
	if (!m->times)
		return true;
	used = db_number(c, 0, "SELECT times FROM magic_use WHERE account_id = ?1 AND text = ?2", "ss", account, text);
	if (used >= m->times)
		return false;
	db_run(c, "INSERT INTO magic_use (account_id, text, times) VALUES (?1, ?2, 1)"
	       " ON CONFLICT (account_id, text) DO UPDATE SET times = magic_use.times + 1", "ss", account, text);
	return true;
}

static void token_suffers(struct db_conn *c, const struct job *j)
{
	if (j->magic->token == TOKEN_REFUSED)
		db_run(c, "UPDATE token SET spent = 1 WHERE hash = ?1", "b", (const void *)j->who->token, sizeof j->who->token);
	if (j->magic->token == TOKEN_FAMILY_ENDS)
		sandbox_family_end(c, j->who->family, "person");
}

static void post_add(struct db_conn *c, const struct job *j, const char *status, int64_t now)
{
	const struct draft *d = j->draft;

	db_run(c, "INSERT INTO post (id, account_id, page_id, text, media_ids, marker, status, key, container_id, family, address,"
	       " created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)", "sssssssssssi", j->post,
	       j->who->account, d->page, d->text, d->media, d->marker, status, d->key, d->container, j->who->family,
	       j->address, now);
	sandbox_reply_add(c, j->post, d->parent);
	if (d->container)
		db_run(c, "UPDATE container SET post_id = ?2, status = CASE WHEN ?3 = 'late' THEN status ELSE ?3 END WHERE id = ?1",
		       "sss", d->container, j->post, status);
}

static void publish_now(struct db_conn *c, const struct job *j, int64_t now)
{
	const struct draft *d = j->draft;

	post_add(c, j, "published", now);
	sandbox_ledger_add(c, &(struct ledger_entry){ now, j->post, j->who->account, d->page, d->text, d->media, d->key,
						      d->container, j->who->family, j->address });
	key_take(c, j, j->post, now);
	db_run(c, "DELETE FROM magic_use WHERE account_id = ?1 AND text = ?2", "ss", j->who->account, d->text);
}

static void publish_later(struct db_conn *c, const struct job *j, int64_t now)
{
	post_add(c, j, "late", now);
	key_take(c, j, NULL, now);
	db_run(c, "INSERT INTO late (post_id, due_at) VALUES (?1, ?2)", "si", j->post, now + j->magic->ms);
}

static enum rc decide(struct cx *cx, struct db_conn *c, void *arg)
{
	struct job *j = arg;
	int64_t now = clock_now();
	enum magic_act act;

	id_new(j->post, "sbx");
	j->plain = false;
	if (key_holds(c, j, now) || container_holds(c, j))
		return db_fail(cx, c);
	j->plain = !sandbox_magic_works(c, j->who->account, j->draft->text, j->magic);
	act = j->plain ? MAGIC_COMMIT : j->magic->act;
	j->verdict = act == MAGIC_COMMIT ? PUBLISHED : act == MAGIC_PERSON ? WAITING : NOT_PUBLISHED;
	if (act == MAGIC_COMMIT) {
		publish_now(c, j, now);
	} else if (act == MAGIC_LATE) {
		publish_later(c, j, now);
	} else if (act == MAGIC_PERSON) {
		post_add(c, j, "awaiting_user", now);
		key_take(c, j, j->post, now);
	} else {
		token_suffers(c, j);
	}
	return db_fail(cx, c);
}

bool sandbox_publish_waiting(struct db_conn *c, const char *post)
{
	int64_t now = clock_now();
	STMT_AUTO struct stmt *q = db_query(c, "SELECT account_id, page_id, text, media_ids, key, container_id, family, address"
					    " FROM post WHERE id = ?1 AND status IN ('late', 'awaiting_user') AND deleted_at IS NULL",
					    "s", post);

	if (!db_next(q))
		return false;
	db_run(c, "UPDATE post SET status = 'published', created_at = ?2 WHERE id = ?1", "si", post, now);
	db_run(c, "UPDATE container SET status = 'published' WHERE id = ?1", "s", db_text(q, 5));
	db_run(c, "UPDATE key_use SET post_id = ?3 WHERE account_id = ?1 AND key = ?2 AND post_id IS NULL", "sss",
	       db_text(q, 0), db_text(q, 4), post);
	sandbox_ledger_add(c, &(struct ledger_entry){ now, post, db_text(q, 0), db_text(q, 1), db_text(q, 2), db_text(q, 3),
						      db_text(q, 4), db_text(q, 5), db_text(q, 6), db_text(q, 7) });
	return true;
}

/* ---- the answer ----------------------------------------------------------------------------------- */

void sandbox_post_url(const struct sandbox *s, const char *id, struct buf *out)
{
	buf_addf(out, "%s/posts/%s", s->public_url, id);
}

static void answer_post(struct call *c, const struct job *j, bool huge)
{
	bool waits = j->verdict == WAITING;
	struct jsonw *w = call_json(c, waits ? 202 : 200);
	BUF_AUTO struct buf url;

	buf_init(&url, 512);
	sandbox_post_url(c->s, j->post, &url);
	jsonw_text(w, "id", waits && j->draft->container ? j->draft->container : j->post);
	if (waits)
		jsonw_text(w, "status", "awaiting_user");
	else
		jsonw_text(w, "url", buf_text(&url));
	if (huge) {
		char *padding = arena_alloc(c->r->arena, 4096);

		memset(padding, 'x', 4096);
		jsonw_array(w, "padding");
		for (int i = 0; i < 512; i++)
			jsonw_textn(w, NULL, padding, 4096);
		jsonw_array_end(w);
	}
	call_done(c);
}

static void answer_magic_error(struct call *c, const struct magic *m)
{
	if (m->retry_after)
		web_header(c->a, "Retry-After", "%d", m->retry_after);
	call_error(c, m->status, m->code, "The sandbox was asked for this by [[%s]].", m->name);
}

bool sandbox_answer_false(struct call *c, const struct magic *m)
{
	switch (m->answer) {
	case ANSWER_ERROR:
		answer_magic_error(c, m);
		return true;
	case ANSWER_HOLD:
		call_hold(c);
		return true;
	case ANSWER_RESET:
		call_reset(c);
		return true;
	case ANSWER_GARBAGE:
		c->a->status = 200;
		buf_adds(c->a->body, "{\"id\": \"sbx_");
		return true;
	case ANSWER_SLOW:
		call_wait(c, m->ms);
		return false;
	case ANSWER_TRUTH:
	case ANSWER_HUGE:
		return false;
	}
	return false;
}

static void answer_magic(struct call *c, const struct job *j)
{
	if (!sandbox_answer_false(c, j->magic))
		answer_post(c, j, j->magic->answer == ANSWER_HUGE);
}

static void answer(struct call *c, const struct job *j)
{
	switch (j->verdict) {
	case KEY_BUSY:
		call_error(c, 409, "in_flight", "A request with this Idempotency-Key is on its way.");
		break;
	case CONTAINER_BUSY:
		call_error(c, 409, "in_flight", "This container is being published.");
		break;
	case CONTAINER_DONE:
		call_error(c, 409, "already_published", "This container was published before.");
		break;
	case CONTAINER_NOT_READY:
		call_error(c, 409, "not_ready", "This container is not finished.");
		break;
	case REPLAYED:
		answer_post(c, j, false);
		break;
	case PUBLISHED:
	case WAITING:
	case NOT_PUBLISHED:
		if (j->plain)
			answer_post(c, j, false);
		else
			answer_magic(c, j);
		break;
	}
}

void sandbox_publish(struct call *c, const struct draft *draft)
{
	struct magic magic;
	enum magic_found found = sandbox_magic_find(draft->text, &magic);
	struct job j = { .who = &c->who, .draft = draft, .address = c->r->address };

	if (found == MAGIC_UNKNOWN) {
		call_error(c, 422, "unknown_magic", "The text has a magic word that the sandbox does not know.");
		return;
	}
	j.magic = found == MAGIC_FOUND ? &magic : NULL;
	if (db_write(&c->cx, c->s->db, decide, &j) != RC_OK) {
		call_failed(c);
		return;
	}
	if (j.verdict == NOT_PUBLISHED && magic.act == MAGIC_LATE)
		sandbox_late_wake(c->s);
	answer(c, &j);
}
