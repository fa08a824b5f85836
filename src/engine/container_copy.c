/* SPDX-License-Identifier: Apache-2.0 */
#include "container_copy.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "container_files.h"
#include "container_lock.h"
#include "copy_path.h"
#include "events.h"
#include "fd.h"
#include "layer_export.h"
#include "spec_builder.h"
#include "tree_extract.h"
#include "volume_mounts.h"

/* What the two processes tell each other, both ways: first what is copied, or
 * whether it can go where it should; then how it went. */
struct message {
	struct err err;
	struct copy_subject subject;
	uint64_t bytes;
};

struct copy {
	struct engine *engine;
	const struct copy_request *request;
	struct container_files files;
	struct volume_plan volumes;
	struct spec_mount *mounts;
	size_t mounts_n;
	bool is_running;
	/* The child's end of the two, in the child; ours, in the parent. */
	int control, data;
	int fds_dir; /* in the child */
	pid_t child;
};

static void copy_done(struct copy *c)
{
	int status;
	cleanup_fd(&c->control);
	cleanup_fd(&c->data);
	if (c->child > 0)
		while (waitpid(c->child, &status, 0) < 0 && errno == EINTR)
			;
	container_files_done(&c->files);
	volume_plan_done(&c->volumes);
	spec_mounts_free(c->mounts, c->mounts_n);
	container_unlock(c->engine);
}
#define CLEANUP_COPY CLEANUP(copy_done)

static int say(const struct copy *c, const struct message *m, struct err *err)
{
	ssize_t n = send(c->control, m, sizeof(*m), MSG_NOSIGNAL);
	return n == (ssize_t)sizeof(*m) ? 0 : err_set(err, ERR_SYSTEM, n < 0 ? -errno : -EIO, "speak to the copying process");
}

/* An error that was sent is ours now. */
static int hear(const struct copy *c, struct message *m, struct err *err)
{
	ssize_t n;
	do
		n = recv(c->control, m, sizeof(*m), 0);
	while (n < 0 && errno == EINTR);
	if (n != (ssize_t)sizeof(*m))
		return err_set(err, ERR_SYSTEM, n < 0 ? -errno : 0, "the copying process ended early");
	m->subject.name[NAME_MAX] = '\0';
	if (!err_is_set(&m->err))
		return 0;
	*err = m->err;
	return err->errnum < 0 ? err->errnum : -EIO;
}

/* ---- the child ---- */

static int confine(struct copy *c, struct err *err)
{
	const struct isolation *isolation;
	const struct runtime_spec *last = c->files.last;
	if (!c->is_running)
		return container_files_enter(&c->files, last ? last->mounts : c->mounts, last ? last->mounts_n : c->mounts_n, err);
	struct isolation_handle handle = container_handle(c->files.c);
	int r = isolation_get(c->files.c->level, &isolation, err);
	return r < 0 ? r : isolation->enter_files(&handle, err);
}

/* Docker's words for what is not there, and for what may not be written. */
static int in_container(const struct copy *c, int r, struct err *err)
{
	char hint[sizeof(err->hint)];
	if (r == -EROFS)
		return err_set(err, ERR_DENIED, 0, "container rootfs is marked read-only");
	if (err->kind != ERR_NOT_FOUND)
		return r;
	memcpy(hint, err->hint, sizeof(hint));
	r = err_set(err, ERR_NOT_FOUND, 0, "Could not find the file %s in container %s", c->request->path, c->files.c->name);
	if (*hint)
		err_hint(err, "%s", hint);
	return r;
}

static const char *name_in_archive(const struct copy_subject *subject, bool is_archive)
{
	/* Any name that is one: it is dropped or replaced. */
	return subject->contents_only && !is_archive ? "contents" : subject->name;
}

static int send_files(struct copy *c, const char *path, struct message *m, struct err *err)
{
	CLEANUP_FD int source = -1;
	int r = copy_source_open(path, c->request->follows_link, &m->subject, &source, err);
	if (r == 0)
		r = say(c, m, err);
	if (r < 0)
		return r;
	return layer_export_entry(source, name_in_archive(&m->subject, !c->request->host_path), c->fds_dir, c->data, &m->bytes, err);
}

static int extract(const struct copy_target *target, const struct copy *c, bool is_confined, struct err *err)
{
	const struct tree_extract what = { .dir = target->dir, .renames = target->renames,
					   .name = target->has_name ? target->name : NULL, .follows_links = is_confined,
					   .keeps_owners = c->request->keeps_owners, .uid = is_confined ? 0 : geteuid(),
					   .gid = is_confined ? 0 : getegid() };
	return tree_extract(&what, c->data, err);
}

static int receive_files(struct copy *c, const char *path, struct message *m, struct err *err)
{
	CLEANUP(copy_target_done) struct copy_target target = { .dir = -1 };
	int r = hear(c, m, err);
	if (r == 0)
		r = copy_target_open(path, &m->subject, &target, err);
	if (r == 0)
		r = say(c, m, err);
	return r < 0 ? r : extract(&target, c, true, err);
}

typedef int child_fn(struct copy *c, const char *path, struct message *m, struct err *err);

static _Noreturn void child_run(struct copy *c, child_fn *fn, int control, int data)
{
	struct message m = { 0 };
	CLEANUP_FREE char *path = str_printf("/%s", c->request->path);
	/* Nothing of the host's goes along but these three. */
	c->control = fcntl(control, F_DUPFD_CLOEXEC, 100);
	c->data = fcntl(data, F_DUPFD_CLOEXEC, 100);
	c->fds_dir = layer_export_fds_dir();
	int r = c->control < 0 || c->data < 0 || c->fds_dir < 0 ? err_set(&m.err, ERR_SYSTEM, -errno, "prepare the copy") :
								  confine(c, &m.err);
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	umask(0);
	if (r == 0) {
		(void)dup3(c->control, 3, O_CLOEXEC);
		(void)dup3(c->data, 4, O_CLOEXEC);
		(void)dup3(c->fds_dir, 5, O_CLOEXEC);
		fd_close_from(6);
		c->control = 3, c->data = 4, c->fds_dir = 5;
		r = fn(c, path, &m, &m.err);
		if (r < 0)
			r = in_container(c, r, &m.err);
	}
	if (r < 0 && !err_is_set(&m.err))
		err_set(&m.err, ERR_SYSTEM, r, "copy");
	close(c->data);
	struct err lost = ERR_INIT;
	_exit(say(c, &m, &lost) < 0);
}

/* ---- the parent ---- */

/* Those of the last start, or of the one to come. */
static int plan_mounts(struct copy *c, struct err *err)
{
	if (c->files.last)
		return 0;
	int r = volumes_plan(c->engine, c->files.c, c->files.image->config, VOLUMES_LOOK, &c->volumes, err);
	if (r == 0)
		volumes_to_spec(&c->volumes, &c->mounts, &c->mounts_n);
	return r;
}

static bool can_be_entered(const struct container *c)
{
	return c->status == CONTAINER_RUNNING || c->status == CONTAINER_PAUSED;
}

static int copy_start(struct copy *c, child_fn *fn, struct err *err)
{
	const struct copy_request *request = c->request;
	int control[2], data[2];
	bool child_writes = fn == send_files;
	int r = container_files_open(c->engine, request->container, &c->files, err);
	if (r == 0)
		c->is_running = can_be_entered(c->files.c);
	/* Nobody starts it while we write where its writable layer is. */
	if (r == 0 && !c->is_running) {
		r = container_lock(c->engine, c->files.c->id, err);
		if (r == 0)
			r = container_refresh(c->engine, c->files.c, err);
		if (r == 0)
			r = container_load_config(c->files.c, err);
		c->is_running = r == 0 && can_be_entered(c->files.c);
		if (r == 0 && !c->is_running)
			r = plan_mounts(c, err);
	}
	if (r < 0)
		return r;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control) < 0)
		return err_set(err, ERR_SYSTEM, -errno, "make a socket");
	if (pipe2(data, O_CLOEXEC) < 0) {
		r = err_set(err, ERR_SYSTEM, -errno, "make a pipe");
		close(control[0]);
		close(control[1]);
		return r;
	}
	(void)!fcntl(data[1], F_SETPIPE_SZ, 1 << 20);
	signal(SIGPIPE, SIG_IGN);
	c->child = fork();
	if (c->child == 0)
		child_run(c, fn, control[1], data[child_writes]);
	int saved = errno;
	close(control[1]);
	close(data[child_writes]);
	c->control = control[0];
	c->data = data[!child_writes];
	return c->child < 0 ? err_set(err, ERR_SYSTEM, -saved, "fork") : 0;
}

/* Its last word. An error of its comes first: ours followed from it, unless it
 * was us who hung up. */
static int copy_finish(struct copy *c, int r, uint64_t *ret_bytes, struct err *err)
{
	struct message m;
	struct err theirs = ERR_INIT;
	cleanup_fd(&c->data);
	int t = hear(c, &m, &theirs);
	if (t == 0 && ret_bytes)
		*ret_bytes = m.bytes;
	if (t == 0 || (r < 0 && t == -EPIPE))
		return r;
	*err = theirs;
	return t;
}

int containers_copy_from(struct engine *engine, const struct copy_request *request, uint64_t *ret_bytes, struct err *err)
{
	CLEANUP_COPY struct copy c = { .engine = engine, .request = request, .control = -1, .data = -1 };
	CLEANUP(copy_target_done) struct copy_target target = { .dir = -1 };
	struct message m;
	int r = copy_start(&c, send_files, err);
	if (r == 0)
		r = hear(&c, &m, err);
	if (r < 0)
		return r;
	if (!request->host_path) {
		r = fd_copy(c.data, request->archive_fd);
		if (r < 0)
			err_set(err, ERR_SYSTEM, r, "write the archive");
	} else {
		r = copy_target_open(request->host_path, &m.subject, &target, err);
		if (r == 0)
			r = extract(&target, &c, false, err);
	}
	r = copy_finish(&c, r, ret_bytes, err);
	return r < 0 ? r : event_record_container(engine, c.files.c, "archive-path", NULL, err);
}

static int write_subject(struct copy *c, int source, const struct copy_subject *subject, uint64_t *ret_bytes, struct err *err)
{
	if (source < 0) {
		int r = fd_copy(c->request->archive_fd, c->data);
		return r < 0 ? err_set(err, ERR_SYSTEM, r, "read the archive") : 0;
	}
	CLEANUP_FD int fds_dir = layer_export_fds_dir();
	if (fds_dir < 0)
		return err_set(err, ERR_SYSTEM, fds_dir, "open /proc/self/fd");
	return layer_export_entry(source, name_in_archive(subject, false), fds_dir, c->data, ret_bytes, err);
}

int containers_copy_to(struct engine *engine, const struct copy_request *request, uint64_t *ret_bytes, struct err *err)
{
	CLEANUP_COPY struct copy c = { .engine = engine, .request = request, .control = -1, .data = -1 };
	CLEANUP_FD int source = -1;
	struct message m = { .subject.is_archive = !request->host_path }, answer;
	int r = 0;
	if (request->host_path)
		r = copy_source_open(request->host_path, request->follows_link, &m.subject, &source, err);
	if (r == 0)
		r = copy_start(&c, receive_files, err);
	if (r == 0)
		r = say(&c, &m, err);
	/* A child that failed on its way in has said why. */
	int a = r == 0 || c.control >= 0 ? hear(&c, &answer, err) : r;
	if (a < 0)
		return a;
	r = write_subject(&c, source, &m.subject, ret_bytes, err);
	r = copy_finish(&c, r, NULL, err);
	return r < 0 ? r : event_record_container(engine, c.files.c, "extract-to-dir", NULL, err);
}
