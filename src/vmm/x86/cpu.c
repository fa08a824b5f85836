/* SPDX-License-Identifier: Apache-2.0 */
/* Processors: what they can do, and their registers at the kernel's first instruction. */
#include <asm/kvm_para.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>

#include "cleanup.h"
#include "layout.h"
#include "machine.h"

#define CPUID_MAX 256
#define CPUID_TSC_DEADLINE (1u << 24)
#define CPUID_HYPERVISOR (1u << 31)

#define CR0_PE 1u
#define CR0_ET 0x10u
#define CR0_PG 0x80000000u
#define CR4_PAE 0x20u
#define EFER_LME 0x100u
#define EFER_LMA 0x400u
#define MSR_MISC_ENABLE 0x1a0u
#define MSR_MTRR_DEF_TYPE 0x2ffu

int arch_add_irqchip(struct machine *m, struct err *err)
{
	uint64_t identity = KVM_IDENTITY_ADDRESS;
	/* Only Intel's processors need these; others take them. */
	if (ioctl(m->vm_fd, KVM_SET_IDENTITY_MAP_ADDR, &identity) < 0 && errno != ENOTTY && errno != EINVAL)
		return err_set(err, ERR_SYSTEM, errno, "prepare the virtual machine");
	if (ioctl(m->vm_fd, KVM_SET_TSS_ADDR, KVM_TSS_ADDRESS) < 0 && errno != ENOTTY && errno != EINVAL)
		return err_set(err, ERR_SYSTEM, errno, "prepare the virtual machine");
	/* No PIT: the local APIC's timer, with TSC deadlines, and kvmclock. */
	if (ioctl(m->vm_fd, KVM_CREATE_IRQCHIP, 0) < 0)
		return err_set(err, ERR_SYSTEM, errno, "create the interrupt controller");
	return 0;
}

/* The same for all vCPUs but for the fields that name the vCPU; asked for once. */
static union {
	struct kvm_cpuid2 head;
	uint8_t room[sizeof(struct kvm_cpuid2) + CPUID_MAX * sizeof(struct kvm_cpuid_entry2)];
} cpuid;

static bool is_cpuid_asked, is_cpuid_adapted;

static int ask_cpuid(int kvm_fd)
{
	cpuid.head.nent = CPUID_MAX;
	is_cpuid_asked = ioctl(kvm_fd, KVM_GET_SUPPORTED_CPUID, &cpuid) == 0;
	return is_cpuid_asked ? 0 : -errno;
}

void arch_ask_ahead(int kvm_fd)
{
	/* What is wrong is told when it is asked again. */
	(void)!ask_cpuid(kvm_fd);
}

static int read_cpuid(struct machine *m)
{
	if (is_cpuid_adapted)
		return 0;
	int r = is_cpuid_asked ? 0 : ask_cpuid(m->kvm_fd);
	if (r < 0)
		return r;
	is_cpuid_adapted = true;
	bool has_deadline = ioctl(m->kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER) > 0;
	for (unsigned i = 0; i < cpuid.head.nent; i++) {
		struct kvm_cpuid_entry2 *e = &cpuid.head.entries[i];
		if (e->function == 1) {
			e->ecx |= CPUID_HYPERVISOR | (has_deadline ? CPUID_TSC_DEADLINE : 0);
			/* One thread a core, one core a package: no sharing is made up. */
			e->edx &= ~(1u << 28);
			e->ebx &= 0xff00;
		} else if (e->function == 0xa) {
			e->eax = e->ebx = e->ecx = e->edx = 0; /* no performance counters: a channel to other guests */
		} else if (e->function == 4 || e->function == 0x8000001d) {
			e->eax &= ~(e->function == 4 ? 0xffffc000u : 0x03ffc000u);
		} else if (e->function == 0x80000008) {
			e->ecx &= ~0xf0ffu; /* number of threads */
		} else if ((e->function == 0xb || e->function == 0x1f) && e->index == 0) {
			e->eax = 0;
			e->ebx = 1;
			e->ecx = e->index | 1u << 8;
		}
	}
	return 0;
}

static int set_cpuid(struct machine *m, struct vcpu *vcpu)
{
	int r = read_cpuid(m);
	if (r < 0)
		return r;
	for (unsigned i = 0; i < cpuid.head.nent; i++) {
		struct kvm_cpuid_entry2 *e = &cpuid.head.entries[i];
		if (e->function == 1)
			e->ebx = (e->ebx & 0x00ffffff) | vcpu->index << 24;
		else if (e->function == 0xb || e->function == 0x1f)
			e->edx = vcpu->index;
		else if (e->function == 0x8000001e)
			e->eax = vcpu->index;
	}
	return ioctl(vcpu->fd, KVM_SET_CPUID2, &cpuid) < 0 ? -errno : 0;
}

static int set_msrs(struct vcpu *vcpu)
{
	static const struct kvm_msr_entry entries[] = {
		{ .index = MSR_MISC_ENABLE, .data = 1 }, /* fast strings */
		{ .index = MSR_MTRR_DEF_TYPE, .data = 1u << 11 | 6 }, /* write-back */
	};
	union {
		struct kvm_msrs head;
		uint8_t room[sizeof(struct kvm_msrs) + sizeof(entries)];
	} msrs = { .head.nmsrs = ARRAY_LEN(entries) };
	memcpy(msrs.head.entries, entries, sizeof(entries));
	/* Returns how many it took: neither is needed to boot. */
	return ioctl(vcpu->fd, KVM_SET_MSRS, &msrs) < 0 ? -errno : 0;
}

static struct kvm_segment segment(uint16_t selector, uint8_t type, bool is_system)
{
	return (struct kvm_segment){ .limit = is_system ? 0x67 : 0xffffffff, .selector = selector, .type = type, .present = 1, .s = !is_system,
				     .g = !is_system };
}

/* The state that the kernel's entry asks for; other vCPUs wait to be started. */
static int set_registers(struct machine *m, struct vcpu *vcpu)
{
	struct kvm_sregs sregs;
	if (ioctl(vcpu->fd, KVM_GET_SREGS, &sregs) < 0)
		return -errno;
	sregs.cs = segment(0x10, 0xb, false);
	sregs.ds = segment(0x18, 0x3, false);
	sregs.ds.db = 1;
	sregs.es = sregs.fs = sregs.gs = sregs.ss = sregs.ds;
	sregs.tr = segment(0x20, 0xb, true);
	sregs.gdt.base = GDT_ADDRESS;
	sregs.gdt.limit = 5 * 8 - 1;
	sregs.idt.base = 0;
	sregs.idt.limit = 0;
	sregs.cr0 = CR0_PE | CR0_ET;
	if (m->is_pvh) {
		sregs.cs.db = 1;
		sregs.cr4 = 0;
		sregs.efer = 0;
	} else {
		sregs.cs.l = 1;
		sregs.cr0 |= CR0_PG;
		sregs.cr3 = PAGE_TABLES_ADDRESS;
		sregs.cr4 = CR4_PAE;
		sregs.efer = EFER_LME | EFER_LMA;
	}
	struct kvm_regs regs = { .rip = m->entry, .rflags = 2, .rsp = BOOT_STACK, .rsi = BOOT_PARAMS_ADDRESS, .rbx = START_INFO_ADDRESS };
	if (ioctl(vcpu->fd, KVM_SET_SREGS, &sregs) < 0 || ioctl(vcpu->fd, KVM_SET_REGS, &regs) < 0)
		return -errno;
	return 0;
}

int arch_set_vcpu(struct machine *m, struct vcpu *vcpu, struct err *err)
{
	int r = set_cpuid(m, vcpu);
	if (r >= 0)
		r = set_msrs(vcpu);
	if (r >= 0 && vcpu->index == 0)
		r = set_registers(m, vcpu);
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "set up processor %u", vcpu->index) : 0;
}
