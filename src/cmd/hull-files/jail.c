/* SPDX-License-Identifier: Apache-2.0 */
#include "jail.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/securebits.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cleanup.h"
#include "files_filter.h"
#include "mount_api.h"
#include "privileges.h"
#include "process.h"

/* The child goes on; the parent only tells its end on. */
static int fork_into_namespace(struct err *err)
{
	pid_t parent = getpid();
	pid_t pid = fork();
	if (pid < 0)
		return err_set(err, ERR_SYSTEM, -errno, "fork");
	if (pid > 0) {
		int status;
		/* The socket's end must mean that the child has ended. */
		syscall(SYS_close_range, 0, ~0u, 0);
		while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
			;
		_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
	}
	/* The parent is seen as 0 from the new namespace; gone already means 1 in
	 * the old one, which cannot be told: the socket's end tells it later. */
	(void)parent;
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		return err_set(err, ERR_SYSTEM, -errno, "follow the parent");
	return 0;
}

/* A procfs of the process namespace: the one way to open an object again by
 * its descriptor. */
static int open_proc_fds(struct err *err)
{
	CLEANUP_FD int fs = fsopen("proc", FSOPEN_CLOEXEC);
	if (fs < 0)
		return err_set(err, ERR_SYSTEM, -errno, "make a procfs");
	/* Nothing but processes (5.8); older kernels show the rest, out of reach
	 * of everything but a break-in. */
	(void)!fsconfig(fs, FSCONFIG_SET_STRING, "subset", "pid", 0);
	if (fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return err_set(err, ERR_SYSTEM, -errno, "make a procfs");
	CLEANUP_FD int mnt = fsmount(fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
	int fds = mnt < 0 ? -1 : openat(mnt, "self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fds < 0 ? err_set(err, ERR_SYSTEM, -errno, "open the list of descriptors") : fds;
}

static int enter_userns(int userns, struct err *err)
{
	if (setns(userns, CLONE_NEWUSER) < 0)
		return err_set(err, ERR_SYSTEM, -errno, "enter the workload's user namespace");
	if (setgroups(0, NULL) < 0 || setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)
		return err_set(err, ERR_SYSTEM, -errno, "become root of the workload's user namespace");
	return 0;
}

int jail_enter(int userns, int *ret_proc_fds, struct err *err)
{
	int flags = CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP;
	if (unshare(flags | (getpid() == 1 ? 0 : CLONE_NEWPID)) < 0) {
		int r = err_set(err, ERR_SYSTEM, -errno, "make namespaces");
		err_hint(err, "start it as root of a user namespace");
		return r;
	}
	int r = getpid() == 1 ? 0 : fork_into_namespace(err);
	if (r < 0)
		return r;
	int fds = open_proc_fds(err);
	if (fds < 0)
		return fds;
	r = mount_enter_empty_root();
	if (r < 0)
		r = err_set(err, ERR_SYSTEM, r, "enter an empty root");
	if (r == 0 && userns >= 0)
		r = enter_userns(userns, err);
	if (r < 0)
		close(fds);
	else
		*ret_proc_fds = fds;
	return r;
}

static int limit(void)
{
	/* A switch of ids changes no capability, now and for good. */
	int bits = SECBIT_NO_SETUID_FIXUP | SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_NOROOT | SECBIT_NOROOT_LOCKED |
		   SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;
	if (prctl(PR_SET_SECUREBITS, bits) < 0)
		return -errno;
	int r = privileges_refuse_new();
	return r < 0 ? r : privileges_hide();
}

int jail_close(uint64_t keep, struct err *err)
{
	int r = limit();
	if (r == 0)
		r = process_set_ambient(0);
	if (r == 0)
		r = process_set_bounding(0);
	if (r == 0)
		r = process_set_capabilities(keep, keep, 0);
	/* A sanitizer's report needs files and sockets. */
	if (r == 0 && !IS_SANITIZED)
		r = files_filter_load();
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "lock in") : 0;
}
