/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm_monitor.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "devices.h"
#include "fd.h"
#include "vmm_jail.h"
#include "machine.h"

/* One a process, in static memory: nothing is allocated once the guest runs. */
static struct machine machine;
static struct vmm_start start;
static int fds[VMM_FDS_MAX];
static struct loop_source parent;

/* ---- the start message */

static bool is_fd(int32_t index, unsigned fds_n)
{
	return index >= -1 && index < (int64_t)fds_n;
}

/* The starter is trusted, but not to be free of mistakes. */
static int check_start(unsigned fds_n, struct err *err)
{
	bool is_valid = start.vcpus >= 1 && start.vcpus <= VMM_VCPUS_MAX && start.n_devices <= VMM_DEVICES_MAX && start.kvm >= 0 &&
			start.kernel >= 0 && is_fd(start.kvm, fds_n) && is_fd(start.kernel, fds_n) && is_fd(start.initramfs, fds_n) &&
			is_fd(start.uart, fds_n) && memchr(start.cmdline, 0, sizeof(start.cmdline));
	for (uint32_t i = 0; i < start.n_devices && is_valid; i++) {
		const struct vmm_device *d = &start.devices[i];
		is_valid = d->kind > VMM_DEVICE_NONE && d->kind < VMM_DEVICE_KIND_COUNT && memchr(d->name, 0, sizeof(d->name));
		for (unsigned k = 0; k < VMM_DEVICE_FDS && is_valid; k++)
			is_valid = is_fd(d->fds[k], fds_n);
		if (d->layers_n && is_valid)
			is_valid = d->fds[0] >= 0 && d->layers_n <= fds_n - (unsigned)d->fds[0];
		bool is_parked = d->flags & VMM_DEVICE_PARKED;
		if (is_parked && is_valid)
			is_valid = d->kind == VMM_DEVICE_NET && d->fds[0] < 0;
		else if ((d->kind == VMM_DEVICE_BLK || d->kind == VMM_DEVICE_PMEM || d->kind == VMM_DEVICE_NET || d->kind == VMM_DEVICE_FS) && is_valid)
			is_valid = d->fds[0] >= 0;
	}
	if (!is_valid)
		return err_set(err, ERR_INVALID, 0, "the start message is malformed");
	if (start.memory_bytes < VMM_MEMORY_MIN || start.memory_bytes > VMM_MEMORY_MAX || start.memory_bytes % 4096)
		return err_set(err, ERR_INVALID, 0, "a machine cannot have %llu bytes of memory", (unsigned long long)start.memory_bytes);
	return 0;
}

static int fd_of(int32_t index)
{
	return index < 0 ? -1 : fds[index];
}

/* Before the jail is shut: nothing of the guest's is looked at. */
static int build_empty(struct err *err)
{
	int r = machine_create(&machine, fds[start.kvm], err);
	arch_ask_ahead(fds[start.kvm]);
	return r >= 0 ? machine_add_memory(&machine, start.memory_bytes, start.flags & VMM_START_SHARED, err) : r;
}

/* In the order that machine.h explains. */
static int build(struct err *err)
{
	struct machine *m = &machine;
	int r = devices_map(m, &start, fds, err);
	const struct boot_info info = { start.cmdline, start.vcpus, start.n_devices, !(start.flags & VMM_START_NO_ACPI),
					start.flags & VMM_START_UART };
	if (r >= 0)
		r = arch_load(m, fds[start.kernel], fd_of(start.initramfs), &info, err);
	if (r >= 0)
		r = machine_add_vcpus(m, start.vcpus, err);
	for (unsigned i = 0; i < start.vcpus && r >= 0; i++)
		r = arch_set_vcpu(m, &m->vcpus[i], err);
	if (r >= 0 && start.flags & VMM_START_UART && start.uart >= 0)
		r = machine_add_uart(m, fds[start.uart], err);
	return r < 0 ? r : devices_add(m, &start, fds, err);
}

/* ---- the parent */

static void tell(enum vmm_event_type type, enum vmm_end end, const struct err *err)
{
	struct vmm_event event = { .type = type, .end = end, .dropped_writes = atomic_load(&machine.dropped_writes) };
	for (unsigned i = 0; i < machine.windows_n; i++)
		event.device_failures += machine.windows[i].dev->failures;
	event.balloon_bytes = devices_balloon_bytes(&machine);
	if (err)
		event.err = *err;
	/* A parent that does not listen is as good as gone, which its end will tell. */
	(void)!send(parent.fd, &event, sizeof(event), MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void plug(const struct vmm_command *command, int *tap)
{
	struct err err = ERR_INIT;
	int r = *tap < 0 ? err_set(&err, ERR_INVALID, 0, "a network without a tap") :
			   devices_plug(&machine, *tap, command->mac, command->mtu, &err);
	if (r == 0)
		*tap = -1;
	tell(VMM_EVENT_PLUGGED, 0, r < 0 ? &err : NULL);
}

static void commanded(void *ctx, uint32_t events)
{
	struct vmm_command command;
	CLEANUP_FD int fd = -1;
	size_t fds_n = 0;
	ssize_t n = fd_recv(parent.fd, &command, sizeof(command), &fd, 1, &fds_n);
	if (n == -EAGAIN || n == -EINTR)
		return;
	if (n != (ssize_t)sizeof(command) || command.type == VMM_STOP)
		machine_end(&machine, VMM_END_STOPPED, NULL);
	else if (command.type == VMM_MEMORY)
		devices_set_memory(&machine, command.value);
	else if (command.type == VMM_STATS)
		tell(VMM_EVENT_STATS, 0, NULL);
	else if (command.type == VMM_PLUG)
		plug(&command, &fd);
	else if (command.type == VMM_UNPLUG) {
		devices_unplug(&machine, command.mac);
		tell(VMM_EVENT_PLUGGED, 0, NULL);
	}
}

int monitor_run(int sock)
{
	struct err err = ERR_INIT;
	size_t received = 0;
	parent = (struct loop_source){ .fd = sock, .ready = commanded };
	int r = vmm_start_receive(sock, &start, fds, &received);
	unsigned fds_n = (unsigned)received;
	if (r < 0)
		r = err_set(&err, ERR_INVALID, r, "read the start message");
	else
		r = check_start(fds_n, &err);
	if (r >= 0)
		r = jail_begin(&err);
	if (r >= 0)
		r = build_empty(&err);
	if (r >= 0)
		r = jail_enter(start.uid, start.gid, &err);
	if (r >= 0)
		r = build(&err);
	/* What only building needed. */
	for (unsigned i = 0; i < fds_n; i++) {
		if ((int)i == start.kvm || (int)i == start.kernel || (int)i == start.initramfs)
			close(fds[i]);
	}
	if (r >= 0)
		r = fd_set_nonblock(sock, true);
	if (r >= 0)
		r = loop_watch(&machine.loop, &parent, EPOLLIN);
	if (r >= 0)
		r = vcpus_start(&machine, &err);
	if (r >= 0)
		r = jail_confine_all(&err);
	if (r >= 0)
		r = vcpus_confine(&machine, jail_confine_vcpu, &err);
	if (r < 0) {
		err_context(&err, r, "start the machine");
		tell(VMM_EVENT_END, VMM_END_ERROR, &err);
		return VMM_END_ERROR;
	}
	tell(VMM_EVENT_STARTED, 0, NULL);
	vcpus_run(&machine);
	r = loop_run(&machine.loop);
	int end = atomic_load(&machine.end);
	if (r < 0 && end < 0) {
		err_set(&machine.end_err, ERR_SYSTEM, r, "wait for the machine");
		end = VMM_END_ERROR;
	}
	uart_flush(&machine.uart);
	tell(VMM_EVENT_END, (enum vmm_end)end, err_is_set(&machine.end_err) ? &machine.end_err : NULL);
	return end;
}
