/* SPDX-License-Identifier: Apache-2.0 */
#include "call_filter.h"

#include <errno.h>
#include <linux/audit.h>
#include <sched.h>
#include <stddef.h>
#include <sys/syscall.h>

#include "seccomp_load.h"

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#endif

/* Numbers with this bit are of the x32 ABI; no architecture uses it otherwise. */
#define X32_BIT 0x40000000u

static void add(struct call_filter *f, struct sock_filter instruction)
{
	if (f->n < CALL_FILTER_MAX)
		f->code[f->n] = instruction;
	f->n++;
}

static void load(struct call_filter *f, size_t offset)
{
	add(f, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset));
}

static void answer(struct call_filter *f, uint32_t what)
{
	add(f, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, what));
}

static void jump(struct call_filter *f, uint16_t test, uint32_t k, size_t yes, size_t no)
{
	add(f, (struct sock_filter)BPF_JUMP(BPF_JMP | test | BPF_K, k, (uint8_t)yes, (uint8_t)no));
}

static void load_argument(struct call_filter *f, unsigned arg)
{
	/* The lower half, of a little-endian number. */
	load(f, offsetof(struct seccomp_data, args) + sizeof(uint64_t) * arg);
}

void call_filter_begin(struct call_filter *f, uint32_t otherwise)
{
	f->n = 0;
	f->otherwise = otherwise;
	load(f, offsetof(struct seccomp_data, arch));
	jump(f, BPF_JEQ, ARCH, 1, 0);
	answer(f, SECCOMP_RET_KILL_PROCESS);
	load(f, offsetof(struct seccomp_data, nr));
	jump(f, BPF_JSET, X32_BIT, 0, 1);
	answer(f, SECCOMP_RET_KILL_PROCESS);
}

void call_filter_answer(struct call_filter *f, int call, uint32_t what)
{
	jump(f, BPF_JEQ, (uint32_t)call, 0, 1);
	answer(f, what);
}

void call_filter_allow(struct call_filter *f, const int *calls, size_t n)
{
	for (size_t i = 0; i < n; i++)
		call_filter_answer(f, calls[i], SECCOMP_RET_ALLOW);
}

void call_filter_allow_values(struct call_filter *f, int call, unsigned arg, const uint32_t *values, size_t n)
{
	/* The argument, the values, both answers. */
	jump(f, BPF_JEQ, (uint32_t)call, 0, n + 3);
	load_argument(f, arg);
	for (size_t i = 0; i < n; i++)
		jump(f, BPF_JEQ, values[i], n - i, 0);
	answer(f, f->otherwise);
	answer(f, SECCOMP_RET_ALLOW);
}

static void allow_bits(struct call_filter *f, int call, unsigned arg, uint32_t bits, uint32_t some, uint32_t none)
{
	jump(f, BPF_JEQ, (uint32_t)call, 0, 4);
	load_argument(f, arg);
	jump(f, BPF_JSET, bits, 0, 1);
	answer(f, some);
	answer(f, none);
}

void call_filter_allow_with(struct call_filter *f, int call, unsigned arg, uint32_t bits)
{
	allow_bits(f, call, arg, bits, SECCOMP_RET_ALLOW, f->otherwise);
}

void call_filter_allow_without(struct call_filter *f, int call, unsigned arg, uint32_t bits)
{
	allow_bits(f, call, arg, bits, f->otherwise, SECCOMP_RET_ALLOW);
}

void call_filter_allow_threads(struct call_filter *f)
{
	call_filter_answer(f, SYS_clone3, SECCOMP_RET_ERRNO | ENOSYS);
	call_filter_allow_with(f, SYS_clone, 0, CLONE_THREAD);
}

const struct sock_filter *call_filter_finish(struct call_filter *f, size_t *ret_n)
{
	answer(f, f->otherwise);
	*ret_n = f->n;
	return f->n <= CALL_FILTER_MAX ? f->code : NULL;
}

int call_filter_load(struct call_filter *f)
{
	size_t n;
	const struct sock_filter *code = call_filter_finish(f, &n);
	return code ? seccomp_load_filter(code, n, false) : -E2BIG;
}
