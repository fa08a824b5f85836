/* SPDX-License-Identifier: Apache-2.0 */
#include "thread_caps.h"

#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

static void set_effective(int lower)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { 0 };
	if (syscall(SYS_capget, &head, data) < 0)
		return;
	data[0].effective = lower ? data[0].permitted & (1u << CAP_KILL) : data[0].permitted;
	data[1].effective = lower ? 0 : data[1].permitted;
	(void)syscall(SYS_capset, &head, data);
}

void thread_caps_lower(void)
{
	set_effective(1);
}

void thread_caps_raise_all(void)
{
	set_effective(0);
}
