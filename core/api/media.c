/*
 * /v1/media: images and videos, sent as a raw body, read, described, removed.
 *
 * The one thing to know: a body is written to its file and hashed while it arrives, and judged by the probe when it
 * is whole; only then is there a row.  So a request that ends early leaves nothing, and an Idempotency-Key compares
 * the digest of the whole file: a repeated upload sends it again, and the second copy is thrown away.
 */
#include "core/api/media.h"

#include <string.h>
#include <strings.h>

#include "core/api/page.h"
#include "core/api/routes.h"
#include "core/base/failpoint.h"
#include "core/base/text.h"
#include "core/engine/intake.h"

#define PIECE (64 * 1024)
#define DAY_MS 86400000ll

/* ---- reading --------------------------------------------------------------------------------------------- */

static enum rc not_found(struct cx *cx, struct db_conn *c)
{
	return db_rc(c) != RC_OK ? db_fail(cx, c) : fail_code(cx, RC_NOT_FOUND, "media_not_found", NULL, "There is no such media item.");
}

static enum rc list(struct api_request *r)
{
	DB_READ_AUTO struct db_conn *c = db_take(r->api->db);
	struct media m;
	struct stmt *s;
	struct page p;
	enum rc rc = page_read(r, &p);

	if (rc != RC_OK)
		return rc;
	s = media_list(c, &r->identity.owner, p.after, p.limit + 1);
	page_begin(r);
	while (page_more(&p) && db_next(s)) {
		media_row(s, r->arena, &m);
		page_row(&p, m.id);
		media_show(r, &m);
	}
	page_end(r, &p, !page_more(&p) && db_next(s));
	db_end(s);
	return db_rc(c) == RC_OK ? RC_OK : db_fail(r->cx, c);
}

static enum rc answer_by_id(struct cx *cx, struct db_conn *c, struct api_request *r)
{
	struct media m;

	if (!media_find(c, &r->identity.owner, api_param(r, "id"), r->arena, &m))
		return not_found(cx, c);
	media_show(r, &m);
	return RC_OK;
}

static enum rc read(struct api_request *r)
{
	DB_READ_AUTO struct db_conn *c = db_take(r->api->db);

	return answer_by_id(r->cx, c, r);
}

/* ---- changing -------------------------------------------------------------------------------------------- */

static enum rc patch_write(struct cx *cx, struct db_conn *c, struct api_request *r, void *arg)
{
	const char *alt = field_text(r, "altText");

	(void)arg;
	if (field_has(r, "altText"))
		media_describe(c, &r->identity.owner, api_param(r, "id"), alt != NULL && alt[0] != '\0' ? alt : NULL, r->now);
	return answer_by_id(cx, c, r);
}

static enum rc patch(struct api_request *r)
{
	return api_write(r, patch_write, NULL);
}

static enum rc remove_write(struct cx *cx, struct db_conn *c, struct api_request *r, void *arg)
{
	const char **file = arg;
	enum rc rc = media_remove(cx, c, &r->identity.owner, api_param(r, "id"), r->arena, file);

	if (rc != RC_OK)
		return rc;
	jsonw_object(r->w, NULL);
	jsonw_text(r->w, "id", api_param(r, "id"));
	jsonw_bool(r->w, "deleted", true);
	jsonw_object_end(r->w);
	return RC_OK;
}

static enum rc remove_(struct api_request *r)
{
	const char *file = NULL;
	enum rc rc = api_write(r, remove_write, &file);

	failpoint("media.removed");
	if (rc == RC_OK && file != NULL && r->api->intake != NULL)
		intake_forget(r->api->intake, file);
	return rc;
}

/* ---- uploading ------------------------------------------------------------------------------------------- */

static enum rc type_refused(struct api_request *r, const char *words)
{
	r->more.remediation = arena_printf(r->arena, "curl -H 'Authorization: Bearer KEY' -H 'Content-Type: image/jpeg' "
		"-H 'X-Filename: photo.jpg' --data-binary @photo.jpg %s/v1/media", r->api->public_url);
	return fail_code(r->cx, RC_INVALID, "unsupported_media_type", NULL, "%s", words);
}

static enum rc type_check(struct api_request *r)
{
	const char *type = web_header_in(r->web, "Content-Type");

	if (type == NULL)
		return type_refused(r, "The body needs a Content-Type: image/..., video/... or application/octet-stream.");
	if (strncasecmp(type, "multipart/", 10) == 0)
		return type_refused(r, "Multipart is not accepted: send the file alone, as the raw body.");
	if (strncasecmp(type, "image/", 6) == 0 || strncasecmp(type, "video/", 6) == 0 || strncasecmp(type, "application/octet-stream", 24) == 0)
		return RC_OK;
	return type_refused(r, "The Content-Type must be image/..., video/... or application/octet-stream; the body is the file itself.");
}

static enum rc body_take(struct api_request *r, struct upload *u)
{
	char *piece = arena_alloc(r->arena, PIECE);
	size_t n = 0;
	enum rc rc;

	do {
		rc = web_read(r->cx, r->web, piece, PIECE, &n);
		if (rc == RC_OK && n > 0)
			rc = intake_add(r->cx, u, piece, n);
	} while (rc == RC_OK && n > 0);
	return rc;
}

static enum rc upload_write(struct cx *cx, struct db_conn *c, struct api_request *r, void *arg)
{
	const struct media *m = arg;
	enum rc rc = media_add(cx, c, m, intake_quota(r->api->intake), r->now);

	if (rc != RC_OK)
		return rc;
	r->status = 201;
	media_show(r, m);
	return db_rc(c) == RC_OK ? RC_OK : db_fail(cx, c);
}

static void describe(struct api_request *r, struct media *m)
{
	const char *alt = api_query(r, "altText");
	int64_t days = api_query_int(r, "keepDays", 0);

	m->owner = r->identity.owner;
	m->status = "ready";
	m->alt = alt != NULL && alt[0] != '\0' ? alt : NULL;
	m->filename = media_filename(r->arena, web_header_in(r->web, "X-Filename"));
	m->expires_at = r->now + (days > 0 ? days * DAY_MS : intake_keep_ms(r->api->intake));
	m->created_at = r->now;
}

/* The digest stands for the body, which nobody kept. */
static enum rc upload_commit(struct api_request *r, struct media *m)
{
	r->raw = arena_printf(r->arena, "%s\n%s", m->sha256, m->filename ? m->filename : "");
	r->raw_len = strlen(r->raw);
	failpoint("media.uploaded");
	return api_write(r, upload_write, m);
}

static enum rc upload_run(struct api_request *r)
{
	struct media m = {.id = NULL};
	struct upload *u = NULL;
	enum rc rc = intake_begin(r->cx, r->api->intake, &r->identity.owner, r->web->content_length, &u);

	if (rc == RC_OK)
		rc = body_take(r, u);
	if (rc == RC_OK)
		rc = intake_end(r->cx, u, r->arena, &m);
	if (rc != RC_OK) {
		intake_drop(u, false);
		return rc;
	}
	describe(r, &m);
	rc = upload_commit(r, &m);
	/* After a fault of the disk nobody knows whether the row is there: the sweep will. */
	intake_drop(u, rc == RC_OK ? !r->replayed : rc == RC_IO);
	return rc;
}

static enum rc upload(struct api_request *r)
{
	enum rc rc = type_check(r);

	if (rc != RC_OK)
		return rc;
	if (r->api->intake == NULL)
		return fail_code(r->cx, RC_UNAVAILABLE, "unavailable", NULL, "This server takes no media.");
	if (r->web->content_length <= 0)
		return fail_code(r->cx, RC_INVALID, "invalid_request", NULL, "The body is empty: send the file, with a Content-Length.");
	rc = upload_run(r);
	if (rc == RC_TOO_LARGE)
		r->more.type = "payload_too_large";
	return rc;
}

/* ---- the table ------------------------------------------------------------------------------------------- */

static const char *const statuses[] = {"uploading", "processing", "ready", "failed", NULL};
static const char *const types[] = {"image", "gif", "video", NULL};
static const struct field error_fields[] = {
	{.name = "code", .type = FIELD_TEXT},
	{.name = "message", .type = FIELD_TEXT},
	{0},
};
static const struct field answer_fields[] = {
	{.name = "id", .type = FIELD_TEXT},
	{.name = "status", .type = FIELD_ENUM, .words = statuses, .help = "Posts take what is ready."},
	{.name = "type", .type = FIELD_ENUM, .flags = FIELD_NULLABLE, .words = types,
		.help = "gif: a moving picture without sound, also as WebP."},
	{.name = "mimeSniffed", .type = FIELD_TEXT, .flags = FIELD_NULLABLE, .help = "By its bytes, whatever Content-Type said."},
	{.name = "bytes", .type = FIELD_INT},
	{.name = "sha256", .type = FIELD_TEXT, .flags = FIELD_NULLABLE},
	{.name = "width", .type = FIELD_INT, .flags = FIELD_NULLABLE, .help = "As it is seen: turned where the file says so."},
	{.name = "height", .type = FIELD_INT, .flags = FIELD_NULLABLE},
	{.name = "durationMs", .type = FIELD_INT, .flags = FIELD_NULLABLE},
	{.name = "codec", .type = FIELD_TEXT, .flags = FIELD_NULLABLE, .help = "jpeg, png, apng, gif, webp, h264, hevc, vp9, av1 ..."},
	{.name = "altText", .type = FIELD_TEXT, .flags = FIELD_NULLABLE},
	{.name = "filename", .type = FIELD_TEXT, .flags = FIELD_NULLABLE, .help = "As it was sent, made harmless."},
	{.name = "error", .type = FIELD_OBJECT, .flags = FIELD_NULLABLE, .fields = error_fields, .help = "Why it failed."},
	{.name = "fitness", .type = FIELD_OPEN,
		.help = "Per platform: {ok, issues: [{code, rule, message}]}, for the item alone; empty until it is ready."},
	{.name = "expiresAt", .type = FIELD_TIME, .help = "It may go then, unless a post that may still be sent holds it."},
	{.name = "createdAt", .type = FIELD_TIME},
	{0},
};
static const struct answer answer = {"Media", answer_fields};
static const struct field removed_fields[] = {{.name = "id", .type = FIELD_TEXT}, {.name = "deleted", .type = FIELD_BOOL}, {0}};
static const struct answer removed_answer = {"RemovedMedia", removed_fields};
static const struct field upload_query[] = {
	{.name = "altText", .type = FIELD_TEXT, .max = 5000, .help = "Description for people who cannot see it."},
	{.name = "keepDays", .type = FIELD_INT, .min = 1, .max = 365, .help = "Days until it may go; the server's [media] keep_days without it."},
	{.name = "X-Filename", .type = FIELD_TEXT, .flags = FIELD_HEADER, .max = 1000,
		.help = "The file's name, in UTF-8 or percent-encoded; RFC 5987's form is taken, too."},
	{0},
};
static const struct field patch_fields[] = {
	{.name = "altText", .type = FIELD_TEXT, .flags = FIELD_NULLABLE, .max = 5000, .help = "Description for people who cannot see it."},
	{0},
};
static const struct field url_fields[] = {
	{.name = "url", .type = FIELD_TEXT, .flags = FIELD_REQUIRED, .min = 1, .max = 8000,
		.help = "https, port 443, a public host, no user name; at most 3 redirects. The same address within ten minutes is the same item."},
	{.name = "altText", .type = FIELD_TEXT, .flags = FIELD_NULLABLE, .max = 5000, .help = "Description for people who cannot see it."},
	{0},
};

#define READ .scope = "media:read"
#define WRITE .scope = "media:write"

const struct route media_routes[] = {
	{.method = "POST", .pattern = "/v1/media", WRITE, .flags = ROUTE_IDEMPOTENT | ROUTE_RAW, .handle = upload, .operation = "uploadMedia",
		.summary = "Send a file as the raw body, with its own Content-Type; an Idempotency-Key compares its digest and X-Filename",
		.query = upload_query, .answer = &answer, .status = 201},
	{.method = "POST", .pattern = "/v1/media/from-url", WRITE, .flags = ROUTE_IDEMPOTENT | ROUTE_LONG_POLL | ROUTE_OR_201,
		.handle = media_fetch_post,
		.operation = "fetchMedia", .summary = "Copy a file from an address; 201 when it is ready already", .fields = url_fields,
		.answer = &answer, .status = 202},
	{.method = "GET", .pattern = "/v1/media", READ, .flags = ROUTE_PAGED, .handle = list, .operation = "listMedia",
		.summary = "Media items, oldest first", .answer = &answer},
	{.method = "GET", .pattern = "/v1/media/{id}", READ, .handle = read, .operation = "getMedia", .summary = "One media item",
		.answer = &answer},
	{.method = "PATCH", .pattern = "/v1/media/{id}", WRITE, .flags = ROUTE_IDEMPOTENT, .handle = patch, .operation = "updateMedia",
		.summary = "Change its description; posts that were accepted before keep theirs", .fields = patch_fields, .answer = &answer},
	{.method = "DELETE", .pattern = "/v1/media/{id}", WRITE, .flags = ROUTE_IDEMPOTENT, .handle = remove_, .operation = "deleteMedia",
		.summary = "Remove it; 409 media_in_use while a post that may still be sent has it", .answer = &removed_answer},
	{0},
};
