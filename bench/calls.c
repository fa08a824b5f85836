/* SPDX-License-Identifier: Apache-2.0 */
/* What single operations cost where this runs: one line each, "name nanoseconds",
 * of the quickest of many short windows, so that what else the machine does counts
 * least. A static program: it is put into images. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define WINDOW_NS 4000000
#define TOTAL_NS 250000000
#define BLOCK 4096
#define FAULT_PAGES 512

static char block[BLOCK];
static int zero, null, file, ping[2], pong[2];
static const char *program;

static long long now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void need(int is_so, const char *what)
{
	if (is_so)
		return;
	fprintf(stderr, "bench-calls: %s: %s\n", what, strerror(errno));
	_exit(1);
}

static void do_getpid(void)
{
	(void)syscall(SYS_getpid);
}

static void do_read_write(void)
{
	need(read(zero, block, BLOCK) == BLOCK && write(null, block, BLOCK) == BLOCK, "read and write");
}

static void do_pwrite(void)
{
	need(pwrite(file, block, BLOCK, 0) == BLOCK, "pwrite");
}

static void do_pread(void)
{
	need(pread(file, block, BLOCK, 0) == BLOCK, "pread");
}

static void do_stat(void)
{
	struct stat st;
	need(stat("/bin/busybox", &st) == 0, "stat");
}

static void do_open(void)
{
	int fd = open("/bin/busybox", O_RDONLY | O_CLOEXEC);
	need(fd >= 0, "open");
	close(fd);
}

/* As many as FAULT_PAGES. */
static void do_faults(void)
{
	size_t size = FAULT_PAGES * (size_t)BLOCK;
	char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	need(memory != MAP_FAILED, "mmap");
	(void)madvise(memory, size, MADV_NOHUGEPAGE);
	for (size_t at = 0; at < size; at += BLOCK)
		*(volatile char *)(memory + at) = 1;
	munmap(memory, size);
}

static void do_pipe(void)
{
	need(write(ping[1], block, 1) == 1 && read(pong[0], block, 1) == 1, "a pipe");
}

static void wait_for(pid_t pid)
{
	int status;
	need(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0, "a child");
}

static void do_fork(void)
{
	pid_t pid = fork();
	if (pid == 0)
		_exit(0);
	wait_for(pid);
}

static void do_exec(void)
{
	char *argv[] = { (char *)(unsigned long)program, (char *)(unsigned long)"nothing", NULL };
	pid_t pid = fork();
	if (pid == 0) {
		execv(program, argv);
		_exit(1);
	}
	wait_for(pid);
}

static void start_echo(void)
{
	need(pipe(ping) == 0 && pipe(pong) == 0, "pipe");
	pid_t pid = fork();
	need(pid >= 0, "fork");
	if (pid > 0) {
		/* Ours alone, so that the other ends with us. */
		close(ping[0]);
		close(pong[1]);
		return;
	}
	close(ping[1]);
	char c;
	while (read(ping[0], &c, 1) == 1)
		need(write(pong[1], &c, 1) == 1, "a pipe");
	_exit(0);
}

static long long window(void (*operation)(void), long times)
{
	long long begin = now_ns();
	for (long i = 0; i < times; i++)
		operation();
	return now_ns() - begin;
}

static void measure(const char *name, void (*operation)(void), long per_call)
{
	long times = 1;
	long long took, spent = 0;
	double best = 1e18;
	while ((took = window(operation, times)) < WINDOW_NS / 2)
		times *= 2;
	for (; spent < TOTAL_NS; spent += took) {
		took = window(operation, times);
		double each = (double)took / (double)times / (double)per_call;
		best = each < best ? each : best;
	}
	printf("%s %.0f\n", name, best);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	program = argv[0];
	if (argc > 1)
		return 0;
	zero = open("/dev/zero", O_RDONLY);
	null = open("/dev/null", O_WRONLY);
	file = open("/dev/shm/bench-calls", O_RDWR | O_CREAT | O_TRUNC, 0600);
	need(zero >= 0 && null >= 0 && file >= 0, "open");
	measure("getpid", do_getpid, 1);
	measure("read_write", do_read_write, 1);
	measure("pwrite", do_pwrite, 1);
	measure("pread", do_pread, 1);
	measure("stat", do_stat, 1);
	measure("open", do_open, 1);
	measure("fault", do_faults, FAULT_PAGES);
	measure("fork", do_fork, 1);
	measure("exec", do_exec, 1);
	start_echo();
	measure("pipe", do_pipe, 1);
	return 0;
}
