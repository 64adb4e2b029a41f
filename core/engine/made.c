/*
 * Signatures by handle, made at the last moment: HMAC, and JWTs whose iat, exp and jti are those of this send.  A
 * request that is sent again is signed anew.
 *
 * The one thing to know: a key that cannot be had is no fault by itself.  The fault is told where the handle is used,
 * with the words that were kept here.
 */
#include "core/engine/op.h"

#include <stdio.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/text.h"
#include "core/engine/hostwire.h"
#include "core/io/sign.h"

#define TEXT_MAX (256u * 1024u)

static void blame(struct op *op, const char *words)
{
	if (op->made_fault == NULL)
		op->made_fault = words;
}

/* The grant's own key signs proofs alone (dpop.c), and ours nothing but ES256. */
static const char *value_of(struct op *op, enum made_kind kind, const char *name, size_t n, size_t *ret_n)
{
	const char *handle = arena_dup(&op->arena, name, n);
	bool mine = text_eq(handle, "dpop") || (text_eq(handle, "client.key") && kind != MADE_ES256);
	const char *value = mine ? NULL : secret_find(op, handle, ret_n);

	if (value == NULL)
		blame(op, arena_printf(&op->arena, "no value for %s: set the app's credentials for this platform, or connect again", handle));
	return value;
}

/* ---- HMAC -------------------------------------------------------------------------------------------- */

static void encode(const char *encoding, const uint8_t mac[32], struct buf *out)
{
	if (text_starts(encoding, "hex"))
		text_hex(out, mac, 32);
	else if (text_starts(encoding, "base64url"))
		text_base64url(out, mac, 32);
	else
		text_base64(out, mac, 32);
}

static bool make_hmac(struct op *op, const struct made *m, struct buf *out)
{
	uint8_t mac[32];
	size_t key_n, n = m->text_n;
	const char *key = value_of(op, m->kind, m->key, m->key_n, &key_n);
	const char *text = m->by_handle ? value_of(op, m->kind, m->text, m->text_n, &n) : m->text;

	if (key == NULL || text == NULL)
		return false;
	vault_hmac_sha256(key, key_n, text, n, mac);
	encode(m->encoding, mac, out);
	explicit_bzero(mac, sizeof mac);
	return true;
}

/* ---- JWT --------------------------------------------------------------------------------------------- */

/* The core's own claims stand in place of any that the provider gave. */
static bool write_claims(struct op *op, const struct made *m, struct buf *out)
{
	struct jv root, value;
	const char *key, *raw;
	char jti[ID_MAX];
	struct jsonw w;
	struct cx cx;
	size_t n;

	cx_init(&cx, "engine");
	if (json_parse(&cx, &op->arena, m->text, m->text_n, &root) != RC_OK || json_type(root) != JSON_OBJECT)
		return false;
	id_new(jti, "jti");
	jsonw_init(&w, out);
	jsonw_object(&w, "");
	for (size_t i = 0; json_member(root, i, &key, &value); i++) {
		raw = json_raw(value, &n);
		if (!text_eq(key, "iat") && !text_eq(key, "exp") && !text_eq(key, "jti"))
			jsonw_raw(&w, key, raw, n);
	}
	jsonw_int(&w, "iat", clock_now() / 1000);
	jsonw_int(&w, "exp", clock_now() / 1000 + m->seconds);
	jsonw_text(&w, "jti", jti);
	jsonw_object_end(&w);
	return buf_ok(out);
}

/* Our own key is known to the other side by its kid. */
static void write_header(struct op *op, const struct made *m, struct buf *out)
{
	bool ours = m->key_n == 10 && memcmp(m->key, "client.key", 10) == 0;
	const char *kid = ours ? bag_get(&op->secrets, "client.kid", &op->arena) : NULL;
	struct jsonw w;

	jsonw_init(&w, out);
	jsonw_object(&w, "");
	jsonw_text(&w, "typ", "JWT");
	jsonw_text(&w, "alg", m->kind == MADE_ES256 ? "ES256" : "HS256");
	if (kid != NULL)
		jsonw_text(&w, "kid", kid);
	jsonw_object_end(&w);
}

static bool sign(struct op *op, const struct made *m, const char *key, size_t key_n, const char *header, const char *claims,
		 struct buf *out)
{
	SIGN_KEY_AUTO struct sign_key k;
	struct cx cx;

	if (m->kind == MADE_HS256) {
		sign_jws_hs256(key, key_n, header, claims, out);
		return true;
	}
	cx_init(&cx, "engine");
	if (sign_key_read(&cx, key, key_n, &k) == RC_OK && sign_jws_es256(&cx, &k, header, claims, out) == RC_OK)
		return true;
	blame(op, arena_printf(&op->arena, "%.*s cannot sign ES256: %s", (int)m->key_n, m->key, cx.words));
	return false;
}

static bool make_jwt(struct op *op, const struct made *m, struct buf *out)
{
	BUF_AUTO struct buf header, claims;
	size_t key_n;
	const char *key = value_of(op, m->kind, m->key, m->key_n, &key_n);

	buf_init(&header, 1024);
	buf_init(&claims, TEXT_MAX);
	if (key == NULL || !write_claims(op, m, &claims))
		return false;
	write_header(op, m, &header);
	return sign(op, m, key, key_n, buf_text(&header), buf_text(&claims), out);
}

/* ---- the record -------------------------------------------------------------------------------------- */

void made_put(struct op *op, const struct rec *r)
{
	struct buf value;
	struct made m;
	bool ok;

	buf_init(&value, TEXT_MAX);
	if (!made_read(r->value, r->value_len, &m))
		ok = false;
	else if (m.kind == MADE_HMAC)
		ok = make_hmac(op, &m, &value);
	else
		ok = make_jwt(op, &m, &value);
	if (ok && buf_ok(&value))
		bag_put_bytes(&op->made, REC_STATE, arena_dup(&op->arena, r->key, r->key_len), value.data, value.len);
	buf_wipe(&value);
}

void made_clear(struct op *op)
{
	buf_wipe(&op->made);
	op->made_fault = NULL;
}
