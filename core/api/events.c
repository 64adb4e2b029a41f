/*
 * GET /v1/events: the log that webhooks tell, to be pulled.
 *
 * It pages by the sequence that the writer gave inside the transaction, so that nothing can appear behind a
 * number that was handed out.  nextAfter moves on over events that were filtered away.
 */
#include <stdio.h>
#include <string.h>

#include "core/api/api.h"
#include "core/api/routes.h"
#include "core/base/text.h"
#include "core/model/event.h"

#define LIMIT_DEFAULT 50
#define TYPES_MAX 64
#define SCAN_MAX 5000		/* rows looked at by one call */
#define BYTES_MAX (4u << 20)

struct feed {
	const char *types[TYPES_MAX + 1];
	int64_t after, next;
	int limit;
	bool more, found;
};

/* ---- types ------------------------------------------------------------------------------------------ */

/* "post.published", or "post.*" for all of an object. */
static bool fits(const char *pattern, const char *type)
{
	size_t n = strlen(pattern);

	return n > 2 && !strcmp(pattern + n - 2, ".*") ? !strncmp(pattern, type, n - 1) : text_eq(pattern, type);
}

static bool is_wanted(const struct feed *f, const char *type)
{
	for (int i = 0; f->types[i] != NULL; i++)
		if (fits(f->types[i], type))
			return true;
	return f->types[0] == NULL;
}

static bool is_known(const char *pattern)
{
	for (int i = 0; event_types[i] != NULL; i++)
		if (fits(pattern, event_types[i]))
			return true;
	return false;
}

static void read_type(struct api_request *r, struct feed *f, int n, const char *word)
{
	const char *near = text_nearest(word, event_types);

	f->types[n] = word;
	if (!is_known(word))
		api_issue(r, "field_invalid", "types", "There is no event type %.64s%s%s%s", word, near ? "; did you mean " : ".",
			  near ? near : "", near ? "?" : "");
}

static void read_types(struct api_request *r, struct feed *f)
{
	const char *list = api_query(r, "types");
	int n = 0;

	while (list != NULL && *list != '\0' && n < TYPES_MAX) {
		size_t len = strcspn(list, ",");

		if (len > 0)
			read_type(r, f, n++, arena_dup(r->arena, list, len));
		list += len + (list[len] == ',');
	}
}

/* ---- rows ------------------------------------------------------------------------------------------- */

#define ROWS "SELECT sequence, type, id, organization_id, app_id, live, end_user_id, external_user_id, data, created_at FROM event" \
	" WHERE organization_id = ?1 AND app_id = ?2 AND live = ?3 AND sequence > ?4 ORDER BY sequence"

static void write_row(struct api_request *r, struct stmt *s)
{
	const char *data = db_text_or(s, 8, "{}");

	jsonw_object(r->w, NULL);
	jsonw_text(r->w, "id", db_text(s, 2));
	jsonw_text(r->w, "type", db_text(s, 1));
	jsonw_text(r->w, "apiVersion", "v1");
	jsonw_time(r->w, "createdAt", db_int(s, 9));
	jsonw_text(r->w, "organizationId", db_text(s, 3));
	jsonw_text(r->w, "appId", db_text(s, 4));
	jsonw_bool(r->w, "livemode", db_int(s, 5) == 1);
	jsonw_text(r->w, "endUserId", db_text(s, 6));
	jsonw_text(r->w, "externalUserId", db_text(s, 7));
	jsonw_int(r->w, "sequence", db_int(s, 0));
	jsonw_raw(r->w, "data", data, strlen(data));
	jsonw_object_end(r->w);
}

static struct stmt *rows(struct db_conn *c, const struct api_request *r, int64_t after)
{
	const struct owner *o = &r->identity.owner;

	return db_query(c, ROWS, "ssii", o->organization_id, o->app_id, o->live, after);
}

/* A look: whether there is one.  f->after moves over what was looked at in vain. */
static bool is_there(struct api_request *r, void *arg)
{
	DB_READ_AUTO struct db_conn *c = db_take(r->api->db);
	struct feed *f = arg;
	STMT_AUTO struct stmt *s = rows(c, r, f->after);

	for (int i = 0; i < SCAN_MAX && db_next(s); i++) {
		if (is_wanted(f, db_text(s, 1)))
			return true;
		f->after = db_int(s, 0);
	}
	return false;
}

static void write_rows(struct api_request *r, struct db_conn *c, struct feed *f)
{
	STMT_AUTO struct stmt *s = rows(c, r, f->after);
	int written = 0;

	f->next = f->after;
	for (int i = 0; db_next(s); i++) {
		if (written == f->limit || i == SCAN_MAX || r->answer->body->len > BYTES_MAX) {
			f->more = true;
			return;
		}
		if (is_wanted(f, db_text(s, 1))) {
			write_row(r, s);
			written++;
		}
		f->next = db_int(s, 0);
	}
}

static enum rc list(struct api_request *r)
{
	struct feed f = {.after = api_query_int(r, "after", 0), .limit = (int)api_query_int(r, "limit", LIMIT_DEFAULT)};
	enum rc rc;

	read_types(r, &f);
	rc = api_issues(r);
	if (rc == RC_OK)
		rc = api_wait(r, is_there, &f);
	if (rc != RC_OK)
		return rc;
	DB_READ_AUTO struct db_conn *c = db_take(r->api->db);
	jsonw_object(r->w, NULL);
	jsonw_array(r->w, "data");
	write_rows(r, c, &f);
	jsonw_array_end(r->w);
	jsonw_int(r->w, "nextAfter", f.next);
	jsonw_text(r->w, "nextCursor", f.more ? arena_printf(r->arena, "%lld", (long long)f.next) : NULL);
	jsonw_bool(r->w, "hasMore", f.more);
	jsonw_object_end(r->w);
	return db_rc(c) == RC_OK ? RC_OK : db_fail(r->cx, c);
}

/* ---- the table -------------------------------------------------------------------------------------- */

static const struct field query[] = {
	{.name = "after", .type = FIELD_INT, .min = 0, .max = 9007199254740991, .help = "nextAfter of the answer before; 0: from the beginning."},
	{.name = "types", .type = FIELD_TEXT, .max = 2000, .help = "Separated by commas; post.* for all of an object."},
	{.name = "limit", .type = FIELD_INT, .min = 1, .max = 200, .help = "Events of one answer; 50 without it."},
	{0},
};
static const struct field event_fields[] = {
	{.name = "id", .type = FIELD_TEXT},
	{.name = "type", .type = FIELD_TEXT},
	{.name = "apiVersion", .type = FIELD_TEXT},
	{.name = "createdAt", .type = FIELD_TIME},
	{.name = "organizationId", .type = FIELD_TEXT},
	{.name = "appId", .type = FIELD_TEXT},
	{.name = "livemode", .type = FIELD_BOOL},
	{.name = "endUserId", .type = FIELD_TEXT, .flags = FIELD_NULLABLE},
	{.name = "externalUserId", .type = FIELD_TEXT, .flags = FIELD_NULLABLE},
	{.name = "sequence", .type = FIELD_INT},
	{.name = "data", .type = FIELD_OPEN, .help = "object, and previous where something changed."},
	{0},
};
static const struct field feed_fields[] = {
	{.name = "data", .type = FIELD_ARRAY, .fields = event_fields},
	{.name = "nextAfter", .type = FIELD_INT, .help = "Give it as after."},
	{.name = "nextCursor", .type = FIELD_TEXT, .flags = FIELD_NULLABLE, .help = "The same as text, while there is more."},
	{.name = "hasMore", .type = FIELD_BOOL},
	{0},
};
static const struct answer feed_answer = {"EventFeed", feed_fields};

const struct route event_routes[] = {
	{.method = "GET", .pattern = "/v1/events", .scope = "webhooks:read", .flags = ROUTE_LONG_POLL, .handle = list, .operation = "listEvents",
	 .summary = "What happened, in order", .query = query, .answer = &feed_answer},
	{0},
};
