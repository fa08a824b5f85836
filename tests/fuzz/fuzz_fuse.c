/* SPDX-License-Identifier: Apache-2.0 */
/* A guest's requests in any order, to a share with a few files in it. Beside the
 * share lies a secret: no reply holds it, and it stays as it is.
 *
 * The input is a list of requests: operation, which of the numbers told so far
 * to use as inode, a second inode and file handle, length of what follows (two
 * bytes), and that. Where an operation has a handle or an inode in its argument
 * the numbers are put in, so that they are mostly right ones. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/fuse.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuse_server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SECRET_SIZE 32
#define KNOWN       16
#define STEPS  200

static char top[64];
static int share = -1, proc = -1;
static uint64_t nodes[KNOWN], handles[KNOWN];
static size_t nodes_n, handles_n;
static uint8_t msg[FUSE_MESSAGE_MAX];
/* Known by its sums alone: a fuzzer sees what is compared, and would say it itself. */
static uint64_t secret_sum, secret_hash;

static uint64_t hash_of(const uint8_t *p)
{
	uint64_t h = 0xcbf29ce484222325u;
	for (int i = 0; i < SECRET_SIZE; i++)
		h = (h ^ p[i]) * 0x100000001b3u;
	return h;
}

static bool has_secret(const uint8_t *p, size_t len)
{
	uint64_t sum = 0;
	for (size_t i = 0; i < len; i++) {
		sum += p[i];
		if (i >= SECRET_SIZE)
			sum -= p[i - SECRET_SIZE];
		if (i + 1 >= SECRET_SIZE && sum == secret_sum && hash_of(p + i + 1 - SECRET_SIZE) == secret_hash)
			return true;
	}
	return false;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	return ftw->level > 0 ? remove(path) : 0;
}

static void finish(void)
{
	char path[128];
	if (chdir("/") < 0)
		return;
	nftw(top, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
	snprintf(path, sizeof(path), "%s", top);
	rmdir(path);
}

static void put(const char *name, const void *data, size_t len)
{
	int fd = openat(share, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0 || write(fd, data, len) != (ssize_t)len)
		abort();
	close(fd);
}

static void prepare(void)
{
	char path[128];
	/* Small files, whatever sizes are asked for. */
	struct rlimit limit = { 1 << 20, 1 << 20 };
	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &limit);
	strcpy(top, "/tmp/hull-fuzz-XXXXXX");
	if (!mkdtemp(top))
		abort();
	atexit(finish);
	snprintf(path, sizeof(path), "%s/share", top);
	if (mkdir(path, 0755) < 0)
		abort();
	share = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	proc = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
	uint8_t secret[SECRET_SIZE];
	if (getrandom(secret, sizeof(secret), 0) != sizeof(secret))
		abort();
	for (int i = 0; i < SECRET_SIZE; i++)
		secret_sum += secret[i];
	secret_hash = hash_of(secret);
	put("../secret", secret, sizeof(secret));
	/* The control: it is found where it is. */
	uint8_t text[100] = { 0 };
	if (has_secret(text, sizeof(text)))
		abort();
	memcpy(text + 50, secret, sizeof(secret));
	if (!has_secret(text, sizeof(text)))
		abort();
}

static void fill(void)
{
	char path[128];
	snprintf(path, sizeof(path), "%s/share", top);
	nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
	put("a", "text", 4);
	put("b", "", 0);
	if (mkdirat(share, "d", 0755) < 0 || symlinkat("../secret", share, "l") < 0 || mkfifoat(share, "p", 0644) < 0)
		abort();
	put("d/a", "below", 5);
}

static void check_secret(void)
{
	uint8_t text[64];
	int fd = openat(share, "../secret", O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, text, sizeof(text)) != SECRET_SIZE || !has_secret(text, SECRET_SIZE))
		abort();
	close(fd);
}

static void learn(uint32_t op, const uint8_t *out, size_t len)
{
	struct fuse_entry_out e;
	struct fuse_open_out o;
	size_t at = 0;
	bool has_entry = op == FUSE_LOOKUP || op == FUSE_MKDIR || op == FUSE_MKNOD || op == FUSE_SYMLINK || op == FUSE_LINK ||
			 op == FUSE_CREATE || op == FUSE_TMPFILE;
	if (has_entry && len >= sizeof(e)) {
		memcpy(&e, out, sizeof(e));
		at = sizeof(e);
		nodes[nodes_n++ % KNOWN] = e.nodeid;
	}
	if ((op == FUSE_OPEN || op == FUSE_OPENDIR || op == FUSE_CREATE || op == FUSE_TMPFILE) && len >= at + sizeof(o)) {
		memcpy(&o, out + at, sizeof(o));
		handles[handles_n++ % KNOWN] = o.fh;
	}
}

static uint64_t known(const uint64_t *list, size_t n, uint8_t which)
{
	n = n < KNOWN ? n : KNOWN;
	/* Now and then one that nobody was told. */
	return which >= 250 || n == 0 ? (uint64_t)which << 24 | which : list[which % n];
}

static void call(struct fuse_worker *w, uint32_t op, uint64_t node, size_t len)
{
	static uint64_t unique;
	struct fuse_in_header h = { .len = (uint32_t)(sizeof(h) + len), .opcode = op, .unique = ++unique, .nodeid = node,
				    .uid = getuid(), .gid = getgid() };
	const void *reply;
	memcpy(msg, &h, sizeof(h));
	if (fuse_worker_take(w, msg, sizeof(h) + len) < 0)
		abort();
	ssize_t n = fuse_worker_run(w, &reply);
	if (n < 0 || (n > 0 && n < (ssize_t)sizeof(struct fuse_out_header)))
		abort();
	if (n == 0)
		return;
	struct fuse_out_header out;
	memcpy(&out, reply, sizeof(out));
	if (out.len != n || out.unique != h.unique || out.error > 0 || out.error <= -512)
		abort();
	if (has_secret(reply, (size_t)n))
		abort();
	if (out.error == 0)
		learn(op, (const uint8_t *)reply + sizeof(out), (size_t)n - sizeof(out));
}

/* Put numbers where the operation has them. */
static void fix(uint32_t op, uint8_t *arg, size_t len, uint64_t node, uint64_t handle)
{
	uint64_t *at = op == FUSE_LINK || op == FUSE_RENAME || op == FUSE_RENAME2 ? &node : &handle;
	size_t offset = op == FUSE_GETATTR || op == FUSE_SETATTR ? 8 : 0;
	static const uint32_t ops[] = { FUSE_LINK, FUSE_RENAME, FUSE_RENAME2, FUSE_READ, FUSE_WRITE, FUSE_RELEASE, FUSE_FSYNC,
					FUSE_FLUSH, FUSE_READDIR, FUSE_RELEASEDIR, FUSE_FSYNCDIR, FUSE_GETLK, FUSE_SETLK,
					FUSE_FALLOCATE, FUSE_READDIRPLUS, FUSE_LSEEK, FUSE_COPY_FILE_RANGE, FUSE_GETATTR,
					FUSE_SETATTR };
	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
		if (ops[i] == op && len >= offset + sizeof(*at))
			memcpy(arg + offset, at, sizeof(*at));
	if (op == FUSE_COPY_FILE_RANGE && len >= 32)
		memcpy(arg + 24, &handle, sizeof(handle));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err err = ERR_INIT;
	struct fuse_server *s;
	if (share < 0)
		prepare();
	fill();
	struct fuse_share shares[2] = { { "s", share, 0 }, { "p", share, FUSE_SHARE_PRIVATE | FUSE_SHARE_LOCAL_LOCKS } };
	struct fuse_server_config config = { shares, 2, proc, 96, 64, false };
	if (fuse_server_new(&config, &s, &err) < 0)
		abort();
	struct fuse_worker *w = fuse_worker_new(s);
	if (!w)
		abort();
	nodes[0] = FUSE_ROOT_ID;
	nodes_n = 1;
	handles_n = 0;
	struct fuse_init_in init = { .major = 7, .minor = 38, .flags = UINT32_MAX };
	memcpy(msg + sizeof(struct fuse_in_header), &init, sizeof(init));
	call(w, FUSE_INIT, 0, sizeof(init));
	memcpy(msg + sizeof(struct fuse_in_header), "s", 2);
	call(w, FUSE_LOOKUP, FUSE_ROOT_ID, 2);
	for (int i = 0; i < STEPS && size >= 6; i++) {
		size_t len = (size_t)(data[4] | data[5] << 8);
		uint8_t *arg = msg + sizeof(struct fuse_in_header);
		uint32_t op = data[0] % 64;
		/* It would wait for ever: there is one worker. */
		if (op == FUSE_SETLKW)
			op = FUSE_SETLK;
		uint64_t node = known(nodes, nodes_n, data[1]), other = known(nodes, nodes_n, data[2]);
		uint64_t handle = known(handles, handles_n, data[3]);
		data += 6;
		size -= 6;
		len = len < size ? len : size;
		memcpy(arg, data, len);
		data += len;
		size -= len;
		fix(op, arg, len, other, handle);
		call(w, op, node, len);
	}
	fuse_worker_free(w);
	fuse_server_free(s);
	check_secret();
	return 0;
}
