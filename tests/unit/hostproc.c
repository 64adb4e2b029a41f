/*
 * Hostile providers against the real host program: each is survived, named and explained.
 */
#include "core/engine/hostproc.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/frame.h"
#include "core/engine/hostwire.h"
#include "core/io/vault.h"
#include "tests/unit/test.h"

#define HOST BUILD_FOLDER "/libexec/mypostshare-host"
#define PLUGINS BUILD_FOLDER "/tests/plugins/"

static struct hosts *hs;
static struct cx cx;

/* What became of one step. */
struct result { int calls; enum host_outcome outcome; char verb[16], value[64], fault[256], words[700]; };

static void take(char *out, size_t size, const char *data, size_t len, enum frame_kind kind)
{
	struct rec r;

	if (data && rec_find(data, len, kind, NULL, &r))
		snprintf(out, size, "%.*s", (int)r.value_len, r.value);
}

static void done(void *arg, enum host_outcome outcome, const char *action, size_t len, const char *words)
{
	struct result *r = arg;

	r->calls++;
	r->outcome = outcome;
	take(r->verb, sizeof r->verb, action, len, REC_VERB);
	take(r->value, sizeof r->value, action, len, REC_RESULT);
	take(r->fault, sizeof r->fault, action, len, REC_FAULT);
	snprintf(r->words, sizeof r->words, "%s", words);
}

static void setup(void)
{
	hosts_close(hs);
	hs = NULL;
	cx_init(&cx, "test");
	CHECK_INT(hosts_open(&cx, HOST, &hs), RC_OK);
}

static enum rc load_as(const char *id, const char *file)
{
	struct host_spec spec = { .id = id, .file = file };

	cx_init(&cx, "test");
	return hosts_load(&cx, hs, &spec);
}

static void queue(uint64_t operation, const char *phase, const char *text, struct result *ret)
{
	struct buf frame BUF_AUTO;

	buf_init(&frame, FRAME_IN_MAX);
	size_t begin = frame_begin(&frame, FRAME_STEP, operation);
	rec_text(&frame, REC_KIND, "", "publish");
	rec_text(&frame, REC_PHASE, "", phase);
	rec_text(&frame, REC_EVENT, "", "start");
	rec_text(&frame, REC_NOW, "", "1");
	rec_text(&frame, REC_INPUT, "text", text);
	frame_end(&frame, begin);
	memset(ret, 0, sizeof *ret);
	hosts_step(hs, "hostile", operation, &frame, done, ret);
}

static void turns_until(const struct result *r)
{
	for (int64_t end = clock_mono() + 20000; !r->calls && clock_mono() < end;) {
		struct http_wait waits[16];
		struct pollfd fds[16];
		unsigned n = hosts_waits(hs, waits, 16);

		for (unsigned i = 0; i < n; i++)
			fds[i] = (struct pollfd){ waits[i].fd, waits[i].events, 0 };
		(void)poll(fds, n, hosts_timeout(hs) < 0 ? 1000 : hosts_timeout(hs));
		hosts_turn(hs);
	}
}

static void run(const char *phase, struct result *ret)
{
	static uint64_t operation;

	queue(++operation, phase, "hello", ret);
	turns_until(ret);
	CHECK_INT(ret->calls, 1);
}

static void hostile_again(void)
{
	setup();
	CHECK_SAY(load_as("hostile", PLUGINS "hostile.so") == RC_OK, "%s", cx.words);
}

static void still_serves(void)
{
	struct result r;

	run("echo", &r);
	CHECK_INT(r.outcome, HOST_ACTION);
	CHECK_STR(r.value, "hello");
}

TEST(loads_and_answers)
{
	const struct host_info *i;

	hostile_again();
	i = hosts_find(hs, "hostile");
	CHECK(i && i->loaded && !i->paused && i->pid > 0 && i->rss_kb > 0);
	CHECK_STR(i->version, "1.0");
	CHECK(strstr(i->sandbox, "seccomp") != NULL);
	CHECK(strstr(i->describe, "Hostile") != NULL);
	still_serves();
	CHECK_INT(hosts_find(hs, "hostile")->crashes, 0);
}

/* Each of these ends the process three times, parks its own operation and nobody else's. */
static void crashes_in(const char *phase, const char *words)
{
	struct result r;

	hostile_again();
	run(phase, &r);
	CHECK_SAY(r.outcome == HOST_PARKED, "%s: outcome %d", phase, (int)r.outcome);
	CHECK_SAY(strstr(r.words, words), "%s: the words are \"%s\"", phase, r.words);
	CHECK(strstr(r.words, phase) != NULL);
	CHECK_INT(hosts_find(hs, "hostile")->crashes, 3);
	still_serves();
}

TEST(crash_in_a_step) { crashes_in("crash", "SIGSEGV"); }
TEST(abort_in_a_step) { crashes_in("stop", "SIGABRT"); }
TEST(exit_in_a_step) { crashes_in("leave", "exit status 0"); }
TEST(endless_loop) { crashes_in("loop", "longer than 2 s"); }
TEST(forks) { crashes_in("fork", "clone"); }
TEST(opens_a_socket) { crashes_in("socket", "socket (41)"); }
TEST(executable_memory) { crashes_in("run_code", "mmap"); }
TEST(garbage_on_the_socket) { crashes_in("garbage", "no frame"); }
TEST(answer_out_of_turn) { crashes_in("out_of_turn", "nobody asked for"); }
TEST(endless_recursion) { crashes_in("deep", "SIGSEGV"); }
#if !defined(__SANITIZE_ADDRESS__)
TEST(heap_growth) { crashes_in("grow", "SIGSEGV"); }
TEST(opens_a_file_in_a_step) { crashes_in("open", "openat"); }
#endif

static void bug_in(const char *phase, const char *words)
{
	struct result r;

	run(phase, &r);
	CHECK_INT(r.outcome, HOST_ACTION);
	CHECK_STR(r.verb, "bug");
	CHECK_SAY(strstr(r.fault, words), "the fault is \"%s\"", r.fault);
}

TEST(mistakes_are_bugs_not_crashes)
{
	struct result r;

	hostile_again();
	bug_in("twice", "one verb per step");
	bug_in("nothing", "without calling a verb");
	run("never_heard_of", &r);
	CHECK_STR(r.verb, "no_phase");
	CHECK_INT(hosts_find(hs, "hostile")->crashes, 0);
	still_serves();
}

static void refused(const char *id, const char *file, const char *words)
{
	CHECK(load_as(id, file) != RC_OK);
	CHECK_SAY(strstr(cx.words, words), "%s: the words are \"%s\"", file, cx.words);
	CHECK(!hosts_find(hs, id)->loaded);
	CHECK(strstr(hosts_find(hs, id)->words, words) != NULL);
}

TEST(refusals_name_the_reason)
{
	struct result r;

	hostile_again();
	refused("constructor-exit", PLUGINS "constructor_exit.so", "exit status 0");
	refused("constructor-crash", PLUGINS "constructor_crash.so", "SIGABRT");
	refused("constructor-open", PLUGINS "constructor_open.so", "/etc/passwd");
	refused("constructor-socket", PLUGINS "constructor_socket.so", "socket");
	refused("constructor-loop", PLUGINS "constructor_loop.so", "5 s");
	refused("constructor-write", PLUGINS "constructor_write.so", "no frame");
	refused("no-entry", PLUGINS "no_entry.so", "mps_provider_v1");
	refused("newer", PLUGINS "newer.so", "interface 1.99");
	refused("larger-used", PLUGINS "larger_used.so", "does not know");
	refused("wrong-id", PLUGINS "wrong_id.so", "somebody-else");
	refused("missing", PLUGINS "missing.so", "No such file");
	CHECK_INT(load_as("larger", PLUGINS "larger.so"), RC_OK);
	CHECK_INT(hosts_count(hs), 13);
	queue(1, "echo", "x", &r);
	turns_until(&r);
	CHECK_INT(r.outcome, HOST_ACTION);
}

static void copy_file(const char *from, const char *to)
{
	char bytes[4096];
	int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	CHECK(in >= 0 && out >= 0);
	for (ssize_t n; (n = read(in, bytes, sizeof bytes)) > 0;)
		CHECK(write(out, bytes, (size_t)n) == n);
	close(in);
	close(out);
	CHECK(chmod(to, 0644) == 0);
}

TEST(files_that_others_could_change)
{
	char folder[] = "/tmp/mypostshare-hosts-XXXXXX", file[64], link[64];
	struct host_spec pinned = { .id = "hostile", .file = file, .sha256 = "00112233" };

	setup();
	CHECK(mkdtemp(folder) != NULL);
	snprintf(file, sizeof file, "%s/hostile.so", folder);
	snprintf(link, sizeof link, "%s/link.so", folder);
	copy_file(PLUGINS "hostile.so", file);
	CHECK(symlink(file, link) == 0);
	refused("link", link, "symbolic link");
	cx_init(&cx, "test");
	CHECK_INT(hosts_load(&cx, hs, &pinned), RC_DENIED);
	chmod(file, 0666);
	refused("hostile", file, "chmod go-w");
	chmod(file, 0644);
	chmod(folder, 0777);
	refused("hostile", file, "folder can be written");
	chmod(folder, 0755);
	unlink(file), unlink(link), rmdir(folder);
}

TEST(a_file_replaced_on_disk_changes_nothing)
{
	char folder[] = "/tmp/mypostshare-hosts-XXXXXX", file[64];
	struct result r;

	setup();
	CHECK(mkdtemp(folder) != NULL);
	snprintf(file, sizeof file, "%s/hostile.so", folder);
	copy_file(PLUGINS "hostile.so", file);
	CHECK_INT(load_as("hostile", file), RC_OK);
	CHECK(truncate(file, 100) == 0);
	run("crash", &r);		/* the next host runs what was loaded, not what lies there */
	still_serves();
	unlink(file), rmdir(folder);
}

TEST(pin)
{
	struct host_spec spec = { .id = "hostile", .file = PLUGINS "hostile.so",
		.sha256 = "0000000000000000000000000000000000000000000000000000000000000000" };

	setup();
	cx_init(&cx, "test");
	CHECK_INT(hosts_load(&cx, hs, &spec), RC_DENIED);
	CHECK(strstr(cx.words, "SHA-256") != NULL);
}

TEST(steps_are_answered_in_order_and_survive_a_crash_between_them)
{
	static struct result r[100];

	hostile_again();
	for (int i = 0; i < 100; i++) {
		char text[16];

		snprintf(text, sizeof text, "%d", i);
		queue((uint64_t)i + 1, i == 40 ? "crash" : "echo", text, &r[i]);
	}
	turns_until(&r[99]);
	for (int i = 0; i < 100; i++) {
		char text[16];

		snprintf(text, sizeof text, "%d", i);
		CHECK_INT(r[i].calls, 1);
		if (i == 40)
			CHECK_INT(r[i].outcome, HOST_PARKED);
		else
			CHECK_STR(r[i].value, text);
	}
}

TEST(large_steps_are_all_answered)
{
	static struct result r[12];
	char *text = malloc(1000001);

	hostile_again();
	memset(text, 'a', 1000000);
	text[1000000] = '\0';
	for (int i = 0; i < 12; i++)
		queue((uint64_t)i + 1, "nothing", text, &r[i]);
	turns_until(&r[11]);
	for (int i = 0; i < 12; i++)
		CHECK_STR(r[i].verb, "bug");
	free(text);
}

TEST(three_culprits_in_a_minute_pause_the_provider)
{
	struct result a, b, c, d;

	hostile_again();
	run("crash", &a);
	run("stop", &b);
	queue(1000, "leave", "x", &c);
	queue(1001, "echo", "x", &d);
	turns_until(&d);
	CHECK_INT(c.calls + d.calls, 2);
	CHECK_INT(c.outcome, HOST_PAUSED);
	CHECK_INT(d.outcome, HOST_PAUSED);
	CHECK(hosts_find(hs, "hostile")->paused);
	CHECK(strstr(d.words, "reload") != NULL);
	run("echo", &d);
	CHECK_INT(d.outcome, HOST_PAUSED);
	CHECK_INT(hosts_reload(&cx, hs, &(struct host_spec){ .id = "hostile", .file = PLUGINS "hostile.so" }), RC_OK);
	still_serves();
}

TEST(killed_from_outside)
{
	struct result r;

	hostile_again();
	CHECK(kill(hosts_find(hs, "hostile")->pid, SIGKILL) == 0);
	run("echo", &r);
	CHECK_STR(r.value, "hello");
	still_serves();
	CHECK_INT(hosts_find(hs, "hostile")->crashes, 1);
}

TEST(reload_swaps_and_the_old_one_answers_its_queue)
{
	struct result before, after;

	hostile_again();
	queue(1, "echo", "the old one", &before);
	CHECK_INT(hosts_reload(&cx, hs, &(struct host_spec){ .id = "hostile", .file = PLUGINS "reloaded.so" }), RC_OK);
	queue(2, "echo", "x", &after);
	turns_until(&after);
	turns_until(&before);
	CHECK_STR(before.value, "the old one");
	CHECK_STR(after.value, "the new one");
	CHECK_STR(hosts_find(hs, "hostile")->version, "2.0");
}

/* Whatever the old one was busy with is run again by the new one, and is no crash of anybody. */
TEST(what_the_old_one_does_not_answer_is_asked_of_the_new_one)
{
	static const char *const phases[] = { "loop", "crash", "out_of_turn" };

	for (size_t i = 0; i < sizeof phases / sizeof *phases; i++) {
		struct result first, second;

		hostile_again();
		queue(1, phases[i], "x", &first);
		queue(2, "echo", "y", &second);
		CHECK_INT(hosts_reload(&cx, hs, &(struct host_spec){ .id = "hostile", .file = PLUGINS "reloaded.so" }), RC_OK);
		turns_until(&second);
		turns_until(&first);
		CHECK_SAY(strcmp(first.value, "the new one") == 0, "%s: %s", phases[i], first.value);
		CHECK_INT(first.calls, 1);
		CHECK_INT(second.calls, 1);
		CHECK_INT(hosts_find(hs, "hostile")->crashes, 0);
		CHECK(!hosts_find(hs, "hostile")->paused);
	}
}

TEST(failed_reload_leaves_the_old_one_serving)
{
	static const struct { const char *file, *words; } bad[] = {
		{ PLUGINS "no_entry.so", "mps_provider_v1" }, { PLUGINS "wrong_id.so", "somebody-else" },
		{ PLUGINS "constructor_crash.so", "SIGABRT" }, { PLUGINS "forgetful.so", "state version 1" },
	};

	hostile_again();
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		cx_init(&cx, "test");
		CHECK(hosts_reload(&cx, hs, &(struct host_spec){ .id = "hostile", .file = bad[i].file }) != RC_OK);
		CHECK_SAY(strstr(cx.words, bad[i].words), "the words are \"%s\"", cx.words);
		CHECK(hosts_find(hs, "hostile")->loaded);
		CHECK_STR(hosts_find(hs, "hostile")->version, "1.0");
		still_serves();
	}
}

struct started { int calls; enum rc rc; char words[200]; };

static void started(struct cx *how, const char *id, enum rc rc, void *arg)
{
	struct started *s = arg;

	(void)id;
	s->calls++;
	s->rc = rc;
	snprintf(s->words, sizeof s->words, "%.190s", how->words);
}

/* A constructor that hangs is waited for by nobody: the steps of all, its own included, go on meanwhile. */
TEST(a_provider_that_hangs_while_it_is_loaded_holds_up_nobody)
{
	struct started s = { 0 };
	struct host_spec hangs = { .id = "hostile", .file = PLUGINS "constructor_loop.so", .started = started, .arg = &s };

	hostile_again();
	cx_init(&cx, "test");
	CHECK_INT(hosts_start(&cx, hs, &hangs), RC_OK);
	CHECK(hosts_find(hs, "hostile")->starting);
	CHECK_INT(hosts_start(&cx, hs, &hangs), RC_CONFLICT);
	for (int i = 0; i < 100; i++)
		still_serves();
	CHECK_INT(s.calls, 0);
	for (int64_t end = clock_mono() + 20000; !s.calls && clock_mono() < end;)
		hosts_turn(hs);
	CHECK_INT(s.calls, 1);
	CHECK(s.rc == RC_TIMEOUT && strstr(s.words, "did not load within"));
	CHECK(!hosts_find(hs, "hostile")->starting && strstr(hosts_find(hs, "hostile")->words, "did not load within"));
	still_serves();
}

/* Closed by its constructor, it would be ready for reading for ever, and the engine would never rest. */
TEST(standard_error_that_is_closed_is_not_waited_for)
{
	struct http_wait waits[8];

	setup();
	CHECK_SAY(load_as("quiet", PLUGINS "quiet.so") == RC_OK, "%s", cx.words);
	hosts_turn(hs);
	CHECK_INT(hosts_waits(hs, waits, 8), 2);
	CHECK_INT(poll((struct pollfd[]){ { waits[0].fd, POLLIN, 0 }, { waits[1].fd, POLLIN, 0 } }, 2, 50), 0);
}

TEST(what_went_wrong_stays_told)
{
	struct result r;
	const struct host_info *i;

	hostile_again();
	CHECK_STR(hosts_find(hs, "hostile")->fault, "");
	run("crash", &r);
	i = hosts_find(hs, "hostile");
	CHECK(strstr(i->fault, "publish/crash") && strstr(i->fault, "SIGSEGV") && i->faults == 3 && i->fault_at > 0 && !i->words[0]);
	CHECK(hosts_news(hs) == HOSTS_CHANGED && hosts_news(hs) == 0);
	hosts_fault(hs, "hostile", "asked for\nanother \033[31mhost \xff");
	i = hosts_find(hs, "hostile");
	CHECK_STR(i->fault, "asked for?another ?[31mhost ?");
	CHECK_INT(i->faults, 4);
	CHECK_INT(hosts_reload(&cx, hs, &(struct host_spec){ .id = "hostile", .file = PLUGINS "hostile.so" }), RC_OK);
	CHECK_INT(hosts_find(hs, "hostile")->faults, 4);
}

TEST(unknown_provider)
{
	struct result r = { 0 };
	struct buf frame BUF_AUTO;

	setup();
	buf_init(&frame, 1024);
	frame_end(&frame, frame_begin(&frame, FRAME_STEP, 7));
	hosts_step(hs, "nobody", 7, &frame, done, &r);
	turns_until(&r);
	CHECK_INT(r.outcome, HOST_PAUSED);
}

/* A host inherits nothing: only its four descriptors, and no environment. */
TEST(descriptors_of_a_host)
{
	char path[64], target[256];
	int pid, extra = open("/etc/hostname", O_RDONLY);	/* without CLOEXEC on purpose */
	ssize_t n;

	hostile_again();
	pid = hosts_find(hs, "hostile")->pid;
	for (int fd = 0; fd < 64; fd++) {
		snprintf(path, sizeof path, "/proc/%d/fd/%d", pid, fd);
		n = readlink(path, target, sizeof target - 1);
		CHECK_SAY((n >= 0) == (fd < 4), "descriptor %d", fd);
	}
	close(extra);
	snprintf(path, sizeof path, "/proc/%d/environ", pid);
	int environ_fd = open(path, O_RDONLY);
	CHECK_INT(read(environ_fd, target, sizeof target), 0);
	close(environ_fd);
}

/* --- answers as hostile input -------------------------------------------------------------------------------- */

static const char *check_of(const char *const *parts)		/* kind as a character, key, value, ... , NULL */
{
	static struct buf b;

	if (!b.max)
		buf_init(&b, 65536);
	buf_reset(&b);
	for (; *parts; parts += 3)
		rec_text(&b, (enum frame_kind)(unsigned char)parts[0][0], parts[1], parts[2]);
	return action_check(b.data, b.len);
}

#define V "\x28"	/* REC_VERB */
#define M "\x3c"	/* REC_METHOD */
#define U "\x3d"	/* REC_URL */
#define H "\x3f"	/* REC_REQ_HEADER */
#define P "\x15"	/* REC_PHASE */

#define D "\x45"	/* REC_MADE */
#define SEND V, "", "send", P, "", "next"
#define TO M, "POST", "once", U, "", "https://a.example"

TEST(signatures_that_pass_and_signatures_that_do_not)
{
	static const char *const good[] = {
		SEND, D, "made:1", "hmac hex\nclient.secret\n=a\nb", D, "made:2", "hmac base64\nmade:1\n@token.access",
		D, "made:3", "jwt ES256\nclient.key\n60\n{\"a\":\n1}", TO, NULL
	};
	static const char *const bad[][19] = {
		{ V, "", "done", D, "made:1", "hmac hex\nclient.secret\n=a", NULL },
		{ SEND, TO, D, "made:1", "hmac hex\nclient.secret\n=a", NULL },
		{ SEND, D, "made:2", "hmac hex\nclient.secret\n=a", TO, NULL },
		{ SEND, D, "made:01", "hmac hex\nclient.secret\n=a", TO, NULL },
		{ SEND, D, "token.access", "hmac hex\nclient.secret\n=a", TO, NULL },
		{ SEND, D, "made:1", "hmac hex\nmade:1\n=a", TO, NULL },
		{ SEND, D, "made:1", "hmac hex\nclient.secret\n@made:2", D, "made:2", "hmac hex\nclient.secret\n=a", TO, NULL },
		{ SEND, D, "made:1", "hmac hex\nclient.secret\na", TO, NULL },
		{ SEND, D, "made:1", "hmac hex\nclient.secret\n", TO, NULL },
		{ SEND, D, "made:1", "hmac hex\nclient.secret\n@a b", TO, NULL },
		{ SEND, D, "made:1", "hmac md5\nclient.secret\n=a", TO, NULL },
		{ SEND, D, "made:1", "hmac hex\n\n=a", TO, NULL },
		{ SEND, D, "made:1", "hmac hex\ncl\r\n=a", TO, NULL },
		{ SEND, D, "made:1", "hmac hex", TO, NULL },
		{ SEND, D, "made:1", "jwt none\nclient.key\n60\n{}", TO, NULL },
		{ SEND, D, "made:1", "jwt ES256\nclient.key\n-1\n{}", TO, NULL },
		{ SEND, D, "made:1", "jwt ES256\nclient.key\n999999999\n{}", TO, NULL },
		{ SEND, D, "made:1", "jwt ES256\nclient.key\n60\n{", TO, NULL },
		{ SEND, D, "made:1", "jwt ES256\nclient.key\n60\n[1]", TO, NULL },
		{ SEND, D, "made:1", "hmac hex\nclient.secret\n=\xff", TO, NULL },
		{ SEND, D, "made:1", "hmac hex\nclient.secret\n=a", D, "made:1", "hmac hex\nclient.secret\n=a", TO, NULL },
	};

	CHECK_SAY(!check_of(good), "%s", check_of(good));
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		CHECK_SAY(check_of(bad[i]), "action %zu passed", i);
}

TEST(actions_that_pass_and_actions_that_do_not)
{
	static const char *const good[] = {
		V, "", "send", P, "", "next", M, "POST", "once", U, "", "https://a.example/x?y=1", H, "Accept", "a/b", NULL
	};
	static const char *const bad[][19] = {
		{ P, "", "next", NULL },
		{ V, "", "done", V, "", "done", NULL },
		{ V, "", "explode", NULL },
		{ V, "", "send", P, "", "next", NULL },
		{ V, "", "send", M, "POST", "once", U, "", "https://a.example", NULL },
		{ V, "", "done", U, "", "https://a.example", NULL },
		{ V, "", "send", P, "", "next", M, "POST", "often", U, "", "https://a.example", NULL },
		{ V, "", "send", P, "", "next", M, "BREW", "once", U, "", "https://a.example", NULL },
		{ V, "", "send", P, "", "next", M, "POST", "once", U, "", "https://a.example/\r\nX: y", NULL },
		{ V, "", "send", P, "", "next", M, "POST", "once", U, "", "https://a.example", H, "X", "a\r\nHost: b", NULL },
		{ V, "", "send", P, "", "next", M, "POST", "once", U, "", "https://a.example", H, "X: y", "a", NULL },
		{ V, "", "send", P, "", "next", M, "POST", "once", U, "", "https://a.example", H, "", "a", NULL },
		{ V, "", "wait", P, "", "next", NULL },
		{ V, "", "fail", NULL },
		{ V, "", "done", "\x2e", "bad key", "x", NULL },
		{ V, "", "done", "\x2e", "remote_id", "\xff\xfe", NULL },
		{ V, "", "done", "\x63", "", "", NULL },
		{ V, "", "wait", P, "", "next", "\x29", "", "9999999999", NULL },
		{ V, "", "wait", P, "", "next", "\x29", "", "-5", NULL },
		{ V, "", "done", "\x29", "retry_after", "2592001", NULL },
	};

	CHECK_SAY(!check_of(good), "%s", check_of(good));
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		CHECK_SAY(check_of(bad[i]), "action %zu passed", i);
	CHECK(action_check("\x28\xff\xff\xff\xff\xff\xff", 7) != NULL);
	CHECK(action_check("\x28", 1) != NULL);
}
