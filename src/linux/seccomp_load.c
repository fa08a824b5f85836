/* SPDX-License-Identifier: Apache-2.0 */
#include "seccomp_load.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cleanup.h"

int seccomp_load_filter(const struct sock_filter *filter, size_t n, bool log)
{
	/* The kernel's structure is not const, but it only reads. */
	struct sock_fprog prog = { .len = (unsigned short)n, .filter = (struct sock_filter *)(uintptr_t)filter };

	if (n == 0 || n > BPF_MAXINSNS)
		return -EINVAL;
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, log ? SECCOMP_FILTER_FLAG_LOG : 0, &prog) < 0)
		return -errno;
	return 0;
}

int seccomp_load_file(int dirfd, const char *path, bool log)
{
	CLEANUP_FD int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	size_t size = (size_t)st.st_size, n = size / sizeof(struct sock_filter);
	if (!S_ISREG(st.st_mode) || n == 0 || n > BPF_MAXINSNS || size % sizeof(struct sock_filter))
		return -EINVAL;
	void *map = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (map == MAP_FAILED)
		return -errno;
	int r = seccomp_load_filter(map, n, log);
	/* After loading, the filter may refuse munmap with something that
	 * kills; the mapping ends with the coming execve. */
	if (r < 0)
		munmap(map, size);
	return r;
}
