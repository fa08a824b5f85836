/* SPDX-License-Identifier: Apache-2.0 */
/* The manual, made from the tables: roff pages and the markdown reference. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "examples.h"
#include "help.h"

/* When the texts last changed; a build must not depend on the day. */
#define MANUAL_DATE "2026-11-24"

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
		else if (*s == '\'')
			fputs("\\(aq", out);
		else if (*s == '`')
			fputs("\\(ga", out);
		else if (*s == '~')
			fputs("\\(ti", out);
		else if (*s == '^')
			fputs("\\(ha", out);
		else
			fputc(*s, out);
		first = *s == '\n';
	}
}

/* Paragraphs; an empty line begins the next. */
static void roff_text(FILE *out, const char *s)
{
	while (s && *s) {
		size_t len = strcspn(s, "\n");
		CLEANUP_FREE char *line = str_ndup(s, len);
		if (len) {
			roff(out, line);
			fputc('\n', out);
		} else {
			fputs(".PP\n", out);
		}
		s += len + (s[len] == '\n');
	}
}

static bool ends_in_dot(const char *s)
{
	size_t len = strlen(s);

	return len && s[len - 1] == '.';
}

static void roff_option(FILE *out, const struct option *o)
{
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
	fputs(ends_in_dot(o->help) ? "\n" : ".\n", out);
	if (o->complete == COMPLETE_WORDS && !strpbrk(o->words, "=:")) {
		fputs("Values: ", out);
		roff(out, o->words);
		fputs(".\n", out);
	}
	if (o->flags & OPTION_HULL)
		fputs("Not in Docker.\n", out);
}

static void roff_options(FILE *out, const char *heading, const struct option_list *list)
{
	if (list->n)
		fprintf(out, ".SH %s\n", heading);
	for (size_t i = 0; i < list->n; i++)
		roff_option(out, list->v[i]);
}

/* "image inspect" -> "hull-image-inspect". */
static char *page_name(const char *verb)
{
	char *name = str_printf("hull-%s", verb);

	for (char *c = name; *c; c++)
		if (*c == ' ')
			*c = '-';
	return name;
}

static void roff_name(FILE *out, const char *page, const char *brief)
{
	fputs(".\\\" Made by hull from its tables.\n.TH \"", out);
	for (const char *c = page; *c; c++)
		fputc(toupper((unsigned char)*c), out);
	fputs("\" \"1\" \"" MANUAL_DATE "\" \"hull " HULL_VERSION "\" \"hull manual\"\n.SH NAME\n", out);
	roff(out, page);
	fputs(" \\- ", out);
	roff(out, brief);
	fputc('\n', out);
}

static void roff_examples(FILE *out, const char *examples)
{
	if (!examples)
		return;
	fputs(".SH EXAMPLES\n.nf\n", out);
	roff(out, examples);
	fputs(".fi\n", out);
}

/* What is true of all verbs. */
static const struct {
	const char *term, *text;
} exit_status[] = {
	{ "0", "Done" },
	{ "1", "Failed" },
	{ "2", "Wrong use of one of hull's own commands" },
	{ "3", "Refused by a policy or a permission" },
	{ "4", "Not available in this version or on this machine" },
	{ "6", "Took too long" },
	{ "125", "hull run, create, exec: hull failed, not the command; any of Docker's commands: wrong use" },
	{ "126", "The command in the container cannot be executed" },
	{ "127", "The command in the container was not found" },
	{ "128+n", "The command died of signal n; otherwise hull run and exec exit as it did" },
}, environment[] = {
	{ "HULL_ROOT", "Directory of images, volumes and the database; /var/lib/hull" },
	{ "HULL_RUN", "Directory of what is running; /run/hull" },
	{ "HULL_ISOLATION", "The level of containers for which none is said" },
	{ "HULL_LIBEXECDIR", "Where hull's other programs are" },
	{ "HULL_HOST, DOCKER_HOST, HULL_CONTEXT, DOCKER_CONTEXT", "Refused when set: this version works only in its own process" },
	{ "HULL_REGISTRY_MIRRORS", "Addresses, with blanks between, tried before the registry itself" },
	{ "HULL_INSECURE_REGISTRIES", "Registries, with blanks between, that may speak plain HTTP" },
	{ "HULL_CONFIG", "A file read instead of the hull.toml files" },
	{ "DOCKER_CONFIG", "Directory of config.json with the registries' credentials; ~/.docker" },
	{ "NO_COLOR, TERM", "No colours and no redrawing with NO_COLOR, or when TERM is dumb" },
}, files[] = {
	{ "/var/lib/hull", "Images, volumes, containers' files and logs, and hull.db, which says what they are" },
	{ "/run/hull", "Mounts and monitors of what is running; may vanish at any time" },
	{ "/etc/hull/hull.toml", "Registries: mirrors, and those without TLS" },
	{ "/etc/docker/certs.d", "Certificates of registries" },
	{ "~/.docker/config.json", "Credentials of registries" },
};

#define ROFF_TERMS(out, heading, list)                                 \
	do {                                                           \
		fprintf(out, ".SH %s\n", heading);                     \
		for (size_t at = 0; at < ARRAY_LEN(list); at++) {      \
			fputs(".TP\n.B \"", out);                      \
			roff(out, (list)[at].term);                    \
			fputs("\"\n", out);                            \
			roff(out, (list)[at].text);                    \
			fputs(".\n", out);                             \
		}                                                      \
	} while (0)

static void roff_top(FILE *out)
{
	struct option_list list = help_global_options();

	roff_name(out, "hull", "one engine, one image, a dial for isolation");
	fputs(".SH SYNOPSIS\n.B hull\n[OPTIONS] COMMAND\n.SH DESCRIPTION\n"
	      "hull runs OCI images behind whichever wall the work needs. Its commands, options, messages and exit codes are\n"
	      "Docker\\(aqs. Nothing has to run before the first command, and nothing stays when no container runs.\n"
	      ".PP\nCalled as\n.B docker\n(through a link of that name) it answers with Docker\\(aqs own texts.\n.SH COMMANDS\n",
	      out);
	for (const struct verb *const *v = verbs_all(); *v; v++) {
		if ((*v)->is_hidden)
			continue;
		CLEANUP_FREE char *page = page_name((*v)->names[0]);
		fputs(".TP\n.BR ", out);
		roff(out, page);
		fputs(" (1)\n", out);
		roff(out, (*v)->brief);
		fputs(".\n", out);
	}
	roff_options(out, "OPTIONS", &list);
	ROFF_TERMS(out, "ENVIRONMENT", environment);
	ROFF_TERMS(out, "FILES", files);
	ROFF_TERMS(out, "EXIT STATUS", exit_status);
}

void manual_roff(FILE *out, const struct verb *verb)
{
	if (!verb) {
		roff_top(out);
		return;
	}
	struct option_list list = help_verb_options(verb);
	CLEANUP_FREE char *page = page_name(verb->names[0]);
	roff_name(out, page, verb->brief);
	fputs(".SH SYNOPSIS\n", out);
	for (size_t i = 0; verb->names[i]; i++) {
		fprintf(out, "%s.B hull ", i ? ".br\n" : "");
		roff(out, verb->names[i]);
		fputc('\n', out);
		roff(out, verb->args ? verb->args : "");
		fputs(str_is_empty(verb->args) ? "" : "\n", out);
	}
	fputs(".SH DESCRIPTION\n", out);
	roff_text(out, verb->details ? verb->details : verb->brief);
	fputs(verb->details ? "" : ".\n", out);
	roff_options(out, "OPTIONS", &list);
	roff_examples(out, verb_examples(verb));
	fputs(".SH SEE ALSO\n.BR hull (1)\n", out);
}

static int write_page(const char *dir, const char *page, const struct verb *verb, const char *points_to, struct err *err)
{
	CLEANUP_FREE char *path = str_printf("%s/%s.1", dir, page);
	FILE *out = fopen(path, "we");

	if (!out)
		return err_set(err, ERR_SYSTEM, -errno, "write %s", path);
	if (points_to)
		fprintf(out, ".so man1/%s.1\n", points_to);
	else
		manual_roff(out, verb);
	bool failed = ferror(out);
	if (fclose(out) != 0 || failed)
		return err_set(err, ERR_SYSTEM, -errno, "write %s", path);
	return 0;
}

int manual_write_all(const char *dir, struct err *err)
{
	if (mkdir(dir, 0755) < 0 && errno != EEXIST)
		return err_set(err, ERR_SYSTEM, -errno, "make %s", dir);
	int r = write_page(dir, "hull", NULL, NULL, err);
	for (const struct verb *const *v = verbs_all(); *v && r == 0; v++) {
		if ((*v)->is_hidden)
			continue;
		CLEANUP_FREE char *page = page_name((*v)->names[0]);
		r = write_page(dir, page, *v, NULL, err);
		for (size_t i = 1; (*v)->names[i] && r == 0; i++) {
			CLEANUP_FREE char *other = page_name((*v)->names[i]);
			r = write_page(dir, other, NULL, page, err);
		}
	}
	return r;
}

static void markdown_cell(FILE *out, const char *s)
{
	for (; s && *s; s++) {
		if (*s == '|' || *s == '<')
			fputc('\\', out);
		fputc(*s, out);
	}
}

void manual_markdown(FILE *out, const struct verb *verb)
{
	if (!verb) {
		fputs("# Commands\n\nGenerated from the program's own tables.\n\n| Command | What it does |\n|---|---|\n", out);
		for (const struct verb *const *v = verbs_all(); *v; v++)
			if (!(*v)->is_hidden)
				fprintf(out, "| `hull %s` | %s |\n", (*v)->names[0], (*v)->brief);
		return;
	}
	struct option_list list = help_verb_options(verb);
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
	if (verb_examples(verb))
		fprintf(out, "\n```sh\n%s```\n", verb_examples(verb));
}
