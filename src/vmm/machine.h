/* SPDX-License-Identifier: Apache-2.0 */
/* One virtual machine: what the files of this folder share.
 *
 * Threads: the control thread (the one that called machine_create) runs the loop
 * and every device; each vCPU has a thread that does nothing but KVM_RUN and the
 * exits. A vCPU thread is hostile from its guest's first instruction: it may read
 * this struct, and writes only its own struct vcpu and the atomic fields. (All
 * threads share an address space, so this is discipline and not a wall; the walls
 * are the system call filters and the jail, see vmm_jail.h.)
 *
 * Order matters (measured; Linux 6.18 frees old buses by SRCU, earlier kernels wait
 * at each registration): all memory slots first, then the interrupt controller,
 * then vCPUs, then eventfds. Anything else costs 4 to 8 ms a machine. */
#pragma once

#include <linux/kvm.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "event_loop.h"
#include "guest_memory.h"
#include "uart.h"
#include "virtio_mmio.h"
#include "vmm_proto.h"

struct machine;

/* What a vCPU asks the control thread to do. */
enum handover { HANDOVER_NONE, HANDOVER_ASKED, HANDOVER_DONE };

enum vcpus_stage { VCPUS_MADE, VCPUS_CONFINED, VCPUS_RUNNING };

struct vcpu {
	struct machine *machine;
	unsigned index;
	int fd;
	struct kvm_run *run;
	pthread_t thread;
	/* A register access that only the control thread may do (virtio_mmio.h). */
	atomic_uint handover;
	struct virtio_mmio *window;
	uint64_t offset;
	uint8_t data[8];
	uint32_t len;
	bool is_write;
};

struct window {
	struct virtio_device *dev;
	struct virtio_mmio mmio;
	int irq_fd;
};

struct machine {
	int kvm_fd, vm_fd;
	unsigned vcpus_n, windows_n, slots_n;
	uint64_t low_bytes, high_bytes; /* memory below and from 4 GiB */
	uint64_t next_gpa;              /* for what is mapped behind the memory, 2 MiB aligned */
	uint64_t entry;                 /* of the kernel */
	bool is_pvh;                    /* which of the boot protocols: arch's own */
	size_t run_bytes;
	struct guest_memory mem;
	struct loop loop;
	/* vCPUs wake the control thread: handovers, bytes of the UART, the end. */
	struct loop_source wake;
	struct uart uart;
	struct virtio_device *balloon; /* one of the windows' */
	struct vcpu vcpus[VMM_VCPUS_MAX];
	struct window windows[VMM_DEVICES_MAX];
	/* The first end wins; -1 while it runs. */
	atomic_int end;
	struct err end_err;
	atomic_uint stage; /* enum vcpus_stage: vCPU threads wait for it */
	atomic_uint ready; /* of each vCPU thread: it waits; it is confined */
	atomic_int confine_result;
	int (*confine)(void);
	_Atomic uint64_t dropped_writes;
};

/* ---- machine.c ---- */

/* A machine without memory or vCPUs. @kvm_fd stays the caller's. */
int machine_create(struct machine *m, int kvm_fd, struct err *err) MUST_CHECK;
/* Guest memory: anonymous, or with @is_shared a memfd. */
int machine_add_memory(struct machine *m, uint64_t bytes, bool is_shared, struct err *err) MUST_CHECK;
/* What is mapped at @host, read-only, a multiple of 2 MiB, behind the memory: the
 * guest's writes trap and are dropped. */
int machine_add_window(struct machine *m, void *host, uint64_t bytes, uint64_t *ret_gpa, struct err *err) MUST_CHECK;
/* After all memory: the interrupt controller, then @n vCPUs. */
int machine_add_vcpus(struct machine *m, unsigned n, struct err *err) MUST_CHECK;
/* A window (@ret may be NULL) for @dev, which is the machine's from here on (also on failure), with its
 * interrupt and kicks. After the vCPUs. */
int machine_add_device(struct machine *m, struct virtio_device *dev, struct window **ret, struct err *err) MUST_CHECK;
/* The serial port, printing to @out_fd. */
int machine_add_uart(struct machine *m, int out_fd, struct err *err) MUST_CHECK;
/* From any thread: the machine has come to its end; @err may be NULL. */
void machine_end(struct machine *m, enum vmm_end end, const struct err *err);
void machine_wake(struct machine *m);

/* ---- vcpu.c ---- */

/* Make the threads; they wait. */
int vcpus_start(struct machine *m, struct err *err) MUST_CHECK;
/* Have each call @confine, which returns 0 or a negative errno. */
int vcpus_confine(struct machine *m, int (*confine)(void), struct err *err) MUST_CHECK;
void vcpus_run(struct machine *m);
/* On the control thread: do what vCPUs have asked for. */
void vcpus_serve(struct machine *m);

/* ---- one folder an architecture ---- */

/* The interrupt controller; before any vCPU. */
/* What takes the kernel long to answer, and is the same for each machine: asked now, and
 * used by arch_set_vcpu(). */
void arch_ask_ahead(int kvm_fd);
int arch_add_irqchip(struct machine *m, struct err *err) MUST_CHECK;
/* Registers and features of a vCPU; the kernel is loaded already. */
int arch_set_vcpu(struct machine *m, struct vcpu *vcpu, struct err *err) MUST_CHECK;
/* How @bytes of memory are laid out: fills low_bytes and high_bytes. */
void arch_lay_out(struct machine *m, uint64_t bytes);
uint64_t arch_window_gpa(unsigned index);
unsigned arch_window_irq(unsigned index);
unsigned arch_uart_irq(void);
/* What the kernel is told. */
struct boot_info {
	const char *cmdline;
	unsigned vcpus, windows;
	bool has_acpi, has_uart;
};
/* Load kernel and initramfs (-1: none), and what they are told. The files are the
 * user's: nothing in them is trusted. */
int arch_load(struct machine *m, int kernel_fd, int initramfs_fd, const struct boot_info *info, struct err *err) MUST_CHECK;
/* A vCPU's exit that is not about a window. False: not known, the machine cannot go on. */
bool arch_exit(struct vcpu *vcpu);
