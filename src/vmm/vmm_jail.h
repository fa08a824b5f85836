/* SPDX-License-Identifier: Apache-2.0 */
/* What stands between a guest that has taken over hull-vmm and the host.
 *
 * Threat model. The guest is hostile from its first instruction: its kernel, what
 * it writes into queues and registers, when it does so. The host's kernel (KVM
 * included), the processor, and the process that starts hull-vmm are trusted, and so
 * are the files and sockets handed over to the extent that they are this guest's.
 * The first wall is KVM and the checked access to guest memory. This is the second,
 * for a guest that has found a defect in a device and runs code in hull-vmm:
 *
 *   no files      an empty root of its own mount namespace; Landlock without a rule
 *   no network    an empty network namespace
 *   no processes  a pid namespace of its own (whoever starts it makes it PID 1),
 *                 not dumpable; a uid and gid of its own outside
 *   no rights     a user namespace in which it is nobody, no capability, and
 *                 no_new_privs
 *   few calls     a filter for each kind of thread (vmm_filter.h): a vCPU's thread
 *                 runs its guest, writes to eventfds and waits, and nothing else
 *   no growth     no new memory, no new threads; limits on descriptors and core files
 *
 * What it keeps: the descriptors of this one guest, which is what the guest has
 * anyway. Denial of service to itself is the guest's right; to others it is bounded
 * by the cgroup that the starter puts it into. Leaks through the processor's caches
 * and predictors are the kernel's to close; memory is shared between guests only in
 * files that both may read. */
#pragma once

#include <stdint.h>

#include "err.h"

/* Two steps. Between them, with all privileges still, only what nobody but the kernel
 * and the starter has a say in may happen: the machine is made, with empty memory. The
 * kernel takes half a millisecond for a network namespace: a second process, which shares
 * our memory, makes it meanwhile. It has ended when jail_enter() begins to give
 * privileges up. */
int jail_begin(struct err *err) MUST_CHECK;
/* Before the first byte of any file is read: namespaces, root, user, capabilities.
 * @uid and @gid, when not 0, are who to be outside. */
int jail_enter(uint32_t uid, uint32_t gid, struct err *err) MUST_CHECK;
/* On the control thread, when all threads there will be have been made: filter the
 * system calls of all of them. */
int jail_confine_all(struct err *err) MUST_CHECK;
/* Then on each vCPU's thread: leave it the few that it needs. 0 or a negative errno. */
int jail_confine_vcpu(void) MUST_CHECK;
