/* SPDX-License-Identifier: Apache-2.0 */
/* What a vsock device says to the host's processes: how they get connections of the
 * guest's, and what they say to make one. */
#pragma once

#include "virtio_vsock.h"

/* Make a stream and send one end of it, with @accept, out of @listener. Returns the
 * other end, or -1: nobody is there, or too many wait. Does not block. */
int vsock_hand_over(int listener, const struct vsock_accept *accept);

/* Read "CONNECT 1234\n" from a stream, and nothing behind it. 1: *ret_port is set; 0: not
 * all of it is there yet; -EPROTO: it is something else, or the end. */
int vsock_read_connect(int fd, uint32_t *ret_port) MUST_CHECK;
