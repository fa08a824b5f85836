/* SPDX-License-Identifier: Apache-2.0 */
/* What a hostile workload tries; run inside containers by test_isolation.py. Each
 * attack prints a line for everything that it got, and nothing when it got
 * nothing. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static void print_file(int dir, const char *path, const char *what)
{
	char text[256];
	int fd = openat(dir, path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (n > 0)
		printf("%s: %.*s\n", what, (int)n, text);
	if (fd >= 0)
		close(fd);
}

/* From the working directory and from every descriptor, up to the host's root. */
static int climb(const char *host_path)
{
	char path[512];
	for (int fd = -1; fd < 64; fd++) {
		snprintf(path, sizeof(path), "../../../../../../../../../../../..%s", host_path);
		print_file(fd < 0 ? AT_FDCWD : fd, path, "climbed");
		if (fd >= 0 && fchdir(fd) == 0)
			printf("descriptor %d is a directory\n", fd);
	}
	return 0;
}

static void look_into(pid_t pid, const char *host_path)
{
	char path[512], link[256];
	snprintf(path, sizeof(path), "/proc/%d/root%s", pid, host_path);
	print_file(AT_FDCWD, path, "through root");
	snprintf(path, sizeof(path), "/proc/%d/cwd/../../../../../..%s", pid, host_path);
	print_file(AT_FDCWD, path, "through cwd");
	snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	ssize_t n = readlink(path, link, sizeof(link) - 1);
	if (n > 0 && memmem(link, (size_t)n, "hull", 4) && !memmem(link, (size_t)n, "attack", 6)) {
		printf("exe of %d: %.*s\n", pid, (int)n, link);
		int fd = open(path, O_WRONLY);
		if (fd >= 0)
			printf("opened for writing\n");
	}
	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	DIR *d = opendir(path);
	for (struct dirent *e; d && (e = readdir(d));) {
		struct stat st;
		int fd = atoi(e->d_name);
		snprintf(path, sizeof(path), "/proc/%d/fd/%d", pid, fd);
		if (fd > 2 && stat(path, &st) == 0 && (S_ISDIR(st.st_mode) || S_ISSOCK(st.st_mode))) {
			n = readlink(path, link, sizeof(link) - 1);
			printf("descriptor %d of %d: %.*s\n", fd, pid, (int)(n > 0 ? n : 0), link);
		}
	}
	if (d)
		closedir(d);
}

/* Whatever enters this pid namespace is looked into before it has become the
 * command that it was asked to be. */
static int watch(const char *host_path, int seconds)
{
	time_t end = time(NULL) + seconds;
	static char known[65536];
	known[getpid() & 65535] = 1;
	DIR *d = opendir("/proc");
	printf("watching\n");
	fflush(stdout);
	while (d && time(NULL) < end) {
		rewinddir(d);
		for (struct dirent *e; (e = readdir(d));) {
			pid_t pid = atoi(e->d_name);
			if (pid <= 1 || known[pid & 65535])
				continue;
			known[pid & 65535] = 1;
			for (int i = 0; i < 20; i++)
				look_into(pid, host_path);
		}
	}
	return 0;
}

static void call(const char *name, long r)
{
	if (r >= 0 || (errno != EPERM && errno != ENOSYS && errno != EACCES))
		printf("%s: %s\n", name, r >= 0 ? "done" : strerror(errno));
}

/* System calls that no workload needs. With the arguments given here each would
 * fail otherwise than by a wall, or do no harm. */
static int surface(void)
{
#define TRY(name, ...) (errno = 0, call(#name, syscall(SYS_##name, ##__VA_ARGS__)))
	TRY(add_key, "user", "x", "y", 1, -1);
	TRY(keyctl, 0, -1, 0);
	TRY(request_key, "user", "x", NULL, 0);
	TRY(bpf, 0, NULL, 0);
	TRY(perf_event_open, NULL, 0, -1, -1, 0);
	TRY(userfaultfd, 0);
	TRY(mount, "none", "/tmp", "tmpfs", 0, NULL);
	TRY(umount2, "/proc", MNT_DETACH);
	TRY(pivot_root, "/", "/");
	TRY(swapon, "/x", 0);
	TRY(init_module, NULL, 0, "");
	TRY(finit_module, -1, "", 0);
	TRY(delete_module, "x", 0);
	TRY(kexec_load, 0, 0, NULL, 0);
	TRY(open_by_handle_at, -1, NULL, 0);
	TRY(io_uring_setup, 1, NULL);
	TRY(fsopen, "tmpfs", 0);
	TRY(open_tree, AT_FDCWD, "/", 1);
	TRY(move_mount, -1, "", -1, "", 0);
	TRY(mount_setattr, -1, "", 0, NULL, 0);
	TRY(quotactl, 0, NULL, 0, NULL);
	TRY(reboot, 0, 0, 0, NULL);
	TRY(settimeofday, NULL, NULL);
	TRY(acct, "/x");
	TRY(setns, -1, CLONE_NEWNS);
	TRY(unshare, CLONE_NEWUSER);
	TRY(unshare, CLONE_NEWNS);
	TRY(personality, 0x0040000); /* ADDR_NO_RANDOMIZE */
	TRY(iopl, 3);
	TRY(ioperm, 0, 1, 1);
	TRY(syslog, 10, NULL, 0);
	TRY(vhangup);
	TRY(socket, AF_VSOCK, SOCK_STREAM, 0);
	errno = 0;
	pid_t pid = (pid_t)syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, NULL, NULL, NULL, NULL);
	if (pid == 0)
		_exit(0);
	call("clone", pid);
	return 0;
}

/* @a and @b change places all the time. */
static int swap(const char *a, const char *b, int seconds)
{
	time_t end = time(NULL) + seconds;
	printf("swapping\n");
	fflush(stdout);
	while (time(NULL) < end)
		for (int i = 0; i < 1000; i++)
			(void)!syscall(SYS_renameat2, AT_FDCWD, a, AT_FDCWD, b, 2 /* RENAME_EXCHANGE */);
	return 0;
}

/* Descriptors, except the one that looks. */
static int list_descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	for (struct dirent *e; d && (e = readdir(d));)
		if (*e->d_name != '.' && atoi(e->d_name) != dirfd(d))
			printf("%s ", e->d_name);
	printf("\n");
	return 0;
}

static int poke(pid_t pid)
{
	char path[64];
	if (kill(pid, 0) == 0)
		printf("may signal %d\n", pid);
	if (ptrace(PTRACE_SEIZE, pid, NULL, NULL) == 0)
		printf("may trace %d\n", pid);
	for (const char *const *file = (const char *const[]){ "mem", "environ", "maps", NULL }; *file; file++) {
		snprintf(path, sizeof(path), "/proc/%d/%s", pid, *file);
		int fd = open(path, O_RDONLY);
		if (fd >= 0)
			printf("may read %s\n", path);
	}
	look_into(pid, "/etc/hostname");
	return 0;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	if (argc == 3 && !strcmp(what, "climb"))
		return climb(argv[2]);
	if (argc == 4 && !strcmp(what, "watch"))
		return watch(argv[2], atoi(argv[3]));
	if (argc == 5 && !strcmp(what, "swap"))
		return swap(argv[2], argv[3], atoi(argv[4]));
	if (argc == 3 && !strcmp(what, "poke"))
		return poke(atoi(argv[2]));
	if (!strcmp(what, "surface"))
		return surface();
	if (!strcmp(what, "descriptors"))
		return list_descriptors();
	fprintf(stderr, "no such attack\n");
	return 2;
}
