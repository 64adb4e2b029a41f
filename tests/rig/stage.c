/* Processes of the crash tests: the sandbox and the drivers.  See stage.h. */
#include "tests/rig/stage.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/rig/warp.h"

#define ANSWER_MS 180000

/* ---- children ---------------------------------------------------------------------------------------------- */

/* argv ends with NULL; the child dies with us.  in or out NULL: not piped. */
static pid_t child(char *const argv[], char *const env[], int *in, int *out)
{
	int to[2] = {-1, -1}, from[2] = {-1, -1};
	pid_t pid;

	MUST(in == NULL || pipe2(to, O_CLOEXEC) == 0);
	MUST(out == NULL || pipe2(from, O_CLOEXEC) == 0);
	pid = fork();
	MUST(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (in != NULL)
			dup2(to[0], STDIN_FILENO);
		if (out != NULL)
			dup2(from[1], STDOUT_FILENO);
		for (int i = 0; env != NULL && env[i] != NULL; i++)
			putenv(env[i]);
		execv(argv[0], argv);
		_exit(127);
	}
	if (in != NULL) {
		close(to[0]);
		*in = to[1];
	}
	if (out != NULL) {
		close(from[1]);
		*out = from[0];
	}
	return pid;
}

static void end(pid_t pid, int signal)
{
	if (pid <= 0)
		return;
	kill(pid, SIGCONT);
	kill(pid, signal);
	waitpid(pid, NULL, 0);
}

static void shell(const char *words, ...) __attribute__((format(printf, 1, 2)));
static void shell(const char *words, ...)
{
	char command[1000];
	va_list args;

	va_start(args, words);
	vsnprintf(command, sizeof command, words, args);
	va_end(args);
	if (system(command) != 0)
		rig_die(__FILE__, __LINE__, "%s", command);
}

/* ---- the stage --------------------------------------------------------------------------------------------- */

/* The folder of the build that this program belongs to: BUILD/crash/NAME. */
static void build_of(struct stage *s)
{
	ssize_t n = readlink("/proc/self/exe", s->build, sizeof s->build - 1);

	MUST(n > 0);
	s->build[n] = '\0';
	*strrchr(s->build, '/') = '\0';
	*strrchr(s->build, '/') = '\0';
}

static void sandbox_start(struct stage *s)
{
	char program[300], folder[200], line[200] = "";
	char *argv[] = {program, (char[]){"sandbox"}, (char[]){"--with-parent"}, (char[]){"--folder"}, folder, NULL};
	size_t n = 0;
	int out;

	snprintf(program, sizeof program, "%s/mypostshare", s->build);
	snprintf(folder, sizeof folder, "%s/sandbox", s->folder);
	s->sandbox = child(argv, NULL, NULL, &out);
	while (n < sizeof line - 1 && strchr(line, '\n') == NULL && read(out, line + n, 1) == 1)
		line[++n] = '\0';
	if (sscanf(line, "sandbox listening on %63s", s->url) != 1)
		rig_die(__FILE__, __LINE__, "%s says: %s", program, line);
}

void stage_open(struct stage *s)
{
	const char *memory = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
	char host[300], plugins[300];

	memset(s, 0, sizeof *s);
	signal(SIGPIPE, SIG_IGN);
	build_of(s);
	snprintf(s->folder, sizeof s->folder, "%s/mps-crash-XXXXXX", memory);
	MUST(mkdtemp(s->folder) != NULL);
	snprintf(host, sizeof host, "%s/libexec/mypostshare-host", s->build);
	snprintf(plugins, sizeof plugins, "%s/plugins", s->folder);
	setenv("MPS_HOST", host, 1);
	setenv("MPS_PLUGINS", plugins, 1);
	shell("mkdir '%s' && cp '%s/plugins/sandbox.so' '%s/tests/plugins/instance.so' '%s'", plugins, s->build, s->build, plugins);
	snprintf(s->clock, sizeof s->clock, "%s/clock", s->folder);
	warp_map(s->clock);
	setenv("MPS_CLOCK", s->clock, 1);	/* ours too, from its first use on */
	sandbox_start(s);
}

void stage_close(struct stage *s)
{
	end(s->sandbox, SIGTERM);
	if (getenv("TEST_KEEP") == NULL)
		shell("rm -rf '%s'", s->folder);
	else
		fprintf(stderr, "kept: %s\n", s->folder);
}

/* Its handlers write through one writer: what stood in the queue before this write is durable after it. */
void stage_settled(const struct stage *s)
{
	rig_control(s->url, "/control/accounts", "{\"name\":\"barrier\"}");
	poll(NULL, 0, 5);
	rig_control(s->url, "/control/accounts", "{\"name\":\"barrier\"}");
}

/* ---- drivers ----------------------------------------------------------------------------------------------- */

enum came driver_start(struct driver *d, const struct stage *s, const char *store, const struct drive *how)
{
	char program[300], url[64], fail[200], sync[40], clock[220];
	char *argv[] = {program, d->folder, url, NULL}, *env[] = {fail, sync, clock, NULL};

	memset(d, 0, sizeof *d);
	d->stage = s;
	store_path(s, store, d->folder, sizeof d->folder);
	mkdir(d->folder, 0700);
	snprintf(program, sizeof program, "%s/crash/driver/driver", s->build);
	snprintf(url, sizeof url, "%s", s->url);
	if (how != NULL && how->own_clock)
		snprintf(d->clock, sizeof d->clock, "%s/clock", d->folder);
	else
		snprintf(d->clock, sizeof d->clock, "%s", s->clock);
	snprintf(clock, sizeof clock, "MPS_CLOCK=%s", d->clock);
	snprintf(fail, sizeof fail, "MPS_FAILPOINT=%s", how != NULL && how->failpoint != NULL ? how->failpoint : "");
	snprintf(sync, sizeof sync, "RIG_SYNC_FAIL=%d", how != NULL ? how->sync_fail : 0);
	warp_map(d->clock);
	d->pid = child(argv, env, &d->in, &d->out);
	return driver_await(d, ANSWER_MS);
}

/* Moves one line out of what was read. */
static bool line_of(struct driver *d)
{
	char *end_of = memchr(d->waiting, '\n', d->held);
	size_t n;

	if (end_of == NULL)
		return false;
	n = (size_t)(end_of - d->waiting);
	snprintf(d->line, sizeof d->line, "%.*s", (int)n, d->waiting);
	d->held -= n + 1;
	memmove(d->waiting, end_of + 1, d->held);
	return true;
}

static void closed(struct driver *d)
{
	close(d->in);
	close(d->out);
	d->pid = 0;
}

/* Not by clock_mono: the clock may jump while we wait. */
static int64_t real_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

enum came driver_await(struct driver *d, int ms)
{
	int64_t until = real_ms() + ms;

	for (;;) {
		struct pollfd wait = {d->out, POLLIN, 0};
		int status;
		ssize_t n = 0;

		if (line_of(d))
			return CAME_LINE;
		if (poll(&wait, 1, 5) > 0) {
			n = read(d->out, d->waiting + d->held, sizeof d->waiting - d->held);
			if (n > 0) {
				d->held += (size_t)n;
				continue;
			}
		}
		if (waitpid(d->pid, &status, WNOHANG | WUNTRACED) == d->pid) {
			if (WIFSTOPPED(status))
				return CAME_STOP;
			closed(d);
			return CAME_DEATH;
		}
		if (real_ms() > until)
			return CAME_LATE;
	}
}

static void vtell(struct driver *d, const char *words, va_list args)
{
	char line[2048];
	int n = vsnprintf(line, sizeof line - 1, words, args);

	MUST(n > 0 && n < (int)sizeof line - 1);
	line[n] = '\n';
	if (write(d->in, line, (size_t)n + 1) != n + 1)
		MUST(errno == EPIPE);
}

void driver_tell(struct driver *d, const char *words, ...)
{
	va_list args;

	va_start(args, words);
	vtell(d, words, args);
	va_end(args);
}

enum came driver_say(struct driver *d, const char *words, ...)
{
	va_list args;

	va_start(args, words);
	vtell(d, words, args);
	va_end(args);
	return driver_await(d, ANSWER_MS);
}

void driver_must(struct driver *d, const char *words, ...)
{
	va_list args;
	enum came came;

	va_start(args, words);
	vtell(d, words, args);
	va_end(args);
	came = driver_await(d, ANSWER_MS);
	if (came != CAME_LINE || strncmp(d->line, "ok", 2) != 0)
		rig_die(__FILE__, __LINE__, "the driver on %s: \"%s\" (came %d, %s)", d->folder, words, (int)came, d->line);
}

const char *driver_answer(const struct driver *d)
{
	return strlen(d->line) > 3 ? d->line + 3 : "";
}

void driver_warp(struct driver *d, int64_t ms)
{
	warp_map(d->clock);
	warp_add(ms);
}

void driver_kill(struct driver *d)
{
	if (d->pid <= 0)
		return;
	kill(d->pid, SIGKILL);
	waitpid(d->pid, NULL, 0);
	closed(d);
}

static int parent_of(const char *pid)
{
	char path[300], text[512] = "";
	int parent = 0;
	FILE *f;

	snprintf(path, sizeof path, "/proc/%s/stat", pid);
	f = fopen(path, "re");
	if (f == NULL)
		return 0;
	if (fgets(text, sizeof text, f) != NULL && strrchr(text, ')') != NULL)
		(void)sscanf(strrchr(text, ')') + 1, " %*c %d", &parent);
	fclose(f);
	return parent;
}

int driver_signal_hosts(const struct driver *d, int number)
{
	DIR *all = opendir("/proc");
	struct dirent *e;
	int n = 0;

	MUST(all != NULL);
	while ((e = readdir(all)) != NULL)
		if (e->d_name[0] >= '1' && e->d_name[0] <= '9' && parent_of(e->d_name) == d->pid)
			n += kill((pid_t)strtol(e->d_name, NULL, 10), number) == 0;
	closedir(all);
	return n;
}

int driver_kill_hosts(const struct driver *d)
{
	return driver_signal_hosts(d, SIGKILL);
}

void driver_quit(struct driver *d)
{
	driver_must(d, "quit");
	waitpid(d->pid, NULL, 0);
	closed(d);
}
