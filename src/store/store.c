/* SPDX-License-Identifier: Apache-2.0 */
#include "store.h"

#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "fault.h"
#include "fd.h"
#include "random.h"
#include "str.h"

void store_close(struct store *store)
{
	if (!store)
		return;
	db_close(store->db);
	cleanup_fd(&store->root_fd);
	free(store->root);
	free(store->run);
	free(store);
}

char *store_blob_path(const struct store *store, const char *digest)
{
	return str_printf("%s/blobs/sha256/%s", store->root, strchr(digest, ':') + 1);
}

/* ---- ingest ---- */

int ingest_begin(struct store *store, struct ingest *ret, struct err *err)
{
	/* Between mkdir and flock a recovering hull may take it for abandoned. */
	for (unsigned attempt = 0; attempt < 100; attempt++) {
		struct ingest in = { .store = store, .dir_fd = -1 };
		struct stat st;
		random_hex(in.name, 32);
		CLEANUP_FREE char *path = str_printf("%s/ingest/%s", store->root, in.name);
		if (mkdir(path, 0700) < 0)
			return err_set(err, ERR_SYSTEM, -errno, "make %s", path);
		in.dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (in.dir_fd < 0)
			continue;
		if (flock(in.dir_fd, LOCK_EX | LOCK_NB) == 0 && fstat(in.dir_fd, &st) == 0 && st.st_nlink > 0 &&
		    access(path, F_OK) == 0) {
			FAULT_HERE("ingest.begun");
			*ret = in;
			return 0;
		}
		cleanup_fd(&in.dir_fd);
	}
	return err_set(err, ERR_SYSTEM, -EBUSY, "begin work in %s/ingest", store->root);
}

char *ingest_path(const struct ingest *in, const char *file)
{
	return str_printf("%s/ingest/%s/%s", in->store->root, in->name, file);
}

void ingest_end(struct ingest *in)
{
	if (in->dir_fd < 0)
		return;
	CLEANUP_FREE char *path = str_printf("ingest/%s", in->name);
	/* What cannot be removed now is found by the next recovery. */
	int r = fd_remove_tree_at(in->store->root_fd, path);
	(void)r;
	cleanup_fd(&in->dir_fd);
}
