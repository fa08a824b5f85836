/* SPDX-License-Identifier: Apache-2.0 */
/* A guest whose kernel is the attacker. Beside the share lies a secret; no reply
 * may hold it (fuse_client.h looks), and nothing outside may change. */
#include "fuse_client.h"

#include <pthread.h>
#include <sys/inotify.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

static struct client client, *c = &client;

static const char *const bad_names[] = {
	"", ".", "..", "/", "../outside", "../outside/secret", "/etc/passwd", "a/b", "./a", "a/", "/proc/self/root", "a/../..",
};

static void check_outside(void)
{
	int top = open(test_tmpdir(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int outside = openat(top, "outside", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK_STR(get_file(outside, "secret"), SECRET);
	for (int i = 0; i < 2; i++) {
		DIR *d = fdopendir(i ? top : outside);
		int n = 0;
		CHECK(d);
		while (readdir(d))
			n++;
		/* ".", "..", and the secret, or the two folders. */
		CHECK_EQ(n, i ? 4 : 3);
		closedir(d);
	}
}

TEST(names_of_more_than_one_component)
{
	client_open(c, 0, 1000);
	put_file(c->dir, "a", "a");
	uint64_t node = lookup(c, c->share, "a"), fh;
	for (size_t i = 0; i < ARRAY_LEN(bad_names); i++) {
		const char *name = bad_names[i];
		struct fuse_mkdir_in mk = { .mode = 0755 };
		struct fuse_mknod_in nod = { .mode = S_IFREG | 0644 };
		struct fuse_create_in cr = { .flags = O_RDWR | O_CREAT, .mode = S_IFREG | 0644 };
		struct fuse_link_in ln = { .oldnodeid = node };
		struct fuse_rename_in rn = { .newdir = c->share };
		struct fuse_rename2_in rn2 = { .newdir = c->share, .flags = RENAME_EXCHANGE };
		CHECK_EQ(CALL(c, FUSE_LOOKUP, c->share, add_name(c, name)), -EINVAL);
		CHECK_EQ(CALL(c, FUSE_LOOKUP, FUSE_ROOT_ID, add_name(c, name)), -EINVAL);
		CHECK_EQ(CALL(c, FUSE_MKDIR, c->share, ADD(mk), add_name(c, name)), -EINVAL);
		CHECK_EQ(CALL(c, FUSE_MKNOD, c->share, ADD(nod), add_name(c, name)), -EINVAL);
		CHECK_EQ(CALL(c, FUSE_CREATE, c->share, ADD(cr), add_name(c, name)), -EINVAL);
		CHECK_EQ(CALL(c, FUSE_SYMLINK, c->share, add_name(c, name), add_name(c, "x")), -EINVAL);
		CHECK_EQ(CALL(c, FUSE_LINK, c->share, ADD(ln), add_name(c, name)), -EINVAL);
		CHECK_EQ(CALL(c, FUSE_UNLINK, c->share, add_name(c, name)), -EINVAL);
		CHECK_EQ(CALL(c, FUSE_RMDIR, c->share, add_name(c, name)), -EINVAL);
		CHECK_EQ(CALL(c, FUSE_RENAME, c->share, ADD(rn), add_name(c, name), add_name(c, "x")), -EINVAL);
		CHECK_EQ(CALL(c, FUSE_RENAME, c->share, ADD(rn), add_name(c, "a"), add_name(c, name)), -EINVAL);
		CHECK_EQ(CALL(c, FUSE_RENAME2, c->share, ADD(rn2), add_name(c, "a"), add_name(c, name)), -EINVAL);
	}
	/* A name without an end, and one that is too long. */
	CHECK_EQ(CALL(c, FUSE_LOOKUP, c->share, add(c, "abc", 3)), -EINVAL);
	CHECK_EQ(CALL(c, FUSE_LOOKUP, c->share), -EINVAL);
	char *long_name = mem_calloc(1, 100001);
	memset(long_name, 'n', 100000);
	CHECK_EQ(CALL(c, FUSE_LOOKUP, c->share, add_name(c, long_name)), -ENAMETOOLONG);
	free(long_name);
	/* The control: the same with a good name works. */
	create(c, c->share, "good", &fh);
	check_outside();
	client_close(c);
}

TEST(symbolic_links_are_text)
{
	static const char *const targets[] = { "../outside/secret", "/proc/self/root/etc/passwd", "/proc/self/fd/3", ".." };
	struct fuse_open_in op = { .flags = O_RDONLY };
	struct fuse_create_in cr = { .flags = O_RDWR | O_CREAT | O_TRUNC, .mode = S_IFREG | 0644 };
	struct fuse_setattr_in set = { .valid = FATTR_SIZE };
	struct fuse_setxattr_in xa = { .size = 1 };
	client_open(c, 0, 1000);
	for (size_t i = 0; i < ARRAY_LEN(targets); i++) {
		char name[16];
		snprintf(name, sizeof(name), "l%zu", i);
		CHECK_EQ(CALL(c, FUSE_SYMLINK, c->share, add_name(c, name), add_name(c, targets[i])), 0);
		uint64_t link = entry_of(c, NULL);
		CHECK_EQ(CALL(c, FUSE_READLINK, link), 0);
		CHECK(c->out_len == strlen(targets[i]) && memcmp(c->out, targets[i], c->out_len) == 0);
		CHECK_EQ(CALL(c, FUSE_OPEN, link, ADD(op)), -ELOOP);
		CHECK_EQ(CALL(c, FUSE_OPENDIR, link, ADD(op)), -ENOTDIR);
		CHECK_EQ(CALL(c, FUSE_LOOKUP, link, add_name(c, "secret")), -ENOTDIR);
		CHECK_EQ(CALL(c, FUSE_SETATTR, link, ADD(set)), -EINVAL);
		CHECK_EQ(CALL(c, FUSE_CREATE, c->share, ADD(cr), add_name(c, name)), -ELOOP);
		CHECK(CALL(c, FUSE_SETXATTR, link, ADD(xa), add_name(c, "user.a"), add(c, "1", 1)) < 0);
		/* A second name for the link, not for what it says. */
		struct fuse_link_in ln = { .oldnodeid = link };
		name[0] = 'm';
		CHECK_EQ(CALL(c, FUSE_LINK, c->share, ADD(ln), add_name(c, name)), 0);
		CHECK_EQ(CALL(c, FUSE_READLINK, entry_of(c, NULL)), 0);
	}
	check_outside();
	client_close(c);
}

TEST(devices_and_fifos_are_never_opened)
{
	struct fuse_mknod_in nod = { .rdev = 0x103 };
	struct fuse_create_in cr = { .flags = O_RDWR | O_CREAT, .mode = S_IFREG | 0644 };
	client_open(c, 0, 1000);
	static const uint32_t modes[] = { S_IFCHR | 0666, S_IFBLK | 0666 };
	for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
		nod.mode = modes[i];
		CHECK_EQ(CALL(c, FUSE_MKNOD, c->share, ADD(nod), add_name(c, "dev")), -EPERM);
	}
	nod.mode = S_IFIFO | 0666;
	CHECK_EQ(CALL(c, FUSE_MKNOD, c->share, ADD(nod), add_name(c, "fifo")), 0);
	nod = (struct fuse_mknod_in){ .mode = S_IFCHR };
	CHECK_EQ(CALL(c, FUSE_MKNOD, c->share, ADD(nod), add_name(c, "white")), 0);
	if (geteuid() == 0)
		CHECK_EQ(mknodat(c->dir, "null", S_IFCHR | 0666, makedev(1, 3)), 0);
	static const char *const names[] = { "fifo", "white", "null" };
	for (size_t i = 0; i < (geteuid() == 0 ? 3 : 2); i++) {
		uint64_t node = lookup(c, c->share, names[i]);
		CHECK(node);
		for (uint32_t flags = 0; flags < 3; flags++) {
			struct fuse_open_in op = { .flags = flags };
			CHECK_EQ(CALL(c, FUSE_OPEN, node, ADD(op)), -ENXIO);
			struct fuse_lk_in lk = { .owner = 1, .lk = { .type = F_RDLCK } };
			CHECK_EQ(CALL(c, FUSE_SETLK, node, ADD(lk)), -EINVAL);
		}
		struct fuse_open_in op = { 0 };
		CHECK_EQ(CALL(c, FUSE_OPENDIR, node, ADD(op)), -ENOTDIR);
		CHECK_EQ(CALL(c, FUSE_CREATE, c->share, ADD(cr), add_name(c, names[i])), -ENXIO);
		struct fuse_setattr_in set = { .valid = FATTR_SIZE };
		CHECK_EQ(CALL(c, FUSE_SETATTR, node, ADD(set)), -EINVAL);
	}
	check_outside();
	client_close(c);
}

TEST(numbers_that_mean_nothing)
{
	struct fuse_read_in rd = { .size = 100 };
	struct fuse_getattr_in get = { 0 };
	struct fuse_link_in ln = { .oldnodeid = 999 };
	struct fuse_rename_in rn = { .newdir = 999 };
	uint64_t fh;
	client_open(c, 0, 1000);
	uint64_t node = create(c, c->share, "f", &fh);
	static const uint64_t nodes[] = { 0, 2, 3, 77, 1ull << 32, UINT32_MAX, UINT64_MAX, 1ull << 63 };
	for (size_t i = 0; i < ARRAY_LEN(nodes); i++) {
		if (nodes[i] == node || nodes[i] == c->share)
			continue;
		CHECK_EQ(CALL(c, FUSE_GETATTR, nodes[i], ADD(get)), -ESTALE);
		CHECK_EQ(CALL(c, FUSE_LOOKUP, nodes[i], add_name(c, "f")), -ESTALE);
		rd.fh = nodes[i];
		CHECK_EQ(CALL(c, FUSE_READ, node, ADD(rd)), nodes[i] == fh ? 0 : -EBADF);
	}
	CHECK_EQ(CALL(c, FUSE_LINK, c->share, ADD(ln), add_name(c, "x")), -ESTALE);
	CHECK_EQ(CALL(c, FUSE_RENAME, c->share, ADD(rn), add_name(c, "f"), add_name(c, "x")), -ESTALE);
	rn.newdir = FUSE_ROOT_ID;
	CHECK_EQ(CALL(c, FUSE_RENAME, c->share, ADD(rn), add_name(c, "f"), add_name(c, "x")), -EXDEV);
	CHECK_EQ(CALL(c, FUSE_RENAME, FUSE_ROOT_ID, ADD(rn), add_name(c, "s"), add_name(c, "x")), -EROFS);
	CHECK_EQ(CALL(c, FUSE_UNLINK, FUSE_ROOT_ID, add_name(c, "s")), -EROFS);
	/* A file where a directory belongs, and the other way. */
	CHECK_EQ(CALL(c, FUSE_LOOKUP, node, add_name(c, "f")), -ENOTDIR);
	struct fuse_open_in op = { 0 };
	CHECK_EQ(CALL(c, FUSE_OPEN, c->share, ADD(op)), -EISDIR);
	CHECK_EQ(CALL(c, FUSE_OPEN, FUSE_ROOT_ID, ADD(op)), -EISDIR);
	rd.fh = fh;
	CHECK_EQ(CALL(c, FUSE_READDIR, c->share, ADD(rd)), -EBADF);
	rd.offset = UINT64_MAX;
	CHECK_EQ(CALL(c, FUSE_READ, node, ADD(rd)), -EINVAL);
	client_close(c);
}

TEST(what_is_no_message)
{
	struct fuse_in_header h = { .len = sizeof(h), .opcode = FUSE_GETATTR };
	client_open(c, 0, 1000);
	CHECK_EQ(fuse_worker_take(c->w, &h, sizeof(h) - 1), -EPROTO);
	h.len = sizeof(h) + 1;
	CHECK_EQ(fuse_worker_take(c->w, &h, sizeof(h)), -EPROTO);
	h.len = sizeof(h);
	h.total_extlen = 1;
	CHECK_EQ(fuse_worker_take(c->w, &h, sizeof(h)), -EPROTO);
	/* Every operation, with no argument, and with too short a one. */
	for (uint32_t op = 0; op < 60; op++) {
		if (op == FUSE_INIT || op == FUSE_DESTROY)
			continue;
		for (size_t len = 0; len < 32; len += 4) {
			char zeros[32] = { 0 };
			begin(c, op, c->share);
			add(c, zeros, len);
			int r = finish(c);
			CHECK(r <= 1);
		}
	}
	CHECK_EQ(lookup(c, FUSE_ROOT_ID, "s"), c->share);
	check_outside();
	client_close(c);
}

TEST(procfs_is_no_share)
{
	struct err err = ERR_INIT;
	if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0)
		TEST_SKIP("needs root");
	CHECK_EQ(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	client_open(c, 0, 1000);
	CHECK_EQ(mkdirat(c->dir, "proc", 0755), 0);
	char path[128];
	snprintf(path, sizeof(path), "%s/share/proc", test_tmpdir());
	CHECK_EQ(CALL(c, FUSE_LOOKUP, c->share, add_name(c, "proc")), 0);
	CHECK_EQ(mount("proc", path, "proc", 0, NULL), 0);
	CHECK_EQ(CALL(c, FUSE_LOOKUP, c->share, add_name(c, "proc")), -EACCES);
	int proc = open("/proc", O_PATH | O_CLOEXEC);
	struct fuse_share share = { .name = "p", .fd = proc };
	struct fuse_server_config config = { &share, 1, c->proc, 100, 100, false };
	struct fuse_server *s;
	CHECK(fuse_server_new(&config, &s, &err) < 0);
	CHECK(strstr(err.msg, "procfs"));
	close(proc);
	client_close(c);
	CHECK_EQ(umount2(path, MNT_DETACH), 0);
}

/* ---- races */

static volatile bool is_over;

/* Exchange a directory, or a file, of the share with a link out of it, without end. */
static void *exchange(void *arg)
{
	while (!is_over)
		syscall(SYS_renameat2, c->dir, "x", c->dir, arg, RENAME_EXCHANGE);
	return NULL;
}

static void race(const char *other, void (*attack)(void))
{
	pthread_t thread;
	is_over = false;
	CHECK_EQ(pthread_create(&thread, NULL, exchange, (void *)(uintptr_t)other), 0);
	for (int i = 0; i < 3000; i++)
		attack();
	is_over = true;
	pthread_join(thread, NULL);
	check_outside();
}

/* What a server would do that goes by path: the control of the attack. */
static int crossed;
static bool is_by_path;

static void go_by_path(const char *path)
{
	char *text = get_file(c->dir, path);
	crossed += text && strcmp(text, SECRET) == 0;
}

/* Each as one who has just looked the name up. */
static void attack_directory(void)
{
	go_by_path("x/secret");
	struct fuse_mkdir_in mk = { .mode = 0755 };
	struct fuse_create_in cr = { .flags = O_RDWR | O_CREAT | O_TRUNC, .mode = S_IFREG | 0644 };
	uint64_t node = lookup(c, c->share, "x");
	if (!node)
		return;
	uint64_t below = lookup(c, node, "secret");
	struct fuse_open_in op = { .flags = O_RDONLY };
	if (below && CALL(c, FUSE_OPEN, below, ADD(op)) == 0) {
		struct fuse_open_out out;
		memcpy(&out, c->out, sizeof(out));
		struct fuse_read_in rd = { .fh = out.fh, .size = 100 };
		CHECK_EQ(CALL(c, FUSE_READ, below, ADD(rd)), 0);
		release_fh(c, below, out.fh, FUSE_RELEASE);
	}
	if (CALL(c, FUSE_CREATE, node, ADD(cr), add_name(c, "made")) == 0) {
		struct fuse_open_out out;
		memcpy(&out, c->out + sizeof(struct fuse_entry_out), sizeof(out));
		release_fh(c, entry_of(c, NULL), out.fh, FUSE_RELEASE);
	}
	CALL(c, FUSE_MKDIR, node, ADD(mk), add_name(c, "dir"));
	CALL(c, FUSE_SYMLINK, node, add_name(c, "link"), add_name(c, "t"));
	CALL(c, FUSE_UNLINK, node, add_name(c, "link"));
	CALL(c, FUSE_RMDIR, node, add_name(c, "dir"));
	CALL(c, FUSE_UNLINK, node, add_name(c, "made"));
	forget(c, node, 1);
}

static void attack_file(void)
{
	uint64_t node = lookup(c, c->share, "x");
	struct fuse_open_in op = { .flags = O_RDWR | O_TRUNC };
	struct fuse_setattr_in set = { .valid = FATTR_SIZE | FATTR_MODE, .mode = 0777 };
	struct fuse_setxattr_in xa = { .size = 1 };
	if (is_by_path)
		go_by_path("x");
	if (!node)
		return;
	CALL(c, FUSE_SETATTR, node, ADD(set));
	CALL(c, FUSE_SETXATTR, node, ADD(xa), add_name(c, "user.a"), add(c, "1", 1));
	if (CALL(c, FUSE_OPEN, node, ADD(op)) == 0) {
		struct fuse_open_out out;
		memcpy(&out, c->out, sizeof(out));
		struct fuse_write_in wr = { .fh = out.fh, .size = 4 };
		struct fuse_read_in rd = { .fh = out.fh, .size = 100 };
		CHECK_EQ(CALL(c, FUSE_WRITE, node, ADD(wr), add(c, "evil", 4)), 0);
		CHECK_EQ(CALL(c, FUSE_READ, node, ADD(rd)), 0);
		release_fh(c, node, out.fh, FUSE_RELEASE);
	}
	forget(c, node, 1);
}

TEST(races_with_a_directory_and_a_link)
{
	client_open(c, 0, 1000);
	CHECK_EQ(mkdirat(c->dir, "x", 0755), 0);
	put_file(c->dir, "x/secret", "mine");
	CHECK_EQ(symlinkat("../outside", c->dir, "l"), 0);
	race("l", attack_directory);
	CHECK(crossed > 0);
	client_close(c);
}

TEST(races_with_a_file_and_a_link)
{
	client_open(c, 0, 1000);
	put_file(c->dir, "x", "mine");
	CHECK_EQ(symlinkat("../outside/secret", c->dir, "l"), 0);
	is_by_path = true;
	race("l", attack_file);
	CHECK(crossed > 0);
	client_close(c);
}

static int opens_seen(int watch)
{
	char events[4096];
	int n = 0;
	ssize_t len;
	while ((len = read(watch, events, sizeof(events))) > 0)
		n += (int)(len / (ssize_t)sizeof(struct inotify_event));
	return n;
}

TEST(races_with_a_file_and_a_fifo)
{
	char path[64];
	client_open(c, 0, 1000);
	put_file(c->dir, "x", "mine");
	CHECK_EQ(mkfifoat(c->dir, "fifo", 0666), 0);
	int fifo = openat(c->dir, "fifo", O_PATH | O_CLOEXEC), watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fifo);
	CHECK(fifo >= 0 && inotify_add_watch(watch, path, IN_OPEN) >= 0);
	race("fifo", attack_file);
	CHECK_EQ(opens_seen(watch), 0);
	/* The control: an open() is seen. */
	close(open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC));
	CHECK_EQ(opens_seen(watch), 1);
	close(fifo);
	close(watch);
	client_close(c);
}

TEST_MAIN()
