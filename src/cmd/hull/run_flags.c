/* SPDX-License-Identifier: Apache-2.0 */
#include "run_flags.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "egress.h"
#include "fd.h"
#include "flag_parse.h"
#include "isolation.h"

/* Call @parse for each entry; the error names the option as pflag does. */
static int each(struct container_config *c, const struct strv *list, const char *option,
		int (*parse)(struct container_config *c, const char *value, struct err *err), struct err *err)
{
	for (size_t i = 0; i < list->n; i++) {
		struct err inner = ERR_INIT;
		int r = parse(c, list->v[i], &inner);
		if (r < 0 && option)
			return err_set(err, inner.kind, 0, "invalid argument \"%s\" for \"%s\" flag: %s", list->v[i], option, inner.msg);
		if (r < 0) {
			*err = inner;
			return r;
		}
	}
	return 0;
}

static void set(char **field, const char *value)
{
	free(*field);
	*field = str_dup(value);
}

static int build_labels(struct container_config *c, const struct run_opts *o, struct err *err)
{
	for (size_t i = 0; i < o->label_file.n; i++) {
		int r = flag_read_pairs(&c->labels, o->label_file.v[i], false, err);
		if (r < 0)
			return r;
	}
	for (size_t i = 0; i < o->label.n; i++) {
		if (!o->label.v[i][0] || o->label.v[i][0] == '=')
			return err_set(err, ERR_INVALID, 0, "invalid argument \"%s\" for \"-l, --label\" flag: invalid label: empty name",
				       o->label.v[i]);
		strv_printf(&c->labels, "%s%s", o->label.v[i], strchr(o->label.v[i], '=') ? "" : "=");
	}
	for (size_t i = 0; i < o->annotation.n; i++)
		strv_printf(&c->annotations, "%s%s", o->annotation.v[i], strchr(o->annotation.v[i], '=') ? "" : "=");
	return 0;
}

static int attach_streams(struct container_config *c, const struct run_opts *o, bool is_run, struct err *err)
{
	for (size_t i = 0; i < o->attach.n; i++) {
		if (strcasecmp(o->attach.v[i], "stdin") == 0)
			c->attach_stdin = true;
		else if (strcasecmp(o->attach.v[i], "stdout") == 0)
			c->attach_stdout = true;
		else if (strcasecmp(o->attach.v[i], "stderr") == 0)
			c->attach_stderr = true;
		else
			return err_set(err, ERR_INVALID, 0,
				       "invalid argument \"%s\" for \"-a, --attach\" flag: valid streams are STDIN, STDOUT and STDERR",
				       o->attach.v[i]);
	}
	if (o->attach.n && o->detach)
		return err_set(err, ERR_INVALID, 0, "conflicting options: cannot specify both --attach and --detach");
	if (!o->attach.n && !(is_run && o->detach)) {
		c->attach_stdout = c->attach_stderr = true;
		c->attach_stdin = o->interactive;
	}
	c->tty = o->tty;
	c->open_stdin = o->interactive;
	c->stdin_once = o->interactive && c->attach_stdin;
	return 0;
}

static int build_config(struct container_config *c, const struct run_opts *o, int argc, char **argv, struct err *err)
{
	set(&c->image, argv[0]);
	for (int i = 1; i < argc; i++)
		strv_add(&c->cmd, argv[i]);
	c->has_cmd = argc > 1;
	if (o->has_entrypoint == TRI_TRUE) {
		c->has_entrypoint = true;
		strv_add(&c->entrypoint, o->entrypoint);
	}
	set(&c->hostname, o->hostname);
	set(&c->domainname, o->domainname);
	set(&c->user, o->user);
	if (o->workdir && o->workdir[0] != '/')
		return err_set(err, ERR_INVALID, 0, "the working directory '%s' is invalid, it needs to be an absolute path", o->workdir);
	set(&c->working_dir, o->workdir);
	set(&c->stop_signal, o->stop_signal);
	c->has_stop_timeout = o->has_stop_timeout == TRI_TRUE;
	c->stop_timeout_s = o->stop_timeout_s;
	int r = flag_env(&c->env, &o->env_file, &o->env, err);
	if (r == 0)
		r = build_labels(c, o, err);
	if (r == 0)
		r = each(c, &o->expose, NULL, flag_parse_expose, err);
	return r;
}

static int check_health(const struct run_opts *o, struct err *err)
{
	const struct {
		const char *name;
		int64_t value;
	} times[] = { { "interval", o->health_interval_ns }, { "timeout", o->health_timeout_ns }, { "retries", o->health_retries },
		      { "start-period", o->health_start_period_ns }, { "start-interval", o->health_start_interval_ns } };
	bool any = o->health_cmd != NULL;

	for (size_t i = 0; i < ARRAY_LEN(times); i++) {
		if (times[i].value < 0)
			return err_set(err, ERR_INVALID, 0, "--health-%s cannot be negative", times[i].name);
		any |= times[i].value != 0;
	}
	if (o->no_healthcheck && any)
		return err_set(err, ERR_INVALID, 0, "--no-healthcheck conflicts with --health-* options");
	const char *act = o->health_on_failure;
	if (act && !str_eq(act, "none") && !str_eq(act, "kill") && !str_eq(act, "restart") && !str_eq(act, "stop"))
		return err_set(err, ERR_INVALID, 0, "invalid --health-on-failure \"%s\": use none, kill, restart or stop", act);
	return any;
}

static int build_health(struct container_config *c, const struct run_opts *o, struct err *err)
{
	int any = check_health(o, err);

	if (any < 0)
		return any;
	set(&c->health_on_failure, o->health_on_failure);
	if (o->no_healthcheck) {
		c->has_health = true;
		strv_add(&c->health.test, "NONE");
		return 0;
	}
	if (!any)
		return 0;
	c->has_health = true;
	if (o->health_cmd) {
		strv_add(&c->health.test, "CMD-SHELL");
		strv_add(&c->health.test, o->health_cmd);
	}
	c->health.interval_ns = o->health_interval_ns;
	c->health.timeout_ns = o->health_timeout_ns;
	c->health.start_period_ns = o->health_start_period_ns;
	c->health.start_interval_ns = o->health_start_interval_ns;
	c->health.retries = o->health_retries;
	return 0;
}

static int build_swap(struct container_config *c, const struct run_opts *o, struct err *err)
{
	if (o->memory_swap && str_eq(o->memory_swap, "-1"))
		c->memory_swap_bytes = -1;
	else if (o->memory_swap && str_parse_size_bytes(o->memory_swap, &c->memory_swap_bytes) < 0)
		return err_set(err, ERR_INVALID, 0, "invalid argument \"%s\" for \"--memory-swap\" flag: invalid size: '%s'",
			       o->memory_swap, o->memory_swap);
	if (o->memory_swappiness < -1 || o->memory_swappiness > 100)
		return err_set(err, ERR_INVALID, 0, "invalid value: %lld. Valid memory swappiness range is 0-100",
			       (long long)o->memory_swappiness);
	c->has_memory_swappiness = o->memory_swappiness >= 0;
	c->memory_swappiness = o->memory_swappiness >= 0 ? o->memory_swappiness : 0;
	return 0;
}

/* How the values go together; those of an update meet the container's own. */
static int check_memory(const struct container_config *c, struct err *err)
{
	if (c->memory_bytes && c->memory_bytes < 6 * 1024 * 1024)
		return err_set(err, ERR_INVALID, 0, "Minimum memory limit allowed is 6MB");
	if (c->memory_bytes && c->memory_swap_bytes > 0 && c->memory_swap_bytes < c->memory_bytes)
		return err_set(err, ERR_INVALID, 0, "Minimum memoryswap limit should be larger than memory limit, see usage");
	if (!c->memory_bytes && c->memory_swap_bytes > 0)
		return err_set(err, ERR_INVALID, 0, "You should always set the Memory limit when using Memoryswap limit, see usage");
	if (c->memory_bytes && c->memory_reservation_bytes > c->memory_bytes)
		return err_set(err, ERR_INVALID, 0, "Minimum memory limit can not be less than memory reservation limit, see usage");
	return 0;
}

static int build_cpu(struct container_config *c, const struct run_opts *o, struct err *err)
{
	char *end;

	if (o->cpus) {
		double v = strtod(o->cpus, &end);
		if (!*o->cpus || *end || !(v >= 0) || v > 1e6)
			return err_set(err, ERR_INVALID, 0, "invalid argument \"%s\" for \"--cpus\" flag: failed to parse %s as a rational number",
				       o->cpus, o->cpus);
		c->nano_cpus = (int64_t)(v * 1e9 + 0.5);
	}
	c->cpu_shares = o->cpu_shares;
	c->cpu_period = o->cpu_period;
	c->cpu_quota = o->cpu_quota;
	c->cpu_realtime_period = o->cpu_rt_period;
	c->cpu_realtime_runtime = o->cpu_rt_runtime;
	set(&c->cpuset_cpus, o->cpuset_cpus);
	set(&c->cpuset_mems, o->cpuset_mems);
	if (c->nano_cpus && (c->cpu_period || c->cpu_quota))
		return err_set(err, ERR_INVALID, 0, "Conflicting options: Nano CPUs and CPU %s cannot both be set",
			       c->cpu_period ? "Period" : "Quota");
	if (c->cpu_shares < 0)
		return err_set(err, ERR_INVALID, 0, "invalid CPU shares (%lld): value must be a positive integer",
			       (long long)c->cpu_shares);
	if (c->cpu_period && (c->cpu_period < 1000 || c->cpu_period > 1000000))
		return err_set(err, ERR_INVALID, 0, "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)");
	if (c->cpu_quota > 0 && c->cpu_quota < 1000)
		return err_set(err, ERR_INVALID, 0, "CPU cfs quota can not be less than 1ms (i.e. 1000)");
	return 0;
}

static int build_blkio(struct container_config *c, const struct run_opts *o, struct err *err)
{
	struct {
		const struct strv *from;
		struct config_blkio **list;
		size_t *n;
		bool is_bytes;
	} rates[] = {
		{ &o->device_read_bps, &c->blkio_read_bps, &c->blkio_read_bps_n, true },
		{ &o->device_write_bps, &c->blkio_write_bps, &c->blkio_write_bps_n, true },
		{ &o->device_read_iops, &c->blkio_read_iops, &c->blkio_read_iops_n, false },
		{ &o->device_write_iops, &c->blkio_write_iops, &c->blkio_write_iops_n, false },
	};
	int r = 0;

	if (o->blkio_weight && (o->blkio_weight < 10 || o->blkio_weight > 1000))
		return err_set(err, ERR_INVALID, 0, "Range of blkio weight is from 10 to 1000");
	c->blkio_weight = o->blkio_weight;
	for (size_t i = 0; r == 0 && i < o->blkio_weight_device.n; i++)
		r = flag_parse_weight(&c->blkio_weight_device, &c->blkio_weight_device_n, o->blkio_weight_device.v[i], err);
	for (size_t k = 0; k < ARRAY_LEN(rates); k++)
		for (size_t i = 0; r == 0 && i < rates[k].from->n; i++)
			r = flag_parse_throttle(rates[k].list, rates[k].n, rates[k].from->v[i], rates[k].is_bytes, err);
	return r;
}

static int build_limits(struct container_config *c, const struct run_opts *o, struct err *err)
{
	c->memory_bytes = o->memory_bytes;
	c->memory_reservation_bytes = o->memory_reservation_bytes;
	c->has_oom_kill_disable = o->oom_kill_disable != TRI_UNSET;
	c->oom_kill_disable = o->oom_kill_disable == TRI_TRUE;
	c->has_pids_limit = o->has_pids_limit == TRI_TRUE;
	c->pids_limit = o->pids_limit;
	c->oom_score_adj = o->oom_score_adj;
	if (o->oom_score_adj < -1000 || o->oom_score_adj > 1000)
		return err_set(err, ERR_INVALID, 0, "Invalid value %lld, range for oom score adj is [-1000, 1000]",
			       (long long)o->oom_score_adj);
	int r = build_swap(c, o, err);
	if (r == 0)
		r = build_cpu(c, o, err);
	if (r == 0)
		r = build_blkio(c, o, err);
	if (r == 0)
		r = each(c, &o->ulimit, "--ulimit", flag_parse_ulimit, err);
	return r;
}

/* Docker's client reads the profile and sends its text. */
static int build_security(struct container_config *c, const struct run_opts *o, struct err *err)
{
	for (size_t i = 0; i < o->security_opt.n; i++) {
		const char *opt = o->security_opt.v[i];
		size_t at = strcspn(opt, "=:");
		if (!opt[at] && !str_eq(opt, "no-new-privileges"))
			return err_set(err, ERR_INVALID, 0, "invalid --security-opt: \"%s\"", opt);
		const char *file = strncmp(opt, "seccomp", 7) == 0 && at == 7 && opt[at] ? opt + 8 : NULL;
		if (!file || str_eq(file, "unconfined") || str_eq(file, "builtin")) {
			strv_add(&c->security_opt, opt);
			continue;
		}
		CLEANUP_BUF struct buf text = BUF_INIT(4 << 20);
		int r = fd_read_file_at(AT_FDCWD, file, &text);
		if (r < 0)
			return err_set(err, ERR_INVALID, r, "opening seccomp profile (%s) failed: open %s", file, file);
		strv_printf(&c->security_opt, "seccomp=%s", buf_str(&text));
	}
	return 0;
}

static int check_namespace(const char *option, const char *kind, const char *value, const char *const *words, struct err *err)
{
	if (str_is_empty(value))
		return 0;
	for (; *words; words++)
		if (str_eq(*words, value) || (str_ends_with(*words, ":") && str_starts_with(value, *words) && value[strlen(*words)]))
			return 0;
	return err_set(err, ERR_INVALID, 0, "--%s: invalid %s mode", option, kind);
}

static int build_namespaces(struct container_config *c, const struct run_opts *o, struct err *err)
{
	int r = check_namespace("pid", "PID", o->pid, (const char *const[]){ "host", "private", "container:", NULL }, err);
	if (r == 0)
		r = check_namespace("uts", "UTS", o->uts, (const char *const[]){ "host", "private", NULL }, err);
	if (r == 0)
		r = check_namespace("userns", "USER", o->userns, (const char *const[]){ "host", "private", NULL }, err);
	if (r == 0)
		r = check_namespace("cgroupns", "CGROUP", o->cgroupns, (const char *const[]){ "host", "private", NULL }, err);
	if (r == 0)
		r = check_namespace("ipc", "IPC", o->ipc,
				    (const char *const[]){ "host", "private", "shareable", "none", "container:", NULL }, err);
	if (r < 0)
		return r;
	set(&c->pid_mode, o->pid);
	set(&c->uts_mode, o->uts);
	set(&c->userns_mode, o->userns);
	set(&c->cgroupns_mode, o->cgroupns);
	set(&c->ipc_mode, o->ipc);
	return 0;
}

static int build_host(struct container_config *c, const struct run_opts *o, struct err *err)
{
	if (o->gpus.n)
		return err_set(err, ERR_UNSUPPORTED, 0, "--gpus is not available: hull hands no GPU to containers yet");
	if (o->restart && o->rm && !str_eq(o->restart, "no") && *o->restart)
		return err_set(err, ERR_INVALID, 0, "conflicting options: cannot specify both --restart and --rm");
	int r = o->restart ? flag_parse_restart(c, o->restart, err) : 0;
	if (r == 0)
		r = each(c, &o->volume, NULL, flag_parse_volume, err);
	if (r == 0)
		r = each(c, &o->mount, "--mount", flag_parse_mount, err);
	if (r == 0)
		r = each(c, &o->tmpfs, "--tmpfs", flag_parse_tmpfs, err);
	if (r == 0)
		r = each(c, &o->device, "--device", flag_parse_device, err);
	for (size_t i = 0; r == 0 && i < o->device_cgroup_rule.n; i++)
		r = flag_check_device_rule(o->device_cgroup_rule.v[i], err);
	for (size_t i = 0; r == 0 && i < o->sysctl.n; i++)
		r = flag_check_sysctl(o->sysctl.v[i], err);
	for (size_t i = 0; r == 0 && i < o->egress.n; i++) {
		struct egress parsed;
		r = egress_parse(o->egress.v[i], &parsed, err);
	}
	if (r == 0 && o->network_rate)
		r = flag_parse_network_rate(o->network_rate, &c->network_rate_in, &c->network_rate_out, err);
	if (r == 0)
		r = build_security(c, o, err);
	if (r == 0)
		r = build_namespaces(c, o, err);
	return r;
}

static void copy_host(struct container_config *c, const struct run_opts *o)
{
	c->auto_remove = o->rm;
	c->publish_all_ports = o->publish_all;
	c->privileged = o->privileged;
	c->readonly_rootfs = o->read_only;
	c->has_init = o->init != TRI_UNSET;
	c->init = o->init == TRI_TRUE;
	c->shm_size_bytes = o->shm_size_bytes;
	set(&c->container_id_file, o->cidfile);
	set(&c->log_driver, o->log_driver);
	set(&c->volume_driver, o->volume_driver);
	set(&c->cgroup_parent, o->cgroup_parent);
	set(&c->runtime, o->runtime);
	strv_extend(&c->volumes_from, &o->volumes_from);
	strv_extend(&c->device_cgroup_rules, &o->device_cgroup_rule);
	strv_extend(&c->sysctls, &o->sysctl);
	strv_extend(&c->egress, &o->egress);
	strv_extend(&c->cap_add, &o->cap_add);
	strv_extend(&c->cap_drop, &o->cap_drop);
	strv_extend(&c->group_add, &o->group_add);
	strv_extend(&c->storage_opt, &o->storage_opt);
	strv_extend(&c->log_opts, &o->log_opt);
	strv_extend(&c->links, &o->link);
	strv_extend(&c->dns, &o->dns);
	strv_extend(&c->dns_options, &o->dns_option);
	strv_extend(&c->dns_search, &o->dns_search);
}

static bool has_blank(const char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s <= ' ' || *s == 0x7f)
			return true;
	return false;
}

/* What ends up as lines of hostname, hosts and resolv.conf. */
static int check_names(const struct run_opts *o, struct err *err)
{
	unsigned char address[16];
	if (o->hostname && (strlen(o->hostname) > HOST_NAME_MAX || has_blank(o->hostname)))
		return err_set(err, ERR_INVALID, 0, "invalid hostname format: %s", o->hostname);
	if (o->domainname && (strlen(o->domainname) > HOST_NAME_MAX || has_blank(o->domainname)))
		return err_set(err, ERR_INVALID, 0, "invalid domain name: %s", o->domainname);
	if (o->hostname && str_eq(o->uts, "host"))
		return err_set(err, ERR_INVALID, 0, "conflicting options: hostname and the UTS mode");
	for (size_t i = 0; i < o->dns.n; i++)
		if (inet_pton(AF_INET, o->dns.v[i], address) != 1 && inet_pton(AF_INET6, o->dns.v[i], address) != 1)
			return err_set(err, ERR_INVALID, 0, "invalid argument \"%s\" for \"--dns\" flag: %s is not an ip address",
				       o->dns.v[i], o->dns.v[i]);
	for (size_t i = 0; i < o->dns_search.n; i++)
		if (!*o->dns_search.v[i] || has_blank(o->dns_search.v[i]))
			return err_set(err, ERR_INVALID, 0, "invalid argument \"%s\" for \"--dns-search\" flag: not a valid domain",
				       o->dns_search.v[i]);
	for (size_t i = 0; i < o->dns_option.n; i++)
		if (has_blank(o->dns_option.v[i]))
			return err_set(err, ERR_INVALID, 0, "invalid argument \"%s\" for \"--dns-option\" flag", o->dns_option.v[i]);
	return 0;
}

/* A container that lives in another's network namespace has nothing of its own. */
static int check_shared_network(const struct container_config *c, const struct run_opts *o, struct err *err)
{
	if (!str_starts_with(c->network_mode, "container:"))
		return 0;
	if (o->hostname)
		return err_set(err, ERR_INVALID, 0, "conflicting options: hostname and the network mode");
	if (o->dns.n)
		return err_set(err, ERR_INVALID, 0, "conflicting options: dns and the network mode");
	if (o->mac_address)
		return err_set(err, ERR_INVALID, 0, "conflicting options: mac-address and the network mode");
	if (o->add_host.n)
		return err_set(err, ERR_INVALID, 0, "conflicting options: custom host-to-IP mapping and the network mode");
	if (o->link.n)
		return err_set(err, ERR_INVALID, 0, "conflicting options: container type network can't be used with links. This would "
						    "result in undefined behavior");
	if (o->publish.n || o->publish_all)
		return err_set(err, ERR_INVALID, 0, "conflicting options: port publishing and the container type network mode");
	if (o->expose.n)
		return err_set(err, ERR_INVALID, 0, "conflicting options: port exposing and the container type network mode");
	return 0;
}

static bool is_users_network(const char *name)
{
	return !str_eq(name, "default") && !str_eq(name, "bridge") && !str_eq(name, "host") && !str_eq(name, "none") &&
	       !str_starts_with(name, "container:");
}

/* Networks are either the built-in one or all of the user's. */
static int check_networks(const struct container_config *c, struct err *err)
{
	bool has_users = false, has_builtin = false;
	for (size_t i = 0; i < c->endpoints_n; i++) {
		const char *name = c->endpoints[i].network;
		for (size_t k = 0; k < i; k++)
			if (str_eq(c->endpoints[k].network, name))
				return err_set(err, ERR_INVALID, 0, "network \"%s\" is specified multiple times", name);
		has_users |= is_users_network(name);
		has_builtin |= !is_users_network(name);
	}
	if ((has_users && has_builtin) || (has_builtin && c->endpoints_n > 1))
		return err_set(err, ERR_INVALID, 0, "conflicting options: cannot attach both user-defined and non-user-defined network-modes");
	return 0;
}

/* --ip and its like are of the first network, which may say the same itself. */
static int add_network_flags(struct container_config *c, const struct run_opts *o, struct err *err)
{
	struct config_endpoint *e = &c->endpoints[0];
	struct {
		const char *flag, *what;
		bool is_twice;
	} const both[] = {
		{ "network-alias", "per-network alias", e->aliases.n && o->network_alias.n },
		{ "link", "per-network links", e->links.n && o->link.n },
		{ "ip", "per-network IPv4 address", e->ipv4_address && o->ip },
		{ "ip6", "per-network IPv6 address", e->ipv6_address && o->ip6 },
		{ "mac-address", "per-network MAC address", e->mac_address && o->mac_address },
		{ "link-local-ip", "per-network link-local IP addresses", e->link_local_ips.n && o->link_local_ip.n },
	};
	for (size_t i = 0; i < ARRAY_LEN(both); i++)
		if (both[i].is_twice)
			return err_set(err, ERR_INVALID, 0, "conflicting options: cannot specify both --%s and %s", both[i].flag, both[i].what);
	strv_extend(&e->aliases, &o->network_alias);
	strv_extend(&e->link_local_ips, &o->link_local_ip);
	if (is_users_network(e->network))
		strv_extend(&e->links, &o->link);
	if (o->ip)
		set(&e->ipv4_address, o->ip);
	if (o->ip6)
		set(&e->ipv6_address, o->ip6);
	if (o->mac_address)
		set(&e->mac_address, o->mac_address);
	return 0;
}

static int build_network(struct container_config *c, const struct run_opts *o, struct err *err)
{
	int r = each(c, &o->publish, NULL, flag_parse_publish, err);
	if (r == 0)
		r = each(c, &o->add_host, "--add-host", flag_parse_add_host, err);
	if (r == 0)
		r = each(c, &o->network, "--network", flag_parse_network, err);
	if (r < 0)
		return r;
	set(&c->network_mode, c->endpoints_n ? c->endpoints[0].network : "default");
	set(&c->mac_address, o->mac_address);
	if (!c->endpoints_n && (o->ip || o->ip6 || o->network_alias.n || o->link_local_ip.n))
		config_add_endpoint(c)->network = str_dup("default");
	r = check_networks(c, err);
	if (r == 0 && c->endpoints_n)
		r = add_network_flags(c, o, err);
	if (r == 0)
		r = check_names(o, err);
	return r < 0 ? r : check_shared_network(c, o, err);
}

int run_flags_isolation(const char *value, const char **ret_level, struct err *err)
{
	static const char *const known[] = { "auto", "container", "sandbox", "microvm", "vm", "wasm", NULL };
	enum isolation_level level = ISOLATION_CONTAINER;
	const struct isolation *isolation;

	/* Nothing asks for more yet: neither a policy nor an image can. */
	if (str_eq(value, "auto"))
		value = "container";
	int r = isolation_level_parse(value, &level, err);
	if (r < 0) {
		const char *nearest = str_nearest(value, known);
		err_set(err, ERR_INVALID, 0, "invalid isolation (%s): it is auto, container, sandbox, microvm, vm or wasm", value);
		if (nearest)
			err_hint(err, "--isolation %s", nearest);
		return r;
	}
	r = isolation_get(level, &isolation, err);
	if (r < 0)
		return r;
	*ret_level = isolation_level_name(level);
	return 0;
}

/* The strongest word wins: the flag, the runtime's name, a platform that only
 * one level has, the user's default. */
static int build_isolation(struct container_config *c, const struct run_opts *o, struct err *err)
{
	const char *level = NULL, *runtime_level = NULL;
	const char *wanted = o->isolation;

	if (str_is_empty(wanted) && str_is_empty(o->runtime))
		wanted = o->platform && str_starts_with(o->platform, "wasi/") ? "wasm" : getenv("HULL_ISOLATION");
	int r = run_flags_isolation(wanted, &level, err);
	if (r < 0)
		return r;
	struct err inner = ERR_INIT;
	r = run_flags_isolation(o->runtime, &runtime_level, &inner);
	if (r < 0 && inner.kind == ERR_INVALID)
		return err_set(err, ERR_INVALID, 0, "unknown or invalid runtime name: %s", o->runtime);
	if (r < 0) {
		*err = inner;
		return r;
	}
	set(&c->isolation, str_is_empty(wanted) && !str_is_empty(o->runtime) ? runtime_level : level);
	return 0;
}

int run_flags_build(const struct run_opts *o, bool is_run, int argc, char **argv, struct container_config **ret, struct err *err)
{
	CLEANUP_CONTAINER_CONFIG struct container_config *c = container_config_new();

	if (o->pull && !str_eq(o->pull, "always") && !str_eq(o->pull, "missing") && !str_eq(o->pull, "never"))
		return err_set(err, ERR_INVALID, 0, "invalid pull option: '%s': must be one of \"always\", \"missing\" or \"never\"",
			       o->pull);
	copy_host(c, o);
	int r = attach_streams(c, o, is_run, err);
	if (r == 0)
		r = build_isolation(c, o, err);
	if (r == 0)
		r = build_config(c, o, argc, argv, err);
	if (r == 0)
		r = build_health(c, o, err);
	if (r == 0)
		r = build_limits(c, o, err);
	if (r == 0)
		r = check_memory(c, err);
	if (r == 0)
		r = build_host(c, o, err);
	if (r == 0)
		r = build_network(c, o, err);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(c);
	return 0;
}

int run_flags_build_update(const struct run_opts *o, struct container_config **ret, struct err *err)
{
	CLEANUP_CONTAINER_CONFIG struct container_config *c = container_config_new();
	int r = build_limits(c, o, err);
	if (r == 0 && o->restart)
		r = flag_parse_restart(c, o->restart, err);
	if (r == 0 && o->network_rate) {
		/* What is not said stays. */
		c->network_rate_in = c->network_rate_out = -1;
		r = flag_parse_network_rate(o->network_rate, &c->network_rate_in, &c->network_rate_out, err);
		c->has_network_rate_in = c->network_rate_in >= 0;
		c->has_network_rate_out = c->network_rate_out >= 0;
	}
	if (r < 0)
		return r;
	*ret = TAKE_PTR(c);
	return 0;
}

bool run_flags_is_engines(const struct err *err)
{
	static const char *const starts[] = {
		"invalid isolation", "isolation level", "unknown or invalid runtime", "Minimum memory", "You should always set the Memory",
		"Conflicting options: Nano", "invalid CPU shares", "CPU cfs", "Range of blkio", "Invalid value", "invalid value:",
		"invalid volume specification", "invalid mount", "invalid CapAdd", "invalid CapDrop",
	};

	for (size_t i = 0; i < ARRAY_LEN(starts); i++)
		if (str_starts_with(err->msg, starts[i]))
			return true;
	return err->kind != ERR_INVALID && err->kind != ERR_SYSTEM;
}
