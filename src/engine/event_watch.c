/* SPDX-License-Identifier: Apache-2.0 */
#include "event_watch.h"

#include <poll.h>
#include <sys/inotify.h>
#include <unistd.h>

int event_watch_open(struct engine *engine, int *ret, struct err *err)
{
	CLEANUP_FD int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	/* The folders, not the files: the log of the database comes and goes. */
	if (fd < 0 || inotify_add_watch(fd, engine->root, IN_MODIFY | IN_CREATE | IN_MOVED_TO | IN_DELETE) < 0 ||
	    inotify_add_watch(fd, engine->run, IN_MODIFY | IN_CREATE | IN_MOVED_TO) < 0)
		return err_set(err, ERR_SYSTEM, errno, "watch %s", engine->root);
	*ret = TAKE_FD(fd);
	return 0;
}

int event_watch_wait(int watch, int timeout_ms)
{
	struct pollfd p = { .fd = watch, .events = POLLIN };
	char discard[4096];
	int r = poll(&p, 1, timeout_ms);
	if (r <= 0)
		return r < 0 ? -errno : 0;
	while (read(watch, discard, sizeof(discard)) > 0)
		;
	return 1;
}
