/* SPDX-License-Identifier: Apache-2.0 */
/* Open directories. A place in one is what the host's file system calls it, so
 * that it stays what it is while names come and go. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>

#include "fuse_internal.h"
#include "str.h"

#define ENTRIES_MAX 32768

struct host_entry {
	uint64_t ino, off;
	uint16_t len;
	uint8_t type;
	char name[];
};

/* What the root's handle number is: it has no descriptor. */
#define ROOT_FH UINT64_MAX

ssize_t fuse_op_opendir(struct fuse_worker *w, struct fuse_request *q)
{
	CLEANUP_FUSE_INODE struct fuse_inode_ref ref = { w->s, fuse_inode_get(w->s, q->h.nodeid) };
	struct fuse_open_out out = { .fh = ROOT_FH };

	if (!ref.inode)
		return -ESTALE;
	if (!S_ISDIR(ref.inode->key.type))
		return -ENOTDIR;
	if (ref.inode != &w->s->root) {
		int dir = fuse_inode_fd(w->s, ref.inode);
		if (dir < 0)
			return dir;
		int fd = fuse_reopen(dir, O_RDONLY | O_DIRECTORY);
		if (fd < 0)
			return fd;
		int r = fuse_handle_new(w->s, ref.inode, fd, true, &out.fh);
		if (r < 0)
			return r;
		if (fuse_share_of(w->s, ref.inode)->flags & FUSE_SHARE_PRIVATE)
			out.open_flags = FOPEN_CACHE_DIR | FOPEN_KEEP_CACHE;
	}
	memcpy(w->out, &out, sizeof(out));
	return sizeof(out);
}

struct listing {
	struct fuse_worker *w;
	bool is_plus;
	size_t len, max;
};

/* False when it does not fit. @entry may be NULL: a name without attributes. */
static bool put_entry(struct listing *l, const char *name, uint64_t ino, uint64_t off, uint8_t type,
		      const struct fuse_entry_out *entry)
{
	size_t head = l->is_plus ? sizeof(struct fuse_entry_out) : 0, name_len = strlen(name);
	size_t len = FUSE_DIRENT_ALIGN(head + FUSE_NAME_OFFSET + name_len);
	uint8_t *at = l->w->out + l->len;
	if (len > l->max - l->len)
		return false;
	memset(at, 0, len);
	struct fuse_dirent d = { .ino = ino, .off = off, .namelen = (uint32_t)name_len, .type = type };
	if (l->is_plus && entry)
		memcpy(at, entry, sizeof(*entry));
	memcpy(at + head, &d, FUSE_NAME_OFFSET);
	memcpy(at + head + FUSE_NAME_OFFSET, name, name_len);
	l->len += len;
	return true;
}

static bool fits(const struct listing *l, const char *name)
{
	size_t head = l->is_plus ? sizeof(struct fuse_entry_out) : 0;
	return FUSE_DIRENT_ALIGN(head + FUSE_NAME_OFFSET + strlen(name)) <= l->max - l->len;
}

static void list_root(struct listing *l, uint64_t offset)
{
	struct fuse_server *s = l->w->s;
	for (uint64_t i = offset; i < s->config.shares_n + 2; i++) {
		const char *name = i == 0 ? "." : i == 1 ? ".." : s->shares[i - 2].name;
		/* Numbers of shares come with LOOKUP. */
		if (!put_entry(l, name, i < 2 ? FUSE_ROOT_ID : i << 56, i + 1, i < 2 ? DT_DIR : DT_UNKNOWN, NULL))
			return;
	}
}

/* Tell the guest of the entry as LOOKUP would. What cannot be told of (it is
 * gone, or there are too many) goes as a name alone. */
static bool put_looked_up(struct listing *l, struct fuse_handle *h, const struct host_entry *e, uint64_t ino)
{
	struct fuse_server *s = l->w->s;
	struct fuse_entry_out entry = { 0 };
	struct fuse_inode *inode = NULL;
	struct statx stx;

	if (fuse_statx(h->fd, e->name, &stx) == 0 && fuse_inode_enter(s, h->inode, h->fd, e->name, &stx, 1, &inode) == 0) {
		fuse_fill_entry(s, inode, &stx, &entry);
		fuse_inode_put(s, inode);
	}
	return put_entry(l, e->name, ino, e->off, e->type, inode ? &entry : NULL);
}

static int list_directory(struct listing *l, struct fuse_handle *h, uint64_t offset)
{
	struct fuse_server *s = l->w->s;
	/* Where nothing may be remembered the guest would ask again at once. */
	bool looks_up = l->is_plus && fuse_share_of(s, h->inode)->valid;
	if (!h->entries)
		h->entries = malloc(ENTRIES_MAX);
	if (!h->entries)
		return -ENOMEM;
	/* Somewhere else, or from the start: what was read is not what is wanted. */
	if (offset != h->offset || offset == 0) {
		if (offset > INT64_MAX || lseek(h->fd, (off_t)offset, SEEK_SET) < 0)
			return -EINVAL;
		h->at = h->end = 0;
		h->offset = offset;
	}
	for (;;) {
		if (h->at == h->end) {
			long n = syscall(SYS_getdents64, h->fd, h->entries, ENTRIES_MAX);
			if (n < 0)
				return l->len ? 0 : -errno;
			if (n == 0) {
				/* Read to its end; it may stay open for long. */
				free(h->entries);
				h->entries = NULL;
				h->at = h->end = 0;
				return 0;
			}
			h->at = 0;
			h->end = (size_t)n;
		}
		const struct host_entry *e = (const struct host_entry *)(h->entries + h->at);
		uint64_t ino = fuse_inode_number(s, h->inode->key.share, h->inode->key.dev, e->ino);
		/* Looked up only if it can be told: what is told is counted. */
		if (!fits(l, e->name))
			return l->len ? 0 : -EINVAL;
		if (looks_up && !str_eq(e->name, ".") && !str_eq(e->name, ".."))
			put_looked_up(l, h, e, ino);
		else
			put_entry(l, e->name, ino, e->off, e->type, NULL);
		h->offset = e->off;
		h->at += e->len;
	}
}

static ssize_t read_directory(struct fuse_worker *w, struct fuse_request *q, bool is_plus)
{
	CLEANUP_FUSE_HANDLE struct fuse_handle_ref h = { .s = w->s };
	struct fuse_read_in in;

	if (FUSE_TAKE(q, in) < 0)
		return -EINVAL;
	struct listing l = { w, is_plus, 0, in.size < FUSE_DATA_MAX ? in.size : FUSE_DATA_MAX };
	if (in.fh == ROOT_FH && q->h.nodeid == FUSE_ROOT_ID) {
		list_root(&l, in.offset);
		return (ssize_t)l.len;
	}
	h.handle = fuse_handle_get(w->s, in.fh, true);
	if (!h.handle)
		return -EBADF;
	pthread_mutex_lock(&h.handle->lock);
	int r = list_directory(&l, h.handle, in.offset);
	pthread_mutex_unlock(&h.handle->lock);
	return r < 0 ? r : (ssize_t)l.len;
}

ssize_t fuse_op_readdir(struct fuse_worker *w, struct fuse_request *q)
{
	return read_directory(w, q, false);
}

ssize_t fuse_op_readdirplus(struct fuse_worker *w, struct fuse_request *q)
{
	return read_directory(w, q, true);
}

ssize_t fuse_op_releasedir(struct fuse_worker *w, struct fuse_request *q)
{
	CLEANUP_FUSE_HANDLE struct fuse_handle_ref h = { .s = w->s };
	struct fuse_release_in in;

	if (FUSE_TAKE(q, in) < 0)
		return -EINVAL;
	if (in.fh == ROOT_FH)
		return 0;
	h.handle = fuse_handle_get(w->s, in.fh, true);
	if (!h.handle)
		return -EBADF;
	fuse_handle_release(w->s, h.handle);
	return 0;
}

ssize_t fuse_op_fsyncdir(struct fuse_worker *w, struct fuse_request *q)
{
	CLEANUP_FUSE_HANDLE struct fuse_handle_ref h = { .s = w->s };
	struct fuse_fsync_in in;

	if (FUSE_TAKE(q, in) < 0)
		return -EINVAL;
	if (in.fh == ROOT_FH)
		return 0;
	h.handle = fuse_handle_get(w->s, in.fh, true);
	if (!h.handle)
		return -EBADF;
	fuse_may_block(w);
	int r = in.fsync_flags & FUSE_FSYNC_FDATASYNC ? fdatasync(h.handle->fd) : fsync(h.handle->fd);
	return r < 0 ? -errno : 0;
}
