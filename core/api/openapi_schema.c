/*
 * JSON Schema (2020-12, as OpenAPI 3.1 has it) of a table of fields.
 */
#include "core/api/openapi.h"

#include <string.h>

static const char *const type_names[] = {
	[FIELD_TEXT] = "string", [FIELD_INT] = "integer", [FIELD_BOOL] = "boolean", [FIELD_TIME] = "string", [FIELD_ENUM] = "string",
	[FIELD_OBJECT] = "object", [FIELD_ARRAY] = "array", [FIELD_MAP] = "object", [FIELD_TEXT_OR_OBJECT] = NULL,
	[FIELD_OPEN] = NULL,
};

static void type_write(struct jsonw *w, const struct field *f)
{
	const char *name = type_names[f->type];

	if (!name)
		return;
	if (!(f->flags & FIELD_NULLABLE)) {
		jsonw_text(w, "type", name);
		return;
	}
	jsonw_array(w, "type");
	jsonw_text(w, NULL, name);
	jsonw_text(w, NULL, "null");
	jsonw_array_end(w);
}

static void limits_write(struct jsonw *w, const struct field *f, const char *least, const char *most)
{
	bool both = f->type == FIELD_INT && (f->min || f->max);

	if (f->min || both)
		jsonw_int(w, least, f->min);
	if (f->max || both)
		jsonw_int(w, most, f->max);
}

static void enum_write(struct jsonw *w, const struct field *f)
{
	jsonw_array(w, "enum");
	for (const char *const *word = f->words; *word; word++)
		jsonw_text(w, NULL, *word);
	if (f->flags & FIELD_NULLABLE)
		jsonw_null(w, NULL);
	jsonw_array_end(w);
}

static void map_write(struct jsonw *w, const struct field *f)
{
	jsonw_object(w, "additionalProperties");
	jsonw_text(w, "type", "string");
	jsonw_int(w, "maxLength", 500);
	jsonw_object_end(w);
	jsonw_int(w, "maxProperties", f->max ? f->max : 50);
}

static void object_members(struct jsonw *w, const struct field *fields, bool strict)
{
	bool required = false;

	jsonw_object(w, "properties");
	for (const struct field *f = fields; f && f->name; f++) {
		openapi_field(w, f->name, f, strict);
		required |= f->flags & FIELD_REQUIRED;
	}
	jsonw_object_end(w);
	if (required) {
		jsonw_array(w, "required");
		for (const struct field *f = fields; f && f->name; f++) {
			if (f->flags & FIELD_REQUIRED)
				jsonw_text(w, NULL, f->name);
		}
		jsonw_array_end(w);
	}
	if (strict)
		jsonw_bool(w, "additionalProperties", false);
}

static void array_write(struct jsonw *w, const struct field *f, bool strict)
{
	limits_write(w, f, "minItems", "maxItems");
	if (!f->fields) {
		jsonw_object(w, "items");
		jsonw_object_end(w);
	} else if (f->fields->name && !*f->fields->name) {
		openapi_field(w, "items", f->fields, strict);
	} else {
		openapi_object(w, "items", f->fields, strict);
	}
}

static void either_write(struct jsonw *w, const struct field *f, bool strict)
{
	jsonw_array(w, "anyOf");
	jsonw_object(w, NULL);
	jsonw_text(w, "type", "string");
	limits_write(w, f, "minLength", "maxLength");
	jsonw_object_end(w);
	openapi_object(w, NULL, f->fields, strict);
	if (f->flags & FIELD_NULLABLE) {
		jsonw_object(w, NULL);
		jsonw_text(w, "type", "null");
		jsonw_object_end(w);
	}
	jsonw_array_end(w);
}

void openapi_field(struct jsonw *w, const char *key, const struct field *f, bool strict)
{
	jsonw_object(w, key);
	type_write(w, f);
	if (f->help)
		jsonw_text(w, "description", f->help);
	switch (f->type) {
	case FIELD_TEXT: limits_write(w, f, "minLength", "maxLength"); break;
	case FIELD_INT: limits_write(w, f, "minimum", "maximum"); break;
	case FIELD_TIME:
		if (!strict)
			jsonw_text(w, "format", "date-time");
		break;
	case FIELD_ENUM: enum_write(w, f); break;
	case FIELD_OBJECT: object_members(w, f->fields, strict); break;
	case FIELD_ARRAY: array_write(w, f, strict); break;
	case FIELD_MAP: map_write(w, f); break;
	case FIELD_TEXT_OR_OBJECT: either_write(w, f, strict); break;
	case FIELD_BOOL: case FIELD_OPEN: break;
	}
	jsonw_object_end(w);
}

void openapi_object(struct jsonw *w, const char *key, const struct field *fields, bool strict)
{
	jsonw_object(w, key);
	jsonw_text(w, "type", "object");
	object_members(w, fields, strict);
	jsonw_object_end(w);
}
