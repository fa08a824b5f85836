/* SPDX-License-Identifier: Apache-2.0 */
#include "project_quota.h"

#include <errno.h>
#include <linux/dqblk_xfs.h>
#include <linux/fs.h>
#include <linux/quota.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_quotactl_fd
#define SYS_quotactl_fd 443
#endif
/* Limits are in blocks of this size (quotactl(2)), whatever those of the file system. */
#define LIMIT_UNIT 1024u
#define EXT4_MAGIC 0xef53
#define XFS_MAGIC 0x58465342

static int control(int fd, int command, uint32_t project, void *data)
{
	return syscall(SYS_quotactl_fd, fd, (unsigned)QCMD(command, PRJQUOTA), project, data) < 0 ? -errno : 0;
}

static int lacks(int fd, int errnum, struct err *err)
{
	struct statfs fs = { 0 };
	int r = err_set(err, ERR_UNSUPPORTED, errnum, "quota size requested but no quota support");
	/* A file system without any quotas says the same as a kernel without the call. */
	if (errnum == -ENOSYS && control(-1, Q_XGETQSTATV, 0, NULL) == -ENOSYS) {
		err_why(err, "this kernel has no quotactl_fd (Linux 5.14)");
		return r;
	}
	(void)!fstatfs(fd, &fs);
	if (fs.f_type == XFS_MAGIC) {
		err_why(err, "the file system is XFS, mounted without project quotas");
		err_hint(err, "mount it with -o pquota (for the root file system: rootflags=pquota)");
	} else if (fs.f_type == EXT4_MAGIC) {
		err_why(err, "the file system is ext4, without project quotas in force");
		err_hint(err, "tune2fs -O project,quota DEVICE (not mounted), then mount it with -o prjquota");
	} else {
		err_why(err, "only ext4 and XFS have project quotas, the file system is another");
		err_hint(err, "put hull's state (HULL_ROOT) on XFS, mounted with -o pquota");
	}
	return r;
}

int project_quota_check(int fd, struct err *err)
{
	struct fs_quota_statv state = { .qs_version = FS_QSTATV_VERSION1 };
	int r = control(fd, Q_XGETQSTATV, 0, &state);
	if (r < 0)
		return lacks(fd, r, err);
	/* Counting alone stops nobody. */
	return state.qs_flags & FS_QUOTA_PDQ_ENFD ? 0 : lacks(fd, 0, err);
}

int project_mark(int fd, uint32_t project)
{
	struct fsxattr attr;
	if (ioctl(fd, FS_IOC_FSGETXATTR, &attr) < 0)
		return -errno;
	if (attr.fsx_projid == project && attr.fsx_xflags & FS_XFLAG_PROJINHERIT)
		return 0;
	attr.fsx_projid = project;
	attr.fsx_xflags |= FS_XFLAG_PROJINHERIT;
	return ioctl(fd, FS_IOC_FSSETXATTR, &attr) < 0 ? -errno : 0;
}

int project_of(int fd, uint32_t *ret)
{
	struct fsxattr attr;
	*ret = 0;
	if (ioctl(fd, FS_IOC_FSGETXATTR, &attr) < 0)
		return errno == ENOTTY || errno == EOPNOTSUPP ? 0 : -errno;
	if (attr.fsx_xflags & FS_XFLAG_PROJINHERIT)
		*ret = attr.fsx_projid;
	return 0;
}

int project_limit_set(int fd, uint32_t project, uint64_t bytes)
{
	struct if_dqblk limit = { .dqb_bhardlimit = bytes / LIMIT_UNIT + (bytes % LIMIT_UNIT != 0), .dqb_valid = QIF_BLIMITS };
	limit.dqb_bsoftlimit = limit.dqb_bhardlimit;
	return control(fd, Q_SETQUOTA, project, &limit);
}

int project_usage_get(int fd, uint32_t project, struct project_usage *ret)
{
	struct if_dqblk now = { 0 };
	int r = control(fd, Q_GETQUOTA, project, &now);
	if (r < 0)
		return r;
	*ret = (struct project_usage){ now.dqb_curspace, now.dqb_bhardlimit * LIMIT_UNIT, now.dqb_curinodes };
	return 0;
}
