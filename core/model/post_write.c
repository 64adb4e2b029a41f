/*
 * Making and editing posts: see post_write.h.
 *
 * The due row is the schedule: a post for now and a post for next week differ in one column of their
 * deliveries.  An edit moves that column and the content under one claim, so that nothing can fire with what
 * was there before.
 */
#include "core/model/post_write.h"

#include <stdio.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/base/text.h"
#include "core/io/vault.h"
#include "core/model/media.h"
#include "core/model/post.h"
#include "core/model/post_child.h"

#define HASH_BYTES 16	/* of SHA-256: enough to tell contents of one account apart, and half the index */

/* ---- what must not be sent twice -------------------------------------------------------------------- */

static bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

/* Runs of blanks count as one, at the ends as none. */
static void add_words(struct buf *out, const char *text)
{
	bool gap = false;

	for (const char *p = text ? text : ""; *p != '\0'; p++) {
		if (is_blank(*p)) {
			gap = out->len > 0 && out->data[out->len - 1] != '\n';
			continue;
		}
		if (gap)
			buf_addc(out, ' ');
		gap = false;
		buf_addc(out, *p);
	}
	buf_addc(out, '\n');
}

void post_hash(struct post_target *t, const char *link, const char *media)
{
	BUF_AUTO struct buf text, hex;
	uint8_t sum[32];

	buf_init(&text, 4u << 20);
	buf_init(&hex, 65);
	add_words(&text, t->target_id);
	add_words(&text, link);
	add_words(&text, media);
	add_words(&text, t->text);
	for (int i = 0; i < t->child_count; i++) {
		add_words(&text, t->children[i].kind);
		add_words(&text, t->children[i].media);
		add_words(&text, t->children[i].text);
	}
	vault_sha256(buf_text(&text), text.len, sum);
	text_hex(&hex, sum, HASH_BYTES);
	snprintf(t->hash, sizeof t->hash, "%s", buf_text(&hex));
}

/* except: the id of a post that does not count, "" for none. */
static enum rc refuse_duplicate(struct cx *cx, struct db_conn *c, struct post_new *p, const struct post_target *t, const char *except,
			       int64_t now)
{
	STMT_AUTO struct stmt *s = db_query(c,
		"SELECT id, post_id FROM delivery WHERE connection_id = ?1 AND content_hash = ?2 AND created_at > ?3 AND organization_id = ?4"
		" AND parent_delivery_id IS NULL AND state NOT IN ('failed', 'canceled', 'skipped') AND post_id <> ?5 LIMIT 1", "ssiss",
		t->connection_id, t->hash, now - POST_DUPLICATE_MS, p->owner.organization_id, except);

	if (p->allow_duplicate || !db_next(s))
		return RC_OK;
	snprintf(p->existing_id, ID_MAX, "%s", db_text_or(s, 1, ""));
	return fail_code(cx, RC_CONFLICT, "duplicate_content", t->param,
			 "The same content was given for this account within 24 hours: delivery %s of post %s.", db_text_or(s, 0, ""), p->existing_id);
}

/* ---- create ----------------------------------------------------------------------------------------- */

static enum rc refuse_taken(struct cx *cx, struct db_conn *c, struct post_new *p)
{
	STMT_AUTO struct stmt *s = db_query(c,
		"SELECT id FROM post WHERE organization_id = ?1 AND app_id = ?2 AND live = ?3 AND external_post_id = ?4", "ssis",
		p->owner.organization_id, p->owner.app_id, p->owner.live, p->external_post_id);

	if (p->external_post_id == NULL || !db_next(s))
		return RC_OK;
	snprintf(p->existing_id, ID_MAX, "%s", db_text_or(s, 0, ""));
	return fail_code(cx, RC_CONFLICT, "external_post_id_taken", "externalPostId", "This externalPostId belongs to post %s.", p->existing_id);
}

enum rc post_conflicts(struct cx *cx, struct db_conn *c, struct post_new *p, int64_t now)
{
	enum rc rc = refuse_taken(cx, c, p);

	for (int i = 0; i < p->target_count && rc == RC_OK; i++)
		rc = refuse_duplicate(cx, c, p, &p->targets[i], "", now);
	return rc;
}

/* What post_derive would find: nothing is claimed yet. */
static const char *first_status(const struct post_new *p)
{
	if (text_eq(p->mode, "draft"))
		return "draft";
	for (int i = 0; i < p->target_count; i++)
		if (p->targets[i].scheduled_at > 0)
			return "scheduled";
	return "publishing";
}

static void insert_post(struct db_conn *c, const struct post_new *p, int64_t now)
{
	db_run(c, "INSERT INTO post (id, organization_id, app_id, live, end_user_id, external_post_id, status, mode, text, body, scheduled_at,"
	       " wall_text, zone, max_late_ms, on_missed, stop_on_failure, tags, metadata, created_at, updated_at)"
	       " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?19)",
	       "sssissssssossisissi", p->id, p->owner.organization_id, p->owner.app_id, p->owner.live, p->end_user_id, p->external_post_id,
	       first_status(p), p->mode, p->text, p->body, p->scheduled_at, p->wall_text, p->zone, p->max_late_ms, p->on_missed,
	       (int64_t)p->stop_on_failure, p->tags, p->metadata, now);
}

/* Inside the transaction: what was planned with may have gone since. */
static enum rc hold_media(struct cx *cx, struct db_conn *c, const struct post_new *p)
{
	for (int i = 0; i < p->media_count; i++)
		if (!media_hold(c, &p->owner, p->media_ids[i], p->id))
			return fail_code(cx, RC_NOT_FOUND, "media_not_found", "media", "The media item %s is gone.", p->media_ids[i]);
	return RC_OK;
}

static void insert_delivery(struct db_conn *c, const struct post_new *p, int ordinal, int64_t now)
{
	const struct post_target *t = &p->targets[ordinal];
	bool draft = text_eq(p->mode, "draft");
	int64_t due = t->scheduled_at > 0 ? t->scheduled_at : now;
	char id[ID_MAX];

	id_new(id, "dlv");
	db_run(c, "INSERT INTO delivery (id, organization_id, app_id, live, post_id, ordinal, kind, connection_id, platform, provider, target_id,"
	       " text, content, content_hash, state, scheduled_at, due_at, late_after, on_missed, created_at, updated_at)"
	       " VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'post', ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?19)",
	       "sssisissssssssooisi", id, p->owner.organization_id, p->owner.app_id, p->owner.live, p->id, (int64_t)ordinal, t->connection_id,
	       t->platform, t->provider, t->target_id, t->text, t->content, t->hash, draft ? "pending" : "queued", t->scheduled_at,
	       draft ? 0 : due, due + p->max_late_ms, p->on_missed, now);
	post_child_insert(c, p, t, id, now);
}

enum rc post_create(struct cx *cx, struct db_conn *c, struct post_new *p, int64_t now)
{
	enum rc rc;

	id_new(p->id, "post");
	p->existing_id[0] = '\0';
	rc = refuse_taken(cx, c, p);
	if (rc != RC_OK)
		return rc;
	insert_post(c, p, now);
	for (int i = 0; i < p->target_count && rc == RC_OK; i++) {
		rc = refuse_duplicate(cx, c, p, &p->targets[i], "", now);
		insert_delivery(c, p, i, now);
	}
	if (rc == RC_OK)
		rc = hold_media(cx, c, p);
	if (rc != RC_OK)
		return rc;
	post_announce(c, p->id, text_eq(p->mode, "schedule") ? "post.scheduled" : "post.created", NULL, now);
	return db_rc(c) == RC_OK ? RC_OK : db_fail(cx, c);
}

/* ---- load ------------------------------------------------------------------------------------------- */

void post_row(struct stmt *s, const struct owner *o, struct post *ret)
{
	const char **texts[] = {
		&ret->id, &ret->end_user_id, &ret->external_post_id, &ret->status, &ret->mode, &ret->text, &ret->body, &ret->wall_text,
		&ret->zone, &ret->on_missed, &ret->tags, &ret->metadata, &ret->external_user_id,
	};
	int64_t *numbers[] = {
		&ret->scheduled_at, &ret->max_late_ms, &ret->stop_on_failure, &ret->content_version, &ret->created_at, &ret->updated_at,
	};
	int column = 0;

	ret->owner = *o;
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
		*texts[i] = db_text(s, column++);
	for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
		*numbers[i] = db_int(s, column++);
}

enum rc post_load(struct cx *cx, struct db_conn *c, const char *id, const struct owner *o, struct arena *a, struct post *ret)
{
	STMT_AUTO struct stmt *s = db_query(c, "SELECT " POST_COLUMNS " FROM post WHERE id = ?1 AND organization_id = ?2 AND app_id = ?3"
					    " AND live = ?4", "sssi", id, o->organization_id, o->app_id, o->live);
	const char **texts[] = {
		&ret->id, &ret->end_user_id, &ret->external_post_id, &ret->status, &ret->mode, &ret->text, &ret->body, &ret->wall_text,
		&ret->zone, &ret->on_missed, &ret->tags, &ret->metadata, &ret->external_user_id,
	};

	if (!db_next(s))
		return db_rc(c) != RC_OK ? db_fail(cx, c) : fail_code(cx, RC_NOT_FOUND, "post_not_found", NULL, "There is no such post.");
	post_row(s, o, ret);
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
		*texts[i] = arena_text(a, *texts[i]);
	return RC_OK;
}

/* ---- edit ------------------------------------------------------------------------------------------- */

static enum rc refuse_begun(struct cx *cx, struct db_conn *c, const struct post_new *p)
{
	STMT_AUTO struct stmt *s = db_query(c,
		"SELECT COUNT(*), COALESCE(SUM(CASE WHEN state IN ('pending', 'queued') AND claimed_at IS NULL THEN 1 ELSE 0 END), 0)"
		" FROM delivery WHERE post_id = ?1 AND organization_id = ?2 AND parent_delivery_id IS NULL", "ss", p->id,
		p->owner.organization_id);

	if (!db_next(s))
		return db_fail(cx, c);
	if (db_int(s, 0) == db_int(s, 1) && db_int(s, 0) == p->target_count)
		return RC_OK;
	return fail_code(cx, RC_CONFLICT, "post_not_editable", NULL, "%d of %d deliveries of this post have begun or ended.",
			 (int)(db_int(s, 0) - db_int(s, 1)), (int)db_int(s, 0));
}

/* state and claimed_at once more in the WHERE: the fence of an edit. */
static enum rc edit_delivery(struct cx *cx, struct db_conn *c, const struct post_new *p, int ordinal, int64_t now)
{
	char id[ID_MAX] = "";
	const struct post_target *t = &p->targets[ordinal];
	int64_t due = t->scheduled_at > 0 ? t->scheduled_at : now;
	STMT_AUTO struct stmt *s = db_query(c,
		"UPDATE delivery SET text = ?4, content = ?5, content_hash = ?6, scheduled_at = ?7,"
		" due_at = CASE WHEN state = 'queued' THEN ?8 ELSE NULL END, late_after = ?9, on_missed = ?10, target_id = ?11,"
		" content_version = content_version + 1, claim = claim + 1, version = version + 1, updated_at = ?12"
		" WHERE post_id = ?1 AND ordinal = ?2 AND organization_id = ?3 AND connection_id = ?13"
		" AND parent_delivery_id IS NULL AND state IN ('pending', 'queued') AND claimed_at IS NULL RETURNING id", "sissssoiissis",
		p->id, (int64_t)ordinal, p->owner.organization_id, t->text, t->content, t->hash, t->scheduled_at, due, due + p->max_late_ms,
		p->on_missed, t->target_id, now, t->connection_id);

	if (!db_next(s))
		return db_rc(c) != RC_OK ? db_fail(cx, c)
			: fail_code(cx, RC_CONFLICT, "post_not_editable", NULL, "A delivery of this post has begun.");
	snprintf(id, sizeof id, "%s", db_text_or(s, 0, ""));
	while (db_next(s))
		;
	post_child_edit(c, p, t, id, now);
	return db_rc(c) == RC_OK ? RC_OK : db_fail(cx, c);
}

/* A draft that got its time. */
static void schedule_draft(struct db_conn *c, const struct post_new *p, int64_t now)
{
	db_run(c, "UPDATE delivery SET state = 'queued', due_at = COALESCE(scheduled_at, ?3), version = version + 1, updated_at = ?3"
	       " WHERE post_id = ?1 AND organization_id = ?2 AND state = 'pending' AND parent_delivery_id IS NULL", "ssi", p->id,
	       p->owner.organization_id, now);
}

enum rc post_edit(struct cx *cx, struct db_conn *c, struct post_new *p, int64_t version, int64_t now)
{
	enum rc rc = refuse_begun(cx, c, p);
	int64_t n;

	p->existing_id[0] = '\0';
	if (rc == RC_OK) {
		media_release(c, &p->owner, p->id);
		rc = hold_media(cx, c, p);
	}
	for (int i = 0; i < p->target_count && rc == RC_OK; i++) {
		rc = edit_delivery(cx, c, p, i, now);
		if (rc == RC_OK)
			rc = refuse_duplicate(cx, c, p, &p->targets[i], p->id, now);
	}
	if (rc != RC_OK)
		return rc;
	n = db_run(c, "UPDATE post SET mode = ?4, text = ?5, body = ?6, scheduled_at = ?7, wall_text = ?8, zone = ?9, max_late_ms = ?10,"
		   " on_missed = ?11, stop_on_failure = ?12, tags = ?13, metadata = ?14, content_version = content_version + 1, updated_at = ?15"
		   " WHERE id = ?1 AND organization_id = ?2 AND content_version = ?3", "ssisssossisissi",
		   p->id, p->owner.organization_id, version, p->mode, p->text, p->body, p->scheduled_at, p->wall_text, p->zone, p->max_late_ms,
		   p->on_missed, (int64_t)p->stop_on_failure, p->tags, p->metadata, now);
	if (n == 0)
		return fail_code(cx, RC_STALE, "precondition_failed", NULL, "The post was changed by somebody else meanwhile.");
	if (!text_eq(p->mode, "draft"))
		schedule_draft(c, p, now);
	post_derive_id(c, p->id, now);
	post_announce(c, p->id, "post.updated", NULL, now);
	return db_rc(c) == RC_OK ? RC_OK : db_fail(cx, c);
}
