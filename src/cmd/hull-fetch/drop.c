/* SPDX-License-Identifier: Apache-2.0 */
#include "drop.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cleanup.h"

#define NOBODY 65534

#if defined(__SANITIZE_ADDRESS__)
#define IS_SANITIZED true
#else
#define IS_SANITIZED false
#endif

static int drop_identity(void)
{
	struct __user_cap_header_struct h = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[2] = { 0 };
	if (geteuid() == 0 && (setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 ||
			       setresuid(NOBODY, NOBODY, NOBODY) < 0))
		return -errno;
	return syscall(SYS_capset, &h, none) < 0 ? -errno : 0;
}

/* Name services and certificates are read from these; nothing is written or
 * executed. Extra cover, where the kernel has it. */
static void limit_paths(void)
{
	static const char *const readable[] = { "/etc", "/usr", "/lib", "/lib64", "/run", "/var/run", "/dev/urandom", "/proc" };
	const uint64_t all = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1;
	struct landlock_ruleset_attr attr = { .handled_access_fs = all };
	CLEANUP_FD int rules = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
	if (rules < 0)
		return;
	for (size_t i = 0; i < ARRAY_LEN(readable); i++) {
		CLEANUP_FD int fd = open(readable[i], O_PATH | O_CLOEXEC);
		struct landlock_path_beneath_attr rule = { .allowed_access = LANDLOCK_ACCESS_FS_READ_FILE, .parent_fd = fd };
		if (fd >= 0 && strncmp(readable[i], "/dev", 4) != 0)
			rule.allowed_access |= LANDLOCK_ACCESS_FS_READ_DIR;
		if (fd >= 0)
			(void)!syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
	}
	(void)!syscall(SYS_landlock_restrict_self, rules, 0);
}

int drop_privileges(struct err *err)
{
	struct rlimit none = { 0, 0 };
	int r = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || setrlimit(RLIMIT_CORE, &none) < 0 ? -errno : 0;
	if (r == 0 && !IS_SANITIZED)
		limit_paths();
	if (r == 0)
		r = drop_identity();
	/* After the change of user, which resets it. */
	if (r == 0 && !IS_SANITIZED && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		r = -errno;
	return r < 0 ? err_set(err, ERR_SYSTEM, r, "give up privileges") : 0;
}
