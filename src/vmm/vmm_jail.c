/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm_jail.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/seccomp.h>
#include <linux/sockios.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cleanup.h"
#include "landlock.h"
#include "mount_api.h"
#include "privileges.h"
#include "process.h"
#include "vmm_filter.h"

#define DESCRIPTORS_MAX 1024
#define ASSISTANT_STACK_BYTES 65536

static int limit(int what, rlim_t value)
{
	struct rlimit r = { value, value };
	return setrlimit(what, &r) < 0 ? -errno : 0;
}

static struct assistant {
	pid_t pid; /* 0: none */
	/* What came of it: shared memory, and a shared table of descriptors. */
	int netns, errnum;
	_Alignas(16) char stack[ASSISTANT_STACK_BYTES];
} assistant = { .netns = -1 };

/* In the other process: the namespace by way of a socket in it, because what /proc shows
 * here is the starter's business. */
static int assist(void *arg)
{
	struct assistant *a = arg;
	int sock = unshare(CLONE_NEWNET) < 0 ? -1 : socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	a->netns = sock < 0 ? -1 : ioctl(sock, SIOCGSKNS);
	a->errnum = a->netns < 0 ? errno : 0;
	if (sock >= 0)
		close(sock);
	return 0;
}

static bool is_privileged(void)
{
	return geteuid() == 0;
}

int jail_begin(struct err *err)
{
	/* The starter's part: a namespace is of the processes born in it. */
	if (getpid() != 1)
		return err_set(err, ERR_INVALID, 0, "hull-vmm must be the first process of a pid namespace");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return err_set(err, ERR_SYSTEM, errno, "enter the jail");
	/* Without privileges all are of a user namespace of one's own, which both processes
	 * would have to be in. */
	if (!is_privileged())
		return 0;
	assistant.pid = clone(assist, assistant.stack + ASSISTANT_STACK_BYTES, CLONE_VM | CLONE_FILES | SIGCHLD, &assistant);
	return assistant.pid < 0 ? err_set(err, ERR_SYSTEM, errno, "make a process") : 0;
}

static int join_network(struct err *err)
{
	CLEANUP_FD int netns = -1;
	while (waitpid(assistant.pid, NULL, 0) < 0)
		if (errno != EINTR)
			return err_set(err, ERR_SYSTEM, errno, "wait for the network namespace");
	netns = assistant.netns;
	assistant.pid = 0;
	assistant.netns = -1;
	if (netns < 0)
		return err_set(err, ERR_SYSTEM, assistant.errnum, "make a network namespace");
	return setns(netns, CLONE_NEWNET) < 0 ? err_set(err, ERR_SYSTEM, errno, "enter the network namespace") : 0;
}

int jail_enter(uint32_t uid, uint32_t gid, struct err *err)
{
	bool has_own_userns = !is_privileged();
	int first = has_own_userns ? CLONE_NEWUSER | CLONE_NEWNET : 0;
	if (unshare(first | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP) < 0)
		return err_set(err, ERR_SYSTEM, errno, "make namespaces");
	int r = mount_enter_empty_root();
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "change to an empty root");
	if (!has_own_userns && (r = join_network(err)) < 0)
		return r;
	if (uid && (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0))
		return err_set(err, ERR_SYSTEM, errno, "become user %u", uid);
	/* Nobody there: no user of it is mapped. */
	if (!has_own_userns && unshare(CLONE_NEWUSER) < 0)
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
