/* SPDX-License-Identifier: Apache-2.0 */
/* What hull-vmm, the monitor of one virtual machine, is given and what it says.
 *
 *   hull-vmm             one machine, then exit
 *     fd 3  a SOCK_SEQPACKET socket: one struct vmm_start with descriptors
 *           attached, then commands; hull-vmm answers with events. Its end is
 *           the end of the machine.
 *   hull-vmm --probe     say whether this host's KVM runs unmodified kernels (kvm_probe.h)
 *
 * Fixed binary structs, so that the jailed process parses no text, opens no path
 * and can tell a wrong message by its size. Both sides are of one build: there is
 * no other version. The starter is trusted (it decides what the machine gets); the
 * guest never reaches this socket. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "err.h"

#define VMM_PROGRAM "hull-vmm"
#define VMM_FD 3
#define VMM_MAGIC UINT32_C(0x4d4d5648) /* "HVMM" */
#define VMM_VCPUS_MAX 32
/* As many as there are interrupt lines for them. */
#define VMM_DEVICES_MAX 19
#define VMM_DEVICE_FDS 4
/* What one message can carry. */
#define VMM_FDS_MAX 253
#define VMM_CMDLINE_MAX 2048
#define VMM_MEMORY_MIN (UINT64_C(16) << 20)
#define VMM_MEMORY_MAX (UINT64_C(1) << 40)

enum vmm_device_kind {
	VMM_DEVICE_NONE,
	VMM_DEVICE_RNG,
	VMM_DEVICE_CONSOLE, /* fds: input (-1: none), output */
	VMM_DEVICE_VSOCK,   /* fds: a listening socket to reach the guest by (-1: none); who hears of the guest's connections to port */
	VMM_DEVICE_BLK,     /* fds: the file; or the first of layers_n layers, as partitions */
	VMM_DEVICE_PMEM,    /* the same, mapped read-only */
	VMM_DEVICE_NET,     /* fds: the tap, with IFF_VNET_HDR */
	VMM_DEVICE_FS,      /* fds: a connection to the file server */
	VMM_DEVICE_BALLOON,
	VMM_DEVICE_KIND_COUNT
};

#define VMM_DEVICE_READONLY 1u
/* A net device without a tap, for VMM_PLUG: the guest sees a window with nothing in it. */
#define VMM_DEVICE_PARKED 2u

struct vmm_rate {
	uint64_t bytes_per_second, ops_per_second; /* 0: no limit */
};

struct vmm_device {
	uint32_t kind, flags;
	int32_t fds[VMM_DEVICE_FDS]; /* which of the descriptors attached; -1: none */
	uint32_t layers_n;           /* 0: one file */
	uint32_t port;
	uint64_t cid;
	struct vmm_rate read, write; /* for net: received by the guest, sent by it */
	uint8_t mac[6];
	uint16_t mtu;
	uint32_t offloads; /* of the tap: TUN_F_x */
	char name[40]; /* the tag of a shared folder, the serial of a disk */
};

#define VMM_START_UART 1u   /* a serial port at 0x3f8 that prints: for a kernel's early messages */
#define VMM_START_SHARED 2u /* memory others can be given (vhost-user) */
/* For a kernel without ACPI: processors in an MP table, devices on the command line. */
#define VMM_START_NO_ACPI 4u

struct vmm_start {
	uint32_t magic, bytes; /* sizeof(struct vmm_start) */
	uint64_t memory_bytes;
	uint32_t vcpus, flags;
	/* Which of the descriptors attached; -1: none. */
	int32_t kvm, kernel, initramfs, uart;
	/* Who to be outside: an unprivileged user and group (0: do not change). */
	uint32_t uid, gid;
	uint32_t n_devices;
	char cmdline[VMM_CMDLINE_MAX];
	struct vmm_device devices[VMM_DEVICES_MAX];
};

enum vmm_command_type {
	VMM_STOP = 1, /* end the machine as if its power was cut */
	VMM_MEMORY,   /* value: bytes the guest is to have; it is asked to give the rest back, by its balloon */
	VMM_STATS,    /* answered by VMM_EVENT_STATS */
	VMM_PLUG,     /* a tap, attached: show it, with mac and mtu, in a parked window; answered by VMM_EVENT_PLUGGED */
	VMM_UNPLUG,   /* the net device that was made or plugged with mac: close its tap and park it; likewise */
};
struct vmm_command {
	uint32_t type;
	uint16_t mtu;
	uint8_t mac[6];
	uint64_t value;
};

enum vmm_event_type {
	VMM_EVENT_STARTED = 1, /* the next thing to run is the guest */
	VMM_EVENT_END,
	VMM_EVENT_STATS,
	VMM_EVENT_PLUGGED, /* err says why not; nothing to unplug is no error */
};

/* How a machine ends; also the exit status of hull-vmm. A signal, or another
 * status, is a defect of hull-vmm's or somebody's kill. */
enum vmm_end {
	VMM_END_POWEROFF = 0,
	VMM_END_RESET = 40,    /* the guest asked for a reset: ACPI, or the keyboard controller's line */
	VMM_END_TRIPLE_FAULT,  /* the other way kernels reset themselves, or a crash without a handler */
	VMM_END_PANIC,         /* the guest's kernel said that it panicked */
	VMM_END_FAULT,         /* the host's KVM cannot go on; err says where */
	VMM_END_ERROR,         /* it could not be started; err */
	VMM_END_STOPPED,       /* VMM_STOP, or the socket ended */
};

struct vmm_event {
	uint32_t type;
	uint32_t end; /* VMM_EVENT_END: enum vmm_end */
	uint64_t dropped_writes; /* to memory that the guest may only read */
	uint64_t device_failures; /* guests' lies */
	uint64_t balloon_bytes;
	struct err err;
};

/* @fd: attached; -1: none. It stays the caller's. */
int vmm_command_send(int sock, const struct vmm_command *command, int fd) MUST_CHECK;
/* With @n descriptors attached, at most VMM_FDS_MAX; they stay the caller's. */
int vmm_start_send(int sock, const struct vmm_start *start, const int *fds, size_t n) MUST_CHECK;
/* Descriptors in @fds are the caller's, also on failure. -EBADMSG: not such a message. */
int vmm_start_receive(int sock, struct vmm_start *ret, int fds[VMM_FDS_MAX], size_t *ret_n) MUST_CHECK;
