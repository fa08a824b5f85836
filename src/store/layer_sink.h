/* SPDX-License-Identifier: Apache-2.0 */
/* Where file contents go while the tree is gathered in memory, and how the
 * tree is written when it is complete: an EROFS image (erofs_writer.h) or a
 * directory (layer_dir.h). */
#pragma once

#include "layer_tree.h"

struct layer_sink {
	/* A file of @size bytes begins; *ret_where goes to layer_inode.where. */
	int (*begin)(struct layer_sink *sink, uint64_t size, uint32_t *ret_where, struct err *err);
	/* Its bytes, ascending; what is not written is a hole. */
	int (*write)(struct layer_sink *sink, uint64_t offset, const void *data, size_t len, struct err *err);
	int (*end)(struct layer_sink *sink, struct err *err);
	/* Write the finished tree; afterwards the sink is only closed. */
	int (*finish)(struct layer_sink *sink, struct layer_tree *tree, struct err *err);
	void (*close)(struct layer_sink *sink);
};
