/* SPDX-License-Identifier: Apache-2.0 */
#include "guest_kernel.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "buf.h"
#include "fd.h"

#define INFO_MAX_BYTES 4096
/* Debian's package user-mode-linux. */
#define UML_PROGRAM "/usr/bin/linux.uml"
#define UML_MODULES "/usr/lib/uml/modules"

static const char *const use_names[] = { [GUEST_KERNEL_SANDBOX] = "sandbox", [GUEST_KERNEL_MICROVM] = "microvm" };
static_assert(ARRAY_LEN(use_names) == GUEST_KERNEL_USE_COUNT, "a name for each use");

const char *guest_kernel_use_name(enum guest_kernel_use use)
{
	return use_names[use];
}

int guest_kernel_use_parse(const char *name, enum guest_kernel_use *ret, struct err *err)
{
	for (int i = 0; i < GUEST_KERNEL_USE_COUNT; i++)
		if (str_eq(name, use_names[i])) {
			*ret = (enum guest_kernel_use)i;
			return 0;
		}
	int r = err_set(err, ERR_INVALID, 0, "no kernel is made for '%s'", name);
	err_hint(err, "--for sandbox   or   --for microvm");
	return r;
}

void guest_kernel_free(struct guest_kernel *k)
{
	if (!k)
		return;
	free(k->name);
	free(k->version);
	free(k->config_hash);
	free(k->path);
	free(k->modules_dir);
	free(k);
}

void guest_kernels_free(struct guest_kernel **list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		guest_kernel_free(list[i]);
	free(list);
}

static int64_t stat_ns(const struct stat *st)
{
	return (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
}

/* A kernel of the file @path; NULL when there is none. */
static struct guest_kernel *kernel_of_file(const char *path, enum guest_kernel_use use, enum guest_kernel_origin origin)
{
	struct stat st;
	if (stat(path, &st) < 0)
		return NULL;
	if (!S_ISREG(st.st_mode)) {
		errno = EISDIR;
		return NULL;
	}
	struct guest_kernel *k = mem_calloc(1, sizeof(*k));
	k->use = use;
	k->origin = origin;
	k->path = str_dup(path);
	k->version = str_dup("");
	k->config_hash = str_dup("");
	k->bytes = st.st_size;
	k->made_ns = stat_ns(&st);
	return k;
}

/* "use=sandbox\nversion=...\nconfig=...\n" */
static int apply_info(struct guest_kernel *k, char *text)
{
	bool has_use = false;
	char *rest = NULL;
	for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		char *value = strchr(line, '=');
		if (!value)
			return -EBADMSG;
		*value++ = '\0';
		if (str_eq(line, "use")) {
			if (guest_kernel_use_parse(value, &k->use, NULL) < 0)
				return -EBADMSG;
			has_use = true;
		} else if (str_eq(line, "version")) {
			free(k->version);
			k->version = str_dup(value);
		} else if (str_eq(line, "config")) {
			free(k->config_hash);
			k->config_hash = str_dup(value);
		}
	}
	return has_use ? 0 : -EBADMSG;
}

static bool is_name(const char *name)
{
	return *name && *name != '.' && !strchr(name, '/');
}

/* The built one @name; NULL when there is none, or what is there is none. */
static struct guest_kernel *built(const char *root, const char *name)
{
	CLEANUP_BUF struct buf text = BUF_INIT(INFO_MAX_BYTES);
	CLEANUP_FREE char *path = str_printf("%s/kernels/%s/kernel", root, name);
	CLEANUP_FREE char *info = str_printf("%s/kernels/%s/info", root, name);
	if (!is_name(name) || fd_read_file_at(AT_FDCWD, info, &text) < 0)
		return NULL;
	CLEANUP_GUEST_KERNEL struct guest_kernel *k = kernel_of_file(path, GUEST_KERNEL_SANDBOX, GUEST_KERNEL_BUILT);
	if (!k || !text.data || apply_info(k, text.data) < 0)
		return NULL;
	k->name = str_dup(name);
	return TAKE_PTR(k);
}

struct list {
	struct guest_kernel **v;
	size_t n;
};

static void list_add(struct list *list, struct guest_kernel *k)
{
	struct guest_kernel **v = realloc(list->v, (list->n + 1) * sizeof(*v));
	if (!v)
		abort();
	list->v = v;
	list->v[list->n++] = k;
}

static int list_built(const char *root, struct list *list, struct err *err)
{
	CLEANUP_FREE char *path = str_printf("%s/kernels", root);
	DIR *dir = opendir(path);
	if (!dir)
		return errno == ENOENT ? 0 : err_set(err, ERR_SYSTEM, -errno, "open %s", path);
	struct dirent *e;
	while ((e = readdir(dir))) {
		struct guest_kernel *k = is_name(e->d_name) ? built(root, e->d_name) : NULL;
		if (k)
			list_add(list, k);
	}
	closedir(dir);
	return 0;
}

/* Debian puts the modules of its one user-mode kernel into a folder by version. */
static void list_packaged_uml(struct list *list)
{
	struct guest_kernel *k = kernel_of_file(UML_PROGRAM, GUEST_KERNEL_SANDBOX, GUEST_KERNEL_PACKAGED);
	DIR *dir = k ? opendir(UML_MODULES) : NULL;
	struct dirent *e;
	while (dir && (e = readdir(dir)))
		if (is_name(e->d_name) && !k->modules_dir) {
			k->modules_dir = str_printf("%s/%s", UML_MODULES, e->d_name);
			free(k->version);
			k->version = str_dup(e->d_name);
		}
	if (dir)
		closedir(dir);
	if (!k)
		return;
	k->name = str_dup("debian-uml");
	list_add(list, k);
}

/* linux-image-cloud-amd64 and its like: /boot/vmlinuz-VERSION, /lib/modules/VERSION. */
static void list_packaged_images(struct list *list)
{
	static const char prefix[] = "vmlinuz-";
	DIR *dir = opendir("/boot");
	struct dirent *e;
	while (dir && (e = readdir(dir))) {
		const char *version = e->d_name + sizeof(prefix) - 1;
		if (!str_starts_with(e->d_name, prefix) || !strstr(version, "cloud"))
			continue;
		CLEANUP_FREE char *path = str_printf("/boot/%s", e->d_name);
		struct guest_kernel *k = kernel_of_file(path, GUEST_KERNEL_MICROVM, GUEST_KERNEL_PACKAGED);
		if (!k)
			continue;
		free(k->version);
		k->version = str_dup(version);
		k->name = str_printf("debian-%s", version);
		k->modules_dir = str_printf("/lib/modules/%s", version);
		list_add(list, k);
	}
	if (dir)
		closedir(dir);
}

/* A built one before a packaged one, then the newest. */
static int by_preference(const void *a, const void *b)
{
	const struct guest_kernel *x = *(struct guest_kernel *const *)a, *y = *(struct guest_kernel *const *)b;
	if (x->use != y->use)
		return x->use < y->use ? -1 : 1;
	if (x->origin != y->origin)
		return x->origin < y->origin ? -1 : 1;
	if (x->made_ns != y->made_ns)
		return x->made_ns > y->made_ns ? -1 : 1;
	return strcmp(x->name, y->name);
}

static char *default_link(const char *root, enum guest_kernel_use use)
{
	return str_printf("%s/kernels/.default-%s", root, use_names[use]);
}

static void mark_defaults(const char *root, struct list *list)
{
	for (int use = 0; use < GUEST_KERNEL_USE_COUNT; use++) {
		CLEANUP_FREE char *link = default_link(root, (enum guest_kernel_use)use);
		char chosen[NAME_MAX + 1];
		ssize_t len = readlink(link, chosen, sizeof(chosen) - 1);
		struct guest_kernel *first = NULL, *named = NULL;
		chosen[len < 0 ? 0 : len] = '\0';
		for (size_t i = 0; i < list->n; i++) {
			struct guest_kernel *k = list->v[i];
			if (k->use != (enum guest_kernel_use)use)
				continue;
			first = first ? first : k;
			if (str_eq(k->name, chosen))
				named = k;
		}
		if (named || first)
			(named ? named : first)->is_default = true;
	}
}

int guest_kernels_list(const char *root, struct guest_kernel ***ret, size_t *ret_n, struct err *err)
{
	struct list list = { 0 };
	int r = list_built(root, &list, err);
	if (r < 0)
		return r;
	list_packaged_uml(&list);
	list_packaged_images(&list);
	if (list.n)
		qsort(list.v, list.n, sizeof(struct guest_kernel *), by_preference);
	mark_defaults(root, &list);
	*ret = list.v;
	*ret_n = list.n;
	return 0;
}

static int no_kernel(enum guest_kernel_use use, struct err *err)
{
	int r = err_set(err, ERR_NOT_FOUND, 0, "there is no kernel for level %s", use_names[use]);
	err_why(err, "none was built, and Debian's package with one is not installed");
	err_hint(err, use == GUEST_KERNEL_SANDBOX ? "apt install user-mode-linux      or: hull kernel build --for sandbox" :
						    "apt install linux-image-cloud-amd64      or: hull kernel build --for microvm");
	return r;
}

/* The usual start takes the default: without a list of everything there is. */
static struct guest_kernel *quick_default(const char *root, enum guest_kernel_use use)
{
	CLEANUP_FREE char *link = default_link(root, use);
	char chosen[NAME_MAX + 1];
	ssize_t len = readlink(link, chosen, sizeof(chosen) - 1);
	if (len <= 0)
		return NULL;
	chosen[len] = '\0';
	CLEANUP_GUEST_KERNEL struct guest_kernel *k = built(root, chosen);
	if (!k || k->use != use)
		return NULL;
	k->is_default = true;
	return TAKE_PTR(k);
}

static int find_in_list(const char *root, enum guest_kernel_use use, const char *name, struct guest_kernel **ret, struct err *err)
{
	struct guest_kernel **list;
	size_t n;
	int r = guest_kernels_list(root, &list, &n, err);
	if (r < 0)
		return r;
	*ret = NULL;
	for (size_t i = 0; i < n && !*ret; i++)
		if (list[i]->use == use && (name ? str_eq(list[i]->name, name) : list[i]->is_default))
			*ret = TAKE_PTR(list[i]);
	guest_kernels_free(list, n);
	return 0;
}

int guest_kernel_find(const char *root, enum guest_kernel_use use, const char *name, struct guest_kernel **ret, struct err *err)
{
	if (str_is_empty(name))
		name = NULL;
	if (name && strchr(name, '/')) {
		*ret = kernel_of_file(name, use, GUEST_KERNEL_FILE);
		if (!*ret)
			return err_set(err, ERR_NOT_FOUND, -errno, "the kernel %s", name);
		(*ret)->name = str_dup(name);
		return 0;
	}
	if (!name && (*ret = quick_default(root, use)))
		return 0;
	int r = find_in_list(root, use, name, ret, err);
	if (r < 0 || *ret)
		return r;
	if (!name)
		return no_kernel(use, err);
	r = err_set(err, ERR_NOT_FOUND, 0, "no such kernel for level %s: %s", use_names[use], name);
	err_hint(err, "hull kernel ls");
	return r;
}

/* By name alone, whatever its use. */
static int find_any(const char *root, const char *name, struct guest_kernel **ret, struct err *err)
{
	for (int use = 0; use < GUEST_KERNEL_USE_COUNT; use++) {
		int r = find_in_list(root, (enum guest_kernel_use)use, name, ret, err);
		if (r < 0 || *ret)
			return r;
	}
	int r = err_set(err, ERR_NOT_FOUND, 0, "no such kernel: %s", name);
	err_hint(err, "hull kernel ls");
	return r;
}

int guest_kernel_choose(const char *root, const char *name, struct err *err)
{
	CLEANUP_GUEST_KERNEL struct guest_kernel *k = NULL;
	int r = find_any(root, name, &k, err);
	if (r < 0)
		return r;
	CLEANUP_FREE char *link = default_link(root, k->use);
	CLEANUP_FREE char *fresh = str_printf("%s.new", link), *folder = str_printf("%s/kernels", root);
	if (mkdir(folder, 0700) < 0 && errno != EEXIST)
		return err_set(err, ERR_SYSTEM, -errno, "create %s", folder);
	(void)unlink(fresh);
	if (symlink(k->name, fresh) < 0 || rename(fresh, link) < 0)
		return err_set(err, ERR_SYSTEM, -errno, "write %s", link);
	return 0;
}

int guest_kernel_remove(const char *root, const char *name, struct err *err)
{
	CLEANUP_GUEST_KERNEL struct guest_kernel *k = NULL;
	int r = find_any(root, name, &k, err);
	if (r < 0)
		return r;
	if (k->origin != GUEST_KERNEL_BUILT) {
		r = err_set(err, ERR_CONFLICT, 0, "%s is a package of the system, not hull's to remove", name);
		err_hint(err, "apt remove %s", k->use == GUEST_KERNEL_SANDBOX ? "user-mode-linux" : "linux-image-cloud-amd64");
		return r;
	}
	/* Renamed first, so that a half-removed one is never listed; what a dead
	 * process left under that name goes with the next removal or build. */
	CLEANUP_FREE char *folder = str_printf("%s/kernels", root);
	CLEANUP_FD int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return err_set(err, ERR_SYSTEM, -errno, "open %s", folder);
	r = fd_remove_tree_at(dir, ".removed");
	if (r == 0 && renameat(dir, name, dir, ".removed") < 0)
		r = -errno;
	if (r == 0)
		r = fd_remove_tree_at(dir, ".removed");
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "remove the kernel %s", name) : 0;
}
