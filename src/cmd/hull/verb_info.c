/* SPDX-License-Identifier: Apache-2.0 */
/* hull info: Docker's layout, and a line for each level of isolation. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/statfs.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "cgroup.h"
#include "cli.h"
#include "clock.h"
#include "disk_usage.h"
#include "fd.h"
#include "format.h"
#include "guest_boot.h"
#include "isolation.h"
#include "random.h"

struct info_opts {
	const char *format;
};

static const struct option options[] = {
	{ "format", 'f', OPT_STR, offsetof(struct info_opts, format), .help = "Format output: json, or a Go template",
	  .complete = COMPLETE_WORDS, .words = "json" },
	OPTIONS_END
};

struct level_state {
	bool available;
	char why[400];
};

/* What there is to tell, found once. */
struct host_info {
	struct engine *engine;
	struct utsname uts;
	struct cgroup_layout cgroups;
	int64_t running, paused, stopped, images;
	int64_t cpus, memory_bytes;
	char *os_name, *os_version, *id;
	const char *backing;
	struct level_state levels[ISOLATION_LEVEL_COUNT];
};

static void info_done(struct host_info *h)
{
	free(h->os_name);
	free(h->os_version);
	free(h->id);
}

/* The value of @key in os-release, without its quotes. */
static char *os_release(const char *text, const char *key)
{
	size_t len = strlen(key);
	for (const char *line = text; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
		if (strncmp(line, key, len) != 0 || line[len] != '=')
			continue;
		const char *value = line + len + 1;
		size_t n = strcspn(value, "\n");
		if (n >= 2 && *value == '"' && value[n - 1] == '"')
			value++, n -= 2;
		return str_ndup(value, n);
	}
	return NULL;
}

static void find_os(struct host_info *h)
{
	CLEANUP_BUF struct buf text = BUF_INIT(65536);
	if (fd_read_file_at(AT_FDCWD, "/etc/os-release", &text) < 0 && fd_read_file_at(AT_FDCWD, "/usr/lib/os-release", &text) < 0)
		buf_clear(&text);
	h->os_name = os_release(buf_str(&text), "PRETTY_NAME");
	h->os_version = os_release(buf_str(&text), "VERSION_ID");
	if (!h->os_name)
		h->os_name = str_dup("Linux");
	if (!h->os_version)
		h->os_version = str_dup("");
}

/* Made once for this state, in the form of a UUID. */
static char *engine_id(struct engine *engine)
{
	CLEANUP_BUF struct buf text = BUF_INIT(256);
	char hex[33];
	if (fd_read_file_at(engine->store->root_fd, "engine-id", &text) == 0 && text.len == 36)
		return str_dup(buf_str(&text));
	random_hex(hex, 32);
	char *id = str_printf("%.8s-%.4s-4%.3s-8%.3s-%.12s", hex, hex + 8, hex + 13, hex + 17, hex + 20);
	if (fd_replace_file_at(engine->store->root_fd, "engine-id", id, strlen(id), 0600, false) < 0)
		return id; /* another one next time: nothing depends on it */
	return id;
}

static const char *file_system(int fd)
{
	static const struct {
		long magic;
		const char *name;
	} known[] = { { 0xef53, "extfs" }, { 0x58465342, "xfs" },  { 0x9123683e, "btrfs" }, { 0x01021994, "tmpfs" },
		      { 0x2fc12fc1, "zfs" }, { 0x794c7630, "overlayfs" }, { 0xf2f52010, "f2fs" } };
	struct statfs fs;
	if (fstatfs(fd, &fs) < 0)
		return "<unknown>";
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if ((long)fs.f_type == known[i].magic)
			return known[i].name;
	return "<unknown>";
}

static int count_containers(struct host_info *h, struct err *err)
{
	struct container **list = NULL;
	size_t n = 0;
	int r = container_list_all(h->engine, &list, &n, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++) {
		h->paused += list[i]->status == CONTAINER_PAUSED;
		h->running += list[i]->status == CONTAINER_RUNNING || list[i]->status == CONTAINER_RESTARTING;
		h->stopped += !container_is_running(list[i]);
	}
	container_list_free(list, n);
	return 0;
}

static int find_out(struct host_info *h, struct err *err)
{
	struct sysinfo si;
	if (uname(&h->uts) < 0 || sysinfo(&si) < 0)
		return err_set(err, ERR_SYSTEM, errno, "ask the kernel");
	h->cpus = sysconf(_SC_NPROCESSORS_ONLN);
	h->memory_bytes = (int64_t)si.totalram * si.mem_unit;
	if (cgroup_detect(&h->cgroups) < 0)
		h->cgroups = (struct cgroup_layout){ 0 };
	find_os(h);
	h->id = engine_id(h->engine);
	h->backing = file_system(h->engine->store->root_fd);
	for (int i = 0; i < ISOLATION_LEVEL_COUNT; i++) {
		struct err why = ERR_INIT;
		int r = guest_boot_probe(h->engine->root, h->engine->libexec, (enum isolation_level)i, &why);
		h->levels[i].available = r == 0;
		snprintf(h->levels[i].why, sizeof(h->levels[i].why), "%s", *why.why ? why.why : why.msg);
	}
	int r = count_containers(h, err);
	if (r == 0)
		r = db_query_i64(h->engine->db, &h->images, err, "SELECT COUNT(*) FROM images WHERE NOT is_hidden", "");
	return r < 0 ? r : 0;
}

static const char *const log_drivers[] = { "journald", "json-file", "none", "syslog", NULL };
static const char *const network_drivers[] = { "bridge", "host", "none", NULL };

static void write_words(struct json_writer *w, const char *key, const char *const *words)
{
	jw_key(w, key);
	jw_array(w);
	for (; *words; words++)
		jw_str(w, *words);
	jw_array_end(w);
}

static void write_driver(const struct host_info *h, struct json_writer *w)
{
	static const char *const volume_drivers[] = { "local", NULL };
	jw_kv_str(w, "Driver", "erofs");
	jw_key(w, "DriverStatus");
	jw_array(w);
	jw_array(w);
	jw_str(w, "Backing Filesystem");
	jw_str(w, h->backing);
	jw_array_end(w);
	jw_array_end(w);
	jw_key(w, "Plugins");
	jw_object(w);
	write_words(w, "Volume", volume_drivers);
	write_words(w, "Network", network_drivers);
	jw_key(w, "Authorization");
	jw_null(w);
	write_words(w, "Log", log_drivers);
	jw_object_end(w);
}

static void write_limits(const struct host_info *h, struct json_writer *w)
{
	const struct cgroup_layout *c = &h->cgroups;
	bool memory = cgroup_has(c, CGROUP_MEMORY), cpu = cgroup_has(c, CGROUP_CPU), v2 = c->mode == CGROUP_MODE_V2;
	CLEANUP_FREE char *swap = str_printf("%s/memory.memsw.limit_in_bytes", memory && !v2 ? c->root[c->hierarchy[CGROUP_MEMORY]] : "");
	jw_kv_bool(w, "MemoryLimit", memory);
	jw_kv_bool(w, "SwapLimit", memory && (v2 || access(swap, F_OK) == 0));
	jw_kv_bool(w, "CpuCfsPeriod", cpu);
	jw_kv_bool(w, "CpuCfsQuota", cpu);
	jw_kv_bool(w, "CPUShares", cpu);
	jw_kv_bool(w, "CPUSet", cgroup_has(c, CGROUP_CPUSET));
	jw_kv_bool(w, "PidsLimit", cgroup_has(c, CGROUP_PIDS));
	jw_kv_bool(w, "OomKillDisable", memory && !v2);
	jw_kv_str(w, "CgroupDriver", "cgroupfs");
	jw_kv_str(w, "CgroupVersion", v2 ? "2" : "1");
	jw_kv_str(w, "CgroupMode", cgroup_mode_name(c->mode));
}

static void write_levels(const struct host_info *h, struct json_writer *w)
{
	jw_key(w, "IsolationLevels");
	jw_array(w);
	for (int i = 0; i < ISOLATION_LEVEL_COUNT; i++) {
		jw_object(w);
		jw_kv_str(w, "Name", isolation_level_name((enum isolation_level)i));
		jw_kv_bool(w, "Available", h->levels[i].available);
		jw_kv_str(w, "Why", h->levels[i].available ? "" : h->levels[i].why);
		jw_object_end(w);
	}
	jw_array_end(w);
}

static void write_host(const struct host_info *h, struct json_writer *w)
{
	char now[CLOCK_RFC3339_SIZE];
	jw_kv_str(w, "SystemTime", clock_format_rfc3339(clock_wall_ns(), now));
	jw_kv_str(w, "LoggingDriver", "json-file");
	jw_kv_str(w, "KernelVersion", h->uts.release);
	jw_kv_str(w, "OperatingSystem", h->os_name);
	jw_kv_str(w, "OSVersion", h->os_version);
	jw_kv_str(w, "OSType", "linux");
	jw_kv_str(w, "Architecture", h->uts.machine);
	jw_kv_i64(w, "NCPU", h->cpus);
	jw_kv_i64(w, "MemTotal", h->memory_bytes);
	jw_kv_str(w, "DockerRootDir", h->engine->root);
	jw_kv_str(w, "Name", h->uts.nodename);
	jw_kv_bool(w, "ExperimentalBuild", false);
	jw_kv_str(w, "ServerVersion", HULL_VERSION);
	jw_kv_str(w, "DefaultRuntime", "container");
	jw_key(w, "Swarm");
	jw_object(w);
	jw_kv_str(w, "LocalNodeState", "inactive");
	jw_object_end(w);
	jw_kv_bool(w, "LiveRestoreEnabled", true);
	jw_kv_str(w, "Isolation", "container");
	jw_kv_str(w, "InitBinary", "hull-init");
	jw_key(w, "SecurityOptions");
	jw_array(w);
	jw_str(w, "name=seccomp,profile=builtin");
	jw_str(w, "name=userns");
	if (h->cgroups.mode == CGROUP_MODE_V2)
		jw_str(w, "name=cgroupns");
	jw_array_end(w);
}

static void write_info(struct cli *cli, const struct host_info *h, struct json_writer *w)
{
	jw_object(w);
	jw_kv_str(w, "ID", h->id);
	jw_kv_i64(w, "Containers", h->running + h->paused + h->stopped);
	jw_kv_i64(w, "ContainersRunning", h->running);
	jw_kv_i64(w, "ContainersPaused", h->paused);
	jw_kv_i64(w, "ContainersStopped", h->stopped);
	jw_kv_i64(w, "Images", h->images);
	write_driver(h, w);
	write_limits(h, w);
	jw_kv_bool(w, "IPv4Forwarding", true);
	jw_kv_bool(w, "Debug", cli->log_level == LOG_DEBUG);
	write_host(h, w);
	write_levels(h, w);
	jw_key(w, "Warnings");
	jw_null(w);
	jw_key(w, "ClientInfo");
	jw_object(w);
	jw_kv_bool(w, "Debug", cli->log_level == LOG_DEBUG);
	jw_kv_str(w, "Version", HULL_VERSION);
	jw_kv_str(w, "Context", "default");
	jw_object_end(w);
	jw_object_end(w);
}

static void print_words(const char *label, const char *const *words)
{
	printf("  %s:", label);
	for (; *words; words++)
		printf(" %s", *words);
	printf("\n");
}

static void print_levels(const struct host_info *h)
{
	printf(" Isolation Levels:\n");
	for (int i = 0; i < ISOLATION_LEVEL_COUNT; i++)
		printf("  %s: %s%s\n", isolation_level_name((enum isolation_level)i), h->levels[i].available ? "available" : "not available: ",
		       h->levels[i].available ? "" : h->levels[i].why);
}

static void print_info(struct cli *cli, const struct host_info *h)
{
	char memory[32];
	const char *debug = cli->log_level == LOG_DEBUG ? "true" : "false";
	printf("Client:\n Version:    %s\n Context:    default\n Debug Mode: %s\n\nServer:\n", HULL_VERSION, debug);
	printf(" Containers: %jd\n  Running: %jd\n  Paused: %jd\n  Stopped: %jd\n Images: %jd\n Server Version: %s\n",
	       (intmax_t)(h->running + h->paused + h->stopped), (intmax_t)h->running, (intmax_t)h->paused, (intmax_t)h->stopped,
	       (intmax_t)h->images, HULL_VERSION);
	printf(" Storage Driver: erofs\n  Backing Filesystem: %s\n Logging Driver: json-file\n Cgroup Driver: cgroupfs\n"
	       " Cgroup Version: %s\n Plugins:\n  Volume: local\n", h->backing, h->cgroups.mode == CGROUP_MODE_V2 ? "2" : "1");
	print_words("Network", network_drivers);
	print_words("Log", log_drivers);
	printf(" Swarm: inactive\n Default Isolation: container\n");
	print_levels(h);
	printf(" Init Binary: hull-init\n Security Options:\n  seccomp\n   Profile: builtin\n  userns\n%s",
	       h->cgroups.mode == CGROUP_MODE_V2 ? "  cgroupns\n" : "");
	printf(" Kernel Version: %s\n Operating System: %s\n OSType: linux\n Architecture: %s\n CPUs: %jd\n Total Memory: %s\n",
	       h->uts.release, h->os_name, h->uts.machine, (intmax_t)h->cpus, str_human_bytes((double)h->memory_bytes, memory));
	printf(" Name: %s\n ID: %s\n Docker Root Dir: %s\n Debug Mode: %s\n Experimental: false\n Live Restore Enabled: true\n",
	       h->uts.nodename, h->id, h->engine->root, debug);
}

static int run(struct cli *cli, const void *opts, int argc, char **argv)
{
	const struct info_opts *o = opts;
	struct err err = ERR_INIT;
	CLEANUP_ENGINE struct engine *engine = NULL;
	CLEANUP(info_done) struct host_info h = { 0 };
	CLEANUP_BUF struct buf text = BUF_INIT(1 << 20);
	struct json_writer w;
	int r = engine_open(&engine, &err);
	h.engine = engine;
	if (r == 0)
		r = find_out(&h, &err);
	if (r < 0)
		return cli_fail(cli, &err);
	if (!o->format) {
		print_info(cli, &h);
		return 0;
	}
	json_writer_init(&w, &text, 0);
	write_info(cli, &h, &w);
	if (json_writer_finish(&w) < 0)
		return EXIT_FAILED;
	return format_print_object(stdout, o->format, &text, &err) < 0 ? cli_fail(cli, &err) : 0;
}

const struct verb verb_info = {
	.names = { "info", "system info" },
	.args = "[OPTIONS]",
	.brief = "Display system-wide information",
	.options = options,
	.opts_size = sizeof(struct info_opts),
	.is_docker = true,
	.run = run,
};
