/*
 * The provider of the virtual platform, written against frames.  It finds a lost post again in four ways, by the
 * account's type, as plugins/sandbox.c does: by its key, by its container, in a list, or not at all.
 */
#include "tests/sim/provider.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/frame.h"
#include "core/base/text.h"
#include "tests/sim/platform.h"

#define URL "https://api.sim.invalid"
#define CLOCKS_APART_MS 600000		/* posts are listed by time from so long before the start */

/* ---- one step ------------------------------------------------------------------------------------------------ */

struct step {
	char kind[16], phase[24], event[16], type[16], text[32], seed[80], container[16], job[16], since[24], now[24], parent[32];
	const char *body;
	long status;
	struct buf out;
};

static void take(const struct buf *frame, enum frame_kind kind, const char *key, char *out, size_t size)
{
	struct rec r;

	out[0] = '\0';
	if (rec_find(frame->data + FRAME_HEAD, frame->len - FRAME_HEAD, kind, key, &r))
		snprintf(out, size, "%.*s", (int)r.value_len, r.value);
}

static void read_step(const struct buf *frame, struct step *s, char *body, size_t size)
{
	char status[16];

	memset(s, 0, sizeof *s);
	take(frame, REC_KIND, NULL, s->kind, sizeof s->kind);
	take(frame, REC_PHASE, NULL, s->phase, sizeof s->phase);
	take(frame, REC_EVENT, NULL, s->event, sizeof s->event);
	take(frame, REC_SEED, NULL, s->seed, sizeof s->seed);
	take(frame, REC_INPUT, "account.type", s->type, sizeof s->type);
	take(frame, REC_INPUT, "text", s->text, sizeof s->text);
	take(frame, REC_INPUT, "parent.remote_id", s->parent, sizeof s->parent);
	take(frame, REC_STATE, "container", s->container, sizeof s->container);
	take(frame, REC_STATE, "job", s->job, sizeof s->job);
	take(frame, REC_STATE, "since", s->since, sizeof s->since);
	take(frame, REC_NOW, NULL, s->now, sizeof s->now);
	take(frame, REC_STATUS, NULL, status, sizeof status);
	take(frame, REC_BODY, NULL, body, size);
	s->body = body;
	s->status = strtol(status, NULL, 10);
	buf_init(&s->out, 8192);
}

static const char *word(const struct step *s, const char *key)
{
	static char value[80];
	const char *at = s->body;
	size_t n = strlen(key);

	value[0] = '\0';
	for (; at != NULL && *at != '\0'; at = strchr(at, '\n') ? strchr(at, '\n') + 1 : NULL)
		if (strncmp(at, key, n) == 0 && at[n] == ' ')
			snprintf(value, sizeof value, "%.*s", (int)strcspn(at + n + 1, "\n"), at + n + 1);
	return value;
}

static bool is(const struct step *s, const char *key, const char *value) { return text_eq(word(s, key), value); }

/* ---- verbs --------------------------------------------------------------------------------------------------- */

static void verb(struct step *s, const char *name) { rec_text(&s->out, REC_VERB, "", name); }

static void send(struct step *s, const char *method, const char *repeat, const char *path, const char *next)
{
	char url[200];

	verb(s, "send");
	rec_text(&s->out, REC_PHASE, "", next);
	rec_text(&s->out, REC_METHOD, method, repeat);
	snprintf(url, sizeof url, "%s%s", URL, path);
	rec_text(&s->out, REC_URL, "", url);
	rec_text(&s->out, REC_REQ_HEADER, "Authorization", "Bearer ");
	rec_text(&s->out, REC_REQ_HEADER_HANDLE, "raw", "token.access");
}

static void get(struct step *s, const char *folder, const char *name, const char *next)
{
	char path[160];

	snprintf(path, sizeof path, "/%s/%s", folder, name);
	send(s, "GET", "safe", path, next);
}

static void wait(struct step *s, const char *how, int seconds, const char *next)
{
	verb(s, how);
	rec_int(&s->out, REC_SECONDS, "", seconds);
	rec_text(&s->out, REC_PHASE, "", next);
}

static void fail_as(struct step *s, const char *class, const char *reason)
{
	verb(s, "fail");
	rec_text(&s->out, REC_CLASS, reason, class);
	rec_text(&s->out, REC_MESSAGE, "", reason);
}

/* Codes whose answer proves that nothing was created; "blocked" is none of them. */
static void failed(struct step *s)
{
	static const struct { const char *code, *class; } codes[] = {
		{"expired", "auth"}, {"revoked", "revoked"}, {"limit", "limit"}, {"policy", "rejected"},
	};

	for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
		if (is(s, "code", codes[i].code)) {
			fail_as(s, codes[i].class, codes[i].code);
			return;
		}
	fail_as(s, s->status >= 500 ? "transient" : "unknown", "platform_error");
}

static void done(struct step *s, const char *remote_id)
{
	rec_text(&s->out, REC_RESULT, "remote_id", remote_id);
	verb(s, "done");
}

static void found(struct step *s, const char *remote_id)
{
	rec_text(&s->out, REC_RESULT, "remote_id", remote_id);
	verb(s, "found");
}

/* ---- publish ------------------------------------------------------------------------------------------------- */

static void body(struct step *s)
{
	char words[200];

	snprintf(words, sizeof words, "text %s\nmarker %s\nparent %s\n", s->text, s->seed, s->parent);
	rec_text(&s->out, REC_REQ_BODY, "", words);
}

static void on_start(struct step *s)
{
	rec_int(&s->out, REC_STATE, "since", strtoll(s->now, NULL, 10) - CLOCKS_APART_MS);
	if (text_eq(s->type, "handle"))
		send(s, "POST", "safe", "/containers", "created");
	else
		send(s, "POST", text_eq(s->type, "keyed") ? "keyed" : "once", "/posts", "posted");
	if (text_eq(s->type, "keyed"))
		rec_text(&s->out, REC_REQ_HEADER, "Idempotency-Key", s->seed);
	body(s);
}

static void on_created(struct step *s)
{
	if (s->status != 200) {
		failed(s);
		return;
	}
	rec_text(&s->out, REC_STATE, "container", word(s, "id"));
	wait(s, "wait", 1, "poll");
}

static void on_poll(struct step *s) { get(s, "container", s->container, "polled"); }

static void on_polled(struct step *s)
{
	char path[40];

	snprintf(path, sizeof path, "/publish/%s", s->container);
	if (s->status != 200)
		failed(s);
	else if (is(s, "status", "error"))
		fail_as(s, "rejected", "processing_failed");
	else if (is(s, "status", "working"))
		wait(s, "wait", 2, "poll");
	else
		send(s, "POST", "once", path, "posted");
}

static void look(struct step *s)
{
	char folder[40];

	if (text_eq(s->type, "none"))
		verb(s, "unknown");
	else if (text_eq(s->type, "handle"))
		get(s, "container", s->container, "looked");
	else {
		snprintf(folder, sizeof folder, "list/%s", s->since);
		get(s, folder, s->seed, "listed");
	}
}

static void on_posted(struct step *s)
{
	if (text_eq(s->event, "lost")) {
		look(s);
	} else if (s->status == 202) {
		rec_text(&s->out, REC_STATE, "job", word(s, "job"));
		if (*word(s, "person"))
			wait(s, "wait_user", 600, "job");
		else
			wait(s, "wait", 2, "job");
	} else if (s->status == 409) {
		get(s, "container", s->container, "reread");
	} else if (s->status != 200) {
		failed(s);
	} else if (!*word(s, "id")) {
		fail_as(s, "unknown", "platform_error");
	} else if (sim.plan.readback) {
		rec_text(&s->out, REC_RESULT, "remote_id", word(s, "id"));
		get(s, "me", "post", "read_back");
	} else {
		done(s, word(s, "id"));
	}
}

/* The post is live whatever this says. */
static void on_read_back(struct step *s)
{
	if (s->status == 200)
		verb(s, "done");
	else
		failed(s);
}

static void on_job(struct step *s) { get(s, "job", s->job, "job_read"); }

static void on_job_read(struct step *s)
{
	if (s->status != 200)
		failed(s);
	else if (is(s, "status", "refused"))
		fail_as(s, "rejected", "not_accepted");
	else if (is(s, "status", "done"))
		done(s, word(s, "id"));
	else
		wait(s, "wait", 5, "job");
}

static void on_reread(struct step *s)
{
	if (s->status != 200)
		failed(s);
	else if (is(s, "status", "published"))
		done(s, word(s, "post"));
	else
		wait(s, "wait", 5, "reread_poll");
}

static void on_reread_poll(struct step *s) { get(s, "container", s->container, "reread"); }

static void look_failed(struct step *s)
{
	if (s->status == 401 || s->status == 403 || s->status == 429)
		failed(s);
	else
		verb(s, "unknown");
}

static void on_looked(struct step *s)
{
	if (s->status != 200)
		look_failed(s);
	else if (is(s, "status", "published"))
		found(s, word(s, "post"));
	else
		verb(s, is(s, "status", "busy") ? "unknown" : "absent");
}

static void on_listed(struct step *s)
{
	if (s->status != 200)
		look_failed(s);
	else if (*word(s, "id"))
		found(s, word(s, "id"));
	else
		verb(s, "absent");
}

/* ---- other kinds --------------------------------------------------------------------------------------------- */

static void token_request(struct step *s, const char *key, const char *handle, const char *next)
{
	verb(s, "send");
	rec_text(&s->out, REC_PHASE, "", next);
	rec_text(&s->out, REC_METHOD, "POST", "once");
	rec_text(&s->out, REC_URL, "", URL "/token");
	rec_text(&s->out, REC_REQ_BODY, "", key);
	rec_text(&s->out, REC_REQ_BODY_HANDLE, "raw", handle);
}

static void on_refresh(struct step *s) { token_request(s, "refresh ", "token.refresh", "got"); }
static void on_exchange(struct step *s) { token_request(s, "code ", "field.code", "got"); }

static void on_got(struct step *s)
{
	if (s->status / 100 == 2)
		verb(s, "done");
	else if (s->status >= 500)
		fail_as(s, "transient", "down");
	else
		fail_as(s, "revoked", "invalid_grant");
}

static void on_identify(struct step *s) { get(s, "me", "id", "identified"); }

static void on_identified(struct step *s)
{
	if (s->status != 200) {
		failed(s);
		return;
	}
	rec_text(&s->out, REC_RESULT, "account.id", word(s, "id"));
	rec_text(&s->out, REC_RESULT, "account.type", word(s, "type"));
	verb(s, "done");
}

static void on_revoke(struct step *s) { get(s, "revoke", "me", "revoked"); }

static void on_revoked(struct step *s)
{
	if (s->status == 200)
		verb(s, "done");
	else
		failed(s);
}

static const struct { const char *kind, *phase; void (*step)(struct step *); } phases[] = {
	{"publish", "start", on_start}, {"publish", "created", on_created}, {"publish", "poll", on_poll}, {"publish", "polled", on_polled},
	{"publish", "posted", on_posted}, {"publish", "read_back", on_read_back}, {"publish", "job", on_job},
	{"publish", "job_read", on_job_read}, {"publish", "reread", on_reread}, {"publish", "reread_poll", on_reread_poll},
	{"publish", "looked", on_looked}, {"publish", "listed", on_listed},
	{"refresh", "start", on_refresh}, {"refresh", "got", on_got}, {"exchange", "start", on_exchange}, {"exchange", "got", on_got},
	{"revoke", "start", on_revoke}, {"revoke", "revoked", on_revoked},
	{"identify", "start", on_identify}, {"identify", "identified", on_identified},
};

bool provider_step(const struct buf *frame, struct buf *out)
{
	static char answer[4096];
	struct step s;

	read_step(frame, &s, answer, sizeof answer);
	for (size_t i = 0; i < sizeof phases / sizeof phases[0]; i++)
		if (text_eq(phases[i].kind, s.kind) && text_eq(phases[i].phase, s.phase)) {
			phases[i].step(&s);
			buf_add(out, s.out.data, s.out.len);
			buf_free(&s.out);
			return true;
		}
	buf_free(&s.out);
	return false;
}
