/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

#include "agent.h"
#include "fd.h"

#define NEW_ROOT "/new"
#define MODULES "/modules"

static const struct {
	const char *where, *type, *options;
} mounts[] = {
	{ "/proc", "proc", NULL },
	{ "/sys", "sysfs", NULL },
	{ "/dev", "devtmpfs", "mode=755" },
};
/* Once the root is a file system of its own. */
static const struct {
	const char *where, *type, *options;
	bool may_fail;
} later_mounts[] = {
	{ "/dev/pts", "devpts", "mode=620,ptmxmode=666", false },
	{ "/dev/shm", "tmpfs", "mode=1777", false },
	{ "/dev/mqueue", "mqueue", NULL, true },
	{ "/run", "tmpfs", "mode=755", false },
	{ "/sys/fs/cgroup", "cgroup2", NULL, true },
};
static const char *const dirs[] = { "/proc", "/sys", "/dev", "/run", "/rw", AGENT_LAYERS_DIR };

static int make_mount(const char *where, const char *type, const char *options)
{
	if (mkdir(where, 0755) < 0 && errno != EEXIST)
		return -errno;
	return mount(type, where, type, MS_NOSUID | MS_NOEXEC, options) < 0 ? -errno : 0;
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* In the order of their names, which whoever packed them chose; one that does not
 * fit this kernel, or is built in, is not missed until it is used. */
static void load_modules(void)
{
	CLEANUP_STRV struct strv names = { 0 };
	CLEANUP_DIR DIR *d = opendir(MODULES);
	for (struct dirent *e; d && (e = readdir(d));)
		if (e->d_name[0] != '.')
			strv_add(&names, e->d_name);
	if (names.n)
		qsort(names.v, names.n, sizeof(char *), compare);
	for (size_t i = 0; i < names.n; i++) {
		CLEANUP_FD int fd = openat(dirfd(d), names.v[i], O_RDONLY | O_CLOEXEC);
		if (fd >= 0)
			(void)syscall(SYS_finit_module, fd, "", 0);
	}
}

/* The kernel's first root cannot be left by pivot_root(2), as a container does. */
static int change_root(int initramfs)
{
	if (mkdir(NEW_ROOT, 0755) < 0 || mount("root", NEW_ROOT, "tmpfs", 0, "mode=755") < 0)
		return -errno;
	for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
		CLEANUP_FREE char *path = str_printf(NEW_ROOT "%s", dirs[i]);
		if (mkdir(path, 0755) < 0)
			return -errno;
	}
	for (size_t i = 0; i < ARRAY_LEN(mounts); i++) {
		CLEANUP_FREE char *path = str_printf(NEW_ROOT "%s", mounts[i].where);
		if (mount(mounts[i].where, path, NULL, MS_MOVE, NULL) < 0)
			return -errno;
	}
	if (chdir(NEW_ROOT) < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 || chdir("/") < 0)
		return -errno;
	/* What is not needed again gives its memory back. */
	(void)!fd_remove_tree_at(initramfs, MODULES + 1);
	(void)unlinkat(initramfs, "init", 0);
	return 0;
}

int boot_system(struct agent *a, struct err *err)
{
	int r = 0;
	umask(0);
	for (size_t i = 0; i < ARRAY_LEN(mounts) && r == 0; i++)
		r = make_mount(mounts[i].where, mounts[i].type, mounts[i].options);
	load_modules();
	a->initramfs = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (r == 0)
		r = a->initramfs < 0 ? -errno : change_root(a->initramfs);
	for (size_t i = 0; i < ARRAY_LEN(later_mounts) && r == 0; i++) {
		r = make_mount(later_mounts[i].where, later_mounts[i].type, later_mounts[i].options);
		if (later_mounts[i].may_fail)
			r = 0;
	}
	if (r == 0 && mkdir(AGENT_FILES_DIR, 0755) < 0)
		r = -errno;
	umask(022);
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "set up the guest") : 0;
}

/* "@key/dev/ttyS0" on the kernel's command line. */
static char *device_named(const char *key)
{
	CLEANUP_BUF struct buf text = BUF_INIT(8192);
	CLEANUP_STRV struct strv words = { 0 };
	if (fd_read_file_at(AT_FDCWD, "/proc/cmdline", &text) < 0)
		return NULL;
	strv_split(&words, buf_str(&text), ' ');
	for (size_t i = 0; i < words.n; i++)
		if (str_starts_with(words.v[i], key))
			return str_ndup(words.v[i] + strlen(key), strcspn(words.v[i] + strlen(key), "\n"));
	return NULL;
}

static int map_ring(const char *device, void **ret, struct err *err)
{
	CLEANUP_FD int fd = open(device, O_RDWR | O_CLOEXEC);
	void *memory = fd < 0 ? MAP_FAILED : mmap(NULL, AGENT_RING_MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED) {
		int r = err_set(err, ERR_UNSUPPORTED, -errno, "map %s", device);
		err_why(err, "the kernel was built without CONFIG_MMAPPER");
		return r;
	}
	*ret = memory;
	return 0;
}

int boot_connect(int *ret, void **ret_ring, struct err *err)
{
	CLEANUP_FREE char *device = device_named("hull.agent="), *ring = device_named("hull.ring=");
	struct termios t;
	if (!device)
		return err_set(err, ERR_INVALID, 0, "the command line names no hull.agent");
	CLEANUP_FD int fd = open(device, O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 || tcgetattr(fd, &t) < 0)
		return err_set(err, ERR_SYSTEM, -errno, "open %s", device);
	/* Bytes, not lines. */
	cfmakeraw(&t);
	t.c_cflag |= CLOCAL;
	if (tcsetattr(fd, TCSANOW, &t) < 0)
		return err_set(err, ERR_SYSTEM, -errno, "set up %s", device);
	int r = ring ? map_ring(ring, ret_ring, err) : 0;
	if (r == 0)
		*ret = TAKE_FD(fd);
	return r;
}

void boot_power_off(void)
{
	sync();
	reboot(RB_POWER_OFF);
	for (;;)
		pause();
}
