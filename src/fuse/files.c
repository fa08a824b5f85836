/* SPDX-License-Identifier: Apache-2.0 */
/* Open files. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/uio.h>

#include "fuse_internal.h"

/* A copy that is asked for in one piece must not hold a worker for minutes. */
#define COPY_MAX (128u << 20)
/* A longer write is worth another worker that reads requests meanwhile. */
#define WRITE_QUICK 32768

/* Through its page cache the guest's kernel sends a write that crosses a page in
 * two, and somebody else's may come between: an append goes past it, so that one
 * write() is one request. A file that may be mapped, too, has to stay mappable. */
static bool appends_directly(const struct fuse_server *s, uint32_t flags)
{
	int mode = flags & O_ACCMODE;
	return flags & O_APPEND && (mode == O_WRONLY || (mode == O_RDWR && s->maps_direct_files));
}

uint32_t fuse_open_flags_of(struct fuse_server *s, const struct fuse_inode *inode, uint32_t flags)
{
	/* Without remote locks there is nothing to be told of at close(). */
	uint32_t ret = s->has_remote_locks ? 0 : FOPEN_NOFLUSH;
	if (fuse_share_of(s, inode)->flags & FUSE_SHARE_PRIVATE)
		return ret | FOPEN_KEEP_CACHE;
	return ret | (appends_directly(s, flags) ? FOPEN_DIRECT_IO : 0);
}

/* The guest's flags for a file, of which few concern the host: O_APPEND and
 * O_SYNC come with each write, O_DIRECT is between the guest and its cache. */
static int open_inode(struct fuse_worker *w, struct fuse_inode *inode, uint32_t flags, uint32_t open_flags)
{
	if (S_ISLNK(inode->key.type))
		return -ELOOP;
	/* The kernel of the guest opens devices, FIFOs and sockets itself. */
	if (!S_ISREG(inode->key.type))
		return S_ISDIR(inode->key.type) ? -EISDIR : -ENXIO;
	if ((flags & O_ACCMODE) == O_ACCMODE)
		return -EINVAL;
	if (flags & (O_ACCMODE | O_TRUNC)) {
		int r = fuse_inode_writable(w->s, inode);
		if (r < 0)
			return r;
	}
	/* The type is that of the very object: it cannot change any more. */
	int fd = fuse_inode_fd(w->s, inode);
	if (fd < 0)
		return fd;
	int admitted = fuse_device_check(fd, inode->key.dev);
	if (admitted < 0)
		return admitted;
	if (flags & O_TRUNC) {
		int r = fuse_creds_fsetid(&w->creds, !(open_flags & FUSE_OPEN_KILL_SUIDGID));
		if (r < 0)
			return r;
	}
	return fuse_reopen(fd, flags & (O_ACCMODE | O_TRUNC));
}

ssize_t fuse_op_open(struct fuse_worker *w, struct fuse_request *q)
{
	CLEANUP_FUSE_INODE struct fuse_inode_ref ref = { w->s, fuse_inode_get(w->s, q->h.nodeid) };
	struct fuse_open_out out = { 0 };
	struct fuse_open_in in;

	if (!ref.inode)
		return -ESTALE;
	if (FUSE_TAKE(q, in) < 0)
		return -EINVAL;
	int fd = open_inode(w, ref.inode, in.flags, in.open_flags);
	if (fd < 0)
		return fd;
	out.open_flags = fuse_open_flags_of(w->s, ref.inode, in.flags);
	int r = fuse_handle_new(w->s, ref.inode, fd, false, &out.fh);
	if (r < 0)
		return r;
	memcpy(w->out, &out, sizeof(out));
	return sizeof(out);
}

/* An open file whose inode the guest learns of in the same reply. Takes @fd. */
static ssize_t reply_created(struct fuse_worker *w, struct fuse_inode *parent, int dir, const char *name, int fd,
			     uint32_t flags)
{
	CLEANUP_FUSE_INODE struct fuse_inode_ref ref = { .s = w->s };
	CLEANUP_FD int own = fd;
	struct fuse_open_out open = { 0 };
	struct fuse_entry_out entry;
	struct statx stx;

	int r = fuse_statx(own, "", &stx);
	if (r == 0)
		r = fuse_inode_enter(w->s, parent, dir, name, &stx, 0, &ref.inode);
	if (!ref.inode)
		return r;
	r = fuse_handle_new(w->s, ref.inode, TAKE_FD(own), false, &open.fh);
	if (r < 0)
		return r;
	pthread_mutex_lock(&w->s->lock);
	ref.inode->lookups++;
	pthread_mutex_unlock(&w->s->lock);
	open.open_flags = fuse_open_flags_of(w->s, ref.inode, flags);
	fuse_fill_entry(w->s, ref.inode, &stx, &entry);
	/* A file without a name is under none to look for. Overlayfs, before 6.6,
	 * goes on using this entry once it has linked the file. */
	if (!*name)
		entry.entry_valid = FUSE_VALID_EVER;
	memcpy(w->out, &entry, sizeof(entry));
	memcpy(w->out + sizeof(entry), &open, sizeof(open));
	return sizeof(entry) + sizeof(open);
}

/* Somebody was faster: then it is an ordinary open. */
static ssize_t open_existing(struct fuse_worker *w, struct fuse_inode *parent, int dir, const char *name,
			     const struct fuse_create_in *in)
{
	CLEANUP_FUSE_INODE struct fuse_inode_ref ref = { .s = w->s };
	struct statx stx;

	int r = fuse_statx(dir, name, &stx);
	if (r == 0)
		r = fuse_inode_enter(w->s, parent, dir, name, &stx, 0, &ref.inode);
	if (!ref.inode)
		return r;
	int fd = open_inode(w, ref.inode, in->flags, in->open_flags);
	return fd < 0 ? fd : reply_created(w, parent, dir, name, fd, in->flags);
}

ssize_t fuse_op_create(struct fuse_worker *w, struct fuse_request *q)
{
	CLEANUP_FUSE_INODE struct fuse_inode_ref parent = { w->s, fuse_inode_get(w->s, q->h.nodeid) };
	struct fuse_create_in in;
	const char *name;

	if (!parent.inode)
		return -ESTALE;
	if (FUSE_TAKE(q, in) < 0)
		return -EINVAL;
	int r = fuse_take_name(q, &name);
	if (r == 0)
		r = fuse_inode_writable(w->s, parent.inode);
	if (r < 0)
		return r;
	int dir = fuse_inode_fd(w->s, parent.inode);
	if (dir < 0)
		return dir;
	if ((in.flags & O_ACCMODE) == O_ACCMODE)
		return -EINVAL;
	r = fuse_creds_owner(&w->creds, &q->h, in.umask);
	if (r == 0)
		r = fuse_creds_fsetid(&w->creds, true);
	if (r < 0)
		return r;
	/* O_EXCL: what is there already may be a device or a FIFO. */
	int fd = fuse_open_beneath(dir, name, (in.flags & O_ACCMODE) | O_CREAT | O_EXCL | O_NOFOLLOW, in.mode & 07777);
	if (fd == -EEXIST && !(in.flags & O_EXCL))
		return open_existing(w, parent.inode, dir, name, &in);
	return fd < 0 ? fd : reply_created(w, parent.inode, dir, name, fd, in.flags);
}

ssize_t fuse_op_tmpfile(struct fuse_worker *w, struct fuse_request *q)
{
	CLEANUP_FUSE_INODE struct fuse_inode_ref parent = { w->s, fuse_inode_get(w->s, q->h.nodeid) };
	struct fuse_create_in in;

	if (!parent.inode)
		return -ESTALE;
	if (FUSE_TAKE(q, in) < 0)
		return -EINVAL;
	int r = fuse_inode_writable(w->s, parent.inode);
	if (r < 0)
		return r;
	int dir = fuse_inode_fd(w->s, parent.inode);
	if (dir < 0)
		return dir;
	r = fuse_creds_owner(&w->creds, &q->h, in.umask);
	if (r == 0)
		r = fuse_creds_fsetid(&w->creds, true);
	if (r < 0)
		return r;
	/* It has no name; the guest reaches it while it has it open. */
	int fd = fuse_open_beneath(dir, ".", O_RDWR | O_TMPFILE | (in.flags & O_EXCL), in.mode & 07777);
	return fd < 0 ? fd : reply_created(w, parent.inode, dir, "", fd, in.flags);
}

/* What the host has in memory. A short answer would mean the end of the file
 * to the guest, so all of it or nothing: -EAGAIN. */
static ssize_t read_cached(int fd, void *data, size_t size, off_t offset)
{
	struct iovec iov = { data, size };
	ssize_t n = preadv2(fd, &iov, 1, offset, RWF_NOWAIT);
	return n == (ssize_t)size || n == 0 ? n : -EAGAIN;
}

ssize_t fuse_op_read(struct fuse_worker *w, struct fuse_request *q)
{
	CLEANUP_FUSE_HANDLE struct fuse_handle_ref h = { .s = w->s };
	struct fuse_read_in in;

	if (FUSE_TAKE(q, in) < 0)
		return -EINVAL;
	h.handle = fuse_handle_get(w->s, in.fh, false);
	if (!h.handle)
		return -EBADF;
	if (in.offset > INT64_MAX)
		return -EINVAL;
	size_t size = in.size < FUSE_DATA_MAX ? in.size : FUSE_DATA_MAX;
	ssize_t n = read_cached(h.handle->fd, w->out, size, (off_t)in.offset);
	if (n >= 0)
		return n;
	fuse_may_block(w);
	n = pread(h.handle->fd, w->out, size, (off_t)in.offset);
	return n < 0 ? -errno : n;
}

ssize_t fuse_op_write(struct fuse_worker *w, struct fuse_request *q)
{
	CLEANUP_FUSE_HANDLE struct fuse_handle_ref h = { .s = w->s };
	struct fuse_write_out out = { 0 };
	struct fuse_write_in in;

	if (FUSE_TAKE(q, in) < 0 || in.size > q->len || in.offset > INT64_MAX)
		return -EINVAL;
	h.handle = fuse_handle_get(w->s, in.fh, false);
	if (!h.handle)
		return -EBADF;
	int r = fuse_creds_fsetid(&w->creds, !(in.write_flags & FUSE_WRITE_KILL_SUIDGID));
	if (r < 0)
		return r;
	int flags = in.flags & O_DSYNC ? (in.flags & O_SYNC) == O_SYNC ? RWF_SYNC : RWF_DSYNC : 0;
	/* At the end as it is now, whoever has written meanwhile. Pages of a
	 * mapping (FUSE_WRITE_CACHE) have their place. */
	if (in.flags & O_APPEND && !(in.write_flags & FUSE_WRITE_CACHE))
		flags |= RWF_APPEND;
	if (in.size > WRITE_QUICK || flags & (RWF_SYNC | RWF_DSYNC))
		fuse_may_block(w);
	struct iovec iov = { (void *)(uintptr_t)q->arg, in.size };
	ssize_t n = pwritev2(h.handle->fd, &iov, 1, (off_t)in.offset, flags);
	if (n < 0)
		return -errno;
	out.size = (uint32_t)n;
	memcpy(w->out, &out, sizeof(out));
	return sizeof(out);
}

ssize_t fuse_op_fsync(struct fuse_worker *w, struct fuse_request *q)
{
	CLEANUP_FUSE_HANDLE struct fuse_handle_ref h = { .s = w->s };
	struct fuse_fsync_in in;

	if (FUSE_TAKE(q, in) < 0)
		return -EINVAL;
	h.handle = fuse_handle_get(w->s, in.fh, false);
	if (!h.handle)
		return -EBADF;
	fuse_may_block(w);
	int r = in.fsync_flags & FUSE_FSYNC_FDATASYNC ? fdatasync(h.handle->fd) : fsync(h.handle->fd);
	return r < 0 ? -errno : 0;
}

ssize_t fuse_op_syncfs(struct fuse_worker *w, struct fuse_request *q)
{
	int r = 0;
	fuse_may_block(w);
	/* One file system for the guest: each share that may have changed. */
	for (size_t i = 0; i < w->s->config.shares_n; i++) {
		if (w->s->shares[i].flags & FUSE_SHARE_READ_ONLY)
			continue;
		CLEANUP_FUSE_INODE struct fuse_inode_ref ref = { w->s, fuse_inode_get(w->s, w->s->shares[i].root) };
		CLEANUP_FD int fd = fuse_reopen(fuse_inode_fd(w->s, ref.inode), O_RDONLY);
		if (fd < 0)
			r = fd;
		else if (syncfs(fd) < 0)
			r = -errno;
	}
	return r;
}

ssize_t fuse_op_lseek(struct fuse_worker *w, struct fuse_request *q)
{
	CLEANUP_FUSE_HANDLE struct fuse_handle_ref h = { .s = w->s };
	struct fuse_lseek_out out;
	struct fuse_lseek_in in;

	if (FUSE_TAKE(q, in) < 0 || (in.whence != SEEK_DATA && in.whence != SEEK_HOLE) || in.offset > INT64_MAX)
		return -EINVAL;
	h.handle = fuse_handle_get(w->s, in.fh, false);
	if (!h.handle)
		return -EBADF;
	off_t at = lseek(h.handle->fd, (off_t)in.offset, (int)in.whence);
	if (at < 0)
		return -errno;
	out.offset = (uint64_t)at;
	memcpy(w->out, &out, sizeof(out));
	return sizeof(out);
}

ssize_t fuse_op_fallocate(struct fuse_worker *w, struct fuse_request *q)
{
	CLEANUP_FUSE_HANDLE struct fuse_handle_ref h = { .s = w->s };
	struct fuse_fallocate_in in;

	if (FUSE_TAKE(q, in) < 0 || in.offset > INT64_MAX || in.length > INT64_MAX)
		return -EINVAL;
	h.handle = fuse_handle_get(w->s, in.fh, false);
	if (!h.handle)
		return -EBADF;
	fuse_may_block(w);
	return fallocate(h.handle->fd, (int)in.mode, (off_t)in.offset, (off_t)in.length) < 0 ? -errno : 0;
}

ssize_t fuse_op_copy_file_range(struct fuse_worker *w, struct fuse_request *q)
{
	CLEANUP_FUSE_HANDLE struct fuse_handle_ref from = { .s = w->s }, to = { .s = w->s };
	struct fuse_write_out out = { 0 };
	struct fuse_copy_file_range_in in;

	if (FUSE_TAKE(q, in) < 0 || in.off_in > INT64_MAX || in.off_out > INT64_MAX || in.flags)
		return -EINVAL;
	from.handle = fuse_handle_get(w->s, in.fh_in, false);
	to.handle = fuse_handle_get(w->s, in.fh_out, false);
	if (!from.handle || !to.handle)
		return -EBADF;
	fuse_may_block(w);
	off_t off_in = (off_t)in.off_in, off_out = (off_t)in.off_out;
	ssize_t n = copy_file_range(from.handle->fd, &off_in, to.handle->fd, &off_out, in.len < COPY_MAX ? in.len : COPY_MAX, 0);
	if (n < 0)
		return -errno;
	out.size = (uint32_t)n;
	memcpy(w->out, &out, sizeof(out));
	return sizeof(out);
}
