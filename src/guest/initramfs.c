/* SPDX-License-Identifier: Apache-2.0 */
#include "initramfs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "buf.h"
#include "fd.h"
#include "guest_modules.h"

#define INITRAMFS_MAX_BYTES (128u << 20)
#define FOLDER "kernels/.initramfs"

/* What a guest needs of its kernel, by use. IPv6 and loop devices are missed by
 * some workloads only. */
static const char *const sandbox_modules[] = { "erofs", "overlay", "fuse", "?ipv6", "?loop", "?binfmt_misc", "?ext4", NULL };
static const char *const microvm_modules[] = {
	"erofs", "overlay", "fuse", "virtio_mmio", "virtio_blk", "?virtio_console", "virtio_net", "vmw_vsock_virtio_transport", "virtiofs",
	"?virtio_pmem", "?nd_pmem", "?virtio_balloon", "?virtio_rng", "?ipv6", "?loop", "?binfmt_misc", "?ext4", NULL,
};

/* ---- newc ---- */

static int pad(struct buf *out)
{
	static const char zeros[4] = { 0 };
	return buf_append(out, zeros, -out->len & 3);
}

static int put_entry(struct buf *out, const char *name, mode_t mode, dev_t device, const void *data, size_t len)
{
	int r = buf_printf(out, "070701%08x%08x%08x%08x%08x%08x%08zx%08x%08x%08x%08x%08zx%08x", 0u, (unsigned)mode, 0u, 0u, 1u, 0u, len, 0u,
			   0u, major(device), minor(device), strlen(name) + 1, 0u);
	if (r == 0)
		r = buf_append(out, name, strlen(name) + 1);
	if (r == 0)
		r = pad(out);
	if (r == 0 && len)
		r = buf_append(out, data, len);
	return r < 0 ? r : pad(out);
}

static int put_file(struct buf *out, const char *name, mode_t mode, const char *path, struct err *err)
{
	CLEANUP_BUF struct buf data = BUF_INIT(INITRAMFS_MAX_BYTES);
	int r = fd_read_file_at(AT_FDCWD, path, &data);
	if (r == 0)
		r = put_entry(out, name, S_IFREG | mode, 0, data.data, data.len);
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "put %s into the initramfs", path) : 0;
}

static int put_modules(struct buf *out, const struct guest_kernel *kernel, struct err *err)
{
	CLEANUP_STRV struct strv files = { 0 };
	CLEANUP_BUF struct buf order = BUF_INIT(65536);
	int r = guest_modules_resolve(kernel->modules_dir, kernel->use == GUEST_KERNEL_SANDBOX ? sandbox_modules : microvm_modules,
				      &files, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < files.n && r == 0; i++) {
		const char *slash = strrchr(files.v[i], '/');
		const char *base = slash ? slash + 1 : files.v[i];
		CLEANUP_FREE char *path = str_printf("%s/%s", kernel->modules_dir, files.v[i]);
		CLEANUP_FREE char *name = str_printf("modules/%s", base);
		r = put_file(out, name, 0444, path, err);
		if (r == 0)
			r = buf_printf(&order, "%s\n", base);
	}
	return r < 0 ? r : put_entry(out, "modules/order", S_IFREG | 0444, 0, order.data, order.len);
}

static int make(const struct guest_kernel *kernel, const char *init, struct buf *out, struct err *err)
{
	static const struct {
		const char *name;
		mode_t mode;
		unsigned major, minor;
	} nodes[] = {
		{ "dev", S_IFDIR | 0755, 0, 0 },     { "proc", S_IFDIR | 0555, 0, 0 },	 { "sys", S_IFDIR | 0555, 0, 0 },
		{ "modules", S_IFDIR | 0755, 0, 0 }, { "dev/console", S_IFCHR | 0600, 5, 1 },
	};
	int r = 0;
	for (size_t i = 0; i < ARRAY_LEN(nodes) && r == 0; i++)
		r = put_entry(out, nodes[i].name, nodes[i].mode, makedev(nodes[i].major, nodes[i].minor), NULL, 0);
	if (r == 0)
		r = put_file(out, "init", 0755, init, err);
	if (r == 0 && kernel->modules_dir)
		r = put_modules(out, kernel, err);
	if (r == 0)
		r = put_entry(out, "TRAILER!!!", 0, 0, NULL, 0);
	if (r < 0 && !err_is_set(err))
		(void)err_set(err, ERR_SYSTEM, r, "make the initramfs");
	return r;
}

/* ---- the cache ---- */

static void mix(uint64_t *hash, const void *data, size_t len) /* FNV-1a */
{
	for (const unsigned char *p = data; len--; p++)
		*hash = (*hash ^ *p) * 0x100000001b3ULL;
}

static int mix_file(uint64_t *hash, const char *path, struct err *err)
{
	struct stat st;
	if (stat(path, &st) < 0)
		return err_set(err, ERR_SYSTEM, -errno, "look at %s", path);
	mix(hash, path, strlen(path));
	mix(hash, &st.st_ino, sizeof(st.st_ino));
	mix(hash, &st.st_size, sizeof(st.st_size));
	mix(hash, &st.st_mtim, sizeof(st.st_mtim));
	return 0;
}

/* Those of the same kernel that stand for what is no longer there. */
static void remove_others(int dir, const char *prefix, const char *keep)
{
	CLEANUP_FD int copy = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = copy < 0 ? NULL : fdopendir(copy);
	struct dirent *e;
	if (!d)
		return;
	(void)TAKE_FD(copy);
	while ((e = readdir(d)))
		if (str_starts_with(e->d_name, prefix) && !str_eq(e->d_name, keep))
			(void)unlinkat(dir, e->d_name, 0);
	closedir(d);
}

/* One at a time, so that what another writer has begun is left alone. */
static int add(const struct guest_kernel *kernel, const char *init, const char *folder, const char *prefix, const char *name,
	       struct err *err)
{
	CLEANUP_BUF struct buf out = BUF_INIT(INITRAMFS_MAX_BYTES);
	int r = fd_mkdir_parents(folder, 0700);
	CLEANUP_FD int dir = r < 0 ? -1 : open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (r == 0 && (dir < 0 || flock(dir, LOCK_EX) < 0))
		r = -errno;
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "open %s", folder);
	if (faccessat(dir, name, R_OK, 0) == 0)
		return 0;
	r = make(kernel, init, &out, err);
	if (r < 0)
		return err_context(err, r, "prepare the kernel %s", kernel->name);
	remove_others(dir, prefix, name);
	r = fd_replace_file_at(dir, name, out.data, out.len, 0444, false);
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "write %s/%s", folder, name) : 0;
}

int initramfs_ensure(const char *root, const struct guest_kernel *kernel, const char *init, char **ret, struct err *err)
{
	uint64_t of_kernel = 0xcbf29ce484222325ULL, hash;
	mix(&of_kernel, kernel->path, strlen(kernel->path));
	hash = of_kernel;
	int r = mix_file(&hash, kernel->path, err);
	if (r == 0)
		r = mix_file(&hash, init, err);
	if (r < 0)
		return r;
	if (kernel->modules_dir)
		mix(&hash, kernel->modules_dir, strlen(kernel->modules_dir));
	CLEANUP_FREE char *prefix = str_printf("%016llx-", (unsigned long long)of_kernel);
	CLEANUP_FREE char *name = str_printf("%s%016llx.cpio", prefix, (unsigned long long)hash);
	CLEANUP_FREE char *folder = str_printf("%s/" FOLDER, root);
	CLEANUP_FREE char *path = str_printf("%s/%s", folder, name);
	if (access(path, R_OK) < 0)
		r = add(kernel, init, folder, prefix, name, err);
	if (r == 0)
		*ret = TAKE_PTR(path);
	return r;
}
