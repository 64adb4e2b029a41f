/*
 * Incoming HTTP over CivetWeb 1.15, the only file that knows the library.
 *
 * Everything is answered in begin_request, which runs before the library looks at files, CORS, WebSocket or
 * its own handlers; none of those is ever reached.  The library parses the head, we judge it (web_head.c).
 * Whatever breaks a rule ends the connection: keep-alive is only for requests whose every byte was
 * accounted for, and a body that nobody read is not.
 */
#include "core/io/web.h"

#include <civetweb.h>
#include <ctype.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/io/web_conn.h"
#include "core/io/web_socket.h"

#if CIVETWEB_VERSION_MAJOR != 1 || CIVETWEB_VERSION_MINOR != 15
#error "The head check was measured against CivetWeb 1.15: run tests/unit/web.c before allowing another."
#endif

#define ARENA_MAX ((size_t)96 << 20)	/* a 1 MiB body of the worst JSON, parsed, stays far below */
#define BODY_MS 30000			/* for a whole body, and then one second more per BODY_RATE bytes */
#define BODY_RATE (16 * 1024)
#define DRAIN_MS 1000
#define SINGLES_FIRST 1024
#define SINGLES 64
#define FEW 8				/* taken together while they come without waiting; a call of the library is dear */
#define DRAIN_MAX (4 << 20)
#define PEERS_MAX 256

struct peer { char address[48]; int count; };

struct web {
	struct web_config config;
	struct mg_context *mg;
	int port;
	pthread_mutex_t lock;
	pthread_cond_t idle;
	int running;			/* requests inside the handler */
	atomic_bool closing;
	struct peer peers[PEERS_MAX];	/* one per address that holds a worker; a free one has count 0 */
};

/* ---- reading the body ------------------------------------------------------------------------------ */

static int conn_socket(struct web_conn *c)
{
	const struct mg_request_info *info = mg_get_request_info(c->mg);

	if (c->socket == -2)
		c->socket = web_socket_find(info->remote_addr, info->remote_port, info->server_port);
	return c->socket;
}

static void conn_continue(struct web_conn *c)
{
	static const char line[] = "HTTP/1.1 100 Continue\r\n\r\n";

	if (c->expects)
		mg_write(c->mg, line, sizeof(line) - 1);
	c->expects = false;
}

/* How much may be asked of the library without waiting: what the kernel holds, else one byte, which may
 * come from the library's own buffer.  Asking the kernel costs more than many single bytes, and a small body
 * mostly lies in that buffer: it came with its head.  Behind a byte that was there at once a few are taken
 * together; whoever trickles gains the time of one such handful beyond his deadline, and then waits alone. */
static size_t read_size(struct web_conn *c, size_t n)
{
	int64_t left = c->length - c->taken;
	size_t ready;

	if (n > (size_t)left)
		n = (size_t)left;
	if (n <= 1)
		return n;
	if (c->singles > 0) {
		n = !c->quick ? 1 : n < FEW ? n : FEW;
		c->singles -= (int)n;
		return n;
	}
	ready = (size_t)web_socket_ready(conn_socket(c));
	if (ready >= 1)
		return ready < n ? ready : n;
	c->singles = SINGLES;
	c->quick = false;
	return 1;
}

static enum rc read_late(struct cx *cx, struct web_conn *c)
{
	c->broken = true;
	return fail_code(cx, RC_TIMEOUT, "request_timeout", NULL, "The request body arrived too slowly: %lld of %lld bytes came in time.",
		(long long)c->taken, (long long)c->length);
}

enum rc web_read(struct cx *cx, const struct web_request *r, void *bytes, size_t n, size_t *ret_len)
{
	struct web_conn *c = r->conn;
	int64_t now = clock_mono(), before;
	size_t got = 0;

	if (!c->deadline)
		c->deadline = now + BODY_MS;
	conn_continue(c);
	while (got < n && c->taken < c->length && !c->broken) {
		int part;

		if (now > c->deadline + c->taken * 1000 / BODY_RATE)
			return read_late(cx, c);
		before = now;
		part = mg_read(c->mg, (char *)bytes + got, read_size(c, n - got));
		if (part <= 0) {
			c->broken = true;
			return fail_code(cx, RC_INVALID, "invalid_request", NULL,
				"The request body ended early: Content-Length says %lld bytes, %lld came.",
				(long long)c->length, (long long)c->taken);
		}
		now = clock_mono();
		c->quick = now - before <= 1;
		got += (size_t)part;
		c->taken += part;
	}
	*ret_len = got;
	return RC_OK;
}

enum rc web_body(struct cx *cx, const struct web_request *r, size_t max, const char **ret, size_t *ret_len)
{
	int64_t length = r->conn->length;
	size_t n = 0;
	char *bytes;
	enum rc rc;

	if (length > (int64_t)max)
		return fail_code(cx, RC_TOO_LARGE, "payload_too_large", NULL, "The request body has %lld bytes; %zu are allowed.",
			(long long)length, max);
	bytes = arena_alloc(r->arena, (size_t)length + 1);
	rc = web_read(cx, r, bytes, (size_t)length, &n);
	if (rc)
		return rc;
	*ret = bytes;
	*ret_len = n;
	return RC_OK;
}

bool web_gone(const struct web_request *r, int ms)
{
	return web_socket_gone(conn_socket(r->conn), ms);
}

/* ---- writing the answer ---------------------------------------------------------------------------- */

/* Head and body leave in one write. */
static void answer_send(struct mg_connection *mg, const struct web_answer *a, bool head_only)
{
	BUF_AUTO struct buf out;

	if (a->close)
		mg_disable_connection_keep_alive(mg);
	web_answer_build(&out, a, mg_get_response_code_text(mg, a->status), head_only);
	if (!buf_ok(&out) || mg_write(mg, buf_text(&out), out.len) < (int)out.len)
		mg_disable_connection_keep_alive(mg);
}

static void refuse(struct web *w, int status, const char *words, struct web_answer *a)
{
	buf_reset(a->body);
	buf_reset(a->headers);
	a->type = NULL;
	a->status = status;
	w->config.refuse(w->config.arg, status, words, a);
	a->close = true;
}

static void refuse_send(struct web *w, struct mg_connection *mg, int status, const char *words)
{
	BUF_AUTO struct buf body;
	BUF_AUTO struct buf headers;
	struct web_answer a;

	web_answer_init(&a, &body, &headers);
	refuse(w, status, words, &a);
	answer_send(mg, &a, false);
}

/* ---- one request ----------------------------------------------------------------------------------- */

/* CivetWeb's header pairs have another type, not another shape. */
static void fields_copy(struct web_conn *c, const struct mg_request_info *info)
{
	c->count = info->num_headers > WEB_FIELDS_MAX ? WEB_FIELDS_MAX : info->num_headers;
	for (int i = 0; i < c->count; i++) {
		c->fields[i].name = info->http_headers[i].name;
		c->fields[i].value = info->http_headers[i].value;
	}
}

static void fields_trim(struct web_conn *c, struct arena *a)
{
	for (int i = 0; i < c->count; i++) {
		size_t n = strlen(c->fields[i].value), end = n;

		while (end && (c->fields[i].value[end - 1] == ' ' || c->fields[i].value[end - 1] == '\t'))
			end--;
		if (end < n)
			c->fields[i].value = arena_dup(a, c->fields[i].value, end);
	}
}

static bool field_is(const struct web_request *r, const char *name, const char *value)
{
	const char *text = web_header_in(r, name);

	return text && !strcasecmp(text, value);
}

/*
 * Whether the request line stands at the very start of the library's buffer.  The library leaves out blanks before it,
 * but takes the end of the head for where two empty lines among them end: then it reads the body too early, and the
 * same head once more as the next request.  The buffer is a block of malloc's: its start is aligned, and the byte
 * before it is the highest of a size, which is no blank.
 */
__attribute__((no_sanitize_address)) static bool starts_buffer(const char *method)
{
	const volatile char *before = method - 1;

	return (uintptr_t)method % 16 == 0 && !isspace((unsigned char)*before);
}

/* Checks the head and fills r; the HTTP status of a refusal, or 0. */
static int request_fill(struct web_request *r, struct web_conn *c, const struct mg_request_info *info, const char **ret_words)
{
	struct web_head head = {info->request_method, info->request_uri, info->query_string, info->http_version, c->fields, 0};
	const char *length;
	int status;

	fields_copy(c, info);
	head.count = info->num_headers;
	if (head.method && !starts_buffer(head.method)) {
		*ret_words = "Something stands before the request line.";
		return 400;
	}
	status = web_head_check(&head, ret_words);
	if (status)
		return status;
	fields_trim(c, r->arena);
	status = web_fields_check(c->fields, c->count, ret_words);
	if (status)
		return status;
	r->conn = c;
	r->method = info->request_method;
	r->path = info->request_uri;
	r->query = info->query_string ? info->query_string : "";
	r->address = info->remote_addr;
	length = web_header_in(r, "Content-Length");
	c->length = length ? strtoll(length, NULL, 10) : 0;
	r->content_length = length ? c->length : -1;
	c->expects = c->length > 0 && field_is(r, "Expect", "100-continue");
	if (!web_fields_parse(r->arena, r->query, strlen(r->query), &c->query, &c->query_count)) {
		*ret_words = "The query has a malformed percent escape.";
		return 400;
	}
	return 0;
}

/* As the library decides, so that the answer says what will happen: 1.1 stays unless a Connection header does not ask for it. */
static bool client_leaves(const struct web_request *r, const struct mg_request_info *info)
{
	const char *wish = web_header_in(r, "Connection");

	return wish ? !strcasestr(wish, "keep-alive") : !info->http_version || strcmp(info->http_version, "1.1") != 0;
}

static void request_answer(struct web *w, struct web_request *r, struct web_answer *a)
{
	w->config.handle(w->config.arg, r, a);
	if (!a->abort && (!buf_ok(a->body) || !buf_ok(a->headers) || a->status < 200 || a->status > 599)) {
		log_error("web", "the answer to %s has status %d and cannot be sent: too large, or a bad header", r->method, a->status);
		refuse(w, 500, "The answer could not be built.", a);
	}
}

static void request_run(struct web *w, struct mg_connection *mg, struct arena *arena)
{
	struct web_conn *c = arena_new(arena, struct web_conn);
	struct web_request r = {.arena = arena};
	BUF_AUTO struct buf body;
	BUF_AUTO struct buf headers;
	struct web_answer a;
	const char *words = NULL;
	int status;

	c->mg = mg;
	c->socket = -2;
	c->singles = SINGLES_FIRST;
	web_answer_init(&a, &body, &headers);
	status = request_fill(&r, c, mg_get_request_info(mg), &words);
	if (status)
		refuse(w, status, words, &a);
	else
		request_answer(w, &r, &a);
	if (a.abort) {
		web_socket_reset(conn_socket(c));
		mg_disable_connection_keep_alive(mg);
		return;
	}
	a.close = a.close || c->taken < c->length || w->closing || status || client_leaves(&r, mg_get_request_info(mg));
	answer_send(mg, &a, r.method && !strcmp(r.method, "HEAD"));
	if (c->taken < c->length && !c->expects && !c->broken)
		web_socket_drain(conn_socket(c), DRAIN_MAX, DRAIN_MS);
}

/* False when the server is about to close: running requests are finished, new ones are told. */
static bool run_begin(struct web *w)
{
	bool open;

	pthread_mutex_lock(&w->lock);
	open = !w->closing;
	w->running += open;
	pthread_mutex_unlock(&w->lock);
	return open;
}

static void run_end(struct web *w)
{
	pthread_mutex_lock(&w->lock);
	if (--w->running == 0)
		pthread_cond_broadcast(&w->idle);
	pthread_mutex_unlock(&w->lock);
}

static struct peer *peer_find(struct web *w, const char *address)
{
	struct peer *unused = NULL;

	for (int i = 0; i < PEERS_MAX; i++) {
		struct peer *p = &w->peers[i];

		if (p->count && !strcmp(p->address, address))
			return p;
		if (!p->count && !unused)
			unused = p;
	}
	if (unused)
		snprintf(unused->address, sizeof(unused->address), "%s", address);
	return unused;
}

/* Counts a connection at its first request; before that the library does not tell its address, and a silent
 * one is bounded by request_timeout_ms alone.  False: the address has too many. */
static bool peer_enter(struct web *w, struct mg_connection *mg)
{
	struct peer *p = mg_get_user_connection_data(mg);
	bool fits = true;

	if (p)
		return true;
	pthread_mutex_lock(&w->lock);
	p = peer_find(w, mg_get_request_info(mg)->remote_addr);
	fits = p && p->count < w->config.per_address;
	if (fits)
		p->count++;
	pthread_mutex_unlock(&w->lock);
	if (fits)
		mg_set_user_connection_data(mg, p);
	return fits;
}

static int on_request(struct mg_connection *mg)
{
	struct web *w = mg_get_user_context_data(mg);
	ARENA_AUTO struct arena arena;

	arena_init(&arena, ARENA_MAX);
	if (!peer_enter(w, mg)) {
		refuse_send(w, mg, 503, "This address has too many connections.");
		return 503;
	}
	if (!run_begin(w)) {
		refuse_send(w, mg, 503, "The server is stopping.");
		return 503;
	}
	request_run(w, mg, &arena);
	run_end(w);
	return 200;
}

/* ---- what the library calls ----------------------------------------------------------------------- */

static void on_close(const struct mg_connection *mg)
{
	struct web *w = mg_get_user_context_data(mg);
	struct peer *p = mg_get_user_connection_data(mg);

	if (!w || !p)
		return;
	pthread_mutex_lock(&w->lock);
	p->count--;
	pthread_mutex_unlock(&w->lock);
}

/* The library's own refusals: its words may quote the request, ours do not. */
static int on_error(struct mg_connection *mg, int status, const char *words)
{
	static const struct { int status, ours; const char *words; } table[] = {
		{413, 431, "The request head is larger than 16 KiB."},
		{414, 431, "The request target is too long."},
		{408, 408, "The request head did not arrive in time."},
		{411, 400, "Content-Length is malformed."},
		{500, 500, "The server could not answer."},
		{503, 503, "The server is busy."},
		{505, 400, "Only HTTP/1.1 and HTTP/1.0 are spoken here."},
		{0, 400, "The request head is malformed, far too large, or did not arrive in time."},
	};
	size_t i = 0;

	(void)words;
	while (table[i].status && table[i].status != status)
		i++;
	refuse_send(mg_get_user_context_data(mg), mg, table[i].ours, table[i].words);
	return 0;
}

static int on_access(const struct mg_connection *mg, const char *line)
{
	(void)mg, (void)line;	/* it holds the query */
	return 1;
}

static int on_message(const struct mg_connection *mg, const char *line)
{
	(void)mg;
	log_debug("web", "%s", line);
	return 1;
}

/* ---- open and close -------------------------------------------------------------------------------- */

static enum rc web_start(struct cx *cx, struct web *w)
{
	const struct mg_callbacks calls = {
		.begin_request = on_request, .log_message = on_message, .log_access = on_access, .http_error = on_error,
		.connection_close = on_close,
	};
	char threads[16], words[256] = "";
	const char *options[] = {
		"listening_ports", w->config.listen, "num_threads", threads, "request_timeout_ms", "10000",
		"keep_alive_timeout_ms", "5000", "enable_keep_alive", "yes", "tcp_nodelay", "1", "decode_url", "no",
		"max_request_size", "32768", "access_control_allow_methods", "", "access_control_allow_origin", "",
		"enable_auth_domain_check", "no", "enable_directory_listing", "no", NULL,
	};
	struct mg_init_data init = {&calls, w, options};
	unsigned code = 0;
	struct mg_error_data error = {&code, words, sizeof(words)};
	struct mg_server_port port;

	snprintf(threads, sizeof(threads), "%d", w->config.threads);
	w->mg = mg_start2(&init, &error);
	if (!w->mg)
		return fail(cx, RC_UNAVAILABLE, "cannot listen on %s: %s", w->config.listen, words[0] ? words : "is the port taken?");
	memset(&port, 0, sizeof(port));
	if (mg_get_server_ports(w->mg, 1, &port) == 1)
		w->port = port.port;
	return RC_OK;
}

enum rc web_open(struct cx *cx, const struct web_config *config, struct web **ret)
{
	struct web *w;
	enum rc rc;

	if (strncmp(mg_version(), "1.15", 4))
		return fail(cx, RC_BUG, "CivetWeb %s is loaded; the head check is measured for 1.15 only", mg_version());
	w = calloc(1, sizeof(*w));
	if (!w)
		return fail(cx, RC_NOMEM, "no memory for the web server");
	w->config = *config;
	if (w->config.threads <= 0)
		w->config.threads = 64;
	if (w->config.per_address <= 0)
		w->config.per_address = 256;
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->idle, NULL);
	rc = web_start(cx, w);
	if (rc) {
		free(w);
		return rc;
	}
	*ret = w;
	return RC_OK;
}

int web_port(const struct web *w)
{
	return w->port;
}

void web_close(struct web *w)
{
	if (!w)
		return;
	pthread_mutex_lock(&w->lock);
	w->closing = true;
	while (w->running)
		pthread_cond_wait(&w->idle, &w->lock);
	pthread_mutex_unlock(&w->lock);
	mg_stop(w->mg);
	pthread_cond_destroy(&w->idle);
	pthread_mutex_destroy(&w->lock);
	free(w);
}
