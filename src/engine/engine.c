/* SPDX-License-Identifier: Apache-2.0 */
#include "engine.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "kernel_build.h"
#include "monitor_spawn.h"
#include "state.h"
#include "str.h"

enum purpose { TO_LOOK, TO_RUN, TO_RUN_ON_ITS_OWN };

static int open_engine(struct engine **ret, enum purpose purpose, struct err *err)
{
	CLEANUP_ENGINE struct engine *e = mem_calloc(1, sizeof(*e));
	e->run_fd = e->lock_fd = e->ahead_sock = -1;
	const char *libexec = getenv("HULL_LIBEXECDIR");
	e->libexec = str_dup(str_is_empty(libexec) ? HULL_LIBEXECDIR : libexec);
	e->hull_path = str_dup(getenv("HULL_BIN"));
	if (purpose != TO_LOOK)
		monitor_spawn_ahead(e, purpose == TO_RUN_ON_ITS_OWN);
	int r = store_open(&engine_schema, &e->store, err);
	if (r < 0)
		return r;
	e->db = e->store->db;
	e->root = e->store->root;
	e->run = e->store->run;
	e->run_fd = open(e->run, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (e->run_fd < 0)
		return err_set(err, ERR_SYSTEM, -errno, "open %s", e->run);
	kernel_build_recover(e->root);
	r = engine_recover(e, err);
	if (r < 0)
		return err_context(err, r, "recover");
	*ret = TAKE_PTR(e);
	return 0;
}

int engine_open(struct engine **ret, struct err *err)
{
	return open_engine(ret, TO_LOOK, err);
}

int engine_open_to_run(struct engine **ret, bool has_own_namespaces, struct err *err)
{
	return open_engine(ret, has_own_namespaces ? TO_RUN_ON_ITS_OWN : TO_RUN, err);
}

void engine_close(struct engine *e)
{
	if (!e)
		return;
	store_close(e->store);
	free(e->libexec);
	free(e->hull_path);
	cleanup_fd(&e->lock_fd);
	cleanup_fd(&e->ahead_sock);
	cleanup_fd(&e->run_fd);
	free(e);
}

void engine_leave(struct engine *e)
{
	/* For the checkers of leaks. */
	static struct engine *left;
	db_leave(e->db);
	left = e;
	(void)left;
}

char *engine_workload_path(const struct engine *e, const char *id, const char *name)
{
	return str_printf("%s/workloads/%s%s%s", e->root, id, name ? "/" : "", name ? name : "");
}

int engine_open_run_dir(const struct engine *e, const char *id)
{
	char path[96];
	snprintf(path, sizeof(path), "workloads/%s", id);
	int fd = openat(e->run_fd, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}
