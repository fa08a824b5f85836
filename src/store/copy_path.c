/* SPDX-License-Identifier: Apache-2.0 */
#include "copy_path.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "str.h"

#define LINKS_MAX 40

/* "a/b//" -> "b"; "." for what has no name of its own. */
static const char *last_component(const char *path, size_t *ret_len)
{
	size_t end = strlen(path);
	while (end && path[end - 1] == '/')
		end--;
	size_t start = end;
	while (start && path[start - 1] != '/')
		start--;
	*ret_len = end - start;
	return path + start;
}

static bool asserts_directory(const char *path)
{
	size_t n;
	const char *last = last_component(path, &n);
	return path[strlen(path) - 1] == '/' || (n == 1 && *last == '.') || (n == 2 && !strncmp(last, "..", 2));
}

int copy_source_open(const char *path, bool follows, struct copy_subject *ret, int *ret_fd, struct err *err)
{
	struct stat st;
	size_t n;
	const char *last = last_component(path, &n);
	bool is_dir = asserts_directory(path);
	CLEANUP_FD int fd = open(path, O_PATH | O_CLOEXEC | (follows || is_dir ? 0 : O_NOFOLLOW));
	if (fd < 0 && errno == ENOENT)
		return err_set(err, ERR_NOT_FOUND, ENOENT, "%s", path);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_set(err, ERR_SYSTEM, -errno, "open %s", path);
	*ret = (struct copy_subject){ .is_dir = S_ISDIR(st.st_mode) };
	if (is_dir && !ret->is_dir)
		return err_set(err, ERR_INVALID, ENOTDIR, "%s", path);
	/* "/", "." and ".." have no name to be called by. */
	ret->contents_only = ret->is_dir && (n == 0 || (n == 1 && *last == '.') || (n == 2 && !strncmp(last, "..", 2)));
	if (n > NAME_MAX)
		return err_set(err, ERR_INVALID, ENAMETOOLONG, "%s", path);
	if (ret->contents_only)
		ret->name[0] = '.';
	else
		memcpy(ret->name, last, n);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

/* The directory of @path, and the name in it. */
static int open_parent(const char *path, struct copy_target *t, struct err *err)
{
	size_t n;
	const char *last = last_component(path, &n);
	if (n == 0 || n > NAME_MAX)
		return err_set(err, ERR_INVALID, n ? ENAMETOOLONG : EINVAL, "%s", path);
	CLEANUP_FREE char *parent = last == path ? str_dup(".") : str_ndup(path, (size_t)(last - path));
	memcpy(t->name, last, n);
	t->name[n] = '\0';
	t->renames = t->has_name = true;
	t->dir = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (t->dir < 0 && (errno == ENOENT || errno == ENOTDIR)) {
		int r = err_set(err, ERR_NOT_FOUND, 0, "%s: no such directory", path);
		err_hint(err, "create %s first", parent);
		return r;
	}
	return t->dir < 0 ? err_set(err, ERR_SYSTEM, -errno, "open %s", parent) : 0;
}

/* A link is written through: the name that the chain of them ends in. */
static int follow(const char *path, char **ret, struct err *err)
{
	char target[PATH_MAX];
	CLEANUP_FREE char *at = str_dup(path);
	for (int i = 0; i < LINKS_MAX; i++) {
		ssize_t n = readlink(at, target, sizeof(target) - 1);
		if (n < 0) {
			*ret = TAKE_PTR(at);
			return 0;
		}
		target[n] = '\0';
		size_t name_len;
		const char *last = last_component(at, &name_len);
		char *next = *target == '/' ? str_dup(target) : str_printf("%.*s%s", (int)(last - at), at, target);
		free(at);
		at = next;
	}
	return err_set(err, ERR_SYSTEM, ELOOP, "%s", path);
}

static int cannot_copy(const struct copy_subject *subject, const char *path, bool exists, struct err *err)
{
	if (subject->is_archive)
		return err_set(err, ERR_INVALID, 0, "destination \"%s\" must be a directory", path);
	if (exists && subject->is_dir)
		return err_set(err, ERR_CONFLICT, 0, "cannot copy directory: \"%s\" is a file", path);
	if (asserts_directory(path)) {
		if (exists)
			return err_set(err, ERR_INVALID, ENOTDIR, "%s", path);
		if (!subject->is_dir)
			return err_set(err, ERR_NOT_FOUND, 0, "%s: no such directory", path);
	}
	return 0;
}

int copy_target_open(const char *path, const struct copy_subject *subject, struct copy_target *ret, struct err *err)
{
	struct stat st;
	bool exists = stat(path, &st) == 0;
	*ret = (struct copy_target){ .dir = -1 };
	if (!exists && errno != ENOENT)
		return err_set(err, ERR_SYSTEM, -errno, "%s", path);
	if (exists && S_ISDIR(st.st_mode)) {
		ret->dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		ret->renames = subject->contents_only;
		return ret->dir < 0 ? err_set(err, ERR_SYSTEM, -errno, "open %s", path) : 0;
	}
	int r = cannot_copy(subject, path, exists, err);
	if (r < 0)
		return r;
	CLEANUP_FREE char *end = NULL;
	r = follow(path, &end, err);
	return r < 0 ? r : open_parent(end, ret, err);
}
