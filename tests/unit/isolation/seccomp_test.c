/* SPDX-License-Identifier: Apache-2.0 */
#include "seccomp_profile.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cleanup.h"
#include "fd.h"
#include "seccomp_compile.h"
#include "seccomp_load.h"
#include "test.h"

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#else
#define ARCH AUDIT_ARCH_AARCH64
#endif

/* The kernel's meaning of the instructions the compiler emits. */
static uint32_t interpret(const struct sock_filter *p, size_t n, const struct seccomp_data *data, size_t *ret_steps)
{
	uint32_t a = 0;

	*ret_steps = 0;
	for (size_t pc = 0; pc < n; pc++) {
		const struct sock_filter *i = &p[pc];
		(*ret_steps)++;
		switch (i->code) {
		case BPF_LD | BPF_W | BPF_ABS:
			CHECK(i->k % 4 == 0 && i->k < sizeof(*data));
			memcpy(&a, (const char *)data + i->k, 4);
			break;
		case BPF_JMP | BPF_JEQ | BPF_K:
			pc += a == i->k ? i->jt : i->jf;
			break;
		case BPF_JMP | BPF_JGT | BPF_K:
			pc += a > i->k ? i->jt : i->jf;
			break;
		case BPF_JMP | BPF_JGE | BPF_K:
			pc += a >= i->k ? i->jt : i->jf;
			break;
		case BPF_JMP | BPF_JA:
			pc += i->k;
			break;
		case BPF_ALU | BPF_AND | BPF_K:
			a &= i->k;
			break;
		case BPF_RET | BPF_K:
			return i->k;
		default:
			test_fail(__FILE__, __LINE__, "instruction %zu: unknown code %04x", pc, i->code);
		}
	}
	test_fail(__FILE__, __LINE__, "ran off the end");
}

static bool holds(const struct seccomp_condition *c, const uint64_t *args)
{
	uint64_t v = args[c->index];

	switch (c->op) {
	case SECCOMP_OP_NE: return v != c->value;
	case SECCOMP_OP_LT: return v < c->value;
	case SECCOMP_OP_LE: return v <= c->value;
	case SECCOMP_OP_EQ: return v == c->value;
	case SECCOMP_OP_GE: return v >= c->value;
	case SECCOMP_OP_GT: return v > c->value;
	case SECCOMP_OP_MASKED_EQ: return (v & c->value) == c->value_two;
	}
	return false;
}

static uint32_t reference(const struct seccomp_entry *entries, size_t n, uint32_t number, const uint64_t *args,
			  uint32_t otherwise)
{
	for (size_t i = 0; i < n; i++) {
		bool all = entries[i].number == number;
		for (size_t c = 0; all && c < entries[i].rule.conditions_n; c++)
			all = holds(&entries[i].rule.conditions[c], args);
		if (all)
			return entries[i].rule.action;
	}
	return otherwise;
}

static uint64_t some_value(void)
{
	static const uint64_t values[] = { 0, 1, 2, 0xffffffff, 0x100000000, 0x100000001, 0x200000000, UINT64_MAX };
	return values[rand() % 8];
}

TEST(program_equals_the_rules)
{
	srand(2);
	for (int round = 0; round < 400; round++) {
		struct seccomp_policy policy = { .default_action = SECCOMP_RET_ERRNO | 1 };
		/* Some of them too large for jumps that reach 255 instructions. */
		static struct seccomp_entry entries[600];
		const bool is_large = round % 8 == 0;
		const int calls = is_large ? 700 : 40;
		size_t n = (size_t)(rand() % (is_large ? 600 : 60)), count = 0, steps = 0;
		CLEANUP_FREE struct sock_filter *filter = NULL;

		CHECK_EQ(seccomp_policy_add_arch(&policy, AUDIT_ARCH_I386), 0);
		CHECK_EQ(seccomp_policy_add_arch(&policy, ARCH), 0);
		for (size_t i = 0; i < n; i++) {
			struct seccomp_rule *r = &entries[i].rule;
			entries[i].number = rand() % 20 ? (uint32_t)(rand() % calls) : UINT32_MAX;
			r->action = rand() % 2 ? SECCOMP_RET_ALLOW : SECCOMP_RET_ERRNO | (uint32_t)(rand() % 3);
			r->conditions_n = (uint8_t)(rand() % 2 ? 0 : rand() % 4);
			for (size_t c = 0; c < r->conditions_n; c++)
				r->conditions[c] = (struct seccomp_condition){ (uint8_t)(rand() % 6),
									       (enum seccomp_op)(rand() % 7),
									       some_value(), some_value() };
			CHECK_EQ(seccomp_policy_add(&policy, 1, entries[i].number, r), 0);
		}
		CHECK_EQ(seccomp_policy_compile(&policy, &filter, &count), 0);
		for (int k = 0; k < 200; k++) {
			struct seccomp_data d = { .nr = rand() % 20 ? rand() % (calls + 2) : -1, .arch = ARCH };
			uint64_t args[6];
			for (int a = 0; a < 6; a++)
				d.args[a] = args[a] = some_value();
			CHECK_EQ(interpret(filter, count, &d, &steps),
				 reference(entries, n, (uint32_t)d.nr, args, policy.default_action));
			d.arch = AUDIT_ARCH_I386;
			CHECK_EQ(interpret(filter, count, &d, &steps), policy.default_action);
			d.arch = AUDIT_ARCH_PPC64;
			CHECK_EQ(interpret(filter, count, &d, &steps), SECCOMP_RET_KILL_PROCESS);
		}
		seccomp_policy_done(&policy);
	}
}

/* What the default filter for @caps answers to a call. */
static uint32_t answer(uint64_t caps, int nr, uint64_t arg0)
{
	CLEANUP_FREE struct sock_filter *filter = NULL;
	struct seccomp_data d = { .nr = nr, .arch = ARCH, .args = { arg0 } };
	size_t n = 0, len = 0, steps;
	struct err err = ERR_INIT;
	const char *text = seccomp_default_profile(&len);

	if (seccomp_profile_compile(text, len, caps, &filter, &n, &err) < 0)
		test_fail(__FILE__, __LINE__, "%s", err.msg);
	return interpret(filter, n, &d, &steps);
}

#define DENIED (SECCOMP_RET_ERRNO | EPERM)
#define CAP(n) (UINT64_C(1) << (n))

TEST(default_depends_on_capabilities)
{
	uint64_t usual = SECCOMP_DEFAULT_CAPS, admin = usual | CAP(21);

	CHECK_EQ(answer(usual, SYS_read, 0), SECCOMP_RET_ALLOW);
	CHECK_EQ(answer(usual, SYS_mount, 0), DENIED);
	CHECK_EQ(answer(admin, SYS_mount, 0), SECCOMP_RET_ALLOW);
	CHECK_EQ(answer(usual, SYS_unshare, CLONE_NEWUSER), DENIED);
	CHECK_EQ(answer(usual, SYS_clone, SIGCHLD), SECCOMP_RET_ALLOW);
	CHECK_EQ(answer(usual, SYS_clone, CLONE_NEWUSER | SIGCHLD), DENIED);
	CHECK_EQ(answer(usual, SYS_clone, CLONE_NEWUSER | UINT64_C(0x100000000)), DENIED);
	CHECK_EQ(answer(admin, SYS_clone, CLONE_NEWUSER | SIGCHLD), SECCOMP_RET_ALLOW);
	CHECK_EQ(answer(usual, SYS_clone3, 0), SECCOMP_RET_ERRNO | ENOSYS);
	CHECK_EQ(answer(admin, SYS_clone3, 0), SECCOMP_RET_ALLOW);
	CHECK_EQ(answer(usual, SYS_chroot, 0), SECCOMP_RET_ALLOW);
	CHECK_EQ(answer(usual & ~CAP(18), SYS_chroot, 0), DENIED);
	CHECK_EQ(answer(usual, SYS_bpf, 0), DENIED);
	CHECK_EQ(answer(usual | CAP(39), SYS_bpf, 0), SECCOMP_RET_ALLOW);
	CHECK_EQ(answer(usual, SYS_syslog, 0), DENIED);
	CHECK_EQ(answer(usual | CAP(34), SYS_syslog, 0), SECCOMP_RET_ALLOW);
	CHECK_EQ(answer(usual, SYS_reboot, 0), DENIED);
	CHECK_EQ(answer(usual, 449, 0), SECCOMP_RET_ALLOW); /* futex_waitv */
	CHECK_EQ(answer(usual, 462, 0), SECCOMP_RET_ALLOW); /* mseal: newer than libseccomp */
	CHECK_EQ(answer(usual, 5000, 0), DENIED);
}

TEST(nobody_gets_the_dangerous_calls)
{
	static const int calls[] = { SYS_keyctl, SYS_add_key, SYS_request_key, SYS_userfaultfd, SYS_io_uring_setup,
				     SYS_io_uring_enter, SYS_io_uring_register, SYS_kexec_load, SYS_swapon, SYS_swapoff,
				     SYS_move_pages, SYS_migrate_pages, SYS_nfsservctl, SYS_pivot_root,
#ifdef __x86_64__
				     SYS_uselib, SYS_ustat, SYS__sysctl, SYS_sysfs, 0x40000000 | SYS_read,
#endif
	};
	for (size_t i = 0; i < ARRAY_LEN(calls); i++)
		CHECK_EQ(answer(SECCOMP_DEFAULT_CAPS, calls[i], 0), DENIED);
}

TEST(socket_families)
{
	static const int denied[] = { 21, 30, AF_ALG, AF_VSOCK };

	for (int family = 0; family < 46; family++) {
		bool is_denied = false;
		for (size_t i = 0; i < ARRAY_LEN(denied); i++)
			is_denied = is_denied || denied[i] == family;
		uint32_t want = is_denied ? DENIED : SECCOMP_RET_ALLOW;
		CHECK_EQ(answer(SECCOMP_DEFAULT_CAPS, SYS_socket, (uint64_t)family), want);
		/* The kernel does not look at the upper half. */
		CHECK_EQ(answer(SECCOMP_DEFAULT_CAPS, SYS_socket, (uint64_t)family | UINT64_C(1) << 32), want);
	}
}

TEST(embedded_equals_compiled)
{
	CLEANUP_FREE struct sock_filter *filter = NULL;
	struct err err = ERR_INIT;
	size_t n = 0, embedded_n = 0, len = 0;
	const char *text = seccomp_default_profile(&len);
	const struct sock_filter *embedded = seccomp_default_filter(SECCOMP_DEFAULT_CAPS, &embedded_n);

	CHECK_EQ(seccomp_profile_compile(text, len, SECCOMP_DEFAULT_CAPS, &filter, &n, &err), 0);
	CHECK(embedded);
	CHECK_EQ(embedded_n, n);
	CHECK_EQ(memcmp(embedded, filter, n * sizeof(*filter)), 0);
	/* NET_ADMIN does not matter to the profile, SYS_ADMIN does. */
	CHECK(seccomp_default_filter(SECCOMP_DEFAULT_CAPS | CAP(12), &embedded_n));
	CHECK(!seccomp_default_filter(SECCOMP_DEFAULT_CAPS | CAP(21), &embedded_n));
	struct seccomp_data d = { .nr = SYS_write, .arch = ARCH };
	size_t steps;
	CHECK_EQ(interpret(filter, n, &d, &steps), SECCOMP_RET_ALLOW);
	printf("# %zu instructions, %zu for write()\n", n, steps);
}

static int try_calls(void)
{
	size_t n = 0;
	const struct sock_filter *filter = seccomp_default_filter(SECCOMP_DEFAULT_CAPS, &n);
	struct clone_args args = { .exit_signal = SIGCHLD };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || seccomp_load_filter(filter, n, false) < 0)
		return 1;
#define REFUSED(call, e) (errno = 0, (call) == -1 && errno == (e))
	if (!REFUSED(unshare(CLONE_NEWUSER), EPERM) || !REFUSED(unshare(CLONE_NEWNS), EPERM))
		return 2;
	if (!REFUSED(syscall(SYS_keyctl, 0, 0, 0, 0, 0), EPERM) || !REFUSED(syscall(SYS_bpf, 0, NULL, 0), EPERM))
		return 3;
	if (!REFUSED(mount("none", "/", "tmpfs", 0, NULL), EPERM) || !REFUSED(syscall(SYS_io_uring_setup, 1, NULL), EPERM))
		return 4;
	if (!REFUSED(syscall(SYS_clone3, &args, sizeof(args)), ENOSYS))
		return 5;
	if (!REFUSED(socket(AF_VSOCK, SOCK_STREAM, 0), EPERM) || !REFUSED(socket(AF_ALG, SOCK_SEQPACKET, 0), EPERM))
		return 6;
	if (!REFUSED(personality(0x0400000), EPERM) || personality(0xffffffff) < 0)
		return 7;
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	if (fd < 0 || close(fd) < 0 || mkdir(test_tmpdir(), 0700) == 0 || errno != EEXIST)
		return 8;
	pid_t pid = fork();
	if (pid == 0)
		_exit(7);
	int status;
	if (pid < 0 || waitpid(pid, &status, 0) != pid || WEXITSTATUS(status) != 7)
		return 9;
	return 0;
}

TEST(kernel_enforces_the_default)
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(try_calls());
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK(WIFEXITED(status));
	CHECK_EQ(WEXITSTATUS(status), 0);
}

static enum err_kind kind_of(const char *json)
{
	CLEANUP_FREE struct sock_filter *filter = NULL;
	struct err err = ERR_INIT;
	size_t n;

	return seccomp_profile_compile(json, strlen(json), 0, &filter, &n, &err) < 0 ? err.kind : ERR_NONE;
}

TEST(bad_profiles_are_refused)
{
#define ALLOW "\"defaultAction\":\"SCMP_ACT_ALLOW\""
	CHECK_EQ(kind_of("{" ALLOW ",\"syscalls\":[]}"), ERR_NONE);
	CHECK_EQ(kind_of("{" ALLOW "}"), ERR_NONE);
	CHECK_EQ(kind_of("{" ALLOW ",\"syscalls\":[{\"name\":\"chmod\",\"action\":\"SCMP_ACT_ERRNO\"}]}"), ERR_NONE);
	CHECK_EQ(kind_of("{" ALLOW ",\"syscalls\":[{\"names\":[\"nosuch\"],\"action\":\"SCMP_ACT_LOG\"}]}"), ERR_NONE);
	static const char *const bad[] = {
		"", "[]", "{}", "{\"defaultAction\":1}", "{\"defaultAction\":\"SCMP_ACT_WHAT\"}",
		"{" ALLOW ",\"syscalls\":{}}", "{" ALLOW ",\"syscalls\":[1]}",
		"{" ALLOW ",\"syscalls\":[{\"names\":\"read\",\"action\":\"SCMP_ACT_LOG\"}]}",
		"{" ALLOW ",\"syscalls\":[{\"names\":[\"read\"]}]}",
		"{" ALLOW ",\"syscalls\":[{\"name\":\"a\",\"names\":[\"read\"],\"action\":\"SCMP_ACT_LOG\"}]}",
		"{" ALLOW ",\"syscalls\":[{\"names\":[\"read\"],\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":99999}]}",
		"{" ALLOW ",\"syscalls\":[{\"names\":[\"read\"],\"action\":\"SCMP_ACT_LOG\",\"args\":[{\"index\":6,"
		"\"op\":\"SCMP_CMP_EQ\"}]}]}",
		"{" ALLOW ",\"syscalls\":[{\"names\":[\"read\"],\"action\":\"SCMP_ACT_LOG\",\"args\":[{\"index\":0,"
		"\"op\":\"EQ\"}]}]}",
		"{" ALLOW ",\"architectures\":[\"SCMP_ARCH_X86\"],\"archMap\":[{}]}",
	};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (kind_of(bad[i]) != ERR_INVALID)
			test_fail(__FILE__, __LINE__, "taken: %s", bad[i]);
	CHECK_EQ(kind_of("{\"defaultAction\":\"SCMP_ACT_NOTIFY\"}"), ERR_UNSUPPORTED);
}

TEST(filter_from_a_file)
{
	CLEANUP_FD int dir = open(test_tmpdir(), O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	size_t n = 0;
	const struct sock_filter *filter = seccomp_default_filter(SECCOMP_DEFAULT_CAPS, &n);
	int status;

	CHECK_EQ(fd_replace_file_at(dir, "f", filter, n * sizeof(*filter), 0600, false), 0);
	CHECK_EQ(fd_replace_file_at(dir, "bad", filter, 9, 0600, false), 0);
	CHECK_EQ(seccomp_load_file(dir, "bad", false), -EINVAL);
	CHECK_EQ(seccomp_load_file(dir, "none", false), -ENOENT);
	pid_t pid = fork();
	if (pid == 0)
		_exit(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || seccomp_load_file(dir, "f", true) < 0 ||
		      unshare(CLONE_NEWUSER) == 0);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK_EQ(status, 0);
}
TEST_MAIN()
