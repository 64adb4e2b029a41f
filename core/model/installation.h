/*
 * The installation's own data key: made with the first start, never changed, re-wrapped when the master key
 * rotates.  Root of vault_mac, so that API keys and tokens survive a rotation.
 */
#ifndef MPS_MODEL_INSTALLATION_H
#define MPS_MODEL_INSTALLATION_H

#include "core/io/db.h"
#include "core/io/vault.h"

/* Once at start, before any thread that may call vault_mac. */
enum rc installation_open(struct cx *cx, struct db *db, struct vault *v);

#endif
