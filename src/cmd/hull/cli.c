/* SPDX-License-Identifier: Apache-2.0 */
#include "cli.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "behind.h"
#include "complete.h"
#include "help.h"
#include "json.h"

static int set_error_format(void *opts, const char *value, struct err *err)
{
	if (str_eq(value, "text") || str_eq(value, "json"))
		return 0;
	return err_set(err, ERR_INVALID, 0, "it is text or json");
}

static int set_log_level(void *opts, const char *value, struct err *err)
{
	static const struct {
		const char *name;
		enum log_level level;
	} names[] = { { "debug", LOG_DEBUG }, { "info", LOG_INFO },   { "warn", LOG_WARN },
		      { "warning", LOG_WARN }, { "error", LOG_ERROR }, { "fatal", LOG_FATAL } };

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (str_eq(value, names[i].name)) {
			((struct cli *)opts)->log_level = names[i].level;
			return 0;
		}
	return err_set(err, ERR_INVALID, 0, "Unable to parse logging level: %s; it is debug, info, warn, error or fatal", value);
}

/* The library reads the environment: each use of the option adds a word there. */
static int add_to_environment(const char *variable, const char *value, struct err *err)
{
	const char *old = getenv(variable);
	if (str_is_empty(value) || strpbrk(value, " \t\n"))
		return err_set(err, ERR_INVALID, 0, "it must be one word");
	CLEANUP_FREE char *text = str_is_empty(old) ? str_dup(value) : str_printf("%s %s", old, value);
	setenv(variable, text, 1);
	return 0;
}

static int add_mirror(void *opts, const char *value, struct err *err)
{
	return add_to_environment("HULL_REGISTRY_MIRRORS", value, err);
}

static int add_insecure(void *opts, const char *value, struct err *err)
{
	return add_to_environment("HULL_INSECURE_REGISTRIES", value, err);
}

const struct option cli_global_options[] = {
	{ "config", 0, OPT_STR, offsetof(struct cli, config), .value = "dir",
	  .help = "Directory of config.json with the registries' credentials (DOCKER_CONFIG)", .complete = COMPLETE_DIR },
	{ "context", 'c', OPT_STR, offsetof(struct cli, context), .help = "Name of the context to use: only default",
	  .words = "default", .complete = COMPLETE_WORDS },
	{ "debug", 'D', OPT_BOOL, offsetof(struct cli, debug), .help = "Say more about errors; as --log-level debug" },
	{ "error-format", 0, OPT_STR, offsetof(struct cli, error_format), .value = "format", .help = "How errors are printed: text or json",
	  .words = "text json", .complete = COMPLETE_WORDS, .flags = OPTION_HULL, .set = set_error_format },
	{ "host", 'H', OPT_STR, offsetof(struct cli, host),
	  .help = "Engine to connect to: refused, hull works in its own process (HULL_HOST, DOCKER_HOST)" },
	{ "insecure-registry", 0, OPT_CALL, 0, .value = "host",
	  .help = "Registry that may speak plain HTTP or have an unknown certificate (HULL_INSECURE_REGISTRIES)",
	  .flags = OPTION_HULL, .set = add_insecure },
	{ "log-level", 'l', OPT_CALL, 0, .value = "level",
	  .help = "How much is said beside the result: debug, info, warn, error, fatal", .initial = "info",
	  .words = "debug info warn error fatal", .complete = COMPLETE_WORDS, .set = set_log_level },
	{ "registry-mirror", 0, OPT_CALL, 0, .value = "url",
	  .help = "Where images are looked for before the registry itself (HULL_REGISTRY_MIRRORS)", .flags = OPTION_HULL,
	  .set = add_mirror },
	{ "root", 0, OPT_STR, offsetof(struct cli, root), .help = "Directory of the state (HULL_ROOT)", .value = "dir",
	  .initial = "/var/lib/hull", .complete = COMPLETE_DIR, .flags = OPTION_HULL },
	{ "run", 0, OPT_STR, offsetof(struct cli, run), .help = "Directory of what is running (HULL_RUN)", .value = "dir",
	  .initial = "/run/hull", .complete = COMPLETE_DIR, .flags = OPTION_HULL },
	{ "version", 'v', OPT_BOOL, offsetof(struct cli, version), .help = "Print version information and quit" },
	OPTIONS_END
};

static const int exit_codes[] = {
	[ERR_NONE] = EXIT_OK,		[ERR_INVALID] = EXIT_USAGE,	     [ERR_DENIED] = EXIT_DENIED,
	[ERR_NOT_FOUND] = EXIT_FAILED,	[ERR_CONFLICT] = EXIT_FAILED,	     [ERR_UNSUPPORTED] = EXIT_UNAVAILABLE,
	[ERR_TIMEOUT] = EXIT_TIMED_OUT, [ERR_SYSTEM] = EXIT_FAILED,
};
static_assert(ARRAY_LEN(exit_codes) == ERR_KIND_COUNT, "an exit code for each kind");

static const char *const kind_words[] = {
	[ERR_NONE] = "none",	     [ERR_INVALID] = "invalid",		[ERR_DENIED] = "denied",   [ERR_NOT_FOUND] = "not-found",
	[ERR_CONFLICT] = "conflict", [ERR_UNSUPPORTED] = "unsupported", [ERR_TIMEOUT] = "timeout", [ERR_SYSTEM] = "system",
};
static_assert(ARRAY_LEN(kind_words) == ERR_KIND_COUNT, "a word for each kind");

int cli_exit_code(enum err_kind kind)
{
	return kind < ERR_KIND_COUNT ? exit_codes[kind] : EXIT_FAILED;
}

static int failure_code(const struct cli *cli, const struct err *err)
{
	if (cli->verb && cli->verb->fails_125)
		return EXIT_DOCKER_FLAG;
	if (cli->verb && cli->verb->is_docker)
		return EXIT_FAILED;
	return cli_exit_code(err->kind);
}

static void print_json_error(const struct err *err)
{
	CLEANUP_BUF struct buf out = BUF_INIT(16384);
	struct json_writer w;

	json_writer_init(&w, &out, 0);
	jw_object(&w);
	jw_kv_str(&w, "code", kind_words[err->kind]);
	jw_kv_str(&w, "message", err->msg);
	jw_kv_str(&w, "why", err->why);
	jw_kv_str(&w, "try", err->hint);
	jw_object_end(&w);
	if (json_writer_finish(&w) == 0)
		fprintf(stderr, "%s\n", buf_str(&out));
}

static void print_error(struct cli *cli, const char *docker_prefix, const struct err *err)
{
	fflush(stdout);
	if (str_eq(cli->error_format, "json")) {
		print_json_error(err);
		return;
	}
	fprintf(stderr, "%s%s\n", cli->as_docker ? docker_prefix : "hull: ", err->msg);
	if (*err->why)
		fprintf(stderr, "  why: %s\n", err->why);
	if (*err->hint)
		fprintf(stderr, "  try: %s\n", err->hint);
	if (cli->log_level == LOG_DEBUG)
		fprintf(stderr, "  debug: kind %s, errno %d (%s), root %s, run %s\n", kind_words[err->kind], -err->errnum,
			err->errnum ? strerror(-err->errnum) : "none", cli_root(cli), cli_run(cli));
}

void cli_print_error(struct cli *cli, const struct err *err)
{
	bool is_run = cli->verb && cli->verb->fails_125;

	print_error(cli, is_run ? "docker: Error response from daemon: " : "Error response from daemon: ", err);
}

static int after_error(struct cli *cli, const struct err *err)
{
	if (cli->as_docker && cli->verb && cli->verb->fails_125)
		fprintf(stderr, "\nRun 'docker %s --help' for more information\n", cli->verb->names[0]);
	return failure_code(cli, err);
}

int cli_fail(struct cli *cli, const struct err *err)
{
	cli_print_error(cli, err);
	return after_error(cli, err);
}

int cli_fail_early(struct cli *cli, const struct err *err)
{
	print_error(cli, cli->verb && cli->verb->fails_125 ? "docker: " : "", err);
	return after_error(cli, err);
}

int cli_fail_client(struct cli *cli, const struct err *err)
{
	print_error(cli, "", err);
	return cli->verb && cli->verb->is_docker ? EXIT_FAILED : cli_exit_code(err->kind);
}

int cli_usage_error(struct cli *cli, const struct err *err)
{
	const struct verb *v = cli->verb;

	print_error(cli, "", err);
	if (v && !str_eq(cli->error_format, "json")) {
		if (cli->as_docker || !*err->hint)
			fprintf(stderr, "\nUsage:  %s %s %s\n", cli->prog, v->names[0], v->args ? v->args : "");
		fprintf(stderr, "\nRun '%s %s --help' for more information\n", cli->prog, v->names[0]);
	}
	return v && v->is_docker ? EXIT_DOCKER_FLAG : EXIT_USAGE;
}

static void say(const char *prefix, const char *fmt, va_list ap)
{
	fputs(prefix, stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
}

void cli_warn(struct cli *cli, const char *fmt, ...)
{
	va_list ap;

	if (cli->log_level > LOG_WARN)
		return;
	va_start(ap, fmt);
	say(cli->as_docker ? "WARNING: " : "hull: warning: ", fmt, ap);
	va_end(ap);
}

void cli_note(struct cli *cli, const char *fmt, ...)
{
	va_list ap;

	if (cli->log_level > LOG_DEBUG)
		return;
	va_start(ap, fmt);
	say("hull: ", fmt, ap);
	va_end(ap);
}

int cli_each(struct cli *cli, int argc, char **argv, bool quiet,
	     int (*each)(void *ctx, const char *arg, struct err *err), void *ctx)
{
	int code = 0;

	for (int i = 0; i < argc; i++) {
		struct err err = ERR_INIT;
		int r = each(ctx, argv[i], &err);
		if (r < 0) {
			if (!err_is_set(&err))
				err_set(&err, ERR_SYSTEM, r, "%s", argv[i]);
			cli_print_error(cli, &err);
			code = failure_code(cli, &err);
		} else if (!quiet) {
			puts(argv[i]);
		}
	}
	return code;
}

bool cli_is_fancy(FILE *stream)
{
	const char *term = getenv("TERM");

	return isatty(fileno(stream)) && str_is_empty(getenv("NO_COLOR")) && term && !str_eq(term, "dumb");
}

int cli_columns(void)
{
	struct winsize ws;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &ws) < 0)
		return 0;
	return ws.ws_col;
}

static const char *directory(const char *option, const char *variable, const char *otherwise)
{
	if (option)
		return option;
	const char *value = getenv(variable);
	return str_is_empty(value) ? otherwise : value;
}

const char *cli_root(const struct cli *cli)
{
	return directory(cli->root, "HULL_ROOT", "/var/lib/hull");
}

const char *cli_run(const struct cli *cli)
{
	return directory(cli->run, "HULL_RUN", "/run/hull");
}

/* Docker counts arguments with these sentences. */
static int check_args(const struct cli *cli, int n, struct err *err)
{
	const struct verb *v = cli->verb;
	int low = v->min_args, high = v->max_args;

	if (n >= low && (high < 0 || n <= high))
		return 0;
	if (high == 0)
		err_set(err, ERR_INVALID, 0, "'%s %s' accepts no arguments", cli->prog, v->names[0]);
	else if (low == high)
		err_set(err, ERR_INVALID, 0, "'%s %s' requires %d argument%s", cli->prog, v->names[0], low, low == 1 ? "" : "s");
	else if (n < low)
		err_set(err, ERR_INVALID, 0, "'%s %s' requires at least %d argument%s", cli->prog, v->names[0], low,
			low == 1 ? "" : "s");
	else
		err_set(err, ERR_INVALID, 0, "'%s %s' requires at most %d argument%s", cli->prog, v->names[0], high,
			high == 1 ? "" : "s");
	return -EINVAL;
}

/* Docker's client words this otherwise than a bad flag. */
static int wrong_count(struct cli *cli, const struct err *err)
{
	const struct verb *v = cli->verb;

	print_error(cli, "docker: ", err);
	if (!str_eq(cli->error_format, "json"))
		fprintf(stderr, "\nUsage:  %s %s %s\n\n%s '%s %s --help' for more information\n", cli->prog, v->names[0],
			v->args ? v->args : "", cli->as_docker ? "See" : "Run", cli->prog, v->names[0]);
	return v->is_docker ? EXIT_FAILED : EXIT_USAGE;
}

/* "hull run --memory 512m nginx": the user's own line with the word put right. */
static void suggest_option(struct cli *cli, const struct option_parse *p, int argc, char **argv, struct err *err)
{
	CLEANUP_BUF struct buf line = BUF_INIT(sizeof(err->hint) - 1);
	int r = buf_printf(&line, "%s %s", cli->prog, cli->verb ? cli->verb->names[0] : "");

	for (int i = 0; i < argc && r == 0; i++) {
		const char *eq = strchr(argv[i], '=');
		if (argv[i] == p->bad)
			r = buf_printf(&line, " --%s%s", p->nearest->name, eq ? eq : "");
		else
			r = buf_printf(&line, strpbrk(argv[i], " \t\n\"'$&;|<>*?") ? " '%s'" : " %s", argv[i]);
	}
	if (r == 0)
		err_hint(err, "%s", buf_str(&line));
	else
		err_hint(err, "%s %s --%s", cli->prog, cli->verb ? cli->verb->names[0] : "", p->nearest->name);
}

/* Somebody asks for an engine elsewhere. To work here instead would start
 * containers on the wrong machine. */
static int check_place(const struct cli *cli, struct err *err)
{
	static const char *const variables[] = { "HULL_HOST", "DOCKER_HOST", "HULL_CONTEXT", "DOCKER_CONTEXT" };

	if (cli->host) {
		err_set(err, ERR_UNSUPPORTED, 0, "cannot connect to %s", cli->host);
		err_hint(err, "%s without --host", cli->prog);
	} else if (cli->context && !str_eq(cli->context, "default")) {
		err_set(err, ERR_UNSUPPORTED, 0, "context \"%s\" is not known", cli->context);
		err_hint(err, "%s without --context", cli->prog);
	}
	/* A flag is stronger than the environment. */
	for (size_t i = 0; i < ARRAY_LEN(variables) && !cli->context && !err_is_set(err); i++) {
		const char *value = getenv(variables[i]);
		if (str_is_empty(value) || (str_ends_with(variables[i], "CONTEXT") && str_eq(value, "default")))
			continue;
		err_set(err, ERR_UNSUPPORTED, 0, "cannot use the engine that %s names: %s", variables[i], value);
		err_hint(err, "env -u %s %s ...", variables[i], cli->prog);
	}
	if (!err_is_set(err))
		return 0;
	if (cli->as_docker && cli->host)
		err_set(err, ERR_UNSUPPORTED, 0, "Cannot connect to the Docker daemon at %s. Is the docker daemon running?", cli->host);
	err_why(err, "this version of hull works in its own process, on this machine, and cannot be the client of another engine");
	return -ENOTSUP;
}

/* What is wrong before any state is looked at. */
static int check_engine(const struct cli *cli, int argc, char **argv, struct err *err)
{
	if (check_place(cli, err) < 0)
		return -ENOTSUP;
	if (geteuid() == 0 || cli->root || !str_is_empty(getenv("HULL_ROOT")))
		return 0;
	CLEANUP_STRV struct strv words = { 0 };
	for (int i = 0; i < argc && i < 8; i++)
		strv_add(&words, argv[i]);
	CLEANUP_FREE char *line = strv_join(&words, " ");
	err_set(err, ERR_DENIED, 0, "must be run as root");
	err_why(err, "containers are made of mounts, networks and control groups, which only root may make; rootless use is not there yet");
	err_hint(err, "sudo %s %s%s%s", cli->prog, cli->verb->names[0], argc ? " " : "", line ? line : "");
	return -EPERM;
}

static int run_verb(struct cli *cli, const struct verb *verb, int argc, char **argv)
{
	struct err err = ERR_INIT;
	CLEANUP_FREE void *opts = mem_calloc(1, verb->opts_size ? verb->opts_size : 1);
	struct option_parse p = { .opts = opts, .stop_at_first = verb->stop_at_first };
	int code;

	cli->verb = verb;
	if (verb->defaults)
		verb->defaults(opts);
	size_t n = 0;
	if (verb->options)
		p.tables[n++] = verb->options;
	if (verb->more_options)
		p.tables[n++] = verb->more_options;
	int r = options_parse(&p, argc, argv, &err);
	CLEANUP_FREE char **args = p.args;
	if (r < 0) {
		if (p.nearest && !cli->as_docker)
			suggest_option(cli, &p, argc, argv, &err);
		code = cli_usage_error(cli, &err);
	} else if (p.help) {
		help_verb(stdout, cli, verb);
		code = EXIT_OK;
	} else if (check_args(cli, p.n_args, &err) < 0) {
		code = wrong_count(cli, &err);
	} else if (!verb->is_local && !verb->is_hidden && check_engine(cli, argc, argv, &err) < 0) {
		code = cli_fail_early(cli, &err);
	} else {
		code = verb->run(cli, opts, p.n_args, args);
	}
	options_free(verb->options, opts);
	options_free(verb->more_options, opts);
	return code;
}

static int unknown_verb(struct cli *cli, const char *group, const char *word)
{
	struct err err = ERR_INIT;
	CLEANUP_FREE char *name = group ? str_printf("%s %s", group, word) : str_dup(word);
	const char *nearest = verbs_nearest(group, word);
	const struct absent_verb *absent = verbs_absent(name);

	if (!absent && group)
		absent = verbs_absent(group);
	if (absent) {
		err_set(&err, ERR_UNSUPPORTED, 0, "'%s' is not part of hull", name);
		err_why(&err, "%s", absent->why);
		if (absent->hint)
			err_hint(&err, "%s", absent->hint);
		cli_print_error(cli, &err);
		return EXIT_FAILED;
	}
	if (cli->as_docker) {
		fprintf(stderr, "docker: unknown command: docker %s\n\n", name);
		if (group)
			fprintf(stderr, "Usage:  docker %s\n\n", group);
		fprintf(stderr, "Run 'docker%s%s --help' for more information\n", group ? " " : "", group ? group : "");
		return EXIT_FAILED;
	}
	err_set(&err, ERR_INVALID, 0, "'%s' is not a hull command", name);
	if (nearest)
		err_hint(&err, "hull %s", nearest);
	else
		err_hint(&err, "hull help%s%s", group ? " " : "", group ? group : "");
	cli_print_error(cli, &err);
	return EXIT_FAILED;
}

/* The library below reads the environment only. */
static void export_directories(const struct cli *cli)
{
	if (cli->root)
		setenv("HULL_ROOT", cli->root, 1);
	if (cli->run)
		setenv("HULL_RUN", cli->run, 1);
	if (cli->config)
		setenv("DOCKER_CONFIG", cli->config, 1);
}

static int flush_output(struct cli *cli, int code)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return code;
	struct err err = ERR_INIT;
	err_set(&err, ERR_SYSTEM, -errno, "write the output");
	cli_print_error(cli, &err);
	return code ? code : EXIT_FAILED;
}

static int dispatch(struct cli *cli, int argc, char **argv)
{
	int words;
	const char *group;
	const struct verb *verb = verbs_find(argc, argv, &words, &group);

	if (verb)
		return run_verb(cli, verb, argc - words, argv + words);
	if (!group)
		return unknown_verb(cli, NULL, argv[0]);
	if (argc == 1 || str_eq(argv[1], "--help") || str_eq(argv[1], "-h")) {
		help_group(stdout, cli, group);
		return EXIT_OK;
	}
	return unknown_verb(cli, group, argv[1]);
}

int cli_main(int argc, char **argv)
{
	const char *base = argc > 0 ? strrchr(argv[0], '/') : NULL;
	struct cli cli = { .prog = "hull" };
	struct option_parse p = { .tables = { cli_global_options }, .opts = &cli, .stop_at_first = true };
	struct err err = ERR_INIT;

	if (argc > 0 && str_eq(base ? base + 1 : argv[0], "docker")) {
		cli.as_docker = true;
		cli.prog = "docker";
	}
	/* Its words are another line's: none of them is an option of this one. */
	if (argc > 1 && str_eq(argv[1], "__complete"))
		return complete_main(argc - 2, argv + 2);
	int r = options_parse(&p, argc > 0 ? argc - 1 : 0, argv + 1, &err);
	CLEANUP_FREE char **args = p.args;
	if (r < 0) {
		if (p.nearest && !cli.as_docker)
			err_hint(&err, "%s --%s", cli.prog, p.nearest->name);
		print_error(&cli, "", &err);
		return cli.as_docker ? EXIT_DOCKER_FLAG : EXIT_USAGE;
	}
	if (cli.debug)
		cli.log_level = LOG_DEBUG;
	export_directories(&cli);
	if (cli.version) {
		printf(cli.as_docker ? "Docker version %s, build hull\n" : "hull %s\n", HULL_VERSION);
		return flush_output(&cli, EXIT_OK);
	}
	if (p.help || p.n_args == 0) {
		help_all(stdout, &cli);
		return flush_output(&cli, EXIT_OK);
	}
	int code = flush_output(&cli, dispatch(&cli, p.n_args, args));
	/* Not behind what runs behind: where the log cannot be folded that had no end. */
	if (cli.verb && !cli.verb->is_local && !cli.verb->is_hidden)
		behind_fold(cli_root(&cli));
	return code;
}
