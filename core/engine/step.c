/*
 * Steps: a frame out to the provider host, an action back.  The action's records were checked by hostproc to
 * be well-formed; what they mean is decided here and in outcome.c.
 */
#include "core/engine/op.h"

#include <stdio.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/text.h"

#define STEPS_MAX 10000
#define STATE_MAX (64u * 1024u)
#define URL_MAX 2048

/* The same for every attempt under one publish key; new after proven absence, a new round, a spent window. */
static void seed(const struct op *op, char out[65])
{
	char text[256];
	uint8_t mac[32];
	BUF_AUTO struct buf hex;
	int n = snprintf(text, sizeof text, "%s|%lld|%lld|%lld", op->publish ? op->d.id : op->id, (long long)op->d.content_version,
			 (long long)op->d.round, (long long)op->row.key_number);

	buf_init(&hex, 128);
	vault_mac(op->e->vault, "publish_seed", text, (size_t)n, mac);
	text_hex(&hex, mac, sizeof mac);
	snprintf(out, 65, "%s", buf_text(&hex));
}

static void add_answer(struct op *op, struct buf *frame)
{
	const char *line = buf_text(&op->headers), *end, *colon;

	rec_int(frame, REC_STATUS, "", op->status);
	for (; (end = strchr(line, '\n')) != NULL; line = end + 1) {
		colon = memchr(line, ':', (size_t)(end - line));
		if (colon == NULL || colon - line > 200)
			continue;
		rec_add(frame, REC_HEADER, arena_dup(&op->arena, line, (size_t)(colon - line)), colon + 2 > end ? end : colon + 2,
			colon + 2 > end ? 0 : (size_t)(end - colon - 2));
	}
	rec_add(frame, REC_BODY, "", op->body.data, op->body.len);
}

static void list_handles(struct op *op, struct buf *frame)
{
	size_t at = 0;
	struct rec r;

	while (rec_next(op->secrets.data, op->secrets.len, &at, &r, NULL))
		if (r.key_len > 4 && memcmp(r.key, "sec:", 4) == 0)
			rec_text(frame, REC_INPUT, arena_printf(&op->arena, "handle.%.*s", (int)r.key_len, r.key), "1");
}

static void build(struct op *op, const char *event, struct buf *frame)
{
	char hex[65];
	size_t begin = frame_begin(frame, FRAME_STEP, op->number);

	seed(op, hex);
	rec_text(frame, REC_KIND, "", op->row.kind);
	rec_text(frame, REC_PHASE, "", op->phase);
	rec_text(frame, REC_EVENT, "", event);
	rec_int(frame, REC_NOW, "", clock_now());
	rec_text(frame, REC_SEED, "", hex);
	buf_add(frame, op->inputs.data, op->inputs.len);
	if (op->looking && !op->accepted)	/* an overdue poll is still a poll to the provider */
		rec_text(frame, REC_INPUT, "looking", "1");
	list_handles(op, frame);
	buf_add(frame, op->saved.data, op->saved.len);
	if (text_eq(event, "answer"))
		add_answer(op, frame);
	frame_end(frame, begin);
}

/* ---- reading an action ----------------------------------------------------------------------------- */

static const char *copy(struct op *op, const struct rec *r) { return arena_dup(&op->arena, r->value, r->value_len); }
static const char *copy_key(struct op *op, const struct rec *r) { return arena_dup(&op->arena, r->key, r->key_len); }

void op_blame(struct op *op, const char *words)
{
	hosts_fault(op->e->hosts, op->row.provider, arena_printf(&op->arena, "in %s/%s: %s", op->row.kind, op->phase, words));
}

void op_misdeed(struct op *op, const char *words)
{
	op_blame(op, words);
	op_park(op, "provider", words);
}

static bool ends(const char *text, const char *tail)
{
	size_t n = strlen(text), m = strlen(tail);

	return n >= m && memcmp(text + n - m, tail, m) == 0;
}

/* It becomes a link on pages: script: and data: are addresses, too. */
static bool is_web_url(const char *value)
{
	return *value == '\0' || ((text_starts(value, "https://") || text_starts(value, "http://")) && strlen(value) <= URL_MAX &&
		strpbrk(value, "\"'<>\\` ") == NULL && text_printable(value) && strpbrk(value, "\t\r\n") == NULL);
}

/* A post has an id only after a request that could create one was answered, or when it was looked for. */
static bool may_exist(const struct op *op)
{
	return !op->publish || op->looking || op->accepted || op->state == DELIVERY_AWAITING_PLATFORM ||
	       op->state == DELIVERY_AWAITING_USER || (op->state == DELIVERY_COMMITTING && op->answered);
}

static void take_result(struct op *op, const char *key, const char *value)
{
	struct jsonw w;

	if (text_eq(key, "remote_id") && !may_exist(op)) {
		op->early_id = true;
		return;
	}
	if (ends(key, "_url") && !is_web_url(value)) {
		op_blame(op, arena_printf(&op->arena, "its result %s is no address of a web page", key));
		op_warn(op, "address_refused", "the platform's provider gave an address that is none of a web page; it is left out");
		return;
	}
	if (text_eq(key, "remote_id"))
		op->remote_id = value;
	if (text_eq(key, "remote_url"))
		op->remote_url = value;
	if (text_eq(key, "scopes"))
		op->tokens.scopes = value;
	if (text_eq(key, "account.host"))
		op->tokens.account_host = value;
	jsonw_init(&w, &op->result);	/* members are joined by hand: the object is closed when it is stored */
	if (op->result.len > 0)
		buf_addc(&op->result, ',');
	jsonw_text(&w, "", key);
	buf_addc(&op->result, ':');
	jsonw_init(&w, &op->result);
	jsonw_text(&w, "", value);
}

void op_warn(struct op *op, const char *reason, const char *words)
{
	struct jsonw w;

	if (op->warnings.len > 0)
		buf_addc(&op->warnings, ',');
	jsonw_init(&w, &op->warnings);
	jsonw_object(&w, "");
	jsonw_text(&w, "code", reason);
	jsonw_text(&w, "message", words);
	jsonw_object_end(&w);
}

/* A provider stores a token itself: "handle seconds"; 0 or absent: it does not expire. */
static bool may_store(const struct op *op, const char *name)
{
	return text_eq(op->row.kind, "register") ? text_eq(name, "client.id") || text_eq(name, "client.secret")
		: text_eq(name, "access") || text_eq(name, "refresh");
}

static void take_token(struct op *op, const char *name, const char *value)
{
	const char *space = strchr(value, ' ');
	const char *handle = space ? arena_dup(&op->arena, value, (size_t)(space - value)) : value;
	size_t n;
	const char *secret = secret_find(op, handle, &n);
	int64_t seconds = 0;
	struct buf copied;

	if (secret == NULL || !may_store(op, name))
		return;
	if (space != NULL && text_int(space + 1, &seconds) && seconds > 0)
		op->tokens.expires_at = clock_now() + seconds * 1000;
	if (text_eq(name, "refresh"))
		op->tokens.refreshable = true;
	buf_init(&copied, BAG_MAX);
	buf_add(&copied, secret, n);	/* the bag moves when it is written */
	bag_put_bytes(&op->secrets, REC_STATE, name, copied.data, copied.len);
	buf_wipe(&copied);
	op->have_tokens = true;
}

static enum repeat repeat_of(const struct rec *r)
{
	return rec_is(r, "safe") ? REPEAT_SAFE : rec_is(r, "keyed") ? REPEAT_KEYED : REPEAT_ONCE;
}

static int64_t seconds_of(struct op *op, const struct rec *r)
{
	int64_t n = 0;

	return text_int(copy(op, r), &n) && n > 0 ? n : 0;
}

static void read_record(struct op *op, const struct rec *r, struct action *a)
{
	switch (r->kind) {
	case REC_VERB: a->verb = copy(op, r); break;
	case REC_PHASE: a->phase = copy(op, r); break;
	case REC_SECONDS:
		if (r->key_len > 0)
			a->retry_after = seconds_of(op, r);
		else
			a->seconds = seconds_of(op, r);
		break;
	case REC_CLASS: a->class = copy(op, r); a->reason = copy_key(op, r); break;
	case REC_MESSAGE: a->message = copy(op, r); a->platform_code = copy_key(op, r); break;
	case REC_FAULT: a->message = copy(op, r); break;
	case REC_STATE: bag_put(&op->saved, REC_STATE, copy_key(op, r), copy(op, r)); break;
	case REC_RESULT: take_result(op, copy_key(op, r), copy(op, r)); break;
	case REC_WARNING: op_warn(op, copy_key(op, r), copy(op, r)); break;
	case REC_TOKEN: take_token(op, copy_key(op, r), copy(op, r)); break;
	case REC_METHOD: a->repeat = repeat_of(r); break;
	default: break;
	}
}

static void acted(void *arg, enum host_outcome outcome, const char *records, size_t len, const char *words)
{
	struct op *op = arg;
	struct action a = {.class = "unknown", .reason = "", .message = "", .platform_code = ""};
	size_t at = 0;
	struct rec r;

	op->e->stats.steps++;
	if (outcome != HOST_ACTION) {
		op_park(op, outcome == HOST_PAUSED ? "platform_paused" : "provider", words);
		return;
	}
	while (rec_next(records, len, &at, &r, NULL))
		read_record(op, &r, &a);
	if (text_eq(a.verb, "send") || text_eq(a.verb, "redirect")) {	/* kept over what is said to its answer: it may be sent again */
		buf_reset(&op->action);
		buf_add(&op->action, records, len);
	}
	if (op->saved.failed || op->saved.len > STATE_MAX || op->result.failed) {
		op_misdeed(op, "the provider keeps more than 64 KiB of state or results");
		return;
	}
	if (op->early_id) {
		op->early_id = false;
		op_misdeed(op, "the provider gave the id of a post before any request that could create one was answered");
		return;
	}
	outcome_action(op, &a);
}

/* Looking, and asking whether the person has decided, go on for as long as the delivery's own deadline lets them. */
static bool is_over(const struct op *op)
{
	return clock_now() > op->row.deadline_at && !op->looking && op->state != DELIVERY_AWAITING_USER;
}

void op_step(struct op *op, const char *event)
{
	BUF_AUTO struct buf frame = {0};

	op->at = OP_STEPPING;
	if (op->platform == NULL) {
		op_park(op, "provider", "the provider is not loaded");
		return;
	}
	if (++op->steps > STEPS_MAX) {
		op_misdeed(op, "more than 10,000 steps");
		return;
	}
	if (is_over(op)) {
		op_park(op, "provider", "its lifetime is over");
		return;
	}
	buf_init(&frame, FRAME_IN_MAX + FRAME_HEAD);
	build(op, event, &frame);
	if (!buf_ok(&frame)) {
		op_park(op, "provider", "the step is larger than a host accepts");
		return;
	}
	op->e->stats.asked++;
	hosts_step(op->e->hosts, op->row.provider, op->number, &frame, acted, op);
}
