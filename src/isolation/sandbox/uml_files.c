/* SPDX-License-Identifier: Apache-2.0 */
/* The files that the jail holds, as detached mounts. A kernel that is linked
 * dynamically (Debian's is) brings its loader and the C library along, each where
 * the kernel expects it. */
#include <elf.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mount_api.h"
#include "uml.h"

#define PROGRAM_HEADERS_MAX 64
#define C_LIBRARY "libc.so.6"

static int add(struct uml_files *f, const char *name, const char *path, struct err *err)
{
	int mount = mount_clone(AT_FDCWD, path, false);
	if (mount < 0)
		return err_set(err, ERR_SYSTEM, mount, "open %s for the sandbox", path);
	f->mounts = reallocarray(f->mounts, f->names.n + 1, sizeof(int));
	if (!f->mounts)
		abort();
	f->mounts[f->names.n] = mount;
	strv_add(&f->names, name);
	return 0;
}

/* The loader that the program at @path names; empty: none. */
static int read_interpreter(const char *path, char ret[PATH_MAX], struct err *err)
{
	Elf64_Ehdr e;
	Elf64_Phdr p;
	CLEANUP_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
	ret[0] = '\0';
	if (fd < 0)
		return err_set(err, ERR_SYSTEM, -errno, "open the kernel %s", path);
	if (pread(fd, &e, sizeof(e), 0) != (ssize_t)sizeof(e) || memcmp(e.e_ident, ELFMAG, SELFMAG) != 0 ||
	    e.e_ident[EI_CLASS] != ELFCLASS64 || e.e_phentsize != sizeof(p) || e.e_phnum > PROGRAM_HEADERS_MAX)
		return err_set(err, ERR_INVALID, 0, "%s is not a user-mode Linux kernel", path);
	for (unsigned i = 0; i < e.e_phnum; i++) {
		if (pread(fd, &p, sizeof(p), (off_t)(e.e_phoff + i * sizeof(p))) != (ssize_t)sizeof(p))
			return err_set(err, ERR_INVALID, 0, "%s is damaged", path);
		if (p.p_type != PT_INTERP)
			continue;
		if (p.p_filesz == 0 || p.p_filesz >= PATH_MAX || pread(fd, ret, p.p_filesz, (off_t)p.p_offset) != (ssize_t)p.p_filesz)
			return err_set(err, ERR_INVALID, 0, "%s is damaged", path);
		ret[p.p_filesz] = '\0';
		return ret[0] == '/' ? 0 : err_set(err, ERR_INVALID, 0, "%s is damaged", path);
	}
	return 0;
}

static int add_libraries(struct uml_files *f, const char *kernel, struct err *err)
{
	char interpreter[PATH_MAX];
	int r = read_interpreter(kernel, interpreter, err);
	if (r < 0 || !interpreter[0])
		return r;
	CLEANUP_FREE char *loader = realpath(interpreter, NULL);
	char *slash = loader ? strrchr(loader, '/') : NULL;
	if (!slash)
		return err_set(err, ERR_SYSTEM, -errno, "find the loader %s of the kernel %s", interpreter, kernel);
	r = add(f, interpreter + 1, loader, err);
	slash[1] = '\0';
	CLEANUP_FREE char *library = str_printf("%s" C_LIBRARY, loader);
	return r < 0 ? r : add(f, "lib/" C_LIBRARY, library, err);
}

int uml_files_open(const struct spec_guest *g, struct uml_files *ret, struct err *err)
{
	int r = add(ret, UML_KERNEL, g->kernel, err);
	if (r == 0)
		r = add_libraries(ret, g->kernel, err);
	if (r == 0)
		r = add(ret, UML_INITRAMFS, g->initramfs, err);
	for (size_t i = 0; i < g->layer_files.n && r == 0; i++) {
		CLEANUP_FREE char *name = str_printf(UML_LAYER_FORMAT, i);
		r = add(ret, name, g->layer_files.v[i], err);
	}
	return r;
}

void uml_files_done(struct uml_files *f)
{
	for (size_t i = 0; i < f->names.n; i++)
		cleanup_fd(&f->mounts[i]);
	free(f->mounts);
	strv_free(&f->names);
	*f = (struct uml_files){ 0 };
}
