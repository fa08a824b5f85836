/* SPDX-License-Identifier: Apache-2.0 */
/* How hull talks to hull-unpack, the sandboxed layer converter.
 *
 *   hull-unpack [options]            one layer, then exit
 *     fd 0  the layer as it came (pipe or file): tar, plain or compressed with
 *           gzip or zstd, told apart by its first bytes
 *     fd 3  where the layer goes: an empty regular file open for writing (it
 *           becomes an EROFS image; the superblock is written last; nothing is
 *           synced), or with --dir an empty directory to fill (needs root)
 *     fd 1  the result, one JSON object and a newline:
 *           {"digest": "sha256:...",   of the bytes of fd 0
 *            "bytes": 1,               their number
 *            "diffid": "sha256:...",   of the tar inside
 *            "tarBytes": 1,            its length
 *            "contentBytes": 1,        sum of the sizes of its regular files
 *            "compression": "none"|"gzip"|"zstd",
 *            "erofsBytes": 1,          of the image; 0 with --dir
 *            "entries": 1,             of the tar
 *            "dropped": 1}             left out on purpose: overlay control
 *                                      xattrs, 0:0 character devices
 *     fd 2  what went wrong, one line, when the exit status is not 0:
 *           {"kind": 1, "message": "...", "why": "..."}  (kind: enum err_kind)
 *
 * It reads to the end of fd 0 in any case (bytes after the archive are part of
 * the digest), unless it fails: then what was written to fd 3 is worthless.
 * Options (all may be left out):
 *   --dir            fd 3 is a directory
 *   --tee            fd 4 is a regular file that gets the bytes of fd 0 as they
 *                    come (the blob that is kept)
 *   --media TYPE     gzip, zstd, none or any (default): what the manifest says;
 *                    another compression is refused
 *   --digest D       expected sha256:<hex> of fd 0
 *   --diffid D       expected sha256:<hex> of the tar
 *   --size N         expected length of fd 0; no more is read
 *   --max-bytes N    most bytes of tar, and of file contents with their holes
 *                    (default 256 GiB)
 *   --max-entries N  default 1000000
 *   --max-ratio N    most bytes of tar for each byte of fd 0 once the tar is
 *                    past 1 GiB (default 200)
 *   --expand         only decompress fd 0 (gzip, zstd, xz; what is none of them is
 *                    copied) into the empty file on fd 3: for archives that are
 *                    compressed as a whole. Of the result, "bytes", "tarBytes"
 *                    and "compression" say something
 *   --prefix         with --expand: fd 4 is a file whose bytes come before fd 0
 * When digest or size are wrong, that is the error reported even if the tar
 * inside made no sense either. */
#pragma once

#define UNPACK_OUTPUT_FD 3
#define UNPACK_TEE_FD 4
#define UNPACK_PREFIX_FD 4
#define UNPACK_PROGRAM "hull-unpack"
