/* SPDX-License-Identifier: Apache-2.0 */
#include "machine.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cleanup.h"

#define HUGE_PAGE (UINT64_C(2) << 20)
#define NOTIFY_REGISTER 0x50

static void woken(void *ctx, uint32_t events)
{
	struct machine *m = ctx;
	uint64_t count;
	if (read(m->wake.fd, &count, sizeof(count)) < 0)
		return;
	vcpus_serve(m);
	uart_flush(&m->uart);
	if (atomic_load(&m->end) >= 0)
		m->loop.is_quitting = true;
}

int machine_create(struct machine *m, int kvm_fd, struct err *err)
{
	m->kvm_fd = kvm_fd;
	m->vm_fd = -1;
	m->wake = (struct loop_source){ .fd = -1, .ready = woken, .ctx = m };
	m->uart = (struct uart){ .irq_fd = -1, .out.fd = -1 };
	atomic_init(&m->end, -1);
	int version = ioctl(kvm_fd, KVM_GET_API_VERSION, 0);
	if (version != KVM_API_VERSION)
		return err_set(err, ERR_UNSUPPORTED, version < 0 ? errno : 0, "use /dev/kvm");
	int r = loop_init(&m->loop);
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "make the event loop");
	m->wake.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (m->wake.fd < 0 || (r = loop_watch(&m->loop, &m->wake, EPOLLIN)) < 0)
		return err_set(err, ERR_SYSTEM, r < 0 ? r : errno, "make the event loop");
	do
		m->vm_fd = ioctl(kvm_fd, KVM_CREATE_VM, 0);
	while (m->vm_fd < 0 && errno == EINTR);
	if (m->vm_fd < 0)
		return err_set(err, ERR_SYSTEM, errno, "create the virtual machine");
	return 0;
}

static int add_slot(struct machine *m, uint64_t gpa, void *host, uint64_t bytes, unsigned slot_flags, unsigned region_flags,
		    struct err *err)
{
	struct kvm_userspace_memory_region region = { .slot = m->slots_n, .flags = slot_flags, .guest_phys_addr = gpa,
						      .memory_size = bytes, .userspace_addr = (uint64_t)(uintptr_t)host };
	int r = guest_memory_add(&m->mem, gpa, host, bytes, region_flags);
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "lay out the guest's memory");
	if (ioctl(m->vm_fd, KVM_SET_USER_MEMORY_REGION, &region) < 0)
		return err_set(err, ERR_SYSTEM, errno, "give the guest its memory");
	m->slots_n++;
	return 0;
}

int machine_add_memory(struct machine *m, uint64_t bytes, bool is_shared, struct err *err)
{
	CLEANUP_FD int fd = -1;
	arch_lay_out(m, bytes);
	if (is_shared) {
		fd = memfd_create("guest", MFD_CLOEXEC);
		if (fd < 0 || ftruncate(fd, (off_t)bytes) < 0)
			return err_set(err, ERR_SYSTEM, errno, "make %llu bytes of memory", (unsigned long long)bytes);
	}
	/* Aligned, so that the host can use large pages. */
	void *reserved = mmap(NULL, bytes + HUGE_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (reserved == MAP_FAILED)
		return err_set(err, ERR_SYSTEM, errno, "make %llu bytes of memory", (unsigned long long)bytes);
	uint8_t *host = (uint8_t *)(((uintptr_t)reserved + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1));
	int flags = MAP_FIXED | MAP_NORESERVE | (is_shared ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS);
	if (mmap(host, bytes, PROT_READ | PROT_WRITE, flags, fd, 0) == MAP_FAILED)
		return err_set(err, ERR_SYSTEM, errno, "make %llu bytes of memory", (unsigned long long)bytes);
	/* Secrets of the guest stay out of a dump and of a child. */
	(void)madvise(host, bytes, MADV_DONTDUMP);
	unsigned region_flags = is_shared ? GUEST_REGION_SHARED : 0;
	int r = add_slot(m, 0, host, m->low_bytes, 0, region_flags, err);
	if (r >= 0 && m->high_bytes)
		r = add_slot(m, m->next_gpa, host + m->low_bytes, m->high_bytes, 0, region_flags, err);
	m->next_gpa = (m->next_gpa + m->high_bytes + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1);
	return r;
}

int machine_add_window(struct machine *m, void *host, uint64_t bytes, uint64_t *ret_gpa, struct err *err)
{
	*ret_gpa = m->next_gpa;
	m->next_gpa += bytes;
	/* Twice: a mapping that cannot be written, and a slot that cannot be. */
	return add_slot(m, *ret_gpa, host, bytes, KVM_MEM_READONLY, GUEST_REGION_READONLY | GUEST_REGION_FILE, err);
}

int machine_add_vcpus(struct machine *m, unsigned n, struct err *err)
{
	int r = arch_add_irqchip(m, err);
	if (r < 0)
		return r;
	int run_bytes = ioctl(m->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (run_bytes < (int)sizeof(struct kvm_run))
		return err_set(err, ERR_SYSTEM, errno, "ask KVM for the size of a processor");
	m->run_bytes = (size_t)run_bytes;
	for (unsigned i = 0; i < n; i++) {
		struct vcpu *vcpu = &m->vcpus[i];
		*vcpu = (struct vcpu){ .machine = m, .index = i, .fd = ioctl(m->vm_fd, KVM_CREATE_VCPU, i) };
		if (vcpu->fd < 0)
			return err_set(err, ERR_SYSTEM, errno, "create processor %u", i);
		m->vcpus_n = i + 1;
		vcpu->run = mmap(NULL, m->run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
		if (vcpu->run == MAP_FAILED)
			return err_set(err, ERR_SYSTEM, errno, "create processor %u", i);
	}
	return 0;
}

static int connect_irq(struct machine *m, int fd, unsigned irq)
{
	struct kvm_irqfd irqfd = { .fd = (uint32_t)fd, .gsi = irq };
	return ioctl(m->vm_fd, KVM_IRQFD, &irqfd) < 0 ? -errno : 0;
}

int machine_add_device(struct machine *m, struct virtio_device *dev, struct window **ret, struct err *err)
{
	unsigned index = m->windows_n;
	if (index >= VMM_DEVICES_MAX) {
		virtio_device_free(dev);
		return err_set(err, ERR_INVALID, 0, "more than %d devices", VMM_DEVICES_MAX);
	}
	struct window *w = &m->windows[index];
	w->irq_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	w->dev = dev;
	virtio_mmio_init(&w->mmio, dev, w->irq_fd);
	m->windows_n++;
	int r = w->irq_fd < 0 ? -errno : connect_irq(m, w->irq_fd, arch_window_irq(index));
	for (unsigned q = 0; q < dev->n_queues && r >= 0; q++) {
		struct kvm_ioeventfd kick = { .datamatch = q, .addr = arch_window_gpa(index) + NOTIFY_REGISTER, .len = 4,
					      .fd = virtio_mmio_kick_fd(&w->mmio, q), .flags = KVM_IOEVENTFD_FLAG_DATAMATCH };
		r = ioctl(m->vm_fd, KVM_IOEVENTFD, &kick) < 0 ? -errno : 0;
	}
	if (ret)
		*ret = w;
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "connect device %u", index) : 0;
}

int machine_add_uart(struct machine *m, int out_fd, struct err *err)
{
	int r = uart_init(&m->uart, &m->loop, out_fd);
	if (r >= 0)
		r = connect_irq(m, m->uart.irq_fd, arch_uart_irq());
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "connect the serial port") : 0;
}

void machine_wake(struct machine *m)
{
	(void)!write(m->wake.fd, &(uint64_t){ 1 }, sizeof(uint64_t));
}

void machine_end(struct machine *m, enum vmm_end end, const struct err *err)
{
	int running = -1, ending = -2;
	/* In two steps, so that who sees the end also sees the error. */
	if (!atomic_compare_exchange_strong(&m->end, &running, ending))
		return;
	if (err)
		m->end_err = *err;
	atomic_store(&m->end, (int)end);
	machine_wake(m);
}
