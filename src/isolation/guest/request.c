/* SPDX-License-Identifier: Apache-2.0 */
/* From the launch description of the host to that of the guest: what lies where
 * inside, and only the limits that the guest's own kernel has to keep. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent_link.h"
#include "fd.h"
#include "guest.h"
#include "internal.h"

#define SPEC_MAX (4u << 20)
/* A file that is given to the guest whole. */
#define FILE_MAX_BYTES (4u << 20)

static int copy_resources(const struct spec_resources *res, struct spec_resources *ret)
{
	CLEANUP_BUF struct buf text = BUF_INIT(SPEC_MAX);
	struct err err = ERR_INIT;
	*ret = (struct spec_resources){ .memory_swappiness = -1 };
	int r = runtime_spec_write_resources(res, &text);
	return r < 0 ? r : runtime_spec_parse_resources(text.data, text.len, ret, &err);
}

void guest_limits_outside(const struct spec_resources *res, struct spec_resources *ret)
{
	(void)!copy_resources(res, ret);
	/* The workload's own limit is kept inside, where its kernel chooses whom to
	 * end; this one bounds the machine as a whole. */
	if (ret->memory_limit_bytes > 0)
		ret->memory_limit_bytes += (int64_t)(GUEST_KERNEL_BYTES + GUEST_MACHINE_BYTES);
	ret->memory_reservation_bytes = 0;
	ret->memory_swap_bytes = ret->memory_limit_bytes > 0 ? ret->memory_limit_bytes : 0;
	ret->memory_swappiness = -1;
	ret->oom_kill_disable = false;
	if (ret->pids_limit > 0)
		ret->pids_limit += GUEST_MACHINE_PIDS;
	/* It can open nothing, and has no node. */
	free(ret->devices);
	ret->devices = NULL;
	ret->devices_n = 0;
}

/* Half of what the host allows for the machine's process: the guest itself never comes
 * near the limit outside, at which the host would end all of it. */
uint32_t guest_memory_mib(const struct spec_resources *res)
{
	if (res->memory_limit_bytes == 0)
		return 0;
	uint64_t mib = ((uint64_t)res->memory_limit_bytes + GUEST_KERNEL_BYTES + GUEST_MACHINE_BYTES / 2) >> 20;
	return res->memory_limit_bytes < 0 || mib >= UINT32_MAX ? UINT32_MAX : (uint32_t)mib;
}

uint16_t guest_processors(const struct spec_resources *res)
{
	uint32_t n = spec_resources_processors(res, sysconf(_SC_NPROCESSORS_ONLN));
	return (uint16_t)(n < UINT16_MAX ? n : UINT16_MAX);
}

void guest_limits_inside(const struct spec_resources *res, struct spec_resources *ret)
{
	(void)!copy_resources(res, ret);
	ret->memory_swap_bytes = 0;
	ret->memory_swappiness = -1;
	ret->cpu_shares = ret->cpu_period_us = ret->cpu_realtime_period_us = 0;
	ret->cpu_quota_us = ret->cpu_realtime_runtime_us = 0;
	ret->blkio_weight = 0;
	for (int k = 0; k < SPEC_BLKIO_KIND_COUNT; k++)
		ret->blkio_n[k] = 0;
	free(ret->cpuset_cpus);
	free(ret->cpuset_mems);
	ret->cpuset_cpus = ret->cpuset_mems = NULL;
}

static int clone_spec(const struct runtime_spec *spec, struct runtime_spec **ret, struct err *err)
{
	CLEANUP_BUF struct buf text = BUF_INIT(SPEC_MAX);
	int r = runtime_spec_write(spec, &text);
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "copy the launch description") : runtime_spec_parse(text.data, text.len, ret, err);
}

/* ---- files that go along ---- */

static int add_file(struct buf *files, const char *name, const char *path, struct err *err)
{
	CLEANUP_BUF struct buf data = BUF_INIT(FILE_MAX_BYTES);
	struct stat st = { 0 };
	CLEANUP_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	int r = fd < 0 || fstat(fd, &st) < 0 ? -errno : fd_read_all(fd, &data);
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "read %s for the guest", path);
	struct agent_file f = { .name_len = (uint32_t)strlen(name), .data_len = (uint32_t)data.len, .mode = st.st_mode & 0777 };
	r = buf_append(files, &f, sizeof(f));
	if (r == 0)
		r = buf_append(files, name, f.name_len);
	if (r == 0 && data.len)
		r = buf_append(files, data.data, data.len);
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "keep %s for the guest", path) : 0;
}

/* What is left to do for a bind inside: the share is the place itself. */
static void point_to_shares(struct runtime_spec *inside)
{
	for (size_t i = 0; i < inside->mounts_n; i++) {
		struct spec_mount *m = &inside->mounts[i];
		struct strv kept = { 0 };
		if (!spec_mount_is_bind(m))
			continue;
		bool is_done_outside = guest_is_read_only_at_top(m);
		for (size_t o = 0; o < m->options.n; o++) {
			const char *option = m->options.v[o];
			if (!str_starts_with(option, "subpath=") && !(is_done_outside && (str_eq(option, "ro") || str_eq(option, "readonly"))))
				strv_add(&kept, option);
		}
		strv_free(&m->options);
		m->options = kept;
		free(m->source);
		m->source = str_printf(AGENT_SHARES_DIR "/" GUEST_SHARE_FORMAT, i);
	}
}

/* ---- the description ---- */

static void replace(char **at, const char *with)
{
	free(*at);
	*at = str_dup(with);
}

static void set_namespaces(struct runtime_spec *inside)
{
	static const enum spec_ns new_ones[] = { SPEC_NS_PID, SPEC_NS_MOUNT, SPEC_NS_IPC, SPEC_NS_UTS, SPEC_NS_CGROUP };
	for (int i = 0; i < SPEC_NS_COUNT; i++) {
		free(inside->ns[i].path);
		inside->ns[i] = (struct spec_namespace){ 0 };
	}
	/* The guest's network is the workload's, and its root is nobody outside. */
	for (size_t i = 0; i < ARRAY_LEN(new_ones); i++)
		inside->ns[new_ones[i]].wanted = true;
	inside->uid_maps_n = inside->gid_maps_n = 0;
}

static void set_places(const struct guest_level *level, const struct runtime_spec *spec, struct runtime_spec *inside)
{
	char device[64];
	strv_free(&inside->layers);
	strv_free(&inside->guest.layer_files);
	inside->layers = inside->guest.layer_files = (struct strv){ 0 };
	for (size_t i = 0; i < spec->guest.layer_files.n; i++) {
		level->layer_device(spec, i, device, sizeof(device));
		strv_add(&inside->guest.layer_files, device);
	}
	if (inside->upper) {
		replace(&inside->upper, AGENT_UPPER_PATH);
		replace(&inside->work, AGENT_WORK_PATH);
	}
	point_to_shares(inside);
	if (inside->seccomp_bpf_path)
		replace(&inside->seccomp_bpf_path, AGENT_FILTER_PATH);
	/* The host's affairs. */
	char **private[] = { &inside->guest.kernel, &inside->guest.initramfs, &inside->guest.supervisor, &inside->guest.run_dir };
	for (size_t i = 0; i < ARRAY_LEN(private); i++) {
		free(*private[i]);
		*private[i] = NULL;
	}
	inside->ports_n = 0;
	strv_free(&inside->annotations);
	inside->annotations = (struct strv){ 0 };
}

static int add_document(struct buf *out, enum agent_document which, const void *data, size_t len)
{
	int r = 0;
	for (size_t done = 0; done < len && r == 0;) {
		size_t n = len - done < AGENT_PAYLOAD_MAX ? len - done : AGENT_PAYLOAD_MAX;
		struct agent_frame f = { .len = (uint32_t)n, .type = AGENT_DOCUMENT, .stream = (uint16_t)which,
					 .session = AGENT_SESSION_WORKLOAD };
		r = buf_append(out, &f, sizeof(f));
		if (r == 0)
			r = buf_append(out, (const char *)data + done, n);
		done += n;
	}
	return r;
}

static int finish(struct buf *out, enum agent_type type, uint32_t arg, int *ret, struct err *err)
{
	struct agent_frame f = { .type = (uint16_t)type, .session = AGENT_SESSION_WORKLOAD, .arg = arg };
	int r = buf_append(out, &f, sizeof(f));
	CLEANUP_FD int fd = memfd_create("request", MFD_CLOEXEC);
	if (r == 0)
		r = fd < 0 ? -errno : fd_write_all(fd, out->data, out->len);
	if (r == 0 && lseek(fd, 0, SEEK_SET) < 0)
		r = -errno;
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "write the request to the guest");
	*ret = TAKE_FD(fd);
	return 0;
}

int guest_request_start(const struct guest_level *level, const struct runtime_spec *spec, int *ret, struct err *err)
{
	CLEANUP_RUNTIME_SPEC struct runtime_spec *inside = NULL;
	CLEANUP_BUF struct buf out = BUF_INIT(AGENT_DOCUMENTS_MAX), text = BUF_INIT(SPEC_MAX), files = BUF_INIT(SPEC_MAX);
	CLEANUP_FREE void *filter = NULL;
	size_t filter_len = 0;
	struct spec_resources limits;
	int r = clone_spec(spec, &inside, err);
	if (r == 0)
		r = filter_read(spec->seccomp_bpf_path, &filter, &filter_len, err);
	if (r == 0)
		r = spec->init_path ? add_file(&files, AGENT_INIT_NAME, spec->init_path, err) : 0;
	if (r < 0)
		return r;
	set_namespaces(inside);
	set_places(level, spec, inside);
	guest_limits_inside(&inside->resources, &limits);
	spec_resources_done(&inside->resources);
	inside->resources = limits;
	r = runtime_spec_write(inside, &text);
	if (r == 0)
		r = add_document(&out, AGENT_DOC_SPEC, text.data, text.len);
	if (r == 0)
		r = add_document(&out, AGENT_DOC_FILTER, filter, filter_len);
	if (r == 0)
		r = add_document(&out, AGENT_DOC_FILES, files.data, files.len);
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "write the guest's launch description");
	return finish(&out, AGENT_START, guest_memory_mib(&spec->resources), ret, err);
}

int guest_request_exec(const struct spec_process *process, int *ret, struct err *err)
{
	CLEANUP_BUF struct buf out = BUF_INIT(AGENT_DOCUMENTS_MAX), text = BUF_INIT(SPEC_MAX);
	int r = runtime_spec_write_process(process, &text);
	if (r == 0)
		r = add_document(&out, AGENT_DOC_SPEC, text.data, text.len);
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "write the request to the guest") : finish(&out, AGENT_EXEC, 0, ret, err);
}
