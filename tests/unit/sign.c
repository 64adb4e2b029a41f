/*
 * Signatures: keys survive their text, and what is signed here is accepted by somebody else's library (Node's), with
 * the header, claims and public key that we print.
 */
#include "core/io/sign.h"

#include <sodium.h>
#include <unistd.h>

#include "tests/unit/test.h"

#define NODE "tests/node_modules/.bin/node"

static struct cx cx;

static void key_make(struct sign_key *k)
{
	cx_init(&cx, NULL);
	CHECK(sodium_init() >= 0);
	CHECK(sign_key_new(&cx, k) == RC_OK);
}

/* What Node says to a script with arguments. */
static void node(const char *script, const char *a, const char *b, char out[4096])
{
	char command[8192];
	FILE *p;
	size_t n;

	snprintf(command, sizeof command, NODE " -e '%s' '%s' '%s' 2>&1", script, a, b);
	p = popen(command, "r");
	CHECK(p != NULL);
	n = fread(out, 1, 4095, p);
	out[n] = '\0';
	CHECK_SAY(pclose(p) == 0, "node: %s", out);
}

static const char verify_script[] =
	"const c=require(\"crypto\");const [jws,jwk]=process.argv.slice(1);const [h,p,s]=jws.split(\".\");"
	"const k=c.createPublicKey({key:JSON.parse(jwk),format:\"jwk\"});"
	"const ok=c.verify(\"sha256\",Buffer.from(h+\".\"+p),{key:k,dsaEncoding:\"ieee-p1363\"},Buffer.from(s,\"base64url\"));"
	"process.stdout.write(ok+\" \"+Buffer.from(h,\"base64url\")+\" \"+Buffer.from(p,\"base64url\"))";

TEST(an_es256_jws_is_accepted_elsewhere)
{
	BUF_AUTO struct buf jws, jwk;
	struct sign_key k;
	char out[4096];

	for (int i = 0; i < 12; i++) {		/* r or s begins with a zero byte once in 128 */
		buf_init(&jws, 4096);
		buf_init(&jwk, 4096);
		key_make(&k);
		CHECK(sign_jws_es256(&cx, &k, "{\"alg\":\"ES256\"}", "{\"a\":1}", &jws) == RC_OK);
		sign_jwk(&k, &jwk);
		node(verify_script, buf_text(&jws), buf_text(&jwk), out);
		CHECK_STR(out, "true {\"alg\":\"ES256\"} {\"a\":1}");
		buf_free(&jws);
		buf_free(&jwk);
	}
}

TEST(a_changed_text_is_refused_elsewhere)
{
	BUF_AUTO struct buf jws, jwk;
	struct sign_key k;
	char out[4096], *dot;

	buf_init(&jws, 4096);
	buf_init(&jwk, 4096);
	key_make(&k);
	CHECK(sign_jws_es256(&cx, &k, "{\"alg\":\"ES256\"}", "{\"a\":1}", &jws) == RC_OK);
	sign_jwk(&k, &jwk);
	dot = strchr(jws.data, '.');
	dot[3] = dot[3] == 'x' ? 'y' : 'x';
	node(verify_script, buf_text(&jws), buf_text(&jwk), out);
	CHECK(strncmp(out, "false", 5) == 0);
}

TEST(the_signature_is_always_64_bytes)
{
	struct sign_key k;
	uint8_t raw[SIGN_ES256];

	key_make(&k);
	for (int i = 0; i < 600; i++) {
		memset(raw, 0x55, sizeof raw);
		CHECK(sign_es256(&cx, &k, &i, sizeof i, raw) == RC_OK);
		CHECK(raw[0] != 0x55 || raw[1] != 0x55 || raw[2] != 0x55 || raw[3] != 0x55);
	}
}

TEST(a_key_survives_its_text)
{
	struct sign_key k, again;
	char text[SIGN_KEY_TEXT];

	key_make(&k);
	sign_key_text(&k, text);
	CHECK_INT(strlen(text), SIGN_KEY_TEXT - 1);
	CHECK(sign_key_read(&cx, text, strlen(text), &again) == RC_OK);
	CHECK(memcmp(&k, &again, sizeof k) == 0);
	text[5] = '!';
	CHECK(sign_key_read(&cx, text, strlen(text), &again) == RC_INVALID);
	sign_key_wipe(&k);
	CHECK(sodium_is_zero((const unsigned char *)&k, sizeof k));
}

TEST(a_key_is_read_from_pem)
{
	struct sign_key k;
	char pem[4096], out[4096];
	BUF_AUTO struct buf jws, jwk;

	cx_init(&cx, NULL);
	node("const c=require(\"crypto\");const k=c.generateKeyPairSync(\"ec\",{namedCurve:process.argv[1]}).privateKey;"
	     "process.stdout.write(k.export({type:process.argv[2],format:\"pem\"}))", "P-256", "sec1", pem);
	CHECK(sign_key_read(&cx, pem, strlen(pem), &k) == RC_OK);
	buf_init(&jws, 4096);
	buf_init(&jwk, 4096);
	CHECK(sign_jws_es256(&cx, &k, "{}", "{}", &jws) == RC_OK);
	sign_jwk(&k, &jwk);
	node(verify_script, buf_text(&jws), buf_text(&jwk), out);
	CHECK_STR(out, "true {} {}");
	node("const c=require(\"crypto\");const k=c.generateKeyPairSync(\"ec\",{namedCurve:process.argv[1]}).privateKey;"
	     "process.stdout.write(k.export({type:process.argv[2],format:\"pem\"}))", "P-384", "pkcs8", pem);
	CHECK(sign_key_read(&cx, pem, strlen(pem), &k) == RC_INVALID);
	CHECK(sign_key_read(&cx, "no key", 6, &k) == RC_INVALID);
}

/* RFC 7515, A.1. */
TEST(hs256_is_as_the_rfc_has_it)
{
	static const uint8_t key[] = {
		3, 35, 53, 75, 43, 15, 165, 188, 131, 126, 6, 101, 119, 123, 166, 143, 90, 179, 40, 230, 240, 84, 201, 40, 169, 15, 132, 178,
		210, 80, 46, 191, 211, 251, 90, 146, 210, 6, 71, 239, 150, 138, 180, 195, 119, 98, 61, 34, 61, 46, 33, 114, 5, 46, 79, 8, 192,
		205, 154, 245, 103, 208, 128, 163
	};
	BUF_AUTO struct buf jws;

	buf_init(&jws, 4096);
	sign_jws_hs256(key, sizeof key, "{\"typ\":\"JWT\",\r\n \"alg\":\"HS256\"}",
		       "{\"iss\":\"joe\",\r\n \"exp\":1300819380,\r\n \"http://example.com/is_root\":true}", &jws);
	CHECK_STR(buf_text(&jws), "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFt"
		  "cGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
}

/* The thumbprint against Node's own hash of the canonical form. */
TEST(the_thumbprint_is_of_the_canonical_form)
{
	BUF_AUTO struct buf jwk;
	struct sign_key k;
	char print[SIGN_THUMBPRINT], out[4096];

	buf_init(&jwk, 4096);
	key_make(&k);
	sign_jwk(&k, &jwk);
	sign_thumbprint(&k, print);
	node("const j=JSON.parse(process.argv[1]);process.stdout.write(require(\"crypto\").createHash(\"sha256\")"
	     ".update(JSON.stringify({crv:j.crv,kty:j.kty,x:j.x,y:j.y})).digest(\"base64url\"))", buf_text(&jwk), "", out);
	CHECK_STR(print, out);
}
