/* SPDX-License-Identifier: Apache-2.0 */
/* What `inspect`, `rm` and `export` of networks, volumes and containers share. */
#pragma once

#include "cli.h"
#include "engine.h"
#include "json.h"

/* Print the objects @names as one JSON array, or each by @format (NULL: the array),
 * what is missing afterwards. Returns the exit code. */
int object_inspect(struct cli *cli, char **names, int n, const char *format,
		   int (*write)(struct engine *engine, const char *name, struct json_writer *w, struct err *err));

/* Remove each and print its name. @force: one that is not there is no error. */
int object_remove(struct cli *cli, char **names, int n, bool force,
		  int (*remove)(struct engine *engine, const char *name, struct err *err));

/* Write one's archive to the file @path, or to standard output. */
int object_export(struct cli *cli, const char *name, const char *path,
		  int (*export)(struct engine *engine, const char *name, int fd, struct err *err));

/* Labels as they are kept: "key" becomes "key=". */
void object_labels(struct strv *ret, const struct strv *given);
