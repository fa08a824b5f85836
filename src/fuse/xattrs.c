/* SPDX-License-Identifier: Apache-2.0 */
/* Extended attributes: the user's, ACLs and file capabilities. Others mean
 * something to the host (labels, signatures) or are its root's. */
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/xattr.h>

#include "fuse_internal.h"
#include "str.h"

#define VALUE_MAX 65536

static int check_name(const char *name)
{
	if (str_starts_with(name, "user.") && name[5])
		return 0;
	if (str_eq(name, "security.capability") || str_eq(name, "system.posix_acl_access") ||
	    str_eq(name, "system.posix_acl_default"))
		return 0;
	return str_starts_with(name, "trusted.") ? -EPERM : -EOPNOTSUPP;
}

/* The object as a path, in @path. */
static int path_of(struct fuse_worker *w, struct fuse_request *q, bool is_change, struct fuse_inode **ret,
		   struct fuse_fd_path *path)
{
	*ret = fuse_inode_get(w->s, q->h.nodeid);
	if (!*ret)
		return -ESTALE;
	int r = is_change ? fuse_inode_writable(w->s, *ret) : 0;
	if (r < 0)
		return r;
	int fd = fuse_inode_fd(w->s, *ret);
	if (fd < 0)
		return fd;
	*path = fuse_fd_path(fd);
	return 0;
}

ssize_t fuse_op_setxattr(struct fuse_worker *w, struct fuse_request *q)
{
	CLEANUP_FUSE_INODE struct fuse_inode_ref ref = { .s = w->s };
	struct fuse_setxattr_in in = { 0 };
	struct fuse_fd_path path;

	if (fuse_take_arg(q, &in, w->s->has_setxattr_ext ? sizeof(in) : FUSE_COMPAT_SETXATTR_IN_SIZE) < 0)
		return -EINVAL;
	const char *name = fuse_take_string(q, XATTR_NAME_MAX);
	if (!name || in.size > q->len || in.size > VALUE_MAX)
		return -EINVAL;
	int r = check_name(name);
	if (r == 0)
		r = path_of(w, q, true, &ref.inode, &path);
	if (r < 0)
		return r;
	if (in.setxattr_flags & FUSE_SETXATTR_ACL_KILL_SGID) {
		/* The kernel decides by group and capability of who sets the ACL. */
		r = fuse_creds_owner(&w->creds, &q->h, 022);
		if (r == 0)
			r = fuse_creds_fsetid(&w->creds, false);
	} else {
		r = fuse_creds_fsetid(&w->creds, true);
	}
	if (r == 0 && setxattr(path.text, name, q->arg, in.size, (int)in.flags) < 0)
		r = -errno;
	return r;
}

/* A size when that is what is asked for, otherwise the value itself. */
static ssize_t reply_value(struct fuse_worker *w, uint32_t size, ssize_t n)
{
	if (size == 0) {
		struct fuse_getxattr_out out = { .size = (uint32_t)n };
		memcpy(w->out, &out, sizeof(out));
		return sizeof(out);
	}
	return (size_t)n > size ? -ERANGE : n;
}

ssize_t fuse_op_getxattr(struct fuse_worker *w, struct fuse_request *q)
{
	CLEANUP_FUSE_INODE struct fuse_inode_ref ref = { .s = w->s };
	struct fuse_getxattr_in in;
	struct fuse_fd_path path;

	if (FUSE_TAKE(q, in) < 0)
		return -EINVAL;
	const char *name = fuse_take_string(q, XATTR_NAME_MAX);
	if (!name)
		return -EINVAL;
	int r = check_name(name);
	if (r < 0)
		return r == -EPERM ? -ENODATA : r;
	if (q->h.nodeid == FUSE_ROOT_ID)
		return -ENODATA;
	r = path_of(w, q, false, &ref.inode, &path);
	if (r < 0)
		return r;
	ssize_t n = getxattr(path.text, name, w->out, in.size ? in.size < VALUE_MAX ? in.size : VALUE_MAX : 0);
	/* Without ACLs on the host's file system there is none; as an error the
	 * guest's kernel would refuse all access. */
	if (n < 0 && errno == EOPNOTSUPP && str_starts_with(name, "system."))
		return -ENODATA;
	return n < 0 ? -errno : reply_value(w, in.size, n);
}

ssize_t fuse_op_listxattr(struct fuse_worker *w, struct fuse_request *q)
{
	CLEANUP_FUSE_INODE struct fuse_inode_ref ref = { .s = w->s };
	struct fuse_getxattr_in in;
	struct fuse_fd_path path;

	if (FUSE_TAKE(q, in) < 0)
		return -EINVAL;
	if (q->h.nodeid == FUSE_ROOT_ID)
		return reply_value(w, in.size, 0);
	int r = path_of(w, q, false, &ref.inode, &path);
	if (r < 0)
		return r;
	char *names = (char *)w->out;
	ssize_t n = listxattr(path.text, names, VALUE_MAX);
	if (n < 0)
		return -errno;
	size_t kept = 0;
	for (ssize_t at = 0; at < n;) {
		size_t len = strlen(names + at) + 1;
		if (check_name(names + at) == 0) {
			memmove(names + kept, names + at, len);
			kept += len;
		}
		at += (ssize_t)len;
	}
	return reply_value(w, in.size, (ssize_t)kept);
}

ssize_t fuse_op_removexattr(struct fuse_worker *w, struct fuse_request *q)
{
	CLEANUP_FUSE_INODE struct fuse_inode_ref ref = { .s = w->s };
	struct fuse_fd_path path;

	const char *name = fuse_take_string(q, XATTR_NAME_MAX);
	if (!name)
		return -EINVAL;
	int r = check_name(name);
	if (r == 0)
		r = path_of(w, q, true, &ref.inode, &path);
	return r < 0 ? r : removexattr(path.text, name) < 0 ? -errno : 0;
}
