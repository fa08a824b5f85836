/* SPDX-License-Identifier: Apache-2.0 */
/* stats: what containers use, live. */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"
#include "container_stats.h"
#include "containers.h"
#include "image_cli.h"
#include "interrupt.h"

/* Between the two looks of --no-stream, and between two screens. */
#define FIRST_PAUSE_MS 500
#define SCREEN_PAUSE_MS 1000

struct stats_opts {
	bool all, no_stream, no_trunc;
	const char *format;
};

static const struct option stats_options[] = {
	{ "all", 'a', OPT_BOOL, offsetof(struct stats_opts, all), .help = "Show all containers (default shows just running)" },
	{ "format", 0, OPT_STR, offsetof(struct stats_opts, format), .help = "table, json or a Go template" },
	{ "no-stream", 0, OPT_BOOL, offsetof(struct stats_opts, no_stream),
	  .help = "Disable streaming stats and only pull the first result" },
	{ "no-trunc", 0, OPT_BOOL, offsetof(struct stats_opts, no_trunc), .help = "Do not truncate output" },
	OPTIONS_END
};

static const struct image_column columns[] = {
	{ "ID", "CONTAINER ID" }, { "Name", "NAME" },	    { "CPUPerc", "CPU %" },	{ "MemUsage", "MEM USAGE / LIMIT" },
	{ "MemPerc", "MEM %" },	  { "NetIO", "NET I/O" },   { "BlockIO", "BLOCK I/O" }, { "PIDs", "PIDS" },
	{ "Container", NULL },	  { "NetRate", NULL },
};

/* One container on the screen. */
struct watched {
	char id[65];
	char *name, *asked; /* as the user named it */
	bool is_running;
	struct container_sample before, now;
};

struct screen {
	struct watched *list;
	size_t n;
};

static void screen_done(struct screen *s)
{
	for (size_t i = 0; i < s->n; i++) {
		free(s->list[i].name);
		free(s->list[i].asked);
	}
	free(s->list);
	*s = (struct screen){ 0 };
}

static void look(struct engine *engine, struct container *c, const char *asked, const struct screen *last, struct screen *s)
{
	struct err gone = ERR_INIT;
	s->list = reallocarray(s->list, s->n + 1, sizeof(*s->list));
	if (!s->list)
		abort();
	struct watched *w = &s->list[s->n++];
	*w = (struct watched){ .name = str_dup(c->name), .asked = asked ? str_dup(asked) : str_ndup(c->id, ID_SHORT) };
	if (str_copy(w->id, sizeof(w->id), c->id) < 0)
		w->id[0] = 0;
	/* One that ended meanwhile shows dashes. */
	w->is_running = container_is_running(c) && containers_sample(engine, c, &w->now, &gone) == 0;
	w->before = w->now;
	for (size_t i = 0; i < last->n; i++)
		if (w->is_running && last->list[i].is_running && str_eq(last->list[i].id, w->id))
			w->before = last->list[i].now;
}

static int take(struct engine *engine, const struct stats_opts *o, int argc, char **argv, const struct screen *last,
		struct screen *ret, struct err *err)
{
	struct container **list = NULL;
	size_t n = 0;
	struct container_filter filter = { .all = o->all };
	*ret = (struct screen){ 0 };
	for (int i = 0; i < argc; i++) {
		CLEANUP_CONTAINER struct container *c = NULL;
		int r = container_find(engine, argv[i], &c, err);
		if (r < 0)
			return r;
		look(engine, c, argv[i], last, ret);
	}
	if (argc)
		return 0;
	int r = containers_list(engine, &filter, &list, &n, err);
	for (size_t i = 0; r == 0 && i < n; i++)
		look(engine, list[i], NULL, last, ret);
	if (r == 0)
		container_list_free(list, n);
	return r;
}

/* "50Mbit/s / 10Mbit/s"; "--" where nothing limits. */
static char *rate_text(const struct net_rate *rate)
{
	uint64_t values[] = { rate->in, rate->out };
	char texts[2][32];
	for (size_t i = 0; i < 2; i++) {
		if (values[i] >= 1000000)
			snprintf(texts[i], sizeof(texts[i]), "%.6gMbit/s", (double)values[i] / 1e6);
		else if (values[i])
			snprintf(texts[i], sizeof(texts[i]), "%.6gkbit/s", (double)values[i] / 1e3);
		else
			snprintf(texts[i], sizeof(texts[i]), "--");
	}
	return str_printf("%s / %s", texts[0], texts[1]);
}

static void add_row(struct image_rows *rows, const struct watched *w, const struct stats_opts *o)
{
	char a[32], b[32];
	const struct isolation_stats *s = &w->now.stats;
	CLEANUP_FREE char *id = str_ndup(w->id, o->no_trunc ? sizeof(w->id) : ID_SHORT);
	if (!w->is_running) {
		image_rows_add(rows, id, w->name, "--", "-- / --", "--", "--", "--", "--", w->asked, "--");
		return;
	}
	uint64_t limit = container_memory_limit(&w->now);
	CLEANUP_FREE char *cpu = str_printf("%.2f%%", container_cpu_percent(&w->before, &w->now));
	CLEANUP_FREE char *memory = str_printf("%s / %s", str_human_bytes((double)s->memory_usage_bytes, a), str_human_bytes((double)limit, b));
	CLEANUP_FREE char *share = str_printf("%.2f%%", limit ? 100.0 * (double)s->memory_usage_bytes / (double)limit : 0.0);
	CLEANUP_FREE char *net = str_printf("%s / %s", str_human_size((double)w->now.net_rx_bytes, a), str_human_size((double)w->now.net_tx_bytes, b));
	CLEANUP_FREE char *block = str_printf("%s / %s", str_human_size((double)s->blkio_read_bytes, a), str_human_size((double)s->blkio_write_bytes, b));
	CLEANUP_FREE char *rate = rate_text(&w->now.net_rate);
	CLEANUP_FREE char *pids = str_printf("%ju", (uintmax_t)s->pids);
	image_rows_add(rows, id, w->name, cpu, memory, share, net, block, pids, w->asked, rate);
}

static int print(const struct screen *s, const struct stats_opts *o, struct err *err)
{
	struct image_rows rows = { .columns = columns, .columns_n = ARRAY_LEN(columns) };
	for (size_t i = 0; i < s->n; i++)
		add_row(&rows, &s->list[i], o);
	int r = image_rows_print(&rows, o->format, err);
	image_rows_done(&rows);
	return r;
}

/* Cut short by Ctrl-C. */
static void pause_ms(int ms)
{
	struct timespec t = { ms / 1000, ms % 1000 * 1000000L };
	nanosleep(&t, NULL);
}

static int run_stats(struct cli *cli, const void *opts, int argc, char **argv)
{
	const struct stats_opts *o = opts;
	struct err err = ERR_INIT;
	CLEANUP_ENGINE struct engine *engine = NULL;
	CLEANUP(screen_done) struct screen last = { 0 }, now = { 0 };
	bool fancy = !o->no_stream && !o->format && isatty(STDOUT_FILENO);
	const volatile int *ended = interrupt_catch();
	int r = engine_open(&engine, &err);
	if (r == 0)
		r = take(engine, o, argc, argv, &last, &last, &err);
	while (r == 0 && !*ended) {
		pause_ms(now.n ? SCREEN_PAUSE_MS : FIRST_PAUSE_MS);
		if (*ended)
			break;
		r = take(engine, o, argc, argv, &last, &now, &err);
		if (r == 0 && fancy)
			printf("\033[H\033[J");
		if (r == 0)
			r = print(&now, o, &err);
		if (fflush(stdout) != 0 || o->no_stream)
			break;
		screen_done(&last);
		last = now;
		now = (struct screen){ 0 };
	}
	return r < 0 ? cli_fail(cli, &err) : 0;
}

const struct verb verb_stats = {
	.names = { "stats", "container stats" },
	.args = "[OPTIONS] [CONTAINER...]",
	.brief = "Display a live stream of container(s) resource usage statistics",
	.options = stats_options,
	.opts_size = sizeof(struct stats_opts),
	.max_args = -1,
	.is_docker = true,
	.complete = COMPLETE_CONTAINER_RUNNING,
	.run = run_stats,
};
