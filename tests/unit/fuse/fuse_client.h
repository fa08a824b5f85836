/* SPDX-License-Identifier: Apache-2.0 */
/* A guest's kernel of a few lines: requests to a server in this process. */
#pragma once

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "fuse_server.h"
#include "str.h"
#include "test.h"

#define SECRET "5a1f0c9e77d24be1b0c3a86f2d9e4471"

struct client {
	struct fuse_server *s;
	struct fuse_worker *w;
	int proc, dir;
	uint64_t share;
	/* Of the last reply. */
	const uint8_t *out;
	size_t out_len;
	struct fuse_in_header h;
	uint8_t msg[FUSE_MESSAGE_MAX];
	size_t len;
};

static inline void begin(struct client *c, uint32_t opcode, uint64_t nodeid)
{
	c->h = (struct fuse_in_header){ .opcode = opcode, .unique = c->h.unique + 2, .nodeid = nodeid, .uid = getuid(), .gid = getgid() };
	c->len = sizeof(c->h);
}

static inline void add(struct client *c, const void *data, size_t len)
{
	CHECK(c->len + len <= sizeof(c->msg));
	memcpy(c->msg + c->len, data, len);
	c->len += len;
}

static inline void add_name(struct client *c, const char *name)
{
	add(c, name, strlen(name) + 1);
}

/* The reply's error, with its payload in out; 1: no reply. */
static inline int finish(struct client *c)
{
	struct fuse_out_header out;
	const void *reply;
	c->h.len = (uint32_t)c->len;
	memcpy(c->msg, &c->h, sizeof(c->h));
	CHECK_EQ(fuse_worker_take(c->w, c->msg, c->len), 0);
	ssize_t n = fuse_worker_run(c->w, &reply);
	CHECK(n >= 0);
	if (n == 0)
		return 1;
	memcpy(&out, reply, sizeof(out));
	CHECK_EQ(out.len, n);
	CHECK_EQ(out.unique, c->h.unique);
	CHECK(out.error <= 0 && out.error > -512);
	CHECK(out.error == 0 || n == sizeof(out));
	c->out = (const uint8_t *)reply + sizeof(out);
	c->out_len = (size_t)n - sizeof(out);
	CHECK(!memmem(c->out, c->out_len, SECRET, strlen(SECRET)));
	return out.error;
}

#define CALL(c, op, node, ...)                                             \
	({                                                                 \
		begin(c, op, node);                                        \
		__VA_ARGS__;                                               \
		finish(c);                                                 \
	})
#define ADD(value) add(c, &(value), sizeof(value))

static inline int client_init(struct client *c, uint32_t minor)
{
	struct fuse_init_in in = { .major = 7, .minor = minor, .max_readahead = 131072, .flags = ~(FUSE_INIT_EXT | 1u << 31) };
	begin(c, FUSE_INIT, 0);
	ADD(in);
	return finish(c);
}

static inline uint64_t entry_of(struct client *c, struct fuse_entry_out *ret)
{
	struct fuse_entry_out e;
	CHECK(c->out_len >= sizeof(e));
	memcpy(&e, c->out, sizeof(e));
	if (ret)
		*ret = e;
	return e.nodeid;
}

static inline uint64_t lookup(struct client *c, uint64_t parent, const char *name)
{
	return CALL(c, FUSE_LOOKUP, parent, add_name(c, name)) == 0 ? entry_of(c, NULL) : 0;
}

static inline uint64_t open_node(struct client *c, uint64_t node, uint32_t op, uint32_t flags)
{
	struct fuse_open_in in = { .flags = flags };
	struct fuse_open_out out;
	CHECK_EQ(CALL(c, op, node, ADD(in)), 0);
	CHECK_EQ(c->out_len, sizeof(out));
	memcpy(&out, c->out, sizeof(out));
	return out.fh;
}

static inline uint64_t create(struct client *c, uint64_t parent, const char *name, uint64_t *ret_fh)
{
	struct fuse_create_in in = { .flags = O_RDWR | O_CREAT, .mode = S_IFREG | 0644 };
	struct fuse_open_out out;
	CHECK_EQ(CALL(c, FUSE_CREATE, parent, ADD(in), add_name(c, name)), 0);
	CHECK_EQ(c->out_len, sizeof(struct fuse_entry_out) + sizeof(out));
	memcpy(&out, c->out + sizeof(struct fuse_entry_out), sizeof(out));
	*ret_fh = out.fh;
	return entry_of(c, NULL);
}

static inline int release_fh(struct client *c, uint64_t node, uint64_t fh, uint32_t op)
{
	struct fuse_release_in in = { .fh = fh };
	return CALL(c, op, node, ADD(in));
}

static inline int forget(struct client *c, uint64_t node, uint64_t n)
{
	struct fuse_forget_in in = { .nlookup = n };
	return CALL(c, FUSE_FORGET, node, ADD(in));
}

static inline void put_file(int dir, const char *name, const char *text)
{
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	CHECK(fd >= 0);
	CHECK_EQ(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

static inline char *get_file(int dir, const char *name)
{
	static char text[256];
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return NULL;
	ssize_t n = read(fd, text, sizeof(text) - 1);
	text[n < 0 ? 0 : n] = '\0';
	close(fd);
	return text;
}

/* A share "s" of the folder "share"; beside it, in "outside", a secret. */
static inline void client_open(struct client *c, unsigned flags, size_t fds_max)
{
	struct err err = ERR_INIT;
	int top = open(test_tmpdir(), O_PATH | O_DIRECTORY | O_CLOEXEC);
	CHECK(top >= 0);
	if (mkdirat(top, "share", 0755) == 0) {
		CHECK_EQ(mkdirat(top, "outside", 0755), 0);
		put_file(top, "outside/secret", SECRET);
	}
	c->dir = openat(top, "share", O_PATH | O_DIRECTORY | O_CLOEXEC);
	close(top);
	c->proc = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
	CHECK(c->dir >= 0 && c->proc >= 0);
	struct fuse_share share = { .name = "s", .fd = c->dir, .flags = flags };
	struct fuse_server_config config = {
		.shares = &share,
		.shares_n = 1,
		.proc_fds = c->proc,
		.fds_max = fds_max,
		.inodes_max = 100000,
	};
	if (fuse_server_new(&config, &c->s, &err) < 0)
		test_fail(__FILE__, __LINE__, "%s", err.msg);
	c->w = fuse_worker_new(c->s);
	CHECK(c->w);
	CHECK_EQ(client_init(c, 38), 0);
	c->share = lookup(c, FUSE_ROOT_ID, "s");
	CHECK(c->share);
}

static inline void client_close(struct client *c)
{
	fuse_worker_free(c->w);
	fuse_server_free(c->s);
	close(c->dir);
	close(c->proc);
}
