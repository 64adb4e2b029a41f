/*
 * What a host may do: next to nothing.
 *
 * Two stages, because constructors of the provider run inside dlopen.  The first leaves what the dynamic linker
 * needs, without a single path: descriptor 0 is the sealed file, and an open is answered here by a copy of it.
 * The second, after loading, leaves reading and writing one socket, words on stderr, anonymous memory, and what
 * a truthful abort needs.  Everything else traps, and the handler names the system call before it ends the
 * process, so that the operator reads "socket" and not "killed".
 */
#include "core/host/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#define UC_RESULT(uc) ((uc)->uc_mcontext.gregs[REG_RAX])
#define UC_SECOND(uc) ((uc)->uc_mcontext.gregs[REG_RSI])
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#define UC_RESULT(uc) ((uc)->uc_mcontext.regs[0])
#define UC_SECOND(uc) ((uc)->uc_mcontext.regs[1])
#else
#error "the sandbox knows x86-64 and aarch64"
#endif

enum test { ANY, FIRST_IS, FIRST_2_3, ANONYMOUS };

struct rule { int number; enum test test; uint32_t value; };

#define FILTER_MAX 300
struct filter { struct sock_filter code[FILTER_MAX]; unsigned short n; };

static volatile sig_atomic_t loading;
static char denied[200];
static char level[160];

/* --- the trap ------------------------------------------------------------------------------------------------ */

static const struct { int number; const char *name; } names[] = {
	{ SYS_openat, "openat" }, { SYS_socket, "socket" }, { SYS_connect, "connect" }, { SYS_clone, "clone" },
	{ SYS_clone3, "clone3" }, { SYS_execve, "execve" }, { SYS_kill, "kill" }, { SYS_ptrace, "ptrace" },
	{ SYS_tgkill, "tgkill" }, { SYS_prctl, "prctl" }, { SYS_mmap, "mmap" }, { SYS_mprotect, "mprotect" },
	{ SYS_read, "read" }, { SYS_write, "write" }, { SYS_pread64, "pread64" }, { SYS_sendto, "sendto" },
	{ SYS_recvfrom, "recvfrom" }, { SYS_sendmsg, "sendmsg" }, { SYS_nanosleep, "nanosleep" },
	{ SYS_clock_nanosleep, "clock_nanosleep" }, { SYS_rt_sigaction, "rt_sigaction" }, { SYS_getrandom, "getrandom" },
	{ SYS_unlinkat, "unlinkat" }, { SYS_memfd_create, "memfd_create" }, { SYS_close, "close" }, { SYS_dup, "dup" },
	{ SYS_newfstatat, "newfstatat" }, { SYS_ioctl, "ioctl" }, { SYS_futex, "futex" }, { SYS_setrlimit, "setrlimit" },
	{ SYS_clock_gettime, "clock_gettime" }, { SYS_gettimeofday, "gettimeofday" }, { SYS_uname, "uname" },
	{ SYS_getppid, "getppid" }, { SYS_shutdown, "shutdown" }, { SYS_bind, "bind" }, { SYS_setsid, "setsid" }, { SYS_unshare, "unshare" },
	{ SYS_bpf, "bpf" }, { SYS_rt_sigqueueinfo, "rt_sigqueueinfo" }, { SYS_pidfd_open, "pidfd_open" }, { SYS_renameat, "renameat" },
	{ SYS_mkdirat, "mkdirat" }, { SYS_fchmodat, "fchmodat" }, { SYS_pselect6, "pselect6" }, { SYS_ppoll, "ppoll" },
	{ SYS_process_vm_writev, "process_vm_writev" }, { SYS_io_uring_setup, "io_uring_setup" }, { SYS_execveat, "execveat" },
	{ SYS_process_vm_readv, "process_vm_readv" }, { SYS_getcwd, "getcwd" }, { SYS_readlinkat, "readlinkat" },
#if defined(__x86_64__)
	{ SYS_open, "open" }, { SYS_fork, "fork" }, { SYS_vfork, "vfork" }, { SYS_time, "time" }, { SYS_readlink, "readlink" },
#endif
};

static const char *call_name(int number)
{
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (names[i].number == number)
			return names[i].name;
	return "system call";
}

/* While loading, an open is answered: descriptor 0 for our own file, "permission denied" for the rest. */
static long open_answer(const char *path)
{
	int fd;

	if (strcmp(path, SANDBOX_FILE) != 0) {
		if (!denied[0] && !(SANITIZED && strncmp(path, "/proc/self/", 11) == 0))
			(void)snprintf(denied, sizeof denied, "%s", path);
		return -EACCES;
	}
	fd = dup(0);
	(void)lseek(fd, 0, SEEK_SET);
	return fd < 0 ? -errno : fd;
}

static void trapped(int signal, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;
	char line[160];
	int n, number = info->si_syscall;

	(void)signal;
	if (number == SYS_openat && (loading || SANITIZED)) {
		UC_RESULT(uc) = open_answer((const char *)(uintptr_t)UC_SECOND(uc));
		return;
	}
	n = snprintf(line, sizeof line, "sandbox: %s (%d) is not allowed%s\n", call_name(number), number, loading ? " while loading" : "");
	if (write(STDERR_FILENO, line, (size_t)n) < 0)
		_exit(SANDBOX_EXIT + 1);
	_exit(SANDBOX_EXIT);
}

/* --- filters ------------------------------------------------------------------------------------------------- */

static void add(struct filter *f, uint16_t code, uint32_t k, uint8_t jt, uint8_t jf)
{
	if (f->n < FILTER_MAX)
		f->code[f->n] = (struct sock_filter){ code, jt, jf, k };
	f->n++;
}

/* Little endian: the low word of an argument comes first; the kernel takes these arguments as 32 bits. */
static void load_argument(struct filter *f, unsigned index)
{
	add(f, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offsetof(struct seccomp_data, args) + 8 * index, 0, 0);
}

static void add_rule(struct filter *f, const struct rule *r)
{
	unsigned short jump = f->n;

	add(f, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)r->number, 0, 0);
	if (r->test == FIRST_IS || r->test == FIRST_2_3) {
		load_argument(f, 0);
		if (r->test == FIRST_2_3)
			add(f, BPF_JMP | BPF_JEQ | BPF_K, 2, 2, 0);
		add(f, BPF_JMP | BPF_JEQ | BPF_K, r->test == FIRST_IS ? r->value : 3, 1, 0);
		add(f, BPF_RET | BPF_K, SECCOMP_RET_TRAP, 0, 0);
	} else if (r->test == ANONYMOUS) {
		load_argument(f, 2);
		add(f, BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 2, 0);
		load_argument(f, 3);
		add(f, BPF_JMP | BPF_JSET | BPF_K, MAP_ANONYMOUS, 1, 0);
		add(f, BPF_RET | BPF_K, SECCOMP_RET_TRAP, 0, 0);
	}
	add(f, BPF_RET | BPF_K, SECCOMP_RET_ALLOW, 0, 0);
	if (jump < FILTER_MAX)
		f->code[jump].jf = (uint8_t)(f->n - jump - 1);
}

static bool install(const struct rule *const *lists)
{
	static struct filter f;
	struct sock_fprog program;

	f.n = 0;
	add(&f, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offsetof(struct seccomp_data, arch), 0, 0);
	add(&f, BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0);
	add(&f, BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS, 0, 0);
	add(&f, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offsetof(struct seccomp_data, nr), 0, 0);
	for (; *lists; lists++)
		for (const struct rule *r = *lists; r->number >= 0; r++)
			add_rule(&f, r);
	add(&f, BPF_RET | BPF_K, SECCOMP_RET_TRAP, 0, 0);
	program = (struct sock_fprog){ .len = f.n, .filter = f.code };
	return f.n <= FILTER_MAX && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0;
}

/* Both stages; tgkill is filled in with our own process. */
static struct rule common[] = {
	{ SYS_read, FIRST_IS, 3 }, { SYS_write, FIRST_2_3, 0 }, { SYS_writev, FIRST_IS, 2 },
	{ SYS_mmap, ANONYMOUS, 0 }, { SYS_munmap, ANY, 0 }, { SYS_mremap, ANY, 0 }, { SYS_madvise, ANY, 0 }, { SYS_brk, ANY, 0 },
	{ SYS_rt_sigreturn, ANY, 0 }, { SYS_rt_sigprocmask, ANY, 0 }, { SYS_getpid, ANY, 0 }, { SYS_gettid, ANY, 0 },
	{ SYS_exit_group, ANY, 0 }, { SYS_tgkill, FIRST_IS, 0 },
#if SANITIZED
	{ SYS_mprotect, ANY, 0 }, { SYS_futex, ANY, 0 }, { SYS_sched_yield, ANY, 0 }, { SYS_sigaltstack, ANY, 0 },
	{ SYS_getrlimit, ANY, 0 }, { SYS_prlimit64, ANY, 0 }, { SYS_readlink, ANY, 0 }, { SYS_close, ANY, 0 },
#endif
	{ -1, ANY, 0 }
};

/* What the dynamic linker needs on top, before the common rules so that its wider read and mmap win. */
static const struct rule linker[] = {
	{ SYS_read, ANY, 0 }, { SYS_mmap, ANY, 0 }, { SYS_pread64, ANY, 0 }, { SYS_mprotect, ANY, 0 }, { SYS_newfstatat, ANY, 0 },
#if defined(SYS_fstat)
	{ SYS_fstat, ANY, 0 },
#endif
	{ SYS_lseek, ANY, 0 }, { SYS_close, ANY, 0 }, { SYS_dup, FIRST_IS, 0 }, { SYS_prctl, FIRST_IS, PR_SET_SECCOMP },
	{ SYS_getrandom, ANY, 0 }, { -1, ANY, 0 }
};

/* --- limits and Landlock ------------------------------------------------------------------------------------- */

static bool limits(void)
{
	static const struct { __rlimit_resource_t what; rlim_t most; } table[] = {
		{ RLIMIT_CORE, 0 }, { RLIMIT_NPROC, 0 }, { RLIMIT_FSIZE, 0 }, { RLIMIT_NOFILE, 16 }, { RLIMIT_STACK, 1 << 20 },
#if !SANITIZED
		{ RLIMIT_AS, 256u << 20 },
#endif
	};
	bool all = true;

	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		struct rlimit r = { table[i].most, table[i].most };

		all &= setrlimit(table[i].what, &r) == 0;
	}
	return all;
}

/* No path at all.  Returns the version of Landlock used, 0 if the kernel has none. */
static int landlock(void)
{
	static const int bits[] = { 0, 13, 14, 15 };
	int version = (int)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	struct landlock_ruleset_attr attr = { 0 };
	int fd, done;

	if (version < 1)
		return 0;
	attr.handled_access_fs = (1ull << bits[version > 3 ? 3 : version]) - 1;
	fd = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof attr, 0);
	if (fd < 0)
		return 0;
	done = (int)syscall(SYS_landlock_restrict_self, fd, 0);
	(void)close(fd);
	return done == 0 ? version : 0;
}

bool sandbox_before(void)
{
	const struct rule *const lists[] = { linker, common, NULL };
	struct sigaction action = { .sa_sigaction = trapped, .sa_flags = SA_SIGINFO | SA_NODEFER };
	bool limited = limits();
	int version;

	for (struct rule *r = common; r->number >= 0; r++)
		if (r->number == SYS_tgkill)
			r->value = (uint32_t)getpid();
	if (sigaction(SIGSYS, &action, NULL) != 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return false;
	version = landlock();
	loading = 1;
	if (!install(lists))
		return false;
	(void)snprintf(level, sizeof level, "seccomp, %s, %s%.0d%s", limited ? "rlimits" : "rlimits in part",
		version ? "landlock " : "no landlock in this kernel", version, SANITIZED ? ", sanitizer build" : "");
	return true;
}

bool sandbox_after(void)
{
	const struct rule *const lists[] = { common, NULL };
	bool tight = install(lists);

	loading = 0;
	return tight;
}

const char *sandbox_level(void) { return level; }
const char *sandbox_denied(void) { return denied; }
