/* SPDX-License-Identifier: Apache-2.0 */
#include "isolation.h"

#include <string.h>

#include "container.h"
#include "isolation_microvm.h"
#include "isolation_sandbox.h"

static const char *const level_names[] = {
	[ISOLATION_CONTAINER] = "container", [ISOLATION_SANDBOX] = "sandbox", [ISOLATION_MICROVM] = "microvm",
	[ISOLATION_VM] = "vm",               [ISOLATION_WASM] = "wasm",
};
static_assert(ARRAY_LEN(level_names) == ISOLATION_LEVEL_COUNT, "a name for each level");

/* Names that Docker users' files carry already. A "*" at the end matches any rest. */
static const struct {
	const char *name;
	enum isolation_level level;
} aliases[] = {
	{ "", ISOLATION_CONTAINER },     { "default", ISOLATION_CONTAINER }, { "process", ISOLATION_CONTAINER },
	{ "runc", ISOLATION_CONTAINER }, { "crun", ISOLATION_CONTAINER },    { "hyperv", ISOLATION_MICROVM },
	{ "kata*", ISOLATION_MICROVM },  { "krun", ISOLATION_MICROVM },      { "runsc", ISOLATION_SANDBOX },
	{ "gvisor", ISOLATION_SANDBOX },
};

const char *isolation_level_name(enum isolation_level level)
{
	return level_names[level];
}

static bool alias_matches(const char *alias, const char *name)
{
	size_t n = strlen(alias);
	if (n && alias[n - 1] == '*')
		return strncmp(alias, name, n - 1) == 0;
	return strcmp(alias, name) == 0;
}

/* "io.containerd.kata.v2" is "kata". */
static char *strip_shim_name(const char *name)
{
	static const char prefix[] = "io.containerd.", suffix[] = ".v2";
	size_t n = strlen(name);
	if (str_starts_with(name, prefix) && str_ends_with(name, suffix) && n > sizeof(prefix) + sizeof(suffix) - 2)
		return str_ndup(name + sizeof(prefix) - 1, n - (sizeof(prefix) - 1) - (sizeof(suffix) - 1));
	return str_dup(name);
}

int isolation_level_parse(const char *name, enum isolation_level *ret, struct err *err)
{
	CLEANUP_FREE char *plain = strip_shim_name(name ? name : "");
	for (int i = 0; i < ISOLATION_LEVEL_COUNT; i++)
		if (str_eq(plain, level_names[i])) {
			*ret = (enum isolation_level)i;
			return 0;
		}
	for (size_t i = 0; i < ARRAY_LEN(aliases); i++)
		if (alias_matches(aliases[i].name, plain)) {
			*ret = aliases[i].level;
			return 0;
		}
	int r = err_set(err, ERR_INVALID, 0, "invalid isolation (%s)", name);
	err_why(err, "the levels are container, sandbox, microvm, vm and wasm");
	return r;
}

int isolation_get(enum isolation_level level, const struct isolation **ret, struct err *err)
{
	if ((unsigned)level >= ISOLATION_LEVEL_COUNT)
		return err_set(err, ERR_INVALID, 0, "there is no isolation level %u", (unsigned)level);
	if (level == ISOLATION_CONTAINER) {
		*ret = &isolation_container;
		return 0;
	}
	if (level == ISOLATION_SANDBOX) {
		*ret = &isolation_sandbox;
		return 0;
	}
	if (level == ISOLATION_MICROVM) {
		*ret = &isolation_microvm;
		return 0;
	}
	static const char *const missing[] = {
		[ISOLATION_CONTAINER] = "",
		[ISOLATION_SANDBOX] = "",
		[ISOLATION_MICROVM] = "",
		[ISOLATION_VM] = "its machine (a QEMU driver) is not part of this version of hull",
		[ISOLATION_WASM] = "its WebAssembly engine is not part of this version of hull",
	};
	static_assert(ARRAY_LEN(missing) == ISOLATION_LEVEL_COUNT, "a reason for each level");
	int r = err_set(err, ERR_UNSUPPORTED, 0, "isolation level %s is not available", level_names[level]);
	err_why(err, "%s, and no weaker level is taken instead", missing[level]);
	err_hint(err, "--isolation=container   (the nearest level there is)");
	return r;
}
