/*
 * The rules of platforms: see post_check.h.  Counting rules and option types are one table each.
 */
#include "core/model/post_check.h"

#include <string.h>

#include "core/base/buf.h"
#include "core/base/text.h"
#include "core/base/utf8.h"
#include "core/base/zone.h"

#define LENIENT 2			/* our count and the platform's may differ by this much in text beyond ASCII */
#define URL_WEIGHT 23
#define NAMES_MAX 128

/* ---- reporting -------------------------------------------------------------------------------------- */

static void report(const struct check *k, const char *code, const char *param, const char *rule, const char *message)
{
	struct check_issue issue = {.code = code, .param = param, .platform = k->platform->id, .message = message};

	issue.rule = arena_printf(k->arena, "%s.%s", k->platform->id, rule);
	k->report(k->arg, &issue);
}

/* ---- counting --------------------------------------------------------------------------------------- */

static bool is_light(uint32_t c)
{
	return c <= 0x10FF || (c >= 0x2000 && c <= 0x200D) || (c >= 0x2010 && c <= 0x201F) || (c >= 0x2032 && c <= 0x2037);
}

/* Parts of an emoji that its first character has paid for. */
static bool is_emoji_part(uint32_t c)
{
	return c == 0x200D || c == 0xFE0F || c == 0x20E3 || (c >= 0x1F3FB && c <= 0x1F3FF) || (c >= 0xE0020 && c <= 0xE007F);
}

static bool is_flag(uint32_t c) { return c >= 0x1F1E6 && c <= 0x1F1FF; }

static size_t url_length(const char *s)
{
	size_t head = text_starts(s, "https://") ? 8 : text_starts(s, "http://") ? 7 : 0, n = head;

	if (head == 0)
		return 0;
	while (s[n] > ' ' && s[n] != '<' && s[n] != '>' && s[n] != '"')
		n++;
	while (n > head && strchr(".,;:!?)'", s[n - 1]) != NULL)
		n--;
	return n > head ? n : 0;
}

/* X's rule: a URL is 23, an emoji 2, most other letters of the world 2, Latin and its neighbours 1. */
static size_t count_weighted(const char *s)
{
	size_t n = strlen(s), count = 0, flags = 0;
	uint32_t c = 0, before = 0;

	for (size_t i = 0, len; i < n; i += len, before = c) {
		len = url_length(s + i);
		if (len > 0) {
			count += URL_WEIGHT;
			c = 0;
			continue;
		}
		len = utf8_next(s + i, n - i, &c);
		if (len == 0)
			return count + (n - i);
		flags = is_flag(c) ? flags + 1 : 0;
		if (is_emoji_part(c) || (before == 0x200D && c > 0xFF) || (flags > 0 && flags % 2 == 0))
			continue;
		count += is_light(c) ? 1 : 2;
	}
	return count;
}

static size_t count_bytes(const char *s) { return strlen(s); }

static const struct counting { const char *name, *unit; size_t (*count)(const char *); bool lenient; } countings[] = {
	{"points", "characters", text_points, false},
	{"graphemes", "graphemes", text_graphemes, true},
	{"utf16", "UTF-16 units", text_utf16, false},
	{"bytes", "bytes", count_bytes, false},
	{"weighted", "weighted characters", count_weighted, true},
};

static const struct counting *counting_of(const char *name)
{
	for (size_t i = 0; i < sizeof countings / sizeof countings[0]; i++)
		if (text_eq(countings[i].name, name))
			return &countings[i];
	return &countings[0];
}

size_t check_count(const char *count, const char *text) { return counting_of(count)->count(text); }

static bool is_ascii(const char *s)
{
	for (; *s != '\0'; s++)
		if ((unsigned char)*s > 0x7F)
			return false;
	return true;
}

/* ---- text ------------------------------------------------------------------------------------------- */

static void check_length(const struct check *k, const char *text, const char *param, const struct counting *by, int64_t most)
{
	size_t n = by->count(text), max = (size_t)most;
	const char *rule = by->count == count_bytes ? "text.max_bytes" : arena_printf(k->arena, "text.max_%s", by->name);
	struct check_issue issue = {.code = "text_too_long", .param = param, .platform = k->platform->id};

	if (most <= 0 || n <= max)
		return;
	issue.rule = arena_printf(k->arena, "%s.%s", k->platform->id, rule);
	issue.warning = by->lenient && n <= max + LENIENT && !is_ascii(text);
	issue.message = arena_printf(k->arena, "Text is %zu %s; %s allows %zu.", n, by->unit, k->platform->name, max);
	issue.remedy = arena_printf(k->arena, "Shorten it by %zu %s or give this target a text of its own.", n - max, by->unit);
	k->report(k->arg, &issue);
}

void check_text(const struct check *k, const char *text, bool alone, const char *param)
{
	const struct platform *p = k->platform;

	if (text == NULL || text[strspn(text, " \t\r\n")] == '\0') {
		if (alone || p->text_required)
			report(k, "text_required", param, "text.required", arena_printf(k->arena, "%s needs a text.", p->name));
		return;
	}
	check_length(k, text, param, counting_of(p->text_count), p->text_max);
	check_length(k, text, param, counting_of("bytes"), p->text_max_bytes);
}

void check_link(const struct check *k, const char *link, const char *param)
{
	if (link == NULL)
		return;
	if (!platform_can(k->platform, "link"))
		report(k, "option_not_supported", param, "link", arena_printf(k->arena, "%s has no link beside the text; write it into the text.",
		       k->platform->name));
	else if ((!text_starts(link, "https://") && !text_starts(link, "http://")) || strpbrk(link, " \t\r\n\"<>") != NULL)
		report(k, "field_invalid", param, "link", "A link begins with https:// or http:// and has no blanks.");
}

/* ---- options ---------------------------------------------------------------------------------------- */

struct reading {
	const struct check *k;
	const struct platform_option *option;
	const char *param;
	struct jv value;
};

static void refuse(const struct reading *r, const char *what, const char *message)
{
	report(r->k, "field_invalid", r->param, arena_printf(r->k->arena, "options.%s.%s", r->option->name, what), message);
}

/* A length or value outside the declared range; unit is what is counted. */
static bool outside(const struct reading *r, int64_t n, const char *unit)
{
	const struct platform_option *o = r->option;

	if (n >= o->min && (o->max == 0 || n <= o->max))
		return false;
	refuse(r, n < o->min ? "min" : "max", arena_printf(r->k->arena, "%s has to be from %lld to %lld%s.", o->name, (long long)o->min,
		(long long)o->max, unit));
	return true;
}

static const char *read_text(const struct reading *r)
{
	if (json_type(r->value) != JSON_STRING) {
		refuse(r, "type", "This option is a string.");
		return NULL;
	}
	return outside(r, (int64_t)text_points(json_text(r->value)), " characters long") ? NULL : json_text(r->value);
}

static const char *read_bool(const struct reading *r)
{
	if (json_type(r->value) == JSON_BOOL)
		return json_text(r->value);
	refuse(r, "type", "This option is true or false.");
	return NULL;
}

static const char *read_int(const struct reading *r)
{
	int64_t n;

	if (!json_int(r->value, &n)) {
		refuse(r, "type", "This option is an integer.");
		return NULL;
	}
	return outside(r, n, "") ? NULL : arena_printf(r->k->arena, "%lld", (long long)n);
}

static const char *read_enum(const struct reading *r)
{
	const char *given = json_type(r->value) == JSON_STRING ? json_text(r->value) : "", *list = "";

	for (const char *const *v = r->option->values; *v != NULL; v++) {
		if (text_eq(*v, given))
			return *v;
		list = arena_printf(r->k->arena, "%s%s%s", list, list[0] ? ", " : "", *v);
	}
	refuse(r, "values", arena_printf(r->k->arena, "%s has to be one of %s.", r->option->name, list));
	return NULL;
}

static const char *read_list(const struct reading *r)
{
	const char *joined = "";

	if (json_type(r->value) != JSON_ARRAY) {
		refuse(r, "type", "This option is a list of strings.");
		return NULL;
	}
	if (outside(r, (int64_t)json_count(r->value), " items"))
		return NULL;
	for (size_t i = 0; i < json_count(r->value); i++) {
		const char *item = json_text(json_at(r->value, i));

		if (json_type(json_at(r->value, i)) != JSON_STRING || item[0] == '\0' || strchr(item, '\n') != NULL) {
			refuse(r, "type", "Each item is a string of one line.");
			return NULL;
		}
		joined = arena_printf(r->k->arena, "%s%s%s", joined, i > 0 ? "\n" : "", item);
	}
	return joined;
}

static const char *read_time(const struct reading *r)
{
	struct cx cx;
	int64_t ms;

	cx_init(&cx, NULL);
	if (json_type(r->value) != JSON_STRING) {
		refuse(r, "type", "This option is a time as 2026-11-23T18:20:30Z.");
		return NULL;
	}
	if (zone_parse(&cx, json_text(r->value), NULL, NULL, &ms) == RC_OK)
		return arena_printf(r->k->arena, "%lld", (long long)ms);
	report(r->k, arena_text(r->k->arena, cx.code), r->param, arena_printf(r->k->arena, "options.%s.type", r->option->name),
	       arena_text(r->k->arena, cx.words));
	return NULL;
}

static const struct { const char *type; const char *(*read)(const struct reading *); } types[] = {
	{"text", read_text}, {"bool", read_bool}, {"int", read_int}, {"enum", read_enum}, {"list", read_list}, {"time", read_time},
};

static void read_option(const struct reading *r, struct jsonw *w)
{
	const char *value = NULL;

	for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
		if (text_eq(types[i].type, r->option->type))
			value = types[i].read(r);
	if (value != NULL && value[0] != '\0')
		jsonw_text(w, r->option->name, value);
}

static void refuse_unknown(const struct check *k, struct jv given, const char *param)
{
	const char *names[NAMES_MAX + 1] = {NULL}, *name, *near, *at;
	struct jv value;

	for (int i = 0; i < k->platform->option_count && i < NAMES_MAX; i++)
		names[i] = k->platform->options[i].name;
	for (size_t i = 0; json_member(given, i, &name, &value); i++) {
		if (platform_option(k->platform, name) != NULL)
			continue;
		near = text_nearest(name, names);
		at = arena_printf(k->arena, "%s.%.64s", param, name);
		report(k, "option_not_supported", at, "options.unknown", near != NULL
		       ? arena_printf(k->arena, "%s has no option %.64s; did you mean %s?", k->platform->name, name, near)
		       : arena_printf(k->arena, "%s has no option %.64s.", k->platform->name, name));
	}
}

static bool given(struct jv v) { return json_type(v) != JSON_NONE && json_type(v) != JSON_NULL; }

static void check_option(const struct check *k, const struct check_options *o, const struct platform_option *option, struct jsonw *w)
{
	struct jv own = json_get(o->own, option->name), common = json_get(o->common, option->name);
	bool is_own = json_type(own) != JSON_NONE;
	struct reading r = {k, option, NULL, is_own ? own : common};

	r.param = arena_printf(k->arena, "%s.%s", is_own || !given(common) ? o->own_param : o->common_param, option->name);
	if (given(r.value))
		read_option(&r, w);
	else if (option->fallback != NULL)
		jsonw_text(w, option->name, option->fallback);
	else if (option->required)
		report(k, "field_required", r.param, arena_printf(k->arena, "options.%s.required", option->name),
		       arena_printf(k->arena, "%s needs the option %s%s%s", k->platform->name, option->name, option->help[0] ? ": " : ".", option->help));
}

void check_options(const struct check *k, const struct check_options *o, struct jsonw *w)
{
	const struct { struct jv v; const char *param; } both[] = {{o->own, o->own_param}, {o->common, o->common_param}};

	jsonw_object(w, "options");
	for (int i = 0; i < 2; i++) {
		if (given(both[i].v) && json_type(both[i].v) != JSON_OBJECT)
			report(k, "field_invalid", both[i].param, "options.type", "Options are an object: one member per option.");
		else
			refuse_unknown(k, both[i].v, both[i].param);
	}
	for (int i = 0; i < k->platform->option_count; i++)
		check_option(k, o, &k->platform->options[i], w);
	jsonw_object_end(w);
}
