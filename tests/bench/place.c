/*
 * A place: a folder with an ini, and the built server running in it as its own process.
 */
#include "tests/bench/bench.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define READY_MS 60000

static int port_free(void)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof at;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&at, n) != 0 || getsockname(fd, (struct sockaddr *)&at, &n) != 0)
		die("no free port: %s", strerror(errno));
	close(fd);
	return ntohs(at.sin_port);
}

/* As shipped, but for the limits of requests, which one client on one address would meet at once. */
void place_make(const struct bench *b, struct place *p, const char *name, int stub_port)
{
	FILE *f;

	mkdir(b->folder, 0700);
	snprintf(p->folder, sizeof p->folder, "%s/%s", b->folder, name);
	snprintf(p->config, sizeof p->config, "%s/mypostshare.ini", p->folder);
	p->port = port_free();
	p->pid = 0;
	if (mkdir(p->folder, 0700) != 0 || (f = fopen(p->config, "w")) == NULL)
		die("%s: %s", p->folder, strerror(errno));
	fprintf(f, "[server]\nlisten = 127.0.0.1:%d\ndata_folder = data\nkey_per_minute = 0\naddress_per_minute = 0\n", p->port);
	fprintf(f, "[vault]\ncreate_key = yes\n[providers]\nfolder = %s/plugins\n", b->build);
	fprintf(f, "host_program = %s/libexec/mypostshare-host\n", b->build);
	fprintf(f, "probe_program = %s/libexec/mypostshare-probe\n", b->build);
	fprintf(f, "[sandbox]\nurl = http://127.0.0.1:%d\n", stub_port > 0 ? stub_port : 1);
	if (fclose(f) != 0)
		die("%s: %s", p->config, strerror(errno));
}

static void serve_here(const struct bench *b, const struct place *p)
{
	char program[1200], log[1300];
	int out;

	snprintf(program, sizeof program, "%s/mypostshare", b->build);
	snprintf(log, sizeof log, "%s/log", p->folder);
	out = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
	if (out >= 0) {
		dup2(out, 1);
		dup2(out, 2);
	}
	execl(program, program, "--config", p->config, "serve", (char *)NULL);
	_exit(127);
}

double place_serve(const struct bench *b, struct place *p)
{
	int64_t began = now_us();
	int status;

	p->pid = child_start();
	if (p->pid == 0)
		serve_here(b, p);
	while (load_call(p->port, "GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", NULL) != 200) {
		if (waitpid(p->pid, &status, WNOHANG) == p->pid)
			die("the server ended at its start: see %s/log", p->folder);
		if (now_us() - began > READY_MS * 1000ll)
			die("the server is not ready after %d s: see %s/log", READY_MS / 1000, p->folder);
		usleep(500);
	}
	return (double)(now_us() - began) / 1000;
}

void place_remove(const struct place *p)
{
	char command[1300];

	snprintf(command, sizeof command, "rm -rf '%s'", p->folder);
	if (system(command) != 0)
		die("cannot remove %s", p->folder);
}

void place_stop(struct place *p, int signal)
{
	if (p->pid > 0)
		child_end(p->pid, signal);
	p->pid = 0;
}

/* ---- memory ------------------------------------------------------------------------------------------ */

double place_rss_mb(pid_t pid)
{
	char path[64], line[256];
	double kb = 0;
	FILE *f;

	snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
	f = fopen(path, "r");
	if (f == NULL)
		die("%s: %s", path, strerror(errno));
	while (fgets(line, sizeof line, f) != NULL)
		if (strncmp(line, "VmRSS:", 6) == 0)
			kb = strtod(line + 6, NULL);
	fclose(f);
	return kb / 1024;
}

static int parent_of(const char *pid)
{
	char path[300], text[512] = "";
	const char *after;
	int parent = 0;
	FILE *f;

	snprintf(path, sizeof path, "/proc/%s/stat", pid);
	f = fopen(path, "r");
	if (f == NULL)
		return 0;
	(void)!fgets(text, sizeof text, f);
	fclose(f);
	after = strrchr(text, ')');
	return after != NULL && sscanf(after + 1, " %*c %d", &parent) == 1 ? parent : 0;
}

/* Its only children: the sandbox is not started where [sandbox] url is set. */
double place_hosts_rss_mb(pid_t pid, int *ret_count)
{
	DIR *all = opendir("/proc");
	double mb = 0;

	*ret_count = 0;
	for (struct dirent *d; all != NULL && (d = readdir(all)) != NULL;)
		if (d->d_name[0] >= '0' && d->d_name[0] <= '9' && parent_of(d->d_name) == pid) {
			mb += place_rss_mb((pid_t)strtol(d->d_name, NULL, 10));
			++*ret_count;
		}
	if (all != NULL)
		closedir(all);
	return *ret_count > 0 ? mb / *ret_count : 0;
}

double place_cpu_s(const struct place *p)
{
	char path[64], text[1024] = "";
	unsigned long user = 0, kernel = 0;
	const char *after;
	FILE *f;

	snprintf(path, sizeof path, "/proc/%d/stat", (int)p->pid);
	f = fopen(path, "r");
	if (f == NULL)
		die("%s: %s", path, strerror(errno));
	(void)!fgets(text, sizeof text, f);
	fclose(f);
	after = strrchr(text, ')');
	if (after == NULL || sscanf(after + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &kernel) != 2)
		die("%s cannot be read", path);
	return (double)(user + kernel) / (double)sysconf(_SC_CLK_TCK);
}

/* ---- counters ---------------------------------------------------------------------------------------- */

int64_t place_metric(const struct place *p, const char *name)
{
	char start[128];
	struct buf body;
	const char *at;
	int64_t value = -1;

	buf_init(&body, 1 << 20);
	if (load_call(p->port, "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", &body) == 200) {
		snprintf(start, sizeof start, "\n%s ", name);
		at = strstr(buf_text(&body), start);
		value = at ? strtoll(at + strlen(start), NULL, 10) : -1;
	}
	buf_free(&body);
	return value;
}
