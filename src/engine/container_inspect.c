/* SPDX-License-Identifier: Apache-2.0 */
/* A container as inspect shows it: Docker's keys in Docker's order. */
#include <string.h>

#include "clock.h"
#include "containers.h"
#include "fd.h"
#include "image_store.h"
#include "network_view.h"
#include "spec_builder.h"
#include "volume_mounts.h"
#include "disk_usage.h"

static void write_time(struct json_writer *w, const char *key, int64_t ns)
{
	char text[CLOCK_RFC3339_SIZE];
	jw_kv_str(w, key, clock_format_rfc3339(ns, text));
}

/* The last results: lines of JSON beside the run state (hull-monitor's health.c). */
static void write_health(const struct run_state *run, int dir, struct json_writer *w)
{
	CLEANUP_BUF struct buf text = BUF_INIT(1 << 18);
	CLEANUP_STRV struct strv lines = { 0 };
	jw_key(w, "Health");
	jw_object(w);
	jw_kv_str(w, "Status", run_health_name(run->health));
	jw_kv_i64(w, "FailingStreak", run->failing_streak);
	jw_key(w, "Log");
	jw_array(w);
	if (fd_read_file_at(dir, "health", &text) == 0)
		strv_split(&lines, buf_str(&text), '\n');
	for (size_t i = 0; i < lines.n; i++) {
		CLEANUP_JSON struct json *entry = NULL;
		if (*lines.v[i] && json_parse(lines.v[i], strlen(lines.v[i]), "health", &entry, NULL) == 0)
			jw_value(w, entry);
	}
	jw_array_end(w);
	jw_object_end(w);
}

static void write_state(struct engine *engine, const struct container *c, struct json_writer *w)
{
	bool runs = c->status == CONTAINER_RUNNING || c->status == CONTAINER_PAUSED;
	jw_key(w, "State");
	jw_object(w);
	jw_kv_str(w, "Status", container_status_name(c->status));
	jw_kv_bool(w, "Running", container_is_running(c));
	jw_kv_bool(w, "Paused", c->status == CONTAINER_PAUSED);
	jw_kv_bool(w, "Restarting", c->status == CONTAINER_RESTARTING);
	jw_kv_bool(w, "OOMKilled", c->oom_killed);
	jw_kv_bool(w, "Dead", c->status == CONTAINER_DEAD);
	jw_kv_i64(w, "Pid", runs ? c->run.pid : 0);
	jw_kv_i64(w, "ExitCode", c->exit_code);
	jw_kv_str(w, "Error", c->error ? c->error : "");
	write_time(w, "StartedAt", c->started_ns);
	write_time(w, "FinishedAt", c->finished_ns);
	/* Of one that has ended the last run's, too. */
	struct run_state run;
	CLEANUP_FD int dir = engine_open_run_dir(engine, c->id);
	if (dir >= 0 && run_state_read(dir, &run) == 0 && run.health != RUN_HEALTH_NONE)
		write_health(&run, dir, w);
	jw_object_end(w);
}

/* The first of the process's arguments, and the rest. */
static int write_command(struct engine *engine, const struct container *c, struct json_writer *w, struct err *err)
{
	CLEANUP_IMAGE struct image *image = NULL;
	CLEANUP_STRV struct strv args = { 0 };
	int r = image_load(engine->store, c->image_id, &image, err);
	if (r == 0)
		r = spec_args(c->config, image->config, &args, err);
	if (r < 0)
		return r;
	struct strv rest = { args.v + (args.n > 0), args.n - (args.n > 0) };
	jw_kv_str(w, "Path", args.n ? args.v[0] : "");
	jw_kv_strv(w, "Args", &rest);
	return 0;
}

static int write_mounts(struct engine *engine, struct container *c, struct json_writer *w, struct err *err)
{
	CLEANUP_IMAGE struct image *image = NULL;
	CLEANUP_VOLUME_PLAN struct volume_plan plan = { 0 };
	struct err ignored = ERR_INIT;
	int r = image_load(engine->store, c->image_id, &image, err);
	if (r < 0)
		return r;
	/* What it borrows from may be gone: the rest is told. */
	if (volumes_wanted(c->config, image->config) && volumes_plan(engine, c, image->config, VOLUMES_LOOK, &plan, &ignored) < 0)
		ignored = ERR_INIT;
	volumes_write(&plan, w);
	return 0;
}

int containers_inspect(struct engine *engine, struct container *c, bool size, struct json_writer *w, struct err *err)
{
	int r = container_load_config(c, err);
	if (r < 0)
		return r;
	jw_object(w);
	jw_kv_str(w, "Id", c->id);
	write_time(w, "Created", c->created_ns);
	r = write_command(engine, c, w, err);
	if (r < 0)
		return r;
	write_state(engine, c, w);
	jw_kv_str(w, "Image", c->image_id);
	static const char *const files[][2] = { { "ResolvConfPath", "resolv.conf" }, { "HostnamePath", "hostname" }, { "HostsPath", "hosts" } };
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		CLEANUP_FREE char *path = engine_workload_path(engine, c->id, files[i][1]);
		jw_kv_str(w, files[i][0], path);
	}
	CLEANUP_FREE char *log_name = str_printf("%s-json.log", c->id);
	CLEANUP_FREE char *log = engine_workload_path(engine, c->id, log_name);
	jw_kv_str(w, "LogPath", str_eq(c->config->log_driver ? c->config->log_driver : "json-file", "json-file") ? log : "");
	CLEANUP_FREE char *slash_name = str_printf("/%s", c->name);
	jw_kv_str(w, "Name", slash_name);
	jw_kv_i64(w, "RestartCount", c->restart_count);
	jw_kv_str(w, "Driver", "erofs");
	jw_kv_str(w, "Platform", "linux");
	jw_kv_str(w, "MountLabel", "");
	jw_kv_str(w, "ProcessLabel", "");
	jw_kv_str(w, "AppArmorProfile", "");
	jw_key(w, "ExecIDs");
	jw_null(w);
	jw_key(w, "GraphDriver");
	jw_object(w);
	jw_kv_str(w, "Name", "erofs");
	jw_key(w, "Data");
	jw_null(w);
	jw_object_end(w);
	jw_kv_str(w, "Isolation", isolation_level_name(c->level));
	struct container_size bytes;
	if (size && (r = container_size_read(engine, c, &bytes, err)) < 0)
		return r;
	if (size) {
		jw_kv_i64(w, "SizeRw", bytes.changed_bytes);
		jw_kv_i64(w, "SizeRootFs", bytes.root_bytes);
	}
	jw_key(w, "HostConfig");
	container_config_write_host_config(c->config, w);
	jw_key(w, "Mounts");
	r = write_mounts(engine, c, w, err);
	if (r < 0)
		return r;
	jw_key(w, "Config");
	container_config_write_config(c->config, w);
	r = network_settings_write(engine, c, w, err);
	jw_object_end(w);
	return r;
}
