/* SPDX-License-Identifier: Apache-2.0 */
#include "config_check.h"

#include <string.h>

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

static int check_endpoint(const struct config_endpoint *e, struct err *err)
{
	if (e->ipv4_address || e->ipv6_address || e->link_local_ips.n)
		return err_set(err, ERR_INVALID, 0, "user specified IP address is supported on user defined networks only");
	if (e->aliases.n)
		return err_set(err, ERR_INVALID, 0, "network-scoped alias is supported only for containers in user defined networks");
	if (e->driver_opts.n)
		return err_set(err, ERR_UNSUPPORTED, 0, "network %s takes no driver-opt", e->network ? e->network : "bridge");
	return 0;
}

static int refuse(struct err *err, const char *flag, const char *why, const char *hint)
{
	int r = err_set(err, ERR_UNSUPPORTED, 0, "%s is not supported", flag);
	err_why(err, "%s", why);
	if (hint)
		err_hint(err, "%s", hint);
	return r;
}

int config_check_supported(const struct container_config *config, struct err *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < config->security_opt.n; i++)
		r = check_security_opt(config->security_opt.v[i], err);
	for (size_t i = 0; r == 0 && i < config->endpoints_n; i++)
		r = check_endpoint(&config->endpoints[i], err);
	if (r)
		return r;
	if (config->endpoints_n > 1)
		return refuse(err, "more than one --network", "this version of hull connects a container to one network", NULL);
	if (config->storage_opt.n)
		return refuse(err, "--storage-opt", "what a container changes is limited by the file system of hull's folder only", NULL);
	if (config->links.n)
		return refuse(err, "--link", "Docker, too, has given it up", "--network container:NAME, or --add-host NAME:ADDRESS");
	if (!str_is_empty(config->cgroup_parent))
		return refuse(err, "--cgroup-parent", "control groups are named hull/ID, so that a dead container's are always found", NULL);
	return 0;
}
