/* SPDX-License-Identifier: Apache-2.0 */
#include "isolation_microvm.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "container.h"
#include "kvm_probe.h"
#include "net_tap.h"
#include "vm_boot.h"

static void layer_device(const struct runtime_spec *spec, size_t i, char *ret, size_t size)
{
	snprintf(ret, size, "%s%zu", spec->guest.has_dax ? VM_LAYERS_MAPPED : VM_LAYERS_DISK, i + 1);
}

static const struct guest_level level = { .level = ISOLATION_MICROVM, .layer_device = layer_device, .boot = vm_boot,
					    .takes_files = true };

static int probe(struct err *err)
{
	int r = isolation_container.probe(err);
	return r < 0 ? r : kvm_probe(err);
}

static int start(const struct runtime_spec *spec, const struct isolation_io *io, struct isolation_handle *ret_handle,
		 struct isolation_fds *ret, struct err *err)
{
	return guest_start(&level, spec, io, ret_handle, ret, err);
}

/* The vCPUs are threads like any others: the control group stops them. */
static int pids(const struct isolation_handle *handle, pid_t **ret, size_t *ret_n, struct err *err)
{
	return isolation_container.pids(handle, ret, ret_n, err);
}

static int update(const struct isolation_handle *handle, const struct spec_resources *res, struct err *err)
{
	return guest_update(handle, res, true, err);
}

static int connect_network(const struct isolation_handle *handle, const struct spec_interface *i, bool has_names, struct err *err)
{
	CLEANUP_FD int tap = -1;
	int r = net_tap_open(i, &tap, err);
	return r < 0 ? r : guest_network_connect(handle, i, has_names, tap, err);
}

const struct isolation isolation_microvm = {
	.level = ISOLATION_MICROVM,
	.probe = probe,
	.start = start,
	.exec = guest_exec,
	.signal = guest_signal,
	.pause = guest_pause,
	.resume = guest_resume,
	.update = update,
	.stats = guest_stats,
	.watch_memory = guest_watch_memory,
	.pids = pids,
	.processes = guest_processes,
	.copy_files = guest_copy_files,
	.connect = connect_network,
	.disconnect = guest_network_disconnect,
	.set_routes = guest_network_routes,
	.destroy = guest_destroy,
};
