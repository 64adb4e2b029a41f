/*
 * The operation as a provider sees it: inputs, saved state, the answer, handles.
 *
 * Everything handed out lies in the operation's arena, which goes with the step.  A handle is recognised by its
 * address, so a text that a person wrote can never become one.  State that holds a handle is stored under "@key",
 * so that it comes back as a handle and not as its name.
 */
#include "core/host/host.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/base/jsoncheck.h"
#include "core/base/text.h"

#define OP_MEMORY (96u * 1024 * 1024)

static const char *const handle_names[] = {
	"client.id", "client.secret", "client.key", "token.access", "token.refresh", "oauth.code", "oauth.code_verifier", NULL
};

void op_bug(struct mps_op *op, const char *fmt, ...)
{
	va_list ap;

	if (op->bug[0])
		return;
	va_start(ap, fmt);
	(void)vsnprintf(op->bug, sizeof op->bug, fmt, ap);
	va_end(ap);
}

bool name_ok(const char *s, size_t max, const char *more)
{
	size_t n = 0;

	for (; s[n]; n++)
		if (n >= max || !((s[n] >= 'a' && s[n] <= 'z') || (s[n] >= '0' && s[n] <= '9') || s[n] == '_' || strchr(more, s[n])))
			return false;
	return n > 0;
}

static struct pair *pairs_find(const struct pairs *p, const char *key)
{
	for (struct pair *i = p->first; i; i = i->next)
		if (strcmp(i->key, key) == 0)
			return i;
	return NULL;
}

const char *pairs_get(const struct pairs *p, const char *key)
{
	struct pair *i = pairs_find(p, key);

	return i ? i->value : "";
}

struct pair *pairs_put(struct mps_op *op, struct pairs *p, const char *key, const char *value)
{
	struct pair *i = pairs_find(p, key);

	if (!i) {
		i = arena_new(&op->arena, struct pair);
		i->key = arena_text(&op->arena, key);
		*(p->last ? &p->last->next : &p->first) = i;
		p->last = i;
	}
	i->value = arena_text(&op->arena, value);
	return i;
}

/* Appends without looking for the key: a frame's records are not trusted to be unique, the first one counts. */
static void pairs_append(struct mps_op *op, struct pairs *p, const struct rec *r)
{
	struct pair *i = arena_new(&op->arena, struct pair);

	i->key = arena_dup(&op->arena, r->key, r->key_len);
	i->value = arena_dup(&op->arena, r->value, r->value_len);
	*(p->last ? &p->last->next : &p->first) = i;
	p->last = i;
}

static int32_t event_number(const char *text)
{
	static const char *const names[] = { "start", "answer", "lost", "timer" };

	for (int32_t i = 0; i < 4; i++)
		if (strcmp(text, names[i]) == 0)
			return i + 1;
	return 0;
}

static void op_read(struct mps_op *op, const struct rec *r)
{
	const char *text = "";
	int64_t n = 0;

	if (r->kind == REC_INPUT || r->kind == REC_STATE || r->kind == REC_HEADER) {
		pairs_append(op, r->kind == REC_INPUT ? &op->inputs : r->kind == REC_STATE ? &op->state : &op->headers, r);
		return;
	}
	text = arena_dup(&op->arena, r->value, r->value_len);
	(void)text_int(text, &n);
	switch (r->kind) {
	case REC_KIND: op->kind = text; break;
	case REC_PHASE: op->phase = text; break;
	case REC_SEED: op->seed = text; break;
	case REC_EVENT: op->event = event_number(text); break;
	case REC_NOW: op->now = n; break;
	case REC_STATUS: op->status = (int32_t)n; break;
	case REC_BODY:
		op->body = text;
		op->body_len = r->value_len;
		break;
	default: break;
	}
}

bool op_init(struct mps_op *op, uint64_t operation, const char *data, size_t len)
{
	size_t at = 0;
	struct rec r;
	bool bad = false;

	memset(op, 0, sizeof *op);
	arena_init(&op->arena, OP_MEMORY);
	buf_init(&op->action, FRAME_OUT_MAX);
	buf_init(&op->notes, FRAME_OUT_MAX);
	buf_init(&op->makes, FRAME_OUT_MAX);
	op->operation = operation;
	op->kind = op->phase = op->seed = op->body = "";
	while (rec_next(data, len, &at, &r, &bad))
		op_read(op, &r);
	op->looking = op->event == MPS_LOST || strcmp(pairs_get(&op->inputs, "looking"), "1") == 0;
	return !bad && op->event && op->kind[0] && op->phase[0];
}

void op_free(struct mps_op *op)
{
	req_free(op->open);
	buf_free(&op->action);
	buf_free(&op->notes);
	buf_free(&op->makes);
	arena_free(&op->arena);
}

/* --- handles ------------------------------------------------------------------------------------------------- */

const char *op_handle_of(const struct mps_op *op, const char *text)
{
	for (const struct handle *h = op->handles; h; h = h->next)
		if (h->name == text)
			return h->name;
	return NULL;
}

bool op_is_made(const char *handle)
{
	return handle && text_starts(handle, "made:");
}

static bool handle_known(struct mps_op *op, const char *name)
{
	for (int i = 0; handle_names[i]; i++)
		if (strcmp(name, handle_names[i]) == 0)
			return true;
	if (text_starts(name, "field."))
		return name_ok(name + 6, 48, "-");
	if (text_starts(name, "sec:"))
		return strcmp(op_input(op, arena_printf(&op->arena, "handle.%s", name)), "1") == 0;
	if (text_starts(name, "targets.")) {
		size_t digits = strspn(name + 8, "0123456789");

		return digits > 0 && digits < 7 && strcmp(name + 8 + digits, ".token") == 0;
	}
	return false;
}

const char *op_handle(struct mps_op *op, const char *name)
{
	struct handle *h;

	for (h = op->handles; h; h = h->next)
		if (strcmp(h->name, name) == 0)
			return h->name;
	if (strlen(name) >= sizeof h->name || !handle_known(op, name)) {
		op_bug(op, "handle: there is no secret named \"%.60s\"", name);
		return "";
	}
	h = arena_new(&op->arena, struct handle);
	(void)snprintf(h->name, sizeof h->name, "%s", name);
	h->next = op->handles;
	op->handles = h;
	return h->name;
}

/* A text out of an answer: the handle if the core put a handle's name in place of a secret. */
static const char *or_handle(struct mps_op *op, const char *text)
{
	if (text_starts(text, "sec:") && strlen(text) < sizeof op->handles->name && handle_known(op, text))
		return op_handle(op, text);
	return text;
}

/* --- host table ---------------------------------------------------------------------------------------------- */

static const char *kind(mps_op *op) { return op->kind; }
static const char *phase(mps_op *op) { return op->phase; }
static int32_t event(mps_op *op) { return op->event; }
static int64_t now(mps_op *op) { return op->now; }
static const char *seed(mps_op *op) { return op->seed; }
static int32_t status(mps_op *op) { return op->event == MPS_ANSWER ? op->status : 0; }

const char *op_input(struct mps_op *op, const char *key)
{
	return pairs_get(&op->inputs, key);
}

static const char *get(mps_op *op, const char *key)
{
	const char *held = pairs_get(&op->state, arena_printf(&op->arena, "@%s", key));

	return held[0] ? op_handle(op, held) : pairs_get(&op->state, key);
}

static void state_put(struct mps_op *op, const char *key, const char *value)
{
	struct pair *p = pairs_find(&op->state, key);

	if (strcmp(p ? p->value : "", value) == 0)
		return;
	pairs_put(op, &op->state, key, value)->changed = true;
}

static void set(mps_op *op, const char *key, const char *value)
{
	size_t total = 0;
	bool held = value && op_handle_of(op, value);

	if (!value || !name_ok(key, 64, ".-")) {
		op_bug(op, "set: \"%.80s\" is no key, or its value is NULL", key);
		return;
	}
	if (held && op_is_made(value)) {
		op_bug(op, "set: %s is made for a request of this step and cannot be kept", value);
		return;
	}
	state_put(op, key, held ? "" : value);
	state_put(op, arena_printf(&op->arena, "@%s", key), held ? value : "");
	for (struct pair *i = op->state.first; i; i = i->next)
		total += i->value[0] ? strlen(i->key) + strlen(i->value) : 0;
	if (total > HOST_STATE_MAX)
		op_bug(op, "set: state over %d bytes with key \"%s\"", HOST_STATE_MAX, key);
}

static const char *header(mps_op *op, const char *name)
{
	char *low = arena_text(&op->arena, name);

	for (char *c = low; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	return or_handle(op, pairs_get(&op->headers, low));
}

static struct jv answer(struct mps_op *op, const char *path)
{
	struct json_fault fault;
	struct cx cx;

	if (!op->body_read) {
		op->body_read = true;
		cx_init(&cx, NULL);
		if (op->body_len == 0 || json_check(op->body, op->body_len, &fault) == 0 ||
		    json_parse(&cx, &op->arena, op->body, op->body_len, &op->root) != RC_OK)
			memset(&op->root, 0, sizeof op->root);
	}
	return path[0] && op->root.doc ? json_path(op->root, path) : op->root;
}

static const char *json(mps_op *op, const char *path)
{
	struct jv v = answer(op, path);
	const char *text = v.doc ? json_text(v) : NULL;

	return text ? or_handle(op, text) : "";
}

static int32_t json_type_at(mps_op *op, const char *path)
{
	struct jv v = answer(op, path);

	return v.doc ? (int32_t)json_type(v) : MPS_JSON_NONE;
}

static int32_t json_count_at(mps_op *op, const char *path)
{
	struct jv v = answer(op, path);

	return v.doc ? (int32_t)json_count(v) : 0;
}

static const char *json_source(mps_op *op, const char *path)
{
	struct jv v = answer(op, path);
	size_t n = 0;
	const char *raw = v.doc && json_type(v) != JSON_NONE ? json_raw(v, &n) : NULL;

	return raw ? arena_dup(&op->arena, raw, n) : "";
}

static const char *body(mps_op *op, uint32_t *ret_length)
{
	if (ret_length)
		*ret_length = op->body_len;
	return op->body;
}

static const char *handle(mps_op *op, const char *name) { return op_handle(op, name); }

void op_fill(struct mps_host *t)
{
	t->kind = kind, t->phase = phase, t->event = event, t->now = now, t->seed = seed;
	t->input = op_input, t->get = get, t->set = set;
	t->status = status, t->header = header, t->body = body, t->handle = handle;
	t->json = json, t->json_type = json_type_at, t->json_count = json_count_at, t->json_source = json_source;
}
