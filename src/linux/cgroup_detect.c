/* SPDX-License-Identifier: Apache-2.0 */
/* Where this host keeps its cgroup hierarchies. */
#include "cgroup.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "buf.h"
#include "fd.h"
#include "str.h"

static const char *const names[] = {
	[CGROUP_CPU] = "cpu",         [CGROUP_CPUACCT] = "cpuacct", [CGROUP_CPUSET] = "cpuset",
	[CGROUP_MEMORY] = "memory",   [CGROUP_DEVICES] = "devices", [CGROUP_FREEZER] = "freezer",
	[CGROUP_BLKIO] = "blkio",     [CGROUP_PIDS] = "pids",       [CGROUP_UNIFIED] = "unified",
};
static_assert(ARRAY_LEN(names) == CGROUP_CONTROLLER_COUNT, "a name for each controller");

const char *cgroup_controller_name(enum cgroup_controller controller)
{
	return names[controller];
}

const char *cgroup_mode_name(enum cgroup_mode mode)
{
	static const char *const mode_names[] = {
		[CGROUP_MODE_NONE] = "none",
		[CGROUP_MODE_V1] = "v1",
		[CGROUP_MODE_HYBRID] = "hybrid",
		[CGROUP_MODE_V2] = "v2",
	};
	return mode_names[mode];
}

static bool is_magic(const char *path, long magic)
{
	struct statfs fs;
	return statfs(path, &fs) == 0 && fs.f_type == magic;
}

/* Controllers that v1 does not hold come from the cgroup2 mount at @root. */
static void add_unified(struct cgroup_layout *l, const char *root)
{
	CLEANUP_BUF struct buf text = BUF_INIT(4096);
	CLEANUP_STRV struct strv words = { 0 };
	char path[CGROUP_ROOT_MAX + 32];

	if (str_copy(l->root[CGROUP_UNIFIED], CGROUP_ROOT_MAX, root) < 0)
		return;
	l->hierarchy[CGROUP_UNIFIED] = CGROUP_UNIFIED;
	/* The v2 core does these two for every group, so a v1 directory more
	 * would only cost time. */
	l->hierarchy[CGROUP_FREEZER] = CGROUP_UNIFIED;
	l->hierarchy[CGROUP_CPUACCT] = CGROUP_UNIFIED;
	/* Device programs attach to a v2 directory; no controller is involved. */
	if (l->hierarchy[CGROUP_DEVICES] < 0)
		l->hierarchy[CGROUP_DEVICES] = CGROUP_UNIFIED;
	bool is_any_missing = false;
	for (int c = 0; c < CGROUP_UNIFIED; c++)
		is_any_missing = is_any_missing || l->hierarchy[c] < 0;
	if (!is_any_missing)
		return;
	snprintf(path, sizeof(path), "%s/cgroup.controllers", root);
	if (fd_read_file_at(AT_FDCWD, path, &text) < 0)
		return;
	if (text.len && text.data[text.len - 1] == '\n')
		text.data[--text.len] = '\0';
	strv_split(&words, buf_str(&text), ' ');
	for (int c = 0; c < CGROUP_UNIFIED; c++)
		if (l->hierarchy[c] < 0 && strv_contains(&words, c == CGROUP_BLKIO ? "io" : names[c]))
			l->hierarchy[c] = CGROUP_UNIFIED;
}

/* Controller @c is mounted (v1) at @root; others may share the mount, which
 * shows by the device number, kept in @devices. */
static void add_v1(struct cgroup_layout *l, dev_t *devices, int c, const char *root)
{
	struct stat st;

	if (stat(root, &st) < 0 || str_copy(l->root[c], CGROUP_ROOT_MAX, root) < 0)
		return;
	devices[c] = st.st_dev;
	l->hierarchy[c] = (int8_t)c;
	for (int i = 0; i < CGROUP_UNIFIED; i++)
		if (i != c && l->hierarchy[i] == i && devices[i] == st.st_dev) {
			l->hierarchy[c] = (int8_t)i;
			break;
		}
}

static void detect_usual(struct cgroup_layout *l)
{
	char path[CGROUP_ROOT_MAX];
	dev_t devices[CGROUP_CONTROLLER_COUNT] = { 0 };

	if (is_magic("/sys/fs/cgroup", CGROUP2_SUPER_MAGIC)) {
		add_unified(l, "/sys/fs/cgroup");
		return;
	}
	for (int c = 0; c < CGROUP_UNIFIED; c++) {
		snprintf(path, sizeof(path), "/sys/fs/cgroup/%s", names[c]);
		if (is_magic(path, CGROUP_SUPER_MAGIC))
			add_v1(l, devices, c, path);
	}
	if (is_magic("/sys/fs/cgroup/unified", CGROUP2_SUPER_MAGIC))
		add_unified(l, "/sys/fs/cgroup/unified");
}

/* One line of mountinfo: "... root mountpoint opts ... - type source superopts". */
static void read_mount(struct cgroup_layout *l, dev_t *devices, char *line, char *ret_unified, size_t size)
{
	CLEANUP_STRV struct strv f = { 0 };
	CLEANUP_STRV struct strv options = { 0 };
	char *tail = strstr(line, " - cgroup");

	if (!tail)
		return;
	strv_split(&f, line, ' ');
	if (f.n < 5)
		return;
	if (str_starts_with(tail, " - cgroup2 ")) {
		if (!*ret_unified && str_copy(ret_unified, size, f.v[4]) < 0)
			*ret_unified = '\0';
		return;
	}
	char *last = strrchr(line, ' ');
	strv_split(&options, last ? last + 1 : "", ',');
	for (int c = 0; c < CGROUP_UNIFIED; c++)
		if (l->hierarchy[c] < 0 && strv_contains(&options, names[c]))
			add_v1(l, devices, c, f.v[4]);
}

static void detect_mountinfo(struct cgroup_layout *l)
{
	char unified[CGROUP_ROOT_MAX] = "";
	dev_t devices[CGROUP_CONTROLLER_COUNT] = { 0 };
	CLEANUP_BUF struct buf text = BUF_INIT(16 << 20);

	if (fd_read_file_at(AT_FDCWD, "/proc/self/mountinfo", &text) < 0 || !text.data)
		return;
	for (char *line = text.data, *next; line && *line; line = next) {
		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		read_mount(l, devices, line, unified, sizeof(unified));
	}
	if (*unified)
		add_unified(l, unified);
}

int cgroup_detect(struct cgroup_layout *ret)
{
	struct cgroup_layout l = { 0 };
	bool any_v1 = false;

	memset(l.hierarchy, -1, sizeof(l.hierarchy));
	detect_usual(&l);
	for (int pass = 0; pass < 2; pass++) {
		for (int c = 0; c < CGROUP_UNIFIED; c++)
			any_v1 = any_v1 || (l.hierarchy[c] >= 0 && l.hierarchy[c] != CGROUP_UNIFIED);
		if (any_v1 || l.hierarchy[CGROUP_UNIFIED] >= 0)
			break;
		if (pass == 0)
			detect_mountinfo(&l);
	}
	if (l.hierarchy[CGROUP_UNIFIED] >= 0)
		l.mode = any_v1 ? CGROUP_MODE_HYBRID : CGROUP_MODE_V2;
	else if (any_v1)
		l.mode = CGROUP_MODE_V1;
	else
		return -ENOENT;
	*ret = l;
	return 0;
}
