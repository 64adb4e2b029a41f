/*
 * Limits: see limits.h.  One table per object holds every limit: its name, what kind of value it has and where that
 * lies.  Reading, laying over and showing go through it, so that a limit cannot be known in one place only.
 */
#include "core/model/limits.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/base/jsonw.h"
#include "core/base/text.h"

enum kind { COUNT, NUMBER, FLAG, LIST, COUNTING, MENTIONS };

struct limit { const char *name; enum kind kind; size_t at; const char *code, *words; };
#define OF(member) offsetof(struct limits, member)
#define EACH(member) offsetof(struct limits_media, member)

static const struct limit texts[] = {
	{"max", COUNT, OF(text_max), "text_too_long", "The longest text, as the platform counts."},
	{"count", COUNTING, OF(text_count), NULL, "What is counted."},
	{"max_bytes", COUNT, OF(text_max_bytes), "text_too_long", "The longest text in bytes of UTF-8."},
	{"required", FLAG, OF(text_required), "text_required", "A post without text and media is refused."},
	{"url_length", COUNT, OF(url_length), NULL, "What a URL in the text counts."},
	{"mentions", MENTIONS, OF(mentions_local), NULL, "@user@host counts as @user."},
	{"with", LIST, OF(text_with), NULL, "Options whose text counts along."},
};

static const struct limit medias[] = {
	{"min_items", COUNT, OF(min_items), "media_required", "The fewest items of a post with media."},
	{"max_items", COUNT, OF(max_items), "media_too_many", "The most items."},
	{"max_images", COUNT, OF(max_images), "media_too_many", "The most images."},
	{"max_videos", COUNT, OF(max_videos), "media_too_many", "The most moving pictures."},
	{"mixed", FLAG, OF(mixed), "media_mixed", "Images and moving pictures in one post."},
	{"required", FLAG, OF(media_required), "media_required", "A post without media is refused."},
	{"public_url", FLAG, OF(public_url), NULL, "The platform fetches the media itself."},
	{"alt_max", COUNT, OF(alt_max), "text_too_long", "The longest description in characters."},
};

static const struct limit types[] = {
	{"mime", LIST, EACH(mime), "media_type_unsupported", "The formats it takes."},
	{"max_bytes", COUNT, EACH(max_bytes), "media_too_large", "The largest file in bytes."},
	{"min_width", COUNT, EACH(min_width), "media_dimensions", "The least width in pixels."},
	{"min_height", COUNT, EACH(min_height), "media_dimensions", "The least height in pixels."},
	{"max_width", COUNT, EACH(max_width), "media_dimensions", "The most width in pixels."},
	{"max_height", COUNT, EACH(max_height), "media_dimensions", "The most height in pixels."},
	{"max_pixels", COUNT, EACH(max_pixels), "media_dimensions", "The most pixels: width times height."},
	{"min_ratio", NUMBER, EACH(min_ratio), "media_dimensions", "The least width divided by height."},
	{"max_ratio", NUMBER, EACH(max_ratio), "media_dimensions", "The most width divided by height."},
	{"min_duration_ms", COUNT, EACH(min_duration_ms), "media_duration", "The shortest playing time in milliseconds."},
	{"max_duration_ms", COUNT, EACH(max_duration_ms), "media_duration", "The longest playing time in milliseconds."},
	{"max_frame_rate", NUMBER, EACH(max_frame_rate), "media_frame_rate", "The most pictures per second."},
};
#define SIZE(table) (sizeof(table) / sizeof(table)[0])

const char *const limits_types[LIMITS_TYPES + 1] = {"image", "gif", "video", NULL};

static const char *const countings[] = {"points", "graphemes", "utf16", "bytes", "weighted", NULL};

static int word_of(const char *const *list, const char *word)
{
	for (int i = 0; list[i] != NULL; i++)
		if (text_eq(list[i], word))
			return i;
	return -1;
}

static const struct limit *find(const struct limit *table, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (text_eq(table[i].name, name))
			return &table[i];
	return NULL;
}

/* ---- one value from text --------------------------------------------------------------------------- */

static bool read_number(const char *text, double *ret)
{
	char *end;
	double d = strtod(text, &end);

	if (text[0] < '0' || text[0] > '9' || *end != '\0' || !(d <= 1e15))
		return false;
	*ret = d;
	return true;
}

static const char *const *split_lines(struct arena *a, const char *text)
{
	size_t n = 1, i = 0;
	const char **list;

	for (const char *p = text; *p != '\0'; p++)
		n += *p == '\n';
	list = arena_array(a, const char *, n + 1);
	for (const char *p = text; *p != '\0'; p += strcspn(p, "\n"), p += *p == '\n')
		list[i++] = arena_dup(a, p, strcspn(p, "\n"));
	return list;
}

/* Where a value goes, as bytes: the tables say what lies there. */
static bool put_text(char *object, const struct limit *f, const char *text, struct arena *a)
{
	void *to = object + f->at;
	int64_t n;
	int word;

	switch (f->kind) {
	case COUNT:
		return text_int(text, &n) && n >= 0 && (*(int64_t *)to = n, true);
	case NUMBER:
		return read_number(text, to);
	case FLAG:
		return (text_eq(text, "true") || text_eq(text, "false")) && (*(bool *)to = text_eq(text, "true"), true);
	case MENTIONS:
		return text_eq(text, "local") && (*(bool *)to = true);
	case COUNTING:
		word = word_of(countings, text);
		return word >= 0 && (*(const char **)to = countings[word], true);
	case LIST:
		*(const char *const **)to = split_lines(a, text);
		return true;
	}
	return false;
}

/* ---- the descriptor -------------------------------------------------------------------------------- */

static const char *const wanted[] = {
	[COUNT] = "a whole number of 0 or more", [NUMBER] = "a number of 0 or more", [FLAG] = "true or false", [LIST] = "a list of texts",
	[COUNTING] = "points, graphemes, utf16, bytes or weighted", [MENTIONS] = "local",
};

static const enum json_type json_types[] = {
	[COUNT] = JSON_NUMBER, [NUMBER] = JSON_NUMBER, [FLAG] = JSON_BOOL, [LIST] = JSON_ARRAY, [COUNTING] = JSON_STRING, [MENTIONS] = JSON_STRING,
};

/* As text in the form of an account's own limits; NULL: not of its kind. */
static const char *as_text(const struct limit *f, struct jv v, struct arena *a)
{
	const char *all = "";

	if (json_type(v) != json_types[f->kind])
		return NULL;
	if (f->kind != LIST)
		return json_text(v);
	for (size_t i = 0; i < json_count(v); i++) {
		const char *one = json_text(json_at(v, i));

		if (json_type(json_at(v, i)) != JSON_STRING || strchr(one, '\n') != NULL)
			return NULL;
		all = arena_printf(a, "%s%s%s", all, i > 0 ? "\n" : "", one);
	}
	return all;
}

struct reading { struct cx *cx; struct arena *a; struct limits *l; };

static enum rc refuse(const struct reading *r, const char *prefix, const char *name, const char *words)
{
	return fail(r->cx, RC_INVALID, "descriptor key \"%s%s\" %s", prefix, name, words);
}

static enum rc read_member(const struct reading *r, const char *prefix, const struct limit *f, char *object, struct jv v)
{
	const char *text = as_text(f, v, r->a);

	if (json_type(v) == JSON_NULL)
		return RC_OK;
	if (text == NULL || !put_text(object, f, text, r->a))
		return refuse(r, prefix, f->name, arena_printf(r->a, "must be %s", wanted[f->kind]));
	return RC_OK;
}

static enum rc read_type(const struct reading *r, enum limits_type type, struct jv object)
{
	const char *prefix = arena_printf(r->a, "media.%s.", limits_types[type]), *name;
	enum rc rc = RC_OK;
	struct jv v;

	if (json_type(object) == JSON_NULL)
		return RC_OK;
	if (json_type(object) != JSON_OBJECT)
		return refuse(r, "media.", limits_types[type], "must be an object");
	r->l->types[type] = true;
	for (size_t i = 0; rc == RC_OK && json_member(object, i, &name, &v); i++) {
		const struct limit *f = find(types, SIZE(types), name);

		if (f != NULL)
			rc = read_member(r, prefix, f, (char *)&r->l->media[type], v);
	}
	return rc;
}

static enum rc read_object(const struct reading *r, const char *prefix, const struct limit *table, size_t n, struct jv object)
{
	bool media = table == medias;
	const char *name;
	enum rc rc = RC_OK;
	struct jv v;

	if (json_type(object) == JSON_NONE || json_type(object) == JSON_NULL)
		return RC_OK;
	if (json_type(object) != JSON_OBJECT)
		return refuse(r, media ? "media" : "text", "", "must be an object");
	for (size_t i = 0; rc == RC_OK && json_member(object, i, &name, &v); i++) {
		const struct limit *f = find(table, n, name);
		int type = media ? word_of(limits_types, name) : -1;

		if (f != NULL)
			rc = read_member(r, prefix, f, (char *)r->l, v);
		else if (type >= 0)
			rc = read_type(r, (enum limits_type)type, v);
	}
	return rc;
}

enum rc limits_read(struct cx *cx, struct arena *a, struct jv text, struct jv media, struct limits *ret)
{
	struct limits l = {.text_count = countings[0]};
	struct reading r = {cx, a, &l};
	enum rc rc = read_object(&r, "text.", texts, SIZE(texts), text);

	if (rc == RC_OK)
		rc = read_object(&r, "media.", medias, SIZE(medias), media);
	if (rc == RC_OK)
		*ret = l;
	return rc;
}

/* ---- an account's own ------------------------------------------------------------------------------ */

static void overlay_one(struct limits *l, const char *path, const char *text, struct arena *a)
{
	const char *name = strrchr(path, '.');
	const struct limit *f;

	if (name++ == NULL)
		return;
	if (text_starts(path, "text.") && name == path + 5 && (f = find(texts, SIZE(texts), name)) != NULL)
		put_text((char *)l, f, text, a);
	if (text_starts(path, "media.") && name == path + 6 && (f = find(medias, SIZE(medias), name)) != NULL)
		put_text((char *)l, f, text, a);
	for (int t = 0; t < LIMITS_TYPES; t++) {
		size_t n = strlen(limits_types[t]);

		if (text_starts(path, "media.") && strncmp(path + 6, limits_types[t], n) == 0 && path + 6 + n == name - 1 &&
		    l->types[t] && (f = find(types, SIZE(types), name)) != NULL)
			put_text((char *)&l->media[t], f, text, a);
	}
}

void limits_overlay(struct limits *l, const char *account, struct arena *a)
{
	const char *path, *text;
	struct jv root, v;
	struct cx cx;

	cx_init(&cx, "limits");
	if (account == NULL || json_parse(&cx, a, account, strlen(account), &root) != RC_OK)
		return;
	for (size_t i = 0; json_member(root, i, &path, &v); i++)
		if ((text = json_text(v)) != NULL)
			overlay_one(l, path, text, a);
}

/* ---- showing --------------------------------------------------------------------------------------- */

static const char *list_json(const char *const *list, struct arena *a)
{
	BUF_AUTO struct buf out = {0};
	struct jsonw w;

	if (list == NULL)
		return NULL;
	buf_init(&out, 64u * 1024u);
	jsonw_init(&w, &out);
	jsonw_array(&w, "");
	for (; *list != NULL; list++)
		jsonw_text(&w, NULL, *list);
	jsonw_array_end(&w);
	jsonw_end(&w);
	return arena_text(a, buf_text(&out));
}

/* NULL: not set. */
static const char *value_json(const char *object, const struct limit *f, struct arena *a)
{
	const void *at = object + f->at;

	switch (f->kind) {
	case COUNT: return *(const int64_t *)at > 0 ? arena_printf(a, "%lld", (long long)*(const int64_t *)at) : NULL;
	case NUMBER: return *(const double *)at > 0 ? arena_printf(a, "%.6g", *(const double *)at) : NULL;
	case FLAG: return *(const bool *)at ? "true" : f->code != NULL ? "false" : NULL;
	case MENTIONS: return *(const bool *)at ? "\"local\"" : NULL;
	case COUNTING: return arena_printf(a, "\"%s\"", *(const char *const *)at);
	case LIST: return list_json(*(const char *const *const *)at, a);
	}
	return NULL;
}

struct showing { const struct limits *l; struct arena *a; void (*each)(void *, const struct limits_entry *); void *arg; };

static void show(const struct showing *s, const char *prefix, const struct limit *table, size_t n, const void *object)
{
	for (size_t i = 0; i < n; i++) {
		struct limits_entry e = {.code = table[i].code, .words = table[i].words, .json = value_json(object, &table[i], s->a)};

		e.path = e.rule = arena_printf(s->a, "%s%s", prefix, table[i].name);
		if (table == texts && table[i].at == OF(text_max))
			e.rule = arena_printf(s->a, "text.max_%s", s->l->text_count);
		if (e.json != NULL)
			s->each(s->arg, &e);
	}
}

static void show_types(const struct showing *s)
{
	const char *taken[LIMITS_TYPES + 1] = {NULL};
	struct limits_entry e = {"media.type", "media.type", "media_type_unsupported", "The types of media it takes.", NULL};
	int n = 0;

	for (int t = 0; t < LIMITS_TYPES; t++)
		if (s->l->types[t])
			taken[n++] = limits_types[t];
	e.json = list_json(taken, s->a);
	s->each(s->arg, &e);
}

void limits_each(const struct limits *l, struct arena *a, void (*each)(void *arg, const struct limits_entry *e), void *arg)
{
	struct showing s = {l, a, each, arg};

	show(&s, "text.", texts, SIZE(texts), l);
	show_types(&s);
	if (l->types[LIMITS_IMAGE] || l->types[LIMITS_GIF] || l->types[LIMITS_VIDEO])
		show(&s, "media.", medias, SIZE(medias), l);
	for (int t = 0; t < LIMITS_TYPES; t++)
		if (l->types[t])
			show(&s, arena_printf(a, "media.%s.", limits_types[t]), types, SIZE(types), &l->media[t]);
}
