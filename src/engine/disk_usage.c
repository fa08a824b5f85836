/* SPDX-License-Identifier: Apache-2.0 */
#include "disk_usage.h"

#include "containers.h"
#include "image_store.h"
#include "tree.h"
#include "volumes.h"

int64_t container_disk_usage(struct engine *engine, const char *id)
{
	CLEANUP_FREE char *path = str_printf("workloads/%s", id);
	return tree_disk_usage(engine->store->root_fd, path);
}

int container_size_read(struct engine *engine, const struct container *c, struct container_size *ret, struct err *err)
{
	CLEANUP_FREE char *path = str_printf("workloads/%s/upper", c->id);
	struct image_summary *list = NULL;
	size_t n = 0;
	int r = image_list(engine->store, &list, &n, err);
	*ret = (struct container_size){ .changed_bytes = tree_disk_usage(engine->store->root_fd, path) };
	ret->root_bytes = ret->changed_bytes;
	for (size_t i = 0; r >= 0 && i < n; i++)
		if (str_eq(list[i].id, c->image_id))
			ret->root_bytes += list[i].size_bytes;
	image_list_free(list, n);
	return r < 0 ? r : 0;
}

int image_user_count(struct engine *engine, const char *image_id, int64_t *ret, struct err *err)
{
	int r = db_query_i64(engine->db, ret, err, "SELECT COUNT(*) FROM containers WHERE image = ?", "s", image_id);
	return r < 0 ? r : 0;
}

static int sum_images(struct engine *engine, struct usage_line *ret, struct err *err)
{
	struct image_summary *list = NULL;
	size_t n = 0;
	int r = image_list(engine->store, &list, &n, err);
	for (size_t i = 0; r >= 0 && i < n; i++) {
		int64_t users = 0;
		r = image_user_count(engine, list[i].id, &users, err);
		ret->total++;
		ret->active += users > 0;
		if (users == 0)
			ret->reclaimable_bytes += list[i].unique_bytes;
	}
	image_list_free(list, n);
	return r < 0 ? r : image_disk_usage(engine->store, &ret->size_bytes, err);
}

static int sum_containers(struct engine *engine, struct usage_line *ret, struct err *err)
{
	struct container **list = NULL;
	size_t n = 0;
	int r = container_list_all(engine, &list, &n, err);
	for (size_t i = 0; r >= 0 && i < n; i++) {
		int64_t bytes = container_disk_usage(engine, list[i]->id);
		ret->total++;
		ret->size_bytes += bytes;
		if (container_is_running(list[i]))
			ret->active++;
		else
			ret->reclaimable_bytes += bytes;
	}
	if (r >= 0)
		container_list_free(list, n);
	return r < 0 ? r : 0;
}

static int sum_volumes(struct engine *engine, struct usage_line *ret, struct err *err)
{
	static const struct volume_filter all = { 0 };
	struct volume **list = NULL;
	size_t n = 0;
	int r = volumes_list(engine, &all, &list, &n, err);
	for (size_t i = 0; r >= 0 && i < n; i++) {
		int64_t bytes = volume_disk_usage(engine, list[i]->name);
		ret->total++;
		ret->size_bytes += bytes;
		if (list[i]->users.n)
			ret->active++;
		else
			ret->reclaimable_bytes += bytes;
	}
	if (r >= 0)
		volumes_list_free(list, n);
	return r < 0 ? r : 0;
}

int disk_usage_sum(struct engine *engine, struct disk_usage *ret, struct err *err)
{
	*ret = (struct disk_usage){ 0 };
	int r = sum_images(engine, &ret->images, err);
	if (r == 0)
		r = sum_containers(engine, &ret->containers, err);
	return r < 0 ? r : sum_volumes(engine, &ret->volumes, err);
}

static bool is_wanted(const struct container *c, const struct containers_prune *what)
{
	if (container_is_running(c) || c->status == CONTAINER_REMOVING || (what->until_ns && c->created_ns >= what->until_ns))
		return false;
	/* Somebody is about to start it. */
	if (c->row_status == ROW_CREATING || (c->row_status == ROW_STARTED && !c->is_orphaned))
		return false;
	for (size_t i = 0; i < what->labels->n; i++)
		if (!labels_match(&c->labels, what->labels->v[i]))
			return false;
	for (size_t i = 0; i < what->not_labels->n; i++)
		if (labels_match(&c->labels, what->not_labels->v[i]))
			return false;
	return true;
}

int containers_prune(struct engine *engine, const struct containers_prune *what, struct strv *ret_ids, int64_t *ret_bytes,
		     struct err *err)
{
	struct container **list = NULL;
	size_t n = 0;
	int r = container_list_all(engine, &list, &n, err);
	if (r < 0)
		return r;
	for (size_t i = 0; r >= 0 && i < n; i++) {
		struct err why = ERR_INIT;
		if (!is_wanted(list[i], what))
			continue;
		int64_t bytes = container_disk_usage(engine, list[i]->id);
		r = containers_remove(engine, list[i]->id, false, false, &why);
		if (r == 0) {
			strv_add(ret_ids, list[i]->id);
			*ret_bytes += bytes;
		} else if (why.kind == ERR_CONFLICT || why.kind == ERR_NOT_FOUND) {
			r = 0; /* started, or removed, meanwhile */
		} else {
			*err = why;
		}
	}
	container_list_free(list, n);
	return r < 0 ? r : 0;
}
