/* SPDX-License-Identifier: Apache-2.0 */
/* Taps: what a virtual machine's interface is on the host's side. A tap lives as long
 * as its descriptor; whoever has that one sends and receives its frames and can do
 * nothing else to the host's network. */
#pragma once

#include "runtime_spec.h"

/* The offloads that taps are opened with (TUN_F_x). */
extern const unsigned net_tap_offloads;

/* A tap of the interface's host name in the caller's network namespace, a port of its
 * bridge, up, without an address. Frames have headers of 12 bytes (virtio_net_hdr_v1).
 * *ret_fd (nonblocking) is the caller's. ERR_UNSUPPORTED: the interface is not of a bridge. */
int net_tap_open(const struct spec_interface *i, int *ret_fd, struct err *err) MUST_CHECK;
