/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm_jail.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cleanup.h"
#include "landlock.h"
#include "mount_api.h"
#include "privileges.h"
#include "process.h"
#include "vmm_filter.h"

#define DESCRIPTORS_MAX 1024

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
	int r = mount_enter_empty_root();
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "change to an empty root");
	if (uid && (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0))
		return err_set(err, ERR_SYSTEM, errno, "become user %u", uid);
	/* Nobody there: no user of it is mapped. */
	if (!first && unshare(CLONE_NEWUSER) < 0)
		return err_set(err, ERR_SYSTEM, errno, "make a user namespace");
	r = process_set_bounding(0);
	if (r >= 0)
		r = process_set_capabilities(0, 0, 0);
	if (r >= 0)
		r = privileges_hide();
	if (r >= 0 && !IS_SANITIZED)
		r = landlock_forbid_paths();
	if (r >= 0)
		r = limit(RLIMIT_CORE, 0);
	if (r >= 0)
		r = limit(RLIMIT_NOFILE, DESCRIPTORS_MAX);
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "give up privileges") : 0;
}

static int load(const struct jail_call *calls, size_t n, unsigned flags)
{
	struct call_filter f;
	size_t len;
	jail_filter_compile(calls, n, &f);
	if (!call_filter_finish(&f, &len))
		return -E2BIG;
	struct sock_fprog program = { .len = (unsigned short)len, .filter = f.code };
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
