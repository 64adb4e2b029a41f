/*
 * Wrapped data keys and their owners: the installation (both owners NULL), an organization, an end user.
 * A sealed value lies in one column of one row; its place is part of what is authenticated.
 */
#ifndef MPS_MODEL_DATA_KEY_H
#define MPS_MODEL_DATA_KEY_H

#include "core/io/db.h"
#include "core/io/vault.h"

/* In the same transaction as the owner.  NULL owners as above. */
enum rc data_key_create(struct cx *cx, struct db_conn *c, struct vault *v, const char *organization_id, const char *end_user_id);

struct data_key { char id[32]; struct vault_key *key; };
enum rc data_key_open(struct cx *cx, struct db_conn *c, struct vault *v, const char *organization_id, const char *end_user_id,
		      struct data_key *ret);
void data_key_close(struct data_key *k);	/* safe on a zeroed one */
#define DATA_KEY_AUTO __attribute__((cleanup(data_key_close)))

/* One round of wrapping anew, by the newest master key, what another one wraps: the next data keys behind `after`, which
 * moves on; "" begins.  Repeatable.  A key that does not open stays as it is and is counted in failed, with a line in the log. */
struct data_key_round { char after[32]; int found, failed; };
enum rc data_key_rewrap(struct cx *cx, struct db_conn *c, struct vault *v, const char *after, struct data_key_round *ret);

/* table.column of row id. */
enum rc data_key_seal(struct cx *cx, const struct data_key *k, const char *organization_id, const char *table, const char *column,
		      const char *row, const void *plain, size_t n, struct buf *ret);
enum rc data_key_unseal(struct cx *cx, const struct data_key *k, const char *organization_id, const char *table, const char *column,
			const char *row, const void *sealed, size_t n, struct buf *ret);

#endif
