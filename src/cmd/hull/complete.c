/* SPDX-License-Identifier: Apache-2.0 */
#include "complete.h"

#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "name_list.h"
#include "runtime_spec.h"
#include "signal_names.h"

struct completion {
	FILE *out;
	struct name_source names;
	/* What is typed of the value, and what stands before it in the word
	 * ("--isolation="), which every candidate must repeat. */
	const char *typed;
	const char *before;
	const char *directive;
	/* Every candidate so far ends in '=' or ':' and wants more. */
	bool wants_more, has_any;
};

static void offer_text(struct completion *c, const char *word, size_t len, const char *help)
{
	bool is_open = len && (word[len - 1] == '=' || word[len - 1] == ':');

	c->wants_more = is_open && (c->wants_more || !c->has_any);
	c->has_any = true;
	fprintf(c->out, "%s%.*s%s%s\n", c->before, (int)len, word, help && *help ? "\t" : "", help ? help : "");
}

static void offer(struct completion *c, const char *word, const char *help)
{
	if (str_starts_with(word, c->typed))
		offer_text(c, word, strlen(word), help);
}

static void offer_names(struct completion *c, enum name_kind kind)
{
	CLEANUP_STRV struct strv list = { 0 };

	name_list(&c->names, kind, c->typed, &list);
	for (size_t i = 0; i < list.n; i++) {
		const char *tab = strchr(list.v[i], '\t');
		offer_text(c, list.v[i], tab ? (size_t)(tab - list.v[i]) : strlen(list.v[i]), tab ? tab + 1 : NULL);
	}
}

/* NAME after "container:", or NAME: before a path. */
static void offer_containers_around(struct completion *c, const char *before, const char *after, enum name_kind kind)
{
	CLEANUP_STRV struct strv list = { 0 };
	const char *typed = str_starts_with(c->typed, before) ? c->typed + strlen(before) : "";

	name_list(&c->names, kind, typed, &list);
	for (size_t i = 0; i < list.n; i++) {
		const char *tab = strchr(list.v[i], '\t');
		CLEANUP_FREE char *word = str_printf("%s%.*s%s", before, tab ? (int)(tab - list.v[i]) : (int)strlen(list.v[i]),
						     list.v[i], after);
		offer(c, word, tab ? tab + 1 : NULL);
	}
}

static void offer_words(struct completion *c, const char *words)
{
	CLEANUP_STRV struct strv list = { 0 };

	strv_split(&list, words, ' ');
	for (size_t i = 0; i < list.n; i++)
		if (str_eq(list.v[i], "container:") && str_starts_with(c->typed, "container:"))
			offer_containers_around(c, "container:", "", NAMES_CONTAINERS_RUNNING);
		else
			offer(c, list.v[i], NULL);
}

/* The last of "a=b,c=d,..". */
static void offer_pairs(struct completion *c, const char *words)
{
	const char *comma = strrchr(c->typed, ',');
	CLEANUP_FREE char *before = str_printf("%s%.*s", c->before, comma ? (int)(comma + 1 - c->typed) : 0, c->typed);
	struct completion part = *c;

	part.before = before;
	part.typed = comma ? comma + 1 : c->typed;
	if (str_starts_with(part.typed, "source=") || str_starts_with(part.typed, "src="))
		c->directive = "files";
	offer_words(&part, words);
	c->wants_more = part.wants_more;
	c->has_any = part.has_any;
}

static void offer_levels(struct completion *c)
{
	static const char *const levels[][2] = {
		{ "auto", "what policy and image ask for" },
		{ "container", "namespaces, seccomp, a user namespace" },
		{ "sandbox", "a kernel in user space (not in this version)" },
		{ "microvm", "a kernel of its own behind KVM (not in this version)" },
		{ "vm", "a full machine (not in this version)" },
		{ "wasm", "a WebAssembly sandbox (not in this version)" },
	};

	for (size_t i = 0; i < ARRAY_LEN(levels); i++)
		offer(c, levels[i][0], levels[i][1]);
}

static void offer_capabilities(struct completion *c)
{
	/* With or without the prefix that the kernel's header has. */
	bool with_prefix = str_starts_with(c->typed, "CAP_");

	offer(c, "ALL", "every capability");
	for (int i = 0; spec_capability_name(i); i++) {
		const char *name = spec_capability_name(i);
		offer(c, !with_prefix && str_starts_with(name, "CAP_") ? name + 4 : name, NULL);
	}
}

static void offer_signals(struct completion *c)
{
	bool with_prefix = str_starts_with(c->typed, "SIG");

	for (int i = 1; i < 32; i++) {
		CLEANUP_FREE char *name = str_printf("%s%s", with_prefix ? "SIG" : "", signal_short_name(i) ? signal_short_name(i) : "");
		if (signal_short_name(i))
			offer(c, name, NULL);
	}
}

/* Of "rule add" only "rule", and only once. */
static void offer_next_word(struct completion *c, const char *rest, const char *brief)
{
	CLEANUP_FREE char *word = str_ndup(rest, strcspn(rest, " "));
	if (strchr(rest, ' ') && !str_ends_with(rest, " add"))
		return;
	offer(c, word, strchr(rest, ' ') ? NULL : brief);
}

/* Verbs of one word, or the next words of a group's. */
static void offer_verbs(struct completion *c, const char *group)
{
	static const char *const groups[] = { "container", "image", "system", "volume" };
	size_t len = group ? strlen(group) : 0;

	for (const struct verb *const *v = verbs_all(); *v; v++)
		for (const char *const *name = (*v)->names; *name && !(*v)->is_hidden; name++) {
			const char *blank = strchr(*name, ' ');
			if (!group && !blank)
				offer(c, *name, (*v)->brief);
			else if (group && strncmp(*name, group, len) == 0 && (*name)[len] == ' ')
				offer_next_word(c, *name + len + 1, (*v)->brief);
		}
	for (size_t i = 0; !group && i < ARRAY_LEN(groups); i++)
		offer(c, groups[i], verbs_group_brief(groups[i]));
}

static void offer_value(struct completion *c, enum complete_kind kind, const char *words)
{
	switch (kind) {
	case COMPLETE_NONE:
		break;
	case COMPLETE_FILE:
		c->directive = "files";
		break;
	case COMPLETE_DIR:
		c->directive = "dirs";
		break;
	case COMPLETE_CONTAINER:
		offer_names(c, NAMES_CONTAINERS);
		break;
	case COMPLETE_CONTAINER_RUNNING:
		offer_names(c, NAMES_CONTAINERS_RUNNING);
		break;
	case COMPLETE_CONTAINER_PAUSED:
		offer_names(c, NAMES_CONTAINERS_PAUSED);
		break;
	case COMPLETE_CONTAINER_STOPPED:
		offer_names(c, NAMES_CONTAINERS_STOPPED);
		break;
	case COMPLETE_CONTAINER_PATH:
		offer_containers_around(c, "", ":", NAMES_CONTAINERS);
		c->directive = "files";
		break;
	case COMPLETE_OBJECT:
		offer_names(c, NAMES_CONTAINERS);
		offer_names(c, NAMES_IMAGES);
		break;
	case COMPLETE_IMAGE:
		offer_names(c, NAMES_IMAGES);
		break;
	case COMPLETE_NETWORK:
		offer_names(c, NAMES_NETWORKS);
		offer_words(c, "container:");
		break;
	case COMPLETE_VOLUME:
		offer_names(c, NAMES_VOLUMES);
		break;
	case COMPLETE_VOLUME_MOUNT:
		if (!strchr(c->typed, ':')) {
			offer_names(c, NAMES_VOLUMES);
			c->directive = "files";
		}
		break;
	case COMPLETE_LEVEL:
		offer_levels(c);
		break;
	case COMPLETE_VERB:
		offer_verbs(c, NULL);
		break;
	case COMPLETE_SIGNAL:
		offer_signals(c);
		break;
	case COMPLETE_CAPABILITY:
		offer_capabilities(c);
		break;
	case COMPLETE_PAIRS:
		offer_pairs(c, words);
		break;
	case COMPLETE_WORDS:
		offer_words(c, words);
		break;
	}
}

static void offer_option_value(struct completion *c, const struct option *o)
{
	if (!option_takes_value(o))
		offer_words(c, "true false");
	else
		offer_value(c, o->complete, o->words);
}

static void offer_flags(struct completion *c, const struct option *const *tables)
{
	for (size_t t = 0; t < 4 && tables[t]; t++)
		for (const struct option *o = tables[t]; o->name; o++) {
			CLEANUP_FREE char *flag = str_printf("--%s", o->name);
			char letter[] = { '-', o->letter, 0 };
			if (o->flags & OPTION_HIDDEN)
				continue;
			if (o->letter && str_eq(c->typed, letter))
				offer(c, letter, o->help);
			offer(c, flag, o->help);
		}
	offer(c, "--help", "Print what the command does");
}

/* The option that @word leaves waiting for a value, or NULL. */
static const struct option *waiting(const struct option *const *tables, const char *word)
{
	const struct option *o;

	if (word[1] == '-')
		o = strchr(word, '=') ? NULL : option_find(tables, word + 2, strlen(word + 2));
	else
		for (o = NULL; *++word; ) {
			o = option_find_letter(tables, *word);
			if (!o || option_takes_value(o))
				return o && !word[1] ? o : NULL;
		}
	return o && option_takes_value(o) ? o : NULL;
}

/* Where the words before the one to complete lead to. */
struct position {
	const struct option *tables[4];
	bool stop_at_first;
	/* Words that were neither options nor their values. */
	int n_args;
	bool is_open; /* options are still read as such */
	const struct option *pending;
};

/* Returns how many words were read: all, or up to the first argument. */
static int walk(struct position *p, int argc, char **argv)
{
	p->is_open = true;
	for (int i = 0; i < argc; i++) {
		const char *word = argv[i];

		if (p->pending) {
			p->pending = NULL;
		} else if (p->is_open && str_eq(word, "--")) {
			p->is_open = false;
		} else if (p->is_open && word[0] == '-' && word[1]) {
			p->pending = waiting(p->tables, word);
		} else {
			p->n_args++;
			if (p->stop_at_first) {
				p->is_open = false;
				return i;
			}
		}
	}
	return argc;
}

/* True when the last word was an option's, whose value or name is offered. */
static bool offer_option(struct completion *c, const struct position *p, const char *word)
{
	const char *eq = strchr(word, '=');

	c->typed = word;
	if (p->pending) {
		offer_option_value(c, p->pending);
		return true;
	}
	if (!p->is_open || word[0] != '-')
		return false;
	if (str_starts_with(word, "--") && eq) {
		const struct option *o = option_find(p->tables, word + 2, (size_t)(eq - word - 2));
		CLEANUP_FREE char *before = str_ndup(word, (size_t)(eq + 1 - word));
		c->before = before;
		c->typed = eq + 1;
		if (o)
			offer_option_value(c, o);
		c->before = "";
		return true;
	}
	offer_flags(c, p->tables);
	return true;
}

static void complete_verb(struct completion *c, const struct verb *verb, int argc, char **argv)
{
	struct position p = { .stop_at_first = verb->stop_at_first };
	size_t n = 0;

	if (verb->options)
		p.tables[n++] = verb->options;
	if (verb->more_options)
		p.tables[n++] = verb->more_options;
	walk(&p, argc - 1, argv);
	if (offer_option(c, &p, argv[argc - 1]))
		return;
	/* A command of the image's: the shell knows no better, nor do we. */
	if (verb->stop_at_first && p.n_args > 0)
		return;
	if (verb->max_args < 0 || p.n_args < verb->max_args)
		offer_value(c, p.n_args && verb->complete_rest ? verb->complete_rest : verb->complete, verb->complete_words);
}

/* Another state than the default's, if the line says so. */
static void follow_directories(int argc, char **argv)
{
	for (int i = 0; i < argc; i++) {
		bool is_root = str_starts_with(argv[i], "--root"), is_run = str_starts_with(argv[i], "--run");
		const char *rest = argv[i] + (is_root ? 6 : 5);
		if (!is_root && !is_run)
			continue;
		if (*rest == '=')
			setenv(is_root ? "HULL_ROOT" : "HULL_RUN", rest + 1, 1);
		else if (!*rest && i + 1 < argc)
			setenv(is_root ? "HULL_ROOT" : "HULL_RUN", argv[i + 1], 1);
	}
}

static void complete(struct completion *c, int argc, char **argv)
{
	struct position global = { .tables = { cli_global_options }, .stop_at_first = true };
	int at = walk(&global, argc - 1, argv), words;
	const char *group;

	follow_directories(at, argv);
	if (at == argc - 1) {
		if (!offer_option(c, &global, argv[at]))
			offer_verbs(c, NULL);
		return;
	}
	/* The word being typed must not take part in the name: "image i". */
	const struct verb *verb = verbs_find(argc - 1 - at, argv + at, &words, &group);
	if (verb) {
		complete_verb(c, verb, argc - at - words, argv + at + words);
	} else if (group && at + 2 == argc) {
		c->typed = argv[at + 1];
		offer_verbs(c, group);
	} else if (group && at + 3 == argc) {
		CLEANUP_FREE char *inner = str_printf("%s %s", group, argv[at + 1]);
		c->typed = argv[at + 2];
		offer_verbs(c, inner);
	}
}

void complete_words(FILE *out, int argc, char **argv)
{
	struct completion c = { .out = out, .names = NAME_SOURCE_INIT, .typed = "", .before = "", .directive = "" };

	if (argc > 0)
		complete(&c, argc, argv);
	name_source_done(&c.names);
	fprintf(out, ":%s\n", *c.directive ? c.directive : c.wants_more ? "nospace" : "");
}

int complete_main(int argc, char **argv)
{
	complete_words(stdout, argc, argv);
	return fflush(stdout) == 0 ? EXIT_OK : EXIT_FAILED;
}
