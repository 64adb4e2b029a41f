/*
 * Secrets that do not exist yet: signatures that the core makes when the request is sent.
 *
 * The provider gets a handle at once ("made:1"); what it stands for goes with the request as a record, before the
 * records that use it.  A message or a key may be a handle made earlier in the same step, never a later one.
 */
#include "core/host/host.h"

#include <stdio.h>
#include <string.h>

#include "core/base/jsoncheck.h"
#include "core/base/text.h"

#define MADE_MAX 16
#define MESSAGE_MAX (64 * 1024)
#define CLAIMS_MAX (16 * 1024)
#define SECONDS_MAX 16000000		/* half a year and a bit: the longest that a platform is known to take */

static const char *const encodings[] = { "hex", "base64", "base64url", NULL };
static const char *const algorithms[] = { "ES256", "HS256", NULL };
static const char *const added[] = { "iat", "exp", "jti", NULL };

static bool one_of(const char *s, const char *const *list)
{
	for (; s && *list; list++)
		if (strcmp(*list, s) == 0)
			return true;
	return false;
}

static const char *put(struct mps_op *op, const char *value)
{
	struct handle *h = arena_new(&op->arena, struct handle);

	(void)snprintf(h->name, sizeof h->name, "made:%d", ++op->made);
	h->next = op->handles;
	op->handles = h;
	rec_text(&op->makes, REC_MADE, h->name, value);
	return h->name;
}

/* The key's handle, or NULL after a mistake. */
static const char *key_of(struct mps_op *op, const char *what, const char *key)
{
	const char *held = key ? op_handle_of(op, key) : NULL;

	if (!held)
		op_bug(op, "%s: the key is not a handle", what);
	else if (op->made >= MADE_MAX)
		op_bug(op, "%s: more than %d signatures in one step", what, MADE_MAX);
	else
		return held;
	return NULL;
}

static const char *hmac(mps_op *op, const char *key, const char *message, const char *encoding)
{
	const char *held = key_of(op, "hmac", key), *told = message ? op_handle_of(op, message) : NULL;

	if (!message || !one_of(encoding, encodings))
		op_bug(op, "hmac: the message is NULL, or the encoding \"%.20s\" is not hex, base64 or base64url", encoding ? encoding : "NULL");
	else if (!told && (strlen(message) > MESSAGE_MAX || !text_utf8(message, strlen(message))))
		op_bug(op, "hmac: the message is longer than %d bytes or not UTF-8", MESSAGE_MAX);
	else if (held)
		return put(op, arena_printf(&op->arena, "hmac %s\n%s\n%c%s", encoding, held, told ? '@' : '=', told ? told : message));
	return "";
}

static bool claims_ok(struct mps_op *op, const char *claims)
{
	struct json_fault fault;
	struct jv root;
	struct cx cx;

	cx_init(&cx, NULL);
	if (!claims || strlen(claims) > CLAIMS_MAX || json_check(claims, strlen(claims), &fault) == 0 ||
	    json_parse(&cx, &op->arena, claims, strlen(claims), &root) != RC_OK || json_type(root) != JSON_OBJECT) {
		op_bug(op, "jwt: the claims are no JSON object of at most %d bytes", CLAIMS_MAX);
		return false;
	}
	for (int i = 0; added[i]; i++)
		if (json_type(json_get(root, added[i])) != JSON_NONE) {
			op_bug(op, "jwt: the claims hold %s, which the core adds", added[i]);
			return false;
		}
	return true;
}

static const char *jwt(mps_op *op, const char *key, const char *alg, const char *claims, int32_t seconds)
{
	const char *held = key_of(op, "jwt", key);

	if (!one_of(alg, algorithms))
		op_bug(op, "jwt: \"%.20s\" is neither ES256 nor HS256", alg ? alg : "NULL");
	else if (held && strcmp(held, "client.key") == 0 && strcmp(alg, "ES256") != 0)
		op_bug(op, "jwt: client.key signs ES256");
	else if (seconds < 1 || seconds > SECONDS_MAX)
		op_bug(op, "jwt: %d seconds are not 1 to %d", seconds, SECONDS_MAX);
	else if (held && claims_ok(op, claims))
		return put(op, arena_printf(&op->arena, "jwt %s\n%s\n%d\n%s", alg, held, seconds, claims));
	return "";
}

void made_fill(struct mps_host *t)
{
	t->hmac = hmac, t->jwt = jwt;
}
