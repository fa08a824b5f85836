/* SPDX-License-Identifier: Apache-2.0 */
/* No open() but openat2, no execve, socket, ptrace, kill, mount or setns. What
 * remains takes a descriptor, or a name below one. */
#include "files_filter.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>

#include "cleanup.h"
#include "seccomp_load.h"

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
/* The calls of the x32 ABI have this bit, and other numbers. */
#define FOREIGN_BIT 0x40000000u
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#define FOREIGN_BIT 0x40000000u
#endif

/* The most frequent first: a filter is read from its start. */
static const int calls[] = {
	SYS_recvfrom, SYS_sendto, SYS_read, SYS_write, SYS_futex, SYS_statx, SYS_openat2, SYS_close,
	/* files */
	SYS_preadv2, SYS_pwritev2, SYS_pread64, SYS_lseek, SYS_ftruncate, SYS_fallocate, SYS_copy_file_range, SYS_fsync,
	SYS_fdatasync, SYS_syncfs, SYS_flock,
	/* names, below a descriptor */
	SYS_getdents64, SYS_mkdirat, SYS_mknodat, SYS_symlinkat, SYS_linkat, SYS_unlinkat, SYS_renameat2, SYS_readlinkat,
	/* objects, by descriptor or by its number */
	SYS_fchmodat, SYS_fchownat, SYS_utimensat, SYS_truncate, SYS_fstatfs, SYS_setxattr, SYS_getxattr, SYS_listxattr,
	SYS_removexattr,
	/* for whom */
	SYS_setfsuid, SYS_setfsgid, SYS_umask, SYS_capset, SYS_fchdir,
	/* memory, threads, time, the end */
	SYS_mmap, SYS_munmap, SYS_mremap, SYS_mprotect, SYS_madvise, SYS_brk, SYS_set_robust_list, SYS_rt_sigprocmask,
	SYS_rt_sigreturn, SYS_rt_sigaction, SYS_tgkill, SYS_getpid, SYS_gettid, SYS_sched_getaffinity, SYS_sched_yield,
	SYS_clock_gettime, SYS_clock_nanosleep, SYS_ppoll, SYS_eventfd2, SYS_restart_syscall, SYS_getrandom, SYS_exit, SYS_exit_group,
#ifdef SYS_rseq
	SYS_rseq,
#endif
#ifdef SYS_poll
	SYS_poll,
#endif
};

static const int lock_commands[] = { F_OFD_SETLK, F_OFD_SETLKW, F_OFD_GETLK };

static struct sock_filter statement(uint16_t code, uint32_t k)
{
	return (struct sock_filter)BPF_STMT(code, k);
}

static struct sock_filter jump_equal(uint32_t k, uint8_t yes, uint8_t no)
{
	return (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, k, yes, no);
}

static struct sock_filter load(size_t offset)
{
	return statement(BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset);
}

static struct sock_filter answer(uint32_t what)
{
	return statement(BPF_RET | BPF_K, what);
}

int files_filter_load(void)
{
	struct sock_filter f[2 * ARRAY_LEN(calls) + 2 * ARRAY_LEN(lock_commands) + 32];
	size_t n = 0;
	f[n++] = load(offsetof(struct seccomp_data, arch));
	f[n++] = jump_equal(ARCH, 1, 0);
	f[n++] = answer(SECCOMP_RET_KILL_PROCESS);
	f[n++] = load(offsetof(struct seccomp_data, nr));
	f[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, FOREIGN_BIT, 0, 1);
	f[n++] = answer(SECCOMP_RET_KILL_PROCESS);
	for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
		f[n++] = jump_equal((uint32_t)calls[i], 0, 1);
		f[n++] = answer(SECCOMP_RET_ALLOW);
	}
	/* The flags of clone3 lie in memory, where a filter cannot look: without
	 * it the C library takes clone, which may make threads only. */
	f[n++] = jump_equal(SYS_clone3, 0, 1);
	f[n++] = answer(SECCOMP_RET_ERRNO | ENOSYS);
	f[n++] = jump_equal(SYS_clone, 0, 4);
	f[n++] = load(offsetof(struct seccomp_data, args[0]));
	f[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, CLONE_THREAD, 0, 1);
	f[n++] = answer(SECCOMP_RET_ALLOW);
	f[n++] = answer(SECCOMP_RET_KILL_PROCESS);
	/* What the C library looks for in /proc and /sys is not there. */
	f[n++] = jump_equal(SYS_openat, 0, 1);
	f[n++] = answer(SECCOMP_RET_ERRNO | ENOENT);
	/* A thread gets its own directory and mask, no namespace. */
	f[n++] = jump_equal(SYS_unshare, 0, 4);
	f[n++] = load(offsetof(struct seccomp_data, args[0]));
	f[n++] = jump_equal(CLONE_FS, 0, 1);
	f[n++] = answer(SECCOMP_RET_ALLOW);
	f[n++] = answer(SECCOMP_RET_KILL_PROCESS);
	f[n++] = jump_equal(SYS_fcntl, 0, 2 + 2 * ARRAY_LEN(lock_commands));
	f[n++] = load(offsetof(struct seccomp_data, args[1]));
	for (size_t i = 0; i < ARRAY_LEN(lock_commands); i++) {
		f[n++] = jump_equal((uint32_t)lock_commands[i], 0, 1);
		f[n++] = answer(SECCOMP_RET_ALLOW);
	}
	f[n++] = answer(SECCOMP_RET_KILL_PROCESS);
	f[n++] = answer(SECCOMP_RET_KILL_PROCESS);
	return seccomp_load_filter(f, n, false);
}
