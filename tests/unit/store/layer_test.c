/* SPDX-License-Identifier: Apache-2.0 */
/* Layers from tar to image: what is refused, what is contained, and that the
 * kernel, fsck.erofs and GNU tar agree on what comes out. */
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "erofs_mount.h"
#include "erofs_writer.h"
#include "fd.h"
#include "layer_apply.h"
#include "layer_dir.h"
#include "layer_export.h"
#include "str.h"
#include "tar_format.h"
#include "tar_number.h"
#include "tar_writer.h"
#include "test.h"

struct memory_source {
	const uint8_t *data;
	size_t len, step;
};

static int memory_next(void *ctx, const uint8_t **ret, size_t *ret_len, struct err *err)
{
	struct memory_source *m = ctx;
	size_t n = m->len < m->step ? m->len : m->step;
	*ret = m->data;
	*ret_len = n;
	m->data += n;
	m->len -= n;
	return 0;
}

/* Hand-made archives. */
static struct buf archive;

static void add_raw(const void *data, size_t len)
{
	archive.max = 64 << 20;
	CHECK_EQ(buf_append(&archive, data, len), 0);
	static const char zeros[TAR_BLOCK];
	CHECK_EQ(buf_append(&archive, zeros, (TAR_BLOCK - len % TAR_BLOCK) % TAR_BLOCK), 0);
}

static struct tar_header header(char type, const char *name, const char *link, size_t size)
{
	struct tar_header h = { .typeflag = type, .magic = "ustar" };
	memcpy(h.version, "00", 2);
	memcpy(h.name, name, strlen(name));
	memcpy(h.linkname, link, strlen(link));
	snprintf(h.mode, sizeof(h.mode), "%07o", type == '5' ? 0755 : 0644);
	snprintf(h.uid, sizeof(h.uid), "%07o", 0);
	snprintf(h.gid, sizeof(h.gid), "%07o", 0);
	snprintf(h.mtime, sizeof(h.mtime), "%011o", 1234567);
	snprintf(h.size, sizeof(h.size), "%011zo", size);
	return h;
}

static void add_header(struct tar_header h)
{
	uint32_t sum;
	int32_t unused;
	tar_number_checksum((const uint8_t *)&h, &sum, &unused);
	snprintf(h.chksum, sizeof(h.chksum), "%06o", sum);
	add_raw(&h, sizeof(h));
}

static void add(char type, const char *name, const char *link)
{
	add_header(header(type, name, link, 0));
}

static void add_file(const char *name, const char *text)
{
	add_header(header('0', name, "", strlen(text)));
	add_raw(text, strlen(text));
}

static void add_pax(const char *key, const char *value)
{
	char record[512];
	size_t n = strlen(key) + strlen(value) + 3;
	n += n + 2 > 99 ? 3 : 2;
	snprintf(record, sizeof(record), "%zu %s=%s\n", n, key, value);
	add_header(header('x', "pax", "", n));
	add_raw(record, n);
}

static int convert_step(int fd, size_t step, struct layer_stats *stats, struct err *err)
{
	struct memory_source m = { (const uint8_t *)archive.data, archive.len, step };
	struct erofs_writer *w = erofs_writer_new(fd);
	struct layer_limits limits = { 1ull << 40, 100000 };
	int r = layer_apply((struct tar_source){ memory_next, &m }, erofs_writer_sink(w), &limits, stats, err);
	erofs_writer_sink(w)->close(erofs_writer_sink(w));
	return r;
}

static int convert(struct err *err)
{
	CLEANUP_FREE char *path = str_printf("%s/image", test_tmpdir());
	CLEANUP_FD int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	struct layer_stats stats;
	int r = convert_step(fd, 100000, &stats, err);
	buf_clear(&archive);
	return r;
}

static int run(const char *command)
{
	pid_t pid = fork();
	if (pid == 0) {
		execl("/bin/sh", "sh", "-c", command, NULL);
		_exit(127);
	}
	int status;
	CHECK(waitpid(pid, &status, 0) == pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

static int run_in_tmp(const char *command)
{
	CLEANUP_FREE char *full = str_printf("cd %s && { %s; }", test_tmpdir(), command);
	return run(full);
}

/* Convert the archive and mount it at TMP/m. */
static void mount_layer(void)
{
	struct err err = ERR_INIT;
	if (convert(&err) < 0)
		test_fail(__FILE__, __LINE__, "%s", err.msg);
	CHECK_EQ(run_in_tmp("command -v fsck.erofs >/dev/null || exit 0; fsck.erofs image >/dev/null 2>&1"), 0);
	if (geteuid() != 0 || !erofs_is_supported())
		TEST_SKIP("mounting EROFS takes root and a kernel with EROFS");
	CLEANUP_FREE char *image = str_printf("%s/image", test_tmpdir());
	CLEANUP_FREE char *target = str_printf("%s/m", test_tmpdir());
	CHECK_EQ(mkdir(target, 0755), 0);
	/* Nothing of this is seen outside, and it goes when the test ends. */
	CHECK_EQ(unshare(CLONE_NEWNS), 0);
	CHECK_EQ(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	CHECK_EQ(erofs_mount_file(image, target), 0);
}

static void unmount_layer(void)
{
	CLEANUP_FREE char *target = str_printf("%s/m", test_tmpdir());
	CHECK_EQ(umount2(target, MNT_DETACH), 0);
}

static void check_refused(const char *what, const char *why)
{
	struct err err = ERR_INIT;
	if (convert(&err) >= 0)
		test_fail(__FILE__, __LINE__, "%s was accepted", what);
	if (err.kind != ERR_INVALID || !strstr(err.msg, why))
		test_fail(__FILE__, __LINE__, "%s: \"%s\" instead of \"%s\"", what, err.msg, why);
}

TEST(names_that_lead_out_are_refused)
{
	static const char *const names[] = { "../x", "a/../../x", "..", "/../x", "a/b/../../../x" };
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		add_file(names[i], "x");
		check_refused(names[i], "leads out");
		add_file("f", "x");
		add('1', "l", names[i]);
		check_refused(names[i], "leads out");
	}
}

TEST(impossible_entries_are_refused)
{
	static const struct {
		char type;
		const char *name, *link, *why;
	} bad[] = {
		{ '0', ".wh.", "", "whiteout of nothing" },
		{ '0', ".wh..", "", "whiteout of nothing" },
		{ '0', "a/.wh...", "", "whiteout of nothing" },
		{ '0', ".wh.a/b", "", "named like a whiteout" },
		{ '2', ".", "/etc", "root of the layer" },
		{ '2', "./", "/etc", "root of the layer" },
		{ '0', "/", "", "slash" },
		{ '1', "l", "missing", "not in this layer" },
		{ '2', "l", "", "without a target" },
		{ '1', "l", "", "without a target" },
		{ '0', "dir/", "", "slash" },
		{ 'Z', "x", "", "unknown type" },
		{ '0', "", "", "without a name" },
	};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		add(bad[i].type, bad[i].name, bad[i].link);
		check_refused(bad[i].name, bad[i].why);
	}
	add('5', "d", "");
	add('1', "l", "d");
	check_refused("link to a directory", "hard link to the directory");
	add_file("f", "x");
	add('1', "./f", "f");
	check_refused("link to itself", "itself");
	add_file("f", "x");
	add_file("f/g", "x");
	check_refused("file as a parent", "no directory");
	add('2', "a", "b");
	add('2', "b", "a");
	add_file("a/x", "x");
	check_refused("loop", "too many symbolic links");
	add_header(header('2', "l", "t", 5));
	check_refused("link with data", "has data");
}

TEST(bad_headers_are_refused)
{
	struct tar_header h = header('0', "f", "", 0);
	memset(h.size, 0xff, sizeof(h.size));
	add_header(h);
	check_refused("negative size", "bad size");
	h = header('0', "f", "", 0);
	memcpy(h.size, "99999999999", 11);
	add_header(h);
	check_refused("decimal size", "size");
	add_header(header('0', "f", "", 1000));
	check_refused("truncated", "in the middle");
	add_raw("garbage", 7);
	check_refused("garbage", "checksum");
	add_pax("path", "x");
	check_refused("header alone", "in the middle");
	add_pax("path", "x");
	add_pax("path", "y");
	add_file("f", "");
	check_refused("two headers", "two extended headers");
	add_pax("SCHILY.xattr.user.a", "x");
	((char *)archive.data)[TAR_BLOCK] = '9';
	add_file("f", "");
	check_refused("wrong record length", "malformed PAX");
	add_pax("GNU.sparse.realsize", "9223372036854775807");
	add_file("f", "");
	check_refused("8 EiB of holes", "bytes of file contents");
	add_pax("GNU.sparse.map", "5,1,0,1");
	add_file("f", "ab");
	check_refused("map without size", "sparse");
	char *path = str_printf("%0300d", 0);
	add_pax("path", path);
	add_file("f", "");
	check_refused("long component", "255");
	free(path);
}

static char *read_link_at(const char *name)
{
	char target[256];
	CLEANUP_FREE char *path = str_printf("%s/m/%s", test_tmpdir(), name);
	ssize_t n = readlink(path, target, sizeof(target) - 1);
	return n < 0 ? NULL : str_ndup(target, (size_t)n);
}

static struct stat stat_at(const char *name)
{
	struct stat st;
	CLEANUP_FREE char *path = str_printf("%s/m/%s", test_tmpdir(), name);
	if (lstat(path, &st) < 0)
		test_fail(__FILE__, __LINE__, "%s is missing", name);
	return st;
}

static bool is_there(const char *name)
{
	CLEANUP_FREE char *path = str_printf("%s/m/%s", test_tmpdir(), name);
	return faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

TEST(odd_names_are_contained)
{
	add_file("/abs/file", "1");
	add_file("./a/./b//../c", "2");
	add('2', "link", "/target/dir");
	add_file("link/through", "3");
	add('2', "up", "../../../up-target");
	add_file("up/x", "4");
	add('1', "hard", "/abs/file");
	mount_layer();
	CHECK_EQ(stat_at("abs/file").st_size, 1);
	CHECK_EQ(stat_at("abs/file").st_nlink, 2);
	CHECK_EQ(stat_at("abs/file").st_ino, stat_at("hard").st_ino);
	CHECK(is_there("a/c"));
	CHECK(is_there("target/dir/through"));
	CHECK(is_there("up-target/x"));
	CLEANUP_FREE char *target = read_link_at("up");
	CHECK_STR(target, "../../../up-target");
	unmount_layer();
}

TEST(whiteouts_become_devices_and_marks)
{
	add('5', "d", "");
	add_file("d/.wh..wh..opq", "");
	add_file(".wh.gone", "");
	add_file("kept", "x");
	add_file(".wh.kept", "");
	add_file(".wh.new", "");
	add('5', "new", "");
	add_file(".wh..wh.plnk/1.2", "");
	add('3', "forged", "");
	add_pax("SCHILY.xattr.user.overlay.opaque", "y");
	add('5', "forged-opaque", "");
	mount_layer();
	CHECK(S_ISCHR(stat_at("gone").st_mode));
	CHECK_EQ(stat_at("gone").st_rdev, 0);
	CHECK(S_ISREG(stat_at("kept").st_mode));
	CHECK(!is_there("forged"));
	CHECK(!is_there(".wh.gone"));
	CHECK(!is_there("d/.wh..wh..opq"));
	CHECK(!is_there(".wh..wh.plnk"));
	char value[8];
	static const struct {
		const char *name;
		int len;
	} dirs[] = { { "d", 1 }, { "new", 1 }, { "forged-opaque", -1 } };
	for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
		CLEANUP_FREE char *path = str_printf("%s/m/%s", test_tmpdir(), dirs[i].name);
		CHECK_EQ(getxattr(path, "user.overlay.opaque", value, sizeof(value)), dirs[i].len);
	}
	unmount_layer();
}

TEST(later_entries_replace_earlier_ones)
{
	add('5', "d", "");
	add_file("d/in", "x");
	add_file("d", "now a file");
	add_file("f", "x");
	add('5', "f", "");
	add_file("f/in", "y");
	add('2', "l", "target");
	add_file("l", "file");
	mount_layer();
	CHECK_EQ(stat_at("d").st_size, 10);
	CHECK(is_there("f/in"));
	CHECK(S_ISREG(stat_at("l").st_mode));
	CHECK(!is_there("target"));
	unmount_layer();
}

TEST(empty_layer_has_a_root)
{
	mount_layer();
	CHECK(S_ISDIR(stat_at("").st_mode));
	CHECK_EQ(stat_at("").st_mode & 07777, 0755);
	unmount_layer();
}

TEST(numbers_beyond_32_bits)
{
	struct tar_header h = header('0', "old", "", 0);
	memcpy(h.uid, "\x80\0\0\0\x7f\xff\xff\xfe", 8);
	memcpy(h.mtime, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 12);
	add_header(h);
	add_pax("mtime", "17179869184.25");
	add('0', "new", "");
	h = header('4', "dev", "", 0);
	memcpy(h.devmajor, "0000010", 7);
	memcpy(h.devminor, "1000001", 7);
	add_header(h);
	mount_layer();
	CHECK_EQ(stat_at("old").st_uid, 0x7ffffffe);
	CHECK_EQ(stat_at("old").st_mtim.tv_sec, -1);
	CHECK_EQ(stat_at("new").st_mtim.tv_sec, 17179869184);
	CHECK_EQ(stat_at("new").st_mtim.tv_nsec, 250000000);
	CHECK_EQ(major(stat_at("dev").st_rdev), 8);
	CHECK_EQ(minor(stat_at("dev").st_rdev), 01000001);
	unmount_layer();
}

TEST(same_bytes_however_the_pieces_come)
{
	struct layer_stats stats;
	struct err err = ERR_INIT;
	add('5', "d", "");
	add_file("d/a", "contents");
	add_pax("SCHILY.xattr.user.x", "value");
	add_file("d/b", "more");
	add('1', "c", "d/a");
	CLEANUP_FD int one = open(test_tmpdir(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	CLEANUP_FD int two = open(test_tmpdir(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	CHECK_EQ(convert_step(one, 1, &stats, &err), 0);
	CHECK_EQ(convert_step(two, 1 << 20, &stats, &err), 0);
	CHECK_EQ(stats.entries, 4);
	CLEANUP_BUF struct buf a = BUF_INIT(1 << 20), b = BUF_INIT(1 << 20);
	CHECK(lseek(one, 0, SEEK_SET) == 0 && lseek(two, 0, SEEK_SET) == 0);
	CHECK_EQ(fd_read_all(one, &a), 0);
	CHECK_EQ(fd_read_all(two, &b), 0);
	CHECK_EQ(a.len, b.len);
	CHECK(a.len && memcmp(a.data, b.data, a.len) == 0);
	buf_clear(&archive);
}

static void read_archive(const char *name)
{
	CLEANUP_FD int dir = open(test_tmpdir(), O_PATH | O_CLOEXEC);
	archive.max = 64 << 20;
	buf_clear(&archive);
	CHECK_EQ(fd_read_file_at(dir, name, &archive), 0);
}

/* A tree with everything, archived by GNU tar in each of its formats. */
static const char make_tree[] =
	"mkdir -p t/sub/deeper; cd t; echo hello >f; ln f hard; ln -s f sym; ln -s /etc/passwd abs;"
	"mknod fifo p; mknod null c 1 3; mknod big b 8 70000;"
	"truncate -s 10M sparse; printf x | dd of=sparse bs=1 seek=5000000 conv=notrunc status=none;"
	"head -c 70000 /dev/zero >zeros; printf y >>sparse;"
	"i=0; while [ $i -lt 400 ]; do : >sub/a-file-with-a-rather-long-name-$i; i=$((i+1)); done;"
	"n=$(printf '%0200d' 0); mkdir $n; echo long >$n/$n; ln -s $n/$n longlink; ln $n/$n longhard;"
	"touch -d 2500-01-01T00:00:00.5 sub/future; touch -d 1950-01-01 sub/past; chown 100000:70000 sub/future;"
	"chmod 4755 zeros; : >sub/+plus; : >'sub/ blank'; : >sub/...";

static const char compare_trees[] =
	"list() { (cd $1 && find . -printf '%p %y %m %U %G %s %n %l %T@\\n' | sed 's/^\\(.* d [0-9]* [0-9]* [0-9]*\\) [0-9]*/\\1/' |"
	" sort; find . -type f -print0 | sort -z | xargs -0 sha256sum;"
	" find . \\( -type b -o -type c \\) -printf '%p ' -exec stat -c '%t:%T' {} \\; | sort); };"
	"list x >x.list; list m >m.list; diff x.list m.list";

static void check_format(const char *format)
{
	if (geteuid() != 0)
		TEST_SKIP("making devices takes root");
	CLEANUP_FREE char *pack = str_printf("(%s) && tar cSf a.tar --format=%s -C t . && mkdir x && tar xpSf a.tar -C x 2>/dev/null",
					     make_tree, format);
	CHECK_EQ(run_in_tmp(pack), 0);
	read_archive("a.tar");
	mount_layer();
	CHECK_EQ(run_in_tmp(compare_trees), 0);
	unmount_layer();
}

TEST(gnu_archive_as_gnu_tar_has_it)
{
	check_format("gnu");
}

TEST(pax_archive_as_gnu_tar_has_it)
{
	check_format("pax");
}

TEST(pax_archive_with_old_sparse_maps)
{
	check_format("pax --sparse-version=0.1");
}

TEST(pax_archive_with_oldest_sparse_maps)
{
	check_format("pax --sparse-version=0.0");
}

TEST(directory_fallback_is_the_same_tree)
{
	if (geteuid() != 0)
		TEST_SKIP("making devices takes root");
	CLEANUP_FREE char *pack = str_printf("(%s) && tar cf a.tar --format=pax -C t . && mkdir x d "
					     "&& tar xpf a.tar -C x",
					     make_tree);
	CHECK_EQ(run_in_tmp(pack), 0);
	read_archive("a.tar");
	CLEANUP_FREE char *path = str_printf("%s/d", test_tmpdir());
	CLEANUP_FD int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct memory_source m = { (const uint8_t *)archive.data, archive.len, 100000 };
	struct layer_limits limits = { 1ull << 40, 100000 };
	struct layer_stats stats;
	struct err err = ERR_INIT;
	struct layer_sink *sink = layer_dir_new(dir);
	if (layer_apply((struct tar_source){ memory_next, &m }, sink, &limits, &stats, &err) < 0)
		test_fail(__FILE__, __LINE__, "%s", err.msg);
	sink->close(sink);
	CHECK_EQ(run_in_tmp("ln -s d m"), 0);
	CHECK_EQ(run_in_tmp(compare_trees), 0);
}

TEST(an_upper_directory_becomes_a_layer_and_back)
{
	if (geteuid() != 0)
		TEST_SKIP("making devices takes root");
	CLEANUP_FREE char *make = str_printf("(%s) && mknod t/sub/gone c 0 0 && mkdir t/opaque && mkdir x", make_tree);
	CHECK_EQ(run_in_tmp(make), 0);
	CLEANUP_FREE char *opaque = str_printf("%s/t/opaque", test_tmpdir());
	if (setxattr(opaque, "user.overlay.opaque", "y", 1, 0) < 0)
		TEST_SKIP("no user xattrs on this file system");
	CLEANUP_FREE char *tree = str_printf("%s/t", test_tmpdir());
	CLEANUP_FREE char *tar = str_printf("%s/a.tar", test_tmpdir());
	CLEANUP_FD int dir = open(tree, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CLEANUP_FD int out = open(tar, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	struct err err = ERR_INIT;
	uint64_t bytes = 0;
	if (layer_export(dir, LAYER_EXPORT_UPPER, NULL, out, &bytes, &err) < 0)
		test_fail(__FILE__, __LINE__, "%s", err.msg);
	struct stat st;
	CHECK_EQ(fstat(out, &st), 0);
	CHECK_EQ(st.st_size, bytes);
	CHECK_EQ(run_in_tmp("tar xpf a.tar -C x 2>/dev/null && test -f x/sub/.wh.gone && test -f x/opaque/.wh..wh..opq"), 0);
	read_archive("a.tar");
	mount_layer();
	CHECK(S_ISCHR(stat_at("sub/gone").st_mode));
	CHECK(!is_there("opaque/.wh..wh..opq"));
	CHECK_EQ(run_in_tmp("rm -r x; mv t x; touch -d @0 x/sub/gone; chmod 0 x/sub/gone; touch -r x m.ref;"
			    "(cd x && find . -printf '%p %y %U %G %l\\n' | sort) >x.l; (cd m && find . -printf '%p %y %U %G %l\\n' | sort)"
			    " >m.l; diff x.l m.l"),
		 0);
	unmount_layer();
}

TEST_MAIN()
