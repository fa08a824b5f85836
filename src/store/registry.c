/* SPDX-License-Identifier: Apache-2.0 */
#include "registry.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "digest.h"
#include "fd.h"
#include "reference.h"
#include "tag_list.h"
#include "worker.h"

#define STDERR_MAX 8192
/* The longest tag has 128 characters. */
#define TAGS_BYTES_MAX (TAG_LIST_MAX * 129u)

struct registry {
	pid_t pid;
	int sock, errors;
	uint64_t last_id;
	char *text;
};

void registry_close(struct registry *r)
{
	if (!r)
		return;
	cleanup_fd(&r->sock);
	cleanup_fd(&r->errors);
	if (r->pid > 0) {
		/* It may be sitting in a write to a pipe, or in a resolver. */
		kill(r->pid, SIGKILL);
		worker_wait(r->pid);
	}
	free(r->text);
	free(r);
}

static int start(struct registry *r, struct err *err)
{
	static const char *const argv[] = { FETCH_PROGRAM, NULL };
	int socks[2], pipes[2];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, socks) < 0)
		return err_set(err, ERR_SYSTEM, -errno, "make a socket pair");
	r->sock = socks[0];
	CLEANUP_FD int theirs = socks[1];
	if (pipe2(pipes, O_CLOEXEC) < 0)
		return err_set(err, ERR_SYSTEM, -errno, "make a pipe");
	r->errors = pipes[0];
	CLEANUP_FD int errors = pipes[1];
	const int fds[] = { theirs, -1, errors };
	r->pid = worker_spawn(argv, fds, 3, false, err);
	return r->pid < 0 ? r->pid : 0;
}

int registry_open(const char *name, const struct fetch_options *options, struct registry **ret, struct err *err)
{
	CLEANUP_REGISTRY struct registry *r = mem_calloc(1, sizeof(*r));
	*r = (struct registry){ .pid = -1, .sock = -1, .errors = -1, .text = mem_calloc(1, FETCH_MESSAGE_MAX) };
	CLEANUP_BUF struct buf out = BUF_INIT(FETCH_MESSAGE_MAX);
	/* Borrowed, only to be written. */
	struct fetch_open open = { .registry = (char *)(uintptr_t)name };
	if (options)
		open.options = *options;
	int x = start(r, err);
	if (x < 0)
		return x;
	if ((x = fetch_open_write(&open, &out)) < 0 || (x = fd_send(r->sock, out.data, out.len, NULL, 0)) < 0)
		return err_set(err, ERR_SYSTEM, x, "reach %s", FETCH_PROGRAM);
	*ret = TAKE_PTR(r);
	return 0;
}

int registry_fd(const struct registry *r)
{
	return r->sock;
}

/* The socket is closed: what did it say last? */
static int died(struct registry *r, struct err *err)
{
	CLEANUP_BUF struct buf errors = BUF_INIT(STDERR_MAX);
	cleanup_fd(&r->sock);
	/* Too much, or unreadable: the status alone tells, then. */
	(void)!fd_read_all(r->errors, &errors);
	int status = worker_wait(r->pid);
	r->pid = -1;
	return worker_error(FETCH_PROGRAM, status, buf_str(&errors), err);
}

int registry_send(struct registry *r, struct fetch_request *q, const int *fds, size_t n, struct err *err)
{
	CLEANUP_BUF struct buf out = BUF_INIT(FETCH_MESSAGE_MAX);
	if (r->sock < 0)
		return err_set(err, ERR_SYSTEM, -EPIPE, "reach %s", FETCH_PROGRAM);
	q->id = ++r->last_id;
	int x = fetch_request_write(q, &out);
	if (x < 0)
		return err_set(err, ERR_SYSTEM, x, "ask %s", FETCH_PROGRAM);
	x = fd_send(r->sock, out.data, out.len, fds, n);
	if (x == -EPIPE || x == -ECONNRESET)
		return died(r, err);
	return x < 0 ? err_set(err, ERR_SYSTEM, x, "ask %s", FETCH_PROGRAM) : 0;
}

int registry_next(struct registry *r, struct fetch_event *ret, struct err *err)
{
	if (r->sock < 0)
		return err_set(err, ERR_SYSTEM, -EPIPE, "reach %s", FETCH_PROGRAM);
	size_t n = 0;
	ssize_t len = fd_recv(r->sock, r->text, FETCH_MESSAGE_MAX, NULL, 0, &n);
	if (len <= 0)
		return died(r, err);
	return fetch_event_parse(r->text, (size_t)len, ret, err);
}

int registry_wait(struct registry *r, uint64_t id, const volatile int *stop, struct fetch_event *ret, int64_t *ret_status,
		  struct err *err)
{
	if (ret_status)
		*ret_status = 0;
	for (;;) {
		struct pollfd p = { .fd = r->sock, .events = POLLIN };
		if (stop && *stop)
			return err_set(err, ERR_SYSTEM, -EINTR, "stopped");
		int ready = poll(&p, 1, 500);
		if (ready < 0 && errno != EINTR)
			return err_set(err, ERR_SYSTEM, -errno, "poll");
		if (ready <= 0)
			continue;
		CLEANUP_FETCH_EVENT struct fetch_event e = { 0 };
		int x = registry_next(r, &e, err);
		if (x < 0)
			return x;
		if (e.id != id || e.kind == FETCH_PROGRESS || e.kind == FETCH_RETRY)
			continue;
		if (e.kind == FETCH_DONE) {
			*ret = e;
			e.identity_token = NULL;
			return 0;
		}
		if (ret_status)
			*ret_status = e.status;
		*err = e.err;
		return e.err.errnum < 0 ? e.err.errnum : -EIO;
	}
}

int registry_text_fd(const char *text, size_t len, struct err *err)
{
	CLEANUP_FD int fd = memfd_create("document", MFD_CLOEXEC);
	if (fd < 0)
		return err_set(err, ERR_SYSTEM, -errno, "make a memory file");
	int r = fd_write_all(fd, text, len);
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "fill a memory file");
	return TAKE_FD(fd);
}

/* Ask, wait, and read what has been written. */
static int get(struct registry *r, struct fetch_request *q, const volatile int *stop, struct buf *out,
	       struct fetch_event *ret, int64_t *ret_status, struct err *err)
{
	CLEANUP_FD int fd = registry_text_fd("", 0, err);
	if (fd < 0)
		return fd;
	int x = registry_send(r, q, &fd, 1, err);
	if (x < 0 || (x = registry_wait(r, q->id, stop, ret, ret_status, err)) < 0)
		return x;
	if (lseek(fd, 0, SEEK_SET) < 0 || (x = fd_read_all(fd, out)) < 0)
		return err_set(err, ERR_SYSTEM, x < 0 ? x : -errno, "read a document of the registry");
	return 0;
}

static int check(const struct buf *text, const char *wanted, char digest[72], struct err *err)
{
	digest_of(buf_str(text), text->len, digest);
	if (!wanted || str_eq(wanted, digest))
		return 0;
	err_set(err, ERR_INVALID, 0, "a document of the registry does not match its digest");
	err_why(err, "expected %s, got %s", wanted, digest);
	return -EBADMSG;
}

int registry_manifest(struct registry *r, const char *repository, const char *reference, const volatile int *stop,
		      struct buf *out, char ret_type[160], char ret_digest[72], int64_t *ret_status, struct err *err)
{
	CLEANUP_FETCH_EVENT struct fetch_event e = { 0 };
	struct fetch_request q = { .op = FETCH_MANIFEST, .repository = (char *)(uintptr_t)repository,
				   .reference = (char *)(uintptr_t)reference, .size = FETCH_MANIFEST_MAX };
	int x = get(r, &q, stop, out, &e, ret_status, err);
	if (x < 0 || (x = check(out, strchr(reference, ':') ? reference : NULL, ret_digest, err)) < 0)
		return x;
	memcpy(ret_type, e.media_type, sizeof(e.media_type));
	return 0;
}

int registry_document(struct registry *r, const char *repository, const char *digest, int64_t size,
		      const volatile int *stop, struct buf *out, int64_t *ret_status, struct err *err)
{
	CLEANUP_FETCH_EVENT struct fetch_event e = { 0 };
	char got[72];
	struct fetch_request q = { .op = FETCH_BLOB, .repository = (char *)(uintptr_t)repository,
				   .digest = (char *)(uintptr_t)digest, .size = size, .is_verified = true };
	int x = get(r, &q, stop, out, &e, ret_status, err);
	return x < 0 ? x : check(out, digest, got, err);
}

int registry_tags(struct registry *r, const char *repository, const volatile int *stop, struct strv *ret, int64_t *ret_status,
		  struct err *err)
{
	CLEANUP_FETCH_EVENT struct fetch_event e = { 0 };
	CLEANUP_BUF struct buf text = BUF_INIT(TAGS_BYTES_MAX);
	CLEANUP_STRV struct strv lines = { 0 };
	struct fetch_request q = { .op = FETCH_TAGS, .repository = (char *)(uintptr_t)repository };
	int x = get(r, &q, stop, &text, &e, ret_status, err);
	if (x < 0)
		return x;
	strv_split(&lines, buf_str(&text), '\n');
	if (lines.n > TAG_LIST_MAX)
		return err_set(err, ERR_INVALID, 0, "the registry lists more than %u tags", TAG_LIST_MAX);
	for (size_t i = 0; i < lines.n; i++)
		if (!reference_tag_is_valid(lines.v[i]))
			return err_set(err, ERR_INVALID, 0, "the registry lists a tag that is none");
	strv_extend(ret, &lines);
	return 0;
}

int registry_check(const char *name, const struct fetch_options *options, char **ret_identity, struct err *err)
{
	CLEANUP_REGISTRY struct registry *r = NULL;
	CLEANUP_FETCH_EVENT struct fetch_event e = { 0 };
	struct fetch_request q = { .op = FETCH_CHECK };
	int x = registry_open(name, options, &r, err);
	if (x < 0 || (x = registry_send(r, &q, NULL, 0, err)) < 0 ||
	    (x = registry_wait(r, q.id, NULL, &e, NULL, err)) < 0)
		return x;
	*ret_identity = TAKE_PTR(e.identity_token);
	return 0;
}
