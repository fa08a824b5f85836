/* SPDX-License-Identifier: Apache-2.0 */
#include "kvm_probe.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cleanup.h"
#include "fd.h"
#include "process.h"

#define KVM_DEVICE "/dev/kvm"
#define TIMEOUT_S 5

#if defined(__x86_64__)
#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#define MEMORY_BYTES 0x10000u
#define CODE 0x1000u
#define HANDLER 0x1800u
#define IDT 0x2000u
#define DATA 0x3000u
#define TABLES 0x4000u
#define GDT 0x7000u
#define STACK 0x8000u
#define DONE_PORT 0x80
#define CPUID_ENTRIES 128

/* Each instruction, then: out DONE_PORT, al. rdi points to zeros, eax is 1. */
static const struct {
	const char *name;
	uint8_t len, code[16];
} probes[] = {
	{ "cmpxchg16b", 5, { 0xf0, 0x48, 0x0f, 0xc7, 0x0f } },
	{ "xsave", 3, { 0x0f, 0xae, 0x27 } },
	{ "xrstor", 3, { 0x0f, 0xae, 0x2f } },
	{ "int3", 1, { 0xcc } },
	{ "iretq", 2, { 0x48, 0xcf } },
	{ "swapgs", 3, { 0x0f, 0x01, 0xf8 } },
};

struct machine {
	int vm, vcpu;
	uint8_t *memory;
	struct kvm_run *run;
};

static void put64(struct machine *m, unsigned at, uint64_t value)
{
	memcpy(m->memory + at, &value, sizeof(value));
}

static int make(struct machine *m)
{
	CLEANUP_FD int kvm = open(KVM_DEVICE, O_RDWR | O_CLOEXEC);
	if (kvm < 0)
		return -errno;
	m->vm = ioctl(kvm, KVM_CREATE_VM, 0);
	m->memory = mmap(NULL, MEMORY_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (m->vm < 0 || m->memory == MAP_FAILED)
		return errno ? -errno : -EIO;
	struct kvm_userspace_memory_region region = { .memory_size = MEMORY_BYTES, .userspace_addr = (uint64_t)(uintptr_t)m->memory };
	int run_bytes = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (run_bytes < (int)sizeof(struct kvm_run))
		return -EIO;
	if (ioctl(m->vm, KVM_SET_USER_MEMORY_REGION, &region) < 0)
		return -errno;
	m->vcpu = ioctl(m->vm, KVM_CREATE_VCPU, 0);
	m->run = m->vcpu < 0 ? MAP_FAILED : mmap(NULL, (size_t)run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, m->vcpu, 0);
	if (m->run == MAP_FAILED)
		return errno ? -errno : -EIO;
	union {
		struct kvm_cpuid2 head;
		uint8_t room[sizeof(struct kvm_cpuid2) + CPUID_ENTRIES * sizeof(struct kvm_cpuid_entry2)];
	} cpuid = { .head.nent = CPUID_ENTRIES };
	if (ioctl(kvm, KVM_GET_SUPPORTED_CPUID, &cpuid) < 0 || ioctl(m->vcpu, KVM_SET_CPUID2, &cpuid) < 0)
		return -errno;
	return 0;
}

static void fill(struct machine *m, unsigned probe)
{
	const uint8_t done[] = { 0xe6, DONE_PORT, 0xf4 };
	memset(m->memory, 0, MEMORY_BYTES);
	memcpy(m->memory + CODE, probes[probe].code, probes[probe].len);
	memcpy(m->memory + CODE + probes[probe].len, done, sizeof(done));
	memcpy(m->memory + HANDLER, done, sizeof(done));
	put64(m, TABLES, (TABLES + 0x1000) | 3);
	put64(m, TABLES + 0x1000, (TABLES + 0x2000) | 3);
	put64(m, TABLES + 0x2000, 0x83);
	put64(m, GDT + 0x10, UINT64_C(0x00af9b000000ffff));
	put64(m, GDT + 0x18, UINT64_C(0x00cf93000000ffff));
	/* The gate of int3: 64-bit interrupt gate to HANDLER. */
	put64(m, IDT + 3 * 16, (uint64_t)HANDLER | UINT64_C(0x10) << 16 | UINT64_C(0x8e00) << 32);
	/* What iretq takes from the stack. */
	const uint64_t frame[] = { CODE + probes[probe].len, 0x10, 2, STACK, 0x18 };
	for (unsigned i = 0; i < ARRAY_LEN(frame); i++)
		put64(m, STACK + 8 * i, frame[i]);
}

static int set_registers(struct machine *m)
{
	struct kvm_sregs s;
	const struct kvm_segment code = { .limit = 0xffffffff, .selector = 0x10, .type = 0xb, .present = 1, .s = 1, .l = 1, .g = 1 };
	const struct kvm_segment data = { .limit = 0xffffffff, .selector = 0x18, .type = 3, .present = 1, .s = 1, .db = 1, .g = 1 };
	if (ioctl(m->vcpu, KVM_GET_SREGS, &s) < 0)
		return -errno;
	s.cs = code;
	s.ds = s.es = s.fs = s.gs = s.ss = data;
	s.gdt.base = GDT;
	s.gdt.limit = 0x1f;
	s.idt.base = IDT;
	s.idt.limit = 0xfff;
	s.cr0 = 0x80000033;
	s.cr3 = TABLES;
	s.cr4 = 0x40620; /* PAE, OSFXSR, OSXMMEXCPT, OSXSAVE */
	s.efer = 0x500;
	struct kvm_regs r = { .rip = CODE, .rsp = STACK, .rdi = DATA, .rax = 1, .rflags = 2 };
	if (ioctl(m->vcpu, KVM_SET_SREGS, &s) < 0 || ioctl(m->vcpu, KVM_SET_REGS, &r) < 0)
		return -errno;
	return 0;
}

static bool passes(struct machine *m, unsigned probe)
{
	fill(m, probe);
	if (set_registers(m) < 0)
		return false;
	while (ioctl(m->vcpu, KVM_RUN, 0) < 0)
		if (errno != EINTR)
			return false;
	return m->run->exit_reason == KVM_EXIT_IO && m->run->io.port == DONE_PORT;
}

/* A bit for each instruction that does not work, or a negative errno. */
static int run_probes(void)
{
	struct machine m = { -1, -1, NULL, NULL };
	int failed = 0, r = make(&m);
	for (unsigned i = 0; i < ARRAY_LEN(probes) && r == 0; i++)
		if (!passes(&m, i))
			failed |= 1 << i;
	return r < 0 ? r : failed;
}

static void list_failed(int failed, char *out, size_t size)
{
	size_t len = 0;
	out[0] = 0;
	for (unsigned i = 0; i < ARRAY_LEN(probes); i++) {
		if (!(failed >> i & 1))
			continue;
		int n = snprintf(out + len, size - len, "%s%s", len ? ", " : "", probes[i].name);
		len += n > 0 && (size_t)n < size - len ? (size_t)n : 0;
	}
}
#else
static int run_probes(void)
{
	return -EOPNOTSUPP;
}

static void list_failed(int failed, char *out, size_t size)
{
	out[0] = 0;
}
#endif

/* In a process of its own, so that a KVM that hangs does not hang us; and of nobody's,
 * so that taking the machine down, which takes the kernel long, is not waited for. */
static int run_apart(int *ret)
{
	int ends[2], pidfd = -1;
	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	pid_t pid = process_clone(0, -1, &pidfd);
	if (pid == 0) {
		if (fork() != 0)
			_exit(0);
		alarm(TIMEOUT_S);
		int result = run_probes();
		(void)!write(ends[1], &result, sizeof(result));
		_exit(0);
	}
	close(ends[1]);
	siginfo_t info;
	while (pid > 0 && waitid((idtype_t)P_PIDFD, (id_t)pidfd, &info, WEXITED) < 0 && errno == EINTR)
		continue;
	cleanup_fd(&pidfd);
	int r = pid < 0 ? (int)pid : fd_read_exact(ends[0], ret, sizeof(*ret));
	close(ends[0]);
	return r;
}

int kvm_probe(struct err *err)
{
	int result = 0;
	if (access(KVM_DEVICE, F_OK) < 0) {
		int r = err_set(err, ERR_UNSUPPORTED, 0, "there is no " KVM_DEVICE);
		err_why(err, "this machine has no hardware virtualization, or it is switched off in the firmware or in the machine around this one");
		err_hint(err, "modprobe kvm_intel, or kvm_amd");
		return r;
	}
	int r = run_apart(&result);
	if (r < 0)
		return err_set(err, ERR_UNSUPPORTED, 0, KVM_DEVICE " does not answer within %d seconds", TIMEOUT_S);
	if (result == -EACCES || result == -EPERM) {
		r = err_set(err, ERR_DENIED, result, "open " KVM_DEVICE);
		err_hint(err, "run hull as root, or let this user into the group kvm");
		return r;
	}
	if (result < 0)
		return err_set(err, ERR_UNSUPPORTED, result, "run a guest with " KVM_DEVICE);
	if (result == 0)
		return 0;
	char names[128];
	bool is_pvm = access("/sys/module/kvm_pvm", F_OK) == 0;
	list_failed(result, names, sizeof(names));
	r = err_set(err, ERR_UNSUPPORTED, 0, "%s: cannot run an unmodified kernel", is_pvm ? "software KVM (PVM)" : "this KVM");
	err_why(err, "a probe guest found that it does not execute in kernel mode: %s", names);
	err_hint(err, "a machine with hardware KVM, or --isolation=sandbox");
	return r;
}
