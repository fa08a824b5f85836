/* SPDX-License-Identifier: Apache-2.0 */
/* The host's system calls that user-mode Linux makes, by 6.1 and 6.12 as they are
 * built in Debian and by hull. Guest programs make none: they are stopped at each
 * of theirs and it is taken from them (PTRACE_SYSEMU) before any filter is asked.
 *
 * What is not here fails with EPERM. Above all: namespaces, mounts, sockets, keys,
 * BPF, io_uring, performance counters, other processes' memory, prctl. */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "cleanup.h"
#include "seccomp_load.h"
#include "uml.h"

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#define ARCH_CALLS                                                                                                       \
	SYS_open, SYS_stat, SYS_fstat, SYS_lstat, SYS_access, SYS_mkdir, SYS_rmdir, SYS_unlink, SYS_readlink, SYS_pipe, SYS_dup2, \
		SYS_poll, SYS_select, SYS_epoll_create, SYS_epoll_wait, SYS_arch_prctl, SYS_modify_ldt, SYS_getpgrp, SYS_pause,  \
		SYS_alarm, SYS_time, SYS_creat, SYS_chmod, SYS_rename, SYS_getdents,
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#define ARCH_CALLS
#endif

#define NAMESPACE_FLAGS                                                                                            \
	(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET)

static const uint32_t calls[] = {
	/* a process of guest memory: start, run, stop, look */
	SYS_ptrace, SYS_wait4, SYS_waitid, SYS_kill, SYS_tkill, SYS_tgkill, SYS_exit, SYS_exit_group, SYS_execve, SYS_getpid,
	SYS_getppid, SYS_gettid, SYS_setsid, SYS_setpgid, SYS_getpgid, SYS_getsid, SYS_set_tid_address, SYS_set_robust_list,
	SYS_rseq, SYS_sched_yield, SYS_sched_getaffinity, SYS_getuid, SYS_geteuid, SYS_getgid, SYS_getegid,
	/* memory */
	SYS_mmap, SYS_munmap, SYS_mprotect, SYS_mremap, SYS_madvise, SYS_brk, SYS_msync,
	/* time and signals */
	SYS_timer_create, SYS_timer_settime, SYS_timer_gettime, SYS_timer_getoverrun, SYS_timer_delete, SYS_clock_gettime,
	SYS_clock_getres, SYS_clock_nanosleep, SYS_nanosleep, SYS_gettimeofday, SYS_setitimer, SYS_getitimer, SYS_rt_sigaction,
	SYS_rt_sigprocmask, SYS_rt_sigreturn, SYS_rt_sigsuspend, SYS_rt_sigpending, SYS_rt_sigtimedwait, SYS_sigaltstack,
	SYS_restart_syscall, SYS_futex,
	/* descriptors that it has, and files of its jail */
	SYS_read, SYS_write, SYS_readv, SYS_writev, SYS_pread64, SYS_pwrite64, SYS_preadv, SYS_pwritev, SYS_lseek, SYS_close,
	SYS_openat, SYS_newfstatat, SYS_statx, SYS_faccessat, SYS_readlinkat, SYS_mkdirat, SYS_unlinkat, SYS_statfs, SYS_fstatfs,
	SYS_getdents64, SYS_getcwd, SYS_ftruncate, SYS_fallocate, SYS_fsync, SYS_fdatasync, SYS_fcntl, SYS_ioctl, SYS_dup, SYS_dup3,
	SYS_pipe2, SYS_socketpair, SYS_recvmsg, SYS_sendmsg, SYS_recvfrom, SYS_sendto, SYS_recvmmsg, SYS_sendmmsg, SYS_shutdown,
	SYS_ppoll, SYS_epoll_create1, SYS_epoll_ctl, SYS_epoll_pwait, SYS_eventfd2, SYS_getsockopt, SYS_setsockopt, SYS_getsockname,
	/* the rest */
	SYS_uname, SYS_prlimit64, SYS_getrlimit, SYS_setrlimit, SYS_getrusage, SYS_getrandom, SYS_umask, SYS_sysinfo, ARCH_CALLS
};

static struct sock_filter statement(uint16_t code, uint32_t k)
{
	return (struct sock_filter)BPF_STMT(code, k);
}

static struct sock_filter jump(uint16_t test, uint32_t k, uint8_t yes, uint8_t no)
{
	return (struct sock_filter)BPF_JUMP(BPF_JMP | test | BPF_K, k, yes, no);
}

int uml_calls_limit(void)
{
	struct sock_filter f[2 * ARRAY_LEN(calls) + 16];
	size_t n = 0;
	f[n++] = statement(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch));
	f[n++] = jump(BPF_JEQ, ARCH, 1, 0);
	f[n++] = statement(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
	f[n++] = statement(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
	for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
		f[n++] = jump(BPF_JEQ, calls[i], 0, 1);
		f[n++] = statement(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	}
	/* The flags of clone3 lie in memory, where a filter cannot look. */
	f[n++] = jump(BPF_JEQ, SYS_clone3, 0, 1);
	f[n++] = statement(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS);
	f[n++] = jump(BPF_JEQ, SYS_clone, 0, 3);
	f[n++] = statement(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0]));
	f[n++] = jump(BPF_JSET, NAMESPACE_FLAGS, 1, 0);
	f[n++] = statement(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	f[n++] = statement(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
	return seccomp_load_filter(f, n, false);
}
