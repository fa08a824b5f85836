/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "fd.h"
#include "guest_kernel.h"
#include "guest_modules.h"
#include "initramfs.h"
#include "test.h"

static void put(const char *dir, const char *name, const char *text)
{
	CLEANUP_FREE char *path = str_printf("%s/%s", dir, name);
	CLEANUP_FREE char *parent = str_dup(path);
	*strrchr(parent, '/') = '\0';
	CHECK_EQ(fd_mkdir_parents(parent, 0700), 0);
	CHECK_EQ(fd_replace_file_at(AT_FDCWD, path, text, strlen(text), 0600, false), 0);
}

static void put_kernel(const char *root, const char *name, const char *use, time_t made)
{
	CLEANUP_FREE char *kernel = str_printf("kernels/%s/kernel", name), *info = str_printf("kernels/%s/info", name);
	CLEANUP_FREE char *text = str_printf("use=%s\nversion=6.1.9-hull\nconfig=0123\n", use), *path = str_printf("%s/%s", root, kernel);
	put(root, kernel, "a kernel");
	put(root, info, text);
	struct timespec times[2] = { { made, 0 }, { made, 0 } };
	CHECK_EQ(utimensat(AT_FDCWD, path, times, 0), 0);
}

static const char *default_of(const char *root, enum guest_kernel_use use)
{
	static char name[64];
	CLEANUP_GUEST_KERNEL struct guest_kernel *k = NULL;
	struct err err = ERR_INIT;
	CHECK_EQ(guest_kernel_find(root, use, NULL, &k, &err), 0);
	CHECK(k->is_default);
	CHECK_EQ(str_copy(name, sizeof(name), k->name), 0);
	return name;
}

TEST(the_newest_built_one_is_the_default_until_one_is_chosen)
{
	const char *root = test_tmpdir();
	struct err err = ERR_INIT;
	put_kernel(root, "old", "sandbox", 1000);
	put_kernel(root, "new", "sandbox", 2000);
	put_kernel(root, "other", "microvm", 3000);
	CHECK_STR(default_of(root, GUEST_KERNEL_SANDBOX), "new");
	CHECK_STR(default_of(root, GUEST_KERNEL_MICROVM), "other");
	CHECK_EQ(guest_kernel_choose(root, "old", &err), 0);
	CHECK_STR(default_of(root, GUEST_KERNEL_SANDBOX), "old");
	CHECK_STR(default_of(root, GUEST_KERNEL_MICROVM), "other");
	/* A choice that is gone is none. */
	CHECK_EQ(guest_kernel_remove(root, "old", &err), 0);
	CHECK_STR(default_of(root, GUEST_KERNEL_SANDBOX), "new");
}

TEST(names_are_names_and_paths_are_paths)
{
	const char *root = test_tmpdir();
	struct err err = ERR_INIT;
	CLEANUP_GUEST_KERNEL struct guest_kernel *k = NULL;
	put_kernel(root, "one", "microvm", 1000);
	put(root, "outside/kernel", "x");
	put(root, "outside/info", "use=microvm\n");
	CLEANUP_FREE char *file = str_printf("%s/outside/kernel", root);
	CHECK(guest_kernel_find(root, GUEST_KERNEL_SANDBOX, "one", &k, &err) < 0);
	CHECK_EQ(err.kind, ERR_NOT_FOUND);
	CHECK(guest_kernel_find(root, GUEST_KERNEL_MICROVM, "../outside", &k, &err) < 0);
	CHECK(guest_kernel_find(root, GUEST_KERNEL_MICROVM, "nothing", &k, &err) < 0);
	CHECK(guest_kernel_remove(root, "..", &err) < 0);
	CHECK(guest_kernel_choose(root, "../outside", &err) < 0);
	CHECK_EQ(guest_kernel_find(root, GUEST_KERNEL_MICROVM, file, &k, &err), 0);
	CHECK_EQ(k->origin, GUEST_KERNEL_FILE);
	CHECK_STR(k->path, file);
}

TEST(a_folder_that_is_no_kernel_is_none)
{
	const char *root = test_tmpdir();
	struct err err = ERR_INIT;
	struct guest_kernel **list;
	size_t n, built = 0;
	put(root, "kernels/half/kernel", "x");
	put(root, "kernels/bad/kernel", "x");
	put(root, "kernels/bad/info", "use=\n\n=\nnonsense");
	put(root, "kernels/.build/info", "use=sandbox\n");
	put(root, "kernels/.build/kernel", "x");
	CHECK_EQ(guest_kernels_list(root, &list, &n, &err), 0);
	for (size_t i = 0; i < n; i++)
		built += list[i]->origin == GUEST_KERNEL_BUILT;
	guest_kernels_free(list, n);
	CHECK_EQ(built, 0);
}

static void put_tables(const char *dir)
{
	put(dir, "modules.dep",
	    "kernel/fs/a.ko: kernel/lib/b.ko kernel/lib/c.ko\nkernel/lib/b.ko: kernel/lib/c.ko\nkernel/lib/c.ko:\nkernel/net/d-e.ko: "
	    "kernel/lib/c.ko\n");
	put(dir, "modules.builtin", "kernel/fs/inside.ko\n");
	put(dir, "kernel/fs/a.ko", "A");
	put(dir, "kernel/lib/b.ko", "BB");
	put(dir, "kernel/lib/c.ko", "CCC");
	put(dir, "kernel/net/d-e.ko", "DDDD");
}

TEST(modules_come_before_their_users_and_once)
{
	const char *dir = test_tmpdir();
	const char *const wanted[] = { "a", "inside", "d_e", "?missing", NULL }, *const bad[] = { "a", "missing", NULL };
	CLEANUP_STRV struct strv files = { 0 }, none = { 0 };
	struct err err = ERR_INIT;
	put_tables(dir);
	CHECK_EQ(guest_modules_resolve(dir, wanted, &files, &err), 0);
	CLEANUP_FREE char *order = strv_join(&files, " ");
	CHECK_STR(order, "kernel/lib/c.ko kernel/lib/b.ko kernel/fs/a.ko kernel/net/d-e.ko");
	CHECK(guest_modules_resolve(dir, bad, &none, &err) < 0);
	CHECK_EQ(err.kind, ERR_UNSUPPORTED);
	CHECK(guest_modules_resolve("/nonexistent", wanted, &none, &err) < 0);
}

TEST(initramfs_is_made_again_when_the_init_is_another)
{
	const char *root = test_tmpdir();
	CLEANUP_FREE char *init = str_printf("%s/init", root), *first = NULL, *second = NULL, *third = NULL;
	struct err err = ERR_INIT;
	put(root, "init", "#!first");
	put_kernel(root, "k", "sandbox", 1000);
	CLEANUP_GUEST_KERNEL struct guest_kernel *k = NULL;
	CHECK_EQ(guest_kernel_find(root, GUEST_KERNEL_SANDBOX, "k", &k, &err), 0);
	CHECK_EQ(initramfs_ensure(root, k, init, &first, &err), 0);
	CHECK_EQ(initramfs_ensure(root, k, init, &second, &err), 0);
	CHECK_STR(first, second);
	put(root, "init", "#!another");
	CHECK_EQ(initramfs_ensure(root, k, init, &third, &err), 0);
	CHECK(!str_eq(first, third));
	CHECK(access(first, F_OK) < 0);
	CLEANUP_BUF struct buf text = BUF_INIT(65536);
	CHECK_EQ(fd_read_file_at(AT_FDCWD, third, &text), 0);
	CHECK_EQ(text.len % 4, 0);
	CHECK(memmem(text.data, text.len, "#!another", 9) != NULL);
	CHECK(memmem(text.data, text.len, "TRAILER!!!", 10) != NULL);
}

TEST_MAIN()
