/* SPDX-License-Identifier: Apache-2.0 */
/* Names: looking them up and making them. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/syscall.h>

#include "fuse_internal.h"
#include "str.h"

static int enter_name(struct fuse_worker *w, struct fuse_inode *parent, int dir, const char *name,
		      struct fuse_entry_out *out)
{
	struct fuse_inode *inode = NULL;
	struct statx stx;
	int r = fuse_statx(dir, name, &stx);
	if (r == 0)
		r = fuse_inode_enter(w->s, parent, dir, name, &stx, 1, &inode);
	if (!inode)
		return r;
	fuse_fill_entry(w->s, inode, &stx, out);
	/* What is reached through a directory should not depend on its name: a
	 * process of the guest may be in it when somebody else renames it. */
	if (S_ISDIR(stx.stx_mode))
		(void)!fuse_inode_fd(w->s, inode);
	fuse_inode_put(w->s, inode);
	return 0;
}

ssize_t fuse_reply_entry(struct fuse_worker *w, struct fuse_inode *parent, int dir, const char *name)
{
	struct fuse_entry_out out;
	int r = enter_name(w, parent, dir, name, &out);
	if (r < 0)
		return r;
	memcpy(w->out, &out, sizeof(out));
	return sizeof(out);
}

static ssize_t lookup_share(struct fuse_worker *w, const char *name)
{
	struct fuse_server *s = w->s;
	for (size_t i = 0; i < s->config.shares_n; i++) {
		struct fuse_entry_out out;
		struct statx stx;
		if (!str_eq(s->shares[i].name, name))
			continue;
		CLEANUP_FUSE_INODE struct fuse_inode_ref ref = { s, fuse_inode_get(s, s->shares[i].root) };
		int r = fuse_inode_stat(s, ref.inode, &stx);
		if (r < 0)
			return r;
		fuse_fill_entry(s, ref.inode, &stx, &out);
		out.entry_valid = 3600;
		memcpy(w->out, &out, sizeof(out));
		return sizeof(out);
	}
	return -ENOENT;
}

ssize_t fuse_op_lookup(struct fuse_worker *w, struct fuse_request *q)
{
	CLEANUP_FUSE_INODE struct fuse_inode_ref parent = { w->s, fuse_inode_get(w->s, q->h.nodeid) };
	const char *name;

	if (!parent.inode)
		return -ESTALE;
	int r = fuse_take_name(q, &name);
	if (r < 0)
		return r;
	if (parent.inode == &w->s->root)
		return lookup_share(w, name);
	int dir = fuse_inode_fd(w->s, parent.inode);
	if (dir < 0)
		return dir;
	ssize_t n = fuse_reply_entry(w, parent.inode, dir, name);
	uint64_t valid = fuse_share_of(w->s, parent.inode)->valid;
	if (n != -ENOENT || !valid)
		return n;
	/* That there is nothing may be remembered, too. */
	struct fuse_entry_out none = { .entry_valid = valid };
	memcpy(w->out, &none, sizeof(none));
	return sizeof(none);
}

ssize_t fuse_op_forget(struct fuse_worker *w, struct fuse_request *q)
{
	struct fuse_forget_in in;
	if (FUSE_TAKE(q, in) == 0)
		fuse_inode_forget(w->s, q->h.nodeid, in.nlookup);
	return FUSE_NO_REPLY;
}

ssize_t fuse_op_batch_forget(struct fuse_worker *w, struct fuse_request *q)
{
	struct fuse_batch_forget_in in;
	struct fuse_forget_one one;
	if (FUSE_TAKE(q, in) < 0)
		return FUSE_NO_REPLY;
	for (uint32_t i = 0; i < in.count && FUSE_TAKE(q, one) == 0; i++)
		fuse_inode_forget(w->s, one.nodeid, one.nlookup);
	return FUSE_NO_REPLY;
}

ssize_t fuse_op_readlink(struct fuse_worker *w, struct fuse_request *q)
{
	CLEANUP_FUSE_INODE struct fuse_inode_ref ref = { w->s, fuse_inode_get(w->s, q->h.nodeid) };
	if (!ref.inode)
		return -ESTALE;
	if (!S_ISLNK(ref.inode->key.type))
		return -EINVAL;
	int fd = fuse_inode_fd(w->s, ref.inode);
	if (fd < 0)
		return fd;
	ssize_t n = readlinkat(fd, "", (char *)w->out, PATH_MAX);
	return n < 0 ? -errno : n;
}

/* The directory a request is about, to be written, and the name in it. */
static int writable_dir(struct fuse_worker *w, struct fuse_request *q, struct fuse_inode **ret, const char **ret_name)
{
	*ret = fuse_inode_get(w->s, q->h.nodeid);
	if (!*ret)
		return -ESTALE;
	int r = fuse_take_name(q, ret_name);
	if (r == 0)
		r = fuse_inode_writable(w->s, *ret);
	return r < 0 ? r : fuse_inode_fd(w->s, *ret);
}

ssize_t fuse_op_symlink(struct fuse_worker *w, struct fuse_request *q)
{
	CLEANUP_FUSE_INODE struct fuse_inode_ref parent = { .s = w->s };
	const char *name;

	int dir = writable_dir(w, q, &parent.inode, &name);
	if (dir < 0)
		return dir;
	/* Any text: it means something to the guest alone. */
	const char *target = fuse_take_string(q, PATH_MAX - 1);
	if (!target)
		return -EINVAL;
	int r = fuse_creds_owner(&w->creds, &q->h, 0);
	if (r == 0 && symlinkat(target, dir, name) < 0)
		r = -errno;
	return r < 0 ? r : fuse_reply_entry(w, parent.inode, dir, name);
}

ssize_t fuse_op_mknod(struct fuse_worker *w, struct fuse_request *q)
{
	CLEANUP_FUSE_INODE struct fuse_inode_ref parent = { .s = w->s };
	struct fuse_mknod_in in;
	const char *name;

	if (FUSE_TAKE(q, in) < 0)
		return -EINVAL;
	int dir = writable_dir(w, q, &parent.inode, &name);
	if (dir < 0)
		return dir;
	/* A 0:0 node is overlayfs' mark for what is deleted, and opens nothing.
	 * Other device nodes on the host's disk would be the guest's doing. */
	if (S_ISBLK(in.mode) || (S_ISCHR(in.mode) && in.rdev != 0))
		return -EPERM;
	int r = fuse_creds_owner(&w->creds, &q->h, in.umask);
	if (r == 0)
		r = fuse_creds_fsetid(&w->creds, true);
	if (r == 0 && mknodat(dir, name, in.mode, 0) < 0)
		r = -errno;
	return r < 0 ? r : fuse_reply_entry(w, parent.inode, dir, name);
}

ssize_t fuse_op_mkdir(struct fuse_worker *w, struct fuse_request *q)
{
	CLEANUP_FUSE_INODE struct fuse_inode_ref parent = { .s = w->s };
	struct fuse_mkdir_in in;
	const char *name;

	if (FUSE_TAKE(q, in) < 0)
		return -EINVAL;
	int dir = writable_dir(w, q, &parent.inode, &name);
	if (dir < 0)
		return dir;
	int r = fuse_creds_owner(&w->creds, &q->h, in.umask);
	if (r == 0 && mkdirat(dir, name, in.mode & 07777) < 0)
		r = -errno;
	return r < 0 ? r : fuse_reply_entry(w, parent.inode, dir, name);
}

ssize_t fuse_op_link(struct fuse_worker *w, struct fuse_request *q)
{
	CLEANUP_FUSE_INODE struct fuse_inode_ref parent = { .s = w->s }, old = { .s = w->s };
	struct fuse_link_in in;
	const char *name;

	if (FUSE_TAKE(q, in) < 0)
		return -EINVAL;
	int dir = writable_dir(w, q, &parent.inode, &name);
	if (dir < 0)
		return dir;
	old.inode = fuse_inode_get(w->s, in.oldnodeid);
	if (!old.inode)
		return -ESTALE;
	if (old.inode == &w->s->root || old.inode->key.share != parent.inode->key.share)
		return -EXDEV;
	int fd = fuse_inode_fd(w->s, old.inode);
	if (fd < 0)
		return fd;
	/* By the number of the descriptor, for want of a capability of the first
	 * user namespace that AT_EMPTY_PATH asks for; leads to the object itself,
	 * even where that is a symbolic link. */
	if (linkat(AT_FDCWD, fuse_fd_path(fd).text, dir, name, AT_SYMLINK_FOLLOW) < 0)
		return -errno;
	return fuse_reply_entry(w, parent.inode, dir, name);
}

/* Files and directories keep what they are for whoever has them open. */
static void keep_known(struct fuse_worker *w, struct fuse_inode *parent, int dir, const char *name)
{
	struct fuse_inode *inode = fuse_inode_known(w->s, parent, dir, name);
	if (!inode)
		return;
	fuse_inode_keep(w->s, inode, parent->nodeid, name);
	fuse_inode_put(w->s, inode);
}

static ssize_t remove_name(struct fuse_worker *w, struct fuse_request *q, int flags)
{
	CLEANUP_FUSE_INODE struct fuse_inode_ref parent = { .s = w->s };
	const char *name;

	int dir = writable_dir(w, q, &parent.inode, &name);
	if (dir < 0)
		return dir;
	keep_known(w, parent.inode, dir, name);
	return unlinkat(dir, name, flags) < 0 ? -errno : 0;
}

ssize_t fuse_op_unlink(struct fuse_worker *w, struct fuse_request *q)
{
	return remove_name(w, q, 0);
}

ssize_t fuse_op_rmdir(struct fuse_worker *w, struct fuse_request *q)
{
	return remove_name(w, q, AT_REMOVEDIR);
}

static ssize_t rename_name(struct fuse_worker *w, struct fuse_request *q, uint64_t newdir, unsigned flags)
{
	CLEANUP_FUSE_INODE struct fuse_inode_ref from = { .s = w->s }, to = { .s = w->s }, moved = { .s = w->s },
						 replaced = { .s = w->s };
	const char *name, *new_name;

	if (flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT))
		return -EINVAL;
	int dir = writable_dir(w, q, &from.inode, &name);
	if (dir < 0)
		return dir;
	int r = fuse_take_name(q, &new_name);
	if (r < 0)
		return r;
	to.inode = fuse_inode_get(w->s, newdir);
	if (!to.inode)
		return -ESTALE;
	if (to.inode == &w->s->root || to.inode->key.share != from.inode->key.share)
		return -EXDEV;
	int new_dir = fuse_inode_fd(w->s, to.inode);
	if (new_dir < 0)
		return new_dir;
	/* A whiteout is left behind, with the owner of who renames. */
	if (flags & RENAME_WHITEOUT)
		r = fuse_creds_owner(&w->creds, &q->h, 0);
	if (r < 0)
		return r;
	moved.inode = fuse_inode_known(w->s, from.inode, dir, name);
	replaced.inode = flags & RENAME_NOREPLACE ? NULL : fuse_inode_known(w->s, to.inode, new_dir, new_name);
	if (replaced.inode && !(flags & RENAME_EXCHANGE))
		fuse_inode_keep(w->s, replaced.inode, to.inode->nodeid, new_name);
	/* The C library would take another call when there are no flags. */
	if (syscall(SYS_renameat2, dir, name, new_dir, new_name, flags) < 0)
		return -errno;
	if (moved.inode)
		fuse_inode_renamed(w->s, moved.inode, to.inode->nodeid, new_name);
	if (replaced.inode && flags & RENAME_EXCHANGE)
		fuse_inode_renamed(w->s, replaced.inode, from.inode->nodeid, name);
	return 0;
}

ssize_t fuse_op_rename(struct fuse_worker *w, struct fuse_request *q)
{
	struct fuse_rename_in in;
	return FUSE_TAKE(q, in) < 0 ? -EINVAL : rename_name(w, q, in.newdir, 0);
}

ssize_t fuse_op_rename2(struct fuse_worker *w, struct fuse_request *q)
{
	struct fuse_rename2_in in;
	return FUSE_TAKE(q, in) < 0 ? -EINVAL : rename_name(w, q, in.newdir, in.flags);
}
