/* SPDX-License-Identifier: Apache-2.0 */
/* Volumes (root/volumes/<name>/_data) and the resolution of -v, --mount,
 * --volumes-from and the image's VOLUMEs to mounts of host paths. */
#pragma once

#include "image_config.h"
#include "runtime_spec.h"
#include "state.h"

/* Make the volumes that @c needs and append its mounts. Repeatable: a second
 * start finds the same volumes. */
int volumes_resolve(struct engine *engine, struct container *c, const struct image_config *image,
		    struct spec_mount **ret, size_t *ret_n, struct err *err) MUST_CHECK;
/* Make one unless it is there. Name NULL: anonymous. */
int volume_ensure(struct engine *engine, const char *name, const struct strv *labels, char ret_name[256],
		  struct err *err) MUST_CHECK;
/* Remove anonymous volumes that only @id uses (rm -v, --rm), and its uses. */
int volumes_release(struct engine *engine, const char *id, bool remove_anonymous, struct err *err) MUST_CHECK;
