/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdio.h>

#include "fd.h"
#include "internal.h"

#define MAP_FILE_MAX 8192

static bool map_id(const struct spec_idmap *maps, size_t n, uint32_t id, uint32_t *ret)
{
	for (size_t i = 0; i < n; i++) {
		if (id < maps[i].container_id || id - maps[i].container_id >= maps[i].size)
			continue;
		*ret = maps[i].host_id + (id - maps[i].container_id);
		return true;
	}
	return false;
}

/* As the kernel tells it: for a user namespace that somebody else made. */
static int map_id_of(pid_t pid, const char *file, uint32_t id, uint32_t *ret)
{
	CLEANUP_BUF struct buf text = BUF_INIT(MAP_FILE_MAX);
	CLEANUP_STRV struct strv lines = { 0 };
	char path[48];
	snprintf(path, sizeof(path), "/proc/%d/%s", pid, file);
	int r = fd_read_file_at(AT_FDCWD, path, &text);
	if (r < 0)
		return r;
	strv_split(&lines, buf_str(&text), '\n');
	for (size_t i = 0; i < lines.n; i++) {
		struct spec_idmap map;
		if (sscanf(lines.v[i], "%u %u %u", &map.container_id, &map.host_id, &map.size) == 3 && map_id(&map, 1, id, ret))
			return 0;
	}
	return -ENOENT;
}

int idmap_to_host(const struct runtime_spec *spec, pid_t pid, enum idmap_kind kind, uint32_t id, uint32_t *ret)
{
	bool is_uid = kind == IDMAP_UID;
	if (pid > 0)
		return map_id_of(pid, is_uid ? "uid_map" : "gid_map", id, ret);
	return map_id(is_uid ? spec->uid_maps : spec->gid_maps, is_uid ? spec->uid_maps_n : spec->gid_maps_n, id, ret) ? 0 : -ENOENT;
}

int idmap_write(pid_t pid, const char *file, const struct spec_idmap *maps, size_t n, struct err *err)
{
	char path[48];
	CLEANUP_BUF struct buf b = BUF_INIT(4096);
	int r = 0;
	for (size_t i = 0; i < n && r == 0; i++)
		r = buf_printf(&b, "%u %u %u\n", maps[i].container_id, maps[i].host_id, maps[i].size);
	snprintf(path, sizeof(path), "/proc/%d/%s", pid, file);
	if (r == 0)
		r = fd_write_value_at(AT_FDCWD, path, buf_str(&b));
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "write %s", file);
	return 0;
}
