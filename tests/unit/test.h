/*
 * Unit tests: write TEST(name) { ... CHECK(...); } and nothing else; main stands here.
 *
 * The one thing to know: the first failed check ends its test by longjmp, also out of a helper function, so a
 * check must stand on the thread that runs the test.  A program given names runs only those tests.  Log lines
 * below "error" are silent unless TEST_LOG is set.
 */
#ifndef MPS_TESTS_UNIT_TEST_H
#define MPS_TESTS_UNIT_TEST_H

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/log.h"

#define TEST_MAX 256

static struct test_entry { const char *name; void (*run)(void); } test_table[TEST_MAX];
static size_t test_count;
static jmp_buf test_end;
static const char *test_name;

static inline void test_register(const char *name, void (*run)(void))
{
	if (test_count == TEST_MAX) {
		fprintf(stderr, "more than %d tests in one file\n", TEST_MAX);
		exit(2);
	}
	test_table[test_count++] = (struct test_entry){name, run};
}

#define TEST(name) \
	static void test_##name(void); \
	__attribute__((constructor)) static void test_register_##name(void) { test_register(#name, test_##name); } \
	static void test_##name(void)

__attribute__((noreturn)) static inline void test_fail(void)
{
	putchar('\n');
	fflush(stdout);
	longjmp(test_end, 1);
}

#define TEST_SAY(...) \
	(printf("not ok %s: %s:%d: ", test_name, __FILE__, __LINE__), printf(__VA_ARGS__), test_fail())

/* CHECK(condition); CHECK_SAY(condition, "words %s", for_the_reader); */
#define CHECK(cond) do { if (!(cond)) TEST_SAY("%s", #cond); } while (0)
#define CHECK_SAY(cond, ...) do { if (!(cond)) TEST_SAY(__VA_ARGS__); } while (0)

/* A command that must succeed. */
__attribute__((format(printf, 1, 2))) static inline void test_shell(const char *fmt, ...)
{
	char command[2000];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(command, sizeof command, fmt, ap);
	va_end(ap);
	CHECK_SAY(system(command) == 0, "%s", command);
}

/* What came, what should have come. */
#define CHECK_INT(got, want) do { \
	intmax_t got_ = (intmax_t)(got), want_ = (intmax_t)(want); \
	if (got_ != want_) \
		TEST_SAY("%s is %" PRIdMAX ", not %" PRIdMAX, #got, got_, want_); \
} while (0)
#define CHECK_STR(got, want) do { \
	const char *got_ = (got), *want_ = (want); \
	if (!got_ || !want_ ? got_ != want_ : strcmp(got_, want_) != 0) \
		TEST_SAY("%s is \"%s\", not \"%s\"", #got, got_ ? got_ : "(null)", want_ ? want_ : "(null)"); \
} while (0)

static inline bool test_wanted(int argc, char **argv, const char *name)
{
	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], name) == 0)
			return true;
	return argc < 2;
}

int main(int argc, char **argv)
{
	static int failed;	/* static: kept across longjmp */
	static size_t i;
	if (!getenv("TEST_LOG"))
		log_set(LOG_ERROR);
	for (i = 0; i < test_count; i++) {
		test_name = test_table[i].name;
		if (!test_wanted(argc, argv, test_name))
			continue;
		if (setjmp(test_end) == 0) {
			test_table[i].run();
			printf("ok %s\n", test_name);
		} else {
			failed = 1;
		}
		fflush(stdout);
	}
	return failed;
}

#endif
