/* SPDX-License-Identifier: Apache-2.0 */
#include "privileges.h"

#include <errno.h>
#include <grp.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "process.h"

int privileges_refuse_new(void)
{
	struct rlimit none = { 0, 0 };
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || setrlimit(RLIMIT_CORE, &none) < 0 ? -errno : 0;
}

int privileges_drop(uid_t uid, gid_t gid, uint64_t keep)
{
	bool is_root = geteuid() == 0;
	if (is_root && (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0))
		return -errno;
	int r = is_root ? process_set_bounding(0) : 0;
	/* Root of a poor container, without CAP_SETPCAP: no_new_privs does as much. */
	if (r == -EPERM)
		r = 0;
	/* The change of user would take all capabilities away. */
	if (r == 0 && keep && prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
		r = -errno;
	if (r == 0 && is_root && setresuid(uid, uid, uid) < 0)
		r = -errno;
	return r < 0 ? r : process_set_capabilities(keep, keep, 0);
}

int privileges_hide(void)
{
	return !IS_SANITIZED && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ? -errno : 0;
}
