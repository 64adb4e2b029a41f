/*
 * What a caller does to a post: make it, edit it, publish it now, cancel it, retry what failed.  Everything here
 * runs inside a closure of the writer; the rows it reads cannot change under it, and the engine, which may hold a
 * delivery in memory, is fenced off by the claim that every change advances.
 *
 * Faults carry the API's codes.  An object of another organization, app or mode is RC_NOT_FOUND like one that
 * never was.
 */
#ifndef MPS_MODEL_POST_WRITE_H
#define MPS_MODEL_POST_WRITE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/id.h"
#include "core/model/delivery.h"

#define POST_MAX_LATE_MS (6ll * 3600 * 1000)
#define POST_DUPLICATE_MS (24ll * 3600 * 1000)

/* What follows the post on the same account: an item of its thread, or the first comment. */
struct post_child {
	const char *kind;			/* thread | first_comment */
	const char *text, *content;
	const char *media;			/* digests, for the hash; may be NULL */
};

/* One account the post goes to, with everything resolved for it. */
struct post_target {
	const char *connection_id, *platform, *provider, *target_id;
	const char *text, *content;		/* content: JSON {"link"?, "options", "media"} */
	int64_t scheduled_at;			/* 0: as soon as possible */
	const char *param;			/* where it stands in the request, as "targets[1]"; may be NULL */
	const struct post_child *children;	/* the thread in its order, then the comment */
	int child_count;
	char hash[65];				/* post_hash: of what must not be sent twice, children included */
};

struct post_new {
	struct owner owner;
	const char *end_user_id, *external_post_id;
	const char *mode;			/* now | schedule | draft */
	const char *text, *body;		/* body: JSON, what an edit begins with */
	const char *wall_text, *zone, *on_missed, *tags, *metadata;
	int64_t scheduled_at, max_late_ms;
	bool stop_on_failure, allow_duplicate;
	struct post_target *targets;
	int target_count;
	const char *const *media_ids;		/* items it holds, each once */
	int media_count;
	char id[ID_MAX];			/* result */
	char existing_id[ID_MAX];		/* of the post in the way, after external_post_id_taken or duplicate_content */
};

/* Fills hash, when children are set: blanks that do not show make no difference, options neither.  media: digests. */
void post_hash(struct post_target *t, const char *link, const char *media);

/* What post_create would find in its way, without writing: on any connection.  Codes external_post_id_taken,
 * duplicate_content. */
enum rc post_conflicts(struct cx *cx, struct db_conn *c, struct post_new *p, int64_t now);

/* The same codes, and media_not_found if an item went meanwhile. */
enum rc post_create(struct cx *cx, struct db_conn *c, struct post_new *p, int64_t now);

/* A post as its row stands; texts in the arena. */
struct post {
	struct owner owner;
	const char *id, *end_user_id, *external_post_id, *status, *mode, *text, *body, *wall_text, *zone, *on_missed, *tags, *metadata;
	const char *external_user_id;
	int64_t scheduled_at, max_late_ms, stop_on_failure, content_version, created_at, updated_at;
};
/* The columns that post_row reads, from a table post. */
#define POST_COLUMNS "id, end_user_id, external_post_id, status, mode, text, body, wall_text, zone, on_missed, tags, metadata," \
	" (SELECT external_id FROM end_user WHERE end_user.id = post.end_user_id AND end_user.organization_id = post.organization_id)," \
	" scheduled_at, max_late_ms, stop_on_failure, content_version, created_at, updated_at"
/* Its texts live as long as the statement stands on this row. */
void post_row(struct stmt *s, const struct owner *o, struct post *ret);
enum rc post_load(struct cx *cx, struct db_conn *c, const char *id, const struct owner *o, struct arena *a, struct post *ret);

/*
 * Replaces the content of a post whose deliveries nobody has claimed.  p has one target per delivery, in their
 * order; id and owner name the post; version is the content version it was made from (RC_STALE if it moved).
 * With mode "schedule" a draft becomes scheduled.  Code post_not_editable.
 */
enum rc post_edit(struct cx *cx, struct db_conn *c, struct post_new *p, int64_t version, int64_t now);

/* ---- acts ------------------------------------------------------------------------------------------- */

struct post_act {
	const char *id;				/* of the post */
	const struct owner *owner;
	struct arena *arena;
	const char *const *delivery_ids;	/* retry: only these; NULL: all */
	int id_count;
	/* results, in the arena */
	struct post_acted { const char *delivery_id, *status; bool done; } *list;
	int count, done;
};

/* Drafts, waiting ones and missed ones: due now.  Code post_not_editable if there are none. */
enum rc post_publish(struct cx *cx, struct db_conn *c, struct post_act *act, int64_t now);
/* Whatever has no irreversible request under way.  Code post_not_cancelable if there is none. */
enum rc post_cancel(struct cx *cx, struct db_conn *c, struct post_act *act, int64_t now);
/* Only failed ones, in a new round with a new publish key.  Codes nothing_to_retry, delivery_not_found. */
enum rc post_retry(struct cx *cx, struct db_conn *c, struct post_act *act, int64_t now);

/* ---- one delivery ----------------------------------------------------------------------------------- */

/* RC_NOT_FOUND, delivery_not_found. */
enum rc delivery_find(struct cx *cx, struct db_conn *c, const char *id, const struct owner *o, struct arena *a, struct delivery *ret);

struct delivery_verdict { bool published; const char *remote_id, *remote_url; };
/* What a person saw on the platform.  Code delivery_not_unconfirmed. */
enum rc delivery_resolve(struct cx *cx, struct db_conn *c, const struct delivery *d, const struct delivery_verdict *v, int64_t now);
/* The next look is due now.  Code delivery_not_unconfirmed. */
enum rc delivery_reconcile(struct cx *cx, struct db_conn *c, const struct delivery *d, int64_t now);
/* New content for what is published.  version: of the delivery, from which it was made (RC_STALE if it moved). */
struct delivery_edit {
	const char *input;			/* JSON of the operation: {"text", "content", "hash", "mediaKept"} */
	int64_t version;
	const char *const *media_ids;		/* items that it brings along */
	int media_count;
	char operation_id[ID_MAX];		/* result */
};
/* The operation of a kind that runs on it.  False: none. */
bool delivery_running(struct db_conn *c, const struct delivery *d, const char *kind, char ret_operation_id[ID_MAX]);
/* Code post_not_editable unless it is published and there. */
enum rc delivery_editable(struct cx *cx, const struct delivery *d);
/* Starts an edit operation, or names the equal one that runs.  Codes post_not_editable, conflict,
 * connection_reauth_required, connection_not_found, media_not_found. */
enum rc delivery_edit(struct cx *cx, struct db_conn *c, const struct delivery *d, struct delivery_edit *e, int64_t now);
/* Starts a remove operation, or names the one that runs.  Code conflict. */
enum rc delivery_unpublish(struct cx *cx, struct db_conn *c, const struct delivery *d, char ret_operation_id[ID_MAX], int64_t now);

#endif
