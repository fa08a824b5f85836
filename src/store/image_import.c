/* SPDX-License-Identifier: Apache-2.0 */
#include "image_import.h"

#include <string.h>

#include "clock.h"
#include "convert.h"
#include "platform.h"

#define CONFIG_MAX (8u << 20)

static void replace(char **where, const char *s)
{
	free(*where);
	*where = str_dup(s);
}

static int convert_one(const struct ingest *ingest, int fd, const struct image_progress *progress,
		       struct layer_new *ret, struct err *err)
{
	struct convert_job job = { .fd = fd, .offset = -1, .len = -1 };
	int r = convert_run(ingest, &job, 1, 1, progress, err);
	if (r == 0)
		*ret = job.out;
	return r;
}

/* Append the last of @layers to @config and add the image. */
static int add(struct store *store, const struct ingest *ingest, struct image_config *config, struct layer_new *layers,
	       size_t n, const char *parent, const char *tag, char ret_id[72], struct err *err)
{
	CLEANUP_BUF struct buf text = BUF_INIT(CONFIG_MAX);
	strv_add(&config->diffids, layers[n - 1].diffid);
	int r = image_config_write(config, &text);
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "write the image's configuration");
	struct image_new image = { .config = buf_str(&text), .config_len = text.len, .layers = layers, .layers_n = n,
				   .parent = parent, .tag = tag };
	return image_add(store, ingest, &image, ret_id, err);
}

int image_import_tar(struct store *store, int fd, struct image_config *config, const char *comment, const char *tag,
		     const struct image_progress *progress, char ret_id[72], struct err *err)
{
	CLEANUP_INGEST struct ingest ingest = INGEST_INIT;
	struct layer_new layer;
	int r = ingest_begin(store, &ingest, err);
	if (r < 0 || (r = convert_one(&ingest, fd, progress, &layer, err)) < 0)
		return r;
	if (!config->os)
		replace(&config->os, "linux");
	if (!config->architecture)
		replace(&config->architecture, platform_architecture());
	config->created_ns = clock_wall_ns();
	struct image_history *h = image_config_add_history(config);
	h->created_ns = config->created_ns;
	h->comment = str_dup(comment);
	return add(store, &ingest, config, &layer, 1, NULL, tag, ret_id, err);
}

int image_commit_tar(struct store *store, const struct image *parent, int fd, struct image_config *config,
		     const char *created_by, const char *author, const char *comment, const char *tag,
		     char ret_id[72], struct err *err)
{
	CLEANUP_INGEST struct ingest ingest = INGEST_INIT;
	const struct image_config *base = parent->config;
	size_t n = base->diffids.n;
	CLEANUP_FREE struct layer_new *layers = mem_calloc(n + 1, sizeof(*layers));
	int r = ingest_begin(store, &ingest, err);
	if (r < 0 || (r = convert_one(&ingest, fd, NULL, &layers[n], err)) < 0)
		return r;
	for (size_t i = 0; i < n; i++)
		snprintf(layers[i].diffid, sizeof(layers[i].diffid), "%s", base->diffids.v[i]);
	replace(&config->os, base->os);
	replace(&config->architecture, base->architecture);
	replace(&config->variant, base->variant);
	replace(&config->author, author);
	replace(&config->comment, comment);
	config->created_ns = clock_wall_ns();
	strv_extend(&config->diffids, &base->diffids);
	for (size_t i = 0; i <= base->history_n; i++) {
		struct image_history *h = image_config_add_history(config);
		bool is_new = i == base->history_n;
		const struct image_history *from = is_new ? NULL : &base->history[i];
		*h = (struct image_history){
			.created_ns = is_new ? config->created_ns : from->created_ns,
			.created_by = str_dup(is_new ? created_by : from->created_by),
			.author = str_dup(is_new ? author : from->author),
			.comment = str_dup(is_new ? comment : from->comment),
			.is_empty_layer = !is_new && from->is_empty_layer,
		};
	}
	return add(store, &ingest, config, layers, n + 1, parent->id, tag, ret_id, err);
}
