/* SPDX-License-Identifier: Apache-2.0 */
#include "container_update.h"

#include <string.h>

#include "config_check.h"
#include "container_lock.h"
#include "containers.h"
#include "events.h"
#include "monitor_conf.h"
#include "monitor_proto.h"
#include "network_rate.h"
#include "runtime_spec.h"
#include "spec_builder.h"

static void put(int64_t *where, int64_t value)
{
	if (value)
		*where = value;
}

static void put_str(char **where, const char *value)
{
	if (str_is_empty(value))
		return;
	free(*where);
	*where = str_dup(value);
}

static int merge(struct container_config *to, const struct container_config *from, struct err *err)
{
	if (from->nano_cpus && (to->cpu_period || to->cpu_quota))
		return err_set(err, ERR_CONFLICT, 0, "Conflicting options: Nano CPUs cannot be updated as CPU %s has already been set",
			       to->cpu_period ? "Period" : "Quota");
	if ((from->cpu_period || from->cpu_quota) && to->nano_cpus)
		return err_set(err, ERR_CONFLICT, 0, "Conflicting options: CPU %s cannot be updated as NanoCPUs has already been set",
			       from->cpu_period ? "Period" : "Quota");
	if (from->memory_bytes > 0 && to->memory_swap_bytes > 0 && from->memory_bytes > to->memory_swap_bytes && !from->memory_swap_bytes)
		return err_set(err, ERR_CONFLICT, 0,
			       "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time");
	put(&to->memory_bytes, from->memory_bytes);
	put(&to->memory_reservation_bytes, from->memory_reservation_bytes);
	put(&to->memory_swap_bytes, from->memory_swap_bytes);
	put(&to->nano_cpus, from->nano_cpus);
	put(&to->cpu_shares, from->cpu_shares);
	put(&to->cpu_period, from->cpu_period);
	put(&to->cpu_quota, from->cpu_quota);
	put(&to->cpu_realtime_period, from->cpu_realtime_period);
	put(&to->cpu_realtime_runtime, from->cpu_realtime_runtime);
	put(&to->blkio_weight, from->blkio_weight);
	put_str(&to->cpuset_cpus, from->cpuset_cpus);
	put_str(&to->cpuset_mems, from->cpuset_mems);
	if (from->has_pids_limit) {
		to->has_pids_limit = true;
		to->pids_limit = from->pids_limit;
	}
	if (from->has_network_rate_in)
		to->network_rate_in = from->network_rate_in;
	if (from->has_network_rate_out)
		to->network_rate_out = from->network_rate_out;
	if (!str_is_empty(from->restart_policy)) {
		put_str(&to->restart_policy, from->restart_policy);
		to->restart_max_retries = from->restart_max_retries;
	}
	return 0;
}

static int apply_limits(const struct container *c, struct err *err)
{
	const struct isolation *back_end;
	struct isolation_handle handle = container_handle(c);
	struct spec_resources limits = { .memory_swappiness = -1 };
	int r = spec_limits(c->config, &limits, err);
	if (r == 0 && container_is_running(c) && c->status != CONTAINER_RESTARTING) {
		r = isolation_get(c->level, &back_end, err);
		if (r == 0)
			r = back_end->update(&handle, &limits, err);
	}
	spec_resources_done(&limits);
	return r;
}

/* The monitor decides about restarts: it reads its settings again. */
static int apply_policy(struct engine *engine, const struct container *c, struct err *err)
{
	CLEANUP_FD int dir = engine_open_run_dir(engine, c->id), sock = -1;
	CLEANUP_MONITOR_CONF struct monitor_conf *conf = NULL;
	if (dir == -ENOENT || !c->monitor_is_alive)
		return 0;
	int r = dir < 0 ? err_set(err, ERR_SYSTEM, dir, "open the run folder of %s", c->name) : monitor_conf_read(dir, &conf, err);
	if (r == 0)
		r = restart_policy_parse(c->config->restart_policy, &conf->restart, &conf->restart_max_retries, err);
	if (r < 0)
		return r;
	if (c->config->restart_max_retries)
		conf->restart_max_retries = (uint32_t)c->config->restart_max_retries;
	r = monitor_conf_write(dir, conf, err);
	if (r == 0)
		r = containers_connect(engine, c, &sock, err);
	if (r == 0 && (r = mon_send(sock, MON_RELOAD, 0, 0, NULL, 0, NULL, 0)) < 0)
		err_set(err, ERR_SYSTEM, r, "reach the monitor of %s", c->name);
	return r;
}

static int save(struct engine *engine, const struct container *c, struct err *err)
{
	CLEANUP_BUF struct buf text = BUF_INIT(16u << 20);
	CLEANUP_DB_TX struct db_tx tx = { 0 };
	int r = container_config_write(c->config, &text);
	if (r < 0)
		return err_set(err, ERR_SYSTEM, r, "write the configuration of %s", c->name);
	r = db_tx_begin(engine->db, &tx, err);
	if (r == 0)
		r = db_run(engine->db, err, "UPDATE containers SET config = ? WHERE id = ?", "ss", buf_str(&text), c->id);
	if (r >= 0)
		r = ports_settle(engine, c->id, err);
	if (r >= 0)
		r = network_rate_settle(engine, c->id, err);
	if (r >= 0)
		r = event_record_container(engine, c, "update", NULL, err);
	return r < 0 ? r : db_tx_commit(&tx, err);
}

/* Ports first: they are what can be refused by somebody else, and can be undone. */
static int apply(struct engine *engine, struct container *c, const struct container_config *changes, const struct port_changes *ports,
		 struct err *err)
{
	struct err ignored = ERR_INIT;
	bool has_rate = changes->has_network_rate_in || changes->has_network_rate_out;
	int r = ports ? ports_change(engine, c, ports, err) : 0;
	if (r < 0)
		return r;
	r = merge(c->config, changes, err);
	if (r == 0 && has_rate)
		r = config_check_supported(c->config, err);
	if (r == 0 && has_rate)
		r = network_rate_change(engine, c, err);
	if (r == 0)
		r = apply_limits(c, err);
	if (r == 0 && !str_is_empty(changes->restart_policy))
		r = apply_policy(engine, c, err);
	if (r < 0 && has_rate)
		(void)!network_rate_undo(engine, c->id, &ignored);
	if (r < 0 && ports)
		(void)!ports_undo(engine, c->id, &ignored);
	return r;
}

int containers_update(struct engine *engine, const char *name, const struct container_config *changes,
		      const struct port_changes *ports, struct err *err)
{
	CLEANUP_CONTAINER_LOCK struct engine *locked = engine;
	CLEANUP_CONTAINER struct container *c = NULL;
	int r = container_find(engine, name, &c, err);
	if (r == 0)
		r = container_lock(engine, c->id, err);
	if (r == 0)
		r = container_refresh(engine, c, err);
	if (r == 0)
		r = container_load_config(c, err);
	if (r == 0 && c->auto_remove && !str_is_empty(changes->restart_policy) && !str_eq(changes->restart_policy, "no"))
		r = err_set(err, ERR_CONFLICT, 0, "Restart policy cannot be updated because AutoRemove is enabled for the container");
	if (r == 0)
		r = apply(engine, c, changes, ports, err);
	if (r < 0)
		return c ? err_context(err, r, "Cannot update container %s", c->name) : r;
	return save(engine, c, err);
}
