/*
 * Outcomes of steps: what the provider's verb does to the delivery.  Each function fills one change; the
 * commit writes it under the fence.  Failures are in failure.c.
 */
#include "core/engine/op.h"

#include <stdio.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/text.h"

#define REQUEST_LIFE_MS (30 * 1000)	/* no byte of a committed intent leaves later than this */
#define CLOCKS_APART_MS 5000	/* of one machine, since a key was first used */
#define POLL_MAX_MS (5 * 60 * 1000)
#define USER_POLL_S (10 * 60)

static const char *const class_names[] = {NULL, "keyed", "once"};

struct change *op_change(struct op *op, const char *status)
{
	memset(&op->change, 0, sizeof op->change);
	op->change.save = true;
	op->row.status = status;
	return &op->change;
}

struct delivery_move *op_move(struct op *op, enum delivery_state to, const char *reason, int64_t due_at)
{
	struct change *ch = &op->change;
	int64_t now = clock_now();

	ch->claim = !op->claimed && op->state == DELIVERY_QUEUED;
	ch->move = true;
	ch->to = (struct delivery_move){
		.id = op->d.id, .post_id = op->d.post_id, .owner = &op->d.owner,
		.from = ch->claim ? DELIVERY_PROCESSING : op->state, .to = to, .fence = true,
		.epoch = op->e->epoch, .claim = op->claim + (ch->claim ? 1 : 0), .reason = reason, .due_at = due_at,
		.deadline_at = delivery_deadline(to, now), .retries = op->d.retries, .looks = op->d.looks, .absents = op->d.absents,
		.attempts = op->attempt_count,
	};
	return &ch->to;
}

struct dedupe op_dedupe(const struct op *op)
{
	struct dedupe d = *platform_dedupe(op->platform, op->account_type);

	if (op->platform != NULL && op->platform->sandbox)
		d.settle_ms = op->e->config.conf->sandbox_settle_ms;
	return d;
}

/* The wall clock may have been set since, boot time began anew with the machine: only while both tell the same is it
 * known how old a key is.  -1: it is not. */
static int64_t key_age(const struct op *op)
{
	int64_t wall = clock_now() - op->row.key_at, boot = clock_boot() - op->row.key_boot_at, apart = wall - boot;

	if (wall < 0 || boot < 0 || apart > CLOCKS_APART_MS || apart < -CLOCKS_APART_MS)
		return -1;
	return wall > boot ? wall : boot;
}

/* A request that is handed over then may leave as late as its timeout, while it still looks for a connection. */
bool key_alive(const struct op *op, int64_t wait_ms)
{
	struct dedupe d = op_dedupe(op);
	int64_t age = key_age(op), leaves = age + wait_ms + op->e->config.conf->request_timeout_ms;

	if (d.class != DEDUPE_KEYED)
		return false;
	return d.window_ms == 0 || op->row.key_at == 0 || (age >= 0 && leaves < d.window_ms - d.settle_ms);
}

void op_wait(struct op *op, int64_t ms, bool again)
{
	op->wake_at = clock_mono() + ms;
	op->again = again;
	op_waits(op);
}

/* ---- send ------------------------------------------------------------------------------------------ */

static void copy_request(struct op *op)
{
	size_t at = 0;
	struct rec r;

	buf_reset(&op->intent);
	while (rec_next(op->action.data, op->action.len, &at, &r, NULL))
		if (r.kind >= REC_METHOD)
			rec_add(&op->intent, (enum frame_kind)r.kind, arena_dup(&op->arena, r.key, r.key_len), r.value, r.value_len);
}

/* The intent is durable before its first byte leaves; for a delivery that is the state committing. */
void commit_intent(struct op *op)
{
	int64_t now = clock_now();

	op_change(op, "running");
	op->row.intent_class = class_names[op->repeat];
	op->row.intent_at = now;
	op->row.intent_until = now + REQUEST_LIFE_MS + op->e->config.conf->request_timeout_ms;
	op->intent_boot = clock_boot();
	if (op->repeat == REPEAT_KEYED && op->row.key_at == 0) {
		op->row.key_at = now;
		op->row.key_boot_at = op->intent_boot;
	}
	op->row.phase = op->phase;
	op->row.event = "lost";
	op->row.due_at = 0;
	if (op->publish)
		op_move(op, DELIVERY_COMMITTING, NULL, 0);
	else if (text_eq(op->row.kind, "refresh"))
		op->change.effect = refresh_lease;
	op_commit(op, AFTER_SEND);
}

static void on_send(struct op *op, const struct action *a)
{
	op->phase = a->phase;
	op->repeat = a->repeat;
	op->unsure = false;
	if (a->repeat == REPEAT_SAFE && op->state == DELIVERY_COMMITTING)
		op->accepted = true;	/* the irreversible request was answered: from here on we only read */
	if (a->repeat != REPEAT_SAFE) {
		copy_request(op);
		commit_intent(op);
	} else if (op->publish && !op->claimed && op->state == DELIVERY_QUEUED) {
		op_change(op, "running")->save = false;
		op->change.claim = true;
		op_commit(op, AFTER_SEND);
	} else {
		op_send(op);
	}
}

/* The first use of a key is free of its window: there is nothing yet that could be created twice. */
bool op_fresh_enough(const struct op *op)
{
	bool first = !op->row.resent;

	return op->repeat == REPEAT_SAFE || (clock_boot() - op->intent_boot < REQUEST_LIFE_MS &&
	       (op->repeat != REPEAT_KEYED || first || key_alive(op, 0)));
}

/* Nothing was created under the old key, and it is too old to be used: from the start with a new one. */
static void renew_key(struct op *op)
{
	buf_reset(&op->intent);
	buf_reset(&op->saved);
	op->row.key_number++;
	op->row.key_at = op->row.key_boot_at = 0;
	op->row.intent_class = NULL;
	op->repeat = REPEAT_SAFE;
	op->phase = op->event = op->row.phase = op->row.event = "start";
}

void outcome_resume(struct op *op)
{
	if (op->state == DELIVERY_QUEUED && op->repeat == REPEAT_KEYED && !key_alive(op, 0))
		renew_key(op);
	if (op->state == DELIVERY_QUEUED && op->intent.len > 0)
		commit_intent(op);
	else
		op_step(op, op->event);
}

/* ---- wait ------------------------------------------------------------------------------------------ */

static int64_t poll_ms(int64_t seconds, int64_t polls)
{
	int64_t ms = (seconds < 1 ? 1 : seconds) * 1000;

	for (int64_t i = 0; i < polls && ms < POLL_MAX_MS; i++)
		ms += ms / 2;
	return ms < POLL_MAX_MS || seconds * 1000 > POLL_MAX_MS ? ms : POLL_MAX_MS;
}

static void clear_intent(struct op *op)
{
	buf_reset(&op->intent);
	op->row.intent_class = NULL;
	op->row.intent_at = op->row.intent_until = 0;
}

static bool same_phase(const struct op *op)
{
	return text_eq(op->row.phase, op->phase) && text_eq(op->row.event, "timer");
}

static void on_wait(struct op *op, const struct action *a)
{
	int64_t ms;

	op->phase = a->phase;
	if (op->looking) {
		op_wait(op, poll_ms(a->seconds, op->polls++), false);
		return;
	}
	if (op->publish && op->repeat != REPEAT_SAFE && op->answered)
		op->accepted = true;
	op_change(op, "running");
	op->polls = same_phase(op) ? op->polls + 1 : 0;
	op->row.event = "timer";
	op->row.phase = op->phase;
	if (op->accepted) {
		enum delivery_state to = op->state == DELIVERY_AWAITING_USER ? DELIVERY_AWAITING_USER : DELIVERY_AWAITING_PLATFORM;

		op->d.looks = op->state == to ? op->d.looks + 1 : 0;
		clear_intent(op);
		op_move(op, to, NULL, clock_now() + poll_ms(a->seconds, op->d.looks));
		op_commit(op, AFTER_END);
		return;
	}
	ms = poll_ms(a->seconds, op->polls);
	if (op->publish)
		op_move(op, DELIVERY_PROCESSING, NULL, 0);
	else
		op->row.due_at = clock_now() + ms;
	op->wake_at = clock_mono() + ms;
	op_commit(op, AFTER_WAIT);
}

static void on_wait_user(struct op *op, const struct action *a)
{
	op_change(op, "running");
	op->phase = op->row.phase = a->phase;
	op->row.event = "timer";
	clear_intent(op);
	if (!op->publish) {
		connect_failed(op, "platform_rejected", "the platform asks for the person where none can be asked", false, false);
		return;
	}
	op->d.looks = op->state == DELIVERY_AWAITING_USER ? op->d.looks + 1 : 0;
	op_move(op, DELIVERY_AWAITING_USER, NULL, clock_now() + poll_ms(a->seconds > 0 ? a->seconds : USER_POLL_S, op->d.looks));
	op_commit(op, AFTER_END);
}

void op_timer(struct op *op)
{
	bool again = op->again;

	op->again = false;
	if (op->look_again)
		edit_look(op);
	else if (!again)
		op_step(op, "timer");
	else if (op->repeat != REPEAT_SAFE)
		commit_intent(op);	/* the same request with the same key or token, after an unknown outcome */
	else
		op_send(op);
}

/* ---- ends ------------------------------------------------------------------------------------------ */

static const char *closed(struct op *op, struct buf *members, char open, char close)
{
	return members->len == 0 ? NULL : arena_printf(&op->arena, "%c%s%c", open, buf_text(members), close);
}

const char *op_result(struct op *op) { return closed(op, &op->result, '{', '}'); }

void outcome_published(struct op *op, const char *proof)
{
	struct delivery_move *m;

	op_change(op, "done");
	clear_intent(op);
	op->row.due_at = 0;
	m = op_move(op, DELIVERY_PUBLISHED, NULL, 0);
	m->remote_id = op->remote_id;
	m->remote_url = op->remote_url;
	m->proof = proof;
	m->result = closed(op, &op->result, '{', '}');
	m->warnings = closed(op, &op->warnings, '[', ']');
	op_commit(op, AFTER_END);
}

/* Where posts are told apart by their words alone, a look may come upon one of the same account that another delivery
 * has, or is about to be told that it has: that one proves nothing about this. */
static bool is_anothers(struct op *op)
{
	struct db_conn *c;
	bool taken;

	for (const struct op *o = op->e->ops.next; o != &op->e->ops; o = o->next)
		if (o != op && o->publish && !o->looking && o->state == DELIVERY_COMMITTING &&
		    text_eq(o->d.connection_id, op->d.connection_id) && text_eq(o->d.text, op->d.text))
			return true;
	c = db_take(op->e->db);
	taken = db_number(c, 1, "SELECT COUNT(*) FROM delivery WHERE connection_id = ?1 AND organization_id = ?2 AND remote_id = ?3 AND id <> ?4",
			  "ssss", op->d.connection_id, op->d.owner.organization_id, op->remote_id, op->d.id) > 0;
	db_give(c);
	return taken;
}

static void on_found(struct op *op, const struct action *a)
{
	if (!op->publish)
		edit_found(op, a);
	else if (op->remote_id == NULL || op->remote_id[0] == '\0' || is_anothers(op))
		outcome_look(op, false);
	else
		outcome_published(op, "look");
}

static void on_done(struct op *op, const struct action *a)
{
	if (!op->publish) {
		op->row.result = op_result(op);
		connect_outcome(op, a);
	} else if (op->remote_id == NULL || op->remote_id[0] == '\0') {
		op_misdeed(op, "the provider says done without a remote_id");
	} else if (op->looking) {
		on_found(op, a);
	} else {
		outcome_published(op, "answer");
	}
}

static void looked(struct op *op, bool absent)
{
	if (op->publish)
		outcome_look(op, absent);
	else
		edit_looked(op, absent);
}

static void on_absent(struct op *op, const struct action *a) { (void)a; looked(op, true); }
static void on_unknown(struct op *op, const struct action *a) { (void)a; looked(op, false); }

static void on_fail(struct op *op, const struct action *a)
{
	if (a->retry_after > 0)
		op->retry_after_ms = a->retry_after * 1000;
	/* a remote id is set: the post is live, what failed came after it */
	if (op->publish && !op->looking && op->remote_id != NULL && op->remote_id[0] != '\0') {
		op_warn(op, a->reason, a->message[0] ? a->message : "the post is there; something that was to follow it failed");
		outcome_published(op, "answer");
	} else if (op->publish)
		outcome_fail(op, a);
	else
		connect_fail_class(op, a);
}

static void on_redirect(struct op *op, const struct action *a)
{
	op->row.result = op_result(op);
	connect_outcome(op, a);
}

static void on_no_phase(struct op *op, const struct action *a) { (void)a; op_misdeed(op, "the provider does not know its phase"); }

/* The host names the phase itself. */
static void on_bug(struct op *op, const struct action *a)
{
	hosts_fault(op->e->hosts, op->row.provider, arena_printf(&op->arena, "in %s", a->message));
	op_park(op, "provider", a->message);
}


static const struct { const char *verb; void (*act)(struct op *, const struct action *); } verbs[] = {
	{"send", on_send},
	{"wait", on_wait},
	{"wait_user", on_wait_user},
	{"redirect", on_redirect},
	{"done", on_done},
	{"fail", on_fail},
	{"found", on_found},
	{"absent", on_absent},
	{"unknown", on_unknown},
	{"no_phase", on_no_phase},
	{"bug", on_bug},
};

/* No verb leads a delivery where the table of states has no way. */
static bool may_lead(const struct op *op, const struct action *a)
{
	enum delivery_state from = op->state == DELIVERY_QUEUED ? DELIVERY_PROCESSING : op->state;

	if (!op->publish)
		return true;
	if (text_eq(a->verb, "send"))
		return a->repeat == REPEAT_SAFE || delivery_may(from, DELIVERY_COMMITTING);
	if (text_eq(a->verb, "wait_user"))
		return delivery_may(from, DELIVERY_AWAITING_USER);
	return !text_eq(a->verb, "done") || delivery_may(from, DELIVERY_PUBLISHED);
}

/* Which verbs belong to which moment: looking ends in three ways, and only there. */
static bool fits(const struct op *op, const struct action *a)
{
	bool look = text_eq(a->verb, "found") || text_eq(a->verb, "absent") || text_eq(a->verb, "unknown");

	/* done: the phase that polled when it became overdue knows no other word for found */
	if (op->looking)
		return look || text_eq(a->verb, "done") || text_eq(a->verb, "wait") || text_eq(a->verb, "fail") || text_eq(a->verb, "no_phase") ||
		       text_eq(a->verb, "bug") || (text_eq(a->verb, "send") && a->repeat == REPEAT_SAFE);
	if (text_eq(a->verb, "redirect"))
		return text_eq(op->row.kind, "authorize");
	return !look && may_lead(op, a);
}

void outcome_action(struct op *op, const struct action *a)
{
	size_t i = 0, n = sizeof verbs / sizeof verbs[0];

	while (i < n && !text_eq(verbs[i].verb, a->verb))
		i++;
	if (i == n || !fits(op, a))
		op_misdeed(op, arena_printf(&op->arena, "the verb %s has no place here", a->verb ? a->verb : "(none)"));
	else if ((text_eq(a->verb, "send") || text_eq(a->verb, "wait")) && (a->phase == NULL || a->phase[0] == '\0'))
		op_misdeed(op, "a send or wait without a next phase");
	else
		verbs[i].act(op, a);
}
