/*
 * Media by address: POST /v1/media/from-url, and what posts do with media[].url.
 *
 * The row is committed first, so that the answer can name it; the intake fetches afterwards.
 */
#include "core/api/media.h"

#include <stdio.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/text.h"
#include "core/engine/intake.h"

#define SAME_MS 600000			/* the same address asked for again so soon is the same item */
#define SLICE_MS 1000

struct fetching {
	const struct owner *owner;
	const char *url, *filename, *alt;
	struct arena *arena;
	int64_t now, expires_at, quota;
	struct media m;
	bool made;			/* now, by this write */
};

/* In the writer: the item of this address, or a new one. */
static enum rc fetching_write(struct cx *cx, struct db_conn *c, struct fetching *f)
{
	char *id;

	f->made = !media_recent(c, f->owner, f->url, f->now - SAME_MS, f->arena, &f->m);
	if (!f->made) {
		if (f->alt != NULL)
			media_describe(c, f->owner, f->m.id, f->m.alt = f->alt, f->now);
		return db_rc(c) == RC_OK ? RC_OK : db_fail(cx, c);
	}
	id = arena_alloc(f->arena, ID_MAX);
	id_new(id, "med");
	f->m = (struct media){
		.owner = *f->owner, .id = id, .file = id, .status = "uploading", .source_url = f->url, .filename = f->filename, .alt = f->alt,
		.expires_at = f->expires_at, .created_at = f->now,
	};
	return media_add(cx, c, &f->m, f->quota, f->now);
}

static enum rc fetching_init(struct api_request *r, const char *url, const char *alt, struct fetching *ret)
{
	struct intake *in = r->api->intake;
	enum rc rc;

	if (in == NULL)
		return fail_code(r->cx, RC_UNAVAILABLE, "unavailable", NULL, "This server takes no media.");
	rc = intake_check(r->cx, in, url);
	if (rc == RC_OK)
		rc = intake_room(r->cx, in, &r->identity.owner);
	*ret = (struct fetching){
		.owner = &r->identity.owner, .url = arena_text(r->arena, url), .filename = media_filename_of_url(r->arena, url),
		.alt = alt != NULL && alt[0] != '\0' ? alt : NULL, .arena = r->arena, .now = r->now,
		.expires_at = r->now + intake_keep_ms(in), .quota = intake_quota(in),
	};
	return rc;
}

/* ---- waiting --------------------------------------------------------------------------------------------- */

static bool is_settled(struct api_request *r, const char *id, struct media *ret)
{
	DB_READ_AUTO struct db_conn *c = db_take(r->api->db);

	if (!media_find(c, &r->identity.owner, id, r->arena, ret)) {
		ret->status = "failed";		/* removed meanwhile */
		return true;
	}
	return text_eq(ret->status, "ready") || text_eq(ret->status, "failed");
}

/* ret is as it stands at the end. */
static enum rc wait_for(struct api_request *r, const char *id, int64_t ms, struct media *ret)
{
	int64_t end = clock_mono() + ms;
	uint64_t seen = intake_wait(r->api->intake, UINT64_MAX, 0);
	enum rc rc = api_poll_begin(r);

	if (rc != RC_OK)
		return rc;
	while (!is_settled(r, id, ret) && !r->api->draining) {
		int64_t left = end - clock_mono();

		if (left <= 0)
			break;
		seen = intake_wait(r->api->intake, seen, (int)(left < SLICE_MS ? left : SLICE_MS));
	}
	api_poll_end(r);
	return RC_OK;
}

/* ---- POST /v1/media/from-url ------------------------------------------------------------------------------- */

static enum rc post_write(struct cx *cx, struct db_conn *c, struct api_request *r, void *arg)
{
	struct fetching *f = arg;
	enum rc rc = fetching_write(cx, c, f);

	if (rc != RC_OK)
		return rc;
	r->status = text_eq(f->m.status, "ready") ? 201 : 202;
	media_show(r, &f->m);
	return RC_OK;
}

enum rc media_fetch_post(struct api_request *r)
{
	int64_t seconds = api_query_int(r, "wait", 0);
	struct fetching f;
	struct media m;
	enum rc rc = fetching_init(r, field_text(r, "url"), field_text(r, "altText"), &f);

	if (rc == RC_OK)
		rc = api_write(r, post_write, &f);
	if (rc != RC_OK || r->replayed)
		return rc;
	if (f.made)
		intake_fetch(r->api->intake, &f.m);
	if (seconds <= 0 || r->status == 201)
		return RC_OK;
	m = f.m;
	if (wait_for(r, f.m.id, seconds * 1000, &m) != RC_OK || m.owner.organization_id == NULL) {
		r->cx->rc = RC_OK;		/* the write has happened: no fault from here on */
		return RC_OK;
	}
	buf_reset(r->answer->body);
	jsonw_init(r->w, r->answer->body);
	media_show(r, &m);
	r->status = text_eq(m.status, "ready") ? 201 : 202;
	return RC_OK;
}

/* ---- for posts --------------------------------------------------------------------------------------------- */

static enum rc fetch_write(struct cx *cx, struct db_conn *c, void *arg)
{
	return fetching_write(cx, c, arg);
}

static enum rc tell_failed(struct api_request *r, const struct media *m)
{
	struct jv error = {NULL, 0};
	const char *code, *words;

	if (m->error != NULL)
		(void)json_parse(r->cx, r->arena, m->error, strlen(m->error), &error);
	code = json_text_or(json_get(error, "code"), "media_unreachable");
	words = json_text_or(json_get(error, "message"), "The item was removed while it was fetched.");
	return fail_code(r->cx, RC_INVALID, code, NULL, "%s", words);
}

enum rc media_fetch_start(struct api_request *r, const char *url, struct media *ret)
{
	struct fetching f;
	enum rc rc = fetching_init(r, url, NULL, &f);

	if (rc == RC_OK)
		rc = db_write(r->cx, r->api->db, fetch_write, &f);
	if (rc != RC_OK)
		return rc;
	if (f.made)
		intake_fetch(r->api->intake, &f.m);
	*ret = f.m;
	return RC_OK;
}

enum rc media_fetch_wait(struct api_request *r, const struct media *started, int wait_ms, struct media *ret)
{
	struct media m = *started;
	enum rc rc = RC_OK;

	if (!text_eq(m.status, "ready"))
		rc = wait_for(r, started->id, wait_ms, &m);
	if (rc != RC_OK)
		return rc;
	if (text_eq(m.status, "failed"))
		return tell_failed(r, &m);
	if (!text_eq(m.status, "ready"))
		return fail_code(r->cx, RC_CONFLICT, "media_not_ready", NULL, "The file is still being fetched: send mediaId %s when it is ready.",
			started->id);
	*ret = m;
	return RC_OK;
}

enum rc media_fetch(struct api_request *r, const char *url, int wait_ms, struct media *ret)
{
	struct media m;
	enum rc rc = media_fetch_start(r, url, &m);

	return rc == RC_OK ? media_fetch_wait(r, &m, wait_ms, ret) : rc;
}
