/* SPDX-License-Identifier: Apache-2.0 */
/* No open() but openat2, no execve, socket, ptrace, kill, mount or setns. What
 * remains takes a descriptor, or a name below one. */
#include "files_filter.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/syscall.h>

#include "call_filter.h"
#include "cleanup.h"

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

static const uint32_t lock_commands[] = { F_OFD_SETLK, F_OFD_SETLKW, F_OFD_GETLK };

int files_filter_load(void)
{
	/* A thread gets its own directory and mask, no namespace. */
	static const uint32_t own[] = { CLONE_FS };
	struct call_filter f;
	call_filter_begin(&f, SECCOMP_RET_KILL_PROCESS);
	call_filter_allow(&f, calls, ARRAY_LEN(calls));
	call_filter_allow_threads(&f);
	/* What the C library looks for in /proc and /sys is not there. */
	call_filter_answer(&f, SYS_openat, SECCOMP_RET_ERRNO | ENOENT);
	call_filter_allow_values(&f, SYS_unshare, 0, own, ARRAY_LEN(own));
	call_filter_allow_values(&f, SYS_fcntl, 1, lock_commands, ARRAY_LEN(lock_commands));
	return call_filter_load(&f);
}
