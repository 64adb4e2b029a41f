/*
 * Who is calling: a bearer key becomes an identity.
 */
#ifndef MPS_API_AUTH_H
#define MPS_API_AUTH_H

#include "core/api/api.h"

/* As api_authorize_fn: codes api_key_invalid, api_key_revoked, api_key_expired. */
enum rc auth_key(struct cx *cx, struct api *api, struct arena *a, const char *key, const char *address, struct identity *ret);

#endif
