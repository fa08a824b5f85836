/* SPDX-License-Identifier: Apache-2.0 */
/* Booting user-mode Linux: the host's side, in the supervisor-to-be. */
#include "uml.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fault.h"
#include "fd.h"
#include "internal.h"
#include "mount_api.h"
#include "process.h"

#define NAMESPACES \
	(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP)

struct boot {
	const struct runtime_spec *spec;
	const struct cgroup *cgroup;
	struct uml_files files;
	int links[UML_INTERFACES_MAX];
	int null, console, agent, port; /* the kernel's ends */
	int channel;
	struct strv argv;
};

static void boot_done(struct boot *b)
{
	uml_files_done(&b->files);
	for (size_t i = 0; i < UML_INTERFACES_MAX; i++)
		cleanup_fd(&b->links[i]);
	cleanup_fd(&b->null);
	cleanup_fd(&b->console);
	cleanup_fd(&b->agent);
	cleanup_fd(&b->port);
	strv_free(&b->argv);
}

static void add(struct boot *b, char *word)
{
	strv_add(&b->argv, word);
	free(word);
}

static void make_arguments(struct boot *b)
{
	const struct runtime_spec *spec = b->spec;
	strv_add(&b->argv, "linux");
	add(b, str_printf("mem=%lluM", (unsigned long long)(spec->guest.memory_bytes >> 20)));
	strv_add(&b->argv, "initrd=/" UML_INITRAMFS);
	/* What is more the guest reads as files of its jail. */
	for (size_t i = 0; i < spec->guest.layer_files.n && i < UML_DISKS_MAX; i++)
		add(b, str_printf("ubd%zur=/" UML_LAYER_FORMAT, i, i));
	/* Of its many lines none but these; "none" would be an error told for each. */
	strv_add(&b->argv, "con=null");
	add(b, str_printf("con0=fd:%d,fd:%d", UML_FD_NULL, UML_FD_CONSOLE));
	strv_add(&b->argv, "ssl=null");
	add(b, str_printf("ssl0=fd:%d", UML_FD_AGENT));
	add(b, str_printf("ssl1=fd:%d", UML_FD_FILES));
	for (size_t i = 0; i < spec->interfaces_n; i++)
		add(b, str_printf("vec%zu:transport=fd,fd=%zu,mac=%s,gro=0", i, UML_FD_INTERFACES + i, spec->interfaces[i].mac));
	strv_add(&b->argv, "iomem=mmapper,/" UML_RING);
	strv_add(&b->argv, "hull.agent=/dev/ttyS0");
	strv_add(&b->argv, "hull.files=/dev/ttyS1");
	strv_add(&b->argv, "hull.rings=/dev/mmapper");
	/* Found out by itself it costs fifty milliseconds. More than any processor has:
	 * what counts turns to wait for something waits too long, not too short. */
	strv_add(&b->argv, "lpj=40000000");
	/* Tables by which names and files are found: for one workload. */
	strv_add(&b->argv, "dhash_entries=16384");
	strv_add(&b->argv, "ihash_entries=8192");
	strv_add(&b->argv, "quiet");
	strv_add(&b->argv, "panic=-1");
	strv_add(&b->argv, "uml_dir=/tmp/");
	strv_add(&b->argv, "umid=hull");
}

/* The new process. */
static int child(struct boot *b, struct err *err)
{
	struct uml_jail jail = { .spec = b->spec, .files = &b->files, .argv = b->argv.v, .channel = b->channel };
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	setsid();
	int r = b->cgroup->layout ? cgroup_enter_v1(b->cgroup) : 0;
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "enter the control group");
	/* Not before: until then this process has no identity of its own. */
	r = channel_recv(b->channel, NULL, 0, NULL, 0, NULL);
	if (r != CHANNEL_GO)
		return err_set(err, ERR_SYSTEM, r < 0 ? r : -EPIPE, "wait for the supervisor");
	r = channel_recv_fds(b->channel, b->links, b->spec->interfaces_n);
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "receive the links");
	jail.fds[UML_FD_NULL] = b->null;
	jail.fds[UML_FD_CONSOLE] = jail.fds[UML_FD_CONSOLE_ERR] = b->console;
	jail.fds[UML_FD_AGENT] = b->agent;
	jail.fds[UML_FD_FILES] = b->port;
	jail.fds_n = UML_FD_INTERFACES;
	for (size_t i = 0; i < b->spec->interfaces_n; i++)
		jail.fds[jail.fds_n++] = b->links[i];
	return uml_jail_enter(&jail, err);
}

static _Noreturn void run_child(struct boot *b)
{
	struct err err = ERR_INIT;
	(void)!child(b, &err);
	(void)!channel_send(b->channel, CHANNEL_ERROR, &err, sizeof(err), NULL, 0);
	channel_drain(b->channel);
	_exit(127);
}

static int write_map(pid_t pid, const char *file, uint32_t host_id, struct err *err)
{
	char path[48], text[32];
	snprintf(path, sizeof(path), "/proc/%d/%s", pid, file);
	snprintf(text, sizeof(text), "0 %u 1\n", host_id);
	int r = fd_write_value_at(AT_FDCWD, path, text);
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "write %s of the sandbox", file) : 0;
}

static int open_namespace(pid_t pid, const char *name, int *ret, struct err *err)
{
	char path[48];
	snprintf(path, sizeof(path), "/proc/%d/ns/%s", pid, name);
	*ret = open(path, O_RDONLY | O_CLOEXEC);
	return *ret < 0 ? err_set(err, ERR_SYSTEM, -errno, "open the sandbox's %s namespace", name) : 0;
}

static int prepare(struct boot *b, pid_t pid, int channel, struct err *err)
{
	const struct runtime_spec *spec = b->spec;
	CLEANUP_FD int userns = -1, netns = -1;
	int r = write_map(pid, "uid_map", spec->uid_maps[0].host_id, err);
	if (r == 0)
		r = write_map(pid, "gid_map", spec->gid_maps[0].host_id, err);
	if (r == 0)
		r = open_namespace(pid, "user", &userns, err);
	/* Layers belong to root and are nobody else's to read: its root is the
	 * workload's. A file that all may read needs no such thing. */
	for (size_t i = 0; i < b->files.names.n && r == 0; i++)
		(void)!mount_idmap(b->files.mounts[i], userns, false);
	if (r == 0 && spec->interfaces_n) {
		r = open_namespace(pid, "net", &netns, err);
		if (r == 0)
			r = uml_network_open(netns, spec->interfaces, spec->interfaces_n, b->links, err);
	}
	if (r < 0)
		return r;
	FAULT_HERE("sandbox.links");
	r = channel_send(channel, CHANNEL_GO, NULL, 0, NULL, 0);
	if (r == 0)
		r = channel_send_fds(channel, b->links, spec->interfaces_n);
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "hand over to the sandbox") : 0;
}

static int check(const struct runtime_spec *spec, struct err *err)
{
	if (spec->interfaces_n > UML_INTERFACES_MAX)
		return err_set(err, ERR_UNSUPPORTED, 0, "a sandbox has at most %d networks", UML_INTERFACES_MAX);
	if (!spec->uid_maps_n || !spec->gid_maps_n || !spec->guest.initramfs)
		return err_set(err, ERR_INVALID, 0, "a sandbox needs identities of its own and an initramfs");
	return 0;
}

int uml_boot(const struct runtime_spec *spec, const struct cgroup *cgroup, int server, struct guest_machine *ret, struct err *err)
{
	CLEANUP(boot_done) struct boot b = { .spec = spec, .cgroup = cgroup, .null = -1, .console = -1, .agent = -1, .port = -1 };
	int stream[2], files[2], console[2], pair[2];
	CLEANUP_FD int ring = -1;
	for (size_t i = 0; i < UML_INTERFACES_MAX; i++)
		b.links[i] = -1;
	int r = check(spec, err);
	if (r == 0)
		r = uml_files_open(&spec->guest, &b.files, err);
	if (r == 0)
		r = channel_pair(pair, err);
	if (r < 0)
		return r;
	CLEANUP_FD int own = pair[0], theirs = pair[1];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, stream) < 0)
		return err_set(err, ERR_SYSTEM, -errno, "make a socket pair");
	CLEANUP_FD int agent = stream[0];
	b.agent = stream[1];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, files) < 0)
		return err_set(err, ERR_SYSTEM, -errno, "make a socket pair");
	CLEANUP_FD int port = files[0];
	b.port = files[1];
	if (pipe2(console, O_CLOEXEC) < 0)
		return err_set(err, ERR_SYSTEM, -errno, "make a pipe");
	CLEANUP_FD int printed = console[0];
	b.console = console[1];
	b.null = open("/dev/null", O_RDWR | O_CLOEXEC);
	b.channel = theirs;
	make_arguments(&b);
	CLEANUP_FD int pidfd = -1;
	pid_t pid = process_clone(NAMESPACES, cgroup->layout ? cgroup_clone_fd(cgroup) : -1, &pidfd);
	if (pid < 0) {
		r = err_set(err, ERR_SYSTEM, pid, "make the sandbox's process");
		err_hint(err, "hull doctor");
		return r;
	}
	if (pid == 0)
		run_child(&b);
	cleanup_fd(&theirs);
	r = prepare(&b, pid, own, err);
	struct isolation_fds made = ISOLATION_FDS_INIT;
	if (r == 0)
		r = launch_wait(own, &made, err);
	ring = made.pty;
	if (r == 0 && ring < 0)
		r = err_set(err, ERR_SYSTEM, 0, "the sandbox's process died");
	if (r < 0)
		return r;
	*ret = (struct guest_machine){ pid, TAKE_FD(pidfd), TAKE_FD(agent), TAKE_FD(printed), TAKE_FD(port), -1, TAKE_FD(ring) };
	return 0;
}
