/* SPDX-License-Identifier: Apache-2.0 */
/* How it works: the profile is reduced to a list of rules (action and argument
 * conditions) for each call of each architecture, in the order of the document;
 * the first rule whose conditions hold decides, else the default action. That
 * is handed to the compiler in seccomp_compile.c. */
#include "seccomp_profile.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "json.h"
#include "runtime_spec.h"
#include "seccomp_compile.h"
#include "str.h"

/* Calls newer than the libseccomp of Debian 12; the same number everywhere but
 * for uretprobe, which only x86-64 has. */
static const struct {
	const char *name;
	int number;
} new_calls[] = {
	{ "cachestat", 451 },	  { "fchmodat2", 452 },	    { "map_shadow_stack", 453 }, { "futex_wake", 454 },
	{ "futex_wait", 455 },	  { "futex_requeue", 456 }, { "statmount", 457 },	  { "listmount", 458 },
	{ "lsm_get_self_attr", 459 }, { "lsm_set_self_attr", 460 }, { "lsm_list_modules", 461 }, { "mseal", 462 },
	{ "setxattrat", 463 },	  { "getxattrat", 464 },    { "listxattrat", 465 },	  { "removexattrat", 466 },
	{ "open_tree_attr", 467 }, { "file_getattr", 468 },  { "file_setattr", 469 },
};

static const struct {
	const char *name;    /* in profiles */
	const char *go_name; /* in "includes" and "excludes" */
	uint32_t token;	     /* libseccomp's and the kernel's */
} arches[] = {
	{ "SCMP_ARCH_X86_64", "amd64", SCMP_ARCH_X86_64 },
	{ "SCMP_ARCH_X86", "x86", SCMP_ARCH_X86 },
	{ "SCMP_ARCH_AARCH64", "arm64", SCMP_ARCH_AARCH64 },
	{ "SCMP_ARCH_ARM", "arm", SCMP_ARCH_ARM },
};
#if defined(__x86_64__)
#define NATIVE_ARCH 0
#elif defined(__aarch64__)
#define NATIVE_ARCH 2
#else
#error "seccomp profiles: x86-64 and aarch64 only"
#endif

static const struct {
	const char *name;
	uint32_t action;
} actions[] = {
	{ "SCMP_ACT_ALLOW", SECCOMP_RET_ALLOW },
	{ "SCMP_ACT_ERRNO", SECCOMP_RET_ERRNO },
	{ "SCMP_ACT_KILL", SECCOMP_RET_KILL_THREAD },
	{ "SCMP_ACT_KILL_THREAD", SECCOMP_RET_KILL_THREAD },
	{ "SCMP_ACT_KILL_PROCESS", SECCOMP_RET_KILL_PROCESS },
	{ "SCMP_ACT_TRAP", SECCOMP_RET_TRAP },
	{ "SCMP_ACT_TRACE", SECCOMP_RET_TRACE },
	{ "SCMP_ACT_LOG", SECCOMP_RET_LOG },
};

static const struct {
	const char *name;
	enum seccomp_op op;
} ops[] = {
	{ "SCMP_CMP_NE", SECCOMP_OP_NE }, { "SCMP_CMP_LT", SECCOMP_OP_LT },
	{ "SCMP_CMP_LE", SECCOMP_OP_LE }, { "SCMP_CMP_EQ", SECCOMP_OP_EQ },
	{ "SCMP_CMP_GE", SECCOMP_OP_GE }, { "SCMP_CMP_GT", SECCOMP_OP_GT },
	{ "SCMP_CMP_MASKED_EQ", SECCOMP_OP_MASKED_EQ },
};

static int parse_action(const struct json *object, const char *key, const char *errno_key, int64_t errno_default,
			uint32_t *ret, struct err *err)
{
	const char *name = json_get_str(object, key);
	int64_t number = json_get_i64(object, errno_key, errno_default);

	if (!name)
		return err_set(err, ERR_INVALID, 0, "seccomp profile: \"%s\" is missing", key);
	for (size_t i = 0; i < ARRAY_LEN(actions); i++) {
		if (!str_eq(name, actions[i].name))
			continue;
		bool has_data = actions[i].action == SECCOMP_RET_ERRNO || actions[i].action == SECCOMP_RET_TRACE;
		if (has_data && (number < 0 || number > 4095))
			return err_set(err, ERR_INVALID, 0, "seccomp profile: \"%s\" must be 0 to 4095", errno_key);
		*ret = actions[i].action | (has_data ? (uint32_t)number : 0);
		return 0;
	}
	if (str_eq(name, "SCMP_ACT_NOTIFY"))
		return err_set(err, ERR_UNSUPPORTED, 0, "seccomp profile: SCMP_ACT_NOTIFY is not supported");
	return err_set(err, ERR_INVALID, 0, "seccomp profile: unknown action \"%.80s\"", name);
}

/* An unsigned 64-bit number; JSON integers above INT64_MAX do not parse. */
static int parse_value(const struct json *object, const char *key, uint64_t *ret)
{
	const struct json *v = json_get(object, key);

	*ret = 0;
	if (!v)
		return 0;
	if (json_kind(v) != JT_INTEGER)
		return -EINVAL;
	*ret = (uint64_t)json_i64(v, 0);
	return 0;
}

static int parse_condition(const struct json *v, struct seccomp_condition *ret, struct err *err)
{
	const char *op = json_get_str(v, "op");
	int64_t index = json_get_i64(v, "index", 0);

	if (index < 0 || index > 5)
		return err_set(err, ERR_INVALID, 0, "seccomp profile: argument index %lld is not 0 to 5",
			       (long long)index);
	ret->index = (uint8_t)index;
	if (parse_value(v, "value", &ret->value) < 0 || parse_value(v, "valueTwo", &ret->value_two) < 0)
		return err_set(err, ERR_INVALID, 0, "seccomp profile: an argument's value must be an integer");
	for (size_t i = 0; op && i < ARRAY_LEN(ops); i++)
		if (str_eq(op, ops[i].name)) {
			ret->op = ops[i].op;
			return 0;
		}
	return err_set(err, ERR_INVALID, 0, "seccomp profile: unknown comparison \"%.80s\"", op ? op : "");
}

/* "5.10" against the running kernel. */
static bool is_kernel_at_least(const char *want)
{
	struct utsname u;
	unsigned have_major = 0, have_minor = 0, major = 0, minor = 0;

	if (uname(&u) < 0 || sscanf(u.release, "%u.%u", &have_major, &have_minor) != 2 ||
	    sscanf(want, "%u.%u", &major, &minor) != 2)
		return false;
	return have_major > major || (have_major == major && have_minor >= minor);
}

static bool has_cap(uint64_t caps, const char *name)
{
	int number = spec_capability_number(name);

	return number >= 0 && number < 64 && (caps & (UINT64_C(1) << number));
}

/* Whether "includes" and "excludes" let rule @v take part: all included
 * capabilities, no excluded one; the machine's architecture. */
static int applies(const struct json *v, uint64_t caps, bool *ret, struct err *err)
{
	const struct json *in = json_get(v, "includes"), *out = json_get(v, "excludes");
	CLEANUP_STRV struct strv in_caps = { 0 }, out_caps = { 0 };
	CLEANUP_STRV struct strv in_arches = { 0 }, out_arches = { 0 };

	if (json_get_strv(in, "caps", &in_caps) < 0 || json_get_strv(out, "caps", &out_caps) < 0 ||
	    json_get_strv(in, "arches", &in_arches) < 0 || json_get_strv(out, "arches", &out_arches) < 0)
		return err_set(err, ERR_INVALID, 0,
			       "seccomp profile: \"caps\" and \"arches\" must be lists of strings");
	*ret = true;
	for (size_t i = 0; i < in_caps.n; i++)
		*ret = *ret && has_cap(caps, in_caps.v[i]);
	for (size_t i = 0; i < out_caps.n; i++)
		*ret = *ret && !has_cap(caps, out_caps.v[i]);
	if (in_arches.n)
		*ret = *ret && strv_contains(&in_arches, arches[NATIVE_ARCH].go_name);
	*ret = *ret && !strv_contains(&out_arches, arches[NATIVE_ARCH].go_name);
	const char *in_kernel = json_get_str(in, "minKernel"), *out_kernel = json_get_str(out, "minKernel");
	if (in_kernel)
		*ret = *ret && is_kernel_at_least(in_kernel);
	if (out_kernel)
		*ret = *ret && !is_kernel_at_least(out_kernel);
	return 0;
}

static int call_number(const char *name, uint32_t token)
{
	int number = seccomp_syscall_resolve_name_arch(token, name);

	if (number >= 0)
		return number;
	if (token == SCMP_ARCH_X86_64 && str_eq(name, "uretprobe"))
		return 335;
	for (size_t i = 0; i < ARRAY_LEN(new_calls); i++)
		if (str_eq(name, new_calls[i].name))
			return new_calls[i].number;
	return -1;
}

static int add_rule(struct seccomp_policy *policy, const struct strv *names, const struct seccomp_rule *rule,
		    struct err *err)
{
	int r = 0;

	for (size_t a = 0; r == 0 && a < policy->arches_n; a++)
		for (size_t i = 0; r == 0 && i < names->n; i++) {
			int number = call_number(names->v[i], policy->arches[a].token);
			if (number >= 0)
				r = seccomp_policy_add(policy, a, (uint32_t)number, rule);
		}
	return r < 0 ? err_set(err, ERR_INVALID, r, "seccomp profile: too many rules") : 0;
}

static int parse_syscall(const struct json *v, uint64_t caps, int64_t errno_default, struct seccomp_policy *policy,
			 struct err *err)
{
	CLEANUP_STRV struct strv names = { 0 };
	struct seccomp_rule rule = { 0 };
	const struct json *args = json_get(v, "args");
	const char *name = json_get_str(v, "name");
	size_t n = json_array_len(args);
	bool is_taken = false, is_index_twice = false;
	unsigned indexes = 0;

	if (json_kind(v) != JT_OBJECT)
		return err_set(err, ERR_INVALID, 0, "seccomp profile: each of \"syscalls\" must be an object");
	if (json_get_strv(v, "names", &names) < 0)
		return err_set(err, ERR_INVALID, 0, "seccomp profile: \"names\" must be a list of strings");
	if (!str_is_empty(name) && names.n)
		return err_set(err, ERR_INVALID, 0,
			       "seccomp profile: use either 'name' or 'names' in a syscall, not both");
	if (!str_is_empty(name))
		strv_add(&names, name);
	int r = parse_action(v, "action", "errnoRet", errno_default, &rule.action, err);
	if (r == 0)
		r = applies(v, caps, &is_taken, err);
	if (r < 0 || !is_taken)
		return r;
	if (n > SECCOMP_CONDITIONS_MAX)
		return err_set(err, ERR_INVALID, 0, "seccomp profile: more than %d arguments in one rule",
			       SECCOMP_CONDITIONS_MAX);
	for (size_t i = 0; i < n; i++) {
		r = parse_condition(json_array_at(args, i), &rule.conditions[i], err);
		if (r < 0)
			return r;
		is_index_twice = is_index_twice || (indexes & (1u << rule.conditions[i].index));
		indexes |= 1u << rule.conditions[i].index;
	}
	rule.conditions_n = (uint8_t)n;
	if (!is_index_twice)
		return add_rule(policy, &names, &rule, err);
	/* Docker's oddity: an argument named twice makes each condition a rule
	 * of its own, that is "or" instead of "and". */
	for (size_t i = 0; r == 0 && i < n; i++) {
		struct seccomp_rule one = { .action = rule.action, .conditions_n = 1 };
		one.conditions[0] = rule.conditions[i];
		r = add_rule(policy, &names, &one, err);
	}
	return r;
}

static int add_arch(struct seccomp_policy *policy, const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(arches); i++)
		if (str_eq(name, arches[i].name))
			return seccomp_policy_add_arch(policy, arches[i].token);
	return 0; /* one this machine cannot run, or x32, which stays refused */
}

/* The native architecture always; its companions if the profile names them. */
static int parse_arches(const struct json *root, struct seccomp_policy *policy, struct err *err)
{
	const struct json *map = json_get(root, "archMap");
	CLEANUP_STRV struct strv list = { 0 };

	if (json_get_strv(root, "architectures", &list) < 0)
		return err_set(err, ERR_INVALID, 0, "seccomp profile: \"architectures\" must be a list of strings");
	if (list.n && json_array_len(map))
		return err_set(err, ERR_INVALID, 0,
			       "seccomp profile: use either 'architectures' or 'archMap', not both");
	for (size_t i = 0; i < json_array_len(map); i++) {
		const struct json *entry = json_array_at(map, i);
		if (str_eq(json_get_str(entry, "architecture"), arches[NATIVE_ARCH].name) &&
		    json_get_strv(entry, "subArchitectures", &list) < 0)
			return err_set(err, ERR_INVALID, 0,
				       "seccomp profile: \"subArchitectures\" must be a list of strings");
	}
	int r = seccomp_policy_add_arch(policy, arches[NATIVE_ARCH].token);
	for (size_t i = 0; r == 0 && i < list.n; i++)
		r = add_arch(policy, list.v[i]);
	return r < 0 ? err_set(err, ERR_INVALID, r, "seccomp profile: architectures") : 0;
}

int seccomp_profile_compile(const char *json, size_t len, uint64_t caps, struct sock_filter **ret, size_t *ret_n,
			    struct err *err)
{
	CLEANUP_JSON struct json *root = NULL;
	CLEANUP(seccomp_policy_done) struct seccomp_policy policy = { 0 };
	struct json *syscalls = NULL;
	int r = json_parse(json, len, "seccomp profile", &root, err);

	if (r < 0)
		return r;
	if (json_kind(root) != JT_OBJECT)
		return err_set(err, ERR_INVALID, 0, "seccomp profile: must be an object");
	r = parse_action(root, "defaultAction", "defaultErrnoRet", EPERM, &policy.default_action, err);
	if (r == 0)
		r = parse_arches(root, &policy, err);
	if (r == 0)
		r = json_check(root, "syscalls", JT_ARRAY, "seccomp profile", &syscalls, err);
	for (size_t i = 0; r == 0 && i < json_array_len(syscalls); i++)
		/* Docker: a rule without errnoRet answers EPERM whatever the default. */
		r = parse_syscall(json_array_at(syscalls, i), caps, EPERM, &policy, err);
	if (r < 0)
		return r;
	r = seccomp_policy_compile(&policy, ret, ret_n);
	if (r == -E2BIG) {
		r = err_set(err, ERR_INVALID, r, "seccomp profile");
		err_why(err, "the filter would have more than %d instructions, the kernel's limit", BPF_MAXINSNS);
		return r;
	}
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "compile the seccomp profile") : 0;
}
