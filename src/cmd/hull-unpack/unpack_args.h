/* SPDX-License-Identifier: Apache-2.0 */
/* The contract of hull-unpack, the worker that turns one compressed layer into
 * an EROFS file. It parses foreign bytes, so it gets descriptors, never paths.
 *
 *   hull-unpack --out-fd N | --dir-fd N  [options]   < layer
 *
 * stdin            the layer as the registry sends it; read to end of file
 * --out-fd N       empty regular file, open for writing: becomes the EROFS
 *                  image. The superblock is written last; not synced (the
 *                  caller knows when durability is due)
 * --dir-fd N       empty directory instead: the layer is unpacked into it (for
 *                  kernels without EROFS); needs root
 * --tee-fd N       also write the compressed bytes here as they come (the blob)
 * --media TYPE     gzip, zstd, none, or any (default): the compression declared
 *                  by the manifest. Found by its magic; another one is refused
 * --digest D       expected sha256:<hex> of the compressed bytes
 * --diffid D       expected sha256:<hex> of the uncompressed tar
 * --size N         expected number of compressed bytes; more are not read
 * --max-size N     most bytes of uncompressed tar, and of file contents counted
 *                  with their holes (default 256 GiB)
 * --max-entries N  most entries (default 1000000)
 * --max-ratio N    most uncompressed bytes for each compressed one, once the
 *                  layer is past 1 GiB (default 200)
 *
 * Standard output gets one line of JSON and standard error nothing:
 *   {"digest":"sha256:..","diffid":"sha256:..","compressed_size":N,"size":N,
 *    "erofs_size":N,"entries":N,"dropped":N}                     exit status 0
 *   {"error":{"kind":N,"errno":N,"msg":"..","why":"..","hint":".."}}      1
 * size is that of the tar; erofs_size is 0 with --dir-fd; dropped counts what
 * was left out on purpose (overlay control xattrs, 0:0 character devices); kind
 * is enum err_kind and errno a negative number as in base/err.h. After a failure
 * what was written to the descriptors is worthless. When the bytes themselves
 * are wrong (digest or size) that is the error reported, even if the tar inside
 * made no sense either. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "err.h"

enum unpack_media { UNPACK_ANY, UNPACK_NONE, UNPACK_GZIP, UNPACK_ZSTD, UNPACK_MEDIA_COUNT };

struct unpack_args {
	int out_fd, dir_fd, tee_fd; /* -1: not given */
	enum unpack_media media;
	/* The 64 hex digits, or "" when not given. */
	char digest[65], diffid[65];
	/* -1: not known. */
	int64_t size;
	uint64_t max_size, max_entries, max_ratio;
};

/* "gzip" and so on. */
const char *unpack_media_name(enum unpack_media media);

int unpack_args_parse(int argc, char **argv, struct unpack_args *ret, struct err *err) MUST_CHECK;
