/*
 * Sending: the stored records become a request.  Secrets are put in here, at the last moment; the host of the
 * URL is checked here, on the same text that is sent; every send becomes an attempt row.
 *
 * Whether a request may be repeated is not decided here: outcome.c does that from what came back.
 */
#include "core/engine/op.h"

#include <stdio.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/failpoint.h"
#include "core/base/log.h"
#include "core/base/text.h"

#define HEADERS_MAX 64
#define ATTEMPT_BODY 2048

struct building {
	struct op *op;
	struct buf url, headers, body;	/* headers: lines separated by NUL */
	struct buf shown;		/* the URL without query and secrets */
	const char *missing;		/* handle without a value */
	const char *method;
	bool in_header;
};

static void building_free(struct building *b)
{
	buf_wipe(&b->url);
	buf_wipe(&b->headers);
	buf_wipe(&b->body);
	buf_free(&b->shown);
}

static void put_secret(struct building *b, struct buf *out, const struct rec *r)
{
	const char *handle = arena_dup(&b->op->arena, r->value, r->value_len);

	if (!secret_write(b->op, arena_dup(&b->op->arena, r->key, r->key_len), handle, out))
		b->missing = handle;
}

static void end_header(struct building *b)
{
	if (b->in_header)
		buf_addc(&b->headers, '\0');
	b->in_header = false;
}

static void add_record(struct building *b, const struct rec *r)
{
	switch (r->kind) {
	case REC_METHOD: b->method = arena_dup(&b->op->arena, r->key, r->key_len); break;
	case REC_URL:
		buf_add(&b->url, r->value, r->value_len);
		buf_add(&b->shown, r->value, r->value_len);
		break;
	case REC_URL_HANDLE:
		put_secret(b, &b->url, r);
		buf_addf(&b->shown, "{%.*s}", (int)r->value_len, r->value);
		break;
	case REC_REQ_HEADER:
		if (r->key_len > 0) {
			end_header(b);
			buf_addf(&b->headers, "%.*s: ", (int)r->key_len, r->key);
		}
		buf_add(&b->headers, r->value, r->value_len);
		b->in_header = true;
		break;
	case REC_REQ_HEADER_HANDLE: put_secret(b, &b->headers, r); break;
	case REC_REQ_BODY: buf_add(&b->body, r->value, r->value_len); break;
	case REC_REQ_BODY_HANDLE: put_secret(b, &b->body, r); break;
	default: break;
	}
}

static void build(struct building *b, const struct buf *records)
{
	size_t at = 0;
	struct rec r;

	buf_init(&b->url, 32768);
	buf_init(&b->headers, 65536);
	buf_init(&b->body, 2u << 20);
	buf_init(&b->shown, 32768);
	while (rec_next(records->data, records->len, &at, &r, NULL))
		add_record(b, &r);
	end_header(b);
	buf_cut(&b->shown, strcspn(buf_text(&b->shown), "?#"));
}

/* ---- where it may go -------------------------------------------------------------------------------- */

static bool host_matches(const char *pattern, const char *host)
{
	size_t n = strlen(host), m;

	if (!text_starts(pattern, "*."))
		return text_eq(pattern, host);
	m = strlen(pattern + 1);	/* ".example.com" */
	return n > m && text_eq(host + n - m, pattern + 1);
}

static bool listed(const char *const *patterns, const char *host)
{
	for (int i = 0; patterns != NULL && patterns[i] != NULL; i++)
		if (host_matches(patterns[i], host))
			return true;
	return false;
}

static bool may_roam(const struct op *op)
{
	static const char *const kinds[] = {"register", "authorize", "exchange", "identify", NULL};

	return op->platform->user_hosts && listed(kinds, op->row.kind);
}

static void bare_host(const char *address, char *out, size_t n)
{
	const char *start = strstr(address, "://");

	start = start ? start + 3 : address;
	snprintf(out, n, "%.*s", (int)strcspn(start, "/:"), start);
}

/* The ini may put another server in the place of a host that the descriptor names. */
static bool stand_in(struct op *op, const char *host, struct buf *url, const char *sandbox)
{
	const struct conf_provider *conf = conf_provider(op->e->config.conf, op->row.provider);
	const char *base = op->platform->sandbox ? sandbox : NULL, *rest;
	struct buf out;

	for (int i = 0; base == NULL && conf != NULL && i < conf->base_url_count; i++)
		if (text_eq(conf->base_urls[i].key, host))
			base = conf->base_urls[i].value;
	if (base == NULL)
		return false;
	rest = strstr(buf_text(url), "://");
	rest = rest ? rest + 3 + strcspn(rest + 3, "/?") : "";
	buf_init(&out, 32768);
	buf_adds(&out, base);
	buf_adds(&out, rest);
	buf_wipe(url);
	*url = out;
	return true;
}

/* Checks the host and says in which class the request goes; NULL words: allowed. */
static const char *egress_of(struct op *op, struct buf *url, enum http_egress *ret)
{
	char host[256], account[256] = "";
	struct cx cx;

	cx_init(&cx, "engine");
	if (http_url_host(&cx, buf_text(url), host, sizeof host) != RC_OK)
		return arena_text(&op->arena, cx.words);
	if (op->account_host != NULL)
		bare_host(op->account_host, account, sizeof account);
	if (listed(op->platform->hosts, host)) {
		*ret = op->platform->sandbox ? HTTP_OWN : HTTP_PROVIDER;
		stand_in(op, host, url, op->e->config.sandbox_url);
		return NULL;
	}
	if (account[0] != '\0' && text_eq(host, account)) {
		*ret = op->platform->user_hosts ? HTTP_USER : HTTP_PROVIDER;
		return NULL;
	}
	if (listed(op->platform->answer_hosts, host)) {
		*ret = HTTP_PROVIDER;
		return NULL;
	}
	if (may_roam(op)) {
		*ret = HTTP_USER;
		return NULL;
	}
	return arena_printf(&op->arena, "the provider may not reach host %s: its descriptor does not list it", host);
}

/* ---- what came back --------------------------------------------------------------------------------- */

static const char *const repeat_names[] = {"safe", "keyed", "once"};
static const char *const outcome_names[] = {"answered", "unsent", "lost", "refused"};

static void note_attempt(struct op *op, const struct http_answer *answer)
{
	struct attempt *t = arena_new(&op->arena, struct attempt);
	size_t n = op->body.len < ATTEMPT_BODY ? op->body.len : ATTEMPT_BODY;

	while (n > 0 && n < op->body.len && ((unsigned char)op->body.data[n] & 0xC0) == 0x80)
		n--;
	*t = (struct attempt){
		.phase = op->phase, .class = repeat_names[op->repeat], .method = op->method, .endpoint = op->endpoint,
		.outcome = outcome_names[answer->outcome], .status = answer->status, .curl_code = answer->curl_code,
		.words = answer->words ? arena_text(&op->arena, answer->words) : NULL,
		.body = n > 0 && text_utf8(op->body.data, n) ? arena_dup(&op->arena, op->body.data, n) : NULL,
		.sent_at = op->sent_at, .took_ms = answer->took_ms,
	};
	*op->attempts_tail = t;
	op->attempts_tail = &t->next;
	op->attempt_count++;
}

static int64_t number_header(const struct op *op, const char *name)
{
	char start[64];
	const char *line = buf_text(&op->headers);
	int n = snprintf(start, sizeof start, "%s: ", name);
	int64_t value = 0;

	for (; line != NULL && *line != '\0'; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
		if (strncmp(line, start, (size_t)n) == 0) {
			char digits[24];

			snprintf(digits, sizeof digits, "%.*s", (int)strspn(line + n, "0123456789"), line + n);
			return text_int(digits, &value) ? value : 0;
		}
	return 0;
}

static void sent(void *arg, const struct http_answer *answer)
{
	struct op *op = arg;

	buf_reset(&op->headers);
	buf_reset(&op->body);
	op->status = answer->status;
	op->answered = answer->outcome == HTTP_ANSWERED;
	if (answer->headers != NULL)
		buf_add(&op->headers, answer->headers->data, answer->headers->len);
	if (answer->body != NULL)
		buf_add(&op->body, answer->body->data, answer->body->len);
	secret_answer(op);
	note_attempt(op, answer);
	op->retry_after_ms = number_header(op, "retry-after") * 1000;
	failpoint("send.done");
	switch (answer->outcome) {
	case HTTP_ANSWERED: op_step(op, "answer"); break;
	case HTTP_UNSENT: outcome_unsent(op, answer->words); break;
	case HTTP_LOST: outcome_lost(op, answer->words); break;
	case HTTP_REFUSED: outcome_refused(op, answer->words); break;
	}
}

static void send_built(struct op *op, struct building *b, enum http_egress egress)
{
	const char *lines[HEADERS_MAX + 1];
	struct http_part part = {.bytes = b->body.data, .n = b->body.len};
	size_t at = 0;
	int n = 0;

	while (at < b->headers.len && n < HEADERS_MAX) {
		lines[n++] = b->headers.data + at;
		at += strlen(b->headers.data + at) + 1;
	}
	lines[n] = NULL;
	op->at = OP_SENDING;
	op->sent_at = clock_now();
	op->method = b->method;
	op->endpoint = arena_text(&op->arena, buf_text(&b->shown));
	op->e->stats.sends++;
	http_send(op->e->http, &(struct http_request){
		.method = b->method, .url = buf_text(&b->url), .headers = lines, .parts = &part, .part_count = b->body.len > 0 ? 1 : 0,
		.egress = egress, .fresh = op->repeat != REPEAT_SAFE, .total_ms = op->e->config.conf->request_timeout_ms,
	}, sent, op);
}

void op_send(struct op *op)
{
	struct building b = {.op = op, .method = "GET"};
	enum http_egress egress = HTTP_PROVIDER;
	const char *words = NULL;

	build(&b, op->repeat == REPEAT_SAFE ? &op->action : &op->intent);
	if (b.missing != NULL)
		words = arena_printf(&op->arena, "no value for %s: set the app's credentials for this platform, or connect again", b.missing);
	else if (!buf_ok(&b.url) || !buf_ok(&b.headers) || !buf_ok(&b.body))
		words = "the request is larger than allowed";
	else
		words = egress_of(op, &b.url, &egress);
	if (words != NULL)
		outcome_refused(op, words);
	else
		send_built(op, &b, egress);
	building_free(&b);
}

char *send_redirect(struct op *op)
{
	struct building b = {.op = op, .method = "GET"};
	char host[256], *url = NULL;
	struct cx cx;

	cx_init(&cx, "engine");
	build(&b, &op->action);
	if (b.missing == NULL && http_url_host(&cx, buf_text(&b.url), host, sizeof host) == RC_OK) {
		stand_in(op, host, &b.url, op->e->config.sandbox_public_url);
		url = buf_take(&b.url);
	}
	building_free(&b);
	return url;
}
