/* SPDX-License-Identifier: Apache-2.0 */
#include "verbs.h"

#include <string.h>

/* One line per verb, in the order of help. */
#define VERBS(X)       \
	X(run) \
	X(exec) \
	X(attach) \
	X(create) \
	X(start) \
	X(stop) \
	X(restart) \
	X(kill) \
	X(pause) \
	X(unpause) \
	X(rm) \
	X(wait) \
	X(rename) \
	X(ps) \
	X(inspect) \
	X(port) \
	X(logs) \
	X(top) \
	X(stats) \
	X(update) \
	X(cp) \
	X(diff) \
	X(commit) \
	X(export) \
	X(pull) \
	X(push) \
	X(login) \
	X(logout) \
	X(images)      \
	X(image_inspect) \
	X(history)     \
	X(tag)         \
	X(rmi)         \
	X(save)        \
	X(load)        \
	X(import)      \
	X(image_prune) \
	X(container_inspect) \
	X(container_prune) \
	X(info) \
	X(events) \
	X(system_df) \
	X(system_prune) \
	X(volume_create) \
	X(volume_inspect) \
	X(volume_ls) \
	X(volume_prune) \
	X(volume_export) \
	X(volume_import) \
	X(volume_rm) \
	X(network_connect) \
	X(network_create) \
	X(network_disconnect) \
	X(network_inspect) \
	X(network_log) \
	X(network_ls) \
	X(network_prune) \
	X(network_rm) \
	X(network_rule_add) \
	X(network_rule_ls) \
	X(network_rule_rm) \
	X(kernel_build) \
	X(kernel_ls) \
	X(kernel_rm) \
	X(kernel_use) \
	X(version)     \
	X(doctor)      \
	X(completion)  \
	X(help)        \
	X(internal_exited) \
	X(internal_restart) \
	X(internal_settle) \
	X(internal_fold) \
	X(internal_faults) \
	X(internal_boot) \
	X(internal_man)

/* "network rule add" */
#define WORDS_MAX 3

#define DECLARE(name) extern const struct verb verb_##name;
VERBS(DECLARE)
#define POINT(name) &verb_##name,
static const struct verb *const verbs[] = { VERBS(POINT) NULL };

static const struct {
	const char *name, *brief;
} groups[] = {
	{ "container", "Manage containers" }, { "image", "Manage images" },
	{ "network", "Manage networks" },     { "volume", "Manage volumes" },
	{ "system", "Manage hull" },
	{ "kernel", "Manage the kernels of guests" },
	{ "internal", "For hull's own parts" },
};

const struct verb *const *verbs_all(void)
{
	return verbs;
}

const char *verbs_group_brief(const char *group)
{
	for (size_t i = 0; i < ARRAY_LEN(groups); i++)
		if (str_eq(groups[i].name, group))
			return groups[i].brief;
	return NULL;
}

/* True when @name is the @n words, with a blank between them. */
static bool name_is(const char *name, int n, char **words)
{
	for (int i = 0; i < n; i++) {
		size_t len = strlen(words[i]);
		if (!len || strncmp(name, words[i], len) != 0 || name[len] != (i + 1 < n ? ' ' : '\0'))
			return false;
		name += len + 1;
	}
	return true;
}

static const struct verb *find(int n, char **words)
{
	for (const struct verb *const *v = verbs; *v; v++)
		for (const char *const *name = (*v)->names; *name; name++)
			if (name_is(*name, n, words))
				return *v;
	return NULL;
}

const struct verb *verbs_find(int argc, char **argv, int *ret_words, const char **ret_group)
{
	*ret_group = NULL;
	*ret_words = 0;
	for (int n = argc < WORDS_MAX ? argc : WORDS_MAX; n > 0; n--) {
		const struct verb *v = find(n, argv);
		*ret_words = n;
		if (v)
			return v;
	}
	if (argc > 0 && verbs_group_brief(argv[0]))
		*ret_group = argv[0];
	return NULL;
}

const char *verbs_nearest(const char *group, const char *word)
{
	const char *list[512];
	size_t n = 0;
	CLEANUP_FREE char *name = group ? str_printf("%s %s", group, word) : str_dup(word);
	CLEANUP_FREE char *prefix = str_printf("%s ", group ? group : "");

	for (const struct verb *const *v = verbs; *v; v++)
		for (const char *const *form = (*v)->names; *form && n + 1 < ARRAY_LEN(list); form++)
			if (!(*v)->is_hidden && (group ? str_starts_with(*form, prefix) : !strchr(*form, ' ')))
				list[n++] = *form;
	for (size_t i = 0; i < ARRAY_LEN(groups) && !group && n + 1 < ARRAY_LEN(list); i++)
		list[n++] = groups[i].name;
	list[n] = NULL;
	return str_nearest(name, list);
}

static const struct absent_verb absent[] = {
	{ "build", "this version of hull builds no images; it runs and keeps those of other builders",
	  "buildah build -t NAME . && buildah push NAME docker-archive:image.tar && hull load -i image.tar" },
	{ "builder", "this version of hull builds no images", NULL },
	{ "buildx", "this version of hull builds no images", NULL },
	{ "checkpoint", "this version of hull makes no checkpoints", NULL },
	{ "compose", "this version of hull serves no API that compose could speak to", NULL },
	{ "config", "hull has no swarm", NULL },
	{ "context", "hull works in its own process; there is no other engine to choose", NULL },
	{ "image build", "this version of hull builds no images", NULL },
	{ "manifest", "this version of hull makes no image indexes; it reads them", NULL },
	{ "node", "hull has no swarm", NULL },
	{ "plugin", "hull has no plugins", NULL },
	{ "scout", "hull has no plugins", NULL },
	{ "search", "only Docker Hub answers searches, and hull prefers no registry", NULL },
	{ "secret", "hull has no swarm", NULL },
	{ "service", "hull has no swarm", NULL },
	{ "stack", "hull has no swarm", NULL },
	{ "swarm", "hull has no swarm", NULL },
	{ "trust", "hull verifies digests; it has no notary", NULL },
	{ "volume update", "hull has no swarm, so volumes are of one machine", NULL },
};

const struct absent_verb *verbs_absent(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(absent); i++)
		if (str_eq(absent[i].name, name))
			return &absent[i];
	return NULL;
}
