/*
 * Reading what a request carries in text: headers, query, cookies and forms.
 *
 * The query is split once, before the handler runs, so that a bad escape is refused in one place; values are
 * decoded into the request's arena.
 */
#include "core/io/web_conn.h"

#include <string.h>
#include <strings.h>

#include "core/base/text.h"

#define DECODED_MAX (2 * 1024 * 1024)

const char *web_header_in(const struct web_request *r, const char *name)
{
	for (int i = 0; i < r->conn->count; i++) {
		if (!strcasecmp(r->conn->fields[i].name, name))
			return r->conn->fields[i].value;
	}
	return NULL;
}

const char *web_header_last(const struct web_request *r, const char *name)
{
	for (int i = r->conn->count - 1; i >= 0; i--) {
		if (!strcasecmp(r->conn->fields[i].name, name))
			return r->conn->fields[i].value;
	}
	return NULL;
}

static const char *decode(struct arena *a, const char *text, size_t len)
{
	BUF_AUTO struct buf out;

	buf_init(&out, DECODED_MAX);
	if (!text_unpercent(&out, text, len, true) || !buf_ok(&out))
		return NULL;
	return arena_dup(a, buf_text(&out), out.len);
}

static size_t pair_count(const char *text, size_t len)
{
	size_t n = 1;

	for (size_t i = 0; i < len; i++)
		n += text[i] == '&';
	return n;
}

static bool pair_parse(struct arena *a, const char *text, size_t len, struct web_field *ret)
{
	const char *eq = memchr(text, '=', len);
	size_t n = eq ? (size_t)(eq - text) : len;

	ret->name = decode(a, text, n);
	ret->value = eq ? decode(a, eq + 1, len - n - 1) : "";
	return ret->name && ret->value;
}

bool web_fields_parse(struct arena *a, const char *text, size_t len, struct web_field **ret, int *ret_count)
{
	struct web_field *list;
	const char *end = text + len;
	int n = 0;

	*ret = NULL;
	*ret_count = 0;
	if (!len)
		return true;
	list = arena_array(a, struct web_field, pair_count(text, len));
	while (text <= end) {
		const char *amp = text < end ? memchr(text, '&', (size_t)(end - text)) : NULL;
		size_t piece = (size_t)((amp ? amp : end) - text);

		if (piece && !pair_parse(a, text, piece, &list[n++]))
			return false;
		text += piece + 1;
	}
	*ret = list;
	*ret_count = n;
	return true;
}

static const char *field_value(const struct web_field *list, int n, const char *name)
{
	for (int i = 0; i < n; i++) {
		if (!strcmp(list[i].name, name))
			return list[i].value;
	}
	return NULL;
}

bool web_query(const struct web_request *r, const char *name, const char **ret)
{
	const char *value = field_value(r->conn->query, r->conn->query_count, name);

	if (value)
		*ret = value;
	return value != NULL;
}

int web_query_count(const struct web_request *r)
{
	return r->conn->query_count;
}

bool web_query_at(const struct web_request *r, int index, const char **ret_name, const char **ret_value)
{
	if (index < 0 || index >= r->conn->query_count)
		return false;
	*ret_name = r->conn->query[index].name;
	*ret_value = r->conn->query[index].value;
	return true;
}

const char *web_form(const struct web_request *r, const char *body, size_t len, const char *name)
{
	struct web_field *list;
	int n;

	if (!web_fields_parse(r->arena, body, len, &list, &n))
		return NULL;
	return field_value(list, n, name);
}

static const char *cookie_in(struct arena *a, const char *line, const char *name)
{
	size_t n = strlen(name);

	while (*line) {
		size_t piece;

		line += strspn(line, " ;");
		piece = strcspn(line, ";");
		if (piece > n && line[n] == '=' && !memcmp(line, name, n))
			return arena_dup(a, line + n + 1, piece - n - 1);
		line += piece;
	}
	return NULL;
}

const char *web_cookie(const struct web_request *r, const char *name)
{
	const char *value = NULL;

	for (int i = 0; i < r->conn->count && !value; i++) {
		if (!strcasecmp(r->conn->fields[i].name, "Cookie"))
			value = cookie_in(r->arena, r->conn->fields[i].value, name);
	}
	return value;
}
