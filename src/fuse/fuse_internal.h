/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the FUSE server share. */
#pragma once

#include <linux/fuse.h>
#include <linux/stat.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/stat.h>

#include "cleanup.h"
#include "fuse_server.h"

#define FUSE_NO_REPLY (-100000)
/* How long what cannot change may be remembered: ten years, in seconds. */
#define FUSE_VALID_EVER (10ull * 365 * 86400)
/* What a share's flag allows. */
#define FUSE_VALID_CACHED 1
/* statx() of everything the server needs. */
#define FUSE_STATX (STATX_BASIC_STATS | STATX_BTIME | STATX_MNT_ID)

struct fuse_handle;
struct fuse_lock_owner;

/* One object of the host, for as long as it lives. The time of birth tells a
 * file from a later one with the same number, where the file system has it. */
struct fuse_key {
	uint64_t dev, ino, mount, birth;
	mode_t type;
	uint16_t share;
};

/* An object the guest knows. It is reached by its descriptor, or, while it has
 * none, by its last known name in its parent: then the key tells whether that
 * still is the same object, and ESTALE makes the guest look again. */
struct fuse_inode {
	uint64_t nodeid;
	/* How often the guest was told of it, less what it has forgotten. */
	uint64_t lookups;
	/* Operations under way. */
	unsigned refs;
	/* O_PATH, or -1. */
	int fd;
	/* The descriptor must stay: a share's root, or the name is gone. */
	bool is_kept;
	bool is_listed;
	struct fuse_key key;
	uint64_t parent;
	char *name;
	struct fuse_handle *handles;
	struct fuse_lock_owner *owners;
	struct fuse_inode *hash_next, *lru_prev, *lru_next;
};

struct fuse_lru {
	struct fuse_inode *first, *last;
};

struct fuse_table_share {
	char *name;
	unsigned flags;
	uint64_t root;
	/* Seconds. */
	uint64_t valid;
};

struct fuse_device {
	uint64_t dev;
	bool is_refused;
};

/* An open file or directory of the guest. */
struct fuse_handle {
	uint64_t fh;
	int fd;
	bool is_dir, is_gone;
	unsigned refs;
	struct fuse_inode *inode;
	struct fuse_handle *next;
	/* Reading a directory. */
	pthread_mutex_t lock;
	char *entries;
	size_t at, end;
	/* The place in the directory that @entries + @at stands for. */
	uint64_t offset;
};

/* A process of the guest that holds POSIX locks on an inode: an open file
 * description of its own, since locks of descriptions (F_OFD_SETLK) conflict
 * with each other and with those of the host's processes. */
struct fuse_lock_owner {
	uint64_t owner;
	/* Its number in the guest. */
	uint32_t pid;
	int fd;
	unsigned refs;
	bool is_gone;
	struct fuse_lock_owner *next;
};

struct fuse_creds {
	bool is_active;
	uid_t uid;
	gid_t gid;
	mode_t umask;
	bool has_fsetid;
	uint64_t capabilities;
};

#define FUSE_DEVICES_MAX 255
#define FUSE_LATE_MAX    16

struct fuse_server {
	struct fuse_server_config config;
	struct fuse_table_share shares[FUSE_SERVER_SHARES_MAX];
	bool has_remote_locks;

	/* Guards all below, and the contents of inodes and handles except where
	 * a handle has a lock of its own. */
	pthread_mutex_t lock;
	struct fuse_inode **slots, **hash, root;
	size_t slots_n, slots_max, hash_n, inodes_n;
	uint32_t *free_slots;
	size_t free_n;
	uint32_t generation;
	struct fuse_lru files, dirs;
	size_t inode_fds, handle_fds, kept_n;
	/* To be closed without the lock: the last close of a deleted file takes
	 * as long as the file is large. */
	int late_fds[FUSE_LATE_MAX];
	size_t late_n;
	struct fuse_handle **handle_slots;
	size_t handles_max, handle_hint;
	uint32_t handle_generation;
	struct fuse_device devices[FUSE_DEVICES_MAX];
	size_t devices_n;
	bool is_started, has_setxattr_ext;
	bool maps_direct_files; /* the guest's kernel can map files with FOPEN_DIRECT_IO */
	struct fuse_worker *workers;
};

struct fuse_worker {
	struct fuse_server *s;
	struct fuse_creds creds;
	pthread_t thread;
	/* Guarded by the server's lock: what INTERRUPT looks for. */
	uint64_t unique;
	bool is_busy, is_interrupted, is_waiting;
	struct fuse_worker *next;
	void (*on_block)(void *ctx);
	void *on_block_ctx;

	const uint8_t *msg;
	size_t msg_len;
	uint8_t *reply;
	/* Where the reply's payload goes, FUSE_DATA_MAX bytes. */
	uint8_t *out;
};

struct fuse_request {
	struct fuse_in_header h;
	const uint8_t *arg;
	size_t len;
};

/* Returns the length of the payload put into w->out, a negative errno, or
 * FUSE_NO_REPLY. */
typedef ssize_t (*fuse_operation)(struct fuse_worker *w, struct fuse_request *q);

/* ---- server.c */
/* Take a fixed part, or a name, from the front of a request. */
int fuse_take_arg(struct fuse_request *q, void *arg, size_t size) MUST_CHECK;
/* Any string up to its NUL. */
const char *fuse_take_string(struct fuse_request *q, size_t max);
/* One component; -EINVAL, -ENAMETOOLONG. */
int fuse_take_name(struct fuse_request *q, const char **ret) MUST_CHECK;
#define FUSE_TAKE(q, arg) fuse_take_arg((q), &(arg), sizeof(arg))
void fuse_reset(struct fuse_server *s);
/* What follows may take long. */
void fuse_may_block(struct fuse_worker *w);

/* ---- creds.c */
int fuse_creds_init(struct fuse_creds *c, bool is_active) MUST_CHECK;
/* Who makes what comes next. */
int fuse_creds_owner(struct fuse_creds *c, const struct fuse_in_header *h, mode_t mask) MUST_CHECK;
/* Whether set-id bits survive what comes next. */
int fuse_creds_fsetid(struct fuse_creds *c, bool has_fsetid) MUST_CHECK;

/* ---- inodes.c */
int fuse_inodes_init(struct fuse_server *s) MUST_CHECK;
void fuse_inodes_done(struct fuse_server *s);
/* The inode with a reference, or NULL: the number means nothing (-ESTALE). */
struct fuse_inode *fuse_inode_get(struct fuse_server *s, uint64_t nodeid);
void fuse_inode_put(struct fuse_server *s, struct fuse_inode *inode);
/* O_PATH descriptor of it; good for as long as the reference. */
int fuse_inode_fd(struct fuse_server *s, struct fuse_inode *inode) MUST_CHECK;
int fuse_inode_stat(struct fuse_server *s, struct fuse_inode *inode, struct statx *stx) MUST_CHECK;
/* The inode of what statx() found as @name in @parent, with a reference;
 * @lookups more are the guest's. Fails with -ENFILE, -EACCES. */
int fuse_inode_enter(struct fuse_server *s, struct fuse_inode *parent, int dir, const char *name,
		     const struct statx *stx, uint64_t lookups, struct fuse_inode **ret) MUST_CHECK;
/* A share's root. */
int fuse_inode_enter_root(struct fuse_server *s, size_t share, int fd, struct err *err) MUST_CHECK;
void fuse_inode_forget(struct fuse_server *s, uint64_t nodeid, uint64_t n);
/* The inode that @dir has as @name, if the guest knows it, with a reference. */
struct fuse_inode *fuse_inode_known(struct fuse_server *s, struct fuse_inode *parent, int dir, const char *name);
/* This name of it is about to go: keep it reachable, if that is the one it is
 * known by. */
void fuse_inode_keep(struct fuse_server *s, struct fuse_inode *inode, uint64_t parent, const char *name);
void fuse_inode_renamed(struct fuse_server *s, struct fuse_inode *inode, uint64_t parent, const char *name);
void fuse_inode_drop_unused(struct fuse_server *s, struct fuse_inode *inode); /* lock held */
static inline const struct fuse_table_share *fuse_share_of(struct fuse_server *s, const struct fuse_inode *inode)
{
	return &s->shares[inode->key.share];
}
/* -EROFS for a share that is not to be written, and for the root. */
int fuse_inode_writable(struct fuse_server *s, const struct fuse_inode *inode) MUST_CHECK;

struct fuse_inode_ref {
	struct fuse_server *s;
	struct fuse_inode *inode;
};
static inline void fuse_inode_ref_done(struct fuse_inode_ref *ref)
{
	if (ref->inode)
		fuse_inode_put(ref->s, ref->inode);
}
#define CLEANUP_FUSE_INODE CLEANUP(fuse_inode_ref_done)

/* ---- devices.c */
/* Whether objects of the file system @dev may be told of: -EACCES. @name in @dir, or
 * @dir itself, is one of them. */
int fuse_device_admit(struct fuse_server *s, uint64_t dev, int dir, const char *name) MUST_CHECK;
/* Asked again of what is to be opened: numbers without a disk are given anew once
 * their file system is gone. */
int fuse_device_check(int fd, uint64_t dev) MUST_CHECK;
uint64_t fuse_inode_number(struct fuse_server *s, uint16_t share, uint64_t dev, uint64_t ino);

/* ---- handles.c */
int fuse_handles_init(struct fuse_server *s) MUST_CHECK;
void fuse_handles_done(struct fuse_server *s);
/* Takes @fd in any case. */
int fuse_handle_new(struct fuse_server *s, struct fuse_inode *inode, int fd, bool is_dir, uint64_t *ret) MUST_CHECK;
struct fuse_handle *fuse_handle_get(struct fuse_server *s, uint64_t fh, bool is_dir);
void fuse_handle_put(struct fuse_server *s, struct fuse_handle *h);
void fuse_handle_release(struct fuse_server *s, struct fuse_handle *h);
/* Room for one more descriptor beside those of inodes: -ENFILE. */
int fuse_fds_reserve(struct fuse_server *s) MUST_CHECK;
void fuse_fds_release(struct fuse_server *s);

struct fuse_handle_ref {
	struct fuse_server *s;
	struct fuse_handle *handle;
};
static inline void fuse_handle_ref_done(struct fuse_handle_ref *ref)
{
	if (ref->handle)
		fuse_handle_put(ref->s, ref->handle);
}
#define CLEANUP_FUSE_HANDLE CLEANUP(fuse_handle_ref_done)

/* ---- attr.c */
/* A path for the calls that take no descriptor: digits below /proc/self/fd. */
struct fuse_fd_path {
	char text[12];
};
struct fuse_fd_path fuse_fd_path(int fd);
int fuse_open_beneath(int dir, const char *name, uint64_t flags, mode_t mode) MUST_CHECK;
int fuse_reopen(int fd, uint64_t flags) MUST_CHECK;
int fuse_statx(int dir, const char *name, struct statx *stx) MUST_CHECK;
void fuse_fill_attr(struct fuse_server *s, uint16_t share, const struct statx *stx, struct fuse_attr *attr);
/* How long attributes are good for: *ret_nsec beside the seconds. */
uint64_t fuse_attr_valid(struct fuse_server *s, const struct fuse_inode *inode, uint32_t *ret_nsec);
void fuse_fill_entry(struct fuse_server *s, const struct fuse_inode *inode, const struct statx *stx,
		     struct fuse_entry_out *out);

/* ---- entries.c */
/* Tell the guest of @name in @parent: fills w->out with a fuse_entry_out. */
ssize_t fuse_reply_entry(struct fuse_worker *w, struct fuse_inode *parent, int dir, const char *name);

/* ---- files.c */
/* @flags: the guest's, of its open(). */
uint32_t fuse_open_flags_of(struct fuse_server *s, const struct fuse_inode *inode, uint32_t flags);

/* ---- locks.c */
void fuse_locks_drop(struct fuse_server *s, struct fuse_inode *inode, bool all, uint64_t owner);

/* ---- the operations */
ssize_t fuse_op_getattr(struct fuse_worker *w, struct fuse_request *q);
ssize_t fuse_op_setattr(struct fuse_worker *w, struct fuse_request *q);
ssize_t fuse_op_statfs(struct fuse_worker *w, struct fuse_request *q);
ssize_t fuse_op_lookup(struct fuse_worker *w, struct fuse_request *q);
ssize_t fuse_op_forget(struct fuse_worker *w, struct fuse_request *q);
ssize_t fuse_op_batch_forget(struct fuse_worker *w, struct fuse_request *q);
ssize_t fuse_op_readlink(struct fuse_worker *w, struct fuse_request *q);
ssize_t fuse_op_symlink(struct fuse_worker *w, struct fuse_request *q);
ssize_t fuse_op_mknod(struct fuse_worker *w, struct fuse_request *q);
ssize_t fuse_op_mkdir(struct fuse_worker *w, struct fuse_request *q);
ssize_t fuse_op_link(struct fuse_worker *w, struct fuse_request *q);
ssize_t fuse_op_unlink(struct fuse_worker *w, struct fuse_request *q);
ssize_t fuse_op_rmdir(struct fuse_worker *w, struct fuse_request *q);
ssize_t fuse_op_rename(struct fuse_worker *w, struct fuse_request *q);
ssize_t fuse_op_rename2(struct fuse_worker *w, struct fuse_request *q);
ssize_t fuse_op_open(struct fuse_worker *w, struct fuse_request *q);
ssize_t fuse_op_create(struct fuse_worker *w, struct fuse_request *q);
ssize_t fuse_op_tmpfile(struct fuse_worker *w, struct fuse_request *q);
ssize_t fuse_op_read(struct fuse_worker *w, struct fuse_request *q);
ssize_t fuse_op_write(struct fuse_worker *w, struct fuse_request *q);
ssize_t fuse_op_release(struct fuse_worker *w, struct fuse_request *q);
ssize_t fuse_op_flush(struct fuse_worker *w, struct fuse_request *q);
ssize_t fuse_op_fsync(struct fuse_worker *w, struct fuse_request *q);
ssize_t fuse_op_fsyncdir(struct fuse_worker *w, struct fuse_request *q);
ssize_t fuse_op_syncfs(struct fuse_worker *w, struct fuse_request *q);
ssize_t fuse_op_lseek(struct fuse_worker *w, struct fuse_request *q);
ssize_t fuse_op_fallocate(struct fuse_worker *w, struct fuse_request *q);
ssize_t fuse_op_copy_file_range(struct fuse_worker *w, struct fuse_request *q);
ssize_t fuse_op_opendir(struct fuse_worker *w, struct fuse_request *q);
ssize_t fuse_op_readdir(struct fuse_worker *w, struct fuse_request *q);
ssize_t fuse_op_readdirplus(struct fuse_worker *w, struct fuse_request *q);
ssize_t fuse_op_releasedir(struct fuse_worker *w, struct fuse_request *q);
ssize_t fuse_op_setxattr(struct fuse_worker *w, struct fuse_request *q);
ssize_t fuse_op_getxattr(struct fuse_worker *w, struct fuse_request *q);
ssize_t fuse_op_listxattr(struct fuse_worker *w, struct fuse_request *q);
ssize_t fuse_op_removexattr(struct fuse_worker *w, struct fuse_request *q);
ssize_t fuse_op_getlk(struct fuse_worker *w, struct fuse_request *q);
ssize_t fuse_op_setlk(struct fuse_worker *w, struct fuse_request *q);
ssize_t fuse_op_setlkw(struct fuse_worker *w, struct fuse_request *q);
ssize_t fuse_op_interrupt(struct fuse_worker *w, struct fuse_request *q);
