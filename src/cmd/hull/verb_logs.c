/* SPDX-License-Identifier: Apache-2.0 */
/* logs: what a container has written. */
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "clock.h"
#include "container_logs.h"

struct logs_opts {
	bool details, follow, timestamps;
	const char *since, *until, *tail;
};

static const struct option logs_options[] = {
	{ "details", 0, OPT_BOOL, offsetof(struct logs_opts, details), .help = "Show extra details provided to logs" },
	{ "follow", 'f', OPT_BOOL, offsetof(struct logs_opts, follow), .help = "Follow log output" },
	{ "since", 0, OPT_STR, offsetof(struct logs_opts, since), .value = "time",
	  .help = "Show logs since timestamp (e.g. \"2013-01-02T13:23:37Z\") or relative (e.g. \"42m\" for 42 minutes)" },
	{ "tail", 'n', OPT_STR, offsetof(struct logs_opts, tail), .value = "lines", .initial = "all",
	  .help = "Number of lines to show from the end of the logs" },
	{ "timestamps", 't', OPT_BOOL, offsetof(struct logs_opts, timestamps), .help = "Show timestamps" },
	{ "until", 0, OPT_STR, offsetof(struct logs_opts, until), .value = "time",
	  .help = "Show logs before a timestamp (e.g. \"2013-01-02T13:23:37Z\") or relative (e.g. \"42m\" for 42 minutes)" },
	OPTIONS_END
};

struct printer {
	const struct logs_opts *opts;
	bool tty;
};

/* Always nine digits, so that the columns stand. */
static const char *fixed_time(int64_t wall_ns, char out[CLOCK_RFC3339_SIZE])
{
	char seconds[CLOCK_RFC3339_SIZE];
	clock_format_rfc3339(wall_ns - wall_ns % 1000000000, seconds);
	snprintf(out, CLOCK_RFC3339_SIZE, "%.19s.%09dZ", seconds, (int)(wall_ns % 1000000000));
	return out;
}

static int print_line(void *ctx, const struct json_log_line *line)
{
	const struct printer *p = ctx;
	FILE *to = line->stream == 2 && !p->tty ? stderr : stdout;
	char stamp[CLOCK_RFC3339_SIZE];
	if (p->opts->timestamps)
		fprintf(to, "%s ", fixed_time(line->wall_ns, stamp));
	if (p->opts->details)
		fprintf(to, "%s ", buf_str(&line->attrs));
	fwrite(buf_str(&line->text), 1, line->text.len, to);
	/* A terminal's reader sees lines as they come; a pipe that was closed ends
	 * the reading. */
	return (p->opts->follow && fflush(to) != 0) || ferror(to) ? 1 : 0;
}

static int parse_time(const char *text, const char *flag, int64_t *ret, struct err *err)
{
	if (text && clock_parse_since(text, clock_wall_ns(), ret) < 0)
		return err_set(err, ERR_INVALID, 0, "invalid value for \"%s\": failed to parse value as time or duration: \"%s\"", flag,
			       text);
	return 0;
}

static int parse_query(const struct logs_opts *o, struct log_query *q, struct err *err)
{
	uint64_t lines = 0;
	*q = (struct log_query){ .tail = -1, .follow = o->follow };
	/* Docker takes what is no number for "all". */
	if (o->tail && str_parse_u64_max(o->tail, INT64_MAX, &lines) == 0)
		q->tail = (int64_t)lines;
	int r = parse_time(o->since, "since", &q->since_ns, err);
	return r < 0 ? r : parse_time(o->until, "until", &q->until_ns, err);
}

static int run_logs(struct cli *cli, const void *opts, int argc, char **argv)
{
	struct err err = ERR_INIT;
	struct log_query query;
	CLEANUP_ENGINE struct engine *engine = NULL;
	CLEANUP_CONTAINER struct container *c = NULL;
	struct printer printer = { .opts = opts };
	int r = parse_query(opts, &query, &err);
	if (r == 0)
		r = engine_open(&engine, &err);
	if (r == 0)
		r = container_find(engine, argv[0], &c, &err);
	if (r == 0)
		r = container_load_config(c, &err);
	if (r == 0) {
		printer.tty = c->config->tty;
		r = containers_logs(engine, c, &query, print_line, &printer, &err);
	}
	return r < 0 ? cli_fail(cli, &err) : 0;
}

const struct verb verb_logs = {
	.names = { "logs", "container logs" },
	.args = "[OPTIONS] CONTAINER",
	.brief = "Fetch the logs of a container",
	.options = logs_options,
	.opts_size = sizeof(struct logs_opts),
	.min_args = 1,
	.max_args = 1,
	.is_docker = true,
	.complete = COMPLETE_CONTAINER,
	.run = run_logs,
};
