/* SPDX-License-Identifier: Apache-2.0 */
/* The mounts of the specification, in order, below a root that is held as a
 * descriptor. Every target is resolved inside that root and then used only as a
 * descriptor (or its name below /proc/self/fd), so that a link in the image, or
 * one swapped meanwhile by a neighbour that shares a volume, leads nowhere. */
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#include "internal.h"
#include "mount_api.h"
#include "resolve.h"

static const struct {
	const char *name;
	uint64_t set, clear; /* MOUNT_ATTR_x */
} attribute_options[] = {
	{ "ro", MOUNT_ATTR_RDONLY, 0 },         { "readonly", MOUNT_ATTR_RDONLY, 0 }, { "rw", 0, MOUNT_ATTR_RDONLY },
	{ "nosuid", MOUNT_ATTR_NOSUID, 0 },     { "suid", 0, MOUNT_ATTR_NOSUID },     { "nodev", MOUNT_ATTR_NODEV, 0 },
	{ "dev", 0, MOUNT_ATTR_NODEV },         { "noexec", MOUNT_ATTR_NOEXEC, 0 },   { "exec", 0, MOUNT_ATTR_NOEXEC },
	{ "noatime", MOUNT_ATTR_NOATIME, MOUNT_ATTR__ATIME },
	{ "relatime", MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME },
	{ "strictatime", MOUNT_ATTR_STRICTATIME, MOUNT_ATTR__ATIME },
	{ "nodiratime", MOUNT_ATTR_NODIRATIME, 0 },
	{ "nosymfollow", MOUNT_ATTR_NOSYMFOLLOW, 0 },
};

static const struct {
	const char *name;
	unsigned long flag;
	bool recursive;
} propagation_options[] = {
	{ "private", MS_PRIVATE, false }, { "rprivate", MS_PRIVATE, true }, { "slave", MS_SLAVE, false },
	{ "rslave", MS_SLAVE, true },     { "shared", MS_SHARED, false },   { "rshared", MS_SHARED, true },
};

struct parsed_options {
	uint64_t set, clear;
	bool recursive_ro;
	unsigned long propagation;
	bool propagation_recursive;
	/* What is left: the file system's own. */
	char data[512];
};

static int parse_option(struct parsed_options *o, const char *option)
{
	for (size_t i = 0; i < ARRAY_LEN(attribute_options); i++)
		if (str_eq(option, attribute_options[i].name)) {
			o->set |= attribute_options[i].set;
			o->set &= ~attribute_options[i].clear;
			o->clear |= attribute_options[i].clear;
			o->clear &= ~(attribute_options[i].set & ~MOUNT_ATTR__ATIME);
			return 0;
		}
	for (size_t i = 0; i < ARRAY_LEN(propagation_options); i++)
		if (str_eq(option, propagation_options[i].name)) {
			o->propagation = propagation_options[i].flag;
			o->propagation_recursive = propagation_options[i].recursive;
			return 0;
		}
	if (str_eq(option, "rro")) {
		o->set |= MOUNT_ATTR_RDONLY;
		o->recursive_ro = true;
		return 0;
	}
	if (str_eq(option, "bind") || str_eq(option, "rbind") || str_eq(option, "idmap") || str_eq(option, "noidmap") ||
	    str_eq(option, "cached") || str_starts_with(option, "subpath="))
		return 0;
	size_t n = strlen(o->data);
	int written = snprintf(o->data + n, sizeof(o->data) - n, "%s%s", n ? "," : "", option);
	return written < 0 || (size_t)written >= sizeof(o->data) - n ? -E2BIG : 0;
}

static int parse_options(const struct spec_mount *m, struct parsed_options *o, struct err *err)
{
	*o = (struct parsed_options){ 0 };
	for (size_t i = 0; i < m->options.n; i++)
		if (parse_option(o, m->options.v[i]) < 0)
			return err_set(err, ERR_INVALID, 0, "too many options for the mount on %s", m->destination);
	return 0;
}

/* The target as a descriptor, made if missing. */
static int open_target(int root, const struct spec_mount *m, bool directory, int *ret, struct err *err)
{
	struct stat st;
	CLEANUP_FD int fd = resolve_make(root, m->destination, directory);
	if (fd < 0)
		return err_set(err, ERR_SYSTEM, fd, "make the mount point %s", m->destination);
	if (fstat(fd, &st) < 0)
		return err_set(err, ERR_SYSTEM, errno, "look at the mount point %s", m->destination);
	if (directory != S_ISDIR(st.st_mode)) {
		int r = err_set(err, ERR_INVALID, 0, "cannot mount %s on %s: not a directory", m->source ? m->source : m->type,
				m->destination);
		err_why(err, "one is a directory and the other a file");
		return r;
	}
	*ret = TAKE_FD(fd);
	return 0;
}

static bool is_proc(int fd)
{
	struct statfs fs;
	return fstatfs(fd, &fs) == 0 && fs.f_type == PROC_SUPER_MAGIC;
}

/* What is masked or read-only in /proc, and where the sysctls are set, is found
 * by path: nothing may lie over it. What lxcfs provides is let through, as runc
 * does. */
static int refuse_inside_proc(const struct spec_mount *m, int source, int target, struct err *err)
{
	static const char *const allowed[] = {
		"/proc/cpuinfo", "/proc/diskstats", "/proc/loadavg", "/proc/meminfo",  "/proc/net/dev",
		"/proc/slabinfo", "/proc/stat",     "/proc/swaps",   "/proc/uptime",
	};
	bool is_root = str_eq(m->destination, "/proc");
	if (!is_proc(target) && !(is_root && source >= 0))
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(allowed); i++)
		if (str_eq(m->destination, allowed[i]))
			return 0;
	if (is_root && source >= 0 && is_proc(source))
		return 0;
	int r = err_set(err, ERR_DENIED, 0, "%s cannot be mounted on %s because it is inside /proc", m->source ? m->source : m->type,
			m->destination);
	err_hint(err, "choose a destination outside /proc");
	return r;
}

/* An image whose /proc or /sys is a link would choose where they appear, and a
 * neighbour that shares a volume could move them from under the masks
 * (CVE-2019-19921). */
static int refuse_linked(int root, const struct spec_mount *m, struct err *err)
{
	if (!str_eq(m->type, "proc") && !str_eq(m->type, "sysfs"))
		return 0;
	CLEANUP_FD int fd = resolve_open_nolinks(root, m->destination, O_PATH | O_DIRECTORY);
	if (fd == -ELOOP || fd == -ENOTDIR) {
		int r = err_set(err, ERR_DENIED, 0, "%s must be a directory of the image", m->destination);
		err_why(err, "it is a symbolic link, or below one");
		return r;
	}
	return fd < 0 && fd != -ENOENT ? err_set(err, ERR_SYSTEM, fd, "open %s", m->destination) : 0;
}

static int apply_attributes(int mount, const struct parsed_options *o, const char *where, struct err *err)
{
	if (o->set || o->clear) {
		int r = mount_change(mount, o->set, o->clear, o->recursive_ro);
		/* A container may not lift what the host's mount forbids; then it
		 * stays forbidden. */
		if (r == -EPERM && o->clear)
			r = o->set ? mount_change(mount, o->set, 0, o->recursive_ro) : 0;
		if (r < 0)
			return err_set(err, ERR_SYSTEM, r, "set the options of the mount on %s", where);
	}
	if (o->propagation) {
		int r = mount_propagation(mount, o->propagation, o->propagation_recursive);
		if (r < 0)
			return err_set(err, ERR_SYSTEM, r, "set the propagation of the mount on %s", where);
	}
	return 0;
}

static int make_bind(const struct spec_mount *m, int source, int root, struct err *err)
{
	struct parsed_options o;
	struct stat st;
	CLEANUP_FD int target = -1;
	int r = parse_options(m, &o, err);
	if (r < 0)
		return r;
	if (fstat(source, &st) < 0)
		return err_set(err, ERR_SYSTEM, errno, "look at %s", m->source);
	r = open_target(root, m, S_ISDIR(st.st_mode), &target, err);
	if (r == 0)
		r = refuse_inside_proc(m, source, target, err);
	if (r < 0)
		return r;
	if (!o.propagation)
		o.propagation = MS_PRIVATE, o.propagation_recursive = true;
	r = mount_attach(source, target, "");
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "mount %s on %s", m->source, m->destination);
	return apply_attributes(source, &o, m->destination, err);
}

static unsigned long ms_flags(uint64_t set)
{
	unsigned long flags = 0;
	flags |= set & MOUNT_ATTR_RDONLY ? MS_RDONLY : 0;
	flags |= set & MOUNT_ATTR_NOSUID ? MS_NOSUID : 0;
	flags |= set & MOUNT_ATTR_NODEV ? MS_NODEV : 0;
	flags |= set & MOUNT_ATTR_NOEXEC ? MS_NOEXEC : 0;
	flags |= set & MOUNT_ATTR_NOATIME ? MS_NOATIME : 0;
	return flags;
}

static int mount_at(int target, const char *source, const char *type, unsigned long flags, const char *data)
{
	char path[32];
	snprintf(path, sizeof(path), "/proc/self/fd/%d", target);
	return mount(source, path, type, flags, data) < 0 ? -errno : 0;
}

/* sysfs shows the network namespace; one that is not ours must be bound. */
static int bind_host_sysfs(int target, unsigned long flags)
{
	CLEANUP_FD int sys = mount_clone(AT_FDCWD, "/sys", true);
	if (sys < 0)
		return sys;
	int r = mount_attach(sys, target, "");
	if (r == 0 && flags & MS_RDONLY)
		r = mount_change(sys, MOUNT_ATTR_RDONLY, 0, true);
	return r;
}

/* What the workload sees of hierarchy @i. If it is its own group alone, the host's mount
 * of that, bound, shows the same as a mount of its own, which a cgroup namespace makes a
 * file system of its own: the kernel walks over those of all containers to make one
 * more. Where the host's is not at hand (it was opened elsewhere) there is that. */
static int mount_cgroup(const struct child_args *args, int i, bool is_own_only, int target, unsigned long flags, const char *name)
{
	bool unified = i == CGROUP_UNIFIED;
	CLEANUP_FD int bound = is_own_only && args->cgroup->fd[i] >= 0 ? mount_clone(args->cgroup->fd[i], "", false) : -1;
	uint64_t attributes = MOUNT_ATTR_RDONLY | (flags & MS_NOSUID ? MOUNT_ATTR_NOSUID : 0) | (flags & MS_NODEV ? MOUNT_ATTR_NODEV : 0) |
			      (flags & MS_NOEXEC ? MOUNT_ATTR_NOEXEC : 0);
	if (bound >= 0) {
		int r = mount_change(bound, attributes, 0, false);
		if (r == 0)
			r = mount_attach(bound, target, "");
		return r == 0 ? mount_propagation(bound, MS_PRIVATE, false) : r;
	}
	return mount_at(target, "cgroup", unified ? "cgroup2" : "cgroup", flags, unified ? NULL : name);
}

/* v2: the hierarchy itself. v1 and hybrid: a directory with each of them, but for
 * a workload that may only look not those where it has no group of its own: its
 * cgroup namespace begins at the host's root there, and all groups would show. */
static int mount_cgroups(const struct child_args *args, int target, unsigned long flags)
{
	const struct cgroup_layout *layout = args->cgroups;
	bool is_own_only = args->cgroup_namespace && flags & MS_RDONLY;
	if (layout->mode == CGROUP_MODE_V2)
		return mount_cgroup(args, CGROUP_UNIFIED, is_own_only, target, flags, NULL);
	CLEANUP_FD int dir = mount_new_tmpfs("mode=755,size=64k");
	if (dir < 0)
		return dir;
	int r = mount_attach(dir, target, "");
	for (int i = 0; i < CGROUP_CONTROLLER_COUNT && r == 0; i++) {
		const char *name = strrchr(layout->root[i], '/');
		if (!name || !name[1] || (is_own_only && args->cgroup->fd[i] < 0))
			continue;
		name++;
		if (mkdirat(dir, name, 0755) < 0)
			return errno == EEXIST ? 0 : -errno;
		CLEANUP_FD int place = openat(dir, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (place < 0)
			return -errno;
		r = mount_cgroup(args, i, is_own_only, place, flags, name);
		/* A hierarchy the kernel does not show here is left out. */
		if (r < 0) {
			(void)unlinkat(dir, name, AT_REMOVEDIR);
			r = 0;
		}
	}
	if (r == 0 && flags & MS_RDONLY)
		r = mount_change(dir, MOUNT_ATTR_RDONLY, 0, false);
	return r;
}

static int make_other(const struct child_args *args, const struct spec_mount *m, int root, struct err *err)
{
	struct parsed_options o;
	CLEANUP_FD int target = -1;
	int r = parse_options(m, &o, err);
	if (r == 0)
		r = refuse_linked(root, m, err);
	if (r == 0)
		r = open_target(root, m, true, &target, err);
	if (r == 0)
		r = refuse_inside_proc(m, -1, target, err);
	if (r < 0)
		return r;
	unsigned long flags = ms_flags(o.set);
	if (str_eq(m->type, "cgroup"))
		r = mount_cgroups(args, target, flags);
	else if (str_eq(m->type, "sysfs") && args->sysfs >= 0 && o.set == SYSFS_AHEAD_ATTRIBUTES && !o.data[0])
		r = mount_attach(args->sysfs, target, "");
	else
		r = mount_at(target, m->source ? m->source : m->type, m->type, flags, o.data[0] ? o.data : NULL);
	if (r == -EPERM && str_eq(m->type, "sysfs"))
		r = bind_host_sysfs(target, flags);
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "mount %s on %s", m->type, m->destination);
	return 0;
}

int mounts_open_tmpfs(const struct spec_mount *m, int *ret, struct err *err)
{
	struct parsed_options o;
	int r = parse_options(m, &o, err);
	if (r < 0)
		return r;
	CLEANUP_FD int fd = mount_new_tmpfs(o.data);
	if (fd < 0)
		return err_set(err, ERR_SYSTEM, fd, "make a tmpfs for %s", m->destination);
	r = apply_attributes(fd, &o, m->destination, err);
	if (r == 0)
		*ret = TAKE_FD(fd);
	return r;
}

/* Made by the launcher, with the nodes in it. */
static int move_dev(const struct spec_mount *m, int nodes, int root, struct err *err)
{
	CLEANUP_FD int target = -1;
	int r = open_target(root, m, true, &target, err);
	if (r == 0 && (r = mount_attach(nodes, target, "")) < 0)
		return err_set(err, ERR_SYSTEM, r, "mount %s", m->destination);
	return r;
}

int mounts_make(const struct child_args *args, const struct handover *h, int root, struct err *err)
{
	size_t bind = h->binds;
	for (size_t i = 0; i < args->spec->mounts_n; i++) {
		const struct spec_mount *m = &args->spec->mounts[i];
		int r;
		if (spec_mount_is_bind(m))
			r = make_bind(m, h->fds[bind++], root, err);
		else if (h->devices_n && mount_is_dev(m))
			r = move_dev(m, h->fds[h->devices], root, err);
		else
			r = make_other(args, m, root, err);
		if (r < 0)
			return r;
	}
	return 0;
}
