/* SPDX-License-Identifier: Apache-2.0 */
#include "landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cleanup.h"

/* Newer than the headers of Linux 6.1: truncation (version 3), control of devices
 * (version 5). */
#define FS_TRUNCATE (1ull << 14)
#define FS_IOCTL_DEV (1ull << 15)

#define FS_VERSION_1 ((LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1ull)
#define OF_FILES                                                                                                       \
	(LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_READ_FILE | FS_TRUNCATE | FS_IOCTL_DEV)
#define OF_READING (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)

static uint64_t known_rights(void)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	uint64_t rights = abi >= 1 ? FS_VERSION_1 : 0;
	rights |= abi >= 2 ? LANDLOCK_ACCESS_FS_REFER : 0;
	rights |= abi >= 3 ? FS_TRUNCATE : 0;
	rights |= abi >= 5 ? FS_IOCTL_DEV : 0;
	return rights;
}

int landlock_open(int min_abi)
{
	if (syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) < min_abi)
		return -EOPNOTSUPP;
	uint64_t rights = known_rights();
	/* Only the first field, which all versions have. */
	int fd = (int)syscall(SYS_landlock_create_ruleset, &rights, sizeof(rights), 0);
	return fd < 0 ? -errno : fd;
}

int landlock_allow(int rules, int fd, unsigned what)
{
	uint64_t rights = what & LANDLOCK_READING ? OF_READING : 0;
	struct stat st;
	if (what & LANDLOCK_CHANGING)
		rights |= known_rights() & ~(uint64_t)(OF_READING | LANDLOCK_ACCESS_FS_EXECUTE);
	if (what & LANDLOCK_EXECUTING)
		rights |= LANDLOCK_ACCESS_FS_EXECUTE;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISDIR(st.st_mode))
		rights &= OF_FILES;
	struct landlock_path_beneath_attr rule = { .allowed_access = rights, .parent_fd = fd };
	return syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0 ? -errno : 0;
}

int landlock_allow_path(int rules, const char *path, unsigned what)
{
	CLEANUP_FD int fd = open(path, O_PATH | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT || errno == EACCES || errno == ENOTDIR || errno == ELOOP ? 0 : -errno;
	return landlock_allow(rules, fd, what);
}

int landlock_enforce(int rules)
{
	return syscall(SYS_landlock_restrict_self, rules, 0) < 0 ? -errno : 0;
}

int landlock_forbid_paths(void)
{
	CLEANUP_FD int rules = landlock_open(1);
	return rules == -EOPNOTSUPP ? 0 : rules < 0 ? rules : landlock_enforce(rules);
}
