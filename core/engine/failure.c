/*
 * Failures of a publish: how a class, a lost answer or an unsent request moves a delivery.  The rules are
 * those that the exhaustive model of the state machine needs; each `never` here has a crash test.
 *
 *   risky     the answer belongs to an irreversible request (keyed or once)
 *   resent    that request had been sent before with an unknown outcome: a rejection proves nothing
 *   accepted  an irreversible request was answered; the platform processes, we only read
 */
#include "core/engine/op.h"

#include <stdio.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/text.h"

#define RETRIES_MAX 12
#define RESENDS_MAX 3
#define KEYS_MAX 4			/* fresh keys after proven absence: then a person decides */
#define LOOK_MAX_MS (6ll * 3600 * 1000)
#define HOUR_MS (60 * 60 * 1000)
#define TOKEN_WAIT_MS 100		/* the refresh itself is due first */
#define DENIED_MS (61 * 1000)
#define UNREADABLE "tokens_unreadable"
#define CLOCKS_APART_MS (5 * 60 * 1000)

int64_t backoff_ms(int64_t retries)
{
	int64_t ms = 2000;
	uint16_t jitter;

	for (int64_t i = 1; i < retries && ms < 30 * 60 * 1000; i++)
		ms *= 2;
	if (ms > 30 * 60 * 1000)
		ms = 30 * 60 * 1000;
	id_random(&jitter, sizeof jitter);
	return ms / 2 + ms / 2 * jitter / 65536;
}

const char *op_error(struct op *op, const char *code, const char *message, const char *platform_code, bool retryable)
{
	struct buf text;
	struct jsonw w;
	const char *out;

	buf_init(&text, 16384);
	jsonw_init(&w, &text);
	jsonw_object(&w, "");
	jsonw_text(&w, "code", code);
	jsonw_text(&w, "message", message);
	if (platform_code != NULL && platform_code[0] != '\0')
		jsonw_text(&w, "platformCode", platform_code);
	if (op->status > 0)
		jsonw_int(&w, "httpStatus", op->status);
	jsonw_bool(&w, "retryable", retryable);
	jsonw_object_end(&w);
	out = arena_text(&op->arena, buf_text(&text));
	buf_free(&text);
	return out;
}

static bool risky(const struct op *op) { return op->repeat != REPEAT_SAFE; }

/* ---- the five ways on ------------------------------------------------------------------------------- */

static void unconfirmed(struct op *op, const char *why)
{
	struct dedupe d = op_dedupe(op);
	int64_t now = clock_now(), settle = d.settle_ms + d.search_lag_ms;
	struct delivery_move *m;

	if (op->remote_id != NULL && op->remote_id[0] != '\0') {
		op_warn(op, "follow_up_unknown", why);	/* what was asked for afterwards is not known, but this is */
		outcome_published(op, "answer");
		return;
	}
	op_change(op, "running");	/* phase and event stay as committed: lost where the intent's answer is read, or the poll */
	op->d.looks = op->d.absents = 0;
	m = op_move(op, DELIVERY_UNCONFIRMED, "outcome_unknown", now + (settle > 1000 ? settle : 1000));
	m->unconfirmed_at = now;
	m->error = op_error(op, "platform_unavailable", why, NULL, false);
	op_commit(op, AFTER_END);
}

static void failed(struct op *op, const char *code, const char *message, const char *platform_code)
{
	op_change(op, "failed");
	buf_reset(&op->intent);
	op_move(op, DELIVERY_FAILED, text_eq(code, "platform_rejected") ? "rejected" : "gave_up", 0)->error =
		op_error(op, code, message, platform_code, text_eq(code, "platform_unavailable"));
	op_commit(op, AFTER_END);
}

/* Back into the schedule.  The row keeps its resume point: the stored intent if one was being sent (nothing
 * was created, so it may be sent as it stands), else the phase as it was last committed. */
static void requeue(struct op *op, int64_t wait_ms, const char *code, const char *message, const char *platform_code)
{
	struct change *ch = op_change(op, "running");

	ch->save = risky(op);
	op->row.phase = op->phase;
	op_move(op, DELIVERY_QUEUED, NULL, clock_now() + wait_ms)->error = op_error(op, code, message, platform_code, true);
	op_commit(op, AFTER_END);
}

static void block(struct op *op, const char *reason, const char *code, const char *message, const char *platform_code)
{
	struct change *ch = op_change(op, "running");

	ch->save = risky(op);
	op->row.phase = op->phase;
	op_move(op, DELIVERY_BLOCKED, reason, 0)->error = op_error(op, code, message, platform_code, false);
	if (op->unreadable) {		/* nothing but connecting again helps: the person is told */
		ch->dead_grant = true;
		ch->reason = UNREADABLE;
	}
}

/* Polling goes on later; nothing irreversible is ever sent from here. */
static void poll_again(struct op *op, int64_t wait_ms)
{
	op_change(op, "running")->save = false;
	op->d.retries++;
	op_move(op, op->state, op->d.reason, clock_now() + wait_ms);
	op_commit(op, AFTER_END);
}

static void retry(struct op *op, const char *code, const char *message, const char *platform_code)
{
	int64_t wait;

	if (++op->d.retries > RETRIES_MAX) {
		failed(op, code, message, platform_code);
		return;
	}
	wait = backoff_ms(op->d.retries);
	requeue(op, wait > op->retry_after_ms ? wait : op->retry_after_ms, code, message, platform_code);
}

void outcome_block(struct op *op, const char *reason)
{
	static const struct { const char *reason, *code, *words; } blocks[] = {
		{"reauth", "connection_reauth_required", "the account has to be connected again"},
		{"disconnected", "connection_not_found", "the account was disconnected"},
		{"paused", "conflict", "the connection is paused"},
		{NULL, "conflict", "the connection cannot be used now"},
	};
	size_t i = 0;

	while (blocks[i].reason != NULL && !text_eq(blocks[i].reason, reason))
		i++;
	block(op, reason, blocks[i].code, blocks[i].words, NULL);
	op_commit(op, AFTER_END);
}

void outcome_missed(struct op *op, const char *reason)
{
	bool hold = text_eq(reason, "missed") && text_eq(op->d.on_missed, "hold");

	op_change(op, "running")->save = false;
	op_move(op, hold ? DELIVERY_BLOCKED : DELIVERY_SKIPPED, reason, 0);
	op_commit(op, AFTER_END);
}

void outcome_later(struct op *op, int64_t ms)
{
	op_change(op, "running")->save = false;
	op_move(op, DELIVERY_QUEUED, "rate_limited", clock_now() + ms);
	op_commit(op, AFTER_END);
}

/* Not every platform knows a key before what came with it is done: a repetition that overtakes the first would be a
 * second post.  So it waits until the first can have no effect any more. */
static int64_t repeat_ms(const struct op *op, int64_t wait)
{
	struct dedupe d = op_dedupe(op);

	return d.atomic || wait > d.settle_ms ? wait : d.settle_ms;
}

void outcome_recover(struct op *op)
{
	int64_t wait = op->platform != NULL ? repeat_ms(op, 0) : 0;

	op->row.resent = 1;
	if (op->platform != NULL && op->repeat == REPEAT_KEYED && op->intent.len > 0 && key_alive(op, wait))
		op_wait(op, wait, true);
	else
		unconfirmed(op, "the server stopped between the request and its answer");
}

/* ---- classes ---------------------------------------------------------------------------------------- */

static void on_rejected(struct op *op, const struct action *a)
{
	failed(op, "platform_rejected", a->message, a->platform_code[0] ? a->platform_code : a->reason);
}

static void on_denied(struct op *op, const struct action *a)
{
	int64_t now = clock_now(), first = op->grant.denied_at;

	if (first > 0 && now - first >= DENIED_MS - 1000) {
		block(op, "reauth", "platform_auth_failed", a->message, a->platform_code);
		op->change.dead_grant = true;
		op->change.reason = a->reason;
		op_commit(op, AFTER_END);
		return;
	}
	requeue(op, DENIED_MS, "platform_auth_failed", a->message, a->platform_code);
	op->change.denied = first == 0;
}

static void on_auth(struct op *op, const struct action *a)
{
	if (!op->has_grant || !op->grant.refreshable || op->auth_tried) {
		on_denied(op, a);
		return;
	}
	op->auth_tried = true;
	if (op->state == DELIVERY_COMMITTING && risky(op)) {
		op_change(op, "running");
		op->row.phase = op->phase;
		op_move(op, DELIVERY_PROCESSING, NULL, 0);
		op_commit(op, AFTER_REFRESH);
	} else {
		refresh_wait(op);
	}
}

static void on_revoked(struct op *op, const struct action *a)
{
	block(op, "reauth", "platform_auth_failed", a->message, a->platform_code);
	op->change.dead_grant = op->change.revoked = true;
	op->change.reason = a->reason;
	op_commit(op, AFTER_END);
}

static void on_limit(struct op *op, const struct action *a)
{
	int64_t wait = op->retry_after_ms > 0 ? op->retry_after_ms : backoff_ms(op->d.retries + 3);

	limit_block(op->e->limit, op->d.connection_id, clock_mono() + wait);
	requeue(op, wait, "platform_rate_limited", a->message, a->platform_code);
}

static void on_transient(struct op *op, const struct action *a)
{
	if (risky(op))
		outcome_lost(op, a->message);
	else
		retry(op, "platform_unavailable", a->message, a->platform_code);
}

static const struct { const char *class; bool proves; void (*act)(struct op *, const struct action *); } classes[] = {
	{"rejected", true, on_rejected},
	{"auth", true, on_auth},
	{"revoked", true, on_revoked},
	{"limit", true, on_limit},
	{"transient", false, on_transient},
	{"unknown", false, on_transient},
};

/* The platform has it and we only read: a rejection is its verdict; anything else is read again later. */
static void fail_accepted(struct op *op, const struct action *a)
{
	if (text_eq(a->class, "rejected"))
		on_rejected(op, a);
	else if (text_eq(a->class, "auth") && op->grant.refreshable && !op->auth_tried)
		on_auth(op, a);
	else if (op->state == DELIVERY_COMMITTING)
		unconfirmed(op, a->message);
	else
		poll_again(op, op->retry_after_ms > 0 ? op->retry_after_ms : backoff_ms(op->d.retries + 3));
}

/* The platform said so while we only read: the delivery waits on, but the person must connect again. */
static void note_revoked(struct op *op, const struct action *a)
{
	if (!text_eq(a->class, "revoked") || !op->has_grant)
		return;
	op->change.dead_grant = op->change.revoked = true;
	op->change.reason = a->reason;
}

void outcome_fail(struct op *op, const struct action *a)
{
	size_t i = 0, last = sizeof classes / sizeof classes[0] - 1;

	while (i < last && !text_eq(classes[i].class, a->class))
		i++;
	if (op->looking && text_eq(a->class, "auth") && op->grant.refreshable && !op->auth_tried)
		on_auth(op, a);
	else if (op->looking && op->accepted && text_eq(a->class, "rejected"))
		on_rejected(op, a);		/* its verdict on what it had accepted: the look was a poll */
	else if (op->looking)
		outcome_look(op, false);
	else if (op->accepted)
		fail_accepted(op, a);
	else if (risky(op) && op->row.resent && classes[i].proves)
		outcome_lost(op, "it had been sent before with an unknown outcome, so this refusal proves nothing");
	else
		classes[i].act(op, a);
	if (op->looking || op->accepted)
		note_revoked(op, a);
}

/* Nothing was tried: it waits for the next refresh as long as it may be late, and is no retry. */
static void wait_for_tokens(struct op *op, const char *message)
{
	/* when the next refresh is due, if the last one failed; otherwise it could only not be begun */
	int64_t now = clock_now(), wait = op->grant.refresh_failures > 0 ? op->grant.refresh_at - now : 0;

	if (op->d.late_after > 0 && now > op->d.late_after)
		failed(op, "platform_unavailable", message, NULL);
	else
		requeue(op, wait > 0 ? wait + TOKEN_WAIT_MS : backoff_ms(op->grant.refresh_failures + 1), "platform_unavailable", message, NULL);
}

void op_refreshed(struct op *op, bool ok)
{
	struct action a = {.class = "auth", .reason = "refresh_failed", .message = "the access token could not be renewed", .platform_code = ""};

	op->auth_tried = op->auth_tried || !ok;
	if (!ok && op->method == NULL && text_eq(op->row.kind, "revoke")) {
		op_step(op, op->event);		/* old tokens are taken back as well */
	} else if (op->blocked != NULL && op->publish && !op->looking && !op->accepted) {
		outcome_block(op, op->blocked);
	} else if (ok && op->method == NULL) {
		outcome_resume(op);		/* the token was known to be old before anything was sent */
	} else if (ok && risky(op)) {
		commit_intent(op);
	} else if (ok) {
		op_send(op);
	} else if (op->publish && !op->looking && !op->accepted) {
		wait_for_tokens(op, a.message);
	} else {
		op->auth_tried = true;		/* it was, just now */
		if (op->publish)
			outcome_fail(op, &a);
		else
			connect_fail_class(op, &a);
	}
}

/* ---- no answer -------------------------------------------------------------------------------------- */

static bool resend(struct op *op)
{
	int64_t wait = repeat_ms(op, backoff_ms(op->resends + 1));

	if (op->repeat != REPEAT_KEYED || op->resends >= RESENDS_MAX || !key_alive(op, wait) || op->e->stopping)
		return false;
	op->resends++;
	op->row.resent = 1;
	op_wait(op, wait, true);
	return true;
}

void outcome_lost(struct op *op, const char *words)
{
	struct action a = {.class = "transient", .reason = "lost", .message = words, .platform_code = ""};

	if (!op->publish) {
		if (risky(op) && edit_is(op))
			edit_lost(op, words);
		else if (risky(op))
			connect_lost(op);
		else
			connect_fail_class(op, &a);
	} else if (!risky(op)) {
		outcome_fail(op, &a);
	} else if (!resend(op)) {
		unconfirmed(op, words);
	}
}

void outcome_unsent(struct op *op, const char *words)
{
	struct action a = {.class = "transient", .reason = "unsent", .message = words, .platform_code = ""};

	if (!op->publish)
		connect_fail_class(op, &a);
	else if (!risky(op))
		outcome_fail(op, &a);
	else if (op->row.resent)
		outcome_lost(op, words);	/* this one did not leave, an earlier one may have arrived */
	else
		retry(op, "platform_unavailable", words, NULL);
}

void outcome_refused(struct op *op, const char *code, const char *words)
{
	log_warn("engine", "operation %s of %s: not sent: %s", op->id, op->row.platform, words);
	if (!op->publish && op->unreadable)
		connect_failed(op, UNREADABLE, "the stored tokens cannot be read", true, false);
	else if (!op->publish)
		connect_failed(op, code, words, false, false);
	else if (op->looking)
		outcome_look(op, false);
	else if (op->state == DELIVERY_AWAITING_USER)
		poll_again(op, HOUR_MS);
	else if (op->accepted || (risky(op) && op->row.resent))
		unconfirmed(op, words);
	else
		failed(op, code, words, NULL);
}

/* ---- looking ---------------------------------------------------------------------------------------- */

/* A new attempt from the start, under a new key: only two negative looks after the settle time lead here. */
static void start_again(struct op *op)
{
	op_change(op, "running")->reset = true;
	buf_reset(&op->intent);
	buf_reset(&op->saved);
	op->row.phase = op->row.event = "start";
	op->row.intent_class = NULL;
	op->row.intent_at = op->row.intent_until = op->row.key_at = op->row.key_boot_at = op->row.resent = 0;
	op->row.key_number++;
	op->d.looks = op->d.absents = 0;
	op_move(op, DELIVERY_QUEUED, "proven_absent", clock_now());
	op_commit(op, AFTER_END);
}

/* Posts are listed by time.  While the platform's clock and ours disagree ours may lie outside of what was asked
 * for, so its absence proves nothing.  A container is asked for by its name. */
static bool clocks_agree(const struct op *op, enum dedupe_class class)
{
	int64_t apart = op_answer_time(op) - clock_now();

	return class == DEDUPE_HANDLE || (apart > -CLOCKS_APART_MS && apart < CLOCKS_APART_MS);
}

void outcome_look(struct op *op, bool absent)
{
	struct dedupe d = op_dedupe(op);
	int64_t now = clock_now(), settle = d.settle_ms + d.search_lag_ms, wait = settle > 1000 ? settle : 1000;
	bool settled = now >= op->d.unconfirmed_at + settle && clock_boot() - op->e->steady_since >= settle;

	op->d.looks++;
	op->d.absents = absent && settled && clocks_agree(op, d.class) ? op->d.absents + 1 : 0;
	/* after a restore later attempts under other keys may be there that this row knows nothing of: a person decides */
	if (op->d.absents >= 2 && op->row.key_number < KEYS_MAX && !text_eq(op->d.reason, "restored")) {
		start_again(op);
		return;
	}
	for (int64_t i = 0; i < op->d.looks && wait < LOOK_MAX_MS; i++)
		wait *= 2;
	if (wait > LOOK_MAX_MS)
		wait = LOOK_MAX_MS;
	op_change(op, "running")->save = false;
	op_move(op, DELIVERY_UNCONFIRMED, op->d.reason, d.class == DEDUPE_NONE ? 0 : now + wait);
	op_commit(op, AFTER_END);
}

void op_park(struct op *op, const char *reason, const char *words)
{
	if (!text_eq(op->row.kind, "limits"))	/* those of every account; told where they are put off */
		log_error("engine", "operation %s (%s of %s, phase %s) stops: %s", op->id, op->row.kind, op->row.platform, op->phase, words);
	if (!op->publish) {
		op->row.status = "parked";
		connect_failed(op, "platform_unavailable", words, false, false);
	} else if (op->looking) {
		outcome_look(op, false);
	} else if (op->state == DELIVERY_AWAITING_USER) {
		poll_again(op, HOUR_MS);
	} else if (op->accepted || op->state == DELIVERY_COMMITTING) {
		unconfirmed(op, words);
	} else {
		block(op, reason, "platform_unavailable", words, NULL);
		op_commit(op, AFTER_END);
	}
}
