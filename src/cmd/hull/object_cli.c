/* SPDX-License-Identifier: Apache-2.0 */
#include "object_cli.h"

#include <stdio.h>
#include <string.h>

#include "format.h"
#include "output_file.h"

#define ONE_MAX_BYTES (16 << 20)
#define ALL_MAX_BYTES (64 << 20)

typedef int (*write_fn)(struct engine *engine, const char *name, struct json_writer *w, struct err *err);

static int print_formatted(struct engine *engine, const char *name, const char *format, write_fn write, struct err *err)
{
	CLEANUP_BUF struct buf one = BUF_INIT(ONE_MAX_BYTES);
	struct json_writer w;
	json_writer_init(&w, &one, 0);
	int r = write(engine, name, &w, err);
	if (r < 0)
		return r;
	r = json_writer_finish(&w);
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "inspect %s", name) : format_print_object(stdout, format, &one, err);
}

int object_inspect(struct cli *cli, char **names, int n, const char *format, write_fn write)
{
	struct err err = ERR_INIT;
	CLEANUP_ENGINE struct engine *engine = NULL;
	CLEANUP_BUF struct buf all = BUF_INIT(ALL_MAX_BYTES);
	CLEANUP_FREE struct err *failed = mem_calloc((size_t)n + 1, sizeof(*failed));
	struct json_writer w;
	int code = 0;
	if (engine_open(&engine, &err) < 0)
		return cli_fail(cli, &err);
	json_writer_init(&w, &all, 4);
	jw_array(&w);
	for (int i = 0; i < n; i++)
		if ((format ? print_formatted(engine, names[i], format, write, &failed[i]) : write(engine, names[i], &w, &failed[i])) < 0)
			code = 1;
	jw_array_end(&w);
	int r = json_writer_finish(&w);
	if (r < 0) {
		err_set(&err, ERR_SYSTEM, r, "write the objects");
		return cli_fail(cli, &err);
	}
	if (!format)
		printf("%s\n", buf_str(&all));
	for (int i = 0; i < n; i++)
		if (err_is_set(&failed[i]))
			cli_print_error(cli, &failed[i]);
	return code;
}

struct removing {
	struct engine *engine;
	int (*remove)(struct engine *engine, const char *name, struct err *err);
	bool force;
};

static int remove_one(void *ctx, const char *name, struct err *err)
{
	struct removing *x = ctx;
	int r = x->remove(x->engine, name, err);
	/* -f is about one that is not there, not about one in use. */
	return r < 0 && x->force && err->kind == ERR_NOT_FOUND ? 0 : r;
}

int object_remove(struct cli *cli, char **names, int n, bool force,
		  int (*remove)(struct engine *engine, const char *name, struct err *err))
{
	struct err err = ERR_INIT;
	CLEANUP_ENGINE struct engine *engine = NULL;
	if (engine_open(&engine, &err) < 0)
		return cli_fail(cli, &err);
	struct removing x = { engine, remove, force };
	return cli_each(cli, n, names, false, remove_one, &x);
}

struct exporting {
	const char *name;
	int (*export)(struct engine *engine, const char *name, int fd, struct err *err);
};

static int write_archive(void *ctx, int fd, struct err *err)
{
	struct exporting *x = ctx;
	CLEANUP_ENGINE struct engine *engine = NULL;
	int r = engine_open(&engine, err);
	return r < 0 ? r : x->export(engine, x->name, fd, err);
}

int object_export(struct cli *cli, const char *name, const char *path,
		  int (*export)(struct engine *engine, const char *name, int fd, struct err *err))
{
	struct err err = ERR_INIT;
	struct exporting x = { name, export };
	return output_file(path, write_archive, &x, &err) < 0 ? cli_fail(cli, &err) : 0;
}

void object_labels(struct strv *ret, const struct strv *given)
{
	for (size_t i = 0; i < given->n; i++)
		strv_printf(ret, "%s%s", given->v[i], strchr(given->v[i], '=') ? "" : "=");
}
