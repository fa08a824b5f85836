/* SPDX-License-Identifier: Apache-2.0 */
/* Which devices a workload may open or make: OCI's list of rules, where the
 * last rule that matches decides and none means "no".
 *
 * v2 (and hybrid without the v1 controller) takes a BPF program, generated
 * here; v1 takes the list itself, which can express less: what it cannot is an
 * error, never a wider permission. */
#pragma once

#include <linux/bpf.h>
#include <stdint.h>

#include "cgroup.h"

struct cgroup_device_rule {
	bool allow;
	char type;            /* 'a', 'b', 'c' */
	int64_t major, minor; /* -1: any */
	char access[4];       /* subset of "rwm" */
};

/* True when the list allows everything, so that no filter is needed. */
bool cgroup_devices_is_open(const struct cgroup_device_rule *rules, size_t n);

/* Set the filter of the group. The controller's hierarchy is added (v1). */
int cgroup_devices_apply(struct cgroup *cg, const struct cgroup_device_rule *rules, size_t n,
			 struct err *err) MUST_CHECK;

/* The program (caller frees); -E2BIG past 1024 rules. Exported for tests. */
int cgroup_devices_compile(const struct cgroup_device_rule *rules, size_t n, struct bpf_insn **ret,
			   size_t *ret_n) MUST_CHECK;
/* The rules' own meaning; the reference the program is tested against.
 * @access: BPF_DEVCG_ACC_x bits, all of which must be allowed. */
bool cgroup_devices_is_allowed(const struct cgroup_device_rule *rules, size_t n, char type, uint32_t major,
			       uint32_t minor, unsigned access);
