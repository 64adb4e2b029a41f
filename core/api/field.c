/*
 * The check of a request body against its table.
 *
 * All problems are collected, each with the path of its field as the client wrote it ("targets[1].text"), so
 * that one round trip shows them all.  A field in the wrong place is told where it belongs.
 */
#include "core/api/field.h"

#include <string.h>

#include "core/base/text.h"

#define NAMES_MAX 128
#define MAP_MAX 50
#define MAP_KEY 40
#define MAP_VALUE 500

static void check_object(struct error_more *m, const struct field *table, struct jv v, const char *path);
static void check_value(struct error_more *m, const struct field *f, struct jv v, const char *path);

const struct field *field_find(const struct field *table, const char *name)
{
	for (; table && table->name; table++) {
		if (!strcmp(table->name, name))
			return table;
	}
	return NULL;
}

const char *field_nearest(struct arena *a, const struct field *table, const struct field *more, const char *name)
{
	const char **names = arena_array(a, const char *, NAMES_MAX + 1);
	int n = 0;

	for (; table && table->name && n < NAMES_MAX; table++)
		names[n++] = table->name;
	for (; more && more->name && n < NAMES_MAX; more++)
		names[n++] = more->name;
	return text_nearest(name, names);
}

static const char *path_join(struct error_more *m, const char *path, const char *name)
{
	return *path ? arena_printf(m->arena, "%s.%s", path, name) : arena_text(m->arena, name);
}

/* ---- control characters ----------------------------------------------------------------------------- */

/* The path of the first text in v (a key or a value) that may not be stored, or NULL. */
static const char *unprintable(struct arena *a, struct jv v)
{
	const char *key, *below;
	struct jv child;

	if (json_type(v) == JSON_STRING)
		return text_printable(json_text(v)) ? NULL : "";
	for (size_t i = 0; json_type(v) == JSON_ARRAY && i < json_count(v); i++) {
		below = unprintable(a, json_at(v, i));
		if (below)
			return arena_printf(a, "[%zu]%s%s", i, *below && *below != '[' ? "." : "", below);
	}
	for (size_t i = 0; json_type(v) == JSON_OBJECT && json_member(v, i, &key, &child); i++) {
		if (!text_printable(key))
			return "a key";
		below = unprintable(a, child);
		if (below)
			return arena_printf(a, "%s%s%s", key, *below && *below != '[' ? "." : "", below);
	}
	return NULL;
}

/* ---- unknown names ---------------------------------------------------------------------------------- */

/* Where a name that does not belong here would: "targets[].text", or NULL. */
static const char *elsewhere(struct error_more *m, const struct field *table, const char *name, int depth)
{
	for (; table && table->name && depth < 3; table++) {
		const char *below;

		if (!table->fields || (table->type != FIELD_OBJECT && table->type != FIELD_ARRAY && table->type != FIELD_TEXT_OR_OBJECT))
			continue;
		below = field_find(table->fields, name) ? name : elsewhere(m, table->fields, name, depth + 1);
		if (below)
			return arena_printf(m->arena, "%s%s.%s", table->name, table->type == FIELD_ARRAY ? "[]" : "", below);
	}
	return NULL;
}

static void unknown(struct error_more *m, const struct field *table, const char *name, const char *path)
{
	const char *place = elsewhere(m, table, name, 0);
	const char *near = field_nearest(m->arena, table, NULL, name);

	if (place)
		error_issue(m, "unknown_field", path, "%s is not a field here; it belongs to %s.", name, place);
	else if (near)
		error_issue(m, "unknown_field", path, "%s is not a field here; did you mean %s?", name, near);
	else
		error_issue(m, "unknown_field", path, "%s is not a field here.", name);
}

/* ---- values ----------------------------------------------------------------------------------------- */

static const char *const type_words[] = {
	[FIELD_TEXT] = "a string", [FIELD_INT] = "an integer", [FIELD_BOOL] = "true or false", [FIELD_TIME] = "a string with a time",
	[FIELD_ENUM] = "a string", [FIELD_OBJECT] = "an object", [FIELD_ARRAY] = "an array", [FIELD_MAP] = "an object",
	[FIELD_TEXT_OR_OBJECT] = "a string or an object", [FIELD_OPEN] = "a value",
};

static const enum json_type json_types[] = {
	[FIELD_TEXT] = JSON_STRING, [FIELD_INT] = JSON_NUMBER, [FIELD_BOOL] = JSON_BOOL, [FIELD_TIME] = JSON_STRING,
	[FIELD_ENUM] = JSON_STRING, [FIELD_OBJECT] = JSON_OBJECT, [FIELD_ARRAY] = JSON_ARRAY, [FIELD_MAP] = JSON_OBJECT,
	[FIELD_TEXT_OR_OBJECT] = JSON_STRING, [FIELD_OPEN] = JSON_NONE,
};

static void check_text(struct error_more *m, const struct field *f, const char *text, const char *path)
{
	int64_t n = (int64_t)text_points(text);

	if (n < f->min && f->min == 1)
		error_issue(m, "field_invalid", path, "%s must not be empty.", path);
	else if (n < f->min)
		error_issue(m, "field_invalid", path, "%s has %lld characters; at least %lld are needed.", path, (long long)n, (long long)f->min);
	else if (f->max && n > f->max)
		error_issue(m, "field_invalid", path, "%s has %lld characters; %lld are allowed.", path, (long long)n, (long long)f->max);
}

static void check_int(struct error_more *m, const struct field *f, int64_t value, const char *path)
{
	if ((f->min || f->max) && (value < f->min || value > f->max))
		error_issue(m, "field_invalid", path, "%s must be from %lld to %lld.", path, (long long)f->min, (long long)f->max);
}

static void check_enum(struct error_more *m, const struct field *f, const char *text, const char *path)
{
	const char *list = "";

	for (const char *const *w = f->words; *w; w++) {
		if (!strcmp(*w, text))
			return;
		list = arena_printf(m->arena, "%s%s%s", list, *list ? ", " : "", *w);
	}
	error_issue(m, "field_invalid", path, "%s must be one of %s.", path, list);
}

static void check_array(struct error_more *m, const struct field *f, struct jv v, const char *path)
{
	size_t n = json_count(v);

	if ((int64_t)n < f->min || (f->max && (int64_t)n > f->max)) {
		error_issue(m, "field_invalid", path, "%s has %zu elements; from %lld to %lld are allowed.", path, n,
			(long long)f->min, (long long)f->max);
		return;
	}
	for (size_t i = 0; f->fields && i < n && !error_full(m); i++) {
		const char *at = arena_printf(m->arena, "%s[%zu]", path, i);

		if (f->fields->name && !*f->fields->name)
			check_value(m, f->fields, json_at(v, i), at);
		else if (json_type(json_at(v, i)) != JSON_OBJECT)
			error_issue(m, "field_invalid", at, "%s must be an object, as {\"%s\": ...}.", at, f->fields->name);
		else
			check_object(m, f->fields, json_at(v, i), at);
	}
}

static void check_map(struct error_more *m, const struct field *f, struct jv v, const char *path)
{
	int64_t most = f->max ? f->max : MAP_MAX;
	const char *key;
	struct jv value;

	if ((int64_t)json_count(v) > most) {
		error_issue(m, "field_invalid", path, "%s has %zu keys; %lld are allowed.", path, json_count(v), (long long)most);
		return;
	}
	for (size_t i = 0; !error_full(m) && json_member(v, i, &key, &value); i++) {
		const char *at = path_join(m, path, key);

		if (!*key || text_points(key) > MAP_KEY)
			error_issue(m, "field_invalid", path, "A key of %s must have 1 to %d characters.", path, MAP_KEY);
		else if (json_type(value) != JSON_STRING)
			error_issue(m, "field_invalid", at, "%s must be a string.", at);
		else if (text_points(json_text(value)) > MAP_VALUE)
			error_issue(m, "field_invalid", at, "%s has more than %d characters.", at, MAP_VALUE);
	}
}

static void check_typed(struct error_more *m, const struct field *f, struct jv v, const char *path)
{
	int64_t number = 0;

	switch (f->type) {
	case FIELD_TEXT: check_text(m, f, json_text(v), path); return;
	case FIELD_TIME: return;
	case FIELD_ENUM: check_enum(m, f, json_text(v), path); return;
	case FIELD_OBJECT: check_object(m, f->fields, v, path); return;
	case FIELD_ARRAY: check_array(m, f, v, path); return;
	case FIELD_MAP: check_map(m, f, v, path); return;
	case FIELD_TEXT_OR_OBJECT:
		if (json_type(v) == JSON_STRING)
			check_text(m, f, json_text(v), path);
		else
			check_object(m, f->fields, v, path);
		return;
	case FIELD_BOOL: case FIELD_OPEN: return;
	case FIELD_INT: break;
	}
	if (!json_int(v, &number))
		error_issue(m, "field_invalid", path, "%s must be an integer between -2^53 and 2^53, without fraction.", path);
	else
		check_int(m, f, number, path);
}

static void check_value(struct error_more *m, const struct field *f, struct jv v, const char *path)
{
	if (json_type(v) == JSON_NULL && f->type != FIELD_OPEN) {
		if (!(f->flags & FIELD_NULLABLE))
			error_issue(m, "field_invalid", path, "%s must not be null.", path);
		return;
	}
	if (f->type != FIELD_OPEN && json_type(v) != json_types[f->type] &&
	    !(f->type == FIELD_TEXT_OR_OBJECT && json_type(v) == JSON_OBJECT)) {
		error_issue(m, "field_invalid", path, "%s must be %s.", path, type_words[f->type]);
		return;
	}
	check_typed(m, f, v, path);
}

static void check_object(struct error_more *m, const struct field *table, struct jv v, const char *path)
{
	const char *key;
	struct jv value;

	for (size_t i = 0; !error_full(m) && json_member(v, i, &key, &value); i++) {
		const struct field *f = field_find(table, key);
		const char *at = path_join(m, path, key);

		if (f)
			check_value(m, f, value, at);
		else
			unknown(m, table, key, at);
	}
	for (const struct field *f = table; f && f->name; f++) {
		if ((f->flags & FIELD_REQUIRED) && json_type(json_get(v, f->name)) == JSON_NONE) {
			const char *at = path_join(m, path, f->name);

			error_issue(m, "field_required", at, "%s is required%s%s", at, f->help ? ": " : ".", f->help ? f->help : "");
		}
	}
}

void field_check(struct error_more *m, const struct field *table, struct jv body)
{
	enum json_type type = json_type(body);
	const char *bad;

	if (type != JSON_OBJECT && type != JSON_NONE) {
		error_issue(m, "field_invalid", "", "The body must be a JSON object.");
		return;
	}
	bad = unprintable(m->arena, body);
	if (bad)
		error_issue(m, "field_invalid", text_printable(bad) ? bad : "",
			"Control characters are not allowed, but tab, line feed and carriage return.");
	else
		check_object(m, table, body, "");
}

/* ---- values of a query ------------------------------------------------------------------------------ */

void field_check_text(struct error_more *m, const struct field *f, const char *value)
{
	int64_t number = 0;

	if (!text_utf8(value, strlen(value)) || !text_printable(value)) {
		error_issue(m, "field_invalid", f->name, "%s has characters that are not allowed.", f->name);
		return;
	}
	switch (f->type) {
	case FIELD_INT:
		if (text_int(value, &number))
			check_int(m, f, number, f->name);
		else
			error_issue(m, "field_invalid", f->name, "%s must be an integer.", f->name);
		return;
	case FIELD_BOOL:
		if (strcmp(value, "true") && strcmp(value, "false"))
			error_issue(m, "field_invalid", f->name, "%s must be true or false.", f->name);
		return;
	case FIELD_ENUM:
		check_enum(m, f, value, f->name);
		return;
	default:
		check_text(m, f, value, f->name);
	}
}
