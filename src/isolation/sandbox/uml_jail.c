/* SPDX-License-Identifier: Apache-2.0 */
/* The jail of the kernel's process. Threat: guest code that has taken over its
 * kernel, and with it this process. What it then has: the files below (the
 * layers, read-only, which it could read anyway), one stream to an unprivileged
 * parser, packet sockets on its own links, its memory; no capability in any
 * namespace, no other file, process, network; a list of system calls. */
#include <fcntl.h>
#include <linux/landlock.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent_ring.h"
#include "fd.h"
#include "internal.h"
#include "mount_api.h"
#include "process.h"
#include "uml.h"

#define ROOT_SLACK_BYTES (32ull << 20)
#define PROCESSES_DEFAULT 8192
#define FILES_MAX 4096

static int add_file(int root, const char *name, int mount)
{
	CLEANUP_FREE char *dir = str_dup(name);
	for (char *slash = dir; (slash = strchr(slash, '/')); *slash++ = '/') {
		*slash = '\0';
		if (mkdirat(root, dir, 0500) < 0 && errno != EEXIST)
			return -errno;
	}
	CLEANUP_FD int place = openat(root, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0400);
	return place < 0 ? -errno : mount_attach(mount, place, "");
}

/* The memory that the rings are in; the guest finds it by its name. */
static int make_ring(int root, int channel)
{
	CLEANUP_FD int ring = openat(root, UML_RING, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (ring < 0 || ftruncate(ring, 2 * AGENT_RING_MEMORY) < 0)
		return -errno;
	return channel_send(channel, CHANNEL_PTY, NULL, 0, &ring, 1);
}

static int build_root(const struct uml_jail *j, int *ret, struct err *err)
{
	char options[96];
	if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
		return err_set(err, ERR_SYSTEM, -errno, "leave the host's mount propagation");
	/* The memory of the guest is a file here, of which it maps code. */
	snprintf(options, sizeof(options), "mode=700,nr_inodes=256,size=%llu",
		 (unsigned long long)(j->spec->guest.memory_bytes + ROOT_SLACK_BYTES));
	CLEANUP_FD int root = mount_new_tmpfs(options);
	int r = root < 0 ? root : mount_attach(root, AT_FDCWD, "/");
	if (r == 0)
		r = mount_change(root, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, 0, false);
	for (size_t i = 0; i < j->files->names.n && r == 0; i++)
		r = add_file(root, j->files->names.v[i], j->files->mounts[i]);
	if (r == 0 && (mkdirat(root, "tmp", 0700) < 0 || mkdirat(root, "proc", 0500) < 0))
		r = -errno;
	if (r == 0)
		r = make_ring(root, j->channel);
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "build the sandbox's root");
	*ret = TAKE_FD(root);
	return 0;
}

static int enter_root(int root, struct err *err)
{
	if (fchdir(root) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
		return err_set(err, ERR_SYSTEM, -errno, "enter the sandbox's root");
	return 0;
}

/* Each stop of a traced process wakes its tracer: on one processor that is a
 * switch, over two it is eight times slower. */
static int stay_on_one_cpu(void)
{
	cpu_set_t one;
	/* Here, where the scheduler has just put this process: moving it costs time. */
	int cpu = sched_getcpu();
	if (cpu < 0)
		return -errno;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	return sched_setaffinity(0, sizeof(one), &one) < 0 ? -errno : 0;
}

static int limit_resources(const struct runtime_spec *spec)
{
	const struct rlimit none = { 0, 0 }, files = { FILES_MAX, FILES_MAX };
	int64_t pids = spec->resources.pids_limit;
	rlim_t most = pids > 0 ? (rlim_t)pids + GUEST_MACHINE_PIDS : PROCESSES_DEFAULT;
	const struct rlimit processes = { most, most };
	struct rlimit now;
	if (getrlimit(RLIMIT_NOFILE, &now) == 0 && now.rlim_max < FILES_MAX)
		return 0;
	return setrlimit(RLIMIT_CORE, &none) < 0 || setrlimit(RLIMIT_MEMLOCK, &none) < 0 || setrlimit(RLIMIT_MSGQUEUE, &none) < 0 ||
			       setrlimit(RLIMIT_NOFILE, &files) < 0 || setrlimit(RLIMIT_NPROC, &processes) < 0 ?
		       -errno :
		       0;
}

/* Cover where the kernel has it: files of the jail alone, no connections, no
 * signals out of it. */
static int limit_paths(void)
{
	struct {
		uint64_t fs, net, scoped;
	} attr = { 0 };
	long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	if (version < 1)
		return 0;
	/* Everything of the file system that the first version knows, truncation from
	 * the third, device control from the fifth. */
	attr.fs = (1u << 13) - 1;
	attr.fs |= version >= 2 ? 1u << 13 : 0;
	attr.fs |= version >= 3 ? 1u << 14 : 0;
	attr.net = version >= 4 ? 3 : 0;
	attr.scoped = version >= 6 ? 3 : 0;
	size_t size = version >= 6 ? 24 : version >= 4 ? 16 : 8;
	CLEANUP_FD int fd = (int)syscall(SYS_landlock_create_ruleset, &attr, size, 0);
	CLEANUP_FD int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct landlock_path_beneath_attr beneath = { .allowed_access = attr.fs, .parent_fd = root };
	if (fd < 0 || root < 0 || syscall(SYS_landlock_add_rule, fd, LANDLOCK_RULE_PATH_BENEATH, &beneath, 0) < 0 ||
	    syscall(SYS_landlock_restrict_self, fd, 0) < 0)
		return -errno;
	return 0;
}

static int place_descriptors(const struct uml_jail *j)
{
	int high[UML_FD_INTERFACES + UML_INTERFACES_MAX];
	for (size_t i = 0; i < j->fds_n; i++)
		if ((high[i] = fcntl(j->fds[i], F_DUPFD_CLOEXEC, 128)) < 0)
			return -errno;
	for (size_t i = 0; i < j->fds_n; i++)
		if (dup2(high[i], (int)i) < 0)
			return -errno;
	return syscall(SYS_close_range, (unsigned)j->fds_n, ~0U, CLOSE_RANGE_CLOEXEC) < 0 ? -errno : 0;
}

static int drop_privileges(void)
{
	int r = process_set_bounding(0);
	if (r == 0)
		r = process_set_ambient(0);
	if (r == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		r = -errno;
	if (r == 0)
		r = process_set_capabilities(0, 0, 0);
	/* Cleared by the changes of identity. */
	if (r == 0 && prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		r = -errno;
	return r;
}

static void reset_signals(void)
{
	sigset_t none;
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	for (int s = 1; s < NSIG; s++)
		(void)signal(s, SIG_DFL);
}

/* PID 1 of a namespace is spared by the signals that it sends to itself, and a
 * kernel that panics ends itself by one. So PID 1 is somebody else, who ends as the
 * kernel does. */
static int become_init(void)
{
	int status = 0;
	pid_t pid = fork();
	if (pid <= 0)
		return pid < 0 ? -errno : 0;
	(void)syscall(SYS_close_range, 0, ~0U, 0);
	if (uml_calls_limit() < 0)
		_exit(1);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		continue;
	_exit(WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
}

int uml_jail_enter(const struct uml_jail *j, struct err *err)
{
	CLEANUP_FD int root = -1;
	/* Without rseq: its stub processes inherit the area that glibc registered,
	 * unmap it, and die of it when the host preempts them. */
	char *env[] = { (char *)(uintptr_t) "TMPDIR=/tmp", (char *)(uintptr_t) "HOME=/tmp", (char *)(uintptr_t) "PATH=/",
			(char *)(uintptr_t) "GLIBC_TUNABLES=glibc.pthread.rseq=0", NULL };
	umask(077);
	if (syscall(SYS_setresgid, 0, 0, 0) < 0 || syscall(SYS_setresuid, 0, 0, 0) < 0 || syscall(SYS_setgroups, 0, NULL) < 0)
		return err_set(err, ERR_SYSTEM, -errno, "become root of the sandbox's user namespace");
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	int r = build_root(j, &root, err);
	if (r == 0)
		r = enter_root(root, err);
	if (r < 0)
		return r;
	reset_signals();
	r = place_descriptors(j);
	if (r == 0)
		r = stay_on_one_cpu();
	if (r == 0)
		r = limit_resources(j->spec);
	if (r == 0)
		r = limit_paths();
	/* At random addresses 6.1 may give a gigabyte away to its "exec-shield gap". */
	if (r == 0 && personality(ADDR_NO_RANDOMIZE) < 0)
		r = -errno;
	(void)prctl(PR_SET_NAME, "hull-sandbox", 0, 0, 0);
	if (r == 0)
		r = drop_privileges();
	if (r == 0)
		r = become_init();
	if (r == 0)
		r = uml_calls_limit();
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "jail the sandbox's kernel");
	execve("/" UML_KERNEL, j->argv, env);
	return err_set(err, ERR_SYSTEM, -errno, "execute the sandbox's kernel %s", j->spec->guest.kernel);
}
