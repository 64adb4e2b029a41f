/*
 * Signatures that other servers check: ES256 and HS256 as compact JWS, and public keys as JWK.
 *
 * The one thing to know: a key travels as text (private scalar and public point, base64url), which is a secret like
 * any other; it is stored only sealed.  Ours is the only file that knows libcrypto.
 */
#ifndef MPS_IO_SIGN_H
#define MPS_IO_SIGN_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/buf.h"
#include "core/base/rc.h"

#define SIGN_KEY_TEXT 129	/* 96 bytes as base64url, NUL */
#define SIGN_ES256 64		/* r and s, 32 bytes each */
#define SIGN_THUMBPRINT 44	/* 32 bytes as base64url, NUL */

struct sign_key { uint8_t private[32], x[32], y[32]; };		/* P-256 */
void sign_key_wipe(struct sign_key *k);
#define SIGN_KEY_AUTO __attribute__((cleanup(sign_key_wipe)))

enum rc sign_key_new(struct cx *cx, struct sign_key *ret);
void sign_key_text(const struct sign_key *k, char ret[SIGN_KEY_TEXT]);
/* From its text, or from a private key in PEM (PKCS #8 or SEC1). */
enum rc sign_key_read(struct cx *cx, const char *text, size_t n, struct sign_key *ret);

/* The public half: {"crv":"P-256","kty":"EC","x":"...","y":"..."}, in the order of RFC 7638. */
void sign_jwk(const struct sign_key *k, struct buf *out);
void sign_thumbprint(const struct sign_key *k, char ret[SIGN_THUMBPRINT]);

enum rc sign_es256(struct cx *cx, const struct sign_key *k, const void *bytes, size_t n, uint8_t ret[SIGN_ES256]);

/* Appends header.claims.signature; both are JSON texts. */
enum rc sign_jws_es256(struct cx *cx, const struct sign_key *k, const char *header, const char *claims, struct buf *out);
void sign_jws_hs256(const void *key, size_t key_n, const char *header, const char *claims, struct buf *out);

#endif
