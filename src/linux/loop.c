/* SPDX-License-Identifier: Apache-2.0 */
#include "loop.h"

#include <fcntl.h>
#include <linux/loop.h>
#include <stdio.h>
#include <sys/ioctl.h>

#include "cleanup.h"

int loop_attach_readonly(int file_fd, char path[32])
{
	CLEANUP_FD int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	if (control < 0)
		return -errno;
	/* Another process may take the free device between the two calls. */
	for (unsigned attempt = 0; attempt < 64; attempt++) {
		int number = ioctl(control, LOOP_CTL_GET_FREE);
		if (number < 0)
			return -errno;
		snprintf(path, 32, "/dev/loop%d", number);
		CLEANUP_FD int device = open(path, O_RDONLY | O_CLOEXEC);
		if (device < 0)
			return -errno;
		struct loop_config config = {
			.fd = (uint32_t)file_fd,
			.info.lo_flags = LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR,
		};
		if (ioctl(device, LOOP_CONFIGURE, &config) == 0)
			return TAKE_FD(device);
		if (errno != EBUSY)
			return -errno;
	}
	return -EBUSY;
}
