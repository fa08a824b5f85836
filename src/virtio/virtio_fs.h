/* SPDX-License-Identifier: Apache-2.0 */
/* The file system device (virtio 1.2, section 5.11): carries FUSE requests between the
 * guest and a server in another process, over a stream socket on which each message is
 * framed by its own length, as in /dev/fuse.
 *
 * Nothing of a request is understood here but its header: its length must be that of
 * the chain, and its number is replaced by one of ours, so that a guest cannot make
 * replies go astray. Replies come in any order; their data goes straight into the
 * guest's buffers. FORGETs are answered at once, INTERRUPTs are dropped (the server would
 * not know the number; Linux sends none here).
 *
 * A server that does not read holds up this device only. When its end of the socket is
 * closed, everything in flight and everything to come fails with EIO. After a reset of
 * the device the same server goes on with the guest's next kernel (a new FUSE_INIT). */
#pragma once

#include "virtio_device.h"

/* The longest request and reply: a megabyte of data and its headers. */
#define VIRTIO_FS_MESSAGE_MAX ((1u << 20) + 4096)

struct virtio_fs_setup {
	/* What the guest mounts by. */
	char tag[36];
	int fd; /* a connected stream socket; taken over, also when it fails */
};

int virtio_fs_new(const struct virtio_fs_setup *setup, const struct guest_memory *mem, struct loop *loop,
		  struct virtio_device **ret) MUST_CHECK;
/* The server is there. */
bool virtio_fs_is_served(const struct virtio_device *dev);
