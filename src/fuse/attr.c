/* SPDX-License-Identifier: Apache-2.0 */
/* Attributes, and the system calls below which every name is one component. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <time.h>

#include "fuse_internal.h"

/* Two ticks of the slowest clock (100 Hz), which file systems take times from. */
#define MTIME_STEP_NS 20000000

struct fuse_fd_path fuse_fd_path(int fd)
{
	struct fuse_fd_path path;
	snprintf(path.text, sizeof(path.text), "%d", fd);
	return path;
}

int fuse_open_beneath(int dir, const char *name, uint64_t flags, mode_t mode)
{
	struct open_how how = {
		.flags = flags | O_CLOEXEC | (flags & O_PATH ? 0 : O_NOCTTY | O_NONBLOCK),
		.mode = mode,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS,
	};
	long fd = syscall(SYS_openat2, dir, name, &how, sizeof(how));
	return fd < 0 ? -errno : (int)fd;
}

int fuse_reopen(int fd, uint64_t flags)
{
	struct open_how how = { .flags = flags | O_CLOEXEC | (flags & O_PATH ? 0 : O_NOCTTY | O_NONBLOCK) };
	long own = syscall(SYS_openat2, AT_FDCWD, fuse_fd_path(fd).text, &how, sizeof(how));
	return own < 0 ? -errno : (int)own;
}

int fuse_statx(int dir, const char *name, struct statx *stx)
{
	int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_SYNC_AS_STAT | (*name ? 0 : AT_EMPTY_PATH);
	return statx(dir, name, flags, FUSE_STATX, stx) < 0 ? -errno : 0;
}

/* As the kernel packs device numbers of 32 bits. */
static uint32_t pack_device(uint32_t major, uint32_t minor)
{
	return (minor & 0xff) | major << 8 | (minor & ~0xffu) << 12;
}

/* The guest drops what it has cached of a file when the time of its last change
 * differs, but that time moves in steps: a second change in the same step would go
 * unnoticed for ever. So while a change may still be followed by such a one, each
 * answer tells another time, less than 0.1 ms away; then the true one. */
static void tell_apart(struct fuse_attr *attr)
{
	static uint32_t counter;
	struct timespec now;
	clock_gettime(CLOCK_REALTIME_COARSE, &now);
	uint64_t seconds = (uint64_t)now.tv_sec - attr->mtime;
	/* From -1 to 1. */
	if (seconds + 1 > 2 || llabs((int64_t)seconds * 1000000000 + now.tv_nsec - attr->mtimensec) > MTIME_STEP_NS)
		return;
	uint32_t low = __atomic_fetch_add(&counter, 1, __ATOMIC_RELAXED) % 99999;
	attr->mtimensec += low - attr->mtimensec % 100000 + (low >= attr->mtimensec % 100000);
}

void fuse_fill_attr(struct fuse_server *s, uint16_t share, const struct statx *stx, struct fuse_attr *attr)
{
	*attr = (struct fuse_attr){
		.ino = fuse_inode_number(s, share, makedev(stx->stx_dev_major, stx->stx_dev_minor), stx->stx_ino),
		.size = stx->stx_size,
		.blocks = stx->stx_blocks,
		.atime = (uint64_t)stx->stx_atime.tv_sec,
		.mtime = (uint64_t)stx->stx_mtime.tv_sec,
		.ctime = (uint64_t)stx->stx_ctime.tv_sec,
		.atimensec = stx->stx_atime.tv_nsec,
		.mtimensec = stx->stx_mtime.tv_nsec,
		.ctimensec = stx->stx_ctime.tv_nsec,
		.mode = stx->stx_mode,
		.nlink = stx->stx_nlink,
		.uid = stx->stx_uid,
		.gid = stx->stx_gid,
		.rdev = pack_device(stx->stx_rdev_major, stx->stx_rdev_minor),
		.blksize = stx->stx_blksize,
	};
	if (S_ISREG(stx->stx_mode) && !(s->shares[share].flags & FUSE_SHARE_PRIVATE))
		tell_apart(attr);
}

uint64_t fuse_attr_valid(struct fuse_server *s, const struct fuse_inode *inode, uint32_t *ret_nsec)
{
	/* The shortest time is a tick or two of the guest's clock: enough for the
	 * one system call that looked a directory up not to ask for it again, to
	 * see whether it may be passed. Contents hang on files' attributes alone. */
	*ret_nsec = S_ISREG(inode->key.type) ? 0 : 1;
	return fuse_share_of(s, inode)->valid;
}

void fuse_fill_entry(struct fuse_server *s, const struct fuse_inode *inode, const struct statx *stx,
		     struct fuse_entry_out *out)
{
	*out = (struct fuse_entry_out){ .nodeid = inode->nodeid, .entry_valid = fuse_share_of(s, inode)->valid };
	out->attr_valid = fuse_attr_valid(s, inode, &out->attr_valid_nsec);
	fuse_fill_attr(s, inode->key.share, stx, &out->attr);
}

static ssize_t reply_root(struct fuse_worker *w)
{
	struct fuse_attr_out out = {
		.attr_valid = 3600,
		.attr = { .ino = FUSE_ROOT_ID,
			  .mode = S_IFDIR | 0555,
			  .nlink = 2 + (uint32_t)w->s->config.shares_n,
			  .blksize = 4096 },
	};
	memcpy(w->out, &out, sizeof(out));
	return sizeof(out);
}

static ssize_t reply_attr(struct fuse_worker *w, const struct fuse_inode *inode, const struct statx *stx)
{
	struct fuse_attr_out out = { 0 };
	out.attr_valid = fuse_attr_valid(w->s, inode, &out.attr_valid_nsec);
	fuse_fill_attr(w->s, inode->key.share, stx, &out.attr);
	memcpy(w->out, &out, sizeof(out));
	return sizeof(out);
}

ssize_t fuse_op_getattr(struct fuse_worker *w, struct fuse_request *q)
{
	CLEANUP_FUSE_INODE struct fuse_inode_ref ref = { w->s, fuse_inode_get(w->s, q->h.nodeid) };
	CLEANUP_FUSE_HANDLE struct fuse_handle_ref h = { .s = w->s };
	struct fuse_getattr_in in;
	struct statx stx = { 0 };

	if (!ref.inode)
		return -ESTALE;
	if (FUSE_TAKE(q, in) < 0)
		return -EINVAL;
	if (ref.inode == &w->s->root)
		return reply_root(w);
	if (in.getattr_flags & FUSE_GETATTR_FH)
		h.handle = fuse_handle_get(w->s, in.fh, false);
	int r = h.handle && h.handle->inode == ref.inode ? fuse_statx(h.handle->fd, "", &stx) :
							   fuse_inode_stat(w->s, ref.inode, &stx);
	return r < 0 ? r : reply_attr(w, ref.inode, &stx);
}

static int set_size(struct fuse_worker *w, const struct fuse_setattr_in *in, int fd, const struct fuse_handle *h)
{
	int r = fuse_creds_fsetid(&w->creds, !(in->valid & FATTR_KILL_SUIDGID));
	if (r < 0)
		return r;
	if (in->size > INT64_MAX)
		return -EFBIG;
	/* The path is the object itself, and truncate() opens nothing. */
	r = h ? ftruncate(h->fd, (off_t)in->size) : truncate(fuse_fd_path(fd).text, (off_t)in->size);
	return r < 0 ? -errno : 0;
}

static int set_times(const struct fuse_setattr_in *in, int fd)
{
	struct timespec times[2] = {
		{ .tv_nsec = UTIME_OMIT },
		{ .tv_nsec = UTIME_OMIT },
	};
	if (in->valid & FATTR_ATIME_NOW)
		times[0].tv_nsec = UTIME_NOW;
	else if (in->valid & FATTR_ATIME)
		times[0] = (struct timespec){ (time_t)in->atime, in->atimensec };
	if (in->valid & FATTR_MTIME_NOW)
		times[1].tv_nsec = UTIME_NOW;
	else if (in->valid & FATTR_MTIME)
		times[1] = (struct timespec){ (time_t)in->mtime, in->mtimensec };
	return utimensat(fd, "", times, AT_EMPTY_PATH) < 0 ? -errno : 0;
}

static int set_attributes(struct fuse_worker *w, const struct fuse_setattr_in *in, const struct fuse_inode *inode, int fd,
			  const struct fuse_handle *h)
{
	int r = 0;
	if (in->valid & FATTR_MODE) {
		if (S_ISLNK(inode->key.type))
			return -EOPNOTSUPP;
		r = fuse_creds_fsetid(&w->creds, true);
		/* By the number of the descriptor: opens nothing, follows nothing. */
		if (r == 0 && fchmodat(AT_FDCWD, fuse_fd_path(fd).text, in->mode & 07777, 0) < 0)
			r = -errno;
	}
	if (r == 0 && in->valid & (FATTR_UID | FATTR_GID)) {
		uid_t uid = in->valid & FATTR_UID ? in->uid : (uid_t)-1;
		gid_t gid = in->valid & FATTR_GID ? in->gid : (gid_t)-1;
		if (fchownat(fd, "", uid, gid, AT_EMPTY_PATH) < 0)
			r = -errno;
	}
	if (r == 0 && in->valid & FATTR_SIZE)
		r = S_ISREG(inode->key.type) ? set_size(w, in, fd, h) : S_ISDIR(inode->key.type) ? -EISDIR : -EINVAL;
	if (r == 0 && in->valid & (FATTR_ATIME | FATTR_MTIME | FATTR_ATIME_NOW | FATTR_MTIME_NOW))
		r = set_times(in, fd);
	return r;
}

ssize_t fuse_op_setattr(struct fuse_worker *w, struct fuse_request *q)
{
	CLEANUP_FUSE_INODE struct fuse_inode_ref ref = { w->s, fuse_inode_get(w->s, q->h.nodeid) };
	CLEANUP_FUSE_HANDLE struct fuse_handle_ref h = { .s = w->s };
	struct fuse_setattr_in in;
	struct statx stx = { 0 };

	if (!ref.inode)
		return -ESTALE;
	if (FUSE_TAKE(q, in) < 0)
		return -EINVAL;
	int r = fuse_inode_writable(w->s, ref.inode);
	if (r < 0)
		return r;
	if (in.valid & FATTR_FH)
		h.handle = fuse_handle_get(w->s, in.fh, false);
	if (h.handle && h.handle->inode != ref.inode)
		return -EBADF;
	int fd = fuse_inode_fd(w->s, ref.inode);
	r = fd < 0 ? fd : set_attributes(w, &in, ref.inode, fd, h.handle);
	if (r == 0)
		r = fuse_statx(fd, "", &stx);
	return r < 0 ? r : reply_attr(w, ref.inode, &stx);
}

ssize_t fuse_op_statfs(struct fuse_worker *w, struct fuse_request *q)
{
	CLEANUP_FUSE_INODE struct fuse_inode_ref ref = { w->s, fuse_inode_get(w->s, q->h.nodeid) };
	struct fuse_statfs_out out = { .st = { .bsize = 4096, .frsize = 4096, .namelen = 255 } };
	struct statvfs fs;

	if (!ref.inode)
		return -ESTALE;
	if (ref.inode != &w->s->root) {
		int fd = fuse_inode_fd(w->s, ref.inode);
		if (fd < 0)
			return fd;
		if (fstatvfs(fd, &fs) < 0)
			return -errno;
		out.st = (struct fuse_kstatfs){
			.blocks = fs.f_blocks,
			.bfree = fs.f_bfree,
			.bavail = fs.f_bavail,
			.files = fs.f_files,
			.ffree = fs.f_ffree,
			.bsize = (uint32_t)fs.f_bsize,
			.namelen = (uint32_t)fs.f_namemax,
			.frsize = (uint32_t)fs.f_frsize,
		};
	}
	memcpy(w->out, &out, sizeof(out));
	return sizeof(out);
}
