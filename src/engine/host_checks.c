/* SPDX-License-Identifier: Apache-2.0 */
#include "host_checks.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cgroup.h"
#include "erofs_mount.h"
#include "fd.h"
#include "firewall_report.h"
#include "guest_boot.h"
#include "guest_kernel.h"
#include "link.h"
#include "mount_api.h"
#include "nft.h"

static const char *const state_names[] = { [HOST_OK] = "ok", [HOST_LIMITED] = "limited", [HOST_MISSING] = "missing" };
static_assert(ARRAY_LEN(state_names) == HOST_STATE_COUNT, "a name for each");

const char *host_state_name(enum host_state state)
{
	return state_names[state];
}

static struct host_check *add(struct host_report *report, const char *name)
{
	struct host_check *check = &report->checks[report->checks_n];

	assert(report->checks_n < HOST_CHECKS_MAX);
	report->checks_n++;
	check->name = name;
	return check;
}

#define FOUND(check, ...) snprintf((check)->found, sizeof((check)->found), __VA_ARGS__)
#define FIX(check, ...) snprintf((check)->fix, sizeof((check)->fix), __VA_ARGS__)

PRINTF_LIKE(3, 4)
static void lacks(struct host_check *check, enum host_state state, const char *fmt, ...)
{
	va_list ap;

	check->state = state;
	va_start(ap, fmt);
	vsnprintf(check->why, sizeof(check->why), fmt, ap);
	va_end(ap);
}

/* Run @trial in a child; its result, 0 or a negative errno. */
static int in_child(int (*trial)(void))
{
	int status;

	fflush(stdout);
	pid_t pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0) {
		if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
			_exit(EPERM);
		int r = trial();
		_exit(r < 0 ? -r & 0xff : 0);
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) ? -WEXITSTATUS(status) : -EINTR;
}

static bool read_line(const char *path, char *out, size_t size)
{
	CLEANUP_BUF struct buf text = BUF_INIT(4096);

	if (fd_read_file_at(AT_FDCWD, path, &text) < 0)
		return false;
	snprintf(out, size, "%.*s", (int)strcspn(buf_str(&text), "\n"), buf_str(&text));
	return true;
}

static const char *state_root(void)
{
	const char *root = getenv("HULL_ROOT");

	return str_is_empty(root) ? "/var/lib/hull" : root;
}

/* The nearest directory above @path that is there. */
static char *existing_parent(const char *path)
{
	char *parent = str_dup(path);

	while (access(parent, F_OK) < 0 && strrchr(parent, '/') > parent)
		*strrchr(parent, '/') = '\0';
	if (access(parent, F_OK) < 0) {
		free(parent);
		return str_dup("/");
	}
	return parent;
}

/* ---- who and what ---- */

static void check_root(struct host_report *report)
{
	struct host_check *c = add(report, "root");

	FOUND(c, "user %u", (unsigned)geteuid());
	if (geteuid() == 0)
		return;
	lacks(c, HOST_MISSING, "mounts, networks and control groups are made by root; rootless use is not there yet");
	FIX(c, "sudo hull doctor");
}

static void check_kernel(struct host_report *report)
{
	struct host_check *c = add(report, "kernel");
	struct utsname u = { .release = "" };
	unsigned major = 0, minor = 0;

	if (uname(&u) < 0 || sscanf(u.release, "%u.%u", &major, &minor) != 2)
		major = minor = 0;
	FOUND(c, "%s %s", u.release, u.machine);
	if (major > 5 || (major == 5 && minor >= 19))
		return;
	lacks(c, HOST_MISSING, "overlays over id-mapped layers need Linux 5.19");
	FIX(c, "apt-get install linux-image-amd64   # Debian 12 has 6.1");
}

static void check_programs(struct host_report *report, const char *libexec)
{
	static const char *const programs[] = { "hull-monitor", "hull-unpack", "hull-fetch", "hull-init", "hull-names", "hull-proxy" };
	struct host_check *c = add(report, "programs");

	FOUND(c, "%s", libexec);
	for (size_t i = 0; i < ARRAY_LEN(programs); i++) {
		CLEANUP_FREE char *path = str_printf("%s/%s", libexec, programs[i]);
		if (access(path, X_OK) == 0)
			continue;
		lacks(c, i ? HOST_LIMITED : HOST_MISSING, "%s is not there", path);
		FIX(c, "meson install -C build   # or HULL_LIBEXECDIR=...");
		return;
	}
}

static void check_disk(struct host_report *report)
{
	struct host_check *c = add(report, "disk");
	CLEANUP_FREE char *there = existing_parent(state_root());
	struct statvfs st;
	char text[32];

	if (statvfs(there, &st) < 0) {
		lacks(c, HOST_LIMITED, "%s: %s", there, strerror(errno));
		return;
	}
	double bytes = (double)st.f_bavail * (double)st.f_frsize;
	FOUND(c, "%s free for %s", str_human_bytes(bytes, text), state_root());
	if (st.f_flag & ST_RDONLY) {
		lacks(c, HOST_MISSING, "it is mounted read-only");
		FIX(c, "mount -o remount,rw %s   # or HULL_ROOT=/another/directory", there);
	} else if (bytes < 1e9 || (st.f_files && st.f_favail < 10000)) {
		lacks(c, HOST_LIMITED, "images need room: less than 1 GB or 10,000 inodes are free");
		FIX(c, "hull image prune -a   # or HULL_ROOT=/a/larger/disk");
	}
}

/* ---- control groups ---- */

static void check_cgroups(struct host_report *report)
{
	struct host_check *c = add(report, "cgroups");
	struct cgroup_layout layout;
	CLEANUP_STRV struct strv has = { 0 }, lacking = { 0 };

	if (cgroup_detect(&layout) < 0) {
		FOUND(c, "none");
		lacks(c, HOST_MISSING, "no control groups are mounted");
		FIX(c, "mount -t cgroup2 none /sys/fs/cgroup");
		return;
	}
	for (int i = 0; i < CGROUP_UNIFIED; i++) {
		/* Version 2 filters devices by BPF, freezes and counts without a controller. */
		bool is_builtin = layout.mode == CGROUP_MODE_V2 && (i == CGROUP_DEVICES || i == CGROUP_FREEZER || i == CGROUP_CPUACCT);
		if (!is_builtin)
			strv_add(cgroup_has(&layout, (enum cgroup_controller)i) ? &has : &lacking,
				 cgroup_controller_name((enum cgroup_controller)i));
	}
	CLEANUP_FREE char *names = strv_join(&has, " "), *gone = strv_join(&lacking, " ");
	FOUND(c, "%s: %s", cgroup_mode_name(layout.mode), names ? names : "no controllers");
	for (int i = 0; i < CGROUP_CONTROLLER_COUNT; i++)
		if (layout.hierarchy[i] == i && access(layout.root[i], W_OK) < 0 && geteuid() == 0) {
			lacks(c, HOST_MISSING, "%s cannot be written", layout.root[i]);
			FIX(c, "mount -o remount,rw %s", layout.root[i]);
			return;
		}
	if (lacking.n == 0)
		return;
	lacks(c, HOST_LIMITED, "no controller for: %s; limits that need them are refused", gone);
	if (layout.mode == CGROUP_MODE_V2)
		FIX(c, "echo '+cpu +cpuset +memory +io +pids' >%s/cgroup.subtree_control", layout.root[CGROUP_UNIFIED]);
	else
		FIX(c, "m=/sys/fs/cgroup/%s; mkdir -p $m && mount -t cgroup -o %s none $m", lacking.v[0], lacking.v[0]);
}

/* ---- namespaces ---- */

static int try_userns(void)
{
	return unshare(CLONE_NEWUSER) < 0 ? -errno : 0;
}

static void check_userns(struct host_report *report)
{
	struct host_check *c = add(report, "user namespaces");
	char limit[32] = "";
	int r = in_child(try_userns);

	if (r == 0) {
		FOUND(c, "65536 ids of its own for each container");
		return;
	}
	bool is_zero = read_line("/proc/sys/user/max_user_namespaces", limit, sizeof(limit)) && str_eq(limit, "0");
	bool is_chroot = r == -EPERM && geteuid() == 0;
	FOUND(c, "none");
	lacks(c, HOST_LIMITED, "%s; containers run only with --userns=host",
	      is_zero ? "user.max_user_namespaces is 0" : is_chroot ? "in a chroot the kernel makes none" : strerror(-r));
	FIX(c, is_zero ? "sysctl -w user.max_user_namespaces=15000" :
	       is_chroot ? "hull run --userns=host ...   # or pivot_root into the directory instead of chroot" :
			   "zgrep CONFIG_USER_NS /proc/config.gz   # the kernel needs it");
}

static int try_namespaces(void)
{
	return unshare(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP) < 0 ? -errno : 0;
}

static void check_namespaces(struct host_report *report)
{
	struct host_check *c = add(report, "namespaces");
	int r = in_child(try_namespaces);

	FOUND(c, "mount pid ipc uts cgroup");
	if (r == 0)
		return;
	lacks(c, HOST_MISSING, "they cannot be made: %s", strerror(-r));
	FIX(c, geteuid() ? "sudo hull doctor" : "hull must not run inside a container without CAP_SYS_ADMIN");
}

/* ---- file systems ---- */

static int configure(int fs, unsigned command, const char *key, const char *value)
{
	return syscall(SYS_fsconfig, fs, command, key, value, 0) < 0 ? -errno : 0;
}

/* A kernel that reads images from files finds that this program is none; another
 * wants a block device. */
static int try_erofs_file(void)
{
	int fs = (int)syscall(SYS_fsopen, "erofs", 1);
	if (fs < 0)
		return -errno;
	/* FSCONFIG_x: linux/mount.h and sys/mount.h cannot both be included. */
	enum { SET_FLAG, SET_STRING, CREATE = 6 };
	int r = configure(fs, SET_STRING, "source", "/proc/self/exe");
	if (r == 0)
		r = configure(fs, SET_FLAG, "ro", NULL);
	if (r == 0)
		r = configure(fs, CREATE, NULL, NULL);
	return r;
}

/* For who may not try. */
static bool listed_in(const char *path, const char *word)
{
	CLEANUP_BUF struct buf text = BUF_INIT(65536);

	return fd_read_file_at(AT_FDCWD, path, &text) == 0 && strstr(buf_str(&text), word);
}

static void check_erofs(struct host_report *report)
{
	struct host_check *c = add(report, "EROFS");

	if (geteuid() ? !listed_in("/proc/filesystems", "erofs") : !erofs_is_supported()) {
		FOUND(c, "none: layers are unpacked into directories");
		lacks(c, HOST_LIMITED, "the kernel has no EROFS, or its module is not loaded; pulls are slower");
		FIX(c, "modprobe erofs   # and: echo erofs >/etc/modules-load.d/hull.conf");
		return;
	}
	if (geteuid() == 0 && in_child(try_erofs_file) != -ENOTBLK) {
		FOUND(c, "mounted from files");
		return;
	}
	FOUND(c, geteuid() ? "in the kernel" : "through loop devices");
	if (access("/dev/loop-control", F_OK) == 0)
		return;
	lacks(c, HOST_MISSING, "this kernel mounts EROFS only from block devices, and there is no /dev/loop-control");
	FIX(c, "modprobe loop");
}

static int try_overlay(void)
{
	static const char *const dirs[] = { "lower", "upper", "work" };
	int fd[3];

	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return -errno;
	int scratch = mount_new_tmpfs("mode=700,size=64k");
	int r = scratch < 0 ? scratch : mount_attach(scratch, AT_FDCWD, "/");
	if (r < 0)
		return r;
	for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
		if (mkdirat(scratch, dirs[i], 0700) < 0)
			return -errno;
		fd[i] = openat(scratch, dirs[i], O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (fd[i] < 0)
			return -errno;
	}
	return mount_new_overlay(fd, 1, fd[1], fd[2], true);
}

static void check_overlay(struct host_report *report)
{
	struct host_check *c = add(report, "overlayfs");
	int r = in_child(try_overlay);

	FOUND(c, r < 0 ? "none" : "with userxattr");
	if (r >= 0)
		return;
	lacks(c, HOST_MISSING, "an overlay with userxattr cannot be mounted: %s", strerror(-r));
	FIX(c, geteuid() ? "sudo hull doctor" : "modprobe overlay");
}

/* A user namespace held open by a child that waits for its end. */
static int userns_with_map(void)
{
	static const char map[] = "0 268435456 65536\n";
	int ready[2];
	char path[64], byte;

	if (pipe2(ready, O_CLOEXEC) < 0)
		return -errno;
	pid_t pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0) {
		if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || unshare(CLONE_NEWUSER) < 0 || write(ready[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(ready[1]);
	if (read(ready[0], &byte, 1) != 1)
		return -EPERM;
	static const char *const files[] = { "uid_map", "gid_map" };
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, files[i]);
		CLEANUP_FD int fd = open(path, O_WRONLY | O_CLOEXEC);
		if (fd < 0 || write(fd, map, sizeof(map) - 1) < 0)
			return -errno;
	}
	snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int try_idmap(void)
{
	CLEANUP_FREE char *there = existing_parent(state_root());
	int userns = userns_with_map();

	if (userns < 0)
		return userns;
	int tree = mount_clone(AT_FDCWD, there, false);
	return tree < 0 ? tree : mount_idmap(tree, userns, false);
}

static void check_idmap(struct host_report *report)
{
	struct host_check *c = add(report, "id-mapped mounts");
	int r = in_child(try_idmap);

	FOUND(c, r < 0 ? "not on the file system of %s" : "on the file system of %s", state_root());
	if (r >= 0)
		return;
	if (r == -EPERM && geteuid() == 0) {
		lacks(c, HOST_LIMITED, "there are no user namespaces to map for");
		FIX(c, "hull doctor   # see user namespaces");
		return;
	}
	lacks(c, HOST_LIMITED, "%s; containers run only with --userns=host", strerror(-r));
	FIX(c, geteuid() ? "sudo hull doctor" : "HULL_ROOT=/a/directory/on/ext4/xfs/or/btrfs");
}

/* ---- network and filters ---- */

static int try_links(void)
{
	static const uint8_t mac[6] = { 2, 0x42, 0, 0, 0, 1 };
	int sock, index, r;

	if (unshare(CLONE_NEWNET) < 0)
		return -errno;
	int netns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (netns < 0)
		return -errno;
	r = nl_open(NETLINK_ROUTE, &sock);
	if (r == 0)
		r = link_add_bridge(sock, "hull-try", 1500);
	if (r == 0)
		r = link_index(sock, "hull-try", &index);
	if (r == 0)
		r = link_add_veth(sock, "hull-try1", index, "hull-try2", netns, mac, 1500);
	return r;
}

static void check_links(struct host_report *report)
{
	struct host_check *c = add(report, "bridge and veth");
	int r = in_child(try_links);

	FOUND(c, r < 0 ? "none" : "for containers' networks");
	if (r == 0)
		return;
	lacks(c, HOST_LIMITED, "%s; only --network none and host work", strerror(-r));
	FIX(c, geteuid() ? "sudo hull doctor" : "modprobe bridge; modprobe veth");
}

static int try_nft(void)
{
	struct err err = ERR_INIT;

	if (unshare(CLONE_NEWNET) < 0)
		return -errno;
	return nft_run("add table inet hull_try\nadd chain inet hull_try c { type nat hook postrouting priority srcnat; }\n"
		       "add rule inet hull_try c masquerade\n", &err);
}

static void check_nft(struct host_report *report)
{
	struct host_check *c = add(report, "nftables");
	int r = in_child(try_nft);

	FOUND(c, r < 0 ? "none" : "address translation and published ports");
	if (r == 0)
		return;
	if (r == -ENOENT) {
		lacks(c, HOST_LIMITED, "the program nft is not installed; bridge networks do not work");
		FIX(c, "apt-get install nftables");
	} else {
		lacks(c, HOST_LIMITED, "%s; bridge networks do not work",
		      geteuid() ? "only root may try" : "the kernel refuses rules for address translation");
		FIX(c, geteuid() ? "sudo hull doctor" : "modprobe nf_tables; modprobe nft_chain_nat; modprobe nft_masq");
	}
}

/* What a stranger on the wire can reach, and who else has a say in it. */
static void check_published(struct host_report *report)
{
	struct host_check *c = add(report, "open to the outside");
	struct firewall_report found;
	struct err err = ERR_INIT;

	if (geteuid() != 0) {
		FOUND(c, "only root may read the firewall");
		return;
	}
	if (firewall_report(&found, &err) < 0) {
		FOUND(c, "unknown");
		lacks(c, HOST_LIMITED, "%s", err.msg);
		return;
	}
	const char *decides = found.refuses[0] ? "; but only what the host's own rules let in: " : "";
	if (found.open_n == 0)
		FOUND(c, "no published port");
	else
		FOUND(c, "%zu published: %s%s%s", found.open_n, found.open, decides, found.refuses);
	/* Their forward policy is out of reach (firewall_foreign.c). */
	if (listed_in("/proc/net/ip_tables_names", "filter") || listed_in("/proc/net/ip6_tables_names", "filter")) {
		lacks(c, HOST_LIMITED, "rules of iptables-legacy are in force; where they drop what is forwarded, workloads do not get out");
		FIX(c, "iptables-legacy -A FORWARD -i hull0 -j ACCEPT; iptables-legacy -A FORWARD -o hull0 -j ACCEPT");
	}
}

static void check_forwarding(struct host_report *report)
{
	struct host_check *c = add(report, "IP forwarding");
	char value[16] = "";
	bool is_known = read_line("/proc/sys/net/ipv4/ip_forward", value, sizeof(value));

	if (str_eq(value, "1")) {
		FOUND(c, "on");
	} else if (is_known && (geteuid() || access("/proc/sys/net/ipv4/ip_forward", W_OK) == 0)) {
		FOUND(c, "off: turned on by the first container on a bridge");
	} else {
		FOUND(c, "off");
		lacks(c, HOST_LIMITED, "it cannot be turned on here; containers reach only this machine");
		FIX(c, "sysctl -w net.ipv4.ip_forward=1");
	}
}

static void check_seccomp(struct host_report *report)
{
	struct host_check *c = add(report, "seccomp");
	char actions[200] = "";

	if (read_line("/proc/sys/kernel/seccomp/actions_avail", actions, sizeof(actions)) && strstr(actions, "errno")) {
		FOUND(c, "filters");
		return;
	}
	FOUND(c, "none");
	lacks(c, HOST_LIMITED, "the kernel has no filters; containers run only with --security-opt seccomp=unconfined");
	FIX(c, "zgrep CONFIG_SECCOMP_FILTER /proc/config.gz   # the kernel needs it");
}

/* No level of this version needs it: what is missing is said, and hull is well. */
static void check_kvm(struct host_report *report)
{
	struct host_check *c = add(report, "KVM");
	CLEANUP_FD int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	if (fd >= 0) {
		FOUND(c, "/dev/kvm");
		return;
	}
	FOUND(c, "none");
	bool is_there = access("/dev/kvm", F_OK) == 0;
	lacks(c, HOST_LIMITED, "/dev/kvm: %s; the level microvm will need it", strerror(errno));
	FIX(c, is_there ? "usermod -aG kvm $USER   # and log in again" : "modprobe kvm_intel || modprobe kvm_amd   # in a guest: nested");
}

/* ---- levels ---- */

/* Which kernel it would boot, and how soon that is up. */
static void add_kernel(struct host_level *level, const char *root)
{
	struct err err = ERR_INIT;
	CLEANUP_GUEST_KERNEL struct guest_kernel *kernel = NULL;
	char *gives = level->note.gives, text[sizeof(level->note.gives)];
	if (level->level != ISOLATION_SANDBOX || guest_kernel_find(root, GUEST_KERNEL_SANDBOX, NULL, &kernel, &err) < 0)
		return;
	snprintf(text, sizeof(text), "a kernel of its own, %s: %s", kernel->name, gives);
	(void)!str_copy(gives, sizeof(level->note.gives), text);
	if (kernel->origin == GUEST_KERNEL_PACKAGED)
		snprintf(level->fix, sizeof(level->fix), "hull kernel build --for sandbox   # one that is up in some 50 ms; %s needs more than a second", kernel->name);
}

static void describe(struct host_level *level, const char *root)
{
	const struct isolation *back_end;
	struct err err = ERR_INIT;
	if (isolation_get(level->level, &back_end, &err) < 0 || !back_end->describe)
		return;
	if (back_end->describe(&level->note, &err) == 0) {
		add_kernel(level, root);
		return;
	}
	level->available = false;
	snprintf(level->why, sizeof(level->why), "%s", *err.why ? err.why : err.msg);
	snprintf(level->fix, sizeof(level->fix), "%s", err.hint);
}

static void check_levels(struct host_report *report, const char *libexec)
{
	const char *root = getenv("HULL_ROOT");
	root = str_is_empty(root) ? "/var/lib/hull" : root;
	for (int i = 0; i < ISOLATION_LEVEL_COUNT; i++) {
		struct host_level *level = &report->levels[i];
		struct err err = ERR_INIT;

		level->level = (enum isolation_level)i;
		int r = guest_boot_probe(root, libexec, level->level, &err);
		level->available = r == 0;
		/* What is not part of this version cannot be fixed by a line. */
		bool is_built = level->level <= ISOLATION_SANDBOX;
		const char *why = *err.why ? err.why : err.msg;
		snprintf(level->why, sizeof(level->why), "%.*s", (int)strcspn(why, is_built ? "\n" : ","), why);
		snprintf(level->fix, sizeof(level->fix), "%s", is_built ? err.hint : "");
		if (level->available)
			describe(level, root);
	}
	struct host_level *container = &report->levels[ISOLATION_CONTAINER];
	for (size_t i = 0; i < report->checks_n && container->available; i++) {
		const struct host_check *c = &report->checks[i];
		if (c->state != HOST_MISSING)
			continue;
		container->available = false;
		snprintf(container->why, sizeof(container->why), "%s: %s", c->name, c->why);
		snprintf(container->fix, sizeof(container->fix), "%s", c->fix);
	}
}

void host_checks_run(struct host_report *ret)
{
	const char *libexec = getenv("HULL_LIBEXECDIR");

	*ret = (struct host_report){ .checks_n = 0 };
	check_root(ret);
	check_kernel(ret);
	check_programs(ret, str_is_empty(libexec) ? HULL_LIBEXECDIR : libexec);
	check_disk(ret);
	check_cgroups(ret);
	check_namespaces(ret);
	check_userns(ret);
	check_overlay(ret);
	check_idmap(ret);
	check_erofs(ret);
	check_seccomp(ret);
	check_links(ret);
	check_nft(ret);
	check_published(ret);
	check_forwarding(ret);
	check_kvm(ret);
	check_levels(ret, str_is_empty(libexec) ? HULL_LIBEXECDIR : libexec);
}
