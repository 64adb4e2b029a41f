/*
 * /v1/platforms: what this server can publish to, and the limits and options that a composer needs.
 *
 * Everything is said by the providers' descriptors; a limit that is not declared is null.
 */
#include <string.h>

#include "core/api/api.h"
#include "core/api/routes.h"
#include "core/base/text.h"
#include "core/engine/engine.h"
#include "core/model/platform.h"

/* ---- parts of a descriptor -------------------------------------------------------------------------- */

struct shown { struct api_request *r; const struct platform *p; struct jv state; };

static void int_or_null(struct jsonw *w, const char *key, int64_t n)
{
	if (n > 0)
		jsonw_int(w, key, n);
	else
		jsonw_null(w, key);
}

static void text_limits(const struct shown *k)
{
	const struct limits *l = &k->p->limits;
	struct jsonw *w = k->r->w;

	jsonw_object(w, "text");
	int_or_null(w, "max", k->p->limits.text_max);
	jsonw_text(w, "count", k->p->limits.text_count);
	int_or_null(w, "maxBytes", k->p->limits.text_max_bytes);
	jsonw_bool(w, "required", k->p->limits.text_required);
	int_or_null(w, "urlLength", l->url_length);
	jsonw_text(w, "mentions", l->mentions_local ? "local" : NULL);
	jsonw_array(w, "with");
	for (const char *const *name = l->text_with; name != NULL && *name != NULL; name++)
		jsonw_text(w, NULL, *name);
	jsonw_array_end(w);
	jsonw_object_end(w);
}

/* "max_bytes" as the wire says it. */
static const char *camel(struct arena *a, const char *name)
{
	char *out = arena_text(a, name), *to = out;

	for (const char *p = name; *p != '\0'; p++)
		if (p[0] == '_' && p[1] >= 'a' && p[1] <= 'z')
			*to++ = (char)(*++p - 'a' + 'A');
		else
			*to++ = *p;
	*to = '\0';
	return out;
}

struct media_shown { struct api_request *r; const char *open; };	/* open: the type whose object is */

/* Limits come in the order of the descriptor's page: those of a type stand together. */
static void media_limit(void *arg, const struct limits_entry *e)
{
	struct media_shown *m = arg;
	const char *name = strrchr(e->path, '.') + 1, *type = NULL;

	if (!text_starts(e->path, "media."))
		return;
	for (int t = 0; t < LIMITS_TYPES; t++)
		if (text_eq(e->path, arena_printf(m->r->arena, "media.%s.%s", limits_types[t], name)))
			type = limits_types[t];
	if (m->open != NULL && !text_eq(m->open, type))
		jsonw_object_end(m->r->w);
	if (type != NULL && !text_eq(m->open, type))
		jsonw_object(m->r->w, type);
	m->open = type;
	jsonw_raw(m->r->w, text_eq(e->path, "media.type") ? "types" : camel(m->r->arena, name), e->json, strlen(e->json));
}

static bool takes_media(const struct platform *p)
{
	return p->limits.types[LIMITS_IMAGE] || p->limits.types[LIMITS_GIF] || p->limits.types[LIMITS_VIDEO];
}

static void media_limits(const struct shown *k)
{
	struct media_shown m = {k->r, NULL};

	if (!takes_media(k->p)) {
		jsonw_null(k->r->w, "media");
		return;
	}
	jsonw_object(k->r->w, "media");
	limits_each(&k->p->limits, k->r->arena, media_limit, &m);
	if (m.open != NULL)
		jsonw_object_end(k->r->w);
	jsonw_object_end(k->r->w);
}

static void connect(const struct shown *k)
{
	const struct platform *p = k->p;
	struct jsonw *w = k->r->w;

	jsonw_object(w, "connect");
	jsonw_text(w, "method", p->oauth && p->form ? "both" : p->oauth ? "oauth2" : "form");
	jsonw_bool(w, "needsCredential", platform_needs_client(p) && !p->sandbox);
	jsonw_text(w, "callbackUrl", p->oauth ? arena_printf(k->r->arena, "%s/oauth/%s/callback", k->r->api->public_url, p->id) : NULL);
	jsonw_array(w, "scopes");
	for (int i = 0; i < p->scope_count; i++) {
		jsonw_object(w, NULL);
		jsonw_text(w, "scope", p->scopes[i].scope);
		jsonw_text(w, "reason", p->scopes[i].reason);
		jsonw_object_end(w);
	}
	jsonw_array_end(w);
	jsonw_object_end(w);
}

static void capabilities(const struct shown *k)
{
	static const struct { const char *wire, *name; } table[] = {
		{"text", "text"}, {"images", "images"}, {"video", "video"}, {"mixed", "mixed"}, {"link", "link"}, {"threads", "threads"},
		{"firstComment", "first_comment"}, {"delete", "delete"}, {"edit", "edit"}, {"altText", "alt_text"},
	};

	jsonw_object(k->r->w, "capabilities");
	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
		jsonw_bool(k->r->w, table[i].wire, platform_can(k->p, table[i].name));
	jsonw_object_end(k->r->w);
}

static const char *status_of(const struct shown *k)
{
	bool paused = false;

	json_bool(json_get(k->state, "paused"), &paused);
	return paused ? "paused" : "operational";
}

static void write_platform(const struct shown *k)
{
	struct jsonw *w = k->r->w;

	jsonw_object(w, NULL);
	jsonw_text(w, "id", k->p->id);
	jsonw_text(w, "name", k->p->name);
	jsonw_text(w, "icon", k->p->icon[0] ? k->p->icon : NULL);
	jsonw_text(w, "docs", k->p->docs[0] ? k->p->docs : NULL);
	jsonw_text(w, "providerVersion", k->p->version);
	jsonw_text(w, "status", status_of(k));
	connect(k);
	text_limits(k);
	media_limits(k);
	capabilities(k);
	jsonw_object_end(w);
}

/* ---- the schema of options -------------------------------------------------------------------------- */

static const struct { const char *type, *schema, *min, *max; } types[] = {
	{"text", "string", "minLength", "maxLength"}, {"bool", "boolean", NULL, NULL}, {"int", "integer", "minimum", "maximum"},
	{"enum", "string", NULL, NULL}, {"list", "array", "minItems", "maxItems"}, {"time", "string", NULL, NULL},
};

static void fallback(struct jsonw *w, const struct platform_option *o)
{
	if (o->fallback == NULL)
		return;
	if (text_eq(o->type, "bool") || text_eq(o->type, "int"))
		jsonw_raw(w, "default", o->fallback, strlen(o->fallback));
	else
		jsonw_text(w, "default", o->fallback);
}

static void write_option(struct jsonw *w, const struct platform_option *o)
{
	size_t t = 0;

	while (t + 1 < sizeof types / sizeof types[0] && !text_eq(types[t].type, o->type))
		t++;
	jsonw_object(w, o->name);
	jsonw_text(w, "type", types[t].schema);
	jsonw_text(w, "title", o->label);
	if (o->help[0] != '\0')
		jsonw_text(w, "description", o->help);
	if (types[t].min && o->min > 0)
		jsonw_int(w, types[t].min, o->min);
	if (types[t].max && o->max > 0)
		jsonw_int(w, types[t].max, o->max);
	if (text_eq(o->type, "time"))
		jsonw_text(w, "format", "date-time");
	if (text_eq(o->type, "list")) {
		jsonw_object(w, "items");
		jsonw_text(w, "type", "string");
		jsonw_object_end(w);
	}
	if (text_eq(o->type, "enum")) {
		jsonw_array(w, "enum");
		for (const char *const *v = o->values; *v != NULL; v++)
			jsonw_text(w, NULL, *v);
		jsonw_array_end(w);
	}
	fallback(w, o);
	jsonw_object_end(w);
}

/* JSON Schema counts code points; what is counted otherwise is said in words. */
static void schema_text(const struct shown *k)
{
	const struct limits *l = &k->p->limits;
	struct jsonw *w = k->r->w;
	bool plain = text_eq(l->text_count, "points") && l->url_length == 0 && !l->mentions_local;

	jsonw_object(w, "text");
	jsonw_text(w, "type", "string");
	if (l->text_max > 0 && plain)
		jsonw_int(w, "maxLength", l->text_max);
	else if (l->text_max > 0)
		jsonw_text(w, "description", arena_printf(k->r->arena, "At most %lld, counted as %s.", (long long)l->text_max, l->text_count));
	jsonw_object_end(w);
}

static void schema_media(const struct shown *k)
{
	const struct limits *l = &k->p->limits;
	struct jsonw *w = k->r->w;

	jsonw_object(w, "media");
	jsonw_text(w, "type", "array");
	if (l->media_required || l->min_items > 0)
		jsonw_int(w, "minItems", l->min_items > 0 ? l->min_items : 1);
	if (l->max_items > 0 || !takes_media(k->p))
		jsonw_int(w, "maxItems", l->max_items);
	jsonw_object(w, "items");
	jsonw_text(w, "$ref", "#/$defs/media");
	jsonw_object_end(w);
	jsonw_object_end(w);
}

static void schema_item(const struct shown *k)
{
	const struct limits *l = &k->p->limits;
	struct jsonw *w = k->r->w;

	jsonw_object(w, "media");
	jsonw_text(w, "type", "object");
	jsonw_object(w, "properties");
	jsonw_object(w, "type");
	jsonw_array(w, "enum");
	for (int t = 0; t < LIMITS_TYPES; t++)
		if (l->types[t] || !takes_media(k->p))
			jsonw_text(w, NULL, limits_types[t]);
	jsonw_array_end(w);
	jsonw_object_end(w);
	jsonw_object(w, "altText");
	jsonw_text(w, "type", "string");
	if (l->alt_max > 0)
		jsonw_int(w, "maxLength", l->alt_max);
	jsonw_object_end(w);
	jsonw_object_end(w);
	jsonw_object_end(w);
}

/* A post, and what follows it, as this platform takes them. */
static void schema_part(const struct shown *k, const char *key, bool whole)
{
	struct jsonw *w = k->r->w;

	jsonw_object(w, key);
	jsonw_text(w, "type", "object");
	jsonw_object(w, "properties");
	schema_text(k);
	schema_media(k);
	jsonw_object(w, "options");
	jsonw_text(w, "$ref", "#");
	jsonw_object_end(w);
	if (whole && platform_can(k->p, "threads")) {
		jsonw_object(w, "thread");
		jsonw_text(w, "type", "array");
		jsonw_object(w, "items");
		jsonw_text(w, "$ref", "#/$defs/item");
		jsonw_object_end(w);
		jsonw_object_end(w);
	}
	if (whole && platform_can(k->p, "first_comment")) {
		jsonw_object(w, "firstComment");
		jsonw_array(w, "anyOf");
		jsonw_object(w, NULL);
		jsonw_text(w, "type", "string");
		jsonw_object_end(w);
		jsonw_object(w, NULL);
		jsonw_text(w, "$ref", "#/$defs/item");
		jsonw_object_end(w);
		jsonw_array_end(w);
		jsonw_object_end(w);
	}
	jsonw_object_end(w);
	jsonw_object_end(w);
}

static void schema_parts(const struct shown *k)
{
	jsonw_object(k->r->w, "$defs");
	schema_part(k, "post", true);
	schema_part(k, "item", false);
	schema_item(k);
	jsonw_object_end(k->r->w);
}

static void write_schema(const struct shown *k)
{
	struct jsonw *w = k->r->w;

	jsonw_object(w, NULL);
	jsonw_text(w, "$schema", "https://json-schema.org/draft/2020-12/schema");
	jsonw_text(w, "title", arena_printf(k->r->arena, "Options of a post on %s", k->p->name));
	jsonw_text(w, "type", "object");
	jsonw_bool(w, "additionalProperties", false);
	jsonw_object(w, "properties");
	for (int i = 0; i < k->p->option_count; i++)
		write_option(w, &k->p->options[i]);
	jsonw_object_end(w);
	jsonw_array(w, "required");
	for (int i = 0; i < k->p->option_count; i++)
		if (k->p->options[i].required && k->p->options[i].fallback == NULL)
			jsonw_text(w, NULL, k->p->options[i].name);
	jsonw_array_end(w);
	schema_parts(k);
	jsonw_object_end(w);
}

/* ---- finding ---------------------------------------------------------------------------------------- */

/* What the engine says about its providers: an array of {"id", "paused", ...}. */
static struct jv engine_state(struct api_request *r)
{
	BUF_AUTO struct buf out;
	struct jv root = {0};
	struct cx cx;

	cx_init(&cx, r->id);
	buf_init(&out, 1u << 20);
	if (r->api->engine != NULL)
		engine_providers(r->api->engine, &out);
	if (out.len > 0)
		json_parse(&cx, r->arena, buf_text(&out), out.len, &root);
	return root;
}

static struct jv state_of(struct jv list, const char *id)
{
	for (size_t i = 0; i < json_count(list); i++)
		if (text_eq(json_text(json_get(json_at(list, i), "id")), id))
			return json_at(list, i);
	return (struct jv){0};
}

/* False for one that this key cannot use: the sandbox itself is for test keys. */
static bool show(struct api_request *r, const char *id, struct jv states, void (*write)(const struct shown *))
{
	PLATFORM_AUTO const struct platform *p = platforms_take(r->api->platforms, id);
	struct shown k = {.r = r, .p = p, .state = state_of(states, id)};

	if (p == NULL || (p->sandbox && r->identity.owner.live))
		return false;
	write(&k);
	return true;
}

static enum rc list(struct api_request *r)
{
	struct jv states = engine_state(r);
	const char **ids;
	int n = platforms_list(r->api->platforms, r->arena, &ids);

	jsonw_object(r->w, NULL);
	jsonw_array(r->w, "data");
	for (int i = 0; i < n; i++)
		show(r, ids[i], states, write_platform);
	jsonw_array_end(r->w);
	jsonw_null(r->w, "nextCursor");
	jsonw_bool(r->w, "hasMore", false);
	jsonw_object_end(r->w);
	return RC_OK;
}

static enum rc show_one(struct api_request *r, void (*write)(const struct shown *))
{
	if (show(r, api_param(r, "platform"), engine_state(r), write))
		return RC_OK;
	r->more.type = "not_found";
	return fail_code(r->cx, RC_NOT_FOUND, "platform_unknown", NULL, "This server has no such platform.");
}

static enum rc get(struct api_request *r) { return show_one(r, write_platform); }
static enum rc schema(struct api_request *r) { return show_one(r, write_schema); }

/* ---- the table -------------------------------------------------------------------------------------- */

static const char *const statuses[] = {"operational", "degraded", "maintenance", "outage", "paused", NULL};
static const struct field word_items[] = {{.name = "", .type = FIELD_TEXT}, {0}};
static const struct field text_fields[] = {
	{.name = "max", .type = FIELD_INT, .flags = FIELD_NULLABLE},
	{.name = "count", .type = FIELD_TEXT, .help = "points, graphemes, utf16, bytes or weighted."},
	{.name = "maxBytes", .type = FIELD_INT, .flags = FIELD_NULLABLE},
	{.name = "required", .type = FIELD_BOOL},
	{.name = "urlLength", .type = FIELD_INT, .flags = FIELD_NULLABLE, .help = "What a URL in the text counts; null: as it stands."},
	{.name = "mentions", .type = FIELD_TEXT, .flags = FIELD_NULLABLE, .help = "local: @user@host counts as @user."},
	{.name = "with", .type = FIELD_ARRAY, .fields = word_items, .help = "Options whose text counts along."},
	{0},
};

#define TYPE_FIELDS(key) {.name = key, .type = FIELD_OBJECT, .fields = type_fields}
static const struct field type_fields[] = {
	{.name = "mime", .type = FIELD_ARRAY, .fields = word_items},
	{.name = "maxBytes", .type = FIELD_INT},
	{.name = "minWidth", .type = FIELD_INT},
	{.name = "minHeight", .type = FIELD_INT},
	{.name = "maxWidth", .type = FIELD_INT},
	{.name = "maxHeight", .type = FIELD_INT},
	{.name = "maxPixels", .type = FIELD_INT},
	{.name = "minRatio", .type = FIELD_OPEN, .help = "Width divided by height."},
	{.name = "maxRatio", .type = FIELD_OPEN},
	{.name = "minDurationMs", .type = FIELD_INT},
	{.name = "maxDurationMs", .type = FIELD_INT},
	{.name = "maxFrameRate", .type = FIELD_OPEN},
	{0},
};
static const struct field media_fields[] = {
	{.name = "types", .type = FIELD_ARRAY, .fields = word_items, .help = "image, gif, video. Where gif stands, it counts as a video."},
	{.name = "minItems", .type = FIELD_INT},
	{.name = "maxItems", .type = FIELD_INT},
	{.name = "maxImages", .type = FIELD_INT},
	{.name = "maxVideos", .type = FIELD_INT},
	{.name = "mixed", .type = FIELD_BOOL, .help = "Images and moving pictures in one post."},
	{.name = "required", .type = FIELD_BOOL},
	{.name = "publicUrl", .type = FIELD_BOOL},
	{.name = "altMax", .type = FIELD_INT},
	TYPE_FIELDS("image"), TYPE_FIELDS("gif"), TYPE_FIELDS("video"),
	{0},
};
static const struct field ability_fields[] = {
	{.name = "text", .type = FIELD_BOOL}, {.name = "images", .type = FIELD_BOOL}, {.name = "video", .type = FIELD_BOOL},
	{.name = "mixed", .type = FIELD_BOOL}, {.name = "link", .type = FIELD_BOOL}, {.name = "threads", .type = FIELD_BOOL},
	{.name = "firstComment", .type = FIELD_BOOL}, {.name = "delete", .type = FIELD_BOOL}, {.name = "edit", .type = FIELD_BOOL},
	{.name = "altText", .type = FIELD_BOOL},
	{0},
};
static const struct field platform_fields[] = {
	{.name = "id", .type = FIELD_TEXT},
	{.name = "name", .type = FIELD_TEXT},
	{.name = "icon", .type = FIELD_TEXT, .flags = FIELD_NULLABLE, .help = "An SVG document."},
	{.name = "docs", .type = FIELD_TEXT, .flags = FIELD_NULLABLE, .help = "The platform's own documentation."},
	{.name = "providerVersion", .type = FIELD_TEXT},
	{.name = "status", .type = FIELD_ENUM, .words = statuses},
	{.name = "connect", .type = FIELD_OPEN, .help = "How an account is connected."},
	{.name = "text", .type = FIELD_OBJECT, .fields = text_fields},
	{.name = "media", .type = FIELD_OBJECT, .flags = FIELD_NULLABLE, .fields = media_fields,
	 .help = "Limits of media, those that there are; null: it takes none."},
	{.name = "capabilities", .type = FIELD_OBJECT, .fields = ability_fields},
	{0},
};
static const struct answer platform_answer = {"Platform", platform_fields};

const struct route platform_routes[] = {
	{.method = "GET", .pattern = "/v1/platforms", .flags = ROUTE_LIST, .handle = list, .operation = "listPlatforms",
	 .summary = "What this server can publish to", .answer = &platform_answer},
	{.method = "GET", .pattern = "/v1/platforms/{platform}", .handle = get, .operation = "getPlatform",
	 .summary = "One platform and its limits", .answer = &platform_answer},
	{.method = "GET", .pattern = "/v1/platforms/{platform}/schema", .handle = schema, .operation = "getPlatformSchema",
	 .summary = "JSON Schema of the options of a post there; of the post itself in $defs"},
	{0},
};
