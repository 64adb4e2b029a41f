/*
 * An action as hostile input: a host whose heap was overwritten can keep answering.
 *
 * One table says for each kind of record whether an action may have it, how often, and what its key and value
 * look like.  Nothing that passes can break a URL, a header line or the order of a request.
 */
#include "core/engine/hostwire.h"

#include <string.h>

#include "core/base/jsoncheck.h"
#include "core/base/text.h"

#define WAIT_MAX_S (30ll * 86400)

enum shape { BYTES, TEXT, EMPTY, WORD, NAME, DIGITS, VERB, REPEAT, CLASS, METHOD, ENCODING, HANDLE, URL, HEADER, RANGE, NAME_MADE, MADE };

static const char *const verbs[] = { "send", "wait", "wait_user", "redirect", "done", "fail", "found", "absent", "unknown",
	"no_phase", "bug", NULL };
static const char *const repeats[] = { "safe", "keyed", "once", NULL };
static const char *const classes[] = { "rejected", "auth", "revoked", "limit", "transient", "unknown", NULL };
static const char *const methods[] = { "GET", "POST", "PUT", "PATCH", "DELETE", NULL };
static const char *const encodings[] = { "raw", "percent", "form", "json", "basic", NULL };

static const struct rule {
	enum frame_kind kind;
	enum shape key, value;
	int most;		/* how often; 0: any number */
	uint32_t max;		/* bytes of the value */
} rules[] = {
	{ REC_VERB, EMPTY, VERB, 1, 16 },
	{ REC_PHASE, EMPTY, NAME, 1, 64 },
	{ REC_SECONDS, WORD, DIGITS, 2, 10 },
	{ REC_CLASS, WORD, CLASS, 1, 16 },
	{ REC_MESSAGE, TEXT, TEXT, 1, 4096 },
	{ REC_FAULT, WORD, TEXT, 1, 1024 },
	{ REC_STATE, NAME, BYTES, 0, 64 * 1024 },
	{ REC_RESULT, NAME, TEXT, 0, 8 * 1024 },
	{ REC_WARNING, WORD, TEXT, 0, 4096 },
	{ REC_TOKEN, NAME, TEXT, 64, 160 },
	{ REC_METHOD, METHOD, REPEAT, 1, 8 },
	{ REC_URL, EMPTY, URL, 0, 64 * 1024 },
	{ REC_URL_HANDLE, ENCODING, HANDLE, 0, 200 },
	{ REC_REQ_HEADER, HEADER, HEADER, 0, 64 * 1024 },
	{ REC_REQ_HEADER_HANDLE, ENCODING, HANDLE, 0, 9000 },
	{ REC_REQ_BODY, EMPTY, BYTES, 0, FRAME_OUT_MAX },
	{ REC_REQ_BODY_HANDLE, ENCODING, HANDLE, 0, 200 },
	{ REC_REQ_MEDIA, DIGITS, RANGE, 0, 48 },
	{ REC_DPOP, EMPTY, EMPTY, 1, 0 },
	{ REC_MADE, NAME_MADE, MADE, 16, 72 * 1024 },
};
#define RULES (sizeof rules / sizeof *rules)

static bool one_of(const char *s, size_t n, const char *const *list)
{
	for (; *list; list++)
		if (strlen(*list) == n && memcmp(*list, s, n) == 0)
			return true;
	return false;
}

static bool only(const char *s, size_t n, const char *more, bool letters, bool capitals)
{
	for (size_t i = 0; i < n; i++) {
		char c = s[i];
		bool ok = (c >= '0' && c <= '9') || (letters && c >= 'a' && c <= 'z') || (capitals && c >= 'A' && c <= 'Z');

		if (!ok && (!c || !strchr(more, c)))
			return false;
	}
	return true;
}

static bool visible(const char *s, size_t n, unsigned char least)
{
	for (size_t i = 0; i < n; i++)
		if (((unsigned char)s[i] < least && s[i] != '\t') || s[i] == 0x7f ||
		    (least > ' ' && (s[i] == '\t' || (unsigned char)s[i] >= 0x80)))
			return false;
	return true;
}

/* ---- signatures to be made ------------------------------------------------------------------------------ */

static int made_number(const char *s, size_t n)
{
	if (n < 6 || n > 7 || memcmp(s, "made:", 5) != 0 || s[5] < '1' || !only(s + 5, n - 5, "", false, false))
		return 0;
	return n == 6 ? s[5] - '0' : (s[5] - '0') * 10 + s[6] - '0';
}

/* The part before the next newline; *at goes behind it. */
static bool part(const char *s, size_t n, size_t *at, const char **ret, size_t *ret_n)
{
	const char *end = memchr(s + *at, '\n', n - *at);

	if (!end)
		return false;
	*ret = s + *at;
	*ret_n = (size_t)(end - *ret);
	*at += *ret_n + 1;
	return true;
}

static bool handle_ok(const char *s, size_t n)
{
	return n > 0 && n <= 72 && only(s, n, "._:-", true, true);
}

static bool claims_read(const char *s, size_t n, size_t at, struct made *ret)
{
	const char *number;
	size_t digits;
	struct json_fault fault;

	if (!part(s, n, &at, &number, &digits) || digits == 0 || digits > 8 || !only(number, digits, "", false, false))
		return false;
	for (size_t i = 0; i < digits; i++)
		ret->seconds = ret->seconds * 10 + number[i] - '0';
	ret->text = s + at;
	ret->text_n = n - at;
	return ret->text_n > 1 && ret->text[0] == '{' && json_check(ret->text, ret->text_n, &fault) != 0;
}

bool made_read(const char *s, size_t n, struct made *ret)
{
	static const struct { const char *words; enum made_kind kind; } kinds[] = {
		{ "hmac hex", MADE_HMAC }, { "hmac base64", MADE_HMAC }, { "hmac base64url", MADE_HMAC },
		{ "jwt ES256", MADE_ES256 }, { "jwt HS256", MADE_HS256 },
	};
	const char *words;
	size_t at = 0, words_n, i;

	*ret = (struct made){ .kind = MADE_HMAC };
	if (!part(s, n, &at, &words, &words_n) || !part(s, n, &at, &ret->key, &ret->key_n) || !handle_ok(ret->key, ret->key_n))
		return false;
	for (i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if (strlen(kinds[i].words) == words_n && memcmp(kinds[i].words, words, words_n) == 0)
			break;
	if (i == sizeof kinds / sizeof *kinds)
		return false;
	ret->kind = kinds[i].kind;
	ret->encoding = kinds[i].words + 5;
	if (ret->kind != MADE_HMAC)
		return claims_read(s, n, at, ret);
	ret->by_handle = at < n && s[at] == '@';
	ret->text = s + at + 1;
	ret->text_n = at < n ? n - at - 1 : 0;
	return at < n && (s[at] == '=' || (ret->by_handle && handle_ok(ret->text, ret->text_n)));
}

/* Numbered from 1, before the request that uses them, and made of nothing that comes later. */
static bool made_in_order(const struct rec *r, int nth, bool request)
{
	struct made m;

	return !request && made_number(r->key, r->key_len) == nth && made_read(r->value, r->value_len, &m) &&
	       made_number(m.key, m.key_n) < nth && (!m.by_handle || made_number(m.text, m.text_n) < nth);
}

static bool shape_ok(enum shape shape, const char *s, size_t n)
{
	switch (shape) {
	case BYTES: return true;
	case TEXT: return text_utf8(s, n);
	case EMPTY: return n == 0;
	case WORD: return n <= 64 && only(s, n, "_", true, false);
	case NAME: return n > 0 && n <= 160 && only(s, n, "_.@-", true, false);
	case DIGITS: return n > 0 && n < 11 && only(s, n, "", false, false);
	case VERB: return one_of(s, n, verbs);
	case REPEAT: return one_of(s, n, repeats);
	case CLASS: return one_of(s, n, classes);
	case METHOD: return one_of(s, n, methods);
	case ENCODING: return one_of(s, n, encodings);
	case HANDLE: return n > 0 && only(s, n, "._:%=-~", true, true);
	case URL: return n > 0 && visible(s, n, '!');
	case HEADER: return visible(s, n, ' ');
	case RANGE: return n > 0 && only(s, n, " ", false, false);
	case NAME_MADE: return made_number(s, n) > 0;
	case MADE: return text_utf8(s, n) && made_read(s, n, &(struct made){ .kind = MADE_HMAC });
	}
	return false;
}

static bool header_name_ok(const struct rec *r)
{
	return r->kind != REC_REQ_HEADER || (r->key_len <= 64 && only(r->key, r->key_len, "-_", true, true));
}

/* The host cuts them; one that does not is no host any more. */
static bool seconds_ok(const char *data, size_t len)
{
	size_t at = 0;
	struct rec r;

	while (rec_next(data, len, &at, &r, NULL)) {
		int64_t n = 0;

		for (size_t i = 0; r.kind == REC_SECONDS && i < r.value_len; i++)
			n = n * 10 + (r.value[i] - '0');
		if (n > WAIT_MAX_S)
			return false;
	}
	return true;
}

/* What verb and the rest must have to do with each other. */
static const char *whole_check(const char *data, size_t len, const int *seen)
{
	struct rec verb, first;
	bool sends, request, waits;

	if (!rec_find(data, len, REC_VERB, NULL, &verb))
		return "an action without a verb";
	sends = rec_is(&verb, "send") || rec_is(&verb, "redirect");
	request = rec_find(data, len, REC_METHOD, NULL, &first) &&
		  (rec_find(data, len, REC_URL, NULL, &first) || rec_find(data, len, REC_URL_HANDLE, NULL, &first));
	if (sends != request)
		return "a request without its verb, or a verb without its request";
	for (size_t i = 0; i < RULES; i++)
		if (!sends && rules[i].kind >= REC_METHOD && seen[i])
			return "a request without its verb";
	if (!seconds_ok(data, len))
		return "a wait of more than 30 days";
	waits = rec_is(&verb, "wait") || rec_is(&verb, "wait_user");
	if ((waits || rec_is(&verb, "send")) && !rec_find(data, len, REC_PHASE, NULL, &first))
		return "a verb without its next phase";
	if (waits && !rec_find(data, len, REC_SECONDS, "", &first))
		return "a wait without seconds";
	if (rec_is(&verb, "fail") != rec_find(data, len, REC_CLASS, NULL, &first))
		return "a failure without its class";
	return NULL;
}

const char *action_check(const char *data, size_t len)
{
	int seen[RULES] = { 0 };
	size_t at = 0, i;
	bool bad = false, header = false, request = false;
	struct rec r;

	while (rec_next(data, len, &at, &r, &bad)) {
		for (i = 0; i < RULES && rules[i].kind != (enum frame_kind)r.kind; i++)
			;
		if (i == RULES)
			return "a record of unknown kind";
		if ((++seen[i] > rules[i].most && rules[i].most) || r.value_len > rules[i].max)
			return "a record too often or too long";
		if (!shape_ok(rules[i].key, r.key, r.key_len) || !shape_ok(rules[i].value, r.value, r.value_len) || !header_name_ok(&r))
			return "a record with a malformed key or value";
		if (r.kind == REC_MADE && !made_in_order(&r, seen[i], request))
			return "a signature out of order";
		request |= r.kind == REC_METHOD;
		header |= r.kind == REC_REQ_HEADER && r.key_len > 0;
		if ((r.kind == REC_REQ_HEADER_HANDLE || r.kind == REC_REQ_HEADER) && !header)
			return "a header without a name";
	}
	return bad ? "malformed records" : whole_check(data, len, seen);
}
