/* SPDX-License-Identifier: Apache-2.0 */
/* The system call lists of hull-vmm: what the compiled filters answer for every call,
 * and that the kernel takes them. */
#include "vmm_filter.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/futex.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cleanup.h"
#include "test.h"

#define CALLS_END 600

/* The four instructions that a list is made of. */
static uint32_t interpret(const struct sock_filter *f, size_t n, const struct seccomp_data *data)
{
	uint32_t a = 0;
	for (size_t at = 0; at < n; at++) {
		if (f[at].code == (BPF_LD | BPF_W | BPF_ABS))
			memcpy(&a, (const char *)data + f[at].k, sizeof(a));
		else if (f[at].code == (BPF_JMP | BPF_JEQ | BPF_K))
			at += a == f[at].k ? f[at].jt : f[at].jf;
		else if (f[at].code == (BPF_JMP | BPF_JSET | BPF_K))
			at += a & f[at].k ? f[at].jt : f[at].jf;
		else
			return f[at].k;
	}
	return 0xdead;
}

static bool allows(const struct jail_call *calls, size_t n, const struct seccomp_data *data)
{
	struct call_filter f;
	size_t len;
	jail_filter_compile(calls, n, &f);
	const struct sock_filter *code = call_filter_finish(&f, &len);
	CHECK(code != NULL);
	uint32_t verdict = interpret(code, len, data);
	CHECK(verdict == SECCOMP_RET_ALLOW || verdict == SECCOMP_RET_KILL_PROCESS);
	return verdict == SECCOMP_RET_ALLOW;
}

static void each_call_is_as_listed(const struct jail_call *calls, size_t n)
{
	unsigned allowed = 0;
	for (int nr = 0; nr < CALLS_END; nr++) {
		struct seccomp_data data = { .nr = nr, .arch = AUDIT_ARCH_X86_64 };
		const struct jail_call *listed = NULL;
		for (size_t i = 0; i < n; i++)
			if (calls[i].nr == nr)
				listed = &calls[i];
		if (!listed) {
			CHECK(!allows(calls, n, &data));
			continue;
		}
		allowed++;
		if (listed->arg < 0) {
			CHECK(allows(calls, n, &data));
			continue;
		}
		for (unsigned v = 0; v < ARRAY_LEN(listed->values) && listed->values[v]; v++) {
			data.args[listed->arg] = listed->values[v];
			CHECK(allows(calls, n, &data));
			/* The kernel does not look at the upper half of these. */
			data.args[listed->arg] |= UINT64_C(1) << 32;
			CHECK(allows(calls, n, &data));
		}
		data.args[listed->arg] = 0x7ffffff1;
		CHECK(!allows(calls, n, &data));
	}
	CHECK_EQ(allowed, n);
	struct seccomp_data other = { .nr = SYS_exit_group, .arch = AUDIT_ARCH_I386 };
	CHECK(!allows(calls, n, &other));
}

TEST(lists_mean_what_they_say)
{
	each_call_is_as_listed(jail_vcpu_calls, jail_vcpu_calls_n);
	each_call_is_as_listed(jail_control_calls, jail_control_calls_n);
}

TEST(lists_are_short)
{
	CHECK(jail_vcpu_calls_n <= 12);
	CHECK(jail_control_calls_n <= 45);
	/* The threads of processors have both filters. */
	for (size_t i = 0; i < jail_vcpu_calls_n; i++) {
		bool is_in_both = false;
		for (size_t k = 0; k < jail_control_calls_n; k++)
			is_in_both |= jail_control_calls[k].nr == jail_vcpu_calls[i].nr;
		CHECK(is_in_both);
	}
}

static void limit(const struct jail_call *calls, size_t n)
{
	struct call_filter f;
	jail_filter_compile(calls, n, &f);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || call_filter_load(&f) < 0)
		_exit(100);
}

/* How a process ends that makes one call under a filter and then leaves. */
static int status_of(const struct jail_call *calls, size_t n, long nr, long a, long b, long c)
{
	int status = 0;
	pid_t pid = fork();
	if (pid == 0) {
		limit(calls, n);
		syscall(nr, a, b, c);
		syscall(SYS_exit_group, 7);
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

TEST(the_kernel_enforces_them)
{
	uint64_t one = 1;
	long event = eventfd(0, EFD_CLOEXEC);
	const struct jail_call *vcpu = jail_vcpu_calls, *control = jail_control_calls;
	size_t vcpu_n = jail_vcpu_calls_n, control_n = jail_control_calls_n;
	CHECK_EQ(status_of(vcpu, vcpu_n, SYS_write, event, (long)&one, 8), 7);
	CHECK_EQ(status_of(vcpu, vcpu_n, SYS_write, event, (long)&one, 4), -SIGSYS);
	CHECK_EQ(status_of(vcpu, vcpu_n, SYS_ioctl, event, KVM_RUN, 0), 7);
	CHECK_EQ(status_of(vcpu, vcpu_n, SYS_ioctl, event, KVM_SET_USER_MEMORY_REGION, 0), -SIGSYS);
	const long forbidden[] = { SYS_openat, SYS_socket, SYS_execve, SYS_mmap, SYS_mprotect, SYS_clone, SYS_clone3, SYS_ptrace,
				   SYS_kill, SYS_mount, SYS_unshare, SYS_setuid, SYS_prctl, SYS_getpid, SYS_io_uring_setup, SYS_connect };
	for (size_t i = 0; i < ARRAY_LEN(forbidden); i++) {
		CHECK_EQ(status_of(vcpu, vcpu_n, forbidden[i], -1, 0, 0), -SIGSYS);
		CHECK_EQ(status_of(control, control_n, forbidden[i], -1, 0, 0), -SIGSYS);
	}
	CHECK_EQ(status_of(control, control_n, SYS_socketpair, AF_UNIX, SOCK_STREAM, 0), 7);
	CHECK_EQ(status_of(control, control_n, SYS_socketpair, AF_INET, SOCK_STREAM, 0), -SIGSYS);
	CHECK_EQ(status_of(control, control_n, SYS_fcntl, event, F_GETFL, 0), 7);
	CHECK_EQ(status_of(control, control_n, SYS_fcntl, event, F_DUPFD, 0), -SIGSYS);
	close((int)event);
}

TEST_MAIN()
