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
#include "core/base/zone.h"
#include "core/engine/request.h"

#define ATTEMPT_BODY 2048

/* ---- where it may go -------------------------------------------------------------------------------- */

/* "api.example.com", "*.example.com", "api.example.com:8443": without a port it is 443. */
static bool host_matches(const char *pattern, const char *host, int port)
{
	size_t n = strlen(host), m = strcspn(pattern, ":");
	bool below = text_starts(pattern, "*.");
	int64_t wanted = 443;

	if (pattern[m] == ':' && !text_int(pattern + m + 1, &wanted))
		return false;
	if (below)
		pattern++, m--;		/* ".example.com" */
	return wanted == port && (below ? n > m : n == m) && memcmp(host + n - m, pattern, m) == 0;
}

static bool listed(const char *const *patterns, const char *host, int port)
{
	for (int i = 0; patterns != NULL && patterns[i] != NULL; i++)
		if (host_matches(patterns[i], host, port))
			return true;
	return false;
}

static bool may_roam(const struct op *op)
{
	static const char *const kinds[] = {"register", "authorize", "exchange", "identify", NULL};

	for (int i = 0; op->platform->user_hosts && kinds[i] != NULL; i++)
		if (text_eq(kinds[i], op->row.kind))
			return true;
	return false;
}

static void bare_host(const char *address, char *out, size_t n)
{
	const char *start = strstr(address, "://");

	start = start ? start + 3 : address;
	snprintf(out, n, "%.*s", (int)strcspn(start, "/:"), start);
}

static const char *pair_of(const struct conf_pairs *pairs, const char *key)
{
	for (int i = 0; i < pairs->count; i++)
		if (text_eq(pairs->list[i].key, key))
			return pairs->list[i].value;
	return NULL;
}

/* The ini may put another server in the place of a host: for browsers, too, unless it says otherwise. */
static bool stand_in(struct op *op, const char *host, struct buf *url, bool browser)
{
	const struct conf_provider *conf = conf_provider(op->e->config.conf, op->row.provider);
	const char *base = NULL, *rest;
	struct buf out;

	if (op->platform->sandbox)
		base = browser ? op->e->config.sandbox_public_url : op->e->config.sandbox_url;
	if (base == NULL && conf != NULL && browser)
		base = pair_of(&conf->browser_urls, host);
	if (base == NULL && conf != NULL)
		base = pair_of(&conf->base_urls, host);
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

/* Whether it may be reached, and in which class the request goes. */
static bool reachable(struct op *op, const char *host, int port, enum http_egress *ret)
{
	char account[256] = "", auth[256] = "";

	if (op->account_host != NULL)
		bare_host(op->account_host, account, sizeof account);
	if (op->auth_host != NULL)
		bare_host(op->auth_host, auth, sizeof auth);
	if (listed(op->platform->hosts, host, port))
		*ret = op->platform->sandbox ? HTTP_OWN : HTTP_PROVIDER;
	else if ((account[0] != '\0' && text_eq(host, account)) || (auth[0] != '\0' && text_eq(host, auth)))
		*ret = op->platform->user_hosts ? HTTP_USER : HTTP_PROVIDER;
	else if (listed(op->platform->answer_hosts, host, port))
		*ret = HTTP_PROVIDER;
	else if (may_roam(op))
		*ret = HTTP_USER;
	else
		return false;
	return true;
}

/* The host of a URL with names in place of secrets: what nothing but the request itself may show. */
static const char *shown_host(struct op *op, const struct buf *shown)
{
	const char *host = strstr(buf_text(shown), "://");

	host = host ? host + 3 : buf_text(shown);
	return arena_printf(&op->arena, "%.*s", (int)strcspn(host, "/"), host);
}

/* Checks the host and says in which class the request goes; else the request has a fault. */
static void egress_check(struct op *op, struct request *q, bool browser, enum http_egress *ret)
{
	char host[256];
	struct cx cx;

	cx_init(&cx, "engine");
	if (q->fault != NULL)
		return;
	if (http_url_host(&cx, buf_text(&q->url), host, sizeof host) != RC_OK)
		q->fault = arena_printf(&op->arena, "%s: %s", shown_host(op, &q->shown), "no URL that can be sent");
	else if (!reachable(op, host, http_url_port(buf_text(&q->url)), ret))
		q->fault = arena_printf(&op->arena, "the provider may not reach host %s: its descriptor does not list it",
			shown_host(op, &q->shown));
	else if (stand_in(op, host, &q->url, browser) && *ret == HTTP_USER)	/* no longer what a person named */
		*ret = HTTP_PROVIDER;
	q->misuse |= q->fault != NULL;
}

static void misuse_tell(struct op *op, const struct request *q)
{
	if (q->misuse)
		op_blame(op, q->fault);
}

/* ---- what came back --------------------------------------------------------------------------------- */

static const char *const repeat_names[] = {"safe", "keyed", "once"};
static const char *const outcome_names[] = {"answered", "unsent", "lost", "refused"};

/* Limits are read daily of every account, and leave no rows behind. */
static void note_attempt(struct op *op, const struct http_answer *answer)
{
	struct attempt *t = arena_new(&op->arena, struct attempt);
	size_t n = op->body.len < ATTEMPT_BODY ? op->body.len : ATTEMPT_BODY;

	if (text_eq(op->row.kind, "limits"))
		return;
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

void op_answer_header(const struct op *op, const char *name, char *out, size_t size)
{
	char start[64];
	const char *line = buf_text(&op->headers);
	int n = snprintf(start, sizeof start, "%s: ", name);

	out[0] = '\0';
	for (; line != NULL && *line != '\0'; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
		if (strncmp(line, start, (size_t)n) == 0) {
			snprintf(out, size, "%.*s", (int)strcspn(line + n, "\n"), line + n);
			return;
		}
}

static int64_t number_header(const struct op *op, const char *name)
{
	char text[64];
	int64_t value = 0;

	op_answer_header(op, name, text, sizeof text);
	text[strspn(text, "0123456789")] = '\0';
	return text_int(text, &value) ? value : 0;
}

#define RATE_WAIT_MAX (24ll * 3600 * 1000)

/* When the platform's own count begins anew; -1: it does not say. */
static int64_t reset_in(const struct op *op)
{
	char text[64];
	int64_t n = 0, at;
	struct cx cx;

	op_answer_header(op, op->platform->header_reset, text, sizeof text);
	cx_init(&cx, NULL);
	if (text_eq(op->platform->reset, "iso"))
		return zone_parse(&cx, text, NULL, NULL, &at) == RC_OK ? at - clock_now() : -1;
	text[strspn(text, "0123456789")] = '\0';
	if (text[0] == '\0' || !text_int(text, &n) || n > INT64_MAX / 2000)
		return -1;
	return text_eq(op->platform->reset, "unix") ? n * 1000 - clock_now() : n * 1000;
}

/* A platform that says that nothing is left is not asked for this account until its count begins anew. */
static void heed_rate(struct op *op)
{
	char left[24];
	int64_t wait;

	if (!op->publish || op->platform->header_remaining[0] == '\0')
		return;
	op_answer_header(op, op->platform->header_remaining, left, sizeof left);
	if (!text_eq(left, "0"))
		return;
	wait = reset_in(op);
	if (wait > 0)
		limit_block(op->e->limit, op->d.connection_id, clock_mono() + (wait < RATE_WAIT_MAX ? wait : RATE_WAIT_MAX));
}

int64_t op_answer_time(const struct op *op)
{
	char text[64];

	op_answer_header(op, "date", text, sizeof text);
	return http_date(text);
}

/* A server that wants its nonce has done nothing: the same request once more, also one that is never repeated. */
static bool sent_again(struct op *op)
{
	bool again = op->answered && dpop_answered(op) && !op->dpop_again;

	op->dpop_again = again;
	if (again && op_fresh_enough(op))
		op_send(op);
	else if (again)
		commit_intent(op);
	return again;
}

static void sent(void *arg, const struct http_answer *answer)
{
	struct op *op = arg;

	request_close(op);
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
	if (sent_again(op))
		return;
	op->retry_after_ms = number_header(op, "retry-after") * 1000;
	heed_rate(op);
	failpoint("send.done");
	switch (answer->outcome) {
	case HTTP_ANSWERED: op_step(op, "answer"); break;
	case HTTP_UNSENT: outcome_unsent(op, answer->words); break;
	case HTTP_LOST: outcome_lost(op, answer->words); break;
	case HTTP_REFUSED: outcome_refused(op, "platform_not_configured", answer->words); break;
	}
}

static void send_built(struct op *op, struct request *q, enum http_egress egress)
{
	const char *lines[REQUEST_HEADERS + 1];

	request_lines(q, lines);
	op->at = OP_SENDING;
	op->sent_at = clock_now();
	op->method = q->method;
	op->endpoint = arena_text(&op->arena, buf_text(&q->shown));
	op->e->stats.sends++;
	http_send(op->e->http, &(struct http_request){
		.method = q->method, .url = buf_text(&q->url), .headers = lines, .parts = q->parts, .part_count = (size_t)q->part_count,
		.egress = egress, .fresh = op->repeat != REPEAT_SAFE, .total_ms = op->e->config.conf->request_timeout_ms,
	}, sent, op);
	request_hand_over(q);
}

void op_send(struct op *op)
{
	enum http_egress egress = HTTP_PROVIDER;
	struct request q;

	if (db_rescue(op->e->db)) {		/* its outcome could not be kept: it rests until there is a sound store */
		op_wait(op, INT32_MAX, true);
		return;
	}
	request_build(&q, op, op->repeat == REPEAT_SAFE ? &op->action : &op->intent);
	egress_check(op, &q, false, &egress);
	misuse_tell(op, &q);
	if (q.fault != NULL)
		outcome_refused(op, q.code, q.fault);
	else
		send_built(op, &q, egress);
	request_free(&q);
}

/* The browser's history and the platform's log see it: who we are may stand there, never what only we may know. */
static bool may_show(const struct rec *r)
{
	static const char *const shown[] = {"client.id", "oauth.state", NULL};

	for (int i = 0; shown[i] != NULL; i++)
		if (rec_is(r, shown[i]))
			return true;
	return r->value_len > 4 && (memcmp(r->value, "sec:", 4) == 0 || memcmp(r->value, "made", 4) == 0);
}

static void redirect_check(struct op *op, struct request *q)
{
	size_t at = 0;
	struct rec r;

	while (q->fault == NULL && rec_next(op->action.data, op->action.len, &at, &r, NULL))
		if (r.kind == REC_URL_HANDLE && !may_show(&r)) {
			q->fault = arena_printf(&op->arena, "the provider puts %.*s into an address for the browser", (int)r.value_len, r.value);
			q->misuse = true;
		}
}

char *send_redirect(struct op *op, const char **ret_fault)
{
	enum http_egress egress = HTTP_PROVIDER;
	struct request q;
	char *url;

	request_build(&q, op, &op->action);
	redirect_check(op, &q);
	egress_check(op, &q, true, &egress);
	misuse_tell(op, &q);
	*ret_fault = q.fault;
	url = q.fault == NULL ? buf_take(&q.url) : NULL;
	request_free(&q);
	return url;
}
