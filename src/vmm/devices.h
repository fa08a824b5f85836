/* SPDX-License-Identifier: Apache-2.0 */
/* From the start message's device list to virtio devices in windows. */
#pragma once

#include "machine.h"

/* Before the interrupt controller: the memory that devices bring along. */
int devices_map(struct machine *m, const struct vmm_start *start, const int *fds, struct err *err) MUST_CHECK;
/* After the vCPUs. The descriptors belong to the devices from here on. */
int devices_add(struct machine *m, const struct vmm_start *start, const int *fds, struct err *err) MUST_CHECK;
/* Of the balloon, if there is one: what the guest has given back; and what it is to
 * keep, for which it is asked to give back the rest. */
uint64_t devices_balloon_bytes(const struct machine *m);
void devices_set_memory(struct machine *m, uint64_t bytes);
/* @tap is the device's from here on, unless there is no parked net device: ERR_CONFLICT. */
int devices_plug(struct machine *m, int tap, const uint8_t mac[6], uint16_t mtu, struct err *err) MUST_CHECK;
/* The net device with @mac, if there is one. */
void devices_unplug(struct machine *m, const uint8_t mac[6]);
