/* SPDX-License-Identifier: Apache-2.0 */
#include "isolation_sandbox.h"

#include <stdio.h>
#include <unistd.h>

#include "agent_proto.h"
#include "container.h"
#include "uml.h"

static void layer_device(size_t i, char *ret, size_t size)
{
	if (i < UML_DISKS_MAX)
		snprintf(ret, size, "/dev/ubd%c", (char)('a' + i));
	else
		snprintf(ret, size, AGENT_HOST_DIR "/" UML_LAYER_FORMAT, i);
}

static const struct guest_level level = { .level = ISOLATION_SANDBOX, .layer_device = layer_device, .boot = uml_boot };

/* Which kernel there is, the engine knows. */
static int probe(struct err *err)
{
	int r = isolation_container.probe(err);
	if (r == 0 && access("/proc/self/ns/user", F_OK) < 0) {
		r = err_set(err, ERR_UNSUPPORTED, 0, "there are no user namespaces");
		err_why(err, "the kernel was built without CONFIG_USER_NS, and the sandbox's kernel is jailed in one");
	}
	return r;
}

static int start(const struct runtime_spec *spec, const struct isolation_io *io, struct isolation_handle *ret_handle,
		 struct isolation_fds *ret, struct err *err)
{
	return guest_start(&level, spec, io, ret_handle, ret, err);
}

static int pause_machine(const struct isolation_handle *handle, struct err *err)
{
	return isolation_container.pause(handle, err);
}

static int resume_machine(const struct isolation_handle *handle, struct err *err)
{
	return isolation_container.resume(handle, err);
}

static int pids(const struct isolation_handle *handle, pid_t **ret, size_t *ret_n, struct err *err)
{
	return isolation_container.pids(handle, ret, ret_n, err);
}

const struct isolation isolation_sandbox = {
	.level = ISOLATION_SANDBOX,
	.probe = probe,
	.start = start,
	.exec = guest_exec,
	.signal = guest_signal,
	.pause = pause_machine,
	.resume = resume_machine,
	.update = guest_update,
	.stats = guest_stats,
	.watch_memory = guest_watch_memory,
	.pids = pids,
	.processes = guest_processes,
	.copy_files = guest_copy_files,
	.destroy = guest_destroy,
};
