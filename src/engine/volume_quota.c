/* SPDX-License-Identifier: Apache-2.0 */
#include "volume_quota.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "fd.h"
#include "project_quota.h"

/* Numbers of one state, of which there are so many for others: two states on one
 * file system, or an administrator's own projects, are avoided where they are met. */
#define FIRST_PROJECT 0x40000000u
#define PROJECTS_PER_STATE 0x10000u
#define STATES 0x1000u
#define ATTEMPTS 1000

int volume_quota_size(const struct strv *options, uint64_t *ret_bytes, struct err *err)
{
	*ret_bytes = 0;
	for (size_t i = 0; options && i < options->n; i++) {
		int64_t bytes;
		if (!str_starts_with(options->v[i], "size="))
			continue;
		if (str_parse_size_bytes(options->v[i] + strlen("size="), &bytes) < 0 || bytes < 0) {
			int r = err_set(err, ERR_INVALID, 0, "create: invalid size: '%s'", options->v[i] + strlen("size="));
			err_hint(err, "a number of bytes, or one with k, m, g or t: -o size=10g");
			return r;
		}
		*ret_bytes = (uint64_t)bytes;
	}
	return 0;
}

int volume_quota_check(struct engine *engine, struct err *err)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW;
	CLEANUP_FD int fd = openat(engine->store->root_fd, "volumes", flags);
	if (fd < 0)
		fd = openat(engine->store->root_fd, ".", flags);
	if (fd < 0)
		return err_set(err, ERR_SYSTEM, -errno, "open %s/volumes", engine->root);
	return project_quota_check(fd, err);
}

static uint32_t first_of_state(const struct engine *engine)
{
	CLEANUP_BUF struct buf id = BUF_INIT(256);
	uint64_t hash = 0xcbf29ce484222325ULL; /* FNV-1a */
	(void)!fd_read_file_at(AT_FDCWD, "/etc/machine-id", &id);
	CLEANUP_FREE char *seed = str_printf("%s%s", buf_str(&id), engine->root);
	for (const char *p = seed; *p; p++)
		hash = (hash ^ (unsigned char)*p) * 0x100000001b3ULL;
	return FIRST_PROJECT + (uint32_t)(hash % STATES) * PROJECTS_PER_STATE;
}

/* Nobody else's: nothing is counted or limited by the number. */
static bool is_free(int fd, uint32_t project)
{
	struct project_usage usage;
	return project_usage_get(fd, project, &usage) < 0 || (usage.files == 0 && usage.used_bytes == 0 && usage.limit_bytes == 0);
}

int volume_quota_record(struct engine *engine, const char *name, struct err *err)
{
	uint32_t first = first_of_state(engine);
	int r = 0;
	for (int i = 0; i < ATTEMPTS; i++) {
		r = db_run(engine->db, err, "INSERT INTO volume_projects(volume) VALUES(?)", "s", name);
		if (r < 0)
			return r;
		int64_t row = db_last_rowid(engine->db);
		uint32_t project = first + (uint32_t)row;
		if (is_free(engine->store->root_fd, project)) {
			r = db_run(engine->db, err, "UPDATE volume_projects SET project = ? WHERE id = ?", "ii", (int64_t)project, row);
			return r < 0 ? r : 0;
		}
		r = db_run(engine->db, err, "DELETE FROM volume_projects WHERE id = ?", "i", row);
		if (r < 0)
			return r;
	}
	return err_set(err, ERR_CONFLICT, 0, "no project number from %u on is free on the file system of %s", first, engine->root);
}

int volume_quota_forget(struct engine *engine, const char *name, struct err *err)
{
	int r = db_run(engine->db, err, "DELETE FROM volume_projects WHERE volume = ?", "s", name);
	return r < 0 ? r : 0;
}

static int find(struct engine *engine, const char *name, uint32_t *ret, struct err *err)
{
	int64_t project = 0;
	int r = db_query_i64(engine->db, &project, err, "SELECT project FROM volume_projects WHERE volume = ? AND project > 0", "s", name);
	*ret = (uint32_t)project;
	return r;
}

int volume_quota_apply(struct engine *engine, const char *name, int fd, struct err *err)
{
	CLEANUP_FREE char *text = NULL;
	CLEANUP_STRV struct strv options = { 0 };
	uint32_t project;
	uint64_t bytes = 0;
	int r = find(engine, name, &project, err);
	if (r <= 0)
		return r;
	r = db_query_text(engine->db, &text, err, "SELECT options FROM volumes WHERE name = ?", "s", name);
	strv_split(&options, text, '\n');
	if (r >= 0)
		r = volume_quota_size(&options, &bytes, err);
	/* They may have been switched off since it was made. */
	if (r == 0)
		r = project_quota_check(fd, err);
	if (r < 0)
		return err_context(err, r, "limit the size of volume %s", name);
	r = project_mark(fd, project);
	if (r == 0)
		r = project_limit_set(fd, project, bytes);
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "limit the size of volume %s", name) : 0;
}

void volume_quota_release(int fd)
{
	uint32_t project = 0;
	/* One that cannot be taken back limits nothing: the number is not given again. */
	if (project_of(fd, &project) == 0 && project)
		(void)!project_limit_set(fd, project, 0);
}

int volume_quota_used(struct engine *engine, const char *name, int64_t *ret_bytes)
{
	struct err ignored = ERR_INIT;
	struct project_usage usage;
	uint32_t project;
	if (find(engine, name, &project, &ignored) <= 0 || project_usage_get(engine->store->root_fd, project, &usage) < 0)
		return 0;
	*ret_bytes = (int64_t)usage.used_bytes;
	return 1;
}
