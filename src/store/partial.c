/* SPDX-License-Identifier: Apache-2.0 */
#include "partial.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "str.h"

#define SUFFIX ".partial"
/* Not worth a resumption. */
#define LEAST_BYTES (64 * 1024)
#define AGE_MAX_S (7 * 86400)
#define COUNT_MAX 128

static const char *hex_of(const char *digest)
{
	return strchr(digest, ':') + 1;
}

static void partial_path(const char *hex, char out[120])
{
	snprintf(out, 120, "ingest/%.64s" SUFFIX, hex);
}

void partial_blob_name(const char *digest, char *out, size_t size)
{
	snprintf(out, size, "%.64s" PARTIAL_BLOB_SUFFIX, hex_of(digest));
}

bool partial_is_name(const char *name)
{
	return strlen(name) == 64 + strlen(SUFFIX) && str_is_hex(name, 64) && str_eq(name + 64, SUFFIX);
}

int partial_find(struct store *store, const char *digest, int64_t max, int64_t *ret_bytes)
{
	char path[120];
	struct stat st;
	partial_path(hex_of(digest), path);
	CLEANUP_FD int fd = openat(store->root_fd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return -1;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > max) {
		partial_drop(store, digest);
		return -1;
	}
	*ret_bytes = st.st_size;
	return TAKE_FD(fd);
}

void partial_keep(struct store *store, int dir_fd, const char *name)
{
	char path[120];
	struct stat st, old;
	if (strlen(name) != 64 + strlen(PARTIAL_BLOB_SUFFIX) || !str_is_hex(name, 64) ||
	    !str_eq(name + 64, PARTIAL_BLOB_SUFFIX))
		return;
	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode) || st.st_size < LEAST_BYTES)
		return;
	partial_path(name, path);
	/* Another hull may have got further. */
	if (fstatat(store->root_fd, path, &old, AT_SYMLINK_NOFOLLOW) == 0 && old.st_size >= st.st_size)
		return;
	(void)!renameat(dir_fd, name, store->root_fd, path);
}

void partial_drop(struct store *store, const char *digest)
{
	char path[120];
	partial_path(hex_of(digest), path);
	(void)!unlinkat(store->root_fd, path, 0);
}

void partials_trim(struct store *store)
{
	int fd = openat(store->root_fd, "ingest", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CLEANUP_DIR DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	time_t now = time(NULL);
	unsigned n = 0;
	for (struct dirent *e; dir && (e = readdir(dir));) {
		struct stat st;
		if (!partial_is_name(e->d_name) || fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if (now - st.st_mtime > AGE_MAX_S || ++n > COUNT_MAX)
			(void)!unlinkat(fd, e->d_name, 0);
	}
}
