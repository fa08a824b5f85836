/* SPDX-License-Identifier: Apache-2.0 */
#include "fault.h"

#ifdef HULL_FAULT_POINTS
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The linker's names for the ends of the section; missing where no point is. */
extern const char *const __start_hull_faults[] __attribute__((weak));
extern const char *const __stop_hull_faults[] __attribute__((weak));

static void write_line(int fd, const char *name)
{
	char line[128];
	size_t len = strlen(name);
	if (len + 1 > sizeof(line))
		return;
	memcpy(line, name, len);
	line[len] = '\n';
	(void)!write(fd, line, len + 1);
}

void fault_list(int fd)
{
	for (const char *const *name = __start_hull_faults; name < __stop_hull_faults; name++) {
		/* A sanitizer may leave gaps between them. */
		if (*name)
			write_line(fd, *name);
	}
}

static void log_point(const char *name)
{
	const char *path = getenv("HULL_FAULT_LOG");
	int fd = path ? open(path, O_WRONLY | O_APPEND | O_CLOEXEC) : -1;
	if (fd < 0)
		return;
	write_line(fd, name);
	close(fd);
}

static int act(const char *action)
{
	if (strcmp(action, "kill") == 0)
		kill(getpid(), SIGKILL);
	if (strcmp(action, "stop") == 0)
		return raise(SIGSTOP);
	if (strcmp(action, "sleep") == 0)
		return sleep(3600) ? 0 : 0;
	return strcmp(action, "enospc") == 0 ? -ENOSPC : -EIO;
}

int fault_point(const char *name)
{
	static unsigned long passed;
	const char *wanted = getenv("HULL_FAULT");
	size_t len = strlen(name);
	log_point(name);
	if (!wanted || strncmp(wanted, name, len) != 0 || wanted[len] != ':')
		return 0;
	const char *action = wanted + len + 1;
	if (*action >= '1' && *action <= '9') {
		char *end;
		if (++passed != strtoul(action, &end, 10) || *end != ':')
			return 0;
		action = end + 1;
	}
	return act(action);
}
#else
/* An empty translation unit is not ISO C. */
extern int fault_points_are_off;
#endif
