/* SPDX-License-Identifier: Apache-2.0 */
#include "container_changes.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <strings.h>
#include <sys/wait.h>
#include <unistd.h>

#include "container_files.h"
#include "containers.h"
#include "events.h"
#include "fd.h"
#include "image_change.h"
#include "image_import.h"
#include "layer_diff.h"
#include "layer_export.h"
#include "mount_api.h"

#define CONFIG_MAX_BYTES (16u << 20)

int containers_diff(struct engine *engine, const char *name, struct strv *ret, struct err *err)
{
	CLEANUP_CONTAINER_FILES struct container_files f;
	int *layers = NULL;
	int r = container_files_open(engine, name, &f, err);
	if (r < 0 || f.upper < 0)
		return r;
	r = container_files_open_all(&f.layers, &layers, err);
	if (r == 0)
		r = layer_diff(f.upper, layers, f.layers.n, &f.mount_points, ret, err);
	container_files_close_all(layers, f.layers.n);
	return r;
}

/* ---- a tar made by a child, read from a pipe ---- */

struct tar_maker {
	pid_t pid;
	int tar, report; /* to read */
};

typedef int make_tar_fn(const struct container_files *f, int out_fd, struct err *err);

static int tar_maker_start(const struct container_files *f, make_tar_fn *make, struct tar_maker *ret, struct err *err)
{
	int data[2], report[2];
	if (pipe2(data, O_CLOEXEC) < 0)
		return err_set(err, ERR_SYSTEM, -errno, "make a pipe");
	if (pipe2(report, O_CLOEXEC) < 0) {
		close(data[0]);
		close(data[1]);
		return err_set(err, ERR_SYSTEM, -errno, "make a pipe");
	}
	ret->pid = fork();
	if (ret->pid == 0) {
		struct err failed = ERR_INIT;
		close(data[0]);
		if (make(f, data[1], &failed) < 0)
			(void)!fd_write_all(report[1], (const char *)&failed, sizeof(failed));
		_exit(err_is_set(&failed));
	}
	int saved = errno;
	close(data[1]);
	close(report[1]);
	*ret = (struct tar_maker){ ret->pid, data[0], report[0] };
	if (ret->pid > 0)
		return 0;
	close(data[0]);
	close(report[0]);
	return err_set(err, ERR_SYSTEM, -saved, "fork");
}

/* The maker's own error comes before that of whoever read a cut archive. */
static int tar_maker_finish(struct tar_maker *m, int r, struct err *err)
{
	struct err failed;
	int status;
	cleanup_fd(&m->tar);
	ssize_t n = read(m->report, &failed, sizeof(failed));
	cleanup_fd(&m->report);
	while (waitpid(m->pid, &status, 0) < 0 && errno == EINTR)
		;
	if (n == (ssize_t)sizeof(failed) && !(r < 0 && failed.errnum == -EPIPE)) {
		*err = failed;
		return failed.errnum < 0 ? failed.errnum : -EIO;
	}
	if (r == 0 && status != 0)
		return err_set(err, ERR_SYSTEM, 0, "reading the container's files was cut short");
	return r;
}

/* ---- commit ---- */

static int make_upper_tar(const struct container_files *f, int out_fd, struct err *err)
{
	return layer_export(f->upper, LAYER_EXPORT_UPPER, &f->mount_points, out_fd, NULL, err);
}

static void set_str(char **where, const char *s)
{
	if (str_is_empty(s))
		return;
	free(*where);
	*where = str_dup(s);
}

static void add_missing(struct strv *list, const struct strv *more)
{
	for (size_t i = 0; i < more->n; i++)
		if (!strv_contains(list, more->v[i]))
			strv_add(list, more->v[i]);
}

/* "key=value" replaces the pair of the same key. */
static void put_pairs(struct strv *list, const struct strv *more)
{
	for (size_t i = 0; i < more->n; i++) {
		size_t key = strcspn(more->v[i], "="), at = 0;
		while (at < list->n && (strncmp(list->v[at], more->v[i], key) != 0 || list->v[at][key] != '='))
			at++;
		if (at == list->n) {
			strv_add(list, more->v[i]);
			continue;
		}
		free(list->v[at]);
		list->v[at] = str_dup(more->v[i]);
	}
}

static void replace_list(struct strv *list, const struct strv *with)
{
	strv_free(list);
	*list = (struct strv){ 0 };
	strv_extend(list, with);
}

/* The image's configuration without its layers, as the container changed it. */
static int commit_config(const struct container_files *f, const struct strv *changes, struct image_config **ret, struct err *err)
{
	const struct container_config *c = f->c->config;
	CLEANUP_BUF struct buf text = BUF_INIT(CONFIG_MAX_BYTES);
	CLEANUP_IMAGE_CONFIG struct image_config *config = NULL;
	int r = image_config_write(f->image->config, &text);
	if (r == 0)
		r = image_config_parse(buf_str(&text), text.len, &config, err);
	if (r)
		return err_is_set(err) ? r : err_set(err, ERR_SYSTEM, r, "copy the image's configuration");
	CLEANUP_IMAGE_CONFIG struct image_config *bare = image_config_new();
	/* Layers and history come from the parent again. */
	struct strv diffids = config->diffids;
	config->diffids = bare->diffids;
	bare->diffids = diffids;
	struct image_history *history = config->history;
	bare->history = history;
	bare->history_n = config->history_n;
	config->history = NULL;
	config->history_n = 0;
	set_str(&config->user, c->user);
	set_str(&config->workdir, c->working_dir);
	set_str(&config->stop_signal, c->stop_signal);
	put_pairs(&config->env, &c->env);
	put_pairs(&config->labels, &c->labels);
	add_missing(&config->exposed_ports, &c->exposed_ports);
	add_missing(&config->volumes, &c->volumes);
	if (c->has_entrypoint)
		replace_list(&config->entrypoint, &c->entrypoint);
	if (c->has_cmd || c->has_entrypoint)
		replace_list(&config->cmd, &c->cmd);
	bool has_command = false;
	for (size_t i = 0; changes && i < changes->n; i++) {
		/* Docker: the command belonged to the entry point that goes. */
		has_command = has_command || strncasecmp(changes->v[i], "CMD", 3) == 0;
		if (!has_command && strncasecmp(changes->v[i], "ENTRYPOINT", 10) == 0)
			strv_free(&config->cmd);
		if ((r = image_change_apply(config, changes->v[i], err)) < 0)
			return r;
	}
	*ret = TAKE_PTR(config);
	return 0;
}

static int add_commit(struct engine *engine, const struct container_files *f, const struct commit_request *request,
		      struct image_config *config, char ret_id[72], struct err *err)
{
	struct tar_maker maker = { 0 };
	int r = tar_maker_start(f, make_upper_tar, &maker, err);
	if (r < 0)
		return r;
	r = image_commit_tar(engine->store, f->image, maker.tar, config, f->c->command, request->author, request->message,
			     request->reference, ret_id, err);
	return tar_maker_finish(&maker, r, err);
}

int containers_commit(struct engine *engine, const char *name, const struct commit_request *request, char ret_id[72],
		      struct err *err)
{
	CLEANUP_CONTAINER_FILES struct container_files f;
	CLEANUP_IMAGE_CONFIG struct image_config *config = NULL;
	int r = container_files_open(engine, name, &f, err);
	if (r == 0)
		r = commit_config(&f, request->changes, &config, err);
	if (r < 0)
		return r;
	if (f.upper < 0) {
		/* Never started: an empty layer. */
		f.upper = mount_new_tmpfs("mode=755,size=4k");
		if (f.upper < 0)
			return err_set(err, ERR_SYSTEM, f.upper, "make an empty folder");
	}
	bool pause = request->pause && f.c->status == CONTAINER_RUNNING;
	sigset_t ends, old;
	sigemptyset(&ends);
	sigaddset(&ends, SIGINT);
	sigaddset(&ends, SIGTERM);
	sigaddset(&ends, SIGHUP);
	/* Ctrl-C must not leave it paused. */
	sigprocmask(SIG_BLOCK, &ends, &old);
	if (pause)
		r = containers_pause(engine, f.c->id, err);
	if (r == 0) {
		r = add_commit(engine, &f, request, config, ret_id, err);
		struct err later = ERR_INIT;
		if (pause && containers_unpause(engine, f.c->id, &later) < 0 && r == 0) {
			*err = later;
			r = later.errnum < 0 ? later.errnum : -EIO;
		}
	}
	if (r == 0)
		r = event_record_container(engine, f.c, "commit", NULL, err);
	sigprocmask(SIG_SETMASK, &old, NULL);
	return r < 0 ? r : 0;
}

/* ---- export ---- */

/* The files belong to the ids they have in the container: what is on disk is not
 * mapped. */
static int make_root_tar(const struct container_files *f, int out_fd, struct err *err)
{
	CLEANUP_FD int root = -1;
	int r = container_files_put_together(f, false, &root, err);
	return r < 0 ? r : layer_export(root, LAYER_EXPORT_ROOTFS, NULL, out_fd, NULL, err);
}

int containers_export(struct engine *engine, const char *name, int out_fd, struct err *err)
{
	CLEANUP_CONTAINER_FILES struct container_files f;
	struct tar_maker maker = { 0 };
	int r = container_files_open(engine, name, &f, err);
	if (r == 0)
		r = tar_maker_start(&f, make_root_tar, &maker, err);
	if (r < 0)
		return r;
	r = fd_copy(maker.tar, out_fd);
	if (r < 0)
		err_set(err, ERR_SYSTEM, r, "write the archive");
	r = tar_maker_finish(&maker, r < 0 ? r : 0, err);
	return r < 0 ? r : event_record_container(engine, f.c, "export", NULL, err);
}
