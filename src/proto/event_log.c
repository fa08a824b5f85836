/* SPDX-License-Identifier: Apache-2.0 */
#include "event_log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#include "buf.h"
#include "cleanup.h"
#include "fd.h"
#include "str.h"

#define EVENTS_FILE "events"
#define LINE_MAX_BYTES 4096
/* A file that nobody drained for ever must not fill the tmpfs it is on. */
#define EVENTS_MAX_BYTES (16 << 20)

struct line {
	char text[LINE_MAX_BYTES];
	size_t len;
	bool is_too_long;
};

static void put(struct line *line, const char *s)
{
	for (; *s; s++) {
		const char *escape = *s == '\t' ? "\\t" : *s == '\n' ? "\\n" : *s == '\\' ? "\\\\" : NULL;
		size_t n = escape ? 2 : 1;
		if (line->len + n + 1 >= sizeof(line->text)) {
			line->is_too_long = true;
			return;
		}
		memcpy(line->text + line->len, escape ? escape : s, n);
		line->len += n;
	}
}

static void put_field(struct line *line, const char *s)
{
	if (line->len + 2 < sizeof(line->text))
		line->text[line->len++] = '\t';
	put(line, s);
}

int event_log_append(int run_dirfd, const struct event *event)
{
	struct line line = { .len = 0 };
	line.len = (size_t)snprintf(line.text, sizeof(line.text), "%lld", (long long)event->wall_ns);
	put_field(&line, event->type);
	put_field(&line, event->action);
	put_field(&line, event->id);
	for (size_t i = 0; i < event->attrs_n && i < EVENT_ATTRS_MAX; i++)
		put_field(&line, event->attrs[i]);
	if (line.is_too_long)
		return -E2BIG;
	line.text[line.len++] = '\n';

	CLEANUP_FD int fd = openat(run_dirfd, EVENTS_FILE, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	/* A drainer holds the lock for a transaction; one that hangs must not hang
	 * every workload's monitor, so after a while the line goes in unlocked. The
	 * drainer compares sizes before it empties the file, so the line survives. */
	const struct timespec ms = { .tv_nsec = 1000000 };
	for (int i = 0; i < 100 && flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK; i++)
		nanosleep(&ms, NULL);
	struct stat st;
	if (fstat(fd, &st) == 0 && st.st_size > EVENTS_MAX_BYTES)
		return -EFBIG;
	ssize_t n = write(fd, line.text, line.len);
	if (n < 0)
		return -errno;
	return (size_t)n == line.len ? 0 : -EIO;
}

static void unescape(char *s)
{
	char *to = s;
	for (; *s; s++) {
		if (*s == '\\' && s[1]) {
			s++;
			*to++ = *s == 't' ? '\t' : *s == 'n' ? '\n' : *s;
		} else {
			*to++ = *s;
		}
	}
	*to = '\0';
}

int event_log_parse_line(char *line, struct event *ret)
{
	struct event event = { 0 };
	const char *head[4] = { NULL };
	for (size_t i = 0; line; i++) {
		char *next = strchr(line, '\t');
		if (next)
			*next++ = '\0';
		unescape(line);
		if (i < ARRAY_LEN(head))
			head[i] = line;
		else if (event.attrs_n < EVENT_ATTRS_MAX && strchr(line, '='))
			event.attrs[event.attrs_n++] = line;
		else
			return -EBADMSG;
		line = next;
	}
	if (!head[3] || !*head[1] || !*head[2] || str_parse_i64(head[0], &event.wall_ns) < 0)
		return -EBADMSG;
	event.type = head[1];
	event.action = head[2];
	event.id = head[3];
	*ret = event;
	return 0;
}

int event_log_drain(int run_dirfd, int (*each)(const struct event *event, void *ctx), int (*done)(void *ctx), void *ctx)
{
	CLEANUP_FD int fd = openat(run_dirfd, EVENTS_FILE, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	struct stat st;
	/* The common case costs one look. */
	if (fstat(fd, &st) == 0 && st.st_size == 0)
		return 0;
	if (flock(fd, LOCK_EX) < 0)
		return -errno;

	CLEANUP_BUF struct buf text = BUF_INIT(2 * EVENTS_MAX_BYTES);
	int r = fd_read_all(fd, &text);
	if (r < 0)
		return r;
	size_t used = 0;
	while (used < text.len) {
		char *line = text.data + used, *end = memchr(line, '\n', text.len - used);
		if (!end)
			break;
		*end = '\0';
		used = (size_t)(end + 1 - text.data);
		struct event event;
		/* A torn or foreign line is dropped: nobody could do better later. */
		if (event_log_parse_line(line, &event) < 0)
			continue;
		r = each(&event, ctx);
		if (r < 0)
			return r;
	}
	if (done) {
		r = done(ctx);
		if (r < 0)
			return r;
	}
	if (fstat(fd, &st) < 0)
		return -errno;
	/* Something came in unlocked meanwhile: leave all; the engine sees the old
	 * ones twice rather than the new one never. */
	if ((size_t)st.st_size != text.len)
		return 0;
	return ftruncate(fd, 0) < 0 ? -errno : 0;
}
