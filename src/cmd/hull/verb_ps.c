/* SPDX-License-Identifier: Apache-2.0 */
/* ps and inspect (of containers; images when there is no such container). */
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "clock.h"
#include "containers.h"
#include "disk_usage.h"
#include "format.h"
#include "image_cli.h"
#include "image_inspect.h"
#include "volume_cli.h"
#include "network_link.h"
#include "network_view.h"

#define OBJECT_MAX (16u << 20)

struct ps_opts {
	bool all, latest, no_trunc, quiet, size;
	struct strv filter;
	const char *format;
	int64_t last;
};

static const struct option ps_options[] = {
	{ "all", 'a', OPT_BOOL, offsetof(struct ps_opts, all), .help = "Show all containers (default shows just running)" },
	{ "filter", 'f', OPT_LIST, offsetof(struct ps_opts, filter), .value = "filter",
	  .help = "Filter output based on conditions provided" },
	{ "format", 0, OPT_STR, offsetof(struct ps_opts, format), .help = "table, json or a Go template" },
	{ "last", 'n', OPT_INT, offsetof(struct ps_opts, last),
	  .help = "Show n last created containers (includes all states)", .initial = "-1" },
	{ "latest", 'l', OPT_BOOL, offsetof(struct ps_opts, latest),
	  .help = "Show the latest created container (includes all states)" },
	{ "no-trunc", 0, OPT_BOOL, offsetof(struct ps_opts, no_trunc), .help = "Don't truncate output" },
	{ "quiet", 'q', OPT_BOOL, offsetof(struct ps_opts, quiet), .help = "Only display container IDs" },
	{ "size", 's', OPT_BOOL, offsetof(struct ps_opts, size), .help = "Display total file sizes" },
	OPTIONS_END
};

enum { COLUMN_SIZE = 7 };
static const struct image_column columns[] = {
	{ "ID", "CONTAINER ID" }, { "Image", "IMAGE" }, { "Command", "COMMAND" }, { "RunningFor", "CREATED" },
	{ "Status", "STATUS" },	  { "Ports", "PORTS" }, { "Names", "NAMES" },	  { "Size", "SIZE" },
	{ "State", NULL },	  { "CreatedAt", NULL }, { "Labels", NULL },	  { "Isolation", NULL },
	{ "Mounts", NULL },	  { "LocalVolumes", NULL }, { "Networks", NULL },
};

/* What takes longer than one row of the database, and whether it is asked for. */
struct ps_wanted {
	bool size, inspect;
};

static struct ps_wanted what_is_wanted(const struct ps_opts *o)
{
	const char *format = o->format ? o->format : "";
	bool all = strstr(format, "json") != NULL;

	return (struct ps_wanted){
		.size = o->size || (!all && strstr(format, ".Size")),
		.inspect = all || strstr(format, ".Mounts") || strstr(format, ".LocalVolumes") || strstr(format, ".Networks"),
	};
}

static char *command_text(const struct container *c, bool no_trunc)
{
	const char *s = c->command ? c->command : "";

	if (no_trunc || strlen(s) <= 20)
		return str_printf("\"%s\"", s);
	return str_printf("\"%.19s\xe2\x80\xa6\"", s);
}

static char *size_text(struct engine *engine, const struct container *c, bool is_wanted)
{
	struct container_size size = { 0 };
	struct err ignored = ERR_INIT;
	char changed[32], root[32];

	/* It may just be going. */
	if (!is_wanted || container_size_read(engine, c, &size, &ignored) < 0)
		return str_dup("0B");
	return str_printf("%s (virtual %s)", str_human_size((double)size.changed_bytes, changed),
			  str_human_size((double)size.root_bytes, root));
}

struct ps_details {
	char *mounts, *networks;
	size_t volumes;
};

static void read_details(struct engine *engine, struct container *c, bool no_trunc, struct ps_details *ret)
{
	CLEANUP_BUF struct buf text = BUF_INIT(OBJECT_MAX);
	CLEANUP_JSON struct json *object = NULL;
	CLEANUP_STRV struct strv mounts = { 0 }, networks = { 0 };
	struct json_writer w;
	struct err ignored = ERR_INIT;

	json_writer_init(&w, &text, 0);
	if (containers_inspect(engine, c, false, &w, &ignored) == 0 && json_writer_finish(&w) == 0 &&
	    json_parse(text.data, text.len, "container", &object, &ignored) == 0) {
		struct json *list = json_get(object, "Mounts");
		for (size_t i = 0; i < json_array_len(list); i++) {
			struct json *m = json_array_at(list, i);
			const char *name = json_str(json_get(m, "Name")), *source = json_str(json_get(m, "Source"));
			const char *shown = !str_is_empty(name) ? name : source ? source : "";
			ret->volumes += !str_is_empty(name);
			strv_printf(&mounts, !no_trunc && strlen(shown) > 15 ? "%.14s\xe2\x80\xa6" : "%s", shown);
		}
		const char *mode = json_str(json_get(json_get(object, "HostConfig"), "NetworkMode")), *key;
		struct json *joined = json_get(json_get(object, "NetworkSettings"), "Networks"), *value;
		for (void *it = NULL; (it = json_object_next(joined, it, &key, &value));)
			strv_add(&networks, key);
		strv_sort(&networks);
		if (mode && str_starts_with(mode, "container:"))
			strv_add(&networks, mode);
	}
	ret->mounts = strv_join(&mounts, ",");
	ret->networks = strv_join(&networks, ",");
}

static void add_row(struct engine *engine, struct image_rows *rows, struct container *c, const struct ps_opts *o,
		    const struct ps_wanted *wanted, int64_t now)
{
	char words[32], created[CLOCK_GO_SIZE];
	struct ps_details more = { 0 };
	if (wanted->inspect)
		read_details(engine, c, o->no_trunc, &more);
	CLEANUP_FREE char *mounts = more.mounts, *networks = more.networks, *volumes = str_printf("%zu", more.volumes);
	CLEANUP_FREE char *id = str_ndup(c->id, o->no_trunc ? strlen(c->id) : ID_SHORT);
	CLEANUP_FREE char *command = command_text(c, o->no_trunc), *ports = network_ports_text(engine, c);
	CLEANUP_FREE char *status = containers_status_text(c, now), *labels = strv_join(&c->labels, ",");
	CLEANUP_FREE char *ago = str_printf("%s ago", clock_human_duration(now - c->created_ns, words));
	CLEANUP_FREE char *size = size_text(engine, c, wanted->size);

	image_rows_add(rows, id, c->image_name ? c->image_name : "", command, ago, status, ports, c->name, size,
		       container_status_name(c->status), clock_format_go(c->created_ns / CLOCK_NS_PER_S * CLOCK_NS_PER_S, created), labels ? labels : "",
		       isolation_level_name(c->level), mounts ? mounts : "", volumes, networks ? networks : "");
}

static int run_ps(struct cli *cli, const void *opts, int argc, char **argv)
{
	const struct ps_opts *o = opts;
	struct err err = ERR_INIT;
	CLEANUP_ENGINE struct engine *engine = NULL;
	struct container **list = NULL;
	size_t n = 0;
	struct container_filter filter = { .all = o->all || o->latest || o->last > 0, .last = o->latest ? 1 : o->last };
	struct image_column shown[ARRAY_LEN(columns)];
	struct image_rows rows = { .columns = shown, .columns_n = ARRAY_LEN(columns) };
	const struct ps_wanted wanted = what_is_wanted(o);

	memcpy(shown, columns, sizeof(shown));
	if (!o->size && (str_is_empty(o->format) || str_eq(o->format, "table")))
		shown[COLUMN_SIZE].header = NULL;
	filter.pairs = o->filter; /* borrowed */
	if (engine_open(&engine, &err) < 0 || containers_list(engine, &filter, &list, &n, &err) < 0)
		return cli_fail(cli, &err);
	int64_t now = clock_wall_ns();
	for (size_t i = 0; i < n; i++)
		add_row(engine, &rows, list[i], o, &wanted, now);
	int r = image_rows_print(&rows, o->quiet ? "{{.ID}}" : o->format, &err);
	image_rows_done(&rows);
	container_list_free(list, n);
	return r < 0 ? cli_fail(cli, &err) : 0;
}

const struct verb verb_ps = {
	.names = { "ps", "container ls", "container list", "container ps" },
	.args = "[OPTIONS]",
	.brief = "List containers",
	.options = ps_options,
	.opts_size = sizeof(struct ps_opts),
	.is_docker = true,
	.run = run_ps,
};

struct inspect_opts {
	const char *format, *type;
	bool size;
};

static const struct option inspect_options[] = {
	{ "format", 'f', OPT_STR, offsetof(struct inspect_opts, format), .help = "json or a Go template" },
	{ "size", 's', OPT_BOOL, offsetof(struct inspect_opts, size), .help = "Display total file sizes if the type is container" },
	{ "type", 0, OPT_STR, offsetof(struct inspect_opts, type), .help = "Only inspect objects of the given type",
	  .complete = COMPLETE_WORDS, .words = "container image network volume" },
	OPTIONS_END
};

static bool is_asked(const struct inspect_opts *o, const char *type)
{
	return str_is_empty(o->type) || str_eq(o->type, type);
}

static int write_object(struct engine *engine, const char *name, const struct inspect_opts *o, struct json_writer *w,
			struct err *err)
{
	CLEANUP_CONTAINER struct container *c = NULL;
	CLEANUP_IMAGE struct image *image = NULL;
	CLEANUP_NETWORK struct network *network = NULL;
	CLEANUP_VOLUME struct volume *volume = NULL;
	int r = err_set(err, ERR_NOT_FOUND, 0, "No such object: %s", name);

	if (is_asked(o, "container"))
		r = (*err = ERR_INIT, container_find(engine, name, &c, err));
	if (r == 0)
		return containers_inspect(engine, c, o->size, w, err);
	if (is_asked(o, "image") && err->kind == ERR_NOT_FOUND)
		r = (*err = ERR_INIT, image_resolve(engine->store, name, &image, err));
	if (r == 0)
		return image_inspect_write(engine->store, image, w, err);
	if (is_asked(o, "network") && err->kind == ERR_NOT_FOUND)
		r = (*err = ERR_INIT, network_find(engine, name, &network, err));
	if (r == 0)
		r = network_settle_default(engine, network, err);
	if (r == 0)
		return network_write(engine, network, w, err);
	if (is_asked(o, "volume") && err->kind == ERR_NOT_FOUND)
		r = (*err = ERR_INIT, volume_find(engine, name, &volume, err));
	if (r == 0)
		volume_write(volume, w);
	return r;
}

static int run_inspect(struct cli *cli, const void *opts, int argc, char **argv)
{
	const struct inspect_opts *o = opts;
	struct err err = ERR_INIT;
	CLEANUP_ENGINE struct engine *engine = NULL;
	CLEANUP_BUF struct buf all = BUF_INIT(OBJECT_MAX);
	struct json_writer w;
	int code = 0;

	static const char *const types[] = { "container", "image", "network", "volume" };
	bool is_known = str_is_empty(o->type);
	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		is_known |= str_eq(o->type, types[i]);
	if (!is_known) {
		err_set(&err, ERR_INVALID, 0, "\"%s\" is not a valid value for --type", o->type);
		err_hint(&err, "--type container, image, network or volume");
		return cli_fail(cli, &err);
	}
	if (engine_open(&engine, &err) < 0)
		return cli_fail(cli, &err);
	json_writer_init(&w, &all, 4);
	jw_array(&w);
	for (int i = 0; i < argc; i++) {
		CLEANUP_BUF struct buf one = BUF_INIT(OBJECT_MAX);
		CLEANUP_JSON struct json *value = NULL;
		struct json_writer object;
		err = ERR_INIT;
		json_writer_init(&object, &one, 0);
		int r = write_object(engine, argv[i], o, &object, &err);
		if (r == 0)
			r = json_writer_finish(&object);
		if (r == 0 && o->format)
			r = format_print_object(stdout, o->format, &one, &err);
		else if (r == 0 && (r = json_parse(one.data, one.len, "object", &value, &err)) == 0)
			jw_value(&w, value);
		if (r < 0) {
			fflush(stdout);
			if (err.kind == ERR_NOT_FOUND && str_is_empty(o->type))
				fprintf(stderr, "Error: No such object: %s\n", argv[i]);
			else
				cli_print_error(cli, &err);
			code = 1;
		}
	}
	jw_array_end(&w);
	if (!o->format && json_writer_finish(&w) == 0)
		printf("%s\n", buf_str(&all));
	return code;
}

const struct verb verb_inspect = {
	.names = { "inspect" },
	.args = "[OPTIONS] NAME|ID [NAME|ID...]",
	.brief = "Return low-level information on objects",
	.options = inspect_options,
	.opts_size = sizeof(struct inspect_opts),
	.min_args = 1,
	.max_args = -1,
	.is_docker = true,
	.complete = COMPLETE_OBJECT,
	.run = run_inspect,
};

static void container_inspect_defaults(void *opts)
{
	((struct inspect_opts *)opts)->type = "container";
}

static const struct option container_inspect_options[] = {
	{ "format", 'f', OPT_STR, offsetof(struct inspect_opts, format), .help = "json or a Go template" },
	{ "size", 's', OPT_BOOL, offsetof(struct inspect_opts, size), .help = "Display total file sizes" },
	OPTIONS_END
};

const struct verb verb_container_inspect = {
	.names = { "container inspect" },
	.args = "[OPTIONS] CONTAINER [CONTAINER...]",
	.brief = "Display detailed information on one or more containers",
	.options = container_inspect_options,
	.opts_size = sizeof(struct inspect_opts),
	.defaults = container_inspect_defaults,
	.min_args = 1,
	.max_args = -1,
	.is_docker = true,
	.complete = COMPLETE_CONTAINER,
	.run = run_inspect,
};
