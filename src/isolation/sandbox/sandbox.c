/* SPDX-License-Identifier: Apache-2.0 */
#include "isolation_sandbox.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent_proto.h"
#include "container.h"
#include "uml.h"

static void layer_device(const struct runtime_spec *spec, size_t i, char *ret, size_t size)
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

static int describe(struct isolation_note *ret, struct err *err)
{
	struct uml_cost cost;
	int r = uml_cost_measure(&cost);
	if (r < 0) {
		r = err_set(err, ERR_UNSUPPORTED, r, "trace a process");
		err_why(err, "no process may be traced here (%s), and the sandbox's kernel runs its programs traced", strerror(-r));
		err_hint(err, "sysctl kernel.yama.ptrace_scope   # 3 forbids it; a seccomp filter around hull may, too");
		return r;
	}
	snprintf(ret->gives, sizeof(ret->gives), "no program in it makes a system call of this machine's; needs no KVM");
	snprintf(ret->costs, sizeof(ret->costs),
		 "each system call about %.1f us more (a plain one here: %.2f us), page faults a few times that; one processor",
		 (double)cost.stop_ns / 1000, (double)cost.call_ns / 1000);
	return 0;
}

static int start(const struct runtime_spec *spec, const struct isolation_io *io, struct isolation_handle *ret_handle,
		 struct isolation_fds *ret, struct err *err)
{
	return guest_start(&level, spec, io, ret_handle, ret, err);
}

static int pids(const struct isolation_handle *handle, pid_t **ret, size_t *ret_n, struct err *err)
{
	return isolation_container.pids(handle, ret, ret_n, err);
}

/* Its memory cannot be given back. */
static int update(const struct isolation_handle *handle, const struct spec_resources *res, struct err *err)
{
	return guest_update(handle, res, false, err);
}

const struct isolation isolation_sandbox = {
	.level = ISOLATION_SANDBOX,
	.probe = probe,
	.describe = describe,
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
	.destroy = guest_destroy,
};
