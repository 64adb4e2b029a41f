/*
 * Verbs and results: what a step answers, and the rules an answer must keep.
 *
 * While the core looks for a lost post (event LOST, or input looking) nothing may be sent that could create
 * one: only SAFE requests, and never done or wait_user.
 */
#include "core/host/host.h"

#include <stdio.h>
#include <string.h>

#include "core/base/text.h"

static const char *const verb_names[] = {
	"", "send", "wait", "wait_user", "redirect", "done", "fail", "found", "absent", "unknown", "no_phase"
};
static const char *const repeat_names[] = { "", "safe", "keyed", "once" };
static const char *const class_names[] = { "", "rejected", "auth", "revoked", "limit", "transient", "unknown" };

#define RESULT 1
#define INPUT 0
#define KEY(direction, name, type, kinds, meaning) { direction, name },
static const struct { int direction; const char *name; } keys[] = {
#include "sdk/keys"
};
#undef KEY
#undef RESULT
#undef INPUT

/* One segment of a key against one of the table: N is a number, NAME a name. */
static bool segment_matches(const char *want, size_t want_len, const char *got, size_t got_len)
{
	if (got_len == 0)
		return false;
	if (want_len == 1 && want[0] == 'N')
		return got_len < 5 && strspn(got, "0123456789") == got_len;
	if (want_len == 4 && memcmp(want, "NAME", 4) == 0)
		return got_len <= 48 && strspn(got, "abcdefghijklmnopqrstuvwxyz0123456789_-") == got_len;
	return want_len == got_len && memcmp(want, got, got_len) == 0;
}

static bool key_matches(const char *want, const char *got)
{
	for (;;) {
		size_t w = strcspn(want, "."), g = strcspn(got, ".");

		if (!segment_matches(want, w, got, g))
			return false;
		want += w, got += g;
		if (!*want || !*got)
			return *want == *got;
		want++, got++;
	}
}

static bool result_known(const char *key)
{
	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
		if (keys[i].direction == 1 && key_matches(keys[i].name, key))
			return true;
	return false;
}

/* Takes the one verb of this step; false after a mistake. */
static bool verb_take(struct mps_op *op, int32_t verb)
{
	if (op->verb)
		op_bug(op, "%s: the step called %s before; one verb per step", verb_names[verb], verb_names[op->verb]);
	else {
		op->verb = verb;
		rec_text(&op->action, REC_VERB, "", verb_names[verb]);
	}
	return !op->bug[0];
}

static bool next_take(struct mps_op *op, const char *next)
{
	if (!next || !name_ok(next, 64, "-.")) {
		op_bug(op, "%s: \"%.60s\" is no name of a phase", verb_names[op->verb], next ? next : "NULL");
		return false;
	}
	rec_text(&op->action, REC_PHASE, "", next);
	return true;
}

/* --- verbs --------------------------------------------------------------------------------------------------- */

static int32_t send(mps_op *op, mps_req *req, int32_t repeat, const char *next)
{
	if (!verb_take(op, MPS_NEXT_SEND) || !next_take(op, next))
		return MPS_NEXT_SEND;
	if (!req || repeat < MPS_SAFE || repeat > MPS_ONCE)
		op_bug(op, "send: the request is NULL or %d is no repeat class", repeat);
	else if (op->looking && repeat != MPS_SAFE)
		op_bug(op, "send: a %s request while looking for a lost post; only SAFE ones", repeat_names[repeat]);
	else
		(void)req_write(req, repeat_names[repeat], &op->action);
	return MPS_NEXT_SEND;
}

static int32_t waiting(mps_op *op, int32_t verb, int32_t seconds, const char *next)
{
	if (!verb_take(op, verb) || !next_take(op, next))
		return verb;
	if (seconds < 1 || seconds > 86400)
		op_bug(op, "%s: %d seconds are not 1 to 86400", verb_names[verb], seconds);
	else if (op->looking && verb == MPS_NEXT_WAIT_USER)
		op_bug(op, "wait_user: while looking for a lost post");
	rec_int(&op->action, REC_SECONDS, "", seconds);
	return verb;
}

static int32_t wait(mps_op *op, int32_t seconds, const char *next)
{
	return waiting(op, MPS_NEXT_WAIT, seconds, next);
}

static int32_t wait_user(mps_op *op, int32_t seconds, const char *next)
{
	return waiting(op, MPS_NEXT_WAIT_USER, seconds, next);
}

static int32_t redirect(mps_op *op, mps_req *req, const char *next)
{
	if (!verb_take(op, MPS_NEXT_REDIRECT))
		return MPS_NEXT_REDIRECT;
	if (strcmp(op->kind, "authorize") != 0)
		op_bug(op, "redirect: only authorize ends in a redirect, not %.20s", op->kind);
	else if (!req || strcmp(req_method(req), "GET") != 0 || req_has_body(req))
		op_bug(op, "redirect: the browser needs a GET request without body");
	else if (!next || !next[0] || next_take(op, next))
		(void)req_write(req, "safe", &op->action);
	return MPS_NEXT_REDIRECT;
}

static int32_t done(mps_op *op)
{
	if (!verb_take(op, MPS_NEXT_DONE))
		return MPS_NEXT_DONE;
	if (op->looking)
		op_bug(op, "done: while looking for a lost post; say found, absent or unknown");
	else if (strcmp(op->kind, "identify") == 0 && !pairs_get(&op->results, "account.id")[0])
		op_bug(op, "done: identify gave no account.id");
	return MPS_NEXT_DONE;
}

/* A text cut to max bytes between characters. */
static size_t cut(const char *s, size_t max)
{
	size_t n = strlen(s);

	if (n <= max)
		return n;
	for (n = max; n > 0 && ((unsigned char)s[n] & 0xc0) == 0x80; n--)
		;
	return n;
}

static int32_t fail_verb(mps_op *op, int32_t failure, const char *reason, const char *code, const char *message)
{
	char short_code[81];

	if (!verb_take(op, MPS_NEXT_FAIL))
		return MPS_NEXT_FAIL;
	if (failure < MPS_REJECTED || failure > MPS_UNKNOWN || !reason || !name_ok(reason, 64, "") || !code || !message) {
		op_bug(op, "fail: %d is no class, or \"%.40s\" no reason of a-z 0-9 _", failure, reason ? reason : "NULL");
		return MPS_NEXT_FAIL;
	}
	(void)snprintf(short_code, sizeof short_code, "%.*s", (int)cut(code, 80), code);
	rec_text(&op->action, REC_CLASS, reason, class_names[failure]);
	rec_add(&op->action, REC_MESSAGE, short_code, message, cut(message, 2048));
	return MPS_NEXT_FAIL;
}

static int32_t looked(mps_op *op, int32_t verb)
{
	if (verb_take(op, verb) && !op->looking)
		op_bug(op, "%s: nobody is looking for a lost post", verb_names[verb]);
	return verb;
}

static int32_t found(mps_op *op)
{
	if (strcmp(op->kind, "edit") != 0 && !pairs_get(&op->results, "remote_id")[0])	/* an edited post has its id */
		op_bug(op, "found: without result remote_id");
	return looked(op, MPS_NEXT_FOUND);
}

static int32_t absent(mps_op *op) { return looked(op, MPS_NEXT_ABSENT); }
static int32_t unknown(mps_op *op) { return looked(op, MPS_NEXT_UNKNOWN); }

/* --- results ------------------------------------------------------------------------------------------------- */

static void result(mps_op *op, const char *key, const char *value)
{
	if (!key || !result_known(key))
		op_bug(op, "result: there is no result key \"%.80s\"", key ? key : "NULL");
	else if (!value || (op_handle_of(op, value) != NULL) != key_matches("targets.N.token", key) ||
		 (op_handle_of(op, value) && op_is_made(value)))
		op_bug(op, "result: the value of %.80s is NULL, or a secret where none belongs, or none where one does", key);
	else if (strlen(value) > HOST_VALUE_MAX || !text_utf8(value, strlen(value)))
		op_bug(op, "result: the value of %.80s is longer than %d bytes or not UTF-8", key, HOST_VALUE_MAX);
	else
		pairs_put(op, &op->results, key, value);
}

static void warn(mps_op *op, const char *reason, const char *words)
{
	if (!reason || !name_ok(reason, 64, "") || !words)
		op_bug(op, "warn: \"%.40s\" is no reason of a-z 0-9 _, or the words are NULL", reason ? reason : "NULL");
	else
		rec_add(&op->notes, REC_WARNING, reason, words, cut(words, 2048));
}

static bool token_name_ok(const mps_op *op, const char *name)
{
	return text_eq(op->kind, "register") ? text_eq(name, "client.id") || text_eq(name, "client.secret")
		: text_eq(name, "access") || text_eq(name, "refresh");
}

static void token(mps_op *op, const char *name, const char *handle, int64_t seconds)
{
	const char *held = handle ? op_handle_of(op, handle) : NULL;
	char value[128];

	if (!name || !token_name_ok(op, name))
		op_bug(op, "token: \"%.40s\" is not what %.20s stores: access and refresh, in register client.id and client.secret",
		       name ? name : "NULL", op->kind);
	else if (!held || op_is_made(held) || seconds < 0)
		op_bug(op, "token: the value of %s is not a handle, or its lifetime is negative", name);
	else {
		if (seconds > 0)
			(void)snprintf(value, sizeof value, "%s %lld", held, (long long)seconds);
		else
			(void)snprintf(value, sizeof value, "%s", held);
		rec_text(&op->notes, REC_TOKEN, name, value);
	}
}

static void retry_after(mps_op *op, int64_t seconds)
{
	rec_int(&op->notes, REC_SECONDS, "retry_after", seconds < 1 ? 1 : seconds > 30 * 86400 ? 30 * 86400 : seconds);
}

void verb_fill(struct mps_host *t)
{
	t->send = send, t->wait = wait, t->wait_user = wait_user, t->redirect = redirect, t->done = done;
	t->fail = fail_verb, t->found = found, t->absent = absent, t->unknown = unknown;
	t->result = result, t->warn = warn, t->token = token, t->retry_after = retry_after;
}
