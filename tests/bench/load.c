/*
 * HTTP clients on one epoll: as many keep-alive connections as asked for, one request at a time on each.
 *
 * The one thing to know: on a schedule the time of a request runs from the moment at which it was due, not from
 * the one at which a connection was free for it, so a stall of the server is counted for everybody it delayed.
 */
#include "tests/bench/bench.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define ANSWER_MAX (8u << 20)

struct client { int fd; struct buf in; int64_t asked_us; bool busy; };

struct running {
	const struct load *l;
	struct client *clients;
	int poll, *idle, idle_first, idle_count;	/* a ring: none may be idle so long that the server closes it */
	int64_t start, from, until, next_us;	/* next: of the schedule */
	uint64_t asked;
	struct buf out;
	uint32_t *us;
	size_t count, room;
	size_t body;
};

static int dial(int port)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	if (fd >= 0 && connect(fd, (struct sockaddr *)&at, sizeof at) != 0) {
		close(fd);
		return -1;
	}
	if (fd >= 0)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	return fd;
}

/* Length of the whole answer at the start of in; 0: not known yet. */
static size_t answer_length(const struct buf *in, size_t *ret_head)
{
	const char *end = in->len > 0 ? memmem(in->data, in->len, "\r\n\r\n", 4) : NULL, *line;

	if (end == NULL)
		return 0;
	*ret_head = (size_t)(end - in->data) + 4;
	line = strcasestr(in->data, "\r\ncontent-length:");
	if (line == NULL || line > end)
		die("an answer without Content-Length: %.200s", in->data);
	return *ret_head + strtoul(line + 17, NULL, 10);
}

static int status_of(const struct buf *in)
{
	return in->len > 12 ? (int)strtol(in->data + 9, NULL, 10) : 0;
}

static void ask(struct running *r, struct client *c, int64_t due)
{
	buf_reset(&r->out);
	r->l->ask(r->l->arg, r->asked++, &r->out);
	c->asked_us = due;
	c->busy = true;
	if (send(c->fd, r->out.data, r->out.len, MSG_NOSIGNAL) != (ssize_t)r->out.len)
		die("a request could not be sent: %s", strerror(errno));
}

static void note(struct running *r, int64_t now, int64_t asked)
{
	if (now < r->from || now >= r->until)
		return;
	if (r->count == r->room) {
		r->room = r->room ? r->room * 2 : 1 << 16;
		r->us = realloc(r->us, r->room * sizeof *r->us);
		if (r->us == NULL)
			die("out of memory");
	}
	r->us[r->count++] = (uint32_t)(now - asked);
}

static void idle_add(struct running *r, int client)
{
	r->idle[(r->idle_first + r->idle_count++) % r->l->connections] = client;
}

static int idle_take(struct running *r)
{
	int client = r->idle[r->idle_first];

	r->idle_first = (r->idle_first + 1) % r->l->connections;
	r->idle_count--;
	return client;
}

static void answered(struct running *r, struct client *c, size_t head, size_t length)
{
	int64_t now = now_us();

	if (status_of(&c->in) / 100 != 2)
		die("the server answered: %.900s", c->in.data);
	note(r, now, c->asked_us);
	r->body = length - head;
	buf_drop(&c->in, length);
	c->busy = false;
	if (r->l->rate > 0)
		idle_add(r, (int)(c - r->clients));
	else
		ask(r, c, now);
}

static void client_read(struct running *r, struct client *c)
{
	char *room = buf_room(&c->in, 65536);
	ssize_t n = room ? recv(c->fd, room, 65536, MSG_DONTWAIT) : -1;
	size_t head = 0, length;

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0)
		die("the server closed a connection: %s", n < 0 ? strerror(errno) : "end");
	buf_grew(&c->in, (size_t)n);
	length = answer_length(&c->in, &head);
	if (length > 0 && c->in.len >= length)
		answered(r, c, head, length);
}

/* Hands due requests to free connections; microseconds until the next one. */
static int64_t schedule(struct running *r)
{
	double gap = 1e6 / r->l->rate;
	int64_t now = now_us();

	while (r->idle_count > 0 && r->next_us <= now) {
		ask(r, &r->clients[idle_take(r)], r->next_us);
		r->next_us = r->start + (int64_t)((double)r->asked * gap);
	}
	return r->idle_count > 0 ? r->next_us - now : 100000;
}

static void turn(struct running *r)
{
	struct epoll_event events[64];
	int64_t wait = r->l->rate > 0 ? schedule(r) : 100000;
	struct timespec t = {.tv_nsec = (wait > 0 ? wait : 0) * 1000};
	int n = epoll_pwait2(r->poll, events, 64, &t, NULL);

	for (int i = 0; i < n; i++)
		client_read(r, events[i].data.ptr);
}

static void clients_open(struct running *r)
{
	for (int i = 0; i < r->l->connections; i++) {
		struct client *c = &r->clients[i];
		struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};

		c->fd = dial(r->l->port);
		if (c->fd < 0 || epoll_ctl(r->poll, EPOLL_CTL_ADD, c->fd, &e) != 0)
			die("cannot connect to port %d: %s", r->l->port, strerror(errno));
		buf_init(&c->in, ANSWER_MAX);
		if (r->l->rate > 0)
			idle_add(r, i);
		else
			ask(r, c, now_us());
	}
}

/* What is under way is answered before the connections close, so that a next part starts in silence. */
static void clients_close(struct running *r)
{
	for (int i = 0; i < r->l->connections; i++) {
		struct client *c = &r->clients[i];
		size_t head, length = 0;

		while (c->busy) {
			char *room = buf_room(&c->in, 65536);
			ssize_t n = recv(c->fd, room, 65536, 0);

			if (n <= 0)
				break;
			buf_grew(&c->in, (size_t)n);
			length = answer_length(&c->in, &head);
			c->busy = length == 0 || c->in.len < length;
		}
		close(c->fd);
		buf_free(&c->in);
	}
}

void load_run(const struct load *l, struct load_seen *ret)
{
	struct running r = {.l = l, .poll = epoll_create1(EPOLL_CLOEXEC)};

	r.clients = calloc((size_t)l->connections, sizeof *r.clients);
	r.idle = calloc((size_t)l->connections, sizeof *r.idle);
	if (r.poll < 0 || r.clients == NULL || r.idle == NULL)
		die("out of memory");
	buf_init(&r.out, 1 << 20);
	r.start = r.next_us = now_us();
	r.from = r.start + (int64_t)(l->warm_s * 1e6);
	r.until = r.from + (int64_t)(l->run_s * 1e6);
	clients_open(&r);
	while (now_us() < r.until)
		turn(&r);
	clients_close(&r);
	*ret = (struct load_seen){.asked = r.asked, .answers = r.count, .per_s = (double)r.count / l->run_s, .body = r.body};
	ret->p50_ms = percentile_ms(r.us, r.count, 0.5);
	ret->p99_ms = percentile_ms(r.us, r.count, 0.99);
	ret->max_ms = percentile_ms(r.us, r.count, 1);
	close(r.poll);
	buf_free(&r.out);
	free(r.us);
	free(r.idle);
	free(r.clients);
}

/* head: the whole request. */
int load_call(int port, const char *head, struct buf *body)
{
	int fd = dial(port), status = 0;
	size_t n = 0, length = 0;
	struct buf in;

	if (fd < 0)
		return 0;
	buf_init(&in, ANSWER_MAX);
	if (send(fd, head, strlen(head), MSG_NOSIGNAL) == (ssize_t)strlen(head))
		for (;;) {
			char *room = buf_room(&in, 65536);
			ssize_t got = recv(fd, room, 65536, 0);

			if (got <= 0)
				break;
			buf_grew(&in, (size_t)got);
			length = answer_length(&in, &n);
			if (length > 0 && in.len >= length) {
				status = status_of(&in);
				break;
			}
		}
	close(fd);
	if (status != 0 && body != NULL)
		buf_add(body, in.data + n, length - n);
	buf_free(&in);
	return status;
}
