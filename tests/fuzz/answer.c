/*
 * What a platform answers, on its way from the wire to the provider's host: heads as libcurl hands them over, then
 * tokens and secrets taken out.
 *
 * The input is a word for kind and phase, header lines up to an empty one, and a body.  Whatever the answer is made
 * of, nothing that stands where the descriptor names a secret may reach the host; everything else must, unchanged.
 */
#include "fuzz.h"

#include <stdarg.h>
#include <strings.h>

#include "core/base/log.h"
#include "core/base/text.h"
#include "core/engine/op.h"
#include "core/io/http_in.h"

#define DESCRIBE "{\"name\":\"A\",\"operations\":[\"authorize\",\"exchange\",\"identify\",\"refresh\",\"publish\"]," \
	"\"connect\":{\"method\":\"oauth2\",\"client\":\"secret\"},\"hosts\":[\"a.example\"]," \
	"\"secret_answers\":{\"got\":[\"key\",\"data.*.token\",\"header:x-session\"]}," \
	"\"dedupe\":{\"default\":{\"class\":\"search\",\"settle_s\":60,\"search_lag_s\":30}}}"

static struct platform *platform;
static struct engine engine;
static size_t (*header_take)(char *, size_t, size_t, void *), (*body_take)(char *, size_t, size_t, void *);

/* Keeps the two functions that an easy handle would be given (--wrap). */
CURLcode __wrap_curl_easy_setopt(CURL *easy, CURLoption option, ...);
CURLcode __wrap_curl_easy_setopt(CURL *easy, CURLoption option, ...)
{
	va_list ap;

	(void)easy;
	va_start(ap, option);
	if (option == CURLOPT_HEADERFUNCTION)
		header_take = va_arg(ap, size_t (*)(char *, size_t, size_t, void *));
	else if (option == CURLOPT_WRITEFUNCTION)
		body_take = va_arg(ap, size_t (*)(char *, size_t, size_t, void *));
	va_end(ap);
	return CURLE_OK;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct cx cx;

	(void)argc, (void)argv;
	log_set(LOG_ERROR + 1);
	cx_init(&cx, NULL);
	MUST_SAY(platform_read(&cx, "a", "1", DESCRIBE, &platform) == RC_OK, "%s", cx.words);
	return 0;
}

/* ---- receiving -------------------------------------------------------------------------------------------- */

static void lines_check(const struct buf *headers)
{
	const char *line = buf_text(headers);

	for (const char *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
		const char *colon = strstr(line, ": ");

		MUST(colon != NULL && colon < end && colon > line);
		for (const char *c = line; c < colon; c++)
			MUST(*c < 'A' || *c > 'Z');
		for (const char *c = colon; c < end; c++)
			MUST((unsigned char)*c >= ' ');
	}
	MUST(*line == '\0');
}

/* The head by lines and the body in two pieces; what is left of the input behind the head. */
static void receive(struct http_in *in, char *text, size_t n)
{
	size_t at = 0, line, half;

	http_in_init(in, 1u << 20);
	MUST(http_in_setup(in, NULL) == 0);
	do {
		char *end = memchr(text + at, '\n', n - at);

		line = end ? (size_t)(end - text) + 1 - at : n - at;
		if (header_take(text + at, 1, line, in) != line)
			return;
		at += line;
	} while (line > 2 && at < n);
	half = (n - at) / 2;
	if (body_take(text + at, 1, half, in) == half)
		body_take(text + at + half, 1, n - at - half, in);
}

/* ---- what may pass ---------------------------------------------------------------------------------------- */

struct judge { struct op *op; bool tokens, got; };

/* Whether the value at this path is a secret. */
static bool is_secret(const struct judge *j, const char *path)
{
	const char *star = strrchr(path, '.');

	if (j->tokens && (text_eq(path, "access_token") || text_eq(path, "refresh_token") || text_eq(path, "id_token")))
		return true;
	if (!j->got)
		return false;
	return text_eq(path, "key") || (text_starts(path, "data.") && star > path + 4 && text_eq(star, ".token") &&
		memchr(path + 5, '.', (size_t)(star - path - 5)) == NULL);
}

static void compare(const struct judge *j, struct jv before, struct jv after, const char *path)
{
	const char *key, *again, *a, *b, *kept;
	char below[300];
	struct jv x, y;
	size_t n;

	if (is_secret(j, path) && json_text(before) != NULL) {
		MUST_SAY(json_type(after) == JSON_STRING && text_starts(json_text(after), "sec:"), "%s reaches the host: %s", path, json_text(after));
		kept = bag_find(&j->op->secrets, json_text(after), &n);
		MUST_SAY(json_text(before)[0] == '\0' || (kept != NULL && n == strlen(json_text(before)) && memcmp(kept, json_text(before), n) == 0),
			"%s is lost", path);
		return;
	}
	MUST(json_type(before) == json_type(after) && json_count(before) == json_count(after));
	a = json_text(before), b = json_text(after);
	MUST(a == NULL || strcmp(a, b) == 0);
	for (size_t i = 0; json_member(before, i, &key, &x); i++) {
		MUST(json_member(after, i, &again, &y) && strcmp(key, again) == 0);
		if ((size_t)snprintf(below, sizeof below, "%s%s%s", path, *path ? "." : "", key) < sizeof below)
			compare(j, x, y, below);
	}
	for (size_t i = 0; json_type(before) == JSON_ARRAY && i < json_count(before); i++)
		if ((size_t)snprintf(below, sizeof below, "%s%s%zu", path, *path ? "." : "", i) < sizeof below)
			compare(j, json_at(before, i), json_at(after, i), below);
}

static void body_judge(const struct judge *j, const char *before, size_t n)
{
	struct arena a ARENA_AUTO;
	struct jv x, y;
	struct cx cx;

	arena_init(&a, 64u << 20);
	cx_init(&cx, NULL);
	if (json_parse(&cx, &a, before, n, &x) != RC_OK) {
		MUST(j->op->body.len == 0 || j->op->status / 100 != 2);
		return;
	}
	MUST_SAY(json_parse(&cx, &a, buf_text(&j->op->body), j->op->body.len, &y) == RC_OK, "the answer is no JSON any more: %s", cx.words);
	compare(j, x, y, "");
}

static void sessions_judge(const struct buf *headers)
{
	const char *line = buf_text(headers);

	for (const char *end; (end = strchr(line, '\n')) != NULL; line = end + 1)
		if (text_starts(line, "x-session: "))
			MUST_SAY(text_starts(line + 11, "sec:"), "a header reaches the host: %.*s", (int)(end - line), line);
}

static void seal(const char *kind, const char *phase, int status, const struct http_in *in)
{
	struct op op = {.e = &engine, .platform = platform, .phase = phase, .status = status};
	struct judge j = {&op, text_eq(kind, "exchange") || text_eq(kind, "refresh"), text_eq(phase, "got")};

	op.row.kind = kind;
	arena_init(&op.arena, 64u << 20);
	cx_init(&op.cx, NULL);
	buf_init(&op.secrets, BAG_MAX);
	buf_init(&op.headers, 128u * 1024u);
	buf_init(&op.body, 2u << 20);
	buf_add(&op.headers, buf_text(&in->headers), in->headers.len);
	buf_add(&op.body, buf_text(&in->body), in->body.len);
	secret_answer(&op);
	lines_check(&op.headers);
	if (j.got)
		sessions_judge(&op.headers);
	if (j.tokens || j.got)
		body_judge(&j, buf_text(&in->body), in->body.len);
	else
		MUST(op.body.len == in->body.len && memcmp(buf_text(&op.body), buf_text(&in->body), op.body.len) == 0);
	buf_free(&op.secrets);
	buf_free(&op.headers);
	buf_free(&op.body);
	arena_free(&op.arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = fuzz_text(data, size);
	struct http_in in;

	receive(&in, text, size);
	if (buf_ok(&in.headers) && buf_ok(&in.body)) {
		lines_check(&in.headers);
		seal("exchange", "got", 200, &in);
		seal("refresh", "other", 200, &in);
		seal("publish", "got", 422, &in);
		seal("publish", "other", 200, &in);
	}
	http_in_wipe(&in);
	(void)http_date(text);
	free(text);
	return 0;
}
