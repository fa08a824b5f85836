/* SPDX-License-Identifier: Apache-2.0 */
#include "volumes.h"

#include <string.h>
#include <sys/stat.h>

#include "clock.h"
#include "fd.h"
#include "random.h"
#include "spec_builder.h"

static char *data_path(struct engine *engine, const char *name)
{
	return str_printf("%s/volumes/%s/_data", engine->root, name);
}

static bool name_is_valid(const char *name)
{
	if (!*name || !((*name >= 'a' && *name <= 'z') || (*name >= 'A' && *name <= 'Z') || (*name >= '0' && *name <= '9')))
		return false;
	return strlen(name) < 256 &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") == strlen(name);
}

int volume_ensure(struct engine *engine, const char *name, const struct strv *labels, char ret_name[256], struct err *err)
{
	static const struct strv none = { 0 };
	char made[ID_SIZE];
	bool is_anonymous = !name;
	if (!name) {
		id_generate(made);
		name = made;
	}
	if (!name_is_valid(name))
		return err_set(err, ERR_INVALID, 0,
			       "create %s: \"%s\" includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use absolute path",
			       name, name);
	CLEANUP_FREE char *text = strv_join(labels ? labels : &none, "\n");
	int r = db_run(engine->db, err,
		       "INSERT OR IGNORE INTO volumes(name, driver, created_ns, labels, options, is_anonymous)"
		       " VALUES(?, 'local', ?, ?, '', ?)", "sisi", name, clock_wall_ns(), text, (int64_t)is_anonymous);
	if (r < 0)
		return r;
	CLEANUP_FREE char *path = data_path(engine, name);
	r = fd_mkdir_parents(path, 0755);
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "create volume %s", name);
	return str_copy(ret_name, 256, name);
}

struct resolve {
	struct engine *engine;
	struct container *c;
	struct spec_mount **list;
	size_t *n;
	struct err *err;
};

static int add(struct resolve *rv, const char *source, const char *destination, const char *options)
{
	if (*destination != '/' || str_eq(destination, "/"))
		return err_set(rv->err, ERR_INVALID, 0,
			       "invalid volume specification: '%s:%s': invalid mount config for type \"bind\": invalid mount path: '%s' mount path must be absolute",
			       source, destination, destination);
	for (size_t i = 0; i < *rv->n; i++)
		if (str_eq((*rv->list)[i].destination, destination))
			return err_set(rv->err, ERR_INVALID, 0, "Duplicate mount point: %s", destination);
	spec_add_mount(rv->list, rv->n, source, destination, "bind", options);
	return 0;
}

/* The volume that is mounted at @destination already, or that named one. */
static int add_volume(struct resolve *rv, const char *name, const char *destination, const char *options,
		      const struct strv *labels, const char *subpath)
{
	CLEANUP_FREE char *known = NULL;
	char chosen[256];
	int r = db_query_text(rv->engine->db, &known, rv->err,
			      "SELECT volume FROM container_volumes WHERE container = ? AND destination = ?", "ss", rv->c->id,
			      destination);
	if (r >= 0)
		r = volume_ensure(rv->engine, known ? known : name, labels, chosen, rv->err);
	if (r >= 0 && !known)
		r = db_run(rv->engine->db, rv->err,
			   "INSERT INTO container_volumes(container, volume, destination) VALUES(?, ?, ?)", "sss", rv->c->id,
			   chosen, destination);
	if (r < 0)
		return r;
	CLEANUP_FREE char *path = data_path(rv->engine, chosen);
	if (subpath) {
		if (strstr(subpath, ".."))
			return err_set(rv->err, ERR_INVALID, 0, "invalid volume subpath: %s", subpath);
		CLEANUP_FREE char *below = str_printf("%s/%s", path, subpath);
		return add(rv, below, destination, options);
	}
	return add(rv, path, destination, options);
}

/* "ro,z,rshared,nocopy,idmap" to mount options. */
static int bind_options(const char *spec, const char *words, char **ret, struct err *err)
{
	CLEANUP_STRV struct strv in = { 0 }, out = { 0 };
	const char *propagation = "rprivate";
	strv_split(&in, words, ',');
	strv_add(&out, "rbind");
	for (size_t i = 0; i < in.n; i++) {
		const char *w = in.v[i];
		static const char *const modes[] = { "shared", "rshared", "slave", "rslave", "private", "rprivate", NULL };
		bool is_mode = false;
		for (size_t j = 0; modes[j]; j++)
			is_mode |= str_eq(w, modes[j]);
		if (is_mode)
			propagation = w;
		else if (str_eq(w, "ro") || str_eq(w, "idmap"))
			strv_add(&out, w);
		else if (!str_eq(w, "rw") && !str_eq(w, "z") && !str_eq(w, "Z") && !str_eq(w, "nocopy") && !str_eq(w, "U") &&
			 !str_eq(w, "cached") && !str_eq(w, "delegated") && !str_eq(w, "consistent"))
			return err_set(err, ERR_INVALID, 0, "invalid volume specification: '%s': invalid mode: %s", spec, words);
	}
	strv_add(&out, propagation);
	*ret = strv_join(&out, ",");
	return 0;
}

static int add_bind(struct resolve *rv, const char *spec)
{
	CLEANUP_STRV struct strv part = { 0 };
	CLEANUP_FREE char *options = NULL;
	strv_split(&part, spec, ':');
	if (part.n < 1 || part.n > 3 || !*part.v[0] || (part.n > 1 && !*part.v[1]))
		return err_set(rv->err, ERR_INVALID, 0, "invalid volume specification: '%s'", spec);
	int r = bind_options(spec, part.n == 3 ? part.v[2] : "", &options, rv->err);
	if (r < 0)
		return r;
	if (part.n == 1)
		return add_volume(rv, NULL, part.v[0], options, NULL, NULL);
	if (*part.v[0] != '/')
		return add_volume(rv, part.v[0], part.v[1], options, NULL, NULL);
	/* -v makes a missing directory, --mount does not. */
	struct stat st;
	if (stat(part.v[0], &st) < 0 && fd_mkdir_parents(part.v[0], 0755) < 0)
		return err_set(rv->err, ERR_INVALID, 0, "error while creating mount source path '%s'", part.v[0]);
	return add(rv, part.v[0], part.v[1], options);
}

static int add_mount(struct resolve *rv, const struct config_mount *m)
{
	CLEANUP_FREE char *options = str_printf("%s,%s%s%s", m->non_recursive ? "bind" : "rbind",
						m->propagation ? m->propagation : "rprivate", m->read_only ? ",ro" : "",
						m->idmap ? ",idmap" : "");
	struct stat st;
	if (str_eq(m->type, "volume"))
		return add_volume(rv, m->source, m->target, options, &m->labels, m->subpath);
	if (str_eq(m->type, "tmpfs")) {
		CLEANUP_FREE char *size = m->tmpfs_size_bytes ? str_printf(",size=%jd", (intmax_t)m->tmpfs_size_bytes) : str_dup("");
		CLEANUP_FREE char *mount = str_printf("noexec,nosuid,nodev,mode=%o%s%s", m->tmpfs_mode ? m->tmpfs_mode : 01777, size,
						      m->read_only ? ",ro" : "");
		spec_add_mount(rv->list, rv->n, "tmpfs", m->target, "tmpfs", mount);
		return 0;
	}
	if (!str_eq(m->type, "bind"))
		return err_set(rv->err, ERR_UNSUPPORTED, 0, "invalid mount config: unsupported mount type \"%s\"", m->type);
	if (stat(m->source ? m->source : "", &st) < 0 && !(m->create_mountpoint && m->source && fd_mkdir_parents(m->source, 0755) == 0))
		return err_set(rv->err, ERR_INVALID, 0,
			       "invalid mount config for type \"bind\": bind source path does not exist: %s", m->source ? m->source : "");
	return add(rv, m->source, m->target, options);
}

static bool is_taken(const struct resolve *rv, const char *destination)
{
	for (size_t i = 0; i < *rv->n; i++)
		if (str_eq((*rv->list)[i].destination, destination))
			return true;
	return false;
}

static int add_from(struct resolve *rv, const char *from, const struct image_config *image)
{
	CLEANUP_CONTAINER struct container *other = NULL;
	const char *colon = strchr(from, ':');
	CLEANUP_FREE char *name = str_ndup(from, colon ? (size_t)(colon - from) : strlen(from));
	int r = container_find(rv->engine, name, &other, rv->err);
	if (r == 0)
		r = container_load_config(other, rv->err);
	if (r < 0)
		return r;
	struct spec_mount *list = NULL;
	size_t n = 0;
	if (!str_eq(other->id, rv->c->id))
		r = volumes_resolve(rv->engine, other, NULL, &list, &n, rv->err);
	CLEANUP_DB_STMT struct db_stmt *row = NULL;
	for (size_t i = 0; r >= 0 && i < n; i++) {
		if (is_taken(rv, list[i].destination) || str_eq(list[i].type, "tmpfs"))
			continue;
		CLEANUP_FREE char *options = strv_join(&list[i].options, ",");
		CLEANUP_FREE char *all = str_printf("%s%s", options, colon && str_eq(colon, ":ro") ? ",ro" : "");
		spec_add_mount(rv->list, rv->n, list[i].source, list[i].destination, "bind", all);
	}
	spec_mounts_free(list, n);
	/* Its anonymous volumes, by the image's VOLUMEs. */
	if (r >= 0)
		r = db_query(rv->engine->db, &row, rv->err, "SELECT volume, destination FROM container_volumes WHERE container = ?",
			     "s", other->id);
	while (r >= 0 && (r = db_next(row, rv->err)) > 0) {
		if (!is_taken(rv, db_text(row, 1)))
			r = add_volume(rv, db_text(row, 0), db_text(row, 1), "rbind,rprivate", NULL, NULL);
	}
	return r < 0 ? r : 0;
}

int volumes_resolve(struct engine *engine, struct container *c, const struct image_config *image,
		    struct spec_mount **ret, size_t *ret_n, struct err *err)
{
	const struct container_config *config = c->config;
	struct resolve rv = { engine, c, ret, ret_n, err };
	int r = 0;
	for (size_t i = 0; r >= 0 && i < config->binds.n; i++)
		r = add_bind(&rv, config->binds.v[i]);
	for (size_t i = 0; r >= 0 && i < config->mounts_n; i++)
		r = add_mount(&rv, &config->mounts[i]);
	for (size_t i = 0; r >= 0 && i < config->volumes_from.n; i++)
		r = add_from(&rv, config->volumes_from.v[i], image);
	for (size_t i = 0; r >= 0 && i < config->volumes.n; i++)
		if (!is_taken(&rv, config->volumes.v[i]))
			r = add_volume(&rv, NULL, config->volumes.v[i], "rbind,rprivate", NULL, NULL);
	for (size_t i = 0; r >= 0 && image && i < image->volumes.n; i++)
		if (!is_taken(&rv, image->volumes.v[i]))
			r = add_volume(&rv, NULL, image->volumes.v[i], "rbind,rprivate", NULL, NULL);
	return r;
}

int volumes_release(struct engine *engine, const char *id, bool remove_anonymous, struct err *err)
{
	CLEANUP_STRV struct strv names = { 0 };
	CLEANUP_DB_STMT struct db_stmt *row = NULL;
	int r = db_query(engine->db, &row, err,
			 "SELECT v.name FROM volumes v JOIN container_volumes u ON u.volume = v.name WHERE u.container = ?"
			 " AND v.is_anonymous AND NOT EXISTS (SELECT 1 FROM container_volumes o WHERE o.volume = v.name AND o.container <> u.container)",
			 "s", id);
	while (r >= 0 && remove_anonymous && (r = db_next(row, err)) > 0)
		strv_add(&names, db_text(row, 0));
	if (r >= 0)
		r = db_run(engine->db, err, "DELETE FROM container_volumes WHERE container = ?", "s", id);
	for (size_t i = 0; r >= 0 && i < names.n; i++) {
		/* The row goes last: while it is there, the files have an owner. */
		CLEANUP_FREE char *path = str_printf("volumes/%s", names.v[i]);
		r = fd_remove_tree_at(engine->store->root_fd, path);
		if (r >= 0)
			r = db_run(engine->db, err, "DELETE FROM volumes WHERE name = ?", "s", names.v[i]);
	}
	return r < 0 ? r : 0;
}
