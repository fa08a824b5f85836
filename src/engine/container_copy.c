/* SPDX-License-Identifier: Apache-2.0 */
#include "container_copy.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "container_files.h"
#include "container_lock.h"
#include "copy_worker.h"
#include "events.h"
#include "fd.h"
#include "layer_export.h"
#include "spec_builder.h"
#include "tree_extract.h"
#include "volume_mounts.h"

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

static int say(const struct copy *c, const struct copy_message *m, struct err *err)
{
	return copy_message_send(c->control, m, err);
}

static int hear(const struct copy *c, struct copy_message *m, struct err *err)
{
	return copy_message_receive(c->control, m, err);
}

/* ---- the child ---- */

static int confine(struct copy *c, const struct isolation *isolation, const struct isolation_handle *handle, struct err *err)
{
	const struct runtime_spec *last = c->files.last;
	if (!c->is_running)
		return container_files_enter(&c->files, last ? last->mounts : c->mounts, last ? last->mounts_n : c->mounts_n, err);
	return isolation->enter_files(handle, err);
}

static void make_order(const struct copy *c, bool sends, struct copy_order *ret)
{
	*ret = (struct copy_order){ .sends = sends, .follows_link = c->request->follows_link,
				    .keeps_owners = c->request->keeps_owners, .is_archive = !c->request->host_path };
	snprintf(ret->path, sizeof(ret->path), "/%s", c->request->path);
}

static _Noreturn void child_run(struct copy *c, bool sends, int control, int data)
{
	static struct copy_order order;
	struct err err = ERR_INIT;
	const struct isolation *isolation = NULL;
	struct isolation_handle handle = container_handle(c->files.c);
	make_order(c, sends, &order);
	/* Nothing of the host's goes along but these three. */
	c->control = fcntl(control, F_DUPFD_CLOEXEC, 100);
	c->data = fcntl(data, F_DUPFD_CLOEXEC, 100);
	c->fds_dir = layer_export_fds_dir();
	int r = c->control < 0 || c->data < 0 || c->fds_dir < 0 ? err_set(&err, ERR_SYSTEM, -errno, "prepare the copy") :
								  isolation_get(c->files.c->level, &isolation, &err);
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	bool is_elsewhere = r == 0 && c->is_running && isolation->copy_files;
	if (r == 0 && !is_elsewhere)
		r = confine(c, isolation, &handle, &err);
	umask(0);
	if (r < 0) {
		copy_worker_failed(c->control, &err);
		_exit(1);
	}
	(void)dup3(c->control, 3, O_CLOEXEC);
	(void)dup3(c->data, 4, O_CLOEXEC);
	(void)dup3(c->fds_dir, 5, O_CLOEXEC);
	fd_close_from(6);
	if (!is_elsewhere)
		copy_worker_run(&order, 3, 4, 5);
	else if (isolation->copy_files(&handle, &order, sizeof(order), sends, 3, 4, &err) < 0)
		copy_worker_failed(3, &err);
	_exit(0);
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

static int copy_start(struct copy *c, bool sends, struct err *err)
{
	const struct copy_request *request = c->request;
	int control[2], data[2];
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
		child_run(c, sends, control[1], data[sends]);
	int saved = errno;
	close(control[1]);
	close(data[sends]);
	c->control = control[0];
	c->data = data[!sends];
	return c->child < 0 ? err_set(err, ERR_SYSTEM, -saved, "fork") : 0;
}

/* Docker's words for what is not there. */
static int in_container(const struct copy *c, int r, struct err *err)
{
	char hint[sizeof(err->hint)];
	if (err->kind != ERR_NOT_FOUND)
		return r;
	memcpy(hint, err->hint, sizeof(hint));
	r = err_set(err, ERR_NOT_FOUND, 0, "Could not find the file %s in container %s", c->request->path, c->files.c->name);
	if (*hint)
		err_hint(err, "%s", hint);
	return r;
}

/* What comes from another machine may be no name at all. */
static int check_subject(const struct copy_message *m, struct err *err)
{
	const char *name = m->subject.name;
	if (!*name || strchr(name, '/') || str_eq(name, ".."))
		return err_set(err, ERR_DENIED, 0, "the container gave a name that is none");
	return 0;
}

static int extract(const struct copy_target *target, const struct copy *c, struct err *err)
{
	const struct tree_extract what = { .dir = target->dir, .renames = target->renames,
					   .name = target->has_name ? target->name : NULL,
					   .keeps_owners = c->request->keeps_owners, .uid = geteuid(), .gid = getegid() };
	return tree_extract(&what, c->data, err);
}

/* Its last word. An error of its comes first: ours followed from it, unless it
 * was us who hung up. */
static int copy_finish(struct copy *c, int r, uint64_t *ret_bytes, struct err *err)
{
	struct copy_message m;
	struct err theirs = ERR_INIT;
	cleanup_fd(&c->data);
	int t = hear(c, &m, &theirs);
	if (t == 0 && ret_bytes)
		*ret_bytes = m.bytes;
	if (t == 0 || (r < 0 && t == -EPIPE))
		return r;
	*err = theirs;
	return in_container(c, t, err);
}

int containers_copy_from(struct engine *engine, const struct copy_request *request, uint64_t *ret_bytes, struct err *err)
{
	CLEANUP_COPY struct copy c = { .engine = engine, .request = request, .control = -1, .data = -1 };
	CLEANUP(copy_target_done) struct copy_target target = { .dir = -1 };
	struct copy_message m;
	int r = copy_start(&c, true, err);
	if (r == 0)
		r = hear(&c, &m, err);
	if (r < 0)
		return c.control >= 0 ? in_container(&c, r, err) : r;
	r = check_subject(&m, err);
	if (r < 0)
		return r;
	if (!request->host_path) {
		r = fd_copy(c.data, request->archive_fd);
		if (r < 0)
			err_set(err, ERR_SYSTEM, r, "write the archive");
	} else {
		r = copy_target_open(request->host_path, &m.subject, &target, err);
		if (r == 0)
			r = extract(&target, &c, err);
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
	return layer_export_entry(source, copy_name_in_archive(subject, false), fds_dir, c->data, ret_bytes, err);
}

int containers_copy_to(struct engine *engine, const struct copy_request *request, uint64_t *ret_bytes, struct err *err)
{
	CLEANUP_COPY struct copy c = { .engine = engine, .request = request, .control = -1, .data = -1 };
	CLEANUP_FD int source = -1;
	struct copy_message m = { .subject.is_archive = !request->host_path }, answer;
	int r = 0;
	if (request->host_path)
		r = copy_source_open(request->host_path, request->follows_link, &m.subject, &source, err);
	if (r == 0)
		r = copy_start(&c, false, err);
	if (r == 0)
		r = say(&c, &m, err);
	/* A child that failed on its way in has said why. */
	int a = r == 0 || c.control >= 0 ? hear(&c, &answer, err) : r;
	if (a < 0)
		return c.control >= 0 ? in_container(&c, a, err) : a;
	r = write_subject(&c, source, &m.subject, ret_bytes, err);
	r = copy_finish(&c, r, NULL, err);
	return r < 0 ? r : event_record_container(engine, c.files.c, "extract-to-dir", NULL, err);
}
