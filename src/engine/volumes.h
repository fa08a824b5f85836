/* SPDX-License-Identifier: Apache-2.0 */
/* Volumes as objects: root/volumes/<name>/_data, made, listed, removed. What a
 * container does with them is in volume_mounts.h. */
#pragma once

#include "state.h"

#define VOLUME_NAME_SIZE 256

struct volume {
	char *name, *driver, *mountpoint;
	int64_t created_ns;
	struct strv labels;  /* "key=value" */
	struct strv options; /* of the driver: "type=tmpfs", "device=...", "o=..." */
	bool is_anonymous;
	/* Containers that refer to it, running or not: their ids. */
	struct strv users;
};
void volume_free(struct volume *volume);
static inline void cleanup_volume(struct volume **volume)
{
	volume_free(*volume);
}
#define CLEANUP_VOLUME CLEANUP(cleanup_volume)

struct volume_new {
	const char *name; /* NULL: anonymous */
	const char *driver; /* NULL: "local" */
	const struct strv *labels, *options; /* may be NULL */
};
/* Record one unless it is there (then with the same options, or ERR_CONFLICT),
 * with the event "create" of a new one. volume_make_folders() follows, outside
 * of a transaction that may still be undone. */
int volume_ensure(struct engine *engine, const struct volume_new *wanted, char ret_name[VOLUME_NAME_SIZE], struct err *err) MUST_CHECK;
/* Repeatable. */
int volume_make_folders(struct engine *engine, const char *name, struct err *err) MUST_CHECK;
/* ERR_NOT_FOUND "get x: no such volume". */
int volume_find(struct engine *engine, const char *name, struct volume **ret, struct err *err) MUST_CHECK;

struct volume_filter {
	struct strv pairs; /* "key=value": dangling, driver, label, label!, name, all */
};
/* Those that match, by name; the caller frees each and the array. */
int volumes_list(struct engine *engine, const struct volume_filter *filter, struct volume ***ret, size_t *ret_n, struct err *err) MUST_CHECK;
void volumes_list_free(struct volume **list, size_t n);

/* ERR_CONFLICT "volume is in use" while a container refers to it. */
int volume_remove(struct engine *engine, const char *name, struct err *err) MUST_CHECK;
/* Unused ones (anonymous only, unless @all) that match; their names are appended. */
int volumes_prune(struct engine *engine, const struct volume_filter *filter, bool all, struct strv *ret_names,
		  int64_t *ret_bytes, struct err *err) MUST_CHECK;
/* What it takes on disk. */
int64_t volume_disk_usage(struct engine *engine, const char *name);

/* Remove the files of volumes whose rows are gone; cheap when there are none. */
int volumes_sweep(struct engine *engine, struct err *err) MUST_CHECK;
/* Inside a transaction: forget what @id uses, and with @remove_anonymous also
 * the anonymous volumes that nobody else uses; volumes_sweep() after the commit
 * removes their files. */
int volumes_release(struct engine *engine, const char *id, bool remove_anonymous, struct err *err) MUST_CHECK;

/* True for "key=value" lists where each of @wanted ("key", "key=value") is met. */
bool labels_match(const struct strv *labels, const char *wanted);
