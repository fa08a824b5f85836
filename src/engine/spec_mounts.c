/* SPDX-License-Identifier: Apache-2.0 */
/* The mounts of a launch description: Docker's defaults, then the user's, a
 * parent always before what is inside it. */
#include <string.h>
#include <unistd.h>

#include "spec_builder.h"
#include "spec_parts.h"

struct spec_mount *spec_add_mount(struct spec_mount **list, size_t *n, const char *source, const char *destination,
				  const char *type, const char *options)
{
	*list = reallocarray(*list, *n + 1, sizeof(**list));
	if (!*list)
		abort();
	struct spec_mount *m = &(*list)[(*n)++];
	*m = (struct spec_mount){ .destination = str_dup(destination), .type = str_dup(type), .source = str_dup(source) };
	strv_split(&m->options, options, ',');
	return m;
}

void spec_mounts_free(struct spec_mount *list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(list[i].destination);
		free(list[i].type);
		free(list[i].source);
		strv_free(&list[i].options);
	}
	free(list);
}

static unsigned depth(const char *path)
{
	unsigned n = 0;
	for (; *path; path++)
		n += path[0] == '/' && path[1] && path[1] != '/';
	return n;
}

static bool user_mounts_at(const struct spec_inputs *in, const char *path)
{
	for (size_t i = 0; i < in->mounts_n; i++)
		if (str_eq(in->mounts[i].destination, path))
			return true;
	return false;
}

static void add_default(const struct spec_inputs *in, struct runtime_spec *spec, const char *source,
			const char *destination, const char *type, const char *options)
{
	if (!user_mounts_at(in, destination))
		spec_add_mount(&spec->mounts, &spec->mounts_n, source, destination, type, options);
}

/* Over a volume at /etc, too. */
static void add_hosts_files(const struct spec_inputs *in, struct runtime_spec *spec)
{
	static const char *const files[] = { "resolv.conf", "hostname", "hosts" };
	for (size_t i = 0; in->hosts_files && i < ARRAY_LEN(files); i++) {
		CLEANUP_FREE char *source = str_printf("%s/%s", in->hosts_files, files[i]);
		CLEANUP_FREE char *destination = str_printf("/etc/%s", files[i]);
		add_default(in, spec, source, destination, "bind", "rbind,rprivate");
	}
}

static void add_user_mount(struct runtime_spec *spec, const struct spec_mount *from)
{
	struct spec_mount *m = spec_add_mount(&spec->mounts, &spec->mounts_n, from->source, from->destination, from->type, "");
	strv_free(&m->options);
	memset(&m->options, 0, sizeof(m->options));
	strv_extend(&m->options, &from->options);
}

int spec_build_mounts(const struct spec_inputs *in, struct runtime_spec *spec, struct err *err)
{
	const struct container_config *c = in->config;
	const char *ro = c->privileged ? "nosuid,noexec,nodev" : "nosuid,noexec,nodev,ro";
	add_default(in, spec, "proc", "/proc", "proc", "nosuid,noexec,nodev");
	add_default(in, spec, "tmpfs", "/dev", "tmpfs", "nosuid,strictatime,mode=755,size=65536k");
	add_default(in, spec, "devpts", "/dev/pts", "devpts", "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5");
	add_default(in, spec, "sysfs", "/sys", "sysfs", ro);
	add_default(in, spec, "cgroup", "/sys/fs/cgroup", "cgroup", ro);
	if (str_eq(c->ipc_mode, "host")) {
		if (access("/dev/mqueue", F_OK) == 0)
			add_default(in, spec, "/dev/mqueue", "/dev/mqueue", "bind", "rbind,rprivate");
		add_default(in, spec, "/dev/shm", "/dev/shm", "bind", "rbind,rprivate");
	} else if (in->ipc_pid) {
		CLEANUP_FREE char *shm = str_printf("/proc/%d/root/dev/shm", in->ipc_pid);
		add_default(in, spec, shm, "/dev/shm", "bind", "rbind,rprivate,noidmap");
	} else if (!str_eq(c->ipc_mode, "none")) {
		CLEANUP_FREE char *options = str_printf("nosuid,noexec,nodev,mode=1777,size=%jd",
							(intmax_t)(c->shm_size_bytes ? c->shm_size_bytes : 64 << 20));
		add_default(in, spec, "shm", "/dev/shm", "tmpfs", options);
	}
	if (!str_eq(c->ipc_mode, "host"))
		add_default(in, spec, "mqueue", "/dev/mqueue", "mqueue", "nosuid,noexec,nodev");
	/* The shallower first: what is mounted on /data must not hide /data/x. */
	unsigned deepest = 2;
	for (size_t i = 0; i < in->mounts_n; i++)
		deepest = depth(in->mounts[i].destination) > deepest ? depth(in->mounts[i].destination) : deepest;
	for (unsigned d = 0; d <= deepest; d++) {
		for (size_t i = 0; i < in->mounts_n; i++)
			if (depth(in->mounts[i].destination) == d)
				add_user_mount(spec, &in->mounts[i]);
		if (d == 2) /* /etc/hosts */
			add_hosts_files(in, spec);
	}
	return 0;
}
