/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "machine.h"

/* A thread that only runs a guest needs little. */
#define STACK_BYTES (64u << 10)

static void futex_wait(atomic_uint *word, unsigned value)
{
	syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

static void futex_wake(atomic_uint *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

/* Have the control thread do the register access that this vCPU describes. */
static void hand_over(struct vcpu *vcpu)
{
	atomic_store(&vcpu->handover, HANDOVER_ASKED);
	machine_wake(vcpu->machine);
	while (atomic_load(&vcpu->handover) == HANDOVER_ASKED)
		futex_wait(&vcpu->handover, HANDOVER_ASKED);
	atomic_store(&vcpu->handover, HANDOVER_NONE);
}

void vcpus_serve(struct machine *m)
{
	for (unsigned i = 0; i < m->vcpus_n; i++) {
		struct vcpu *vcpu = &m->vcpus[i];
		if (atomic_load(&vcpu->handover) != HANDOVER_ASKED)
			continue;
		if (vcpu->is_write)
			virtio_mmio_write(vcpu->window, vcpu->offset, vcpu->data, vcpu->len);
		else
			virtio_mmio_read(vcpu->window, vcpu->offset, vcpu->data, vcpu->len);
		atomic_store(&vcpu->handover, HANDOVER_DONE);
		futex_wake(&vcpu->handover);
	}
}

/* An access to physical memory that is none: a window, what may only be read, or
 * nothing at all, which is as on a bus where nobody answers. */
static void memory_exit(struct vcpu *vcpu)
{
	struct machine *m = vcpu->machine;
	struct kvm_run *run = vcpu->run;
	uint64_t gpa = run->mmio.phys_addr, base = arch_window_gpa(0);
	uint32_t len = run->mmio.len <= sizeof(run->mmio.data) ? run->mmio.len : sizeof(run->mmio.data);
	uint64_t index = (gpa - base) / VIRTIO_MMIO_BYTES, offset = (gpa - base) % VIRTIO_MMIO_BYTES;
	if (gpa < base || index >= m->windows_n) {
		if (!run->mmio.is_write)
			memset(run->mmio.data, 0xff, sizeof(run->mmio.data));
		else if (guest_memory_at(&m->mem, gpa, 1, GUEST_READ))
			atomic_fetch_add_explicit(&m->dropped_writes, 1, memory_order_relaxed);
		return;
	}
	struct virtio_mmio *window = &m->windows[index].mmio;
	if (run->mmio.is_write ? virtio_mmio_try_write(window, offset, run->mmio.data, len) :
				 virtio_mmio_try_read(window, offset, run->mmio.data, len))
		return;
	vcpu->window = window;
	vcpu->offset = offset;
	vcpu->len = len;
	vcpu->is_write = run->mmio.is_write;
	memcpy(vcpu->data, run->mmio.data, sizeof(vcpu->data));
	hand_over(vcpu);
	if (!run->mmio.is_write)
		memcpy(run->mmio.data, vcpu->data, sizeof(vcpu->data));
}

/* What KVM says when it cannot go on, for people. */
static void fault(struct vcpu *vcpu, int errnum)
{
	struct err err = ERR_INIT;
	struct kvm_run *run = vcpu->run;
	if (errnum)
		err_set(&err, ERR_SYSTEM, errnum, "run the guest's processor %u", vcpu->index);
	else if (run->exit_reason == KVM_EXIT_INTERNAL_ERROR && run->internal.suberror == KVM_INTERNAL_ERROR_EMULATION)
		err_set(&err, ERR_UNSUPPORTED, 0, "the host's KVM cannot emulate an instruction of the guest's kernel (processor %u)",
			vcpu->index);
	else if (run->exit_reason == KVM_EXIT_FAIL_ENTRY)
		err_set(&err, ERR_SYSTEM, 0, "the host's processor refuses the guest's state (processor %u, reason 0x%llx)", vcpu->index,
			(unsigned long long)run->fail_entry.hardware_entry_failure_reason);
	else
		err_set(&err, ERR_SYSTEM, 0, "the host's KVM cannot go on (processor %u, exit %u, %u)", vcpu->index, run->exit_reason,
			run->exit_reason == KVM_EXIT_INTERNAL_ERROR ? run->internal.suberror : 0);
	machine_end(vcpu->machine, VMM_END_FAULT, &err);
}

static void handle_exit(struct vcpu *vcpu)
{
	struct machine *m = vcpu->machine;
	switch (vcpu->run->exit_reason) {
	case KVM_EXIT_MMIO:
		memory_exit(vcpu);
		break;
	case KVM_EXIT_SHUTDOWN:
		machine_end(m, VMM_END_TRIPLE_FAULT, NULL);
		break;
	case KVM_EXIT_SYSTEM_EVENT:
		machine_end(m, vcpu->run->system_event.type == KVM_SYSTEM_EVENT_SHUTDOWN ? VMM_END_POWEROFF :
			       vcpu->run->system_event.type == KVM_SYSTEM_EVENT_CRASH    ? VMM_END_PANIC :
											    VMM_END_RESET, NULL);
		break;
	default:
		if (!arch_exit(vcpu))
			fault(vcpu, 0);
	}
}

static void wait_for(struct machine *m, unsigned stage)
{
	for (unsigned now; (now = atomic_load(&m->stage)) < stage;)
		futex_wait(&m->stage, now);
}

static void go_to(struct machine *m, unsigned stage)
{
	atomic_store(&m->stage, stage);
	futex_wake(&m->stage);
}

static void get_ready(struct machine *m)
{
	atomic_fetch_add(&m->ready, 1);
	futex_wake(&m->ready);
}

static void wait_until_ready(struct machine *m, unsigned n)
{
	for (unsigned ready; (ready = atomic_load(&m->ready)) < n;)
		futex_wait(&m->ready, ready);
}

static void *vcpu_main(void *arg)
{
	struct vcpu *vcpu = arg;
	struct machine *m = vcpu->machine;
	/* Past what the C library does at the start of a thread. */
	get_ready(m);
	wait_for(m, VCPUS_CONFINED);
	int r = m->confine();
	if (r < 0)
		atomic_store(&m->confine_result, r);
	get_ready(m);
	wait_for(m, VCPUS_RUNNING);
	while (atomic_load(&m->end) == -1) {
		/* EAGAIN: this processor was started by another one; run->exit_reason is old. */
		if (ioctl(vcpu->fd, KVM_RUN, 0) >= 0)
			handle_exit(vcpu);
		else if (errno != EINTR && errno != EAGAIN)
			fault(vcpu, errno);
	}
	/* The process ends as a whole: a thread's own end would need more calls. */
	for (;;)
		futex_wait(&m->stage, VCPUS_RUNNING);
	return NULL;
}

int vcpus_start(struct machine *m, struct err *err)
{
	pthread_attr_t attr;
	int r = -pthread_attr_init(&attr);
	if (r >= 0)
		r = -pthread_attr_setstacksize(&attr, STACK_BYTES > PTHREAD_STACK_MIN ? STACK_BYTES : PTHREAD_STACK_MIN);
	for (unsigned i = 0; i < m->vcpus_n && r >= 0; i++)
		r = -pthread_create(&m->vcpus[i].thread, &attr, vcpu_main, &m->vcpus[i]);
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "start the threads of the guest's processors");
	wait_until_ready(m, m->vcpus_n);
	return 0;
}

int vcpus_confine(struct machine *m, int (*confine)(void), struct err *err)
{
	m->confine = confine;
	go_to(m, VCPUS_CONFINED);
	wait_until_ready(m, 2 * m->vcpus_n);
	int r = atomic_load(&m->confine_result);
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "filter the system calls of the guest's processors") : 0;
}

void vcpus_run(struct machine *m)
{
	go_to(m, VCPUS_RUNNING);
}
