/*
 * The sandbox as a child process: the same program with the subcommand sandbox.  It is a process of its own
 * so that it plays a foreign platform honestly: nothing of ours can reach into its store, and it may outlive
 * or die before us as a real one may be down.
 *
 * The one thing to know: it says on its standard output where it listens, so that port 0 works, and it keeps
 * that port when it is started again, because tokens and posts name its address.
 */
#include "core/sandbox/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/text.h"

#define START_MS 10000
#define STOP_MS 5000
#define AGAIN_MS 1000

extern char **environ;

struct child {
	struct child_config config;
	char listen[CHILD_URL_MAX], url[CHILD_URL_MAX];
	pid_t pid;
	int64_t started;
};

static const char said[] = "sandbox listening on ";

/* Its first line, within the time; the rest of its output is not read. */
static enum rc address_read(struct cx *cx, struct child *c, int fd)
{
	char line[sizeof said + CHILD_URL_MAX] = "";
	size_t n = 0;
	int64_t deadline = clock_mono() + START_MS;

	while (n < sizeof line - 1 && !memchr(line, '\n', n)) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		int64_t left = deadline - clock_mono();
		if (left <= 0)
			return fail(cx, RC_TIMEOUT, "the sandbox did not start within %d s", START_MS / 1000);
		if (poll(&p, 1, (int)left) <= 0)
			continue;
		ssize_t got = read(fd, line + n, sizeof line - 1 - n);
		if (got == 0)
			return fail(cx, RC_IO, "the sandbox ended at its start; its own words stand above");
		n += got > 0 ? (size_t)got : 0;
	}
	line[n] = '\0';
	line[strcspn(line, "\n")] = '\0';
	if (!text_starts(line, said) || !text_starts(line + sizeof said - 1, "http://"))
		return fail(cx, RC_BUG, "the sandbox says %s instead of its address", line);
	snprintf(c->url, sizeof c->url, "%.*s", CHILD_URL_MAX - 1, line + sizeof said - 1);
	snprintf(c->listen, sizeof c->listen, "%s", c->url + strlen("http://"));
	return RC_OK;
}

/* A child starts with an empty signal mask and default signals, whatever the server uses. */
static int spawn(struct child *c, int out)
{
	const char *argv[] = {"mypostshare", "sandbox", "--with-parent", "--listen", c->listen, "--folder", c->config.folder,
		c->config.public_url ? "--public-url" : NULL, c->config.public_url, NULL};
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attributes;
	sigset_t none, all;

	sigemptyset(&none);
	sigfillset(&all);
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&files, out, STDOUT_FILENO);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setsigdefault(&attributes, &all);
	int error = posix_spawn(&c->pid, "/proc/self/exe", &files, &attributes, (char **)(uintptr_t)argv, environ);
	posix_spawn_file_actions_destroy(&files);
	posix_spawnattr_destroy(&attributes);
	c->started = clock_mono();
	return error;
}

static int ended(struct child *c)
{
	int status;
	if (c->pid == 0)
		return 1;
	if (waitpid(c->pid, &status, WNOHANG) == 0)
		return 0;
	c->pid = 0;
	return 1;
}

static void stop(struct child *c)
{
	if (c->pid == 0)
		return;
	kill(c->pid, SIGTERM);
	for (int64_t deadline = clock_mono() + STOP_MS; !ended(c); poll(NULL, 0, 20))
		if (clock_mono() > deadline) {
			kill(c->pid, SIGKILL);
			waitpid(c->pid, NULL, 0);
			c->pid = 0;
		}
}

static enum rc start(struct cx *cx, struct child *c)
{
	int fds[2];
	if (pipe2(fds, O_CLOEXEC) != 0)
		return fail(cx, RC_IO, "no pipe for the sandbox: %s", strerror(errno));
	int error = spawn(c, fds[1]);
	close(fds[1]);
	enum rc rc = error ? fail(cx, RC_IO, "the sandbox does not start: %s", strerror(error)) : address_read(cx, c, fds[0]);
	close(fds[0]);
	if (rc != RC_OK && error == 0)
		stop(c);
	return rc;
}

enum rc child_open(struct cx *cx, const struct child_config *config, struct child **ret)
{
	struct child *c = calloc(1, sizeof *c);
	if (c == NULL)
		return fail(cx, RC_NOMEM, "no memory for the sandbox's process");
	c->config = *config;
	snprintf(c->listen, sizeof c->listen, "%s", config->listen);
	enum rc rc = start(cx, c);
	if (rc) {
		free(c);
		return rc;
	}
	log_info("sandbox", "listens on %s, process %ld", c->url, (long)c->pid);
	*ret = c;
	return RC_OK;
}

void child_close(struct child *c)
{
	if (c == NULL)
		return;
	stop(c);
	free(c);
}

const char *child_url(const struct child *c)
{
	return c->url;
}

void child_tend(struct child *c)
{
	struct cx cx;
	if (c == NULL || !ended(c) || clock_mono() - c->started < AGAIN_MS)
		return;
	cx_init(&cx, "sandbox");
	log_warn("sandbox", "its process ended; starting it again");
	(void)start(&cx, c);
}
