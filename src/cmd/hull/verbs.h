/* SPDX-License-Identifier: Apache-2.0 */
/* The table of verbs.
 *
 * HOW TO ADD A VERB (one file per verb, verb_NAME.c):
 *
 *   struct stop_opts { int64_t time_s; const char *signal; };
 *   static const struct option options[] = {
 *           { "signal", 's', OPT_STR, offsetof(struct stop_opts, signal), .help = "Signal to send" },
 *           { "timeout", 't', OPT_INT, offsetof(struct stop_opts, time_s), .help = "Seconds to wait" },
 *           OPTIONS_END
 *   };
 *   static int run(struct cli *cli, const void *opts, int argc, char **argv) { ...; return 0; }
 *   const struct verb verb_stop = {
 *           .names = { "stop", "container stop" }, .args = "[OPTIONS] CONTAINER [CONTAINER...]",
 *           .brief = "Stop one or more running containers", .options = options,
 *           .opts_size = sizeof(struct stop_opts), .min_args = 1, .max_args = -1,
 *           .complete = COMPLETE_CONTAINER, .is_docker = true, .run = run,
 *   };
 *
 * then one line in verbs.c's list (X-macro) and the file in meson.build. Help,
 * man page, completion and reference come by themselves. @opts arrives zeroed
 * but for .defaults; it is freed (lists) after run(). run() returns the exit
 * code: on failure `return cli_fail(cli, &err);`. A verb over several arguments
 * uses cli_each(). See cli.h. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "options.h"

struct cli;

struct verb {
	/* The first is the verb's own name; a form of two words ("container
	 * stop") is found by both. NULL-terminated. */
	const char *names[7];
	/* The synopsis after the name. */
	const char *args;
	/* One line, no dot. */
	const char *brief;
	/* Paragraphs for --help's man page; may be NULL. */
	const char *details;
	/* Lines of "command\n" or "# remark\n"; may be NULL. */
	const char *examples;
	const struct option *options;
	/* A second table over the same struct (run and create share theirs). */
	const struct option *more_options;
	size_t opts_size;
	/* Sets what does not start as zero. */
	void (*defaults)(void *opts);
	int min_args, max_args; /* -1: any number */
	/* The first argument ends the options: run, create, exec. */
	bool stop_at_first;
	/* Docker has this verb: its exit codes count (125 for flags, 1 else). */
	bool is_docker;
	/* run, create: every failure before the container's own is 125. */
	bool fails_125;
	bool is_hidden;
	/* Touches no containers or images, so that no engine is asked for. */
	bool is_local;
	/* What the first argument is, and the others too unless complete_rest says
	 * otherwise. */
	enum complete_kind complete, complete_rest;
	const char *complete_words; /* for COMPLETE_WORDS */
	int (*run)(struct cli *cli, const void *opts, int argc, char **argv);
};

/* NULL-terminated, in the order of help. */
const struct verb *const *verbs_all(void);
/* The verb that @argv begins with; *ret_words is 1 or 2. A name of a group only
 * ("container") gives NULL with *ret_group set. */
const struct verb *verbs_find(int argc, char **argv, int *ret_words, const char **ret_group);
/* The nearest verb to a mistyped one, or of @group's (NULL: none) in full, or NULL. */
const char *verbs_nearest(const char *group, const char *word);
/* A verb or group of Docker's that hull has not: why, and what to type instead
 * (may be NULL). NULL when Docker has none of that name either. */
struct absent_verb {
	const char *name, *why, *hint;
};
const struct absent_verb *verbs_absent(const char *name);
/* The description of a group, or NULL when there is no such group. */
const char *verbs_group_brief(const char *group);
