/* SPDX-License-Identifier: Apache-2.0 */
/* Booting a virtual machine: the host's side, in the supervisor-to-be. */
#pragma once

#include "guest.h"

/* Layers are partitions of one disk: one device, and one interrupt, for all of them. */
#define VM_LAYER_FORMAT "/dev/vda%zu"

int vm_boot(const struct runtime_spec *spec, const struct cgroup *cgroup, int files, struct guest_machine *ret, struct err *err) MUST_CHECK;
