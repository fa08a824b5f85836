/* SPDX-License-Identifier: Apache-2.0 */
/* The host's system calls that user-mode Linux makes, by 6.1 and 6.12 as they are
 * built in Debian and by hull. Guest programs make none: they are stopped at each
 * of theirs and it is taken from them (PTRACE_SYSEMU) before any filter is asked.
 *
 * What is not here fails with EPERM. Above all: namespaces, mounts, sockets, keys,
 * BPF, io_uring, performance counters, other processes' memory, prctl. */
#include <errno.h>
#include <linux/sched.h>
#include <sys/syscall.h>

#include "call_filter.h"
#include "cleanup.h"
#include "uml.h"

#if defined(__x86_64__)
#define ARCH_CALLS                                                                                                       \
	SYS_open, SYS_stat, SYS_fstat, SYS_lstat, SYS_access, SYS_mkdir, SYS_rmdir, SYS_unlink, SYS_readlink, SYS_pipe, SYS_dup2, \
		SYS_poll, SYS_select, SYS_epoll_create, SYS_epoll_wait, SYS_arch_prctl, SYS_modify_ldt, SYS_getpgrp, SYS_pause,  \
		SYS_alarm, SYS_time, SYS_creat, SYS_chmod, SYS_rename, SYS_getdents,
#elif defined(__aarch64__)
#define ARCH_CALLS
#endif

#define NAMESPACE_FLAGS                                                                                            \
	(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET)

static const int calls[] = {
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

int uml_calls_limit(void)
{
	struct call_filter f;
	call_filter_begin(&f, CALL_REFUSED);
	call_filter_allow(&f, calls, ARRAY_LEN(calls));
	/* The flags of clone3 lie in memory, where a filter cannot look. */
	call_filter_answer(&f, SYS_clone3, SECCOMP_RET_ERRNO | ENOSYS);
	call_filter_allow_without(&f, SYS_clone, 0, NAMESPACE_FLAGS);
	return call_filter_load(&f);
}
