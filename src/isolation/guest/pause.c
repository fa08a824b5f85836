/* SPDX-License-Identifier: Apache-2.0 */
/* A paused guest stands still twice: the agent has stopped the workload, as a
 * container is stopped, and the host the whole machine. So the machine can be woken
 * for a question (cp, update, top) while the workload stands still, and a guest that
 * is not to be trusted with the first cannot get out of the second.
 *
 * A file in the workload's folder says that it is paused. Its lock is shared by
 * those who ask, and the last of them stops the machine again; one who is killed
 * leaves that to the next. */
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "container.h"
#include "fd.h"
#include "guest.h"

#define PAUSED_NAME "paused"
#define PAUSE_TIMEOUT_S 5

static int open_mark(const struct isolation_handle *handle, int flags)
{
	CLEANUP_FREE char *path = str_printf("%s/" PAUSED_NAME, handle->run_dir);
	int fd = open(path, flags | O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0600);
	return fd < 0 ? -errno : fd;
}

static bool is_marked(int mark)
{
	struct stat st;
	return fstat(mark, &st) == 0 && st.st_nlink > 0;
}

int guest_pause(const struct isolation_handle *handle, struct err *err)
{
	struct err ignored = ERR_INIT;
	int r = guest_ask_pause(handle, true, PAUSE_TIMEOUT_S, &ignored);
	/* A workload that has ended is not paused; a guest that does not answer is. */
	if (r < 0 && ignored.kind == ERR_CONFLICT)
		return err_set(err, ERR_CONFLICT, 0, "%s", ignored.msg);
	r = isolation_container.pause(handle, err);
	if (r < 0) {
		(void)guest_ask_pause(handle, false, PAUSE_TIMEOUT_S, &ignored);
		return r;
	}
	CLEANUP_FD int mark = open_mark(handle, O_CREAT);
	return mark < 0 ? err_set(err, ERR_SYSTEM, mark, "write %s/" PAUSED_NAME, handle->run_dir) : 0;
}

void guest_forget_pause(const struct isolation_handle *handle)
{
	CLEANUP_FREE char *path = str_printf("%s/" PAUSED_NAME, handle->run_dir);
	(void)unlink(path);
}

int guest_resume(const struct isolation_handle *handle, struct err *err)
{
	struct err ignored = ERR_INIT;
	/* From here on nobody who is done with asking stops it again. */
	guest_forget_pause(handle);
	int r = isolation_container.resume(handle, err);
	if (r == 0)
		(void)guest_ask_pause(handle, false, PAUSE_TIMEOUT_S, &ignored);
	return r;
}

int guest_wake(const struct isolation_handle *handle, int *ret_mark, struct err *err)
{
	*ret_mark = -1;
	CLEANUP_FD int mark = open_mark(handle, 0);
	if (mark == -ENOENT)
		return 0;
	if (mark < 0 || flock(mark, LOCK_SH) < 0)
		return err_set(err, ERR_SYSTEM, mark < 0 ? mark : -errno, "open %s/" PAUSED_NAME, handle->run_dir);
	int r = isolation_container.resume(handle, err);
	if (r == 0)
		*ret_mark = TAKE_FD(mark);
	return r;
}

void guest_sleep_again(const struct isolation_handle *handle, int mark)
{
	struct err ignored = ERR_INIT;
	if (mark < 0)
		return;
	/* Whoever else asks does it. */
	if (flock(mark, LOCK_EX | LOCK_NB) == 0 && is_marked(mark) && isolation_container.pause(handle, &ignored) == 0 && !is_marked(mark))
		(void)isolation_container.resume(handle, &ignored);
	close(mark);
}
