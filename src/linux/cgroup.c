/* SPDX-License-Identifier: Apache-2.0 */
/* Groups: made, opened, entered, listed.
 *
 * The hot path is "create and attach for a container without limits": one
 * mkdir and one open in each hierarchy that is needed, and nothing read. So the
 * parent is made only when a mkdir says it is missing, and no directory is made
 * in a hierarchy that no limit asks for; cgroup_ensure() adds it later. */
#include "cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fd.h"
#include "str.h"

/* Deepest tree of groups that is walked; the kernel itself has no limit. */
#define DEPTH_MAX 32
#define PIDS_TEXT_MAX (8u << 20)

/* Controllers passed on to children of v2 directories. */
static const char *const v2_controllers[] = { "+cpu", "+memory", "+pids", "+io", "+cpuset" };

/* The kernel lets a v2 directory other than the true root pass controllers on
 * only when it has no processes of its own. In a container that root is where
 * everything of the container starts, so those processes move into a leaf. */
static void empty_v2_root(const char *root)
{
	char path[CGROUP_ROOT_MAX + 32], number[16];
	CLEANUP_BUF struct buf text = BUF_INIT(PIDS_TEXT_MAX);
	CLEANUP_FD int dir = -1;

	snprintf(path, sizeof(path), "%s/hull-host", root);
	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		return;
	dir = open(path, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	snprintf(path, sizeof(path), "%s/cgroup.procs", root);
	if (dir < 0 || fd_read_file_at(AT_FDCWD, path, &text) < 0 || !text.data)
		return;
	for (char *p = text.data, *end; *p; p = end + 1) {
		end = strchr(p, '\n');
		if (!end)
			break;
		*end = '\0';
		if (str_copy(number, sizeof(number), p) == 0 && fd_write_value_at(dir, "cgroup.procs", number) < 0)
			continue; /* gone, or a kernel thread */
	}
}

/* Let children of @dir have the controllers; those the kernel lacks are left. */
static int pass_controllers_on(int dir)
{
	int r = 0;

	for (size_t i = 0; i < ARRAY_LEN(v2_controllers); i++)
		if (fd_write_value_at(dir, "cgroup.subtree_control", v2_controllers[i]) == -EBUSY)
			r = -EBUSY;
	return r;
}

/* Make the parents of @path below @root; in v2 each passes controllers on. */
static int make_parents(const char *root, const char *path, bool is_v2)
{
	char full[CGROUP_ROOT_MAX + CGROUP_PATH_MAX];
	size_t at = (size_t)snprintf(full, sizeof(full), "%s/", root);

	for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
		CLEANUP_FD int dir = -1;

		if (is_v2 && slash == strchr(path, '/')) {
			CLEANUP_FD int top = open(root, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
			if (top >= 0 && pass_controllers_on(top) == -EBUSY) {
				empty_v2_root(root);
				(void)!pass_controllers_on(top);
			}
		}
		snprintf(full + at, sizeof(full) - at, "%.*s", (int)(slash - path), path);
		if (mkdir(full, 0755) < 0 && errno != EEXIST)
			return -errno;
		if (!is_v2)
			continue;
		dir = open(full, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
		if (dir < 0)
			return -errno;
		(void)!pass_controllers_on(dir);
	}
	return 0;
}

/* A new cpuset has no processors and takes no process until it has some. */
static int fill_cpuset(const char *root, const char *path)
{
	static const char *const files[] = { "cpuset.cpus", "cpuset.mems" };
	char full[CGROUP_ROOT_MAX + CGROUP_PATH_MAX + 32];

	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		CLEANUP_BUF struct buf value = BUF_INIT(4096);
		int r;

		for (const char *slash = strchr(path, '/');; slash = strchr(slash + 1, '/')) {
			CLEANUP_BUF struct buf own = BUF_INIT(4096);
			int n = slash ? (int)(slash - path) : (int)strlen(path);

			if (!value.len) {
				snprintf(full, sizeof(full), "%s/%s", root, files[i]);
				r = fd_read_file_at(AT_FDCWD, full, &value);
				if (r < 0)
					return r;
			}
			snprintf(full, sizeof(full), "%s/%.*s/%s", root, n, path, files[i]);
			r = fd_read_file_at(AT_FDCWD, full, &own);
			if (r < 0)
				return r;
			if (own.len <= 1)
				r = fd_write_value_at(AT_FDCWD, full, buf_str(&value));
			else
				buf_clear(&value), r = buf_append(&value, own.data, own.len);
			if (r < 0)
				return r;
			if (!slash)
				break;
		}
	}
	return 0;
}

static int make_own(const char *full, const char *root, const char *path, bool is_unified)
{
	if (mkdir(full, 0755) == 0 || errno == EEXIST)
		return 0;
	if (errno != ENOENT)
		return -errno;
	int r = make_parents(root, path, is_unified);
	if (r < 0)
		return r;
	return mkdir(full, 0755) < 0 && errno != EEXIST ? -errno : 0;
}

/* The directory of @path in hierarchy @h, made if missing. Descriptor. */
static int make_dir(const struct cgroup_layout *layout, int h, const char *path)
{
	char full[CGROUP_ROOT_MAX + CGROUP_PATH_MAX + 2];

	snprintf(full, sizeof(full), "%s/%s", layout->root[h], path);
	/* Programs in the workload read their limits there (a run-time sizes its
	 * heap and its threads by them), as other users than the owner. */
	mode_t mask = umask(022);
	int made = make_own(full, layout->root[h], path, h == CGROUP_UNIFIED);
	(void)umask(mask);
	if (made < 0)
		return made;
	if (layout->hierarchy[CGROUP_CPUSET] == h && h != CGROUP_UNIFIED) {
		int r = fill_cpuset(layout->root[h], path);
		if (r < 0)
			return r;
	}
	int fd = open(full, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* Relative, no "." or ".." or empty part, so that it cannot leave the root. */
static bool is_path_safe(const char *path)
{
	if (str_is_empty(path) || strlen(path) >= CGROUP_PATH_MAX)
		return false;
	for (const char *p = path;; p++) {
		size_t n = strcspn(p, "/");
		if (n == 0 || (n == 1 && p[0] == '.') || (n == 2 && p[0] == '.' && p[1] == '.'))
			return false;
		p += n;
		if (!*p)
			return true;
	}
}

static int start_cgroup(const struct cgroup_layout *layout, const char *path, struct cgroup *cg)
{
	*cg = CGROUP_INIT;
	if (!is_path_safe(path))
		return -EINVAL;
	cg->layout = layout;
	return str_copy(cg->path, sizeof(cg->path), path);
}

/* What every workload is put into whatever its limits. */
static uint32_t always_needed(const struct cgroup_layout *layout)
{
	uint32_t need = CGROUP_BIT(CGROUP_MEMORY) | CGROUP_BIT(CGROUP_FREEZER) | CGROUP_BIT(CGROUP_CPUACCT);

	return cgroup_has(layout, CGROUP_UNIFIED) ? need | CGROUP_BIT(CGROUP_UNIFIED) : need | CGROUP_BIT(CGROUP_PIDS);
}

int cgroup_make_parents(const struct cgroup_layout *layout, const char *path)
{
	char full[CGROUP_ROOT_MAX + CGROUP_PATH_MAX + 2];
	const char *slash = strrchr(path, '/');
	if (!is_path_safe(path))
		return -EINVAL;
	if (!slash || !cgroup_has(layout, CGROUP_UNIFIED))
		return 0;
	const char *root = layout->root[layout->hierarchy[CGROUP_UNIFIED]];
	snprintf(full, sizeof(full), "%s/%.*s", root, (int)(slash - path), path);
	if (access(full, F_OK) == 0)
		return 0;
	mode_t mask = umask(022);
	int r = make_parents(root, path, true);
	(void)umask(mask);
	return r;
}

int cgroup_create(const struct cgroup_layout *layout, const char *path, uint32_t controllers, struct cgroup *ret,
		  struct err *err)
{
	CLEANUP_CGROUP struct cgroup cg = CGROUP_INIT;
	int r = start_cgroup(layout, path, &cg);

	if (r < 0)
		return err_set(err, ERR_INVALID, r, "cgroup path \"%s\"", path ? path : "");
	controllers |= always_needed(layout);
	for (int c = 0; c < CGROUP_CONTROLLER_COUNT; c++) {
		int h = layout->hierarchy[c];
		if (!(controllers & CGROUP_BIT(c)) || h < 0 || cg.fd[h] >= 0)
			continue;
		r = make_dir(layout, h, path);
		if (r < 0) {
			for (int i = 0; i < CGROUP_CONTROLLER_COUNT; i++) {
				char full[CGROUP_ROOT_MAX + CGROUP_PATH_MAX + 2];
				snprintf(full, sizeof(full), "%s/%s", layout->root[i], path);
				if (cg.fd[i] >= 0)
					rmdir(full);
			}
			return err_set(err, ERR_SYSTEM, r, "create cgroup %s/%s", layout->root[h], path);
		}
		cg.fd[h] = r;
	}
	*ret = cg;
	cg = CGROUP_INIT;
	return 0;
}

int cgroup_open(const struct cgroup_layout *layout, const char *path, struct cgroup *ret)
{
	CLEANUP_CGROUP struct cgroup cg = CGROUP_INIT;
	bool is_any = false;
	int r = start_cgroup(layout, path, &cg);

	if (r < 0)
		return r;
	for (int h = 0; h < CGROUP_CONTROLLER_COUNT; h++) {
		char full[CGROUP_ROOT_MAX + CGROUP_PATH_MAX + 2];

		if (layout->hierarchy[h] != h)
			continue;
		snprintf(full, sizeof(full), "%s/%s", layout->root[h], path);
		cg.fd[h] = open(full, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
		if (cg.fd[h] < 0 && errno != ENOENT)
			return -errno;
		is_any = is_any || cg.fd[h] >= 0;
	}
	if (!is_any)
		return -ENOENT;
	*ret = cg;
	cg = CGROUP_INIT;
	return 0;
}

void cgroup_close(struct cgroup *cg)
{
	for (int i = 0; i < CGROUP_CONTROLLER_COUNT; i++)
		cleanup_fd(&cg->fd[i]);
}

bool cgroup_is_unified_only(const struct cgroup *cg)
{
	for (int i = 0; i < CGROUP_UNIFIED; i++)
		if (cg->fd[i] >= 0)
			return false;
	return true;
}

int cgroup_enter_v1(const struct cgroup *cg)
{
	for (int i = 0; i < CGROUP_UNIFIED; i++) {
		int r = cg->fd[i] < 0 ? 0 : fd_write_value_at(cg->fd[i], "tasks", "0");
		if (r < 0)
			return r;
	}
	return 0;
}

int cgroup_attach(const struct cgroup *cg, pid_t pid, bool skip_unified)
{
	char number[16];

	snprintf(number, sizeof(number), "%d", (int)pid);
	for (int i = 0; i < CGROUP_CONTROLLER_COUNT; i++) {
		if (cg->fd[i] < 0 || (i == CGROUP_UNIFIED && skip_unified))
			continue;
		int r = fd_write_value_at(cg->fd[i], "cgroup.procs", number);
		if (r < 0)
			return r;
	}
	return 0;
}

struct pid_list {
	pid_t *v;
	size_t n, cap;
};

static int add_pids(int dir, struct pid_list *list)
{
	CLEANUP_BUF struct buf text = BUF_INIT(PIDS_TEXT_MAX);
	int r = fd_read_file_at(dir, "cgroup.procs", &text);

	if (r < 0)
		/* A threaded group below a container's has no such list: its
		 * processes are in the threaded domain's. */
		return r == -EOPNOTSUPP || r == -ENODEV || r == -ENOENT ? 0 : r;
	for (const char *p = buf_str(&text); *p; p++) {
		if (list->n == list->cap) {
			size_t cap = list->cap ? 2 * list->cap : 64;
			pid_t *v = reallocarray(list->v, cap, sizeof(*v));
			if (!v)
				return -ENOMEM;
			list->v = v;
			list->cap = cap;
		}
		char *end;
		list->v[list->n++] = (pid_t)strtol(p, &end, 10);
		p = end;
		if (!*p)
			break;
	}
	return 0;
}

static int walk_pids(int dir, struct pid_list *list, int depth)
{
	int r = add_pids(dir, list);
	int copy;

	if (r < 0 || depth >= DEPTH_MAX)
		return r;
	copy = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (copy < 0)
		return errno == ENOENT ? 0 : -errno;
	CLEANUP_DIR DIR *d = fdopendir(copy);
	if (!d) {
		close(copy);
		return -ENOMEM;
	}
	for (struct dirent *e; r >= 0 && (e = readdir(d));) {
		if (e->d_type != DT_DIR || str_eq(e->d_name, ".") || str_eq(e->d_name, ".."))
			continue;
		CLEANUP_FD int child = openat(copy, e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (child >= 0)
			r = walk_pids(child, list, depth + 1);
	}
	return r;
}

int cgroup_pids(const struct cgroup *cg, pid_t **ret, size_t *ret_n)
{
	struct pid_list list = { 0 };
	int dir = cg->fd[CGROUP_UNIFIED];

	for (int i = 0; dir < 0 && i < CGROUP_UNIFIED; i++)
		dir = cg->fd[i];
	if (dir < 0)
		return -ENOENT;
	int r = walk_pids(dir, &list, 0);
	if (r < 0) {
		free(list.v);
		return r;
	}
	*ret = list.v;
	*ret_n = list.n;
	return 0;
}

int cgroup_ensure(struct cgroup *cg, enum cgroup_controller controller)
{
	int h = cg->layout->hierarchy[controller];

	if (h < 0)
		return -ENODEV;
	if (cg->fd[h] >= 0)
		return 0;
	int fd = make_dir(cg->layout, h, cg->path);
	if (fd < 0)
		return fd;
	cg->fd[h] = fd;
	/* What forks while the list is walked may stay outside: a child born of
	 * a moved parent is inside, so rounds end once a whole list is inside. */
	for (int round = 0; round < 64; round++) {
		CLEANUP_FREE pid_t *all = NULL;
		struct pid_list inside = { 0 };
		size_t n = 0, moved = 0;
		int r = cgroup_pids(cg, &all, &n);

		if (r >= 0)
			r = walk_pids(fd, &inside, 0);
		for (size_t i = 0; r >= 0 && i < n; i++) {
			char number[16];
			bool is_inside = false;

			for (size_t k = 0; !is_inside && k < inside.n; k++)
				is_inside = inside.v[k] == all[i];
			if (is_inside)
				continue;
			snprintf(number, sizeof(number), "%d", (int)all[i]);
			r = fd_write_value_at(fd, "cgroup.procs", number);
			moved++;
			if (r == -ESRCH)
				r = 0;
		}
		free(inside.v);
		if (r < 0)
			return r;
		if (!moved)
			return 0;
	}
	return -EAGAIN;
}
