/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "internal.h"

static int open_pty(const struct spec_process *process, int *ret_master, int *ret_slave, struct err *err)
{
	/* Of the devpts mounted here a moment ago, before any code of the image
	 * ran; the slave comes from the master, never by its name (CVE-2025-52565). */
	CLEANUP_FD int master = open("/dev/pts/ptmx", O_RDWR | O_NOCTTY | O_NOFOLLOW | O_CLOEXEC);
	int unlock = 0;
	if (master < 0 || ioctl(master, TIOCSPTLCK, &unlock) < 0)
		return err_set(err, ERR_SYSTEM, errno, "open a terminal");
	int slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (slave < 0)
		return err_set(err, ERR_SYSTEM, errno, "open the other side of the terminal");
	if (process->console_rows || process->console_cols) {
		struct winsize size = { .ws_row = process->console_rows, .ws_col = process->console_cols };
		(void)ioctl(master, TIOCSWINSZ, &size);
	}
	/* Its group stays the one that devpts gives, "tty". */
	if (process->user.uid != 0 && fchown(slave, process->user.uid, (gid_t)-1) < 0) {
		int r = err_set(err, ERR_SYSTEM, errno, "give the terminal to user %u", process->user.uid);
		close(slave);
		return r;
	}
	*ret_master = TAKE_FD(master);
	*ret_slave = slave;
	return 0;
}

int terminal_set_up(const struct spec_process *process, const struct isolation_io *io, int *ret_master, struct err *err)
{
	int fds[3] = { io->stdin_fd, io->stdout_fd, io->stderr_fd };
	CLEANUP_FD int master = -1, slave = -1;
	if (process->terminal) {
		int r = open_pty(process, &master, &slave, err);
		if (r < 0)
			return r;
		for (int i = 0; i < 3; i++)
			fds[i] = slave;
	}
	/* Out of the way of 0, 1 and 2 first. */
	for (int i = 0; i < 3; i++) {
		fds[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 3);
		if (fds[i] < 0)
			return err_set(err, ERR_SYSTEM, errno, "duplicate a descriptor");
	}
	for (int i = 0; i < 3; i++) {
		if (dup2(fds[i], i) < 0)
			return err_set(err, ERR_SYSTEM, errno, "set up descriptor %d", i);
		close(fds[i]);
	}
	if (process->terminal && ioctl(0, TIOCSCTTY, 0) < 0)
		return err_set(err, ERR_SYSTEM, errno, "take the terminal");
	*ret_master = TAKE_FD(master);
	return 0;
}
