/*
 * Playing a conversation: the part of the core, in miniature.
 *
 * State and phase are carried from step to step as the core would; after "lost" the core is looking.  Every step is
 * run twice: a provider is a pure function, and the two answers must be the same to the byte.
 */
#include "sdk/try/try.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/frame.h"
#include "core/host/host.h"

#define SEED "5eed5eed5eed5eed5eed5eed5eed5eed5eed5eed5eed5eed5eed5eed5eed5eed"
#define NOW "1700000000000"

struct play {
	const struct mps_provider *provider;
	struct jv conversation;
	char phase[80];
	bool looking;
	struct buf state;		/* records, the newest first */
	struct buf words;
};

static void put_pairs(struct buf *frame, enum frame_kind kind, struct jv object)
{
	const char *key;
	struct jv value;

	for (size_t i = 0; json_member(object, i, &key, &value); i++)
		rec_text(frame, kind, key, json_text_or(value, ""));
}

static void put_answer(struct buf *frame, struct jv step)
{
	struct jv body = json_get(step, "body");
	size_t n = 0;
	const char *raw;

	rec_text(frame, REC_STATUS, "", json_text_or(json_get(step, "status"), "200"));
	put_pairs(frame, REC_HEADER, json_get(step, "headers"));
	if (json_type(body) == JSON_STRING) {
		rec_text(frame, REC_BODY, "", json_text(body));
	} else if (json_type(body) != JSON_NONE) {
		raw = json_raw(body, &n);
		rec_add(frame, REC_BODY, "", raw, n);
	}
}

static void put_step(struct play *p, struct jv step, struct buf *frame)
{
	struct jv c = p->conversation;
	const char *event = json_text_or(json_get(step, "event"), "answer");
	const char *now = json_text_or(json_get(step, "now"), json_text_or(json_get(c, "now"), NOW));

	rec_text(frame, REC_KIND, "", json_text_or(json_get(c, "kind"), "publish"));
	rec_text(frame, REC_PHASE, "", p->phase);
	rec_text(frame, REC_EVENT, "", event);
	rec_text(frame, REC_NOW, "", now);
	rec_text(frame, REC_SEED, "", json_text_or(json_get(c, "seed"), SEED));
	put_pairs(frame, REC_INPUT, json_get(step, "inputs"));
	put_pairs(frame, REC_INPUT, json_get(c, "inputs"));
	if (p->looking)
		rec_text(frame, REC_INPUT, "looking", "1");
	buf_add(frame, p->state.data, p->state.len);
	if (strcmp(event, "answer") == 0)
		put_answer(frame, step);
}

/* New state goes to the front: the first record of a key counts. */
static void keep(struct play *p, const char *records, size_t len)
{
	struct buf all;
	size_t at = 0;
	struct rec r;

	buf_init(&all, 4 * HOST_STATE_MAX);
	while (rec_next(records, len, &at, &r, NULL)) {
		char key[200];

		if (r.kind != REC_STATE && r.kind != REC_PHASE)
			continue;
		(void)snprintf(key, sizeof key, "%.*s", (int)r.key_len, r.key);
		if (r.kind == REC_PHASE)
			(void)snprintf(p->phase, sizeof p->phase, "%.*s", (int)r.value_len, r.value);
		else
			rec_add(&all, REC_STATE, key, r.value, r.value_len);
	}
	buf_add(&all, p->state.data, p->state.len);
	buf_free(&p->state);
	p->state = all;
}

static bool step_twice(struct play *p, struct jv step, struct buf *out)
{
	struct buf frame BUF_AUTO, again BUF_AUTO;

	buf_init(&frame, FRAME_IN_MAX);
	buf_init(&again, 2 * FRAME_OUT_MAX);
	put_step(p, step, &frame);
	step_run(p->provider, 1, frame.data, frame.len, out);
	step_run(p->provider, 1, frame.data, frame.len, &again);
	if (out->len == again.len && memcmp(out->data, again.data, out->len) == 0)
		return true;
	buf_adds(&p->words, "    the same step gave two different answers; a step must be a pure function\n");
	return false;
}

static bool play_step(struct play *p, struct jv step, struct arena *a, bool show)
{
	struct buf out BUF_AUTO, json BUF_AUTO;
	struct jv got, want = json_get(step, "expect");
	struct cx cx;
	bool ok;

	buf_init(&out, 2 * FRAME_OUT_MAX);
	buf_init(&json, 2 * FRAME_OUT_MAX);
	cx_init(&cx, "try");
	p->looking |= strcmp(json_text_or(json_get(step, "event"), "answer"), "lost") == 0;
	ok = step_twice(p, step, &out);
	action_json(out.data + FRAME_HEAD, out.len - FRAME_HEAD, &json);
	if (show)
		printf("  %s: %s\n", p->phase, buf_text(&json));
	if (json_parse(&cx, a, buf_text(&json), json.len, &got) != RC_OK)
		return false;
	if (json_type(json_get(want, "verb")) == JSON_NONE)
		buf_adds(&p->words, "    expect.verb is missing\n");
	ok = compare_action(want, got, &p->words) && p->words.len == 0 && ok;
	if (!ok)
		buf_addf(&p->words, "    the whole action: %s\n", buf_text(&json));
	keep(p, out.data + FRAME_HEAD, out.len - FRAME_HEAD);
	return ok;
}

static bool play(const struct mps_provider *provider, struct jv conversation, const char *path, size_t number, struct arena *a, bool show)
{
	struct play p = { .provider = provider, .conversation = conversation };
	struct jv steps = json_get(conversation, "steps");
	const char *name = json_text_or(json_get(conversation, "name"), "");
	bool ok = json_count(steps) > 0;

	buf_init(&p.state, 4 * HOST_STATE_MAX);
	buf_init(&p.words, 1024 * 1024);
	(void)snprintf(p.phase, sizeof p.phase, "%s", json_text_or(json_get(conversation, "phase"), "start"));
	put_pairs(&p.state, REC_STATE, json_get(conversation, "state"));
	if (!ok)
		printf("not ok %s [%zu] %s: it has no steps\n", path, number, name);
	for (size_t i = 0; ok && i < json_count(steps); i++) {
		char phase[80];

		(void)snprintf(phase, sizeof phase, "%s", p.phase);
		ok = play_step(&p, json_at(steps, i), a, show);
		if (!ok)
			printf("not ok %s [%zu] %s: step %zu, phase %s\n%s", path, number, name, i + 1, phase, buf_text(&p.words));
	}
	if (ok)
		printf("ok %s [%zu] %s\n", path, number, name);
	buf_free(&p.state);
	buf_free(&p.words);
	return ok;
}

static bool file_read(const char *path, struct buf *out)
{
	FILE *f = fopen(path, "re");
	char some[4096];
	size_t n;

	if (!f)
		return false;
	while ((n = fread(some, 1, sizeof some, f)) > 0)
		buf_add(out, some, n);
	(void)fclose(f);
	return buf_ok(out);
}

int replay_file(const struct mps_provider *p, const char *path, bool show)
{
	struct arena a ARENA_AUTO;
	struct buf text BUF_AUTO;
	struct jv root;
	struct cx cx;
	int failed = 0;

	arena_init(&a, 256u * 1024 * 1024);
	buf_init(&text, 8 * 1024 * 1024);
	cx_init(&cx, "try");
	if (!file_read(path, &text) || json_parse(&cx, &a, buf_text(&text), text.len, &root) != RC_OK) {
		printf("not ok %s: cannot be read: %s\n", path, cx.words);
		return -1;
	}
	if (json_type(root) != JSON_ARRAY)
		return play(p, root, path, 1, &a, show) ? 0 : 1;
	for (size_t i = 0; i < json_count(root); i++)
		failed += !play(p, json_at(root, i), path, i + 1, &a, show);
	return failed;
}

/* --- kinds ----------------------------------------------------------------------------------------------------- */

static bool knows(const struct mps_provider *p, const char *kind)
{
	struct buf frame BUF_AUTO, out BUF_AUTO;
	struct rec r;

	buf_init(&frame, 4096);
	buf_init(&out, 2 * FRAME_OUT_MAX);
	rec_text(&frame, REC_KIND, "", kind);
	rec_text(&frame, REC_PHASE, "", "start");
	rec_text(&frame, REC_EVENT, "", "start");
	rec_text(&frame, REC_NOW, "", NOW);
	rec_text(&frame, REC_SEED, "", SEED);
	step_run(p, 1, frame.data, frame.len, &out);
	return rec_find(out.data + FRAME_HEAD, out.len - FRAME_HEAD, REC_VERB, NULL, &r) && !rec_is(&r, "no_phase");
}

bool replay_kinds(const struct mps_provider *p, struct buf *words)
{
	static const char *const kinds[] = { "register", "authorize", "exchange", "identify", "targets", "refresh", "check", "limits", "publish",
		"edit", "remove", "revoke", NULL };
	struct arena a ARENA_AUTO;
	struct jv root, list;
	struct cx cx;

	arena_init(&a, 8 * 1024 * 1024);
	cx_init(&cx, "try");
	if (json_parse(&cx, &a, p->describe, strlen(p->describe), &root) != RC_OK) {
		buf_addf(words, "descriptor: %s\n", cx.words);
		return false;
	}
	list = json_get(root, "operations");
	for (int i = 0; kinds[i]; i++) {
		bool listed = false;

		for (size_t k = 0; k < json_count(list); k++)
			listed |= strcmp(json_text_or(json_at(list, k), ""), kinds[i]) == 0;
		if (listed != knows(p, kinds[i]))
			buf_addf(words, "%s is %s, but step %s it\n", kinds[i], listed ? "listed in operations" : "not listed in operations",
				listed ? "does not know" : "knows");
	}
	return words->len == 0;
}
