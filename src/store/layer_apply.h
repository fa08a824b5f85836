/* SPDX-License-Identifier: Apache-2.0 */
/* What a layer's tar means: names, links, OCI whiteouts.
 *
 * Absolute names, ".." that stays inside and symbolic links in parents are
 * contained: they are resolved within the layer's own tree. Names and hard
 * links that lead out, impossible whiteouts and a root that is no directory are
 * refused. A later entry replaces an earlier one, except that a directory keeps
 * its contents when it is named again. A whiteout becomes a 0:0 character
 * device and an opaque directory gets user.overlay.opaque=y, as overlayfs wants
 * them; such devices and attributes in the tar itself are dropped. */
#pragma once

#include "layer_sink.h"
#include "tar_reader.h"

struct layer_limits {
	uint64_t max_bytes; /* file contents counted with their holes */
	uint32_t max_entries;
};

struct layer_stats {
	uint64_t entries, dropped, content_bytes;
};

/* Read the whole archive into @sink and finish it. Blocks. Errors:
 * ERR_INVALID for what the archive did wrong, naming the entry. */
int layer_apply(struct tar_source source, struct layer_sink *sink, const struct layer_limits *limits,
		struct layer_stats *ret_stats, struct err *err) MUST_CHECK;
