/* SPDX-License-Identifier: Apache-2.0 */
#include "help.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define OPTIONS_MAX 256

struct option_list {
	const struct option *v[OPTIONS_MAX];
	size_t n;
};

static int by_name(const void *a, const void *b)
{
	return strcmp((*(const struct option *const *)a)->name, (*(const struct option *const *)b)->name);
}

static void gather(struct option_list *list, const struct option *table)
{
	for (const struct option *o = table; o && o->name && list->n < OPTIONS_MAX; o++)
		if (!(o->flags & OPTION_HIDDEN))
			list->v[list->n++] = o;
	if (list->n)
		qsort(list->v, list->n, sizeof(list->v[0]), by_name);
}

static struct option_list verb_options(const struct verb *verb)
{
	struct option_list list = { .n = 0 };

	gather(&list, verb->options);
	gather(&list, verb->more_options);
	return list;
}

static int label_width(const struct option *o)
{
	const char *value = option_value_name(o);

	return (int)(8 + strlen(o->name) + (*value ? 1 + strlen(value) : 0));
}

static void print_options(FILE *out, const struct option_list *list)
{
	int width = 0;

	for (size_t i = 0; i < list->n; i++)
		if (label_width(list->v[i]) > width)
			width = label_width(list->v[i]);
	for (size_t i = 0; i < list->n; i++) {
		const struct option *o = list->v[i];
		const char *value = option_value_name(o);
		if (o->letter)
			fprintf(out, "  -%c, --%s", o->letter, o->name);
		else
			fprintf(out, "      --%s", o->name);
		fprintf(out, "%s%s%*s%s", *value ? " " : "", value, width - label_width(o) + 3, "", o->help ? o->help : "");
		if (o->initial)
			fprintf(out, " (default %s)", o->initial);
		fputc('\n', out);
	}
}

void help_verb(FILE *out, const struct cli *cli, const struct verb *verb)
{
	struct option_list list = verb_options(verb);

	fprintf(out, "Usage:  %s %s %s\n\n%s\n", cli->prog, verb->names[0], verb->args ? verb->args : "", verb->brief);
	if (verb->names[1]) {
		fprintf(out, "\nAliases:\n  ");
		for (size_t i = 0; verb->names[i]; i++)
			fprintf(out, "%s%s %s", i ? ", " : "", cli->prog, verb->names[i]);
		fputc('\n', out);
	}
	if (list.n) {
		fprintf(out, "\nOptions:\n");
		print_options(out, &list);
	}
	if (verb->examples && !cli->as_docker)
		fprintf(out, "\nExamples:\n%s", verb->examples);
}

/* The form of @verb that @group knows ("ls" of "image ls"), or NULL. */
static const char *name_in_group(const struct verb *verb, const char *group)
{
	size_t len = strlen(group);

	for (size_t i = 0; verb->names[i]; i++)
		if (strncmp(verb->names[i], group, len) == 0 && verb->names[i][len] == ' ')
			return verb->names[i] + len + 1;
	return NULL;
}

void help_group(FILE *out, const struct cli *cli, const char *group)
{
	fprintf(out, "Usage:  %s %s COMMAND\n\n%s\n\nCommands:\n", cli->prog, group, verbs_group_brief(group));
	for (const struct verb *const *v = verbs_all(); *v; v++) {
		const char *name = name_in_group(*v, group);
		if (name && !(*v)->is_hidden)
			fprintf(out, "  %-12s %s\n", name, (*v)->brief);
	}
	fprintf(out, "\nRun '%s %s COMMAND --help' for more information on a command.\n", cli->prog, group);
}

static void print_verbs(FILE *out, bool of_docker)
{
	for (const struct verb *const *v = verbs_all(); *v; v++)
		if (!(*v)->is_hidden && (*v)->is_docker == of_docker && !strchr((*v)->names[0], ' '))
			fprintf(out, "  %-12s %s\n", (*v)->names[0], (*v)->brief);
}

void help_all(FILE *out, const struct cli *cli)
{
	static const char *const groups[] = { "container", "image", "network", "system", "volume" };
	struct option_list list = { .n = 0 };

	fprintf(out, "Usage:  %s [OPTIONS] COMMAND\n\nOne engine, one image, a dial for isolation\n\nCommands:\n", cli->prog);
	print_verbs(out, true);
	if (!cli->as_docker) {
		fprintf(out, "\nhull's own:\n");
		print_verbs(out, false);
	}
	fprintf(out, "\nManagement Commands:\n");
	for (size_t i = 0; i < ARRAY_LEN(groups); i++)
		fprintf(out, "  %-12s %s\n", groups[i], verbs_group_brief(groups[i]));
	fprintf(out, "\nGlobal Options:\n");
	gather(&list, cli_global_options);
	print_options(out, &list);
	fprintf(out, "\nRun '%s COMMAND --help' for more information on a command.\n", cli->prog);
}

/* roff: a backslash, a leading dot or quote and every dash need care. */
static void roff(FILE *out, const char *s)
{
	bool first = true;

	for (; s && *s; s++) {
		if (first && (*s == '.' || *s == '\''))
			fputs("\\&", out);
		if (*s == '-')
			fputs("\\-", out);
		else if (*s == '\\')
			fputs("\\e", out);
		else
			fputc(*s, out);
		first = *s == '\n';
	}
}

static void roff_options(FILE *out, const struct option_list *list)
{
	for (size_t i = 0; i < list->n; i++) {
		const struct option *o = list->v[i];
		const char *value = option_value_name(o);
		fputs(".TP\n", out);
		if (o->letter)
			fprintf(out, "\\fB\\-%c\\fR, ", o->letter);
		fputs("\\fB\\-\\-", out);
		roff(out, o->name);
		fputs("\\fR", out);
		if (*value) {
			fputs(" \\fI", out);
			roff(out, value);
			fputs("\\fR", out);
		}
		fputc('\n', out);
		roff(out, o->help);
		if (o->initial) {
			fputs(" (default ", out);
			roff(out, o->initial);
			fputc(')', out);
		}
		fputs(o->flags & OPTION_HULL ? ". Not in Docker.\n" : ".\n", out);
	}
}

static void man_name(FILE *out, const char *name, const char *brief)
{
	fputs(".TH HULL", out);
	for (const char *c = name; *c; c++)
		fputc(*c == ' ' ? '-' : toupper((unsigned char)*c), out);
	fputs(" 1 \"\" \"hull " HULL_VERSION "\" \"hull manual\"\n.SH NAME\nhull", out);
	for (const char *c = name; *c; c++)
		fputs(*c == ' ' || *c == '-' ? "\\-" : (char[]){ *c, 0 }, out);
	fputs(" \\- ", out);
	roff(out, brief);
	fputc('\n', out);
}

static void man_top(FILE *out)
{
	struct option_list list = { .n = 0 };

	man_name(out, "", "one engine, one image, a dial for isolation");
	fputs(".SH SYNOPSIS\n.B hull\n[OPTIONS] COMMAND\n.SH COMMANDS\n", out);
	for (const struct verb *const *v = verbs_all(); *v; v++) {
		if ((*v)->is_hidden)
			continue;
		fputs(".TP\n.B ", out);
		roff(out, (*v)->names[0]);
		fputc('\n', out);
		roff(out, (*v)->brief);
		fputs(".\n", out);
	}
	fputs(".SH OPTIONS\n", out);
	gather(&list, cli_global_options);
	roff_options(out, &list);
}

void help_man(FILE *out, const struct verb *verb)
{
	if (!verb) {
		man_top(out);
		return;
	}
	struct option_list list = verb_options(verb);
	CLEANUP_FREE char *name = str_printf(" %s", verb->names[0]);
	man_name(out, name, verb->brief);
	fputs(".SH SYNOPSIS\n", out);
	for (size_t i = 0; verb->names[i]; i++) {
		fprintf(out, "%s.B hull ", i ? ".br\n" : "");
		roff(out, verb->names[i]);
		fputc('\n', out);
		roff(out, verb->args ? verb->args : "");
		fputc('\n', out);
	}
	fputs(".SH DESCRIPTION\n", out);
	roff(out, verb->details ? verb->details : verb->brief);
	fputs(verb->details ? "\n" : ".\n", out);
	if (list.n) {
		fputs(".SH OPTIONS\n", out);
		roff_options(out, &list);
	}
	if (verb->examples) {
		fputs(".SH EXAMPLES\n.nf\n", out);
		roff(out, verb->examples);
		fputs(".fi\n", out);
	}
	fputs(".SH SEE ALSO\n.BR hull (1)\n", out);
}

static void markdown_cell(FILE *out, const char *s)
{
	for (; s && *s; s++) {
		if (*s == '|' || *s == '<')
			fputc('\\', out);
		fputc(*s, out);
	}
}

void help_markdown(FILE *out, const struct verb *verb)
{
	if (!verb) {
		fputs("# Commands\n\nGenerated from the program's own tables.\n\n| Command | What it does |\n|---|---|\n", out);
		for (const struct verb *const *v = verbs_all(); *v; v++)
			if (!(*v)->is_hidden)
				fprintf(out, "| `hull %s` | %s |\n", (*v)->names[0], (*v)->brief);
		return;
	}
	struct option_list list = verb_options(verb);
	fprintf(out, "# hull %s\n\n%s\n\n```\nhull %s %s\n```\n", verb->names[0], verb->details ? verb->details : verb->brief,
		verb->names[0], verb->args ? verb->args : "");
	if (list.n)
		fputs("\n| Option | Value | What it does |\n|---|---|---|\n", out);
	for (size_t i = 0; i < list.n; i++) {
		const struct option *o = list.v[i];
		fputs("| ", out);
		if (o->letter)
			fprintf(out, "`-%c`, ", o->letter);
		fprintf(out, "`--%s` | %s | ", o->name, option_value_name(o));
		markdown_cell(out, o->help);
		fputs(o->flags & OPTION_HULL ? " (hull's own) |\n" : " |\n", out);
	}
	if (verb->examples)
		fprintf(out, "\n```\n%s```\n", verb->examples);
}
