/* SPDX-License-Identifier: Apache-2.0 */
#include "vm_boot.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent_proto.h"
#include "clock.h"
#include "fault.h"
#include "fd.h"
#include "internal.h"
#include "net_attach.h"
#include "net_tap.h"
#include "process.h"
#include "vmm_proto.h"

#define KVM_DEVICE "/dev/kvm"
/* Where the agent finds the host: a port of its socket device. */
#define AGENT_PORT 1024
#define GUEST_CID 3
/* Windows for networks that are connected while it runs. The guest's kernel reads three
 * registers of each at its start. */
#define SPARE_NETWORKS 4
/* hull's own kernel has these drivers built in, which would make links by themselves. */
#define OWN_KERNEL_WORDS " dummy.numdummies=0 ifb.numifbs=0"
#define BOOT_TIMEOUT_MS 60000
#define PAGE_BYTES 4096
#define LINE_BYTES 200

struct boot {
	const struct runtime_spec *spec;
	const struct cgroup *cgroup;
	struct vmm_start start;
	int fds[VMM_FDS_MAX]; /* ours to close */
	size_t fds_n;
	char *program;
};

static void boot_done(struct boot *b)
{
	for (size_t i = 0; i < b->fds_n; i++)
		cleanup_fd(&b->fds[i]);
	free(b->program);
}

/* @fd is the boot's from here on. Returns its place, or a negative errno. */
static int add_fd(struct boot *b, int fd)
{
	if (fd < 0)
		return -errno;
	if (b->fds_n == VMM_FDS_MAX) {
		close(fd);
		return -E2BIG;
	}
	b->fds[b->fds_n] = fd;
	return (int)b->fds_n++;
}

static int add_file(struct boot *b, const char *path, int flags, int32_t *ret, struct err *err)
{
	*ret = add_fd(b, open(path, flags | O_CLOEXEC | O_NOCTTY));
	return *ret < 0 ? err_set(err, ERR_SYSTEM, *ret, "open %s", path) : 0;
}

static struct vmm_device *add_device(struct boot *b, enum vmm_device_kind kind)
{
	struct vmm_device *d = &b->start.devices[b->start.n_devices++];
	*d = (struct vmm_device){ .kind = kind, .fds = { -1, -1, -1, -1 } };
	return d;
}

static int add_layers(struct boot *b, struct err *err)
{
	const struct strv *files = &b->spec->guest.layer_files;
	struct vmm_device *d = add_device(b, b->spec->guest.has_dax ? VMM_DEVICE_PMEM : VMM_DEVICE_BLK);
	int32_t place;
	int r = 0;
	d->flags = VMM_DEVICE_READONLY;
	d->layers_n = (uint32_t)files->n;
	d->fds[0] = (int32_t)b->fds_n;
	for (size_t i = 0; i < files->n && r == 0; i++)
		r = add_file(b, files->v[i], O_RDONLY, &place, err);
	return r;
}

static int add_interface(struct boot *b, const struct spec_interface *i, struct err *err)
{
	struct vmm_device *d = add_device(b, VMM_DEVICE_NET);
	int tap = -1;
	if (net_mac_parse(i->mac, d->mac) < 0)
		return err_set(err, ERR_INVALID, 0, "invalid MAC address: %s", i->mac);
	int r = net_tap_open(i, &tap, err);
	if (r < 0)
		return r;
	d->mtu = (uint16_t)(i->mtu <= UINT16_MAX ? i->mtu : 0);
	d->offloads = net_tap_offloads;
	d->fds[0] = add_fd(b, tap);
	return 0;
}

/* What is left of them where there are many networks already; the last devices. */
static void add_spare_networks(struct boot *b)
{
	for (int i = 0; i < SPARE_NETWORKS && b->start.n_devices < VMM_DEVICES_MAX; i++) {
		struct vmm_device *d = add_device(b, VMM_DEVICE_NET);
		d->flags = VMM_DEVICE_PARKED;
		d->offloads = net_tap_offloads;
	}
}

static int describe(struct boot *b, struct err *err)
{
	const struct spec_guest *g = &b->spec->guest;
	struct vmm_start *s = &b->start;
	uint32_t cpus = g->cpus ? g->cpus : 1;
	*s = (struct vmm_start){ .magic = VMM_MAGIC, .bytes = sizeof(*s), .memory_bytes = g->memory_bytes / PAGE_BYTES * PAGE_BYTES,
				 .vcpus = g->cpus_max > cpus ? g->cpus_max : cpus, .flags = VMM_START_UART | (g->has_no_acpi ? VMM_START_NO_ACPI : 0),
				 .initramfs = -1, .uart = -1 };
	if (b->spec->uid_maps_n && b->spec->gid_maps_n) {
		s->uid = b->spec->uid_maps[0].host_id;
		s->gid = b->spec->gid_maps[0].host_id;
	}
	/* What is not there is not looked for; a kernel that panics tells so and ends. Free
	 * memory goes back to the host in pieces of 64 KiB: in those of 2 MiB, the kernel's own
	 * choice, most of what a workload has used and freed would stay. */
	snprintf(s->cmdline, sizeof(s->cmdline),
		 "console=ttyS0 quiet panic=-1 reboot=k i8042.noaux pci=off page_reporting.page_reporting_order=4 maxcpus=%u hull.agent=vsock:%d%s", cpus,
		 AGENT_PORT, g->has_no_acpi ? OWN_KERNEL_WORDS : "");
	int r = add_file(b, KVM_DEVICE, O_RDWR, &s->kvm, err);
	if (r < 0)
		return r;
	r = add_file(b, g->kernel, O_RDONLY, &s->kernel, err);
	if (r == 0)
		r = add_file(b, g->initramfs, O_RDONLY, &s->initramfs, err);
	if (r == 0 && g->layer_files.n)
		r = add_layers(b, err);
	for (size_t i = 0; i < b->spec->interfaces_n && r == 0; i++)
		r = add_interface(b, &b->spec->interfaces[i], err);
	(void)add_device(b, VMM_DEVICE_RNG);
	(void)add_device(b, VMM_DEVICE_BALLOON);
	return r;
}

/* The device by which the guest speaks with hull-files. */
static void add_files(struct boot *b, int files)
{
	struct vmm_device *d = add_device(b, VMM_DEVICE_FS);
	snprintf(d->name, sizeof(d->name), "%s", AGENT_FILES_TAG);
	d->fds[0] = add_fd(b, fcntl(files, F_DUPFD_CLOEXEC, 0));
}

/* The new process: what only the birth of a process can give it, then hull-vmm, which
 * jails itself. */
static _Noreturn void run_child(struct boot *b, int sock)
{
	sigset_t none;
	sigemptyset(&none);
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	setsid();
	if (b->cgroup->layout && cgroup_enter_v1(b->cgroup) < 0)
		_exit(126);
	/* Out of the way first: the number may be one of ours. */
	int high = fcntl(sock, F_DUPFD_CLOEXEC, VMM_FD + 1);
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (high < 0 || null < 0 || dup2(high, VMM_FD) < 0)
		_exit(126);
	for (int i = 0; i < VMM_FD; i++)
		if (dup2(null, i) < 0)
			_exit(126);
	fd_close_from(VMM_FD + 1);
	sigprocmask(SIG_SETMASK, &none, NULL);
	char *argv[] = { (char *)(uintptr_t)VMM_PROGRAM, NULL };
	char *env[] = { NULL };
	execve(b->program, argv, env);
	_exit(127);
}

/* The last line that the kernel has printed, as the reason. */
static void add_console(int console, struct err *err)
{
	char text[8192];
	ssize_t n;
	size_t len = 0;
	(void)!fd_set_nonblock(console, true);
	while ((n = read(console, text + len, sizeof(text) - len)) > 0) {
		len += (size_t)n;
		if (len == sizeof(text)) {
			memmove(text, text + sizeof(text) / 2, sizeof(text) / 2);
			len = sizeof(text) / 2;
		}
	}
	while (len && (text[len - 1] == '\n' || text[len - 1] == '\r'))
		len--;
	size_t from = len;
	while (from && text[from - 1] != '\n' && len - from < LINE_BYTES)
		from--;
	for (size_t i = from; i < len; i++)
		text[i] = text[i] < ' ' || text[i] == 127 ? '?' : text[i];
	if (len > from)
		err_why(err, "its last line was: %.*s", (int)(len - from), text + from);
}

static int ended(const struct vmm_event *event, int console, struct err *err)
{
	static const struct {
		enum vmm_end end;
		const char *what;
	} ends[] = {
		{ VMM_END_POWEROFF, "powered itself off" }, { VMM_END_RESET, "reset itself" },
		{ VMM_END_TRIPLE_FAULT, "crashed" },        { VMM_END_PANIC, "panicked" },
	};
	if (err_is_set(&event->err)) {
		*err = event->err;
		if (event->err.errnum == 0 && event->end == VMM_END_FAULT)
			err_hint(err, "hull doctor");
		return err->errnum < 0 ? err->errnum : -EIO;
	}
	const char *what = "ended";
	for (size_t i = 0; i < ARRAY_LEN(ends); i++)
		if (ends[i].end == event->end)
			what = ends[i].what;
	int r = err_set(err, ERR_SYSTEM, 0, "the guest's kernel %s before hull's agent spoke", what);
	add_console(console, err);
	return r;
}

/* Until the agent has connected, or the machine has ended. */
static int wait_for_agent(int sock, int accepts, int console, int *ret, struct err *err)
{
	int64_t until = clock_mono_ms() + BOOT_TIMEOUT_MS;
	for (;;) {
		struct pollfd fds[] = { { .fd = accepts, .events = POLLIN }, { .fd = sock, .events = POLLIN } };
		int64_t left = until - clock_mono_ms();
		int n = left > 0 ? poll(fds, ARRAY_LEN(fds), (int)left) : 0;
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			int r = err_set(err, ERR_TIMEOUT, n < 0 ? errno : 0, "the guest did not start within %d seconds", BOOT_TIMEOUT_MS / 1000);
			add_console(console, err);
			return r;
		}
		char who[64];
		size_t fds_n = 0;
		if (fds[0].revents & POLLIN && fd_recv(accepts, who, sizeof(who), ret, 1, &fds_n) > 0 && fds_n == 1)
			return 0;
		if (!fds[1].revents)
			continue;
		struct vmm_event event = { 0 };
		ssize_t got = recv(sock, &event, sizeof(event), 0);
		if (got < 0 && (errno == EINTR || errno == ECONNRESET))
			continue;
		if (got != (ssize_t)sizeof(event))
			return err_set(err, ERR_SYSTEM, got < 0 ? errno : 0, "the virtual machine's monitor died");
		if (event.type == VMM_EVENT_END)
			return ended(&event, console, err);
	}
}

/* Up to Linux 6.13 KVM puts a thread of the kernel's own beside the processor's into
 * the group of whoever makes a machine; it never freezes, so neither would the group. */
static void leave_kernel_threads(const struct cgroup *cgroup, pid_t machine)
{
	CLEANUP_FREE pid_t *pids = NULL;
	char path[CGROUP_ROOT_MAX + 16], text[16], program[32];
	size_t n = 0;
	if (!cgroup->layout || !cgroup_is_v2(cgroup->layout, CGROUP_FREEZER) || cgroup_pids(cgroup, &pids, &n) < 0)
		return;
	snprintf(path, sizeof(path), "%s/cgroup.procs", cgroup->layout->root[CGROUP_UNIFIED]);
	for (size_t i = 0; i < n; i++) {
		/* hull-files is in it, too, and stays: what it reads and writes is the workload's. A
		 * thread of the kernel's has no program. */
		snprintf(program, sizeof(program), "/proc/%d/exe", (int)pids[i]);
		if (pids[i] == machine || pids[i] <= 0 || readlink(program, text, sizeof(text)) >= 0 || errno != ENOENT)
			continue;
		snprintf(text, sizeof(text), "%d", (int)pids[i]);
		(void)!fd_write_value_at(AT_FDCWD, path, text);
	}
}

static int pair(int type, int *ret_ours, int *ret_theirs, struct err *err)
{
	int both[2];
	if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, both) < 0)
		return err_set(err, ERR_SYSTEM, errno, "make a socket pair");
	*ret_ours = both[0];
	*ret_theirs = both[1];
	return 0;
}

static int check(const struct runtime_spec *spec, struct err *err)
{
	const struct spec_guest *g = &spec->guest;
	/* Beside the kernel, the KVM, the console and the links. */
	if (g->layer_files.n > VMM_FDS_MAX - 32)
		return err_set(err, ERR_UNSUPPORTED, 0, "an image with more than %d layers cannot run in a virtual machine", VMM_FDS_MAX - 32);
	/* The disk of layers, files, entropy, balloon and sockets are devices too. */
	if (spec->interfaces_n > VMM_DEVICES_MAX - 5)
		return err_set(err, ERR_UNSUPPORTED, 0, "a virtual machine has at most %d networks", VMM_DEVICES_MAX - 5);
	if (g->cpus > VMM_VCPUS_MAX || g->cpus_max > VMM_VCPUS_MAX)
		return err_set(err, ERR_UNSUPPORTED, 0, "a virtual machine has at most %d processors", VMM_VCPUS_MAX);
	if (!g->initramfs)
		return err_set(err, ERR_INVALID, 0, "a virtual machine needs an initramfs");
	return 0;
}

/* hull-vmm lies beside the supervisor. */
static char *program_path(const struct spec_guest *g)
{
	const char *slash = strrchr(g->supervisor, '/');
	return str_printf("%.*s/" VMM_PROGRAM, (int)(slash ? slash - g->supervisor : 0), g->supervisor);
}

int vm_boot(const struct runtime_spec *spec, const struct cgroup *cgroup, int files, struct guest_machine *ret, struct err *err)
{
	CLEANUP(boot_done) struct boot b = { .spec = spec, .cgroup = cgroup };
	CLEANUP_FD int own = -1, theirs = -1, accepts = -1, console = -1, pidfd = -1, agent = -1;
	int listen_end = -1, output[2];
	int r = check(spec, err);
	if (r == 0)
		r = describe(&b, err);
	if (r == 0)
		r = pair(SOCK_SEQPACKET, &own, &theirs, err);
	if (r == 0)
		r = pair(SOCK_SEQPACKET, &accepts, &listen_end, err);
	if (r < 0)
		return r;
	struct vmm_device *d = add_device(&b, VMM_DEVICE_VSOCK);
	d->cid = GUEST_CID;
	d->port = AGENT_PORT;
	d->fds[1] = add_fd(&b, listen_end);
	add_files(&b, files);
	add_spare_networks(&b);
	if (pipe2(output, O_CLOEXEC) < 0)
		return err_set(err, ERR_SYSTEM, errno, "make a pipe");
	console = output[0];
	b.start.uart = add_fd(&b, output[1]);
	b.program = program_path(&spec->guest);
	/* A pid namespace is of those born in it; the others it makes itself. */
	pid_t pid = process_clone(CLONE_NEWPID, cgroup->layout ? cgroup_clone_fd(cgroup) : -1, &pidfd);
	if (pid < 0)
		return err_set(err, ERR_SYSTEM, pid, "make the virtual machine's process");
	if (pid == 0)
		run_child(&b, theirs);
	cleanup_fd(&theirs);
	FAULT_HERE("microvm.cloned");
	r = vmm_start_send(own, &b.start, b.fds, b.fds_n);
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "start %s", b.program);
	/* Only hull-vmm is to hold the other ends. */
	boot_done(&b);
	b = (struct boot){ 0 };
	r = wait_for_agent(own, accepts, console, &agent, err);
	if (r < 0)
		return err_context(err, r, "start the virtual machine");
	leave_kernel_threads(cgroup, pid);
	*ret = (struct guest_machine){ pid, TAKE_FD(pidfd), TAKE_FD(agent), TAKE_FD(console), -1, TAKE_FD(own), -1 };
	return 0;
}
