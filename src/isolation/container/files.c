/* SPDX-License-Identifier: Apache-2.0 */
/* A process of hull's that sees a container's files and nothing else. It is in
 * the container's mount and user namespaces alone: without the PID namespace
 * the container's processes do not see it, and no link in its /proc leads to it. */
#include <grp.h>
#include <sched.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "internal.h"

/* Entering one's own user namespace again is an error. */
static int is_in_other_userns(pid_t pid)
{
	char theirs[32];
	struct stat a, b;
	snprintf(theirs, sizeof(theirs), "/proc/%d/ns/user", pid);
	if (stat("/proc/self/ns/user", &a) < 0 || stat(theirs, &b) < 0)
		return -errno;
	return a.st_ino != b.st_ino;
}

int container_enter_files(const struct isolation_handle *handle, struct err *err)
{
	CLEANUP_FD int pidfd = -1;
	/* Before it is in reach of anybody there. */
	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	int r = container_open_init(handle, &pidfd, err);
	if (r < 0)
		return r;
	int other_userns = is_in_other_userns(handle->pid);
	if (other_userns < 0)
		return err_set(err, ERR_CONFLICT, other_userns, "look at the container's namespaces");
	if (setns(pidfd, CLONE_NEWNS | (other_userns ? CLONE_NEWUSER : 0)) < 0)
		return err_set(err, ERR_SYSTEM, errno, "enter the container's files");
	if (other_userns && (setgroups(0, NULL) < 0 || syscall(SYS_setresgid, 0, 0, 0) < 0 || syscall(SYS_setresuid, 0, 0, 0) < 0))
		return err_set(err, ERR_SYSTEM, errno, "become root of the user namespace");
	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	return 0;
}
