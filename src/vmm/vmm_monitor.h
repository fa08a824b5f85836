/* SPDX-License-Identifier: Apache-2.0 */
/* hull-vmm's life: read the start message, build the machine, give everything up
 * that the guest must not reach, run it, say how it ended. */
#pragma once

/* @sock: see vmm_proto.h. Returns the exit status (enum vmm_end). */
int monitor_run(int sock);
