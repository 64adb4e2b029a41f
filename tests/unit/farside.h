/*
 * The far side of the tests of outgoing HTTP: a small raw-socket server, and a client's turns until all is done.
 *
 * The one thing to know: the server counts what it has really read, so a test can tell how often a post arrived
 * whatever the client believes.  The path says how the request is answered: see far_actions.
 */
#ifndef MPS_TESTS_UNIT_FARSIDE_H
#define MPS_TESTS_UNIT_FARSIDE_H

#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/io/http.h"
#include "tests/unit/test.h"

#define FAR_REQUEST (2 * 1024 * 1024)

struct far {
	int fd, port;
	pthread_t thread;
	bool mute;			/* accepts and never says a word */
	atomic_int connections, requests, posts, open;
	atomic_long bytes;		/* heads and bodies of all requests */
	pthread_mutex_t lock;		/* of those below, while a connection writes them */
	char last[FAR_REQUEST + 1];	/* the last request, whole */
	size_t last_head, last_length;
};

struct far_link { struct far *far; int fd; char *in; size_t len, head; };

static inline void far_write(int fd, const char *bytes, size_t n)
{
	while (n > 0) {
		ssize_t sent = send(fd, bytes, n, MSG_NOSIGNAL);

		if (sent <= 0)
			return;
		bytes += sent;
		n -= (size_t)sent;
	}
}

static inline void far_say(int fd, const char *text) { far_write(fd, text, strlen(text)); }

/* Each returns whether the connection goes on. */
static inline bool far_ok(struct far_link *l)
{
	far_say(l->fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Thing:  A b \r\n\r\nok");
	return true;
}

static inline bool far_kill(struct far_link *l) { (void)l; return false; }

static inline bool far_reset(struct far_link *l)
{
	struct linger now = { .l_onoff = 1, .l_linger = 0 };

	setsockopt(l->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	return false;
}

static inline bool far_cut(struct far_link *l)
{
	far_say(l->fd, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n0123456789");
	return false;
}

static inline bool far_cut_head(struct far_link *l)
{
	far_say(l->fd, "HTTP/1.1 200 OK\r\nContent-Len");
	return false;
}

static inline bool far_early(struct far_link *l)
{
	far_say(l->fd, "HTTP/1.1 103 Early Hints\r\nX-Early: yes\r\n\r\n");
	return far_ok(l);
}

static inline bool far_fill(struct far_link *l, const char *head, size_t n, const char *tail)
{
	char *fill = malloc(n);

	memset(fill, 'x', n);
	far_say(l->fd, head);
	far_write(l->fd, fill, n);
	far_say(l->fd, tail);
	free(fill);
	return true;
}

static inline bool far_big(struct far_link *l)
{
	return far_fill(l, "HTTP/1.1 200 OK\r\nContent-Length: 2001\r\n\r\n", 2001, "");
}

static inline bool far_full(struct far_link *l)
{
	return far_fill(l, "HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n", 2000, "");
}

static inline bool far_bighead(struct far_link *l)
{
	for (int i = 0; i < 7; i++)
		far_fill(l, i == 0 ? "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Long: " : "X-Long: ", 10000, "\r\n");
	far_say(l->fd, "\r\n");
	return true;
}

static inline bool far_trailer(struct far_link *l)
{
	far_say(l->fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Late\r\n\r\n2\r\nok\r\n0\r\nX-Late: yes\r\n\r\n");
	return true;
}

static inline bool far_moved(struct far_link *l)
{
	far_say(l->fd, "HTTP/1.1 302 Found\r\nLocation: /ok\r\nContent-Length: 0\r\n\r\n");
	return true;
}

static inline bool far_echo(struct far_link *l)
{
	char head[100];

	snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", l->len - l->head);
	far_say(l->fd, head);
	far_write(l->fd, l->in + l->head, l->len - l->head);
	return true;
}

static inline bool far_hang(struct far_link *l)
{
	char c;

	while (read(l->fd, &c, 1) > 0)
		;
	return false;
}

static const struct far_action { const char *path; bool (*answer)(struct far_link *); } far_actions[] = {
	{ "/ok", far_ok }, { "/kill", far_kill }, { "/reset", far_reset }, { "/cut", far_cut },
	{ "/cuthead", far_cut_head }, { "/early", far_early }, { "/big", far_big }, { "/full", far_full },
	{ "/bighead", far_bighead }, { "/trailer", far_trailer }, { "/moved", far_moved }, { "/echo", far_echo },
	{ "/hang", far_hang },
};

/* Reads one whole request into in; returns the length of its head, 0 at the end. */
static inline size_t far_request(struct far_link *l)
{
	size_t head = 0, body = 0;

	for (;;) {
		char *end = strstr(l->in, "\r\n\r\n");
		ssize_t n;

		if (end != NULL) {
			char *length = strcasestr(l->in, "\r\ncontent-length:");

			head = (size_t)(end - l->in) + 4;
			body = length != NULL && length < end ? strtoul(length + 17, NULL, 10) : 0;
			if (l->len >= head + body)
				return head;
		}
		n = read(l->fd, l->in + l->len, FAR_REQUEST - l->len);
		if (n <= 0)
			return 0;
		l->len += (size_t)n;
		l->in[l->len] = '\0';
	}
}

static inline bool far_answer(struct far_link *l, size_t head)
{
	const char *path = strchr(l->in, ' ');
	struct far *far = l->far;

	pthread_mutex_lock(&far->lock);
	memcpy(far->last, l->in, l->len + 1);
	far->last_head = l->head = head;
	far->last_length = l->len;
	pthread_mutex_unlock(&far->lock);
	atomic_fetch_add(&far->bytes, (long)l->len);
	atomic_fetch_add(&far->requests, 1);
	atomic_fetch_add(&far->posts, strncmp(l->in, "POST ", 5) == 0);
	for (size_t i = 0; path != NULL && i < sizeof(far_actions) / sizeof(far_actions[0]); i++) {
		size_t n = strlen(far_actions[i].path);

		if (strncmp(path + 1, far_actions[i].path, n) == 0 && path[1 + n] == ' ')
			return far_actions[i].answer(l);
	}
	return false;
}

static inline void *far_serve(void *arg)
{
	struct far_link *l = arg;
	struct far *far = l->far;
	size_t head;

	if (far->mute)
		far_hang(l);
	else {
		while ((head = far_request(l)) > 0 && far_answer(l, head)) {
			l->len = 0;
			l->in[0] = '\0';
		}
	}
	close(l->fd);
	free(l->in);
	free(l);
	atomic_fetch_sub(&far->open, 1);
	return NULL;
}

static inline void *far_accept(void *arg)
{
	struct far *far = arg;
	int fd;

	while ((fd = accept(far->fd, NULL, NULL)) >= 0) {
		struct far_link *l = calloc(1, sizeof(*l));
		pthread_t thread;

		atomic_fetch_add(&far->connections, 1);
		atomic_fetch_add(&far->open, 1);
		l->far = far;
		l->fd = fd;
		l->in = calloc(1, FAR_REQUEST + 1);
		pthread_create(&thread, NULL, far_serve, l);
		pthread_detach(thread);
	}
	return NULL;
}

static inline int far_listen(int *ret_port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	CHECK(bind(fd, (struct sockaddr *)&a, n) == 0 && listen(fd, 64) == 0);
	CHECK(getsockname(fd, (struct sockaddr *)&a, &n) == 0);
	*ret_port = ntohs(a.sin_port);
	return fd;
}

static inline struct far *far_start(void)
{
	struct far *far = calloc(1, sizeof(*far));

	pthread_mutex_init(&far->lock, NULL);
	far->fd = far_listen(&far->port);
	CHECK(pthread_create(&far->thread, NULL, far_accept, far) == 0);
	return far;
}

/* After the client is closed: its connections have ended. */
static inline void far_stop(struct far *far)
{
	int64_t deadline = clock_mono() + 20000;

	shutdown(far->fd, SHUT_RDWR);
	pthread_join(far->thread, NULL);
	close(far->fd);
	while (atomic_load(&far->open) > 0 && clock_mono() < deadline)
		usleep(1000);
	CHECK_INT(atomic_load(&far->open), 0);
	pthread_mutex_destroy(&far->lock);
	free(far);
}

/* ---- the client ---- */

struct seen {				/* an answer, copied out of done */
	int count;
	struct http_answer answer;
	char words[300], headers[1000];
	char *body;
	size_t body_length;
};

static inline void seen_take(void *arg, const struct http_answer *answer)
{
	struct seen *s = arg;

	s->count++;
	s->answer = *answer;
	snprintf(s->words, sizeof(s->words), "%s", answer->words);
	snprintf(s->headers, sizeof(s->headers), "%s", buf_text(answer->headers));
	free(s->body);
	s->body_length = answer->body->len;
	s->body = strndup(buf_text(answer->body), s->body_length);
}

static inline void far_turns(struct http *h)
{
	int64_t deadline = clock_mono() + 20000;

	while (http_running(h) > 0 && clock_mono() < deadline)
		http_turn(h, NULL, 0, 1000);
	CHECK_INT(http_running(h), 0);
}

static inline struct seen far_send(struct http *h, struct http_request request)
{
	static struct seen s;

	free(s.body);
	memset(&s, 0, sizeof(s));
	http_send(h, &request, seen_take, &s);
	CHECK_INT(s.count, 0);			/* never from http_send itself */
	far_turns(h);
	CHECK_INT(s.count, 1);
	return s;
}

static inline const char *far_url(const char *scheme, int port, const char *path)
{
	static char urls[8][200];
	static unsigned at;
	char *url = urls[at++ % 8];

	snprintf(url, sizeof(urls[0]), "%s://127.0.0.1:%d%s", scheme, port, path);
	return url;
}

/* Opens a client that may reach these ports of 127.0.0.1; ports end with 0. */
static inline struct http *far_open(struct http_config config, const int *ports)
{
	static char entries[8][40];
	static const char *allow[9];
	struct http *h = NULL;
	struct cx cx;
	size_t n = 0;

	for (; ports[n] != 0 && n < 8; n++) {
		snprintf(entries[n], sizeof(entries[n]), "127.0.0.1:%d", ports[n]);
		allow[n] = entries[n];
	}
	allow[n] = NULL;
	config.allow = allow;
	cx_init(&cx, "test");
	CHECK_INT(http_open(&cx, &config, &h), RC_OK);
	return h;
}

#endif
