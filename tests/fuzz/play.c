/*
 * A provider against a hostile platform: the input is one operation and the answers that its requests get.
 *
 *	kind publish                    kind and phase of the operation, inputs, saved state
 *	in text=Hello
 *	state anchor=9
 *	== start                        steps: start, lost, timer, or an answer with its headers and body
 *	== 200
 *	retry-after: 3
 *
 *	{"id": "1"}
 *
 * The core's part is played as sdk/try does: state and phase go from step to step, after "lost" it looks.  Whatever
 * the platform says, a step must answer the same twice, must write what the core takes, name no secret that there is
 * not, go to no host but those that the core would let it reach, and while looking send nothing that could create.
 * An input that begins with "raw" is handed to the host as the records of a step, as they are.
 */
#include "play.h"

#include "core/base/log.h"
#include "core/base/text.h"
#include "core/engine/hostwire.h"
#include "core/host/host.h"

#define SEED "5eed5eed5eed5eed5eed5eed5eed5eed5eed5eed5eed5eed5eed5eed5eed5eed"
#define STEPS_MAX 40
#define KEY_MAX 160

static struct mps_provider provider;
static struct arena known;
static struct jv descriptor;

struct line { const char *at; size_t n; };

struct game {
	const char *at, *end;		/* of the input that is left */
	char kind[24], phase[80];
	bool looking, over;
	struct buf inputs, state;	/* records; of the state the newest first */
	struct buf given;		/* the state that it began with */
	const char *host[4];		/* that this operation may reach besides the descriptor's */
	int hosts;
	struct arena arena;
};

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct buf words BUF_AUTO;
	struct cx cx;

	(void)argc, (void)argv;
	log_set(LOG_ERROR + 1);
	buf_init(&words, 8192);
	cx_init(&cx, NULL);
	arena_init(&known, 8u << 20);
	MUST_SAY(provider_check(mps_provider_v1(host_table()), &provider, &words), "%s", buf_text(&words));
	MUST_SAY(json_parse(&cx, &known, provider.describe, strlen(provider.describe), &descriptor) == RC_OK, "%s", cx.words);
	return 0;
}

/* ---- reading the input ---------------------------------------------------------------------------------- */

static bool line_next(struct game *g, struct line *ret)
{
	const char *end = g->at < g->end ? memchr(g->at, '\n', (size_t)(g->end - g->at)) : NULL;

	if (g->at >= g->end)
		return false;
	end = end ? end : g->end;
	*ret = (struct line){g->at, (size_t)(end - g->at)};
	g->at = end < g->end ? end + 1 : end;
	return true;
}

static bool line_is(const struct line *l, const char *word)
{
	size_t n = strlen(word);

	return l->n >= n && memcmp(l->at, word, n) == 0;
}

static void copy(char *out, size_t size, const struct line *l, size_t from)
{
	snprintf(out, size, "%.*s", (int)(l->n - from), l->at + from);
}

/* The core hands over what it has judged before: names of operations and phases, hosts, a few media, good UTF-8. */
static bool sane(const char *s, size_t n, const char *more)
{
	for (size_t i = 0; i < n; i++)
		if (!((s[i] >= 'a' && s[i] <= 'z') || (s[i] >= '0' && s[i] <= '9')) && (s[i] == '\0' || strchr(more, s[i]) == NULL))
			return false;
	return n > 0;
}

/* "key=value" behind the first `from` bytes. */
static void pair_add(struct game *g, struct buf *out, enum frame_kind kind, const struct line *l, size_t from)
{
	const char *eq = memchr(l->at + from, '=', l->n - from);
	char key[KEY_MAX];
	bool host;
	size_t n;

	if (eq == NULL || (size_t)(eq - l->at) - from >= sizeof key)
		return;
	snprintf(key, sizeof key, "%.*s", (int)((size_t)(eq - l->at) - from), l->at + from);
	n = l->n - (size_t)(eq + 1 - l->at);
	host = kind == REC_INPUT && (text_eq(key, "account.host") || text_eq(key, "grant.auth_host"));
	if (text_eq(key, "media.count") && n > 1)
		return;
	if (!text_utf8(eq + 1, n) || (host && (g->hosts == 4 || !sane(eq + 1, n, ".-:"))))
		return;
	rec_add(out, kind, key, eq + 1, n);
	if (host)
		g->host[g->hosts++] = arena_dup(&g->arena, eq + 1, n);
}

static void head_read(struct game *g)
{
	struct line l;

	for (const char *before = g->at; line_next(g, &l); before = g->at) {
		if (line_is(&l, "== ")) {
			g->at = before;
			return;
		}
		if (line_is(&l, "kind ") && sane(l.at + 5, l.n - 5, "_"))
			copy(g->kind, sizeof g->kind, &l, 5);
		else if (line_is(&l, "phase ") && sane(l.at + 6, l.n - 6, "_"))
			copy(g->phase, sizeof g->phase, &l, 6);
		else if (line_is(&l, "in "))
			pair_add(g, &g->inputs, REC_INPUT, &l, 3);
		else if (line_is(&l, "state "))
			pair_add(g, &g->state, REC_STATE, &l, 6);
	}
}

/* Headers up to an empty line, then the body up to the next step. */
static void answer_read(struct game *g, struct buf *frame)
{
	const char *body, *end;
	struct line l;
	char name[KEY_MAX];

	while (line_next(g, &l) && l.n > 0 && !line_is(&l, "== ")) {
		const char *colon = memchr(l.at, ':', l.n);
		size_t n = colon ? (size_t)(colon - l.at) : 0, skip = colon && n + 1 < l.n && colon[1] == ' ' ? 2 : 1;

		if (n == 0 || n >= sizeof name)
			continue;
		for (size_t i = 0; i < n; i++)
			name[i] = (char)(l.at[i] >= 'A' && l.at[i] <= 'Z' ? l.at[i] + 32 : l.at[i]);
		name[n] = '\0';
		rec_add(frame, REC_HEADER, name, l.at + n + skip, l.n - n - (skip < l.n - n ? skip : l.n - n));
	}
	body = g->at;
	for (end = body; end < g->end && !(memcmp(end, "== ", (size_t)(g->end - end) < 3 ? (size_t)(g->end - end) : 3) == 0 &&
					   (end == body || end[-1] == '\n')); end++)
		;
	g->at = end;
	rec_add(frame, REC_BODY, "", body, (size_t)(end - body) - (end > body && end < g->end ? 1 : 0));
}

/* The frame of the next step; false: the input is at its end. */
static bool step_read(struct game *g, struct buf *frame)
{
	struct line l = {"", 0};
	int64_t status = 0;
	char word[16];
	bool answered;

	while (line_next(g, &l))
		if (line_is(&l, "== "))
			break;
	if (!line_is(&l, "== "))
		return false;
	copy(word, sizeof word, &l, 3);
	answered = text_int(word, &status);
	g->looking |= text_eq(word, "lost");
	if (g->looking && text_eq(g->phase, "start"))
		return false;		/* what is lost was sent, so there was a phase behind it: the core never looks from here */
	rec_text(frame, REC_KIND, "", g->kind);
	rec_text(frame, REC_PHASE, "", g->phase);
	rec_text(frame, REC_EVENT, "", answered ? "answer" : word);
	rec_text(frame, REC_NOW, "", "1700000000000");
	rec_text(frame, REC_SEED, "", SEED);
	buf_add(frame, g->inputs.data, g->inputs.len);
	if (g->looking)
		rec_text(frame, REC_INPUT, "looking", "1");
	buf_add(frame, g->state.data, g->state.len);
	if (answered) {
		rec_int(frame, REC_STATUS, "", status);
		answer_read(g, frame);
	}
	return true;
}

/* ---- what an action must keep to ------------------------------------------------------------------------ */

/* "host" or "host:port" against a pattern of the descriptor. */
static bool host_matches(const char *pattern, const char *host)
{
	size_t n = strlen(host), m = strlen(pattern);

	if (strncmp(pattern, "*.", 2) == 0)
		return n > m - 1 && strcmp(host + n - (m - 1), pattern + 1) == 0;
	return strcmp(pattern, host) == 0;
}

static bool roams(const struct game *g)
{
	bool user = false;

	json_bool(json_get(descriptor, "user_hosts"), &user);
	return user && (text_eq(g->kind, "register") || text_eq(g->kind, "authorize") || text_eq(g->kind, "exchange") ||
			text_eq(g->kind, "identify"));
}

static bool reachable(const struct game *g, const char *host)
{
	static const char *const lists[] = {"hosts", "answer_hosts"};

	for (int i = 0; i < 2; i++)
		for (size_t k = 0; k < json_count(json_get(descriptor, lists[i])); k++)
			if (host_matches(json_text_or(json_at(json_get(descriptor, lists[i]), k), ""), host))
				return true;
	for (int i = 0; i < g->hosts; i++) {
		const char *own = strstr(g->host[i], "://") ? strstr(g->host[i], "://") + 3 : g->host[i];
		size_t n = strcspn(own, "/:");

		if (n > 0 && strlen(host) >= n && strncasecmp(own, host, n) == 0 && (host[n] == '\0' || host[n] == ':'))
			return true;
	}
	return roams(g);
}

/* Stored facts name more hosts; what counts is that no answer of this operation does. */
static bool was_given(const struct game *g, const char *host)
{
	return memmem(buf_text(&g->inputs), g->inputs.len, host, strlen(host)) != NULL ||
	       memmem(buf_text(&g->given), g->given.len, host, strlen(host)) != NULL;
}

static void host_check(const struct game *g, const char *records, size_t len)
{
	char url[400], host[300];
	struct rec r;
	size_t n;

	if (!rec_find(records, len, REC_URL, NULL, &r))
		return;			/* a handle holds the whole URL: judged where it is put in */
	snprintf(url, sizeof url, "%.*s", (int)r.value_len, r.value);
	n = strncmp(url, "https://", 8) == 0 ? 8 : strncmp(url, "http://", 7) == 0 ? 7 : 0;
	if (n == 0)
		return;
	snprintf(host, sizeof host, "%.*s", (int)strcspn(url + n, "/?#"), url + n);
	if (host[0] == '\0')
		return;			/* the guard takes no URL without a host */
	if (was_given(g, host))
		return;
	for (char *c = host; *c; c++)
		*c = (char)(*c >= 'A' && *c <= 'Z' ? *c + 32 : *c);
	MUST_SAY(reachable(g, host), "%s/%s would go to %s", g->kind, g->phase, url);
}

/* A secret's name is one that every operation has, or one that this operation was given. */
static void handle_check(const struct game *g, const struct rec *r)
{
	static const char *const all[] = {"client.id", "client.secret", "client.key", "token.access", "token.refresh", "oauth.code",
		"oauth.code_verifier", NULL};
	char name[96], key[120];
	struct rec found;

	snprintf(name, sizeof name, "%.*s", (int)r->value_len, r->value);
	if ((r->key_len == 5 && memcmp(r->key, "basic", 5) == 0) || text_starts(name, "field.") || text_starts(name, "targets.") ||
	    text_starts(name, "made:"))
		return;
	for (int i = 0; all[i] != NULL; i++)
		if (text_eq(all[i], name))
			return;
	snprintf(key, sizeof key, "handle.%s", name);
	MUST_SAY(rec_find(g->inputs.data, g->inputs.len, REC_INPUT, key, &found) && rec_is(&found, "1"), "no secret is named %s", name);
}

static void action_judge(struct game *g, const struct buf *out)
{
	const char *records = out->data + FRAME_HEAD;
	size_t len = out->len - FRAME_HEAD, at = 0;
	const char *wrong = action_check(records, len);
	struct frame_head head;
	struct rec r, verb;
	bool bad;

	MUST(frame_peek(out->data, out->len, FRAME_OUT_MAX, &head) == 1 && head.type == FRAME_ACTION && head.operation == 1);
	MUST_SAY(wrong == NULL, "%s/%s: the core would end the host: %s", g->kind, g->phase, wrong);
	MUST(rec_find(records, len, REC_VERB, NULL, &verb));
	while (rec_next(records, len, &at, &r, &bad)) {
		if (r.kind == REC_URL_HANDLE || r.kind == REC_REQ_HEADER_HANDLE || r.kind == REC_REQ_BODY_HANDLE)
			handle_check(g, &r);
		if (r.kind == REC_METHOD && g->looking)
			MUST_SAY(rec_is(&r, "safe"), "while looking %s/%s sends what could create", g->kind, g->phase);
	}
	if (g->looking)
		MUST(!rec_is(&verb, "done") && !rec_is(&verb, "wait_user"));
	if (rec_is(&verb, "send"))
		host_check(g, records, len);
	if (rec_is(&verb, "bug") && getenv("FUZZ_BUGS") && rec_find(records, len, REC_FAULT, NULL, &r))
		MUST_SAY(false, "bug: %.*s", (int)r.value_len, r.value);
	g->over = !rec_is(&verb, "send") && !rec_is(&verb, "wait") && !rec_is(&verb, "wait_user");
}

/* New state goes to the front: the first record of a key counts. */
static void keep(struct game *g, const struct buf *out)
{
	struct buf all;
	size_t at = 0;
	struct rec r;
	char key[KEY_MAX + 1];

	buf_init(&all, 16 * HOST_STATE_MAX);
	while (rec_next(out->data + FRAME_HEAD, out->len - FRAME_HEAD, &at, &r, NULL)) {
		snprintf(key, sizeof key, "%.*s", (int)r.key_len, r.key);
		if (r.kind == REC_PHASE)
			snprintf(g->phase, sizeof g->phase, "%.*s", (int)r.value_len, r.value);
		else if (r.kind == REC_STATE)
			rec_add(&all, REC_STATE, key, r.value, r.value_len);
	}
	buf_add(&all, g->state.data, g->state.len);
	g->over = g->over || !buf_ok(&all);
	buf_free(&g->state);
	g->state = all;
}

/* ---- playing -------------------------------------------------------------------------------------------- */

static void step(struct game *g, const struct buf *frame)
{
	struct buf out BUF_AUTO, again BUF_AUTO;
	char *copied = malloc(frame->len ? frame->len : 1);

	memcpy(copied, frame->data, frame->len);
	buf_init(&out, 2 * FRAME_OUT_MAX);
	buf_init(&again, 2 * FRAME_OUT_MAX);
	step_run(&provider, 1, copied, frame->len, &out);
	step_run(&provider, 1, copied, frame->len, &again);
	free(copied);
	MUST(buf_ok(&out) && out.len >= FRAME_HEAD);
	MUST_SAY(out.len == again.len && memcmp(out.data, again.data, out.len) == 0, "%s/%s answers twice in two ways", g->kind, g->phase);
	action_judge(g, &out);
	keep(g, &out);
}

static bool noise(const char *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)bytes[i] < ' ' && strchr("\t\n\r", bytes[i]) == NULL)
			return true;
	return !text_utf8(bytes, n);
}

/* Text in every key and value, as all frames of the core are; a host that is asked in noise may answer with it. */
static bool is_text(const uint8_t *data, size_t size)
{
	size_t at = 0;
	struct rec r;
	bool bad = false;

	while (rec_next((const char *)data, size, &at, &r, &bad))
		if (noise(r.key, r.key_len) || noise(r.value, r.value_len))
			return false;
	return !bad;
}

static void play_raw(const uint8_t *data, size_t size)
{
	struct buf out BUF_AUTO;
	char *copied = malloc(size ? size : 1);
	const char *wrong;

	memcpy(copied, data, size);
	buf_init(&out, 2 * FRAME_OUT_MAX);
	step_run(&provider, 1, copied, size, &out);
	free(copied);
	wrong = action_check(out.data + FRAME_HEAD, out.len - FRAME_HEAD);
	MUST_SAY(wrong == NULL || !is_text(data, size), "the core would end the host: %s", wrong);
}

void play(const uint8_t *data, size_t size)
{
	struct game g = {.at = (const char *)data, .end = (const char *)data + size, .kind = "publish", .phase = "start"};

	if (size > 3 && memcmp(data, "raw", 3) == 0) {
		play_raw(data + 3, size - 3);
		return;
	}
	arena_init(&g.arena, 1u << 20);
	buf_init(&g.inputs, 1u << 20);
	buf_init(&g.state, 16 * HOST_STATE_MAX);
	buf_init(&g.given, 1u << 20);
	head_read(&g);
	buf_add(&g.given, g.state.data, g.state.len);
	for (int i = 0; i < STEPS_MAX && !g.over; i++) {
		struct buf frame BUF_AUTO;

		buf_init(&frame, FRAME_IN_MAX);
		if (!step_read(&g, &frame))
			break;
		if (buf_ok(&frame))
			step(&g, &frame);
	}
	buf_free(&g.inputs);
	buf_free(&g.state);
	buf_free(&g.given);
	arena_free(&g.arena);
}
