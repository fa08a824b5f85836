/* SPDX-License-Identifier: Apache-2.0 */
/* Booting a virtual machine: the host's side, in the supervisor-to-be. */
#pragma once

#include "guest.h"

/* Layers are partitions of one disk, or of one window of memory: one device, and one
 * interrupt, for all of them.
 *
 * Which of the two (struct spec_guest, has_dax) was measured with hull's own kernel in the
 * lab, four starts each in turn: the workload ran after 3.3 to 6.5 s of the guest's time
 * by memory, 4.1 to 8.0 by disk, and a file of 64 MB took as long to read by both. But by
 * disk the monitor's private memory went from 48 to 106 MB for it, by memory it stayed at
 * 50: the pages are the host's page cache, whoever reads them. What it costs is the
 * guest's map of the window, 1.6 % of its size. */
#define VM_LAYERS_DISK "/dev/vda"
#define VM_LAYERS_MAPPED "/dev/pmem0p"

int vm_boot(const struct runtime_spec *spec, const struct cgroup *cgroup, int files, struct guest_machine *ret, struct err *err) MUST_CHECK;
