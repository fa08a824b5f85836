/* SPDX-License-Identifier: Apache-2.0 */
#include "config_check.h"

#include <string.h>

#define IFNAME_OPTION "com.docker.network.endpoint.ifname="

static bool is_bool(const char *s)
{
	bool ignored;
	return str_parse_bool(s, &ignored) == 0;
}

static int check_security_opt(const char *opt, struct err *err)
{
	size_t len = strcspn(opt, "=:");
	const char *value = opt[len] ? opt + len + 1 : NULL;
	CLEANUP_FREE char *key = str_ndup(opt, len);

	if (str_eq(key, "no-new-privileges") && (!value || is_bool(value)))
		return 0;
	if (value && (str_eq(key, "seccomp") || str_eq(key, "label") || str_eq(opt, "systempaths=unconfined")))
		return 0;
	/* No profile is what is given. */
	if (value && str_eq(key, "apparmor") && (str_eq(value, "unconfined") || !*value))
		return 0;
	if (value && str_eq(key, "apparmor")) {
		int r = err_set(err, ERR_UNSUPPORTED, 0, "AppArmor profile %s is not applied", value);
		err_why(err, "this version of hull confines by namespaces, capabilities and seccomp only");
		err_hint(err, "--security-opt apparmor=unconfined");
		return r;
	}
	return err_set(err, ERR_INVALID, 0, "invalid --security-opt 2: \"%s\"", opt);
}

static int refuse(struct err *err, const char *flag, const char *why, const char *hint)
{
	int r = err_set(err, ERR_UNSUPPORTED, 0, "%s is not supported", flag);
	err_why(err, "%s", why);
	if (hint)
		err_hint(err, "%s", hint);
	return r;
}

int config_check_endpoint(const struct config_endpoint *e, struct err *err)
{
	static const char *const users[] = { "", "default", "bridge", "host", "none" };
	bool is_users = e->network && !str_starts_with(e->network, "container:");
	for (size_t i = 0; i < ARRAY_LEN(users); i++)
		is_users &= !str_eq(e->network, users[i]);
	if (!is_users && (e->ipv4_address || e->ipv6_address))
		return err_set(err, ERR_INVALID, 0, "user specified IP address is supported on user defined networks only");
	if (!is_users && e->aliases.n)
		return err_set(err, ERR_INVALID, 0, "network-scoped alias is supported only for containers in user defined networks");
	if (e->link_local_ips.n)
		return refuse(err, "--link-local-ip", "an interface gets its link-local address from the kernel", NULL);
	for (size_t i = 0; i < e->driver_opts.n; i++) {
		const char *name = str_starts_with(e->driver_opts.v[i], IFNAME_OPTION) ? e->driver_opts.v[i] + strlen(IFNAME_OPTION) : NULL;
		if (!name)
			return err_set(err, ERR_UNSUPPORTED, 0, "unknown driver-opt %s", e->driver_opts.v[i]);
		if (!*name || strlen(name) > 15 || strpbrk(name, "/ :%") || str_eq(name, "lo") || *name == '.')
			return err_set(err, ERR_INVALID, 0, "invalid interface name %s", name);
	}
	return 0;
}

int config_check_supported(const struct container_config *config, struct err *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < config->security_opt.n; i++)
		r = check_security_opt(config->security_opt.v[i], err);
	for (size_t i = 0; r == 0 && i < config->endpoints_n; i++)
		r = config_check_endpoint(&config->endpoints[i], err);
	if (r)
		return r;
	bool has_rate = config->network_rate_in || config->network_rate_out;
	if ((config->egress.n || has_rate) && (str_eq(config->network_mode, "host") || str_eq(config->network_mode, "none") ||
					       str_starts_with(config->network_mode ? config->network_mode : "", "container:")))
		return err_set(err, ERR_INVALID, 0, "conflicting options: %s and the network mode %s",
			       config->egress.n ? "--egress" : "--network-rate", config->network_mode);
	if (config->storage_opt.n)
		return refuse(err, "--storage-opt", "what a container changes is limited by the file system of hull's folder only", NULL);
	if (!str_is_empty(config->cgroup_parent))
		return refuse(err, "--cgroup-parent", "control groups are named hull/ID, so that a dead container's are always found", NULL);
	return 0;
}
