/* SPDX-License-Identifier: Apache-2.0 */
/* Files and directories the guest has open. */
#include <errno.h>
#include <string.h>

#include "fuse_internal.h"

int fuse_handles_init(struct fuse_server *s)
{
	s->handles_max = s->config.fds_max / 2;
	s->handle_slots = calloc(s->handles_max, sizeof(struct fuse_handle *));
	return s->handle_slots ? 0 : -ENOMEM;
}

static void free_handle(struct fuse_server *s, struct fuse_handle *h)
{
	pthread_mutex_destroy(&h->lock);
	free(h->entries);
	free(h);
}

void fuse_handles_done(struct fuse_server *s)
{
	for (size_t i = 0; i < s->handles_max; i++) {
		struct fuse_handle *h = s->handle_slots ? s->handle_slots[i] : NULL;
		if (!h)
			continue;
		if (h->fd >= 0)
			close(h->fd);
		free_handle(s, h);
	}
	free(s->handle_slots);
}

int fuse_fds_reserve(struct fuse_server *s)
{
	pthread_mutex_lock(&s->lock);
	bool is_room = s->handle_fds < s->handles_max;
	s->handle_fds += is_room;
	pthread_mutex_unlock(&s->lock);
	return is_room ? 0 : -ENFILE;
}

void fuse_fds_release(struct fuse_server *s)
{
	pthread_mutex_lock(&s->lock);
	s->handle_fds--;
	pthread_mutex_unlock(&s->lock);
}

int fuse_handle_new(struct fuse_server *s, struct fuse_inode *inode, int fd, bool is_dir, uint64_t *ret)
{
	CLEANUP_FD int own = fd;
	int r = fuse_fds_reserve(s);
	if (r < 0)
		return r;
	struct fuse_handle *h = calloc(1, sizeof(*h));
	if (!h) {
		fuse_fds_release(s);
		return -ENOMEM;
	}
	pthread_mutex_init(&h->lock, NULL);
	h->is_dir = is_dir;
	h->inode = inode;
	h->fd = TAKE_FD(own);
	pthread_mutex_lock(&s->lock);
	/* There is a free place: there are no more places than descriptors. */
	while (s->handle_slots[s->handle_hint])
		s->handle_hint = (s->handle_hint + 1) % s->handles_max;
	h->fh = (uint64_t)++s->handle_generation << 32 | s->handle_hint;
	s->handle_slots[s->handle_hint] = h;
	h->next = inode->handles;
	inode->handles = h;
	*ret = h->fh;
	pthread_mutex_unlock(&s->lock);
	return 0;
}

struct fuse_handle *fuse_handle_get(struct fuse_server *s, uint64_t fh, bool is_dir)
{
	size_t slot = (uint32_t)fh;
	pthread_mutex_lock(&s->lock);
	struct fuse_handle *h = slot < s->handles_max ? s->handle_slots[slot] : NULL;
	if (h && h->fh == fh && h->is_dir == is_dir && !h->is_gone)
		h->refs++;
	else
		h = NULL;
	pthread_mutex_unlock(&s->lock);
	return h;
}

static void unlink_handle(struct fuse_server *s, struct fuse_handle *h)
{
	struct fuse_handle **at = &h->inode->handles;
	while (*at != h)
		at = &(*at)->next;
	*at = h->next;
	fuse_inode_drop_unused(s, h->inode);
	s->handle_slots[(uint32_t)h->fh] = NULL;
	s->handle_hint = (uint32_t)h->fh;
	s->handle_fds--;
}

void fuse_handle_put(struct fuse_server *s, struct fuse_handle *h)
{
	pthread_mutex_lock(&s->lock);
	bool is_last = --h->refs == 0 && h->is_gone;
	if (is_last)
		unlink_handle(s, h);
	pthread_mutex_unlock(&s->lock);
	if (!is_last)
		return;
	/* May take long: the last close of a large unlinked file. */
	if (h->fd >= 0)
		close(h->fd);
	free_handle(s, h);
}

void fuse_handle_release(struct fuse_server *s, struct fuse_handle *h)
{
	pthread_mutex_lock(&s->lock);
	h->is_gone = true;
	pthread_mutex_unlock(&s->lock);
}
