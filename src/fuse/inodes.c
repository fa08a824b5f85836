/* SPDX-License-Identifier: Apache-2.0 */
/* The objects the guest knows. Descriptors are the scarce part (a guest may
 * know a million names): the ones not used for the longest time are closed,
 * files before directories, and reopened by name when needed. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "fuse_internal.h"
#include "str.h"

#define HASH_MIN 1024
/* How far up to go to reopen by name. */
#define DEPTH_MAX 512
/* Entries in use that are passed over to find one to close. */
#define EVICT_TRIES 64

static bool is_same(const struct fuse_key *a, const struct fuse_key *b)
{
	return a->dev == b->dev && a->ino == b->ino && a->mount == b->mount && a->birth == b->birth && a->type == b->type &&
	       a->share == b->share;
}

static struct fuse_key key_of(uint16_t share, const struct statx *stx)
{
	struct fuse_key key = {
		.dev = makedev(stx->stx_dev_major, stx->stx_dev_minor),
		.ino = stx->stx_ino,
		.type = stx->stx_mode & S_IFMT,
		.share = share,
	};
	if (stx->stx_mask & STATX_MNT_ID)
		key.mount = stx->stx_mnt_id;
	if (stx->stx_mask & STATX_BTIME)
		key.birth = (uint64_t)stx->stx_btime.tv_sec * 1000000000u + stx->stx_btime.tv_nsec;
	return key;
}

static size_t bucket_of(const struct fuse_server *s, const struct fuse_key *key)
{
	uint64_t h = (key->ino ^ key->dev << 40 ^ (uint64_t)key->share << 56 ^ key->mount << 32) * 0x9e3779b97f4a7c15u;
	return (size_t)(h >> 32) & (s->hash_n - 1);
}

/* ---- descriptors in order of use */

static struct fuse_lru *lru_of(struct fuse_server *s, const struct fuse_inode *inode)
{
	return S_ISDIR(inode->key.type) ? &s->dirs : &s->files;
}

static void lru_remove(struct fuse_server *s, struct fuse_inode *inode)
{
	struct fuse_lru *lru = lru_of(s, inode);
	if (!inode->is_listed)
		return;
	*(inode->lru_prev ? &inode->lru_prev->lru_next : &lru->first) = inode->lru_next;
	*(inode->lru_next ? &inode->lru_next->lru_prev : &lru->last) = inode->lru_prev;
	inode->lru_prev = inode->lru_next = NULL;
	inode->is_listed = false;
}

static void lru_add(struct fuse_server *s, struct fuse_inode *inode)
{
	struct fuse_lru *lru = lru_of(s, inode);
	if (inode->is_listed || inode->is_kept || inode->fd < 0)
		return;
	inode->lru_prev = lru->last;
	*(lru->last ? &lru->last->lru_next : &lru->first) = inode;
	lru->last = inode;
	inode->is_listed = true;
}

static bool evict_from(struct fuse_server *s, struct fuse_lru *lru)
{
	struct fuse_inode *inode = lru->first;
	for (int i = 0; inode && i < EVICT_TRIES; i++, inode = inode->lru_next) {
		if (inode->refs)
			continue;
		lru_remove(s, inode);
		close(inode->fd);
		inode->fd = -1;
		s->inode_fds--;
		return true;
	}
	return false;
}

/* Give @inode the descriptor @fd, unless there is no room. */
static int adopt(struct fuse_server *s, struct fuse_inode *inode, int fd)
{
	if (s->inode_fds >= s->config.fds_max / 2 && !evict_from(s, &s->files) && !evict_from(s, &s->dirs)) {
		close(fd);
		return -ENFILE;
	}
	inode->fd = fd;
	s->inode_fds++;
	lru_add(s, inode);
	return fd;
}

/* ---- the table */

int fuse_inodes_init(struct fuse_server *s)
{
	s->slots_max = 1024;
	s->hash_n = HASH_MIN;
	s->slots = calloc(s->slots_max, sizeof(struct fuse_inode *));
	s->free_slots = calloc(s->slots_max, sizeof(*s->free_slots));
	s->hash = calloc(s->hash_n, sizeof(struct fuse_inode *));
	if (!s->slots || !s->free_slots || !s->hash)
		return -ENOMEM;
	s->root = (struct fuse_inode){ .nodeid = FUSE_ROOT_ID, .fd = -1, .lookups = 1, .key.type = S_IFDIR };
	s->slots[0] = &s->root;
	s->slots_n = 1;
	return 0;
}

static void release(struct fuse_server *s, struct fuse_inode *inode)
{
	fuse_locks_drop(s, inode, true, 0);
	lru_remove(s, inode);
	s->kept_n -= inode->is_kept;
	if (inode->fd >= 0) {
		if (inode->is_kept && s->late_n < FUSE_LATE_MAX)
			s->late_fds[s->late_n++] = inode->fd;
		else
			close(inode->fd);
		s->inode_fds--;
	}
	free(inode->name);
	free(inode);
}

void fuse_inodes_done(struct fuse_server *s)
{
	for (size_t i = 1; i < s->slots_n; i++)
		if (s->slots[i])
			release(s, s->slots[i]);
	for (size_t i = 0; i < s->late_n; i++)
		close(s->late_fds[i]);
	free(s->slots);
	free(s->free_slots);
	free(s->hash);
}

static int grow_slots(struct fuse_server *s)
{
	size_t n = s->slots_max * 2;
	struct fuse_inode **slots = realloc(s->slots, n * sizeof(struct fuse_inode *));
	if (!slots)
		return -ENOMEM;
	s->slots = slots;
	uint32_t *list = realloc(s->free_slots, n * sizeof(*list));
	if (!list)
		return -ENOMEM;
	s->free_slots = list;
	s->slots_max = n;
	return 0;
}

/* A failure only makes the chains longer. */
static void grow_hash(struct fuse_server *s)
{
	size_t old_n = s->hash_n;
	struct fuse_inode **old = s->hash, **new = calloc(old_n * 2, sizeof(struct fuse_inode *));
	if (!new)
		return;
	s->hash = new;
	s->hash_n = old_n * 2;
	for (size_t i = 0; i < old_n; i++) {
		for (struct fuse_inode *inode = old[i], *next; inode; inode = next) {
			next = inode->hash_next;
			struct fuse_inode **bucket = &s->hash[bucket_of(s, &inode->key)];
			inode->hash_next = *bucket;
			*bucket = inode;
		}
	}
	free(old);
}

static struct fuse_inode *find(struct fuse_server *s, const struct fuse_key *key)
{
	struct fuse_inode *inode = s->hash[bucket_of(s, key)];
	while (inode && !is_same(&inode->key, key))
		inode = inode->hash_next;
	return inode;
}

static struct fuse_inode *add(struct fuse_server *s, const struct fuse_key *key)
{
	if (s->inodes_n >= s->config.inodes_max || (!s->free_n && s->slots_n == s->slots_max && grow_slots(s) < 0))
		return NULL;
	struct fuse_inode *inode = calloc(1, sizeof(*inode));
	if (!inode)
		return NULL;
	if (s->inodes_n >= s->hash_n)
		grow_hash(s);
	uint32_t slot = s->free_n ? s->free_slots[--s->free_n] : (uint32_t)s->slots_n++;
	*inode = (struct fuse_inode){ .nodeid = (uint64_t)++s->generation << 32 | (slot + 1), .fd = -1, .key = *key };
	s->slots[slot] = inode;
	struct fuse_inode **bucket = &s->hash[bucket_of(s, key)];
	inode->hash_next = *bucket;
	*bucket = inode;
	s->inodes_n++;
	return inode;
}

void fuse_inode_drop_unused(struct fuse_server *s, struct fuse_inode *inode)
{
	if (inode->lookups || inode->refs || inode->handles || inode == &s->root || inode->parent == FUSE_ROOT_ID)
		return;
	uint32_t slot = (uint32_t)inode->nodeid - 1;
	struct fuse_inode **at = &s->hash[bucket_of(s, &inode->key)];
	while (*at != inode)
		at = &(*at)->hash_next;
	*at = inode->hash_next;
	s->slots[slot] = NULL;
	s->free_slots[s->free_n++] = slot;
	s->inodes_n--;
	release(s, inode);
}

/* Give up the lock. */
static void unlock(struct fuse_server *s)
{
	int fds[FUSE_LATE_MAX];
	size_t n = s->late_n;
	for (size_t i = 0; i < n; i++)
		fds[i] = s->late_fds[i];
	s->late_n = 0;
	pthread_mutex_unlock(&s->lock);
	for (size_t i = 0; i < n; i++)
		close(fds[i]);
}

static struct fuse_inode *get_locked(struct fuse_server *s, uint64_t nodeid)
{
	size_t slot = (size_t)(uint32_t)nodeid - 1;
	struct fuse_inode *inode = slot < s->slots_n ? s->slots[slot] : NULL;
	if (!inode || inode->nodeid != nodeid)
		return NULL;
	inode->refs++;
	return inode;
}

struct fuse_inode *fuse_inode_get(struct fuse_server *s, uint64_t nodeid)
{
	pthread_mutex_lock(&s->lock);
	struct fuse_inode *inode = get_locked(s, nodeid);
	pthread_mutex_unlock(&s->lock);
	return inode;
}

void fuse_inode_put(struct fuse_server *s, struct fuse_inode *inode)
{
	pthread_mutex_lock(&s->lock);
	inode->refs--;
	fuse_inode_drop_unused(s, inode);
	unlock(s);
}

void fuse_inode_forget(struct fuse_server *s, uint64_t nodeid, uint64_t n)
{
	pthread_mutex_lock(&s->lock);
	struct fuse_inode *inode = get_locked(s, nodeid);
	if (inode) {
		inode->refs--;
		inode->lookups -= n < inode->lookups ? n : inode->lookups;
		fuse_inode_drop_unused(s, inode);
	}
	unlock(s);
}

/* ---- reaching an object */

static int inode_fd(struct fuse_server *s, struct fuse_inode *inode, unsigned depth);

/* The descriptor of the directory the inode was last seen in and a copy of its
 * name there; *ret_parent is the caller's to put. */
static int name_of(struct fuse_server *s, struct fuse_inode *inode, unsigned depth, struct fuse_inode **ret_parent,
		   char **ret_name)
{
	pthread_mutex_lock(&s->lock);
	struct fuse_inode *parent = inode->name && inode->parent ? get_locked(s, inode->parent) : NULL;
	char *name = parent ? str_dup(inode->name) : NULL;
	pthread_mutex_unlock(&s->lock);
	*ret_parent = parent;
	*ret_name = name;
	if (!parent)
		return -ESTALE;
	return depth >= DEPTH_MAX ? -ESTALE : inode_fd(s, parent, depth + 1);
}

static int inode_fd(struct fuse_server *s, struct fuse_inode *inode, unsigned depth)
{
	CLEANUP_FUSE_INODE struct fuse_inode_ref parent = { .s = s };
	CLEANUP_FREE char *name = NULL;
	CLEANUP_FD int fd = -1;
	struct statx stx;

	if (inode == &s->root)
		return -EOPNOTSUPP;
	pthread_mutex_lock(&s->lock);
	int r = inode->fd;
	if (r < 0 && inode->handles) {
		/* Open, and so reachable whatever its name is now. */
		r = fuse_reopen(inode->handles->fd, O_PATH);
		if (r >= 0)
			r = adopt(s, inode, r);
	} else if (r >= 0 && inode->is_listed && lru_of(s, inode)->last != inode) {
		lru_remove(s, inode);
		lru_add(s, inode);
	}
	pthread_mutex_unlock(&s->lock);
	if (r >= 0)
		return r;

	int dir = name_of(s, inode, depth, &parent.inode, &name);
	if (dir < 0)
		return dir;
	fd = fuse_open_beneath(dir, name, O_PATH | O_NOFOLLOW, 0);
	if (fd < 0)
		return fd == -ENOENT ? -ESTALE : fd;
	r = fuse_statx(fd, "", &stx);
	if (r < 0)
		return r;
	struct fuse_key key = key_of(inode->key.share, &stx);
	if (!is_same(&key, &inode->key))
		return -ESTALE;
	pthread_mutex_lock(&s->lock);
	r = inode->fd >= 0 ? inode->fd : adopt(s, inode, TAKE_FD(fd));
	pthread_mutex_unlock(&s->lock);
	return r;
}

int fuse_inode_fd(struct fuse_server *s, struct fuse_inode *inode)
{
	return inode_fd(s, inode, 0);
}

int fuse_inode_stat(struct fuse_server *s, struct fuse_inode *inode, struct statx *stx)
{
	CLEANUP_FUSE_INODE struct fuse_inode_ref parent = { .s = s };
	CLEANUP_FREE char *name = NULL;

	pthread_mutex_lock(&s->lock);
	int fd = inode->fd;
	bool is_open = fd >= 0 || inode->handles;
	pthread_mutex_unlock(&s->lock);
	if (fd >= 0)
		return fuse_statx(fd, "", stx);
	/* Without a descriptor a look at the name will do. */
	if (!is_open && inode != &s->root) {
		int dir = name_of(s, inode, 0, &parent.inode, &name);
		if (dir < 0)
			return dir;
		int r = fuse_statx(dir, name, stx);
		struct fuse_key key = r == 0 ? key_of(inode->key.share, stx) : (struct fuse_key){ 0 };
		if (r == -ENOENT || (r == 0 && !is_same(&key, &inode->key)))
			return -ESTALE;
		return r;
	}
	fd = fuse_inode_fd(s, inode);
	return fd < 0 ? fd : fuse_statx(fd, "", stx);
}

int fuse_inode_writable(struct fuse_server *s, const struct fuse_inode *inode)
{
	return inode == &s->root || fuse_share_of(s, inode)->flags & FUSE_SHARE_READ_ONLY ? -EROFS : 0;
}

/* ---- getting to know an object */

static void set_name(struct fuse_inode *inode, uint64_t parent, const char *name)
{
	if (inode->parent == FUSE_ROOT_ID || (inode->parent == parent && str_eq(inode->name, name)))
		return;
	free(inode->name);
	inode->name = str_dup(name);
	inode->parent = parent;
}

int fuse_inode_enter(struct fuse_server *s, struct fuse_inode *parent, int dir, const char *name,
		     const struct statx *stx, uint64_t lookups, struct fuse_inode **ret)
{
	struct fuse_key key = key_of(parent->key.share, stx);
	if (key.dev != parent->key.dev) {
		int r = fuse_device_admit(s, key.dev, dir, name);
		if (r < 0)
			return r;
	}
	pthread_mutex_lock(&s->lock);
	struct fuse_inode *inode = find(s, &key);
	if (!inode)
		inode = add(s, &key);
	if (inode) {
		inode->lookups += lookups;
		inode->refs++;
		set_name(inode, parent->nodeid, name);
		/* It has a name again. */
		if (inode->is_kept && inode->parent != FUSE_ROOT_ID) {
			inode->is_kept = false;
			s->kept_n--;
			lru_add(s, inode);
		}
	}
	pthread_mutex_unlock(&s->lock);
	*ret = inode;
	return inode ? 0 : -ENFILE;
}

int fuse_inode_enter_root(struct fuse_server *s, size_t share, int fd, struct err *err)
{
	const char *name = s->shares[share].name;
	struct statx stx;
	int r = fuse_statx(fd, "", &stx);
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "share %s", name);
	struct fuse_key key = key_of((uint16_t)share, &stx);
	if (!S_ISDIR(key.type) && !S_ISREG(key.type))
		return err_set(err, ERR_INVALID, 0, "share %s: neither a directory nor a regular file", name);
	r = fuse_device_admit(s, key.dev, fd, NULL);
	if (r == -EACCES)
		return err_set(err, ERR_UNSUPPORTED, 0, "share %s: procfs cannot be shared", name);
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "share %s", name);
	int own = fuse_reopen(fd, O_PATH);
	if (own < 0)
		return err_set(err, ERR_SYSTEM, own, "share %s", name);
	struct fuse_inode *inode = add(s, &key);
	if (!inode) {
		close(own);
		return err_set(err, ERR_SYSTEM, -ENOMEM, "share %s", name);
	}
	inode->parent = FUSE_ROOT_ID;
	inode->is_kept = true;
	s->kept_n++;
	inode->fd = own;
	s->inode_fds++;
	s->shares[share].root = inode->nodeid;
	return 0;
}

struct fuse_inode *fuse_inode_known(struct fuse_server *s, struct fuse_inode *parent, int dir, const char *name)
{
	struct statx stx;
	if (fuse_statx(dir, name, &stx) < 0)
		return NULL;
	struct fuse_key key = key_of(parent->key.share, &stx);
	pthread_mutex_lock(&s->lock);
	struct fuse_inode *inode = find(s, &key);
	if (inode)
		inode->refs++;
	pthread_mutex_unlock(&s->lock);
	return inode;
}

void fuse_inode_keep(struct fuse_server *s, struct fuse_inode *inode, uint64_t parent, const char *name)
{
	pthread_mutex_lock(&s->lock);
	bool is_needed = inode->parent == parent && str_eq(inode->name, name) && !inode->is_kept;
	pthread_mutex_unlock(&s->lock);
	/* It has another name by which it is known. */
	if (!is_needed)
		return;
	int fd = fuse_inode_fd(s, inode);
	pthread_mutex_lock(&s->lock);
	/* Names that go and are never forgotten must not take all descriptors. */
	if (fd >= 0 && !inode->is_kept && s->kept_n < s->config.fds_max / 4) {
		lru_remove(s, inode);
		inode->is_kept = true;
		s->kept_n++;
	}
	pthread_mutex_unlock(&s->lock);
}

void fuse_inode_renamed(struct fuse_server *s, struct fuse_inode *inode, uint64_t parent, const char *name)
{
	pthread_mutex_lock(&s->lock);
	set_name(inode, parent, name);
	pthread_mutex_unlock(&s->lock);
}
