/*
 * What the probe may do: read descriptor 0, write descriptor 1, end.  No opening, no network, no memory to map, no
 * program to run; everything else ends the process at once.
 *
 * The one thing to know: it is called before the first byte of the file is read, and nothing behind it allocates
 * or prints.
 */
#include "core/probe/probe.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#else
#error "the sandbox knows x86-64 and aarch64"
#endif

#define ANY UINT32_MAX
#define FILTER_MAX 120

/* A call, and what its first argument must be. */
static const struct { int number; uint32_t first; } allowed[] = {
	{SYS_read, 0}, {SYS_pread64, 0}, {SYS_lseek, 0}, {SYS_write, 1}, {SYS_exit, ANY}, {SYS_exit_group, ANY},
#if SANITIZED
	{SYS_write, 2}, {SYS_mmap, ANY}, {SYS_munmap, ANY}, {SYS_mprotect, ANY}, {SYS_madvise, ANY}, {SYS_futex, ANY}, {SYS_getpid, ANY},
	{SYS_gettid, ANY}, {SYS_sched_yield, ANY}, {SYS_sigaltstack, ANY}, {SYS_rt_sigprocmask, ANY}, {SYS_close, ANY}, {SYS_readlink, ANY},
	{SYS_prlimit64, ANY},
#endif
};

static bool limits(void)
{
	static const struct { __rlimit_resource_t what; rlim_t most; } table[] = {
		{RLIMIT_CORE, 0}, {RLIMIT_NPROC, 0}, {RLIMIT_FSIZE, 0}, {RLIMIT_NOFILE, 3}, {RLIMIT_CPU, 5},
#if !SANITIZED
		{RLIMIT_AS, 64u << 20},
#endif
	};
	bool all = true;

	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		struct rlimit r = {table[i].most, table[i].most};

		all &= setrlimit(table[i].what, &r) == 0;
	}
	return all;
}

static unsigned short add(struct sock_filter *f, unsigned short n, uint16_t code, uint32_t k, uint8_t jt, uint8_t jf)
{
	f[n] = (struct sock_filter){code, jt, jf, k};
	return (unsigned short)(n + 1);
}

bool probe_confine(void)
{
	struct sock_filter f[FILTER_MAX];
	struct sock_fprog program;
	unsigned short n = 0;

	if (!limits() || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return false;
	n = add(f, n, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offsetof(struct seccomp_data, arch), 0, 0);
	n = add(f, n, BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0);
	n = add(f, n, BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS, 0, 0);
	for (size_t i = 0; i < sizeof allowed / sizeof *allowed; i++) {
		bool any = allowed[i].first == ANY;

		n = add(f, n, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offsetof(struct seccomp_data, nr), 0, 0);
		n = add(f, n, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)allowed[i].number, 0, any ? 1 : 3);
		if (!any) {
			n = add(f, n, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offsetof(struct seccomp_data, args), 0, 0);
			n = add(f, n, BPF_JMP | BPF_JEQ | BPF_K, allowed[i].first, 0, 1);
		}
		n = add(f, n, BPF_RET | BPF_K, SECCOMP_RET_ALLOW, 0, 0);
	}
	n = add(f, n, BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS, 0, 0);
	program = (struct sock_fprog){.len = n, .filter = f};
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0;
}
