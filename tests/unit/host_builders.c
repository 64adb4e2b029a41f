/*
 * The host table as a provider uses it: what builders write, and what they refuse.
 */
#include "core/host/host.h"

#include "sdk/try/try.h"
#include "tests/unit/test.h"

static const struct mps_host *t;
static int32_t (*body_of_step)(mps_op *op);
static struct buf input, shown;

static int32_t step(mps_op *op) { return body_of_step(op); }

static const struct mps_provider provider = {
	.struct_size = sizeof provider, .id = "test", .version = "1", .describe = "{}", .step = step
};

static void in(enum frame_kind kind, const char *key, const char *value) { rec_text(&input, kind, key, value); }

static void fresh(const char *kind, const char *event)
{
	t = host_table();
	if (!input.max) {
		buf_init(&input, FRAME_IN_MAX);
		buf_init(&shown, FRAME_IN_MAX);
	}
	buf_reset(&input);
	in(REC_KIND, "", kind);
	in(REC_PHASE, "", "start");
	in(REC_EVENT, "", event);
	in(REC_NOW, "", "1700000000000");
	in(REC_SEED, "", "00ff");
}

/* The action as JSON. */
static const char *run(int32_t (*body)(mps_op *op))
{
	struct buf out BUF_AUTO;

	buf_init(&out, 2 * FRAME_OUT_MAX);
	buf_reset(&shown);
	body_of_step = body;
	step_run(&provider, 7, input.data, input.len, &out);
	action_json(out.data + FRAME_HEAD, out.len - FRAME_HEAD, &shown);
	return buf_text(&shown);
}

#define HAS(body, words) do { const char *got = run(body); CHECK_SAY(strstr(got, (words)), "no %s in %s", (words), got); } while (0)
#define HAS_NOT(body, words) do { const char *got = run(body); CHECK_SAY(!strstr(got, (words)), "%s in %s", (words), got); } while (0)
#define GO(r) t->send(op, r, MPS_SAFE, "next")
#define STEP(name) static int32_t name(mps_op *op)
#define POST(r) mps_req *r = t->request(op, "POST", "https://a.example/v1")

/* --- encoding ------------------------------------------------------------------------------------------------ */

STEP(url_parts)
{
	POST(r);

	t->path(r, "a b/c?d");
	t->path(r, t->handle(op, "token.access"));
	t->query(r, "q&", "x=y z");
	t->query(r, "t", t->handle(op, "client.secret"));
	return GO(r);
}

STEP(form_and_headers)
{
	POST(r);

	t->form(r, "a b", "c&d=e");
	t->form(r, "secret", t->handle(op, "client.secret"));
	t->req_header(r, "X-Two", "OAuth ");
	t->req_header_more(r, t->handle(op, "token.access"));
	t->req_header_more(r, ", v=1");
	t->basic(r, "me@x", t->handle(op, "sec:3"));
	return GO(r);
}

STEP(json_body)
{
	POST(r);

	t->json_open(r, "", '{');
	t->json_text(r, "quote\"", "line\n\xf0\x9f\x98\x80");
	t->json_text(r, "token", t->handle(op, "token.access"));
	t->json_open(r, "list", '[');
	t->json_int(r, "", -5);
	t->json_bool(r, "", 7);
	t->json_null(r, "");
	t->json_open(r, "", '{');
	t->json_close(r);
	t->json_close(r);
	t->json_raw(r, "raw", "{\"a\":[1]}");
	t->json_close(r);
	return GO(r);
}

STEP(parts)
{
	POST(r);

	t->multipart(r, "caption", "hi");
	t->multipart(r, "key", t->handle(op, "field.key"));
	t->multipart_media(r, "file", "a.png", 0);
	return GO(r);
}

TEST(everything_is_encoded_for_its_place)
{
	fresh("publish", "start");
	in(REC_INPUT, "handle.sec:3", "1");
	HAS(url_parts, "\"url\":\"https://a.example/v1/a%20b%2Fc%3Fd/{token.access}?q%26=x%3Dy%20z&t={client.secret}\"");
	HAS(form_and_headers, "\"body\":\"a+b=c%26d%3De&secret={client.secret}\"");
	HAS(form_and_headers, "\"X-Two\":\"OAuth {token.access}, v=1\"");
	HAS(form_and_headers, "\"Authorization\":\"Basic {=me%40x:sec%3A3}\"");
	HAS(json_body,
		"\"body\":{\"quote\\\"\":\"line\\n\xf0\x9f\x98\x80\",\"token\":\"{token.access}\",\"list\":[-5,true,null,{}],\"raw\":{\"a\":[1]}}");
	in(REC_INPUT, "media.count", "1");
	in(REC_INPUT, "media.0.mime", "image/png");
	in(REC_INPUT, "media.0.bytes", "99");
	HAS(parts, "form-data; name=\\\"key\\\"\\r\\n\\r\\n{field.key}\\r\\n--mps");
	HAS(parts, "filename=\\\"a.png\\\"\\r\\nContent-Type: image/png\\r\\n\\r\\n{media 0 0 99}\\r\\n--mps");
	HAS(parts, "multipart/form-data; boundary=mps");
}

/* --- secrets ------------------------------------------------------------------------------------------------- */

STEP(forged)
{
	POST(r);

	(void)t->handle(op, "token.access");	/* it exists, and its name is the text */
	t->json_open(r, "", '{');
	t->json_text(r, "text", t->input(op, "text"));
	t->json_close(r);
	return GO(r);
}

STEP(from_answer)
{
	mps_req *r = t->request(op, "GET", t->json(op, "url"));

	t->bearer(r, t->json(op, "token"));
	t->set(op, "kept", t->json(op, "url"));
	return GO(r);
}

STEP(from_state)
{
	mps_req *r = t->request(op, "GET", t->get(op, "kept"));

	t->set(op, "kept", "text now");
	return GO(r);
}

STEP(unlisted)
{
	t->bearer(t->request(op, "GET", "https://a.example"), t->json(op, "token"));
	return GO(t->request(op, "GET", t->json(op, "url")));
}

STEP(leaks_into_result)
{
	t->result(op, "remote_id", t->handle(op, "token.access"));
	return t->done(op);
}

STEP(leaks_into_text)
{
	(void)t->concat(op, "Bearer ", t->handle(op, "token.access"));
	return t->done(op);
}

STEP(no_such_secret)
{
	(void)t->handle(op, "vault.master");
	return t->done(op);
}

STEP(own_token)
{
	t->token(op, "access", t->handle(op, "field.password"), 60);
	t->token(op, "refresh", t->handle(op, "sec:1"), 0);
	return t->done(op);
}

STEP(text_as_token)
{
	t->token(op, "access", "hunter2", 60);
	return t->done(op);
}

TEST(secrets_are_known_by_address)
{
	fresh("publish", "start");
	in(REC_INPUT, "text", "token.access");
	HAS(forged, "\"body\":{\"text\":\"token.access\"}");

	fresh("publish", "answer");
	in(REC_INPUT, "handle.sec:1", "1");
	in(REC_INPUT, "handle.sec:2", "1");
	in(REC_BODY, "", "{\"url\":\"sec:1\",\"token\":\"sec:2\"}");
	HAS(from_answer, "\"url\":\"{sec:1}\"");
	HAS(from_answer, "\"Authorization\":\"Bearer {sec:2}\"");
	HAS(from_answer, "\"state\":{\"@kept\":\"sec:1\"}");
	HAS(own_token, "\"tokens\":{\"access\":\"field.password 60\",\"refresh\":\"sec:1\"}");

	in(REC_STATE, "@kept", "sec:1");
	HAS(from_state, "\"url\":\"{sec:1}\"");
	HAS(from_state, "\"state\":{\"@kept\":\"\",\"kept\":\"text now\"}");

	fresh("publish", "answer");		/* the core did not list sec:1: it is only text */
	in(REC_BODY, "", "{\"url\":\"sec:1\",\"token\":\"sec:2\"}");
	HAS(unlisted, "is not an encoded http(s) URL");
	HAS(leaks_into_result, "a secret where none belongs");
	HAS(leaks_into_text, "handles cannot be joined");
	HAS(no_such_secret, "no secret named \\\"vault.master\\\"");
	HAS(text_as_token, "is not a handle");
}

/* --- refusals ------------------------------------------------------------------------------------------------ */

#define REFUSES(name, ...) STEP(name) { POST(r); __VA_ARGS__; return GO(r); }

REFUSES(header_crlf, t->req_header(r, "X-A", "a\r\nHost: evil"))
REFUSES(header_name, t->req_header(r, "X A", "a"))
REFUSES(header_host, t->req_header(r, "Host", "evil.example"))
REFUSES(header_length, t->req_header(r, "content-length", "5"))
REFUSES(header_twice, t->req_header(r, "Authorization", "a"); t->bearer(r, NULL))
REFUSES(bearer_text, t->bearer(r, "hunter2"))
REFUSES(path_dots, t->path(r, ".."))
REFUSES(path_empty, t->path(r, ""))
REFUSES(path_late, t->query(r, "a", "b"); t->path(r, "c"))
REFUSES(json_open_left, t->json_open(r, "", '{'))
REFUSES(json_no_key, t->json_open(r, "", '{'); t->json_text(r, "", "a"); t->json_close(r))
REFUSES(json_key_in_list, t->json_open(r, "", '['); t->json_text(r, "k", "a"); t->json_close(r))
REFUSES(json_after_end, t->json_open(r, "", '{'); t->json_close(r); t->json_open(r, "", '{'); t->json_close(r))
REFUSES(json_close_early, t->json_close(r))
REFUSES(json_no_root, t->json_text(r, "", "a"))
REFUSES(json_raw_broken, t->json_open(r, "", '['); t->json_raw(r, "", "1,2"); t->json_close(r))
REFUSES(two_bodies, t->form(r, "a", "b"); t->json_open(r, "", '{'); t->json_close(r))
REFUSES(media_missing, t->body_media(r, 0, 0, -1))
REFUSES(part_name, t->multipart(r, "a\"b", "c"))
REFUSES(null_value, t->query(r, "a", NULL))
REFUSES(too_large, for (int i = 0; i < 40; i++) t->req_body(r, "text/plain", t->alloc(op, 8000), 8000))
REFUSES(deep, for (int i = 0; i < 40; i++) t->json_open(r, "", '['))
REFUSES(bytes_body, t->req_body(r, "a\r\nb", "x", 1))

STEP(url_space) { return GO(t->request(op, "GET", "https://a.example/a b")); }
STEP(url_scheme) { return GO(t->request(op, "GET", "file:///etc/passwd")); }
STEP(url_none) { return GO(t->request(op, "GET", t->input(op, "nothing"))); }
STEP(method) { return GO(t->request(op, "BREW", "https://a.example")); }
STEP(next_phase) { return t->send(op, t->request(op, "GET", "https://a.example"), MPS_SAFE, "Not A Phase"); }
STEP(repeat) { return t->send(op, t->request(op, "GET", "https://a.example"), 9, "next"); }
STEP(wait_never) { return t->wait(op, 0, "next"); }
STEP(bad_result) { t->result(op, "remote_ID", "x"); return t->done(op); }
STEP(bad_target) { t->result(op, "targets.x.id", "x"); return t->done(op); }
STEP(bad_utf8) { t->result(op, "remote_id", "\xff"); return t->done(op); }
STEP(bad_reason) { return t->fail(op, MPS_REJECTED, "Text too long!", "", ""); }
STEP(bad_class) { return t->fail(op, 0, "x", "", ""); }
STEP(bad_key) { t->set(op, "Key", "x"); return t->done(op); }
STEP(redirect_elsewhere) { return t->redirect(op, t->request(op, "GET", "https://a.example"), ""); }
STEP(found_unasked) { t->result(op, "remote_id", "1"); return t->found(op); }
STEP(mismatch) { (void)t->done(op); return MPS_NEXT_FAIL; }
STEP(second_verb) { (void)t->done(op); return t->fail(op, MPS_REJECTED, "x", "", ""); }
STEP(no_verb) { (void)op; return 0; }

STEP(much_state)
{
	char *text = t->alloc(op, 40001);

	memset(text, 'a', 40000);
	t->set(op, "a", text);
	t->set(op, "b", text);
	return t->done(op);
}

STEP(much_memory)
{
	(void)t->alloc(op, 1024 * 1024);
	if (t->alloc(op, 1))
		return t->done(op);
	return t->done(op);
}

TEST(mistakes_end_in_a_bug_with_words)
{
	static const struct { int32_t (*body)(mps_op *); const char *words; } all[] = {
		{ header_crlf, "control characters" }, { header_name, "not allowed" }, { header_host, "not allowed" }, { header_length, "not allowed" },
		{ header_twice, "there already" }, { bearer_text, "not a handle" }, { path_dots, "no path segment" }, { path_empty, "no path segment" },
		{ path_late, "after the query" }, { json_open_left, "not finished" }, { json_no_key, "has no key" },
		{ json_key_in_list, "outside of an object" }, { json_after_end, "after the end" }, { json_close_early, "nothing is open" },
		{ json_no_root, "begins with json_open" }, { json_raw_broken, "not one JSON value" }, { two_bodies, "cannot be added" },
		{ media_missing, "no media item 0" }, { part_name, "no name of a part" }, { null_value, "NULL" }, { too_large, "larger than" },
		{ deep, "deeper than" }, { bytes_body, "no valid type" }, { url_space, "not an encoded" }, { url_scheme, "not an encoded" },
		{ url_none, "URL is empty" }, { method, "no method" }, { next_phase, "no name of a phase" }, { repeat, "no repeat class" },
		{ wait_never, "1 to 86400" }, { bad_result, "no result key" }, { bad_target, "no result key" }, { bad_utf8, "not UTF-8" },
		{ bad_reason, "no reason" }, { bad_class, "no class" }, { bad_key, "is no key" }, { redirect_elsewhere, "only authorize" },
		{ found_unasked, "nobody is looking" }, { mismatch, "its verb was" }, { second_verb, "one verb per step" },
		{ no_verb, "without calling a verb" }, { much_state, "state over" }, { much_memory, "alloc: more than" },
	};

	fresh("publish", "start");
	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		const char *got = run(all[i].body);

		CHECK_SAY(strstr(got, "\"verb\":\"bug\"") && strstr(got, all[i].words), "%zu: no \"%s\" in %s", i, all[i].words, got);
		CHECK_SAY(strstr(got, "\"state\":{},") || strstr(got, "\"state\":{}}"), "%zu: a bug leaves state: %s", i, got);
	}
}

/* A request that was spoiled and never sent harms nothing. */
STEP(abandoned)
{
	POST(r);

	t->path(r, "..");
	return t->wait(op, 5, "next");
}

TEST(a_spoiled_request_that_is_not_sent)
{
	fresh("publish", "start");
	HAS(abandoned, "\"verb\":\"wait\",\"next\":\"next\",\"seconds\":5");
}

/* --- looking ------------------------------------------------------------------------------------------------- */

STEP(send_once) { return t->send(op, t->request(op, "GET", "https://a.example"), MPS_ONCE, "next"); }
STEP(send_keyed) { return t->send(op, t->request(op, "GET", "https://a.example"), MPS_KEYED, "next"); }
STEP(send_safe) { return t->send(op, t->request(op, "GET", "https://a.example"), MPS_SAFE, "next"); }
STEP(just_done) { return t->done(op); }
STEP(ask_person) { return t->wait_user(op, 5, "next"); }
STEP(is_absent) { return t->absent(op); }
STEP(found_nothing) { return t->found(op); }

static void looking_rules(void)
{
	HAS(send_once, "while looking");
	HAS(send_keyed, "while looking");
	HAS(just_done, "while looking");
	HAS(ask_person, "while looking");
	HAS(found_nothing, "without result remote_id");
	HAS(send_safe, "\"verb\":\"send\"");
	HAS(is_absent, "\"verb\":\"absent\"");
	HAS(found_unasked, "\"verb\":\"found\"");
}

TEST(only_safe_requests_while_looking)
{
	fresh("publish", "lost");
	looking_rules();
	fresh("publish", "answer");
	in(REC_INPUT, "looking", "1");
	looking_rules();
	fresh("publish", "answer");
	HAS(send_once, "\"verb\":\"send\"");
	HAS(just_done, "\"verb\":\"done\"");
	HAS(is_absent, "nobody is looking");
}

/* --- reading and pure functions ------------------------------------------------------------------------------ */

STEP(reads)
{
	uint32_t n;

	CHECK_STR(t->header(op, "X-Rate"), "7");
	CHECK_STR(t->header(op, "x-none"), "");
	CHECK_INT(t->status(op), 201);
	CHECK_STR(t->json(op, "data.1.id"), "9007199254740993");
	CHECK_STR(t->json(op, "data.2.id"), "");
	CHECK_STR(t->json(op, "ok"), "true");
	CHECK_STR(t->json(op, "data"), "");
	CHECK_INT(t->json_count(op, "data"), 2);
	CHECK_INT(t->json_type(op, "none"), MPS_JSON_NULL);
	CHECK_INT(t->json_type(op, "absent"), MPS_JSON_NONE);
	CHECK_INT(t->json_type(op, ""), MPS_JSON_OBJECT);
	CHECK_STR(t->json_source(op, "data.0"), "{\"id\": 1}");
	CHECK_STR(t->body(op, &n) + n - 1, "}");
	CHECK_STR(t->input(op, "no.such"), "");
	CHECK_STR(t->get(op, "saved"), "s");
	return t->done(op);
}

STEP(reads_html)
{
	CHECK_INT(t->json_type(op, ""), MPS_JSON_NONE);
	CHECK_STR(t->json(op, "a"), "");
	CHECK_INT(t->json_count(op, "a"), 0);
	CHECK_STR(t->json_source(op, "a"), "");
	return t->done(op);
}

TEST(reading)
{
	fresh("publish", "answer");
	in(REC_STATUS, "", "201");
	in(REC_HEADER, "x-rate", "7");
	in(REC_STATE, "saved", "s");
	in(REC_BODY, "", "{\"data\":[{\"id\": 1},{\"id\":9007199254740993}],\"ok\":true,\"none\":null}");
	HAS(reads, "\"verb\":\"done\"");
	fresh("publish", "answer");
	in(REC_BODY, "", "<html>");
	HAS(reads_html, "\"verb\":\"done\"");
}

STEP(pure)
{
	uint8_t hash[32];

	t->sha256(op, "abc", 3, hash);
	CHECK_STR(t->base64url(op, hash, 32), "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0");
	CHECK_STR(t->concat(op, "a", "b"), "ab");
	CHECK_STR(t->number(op, INT64_MIN), "-9223372036854775808");
	CHECK_STR(t->time_iso(op, 1700000000123), "2023-11-14T22:13:20.123Z");
	CHECK_INT(t->time_ms("2023-11-14T22:13:20.123Z"), 1700000000123);
	CHECK_INT(t->time_ms("2023-11-14T23:13:20+01:00"), 1700000000000);
	CHECK_INT(t->time_ms("2023-11-14T23:13:20+0100"), 1700000000000);
	CHECK_INT(t->time_ms("2024-02-29T00:00:00.5Z"), 1709164800500);
	CHECK_INT(t->time_ms("2023-13-14T22:13:20Z"), -1);
	CHECK_INT(t->time_ms("2023-11-14T22:13:20"), -1);
	CHECK_INT(t->time_ms("yesterday"), -1);
	CHECK_INT(t->time_ms("2023-11-14T22:13:20+1"), -1);
	CHECK_INT(t->graphemes("e\xcc\x81\xf0\x9f\x91\xa8\xe2\x80\x8d\xf0\x9f\x91\xa9"), 2);
	return t->done(op);
}

TEST(pure_functions)
{
	fresh("publish", "start");
	HAS(pure, "\"verb\":\"done\"");
}

STEP(long_message)
{
	char *text = t->alloc(op, 5000);

	memset(text, 'a', 2047);
	memcpy(text + 2047, "\xc3\xa9 and more", 11);
	t->retry_after(op, -5);
	return t->fail(op, MPS_LIMIT, "limit", "E1", text);
}

TEST(failures)
{
	fresh("publish", "answer");
	HAS(long_message, "\"class\":\"limit\",\"code\":\"E1\"");
	HAS(long_message, "\"retry_after\":1");
	HAS_NOT(long_message, "\xc3");
	HAS_NOT(long_message, "\xef\xbf\xbd");
}

TEST(malformed_steps)
{
	fresh("publish", "start");
	in(REC_EVENT, "", "exploded");
	HAS(just_done, "malformed step");
	fresh("publish", "start");
	buf_add(&input, "\x05\xff", 2);
	HAS(just_done, "malformed step");
}

/* --- signatures ------------------------------------------------------------------------------------------------ */

STEP(signed_request)
{
	POST(r);
	const char *inner = t->hmac(op, t->handle(op, "client.secret"), "2026", "hex");
	const char *outer = t->hmac(op, inner, t->handle(op, "token.access"), "base64url");

	t->query(r, "proof", outer);
	t->basic(r, t->handle(op, "client.id"), outer);
	t->form(r, "client_assertion", t->jwt(op, t->handle(op, "client.key"), "ES256", "{\"iss\":\"me\"}", 60));
	return GO(r);
}

TEST(a_signature_is_a_handle_and_a_record)
{
	fresh("exchange", "start");
	HAS(signed_request, "\"url\":\"https://a.example/v1?proof={made:2}\"");
	HAS(signed_request, "\"Authorization\":\"Basic {client.id:made%3A2}\"");
	HAS(signed_request, "\"body\":\"client_assertion={made:3}\"");
	HAS(signed_request, "\"made:1\":\"hmac hex\\nclient.secret\\n=2026\"");
	HAS(signed_request, "\"made:2\":\"hmac base64url\\nmade:1\\n@token.access\"");
	HAS(signed_request, "\"made:3\":\"jwt ES256\\nclient.key\\n60\\n{\\\"iss\\\":\\\"me\\\"}\"");
}

STEP(kept) { t->set(op, "later", t->hmac(op, t->handle(op, "client.secret"), "x", "hex")); return t->done(op); }
STEP(told) { t->result(op, "targets.0.token", t->hmac(op, t->handle(op, "client.secret"), "x", "hex")); return t->done(op); }
STEP(stored) { t->token(op, "access", t->hmac(op, t->handle(op, "client.secret"), "x", "hex"), 0); return t->done(op); }
STEP(text_key) { t->hmac(op, "client.secret", "x", "hex"); return t->done(op); }
STEP(no_encoding) { t->hmac(op, t->handle(op, "client.secret"), "x", "base32"); return t->done(op); }
STEP(own_exp) { t->jwt(op, t->handle(op, "client.key"), "ES256", "{\"exp\":1}", 60); return t->done(op); }
STEP(list_claims) { t->jwt(op, t->handle(op, "client.key"), "ES256", "[]", 60); return t->done(op); }
STEP(no_alg) { t->jwt(op, t->handle(op, "client.key"), "none", "{}", 60); return t->done(op); }
STEP(no_time) { t->jwt(op, t->handle(op, "client.key"), "ES256", "{}", 0); return t->done(op); }
STEP(key_hmac) { t->jwt(op, t->handle(op, "client.key"), "HS256", "{}", 60); return t->done(op); }
STEP(too_many)
{
	for (int i = 0; i < 17; i++)
		t->hmac(op, t->handle(op, "client.secret"), "x", "hex");
	return t->done(op);
}
STEP(by_name) { t->handle(op, "made:1"); return t->done(op); }

TEST(what_signatures_refuse)
{
	fresh("targets", "start");
	HAS(kept, "cannot be kept");
	HAS(told, "the value of targets.0.token");
	HAS(stored, "is not a handle");
	HAS(text_key, "the key is not a handle");
	HAS(no_encoding, "not hex, base64 or base64url");
	HAS(own_exp, "which the core adds");
	HAS(list_claims, "no JSON object");
	HAS(no_alg, "neither ES256 nor HS256");
	HAS(no_time, "0 seconds");
	HAS(key_hmac, "client.key signs ES256");
	HAS(too_many, "more than 16 signatures");
	HAS(by_name, "there is no secret named");
}
