/* SPDX-License-Identifier: Apache-2.0 */
#include "drop.h"

#include "cleanup.h"
#include "landlock.h"
#include "privileges.h"

/* Name services and certificates are read from these; nothing is written or
 * executed. Extra cover, where the kernel has it. */
static int limit_paths(void)
{
	static const char *const readable[] = { "/etc", "/usr", "/lib", "/lib64", "/run", "/var/run", "/dev/urandom", "/proc" };
	CLEANUP_FD int rules = landlock_open(1);
	if (rules < 0)
		return rules == -EOPNOTSUPP ? 0 : rules;
	int r = 0;
	for (size_t i = 0; i < ARRAY_LEN(readable) && r == 0; i++)
		r = landlock_allow_path(rules, readable[i], LANDLOCK_READING);
	return r < 0 ? r : landlock_enforce(rules);
}

int drop_privileges(struct err *err)
{
	int r = privileges_refuse_new();
	if (r == 0 && !IS_SANITIZED)
		r = limit_paths();
	if (r == 0)
		r = privileges_drop(UID_NOBODY, UID_NOBODY, 0);
	if (r == 0)
		r = privileges_hide();
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "give up privileges") : 0;
}
