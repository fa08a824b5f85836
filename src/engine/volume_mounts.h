/* SPDX-License-Identifier: Apache-2.0 */
/* What a container mounts: -v, --mount, --tmpfs, --volumes-from and the image's
 * VOLUMEs by Docker's rules, down to paths of the host. */
#pragma once

#include "image_config.h"
#include "json.h"
#include "runtime_spec.h"
#include "state.h"
#include "volumes.h"

struct volume_mount {
	const char *type;	  /* "bind", "volume", "tmpfs" */
	char *name;		  /* of the volume */
	char *source;		  /* on the host */
	char *destination;	  /* clean */
	char *propagation;	  /* "rprivate", ...; NULL: not said */
	char *mode;		  /* as given with -v: "ro,z" */
	char *subpath;		  /* in the volume */
	char *data;		  /* of a tmpfs: its mount options */
	bool read_only, read_only_non_recursive, read_only_force_recursive, non_recursive;
	bool no_copy, chown, relabel, idmap;
	bool cached;		  /* a guest may see others' changes late */
	bool makes_source;	  /* -v: a host folder that is missing is made */
	bool needs_copy;
};

struct volume_plan {
	struct volume_mount *list;
	size_t n;
};
void volume_plan_done(struct volume_plan *plan);
#define CLEANUP_VOLUME_PLAN CLEANUP(volume_plan_done)

enum volume_stage {
	VOLUMES_LOOK,	/* changes nothing; what is not yet made is left out */
	VOLUMES_RECORD, /* inside the transaction of a creation: rows only */
	VOLUMES_USE,	/* inside the transaction of a start: rows, and the events "mount" */
};
/* True when there is anything to plan: a cheap look before all that follows. */
bool volumes_wanted(const struct container_config *config, const struct image_config *image);
/* @c's mounts. Repeatable: the same volumes are found again. Errors in Docker's
 * words. */
int volumes_plan(struct engine *engine, struct container *c, const struct image_config *image, enum volume_stage stage,
		 struct volume_plan *ret, struct err *err) MUST_CHECK;
/* Make what the plan needs on the host, outside any transaction: folders,
 * mounts of the driver, the copy of the image's files. @layers are mounted. */
int volumes_prepare(struct engine *engine, struct container *c, const struct strv *layers, const struct volume_plan *plan,
		    struct err *err) MUST_CHECK;
/* The options that change files of the host: U (@user of the process), z, Z. */
int volumes_adopt(const struct volume_plan *plan, const struct spec_user *user, struct err *err) MUST_CHECK;
/* Append to a launch description's mounts. */
void volumes_to_spec(const struct volume_plan *plan, struct spec_mount **ret, size_t *ret_n);
/* Outside of a container: make the volume's folders, mount what its driver mounts
 * there; and let go of that again unless a container runs with it. */
int volume_attach(struct engine *engine, const char *name, struct err *err) MUST_CHECK;
void volume_leave(struct engine *engine, const char *name);
/* 1 when a running container has it. */
int volume_is_running(struct engine *engine, const char *name, struct err *err) MUST_CHECK;
/* A run of @id has ended: unmount what the driver mounted for it alone, record
 * the events "unmount". */
int volumes_unused(struct engine *engine, const char *id, struct err *err) MUST_CHECK;
/* inspect's "Mounts". */
void volumes_write(const struct volume_plan *plan, struct json_writer *w);
