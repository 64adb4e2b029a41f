/*
 * GET /v1/rules: every rule that a post can break, by platform, with its limit.
 *
 * The one thing to know: the ids are those that an issue names, so that a program can find what a refusal meant, and
 * they stay.  An account's own limits may differ; the rule and its id do not.
 */
#include <string.h>

#include "core/api/api.h"
#include "core/api/routes.h"
#include "core/base/text.h"
#include "core/model/platform.h"

struct showing { struct api_request *r; const struct platform *p; };

struct rule { const char *id, *code, *words, *limit; };		/* limit: JSON; NULL: none */

static void show(const struct showing *s, const struct rule *rule)
{
	struct jsonw *w = s->r->w;

	jsonw_object(w, NULL);
	jsonw_text(w, "id", arena_printf(s->r->arena, "%s.%s", s->p->id, rule->id));
	jsonw_text(w, "platform", s->p->id);
	jsonw_text(w, "code", rule->code);
	jsonw_raw(w, "limit", rule->limit, rule->limit ? strlen(rule->limit) : 0);
	jsonw_text(w, "description", rule->words);
	jsonw_object_end(w);
}

static void show_limit(void *arg, const struct limits_entry *e)
{
	if (e->code != NULL)
		show(arg, &(struct rule){e->rule, e->code, e->words, e->json});
}

/* ---- abilities -------------------------------------------------------------------------------------- */

static const struct { const char *id, *words; } abilities[] = {
	{"link", "A link beside the text."},
	{"threads", "Further posts of a thread, and media in a comment."},
	{"first_comment", "A first comment."},
};

static void show_abilities(const struct showing *s)
{
	for (size_t i = 0; i < sizeof abilities / sizeof abilities[0]; i++)
		show(s, &(struct rule){abilities[i].id, "option_not_supported", abilities[i].words,
				       platform_can(s->p, abilities[i].id) ? "true" : "false"});
}

/* ---- options ---------------------------------------------------------------------------------------- */

static void show_option_rule(const struct showing *s, const struct platform_option *o, const char *what, const char *limit)
{
	bool required = text_eq(what, "required");

	show(s, &(struct rule){arena_printf(s->r->arena, "options.%s.%s", o->name, what), required ? "field_required" : "field_invalid",
			       o->help[0] ? o->help : o->label, limit});
}

static const char *values_json(struct api_request *r, const char *const *values)
{
	BUF_AUTO struct buf out;
	struct jsonw w;

	buf_init(&out, 64u * 1024u);
	jsonw_init(&w, &out);
	jsonw_array(&w, "");
	for (; *values != NULL; values++)
		jsonw_text(&w, NULL, *values);
	jsonw_array_end(&w);
	return arena_text(r->arena, buf_text(&out));
}

static void show_option(const struct showing *s, const struct platform_option *o)
{
	if (text_eq(o->type, "enum"))
		show_option_rule(s, o, "values", values_json(s->r, o->values));
	else
		show_option_rule(s, o, "type", arena_printf(s->r->arena, "\"%s\"", o->type));
	if (o->min != 0)
		show_option_rule(s, o, "min", arena_printf(s->r->arena, "%lld", (long long)o->min));
	if (o->max != 0)
		show_option_rule(s, o, "max", arena_printf(s->r->arena, "%lld", (long long)o->max));
	if (o->required)
		show_option_rule(s, o, "required", "true");
}

static void show_platform(struct api_request *r, const char *id)
{
	PLATFORM_AUTO const struct platform *p = platforms_take(r->api->platforms, id);
	struct showing s = {r, p};

	if (p == NULL || (p->sandbox && r->identity.owner.live))
		return;
	limits_each(&p->limits, r->arena, show_limit, &s);
	show_abilities(&s);
	show(&s, &(struct rule){"options.unknown", "option_not_supported", "An option that the platform does not have.", NULL});
	show(&s, &(struct rule){"options.type", "field_invalid", "Options are an object: one member per option.", NULL});
	for (int i = 0; i < p->option_count; i++)
		show_option(&s, &p->options[i]);
}

static enum rc list(struct api_request *r)
{
	const char *only = api_query(r, "platform"), **ids;
	int n = platforms_list(r->api->platforms, r->arena, &ids);

	jsonw_object(r->w, NULL);
	jsonw_array(r->w, "data");
	for (int i = 0; i < n; i++)
		if (only == NULL || text_eq(only, ids[i]))
			show_platform(r, ids[i]);
	jsonw_array_end(r->w);
	jsonw_null(r->w, "nextCursor");
	jsonw_bool(r->w, "hasMore", false);
	jsonw_object_end(r->w);
	return RC_OK;
}

/* ---- the table -------------------------------------------------------------------------------------- */

static const struct field rule_query[] = {
	{.name = "platform", .type = FIELD_TEXT, .min = 1, .max = 32, .help = "Only those of this platform."},
	{0},
};
static const struct field rule_fields[] = {
	{.name = "id", .type = FIELD_TEXT, .help = "As issues name it: bluesky.text.max_graphemes."},
	{.name = "platform", .type = FIELD_TEXT},
	{.name = "code", .type = FIELD_TEXT, .help = "The error code of a post that breaks it."},
	{.name = "limit", .type = FIELD_OPEN, .flags = FIELD_NULLABLE, .help = "A number, true or false, a word or a list."},
	{.name = "description", .type = FIELD_TEXT},
	{0},
};
static const struct answer rule_answer = {"Rule", rule_fields};

const struct route rule_routes[] = {
	{.method = "GET", .pattern = "/v1/rules", .flags = ROUTE_LIST, .handle = list, .operation = "listRules",
	 .summary = "Every rule that a post can break", .query = rule_query, .answer = &rule_answer},
	{0},
};
