/* SPDX-License-Identifier: Apache-2.0 */
#include "fault.h"

#ifdef HULL_FAULT_POINTS
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int fault_point(const char *name)
{
	const char *wanted = getenv("HULL_FAULT");
	size_t len = strlen(name);
	if (!wanted || strncmp(wanted, name, len) != 0 || wanted[len] != ':')
		return 0;
	if (strcmp(wanted + len + 1, "kill") == 0)
		kill(getpid(), SIGKILL);
	return -EIO;
}
#else
/* An empty translation unit is not ISO C. */
extern int fault_points_are_off;
#endif
