/*
 * make bench: runs every part in the order of the table, prints the table, writes build/bench.json.
 *
 *   bench BUILD [--quick|--tiny] [PART...]   parts: disk idle accept list deliver step start; scale only when named
 *
 * See README.md for what is measured how.
 */
#include "tests/bench/bench.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/base/log.h"

void die(const char *fmt, ...)
{
	va_list ap;

	fputs("bench: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(1);
}

double pick(const struct bench *b, double whole, double quick, double tiny)
{
	return b->tiny ? tiny : b->quick ? quick : whole;
}

int64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t wall_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int by_size(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

double percentile_ms(uint32_t *us, size_t n, double p)
{
	if (n == 0)
		return 0;
	qsort(us, n, sizeof *us, by_size);
	return us[(size_t)((double)(n - 1) * p)] / 1000.0;
}

pid_t child_start(void)
{
	pid_t bench = getpid(), pid = fork();

	if (pid < 0)
		die("fork: %s", strerror(errno));
	if (pid > 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != bench)
		_exit(1);
	return 0;
}

void child_end(pid_t pid, int signal)
{
	int status;

	kill(pid, signal);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
}

static const struct { const char *name; void (*run)(const struct bench *b); } parts[] = {
	{"disk", bench_disk}, {"idle", bench_idle}, {"accept", bench_accept}, {"list", bench_list},
	{"deliver", bench_deliver}, {"step", bench_step}, {"start", bench_start}, {"scale", bench_scale},
};

#define PARTS (sizeof parts / sizeof parts[0])
#define USUAL (PARTS - 1)	/* all but the last, which takes very long */

static void part_run(const struct bench *b, size_t i)
{
	int64_t began = now_us();

	parts[i].run(b);
	progress("%s: %.1f s", parts[i].name, (double)(now_us() - began) / 1e6);
}

static void descriptors(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max < 20000 ? files.rlim_max : 20000;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	if (files.rlim_cur < 4096)
		die("4096 open files are needed, %lu are allowed", (unsigned long)files.rlim_cur);
}

static void folder_empty(const struct bench *b)
{
	char command[1200];

	snprintf(command, sizeof command, "rm -rf '%s'", b->folder);
	if (system(command) != 0)
		die("cannot empty %s", b->folder);
}

static void usage(void)
{
	fputs("usage: bench BUILD [--quick|--tiny] [PART...]; parts:", stderr);
	for (size_t i = 0; i < PARTS; i++)
		fprintf(stderr, " %s", parts[i].name);
	fputc('\n', stderr);
	exit(2);
}

/* The parts that are named, the usual ones if none is. */
static unsigned wanted(int argc, char **argv)
{
	unsigned set = 0;
	size_t i;

	for (; argc > 0; argc--, argv++) {
		for (i = 0; i < PARTS && strcmp(parts[i].name, *argv) != 0; i++)
			;
		if (i == PARTS)
			usage();
		set |= 1u << i;
	}
	return set ? set : (1u << USUAL) - 1;
}

int main(int argc, char **argv)
{
	struct bench b = {.quick = false};
	unsigned set;

	if (argc < 2)
		usage();
	b.build = realpath(argv[1], NULL);
	if (b.build == NULL)
		die("%s: %s", argv[1], strerror(errno));
	b.quick = argc > 2 && strcmp(argv[2], "--quick") == 0;
	b.tiny = argc > 2 && strcmp(argv[2], "--tiny") == 0;
	set = wanted(argc - 2 - (b.quick || b.tiny), argv + 2 + (b.quick || b.tiny));
	snprintf(b.folder, sizeof b.folder, "%s/bench-%s", b.build, b.tiny ? "tiny" : "work");
	signal(SIGPIPE, SIG_IGN);
	log_set(LOG_ERROR);
	descriptors();
	folder_empty(&b);
	for (size_t i = 0; i < PARTS; i++)
		if (set >> i & 1)
			part_run(&b, i);
	folder_empty(&b);
	report_print();
	report_save(&b);
	free((char *)(uintptr_t)b.build);
	return 0;
}
