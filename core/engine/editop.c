/*
 * edit: new content for a delivery that is published.
 *
 * The one thing to know: what an edit does can be done twice without harm, so a SAFE request (the whole content put
 * in its place) is repeated.  What must not happen is that nobody is told: an edit that ends badly after a request
 * whose effect is not known ends as edit_outcome_unknown, and never as "was not edited".  Its beginning is stored
 * before anything is sent, so that a restart knows that something may have been.
 */
#include "core/engine/op.h"

#include <string.h>

#include "core/base/clock.h"
#include "core/base/jsonw.h"
#include "core/base/text.h"

#define TRIES_MAX 4
#define RESENDS_MAX 3
#define LOOKS_MAX 6
#define WAIT_MAX_MS 60000
#define UNKNOWN "edit_outcome_unknown"

bool edit_is(const struct op *op) { return text_eq(op->row.kind, "edit"); }

static bool risky(const struct op *op) { return op->repeat != REPEAT_SAFE; }

/* ---- beginning --------------------------------------------------------------------------------------- */

static const struct { const char *reason, *code, *words; } blocks[] = {
	{"reauth", "connection_reauth_required", "the account has to be connected again"},
	{"disconnected", "connection_not_found", "the account was disconnected"},
	{"paused", "conflict", "the connection is paused"},
};

static bool refused(struct op *op)
{
	if (op->d.id == NULL || op->d.state != DELIVERY_PUBLISHED || text_eq(op->d.reason, "unpublished")) {
		connect_failed(op, "conflict", "the delivery was removed from the platform meanwhile", false, false);
		return true;
	}
	for (size_t i = 0; i < sizeof blocks / sizeof blocks[0]; i++)
		if (text_eq(op->blocked, blocks[i].reason)) {
			connect_failed(op, blocks[i].code, blocks[i].words, false, false);
			return true;
		}
	return false;
}

void edit_begin(struct op *op)
{
	if (refused(op))
		return;
	if (text_eq(op->event, "lost")) {
		edit_lost(op, "the server stopped between the request and its answer");
		return;
	}
	op_change(op, "running");
	op->row.due_at = 0;
	op_commit(op, AFTER_BEGIN);
}

void edit_begun(struct op *op)
{
	if (refresh_needed(op, clock_now()))
		refresh_wait(op);
	else
		op_step(op, op->event);
}

/* ---- looking ----------------------------------------------------------------------------------------- */

/* The phase that reads the answer is asked what became of its request. */
void edit_look(struct op *op)
{
	op->looking = true;
	op->look_again = false;
	op->d.looks++;
	op->phase = op->row.phase;
	op_step(op, "lost");
}

static void look_later(struct op *op, int64_t ms)
{
	if (op->d.looks >= LOOKS_MAX) {
		connect_failed(op, UNKNOWN, "the platform does not tell whether it took the new content", false, false);
		return;
	}
	op->look_again = true;
	op_wait(op, ms > 1000 ? ms : 1000, false);
}

void edit_lost(struct op *op, const char *words)
{
	int64_t now = clock_now(), wait = backoff_ms(op->resends + 1);

	(void)words;			/* its attempt has them */
	op->row.resent = 1;
	if (op->platform != NULL && op->repeat == REPEAT_KEYED && op->intent.len > 0 && op->resends < RESENDS_MAX && !op->e->stopping &&
	    key_alive(op, wait)) {
		op->resends++;
		op_wait(op, wait, true);
		return;
	}
	if (op->d.unconfirmed_at == 0)
		op->d.unconfirmed_at = now;
	edit_look(op);
}

void edit_found(struct op *op, const struct action *a)
{
	op->row.result = op_result(op);
	connect_outcome(op, a);
}

/* As with a post: "it is not there" counts twice, and only when no request of ours can arrive any more. */
void edit_looked(struct op *op, bool absent)
{
	struct dedupe d = op_dedupe(op);
	int64_t left = op->d.unconfirmed_at + d.settle_ms + d.search_lag_ms - clock_now();

	if (!absent) {
		connect_failed(op, UNKNOWN, "the platform does not tell whether it took the new content", false, false);
		return;
	}
	op->d.absents = left <= 0 ? op->d.absents + 1 : 0;
	if (op->d.absents < 2) {
		look_later(op, left);
		return;
	}
	op->row.resent = 0;		/* it is known now */
	connect_failed(op, "platform_unavailable", "the platform did not take the new content", false, false);
}

static void look_failed(struct op *op, const struct action *a)
{
	if (text_eq(a->class, "auth") && op->has_grant && op->grant.refreshable && !op->auth_tried) {
		op->auth_tried = true;
		refresh_wait(op);
	} else if (text_eq(a->class, "transient") || text_eq(a->class, "limit")) {
		look_later(op, op->retry_after_ms > 0 && op->retry_after_ms < WAIT_MAX_MS ? op->retry_after_ms : backoff_ms(op->d.looks));
	} else {
		connect_failed(op, UNKNOWN, a->message, text_eq(a->class, "revoked"), text_eq(a->class, "revoked"));
	}
}

/* ---- failing ----------------------------------------------------------------------------------------- */

static bool is_unknown(const struct action *a)
{
	return (text_eq(a->class, "transient") || text_eq(a->class, "unknown")) && !text_eq(a->reason, "unsent");
}

/* A refusal of what had been sent before with an unknown outcome proves nothing; a limit is waited for. */
static bool failed_risky(struct op *op, const struct action *a)
{
	bool unsent = text_eq(a->reason, "unsent");

	if (is_unknown(a) || (op->row.resent && !unsent)) {
		edit_lost(op, a->message);
		return true;
	}
	if (!text_eq(a->class, "limit") || op->row.retries >= TRIES_MAX)
		return false;
	op->row.retries++;
	op_wait(op, op->retry_after_ms > 0 && op->retry_after_ms < WAIT_MAX_MS ? op->retry_after_ms : backoff_ms(op->row.retries), true);
	return true;
}

bool edit_failed(struct op *op, const struct action *a)
{
	if (op->looking) {
		look_failed(op, a);
		return true;
	}
	if (risky(op))
		return failed_risky(op, a);
	if (is_unknown(a) && op->method != NULL && !text_eq(op->method, "GET"))
		op->unsure = true;
	return false;
}

const char *edit_code(struct op *op, const char *code, const char **message)
{
	if ((!op->row.resent && !op->unsure) || text_eq(code, UNKNOWN))
		return code;
	*message = arena_printf(&op->arena, "it is not known whether the post has its new content: %s", *message);
	return UNKNOWN;
}

/* The same request once more: what is not known does no harm when it is done again. */
bool edit_retryable(const char *code) { return text_eq(code, UNKNOWN) || text_eq(code, "platform_unavailable"); }

void edit_failed_effect(struct db_conn *c, struct op *op, int64_t now)
{
	delivery_edit_failed(c, op->row.delivery_id, op->row.owner.organization_id, op->row.error, text_eq(op->change.reason, UNKNOWN), now);
}

/* ---- done -------------------------------------------------------------------------------------------- */

static void copy_members(struct jsonw *w, struct jv from, struct jv unless)
{
	const char *key, *raw;
	struct jv value;
	size_t n;

	for (size_t i = 0; json_member(from, i, &key, &value); i++)
		if (json_type(json_get(unless, key)) == JSON_NONE) {
			raw = json_raw(value, &n);
			jsonw_raw(w, key, raw, n);
		}
}

/* What a later edit or removal needs: the publish's results, with those of the edit in their place. */
static const char *merged(struct op *op)
{
	struct jv older = op_json(op, op->d.result), newer = op_json(op, op->row.result), none = {NULL, 0};
	BUF_AUTO struct buf out;
	struct jsonw w;

	buf_init(&out, 1u << 20);
	jsonw_init(&w, &out);
	jsonw_object(&w, "");
	copy_members(&w, older, newer);
	copy_members(&w, newer, none);
	jsonw_object_end(&w);
	jsonw_end(&w);
	return arena_text(&op->arena, buf_text(&out));
}

enum rc edit_effect(struct cx *cx, struct db_conn *c, struct op *op, int64_t now)
{
	struct delivery_content k = {
		.id = op->row.delivery_id, .organization_id = op->row.owner.organization_id, .text = op->d.text, .content = op->d.content,
		.hash = json_text(json_get(op_json(op, op->row.input), "hash")), .remote_url = op->remote_url, .result = merged(op),
		.warnings = op->warnings.len > 0 ? arena_printf(&op->arena, "[%s]", buf_text(&op->warnings)) : NULL,
	};
	const char *error;

	(void)cx;
	if (delivery_edited(c, &k, now) || db_rc(c) != RC_OK)
		return RC_OK;
	error = op_error(op, "conflict", "the delivery was removed from the platform meanwhile", NULL, false);
	db_run(c, "UPDATE operation SET status = 'failed', error = ?3 WHERE id = ?1 AND organization_id = ?2", "sss", op->id,
	       op->row.owner.organization_id, error);
	delivery_edit_failed(c, op->row.delivery_id, op->row.owner.organization_id, error, false, now);
	return RC_OK;
}
