/*
 * Cursors of lists: the first line is a query, as it is; the second a key that a page ends with; the third a cursor
 * that somebody made up.
 *
 * A cursor that we gave leads back to its key in its own list and nowhere else, and nothing but the very text that we
 * would give for a key in this list is taken.
 */
#include "fuzz.h"

#include <unistd.h>

#include "core/api/page.h"
#include "core/base/log.h"
#include "core/base/text.h"
#include "core/io/web_conn.h"

static struct vault *vault;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	char folder[] = "/tmp/mps-fuzz-cursor-XXXXXX", file[80];
	uint8_t wrapped[VAULT_WRAPPED];
	struct vault_key *key;
	struct cx cx;

	(void)argc, (void)argv;
	log_set(LOG_ERROR + 1);
	cx_init(&cx, NULL);
	MUST(mkdtemp(folder) != NULL);
	snprintf(file, sizeof file, "%s/key", folder);
	MUST_SAY(vault_open(&cx, file, 1, &vault) == RC_OK, "%s", cx.words);
	MUST(vault_key_new(&cx, vault, wrapped, &key) == RC_OK);
	vault_mac_key(vault, key);
	vault_key_drop(key);
	unlink(file);
	rmdir(folder);
	return 0;
}

/* ---- a request, without a server ------------------------------------------------------------------------- */

struct visit {
	struct api api;
	struct web_conn conn;
	struct web_request web;
	struct web_field query[66];
	struct route route;
	struct cx cx;
	struct buf out;
	struct jsonw w;
	struct api_request r;
};

/* As organization `who` asks for the list with these query fields, and this cursor if there is one. */
static void visit_begin(struct visit *v, struct arena *a, const char *who, const struct web_field *fields, int n, const char *cursor)
{
	memset(v, 0, sizeof *v);
	v->api.vault = vault;
	memcpy(v->query, fields, (size_t)n * sizeof *fields);
	if (cursor != NULL)
		v->query[n++] = (struct web_field){"cursor", cursor};
	v->conn.query = v->query;
	v->conn.query_count = n;
	v->web = (struct web_request){.arena = a, .conn = &v->conn, .method = "GET", .path = "/v1/things", .query = ""};
	v->route.pattern = "/v1/things";
	cx_init(&v->cx, NULL);
	buf_init(&v->out, 1u << 20);
	jsonw_init(&v->w, &v->out);
	v->r = (struct api_request){.api = &v->api, .cx = &v->cx, .arena = a, .web = &v->web, .route = &v->route, .w = &v->w,
		.identity.owner = {who, "app_1", 1}};
}

/* Where the cursor leads, or NULL if it is refused. */
static const char *leads_to(struct arena *a, const char *who, const struct web_field *fields, int n, const char *cursor)
{
	struct visit *v = arena_new(a, struct visit);
	struct page p;
	enum rc rc;

	visit_begin(v, a, who, fields, n, cursor);
	rc = page_read(&v->r, &p);
	buf_free(&v->out);
	return rc == RC_OK ? p.after : NULL;
}

/* The cursor that stands at the end of a page whose last row has this key. */
static const char *cursor_of(struct arena *a, const char *who, const struct web_field *fields, int n, const char *key)
{
	struct visit *v = arena_new(a, struct visit);
	struct page p;
	struct jv root;
	const char *text;

	visit_begin(v, a, who, fields, n, NULL);
	MUST(page_read(&v->r, &p) == RC_OK);
	page_begin(&v->r);
	page_row(&p, key);
	page_end(&v->r, &p, true);
	MUST(json_parse(&v->cx, a, buf_text(&v->out), v->out.len, &root) == RC_OK);
	text = json_text(json_get(root, "nextCursor"));
	MUST(text != NULL);
	buf_free(&v->out);
	return text;
}

/* The key in a text that looks like a cursor; NULL if there is none. */
static const char *key_in(struct arena *a, const char *cursor)
{
	struct buf out BUF_AUTO;
	size_t n = strcspn(cursor, ".");
	const char *key;

	buf_init(&out, PAGE_KEY_MAX);
	if (!text_unbase64url(&out, cursor, n) || !buf_ok(&out))
		return NULL;
	key = arena_dup(a, buf_text(&out), out.len);
	return strlen(key) == out.len ? key : NULL;
}

static void judge(struct arena *a, const struct web_field *fields, int n, const char *key, const char *forged)
{
	static const struct web_field more = {"color", "red"};
	struct web_field other[65];
	const char *ours, *to, *inside;

	if (strlen(key) < PAGE_KEY_MAX && text_utf8(key, strlen(key))) {
		ours = cursor_of(a, "org_1", fields, n, key);
		to = leads_to(a, "org_1", fields, n, ours);
		MUST_SAY(to != NULL && strcmp(to, key) == 0, "our own cursor leads to %s, not %s", to ? to : "nowhere", key);
		MUST_SAY(leads_to(a, "org_2", fields, n, ours) == NULL, "another organization's cursor is taken");
		memcpy(other, fields, (size_t)n * sizeof *fields);
		other[n] = more;
		MUST_SAY(leads_to(a, "org_1", other, n + 1, ours) == NULL, "a cursor of another filter is taken");
	}
	to = leads_to(a, "org_1", fields, n, forged);
	if (to == NULL)
		return;
	inside = key_in(a, forged);
	MUST_SAY(inside != NULL && strcmp(inside, to) == 0 && strcmp(cursor_of(a, "org_1", fields, n, to), forged) == 0,
		"a forged cursor leads to %s", to);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena a ARENA_AUTO;
	char *text = fuzz_text(data, size), *line[3] = {text, "", ""};
	struct web_field *list, fields[64];
	int count = 0, n = 0;

	arena_init(&a, 64u << 20);
	for (int i = 0; i < 2; i++) {
		char *end = strchr(line[i], '\n');

		if (end == NULL)
			break;
		*end = '\0';
		line[i + 1] = end + 1;
	}
	if (web_fields_parse(&a, line[0], strlen(line[0]), &list, &count))
		for (int i = 0; i < count && n < 63; i++)
			if (strcmp(list[i].name, "cursor") != 0)
				fields[n++] = list[i];
	judge(&a, fields, n, line[1], line[2]);
	free(text);
	return 0;
}
