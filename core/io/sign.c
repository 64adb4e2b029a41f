/*
 * Signatures through libcrypto: see sign.h.
 *
 * ECDSA comes out of the library as DER; JWS wants both numbers side by side, each padded to 32 bytes.
 */
#include "core/io/sign.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <string.h>

#include "core/base/text.h"
#include "core/io/vault.h"

#define PART 32

void sign_key_wipe(struct sign_key *k)
{
	explicit_bzero(k, sizeof *k);
}

static enum rc refuse(struct cx *cx, const char *what)
{
	unsigned long code = ERR_get_error();

	ERR_clear_error();
	return fail(cx, RC_INVALID, "%s: %s", what, code != 0 ? ERR_reason_error_string(code) : "libcrypto gave no reason");
}

/* ---- keys -------------------------------------------------------------------------------------------- */

static bool number_of(const EVP_PKEY *pkey, const char *name, uint8_t out[PART])
{
	BIGNUM *n = NULL;
	bool ok = EVP_PKEY_get_bn_param(pkey, name, &n) == 1 && BN_bn2binpad(n, out, PART) == PART;

	BN_clear_free(n);
	return ok;
}

static bool is_p256(const EVP_PKEY *pkey)
{
	char group[32] = "";

	return EVP_PKEY_get_utf8_string_param(pkey, OSSL_PKEY_PARAM_GROUP_NAME, group, sizeof group, NULL) == 1 &&
	       (text_eq(group, "prime256v1") || text_eq(group, "P-256"));
}

static bool take(const EVP_PKEY *pkey, struct sign_key *ret)
{
	return is_p256(pkey) && number_of(pkey, OSSL_PKEY_PARAM_PRIV_KEY, ret->private) &&
	       number_of(pkey, OSSL_PKEY_PARAM_EC_PUB_X, ret->x) && number_of(pkey, OSSL_PKEY_PARAM_EC_PUB_Y, ret->y);
}

enum rc sign_key_new(struct cx *cx, struct sign_key *ret)
{
	EVP_PKEY *pkey = EVP_EC_gen("P-256");
	bool ok = pkey != NULL && take(pkey, ret);

	EVP_PKEY_free(pkey);
	return ok ? RC_OK : refuse(cx, "a P-256 key cannot be made");
}

void sign_key_text(const struct sign_key *k, char ret[SIGN_KEY_TEXT])
{
	uint8_t bytes[3 * PART];
	struct buf text;

	memcpy(bytes, k->private, PART);
	memcpy(bytes + PART, k->x, PART);
	memcpy(bytes + 2 * PART, k->y, PART);
	buf_init(&text, 256);
	text_base64url(&text, bytes, sizeof bytes);
	memcpy(ret, buf_text(&text), SIGN_KEY_TEXT);
	buf_wipe(&text);
	explicit_bzero(bytes, sizeof bytes);
}

static enum rc read_pem(struct cx *cx, const char *text, size_t n, struct sign_key *ret)
{
	static const char none[] = "";
	BIO *in = n < 65536 ? BIO_new_mem_buf(text, (int)n) : NULL;
	/* an empty passphrase: without one the library would ask the terminal */
	EVP_PKEY *pkey = in ? PEM_read_bio_PrivateKey(in, NULL, NULL, (void *)(uintptr_t)none) : NULL;
	bool ok = pkey != NULL && take(pkey, ret);

	EVP_PKEY_free(pkey);
	BIO_free(in);
	return ok ? RC_OK : refuse(cx, "the key is no P-256 private key in PEM");
}

enum rc sign_key_read(struct cx *cx, const char *text, size_t n, struct sign_key *ret)
{
	struct buf bytes;
	bool ok;

	if (n != SIGN_KEY_TEXT - 1)
		return read_pem(cx, text, n, ret);
	buf_init(&bytes, 256);
	ok = text_unbase64url(&bytes, text, n) && bytes.len == 3 * PART;
	if (ok) {
		memcpy(ret->private, bytes.data, PART);
		memcpy(ret->x, bytes.data + PART, PART);
		memcpy(ret->y, bytes.data + 2 * PART, PART);
	}
	buf_wipe(&bytes);
	return ok ? RC_OK : fail(cx, RC_INVALID, "a signing key is malformed");
}

static OSSL_PARAM *params_of(const struct sign_key *k, BIGNUM *private)
{
	OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
	uint8_t point[1 + 2 * PART] = {POINT_CONVERSION_UNCOMPRESSED};
	OSSL_PARAM *params = NULL;

	memcpy(point + 1, k->x, PART);
	memcpy(point + 1 + PART, k->y, PART);
	if (build != NULL && private != NULL && OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, "P-256", 0) &&
	    OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point) &&
	    OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_PRIV_KEY, private))
		params = OSSL_PARAM_BLD_to_param(build);
	OSSL_PARAM_BLD_free(build);
	return params;
}

static EVP_PKEY *pkey_of(const struct sign_key *k)
{
	BIGNUM *private = BN_secure_new();
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
	OSSL_PARAM *params = private && BN_bin2bn(k->private, PART, private) ? params_of(k, private) : NULL;
	EVP_PKEY *pkey = NULL;

	if (ctx == NULL || params == NULL || EVP_PKEY_fromdata_init(ctx) != 1 ||
	    EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_KEYPAIR, params) != 1)
		pkey = NULL;
	OSSL_PARAM_free(params);
	EVP_PKEY_CTX_free(ctx);
	BN_clear_free(private);
	return pkey;
}

/* ---- public ------------------------------------------------------------------------------------------ */

void sign_jwk(const struct sign_key *k, struct buf *out)
{
	buf_adds(out, "{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\"");
	text_base64url(out, k->x, PART);
	buf_adds(out, "\",\"y\":\"");
	text_base64url(out, k->y, PART);
	buf_adds(out, "\"}");
}

void sign_thumbprint(const struct sign_key *k, char ret[SIGN_THUMBPRINT])
{
	BUF_AUTO struct buf jwk, text;
	uint8_t sum[32];

	buf_init(&jwk, 512);
	buf_init(&text, 128);
	sign_jwk(k, &jwk);
	vault_sha256(jwk.data, jwk.len, sum);
	text_base64url(&text, sum, sizeof sum);
	memcpy(ret, buf_text(&text), SIGN_THUMBPRINT);
}

/* ---- signing ----------------------------------------------------------------------------------------- */

static bool raw_of(const uint8_t *der, size_t n, uint8_t ret[SIGN_ES256])
{
	const unsigned char *at = der;
	ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &at, (long)n);
	bool ok = sig != NULL && BN_bn2binpad(ECDSA_SIG_get0_r(sig), ret, PART) == PART &&
		  BN_bn2binpad(ECDSA_SIG_get0_s(sig), ret + PART, PART) == PART;

	ECDSA_SIG_free(sig);
	return ok;
}

enum rc sign_es256(struct cx *cx, const struct sign_key *k, const void *bytes, size_t n, uint8_t ret[SIGN_ES256])
{
	EVP_PKEY *pkey = pkey_of(k);
	EVP_MD_CTX *ctx = pkey ? EVP_MD_CTX_new() : NULL;
	uint8_t der[128];
	size_t len = sizeof der;
	bool ok = ctx != NULL && EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, pkey) == 1 &&
		  EVP_DigestSign(ctx, der, &len, bytes, n) == 1 && raw_of(der, len, ret);

	EVP_MD_CTX_free(ctx);
	EVP_PKEY_free(pkey);
	return ok ? RC_OK : refuse(cx, "a text cannot be signed");
}

static void signing_input(const char *header, const char *claims, struct buf *out)
{
	text_base64url(out, header, strlen(header));
	buf_addc(out, '.');
	text_base64url(out, claims, strlen(claims));
}

enum rc sign_jws_es256(struct cx *cx, const struct sign_key *k, const char *header, const char *claims, struct buf *out)
{
	uint8_t raw[SIGN_ES256];
	size_t from = out->len;
	enum rc rc;

	signing_input(header, claims, out);
	rc = sign_es256(cx, k, out->data + from, out->len - from, raw);
	if (rc != RC_OK)
		return rc;
	buf_addc(out, '.');
	text_base64url(out, raw, sizeof raw);
	return RC_OK;
}

void sign_jws_hs256(const void *key, size_t key_n, const char *header, const char *claims, struct buf *out)
{
	uint8_t mac[32];
	size_t from = out->len;

	signing_input(header, claims, out);
	vault_hmac_sha256(key, key_n, out->data + from, out->len - from, mac);
	buf_addc(out, '.');
	text_base64url(out, mac, sizeof mac);
	explicit_bzero(mac, sizeof mac);
}
