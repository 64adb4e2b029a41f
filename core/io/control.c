/*
 * The operator's socket.
 *
 * One thread answers one client at a time: commands are rare, and two at once would have to agree with each
 * other.  A client gets 10 s to send its line and 10 s to take the answer, so none can hold the socket.
 * Who may call is decided by the kernel's word on the peer (root or our own uid); the mode 0600 is the
 * second lock, not the first.
 */
#include "core/io/control.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/json.h"
#include "core/base/jsonw.h"
#include "core/base/log.h"
#include "core/base/text.h"

#define LINE_MAX_BYTES (64 * 1024)
#define ANSWER_MAX_BYTES (8 * 1024 * 1024)
#define TEXT_MAX_BYTES (1024 * 1024)	/* of out and of err */
#define ARGV_MAX 64
#define CLIENT_MS 10000
#define CALL_MS 120000			/* the client's patience: others may be before it */
#define SLICE_MS 250			/* how often a wait looks at the clock, which tests may replace */
#define BACKLOG 8

struct control {
	int fd, wake;
	pthread_t thread;
	control_fn *run;
	void *arg;
	struct stat made;		/* our socket, so that close never unlinks another's */
	struct sockaddr_un at;
};

/* ---- both sides ------------------------------------------------------------------------------------ */

static enum rc address(struct cx *cx, const char *path, struct sockaddr_un *ret)
{
	size_t n = strlen(path);
	if (n >= sizeof ret->sun_path)
		return fail(cx, RC_INVALID, "control socket %s: longer than 107 characters", path);
	memset(ret, 0, sizeof *ret);
	ret->sun_family = AF_UNIX;
	memcpy(ret->sun_path, path, n + 1);
	return RC_OK;
}

/* 1: ready, 0: the deadline has passed. */
static int ready(int fd, short events, int64_t deadline)
{
	for (;;) {
		int64_t left = deadline - clock_mono();
		struct pollfd p = {.fd = fd, .events = events};
		if (left <= 0)
			return 0;
		int n = poll(&p, 1, left > SLICE_MS ? SLICE_MS : (int)left);
		if (n > 0)
			return 1;
		if (n < 0 && errno != EINTR)
			return 0;
	}
}

/* One line without its newline.  RC_NOT_FOUND: the other end closed before it. */
static enum rc line_read(int fd, struct buf *in, int64_t deadline)
{
	for (;;) {
		char *end = in->len ? memchr(in->data, '\n', in->len) : NULL;
		if (end) {
			buf_cut(in, (size_t)(end - in->data));
			return RC_OK;
		}
		if (!ready(fd, POLLIN, deadline))
			return RC_TIMEOUT;
		char *room = buf_room(in, 4096);
		if (room == NULL)
			return RC_TOO_LARGE;
		ssize_t got = recv(fd, room, 4096, MSG_DONTWAIT);
		if (got == 0)
			return RC_NOT_FOUND;
		if (got > 0)
			buf_grew(in, (size_t)got);
		else if (errno != EAGAIN && errno != EINTR)
			return RC_IO;
	}
}

static enum rc line_write(int fd, const struct buf *line, int64_t deadline)
{
	size_t done = 0;
	while (done < line->len) {
		if (!ready(fd, POLLOUT, deadline))
			return RC_TIMEOUT;
		ssize_t put = send(fd, line->data + done, line->len - done, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (put > 0)
			done += (size_t)put;
		else if (errno != EAGAIN && errno != EINTR)
			return RC_IO;
	}
	return RC_OK;
}

/* ---- the server's side ----------------------------------------------------------------------------- */

static int argv_read(struct cx *cx, struct arena *a, const struct buf *line, char ***ret)
{
	struct jv root;
	if (json_parse(cx, a, buf_text(line), line->len, &root) != RC_OK)
		return -1;
	struct jv list = json_get(root, "argv");
	size_t n = json_count(list);
	if (json_type(root) != JSON_OBJECT || json_count(root) != 1 || json_type(list) != JSON_ARRAY || n == 0 || n > ARGV_MAX) {
		fail(cx, RC_INVALID, "expected {\"argv\": [...]} with 1 to %d words", ARGV_MAX);
		return -1;
	}
	char **argv = arena_array(a, char *, n + 1);
	for (size_t i = 0; i < n; i++) {
		if (json_type(json_at(list, i)) != JSON_STRING) {
			fail(cx, RC_INVALID, "every word of argv must be a text");
			return -1;
		}
		argv[i] = arena_text(a, json_text(json_at(list, i)));
	}
	*ret = argv;
	return (int)n;
}

static void answer(int fd, int status, const struct buf *out, const struct buf *err)
{
	struct buf line;
	struct jsonw w;

	buf_init(&line, ANSWER_MAX_BYTES * 2);	/* escaping may make it longer */
	jsonw_init(&w, &line);
	jsonw_object(&w, NULL);
	jsonw_int(&w, "exit", status);
	jsonw_textn(&w, "out", buf_text(out), out->len);
	jsonw_textn(&w, "err", buf_text(err), err->len);
	jsonw_object_end(&w);
	jsonw_end(&w);
	buf_addc(&line, '\n');
	if (line_write(fd, &line, clock_mono() + CLIENT_MS) != RC_OK)
		log_warn("control", "a client did not take its answer");
	buf_wipe(&line);
}

static int peer_ok(int fd, struct buf *err)
{
	struct ucred peer;
	socklen_t n = sizeof peer;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) == 0 && (peer.uid == 0 || peer.uid == geteuid()))
		return 1;
	buf_addf(err, "refused: only root and uid %u may use this socket\n", (unsigned)geteuid());
	log_warn("control", "refused a client of uid %u", (unsigned)peer.uid);
	return 0;
}

static int run_line(struct control *c, const struct buf *line, struct buf *out, struct buf *err)
{
	ARENA_AUTO struct arena a;
	struct cx cx;
	char **argv;

	cx_init(&cx, "control");
	arena_init(&a, 16 * 1024 * 1024);
	int argc = argv_read(&cx, &a, line, &argv);
	if (argc < 0) {
		buf_addf(err, "%s\n", cx.words);
		return 2;
	}
	int status = c->run(c->arg, argc, argv, out, err);
	if (buf_ok(out) && buf_ok(err))
		return status;
	buf_reset(out);
	buf_reset(err);
	buf_adds(err, "the command ran, but its output is longer than this socket carries\n");
	return status ? status : 1;
}

static void client_serve(struct control *c, int fd)
{
	BUF_AUTO struct buf line;
	struct buf out, err;

	buf_init(&line, LINE_MAX_BYTES);
	buf_init(&out, TEXT_MAX_BYTES);
	buf_init(&err, TEXT_MAX_BYTES);
	if (!peer_ok(fd, &err)) {
		answer(fd, 126, &out, &err);
	} else {
		enum rc rc = line_read(fd, &line, clock_mono() + CLIENT_MS);
		if (rc == RC_OK)
			answer(fd, run_line(c, &line, &out, &err), &out, &err);
		else if (rc != RC_NOT_FOUND)
			log_warn("control", "a client sent no line: %s", rc_name(rc));
	}
	buf_wipe(&out);
	buf_wipe(&err);
}

static void *serve(void *arg)
{
	struct control *c = arg;
	for (;;) {
		struct pollfd p[2] = {{.fd = c->wake, .events = POLLIN}, {.fd = c->fd, .events = POLLIN}};
		if (poll(p, 2, -1) < 0 && errno != EINTR)
			log_error("control", "poll: %s", strerror(errno));
		if (p[0].revents)
			return NULL;
		int fd = p[1].revents ? accept4(c->fd, NULL, NULL, SOCK_CLOEXEC) : -1;
		if (fd < 0) {
			if (p[1].revents && errno != EAGAIN && errno != ECONNABORTED)	/* out of descriptors: no busy loop */
				poll(p, 1, 1000);
			continue;
		}
		client_serve(c, fd);
		close(fd);
	}
}

/* ---- opening --------------------------------------------------------------------------------------- */

/* A socket file stays behind when a server is killed: it may go only if nobody answers it. */
static enum rc stale_remove(struct cx *cx, const struct sockaddr_un *at)
{
	struct stat st;
	if (lstat(at->sun_path, &st) != 0)
		return errno == ENOENT ? RC_OK : fail(cx, RC_IO, "control socket %s: %s", at->sun_path, strerror(errno));
	if (!S_ISSOCK(st.st_mode))
		return fail(cx, RC_INVALID, "control socket %s: something else lies there", at->sun_path);

	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int answered = fd >= 0 && connect(fd, (const struct sockaddr *)at, sizeof *at) == 0;
	int error = answered ? 0 : errno;
	if (fd >= 0)
		close(fd);
	if (answered || error != ECONNREFUSED)
		return fail(cx, RC_CONFLICT, "control socket %s: another server answers there", at->sun_path);
	if (unlink(at->sun_path) != 0)
		return fail(cx, RC_IO, "control socket %s: %s", at->sun_path, strerror(errno));
	log_info("control", "removed the socket of a server that is gone: %s", at->sun_path);
	return RC_OK;
}

/* Nobody can connect between bind and listen, so the mode is right before the first client. */
static enum rc listen_at(struct cx *cx, struct control *c)
{
	const struct sockaddr *at = (const struct sockaddr *)&c->at;
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	c->wake = eventfd(0, EFD_CLOEXEC);
	if (c->fd < 0 || c->wake < 0 || bind(c->fd, at, sizeof c->at) != 0)
		return fail(cx, RC_IO, "control socket %s: %s", c->at.sun_path, strerror(errno));
	if (chmod(c->at.sun_path, 0600) != 0 || lstat(c->at.sun_path, &c->made) != 0 || listen(c->fd, BACKLOG) != 0) {
		enum rc rc = fail(cx, RC_IO, "control socket %s: %s", c->at.sun_path, strerror(errno));
		unlink(c->at.sun_path);
		return rc;
	}
	return RC_OK;
}

static void drop(struct control *c)
{
	if (c->fd >= 0)
		close(c->fd);
	if (c->wake >= 0)
		close(c->wake);
	free(c);
}

enum rc control_open(struct cx *cx, const char *path, control_fn *run, void *arg, struct control **ret)
{
	struct control *c = calloc(1, sizeof *c);
	if (c == NULL)
		return fail(cx, RC_NOMEM, "no memory for the control socket");
	c->fd = c->wake = -1;
	c->run = run;
	c->arg = arg;
	enum rc rc = address(cx, path, &c->at);
	if (rc == RC_OK)
		rc = stale_remove(cx, &c->at);
	if (rc == RC_OK)
		rc = listen_at(cx, c);
	if (rc == RC_OK && pthread_create(&c->thread, NULL, serve, c) != 0) {
		unlink(path);
		rc = fail(cx, RC_NOMEM, "no thread for the control socket");
	}
	if (rc) {
		drop(c);
		return rc;
	}
	*ret = c;
	return RC_OK;
}

void control_close(struct control *c)
{
	struct stat now;
	uint64_t one = 1;

	if (c == NULL)
		return;
	while (write(c->wake, &one, sizeof one) < 0 && errno == EINTR)
		;
	pthread_join(c->thread, NULL);
	if (lstat(c->at.sun_path, &now) == 0 && now.st_dev == c->made.st_dev && now.st_ino == c->made.st_ino)
		unlink(c->at.sun_path);
	drop(c);
}

/* ---- the client's side ----------------------------------------------------------------------------- */

static enum rc request_write(struct cx *cx, int argc, char **argv, struct buf *line)
{
	struct jsonw w;
	jsonw_init(&w, line);
	jsonw_object(&w, NULL);
	jsonw_array(&w, "argv");
	for (int i = 0; i < argc; i++) {
		if (!text_utf8(argv[i], strlen(argv[i])))
			return fail(cx, RC_INVALID, "word %d of the command is not UTF-8", i + 1);
		jsonw_text(&w, NULL, argv[i]);
	}
	jsonw_array_end(&w);
	jsonw_object_end(&w);
	jsonw_end(&w);
	buf_addc(line, '\n');
	if (!buf_ok(line) || argc > ARGV_MAX)
		return fail(cx, RC_INVALID, "the command is too long");
	return RC_OK;
}

static enum rc reply_read(struct cx *cx, const struct buf *line, struct buf *out, struct buf *err, int *ret_exit)
{
	ARENA_AUTO struct arena a;
	struct jv root;
	int64_t status;

	arena_init(&a, 16 * ANSWER_MAX_BYTES);
	enum rc rc = json_parse(cx, &a, buf_text(line), line->len, &root);
	if (rc)
		return rc;
	if (!json_int(json_get(root, "exit"), &status))
		return fail(cx, RC_CORRUPT, "the server's answer on the control socket has no exit status");
	buf_adds(out, json_text_or(json_get(root, "out"), ""));
	buf_adds(err, json_text_or(json_get(root, "err"), ""));
	*ret_exit = (int)status;
	return RC_OK;
}

static enum rc exchange(struct cx *cx, int fd, const char *path, const struct buf *request, struct buf *reply)
{
	int64_t deadline = clock_mono() + CALL_MS;
	enum rc rc = line_write(fd, request, deadline);
	if (rc == RC_OK || rc == RC_IO)		/* a refusal may already be there when our line is not taken */
		rc = line_read(fd, reply, deadline);
	if (rc == RC_OK)
		return RC_OK;
	if (rc == RC_TIMEOUT)
		return fail(cx, rc, "control socket %s: no answer within %d s; whether the command ran is not known", path, CALL_MS / 1000);
	return fail(cx, RC_IO, "control socket %s: the server closed it without an answer; whether the command ran is not known", path);
}

/* No words for RC_NOT_FOUND: that nobody listens is an answer, not a fault. */
static enum rc reach(struct cx *cx, const char *path, int *ret)
{
	struct sockaddr_un at;
	enum rc rc = address(cx, path, &at);
	if (rc)
		return rc;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return fail(cx, RC_IO, "control socket: %s", strerror(errno));
	if (connect(fd, (const struct sockaddr *)&at, sizeof at) == 0) {
		*ret = fd;
		return RC_OK;
	}
	int error = errno;
	close(fd);
	if (error == ENOENT || error == ECONNREFUSED)
		return RC_NOT_FOUND;
	return fail(cx, error == EACCES ? RC_DENIED : RC_IO, "control socket %s: %s", path, strerror(error));
}

enum rc control_call(struct cx *cx, const char *path, int argc, char **argv, struct buf *out, struct buf *err, int *ret_exit)
{
	BUF_AUTO struct buf request;
	struct buf reply;
	int fd = -1;

	buf_init(&request, LINE_MAX_BYTES);
	buf_init(&reply, ANSWER_MAX_BYTES * 2);
	enum rc rc = request_write(cx, argc, argv, &request);
	if (rc == RC_OK)
		rc = reach(cx, path, &fd);
	if (rc)
		return rc;
	rc = exchange(cx, fd, path, &request, &reply);
	close(fd);
	if (rc == RC_OK)
		rc = reply_read(cx, &reply, out, err, ret_exit);
	buf_wipe(&reply);
	return rc;
}
