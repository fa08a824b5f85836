/* SPDX-License-Identifier: Apache-2.0 */
/* The plain members of a container's configuration: what the destructor, the writer
 * and the parser share. */
#pragma once

#include "container_config.h"

enum field_kind {
	F_STR,       /* char * */
	F_BOOL,
	F_I64,
	F_LIST,      /* strv: array, null when empty */
	F_LIST0,     /* strv: array, [] when empty */
	F_MAP,       /* strv of key=value: object of strings */
	F_SET,       /* strv: object of empty objects */
	F_OPT_BOOL,  /* has_x at offset2: null when not said */
	F_OPT_I64,
	F_OPT_LIST,  /* has_x: null when not said */
	F_BLKIO,     /* list at offset, count at offset2 */
	F_BLKIO_WEIGHT,
};

struct field {
	const char *name;
	enum field_kind kind;
	size_t offset, offset2;
};

/* Config's and HostConfig's. */
extern const struct field config_fields[], host_fields[];
extern const size_t config_fields_n, host_fields_n;

/* The member at an offset of the table. */
#define AT(c, off, type) ((type *)(void *)((char *)(uintptr_t)(c) + (off)))
