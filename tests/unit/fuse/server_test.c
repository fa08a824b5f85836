/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse_client.h"

static struct client client, *c = &client;

TEST(init_agrees_on_what_both_know)
{
	struct fuse_init_out out;
	client_open(c, 0, 1000);
	CHECK_EQ(client_init(c, 45), 0);
	memcpy(&out, c->out, sizeof(out));
	CHECK_EQ(out.minor, FUSE_KERNEL_MINOR_VERSION);
	CHECK_EQ(out.max_write, 1 << 20);
	CHECK(out.flags & FUSE_POSIX_LOCKS && out.flags & FUSE_HANDLE_KILLPRIV_V2 && out.flags & FUSE_DONT_MASK);
	CHECK(!(out.flags & (FUSE_WRITEBACK_CACHE | FUSE_EXPORT_SUPPORT | FUSE_NO_OPEN_SUPPORT)));
	CHECK_EQ(client_init(c, 30), -EPROTO);
	struct fuse_init_in in = { .major = 8 };
	CHECK_EQ(CALL(c, FUSE_INIT, 0, ADD(in)), 0);
	memcpy(&out, c->out, sizeof(out));
	CHECK_EQ(out.major, 7);
	client_close(c);
}

TEST(a_second_init_forgets_everything)
{
	uint64_t fh;
	struct fuse_read_in in = { .size = 10 };
	client_open(c, 0, 1000);
	uint64_t node = create(c, c->share, "f", &fh);
	CHECK_EQ(client_init(c, 38), 0);
	in.fh = fh;
	CHECK_EQ(CALL(c, FUSE_READ, node, ADD(in)), -EBADF);
	struct fuse_getattr_in get = { 0 };
	CHECK_EQ(CALL(c, FUSE_GETATTR, node, ADD(get)), -ESTALE);
	/* Shares are there as before. */
	CHECK_EQ(lookup(c, FUSE_ROOT_ID, "s"), c->share);
	CHECK(lookup(c, c->share, "f") != node);
	client_close(c);
}

TEST(no_file_before_init)
{
	client_open(c, 0, 1000);
	fuse_worker_free(c->w);
	fuse_server_free(c->s);
	struct err err = ERR_INIT;
	struct fuse_share share = { .name = "s", .fd = c->dir };
	struct fuse_server_config config = { &share, 1, c->proc, 100, 100, false };
	CHECK_EQ(fuse_server_new(&config, &c->s, &err), 0);
	c->w = fuse_worker_new(c->s);
	CHECK_EQ(CALL(c, FUSE_LOOKUP, 1, add_name(c, "s")), -EIO);
	client_close(c);
}

TEST(read_and_write)
{
	uint64_t fh;
	struct fuse_write_in w = { .offset = 3, .size = 5 };
	struct fuse_read_in r = { .size = 100 };
	client_open(c, 0, 1000);
	uint64_t node = create(c, c->share, "f", &fh);
	w.fh = r.fh = fh;
	CHECK_EQ(CALL(c, FUSE_WRITE, node, ADD(w), add(c, "hello", 5)), 0);
	CHECK_EQ(*(const uint32_t *)(const void *)c->out, 5);
	CHECK_EQ(CALL(c, FUSE_READ, node, ADD(r)), 0);
	CHECK_EQ(c->out_len, 8);
	CHECK(memcmp(c->out, "\0\0\0hello", 8) == 0);
	/* Appends go to the end as it is. */
	int host = openat(c->dir, "f", O_WRONLY | O_APPEND | O_CLOEXEC);
	CHECK_EQ(write(host, "host", 4), 4);
	close(host);
	w.flags = O_WRONLY | O_APPEND;
	CHECK_EQ(CALL(c, FUSE_WRITE, node, ADD(w), add(c, "guest", 5)), 0);
	CHECK_EQ(CALL(c, FUSE_READ, node, ADD(r)), 0);
	CHECK(c->out_len == 17 && memcmp(c->out + 8, "hostguest", 9) == 0);
	/* A size that is more than came. */
	w.size = 6;
	CHECK_EQ(CALL(c, FUSE_WRITE, node, ADD(w), add(c, "guest", 5)), -EINVAL);
	CHECK_EQ(release_fh(c, node, fh, FUSE_RELEASE), 0);
	CHECK_EQ(release_fh(c, node, fh, FUSE_RELEASE), -EBADF);
	CHECK_EQ(CALL(c, FUSE_READ, node, ADD(r)), -EBADF);
	client_close(c);
}

TEST(attributes)
{
	struct fuse_setattr_in in = { .valid = FATTR_MODE | FATTR_SIZE | FATTR_MTIME | FATTR_ATIME, .mode = 0751, .size = 77,
				      .mtime = 1000, .mtimensec = 5, .atime = 2000 };
	struct fuse_attr_out out;
	client_open(c, 0, 1000);
	put_file(c->dir, "f", "x");
	uint64_t node = lookup(c, c->share, "f");
	CHECK_EQ(CALL(c, FUSE_SETATTR, node, ADD(in)), 0);
	memcpy(&out, c->out, sizeof(out));
	CHECK_EQ(out.attr.mode, S_IFREG | 0751);
	CHECK_EQ(out.attr.size, 77);
	CHECK_EQ(out.attr.mtime, 1000);
	CHECK_EQ(out.attr.mtimensec, 5);
	CHECK_EQ(out.attr.atime, 2000);
	CHECK_EQ(out.attr_valid, 0);
	in.valid = FATTR_SIZE;
	in.size = UINT64_MAX;
	CHECK_EQ(CALL(c, FUSE_SETATTR, node, ADD(in)), -EFBIG);
	in.valid = FATTR_SIZE;
	CHECK_EQ(CALL(c, FUSE_SETATTR, c->share, ADD(in)), -EISDIR);
	CHECK_EQ(symlinkat("f", c->dir, "l"), 0);
	in.valid = FATTR_MODE;
	CHECK_EQ(CALL(c, FUSE_SETATTR, lookup(c, c->share, "l"), ADD(in)), -EOPNOTSUPP);
	client_close(c);
}

static uint64_t mtime_of(uint64_t node)
{
	struct fuse_getattr_in get = { 0 };
	struct fuse_attr_out out;
	CHECK_EQ(CALL(c, FUSE_GETATTR, node, ADD(get)), 0);
	memcpy(&out, c->out, sizeof(out));
	CHECK(out.attr.mtimensec < 1000000000);
	return out.attr.mtime * 1000000000 + out.attr.mtimensec;
}

/* A guest must not take a file for unchanged that changes twice in one step of the clock. */
TEST(changes_in_quick_succession_are_told_apart)
{
	struct stat st;
	client_open(c, 0, 1000);
	uint64_t last = 0;
	for (int i = 0; i < 100; i++) {
		put_file(c->dir, "f", "x");
		uint64_t now = mtime_of(lookup(c, c->share, "f"));
		CHECK(now != last);
		last = now;
	}
	/* Then the truth, or near it while it is fresh. */
	CHECK_EQ(fstatat(c->dir, "f", &st, 0), 0);
	uint64_t node = lookup(c, c->share, "f"), truth = (uint64_t)st.st_mtim.tv_sec * 1000000000 + (uint64_t)st.st_mtim.tv_nsec;
	CHECK(llabs((long long)(mtime_of(node) - truth)) < 100000);
	usleep(50000);
	CHECK_EQ(mtime_of(node), truth);
	client_close(c);
}

TEST(private_shares_are_remembered)
{
	struct fuse_entry_out e;
	client_open(c, FUSE_SHARE_PRIVATE, 1000);
	put_file(c->dir, "f", "x");
	CHECK_EQ(CALL(c, FUSE_LOOKUP, c->share, add_name(c, "f")), 0);
	entry_of(c, &e);
	CHECK(e.entry_valid > 1000 && e.attr_valid > 1000);
	/* And so is what is not there. */
	CHECK_EQ(CALL(c, FUSE_LOOKUP, c->share, add_name(c, "none")), 0);
	CHECK_EQ(entry_of(c, &e), 0);
	CHECK(e.entry_valid > 1000);
	client_close(c);
}

static uint32_t open_flags(uint64_t node, uint32_t flags)
{
	struct fuse_open_in in = { .flags = flags };
	struct fuse_open_out out;
	CHECK_EQ(CALL(c, FUSE_OPEN, node, ADD(in)), 0);
	memcpy(&out, c->out, sizeof(out));
	return out.open_flags;
}

static uint32_t create_flags(const char *name, uint32_t flags)
{
	struct fuse_create_in in = { .flags = flags | O_CREAT, .mode = S_IFREG | 0644 };
	struct fuse_open_out out;
	CHECK_EQ(CALL(c, FUSE_CREATE, c->share, ADD(in), add_name(c, name)), 0);
	memcpy(&out, c->out + sizeof(struct fuse_entry_out), sizeof(out));
	return out.open_flags;
}

/* Else the guest's kernel makes two requests of a write that crosses a page. */
TEST(an_append_is_one_request)
{
	struct fuse_init_in in = { .major = 7, .minor = 39, .flags = FUSE_INIT_EXT, .flags2 = ~0u };
	struct fuse_init_out out;
	client_open(c, 0, 1000);
	put_file(c->dir, "f", "x");
	uint64_t node = lookup(c, c->share, "f");
	CHECK(open_flags(node, O_WRONLY | O_APPEND) & FOPEN_DIRECT_IO);
	CHECK(create_flags("new", O_WRONLY | O_APPEND) & FOPEN_DIRECT_IO);
	CHECK(create_flags("f", O_WRONLY | O_APPEND) & FOPEN_DIRECT_IO);
	CHECK(!(open_flags(node, O_WRONLY) & FOPEN_DIRECT_IO));
	CHECK(!(open_flags(node, O_RDONLY | O_APPEND) & FOPEN_DIRECT_IO));
	/* It could not be mapped any more. */
	CHECK(!(open_flags(node, O_RDWR | O_APPEND) & FOPEN_DIRECT_IO));
	CHECK_EQ(CALL(c, FUSE_INIT, 0, ADD(in)), 0);
	memcpy(&out, c->out, sizeof(out));
	CHECK_EQ(out.flags2, 1u << 4);
	node = lookup(c, c->share, "f");
	CHECK(open_flags(node, O_RDWR | O_APPEND) & FOPEN_DIRECT_IO);
	client_close(c);
	/* Nobody else writes there. */
	client_open(c, FUSE_SHARE_PRIVATE, 1000);
	put_file(c->dir, "f", "x");
	CHECK_EQ(open_flags(lookup(c, c->share, "f"), O_WRONLY | O_APPEND), FOPEN_KEEP_CACHE);
	client_close(c);
}

TEST(read_only_shares)
{
	struct fuse_mkdir_in mk = { .mode = 0755 };
	struct fuse_open_in op = { .flags = O_RDWR };
	client_open(c, FUSE_SHARE_READ_ONLY, 1000);
	put_file(c->dir, "f", "x");
	uint64_t node = lookup(c, c->share, "f");
	CHECK_EQ(CALL(c, FUSE_MKDIR, c->share, ADD(mk), add_name(c, "d")), -EROFS);
	CHECK_EQ(CALL(c, FUSE_UNLINK, c->share, add_name(c, "f")), -EROFS);
	CHECK_EQ(CALL(c, FUSE_OPEN, node, ADD(op)), -EROFS);
	op.flags = O_RDONLY | O_TRUNC;
	CHECK_EQ(CALL(c, FUSE_OPEN, node, ADD(op)), -EROFS);
	uint64_t fh = open_node(c, node, FUSE_OPEN, O_RDONLY);
	struct fuse_write_in w = { .fh = fh, .size = 1 };
	CHECK_EQ(CALL(c, FUSE_WRITE, node, ADD(w), add(c, "y", 1)), -EBADF);
	struct fuse_fallocate_in fa = { .fh = fh, .length = 100 };
	CHECK_EQ(CALL(c, FUSE_FALLOCATE, node, ADD(fa)), -EBADF);
	CHECK_STR(get_file(c->dir, "f"), "x");
	client_close(c);
}

/* Names in a directory, each with its attributes when @plus; the place after the last in *ret_off. */
static int list(uint64_t fh, uint64_t offset, uint32_t size, bool plus, uint64_t *ret_off)
{
	struct fuse_read_in in = { .fh = fh, .offset = offset, .size = size };
	size_t head = plus ? sizeof(struct fuse_entry_out) : 0;
	int n = 0;
	CHECK_EQ(CALL(c, plus ? FUSE_READDIRPLUS : FUSE_READDIR, c->share, ADD(in)), 0);
	CHECK(c->out_len <= size);
	for (size_t at = 0; at < c->out_len; n++) {
		struct fuse_dirent d;
		memcpy(&d, c->out + at + head, FUSE_NAME_OFFSET);
		CHECK(d.namelen > 0 && at + head + FUSE_NAME_OFFSET + d.namelen <= c->out_len);
		*ret_off = d.off;
		at += FUSE_DIRENT_ALIGN(head + FUSE_NAME_OFFSET + d.namelen);
	}
	return n;
}

TEST(directories_in_pieces)
{
	char name[32];
	client_open(c, 0, 1000);
	for (int i = 0; i < 300; i++) {
		snprintf(name, sizeof(name), "file-%d", i);
		put_file(c->dir, name, "");
	}
	for (int plus = 0; plus < 2; plus++) {
		uint64_t fh = open_node(c, c->share, FUSE_OPENDIR, O_RDONLY), off = 0, middle = 0;
		int total = 0, half = 0, n;
		while ((n = list(fh, off, 700, plus, &off)) > 0) {
			total += n;
			if (!middle && total > 100) {
				middle = off;
				half = total;
			}
		}
		CHECK_EQ(total, 302);
		/* Back to a place of before, and to the start. */
		for (off = middle, n = 0; (total = list(fh, off, 4096, plus, &off)) > 0;)
			n += total;
		CHECK_EQ(n, 302 - half);
		CHECK(list(fh, 0, 4096, plus, &off) > 10);
		CHECK_EQ(release_fh(c, c->share, fh, FUSE_RELEASEDIR), 0);
	}
	client_close(c);
}

TEST(more_files_than_descriptors)
{
	struct fuse_getattr_in get = { 0 };
	static uint64_t nodes[600];
	char name[32];
	client_open(c, 0, 128);
	for (int i = 0; i < 600; i++) {
		struct fuse_mkdir_in mk = { .mode = 0755 };
		snprintf(name, sizeof(name), "d-%d", i);
		CHECK_EQ(CALL(c, FUSE_MKDIR, c->share, ADD(mk), add_name(c, name)), 0);
		nodes[i] = entry_of(c, NULL);
	}
	/* Each is reached, though most have been closed meanwhile, also where
	 * another name leads. */
	struct fuse_rename_in rn = { .newdir = nodes[0] };
	CHECK_EQ(CALL(c, FUSE_RENAME, c->share, ADD(rn), add_name(c, "d-5"), add_name(c, "moved")), 0);
	for (int i = 0; i < 600; i++) {
		struct fuse_mkdir_in mk = { .mode = 0700 };
		CHECK_EQ(CALL(c, FUSE_GETATTR, nodes[i], ADD(get)), 0);
		CHECK_EQ(CALL(c, FUSE_MKDIR, nodes[i], ADD(mk), add_name(c, "below")), 0);
	}
	CHECK_EQ(faccessat(c->dir, "d-0/moved/below", F_OK, 0), 0);
	/* What the host has put in its place is another object. */
	CHECK_EQ(unlinkat(c->dir, "d-7/below", AT_REMOVEDIR), 0);
	CHECK_EQ(unlinkat(c->dir, "d-7", AT_REMOVEDIR), 0);
	put_file(c->dir, "d-7", "other");
	for (int i = 100; i < 300; i++)
		CHECK_EQ(CALL(c, FUSE_LOOKUP, nodes[i], add_name(c, "below")), 0);
	CHECK_EQ(CALL(c, FUSE_GETATTR, nodes[7], ADD(get)), -ESTALE);
	/* Open ones are not closed: at half of all there are too many. */
	int opened = 0;
	for (int i = 10; i < 600; i++) {
		struct fuse_open_in op = { .flags = O_RDONLY };
		int r = CALL(c, FUSE_OPENDIR, nodes[i], ADD(op));
		CHECK(r == 0 || r == -ENFILE);
		opened += r == 0;
	}
	CHECK_EQ(opened, 64);
	CHECK_EQ(CALL(c, FUSE_GETATTR, nodes[500], ADD(get)), 0);
	client_close(c);
}

TEST(forgotten_is_forgotten)
{
	struct fuse_getattr_in get = { 0 };
	client_open(c, 0, 1000);
	put_file(c->dir, "f", "x");
	uint64_t node = lookup(c, c->share, "f");
	CHECK_EQ(lookup(c, c->share, "f"), node);
	CHECK_EQ(forget(c, node, 1), 1);
	CHECK_EQ(CALL(c, FUSE_GETATTR, node, ADD(get)), 0);
	struct fuse_batch_forget_in batch = { .count = 2 };
	struct fuse_forget_one ones[2] = { { .nodeid = node, .nlookup = 1 }, { .nodeid = 12345, .nlookup = 1 } };
	CHECK_EQ(CALL(c, FUSE_BATCH_FORGET, 0, ADD(batch), ADD(ones)), 1);
	CHECK_EQ(CALL(c, FUSE_GETATTR, node, ADD(get)), -ESTALE);
	/* Never the same number again; and a share's root stays. */
	CHECK(lookup(c, c->share, "f") != node);
	CHECK_EQ(forget(c, c->share, UINT64_MAX), 1);
	CHECK_EQ(forget(c, FUSE_ROOT_ID, UINT64_MAX), 1);
	CHECK_EQ(lookup(c, FUSE_ROOT_ID, "s"), c->share);
	/* Open, and forgotten: it lives while it is open. */
	uint64_t fh;
	node = create(c, c->share, "g", &fh);
	CHECK_EQ(forget(c, node, 1), 1);
	CHECK_EQ(CALL(c, FUSE_GETATTR, node, ADD(get)), 0);
	CHECK_EQ(release_fh(c, node, fh, FUSE_RELEASE), 0);
	CHECK_EQ(CALL(c, FUSE_GETATTR, node, ADD(get)), -ESTALE);
	client_close(c);
}

TEST(a_name_that_goes_keeps_the_object)
{
	struct fuse_getattr_in get = { 0 };
	struct fuse_link_in ln;
	client_open(c, 0, 1000);
	put_file(c->dir, "f", "x");
	CHECK_EQ(linkat(c->dir, "f", c->dir, "other", 0), 0);
	uint64_t node = lookup(c, c->share, "f");
	CHECK_EQ(CALL(c, FUSE_UNLINK, c->share, add_name(c, "f")), 0);
	CHECK_EQ(CALL(c, FUSE_GETATTR, node, ADD(get)), 0);
	/* It can have another name again, which is what overlayfs does. */
	ln.oldnodeid = node;
	CHECK_EQ(CALL(c, FUSE_LINK, c->share, ADD(ln), add_name(c, "again")), 0);
	CHECK_EQ(entry_of(c, NULL), node);
	CHECK_STR(get_file(c->dir, "again"), "x");
	/* The same for what a rename replaces. */
	put_file(c->dir, "new", "n");
	CHECK_EQ(lookup(c, c->share, "again"), node);
	struct fuse_rename2_in rn = { .newdir = c->share };
	CHECK_EQ(CALL(c, FUSE_RENAME2, c->share, ADD(rn), add_name(c, "new"), add_name(c, "again")), 0);
	CHECK_EQ(CALL(c, FUSE_GETATTR, node, ADD(get)), 0);
	rn.flags = 8;
	CHECK_EQ(CALL(c, FUSE_RENAME2, c->share, ADD(rn), add_name(c, "other"), add_name(c, "again")), -EINVAL);
	rn.flags = RENAME_NOREPLACE;
	CHECK_EQ(CALL(c, FUSE_RENAME2, c->share, ADD(rn), add_name(c, "other"), add_name(c, "again")), -EEXIST);
	client_close(c);
}

TEST(locks_of_two_processes)
{
	uint64_t fh;
	struct fuse_lk_in a = { .owner = 1, .lk = { .start = 10, .end = 19, .type = F_WRLCK, .pid = 7 } }, b = a;
	struct fuse_lk_out out;
	client_open(c, 0, 1000);
	uint64_t node = create(c, c->share, "f", &fh);
	a.fh = b.fh = fh;
	b.owner = 2;
	CHECK_EQ(CALL(c, FUSE_SETLK, node, ADD(a)), 0);
	CHECK_EQ(CALL(c, FUSE_SETLK, node, ADD(b)), -EAGAIN);
	CHECK_EQ(CALL(c, FUSE_GETLK, node, ADD(b)), 0);
	memcpy(&out, c->out, sizeof(out));
	CHECK_EQ(out.lk.type, F_WRLCK);
	CHECK_EQ(out.lk.start, 10);
	CHECK_EQ(out.lk.end, 19);
	CHECK_EQ(out.lk.pid, 7);
	/* The host's processes are held off, too. */
	struct flock fl = { .l_type = F_WRLCK, .l_start = 0, .l_len = 0 };
	int host = openat(c->dir, "f", O_RDWR | O_CLOEXEC);
	CHECK_EQ(fcntl(host, F_OFD_SETLK, &fl), -1);
	b.lk.start = 20;
	b.lk.end = INT64_MAX;
	CHECK_EQ(CALL(c, FUSE_SETLK, node, ADD(b)), 0);
	b.lk.type = 77;
	CHECK_EQ(CALL(c, FUSE_SETLK, node, ADD(b)), -EINVAL);
	struct fuse_flush_in flush = { .fh = fh, .lock_owner = 2 };
	CHECK_EQ(CALL(c, FUSE_FLUSH, node, ADD(flush)), 0);
	flush.lock_owner = 1;
	CHECK_EQ(CALL(c, FUSE_FLUSH, node, ADD(flush)), 0);
	CHECK_EQ(fcntl(host, F_OFD_SETLK, &fl), 0);
	close(host);
	client_close(c);
}

TEST(what_is_not_served_is_said)
{
	struct fuse_access_in access = { 0 };
	struct fuse_ioctl_in ioctl = { 0 };
	client_open(c, 0, 1000);
	CHECK_EQ(CALL(c, FUSE_ACCESS, c->share, ADD(access)), -ENOSYS);
	CHECK_EQ(CALL(c, FUSE_IOCTL, c->share, ADD(ioctl)), -ENOTTY);
	CHECK_EQ(CALL(c, FUSE_POLL, c->share, ADD(ioctl)), -ENOSYS);
	CHECK_EQ(CALL(c, FUSE_SETUPMAPPING, c->share, ADD(ioctl)), -ENOSYS);
	CHECK_EQ(CALL(c, 4711, c->share, ADD(ioctl)), -ENOSYS);
	CHECK_EQ(CALL(c, CUSE_INIT, c->share, ADD(ioctl)), -ENOSYS);
	client_close(c);
}

TEST_MAIN()
