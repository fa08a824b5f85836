/* SPDX-License-Identifier: Apache-2.0 */
/* hull images */
#include <fnmatch.h>
#include <string.h>

#include "cli.h"
#include "clock.h"
#include "image_cli.h"
#include "reference.h"

struct images_opts {
	bool all, digests, no_trunc, quiet;
	struct strv filters;
	const char *format;
};

static const struct option options[] = {
	{ "all", 'a', OPT_BOOL, offsetof(struct images_opts, all), .help = "Show all images" },
	{ "digests", 0, OPT_BOOL, offsetof(struct images_opts, digests), .help = "Show digests" },
	{ "filter", 'f', OPT_LIST, offsetof(struct images_opts, filters), .value = "filter",
	  .help = "Filter by dangling, label, before, since, reference" },
	{ "format", 0, OPT_STR, offsetof(struct images_opts, format), .help = "table, json or a template" },
	{ "no-trunc", 0, OPT_BOOL, offsetof(struct images_opts, no_trunc), .help = "Don't truncate output" },
	{ "quiet", 'q', OPT_BOOL, offsetof(struct images_opts, quiet), .help = "Only show image IDs" },
	OPTION_REFUSE("tree", OPT_BOOL, "the store keeps one platform of an image"),
	OPTIONS_END
};

static const struct image_column columns[] = {
	{ "Repository", "REPOSITORY" }, { "Tag", "TAG" },           { "Digest", NULL },
	{ "ID", "IMAGE ID" },           { "CreatedSince", "CREATED" }, { "Size", "SIZE" },
	{ "CreatedAt", NULL },          { "SharedSize", NULL },     { "UniqueSize", NULL },
	{ "Containers", NULL },         { "VirtualSize", NULL },
};

/* What the filters ask for. */
struct wanted {
	int dangling; /* -1: either */
	int64_t before_ns, since_ns, until_ns;
	struct strv labels, references;
};

static void wanted_done(struct wanted *w)
{
	strv_free(&w->labels);
	strv_free(&w->references);
}

static int created_of(struct store *store, const char *name, int64_t *ret, struct err *err)
{
	CLEANUP_IMAGE struct image *image = NULL;
	int r = image_resolve(store, name, &image, err);
	if (r == 0)
		*ret = image->config->created_ns;
	return r;
}

static int read_filter(struct store *store, const char *f, struct wanted *w, struct err *err)
{
	const char *eq = strchr(f, '=');
	if (!eq)
		return err_set(err, ERR_INVALID, 0, "invalid argument \"%s\" for \"-f, --filter\" flag: bad format of filter", f);
	CLEANUP_FREE char *key = str_ndup(f, (size_t)(eq - f));
	bool value;
	if (str_eq(key, "dangling")) {
		if (str_parse_bool(eq + 1, &value) < 0)
			return err_set(err, ERR_INVALID, 0, "invalid filter 'dangling=[%s]'", eq + 1);
		w->dangling = value;
	} else if (str_eq(key, "label")) {
		strv_add(&w->labels, eq + 1);
	} else if (str_eq(key, "reference")) {
		strv_add(&w->references, eq + 1);
	} else if (str_eq(key, "before")) {
		return created_of(store, eq + 1, &w->before_ns, err);
	} else if (str_eq(key, "since")) {
		return created_of(store, eq + 1, &w->since_ns, err);
	} else if (str_eq(key, "until")) {
		if (clock_parse_since(eq + 1, clock_wall_ns(), &w->until_ns) < 0)
			return err_set(err, ERR_INVALID, 0, "invalid filter 'until=%s'", eq + 1);
	} else {
		return err_set(err, ERR_INVALID, 0, "invalid filter '%s'", key);
	}
	return 0;
}

static bool is_wanted(const struct image_summary *s, const struct wanted *w)
{
	if (w->dangling >= 0 && (s->tags.n == 0) != (w->dangling == 1))
		return false;
	if ((w->before_ns && s->created_ns >= w->before_ns) || (w->since_ns && s->created_ns <= w->since_ns))
		return false;
	if (w->until_ns && s->created_ns >= w->until_ns)
		return false;
	return image_matches_labels(&s->labels, &w->labels);
}

/* Patterns match the whole familiar name or its repository. */
static bool matches_reference(const char *full, const struct strv *patterns)
{
	const char *familiar = reference_familiar(full);
	CLEANUP_FREE char *repository = str_ndup(familiar, (size_t)(reference_suffix(familiar) - familiar));
	for (size_t i = 0; i < patterns->n; i++)
		if (fnmatch(patterns->v[i], familiar, FNM_PATHNAME) == 0 ||
		    fnmatch(patterns->v[i], repository, FNM_PATHNAME) == 0)
			return true;
	return patterns->n == 0;
}

static const char *digest_for(const struct image_summary *s, const char *full)
{
	size_t len = (size_t)(reference_suffix(full) - full);
	for (size_t i = 0; i < s->digests.n; i++)
		if (strncmp(s->digests.v[i], full, len) == 0 && s->digests.v[i][len] == '@')
			return s->digests.v[i] + len + 1;
	return "<none>";
}

static void add_row(struct image_rows *rows, const struct image_summary *s, const char *full,
		    const struct images_opts *o)
{
	char size[32], shared[32], unique[32], words[32], created[CLOCK_GO_SIZE], id[72], since[48];
	const char *familiar = full ? reference_familiar(full) : NULL, *suffix = full ? reference_suffix(familiar) : NULL;
	CLEANUP_FREE char *repository = full ? str_ndup(familiar, (size_t)(suffix - familiar)) : str_dup("<none>");
	snprintf(id, sizeof(id), o->no_trunc ? "%s" : "%.12s", o->no_trunc ? s->id : s->id + 7);
	if (s->created_ns)
		snprintf(since, sizeof(since), "%s ago",
			 clock_human_duration(clock_wall_ns() - s->created_ns, words));
	else
		snprintf(since, sizeof(since), "N/A");
	str_human_size((double)s->size_bytes, size);
	str_human_size((double)s->unique_bytes, unique);
	str_human_size((double)(s->size_bytes - s->unique_bytes), shared);
	image_rows_add(rows, repository, suffix && *suffix == ':' ? suffix + 1 : "<none>",
		       full ? digest_for(s, full) : "<none>", id, since, size,
		       clock_format_go(s->created_ns / CLOCK_NS_PER_S * CLOCK_NS_PER_S, created), shared, unique, "N/A", size);
}

static int list(struct store *store, const struct images_opts *o, const char *pattern, struct err *err)
{
	CLEANUP(wanted_done) struct wanted wanted = { .dangling = -1 };
	struct image_column shown[ARRAY_LEN(columns)];
	memcpy(shown, columns, sizeof(columns));
	if (o->digests)
		shown[2].header = "DIGEST";
	CLEANUP(image_rows_done) struct image_rows rows = { .columns = shown, .columns_n = ARRAY_LEN(shown) };
	struct image_summary *images = NULL;
	size_t n = 0;
	int r = 0;
	for (size_t i = 0; r >= 0 && i < o->filters.n; i++)
		r = read_filter(store, o->filters.v[i], &wanted, err);
	if (pattern)
		strv_add(&wanted.references, pattern);
	if (r < 0 || (r = image_list(store, &images, &n, err)) < 0)
		return r;
	for (size_t i = 0; i < n; i++) {
		const struct image_summary *s = &images[i];
		if (!is_wanted(s, &wanted))
			continue;
		bool any = false;
		for (size_t t = 0; t < s->tags.n; t++)
			if (matches_reference(s->tags.v[t], &wanted.references) && !(o->quiet && any)) {
				add_row(&rows, s, s->tags.v[t], o);
				any = true;
			}
		if (s->tags.n == 0 && wanted.references.n == 0)
			add_row(&rows, s, NULL, o);
	}
	image_list_free(images, n);
	if (!o->quiet)
		return image_rows_print(&rows, o->format, err);
	image_rows_print_key(&rows, "ID");
	return 0;
}

static int run(struct cli *cli, const void *opts, int argc, char **argv)
{
	CLEANUP_STORE struct store *store = NULL;
	struct err err = ERR_INIT;
	if (store_open(NULL, &store, &err) < 0 || list(store, opts, argc ? argv[0] : NULL, &err) < 0)
		return cli_fail(cli, &err);
	return 0;
}

const struct verb verb_images = {
	.names = { "images", "image ls", "image list" },
	.args = "[OPTIONS] [REPOSITORY[:TAG]]",
	.brief = "List images",
	.options = options,
	.opts_size = sizeof(struct images_opts),
	.min_args = 0,
	.max_args = 1,
	.complete = COMPLETE_IMAGE,
	.is_docker = true,
	.run = run,
};
