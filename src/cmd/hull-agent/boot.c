/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

#include "agent.h"
#include "fd.h"

#define VSOCK "vsock:"
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
static const char *const dirs[] = { "/proc", "/sys", "/dev", "/run", AGENT_LAYERS_DIR,
				    "/usr" /* for the container level's scratch */ };

static bool is_machine;

static int make_mount(const char *where, const char *type, const char *options)
{
	if (mkdir(where, 0755) < 0 && errno != EEXIST)
		return -errno;
	return mount(type, where, type, MS_NOSUID, options) < 0 ? -errno : 0;
}

/* In the order of the list beside them; one that does not fit this kernel is not
 * missed until it is used. */
static void load_modules(void)
{
	CLEANUP_STRV struct strv names = { 0 };
	CLEANUP_BUF struct buf order = BUF_INIT(65536);
	CLEANUP_FD int dir = open(MODULES, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 || fd_read_file_at(dir, "order", &order) < 0)
		return;
	strv_split(&names, buf_str(&order), '\n');
	for (size_t i = 0; i < names.n; i++) {
		CLEANUP_FD int fd = openat(dir, names.v[i], O_RDONLY | O_CLOEXEC);
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
	(void)!fd_remove_tree_at(initramfs, &MODULES[1]);
	(void)unlinkat(initramfs, "init", 0);
	return 0;
}

int boot_system(struct err *err)
{
	int r = 0;
	umask(0);
	for (size_t i = 0; i < ARRAY_LEN(mounts) && r == 0; i++)
		r = make_mount(mounts[i].where, mounts[i].type, mounts[i].options);
	load_modules();
	CLEANUP_FD int initramfs = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (r == 0)
		r = initramfs < 0 ? -errno : change_root(initramfs);
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

/* One ring after the other. */
static int map_rings(const char *device, struct boot_ports *ret, struct err *err)
{
	CLEANUP_FD int fd = open(device, O_RDWR | O_CLOEXEC);
	char *memory = fd < 0 ? MAP_FAILED : mmap(NULL, 2 * AGENT_RING_MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED) {
		int r = err_set(err, ERR_UNSUPPORTED, -errno, "map %s", device);
		err_why(err, "the kernel was built without CONFIG_MMAPPER");
		return r;
	}
	ret->agent_ring = memory;
	ret->files_ring = memory + AGENT_RING_MEMORY;
	return 0;
}

/* "vsock:PORT": a stream to the host. */
static int connect_vsock(const char *port, int *ret, struct err *err)
{
	uint64_t number;
	struct sockaddr_vm host = { .svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_HOST };
	CLEANUP_FD int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (str_parse_u64_max(port, UINT32_MAX, &number) < 0)
		return err_set(err, ERR_INVALID, 0, "the command line names no port: %s", port);
	host.svm_port = (unsigned)number;
	if (fd < 0 || connect(fd, (struct sockaddr *)&host, sizeof(host)) < 0)
		return err_set(err, ERR_SYSTEM, -errno, "connect to the host");
	*ret = TAKE_FD(fd);
	return 0;
}

static int open_line(const char *key, int *ret, struct err *err)
{
	CLEANUP_FREE char *device = device_named(key);
	struct termios t;
	if (!device)
		return err_set(err, ERR_INVALID, 0, "the command line has no %s", key);
	is_machine = str_starts_with(device, VSOCK);
	if (is_machine)
		return connect_vsock(device + strlen(VSOCK), ret, err);
	CLEANUP_FD int fd = open(device, O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 || tcgetattr(fd, &t) < 0)
		return err_set(err, ERR_SYSTEM, -errno, "open %s", device);
	/* Bytes, not lines. */
	cfmakeraw(&t);
	t.c_cflag |= CLOCAL;
	if (tcsetattr(fd, TCSANOW, &t) < 0)
		return err_set(err, ERR_SYSTEM, -errno, "set up %s", device);
	*ret = TAKE_FD(fd);
	return 0;
}

int boot_connect(struct boot_ports *ret, struct err *err)
{
	CLEANUP_FREE char *rings = device_named("hull.rings=");
	*ret = (struct boot_ports){ .agent = -1, .files = -1 };
	int r = open_line("hull.agent=", &ret->agent, err);
	/* A virtual machine has a device for the host's files. */
	if (r == 0 && !is_machine)
		r = open_line("hull.files=", &ret->files, err);
	return r < 0 || !rings ? r : map_rings(rings, ret, err);
}

void boot_power_off(void)
{
	sync();
	/* A virtual machine ends at its reset too, which every kernel knows how to do; one
	 * without ACPI cannot cut its power. */
	reboot(is_machine ? RB_AUTOBOOT : RB_POWER_OFF);
	for (;;)
		pause();
}
