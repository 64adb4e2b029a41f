/*
 * Secrets: envelope encryption with libsodium.
 *
 * Master keys (files) wrap data keys; data keys seal values with XChaCha20-Poly1305 and associated data
 * (table, row, column, organization, data key), so a ciphertext moved elsewhere does not open.  The vault
 * knows keys, not tables: model/data_key stores the wrapped keys.
 */
#ifndef MPS_IO_VAULT_H
#define MPS_IO_VAULT_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/buf.h"
#include "core/base/rc.h"

#define VAULT_KEY_ID_MAX 17	/* 16 hex characters of BLAKE2b(key), and NUL */
#define VAULT_WRAPPED 72	/* nonce 24 + key 32 + tag 16 */

struct vault;
struct vault_key;		/* an unwrapped data key, in locked memory */

struct vault_place { const char *table, *row, *column, *organization, *data_key; };

/* The file holds 64 hex characters, mode 0400 or 0600, owned by us (or is a systemd credential).  With create,
 * a missing one is made (0400).  Files named KEY_FILE.old-* beside it are loaded too, for unwrapping only. */
enum rc vault_open(struct cx *cx, const char *key_file, int create, struct vault **ret);
void vault_close(struct vault *v);
const char *vault_master_id(const struct vault *v);	/* of the newest master key */

/* A new data key: wrapped for storing. */
enum rc vault_key_new(struct cx *cx, struct vault *v, uint8_t wrapped[VAULT_WRAPPED], struct vault_key **ret);
/* Names master_id in the words if no loaded master key has it. */
enum rc vault_key_open(struct cx *cx, struct vault *v, const char *master_id, const uint8_t *wrapped, size_t n,
		       struct vault_key **ret);
/* Wraps an open key anew, by the newest master key. */
enum rc vault_key_wrap(struct cx *cx, const struct vault *v, const struct vault_key *k, uint8_t wrapped[VAULT_WRAPPED]);
void vault_key_drop(struct vault_key *k);
void vault_key_drop_auto(struct vault_key **k);
#define VAULT_KEY_AUTO __attribute__((cleanup(vault_key_drop_auto)))

/* Both append to the buffer; a fault adds nothing.  RC_CORRUPT: changed, or sealed for another place or key. */
enum rc vault_seal(struct cx *cx, const struct vault_key *k, const struct vault_place *at, const void *plain, size_t n, struct buf *ret);
enum rc vault_unseal(struct cx *cx, const struct vault_key *k, const struct vault_place *at, const void *sealed, size_t n,
		     struct buf *ret_plain);

/*
 * Installs the installation's own data key as the root of vault_mac: called once at start, before any thread
 * that may call vault_mac.  A data key is re-wrapped but never changed when the master key rotates, so what
 * vault_mac gave stays true.  The key may be dropped afterwards; a second, different one aborts.
 */
void vault_mac_key(struct vault *v, const struct vault_key *installation);

/* Keyed BLAKE2b-256 under a subkey of that root named by purpose ("api_key", "connect_token", "cursor",
 * "publish_seed").  Before vault_mac_key it aborts with a sentence. */
void vault_mac(const struct vault *v, const char *purpose, const void *bytes, size_t n, uint8_t out[32]);
int vault_equal(const void *a, const void *b, size_t n);	/* constant time */

/* What lies outside of the store, as backups do.  A subkey of a data key, for one purpose and text. */
void vault_key_derive(const struct vault_key *k, const char *purpose, const char *text, uint8_t out[32]);
/* Keyed BLAKE2b-256 under a subkey of a master key.  RC_INVALID, naming it, if it is not loaded. */
enum rc vault_master_mac(struct cx *cx, const struct vault *v, const char *master_id, const char *purpose, const void *bytes, size_t n,
			 uint8_t out[32]);

/* API keys: "mps_live_" or "mps_test_", 8 base62 key id, 32 base62 secret, 6 base62 CRC32. */
#define VAULT_API_KEY_MAX 64
void vault_api_key_new(int live, char text[VAULT_API_KEY_MAX], char key_id[9]);
int vault_api_key_read(const char *text, int *ret_live, char key_id[9]);	/* 0: malformed or wrong checksum */

void vault_sha256(const void *bytes, size_t n, uint8_t out[32]);
void vault_hmac_sha256(const void *key, size_t key_n, const void *bytes, size_t n, uint8_t out[32]);

#endif
