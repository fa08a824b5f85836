/* SPDX-License-Identifier: Apache-2.0 */
/* How hull talks to hull-unpack, the sandboxed layer converter.
 *
 *   hull-unpack            one layer, then exit
 *     fd 0  the layer as it came (pipe or file): tar, plain or compressed with
 *           gzip or zstd, told apart by its first bytes
 *     fd 3  where the layer goes: an empty regular file open for reading and
 *           writing (EROFS image), or with --dir a directory to fill
 *     fd 1  the result, one JSON object and a newline:
 *           {"digest": "sha256:...",   of the bytes of fd 0
 *            "bytes": 1,               their number
 *            "diffid": "sha256:...",   of the tar inside
 *            "tarBytes": 1,            its length
 *            "contentBytes": 1,        sum of the sizes of its regular files
 *            "compression": "none"|"gzip"|"zstd"}
 *     fd 2  what went wrong, one line, when the exit status is not 0:
 *           {"kind": 1, "message": "...", "why": "..."}  (kind: enum err_kind)
 *
 * It reads to the end of fd 0 in any case (bytes after the archive are part of
 * the digest), unless it fails. Limits are options: --max-bytes N of tar. */
#pragma once

#define UNPACK_OUTPUT_FD 3
#define UNPACK_PROGRAM "hull-unpack"
