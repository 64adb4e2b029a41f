/*
 * Signatures at send, without an engine: what a REC_MADE becomes, which keys it may use, that private keys are written
 * nowhere, what a DPoP proof says, and the table of nonces.
 */
#include "core/engine/op.h"

#include <sodium.h>

#include "core/base/text.h"
#include "core/engine/request.h"
#include "core/io/sign.h"
#include "tests/unit/test.h"

static struct engine engine;
static struct op op;
static char key_text[SIGN_KEY_TEXT], no_key[] = "not a key";

static void leave(void)
{
	struct buf *all[] = {&op.secrets, &op.made, &op.action, &op.headers, &op.body};

	for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
		buf_free(all[i]);
	arena_free(&op.arena);
	dpop_nonces_drop(engine.nonces);
	engine.nonces = NULL;
}

static void fresh(void)
{
	struct sign_key k;
	struct cx cx;

	CHECK(sodium_init() >= 0);
	cx_init(&cx, NULL);
	if (engine.nonces != NULL)
		leave();
	else
		atexit(leave);
	memset(&op, 0, sizeof op);
	engine.nonces = dpop_nonces_new();
	op.e = &engine;
	arena_init(&op.arena, 16u << 20);
	buf_init(&op.secrets, BAG_MAX);
	buf_init(&op.made, BAG_MAX);
	buf_init(&op.action, FRAME_OUT_MAX);
	buf_init(&op.headers, 65536);
	buf_init(&op.body, 65536);
	CHECK(sign_key_new(&cx, &k) == RC_OK);
	sign_key_text(&k, key_text);
	bag_put(&op.secrets, REC_STATE, "access", "the-token");
	bag_put(&op.secrets, REC_STATE, "client.secret", "the-secret");
	bag_put(&op.secrets, REC_STATE, "client.key", key_text);
	bag_put(&op.secrets, REC_STATE, "client.kid", "ck_1");
	bag_put(&op.secrets, REC_STATE, "dpop", key_text);
	bag_put(&op.secrets, REC_STATE, "field.broken", no_key);
}

/* A request whose URL ends with these handles; the URL as sent, or the fault. */
static const char *send_with(const char *const *makes, const char *encoding, const char *handle)
{
	struct request q;
	const char *out;
	char name[16];

	buf_reset(&op.action);
	for (int i = 0; makes != NULL && makes[i] != NULL; i++) {
		snprintf(name, sizeof name, "made:%d", i + 1);
		rec_text(&op.action, REC_MADE, name, makes[i]);
	}
	rec_text(&op.action, REC_METHOD, "POST", "once");
	rec_text(&op.action, REC_URL, "", "https://a.example/?x=");
	rec_text(&op.action, REC_URL_HANDLE, encoding, handle);
	request_build(&q, &op, &op.action);
	out = arena_text(&op.arena, q.fault ? q.fault : buf_text(&q.url) + strlen("https://a.example/?x="));
	request_free(&q);
	return out;
}

static struct jv part(const char *jws, int index)
{
	struct buf text;
	struct jv root = {NULL, 0};
	struct cx cx;
	const char *at = jws;

	for (; index > 0; index--)
		at = strchr(at, '.') + 1;
	cx_init(&cx, NULL);
	buf_init(&text, 65536);
	CHECK(text_unbase64url(&text, at, strcspn(at, ".")));
	CHECK(json_parse(&cx, &op.arena, arena_text(&op.arena, buf_text(&text)), text.len, &root) == RC_OK);
	buf_free(&text);
	return root;
}


TEST(an_hmac_is_of_text_or_of_a_handle)
{
	static const char *const text[] = {"hmac hex\nclient.secret\n=line\nline", NULL};
	static const char *const handle[] = {"hmac hex\nclient.secret\n@token.access", NULL};
	static const char *const nested[] = {"hmac hex\nclient.secret\n=a", "hmac base64\nmade:1\n@made:1", NULL};
	uint8_t mac[32];
	struct buf hex;
	const char *got, *inner;

	fresh();
	buf_init(&hex, 1024);
	vault_hmac_sha256("the-secret", 10, "line\nline", 9, mac);
	text_hex(&hex, mac, 32);
	CHECK_STR(send_with(text, "raw", "made:1"), buf_text(&hex));
	buf_reset(&hex);
	vault_hmac_sha256("the-secret", 10, "the-token", 9, mac);
	text_hex(&hex, mac, 32);
	CHECK_STR(send_with(handle, "raw", "made:1"), buf_text(&hex));
	buf_reset(&hex);
	inner = send_with(nested, "raw", "made:1");
	got = send_with(nested, "percent", "made:2");
	vault_hmac_sha256(inner, 64, inner, 64, mac);
	text_base64(&hex, mac, 32);
	{
		struct buf encoded;

		buf_init(&encoded, 1024);
		text_percent(&encoded, hex.data, hex.len);
		CHECK_STR(got, buf_text(&encoded));
		buf_free(&encoded);
	}
	CHECK_INT(op.made.len, 0);		/* nothing of it stays */
	buf_free(&hex);
}

TEST(a_jwt_is_new_at_every_send)
{
	static const char *const makes[] = {"jwt ES256\nclient.key\n60\n{\"iss\":\"me\",\"n\":{\"a\":[1]},\"exp\":5}", NULL};
	const char *one, *two;
	int64_t iat, exp;

	fresh();
	one = send_with(makes, "raw", "made:1");
	two = send_with(makes, "raw", "made:1");
	CHECK_STR(json_text(json_get(part(one, 0), "kid")), "ck_1");
	CHECK_STR(json_text(json_get(part(one, 0), "alg")), "ES256");
	CHECK_STR(json_text(json_get(part(one, 1), "iss")), "me");
	CHECK_STR(json_text(json_path(part(one, 1), "n.a.0")), "1");
	CHECK(json_int(json_get(part(one, 1), "iat"), &iat) && json_int(json_get(part(one, 1), "exp"), &exp));
	CHECK_INT(exp - iat, 60);
	CHECK(!text_eq(json_text(json_get(part(one, 1), "jti")), json_text(json_get(part(two, 1), "jti"))));
}

TEST(private_keys_are_written_nowhere)
{
	static const char *const dpop_jwt[] = {"jwt ES256\ndpop\n60\n{}", NULL};
	static const char *const key_mac[] = {"hmac hex\nclient.key\n=a", NULL};
	static const char *const key_text_mac[] = {"hmac hex\nclient.secret\n@dpop", NULL};
	static const char *const hs[] = {"jwt HS256\nclient.key\n60\n{}", NULL};
	static const char *const broken[] = {"jwt ES256\nfield.broken\n60\n{}", NULL};
	static const char *const none[] = {"hmac hex\nfield.none\n=a", NULL};
	static const char *const encodings[] = {"raw", "percent", "form", "json"};

	fresh();
	for (int i = 0; i < 4; i++) {
		CHECK(strstr(send_with(NULL, encodings[i], "dpop"), "no value for dpop"));
		CHECK(strstr(send_with(NULL, encodings[i], "client.key"), "no value for client.key"));
	}
	CHECK(strstr(send_with(NULL, "basic", "=a:dpop"), "no value for"));
	CHECK(strstr(send_with(NULL, "basic", "client.key:=a"), "no value for"));
	CHECK(strstr(send_with(dpop_jwt, "raw", "made:1"), "no value for dpop"));
	CHECK(strstr(send_with(key_mac, "raw", "made:1"), "no value for client.key"));
	CHECK(strstr(send_with(key_text_mac, "raw", "made:1"), "no value for dpop"));
	CHECK(strstr(send_with(hs, "raw", "made:1"), "no value for client.key"));
	CHECK(strstr(send_with(broken, "raw", "made:1"), "cannot sign ES256"));
	CHECK(strstr(send_with(none, "raw", "made:1"), "no value for field.none"));
	CHECK(strstr(send_with(NULL, "raw", "made:1"), "no value for made:1"));
}

/* ---- proofs ------------------------------------------------------------------------------------------- */

static const char *proof(const char *url)
{
	struct request q;
	const char *at, *out = NULL;

	buf_reset(&op.action);
	rec_text(&op.action, REC_METHOD, "PUT", "safe");
	rec_text(&op.action, REC_URL, "", url);
	rec_text(&op.action, REC_REQ_HEADER, "Authorization", "DPoP ");
	rec_text(&op.action, REC_REQ_HEADER_HANDLE, "raw", "token.access");
	rec_text(&op.action, REC_DPOP, "", "");
	request_build(&q, &op, &op.action);
	CHECK_SAY(q.fault == NULL, "%s", q.fault);
	for (size_t i = 0; i < q.headers.len; i += strlen(q.headers.data + i) + 1) {
		at = q.headers.data + i;
		if (text_starts(at, "DPoP: "))
			out = arena_text(&op.arena, at + 6);
	}
	CHECK(out != NULL);
	request_free(&q);
	return out;
}

static bool answer(long status, const char *headers, const char *body)
{
	buf_reset(&op.headers);
	buf_reset(&op.body);
	buf_adds(&op.headers, headers);
	buf_adds(&op.body, body);
	op.status = status;
	return dpop_answered(&op);
}

TEST(a_proof_is_of_this_request_and_this_token)
{
	struct jv claims;
	uint8_t sum[32];
	struct buf hash;

	fresh();
	claims = part(proof("https://pds.example:8443/xrpc/x?y=1"), 1);
	CHECK_STR(json_text(json_get(claims, "htu")), "https://pds.example:8443/xrpc/x");
	CHECK_STR(json_text(json_get(claims, "htm")), "PUT");
	CHECK_INT(json_type(json_get(claims, "nonce")), JSON_NONE);
	buf_init(&hash, 64);
	vault_sha256("the-token", 9, sum);
	text_base64url(&hash, sum, 32);
	CHECK_STR(json_text(json_get(claims, "ath")), buf_text(&hash));
	buf_free(&hash);
	CHECK(!text_eq(json_text(json_get(part(proof("https://pds.example/"), 1), "jti")), json_text(json_get(claims, "jti"))));
}

TEST(only_the_servers_wish_for_a_nonce_repeats)
{
	fresh();
	(void)proof("https://pds.example/x");
	CHECK(answer(400, "dpop-nonce: n1\n", "{\"error\":\"use_dpop_nonce\"}"));
	CHECK(answer(401, "www-authenticate: Bearer\nwww-authenticate: DPoP algs=\"ES256\", error=\"use_dpop_nonce\"\ndpop-nonce: n2\n", ""));
	CHECK(!answer(401, "", "{\"error\":\"use_dpop_nonce\"}"));		/* without the nonce */
	CHECK(!answer(200, "dpop-nonce: n3\n", "{\"error\":\"use_dpop_nonce\"}"));
	CHECK(!answer(500, "dpop-nonce: n3\n", "{\"error\":\"use_dpop_nonce\"}"));
	CHECK(!answer(401, "dpop-nonce: n3\n", "{\"error\":\"invalid_token\"}"));
	CHECK(!answer(401, "dpop-nonce: n3\nwww-authenticate: Bearer error=\"use_dpop_nonce\"\n", "[]"));
	CHECK(!answer(400, "dpop-nonce: n 4\n", "{\"error\":\"use_dpop_nonce\"}"));
	CHECK_STR(json_text(json_get(part(proof("https://pds.example/other?x"), 1), "nonce")), "n3");	/* every answer's is kept */
	CHECK_INT(json_type(json_get(part(proof("https://auth.example/x"), 1), "nonce")), JSON_NONE);	/* for its own server */
	op.dpop_url = NULL;			/* a request without a proof */
	CHECK(!answer(400, "dpop-nonce: n5\n", "{\"error\":\"use_dpop_nonce\"}"));
}

TEST(without_a_key_there_is_no_proof)
{
	struct request q;

	fresh();
	bag_put(&op.secrets, REC_STATE, "dpop", NULL);
	buf_reset(&op.action);
	rec_text(&op.action, REC_METHOD, "GET", "safe");
	rec_text(&op.action, REC_URL, "", "https://a.example/");
	rec_text(&op.action, REC_DPOP, "", "");
	request_build(&q, &op, &op.action);
	CHECK(q.fault != NULL && strstr(q.fault, "no DPoP key"));
	request_free(&q);
}

TEST(the_table_of_nonces_is_bounded_and_by_key_and_origin)
{
	struct dpop_nonces *n = dpop_nonces_new();
	char key[32], text[32], long_one[DPOP_NONCE_MAX + 8];
	int known = 0;

	dpop_nonce_put(n, "k", "https://a", "one");
	dpop_nonce_put(n, "k", "https://b", "two");
	dpop_nonce_put(n, "l", "https://a", "three");
	CHECK_STR(dpop_nonce_get(n, "k", "https://a"), "one");
	CHECK_STR(dpop_nonce_get(n, "k", "https://b"), "two");
	CHECK_STR(dpop_nonce_get(n, "l", "https://a"), "three");
	dpop_nonce_put(n, "k", "https://a", "four");
	CHECK_STR(dpop_nonce_get(n, "k", "https://a"), "four");
	memset(long_one, 'x', sizeof long_one);
	long_one[DPOP_NONCE_MAX] = '\0';
	dpop_nonce_put(n, "k", "https://a", long_one);
	dpop_nonce_put(n, "k", "https://a", "");
	dpop_nonce_put(n, "k", "https://a", "quo\"te");
	CHECK_STR(dpop_nonce_get(n, "k", "https://a"), "four");
	for (int i = 0; i < 5 * DPOP_NONCES; i++) {
		snprintf(key, sizeof key, "key-%d", i);
		snprintf(text, sizeof text, "nonce-%d", i);
		dpop_nonce_put(n, key, "https://a", text);
		CHECK_STR(dpop_nonce_get(n, key, "https://a"), text);	/* the newest is always there */
	}
	for (int i = 0; i < 5 * DPOP_NONCES; i++) {
		snprintf(key, sizeof key, "key-%d", i);
		known += dpop_nonce_get(n, key, "https://a")[0] != '\0';
	}
	CHECK_INT(known, DPOP_NONCES);
	dpop_nonces_drop(n);
}
