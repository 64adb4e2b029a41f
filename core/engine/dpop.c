/*
 * Proofs of possession and nonces: see dpop.h.
 *
 * The one thing to know: use_dpop_nonce proves that nothing was done, so send.c repeats that request once by itself,
 * whatever its class; twice in a row is an answer like any other.
 */
#include "core/engine/dpop.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/base/clock.h"
#include "core/base/id.h"
#include "core/base/jsonw.h"
#include "core/base/rc.h"
#include "core/base/text.h"
#include "core/engine/op.h"
#include "core/io/sign.h"

#define WAYS 4
#define SETS (DPOP_NONCES / WAYS)

/* ---- nonces ------------------------------------------------------------------------------------------ */

struct nonce { uint8_t tag[16]; uint64_t used; char text[DPOP_NONCE_MAX]; };
struct dpop_nonces { uint64_t now; struct nonce all[SETS][WAYS]; };

struct dpop_nonces *dpop_nonces_new(void)
{
	struct dpop_nonces *n = calloc(1, sizeof *n);

	if (n == NULL)
		out_of_memory(__func__);
	return n;
}

void dpop_nonces_drop(struct dpop_nonces *n)
{
	free(n);
}

static int set_of(const char *key, const char *origin, uint8_t tag[16])
{
	BUF_AUTO struct buf text;
	uint8_t sum[32];

	buf_init(&text, 65536);
	buf_addf(&text, "%s %s", key, origin);
	vault_sha256(text.data, text.len, sum);
	memcpy(tag, sum, 16);
	return (sum[16] << 8 | sum[17]) % SETS;
}

const char *dpop_nonce_get(const struct dpop_nonces *n, const char *key, const char *origin)
{
	uint8_t tag[16];
	int set = set_of(key, origin, tag);

	for (int i = 0; i < WAYS; i++)
		if (n->all[set][i].used > 0 && memcmp(n->all[set][i].tag, tag, sizeof tag) == 0)
			return n->all[set][i].text;
	return "";
}

static bool nonce_ok(const char *nonce)
{
	size_t n = 0;

	for (; nonce[n] != '\0'; n++)
		if (nonce[n] <= ' ' || nonce[n] >= 0x7f || nonce[n] == '"' || nonce[n] == '\\')
			return false;
	return n > 0 && n < DPOP_NONCE_MAX;
}

/* The same one, a free place, or the one that was written longest ago. */
void dpop_nonce_put(struct dpop_nonces *n, const char *key, const char *origin, const char *nonce)
{
	uint8_t tag[16];
	int set = set_of(key, origin, tag), at = 0;

	if (!nonce_ok(nonce))
		return;
	for (int i = 0; i < WAYS; i++) {
		if (n->all[set][i].used > 0 && memcmp(n->all[set][i].tag, tag, sizeof tag) == 0) {
			at = i;
			break;
		}
		if (n->all[set][i].used < n->all[set][at].used)
			at = i;
	}
	memcpy(n->all[set][at].tag, tag, sizeof tag);
	n->all[set][at].used = ++n->now;
	snprintf(n->all[set][at].text, DPOP_NONCE_MAX, "%s", nonce);
}

/* ---- proofs ------------------------------------------------------------------------------------------ */

static const char *origin_of(struct op *op, const char *url)
{
	const char *host = strstr(url, "://");

	return host == NULL ? "" : arena_dup(&op->arena, url, (size_t)(host + 3 - url) + strcspn(host + 3, "/?#"));
}

static bool key_of(struct op *op, struct sign_key *ret)
{
	size_t n;
	const char *text = bag_find(&op->secrets, "dpop", &n);
	struct cx cx;

	cx_init(&cx, "engine");
	return text != NULL && sign_key_read(&cx, text, n, ret) == RC_OK;
}

/* The token behind Authorization: DPoP in header lines that each end with NUL. */
static const char *token_of(const struct buf *headers)
{
	static const char start[] = "Authorization: DPoP ";
	size_t at = 0;

	while (at < headers->len) {
		if (strncmp(headers->data + at, start, sizeof start - 1) == 0)
			return headers->data + at + sizeof start - 1;
		at += strlen(headers->data + at) + 1;
	}
	return NULL;
}

static void write_hash(struct jsonw *w, const char *token)
{
	BUF_AUTO struct buf text;
	uint8_t sum[32];

	buf_init(&text, 64);
	vault_sha256(token, strlen(token), sum);
	text_base64url(&text, sum, sizeof sum);
	jsonw_text(w, "ath", buf_text(&text));
}

static void write_claims(struct op *op, const char *method, const char *url, const char *token, const char *nonce, struct buf *out)
{
	uint8_t random[16];
	BUF_AUTO struct buf jti;
	struct jsonw w;

	id_random(random, sizeof random);
	buf_init(&jti, 64);
	text_base64url(&jti, random, sizeof random);
	jsonw_init(&w, out);
	jsonw_object(&w, "");
	jsonw_text(&w, "jti", buf_text(&jti));
	jsonw_text(&w, "htm", method);
	jsonw_text(&w, "htu", arena_dup(&op->arena, url, strcspn(url, "?#")));
	jsonw_int(&w, "iat", clock_now() / 1000);
	if (nonce[0] != '\0')
		jsonw_text(&w, "nonce", nonce);
	if (token != NULL)
		write_hash(&w, token);
	jsonw_object_end(&w);
}

const char *dpop_header(struct op *op, const char *method, const char *url, const struct buf *headers, struct buf *out)
{
	BUF_AUTO struct buf header = {0}, claims = {0};
	SIGN_KEY_AUTO struct sign_key k;
	char print[SIGN_THUMBPRINT];
	struct cx cx;

	if (!key_of(op, &k))
		return "the authorization has no DPoP key: the descriptor declares none, or the account must be connected again";
	cx_init(&cx, "engine");
	buf_init(&header, 1024);
	buf_init(&claims, 65536);
	buf_adds(&header, "{\"typ\":\"dpop+jwt\",\"alg\":\"ES256\",\"jwk\":");
	sign_jwk(&k, &header);
	buf_addc(&header, '}');
	sign_thumbprint(&k, print);
	write_claims(op, method, url, token_of(headers), dpop_nonce_get(op->e->nonces, print, origin_of(op, url)), &claims);
	buf_adds(out, "DPoP: ");
	if (!buf_ok(&claims) || sign_jws_es256(&cx, &k, buf_text(&header), buf_text(&claims), out) != RC_OK)
		return "the DPoP proof could not be made";
	buf_addc(out, '\0');
	return NULL;
}

/* ---- answers ----------------------------------------------------------------------------------------- */

/* The next line of the answer's headers with this name; *at is where to look on. */
static const char *line_of(struct op *op, const char *name, const char **at)
{
	size_t n = strlen(name);

	while (**at != '\0') {
		const char *line = *at;
		size_t len = strcspn(line, "\n");

		*at = line + len + (line[len] == '\n');
		if (strncmp(line, name, n) == 0 && line[n] == ':')
			return arena_dup(&op->arena, line + n + 1 + strspn(line + n + 1, " "), len - n - 1 - strspn(line + n + 1, " "));
	}
	return NULL;
}

static bool error_is_nonce(struct op *op)
{
	const char *at = buf_text(&op->headers), *line;
	struct jv root;
	struct cx cx;

	while ((line = line_of(op, "www-authenticate", &at)) != NULL)
		if (strncasecmp(line, "DPoP", 4) == 0 && strstr(line, "error=\"use_dpop_nonce\"") != NULL)
			return true;
	cx_init(&cx, NULL);
	return op->body.len > 0 && op->body.len < 65536 && op->body.data[0] == '{' &&
	       json_parse(&cx, &op->arena, op->body.data, op->body.len, &root) == RC_OK &&
	       text_eq(json_text(json_get(root, "error")), "use_dpop_nonce");
}

bool dpop_answered(struct op *op)
{
	const char *at = buf_text(&op->headers), *nonce = line_of(op, "dpop-nonce", &at);
	SIGN_KEY_AUTO struct sign_key k;
	char print[SIGN_THUMBPRINT];

	if (op->dpop_url == NULL || nonce == NULL || !nonce_ok(nonce) || !key_of(op, &k))
		return false;
	sign_thumbprint(&k, print);
	dpop_nonce_put(op->e->nonces, print, origin_of(op, op->dpop_url), nonce);
	return (op->status == 400 || op->status == 401) && error_is_nonce(op);
}
