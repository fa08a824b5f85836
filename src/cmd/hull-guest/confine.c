/* SPDX-License-Identifier: Apache-2.0 */
#include "confine.h"

#include <errno.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cleanup.h"
#include "mount_api.h"
#include "process.h"

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
	struct sock_filter f[2 * ARRAY_LEN(calls) + 8];
	size_t n = 0;
	f[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch));
	f[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0);
	f[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
	f[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
	for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
		f[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)calls[i], 0, 1);
		f[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	}
	f[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
	struct sock_fprog program = { (unsigned short)n, f };
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0 ? -errno : 0;
}

static int leave_files(bool leaves_network)
{
	if (unshare(CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | (leaves_network ? CLONE_NEWNET : 0)) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return -errno;
	CLEANUP_FD int empty = mount_new_tmpfs("mode=555,size=0,nr_inodes=1");
	if (empty < 0)
		return empty;
	int r = mount_change(empty, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID, 0, false);
	if (r == 0)
		r = mount_attach(empty, AT_FDCWD, "/");
	if (r == 0 && (fchdir(empty) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0))
		r = -errno;
	return r;
}

int confine(uid_t uid, gid_t gid, bool leaves_network, struct err *err)
{
	struct rlimit none = { 0, 0 }, files = { 512, 512 };
	pid_t parent = getppid();
	int r = leave_files(leaves_network);
	if (r == 0 && (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0))
		r = -errno;
	if (r == 0)
		r = process_set_bounding(0);
	if (r == 0 && setresuid(uid, uid, uid) < 0)
		r = -errno;
	if (r == 0)
		r = process_set_capabilities(0, 0, 0);
	if (r == 0 && (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ||
		       setrlimit(RLIMIT_CORE, &none) < 0 || setrlimit(RLIMIT_NOFILE, &files) < 0))
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
