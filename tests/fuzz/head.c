/*
 * Requests as bytes: CivetWeb's real parser and our check of what it made of them, over a loopback connection.
 *
 * Beside them stands a second reader, written from RFC 9112 as strictly as nginx reads: whatever reaches the handler
 * must be exactly the requests that this reader sees, in order, with the same target, fields and body.  A byte that
 * the two understand differently is a smuggled request.
 */
#include "fuzz.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/io/web.h"
#include "core/io/web_conn.h"

#define SEEN_MAX 512
#define BODY_MAX (64 * 1024)

static struct web *web;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* What the handler was given. */
struct seen { char *text; size_t body_n; char *body; };
static struct seen seen[SEEN_MAX];
static int seen_count;

/* ---- our side ----------------------------------------------------------------------------------------------- */

static char *request_text(const struct web_request *r)
{
	struct buf out;
	char *text;

	buf_init(&out, 1u << 20);
	buf_addf(&out, "%s %s%s%s\n", r->method, r->path, *r->query ? "?" : "", r->query);
	for (int i = 0; i < r->conn->count; i++)
		buf_addf(&out, "%s:%s\n", r->conn->fields[i].name, r->conn->fields[i].value);
	text = buf_take(&out);
	MUST(text != NULL);
	return text;
}

static void on_request(void *arg, const struct web_request *r, struct web_answer *a)
{
	const char *body = "";
	size_t n = 0;
	struct cx cx;

	(void)arg;
	a->status = 200;
	cx_init(&cx, NULL);
	if (web_body(&cx, r, BODY_MAX, &body, &n) != RC_OK) {
		a->status = 400;
		a->close = true;
		return;
	}
	pthread_mutex_lock(&lock);
	MUST(seen_count < SEEN_MAX);
	seen[seen_count].text = request_text(r);
	seen[seen_count].body = fuzz_text((const uint8_t *)body, n);
	seen[seen_count++].body_n = n;
	pthread_mutex_unlock(&lock);
}

static void on_refuse(void *arg, int status, const char *words, struct web_answer *a)
{
	(void)arg;
	a->status = status;
	buf_adds(a->body, words ? words : "");
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct web_config config = {.listen = "127.0.0.1:0", .threads = 4, .per_address = 1000, .handle = on_request, .refuse = on_refuse};
	struct cx cx;

	(void)argc, (void)argv;
	log_set(LOG_ERROR + 1);
	cx_init(&cx, NULL);
	MUST_SAY(web_open(&cx, &config, &web) == RC_OK, "%s", cx.words);
	return 0;
}

/* ---- the far side ------------------------------------------------------------------------------------------- */

/* The fuzzer's own alarm may interrupt it; what was begun then goes on by itself. */
static bool reached(int fd, const struct sockaddr_in *to)
{
	while (connect(fd, (const struct sockaddr *)to, sizeof *to) != 0)
		if (errno != EINTR && errno != EALREADY)
			return errno == EISCONN;
	return true;
}

/* From an address of its own each time, so that no port is waited for.  Returns when the server has closed. */
static void exchange(const uint8_t *data, size_t size)
{
	static uint32_t next;
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)web_port(web))}, from = {.sin_family = AF_INET};
	struct timeval wait = {20, 0};
	struct linger hard = {1, 0};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
	char answer[4096];
	ssize_t n;

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	from.sin_addr.s_addr = htonl(0x7f010001u + next++ % 0x8000u);
	MUST(bind(fd, (struct sockaddr *)&from, sizeof from) == 0);
	MUST_SAY(reached(fd, &to), "connection %u: %s", next, strerror(errno));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
	for (size_t at = 0; at < size;) {
		n = send(fd, data + at, size - at, MSG_NOSIGNAL);
		if (n <= 0 && errno != EINTR)
			break;
		at += n > 0 ? (size_t)n : 0;	/* the fuzzer's own alarm may interrupt */
	}
	shutdown(fd, SHUT_WR);
	do
		n = recv(fd, answer, sizeof answer, 0);
	while (n > 0 || (n < 0 && errno == EINTR));
	close(fd);
}

/* ---- the second reader -------------------------------------------------------------------------------------- */

struct reader { const char *at, *end; };

static bool tchar(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c && strchr("!#$%&'*+-.^_`|~", c));
}

/* The line up to CR LF, which it must not hold otherwise. */
static bool line_read(struct reader *r, const char **line, size_t *n)
{
	const char *lf = memchr(r->at, '\n', (size_t)(r->end - r->at));

	if (lf == NULL || lf == r->at || lf[-1] != '\r')
		return false;
	*line = r->at;
	*n = (size_t)(lf - 1 - r->at);
	r->at = lf + 1;
	return memchr(*line, '\r', *n) == NULL && memchr(*line, 0, *n) == NULL;
}

static bool start_read(const char *line, size_t n, struct buf *out)
{
	const char *one = memchr(line, ' ', n), *two = one ? memchr(one + 1, ' ', n - (size_t)(one + 1 - line)) : NULL;

	if (two == NULL || one == line || one + 1 == two || one[1] != '/')
		return false;
	for (const char *c = line; c < one; c++)
		if (!tchar(*c))
			return false;
	for (const char *c = one + 1; c < two; c++)
		if ((unsigned char)*c <= ' ' || (unsigned char)*c >= 0x7f)
			return false;
	n -= (size_t)(two + 1 - line);
	if (n != 8 || memcmp(two + 1, "HTTP/1.", 7) != 0 || two[8] < '0' || two[8] > '9')
		return false;
	if (memchr(one, '?', (size_t)(two - one)) == two - 1)
		two--;			/* an empty query is none */
	buf_addf(out, "%.*s\n", (int)(two - line), line);
	return true;
}

struct known { int hosts, lengths; long long length; bool other; };

static bool field_read(const char *line, size_t n, struct buf *out, struct known *k)
{
	const char *colon = memchr(line, ':', n), *value = colon ? colon + 1 : NULL, *end = line + n;

	if (colon == NULL || colon == line)
		return false;
	for (const char *c = line; c < colon; c++)
		if (!tchar(*c))
			return false;
	while (value < end && (*value == ' ' || *value == '\t'))
		value++;
	while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	n = (size_t)(colon - line);
	k->hosts += n == 4 && strncasecmp(line, "Host", 4) == 0;
	k->other |= n == 17 && strncasecmp(line, "Transfer-Encoding", 17) == 0;
	if (n == 14 && strncasecmp(line, "Content-Length", 14) == 0) {
		k->lengths++;
		k->other |= value == end || strspn(value, "0123456789") < (size_t)(end - value) || end - value > 15;
		k->length = strtoll(value, NULL, 10);
	}
	buf_addf(out, "%.*s:%.*s\n", (int)n, line, (int)(end - value), value);
	return true;
}

/* The request line ends with CR LF; but the library overwrites two blanks of any kind there, of which the first breaks
 * lines, before anybody can look at them.  No header and no body begins elsewhere by that. */
static bool start_line_read(struct reader *r, const char **line, size_t *n)
{
	const char *end = r->at;

	while (end < r->end && *end != '\r' && *end != '\n')
		end++;
	if (r->end - end < 2 || end[1] == '\0' || strchr(" \t\n\v\f\r", end[1]) == NULL)
		return false;
	*line = r->at;
	*n = (size_t)(end - r->at);
	r->at = end + 2;
	return memchr(*line, 0, *n) == NULL;
}

/* The next request; false: there is none, or none that a strict reader would take. */
static bool request_read(struct reader *r, struct buf *out, const char **body, size_t *body_n)
{
	struct known k = {0};
	const char *line;
	size_t n;

	if (!start_line_read(r, &line, &n) || !start_read(line, n, out))
		return false;
	while (line_read(r, &line, &n) && n > 0)
		if (!field_read(line, n, out, &k))
			return false;
	if (r->at[-1] != '\n' || n != 0 || k.hosts != 1 || k.lengths > 1 || k.other || k.length > r->end - r->at)
		return false;
	*body = r->at;
	*body_n = (size_t)k.length;
	r->at += k.length;
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct reader r = {(const char *)data, (const char *)data + size};

	if (size == 0)
		return 0;
	exchange(data, size);
	pthread_mutex_lock(&lock);
	for (int i = 0; i < seen_count; i++) {
		struct buf want BUF_AUTO;
		const char *body = "";
		size_t n = 0;

		buf_init(&want, 1u << 20);
		MUST_SAY(request_read(&r, &want, &body, &n), "request %d reaches the handler and is none: %s", i + 1, seen[i].text);
		MUST_SAY(strcmp(buf_text(&want), seen[i].text) == 0, "request %d is\n%snot\n%s", i + 1, seen[i].text, buf_text(&want));
		MUST_SAY(n == seen[i].body_n && memcmp(body, seen[i].body, n) == 0, "request %d has the body %.*s, not %.*s", i + 1,
			(int)seen[i].body_n, seen[i].body, (int)n, body);
		free(seen[i].text);
		free(seen[i].body);
	}
	seen_count = 0;
	pthread_mutex_unlock(&lock);
	return 0;
}
