/* SPDX-License-Identifier: Apache-2.0 */
/* The options of run and create: all of Docker's and hull's own, read into
 * struct run_opts by the table and turned into a container_config here, with
 * the checks that Docker's client makes, in its words. */
#pragma once

#include "container_config.h"
#include "options.h"

struct run_opts {
	/* run's own */
	bool detach, sig_proxy;
	const char *detach_keys;
	/* of the command, not of the container */
	const char *name, *pull, *platform, *cidfile;
	bool quiet, content_trust;
	struct strv attach;
	/* Config */
	const char *hostname, *domainname, *user, *workdir, *entrypoint, *stop_signal, *mac_address;
	enum tri has_entrypoint;
	bool interactive, tty;
	struct strv env, env_file, label, label_file, expose, volume;
	int64_t stop_timeout_s;
	enum tri has_stop_timeout;
	/* health */
	const char *health_cmd, *health_on_failure;
	int64_t health_interval_ns, health_timeout_ns, health_start_period_ns, health_start_interval_ns, health_retries;
	bool no_healthcheck;
	/* HostConfig */
	struct strv egress;
	const char *network_rate;
	struct strv publish, mount, tmpfs, volumes_from, device, device_cgroup_rule, gpus, ulimit, sysctl, annotation;
	struct strv cap_add, cap_drop, dns, dns_option, dns_search, add_host, group_add, link, security_opt, storage_opt, log_opt;
	bool publish_all, privileged, read_only, rm;
	enum tri init;
	const char *log_driver, *restart, *volume_driver, *cgroupns, *ipc, *pid, *uts, *userns, *cgroup_parent, *runtime;
	const char *isolation;
	int64_t shm_size_bytes, oom_score_adj;
	/* network */
	struct strv network, network_alias, link_local_ip;
	const char *ip, *ip6;
	/* limits */
	int64_t memory_bytes, memory_reservation_bytes, kernel_memory_bytes, memory_swappiness;
	const char *memory_swap;
	enum tri oom_kill_disable;
	enum tri has_pids_limit;
	const char *cpus, *cpuset_cpus, *cpuset_mems;
	int64_t cpu_shares, cpu_period, cpu_quota, cpu_rt_period, cpu_rt_runtime, pids_limit, blkio_weight;
	int64_t cpu_count, cpu_percent, io_maxiops, io_maxbandwidth;
	struct strv blkio_weight_device, device_read_bps, device_write_bps, device_read_iops, device_write_iops;
};

/* run and create. */
extern const struct option run_flags_common[];
/* run alone: --detach, --sig-proxy, --detach-keys, --rm is common. */
extern const struct option run_flags_run[];
void run_flags_defaults(void *opts);

/* The limits and the restart policy of @o alone, for update. */
/* "100mbit" both ways, "in=50mbit,out=10mbit", "0" for no limit; bits a second. */
int flag_parse_network_rate(const char *value, int64_t *ret_in, int64_t *ret_out, struct err *err) MUST_CHECK;
int run_flags_build_update(const struct run_opts *o, struct container_config **ret, struct err *err) MUST_CHECK;
/* Check @o and make the configuration of `IMAGE [COMMAND...]` = @argv. @is_run
 * decides about the attached streams. Errors are Docker's client's; a level
 * that is not there is ERR_UNSUPPORTED. */
int run_flags_build(const struct run_opts *o, bool is_run, int argc, char **argv, struct container_config **ret,
		    struct err *err) MUST_CHECK;

/* Would Docker's engine have found the error of run_flags_build(), not its
 * client? The texts that scripts match differ by a prefix. */
bool run_flags_is_engines(const struct err *err);

/* The level that @value (NULL: nothing said) stands for, "auto" and the names
 * that Docker users' files carry included. ERR_UNSUPPORTED, with what is
 * missing, when this hull or this machine lacks it. */
int run_flags_isolation(const char *value, const char **ret_level, struct err *err) MUST_CHECK;
