/*
 * Our own signing keys: one ES256 key per platform whose authorization servers know us by a metadata address.  It is
 * made when it is first needed and stays, because tokens that were issued to it end with it.
 */
#ifndef MPS_MODEL_CLIENT_KEY_H
#define MPS_MODEL_CLIENT_KEY_H

#include <stdbool.h>
#include <stdint.h>

#include "core/io/db.h"
#include "core/io/vault.h"

struct client_key { const char *kid, *jwk; };		/* jwk: the public half, as JSON */

bool client_key_find(struct db_conn *c, const char *platform, struct arena *a, struct client_key *ret);

/* Makes it if there is none; inside a closure. */
enum rc client_key_need(struct cx *cx, struct db_conn *c, struct vault *v, const char *platform, int64_t now);

/* client.key and client.kid into a bag that the caller wipes; RC_NOT_FOUND without one. */
enum rc client_key_secrets(struct cx *cx, struct db_conn *c, struct vault *v, const char *platform, struct buf *bag);

#endif
