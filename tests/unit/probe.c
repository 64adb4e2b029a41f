/*
 * The probe: what it tells of every format, of thousands of damaged files, what it may not do, and that the core
 * takes nothing from it but its one line.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "core/base/clock.h"
#include "core/base/text.h"
#include "core/io/probe.h"
#include "core/probe/probe.h"
#include "tests/unit/media_samples.h"

static struct input in;

static struct probed ask(const void *bytes, size_t n)
{
	struct probed p;
	int fd = file_of(bytes, n);

	CHECK(input_open(&in, fd));
	probe_read(&in, &p);
	close(fd);
	return p;
}

/* ---- formats -------------------------------------------------------------------------------------------- */

static const struct { const char *kind, *mime, *codec; int width, height, ms, rate; } expected[SAMPLES] = {
	{"image", "image/jpeg", "jpeg", 40, 30, 0, 0},
	{"image", "image/jpeg", "jpeg", 30, 40, 0, 0},
	{"image", "image/png", "png", 64, 48, 0, 0},
	{"image", "image/png", "apng", 64, 48, 0, 0},
	{"image", "image/gif", "gif", 20, 10, 0, 0},
	{"gif", "image/gif", "gif", 20, 10, 300, 10000},
	{"image", "image/webp", "webp", 300, 200, 0, 0},
	{"image", "image/webp", "webp", 300, 200, 0, 0},
	{"gif", "image/webp", "webp", 300, 200, 1000, 4000},
	{"video", "video/mp4", "h264", 640, 360, 2000, 25000},
	{"video", "video/quicktime", "hevc", 1080, 1920, 3000, 30000},
	{"video", "video/webm", "vp9", 854, 480, 5000, 25000},
};

TEST(every_format_tells_what_it_is)
{
	for (int i = 0; i < SAMPLES; i++) {
		struct buf b BUF_AUTO;
		struct probed p;

		sample_make(i, &b);
		p = ask(b.data, b.len);
		CHECK_SAY(p.answer == PROBED_MEDIA, "sample %d: %s", i, p.words);
		CHECK_STR(p.kind, expected[i].kind);
		CHECK_STR(p.mime, expected[i].mime);
		CHECK_STR(p.codec, expected[i].codec);
		CHECK_SAY(p.width == expected[i].width && p.height == expected[i].height, "sample %d is %d x %d", i, (int)p.width, (int)p.height);
		CHECK_SAY(p.duration_ms == expected[i].ms, "sample %d lasts %d ms", i, (int)p.duration_ms);
		CHECK_SAY(p.frame_rate_milli == expected[i].rate, "sample %d has rate %d", i, (int)p.frame_rate_milli);
	}
}

TEST(every_turn_of_a_jpeg_is_respected)
{
	for (int turn = 1; turn <= 8; turn++) {
		struct buf b BUF_AUTO;
		struct probed p;

		buf_init(&b, 4096);
		make_jpeg(&b, 400, 300, turn);
		p = ask(b.data, b.len);
		CHECK_INT(p.width, turn >= 5 ? 300 : 400);
		CHECK_INT(p.height, turn >= 5 ? 400 : 300);
	}
}

TEST(everything_else_is_unsupported)
{
	static const char *const texts[] = {
		"just some words that are no picture at all", "%PDF-1.7 ................", "<svg xmlns='http://www.w3.org/2000/svg'/>",
		"RIFF\x24\0\0\0WAVEfmt ........", "ID3\x03............................", "BM......................",
	};
	static const struct movie_sample sound = {"isom", "soun", "mp4a", 0, 0, 2, 25, 0, false};
	static const struct movie_sample still = {"heic", "pict", "hvc1", 9, 9, 1, 1, 0, false};
	struct buf b BUF_AUTO;

	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		CHECK_INT(ask(texts[i], strlen(texts[i]) < 20 ? 20 : strlen(texts[i])).answer, PROBED_UNSUPPORTED);
	buf_init(&b, 65536);
	make_mp4(&b, &sound);
	CHECK_INT(ask(b.data, b.len).answer, PROBED_UNSUPPORTED);
	buf_reset(&b);
	make_mp4(&b, &still);
	CHECK_INT(ask(b.data, b.len).answer, PROBED_UNSUPPORTED);
	buf_reset(&b);
	make_webm(&b, "matroska", 9, 9, 1);
	CHECK_INT(ask(b.data, b.len).answer, PROBED_UNSUPPORTED);
	CHECK_INT(ask("", 0).answer, PROBED_UNREADABLE);
	CHECK_INT(ask("\xff\xd8\xff", 3).answer, PROBED_UNREADABLE);
}

/* ---- damage --------------------------------------------------------------------------------------------- */

/* A picture whose end nobody looks for (JPEG) may still be told when only its data is cut, a GIF behind a whole picture. */
static bool is_gif_end(size_t n) { return n >= 42 && ((n - 42) % 23 == 0 || (n - 42) % 23 == 8); }

TEST(what_was_cut_off_is_noticed)
{
	for (int i = 0; i < SAMPLES; i++) {
		struct buf b BUF_AUTO;

		sample_make(i, &b);
		for (size_t n = 0; n < b.len; n++) {
			struct probed p = ask(b.data, n);

			bool whole = (i < 2 && n > b.len - 4) || ((i == 4 || i == 5) && is_gif_end(n)) || (i == 11 && n > b.len - 60);

			CHECK_SAY(whole || p.answer != PROBED_MEDIA, "sample %d of %zu bytes is taken with %zu", i, b.len, n);
		}
	}
}

static uint64_t seed = 20261123;

static uint32_t dice(uint32_t sides)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(seed >> 33) % sides;
}

static void damage(struct buf *b)
{
	static const unsigned char nasty[] = {0x00, 0x01, 0x7f, 0x80, 0xff, 0xfe, 0x20};

	for (uint32_t n = 1 + dice(4); n > 0; n--) {
		size_t at = dice((uint32_t)b->len), run = 1 + dice(8);

		switch (dice(4)) {
		case 0: b->data[at] ^= (char)(1u << dice(8)); break;
		case 1: b->data[at] = (char)nasty[dice(sizeof nasty)]; break;
		case 2:
			for (size_t i = at; i < at + run && i < b->len; i++)
				b->data[i] = (char)nasty[dice(sizeof nasty)];
			break;
		default:
			for (size_t i = 0; i < run && at + i < b->len; i++)
				b->data[at + i] = b->data[dice((uint32_t)b->len)];
			break;
		}
	}
	if (dice(8) == 0)
		buf_cut(b, 1 + dice((uint32_t)b->len));
}

/* Whatever it says of them is a line that the core understands. */
TEST(thousands_of_damaged_files_are_survived)
{
	for (int round = 0; round < 6000; round++) {
		struct buf b BUF_AUTO;
		struct probed p, read;
		char line[PROBED_MAX];
		size_t n;

		sample_make(round % SAMPLES, &b);
		damage(&b);
		p = ask(b.data, b.len);
		n = probed_write(&p, line);
		CHECK_SAY(n > 0 && probed_read(line, n, &read), "round %d: %s", round, line);
		CHECK_INT(read.answer, p.answer);
	}
}

/* ---- the line ------------------------------------------------------------------------------------------- */

TEST(only_a_proper_line_is_read)
{
	static const char *const good[] = {"media image image/png png 1 2 0 0\n", "media video video/mp4 h264 1920 1080 30000 29970\n",
		"unreadable it is broken\n", "unsupported x\n"};
	static const char *const bad[] = {
		"", "\n", "media\n", "media image image/png png 1 2 0 0", "media image image/png png 1 2 0\n", "media image image/png png 1 2 0 0 0\n",
		"media image image/png png 0 2 0 0\n", "media image image/png png 1 2 0 -1\n", "media image image/png png 1 02 0 0\n",
		"media image image/svg png 1 2 0 0\n", "media picture image/png png 1 2 0 0\n", "media image image/png PNG 1 2 0 0\n",
		"media image image/png png 1 2 0 0 \n", "media image  image/png png 1 2 0 0\n", "media image image/png png 1 2 0 0\nmedia\n",
		"media image image/png p'g 1 2 0 0\n", "media image image/png png 1000001 2 0 0\n", "unreadable\n", "unreadable \n",
		"unreadable \x1b[2J\n", "unsupported caf\xc3\xa9\n", "fine image image/png png 1 2 0 0\n",
		"media image image/png png 1 2 99999999999999999999 0\n",
	};
	struct probed p;

	for (size_t i = 0; i < sizeof good / sizeof *good; i++)
		CHECK_SAY(probed_read(good[i], strlen(good[i]), &p), "refused: %s", good[i]);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		CHECK_SAY(!probed_read(bad[i], strlen(bad[i]), &p), "read: %s", bad[i]);
}

/* ---- the sandbox ---------------------------------------------------------------------------------------- */

static void do_nothing(void) { }
static void do_open(void) { (void)!open("/etc/hostname", O_RDONLY); }
static void do_create(void) { (void)!open("/tmp/mps-probe-was-here", O_WRONLY | O_CREAT, 0600); }
static void do_socket(void) { (void)!socket(AF_INET, SOCK_STREAM, 0); }
static void do_fork(void) { (void)!fork(); }
static void do_kill(void) { (void)kill(getppid(), SIGTERM); }
static void do_chmod(void) { (void)fchmod(0, 0777); }
static void do_dup(void) { (void)!dup(0); }
static void do_write_file(void) { (void)!write(0, "x", 1); }

static void do_exec(void)
{
	static char name[] = "true";
	static char *argv[] = {name, NULL};

	(void)execve("/bin/true", argv, NULL);
}

/* The wait status of a process that confines itself, reads, does this, writes and ends. */
static int confined(void (*act)(void))
{
	int pipes[2], pid, status = 0, file = file_of("0123456789abcdef", 16);
	char got;

	CHECK(pipe(pipes) == 0);
	pid = fork();
	if (pid == 0) {
		dup2(file, 0);
		dup2(pipes[1], 1);
		if (!probe_confine() || !input_open(&in, 0) || input_bytes(&in, 0, 16) == NULL)
			_exit(9);
		act();
		_exit(write(1, "!", 1) == 1 ? 0 : 8);
	}
	close(pipes[1]);
	CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		CHECK(read(pipes[0], &got, 1) == 1 && got == '!');
	close(pipes[0]);
	close(file);
	return status;
}

TEST(the_sandbox_lets_it_read_and_answer_and_nothing_else)
{
	static const struct { const char *name; void (*act)(void); } forbidden[] = {
		{"open", do_open}, {"create", do_create}, {"socket", do_socket}, {"fork", do_fork}, {"kill", do_kill}, {"chmod", do_chmod},
		{"dup", do_dup}, {"write to the file", do_write_file}, {"exec", do_exec},
	};
	int status = confined(do_nothing);

	CHECK_SAY(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the probe itself cannot work: status %x", (unsigned)status);
	for (size_t i = 0; i < sizeof forbidden / sizeof *forbidden; i++) {
		status = confined(forbidden[i].act);
		CHECK_SAY(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS, "%s is not forbidden: status %x", forbidden[i].name, (unsigned)status);
	}
	CHECK(access("/tmp/mps-probe-was-here", F_OK) != 0);
}

/* ---- the core's side ------------------------------------------------------------------------------------ */

static enum rc judge(const char *program, int fd, struct cx *cx, struct probed *p)
{
	struct probe *probe;
	enum rc rc;

	cx_init(cx, "test");
	CHECK_SAY(probe_open(cx, program, &probe) == RC_OK, "%s", cx->words);
	rc = probe_file(cx, probe, fd, p);
	probe_close(probe);
	return rc;
}

static enum rc judge_bytes(const char *program, const void *bytes, size_t n, struct cx *cx, struct probed *p)
{
	int fd = file_of(bytes, n);
	enum rc rc = judge(program, fd, cx, p);

	close(fd);
	return rc;
}

#define PROBE BUILD_FOLDER "/libexec/mypostshare-probe"

TEST(the_program_answers_for_every_format)
{
	struct probed p;
	struct cx cx;

	for (int i = 0; i < SAMPLES; i++) {
		struct buf b BUF_AUTO;

		sample_make(i, &b);
		CHECK_SAY(judge_bytes(PROBE, b.data, b.len, &cx, &p) == RC_OK, "sample %d: %s", i, cx.words);
		CHECK_STR(p.mime, expected[i].mime);
		CHECK_INT(p.width, expected[i].width);
	}
	CHECK_INT(judge_bytes(PROBE, "these are words, and no picture", 31, &cx, &p), RC_INVALID);
	CHECK_STR(cx.code, "media_type_unsupported");
	CHECK_INT(judge_bytes(PROBE, "\x89PNG\r\n\x1a\n and then nothing", 26, &cx, &p), RC_INVALID);
	CHECK_STR(cx.code, "media_unreadable");
}

/* cat in place of the probe: the file is the answer. */
TEST(a_probe_that_talks_nonsense_is_not_believed)
{
	static char flood[100000];
	static const char *const lines[] = {"", "hello\n", "media image image/png png 1 2 0 0\n\n", "media image image/png png 1 2 0 0"};
	struct probed p;
	struct cx cx;

	CHECK_INT(judge_bytes("/bin/cat", "media image image/png png 5 6 0 0\n", 34, &cx, &p), RC_OK);
	CHECK_INT(p.height, 6);
	for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
		CHECK_INT(judge_bytes("/bin/cat", lines[i], strlen(lines[i]), &cx, &p), RC_INVALID);
		CHECK_STR(cx.code, "media_unreadable");
	}
	memset(flood, 'x', sizeof flood);
	CHECK_INT(judge_bytes("/bin/cat", flood, sizeof flood, &cx, &p), RC_INVALID);
	CHECK_INT(judge_bytes("/usr/bin/yes", "x", 1, &cx, &p), RC_INVALID);
	CHECK_INT(judge_bytes("/bin/false", "x", 1, &cx, &p), RC_INVALID);
	CHECK_STR(cx.code, "media_unreadable");
}

static int64_t quick(void)
{
	static int64_t at = 1000000000000;

	return at += 2000;
}

TEST(a_probe_that_hangs_is_ended)
{
	struct probed p;
	struct cx cx;
	int pipes[2];

	CHECK(pipe(pipes) == 0);
	clock_fake(quick);
	CHECK_INT(judge("/bin/cat", pipes[0], &cx, &p), RC_INVALID);
	clock_fake(NULL);
	CHECK_STR(cx.code, "media_unreadable");
	close(pipes[0]);
	close(pipes[1]);
	cx_init(&cx, "test");
	struct probe *probe;
	CHECK_INT(probe_open(&cx, "/nowhere/mypostshare-probe", &probe), RC_NOT_FOUND);
}
