/*
 * Media: length, type and digest are kept, not the bytes.  Moving pictures are processed for a while.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/text.h"
#include "core/io/vault.h"
#include "core/sandbox/handlers.h"

struct job {
	const char *account, *type;
	char id[ID_MAX];
	char sha256[65];
	int64_t bytes, ready_at;
};

static enum rc add(struct cx *cx, struct db_conn *db, void *arg)
{
	struct job *j = arg;

	db_run(db, "INSERT INTO media (id, account_id, type, bytes, sha256, ready_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)", "sssisi",
	       j->id, j->account, j->type, j->bytes, j->sha256, j->ready_at);
	return db_fail(cx, db);
}

static void digest(const char *bytes, size_t n, char out[65])
{
	uint8_t h[32];
	BUF_AUTO struct buf b;

	buf_init(&b, 128);
	vault_sha256(bytes, n, h);
	text_hex(&b, h, sizeof h);
	snprintf(out, 65, "%s", buf_text(&b));
}

/* Not in the request's arena, which is made for bodies of JSON. */
static enum rc take(struct call *c, struct job *j)
{
	size_t n = c->r->content_length > 0 ? (size_t)c->r->content_length : 0, len = 0;
	enum rc rc;
	char *bytes;

	if (n > SANDBOX_MEDIA_MAX)
		return fail_code(&c->cx, RC_TOO_LARGE, "too_large", NULL, "Media may have %d bytes.", SANDBOX_MEDIA_MAX);
	bytes = malloc(n + 1);
	if (!bytes)
		return fail(&c->cx, RC_NOMEM, "no memory for %zu bytes of media", n);
	rc = web_read(&c->cx, c->r, bytes, n, &len);
	if (rc == RC_OK && len < n)
		rc = fail(&c->cx, RC_INVALID, "the body ended after %zu of %zu bytes", len, n);
	if (rc == RC_OK)
		digest(bytes, len, j->sha256);
	j->bytes = (int64_t)len;
	free(bytes);
	return rc;
}

static void write(struct call *c, const char *id, int64_t ready_at, const char *type, int64_t bytes, const char *sha256)
{
	struct jsonw *w = call_json(c, 200);

	jsonw_text(w, "id", id);
	jsonw_text(w, "state", ready_at <= clock_now() ? "ready" : "processing");
	jsonw_text(w, "type", type);
	jsonw_int(w, "bytes", bytes);
	jsonw_text(w, "sha256", sha256);
	call_done(c);
}

void sandbox_media_create(struct call *c)
{
	struct job j = { .account = c->who.account, .type = web_header_in(c->r, "Content-Type") };

	if (!j.type || !(text_starts(j.type, "image/") || text_starts(j.type, "video/")) || strlen(j.type) > 100) {
		call_error(c, 415, "unsupported_media_type", "Content-Type must be an image or a video.");
		return;
	}
	id_new(j.id, "med");
	if (take(c, &j) != RC_OK) {
		call_failed(c);
		return;
	}
	j.ready_at = clock_now() + (text_starts(j.type, "video/") ? c->who.processing_ms : 0);
	if (db_write(&c->cx, c->s->db, add, &j) != RC_OK)
		call_failed(c);
	else
		write(c, j.id, j.ready_at, j.type, j.bytes, j.sha256);
}

/* account NULL: any, for the control route. */
static void show(struct call *c, const char *account)
{
	DB_READ_AUTO struct db_conn *db = db_take(c->s->db);
	STMT_AUTO struct stmt *q = db_query(db, "SELECT ready_at, type, bytes, sha256 FROM media WHERE id = ?1"
					    " AND account_id = COALESCE(?2, account_id)", "ss", c->id, account);

	if (db_next(q))
		write(c, c->id, db_int(q, 0), db_text(q, 1), db_int(q, 2), db_text(q, 3));
	else
		call_error(c, 404, "not_found", "No such media.");
}

void sandbox_media_get(struct call *c)
{
	show(c, c->who.account);
}

void sandbox_control_media(struct call *c)
{
	show(c, NULL);
}
