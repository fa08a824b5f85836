/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cleanup.h"

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#endif

#if defined(__SANITIZE_ADDRESS__)
#define IS_SANITIZED true
#else
#define IS_SANITIZED false
#endif

/* Reading, writing, memory, threads, time, leaving. */
static const int image_calls[] = {
	SYS_read, SYS_write, SYS_pread64, SYS_pwrite64, SYS_ftruncate, SYS_lseek, SYS_fstat, SYS_close, SYS_mmap,
	SYS_munmap, SYS_mremap, SYS_mprotect, SYS_madvise, SYS_brk, SYS_futex, SYS_set_robust_list, SYS_rt_sigprocmask,
	SYS_rt_sigreturn, SYS_sched_yield, SYS_sched_getaffinity, SYS_clock_gettime, SYS_clock_nanosleep, SYS_getpid,
	SYS_gettid, SYS_tgkill, SYS_getrandom, SYS_restart_syscall, SYS_exit, SYS_exit_group, SYS_writev,
#ifdef SYS_rseq
	SYS_rseq,
#endif
};

/* To fill a directory; all names are single components below a descriptor. */
static const int dir_calls[] = {
	SYS_openat,   SYS_mkdirat,   SYS_mknodat,   SYS_symlinkat, SYS_linkat,    SYS_unlinkat,  SYS_fchown,   SYS_fchownat,
	SYS_fchmod,   SYS_fchmodat,  SYS_utimensat, SYS_fsetxattr, SYS_newfstatat, SYS_renameat, SYS_getdents64, SYS_fcntl,
	SYS_lsetxattr,
};

static struct sock_filter statement(uint16_t code, uint32_t k)
{
	return (struct sock_filter)BPF_STMT(code, k);
}

static struct sock_filter jump_equal(uint32_t k, uint8_t yes, uint8_t no)
{
	return (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, k, yes, no);
}

static size_t add_calls(struct sock_filter *f, size_t n, const int *calls, size_t n_calls)
{
	for (size_t i = 0; i < n_calls; i++) {
		f[n++] = jump_equal((uint32_t)calls[i], 0, 1);
		f[n++] = statement(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	}
	return n;
}

static int limit_calls(bool is_dir)
{
	struct sock_filter f[2 * (ARRAY_LEN(image_calls) + ARRAY_LEN(dir_calls)) + 16];
	size_t n = 0;
	f[n++] = statement(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch));
	f[n++] = jump_equal(ARCH, 1, 0);
	f[n++] = statement(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
	f[n++] = statement(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
	n = add_calls(f, n, image_calls, ARRAY_LEN(image_calls));
	if (is_dir)
		n = add_calls(f, n, dir_calls, ARRAY_LEN(dir_calls));
	/* The flags of clone3 lie in memory, where a filter cannot look: without
	 * it the C library takes clone, which may make threads only. */
	f[n++] = jump_equal(SYS_clone3, 0, 1);
	f[n++] = statement(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS);
	f[n++] = jump_equal(SYS_clone, 0, 4);
	f[n++] = statement(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0]));
	f[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, CLONE_THREAD, 0, 1);
	f[n++] = statement(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	f[n++] = statement(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
	f[n++] = statement(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
	struct sock_fprog program = { (unsigned short)n, f };
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0 ? -errno : 0;
}

static int limit_capabilities(bool is_dir)
{
	/* In a directory: owners, any mode, devices, file capabilities and
	 * trusted.* attributes. */
	uint64_t keep = is_dir ? 1ull << CAP_CHOWN | 1ull << CAP_DAC_OVERRIDE | 1ull << CAP_FOWNER |
					 1ull << CAP_FSETID | 1ull << CAP_MKNOD | 1ull << CAP_SETFCAP |
					 1ull << CAP_SYS_ADMIN :
				 0;
	struct __user_cap_header_struct h = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct d[2];
	if (syscall(SYS_capget, &h, d) < 0)
		return -errno;
	for (int i = 0; i < 2; i++) {
		d[i].permitted &= (uint32_t)(keep >> 32 * i);
		d[i].effective = d[i].permitted;
		d[i].inheritable = 0;
	}
	return syscall(SYS_capset, &h, d) < 0 ? -errno : 0;
}

/* Extra cover where the kernel has it; the names used are single components
 * of the directory in any case. */
static void limit_paths(int dir_fd)
{
	/* The first version forbids links between directories altogether. */
	if (syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) < 2)
		return;
	const uint64_t all = (LANDLOCK_ACCESS_FS_REFER << 1) - 1;
	struct landlock_ruleset_attr attr = { .handled_access_fs = all };
	CLEANUP_FD int fd = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
	struct landlock_path_beneath_attr beneath = { .allowed_access = all & ~(uint64_t)LANDLOCK_ACCESS_FS_EXECUTE,
						      .parent_fd = dir_fd };
	if (fd < 0 || syscall(SYS_landlock_add_rule, fd, LANDLOCK_RULE_PATH_BENEATH, &beneath, 0) < 0)
		return;
	(void)!syscall(SYS_landlock_restrict_self, fd, 0);
}

int sandbox_enter(bool is_dir, int dir_fd, struct err *err)
{
	int r = 0;
	struct rlimit none = { 0, 0 }, files = { is_dir ? 64 : 16, is_dir ? 64 : 16 };
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ||
	    setrlimit(RLIMIT_CORE, &none) < 0)
		r = -errno;
	/* A sanitizer's report needs files, sockets and ptrace. */
	if (r >= 0 && !IS_SANITIZED && setrlimit(RLIMIT_NOFILE, &files) < 0)
		r = -errno;
	if (r >= 0 && is_dir && !IS_SANITIZED)
		limit_paths(dir_fd);
	if (r >= 0)
		r = limit_capabilities(is_dir);
	if (r >= 0 && !IS_SANITIZED)
		r = limit_calls(is_dir);
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "enter the sandbox") : 0;
}
