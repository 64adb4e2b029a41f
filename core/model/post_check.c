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

void check_report(const struct check *k, const char *code, const char *param, const char *rule, const char *message)
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

static bool is_name(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
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

/* ---- what platforms count otherwise than it stands ------------------------------------------------- */

static size_t mention_length(const char *s, bool after_word)
{
	size_t n = 1;

	if (s[0] != '@' || after_word)
		return 0;
	while (is_name(s[n]))
		n++;
	return n > 1 ? n : 0;
}

/* Of "@host" behind a mention: letters, digits, dots, ending in none of the dots. */
static size_t host_length(const char *s)
{
	size_t n = 1;

	if (s[0] != '@')
		return 0;
	while (is_name(s[n]) || s[n] == '.' || s[n] == '-')
		n++;
	while (n > 1 && (s[n - 1] == '.' || s[n - 1] == '-'))
		n--;
	return n > 1 ? n : 0;
}

/* As it counts: URLs are as long as the platform says, mentions end before the host. */
static void rewrite(const struct limits *l, const char *s, struct buf *out)
{
	bool after_word = false;

	while (*s != '\0') {
		size_t url = l->url_length > 0 && !after_word ? url_length(s) : 0;
		size_t name = l->mentions_local && url == 0 ? mention_length(s, after_word) : 0;

		for (int64_t i = 0; url > 0 && i < l->url_length; i++)
			buf_addc(out, 'x');
		if (url == 0)
			buf_add(out, s, name > 0 ? name : 1);
		after_word = url > 0 || name > 0 || is_name(*s) || *s == '/' || (unsigned char)*s > 0x7F;
		s += url > 0 ? url : name > 0 ? name + host_length(s + name) : 1;
	}
}

static size_t count_by(const struct limits *l, const struct counting *by, const char *text)
{
	BUF_AUTO struct buf out = {0};

	if (l->url_length == 0 && !l->mentions_local)
		return by->count(text);
	buf_init(&out, strlen(text) * (size_t)(l->url_length + 1) + 1);
	rewrite(l, text, &out);
	return by->count(buf_text(&out));
}

size_t check_count(const struct limits *l, const char *text) { return count_by(l, counting_of(l->text_count), text); }

static bool is_ascii(const char *s)
{
	for (; *s != '\0'; s++)
		if ((unsigned char)*s > 0x7F)
			return false;
	return true;
}

/* ---- text ------------------------------------------------------------------------------------------- */

static const struct limits *limits_of(const struct check *k) { return k->limits ? k->limits : &k->platform->limits; }

struct length { const char *param, *unit, *rule; size_t n; int64_t most; bool lenient; };

static void check_length(const struct check *k, const struct length *l)
{
	struct check_issue issue = {.code = "text_too_long", .param = l->param, .platform = k->platform->id};
	size_t max = (size_t)l->most;

	if (l->most <= 0 || l->n <= max)
		return;
	issue.rule = arena_printf(k->arena, "%s.%s", k->platform->id, l->rule);
	issue.warning = l->lenient && l->n <= max + LENIENT;
	issue.message = arena_printf(k->arena, "Text is %zu %s; %s allows %zu.", l->n, l->unit, k->platform->name, max);
	issue.remedy = arena_printf(k->arena, "Shorten it by %zu %s or give this target a text of its own.", l->n - max, l->unit);
	k->report(k->arg, &issue);
}

static bool is_blank_text(const char *text) { return text == NULL || text[strspn(text, " \t\r\n")] == '\0'; }

void check_text(const struct check *k, const struct check_text *t)
{
	const struct limits *l = limits_of(k);
	const struct counting *by = counting_of(l->text_count);
	const char *text = t->text ? t->text : "", *beside = t->beside ? t->beside : "";
	struct length counted = {t->param, by->unit, arena_printf(k->arena, "text.max_%s", by->name), 0, l->text_max, false};
	struct length bytes = {t->param, "bytes", "text.max_bytes", strlen(text) + strlen(beside), l->text_max_bytes, false};

	if (is_blank_text(text) && !t->media && (!t->link || l->text_required)) {
		check_report(k, "text_required", t->param, "text.required", arena_printf(k->arena, "%s needs a text%s.", k->platform->name,
			k->platform->limits.types[LIMITS_IMAGE] || k->platform->limits.types[LIMITS_VIDEO] ? " or media" : ""));
		return;
	}
	counted.n = count_by(l, by, text) + count_by(l, by, beside);
	counted.lenient = by->lenient && !(is_ascii(text) && is_ascii(beside));
	check_length(k, &counted);
	if (by->count != count_bytes || l->text_max != l->text_max_bytes)
		check_length(k, &bytes);
}

void check_link(const struct check *k, const char *link, const char *param)
{
	if (link == NULL)
		return;
	if (!platform_can(k->platform, "link"))
		check_report(k, "option_not_supported", param, "link", arena_printf(k->arena, "%s has no link beside the text; write it into the text.",
		       k->platform->name));
	else if ((!text_starts(link, "https://") && !text_starts(link, "http://")) || strpbrk(link, " \t\r\n\"<>") != NULL)
		check_report(k, "field_invalid", param, "link", "A link begins with https:// or http:// and has no blanks.");
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
	check_report(r->k, "field_invalid", r->param, arena_printf(r->k->arena, "options.%s.%s", r->option->name, what), message);
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
	check_report(r->k, arena_text(r->k->arena, cx.code), r->param, arena_printf(r->k->arena, "options.%s.type", r->option->name),
	       arena_text(r->k->arena, cx.words));
	return NULL;
}

static const struct { const char *type; const char *(*read)(const struct reading *); } types[] = {
	{"text", read_text}, {"bool", read_bool}, {"int", read_int}, {"enum", read_enum}, {"list", read_list}, {"time", read_time},
};

/* NULL: it cannot be used, or is empty. */
static const char *read_option(const struct reading *r)
{
	const char *value = NULL;

	for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
		if (text_eq(types[i].type, r->option->type))
			value = types[i].read(r);
	return value != NULL && value[0] != '\0' ? value : NULL;
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
		check_report(k, "option_not_supported", at, "options.unknown", near != NULL
		       ? arena_printf(k->arena, "%s has no option %.64s; did you mean %s?", k->platform->name, name, near)
		       : arena_printf(k->arena, "%s has no option %.64s.", k->platform->name, name));
	}
}

static bool given(struct jv v) { return json_type(v) != JSON_NONE && json_type(v) != JSON_NULL; }

static void say_nothing(void *arg, const struct check_issue *issue) { (void)arg; (void)issue; }

/* The most specific layer that names it; -1: none. */
static int layer_of(const struct check_options *o, const struct platform_option *option)
{
	for (int i = 0; i < (o->child && option->once ? 1 : CHECK_LAYERS); i++)
		if (json_type(json_get(o->layer[i], option->name)) != JSON_NONE)
			return i;
	return -1;
}

/* NULL: nothing is written for it. */
static const char *option_value(const struct check *k, const struct check_options *o, const struct platform_option *option)
{
	int at = layer_of(o, option);
	struct check mute = *k;
	struct reading r = {at > 0 && o->child ? &mute : k, option, NULL, {0}};

	mute.report = say_nothing;
	if (at >= 0)
		r.value = json_get(o->layer[at], option->name);
	r.param = arena_printf(k->arena, "%s.%s", o->param[given(r.value) ? at : 0], option->name);
	if (given(r.value))
		return read_option(&r);
	if (option->fallback != NULL && !(o->child && option->once))
		return option->fallback;
	if (option->required && !o->child)
		check_report(k, "field_required", r.param, arena_printf(k->arena, "options.%s.required", option->name),
			arena_printf(k->arena, "%s needs the option %s%s%s", k->platform->name, option->name, option->help[0] ? ": " : ".", option->help));
	return NULL;
}

void check_options(const struct check *k, const struct check_options *o, struct jsonw *w)
{
	jsonw_object(w, "options");
	for (int i = 0; i < (o->child ? 1 : CHECK_LAYERS); i++) {
		if (given(o->layer[i]) && json_type(o->layer[i]) != JSON_OBJECT)
			check_report(k, "field_invalid", o->param[i], "options.type", "Options are an object: one member per option.");
		else
			refuse_unknown(k, o->layer[i], o->param[i]);
	}
	for (int i = 0; i < k->platform->option_count; i++) {
		const char *value = option_value(k, o, &k->platform->options[i]);

		if (value != NULL)
			jsonw_text(w, k->platform->options[i].name, value);
	}
	jsonw_object_end(w);
}

const char *check_option_text(const struct check *k, const struct check_options *o, const char *name)
{
	const struct platform_option *option = platform_option(k->platform, name);
	struct check mute = *k;
	const char *value;

	mute.report = say_nothing;
	value = option != NULL ? option_value(&mute, o, option) : NULL;
	return value != NULL ? value : "";
}
