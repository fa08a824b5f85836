/* SPDX-License-Identifier: Apache-2.0 */
/* What every verb of the command line shares: global options, how errors are
 * printed, which exit code they give, loops over several arguments. */
#pragma once

#include <stdbool.h>
#include <stdio.h>

#include "err.h"
#include "verbs.h"

enum exit_code {
	EXIT_OK = 0,
	EXIT_FAILED = 1,
	EXIT_USAGE = 2,
	EXIT_DENIED = 3,
	EXIT_UNAVAILABLE = 4,
	EXIT_FINDINGS = 5,
	EXIT_TIMED_OUT = 6,
	EXIT_DOCKER_FLAG = 125, /* hull or Docker itself failed, not the container */
	EXIT_NOT_EXECUTABLE = 126,
	EXIT_NO_COMMAND = 127,
};

enum log_level { LOG_INFO, LOG_DEBUG, LOG_WARN, LOG_ERROR, LOG_FATAL };

struct cli {
	/* "hull", or "docker" when called so. */
	const char *prog;
	bool as_docker;
	const struct verb *verb;
	/* Global options. */
	bool debug, version, help;
	const char *host, *context, *config, *root, *run, *error_format;
	/* From --log-level; --debug is the lowest. */
	enum log_level log_level;
};

/* The exit code of an error of a verb of hull's own, by kind. */
int cli_exit_code(enum err_kind kind);

/* Print @err to stderr (what, why, try; or JSON with --error-format json) and
 * return the exit code: 125 for run and create, 1 for Docker's verbs, by kind
 * for hull's own. */
int cli_fail(struct cli *cli, const struct err *err);
/* The same for what Docker's client finds by itself, without asking an engine:
 * called as docker, the text is not the daemon's. */
int cli_fail_early(struct cli *cli, const struct err *err);
/* The same for what ends Docker's client before it has asked for anything (no
 * terminal, arguments that contradict each other): bare, and 1 of Docker's verbs. */
int cli_fail_client(struct cli *cli, const struct err *err);
/* The same, without changing what is returned later: one line of a loop. */
void cli_print_error(struct cli *cli, const struct err *err);
/* The user's command line is wrong: prints the error, the usage line and where
 * help is. Returns 125 for Docker's verbs, 2 for hull's own. */
int cli_usage_error(struct cli *cli, const struct err *err);
/* "hull: warning: ..."; not above --log-level warn. */
void cli_warn(struct cli *cli, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* "hull: ..." to stderr: something the user should know about a success; only up
 * to --log-level info. */
void cli_note(struct cli *cli, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Call @each for every argument; a success prints the argument as it was given
 * (Docker's way) unless @quiet, a failure prints its error. Returns 0, or 1 if
 * any failed. */

int cli_each(struct cli *cli, int argc, char **argv, bool quiet,
	     int (*each)(void *ctx, const char *arg, struct err *err), void *ctx);

/* Colours and redrawing are welcome on this stream: a terminal, and neither
 * NO_COLOR nor TERM=dumb. */
bool cli_is_fancy(FILE *stream);
/* Columns of the terminal on stdout; 0 when it is none. */
int cli_columns(void);
/* Where the state lives: --root/--run, else HULL_ROOT/HULL_RUN, else the default. */
const char *cli_root(const struct cli *cli);
const char *cli_run(const struct cli *cli);

/* The global options' table, over struct cli. */
extern const struct option cli_global_options[];
/* Everything: parse @argv, run the verb, flush; returns the exit code. */
int cli_main(int argc, char **argv);
