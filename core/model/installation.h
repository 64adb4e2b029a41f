/*
 * The installation: its open store, the vault, and the data key that is its own (made with the first start,
 * never changed, re-wrapped when the master key rotates; root of vault_mac, so that API keys and tokens
 * survive a rotation).
 */
#ifndef MPS_MODEL_INSTALLATION_H
#define MPS_MODEL_INSTALLATION_H

#include "core/io/conf.h"
#include "core/io/db.h"
#include "core/io/vault.h"

struct installation { struct db *db; struct vault *vault; };	/* zeroed: closed */

/* Refuses a user who does not own the data folder: root must not leave files behind that the server cannot open. */
enum rc installation_owner(struct cx *cx, const struct conf *conf);

/* The store alone, migrated; for the owner of the data folder only. */
enum rc installation_open_store(struct cx *cx, const struct conf *conf, struct installation *ret, int *ret_applied);

/* Everything.  On a fault ret may be half open: close it in any case. */
enum rc installation_open(struct cx *cx, const struct conf *conf, struct installation *ret);
void installation_close(struct installation *i);

#endif
