/*
 * A sandbox in a process of its own, and a client that sees what really came over the socket: an answer, a
 * reset, a plain end, or silence.
 *
 * The sandbox is forked before any thread exists in the test, so that kill -9 is a real one.
 */
#ifndef MPS_TESTS_UNIT_SANDBOX_CLIENT_H
#define MPS_TESTS_UNIT_SANDBOX_CLIENT_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include "core/io/vault.h"
#include "core/sandbox/sandbox.h"

enum outcome { ANSWERED, RESET, ENDED, SILENT };

static struct { pid_t pid; int port; char folder[64]; } box;
static struct {
	enum outcome outcome;
	int status;
	char *bytes, *body;	/* bytes: malloc, head and body */
	size_t len;
	struct arena arena;
	struct jv json;		/* JSON_NONE if the body is none */
} got;

static void box_child(int out)
{
	struct sandbox_config config = { "127.0.0.1:0", box.folder, NULL };
	struct sandbox *s = NULL;
	sigset_t end;
	struct cx cx;
	int port, sig;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigemptyset(&end);
	sigaddset(&end, SIGTERM);
	sigprocmask(SIG_BLOCK, &end, NULL);
	cx_init(&cx, "sandbox");
	if (sandbox_open(&cx, &config, &s) != RC_OK) {
		fprintf(stderr, "sandbox: %s\n", cx.words);
		_exit(1);
	}
	port = sandbox_port(s);
	if (write(out, &port, sizeof port) != sizeof port)
		_exit(1);
	sigwait(&end, &sig);
	sandbox_close(s);
	exit(0);
}

static void box_kill(int sig)
{
	int status = 0;

	kill(box.pid, sig);
	CHECK(waitpid(box.pid, &status, 0) == box.pid);
	box.pid = 0;
	if (sig == SIGTERM)
		CHECK_SAY(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the sandbox ended badly: status %d", status);
}

/* Starts it on box.folder: a fresh one unless again. */
static void box_start(bool again)
{
	int pipes[2];

	if (box.pid)			/* of a test that failed */
		box_kill(SIGKILL);
	if (!again) {
		snprintf(box.folder, sizeof box.folder, "/tmp/sandbox-test-XXXXXX");
		CHECK(mkdtemp(box.folder));
	}
	CHECK(pipe(pipes) == 0);
	fflush(stdout);
	box.pid = fork();
	CHECK(box.pid >= 0);
	if (!box.pid)
		box_child(pipes[1]);
	close(pipes[1]);
	box.port = 0;
	CHECK_SAY(read(pipes[0], &box.port, sizeof box.port) == sizeof box.port, "the sandbox does not start");
	close(pipes[0]);
}

/* The end of a test: the store goes too. */
static void box_end(int sig)
{
	static const char *const files[] = { "mypostshare.db", "mypostshare.db-wal", "mypostshare.db-shm", "lock" };
	char path[128];

	box_kill(sig);
	for (int i = 0; i < 4; i++) {
		snprintf(path, sizeof path, "%s/%s", box.folder, files[i]);
		unlink(path);
	}
	rmdir(box.folder);
}

static int dial(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)box.port) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	CHECK(fd >= 0);
	CHECK_SAY(connect(fd, (struct sockaddr *)&to, sizeof to) == 0, "cannot connect: %s", strerror(errno));
	return fd;
}

/* headers: lines ending in \r\n; Host, Content-Length and Connection: close are added. */
static int request_send(const char *method, const char *target, const char *headers, const char *body)
{
	int fd = dial();
	struct buf b;

	buf_init(&b, 1 << 20);
	buf_addf(&b, "%s %s HTTP/1.1\r\n%s%s", method, target, strstr(headers, "Host:") ? "" : "Host: 127.0.0.1:1\r\n", headers);
	if (body)
		buf_addf(&b, "Content-Length: %zu\r\n", strlen(body));
	buf_addf(&b, "Connection: close\r\n\r\n%s", body ? body : "");
	CHECK(write(fd, b.data, b.len) == (ssize_t)b.len);
	buf_free(&b);
	return fd;
}

static void got_parse(void)
{
	char *head_end = memmem(got.bytes, got.len, "\r\n\r\n", 4);
	struct cx cx;

	cx_init(&cx, NULL);
	if (!head_end) {
		if (got.outcome == ANSWERED)
			got.outcome = ENDED;
		return;
	}
	got.status = (int)strtol(got.bytes + 9, NULL, 10);
	got.body = head_end + 4;
	log_set(LOG_ERROR + 1);		/* answers that are no JSON are no error here */
	if (json_parse(&cx, &got.arena, got.body, got.len - (size_t)(got.body - got.bytes), &got.json) != RC_OK)
		got.json = (struct jv){ NULL, 0 };
	log_set(LOG_ERROR);
}

/* Reads until the connection ends or ms passed without an end. */
static void answer_read(int fd, int ms)
{
	int64_t end = clock_mono() + ms;
	ssize_t n = 0;

	arena_free(&got.arena);
	arena_init(&got.arena, 64 << 20);
	got.bytes = realloc(got.bytes, 4 << 20);
	got.len = 0;
	got.status = 0;
	got.body = NULL;
	got.outcome = ANSWERED;
	got.json = (struct jv){ NULL, 0 };
	for (;;) {
		struct pollfd p = { fd, POLLIN, 0 };
		int64_t left = end - clock_mono();

		if (left <= 0 || poll(&p, 1, (int)left) <= 0) {
			got.outcome = SILENT;
			break;
		}
		n = read(fd, got.bytes + got.len, (4 << 20) - 1 - got.len);
		if (n <= 0) {
			if (n < 0)
				got.outcome = RESET;
			break;
		}
		got.len += (size_t)n;
	}
	got.bytes[got.len] = '\0';
	got_parse();
	close(fd);
}

#define DEADLINE 20000

static void call(const char *method, const char *target, const char *headers, const char *body)
{
	answer_read(request_send(method, target, headers, body), DEADLINE);
}

static const char *field(const char *path)
{
	const char *text = json_text(json_path(got.json, path));

	return text ? text : "";
}

static inline int64_t field_int(const char *path)
{
	int64_t n = -1;

	json_int(json_path(got.json, path), &n);
	return n;
}

/* A header of the last answer, "" if absent; static memory. */
static const char *header(const char *name)
{
	static char value[4096];
	char line[64];
	char *at;

	snprintf(line, sizeof line, "\r\n%s: ", name);
	at = got.len ? strcasestr(got.bytes, line) : NULL;
	value[0] = '\0';
	if (at && at < got.body)
		snprintf(value, sizeof value, "%.*s", (int)strcspn(at + strlen(line), "\r"), at + strlen(line));
	return value;
}

#define VERIFIER "a-verifier-that-is-long-enough-0123456789-._~abc"
#define REDIRECT "http://127.0.0.1:9/callback"

static struct session { char access[128], refresh[128]; } me;

static void form_add(struct buf *b, const char *name, const char *value)
{
	buf_addf(b, "%s%s=", b->len ? "&" : "", name);
	text_form(b, value, strlen(value));
}

static void form_post(const char *target, struct buf *form)
{
	call("POST", target, "Content-Type: application/x-www-form-urlencoded\r\n", buf_text(form));
	buf_free(form);
}

static const char *challenge(void)
{
	static char text[64];
	uint8_t h[32];
	struct buf b;

	buf_init(&b, 64);
	vault_sha256(VERIFIER, strlen(VERIFIER), h);
	text_base64url(&b, h, 32);
	snprintf(text, sizeof text, "%s", buf_text(&b));
	buf_free(&b);
	return text;
}

/* The consent of a person by form; gives the code (static memory), "" if there was none. */
static const char *consent(const char *account, const char *type, const char *decision)
{
	static char code[128];
	struct buf b;
	const char *at;

	buf_init(&b, 8192);
	form_add(&b, "client_id", "sandbox");
	form_add(&b, "redirect_uri", REDIRECT);
	form_add(&b, "state", "st/1");
	form_add(&b, "code_challenge", challenge());
	form_add(&b, "code_challenge_method", "S256");
	form_add(&b, "account", account);
	form_add(&b, "type", type);
	form_add(&b, "decision", decision);
	form_post("/oauth/consent", &b);
	at = strstr(header("Location"), "code=");
	snprintf(code, sizeof code, "%.*s", at ? (int)strcspn(at + 5, "&") : 0, at ? at + 5 : "");
	return code;
}

static void exchange(const char *code, const char *verifier, const char *redirect)
{
	struct buf b;

	buf_init(&b, 8192);
	form_add(&b, "grant_type", "authorization_code");
	form_add(&b, "client_id", "sandbox");
	form_add(&b, "code", code);
	form_add(&b, "redirect_uri", redirect);
	form_add(&b, "code_verifier", verifier);
	form_post("/oauth/token", &b);
}

static inline void refresh(const char *token)
{
	struct buf b;

	buf_init(&b, 8192);
	form_add(&b, "grant_type", "refresh_token");
	form_add(&b, "client_id", "sandbox");
	form_add(&b, "refresh_token", token);
	form_post("/oauth/token", &b);
}

static void me_take(void)
{
	snprintf(me.access, sizeof me.access, "%s", field("access_token"));
	snprintf(me.refresh, sizeof me.refresh, "%s", field("refresh_token"));
}

static inline void sign_in(const char *account, const char *type)
{
	exchange(consent(account, type, "allow"), VERIFIER, REDIRECT);
	CHECK_INT(got.status, 200);
	me_take();
}

static inline const char *bearer(const char *more)
{
	static char lines[512];

	snprintf(lines, sizeof lines, "Authorization: Bearer %s\r\nContent-Type: application/json\r\n%s", me.access, more);
	return lines;
}

static inline void get(const char *target) { call("GET", target, bearer(""), NULL); }

static int post_begin(const char *text, const char *more)
{
	char body[512];

	snprintf(body, sizeof body, "{\"text\":\"%s\"}", text);
	return request_send("POST", "/v1/posts", bearer(more), body);
}

static inline void post(const char *text) { answer_read(post_begin(text, ""), DEADLINE); }

static inline void post_key(const char *text, const char *key)
{
	char line[128];

	snprintf(line, sizeof line, "Idempotency-Key: %s\r\n", key);
	answer_read(post_begin(text, line), DEADLINE);
}

static inline void control(const char *target, const char *body)
{
	call("POST", target, "Content-Type: application/json\r\n", body);
	CHECK_SAY(got.status == 200, "%s answers %d: %s", target, got.status, got.body ? got.body : "");
}

static int ledger(const char *text)
{
	struct buf b;

	buf_init(&b, 4096);
	buf_adds(&b, "/control/ledger?text=");
	text_percent(&b, text, strlen(text));
	call("GET", buf_text(&b), "", NULL);
	buf_free(&b);
	CHECK_INT(got.status, 200);
	return (int)json_count(json_get(got.json, "data"));
}

/* Waits until the ledger has n rows with the text. */
static inline void ledger_reaches(const char *text, int n)
{
	int64_t end = clock_mono() + DEADLINE;

	while (ledger(text) < n) {
		CHECK_SAY(clock_mono() < end, "the ledger never has %d rows of %s", n, text);
		usleep(20000);
	}
}

#endif
