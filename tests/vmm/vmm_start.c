/* SPDX-License-Identifier: Apache-2.0 */
/* vmm-start [option...] KERNEL: run hull-vmm once, as hull's microvm level does, for
 * tests and measurements. The guest's serial port is standard output; the last
 * lines on standard error say how it ended and how long it took.
 *
 *   --vmm FILE --memory MIB --cpus N --initramfs FILE --cmdline TEXT --no-uart --no-acpi
 *   --rng --console --disk FILE --pmem FILE --balloon
 *   --parked             a net device without a tap
 *   --layer FILE         more of them: partitions of one read-only disk
 *   --share FOLDER       by hull-files (--files FILE), tag "share"
 *   --uid N              who it is outside, user and group
 *   --repeat N --quiet   as many times, one after another
 *   --until-first        stop the machine at its first byte of output
 *   --memory-report      private memory of hull-vmm at its first byte of output
 * Exits with hull-vmm's status. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "files_proto.h"
#include "process.h"
#include "vmm_proto.h"

static const char *program = "hull-vmm", *files = "hull-files";
static struct vmm_start start = { .magic = VMM_MAGIC, .bytes = sizeof(start), .memory_bytes = 256u << 20, .vcpus = 1,
				  .flags = VMM_START_UART, .kvm = -1, .kernel = -1, .initramfs = -1, .uart = -1 };
static int fds[VMM_FDS_MAX];
static int fds_n;
static bool is_quiet, is_until_first, has_memory_report;

static void die(const char *what)
{
	fprintf(stderr, "vmm-start: %s: %s\n", what, strerror(errno));
	exit(125);
}

static int add_fd(int fd, const char *what)
{
	if (fd < 0)
		die(what);
	fds[fds_n] = fd;
	return fds_n++;
}

static struct vmm_device *add_device(enum vmm_device_kind kind)
{
	struct vmm_device *d = &start.devices[start.n_devices++];
	*d = (struct vmm_device){ .kind = kind, .fds = { -1, -1, -1, -1 } };
	return d;
}

static void add_file(enum vmm_device_kind kind, const char *path, int flags)
{
	struct vmm_device *d = add_device(kind);
	d->fds[0] = add_fd(open(path, flags | O_CLOEXEC), path);
	d->flags = flags == O_RDONLY ? VMM_DEVICE_READONLY : 0;
}

/* One more layer of the disk that the last device is. */
static void add_layer(const char *path)
{
	int fd = add_fd(open(path, O_RDONLY | O_CLOEXEC), path);
	struct vmm_device *d = start.n_devices ? &start.devices[start.n_devices - 1] : NULL;
	if (!d || d->layers_n == 0) {
		d = add_device(VMM_DEVICE_BLK);
		d->fds[0] = fd;
		d->flags = VMM_DEVICE_READONLY;
	}
	d->layers_n++;
}

/* A folder, by a file server that ends with its guest. */
static void add_share(const char *path)
{
	static struct files_start share = { .magic = FILES_MAGIC, .shares_n = 1, .shares[0].name = "it" };
	struct err err = ERR_INIT;
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		die("socketpair");
	int folder = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (folder < 0)
		die(path);
	pid_t pid = fork();
	if (pid < 0)
		die("fork");
	if (pid == 0) {
		int sock = fcntl(pair[1], F_DUPFD, 100);
		if (dup2(sock, FILES_SOCKET_FD) < 0)
			_exit(126);
		close_range(FILES_SOCKET_FD + 1, ~0u, 0);
		execl(files, FILES_PROGRAM, NULL);
		_exit(127);
	}
	close(pair[1]);
	if (files_send_start(pair[0], &share, &folder, 1, &err) < 0 || files_recv_started(pair[0], &err) < 0) {
		fprintf(stderr, "vmm-start: %s: %s\n", files, err.msg);
		exit(125);
	}
	close(folder);
	struct vmm_device *d = add_device(VMM_DEVICE_FS);
	d->fds[0] = add_fd(pair[0], "share");
	snprintf(d->name, sizeof(d->name), "share");
}

static void send_start(int sock)
{
	int r = vmm_start_send(sock, &start, fds, (size_t)fds_n);
	if (r < 0) {
		errno = -r;
		die("send the start message");
	}
}

static void report_memory(pid_t pid)
{
	char path[64], line[256];
	long kib, sum = 0;
	snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)pid);
	CLEANUP_FILE FILE *f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "Private_Clean: %ld", &kib) == 1 || sscanf(line, "Private_Dirty: %ld", &kib) == 1)
			sum += kib;
	}
	fprintf(stderr, "private memory, with what the guest has touched: %ld KiB\n", sum);
}

static int run_once(void)
{
	int pair[2], output[2], status = 0, pidfd = -1;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0 || pipe2(output, O_CLOEXEC) < 0)
		die("socketpair");
	int uart = fds_n;
	if (start.flags & VMM_START_UART)
		start.uart = add_fd(output[1], "pipe");
	int64_t begin = clock_mono_ns(), first = 0;
	pid_t pid = process_clone(CLONE_NEWPID, -1, &pidfd);
	if (pid < 0) {
		errno = -(int)pid;
		die("clone");
	}
	if (pid == 0) {
		/* Moved out of the way first: descriptor 3 may be one of ours. */
		int sock = fcntl(pair[1], F_DUPFD, 100);
		if (dup2(sock, VMM_FD) < 0)
			_exit(126);
		close_range(VMM_FD + 1, ~0u, 0);
		execl(program, VMM_PROGRAM, NULL);
		_exit(127);
	}
	close(pair[1]);
	send_start(pair[0]);
	fds_n = uart;
	close(output[1]);
	char bytes[4096];
	for (ssize_t n; (n = read(output[0], bytes, sizeof(bytes))) > 0;) {
		if (!first) {
			first = clock_mono_ns();
			if (has_memory_report)
				report_memory(pid);
			if (is_until_first && send(pair[0], &(struct vmm_command){ .type = VMM_STOP }, sizeof(struct vmm_command), 0) < 0)
				die("send");
		}
		if (!is_quiet)
			(void)!write(STDOUT_FILENO, bytes, (size_t)n);
	}
	int64_t started = 0;
	struct vmm_event event = { 0 };
	/* A reset only says that it has not read our last command. */
	for (ssize_t n; (n = recv(pair[0], &event, sizeof(event), 0)) > 0 || (n < 0 && errno == ECONNRESET);) {
		if (n > 0 && event.type == VMM_EVENT_STARTED)
			started = 1;
	}
	int64_t ended = clock_mono_ns();
	waitpid(pid, &status, 0);
	int64_t reaped = clock_mono_ns();
	close(pair[0]);
	close(output[0]);
	close(pidfd);
	if (err_is_set(&event.err))
		fprintf(stderr, "error: %s\n", event.err.msg);
	fprintf(stderr, "end %d started %d first %.3f ms end %.3f ms reaped %.3f ms dropped %llu failures %llu\n",
		WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), (int)started, first ? (double)(first - begin) / 1e6 : 0.0,
		(double)(ended - begin) / 1e6, (double)(reaped - begin) / 1e6, (unsigned long long)event.dropped_writes,
		(unsigned long long)event.device_failures);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int main(int argc, char **argv)
{
	enum { VMM = 1, MEMORY, CPUS, INITRAMFS, CMDLINE, NO_UART, RNG, CONSOLE, DISK, PMEM, BALLOON, REPEAT, QUIET, FIRST, REPORT, UID, NO_ACPI, LAYER, SHARE, FILES, PARKED };
	static const struct option options[] = {
		{ "vmm", 1, NULL, VMM }, { "memory", 1, NULL, MEMORY }, { "cpus", 1, NULL, CPUS }, { "initramfs", 1, NULL, INITRAMFS },
		{ "cmdline", 1, NULL, CMDLINE }, { "no-uart", 0, NULL, NO_UART }, { "rng", 0, NULL, RNG }, { "console", 0, NULL, CONSOLE },
		{ "disk", 1, NULL, DISK }, { "pmem", 1, NULL, PMEM }, { "balloon", 0, NULL, BALLOON }, { "repeat", 1, NULL, REPEAT },
		{ "quiet", 0, NULL, QUIET }, { "until-first", 0, NULL, FIRST }, { "memory-report", 0, NULL, REPORT }, { "uid", 1, NULL, UID }, { "no-acpi", 0, NULL, NO_ACPI },
		{ "layer", 1, NULL, LAYER }, { "share", 1, NULL, SHARE }, { "files", 1, NULL, FILES }, { "parked", 0, NULL, PARKED }, { 0 } };
	int repeat = 1, status = 0;
	start.kvm = add_fd(open("/dev/kvm", O_RDWR | O_CLOEXEC), "/dev/kvm");
	for (int c; (c = getopt_long(argc, argv, "+", options, NULL)) != -1;) {
		switch (c) {
		case VMM: program = optarg; break;
		case MEMORY: start.memory_bytes = (uint64_t)atoll(optarg) << 20; break;
		case CPUS: start.vcpus = (uint32_t)atoi(optarg); break;
		case INITRAMFS: start.initramfs = add_fd(open(optarg, O_RDONLY | O_CLOEXEC), optarg); break;
		case CMDLINE: snprintf(start.cmdline, sizeof(start.cmdline), "%s", optarg); break;
		case NO_UART: start.flags &= ~VMM_START_UART; break;
		case RNG: add_device(VMM_DEVICE_RNG); break;
		case CONSOLE: add_device(VMM_DEVICE_CONSOLE)->fds[1] = add_fd(dup(STDOUT_FILENO), "stdout"); break;
		case DISK: add_file(VMM_DEVICE_BLK, optarg, O_RDWR); break;
		case PMEM: add_file(VMM_DEVICE_PMEM, optarg, O_RDONLY); break;
		case BALLOON: add_device(VMM_DEVICE_BALLOON); break;
		case LAYER: add_layer(optarg); break;
		case SHARE: add_share(optarg); break;
		case PARKED: add_device(VMM_DEVICE_NET)->flags = VMM_DEVICE_PARKED; break;
		case FILES: files = optarg; break;
		case REPEAT: repeat = atoi(optarg); break;
		case QUIET: is_quiet = true; break;
		case FIRST: is_until_first = true; break;
		case NO_ACPI: start.flags |= VMM_START_NO_ACPI; break;
		case UID: start.uid = start.gid = (uint32_t)atoll(optarg); break;
		case REPORT: has_memory_report = true; break;
		default: return 125;
		}
	}
	if (optind + 1 != argc) {
		fprintf(stderr, "usage: vmm-start [option...] KERNEL\n");
		return 125;
	}
	start.kernel = add_fd(open(argv[optind], O_RDONLY | O_CLOEXEC), argv[optind]);
	signal(SIGPIPE, SIG_IGN);
	for (int i = 0; i < repeat; i++)
		status = run_once();
	return status;
}
