/* SPDX-License-Identifier: Apache-2.0 */
#include "container_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* 60 bits of the id: ids are random. */
static off_t lock_byte(const char *id)
{
	off_t n = 0;
	for (int i = 0; i < 15 && id[i]; i++)
		n = n * 16 + (id[i] <= '9' ? id[i] - '0' : id[i] - 'a' + 10);
	return n;
}

static int set_lock(struct engine *engine, const char *id, int how, struct err *err)
{
	if (engine->lock_fd < 0)
		engine->lock_fd = openat(engine->run_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (engine->lock_fd < 0)
		return err_set(err, ERR_SYSTEM, -errno, "open %s/lock", engine->run);
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = lock_byte(id), .l_len = 1 };
	int r;
	do
		r = fcntl(engine->lock_fd, how, &lock);
	while (r < 0 && errno == EINTR && how == F_OFD_SETLKW);
	if (r < 0 && how == F_OFD_SETLK && (errno == EAGAIN || errno == EACCES))
		return 0;
	return r < 0 ? err_set(err, ERR_SYSTEM, -errno, "lock container %s", id) : 1;
}

int container_lock(struct engine *engine, const char *id, struct err *err)
{
	int r = set_lock(engine, id, F_OFD_SETLKW, err);
	return r < 0 ? r : 0;
}

int container_trylock(struct engine *engine, const char *id, struct err *err)
{
	return set_lock(engine, id, F_OFD_SETLK, err);
}

void container_unlock(struct engine *engine)
{
	/* Another description each time: closing lets go of the lock whatever byte
	 * it was. */
	if (engine->lock_fd >= 0)
		close(engine->lock_fd);
	engine->lock_fd = -1;
}
