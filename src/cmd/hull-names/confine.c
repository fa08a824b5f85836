/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "call_filter.h"
#include "cleanup.h"
#include "landlock.h"
#include "names_confine.h"
#include "privileges.h"

#define OPEN_TO_WRITE (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC)

/* Datagrams and streams, the loop, records, memory, time, leaving. No path is
 * opened but for reading (below), nothing is executed. */
static const int server_calls[] = {
	SYS_read, SYS_write, SYS_close, SYS_fstat, SYS_lseek, SYS_mmap, SYS_munmap, SYS_mremap, SYS_mprotect, SYS_madvise, SYS_brk,
	SYS_epoll_ctl, SYS_epoll_pwait, SYS_accept4, SYS_connect, SYS_sendto, SYS_recvfrom, SYS_sendmsg, SYS_recvmsg,
	SYS_sendmmsg, SYS_recvmmsg, SYS_getsockopt, SYS_shutdown, SYS_fcntl, SYS_ioctl, SYS_newfstatat, SYS_getdents64,
	SYS_fallocate, SYS_getrandom, SYS_clock_gettime, SYS_rt_sigprocmask, SYS_rt_sigreturn, SYS_futex,
	SYS_restart_syscall, SYS_getpid, SYS_gettid, SYS_tgkill, SYS_exit, SYS_exit_group,
#ifdef SYS_epoll_wait
	SYS_epoll_wait,
#endif
};

static const int admit_calls[] = {
	SYS_recvfrom, SYS_sendto, SYS_recvmsg, SYS_sendmsg, SYS_read, SYS_close, SYS_brk, SYS_mmap, SYS_munmap, SYS_mremap,
	SYS_rt_sigreturn, SYS_restart_syscall, SYS_exit_group,
};

static int limit_server_calls(void)
{
	/* Sockets to resolvers, and the one by which an interface's index is asked. */
	static const uint32_t families[] = { AF_INET, AF_INET6, AF_UNIX };
	struct call_filter f;
	call_filter_begin(&f, CALL_REFUSED);
	call_filter_allow(&f, server_calls, ARRAY_LEN(server_calls));
	call_filter_allow_values(&f, SYS_socket, 0, families, ARRAY_LEN(families));
	call_filter_allow_without(&f, SYS_openat, 2, OPEN_TO_WRITE);
	return call_filter_load(&f);
}

static int limit_admit_calls(void)
{
	struct call_filter f;
	call_filter_begin(&f, CALL_REFUSED);
	call_filter_allow(&f, admit_calls, ARRAY_LEN(admit_calls));
	call_filter_allow_without(&f, SYS_openat, 2, OPEN_TO_WRITE);
	return call_filter_load(&f);
}

/* Where resolv.conf leads to now is not always among the usual places (WSL:
 * /mnt/wsl). */
static int allow_resolv_conf(int rules)
{
	CLEANUP_FREE char *path = realpath("/etc/resolv.conf", NULL);
	char *slash = path ? strrchr(path, '/') : NULL;
	if (!slash || slash == path)
		return 0;
	*slash = '\0';
	return landlock_allow_path(rules, path, LANDLOCK_READING);
}

/* The records, and where resolv.conf and what it leads to are. Extra cover, where
 * the kernel has it. */
static int limit_paths(int names_dirfd)
{
	static const char *const readable[] = { "/etc", "/run", "/var/run" };
	CLEANUP_FD int rules = landlock_open(1);
	if (rules < 0)
		return rules == -EOPNOTSUPP ? 0 : rules;
	int r = landlock_allow(rules, names_dirfd, LANDLOCK_READING);
	for (size_t i = 0; i < ARRAY_LEN(readable) && r == 0; i++)
		r = landlock_allow_path(rules, readable[i], LANDLOCK_READING);
	if (r == 0)
		r = allow_resolv_conf(rules);
	return r < 0 ? r : landlock_enforce(rules);
}

int confine(int names_dirfd, struct err *err)
{
	int r = privileges_refuse_new();
	if (r == 0 && !IS_SANITIZED)
		r = limit_paths(names_dirfd);
	if (r == 0)
		r = privileges_drop(UID_NOBODY, UID_NOBODY, 0);
	if (r == 0)
		r = privileges_hide();
	if (r == 0 && !IS_SANITIZED)
		r = limit_server_calls();
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "give up privileges") : 0;
}

int confine_admit(void)
{
	int r = privileges_refuse_new();
	if (r == 0)
		r = privileges_drop(UID_NOBODY, UID_NOBODY, 1u << CAP_NET_ADMIN);
	if (r == 0)
		r = privileges_hide();
	return r == 0 && !IS_SANITIZED ? limit_admit_calls() : r;
}
