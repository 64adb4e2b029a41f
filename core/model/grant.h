/*
 * Grants: one authorization, its tokens sealed in one bag by the end user's data key.
 *
 * The bag's keys: access, refresh, code, code_verifier, dpop, field.NAME, targets.N.  A new token pair is stored
 * before its first use, under the token version that was read (compare and swap).
 */
#ifndef MPS_MODEL_GRANT_H
#define MPS_MODEL_GRANT_H

#include <stdbool.h>
#include <stdint.h>

#include "core/io/db.h"
#include "core/io/vault.h"
#include "core/model/bag.h"
#include "core/model/event.h"

struct grant {
	struct owner owner;
	const char *id, *end_user_id, *platform, *provider, *credential_id, *account_host, *scopes, *asked, *status, *refresh_operation_id,
		*instance_id, *facts;	/* asked: scopes; instance_id: the app registered at the account's instance; facts: JSON */
	int64_t expires_at, refreshable, token_version, refresh_at, refresh_failures, refreshed_at, denied_at, created_at;
};

bool grant_load(struct db_conn *c, const char *id, struct arena *a, struct grant *ret);

/* The secrets in clear, into an initialised buffer that the caller wipes. */
enum rc grant_secrets(struct cx *cx, struct db_conn *c, struct vault *v, const struct grant *g, struct buf *ret_bag);
/* Seals and stores the bag; nothing else changes. */
enum rc grant_secrets_save(struct cx *cx, struct db_conn *c, struct vault *v, const struct grant *g, const struct buf *bag);

/* A new grant for a connect session, with what it holds before any token (code_verifier, fields). */
enum rc grant_create(struct cx *cx, struct db_conn *c, struct vault *v, struct grant *g, char id[32], const struct buf *bag, int64_t now);

struct grant_tokens {
	int64_t expires_at;		/* 0: none known */
	bool refreshable;
	const char *scopes, *account_host;	/* NULL keeps */
};
/* The answer of exchange or refresh: seals the bag, advances the token version, plans the proactive refresh
 * (80 % of the lifetime or 15 minutes before the end, with jitter).  RC_STALE if the version moved. */
enum rc grant_tokens_save(struct cx *cx, struct db_conn *c, struct vault *v, const struct grant *g, const struct buf *bag,
			  const struct grant_tokens *t, int64_t now);

bool grant_closed(struct db_conn *c, const struct grant *g);	/* now: nothing may be stored with it any more */

/* The refresh lease: true if operation_id now holds it for this token version. */
bool grant_lease(struct db_conn *c, const struct grant *g, const char *operation_id, int64_t now);
void grant_lease_end(struct db_conn *c, const char *grant_id, const char *operation_id, bool failed, int64_t retry_at, int64_t now);

/* The platform says now that it grants these: kept with every connection, told where it is a change. */
void grant_scopes(struct db_conn *c, const struct grant *g, const char *scopes, int64_t now);

/* The grant is dead: its active connections move to reauth_required or revoked, once, with one event each;
 * Their deliveries are blocked when they come due. */
void grant_dead(struct db_conn *c, const struct grant *g, bool revoked, const char *reason, int64_t now);

/* A client credential in clear into a bag that the caller wipes: client.id, client.secret. */
enum rc credential_secrets(struct cx *cx, struct db_conn *c, struct vault *v, const char *credential_id, struct buf *bag);

#endif
