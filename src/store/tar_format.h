/* SPDX-License-Identifier: Apache-2.0 */
/* The 512-byte blocks of a tar archive: POSIX ustar and the GNU variant. */
#pragma once

#include <assert.h>
#include <stdint.h>

#define TAR_BLOCK 512u

struct tar_gnu_sparse {
	char offset[12];
	char length[12];
};

struct tar_header {
	char name[100];
	char mode[8];
	char uid[8];
	char gid[8];
	char size[12];
	char mtime[12];
	char chksum[8];
	char typeflag;
	char linkname[100];
	char magic[6];
	char version[2];
	char uname[32];
	char gname[32];
	char devmajor[8];
	char devminor[8];
	union {
		char prefix[155];
		struct {
			char prefix[131];
			char atime[12];
			char ctime[12];
		} star;
		struct {
			char atime[12];
			char ctime[12];
			char offset[12];
			char longnames[4];
			char unused[1];
			struct tar_gnu_sparse sparse[4];
			char is_extended;
			char realsize[12];
		} gnu;
	} u;
	char pad[12];
};
static_assert(sizeof(struct tar_header) == TAR_BLOCK, "one block");

/* What follows a GNU sparse header whose is_extended is set. */
struct tar_gnu_extension {
	struct tar_gnu_sparse sparse[21];
	char is_extended;
	char pad[7];
};
static_assert(sizeof(struct tar_gnu_extension) == TAR_BLOCK, "one block");

#define TAR_TYPE_REGULAR '0'
#define TAR_TYPE_REGULAR_OLD '\0'
#define TAR_TYPE_HARDLINK '1'
#define TAR_TYPE_SYMLINK '2'
#define TAR_TYPE_CHAR '3'
#define TAR_TYPE_BLOCK '4'
#define TAR_TYPE_DIRECTORY '5'
#define TAR_TYPE_FIFO '6'
#define TAR_TYPE_CONTIGUOUS '7'
#define TAR_TYPE_PAX 'x'
#define TAR_TYPE_PAX_GLOBAL 'g'
#define TAR_TYPE_GNU_LONGLINK 'K'
#define TAR_TYPE_GNU_LONGNAME 'L'
#define TAR_TYPE_GNU_SPARSE 'S'
