/*
 * Writes: the effect, its answer and the row that remembers the answer, in one transaction.
 *
 * The answer is rendered before the COMMIT, because only then is it stored with the effect or not at all; a
 * client that lost the answer to a crash gets the same bytes when it asks again.
 */
#include "core/api/api.h"

#include <stdio.h>
#include <string.h>

#include "core/api/health.h"
#include "core/base/clock.h"
#include "core/model/idempotency.h"

struct writing {
	struct api_request *r;
	api_write_fn *fn;
	void *arg;
	const char *fingerprint;
	size_t headers;			/* what stood there before the handler's */
	struct idempotency kept;
};

static const char *fingerprint(struct api_request *r)
{
	BUF_AUTO struct buf text;
	uint8_t sum[32];
	char *hex = arena_alloc(r->arena, 65);

	buf_init(&text, r->raw_len + 64 * 1024);
	buf_addf(&text, "%s\n%s\n", r->route->method, r->route->pattern);
	for (int i = 0; i < r->match.params; i++)
		buf_addf(&text, "%zu:%s\n", strlen(r->match.values[i]), r->match.values[i]);
	buf_addf(&text, "?%s\n", r->web->query);
	buf_add(&text, r->raw ? r->raw : "", r->raw_len);
	if (!buf_ok(&text))		/* of what is not there it would be the same for all */
		out_of_memory(__func__);
	vault_sha256(buf_text(&text), text.len, sum);
	for (size_t i = 0; i < sizeof(sum); i++)
		snprintf(hex + 2 * i, 3, "%02x", sum[i]);
	return hex;
}

/* As before the handler: a closure may run again. */
static void answer_reset(struct writing *w)
{
	buf_reset(w->r->answer->body);
	buf_cut(w->r->answer->headers, w->headers);
	jsonw_init(w->r->w, w->r->answer->body);
	w->r->status = 0;
	w->r->replayed = false;
}

static enum rc kept_compare(struct cx *cx, struct writing *w)
{
	if (strcmp(w->kept.fingerprint, w->fingerprint))
		return fail_code(cx, RC_CONFLICT, "idempotency_key_reused", "Idempotency-Key",
			"This Idempotency-Key was used for another request (%s).", w->kept.request_id);
	w->r->replayed = true;
	return RC_OK;
}

static enum rc write_run(struct cx *cx, struct db_conn *c, void *arg)
{
	struct writing *w = arg;
	struct api_request *r = w->r;
	struct idempotency row;
	enum rc rc;

	answer_reset(w);
	if (r->idempotency_key && idempotency_find(c, &r->identity.owner, r->idempotency_key, clock_steady(), r->arena, &w->kept))
		return kept_compare(cx, w);
	rc = w->fn(cx, c, r, w->arg);
	if (rc)
		return rc;
	if (!buf_ok(r->answer->body) || !buf_ok(r->answer->headers))	/* what is kept for the next who asks must be whole */
		return fail(cx, RC_NOMEM, "no memory for the answer");
	if (!r->status)
		r->status = r->route->status ? r->route->status : 200;
	if (!r->idempotency_key || r->status >= 300)
		return RC_OK;
	row = (struct idempotency){r->idempotency_key, w->fingerprint, r->status, buf_text(r->answer->body), r->id};
	idempotency_add(c, &r->identity.owner, &row, clock_steady());
	return RC_OK;
}

/* The writer's own: a fault there is told by db_write. */
static void answer_replay(struct writing *w)
{
	struct api_request *r = w->r;

	metric_add(METRIC_REPLAYED);
	buf_adds(r->answer->body, w->kept.answer);
	r->status = w->kept.status;
	web_header(r->answer, "Idempotent-Replayed", "true");
	web_header(r->answer, "Original-Request-Id", "%s", w->kept.request_id);
}

enum rc api_kept(struct api_request *r, bool *ret_kept)
{
	struct writing w = {.r = r, .headers = r->answer->headers->len};
	enum rc rc = RC_OK;

	*ret_kept = false;
	if (r->idempotency_key == NULL)
		return RC_OK;
	w.fingerprint = fingerprint(r);
	DB_READ_AUTO struct db_conn *c = db_take(r->api->db);
	if (!idempotency_find(c, &r->identity.owner, r->idempotency_key, clock_steady(), r->arena, &w.kept))
		return RC_OK;
	rc = kept_compare(r->cx, &w);
	if (rc == RC_OK) {
		*ret_kept = true;
		answer_replay(&w);
	}
	return rc;
}

enum rc api_write(struct api_request *r, api_write_fn *fn, void *arg)
{
	struct writing w = {.r = r, .fn = fn, .arg = arg, .headers = r->answer->headers->len};
	enum rc rc;

	if (db_read_fault() != RC_OK)	/* what was read before decides what is written */
		return fail(r->cx, RC_UNAVAILABLE, "the store could not be read: ask again");
	if (r->idempotency_key)
		w.fingerprint = fingerprint(r);
	rc = db_write(r->cx, r->api->db, write_run, &w);
	r->wrote = rc == RC_OK;
	if (rc)
		answer_reset(&w);
	else if (r->replayed)
		answer_replay(&w);
	return rc;
}
