/* SPDX-License-Identifier: Apache-2.0 */
/* top: the processes of a container. */
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "container_top.h"
#include "engine.h"

static const struct option no_options[] = { OPTIONS_END };

/* Columns as wide as their widest, three spaces between; the last as it is. */
static void print_table(const struct process_table *t)
{
	size_t columns = t->titles.n, rows = columns ? t->cells.n / columns : 0;
	CLEANUP_FREE size_t *width = mem_calloc(columns + 1, sizeof(size_t));
	for (size_t i = 0; i < columns; i++) {
		width[i] = strlen(t->titles.v[i]);
		for (size_t k = 0; k < rows; k++)
			if (strlen(t->cells.v[k * columns + i]) > width[i])
				width[i] = strlen(t->cells.v[k * columns + i]);
	}
	for (size_t k = 0; k <= rows; k++)
		for (size_t i = 0; i < columns; i++) {
			const char *cell = k ? t->cells.v[(k - 1) * columns + i] : t->titles.v[i];
			if (i + 1 == columns)
				printf("%s\n", cell);
			else
				printf("%-*s   ", (int)width[i], cell);
		}
}

static int run_top(struct cli *cli, const void *opts, int argc, char **argv)
{
	struct err err = ERR_INIT;
	CLEANUP_ENGINE struct engine *engine = NULL;
	CLEANUP_STRV struct strv args = { 0 };
	CLEANUP(process_table_done) struct process_table table = { 0 };
	for (int i = 1; i < argc; i++)
		strv_add(&args, argv[i]);
	if (engine_open(&engine, &err) < 0 || containers_top(engine, argv[0], &args, &table, &err) < 0)
		return cli_fail(cli, &err);
	print_table(&table);
	return 0;
}

const struct verb verb_top = {
	.names = { "top", "container top" },
	.args = "CONTAINER [ps OPTIONS]",
	.brief = "Display the running processes of a container",
	.options = no_options,
	.opts_size = 1,
	.min_args = 1,
	.max_args = -1,
	.stop_at_first = true,
	.is_docker = true,
	.complete = COMPLETE_CONTAINER_RUNNING,
	.run = run_top,
};
