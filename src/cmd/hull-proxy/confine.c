/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "call_filter.h"
#include "cleanup.h"
#include "landlock.h"
#include "privileges.h"
#include "proxy.h"

/* Sockets that are there or of the two families, the loop, memory, time, leaving.
 * No path is opened, nothing is listened on or executed. */
static const int calls[] = {
	SYS_read, SYS_write, SYS_close, SYS_mmap, SYS_munmap, SYS_mremap, SYS_mprotect, SYS_madvise, SYS_brk,
	SYS_epoll_ctl, SYS_epoll_pwait, SYS_accept4, SYS_connect, SYS_sendto, SYS_recvfrom, SYS_sendmsg, SYS_recvmsg,
	SYS_getsockopt, SYS_setsockopt, SYS_shutdown, SYS_fcntl, SYS_clock_gettime, SYS_rt_sigprocmask, SYS_rt_sigreturn,
	SYS_restart_syscall, SYS_getpid, SYS_gettid, SYS_tgkill, SYS_exit, SYS_exit_group,
#ifdef SYS_epoll_wait
	SYS_epoll_wait,
#endif
};

static int limit_calls(void)
{
	static const uint32_t families[] = { AF_INET, AF_INET6 };
	struct call_filter f;
	call_filter_begin(&f, CALL_REFUSED);
	call_filter_allow(&f, calls, ARRAY_LEN(calls));
	call_filter_allow_values(&f, SYS_socket, 0, families, ARRAY_LEN(families));
	return call_filter_load(&f);
}

int confine(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		(void)!setrlimit(RLIMIT_NOFILE, &limit);
	}
	int r = privileges_refuse_new();
	if (r == 0 && !IS_SANITIZED)
		r = landlock_forbid_paths();
	if (r == 0)
		r = privileges_drop(PROXY_ID, PROXY_ID, 0);
	/* After the change of user, which resets both. */
	if (r == 0)
		r = privileges_hide();
	if (r == 0 && prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		r = -errno;
	return r == 0 && !IS_SANITIZED ? limit_calls() : r;
}
