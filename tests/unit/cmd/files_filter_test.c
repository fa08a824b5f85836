/* SPDX-License-Identifier: Apache-2.0 */
/* What hull-files could still call, were it taken over. */
#include "files_filter.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cleanup.h"
#include "test.h"

struct probe {
	const char *name;
	long nr, arg[4];
};

/* The call's result as an exit status (0, or the errno), or the signal that ended it, negative. */
static int result_of(const struct probe *p)
{
	pid_t pid = fork();
	if (pid == 0) {
		/* After the filter the C library may not be what it was: no stdio. */
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || files_filter_load() < 0)
			_exit(254);
		long r = syscall(p->nr, p->arg[0], p->arg[1], p->arg[2], p->arg[3], 0, 0);
		/* Not _exit(), in which sanitizers have more to do. */
		syscall(SYS_exit_group, r < 0 ? errno : 0);
	}
	int status;
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

#define PATH(text) ((long)(text))

TEST(forbidden_calls_end_it)
{
	static const struct probe probes[] = {
#ifdef SYS_open
		{ "open", SYS_open, { PATH("/etc/passwd"), O_RDONLY } },
		{ "fork", SYS_fork, { 0 } },
#endif
		{ "execve", SYS_execve, { PATH("/bin/true"), 0, 0 } },
		{ "execveat", SYS_execveat, { 0, PATH(""), 0, 0 } },
		{ "socket", SYS_socket, { AF_INET, SOCK_STREAM } },
		{ "socket of the kernel's", SYS_socket, { AF_ALG, SOCK_SEQPACKET } },
		{ "connect", SYS_connect, { 0 } },
		{ "recvmsg", SYS_recvmsg, { 0 } },
		{ "ptrace", SYS_ptrace, { 16, 1 } },
		{ "process_vm_writev", SYS_process_vm_writev, { 1 } },
		{ "kill", SYS_kill, { 1, 0 } },
		{ "pidfd_open", SYS_pidfd_open, { 1 } },
		{ "mount", SYS_mount, { 0 } },
		{ "open_tree", SYS_open_tree, { 0 } },
		{ "fsopen", SYS_fsopen, { 0 } },
		{ "pivot_root", SYS_pivot_root, { 0 } },
		{ "chroot", SYS_chroot, { PATH("/") } },
		{ "setns", SYS_setns, { 0, 0 } },
		{ "unshare", SYS_unshare, { CLONE_NEWUSER } },
		{ "unshare with more", SYS_unshare, { CLONE_FS | CLONE_NEWNS } },
		{ "clone of a process", SYS_clone, { SIGCHLD } },
		{ "setuid", SYS_setuid, { 0 } },
		{ "setresuid", SYS_setresuid, { 0, 0, 0 } },
		{ "prctl", SYS_prctl, { PR_SET_DUMPABLE, 1 } },
		{ "open_by_handle_at", SYS_open_by_handle_at, { 0 } },
		{ "ioctl", SYS_ioctl, { 0, 0 } },
		{ "fcntl of other kinds", SYS_fcntl, { 0, F_SETOWN, 1 } },
		{ "bpf", SYS_bpf, { 0 } },
		{ "io_uring_setup", SYS_io_uring_setup, { 1 } },
		{ "userfaultfd", SYS_userfaultfd, { 0 } },
		{ "keyctl", SYS_keyctl, { 0 } },
		{ "memfd_create", SYS_memfd_create, { PATH("x"), 0 } },
		{ "name_to_handle_at", SYS_name_to_handle_at, { 0 } },
		{ "renameat", SYS_renameat, { 0 } },
		{ "chdir", SYS_chdir, { PATH("/") } },
#ifdef __x86_64__
		{ "write by the x32 number", 0x40000000 | SYS_write, { 1, 0, 0 } },
#endif
	};
	for (size_t i = 0; i < ARRAY_LEN(probes); i++)
		if (result_of(&probes[i]) != -SIGSYS)
			test_fail(__FILE__, __LINE__, "%s: %d", probes[i].name, result_of(&probes[i]));
}

TEST(what_it_needs_works)
{
	static struct open_how how = { .flags = O_PATH | O_DIRECTORY | O_CLOEXEC, .resolve = RESOLVE_NO_MAGICLINKS };
	static const struct probe probes[] = {
		{ "openat2", SYS_openat2, { AT_FDCWD, PATH("/"), PATH(&how), sizeof(how) } },
		{ "statx", SYS_statx, { AT_FDCWD, PATH("/"), 0, 0 } },
		{ "unshare of its directory", SYS_unshare, { CLONE_FS } },
		{ "umask", SYS_umask, { 022 } },
	};
	for (size_t i = 0; i < ARRAY_LEN(probes); i++) {
		int r = result_of(&probes[i]);
		/* The buffer of statx is missing. */
		if (r != 0 && r != EFAULT)
			test_fail(__FILE__, __LINE__, "%s: %d", probes[i].name, r);
	}
	/* The C library gets an answer where it looks for more. */
	CHECK_EQ(result_of(&(struct probe){ "openat", SYS_openat, { AT_FDCWD, PATH("/etc/passwd"), O_RDONLY } }), ENOENT);
	CHECK_EQ(result_of(&(struct probe){ "clone3", SYS_clone3, { 0, 0 } }), ENOSYS);
}

TEST_MAIN()
