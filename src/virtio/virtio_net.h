/* SPDX-License-Identifier: Apache-2.0 */
/* The network device (virtio 1.2, section 5.1): one pair of queues between the guest
 * and a tap, frames with their offload headers passed through.
 *
 * Whoever opens the tap sets it up: IFF_TAP | IFF_NO_PI | IFF_VNET_HDR, nonblocking,
 * TUNSETVNETHDRSZ 12, TUNSETOFFLOAD with what `offloads` says. When the driver has
 * chosen less, the device turns the rest off with TUNSETOFFLOAD (the only ioctl here),
 * and turns it on again when the driver resets.
 *
 * A frame that the guest may not send (offloads that were not negotiated, too short,
 * too long) or that the tap does not take is dropped and counted. */
#pragma once

#include "rate_limiter.h"
#include "virtio_device.h"

struct virtio_net_setup {
	int tap_fd; /* borrowed; -1: none yet, the device is to be parked (virtio_mmio.h) */
	uint8_t mac[6];
	uint16_t mtu;      /* 0: the driver's default */
	unsigned offloads; /* TUN_F_CSUM, _TSO4, _TSO6, _TSO_ECN */
	struct rate_limits to_guest;
	struct rate_limits from_guest;
};

struct virtio_net_counters {
	uint64_t rx_frames, rx_bytes; /* to the guest */
	uint64_t tx_frames, tx_bytes; /* from it */
	uint64_t tx_dropped;
};

int virtio_net_new(const struct virtio_net_setup *setup, const struct guest_memory *mem, struct loop *loop,
		   struct virtio_device **ret) MUST_CHECK;
/* For a parked device. Another tap, and who it is for; nothing else changes. */
void virtio_net_plug(struct virtio_device *dev, int tap_fd, const uint8_t mac[6], uint16_t mtu);
/* Without a tap again; returns the one it had, the caller's, or -1. */
int virtio_net_unplug(struct virtio_device *dev);
bool virtio_net_is_plugged(const struct virtio_device *dev);
/* As it was made or plugged, whatever the guest calls itself by now. */
const uint8_t *virtio_net_mac(const struct virtio_device *dev);
/* Plug the cable in or out; it is in at first. */
void virtio_net_set_link(struct virtio_device *dev, bool is_up);
const struct virtio_net_counters *virtio_net_counters(const struct virtio_device *dev);
