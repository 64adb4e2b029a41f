/*
 * Deliveries: one post to one connected account.  The state table is here, and every change of a state goes
 * through delivery_move or one of the set moves of recovery, so that no transition outside the table exists.
 *
 * Fence: the engine's moves carry id, state, owner epoch and claim; 0 rows changed means that somebody else
 * (a cancel, an edit, an overdue sweep, another owner) was there, and the engine drops its operation.
 */
#ifndef MPS_MODEL_DELIVERY_H
#define MPS_MODEL_DELIVERY_H

#include <stdbool.h>
#include <stdint.h>

#include "core/io/db.h"
#include "core/model/event.h"

enum delivery_state {
	DELIVERY_PENDING, DELIVERY_QUEUED, DELIVERY_PROCESSING, DELIVERY_COMMITTING, DELIVERY_AWAITING_PLATFORM,
	DELIVERY_AWAITING_USER, DELIVERY_BLOCKED, DELIVERY_UNCONFIRMED, DELIVERY_PUBLISHED, DELIVERY_FAILED,
	DELIVERY_CANCELED, DELIVERY_SKIPPED, DELIVERY_STATES
};

const char *delivery_state_name(enum delivery_state s);
bool delivery_state_read(const char *name, enum delivery_state *ret);
bool delivery_may(enum delivery_state from, enum delivery_state to);	/* the table */
bool delivery_final(enum delivery_state s);

/* A row as the engine and the API read it; texts lie in the arena given to delivery_load. */
struct delivery {
	struct owner owner;
	const char *id, *post_id, *parent_id, *kind, *connection_id, *platform, *provider, *target_id;
	const char *text, *content, *reason, *remote_id, *remote_url, *result, *error, *warnings, *on_missed;
	enum delivery_state state;
	int64_t ordinal, content_version, scheduled_at, due_at, late_after, epoch, claim, round, retries, looks, absents,
		unconfirmed_at, attempt_count, claimed_at, published_at, created_at, updated_at, version;
};

/* false if there is none.  organization_id guards API reads; the engine passes NULL for its own rows. */
bool delivery_load(struct db_conn *c, const char *id, const char *organization_id, struct arena *a, struct delivery *ret);

/* One change.  Zeroed members keep their column unless said otherwise. */
struct delivery_move {
	const char *id;
	const char *post_id;		/* NULL: looked up */
	const struct owner *owner;
	enum delivery_state from, to;
	/* the fence; fence = false: the API's moves, which carry id and state only and advance claim */
	bool fence;
	int64_t epoch, claim;
	bool advance;			/* claim + 1: claims, cancels, edits, overdue moves */
	const char *reason;		/* always written */
	int64_t due_at;			/* always written; 0: none */
	int64_t deadline_at;		/* always written; 0: none */
	const char *error;		/* JSON; NULL clears on published and queued, else keeps */
	const char *remote_id, *remote_url, *proof, *result, *warnings;
	int64_t unconfirmed_at;		/* on the way to unconfirmed */
	int64_t retries, looks, absents;/* always written */
	int64_t attempts;		/* added to attempt_count */
	bool new_round;			/* a caller's retry */
};

/* Returns the number of rows changed (0: fenced off, -1: see db_rc).  Writes the delivery's event and derives
 * the post's status in the same transaction. */
int64_t delivery_move(struct db_conn *c, const struct delivery_move *m, int64_t now);

/* The event of a state that a set move reached: the delivery as it stands now. */
void delivery_announce(struct db_conn *c, const char *id, const char *type, int64_t now);

/* A remote id is proof whatever has happened since, short of a person's decision: turns queued, processing,
 * committing and unconfirmed into published. */
int64_t delivery_prove(struct db_conn *c, const struct delivery_move *m, int64_t now);

/* Turns a claimable row into processing under epoch and content version.  The post's status is derived by the
 * move that follows in the same closure, or by the caller. */
int64_t delivery_claim(struct db_conn *c, const struct delivery *d, int64_t epoch, int64_t now, int64_t deadline);

/* Both at once for what is sent in its first step: the claim and the move m from processing to committing.  The same
 * fence as delivery_claim: m's own numbers are those that follow from it. */
int64_t delivery_claim_send(struct db_conn *c, const struct delivery *d, const struct delivery_move *m, int64_t now);

/* A published delivery was removed at the platform, by our request.  False if it was told before. */
bool delivery_removed(struct db_conn *c, const char *id, const char *organization_id, int64_t now);

/* It has new content at the platform.  result, warnings: JSON, as they are from now on.  False: it was removed. */
struct delivery_content { const char *id, *organization_id, *text, *content, *hash, *remote_url, *result, *warnings; };
bool delivery_edited(struct db_conn *c, const struct delivery_content *k, int64_t now);
/* It was to have new content.  error: JSON; a warning of the delivery when nobody knows which content it has. */
void delivery_edit_failed(struct db_conn *c, const char *id, const char *organization_id, const char *error, bool unknown, int64_t now);

#define DELIVERY_PROCESSING_MS (15 * 60 * 1000)
#define DELIVERY_COMMITTING_MS (5 * 60 * 1000)
#define DELIVERY_AWAITING_MS (24 * 3600 * 1000)
#define DELIVERY_REST_MS (7ll * 24 * 3600 * 1000)
int64_t delivery_deadline(enum delivery_state s, int64_t now);	/* 0 for final states */

#endif
