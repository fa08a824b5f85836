/* SPDX-License-Identifier: Apache-2.0 */
#include "container_logs.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "clock.h"
#include "containers.h"

/* More rotated files than anybody keeps. */
#define FILES_MAX 1000
#define BLOCK_BYTES 65536

struct reader {
	struct engine *engine;
	struct container *c;
	const struct log_query *query;
	log_line_fn *each;
	void *ctx;
	struct err *err;
	int dir;
	char name[96];
	/* Oldest first; the last is the one being written. */
	int *files;
	size_t files_n;
	struct buf rest; /* the beginning of a line whose end is not there yet */
	struct json_log_line line;
};

/* The oldest @n. */
static void close_files(struct reader *r, size_t n)
{
	for (size_t i = 0; i < n; i++)
		cleanup_fd(&r->files[i]);
	if (n)
		memmove(r->files, r->files + n, (r->files_n - n) * sizeof(int));
	r->files_n -= n;
}

static void reader_done(struct reader *r)
{
	close_files(r, r->files_n);
	free(r->files);
	cleanup_fd(&r->dir);
	buf_free(&r->rest);
	json_log_line_done(&r->line);
}

static bool same_file(int a, int b)
{
	struct stat x, y;
	return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_ino == y.st_ino && x.st_dev == y.st_dev;
}

static int open_log(struct reader *r, unsigned n)
{
	char name[128];
	snprintf(name, sizeof(name), n ? "%s.%u" : "%s", r->name, n);
	return openat(r->dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
}

static void prepend_file(struct reader *r, int fd)
{
	r->files = reallocarray(r->files, r->files_n + 1, sizeof(int));
	if (!r->files)
		abort();
	memmove(r->files + 1, r->files, r->files_n * sizeof(int));
	r->files[0] = fd;
	r->files_n++;
}

/* The newest first: a rotation meanwhile moves files towards where we have not
 * been, so that none is missed. It leaves one name without a file at a time. */
static int open_files_once(struct reader *r)
{
	bool hole = false;
	for (unsigned i = 0; i < FILES_MAX; i++) {
		int fd = open_log(r, i);
		if (fd < 0 && errno != ENOENT)
			return err_set(r->err, ERR_SYSTEM, -errno, "open the log %s", r->name);
		if (fd < 0 && hole)
			break;
		hole = hole || fd < 0;
		if (fd >= 0 && r->files_n && same_file(fd, r->files[0]))
			cleanup_fd(&fd);
		if (fd >= 0)
			prepend_file(r, fd);
	}
	return 0;
}

/* Once more when two rotations were so quick that the order may be wrong. */
static int open_files(struct reader *r)
{
	for (int tries = 0;; tries++) {
		CLEANUP_FD int before = open_log(r, 0);
		int result = open_files_once(r);
		if (result < 0)
			return result;
		CLEANUP_FD int after = open_log(r, 0);
		if (tries == 20 || (before < 0 && after < 0) || (before >= 0 && after >= 0 && same_file(before, after)))
			return 0;
		close_files(r, r->files_n);
	}
}

/* Go to the beginning of the last @wanted lines of the file; returns how many
 * are still wanted of the files before it. */
static int64_t seek_tail(int fd, int64_t wanted)
{
	char block[BLOCK_BYTES];
	off_t at = lseek(fd, 0, SEEK_END);
	bool skip_final = true;
	while (at > 0) {
		size_t n = at < (off_t)sizeof(block) ? (size_t)at : sizeof(block);
		ssize_t got = pread(fd, block, n, at - (off_t)n);
		if (got != (ssize_t)n)
			break;
		for (size_t i = n; i-- > 0;) {
			if (block[i] != '\n')
				continue;
			if (skip_final) {
				skip_final = false;
				continue;
			}
			if (--wanted == 0) {
				(void)lseek(fd, at - (off_t)n + (off_t)i + 1, SEEK_SET);
				return 0;
			}
		}
		at -= (off_t)n;
	}
	(void)lseek(fd, 0, SEEK_SET);
	/* The first line of the file has no line feed before it. */
	return skip_final ? wanted : wanted - 1;
}

/* Where to begin: drops the files that lie before the last @tail lines. */
static void choose_tail(struct reader *r)
{
	int64_t wanted = r->query->tail;
	size_t first = r->files_n;
	while (first > 0 && wanted > 0) {
		first--;
		wanted = seek_tail(r->files[first], wanted);
	}
	/* None wanted: only what comes. */
	if (r->query->tail == 0 && r->files_n) {
		first = r->files_n - 1;
		(void)lseek(r->files[first], 0, SEEK_END);
	}
	close_files(r, first);
}

static int take_line(struct reader *r, const char *text, size_t len)
{
	if (json_log_parse(text, len, &r->line) < 0)
		return 0;
	if (r->query->since_ns && r->line.wall_ns < r->query->since_ns)
		return 0;
	if (r->query->until_ns && r->line.wall_ns > r->query->until_ns)
		return 0;
	return r->each(r->ctx, &r->line);
}

/* Everything up to the end of the file as it is now. */
static int drain(struct reader *r, int fd)
{
	for (;;) {
		if (buf_reserve(&r->rest, BLOCK_BYTES) < 0) {
			/* No line feed in so much: no log of ours. */
			buf_clear(&r->rest);
			continue;
		}
		ssize_t n = read(fd, r->rest.data + r->rest.len, BLOCK_BYTES);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? err_set(r->err, ERR_SYSTEM, -errno, "read the log") : 0;
		r->rest.len += (size_t)n;
		r->rest.data[r->rest.len] = '\0';
		size_t done = 0;
		char *feed;
		while ((feed = memchr(r->rest.data + done, '\n', r->rest.len - done))) {
			size_t len = (size_t)(feed - (r->rest.data + done)) + 1;
			int result = take_line(r, r->rest.data + done, len);
			if (result)
				return result;
			done += len;
		}
		buf_consume(&r->rest, done);
	}
}

static int read_files(struct reader *r)
{
	for (size_t i = 0; i < r->files_n; i++) {
		int result = drain(r, r->files[i]);
		if (result)
			return result;
		/* A torn line at the end of a file that is whole otherwise. */
		if (i + 1 < r->files_n)
			buf_clear(&r->rest);
	}
	return 0;
}

/* The files that have come since the one we read, of which the rest is read first. */
static int follow_rotation(struct reader *r)
{
	CLEANUP_FD int now = open_log(r, 0);
	if (now < 0 || (r->files_n && same_file(now, r->files[r->files_n - 1])))
		return 0;
	CLEANUP_FD int last = r->files_n ? TAKE_FD(r->files[r->files_n - 1]) : -1;
	close_files(r, r->files_n);
	int result = open_files(r);
	if (result < 0)
		return result;
	/* Nothing is written to it any more. */
	if (last >= 0)
		result = drain(r, last);
	if (result)
		return result;
	buf_clear(&r->rest);
	for (size_t i = r->files_n; last >= 0 && i-- > 0;) {
		if (same_file(r->files[i], last)) {
			close_files(r, i + 1);
			break;
		}
	}
	return read_files(r);
}

/* With a single file, rotation empties it. */
static void notice_truncation(int fd)
{
	struct stat st;
	if (fstat(fd, &st) == 0 && st.st_size < lseek(fd, 0, SEEK_CUR))
		(void)lseek(fd, 0, SEEK_SET);
}

/* Whether more may come: it runs, or will be started again by its policy. */
static bool may_write(struct reader *r)
{
	struct err ignored = ERR_INIT;
	int result = container_refresh(r->engine, r->c, &ignored);
	/* Nobody else may come who starts it again. */
	if (result == 0 && r->c->is_orphaned && containers_finish(r->engine, r->c->id, &ignored) == 0)
		result = container_refresh(r->engine, r->c, &ignored);
	return result == 0 && (container_is_running(r->c) || r->c->status == CONTAINER_RESTARTING);
}

/* Wait for a change of the folder or the end of the monitor. */
static void wait_for_more(struct reader *r, int changes)
{
	CLEANUP_FD int monitor = -1;
	char events[4096];
	if (r->c->run.monitor_pid > 1)
		monitor = (int)syscall(SYS_pidfd_open, r->c->run.monitor_pid, 0);
	struct pollfd p[2] = { { .fd = changes, .events = POLLIN }, { .fd = monitor, .events = POLLIN } };
	/* A second at most: the limit of --until passes without a sign. */
	if (poll(p, 2, monitor < 0 ? 50 : 1000) > 0 && p[0].revents)
		(void)!read(changes, events, sizeof(events));
}

static int follow(struct reader *r)
{
	CLEANUP_FD int changes = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	char path[32];
	snprintf(path, sizeof(path), "/proc/self/fd/%d", r->dir);
	if (changes < 0 || inotify_add_watch(changes, path, IN_MODIFY | IN_CREATE | IN_MOVED_TO | IN_ONLYDIR) < 0)
		return err_set(r->err, ERR_SYSTEM, -errno, "watch the log");
	for (;;) {
		/* Asked before the reading, so that what came before the end is read. */
		bool goes_on = may_write(r);
		if (r->files_n)
			notice_truncation(r->files[r->files_n - 1]);
		int result = r->files_n ? drain(r, r->files[r->files_n - 1]) : 0;
		if (result == 0)
			result = follow_rotation(r);
		if (result == 0 && r->files_n)
			result = drain(r, r->files[r->files_n - 1]);
		if (result)
			return result;
		if (!goes_on || (r->query->until_ns && clock_wall_ns() > r->query->until_ns))
			return 0;
		wait_for_more(r, changes);
	}
}

int containers_logs(struct engine *engine, struct container *c, const struct log_query *query, log_line_fn *each, void *ctx,
		    struct err *err)
{
	CLEANUP(reader_done) struct reader r = {
		.engine = engine, .c = c, .query = query, .each = each, .ctx = ctx, .err = err, .dir = -1,
		.rest = BUF_INIT(4u * JSON_LOG_LINE_MAX), .line = JSON_LOG_LINE_INIT,
	};
	int result = container_load_config(c, err);
	if (result < 0)
		return result;
	const char *driver = str_is_empty(c->config->log_driver) ? "json-file" : c->config->log_driver;
	if (!str_eq(driver, "json-file"))
		return err_set(err, ERR_UNSUPPORTED, 0, "configured logging driver does not support reading");
	CLEANUP_FREE char *path = engine_workload_path(engine, c->id, NULL);
	snprintf(r.name, sizeof(r.name), "%s-json.log", c->id);
	r.dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (r.dir < 0 && errno == ENOENT)
		return 0;
	if (r.dir < 0)
		return err_set(err, ERR_SYSTEM, -errno, "open %s", path);
	result = open_files(&r);
	if (result < 0)
		return result;
	if (query->tail >= 0)
		choose_tail(&r);
	result = read_files(&r);
	return result || !query->follow ? result : follow(&r);
}
