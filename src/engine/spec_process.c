/* SPDX-License-Identifier: Apache-2.0 */
/* The process of a launch description. */
#include <linux/capability.h>
#include <sys/prctl.h>
#include <string.h>
#include <strings.h>

#include "spec_builder.h"
#include "spec_parts.h"
#include "user_lookup.h"

int spec_args(const struct container_config *c, const struct image_config *image, struct strv *ret, struct err *err)
{
	/* An entry point of the user's drops the image's command as well. */
	const struct strv *entry = c->has_entrypoint ? &c->entrypoint : &image->entrypoint;
	const struct strv *cmd = c->has_cmd && c->cmd.n ? &c->cmd : c->has_entrypoint ? &c->cmd : &image->cmd;
	bool is_none = entry->n == 1 && entry->v[0][0] == '\0';
	if (!is_none)
		strv_extend(ret, entry);
	strv_extend(ret, cmd);
	if (ret->n == 0)
		return err_set(err, ERR_INVALID, 0, "no command specified");
	return 0;
}

static size_t key_len(const char *pair)
{
	const char *eq = strchr(pair, '=');
	return eq ? (size_t)(eq - pair) : strlen(pair);
}

static void env_put(struct strv *env, const char *pair)
{
	size_t len = key_len(pair);
	for (size_t i = 0; i < env->n; i++) {
		if (key_len(env->v[i]) != len || strncmp(env->v[i], pair, len) != 0)
			continue;
		free(env->v[i]);
		if (pair[len] == '=') {
			env->v[i] = str_dup(pair);
		} else { /* no value: the variable goes */
			memmove(&env->v[i], &env->v[i + 1], (env->n - i) * sizeof(*env->v));
			env->n--;
		}
		return;
	}
	if (pair[len] == '=')
		strv_add(env, pair);
}

static bool env_has(const struct strv *env, const char *key)
{
	for (size_t i = 0; i < env->n; i++)
		if (key_len(env->v[i]) == strlen(key) && str_starts_with(env->v[i], key))
			return true;
	return false;
}

void spec_env(const struct container_config *c, const struct image_config *image, const char *home, struct strv *ret)
{
	strv_add(ret, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
	if (!str_is_empty(c->hostname))
		strv_printf(ret, "HOSTNAME=%s", c->hostname);
	if (c->tty)
		strv_add(ret, "TERM=xterm");
	for (size_t i = 0; i < image->env.n; i++)
		env_put(ret, image->env.v[i]);
	for (size_t i = 0; i < c->env.n; i++)
		env_put(ret, c->env.v[i]);
	if (home && !env_has(ret, "HOME"))
		strv_printf(ret, "HOME=%s", home);
}

void spec_env_add(struct strv *env, const struct strv *more, const char *home)
{
	for (size_t i = 0; i < more->n; i++)
		env_put(env, more->v[i]);
	if (!env_has(env, "HOME"))
		strv_printf(env, "HOME=%s", home);
}

#define BIT(n) (UINT64_C(1) << (n))
#define CAPS_DEFAULT                                                                                             \
	(BIT(CAP_CHOWN) | BIT(CAP_DAC_OVERRIDE) | BIT(CAP_FSETID) | BIT(CAP_FOWNER) | BIT(CAP_MKNOD) |           \
	 BIT(CAP_NET_RAW) | BIT(CAP_SETGID) | BIT(CAP_SETUID) | BIT(CAP_SETFCAP) | BIT(CAP_SETPCAP) |            \
	 BIT(CAP_NET_BIND_SERVICE) | BIT(CAP_SYS_CHROOT) | BIT(CAP_KILL) | BIT(CAP_AUDIT_WRITE))

/* All that this machine grants: hull itself may run with a bounded set, and the
 * kernel gives no more than that. */
static uint64_t caps_all(void)
{
	uint64_t all = 0;
	for (int i = 0; spec_capability_name(i); i++)
		if (prctl(PR_CAPBSET_READ, i, 0, 0, 0) == 1)
			all |= BIT(i);
	return all;
}

static int caps_parse(const struct strv *names, uint64_t *ret, bool *ret_all, const char *what, struct err *err)
{
	for (size_t i = 0; i < names->n; i++) {
		if (strcasecmp(names->v[i], "ALL") == 0) {
			*ret_all = true;
			continue;
		}
		int n = spec_capability_number(names->v[i]);
		if (n < 0)
			return err_set(err, ERR_INVALID, 0, "invalid %s: unknown capability: \"%s\"", what, names->v[i]);
		*ret |= BIT(n);
	}
	return 0;
}

int spec_capabilities(const struct strv *add, const struct strv *drop, bool privileged, bool is_root,
		      struct spec_capabilities *ret, struct err *err)
{
	uint64_t added = 0, dropped = 0, caps = CAPS_DEFAULT;
	bool add_all = false, drop_all = false;
	int r = caps_parse(add, &added, &add_all, "CapAdd", err);
	if (r == 0)
		r = caps_parse(drop, &dropped, &drop_all, "CapDrop", err);
	if (r < 0)
		return r;
	if (privileged)
		caps = caps_all();
	else if (add_all)
		caps = caps_all() & ~dropped;
	else if (drop_all)
		caps = added;
	else
		caps = (caps | added) & ~dropped;
	*ret = (struct spec_capabilities){ .bounding = caps };
	/* A user other than root has none but keeps the bound, as in Docker. */
	if (is_root)
		ret->effective = ret->permitted = caps;
	return 0;
}

bool spec_no_new_privileges(const struct container_config *c)
{
	for (size_t i = 0; i < c->security_opt.n; i++) {
		const char *o = c->security_opt.v[i];
		if (str_eq(o, "no-new-privileges") || str_eq(o, "no-new-privileges:true") ||
		    str_eq(o, "no-new-privileges=true"))
			return true;
	}
	return false;
}

int spec_rlimits(const struct container_config *c, struct spec_process *p, struct err *err)
{
	if (!c->ulimits_n)
		return 0;
	p->rlimits = mem_calloc(c->ulimits_n, sizeof(*p->rlimits));
	for (size_t i = 0; i < c->ulimits_n; i++) {
		const struct config_ulimit *u = &c->ulimits[i];
		int n = spec_rlimit_number(u->name);
		if (n < 0)
			return err_set(err, ERR_INVALID, 0, "invalid ulimit type: %s", u->name);
		if (u->hard >= 0 && (u->soft < 0 || u->soft > u->hard))
			return err_set(err, ERR_INVALID, 0, "ulimit soft limit must be less than or equal to hard limit: %jd > %jd",
				       (intmax_t)u->soft, (intmax_t)u->hard);
		p->rlimits[p->rlimits_n++] = (struct spec_rlimit){
			.resource = n,
			.soft = u->soft < 0 ? UINT64_MAX : (uint64_t)u->soft,
			.hard = u->hard < 0 ? UINT64_MAX : (uint64_t)u->hard,
		};
	}
	return 0;
}

int spec_build_process(const struct spec_inputs *in, struct runtime_spec *spec, struct err *err)
{
	const struct container_config *c = in->config;
	struct spec_process *p = &spec->process;
	CLEANUP_FREE char *home = NULL;
	const char *user = !str_is_empty(c->user) ? c->user : in->image->user;
	int r = user_lookup(in->layers, spec->upper, user, &c->group_add, &p->user, &home, err);
	if (r == 0)
		r = spec_args(c, in->image, &p->args, err);
	if (r == 0)
		r = spec_capabilities(&c->cap_add, &c->cap_drop, c->privileged, p->user.uid == 0, &p->caps, err);
	if (r == 0)
		r = spec_rlimits(c, p, err);
	if (r < 0)
		return r;
	spec_env(c, in->image, home, &p->env);
	const char *cwd = !str_is_empty(c->working_dir) ? c->working_dir : in->image->workdir;
	p->cwd = str_is_empty(cwd) ? str_dup("/") : *cwd == '/' ? str_dup(cwd) : str_printf("/%s", cwd);
	p->terminal = c->tty;
	p->console_rows = c->console_rows;
	p->console_cols = c->console_cols;
	p->no_new_privileges = spec_no_new_privileges(c);
	p->has_oom_score_adj = c->oom_score_adj != 0;
	p->oom_score_adj = (int)c->oom_score_adj;
	return 0;
}
