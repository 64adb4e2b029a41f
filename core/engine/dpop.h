/*
 * DPoP (RFC 9449): proofs by a grant's own key, and the nonces that servers hand out.
 *
 * Nonces live in memory only, in a table of fixed size: one that was pushed out costs one repeated request.
 */
#ifndef MPS_ENGINE_DPOP_H
#define MPS_ENGINE_DPOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/buf.h"

struct op;

#define DPOP_NONCE_MAX 257
#define DPOP_NONCES 1024

/* By thumbprint of the key and origin of the server.  "" if none is known. */
struct dpop_nonces;
struct dpop_nonces *dpop_nonces_new(void);
void dpop_nonces_drop(struct dpop_nonces *n);
const char *dpop_nonce_get(const struct dpop_nonces *n, const char *key, const char *origin);
void dpop_nonce_put(struct dpop_nonces *n, const char *key, const char *origin, const char *nonce);	/* a malformed one is nothing */

/*
 * Appends "DPoP: proof" and its NUL for a request whose URL is the one that the server knows as its own: before the
 * ini puts another server in its place.  headers are the request's other lines, in which Authorization: DPoP is looked
 * for.  NULL, or why not.
 */
const char *dpop_header(struct op *op, const char *method, const char *url, const struct buf *headers, struct buf *out);

/* After every answer to such a request: keeps its nonce.  True if the server asks for the same request with it. */
bool dpop_answered(struct op *op);

#endif
