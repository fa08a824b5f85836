/* SPDX-License-Identifier: Apache-2.0 */
/* Locks of the guest's processes as locks of the host, so that they hold
 * against its other processes, too. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>

#include "fuse_internal.h"

/* ---- owners of POSIX locks */

static void free_owner(struct fuse_server *s, struct fuse_lock_owner *o)
{
	close(o->fd);
	s->handle_fds--;
	free(o);
}

void fuse_locks_drop(struct fuse_server *s, struct fuse_inode *inode, bool all, uint64_t owner)
{
	struct fuse_lock_owner **at = &inode->owners;
	while (*at) {
		struct fuse_lock_owner *o = *at;
		if (!all && o->owner != owner) {
			at = &o->next;
			continue;
		}
		*at = o->next;
		o->is_gone = true;
		if (o->refs == 0)
			free_owner(s, o);
	}
}

static void put_owner(struct fuse_server *s, struct fuse_lock_owner *o)
{
	pthread_mutex_lock(&s->lock);
	if (--o->refs == 0 && o->is_gone)
		free_owner(s, o);
	pthread_mutex_unlock(&s->lock);
}

static struct fuse_lock_owner *find_owner(struct fuse_inode *inode, uint64_t owner)
{
	struct fuse_lock_owner *o = inode->owners;
	while (o && o->owner != owner)
		o = o->next;
	return o;
}

/* The owner with a reference; made if it is not there. */
static int get_owner(struct fuse_server *s, struct fuse_inode *inode, uint64_t owner, struct fuse_lock_owner **ret)
{
	pthread_mutex_lock(&s->lock);
	struct fuse_lock_owner *o = find_owner(inode, owner);
	if (o)
		o->refs++;
	pthread_mutex_unlock(&s->lock);
	*ret = o;
	if (o)
		return 0;
	if (!S_ISREG(inode->key.type))
		return -EINVAL;
	if (fuse_fds_reserve(s) < 0)
		return -ENOLCK;
	int path = fuse_inode_fd(s, inode);
	int fd = path < 0 ? path : fuse_reopen(path, O_RDWR);
	/* Enough to lock for reading; the guest's kernel asks for no more then. */
	if (path >= 0 && fd < 0)
		fd = fuse_reopen(path, O_RDONLY);
	o = fd < 0 ? NULL : calloc(1, sizeof(*o));
	if (!o) {
		if (fd >= 0)
			close(fd);
		fuse_fds_release(s);
		return fd < 0 ? fd : -ENOMEM;
	}
	*o = (struct fuse_lock_owner){ .owner = owner, .fd = fd, .refs = 1 };
	pthread_mutex_lock(&s->lock);
	struct fuse_lock_owner *other = find_owner(inode, owner);
	if (other) {
		free_owner(s, o);
		o = other;
		o->refs++;
	} else {
		o->next = inode->owners;
		inode->owners = o;
	}
	pthread_mutex_unlock(&s->lock);
	*ret = o;
	return 0;
}

/* ---- waiting */

/* Between the two an INTERRUPT sends signals until the wait is over. */
static int wait_begin(struct fuse_worker *w)
{
	fuse_may_block(w);
	pthread_mutex_lock(&w->s->lock);
	bool is_interrupted = w->is_interrupted;
	w->is_waiting = !is_interrupted;
	pthread_mutex_unlock(&w->s->lock);
	return is_interrupted ? -EINTR : 0;
}

static void wait_end(struct fuse_worker *w)
{
	pthread_mutex_lock(&w->s->lock);
	w->is_waiting = false;
	pthread_mutex_unlock(&w->s->lock);
}

/* ---- the operations */

static int to_host(const struct fuse_file_lock *lk, struct flock *fl)
{
	if ((lk->type != F_RDLCK && lk->type != F_WRLCK && lk->type != F_UNLCK) || lk->start > INT64_MAX || lk->end < lk->start)
		return -EINVAL;
	*fl = (struct flock){ .l_type = (short)lk->type, .l_whence = SEEK_SET, .l_start = (off_t)lk->start };
	/* To the end of the file, wherever that is. */
	if (lk->end < INT64_MAX)
		fl->l_len = (off_t)(lk->end - lk->start + 1);
	return 0;
}

/* The guest's process that holds the lock @held; 0: it is another's, or the host's.
 * Whoever holds it does not see it as a conflict. */
static uint32_t holder_of(struct fuse_server *s, struct fuse_inode *inode, uint64_t asking, const struct flock *held)
{
	uint32_t pid = 0;
	if (held->l_type == F_UNLCK || held->l_pid != -1)
		return 0;
	pthread_mutex_lock(&s->lock);
	for (struct fuse_lock_owner *o = inode->owners; o && !pid; o = o->next) {
		struct flock fl = { .l_type = F_WRLCK, .l_start = held->l_start, .l_len = held->l_len };
		if (o->owner == asking || fcntl(o->fd, F_OFD_GETLK, &fl) < 0)
			continue;
		if (fl.l_type == F_UNLCK || fl.l_start != held->l_start || fl.l_len != held->l_len)
			pid = o->pid;
	}
	pthread_mutex_unlock(&s->lock);
	return pid;
}

ssize_t fuse_op_getlk(struct fuse_worker *w, struct fuse_request *q)
{
	CLEANUP_FUSE_INODE struct fuse_inode_ref ref = { w->s, fuse_inode_get(w->s, q->h.nodeid) };
	struct fuse_lk_out out = { 0 };
	struct fuse_lock_owner *o;
	struct fuse_lk_in in;
	struct flock fl;

	if (!ref.inode)
		return -ESTALE;
	if (FUSE_TAKE(q, in) < 0)
		return -EINVAL;
	int r = to_host(&in.lk, &fl);
	if (r == 0)
		r = get_owner(w->s, ref.inode, in.owner, &o);
	if (r < 0)
		return r;
	r = fcntl(o->fd, F_OFD_GETLK, &fl) < 0 ? -errno : 0;
	put_owner(w->s, o);
	if (r < 0)
		return r;
	out.lk = (struct fuse_file_lock){ .type = (uint32_t)fl.l_type, .pid = holder_of(w->s, ref.inode, in.owner, &fl) };
	if (fl.l_type != F_UNLCK) {
		out.lk.start = (uint64_t)fl.l_start;
		out.lk.end = fl.l_len ? (uint64_t)(fl.l_start + fl.l_len - 1) : INT64_MAX;
	}
	memcpy(w->out, &out, sizeof(out));
	return sizeof(out);
}

static int lock_whole(struct fuse_worker *w, const struct fuse_lk_in *in, bool waits)
{
	CLEANUP_FUSE_HANDLE struct fuse_handle_ref h = { w->s, fuse_handle_get(w->s, in->fh, false) };
	if (!h.handle)
		h.handle = fuse_handle_get(w->s, in->fh, true);
	if (!h.handle)
		return -EBADF;
	int op = in->lk.type == F_RDLCK ? LOCK_SH : in->lk.type == F_WRLCK ? LOCK_EX : LOCK_UN;
	int r = flock(h.handle->fd, op | LOCK_NB) < 0 ? -errno : 0;
	if (r != -EWOULDBLOCK || !waits)
		return r;
	r = wait_begin(w);
	if (r < 0)
		return r;
	r = flock(h.handle->fd, op) < 0 ? -errno : 0;
	wait_end(w);
	return r;
}

static ssize_t set_lock(struct fuse_worker *w, struct fuse_request *q, bool waits)
{
	CLEANUP_FUSE_INODE struct fuse_inode_ref ref = { w->s, fuse_inode_get(w->s, q->h.nodeid) };
	struct fuse_lock_owner *o;
	struct fuse_lk_in in;
	struct flock fl;

	if (!ref.inode)
		return -ESTALE;
	if (FUSE_TAKE(q, in) < 0)
		return -EINVAL;
	int r = to_host(&in.lk, &fl);
	if (r < 0)
		return r;
	if (in.lk_flags & FUSE_LK_FLOCK)
		return lock_whole(w, &in, waits);
	r = get_owner(w->s, ref.inode, in.owner, &o);
	if (r < 0)
		return r;
	o->pid = in.lk.pid;
	r = fcntl(o->fd, F_OFD_SETLK, &fl) < 0 ? -errno : 0;
	if (waits && (r == -EAGAIN || r == -EACCES)) {
		r = wait_begin(w);
		if (r == 0) {
			r = fcntl(o->fd, F_OFD_SETLKW, &fl) < 0 ? -errno : 0;
			wait_end(w);
		}
	}
	put_owner(w->s, o);
	return r;
}

ssize_t fuse_op_setlk(struct fuse_worker *w, struct fuse_request *q)
{
	return set_lock(w, q, false);
}

ssize_t fuse_op_setlkw(struct fuse_worker *w, struct fuse_request *q)
{
	return set_lock(w, q, true);
}

/* At each close(): POSIX locks of the process on the file end. */
ssize_t fuse_op_flush(struct fuse_worker *w, struct fuse_request *q)
{
	CLEANUP_FUSE_INODE struct fuse_inode_ref ref = { w->s, fuse_inode_get(w->s, q->h.nodeid) };
	struct fuse_flush_in in;

	if (!ref.inode)
		return -ESTALE;
	if (FUSE_TAKE(q, in) < 0)
		return -EINVAL;
	pthread_mutex_lock(&w->s->lock);
	fuse_locks_drop(w->s, ref.inode, false, in.lock_owner);
	pthread_mutex_unlock(&w->s->lock);
	return 0;
}

ssize_t fuse_op_release(struct fuse_worker *w, struct fuse_request *q)
{
	CLEANUP_FUSE_HANDLE struct fuse_handle_ref h = { .s = w->s };
	struct fuse_release_in in;

	if (FUSE_TAKE(q, in) < 0)
		return -EINVAL;
	h.handle = fuse_handle_get(w->s, in.fh, false);
	if (!h.handle)
		return -EBADF;
	if (in.release_flags & FUSE_RELEASE_FLOCK_UNLOCK)
		flock(h.handle->fd, LOCK_UN);
	fuse_handle_release(w->s, h.handle);
	return 0;
}
