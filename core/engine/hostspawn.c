/*
 * The file of a provider, and the process that runs it.
 *
 * The file is read once, from a folder and a file that nobody but root and we can write, into sealed memory; the
 * process gets that memory as descriptor 0, so it needs no file access, and replacing the file on disk cannot
 * crash it.  The process is our child by fork and fexecve of the program that was opened at start; it dies with
 * the thread that spawned it.
 */
#include "core/engine/hostwire.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/rc.h"
#include "core/base/text.h"
#include "core/io/vault.h"

#define FILE_MAX (16 * 1024 * 1024)

#if defined(__x86_64__)
#define MACHINE EM_X86_64
#else
#define MACHINE EM_AARCH64
#endif

/* --- the file ------------------------------------------------------------------------------------------------ */

static bool owner_ok(const struct stat *st)
{
	return (st->st_uid == 0 || st->st_uid == geteuid()) && !(st->st_mode & (S_IWGRP | S_IWOTH));
}

/* Opens the file below its folder without following a link. */
static enum rc file_open(struct cx *cx, const char *file, int *ret_fd, off_t *ret_size)
{
	char folder[1024];
	const char *slash = strrchr(file, '/'), *base = slash ? slash + 1 : file;
	struct stat st;
	int dir, fd;

	if (snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - file) + 1 : 1, slash ? file : ".") >= (int)sizeof folder)
		return fail(cx, RC_INVALID, "provider file %s: the path is too long", file);
	dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 || fstat(dir, &st) != 0) {
		if (dir >= 0)
			(void)close(dir);
		return fail(cx, RC_NOT_FOUND, "provider file %s: folder: %s", file, strerror(errno));
	}
	if (!owner_ok(&st)) {
		(void)close(dir);
		return fail(cx, RC_DENIED, "provider file %s: its folder can be written by others than root and this user (mode %04o): chmod go-w %s",
			file, (unsigned)(st.st_mode & 07777), folder);
	}
	fd = openat(dir, base, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	(void)close(dir);
	if (fd < 0)
		return fail(cx, RC_NOT_FOUND, "provider file %s: %s", file,
			errno == ELOOP ? "is a symbolic link; name the file itself" : strerror(errno));
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
		(void)fail(cx, RC_DENIED, "provider file %s: is not a file but a folder, a pipe or a device", file);
	else if (!owner_ok(&st))
		(void)fail(cx, RC_DENIED, "provider file %s: others than root and this user can write it (owner %u, mode %04o): chown and chmod go-w it",
			file, (unsigned)st.st_uid, (unsigned)(st.st_mode & 07777));
	else if (st.st_size > FILE_MAX || st.st_size == 0)
		(void)fail(cx, RC_DENIED, "provider file %s: has %lld bytes, wanted 1 byte to 16 MiB", file, (long long)st.st_size);
	if (cx->rc != RC_OK) {
		(void)close(fd);
		return cx->rc;
	}
	*ret_fd = fd;
	*ret_size = st.st_size;
	return RC_OK;
}

static bool copy_all(int from, char *to, size_t n)
{
	for (size_t at = 0; at < n;) {
		ssize_t got = read(from, to + at, n - at);

		if (got <= 0 && !(got < 0 && errno == EINTR))
			return false;
		at += got > 0 ? (size_t)got : 0;
	}
	return true;
}

/* What the dynamic linker would say less clearly, or by a signal.  NULL: it may try. */
static const char *elf_fault(const char *bytes, size_t n)
{
	Elf64_Ehdr head;

	if (n < sizeof head || memcmp(bytes, ELFMAG, SELFMAG) != 0)
		return "is no shared object";
	memcpy(&head, bytes, sizeof head);
	if (head.e_ident[EI_CLASS] != ELFCLASS64 || head.e_ident[EI_DATA] != ELFDATA2LSB || head.e_machine != MACHINE)
		return "is built for another machine: build it on one of this kind";
	if (head.e_type != ET_DYN)
		return "is no shared object: build it with -shared";
	if (head.e_shoff > n || (uint64_t)head.e_shnum * head.e_shentsize > n - head.e_shoff)
		return "is cut off: install it again";
	return NULL;
}

/* Maps the memory file, fills it, checks the pin on what was read (not on what lies on disk). */
static enum rc file_fill(struct cx *cx, const struct host_spec *spec, int from, int memfd, size_t n)
{
	uint8_t hash[32];
	struct buf hex BUF_AUTO;
	const char *fault;
	char *map = ftruncate(memfd, (off_t)n) == 0 ? mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0) : MAP_FAILED;
	bool whole = map != MAP_FAILED && copy_all(from, map, n);

	buf_init(&hex, 128);
	if (whole && spec->sha256) {
		vault_sha256(map, n, hash);
		text_hex(&hex, hash, sizeof hash);
	}
	fault = whole ? elf_fault(map, n) : NULL;
	if (map != MAP_FAILED)
		(void)munmap(map, n);
	if (!whole)
		return fail(cx, RC_IO, "provider file %s: cannot be read: %s", spec->file, strerror(errno));
	if (spec->sha256 && strcasecmp(spec->sha256, buf_text(&hex)) != 0)
		return fail(cx, RC_DENIED,
			"provider file %s: its SHA-256 is %s, pinned is %s: install the pinned file, or change sha256 in [provider.%s]",
			spec->file, buf_text(&hex), spec->sha256, spec->id);
	if (fault)
		return fail(cx, RC_INVALID, "provider file %s (%s) is refused: it %s", spec->file, spec->id, fault);
	return RC_OK;
}

enum rc host_file_open(struct cx *cx, const struct host_spec *spec, int *ret_memfd)
{
	off_t size = 0;
	int from = -1, memfd;
	enum rc rc = file_open(cx, spec->file, &from, &size);

	if (rc != RC_OK)
		return rc;
	memfd = memfd_create("provider", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	rc = memfd < 0 ? fail(cx, RC_IO, "provider file %s: memfd_create: %s", spec->file, strerror(errno))
		       : file_fill(cx, spec, from, memfd, (size_t)size);
	(void)close(from);
	if (rc == RC_OK && fcntl(memfd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) != 0)
		rc = fail(cx, RC_IO, "provider file %s: sealing: %s", spec->file, strerror(errno));
	if (rc != RC_OK && memfd >= 0)
		(void)close(memfd);
	else
		*ret_memfd = memfd;
	return rc;
}

/* --- the process --------------------------------------------------------------------------------------------- */

/* Between fork and exec: system calls only.  The descriptors are all above 9, so no dup2 overwrites another. */
static _Noreturn void become_host(int program, int file, int null, int words, int sock, int parent)
{
	static char name[] = "mypostshare-host";
	static char *argv[] = { name, NULL }, *envp[] = { NULL };
	sigset_t none;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (getppid() != parent)
		_exit(125);
	(void)setpgid(0, 0);	/* a Ctrl-C is meant for the server, which ends its hosts when they are done */
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)signal(SIGPIPE, SIG_DFL);
	if (dup2(file, 0) < 0 || dup2(null, 1) < 0 || dup2(words, 2) < 0 || dup2(sock, 3) < 0)
		_exit(126);
	if (syscall(SYS_close_range, 4, ~0u, CLOSE_RANGE_CLOEXEC) != 0) {
		for (int fd = 4; fd < 65536; fd++)
			if (fd != program)
				(void)close(fd);
	}
	(void)fexecve(program, argv, envp);
	_exit(127);
}

static int above(int *fd)
{
	int high = *fd < 0 ? -1 : fcntl(*fd, F_DUPFD_CLOEXEC, 10);

	if (*fd >= 0)
		(void)close(*fd);
	return *fd = high;
}

struct ends { int sock[2], err[2], null; };

static void ends_close(struct ends *e)
{
	int all[] = { e->sock[0], e->sock[1], e->err[0], e->err[1], e->null };

	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		if (all[i] >= 0)
			(void)close(all[i]);
}

static bool ends_open(struct ends *e)
{
	*e = (struct ends){ { -1, -1 }, { -1, -1 }, -1 };
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, e->sock) != 0 || pipe2(e->err, O_CLOEXEC) != 0 ||
	    (e->null = open("/dev/null", O_RDWR | O_CLOEXEC)) < 0)
		return false;
	if (above(&e->sock[1]) < 0 || above(&e->err[1]) < 0 || above(&e->null) < 0)
		return false;
	return fcntl(e->sock[0], F_SETFL, O_NONBLOCK) == 0 && fcntl(e->err[0], F_SETFL, O_NONBLOCK) == 0;
}

static struct proc *proc_new(int pid, int pidfd, struct ends *e)
{
	struct proc *p = calloc(1, sizeof *p);

	if (!p)
		out_of_memory(__func__);
	p->pid = pid, p->pidfd = pidfd, p->sock = e->sock[0], p->err = e->err[0];
	e->sock[0] = e->err[0] = -1;
	p->born = clock_mono();
	buf_init(&p->in, 2 * FRAME_OUT_MAX);
	buf_init(&p->out, 8 * FRAME_IN_MAX);
	buf_init(&p->words, HOST_WORDS);
	return p;
}

enum rc proc_spawn(struct cx *cx, int program, int file, const char *id, struct proc **ret)
{
	struct ends e;
	int parent = getpid(), pid, pidfd, high = fcntl(file, F_DUPFD_CLOEXEC, 10);
	enum rc rc = RC_OK;

	if (!ends_open(&e) || high < 0)
		rc = fail(cx, RC_UNAVAILABLE, "provider %s: descriptors for its host: %s", id, strerror(errno));
	else if ((pid = fork()) == 0)
		become_host(program, high, e.null, e.err[1], e.sock[1], parent);
	else if (pid < 0)
		rc = fail(cx, RC_UNAVAILABLE, "provider %s: fork: %s", id, strerror(errno));
	else if ((pidfd = (int)syscall(SYS_pidfd_open, pid, 0)) < 0) {
		rc = fail(cx, RC_UNAVAILABLE, "provider %s: pidfd_open: %s", id, strerror(errno));
		(void)kill(pid, SIGKILL);
		(void)waitpid(pid, NULL, 0);
	} else {
		(void)fcntl(pidfd, F_SETFD, FD_CLOEXEC);
		*ret = proc_new(pid, pidfd, &e);
	}
	if (high >= 0)
		(void)close(high);
	ends_close(&e);
	return rc;
}

void proc_listen(struct proc *p)
{
	char some[1024];
	ssize_t n = 0;

	while (p->err >= 0 && (n = read(p->err, some, sizeof some)) > 0) {
		size_t room = HOST_WORDS - p->words.len;

		buf_add(&p->words, some, (size_t)n < room ? (size_t)n : room);
	}
	if (p->err >= 0 && n == 0) {	/* closed on its side: it would be ready for reading for ever */
		(void)close(p->err);
		p->err = -1;
	}
}

void proc_kill(struct proc *p)
{
	if (!p->dead)
		(void)syscall(SYS_pidfd_send_signal, p->pidfd, SIGKILL, NULL, 0);
}

/* The first line it wrote, without control characters. */
static void first_words(struct proc *p, char *out, size_t size)
{
	size_t n = strcspn(buf_text(&p->words), "\n");

	(void)snprintf(out, size, "%s%.*s", n ? "; its words: " : "", (int)(n < 200 ? n : 200), buf_text(&p->words));
	for (char *c = out; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
}

bool proc_reap(struct proc *p, char *out, size_t size)
{
	siginfo_t info = { 0 };
	char words[240];

	if (p->dead || waitid(P_PIDFD, (id_t)p->pidfd, &info, WEXITED | WNOHANG) != 0 || info.si_pid == 0)
		return p->dead;
	p->dead = true;
	proc_listen(p);
	first_words(p, words, sizeof words);
	if (p->cause[0])
		(void)snprintf(out, size, "%s%s", p->cause, words);
	else if (info.si_code == CLD_EXITED && strncmp(buf_text(&p->words), "sandbox: ", 9) == 0)
		(void)snprintf(out, size, "the sandbox ended it%s", words);
	else if (info.si_code == CLD_EXITED)
		(void)snprintf(out, size, "its process ended by itself (exit status %d)%s", info.si_status, words);
	else
		(void)snprintf(out, size, "its process was ended by SIG%s%s", sigabbrev_np(info.si_status) ? sigabbrev_np(info.si_status) : "?", words);
	return true;
}

void proc_drop(struct proc *p)
{
	siginfo_t info;

	if (!p)
		return;
	proc_kill(p);
	while (!p->dead && waitid(P_PIDFD, (id_t)p->pidfd, &info, WEXITED) != 0 && errno == EINTR)
		;
	(void)close(p->sock);
	if (p->err >= 0)
		(void)close(p->err);
	(void)close(p->pidfd);
	buf_free(&p->in);
	buf_free(&p->out);
	buf_free(&p->words);
	for (struct job *j; (j = jobs_pop(&p->sent));)
		job_drop(j);
	free(p);
}
