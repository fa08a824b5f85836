/* SPDX-License-Identifier: Apache-2.0 */
#include "user_lookup.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "buf.h"
#include "fd.h"

#define FILE_MAX_BYTES (4u << 20)
#define GROUPS_MAX 1024u

static int open_in(int root, const char *path, uint64_t flags)
{
	struct open_how how = { .flags = flags | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS };
	int fd = (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
	return fd < 0 ? -errno : fd;
}

/* 1 read, 0 not in this layer (look below), -ENOENT hidden or no file. */
static int read_in_layer(const char *layer, const char *path, struct buf *out)
{
	CLEANUP_FD int root = open(layer, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return -errno;
	CLEANUP_FD int fd = open_in(root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	if (fd >= 0) {
		if (fstat(fd, &st) < 0)
			return -errno;
		if (!S_ISREG(st.st_mode))
			return -ENOENT;
		int r = fd_read_all(fd, out);
		return r < 0 ? r : 1;
	}
	/* Not readable: find out by which part of the path. A whiteout is a
	 * character device 0:0; an opaque directory hides what is below it. */
	char part[PATH_MAX];
	for (size_t len = 1; len <= strlen(path); len++) {
		if (path[len] != '/' && path[len] != '\0')
			continue;
		snprintf(part, sizeof(part), "%.*s", (int)len, path);
		CLEANUP_FD int at = open_in(root, part, O_PATH | O_NOFOLLOW);
		if (at < 0)
			return 0;
		if (fstat(at, &st) < 0)
			return -errno;
		if (S_ISCHR(st.st_mode) && st.st_rdev == makedev(0, 0))
			return -ENOENT;
		char link[64], value[4];
		snprintf(link, sizeof(link), "/proc/self/fd/%d", at);
		if (S_ISDIR(st.st_mode) && getxattr(link, "user.overlay.opaque", value, sizeof(value)) == 1 &&
		    value[0] == 'y' && path[len] == '/') {
			CLEANUP_FD int below = open_in(root, path, O_PATH);
			if (below < 0)
				return -ENOENT;
		}
	}
	return 0;
}

int layered_file_read(const struct strv *layers, const char *upper, const char *path, struct buf *out)
{
	int r = upper ? read_in_layer(upper, path, out) : 0;
	if (r == -ENOENT && upper && access(upper, F_OK) < 0)
		r = 0;
	for (size_t i = layers->n; r == 0 && i > 0; i--)
		r = read_in_layer(layers->v[i - 1], path, out);
	return r > 0 ? 0 : r == 0 ? -ENOENT : r;
}

/* Field @n of a ':' separated line of @len bytes into @out; false if missing. */
static bool field(const char *line, size_t len, unsigned n, char *out, size_t size)
{
	const char *end = line + len;
	for (; n > 0; n--) {
		line = memchr(line, ':', (size_t)(end - line));
		if (!line)
			return false;
		line++;
	}
	const char *stop = memchr(line, ':', (size_t)(end - line));
	size_t want = (size_t)((stop ? stop : end) - line);
	if (want >= size)
		return false;
	memcpy(out, line, want);
	out[want] = 0;
	return true;
}

static bool next_line(const char **at, const char **line, size_t *len)
{
	while (*at && **at) {
		*line = *at;
		const char *nl = strchr(*at, '\n');
		*len = nl ? (size_t)(nl - *at) : strlen(*at);
		*at = nl ? nl + 1 : *at + *len;
		if (*len && **line != '#')
			return true;
	}
	return false;
}

static bool parse_id(const char *s, uint32_t *ret)
{
	uint64_t v;
	if (str_parse_u64_max(s, INT32_MAX, &v) < 0)
		return false;
	*ret = (uint32_t)v;
	return true;
}

/* Find @user by name, else by number; fills name and home. */
static bool find_user(const char *passwd, const char *user, uint32_t *uid, uint32_t *gid, char name[256], char **home)
{
	uint32_t number = 0;
	bool by_number = parse_id(user, &number);
	const char *line, *at;
	size_t len;
	for (int pass = 0; pass < (by_number ? 2 : 1); pass++) {
		at = passwd;
		while (next_line(&at, &line, &len)) {
			char n[256], u[16], g[16], h[1024];
			uint32_t id;
			if (!field(line, len, 0, n, sizeof(n)) || !field(line, len, 2, u, sizeof(u)) ||
			    !field(line, len, 3, g, sizeof(g)) || !parse_id(u, &id))
				continue;
			if (pass == 0 ? strcmp(n, user) != 0 : id != number)
				continue;
			*uid = id;
			if (!parse_id(g, gid))
				*gid = 0;
			snprintf(name, 256, "%s", n);
			if (field(line, len, 5, h, sizeof(h)) && *h == '/') {
				free(*home);
				*home = str_dup(h);
			}
			return true;
		}
	}
	return false;
}

static bool find_group(const char *group, const char *wanted, uint32_t *gid)
{
	const char *line, *at = group;
	size_t len;
	while (next_line(&at, &line, &len)) {
		char n[256], g[16];
		if (field(line, len, 0, n, sizeof(n)) && strcmp(n, wanted) == 0 && field(line, len, 2, g, sizeof(g)) &&
		    parse_id(g, gid))
			return true;
	}
	return parse_id(wanted, gid);
}

static void add_group(struct spec_user *u, uint32_t gid)
{
	for (size_t i = 0; i < u->groups_n; i++)
		if (u->groups[i] == gid)
			return;
	if (u->groups_n >= GROUPS_MAX)
		return;
	uint32_t *more = reallocarray(u->groups, u->groups_n + 1, sizeof(*more));
	if (!more)
		abort();
	u->groups = more;
	u->groups[u->groups_n++] = gid;
}

static bool is_member(const char *line, size_t len, const char *name)
{
	const char *end = line + len, *list = line;
	for (int i = 0; i < 3 && list; i++) {
		list = memchr(list, ':', (size_t)(end - list));
		if (list)
			list++;
	}
	size_t want = strlen(name);
	while (list && list < end) {
		const char *comma = memchr(list, ',', (size_t)(end - list));
		size_t have = (size_t)((comma ? comma : end) - list);
		if (have == want && memcmp(list, name, want) == 0)
			return true;
		list = comma ? comma + 1 : NULL;
	}
	return false;
}

static void add_memberships(struct spec_user *u, const char *group, const char *name)
{
	const char *line, *at = group;
	size_t len;
	while (next_line(&at, &line, &len)) {
		char g[16];
		uint32_t gid;
		if (is_member(line, len, name) && field(line, len, 2, g, sizeof(g)) && parse_id(g, &gid))
			add_group(u, gid);
	}
}

int user_resolve(const char *passwd, const char *group, const char *user, const struct strv *group_add,
		 struct spec_user *ret, char **ret_home, struct err *err)
{
	const char *who = str_is_empty(user) ? "0" : user;
	const char *colon = strchr(who, ':');
	CLEANUP_FREE char *user_part = str_ndup(who, colon ? (size_t)(colon - who) : strlen(who));
	CLEANUP_FREE char *home = str_dup("/");
	char name[256] = "";
	uint32_t uid = 0, gid = 0;
	const char *lookup = *user_part ? user_part : "0";
	if (!find_user(passwd, lookup, &uid, &gid, name, &home) && !parse_id(lookup, &uid)) {
		uint64_t any;
		if (str_parse_u64(lookup, &any) == 0)
			return err_set(err, ERR_INVALID, 0, "uids and gids must be in range 0-2147483647");
		return err_set(err, ERR_INVALID, 0, "unable to find user %s: no matching entries in passwd file", lookup);
	}
	ret->uid = uid;
	ret->gid = gid;
	if (colon && colon[1]) {
		if (!find_group(group, colon + 1, &ret->gid))
			return err_set(err, ERR_INVALID, 0, "unable to find group %s: no matching entries in group file",
				       colon + 1);
	} else if (*name) {
		add_memberships(ret, group, name);
	}
	for (size_t i = 0; group_add && i < group_add->n; i++) {
		if (!find_group(group, group_add->v[i], &gid))
			return err_set(err, ERR_INVALID, 0, "unable to find group %s: no matching entries in group file",
				       group_add->v[i]);
		add_group(ret, gid);
	}
	*ret_home = TAKE_PTR(home);
	return 0;
}

int user_lookup(const struct strv *layers, const char *upper, const char *user, const struct strv *group_add,
		struct spec_user *ret, char **ret_home, struct err *err)
{
	CLEANUP_BUF struct buf passwd = BUF_INIT(FILE_MAX_BYTES);
	CLEANUP_BUF struct buf group = BUF_INIT(FILE_MAX_BYTES);
	int r = layered_file_read(layers, upper, "etc/passwd", &passwd);
	if (r < 0)
		buf_clear(&passwd);
	r = layered_file_read(layers, upper, "etc/group", &group);
	if (r < 0)
		buf_clear(&group);
	return user_resolve(buf_str(&passwd), buf_str(&group), user, group_add, ret, ret_home, err);
}
