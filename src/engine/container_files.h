/* SPDX-License-Identifier: Apache-2.0 */
/* What a container's files are made of: its image's layers, its writable
 * directory, what is mounted among them; and, for a container that does not
 * run, the way into them. */
#pragma once

#include "image_store.h"
#include "runtime_spec.h"
#include "state.h"

struct container_files {
	struct container *c; /* with its config */
	struct image *image;
	struct strv layers; /* mounted, lowest first */
	struct strv mount_points; /* where the last start mounted something */
	struct runtime_spec *last; /* that start; NULL: never started */
	char *upper_path;
	int upper; /* -1: it has never been started */
};

int container_files_open(struct engine *engine, const char *name, struct container_files *ret, struct err *err) MUST_CHECK;
void container_files_done(struct container_files *f);
#define CLEANUP_CONTAINER_FILES CLEANUP(container_files_done)

/* Directory descriptors on @paths; allocated also after an error. */
int container_files_open_all(const struct strv *paths, int **ret, struct err *err) MUST_CHECK;
void container_files_close_all(int *fds, size_t n);

/* In a process forked for it, whose mount namespace becomes its own: the layers
 * and the writable directory as one, detached. @writable: so that what is
 * written goes into the writable directory; the container must not run, nor be
 * started meanwhile (container_lock.h). */
int container_files_put_together(const struct container_files *f, bool writable, int *ret_root, struct err *err) MUST_CHECK;
/* The same, writable, with the container's binds and volumes (@mounts, of which
 * only binds whose source exists are made), and then it is all that the process
 * sees: its root and working directory. */
int container_files_enter(const struct container_files *f, const struct spec_mount *mounts, size_t mounts_n, struct err *err) MUST_CHECK;
