/* SPDX-License-Identifier: Apache-2.0 */
#include "guest_boot.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest_kernel.h"
#include "initramfs.h"
#include "reference.h"

#define KERNEL_BYTES (64ull << 20)
#define GUEST_CPUS_MAX 32u
/* The guest's map of them is 16 MB then. */
#define MAPPED_LAYERS_MAX_BYTES (1ull << 30)
/* So many can come to be while it runs: one that is not there costs a thread. */
#define GUEST_CPUS_LATER 4u
#define DEFAULT_MEMORY_BYTES (512ull << 20)

bool guest_boot_is_needed(enum isolation_level level)
{
	return level == ISOLATION_SANDBOX || level == ISOLATION_MICROVM;
}

static enum guest_kernel_use use_of(enum isolation_level level)
{
	return level == ISOLATION_SANDBOX ? GUEST_KERNEL_SANDBOX : GUEST_KERNEL_MICROVM;
}

int guest_boot_probe(const char *root, const char *libexec, enum isolation_level level, struct err *err)
{
	static const char *const programs[] = { "hull-agent", "hull-guest", "hull-files" };
	const struct isolation *back_end;
	int r = isolation_get(level, &back_end, err);
	if (r == 0)
		r = back_end->probe(err);
	if (r < 0 || !guest_boot_is_needed(level))
		return r;
	for (size_t i = 0; i < ARRAY_LEN(programs); i++) {
		CLEANUP_FREE char *path = str_printf("%s/%s", libexec, programs[i]);
		if (access(path, X_OK) == 0)
			continue;
		r = err_set(err, ERR_UNSUPPORTED, 0, "%s is missing", path);
		err_hint(err, "install hull whole; HULL_LIBEXECDIR names the folder of its helpers");
		return r;
	}
	CLEANUP_GUEST_KERNEL struct guest_kernel *kernel = NULL;
	return guest_kernel_find(root, use_of(level), NULL, &kernel, err);
}

static bool is_of_container(const char *mode)
{
	return str_starts_with(mode ? mode : "", "container:");
}

int guest_boot_check(const struct container_config *c, struct err *err)
{
	static const char other[] = "--isolation=container";
	const struct {
		bool is_asked;
		const char *flag, *why, *hint;
	} impossible[] = {
		{ str_eq(c->network_mode, "host"), "--network host", "its network stack is its kernel's", "-p PORT:PORT publishes a port" },
		{ is_of_container(c->network_mode), "--network container:", "its network stack is its kernel's",
		  "two workloads of one network reach each other by name: hull network create" },
		{ str_eq(c->pid_mode, "host") || is_of_container(c->pid_mode), "--pid", "its processes are its kernel's", other },
		{ str_eq(c->ipc_mode, "host") || is_of_container(c->ipc_mode), "--ipc", "shared memory and semaphores are its kernel's", other },
		{ str_eq(c->uts_mode, "host"), "--uts host", "its name is its kernel's", "--hostname NAME" },
		{ c->devices_n > 0, "--device", "its kernel has no driver for the host's devices", other },
	};
	for (size_t i = 0; i < ARRAY_LEN(impossible); i++) {
		if (!impossible[i].is_asked)
			continue;
		int r = err_set(err, ERR_UNSUPPORTED, 0, "%s does not go with a kernel of its own", impossible[i].flag);
		err_why(err, "%s", impossible[i].why);
		err_hint(err, "%s", impossible[i].hint);
		return r;
	}
	return 0;
}

static int add_layers(struct engine *engine, const struct strv *diffids, struct strv *ret, uint64_t *ret_bytes, struct err *err)
{
	*ret_bytes = 0;
	for (size_t i = 0; i < diffids->n; i++) {
		CLEANUP_FREE char *path = str_printf("%s/layers/%s.erofs", engine->root, digest_hex(diffids->v[i]));
		struct stat st;
		if (stat(path, &st) < 0) {
			int r = err_set(err, ERR_UNSUPPORTED, 0, "the image's layers are directories, which a guest cannot mount");
			err_why(err, "this host has no EROFS, so they were unpacked when the image was pulled");
			err_hint(err, "--isolation=container");
			return r;
		}
		strv_add(ret, path);
		*ret_bytes += (uint64_t)st.st_size;
	}
	return 0;
}

/* Enough for --cpus, which its control group goes on to keep exactly; without it one, as
 * each costs the start something. */
static void set_processors(const struct spec_resources *res, struct spec_guest *g)
{
	long host = sysconf(_SC_NPROCESSORS_ONLN);
	uint32_t wanted = spec_resources_processors(res, host);
	uint32_t most = host > 0 && host < (long)GUEST_CPUS_LATER ? (uint32_t)host : GUEST_CPUS_LATER;
	g->cpus = wanted == 0 ? 1 : wanted < GUEST_CPUS_MAX ? wanted : GUEST_CPUS_MAX;
	g->cpus_max = g->cpus > most ? g->cpus : most;
}

int guest_boot_prepare(struct engine *engine, const struct container *c, const struct strv *diffids, struct runtime_spec *spec,
		       struct err *err)
{
	struct spec_guest *g = &spec->guest;
	int64_t limit = spec->resources.memory_limit_bytes;
	CLEANUP_GUEST_KERNEL struct guest_kernel *kernel = NULL;
	CLEANUP_FREE char *agent = str_printf("%s/hull-agent", engine->libexec);
	uint64_t layers_bytes = 0;
	int r = guest_kernel_find(engine->root, use_of(c->level), NULL, &kernel, err);
	if (r == 0)
		r = initramfs_ensure(engine->root, kernel, agent, &g->initramfs, err);
	if (r == 0)
		r = add_layers(engine, diffids, &g->layer_files, &layers_bytes, err);
	if (r < 0)
		return r;
	g->kernel = str_dup(kernel->path);
	/* hull's own have none: they start sooner. But they have what maps layers as memory,
	 * which Debian's would have to load first. */
	g->has_no_acpi = kernel->use == GUEST_KERNEL_MICROVM && kernel->origin == GUEST_KERNEL_BUILT;
	g->has_dax = g->has_no_acpi && layers_bytes <= MAPPED_LAYERS_MAX_BYTES;
	g->supervisor = str_printf("%s/hull-guest", engine->libexec);
	g->run_dir = str_printf("%s/workloads/%s", engine->run, c->id);
	/* Taken as it is used. More than the limit leaves room for a higher one. */
	g->memory_bytes = limit > 0 && (uint64_t)limit + KERNEL_BYTES > DEFAULT_MEMORY_BYTES ? ((uint64_t)limit + KERNEL_BYTES + (1 << 20) - 1) >> 20 << 20 : DEFAULT_MEMORY_BYTES;
	g->cpus = 1;
	if (c->level == ISOLATION_MICROVM)
		set_processors(&spec->resources, g);
	return 0;
}
