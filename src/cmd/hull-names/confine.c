/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cleanup.h"
#include "names_confine.h"

#define NOBODY 65534

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#endif

#if defined(__SANITIZE_ADDRESS__)
#define IS_SANITIZED true
#else
#define IS_SANITIZED false
#endif

/* Datagrams and streams, the loop, records, memory, time, leaving. No path is
 * opened but for reading (below), nothing is executed. */
static const int server_calls[] = {
	SYS_read, SYS_write, SYS_close, SYS_fstat, SYS_lseek, SYS_mmap, SYS_munmap, SYS_mremap, SYS_mprotect, SYS_madvise, SYS_brk,
	SYS_epoll_ctl, SYS_epoll_pwait, SYS_accept4, SYS_connect, SYS_sendto, SYS_recvfrom, SYS_sendmsg, SYS_recvmsg,
	SYS_sendmmsg, SYS_recvmmsg, SYS_getsockopt, SYS_shutdown, SYS_fcntl, SYS_ioctl, SYS_newfstatat, SYS_getdents64,
	SYS_fallocate, SYS_getrandom, SYS_clock_gettime, SYS_rt_sigprocmask, SYS_rt_sigreturn, SYS_futex,
	SYS_restart_syscall, SYS_getpid, SYS_gettid, SYS_tgkill, SYS_exit, SYS_exit_group,
#ifdef SYS_epoll_wait
	SYS_epoll_wait,
#endif
};

static const int admit_calls[] = {
	SYS_recvfrom, SYS_sendto, SYS_recvmsg, SYS_sendmsg, SYS_read, SYS_close, SYS_brk, SYS_mmap, SYS_munmap, SYS_mremap,
	SYS_rt_sigreturn, SYS_restart_syscall, SYS_exit_group,
};

static int limit_calls(const int *calls, size_t calls_n, bool is_server)
{
	struct sock_filter f[2 * ARRAY_LEN(server_calls) + 24];
	size_t n = 0;
#define ADD(...) f[n++] = (struct sock_filter)__VA_ARGS__
	ADD(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)));
	ADD(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0));
	ADD(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS));
	ADD(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)));
	for (size_t i = 0; i < calls_n; i++) {
		ADD(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)calls[i], 0, 1));
		ADD(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
	}
	/* Sockets to resolvers, and the one by which an interface's index is asked. */
	ADD(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, is_server ? SYS_socket : UINT32_MAX, 0, 6));
	ADD(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])));
	ADD(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_INET, 2, 0));
	ADD(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_INET6, 1, 0));
	ADD(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_UNIX, 0, 1));
	ADD(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
	ADD(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM));
	/* To read only. */
	ADD(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat, 0, 3));
	ADD(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])));
	ADD(BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, O_WRONLY | O_RDWR | O_CREAT | O_TRUNC, 1, 0));
	ADD(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
	ADD(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM));
#undef ADD
	struct sock_fprog program = { (unsigned short)n, f };
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0 ? -errno : 0;
}

/* @keep: capabilities, of the first 32. */
static int drop_identity(uint32_t keep)
{
	struct __user_cap_header_struct h = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct d[2] = { { .effective = keep, .permitted = keep } };
	if (keep && prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
		return -errno;
	if (geteuid() == 0 && (setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 ||
			       setresuid(NOBODY, NOBODY, NOBODY) < 0))
		return -errno;
	return syscall(SYS_capset, &h, d) < 0 ? -errno : 0;
}

static void allow_reading(int rules, int dirfd)
{
	struct landlock_path_beneath_attr rule = {
		.allowed_access = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR,
		.parent_fd = dirfd,
	};
	if (dirfd >= 0)
		(void)!syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
}

/* Where resolv.conf leads to now is not always among the usual places (WSL:
 * /mnt/wsl). */
static void allow_resolv_conf(int rules)
{
	CLEANUP_FREE char *path = realpath("/etc/resolv.conf", NULL);
	char *slash = path ? strrchr(path, '/') : NULL;
	if (!slash || slash == path)
		return;
	*slash = '\0';
	CLEANUP_FD int fd = open(path, O_PATH | O_CLOEXEC);
	allow_reading(rules, fd);
}

/* The records, and where resolv.conf and what it leads to are. Extra cover, where
 * the kernel has it. */
static void limit_paths(int names_dirfd)
{
	static const char *const readable[] = { "/etc", "/run", "/var/run" };
	const uint64_t all = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1;
	struct landlock_ruleset_attr attr = { .handled_access_fs = all };
	CLEANUP_FD int rules = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
	if (rules < 0)
		return;
	allow_reading(rules, names_dirfd);
	for (size_t i = 0; i < ARRAY_LEN(readable); i++) {
		CLEANUP_FD int fd = open(readable[i], O_PATH | O_CLOEXEC);
		allow_reading(rules, fd);
	}
	allow_resolv_conf(rules);
	(void)!syscall(SYS_landlock_restrict_self, rules, 0);
}

int confine(int names_dirfd, struct err *err)
{
	struct rlimit none = { 0, 0 };
	int r = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || setrlimit(RLIMIT_CORE, &none) < 0 ? -errno : 0;
	if (r == 0 && !IS_SANITIZED)
		limit_paths(names_dirfd);
	if (r == 0)
		r = drop_identity(0);
	/* After the change of user, which resets it. */
	if (r == 0 && !IS_SANITIZED && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		r = -errno;
	if (r == 0 && !IS_SANITIZED)
		r = limit_calls(server_calls, ARRAY_LEN(server_calls), true);
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "give up privileges") : 0;
}

int confine_admit(void)
{
	struct rlimit none = { 0, 0 };
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || setrlimit(RLIMIT_CORE, &none) < 0)
		return -errno;
	int r = drop_identity(1u << CAP_NET_ADMIN);
	if (r == 0 && !IS_SANITIZED && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		r = -errno;
	return r == 0 && !IS_SANITIZED ? limit_calls(admit_calls, ARRAY_LEN(admit_calls), false) : r;
}
