/* SPDX-License-Identifier: Apache-2.0 */
#include "guest_modules.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "fd.h"

#define TABLE_MAX_BYTES (8u << 20)

/* "kernel/fs/erofs/erofs.ko" is "erofs"; the name's length in *ret_len. */
static const char *module_name(const char *path, size_t len, size_t *ret_len)
{
	const char *slash = memrchr(path, '/', len);
	const char *name = slash ? slash + 1 : path;
	size_t rest = len - (size_t)(name - path);
	const char *dot = memchr(name, '.', rest);
	*ret_len = dot ? (size_t)(dot - name) : rest;
	return name;
}

static bool is_module(const char *path, size_t len, const char *name)
{
	size_t n;
	const char *own = module_name(path, len, &n);
	if (strlen(name) != n)
		return false;
	for (size_t i = 0; i < n; i++)
		if ((own[i] == '-' ? '_' : own[i]) != (name[i] == '-' ? '_' : name[i]))
			return false;
	return true;
}

/* The line of modules.dep or modules.builtin that begins with the module. */
static char *find_line(const char *table, const char *name)
{
	for (const char *line = table; *line;) {
		size_t len = strcspn(line, "\n");
		const char *colon = memchr(line, ':', len);
		if (is_module(line, colon ? (size_t)(colon - line) : len, name))
			return str_ndup(line, len);
		line += len + (line[len] == '\n');
	}
	return NULL;
}

/* "module: need need": what is needed stands so that the last is to be loaded
 * first. */
static void add_line(struct strv *files, const char *line)
{
	CLEANUP_STRV struct strv needs = { 0 };
	const char *colon = strchr(line, ':');
	CLEANUP_FREE char *self = str_ndup(line, colon ? (size_t)(colon - line) : strlen(line));
	strv_split(&needs, colon ? colon + 1 : "", ' ');
	for (size_t i = needs.n; i-- > 0;)
		if (*needs.v[i] && !strv_contains(files, needs.v[i]))
			strv_add(files, needs.v[i]);
	if (!strv_contains(files, self))
		strv_add(files, self);
}

static int read_table(const char *dir, const char *name, struct buf *out, struct err *err)
{
	CLEANUP_FREE char *path = str_printf("%s/%s", dir, name);
	int r = fd_read_file_at(AT_FDCWD, path, out);
	if (r < 0) {
		r = err_set(err, ERR_UNSUPPORTED, r, "read %s", path);
		err_hint(err, "depmod writes it: is the kernel's package installed whole?");
	}
	return r;
}

int guest_modules_resolve(const char *dir, const char *const *names, struct strv *ret, struct err *err)
{
	CLEANUP_BUF struct buf dep = BUF_INIT(TABLE_MAX_BYTES), builtin = BUF_INIT(TABLE_MAX_BYTES);
	int r = read_table(dir, "modules.dep", &dep, err);
	if (r == 0)
		r = read_table(dir, "modules.builtin", &builtin, err);
	if (r < 0)
		return r;
	for (; *names; names++) {
		bool is_optional = **names == '?';
		const char *name = *names + is_optional;
		CLEANUP_FREE char *line = find_line(buf_str(&dep), name);
		if (line) {
			add_line(ret, line);
			continue;
		}
		CLEANUP_FREE char *inside = find_line(buf_str(&builtin), name);
		if (!inside && !is_optional)
			return err_set(err, ERR_UNSUPPORTED, 0, "the kernel of %s has no %s", dir, name);
	}
	return 0;
}
