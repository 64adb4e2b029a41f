/*
 * Media items: see media.h.
 *
 * The one thing to know: who holds an item is not a state of its own.  It is held while a delivery of a post that
 * names it can still be sent, which is asked when somebody wants to let it go.
 */
#include "core/model/media.h"

#include <string.h>

#include "core/base/buf.h"
#include "core/base/text.h"

#define EVENT_MAX 65536
#define RETRY_MS "604800000"		/* a failed delivery may be tried again by its caller for 7 days */

#define COLUMNS "organization_id, app_id, live, id, status, file, filename, source_url, kind, mime, sha256, codec, alt, error," \
	" bytes, width, height, duration_ms, frame_rate_milli, expires_at, created_at, updated_at"

/* ---- reading -------------------------------------------------------------------------------------------- */

void media_row(struct stmt *s, struct arena *a, struct media *ret)
{
	*ret = (struct media){
		.owner = {db_dup(s, 0, a), db_dup(s, 1, a), db_int(s, 2)}, .id = db_dup(s, 3, a), .status = db_dup(s, 4, a),
		.file = db_dup(s, 5, a), .filename = db_dup(s, 6, a), .source_url = db_dup(s, 7, a), .kind = db_dup(s, 8, a),
		.mime = db_dup(s, 9, a), .sha256 = db_dup(s, 10, a), .codec = db_dup(s, 11, a), .alt = db_dup(s, 12, a),
		.error = db_dup(s, 13, a), .bytes = db_int(s, 14), .width = db_int(s, 15), .height = db_int(s, 16),
		.duration_ms = db_int(s, 17), .frame_rate_milli = db_int(s, 18), .expires_at = db_int(s, 19),
		.created_at = db_int(s, 20), .updated_at = db_int(s, 21),
	};
}

bool media_find(struct db_conn *c, const struct owner *o, const char *id, struct arena *a, struct media *ret)
{
	STMT_AUTO struct stmt *s = db_query(c, "SELECT " COLUMNS " FROM media WHERE id = ?1 AND organization_id = ?2 AND app_id = ?3"
		" AND live = ?4", "sssi", id, o->organization_id, o->app_id, o->live);

	if (!db_next(s))
		return false;
	media_row(s, a, ret);
	return true;
}

bool media_recent(struct db_conn *c, const struct owner *o, const char *url, int64_t since, struct arena *a, struct media *ret)
{
	STMT_AUTO struct stmt *s = db_query(c, "SELECT " COLUMNS " FROM media WHERE source_url = ?4 AND created_at >= ?5"
		" AND organization_id = ?1 AND app_id = ?2 AND live = ?3 AND status <> 'failed' ORDER BY id DESC LIMIT 1", "ssisi",
		o->organization_id, o->app_id, o->live, url, since);

	if (!db_next(s))
		return false;
	media_row(s, a, ret);
	return true;
}

struct stmt *media_list(struct db_conn *c, const struct owner *o, const char *after, int limit)
{
	return db_query(c, "SELECT " COLUMNS " FROM media WHERE organization_id = ?1 AND app_id = ?2 AND live = ?3 AND id > ?4"
			" ORDER BY id LIMIT ?5", "ssisi", o->organization_id, o->app_id, o->live, after, (int64_t)limit);
}

int64_t media_bytes(struct db_conn *c, const char *organization_id)
{
	return db_number(c, 0, "SELECT COALESCE(SUM(bytes), 0) FROM media WHERE organization_id = ?1", "s", organization_id);
}

bool media_names(struct db_conn *c, const char *file)
{
	return db_number(c, 0, "SELECT COUNT(*) FROM media WHERE id = ?1 AND status <> 'failed'", "s", file) > 0;
}

/* ---- the object ----------------------------------------------------------------------------------------- */

static void number_write(struct jsonw *w, const char *key, int64_t n)
{
	if (n > 0)
		jsonw_int(w, key, n);
	else
		jsonw_null(w, key);
}

void media_members(struct jsonw *w, const struct media *m)
{
	jsonw_text(w, "id", m->id);
	jsonw_text(w, "status", m->status);
	jsonw_text(w, "type", m->kind);
	jsonw_text(w, "mimeSniffed", m->mime);
	jsonw_int(w, "bytes", m->bytes);
	jsonw_text(w, "sha256", m->sha256);
	number_write(w, "width", m->width);
	number_write(w, "height", m->height);
	number_write(w, "durationMs", m->duration_ms);
	jsonw_text(w, "codec", m->codec);
	jsonw_text(w, "altText", m->alt);
	jsonw_text(w, "filename", m->filename);
	jsonw_raw(w, "error", m->error, m->error ? strlen(m->error) : 0);
	jsonw_time(w, "expiresAt", m->expires_at);
	jsonw_time(w, "createdAt", m->created_at);
}

void media_write(struct jsonw *w, const char *key, const struct media *m)
{
	jsonw_object(w, key);
	media_members(w, m);
	jsonw_object_end(w);
}

const char *media_error(struct arena *a, const char *code, const char *message)
{
	BUF_AUTO struct buf text;
	struct jsonw w;

	buf_init(&text, 16384);
	jsonw_init(&w, &text);
	jsonw_object(&w, NULL);
	jsonw_text(&w, "code", code);
	jsonw_text(&w, "message", message);
	jsonw_object_end(&w);
	return arena_text(a, buf_text(&text));
}

static void announce(struct db_conn *c, const struct media *m, int64_t now)
{
	BUF_AUTO struct buf data;
	struct jsonw w;

	buf_init(&data, EVENT_MAX);
	jsonw_init(&w, &data);
	jsonw_object(&w, NULL);
	media_write(&w, "object", m);
	jsonw_object_end(&w);
	jsonw_end(&w);
	event_add(c, &m->owner, text_eq(m->status, "ready") ? "media.ready" : "media.failed", NULL, buf_text(&data), now);
}

/* ---- writing -------------------------------------------------------------------------------------------- */

/* The items as they stand now, with what is being written. */
static enum rc quota_check(struct cx *cx, struct db_conn *c, const char *organization_id, int64_t quota)
{
	int64_t have = media_bytes(c, organization_id);

	if (db_rc(c) != RC_OK)
		return db_fail(cx, c);
	if (have <= quota)
		return RC_OK;
	return fail_code(cx, RC_LIMITED, "media_quota_reached", NULL, "With this the organization's media take %lld bytes; %lld are allowed.",
		(long long)have, (long long)quota);
}

enum rc media_add(struct cx *cx, struct db_conn *c, const struct media *m, int64_t quota, int64_t now)
{
	const struct owner *o = &m->owner;

	db_run(c, "INSERT INTO media (organization_id, app_id, live, id, status, file, filename, source_url, kind, mime, sha256, codec, alt,"
	       " error, bytes, width, height, duration_ms, frame_rate_milli, expires_at, created_at, updated_at)"
	       " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?21)",
	       "ssisssssssssssioooo" "ii", o->organization_id, o->app_id, o->live, m->id, m->status, m->file, m->filename, m->source_url,
	       m->kind, m->mime, m->sha256, m->codec, m->alt, m->error, m->bytes, m->width, m->height, m->duration_ms,
	       m->frame_rate_milli, m->expires_at, now);
	if (text_eq(m->status, "ready"))
		announce(c, m, now);
	return quota_check(cx, c, o->organization_id, quota);
}

enum rc media_settle(struct cx *cx, struct db_conn *c, const struct media *m, int64_t quota, int64_t now, bool *ret_settled)
{
	const struct owner *o = &m->owner;
	struct arena a ARENA_AUTO;
	struct media row;

	arena_init(&a, 1u << 20);
	*ret_settled = db_run(c,
		"UPDATE media SET status = ?3, kind = ?4, mime = ?5, sha256 = ?6, codec = ?7, error = ?8, bytes = ?9, width = ?10, height = ?11,"
		" duration_ms = ?12, frame_rate_milli = ?13, updated_at = ?14 WHERE id = ?1 AND organization_id = ?2"
		" AND status IN ('uploading', 'processing')",
		"ssssssssiooooi", m->id, o->organization_id, m->status, m->kind, m->mime, m->sha256, m->codec, m->error, m->bytes, m->width,
		m->height, m->duration_ms, m->frame_rate_milli, now) > 0;
	if (*ret_settled && media_find(c, o, m->id, &a, &row))
		announce(c, &row, now);
	return *ret_settled ? quota_check(cx, c, o->organization_id, quota) : db_rc(c) == RC_OK ? RC_OK : db_fail(cx, c);
}

void media_describe(struct db_conn *c, const struct owner *o, const char *id, const char *alt, int64_t now)
{
	db_run(c, "UPDATE media SET alt = ?5, updated_at = ?6 WHERE id = ?1 AND organization_id = ?2 AND app_id = ?3 AND live = ?4", "sssisi",
	       id, o->organization_id, o->app_id, o->live, alt, now);
}

/* ---- holding -------------------------------------------------------------------------------------------- */

bool media_hold(struct db_conn *c, const struct owner *o, const char *media_id, const char *post_id)
{
	db_run(c, "INSERT INTO media_use (media_id, post_id, organization_id) SELECT id, ?2, organization_id FROM media WHERE id = ?1"
	       " AND organization_id = ?3 AND app_id = ?4 AND live = ?5 ON CONFLICT DO NOTHING", "ssssi", media_id, post_id,
	       o->organization_id, o->app_id, o->live);
	return db_number(c, 0, "SELECT COUNT(*) FROM media_use WHERE media_id = ?1 AND post_id = ?2 AND organization_id = ?3", "sss", media_id,
			 post_id, o->organization_id) > 0;
}

void media_release(struct db_conn *c, const struct owner *o, const char *post_id)
{
	db_run(c, "DELETE FROM media_use WHERE post_id = ?1 AND organization_id = ?2", "ss", post_id, o->organization_id);
}

#define BEING_EDITED "EXISTS (SELECT 1 FROM operation o WHERE o.delivery_id = d.id AND o.status = 'running' AND o.kind <> 'publish'" \
	" AND o.kind = 'edit')"

static bool is_held(struct db_conn *c, const struct owner *o, const char *id)
{
	return db_number(c, 1, "SELECT EXISTS (SELECT 1 FROM media_use u JOIN delivery d ON d.post_id = u.post_id WHERE u.media_id = ?1"
			 " AND u.organization_id = ?2 AND (d.state NOT IN ('published', 'failed', 'canceled', 'skipped') OR " BEING_EDITED "))", "ss",
			 id, o->organization_id) > 0;
}

static void drop(struct db_conn *c, const char *id, const char *organization_id)
{
	db_run(c, "DELETE FROM media_use WHERE media_id = ?1 AND organization_id = ?2", "ss", id, organization_id);
	db_run(c, "DELETE FROM media WHERE id = ?1 AND organization_id = ?2", "ss", id, organization_id);
}

enum rc media_remove(struct cx *cx, struct db_conn *c, const struct owner *o, const char *id, struct arena *a, const char **ret_file)
{
	struct media m;

	if (!media_find(c, o, id, a, &m))
		return db_rc(c) != RC_OK ? db_fail(cx, c)
			: fail_code(cx, RC_NOT_FOUND, "media_not_found", NULL, "There is no such media item.");
	if (is_held(c, o, id))
		return fail_code(cx, RC_CONFLICT, "media_in_use", NULL, "A post that may still be sent has this media item.");
	drop(c, id, o->organization_id);
	*ret_file = m.file;
	return db_rc(c) == RC_OK ? RC_OK : db_fail(cx, c);
}

/* ---- time ----------------------------------------------------------------------------------------------- */

int media_expire(struct db_conn *c, int64_t now, struct arena *a, const char **ret_files, int max)
{
	const char **ids = arena_array(a, const char *, max), **owners = arena_array(a, const char *, max);
	int n = 0;

	{
		STMT_AUTO struct stmt *s = db_query(c,
			"SELECT id, organization_id, file FROM media m WHERE expires_at <= ?1 AND status IN ('ready', 'failed') AND NOT EXISTS"
			" (SELECT 1 FROM media_use u JOIN delivery d ON d.post_id = u.post_id WHERE u.media_id = m.id AND (d.state NOT IN"
			" ('published', 'failed', 'canceled', 'skipped') OR " BEING_EDITED " OR (d.state = 'failed' AND d.updated_at > ?1 - " RETRY_MS ")))"
			" ORDER BY expires_at LIMIT ?2", "ii", now, (int64_t)max);

		for (; db_next(s) && n < max; n++) {
			ids[n] = db_dup(s, 0, a);
			owners[n] = db_dup(s, 1, a);
			ret_files[n] = db_dup(s, 2, a);
		}
	}
	for (int i = 0; i < n; i++)
		drop(c, ids[i], owners[i]);
	return n;
}

struct stmt *media_unsettled(struct db_conn *c, int64_t before, int max)
{
	return db_query(c, "SELECT " COLUMNS " FROM media WHERE status IN ('uploading', 'processing') AND updated_at <= ?1 LIMIT ?2", "ii",
			before, (int64_t)max);
}
