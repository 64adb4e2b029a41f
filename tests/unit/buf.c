/*
 * The buffer, the arena and struct cx: ceilings, sticky failure, ownership.
 */
#include "core/base/buf.h"

#include <sys/wait.h>
#include <unistd.h>

#include "core/base/arena.h"
#include "core/base/rc.h"
#include "tests/unit/test.h"

/* What is formatted ends before, at and behind the end of the room that is there; the ceiling holds. */
TEST(formats_into_the_room_that_is_there)
{
	char text[200], want[300];

	memset(text, 'y', sizeof text);
	for (int before = 0; before < 70; before++)
		for (int n = 0; n < 150; n++) {
			BUF_AUTO struct buf b;

			buf_init(&b, 180);
			buf_addf(&b, "%.*s", before, text);
			buf_addf(&b, "<%.*s>", n, text);
			if (before + n + 2 > 180) {
				CHECK(!buf_ok(&b) && b.len == 0);
				continue;
			}
			snprintf(want, sizeof want, "%.*s<%.*s>", before, text, n, text);
			CHECK_STR(buf_text(&b), want);
			CHECK(b.len == strlen(want));
		}
}

TEST(buf_adds_up)
{
	BUF_AUTO struct buf b;
	buf_init(&b, 1000);
	CHECK_STR(buf_text(&b), "");
	buf_adds(&b, "one");
	buf_addc(&b, ' ');
	buf_addf(&b, "%d-%s", 2, "three");
	buf_add(&b, "\0x", 2);
	CHECK_INT(b.len, 13);
	CHECK_STR(buf_text(&b), "one 2-three");
	CHECK_INT(b.data[12], 'x');
	CHECK_INT(b.data[13], 0);
	CHECK(buf_ok(&b));
}

TEST(buf_keeps_its_ceiling)
{
	BUF_AUTO struct buf b;
	buf_init(&b, 100);
	for (int i = 0; i < 100; i++)
		buf_addc(&b, 'a');
	CHECK(buf_ok(&b));
	CHECK_INT(b.len, 100);
	buf_addc(&b, 'b');
	CHECK(!buf_ok(&b));
	CHECK_INT(b.len, 0);
	CHECK_STR(buf_text(&b), "");
}

TEST(buf_failure_sticks_until_reset)
{
	BUF_AUTO struct buf b;
	buf_init(&b, 4);
	buf_adds(&b, "12345");
	buf_adds(&b, "1");
	buf_addf(&b, "%d", 1);
	buf_drop(&b, 3);
	buf_cut(&b, 3);
	CHECK(!buf_room(&b, 1));
	CHECK_INT(b.len, 0);
	CHECK(!buf_ok(&b));
	CHECK(!buf_take(&b));
	buf_reset(&b);
	buf_adds(&b, "1234");
	CHECK(buf_ok(&b));
	CHECK_STR(buf_text(&b), "1234");
}

TEST(buf_huge_counts_do_not_wrap)
{
	BUF_AUTO struct buf b;
	for (size_t less = 0; less < 3; less++) {
		buf_init(&b, 100);
		buf_adds(&b, "x");
		CHECK(!buf_room(&b, SIZE_MAX - less));
		CHECK(!buf_ok(&b));
		buf_free(&b);
	}
}

TEST(buf_drop_and_cut)
{
	BUF_AUTO struct buf b;
	buf_init(&b, 100);
	buf_adds(&b, "0123456789");
	buf_drop(&b, 3);
	CHECK_STR(buf_text(&b), "3456789");
	buf_cut(&b, 2);
	CHECK_STR(buf_text(&b), "34");
	buf_drop(&b, 2);
	CHECK_STR(buf_text(&b), "");
	buf_adds(&b, "x");
	buf_reset(&b);
	CHECK_STR(buf_text(&b), "");
}

TEST(buf_room_then_grew)
{
	BUF_AUTO struct buf b;
	buf_init(&b, 5000);
	char *at = buf_room(&b, 3000);
	CHECK(at != NULL);
	memset(at, 'z', 3000);
	buf_grew(&b, 2999);
	CHECK_INT(b.len, 2999);
	CHECK_INT(strlen(b.data), 2999);
}

TEST(buf_take_gives_the_text_away)
{
	BUF_AUTO struct buf b;
	buf_init(&b, 100);
	char *empty = buf_take(&b);
	CHECK_STR(empty, "");
	free(empty);
	buf_adds(&b, "mine");
	char *text = buf_take(&b);
	CHECK_STR(text, "mine");
	free(text);
	CHECK_INT(b.len, 0);
	buf_adds(&b, "again");
	CHECK_STR(buf_text(&b), "again");
}

TEST(arena_zeroes_and_aligns)
{
	ARENA_AUTO struct arena a;
	arena_init(&a, 1 << 20);
	for (size_t n = 0; n < 2000; n += 37) {
		char *p = arena_alloc(&a, n);
		CHECK_INT((uintptr_t)p % 16, 0);
		for (size_t i = 0; i < n; i++)
			CHECK_INT(p[i], 0);
		memset(p, 0xAA, n);
	}
}

TEST(arena_keeps_texts)
{
	ARENA_AUTO struct arena a;
	char *texts[300], want[2000];
	arena_init(&a, 1 << 20);
	for (int i = 0; i < 300; i++)
		texts[i] = arena_printf(&a, "%d %0*d", i, i * 5 + 1, i);
	for (int i = 0; i < 300; i++) {
		snprintf(want, sizeof want, "%d %0*d", i, i * 5 + 1, i);
		CHECK_STR(texts[i], want);
	}
	CHECK(arena_text(&a, NULL) == NULL);
	CHECK_STR(arena_text(&a, "x"), "x");
	CHECK_STR(arena_dup(&a, "abc", 2), "ab");
	arena_free(&a);
	CHECK_INT(a.used, 0);
	CHECK_STR(arena_text(&a, "after"), "after");
}

static int arena_child(size_t first, size_t second)
{
	int status = 0;
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		struct arena a;
		close(STDERR_FILENO);
		arena_init(&a, 1000);
		arena_alloc(&a, first);
		arena_alloc(&a, second);
		arena_free(&a);
		_exit(0);
	}
	CHECK_INT(waitpid(pid, &status, 0), pid);
	return status;
}

TEST(arena_over_its_ceiling_aborts)
{
	CHECK_INT(arena_child(600, 390), 0);
	CHECK(WIFSIGNALED(arena_child(600, 600)));
	CHECK(WIFSIGNALED(arena_child(600, SIZE_MAX)));
	CHECK(WIFSIGNALED(arena_child(SIZE_MAX - 3, 1)));
}

TEST(the_first_fault_stays)
{
	struct cx cx;
	cx_init(&cx, "test");
	CHECK_INT(fail_code(&cx, RC_CONFLICT, "post_sent", "post.id", "post %s is sent", "p1"), RC_CONFLICT);
	CHECK_INT(fail(&cx, RC_INVALID, "second"), RC_CONFLICT);
	CHECK_STR(cx.code, "post_sent");
	CHECK_STR(cx.param, "post.id");
	CHECK_STR(cx.words, "post p1 is sent");
	CHECK_STR(rc_name(cx.rc), "conflict");
	CHECK_STR(rc_name((enum rc)99), "unknown");
}

TEST(long_words_are_cut_at_a_character)
{
	struct cx cx;
	char words[2000];
	for (size_t shift = 0; shift < 3; shift++) {
		cx_init(&cx, "test");
		memset(words, 'a', sizeof words);
		for (size_t i = shift; i + 3 < sizeof words; i += 3)
			memcpy(words + i, "\xE2\x82\xAC", 3);
		words[sizeof words - 5] = '\0';
		fail(&cx, RC_INVALID, "%s", words);
		size_t n = strlen(cx.words);
		CHECK(n > sizeof cx.words - 5);
		CHECK_INT((n - shift) % 3, 0);
	}
}

/* What one log_line writes, through a pipe in place of stderr. */
static void log_capture(const char *who, const char *message, char *out, size_t size)
{
	int pipes[2], old = dup(STDERR_FILENO);
	CHECK_INT(pipe(pipes), 0);
	dup2(pipes[1], STDERR_FILENO);
	log_error(who, "%s", message);
	dup2(old, STDERR_FILENO);
	close(old);
	close(pipes[1]);
	ssize_t n = read(pipes[0], out, size - 1);
	close(pipes[0]);
	CHECK(n > 0);
	out[n] = '\0';
}

TEST(log_lines_cannot_be_forged)
{
	char line[8000];
	log_capture("w\"ho", "one\ntwo \"x\" \\ \x1b[1m \xC2\x85 \xE2\x80\xA8 \xFF.", line, sizeof line);
	CHECK(strchr(line, '\n') == line + strlen(line) - 1);
	CHECK_STR(strstr(line, "\"level\""), "\"level\":\"error\",\"who\":\"w\\\"ho\",\"msg\":\"one\\u000atwo \\\"x\\\" \\\\ "
		"\\u001b[1m \\u0085 \\u2028 \xEF\xBF\xBD.\"}\n");
	CHECK_INT(strncmp(line, "{\"time\":\"2", 10), 0);
}

TEST(log_lines_have_a_ceiling)
{
	char line[8000], message[6000];
	memset(message, '\n', sizeof message - 1);
	message[sizeof message - 1] = '\0';
	log_capture(message, message, line, sizeof line);
	CHECK(strlen(line) <= 4096);
	CHECK_STR(line + strlen(line) - 6, "\xE2\x80\xA6\"}\n");
}
