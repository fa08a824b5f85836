/* SPDX-License-Identifier: Apache-2.0 */
#include "volume_mounts.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "events.h"
#include "image_store.h"
#include "path.h"
#include "resolve.h"
#include "spec_builder.h"

/* --volumes-from of one that has --volumes-from ... */
#define FROM_DEPTH_MAX 16

struct planning {
	struct engine *engine;
	struct container *c;
	enum volume_stage stage;
	struct volume_plan *plan;
	unsigned depth;
	struct err *err;
};

static void mount_done(struct volume_mount *m)
{
	free(m->name);
	free(m->source);
	free(m->destination);
	free(m->propagation);
	free(m->mode);
	free(m->subpath);
	free(m->data);
	*m = (struct volume_mount){ 0 };
}

void volume_plan_done(struct volume_plan *plan)
{
	for (size_t i = 0; i < plan->n; i++)
		mount_done(&plan->list[i]);
	free(plan->list);
	*plan = (struct volume_plan){ 0 };
}

bool volumes_wanted(const struct container_config *config, const struct image_config *image)
{
	return config->binds.n || config->mounts_n || config->volumes_from.n || config->volumes.n || config->tmpfs.n ||
	       (image && image->volumes.n);
}

static bool is_taken(const struct planning *p, const char *destination)
{
	for (size_t i = 0; i < p->plan->n; i++)
		if (str_eq(p->plan->list[i].destination, destination))
			return true;
	return false;
}

/* Takes what @m owns, also on failure. */
static int add(struct planning *p, struct volume_mount *m)
{
	int r = 0;
	if (*m->destination != '/' || str_eq(m->destination, "/"))
		r = err_set(p->err, ERR_INVALID, 0,
			    "invalid volume specification: '%s:%s': invalid mount config for type \"%s\": invalid mount path: '%s' mount path must be absolute",
			    m->source ? m->source : m->name ? m->name : "", m->destination, m->type, m->destination);
	else if (is_taken(p, m->destination))
		r = err_set(p->err, ERR_INVALID, 0, "Duplicate mount point: %s", m->destination);
	if (r < 0) {
		mount_done(m);
		return r;
	}
	struct volume_plan *plan = p->plan;
	plan->list = reallocarray(plan->list, plan->n + 1, sizeof(*plan->list));
	if (!plan->list)
		abort();
	plan->list[plan->n++] = *m;
	*m = (struct volume_mount){ 0 };
	return 0;
}

static int record_mount(struct planning *p, const struct volume_mount *m)
{
	CLEANUP_STRV struct strv attributes = { 0 };
	strv_printf(&attributes, "container=%s", p->c->id);
	strv_printf(&attributes, "destination=%s", m->destination);
	strv_add(&attributes, "driver=local");
	strv_printf(&attributes, "propagation=%s", m->propagation ? m->propagation : "");
	strv_printf(&attributes, "read/write=%s", m->read_only ? "false" : "true");
	return event_record(p->engine, "volume", "mount", m->name, &attributes, p->err);
}

/* The volume that is mounted there already, or the one asked for, or a new one. */
static int choose_volume(struct planning *p, struct volume_mount *m, const struct config_mount *from, bool *ret_skip)
{
	CLEANUP_DB_STMT struct db_stmt *row = NULL;
	char chosen[VOLUME_NAME_SIZE];
	int r = db_query(p->engine->db, &row, p->err,
			 "SELECT volume, needs_copy FROM container_volumes WHERE container = ? AND destination = ?", "ss", p->c->id,
			 m->destination);
	if (r >= 0)
		r = db_next(row, p->err);
	if (r < 0)
		return r;
	if (r > 0) {
		free(m->name);
		m->name = str_dup(db_text_or(row, 0, ""));
		m->needs_copy = db_i64(row, 1) != 0;
		return 0;
	}
	db_stmt_free(TAKE_PTR(row));
	if (p->stage == VOLUMES_LOOK) {
		*ret_skip = !m->name;
		return 0;
	}
	const char *driver = from && from->driver ? from->driver : p->c->config->volume_driver;
	struct volume_new wanted = { m->name, driver, from ? &from->labels : NULL, from ? &from->driver_opts : NULL };
	r = volume_ensure(p->engine, &wanted, chosen, p->err);
	if (r < 0)
		return r;
	free(m->name);
	m->name = str_dup(chosen);
	m->needs_copy = !m->no_copy && !m->subpath;
	r = db_run(p->engine->db, p->err,
		   "INSERT INTO container_volumes(container, volume, destination, needs_copy) VALUES(?, ?, ?, ?)", "sssi", p->c->id,
		   m->name, m->destination, (int64_t)m->needs_copy);
	return r < 0 ? r : 0;
}

/* Takes what @m owns. */
static int add_volume(struct planning *p, struct volume_mount *m, const struct config_mount *from)
{
	bool skip = false;
	int r = is_taken(p, m->destination) ? 0 : choose_volume(p, m, from, &skip);
	if (r == 0 && !skip && p->stage == VOLUMES_USE)
		r = record_mount(p, m);
	if (r < 0 || skip) {
		mount_done(m);
		return r;
	}
	m->source = str_printf("%s/volumes/%s/_data", p->engine->root, m->name);
	return add(p, m);
}

static const char *const propagations[] = { "shared", "rshared", "slave", "rslave", "private", "rprivate", NULL };
static const char *const ignored_modes[] = { "rw", "consistent", "default", "rbind", "nodev", "nosuid", "noexec", NULL };

static bool is_one_of(const char *word, const char *const *list)
{
	for (; *list; list++)
		if (str_eq(word, *list))
			return true;
	return false;
}

/* Docker's words for it. */
static bool is_cached(const char *consistency)
{
	return str_eq(consistency, "cached") || str_eq(consistency, "delegated");
}

/* "ro,z,rshared,nocopy,idmap" */
static int read_mode(const char *spec, const char *words, struct volume_mount *m, struct err *err)
{
	CLEANUP_STRV struct strv in = { 0 };
	strv_split(&in, words, ',');
	for (size_t i = 0; i < in.n; i++) {
		const char *w = in.v[i];
		if (is_one_of(w, propagations)) {
			free(m->propagation);
			m->propagation = str_dup(w);
		} else if (str_eq(w, "ro"))
			m->read_only = true;
		else if (str_eq(w, "nocopy"))
			m->no_copy = true;
		else if (str_eq(w, "U"))
			m->chown = true;
		else if (str_eq(w, "z") || str_eq(w, "Z"))
			m->relabel = true;
		else if (str_eq(w, "idmap"))
			m->idmap = true;
		else if (is_cached(w))
			m->cached = true;
		else if (str_eq(w, "bind"))
			m->non_recursive = true;
		else if (!is_one_of(w, ignored_modes))
			return err_set(err, ERR_INVALID, 0, "invalid volume specification: '%s': invalid mode: %s", spec, words);
	}
	return 0;
}

static int add_bind(struct planning *p, const char *spec)
{
	CLEANUP_STRV struct strv part = { 0 };
	strv_split(&part, spec, ':');
	if (part.n < 1 || part.n > 3 || !*part.v[0] || (part.n > 1 && !*part.v[1]))
		return err_set(p->err, ERR_INVALID, 0, "invalid volume specification: '%s'", spec);
	struct volume_mount m = { .destination = path_clean(part.v[part.n > 1]), .mode = str_dup(part.n == 3 ? part.v[2] : "") };
	int r = read_mode(spec, m.mode, &m, p->err);
	if (r < 0) {
		mount_done(&m);
		return r;
	}
	if (part.n > 1 && *part.v[0] == '/') {
		m.type = "bind";
		m.source = path_clean(part.v[0]);
		m.makes_source = true;
		return add(p, &m);
	}
	m.type = "volume";
	m.name = part.n > 1 ? str_dup(part.v[0]) : NULL;
	return add_volume(p, &m, NULL);
}

static int check_source(const struct planning *p, const struct config_mount *from)
{
	struct stat st;
	if (p->stage == VOLUMES_LOOK || from->create_mountpoint || (from->source && stat(from->source, &st) == 0))
		return 0;
	return err_set(p->err, ERR_INVALID, 0, "invalid mount config for type \"bind\": bind source path does not exist: %s",
		       from->source ? from->source : "");
}

static int check_subpath(const struct planning *p, const char *subpath)
{
	CLEANUP_FREE char *clean = path_clean(subpath);
	if (*subpath == '/' || str_eq(clean, "..") || str_starts_with(clean, "../"))
		return err_set(p->err, ERR_INVALID, 0, "invalid mount config for type \"volume\": subpath must be a relative path within the volume");
	return 0;
}

static int add_mount(struct planning *p, const struct config_mount *from)
{
	struct volume_mount m = {
		.read_only = from->read_only, .read_only_non_recursive = from->read_only_non_recursive,
		.read_only_force_recursive = from->read_only_force_recursive, .non_recursive = from->non_recursive,
		.no_copy = from->no_copy, .idmap = from->idmap, .cached = is_cached(from->consistency),
	};
	bool is_volume = str_eq(from->type, "volume"), is_bind = str_eq(from->type, "bind");
	if (!is_volume && !is_bind && !str_eq(from->type, "tmpfs"))
		return err_set(p->err, ERR_UNSUPPORTED, 0, "invalid mount config: unsupported mount type \"%s\"", from->type);
	int r = is_bind ? check_source(p, from) : from->subpath ? check_subpath(p, from->subpath) : 0;
	if (r < 0)
		return r;
	m.destination = path_clean(from->target);
	m.propagation = str_dup(from->propagation);
	m.mode = str_dup("");
	if (is_volume) {
		m.type = "volume";
		m.name = str_is_empty(from->source) ? NULL : str_dup(from->source);
		m.subpath = str_is_empty(from->subpath) ? NULL : str_dup(from->subpath);
		return add_volume(p, &m, from);
	}
	if (is_bind) {
		m.type = "bind";
		m.source = path_clean(from->source);
		m.makes_source = from->create_mountpoint;
		return add(p, &m);
	}
	m.type = "tmpfs";
	CLEANUP_FREE char *size = from->tmpfs_size_bytes ? str_printf(",size=%jd", (intmax_t)from->tmpfs_size_bytes) : str_dup("");
	m.data = str_printf("noexec,nosuid,nodev,mode=%o%s%s", from->tmpfs_mode ? from->tmpfs_mode : 01777, size,
			    from->read_only ? ",ro" : "");
	return add(p, &m);
}

static int add_tmpfs(struct planning *p, const char *pair)
{
	const char *eq = strchr(pair, '=');
	CLEANUP_FREE char *path = eq ? str_ndup(pair, (size_t)(eq - pair)) : str_dup(pair);
	struct volume_mount m = { .type = "tmpfs", .destination = path_clean(path), .mode = str_dup("") };
	m.data = str_printf("noexec,nosuid,nodev%s%s", eq && eq[1] ? "," : "", eq ? eq + 1 : "");
	return add(p, &m);
}

static int plan_all(struct planning *p, const struct image_config *image);

/* Takes over one mount of another container, unless its place is taken. */
static int inherit(struct planning *p, const struct volume_mount *from, bool read_only)
{
	if (is_taken(p, from->destination) || str_eq(from->type, "tmpfs"))
		return 0;
	struct volume_mount m = {
		.type = from->type, .destination = str_dup(from->destination), .propagation = str_dup(from->propagation),
		.mode = str_dup(from->mode), .subpath = str_dup(from->subpath), .non_recursive = from->non_recursive,
		.read_only = from->read_only || read_only, .no_copy = true, .idmap = from->idmap, .cached = from->cached,
		.makes_source = from->makes_source,
	};
	if (from->name) {
		m.name = str_dup(from->name);
		return add_volume(p, &m, NULL);
	}
	m.source = str_dup(from->source);
	return add(p, &m);
}

static int add_from(struct planning *p, const char *from)
{
	CLEANUP_CONTAINER struct container *other = NULL;
	CLEANUP_IMAGE struct image *image = NULL;
	CLEANUP_VOLUME_PLAN struct volume_plan theirs = { 0 };
	const char *colon = strchr(from, ':');
	CLEANUP_FREE char *name = str_ndup(from, colon ? (size_t)(colon - from) : strlen(from));
	struct volume_mount mode = { 0 };
	int r = colon ? read_mode(from, colon + 1, &mode, p->err) : 0;
	free(mode.propagation);
	if (r == 0)
		r = container_find(p->engine, name, &other, p->err);
	if (r == 0)
		r = container_load_config(other, p->err);
	if (r < 0 || str_eq(other->id, p->c->id))
		return r;
	if (p->depth >= FROM_DEPTH_MAX)
		return err_set(p->err, ERR_INVALID, 0, "volumes-from goes too deep at %s", name);
	r = image_load(p->engine->store, other->image_id, &image, p->err);
	if (r < 0)
		return r;
	struct planning inner = { p->engine, other, p->stage == VOLUMES_LOOK ? VOLUMES_LOOK : VOLUMES_RECORD, &theirs, p->depth + 1, p->err };
	r = plan_all(&inner, image->config);
	for (size_t i = 0; r >= 0 && i < theirs.n; i++)
		r = inherit(p, &theirs.list[i], mode.read_only);
	return r;
}

/* A place that something else has taken needs no volume. */
static int add_anonymous(struct planning *p, const char *path)
{
	struct volume_mount m = { .type = "volume", .destination = path_clean(path), .mode = str_dup("") };
	if (!is_taken(p, m.destination))
		return add_volume(p, &m, NULL);
	mount_done(&m);
	return 0;
}

static int plan_all(struct planning *p, const struct image_config *image)
{
	const struct container_config *config = p->c->config;
	int r = 0;
	for (size_t i = 0; r >= 0 && i < config->binds.n; i++)
		r = add_bind(p, config->binds.v[i]);
	for (size_t i = 0; r >= 0 && i < config->mounts_n; i++)
		r = add_mount(p, &config->mounts[i]);
	for (size_t i = 0; r >= 0 && i < config->tmpfs.n; i++)
		r = add_tmpfs(p, config->tmpfs.v[i]);
	/* The last of them wins over the others, and all yield to what was said. */
	for (size_t i = config->volumes_from.n; r >= 0 && i-- > 0;)
		r = add_from(p, config->volumes_from.v[i]);
	for (size_t i = 0; r >= 0 && i < config->volumes.n; i++)
		r = add_anonymous(p, config->volumes.v[i]);
	for (size_t i = 0; r >= 0 && image && i < image->volumes.n; i++)
		r = add_anonymous(p, image->volumes.v[i]);
	return r;
}

int volumes_plan(struct engine *engine, struct container *c, const struct image_config *image, enum volume_stage stage,
		 struct volume_plan *ret, struct err *err)
{
	struct planning p = { engine, c, stage, ret, 0, err };
	return plan_all(&p, image);
}

void volumes_to_spec(const struct volume_plan *plan, struct spec_mount **ret, size_t *ret_n)
{
	for (size_t i = 0; i < plan->n; i++) {
		const struct volume_mount *m = &plan->list[i];
		if (str_eq(m->type, "tmpfs")) {
			spec_add_mount(ret, ret_n, "tmpfs", m->destination, "tmpfs", m->data);
			continue;
		}
		/* Read-only means all of it, where the kernel can, as Docker has it. */
		const char *ro = !m->read_only ? "" : m->read_only_non_recursive || m->non_recursive ? ",ro" : ",rro";
		CLEANUP_FREE char *options = str_printf("%s,%s%s%s%s", m->non_recursive ? "bind" : "rbind",
							m->propagation ? m->propagation : "rprivate", ro, m->idmap ? ",idmap" : "",
							m->cached ? ",cached" : "");
		struct spec_mount *added = spec_add_mount(ret, ret_n, m->source, m->destination, "bind", options);
		if (m->subpath)
			strv_printf(&added->options, "subpath=%s", m->subpath);
	}
}

void volumes_write(const struct volume_plan *plan, struct json_writer *w)
{
	jw_array(w);
	for (size_t i = 0; i < plan->n; i++) {
		const struct volume_mount *m = &plan->list[i];
		bool is_volume = str_eq(m->type, "volume");
		/* --tmpfs is told in HostConfig alone. */
		if (str_eq(m->type, "tmpfs") && !strstr(m->data, "mode="))
			continue;
		jw_object(w);
		jw_kv_str(w, "Type", m->type);
		if (is_volume)
			jw_kv_str(w, "Name", m->name);
		jw_kv_str(w, "Source", m->source ? m->source : "");
		jw_kv_str(w, "Destination", m->destination);
		if (is_volume)
			jw_kv_str(w, "Driver", "local");
		jw_kv_str(w, "Mode", m->mode ? m->mode : "");
		jw_kv_bool(w, "RW", !m->read_only);
		jw_kv_str(w, "Propagation", m->propagation ? m->propagation : str_eq(m->type, "bind") ? "rprivate" : "");
		jw_object_end(w);
	}
	jw_array_end(w);
}
