/* SPDX-License-Identifier: Apache-2.0 */
#include "confine.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "call_filter.h"
#include "cleanup.h"
#include "mount_api.h"
#include "privileges.h"

/* What an event loop over descriptors that are there already takes. */
static const int calls[] = {
	SYS_read,          SYS_write,    SYS_readv,        SYS_writev,        SYS_recvmsg,  SYS_sendmsg,      SYS_recvfrom,
	SYS_sendto,        SYS_accept4,  SYS_close,        SYS_fcntl,         SYS_dup2,     SYS_dup3,         SYS_ioctl,
	SYS_epoll_create1, SYS_signalfd4, SYS_epoll_ctl,     SYS_epoll_wait, SYS_epoll_pwait, SYS_ppoll,        SYS_poll,     SYS_lseek,        SYS_pwrite64,
	SYS_fstat,         SYS_newfstatat, SYS_mmap,       SYS_munmap,        SYS_mremap,   SYS_brk,          SYS_madvise,
	SYS_rt_sigprocmask, SYS_rt_sigreturn, SYS_clock_gettime, SYS_getpid,  SYS_waitid,   SYS_pidfd_send_signal,
	SYS_exit,          SYS_exit_group, SYS_restart_syscall, SYS_futex,    SYS_getrandom,
};

static int limit_calls(void)
{
	struct call_filter f;
	call_filter_begin(&f, CALL_REFUSED);
	call_filter_allow(&f, calls, ARRAY_LEN(calls));
	return call_filter_load(&f);
}

static int leave_files(bool leaves_network)
{
	int flags = CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | (leaves_network ? CLONE_NEWNET : 0);
	return unshare(flags) < 0 ? -errno : mount_enter_empty_root();
}

int confine(uid_t uid, gid_t gid, bool leaves_network, struct err *err)
{
	struct rlimit files = { 512, 512 };
	pid_t parent = getppid();
	int r = leave_files(leaves_network);
	if (r == 0)
		r = privileges_drop(uid, gid, 0);
	if (r == 0)
		r = privileges_refuse_new();
	if (r == 0)
		r = privileges_hide();
	if (r == 0 && setrlimit(RLIMIT_NOFILE, &files) < 0)
		r = -errno;
	/* The change of identity cleared it. */
	if (r == 0 && prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		r = -errno;
	if (getppid() != parent)
		_exit(1);
	if (r == 0 && !IS_SANITIZED)
		r = limit_calls();
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "confine the supervisor of the guest") : 0;
}
