/* SPDX-License-Identifier: Apache-2.0 */
/* Namespaces made before the workload is known (internal.h): a network namespace
 * alone takes the kernel longer than the rest of a small container. */
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "fault.h"
#include "fd.h"
#include "internal.h"
#include "mount_api.h"
#include "process.h"

/* The pid namespace is the child's: whoever makes one is not in it. */
#define NAMESPACES (CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNS)
#define CONFIG_MAX_BYTES (16u << 20)
/* The child's end of its channel, config.json, and the workload's lock, which is held
 * until nobody is left who makes anything. */
#define EXPECT_FDS 3
#define CHANNEL 3

bool ahead_fits(const struct runtime_spec *spec)
{
	static const enum spec_ns made[] = { SPEC_NS_USER, SPEC_NS_NET, SPEC_NS_IPC, SPEC_NS_UTS, SPEC_NS_MOUNT, SPEC_NS_PID };
	for (size_t i = 0; i < ARRAY_LEN(made); i++)
		if (!spec->ns[made[i]].wanted || spec->ns[made[i]].path)
			return false;
	return true;
}

static int clone_child(int launcher, struct child_args *args, const struct cgroup *cg, struct err *err)
{
	struct ahead_child born = { 0 };
	int fds[AHEAD_CHILD_FDS], pidfd = -1;
	size_t n = 0;
	pid_t pid = process_clone(CLONE_NEWPID | CLONE_PARENT, cg->layout ? cgroup_clone_fd(cg) : -1, &pidfd);
	if (pid < 0)
		return err_set(err, ERR_SYSTEM, pid, "make the container's process");
	if (pid == 0) {
		close(launcher);
		child_run(args);
	}
	born.pid = pid;
	fds[n++] = pidfd;
	for (unsigned i = 0; cg->layout && i < CGROUP_CONTROLLER_COUNT; i++) {
		if (cg->fd[i] < 0)
			continue;
		born.hierarchies |= 1u << i;
		fds[n++] = cg->fd[i];
	}
	FAULT_HERE("ahead.cloned");
	int r = channel_send(launcher, CHANNEL_BORN, &born, sizeof(born), fds, n);
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "tell of the container's process") : 0;
}

/* What is there before the description. */
struct at_hand {
	struct cgroup_layout layout;
	int sysfs;
};

static int make_child(const struct at_hand *have, const struct runtime_spec *spec, int launcher, int channel, struct err *err)
{
	CLEANUP_CGROUP struct cgroup cg = CGROUP_INIT;
	int stdio[3] = { -1, -1, -1 };
	size_t n = 0;
	int r = launch_make_cgroup(spec, &have->layout, &cg, err);
	if (r < 0)
		return r;
	FAULT_HERE("ahead.cgroup");
	if (channel_recv(launcher, NULL, 0, stdio, 3, &n) != CHANNEL_MAKE)
		_exit(0);
	struct isolation_io io = { .stdin_fd = stdio[0], .stdout_fd = stdio[1], .stderr_fd = stdio[2] };
	struct child_args args = {
		.spec = spec,
		.io = &io,
		.channel = channel,
		.cgroups = &have->layout,
		.cgroup = &cg,
		.cgroup_namespace = spec->ns[SPEC_NS_CGROUP].wanted && have->layout.mode != CGROUP_MODE_NONE,
		.sysfs = have->sysfs,
		.become = { .process = &spec->process, .init_fd = -1 },
	};
	return clone_child(launcher, &args, &cg, err);
}

static int get_ready(const struct at_hand *have, int launcher, int channel, int config_fd, struct err *err)
{
	CLEANUP_BUF struct buf text = BUF_INIT(CONFIG_MAX_BYTES);
	CLEANUP_RUNTIME_SPEC struct runtime_spec *spec = NULL;
	int r = fd_read_all(config_fd, &text);
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "read config.json");
	r = runtime_spec_parse(text.data ? text.data : "", text.len, &spec, err);
	/* One that does not fit, the launcher does without us. */
	if (r < 0 || !ahead_fits(spec))
		return r;
	return make_child(have, spec, launcher, channel, err);
}

/* The pages of the parser, and the memory it takes: better met while there is time. */
static void get_used_to_parsing(void)
{
	static const char sample[] = "{\"ociVersion\":\"1.0.2\",\"root\":{\"path\":\"/\"},\"process\":{\"args\":[\"a\"],\"env\":[\"a=b\"],"
				     "\"cwd\":\"/\",\"user\":{\"uid\":0,\"gid\":0}},\"mounts\":[{\"destination\":\"/proc\",\"type\":\"proc\","
				     "\"source\":\"proc\",\"options\":[\"nosuid\"]}],\"linux\":{\"namespaces\":[{\"type\":\"pid\"}]}}";
	CLEANUP_RUNTIME_SPEC struct runtime_spec *spec = NULL;
	struct err ignored = ERR_INIT;
	(void)!runtime_spec_parse(sample, sizeof(sample) - 1, &spec, &ignored);
}

static _Noreturn void run(pid_t monitor, int sock)
{
	struct at_hand have = { .sysfs = -1 };
	struct err err = ERR_INIT, none = ERR_INIT;
	int fds[EXPECT_FDS] = { -1, -1, -1 };
	size_t n = 0;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	/* Every copy of another conversation would keep its other side waiting. */
	if (getppid() != monitor || (sock != CHANNEL && dup2(sock, CHANNEL) < 0) || fd_set_cloexec(CHANNEL, true) < 0)
		_exit(1);
	fd_close_from(CHANNEL + 1);
	FAULT_HERE("ahead.made");
	int detected = launch_detect_cgroups(&have.layout, &none);
	have.sysfs = mount_new_plain("sysfs", SYSFS_AHEAD_ATTRIBUTES);
	get_used_to_parsing();
	if (channel_recv(CHANNEL, NULL, 0, fds, EXPECT_FDS, &n) != CHANNEL_EXPECT || n != EXPECT_FDS || detected < 0)
		_exit(0);
	int r = get_ready(&have, CHANNEL, fds[0], fds[1], &err);
	/* From here on the child alone has its end. */
	close(fds[0]);
	if (r < 0)
		(void)!channel_send(CHANNEL, CHANNEL_ERROR, &err, sizeof(err), NULL, 0);
	/* Our user namespace is mapped by our number. */
	while (channel_recv(CHANNEL, NULL, 0, NULL, 0, NULL) > 0)
		continue;
	_exit(0);
}

/* Of the launcher: looked for while there is time. */
static struct cgroup_layout groups;

void container_prepare(struct isolation_ahead *ret)
{
	int pair[2], pidfd = -1;
	struct err ignored = ERR_INIT;
	pid_t monitor = getppid();
	*ret = (struct isolation_ahead){ 0, -1, -1 };
	if (channel_pair(pair, &ignored) < 0)
		return;
	if (launch_detect_cgroups(&groups, &ignored) < 0)
		groups.mode = CGROUP_MODE_NONE;
	get_used_to_parsing();
	/* Not in the namespaces' user namespace: there is no way back from it. */
	pid_t pid = process_clone(NAMESPACES | CLONE_PARENT, -1, &pidfd);
	if (pid == 0)
		run(monitor, pair[1]);
	close(pair[1]);
	cleanup_fd(&pidfd);
	if (pid < 0)
		close(pair[0]);
	else
		*ret = (struct isolation_ahead){ pid, pair[0], -1 };
}

void container_expect(struct isolation_ahead *ahead, int config_fd, int lock_fd)
{
	int pair[2];
	struct err ignored = ERR_INIT;
	/* The process in the namespaces makes the group without the host's rights. What goes
	 * wrong here is met by start(). */
	if (groups.mode != CGROUP_MODE_NONE)
		(void)!cgroup_make_parents(&groups, "hull/x");
	if (channel_pair(pair, &ignored) < 0)
		return;
	const int fds[EXPECT_FDS] = { pair[1], config_fd, lock_fd };
	(void)!channel_send(ahead->sock, CHANNEL_EXPECT, NULL, 0, fds, EXPECT_FDS);
	close(pair[1]);
	ahead->child_sock = pair[0];
}

int ahead_make(int sock, const struct isolation_io *io, struct err *err)
{
	const int fds[3] = { io->stdin_fd, io->stdout_fd, io->stderr_fd };
	int r = channel_send(sock, CHANNEL_MAKE, NULL, 0, fds, io->stdin_fd < 0 ? 0 : 3);
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "have the container's process made") : 0;
}
