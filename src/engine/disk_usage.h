/* SPDX-License-Identifier: Apache-2.0 */
/* What is on disk, what of it is used, and the removal of what is not. */
#pragma once

#include "state.h"

/* What one container has written: its layer and its logs. */
int64_t container_disk_usage(struct engine *engine, const char *id);

/* What it has changed, and that with its image's layers, as ps and inspect show
 * them; 0 where nothing can be read. */
struct container_size {
	int64_t changed_bytes, root_bytes;
};
int container_size_read(struct engine *engine, const struct container *c, struct container_size *ret, struct err *err) MUST_CHECK;

struct usage_line {
	int64_t total, active;
	int64_t size_bytes, reclaimable_bytes;
};
struct disk_usage {
	struct usage_line images, containers, volumes;
};
int disk_usage_sum(struct engine *engine, struct disk_usage *ret, struct err *err) MUST_CHECK;
/* How many containers, running or not, have the image. */
int image_user_count(struct engine *engine, const char *image_id, int64_t *ret, struct err *err) MUST_CHECK;

struct containers_prune {
	int64_t until_ns;		   /* only created before; 0: any */
	const struct strv *labels, *not_labels; /* "key" or "key=value" */
};
/* Remove those that do not run; their ids are appended. */
int containers_prune(struct engine *engine, const struct containers_prune *what, struct strv *ret_ids, int64_t *ret_bytes,
		     struct err *err) MUST_CHECK;
