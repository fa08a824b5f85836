/* SPDX-License-Identifier: Apache-2.0 */
/* Starting: everything a monitor needs is written, then it is spawned. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "clock.h"
#include "container_lock.h"
#include "containers.h"
#include "events.h"
#include "fault.h"
#include "fd.h"
#include "guest_boot.h"
#include "hosts_files.h"
#include "image_store.h"
#include "log_options.h"
#include "monitor_proto.h"
#include "monitor_spawn.h"
#include "name_service.h"
#include "network_policy.h"
#include "networks.h"
#include "proxy_proto.h"
#include "seccomp_filter.h"
#include "signal_names.h"
#include "spec_builder.h"
#include "volume_mounts.h"

struct launch {
	struct engine *engine;
	struct container *c;
	struct image *image;
	struct strv layers;
	struct volume_plan volumes;
	struct spec_mount *mounts;
	size_t mounts_n;
	char *workload;
	int workload_fd, run_fd;
	struct runtime_spec *spec;
};

static void launch_done(struct launch *l)
{
	image_free(l->image);
	strv_free(&l->layers);
	volume_plan_done(&l->volumes);
	spec_mounts_free(l->mounts, l->mounts_n);
	free(l->workload);
	cleanup_fd(&l->workload_fd);
	cleanup_fd(&l->run_fd);
	runtime_spec_free(l->spec);
}

/* Claim the row for this process: from now on it is ours to finish or undo. */
static int claim(struct engine *engine, struct container *c, struct err *err)
{
	int32_t self = getpid();
	int r = container_lock(engine, c->id, err);
	if (r < 0 || (c->row_status == ROW_STARTED && c->owner_pid == self))
		return r;
	/* While we waited it may have been started or removed. */
	r = container_refresh(engine, c, err);
	if (r < 0)
		return r;
	if (container_is_running(c) && c->status != CONTAINER_RESTARTING)
		return err_set(err, ERR_CONFLICT, 0, "container %s is already running", c->name);
	c->owner_pid = self;
	c->owner_ticks = state_process_ticks(self);
	r = db_run(engine->db, err,
		       "UPDATE containers SET status = 2, owner_pid = ?, owner_ticks = ?, error = NULL"
		       " WHERE id = ? AND (status IN (1, 3) OR status = ?)",
		       "iisi", (int64_t)self, (int64_t)c->owner_ticks, c->id, (int64_t)c->row_status);
	if (r == 0)
		return err_set(err, ERR_CONFLICT, 0, "container %s is being changed by another command", c->name);
	c->row_status = ROW_STARTED;
	return r < 0 ? r : FAULT("start.claimed");
}

static int make_dirs(struct launch *l, struct err *err)
{
	char path[96];
	snprintf(path, sizeof(path), "workloads/%s", l->c->id);
	int root = l->engine->store->root_fd;
	if ((mkdirat(root, path, 0700) < 0 && errno != EEXIST) ||
	    (l->workload_fd = openat(root, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0 ||
	    (mkdirat(l->workload_fd, "upper", 0755) < 0 && errno != EEXIST) ||
	    (mkdirat(l->workload_fd, "work", 0700) < 0 && errno != EEXIST))
		return err_set(err, ERR_SYSTEM, -errno, "create %s", path);
	if ((mkdirat(l->engine->run_fd, path, 0700) < 0 && errno != EEXIST) ||
	    (l->run_fd = openat(l->engine->run_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
		return err_set(err, ERR_SYSTEM, -errno, "create %s/%s", l->engine->run, path);
	l->workload = engine_workload_path(l->engine, l->c->id, NULL);
	/* The end of the last run, unless a restart is being counted there. */
	if (l->c->run.status != RUN_RESTARTING && l->c->run.magic && unlinkat(l->run_fd, "state", 0) < 0 && errno != ENOENT)
		return err_set(err, ERR_SYSTEM, -errno, "remove the last state");
	return 0;
}

static int write_file(int dirfd, const char *name, const char *data, size_t len, mode_t mode, struct err *err)
{
	CLEANUP_FD int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
	int r = fd < 0 ? -errno : fd_write_all(fd, data, len);
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "write %s", name) : 0;
}

static int joined_pid(struct engine *engine, const char *what, const char *mode, pid_t *ret, bool *ret_host_userns,
		      struct container **ret_other, struct err *err)
{
	CLEANUP_CONTAINER struct container *other = NULL;
	if (!str_starts_with(mode ? mode : "", "container:"))
		return 0;
	int r = container_find(engine, mode + strlen("container:"), &other, err);
	if (r < 0)
		return r;
	if (other->status != CONTAINER_RUNNING && other->status != CONTAINER_PAUSED)
		return err_set(err, ERR_CONFLICT, 0, "cannot join %s of a non running container: %s", what, other->id);
	if (guest_boot_is_needed(other->level))
		return err_set(err, ERR_CONFLICT, 0, "cannot join %s of %s: it has a kernel of its own", what, other->name);
	r = container_load_config(other, err);
	if (r < 0)
		return r;
	if (str_eq(what, "IPC") && !str_eq(other->config->ipc_mode, "shareable") && !str_eq(other->config->ipc_mode, "host")) {
		err_set(err, ERR_CONFLICT, 0, "cannot join IPC of container %s: non-shareable IPC", other->name);
		err_hint(err, "start %s with --ipc shareable", other->name);
		return -EBUSY;
	}
	*ret = other->run.pid;
	*ret_host_userns |= other->userns_slot < 0;
	if (ret_other)
		*ret_other = TAKE_PTR(other);
	return 0;
}

static int build_spec(struct launch *l, struct err *err)
{
	const struct container_config *c = l->c->config;
	struct spec_inputs in = {
		.id = l->c->id, .name = l->c->name, .config = c, .image = l->image->config, .layers = &l->layers,
		.workload = l->workload, .userns_slot = l->c->userns_slot, .libexec = l->engine->libexec,
		.mounts = l->mounts, .mounts_n = l->mounts_n,
		.has_own_kernel = guest_boot_is_needed(l->c->level), .hosts_files = l->workload, .hostname = c->hostname,
	};
	CLEANUP_CONTAINER struct container *net_owner = NULL;
	CLEANUP_FREE char *net_owner_workload = NULL;
	int r = joined_pid(l->engine, "network", c->network_mode, &in.net_pid, &in.net_has_host_userns, &net_owner, err);
	if (r == 0 && net_owner) {
		/* One network, one name in it, one list of names. */
		net_owner_workload = engine_workload_path(l->engine, net_owner->id, NULL);
		in.hosts_files = net_owner_workload;
		in.hostname = net_owner->config->hostname;
	}
	if (r == 0)
		r = joined_pid(l->engine, "IPC", c->ipc_mode, &in.ipc_pid, &in.other_has_host_userns, NULL, err);
	if (r == 0)
		r = joined_pid(l->engine, "PID", c->pid_mode, &in.pid_pid, &in.other_has_host_userns, NULL, err);
	if (r == 0)
		r = spec_build(&in, &l->spec, err);
	if (r == 0 && guest_boot_is_needed(l->c->level))
		r = guest_boot_prepare(l->engine, l->c, &l->image->config->diffids, l->spec, err);
	return r < 0 ? r : seccomp_filter_path(l->engine, c, l->spec->process.caps.bounding, &l->spec->seccomp_bpf_path, err);
}

static int write_spec(struct launch *l, struct err *err)
{
	CLEANUP_BUF struct buf text = BUF_INIT(4 << 20);
	int r = runtime_spec_write(l->spec, &text);
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "write config.json");
	return write_file(l->workload_fd, "config.json", text.data, text.len, 0600, err);
}

static void fill_health(struct monitor_conf *conf, const struct container_config *c, const struct image_config *image)
{
	const struct image_health *own = c->has_health ? &c->health : NULL;
	const struct image_health *base = image->has_health ? &image->health : NULL;
	const struct strv *test = own && own->test.n ? &own->test : base ? &base->test : NULL;
	if (!test || test->n == 0 || str_eq(test->v[0], "NONE"))
		return;
	if (str_eq(test->v[0], "CMD-SHELL")) {
		const struct strv *shell = c->shell.n ? &c->shell : &image->shell;
		if (shell->n) {
			strv_extend(&conf->health_test, shell);
		} else {
			strv_add(&conf->health_test, "/bin/sh");
			strv_add(&conf->health_test, "-c");
		}
	}
	for (size_t i = 1; i < test->n; i++)
		strv_add(&conf->health_test, test->v[i]);
#define PICK(field, target)                              \
	do {                                             \
		if (own && own->field)                   \
			conf->target = own->field;       \
		else if (base && base->field)            \
			conf->target = base->field;      \
	} while (0)
	PICK(interval_ns, health_interval_ns);
	PICK(timeout_ns, health_timeout_ns);
	PICK(start_period_ns, health_start_period_ns);
	PICK(start_interval_ns, health_start_interval_ns);
	PICK(retries, health_retries);
#undef PICK
}

static int write_monitor_conf(struct launch *l, struct err *err)
{
	const struct container_config *c = l->c->config;
	CLEANUP_MONITOR_CONF struct monitor_conf *conf = monitor_conf_new();
	conf->id = str_dup(l->c->id);
	conf->name = str_dup(l->c->name);
	conf->image = str_dup(l->c->image_name);
	conf->hull_path = str_dup(l->engine->hull_path);
	struct log_subject subject = { l->c->id, l->c->name, l->c->image_name, l->c->image_id, &l->c->labels, &c->env };
	int r = log_options_apply(conf, c->log_driver, &c->log_opts, &subject, err);
	if (r == 0)
		r = restart_policy_parse(c->restart_policy ? c->restart_policy : "", &conf->restart, &conf->restart_max_retries, err);
	if (r == 0 && !str_is_empty(c->health_on_failure))
		r = health_action_parse(c->health_on_failure, &conf->health_on_failure, err);
	if (r < 0)
		return r;
	if (c->restart_max_retries)
		conf->restart_max_retries = (uint32_t)c->restart_max_retries;
	fill_health(conf, c, l->image->config);
	const char *signal_name = !str_is_empty(c->stop_signal) ? c->stop_signal : l->image->config->stop_signal;
	int signo = SIGTERM;
	if (!str_is_empty(signal_name)) {
		r = signal_parse(signal_name, &signo, err);
		if (r < 0)
			return r;
	}
	conf->stop_signal = (uint32_t)signo;
	if (c->has_stop_timeout)
		conf->stop_timeout_s = c->stop_timeout_s < 0 ? UINT32_MAX : (uint32_t)c->stop_timeout_s;
	for (size_t i = 0; i < l->spec->ports_n; i++) {
		const struct spec_port *p = &l->spec->ports[i];
		char line[PROXY_LINE_SIZE];
		proxy_port_format(p->protocol, p->host_ip, p->host_port, p->container_ip, p->container_port, line);
		if (p->way != PORT_BY_KERNEL)
			strv_add(&conf->proxied, line);
	}
	conf->proxy_program = str_printf("%s/hull-proxy", l->engine->libexec);
	for (size_t i = 0; i < l->spec->interfaces_n; i++)
		strv_add(&conf->links, l->spec->interfaces[i].host_name);
	conf->auto_remove = c->auto_remove;
	conf->isolation = l->c->level;
	conf->tty = c->tty;
	conf->open_stdin = c->open_stdin;
	conf->stdin_once = c->stdin_once;
	if (l->spec->has_name_sockets)
		conf->names_server = name_service_program(l->engine);
	return monitor_conf_write(l->run_fd, conf, err);
}

static int write_hosts(struct launch *l, struct err *err)
{
	CLEANUP_STRV struct strv links = { 0 };
	struct hosts_inputs in = { .config = l->c->config, .interfaces = l->spec->interfaces, .interfaces_n = l->spec->interfaces_n,
				   .links = &links, .has_name_server = l->spec->has_name_sockets };
	int r = l->c->config->links.n ? networks_link_lines(l->engine, l->c, &links, err) : 0;
	return r < 0 ? r : hosts_files_write(&in, l->workload_fd, err);
}

static int prepare(struct launch *l, struct err *err)
{
	struct container *c = l->c;
	l->image = TAKE_PTR(c->image);
	int r = l->image ? 0 : image_load(l->engine->store, c->image_id, &l->image, err);
	if (r < 0)
		return r;
	r = layers_ensure_mounted(l->engine->store, &l->image->config->diffids, &l->layers, err);
	if (r >= 0)
		r = FAULT("start.mounted");
	if (r == 0)
		r = make_dirs(l, err);
	if (r == 0)
		r = FAULT("start.dirs");
	/* One transaction, and none when there is nothing to reserve. */
	CLEANUP_DB_TX struct db_tx tx = { 0 };
	const struct container_config *config = c->config;
	bool has_volumes = volumes_wanted(config, l->image->config);
	bool has_network = !str_eq(config->network_mode, "none") && !str_eq(config->network_mode, "host");
	if (r == 0 && (has_volumes || has_network))
		r = db_tx_begin(l->engine->db, &tx, err);
	if (r == 0 && has_volumes)
		r = volumes_plan(l->engine, c, l->image->config, VOLUMES_USE, &l->volumes, err);
	volumes_to_spec(&l->volumes, &l->mounts, &l->mounts_n);
	if (r >= 0)
		r = build_spec(l, err);
	if (r >= 0)
		r = FAULT("start.volumes");
	if (r >= 0)
		r = networks_reserve(l->engine, c, l->image->config, l->spec, err);
	if (r >= 0 && tx.db)
		r = db_tx_commit(&tx, err);
	if (r >= 0)
		r = FAULT("start.reserved");
	if (r >= 0 && name_service_is_wanted(config, l->spec->interfaces, l->spec->interfaces_n)) {
		l->spec->has_name_sockets = true;
		r = name_service_publish(l->engine, c, err);
		if (r == 0)
			r = FAULT("start.named");
	}
	if (r >= 0 && has_network)
		r = network_policies_enter(l->engine, c, err);
	if (r >= 0 && has_volumes)
		r = volumes_prepare(l->engine, c, &l->layers, &l->volumes, err);
	if (r >= 0 && has_volumes)
		r = volumes_adopt(&l->volumes, &l->spec->process.user, err);
	if (r >= 0)
		r = write_spec(l, err);
	if (r == 0)
		r = FAULT("start.spec");
	if (r == 0)
		r = write_monitor_conf(l, err);
	if (r == 0)
		monitor_tell_described(l->engine, c->id);
	if (r >= 0)
		r = FAULT("start.files");
	if (r == 0)
		r = write_hosts(l, err);
	if (r == 0)
		r = FAULT("start.hosts");
	return r;
}

int containers_launch(struct engine *engine, struct container *c, int *ret_sock, struct err *err)
{
	struct launch l = { .engine = engine, .c = c, .workload_fd = -1, .run_fd = -1 };
	int r = claim(engine, c, err);
	if (r == 0)
		r = container_load_config(c, err);
	if (r < 0) {
		container_unlock(engine);
		return r;
	}
	r = prepare(&l, err);
	if (r == 0)
		r = monitor_take(engine, c->id, ret_sock, &c->monitor_pid, err);
	launch_done(&l);
	if (r == 0)
		r = FAULT("start.monitor");
	if (r < 0 && !err_is_set(err))
		err_set(err, ERR_SYSTEM, r, "start %s", c->name);
	if (r < 0) {
		/* What its monitor has made ahead would be made behind the clean-up. */
		cleanup_fd(ret_sock);
		monitor_leave(engine, c->id);
		containers_start_failed(engine, c, err);
	}
	return r;
}

/* By the monitor's clock: a short run may be over by now, and its end must not
 * come before its start. */
static int64_t start_time(struct engine *engine, const struct container *c)
{
	struct run_state run = { 0 };
	CLEANUP_FD int dir = engine_open_run_dir(engine, c->id);
	bool is_known = dir >= 0 && run_state_read(dir, &run) == 0 && run.started_ns;
	return is_known ? run.started_ns : clock_wall_ns();
}

int containers_started(struct engine *engine, struct container *c, struct err *err)
{
	FAULT_HERE("start.running");
	c->started_ns = start_time(engine, c);
	CLEANUP_DB_TX struct db_tx tx = { 0 };
	int r = db_tx_begin(engine->db, &tx, err);
	if (r == 0)
		r = db_run(engine->db, err, 
			   "UPDATE containers SET started_ns = ?, exit_code = 0, oom_killed = 0, error = NULL, monitor_pid = ?,"
			   " is_new = 0, is_stopped_by_user = 0 WHERE id = ?", "iis", c->started_ns, (int64_t)c->monitor_pid, c->id);
	if (r >= 0)
		r = event_record_container_at(engine, c, c->started_ns, "start", NULL, err);
	if (r >= 0)
		r = db_tx_commit(&tx, err);
	container_unlock(engine);
	FAULT_HERE("start.recorded");
	return r < 0 ? r : 0;
}

int containers_await_start(struct engine *engine, struct container *c, int sock, struct err *err)
{
	struct mon_msg msg;
	CLEANUP_FREE char *payload = mem_calloc(1, MON_PAYLOAD_MAX);
	int r = mon_send(sock, MON_START, 0, 0, NULL, 0, NULL, 0);
	FAULT_HERE("start.asked");
	while (r >= 0) {
		size_t n = 0;
		r = mon_recv(sock, &msg, payload, NULL, 0, &n);
		if (r == 0)
			r = -EPIPE;
		if (r < 0 || msg.type == MON_STARTED)
			break;
		if (msg.type == MON_ERROR && msg.len == sizeof(struct err)) {
			memcpy(err, payload, sizeof(*err));
			r = err->errnum < 0 ? err->errnum : -EIO;
			break;
		}
	}
	bool is_told = err_is_set(err);
	if (r < 0 && !is_told)
		err_set(err, ERR_SYSTEM, r, "the monitor of %s went away before it started it", c->name);
	/* Killed while it made a restart: that is no failure of the workload, and
	 * recovery goes on counting where it was. */
	if (r < 0 && !is_told && c->run.status == RUN_RESTARTING) {
		container_unlock(engine);
		return r;
	}
	if (r < 0) {
		containers_start_failed(engine, c, err);
		return r;
	}
	return containers_started(engine, c, err);
}

int containers_start(struct engine *engine, const char *name, struct err *err)
{
	CLEANUP_CONTAINER struct container *c = NULL;
	CLEANUP_FD int sock = -1;
	int r = container_find(engine, name, &c, err);
	if (r == 0 && c->is_orphaned)
		r = containers_finish(engine, c->id, err);
	if (r == 0)
		r = container_lock(engine, c->id, err);
	CLEANUP_CONTAINER_LOCK struct engine *locked = engine;
	if (r == 0)
		r = container_refresh(engine, c, err);
	if (r < 0)
		return r;
	if (c->status == CONTAINER_PAUSED)
		return err_set(err, ERR_CONFLICT, 0, "cannot start a paused container, try unpause instead");
	if (c->status == CONTAINER_REMOVING)
		return err_set(err, ERR_CONFLICT, 0, "container is marked for removal and cannot be started");
	if (container_is_running(c))
		return 0;
	r = containers_launch(engine, c, &sock, err);
	return r < 0 ? r : containers_await_start(engine, c, sock, err);
}

int containers_start_exit_code(const struct err *why)
{
	if (why->errnum == -ENOENT && strstr(why->msg, "exec"))
		return 127;
	if (why->errnum == -EACCES || why->errnum == -EPERM || why->errnum == -ENOEXEC || why->errnum == -EISDIR)
		return strstr(why->msg, "exec") ? 126 : 125;
	return 125;
}
