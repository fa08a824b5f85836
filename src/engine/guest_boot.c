/* SPDX-License-Identifier: Apache-2.0 */
#include "guest_boot.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "digest.h"
#include "reference.h"
#include "fd.h"

#define PACKAGED_KERNEL "/usr/bin/linux.uml"
#define PACKAGED_MODULES "/usr/lib/uml/modules"
#define INITRAMFS_MAX (64u << 20)
#define KERNEL_BYTES (64ull << 20)
#define DEFAULT_MEMORY_BYTES (512ull << 20)

/* In the order in which they are loaded; what they need comes first. */
static const char *const modules[] = { "crc-ccitt", "loop", "erofs", "overlay", "fuse", "ipv6" };

bool guest_boot_is_needed(enum isolation_level level)
{
	return level == ISOLATION_SANDBOX || level == ISOLATION_MICROVM;
}

/* ---- an archive in cpio's "new" format (Documentation/driver-api/early-userspace/buffer-format.rst) ---- */

static int add_padding(struct buf *out)
{
	int r = 0;
	while (r == 0 && out->len % 4)
		r = buf_append_char(out, '\0');
	return r;
}

static int add_entry(struct buf *out, const char *name, unsigned mode, const void *data, size_t len)
{
	static unsigned inode;
	int r = buf_printf(out, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X", ++inode, mode, 0, 0, 1, 0,
			   (unsigned)len, 0, 0, 0, 0, (unsigned)strlen(name) + 1, 0);
	if (r == 0)
		r = buf_append(out, name, strlen(name) + 1);
	if (r == 0)
		r = add_padding(out);
	if (r == 0 && len)
		r = buf_append(out, data, len);
	return r == 0 ? add_padding(out) : r;
}

static int add_file(struct buf *out, const char *name, const char *path, struct err *err)
{
	CLEANUP_BUF struct buf data = BUF_INIT(INITRAMFS_MAX);
	int r = fd_read_file_at(AT_FDCWD, path, &data);
	if (r == 0)
		r = add_entry(out, name, S_IFREG | 0755, data.data, data.len);
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "read %s for the guest", path) : 0;
}

/* ---- modules of Debian's package ---- */

/* The newest of the package's; it has one. */
static char *modules_dir(void)
{
	CLEANUP_DIR DIR *d = opendir(PACKAGED_MODULES);
	CLEANUP_FREE char *best = NULL;
	for (struct dirent *e; d && (e = readdir(d));) {
		if (e->d_name[0] == '.' || (best && strverscmp(e->d_name, best) < 0))
			continue;
		free(best);
		best = str_dup(e->d_name);
	}
	return best ? str_printf(PACKAGED_MODULES "/%s", best) : NULL;
}

/* From modules.dep: "kernel/fs/fuse/fuse.ko: ...". */
static char *module_path(const char *dir, const struct strv *lines, const char *name)
{
	CLEANUP_FREE char *wanted = str_printf("/%s.ko", name);
	for (size_t i = 0; i < lines->n; i++) {
		CLEANUP_FREE char *path = str_ndup(lines->v[i], strcspn(lines->v[i], ":"));
		if (str_ends_with(path, wanted))
			return str_printf("%s/%s", dir, path);
	}
	return NULL;
}

static int add_modules(struct buf *out, struct err *err)
{
	CLEANUP_BUF struct buf text = BUF_INIT(INITRAMFS_MAX);
	CLEANUP_STRV struct strv lines = { 0 };
	CLEANUP_FREE char *dir = modules_dir();
	CLEANUP_FREE char *list = dir ? str_printf("%s/modules.dep", dir) : NULL;
	int r = list ? fd_read_file_at(AT_FDCWD, list, &text) : -ENOENT;
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "read the modules of %s", PACKAGED_KERNEL);
	strv_split(&lines, buf_str(&text), '\n');
	r = add_entry(out, "modules", S_IFDIR | 0755, NULL, 0);
	for (size_t i = 0; i < ARRAY_LEN(modules) && r == 0; i++) {
		CLEANUP_FREE char *path = module_path(dir, &lines, modules[i]);
		CLEANUP_FREE char *name = str_printf("modules/%02zu-%s.ko", i, modules[i]);
		if (path)
			r = add_file(out, name, path, err);
	}
	return r;
}

/* ---- the initramfs ---- */

static int add_identity(struct buf *key, const char *path, struct err *err)
{
	struct stat st;
	if (stat(path, &st) < 0) {
		int r = err_set(err, ERR_UNSUPPORTED, -errno, "find %s", path);
		err_hint(err, "hull doctor");
		return r;
	}
	return buf_printf(key, "%s %jd %jd.%ld\n", path, (intmax_t)st.st_size, (intmax_t)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
}

static int make_initramfs(const char *agent, const char *init, struct buf *out, struct err *err)
{
	int r = add_file(out, "init", agent, err);
	if (r == 0)
		r = add_file(out, "hull-init", init, err);
	if (r == 0)
		r = add_modules(out, err);
	if (r == 0)
		r = add_entry(out, "TRAILER!!!", 0, NULL, 0);
	return r < 0 && !err_is_set(err) ? err_set(err, ERR_SYSTEM, r, "make the guest's initramfs") : r;
}

/* Named after what it is made from, so that a new hull or kernel makes a new one. */
static int ensure_initramfs(struct engine *engine, char **ret, struct err *err)
{
	CLEANUP_FREE char *agent = str_printf("%s/hull-agent", engine->libexec), *init = str_printf("%s/hull-init", engine->libexec);
	CLEANUP_BUF struct buf key = BUF_INIT(8192), data = BUF_INIT(INITRAMFS_MAX);
	char digest[DIGEST_SIZE], name[64];
	int r = add_identity(&key, agent, err);
	if (r == 0)
		r = add_identity(&key, init, err);
	if (r == 0)
		r = add_identity(&key, PACKAGED_KERNEL, err);
	if (r < 0)
		return r;
	if (mkdirat(engine->store->root_fd, "kernels", 0700) < 0 && errno != EEXIST)
		return err_set(err, ERR_SYSTEM, -errno, "create %s/kernels", engine->root);
	CLEANUP_FD int dir = openat(engine->store->root_fd, "kernels", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return err_set(err, ERR_SYSTEM, -errno, "open %s/kernels", engine->root);
	digest_of(key.data, key.len, digest);
	snprintf(name, sizeof(name), "initramfs-%.16s", digest_hex(digest));
	if (faccessat(dir, name, F_OK, 0) < 0) {
		r = make_initramfs(agent, init, &data, err);
		if (r == 0 && (r = fd_replace_file_at(dir, name, data.data, data.len, 0600, false)) < 0)
			r = err_set(err, ERR_SYSTEM, r, "write %s/kernels/%s", engine->root, name);
	}
	if (r == 0)
		*ret = str_printf("%s/kernels/%s", engine->root, name);
	return r;
}

/* ---- layers ---- */

static int add_layers(struct engine *engine, const struct strv *diffids, struct strv *ret, struct err *err)
{
	for (size_t i = 0; i < diffids->n; i++) {
		CLEANUP_FREE char *path = str_printf("%s/layers/%s.erofs", engine->root, digest_hex(diffids->v[i]));
		if (access(path, F_OK) < 0) {
			int r = err_set(err, ERR_UNSUPPORTED, 0, "the image's layers are directories, which a guest cannot mount");
			err_why(err, "this host has no EROFS, so they were unpacked when the image was pulled");
			err_hint(err, "--isolation=container");
			return r;
		}
		strv_add(ret, path);
	}
	return 0;
}

int guest_boot_prepare(struct engine *engine, const struct container *c, const struct strv *diffids, struct runtime_spec *spec,
		       struct err *err)
{
	struct spec_guest *g = &spec->guest;
	int64_t limit = spec->resources.memory_limit_bytes;
	int r = ensure_initramfs(engine, &g->initramfs, err);
	if (r == 0)
		r = add_layers(engine, diffids, &g->layer_files, err);
	if (r < 0)
		return r;
	g->kernel = str_dup(PACKAGED_KERNEL);
	g->supervisor = str_printf("%s/hull-guest", engine->libexec);
	g->run_dir = str_printf("%s/workloads/%s", engine->run, c->id);
	g->memory_bytes = limit > 0 ? ((uint64_t)limit + KERNEL_BYTES + (1 << 20) - 1) >> 20 << 20 : DEFAULT_MEMORY_BYTES;
	g->cpus = 1;
	return 0;
}
