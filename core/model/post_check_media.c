/*
 * Media of a post against what a platform takes: see post_check.h.  One table holds the bounds of an item; counts
 * and kinds are judged over all of them.
 *
 * A platform that declares gif takes moving pictures apart from still ones, and counts them with the videos; one whose
 * format it lists among its images (image/gif, an animated image/webp) and not there is an image like any other.
 */
#include "core/model/post_check.h"

#include <stddef.h>

#include "core/base/text.h"

struct judging {
	const struct check *k;
	const struct limits *l;
	const struct check_media *m;
	enum limits_type type;
};

static bool lists(const char *const *list, const char *word)
{
	for (; list != NULL && *list != NULL; list++)
		if (text_eq(*list, word))
			return true;
	return false;
}

/* A moving picture that goes as an image. */
static bool is_still(const struct limits *l, const struct check_media *m)
{
	const char *const *own = l->media[LIMITS_GIF].mime, *mime = m->mime ? m->mime : "image/gif";

	if (l->types[LIMITS_GIF] && (own == NULL || lists(own, mime)))
		return false;
	return l->types[LIMITS_IMAGE] && lists(l->media[LIMITS_IMAGE].mime, mime);
}

/* As which type this platform takes it; -1: not at all. */
static int type_of(const struct limits *l, const struct check_media *m)
{
	int type = -1;

	for (int t = 0; t < LIMITS_TYPES; t++)
		if (text_eq(limits_types[t], m->type))
			type = t;
	if (type == LIMITS_GIF && is_still(l, m))
		type = LIMITS_IMAGE;
	return type >= 0 && l->types[type] ? type : -1;
}

static void report(const struct judging *j, const char *code, const char *name, const char *message)
{
	check_report(j->k, code, j->m->param, arena_printf(j->k->arena, "media.%s.%s", limits_types[j->type], name), message);
}

/* ---- bounds ---------------------------------------------------------------------------------------- */

enum value { BYTES, WIDTH, HEIGHT, PIXELS, RATIO, DURATION, FRAME_RATE };

/* 0: not known. */
static double value_of(const struct check_media *m, enum value v)
{
	switch (v) {
	case BYTES: return (double)m->bytes;
	case WIDTH: return (double)m->width;
	case HEIGHT: return (double)m->height;
	case PIXELS: return (double)m->width * (double)m->height;
	case RATIO: return m->width > 0 && m->height > 0 ? (double)m->width / (double)m->height : 0;
	case DURATION: return (double)m->duration_ms;
	case FRAME_RATE: return (double)m->frame_rate_milli / 1000;
	}
	return 0;
}

#define AT(member) offsetof(struct limits_media, member)
static const struct bound {
	const char *name, *code, *what, *unit;
	enum value value;
	size_t at;
	bool least, fraction;
} bounds[] = {
	{"max_bytes", "media_too_large", "file", " bytes", BYTES, AT(max_bytes), false, false},
	{"min_width", "media_dimensions", "width", " pixels", WIDTH, AT(min_width), true, false},
	{"max_width", "media_dimensions", "width", " pixels", WIDTH, AT(max_width), false, false},
	{"min_height", "media_dimensions", "height", " pixels", HEIGHT, AT(min_height), true, false},
	{"max_height", "media_dimensions", "height", " pixels", HEIGHT, AT(max_height), false, false},
	{"max_pixels", "media_dimensions", "picture", " pixels", PIXELS, AT(max_pixels), false, false},
	{"min_ratio", "media_dimensions", "width divided by height", "", RATIO, AT(min_ratio), true, true},
	{"max_ratio", "media_dimensions", "width divided by height", "", RATIO, AT(max_ratio), false, true},
	{"min_duration_ms", "media_duration", "playing time", " ms", DURATION, AT(min_duration_ms), true, false},
	{"max_duration_ms", "media_duration", "playing time", " ms", DURATION, AT(max_duration_ms), false, false},
	{"max_frame_rate", "media_frame_rate", "frame rate", " pictures per second", FRAME_RATE, AT(max_frame_rate), false, true},
};

static double limit_of(const struct judging *j, const struct bound *b)
{
	const char *at = (const char *)&j->l->media[j->type] + b->at;

	return b->fraction ? *(const double *)(const void *)at : (double)*(const int64_t *)(const void *)at;
}

/* A ratio is of whole pixels: 1080 x 1349 is 4:5 to every platform. */
static bool breaks(const struct bound *b, double value, double limit)
{
	double slack = b->value == RATIO ? limit / 500 : b->value == FRAME_RATE ? limit / 1000 : 0;

	return b->least ? value < limit - slack : value > limit + slack;
}

static void check_bound(const struct judging *j, const struct bound *b)
{
	double value = value_of(j->m, b->value), limit = limit_of(j, b);

	if (value <= 0 || limit <= 0 || !breaks(b, value, limit))
		return;
	report(j, b->code, b->name, arena_printf(j->k->arena, "The %s of this %s is %.*f%s; %s allows %s %.*f.", b->what, limits_types[j->type],
		b->fraction ? 3 : 0, value, b->unit, j->k->platform->name, b->least ? "no less than" : "at most", b->fraction ? 3 : 0, limit));
}

/* ---- one item -------------------------------------------------------------------------------------- */

static const char *join(struct arena *a, const char *const *list)
{
	const char *all = "";

	for (; *list != NULL; list++)
		all = arena_printf(a, "%s%s%s", all, all[0] ? ", " : "", *list);
	return all;
}

static void check_mime(const struct judging *j)
{
	const char *const *mime = j->l->media[j->type].mime;

	if (mime != NULL && j->m->mime != NULL && !lists(mime, j->m->mime))
		report(j, "media_type_unsupported", "mime", arena_printf(j->k->arena, "This %s is %s; %s takes %s.", limits_types[j->type], j->m->mime,
			j->k->platform->name, join(j->k->arena, mime)));
}

static void check_alt(const struct judging *j)
{
	int64_t n = j->m->alt ? (int64_t)text_points(j->m->alt) : 0;

	if (j->l->alt_max > 0 && n > j->l->alt_max)
		check_report(j->k, "text_too_long", arena_printf(j->k->arena, "%s.altText", j->m->param), "media.alt_max",
			arena_printf(j->k->arena, "The description is %lld characters; %s allows %lld.", (long long)n, j->k->platform->name,
				(long long)j->l->alt_max));
}

static void check_item(const struct judging *j)
{
	check_mime(j);
	for (size_t i = 0; i < sizeof bounds / sizeof bounds[0]; i++)
		check_bound(j, &bounds[i]);
}

/* ---- all of them ----------------------------------------------------------------------------------- */

enum tallied { ITEMS, IMAGES, VIDEOS, TALLIES };
struct tally { int64_t n[TALLIES]; const char *over[TALLIES], *second_kind; };

static int64_t most_of(const struct limits *l, int i) { return i == ITEMS ? l->max_items : i == IMAGES ? l->max_images : l->max_videos; }

/* The item with which it became too many is the one to name. */
static void count(const struct limits *l, struct tally *t, enum tallied i, const char *param)
{
	t->n[i]++;
	if (most_of(l, i) > 0 && t->n[i] == most_of(l, i) + 1)
		t->over[i] = param;
	if (i != ITEMS && t->second_kind == NULL && t->n[IMAGES] > 0 && t->n[VIDEOS] > 0)
		t->second_kind = param;
}

static void check_tally(const struct check *k, const struct limits *l, const struct tally *t, const char *param)
{
	static const struct { const char *rule, *what; } names[] = {
		[ITEMS] = {"media.max_items", "media items"}, [IMAGES] = {"media.max_images", "images"}, [VIDEOS] = {"media.max_videos", "videos"},
	};

	for (int i = 0; i < TALLIES; i++)
		if (t->over[i] != NULL)
			check_report(k, "media_too_many", t->over[i], names[i].rule, arena_printf(k->arena, "These are %lld %s; %s allows %lld.",
				(long long)t->n[i], names[i].what, k->platform->name, (long long)most_of(l, i)));
	if (t->n[ITEMS] > 0 && t->n[ITEMS] < l->min_items)
		check_report(k, "media_required", param, "media.min_items", arena_printf(k->arena, "These are %lld media items; %s needs %lld.",
			(long long)t->n[ITEMS], k->platform->name, (long long)l->min_items));
	if (!l->mixed && t->second_kind != NULL)
		check_report(k, "media_mixed", t->second_kind, "media.mixed", arena_printf(k->arena,
			"These are %lld images and %lld videos; %s takes one or the other in a post.", (long long)t->n[IMAGES],
			(long long)t->n[VIDEOS], k->platform->name));
}

static void refuse_type(const struct check *k, const struct limits *l, const struct check_media *m)
{
	const char *taken = "";

	for (int t = 0; t < LIMITS_TYPES; t++)
		if (l->types[t])
			taken = arena_printf(k->arena, "%s%s%s", taken, taken[0] ? ", " : "", limits_types[t]);
	check_report(k, "media_type_unsupported", m->param, "media.type", taken[0] == '\0'
		? arena_printf(k->arena, "%s takes no media.", k->platform->name)
		: arena_printf(k->arena, "This is of type %s; %s takes %s.", m->type, k->platform->name, taken));
}

static bool takes_any(const struct limits *l)
{
	return l->types[LIMITS_IMAGE] || l->types[LIMITS_GIF] || l->types[LIMITS_VIDEO];
}

static void check_one(const struct check *k, const struct limits *l, const struct check_media *m, struct tally *t)
{
	struct judging j = {k, l, m, LIMITS_IMAGE};
	int type = m->type != NULL ? type_of(l, m) : -1;

	count(l, t, ITEMS, m->param);
	if (m->type == NULL && takes_any(l)) {
		check_alt(&j);
		return;
	}
	if (type < 0) {
		refuse_type(k, l, m);
		return;
	}
	j.type = (enum limits_type)type;
	count(l, t, type == LIMITS_IMAGE ? IMAGES : VIDEOS, m->param);
	check_item(&j);
	check_alt(&j);
}

void check_media(const struct check *k, const struct check_media *items, int n, const char *param)
{
	const struct limits *l = k->limits ? k->limits : &k->platform->limits;
	struct tally t = {0};

	if (n == 0 && l->media_required)
		check_report(k, "media_required", param, "media.required", arena_printf(k->arena, "%s needs media.", k->platform->name));
	for (int i = 0; i < n; i++)
		check_one(k, l, &items[i], &t);
	check_tally(k, l, &t, param);
}
