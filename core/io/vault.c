/*
 * Secrets: envelope encryption with libsodium.
 *
 * A master key (a file) wraps data keys; a data key seals values.  The newest master key is the key file
 * itself and wraps what is new; files beside it named KEYFILE.old-* only unwrap, so that a rotation can run
 * while the server serves.  Nothing that must outlive a rotation hangs on a master key: vault_mac's root
 * comes from the installation's data key (vault_mac_key).
 *
 * The one thing to know: what is bound to a ciphertext (its place) is written with length prefixes, so that
 * no two places share one text, and any move to another row, column or organization fails to open.
 */
#include "core/io/vault.h"

#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/io/keyfile.h"

#define KEY_BYTES crypto_aead_xchacha20poly1305_ietf_KEYBYTES
#define NONCE_BYTES crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define TAG_BYTES crypto_aead_xchacha20poly1305_ietf_ABYTES
#define SEALED_FORMAT 1		/* first byte of a sealed value: names the cipher and the order of the place */
#define PLACE_MAX 4096

_Static_assert(VAULT_WRAPPED == NONCE_BYTES + KEY_BYTES + TAG_BYTES, "a wrapped data key has this length in the store");

struct vault_key { uint8_t bytes[KEY_BYTES]; };

struct master { char id[VAULT_KEY_ID_MAX]; uint8_t *bytes; };
struct vault {
	struct master *masters;		/* the newest first */
	int count;
	uint8_t *mac_root;		/* NULL until vault_mac_key */
	char *key_file;
};

static void *locked(size_t n)
{
	void *p = sodium_malloc(n);
	if (p == NULL) {
		fputs("vault: no locked memory left for a key\n", stderr);
		abort();
	}
	return p;
}

/* ---- the master keys ------------------------------------------------------------------------------- */

/* A label tells what a key is used for, so that no two uses of one key meet. */
static void derive(uint8_t *out, size_t out_n, const char *label, const void *bytes, size_t n, const uint8_t key[KEY_BYTES])
{
	crypto_generichash_state state;
	crypto_generichash_init(&state, key, KEY_BYTES, out_n);
	crypto_generichash_update(&state, (const uint8_t *)label, strlen(label) + 1);
	crypto_generichash_update(&state, bytes, n);
	crypto_generichash_final(&state, out, out_n);
	sodium_memzero(&state, sizeof state);
}

static const struct master *find(const struct vault *v, const char *id)
{
	for (int i = 0; i < v->count; i++)
		if (strcmp(v->masters[i].id, id) == 0)
			return &v->masters[i];
	return NULL;
}

/* Takes one key that keyfile_load read; the same key under two names is kept once. */
static enum rc take(struct cx *cx, void *arg, const uint8_t bytes[KEYFILE_BYTES])
{
	struct vault *v = arg;
	struct master m;
	uint8_t hash[crypto_generichash_BYTES];

	derive(hash, sizeof hash, "mypostshare master key id", "", 0, bytes);
	sodium_bin2hex(m.id, sizeof m.id, hash, (VAULT_KEY_ID_MAX - 1) / 2);
	if (find(v, m.id))
		return RC_OK;
	struct master *more = realloc(v->masters, sizeof *more * (size_t)(v->count + 1));
	if (more == NULL)
		return fail(cx, RC_NOMEM, "no memory for a master key");
	v->masters = more;
	m.bytes = locked(KEY_BYTES);
	memcpy(m.bytes, bytes, KEY_BYTES);
	sodium_mprotect_readonly(m.bytes);
	v->masters[v->count++] = m;
	return RC_OK;
}

enum rc vault_open(struct cx *cx, const char *key_file, int create, struct vault **ret)
{
	if (sodium_init() < 0)
		return fail(cx, RC_BUG, "libsodium does not start");
	struct vault *v = calloc(1, sizeof *v);
	if (v == NULL || (v->key_file = strdup(key_file)) == NULL) {
		free(v);
		return fail(cx, RC_NOMEM, "no memory for the vault");
	}
	enum rc rc = keyfile_load(cx, key_file, create, take, v);
	if (rc) {
		vault_close(v);
		return rc;
	}
	*ret = v;
	return RC_OK;
}

void vault_close(struct vault *v)
{
	if (v == NULL)
		return;
	for (int i = 0; i < v->count; i++)
		sodium_free(v->masters[i].bytes);
	free(v->masters);
	sodium_free(v->mac_root);
	free(v->key_file);
	free(v);
}

const char *vault_master_id(const struct vault *v)
{
	return v->masters[0].id;
}

/* ---- associated data ------------------------------------------------------------------------------- */

/* Length, then bytes; NULL is told apart from "". */
static void field(struct buf *b, const char *text)
{
	size_t n = text ? strlen(text) : 0;
	uint32_t length = text ? (uint32_t)n : UINT32_MAX;
	uint8_t head[4] = {(uint8_t)length, (uint8_t)(length >> 8), (uint8_t)(length >> 16), (uint8_t)(length >> 24)};
	buf_add(b, head, sizeof head);
	buf_add(b, text ? text : "", n);
}

static void place_write(struct buf *b, const struct vault_place *at)
{
	buf_init(b, PLACE_MAX);
	field(b, "mypostshare value");
	field(b, at->table);
	field(b, at->row);
	field(b, at->column);
	field(b, at->organization);
	field(b, at->data_key);
}

static void wrapping_write(struct buf *b, const char *master_id)
{
	buf_init(b, PLACE_MAX);
	field(b, "mypostshare data key");
	field(b, master_id);
}

/* ---- places of open data keys ---------------------------------------------------------------------- */

/*
 * A key is open for as long as it takes to seal or open a few values, several thousand times a second.  Locked memory
 * of its own for each would be mapped, locked and unmapped each time, which stops every thread of the process; so the
 * places are kept, never what lay in them: a key is wiped when it is dropped, and opened anew by the next one.
 */
#define PLACES 64

static struct { pthread_mutex_t lock; struct vault_key *keys; uint64_t taken; } places = {.lock = PTHREAD_MUTEX_INITIALIZER};

static struct vault_key *place_take(void)
{
	struct vault_key *k = NULL;

	pthread_mutex_lock(&places.lock);
	if (places.keys == NULL)
		places.keys = locked(PLACES * sizeof *k);
	if (places.taken != UINT64_MAX) {
		int at = __builtin_ctzll(~places.taken);

		places.taken |= UINT64_C(1) << at;
		k = &places.keys[at];
	}
	pthread_mutex_unlock(&places.lock);
	return k ? k : locked(sizeof *k);
}

static void place_give(struct vault_key *k)
{
	uintptr_t first = (uintptr_t)places.keys, at = (uintptr_t)k;	/* as numbers: k may lie in a block of its own */

	if (at < first || at >= first + PLACES * sizeof *k) {
		sodium_free(k);		/* wipes */
		return;
	}
	sodium_memzero(k, sizeof *k);
	pthread_mutex_lock(&places.lock);
	places.taken &= ~(UINT64_C(1) << (at - first) / sizeof *k);
	pthread_mutex_unlock(&places.lock);
}

/* ---- data keys ------------------------------------------------------------------------------------- */

enum rc vault_key_wrap(struct cx *cx, const struct vault *v, const struct vault_key *k, uint8_t wrapped[VAULT_WRAPPED])
{
	BUF_AUTO struct buf ad;

	wrapping_write(&ad, v->masters[0].id);
	if (!buf_ok(&ad))
		return fail(cx, RC_NOMEM, "no memory for a data key");
	randombytes_buf(wrapped, NONCE_BYTES);
	crypto_aead_xchacha20poly1305_ietf_encrypt(wrapped + NONCE_BYTES, NULL, k->bytes, sizeof k->bytes,
		(const uint8_t *)ad.data, ad.len, NULL, wrapped, v->masters[0].bytes);
	return RC_OK;
}

enum rc vault_key_new(struct cx *cx, struct vault *v, uint8_t wrapped[VAULT_WRAPPED], struct vault_key **ret)
{
	struct vault_key *k = place_take();
	enum rc rc;

	randombytes_buf(k->bytes, sizeof k->bytes);
	rc = vault_key_wrap(cx, v, k, wrapped);
	if (rc != RC_OK) {
		vault_key_drop(k);
		return rc;
	}
	*ret = k;
	return RC_OK;
}

static enum rc master_unknown(struct cx *cx, const struct vault *v, const char *what, const char *wanted)
{
	BUF_AUTO struct buf loaded;
	buf_init(&loaded, 512);
	for (int i = 0; i < v->count && loaded.len < 400; i++)
		buf_addf(&loaded, "%s%s", i ? ", " : "", v->masters[i].id);
	return fail(cx, RC_INVALID, "%s needs master key %.32s, which is not loaded (loaded: %s); put its file back "
		"as %s, or beside it as %s.old-NAME", what, wanted, buf_text(&loaded), v->key_file, v->key_file);
}

enum rc vault_key_open(struct cx *cx, struct vault *v, const char *master_id, const uint8_t *wrapped, size_t n, struct vault_key **ret)
{
	const struct master *m = find(v, master_id);
	if (m == NULL)
		return master_unknown(cx, v, "a data key", master_id);
	if (n != VAULT_WRAPPED)
		return fail(cx, RC_CORRUPT, "a wrapped data key has %zu bytes instead of %d", n, VAULT_WRAPPED);

	BUF_AUTO struct buf ad;
	struct vault_key *k = place_take();
	wrapping_write(&ad, m->id);
	if (!buf_ok(&ad) || crypto_aead_xchacha20poly1305_ietf_decrypt(k->bytes, NULL, NULL, wrapped + NONCE_BYTES,
			n - NONCE_BYTES, (const uint8_t *)ad.data, ad.len, wrapped, m->bytes) != 0) {
		vault_key_drop(k);
		return fail(cx, RC_CORRUPT, "a data key does not unwrap with its master key %s: the stored bytes were changed", m->id);
	}
	*ret = k;
	return RC_OK;
}

void vault_key_drop(struct vault_key *k)
{
	if (k != NULL)
		place_give(k);
}

void vault_key_drop_auto(struct vault_key **k)
{
	vault_key_drop(*k);
}

/* ---- values ---------------------------------------------------------------------------------------- */

enum rc vault_seal(struct cx *cx, const struct vault_key *k, const struct vault_place *at, const void *plain, size_t n, struct buf *ret)
{
	BUF_AUTO struct buf ad;
	place_write(&ad, at);
	if (!buf_ok(&ad))
		return fail(cx, RC_TOO_LARGE, "the place of a secret in %s is too long", at->table);
	size_t total = 1 + NONCE_BYTES + n + TAG_BYTES;
	uint8_t *out = buf_room(ret, total);
	if (out == NULL)
		return fail(cx, RC_TOO_LARGE, "no room to seal %zu bytes for %s.%s", n, at->table, at->column);
	out[0] = SEALED_FORMAT;
	randombytes_buf(out + 1, NONCE_BYTES);
	crypto_aead_xchacha20poly1305_ietf_encrypt(out + 1 + NONCE_BYTES, NULL, plain, n,
		(const uint8_t *)ad.data, ad.len, NULL, out + 1, k->bytes);
	buf_grew(ret, total);
	return RC_OK;
}

enum rc vault_unseal(struct cx *cx, const struct vault_key *k, const struct vault_place *at, const void *sealed, size_t n,
		     struct buf *ret_plain)
{
	const uint8_t *in = sealed;
	if (n < 1 + NONCE_BYTES + TAG_BYTES || in[0] != SEALED_FORMAT)
		return fail(cx, RC_CORRUPT, "%s.%s of %s is not a sealed value", at->table, at->column, at->row);

	BUF_AUTO struct buf ad;
	place_write(&ad, at);
	size_t plain = n - 1 - NONCE_BYTES - TAG_BYTES;
	uint8_t *out = buf_ok(&ad) ? buf_room(ret_plain, plain + 1) : NULL;
	if (out == NULL)
		return fail(cx, RC_TOO_LARGE, "no room to open %zu bytes of %s.%s", plain, at->table, at->column);
	if (crypto_aead_xchacha20poly1305_ietf_decrypt(out, NULL, NULL, in + 1 + NONCE_BYTES, plain + TAG_BYTES,
			(const uint8_t *)ad.data, ad.len, in + 1, k->bytes) != 0)
		return fail(cx, RC_CORRUPT, "%s.%s of %s does not open: it was changed or belongs elsewhere", at->table, at->column, at->row);
	buf_grew(ret_plain, plain);
	return RC_OK;
}

/* ---- keyed hashes ---------------------------------------------------------------------------------- */

void vault_mac_key(struct vault *v, const struct vault_key *installation)
{
	uint8_t root[KEY_BYTES];
	derive(root, sizeof root, "mypostshare mac root", "", 0, installation->bytes);
	if (v->mac_root && sodium_memcmp(v->mac_root, root, sizeof root) != 0) {
		fputs("vault_mac_key: another installation key is already in use; every API key would stop working\n", stderr);
		abort();
	}
	if (v->mac_root == NULL) {
		v->mac_root = locked(KEY_BYTES);
		memcpy(v->mac_root, root, KEY_BYTES);
		sodium_mprotect_readonly(v->mac_root);
	}
	sodium_memzero(root, sizeof root);
}

void vault_mac(const struct vault *v, const char *purpose, const void *bytes, size_t n, uint8_t out[32])
{
	if (v->mac_root == NULL) {
		fputs("vault_mac: no installation key yet; call vault_mac_key at start\n", stderr);
		abort();
	}
	uint8_t subkey[KEY_BYTES];
	derive(subkey, sizeof subkey, "mypostshare mac", purpose, strlen(purpose), v->mac_root);
	crypto_generichash(out, 32, bytes, n, subkey, sizeof subkey);
	sodium_memzero(subkey, sizeof subkey);
}

void vault_key_derive(const struct vault_key *k, const char *purpose, const char *text, uint8_t out[32])
{
	derive(out, KEY_BYTES, purpose, text, strlen(text), k->bytes);
}

enum rc vault_master_mac(struct cx *cx, const struct vault *v, const char *master_id, const char *purpose, const void *bytes, size_t n,
			 uint8_t out[32])
{
	const struct master *m = find(v, master_id);
	uint8_t subkey[KEY_BYTES];

	if (m == NULL)
		return master_unknown(cx, v, "this backup", master_id);
	derive(subkey, sizeof subkey, "mypostshare master mac", purpose, strlen(purpose), m->bytes);
	crypto_generichash(out, 32, bytes, n, subkey, sizeof subkey);
	sodium_memzero(subkey, sizeof subkey);
	return RC_OK;
}

int vault_equal(const void *a, const void *b, size_t n)
{
	return sodium_memcmp(a, b, n) == 0;
}

void vault_sha256(const void *bytes, size_t n, uint8_t out[32])
{
	crypto_hash_sha256(out, bytes, n);
}

void vault_hmac_sha256(const void *key, size_t key_n, const void *bytes, size_t n, uint8_t out[32])
{
	crypto_auth_hmacsha256_state state;
	crypto_auth_hmacsha256_init(&state, key, key_n);
	crypto_auth_hmacsha256_update(&state, bytes, n);
	crypto_auth_hmacsha256_final(&state, out);
	sodium_memzero(&state, sizeof state);
}

/* ---- API keys -------------------------------------------------------------------------------------- */

#define PREFIX_LEN 9		/* "mps_live_", "mps_test_" */
#define KEY_ID_LEN 8
#define SECRET_LEN 32
#define CHECK_LEN 6
#define BODY_LEN (PREFIX_LEN + KEY_ID_LEN + SECRET_LEN)
#define API_KEY_LEN (BODY_LEN + CHECK_LEN)

_Static_assert(API_KEY_LEN < VAULT_API_KEY_MAX, "an API key fits its buffer");

static const char base62[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/* CRC-32 as in zlib and GitHub's tokens, so that secret scanners can check a key without asking us. */
static uint32_t crc32_of(const char *text, size_t n)
{
	uint32_t crc = UINT32_MAX;
	for (size_t i = 0; i < n; i++) {
		crc ^= (uint8_t)text[i];
		for (int bit = 0; bit < 8; bit++)
			crc = (crc >> 1) ^ (0xEDB88320u & (0u - (crc & 1u)));
	}
	return ~crc;
}

static void check_write(const char *body, char out[CHECK_LEN])
{
	uint32_t crc = crc32_of(body, BODY_LEN);
	for (int i = CHECK_LEN - 1; i >= 0; i--, crc /= 62)
		out[i] = base62[crc % 62];
}

void vault_api_key_new(int live, char text[VAULT_API_KEY_MAX], char key_id[9])
{
	memcpy(text, live ? "mps_live_" : "mps_test_", PREFIX_LEN);
	for (int i = PREFIX_LEN; i < BODY_LEN; i++)
		text[i] = base62[randombytes_uniform(62)];
	check_write(text, text + BODY_LEN);
	text[API_KEY_LEN] = '\0';
	memcpy(key_id, text + PREFIX_LEN, KEY_ID_LEN);
	key_id[KEY_ID_LEN] = '\0';
}

int vault_api_key_read(const char *text, int *ret_live, char key_id[9])
{
	char check[CHECK_LEN];

	if (strnlen(text, API_KEY_LEN + 1) != API_KEY_LEN)
		return 0;
	int live = memcmp(text, "mps_live_", PREFIX_LEN) == 0;
	if (!live && memcmp(text, "mps_test_", PREFIX_LEN) != 0)
		return 0;
	if (strspn(text + PREFIX_LEN, base62) != API_KEY_LEN - PREFIX_LEN)
		return 0;
	check_write(text, check);
	if (memcmp(check, text + BODY_LEN, CHECK_LEN) != 0)
		return 0;
	*ret_live = live;
	memcpy(key_id, text + PREFIX_LEN, KEY_ID_LEN);
	key_id[KEY_ID_LEN] = '\0';
	return 1;
}
