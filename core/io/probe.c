/*
 * The probe's process: see probe.h.  It gets the file as descriptor 0, a pipe as 1 and nothing else, and it dies
 * with the thread that asked.
 */
#include "core/io/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/log.h"

#define AT_ONCE 4
#define ANSWER_MS 15000
#define SLICE_MS 200
#define END_MS 1000

struct probe { int program; sem_t free; };

static int above(int fd)
{
	int high = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 10);

	if (fd >= 0)
		close(fd);
	return high;
}

enum rc probe_open(struct cx *cx, const char *path, struct probe **ret)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), why = errno;
	struct probe *p;

	fd = above(fd);
	if (fd < 0)
		return fail(cx, RC_NOT_FOUND, "probe program %s: %s: set [providers] probe_program", path, strerror(why));
	p = calloc(1, sizeof *p);
	if (p == NULL) {
		close(fd);
		return fail(cx, RC_NOMEM, "out of memory");
	}
	p->program = fd;
	sem_init(&p->free, 0, AT_ONCE);
	*ret = p;
	return RC_OK;
}

void probe_close(struct probe *p)
{
	if (p == NULL)
		return;
	close(p->program);
	sem_destroy(&p->free);
	free(p);
}

/* Between fork and exec: system calls only.  The descriptors are all above 9, so no dup2 overwrites another. */
static _Noreturn void become_probe(int program, int file, int answer, int null, int parent)
{
	static char name[] = "mypostshare-probe";
	static char *argv[] = {name, NULL}, *envp[] = {NULL};
	sigset_t none;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (getppid() != parent)
		_exit(125);
	(void)setpgid(0, 0);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)signal(SIGPIPE, SIG_DFL);
	if (dup2(file, 0) < 0 || dup2(answer, 1) < 0 || dup2(null, 2) < 0)
		_exit(126);
	if (syscall(SYS_close_range, 3, ~0u, CLOSE_RANGE_CLOEXEC) != 0) {
		for (int fd = 3; fd < 65536; fd++)
			if (fd != program)
				(void)close(fd);
	}
	(void)fexecve(program, argv, envp);
	_exit(127);
}

/* All that it says, up to one byte more than a line may have; 0 if it was not done in time. */
static size_t listen_to(int fd, char *line)
{
	int64_t end = clock_mono() + ANSWER_MS;
	size_t n = 0;

	while (n < PROBED_MAX) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		int64_t left = end - clock_mono();
		ssize_t got;

		if (left <= 0)
			return 0;
		if (poll(&p, 1, (int)(left < SLICE_MS ? left : SLICE_MS)) <= 0)
			continue;
		got = read(fd, line + n, PROBED_MAX - n);
		if (got == 0)
			break;
		if (got < 0 && errno != EINTR)
			return 0;
		n += got > 0 ? (size_t)got : 0;
	}
	return n;
}

/* It has said all; whether it also ended well is part of the answer. */
static void end_await(int pid)
{
	struct pollfd p = {.fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN};

	if (p.fd < 0)
		return;
	(void)poll(&p, 1, END_MS);
	close(p.fd);
}

static enum rc judge(struct cx *cx, const char *line, size_t n, int status, struct probed *ret)
{
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0 || n == 0 || n == PROBED_MAX || !probed_read(line, n, ret)) {
		if (WIFEXITED(status) && WEXITSTATUS(status) >= 125)
			return fail(cx, RC_UNAVAILABLE, "the probe does not start (exit status %d)", WEXITSTATUS(status));
		log_warn("probe", "a file made the probe %s %d", WIFSIGNALED(status) ? "end by signal" : "answer badly, exit status",
			 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
		return fail_code(cx, RC_INVALID, "media_unreadable", NULL, "The file cannot be read as an image or video.");
	}
	if (ret->answer == PROBED_MEDIA)
		return RC_OK;
	return fail_code(cx, RC_INVALID, ret->answer == PROBED_UNSUPPORTED ? "media_type_unsupported" : "media_unreadable", NULL,
		"The file was refused: %s.", ret->words);
}

static enum rc ask(struct cx *cx, struct probe *p, int file, int null, int pipes[2], struct probed *ret)
{
	int parent = getpid(), pid = fork(), status = 0;
	char line[PROBED_MAX];
	size_t n;

	if (pid == 0)
		become_probe(p->program, file, pipes[1], null, parent);
	if (pid < 0)
		return fail(cx, RC_UNAVAILABLE, "the probe does not start: fork: %s", strerror(errno));
	close(pipes[1]);
	pipes[1] = -1;
	n = listen_to(pipes[0], line);
	if (n < PROBED_MAX)
		end_await(pid);
	(void)kill(pid, SIGKILL);	/* it is ours until it is waited for; one that has ended is not hurt */
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return judge(cx, line, n, status, ret);
}

enum rc probe_file(struct cx *cx, struct probe *p, int fd, struct probed *ret)
{
	int pipes[2] = {-1, -1}, null = above(open("/dev/null", O_RDWR | O_CLOEXEC)), file = fcntl(fd, F_DUPFD_CLOEXEC, 10);
	enum rc rc = RC_OK;

	while (sem_wait(&p->free) != 0)
		;
	if (pipe2(pipes, O_CLOEXEC) != 0 || (pipes[1] = above(pipes[1])) < 0 || null < 0 || file < 0)
		rc = fail(cx, RC_UNAVAILABLE, "descriptors for the probe: %s", strerror(errno));
	else
		rc = ask(cx, p, file, null, pipes, ret);
	sem_post(&p->free);
	for (int i = 0; i < 2; i++)
		if (pipes[i] >= 0)
			close(pipes[i]);
	if (null >= 0)
		close(null);
	if (file >= 0)
		close(file);
	return rc;
}
