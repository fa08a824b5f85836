/* SPDX-License-Identifier: Apache-2.0 */
/* doctor: what this machine can do, and what to type where it cannot. */
#include <string.h>

#include "cli.h"
#include "format.h"
#include "host_checks.h"

struct doctor_opts {
	const char *format;
};

static const struct option options[] = {
	{ "format", 0, OPT_STR, offsetof(struct doctor_opts, format), .help = "table, json or a Go template",
	  .complete = COMPLETE_WORDS, .words = "table json" },
	OPTIONS_END
};

static void print_reason(const char *why, const char *fix)
{
	if (*why)
		printf("%-27s why: %s\n", "", why);
	if (*fix)
		printf("%-27s try: %s\n", "", fix);
}

static void print_table(const struct host_report *report)
{
	for (size_t i = 0; i < report->checks_n; i++) {
		const struct host_check *c = &report->checks[i];
		printf("%-8s %-18s %s\n", host_state_name(c->state), c->name, c->found);
		print_reason(c->why, c->fix);
	}
	puts("\nLEVEL");
	for (size_t i = 0; i < ARRAY_LEN(report->levels); i++) {
		const struct host_level *l = &report->levels[i];
		bool has_note = l->available && *l->note.gives;
		printf("%-8s ", l->available ? "ok" : "no");
		printf(has_note || !l->available ? "%-18s %s\n" : "%s%s\n", isolation_level_name(l->level), l->available ? l->note.gives : l->why);
		if (has_note && *l->note.costs)
			printf("%-27s costs: %s\n", "", l->note.costs);
		print_reason("", l->fix);
	}
}

static void write_json(struct json_writer *w, const struct host_report *report)
{
	jw_object(w);
	jw_kv_bool(w, "ok", report->levels[ISOLATION_CONTAINER].available);
	jw_key(w, "checks");
	jw_array(w);
	for (size_t i = 0; i < report->checks_n; i++) {
		const struct host_check *c = &report->checks[i];
		jw_object(w);
		jw_kv_str(w, "name", c->name);
		jw_kv_str(w, "state", host_state_name(c->state));
		jw_kv_str(w, "found", c->found);
		jw_kv_str(w, "why", c->why);
		jw_kv_str(w, "try", c->fix);
		jw_object_end(w);
	}
	jw_array_end(w);
	jw_key(w, "levels");
	jw_array(w);
	for (size_t i = 0; i < ARRAY_LEN(report->levels); i++) {
		const struct host_level *l = &report->levels[i];
		jw_object(w);
		jw_kv_str(w, "name", isolation_level_name(l->level));
		jw_kv_bool(w, "available", l->available);
		jw_kv_str(w, "why", l->why);
		jw_kv_str(w, "gives", l->note.gives);
		jw_kv_str(w, "costs", l->note.costs);
		jw_kv_str(w, "try", l->fix);
		jw_object_end(w);
	}
	jw_array_end(w);
	jw_object_end(w);
}

static int run(struct cli *cli, const void *opts, int argc, char **argv)
{
	const struct doctor_opts *o = opts;
	struct host_report report;
	struct err err = ERR_INIT;

	host_checks_run(&report);
	int code = report.levels[ISOLATION_CONTAINER].available ? EXIT_OK : EXIT_FAILED;
	if (str_is_empty(o->format) || str_eq(o->format, "table")) {
		print_table(&report);
		return code;
	}
	CLEANUP_BUF struct buf text = BUF_INIT(65536);
	struct json_writer w;
	json_writer_init(&w, &text, 0);
	write_json(&w, &report);
	if (json_writer_finish(&w) < 0)
		return EXIT_FAILED;
	return format_print_object(stdout, o->format, &text, &err) < 0 ? cli_fail(cli, &err) : code;
}

const struct verb verb_doctor = {
	.names = { "doctor", "system doctor" },
	.args = "[OPTIONS]",
	.brief = "Show what this machine can do, and how to get what it lacks",
	.details = "Tries each facility of the kernel that hull uses, in a child process with namespaces of its own: nothing\n"
		   "is changed. What is limited or missing comes with the reason and a line to paste.\n"
		   "\n"
		   "The exit code is 0 when the level container works, and 1 when it cannot.",
	.options = options,
	.opts_size = sizeof(struct doctor_opts),
	.is_local = true,
	.run = run,
};
