/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "clock.h"
#include "container_resources.h"
#include "fault.h"
#include "fd.h"
#include "files_proto.h"
#include "firewall.h"
#include "guest.h"
#include "guest_args.h"
#include "internal.h"
#include "name_sockets.h"
#include "names_proto.h"
#include "net_attach.h"
#include "process.h"

#define DESTROY_TIMEOUT_MS 10000
#define BACKLOG 64

static int refuse(const struct runtime_spec *spec, struct err *err)
{
	const struct {
		bool is_so;
		const char *what, *hint;
	} impossible[] = {
		{ !spec->guest.kernel || !spec->guest.supervisor || !spec->guest.run_dir, "a guest without a kernel", "" },
		{ spec->root_path != NULL, "a root directory of the host", "make an image of it: tar -c . | hull import - NAME" },
		{ !spec->ns[SPEC_NS_NET].wanted || spec->ns[SPEC_NS_NET].path, "another's network", "publish ports: -p" },
		{ !spec->ns[SPEC_NS_PID].wanted || spec->ns[SPEC_NS_PID].path, "another's processes", "--isolation=container" },
		{ !spec->ns[SPEC_NS_IPC].wanted || spec->ns[SPEC_NS_IPC].path, "another's IPC", "--isolation=container" },
		{ spec->devices_n > 0, "the host's devices", "--isolation=container" },
	};
	for (size_t i = 0; i < ARRAY_LEN(impossible); i++)
		if (impossible[i].is_so) {
			int r = err_set(err, ERR_UNSUPPORTED, 0, "a workload with a kernel of its own cannot use %s", impossible[i].what);
			if (*impossible[i].hint)
				err_hint(err, "%s", impossible[i].hint);
			return r;
		}
	return 0;
}

static int make_cgroup(const struct runtime_spec *spec, const struct cgroup_layout *layout, struct cgroup *cg, struct err *err)
{
	struct spec_resources limits;
	if (layout->mode == CGROUP_MODE_NONE || !spec->cgroup_path)
		return 0;
	guest_limits_outside(&spec->resources, &limits);
	int r = cgroup_create(layout, spec->cgroup_path, container_resources_controllers(layout, &limits), cg, err);
	if (r == 0)
		r = container_resources_apply(cg, &limits, false, err);
	spec_resources_done(&limits);
	return r;
}

static void undo(const struct runtime_spec *spec, const struct cgroup_layout *layout, int pidfd)
{
	if (pidfd >= 0)
		(void)!process_signal(pidfd, SIGKILL);
	(void)!net_unpublish(spec->ports, spec->ports_n, NULL);
	(void)!net_detach(spec->interfaces, spec->interfaces_n, NULL);
	if (spec->cgroup_path && layout->mode != CGROUP_MODE_NONE)
		(void)!cgroup_destroy(layout, spec->cgroup_path, clock_mono_ms() + DESTROY_TIMEOUT_MS);
}

static int open_socket(const struct runtime_spec *spec, int dir, int *ret, struct err *err)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	CLEANUP_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	(void)unlinkat(dir, GUEST_SOCKET_NAME, 0);
	/* By its descriptor: a path may be longer than an address. */
	snprintf(name.sun_path, sizeof(name.sun_path), "/proc/self/fd/%d/" GUEST_SOCKET_NAME, dir);
	mode_t mask = umask(0177);
	int r = fd < 0 || bind(fd, (struct sockaddr *)&name, sizeof(name)) < 0 || listen(fd, BACKLOG) < 0 ? -errno : 0;
	umask(mask);
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "make %s/" GUEST_SOCKET_NAME, spec->guest.run_dir);
	*ret = TAKE_FD(fd);
	return 0;
}

struct supervisor_args {
	const struct guest_level *level;
	const struct runtime_spec *spec;
	const struct cgroup *cgroup;
	int stdio[3];
	int report, request;
};

/* Join the machine's network namespace: the supervisor's figures are its links', and
 * the guest's questions for names are asked there, from its start or since it was
 * connected to a network with names. The sockets that answer them go to the monitor. */
static int make_names(const struct supervisor_args *a, pid_t machine, int *ret, struct err *err)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(53) };
	int sockets[2] = { -1, -1 };
	const struct guest_report report = { .kind = GUEST_NAMES };
	char path[48];
	snprintf(path, sizeof(path), "/proc/%d/ns/net", machine);
	CLEANUP_FD int netns = open(path, O_RDONLY | O_CLOEXEC);
	if (netns < 0 || setns(netns, CLONE_NEWNET) < 0)
		return err_set(err, ERR_SYSTEM, -errno, "enter the guest's network namespace");
	int r = net_configure(NULL, 0, err);
	if (r == 0 && a->spec->has_name_sockets)
		r = name_sockets_open(netns, sockets, err);
	if (r < 0)
		return r;
	CLEANUP_FD int udp = sockets[0], tcp = sockets[1];
	CLEANUP_FD int client = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (client < 0 || inet_pton(AF_INET, NAMES_ADDRESS, &at.sin_addr) != 1 || connect(client, (struct sockaddr *)&at, sizeof(at)) < 0)
		return err_set(err, ERR_SYSTEM, -errno, "open a socket to the name server");
	r = a->spec->has_name_sockets ? fd_send(a->report, &report, sizeof(report), sockets, 2) : 0;
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "hand over the sockets for names");
	*ret = TAKE_FD(client);
	return 0;
}

static int start_files(const struct supervisor_args *a, int *ret, struct err *err)
{
	guest_make_mount_points(a->spec);
	int r = guest_files_start(a->spec, a->cgroup, !a->level->takes_files, ret, err);
	return r < 0 ? r : files_recv_started(*ret, err);
}

/* The new process, until it is hull-guest. */
static int become_supervisor(const struct supervisor_args *a, struct err *err)
{
	struct guest_machine m = GUEST_MACHINE_INIT;
	int listener = -1, files = -1, names = -1;
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		return err_set(err, ERR_SYSTEM, -errno, "ask to die with the monitor");
	setsid();
	CLEANUP_FD int dir = open(a->spec->guest.run_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	CLEANUP_FD int stats = dir < 0 ? -1 : openat(dir, GUEST_STATS_NAME, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (stats < 0)
		return err_set(err, ERR_SYSTEM, -errno, "open %s", a->spec->guest.run_dir);
	int r = open_socket(a->spec, dir, &listener, err);
	bool takes_files = a->level->takes_files;
	if (r == 0 && takes_files)
		r = start_files(a, &files, err);
	if (r == 0)
		r = a->level->boot(a->spec, a->cgroup, takes_files ? files : -1, &m, err);
	/* While the kernel starts. */
	if (r == 0 && !takes_files)
		r = start_files(a, &files, err);
	if (r == 0)
		r = make_names(a, m.pid, &names, err);
	if (r < 0)
		return r;
	/* Only the machine is to hold its end then. */
	if (takes_files)
		cleanup_fd(&files);
	int *optional[] = { &m.ring, &m.control, &m.files, &files };
	for (size_t i = 0; i < ARRAY_LEN(optional); i++)
		if (*optional[i] < 0)
			*optional[i] = open("/dev/null", O_RDWR | O_CLOEXEC);
	const int fds[] = {
		[GUEST_FD_REPORT - 3] = a->report, [GUEST_FD_AGENT - 3] = m.agent,     [GUEST_FD_REQUEST - 3] = a->request,
		[GUEST_FD_LISTEN - 3] = listener,  [GUEST_FD_CONSOLE - 3] = m.console, [GUEST_FD_MACHINE - 3] = m.pidfd,
		[GUEST_FD_STATS - 3] = stats,      [GUEST_FD_RING - 3] = m.ring,
		[GUEST_FD_PORT - 3] = m.files,
		[GUEST_FD_FILES - 3] = files,
		[GUEST_FD_NAMES - 3] = names,
		[GUEST_FD_CONTROL - 3] = m.control,
	};
	FAULT_HERE("guest.booted");
	return guest_execute(a->spec, "supervise", a->stdio, a->spec->process.terminal, fds, ARRAY_LEN(fds), err);
}

static _Noreturn void supervisor_run(const struct supervisor_args *a)
{
	struct guest_report failed = { 0 };
	(void)!become_supervisor(a, &failed.err);
	if (!err_is_set(&failed.err))
		(void)err_set(&failed.err, ERR_SYSTEM, 0, "start the guest");
	(void)!fd_send(a->report, &failed, sizeof(failed), NULL, 0);
	/* What it has booted dies with it. */
	_exit(127);
}

static int launch(const struct guest_level *level, const struct runtime_spec *spec, const struct isolation_io *io,
		  const struct cgroup *cg, struct isolation_handle *handle, struct isolation_fds *ret, struct err *err)
{
	int pair[2] = { -1, -1 };
	CLEANUP_FD int request = -1, master = -1, slave = -1;
	struct guest_terminal terminal = { -1, -1 };
	struct supervisor_args args = { .level = level, .spec = spec, .cgroup = cg, .stdio = { io->stdin_fd, io->stdout_fd, io->stderr_fd } };
	int r = guest_request_start(level, spec, &request, err);
	if (r == 0 && spec->process.terminal)
		r = guest_terminal_open(&spec->process, &terminal, err);
	master = terminal.master;
	slave = terminal.slave;
	/* The rules name addresses, which nobody answers to yet. */
	if (r == 0)
		r = net_publish(spec->ports, spec->ports_n, err);
	if (r == 0)
		r = FAULT("guest.published");
	if (r == 0)
		r = channel_pair(pair, err);
	if (r < 0)
		return r;
	CLEANUP_FD int own = pair[0], theirs = pair[1];
	args.report = theirs;
	args.request = request;
	for (int i = 0; i < 3 && slave >= 0; i++)
		args.stdio[i] = slave;
	/* Outside the control group, so that a paused workload can be asked. */
	pid_t pid = process_clone(CLONE_PARENT, -1, &ret->pidfd);
	if (pid < 0)
		return err_set(err, ERR_SYSTEM, pid, "make the guest's supervisor");
	if (pid == 0) {
		close(own);
		cleanup_fd(&master);
		supervisor_run(&args);
	}
	cleanup_fd(&theirs);
	FAULT_HERE("guest.cloned");
	handle->pid = pid;
	r = process_start_ticks(pid, &handle->pid_start_ticks);
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "look at the new process");
	r = guest_wait_report(own, ret->names, err);
	if (r == 0)
		ret->pty = TAKE_FD(master);
	return r;
}

int guest_start(const struct guest_level *level, const struct runtime_spec *spec, const struct isolation_io *io,
		struct isolation_handle *ret_handle, struct isolation_fds *ret, struct err *err)
{
	struct cgroup_layout layout = { 0 };
	CLEANUP_CGROUP struct cgroup cg = CGROUP_INIT;
	struct isolation_handle handle = { 0 };
	ret->pidfd = -1;
	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	int r = refuse(spec, err);
	if (r < 0)
		return r;
	r = cgroup_detect(&layout);
	if (r == -ENOENT)
		layout.mode = CGROUP_MODE_NONE;
	else if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "find the control groups");
	if (str_copy(handle.cgroup, sizeof(handle.cgroup), spec->cgroup_path ? spec->cgroup_path : "") < 0 ||
	    str_copy(handle.run_dir, sizeof(handle.run_dir), spec->guest.run_dir) < 0)
		return err_set(err, ERR_INVALID, 0, "the workload's paths are too long");
	r = make_cgroup(spec, &layout, &cg, err);
	if (r == 0)
		r = FAULT("guest.cgroup");
	if (r == 0)
		r = launch(level, spec, io, &cg, &handle, ret, err);
	if (r < 0) {
		undo(spec, &layout, ret->pidfd);
		return r;
	}
	*ret_handle = handle;
	return 0;
}
