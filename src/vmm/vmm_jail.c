/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm_jail.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cleanup.h"
#include "vmm_filter.h"
#include "mount_api.h"
#include "process.h"

/* A sanitizer's run time needs files and calls of its own. */
#if defined(__SANITIZE_ADDRESS__)
#define IS_SANITIZED true
#else
#define IS_SANITIZED false
#endif

#define DESCRIPTORS_MAX 1024

/* An empty, read-only tmpfs as the root of a mount namespace that has nothing else. */
static int empty_root(struct err *err)
{
	int r = mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ? -errno : 0;
	CLEANUP_FD int root = r < 0 ? -1 : mount_new_tmpfs("mode=555,size=4k,nr_inodes=1");
	if (r >= 0)
		r = root < 0 ? root : mount_change(root, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, 0, false);
	/* Over the old root, of which pivot_root then lets go. */
	if (r >= 0)
		r = mount_attach(root, AT_FDCWD, "/");
	if (r >= 0 && (fchdir(root) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0))
		r = -errno;
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "change to an empty root");
	return 0;
}

/* No file access at all, by a second mechanism; where the kernel has it. */
static int no_paths(void)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	if (abi < 1)
		return 0;
	/* Rights that this kernel knows; the first version had those up to MAKE_SYM. */
	struct landlock_ruleset_attr attr = { .handled_access_fs = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1 };
	if (abi >= 2)
		attr.handled_access_fs |= LANDLOCK_ACCESS_FS_REFER;
	CLEANUP_FD int fd = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr.handled_access_fs), 0);
	if (fd < 0 || syscall(SYS_landlock_restrict_self, fd, 0) < 0)
		return -errno;
	return 0;
}

static int limit(int what, rlim_t value)
{
	struct rlimit r = { value, value };
	return setrlimit(what, &r) < 0 ? -errno : 0;
}

int jail_enter(uint32_t uid, uint32_t gid, struct err *err)
{
	/* The starter's part: a namespace is of the processes born in it. */
	if (getpid() != 1)
		return err_set(err, ERR_INVALID, 0, "hull-vmm must be the first process of a pid namespace");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return err_set(err, ERR_SYSTEM, errno, "enter the jail");
	/* Without privileges these are of a user namespace of one's own. */
	int first = geteuid() == 0 ? 0 : CLONE_NEWUSER;
	if (unshare(first | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP) < 0)
		return err_set(err, ERR_SYSTEM, errno, "make namespaces");
	int r = empty_root(err);
	if (r < 0)
		return r;
	if (uid && (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0))
		return err_set(err, ERR_SYSTEM, errno, "become user %u", uid);
	/* Nobody there: no user of it is mapped. */
	if (!first && unshare(CLONE_NEWUSER) < 0)
		return err_set(err, ERR_SYSTEM, errno, "make a user namespace");
	r = process_set_bounding(0);
	if (r >= 0)
		r = process_set_capabilities(0, 0, 0);
	if (r >= 0 && prctl(PR_SET_DUMPABLE, 0) < 0)
		r = -errno;
	if (r >= 0 && !IS_SANITIZED)
		r = no_paths();
	if (r >= 0)
		r = limit(RLIMIT_CORE, 0);
	if (r >= 0)
		r = limit(RLIMIT_NOFILE, DESCRIPTORS_MAX);
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "give up privileges") : 0;
}

static int load(const struct jail_call *calls, size_t n, unsigned flags)
{
	struct sock_filter filter[JAIL_FILTER_MAX];
	struct sock_fprog program = { .len = (unsigned short)jail_filter_compile(calls, n, filter), .filter = filter };
	if (IS_SANITIZED)
		return 0;
	long r = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
	/* Positive: the thread that could not take it. */
	return r < 0 ? -errno : r > 0 ? -ESRCH : 0;
}

int jail_confine_all(struct err *err)
{
	int r = load(jail_control_calls, jail_control_calls_n, SECCOMP_FILTER_FLAG_TSYNC);
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "filter system calls") : 0;
}

int jail_confine_vcpu(void)
{
	return load(jail_vcpu_calls, jail_vcpu_calls_n, 0);
}
