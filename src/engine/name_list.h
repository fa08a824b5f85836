/* SPDX-License-Identifier: Apache-2.0 */
/* Names of what there is, for completion: quick, without side effects, and
 * silent. Nothing is made, recovered or repaired; where there is no state, or no
 * permission to read it, the list is empty. */
#pragma once

#include "str.h"

enum name_kind {
	NAMES_CONTAINERS,
	NAMES_CONTAINERS_RUNNING, /* paused ones too */
	NAMES_CONTAINERS_PAUSED,
	NAMES_CONTAINERS_STOPPED, /* created or exited */
	NAMES_IMAGES,
	NAMES_VOLUMES,
	NAMES_NETWORKS,
};

/* Opened by the first look at the state, kept for the next. */
struct name_source {
	char *root, *run;
	struct db *db;
	bool is_tried;
};
#define NAME_SOURCE_INIT ((struct name_source){ 0 })
void name_source_done(struct name_source *source);
#define CLEANUP_NAME_SOURCE CLEANUP(name_source_done)

/* Append "name\tdescription" (the description may be missing) for each that
 * begins with @prefix. */
void name_list(struct name_source *source, enum name_kind kind, const char *prefix, struct strv *ret);
