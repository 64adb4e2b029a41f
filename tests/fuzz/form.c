/*
 * What a request carries in text: query and form fields, cookies, paths.
 *
 * The first line is the path with its query, the second a Cookie header, the rest a form.  Fields that are taken
 * read the same when they are written again; a path that is matched has no empty, dotted or slashed segment.
 */
#include "fuzz.h"

#include "core/api/routes.h"
#include "core/base/log.h"
#include "core/base/text.h"
#include "core/io/web_conn.h"

static const struct route routes[] = {
	{.method = "GET", .pattern = "/v1/things"}, {.method = "GET", .pattern = "/v1/things/{id}"},
	{.method = "GET", .pattern = "/v1/things/{id}/parts/{part}"}, {.method = "GET", .pattern = "/"}, {0},
};
static const struct route *const tables[] = {routes, NULL};

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	log_set(LOG_ERROR + 1);
	return 0;
}

static void fields(struct arena *a, const char *text, size_t n)
{
	struct web_field *list, *again;
	struct buf out BUF_AUTO;
	int count, recount;

	buf_init(&out, 1u << 20);
	if (!web_fields_parse(a, text, n, &list, &count))
		return;
	for (int i = 0; i < count; i++) {
		MUST(strlen(list[i].name) <= n && strlen(list[i].value) <= n);
		if (i > 0)
			buf_addc(&out, '&');
		text_form(&out, list[i].name, strlen(list[i].name));
		buf_addc(&out, '=');
		text_form(&out, list[i].value, strlen(list[i].value));
	}
	MUST(web_fields_parse(a, buf_text(&out), out.len, &again, &recount) && recount == count);
	for (int i = 0; i < count; i++)
		MUST(strcmp(list[i].name, again[i].name) == 0 && strcmp(list[i].value, again[i].value) == 0);
}

static void path(struct arena *a, const char *text)
{
	struct route_match m;

	route_match(a, tables, "GET", text, &m);
	if (m.route == NULL)
		return;
	MUST(m.known_path && strstr(text, "//") == NULL && (text[1] == '\0' || text[strlen(text) - 1] != '/'));
	for (int i = 0; i < m.params; i++) {
		const char *v = m.values[i];

		MUST(v[0] != '\0' && strchr(v, '/') == NULL && strcmp(v, ".") != 0 && strcmp(v, "..") != 0);
		MUST(text_utf8(v, strlen(v)) && text_printable(v));
	}
}

static void cookies(struct arena *a, const char *line)
{
	struct web_conn c = {.count = 1, .fields = {{"cookie", line}}};
	struct web_request r = {.arena = a, .conn = &c};
	const char *value = web_cookie(&r, "one");

	if (value != NULL)
		MUST(strchr(value, ';') == NULL && strlen(value) < strlen(line));
	if (strncmp(line, "one=", 4) == 0)
		MUST(value != NULL && strlen(value) == strcspn(line + 4, ";") && strncmp(value, line + 4, strlen(value)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena a ARENA_AUTO;
	char *text = fuzz_text(data, size), *line[3] = {text, "", ""}, *query;
	size_t body;

	arena_init(&a, 64u << 20);
	for (int i = 0; i < 2; i++) {
		char *end = strchr(line[i], '\n');

		if (end == NULL)
			break;
		*end = '\0';
		line[i + 1] = end + 1;
	}
	query = strchr(line[0], '?');
	if (query != NULL) {
		*query++ = '\0';
		fields(&a, query, strlen(query));
	}
	if (line[0][0] == '/')
		path(&a, line[0]);
	cookies(&a, line[1]);
	body = line[2] == text || line[2][0] == '\0' ? 0 : size - (size_t)(line[2] - text);
	fields(&a, line[2], body);
	free(text);
	return 0;
}
