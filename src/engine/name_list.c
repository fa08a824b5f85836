/* SPDX-License-Identifier: Apache-2.0 */
#include "name_list.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "db.h"
#include "run_state.h"
#include "state.h"

static const char *const docker_prefixes[] = { "docker.io/library/", "docker.io/" };

void name_source_done(struct name_source *source)
{
	db_close(source->db);
	free(source->root);
	free(source->run);
}

static char *place(const char *variable, const char *otherwise)
{
	const char *value = getenv(variable);
	return str_dup(str_is_empty(value) ? otherwise : value);
}

/* Only what is there already: a Tab must not make a state directory. */
static struct db *open_db(struct name_source *source)
{
	struct err ignored = ERR_INIT;

	if (source->is_tried)
		return source->db;
	source->is_tried = true;
	source->root = place("HULL_ROOT", "/var/lib/hull");
	source->run = place("HULL_RUN", "/run/hull");
	CLEANUP_FREE char *path = str_printf("%s/hull.db", source->root);
	if (access(path, R_OK | W_OK) < 0 || db_open(path, &engine_schema, &source->db, &ignored) < 0)
		return NULL;
	return source->db;
}

/* A row that says started is refined by what its monitor wrote last. */
static enum name_kind state_of(const struct name_source *source, const char *id, enum row_status row)
{
	CLEANUP_FREE char *path = str_printf("%s/workloads/%s", source->run, id);
	struct run_state state;

	if (row != ROW_STARTED)
		return NAMES_CONTAINERS_STOPPED;
	CLEANUP_FD int dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 || run_state_read(dir, &state) < 0 || state.status == RUN_EXITED || state.status == RUN_CREATED)
		return NAMES_CONTAINERS_STOPPED;
	return state.status == RUN_PAUSED ? NAMES_CONTAINERS_PAUSED : NAMES_CONTAINERS_RUNNING;
}

static bool is_wanted(enum name_kind wanted, enum name_kind state)
{
	return wanted == NAMES_CONTAINERS || wanted == state ||
	       (wanted == NAMES_CONTAINERS_RUNNING && state == NAMES_CONTAINERS_PAUSED);
}

static void list_containers(struct name_source *source, enum name_kind kind, const char *prefix, struct strv *ret)
{
	struct err ignored = ERR_INIT;
	CLEANUP_DB_STMT struct db_stmt *row = NULL;
	struct db *db = open_db(source);

	if (!db || db_query(db, &row, &ignored, "SELECT name, id, image_name, status FROM containers ORDER BY name", "") < 0)
		return;
	while (db_next(row, &ignored) > 0) {
		const char *name = db_text_or(row, 0, ""), *id = db_text_or(row, 1, "");
		enum row_status status = (enum row_status)db_i64(row, 3);
		/* Ids are offered only to who began to type one. */
		bool by_id = *prefix && !str_starts_with(name, prefix) && str_starts_with(id, prefix);
		if (!by_id && !str_starts_with(name, prefix))
			continue;
		if (status == ROW_CREATING || status == ROW_REMOVING ||
		    (kind != NAMES_CONTAINERS && !is_wanted(kind, state_of(source, id, status))))
			continue;
		if (by_id)
			strv_printf(ret, "%.12s\t%s", id, name);
		else
			strv_printf(ret, "%s\t%s", name, db_text_or(row, 2, ""));
	}
}

/* "docker.io/library/debian:12" is offered as people write it, unless they
 * began with the registry. */
static void list_images(struct name_source *source, const char *prefix, struct strv *ret)
{
	struct err ignored = ERR_INIT;
	CLEANUP_DB_STMT struct db_stmt *row = NULL;
	struct db *db = open_db(source);

	if (!db || db_query(db, &row, &ignored,
			    "SELECT t.reference FROM tags t JOIN images i ON i.id = t.image WHERE NOT i.is_hidden ORDER BY 1", "") < 0)
		return;
	while (db_next(row, &ignored) > 0) {
		const char *name = db_text_or(row, 0, "");
		for (size_t i = 0; i < ARRAY_LEN(docker_prefixes) && !str_starts_with(prefix, "docker.io"); i++)
			if (str_starts_with(name, docker_prefixes[i])) {
				name += strlen(docker_prefixes[i]);
				break;
			}
		if (str_starts_with(name, prefix))
			strv_add(ret, name);
	}
}

static void list_column(struct name_source *source, const char *sql, const char *prefix, struct strv *ret)
{
	struct err ignored = ERR_INIT;
	CLEANUP_DB_STMT struct db_stmt *row = NULL;
	struct db *db = open_db(source);

	if (!db || db_query(db, &row, &ignored, sql, "") < 0)
		return;
	while (db_next(row, &ignored) > 0)
		if (str_starts_with(db_text_or(row, 0, ""), prefix))
			strv_add(ret, db_text_or(row, 0, ""));
}

static void list_networks(struct name_source *source, const char *prefix, struct strv *ret)
{
	static const char *const builtin[][2] = {
		{ "bridge", "the default: addresses, NAT, published ports" },
		{ "host", "the host's own network" },
		{ "none", "only a loopback" },
	};

	for (size_t i = 0; i < ARRAY_LEN(builtin); i++)
		if (str_starts_with(builtin[i][0], prefix))
			strv_printf(ret, "%s\t%s", builtin[i][0], builtin[i][1]);
	list_column(source, "SELECT name FROM networks WHERE name NOT IN ('bridge', 'host', 'none') ORDER BY 1", prefix, ret);
}

void name_list(struct name_source *source, enum name_kind kind, const char *prefix, struct strv *ret)
{
	switch (kind) {
	case NAMES_IMAGES:
		list_images(source, prefix, ret);
		break;
	case NAMES_VOLUMES:
		list_column(source, "SELECT name FROM volumes WHERE NOT is_anonymous ORDER BY 1", prefix, ret);
		break;
	case NAMES_NETWORKS:
		list_networks(source, prefix, ret);
		break;
	default:
		list_containers(source, kind, prefix, ret);
		break;
	}
}
