/* SPDX-License-Identifier: Apache-2.0 */
#include "help.h"

#include <stdlib.h>
#include <string.h>

#include "examples.h"

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

struct option_list help_verb_options(const struct verb *verb)
{
	struct option_list list = { .n = 0 };

	gather(&list, verb->options);
	gather(&list, verb->more_options);
	return list;
}

struct option_list help_global_options(void)
{
	struct option_list list = { .n = 0 };

	gather(&list, cli_global_options);
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
	struct option_list list = help_verb_options(verb);

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
	const char *examples = verb_examples(verb);
	if (examples && !cli->as_docker)
		fprintf(out, "\nExamples:\n%s", examples);
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
	static const char *const groups[] = { "container", "image", "system", "volume" };
	struct option_list list = help_global_options();

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
	print_options(out, &list);
	fprintf(out, "\nRun '%s COMMAND --help' for more information on a command.\n", cli->prog);
}
