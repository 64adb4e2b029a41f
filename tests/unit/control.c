/*
 * The operator's socket: a round trip, who may call, clients that stall or talk nonsense, and stale files.
 */
#include "core/io/control.h"

#include <errno.h>
#include <ftw.h>
#include <grp.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "tests/unit/test.h"

static char folder[64], path[108];
static struct cx cx;
static _Atomic int ran;

static int remove_one(const char *name, const struct stat *st, int flag, struct FTW *at)
{
	(void)st, (void)flag, (void)at;
	return remove(name);
}

static void folder_remove(void)
{
	nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* Answers its words to out, their number to err and as exit status. */
static int echo(void *arg, int argc, char **argv, struct buf *out, struct buf *err)
{
	CHECK(arg == &ran);
	ran++;
	for (int i = 0; i < argc; i++)
		buf_addf(out, "<%s>", argv[i]);
	buf_addf(err, "%d", argc);
	for (int i = 0; strcmp(argv[0], "big") == 0 && i < 100000; i++)
		buf_adds(out, "0123456789abcdef");
	return argc;
}

static struct control *control_of(void)
{
	struct control *c = NULL;
	if (!*folder) {
		snprintf(folder, sizeof folder, "/tmp/mps-control-XXXXXX");
		CHECK(mkdtemp(folder) != NULL);
		atexit(folder_remove);
		snprintf(path, sizeof path, "%s/c.sock", folder);
	}
	cx_init(&cx, "test");
	ran = 0;
	CHECK_SAY(control_open(&cx, path, echo, &ran, &c) == RC_OK, "%s", cx.words);
	return c;
}

struct reply { enum rc rc; int exit; struct buf out, err; };

static struct reply call(int argc, const char **words)
{
	struct reply r = {.exit = -1};
	char *argv[80];
	memcpy(argv, words, sizeof *argv * (size_t)argc);
	cx_init(&cx, "test");
	buf_init(&r.out, 4 * 1024 * 1024);
	buf_init(&r.err, 4 * 1024 * 1024);
	r.rc = control_call(&cx, path, argc, argv, &r.out, &r.err, &r.exit);
	return r;
}

static void reply_free(struct reply *r)
{
	buf_free(&r->out);
	buf_free(&r->err);
}

static int raw_connect(void)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	memcpy(at.sun_path, path, sizeof path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&at, sizeof at) != 0) {
		close(fd);
		return -1;
	}
	return fd;
}

/* Sends text, reads what comes until the end; the answer's length. */
static size_t raw_call(const char *text, char *out, size_t size)
{
	int fd = raw_connect();
	CHECK(fd >= 0);
	CHECK(send(fd, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text));
	shutdown(fd, SHUT_WR);
	size_t n = 0;
	ssize_t got;
	while (n < size - 1 && (got = read(fd, out + n, size - 1 - n)) > 0)
		n += (size_t)got;
	out[n] = '\0';
	close(fd);
	return n;
}

TEST(a_command_goes_there_and_back)
{
	struct control *c = control_of();
	const char *argv[] = {"org", "create", "Acme \"GmbH\" \xC3\xA4\n\t\\", ""};
	struct reply r = call(4, argv);
	CHECK_SAY(r.rc == RC_OK, "%s", cx.words);
	CHECK_INT(r.exit, 4);
	CHECK_STR(buf_text(&r.out), "<org><create><Acme \"GmbH\" \xC3\xA4\n\t\\><>");
	CHECK_STR(buf_text(&r.err), "4");
	reply_free(&r);
	control_close(c);
	CHECK(access(path, F_OK) != 0);
}

TEST(nobody_there_is_not_found)
{
	const char *argv[] = {"version"};
	control_close(control_of());
	struct reply r = call(1, argv);
	CHECK_INT(r.rc, RC_NOT_FOUND);
	CHECK_STR(cx.words, "");
	reply_free(&r);
}

TEST(the_socket_is_ours_alone)
{
	struct stat st;
	struct control *c = control_of();
	CHECK(lstat(path, &st) == 0);
	CHECK(S_ISSOCK(st.st_mode));
	CHECK_INT(st.st_mode & 07777, 0600);
	control_close(c);
}

/* The mode is opened on purpose: the kernel's word on the peer must be enough. */
TEST(a_foreign_user_is_refused)
{
	if (geteuid() != 0)
		return;
	struct control *c = control_of();
	CHECK(chmod(folder, 0755) == 0 && chmod(path, 0777) == 0);
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		const char *argv[] = {"org", "create", "x"};
		if (setgroups(0, NULL) != 0 || setresgid(65534, 65534, 65534) != 0 || setresuid(65534, 65534, 65534) != 0)
			_exit(99);
		struct reply r = call(3, argv);
		_exit(r.rc == RC_OK && r.exit == 126 && strstr(buf_text(&r.err), "refused") && r.out.len == 0 ? 0 : 1);
	}
	int status = 0;
	CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
	CHECK_INT(WEXITSTATUS(status), 0);
	CHECK_INT(ran, 0);
	control_close(c);
}

TEST(nonsense_is_refused_in_words)
{
	static const char *const bad[] = {
		"\n", "{}\n", "[]\n", "{\"argv\":[]}\n", "{\"argv\":\"x\"}\n", "{\"argv\":[1]}\n", "{\"argv\":[\"a\",null]}\n",
		"{\"argv\":[\"a\"],\"more\":1}\n", "{\"argv\":[\"a\\u0000b\"]}\n", "{\"argv\":[\"\xFF\"]}\n", "GET / HTTP/1.1\n",
	};
	char out[4096];
	struct control *c = control_of();
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		CHECK_SAY(raw_call(bad[i], out, sizeof out) > 0, "no answer to %s", bad[i]);
		CHECK_SAY(strstr(out, "\"exit\":2") && !strstr(out, "\"err\":\"\""), "%s answers %s", bad[i], out);
	}
	CHECK_INT(raw_call("{\"argv\":[\"a\"]}", out, sizeof out), 0);	/* no newline: not a whole line */
	CHECK_INT(ran, 0);
	CHECK(raw_call("{\"argv\":[\"a\"]}\n", out, sizeof out) > 0);
	CHECK_INT(ran, 1);
	control_close(c);
}

TEST(too_much_is_refused)
{
	struct control *c = control_of();
	const char *many[65], *big[] = {"big"};
	for (int i = 0; i < 65; i++)
		many[i] = "x";
	struct reply r = call(65, many);
	CHECK_INT(r.rc, RC_INVALID);
	reply_free(&r);
	r = call(64, many);
	CHECK_INT(r.rc, RC_OK);
	CHECK_INT(r.exit, 64);
	reply_free(&r);

	char *line = malloc(80001);
	CHECK(line != NULL);
	memset(line, 'x', 80000);
	line[80000] = '\0';
	const char *one[] = {line};
	r = call(1, one);
	CHECK_INT(r.rc, RC_INVALID);
	reply_free(&r);
	free(line);

	r = call(1, big);		/* the answer is over its ceiling: said, not cut */
	CHECK_INT(r.rc, RC_OK);
	CHECK_INT(r.out.len, 0);
	CHECK(strstr(buf_text(&r.err), "longer than") != NULL);
	reply_free(&r);
	CHECK_INT(ran, 2);
	control_close(c);
}

/* Twenty times as fast as the real one: a client's 10 s pass in half a second. */
static int64_t fast(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 20000 + t.tv_nsec / 50000;
}

TEST(a_silent_client_does_not_hold_the_socket)
{
	const char *argv[] = {"a"};
	clock_fake(fast);
	struct control *c = control_of();
	int silent = raw_connect();
	CHECK(silent >= 0);
	CHECK(send(silent, "{", 1, MSG_NOSIGNAL) == 1);
	struct reply r = call(1, argv);
	CHECK_SAY(r.rc == RC_OK, "%s", cx.words);
	char byte;
	CHECK_INT(recv(silent, &byte, 1, 0) <= 0, 1);	/* and the silent one was cut off */
	reply_free(&r);
	close(silent);
	control_close(c);
	clock_fake(NULL);
}

TEST(a_second_server_is_refused)
{
	struct control *c = control_of(), *second = NULL;
	const char *argv[] = {"a"};
	cx_init(&cx, "test");
	CHECK_INT(control_open(&cx, path, echo, &ran, &second), RC_CONFLICT);
	CHECK(second == NULL);
	struct reply r = call(1, argv);		/* the first still answers */
	CHECK_INT(r.rc, RC_OK);
	reply_free(&r);
	control_close(c);
}

TEST(a_stale_socket_is_replaced)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	const char *argv[] = {"a"};
	control_close(control_of());
	memcpy(at.sun_path, path, sizeof path);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof at) == 0 && listen(fd, 1) == 0);
	close(fd);				/* as after kill -9: the file stays */
	CHECK(access(path, F_OK) == 0);
	struct control *c = control_of();
	struct reply r = call(1, argv);
	CHECK_INT(r.rc, RC_OK);
	reply_free(&r);
	control_close(c);
}

TEST(something_else_there_is_left_alone)
{
	struct control *c = NULL;
	control_close(control_of());
	FILE *f = fopen(path, "w");
	CHECK(f != NULL);
	fclose(f);
	cx_init(&cx, "test");
	CHECK_INT(control_open(&cx, path, echo, &ran, &c), RC_INVALID);
	CHECK(access(path, F_OK) == 0);
	CHECK(unlink(path) == 0);
}

TEST(close_leaves_anothers_socket_alone)
{
	struct control *first = control_of();
	CHECK(unlink(path) == 0);
	struct control *second = control_of();
	control_close(first);
	CHECK(access(path, F_OK) == 0);
	control_close(second);
	CHECK(access(path, F_OK) != 0);
}
