/* SPDX-License-Identifier: Apache-2.0 */
/* Freezing, killing and removing groups.
 *
 * With a cgroup2 directory the kernel does the work (cgroup.freeze,
 * cgroup.kill) and tells when it is done: cgroup.events gives POLLPRI when
 * "frozen" or "populated" changes. The v1 freezer and v1 rmdir have no event;
 * there, and only there, we look again after a short wait that grows. */
#include "cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "fd.h"
#include "str.h"

#define DEPTH_MAX 32

/* Milliseconds until @deadline_ms for poll(), 0 when it has passed. */
static int until(int64_t deadline_ms)
{
	int64_t left = deadline_ms - clock_mono_ms();

	return left <= 0 ? 0 : left > 60000 ? 60000 : (int)left;
}

/* For the few states the kernel does not announce. False past the deadline. */
static bool wait_a_little(unsigned *round, int64_t deadline_ms)
{
	unsigned us = 100u << (*round < 6 ? *round : 6);
	struct timespec ts = { .tv_nsec = (long)us * 1000 };

	(*round)++;
	if (until(deadline_ms) == 0)
		return false;
	nanosleep(&ts, NULL);
	return true;
}

/* Wait until the line "@key @value" is in cgroup.events of @dir. A directory
 * that vanishes counts as reached. */
static int wait_event(int dir, const char *key, int value, int64_t deadline_ms)
{
	CLEANUP_FD int fd = openat(dir, "cgroup.events", O_RDONLY | O_CLOEXEC);
	char want[32], text[256];

	if (fd < 0)
		return errno == ENOENT || errno == ENODEV ? 0 : -errno;
	snprintf(want, sizeof(want), "%s %d\n", key, value);
	for (;;) {
		ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
		if (n < 0)
			return errno == ENODEV ? 0 : -errno;
		text[n] = '\0';
		if (strstr(text, want))
			return 0;
		int left = until(deadline_ms);
		if (left == 0)
			return -ETIMEDOUT;
		struct pollfd p = { .fd = fd, .events = POLLPRI };
		if (poll(&p, 1, left) < 0 && errno != EINTR)
			return -errno;
	}
}

static int freezer_v1(int dir, bool frozen, int64_t deadline_ms)
{
	const char *want = frozen ? "FROZEN" : "THAWED";
	unsigned round = 0;

	for (;;) {
		CLEANUP_BUF struct buf text = BUF_INIT(64);
		/* Written again each round: a fork during freezing can leave the
		 * state at FREEZING until the next write. */
		int r = fd_write_value_at(dir, "freezer.state", want);
		if (r == 0)
			r = fd_read_file_at(dir, "freezer.state", &text);
		if (r < 0)
			return r;
		if (str_starts_with(buf_str(&text), want))
			return 0;
		if (!wait_a_little(&round, deadline_ms))
			return -ETIMEDOUT;
	}
}

int cgroup_freeze(struct cgroup *cg, bool frozen, int64_t deadline_ms)
{
	int h = cg->layout->hierarchy[CGROUP_FREEZER];
	int r;

	if (h < 0)
		return -ENODEV;
	if (cg->fd[h] < 0)
		return -ENOENT;
	if (h == CGROUP_UNIFIED) {
		r = fd_write_value_at(cg->fd[h], "cgroup.freeze", frozen ? "1" : "0");
		if (r == 0)
			r = wait_event(cg->fd[h], "frozen", frozen, deadline_ms);
		if (r < 0 && frozen)
			(void)!fd_write_value_at(cg->fd[h], "cgroup.freeze", "0");
		return r;
	}
	r = freezer_v1(cg->fd[h], frozen, deadline_ms);
	if (r < 0 && frozen)
		(void)!fd_write_value_at(cg->fd[h], "freezer.state", "THAWED");
	return r;
}

int cgroup_is_frozen(const struct cgroup *cg)
{
	CLEANUP_BUF struct buf text = BUF_INIT(256);
	int h = cg->layout->hierarchy[CGROUP_FREEZER];

	if (h < 0 || cg->fd[h] < 0)
		return 0;
	int r = fd_read_file_at(cg->fd[h], h == CGROUP_UNIFIED ? "cgroup.freeze" : "freezer.state", &text);
	if (r < 0)
		return r;
	return buf_str(&text)[0] == '1' || str_starts_with(buf_str(&text), "FR");
}

/* A kernel without cgroup.kill: freeze so that nothing forks, signal all, thaw.
 * Repeated, because without a freezer a fork may slip through. */
static int kill_by_pids(struct cgroup *cg, int64_t deadline_ms)
{
	unsigned round = 0;

	for (;;) {
		CLEANUP_FREE pid_t *pids = NULL;
		size_t n = 0, alive = 0;
		bool is_frozen = round == 0 && cgroup_freeze(cg, true, clock_mono_ms() + 200) == 0;
		int r = cgroup_pids(cg, &pids, &n);

		/* A thawed group delivers; a frozen v1 one keeps signals back. */
		for (size_t i = 0; r == 0 && i < n; i++)
			if (pids[i] > 0 && kill(pids[i], SIGKILL) == 0)
				alive++;
		if (is_frozen || round == 0)
			(void)!cgroup_freeze(cg, false, deadline_ms);
		if (r < 0)
			return r == -ENODEV || r == -ENOENT ? 0 : r;
		if (!alive)
			return 0;
		/* Wait on the last of the list: its end is an event. */
		CLEANUP_FD int pidfd = (int)syscall(SYS_pidfd_open, pids[n - 1], 0);
		struct pollfd p = { .fd = pidfd, .events = POLLIN };
		if (until(deadline_ms) == 0)
			return -ETIMEDOUT;
		if (pidfd >= 0)
			poll(&p, 1, until(deadline_ms) < 100 ? until(deadline_ms) : 100);
		/* Ended but not yet reaped processes stay listed for a moment. */
		if (!wait_a_little(&round, deadline_ms))
			return -ETIMEDOUT;
	}
}

int cgroup_kill(struct cgroup *cg, int64_t deadline_ms)
{
	int dir = cg->fd[CGROUP_UNIFIED];

	if (dir >= 0) {
		int r = fd_write_value_at(dir, "cgroup.kill", "1");
		if (r == -ENODEV)
			return 0;
		if (r == 0)
			return wait_event(dir, "populated", 0, deadline_ms);
	}
	return kill_by_pids(cg, deadline_ms);
}

/* Remove @name in @parent and the groups below it. */
static int remove_tree(int parent, const char *name, int depth)
{
	if (unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return 0;
	int saved = -errno;
	int fd = depth < DEPTH_MAX ? openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;
	if (fd < 0)
		return saved;
	CLEANUP_DIR DIR *d = fdopendir(fd);
	if (!d) {
		close(fd);
		return -ENOMEM;
	}
	for (struct dirent *e; (e = readdir(d));)
		if (e->d_type == DT_DIR && !str_eq(e->d_name, ".") && !str_eq(e->d_name, ".."))
			(void)!remove_tree(fd, e->d_name, depth + 1);
	return unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT ? 0 : -errno;
}

int cgroup_destroy(const struct cgroup_layout *layout, const char *path, int64_t deadline_ms)
{
	CLEANUP_CGROUP struct cgroup cg = CGROUP_INIT;
	unsigned round = 0;
	int r = cgroup_open(layout, path, &cg);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	for (;;) {
		int busy = 0;

		/* Usually all have ended, so ask only when a rmdir refuses. */
		if (round > 0) {
			r = cgroup_kill(&cg, deadline_ms);
			if (r < 0)
				return r;
		}
		for (int h = 0; h < CGROUP_CONTROLLER_COUNT; h++) {
			char full[CGROUP_ROOT_MAX + CGROUP_PATH_MAX + 2];

			if (cg.fd[h] < 0)
				continue;
			snprintf(full, sizeof(full), "%s/%s", layout->root[h], path);
			r = remove_tree(AT_FDCWD, full, 0);
			if (r == -EBUSY) {
				/* Somebody who is in this hierarchy alone: a
				 * launcher that died half-way through. */
				struct cgroup one = CGROUP_INIT;
				one.layout = layout;
				one.fd[h] = cg.fd[h];
				busy++;
				if (round > 0 && h != CGROUP_UNIFIED)
					(void)!kill_by_pids(&one, deadline_ms);
			} else if (r < 0)
				return r;
			else
				cleanup_fd(&cg.fd[h]);
		}
		if (!busy)
			return 0;
		if (round++ == 0)
			continue;
		/* The last process is gone for the list but not yet for rmdir:
		 * the kernel is between the two and says nothing when done. */
		if (!wait_a_little(&round, deadline_ms))
			return -EBUSY;
	}
}

int cgroup_oom_open(const struct cgroup *cg)
{
	int dir = cgroup_dir(cg, CGROUP_MEMORY);

	if (dir < 0)
		return -ENODEV;
	if (cgroup_is_v2(cg->layout, CGROUP_MEMORY)) {
		char path[64];
		CLEANUP_FD int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);

		snprintf(path, sizeof(path), "/proc/self/fd/%d/memory.events", dir);
		if (fd < 0 || inotify_add_watch(fd, path, IN_MODIFY) < 0)
			return -errno;
		return TAKE_FD(fd);
	}
	CLEANUP_FD int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	CLEANUP_FD int control = openat(dir, "memory.oom_control", O_RDONLY | O_CLOEXEC);
	char line[32];

	if (event < 0 || control < 0)
		return -errno;
	snprintf(line, sizeof(line), "%d %d", event, control);
	int r = fd_write_value_at(dir, "cgroup.event_control", line);
	return r < 0 ? r : TAKE_FD(event);
}

void cgroup_oom_drain(int fd)
{
	char text[4096];

	while (read(fd, text, sizeof(text)) > 0)
		;
}

int cgroup_oom_kills(const struct cgroup *cg, uint64_t *ret)
{
	CLEANUP_BUF struct buf text = BUF_INIT(4096);
	int dir = cgroup_dir(cg, CGROUP_MEMORY);

	if (dir < 0)
		return -ENODEV;
	int r = fd_read_file_at(dir, cgroup_is_v2(cg->layout, CGROUP_MEMORY) ? "memory.events" : "memory.oom_control",
				&text);
	if (r < 0)
		return r;
	const char *at = strstr(buf_str(&text), "oom_kill ");
	*ret = at ? strtoull(at + 9, NULL, 10) : 0;
	return 0;
}
