/*
 * Descriptors: see platform.h.  Which keys there are is checked first, by the table of platform_keys.c; here they
 * are read, each group by a function of its own.
 */
#include "core/model/platform.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/text.h"
#include "sdk/provider.h"

#define PLATFORM_MEMORY (1024u * 1024u)

struct reading {
	struct cx *cx;
	struct platform *p;
	enum rc rc;
};

static void refuse(struct reading *r, const char *key, const char *words)
{
	if (r->rc == RC_OK)
		r->rc = fail(r->cx, RC_INVALID, "provider %s: descriptor key \"%s\": %s", r->p->id, key, words);
}

static const char *text_of(struct reading *r, struct jv v, const char *key, const char *fallback)
{
	if (json_type(v) == JSON_NONE || json_type(v) == JSON_NULL)
		return fallback;
	if (json_type(v) != JSON_STRING) {
		refuse(r, key, "must be text");
		return fallback;
	}
	return json_text(v);
}

static int64_t int_of(struct reading *r, struct jv v, const char *key, int64_t fallback)
{
	int64_t n = fallback;

	if (json_type(v) != JSON_NONE && json_type(v) != JSON_NULL && (!json_int(v, &n) || n < 0))
		refuse(r, key, "must be a whole number of 0 or more");
	return n;
}

static bool bool_of(struct reading *r, struct jv v, const char *key, bool fallback)
{
	bool b = fallback;

	if (json_type(v) != JSON_NONE && json_type(v) != JSON_NULL && !json_bool(v, &b))
		refuse(r, key, "must be true or false");
	return b;
}

static const char *const *list_of(struct reading *r, struct jv v, const char *key)
{
	size_t n = json_count(v);
	const char **list = arena_array(&r->p->arena, const char *, n + 1);

	if (json_type(v) != JSON_NONE && json_type(v) != JSON_ARRAY)
		refuse(r, key, "must be a list of texts");
	for (size_t i = 0; json_type(v) == JSON_ARRAY && i < n; i++)
		list[i] = text_of(r, json_at(v, i), key, "");
	return list;
}

static void read_name(struct reading *r, struct jv v) { r->p->name = text_of(r, v, "name", r->p->id); }
static void read_icon(struct reading *r, struct jv v) { r->p->icon = text_of(r, v, "icon", ""); }
static void read_docs(struct reading *r, struct jv v) { r->p->docs = text_of(r, v, "docs", ""); }
static void read_hosts(struct reading *r, struct jv v) { r->p->hosts = list_of(r, v, "hosts"); }
static void read_answer_hosts(struct reading *r, struct jv v) { r->p->answer_hosts = list_of(r, v, "answer_hosts"); }
static void read_user_hosts(struct reading *r, struct jv v) { r->p->user_hosts = bool_of(r, v, "user_hosts", false); }

static void read_method(struct reading *r, struct jv v)
{
	const char *method = text_of(r, v, "connect.method", "oauth2");

	r->p->oauth = text_eq(method, "oauth2") || text_eq(method, "both");
	r->p->form = text_eq(method, "form") || text_eq(method, "both");
	if (!r->p->oauth && !r->p->form)
		refuse(r, "connect.method", "must be oauth2, form or both");
}

static const char *const clients[] = {"secret", "public", "none", "metadata", "registered", NULL};
static const char *const issuers[] = {"compared", "required", NULL};
static const char *const ways[] = {"", "oauth2", "form", NULL};

static void one_of(struct reading *r, const char *key, const char *word, const char *const *words)
{
	int i = 0;

	while (words[i] != NULL && !text_eq(words[i], word))
		i++;
	if (words[i] == NULL)
		refuse(r, key, "is not one of the words that sdk/DESCRIPTOR.md lists");
}

/* One of the words; absent is the first. */
static const char *word_of(struct reading *r, struct jv v, const char *key, const char *const *words)
{
	const char *word = text_of(r, v, key, words[0]);

	one_of(r, key, word, words);
	return word;
}

static void read_connect(struct reading *r, struct jv v)
{
	struct jv scopes = json_get(v, "scopes"), fields = json_get(v, "fields");
	struct platform_scope *s = arena_array(&r->p->arena, struct platform_scope, json_count(scopes) + 1);
	struct platform_field *f = arena_array(&r->p->arena, struct platform_field, json_count(fields) + 1);

	read_method(r, json_get(v, "method"));
	r->p->client = text_of(r, json_get(v, "client"), "connect.client", r->p->oauth ? "secret" : "none");
	one_of(r, "connect.client", r->p->client, clients);
	r->p->dpop = bool_of(r, json_get(v, "dpop"), "connect.dpop", false);
	r->p->iss_required = text_eq(word_of(r, json_get(v, "iss"), "connect.iss", issuers), "required");
	for (size_t i = 0; i < json_count(scopes); i++) {
		struct jv e = json_at(scopes, i);
		s[i].scope = text_of(r, json_get(e, "scope"), "connect.scopes.scope", "");
		s[i].reason = text_of(r, json_get(e, "reason"), "connect.scopes.reason", "");
	}
	for (size_t i = 0; i < json_count(fields); i++) {
		struct jv e = json_at(fields, i);
		f[i].name = text_of(r, json_get(e, "name"), "connect.fields.name", "");
		f[i].way = word_of(r, json_get(e, "way"), "connect.fields.way", ways);
		f[i].label = text_of(r, json_get(e, "label"), "connect.fields.label", f[i].name);
		f[i].help = text_of(r, json_get(e, "help"), "connect.fields.help", "");
		f[i].help_url = text_of(r, json_get(e, "help_url"), "connect.fields.help_url", "");
		f[i].placeholder = text_of(r, json_get(e, "placeholder"), "connect.fields.placeholder", "");
		f[i].type = text_of(r, json_get(e, "type"), "connect.fields.type", "text");
		f[i].max = int_of(r, json_get(e, "max"), "connect.fields.max", 1000);
		f[i].fallback = text_of(r, json_get(e, "default"), "connect.fields.default", "");
		f[i].secret = bool_of(r, json_get(e, "secret"), "connect.fields.secret", false);
		f[i].required = bool_of(r, json_get(e, "required"), "connect.fields.required", true);
		if (r->p->host_field == NULL && text_eq(f[i].type, "host") && (f[i].required || f[i].fallback[0]))
			r->p->host_field = f[i].name;
	}
	r->p->registered = text_eq(r->p->client, "registered");
	if (r->p->registered && (r->p->host_field == NULL || !platform_has(r->p, "register")))
		refuse(r, "connect.client", "registered needs a required field of type host and the operation register");
	r->p->scopes = s;
	r->p->scope_count = (int)json_count(scopes);
	r->p->fields = f;
	r->p->field_count = (int)json_count(fields);
}

static void read_paths(struct reading *r, struct jv v, struct token_paths *t)
{
	t->access = text_of(r, json_get(v, "access"), "token_answer.access", t->access);
	t->refresh = text_of(r, json_get(v, "refresh"), "token_answer.refresh", t->refresh);
	t->expires_in = text_of(r, json_get(v, "expires_in"), "token_answer.expires_in", t->expires_in);
	t->scope = text_of(r, json_get(v, "scope"), "token_answer.scope", t->scope);
	t->separator = text_of(r, json_get(v, "scope_separator"), "token_answer.scope_separator", t->separator);
	t->type = text_of(r, json_get(v, "token_type"), "token_answer.token_type", t->type);
}

static void read_token_answer(struct reading *r, struct jv v)
{
	read_paths(r, json_get(v, "exchange"), &r->p->exchange);
	read_paths(r, json_get(v, "refresh"), &r->p->refresh);
}

static void read_secret_answers(struct reading *r, struct jv v)
{
	struct secret_paths *s = arena_array(&r->p->arena, struct secret_paths, json_count(v) + 1);
	struct jv paths;

	for (size_t i = 0; json_member(v, i, &s[i].phase, &paths); i++)
		s[i].paths = list_of(r, paths, "secret_answers");
	r->p->secrets = s;
	r->p->secret_count = (int)json_count(v);
}

static void read_refresh_repeat(struct reading *r, struct jv v)
{
	r->p->refresh_repeat_safe = text_eq(text_of(r, v, "refresh_repeat", "once"), "safe");
}

static void read_targets(struct reading *r, struct jv v)
{
	r->p->targets_connections = text_eq(text_of(r, v, "targets", ""), "connections");
}

static void read_capabilities(struct reading *r, struct jv v)
{
	const char **list = arena_array(&r->p->arena, const char *, json_count(v) + 1), *key;
	struct jv value;
	size_t n = 0;

	for (size_t i = 0; json_member(v, i, &key, &value); i++)
		if (bool_of(r, value, "capabilities", false))
			list[n++] = key;
	r->p->capabilities = list;
}

static void read_options(struct reading *r, struct jv v)
{
	struct platform_option *o = arena_array(&r->p->arena, struct platform_option, json_count(v) + 1);

	for (size_t i = 0; i < json_count(v); i++) {
		struct jv e = json_at(v, i);
		o[i].name = text_of(r, json_get(e, "name"), "options.name", "");
		o[i].type = text_of(r, json_get(e, "type"), "options.type", "text");
		o[i].label = text_of(r, json_get(e, "label"), "options.label", o[i].name);
		o[i].help = text_of(r, json_get(e, "help"), "options.help", "");
		o[i].fallback = text_of(r, json_get(e, "default"), "options.default", NULL);
		o[i].required = bool_of(r, json_get(e, "required"), "options.required", false);
		o[i].once = bool_of(r, json_get(e, "once"), "options.once", false);
		o[i].min = int_of(r, json_get(e, "min"), "options.min", 0);
		o[i].max = int_of(r, json_get(e, "max"), "options.max", 0);
		o[i].values = list_of(r, json_get(e, "values"), "options.values");
	}
	r->p->options = o;
	r->p->option_count = (int)json_count(v);
}

static const char *const dedupe_names[] = {"none", "keyed", "handle", "search", "weak", NULL};

static void read_dedupe(struct reading *r, struct jv v)
{
	struct dedupe *d = arena_array(&r->p->arena, struct dedupe, json_count(v) + 2);
	struct jv e;

	for (size_t i = 0; json_member(v, i, &d[i].account_type, &e); i++) {
		const char *word = text_of(r, json_get(e, "class"), "dedupe.class", "none");
		int k = 0;

		while (dedupe_names[k] != NULL && !text_eq(dedupe_names[k], word))
			k++;
		if (dedupe_names[k] == NULL)
			refuse(r, "dedupe.class", "must be keyed, handle, search, weak or none");
		d[i].class = (enum dedupe_class)k;
		d[i].window_ms = int_of(r, json_get(e, "window_s"), "dedupe.window_s", 0) * 1000;
		d[i].settle_ms = int_of(r, json_get(e, "settle_s"), "dedupe.settle_s", 60) * 1000;
		d[i].search_lag_ms = int_of(r, json_get(e, "search_lag_s"), "dedupe.search_lag_s", 0) * 1000;
		d[i].atomic = bool_of(r, json_get(e, "atomic"), "dedupe.atomic", false);
	}
	r->p->dedupe = d;
	r->p->dedupe_count = (int)json_count(v);
}

static const char *lower_of(struct reading *r, struct jv v, const char *key)
{
	char *name = arena_text(&r->p->arena, text_of(r, v, key, ""));

	for (char *c = name; *c != '\0'; c++)
		*c = (char)(*c >= 'A' && *c <= 'Z' ? *c - 'A' + 'a' : *c);
	return name;
}

static void read_rate(struct reading *r, struct jv v)
{
	static const struct { const char *key; int64_t seconds; } spans[] = {
		{"publish_per_minute", 60}, {"publish_per_hour", 3600}, {"publish_per_day", 86400},
	};

	/* the bucket that allows the least in the long run; a tenth of it may go at once */
	for (size_t i = 0; i < sizeof spans / sizeof spans[0]; i++) {
		int64_t n = int_of(r, json_get(v, spans[i].key), spans[i].key, 0);
		double per_s = (double)n / (double)spans[i].seconds;

		if (n > 0 && (r->p->publish_per_s == 0 || per_s < r->p->publish_per_s)) {
			r->p->publish_per_s = per_s;
			r->p->publish_burst = n >= 20 ? (double)n / 10 : (double)n;
		}
	}
	r->p->header_remaining = lower_of(r, json_get(v, "header_remaining"), "rate.header_remaining");
	r->p->header_reset = lower_of(r, json_get(v, "header_reset"), "rate.header_reset");
	r->p->reset = text_of(r, json_get(v, "reset"), "rate.reset", "seconds");
	if (!text_eq(r->p->reset, "seconds") && !text_eq(r->p->reset, "unix") && !text_eq(r->p->reset, "iso"))
		refuse(r, "rate.reset", "must be seconds, unix or iso");
}

static void read_state_versions(struct reading *r, struct jv v)
{
	r->p->state_min = int_of(r, json_at(v, 0), "state_versions", 1);
	r->p->state_max = int_of(r, json_at(v, 1), "state_versions", 1);
	if (r->p->state_min > r->p->state_max)
		refuse(r, "state_versions", "must be the oldest and the newest, in this order");
}

static void read_operations(struct reading *r, struct jv v) { r->p->operations = list_of(r, v, "operations"); }

static void read_nothing(struct reading *r, struct jv v) { (void)r; (void)v; }

static const struct { const char *key; void (*read)(struct reading *, struct jv); } keys[] = {
	{"name", read_name},
	{"operations", read_operations},
	{"icon", read_icon},
	{"docs", read_docs},
	{"connect", read_connect},
	{"hosts", read_hosts},
	{"answer_hosts", read_answer_hosts},
	{"user_hosts", read_user_hosts},
	{"token_answer", read_token_answer},
	{"secret_answers", read_secret_answers},
	{"refresh_repeat", read_refresh_repeat},
	{"targets", read_targets},
	{"text", read_nothing},		/* with media: limits_read */
	{"media", read_nothing},
	{"capabilities", read_capabilities},
	{"options", read_options},
	{"dedupe", read_dedupe},
	{"rate", read_rate},
	{"poll", read_nothing},		/* hints for spreading polls */
	{"state_versions", read_state_versions},
};
#define KEYS (sizeof keys / sizeof keys[0])

static void read_limits(struct reading *r, struct jv root)
{
	struct cx cx;

	cx_init(&cx, r->p->id);
	if (r->rc == RC_OK && limits_read(&cx, &r->p->arena, json_get(root, "text"), json_get(root, "media"), &r->p->limits) != RC_OK)
		r->rc = fail(r->cx, cx.rc, "provider %s: %s", r->p->id, cx.words);
}

enum rc platform_read(struct cx *cx, const char *id, const char *version, const char *describe, struct platform **ret)
{
	return platform_read_built(cx, id, version, MPS_ABI_MINOR, describe, ret);
}

enum rc platform_read_built(struct cx *cx, const char *id, const char *version, uint32_t abi_minor, const char *describe,
			    struct platform **ret)
{
	struct platform *p = calloc(1, sizeof *p);
	struct reading r = {cx, p, RC_OK};
	struct jv root;

	if (p == NULL)
		return fail(cx, RC_NOMEM, "no memory for the descriptor of %s", id);
	arena_init(&p->arena, PLATFORM_MEMORY);
	p->refs = 1;
	p->id = arena_text(&p->arena, id);
	p->version = arena_text(&p->arena, version);
	p->describe = arena_text(&p->arena, describe);
	p->sandbox = text_eq(id, "sandbox");
	p->exchange = p->refresh = (struct token_paths){"access_token", "refresh_token", "expires_in", "scope", " ", NULL};
	r.rc = json_parse(cx, &p->arena, describe, strlen(describe), &root);
	if (r.rc == RC_OK && json_type(root) != JSON_OBJECT)
		refuse(&r, "", "the descriptor must be a JSON object");
	if (r.rc == RC_OK)
		r.rc = platform_keys_check(cx, &p->arena, id, abi_minor, root);
	for (size_t k = 0; k < KEYS && r.rc == RC_OK; k++)
		keys[k].read(&r, json_get(root, keys[k].key));
	read_limits(&r, root);
	if (r.rc == RC_OK)
		r.rc = platform_required_check(cx, id, root);
	if (r.rc != RC_OK) {
		platform_give(p);
		return r.rc;
	}
	*ret = p;
	return RC_OK;
}

const struct dedupe *platform_dedupe(const struct platform *p, const char *account_type)
{
	static const struct dedupe none = {"default", DEDUPE_NONE, 0, 60000, 0, false};
	const struct dedupe *fallback = &none;

	for (int i = 0; p != NULL && i < p->dedupe_count; i++) {
		if (account_type != NULL && text_eq(p->dedupe[i].account_type, account_type))
			return &p->dedupe[i];
		if (text_eq(p->dedupe[i].account_type, "default"))
			fallback = &p->dedupe[i];
	}
	return fallback;
}

bool platform_can(const struct platform *p, const char *capability)
{
	for (int i = 0; p->capabilities[i] != NULL; i++)
		if (text_eq(p->capabilities[i], capability))
			return true;
	return false;
}

const char *const *platform_secret_paths(const struct platform *p, const char *phase)
{
	for (int i = 0; i < p->secret_count; i++)
		if (text_eq(p->secrets[i].phase, phase))
			return p->secrets[i].paths;
	return NULL;
}

bool platform_has(const struct platform *p, const char *kind)
{
	for (int i = 0; p->operations[i] != NULL; i++)
		if (text_eq(p->operations[i], kind))
			return true;
	return false;
}

bool platform_needs_client(const struct platform *p)
{
	return text_eq(p->client, "secret") || text_eq(p->client, "public");
}

const struct platform_option *platform_option(const struct platform *p, const char *name)
{
	for (int i = 0; i < p->option_count; i++)
		if (text_eq(p->options[i].name, name))
			return &p->options[i];
	return NULL;
}
