/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <termios.h>
#include <unistd.h>

#include "fd.h"
#include "guest.h"
#include "guest_args.h"
#include "internal.h"

/* Above every number that hull-guest is given. */
#define OUT_OF_THE_WAY 64

int guest_terminal_open(const struct spec_process *process, struct guest_terminal *ret, struct err *err)
{
	struct termios t;
	int unlock = 0;
	CLEANUP_FD int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (master < 0 || ioctl(master, TIOCSPTLCK, &unlock) < 0)
		return err_set(err, ERR_SYSTEM, -errno, "open a terminal");
	CLEANUP_FD int slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (slave < 0 || tcgetattr(slave, &t) < 0)
		return err_set(err, ERR_SYSTEM, -errno, "open the other side of the terminal");
	cfmakeraw(&t);
	if (tcsetattr(slave, TCSANOW, &t) < 0)
		return err_set(err, ERR_SYSTEM, -errno, "set up the terminal");
	if (process->console_rows || process->console_cols) {
		struct winsize size = { .ws_row = process->console_rows, .ws_col = process->console_cols };
		(void)ioctl(master, TIOCSWINSZ, &size);
	}
	ret->master = TAKE_FD(master);
	ret->slave = TAKE_FD(slave);
	return 0;
}

/* @fd as number @as, which is free, and stays open over an exec. */
static int place(int fd, int as)
{
	return dup2(fd, as) < 0 ? -errno : 0;
}

int guest_execute(const struct runtime_spec *spec, const char *mode, const int stdio[3], bool is_terminal, const int *fds, size_t n,
		  struct err *err)
{
	int all[3 + GUEST_FD_END];
	char uid[16], gid[16];
	size_t count = 0;
	int r = 0;
	for (int i = 0; i < 3; i++)
		all[count++] = stdio[i];
	for (size_t i = 0; i < n; i++)
		all[count++] = fds[i];
	for (size_t i = 0; i < count && r == 0; i++) {
		all[i] = fcntl(all[i], F_DUPFD_CLOEXEC, OUT_OF_THE_WAY);
		r = all[i] < 0 ? -errno : 0;
	}
	for (size_t i = 0; i < count && r == 0; i++)
		r = place(all[i], (int)i);
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "hand descriptors to the supervisor");
	if (is_terminal && ioctl(0, TIOCSCTTY, 0) < 0)
		return err_set(err, ERR_SYSTEM, -errno, "take the terminal");
	/* Root of the workload, as the host numbers it. */
	snprintf(uid, sizeof(uid), "%u", spec->uid_maps_n ? spec->uid_maps[0].host_id : 65534u);
	snprintf(gid, sizeof(gid), "%u", spec->gid_maps_n ? spec->gid_maps[0].host_id : 65534u);
	char *argv[] = { (char *)(uintptr_t) "hull-guest", (char *)(uintptr_t)mode, uid, gid,
			 (char *)(uintptr_t)(is_terminal ? "1" : "0"), NULL };
	execv(spec->guest.supervisor, argv);
	r = err_set(err, ERR_SYSTEM, -errno, "execute %s", spec->guest.supervisor);
	err_hint(err, "is hull installed whole? HULL_LIBEXECDIR names the folder of its helpers");
	return r;
}

int guest_wait_report(int sock, int ret_names[2], struct err *err)
{
	struct guest_report report;
	for (;;) {
		int fds[2] = { -1, -1 };
		size_t n = 0;
		ssize_t got = fd_recv(sock, &report, sizeof(report), fds, 2, &n);
		if (got != (ssize_t)sizeof(report))
			return err_set(err, ERR_SYSTEM, got < 0 ? (int)got : 0, "the supervisor of the guest died");
		if (report.kind != GUEST_NAMES)
			break;
		for (int i = 0; i < 2; i++) {
			if (ret_names)
				ret_names[i] = TAKE_FD(fds[i]);
			cleanup_fd(&fds[i]);
		}
	}
	if (report.kind == GUEST_STARTED)
		return 0;
	*err = report.err;
	return err->errnum < 0 ? err->errnum : -EIO;
}
