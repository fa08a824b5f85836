/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm_filter.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <linux/if_tun.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "cleanup.h"

#define ANY .arg = -1

const struct jail_call jail_vcpu_calls[] = {
	{ SYS_ioctl, 1, { KVM_RUN } },
	/* Eventfds take 8 bytes and nothing else that is open does anything with as many
	 * that the control thread could not. */
	{ SYS_write, 2, { 8 } },
	{ SYS_futex, 1, { FUTEX_WAIT_PRIVATE, FUTEX_WAKE_PRIVATE } },
	{ SYS_exit_group, ANY },
};
const size_t jail_vcpu_calls_n = ARRAY_LEN(jail_vcpu_calls);

const struct jail_call jail_control_calls[] = {
	/* Also for the vCPUs' threads; only these may be theirs. */
	{ SYS_ioctl, 1, { KVM_RUN, TUNSETOFFLOAD } },
	/* Threads put their own filter on top. */
	{ SYS_seccomp, 0, { SECCOMP_SET_MODE_FILTER } },
	{ SYS_futex, ANY },
	{ SYS_exit_group, ANY },
	{ SYS_restart_syscall, ANY },
	/* The loop. */
	{ SYS_epoll_wait, ANY },
	{ SYS_epoll_pwait, ANY },
	{ SYS_epoll_ctl, ANY },
	{ SYS_clock_gettime, ANY },
	/* Data of open descriptors. */
	{ SYS_read, ANY },
	{ SYS_write, ANY },
	{ SYS_readv, ANY },
	{ SYS_writev, ANY },
	{ SYS_recvfrom, ANY },
	{ SYS_recvmsg, ANY },
	{ SYS_sendto, ANY },
	{ SYS_sendmsg, ANY },
	{ SYS_close, ANY },
	/* Streams of the socket device: a pair for each of the guest's connections, one end
	 * of which goes to whoever listens. */
	{ SYS_socketpair, 0, { AF_UNIX } },
	{ SYS_accept4, ANY },
	{ SYS_shutdown, ANY },
	{ SYS_fcntl, 1, { F_GETFL, F_SETFL } },
	/* Disks: by io_uring, or by a worker thread. */
	{ SYS_io_uring_enter, ANY },
	{ SYS_preadv, ANY },
	{ SYS_pwritev, ANY },
	{ SYS_fdatasync, ANY },
	{ SYS_fallocate, ANY },
	/* What the C library does at the start of that thread. */
	{ SYS_set_robust_list, ANY },
	{ SYS_rseq, ANY },
	{ SYS_rt_sigprocmask, ANY },
	/* Entropy; memory that the guest gives back. */
	{ SYS_getrandom, ANY },
	{ SYS_madvise, ANY },
};
const size_t jail_control_calls_n = ARRAY_LEN(jail_control_calls);

static size_t values_n(const struct jail_call *call)
{
	size_t n = 0;
	while (call->arg >= 0 && n < ARRAY_LEN(call->values) && call->values[n])
		n++;
	return n;
}

void jail_filter_compile(const struct jail_call *calls, size_t n, struct call_filter *f)
{
	call_filter_begin(f, SECCOMP_RET_KILL_PROCESS);
	for (size_t i = 0; i < n; i++) {
		size_t values = values_n(&calls[i]);
		if (values)
			call_filter_allow_values(f, calls[i].nr, (unsigned)calls[i].arg, calls[i].values, values);
		else
			call_filter_answer(f, calls[i].nr, SECCOMP_RET_ALLOW);
	}
}
