/* SPDX-License-Identifier: Apache-2.0 */
/* hull system df */
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "clock.h"
#include "containers.h"
#include "disk_usage.h"
#include "format.h"
#include "image_cli.h"
#include "reference.h"
#include "volumes.h"

struct df_opts {
	const char *format;
	bool verbose;
};

static const struct option options[] = {
	{ "format", 0, OPT_STR, offsetof(struct df_opts, format), .help = "table, json or a Go template" },
	{ "verbose", 'v', OPT_BOOL, offsetof(struct df_opts, verbose), .help = "Show detailed information on space usage" },
	OPTIONS_END
};

/* ---- the sums ---- */

static const struct image_column sum_columns[] = {
	{ "Type", "TYPE" }, { "TotalCount", "TOTAL" }, { "Active", "ACTIVE" }, { "Size", "SIZE" }, { "Reclaimable", "RECLAIMABLE" },
};

static void add_sum(struct image_rows *rows, const char *type, const struct usage_line *line)
{
	char size[32], reclaimable[32];
	CLEANUP_FREE char *total = str_printf("%jd", (intmax_t)line->total), *active = str_printf("%jd", (intmax_t)line->active);
	str_human_size((double)line->size_bytes, size);
	str_human_size((double)line->reclaimable_bytes, reclaimable);
	CLEANUP_FREE char *share = line->size_bytes > 0 ? str_printf("%s (%jd%%)", reclaimable,
								    (intmax_t)(line->reclaimable_bytes * 100 / line->size_bytes)) :
							  str_dup(reclaimable);
	image_rows_add(rows, type, total, active, size, share);
}

static int print_sums(struct engine *engine, const char *format, struct err *err)
{
	CLEANUP(image_rows_done) struct image_rows rows = { .columns = sum_columns, .columns_n = ARRAY_LEN(sum_columns) };
	struct disk_usage usage;
	static const struct usage_line nothing = { 0 };
	int r = disk_usage_sum(engine, &usage, err);
	if (r < 0)
		return r;
	add_sum(&rows, "Images", &usage.images);
	add_sum(&rows, "Containers", &usage.containers);
	add_sum(&rows, "Local Volumes", &usage.volumes);
	add_sum(&rows, "Build Cache", &nothing);
	return image_rows_print(&rows, format, err);
}

/* ---- each thing ---- */

static const struct image_column image_columns[] = {
	{ "Repository", "REPOSITORY" }, { "Tag", "TAG" },	   { "ID", "IMAGE ID" },	    { "CreatedSince", "CREATED" },
	{ "Size", "SIZE" },		{ "SharedSize", "SHARED SIZE" }, { "UniqueSize", "UNIQUE SIZE" }, { "Containers", "CONTAINERS" },
};
static const struct image_column container_columns[] = {
	{ "ID", "CONTAINER ID" }, { "Image", "IMAGE" },		{ "Command", "COMMAND" }, { "LocalVolumes", "LOCAL VOLUMES" },
	{ "Size", "SIZE" },	  { "RunningFor", "CREATED" },	{ "Status", "STATUS" },	  { "Names", "NAMES" },
};
static const struct image_column volume_columns[] = { { "Name", "VOLUME NAME" }, { "Links", "LINKS" }, { "Size", "SIZE" } };
static const struct image_column cache_columns[] = {
	{ "ID", "CACHE ID" }, { "CacheType", "CACHE TYPE" }, { "Size", "SIZE" }, { "CreatedSince", "CREATED" },
	{ "LastUsedSince", "LAST USED" }, { "UsageCount", "USAGE" }, { "Shared", "SHARED" },
};

struct tables {
	struct image_rows images, containers, volumes, cache;
};

static void tables_done(struct tables *t)
{
	image_rows_done(&t->images);
	image_rows_done(&t->containers);
	image_rows_done(&t->volumes);
	image_rows_done(&t->cache);
}

static int add_images(struct engine *engine, struct image_rows *rows, struct err *err)
{
	struct image_summary *list = NULL;
	size_t n = 0;
	int r = image_list(engine->store, &list, &n, err);
	for (size_t i = 0; r >= 0 && i < n; i++) {
		const struct image_summary *s = &list[i];
		char size[32], shared[32], unique[32], words[32];
		int64_t users = 0;
		const char *familiar = s->tags.n ? reference_familiar(s->tags.v[0]) : "<none>";
		const char *suffix = s->tags.n ? reference_suffix(familiar) : "";
		CLEANUP_FREE char *repository = str_ndup(familiar, strlen(familiar) - strlen(suffix));
		CLEANUP_FREE char *id = str_ndup(s->id + 7, ID_SHORT);
		CLEANUP_FREE char *since = s->created_ns ? str_printf("%s ago", clock_human_duration(clock_wall_ns() - s->created_ns, words)) :
							   str_dup("N/A");
		r = image_user_count(engine, s->id, &users, err);
		CLEANUP_FREE char *count = str_printf("%jd", (intmax_t)users);
		image_rows_add(rows, repository, *suffix == ':' ? suffix + 1 : "<none>", id, since,
			       str_human_size((double)s->size_bytes, size),
			       str_human_size((double)(s->size_bytes - s->unique_bytes), shared),
			       str_human_size((double)s->unique_bytes, unique), count);
	}
	image_list_free(list, n);
	return r < 0 ? r : 0;
}

static int add_containers(struct engine *engine, struct image_rows *rows, struct err *err)
{
	struct container **list = NULL;
	size_t n = 0;
	int64_t now = clock_wall_ns();
	int r = container_list_all(engine, &list, &n, err);
	for (size_t i = 0; r >= 0 && i < n; i++) {
		const struct container *c = list[i];
		char size[32], words[32];
		int64_t links = 0;
		r = db_query_i64(engine->db, &links, err, "SELECT COUNT(*) FROM container_volumes WHERE container = ?", "s", c->id);
		CLEANUP_FREE char *id = str_ndup(c->id, ID_SHORT), *status = containers_status_text(c, now);
		CLEANUP_FREE char *command = str_printf(strlen(c->command) > 20 ? "\"%.19s\xe2\x80\xa6\"" : "\"%s\"", c->command);
		CLEANUP_FREE char *ago = str_printf("%s ago", clock_human_duration(now - c->created_ns, words));
		CLEANUP_FREE char *volumes = str_printf("%jd", (intmax_t)links);
		image_rows_add(rows, id, c->image_name ? c->image_name : "", command, volumes,
			       str_human_size((double)container_disk_usage(engine, c->id), size), ago, status, c->name);
	}
	if (list)
		container_list_free(list, n);
	return r < 0 ? r : 0;
}

static int add_volumes(struct engine *engine, struct image_rows *rows, struct err *err)
{
	static const struct volume_filter all = { 0 };
	struct volume **list = NULL;
	size_t n = 0;
	int r = volumes_list(engine, &all, &list, &n, err);
	for (size_t i = 0; r >= 0 && i < n; i++) {
		char size[32];
		CLEANUP_FREE char *links = str_printf("%zu", list[i]->users.n);
		image_rows_add(rows, list[i]->name, links, str_human_size((double)volume_disk_usage(engine, list[i]->name), size));
	}
	if (list)
		volumes_list_free(list, n);
	return r < 0 ? r : 0;
}

/* One object with a list for each kind, as Docker's JSON. */
static void write_rows(const struct image_rows *rows, const char *key, struct json_writer *w)
{
	jw_key(w, key);
	jw_array(w);
	for (size_t i = 0; i < rows->cells.n; i += rows->columns_n) {
		jw_object(w);
		for (size_t c = 0; c < rows->columns_n; c++)
			jw_kv_str(w, rows->columns[c].key, rows->cells.v[i + c]);
		jw_object_end(w);
	}
	jw_array_end(w);
}

static int print_formatted(const struct tables *t, const char *format, struct err *err)
{
	CLEANUP_BUF struct buf text = BUF_INIT(64 << 20);
	struct json_writer w;
	json_writer_init(&w, &text, 0);
	jw_object(&w);
	write_rows(&t->images, "Images", &w);
	write_rows(&t->containers, "Containers", &w);
	write_rows(&t->volumes, "Volumes", &w);
	write_rows(&t->cache, "BuildCache", &w);
	jw_object_end(&w);
	int r = json_writer_finish(&w);
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "print") : format_print_object(stdout, format, &text, err);
}

static int print_all(struct engine *engine, const char *format, struct err *err)
{
	CLEANUP(tables_done) struct tables t = {
		{ .columns = image_columns, .columns_n = ARRAY_LEN(image_columns) },
		{ .columns = container_columns, .columns_n = ARRAY_LEN(container_columns) },
		{ .columns = volume_columns, .columns_n = ARRAY_LEN(volume_columns) },
		{ .columns = cache_columns, .columns_n = ARRAY_LEN(cache_columns) },
	};
	int r = add_images(engine, &t.images, err);
	if (r == 0)
		r = add_containers(engine, &t.containers, err);
	if (r == 0)
		r = add_volumes(engine, &t.volumes, err);
	if (r < 0 || (format && !str_eq(format, "table")))
		return r < 0 ? r : print_formatted(&t, format, err);
	printf("Images space usage:\n\n");
	r = image_rows_print(&t.images, NULL, err);
	printf("\nContainers space usage:\n\n");
	if (r == 0)
		r = image_rows_print(&t.containers, NULL, err);
	printf("\nLocal Volumes space usage:\n\n");
	if (r == 0)
		r = image_rows_print(&t.volumes, NULL, err);
	printf("\nBuild cache usage: 0B\n\n");
	return r == 0 ? image_rows_print(&t.cache, NULL, err) : r;
}

static int run(struct cli *cli, const void *opts, int argc, char **argv)
{
	const struct df_opts *o = opts;
	struct err err = ERR_INIT;
	CLEANUP_ENGINE struct engine *engine = NULL;
	int r = engine_open(&engine, &err);
	if (r == 0)
		r = o->verbose ? print_all(engine, o->format, &err) : print_sums(engine, o->format, &err);
	return r < 0 ? cli_fail(cli, &err) : 0;
}

const struct verb verb_system_df = {
	.names = { "system df" },
	.args = "[OPTIONS]",
	.brief = "Show disk usage",
	.options = options,
	.opts_size = sizeof(struct df_opts),
	.is_docker = true,
	.run = run,
};
