/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox.h"

#include <errno.h>
#include <linux/capability.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "call_filter.h"
#include "cleanup.h"
#include "landlock.h"
#include "privileges.h"

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

static int limit_calls(bool is_dir)
{
	struct call_filter f;
	call_filter_begin(&f, CALL_REFUSED);
	call_filter_allow(&f, image_calls, ARRAY_LEN(image_calls));
	if (is_dir)
		call_filter_allow(&f, dir_calls, ARRAY_LEN(dir_calls));
	call_filter_allow_threads(&f);
	return call_filter_load(&f);
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
static int limit_paths(int dir_fd)
{
	CLEANUP_FD int rules = landlock_open(2); /* links between directories */
	if (rules < 0)
		return rules == -EOPNOTSUPP ? 0 : rules;
	int r = landlock_allow(rules, dir_fd, LANDLOCK_READING | LANDLOCK_CHANGING);
	return r < 0 ? r : landlock_enforce(rules);
}

int sandbox_enter(bool is_dir, int dir_fd, struct err *err)
{
	struct rlimit files = { is_dir ? 64 : 16, is_dir ? 64 : 16 };
	int r = privileges_refuse_new();
	if (r >= 0)
		r = privileges_hide();
	/* A sanitizer's report needs files, sockets and ptrace. */
	if (r >= 0 && !IS_SANITIZED && setrlimit(RLIMIT_NOFILE, &files) < 0)
		r = -errno;
	if (r >= 0 && is_dir && !IS_SANITIZED)
		r = limit_paths(dir_fd);
	if (r >= 0)
		r = limit_capabilities(is_dir);
	if (r >= 0 && !IS_SANITIZED)
		r = limit_calls(is_dir);
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "enter the sandbox") : 0;
}
