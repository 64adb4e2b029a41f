/*
 * The far side of deliveries: a process of its own that takes POST /v1/posts as the sandbox platform does for
 * keyed accounts and answers after a fixed time.  It keeps no posts, only what the bench asks for: how many came,
 * how late each one was after the due time in its text, and whether a key came twice.
 */
#include "tests/bench/bench.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define FDS 20000
#define REQUEST_MAX 16384

struct visit { char *in; size_t len; uint32_t number; };	/* number: of the connection under this descriptor */
struct due { int fd; uint32_t number; int64_t at; };

struct far {
	int listener, poll, delay_ms;
	volatile struct stub_seen *seen;
	struct visit visits[FDS];
	struct due ring[FDS];		/* the delay is the same for all, so the first is the first due */
	uint32_t first, count;
};

static int64_t wall_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void note_key(volatile struct stub_seen *s, const char *key, size_t n)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);
	uint32_t at;

	for (size_t i = 0; i < n; i++)
		h = (h ^ (unsigned char)key[i]) * UINT64_C(0x100000001b3);
	h |= 1;
	for (at = (uint32_t)(h >> 40) % STUB_KEYS; s->keys[at] != 0; at = (at + 1) % STUB_KEYS)
		if (s->keys[at] == h) {
			s->duplicates++;
			return;
		}
	s->keys[at] = h;
}

static void note(volatile struct stub_seen *s, const char *request)
{
	const char *due = strstr(request, "due="), *key = strcasestr(request, "\r\nIdempotency-Key: ");
	int64_t late = due ? wall_us() - strtoll(due + 4, NULL, 10) * 1000 : 0;

	s->requests++;
	s->last_us = now_us();
	if (s->first_us == 0)
		s->first_us = s->last_us;
	if (due != NULL && s->late_count < STUB_LATE_MAX)
		s->late_us[s->late_count++] = late > 0 ? (uint32_t)late : 0;
	if (key != NULL)
		note_key(s, key + 19, strcspn(key + 19, "\r"));
	if (++s->waiting > s->waiting_max)
		s->waiting_max = s->waiting;
}

static bool is_post(const char *request)
{
	return strncmp(request, "POST /v1/posts ", 15) == 0 && strcasestr(request, "\r\nAuthorization: Bearer ") != NULL &&
	       strcasestr(request, "\r\nIdempotency-Key: ") != NULL;
}

static void say(int fd, const char *status, const char *body)
{
	char text[512];
	int n = snprintf(text, sizeof text, "HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s", status,
			 strlen(body), body);

	(void)!send(fd, text, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void request(struct far *f, int fd)
{
	struct visit *v = &f->visits[fd];

	if (!is_post(v->in)) {
		f->seen->refused++;
		say(fd, "404 Not Found", "{\"error\":{\"code\":\"not_found\",\"message\":\"The stub only takes posts of keyed accounts.\"}}");
		return;
	}
	note(f->seen, v->in);
	f->ring[(f->first + f->count++) % FDS] = (struct due){fd, v->number, now_us() + f->delay_ms * 1000};
}

static void visit_end(struct far *f, int fd)
{
	f->visits[fd].number++;
	f->visits[fd].len = 0;
	close(fd);
}

static void visit_read(struct far *f, int fd)
{
	struct visit *v = &f->visits[fd];
	ssize_t n = recv(fd, v->in + v->len, REQUEST_MAX - 1 - v->len, MSG_DONTWAIT);
	char *end, *length;

	if (n <= 0) {
		if (n == 0 || errno != EAGAIN)
			visit_end(f, fd);
		return;
	}
	v->len += (size_t)n;
	v->in[v->len] = '\0';
	end = strstr(v->in, "\r\n\r\n");
	if (end == NULL)
		return;
	length = strcasestr(v->in, "\r\nContent-Length:");
	if (length != NULL && length < end && v->len < (size_t)(end + 4 - v->in) + strtoul(length + 17, NULL, 10))
		return;
	request(f, fd);
	v->len = 0;
}

static void visit_begin(struct far *f)
{
	for (;;) {
		int fd = accept4(f->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK), one = 1;
		struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};

		if (fd < 0)
			return;
		if (fd >= FDS) {
			close(fd);
			continue;
		}
		if (f->visits[fd].in == NULL)
			f->visits[fd].in = malloc(REQUEST_MAX);
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
		epoll_ctl(f->poll, EPOLL_CTL_ADD, fd, &e);
	}
}

static void answer_due(struct far *f)
{
	char body[128];

	while (f->count > 0 && f->ring[f->first].at <= now_us()) {
		struct due d = f->ring[f->first];

		f->first = (f->first + 1) % FDS;
		f->count--;
		f->seen->waiting--;
		if (f->visits[d.fd].number != d.number)
			continue;
		snprintf(body, sizeof body, "{\"id\":\"post_%llu\",\"url\":\"http://stub.invalid/p/%llu\"}",
			 (unsigned long long)f->seen->answered, (unsigned long long)f->seen->answered);
		f->seen->answered++;
		say(d.fd, "200 OK", body);
	}
}

static void run(struct far *f)
{
	struct epoll_event events[256], e = {.events = EPOLLIN, .data.fd = f->listener};

	f->poll = epoll_create1(EPOLL_CLOEXEC);
	epoll_ctl(f->poll, EPOLL_CTL_ADD, f->listener, &e);
	for (;;) {
		int64_t wait = f->count > 0 ? f->ring[f->first].at - now_us() : 1000000;
		struct timespec t = {.tv_sec = wait / 1000000, .tv_nsec = wait > 0 ? wait % 1000000 * 1000 : 0};
		int n = epoll_pwait2(f->poll, events, 256, wait > 0 ? &t : &(struct timespec){0}, NULL);

		for (int i = 0; i < n; i++)
			if (events[i].data.fd == f->listener)
				visit_begin(f);
			else
				visit_read(f, events[i].data.fd);
		answer_due(f);
	}
}

static int listen_any(int *ret_port)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof at;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&at, n) != 0 || listen(fd, 4096) != 0 || getsockname(fd, (struct sockaddr *)&at, &n) != 0)
		die("the stub cannot listen: %s", strerror(errno));
	*ret_port = ntohs(at.sin_port);
	return fd;
}

void stub_start(struct stub *s, int delay_ms)
{
	struct far *f = calloc(1, sizeof *f);

	s->seen = mmap(NULL, sizeof *s->seen, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (f == NULL || (void *)(uintptr_t)s->seen == MAP_FAILED)
		die("out of memory");
	f->seen = s->seen;
	f->delay_ms = delay_ms;
	f->listener = listen_any(&s->port);
	s->pid = child_start();
	if (s->pid == 0)
		run(f);
	close(f->listener);
	free(f);
}

void stub_clear(struct stub *s)
{
	memset((void *)(uintptr_t)s->seen, 0, sizeof *s->seen);
}

void stub_stop(struct stub *s)
{
	child_end(s->pid, SIGKILL);
	munmap((void *)(uintptr_t)s->seen, sizeof *s->seen);
}
