/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse_server.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>

#include "fuse_internal.h"
#include "str.h"

#define MINOR_MIN 31
/* FUSE_DIRECT_IO_ALLOW_MMAP of Linux 6.6, in flags2. */
#define DIRECT_IO_ALLOW_MMAP (1u << 4)
/* Times, 2 ms apart, that a blocked worker is told to stop. */
#define INTERRUPT_TRIES 50

/* ---- reading requests */

int fuse_take_arg(struct fuse_request *q, void *arg, size_t size)
{
	if (q->len < size)
		return -EINVAL;
	memcpy(arg, q->arg, size);
	q->arg += size;
	q->len -= size;
	return 0;
}

const char *fuse_take_string(struct fuse_request *q, size_t max)
{
	const char *text = (const char *)q->arg;
	const uint8_t *end = q->len ? memchr(q->arg, '\0', q->len) : NULL;
	if (!end || end == q->arg || (size_t)(end - q->arg) > max)
		return NULL;
	q->len -= (size_t)(end - q->arg) + 1;
	q->arg = end + 1;
	return text;
}

int fuse_take_name(struct fuse_request *q, const char **ret)
{
	const char *name = fuse_take_string(q, FUSE_MESSAGE_MAX);
	if (!name || strchr(name, '/') || str_eq(name, ".") || str_eq(name, ".."))
		return -EINVAL;
	*ret = name;
	return strlen(name) > NAME_MAX ? -ENAMETOOLONG : 0;
}

/* ---- the start of a session, and its end */

/* Forget what the guest had: it has rebooted, or unmounted. */
void fuse_reset(struct fuse_server *s)
{
	for (size_t i = 0; i < s->handles_max; i++) {
		pthread_mutex_lock(&s->lock);
		struct fuse_handle *h = s->handle_slots[i];
		if (h)
			h->refs++;
		pthread_mutex_unlock(&s->lock);
		if (!h)
			continue;
		fuse_handle_release(s, h);
		fuse_handle_put(s, h);
	}
	pthread_mutex_lock(&s->lock);
	for (size_t i = 1; i < s->slots_n; i++) {
		struct fuse_inode *inode = s->slots[i];
		if (!inode)
			continue;
		fuse_locks_drop(s, inode, true, 0);
		inode->lookups = 0;
		fuse_inode_drop_unused(s, inode);
	}
	pthread_mutex_unlock(&s->lock);
}

static ssize_t op_init(struct fuse_worker *w, struct fuse_request *q)
{
	struct fuse_server *s = w->s;
	struct fuse_init_in in = { 0 };
	const uint32_t most = s->config.data_max ? s->config.data_max : FUSE_DATA_MAX;
	struct fuse_init_out out = {
		.major = FUSE_KERNEL_VERSION,
		.minor = FUSE_KERNEL_MINOR_VERSION,
		.max_background = 64,
		.congestion_threshold = 48,
		.max_write = most,
		.time_gran = 1,
		.max_pages = (uint16_t)(most / 4096),
	};
	if (fuse_take_arg(q, &in, offsetof(struct fuse_init_in, flags2)) < 0)
		return -EINVAL;
	if (!(in.flags & FUSE_INIT_EXT) || fuse_take_arg(q, &in.flags2, sizeof(in.flags2)) < 0)
		in.flags2 = 0;
	/* With a newer major version the kernel asks again for ours. */
	if (in.major > FUSE_KERNEL_VERSION) {
		memcpy(w->out, &out, sizeof(out));
		return sizeof(out);
	}
	if (in.major < FUSE_KERNEL_VERSION || in.minor < MINOR_MIN)
		return -EPROTO;
	if (s->is_started)
		fuse_reset(s);
	/* DONT_MASK with POSIX_ACL: a default ACL takes the mask's place, which
	 * only the host's file system knows. KILLPRIV_V2: the host's kernel drops
	 * set-id bits and file capabilities, so the guest's need not look for them
	 * before each write. */
	uint32_t want = FUSE_ASYNC_READ | FUSE_ATOMIC_O_TRUNC | FUSE_BIG_WRITES | FUSE_DONT_MASK | FUSE_AUTO_INVAL_DATA |
			FUSE_DO_READDIRPLUS | FUSE_READDIRPLUS_AUTO | FUSE_ASYNC_DIO | FUSE_PARALLEL_DIROPS |
			FUSE_HANDLE_KILLPRIV | FUSE_POSIX_ACL | FUSE_MAX_PAGES | FUSE_CACHE_SYMLINKS |
			FUSE_HANDLE_KILLPRIV_V2 | FUSE_SETXATTR_EXT | FUSE_INIT_EXT;
	if (s->has_remote_locks)
		want |= FUSE_POSIX_LOCKS | FUSE_FLOCK_LOCKS;
	out.flags = in.flags & want;
	out.flags2 = in.flags2 & DIRECT_IO_ALLOW_MMAP;
	out.max_readahead = in.max_readahead < most ? in.max_readahead : most;
	pthread_mutex_lock(&s->lock);
	s->is_started = true;
	s->has_setxattr_ext = out.flags & FUSE_SETXATTR_EXT;
	s->maps_direct_files = out.flags2 & DIRECT_IO_ALLOW_MMAP;
	pthread_mutex_unlock(&s->lock);
	memcpy(w->out, &out, sizeof(out));
	return sizeof(out);
}

static ssize_t op_destroy(struct fuse_worker *w, struct fuse_request *q)
{
	fuse_reset(w->s);
	return 0;
}

/* ---- interrupts */

/* True while a worker is blocked for @unique: it has been sent a signal. */
static bool interrupt(struct fuse_worker *self, uint64_t unique)
{
	bool is_waiting = false;
	pthread_mutex_lock(&self->s->lock);
	for (struct fuse_worker *w = self->s->workers; w; w = w->next) {
		if (w == self || !w->is_busy || w->unique != unique)
			continue;
		w->is_interrupted = true;
		is_waiting = w->is_waiting;
		pthread_kill(w->thread, FUSE_INTERRUPT_SIGNAL);
	}
	pthread_mutex_unlock(&self->s->lock);
	return is_waiting;
}

/* A request that is not found has been answered: each is registered before the
 * next is read. A signal may come just before the call that would block, so it
 * is sent until the wait is over. */
ssize_t fuse_op_interrupt(struct fuse_worker *w, struct fuse_request *q)
{
	struct fuse_interrupt_in in;
	if (FUSE_TAKE(q, in) < 0)
		return FUSE_NO_REPLY;
	fuse_may_block(w);
	for (int i = 0; i < INTERRUPT_TRIES && interrupt(w, in.unique); i++)
		nanosleep(&(struct timespec){ .tv_nsec = 2000000 }, NULL);
	return FUSE_NO_REPLY;
}

/* ---- dispatch */

static ssize_t op_ignore(struct fuse_worker *w, struct fuse_request *q)
{
	return FUSE_NO_REPLY;
}

/* No file of a share has any. */
static ssize_t op_ioctl(struct fuse_worker *w, struct fuse_request *q)
{
	return -ENOTTY;
}

/* What is not here (ACCESS, BMAP, POLL, SETUPMAPPING) is ENOSYS, by which the
 * kernel knows to do it alone. */
static const fuse_operation operations[] = {
	[FUSE_LOOKUP] = fuse_op_lookup,
	[FUSE_FORGET] = fuse_op_forget,
	[FUSE_GETATTR] = fuse_op_getattr,
	[FUSE_SETATTR] = fuse_op_setattr,
	[FUSE_READLINK] = fuse_op_readlink,
	[FUSE_SYMLINK] = fuse_op_symlink,
	[FUSE_MKNOD] = fuse_op_mknod,
	[FUSE_MKDIR] = fuse_op_mkdir,
	[FUSE_UNLINK] = fuse_op_unlink,
	[FUSE_RMDIR] = fuse_op_rmdir,
	[FUSE_RENAME] = fuse_op_rename,
	[FUSE_LINK] = fuse_op_link,
	[FUSE_OPEN] = fuse_op_open,
	[FUSE_READ] = fuse_op_read,
	[FUSE_WRITE] = fuse_op_write,
	[FUSE_STATFS] = fuse_op_statfs,
	[FUSE_RELEASE] = fuse_op_release,
	[FUSE_FSYNC] = fuse_op_fsync,
	[FUSE_SETXATTR] = fuse_op_setxattr,
	[FUSE_GETXATTR] = fuse_op_getxattr,
	[FUSE_LISTXATTR] = fuse_op_listxattr,
	[FUSE_REMOVEXATTR] = fuse_op_removexattr,
	[FUSE_FLUSH] = fuse_op_flush,
	[FUSE_INIT] = op_init,
	[FUSE_OPENDIR] = fuse_op_opendir,
	[FUSE_READDIR] = fuse_op_readdir,
	[FUSE_RELEASEDIR] = fuse_op_releasedir,
	[FUSE_FSYNCDIR] = fuse_op_fsyncdir,
	[FUSE_GETLK] = fuse_op_getlk,
	[FUSE_SETLK] = fuse_op_setlk,
	[FUSE_SETLKW] = fuse_op_setlkw,
	[FUSE_CREATE] = fuse_op_create,
	[FUSE_INTERRUPT] = fuse_op_interrupt,
	[FUSE_DESTROY] = op_destroy,
	[FUSE_IOCTL] = op_ioctl,
	[FUSE_NOTIFY_REPLY] = op_ignore,
	[FUSE_BATCH_FORGET] = fuse_op_batch_forget,
	[FUSE_FALLOCATE] = fuse_op_fallocate,
	[FUSE_READDIRPLUS] = fuse_op_readdirplus,
	[FUSE_RENAME2] = fuse_op_rename2,
	[FUSE_LSEEK] = fuse_op_lseek,
	[FUSE_COPY_FILE_RANGE] = fuse_op_copy_file_range,
	[FUSE_SYNCFS] = fuse_op_syncfs,
	[FUSE_TMPFILE] = fuse_op_tmpfile,
};

int fuse_worker_take(struct fuse_worker *w, const void *msg, size_t len)
{
	struct fuse_in_header h;
	if (len < sizeof(h) || len > FUSE_MESSAGE_MAX)
		return -EPROTO;
	memcpy(&h, msg, sizeof(h));
	if (h.len != len || (size_t)h.total_extlen * 8 > len - sizeof(h))
		return -EPROTO;
	w->msg = msg;
	w->msg_len = len;
	pthread_mutex_lock(&w->s->lock);
	w->unique = h.unique;
	w->is_busy = true;
	w->is_interrupted = false;
	pthread_mutex_unlock(&w->s->lock);
	return 0;
}

static ssize_t dispatch(struct fuse_worker *w, struct fuse_request *q)
{
	uint32_t op = q->h.opcode;
	if (!w->s->is_started && op != FUSE_INIT && op != FUSE_FORGET && op != FUSE_BATCH_FORGET && op != FUSE_INTERRUPT)
		return -EIO;
	return op < ARRAY_LEN(operations) && operations[op] ? operations[op](w, q) : -ENOSYS;
}

ssize_t fuse_worker_run(struct fuse_worker *w, const void **ret_reply)
{
	struct fuse_request q = { .arg = w->msg + sizeof(q.h), .len = w->msg_len - sizeof(q.h) };
	memcpy(&q.h, w->msg, sizeof(q.h));
	/* Extensions lie behind; none has been agreed on. */
	q.len -= (size_t)q.h.total_extlen * 8;
	ssize_t n = dispatch(w, &q);
	pthread_mutex_lock(&w->s->lock);
	w->is_busy = false;
	pthread_mutex_unlock(&w->s->lock);
	*ret_reply = w->reply;
	if (n == FUSE_NO_REPLY)
		return 0;
	struct fuse_out_header out = {
		.len = (uint32_t)(sizeof(out) + (n > 0 ? (size_t)n : 0)),
		.error = n < 0 ? (int32_t)n : 0,
		.unique = q.h.unique,
	};
	memcpy(w->reply, &out, sizeof(out));
	return out.len;
}

/* ---- making and ending */

int fuse_server_new(const struct fuse_server_config *config, struct fuse_server **ret, struct err *err)
{
	if (config->shares_n == 0 || config->shares_n > FUSE_SERVER_SHARES_MAX || config->fds_max < 64)
		return err_set(err, ERR_INVALID, 0, "serve files: %zu shares, %zu descriptors", config->shares_n, config->fds_max);
	struct fuse_server *s = mem_calloc(1, sizeof(*s));
	s->config = *config;
	pthread_mutex_init(&s->lock, NULL);
	int r = fuse_inodes_init(s);
	if (r == 0)
		r = fuse_handles_init(s);
	if (r < 0)
		err_set(err, ERR_SYSTEM, r, "serve files");
	/* Shares are entered by the number of their descriptor, too. */
	CLEANUP_FD int cwd = r < 0 ? -1 : openat(AT_FDCWD, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (r == 0 && fchdir(config->proc_fds) < 0)
		r = err_set(err, ERR_SYSTEM, -errno, "enter the list of descriptors");
	for (size_t i = 0; i < config->shares_n && r == 0; i++) {
		s->shares[i] = (struct fuse_table_share){
			.name = str_dup(config->shares[i].name),
			.flags = config->shares[i].flags,
			.valid = config->shares[i].flags & FUSE_SHARE_PRIVATE ? FUSE_VALID_EVER :
				 config->shares[i].flags & FUSE_SHARE_CACHED  ? FUSE_VALID_CACHED :
										0,
		};
		s->has_remote_locks |= !(config->shares[i].flags & FUSE_SHARE_LOCAL_LOCKS);
		r = fuse_inode_enter_root(s, i, config->shares[i].fd, err);
	}
	if (cwd >= 0 && fchdir(cwd) < 0 && r == 0)
		r = err_set(err, ERR_SYSTEM, -errno, "return to the working directory");
	s->config.shares = NULL;
	if (r < 0) {
		fuse_server_free(s);
		return r;
	}
	*ret = s;
	return 0;
}

void fuse_server_free(struct fuse_server *s)
{
	if (!s)
		return;
	if (s->handle_slots)
		fuse_handles_done(s);
	if (s->slots)
		fuse_inodes_done(s);
	for (size_t i = 0; i < s->config.shares_n; i++)
		free(s->shares[i].name);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

/* Memory that is there once it is used: most messages are short. */
void *fuse_buffer_new(void)
{
	void *p = mmap(NULL, FUSE_MESSAGE_MAX, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return p == MAP_FAILED ? NULL : p;
}

void fuse_buffer_free(void *buffer)
{
	if (buffer)
		munmap(buffer, FUSE_MESSAGE_MAX);
}

struct fuse_worker *fuse_worker_new(struct fuse_server *s)
{
	struct fuse_worker *w = calloc(1, sizeof(*w));
	if (!w)
		return NULL;
	w->s = s;
	w->thread = pthread_self();
	w->reply = fuse_buffer_new();
	w->out = w->reply ? w->reply + sizeof(struct fuse_out_header) : NULL;
	/* A mask and a directory of its own: threads share them otherwise. */
	if (!w->reply || unshare(CLONE_FS) < 0 || fchdir(s->config.proc_fds) < 0 ||
	    fuse_creds_init(&w->creds, s->config.takes_ids) < 0) {
		fuse_buffer_free(w->reply);
		free(w);
		return NULL;
	}
	pthread_mutex_lock(&s->lock);
	w->next = s->workers;
	s->workers = w;
	pthread_mutex_unlock(&s->lock);
	return w;
}

void fuse_worker_free(struct fuse_worker *w)
{
	pthread_mutex_lock(&w->s->lock);
	struct fuse_worker **at = &w->s->workers;
	while (*at != w)
		at = &(*at)->next;
	*at = w->next;
	pthread_mutex_unlock(&w->s->lock);
	fuse_buffer_free(w->reply);
	free(w);
}

void fuse_worker_on_block(struct fuse_worker *w, void (*fn)(void *ctx), void *ctx)
{
	w->on_block = fn;
	w->on_block_ctx = ctx;
}

void fuse_may_block(struct fuse_worker *w)
{
	if (w->on_block)
		w->on_block(w->on_block_ctx);
}
